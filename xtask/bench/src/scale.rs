//! A full house: as many keys as a CloudHSM cluster holds, the time to start with them, the memory they take, how soon one
//! of them is found, and how soon the shell lists them.

use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::json;
use strongroom_client::Client;
use strongroom_tests::World;
use strongroom_types::{AttributeName, AttributeValue, Filter, FilterTerm, HsmType, KeyType};

use crate::load::{Rounds, jobs};
use crate::report::{line, median, rounded};
use crate::shell;
use crate::signatures::log_in;
use crate::start::resident_mib;
use crate::store::{pair, processor_us, secret};

/// What a cluster is made for unless told otherwise.
const HSM_TYPE: HsmType = HsmType::Hsm2mMedium;
/// Callers that make them.
const CALLERS: usize = 48;
/// From `strongroom up` to serving, in milliseconds.
const AIM_START_MS: u32 = 2_000;
/// Of one HSM, in MiB.
const AIM_MIB: u32 = 100;

/// Keys among which a search is the measure of one among all.
const FEW_KEYS: usize = 10;
/// Searches in a round.
const SEARCHES: usize = 500;
/// A search among all keys, as a multiple of one among few.
const AIM_FIND_RATIO: f64 = 1.5;
/// The label of the one that is looked for.
const FOUND: &str = "bench found";

/// Measures a cluster of two HSMs.
pub fn measure(rounds: &Rounds) -> anyhow::Result<()> {
    let mut world = World::with(&[]);
    let client = log_in(&world)?;
    let keys = HSM_TYPE.capacity().keys_max;
    let label = vec![(AttributeName::Label, AttributeValue::Text(FOUND.to_owned()))];
    client.key_generate_secret(KeyType::Aes, 32, &label, &[]).context("a key")?;
    for _ in 1..FEW_KEYS {
        secret(&client)?;
    }
    let among_few = find(&client, rounds)?;
    eprintln!("store: making {keys} keys");
    fill(&client, keys - FEW_KEYS)?;
    let among_all = find(&client, rounds)?;
    line(&json!({"bench": "find", "case": format!("by label, 1 caller, among {keys} keys, 2 HSMs"),
        "us": rounded(among_all), "among_few_us": rounded(among_few), "ratio_to_few": rounded(among_all / among_few),
        "aim_ratio_max": AIM_FIND_RATIO}));
    let (mut starts, mut busy, mut fresh, mut grown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pid in world.hsm_pids() {
        grown.push(resident_mib(pid)?);
    }
    for round in 0..rounds.count {
        eprintln!("store: start with {keys} keys, round {} of {}", round + 1, rounds.count);
        world.stop();
        let begun = Instant::now();
        world.start();
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        for pid in world.hsm_pids() {
            fresh.push(resident_mib(pid)?);
            busy.push(processor_us(pid)? / 1e3);
        }
    }
    let case = |what: &str| format!("{keys} keys, 2 HSMs, {what}");
    let aim = json!(AIM_MIB);
    line(
        &json!({"bench": "up", "case": case("existing cluster"), "ms": rounded(median(starts)), "aim_ms_max": AIM_START_MS,
            "hsm_cpu_ms": rounded(median(busy))}),
    );
    line(
        &json!({"bench": "memory", "case": case("after a start"), "rss_mib": rounded(median(fresh)), "aim_mib_max": aim}),
    );
    line(
        &json!({"bench": "memory", "case": case("after making them"), "rss_mib": rounded(median(grown)), "aim_mib_max": aim}),
    );
    shell::measure(&world, keys, rounds)
}

/// How long a whole search takes that finds one key by its label, in microseconds.
fn find(client: &Client, rounds: &Rounds) -> anyhow::Result<f64> {
    let term = FilterTerm::Attribute(AttributeName::Label, AttributeValue::Text(FOUND.to_owned()));
    let filter = Filter(vec![term]);
    let mut times = Vec::new();
    for _ in 0..rounds.count * SEARCHES {
        let begun = Instant::now();
        let found = client.key_find_all(&filter, 1).context("a search")?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        ensure!(found.references.len() == 1 && found.keys.len() == 1, "one key has the label, not {found:?}");
    }
    Ok(median(times))
}

/// As many pairs as there may be, two keys each, then AES keys.
fn fill(client: &Client, keys: usize) -> anyhow::Result<()> {
    let pairs = HSM_TYPE.capacity().asymmetric_keys_max / 2;
    let make = |job| if job < pairs { pair(client).map(drop) } else { secret(client).map(drop) };
    // The first failure says more than their number.
    let failure = Mutex::new(None);
    let note = |error| {
        failure.lock().expect("whole").get_or_insert(error);
    };
    let made = jobs(keys - pairs, CALLERS, |job| make(job).map_err(note).ok());
    match failure.into_inner().expect("whole") {
        None => Ok(()),
        Some(error) => Err(error.context(format!("{} keys could not be made", made.failures))),
    }
}

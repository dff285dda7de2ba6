//! A full house: as many keys as a CloudHSM cluster holds, the time to start with them and the memory they take.

use std::time::Instant;

use anyhow::ensure;
use serde_json::json;
use strongroom_client::Client;
use strongroom_tests::World;

use crate::load::{Rounds, jobs};
use crate::report::{line, median, rounded};
use crate::signatures::log_in;
use crate::start::resident_mib;
use crate::store::{pair, secret};

/// Keys of a cluster (hsm2m.medium); a pair is two.
const KEYS: usize = 16_666;
/// Pairs among them; the other keys are AES keys.
const PAIRS: usize = KEYS / 3;
/// Callers that make them.
const CALLERS: usize = 48;
/// From `strongroom up` to serving, in milliseconds.
const AIM_START_MS: u32 = 2_000;
/// Of one HSM, in MiB.
const AIM_MIB: u32 = 100;

/// Measures a cluster of two HSMs.
pub fn measure(rounds: &Rounds) -> anyhow::Result<()> {
    let mut world = World::with(&[]);
    let client = log_in(&world)?;
    eprintln!("store: making {KEYS} keys");
    fill(&client)?;
    let (mut starts, mut fresh, mut grown) = (Vec::new(), Vec::new(), Vec::new());
    for pid in world.hsm_pids() {
        grown.push(resident_mib(pid)?);
    }
    for round in 0..rounds.count {
        eprintln!("store: start with {KEYS} keys, round {} of {}", round + 1, rounds.count);
        world.stop();
        let begun = Instant::now();
        world.start();
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        for pid in world.hsm_pids() {
            fresh.push(resident_mib(pid)?);
        }
    }
    let case = |what: &str| format!("{KEYS} keys, 2 HSMs, {what}");
    let aim = json!(AIM_MIB);
    line(
        &json!({"bench": "up", "case": case("existing cluster"), "ms": rounded(median(starts)), "aim_ms_max": AIM_START_MS}),
    );
    line(
        &json!({"bench": "memory", "case": case("after a start"), "rss_mib": rounded(median(fresh)), "aim_mib_max": aim}),
    );
    line(
        &json!({"bench": "memory", "case": case("after making them"), "rss_mib": rounded(median(grown)), "aim_mib_max": aim}),
    );
    Ok(())
}

fn fill(client: &Client) -> anyhow::Result<()> {
    // Pairs first, two keys each.
    let make = |job| if job < PAIRS { pair(client).map(drop) } else { secret(client).map(drop) };
    let made = jobs(KEYS - PAIRS, CALLERS, |job| make(job).ok());
    ensure!(made.failures == 0, "{} keys could not be made", made.failures);
    Ok(())
}

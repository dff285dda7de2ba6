//! The store: durable changes a second and their latency, on one HSM and on three that share a disk, next to what the
//! disk itself does.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use anyhow::Context;
use serde_json::json;
use strongroom_client::{Client, PairAlgorithm};
use strongroom_tests::World;
use strongroom_types::{AttributeName, AttributeValue, Curve, Flag, KeyReference, KeyType, Template};

use crate::load::{Rounds, jobs};
use crate::report::{line, median, percentile, rounded};
use crate::signatures::log_in;

/// HSMs that share the disk.
const HSMS: [&str; 2] = ["1", "3"];
/// Clients, and callers that share them: a client's connections to three HSMs are 48.
const CLIENTS: usize = 4;
const CALLERS: usize = 192;
/// Keys made in one round. A cluster holds 16,666.
const CREATIONS: usize = 6_000;
/// Durable AES keys a second on three HSMs.
const AIM_AES_PER_S: u32 = 1_000;
/// Median of a deletion, in milliseconds.
const AIM_DELETION_MS: u32 = 20;
/// Deletions that are measured with each number of callers.
const DELETIONS: usize = 400;
/// Bytes of the smallest durable write: a page.
const PAGE_LEN: usize = 4_096;

/// Creations on one HSM and on three.
pub fn creations(rounds: &Rounds) -> anyhow::Result<()> {
    for hsms in HSMS {
        let world = World::with(&["--hsms", hsms]);
        disk(&world, rounds)?;
        creations_of(&world, rounds, hsms)?;
    }
    Ok(())
}

/// Deletions on one HSM and on three.
pub fn deletions(rounds: &Rounds) -> anyhow::Result<()> {
    for hsms in HSMS {
        let world = World::with(&["--hsms", hsms]);
        disk(&world, rounds)?;
        deletions_of(&world, hsms)?;
    }
    Ok(())
}

/// How often the disk makes one page durable, one after the other: the limit of commits that do not share a write.
fn disk(world: &World, rounds: &Rounds) -> anyhow::Result<()> {
    let path = world.file("pages");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).context("a file for pages")?;
    let mut rates = Vec::new();
    for _ in 0..rounds.count {
        let (mut pages, began) = (0_u32, Instant::now());
        while began.elapsed().as_secs_f64() < rounds.seconds {
            let place = u64::from(pages % 256) * u64::try_from(PAGE_LEN).context("a length")?;
            let content = [pages.to_le_bytes()[0]; PAGE_LEN];
            file.write_all_at(&content, place).and_then(|()| file.sync_data()).context("a durable page")?;
            pages += 1;
        }
        rates.push(f64::from(pages) / began.elapsed().as_secs_f64());
    }
    std::fs::remove_file(path).context("the file for pages")?;
    let fsync_ms = 1e3 / median(rates.clone());
    let case = "4 KiB and fdatasync, one after the other";
    line(&json!({"bench": "disk", "case": case, "per_s": rounded(median(rates)), "ms": rounded(fsync_ms)}));
    Ok(())
}

fn creations_of(world: &World, rounds: &Rounds, hsms: &str) -> anyhow::Result<()> {
    let clients: Vec<Client> = (0..CLIENTS).map(|_| log_in(world)).collect::<Result<_, _>>()?;
    let client = |job: usize| &clients[job % CLIENTS];
    for (kind, count) in [(Kind::Aes, CREATIONS), (Kind::Ec, CREATIONS / 4)] {
        let (mut rates, mut times, mut failures) = (Vec::new(), Vec::new(), 0);
        let mut cost = Cost::default();
        // Before the first round that counts, connections open.
        for number in 0..=rounds.count {
            eprintln!("store: {}, {hsms} HSMs, round {number} of {}", kind.text(), rounds.count);
            let before = Cost::of(world)?;
            let made = jobs(count, CALLERS, |job| kind.make(client(job)).ok());
            cost = Cost::of(world)?.since(before);
            // A cluster holds so many keys and no more.
            let gone = jobs(made.made.len(), CALLERS, |job| client(job).key_delete(made.made[job].0).ok());
            let other = |job: usize| made.made[job].1.map_or(Some(()), |key| client(job).key_delete(key).ok());
            failures += made.failures + gone.failures + jobs(made.made.len(), CALLERS, other).failures;
            if number > 0 {
                rates.push(made.rate);
                times.extend(made.times_ms);
            }
        }
        line(&json!({
            "bench": "durable creations", "case": format!("{}, {hsms} HSMs, {CALLERS} callers", kind.text()),
            "per_s": rounded(median(rates)),
            "aim_per_s_min": if matches!(kind, Kind::Aes) && hsms == "3" { Some(AIM_AES_PER_S) } else { None },
            "median_ms": rounded(median(times.clone())), "p99_ms": rounded(percentile(times, 0.99)),
            "batches": cost.batches, "changes_a_batch": rounded(count as f64 / cost.batches as f64),
            "hsm_cpu_us_a_change": rounded(cost.cpu_us / count as f64), "failures": failures,
        }));
    }
    Ok(())
}

/// Deletions, which every HSM must have applied before they are answered: by one caller in peace, and by several.
fn deletions_of(world: &World, hsms: &str) -> anyhow::Result<()> {
    let client = log_in(world)?;
    for callers in [1, 8, 48] {
        let keys = jobs(DELETIONS, 16, |_| secret(&client).ok());
        let before = Cost::of(world)?;
        let gone = jobs(keys.made.len(), callers, |job| client.key_delete(keys.made[job]).ok());
        let cost = Cost::of(world)?.since(before);
        line(&json!({
            "bench": "deletions", "case": format!("{hsms} HSMs, {callers} callers"), "per_s": rounded(gone.rate),
            "median_ms": rounded(median(gone.times_ms.clone())), "p99_ms": rounded(percentile(gone.times_ms, 0.99)),
            "aim_median_ms_max": if callers == 1 { Some(AIM_DELETION_MS) } else { None },
            "changes_a_batch": rounded(DELETIONS as f64 / cost.batches as f64),
            "hsm_cpu_us_a_change": rounded(cost.cpu_us / DELETIONS as f64),
            "failures": keys.failures + gone.failures,
        }));
    }
    Ok(())
}

/// What the HSMs have done since they started.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Revisions of the store.
    batches: u64,
    /// Processor time of all HSMs.
    cpu_us: f64,
}

impl Cost {
    fn of(world: &World) -> anyhow::Result<Cost> {
        let status = world.status();
        let hsms = status["hsms"].as_array().context("status lists the HSMs")?;
        let revisions = hsms.iter().filter_map(|hsm| hsm["applied_revision"].as_u64());
        let batches = revisions.max().context("an HSM that serves")?;
        let mut cpu_us = 0.0;
        for pid in world.hsm_pids() {
            cpu_us += processor_us(pid)?;
        }
        Ok(Cost { batches, cpu_us })
    }

    fn since(self, before: Cost) -> Cost {
        Cost { batches: self.batches - before.batches, cpu_us: self.cpu_us - before.cpu_us }
    }
}

/// Processor time of a process since it began, in steps of 10 ms.
pub fn processor_us(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("an HSM's processor time")?;
    // proc(5): utime and stime, the 12th and 13th after the name, in hundredths of a second.
    let after_name = stat.rsplit(')').next().context("a name")?;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(ticks as f64 * 1e4)
}

#[derive(Clone, Copy)]
enum Kind {
    Aes,
    Ec,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Kind::Aes => "AES-256 keys",
            Kind::Ec => "EC P-256 pairs",
        }
    }

    /// A new key, or the two of a new pair.
    fn make(self, client: &Client) -> anyhow::Result<(KeyReference, Option<KeyReference>)> {
        match self {
            Kind::Aes => secret(client).map(|key| (key, None)),
            Kind::Ec => pair(client).map(|(public, private)| (public, Some(private))),
        }
    }
}

fn label() -> Template {
    vec![(AttributeName::Label, AttributeValue::Text("bench".to_owned()))]
}

/// A new AES-256 key.
pub fn secret(client: &Client) -> anyhow::Result<KeyReference> {
    Ok(client.key_generate_secret(KeyType::Aes, 32, &label(), &[]).context("an AES key")?.reference)
}

/// A new P-256 pair, the public key first.
pub fn pair(client: &Client) -> anyhow::Result<(KeyReference, KeyReference)> {
    let may = |flag| [label(), vec![(AttributeName::Flag(flag), AttributeValue::Bool(true))]].concat();
    let algorithm = PairAlgorithm::Ec(Curve::P256);
    let pair = client.key_generate_pair(&algorithm, &may(Flag::Verify), &may(Flag::Sign), &[]).context("a pair")?;
    Ok((pair.0.reference, pair.1.reference))
}

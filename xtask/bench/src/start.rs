//! From `strongroom up` to serving, and the memory of an idle HSM.

use std::fs;
use std::time::Instant;

use anyhow::Context;
use serde_json::json;
use strongroom_tests::World;

use crate::load::Rounds;
use crate::report::{line, median, rounded};

/// Measures new clusters, clusters that come back, and their memory.
pub fn measure(rounds: &Rounds) -> anyhow::Result<()> {
    let (mut new, mut again, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds.count {
        eprintln!("start: round {} of {}", round + 1, rounds.count);
        let begun = Instant::now();
        let mut world = World::with(&[]);
        new.push(begun.elapsed().as_secs_f64() * 1e3);
        for pid in world.hsm_pids() {
            memory.push(resident_mib(pid)?);
        }
        world.stop();
        let begun = Instant::now();
        world.start();
        again.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    line(&json!({"bench": "up", "case": "new cluster, 2 HSMs", "ms": rounded(median(new)), "aim_ms_max": 2000}));
    line(&json!({"bench": "up", "case": "existing cluster, 2 HSMs", "ms": rounded(median(again)), "aim_ms_max": 2000}));
    line(&json!({"bench": "memory", "case": "idle HSM", "rss_mib": rounded(median(memory)), "aim_mib_max": 30}));
    Ok(())
}

/// Memory of a process that is resident.
pub fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("an HSM's status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = resident.trim().trim_end_matches("kB").trim().parse().context("VmRSS is no number")?;
    Ok(kib / 1024.0)
}

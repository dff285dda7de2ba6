//! Many seeds, on all processors.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::Mutant;
use crate::world::{Counts, Run, run};

/// What came of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many ended.
    pub runs: u64,
    /// All of them together.
    pub counts: Counts,
    /// The failed ones, by their seeds.
    pub failed: Vec<Run>,
}

/// Runs the worlds of these seeds. `until_failed`: no more are begun once one has failed. `progress` hears how many ended,
/// and how many of them failed.
pub fn run_seeds(
    seeds: Range<u64>,
    mutant: Option<Mutant>,
    until_failed: bool,
    progress: impl Fn(u64, u64) + Sync,
) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let is_enough = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let work = || {
        while !is_enough.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let ended = run(seed, mutant, false);
            let mut summary = summary.lock().expect("no run panics while it holds this");
            summary.runs += 1;
            summary.counts.add(&ended.counts);
            if !ended.broken.is_empty() {
                is_enough.fetch_or(until_failed, Ordering::Relaxed);
                summary.failed.push(ended);
            }
            progress(summary.runs, u64::try_from(summary.failed.len()).unwrap_or(u64::MAX));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().expect("no run panics while it holds this");
    summary.failed.sort_by_key(|run| run.seed);
    summary
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        let Counts { events, answered, given_up, commits, faults } = other;
        self.events += events;
        self.answered += answered;
        self.given_up += given_up;
        self.commits += commits;
        self.faults += faults;
    }
}

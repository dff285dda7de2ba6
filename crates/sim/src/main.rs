//! `strongroom-sim`: runs simulated worlds by their seeds; `cargo xtask sim` builds and starts it.
#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, Write as _, stderr};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use strongroom_sim::world::{Run, run};
use strongroom_sim::{Mutant, Summary, run_seeds};

/// Seeds within which every planted bug must be found.
const MUTANT_SEEDS: u64 = 1_000;
/// Failed seeds that are told in full.
const TOLD_MAX: usize = 5;

/// Run simulated worlds: members, store, network, clients and faults in virtual time, decided by a seed
/// (docs/internals/simulation.md)
#[derive(Parser)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0, value_name = "S")]
    from: u64,
    /// Run this one alone
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print every event of the one seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Plant a bug
    #[arg(long, value_enum)]
    mutant: Option<Mutant>,
    /// Plant each bug in turn, and fail unless the checkers find every one
    #[arg(long, conflicts_with_all = ["seed", "mutant", "seeds"])]
    mutants: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_well = match arguments {
        Arguments { mutants: true, from, .. } => find_mutants(from),
        Arguments { seed: Some(seed), trace, mutant, .. } => {
            let first = run(seed, mutant, trace);
            tell(&first);
            let again = run(seed, mutant, false);
            if again.digest != first.digest {
                println!("seed {seed} ran differently the second time: something in it is not decided by the seed");
            }
            println!("seed {seed}: {:?}, digest {:016x}", first.counts, first.digest);
            first.broken.is_empty() && again.digest == first.digest
        }
        Arguments { seeds, from, mutant, .. } => many(from, seeds, mutant),
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(from: u64, seeds: u64, mutant: Option<Mutant>) -> bool {
    let began = Instant::now();
    let summary =
        run_seeds(from..from.saturating_add(seeds), mutant, false, |runs, failed| progress(runs, seeds, failed));
    clear_progress();
    for failed in summary.failed.iter().take(TOLD_MAX) {
        tell(failed);
    }
    if summary.failed.len() > TOLD_MAX {
        let rest: Vec<String> = summary.failed.iter().skip(TOLD_MAX).map(|run| run.seed.to_string()).collect();
        println!("and these seeds: {}", rest.join(" "));
    }
    let Summary { runs, counts, failed } = summary;
    println!("{runs} seeds in {:.1} s, {} failed: {counts:?}", began.elapsed().as_secs_f64(), failed.len());
    failed.is_empty()
}

fn find_mutants(from: u64) -> bool {
    let mut all_found = true;
    for mutant in Mutant::ALL {
        let began = Instant::now();
        let seeds = from..from.saturating_add(MUTANT_SEEDS);
        let summary = run_seeds(seeds, Some(*mutant), true, |runs, failed| progress(runs, MUTANT_SEEDS, failed));
        clear_progress();
        let seconds = began.elapsed().as_secs_f64();
        match summary.failed.first() {
            Some(Run { seed, broken, .. }) => {
                let first = broken.first().map_or("", |broken| broken.text.as_str());
                println!(
                    "{mutant:?}: found after {} seeds and {seconds:.1} s, with seed {seed}: {first}",
                    summary.runs
                );
            }
            None => {
                all_found = false;
                println!("{mutant:?}: NOT FOUND in {} seeds and {seconds:.1} s", summary.runs);
            }
        }
    }
    all_found
}

fn tell(run: &Run) {
    for broken in &run.broken {
        println!("seed {} at {}.{:06} s: {}", run.seed, broken.at / 1_000_000, broken.at % 1_000_000, broken.text);
    }
    if !run.broken.is_empty() {
        println!("replay it: cargo xtask sim --seed {} --trace", run.seed);
    }
}

fn progress(runs: u64, of: u64, failed: u64) {
    if runs.is_multiple_of(20) && stderr().is_terminal() {
        let _ = write!(stderr(), "\r{runs} of {of} seeds, {failed} failed");
    }
}

fn clear_progress() {
    if stderr().is_terminal() {
        let _ = write!(stderr(), "\r{:40}\r", "");
    }
}

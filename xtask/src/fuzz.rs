//! `cargo xtask fuzz`: libFuzzer on every decoder, for a bounded time. The smoke run without libFuzzer is a test of
//! `fuzz/` like any other.

use std::path::Path;

use anyhow::{Context, bail};

use crate::run::{Step, find_program, root};

/// How long and what.
#[derive(clap::Args)]
pub struct Arguments {
    /// One target instead of all
    target: Option<String>,
    /// Minutes for each target
    #[arg(long, default_value_t = 1)]
    minutes: u32,
}

/// Inputs of a target in the smoke run that `cargo xtask test --all` makes, and seconds after which it ends anyway.
const SMOKE_RUNS: u32 = 50_000;
const SMOKE_SECONDS: u32 = 10;

/// Where the programs are; their inputs lie beside them.
const FOLDER: &str = "fuzz/libfuzzer";

/// Runs the targets.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut targets = targets()?;
    if let Some(wanted) = &arguments.target {
        if !targets.contains(wanted) {
            bail!("there is no target {wanted}; there are {}", targets.join(", "));
        }
        targets = vec![wanted.clone()];
    }
    for target in targets {
        eprintln!("fuzzing {target} for {} min …", arguments.minutes);
        let corpus = root().join(FOLDER).join("corpus").join(&target);
        fuzz(&target, &corpus, &[format!("-max_total_time={}", u64::from(arguments.minutes) * 60)])?;
    }
    Ok(())
}

/// A short run of every target: the same inputs every time, and none from an earlier run.
pub fn smoke() -> anyhow::Result<()> {
    for target in targets()? {
        eprintln!("fuzzing {target} …");
        let corpus = root().join(FOLDER).join("corpus").join(format!("{target}-smoke"));
        let _ = std::fs::remove_dir_all(&corpus);
        let bounds = [format!("-runs={SMOKE_RUNS}"), format!("-max_total_time={SMOKE_SECONDS}"), "-seed=1".to_owned()];
        fuzz(&target, &corpus, &bounds)?;
    }
    Ok(())
}

fn targets() -> anyhow::Result<Vec<String>> {
    let folder = root().join(FOLDER).join("fuzz_targets");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string().ok().context("a fuzz target's name is not text")?;
        names.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// libFuzzer's coverage hooks need compiler flags that the pinned stable toolchain hides behind a variable.
fn fuzz(target: &str, corpus: &Path, bounds: &[String]) -> anyhow::Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let cargo_fuzz = home.map(|home| home.join("bin/cargo-fuzz")).filter(|file| file.is_file());
    if cargo_fuzz.or_else(|| find_program("cargo-fuzz")).is_none() {
        Step::cargo(["install", "--locked", "cargo-fuzz"]).run()?;
    }
    // The target writes its seeds there before libFuzzer reads them.
    let seeds = root().join(FOLDER).join("seeds").join(target);
    for folder in [corpus, &seeds] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let ran = Step::cargo(["fuzz", "run", "--fuzz-dir", FOLDER, target])
        .args([corpus, &seeds])
        .args(["--"])
        .args(bounds)
        .args(["-max_len=4096", "-rss_limit_mb=2048", "-timeout=20"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("STRONGROOM_FUZZ_SEEDS", &seeds)
        .run();
    ran.with_context(|| {
        format!("{target} found something: put the input it names into fuzz/found/{target}/, where a test reads it, and mend what it shows")
    })
}

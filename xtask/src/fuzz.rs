//! `cargo xtask fuzz`: libFuzzer on every decoder, for a bounded time.

use anyhow::Context;

use crate::run::{Step, find_program, root};

/// How long and what.
#[derive(clap::Args)]
pub struct Arguments {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// One target instead of all
    #[arg(long)]
    target: Option<String>,
}

/// Seconds a target in the smoke run that `cargo xtask test --all` makes.
const SMOKE_SECONDS: u32 = 10;

/// Runs the targets.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.target {
        Some(target) => fuzz(target, arguments.seconds),
        None => targets()?.iter().try_for_each(|target| fuzz(target, arguments.seconds)),
    }
}

/// A short run of every target.
pub fn smoke() -> anyhow::Result<()> {
    targets()?.iter().try_for_each(|target| fuzz(target, SMOKE_SECONDS))
}

fn targets() -> anyhow::Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string().ok().context("a fuzz target's name is not text")?;
        names.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// libFuzzer's coverage hooks need compiler flags that the pinned stable toolchain hides behind this variable.
fn fuzz(target: &str, seconds: u32) -> anyhow::Result<()> {
    eprintln!("fuzzing {target} for {seconds} s …");
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let cargo_fuzz = home.map(|home| home.join("bin/cargo-fuzz")).filter(|file| file.is_file());
    if cargo_fuzz.or_else(|| find_program("cargo-fuzz")).is_none() {
        Step::cargo(["install", "--locked", "cargo-fuzz"]).run()?;
    }
    Step::cargo(["fuzz", "run", target, "--"])
        .args([format!("-max_total_time={seconds}"), "-max_len=4096".to_owned(), "-rss_limit_mb=2048".to_owned()])
        .env("RUSTC_BOOTSTRAP", "1")
        .run()
}

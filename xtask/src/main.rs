//! The project's own commands. `cargo xtask help` lists them.

mod artifacts;
mod check;
mod cleanroom;
mod demo;
mod fuzz;
mod packages;
mod programs;
mod run;
mod sanitize;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Strongroom's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster of two HSMs and a stock nginx that serves HTTPS with a key inside them
    Demo(demo::Arguments),
    /// Set the machine up and pass every test
    Test(test::Arguments),
    /// The gate before a commit: formatting, clippy, tidy, documentation, unit tests
    Check,
    /// Check the rules of the tree: layers, rooms' cards, `unsafe`, sizes of files, reasons of dependencies
    Tidy,
    /// Measure; prints one JSON object a line
    Bench(BenchArguments),
    /// Random faults against real HSMs, and a verdict on what their clients saw
    Chaos(ChaosArguments),
    /// Simulated worlds by their seeds: members, a store, clients and faults in virtual time
    Sim(SimArguments),
    /// Prove `demo` and `test` in a clean Debian folder (needs root)
    Cleanroom(cleanroom::Arguments),
    /// Fuzz the decoders for a bounded time
    Fuzz(fuzz::Arguments),
    /// Pass the tests of C programs that load the PKCS #11 library with AddressSanitizer in both
    Sanitize,
}

#[derive(clap::Args)]
struct BenchArguments {
    /// Passed on: `cargo xtask bench -- --help` tells
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct SimArguments {
    /// `--help` tells
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[derive(clap::Args)]
struct ChaosArguments {
    /// How long the faults last
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Chooses faults and requests; taken from the clock unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Keep history and logs also when every promise was kept
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Check => check::run(),
        Command::Tidy => tidy::run(),
        Command::Bench(arguments) => bench(&arguments.rest),
        Command::Chaos(arguments) => chaos(&arguments),
        Command::Sim(arguments) => sim(&arguments.rest),
        Command::Cleanroom(arguments) => cleanroom::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Sanitize => sanitize::run(),
    }
}

/// The measurements are a release program of their own, so that no other command waits for its compilation.
fn bench(arguments: &[String]) -> anyhow::Result<()> {
    packages::install(&[packages::NGINX, packages::OPENSSL, packages::SOFTHSM2])?;
    artifacts::build(artifacts::Profile::Release)?;
    run::Step::cargo(["run", "--quiet", "--release", "--package", "xtask-bench", "--"]).args(arguments).run()
}

/// A release program: thousands of worlds are a matter of minutes then.
fn sim(arguments: &[String]) -> anyhow::Result<()> {
    run::Step::cargo(["run", "--quiet", "--release", "--package", "strongroom-sim", "--"]).args(arguments).run()
}

/// A program of its own, like the measurements, and for the same reason.
fn chaos(arguments: &ChaosArguments) -> anyhow::Result<()> {
    artifacts::build(artifacts::Profile::Debug)?;
    let step = run::Step::cargo(["run", "--quiet", "--package", "xtask-chaos", "--", "--minutes"]);
    let step = step.args([arguments.minutes.to_string()]);
    let seed = arguments.seed.map(|seed| ["--seed".to_owned(), seed.to_string()]);
    let keep = arguments.keep.then_some("--keep");
    step.args(seed.into_iter().flatten()).args(keep).run()
}

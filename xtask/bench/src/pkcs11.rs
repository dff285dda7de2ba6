//! The PKCS #11 library beside SoftHSM2: both loaded by one process and called in the same way. Ours asks two HSM
//! processes over TLS; SoftHSM2 has a fresh token and computes where it is called.
//!
//! Where their configurations lie both modules learn from the environment, so the measurement runs in a process of its own,
//! which is started with one.

mod module;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::Session;
use serde_json::{Value, json};
use strongroom_tests::{World, kill, run, wait_for};

use self::module::{Module, Operation};
use crate::load::{Round, Rounds, jobs, medians};
use crate::report::{line, rounded};
use crate::signatures::log_in;
use crate::store::secret;

/// Callers at once.
const CALLERS: [usize; 3] = [1, 8, 32];
/// The callers for which the aims of ratios hold.
const AIM_CALLERS: usize = 8;
/// Median of one caller's P-256 signature.
const AIM_P256_MEDIAN_US: u32 = 100;
/// Keys of the small and the large house in which is searched.
const FEW_KEYS: usize = 10;
const MANY_KEYS: usize = 16_000;
/// A search among many, as a multiple of one among few.
const AIM_SEARCH_RATIO: f64 = 1.5;
/// Callers that sign while an HSM ends or stops.
const CALLERS_AT_TROUBLE: usize = 32;
/// Longest call when an HSM is killed, and when it is stopped.
const AIM_KILLED_MS: u32 = 1_000;
const AIM_STOPPED_MS: u32 = 3_000;
/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What runs in a process with an environment of its own.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Inner {
    /// Both modules, one after the other.
    Compare,
    /// Searches in the cluster as it is.
    Search,
    /// Signatures without a pause.
    Sign,
}

/// Measures everything.
pub fn measure(rounds: &Rounds) -> anyhow::Result<()> {
    let world = World::with(&[]);
    let token = tempfile::tempdir().context("a folder for SoftHSM2's token")?;
    make_token(token.path())?;
    let inner = |inner, rounds: &Rounds| inner_command(&world, token.path(), inner, rounds);
    ended(inner(Inner::Compare, rounds)?.spawn().context("the measurement's own process")?)?;

    let client = log_in(&world)?;
    let searched = |keys: usize| -> anyhow::Result<Value> {
        eprintln!("pkcs11: find by label among {keys} keys");
        output(inner(Inner::Search, rounds)?.stdout(Stdio::piped()).spawn().context("the searches' process")?)
    };
    let few = searched(FEW_KEYS)?;
    eprintln!("pkcs11: making {MANY_KEYS} keys");
    let made = jobs(MANY_KEYS - FEW_KEYS, 48, |_| secret(&client).ok());
    ensure!(made.failures == 0, "{} keys could not be made", made.failures);
    let many = searched(MANY_KEYS)?;
    let median = |value: &Value| value["median_us"].as_f64().unwrap_or(f64::NAN);
    line(&json!({
        "bench": "pkcs11", "case": format!("find by label, 1 caller, among {MANY_KEYS} keys"),
        "few_median_us": rounded(median(&few)), "many_median_us": rounded(median(&many)),
        "ratio": rounded(median(&many) / median(&few)), "aim_ratio_max": AIM_SEARCH_RATIO,
    }));
    for (signal, aim) in [("KILL", AIM_KILLED_MS), ("STOP", AIM_STOPPED_MS)] {
        trouble(&world, &inner, signal, aim)?;
    }
    Ok(())
}

/// Runs what was started by [`measure`].
pub fn measure_inner(inner: Inner, rounds: &Rounds) -> anyhow::Result<()> {
    let ours = Module::ours()?;
    match inner {
        Inner::Compare => {
            let soft = Module::soft_hsm()?;
            for operation in Operation::ALL {
                for callers in CALLERS {
                    compare(&ours, &soft, operation, callers, rounds)?;
                }
            }
            Ok(())
        }
        Inner::Search => {
            let round = ours.operation(Operation::Find)?.run(1, rounds)?;
            line(&json!({ "median_us": round.median_us }));
            Ok(())
        }
        Inner::Sign => {
            let round = ours.operation(Operation::P256)?.run(CALLERS_AT_TROUBLE, rounds)?;
            line(
                &json!({ "longest_us": round.longest_us, "failures": round.failures, "median_us": round.median_us, "per_s": round.rate }),
            );
            Ok(())
        }
    }
}

fn compare(ours: &Module, soft: &Module, operation: Operation, callers: usize, rounds: &Rounds) -> anyhow::Result<()> {
    let warm = Rounds { count: 1, seconds: 0.5 };
    let (ours, soft) = (ours.operation(operation)?, soft.operation(operation)?);
    ours.run(callers, &warm)?;
    soft.run(callers, &warm)?;
    let (mut of_ours, mut of_soft) = (Vec::new(), Vec::new());
    for number in 0..rounds.count {
        eprintln!("pkcs11: {}, {callers} callers, round {} of {}", operation.name(), number + 1, rounds.count);
        of_ours.push(ours.run(callers, rounds)?);
        of_soft.push(soft.run(callers, rounds)?);
    }
    let longest_us = of_ours.iter().map(|round| round.longest_us).fold(0.0, f64::max);
    let (of_ours, of_soft): (Round, Round) = (medians(&of_ours), medians(&of_soft));
    let is_single_p256 = operation == Operation::P256 && callers == 1;
    line(&json!({
        "bench": "pkcs11", "case": format!("{}, {callers} callers", operation.name()),
        "hsm_per_s": rounded(of_ours.rate), "softhsm2_per_s": rounded(of_soft.rate),
        "ratio": rounded(of_ours.rate / of_soft.rate),
        "aim_ratio_min": operation.aim().filter(|_| callers == AIM_CALLERS),
        "hsm_median_us": rounded(of_ours.median_us), "softhsm2_median_us": rounded(of_soft.median_us),
        "aim_median_us_max": is_single_p256.then_some(AIM_P256_MEDIAN_US),
        "hsm_longest_us": rounded(longest_us), "failures": of_ours.failures, "softhsm2_failures": of_soft.failures,
    }));
    Ok(())
}

/// An HSM ends, or stands still, while 32 threads sign.
fn trouble(
    world: &World,
    inner: &impl Fn(Inner, &Rounds) -> anyhow::Result<Command>,
    signal: &str,
    aim: u32,
) -> anyhow::Result<()> {
    wait_for("two HSMs", PATIENCE, || world.hsm_pids().len() == 2);
    let before = signatures(world)?;
    let signing = Rounds { count: 1, seconds: 8.0 };
    let child = inner(Inner::Sign, &signing)?.stdout(Stdio::piped()).spawn().context("the signers' process")?;
    wait_for("signatures", PATIENCE, || signatures(world).is_ok_and(|now| now > before + 10_000));
    let pid = *world.hsm_pids().first().context("an HSM")?;
    eprintln!("pkcs11: SIG{signal} of an HSM under {CALLERS_AT_TROUBLE} callers");
    kill(signal, pid);
    let seen = output(child);
    if signal == "STOP" {
        kill("CONT", pid);
    }
    let seen = seen?;
    line(&json!({
        "bench": "pkcs11", "case": format!("P-256, {CALLERS_AT_TROUBLE} callers, SIG{signal} of one of two HSMs"),
        "longest_ms": rounded(seen["longest_us"].as_f64().unwrap_or(f64::NAN) / 1e3), "aim_ms_max": aim,
        "hsm_per_s": rounded(seen["per_s"].as_f64().unwrap_or(f64::NAN)), "failures": seen["failures"],
    }));
    Ok(())
}

/// Signatures that the HSMs have made since they started.
fn signatures(world: &World) -> anyhow::Result<u64> {
    let status = world.status();
    let hsms = status["hsms"].as_array().context("status lists the HSMs")?;
    Ok(hsms.iter().filter_map(|hsm| hsm["signatures"].as_u64()).sum())
}

fn make_token(folder: &Path) -> anyhow::Result<()> {
    let tokens = folder.join("tokens");
    std::fs::create_dir(&tokens).context("SoftHSM2's folder")?;
    let configuration =
        format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(folder.join("softhsm2.conf"), configuration).context("SoftHSM2's configuration")?;
    let mut command = Command::new("softhsm2-util");
    command.args([
        "--init-token",
        "--free",
        "--label",
        "bench",
        "--pin",
        module::SOFT_PIN,
        "--so-pin",
        module::SOFT_PIN,
    ]);
    let ran = run(command.env("SOFTHSM2_CONF", folder.join("softhsm2.conf")));
    ensure!(ran.code == Some(0), "softhsm2-util made no token: {}{}", ran.stdout, ran.stderr);
    Ok(())
}

fn inner_command(world: &World, token: &Path, inner: Inner, rounds: &Rounds) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program's path")?);
    let name = inner.to_possible_value().context("a name")?;
    command.args(["--inner", name.get_name()]);
    command.args(["--rounds", &rounds.count.to_string(), "--seconds", &rounds.seconds.to_string()]);
    command.env("CLOUDHSM_HOME", world.home()).env(module::PIN_VARIABLE, world.pin());
    command.env("SOFTHSM2_CONF", token.join("softhsm2.conf"));
    Ok(command)
}

fn ended(mut child: Child) -> anyhow::Result<()> {
    let status = child.wait().context("the measurement's own process")?;
    ensure!(status.success(), "the measurement's own process ended with {status}");
    Ok(())
}

/// What a process printed as its one line.
fn output(child: Child) -> anyhow::Result<Value> {
    let output = child.wait_with_output().context("the measurement's own process")?;
    ensure!(output.status.success(), "the measurement's own process ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("one line of JSON")
}

/// One operation of one module, ready to be repeated.
struct Ready<'a> {
    module: &'a Module,
    operation: Operation,
    key: ObjectHandle,
}

impl Ready<'_> {
    fn run(&self, callers: usize, rounds: &Rounds) -> anyhow::Result<Round> {
        // A caller that cannot begin fails every one of its actions.
        Ok(rounds.one(callers, |_| {
            let session: Option<Session> = self.module.session().ok();
            move || session.as_ref().is_some_and(|session| self.operation.once(session, self.key).is_ok())
        }))
    }
}

/// What finds the key of the searches.
fn label() -> Attribute {
    Attribute::Label(b"bench find".to_vec())
}

//! How soon changes go on after the HSM that holds SQLite's write lock is killed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use strongroom_tests::{World, wait_for};

use crate::load::Rounds;
use crate::report::{line, median, rounded};
use crate::signatures::log_in;
use crate::store::secret;

/// Callers that make and delete keys all the while.
const CALLERS: usize = 16;
/// Kills in each round.
const KILLS: usize = 2;
/// Milliseconds.
const AIM_MS: u32 = 1_000;
/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills the writer of three HSMs again and again.
pub fn measure(rounds: &Rounds) -> anyhow::Result<()> {
    let world = World::with(&["--hsms", "3"]);
    let client = log_in(&world)?;
    let stop = AtomicBool::new(false);
    // When each change was begun and acknowledged.
    let acknowledged: Mutex<Vec<(Instant, Instant)>> = Mutex::new(Vec::new());
    let failed = AtomicU64::new(0);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // A cluster holds so many keys and no more.
                    let (began, made) = (Instant::now(), secret(&client));
                    let (between, gone) = (Instant::now(), made.as_ref().map(|key| client.key_delete(*key)));
                    let mut acknowledged = acknowledged.lock().expect("whole");
                    acknowledged.extend(made.is_ok().then_some((began, between)));
                    acknowledged.extend(matches!(gone, Ok(Ok(()))).then(|| (between, Instant::now())));
                    failed.fetch_add(u64::from(!matches!(gone, Ok(Ok(())))), Ordering::Relaxed);
                }
            });
        }
        let outcome = (0..rounds.count * KILLS).try_for_each(|number| {
            eprintln!("store: kill -9 of the writer, {} of {}", number + 1, rounds.count * KILLS);
            let at = kill_writer(&world)?;
            let after = || {
                let acknowledged = acknowledged.lock().expect("whole");
                acknowledged.iter().filter(|(began, _)| *began >= at).map(|(_, ended)| *ended - at).min()
            };
            wait_for("a change that began after the kill", PATIENCE, || after().is_some());
            times.extend(after().map(|time| time.as_secs_f64() * 1e3));
            wait_for("three HSMs", PATIENCE, || world.hsm_pids().len() == 3);
            acknowledged.lock().expect("whole").clear();
            anyhow::Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        outcome
    })?;
    let longest = times.iter().copied().fold(0.0, f64::max);
    line(&json!({
        "bench": "writes resume", "case": "3 HSMs, kill -9 of the one that holds the write lock",
        "kills": times.len(), "median_ms": rounded(median(times)), "longest_ms": rounded(longest),
        "aim_ms_max": AIM_MS, "failures": failed.load(Ordering::Relaxed),
    }));
    Ok(())
}

/// Stops whoever is noted as the writer; if it then still holds the lock, kills it. The moment of the kill.
fn kill_writer(world: &World) -> anyhow::Result<Instant> {
    let table = File::open(world.state().join("store/members")).context("the member table")?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let Some(writer) = writer(&table)? else { continue };
        let mut signals = Signals::to(writer.pid)?;
        // The shell is ready; the writer may be another one by now.
        let Some(writer) = until_writing(&table, writer.pid)? else { continue };
        signals.send("STOP")?;
        if self::writer(&table)? == Some(writer) {
            let at = Instant::now();
            signals.send("KILL")?;
            return Ok(at);
        }
        signals.send("CONT")?;
    }
    anyhow::bail!("no HSM could be stopped while it wrote")
}

/// Who writes, and which write it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Writer {
    pid: u32,
    number: u64,
}

/// `docs/spec/store.md`, "The member table": the header's field `writer`, and the slot's process id.
fn writer(table: &File) -> anyhow::Result<Option<Writer>> {
    let mut field = [0; 8];
    table.read_exact_at(&mut field, 80).context("the member table")?;
    let number = u64::from_le_bytes(field);
    let Some(slot) = (number & 0xff).checked_sub(1) else { return Ok(None) };
    let mut pid = [0; 4];
    table.read_exact_at(&mut pid, 128 + 128 * slot + 56).context("the member table")?;
    Ok(Some(Writer { pid: u32::from_le_bytes(pid), number }))
}

/// Waits until this process writes, a while.
fn until_writing(table: &File, pid: u32) -> anyhow::Result<Option<Writer>> {
    let deadline = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline {
        if let Some(found) = writer(table)?.filter(|found| found.pid == pid) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A shell that sends signals to one process as soon as it is told, because starting one takes longer than a write.
struct Signals {
    shell: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Signals {
    fn to(pid: u32) -> anyhow::Result<Signals> {
        let script = format!("echo ready; while read -r signal; do kill -s \"$signal\" {pid}; echo $?; done");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().context("a shell")?;
        let commands = shell.stdin.take().context("its standard input")?;
        let answers = BufReader::new(shell.stdout.take().context("its standard output")?);
        let mut signals = Signals { shell, commands, answers };
        ensure!(signals.answer()? == "ready", "the shell is not ready");
        Ok(signals)
    }

    fn send(&mut self, signal: &str) -> anyhow::Result<()> {
        writeln!(self.commands, "{signal}").context("a command for the shell")?;
        ensure!(self.answer()? == "0", "SIG{signal} cannot be sent");
        Ok(())
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("the shell's answer")?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // It ends with its input at the latest.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

//! What a run says: while it goes on, at its end, and in the file of one that failed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{IsTerminal as _, stderr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use strongroom_sim::history::{At, Fact, History, Operation, Outcome, Violation};

use crate::recorder::{Recorded, seconds};

/// Where failing runs leave what they saw, in cargo's target folder.
const FOLDER: &str = "chaos";
/// Between two lines of progress: for somebody who watches, and for a log.
pub const WATCHED: Duration = Duration::from_secs(3);
pub const LOGGED: Duration = Duration::from_secs(30);

/// A fault may be behind an outage that begins so much later, in microseconds: the supervisor's longest pause.
const BEFORE: At = 5_000_000;

/// How often to tell where the run stands.
pub fn pace() -> Duration {
    if stderr().is_terminal() { WATCHED } else { LOGGED }
}

/// One line.
pub fn progress(recorded: &Recorded, gone: Duration, whole: Duration) {
    let clock = |time: Duration| format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60);
    let fault = recorded.notes.last().map_or("no fault yet", |(_, text)| text);
    eprintln!(
        "chaos: {} of {}: {} signatures, {} changes; {fault}",
        clock(gone),
        clock(whole),
        recorded.signatures.count,
        recorded.changes.count
    );
}

/// Everything that was counted.
pub fn summary(recorded: &Recorded, faults: &BTreeMap<&'static str, u32>, violations: &[Violation]) -> String {
    let mut text = String::from("operations                  done   refused  no answer\n");
    for (kind, [done, refused, unknown]) in &recorded.counts {
        let _ = writeln!(text, "  {kind:<22} {done:>8}  {refused:>8}  {unknown:>9}");
    }
    text += "faults\n";
    for (fault, count) in faults {
        let _ = writeln!(text, "  {fault:<32} {count:>5}");
    }
    for (what, series) in [("a signature", &recorded.signatures), ("a change", &recorded.changes)] {
        let (time, from) = series.longest;
        let _ = writeln!(text, "longest time without {what}: {}, from {} on, with", seconds(time), seconds(from));
        let then = from.saturating_sub(BEFORE)..=from + time;
        for (at, note) in recorded.notes.iter().filter(|(at, _)| then.contains(at)) {
            let _ = writeln!(text, "  {} {note}", seconds(*at));
        }
    }
    for problem in &recorded.problems {
        let _ = writeln!(text, "WRONG: {problem}");
    }
    for violation in violations {
        let _ = writeln!(text, "BROKEN: {violation}");
    }
    text
}

/// Writes down all of a run, and keeps the HSMs' logs; the folder.
pub fn keep(seed: u64, summary: &str, recorded: &Recorded, state: &Path) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program")?;
    let target = own.ancestors().nth(2).context("cargo's target folder")?;
    let folder = target.join(FOLDER).join(format!("seed-{seed}"));
    fs::create_dir_all(&folder).with_context(|| format!("the folder {}", folder.display()))?;
    let mut text = format!("seed {seed}\n\n{summary}\n");
    for (at, what) in whole(&recorded.history, &recorded.notes) {
        let _ = writeln!(text, "{} {what}", seconds(at));
    }
    let file = folder.join("history.txt");
    fs::write(&file, text).with_context(|| format!("the file {}", file.display()))?;
    copy_logs(state, &folder)?;
    Ok(folder)
}

/// Operations and faults in the order of time.
fn whole(history: &History, notes: &[(At, String)]) -> Vec<(At, String)> {
    let operations = history.operations().iter().map(|operation| (operation.invoked, told(operation)));
    let faults = notes.iter().map(|(at, text)| (*at, format!("FAULT {text}")));
    let mut whole: Vec<(At, String)> = operations.chain(faults).collect();
    whole.sort_by_key(|(at, _)| *at);
    whole
}

fn told(operation: &Operation) -> String {
    let list = |facts: &[Fact], between: &str| facts.iter().map(Fact::to_string).collect::<Vec<_>>().join(between);
    let mut text = operation.to_string();
    match &operation.outcome {
        Outcome::Done { facts } if !facts.is_empty() => text += &format!("; {}", list(facts, ", ")),
        Outcome::Refused { any_of } if !any_of.is_empty() => text += &format!("; {}", list(any_of, " or ")),
        _ => {}
    }
    for write in &operation.writes {
        let _ = write!(text, "; {} becomes {}", write.register, write.value);
    }
    text
}

fn copy_logs(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("the folder {}", from.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            copy_logs(&path, to)?;
        } else if path.extension().is_some_and(|ending| ending == "log") {
            let name: Vec<_> = path.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
            let name = name.into_iter().rev().collect::<Vec<_>>().join("-");
            fs::copy(&path, to.join(name)).with_context(|| format!("the log {}", path.display()))?;
        }
    }
    Ok(())
}

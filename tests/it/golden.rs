//! Golden files: what every command prints, byte for byte (`tests/golden/README.md`).

mod names;
mod script;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use strongroom_tests::{Initialized, World};

use script::Script;

/// Writes the files anew instead of comparing.
const WRITE: &str = "STRONGROOM_WRITE_GOLDEN";
/// Runs one file only: its name without `.json`.
const ONLY: &str = "STRONGROOM_GOLDEN";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The files, by name.
fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("tests/golden is listed").map(|entry| entry.expect("an entry"));
    let mut files: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    files
}

#[test]
fn every_command_prints_what_its_golden_file_says() {
    let only = std::env::var(ONLY).ok();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let files: Vec<_> =
        files().into_iter().filter(|path| only.as_ref().is_none_or(|only| *only == name(path))).collect();
    assert!(!files.is_empty(), "no golden file of this name");
    let mut shared = None;
    let mut wrong = String::new();
    for path in files {
        eprintln!("{}", path.display());
        if let Err(difference) = check(&path, &mut shared) {
            let _ = writeln!(wrong, "=== {}\n{difference}", path.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nIf this is as it should be now: {WRITE}=1 (tests/golden/README.md)");
}

/// Runs a file, in the cluster that files share or in one of its own.
fn check(path: &Path, shared: &mut Option<World>) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let golden: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let script = Script::read(&golden)?;
    let own = script.own_cluster.then(|| World::quick(&script.up()));
    let initialized = own.as_ref().filter(|_| script.not_active).map(Initialized::of);
    let found = match &own {
        Some(world) => script.run(world)?,
        None => {
            // One that a file failed in is in an unknown state: the next file begins with another.
            let world = shared.take().unwrap_or_default();
            let found = script.run(&world)?;
            script.tidy_up(&world)?;
            *shared = Some(world);
            found
        }
    };
    drop(initialized);
    let found = pretty(&found);
    if text == found {
        return Ok(());
    }
    if std::env::var_os(WRITE).is_some() {
        return std::fs::write(path, found).map_err(|error| error.to_string());
    }
    Err(difference(&text, &found))
}

/// As the tool writes JSON, and as it stands in the files: two blanks, a line's end.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is JSON") + "\n"
}

/// The lines that differ first, with some around them.
fn difference(wanted: &str, found: &str) -> String {
    let (wanted, found): (Vec<_>, Vec<_>) = (wanted.lines().collect(), found.lines().collect());
    let same = wanted.iter().zip(&found).take_while(|(wanted, found)| wanted == found).count();
    let around = |lines: &[&str]| lines[same.saturating_sub(8)..lines.len().min(same + 8)].join("\n");
    format!("line {}, wanted:\n{}\nfound:\n{}", same + 1, around(&wanted), around(&found))
}

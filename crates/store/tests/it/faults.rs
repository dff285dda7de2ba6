//! A disk that fails, and a process that dies, at each system call with which SQLite reads, writes or syncs.
//!
//! `strace` makes the n-th call of a kind fail, or kills the process there; n runs over all of them. The process opens a
//! store whose log is about to be checkpointed, commits a few times and says what it was told. Then another door, which
//! was open all the time, and whoever recovers the log must both show what was acknowledged, and nothing of what was
//! said not to be there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use strongroom_store::{CommitError, SqliteStore, Store, StoreError};
use strongroom_types::{RecordPath, Revision};

use crate::config;
use crate::crash::{FOLDER, path, say, told_folder};

/// Commits of the process.
const COMMITS: u64 = 4;
/// Of the number whose record fills the log, over and over.
const FILLING: u64 = 1_000;
/// Bytes of the record that a commit writes: three pages.
const RECORD_LEN: usize = 9_000;
/// How often the process asks again after a failure.
const READS: usize = 3;
/// Of SQLite's log, 992 frames of 1,000 are there: a commit of the process checkpoints.
const LOG_LEN_MIN: u64 = 985 * 4_120;

/// Child: opens, commits, and says of each commit what it was told of it.
#[test]
fn child_that_meets_faults() {
    let Some(folder) = told_folder() else { return };
    let store = match SqliteStore::open(config(&folder)) {
        Ok(store) => store,
        Err(error) => return say(format_args!("not opened: {error}")),
    };
    for number in 1..=COMMITS {
        let Some(newest) = newest(&store) else { return say(format_args!("unreadable")) };
        let outcome = store.commit(newest, &[(path(number), record(number))], &[]);
        match outcome {
            Ok(_) => say(format_args!("acknowledged {number}")),
            Err(CommitError::Unavailable(error)) => {
                say_kind(&error);
                say(format_args!("absent {number}"));
            }
            Err(CommitError::Unknown(_)) => match (0..READS).find_map(|_| store.load().ok()) {
                Some(loaded) if loaded.records.iter().any(|record| record.path == path(number)) => {
                    say(format_args!("acknowledged {number}"));
                }
                Some(_) => say(format_args!("absent {number}")),
                None => say(format_args!("unknown {number}")),
            },
            Err(other) => panic!("{other}"),
        }
    }
    say(format_args!("done"));
}

fn newest(store: &SqliteStore) -> Option<Revision> {
    (0..READS).find_map(|_| match store.revision() {
        Ok(revision) => Some(revision),
        Err(error) => {
            say_kind(&error);
            None
        }
    })
}

fn say_kind(error: &StoreError) {
    match error {
        StoreError::Unavailable { .. } => {}
        StoreError::Damaged { .. } => say(format_args!("damaged")),
        StoreError::WentBack { .. } => panic!("{error}"),
    }
}

fn record(number: u64) -> Vec<u8> {
    vec![u8::try_from(number).expect("small"); RECORD_LEN]
}

/// A store whose log is almost full, copied from `from` as a crash would leave it.
fn copied(from: &Path, to: &Path) -> PathBuf {
    let script = "mkdir \"$1\"; cp \"$0\"/cluster.sqlite \"$0\"/cluster.sqlite-wal \"$0\"/members \"$1\"";
    let status = Command::new("sh").args(["-ec", script]).arg(from).arg(to).status();
    assert!(status.expect("a shell runs").success());
    to.to_owned()
}

fn fill(folder: &Path) -> SqliteStore {
    let store = SqliteStore::open(config(folder)).expect("opens");
    let mut newest = Revision(0);
    let log = folder.join("cluster.sqlite-wal");
    while std::fs::metadata(&log).expect("a log").len() < LOG_LEN_MIN {
        newest = store.commit(newest, &[(path(FILLING), vec![0; 2 * RECORD_LEN])], &[]).expect("committed");
    }
    store
}

/// What the process said, line by line, when `strace` was told to `inject` this.
fn told(folder: &Path, inject: &[String]) -> String {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(folder.join("trace"));
    for name in ["cluster.sqlite", "cluster.sqlite-wal", "cluster.sqlite-shm"] {
        strace.arg("-P").arg(folder.join(name));
    }
    strace.args(["-e", "trace=pread64,pwrite64,fsync,ftruncate"]).args(inject);
    let child = ["--exact", "faults::child_that_meets_faults", "--nocapture", "--include-ignored"];
    strace.arg(std::env::current_exe().expect("this binary")).args(child).env(FOLDER, folder);
    let ran = strace.output().unwrap_or_else(|error| {
        panic!("strace makes a disk fail for this test and cannot be started ({error}): `cargo xtask test` installs it")
    });
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(!said.contains("FAILED"), "{inject:?}: {said}\n{}", String::from_utf8_lossy(&ran.stderr));
    said
}

/// How often each call is made by a process that nothing happens to.
fn calls(folder: &Path) -> BTreeMap<String, u64> {
    // As in each run, so that the process has no log to recover.
    let _other = SqliteStore::open(config(folder)).expect("opens");
    let said = told(folder, &[]);
    assert!(said.contains("done"), "{said}");
    let trace = std::fs::read_to_string(folder.join("trace")).expect("read");
    // The database's pages lie at multiples of their length, those in the log behind its frames' headers.
    let offset = |line: &str| line.rsplit_once(") ")?.0.rsplit_once(", ")?.1.parse::<u64>().ok();
    let is_page = |line: &&str| line.contains(", 4096, ") && offset(line).is_some_and(|offset| offset % 4_096 == 0);
    let pages = trace.lines().filter(|line| line.contains("pwrite64(")).filter(is_page).count();
    assert!(pages > 3, "no commit of the process checkpoints:\n{trace}");
    let mut calls = BTreeMap::new();
    for line in trace.lines() {
        let name = line.split_whitespace().nth(1).and_then(|call| call.split_once('('));
        *calls.entry(name.map_or("", |(name, _)| name).to_owned()).or_default() += 1;
    }
    calls
}

/// The records that a door shows, by number.
fn shown(store: &SqliteStore) -> (Revision, Vec<RecordPath>) {
    let loaded = store.load().expect("loads");
    for number in 1..=COMMITS {
        for found in loaded.records.iter().filter(|record| record.path == path(number)) {
            assert_eq!(found.sealed, record(number));
        }
    }
    (loaded.revision, loaded.records.into_iter().map(|record| record.path).collect())
}

/// Runs the process with one fault and checks what is there afterwards.
fn check(world: &Path, run: &str, call: &str, fault: &str) {
    let folder = copied(&world.join("filled"), &world.join(run));
    let other = SqliteStore::open(config(&folder)).expect("opens");
    let (base, _) = shown(&other);
    let said = told(&folder, &["-e".to_owned(), format!("inject={call}:{fault}")]);
    let of = |word: &str| -> Vec<u64> {
        said.lines().filter_map(|line| line.split_once(word)?.1.trim().parse().ok()).collect()
    };
    let (acknowledged, absent) = (of("acknowledged "), of("absent "));
    // To SQLite a page that the disk does not give back is a damaged one.
    assert!(!said.contains("damaged") || call == "pread64", "{call}:{fault}:\n{said}");
    let recovered =
        SqliteStore::open(config(&copied(&folder, &world.join(format!("{run}-recovered"))))).expect("opens");
    let is_settled = !fault.contains("KILL") && !said.contains("unknown ");
    for (view, (revision, records)) in [("open", shown(&other)), ("recovered", shown(&recovered))] {
        let context = format!("{call}:{fault}, {view}:\n{said}");
        let has = |number: &u64| records.contains(&path(*number));
        assert!(acknowledged.iter().all(has), "lost in {context}");
        assert!(!absent.iter().any(has), "came back in {context}");
        let more = usize::try_from(revision.0 - base.0).expect("few") - acknowledged.len();
        assert!(more <= usize::from(!is_settled), "{more} commits were told of to nobody in {context}");
    }
    let newest = other.revision().expect("read");
    assert_eq!(other.commit(newest, &[(path(FILLING), vec![1])], &[]).expect("committed"), newest.next());
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn whichever_call_fails_what_was_acknowledged_is_there_and_nothing_else() {
    let world = tempfile::tempdir().expect("a folder");
    let at = |name: &str| world.path().join(name);
    std::fs::create_dir(at("filled")).expect("made");
    let filled = fill(&at("filled"));
    let calls = calls(&copied(&at("filled"), &at("counted")));
    let kinds = [
        ("fsync", "error=EIO", ""),
        ("fsync", "error=EIO", "+"),
        ("fsync", "signal=KILL", ""),
        ("pwrite64", "error=EIO", ""),
        ("pwrite64", "error=ENOSPC", "+"),
        ("pwrite64", "signal=KILL", ""),
        ("pread64", "error=EIO", ""),
    ];
    let faults: Vec<(&str, String)> = kinds
        .iter()
        .flat_map(|(call, fault, lasting)| {
            let count = calls.get(*call).copied().unwrap_or(0);
            assert!(count > 0, "{call} is not called: {calls:?}");
            (1..=count).map(move |number| (*call, format!("{fault}:when={number}{lasting}")))
        })
        .collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((call, fault)) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(world.path(), &format!("{call}-{}", fault.replace([':', '='], "-")), call, fault);
                }
            });
        }
    });
    drop(filled);
}

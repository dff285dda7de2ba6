//! A database that is replaced as a whole while no HSM runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use strongroom_store::{
    Changes, Loaded, OfflineDatabase, SqliteError, SqliteStore, Store, StoredRecord, read_database,
};
use strongroom_types::{HsmId, RecordKind, RecordPath, Revision};

use crate::config;
use crate::crash::{FOLDER, say, told_folder};

fn record(number: u8, revision: u64, len: usize) -> StoredRecord {
    let path = RecordPath { kind: RecordKind::Key, id: [number; 16] };
    StoredRecord { path, revision: Revision(revision), sealed: vec![number; len] }
}

/// A database of two revisions, nobody in it.
fn filled(folder: &Path) -> Loaded {
    let store = SqliteStore::open(config(folder)).expect("opens");
    let put = |number| (record(number, 0, 0).path, record(number, 0, 9_000).sealed);
    store.commit(Revision(0), &[put(1), put(2)], &[]).expect("committed");
    store.commit(Revision(1), &[put(3)], &[put(1).0]).expect("committed");
    store.load().expect("loaded")
}

fn another() -> Loaded {
    let records = (1..=200).map(|number| record(number, 1_000, 5_000)).collect();
    Loaded { revision: Revision(1_000), records }
}

fn offline(folder: &Path) -> Result<OfflineDatabase, SqliteError> {
    OfflineDatabase::open(&config(folder))
}

fn kept(folder: &Path) -> PathBuf {
    folder.join("cluster.sqlite.before-rollback-2")
}

#[test]
fn a_database_is_replaced_and_the_old_one_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = filled(folder.path());
    let mut database = offline(folder.path()).expect("nobody uses it");
    assert_eq!(database.load().expect("loaded"), old);
    assert_eq!(database.replace(&another()).expect("replaced"), kept(folder.path()));
    drop(database);
    let store = SqliteStore::open(config(folder.path())).expect("opens");
    assert_eq!(store.load().expect("loaded"), another());
    // Whoever saw the old one has to load anew.
    assert_eq!(store.changes_since(Revision(2)).expect("told"), Changes::TooOld);
    let put = (record(7, 0, 0).path, vec![1]);
    assert_eq!(store.commit(Revision(1_000), &[put], &[]).expect("committed"), Revision(1_001));
    for entry in fs::read_dir(folder.path()).expect("listed") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
        assert!(!entry.file_name().to_string_lossy().starts_with(".new-"), "{}", entry.path().display());
    }
    drop(store);
    // The old one is whole, and is put back by its name.
    fs::rename(kept(folder.path()), folder.path().join("cluster.sqlite")).expect("put back");
    assert_eq!(offline(folder.path()).expect("opens").load().expect("loaded"), old);
}

#[test]
fn each_replaced_database_is_kept_under_a_name_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = filled(folder.path());
    let copy = folder.path().join("copy");
    offline(folder.path()).expect("opens");
    fs::copy(folder.path().join("cluster.sqlite"), &copy).expect("copied");
    let first = offline(folder.path()).expect("opens").replace(&another()).expect("replaced");
    fs::copy(&copy, folder.path().join("cluster.sqlite")).expect("put back");
    let second = offline(folder.path()).expect("opens").replace(&another()).expect("replaced");
    assert_eq!((first, second), (kept(folder.path()), folder.path().join("cluster.sqlite.before-rollback-2-2")));
    fs::rename(kept(folder.path()), folder.path().join("cluster.sqlite")).expect("put back");
    assert_eq!(offline(folder.path()).expect("opens").load().expect("loaded"), old);
}

#[test]
fn it_is_refused_while_anybody_uses_the_database_and_keeps_everybody_out() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let in_use = |outcome: Result<OfflineDatabase, SqliteError>| match outcome {
        Err(SqliteError::InUse { path }) => assert_eq!(path, folder.path().join("cluster.sqlite")),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened though it is in use"),
    };
    let member = SqliteStore::open(config(folder.path())).expect("opens");
    member.load().expect("loaded");
    in_use(offline(folder.path()));
    member.join(&HsmId::from_random([9; 7]), Revision(2), 0).expect("joined");
    in_use(offline(folder.path()));
    drop(member);
    let mut database = offline(folder.path()).expect("nobody uses it");
    std::thread::scope(|scope| {
        // It waits for as long as the database is held. If it was quick enough to have opened the old file, it must not
        // go on with that.
        let opening = scope.spawn(|| SqliteStore::open(config(folder.path())).map(|store| store.load()));
        database.replace(&another()).expect("replaced");
        drop(database);
        match opening.join().expect("no panic") {
            Ok(loaded) => assert_eq!(loaded.expect("loaded"), another()),
            Err(error) => assert!(matches!(error, SqliteError::NotWritable { .. }), "{error}"),
        }
    });
    assert_eq!(offline(folder.path()).expect("opens").load().expect("loaded"), another());
}

#[test]
fn what_a_killed_process_left_behind_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    fs::write(folder.path().join(".new-cluster.sqlite"), b"half of a database").expect("written");
    // Killed after the old database got its second name.
    offline(folder.path()).expect("opens");
    fs::hard_link(folder.path().join("cluster.sqlite"), kept(folder.path())).expect("linked");
    let mut database = offline(folder.path()).expect("opens");
    assert_eq!(database.replace(&another()).expect("replaced"), kept(folder.path()));
    drop(database);
    assert_eq!(offline(folder.path()).expect("opens").load().expect("loaded"), another());
}

#[test]
fn other_files_are_refused_and_none_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cluster.sqlite");
    assert!(matches!(offline(folder.path()), Err(SqliteError::Inaccessible { .. })));
    assert!(!path.exists());
    fs::write(&path, b"").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
    assert!(matches!(offline(folder.path()), Err(SqliteError::Access(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    assert!(matches!(offline(folder.path()), Err(SqliteError::Damaged { .. })));
    fs::write(&path, [7; 8_192]).expect("written");
    assert!(matches!(offline(folder.path()), Err(SqliteError::Foreign { .. })));
}

/// What the child puts in the old database's place: some dozens of pages.
fn a_little() -> Loaded {
    let records = (1..=20).map(|number| record(number, 1_000, 3_000)).collect();
    Loaded { revision: Revision(1_000), records }
}

/// Child: replaces the database, and says what came of it.
#[test]
fn child_that_replaces_a_little() {
    let Some(folder) = told_folder() else { return };
    let opened = OfflineDatabase::open(&config(&folder));
    match opened.and_then(|mut database| database.replace(&a_little())) {
        Ok(_) => say(format_args!("replaced")),
        Err(error) => say(format_args!("not replaced: {error}")),
    }
}

/// Child: makes the database, and says what came of it.
#[test]
fn child_that_creates_a_little() {
    let Some(folder) = told_folder() else { return };
    match OfflineDatabase::create(&config(&folder), &a_little()) {
        Ok(()) => say(format_args!("created")),
        Err(error) => say(format_args!("not created: {error}")),
    }
}

/// What the child says, when `strace` is told to `inject` this into its calls that change the folder's files.
fn told(folder: &Path, child: &str, inject: &[String]) -> String {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(folder.with_extension("trace")).arg("-P").arg(folder);
    for name in ["cluster.sqlite", ".new-cluster.sqlite", "cluster.sqlite.before-rollback-2"] {
        strace.arg("-P").arg(folder.join(name));
    }
    strace.args(["-e", &format!("trace={}", CHANGING.join(","))]).args(inject);
    let child = ["--exact", child, "--nocapture", "--include-ignored"];
    strace.arg(std::env::current_exe().expect("this binary")).args(child).env(FOLDER, folder);
    let ran = strace.output().unwrap_or_else(|error| {
        panic!("strace makes a disk fail for this test and cannot be started ({error}): `cargo xtask test` installs it")
    });
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(!said.contains("FAILED"), "{inject:?}: {said}\n{}", String::from_utf8_lossy(&ran.stderr));
    said
}

const CHANGING: [&str; 6] = ["pwrite64", "fsync", "ftruncate", "linkat", "rename", "unlink"];
const REPLACES: &str = "offline::child_that_replaces_a_little";
const CREATES: &str = "offline::child_that_creates_a_little";
/// Of writes of pages, every so many-th fails; of the other calls, each.
const PAGES_STEP: usize = 7;

/// The calls of a trace that are to fail, each by its name and its number among those of the name.
fn calls(trace: &str) -> Vec<(&'static str, usize)> {
    let count = |call: &str| trace.matches(&format!(" {call}(")).count();
    let of_one = |call: &&'static str| {
        let step = if *call == "pwrite64" { PAGES_STEP } else { 1 };
        let call = *call;
        (1..=count(call)).step_by(step).map(move |number| (call, number))
    };
    CHANGING.iter().flat_map(of_one).collect()
}

#[test]
fn a_database_is_made_where_there_is_none_and_read_while_it_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = || config(folder.path());
    assert!(matches!(read_database(&config()), Err(SqliteError::Inaccessible { .. })));
    assert!(!folder.path().join("cluster.sqlite").exists(), "looking makes nothing");
    // What another database left would be taken for the log of this one.
    for left in ["cluster.sqlite-wal", "cluster.sqlite-journal"] {
        fs::write(folder.path().join(left), "").expect("written");
        let refused = OfflineDatabase::create(&config(), &another()).expect_err("a log lies there");
        assert!(matches!(refused, SqliteError::InUse { .. }), "{refused}");
        fs::remove_file(folder.path().join(left)).expect("removed");
    }
    OfflineDatabase::create(&config(), &another()).expect("made");
    assert_eq!(read_database(&config()).expect("read"), another());
    let refused = OfflineDatabase::create(&config(), &a_little()).expect_err("there is one");
    assert!(matches!(refused, SqliteError::Inaccessible { .. }), "{refused}");
    let store = SqliteStore::open(config()).expect("opens");
    assert_eq!(store.load().expect("loaded"), another());
    assert_eq!(store.changes_since(Revision(0)).expect("told"), Changes::TooOld);
    store.join(&HsmId::from_random([9; 7]), Revision(1_000), 0).expect("joined");
    let put = (record(7, 0, 0).path, vec![1]);
    store.commit(Revision(1_000), &[put], &[]).expect("committed");
    assert_eq!(read_database(&config()).expect("read beside a member"), store.load().expect("loaded"));
    store.while_writing(|| {
        assert_eq!(read_database(&config()).expect("read beside a writer").revision, Revision(1_001));
    });
    let refused = OfflineDatabase::create(&config(), &a_little()).expect_err("somebody is in");
    assert!(matches!(refused, SqliteError::InUse { .. }), "{refused}");
    drop(store);
    fs::set_permissions(folder.path().join("cluster.sqlite"), fs::Permissions::from_mode(0o644)).expect("set");
    assert!(matches!(read_database(&config()), Err(SqliteError::Access(_))));
    for entry in fs::read_dir(folder.path()).expect("listed") {
        let name = entry.expect("an entry").file_name();
        assert!(!name.to_string_lossy().starts_with(".new-"), "{name:?}");
    }
}

#[test]
fn whichever_call_fails_or_is_the_last_the_database_is_made_whole_or_not_at_all() {
    let world = tempfile::tempdir().expect("a folder");
    let made = |name: &str| {
        let folder = world.path().join(name);
        fs::create_dir(&folder).expect("made");
        folder
    };
    let folder = made("counted");
    let said = told(&folder, CREATES, &[]);
    assert!(said.contains("created") && !said.contains("not created"), "{said}");
    let trace = fs::read_to_string(folder.with_extension("trace")).expect("read");
    let mut faults = 0;
    for (call, number) in calls(&trace) {
        for fault in ["signal=KILL", "error=EIO", "error=ENOSPC"] {
            faults += 1;
            let context = format!("{call} {number} {fault}");
            let folder = made(&format!("{call}-{number}-{}", fault.replace('=', "-")));
            let said = told(&folder, CREATES, &["-e".to_owned(), format!("inject={call}:{fault}:when={number}")]);
            let is_said = said.contains("created") && !said.contains("not created");
            let is_there = folder.join("cluster.sqlite").exists();
            assert!(is_there || !is_said, "{context}: {said}");
            if !is_there {
                OfflineDatabase::create(&config(&folder), &a_little())
                    .unwrap_or_else(|error| panic!("after {context}: {error}"));
            }
            let store = SqliteStore::open(config(&folder)).unwrap_or_else(|error| panic!("after {context}: {error}"));
            assert_eq!(store.load().expect("loads"), a_little(), "after {context}");
        }
    }
    assert!(faults >= 30, "{faults}:\n{trace}");
}

#[test]
fn whichever_call_fails_or_is_the_last_the_database_is_the_old_or_the_new_one() {
    let world = tempfile::tempdir().expect("a folder");
    let made = |name: &str| {
        let folder = world.path().join(name);
        fs::create_dir(&folder).expect("made");
        let old = filled(&folder);
        (folder, old)
    };
    let (folder, _) = made("counted");
    let said = told(&folder, REPLACES, &[]);
    assert!(said.contains("replaced") && !said.contains("not replaced"), "{said}");
    let trace = fs::read_to_string(folder.with_extension("trace")).expect("read");
    let mut faults = 0;
    for (call, number) in calls(&trace) {
        for fault in ["signal=KILL", "error=EIO", "error=ENOSPC"] {
            faults += 1;
            let context = format!("{call} {number} {fault}");
            let (folder, old) = made(&format!("{call}-{number}-{}", fault.replace('=', "-")));
            let said = told(&folder, REPLACES, &["-e".to_owned(), format!("inject={call}:{fault}:when={number}")]);
            let is_said = said.contains("replaced") && !said.contains("not replaced");
            let mut database = OfflineDatabase::open(&config(&folder)).expect("opens");
            let loaded = database.load().expect("loads");
            assert!(loaded == a_little() || (loaded == old && !is_said), "{context}: {said}");
            database.replace(&another()).unwrap_or_else(|error| panic!("after {context}: {error}"));
            assert_eq!(database.load().expect("loads"), another(), "after {context}");
        }
    }
    assert!(faults >= 30, "{faults}:\n{trace}");
}

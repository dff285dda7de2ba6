//! Processes that are killed or stopped. The children are this test binary, told by a variable what to do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use strongroom_store::{CommitError, Loaded, OfflineDatabase, SqliteStore, Store, StoreError, StoredRecord};
use strongroom_types::{HsmId, RecordKind, RecordPath, Revision};

use crate::config;

pub(crate) const FOLDER: &str = "STRONGROOM_STORE_TEST_FOLDER";
const PATIENCE: Duration = Duration::from_secs(20);

/// A child process; killed when dropped.
struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    fn start(role: &str, folder: &Path) -> Running {
        Running::start_after(":", role, folder)
    }

    /// Runs a shell's commands first, in the process that becomes the child.
    fn start_after(prepare: &str, role: &str, folder: &Path) -> Running {
        let mut child = Command::new("sh")
            .args(["-ec", &format!("{prepare}; exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().expect("this binary"))
            .args(["--exact", role, "--nocapture", "--include-ignored"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        Running { child, said }
    }

    /// The rest of the next line that begins so; none when the child has ended.
    fn told(&mut self, begin: &str) -> Option<String> {
        let mut line = String::new();
        while self.said.read_line(&mut line).expect("the child's output is text") > 0 {
            if let Some(at) = line.find(begin) {
                return Some(line[at + begin.len()..].trim().to_owned());
            }
            line.clear();
        }
        None
    }

    fn signal(&self, name: &str) {
        // A shell has `kill` built in: the program of that name is in a package that a small system may lack.
        let done = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(done.expect("a shell runs").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder, when this process is a child.
pub(crate) fn told_folder() -> Option<std::path::PathBuf> {
    std::env::var_os(FOLDER).map(Into::into)
}

pub(crate) fn say(text: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).expect("the parent reads");
}

pub(crate) fn path(number: u64) -> RecordPath {
    RecordPath { kind: RecordKind::Receipt, id: u128::from(number).to_be_bytes() }
}

fn waited(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
    }
}

/// Child: commits one record after the other, and says which is acknowledged.
#[test]
fn child_that_commits() {
    let Some(folder) = told_folder() else { return };
    let store = SqliteStore::open(config(&folder)).expect("opens");
    loop {
        let revision = store.revision().expect("read");
        match store.commit(revision, &[(path(revision.next().0), vec![1; 100])], &[]) {
            Ok(revision) => say(format_args!("acknowledged {revision}")),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Child: joins the member table and does nothing more.
#[test]
fn child_that_joins() {
    let Some(folder) = told_folder() else { return };
    let store = SqliteStore::open(config(&folder)).expect("opens");
    store.join(&HsmId::from_random([9; 7]), Revision(0), 0).expect("joins");
    say(format_args!("joined"));
    loop {
        std::thread::park();
    }
}

#[test]
fn processes_that_start_at_once_make_one_database() {
    for _ in 0..8 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writers: Vec<Running> =
            (0..4).map(|_| Running::start("crash::child_that_commits", folder.path())).collect();
        for writer in &mut writers {
            writer.told("acknowledged ").expect("it opened the database and committed");
        }
    }
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    for round in 1..=4 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writers: Vec<Running> =
            (0..2).map(|_| Running::start("crash::child_that_commits", folder.path())).collect();
        let mut acknowledged = Vec::new();
        for _ in 0..round * 7 {
            for writer in &mut writers {
                acknowledged.push(writer.told("acknowledged ").expect("it lives").parse::<u64>().expect("a revision"));
            }
        }
        writers.iter().for_each(|writer| writer.signal("KILL"));
        for writer in &mut writers {
            while let Some(more) = writer.told("acknowledged ") {
                // The last line may be cut by the kill.
                acknowledged.extend(more.parse::<u64>());
            }
        }
        let loaded = SqliteStore::open(config(folder.path())).expect("opens").load().expect("loads");
        assert_eq!(loaded.revision.0, loaded.records.len() as u64, "one record a revision");
        for number in acknowledged {
            let record = loaded.records.iter().find(|record| record.path == path(number));
            assert_eq!(record.map(|record| record.revision), Some(Revision(number)), "revision {number} was lost");
        }
    }
}

/// The shortest of a few: a busy machine may delay any of them.
fn shortest(mut measured: impl FnMut() -> Duration) -> Duration {
    (0..5).map(|_| measured()).min().expect("some")
}

#[test]
fn a_killed_member_is_gone_within_100_ms_and_wakes_who_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(config(folder.path())).expect("opens");
    let took = shortest(|| {
        let mut member = Running::start("crash::child_that_joins", folder.path());
        member.told("joined").expect("it lives");
        assert_eq!(store.members().expect("read").len(), 1);
        let seen = store.moment().expect("read");
        let begun = Instant::now();
        member.child.kill().expect("killed");
        let moment = store.wait(seen, PATIENCE).expect("waited");
        let took = begun.elapsed();
        assert_ne!(moment.entries, seen.entries);
        assert_eq!(store.members().expect("read"), []);
        took
    });
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_commit_that_woke_nobody_is_noticed_within_100_ms() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(config(folder.path())).expect("opens");
    let silent = rusqlite::Connection::open(folder.path().join("cluster.sqlite")).expect("opens");
    let took = shortest(|| {
        let seen = store.moment().expect("read");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let moment = store.wait(seen, PATIENCE).expect("waited");
                (moment, Instant::now())
            });
            silent.execute_batch("UPDATE meta SET revision = revision + 1").expect("done");
            let begun = Instant::now();
            let (moment, ended) = waiting.join().expect("no panic");
            assert_eq!(moment.revision, seen.revision.next());
            ended.saturating_duration_since(begun)
        })
    });
    assert!(took < Duration::from_millis(100), "{took:?}");
}

/// A file size limit stands for a disk on which a commit's log cannot be written to its end.
#[test]
fn a_commit_that_fails_halfway_is_settled_by_the_next_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let limit = "trap '' XFSZ; ulimit -S -f 400";
    let mut child = Running::start_after(limit, "crash::child_that_fills_its_log", folder.path());
    let newest: u64 = child.told("settled at ").expect("it reads").parse().expect("a revision");
    assert!(newest > 0);
    child.child.kill().expect("killed");
    let loaded = SqliteStore::open(config(folder.path())).expect("opens").load().expect("loads");
    assert_eq!((loaded.revision.0, loaded.records.len() as u64), (newest + 1, newest + 1));
}

/// Child: commits until it may write no more, reads, commits again when it may, and stays.
#[test]
fn child_that_fills_its_log() {
    let Some(folder) = told_folder() else { return };
    let store = SqliteStore::open(config(&folder)).expect("opens");
    let mut newest = Revision(0);
    let commit = |newest: Revision| store.commit(newest, &[(path(newest.next().0), vec![1; 20_000])], &[]);
    let failed = loop {
        match commit(newest) {
            Ok(revision) => newest = revision,
            Err(error) => break error,
        }
    };
    // Either it can be settled, and then everybody knows that it was not written; or nothing is said.
    match (&failed, store.revision()) {
        (CommitError::Unavailable(_), Ok(revision)) => assert_eq!(revision, newest),
        (CommitError::Unknown(_), Err(error)) => assert!(matches!(error, StoreError::Unavailable { .. }), "{error}"),
        (failed, read) => panic!("{failed}, then {read:?}"),
    }
    let prlimit =
        Command::new("prlimit").arg(format!("--pid={}", std::process::id())).arg("--fsize=unlimited:").status();
    assert!(prlimit.expect("prlimit runs").success());
    assert_eq!(store.revision().expect("read"), newest);
    assert_eq!(commit(newest).expect("committed"), newest.next());
    say(format_args!("settled at {newest}"));
    loop {
        std::thread::park();
    }
}

#[test]
fn a_stopped_member_is_fenced_by_killing_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(config(folder.path())).expect("opens");
    let mut member = Running::start("crash::child_that_joins", folder.path());
    member.told("joined").expect("it lives");
    member.signal("STOP");
    let entry = store.members().expect("read").remove(0);
    store.fence(&entry).expect("fenced");
    assert_eq!(store.members().expect("read"), []);
    assert_ne!(store.join(&entry.hsm_id, Revision(0), 0).expect("its place is free"), entry.incarnation);
    waited("the process's end", || member.child.try_wait().expect("asked").is_some());
}

#[test]
fn whoever_holds_the_write_lock_for_longer_than_a_lease_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut member = Running::start("crash::child_that_holds_the_lock", folder.path());
    member.told("holding").expect("it lives");
    let store = SqliteStore::open(config(folder.path()).lease_ms(200)).expect("opens");
    assert_eq!(store.commit(Revision(1), &[(path(2), vec![2])], &[]).expect("committed"), Revision(2));
    waited("the process's end", || member.child.try_wait().expect("asked").is_some());
    assert_eq!(store.load().expect("loads").records.len(), 2);
}

/// Child: stops itself in the middle of a write, while it holds SQLite's write lock.
#[test]
fn child_that_holds_the_lock() {
    let Some(folder) = told_folder() else { return };
    let store = SqliteStore::open(config(&folder)).expect("opens");
    store.join(&HsmId::from_random([8; 7]), Revision(0), 0).expect("joins");
    store.commit(Revision(0), &[(path(1), vec![1])], &[]).expect("committed");
    store.while_writing(|| {
        say(format_args!("holding"));
        loop {
            std::thread::park();
        }
    });
}

/// What [`child_that_replaces`] puts in the old database's place.
fn replacement() -> Loaded {
    let record = |number| StoredRecord { path: path(number), revision: Revision(1_000), sealed: vec![2; 4_000] };
    Loaded { revision: Revision(1_000), records: (1..=2_000).map(record).collect() }
}

/// Child: replaces the database.
#[test]
fn child_that_replaces() {
    let Some(folder) = told_folder() else { return };
    let mut database = OfflineDatabase::open(&config(&folder)).expect("opens");
    let replacement = replacement();
    say(format_args!("begins"));
    database.replace(&replacement).expect("replaced");
}

#[test]
fn a_database_that_is_being_replaced_is_the_old_or_the_new_one_whenever_the_process_dies() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let store = SqliteStore::open(config(folder.path())).expect("opens");
    store.commit(Revision(0), &[(path(1), vec![1; 100])], &[]).expect("committed");
    let old = store.load().expect("loaded");
    drop(store);
    let len_of = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    let new = file(".new-cluster.sqlite");
    let moments: [(&str, &dyn Fn() -> bool); 5] = [
        ("before anything", &|| true),
        ("the new one begun", &|| new.exists()),
        ("half of the new one written", &|| len_of(&new) > 4_000_000),
        ("the old one linked", &|| file("cluster.sqlite.before-rollback-1").exists()),
        ("the new one in its place", &|| len_of(&file("cluster.sqlite")) > 4_000_000),
    ];
    for (moment, came) in moments {
        let mut replacing = Running::start("crash::child_that_replaces", folder.path());
        assert!(replacing.told("begins").is_some());
        waited(moment, || came() || replacing.child.try_wait().expect("looked").is_some());
        // It may have ended by itself, and be known to have.
        let _ = replacing.child.kill();
        replacing.child.wait().expect("ended");
        let database = OfflineDatabase::open(&config(folder.path())).expect("opens");
        let loaded = database.load().expect("loaded");
        assert!(loaded == old || loaded == replacement(), "{moment}: revision {}", loaded.revision);
        if loaded != old {
            // It was quicker than the signal: the next round begins anew.
            drop(database);
            let kept = file("cluster.sqlite.before-rollback-1");
            std::fs::rename(kept, file("cluster.sqlite")).expect("the old one is whole under its other name");
        }
    }
}

/// Child: opens the store and keeps it open.
#[test]
fn child_that_opens() {
    let Some(folder) = told_folder() else { return };
    let opened = SqliteStore::open(config(&folder));
    say(format_args!("{}", opened.as_ref().map_or_else(ToString::to_string, |_| String::from("has it"))));
    while opened.is_ok() {
        std::thread::park();
    }
}

#[test]
fn processes_that_start_at_once_after_the_member_table_was_lost_share_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(SqliteStore::open(config(folder.path())).expect("opens"));
    for round in 0..8 {
        std::fs::remove_file(folder.path().join("members")).expect("removed");
        let mut processes: Vec<Running> =
            (0..4).map(|_| Running::start("crash::child_that_opens", folder.path())).collect();
        for process in &mut processes {
            assert!(process.told("has it").is_some(), "round {round}");
        }
    }
}

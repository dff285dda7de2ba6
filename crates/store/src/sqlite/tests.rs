//! What needs a look inside: commits without an outcome, transactions left open, a full disk.

use std::path::Path;
use std::process::Command;

use strongroom_types::RecordKind;

use super::*;

fn config(folder: &Path) -> SqliteConfig {
    SqliteConfig::new(folder.join("cluster.sqlite"), folder.join("members"))
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(config(folder)).unwrap()
}

fn put(number: u8, len: usize) -> (RecordPath, Vec<u8>) {
    (RecordPath { kind: RecordKind::Key, id: [number; 16] }, vec![number; len])
}

/// Runs in a process of its own: to open and close a database's file in this one takes SQLite's locks away.
fn shell(folder: &Path, script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).current_dir(folder).status().unwrap().success(), "{script}");
}

/// What a process finds that recovers the log of `name` as it is now, as after the death of every HSM.
fn recovered(folder: &Path, name: &str, copy: &str) -> Loaded {
    shell(folder, &format!("mkdir {copy}; cd {name}; cp cluster.sqlite cluster.sqlite-wal members ../{copy}"));
    open(&folder.join(copy)).load().unwrap()
}

#[test]
fn a_commit_whose_sync_failed_is_gone_for_good_once_it_was_read_as_gone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("whole")).unwrap();
    let whole = open(&at("whole"));
    whole.commit(Revision(0), &[put(1, 10)], &[]).unwrap();
    // The same cluster, whose next commit got all its frames into the log and failed after that.
    shell(folder.path(), "mkdir failed; cd whole; cp cluster.sqlite cluster.sqlite-wal members ../failed");
    whole.commit(Revision(1), &[put(2, 9_000), put(3, 10)], &[]).unwrap();
    let failed = open(&at("failed"));
    shell(
        folder.path(),
        "old=$(stat -c %s failed/cluster.sqlite-wal); new=$(stat -c %s whole/cluster.sqlite-wal); test $new -gt $old
         tail -c +$((old + 1)) whole/cluster.sqlite-wal >> failed/cluster.sqlite-wal",
    );
    assert_eq!(failed.newest(&failed.reader.lock().unwrap()).unwrap(), Revision(1));
    // The danger: whoever recovers this log takes the frames for committed.
    assert_eq!(recovered(folder.path(), "failed", "danger").revision, Revision(2));

    failed.unsettled.store(2, SeqCst);
    assert_eq!(failed.revision().unwrap(), Revision(1));
    assert_eq!(failed.unsettled.load(SeqCst), 0);
    let settled = recovered(folder.path(), "failed", "settled");
    assert_eq!((settled.revision, settled.records.len()), (Revision(1), 1));
    // A commit takes their place as well as a settlement does.
    assert_eq!(failed.commit(Revision(1), &[put(4, 10)], &[]).unwrap(), Revision(2));
    let loaded = recovered(folder.path(), "failed", "after");
    assert_eq!(loaded.records.iter().map(|record| record.path.id[0]).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn a_commit_that_failed_at_its_end_is_unknown_until_a_read_settles_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(Revision(0), &[put(1, 10)], &[]).unwrap();
    let refuse_commits = |refuse: bool| store.writer().commit_hook(refuse.then_some(|| true)).unwrap();
    refuse_commits(true);
    let error = store.commit(Revision(1), &[put(2, 10)], &[]).unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)), "{error}");
    // To settle it takes a commit too.
    assert!(matches!(store.revision(), Err(StoreError::Unavailable { .. })));
    refuse_commits(false);
    assert_eq!(store.revision().unwrap(), Revision(1));
    assert_eq!(store.unsettled.load(SeqCst), 0);
    assert_eq!(store.load().unwrap().records.len(), 1);
}

#[test]
fn a_commit_of_anybody_settles_one_without_an_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (SqliteStore::open(config(folder.path()).lease_ms(20)).unwrap(), open(folder.path()));
    store.commit(Revision(0), &[put(1, 10)], &[]).unwrap();
    store.unsettled.store(2, SeqCst);
    other.commit(Revision(1), &[put(2, 10)], &[]).unwrap();
    // The lock is taken: nothing is written for it.
    other.while_writing(|| assert_eq!(store.revision().unwrap(), Revision(2)));
    assert_eq!(store.unsettled.load(SeqCst), 0);
}

#[test]
fn nothing_is_read_while_a_commit_cannot_be_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (SqliteStore::open(config(folder.path()).lease_ms(20)).unwrap(), open(folder.path()));
    store.commit(Revision(0), &[put(1, 10)], &[]).unwrap();
    store.unsettled.store(2, SeqCst);
    other.while_writing(|| {
        assert!(matches!(store.revision(), Err(StoreError::Unavailable { .. })));
        assert!(matches!(store.load(), Err(StoreError::Unavailable { .. })));
        assert!(matches!(store.changes_since(Revision(0)), Err(StoreError::Unavailable { .. })));
        assert!(matches!(store.moment(), Err(StoreError::Unavailable { .. })));
    });
    assert_eq!(store.revision().unwrap(), Revision(1));
}

#[test]
fn a_transaction_left_open_by_a_panic_is_undone_by_the_next_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.writer().execute_batch("BEGIN IMMEDIATE; UPDATE meta SET revision = 7").unwrap();
    let thread = std::thread::scope(|scope| {
        let panics = || {
            let _writer = store.writer();
            panic!("on purpose, with the lock held");
        };
        scope.spawn(panics).join()
    });
    assert!(thread.is_err());
    assert_eq!(store.commit(Revision(0), &[put(1, 10)], &[]).unwrap(), Revision(1));
}

#[test]
fn a_full_disk_refuses_a_commit_says_so_and_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(Revision(0), &[put(1, 10)], &[]).unwrap();
    let limit = |pages: i64| {
        store.writer().pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0)).unwrap()
    };
    limit(1);
    let error = store.commit(Revision(1), &[put(2, 30_000)], &[]).unwrap_err();
    assert!(matches!(error, CommitError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("is full; make room"), "{error}");
    assert_eq!(store.load().unwrap().records.len(), 1);
    limit(1_000);
    assert_eq!(store.commit(Revision(1), &[put(2, 30_000)], &[]).unwrap(), Revision(2));
}

#[test]
fn a_commit_tells_every_process_that_sleeps() {
    let folder = tempfile::tempdir().unwrap();
    let (store, table) = (open(folder.path()), Table::open(&folder.path().join("members")).unwrap());
    let seen = table.signal();
    store.commit(Revision(0), &[], &[]).unwrap();
    assert_ne!(table.signal(), seen);
    assert_eq!(table.writer(), 0, "nobody writes any more");
}

#[test]
fn a_stuck_writer_of_this_process_is_told_of_and_not_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (stuck, waits) = (open(folder.path()), SqliteStore::open(config(folder.path()).lease_ms(20)).unwrap());
    let refused = |what: &str| {
        let error = waits.commit(Revision(0), &[], &[]).unwrap_err();
        assert!(matches!(error, CommitError::Unavailable(_)) && error.to_string().contains(what), "{error}");
    };
    // Without an entry nobody knows whom to kill.
    stuck.while_writing(|| refused("locked by another process"));
    stuck.join(&HsmId::from_random([1; 7]), Revision(0), 0).unwrap();
    stuck.while_writing(|| refused("does not kill itself"));
    waits.commit(Revision(0), &[], &[]).unwrap();
}

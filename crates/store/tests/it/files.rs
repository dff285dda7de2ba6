//! Files that are there, missing, damaged, somebody else's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use strongroom_store::{AccessError, Changes, CommitError, Loaded, SqliteError, SqliteStore, Store, StoreError};
use strongroom_types::{HsmId, RecordKind, RecordPath, Revision};

use crate::config;

fn path() -> RecordPath {
    RecordPath { kind: RecordKind::Key, id: [1; 16] }
}

fn opened(folder: &Path) -> Result<SqliteStore, SqliteError> {
    SqliteStore::open(config(folder))
}

fn sql(folder: &Path, text: &str) {
    let connection = rusqlite::Connection::open(folder.join("cluster.sqlite")).expect("opens");
    connection.execute_batch(text).expect("done");
}

fn filled(folder: &Path) {
    opened(folder).expect("opens").commit(Revision(0), &[(path(), vec![7; 9000])], &[]).expect("committed");
}

#[test]
fn what_was_committed_is_there_after_reopening_and_nobody_else_may_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let store = opened(folder.path()).expect("opens again");
    let loaded = store.load().expect("loads");
    assert_eq!((loaded.revision, loaded.records.len()), (Revision(1), 1));
    for entry in fs::read_dir(folder.path()).expect("listed") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn other_files_are_refused_by_what_is_wrong_with_them() {
    let check = |name: &str, spoil: &dyn Fn(&Path), expected: fn(&SqliteError) -> bool| {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path());
        spoil(folder.path());
        match opened(folder.path()) {
            Err(error) => assert!(expected(&error), "{name}: {error}"),
            Ok(_) => panic!("{name}: opened"),
        }
    };
    check(
        "text",
        &|folder| {
            fs::write(folder.join("cluster.sqlite"), "not a database, but long enough for its header".repeat(9))
                .expect("written")
        },
        |error| matches!(error, SqliteError::Foreign { .. }),
    );
    check("somebody's database", &|folder| sql(folder, "PRAGMA application_id = 1"), |error| {
        matches!(error, SqliteError::Foreign { .. })
    });
    check("a later version", &|folder| sql(folder, "PRAGMA user_version = 2"), |error| {
        matches!(error, SqliteError::TooNew { found: 2, known: 1, .. })
    });
    check("a table less", &|folder| sql(folder, "DROP TABLE deletions"), |error| {
        matches!(error, SqliteError::Damaged { .. })
    });
    check("no revision", &|folder| sql(folder, "DELETE FROM meta"), |error| {
        matches!(error, SqliteError::Damaged { .. })
    });
    check(
        "a folder",
        &|folder| {
            fs::remove_file(folder.join("cluster.sqlite")).expect("removed");
            fs::create_dir(folder.join("cluster.sqlite")).expect("made");
        },
        |error| matches!(error, SqliteError::Foreign { .. }),
    );
    check(
        "a mode that lets others in",
        &|folder| {
            fs::set_permissions(folder.join("cluster.sqlite"), fs::Permissions::from_mode(0o644)).expect("set");
        },
        |error| matches!(error, SqliteError::Access(AccessError::Exposed { mode: 0o644, .. })),
    );
    check("another member table", &|folder| fs::write(folder.join("members"), "x").expect("written"), |error| {
        matches!(error, SqliteError::Table(_))
    });
    let nowhere = tempfile::tempdir().expect("a folder");
    assert!(matches!(opened(&nowhere.path().join("no/such")), Err(SqliteError::Table(_))));
}

#[test]
fn a_record_under_no_path_is_damage_and_not_a_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    for spoil in ["UPDATE records SET path = x'0001'", "UPDATE records SET revision = -1"] {
        sql(folder.path(), spoil);
        let store = opened(folder.path()).expect("opens");
        assert!(matches!(store.load(), Err(StoreError::Damaged { .. })), "{spoil}");
    }
    let store = opened(folder.path()).expect("opens");
    sql(folder.path(), "UPDATE records SET revision = 1");
    assert!(matches!(store.changes_since(Revision(0)), Err(StoreError::Damaged { .. })));
    for spoil in ["UPDATE meta SET revision = -1", "DELETE FROM meta"] {
        sql(folder.path(), spoil);
        assert!(matches!(store.revision(), Err(StoreError::Damaged { .. })), "{spoil}");
        let error = store.commit(Revision(1), &[], &[]).expect_err("nothing to compare with");
        assert!(matches!(error, CommitError::Unavailable(StoreError::Damaged { .. })), "{spoil}: {error}");
    }
}

/// What a database of these bytes comes to: true when it reads as `expected`, or says what is wrong.
fn reads_right_or_says_why(database: &[u8], members: &[u8], expected: &Loaded) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in [("cluster.sqlite", database), ("members", members)] {
        fs::write(folder.path().join(name), bytes).expect("written");
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).expect("set");
    }
    let Ok(store) = opened(folder.path()) else { return true };
    let (loaded, changes) = (store.load(), store.changes_since(Revision(0)));
    let _ = store.commit(Revision(1), &[(path(), vec![8; 9000])], &[]);
    match (loaded, changes) {
        (Ok(loaded), Ok(Changes::Since(delta))) => loaded == *expected && delta.puts == expected.records,
        (Ok(_), Ok(Changes::TooOld)) => false,
        (Err(_), _) | (_, Err(_)) => true,
    }
}

/// Where bytes of the database are others, a whole page is garbage or the end is missing: an error or the right answer,
/// and never a panic.
#[test]
fn whatever_is_damaged_nobody_panics() {
    const PAGE_LEN: usize = 4096;
    let whole = tempfile::tempdir().expect("a folder");
    filled(whole.path());
    let expected = opened(whole.path()).expect("opens").load().expect("loads");
    let read = |name: &str| fs::read(whole.path().join(name)).expect("read");
    let (good, members) = (read("cluster.sqlite"), read("members"));
    let (mut tried, mut silent) = (0, 0);
    let mut check = |spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        spoil(&mut bytes);
        tried += 1;
        silent += usize::from(!reads_right_or_says_why(&bytes, &members, &expected));
    };
    for page in (0..good.len()).step_by(PAGE_LEN) {
        for garbage in [0x00, 0xff, 0x5a] {
            check(&|bytes| bytes[page..][..PAGE_LEN].fill(garbage));
        }
        for at in [0, 3, 8, 12, 40, 100, PAGE_LEN - 1] {
            check(&|bytes| bytes[page + at] ^= 0xff);
        }
        check(&|bytes| bytes.truncate(page + PAGE_LEN / 2));
    }
    assert!(reads_right_or_says_why(&good, &members, &expected));
    // A record's own bytes are not SQLite's to judge: they are sealed, and whoever opens the seal notices.
    assert!(silent * 4 < tried, "{silent} of {tried} went unnoticed");
}

#[test]
fn a_database_that_was_removed_moved_or_replaced_is_neither_read_nor_written() {
    for (name, is_back) in [
        ("cluster.sqlite", false),
        ("cluster.sqlite", true),
        ("cluster.sqlite-wal", false),
        ("cluster.sqlite-shm", true),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path());
        let store = opened(folder.path()).expect("opens");
        store.join(&HsmId::from_random([1; 7]), Revision(1), 0).expect("joins");
        let (place, away) = (folder.path().join(name), folder.path().join("away"));
        fs::rename(&place, &away).expect("moved");
        if is_back {
            fs::copy(&away, &place).expect("another of the same content");
        }
        for error in [
            store.revision().expect_err("no answer"),
            store.load().expect_err("no answer"),
            store.changes_since(Revision(0)).expect_err("no answer"),
        ] {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{name}: {error}");
            assert!(error.to_string().contains("removed or replaced"), "{name}: {error}");
        }
        let error = store.commit(Revision(1), &[(path(), vec![8])], &[]).expect_err("nowhere to write");
        assert!(matches!(error, CommitError::Unavailable(_)), "{name}: {error}");
        // The member table is another matter: it stands, and so do its entries.
        store.renew(Revision(1), 0).expect("renewed");
        assert_eq!(store.members().expect("read").len(), 1);
        fs::rename(&away, &place).expect("put back");
        assert_eq!(store.commit(Revision(1), &[(path(), vec![8])], &[]).expect("committed"), Revision(2));
    }
}

#[test]
fn no_new_database_is_made_beside_members_that_run_on_another() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let store = opened(folder.path()).expect("opens");
    store.join(&HsmId::from_random([1; 7]), Revision(1), 0).expect("joins");
    fs::create_dir(folder.path().join("away")).expect("made");
    fs::rename(folder.path().join("cluster.sqlite"), folder.path().join("away/cluster.sqlite")).expect("moved");
    // Beside the log that those members use a new one would even delete it.
    assert!(matches!(opened(folder.path()).err(), Some(SqliteError::LogAlone { .. })));
    for name in ["cluster.sqlite-wal", "cluster.sqlite-shm"] {
        fs::rename(folder.path().join(name), folder.path().join("away").join(name)).expect("moved");
    }
    for _ in 0..2 {
        match opened(folder.path()) {
            Err(error) => assert!(matches!(error, SqliteError::MembersElsewhere { .. }), "{error}"),
            Ok(_) => panic!("two databases for one table"),
        }
    }
    store.leave();
    assert_eq!(opened(folder.path()).expect("nobody is left").revision().expect("read"), Revision(0));
}

/// What the last commits wrote may be in the log alone, also when the processes that wrote it are gone.
#[test]
fn a_log_without_its_database_is_kept_until_the_database_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let crashed = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let store = opened(folder.path()).expect("opens");
    store.commit(Revision(1), &[(path(), vec![8])], &[]).expect("committed");
    // As `kill -9` leaves it.
    for name in ["cluster.sqlite", "cluster.sqlite-wal", "members"] {
        let copied = std::process::Command::new("cp").arg(at(name)).arg(crashed.path()).status();
        assert!(copied.expect("cp runs").success());
    }
    let (place, away) = (crashed.path().join("cluster.sqlite"), crashed.path().join("away"));
    fs::rename(&place, &away).expect("moved");
    for _ in 0..2 {
        match opened(crashed.path()) {
            Err(error @ SqliteError::LogAlone { .. }) => assert!(error.to_string().contains("put the database back")),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("a new database took the lost one's place"),
        }
    }
    fs::rename(&away, &place).expect("put back");
    assert_eq!(opened(crashed.path()).expect("opens").revision().expect("read"), Revision(2));
}

#[test]
fn another_member_table_is_taken_only_when_nobody_uses_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path()).expect("opens");
    store.join(&HsmId::from_random([1; 7]), Revision(0), 0).expect("joins");
    fs::rename(folder.path().join("members"), folder.path().join("elsewhere")).expect("renamed");
    match opened(folder.path()) {
        Err(error) => assert!(matches!(error, SqliteError::OtherTable { .. }), "{error}"),
        Ok(_) => panic!("two tables for one database"),
    }
    drop(store);
    let store = opened(folder.path()).expect("nobody else has it open");
    assert_eq!(store.members().expect("read"), []);
    store.commit(Revision(0), &[(path(), vec![1])], &[]).expect("committed");
}

#[test]
fn a_store_put_back_under_an_open_door_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let store = opened(folder.path()).expect("opens");
    assert_eq!(store.revision().expect("read"), Revision(1));
    sql(folder.path(), "UPDATE meta SET revision = 0");
    assert!(matches!(store.revision(), Err(StoreError::WentBack { seen: Revision(1), newest: Revision(0) })));
}

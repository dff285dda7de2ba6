//! Files that are there, missing, damaged, somebody else's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use strongroom_store::{SqliteError, SqliteStore, Store, StoreError};
use strongroom_types::{HsmId, RecordKind, RecordPath, Revision};

use crate::config;

fn path() -> RecordPath {
    RecordPath { kind: RecordKind::Key, id: [1; 16] }
}

fn opened(folder: &Path) -> Result<SqliteStore, SqliteError> {
    SqliteStore::open(config(folder))
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
    let sql = |folder: &Path, text: &str| {
        let connection = rusqlite::Connection::open(folder.join("cluster.sqlite")).expect("opens");
        connection.execute_batch(text).expect("done");
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
    let connection = rusqlite::Connection::open(folder.path().join("cluster.sqlite")).expect("opens");
    connection.execute_batch("UPDATE records SET path = x'0001'").expect("done");
    let store = opened(folder.path()).expect("opens");
    assert!(matches!(store.load(), Err(StoreError::Damaged { .. })));
    assert!(matches!(store.changes_since(Revision(0)), Err(StoreError::Damaged { .. })));
}

#[test]
fn another_member_table_is_taken_only_when_nobody_uses_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path()).expect("opens");
    store.join(&HsmId::from_random([1; 7]), Revision(0)).expect("joins");
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
    let connection = rusqlite::Connection::open(folder.path().join("cluster.sqlite")).expect("opens");
    connection.execute_batch("UPDATE meta SET revision = 0").expect("done");
    assert!(matches!(store.revision(), Err(StoreError::WentBack { seen: Revision(1), newest: Revision(0) })));
}

//! Opening the database: a new one gets its schema, an old one is checked before it is used.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use strongroom_types::Revision;

use super::rows::number;
use super::{SqliteConfig, files, is_busy};
use crate::table::{Table, user};
use crate::{SqliteError, StoreError, access};

/// The schema's version, `PRAGMA user_version`.
const FORMAT: i64 = 1;
/// `PRAGMA application_id`: "SRcl".
const APPLICATION_ID: i64 = 0x5352_636c;
/// Before this version SQLite may corrupt a log that several processes write and checkpoint.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long opening waits for other processes that open, make or recover the database.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// How long an HSM with another member table than the database names waits for others to let go of it.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);
/// Kibibytes of pages that a connection keeps.
const CACHE_KIB: i64 = 512;

pub(super) const SCHEMA: &str = "
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    forgotten INTEGER NOT NULL,
    member_table BLOB NOT NULL
) STRICT;
CREATE TABLE records (
    path BLOB NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX records_by_revision ON records (revision);
CREATE TABLE deletions (
    path BLOB PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deletions_by_revision ON deletions (revision);
";

/// Refuses a SQLite that is not safe for several processes.
pub(super) fn check_library() -> Result<(), SqliteError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(SqliteError::LibraryTooOld { found: rusqlite::version() });
    }
    Ok(())
}

/// A connection to a database that is there, with this project's settings.
pub(super) fn connection(config: &SqliteConfig) -> Result<Connection, SqliteError> {
    let path = &config.database;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| wrap(path, error))?;
    connection.busy_timeout(Duration::from_secs(1)).map_err(|error| wrap(path, error))?;
    connection.set_prepared_statement_cache_capacity(32);
    let set = |name: &str, value: i64| connection.pragma_update(None, name, value).map_err(|error| wrap(path, error));
    set("synchronous", 2)?;
    set("cache_size", -CACHE_KIB)?;
    set("trusted_schema", 0)?;
    set("cell_size_check", 1)?;
    Ok(connection)
}

/// The connection that writes. The database is made if it is not there.
pub(super) fn database(config: &SqliteConfig, table: &Table) -> Result<Connection, SqliteError> {
    let path = &config.database;
    create_file(path)?;
    let connection = connection(config)?;
    let deadline = Instant::now() + OPEN_WAIT;
    retried(path, deadline, || prepare(&connection, path, table))?;
    retried(path, deadline, || log_mode(&connection, path))?;
    let connection = if retried(path, deadline, || named(&connection, path).map(Some))? == table.id() {
        connection
    } else {
        drop(connection);
        take_over(config, table)?
    };
    // From here on waiting is the store's own, so that it can tell who is waited for.
    connection.busy_timeout(Duration::ZERO).map_err(|error| wrap(path, error))?;
    Ok(connection)
}

/// An empty file that only its owner may read; SQLite gives its log the same mode.
fn create_file(path: &Path) -> Result<(), SqliteError> {
    // Closing a descriptor of a file takes every lock away that this process has on the file (POSIX), also SQLite's.
    static CREATING: Mutex<()> = Mutex::new(());
    let _alone = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    let inaccessible = |source| SqliteError::Inaccessible { path: path.to_owned(), source };
    refuse_log_alone(path)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all().and_then(|()| crate::sync_folder_of(path)).map_err(inaccessible),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let metadata = std::fs::metadata(path).map_err(inaccessible)?;
            if !metadata.is_file() {
                return Err(SqliteError::Foreign { path: path.to_owned() });
            }
            Ok(access::check(path, &metadata, user())?)
        }
        Err(error) => Err(inaccessible(error)),
    }
}

/// Refuses to make a database beside the log of one that is gone: SQLite would delete that log, and with it what was
/// committed last.
fn refuse_log_alone(path: &Path) -> Result<(), SqliteError> {
    let log = files::beside(path, "-wal");
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    // Looked for again after the log was seen: another process may have made both in between.
    let is_alone = !is_there(path) && is_there(&log) && !is_there(path);
    if is_alone { Err(SqliteError::LogAlone { path: path.to_owned(), log }) } else { Ok(()) }
}

/// Repeats what other processes are in the way of.
fn retried<T>(
    path: &Path,
    deadline: Instant,
    mut action: impl FnMut() -> Result<Option<T>, SqliteError>,
) -> Result<T, SqliteError> {
    loop {
        match action() {
            Ok(Some(done)) => return Ok(done),
            Ok(None) | Err(SqliteError::Locked { .. }) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            return Err(SqliteError::Locked { path: path.to_owned() });
        }
        std::thread::sleep(PAUSE);
    }
}

fn pragma(connection: &Connection, path: &Path, name: &str) -> Result<i64, SqliteError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|error| wrap(path, error))
}

/// Checks the schema of a database that is there, which takes no write lock: another process may hold it for long. Makes
/// that of a new one.
fn prepare(connection: &Connection, path: &Path, table: &Table) -> Result<Option<()>, SqliteError> {
    if is_made(connection, path)? {
        return check_schema(connection, path).map(Some);
    }
    connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| wrap(path, error))?;
    // Another process may have made it in the meantime.
    let made = is_made(connection, path).and_then(|made| if made { Ok(()) } else { make(connection, path, table) });
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.execute_batch(end).map_err(|error| wrap(path, error));
    made.and(ended).map(Some)
}

/// What tells whose a database is: application id, version, and how many tables and indexes it has.
///
/// All read at one moment: another process may be making the database, and then half of an answer is wrong.
fn marks(connection: &Connection, path: &Path) -> Result<(i64, i64, i64), SqliteError> {
    // A savepoint is a transaction of its own, or part of the one that is open.
    connection.execute_batch("SAVEPOINT look").map_err(|error| wrap(path, error))?;
    let marks = || {
        let objects = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
        let objects = objects.map_err(|error| wrap(path, error))?;
        Ok((pragma(connection, path, "application_id")?, pragma(connection, path, "user_version")?, objects))
    };
    let marks = marks();
    connection.execute_batch("RELEASE look").map_err(|error| wrap(path, error))?;
    marks
}

/// Whether this project made the database; false when it is new.
pub(super) fn is_made(connection: &Connection, path: &Path) -> Result<bool, SqliteError> {
    match marks(connection, path)? {
        (APPLICATION_ID, FORMAT, _) => Ok(true),
        (APPLICATION_ID, found, _) if found > FORMAT => {
            Err(SqliteError::TooNew { path: path.to_owned(), found, known: FORMAT })
        }
        (0, 0, 0) => Ok(false),
        _ => Err(SqliteError::Foreign { path: path.to_owned() }),
    }
}

/// Under the write lock. Nobody can have joined the table that belongs to a database which was never made.
fn make(connection: &Connection, path: &Path, table: &Table) -> Result<(), SqliteError> {
    if table.is_anybody_in()? {
        return Err(SqliteError::MembersElsewhere { database: path.to_owned(), table: table.path().to_owned() });
    }
    make_schema(connection, Revision(0), table.id()).map_err(|error| wrap(path, error))
}

/// The tables and the numbers of a new database, which stands at `revision` and remembers no deletion before it.
pub(super) fn make_schema(connection: &Connection, revision: Revision, table: [u8; 16]) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    let insert = "INSERT INTO meta (id, revision, forgotten, member_table) VALUES (1, ?1, ?1, ?2)";
    connection.execute(insert, params![number(revision), table]).map(drop)
}

pub(super) fn check_schema(connection: &Connection, path: &Path) -> Result<(), SqliteError> {
    let damaged =
        |source| SqliteError::Damaged { path: path.to_owned(), what: "a table of it is missing or another", source };
    for query in [
        "SELECT id, revision, forgotten, member_table FROM meta",
        "SELECT path, revision, sealed FROM records",
        "SELECT path, revision FROM deletions",
        "SELECT revision FROM records INDEXED BY records_by_revision WHERE revision > 0",
        "SELECT revision FROM deletions INDEXED BY deletions_by_revision WHERE revision > 0",
    ] {
        match connection.prepare(query) {
            Ok(_) => {}
            Err(error) if is_busy(&error) => return Err(wrap(path, error)),
            Err(error) => return Err(damaged(Some(error))),
        }
    }
    match connection.query_row("SELECT count(*) FROM meta WHERE id = 1", [], |row| row.get::<_, i64>(0)) {
        Ok(1) => Ok(()),
        Ok(_) => Err(damaged(None)),
        Err(error) => Err(wrap(path, error)),
    }
}

fn log_mode(connection: &Connection, path: &Path) -> Result<Option<()>, SqliteError> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| wrap(path, error))?;
    Ok((mode == "wal").then_some(()))
}

/// The member table that a database names.
fn named(connection: &Connection, path: &Path) -> Result<Vec<u8>, SqliteError> {
    let query = "SELECT member_table FROM meta WHERE id = 1";
    connection.query_row(query, [], |row| row.get(0)).map_err(|error| wrap(path, error))
}

/// The database names the member table that its HSMs use. Another table is taken over only while nobody else has the
/// database open: two tables would be two sets of members that do not wait for each other.
///
/// HSMs that start at once with a new table would keep each other from that. So they do it one after the other, and who
/// waits does not have the database open.
fn take_over(config: &SqliteConfig, table: &Table) -> Result<Connection, SqliteError> {
    let path = &config.database;
    let deadline = Instant::now() + TAKE_OVER_WAIT;
    let Some(_turn) = table.turn_to_take_over(deadline)? else { return Err(other_table(config, table)) };
    loop {
        let connection = connection(config)?;
        retried(path, deadline, || log_mode(&connection, path))?;
        let named = retried(path, deadline, || named(&connection, path).map(Some))?;
        if named == table.id() || is_taken_over(&connection, path, table)? {
            return Ok(connection);
        }
        drop(connection);
        if Instant::now() >= deadline {
            return Err(other_table(config, table));
        }
        std::thread::sleep(PAUSE);
    }
}

/// False when somebody else has the database open.
fn is_taken_over(connection: &Connection, path: &Path, table: &Table) -> Result<bool, SqliteError> {
    // Leaving the log mode succeeds for the only connection alone.
    let alone = connection.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0));
    match alone {
        Ok(mode) if mode == "delete" => {}
        Ok(_) => return Ok(false),
        Err(error) if is_busy(&error) => return Ok(false),
        Err(error) => return Err(wrap(path, error)),
    }
    let update = "UPDATE meta SET member_table = ?1 WHERE id = 1";
    let updated = connection.execute(update, params![table.id()]).map_err(|error| wrap(path, error));
    log_mode(connection, path)?;
    updated.map(|_| true)
}

fn other_table(config: &SqliteConfig, table: &Table) -> SqliteError {
    SqliteError::OtherTable { table: table.path().to_owned(), database: config.database.clone() }
}

/// What SQLite says, with the fix.
pub(super) fn wrap(path: &Path, error: rusqlite::Error) -> SqliteError {
    let path = path.to_owned();
    let what = match &error {
        rusqlite::Error::QueryReturnedNoRows => Some("its newest revision is missing"),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => Some("it holds a value that is none"),
        _ => None,
    };
    if let Some(what) = what {
        return SqliteError::Damaged { path, what, source: Some(error) };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => SqliteError::DiskFull { path },
        Some(ErrorCode::DatabaseCorrupt) => {
            // Also what SQLite makes of EIO when it reads.
            let what = "a page of it is damaged, or its disk does not give it back";
            SqliteError::Damaged { path, what, source: Some(error) }
        }
        Some(ErrorCode::NotADatabase) => SqliteError::Foreign { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => SqliteError::NotWritable { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SqliteError::Locked { path },
        _ => SqliteError::Unusable { path, source: error },
    }
}

impl From<SqliteError> for StoreError {
    fn from(error: SqliteError) -> StoreError {
        match &error {
            SqliteError::Damaged { .. } | SqliteError::Foreign { .. } | SqliteError::TooNew { .. } => {
                StoreError::damaged(error)
            }
            _ => StoreError::unavailable(error),
        }
    }
}

//! The embedded store: one SQLite file a cluster, opened by every HSM process of the host, and the member table beside
//! it (`docs/spec/store.md`).
//!
//! * Write-ahead log, `synchronous=FULL`: a commit that returns is on disk.
//! * One writer at a time, by SQLite's own lock. Whoever holds it notes so in the member table; a process that holds it
//!   for longer than a lease is killed by the one that waits, and its transaction ends with it.
//! * Readers never wait for writers.

mod open;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior, params};
use strongroom_types::limits::{DELETIONS_KEPT_REVISIONS, LEASE_MS_DEFAULT};
use strongroom_types::{HsmId, Incarnation, RecordPath, Revision};

use crate::table::Table;
use crate::{
    Changes, CommitError, Delta, FenceError, JoinError, Loaded, MemberEntry, Moment, RenewError, SqliteError, Store,
    StoreError, StoredRecord, batch,
};

/// How long a member's death, or a commit whose process died before it could wake anybody, stays unnoticed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two tries to get the write lock.
const LOCK_PAUSE: Duration = Duration::from_micros(500);

/// Where a cluster's database and member table lie.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    database: PathBuf,
    members: PathBuf,
    lease: Duration,
    deletions_kept: u64,
}

impl SqliteConfig {
    /// These files; made when they are not there. Both belong on a local file system.
    pub fn new(database: impl Into<PathBuf>, members: impl Into<PathBuf>) -> SqliteConfig {
        SqliteConfig {
            database: database.into(),
            members: members.into(),
            lease: Duration::from_millis(LEASE_MS_DEFAULT),
            deletions_kept: DELETIONS_KEPT_REVISIONS,
        }
    }

    /// How long another process may hold the write lock before it is killed, in milliseconds.
    #[must_use]
    pub fn lease_ms(self, lease_ms: u64) -> SqliteConfig {
        SqliteConfig { lease: Duration::from_millis(lease_ms), ..self }
    }

    /// For how many revisions deletions are remembered.
    #[must_use]
    pub fn deletions_kept(self, revisions: u64) -> SqliteConfig {
        SqliteConfig { deletions_kept: revisions, ..self }
    }
}

/// One member's door to a cluster's database on this host.
pub struct SqliteStore {
    config: SqliteConfig,
    table: Table,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    /// The highest revision that this door has seen.
    seen: AtomicU64,
}

impl SqliteStore {
    /// Opens the database and the member table, and makes what is missing.
    pub fn open(config: SqliteConfig) -> Result<SqliteStore, SqliteError> {
        open::check_library()?;
        let table = Table::open(&config.members)?;
        let writer = open::database(&config, &table)?;
        let reader = open::connection(&config)?;
        let store = SqliteStore {
            config,
            table,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            seen: AtomicU64::new(0),
        };
        Ok(store)
    }

    /// Holds SQLite's write lock, noted as every writer notes it, while `action` runs; for tests of what others do then.
    #[cfg(any(test, feature = "contract"))]
    pub fn while_writing(&self, action: impl FnOnce()) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin(&writer).expect("nobody else writes");
        let _writing = self.table.writing();
        action();
        let _ = writer.execute_batch("ROLLBACK");
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrap(&self, error: rusqlite::Error) -> StoreError {
        open::wrap(&self.config.database, error).into()
    }

    fn damaged(&self, what: &'static str) -> StoreError {
        SqliteError::Damaged { path: self.config.database.clone(), what, source: None }.into()
    }

    /// Takes note of the newest revision, or says that the database went back.
    fn note(&self, newest: Revision) -> Result<Revision, StoreError> {
        let seen = Revision(self.seen.fetch_max(newest.0, SeqCst));
        if newest < seen { Err(StoreError::WentBack { seen, newest }) } else { Ok(newest) }
    }

    /// Begins a write, as soon as nobody else writes. Kills who holds the lock for longer than a lease.
    fn begin(&self, writer: &Connection) -> Result<(), StoreError> {
        let mut begun = Instant::now();
        let mut mark = self.table.writer();
        loop {
            match writer.execute_batch("BEGIN IMMEDIATE") {
                Ok(()) => return Ok(()),
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(self.wrap(error)),
            }
            let now = self.table.writer();
            if now != mark {
                (mark, begun) = (now, Instant::now());
            }
            if begun.elapsed() >= self.config.lease {
                // Whoever it was, the next look starts a new wait: another may hold the lock by then.
                begun = Instant::now();
                if !self.table.fence_writer(mark).map_err(StoreError::unavailable)? {
                    return Err(SqliteError::Locked { path: self.config.database.clone() }.into());
                }
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    fn write(
        &self,
        writer: &Connection,
        expected: Revision,
        puts: &[(RecordPath, Vec<u8>)],
        deletes: &[RecordPath],
    ) -> Result<Revision, CommitError> {
        let failed = |error| CommitError::Unavailable(self.wrap(error));
        let newest = newest(writer).map_err(failed)?;
        self.note(newest).map_err(CommitError::Unavailable)?;
        if newest != expected {
            return Err(CommitError::Conflict { newest });
        }
        let revision = expected.next();
        records(writer, revision, puts, deletes, self.config.deletions_kept).map_err(failed)?;
        Ok(revision)
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn revision_of(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

fn newest(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT revision FROM meta WHERE id = 1")?;
    statement.query_row([], |row| row.get(0)).map(revision_of)
}

fn forgotten(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT forgotten FROM meta WHERE id = 1")?;
    statement.query_row([], |row| row.get(0)).map(revision_of)
}

fn records(
    writer: &Connection,
    revision: Revision,
    puts: &[(RecordPath, Vec<u8>)],
    deletes: &[RecordPath],
    deletions_kept: u64,
) -> rusqlite::Result<()> {
    let at = number(revision);
    let mut put = writer.prepare_cached(
        "INSERT INTO records (path, revision, sealed) VALUES (?1, ?2, ?3)
         ON CONFLICT (path) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed",
    )?;
    let mut back = writer.prepare_cached("DELETE FROM deletions WHERE path = ?1")?;
    for (path, sealed) in puts {
        put.execute(params![path.to_bytes(), at, sealed])?;
        back.execute(params![path.to_bytes()])?;
    }
    let mut remove = writer.prepare_cached("DELETE FROM records WHERE path = ?1")?;
    let mut remember = writer.prepare_cached("INSERT OR REPLACE INTO deletions (path, revision) VALUES (?1, ?2)")?;
    for path in deletes {
        if remove.execute(params![path.to_bytes()])? > 0 {
            remember.execute(params![path.to_bytes(), at])?;
        }
    }
    let forget = number(Revision(revision.0.saturating_sub(deletions_kept)));
    let mut prune = writer.prepare_cached("DELETE FROM deletions WHERE revision <= ?1")?;
    let forgot = prune.execute(params![forget])? > 0;
    let mut meta = writer.prepare_cached(
        "UPDATE meta SET revision = ?1, forgotten = CASE WHEN ?2 THEN ?3 ELSE forgotten END WHERE id = 1",
    )?;
    meta.execute(params![at, forgot, forget])?;
    Ok(())
}

/// The column values of a record; the path is checked by the caller.
fn raw(row: &Row<'_>) -> rusqlite::Result<(Vec<u8>, i64, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

impl SqliteStore {
    fn stored(&self, raw: rusqlite::Result<(Vec<u8>, i64, Vec<u8>)>) -> Result<StoredRecord, StoreError> {
        let (path, revision, sealed) = raw.map_err(|error| self.wrap(error))?;
        let path = RecordPath::try_from(path.as_slice()).map_err(|_| self.damaged("a record's path is none"))?;
        Ok(StoredRecord { path, revision: revision_of(revision), sealed })
    }

    /// Records written after `seen`, ordered by path.
    fn since(&self, connection: &Connection, seen: Revision) -> Result<Vec<StoredRecord>, StoreError> {
        let query = "SELECT path, revision, sealed FROM records WHERE revision > ?1 ORDER BY path";
        let mut statement = connection.prepare_cached(query).map_err(|error| self.wrap(error))?;
        let rows = statement.query_map(params![number(seen)], raw).map_err(|error| self.wrap(error))?;
        rows.map(|row| self.stored(row)).collect()
    }

    fn deleted(&self, connection: &Connection, seen: Revision) -> Result<Vec<RecordPath>, StoreError> {
        let query = "SELECT path FROM deletions WHERE revision > ?1 ORDER BY path";
        let mut statement = connection.prepare_cached(query).map_err(|error| self.wrap(error))?;
        let rows = statement.query_map(params![number(seen)], |row| row.get::<_, Vec<u8>>(0));
        let path = |bytes: Vec<u8>| {
            RecordPath::try_from(bytes.as_slice()).map_err(|_| self.damaged("a deleted record's path is none"))
        };
        let rows = rows.map_err(|error| self.wrap(error))?;
        rows.map(|row| row.map_err(|error| self.wrap(error)).and_then(path)).collect()
    }
}

impl Store for SqliteStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let mut reader = self.reader();
        let snapshot = reader.transaction_with_behavior(TransactionBehavior::Deferred);
        let snapshot = snapshot.map_err(|error| self.wrap(error))?;
        let revision = self.note(newest(&snapshot).map_err(|error| self.wrap(error))?)?;
        let records = self.since(&snapshot, Revision(0))?;
        Ok(Loaded { revision, records })
    }

    fn commit(
        &self,
        expected: Revision,
        puts: &[(RecordPath, Vec<u8>)],
        deletes: &[RecordPath],
    ) -> Result<Revision, CommitError> {
        batch::check(puts, deletes)?;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin(&writer).map_err(CommitError::Unavailable)?;
        let writing = self.table.writing();
        let revision = match self.write(&writer, expected, puts, deletes) {
            Ok(revision) => revision,
            Err(error) => {
                // What SQLite rolled back by itself is no transaction any more.
                let _ = writer.execute_batch("ROLLBACK");
                return Err(error);
            }
        };
        if let Err(error) = writer.execute_batch("COMMIT") {
            let _ = writer.execute_batch("ROLLBACK");
            return Err(CommitError::Unknown(self.wrap(error)));
        }
        drop(writing);
        drop(writer);
        self.seen.fetch_max(revision.0, SeqCst);
        self.table.wake();
        Ok(revision)
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        let newest = newest(&self.reader()).map_err(|error| self.wrap(error))?;
        self.note(newest)
    }

    fn changes_since(&self, seen: Revision) -> Result<Changes, StoreError> {
        let mut reader = self.reader();
        let snapshot = reader.transaction_with_behavior(TransactionBehavior::Deferred);
        let snapshot = snapshot.map_err(|error| self.wrap(error))?;
        let revision = self.note(newest(&snapshot).map_err(|error| self.wrap(error))?)?;
        if seen > revision {
            return Err(StoreError::WentBack { seen, newest: revision });
        }
        if seen < forgotten(&snapshot).map_err(|error| self.wrap(error))? {
            return Ok(Changes::TooOld);
        }
        let (puts, deletes) = (self.since(&snapshot, seen)?, self.deleted(&snapshot, seen)?);
        Ok(Changes::Since(Delta { revision, puts, deletes }))
    }

    fn moment(&self) -> Result<Moment, StoreError> {
        let entries = self.table.entries();
        Ok(Moment { revision: self.revision()?, entries })
    }

    fn wait(&self, seen: Moment, timeout: Duration) -> Result<Moment, StoreError> {
        let deadline = Instant::now() + timeout;
        loop {
            // Before the look, so that what changes after it is not slept through.
            let signal = self.table.signal();
            let moment = self.moment()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if moment != seen || left.is_zero() {
                return Ok(moment);
            }
            self.table.sleep(signal, left.min(LOOK_EVERY));
            if self.table.signal() == signal {
                self.table.sweep()?;
            }
        }
    }

    fn join(&self, hsm_id: &HsmId, applied: Revision) -> Result<Incarnation, JoinError> {
        self.table.join(hsm_id, applied)
    }

    fn renew(&self, applied: Revision) -> Result<(), RenewError> {
        self.table.renew(applied)
    }

    fn leave(&self) {
        self.table.leave();
    }

    fn members(&self) -> Result<Vec<MemberEntry>, StoreError> {
        self.table.members()
    }

    fn fence(&self, entry: &MemberEntry) -> Result<(), FenceError> {
        self.table.fence(entry)
    }
}

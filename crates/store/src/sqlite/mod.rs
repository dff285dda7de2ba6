//! The embedded store: one SQLite file a cluster, opened by every HSM process of the host, and the member table beside
//! it (`docs/spec/store.md`).
//!
//! * Write-ahead log, `synchronous=FULL`: a commit that returns is on disk.
//! * One writer at a time, by SQLite's own lock. Whoever holds it notes so in the member table; a process that holds it
//!   for longer than a lease is killed by the one that waits, and its transaction ends with it.
//! * Readers never wait for writers.
//! * A database that was moved away, removed or replaced while it is open is neither read nor written.

mod files;
mod offline;
mod open;
mod rows;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use strongroom_types::limits::{DELETIONS_KEPT_REVISIONS, LEASE_MS_DEFAULT};
use strongroom_types::{HsmId, Incarnation, RecordPath, Revision};

pub use self::offline::{OfflineDatabase, read_database};

use self::files::Files;
use self::rows::{all_records, deleted, forgotten, newest, records_since, write_batch};
use crate::table::Table;
use crate::{
    Changes, CommitError, Delta, FenceError, JoinError, Loaded, MemberEntry, Moment, RenewError, SqliteError, Store,
    StoreError, batch,
};

/// How often a waiter looks for what wakes nobody: a member's death, and a commit whose process died before it could
/// wake anybody. Half of the 100 ms that [`Store::wait`] promises.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What counts as waited between two looks at the write lock. When this process was stopped, its holder may have been
/// stopped as well.
const UNSEEN_MAX: Duration = Duration::from_millis(100);
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

    /// The database.
    pub fn database(&self) -> &Path {
        &self.database
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
    files: Files,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    /// The highest revision that this door has seen.
    seen: AtomicU64,
    /// One more than the revision on which a commit of this door ended without an outcome; 0 when there is none, or it
    /// is settled.
    unsettled: AtomicU64,
}

impl SqliteStore {
    /// Opens the database and the member table, and makes what is missing.
    pub fn open(config: SqliteConfig) -> Result<SqliteStore, SqliteError> {
        open::check_library()?;
        let table = Table::open(&config.members)?;
        let writer = open::database(&config, &table)?;
        let reader = open::connection(&config)?;
        Ok(SqliteStore {
            files: Files::of(&config.database)?,
            config,
            table,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            seen: AtomicU64::new(0),
            unsettled: AtomicU64::new(0),
        })
    }

    /// Holds SQLite's write lock, noted as every writer notes it, while `action` runs; for tests of what others do then.
    #[cfg(any(test, feature = "contract"))]
    pub fn while_writing(&self, action: impl FnOnce()) {
        let writer = self.writer();
        self.begin(&writer).expect("nobody else writes");
        let _writing = self.table.writing();
        action();
        let _ = writer.execute_batch("ROLLBACK");
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that reads, once what it reads is what everybody reads and goes on to.
    fn reader(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        self.files.check()?;
        if self.unsettled.load(SeqCst) != 0 {
            self.settle(&self.writer())?;
        }
        Ok(self.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wrap(&self, error: rusqlite::Error) -> StoreError {
        open::wrap(&self.config.database, error).into()
    }

    /// The newest revision, or that the database went back. Begins the snapshot of a transaction that has read nothing.
    fn newest(&self, connection: &Connection) -> Result<Revision, StoreError> {
        // Before the snapshot: what other threads see or commit after it may well be newer.
        let seen = Revision(self.seen.load(SeqCst));
        let newest = newest(connection).map_err(|error| self.wrap(error))?;
        self.seen.fetch_max(newest.0, SeqCst);
        if newest < seen { Err(StoreError::WentBack { seen, newest }) } else { Ok(newest) }
    }

    /// Begins a write, as soon as nobody else writes. Kills who holds the lock for longer than a lease.
    fn begin(&self, writer: &Connection) -> Result<(), StoreError> {
        self.files.check()?;
        self.end_transaction(writer)?;
        let (mut waited, mut looked) = (Duration::ZERO, Instant::now());
        let mut mark = self.table.writer();
        loop {
            match writer.execute_batch("BEGIN IMMEDIATE") {
                // Again, because the wait may have been long.
                Ok(()) => return self.files.check().map_err(|error| abandoned(writer, error.into())),
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(self.wrap(error)),
            }
            let now = self.table.writer();
            waited += looked.elapsed().min(UNSEEN_MAX);
            looked = Instant::now();
            if now != mark {
                (mark, waited) = (now, Duration::ZERO);
            }
            if waited >= self.config.lease {
                // Whoever it was, the next look starts a new wait: another may hold the lock by then.
                waited = Duration::ZERO;
                if !self.table.fence_writer(mark).map_err(StoreError::unavailable)? {
                    return Err(SqliteError::Locked { path: self.config.database.clone() }.into());
                }
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    /// A panic or a failed rollback may have left one open; nobody was told that it succeeded.
    fn end_transaction(&self, writer: &Connection) -> Result<(), StoreError> {
        if writer.is_autocommit() {
            return Ok(());
        }
        writer.execute_batch("ROLLBACK").map_err(|error| self.wrap(error))
    }

    /// Makes sure that a commit without an outcome either is there already or never will be.
    ///
    /// A failed `COMMIT` may have left all its frames in the log, behind the end that every process goes by. Nobody
    /// reads them there, but whoever recovers the log one day would take them for committed. Any later commit takes
    /// their place; if there was none, a write of no effect does.
    fn settle(&self, writer: &Connection) -> Result<(), StoreError> {
        let Some(base) = self.unsettled.load(SeqCst).checked_sub(1) else { return Ok(()) };
        self.end_transaction(writer)?;
        if self.newest(writer)?.0 <= base {
            self.begin(writer)?;
            let _writing = self.table.writing();
            // SQLite writes no page that it finds unchanged; a page that changed twice it does write.
            let there_and_back =
                "UPDATE meta SET revision = revision + 1; UPDATE meta SET revision = revision - 1; COMMIT";
            if let Err(error) = writer.execute_batch(there_and_back) {
                return Err(abandoned(writer, self.wrap(error)));
            }
        }
        self.unsettled.store(0, SeqCst);
        Ok(())
    }

    /// What is to be said of a commit on `base` that failed at its end: that nothing was written, if that can be made
    /// sure of at once.
    fn outcome(&self, writer: &Connection, base: Revision, error: StoreError) -> CommitError {
        match self.settle(writer).and_then(|()| self.newest(writer)) {
            Ok(newest) if newest == base => CommitError::Unavailable(error),
            _ => CommitError::Unknown(error),
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
        let newest = self.newest(writer).map_err(CommitError::Unavailable)?;
        if newest != expected {
            return Err(CommitError::Conflict { newest });
        }
        let revision = expected.next();
        write_batch(writer, revision, puts, deletes, self.config.deletions_kept).map_err(failed)?;
        Ok(revision)
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Ends a transaction that failed. What SQLite rolled back by itself is none any more.
fn abandoned<E>(writer: &Connection, error: E) -> E {
    let _ = writer.execute_batch("ROLLBACK");
    error
}

impl Store for SqliteStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let mut reader = self.reader()?;
        let snapshot = reader.transaction_with_behavior(TransactionBehavior::Deferred);
        let snapshot = snapshot.map_err(|error| self.wrap(error))?;
        let revision = self.newest(&snapshot)?;
        let records = all_records(&snapshot).map_err(|error| self.wrap(error))?;
        Ok(Loaded { revision, records })
    }

    fn commit(
        &self,
        expected: Revision,
        puts: &[(RecordPath, Vec<u8>)],
        deletes: &[RecordPath],
    ) -> Result<Revision, CommitError> {
        batch::check(puts, deletes)?;
        let writer = self.writer();
        self.begin(&writer).map_err(CommitError::Unavailable)?;
        let writing = self.table.writing();
        let written = self.write(&writer, expected, puts, deletes);
        let revision = written.map_err(|error| abandoned(&writer, error))?;
        if let Err(error) = writer.execute_batch("COMMIT") {
            self.unsettled.store(revision.0, SeqCst);
            let error = abandoned(&writer, self.wrap(error));
            drop(writing);
            return Err(self.outcome(&writer, expected, error));
        }
        // This write has taken the place of one without an outcome.
        self.unsettled.store(0, SeqCst);
        drop(writing);
        drop(writer);
        self.seen.fetch_max(revision.0, SeqCst);
        self.table.wake();
        Ok(revision)
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        self.newest(&*self.reader()?)
    }

    fn changes_since(&self, seen: Revision) -> Result<Changes, StoreError> {
        let mut reader = self.reader()?;
        let snapshot = reader.transaction_with_behavior(TransactionBehavior::Deferred);
        let snapshot = snapshot.map_err(|error| self.wrap(error))?;
        let revision = self.newest(&snapshot)?;
        if seen > revision {
            return Err(StoreError::WentBack { seen, newest: revision });
        }
        if seen < forgotten(&snapshot).map_err(|error| self.wrap(error))? {
            return Ok(Changes::TooOld);
        }
        let puts = records_since(&snapshot, seen).map_err(|error| self.wrap(error))?;
        let deletes = deleted(&snapshot, seen).map_err(|error| self.wrap(error))?;
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

    fn join(&self, hsm_id: &HsmId, applied: Revision, _clock_ms: u64) -> Result<Incarnation, JoinError> {
        self.table.join(hsm_id, applied)
    }

    fn renew(&self, applied: Revision, _clock_ms: u64) -> Result<(), RenewError> {
        self.table.renew(applied)
    }

    fn announce_turn(&self) -> bool {
        self.table.announce_turn()
    }

    fn withdraw_turn(&self) {
        self.table.withdraw_turn();
    }

    fn yield_turn(&self, patience: Duration) -> bool {
        self.table.yield_turn(patience)
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

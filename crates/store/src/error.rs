//! What can go wrong, one enum a family of actions.

use std::error::Error as StdError;
use std::path::PathBuf;

use strongroom_types::limits::RECORD_LEN_MAX;
use strongroom_types::{HsmId, RecordPath, Revision};
use thiserror::Error;

use crate::BATCH_RECORDS_MAX;

/// A cause that only the engine behind the trait can name.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Reading failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The surroundings failed: disk, lock, network. Asking again may succeed.
    #[error("the cluster's store cannot be used: {cause}")]
    Unavailable {
        /// Why, with the fix.
        cause: Cause,
    },
    /// What is stored breaks an invariant.
    #[error("the cluster's store is damaged: {cause}")]
    Damaged {
        /// Where.
        cause: Cause,
    },
    /// The store is older than what was seen of it before.
    #[error("the cluster's store went back from revision {seen} to {newest}; put back the newest copy of it")]
    WentBack {
        /// What was seen.
        seen: Revision,
        /// What is there.
        newest: Revision,
    },
}

impl StoreError {
    /// Wraps an engine's own error.
    pub fn unavailable(cause: impl Into<Cause>) -> StoreError {
        StoreError::Unavailable { cause: cause.into() }
    }

    /// Wraps an engine's own error.
    pub fn damaged(cause: impl Into<Cause>) -> StoreError {
        StoreError::Damaged { cause: cause.into() }
    }

    /// Cause and fix for whoever may know nothing of this host, such as the paths of its files: a lower-case fragment.
    pub fn outside(&self) -> &'static str {
        let cause = match self {
            StoreError::Unavailable { cause } => cause.downcast_ref::<SqliteError>(),
            StoreError::Damaged { .. } => return "it is damaged; the HSM's log says what to do",
            StoreError::WentBack { .. } => return "it is older than before; put back the newest copy of it",
        };
        match cause {
            Some(SqliteError::DiskFull { .. }) => "its disk is full; make room on it",
            Some(SqliteError::Replaced { .. }) => "its file was moved away or replaced; put it back",
            Some(SqliteError::Locked { .. }) => "a process keeps it locked; look at what the HSMs of its host do",
            Some(SqliteError::NotWritable { .. } | SqliteError::Inaccessible { .. }) => {
                "its file may not be used; check its permissions and its file system"
            }
            Some(SqliteError::Unusable { .. }) => "its disk fails; look at the disk and at the HSM's log",
            _ => "the HSM's log says why",
        }
    }
}

/// Committing failed.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The newest revision is another: catch up and plan again. Nothing was written.
    #[error("another batch was committed first: the store is at revision {newest}")]
    Conflict {
        /// The newest revision.
        newest: Revision,
    },
    /// The batch breaks the bounds that [`commit`](crate::Store::commit) names. Nothing was written.
    #[error(transparent)]
    Refused(#[from] BatchError),
    /// The store could not be written. Nothing was.
    #[error("nothing was written: {0}")]
    Unavailable(StoreError),
    /// The batch may have been written, or not: look for its receipt.
    #[error("whether the change was written is not known yet: {0}")]
    Unknown(StoreError),
}

/// A batch that no store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// One path stands twice.
    #[error("the batch names {path} twice")]
    PathTwice {
        /// It.
        path: RecordPath,
    },
    /// One record is too long.
    #[error("the record {path} has {len} bytes; a record may have {RECORD_LEN_MAX}")]
    RecordTooLong {
        /// Which.
        path: RecordPath,
        /// Its length in bytes.
        len: usize,
    },
    /// Too many records and deletions.
    #[error("the batch has {len} records; a batch may have {BATCH_RECORDS_MAX}")]
    TooManyRecords {
        /// How many.
        len: usize,
    },
}

/// Joining the member table failed.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The HSM has an entry, held by a living process.
    #[error("{hsm_id} is already running as process {pid}; an HSM runs once: stop that process first")]
    AlreadyJoined {
        /// Which HSM.
        hsm_id: HsmId,
        /// Which process.
        pid: u32,
    },
    /// Every slot is held.
    #[error("the member table is full: {slots} members hold every slot; stop one first")]
    Full {
        /// How many there are.
        slots: usize,
    },
    /// The table could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Renewing an entry failed.
#[derive(Debug, Error)]
pub enum RenewError {
    /// The entry is gone: answer nothing, join again.
    #[error("this member's entry is gone from the member table")]
    Fenced,
    /// There never was one.
    #[error("this member has not joined the member table")]
    NotJoined,
    /// The table could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Fencing a member failed: it may still be answering.
#[derive(Debug, Error)]
pub enum FenceError {
    /// The entry is one of the caller's own process.
    #[error("{hsm_id} runs in this process, which does not kill itself")]
    Itself {
        /// Which HSM.
        hsm_id: HsmId,
    },
    /// The system does not let this process kill that one.
    #[error("process {pid} of {hsm_id} may not be killed by this user; run every HSM of a cluster as one user")]
    NotPermitted {
        /// Which HSM.
        hsm_id: HsmId,
        /// Which process.
        pid: u32,
    },
    /// It was killed, or is not the process that the entry names, and still holds its entry.
    #[error("process {pid} of {hsm_id} still holds its entry; it may hang in the kernel: look at its disk")]
    StillThere {
        /// Which HSM.
        hsm_id: HsmId,
        /// Which process.
        pid: u32,
    },
    /// The table could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file of the store may be used by somebody else than this process's user.
#[derive(Debug, Error)]
pub enum AccessError {
    /// Others may read or write it.
    #[error("{} has mode {mode:o}, which lets other users in; set it to 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("{} belongs to user {owner} and this process runs as user {user}; run it as the owner", path.display())]
    OtherOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
}

/// Opening a SQLite store, or going on with it, failed.
#[derive(Debug, Error)]
pub enum SqliteError {
    /// The database may be used by others.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Bytes of the database break an invariant.
    #[error("{} is damaged ({what}); restore it from a copy or the cluster from a backup", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// What SQLite says.
        #[source]
        source: Option<rusqlite::Error>,
    },
    /// The disk is full.
    #[error("the disk that holds {} is full; make room on it", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The file is something else's.
    #[error("{} is not a Strongroom database; name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be made, opened or read.
    #[error("{} cannot be opened: {source}; check the folder and its permissions", path.display())]
    Inaccessible {
        /// The database.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// HSMs use the database, or something else does.
    #[error("{} is in use: HSMs of the cluster run, or another program has it open; stop them first, or look at its disk", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The linked SQLite may corrupt a database that several processes use.
    #[error("this program is linked to SQLite {found}; it needs 3.51.3 or later")]
    LibraryTooOld {
        /// The version.
        found: &'static str,
    },
    /// The database is gone, and its log is not.
    #[error(
        "{} is missing, and its log {} holds what was committed last; put the database back beside it",
        path.display(), log.display()
    )]
    LogAlone {
        /// The database.
        path: PathBuf,
        /// Its log.
        log: PathBuf,
    },
    /// Another process keeps it locked.
    #[error("{} is locked by another process for too long; look at what the HSMs of this host do", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The member table is not the one that the running HSMs use.
    #[error(
        "{} is not the member table that the running HSMs of {} use; name that file, or stop them all first",
        table.display(), database.display()
    )]
    OtherTable {
        /// The member table.
        table: PathBuf,
        /// The database.
        database: PathBuf,
    },
    /// Members are using the table together with another database than this new one.
    #[error(
        "{} is new, but HSMs are running on {}: their database was moved away, or is another; put it back or name it",
        database.display(), table.display()
    )]
    MembersElsewhere {
        /// The database.
        database: PathBuf,
        /// The member table.
        table: PathBuf,
    },
    /// One of the database's files is not the one that was opened.
    #[error(
        "{} was removed or replaced while it was in use; move that file back and nothing else is needed; if it is gone, \
         stop no HSM before you have read docs/operating/when-something-fails.md",
        path.display()
    )]
    Replaced {
        /// Which.
        path: PathBuf,
    },
    /// A later version of Strongroom wrote it.
    #[error("{} has format {found}, this program knows {known}; run the newer program", path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// SQLite failed in another way.
    #[error("{} cannot be used: {source}; look at its disk and its file system", path.display())]
    Unusable {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The file may not be written.
    #[error("{} cannot be written; check its permissions and its file system", path.display())]
    NotWritable {
        /// The database.
        path: PathBuf,
    },
    /// The member table.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The member table file cannot be used.
#[derive(Debug, Error)]
pub enum TableError {
    /// The table may be used by others.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The file is something else's, or has another length than its format says.
    #[error("{} is not a member table ({what}); stop the cluster's HSMs and remove the file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that is known.
        what: &'static str,
    },
    /// A system call failed.
    #[error("the member table {} cannot be used: {doing}: {source}", path.display())]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Another process keeps the table locked.
    #[error("the member table {} is locked by a process that hangs; look at what the HSMs of this host do", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A later version of Strongroom wrote it.
    #[error("the member table {} has format {found}, this program knows {known}; run the newer program", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
}

impl From<TableError> for StoreError {
    fn from(error: TableError) -> StoreError {
        StoreError::unavailable(error)
    }
}

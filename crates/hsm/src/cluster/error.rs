//! Why a member cannot start, and why a change has no answer.

use std::io;
use std::path::PathBuf;

use strongroom_core::member::{AnchorConflict, CorruptLedger};
use strongroom_core::{CorruptHead, CorruptRecord, CorruptState};
use strongroom_crypto_keys::KeyError;
use strongroom_crypto_keys::seal::{RootKeyError, SealError};
use strongroom_store::{JoinError, SqliteError, StoreError, TableError};
use strongroom_types::{ClusterId, RecordPath, Refusal, Revision};
use thiserror::Error;

/// Why an HSM does not start. [`is_state_refused`](StartError::is_state_refused) tells what is stored from what is
/// around it.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] SqliteError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The root key cannot be read.
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
    /// The cluster's state is not one that this HSM may serve.
    #[error(transparent)]
    State(#[from] StateError),
    /// The anchor file cannot be used.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The member table does not take this HSM.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The cluster's TLS key could not be made.
    #[error("the cluster's TLS key cannot be made: {0}")]
    Key(#[from] KeyError),
    /// The cluster's rules refuse this HSM.
    #[error("the cluster does not take this HSM: {0}")]
    Refused(Refusal),
    /// The cluster could not be made or entered in time.
    #[error("{0} could not be written to the cluster's store in time; look at its disk and at the other HSMs' logs")]
    NotWritten(&'static str),
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}; look at the limits of processes and memory")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// Whether what is stored is refused, rather than out of reach: damaged, gone, older than this HSM has seen, a newer
    /// program's, or something else's.
    pub fn is_state_refused(&self) -> bool {
        match self {
            StartError::State(_) => true,
            StartError::Open(error) => matches!(
                error,
                SqliteError::Damaged { .. }
                    | SqliteError::Foreign { .. }
                    | SqliteError::TooNew { .. }
                    | SqliteError::LogAlone { .. }
                    | SqliteError::MembersElsewhere { .. }
                    | SqliteError::Replaced { .. }
            ),
            StartError::Store(error) => matches!(error, StoreError::Damaged { .. } | StoreError::WentBack { .. }),
            StartError::Anchor(error) => matches!(error, AnchorError::Damaged { .. }),
            StartError::RootKey(_)
            | StartError::Join(_)
            | StartError::Key(_)
            | StartError::Refused(_)
            | StartError::NotWritten(_)
            | StartError::Thread(_) => false,
        }
    }

    /// Whether somebody has to mend how this HSM is set up: who may use the store's files, or which files it names.
    pub fn is_setup_refused(&self) -> bool {
        let StartError::Open(error) = self else { return false };
        matches!(
            error,
            SqliteError::Access(_) | SqliteError::OtherTable { .. } | SqliteError::Table(TableError::Access(_))
        )
    }
}

/// Stored bytes that are not what the cluster's HSMs wrote, or not all of it. A starting HSM refuses them, a running
/// one serves on from memory and refuses changes.
#[derive(Debug, Error)]
pub enum StateError {
    /// Nothing is stored, and this HSM has seen something stored.
    #[error(
        "the store is empty, but this HSM has an anchor, {}, so it held the cluster; put the store back (is its disk \
         mounted?)",
        anchor.display()
    )]
    Emptied {
        /// The anchor's file.
        anchor: PathBuf,
    },
    /// Records but none of the cluster key, or none of the head.
    #[error("the store holds records but not {0}; put back the newest copy of the store")]
    Missing(RecordPath),
    /// The cluster key does not open.
    #[error(
        "the cluster key of {cluster} does not open ({cause}): the root key is another installation's, the store is \
         another cluster's, or the record {} is damaged; put back the right root key or the newest copy of the store",
        RecordPath::CLUSTER_KEY
    )]
    ClusterKey {
        /// The cluster that the HSM's settings name.
        cluster: ClusterId,
        /// What opening says.
        #[source]
        cause: SealError,
    },
    /// A record does not open: altered, or moved from another path, revision or cluster.
    #[error("the record {path} of revision {revision} is damaged ({cause}); put back the newest copy of the store")]
    Sealed {
        /// The record.
        path: RecordPath,
        /// The revision that the store says wrote it.
        revision: Revision,
        /// What opening says.
        #[source]
        cause: SealError,
    },
    /// A record opens to bytes that are none.
    #[error("{0}; put back the newest copy of the store, or run the newer program")]
    Record(#[from] CorruptRecord),
    /// The head opens to bytes that are none.
    #[error("{0}; put back the newest copy of the store, or run the newer program")]
    Head(#[from] CorruptHead),
    /// The records are not those that the head counts.
    #[error("{0}; put back the newest copy of the store")]
    Ledger(#[from] CorruptLedger),
    /// Records that contradict each other.
    #[error("{0}; put back the newest copy of the store")]
    Together(#[from] CorruptState),
    /// The store is not the one that this HSM has seen.
    #[error("{0}")]
    Anchor(#[from] AnchorConflict),
    /// The store is another cluster's.
    #[error("the store holds {found}, the HSM's settings name {wanted}; name the right store")]
    OtherCluster {
        /// Whose it is.
        found: ClusterId,
        /// Whose it should be.
        wanted: ClusterId,
    },
    /// What came after the load cannot be applied.
    #[error("{0}; put back the newest copy of the store")]
    Running(String),
    /// The store says that it is damaged, or went back.
    #[error(transparent)]
    Store(StoreError),
}

/// The anchor file cannot be used.
#[derive(Debug, Error)]
pub enum AnchorError {
    /// The system does not let it be read or written.
    #[error("the anchor {} cannot be {doing}: {source}; check the folder, its permissions and its disk", path.display())]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file holds no anchor that this cluster's HSMs wrote.
    #[error(
        "the anchor {} is damaged or another cluster's, so that nobody knows whether the store is the newest one; put the \
         file back, or if the store is the newest copy accept it with `strongroom accept-rollback`", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Why a change has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// The rules refuse it, or something is out of reach. With a status of the unavailable family the change may have
    /// been made: ask again with the same request id.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A random id in what was made is taken: make it again.
    #[error("a randomly drawn id is taken; draw it again")]
    DrawAgain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_told_from_how_it_is_set_up() {
        let path = || PathBuf::from("cluster.sqlite");
        let exposed = || strongroom_store::AccessError::Exposed { path: path(), mode: 0o644 };
        let check = |error: SqliteError, of_state: bool, of_setup: bool| {
            let error = StartError::Open(error);
            assert_eq!((error.is_state_refused(), error.is_setup_refused()), (of_state, of_setup), "{error}");
        };
        check(SqliteError::Damaged { path: path(), what: "its header", source: None }, true, false);
        check(SqliteError::Foreign { path: path() }, true, false);
        check(SqliteError::TooNew { path: path(), found: 2, known: 1 }, true, false);
        check(SqliteError::MembersElsewhere { database: path(), table: path() }, true, false);
        check(SqliteError::Replaced { path: path() }, true, false);
        check(SqliteError::LogAlone { path: path(), log: path() }, true, false);
        check(SqliteError::Access(exposed()), false, true);
        check(SqliteError::Table(TableError::Access(exposed())), false, true);
        check(SqliteError::OtherTable { table: path(), database: path() }, false, true);
        check(SqliteError::DiskFull { path: path() }, false, false);
        check(SqliteError::Locked { path: path() }, false, false);
        check(SqliteError::NotWritable { path: path() }, false, false);
    }
}

//! Whether the paths still name the files that are open.
//!
//! SQLite goes on with a file that was removed or replaced: what it commits there would be acknowledged and lost, and a
//! process that opens the path afterwards would see another cluster.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::SqliteError;

/// The database, its log and the log's index, as this door has them open. None of them changes its identity while a
/// connection lives.
pub(super) struct Files([(PathBuf, Identity); 3]);

/// Device and number of the inode.
type Identity = (u64, u64);

impl Files {
    /// The files behind an open database in log mode.
    pub(super) fn of(database: &Path) -> Result<Files, SqliteError> {
        let file = |suffix: &str| {
            let path = beside(database, suffix);
            let identity = identity(&path)?;
            Ok::<_, SqliteError>((path, identity))
        };
        Ok(Files([file("")?, file("-wal")?, file("-shm")?]))
    }

    /// Refuses to go on when one of them was moved away, removed or replaced.
    pub(super) fn check(&self) -> Result<(), SqliteError> {
        for (path, known) in &self.0 {
            if identity(path)? != *known {
                return Err(SqliteError::Replaced { path: path.clone() });
            }
        }
        Ok(())
    }
}

/// The file that SQLite keeps beside the database under its name with this end.
pub(super) fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push(end);
    path.into()
}

fn identity(path: &Path) -> Result<Identity, SqliteError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok((metadata.dev(), metadata.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(SqliteError::Replaced { path: path.to_owned() }),
        Err(source) => Err(SqliteError::Inaccessible { path: path.to_owned(), source }),
    }
}

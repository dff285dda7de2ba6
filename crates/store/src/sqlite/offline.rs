//! A database that no HSM uses, to be read, replaced or made as a whole: what accepting a rollback and founding a clone
//! need.
//!
//! The new database is written beside the old one, synced, read back, and takes the old one's name in one step. So
//! whoever is killed at whatever moment leaves one of them whole under that name.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use strongroom_types::Revision;

use super::open::{self, wrap};
use super::rows::{all_records, newest, write_record};
use super::{SqliteConfig, is_busy};
use crate::table::{Table, user};
use crate::{Loaded, SqliteError, access};

/// What stands before the name of a database that is being written.
const TEMPORARY: &str = ".new-";
/// What stands behind the name of a database that was replaced, before its revision.
const KEPT: &str = ".before-rollback-";

/// A cluster's database while no HSM uses it. None can start before this is dropped.
pub struct OfflineDatabase {
    path: PathBuf,
    /// Nobody joins it meanwhile.
    table: Table,
    connection: Connection,
}

impl OfflineDatabase {
    /// Opens the database, which must be there. Refuses while an HSM is a member or has it open.
    pub fn open(config: &SqliteConfig) -> Result<OfflineDatabase, SqliteError> {
        open::check_library()?;
        let path = config.database.clone();
        let metadata = fs::metadata(&path);
        let metadata = metadata.map_err(|source| SqliteError::Inaccessible { path: path.clone(), source })?;
        access::check(&path, &metadata, user())?;
        let table = Table::open(&config.members)?;
        if !table.close_joins()? {
            return Err(SqliteError::InUse { path });
        }
        let connection = open::connection(config)?;
        if !open::is_made(&connection, &path)? {
            return Err(SqliteError::Damaged { path, what: "it holds no table", source: None });
        }
        open::check_schema(&connection, &path)?;
        alone(&connection, &path)?;
        Ok(OfflineDatabase { path, table, connection })
    }

    /// Makes a database with these records, where there is none. It has its name when it is on disk and was read back;
    /// who is killed before leaves none.
    pub fn create(config: &SqliteConfig, loaded: &Loaded) -> Result<(), SqliteError> {
        open::check_library()?;
        let path = &config.database;
        let table = Table::open(&config.members)?;
        if !table.close_joins()? {
            return Err(SqliteError::InUse { path: path.clone() });
        }
        without_log(path)?;
        let new = beside(path, |name| [OsString::from(TEMPORARY), name.to_owned()].into_iter().collect());
        let written = write(&new, loaded, table.id()).and_then(|()| {
            // A second name, because that never replaces what is there.
            let placed = fs::hard_link(&new, path).and_then(|()| crate::sync_folder_of(path));
            placed.map_err(|source| SqliteError::Inaccessible { path: path.clone(), source })
        });
        let removed = fs::remove_file(&new).and_then(|()| crate::sync_folder_of(path));
        written.and(removed.map_err(|source| SqliteError::Inaccessible { path: new, source }))
    }

    /// Everything in it.
    pub fn load(&self) -> Result<Loaded, SqliteError> {
        read(&self.connection, &self.path)
    }

    /// Puts a database with these records in its place; where the old one is kept. The old one has its place until the
    /// new one is on disk and was read back. Both stay closed to others until this is dropped.
    pub fn replace(&mut self, loaded: &Loaded) -> Result<PathBuf, SqliteError> {
        let old = newest(&self.connection).map_err(|error| wrap(&self.path, error))?;
        let new = beside(&self.path, |name| [OsString::from(TEMPORARY), name.to_owned()].into_iter().collect());
        write(&new, loaded, self.table.id())?;
        let connection = open::connection(&SqliteConfig::new(&new, ""))?;
        alone(&connection, &new)?;
        let kept = self.keep(old)?;
        let placed = fs::rename(&new, &self.path).and_then(|()| crate::sync_folder_of(&self.path));
        placed.map_err(|source| SqliteError::Inaccessible { path: self.path.clone(), source })?;
        self.connection = connection;
        Ok(kept)
    }

    /// A second name for the old database.
    fn keep(&self, revision: Revision) -> Result<PathBuf, SqliteError> {
        let own = identity(&self.path)?;
        for number in 1_u32.. {
            let suffix = if number == 1 { format!("{KEPT}{revision}") } else { format!("{KEPT}{revision}-{number}") };
            let kept = beside(&self.path, |name| [name.to_owned(), OsString::from(suffix)].into_iter().collect());
            match fs::hard_link(&self.path, &kept) {
                Ok(()) => {}
                // By a process that was killed after this step.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && identity(&kept)? == own => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(source) => return Err(SqliteError::Inaccessible { path: kept, source }),
            }
            let synced = crate::sync_folder_of(&kept);
            return synced.map(|()| kept.clone()).map_err(|source| SqliteError::Inaccessible { path: kept, source });
        }
        Err(SqliteError::Inaccessible { path: self.path.clone(), source: ErrorKind::AlreadyExists.into() })
    }
}

/// Everything in a database at one moment, whether HSMs use it or not. Nothing is changed or made.
pub fn read_database(config: &SqliteConfig) -> Result<Loaded, SqliteError> {
    open::check_library()?;
    let path = &config.database;
    let metadata = fs::metadata(path);
    let metadata = metadata.map_err(|source| SqliteError::Inaccessible { path: path.clone(), source })?;
    access::check(path, &metadata, user())?;
    let connection = open::connection(config)?;
    if !open::is_made(&connection, path)? {
        return Err(SqliteError::Damaged { path: path.clone(), what: "it holds no table", source: None });
    }
    open::check_schema(&connection, path)?;
    // One transaction, and so one moment.
    connection.execute_batch("BEGIN").map_err(|error| wrap(path, error))?;
    read(&connection, path)
}

/// Takes every lock there is on the database, and its log into it: afterwards it is one file.
fn alone(connection: &Connection, path: &Path) -> Result<(), SqliteError> {
    // Leaving the log mode succeeds for the only connection alone.
    let mode = connection.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0));
    match mode {
        Ok(mode) if mode == "delete" => {}
        Ok(_) => return Err(SqliteError::InUse { path: path.to_owned() }),
        Err(error) if is_busy(&error) => return Err(SqliteError::InUse { path: path.to_owned() }),
        Err(error) => return Err(wrap(path, error)),
    }
    match connection.execute_batch("BEGIN EXCLUSIVE") {
        Ok(()) => {}
        Err(error) if is_busy(&error) => return Err(SqliteError::InUse { path: path.to_owned() }),
        Err(error) => return Err(wrap(path, error)),
    }
    without_log(path)
}

/// Refuses a log beside the name of a database: it would be taken for that of the one which is put there.
fn without_log(path: &Path) -> Result<(), SqliteError> {
    for suffix in ["-wal", "-journal"] {
        let log = beside(path, |name| [name.to_owned(), OsString::from(suffix)].into_iter().collect());
        if log.symlink_metadata().is_ok() {
            return Err(SqliteError::InUse { path: path.to_owned() });
        }
    }
    Ok(())
}

fn read(connection: &Connection, path: &Path) -> Result<Loaded, SqliteError> {
    let revision = newest(connection).map_err(|error| wrap(path, error))?;
    let records = all_records(connection).map_err(|error| wrap(path, error))?;
    Ok(Loaded { revision, records })
}

/// Writes a database of its own, on disk when this returns, and reads it back.
fn write(path: &Path, loaded: &Loaded, member_table: [u8; 16]) -> Result<(), SqliteError> {
    let inaccessible = |source| SqliteError::Inaccessible { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(inaccessible(error)),
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(inaccessible)?;
    let connection = open::connection(&SqliteConfig::new(path, ""))?;
    let failed = |error| wrap(path, error);
    // Nobody reads it before it is whole, and a part of it is thrown away: no journal.
    connection.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(())).map_err(failed)?;
    connection.execute_batch("BEGIN EXCLUSIVE").map_err(failed)?;
    open::make_schema(&connection, loaded.revision, member_table).map_err(failed)?;
    loaded.records.iter().try_for_each(|record| write_record(&connection, record)).map_err(failed)?;
    connection.execute_batch("COMMIT").map_err(failed)?;
    let same = read(&connection, path)? == *loaded;
    connection.close().map_err(|(_, error)| failed(error))?;
    if !same {
        return Err(SqliteError::Damaged { path: path.to_owned(), what: "it reads back as another", source: None });
    }
    let file = fs::File::open(path).map_err(inaccessible)?;
    file.sync_all().and_then(|()| crate::sync_folder_of(path)).map_err(inaccessible)
}

/// A file in the same folder.
fn beside(path: &Path, name: impl FnOnce(&std::ffi::OsStr) -> OsString) -> PathBuf {
    path.with_file_name(name(path.file_name().unwrap_or_default()))
}

/// Device and number of the inode.
fn identity(path: &Path) -> Result<(u64, u64), SqliteError> {
    let metadata = fs::metadata(path).map_err(|source| SqliteError::Inaccessible { path: path.to_owned(), source })?;
    Ok((metadata.dev(), metadata.ino()))
}

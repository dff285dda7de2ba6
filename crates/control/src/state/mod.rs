//! The state folder of one cluster: `docs/spec/state-folder.md`.
//!
//! * Every file is written whole: beside its place, synced, renamed into it, the folder synced. Who is killed leaves
//!   files named `.new-…`, which the next one to write replaces.
//! * `cluster.json` comes first; all the rest follows from it, so an `up` cut short is completed by the next.
//! * One `up` or `down` at a time changes the folder (`up.lock`); one supervisor watches it (`serve.lock`). Both are
//!   kernel locks: they end with the process that holds them, however it ends.

mod cluster;
mod credentials;
mod files;
mod running;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use strongroom_types::HsmId;

use crate::error::{BusyError, ExpectedError, StateError};
use crate::watch::Deadline;

pub use cluster::{CloneOf, ClusterFile, HsmEntry, NewCluster};
pub use credentials::{Credentials, Login};
pub(crate) use files::temporary;
pub use files::{Durability, make_folder, read_bounded, remove_file, same_content, sync_folder, tail, write_whole};
pub use running::{HsmRun, Running};

/// Files and folders that only their owner may see.
pub const MODE_FOLDER: u32 = 0o700;
/// Files that hold a secret.
pub const MODE_SECRET: u32 = 0o600;
/// Files that everybody who reaches them may read.
pub const MODE_PUBLIC: u32 = 0o644;
/// How long an `up` or `down` waits for another on the same folder, in seconds.
pub const CHANGING_SECONDS_MAX: u64 = 60;

/// What stands before the name of a file that is being written.
const TEMPORARY: &str = ".new-";

/// The paths of one cluster's state.
#[derive(Clone, Debug)]
pub struct StateFolder {
    root: PathBuf,
}

/// Permission to change a folder, or to watch its HSMs: a kernel lock, given back when dropped.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

impl StateFolder {
    /// The folder that an existing cluster has; nothing is made.
    pub fn existing(path: &Path) -> Result<StateFolder, StateError> {
        let absent = |path: &Path| StateError::NoCluster { path: path.to_owned() };
        let root = match fs::canonicalize(path) {
            Ok(root) => root,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(absent(path)),
            Err(source) => return Err(StateError::Io { action: "open", path: path.to_owned(), source }),
        };
        let folder = StateFolder { root };
        folder.check_owner()?;
        match fs::symlink_metadata(folder.cluster_file()) {
            Ok(_) => folder.check_closed().map(|()| folder),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(folder.without_cluster(path)),
            Err(source) => Err(StateError::Io { action: "open", path: folder.cluster_file(), source }),
        }
    }

    /// What a folder is that has no `cluster.json`, for somebody who looked for a cluster at `path`.
    fn without_cluster(&self, path: &Path) -> StateError {
        let path = path.to_owned();
        if [self.root_key(), self.database()].iter().any(|path| path.symlink_metadata().is_ok()) {
            return StateError::ClusterFileMissing { path: path.join("cluster.json") };
        }
        match self.has_other_files() {
            Ok(true) => StateError::NotState { path },
            Ok(false) => StateError::NoCluster { path },
            Err(error) => error,
        }
    }

    /// Whether it holds more than what an `up` that was cut short leaves.
    fn has_other_files(&self) -> Result<bool, StateError> {
        let unreadable = |source| StateError::Io { action: "read", path: self.root.clone(), source };
        let mut others = false;
        for entry in fs::read_dir(&self.root).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let name = name.to_string_lossy();
            others |= name != "up.lock" && !name.starts_with(TEMPORARY);
        }
        Ok(others)
    }

    /// The folder of an existing cluster, or a new or empty one made ready to hold one.
    pub fn prepare(path: &Path) -> Result<StateFolder, StateError> {
        let io_error = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { action, path, source }
        };
        let path = std::path::absolute(path).map_err(io_error("find", path))?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io_error("make", parent))?;
        }
        match DirBuilder::new().mode(MODE_FOLDER).create(&path) {
            Ok(()) => path.parent().map_or(Ok(()), sync_folder)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(StateError::Io { action: "make", path, source }),
        }
        let root = fs::canonicalize(&path).map_err(io_error("open", &path))?;
        let folder = StateFolder { root };
        folder.check_owner()?;
        folder.check_content()?;
        Ok(folder)
    }

    fn check_owner(&self) -> Result<(), StateError> {
        let path = self.root.clone();
        let metadata = fs::metadata(&path).map_err(|source| StateError::Io { action: "open", path, source })?;
        if !metadata.is_dir() {
            return Err(StateError::NotAFolder { path: self.root.clone() });
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(StateError::Owner { path: self.root.clone(), owner: metadata.uid() });
        }
        Ok(())
    }

    /// Whether only its owner may put files into the folder. Who may read it reads no secret: those files are closed.
    fn check_closed(&self) -> Result<(), StateError> {
        let path = self.root.clone();
        let metadata = fs::metadata(&path).map_err(|source| StateError::Io { action: "open", path, source })?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(StateError::Writable { path: self.root.clone(), mode });
        }
        Ok(())
    }

    /// A folder without a cluster must be empty, but for what an `up` that was cut short left; then it is closed to
    /// others. So a mistyped `--state` spreads nothing into somebody's home folder.
    fn check_content(&self) -> Result<(), StateError> {
        let foreign = self.has_other_files()?;
        if fs::symlink_metadata(self.cluster_file()).is_ok() {
            return self.check_closed();
        }
        if foreign {
            return Err(StateError::Foreign { path: self.root.clone() });
        }
        fs::set_permissions(&self.root, fs::Permissions::from_mode(MODE_FOLDER)).map_err(|source| StateError::Io {
            action: "close to others",
            path: self.root.clone(),
            source,
        })
    }

    /// Waits until no other `up` or `down` changes the folder. `waiting` is called once if that takes time.
    pub fn hold_for_change(&self, waiting: impl FnOnce()) -> Result<Held, ExpectedError> {
        let path = self.root.join("up.lock");
        let lock = open_lock(&path)?;
        let deadline = Deadline::after_seconds(CHANGING_SECONDS_MAX);
        let mut waiting = Some(waiting);
        while !try_lock(&lock, &path)? {
            if let Some(tell) = waiting.take() {
                tell();
            }
            if !deadline.pause() {
                let path = self.root.clone();
                return Err(BusyError::Changing { path, seconds: CHANGING_SECONDS_MAX }.into());
            }
        }
        Ok(Held { _lock: lock })
    }

    /// The supervisor's lock, held while it watches. A look at the lock by others is over in microseconds, so a
    /// refusal that lasts means another supervisor.
    pub fn hold_for_serving(&self) -> Result<Held, ExpectedError> {
        let path = self.serve_lock();
        let lock = open_lock(&path)?;
        let deadline = Deadline::after_millis(200);
        while !try_lock(&lock, &path)? {
            if !deadline.pause() {
                return Err(BusyError::Serving { path: self.root.clone() }.into());
            }
        }
        Ok(Held { _lock: lock })
    }

    /// Whether a supervisor holds its lock.
    pub fn is_watched(&self) -> Result<bool, StateError> {
        let path = self.serve_lock();
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(StateError::Io { action: "open", path, source }),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(source)) => Err(StateError::Io { action: "look at the lock", path, source }),
        }
    }

    /// The folder itself, absolute and without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the cluster is.
    pub fn cluster_file(&self) -> PathBuf {
        self.root.join("cluster.json")
    }

    /// The passwords `up` knows.
    pub fn credentials_file(&self) -> PathBuf {
        self.root.join("credentials.json")
    }

    /// The installation's root key, for HSM processes alone.
    pub fn root_key(&self) -> PathBuf {
        self.root.join("root.key")
    }

    /// The customer CA.
    pub fn ca(&self) -> PathBuf {
        self.root.join("ca")
    }

    /// The store's folder.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// The folder of every HSM's folder.
    pub fn hsms(&self) -> PathBuf {
        self.root.join("hsms")
    }

    /// One HSM's folder.
    pub fn hsm(&self, hsm: &HsmId) -> PathBuf {
        self.hsms().join(hsm.as_str())
    }

    /// One HSM's log.
    pub fn hsm_log(&self, hsm: &HsmId) -> PathBuf {
        self.hsm(hsm).join("hsm.log")
    }

    /// What clients take as `CLOUDHSM_HOME`.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Held by the supervisor.
    pub fn serve_lock(&self) -> PathBuf {
        self.root.join("serve.lock")
    }

    /// What the supervisor says it watches.
    pub fn serve_file(&self) -> PathBuf {
        self.root.join("serve.json")
    }

    /// The supervisor's log.
    pub fn serve_log(&self) -> PathBuf {
        self.root.join("serve.log")
    }
}

fn open_lock(path: &Path) -> Result<File, StateError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE_SECRET)
        .open(path)
        .map_err(|source| StateError::Io { action: "open", path: path.to_owned(), source })
}

fn try_lock(lock: &File, path: &Path) -> Result<bool, StateError> {
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(source)) => Err(StateError::Io { action: "lock", path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_whose_folder_others_may_write_to_is_refused() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("state");
        let folder = StateFolder::prepare(&path).expect("prepared");
        fs::write(folder.cluster_file(), "{}").expect("written");
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        for mode in [0o700, 0o750, 0o755] {
            set(mode);
            StateFolder::prepare(&path).expect("for its owner to write alone");
            StateFolder::existing(&path).expect("for its owner to write alone");
        }
        for mode in [0o770, 0o702, 0o1777] {
            set(mode);
            for refused in [StateFolder::prepare(&path), StateFolder::existing(&path)] {
                let error = refused.expect_err("open to others").to_string();
                assert!(error.contains(&format!("(mode {mode:04o})")) && error.contains("chmod 700"), "{error}");
            }
        }
    }

    #[test]
    fn a_folder_where_no_cluster_is_found_is_called_what_it_is() {
        let place = tempfile::tempdir().expect("a folder");
        let said = |path: &Path| StateFolder::existing(path).expect_err("no cluster").to_string();
        assert!(said(&place.path().join("nowhere")).contains("it is empty or not there"));
        assert!(said(place.path()).contains("it is empty or not there"));
        fs::write(place.path().join("up.lock"), "").expect("written");
        assert!(said(place.path()).contains("it is empty or not there"));
        fs::write(place.path().join("notes.txt"), "").expect("written");
        let foreign = said(place.path());
        assert!(foreign.contains("not Strongroom's") && !foreign.contains("strongroom up"), "{foreign}");
        fs::write(place.path().join("root.key"), "").expect("written");
        let lost = said(place.path());
        assert!(lost.contains("cluster.json is missing") && !lost.contains("strongroom up"), "{lost}");
    }

    #[test]
    fn an_empty_folder_is_closed_to_others() {
        let place = tempfile::tempdir().expect("a folder");
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("set");
        StateFolder::prepare(place.path()).expect("prepared");
        let mode = fs::metadata(place.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777, MODE_FOLDER);
    }
}

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use strongroom_crypto::digest::digest;
use strongroom_crypto::{equal, random};
use strongroom_types::{ClusterId, HashFunction};
use thiserror::Error;
use zeroize::Zeroizing;

use super::derive::{KEY_LEN, derive, push_cluster};
use super::{ClusterKey, SealError, VERSION, aead};
use crate::locked::{Locked, user};

/// The first bytes of a root key's file.
const MAGIC: &[u8; 8] = b"SRROOTKY";
/// The version that follows them, big-endian.
const FILE_VERSION: u32 = 1;
/// Where the key lies in the file.
const KEY_AT: usize = MAGIC.len() + size_of::<u32>();
/// Where its checksum lies, SHA-256 of all bytes before.
const CHECKSUM_AT: usize = KEY_AT + KEY_LEN;
/// Bytes of a root key's file.
const FILE_LEN: usize = CHECKSUM_AT + 32;
/// Bytes of the epoch behind a sealed cluster key.
const EPOCH_LEN: usize = 8;
/// The epoch of a new cluster, which is not written.
const EPOCH_FIRST: u64 = 1;
/// Only the owner reads and writes.
const MODE: u32 = 0o600;
/// Permission bits that a root key's file must not have.
const FOREIGN_BITS: u32 = 0o077;
const LABEL: &str = "strongroom cluster key";

/// Why there is no root key.
#[derive(Debug, Error)]
pub enum RootKeyError {
    /// Something is there already. A root key is never replaced: what it sealed would be lost.
    #[error("{} exists and is not replaced: what was sealed under it would be lost", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error(
        "there is no root key at {}; put the file back from where it is kept (only for a new installation make one \
         with `strongroom-hsm init-root-key`)",
        path.display()
    )]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// A folder, a device, a pipe.
    #[error("{} is not a regular file, so it is not a root key", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// Somebody else's, who knows it and may change it.
    #[error(
        "the root key {} belongs to another user (uid {owner}, this process acts as {user}); \
         run as its owner, or if nobody else has read it: chown {user} {0}",
        path.display()
    )]
    Owner {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who reads it.
        user: u32,
    },
    /// Others than the owner may read or change it.
    #[error(
        "others than its owner may use the root key {} (mode {mode:04o}); if nobody has read it: chmod 600 {0}",
        path.display()
    )]
    Permissions {
        /// Where.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another file.
    #[error("{} is not a root key: it does not begin as one", path.display())]
    Magic {
        /// Where.
        path: PathBuf,
    },
    /// Written by a newer Strongroom.
    #[error("the root key {} has format {version}, and this version of Strongroom reads format {FILE_VERSION} only; \
             install a newer one", path.display())]
    Version {
        /// Where.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// Cut short, or something was appended.
    #[error("the root key {} is damaged: a root key has {FILE_LEN} bytes; put the file back from where it is kept",
            path.display())]
    Length {
        /// Where.
        path: PathBuf,
    },
    /// Its checksum is not right.
    #[error("the root key {} is damaged: its checksum is wrong; put the file back from where it is kept",
            path.display())]
    Checksum {
        /// Where.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} the root key {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The key of an installation: 256 bits in a file that only HSMs can read. It opens the cluster keys.
pub struct RootKey(Locked);

impl RootKey {
    /// Makes a new root key in a new file, readable by its owner alone, and on disk when this returns.
    pub fn create(path: &Path) -> Result<(), RootKeyError> {
        RootKey::write_new(path, random::fill)
    }

    /// Writes this root key to a new file as well, as [`create`](RootKey::create) writes a new one: for another cluster of
    /// the installation.
    pub fn copy_to(&self, path: &Path) -> Result<(), RootKeyError> {
        RootKey::write_new(path, |key| key.copy_from_slice(self.0.expose()))
    }

    fn write_new(path: &Path, fill: impl FnOnce(&mut [u8])) -> Result<(), RootKeyError> {
        let error = |action, source| RootKeyError::Io { action, path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let mut file = match options.write(true).create_new(true).mode(MODE).open(path) {
            Ok(file) => file,
            Err(source) if source.kind() == ErrorKind::AlreadyExists => {
                return Err(RootKeyError::Exists { path: path.to_owned() });
            }
            Err(source) => return Err(error("make", source)),
        };
        write(&mut file, fill).and_then(|()| sync_folder_of(path)).map_err(|source| {
            // The file is ours, and no key that anybody has used is in it.
            let _ = fs::remove_file(path);
            error("write", source)
        })
    }

    /// Reads a root key. Refuses a file that is not this process' user's, or that others than its owner may use.
    pub fn read(path: &Path) -> Result<RootKey, RootKeyError> {
        let error = |source| RootKeyError::Io { action: "read", path: path.to_owned(), source };
        // A pipe would block until somebody writes to it.
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
            Ok(file) => file,
            Err(source) if source.kind() == ErrorKind::NotFound => {
                return Err(RootKeyError::Missing { path: path.to_owned() });
            }
            Err(source) => return Err(error(source)),
        };
        let metadata = file.metadata().map_err(error)?;
        if !metadata.is_file() {
            return Err(RootKeyError::NotAFile { path: path.to_owned() });
        }
        check_access(path, metadata.uid(), metadata.permissions().mode(), user())?;
        // One byte more than there may be shows whether there is more.
        let mut bytes = Zeroizing::new([0; FILE_LEN + 1]);
        let len = read_up_to(file, &mut *bytes).map_err(error)?;
        parse(path, bytes.get(..len).unwrap_or_default())
    }

    /// Seals a cluster's key for the store, with the epoch in which the store is. The first epoch is 1.
    pub fn seal_cluster_key(&self, key: &ClusterKey, cluster: &ClusterId, epoch: u64) -> Vec<u8> {
        let mut content = Zeroizing::new([0; KEY_LEN + EPOCH_LEN]);
        let (to_key, to_epoch) = content.split_at_mut(KEY_LEN);
        to_key.copy_from_slice(key.0.expose());
        to_epoch.copy_from_slice(&epoch.to_be_bytes());
        let len = if epoch == EPOCH_FIRST { KEY_LEN } else { KEY_LEN + EPOCH_LEN };
        aead::seal(&*self.derived(cluster), &binding(cluster), &[], content.get(..len).unwrap_or_default())
    }

    /// Whether both are the same key. Compared in constant time.
    pub fn is(&self, other: &RootKey) -> bool {
        equal(self.0.expose(), other.0.expose())
    }

    /// Opens a cluster's key; which epoch its store is in comes with it.
    pub fn open_cluster_key(&self, sealed: &[u8], cluster: &ClusterId) -> Result<(ClusterKey, u64), SealError> {
        let content = aead::open(&*self.derived(cluster), &binding(cluster), aead::body(sealed)?)?;
        let (key, epoch) = content.expose().split_at_checked(KEY_LEN).ok_or(SealError::Length)?;
        let epoch = match <[u8; EPOCH_LEN]>::try_from(epoch) {
            Ok(epoch) => Some(u64::from_be_bytes(epoch)).filter(|epoch| *epoch > EPOCH_FIRST),
            Err(_) => Some(EPOCH_FIRST).filter(|_| epoch.is_empty()),
        };
        Ok((ClusterKey::from_slice(key)?, epoch.ok_or(SealError::Length)?))
    }

    fn derived(&self, cluster: &ClusterId) -> Zeroizing<[u8; KEY_LEN]> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        derive(self.0.expose(), LABEL, &[&binding(cluster)], &mut *key);
        key
    }
}

#[cfg(feature = "fuzz")]
impl RootKey {
    /// Reads what a root key's file holds.
    pub fn from_content(bytes: &[u8]) -> Result<RootKey, RootKeyError> {
        parse(Path::new("root.key"), bytes)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey")
    }
}

/// Version and cluster id with its length.
fn binding(cluster: &ClusterId) -> Vec<u8> {
    let mut binding = vec![VERSION];
    push_cluster(&mut binding, cluster);
    binding
}

fn write(file: &mut File, fill: impl FnOnce(&mut [u8])) -> io::Result<()> {
    // The process' umask took bits away from the mode that the file was made with, never from this one.
    file.set_permissions(Permissions::from_mode(MODE))?;
    let mut bytes = Zeroizing::new([0; FILE_LEN]);
    let (content, checksum) = bytes.split_at_mut(CHECKSUM_AT);
    content[..MAGIC.len()].copy_from_slice(MAGIC);
    content[MAGIC.len()..KEY_AT].copy_from_slice(&FILE_VERSION.to_be_bytes());
    fill(&mut content[KEY_AT..]);
    checksum.copy_from_slice(&digest(HashFunction::Sha256, content));
    file.write_all(&*bytes)?;
    file.sync_all()
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Fills `bytes` as far as the file goes, without a buffer between that would keep the key.
fn read_up_to(mut file: File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Refuses what anybody but `user` may read or change: root can read every file, and takes nobody's key for its own.
pub(super) fn check_access(path: &Path, owner: u32, mode: u32, user: u32) -> Result<(), RootKeyError> {
    if owner != user {
        return Err(RootKeyError::Owner { path: path.to_owned(), owner, user });
    }
    let mode = mode & 0o7777;
    if mode & FOREIGN_BITS != 0 {
        return Err(RootKeyError::Permissions { path: path.to_owned(), mode });
    }
    Ok(())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<RootKey, RootKeyError> {
    let path = || path.to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| RootKeyError::Magic { path: path() })?;
    let (version, _) = rest.split_first_chunk().ok_or_else(|| RootKeyError::Length { path: path() })?;
    let version = u32::from_be_bytes(*version);
    if version != FILE_VERSION {
        return Err(RootKeyError::Version { path: path(), version });
    }
    if bytes.len() != FILE_LEN {
        return Err(RootKeyError::Length { path: path() });
    }
    let (content, checksum) = bytes.split_at(CHECKSUM_AT);
    if !equal(&digest(HashFunction::Sha256, content), checksum) {
        return Err(RootKeyError::Checksum { path: path() });
    }
    let mut key = Locked::zeroed(KEY_LEN);
    key.expose_mut().copy_from_slice(&content[KEY_AT..]);
    Ok(RootKey(key))
}

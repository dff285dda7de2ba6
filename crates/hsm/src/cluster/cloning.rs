//! Founding a clone: a second cluster begins with what a first one's store holds.
//!
//! * The origin may run or not. Its store is read at one moment and checked as a starting HSM checks it, its HSMs' anchors
//!   too: an older copy that was put in its place is not cloned.
//! * Everything is sealed anew, under a cluster key of the clone's own, for its id and its first epoch.
//! * The clone's store is there whole or not at all, at whatever moment the process dies; its root key comes after it, and
//!   without a root key no HSM starts. So nothing ever serves that is half a clone.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strongroom_core::member::{Anchor, AnchorFound, Ledger, Withheld};
use strongroom_core::{Batch, CloneRefusal, CloneTaker, Origin, State, carried, check_clone};
use strongroom_crypto::certificates::hsm_subject;
use strongroom_crypto_keys::seal::{ClusterKey, RootKey, RootKeyError, Sealer};
use strongroom_crypto_keys::{csr, generate};
use strongroom_store::{Loaded, OfflineDatabase, StoredRecord, read_database};
use strongroom_types::{ClusterId, Curve, HsmId, RecordPath, Revision};
use thiserror::Error;

use super::founding::FIRST_EPOCH;
use super::keys::Keys;
use super::rollback::{check_together, found};
use super::sealing::{self, anchor_of};
use super::view::View;
use super::{Setup, StartError, StateError};

/// A clone's first batch holds everything.
const FIRST_REVISION: Revision = Revision(1);
/// How long an earlier process that founds the same clone is waited for.
const ALONE_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);
/// What stands before the name of a root key's file that is being written.
const TEMPORARY: &str = ".new-";

/// Why no clone is founded.
#[derive(Debug, Error)]
pub enum CloneError {
    /// The origin's store or the clone's cannot be used, or the root key.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The rules.
    #[error(transparent)]
    Refused(#[from] CloneRefusal),
    /// Folders of HSMs of several clusters.
    #[error("{hsm} is not of the same cluster and store as {first}; name the folders of one cluster's HSMs")]
    Apart {
        /// The first HSM that was named.
        first: HsmId,
        /// The one that is of another cluster.
        hsm: HsmId,
    },
    /// An HSM that was not named may have seen more than all others.
    #[error("{0} is an HSM of the origin too; name its folder as well: it may have seen a newer store")]
    LeftOut(HsmId),
    /// The origin's store is not the newest one, or nobody knows.
    #[error("{hsm} does not start on the origin's store, so it is not cloned: {cause}")]
    Withheld {
        /// An HSM of the origin.
        hsm: HsmId,
        /// Why.
        cause: Withheld,
    },
    /// Another process founds the clone, or the folder cannot be locked.
    #[error("{} cannot be locked: {source}; another process may be making the clone", path.display())]
    Lock {
        /// The folder of the clone's store.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is a store already, of another clone or of none.
    #[error(
        "there is a store already, and its cluster did not begin as a clone of {0}; found the clone in another folder"
    )]
    Taken(ClusterId),
    /// There is a root key already, and it is another one.
    #[error("{} is another installation's root key; found the clone in another folder", path.display())]
    OtherRootKey {
        /// The clone's.
        path: PathBuf,
    },
}

impl<E: Into<StateError>> From<E> for CloneError {
    fn from(error: E) -> CloneError {
        CloneError::Start(StartError::State(error.into()))
    }
}

/// What was founded, now or before.
#[derive(Clone, Debug)]
pub struct Founded {
    /// What the clone began with.
    pub origin: Origin,
    /// How many keys it began with.
    pub keys: usize,
    /// How many users, `app_user` not counted.
    pub users: usize,
}

/// Founds the cluster of `clone` with what the cluster of `origins` holds: all HSMs of the origin. What was done before is
/// not done again. `clock_ms` is the time, in milliseconds since 1970.
pub fn found_clone(origins: &[Setup], clone: &Setup, clock_ms: u64) -> Result<Founded, CloneError> {
    let first = check_together(origins).map_err(|(first, hsm)| CloneError::Apart { first, hsm })?;
    let root_key = RootKey::read(&first.root_key).map_err(StartError::from)?;
    let _alone = alone(clone)?;
    let founded = match clone.store.database().symlink_metadata() {
        Ok(_) => founded_before(first, clone, &root_key)?,
        Err(_) => {
            let read = read_origin(origins, &root_key)?;
            let (loaded, founded) = cloned(&read, clone, &root_key, clock_ms)?;
            OfflineDatabase::create(&clone.store, &loaded).map_err(StartError::from)?;
            founded
        }
    };
    keep_root_key(&root_key, &clone.root_key)?;
    Ok(founded)
}

/// One process at a time founds a clone. An earlier one may still be at work, though whoever started it was killed: then it
/// is waited for, and what it did is found done.
fn alone(clone: &Setup) -> Result<fs::File, CloneError> {
    let folder = clone.store.database().parent().unwrap_or(Path::new("."));
    let failed = |source| CloneError::Lock { path: folder.to_owned(), source };
    let lock = fs::File::open(folder).map_err(failed)?;
    let deadline = Instant::now() + ALONE_WAIT;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(fs::TryLockError::WouldBlock) => return Err(failed(ErrorKind::WouldBlock.into())),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

/// A store that an earlier run made.
fn founded_before(origin: &Setup, clone: &Setup, root_key: &RootKey) -> Result<Founded, CloneError> {
    let loaded = read_database(&clone.store).map_err(StartError::from)?;
    let read = Read::of(root_key, &clone.cluster_id, loaded)?;
    let began = read.state.cluster().and_then(|cluster| cluster.origin.clone());
    match began.filter(|began| began.cluster == origin.cluster_id) {
        Some(began) => Ok(founded(began, &read.state)),
        None => Err(CloneError::Taken(origin.cluster_id.clone())),
    }
}

fn founded(origin: Origin, state: &State) -> Founded {
    Founded { origin, keys: state.keys_len(), users: state.users_len() }
}

/// The origin's state as its HSMs have it, and the records behind it.
pub(crate) struct Read {
    keys: Keys,
    loaded: Loaded,
    state: State,
    anchor: Anchor,
}

impl Read {
    /// Opens a store and checks all of it, as a starting HSM does.
    pub(crate) fn of(root_key: &RootKey, cluster: &ClusterId, loaded: Loaded) -> Result<Read, StateError> {
        let keys = Keys::open(root_key, cluster, &loaded)?;
        let view = View::load(&keys.sealer(), keys.epoch, &loaded)?;
        let (state, anchor) = (view.state().clone(), anchor_of(view.head()));
        Ok(Read { keys, loaded, state, anchor })
    }
}

fn read_origin(origins: &[Setup], root_key: &RootKey) -> Result<Read, CloneError> {
    let first = origins.first().expect("there is a first: the folders were looked at");
    let load = || read_database(&first.store).map_err(StartError::from);
    // The anchors first, by the keys of an earlier look: an HSM that runs may go on to write both, and the store that is
    // read after its anchor is the newer one.
    let before = Read::of(root_key, &first.cluster_id, load()?)?;
    let named = |hsm: &HsmId| origins.iter().find(|setup| setup.hsm.id == *hsm);
    let mut seen: Vec<(HsmId, AnchorFound)> = Vec::with_capacity(origins.len());
    for hsm in before.state.hsms() {
        let setup = named(&hsm.id).ok_or_else(|| CloneError::LeftOut(hsm.id.clone()))?;
        seen.push((hsm.id.clone(), found(setup, &before.keys, &before.state)?));
    }
    // An older copy of the store may not know all of them.
    for setup in origins.iter().filter(|setup| before.state.hsm(&setup.hsm.id).is_none()) {
        seen.push((setup.hsm.id.clone(), found(setup, &before.keys, &before.state)?));
    }
    let loaded = load()?;
    let read = if loaded == before.loaded { before } else { Read::of(root_key, &first.cluster_id, loaded)? };
    for (hsm, anchor) in seen {
        anchor.check(&read.anchor).map_err(|cause| CloneError::Withheld { hsm, cause })?;
    }
    Ok(read)
}

/// The store of a clone that begins with what was read.
pub(crate) fn cloned(
    Read { keys, loaded, state, .. }: &Read,
    clone: &Setup,
    root_key: &RootKey,
    clock_ms: u64,
) -> Result<(Loaded, Founded), CloneError> {
    let origin = check_clone(state, (&clone.cluster_id, clone.mode, clone.hsm_type))?;
    let cluster_key = ClusterKey::generate();
    let (old, new) = (keys.sealer(), Sealer::new(&cluster_key, &clone.cluster_id, FIRST_EPOCH));
    let pair = generate::ec(Curve::P256).map_err(StartError::from)?;
    let taker = CloneTaker {
        id: clone.cluster_id.clone(),
        mode: clone.mode,
        hsm_type: clone.hsm_type,
        lease_ms: clone.lease_ms,
        password_iterations: clone.password_iterations,
        sealed_tls_key: new.seal_tls_key(&pair.pkcs8).into(),
        csr_der: csr::request(&pair.pkcs8, &hsm_subject(&clone.cluster_id)).map_err(StartError::from)?,
        now_ms: state.cluster_time(clock_ms),
    };
    let mut puts = Vec::with_capacity(loaded.records.len());
    for record in &sealing::open(&old, &loaded.records)?.records {
        let Some(mut record) = carried(record, state, &origin, &taker, FIRST_REVISION) else { continue };
        let path = record.path();
        let damaged = |cause| StateError::Sealed { path, revision: loaded.revision, cause };
        sealing::reseal(&mut record, &old, &new).map_err(damaged)?;
        puts.push(record);
    }
    let batch = Batch { revision: FIRST_REVISION, time_ms: taker.now_ms, puts, deletes: Vec::new() };
    let key = (RecordPath::CLUSTER_KEY, root_key.seal_cluster_key(&cluster_key, &clone.cluster_id, FIRST_EPOCH));
    let sealed = sealing::seal(&new, &Ledger::empty(FIRST_EPOCH), &batch, vec![key])?;
    let stored = |(path, sealed)| StoredRecord { path, revision: FIRST_REVISION, sealed };
    let mut records: Vec<StoredRecord> = sealed.puts.into_iter().map(stored).collect();
    records.sort_by_key(|record| record.path);
    let loaded = Loaded { revision: FIRST_REVISION, records };
    // As an HSM will read it.
    let read = Read::of(root_key, &clone.cluster_id, loaded)?;
    let founded = founded(origin, &read.state);
    Ok((read.loaded, founded))
}

/// The installation's root key, where the clone's HSMs look for it.
fn keep_root_key(root_key: &RootKey, path: &Path) -> Result<(), CloneError> {
    match RootKey::read(path) {
        Ok(kept) if kept.is(root_key) => return Ok(()),
        Ok(_) => return Err(CloneError::OtherRootKey { path: path.to_owned() }),
        Err(RootKeyError::Missing { .. }) => {}
        Err(error) => return Err(StartError::from(error).into()),
    }
    let failed = |action| move |source| StartError::from(RootKeyError::Io { action, path: path.to_owned(), source });
    let mut name = std::ffi::OsString::from(TEMPORARY);
    name.push(path.file_name().unwrap_or_default());
    let new = path.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("write")(error).into()),
        Ok(()) | Err(_) => {}
    }
    root_key.copy_to(&new).map_err(StartError::from)?;
    fs::rename(&new, path).map_err(failed("name"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write"))?;
    Ok(())
}

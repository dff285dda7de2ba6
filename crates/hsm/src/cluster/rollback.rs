//! Accepting a rollback: a store that is older than what HSMs have seen, or of another history, becomes the cluster's
//! again, in a new epoch.
//!
//! * No HSM runs meanwhile, and none can start before the anchors are written.
//! * Everything is sealed anew for the new epoch. What was sealed in an earlier one (tickets, session keys, records that
//!   somebody kept) opens nowhere.
//! * The event is a record of the new epoch's first batch: neither exists without the other.
//! * The store is the old one or the new one, whole, at whatever moment the process dies. Anchors follow: an HSM takes a
//!   store of a later epoch than it has seen.

use std::path::PathBuf;

use strongroom_core::member::{Anchor, AnchorFound, Ledger, NewEpoch, RollbackRefusal, new_epoch};
use strongroom_core::{Batch, Record, Rollback, State, cluster_time};
use strongroom_crypto_keys::seal::{RootKey, SealError, Sealer};
use strongroom_store::{Loaded, OfflineDatabase, StoredRecord};
use strongroom_types::{ClusterId, HsmId, RecordPath, Revision};
use thiserror::Error;

use super::anchor::{AnchorFile, AnchorPlace};
use super::keys::Keys;
use super::sealing::{self, anchor_of};
use super::view::View;
use super::{AnchorError, Setup, StartError, StateError};

/// Why no rollback is looked at or accepted.
#[derive(Debug, Error)]
pub enum RollbackError {
    /// The store cannot be used, or holds what no HSM would start on, whatever it has seen.
    #[error(transparent)]
    Start(#[from] StartError),
    /// HSMs of several clusters, or of one with several stores.
    #[error("{hsm} is not of the same cluster and store as {first}; name the folders of one cluster's HSMs")]
    Apart {
        /// The first HSM that was named.
        first: HsmId,
        /// The one that is of another cluster.
        hsm: HsmId,
    },
    /// An HSM that was not named may have seen more than all others.
    #[error("{0} is an HSM of this cluster too; name its folder as well: it may have seen a newer store")]
    LeftOut(HsmId),
    /// The rules.
    #[error(transparent)]
    Refused(#[from] RollbackRefusal),
    /// The store is accepted, and an HSM cannot be told.
    #[error(
        "the store is accepted, but {hsm} still has its old anchor: {cause}; mend that, and run the command again if \
             the HSM does not start"
    )]
    Anchor {
        /// Whose.
        hsm: HsmId,
        /// Why.
        cause: AnchorError,
    },
}

impl<E: Into<StateError>> From<E> for RollbackError {
    fn from(error: E) -> RollbackError {
        RollbackError::Start(StartError::State(error.into()))
    }
}

/// What is to be known before a store is accepted.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Whose store it is.
    pub cluster_id: ClusterId,
    /// Where it stands.
    pub store: Anchor,
    /// When that revision was written, in milliseconds since 1970.
    pub written_ms: u64,
    /// How many keys it holds.
    pub keys: usize,
    /// How many users it holds, `app_user` not counted.
    pub users: usize,
    /// What the HSMs have seen, in order of ids.
    pub hsms: Vec<(HsmId, AnchorFound)>,
}

impl Findings {
    /// Whether an HSM is kept from starting.
    pub fn is_withheld(&self) -> bool {
        self.hsms.iter().any(|(_, found)| found.check(&self.store).is_err())
    }
}

/// Who accepts.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// The user of the system.
    pub uid: u32,
    /// The user who had logged in to the system.
    pub login_uid: Option<u32>,
}

/// What was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The event, as it is kept.
    pub event: Rollback,
    /// The database of before.
    pub kept: PathBuf,
}

/// A cluster that does not run, looked at.
pub struct Considered<'a> {
    setups: &'a [Setup],
    database: OfflineDatabase,
    root_key: RootKey,
    keys: Keys,
    loaded: Loaded,
    findings: Findings,
}

impl<'a> Considered<'a> {
    /// Looks at a cluster's store and at the anchors of its HSMs, all of which must be named. Refuses while one runs, and
    /// a store that is damaged.
    pub fn open(setups: &'a [Setup]) -> Result<Considered<'a>, RollbackError> {
        let first = check_together(setups).map_err(|(first, hsm)| RollbackError::Apart { first, hsm })?;
        let root_key = RootKey::read(&first.root_key).map_err(StartError::from)?;
        let database = OfflineDatabase::open(&first.store).map_err(StartError::from)?;
        let loaded = database.load().map_err(StartError::from)?;
        let keys = Keys::open(&root_key, &first.cluster_id, &loaded)?;
        let view = View::load(&keys.sealer(), keys.epoch, &loaded)?;
        let state = view.state();
        if let Some(left_out) = state.hsms().find(|hsm| !setups.iter().any(|setup| setup.hsm.id == hsm.id)) {
            return Err(RollbackError::LeftOut(left_out.id.clone()));
        }
        let mut hsms = Vec::with_capacity(setups.len());
        for setup in setups {
            hsms.push((setup.hsm.id.clone(), found(setup, &keys, state)?));
        }
        hsms.sort_by(|(one, _), (other, _)| one.cmp(other));
        let findings = Findings {
            cluster_id: first.cluster_id.clone(),
            store: anchor_of(view.head()),
            written_ms: view.head().time_ms,
            keys: state.keys_len(),
            users: state.users_len(),
            hsms,
        };
        Ok(Considered { setups, database, root_key, keys, loaded, findings })
    }

    /// What there is to know.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Begins a new epoch with the store, whose revision must be `named`. `clock_ms` is the time, in milliseconds since
    /// 1970.
    pub fn accept(mut self, named: Revision, who: Who, clock_ms: u64) -> Result<Accepted, RollbackError> {
        let Findings { store, written_ms, hsms, .. } = &self.findings;
        let found: Vec<AnchorFound> = hsms.iter().map(|(_, found)| found.clone()).collect();
        let NewEpoch { epoch, revision } = new_epoch(store, &found, named)?;
        let event = Rollback {
            epoch,
            revision,
            accepted: *store,
            accepted_ms: *written_ms,
            found: hsms.clone(),
            uid: who.uid,
            login_uid: who.login_uid,
            time_ms: cluster_time(clock_ms, *written_ms),
        };
        let renewed = renewed(&self.root_key, &self.keys, &self.loaded, &event)?;
        // As an HSM will read it.
        let keys = Keys::open(&self.root_key, &self.findings.cluster_id, &renewed)?;
        let sealer = keys.sealer();
        let anchor = anchor_of(View::load(&sealer, keys.epoch, &renewed)?.head());
        let kept = self.database.replace(&renewed).map_err(StartError::from)?;
        let write = |setup: &Setup| {
            let written = AnchorFile::new(&setup.anchor).write(&sealer, &anchor);
            written.map_err(|cause| RollbackError::Anchor { hsm: setup.hsm.id.clone(), cause })
        };
        // All that can be, also when one cannot.
        let written: Vec<Result<(), RollbackError>> = self.setups.iter().map(write).collect();
        written.into_iter().collect::<Result<(), RollbackError>>()?;
        Ok(Accepted { event, kept })
    }
}

/// The first of them, if all are HSMs of one cluster with one store; otherwise that one, and one that is not.
pub(super) fn check_together(setups: &[Setup]) -> Result<&Setup, (HsmId, HsmId)> {
    let (first, others) = setups.split_first().expect("the command line wants at least one folder");
    let store = |setup: &Setup| setup.store.database().canonicalize().ok();
    for setup in others {
        if setup.cluster_id != first.cluster_id || store(setup) != store(first) {
            return Err((first.hsm.id.clone(), setup.hsm.id.clone()));
        }
    }
    Ok(first)
}

/// What an HSM has seen, as far as its anchor tells.
pub(super) fn found(setup: &Setup, keys: &Keys, state: &State) -> Result<AnchorFound, StartError> {
    match AnchorFile::new(&setup.anchor).read(keys) {
        Ok(Some(anchor)) => Ok(AnchorFound::Seen(anchor)),
        Ok(None) if state.hsm(&setup.hsm.id).is_some() => Ok(AnchorFound::Missing),
        Ok(None) => Ok(AnchorFound::New),
        Err(AnchorError::Damaged { .. }) => Ok(AnchorFound::Damaged),
        Err(error) => Err(error.into()),
    }
}

/// Everything in a store, sealed for the epoch that an event begins, and the event.
fn renewed(root_key: &RootKey, keys: &Keys, loaded: &Loaded, event: &Rollback) -> Result<Loaded, StateError> {
    let Rollback { epoch, revision, time_ms, .. } = *event;
    let (old, new) = (keys.sealer(), keys.sealer_of(epoch));
    let mut puts = sealing::open(&old, &loaded.records)?.records;
    for record in &mut puts {
        let path = record.path();
        let damaged = |cause| StateError::Sealed { path, revision: loaded.revision, cause };
        renew(record, &old, &new, epoch, revision).map_err(damaged)?;
    }
    puts.push(Record::Rollback(event.clone()));
    let batch = Batch { revision, time_ms, puts, deletes: Vec::new() };
    let key = (RecordPath::CLUSTER_KEY, keys.seal_for(root_key, epoch));
    let sealed = sealing::seal(&new, &Ledger::before(epoch, revision, 0), &batch, vec![key])?;
    let stored = |(path, sealed)| StoredRecord { path, revision, sealed };
    let mut records: Vec<StoredRecord> = sealed.puts.into_iter().map(stored).collect();
    records.sort_by_key(|record| record.path);
    Ok(Loaded { revision, records })
}

/// A record of the epoch that begins, with what is sealed inside of it.
fn renew(
    record: &mut Record,
    old: &Sealer,
    new: &Sealer,
    new_epoch: u64,
    new_revision: Revision,
) -> Result<(), SealError> {
    if let Record::Cluster(cluster) = record {
        cluster.epoch = new_epoch;
        cluster.sealed_tls_key = new.seal_tls_key(&old.open_tls_key(&cluster.sealed_tls_key)?).into();
    }
    if let Record::Key(key) = record {
        key.revision = new_revision;
        key.key_epoch = new_epoch;
    }
    sealing::reseal(record, old, new)
}

//! The beginning of a member: the cluster is made, if the store is empty, or loaded and checked.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use strongroom_core::member::{Anchor, Change, Clocks, LeaseKind, Ledger};
use strongroom_core::{Actor, Command, Draft, Hsm, Made, Plan, PlanError, Request, State};
use strongroom_crypto::certificates::hsm_subject;
use strongroom_crypto::random;
use strongroom_crypto_keys::seal::{ClusterKey, HistoryKey, RootKey, Sealer};
use strongroom_crypto_keys::{csr, generate};
use strongroom_store::{CommitError, Loaded, Store};
use strongroom_types::{Curve, Family, RecordPath, RequestId, Revision, UserId};

use super::anchor::{AnchorFile, Anchored};
use super::changes::{self, Desk};
use super::clock::Clock;
use super::following::Following;
use super::keys::Keys;
use super::member::Member;
use super::reads::Reads;
use super::sealing::{self, anchor_of};
use super::shared::{Hindrance, Serving, Shared, Stopping};
use super::view::View;
use super::{ChangeError, Notices, Setup, StartError, StateError, Watcher, clock};

/// The first epoch of a cluster. Accepted rollbacks begin others.
pub(super) const FIRST_EPOCH: u64 = 1;
/// How often to try to make a cluster whose commit comes to nothing.
const TRIES: usize = 10;
const REGISTER_TIME: Duration = Duration::from_secs(30);

/// Makes or loads the cluster and checks all of it. The member has not joined yet.
pub(super) fn open(
    store: Arc<dyn Store>,
    lease: LeaseKind,
    setup: &Setup,
    notices: Arc<dyn Notices>,
    watcher: Box<dyn Watcher>,
) -> Result<Shared, StartError> {
    let root_key = RootKey::read(&setup.root_key)?;
    let loaded = load_or_make(store.as_ref(), &root_key, setup, notices.as_ref())?;
    let keys = Keys::open(&root_key, &setup.cluster_id, &loaded)?;
    let sealer = keys.sealer();
    let view = View::load(&sealer, keys.epoch, &loaded)?;
    let state = view.state().clone();
    let cluster = state.cluster().ok_or(StateError::Missing(RecordPath::CLUSTER))?;
    if cluster.id != setup.cluster_id {
        let (found, wanted) = (cluster.id.clone(), setup.cluster_id.clone());
        return Err(StateError::OtherCluster { found, wanted }.into());
    }
    if (cluster.mode, cluster.hsm_type) != (setup.mode, setup.hsm_type) {
        notices.say("the mode and the type in this HSM's settings are not the cluster's; the cluster's count");
    }
    let mut anchor = Anchored::new(Box::new(AnchorFile::new(&setup.anchor)));
    let newest = anchor_of(view.head());
    let known = anchor.read(&keys)?;
    Anchor::check(known.as_ref(), &newest, state.hsm(&setup.hsm.id).is_some()).map_err(StateError::from)?;
    let remark = anchor.remark();
    if let Some(remark) = &remark {
        notices.say(remark);
    }
    if known != Some(newest) || remark.is_some() {
        anchor.write(&sealer, &newest)?;
    }
    let lease_ms = u64::from(cluster.settings.lease_ms);
    Ok(Shared {
        store,
        sealer,
        hsm_id: setup.hsm.id.clone(),
        notices,
        watcher,
        member: Mutex::new(Member::new(lease, lease_ms, &state)),
        desk: Mutex::new(Desk::new(lease, lease_ms)),
        state: ArcSwap::from_pointee(state.clone()),
        following: Mutex::new(Following::new(view)),
        damaged: AtomicBool::new(false),
        hindrance: Hindrance::default(),
        work: Condvar::new(),
        reads: Reads::new(),
        serving: Serving::new(),
        anchor: Mutex::new(anchor),
        clock: Clock::default(),
        clocks: Mutex::new(Clocks::new(lease, lease_ms)),
        stopping: Stopping::new(),
    })
}

/// What the store holds, once it holds a cluster. Several HSMs may try to make it at once: one commit wins.
fn load_or_make(
    store: &dyn Store,
    root_key: &RootKey,
    setup: &Setup,
    notices: &dyn Notices,
) -> Result<Loaded, StartError> {
    for _ in 0..TRIES {
        let loaded = store.load()?;
        if loaded.revision > Revision(0) || !loaded.records.is_empty() {
            return Ok(loaded);
        }
        // An anchor is written after something was stored. A new cluster in the lost one's place would be refused by
        // every anchor, and hide what has happened.
        if setup.anchor.symlink_metadata().is_ok() {
            return Err(StateError::Emptied { anchor: setup.anchor.clone() }.into());
        }
        match make(store, root_key, setup)? {
            Ok(_) => notices.tell(&format!("made {}", setup.cluster_id)),
            // Whatever came of it, loading shows it.
            Err(CommitError::Conflict { .. } | CommitError::Unknown(_)) => {}
            Err(CommitError::Unavailable(error)) => return Err(error.into()),
            Err(CommitError::Refused(_)) => return Err(StartError::NotWritten("the cluster")),
        }
    }
    Err(StartError::NotWritten("the cluster"))
}

/// Makes the cluster key, the TLS key and its request, and the first users.
fn make(store: &dyn Store, root_key: &RootKey, setup: &Setup) -> Result<Result<Revision, CommitError>, StartError> {
    let cluster_key = ClusterKey::generate();
    let sealer = Sealer::new(&cluster_key, &setup.cluster_id, FIRST_EPOCH);
    let pair = generate::ec(Curve::P256)?;
    let csr_der = csr::request(&pair.pkcs8, &hsm_subject(&setup.cluster_id))?;
    let command = Command::CreateCluster {
        id: setup.cluster_id.clone(),
        mode: setup.mode,
        hsm_type: setup.hsm_type,
        epoch: FIRST_EPOCH,
        lease_ms: setup.lease_ms,
        password_iterations: setup.password_iterations,
    };
    let made = Made::Cluster {
        sealed_tls_key: sealer.seal_tls_key(&pair.pkcs8).into(),
        csr_der,
        admin: UserId::from_bytes(random::bytes()),
        appliance: UserId::from_bytes(random::bytes()),
        sealed_history_key: sealer.seal_history_key(&HistoryKey::generate()).into(),
    };
    let request = own_request(&sealer, &[b"create cluster", setup.cluster_id.as_str().as_bytes()]);
    let mut draft = Draft::new(State::empty());
    match draft.plan(&Actor::Hsm, &command, &made, &request, clock::wall_ms()) {
        Ok(Plan::Change(_)) => {}
        Err(PlanError::Refused(refusal)) => return Err(StartError::Refused(refusal)),
        Ok(_) | Err(PlanError::DrawAgain | PlanError::BatchFull) => return Err(StartError::NotWritten("the cluster")),
    }
    let batch = draft.finish();
    let key = root_key.seal_cluster_key(&cluster_key, &setup.cluster_id, FIRST_EPOCH);
    let key = (RecordPath::CLUSTER_KEY, key);
    let sealed = sealing::seal(&sealer, &Ledger::empty(FIRST_EPOCH), &batch, vec![key]).map_err(StateError::from)?;
    Ok(store.commit(Revision(0), &sealed.puts, &sealed.deletes))
}

/// Enters this HSM in the cluster, or changes its entry.
pub(super) fn register(shared: &Shared, hsm: &Hsm) -> Result<(), StartError> {
    let mut hsm = hsm.clone();
    if hsm.serial.is_empty() {
        hsm.serial = crate::identity::serial_number(&hsm.id);
    }
    let request = own_request(&shared.sealer, &[b"register HSM", hsm.id.as_str().as_bytes()]);
    let change = Change { actor: Actor::Hsm, command: Command::RegisterHsm(hsm), made: Made::Nothing, request };
    written(shared, change, "this HSM's entry")
}

/// Makes the key that the cluster shares with its clones, if the cluster is of before there were such keys.
pub(super) fn make_history_key(shared: &Shared) -> Result<(), StartError> {
    if shared.state.load().history_key().is_some() {
        return Ok(());
    }
    let sealed = shared.sealer.seal_history_key(&HistoryKey::generate());
    let request = own_request(&shared.sealer, &[b"make history key"]);
    let made = Made::HistoryKey(sealed.into());
    written(shared, Change { actor: Actor::Hsm, command: Command::MakeHistoryKey, made, request }, "the history key")
}

fn written(shared: &Shared, change: Change, what: &'static str) -> Result<(), StartError> {
    match changes::change(shared, change, Instant::now() + REGISTER_TIME) {
        Ok(_) => Ok(()),
        Err(ChangeError::Refused(refusal)) if refusal.status.family() != Family::Unavailable => {
            Err(StartError::Refused(refusal))
        }
        Err(ChangeError::Refused(_) | ChangeError::DrawAgain) => Err(StartError::NotWritten(what)),
    }
}

/// A request of the HSM's own, that nobody repeats.
fn own_request(sealer: &Sealer, parts: &[&[u8]]) -> Request {
    Request::new(RequestId::from_bytes(random::bytes()), sealer.command_digest(parts))
}

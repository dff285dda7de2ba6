//! This HSM as a member of its cluster: the store, sealing, the head, the anchor, the member table, group commit,
//! catching up, and waiting for the others.
//!
//! The decisions are [`strongroom_core::member`]'s; here they are carried out, by two threads:
//!
//! * The **member** thread waits for the store. It applies what others committed, tells the [`Watcher`], writes the
//!   anchor, shows the revision in this HSM's entry, renews the entry, and acknowledges revoking changes when every
//!   entry shows them.
//! * The **committer** thread plans all waiting changes into one batch, seals it and commits it. While it commits, the
//!   next batch gathers.
//!
//! Invariants:
//!
//! * The published state changes under the view's lock alone, and each step is verified against the head before.
//! * No answer to a change leaves before its batch is durable; none to a revoking one before every member shows it.
//! * Cryptography reads [`Cluster::state`] and [`Cluster::serving`], which take no lock and touch no disk.

mod anchor;
mod changes;
mod clock;
pub mod cloning;
mod committer;
mod error;
mod following;
mod founding;
mod keys;
mod member;
mod reads;
pub mod rollback;
pub mod sealing;
mod shared;
#[cfg(test)]
mod tests;
pub mod view;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::Guard;
use strongroom_core::member::LeaseKind;
use strongroom_core::{Hsm, Reply, State};
use strongroom_crypto_keys::seal::{RootKey, Sealer};
use strongroom_store::{SqliteConfig, SqliteStore, Store};
use strongroom_types::{ClusterId, ClusterMode, HsmId, HsmType, RecordPath, Refusal, Revision};

#[cfg(feature = "fuzz")]
pub use anchor::AnchorSlots;
pub use error::{AnchorError, ChangeError, StartError, StateError};
pub use shared::Life;
pub use strongroom_core::member::Change;

use shared::Shared;

/// What a member needs to know to start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// This HSM, as it enters itself in the cluster.
    pub hsm: Hsm,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// FIPS policy, if this HSM is the one that makes the cluster.
    pub mode: ClusterMode,
    /// Type of the cluster's HSMs, likewise.
    pub hsm_type: HsmType,
    /// A member's lease in milliseconds, likewise.
    pub lease_ms: u32,
    /// PBKDF2 iterations of passwords, likewise.
    pub password_iterations: u32,
    /// The installation's root key.
    pub root_key: PathBuf,
    /// This HSM's anchor file.
    pub anchor: PathBuf,
    /// Where the cluster's records and its member table lie.
    pub store: SqliteConfig,
}

/// Where a member says what an operator should know: one lower-case sentence each, never a secret.
pub trait Notices: Send + Sync {
    /// Says what they may want to look into.
    fn say(&self, text: &str);

    /// Says what went as it should.
    fn tell(&self, text: &str) {
        self.say(text);
    }
}

/// Who must know of a change before the cluster counts on it: the key cache drops keys, TLS follows the certificate.
pub trait Watcher: Send + Sync {
    /// `after` was published; this HSM's entry does not show it yet. `changed` are the records written and removed.
    ///
    /// Called for each step in order, under a lock: it may read [`Cluster::state`], and must not ask for a change, to
    /// catch up or to freshen.
    fn applied(&self, before: &State, after: &State, changed: &[RecordPath]);
}

/// The answer of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What to answer.
    pub reply: Reply,
    /// The revision that this member has applied by then.
    pub revision: Revision,
}

/// This HSM as a member. Dropping it stops it.
pub struct Cluster {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Cluster {
    /// Opens the store and the root key, makes or loads the cluster, joins the member table, enters this HSM, starts
    /// the threads. Returns when this member serves.
    ///
    pub fn start(
        setup: &Setup,
        notices: Arc<dyn Notices>,
        watcher: Box<dyn Watcher>,
    ) -> Result<Arc<Cluster>, StartError> {
        // Before a file is made: without a root key nothing begins.
        RootKey::read(&setup.root_key)?;
        let store = setup.store.clone().lease_ms(u64::from(setup.lease_ms));
        let store = Arc::new(SqliteStore::open(store)?);
        Cluster::start_with(store, LeaseKind::Held, setup, notices, watcher)
    }

    /// As [`start`](Cluster::start), on any store; `setup.store` is not looked at.
    pub fn start_with(
        store: Arc<dyn Store>,
        lease: LeaseKind,
        setup: &Setup,
        notices: Arc<dyn Notices>,
        watcher: Box<dyn Watcher>,
    ) -> Result<Arc<Cluster>, StartError> {
        let shared = Arc::new(founding::open(store, lease, setup, notices, watcher)?);
        let cluster = Cluster { shared: Arc::clone(&shared), threads: Mutex::new(Vec::new()) };
        // From here on dropping `cluster` leaves the member table and ends the threads.
        let thread = |name: &str, run: fn(&Shared)| {
            let shared = Arc::clone(&shared);
            let name = format!("strongroom-{name}");
            std::thread::Builder::new().name(name).spawn(move || run(&shared)).map_err(StartError::Thread)
        };
        member::begin(&shared)?;
        for (name, run) in [("member", member::run as fn(&Shared)), ("committer", committer::run)] {
            let handle = thread(name, run)?;
            cluster.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
        founding::register(&shared, &setup.hsm)?;
        founding::make_history_key(&shared)?;
        Ok(Arc::new(cluster))
    }

    /// The newest state that this member has applied. Takes no lock.
    pub fn state(&self) -> Guard<Arc<State>> {
        self.shared.state.load()
    }

    /// This machine's clock, in milliseconds since 1970. `core` makes cluster time of it.
    pub fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// The clock, for a story that moves it.
    #[cfg(test)]
    pub(crate) fn clock(&self) -> &clock::Clock {
        &self.shared.clock
    }

    /// Seals and opens what this cluster's HSMs keep.
    pub fn sealer(&self) -> &Sealer {
        &self.shared.sealer
    }

    /// This HSM.
    pub fn hsm_id(&self) -> &HsmId {
        &self.shared.hsm_id
    }

    /// Whether this member may answer now; ask after a request was read. Takes no lock.
    pub fn serving(&self) -> Result<Life, Refusal> {
        self.shared.serving.now()
    }

    /// Why this member makes no changes though it may serve, as far as it knows. For people, not for decisions.
    pub fn hindrance(&self) -> Option<Refusal> {
        self.shared.hindrance()
    }

    /// Whether the life that began the answer may still give it; ask before an answer is written. A member that was
    /// fenced in between and has joined again answers nothing that it began before.
    pub fn still_serving(&self, life: Life) -> Result<(), Refusal> {
        self.shared.serving.still(life)
    }

    /// Waits until this member has applied a revision that a client has seen.
    pub fn catch_up(&self, seen: Revision, deadline: Instant) -> Result<(), Refusal> {
        reads::catch_up(&self.shared, seen, deadline)
    }

    /// Applies the newest revision that the store had when this was called, or a newer one. All who wait share reads.
    pub fn freshen(&self, deadline: Instant) -> Result<(), Refusal> {
        reads::freshen(&self.shared, deadline)
    }

    /// Makes a change, together with all others that wait: answered when it is durable, and a revoking one when every
    /// member has applied it.
    pub fn change(&self, change: Change, deadline: Instant) -> Result<Changed, ChangeError> {
        changes::change(&self.shared, change, deadline)
    }

    /// The HSMs whose entries stand in the member table now.
    pub fn members(&self) -> BTreeSet<HsmId> {
        self.shared.members()
    }

    /// Leaves the member table and ends the threads. Changes that wait are refused; nothing is served afterwards.
    pub fn stop(&self) {
        self.shared.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
        // The member thread may have joined anew at that very moment.
        self.shared.store.leave();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

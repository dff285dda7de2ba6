//! What the threads of one member share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use strongroom_core::State;
use strongroom_core::member::Clocks;
use strongroom_crypto_keys::seal::Sealer;
use strongroom_store::Store;
use strongroom_types::{HsmId, Refusal, Status};

use super::anchor::Anchored;
use super::changes::Desk;
use super::clock::Clock;
use super::following::Following;
use super::member::Member;
use super::reads::Reads;
use super::{Notices, Watcher, clock};

pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) sealer: Sealer,
    pub(super) hsm_id: HsmId,
    pub(super) notices: Arc<dyn Notices>,
    pub(super) watcher: Box<dyn Watcher>,
    /// The newest state that was applied.
    pub(super) state: ArcSwap<State>,
    pub(super) following: Mutex<Following>,
    /// Whether what the store holds could not be applied.
    pub(super) damaged: AtomicBool,
    pub(super) hindrance: Hindrance,
    pub(super) desk: Mutex<Desk>,
    /// Rung when a change waits at the desk, and when the member stops.
    pub(super) work: Condvar,
    pub(super) reads: Reads,
    pub(super) serving: Serving,
    /// The member thread's own.
    pub(super) member: Mutex<Member>,
    pub(super) anchor: Mutex<Anchored>,
    pub(super) clock: Clock,
    /// The others' clocks, as the committer sees them.
    pub(super) clocks: Mutex<Clocks>,
    pub(super) stopping: Stopping,
}

impl Shared {
    pub(super) fn members(&self) -> BTreeSet<HsmId> {
        match self.store.members() {
            Ok(entries) => entries.into_iter().map(|entry| entry.hsm_id).collect(),
            // What is known without the table.
            Err(_) => self.serving.now().map(|_| self.hsm_id.clone()).into_iter().collect(),
        }
    }

    /// Why this member makes no changes, as far as it knows: found out when one was asked for.
    pub(super) fn hindrance(&self) -> Option<Refusal> {
        let damaged = self.damaged.load(Ordering::Acquire);
        if damaged { Some(Status::StateDamaged.into()) } else { self.hindrance.known() }
    }

    pub(super) fn stop(&self) {
        if self.stopping.set() {
            return;
        }
        self.serving.end();
        self.close_desk();
        // Changes the table, which wakes the member thread.
        self.store.leave();
    }
}

/// What kept this member from the store when it was last asked something, for whoever asks how the member is.
#[derive(Default)]
pub(super) struct Hindrance(Mutex<[Option<Refusal>; 2]>);

/// What the store was asked for.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    ToRead,
    ToCommit,
}

impl Hindrance {
    pub(super) fn set(&self, asked: Asked, hindrance: Option<Refusal>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [reading, committing] = &mut *known;
        *match asked {
            Asked::ToRead => reading,
            Asked::ToCommit => committing,
        } = hindrance;
    }

    fn known(&self) -> Option<Refusal> {
        let [reading, committing] = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.clone().or_else(|| committing.clone())
    }
}

/// One time of serving, from catching up after a join to leaving or being fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(u64);

/// Whether this member may answer. Read for each request, so without a lock.
pub(super) struct Serving {
    /// The life that serves, counted from 1; 0 while none does.
    life: AtomicU64,
    /// When the life ends without a renewal, by [`clock::boottime_ms`]; `u64::MAX` when no clock ends it.
    until_ms: AtomicU64,
}

impl Serving {
    pub(super) fn new() -> Serving {
        Serving { life: AtomicU64::new(0), until_ms: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) -> Result<Life, Refusal> {
        // In this order: an end that a later life has been given comes with that life's number, or with none.
        let until_ms = self.until_ms.load(Ordering::Acquire);
        let life = self.life.load(Ordering::Acquire);
        if life == 0 || (until_ms != u64::MAX && clock::boottime_ms() >= until_ms) {
            return Err(Refusal::new(Status::NotServing, "not in the member table"));
        }
        Ok(Life(life))
    }

    pub(super) fn still(&self, life: Life) -> Result<(), Refusal> {
        if self.now()? == life { Ok(()) } else { Err(Refusal::new(Status::NotServing, "joined anew meanwhile")) }
    }

    /// The member thread alone begins and prolongs lives; each has a number of its own.
    pub(super) fn set(&self, life: u64, until_ms: Option<u64>) {
        self.until_ms.store(until_ms.unwrap_or(u64::MAX), Ordering::Release);
        self.life.store(life, Ordering::Release);
    }

    pub(super) fn end(&self) {
        self.life.store(0, Ordering::Release);
    }
}

/// Says once that the member stops, and wakes who pauses.
pub(super) struct Stopping {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stopping {
    pub(super) fn new() -> Stopping {
        Stopping { stopped: Mutex::new(false), changed: Condvar::new() }
    }

    /// Whether the member was stopping already.
    fn set(&self) -> bool {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.notify_all();
        std::mem::replace(&mut *stopped, true)
    }

    pub(super) fn is_set(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps, or less when the member stops.
    pub(super) fn pause(&self, pause: Duration) {
        let deadline = Instant::now() + pause;
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if *stopped || left.is_zero() {
                return;
            }
            stopped = self.changed.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

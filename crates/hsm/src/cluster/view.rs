//! What this member has applied, and how it moves on: by what the store says, or by its own batch.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use strongroom_core::member::{CorruptLedger, Ledger, revokes};
use strongroom_core::{Batch, Head, Record, State, apply};
use strongroom_crypto_keys::seal::Sealer;
use strongroom_store::{Changes, Delta, Loaded, StoreError};
use strongroom_types::{RecordPath, Refusal, Revision, Status};
use thiserror::Error;

use super::StateError;
use super::sealing::{self, Opened, Sealed};
use super::shared::Shared;

/// What is under the view's lock.
pub(super) struct View {
    pub(super) state: State,
    pub(super) ledger: Ledger,
    /// The anchor must be durable up to here before this member's entry shows it.
    pub(super) must_anchor: Revision,
    /// Why the last step could not be applied, if so.
    damaged: Option<String>,
}

/// Why the newest revision is not applied.
#[derive(Debug, Error)]
pub(super) enum FollowError {
    /// The store cannot be read; asking again may succeed.
    #[error("the store cannot be read: {0}")]
    Unavailable(StoreError),
    /// What it holds may not be applied.
    #[error("{0}")]
    Damaged(String),
}

impl FollowError {
    /// As clients are told.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            FollowError::Unavailable(_) => Status::StoreUnavailable.into(),
            FollowError::Damaged(_) => Status::StateDamaged.into(),
        }
    }
}

impl View {
    pub(super) fn new(state: State, ledger: Ledger) -> View {
        View { state, ledger, must_anchor: Revision(0), damaged: None }
    }
}

/// A whole store, opened and checked: every record opens, all together are what the head counts, and they fit each
/// other.
pub(super) fn check_loaded(sealer: &Sealer, epoch: u64, loaded: &Loaded) -> Result<(State, Ledger), StateError> {
    let Opened { head, entered, records } = sealing::open(sealer, &loaded.records)?;
    let head = head.ok_or(StateError::Missing(RecordPath::HEAD))?;
    let ledger = Ledger::load(head, epoch, loaded.revision, &entered)?;
    let mut state = State::empty();
    apply(&mut state, &Batch { revision: head.revision, time_ms: head.time_ms, puts: records, deletes: Vec::new() })?;
    Ok((state, ledger))
}

impl Shared {
    /// Applies the store's newest revision; the answer is what was applied then.
    pub(super) fn follow(&self) -> Result<Revision, FollowError> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.follow_locked(&mut view);
        let damaged = match &outcome {
            Err(FollowError::Damaged(why)) => Some(why.clone()),
            Err(FollowError::Unavailable(_)) => return outcome,
            Ok(_) => None,
        };
        self.damaged.store(damaged.is_some(), Ordering::Release);
        if damaged != view.damaged {
            self.notices.say(&match &damaged {
                Some(why) => format!("{why}; this HSM serves on from memory and refuses changes"),
                None => String::from("the store's newest revision is whole again; changes are taken"),
            });
            view.damaged = damaged;
        }
        outcome
    }

    fn follow_locked(&self, view: &mut View) -> Result<Revision, FollowError> {
        let seen = view.state.revision();
        match self.store.changes_since(seen) {
            Ok(Changes::Since(delta)) => {
                self.step(view, &delta).map_err(|error| FollowError::Damaged(error.to_string()))
            }
            Ok(Changes::TooOld) => match self.store.load() {
                Ok(loaded) => self.leap(view, &loaded).map_err(|error| FollowError::Damaged(error.to_string())),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Applies what changed.
    fn step(&self, view: &mut View, delta: &Delta) -> Result<Revision, StateError> {
        let Opened { head, entered, records } = sealing::open(&self.sealer, &delta.puts)?;
        let time_ms = head.map_or(view.state.time_ms(), |head| head.time_ms);
        let batch = Batch { revision: delta.revision, time_ms, puts: records, deletes: delta.deletes.clone() };
        let mut state = view.state.clone();
        apply(&mut state, &batch)?;
        view.ledger.follow(head, delta.revision, &entered, &delta.deletes)?;
        self.advance(view, state, &batch);
        Ok(delta.revision)
    }

    /// Takes a whole store in place of what was applied: this member was too far behind.
    fn leap(&self, view: &mut View, loaded: &Loaded) -> Result<Revision, StateError> {
        let known = *view.ledger.head();
        let (state, ledger) = check_loaded(&self.sealer, known.epoch, loaded)?;
        if state.revision() < known.revision {
            let (seen, newest) = (known.revision, state.revision());
            return Err(StateError::Store(StoreError::WentBack { seen, newest }));
        }
        if ledger.head().time_ms < known.time_ms {
            return Err(CorruptLedger::Time.into());
        }
        let differs = |path: &&RecordPath| ledger.macs().get(path) != view.ledger.macs().get(path);
        let paths = ledger.macs().keys().chain(view.ledger.macs().keys()).filter(differs);
        let mut changed: Vec<RecordPath> = paths.copied().collect();
        changed.sort_unstable();
        changed.dedup();
        let revision = state.revision();
        view.ledger = ledger;
        // What happened in between is not known in detail.
        view.must_anchor = revision;
        let before = std::mem::replace(&mut view.state, state);
        self.publish(&before, &view.state, &changed);
        Ok(revision)
    }

    /// Applies this member's own batch, which is committed. Whoever followed the store in the meantime was faster, and
    /// then there is nothing to do.
    pub(super) fn apply_own(&self, batch: &Batch, sealed: &Sealed) -> Result<(), FollowError> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.state.revision() >= batch.revision {
            return Ok(());
        }
        let mut state = view.state.clone();
        let applied = apply(&mut state, batch).map_err(StateError::from).and_then(|()| {
            Ok(view.ledger.follow(Some(sealed.head), sealed.revision, &sealed.entered, &sealed.deletes)?)
        });
        applied.map_err(|error| FollowError::Damaged(error.to_string()))?;
        self.advance(&mut view, state, batch);
        Ok(())
    }

    fn advance(&self, view: &mut View, state: State, batch: &Batch) {
        if state.revision() == view.state.revision() {
            return;
        }
        if revokes(&view.state, &batch.puts, &batch.deletes) {
            view.must_anchor = batch.revision;
        }
        let changed: Vec<RecordPath> =
            batch.puts.iter().map(Record::path).chain(batch.deletes.iter().copied()).collect();
        let before = std::mem::replace(&mut view.state, state);
        self.publish(&before, &view.state, &changed);
    }

    fn publish(&self, before: &State, after: &State, changed: &[RecordPath]) {
        self.state.store(Arc::new(after.clone()));
        self.watcher.applied(before, after, changed);
    }

    /// What the entry is about to show: the head, and up to where the anchor must be durable before.
    pub(super) fn applied(&self) -> (Head, Revision) {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        (*view.ledger.head(), view.must_anchor)
    }
}

impl From<StoreError> for FollowError {
    fn from(error: StoreError) -> FollowError {
        match error {
            StoreError::Unavailable { .. } => FollowError::Unavailable(error),
            StoreError::Damaged { .. } | StoreError::WentBack { .. } => FollowError::Damaged(error.to_string()),
        }
    }
}

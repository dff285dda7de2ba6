//! Following the store: this member's view moves on, and everybody who must know is told under its lock.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use strongroom_core::{Batch, Head};
use strongroom_store::{Changes, StoreError};
use strongroom_types::{Refusal, Revision, Status};
use thiserror::Error;

use super::StateError;
use super::sealing::Sealed;
use super::shared::Shared;
use super::view::{Advance, View};

/// What is under the view's lock.
pub(super) struct Following {
    pub(super) view: View,
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
            FollowError::Unavailable(error) => out_of_reach(error),
            FollowError::Damaged(_) => Status::StateDamaged.into(),
        }
    }
}

/// What clients are told of a store that cannot be used.
pub(super) fn out_of_reach(error: &StoreError) -> Refusal {
    Refusal::new(Status::StoreUnavailable, error.outside())
}

impl From<StoreError> for FollowError {
    fn from(error: StoreError) -> FollowError {
        match error {
            StoreError::Unavailable { .. } => FollowError::Unavailable(error),
            StoreError::Damaged { .. } | StoreError::WentBack { .. } => FollowError::Damaged(error.to_string()),
        }
    }
}

impl From<StateError> for FollowError {
    fn from(error: StateError) -> FollowError {
        FollowError::Damaged(error.to_string())
    }
}

impl Following {
    pub(super) fn new(view: View) -> Following {
        Following { view, damaged: None }
    }
}

impl Shared {
    /// Applies the store's newest revision; the answer is what was applied then.
    pub(super) fn follow(&self) -> Result<Revision, FollowError> {
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.follow_locked(&mut following.view);
        let damaged = match &outcome {
            Err(FollowError::Damaged(why)) => Some(why.clone()),
            Err(FollowError::Unavailable(_)) => return outcome,
            Ok(_) => None,
        };
        self.note(&mut following, damaged);
        outcome
    }

    /// What became of asking the store, when it failed. A store that is damaged or went back is one that may not be
    /// followed, whoever finds out.
    pub(super) fn failed(&self, error: StoreError) -> FollowError {
        let error = FollowError::from(error);
        if let FollowError::Damaged(why) = &error {
            let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
            self.note(&mut following, Some(why.clone()));
        }
        error
    }

    fn note(&self, following: &mut Following, damaged: Option<String>) {
        self.damaged.store(damaged.is_some(), Ordering::Release);
        if damaged != following.damaged {
            self.notices.say(&match &damaged {
                Some(why) => format!("{why}; this HSM serves on from memory and refuses changes"),
                None => String::from("the store's newest revision is whole again; changes are taken"),
            });
            following.damaged = damaged;
        }
    }

    fn follow_locked(&self, view: &mut View) -> Result<Revision, FollowError> {
        let advance = match self.store.changes_since(view.state().revision())? {
            Changes::Since(delta) => view.step(&self.sealer, &delta)?,
            Changes::TooOld => Some(view.leap(&self.sealer, &self.store.load()?)?),
        };
        self.publish(advance);
        Ok(view.state().revision())
    }

    /// Applies this member's own batch, which is committed.
    pub(super) fn apply_own(&self, batch: &Batch, sealed: &Sealed) -> Result<(), FollowError> {
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let advance = following.view.apply_own(batch, sealed)?;
        self.publish(advance);
        Ok(())
    }

    fn publish(&self, advance: Option<Advance>) {
        let Some(Advance { before, after, changed }) = advance else { return };
        self.state.store(Arc::new(after.clone()));
        self.watcher.applied(&before, &after, &changed);
    }

    /// What the entry is about to show: the head, and up to where the anchor must be durable before.
    pub(super) fn applied(&self) -> (Head, Revision) {
        let following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        (*following.view.head(), following.view.must_anchor())
    }
}

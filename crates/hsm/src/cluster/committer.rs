//! The committer thread: all changes that wait become one batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strongroom_core::Batch;
use strongroom_core::member::{Next, POLITE_PAUSE_MS};
use strongroom_store::CommitError;
use strongroom_types::{Refusal, Revision, Status};

use super::changes::maybe_made;
use super::clock;
use super::sealing::{self, Sealed};
use super::shared::Shared;

/// Runs until the member stops.
pub(super) fn run(shared: &Shared) {
    let mut committer = Committer { shared, failing: false, committing: false };
    while wait_for_work(shared) {
        // A bug met by one change must not take all later ones with it.
        if catch_unwind(AssertUnwindSafe(|| committer.turn())).is_err() {
            let committing = std::mem::take(&mut committer.committing);
            shared.notices.say("a change failed inside this HSM; see standard error");
            committer.refuse_all(&if committing { maybe_made() } else { Status::Internal.into() });
        }
    }
}

/// Sleeps until a change waits; false when the member stops.
fn wait_for_work(shared: &Shared) -> bool {
    let mut desk = shared.desk();
    while desk.batcher.is_empty() && !desk.closed {
        desk = shared.work.wait(desk).unwrap_or_else(PoisonError::into_inner);
    }
    !desk.closed
}

struct Committer<'a> {
    shared: &'a Shared,
    /// Whether the last commit failed: said once.
    failing: bool,
    /// Whether what is planned may be in the store already.
    committing: bool,
}

impl Committer<'_> {
    fn turn(&mut self) {
        if self.shared.damaged.load(Ordering::Acquire) {
            return self.refuse_all(&Status::StateDamaged.into());
        }
        let state = self.shared.state.load_full();
        let next = self.shared.desk().batcher.plan(&state, clock::wall_ms());
        match next {
            Next::Rest => {}
            Next::Confirm => self.confirm(),
            Next::Commit(batch) => self.commit(&batch),
        }
    }

    /// Nothing to write: the answers stand if the state they rest on is the newest.
    fn confirm(&mut self) {
        match self.shared.store.revision() {
            Ok(newest) => {
                let answered = self.shared.desk().batcher.confirmed(newest);
                if answered.is_empty() {
                    self.catch_up();
                }
                self.shared.deliver(answered);
            }
            Err(error) => {
                self.shared.notices.say(&format!("a change cannot be decided: {error}"));
                let answered = self.shared.desk().batcher.unconfirmed(&Status::StoreUnavailable.into());
                self.shared.deliver(answered);
            }
        }
    }

    fn commit(&mut self, batch: &Batch) {
        let Some(sealed) = self.seal(batch) else { return };
        let base = Revision(batch.revision.0.saturating_sub(1));
        self.committing = true;
        match self.shared.store.commit(base, &sealed.puts, &sealed.deletes) {
            Ok(_) => self.committed(batch, &sealed),
            Err(CommitError::Conflict { .. }) => {
                self.shared.desk().batcher.lost();
                self.catch_up();
            }
            Err(CommitError::Unknown(error)) => {
                self.say_failing(&format!("whether a change was committed is not known yet: {error}"));
                self.shared.desk().batcher.unknown();
                self.catch_up();
            }
            Err(CommitError::Unavailable(error)) => {
                self.say_failing(&format!("changes cannot be committed: {error}"));
                let answered = self.shared.desk().batcher.not_written(&Status::StoreUnavailable.into());
                self.shared.deliver(answered);
            }
            Err(CommitError::Refused(error)) => {
                self.shared.notices.say(&format!("a batch breaks the store's bounds: {error}"));
                let answered = self.shared.desk().batcher.not_written(&Status::Internal.into());
                self.shared.deliver(answered);
            }
        }
        self.committing = false;
    }

    /// None when the state moved on since planning, and the changes wait again. The lock is not held while the batch is committed.
    fn seal(&self, batch: &Batch) -> Option<Sealed> {
        let view = self.shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.state.revision().next() != batch.revision {
            drop(view);
            self.shared.desk().batcher.overtaken();
            return None;
        }
        match sealing::seal(&self.shared.sealer, &view.ledger, batch, Vec::new()) {
            Ok(sealed) => Some(sealed),
            Err(error) => {
                drop(view);
                self.shared.notices.say(&format!("a batch cannot be sealed: {error}"));
                let answered = self.shared.desk().batcher.not_written(&Status::Internal.into());
                self.shared.deliver(answered);
                None
            }
        }
    }

    fn committed(&mut self, batch: &Batch, sealed: &Sealed) {
        if self.failing {
            self.failing = false;
            self.shared.notices.tell("changes are committed again");
        }
        if let Err(error) = self.shared.apply_own(batch, sealed) {
            // Durable all the same. The member thread meets it again, and says what follows.
            self.shared.notices.say(&format!("this HSM's own batch cannot be applied: {error}"));
        }
        let answered = self.shared.desk().batcher.committed();
        self.shared.deliver(answered);
        let should_pause = self.shared.desk().batcher.should_pause();
        if should_pause && self.shared.members().len() > 1 {
            self.shared.stopping.pause(Duration::from_millis(POLITE_PAUSE_MS));
        }
    }

    /// Applies the newest state before planning again. If that fails, nobody is left waiting for it.
    fn catch_up(&mut self) {
        if let Err(error) = self.shared.follow() {
            self.refuse_all(&error.refusal());
        }
    }

    fn refuse_all(&mut self, why: &Refusal) {
        let answered = self.shared.desk().batcher.refuse_all(why);
        self.shared.deliver(answered);
    }

    fn say_failing(&mut self, text: &str) {
        if !self.failing {
            self.shared.notices.say(text);
        }
        self.failing = true;
    }
}

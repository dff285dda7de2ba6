//! The committer thread: all changes that wait become one batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use strongroom_core::Batch;
use strongroom_core::member::{Next, Shown};
use strongroom_store::{CommitError, MemberEntry, StoreError};
use strongroom_types::{Refusal, Revision, Status};

use super::changes::maybe_made;
use super::clock;
use super::following::out_of_reach;
use super::sealing::Sealed;
use super::shared::{Asked, Shared};

/// How long a member that asked to commit first is waited for.
const TURN_PATIENCE: Duration = Duration::from_millis(100);
/// How long others may take to show their clocks after all were moved; they look twice a second.
const CLOCK_PATIENCE: Duration = Duration::from_millis(1_500);
const CLOCK_PAUSE: Duration = Duration::from_millis(50);

/// Runs until the member stops.
pub(super) fn run(shared: &Shared) {
    let mut committer = Committer { shared, failing: false, committing: false, clock_is_off: false };
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
    /// Whether the last change was refused for this: said once.
    clock_is_off: bool,
}

impl Committer<'_> {
    fn turn(&mut self) {
        if self.shared.damaged.load(Ordering::Acquire) {
            return self.refuse_all(&Status::StateDamaged.into());
        }
        self.take_turn();
        let state = self.shared.state.load_full();
        let next = self.shared.desk().batcher.plan(&state, self.shared.clock.now_ms());
        match next {
            Next::Rest => {}
            Next::Confirm => self.confirm(),
            Next::Commit(batch) => match self.clock_refusal() {
                Some(refusal) => self.refuse_all(&refusal),
                None => {
                    let is_lost = self.commit(&batch);
                    if is_lost {
                        // A turn that was asked for stands.
                        return;
                    }
                }
            },
        }
        self.shared.store.withdraw_turn();
    }

    /// A member whose clock is off commits nothing: the time of a batch becomes everybody's.
    fn clock_refusal(&mut self) -> Option<Refusal> {
        let deadline = Instant::now() + CLOCK_PATIENCE;
        loop {
            let Some(off_ms) = self.clock_off_ms() else {
                if std::mem::take(&mut self.clock_is_off) {
                    self.shared.notices.tell("this HSM's clock agrees with the others' again");
                }
                return None;
            };
            if self.clock_is_off || Instant::now() >= deadline || self.shared.stopping.is_set() {
                let by = format!("{} s {}", off_ms.unsigned_abs() / 1_000, if off_ms > 0 { "ahead" } else { "behind" });
                if !std::mem::replace(&mut self.clock_is_off, true) {
                    let text = "this HSM's clock is {by} of the other HSMs'; it makes no changes until it is set right";
                    self.shared.notices.say(&text.replace("{by}", &by));
                }
                return Some(Refusal::new(Status::ClockOff, format!("{by}; set the clock of this HSM's host")));
            }
            self.shared.stopping.pause(CLOCK_PAUSE);
        }
    }

    fn clock_off_ms(&self) -> Option<i64> {
        // Committing will say what is wrong with a table that cannot be read.
        let members = self.shared.store.members().ok()?;
        let others = members.iter().filter(|entry| entry.hsm_id != self.shared.hsm_id);
        let shown = |entry: &MemberEntry| Shown {
            incarnation: entry.incarnation,
            beat: entry.beat,
            ahead_ms: entry.clock_ahead_ms,
        };
        let others: Vec<Shown> = others.map(shown).collect();
        let mut clocks = self.shared.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.off(self.shared.clock.ahead_ms(), &others, clock::boottime_ms())
    }

    /// Lets a member go first that lost often, or asks to be that member. A hint: the store decides who commits.
    fn take_turn(&self) {
        let should_announce = self.shared.desk().batcher.should_announce();
        if should_announce && self.shared.store.announce_turn() {
            return;
        }
        if self.shared.store.yield_turn(TURN_PATIENCE) {
            // What the other committed.
            self.catch_up();
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
                self.say_failing("a change cannot be decided", &error);
                let answered = self.shared.desk().batcher.unconfirmed(&out_of_reach(&error));
                self.shared.deliver(answered);
            }
        }
    }

    /// True when another member's batch came first.
    fn commit(&mut self, batch: &Batch) -> bool {
        let Some(sealed) = self.seal(batch) else { return false };
        let base = Revision(batch.revision.0.saturating_sub(1));
        self.committing = true;
        let committed = self.shared.store.commit(base, &sealed.puts, &sealed.deletes);
        let is_lost = matches!(committed, Err(CommitError::Conflict { .. }));
        match committed {
            Ok(_) => self.committed(batch, &sealed),
            Err(CommitError::Conflict { .. }) => {
                self.shared.desk().batcher.lost();
                self.catch_up();
            }
            Err(CommitError::Unknown(error)) => {
                self.say_failing("whether a change was committed is not known yet", &error);
                self.shared.desk().batcher.unknown();
                self.catch_up();
            }
            Err(CommitError::Unavailable(error)) => {
                self.say_failing("changes cannot be committed", &error);
                let refusal = match error {
                    StoreError::Unavailable { .. } => out_of_reach(&error),
                    StoreError::Damaged { .. } | StoreError::WentBack { .. } => self.shared.failed(error).refusal(),
                };
                let answered = self.shared.desk().batcher.not_written(&refusal);
                self.shared.deliver(answered);
            }
            Err(CommitError::Refused(error)) => {
                self.shared.notices.say(&format!("a batch breaks the store's bounds: {error}"));
                let answered = self.shared.desk().batcher.not_written(&Status::Internal.into());
                self.shared.deliver(answered);
            }
        }
        self.committing = false;
        is_lost
    }

    /// None when the state moved on since planning, and the changes wait again. The lock is not held while the batch is
    /// committed.
    fn seal(&self, batch: &Batch) -> Option<Sealed> {
        let sealed = {
            let following = self.shared.following.lock().unwrap_or_else(PoisonError::into_inner);
            following.view.seal(&self.shared.sealer, batch)
        };
        match sealed {
            None => {
                self.shared.desk().batcher.overtaken();
                None
            }
            Some(Ok(sealed)) => Some(sealed),
            Some(Err(error)) => {
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
            self.shared.hindrance.set(Asked::ToCommit, None);
            self.shared.notices.tell("changes are committed again");
        }
        if let Err(error) = self.shared.apply_own(batch, sealed) {
            // Durable all the same. The member thread meets it again, and says what follows.
            self.shared.notices.say(&format!("this HSM's own batch cannot be applied: {error}"));
        }
        let answered = self.shared.desk().batcher.committed();
        self.shared.deliver(answered);
    }

    /// Applies the newest state before planning again. If that fails, nobody is left waiting for it.
    fn catch_up(&self) {
        if let Err(error) = self.shared.follow() {
            self.refuse_all(&error.refusal());
        }
    }

    fn refuse_all(&self, why: &Refusal) {
        let answered = self.shared.desk().batcher.refuse_all(why);
        self.shared.deliver(answered);
    }

    fn say_failing(&mut self, text: &str, error: &StoreError) {
        if !self.failing {
            self.shared.notices.say(&format!("{text}: {error}"));
        }
        self.shared.hindrance.set(Asked::ToCommit, Some(out_of_reach(error)));
        self.failing = true;
    }
}

use std::collections::VecDeque;

use strongroom_types::{Refusal, Revision, Status};

use crate::{Actor, Batch, Command, Draft, Effect, Made, Plan, PlanError, Replayed, Reply, Request, State, receipts};

/// Changes that may wait for a batch at once; beyond, the HSM is busy.
pub const CHANGES_WAITING_MAX: usize = 1_024;
/// Conflicts in a row after which a member asks the others to let it commit first.
const LOSSES_UNTIL_TURN: u32 = 3;

/// A change asked for, with everything that planning needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who asks.
    pub actor: Actor,
    /// For what.
    pub command: Command,
    /// What was generated, hashed or sealed for it.
    pub made: Made,
    /// What makes it act once.
    pub request: Request,
}

/// What became of a change.
#[expect(clippy::large_enum_variant, reason = "lives for one decision, never in numbers")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is durable at this revision, or was before. A revoking effect is not reached yet.
    Durable {
        /// What to answer once the effect is reached.
        reply: Reply,
        /// When to answer.
        effect: Effect,
        /// The revision that members must have applied.
        revision: Revision,
    },
    /// Refused on the newest state; or with a status of the unavailable family, and then it may have been made.
    Refused(Refusal),
    /// A random id is taken.
    DrawAgain,
}

/// An answer and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// Whose.
    pub ticket: T,
    /// What.
    pub answer: Answer,
}

/// What to do with what was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is waiting.
    Rest,
    /// Commit this on top of the state planned from, then say what came of it: [`Batcher::committed`],
    /// [`Batcher::lost`], [`Batcher::overtaken`], [`Batcher::not_written`] or [`Batcher::unknown`].
    Commit(Batch),
    /// Nothing to write, but something to refuse, or known already: read the store's newest revision, then say
    /// [`Batcher::confirmed`] or [`Batcher::unconfirmed`].
    Confirm,
}

/// What a change that its caller gave up had come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// It was not tried and will not be.
    Untried,
    /// It may have been committed.
    MaybeMade,
    /// It is answered, or was never here.
    Absent,
}

struct Waiting<T> {
    ticket: T,
    change: Change,
    /// A commit that held it may have been written.
    maybe_made: bool,
}

impl<T> Waiting<T> {
    /// What was made of it by a commit whose outcome was unknown. It was allowed when it was planned; what has ended since,
    /// such as its login, does not undo it, and to call it refused would be wrong.
    fn replayed(&self, state: &State, now_ms: u64) -> Option<Replayed> {
        let Change { actor, request, .. } = &self.change;
        let replayed = self.maybe_made.then(|| receipts::replay(state, actor, request, now_ms));
        replayed.and_then(Result::ok).flatten()
    }
}

enum Verdict {
    /// Part of the batch.
    Made {
        reply: Reply,
        effect: Effect,
    },
    /// True already, by an earlier batch or by this one.
    Known {
        reply: Reply,
        effect: Effect,
    },
    Refused(Refusal),
    DrawAgain,
}

/// Gathers the changes that wait, plans them together, and remembers them until their batch's outcome is known.
///
/// Everything planned together is answered together: a commit proves that the state planned from was the newest, so
/// what was refused on it is refused rightly.
pub struct Batcher<T> {
    waiting: VecDeque<Waiting<T>>,
    planned: Vec<(Waiting<T>, Verdict)>,
    base: Revision,
    losses: u32,
}

impl<T: PartialEq> Default for Batcher<T> {
    fn default() -> Batcher<T> {
        Batcher::new()
    }
}

impl<T: PartialEq> Batcher<T> {
    /// Nothing waits.
    pub fn new() -> Batcher<T> {
        Batcher { waiting: VecDeque::new(), planned: Vec::new(), base: Revision(0), losses: 0 }
    }

    /// Whether nothing waits for a batch.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a change, or says that too many wait.
    pub fn add(&mut self, ticket: T, change: Change) -> Result<(), Refusal> {
        if self.waiting.len() >= CHANGES_WAITING_MAX {
            return Err(Refusal::new(Status::Busy, format!("{CHANGES_WAITING_MAX} changes wait")));
        }
        self.waiting.push_back(Waiting { ticket, change, maybe_made: false });
        Ok(())
    }

    /// Forgets a change: its caller's deadline passed. A batch that holds it already is not touched, and it is not
    /// planned again.
    pub fn withdraw(&mut self, ticket: &T) -> Withdrawn {
        if let Some(at) = self.planned.iter().position(|(waiting, _)| waiting.ticket == *ticket) {
            self.planned.remove(at);
            return Withdrawn::MaybeMade;
        }
        match self.waiting.iter().position(|waiting| waiting.ticket == *ticket).and_then(|at| self.waiting.remove(at)) {
            Some(Waiting { maybe_made: true, .. }) => Withdrawn::MaybeMade,
            Some(_) => Withdrawn::Untried,
            None => Withdrawn::Absent,
        }
    }

    /// Plans as many of the waiting changes as fit one batch, in the order in which they came. What was planned before
    /// must have had its outcome.
    pub fn plan(&mut self, state: &State, now_ms: u64) -> Next {
        self.put_back(false);
        self.base = state.revision();
        let mut draft = Draft::new(state.clone());
        // Taken from the queue once it is planned: should planning fail inside, no change is lost.
        while let Some(waiting) = self.waiting.front() {
            let Change { actor, command, made, request } = &waiting.change;
            let verdict = match draft.plan(actor, command, made, request, now_ms) {
                Ok(Plan::Change(planned)) => Verdict::Made { reply: planned.reply, effect: planned.effect },
                Ok(Plan::Replayed(replayed)) => Verdict::Known { reply: replayed.reply, effect: replayed.effect },
                Ok(Plan::Nothing(reply)) => Verdict::Known { reply, effect: Effect::Granting },
                Err(PlanError::Refused(refusal)) => match waiting.replayed(state, now_ms) {
                    Some(Replayed { reply, effect }) => Verdict::Known { reply, effect },
                    None => Verdict::Refused(refusal),
                },
                Err(PlanError::DrawAgain) => Verdict::DrawAgain,
                Err(PlanError::BatchFull) => break,
            };
            self.planned.extend(self.waiting.pop_front().map(|waiting| (waiting, verdict)));
        }
        match (self.planned.is_empty(), draft.is_empty()) {
            (true, _) => Next::Rest,
            (false, true) => Next::Confirm,
            (false, false) => Next::Commit(draft.finish()),
        }
    }

    /// The batch is durable.
    pub fn committed(&mut self) -> Vec<Answered<T>> {
        self.losses = 0;
        self.answer(self.base.next())
    }

    /// Another batch came first: nothing was written. Apply the newest state, then plan again.
    pub fn lost(&mut self) {
        self.losses = self.losses.saturating_add(1);
        self.put_back(false);
    }

    /// The state moved on between planning and committing, and nothing was tried: plan again.
    pub fn overtaken(&mut self) {
        self.put_back(false);
    }

    /// The store cannot be written: nothing was.
    pub fn not_written(&mut self, why: &Refusal) -> Vec<Answered<T>> {
        self.planned.drain(..).map(|(waiting, _)| refused(waiting.ticket, why.clone())).collect()
    }

    /// Whether the batch was written is not known. Apply the newest state, then plan again: receipts tell.
    pub fn unknown(&mut self) {
        self.put_back(true);
    }

    /// The store's newest revision, read after planning. If it is the one planned from, the answers stand; otherwise
    /// apply the newest state and plan again.
    pub fn confirmed(&mut self, newest: Revision) -> Vec<Answered<T>> {
        if newest == self.base {
            return self.answer(self.base);
        }
        self.put_back(false);
        Vec::new()
    }

    /// The newest revision cannot be read. What is known to be done stands; what would be refused may be wrong.
    pub fn unconfirmed(&mut self, why: &Refusal) -> Vec<Answered<T>> {
        for (_, verdict) in &mut self.planned {
            if let Verdict::Refused(refusal) = verdict {
                refusal.clone_from(why);
            }
        }
        self.answer(self.base)
    }

    /// Gives every change back, planned or not: the newest state can't be applied, or this member stops.
    pub fn refuse_all(&mut self, why: &Refusal) -> Vec<Answered<T>> {
        self.put_back(false);
        self.waiting.drain(..).map(|waiting| refused(waiting.ticket, why.clone())).collect()
    }

    /// Whether this member lost so often in a row that it should announce its turn, so that the others let it commit. It
    /// has had it when it has committed.
    pub fn should_announce(&self) -> bool {
        self.losses >= LOSSES_UNTIL_TURN
    }

    fn answer(&mut self, revision: Revision) -> Vec<Answered<T>> {
        let answer = |verdict| match verdict {
            Verdict::Made { reply, effect } | Verdict::Known { reply, effect } => {
                Answer::Durable { reply, effect, revision }
            }
            Verdict::Refused(refusal) => Answer::Refused(refusal),
            Verdict::DrawAgain => Answer::DrawAgain,
        };
        let planned = self.planned.drain(..);
        planned.map(|(waiting, verdict)| Answered { ticket: waiting.ticket, answer: answer(verdict) }).collect()
    }

    /// What was planned waits again, before what came later.
    fn put_back(&mut self, maybe_made: bool) {
        for (waiting, _) in self.planned.drain(..).rev() {
            let maybe_made = waiting.maybe_made || maybe_made;
            self.waiting.push_front(Waiting { maybe_made, ..waiting });
        }
    }
}

fn refused<T>(ticket: T, refusal: Refusal) -> Answered<T> {
    Answered { ticket, answer: Answer::Refused(refusal) }
}

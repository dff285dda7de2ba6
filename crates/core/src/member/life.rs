use strongroom_types::Revision;

use super::LeaseKind;

/// What a member does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Leave the table if there is an entry left, end what clients are being answered, and join as a new incarnation;
    /// then [`Life::joined`].
    Join,
    /// Read the store's newest revision, then [`Life::newest`].
    ReadNewest,
    /// Apply at least this revision, then [`Life::applied`].
    CatchUp(Revision),
    /// Renew the entry with what was applied, then [`Life::renewed`], [`Life::renew_failed`] or [`Life::fenced`].
    Renew,
    /// Nothing is due for so many milliseconds.
    Rest(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Out,
    Joined,
    Behind(Revision),
    Serving,
}

/// One member's place in the table: joining, catching up to what was newest after the join, serving, renewing, being
/// fenced, and joining anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    pub(super) kind: LeaseKind,
    lease_ms: u64,
    pub(super) phase: Phase,
    /// Counts the times that serving began.
    pub(super) served: u64,
    pub(super) applied: Revision,
    pub(super) shown: Revision,
    pub(super) renew_at_ms: u64,
    /// Before this, a revision that could not be shown is not tried again.
    pub(super) retry_at_ms: u64,
    pub(super) until_ms: u64,
}

impl Life {
    /// A member that has applied `applied` and has not joined.
    pub fn new(kind: LeaseKind, lease_ms: u64, applied: Revision) -> Life {
        Life {
            kind,
            lease_ms,
            phase: Phase::Out,
            served: 0,
            applied,
            shown: Revision(0),
            renew_at_ms: 0,
            retry_at_ms: 0,
            until_ms: 0,
        }
    }

    /// What to do now. A lease that ran out is never renewed.
    pub fn next(&mut self, now_ms: u64) -> Step {
        if self.phase != Phase::Out && self.is_over(now_ms) {
            self.fenced();
        }
        let renew = now_ms >= self.renew_at_ms;
        match self.phase {
            Phase::Out => Step::Join,
            Phase::Joined | Phase::Behind(_) if renew => Step::Renew,
            Phase::Joined => Step::ReadNewest,
            Phase::Behind(newest) if self.applied < newest => Step::CatchUp(newest),
            Phase::Behind(_) => {
                self.phase = Phase::Serving;
                self.served += 1;
                self.next_of_serving(now_ms)
            }
            Phase::Serving => self.next_of_serving(now_ms),
        }
    }

    fn next_of_serving(&self, now_ms: u64) -> Step {
        let hidden = self.shown < self.applied;
        let due_ms = if hidden { self.renew_at_ms.min(self.retry_at_ms) } else { self.renew_at_ms };
        if now_ms >= due_ms { Step::Renew } else { Step::Rest(due_ms.saturating_sub(now_ms)) }
    }

    /// Joined with what was applied; the join began at `began_ms`.
    pub fn joined(&mut self, began_ms: u64) {
        self.phase = Phase::Joined;
        self.shown = self.applied;
        self.run_from(began_ms);
    }

    /// The newest revision, read after the join.
    pub fn newest(&mut self, newest: Revision) {
        if self.phase == Phase::Joined {
            self.phase = Phase::Behind(newest);
        }
    }

    /// This revision is applied, and whoever must know was told.
    pub fn applied(&mut self, applied: Revision) {
        self.applied = self.applied.max(applied);
    }

    /// The entry is renewed and shows `shown`, which is less than was applied when the anchor could not be written; the
    /// renewal began at `began_ms`.
    pub fn renewed(&mut self, shown: Revision, began_ms: u64) {
        self.shown = self.shown.max(shown);
        self.run_from(began_ms);
        self.retry_at_ms = if shown < self.applied { self.pause_after(began_ms) } else { 0 };
    }

    /// The entry could not be renewed; it may still stand.
    pub fn renew_failed(&mut self, now_ms: u64) {
        self.renew_at_ms = self.pause_after(now_ms);
        self.retry_at_ms = self.renew_at_ms;
    }

    /// The entry shows something that is true no more: renew it before its time.
    pub fn renew_early(&mut self) {
        self.renew_at_ms = 0;
    }

    /// The entry is gone.
    pub fn fenced(&mut self) {
        self.phase = Phase::Out;
    }

    /// Whether this member has served before.
    pub fn has_served(&self) -> bool {
        self.served > 0
    }

    /// Which life serves at `now_ms`, counted from 1; none when this member may answer nothing.
    pub fn serves(&self, now_ms: u64) -> Option<u64> {
        (self.phase == Phase::Serving && !self.is_over(now_ms)).then_some(self.served)
    }

    /// Until when the entry is good without a renewal; none when no clock ends it.
    pub fn until_ms(&self) -> Option<u64> {
        match self.kind {
            LeaseKind::Held => None,
            LeaseKind::Timed => Some(self.until_ms),
        }
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.kind == LeaseKind::Timed && now_ms >= self.until_ms
    }

    fn pause_after(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add((self.lease_ms / 10).max(1))
    }

    fn run_from(&mut self, began_ms: u64) {
        self.until_ms = began_ms.saturating_add(self.lease_ms);
        self.renew_at_ms = began_ms.saturating_add((self.lease_ms / 3).max(1));
    }
}

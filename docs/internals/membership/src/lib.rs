//! The protocol of leases and revocation as a model: three members that run [`Life`] and [`Acknowledgements`] of
//! `strongroom_core`, as an HSM runs them, and around them everything else that may happen. `README.md` has the protocol
//! in words, and what is proved.
//!
//! * A step is one access to the store, one look at a clock, or one decision. Between any two of them a member may stand
//!   still for as long as the others like; nothing makes it take a step.
//! * A revision is one change, and every change revokes: the strictest case.
//! * Every clock is its own. A member's runs as fast as it likes against the others'; what the protocol asks of clocks is
//!   one rule: who has watched an entry for a lease and a tenth finds that the lease it showed is over. That the rule
//!   holds for clocks whose rates differ by a tenth is what `tests/it/clocks.rs` shows.
//!
//! Deliberately absent: what the store promises (a commit is all or nothing and durable), records, seals and rules.
//!
//! [`Life`]: strongroom_core::member::Life
//! [`Acknowledgements`]: strongroom_core::member::Acknowledgements
#![forbid(unsafe_code)]

mod actions;
mod desk;
mod life;
mod liveness;
mod properties;
mod requests;
mod state;
mod symmetry;

pub use actions::Action;
pub use liveness::{Stuck, ways_out};
pub use state::{Call, Entry, MEMBERS, Member, Request, State};
pub use strongroom_core::member::LeaseKind;

/// A mistake planted into the protocol, so that the checker shows that it would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A change is acknowledged as soon as it is committed.
    AcknowledgeUnread,
    /// Requests are answered without a look at the clock.
    AnswerExpired,
    /// A read of the table that began before a change was committed counts for it.
    CountEarlyRead,
    /// An entry is removed though it was renewed since it was looked at.
    FenceUnseen,
    /// Fencing on one host takes the entry away and lets the process live.
    ForgetToKill,
    /// A member that is behind what a client has seen answers all the same.
    IgnoreSeen,
    /// An entry is removed before the lease it shows is over.
    Impatience,
    /// Nobody is fenced. Harms no promise but that a change is acknowledged at last.
    NeverFence,
    /// A lease that ran out is renewed, and an entry that is gone is written anew.
    RenewExpired,
    /// A member serves after a join without reading what is newest.
    SkipCatchUp,
}

/// What is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// What ends a member: the embedded table, or the leases of several hosts.
    pub kind: LeaseKind,
    /// Members, at most [`MEMBERS`].
    pub members: u8,
    /// Changes that clients ask for, at most 3.
    pub changes: u8,
    /// Members that clients ask for changes: the first so many. All members are alike.
    pub askers: u8,
    /// Whether the members that are asked for changes have lives of their own; else they stay out of the table.
    pub askers_live: bool,
    /// Whether a client's request is followed from its arrival to its answer.
    pub requests: bool,
    /// Whether processes die by themselves, and start again.
    pub crashes: bool,
    /// Whether the table is read entry by entry and what was read is looked at later; else at once.
    pub slow_reads: bool,
    /// Whether renewals fail at their member, and reach the store later all the same, or never.
    pub lost_renewals: bool,
    /// A mistake.
    pub mistake: Option<Mistake>,
}

impl Protocol {
    /// One host: two changes, asked for at any member.
    pub fn held() -> Protocol {
        Protocol {
            kind: LeaseKind::Held,
            members: 3,
            changes: 2,
            askers: 3,
            askers_live: true,
            requests: false,
            crashes: true,
            slow_reads: true,
            lost_renewals: false,
            mistake: None,
        }
    }

    /// Several hosts: one change, asked for at one member.
    pub fn timed() -> Protocol {
        Protocol { kind: LeaseKind::Timed, changes: 1, askers: 1, slow_reads: false, ..Protocol::held() }
    }

    /// The same with a mistake.
    pub fn with(self, mistake: Mistake) -> Protocol {
        Protocol { mistake: Some(mistake), ..self }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// The members that have lives.
    fn living(&self) -> std::ops::Range<usize> {
        let from = if self.askers_live { 0 } else { usize::from(self.askers) };
        from..usize::from(self.members)
    }

    fn slots(&self) -> std::ops::Range<usize> {
        0..usize::from(self.members)
    }
}

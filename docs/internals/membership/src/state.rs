//! What the members, the store and the clients are at one moment.

use strongroom_core::member::{Acknowledgements, LeaseKind, Life, ReadMark};
use strongroom_types::Revision;

use crate::Protocol;

/// How many members there are at most.
pub const MEMBERS: usize = 3;

/// What every clock shows in every state: of a clock that advanced, the state is the one of a clock that did not and by
/// which all else lies earlier.
pub(crate) const NOW: u64 = 100;

/// A lease by its member's clock. The fewest units by which a renewal falls between its beginning and its end.
pub(crate) const LEASE: u64 = 2;

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The changes that are committed, in the order of their revisions; the newest revision is how many there are.
    pub log: Vec<u8>,
    /// The member table.
    pub table: [Option<Entry>; MEMBERS],
    /// The members.
    pub members: [Member; MEMBERS],
    /// The changes that were acknowledged, as bits.
    pub acknowledged: u8,
    /// A request that is followed.
    pub request: Option<Request>,
    /// What became wrong with the answer to a request.
    pub wrong: Option<Wrong>,
}

/// How an answer is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// By a state older than what was acknowledged when the request arrived.
    Stale,
    /// By a state older than what the client had seen.
    Unseen,
    /// By a member that might answer nothing.
    Late,
}

/// An entry of the member table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The revision that it shows.
    pub applied: u8,
    /// Units until the lease that this renewal of it began is over, by its member's clock. Nobody sees them.
    pub left: u8,
    /// A renewal that its member gave up and that may still arrive: what it would show, and its age.
    pub late: Option<(u8, u8)>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Whether its process lives.
    pub up: bool,
    /// The revision it has applied.
    pub applied: u8,
    /// Its place in the table, as far as it knows.
    pub life: Life,
    /// What its member thread has begun and the store has not seen yet.
    pub call: Call,
    /// Whether requests are served, but for the clock. Kept for a mistake only.
    pub told: bool,
    /// Changes that are committed and wait.
    pub acknowledgements: Acknowledgements<u8>,
    /// The same changes, as bits.
    pub waits: u8,
    /// A read of the table that goes on.
    pub reading: Option<Reading>,
    /// Whom it is about to fence.
    pub fencing: [Option<Seen>; MEMBERS],
}

/// A call to the store. Ages count from its beginning, by the member's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// None.
    Nothing,
    /// A join.
    Join {
        /// What the entry will show.
        shown: u8,
        /// Units.
        age: u8,
    },
    /// A renewal.
    Renew {
        /// What the entry will show.
        shown: u8,
        /// Units.
        age: u8,
    },
}

/// What has been read of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// When it began.
    pub mark: ReadMark,
    /// How many slots were read.
    pub at: u8,
    /// What each showed, and whether it still is what it was.
    pub entries: [Option<(u8, Seen)>; MEMBERS],
}

/// An entry that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It stands, and was not renewed since.
    Current,
    /// It was renewed since.
    Renewed,
    /// It is gone, or another life's.
    Gone,
}

/// A client's request at one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Whose.
    pub member: u8,
    /// The newest revision that was acknowledged when it arrived.
    pub floor: u8,
    /// The newest revision that its client has seen.
    pub seen: u8,
    /// How far it has come.
    pub stage: Stage,
    /// Whether the life in which it was begun goes on.
    pub same_life: bool,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It arrived.
    Arrived,
    /// The member looked whether it serves.
    Begun,
    /// It works on the state of this revision.
    Works(u8),
}

impl State {
    /// Members whose processes have loaded an empty store and have not joined.
    pub(crate) fn new(protocol: &Protocol) -> State {
        let member = |slot| {
            if slot < usize::from(protocol.members) { Member::started(protocol, 0) } else { Member::dead(protocol) }
        };
        State {
            log: Vec::new(),
            table: [None; MEMBERS],
            members: std::array::from_fn(member),
            acknowledged: 0,
            request: None,
            wrong: None,
        }
    }

    /// The newest revision.
    pub fn newest(&self) -> u8 {
        u8::try_from(self.log.len()).expect("a model has few changes")
    }

    /// The newest revision whose change was acknowledged.
    pub fn acknowledged_revision(&self) -> u8 {
        let acknowledged = |change: &u8| self.acknowledged >> change & 1 == 1;
        let at = self.log.iter().rposition(acknowledged).map_or(0, |at| at + 1);
        u8::try_from(at).expect("a model has few changes")
    }

    /// The revision of a committed change.
    pub(crate) fn revision_of(&self, change: u8) -> Option<u8> {
        let at = self.log.iter().position(|one| *one == change)?;
        u8::try_from(at + 1).ok()
    }
}

impl Member {
    /// A process that has loaded the store and joined nothing.
    pub(crate) fn started(protocol: &Protocol, applied: u8) -> Member {
        let life = Life::new(protocol.kind, LEASE, revision(applied)).by_another_clock(NOW, NOW);
        Member { up: true, applied, life, ..Member::dead(protocol) }
    }

    /// No process. One that starts again knows nothing of it.
    pub(crate) fn dead(protocol: &Protocol) -> Member {
        Member {
            up: false,
            applied: 0,
            life: Life::new(protocol.kind, LEASE, Revision(0)).by_another_clock(NOW, NOW),
            call: Call::Nothing,
            told: false,
            acknowledgements: Acknowledgements::new(protocol.kind, protocol.watch_lease()),
            waits: 0,
            reading: None,
            fencing: [None; MEMBERS],
        }
    }

    /// Whether it answers.
    pub fn serves(&self) -> bool {
        self.up && self.life.serves(NOW).is_some()
    }

    /// This revision is applied; the member thread hears of it when it has nothing under way.
    pub(crate) fn apply(&mut self, applied: u8) {
        self.applied = self.applied.max(applied);
        if self.call == Call::Nothing {
            self.life.applied(revision(self.applied));
        }
    }
}

impl Protocol {
    /// The lease by the clock of whoever watches an entry: the fewest units with which one entry's time can be up while
    /// another's, seen later, is not. On one host it does not matter.
    pub(crate) fn watch_lease(&self) -> u64 {
        match self.kind {
            LeaseKind::Held => 0,
            LeaseKind::Timed => 1,
        }
    }
}

pub(crate) fn revision(number: u8) -> Revision {
    Revision(number.into())
}

/// The model's number of a revision.
pub(crate) fn number(revision: Revision) -> u8 {
    u8::try_from(revision.0).expect("a model has few changes")
}

//! What clients asked and what they were told, and whether that is what was promised.
//!
//! The promise: changes are linearizable; between commit and acknowledgement members may answer old or
//! new; after it, no request that arrives is answered by the old state; one client never sees time go back; a change acts
//! once.
//!
//! How it is checked, from intervals alone:
//!
//! * What exists, who may, which password counts are [`Register`]s. An [`Operation`] writes registers and tells [`Fact`]s
//!   about them. A fact is legal if some write of its value may have been the newest one at some moment of the operation
//!   that tells it. So what overlaps may be told either way, and what does not overlap may not.
//! * All facts of one answer may have been true at one moment: an answer is of one state.
//! * The facts that one client was told, one after another, can be explained by writes of which none is older than the one
//!   before.
//! * The changes of one register have an order in which each finds what it says it found.
//! * What the facts say about what must have come before what does not go round in a circle.
//! * No two creations answer the same reference.
//!
//! A change whose answer never came may have acted at any moment after it was asked for, or never.
//!
//! Deliberately absent: a search for one order of everything. What must come before what is found where facts leave no
//! choice, and not where each of several choices would lead to a contradiction.

mod changes;
mod check;
mod order;
mod tell;
#[cfg(test)]
mod tests;
mod timeline;

use std::fmt;

/// Microseconds since the history's beginning, on one clock for all clients.
pub type At = u64;

/// What a register holds. 0 is what it held before any write: absent, not allowed, closed, the first password.
pub type Value = u64;

/// One thing that changes. The numbers are the recorder's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// Whether a user exists.
    User(u32),
    /// Whether a key exists.
    Key(u32),
    /// Whether a user may use a key.
    MayUse {
        /// The key.
        key: u32,
        /// The user.
        user: u32,
    },
    /// Which password of a user counts.
    Password(u32),
    /// Whether a login is open.
    Login(u32),
    /// Which label a key has.
    Label(u32),
}

/// What an operation makes of a register, if it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which.
    pub register: Register,
    /// What it holds from then on.
    pub value: Value,
}

/// What an answer tells about a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Which.
    pub register: Register,
    /// The value that is spoken of.
    pub value: Value,
    /// Whether the register held it, or anything else.
    pub holds: bool,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect. All facts were true just before it did.
    Done {
        /// What its success tells.
        facts: Vec<Fact>,
    },
    /// It took no effect.
    Refused {
        /// At least one of these was true at the moment of the refusal; none: nothing is told.
        any_of: Vec<Fact>,
    },
    /// No answer: its writes take effect at any one moment after `invoked` (and not after `ended`), or never.
    Unknown,
}

/// What one client asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked. A client's operations may overlap; those that do are not held against each other.
    pub client: u32,
    /// What was asked, for people.
    pub what: String,
    /// Not after the request was sent.
    pub invoked: At,
    /// Not before the answer was there. Of an unknown outcome: when it will certainly not act any more, `u64::MAX` if
    /// nothing bounds that.
    pub ended: At,
    /// What it changes; one write for each register.
    pub writes: Vec<Write>,
    /// What came of it.
    pub outcome: Outcome,
    /// The reference that a creation answered.
    pub created: Option<u64>,
}

/// All that all clients did and saw.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
}

/// What of the promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A change was acknowledged, and later somebody was told that it had not been made.
    LostChange,
    /// A right was taken away, which was acknowledged, and later it was honoured.
    RevokedHonoured,
    /// What was told fits no order of the changes.
    NotLinearizable,
    /// A client saw something, and later what was before it.
    WentBack,
    /// One change acted twice.
    ActedTwice,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// The operations that contradict each other, for people.
    pub text: String,
}

/// [`History::check`] reports at most so many violations: one bug may spoil all that comes after it.
pub const VIOLATIONS_MAX: usize = 100;

impl History {
    /// Adds an operation; the order does not matter.
    ///
    /// # Panics
    /// When it ended before it was invoked: then the recorder's clock is broken, and no history of it means anything.
    pub fn push(&mut self, operation: Operation) {
        assert!(operation.invoked <= operation.ended, "an operation ended before it began: {operation:?}");
        self.operations.push(operation);
    }

    /// All operations, as they were added.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Everything in it that breaks the promise, at most [`VIOLATIONS_MAX`]. Nothing: the history is one that the promise
    /// allows.
    pub fn check(&self) -> Vec<Violation> {
        check::check(&self.operations)
    }
}

impl Fact {
    /// The register held this value.
    pub fn was(register: Register, value: Value) -> Fact {
        Fact { register, value, holds: true }
    }

    /// The register held another value.
    pub fn was_not(register: Register, value: Value) -> Fact {
        Fact { register, value, holds: false }
    }

    /// Whether a register that holds `value` is as the fact says.
    fn fits(self, value: Value) -> bool {
        (value == self.value) == self.holds
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::LostChange => "an acknowledged change was lost",
            Rule::RevokedHonoured => "a revoked right was honoured after its acknowledgement",
            Rule::NotLinearizable => "no order of the changes explains an answer",
            Rule::WentBack => "a client saw time go back",
            Rule::ActedTwice => "a change acted twice",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

//! Words for people: registers, facts, operations.

use std::fmt;

use super::{At, Fact, Operation, Outcome, Register};

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Register::User(user) => write!(f, "user {user}"),
            Register::Key(key) => write!(f, "key {key}"),
            Register::MayUse { key, user } => write!(f, "user {user}'s right to key {key}"),
            Register::Password(user) => write!(f, "password of user {user}"),
            Register::Login(login) => write!(f, "login {login}"),
            Register::Label(key) => write!(f, "label of key {key}"),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {}{}", self.register, if self.holds { "" } else { "not " }, self.value)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.outcome {
            Outcome::Done { .. } => "done",
            Outcome::Refused { .. } => "refused",
            Outcome::Unknown => "unknown",
        };
        write!(f, "client {}: {} [{} to ", self.client, self.what, seconds(self.invoked))?;
        match self.ended {
            At::MAX => write!(f, "no answer]"),
            ended => write!(f, "{}, {word}]", seconds(ended)),
        }
    }
}

/// A moment, in seconds with six places.
pub(super) fn seconds(at: At) -> String {
    format!("{}.{:06} s", at / 1_000_000, at % 1_000_000)
}

/// Facts of which one must have been true.
pub(super) fn any(facts: &[Fact]) -> String {
    facts.iter().map(Fact::to_string).collect::<Vec<_>>().join(" or ")
}

//! What every client did and saw, on one clock, and what went wrong beside the promise.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use strongroom_sim::history::{At, Fact, History, Operation, Outcome, Register, Write};

/// Reports of things that must not happen at all; more of them are counted.
const PROBLEMS_MAX: usize = 50;

/// One history for all clients.
pub struct Recorder {
    began: Instant,
    recorded: Mutex<Recorded>,
}

/// What is known so far.
#[derive(Default)]
pub struct Recorded {
    pub history: History,
    /// How often each kind of operation was done, was refused, had no answer.
    pub counts: BTreeMap<&'static str, [u64; 3]>,
    /// Faults, and when they began and ended.
    pub notes: Vec<(At, String)>,
    /// What must never happen, whatever the order of things.
    pub problems: Vec<String>,
    pub signatures: Series,
    pub changes: Series,
}

/// Successes of one sort.
#[derive(Clone, Copy, Default)]
pub struct Series {
    pub count: u64,
    last: At,
    /// The longest time without one, and when it began.
    pub longest: (At, At),
}

impl Series {
    fn success(&mut self, at: At) {
        self.count += 1;
        self.reaches(at);
    }

    fn reaches(&mut self, at: At) {
        self.longest = self.longest.max((at.saturating_sub(self.last), self.last));
        self.last = self.last.max(at);
    }
}

/// An operation that has begun.
pub struct Begun {
    client: u32,
    kind: &'static str,
    what: String,
    invoked: At,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder { began: Instant::now(), recorded: Mutex::default() }
    }

    /// Now.
    pub fn at(&self) -> At {
        At::try_from(self.began.elapsed().as_micros()).unwrap_or(At::MAX)
    }

    /// What is known so far.
    pub fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().expect("nobody panics while recording")
    }

    /// Before an operation: its kind, and what it is about.
    pub fn begin(&self, client: u32, kind: &'static str, about: &str) -> Begun {
        let what = if about.is_empty() { kind.to_owned() } else { format!("{kind} {about}") };
        Begun { client, kind, what, invoked: self.at() }
    }

    /// After it.
    pub fn end(&self, begun: Begun, writes: Vec<Write>, outcome: Outcome, created: Option<u64>) {
        let now = self.at();
        let Begun { client, kind, what, invoked } = begun;
        let mut recorded = self.recorded();
        let counted = match &outcome {
            Outcome::Done { .. } => 0,
            Outcome::Refused { .. } => 1,
            Outcome::Unknown => 2,
        };
        recorded.counts.entry(kind).or_default()[counted] += 1;
        if counted == 0 && kind == "sign" {
            recorded.signatures.success(now);
        }
        // Logging in writes down that a login is open; it is no change of the store.
        if counted == 0 && !writes.is_empty() && kind != "login" {
            recorded.changes.success(now);
        }
        let ended = match outcome {
            Outcome::Unknown if writes.is_empty() => return,
            Outcome::Unknown => At::MAX,
            _ => now,
        };
        recorded.history.push(Operation { client, what, invoked, ended, writes, outcome, created });
    }

    /// Something that was so before the history began.
    pub fn given(&self, what: &str, writes: Vec<Write>) {
        let outcome = Outcome::Done { facts: Vec::new() };
        let what = what.to_owned();
        let given = Operation { client: 0, what, invoked: 0, ended: 0, writes, outcome, created: None };
        self.recorded().history.push(given);
    }

    /// A fault, for whoever reads the history.
    pub fn note(&self, text: String) {
        let at = self.at();
        self.recorded().notes.push((at, text));
    }

    /// Something that must never happen.
    pub fn problem(&self, text: String) {
        let at = self.at();
        let problems = &mut self.recorded().problems;
        if problems.len() < PROBLEMS_MAX {
            problems.push(format!("{}: {text}", seconds(at)));
        }
    }

    /// The faults begin, or end: times without a success count between.
    pub fn count_from_now(&self) {
        let at = self.at();
        let recorded = &mut *self.recorded();
        for series in [&mut recorded.signatures, &mut recorded.changes] {
            *series = Series { last: at, ..Series::default() };
        }
    }

    /// A time without a success that is not over counts as well.
    pub fn count_until_now(&self) {
        let at = self.at();
        let recorded = &mut *self.recorded();
        recorded.signatures.reaches(at);
        recorded.changes.reaches(at);
    }
}

/// A moment, in seconds.
pub fn seconds(at: At) -> String {
    format!("{:.3} s", Duration::from_micros(at).as_secs_f64())
}

/// The register becomes this.
pub fn write(register: Register, value: u64) -> Write {
    Write { register, value }
}

/// The register was this.
pub fn was(register: Register, value: u64) -> Fact {
    Fact::was(register, value)
}

/// It was not.
pub fn was_not(register: Register, value: u64) -> Fact {
    Fact::was_not(register, value)
}

//! The rules that each answer is held against.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::tell::{any, seconds};
use super::timeline::{Span, Timeline, moment};
use super::{At, Fact, Operation, Outcome, Register, Rule, VIOLATIONS_MAX, Violation, Write};
use super::{changes, order};

pub(super) fn check(operations: &[Operation]) -> Vec<Violation> {
    let histories = Histories::of(operations);
    let mut violations = Vec::new();
    created_once(operations, &mut violations);
    for sequence in sequences(operations) {
        histories.follow(&sequence, &mut violations);
    }
    if violations.is_empty() {
        // Only then: an order is missing wherever a single answer is already wrong.
        violations = changes::check(operations);
    }
    if violations.is_empty() {
        violations.extend(order::check(&histories));
    }
    violations.truncate(VIOLATIONS_MAX);
    violations
}

/// No two creations answer the same reference.
fn created_once(operations: &[Operation], violations: &mut Vec<Violation>) {
    let mut seen: HashMap<u64, &Operation> = HashMap::new();
    for operation in operations {
        let Some(reference) = operation.created else { continue };
        if let Some(first) = seen.insert(reference, operation) {
            let text = format!("reference {reference:#x} was answered twice\n  {first}\n  {operation}");
            violations.push(Violation { rule: Rule::ActedTwice, text });
        }
    }
}

/// The operations of each client, by their beginning.
fn sequences(operations: &[Operation]) -> Vec<Vec<usize>> {
    let mut clients: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        clients.entry(operation.client).or_default().push(index);
    }
    let mut sequences: Vec<Vec<usize>> = clients.into_values().collect();
    for sequence in &mut sequences {
        sequence.sort_by_key(|index| operations[*index].invoked);
    }
    sequences
}

/// The writes of every register.
pub(super) struct Histories<'a> {
    pub(super) operations: &'a [Operation],
    timelines: HashMap<Register, Timeline>,
    /// For a register that nobody wrote.
    untouched: Timeline,
}

/// The newest write that a client has seen of a register.
#[derive(Clone, Copy)]
struct Seen {
    /// It began then.
    from: At,
    /// The operation that saw it, and the fact it told.
    operation: usize,
    fact: Fact,
}

/// Operations of one client that have told something and may not be over, by their end.
type Pending = BinaryHeap<Reverse<(At, usize)>>;

impl<'a> Histories<'a> {
    fn of(operations: &'a [Operation]) -> Histories<'a> {
        let mut spans: HashMap<Register, Vec<Span>> = HashMap::new();
        for (index, operation) in operations.iter().enumerate() {
            let definite = match operation.outcome {
                Outcome::Done { .. } => true,
                Outcome::Unknown => false,
                Outcome::Refused { .. } => continue,
            };
            let (from, to) = (moment(operation.invoked), moment(operation.ended));
            for Write { register, value } in &operation.writes {
                spans.entry(*register).or_default().push(Span { value: *value, from, to, by: Some(index), definite });
            }
        }
        let timelines = spans.into_iter().map(|(register, spans)| (register, Timeline::new(spans))).collect();
        Histories { operations, timelines, untouched: Timeline::new(Vec::new()) }
    }

    pub(super) fn timeline(&self, register: Register) -> &Timeline {
        self.timelines.get(&register).unwrap_or(&self.untouched)
    }

    /// Judges what one client was told, one answer after another.
    fn follow(&self, sequence: &[usize], violations: &mut Vec<Violation>) {
        let mut seen: HashMap<Register, Seen> = HashMap::new();
        let mut pending = Pending::new();
        let mut told: HashMap<usize, Vec<Seen>> = HashMap::new();
        for index in sequence {
            if violations.len() >= VIOLATIONS_MAX {
                return;
            }
            let operation = &self.operations[*index];
            // Only what was over before this one was asked is held against it.
            while let Some(Reverse((_, over))) = pending.peek().filter(|over| over.0.0 < operation.invoked).copied() {
                pending.pop();
                for newer in told.remove(&over).unwrap_or_default() {
                    let newest = seen.entry(newer.fact.register).or_insert(newer);
                    if newest.from < newer.from {
                        *newest = newer;
                    }
                }
            }
            let mut now = Vec::new();
            match &operation.outcome {
                Outcome::Unknown => {}
                Outcome::Done { facts } => {
                    for fact in facts {
                        match self.judge(*index, *fact, &seen) {
                            Ok(fine) => now.push(fine),
                            Err(wrong) => violations.push(wrong),
                        }
                    }
                    if now.len() == facts.len() {
                        violations.extend(self.apart(*index, facts));
                    }
                }
                Outcome::Refused { any_of } => {
                    let judged: Vec<_> = any_of.iter().map(|fact| self.judge(*index, *fact, &seen)).collect();
                    match &judged[..] {
                        [] => {}
                        // Of several, which one was true is not known.
                        [Ok(fine)] => now.push(*fine),
                        [Err(wrong), ..] if judged.iter().all(Result::is_err) => violations.push(wrong.clone()),
                        _ => {}
                    }
                }
            }
            if !now.is_empty() {
                pending.push(Reverse((operation.ended, *index)));
                told.insert(*index, now);
            }
        }
    }

    /// Whether a fact may be true, and true after what the client has seen before; the oldest write it can rest on.
    fn judge(&self, index: usize, fact: Fact, seen: &HashMap<Register, Seen>) -> Result<Seen, Violation> {
        let operation = &self.operations[index];
        let timeline = self.timeline(fact.register);
        let (asked, answered) = (moment(operation.invoked), moment(operation.ended));
        let contradicting = timeline.contradicting(fact, asked);
        let floor = contradicting.map_or(0, |span| span.from);
        if timeline.earliest(fact, floor, answered, index).is_none() {
            return Err(self.illegal(index, fact, contradicting));
        }
        let before = seen.get(&fact.register);
        let floor = floor.max(before.map_or(0, |seen| seen.from));
        match (timeline.earliest(fact, floor, answered, index), before) {
            (Some(span), _) => Ok(Seen { from: span.from, operation: index, fact }),
            (None, Some(before)) => Err(self.went_back(index, fact, before)),
            (None, None) => Err(self.illegal(index, fact, contradicting)),
        }
    }

    /// Facts of one answer are of one state: there is a moment at which all of them may have been true.
    fn apart(&self, index: usize, facts: &[Fact]) -> Option<Violation> {
        let operation = &self.operations[index];
        let (asked, answered) = (moment(operation.invoked), moment(operation.ended));
        let mut common = vec![(0, answered)];
        for (number, fact) in facts.iter().enumerate() {
            let timeline = self.timeline(fact.register);
            let floor = timeline.contradicting(*fact, asked).map_or(0, |span| span.from);
            let Some(intervals) = timeline.intervals(*fact, floor, answered, index) else { continue };
            let overlap = |one: &(At, At)| {
                let of = *one;
                intervals
                    .iter()
                    .map(move |other| (of.0.max(other.0), of.1.min(other.1)))
                    .filter(|both| both.0 <= both.1)
            };
            let mut next: Vec<(At, At)> = common.iter().flat_map(overlap).collect();
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                let before: Vec<String> = facts[..number].iter().map(Fact::to_string).collect();
                let text = format!(
                    "it was told that {fact}, and that {}, and there was no moment at which all of it can have been so\n  {operation}",
                    before.join(", that ")
                );
                return Some(Violation { rule: Rule::NotLinearizable, text });
            }
            common = next;
        }
        None
    }

    fn illegal(&self, index: usize, fact: Fact, contradicting: Option<&Span>) -> Violation {
        let operation = &self.operations[index];
        let timeline = self.timeline(fact.register);
        let ever = timeline.earliest(fact, 0, moment(operation.ended), index).is_some();
        let rule = match contradicting {
            Some(newest) if ever => rule_of(fact, newest),
            _ => Rule::NotLinearizable,
        };
        let said = match &operation.outcome {
            Outcome::Refused { any_of } if any_of.len() > 1 => any(any_of),
            _ => fact.to_string(),
        };
        let mut text = format!("it was told that {said}, which it cannot have been\n  {operation}");
        match contradicting.and_then(|span| Some((span, span.by?))) {
            Some((span, by)) => {
                let by = &self.operations[by];
                let when = seconds(by.ended);
                text += &format!("\n  {by}: {} was {} from {when} at the latest", fact.register, span.value);
            }
            None => text += "\n  nothing had written that before it was answered",
        }
        if fact.holds && ever {
            text += &format!("\n  and nothing that may have acted later made it {} again", fact.value);
        }
        Violation { rule, text }
    }

    fn went_back(&self, index: usize, fact: Fact, before: &Seen) -> Violation {
        let (earlier, later) = (&self.operations[before.operation], &self.operations[index]);
        let text = format!("it was told that {}, and then that {fact}\n  {earlier}\n  {later}", before.fact);
        Violation { rule: Rule::WentBack, text }
    }
}

/// What it means that a fact was told which a write contradicts.
fn rule_of(fact: Fact, newest: &Span) -> Rule {
    // Existing, being allowed, being a password that counts, an open login: to claim it is to honour a right.
    let is_right = !matches!(fact.register, Register::Label(_));
    let claims_something = match fact.register {
        // Each value is a password, the first one too.
        Register::Password(_) => fact.holds,
        _ => fact.holds == (fact.value != 0),
    };
    match (claims_something, is_right) {
        (true, true) if newest.by.is_some() => Rule::RevokedHonoured,
        (true, true) => Rule::NotLinearizable,
        (false, _) | (true, false) => Rule::LostChange,
    }
}

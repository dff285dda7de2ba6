//! Whether the changes of each register have an order in which each finds what it says it found.
//!
//! A search over such orders for one register at a time: it goes through the history and keeps every state that the register
//! may be in, with the changes that are under way and have acted already. A change acts when it must (just before its answer)
//! or when another that must act needs it.

use std::collections::BTreeMap;

use super::tell::any;
use super::timeline::moment;
use super::{At, Fact, Operation, Outcome, Register, Rule, VIOLATIONS_MAX, Value, Violation};

/// More states than this at one moment are not followed: the register is taken to be right. Only many changes of one register
/// at once, or many whose outcome is unknown, come near it.
const STATES_MAX: usize = 512;

/// One change of one register.
struct Change {
    operation: usize,
    value: Value,
    facts: Vec<Fact>,
    from: At,
    to: At,
    definite: bool,
}

/// What may be so at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    value: Value,
    /// Changes under way that have acted: those that will be known to have, and the others. Sorted.
    acted: [Vec<usize>; 2],
}

pub(super) fn check(operations: &[Operation]) -> Vec<Violation> {
    let mut registers: BTreeMap<Register, Vec<Change>> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        let (facts, definite) = match &operation.outcome {
            Outcome::Done { facts } => (&facts[..], true),
            Outcome::Unknown => (&[][..], false),
            Outcome::Refused { .. } => continue,
        };
        for write in &operation.writes {
            registers.entry(write.register).or_default().push(Change {
                operation: index,
                value: write.value,
                facts: facts.iter().filter(|fact| fact.register == write.register).copied().collect(),
                from: moment(operation.invoked),
                to: moment(operation.ended),
                definite,
            });
        }
    }
    let broken = registers.iter().filter_map(|(register, changes)| without_order(operations, *register, changes));
    broken.take(VIOLATIONS_MAX).collect()
}

/// A moment of the history: beginnings come before ends, so that what touches overlaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Begins,
    Ends,
}

fn without_order(operations: &[Operation], register: Register, changes: &[Change]) -> Option<Violation> {
    let mut edges: Vec<(At, Edge, usize)> = Vec::with_capacity(2 * changes.len());
    for (index, change) in changes.iter().enumerate() {
        edges.push((change.from, Edge::Begins, index));
        if change.to != At::MAX {
            edges.push((change.to, Edge::Ends, index));
        }
    }
    edges.sort_unstable();
    let mut open: Vec<usize> = Vec::new();
    let mut states = vec![State { value: 0, acted: [Vec::new(), Vec::new()] }];
    for (_, edge, index) in edges {
        if edge == Edge::Begins {
            open.push(index);
            continue;
        }
        let next = ended(changes, &open, &states, index)?;
        if next.is_empty() {
            return Some(contradiction(operations, register, changes, &open, index, &states));
        }
        open.retain(|other| *other != index);
        states = next;
    }
    None
}

/// The states after a change has ended; none at all when there are too many to follow.
fn ended(changes: &[Change], open: &[usize], states: &[State], index: usize) -> Option<Vec<State>> {
    let kind = usize::from(!changes[index].definite);
    let (mut reached, mut after): (Vec<State>, Vec<State>) = (states.to_vec(), Vec::new());
    let mut next = 0;
    while let Some(state) = reached.get(next).cloned() {
        next += 1;
        let acted = state.acted[kind].binary_search(&index).is_ok();
        if acted || !changes[index].definite {
            let mut without = state.clone();
            without.acted[kind].retain(|other| *other != index);
            add(&mut after, without);
        }
        // What must act has acted: nothing else is in a hurry. What may have acted will not act later, so that everything
        // it made possible has to be found now.
        if acted && changes[index].definite {
            continue;
        }
        for other in open.iter().filter(|other| !has_equal_before(changes, open, &state, **other)) {
            let change = &changes[*other];
            let kind = usize::from(!change.definite);
            if change.facts.iter().all(|fact| fact.fits(state.value))
                && let Err(place) = state.acted[kind].binary_search(other)
            {
                let mut then = state.clone();
                then.value = change.value;
                then.acted[kind].insert(place, *other);
                add(&mut reached, then);
            }
        }
        if reached.len() + after.len() > STATES_MAX {
            return None;
        }
    }
    Some(after)
}

/// Whether another change that has not acted is as good as this one and comes first: of changes to the same value that may
/// act at any time or never, one is as good as another.
fn has_equal_before(changes: &[Change], open: &[usize], state: &State, index: usize) -> bool {
    let unbounded = |change: &Change| !change.definite && change.to == At::MAX;
    let equal = |other: usize| unbounded(&changes[other]) && changes[other].value == changes[index].value;
    let waits = |other: usize| state.acted[1].binary_search(&other).is_err();
    unbounded(&changes[index])
        && open.iter().take_while(|other| **other != index).any(|other| equal(*other) && waits(*other))
}

/// Adds a state, unless one is there from which everything is possible that is possible from this one: the same, with fewer
/// used up of the changes that may never have acted.
fn add(states: &mut Vec<State>, new: State) {
    let covers = |state: &State| {
        state.value == new.value
            && state.acted[0] == new.acted[0]
            && state.acted[1].iter().all(|used| new.acted[1].binary_search(used).is_ok())
    };
    if !states.iter().any(covers) {
        states.push(new);
    }
}

fn contradiction(
    operations: &[Operation],
    register: Register,
    changes: &[Change],
    open: &[usize],
    index: usize,
    states: &[State],
) -> Violation {
    let change = &changes[index];
    let mut values: Vec<String> = states.iter().map(|state| state.value.to_string()).collect();
    values.sort();
    values.dedup();
    let mut text = format!(
        "{register} was {} before these changes, and no order of them lets each find what it found\n  {}, which found that {}",
        values.join(" or "),
        operations[change.operation],
        any(&change.facts)
    );
    for other in open.iter().filter(|other| **other != index) {
        text += &format!("\n  {}", operations[changes[*other].operation]);
    }
    Violation { rule: Rule::NotLinearizable, text }
}

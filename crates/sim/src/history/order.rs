//! Whether there can be one order of all changes of all registers in which each answer has its place.
//!
//! Every answer is of one state, and states come one after another. So there is a place in the order of changes for each
//! answer: for a change the place where it acted, for anything else the place of the state that it saw. From facts
//! follows what must stand before what:
//!
//! * an answer stands before a change that contradicts it, when nothing can have made its fact true again in between;
//! * a change stands before an answer that can rest on this change alone.
//!
//! If that goes round in a circle, no order explains the answers: a key was made by a user who existed, and the user was
//! deleted as one without keys, each while the other was under way.
//!
//! Logins make no order: they lie in no state.

use std::collections::BTreeSet;

use super::check::Histories;
use super::timeline::moment;
use super::{Fact, Outcome, Register, Rule, Violation};

/// The first circle; none if there may be an order.
pub(super) fn check(histories: &Histories<'_>) -> Option<Violation> {
    let edges = edges(histories);
    let circle = circle(&edges, histories.operations.len())?;
    let mut text = String::from("each of these must have come before the next one, and the last one before the first");
    for index in circle {
        text += &format!("\n  {}", histories.operations[index]);
    }
    Some(Violation { rule: Rule::NotLinearizable, text })
}

/// Which operation must stand before which.
fn edges(histories: &Histories<'_>) -> BTreeSet<(usize, usize)> {
    let mut edges = BTreeSet::new();
    for (index, operation) in histories.operations.iter().enumerate() {
        let Outcome::Done { facts } = &operation.outcome else { continue };
        let (asked, answered) = (moment(operation.invoked), moment(operation.ended));
        let counts = |fact: &&Fact| !matches!(fact.register, Register::Login(_));
        for fact in facts.iter().filter(counts) {
            let timeline = histories.timeline(fact.register);
            for other in timeline.contradictions(*fact, asked, answered) {
                let Some(by) = other.by.filter(|by| *by != index) else { continue };
                if timeline.earliest(*fact, other.from, answered, index).is_none() {
                    edges.insert((index, by));
                }
            }
            let floor = timeline.contradicting(*fact, asked).map_or(0, |span| span.from);
            if let Some(by) = timeline.only(*fact, floor, answered, index).and_then(|span| span.by) {
                edges.insert((by, index));
            }
        }
    }
    edges
}

/// Operations of which each stands before the next, and the last before the first.
fn circle(edges: &BTreeSet<(usize, usize)>, count: usize) -> Option<Vec<usize>> {
    let mut before = vec![0_usize; count];
    edges.iter().for_each(|(_, after)| before[*after] += 1);
    let mut free: Vec<usize> = (0..count).filter(|index| before[*index] == 0).collect();
    let mut left = count;
    while let Some(index) = free.pop() {
        left -= 1;
        for (_, after) in edges.range((index, 0)..=(index, usize::MAX)) {
            before[*after] -= 1;
            if before[*after] == 0 {
                free.push(*after);
            }
        }
    }
    if left == 0 {
        return None;
    }
    // What is left has something left before it: going back from any of it comes round.
    let back = |index: usize| {
        edges.iter().find(|(first, after)| *after == index && before[*first] > 0).map(|(first, _)| *first)
    };
    let mut way = vec![before.iter().position(|before| *before > 0)?];
    loop {
        let previous = back(*way.last()?)?;
        if let Some(start) = way.iter().position(|index| *index == previous) {
            let mut circle = way.split_off(start);
            circle.reverse();
            return Some(circle);
        }
        way.push(previous);
    }
}

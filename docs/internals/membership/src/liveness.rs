//! That the protocol cannot run into a state out of which there is no way.

use std::collections::{HashMap, VecDeque};

use crate::Protocol;
use crate::actions::Action;
use crate::state::State;

/// A state out of which the members that are not paused cannot help the changes.
#[derive(Clone, Debug)]
pub struct Stuck(pub State);

/// Looks for a state of the whole space from which, should member `paused` never take a step again, no steps of the
/// others, of clients and of time lead to every change's acknowledgement. Answers with the number of states looked at.
///
/// This is not the promise that it happens in time: that takes members that do take their steps. It is what a protocol
/// without a deadlock promises: whatever happened before, and whoever stopped, they can.
pub fn ways_out(protocol: &Protocol, paused: u8) -> Result<usize, Box<Stuck>> {
    let first = State::new(protocol);
    let mut numbers = HashMap::from([(first.clone(), 0)]);
    let mut open = VecDeque::from([first]);
    let mut done = Vec::new();
    // For each state, those from which the members that are not paused get to it.
    let mut sources: Vec<Vec<u32>> = vec![Vec::new()];
    let all = (1_u8 << protocol.changes) - 1;
    let mut actions = Vec::new();
    let mut number = 0_u32;
    while let Some(state) = open.pop_front() {
        done.push(state.acknowledged == all);
        actions.clear();
        protocol.possible(&state, &mut actions);
        for action in &actions {
            let after = protocol.after(&state, *action);
            let next = numbers.len();
            let to = *numbers.entry(after.clone()).or_insert(next);
            if to == next {
                open.push_back(after);
                sources.push(Vec::new());
            }
            if helps(*action, paused) {
                sources[to].push(number);
            }
        }
        number += 1;
    }
    let mut open: Vec<usize> = (0..done.len()).filter(|number| done[*number]).collect();
    while let Some(number) = open.pop() {
        for source in sources[number].iter().map(|source| *source as usize) {
            if !std::mem::replace(&mut done[source], true) {
                open.push(source);
            }
        }
    }
    match numbers.into_iter().find(|(_, number)| !done[*number]) {
        Some((state, _)) => Err(Box::new(Stuck(state))),
        None => Ok(done.len()),
    }
}

/// Whether it is a step of somebody who is not paused, and not a misfortune. Time passes for all.
fn helps(action: Action, paused: u8) -> bool {
    match action {
        Action::Crash(_) | Action::GiveUp(..) => false,
        Action::Tick(_) => true,
        Action::TickWatch(slot)
        | Action::Restart(slot)
        | Action::Turn(slot)
        | Action::Arrive(slot)
        | Action::ArriveLate(slot)
        | Action::Follow(slot)
        | Action::Ask(slot, _)
        | Action::Read(slot)
        | Action::Conclude(slot)
        | Action::Fence(slot, _)
        | Action::Request(slot, _) => slot != paused,
        Action::Begin | Action::Work | Action::Answer => true,
    }
}

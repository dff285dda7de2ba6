//! Members that nobody asks for a change are alike: of two states that differ in which of them is which, one stands for
//! both.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::Protocol;
use crate::actions::{incarnation, slot_of};
use crate::state::{NOW, State};

/// The members that change places.
const ALIKE: [usize; 2] = [1, 2];

impl Protocol {
    /// The state that stands for this one.
    pub(crate) fn chosen(&self, state: &mut State) {
        // Where the table is read slot by slot, in order, the slots are not alike.
        let alike = self.askers == 1 && !self.slow_reads && usize::from(self.members) > ALIKE[1];
        if alike && key(state, ALIKE[0]) > key(state, ALIKE[1]) {
            exchange(state);
        }
    }
}

/// All that is particular to one of them. Who has the same is the same.
fn key(state: &State, slot: usize) -> u64 {
    let asked = &state.members[0];
    let mut hasher = DefaultHasher::new();
    state.members[slot].hash(&mut hasher);
    state.table[slot].hash(&mut hasher);
    asked.fencing[slot].hash(&mut hasher);
    asked.reading.map(|reading| reading.entries[slot]).hash(&mut hasher);
    for (name, beat, age) in asked.acknowledgements.watched(NOW) {
        let (of, gone) = slot_of(name);
        if of == slot {
            (gone, beat, age).hash(&mut hasher);
        }
    }
    state.request.is_some_and(|request| usize::from(request.member) == slot).hash(&mut hasher);
    hasher.finish()
}

fn exchange(state: &mut State) {
    let [one, two] = ALIKE;
    let other = |slot: usize| {
        if slot == one {
            two
        } else if slot == two {
            one
        } else {
            slot
        }
    };
    state.members.swap(one, two);
    state.table.swap(one, two);
    let asked = &mut state.members[0];
    asked.fencing.swap(one, two);
    if let Some(reading) = &mut asked.reading {
        reading.entries.swap(one, two);
    }
    asked.acknowledgements = asked.acknowledgements.by_another_clock(NOW, NOW, |name, beat| {
        let (slot, gone) = slot_of(name);
        Some((incarnation(other(slot), gone), beat))
    });
    if let Some(request) = &mut state.request {
        request.member = u8::try_from(other(request.member.into())).expect("slots are few");
    }
}

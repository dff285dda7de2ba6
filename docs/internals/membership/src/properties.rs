//! What must hold in every state, as stateright asks for it.

use stateright::{Model, Property};

use crate::actions::Action;
use crate::state::{Stage, State, Wrong};
use crate::{LeaseKind, Protocol};

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let after = self.after(before, action);
        (after != *before).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Protocol>> {
        let mut properties = always();
        properties.extend(self.sometimes());
        properties
    }
}

fn always() -> Vec<Property<Protocol>> {
    vec![
        Property::always("who serves has applied all that was acknowledged", |protocol: &Protocol, state: &State| {
            let floor = state.acknowledged_revision();
            protocol.slots().all(|slot| !state.members[slot].serves() || state.members[slot].applied >= floor)
        }),
        Property::always(
            "who serves has an entry, and has applied what it shows",
            |protocol: &Protocol, state: &State| {
                protocol.slots().all(|slot| {
                    let shows = |applied: u8| state.table[slot].is_some_and(|entry| entry.applied <= applied);
                    !state.members[slot].serves() || shows(state.members[slot].applied)
                })
            },
        ),
        Property::always(
            "an acknowledged change is in the log, and no change is there twice",
            |protocol, state: &State| {
                (0..protocol.changes).all(|change| {
                    let times = state.log.iter().filter(|one| **one == change).count();
                    times == 1 || times == 0 && state.acknowledged >> change & 1 == 0
                })
            },
        ),
        Property::always("no request is answered by less than was acknowledged before it came", |_, state: &State| {
            state.wrong != Some(Wrong::Stale)
        }),
        Property::always("no request is answered by less than its client has seen", |_, state: &State| {
            state.wrong != Some(Wrong::Unseen)
        }),
        Property::always("who is fenced or expired answers nothing", |_, state: &State| {
            state.wrong != Some(Wrong::Late)
        }),
    ]
}

impl Protocol {
    /// What would be proved of nothing if it could not happen.
    fn sometimes(&self) -> Vec<Property<Protocol>> {
        let mut properties = vec![
            Property::sometimes(
                "every change is acknowledged and everybody serves",
                |protocol: &Protocol, state: &State| {
                    let all = state.acknowledged.count_ones() == u32::from(protocol.changes);
                    all && protocol.living().all(|slot| state.members[slot].serves())
                },
            ),
            Property::sometimes("a change waits while everybody serves", |protocol: &Protocol, state: &State| {
                let waits = state.acknowledged == 0 && !state.log.is_empty();
                waits && protocol.living().all(|slot| state.members[slot].serves())
            }),
            Property::sometimes("somebody is fenced", |_, state: &State| {
                state.members.iter().any(|member| member.fencing.iter().any(Option::is_some))
            }),
        ];
        if self.kind == LeaseKind::Timed {
            properties.push(Property::sometimes(
                "a change is acknowledged without a member that lives",
                |_, state: &State| {
                    let floor = state.acknowledged_revision();
                    state.members.iter().any(|member| member.up && member.applied < floor)
                },
            ));
        }
        if self.requests {
            properties.push(Property::sometimes(
                "a request that came after an acknowledgement is served",
                |protocol: &Protocol, state: &State| {
                    let served = |slot: u8| protocol.answers(&state.members[usize::from(slot)]);
                    state.request.is_some_and(|request| {
                        request.floor > 0
                            && matches!(request.stage, Stage::Works(_))
                            && request.same_life
                            && served(request.member)
                    })
                },
            ));
        }
        properties
    }
}

//! A client's request, from its arrival to its answer (`hsm::service`).

use crate::actions::Action;
use crate::state::{Request, Stage, State, Wrong};
use crate::{Mistake, Protocol};

impl Protocol {
    pub(crate) fn request(&self, state: &mut State, action: Action) {
        if let Action::Request(member, seen) = action {
            let floor = state.acknowledged_revision();
            state.request = Some(Request { member, floor, seen, stage: Stage::Arrived, same_life: true });
            return;
        }
        let Some(mut request) = state.request.take() else { return };
        let member = &state.members[usize::from(request.member)];
        match request.stage {
            // `Cluster::serving`.
            Stage::Arrived if !self.answers(member) => return,
            Stage::Arrived => (request.stage, request.same_life) = (Stage::Begun, true),
            // `Cluster::catch_up`: whoever is behind reads the store first.
            Stage::Begun if member.applied < request.seen && !self.makes(Mistake::IgnoreSeen) => {}
            Stage::Begun => request.stage = Stage::Works(member.applied),
            // `Cluster::still_serving`.
            Stage::Works(revision) => {
                if request.same_life && self.answers(member) {
                    let stands = state.table[usize::from(request.member)].is_some();
                    let wrong = [
                        (revision < request.floor, Wrong::Stale),
                        (revision < request.seen, Wrong::Unseen),
                        (!member.serves() || !stands, Wrong::Late),
                    ];
                    state.wrong = wrong.into_iter().find(|(is, _)| *is).map(|(_, wrong)| wrong).or(state.wrong);
                }
                return;
            }
        }
        state.request = Some(request);
    }
}

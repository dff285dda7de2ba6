//! The member thread (`hsm::cluster::member`), its clock, and the store's side of joins and renewals.

use strongroom_core::member::Step;

use crate::actions::lease;
use crate::state::{Call, Entry, NOW, State, number, revision};
use crate::{Mistake, Protocol};

impl Protocol {
    /// One unit by the clock by which a member lives.
    pub(crate) fn tick(&self, state: &mut State, slot: usize) {
        let member = &mut state.members[slot];
        member.life = member.life.by_another_clock(NOW + 1, NOW);
        if let Call::Join { age, .. } | Call::Renew { age, .. } = &mut member.call {
            *age = (*age + 1).min(lease());
        }
        if let Some(entry) = &mut state.table[slot] {
            entry.left = entry.left.saturating_sub(1);
            if let Some((_, age)) = &mut entry.late {
                *age = (*age + 1).min(lease());
            }
        }
    }

    /// `hsm::cluster::member::turn`.
    pub(crate) fn turn(&self, state: &mut State, slot: usize) {
        let newest = state.newest();
        let member = &mut state.members[slot];
        let over = member.life.serves(0).is_some() && member.life.serves(NOW).is_none();
        if over && self.makes(Mistake::RenewExpired) {
            member.call = Call::Renew { shown: member.applied, age: 0 };
            return;
        }
        member.life.applied(revision(member.applied));
        let step = member.life.next(NOW);
        self.set_serving(state, slot);
        let member = &mut state.members[slot];
        match step {
            Step::Join => {
                member.call = Call::Join { shown: member.applied, age: 0 };
                // An entry whose lease ran out may still stand.
                self.set_entry(state, slot, None);
            }
            Step::ReadNewest => {
                let read = if self.makes(Mistake::SkipCatchUp) { member.applied } else { newest };
                member.life.newest(revision(read));
            }
            Step::CatchUp(wanted) => {
                assert!(number(wanted) <= newest, "nothing newer than the store's newest was read");
                member.apply(newest);
            }
            Step::Renew => member.call = Call::Renew { shown: member.applied, age: 0 },
            Step::Rest(_) => {}
        }
        self.settle(state, slot);
    }

    /// `hsm::cluster::member::set_serving`: requests that were begun in an earlier life are not answered.
    fn set_serving(&self, state: &mut State, slot: usize) {
        let member = &mut state.members[slot];
        let serves = member.life.serves(NOW);
        if self.makes(Mistake::AnswerExpired) {
            member.told = serves.is_some();
        }
        // Lives are counted from 1, and one that was is 1 again in the next state.
        if let Some(request) = state.request.as_mut().filter(|request| usize::from(request.member) == slot) {
            request.same_life &= serves.is_none_or(|life| life == 1);
        }
    }

    /// A join or a renewal reaches the store, and its outcome the member.
    pub(crate) fn arrive(&self, state: &mut State, slot: usize) {
        let call = std::mem::replace(&mut state.members[slot].call, Call::Nothing);
        match call {
            Call::Nothing => {}
            Call::Join { shown, age } => {
                let entry = Entry { applied: shown, left: lease().saturating_sub(age), late: None };
                self.set_entry(state, slot, Some(entry));
                state.members[slot].life.joined(NOW - u64::from(age));
            }
            Call::Renew { shown, age } => {
                if state.table[slot].is_none() && self.makes(Mistake::RenewExpired) {
                    self.set_entry(state, slot, Some(Entry { applied: shown, left: 0, late: None }));
                }
                let stands = state.table[slot].is_some();
                self.renew_entry(state, slot, shown, age);
                let life = &mut state.members[slot].life;
                if stands {
                    life.renewed(revision(shown), NOW - u64::from(age))
                } else {
                    life.fenced()
                }
                self.set_serving(state, slot);
            }
        }
        self.settle(state, slot);
    }

    /// The store compares: a renewal that was given up counts if the entry is still the one that it was for.
    pub(crate) fn arrive_late(&self, state: &mut State, slot: usize) {
        if let Some((shown, age)) = state.table[slot].and_then(|entry| entry.late) {
            self.renew_entry(state, slot, shown, age);
        }
    }

    /// Makes two lives that will do the same one.
    fn settle(&self, state: &mut State, slot: usize) {
        let member = &mut state.members[slot];
        if member.call == Call::Nothing {
            member.life.applied(revision(member.applied));
        }
        member.life = member.life.by_another_clock(NOW, NOW);
    }
}

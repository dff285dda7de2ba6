//! Changes: their commit, reading the member table, acknowledging and fencing (`hsm::cluster::changes`).

use strongroom_core::member::{Entry, ReadMark};
use strongroom_types::HsmId;

use crate::actions::{incarnation, slot_of};
use crate::state::{MEMBERS, Member, NOW, Reading, Seen, State, revision};
use crate::{LeaseKind, Mistake, Protocol};

impl Protocol {
    /// Commits a change, if that is not done, and waits for the others.
    pub(crate) fn ask(&self, state: &mut State, slot: usize, change: u8) {
        if state.revision_of(change).is_none() {
            state.log.push(change);
        }
        let committed = state.revision_of(change).expect("it was just committed");
        let member = &mut state.members[slot];
        member.apply(committed);
        member.acknowledgements.wait_for(change, revision(committed));
        member.waits |= 1 << change;
        if self.makes(Mistake::AcknowledgeUnread) {
            self.acknowledge(state, change);
        }
    }

    fn acknowledge(&self, state: &mut State, change: u8) {
        state.acknowledged |= 1 << change;
        // The client has its answer: whoever else waits for it waits for nothing.
        for member in &mut state.members {
            member.acknowledgements.withdraw(&change);
            member.waits &= !(1 << change);
        }
    }

    /// `Acknowledgements::begin_read`, `Store::members`. The mapped table is read slot by slot.
    pub(crate) fn read(&self, state: &mut State, slot: usize) {
        let table = state.table;
        let member = &mut state.members[slot];
        let mark = member.acknowledgements.begin_read();
        let mut reading = member.reading.unwrap_or(Reading { mark, at: 0, entries: [None; MEMBERS] });
        let to = if self.slow_reads { usize::from(reading.at) + 1 } else { usize::from(self.members) };
        let range = usize::from(reading.at)..to;
        for (read, entry) in reading.entries[range.clone()].iter_mut().zip(&table[range]) {
            *read = entry.map(|entry| (entry.applied, Seen::Current));
        }
        reading.at = u8::try_from(to).expect("slots are few");
        member.reading = Some(reading);
        if !self.slow_reads {
            self.conclude(state, slot);
        }
    }

    /// `Acknowledgements::read`.
    pub(crate) fn conclude(&self, state: &mut State, slot: usize) {
        let member = &mut state.members[slot];
        let Some(Reading { mark, entries, .. }) = member.reading.take() else { return };
        let mark = if self.makes(Mistake::CountEarlyRead) { member.acknowledgements.begin_read() } else { mark };
        let (reached, fence) = look(member, mark, &entries, slot);
        // What is there no more is not seen again.
        member.acknowledgements = member.acknowledgements.by_another_clock(NOW, NOW, |incarnation, beat| {
            let (_, gone) = slot_of(incarnation);
            (!gone && beat == 0).then_some((incarnation, beat))
        });
        for (other, seen) in fence {
            // The store looks whether the entry is the one that was looked at.
            let harmless = seen != Seen::Current && !self.makes(Mistake::FenceUnseen);
            member.fencing[other] = (!harmless).then_some(seen);
        }
        for change in reached {
            self.acknowledge(state, change);
        }
        forget_idle(&mut state.members[slot]);
    }

    /// An entry was renewed or is gone: whoever looked at it before has looked at another.
    pub(crate) fn forget_seen(&self, state: &mut State, slot: usize, became: Seen) {
        for member in &mut state.members {
            let read = member.reading.as_mut().and_then(|reading| reading.entries[slot].as_mut());
            let looked = read.as_deref().map(|(_, seen)| *seen);
            if let Some((_, seen)) = read {
                *seen = if *seen == Seen::Gone { Seen::Gone } else { became };
            }
            let rename = |name, beat| {
                let (of, gone) = slot_of(name);
                if of != slot {
                    return Some((name, beat));
                }
                // It matters while a read that shows it goes on.
                let was = if gone {
                    Seen::Gone
                } else if beat == 0 {
                    Seen::Current
                } else {
                    Seen::Renewed
                };
                (looked == Some(was)).then(|| named(slot, if gone { Seen::Gone } else { became }))
            };
            member.acknowledgements = member.acknowledgements.by_another_clock(NOW, NOW, rename);
            if let Some(seen) = &mut member.fencing[slot] {
                *seen = became;
                if !self.makes(Mistake::FenceUnseen) {
                    member.fencing[slot] = None;
                }
            }
        }
    }

    /// Whether a member's watch may say that more time passed: who has watched an entry for long enough finds that the
    /// lease it shows is over.
    pub(crate) fn may_tick_watch(&self, member: &Member, state: &State) -> bool {
        let patience = self.kind.patience_ms(self.watch_lease());
        let mut watched = member.acknowledgements.watched(NOW).peekable();
        if watched.peek().is_none() {
            return false;
        }
        let free = self.kind == LeaseKind::Held || self.makes(Mistake::Impatience);
        free || watched.all(|(name, beat, age)| {
            let (other, gone) = slot_of(name);
            let lease_over = state.table[other].is_none_or(|entry| entry.left == 0);
            age < patience || gone || beat > 0 || lease_over
        })
    }

    /// One unit by the clock by which a member watches the others.
    pub(crate) fn tick_watch(&self, state: &mut State, slot: usize) {
        let member = &mut state.members[slot];
        member.acknowledgements =
            member.acknowledgements.by_another_clock(NOW + 1, NOW, |name, beat| Some((name, beat)));
    }

    /// `Store::fence`.
    pub(crate) fn fence(&self, state: &mut State, slot: usize, other: usize) {
        state.members[slot].fencing[other] = None;
        match self.kind {
            LeaseKind::Held if self.makes(Mistake::ForgetToKill) => self.set_entry(state, other, None),
            LeaseKind::Held => self.die(state, other),
            LeaseKind::Timed => self.set_entry(state, other, None),
        }
    }
}

/// What a read of the table shows: the changes that every member has applied, and whom to fence.
fn look(
    member: &mut Member,
    mark: ReadMark,
    entries: &[Option<(u8, Seen)>; MEMBERS],
    own: usize,
) -> (Vec<u8>, Vec<(usize, Seen)>) {
    let mut shown = Vec::new();
    for (slot, entry) in entries.iter().enumerate() {
        let Some((applied, seen)) = *entry else { continue };
        let (incarnation, beat) = named(slot, seen);
        let hsm_id = HsmId::from_random([u8::try_from(slot).expect("slots are few"); 7]);
        shown.push(Entry { hsm_id, incarnation, applied: revision(applied), beat });
    }
    let own = entries[own].map(|(_, seen)| named(own, seen).0);
    let seen = member.acknowledgements.read(mark, &shown, own, NOW);
    let fence = seen.fence.iter().map(|entry| {
        let (slot, _) = slot_of(entry.incarnation);
        (slot, entries[slot].expect("who is fenced was shown").1)
    });
    (seen.reached, fence.collect())
}

/// What an entry is called.
fn named(slot: usize, seen: Seen) -> (strongroom_types::Incarnation, u64) {
    (incarnation(slot, seen == Seen::Gone), u64::from(seen == Seen::Renewed))
}

/// When nothing waits, nobody is watched: the next read begins anew.
fn forget_idle(member: &mut Member) {
    if member.acknowledgements.is_empty() {
        member.acknowledgements = member.acknowledgements.by_another_clock(NOW, NOW, |_, _| None);
    }
}

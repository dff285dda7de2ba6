//! What may happen.

use crate::state::{Call, Entry, LEASE, MEMBERS, Member, Seen, Stage, State};
use crate::{LeaseKind, Mistake, Protocol};

/// One step of somebody; members by their slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The clock by which a member lives advances.
    Tick(u8),
    /// The clock by which a member watches the others advances.
    TickWatch(u8),
    /// A process dies.
    Crash(u8),
    /// A process starts and loads the store.
    Restart(u8),
    /// A member thread takes its next step.
    Turn(u8),
    /// What a member thread has begun reaches the store, and its outcome the member.
    Arrive(u8),
    /// A member gives a renewal up; it may still arrive, or not.
    GiveUp(u8, bool),
    /// A renewal that was given up arrives.
    ArriveLate(u8),
    /// A member applies what is newest.
    Follow(u8),
    /// A client asks a member for a change, which commits it, or finds that it is committed.
    Ask(u8, u8),
    /// A member reads the table, or the next slot of it.
    Read(u8),
    /// A member decides by what it read.
    Conclude(u8),
    /// A member fences another.
    Fence(u8, u8),
    /// A client's request arrives at a member, and says what the client has seen.
    Request(u8, u8),
    /// The member looks whether it serves.
    Begin,
    /// The member takes its newest state.
    Work,
    /// The member looks again whether it serves, and answers or does not.
    Answer,
}

impl Protocol {
    /// Everything that may happen.
    pub fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        for (slot, member) in (0_u8..).zip(&state.members).take(usize::from(self.members)) {
            if member.up {
                self.of_thread(slot, member, state, actions);
                self.of_desk(slot, member, state, actions);
                self.of_requests(slot, member, state, actions);
            } else {
                actions.push(Action::Restart(slot));
            }
            if state.table[usize::from(slot)].is_some_and(|entry| entry.late.is_some()) {
                actions.push(Action::ArriveLate(slot));
            }
        }
        let stage = state.request.map(|request| request.stage);
        actions.extend(stage.map(|stage| match stage {
            Stage::Arrived => Action::Begin,
            Stage::Begun => Action::Work,
            Stage::Works(_) => Action::Answer,
        }));
    }

    fn of_thread(&self, slot: u8, member: &Member, state: &State, actions: &mut Vec<Action>) {
        match member.call {
            Call::Nothing if slot < self.askers && !self.askers_live => {}
            Call::Nothing => actions.push(Action::Turn(slot)),
            Call::Join { .. } => actions.push(Action::Arrive(slot)),
            Call::Renew { .. } => {
                actions.push(Action::Arrive(slot));
                if self.lost_renewals {
                    actions.extend([Action::GiveUp(slot, false), Action::GiveUp(slot, true)]);
                }
            }
        }
        if member.applied < state.newest() {
            actions.push(Action::Follow(slot));
        }
        if self.crashes {
            actions.push(Action::Crash(slot));
        }
        if self.kind == LeaseKind::Timed {
            actions.push(Action::Tick(slot));
        }
    }

    fn of_desk(&self, slot: u8, member: &Member, state: &State, actions: &mut Vec<Action>) {
        let open = (0..self.changes).filter(|change| state.acknowledged >> change & 1 == 0);
        let askable = |change: &u8| match state.revision_of(*change) {
            Some(revision) => member.waits >> change & 1 == 0 && member.applied >= revision,
            None => member.applied == state.newest(),
        };
        if slot < self.askers {
            actions.extend(open.filter(askable).map(|change| Action::Ask(slot, change)));
        }
        match &member.reading {
            Some(reading) if reading.at == self.members => actions.push(Action::Conclude(slot)),
            Some(_) => actions.push(Action::Read(slot)),
            None if !member.acknowledgements.is_empty() => actions.push(Action::Read(slot)),
            None => {}
        }
        let fencing =
            (0_u8..).zip(member.fencing).filter(|(_, seen)| seen.is_some() && !self.makes(Mistake::NeverFence));
        actions.extend(fencing.map(|(other, _)| Action::Fence(slot, other)));
        if self.may_tick_watch(member, state) {
            actions.push(Action::TickWatch(slot));
        }
    }

    fn of_requests(&self, slot: u8, member: &Member, state: &State, actions: &mut Vec<Action>) {
        if self.requests && state.request.is_none() && self.answers(member) {
            actions.push(Action::Request(slot, 0));
            if state.newest() > 0 {
                actions.push(Action::Request(slot, state.newest()));
            }
        }
    }

    /// What comes of it.
    pub fn after(&self, before: &State, action: Action) -> State {
        let mut state = before.clone();
        match action {
            Action::Tick(slot) => self.tick(&mut state, slot.into()),
            Action::TickWatch(slot) => self.tick_watch(&mut state, slot.into()),
            Action::Crash(slot) => self.die(&mut state, slot.into()),
            Action::Restart(slot) => state.members[usize::from(slot)] = Member::started(self, before.newest()),
            Action::Turn(slot) => self.turn(&mut state, slot.into()),
            Action::Arrive(slot) => self.arrive(&mut state, slot.into()),
            Action::GiveUp(slot, lost) => give_up(&mut state, slot.into(), lost),
            Action::ArriveLate(slot) => self.arrive_late(&mut state, slot.into()),
            Action::Follow(slot) => state.members[usize::from(slot)].apply(before.newest()),
            Action::Ask(slot, change) => self.ask(&mut state, slot.into(), change),
            Action::Read(slot) => self.read(&mut state, slot.into()),
            Action::Conclude(slot) => self.conclude(&mut state, slot.into()),
            Action::Fence(slot, other) => self.fence(&mut state, slot.into(), other.into()),
            Action::Request(..) | Action::Begin | Action::Work | Action::Answer => self.request(&mut state, action),
        }
        self.chosen(&mut state);
        state
    }

    /// On one host the kernel lets go of the slot when the process is gone; elsewhere the entry stays.
    pub(crate) fn die(&self, state: &mut State, slot: usize) {
        state.members[slot] = Member::dead(self);
        state.request = state.request.filter(|request| usize::from(request.member) != slot);
        match (self.kind, &mut state.table[slot]) {
            (LeaseKind::Held, _) => self.set_entry(state, slot, None),
            (LeaseKind::Timed, Some(entry)) => entry.left = 0,
            (LeaseKind::Timed, None) => {}
        }
    }

    /// Another life's entry stands in a slot, or none. The member's own comes and goes by this alone.
    pub(crate) fn set_entry(&self, state: &mut State, slot: usize, entry: Option<Entry>) {
        if state.table[slot].is_some() {
            self.forget_seen(state, slot, Seen::Gone);
        }
        state.table[slot] = entry;
    }

    /// The entry shows more, and that its member lives. Whoever compares it with what was there before sees that it
    /// changed, but for the table of one host, where nobody does.
    pub(crate) fn renew_entry(&self, state: &mut State, slot: usize, shown: u8, age: u8) {
        let Some(entry) = &mut state.table[slot] else { return };
        let left = if state.members[slot].up { lease().saturating_sub(age) } else { 0 };
        *entry = Entry { applied: entry.applied.max(shown), left, late: None };
        if self.kind == LeaseKind::Timed {
            self.forget_seen(state, slot, Seen::Renewed);
        }
    }

    /// Whether requests are answered.
    pub(crate) fn answers(&self, member: &Member) -> bool {
        if self.makes(Mistake::AnswerExpired) { member.up && member.told } else { member.serves() }
    }
}

/// The caller hears that the renewal failed (`Life::renew_failed`).
fn give_up(state: &mut State, slot: usize, lost: bool) {
    let member = &mut state.members[slot];
    let Call::Renew { shown, age } = member.call else { return };
    member.call = Call::Nothing;
    member.life.renew_failed(crate::state::NOW - u64::from(age));
    if let Some(entry) = state.table[slot].as_mut().filter(|_| !lost) {
        entry.late = Some((shown, age));
    }
}

/// The lease, as ages are counted.
pub(crate) fn lease() -> u8 {
    u8::try_from(LEASE).expect("a model's lease is short")
}

/// Names of entries: whose, and whether it is the one in the table.
pub(crate) fn incarnation(slot: usize, gone: bool) -> strongroom_types::Incarnation {
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(slot).expect("slots are few");
    bytes[1] = gone.into();
    strongroom_types::Incarnation::from_bytes(bytes)
}

/// Whose entry it is, and whether it is the one in the table.
pub(crate) fn slot_of(incarnation: strongroom_types::Incarnation) -> (usize, bool) {
    let bytes = incarnation.as_bytes();
    (usize::from(bytes[0]) % MEMBERS, bytes[1] == 1)
}

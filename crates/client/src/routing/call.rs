use std::time::{Duration, Instant};

use strongroom_types::Status;
use strongroom_types::limits::POOL_LEN_MAX;

use super::members::Entry;
use super::{BUSY_MAX, MemberNumber, Members, PAUSE_MIN, ROUND_PAUSE_MAX, STORE_PATIENCE, doubled};
use crate::error::Cause;

/// What a call does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Ask this member.
    Try(MemberNumber),
    /// The member to ask has as many calls as it may have: wait until one ends.
    Queue,
    /// Nothing to do before this moment.
    Wait(Instant),
    /// Report what the tries came to.
    GiveUp,
}

/// One call on its way.
#[derive(Debug)]
pub struct Call {
    deadline: Instant,
    repeats: bool,
    /// Members tried in this round; a busy one counts as not tried.
    tried: Vec<MemberNumber>,
    /// Whether every failure of this round is one that lasts.
    lasting: bool,
    /// Whether every failure of this round is that the store is out of reach.
    storeless: bool,
    /// Since when every round ended so.
    storeless_since: Option<Instant>,
    rounds: u32,
    resume: Option<Instant>,
    /// What members asked for, to be waited for before the next round.
    asked: Duration,
    causes: Vec<(MemberNumber, Cause)>,
}

impl Call {
    /// A call that must be done by `deadline`; `repeats` says whether a failure is followed by another try.
    pub fn new(deadline: Instant, repeats: bool) -> Call {
        Call {
            deadline,
            repeats,
            tried: Vec::new(),
            lasting: true,
            storeless: true,
            storeless_since: None,
            rounds: 0,
            resume: None,
            asked: Duration::ZERO,
            causes: Vec::new(),
        }
    }

    /// When it must be done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// A try failed. A busy member, which `busy` tells, is asked again in the same round.
    pub fn failed(&mut self, member: MemberNumber, cause: Cause, busy: bool, asked: Duration) {
        self.lasting &= cause.is_lasting();
        self.storeless &= matches!(&cause, Cause::Status(refusal) if refusal.status == Status::StoreUnavailable);
        self.asked = self.asked.max(asked.min(BUSY_MAX));
        if !busy {
            self.tried.push(member);
        }
        match self.causes.iter_mut().find(|(known, _)| *known == member) {
            Some((_, last)) => *last = cause,
            None => self.causes.push((member, cause)),
        }
    }

    /// What the tries came to, one cause a member.
    pub fn into_causes(self) -> Vec<(MemberNumber, Cause)> {
        self.causes
    }

    /// What to do now. Changes nothing that another answer would depend on, but the turn among equals.
    pub fn decide(&mut self, members: &mut Members, now: Instant) -> Decision {
        if now >= self.deadline || (!self.repeats && !self.causes.is_empty()) {
            return Decision::GiveUp;
        }
        if let Some(resume) = self.resume {
            if now < resume {
                return Decision::Wait(resume.min(self.deadline));
            }
            self.resume = None;
        }
        let tried = |entry: &Entry| self.tried.contains(&entry.number);
        for listed in [true, false] {
            let fit = |entry: &Entry| entry.listed == listed && !tried(entry) && entry.is_up(now);
            if let Some(best) = least_in_flight(members, fit) {
                return seated(best);
            }
        }
        let rest = || members.list.iter().filter(|entry| !tried(entry));
        if let Some(free) = rest().filter(|entry| entry.is_busy(now)).filter_map(|entry| entry.busy_until).min() {
            return Decision::Wait(free.min(self.deadline));
        }
        if let Some(soonest) = rest().min_by_key(|entry| (!entry.listed, entry.down_until)) {
            return seated((soonest.number, soonest.in_flight));
        }
        self.storeless_since = self.storeless.then(|| self.storeless_since.unwrap_or(now));
        let is_storeless = |since| now.saturating_duration_since(since) >= STORE_PATIENCE;
        if self.lasting || self.storeless_since.is_some_and(is_storeless) {
            return Decision::GiveUp;
        }
        let pause = doubled(PAUSE_MIN, self.rounds, ROUND_PAUSE_MAX).max(self.asked);
        self.rounds += 1;
        self.tried.clear();
        (self.lasting, self.storeless) = (true, true);
        self.asked = Duration::ZERO;
        self.resume = Some(now + pause);
        Decision::Wait((now + pause).min(self.deadline))
    }
}

fn seated((number, in_flight): (MemberNumber, usize)) -> Decision {
    if in_flight < POOL_LEN_MAX { Decision::Try(number) } else { Decision::Queue }
}

/// The fitting member with the least in flight; among equals the one whose turn it is.
fn least_in_flight(members: &mut Members, fit: impl Fn(&Entry) -> bool) -> Option<(MemberNumber, usize)> {
    let len = members.list.len();
    let mut best: Option<(usize, &Entry)> = None;
    for step in 0..len {
        let at = (members.turn + step) % len;
        let entry = &members.list[at];
        if fit(entry) && best.is_none_or(|(_, least)| entry.in_flight < least.in_flight) {
            best = Some((at, entry));
        }
    }
    let (at, entry) = best?;
    let found = (entry.number, entry.in_flight);
    members.turn = at + 1;
    Some(found)
}

//! Callers with a change: they wait at the desk until the committer and the other members have made its answer.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use strongroom_core::member::{Acknowledgements, Answer, Answered, Batcher, Change, Entry, LeaseKind, Withdrawn};
use strongroom_core::{Effect, Reply};
use strongroom_store::MemberEntry;
use strongroom_types::{Refusal, Status};

use super::clock::Attention;
use super::shared::Shared;
use super::{ChangeError, Changed, clock};

type Ticket = u64;

/// Every change that is not answered yet.
pub(super) struct Desk {
    pub(super) batcher: Batcher<Ticket>,
    acknowledgements: Acknowledgements<Ticket>,
    /// For how long others were waited for.
    attention: Attention,
    callers: BTreeMap<Ticket, Caller>,
    tickets: u64,
    pub(super) closed: bool,
}

struct Caller {
    sender: SyncSender<Result<Changed, ChangeError>>,
    /// What to answer once every member has applied the change.
    reply: Option<Reply>,
}

impl Desk {
    pub(super) fn new(lease: LeaseKind, lease_ms: u64) -> Desk {
        Desk {
            batcher: Batcher::new(),
            acknowledgements: Acknowledgements::new(lease, lease_ms),
            attention: Attention::default(),
            callers: BTreeMap::new(),
            tickets: 0,
            closed: false,
        }
    }

    /// Callers without an answer.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.callers.len()
    }

    fn send(&mut self, ticket: Ticket, answer: Result<Changed, ChangeError>) {
        if let Some(caller) = self.callers.remove(&ticket) {
            // A caller whose deadline passed at this moment takes it from the channel all the same.
            let _ = caller.sender.send(answer);
        }
    }
}

/// Waits for the change's answer.
pub(super) fn change(shared: &Shared, change: Change, deadline: Instant) -> Result<Changed, ChangeError> {
    let (sender, receiver) = sync_channel(1);
    let mut desk = shared.desk();
    if desk.closed {
        return Err(stopped().into());
    }
    if shared.damaged.load(Ordering::Acquire) {
        return Err(Refusal::from(Status::StateDamaged).into());
    }
    let ticket = desk.tickets;
    desk.batcher.add(ticket, change)?;
    desk.tickets += 1;
    desk.callers.insert(ticket, Caller { sender, reply: None });
    drop(desk);
    shared.work.notify_one();
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(answer) => answer,
        Err(_) => shared.give_up(ticket).unwrap_or_else(|| {
            // Answered between the deadline and now.
            receiver.try_recv().unwrap_or_else(|_| Err(maybe_made().into()))
        }),
    }
}

impl Shared {
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a caller whose deadline passed; none when the answer was sent already.
    fn give_up(&self, ticket: Ticket) -> Option<Result<Changed, ChangeError>> {
        let mut desk = self.desk();
        desk.callers.remove(&ticket)?;
        let refusal = match desk.batcher.withdraw(&ticket) {
            Withdrawn::Untried => Refusal::from(Status::DeadlineExceeded),
            Withdrawn::MaybeMade => maybe_made(),
            Withdrawn::Absent if desk.acknowledgements.withdraw(&ticket) => {
                Refusal::new(Status::StoreUnavailable, "the change is made, but another HSM has not applied it yet")
            }
            Withdrawn::Absent => maybe_made(),
        };
        Some(Err(refusal.into()))
    }

    /// Answers what is reached; lets the rest wait for the other members.
    pub(super) fn deliver(&self, answered: Vec<Answered<Ticket>>) {
        let applied = self.state.load().revision();
        let mut desk = self.desk();
        for Answered { ticket, answer } in answered {
            match answer {
                Answer::Durable { reply, effect: Effect::Granting, revision } => {
                    desk.send(ticket, Ok(Changed { reply, revision: revision.max(applied) }));
                }
                Answer::Durable { reply, effect: Effect::Revoking, revision } => {
                    // A caller who gave up waits for nothing.
                    if let Some(caller) = desk.callers.get_mut(&ticket) {
                        caller.reply = Some(reply);
                        desk.acknowledgements.wait_for(ticket, revision);
                    }
                }
                Answer::Refused(refusal) => desk.send(ticket, Err(refusal.into())),
                Answer::DrawAgain => desk.send(ticket, Err(ChangeError::DrawAgain)),
            }
        }
        drop(desk);
        self.acknowledge();
    }

    /// Reads the member table, if any change waits for it; answers the changes that every member shows, and fences
    /// who kept one waiting for longer than a lease.
    pub(super) fn acknowledge(&self) {
        let mark = {
            let desk = self.desk();
            if desk.acknowledgements.is_empty() {
                return;
            }
            desk.acknowledgements.begin_read()
        };
        // Not readable: the next turn of the member thread tries again.
        let Ok(members) = self.store.members() else { return };
        let entries: Vec<Entry> = members.into_iter().map(entry).collect();
        let own = entries.iter().find(|entry| entry.hsm_id == self.hsm_id).map(|entry| entry.incarnation);
        let mut desk = self.desk();
        let now_ms = desk.attention.look(clock::boottime_ms());
        let seen = desk.acknowledgements.read(mark, &entries, own, now_ms);
        let revision = self.state.load().revision();
        for ticket in seen.reached {
            if let Some(reply) = desk.callers.get_mut(&ticket).and_then(|caller| caller.reply.take()) {
                desk.send(ticket, Ok(Changed { reply, revision }));
            }
        }
        drop(desk);
        for entry in seen.fence {
            self.fence(entry);
        }
    }

    fn fence(&self, entry: Entry) {
        let id = entry.hsm_id.clone();
        let Entry { hsm_id, incarnation, applied, beat } = entry;
        // Whom it names is all that counts.
        match self.store.fence(&MemberEntry { hsm_id, incarnation, applied, beat, clock_ahead_ms: 0 }) {
            Ok(()) => self.notices.say(&format!("{id} kept a change waiting for longer than a lease and was stopped")),
            Err(error) => self.notices.say(&format!("{id} keeps a change waiting and cannot be stopped: {error}")),
        }
    }

    /// Refuses every change that waits, and those that come.
    pub(super) fn close_desk(&self) {
        let mut desk = self.desk();
        desk.closed = true;
        let unmade = desk.batcher.refuse_all(&stopped());
        let committed = desk.acknowledgements.take_all();
        for ticket in unmade.into_iter().map(|answered| answered.ticket).chain(committed) {
            desk.send(ticket, Err(stopped().into()));
        }
        drop(desk);
        self.work.notify_all();
    }
}

fn entry(MemberEntry { hsm_id, incarnation, applied, beat, .. }: MemberEntry) -> Entry {
    Entry { hsm_id, incarnation, applied, beat }
}

fn stopped() -> Refusal {
    Refusal::new(Status::NotServing, "stopping")
}

/// The answer that is true whatever became of a change.
pub(super) fn maybe_made() -> Refusal {
    Refusal::new(Status::StoreUnavailable, "the change may have been made: ask again with the same request id")
}

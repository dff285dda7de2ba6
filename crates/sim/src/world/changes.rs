//! Changes on a member: they wait for the committer, their commit and the other members, as in
//! `crates/hsm/src/cluster/{changes,committer}.rs`.

use std::rc::Rc;

use strongroom_core::Batch;
use strongroom_core::member::{Answer, Answered, Change, Entry, LeaseKind, Next, Shown, Withdrawn};
use strongroom_core::{Effect, Record, Reply};
use strongroom_hsm::cluster::ChangeError;
use strongroom_hsm::cluster::sealing::Sealed;
use strongroom_store::MemberEntry;
use strongroom_types::{Refusal, Revision, Status};

use super::process::{Caller, ProcessId, Then};
use super::{At, MS, Owner, World};
use crate::Mutant;

/// How a commit ends.
enum Committed {
    Done,
    Conflict,
    NotWritten,
    Unknown,
}

impl World {
    pub(crate) fn change(
        &mut self,
        id: ProcessId,
        change: Change,
        deadline: At,
        then: Then<Result<(Reply, Revision), ChangeError>>,
    ) {
        let process = self.process(id);
        if process.damaged {
            return then(self, Err(Refusal::from(Status::StateDamaged).into()));
        }
        let ticket = process.tickets;
        if let Err(refusal) = process.batcher.add(ticket, change) {
            return then(self, Err(refusal.into()));
        }
        process.tickets += 1;
        process.callers.insert(ticket, Caller { then, reply: None });
        if !std::mem::replace(&mut process.committer_is_busy, true) {
            self.step(id, "committer wakes", move |w| w.committer_turn(id));
        }
        let left = deadline.saturating_sub(self.now);
        self.after(left, Owner::Process(id), "deadline", move |w| w.give_up(id, ticket));
    }

    fn give_up(&mut self, id: ProcessId, ticket: u64) {
        let process = self.process(id);
        let Some(caller) = process.callers.remove(&ticket) else { return };
        let refusal = match process.batcher.withdraw(&ticket) {
            Withdrawn::Untried => Refusal::from(Status::DeadlineExceeded),
            Withdrawn::MaybeMade => maybe_made(),
            Withdrawn::Absent => {
                process.acknowledgements.withdraw(&ticket);
                maybe_made()
            }
        };
        (caller.then)(self, Err(refusal.into()));
    }

    fn committer_turn(&mut self, id: ProcessId) {
        let now_ms = self.wall_ms(id.hsm);
        let process = self.process(id);
        if process.batcher.is_empty() {
            process.committer_is_busy = false;
            return;
        }
        if process.damaged {
            return self.refuse_all(id, &Status::StateDamaged.into());
        }
        let state = process.view.state().clone();
        match process.batcher.plan(&state, now_ms) {
            Next::Rest => self.next_turn(id),
            Next::Confirm => self.read(
                id,
                false,
                "confirm",
                |store| store.revision(),
                move |w, newest| {
                    w.confirmed(id, newest);
                },
            ),
            Next::Commit(batch) => self.check_clock(id, batch),
        }
    }

    fn next_turn(&mut self, id: ProcessId) {
        self.step(id, "committer turns", move |w| w.committer_turn(id));
    }

    fn confirmed(&mut self, id: ProcessId, newest: Option<Revision>) {
        let answered = match newest {
            Some(newest) => self.process(id).batcher.confirmed(newest),
            None => self.process(id).batcher.unconfirmed(&Status::StoreUnavailable.into()),
        };
        if answered.is_empty() {
            return self.catch_up(id);
        }
        self.deliver(id, answered);
        self.next_turn(id);
    }

    /// Applies the newest state before planning again. If that fails, nobody is left waiting for it.
    fn catch_up(&mut self, id: ProcessId) {
        self.follow(
            id,
            Box::new(move |w, followed| match followed {
                Ok(_) => w.next_turn(id),
                Err(refusal) => w.refuse_all(id, &refusal),
            }),
        );
    }

    fn refuse_all(&mut self, id: ProcessId, why: &Refusal) {
        let answered = self.process(id).batcher.refuse_all(why);
        self.deliver(id, answered);
        self.next_turn(id);
    }

    /// A member whose clock is off commits nothing.
    fn check_clock(&mut self, id: ProcessId, batch: Batch) {
        self.read(
            id,
            true,
            "clocks",
            |store| store.members(),
            move |w, members| {
                let now_ms = w.boottime_ms(id.hsm);
                let own = &w.hsms[id.hsm];
                let (own_id, own_ahead_ms) = (own.record.id.clone(), own.clocks.ahead_ms);
                let others = members.iter().flatten().filter(|entry| entry.hsm_id != own_id);
                let shown = |entry: &MemberEntry| Shown {
                    incarnation: entry.incarnation,
                    beat: entry.beat,
                    ahead_ms: entry.clock_ahead_ms,
                };
                let others: Vec<Shown> = others.map(shown).collect();
                match w.process(id).clocks.off(own_ahead_ms, &others, now_ms) {
                    Some(_) => w.refuse_all(id, &Status::ClockOff.into()),
                    None => w.seal_and_commit(id, batch),
                }
            },
        );
    }

    fn seal_and_commit(&mut self, id: ProcessId, mut batch: Batch) {
        if self.mutant == Some(Mutant::DropReceipt) {
            batch.puts.retain(|record| !matches!(record, Record::Receipt(_)));
        }
        let sealing = self.sealing.clone();
        let mut sealed = match self.process(id).view.seal(&sealing, &batch) {
            None => {
                self.process(id).batcher.overtaken();
                return self.next_turn(id);
            }
            Some(Ok(sealed)) => sealed,
            Some(Err(error)) => {
                self.broken(format!("a batch cannot be sealed: {error}"));
                return self.refuse_all(id, &Status::Internal.into());
            }
        };
        self.sealing.mutate(&mut sealed);
        if self.mutant == Some(Mutant::AcknowledgeBeforeCommit) {
            let answered = self.process(id).batcher.committed();
            self.deliver(id, answered);
        }
        let batch = Rc::new((batch, sealed));
        let lock_by = self.boottime_ms(id.hsm) + self.shape.lease_ms;
        let then: Then<Committed> = Box::new({
            let batch = Rc::clone(&batch);
            move |w, committed| w.committed(id, &batch, committed)
        });
        match self.shape.lease {
            LeaseKind::Held => self.commit_locked(id, batch, lock_by, then),
            LeaseKind::Timed => self.commit_over_network(id, batch, then),
        }
    }

    /// On one host: the write lock first. Whoever holds it for longer than a lease is killed.
    fn commit_locked(&mut self, id: ProcessId, batch: Rc<(Batch, Sealed)>, lock_by: u64, then: Then<Committed>) {
        if let Some(writer) = self.store.writer.filter(|writer| *writer != id) {
            if self.boottime_ms(id.hsm) > lock_by {
                self.trace("writer is killed", || format!("{writer:?} by {id:?}"));
                let pause = self.rng.u64(super::process::RESTART);
                self.end_process(writer.hsm, pause);
            }
            let pause = self.rng.u64(1..5) * MS;
            self.after(pause, Owner::Process(id), "waits for the write lock", move |w| {
                w.commit_locked(id, batch, lock_by, then);
            });
            return;
        }
        self.store.writer = Some(id);
        let (write, sync) = (self.rng.u64(50..3_000), self.rng.u64(50..3_000));
        self.after(write, Owner::Process(id), "commit is written", move |w| {
            let fate = w.fate_of_commit(id.hsm);
            let committed = w.commit_now(fate, &batch);
            w.store.writer = None;
            w.after(sync, Owner::Process(id), "commit ends", move |w| then(w, committed));
        });
    }

    fn commit_over_network(&mut self, id: ProcessId, batch: Rc<(Batch, Sealed)>, then: Then<Committed>) {
        let there = self.rng.u64(1..=self.shape.store_max);
        self.after(there, Owner::World, "commit arrives", move |w| {
            let fate = w.fate_of_commit(id.hsm);
            let committed = w.commit_now(fate, &batch);
            let back = match committed {
                // The caller waits for an answer that does not come.
                Committed::Unknown => w.rng.u64(100..500) * MS,
                _ => w.rng.u64(1..=w.shape.store_max),
            };
            w.after(back, Owner::Process(id), "commit ends", move |w| then(w, committed));
        });
    }

    fn commit_now(&mut self, fate: Fate, batch: &(Batch, Sealed)) -> Committed {
        let (batch, sealed) = batch;
        match fate {
            Fate::NotWritten => return Committed::NotWritten,
            Fate::UnknownNotWritten => return Committed::Unknown,
            Fate::Written | Fate::UnknownWritten => {}
        }
        let base = Revision(batch.revision.0.saturating_sub(1));
        if self.store.commit(base, &sealed.puts, &sealed.deletes).is_err() {
            return Committed::Conflict;
        }
        self.counts.commits += 1;
        self.trace("committed", || format!("{} with {} records", batch.revision, batch.puts.len()));
        self.is_true_now(batch, sealed);
        self.wake_members();
        if fate == Fate::Written { Committed::Done } else { Committed::Unknown }
    }

    fn fate_of_commit(&mut self, hsm: usize) -> Fate {
        let of = &self.hsms[hsm];
        if of.disk_is_full || of.store_fails || self.store.hands.is_some() {
            return Fate::NotWritten;
        }
        if self.is_quiet || self.shape.is_pure || self.shape.fault_every.is_none() || !self.chance(30) {
            return Fate::Written;
        }
        self.counts.faults += 1;
        *self.rng.choice(&[Fate::NotWritten, Fate::UnknownWritten, Fate::UnknownNotWritten]).expect("some")
    }

    fn committed(&mut self, id: ProcessId, batch: &Rc<(Batch, Sealed)>, committed: Committed) {
        match committed {
            Committed::Done => {
                let batch = Rc::clone(batch);
                self.with_view(id, Box::new(move |w, ()| w.apply_own(id, &batch)));
            }
            Committed::Conflict => {
                self.process(id).batcher.lost();
                self.catch_up(id);
            }
            Committed::Unknown => {
                self.process(id).batcher.unknown();
                self.catch_up(id);
            }
            Committed::NotWritten => {
                let answered = self.process(id).batcher.not_written(&Status::StoreUnavailable.into());
                self.deliver(id, answered);
                self.next_turn(id);
            }
        }
    }

    fn apply_own(&mut self, id: ProcessId, batch: &(Batch, Sealed)) {
        let applied = self.process(id).view.apply_own(&batch.0, &batch.1);
        self.unlock_view(id);
        match applied {
            Ok(_) => self.check_applied(id),
            Err(error) => self.says_damaged(id, &error),
        }
        let answered = self.process(id).batcher.committed();
        self.deliver(id, answered);
        self.next_turn(id);
    }

    /// Answers what is reached; lets the rest wait for the other members.
    fn deliver(&mut self, id: ProcessId, answered: Vec<Answered<u64>>) {
        let applied = self.revision_of(id);
        for Answered { ticket, answer } in answered {
            match answer {
                Answer::Durable { reply, effect: Effect::Granting, revision } => {
                    self.send(id, ticket, Ok((reply, revision.max(applied))));
                }
                Answer::Durable { reply, effect: Effect::Revoking, revision } => {
                    let process = self.process(id);
                    if let Some(caller) = process.callers.get_mut(&ticket) {
                        caller.reply = Some(reply);
                        process.acknowledgements.wait_for(ticket, revision);
                    }
                }
                Answer::Refused(refusal) => self.send(id, ticket, Err(refusal.into())),
                Answer::DrawAgain => self.send(id, ticket, Err(ChangeError::DrawAgain)),
            }
        }
        self.acknowledge(id);
    }

    fn send(&mut self, id: ProcessId, ticket: u64, answer: Result<(Reply, Revision), ChangeError>) {
        if let Some(caller) = self.process(id).callers.remove(&ticket) {
            self.step(id, "change is answered", move |w| (caller.then)(w, answer));
        }
    }

    /// Reads the member table, if any change waits for it; answers the changes that every member shows, and fences who
    /// kept one waiting for longer than a lease.
    pub(crate) fn acknowledge(&mut self, id: ProcessId) {
        let process = self.process(id);
        if process.acknowledgements.is_empty() {
            return;
        }
        let mark = process.acknowledgements.begin_read();
        self.read(
            id,
            true,
            "members",
            |store| store.members(),
            move |w, members| {
                let Some(members) = members else { return };
                let now_ms = w.boottime_ms(id.hsm);
                let own_id = w.hsms[id.hsm].record.id.clone();
                let forgets_to_fence = w.mutant == Some(Mutant::ForgetToFence);
                let process = w.process(id);
                let stands = |entry: &MemberEntry| !process.taken_for_gone.contains(&entry.incarnation);
                let entries: Vec<Entry> = members.into_iter().filter(stands).map(entry_of).collect();
                let own = entries.iter().find(|entry| entry.hsm_id == own_id).map(|entry| entry.incarnation);
                let seen = process.acknowledgements.read(mark, &entries, own, now_ms);
                let revision = process.view.state().revision();
                for ticket in seen.reached {
                    let reply = w.process(id).callers.get_mut(&ticket).and_then(|caller| caller.reply.take());
                    if let Some(reply) = reply {
                        w.send(id, ticket, Ok((reply, revision)));
                    }
                }
                for entry in seen.fence {
                    if forgets_to_fence {
                        w.process(id).taken_for_gone.insert(entry.incarnation);
                    } else {
                        w.fence(id, entry);
                    }
                }
            },
        );
    }

    fn fence(&mut self, id: ProcessId, entry: Entry) {
        let Entry { hsm_id, incarnation, applied, beat } = entry;
        self.trace("fences", || format!("{id:?}: {hsm_id}"));
        let entry = MemberEntry { hsm_id, incarnation, applied, beat, clock_ahead_ms: 0 };
        match self.shape.lease {
            LeaseKind::Timed => {
                self.read(id, true, "fence", move |store| store.remove(&entry), move |w, _| w.acknowledge(id))
            }
            LeaseKind::Held => self.step(id, "kill", move |w| {
                if let Some(holder) = w.store.holder(&entry).filter(|holder| holder.hsm != id.hsm) {
                    let pause = w.rng.u64(super::process::RESTART);
                    w.end_process(holder.hsm, pause);
                }
            }),
        }
    }
}

/// What becomes of a commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    NotWritten,
    UnknownWritten,
    UnknownNotWritten,
}

fn entry_of(MemberEntry { hsm_id, incarnation, applied, beat, .. }: MemberEntry) -> Entry {
    Entry { hsm_id, incarnation, applied, beat }
}

fn maybe_made() -> Refusal {
    Refusal::new(Status::StoreUnavailable, "the change may have been made: ask again with the same request id")
}

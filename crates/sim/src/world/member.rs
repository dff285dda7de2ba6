//! The member thread: joining, following the store, showing what was applied, renewing. The order of its steps is that of
//! `crates/hsm/src/cluster/member.rs`.

use strongroom_core::member::{LeaseKind, Step};
use strongroom_hsm::cluster::StateError;
use strongroom_hsm::cluster::sealing::anchor_of;
use strongroom_hsm::cluster::view::{Advance, View};
use strongroom_store::{Changes, StoreError};
use strongroom_types::{Refusal, Revision, Status};

use super::process::{ProcessId, Then};
use super::{MS, Owner, World};
use crate::Mutant;

const REST_MS_MAX: u64 = 500;
const CLOCK_JUMP_MS: u64 = 1_000;
const PAUSE: u64 = 100 * MS;

impl World {
    /// One step of the member thread.
    pub(crate) fn member_turn(&mut self, id: ProcessId) {
        let shown = self.clock_less_boottime(id.hsm);
        let now_ms = self.boottime_ms(id.hsm);
        let process = self.process(id);
        process.life.applied(process.view.state().revision());
        if process.life.has_served() && shown.abs_diff(process.clock_shown_ms) > CLOCK_JUMP_MS {
            process.life.renew_early();
        }
        let step = process.life.next(now_ms);
        self.set_serving(id);
        match step {
            Step::Join => self.join(id),
            Step::ReadNewest => self.read(
                id,
                false,
                "newest",
                |store| (store.moments, store.revision()),
                move |w, newest| {
                    if let Some((moment, newest)) = newest {
                        let process = w.process(id);
                        process.moment = moment;
                        process.life.newest(newest);
                    }
                    w.again(id, newest.is_some());
                },
            ),
            Step::CatchUp(_) => self.follow(
                id,
                Box::new(move |w, followed| {
                    if let Ok(applied) = followed {
                        w.process(id).life.applied(applied);
                    }
                    w.again(id, followed.is_ok());
                }),
            ),
            Step::Renew => self.renew(id),
            Step::Rest(ms) => self.rest(id, ms.min(REST_MS_MAX)),
        }
    }

    /// The next turn; after a failure not at once.
    fn again(&mut self, id: ProcessId, is_well: bool) {
        if is_well {
            self.step(id, "member turns", move |w| w.member_turn(id));
        } else {
            self.after(PAUSE, Owner::Process(id), "member turns after a failure", move |w| w.member_turn(id));
        }
    }

    fn clock_less_boottime(&self, hsm: usize) -> u64 {
        self.wall_ms(hsm).saturating_sub(self.boottime_ms(hsm))
    }

    fn set_serving(&mut self, id: ProcessId) {
        let now_ms = self.boottime_ms(id.hsm);
        let process = self.process(id);
        process.serving = process.life.serves(now_ms).map(|number| (number, process.life.until_ms()));
        if let Some((number, _)) = process.serving {
            process.last_life = Some(number);
        }
    }

    /// Whether this process may answer now, and in which life.
    pub(crate) fn serving(&mut self, id: ProcessId) -> Result<u64, Refusal> {
        let now_ms = self.boottime_ms(id.hsm);
        let process = self.process(id);
        let serving = process.serving.filter(|(_, until_ms)| until_ms.is_none_or(|until_ms| now_ms < until_ms));
        let life = serving.map(|(life, _)| life).or_else(|| self.serving_of_mutant(id));
        life.ok_or_else(|| Status::NotServing.into())
    }

    /// The life in which a member goes on that should have ended.
    fn serving_of_mutant(&mut self, id: ProcessId) -> Option<u64> {
        let now_ms = self.boottime_ms(id.hsm);
        let mutant = self.mutant;
        let process = self.process(id);
        let life = process.last_life?;
        match mutant {
            Some(Mutant::AnswerAfterExpiry) => Some(life),
            Some(Mutant::RenewExpired) => {
                let applied = process.view.state().revision();
                process.life.renewed(applied, now_ms);
                self.set_serving(id);
                self.show(id, applied, Box::new(|_, _| {}));
                Some(life)
            }
            _ => None,
        }
    }

    fn join(&mut self, id: ProcessId) {
        // An entry whose lease ran out may still stand.
        self.read(
            id,
            true,
            "leave",
            move |store| store.leave_entry(id),
            move |w, _| {
                w.anchored(id, Box::new(move |w, shown| w.join_with(id, shown)));
            },
        );
    }

    fn join_with(&mut self, id: ProcessId, shown: Revision) {
        let began_ms = self.boottime_ms(id.hsm);
        let clock = self.clock_less_boottime(id.hsm);
        self.process(id).clock_shown_ms = clock;
        let hsm = &self.hsms[id.hsm];
        let (hsm_id, ahead_ms) = (hsm.record.id.clone(), hsm.clocks.ahead_ms);
        self.read(
            id,
            true,
            "join",
            move |store| store.join(id, &hsm_id, shown, ahead_ms),
            move |w, joined| match joined {
                Some(Ok(())) => {
                    let process = w.process(id);
                    process.stale = None;
                    process.life.joined(began_ms);
                    w.again(id, true);
                }
                Some(Err(taken)) => {
                    w.wait_for_own_entry(id, taken.entry);
                    w.again(id, false);
                }
                None => w.again(id, false),
            },
        );
    }

    /// The entry of an earlier life is removed like any other: after it was seen unchanged for longer than a lease.
    fn wait_for_own_entry(&mut self, id: ProcessId, entry: strongroom_store::MemberEntry) {
        let (now_ms, patience_ms) = (self.boottime_ms(id.hsm), LeaseKind::Timed.patience_ms(self.shape.lease_ms));
        let process = self.process(id);
        match process.stale {
            Some((incarnation, beat, since_ms)) if (incarnation, beat) == (entry.incarnation, entry.beat) => {
                if now_ms.saturating_sub(since_ms) > patience_ms {
                    self.read(id, true, "remove", move |store| store.remove(&entry), |_, _| {});
                }
            }
            _ => process.stale = Some((entry.incarnation, entry.beat, now_ms)),
        }
    }

    /// Shows what was applied, the anchor first.
    fn renew(&mut self, id: ProcessId) {
        self.anchored(
            id,
            Box::new(move |w, shown| {
                let began_ms = w.boottime_ms(id.hsm);
                w.show(
                    id,
                    shown,
                    Box::new(move |w, renewed| {
                        let now_ms = w.boottime_ms(id.hsm);
                        let process = w.process(id);
                        match renewed {
                            Some(true) => process.life.renewed(shown, began_ms),
                            Some(false) => process.life.fenced(),
                            None => process.life.renew_failed(now_ms),
                        }
                        w.set_serving(id);
                        w.acknowledge(id);
                        w.again(id, renewed.is_some());
                    }),
                );
            }),
        );
    }

    /// Renews the entry; whether it was there, if the table could be asked.
    fn show(&mut self, id: ProcessId, shown: Revision, then: Then<Option<bool>>) {
        let clock = self.clock_less_boottime(id.hsm);
        self.process(id).clock_shown_ms = clock;
        let hsm = &self.hsms[id.hsm];
        let (hsm_id, ahead_ms) = (hsm.record.id.clone(), hsm.clocks.ahead_ms);
        let revives = self.mutant == Some(Mutant::RenewExpired);
        let renew = move |store: &mut super::Store| {
            let is_there = store.renew(id, &hsm_id, shown, ahead_ms);
            // As an upsert would.
            is_there || (revives && store.join(id, &hsm_id, shown, ahead_ms).is_ok())
        };
        self.read(id, true, "renew", renew, then);
    }

    /// The newest revision that may be shown: the one applied, once the anchor holds all that was taken away up to there.
    fn anchored(&mut self, id: ProcessId, then: Then<Revision>) {
        let process = self.process(id);
        let head = *process.view.head();
        if process.anchored >= process.view.must_anchor() {
            return then(self, head.revision);
        }
        self.write_anchor(id, anchor_of(&head), move |w, is_written| {
            let process = w.process(id);
            if is_written {
                process.anchored = process.anchored.max(head.revision);
            }
            let shown = if is_written { head.revision } else { process.anchored };
            then(w, shown);
        });
    }

    fn rest(&mut self, id: ProcessId, ms: u64) {
        let process = self.process(id);
        process.rests += 1;
        let (rest, moment) = (process.rests, process.moment);
        process.resting = Some((moment, rest));
        if self.store.moments != moment {
            return self.step(id, "member does not rest", move |w| w.member_woken(id, rest));
        }
        self.after(ms * MS, Owner::Process(id), "member has rested", move |w| w.member_woken(id, rest));
    }

    /// The wait is over: what changed is applied, and whoever waits for it answered.
    pub(crate) fn member_woken(&mut self, id: ProcessId, rest: u64) {
        let process = self.process(id);
        if process.resting.is_none_or(|(_, number)| number != rest) {
            return;
        }
        process.resting = None;
        self.read(
            id,
            false,
            "moment",
            |store| (store.moments, store.revision()),
            move |w, read| {
                let Some((moment, newest)) = read else { return w.again(id, false) };
                let process = w.process(id);
                process.moment = moment;
                if newest == process.view.state().revision() {
                    w.acknowledge(id);
                    return w.again(id, true);
                }
                w.follow(
                    id,
                    Box::new(move |w, followed| {
                        w.acknowledge(id);
                        w.again(id, followed.is_ok());
                    }),
                );
            },
        );
    }

    /// Applies the store's newest revision; the answer is what was applied then.
    pub(crate) fn follow(&mut self, id: ProcessId, then: Then<Result<Revision, Refusal>>) {
        if self.mutant == Some(Mutant::ApplyOutOfOrder) {
            return self.follow_unlocked(id, then);
        }
        self.with_view(
            id,
            Box::new(move |w, ()| {
                let seen = w.process(id).view.state().revision();
                w.read(
                    id,
                    false,
                    "changes",
                    move |store| store.changes_since(seen),
                    move |w, changes| match changes {
                        Some(Ok(Changes::TooOld)) => {
                            w.read(
                                id,
                                false,
                                "load",
                                |store| store.load(),
                                move |w, loaded| {
                                    let advance = loaded.map(|loaded| {
                                        let sealing = w.sealing.clone();
                                        w.process(id).view.leap(&sealing, &loaded).map(Some)
                                    });
                                    w.followed(id, advance, then);
                                },
                            );
                        }
                        Some(Ok(Changes::Since(delta))) => {
                            let sealing = w.sealing.clone();
                            let advance = w.process(id).view.step(&sealing, &delta);
                            w.followed(id, Some(advance), then);
                        }
                        Some(Err(error)) => w.followed(id, Some(Err(StateError::Store(error))), then),
                        None => w.followed(id, None, then),
                    },
                );
            }),
        );
    }

    fn followed(
        &mut self,
        id: ProcessId,
        advance: Option<Result<Option<Advance>, StateError>>,
        then: Then<Result<Revision, Refusal>>,
    ) {
        self.unlock_view(id);
        let outcome = match advance {
            None | Some(Err(StateError::Store(StoreError::Unavailable { .. }))) => Err(Status::StoreUnavailable.into()),
            Some(Err(error)) => {
                self.process(id).damaged = true;
                self.says_damaged(id, &error);
                Err(Status::StateDamaged.into())
            }
            Some(Ok(advance)) => {
                self.process(id).damaged = false;
                if advance.is_some() {
                    self.check_applied(id);
                }
                Ok(self.process(id).view.state().revision())
            }
        };
        then(self, outcome);
    }

    /// Of a mutant: what was read is applied to what was there when the reading began, whatever came in between.
    fn follow_unlocked(&mut self, id: ProcessId, then: Then<Result<Revision, Refusal>>) {
        let mut view: View = self.process(id).view.clone();
        let seen = view.state().revision();
        self.read(
            id,
            false,
            "changes",
            move |store| store.changes_since(seen),
            move |w, changes| {
                let outcome = match changes {
                    Some(Ok(Changes::Since(delta))) if view.step(&w.sealing, &delta).is_ok() => {
                        let revision = view.state().revision();
                        w.process(id).view = view;
                        Ok(revision)
                    }
                    _ => Err(Status::StoreUnavailable.into()),
                };
                then(w, outcome);
            },
        );
    }

    /// Takes the view's lock, as soon as it is free.
    pub(crate) fn with_view(&mut self, id: ProcessId, then: Then<()>) {
        let process = self.process(id);
        if process.view_is_locked {
            process.view_waiters.push(("view is free", Box::new(move |w| w.with_view(id, then))));
            return;
        }
        process.view_is_locked = true;
        then(self, ());
    }

    pub(crate) fn unlock_view(&mut self, id: ProcessId) {
        let process = self.process(id);
        process.view_is_locked = false;
        for (label, action) in std::mem::take(&mut process.view_waiters) {
            self.after(1, Owner::Process(id), label, action);
        }
    }
}

//! A request on a member: the order of its steps is that of `crates/hsm/src/service`.

use std::rc::Rc;

use strongroom_core::member::{Change, rests_on_absence};
use strongroom_core::{
    Actor, Checked, Command, Lock, Made, PasswordCheck, Reply, Request, State, authorize, check, find_keys, login_check,
};
use strongroom_hsm::cluster::ChangeError;
use strongroom_types::{
    AttributeName, AttributeValue, Filter, FilterTerm, KeyClass, Refusal, RequestId, Revision, Status,
};

use super::operations::{Answer, Ask, KEY_USE, Message, PasswordNumber, Response, ToMake, hash_of};
use super::process::{ProcessId, Then};
use super::{At, MS, Owner, World};
use crate::Mutant;

/// A request that an HSM works on.
#[derive(Clone, Copy)]
struct Working {
    id: ProcessId,
    client: usize,
    attempt: u64,
    /// The life in which it began.
    life: u64,
    deadline: At,
}

/// What is asked of a state, maybe twice.
type Question<T> = Rc<dyn Fn(&State) -> Result<T, Refusal>>;

type ThenResult<T> = Then<Result<T, Refusal>>;

impl World {
    /// A request arrives at a process.
    pub(crate) fn arrives(&mut self, id: ProcessId, message: Message) {
        let deadline = self.now + message.deadline_ms * MS;
        let (client, attempt) = (message.client, message.attempt);
        if self.hsms[id.hsm].process.is_none() {
            // Loading: nobody listens yet.
            return self.lost(client, attempt);
        }
        let life = match self.serving(id) {
            Ok(life) => life,
            Err(refusal) => return self.respond(id, client, attempt, Err(refusal)),
        };
        let work = Working { id, client, attempt, life, deadline };
        let seen = message.seen;
        if self.process(id).view.state().revision() >= seen {
            return self.operate(work, message.ask);
        }
        self.freshen(
            id,
            Box::new(move |w, outcome| {
                let refusal = match outcome {
                    Err(refusal) => refusal,
                    Ok(()) if w.process(id).view.state().revision() >= seen => return w.operate(work, message.ask),
                    Ok(()) => Refusal::new(Status::StoreUnavailable, "not in the store"),
                };
                w.respond(id, client, attempt, Err(refusal));
            }),
        );
    }

    fn state(&mut self, id: ProcessId) -> State {
        self.process(id).view.state().clone()
    }

    fn operate(&mut self, work: Working, ask: Ask) {
        let (id, now_ms) = (work.id, self.wall_ms(work.id.hsm));
        match ask {
            Ask::Use { actor, key } => {
                let authorized = move |state: &State| authorize(state, &actor, KEY_USE, key, now_ms).map(drop);
                self.fresh(
                    id,
                    Rc::new(authorized),
                    Box::new(move |w, permitted| {
                        w.step(id, "cryptography", move |w| w.finish_request(work, permitted.map(|()| Answer::Used)));
                    }),
                );
            }
            Ask::Find { actor } => self.freshen(
                id,
                Box::new(move |w, asked| {
                    // Without the store, what this member has.
                    let private =
                        FilterTerm::Attribute(AttributeName::Class, AttributeValue::Class(KeyClass::PrivateKey));
                    let found = find_keys(&w.state(id), &actor, &Filter(vec![private]), 0, 1_000, now_ms);
                    let found = found.map(|found| {
                        let references = found.keys.iter().map(|key| key.reference).collect();
                        Answer::Found(references, asked.is_ok())
                    });
                    w.step(id, "answer", move |w| w.finish_request(work, found));
                }),
            ),
            Ask::Login { name, role, password } => {
                let checked = Rc::new(move |state: &State| login_check(state, &name, role, now_ms));
                self.login(work, checked, password);
            }
            Ask::Change { actor, command, made, request } => {
                let then = Box::new(move |w: &mut World, replied: Result<Reply, Refusal>| {
                    let answer = replied.map(|reply| {
                        let renewed = match (&reply, &actor) {
                            (Reply::User { renewed: Some(credential), .. }, Actor::Login(login)) => {
                                Some(login.with_credential(*credential))
                            }
                            _ => None,
                        };
                        Answer::Changed(reply, renewed)
                    });
                    w.finish_request(work, answer);
                });
                self.decide(work, (actor, command, made, request), then);
            }
        }
    }

    fn login(&mut self, work: Working, checked: Question<PasswordCheck>, password: PasswordNumber) {
        let id = work.id;
        let first = Rc::clone(&checked);
        self.fresh(
            id,
            first,
            Box::new(move |w, found| {
                let found = match found {
                    Ok(found) => found,
                    Err(refusal) => return w.finish_request(work, Err(refusal)),
                };
                let hashing = w.rng.u64(1..30) * MS;
                w.after(hashing, Owner::Process(id), "password is hashed", move |w| {
                    let (user, credential) = (found.user, found.credential.id);
                    if found.credential.hash.expose() != hash_of(password) {
                        let failed = Command::LoginFailed { user, credential };
                        return w.own_change(
                            work,
                            failed,
                            Box::new(move |w, outcome| {
                                let refusal = outcome.err().unwrap_or_else(|| Status::LoginFailed.into());
                                w.finish_request(work, Err(refusal));
                            }),
                        );
                    }
                    w.fresh(id, checked, Box::new(move |w, again| w.logged_in(work, &found, again)));
                });
            }),
        );
    }

    /// The password may have been changed, or the user locked, while it was hashed.
    fn logged_in(&mut self, work: Working, first: &PasswordCheck, again: Result<PasswordCheck, Refusal>) {
        let id = work.id;
        let again = match again {
            Err(refusal) => return self.finish_request(work, Err(refusal)),
            Ok(again) if again.credential.hash != first.credential.hash => {
                return self.finish_request(work, Err(Status::LoginFailed.into()));
            }
            Ok(again) => again,
        };
        let state = self.state(id);
        let is_clean = state.user(again.user).is_some_and(|user| user.failures == 0 && user.lock == Lock::Open);
        let then = Box::new(move |w: &mut World, outcome: Result<(), Refusal>| {
            let now_ms = w.state(id).cluster_time(w.wall_ms(id.hsm));
            let login = again.login(w.login_id(), now_ms);
            w.finish_request(work, outcome.map(|()| Answer::LoggedIn(login)));
        });
        if is_clean {
            return then(self, Ok(()));
        }
        let (user, credential) = (first.user, first.credential.id);
        self.own_change(work, Command::LoginSucceeded { user, credential }, then);
    }

    /// A change: refused before anything is made, or made and committed.
    fn decide(
        &mut self,
        work: Working,
        (actor, command, what, request): (Actor, Command, ToMake, Request),
        then: ThenResult<Reply>,
    ) {
        let (id, now_ms) = (work.id, self.wall_ms(work.id.hsm));
        let asked = (actor, command.clone(), request.clone());
        let checked = move |state: &State| check(state, &asked.0, &asked.1, &asked.2, now_ms);
        self.fresh(
            id,
            Rc::new(checked),
            Box::new(move |w, checked| match checked {
                Err(refusal) => then(w, Err(refusal)),
                Ok(checked) => w.step(id, "making", move |w| {
                    let made = match checked {
                        Checked::Proceed => w.make(what),
                        Checked::Replayed(_) => Made::Nothing,
                    };
                    let change = Change { actor, command, made, request };
                    w.change(
                        id,
                        change,
                        work.deadline,
                        Box::new(move |w, changed| {
                            then(
                                w,
                                match changed {
                                    Ok((reply, _)) => Ok(reply),
                                    Err(ChangeError::Refused(refusal)) => Err(refusal),
                                    Err(ChangeError::DrawAgain) => Err(Status::Internal.into()),
                                },
                            );
                        }),
                    );
                }),
            }),
        );
    }

    /// A change by the HSM itself, under an id of its own.
    fn own_change(&mut self, work: Working, command: Command, then: ThenResult<()>) {
        let request = Request::new(RequestId::from_bytes(self.draw()), [0; 32]);
        let change = Change { actor: Actor::Hsm, command, made: Made::Nothing, request };
        self.change(
            work.id,
            change,
            work.deadline,
            Box::new(move |w, changed| {
                then(
                    w,
                    match changed {
                        Ok(_) => Ok(()),
                        Err(ChangeError::Refused(refusal)) => Err(refusal),
                        Err(ChangeError::DrawAgain) => Err(Status::Internal.into()),
                    },
                );
            }),
        );
    }

    /// Asks the state; when it refuses for something that is not there, once more after the store was asked.
    fn fresh<T: 'static>(&mut self, id: ProcessId, ask: Question<T>, then: ThenResult<T>) {
        let is_skipped = self.mutant == Some(Mutant::SkipCatchUpOnAbsence);
        match ask(&self.state(id)) {
            Err(refusal) if rests_on_absence(refusal.status) && !is_skipped => {
                self.freshen(
                    id,
                    Box::new(move |w, outcome| {
                        let asked = outcome.and_then(|()| ask(&w.state(id)));
                        then(w, asked);
                    }),
                );
            }
            outcome => then(self, outcome),
        }
    }

    /// Applies the newest revision that the store had when this was called, or a newer one.
    fn freshen(&mut self, id: ProcessId, then: ThenResult<()>) {
        self.read(
            id,
            false,
            "newest",
            |store| store.revision(),
            move |w, newest| match newest {
                None => then(w, Err(Status::StoreUnavailable.into())),
                Some(newest) if newest == w.process(id).view.state().revision() => then(w, Ok(())),
                Some(_) => w.follow(id, Box::new(move |w, followed| then(w, followed.map(drop)))),
            },
        );
    }

    /// Nobody is answered in another life than the one that began the answer.
    fn finish_request(&mut self, work: Working, result: Result<Answer, Refusal>) {
        let result = match self.serving(work.id) {
            Ok(life) if life == work.life => result,
            Ok(_) | Err(_) => Err(Refusal::new(Status::NotServing, "joined anew meanwhile")),
        };
        self.respond(work.id, work.client, work.attempt, result);
    }

    fn respond(&mut self, id: ProcessId, client: usize, attempt: u64, result: Result<Answer, Refusal>) {
        let revision = self.process(id).view.state().revision();
        self.trace("answer", || format!("{id:?} to client {client}: {result:?} at {revision}"));
        self.recorder.seen(format!("{result:?}").as_bytes());
        let response = Response { revision, result };
        if self.loses_message(client, id.hsm) {
            return;
        }
        let delay = self.message_way();
        self.after(delay, Owner::World, "answer arrives", move |w| w.answered(client, attempt, response));
    }

    pub(crate) fn message_way(&mut self) -> At {
        let usual = self.rng.u64(1..=self.shape.message_max);
        if self.rng.u32(0..200) == 0 { usual * 30 } else { usual }
    }

    pub(crate) fn loses_message(&mut self, client: usize, hsm: usize) -> bool {
        let loss = if self.is_quiet { 0 } else { self.shape.loss };
        self.chance(loss) || self.hsms[hsm].cut_off.contains(&client)
    }

    pub(crate) fn revision_of(&mut self, id: ProcessId) -> Revision {
        self.process(id).view.state().revision()
    }
}

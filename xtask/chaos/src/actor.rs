//! One client: what it asks, and what its answers tell.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use strongroom_sim::history::{Fact, Outcome, Register, Value, Write};
use strongroom_types::Status;

use crate::caller::{Ask, Caller, Failure, Reply};
use crate::crew::{Account, Crew, Person};
use crate::random::Random;
use crate::recorder::{Recorder, was, was_not, write};

/// What a refusal tells.
pub enum Told {
    /// One of these is so.
    AnyOf(Vec<Fact>),
    /// All of these are so, and that the login stands.
    All(Vec<Fact>),
    /// It acted, and something undid it since.
    Acted,
}

/// Refusals that an operation may have, and what they tell.
pub type Refusals = Vec<(Status, Told)>;

/// One client. Its operations come one after another.
pub struct Actor<'a> {
    pub recorder: &'a Recorder,
    pub crew: &'a Crew,
    pub random: Random,
    pub account: Option<Account>,
    /// Keys of this login alone.
    pub session_keys: Vec<u64>,
    client: u32,
    caller: Caller,
}

/// An operation as it is asked.
pub struct Asked<'o> {
    pub kind: &'static str,
    pub about: String,
    pub ask: Ask,
    pub writes: Vec<Write>,
    /// What success tells beside that the login stands.
    pub facts: &'o dyn Fn(&Reply) -> Vec<Fact>,
    pub refusals: Refusals,
}

/// Why an operation was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Not {
    /// It was refused.
    Refused(Option<Status>),
    /// It may have acted.
    Known,
}

impl<'a> Actor<'a> {
    pub fn new(recorder: &'a Recorder, crew: &'a Crew, random: Random, caller: Caller) -> Actor<'a> {
        Actor { recorder, crew, random, account: None, session_keys: Vec::new(), client: crew.number(), caller }
    }

    /// Asks, and writes down what came of it.
    pub fn carry_out(&mut self, asked: Asked<'_>) -> Result<Reply, Not> {
        let account = match asked.ask {
            Ask::Login { .. } | Ask::UserList => None,
            _ => self.account.clone(),
        };
        let by = self.account.as_ref().map_or(String::new(), |account| format!("by {}", account.person.name));
        let about = [asked.about.as_str(), by.as_str()].join(" ");
        let begun = self.recorder.begin(self.client, asked.kind, about.trim());
        let answer = self.caller.ask(&asked.ask);
        let stands = || account.as_ref().map(Account::stands).unwrap_or_default();
        let (outcome, result) = match answer {
            Ok(reply) => {
                let facts = [stands(), (asked.facts)(&reply)].concat();
                let created = match &reply {
                    Reply::Created(references) => references.last().copied(),
                    _ => None,
                };
                self.recorder.end(begun, asked.writes, Outcome::Done { facts }, created);
                return Ok(reply);
            }
            Err(Failure::Refused(number)) => {
                let status = Status::from_number(number.into());
                (self.refused(status, account.as_ref(), asked.refusals, asked.kind), Not::Refused(status))
            }
            Err(Failure::Lost(_)) => (Outcome::Unknown, Not::Known),
            Err(Failure::Broken(text)) => {
                self.recorder.problem(format!("{} {}: {text}", asked.kind, asked.about));
                (Outcome::Unknown, Not::Known)
            }
            Err(Failure::Unsent(_)) => {
                self.account = None;
                (Outcome::Refused { any_of: Vec::new() }, Not::Refused(None))
            }
        };
        // A refusal that tells something has changed nothing.
        let writes = if let Outcome::Done { .. } = outcome { Vec::new() } else { asked.writes };
        let result = if outcome == Outcome::Unknown { Not::Known } else { result };
        self.recorder.end(begun, writes, outcome, None);
        Err(result)
    }

    fn refused(&mut self, status: Option<Status>, account: Option<&Account>, told: Refusals, kind: &str) -> Outcome {
        let told = told.into_iter().find(|(refusal, _)| Some(*refusal) == status).map(|(_, told)| told);
        let stands = || account.map(Account::stands).unwrap_or_default();
        match (status, told) {
            (_, Some(Told::AnyOf(any_of))) => Outcome::Refused { any_of },
            (_, Some(Told::All(facts))) => Outcome::Done { facts: [stands(), facts].concat() },
            (_, Some(Told::Acted)) => Outcome::Unknown,
            (Some(Status::LoginEnded), None) => {
                self.account = None;
                Outcome::Refused { any_of: account.map(Account::has_ended).unwrap_or_default() }
            }
            (Some(Status::NotLoggedIn), None) => {
                self.account = None;
                Outcome::Refused { any_of: Vec::new() }
            }
            // As many as there may be.
            (Some(Status::KeysFull | Status::UsersFull), None) => Outcome::Refused { any_of: Vec::new() },
            (status, None) => {
                let text = status.map_or("an unknown status".to_owned(), |status| format!("{status:?}: {status}"));
                self.recorder.problem(format!("{kind} was refused in a way that cannot be right: {text}"));
                Outcome::Unknown
            }
        }
    }

    /// Logs in with a password that may be right.
    pub fn log_in(&mut self, person: &Arc<Person>) -> Result<(), Not> {
        let rests = person.likely_password(&mut self.random);
        self.log_in_with(person, rests)
    }

    /// Logs in with the password of this value.
    pub fn log_in_with(&mut self, person: &Arc<Person>, rests: Value) -> Result<(), Not> {
        let login = self.crew.number();
        self.account = None;
        self.session_keys.clear();
        self.carry_out(Asked {
            kind: "login",
            about: format!("{login} of {} with password {rests}", person.name),
            ask: Ask::Login { user: person.name.clone(), admin: person.admin, password: person.password(rests) },
            writes: vec![write(Register::Login(login), 1)],
            facts: &|_| password_is_right(person, rests),
            refusals: login_refusals(person, rests),
        })
        .inspect_err(|not| {
            if *not == Not::Refused(Some(Status::UserLocked)) {
                self.crew.needs_reset(person);
            }
        })?;
        self.account = Some(Account { person: Arc::clone(person), login, rests });
        Ok(())
    }

    /// Logs out.
    pub fn log_out(&mut self) {
        let Some(account) = self.account.clone() else { return };
        // The client takes a login that has ended already for success.
        let writes = vec![write(Register::Login(account.login), 0)];
        let begun =
            self.recorder.begin(self.client, "logout", &format!("{} by {}", account.login, account.person.name));
        let outcome = match self.caller.ask(&Ask::Logout) {
            Ok(_) => Outcome::Done { facts: Vec::new() },
            Err(Failure::Lost(_)) => Outcome::Unknown,
            Err(Failure::Unsent(_)) => Outcome::Refused { any_of: Vec::new() },
            Err(failure) => {
                self.recorder.problem(format!("logout: {failure:?}"));
                Outcome::Unknown
            }
        };
        self.recorder.end(begun, writes, outcome, None);
        self.account = None;
    }

    /// Sets a new password of one's own or, as an admin, of somebody. One's own login goes on and rests on it.
    pub fn change_password(&mut self, person: &Arc<Person>) -> Result<(), Not> {
        let value = person.new_password();
        if self.account.as_ref().is_some_and(|account| account.person.number == person.number) {
            // They rest on the password.
            self.session_keys.clear();
        }
        let done = self.carry_out(Asked {
            kind: "change password",
            about: format!("of {} to {value}", person.name),
            ask: Ask::ChangePassword {
                user: person.name.clone(),
                admin: person.admin,
                password: person.password(value),
            },
            writes: vec![write(Register::Password(person.number), value)],
            facts: &|_| vec![was(Register::User(person.number), 1)],
            refusals: vec![(Status::UserUnknown, Told::AnyOf(vec![was(Register::User(person.number), 0)]))],
        });
        match done {
            Ok(_) => {
                person.has_password(value);
                if let Some(account) = self.account.as_mut().filter(|account| account.person.number == person.number) {
                    account.rests = value;
                }
                Ok(())
            }
            Err(not) => {
                if not != Not::Known {
                    person.has_not_password(value);
                }
                Err(not)
            }
        }
    }

    /// Everybody: who is listed exists. A list may lack what is newest while the store cannot be reached, so that it is no
    /// proof of absence while there are faults.
    pub fn list_users(&mut self) {
        let people = self.crew.people();
        let facts = |reply: &Reply| {
            let Reply::Users(names) = reply else { return Vec::new() };
            let listed = people.iter().filter(|person| names.contains(&person.name));
            listed.map(|person| was(Register::User(person.number), 1)).collect()
        };
        let about = String::new();
        let (writes, refusals) = (Vec::new(), Vec::new());
        let _ =
            self.carry_out(Asked { kind: "list users", about, ask: Ask::UserList, writes, facts: &facts, refusals });
    }

    /// A pause between two operations.
    pub fn pause(&mut self) {
        let pause = self.random.millis(2, 20);
        std::thread::sleep(pause);
    }

    /// Marks a user as deleted.
    pub fn is_gone(&self, person: &Person) {
        person.is_gone.store(true, Ordering::Relaxed);
    }
}

/// What a login tells.
pub fn password_is_right(person: &Person, value: Value) -> Vec<Fact> {
    vec![was(Register::User(person.number), 1), was(Register::Password(person.number), value)]
}

/// What it tells when it is refused. That a user is locked tells nothing of the password.
pub fn login_refusals(person: &Person, value: Value) -> Refusals {
    let wrong = vec![was(Register::User(person.number), 0), was_not(Register::Password(person.number), value)];
    vec![(Status::LoginFailed, Told::AnyOf(wrong)), (Status::UserLocked, Told::AnyOf(Vec::new()))]
}

//! Whoever keeps a ticket and tries it on one HSM: logins that were ended elsewhere, keys that were taken back elsewhere.
//!
//! Clients leave a silent HSM for another one and forget a login that has ended. A prober does neither: it waits for the HSM
//! that it was made for, also while that is stopped, and shows each ticket on each HSM.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use strongroom_sim::history::{Fact, Outcome, Register, Write};
use strongroom_tests::Hand;
use strongroom_types::Status;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::actor::{Told, login_refusals, password_is_right};
use crate::caller::{DIGEST, Failure};
use crate::crew::{Account, Crew, Key, Person};
use crate::random::Random;
use crate::recorder::{Begun, Recorder, write};

/// Longer than a member may be silent before it has lost its lease: what a stopped HSM answers when it goes on is seen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const AGAIN: Duration = Duration::from_millis(50);
/// Tickets that are shown, of logins that stand or have ended.
const TICKETS: usize = 24;

/// Tickets of watchers that others may log out.
const WATCHED: usize = 48;
/// Between two looks of a watcher.
const LOOK: Duration = Duration::from_millis(20);
/// How often a ticket is shown after it was refused for the first time.
const REFUSALS: u32 = 12;

/// A login, and what any HSM takes for it.
pub struct Ticket {
    account: Account,
    bytes: Vec<u8>,
    refusals: AtomicU32,
    /// Logged out, and that was acknowledged.
    is_over: AtomicBool,
}

/// Tickets of all probers.
#[derive(Default)]
pub struct Tickets {
    shown: Mutex<VecDeque<Arc<Ticket>>>,
    /// Those of watchers, for others to log out.
    watched: Mutex<Vec<Arc<Ticket>>>,
}

/// Shows tickets to one HSM.
pub struct Prober<'a> {
    pub recorder: &'a Recorder,
    pub crew: &'a Crew,
    pub tickets: &'a Tickets,
    pub ip: String,
    pub customer_ca: &'a Path,
    pub random: Random,
    client: u32,
    hand: Option<Hand>,
    /// The login that the connection is attached to.
    attached: Option<Arc<Ticket>>,
    seen: u64,
}

/// What a request came to.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and lives on the stack")]
enum Came {
    Answer(Answer),
    Refused(Status),
    Nothing,
}

impl<'a> Prober<'a> {
    pub fn new(
        (recorder, crew, tickets): (&'a Recorder, &'a Crew, &'a Tickets),
        ip: String,
        customer_ca: &'a Path,
        random: Random,
    ) -> Prober<'a> {
        let (client, hand, attached, seen) = (crew.number(), None, None, 0);
        Prober { recorder, crew, tickets, ip, customer_ca, random, client, hand, attached, seen }
    }

    /// Tries one thing after another until told to stop.
    pub fn work(&mut self) {
        while !self.crew.stops() {
            if self.hand.is_none() && !self.connect() {
                std::thread::sleep(AGAIN);
                continue;
            }
            let ticket = self.tickets.one(&mut self.random);
            match (self.random.below(100), ticket) {
                (0..3, _) | (_, None) => self.log_in(),
                (3..6, Some(ticket)) => {
                    let ticket = self.tickets.one_watched(&mut self.random).unwrap_or(ticket);
                    self.log_out(&ticket);
                }
                (6..40, Some(ticket)) => self.sign(&ticket),
                (_, Some(other)) => {
                    // Mostly on the same login: attaching costs a request of its own.
                    let ticket = self.attached.clone().unwrap_or(other);
                    self.sign(&ticket);
                }
            }
            let pause = self.random.millis(1, 12);
            std::thread::sleep(pause);
        }
    }

    /// Watches over this user's rights until told to stop: whenever one was taken away somewhere and that was acknowledged, asks
    /// for it at once, also an HSM that is stopped at this moment. In between it rests, so that the connection is free then.
    pub fn watch(&mut self, person: &Arc<Person>) {
        let mut tried = None;
        let mut due = Instant::now();
        while !self.crew.stops() {
            std::thread::sleep(LOOK);
            if self.hand.is_none() && !self.connect() {
                continue;
            }
            let Some(ticket) = self.attached.clone() else {
                if self.log_in_as(person, person.newest_password()) {
                    self.tickets.watch(self.attached.clone());
                }
                continue;
            };
            let revoked = self.crew.last_revoked(person).filter(|key| tried != Some(key.number));
            let is_over = ticket.is_over.load(Ordering::Relaxed);
            if let Some(key) = &revoked {
                tried = Some(key.number);
                self.sign_with(&ticket.account, key);
            } else if is_over || Instant::now() >= due {
                due = Instant::now() + self.random.millis(500, 7_000);
                self.sign(&ticket);
            }
            if is_over {
                self.attached = None;
            }
        }
    }

    /// Connects anew.
    pub fn connect(&mut self) -> bool {
        self.attached = None;
        self.hand = Hand::connect(&self.ip, self.customer_ca, PATIENCE).ok();
        if let Some(hand) = &mut self.hand {
            hand.seen = self.seen;
        }
        self.hand.is_some()
    }

    fn begin(&self, kind: &'static str, about: &str) -> Begun {
        self.recorder.begin(self.client, kind, &format!("{about} on {}", self.ip))
    }

    fn ask(&mut self, operation: Operation) -> Came {
        let Some(hand) = &mut self.hand else { return Came::Nothing };
        let answer = hand.request(operation);
        self.seen = self.seen.max(hand.seen);
        match answer {
            Ok(Ok(answer)) => Came::Answer(answer),
            Ok(Err(refusal)) => match Failure::of(refusal.status, &refusal.about) {
                Failure::Refused(_) => Came::Refused(refusal.status),
                Failure::Broken(text) => {
                    self.recorder.problem(format!("the HSM at {}: {text}", self.ip));
                    Came::Nothing
                }
                Failure::Lost(_) | Failure::Unsent(_) => Came::Nothing,
            },
            Err(_) => {
                (self.hand, self.attached) = (None, None);
                Came::Nothing
            }
        }
    }

    /// Writes down how it ended; whether it was done.
    fn end(
        &mut self,
        begun: Begun,
        came: &Came,
        writes: Vec<Write>,
        facts: Vec<Fact>,
        told: Vec<(Status, Told)>,
    ) -> bool {
        let outcome = match came {
            Came::Answer(_) => Outcome::Done { facts },
            Came::Nothing => Outcome::Unknown,
            Came::Refused(status) => {
                if matches!(status, Status::LoginEnded | Status::NotLoggedIn) {
                    self.attached = None;
                }
                match told.into_iter().find(|(refusal, _)| refusal == status) {
                    Some((_, Told::AnyOf(any_of))) => Outcome::Refused { any_of },
                    Some((_, Told::All(_) | Told::Acted)) | None => {
                        self.recorder.problem(format!("the HSM at {} refused as {status:?}", self.ip));
                        Outcome::Refused { any_of: Vec::new() }
                    }
                }
            }
        };
        let done = matches!(outcome, Outcome::Done { .. });
        self.recorder.end(begun, writes, outcome, None);
        done
    }

    fn log_in(&mut self) {
        // Some are tried who are gone.
        let gone_too = self.random.chance(5);
        let fits = |person: &Person| !person.admin && (gone_too || !person.is(&person.is_gone));
        let Some(person) = self.crew.person(&mut self.random, fits) else { return };
        let rests = person.likely_password(&mut self.random);
        if self.log_in_as(&person, rests) {
            self.attached.clone().into_iter().for_each(|ticket| self.tickets.add(ticket));
        }
    }

    /// Logs in with the password of this value; whether that was right.
    pub fn log_in_as(&mut self, person: &Arc<Person>, rests: u64) -> bool {
        let login = self.crew.number();
        let begun = self.begin("login", &format!("{login} of {} with password {rests}", person.name));
        let password = person.password(rests).into();
        let role = if person.admin { v1::Role::Admin } else { v1::Role::CryptoUser };
        let message = v1::Login { user_name: person.name.clone(), role: role.into(), password, ..v1::Login::default() };
        let came = self.ask(Operation::Login(message));
        if matches!(came, Came::Refused(Status::UserLocked)) {
            self.crew.needs_reset(person);
        }
        let (facts, told) = (password_is_right(person, rests), login_refusals(person, rests));
        if !self.end(begun, &came, vec![write(Register::Login(login), 1)], facts, told) {
            return false;
        }
        let Came::Answer(Answer::Login(result)) = came else { return false };
        let account = Account { person: Arc::clone(person), login, rests };
        let refusals = AtomicU32::new(0);
        let ticket = Arc::new(Ticket { account, bytes: result.ticket, refusals, is_over: AtomicBool::new(false) });
        self.attached = Some(ticket);
        true
    }

    /// Shows the ticket; whether it was taken.
    fn attach(&mut self, ticket: &Arc<Ticket>) -> bool {
        if self.attached.as_ref().is_some_and(|attached| Arc::ptr_eq(attached, ticket)) {
            return true;
        }
        let account = &ticket.account;
        let begun = self.begin("attach", &format!("to login {} of {}", account.login, account.person.name));
        let came = self.ask(Operation::Attach(v1::Attach { ticket: ticket.bytes.clone() }));
        let told = vec![(Status::LoginEnded, Told::AnyOf(account.has_ended()))];
        let done = self.end(begun, &came, Vec::new(), account.stands(), told);
        if done {
            self.attached = Some(Arc::clone(ticket));
        } else if matches!(came, Came::Refused(_)) && ticket.refusals.fetch_add(1, Ordering::Relaxed) >= REFUSALS {
            self.tickets.remove(ticket);
        }
        done
    }

    fn log_out(&mut self, ticket: &Arc<Ticket>) {
        if !self.attach(ticket) {
            return;
        }
        let account = &ticket.account;
        let begun = self.begin("logout", &format!("{} of {}", account.login, account.person.name));
        let came = self.ask(Operation::Logout(v1::Logout {}));
        let told = vec![
            (Status::LoginEnded, Told::AnyOf(account.has_ended())),
            (Status::NotLoggedIn, Told::AnyOf(account.has_ended())),
        ];
        if self.end(begun, &came, vec![write(Register::Login(account.login), 0)], account.stands(), told) {
            ticket.is_over.store(true, Ordering::Relaxed);
        }
        self.attached = None;
    }

    fn sign(&mut self, ticket: &Arc<Ticket>) {
        if !self.attach(ticket) {
            return;
        }
        let account = &ticket.account;
        let key = self.crew.key_to_try(&account.person, &mut self.random);
        if let Some(key) = key {
            self.sign_with(account, &key);
        }
    }

    /// Signs as whoever is logged in, with each of these keys.
    pub fn sign_with_each(&mut self, keys: &[Arc<Key>]) {
        for key in keys {
            let Some(ticket) = self.attached.clone() else { return };
            self.sign_with(&ticket.account, key);
        }
    }

    fn sign_with(&mut self, account: &Account, key: &Key) {
        let begun = self.begin("sign", &format!("with key {} by {}", key.number, account.person.name));
        let mechanism = v1::Mechanism::Ecdsa.into();
        let message = v1::Sign { key: key.reference, mechanism, data: DIGEST.to_vec(), ..v1::Sign::default() };
        let came = self.ask(Operation::Sign(message));
        let facts = [account.stands(), key.usable(&account.person)].concat();
        let told = vec![
            (Status::KeyUnknown, Told::AnyOf(key.unusable(&account.person))),
            (Status::LoginEnded, Told::AnyOf(account.has_ended())),
            (Status::NotLoggedIn, Told::AnyOf(Vec::new())),
        ];
        self.end(begun, &came, Vec::new(), facts, told);
    }

    /// Everything that this HSM lists to whoever it is attached to, and all users.
    pub fn lists(&mut self) -> Option<(Vec<v1::User>, Vec<v1::Key>)> {
        let Came::Answer(Answer::UserList(users)) = self.ask(Operation::UserList(v1::UserList {})) else { return None };
        let mut keys: Vec<v1::Key> = Vec::new();
        loop {
            let offset = u32::try_from(keys.len()).ok()?;
            let find = v1::KeyFind { offset, limit: 1_000, ..v1::KeyFind::default() };
            let Came::Answer(Answer::KeyFind(found)) = self.ask(Operation::KeyFind(find)) else { return None };
            if found.keys.is_empty() {
                return Some((users.users, keys));
            }
            keys.extend(found.keys);
        }
    }

    /// What a list tells that was asked for from then on.
    pub fn listed(&self, begun: Begun, facts: Vec<Fact>) {
        self.recorder.end(begun, Vec::new(), Outcome::Done { facts }, None);
    }

    /// Before [`Prober::lists`].
    pub fn begin_lists(&self) -> Begun {
        self.begin("list", "users and keys")
    }
}

impl Tickets {
    fn add(&self, ticket: Arc<Ticket>) {
        let mut tickets = self.shown.lock().expect("whole");
        tickets.push_back(ticket);
        if tickets.len() > TICKETS {
            tickets.pop_front();
        }
    }

    /// A watcher's, in place of those that are over.
    fn watch(&self, ticket: Option<Arc<Ticket>>) {
        let mut watched = self.watched.lock().expect("whole");
        watched.retain(|other| !other.is_over.load(Ordering::Relaxed));
        watched.extend(ticket);
        // Those whose logins ended otherwise.
        let extra = watched.len().saturating_sub(WATCHED);
        watched.drain(..extra);
    }

    fn one_watched(&self, random: &mut Random) -> Option<Arc<Ticket>> {
        let watched = self.watched.lock().expect("whole");
        random.one_of(&watched).filter(|_| random.chance(70)).cloned()
    }

    fn remove(&self, ticket: &Arc<Ticket>) {
        self.shown.lock().expect("whole").retain(|other| !Arc::ptr_eq(other, ticket));
    }

    fn one(&self, random: &mut Random) -> Option<Arc<Ticket>> {
        let tickets = self.shown.lock().expect("whole");
        if tickets.is_empty() { None } else { tickets.get(random.below(tickets.len())).cloned() }
    }
}

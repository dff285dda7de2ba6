//! What clients know, what they were told, and the history that it makes.

use std::collections::BTreeSet;

use strongroom_core::Reply;
use strongroom_types::{Family, KeyReference, Status};

use super::client::{CallEnd, OwnLogin};
use super::operations::{Answer, Ask, PasswordNumber};
use super::store::Records;
use super::{At, World};
use crate::history::{Fact, History, Operation, Outcome, Register, Value, Write};

/// The admin's number.
pub(crate) const ADMIN: u32 = 0;
/// The client that stands for what was there in the beginning, and for what is found in the end.
const NOBODY: u32 = u32::MAX;

/// What a client asked, in the recorder's numbers.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Use { by: OwnLogin, key: u32 },
    Find { by: OwnLogin, known: usize },
    Login { password: PasswordNumber },
    Logout { by: OwnLogin },
    CreateKey { by: OwnLogin, label: u64 },
    DeleteKey { by: OwnLogin, key: u32 },
    Share { by: OwnLogin, key: u32, with: u32, on: bool },
    SetLabel { by: OwnLogin, key: u32, label: u64 },
    CreateUser { by: OwnLogin, user: u32 },
    DeleteUser { by: OwnLogin, user: u32 },
    ChangePassword { by: OwnLogin, password: PasswordNumber },
}

/// A key that clients have heard of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownKey {
    pub(crate) reference: KeyReference,
    pub(crate) owner: u32,
    /// Whether somebody has asked for its deletion.
    pub(crate) is_doomed: bool,
}

/// A crypto user, or the admin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownUser {
    /// The newest password that was acknowledged.
    pub(crate) password: u64,
    /// Passwords are numbered from 0, in the order in which they were asked for.
    pub(crate) passwords: u64,
    pub(crate) is_doomed: bool,
}

struct KnownLogin {
    user: u32,
    password: u64,
    asked: At,
}

/// A change of a password, whose effect on logins is known in the end.
struct NewPassword {
    operation: usize,
    password: PasswordNumber,
    own: Option<u32>,
}

#[derive(Default)]
pub(crate) struct Recorder {
    operations: Vec<Operation>,
    pub(crate) keys: Vec<KnownKey>,
    pub(crate) users: Vec<KnownUser>,
    logins: Vec<KnownLogin>,
    passwords: Vec<NewPassword>,
    pub(crate) labels: u64,
    /// Keys that were taken away from their owners or from others, and that was acknowledged, one after the other.
    pub(crate) taken_away: Vec<(u32, u32)>,
    /// What the disk was at moments of the past.
    pub(crate) snapshots: Vec<Records>,
    secrets: BTreeSet<[u8; 8]>,
    seen: Vec<u8>,
}

fn fact(register: Register, value: Value) -> Fact {
    Fact { register, value, holds: true }
}

fn write(register: Register, value: Value) -> Write {
    Write { register, value }
}

fn may_use(key: u32, user: u32) -> Register {
    Register::MayUse { key, user }
}

/// What must be so for a login to be used.
fn stands(by: OwnLogin) -> [Fact; 2] {
    [fact(Register::Login(by.number), 1), fact(Register::User(by.user), 1)]
}

impl Asked {
    fn by(&self) -> Option<OwnLogin> {
        match *self {
            Asked::Login { .. } => None,
            Asked::Use { by, .. }
            | Asked::Find { by, .. }
            | Asked::Logout { by }
            | Asked::CreateKey { by, .. }
            | Asked::DeleteKey { by, .. }
            | Asked::Share { by, .. }
            | Asked::SetLabel { by, .. }
            | Asked::CreateUser { by, .. }
            | Asked::DeleteUser { by, .. }
            | Asked::ChangePassword { by, .. } => Some(by),
        }
    }

    fn is_change(&self) -> bool {
        !matches!(self, Asked::Use { .. } | Asked::Find { .. } | Asked::Login { .. })
    }

    /// What was so if it was done, without what holds for every login that asks.
    fn facts(&self) -> Vec<Fact> {
        match *self {
            Asked::Use { by, key } => vec![fact(Register::Key(key), 1), fact(may_use(key, by.user), 1)],
            Asked::Login { password } => {
                vec![fact(Register::Password(password.user), password.number), fact(Register::User(password.user), 1)]
            }
            Asked::DeleteKey { key, .. } | Asked::SetLabel { key, .. } => vec![fact(Register::Key(key), 1)],
            Asked::Share { key, with, .. } => vec![fact(Register::Key(key), 1), fact(Register::User(with), 1)],
            Asked::DeleteUser { user, .. } => vec![fact(Register::User(user), 1)],
            Asked::ChangePassword { password, .. } => vec![fact(Register::User(password.user), 1)],
            Asked::Find { .. } | Asked::Logout { .. } | Asked::CreateKey { .. } | Asked::CreateUser { .. } => {
                Vec::new()
            }
        }
    }

    /// What can have been the reason of a refusal; empty where it tells nothing.
    fn reasons(&self, status: Status) -> Vec<Fact> {
        match (self, status) {
            (Asked::Login { password }, Status::LoginFailed) => {
                let other = Fact { register: Register::Password(password.user), value: password.number, holds: false };
                vec![other, fact(Register::User(password.user), 0)]
            }
            (_, Status::LoginEnded | Status::NotLoggedIn) => match self.by() {
                Some(by) => vec![fact(Register::Login(by.number), 0), fact(Register::User(by.user), 0)],
                None => Vec::new(),
            },
            (
                Asked::Use { by, key }
                | Asked::DeleteKey { by, key }
                | Asked::Share { by, key, .. }
                | Asked::SetLabel { by, key, .. },
                Status::KeyUnknown,
            ) => vec![fact(Register::Key(*key), 0), fact(may_use(*key, by.user), 0)],
            (Asked::Share { with, .. }, Status::UserUnknown) => vec![fact(Register::User(*with), 0)],
            (Asked::DeleteUser { user, .. }, Status::UserUnknown) => vec![fact(Register::User(*user), 0)],
            (Asked::ChangePassword { password, .. }, Status::UserUnknown) => {
                vec![fact(Register::User(password.user), 0)]
            }
            (Asked::CreateUser { user, .. }, Status::UserExists) => vec![fact(Register::User(*user), 1)],
            _ => Vec::new(),
        }
    }
}

impl Recorder {
    /// Bytes that must not be seen in the clear.
    pub(crate) fn secret(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8) {
            self.secrets.insert(chunk.try_into().expect("eight bytes"));
        }
    }

    /// Bytes that somebody without the cluster key can see.
    pub(crate) fn seen(&mut self, bytes: &[u8]) {
        self.seen.extend_from_slice(bytes);
    }

    /// A secret that can be seen.
    pub(crate) fn leaked(&self) -> Option<[u8; 8]> {
        let mut is_first = [false; 1 << 16];
        let first = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
        for secret in &self.secrets {
            is_first[first(secret)] = true;
        }
        let windows = self.seen.windows(8).filter(|window| is_first[first(window)]);
        windows.filter_map(|window| window.try_into().ok()).find(|window: &[u8; 8]| self.secrets.contains(window))
    }

    pub(crate) fn begin(&mut self, writes: Vec<Write>) {
        let what = String::from("the beginning");
        let outcome = Outcome::Done { facts: Vec::new() };
        self.operations.push(Operation { client: NOBODY, what, invoked: 0, ended: 0, writes, outcome, created: None });
    }

    /// What somebody found who looked everywhere at once.
    pub(crate) fn found(&mut self, who: usize, at: At, facts: Vec<Fact>) {
        let client = NOBODY - 1 - u32::try_from(who).expect("few HSMs");
        let what = format!("a look into HSM {who}");
        let outcome = Outcome::Done { facts };
        self.operations.push(Operation {
            client,
            what,
            invoked: at,
            ended: at,
            writes: Vec::new(),
            outcome,
            created: None,
        });
    }

    fn new_key(&mut self, reference: KeyReference, owner: u32) -> u32 {
        self.keys.push(KnownKey { reference, owner, is_doomed: false });
        u32::try_from(self.keys.len() - 1).expect("few keys")
    }

    /// The history, once everybody has what they asked for.
    pub(crate) fn history(&mut self) -> History {
        for NewPassword { operation, password, own } in std::mem::take(&mut self.passwords) {
            let change = &mut self.operations[operation];
            let ended = change.ended;
            let ends = |(number, login): &(usize, &KnownLogin)| {
                let is_own = own.is_some_and(|own| usize::try_from(own) == Ok(*number));
                login.user == password.user && login.password != password.number && login.asked <= ended && !is_own
            };
            let ended_logins = self.logins.iter().enumerate().filter(ends);
            change.writes.extend(
                ended_logins.map(|(number, _)| write(Register::Login(u32::try_from(number).expect("few logins")), 0)),
            );
        }
        let mut history = History::default();
        for operation in std::mem::take(&mut self.operations) {
            history.push(operation);
        }
        history
    }
}

impl World {
    /// An operation of a client has ended: what it learnt, and what the history says of it.
    pub(crate) fn ended(
        &mut self,
        client: usize,
        asked: Asked,
        ask: Ask,
        (invoked, patience, tries): (At, At, u32),
        outcome: CallEnd,
    ) {
        let ended = self.now;
        self.trace("ended", || match &outcome {
            CallEnd::Answered(answer) => format!("client {client}: {asked:?}: {answer:?}"),
            CallEnd::Refused(refusal) => format!("client {client}: {asked:?}: {refusal}"),
            CallEnd::GivenUp => format!("client {client}: {asked:?}: given up"),
        });
        self.check_answered(&asked, &ask, (invoked, patience), &outcome);
        let mut created = None;
        let mut writes = self.learn(client, &asked, invoked, &outcome, &mut created);
        let facts = || {
            let login = asked.by().map(stands);
            login.into_iter().flatten().chain(asked.facts()).collect::<Vec<Fact>>()
        };
        let told = match &outcome {
            CallEnd::Answered(Answer::Found(found, is_fresh)) => {
                self.record_found(client, &asked, (invoked, ended), (found, *is_fresh));
                Outcome::Done { facts: facts() }
            }
            CallEnd::Answered(_) => Outcome::Done { facts: facts() },
            CallEnd::GivenUp => Outcome::Unknown,
            CallEnd::Refused(refusal) => {
                let is_ended = matches!(refusal.status, Status::LoginEnded | Status::NotLoggedIn);
                // An earlier try may have been made, and then somebody ended the login.
                let maybe_made = asked.is_change() && tries > 1 && is_ended;
                if maybe_made || refusal.status.family() != Family::Refused {
                    Outcome::Unknown
                } else {
                    writes.clear();
                    Outcome::Refused { any_of: asked.reasons(refusal.status) }
                }
            }
        };
        if let (Asked::ChangePassword { by, password }, Outcome::Done { .. } | Outcome::Unknown) = (&asked, &told) {
            let own = (by.user == password.user).then_some(by.number);
            let operation = self.recorder.operations.len();
            self.recorder.passwords.push(NewPassword { operation, password: *password, own });
        }
        let ended = if told == Outcome::Unknown { At::MAX } else { ended };
        let what = format!("{asked:?}");
        let client = u32::try_from(client).expect("few clients");
        self.recorder.operations.push(Operation { client, what, invoked, ended, writes, outcome: told, created });
    }

    /// What the client knows from now on; the answer is what the operation wrote, if it acted.
    fn learn(
        &mut self,
        client: usize,
        asked: &Asked,
        invoked: At,
        outcome: &CallEnd,
        created: &mut Option<u64>,
    ) -> Vec<Write> {
        let is_done = matches!(outcome, CallEnd::Answered(_));
        let recorder = &mut self.recorder;
        match (asked, outcome) {
            (Asked::Login { password }, CallEnd::Answered(Answer::LoggedIn(actor))) => {
                let number = u32::try_from(recorder.logins.len()).expect("few logins");
                recorder.logins.push(KnownLogin { user: password.user, password: password.number, asked: invoked });
                self.clients[client].login = Some(OwnLogin { number, user: password.user, actor: *actor });
                vec![write(Register::Login(number), 1)]
            }
            (Asked::CreateKey { by, label }, CallEnd::Answered(Answer::Changed(Reply::Pair { private, .. }, _))) => {
                let key = recorder.new_key(private.reference, by.user);
                *created = Some(private.reference.as_u64());
                vec![write(Register::Key(key), 1), write(may_use(key, by.user), 1), write(Register::Label(key), *label)]
            }
            (Asked::DeleteKey { key, .. }, _) => {
                let owner = recorder.keys[usize::try_from(*key).expect("a key")].owner;
                recorder.taken_away.extend(is_done.then_some((*key, owner)));
                vec![write(Register::Key(*key), 0)]
            }
            (Asked::Share { key, with, on, .. }, _) => {
                recorder.taken_away.extend((is_done && !on).then_some((*key, *with)));
                vec![write(may_use(*key, *with), Value::from(*on))]
            }
            (Asked::SetLabel { key, label, .. }, _) => vec![write(Register::Label(*key), *label)],
            (Asked::CreateUser { user, .. }, _) => vec![write(Register::User(*user), 1)],
            (Asked::DeleteUser { user, .. }, _) => vec![write(Register::User(*user), 0)],
            (Asked::Logout { by }, _) => {
                self.clients[client].login = None;
                vec![write(Register::Login(by.number), 0)]
            }
            (Asked::ChangePassword { by, password }, outcome) => {
                let user = &mut recorder.users[usize::try_from(password.user).expect("a user")];
                if is_done {
                    user.password = password.number;
                }
                if by.user == password.user {
                    let renewed = match outcome {
                        CallEnd::Answered(Answer::Changed(_, renewed)) => *renewed,
                        _ => None,
                    };
                    // Without the ticket that goes on, the client logs in anew.
                    self.clients[client].login = renewed.map(|actor| OwnLogin { actor, ..*by });
                }
                vec![write(Register::Password(password.user), password.number)]
            }
            (_, CallEnd::Refused(refusal)) if matches!(refusal.status, Status::LoginEnded | Status::NotLoggedIn) => {
                self.clients[client].login = None;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Each key that was known before a search is in what it found, or not.
    fn record_found(
        &mut self,
        client: usize,
        asked: &Asked,
        (invoked, ended): (At, At),
        (found, is_fresh): (&[KeyReference], bool),
    ) {
        let Asked::Find { by, known } = asked else { return };
        let client = u32::try_from(client).expect("few clients");
        let recorder = &mut self.recorder;
        for (number, key) in recorder.keys.iter().enumerate().take(*known).rev().take(12) {
            let number = u32::try_from(number).expect("few keys");
            let (key_fact, use_fact) =
                (|value| fact(Register::Key(number), value), |value| fact(may_use(number, by.user), value));
            let is_found = found.contains(&key.reference);
            if !is_found && !is_fresh {
                // Without the store, lists may lack what is newest.
                continue;
            }
            let outcome = match is_found {
                true => Outcome::Done { facts: vec![key_fact(1), use_fact(1)] },
                false => Outcome::Refused { any_of: vec![key_fact(0), use_fact(0)] },
            };
            let what =
                format!("user {} {} key {number} in a search", by.user, if is_found { "sees" } else { "misses" });
            recorder.operations.push(Operation {
                client,
                what,
                invoked,
                ended,
                writes: Vec::new(),
                outcome,
                created: None,
            });
        }
    }
}

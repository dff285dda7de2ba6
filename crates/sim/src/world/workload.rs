//! What clients do.

use strongroom_core::{Actor, Command};
use strongroom_types::{AttributeName, KeyReference, Role, UserName};

use super::World;
use super::client::OwnLogin;
use super::operations::{Ask, PasswordNumber, ToMake, generate_pair, label, user_name};
use super::recorder::{ADMIN, Asked, KnownUser};
use crate::Mutant;

/// Users are made up to so many.
const USERS_MAX: usize = 10;
/// Keys that clients know, beyond which they rather delete.
const KEYS_MANY: usize = 25;

fn role_of(user: u32) -> Role {
    if user == ADMIN { Role::Admin } else { Role::CryptoUser }
}

fn name_of(user: u32) -> UserName {
    if user == ADMIN { "admin".parse().expect("a name") } else { user_name(user) }
}

impl World {
    /// The client's next operation, if there is still anything to do.
    pub(crate) fn next_operation(&mut self, client: usize) {
        if self.is_over || !self.clients[client].is_idle() {
            return;
        }
        let login = self.clients[client].login;
        let next = match login {
            None => Some(self.log_in(client)),
            Some(by) if by.user == ADMIN => self.administer(by),
            Some(by) => self.work(by, self.clients[client].is_choosy),
        };
        match next {
            Some((ask, asked)) => self.begin_call(client, ask, asked),
            None => self.after(super::MS, super::Owner::World, "client thinks", move |w| w.next_operation(client)),
        }
    }

    /// Mostly with the newest password that anybody knows of.
    fn log_in(&mut self, client: usize) -> (Ask, Asked) {
        let user = match client {
            0 => ADMIN,
            _ => self.some_user(),
        };
        let known = self.recorder.users[to_usize(user)];
        let number = match self.rng.u32(0..10) {
            0 if known.passwords > 0 => self.rng.u64(0..=known.passwords),
            _ => known.password,
        };
        // After a change without an answer either may be right.
        let number = if known.password < known.passwords && self.rng.bool() { known.passwords } else { number };
        let password = PasswordNumber { user, number };
        (Ask::Login { name: name_of(user), role: role_of(user), password }, Asked::Login { password })
    }

    fn some_user(&mut self) -> u32 {
        let len = self.recorder.users.len();
        for _ in 0..4 {
            let user = self.rng.usize(1..len);
            if !self.recorder.users[user].is_doomed {
                return to_u32(user);
            }
        }
        to_u32(self.rng.usize(1..len))
    }

    /// Often one that was taken away from the user a moment ago.
    fn some_key_to_use(&mut self, user: u32) -> Option<(u32, KeyReference)> {
        let from_user = self.recorder.taken_away.iter().rev().filter(|(_, from)| *from == user);
        let recent = from_user.take(2).map(|(key, _)| *key).collect::<Vec<_>>();
        match self.rng.choice(recent) {
            Some(key) if self.rng.bool() => Some((key, self.recorder.keys[to_usize(key)].reference)),
            _ => self.some_key(None),
        }
    }

    fn some_key(&mut self, owner: Option<u32>) -> Option<(u32, KeyReference)> {
        let keys = self.recorder.keys.iter().enumerate();
        let fit: Vec<(usize, KeyReference, bool)> = keys
            .filter(|(_, key)| owner.is_none_or(|owner| key.owner == owner))
            .map(|(number, key)| (number, key.reference, key.is_doomed))
            .collect();
        let alive: Vec<_> = fit.iter().filter(|(_, _, is_doomed)| !is_doomed).collect();
        let picked = if self.rng.u32(0..4) == 0 { self.rng.choice(&fit) } else { self.rng.choice(alive) };
        picked.map(|(number, reference, _)| (to_u32(*number), *reference))
    }

    fn ask_change(&mut self, by: OwnLogin, command: Command, made: ToMake, asked: Asked) -> (Ask, Asked) {
        let actor = Actor::Login(by.actor);
        let request = self.request(&actor, &command, made);
        let reuses = self.mutant == Some(Mutant::ReuseRequestId) && self.rng.u32(0..10) == 0;
        let request = match (&self.last_request, reuses) {
            (Some(last), true) => last.clone(),
            _ => request,
        };
        self.last_request = Some(request.clone());
        (Ask::Change { actor, command, made, request }, asked)
    }

    fn work(&mut self, by: OwnLogin, mostly_uses: bool) -> Option<(Ask, Asked)> {
        let actor = Actor::Login(by.actor);
        let many = self.recorder.keys.iter().filter(|key| !key.is_doomed).count() > KEYS_MANY;
        let drawn = self.rng.u32(0..100);
        match if mostly_uses && drawn < 80 { 0 } else { drawn } {
            0..45 => {
                let (key, reference) = self.some_key_to_use(by.user)?;
                Some((Ask::Use { actor, key: reference }, Asked::Use { by, key }))
            }
            45..57 if !many => {
                self.recorder.labels += 1;
                let number = self.recorder.labels;
                Some(self.ask_change(by, generate_pair(number), ToMake::Pair, Asked::CreateKey { by, label: number }))
            }
            45..65 => {
                let (key, reference) = self.some_key(Some(by.user))?;
                self.recorder.keys[to_usize(key)].is_doomed = true;
                let asked = Asked::DeleteKey { by, key };
                Some(self.ask_change(by, Command::DeleteKey(reference), ToMake::Nothing, asked))
            }
            65..82 => {
                let (key, reference) = self.some_key(Some(by.user))?;
                let with = self.some_user();
                if with == by.user {
                    return None;
                }
                let (name, role, on) = (user_name(with), Role::CryptoUser, self.rng.bool());
                let command = match on {
                    true => Command::ShareKey { key: reference, name, role },
                    false => Command::UnshareKey { key: reference, name, role },
                };
                Some(self.ask_change(by, command, ToMake::Nothing, Asked::Share { by, key, with, on }))
            }
            82..87 => {
                let (key, reference) = self.some_key(Some(by.user))?;
                self.recorder.labels += 1;
                let number = self.recorder.labels;
                let (attribute, value) = (AttributeName::Label, label(number));
                let command = Command::SetAttribute { key: reference, attribute, value };
                Some(self.ask_change(by, command, ToMake::Nothing, Asked::SetLabel { by, key, label: number }))
            }
            87..89 => Some(self.new_password(by, by.user)),
            89..92 => Some(self.ask_change(by, Command::Logout, ToMake::Nothing, Asked::Logout { by })),
            92..98 => Some((Ask::Find { actor }, Asked::Find { by, known: self.recorder.keys.len() })),
            _ => {
                let client = self.rng.usize(1..1_000);
                Some(self.log_in(client))
            }
        }
    }

    fn administer(&mut self, by: OwnLogin) -> Option<(Ask, Asked)> {
        match self.rng.u32(0..100) {
            0..25 if self.recorder.users.len() < USERS_MAX => {
                let user = to_u32(self.recorder.users.len());
                self.recorder.users.push(KnownUser { password: 0, passwords: 0, is_doomed: false });
                let command = Command::CreateUser { name: user_name(user), role: Role::CryptoUser };
                let made = ToMake::User(PasswordNumber { user, number: 0 });
                Some(self.ask_change(by, command, made, Asked::CreateUser { by, user }))
            }
            0..45 => {
                let user = self.some_user();
                // Those of the beginning stay, so that there is always somebody.
                if user <= self.shape.users {
                    return None;
                }
                self.recorder.users[to_usize(user)].is_doomed = true;
                let command = Command::DeleteUser { name: user_name(user), role: Role::CryptoUser };
                Some(self.ask_change(by, command, ToMake::Nothing, Asked::DeleteUser { by, user }))
            }
            45..70 => {
                let user = self.some_user();
                Some(self.new_password(by, user))
            }
            70..76 => Some(self.new_password(by, ADMIN)),
            76..90 => Some(self.ask_change(by, Command::Logout, ToMake::Nothing, Asked::Logout { by })),
            _ => Some(self.log_in(0)),
        }
    }

    fn new_password(&mut self, by: OwnLogin, user: u32) -> (Ask, Asked) {
        let known = &mut self.recorder.users[to_usize(user)];
        known.passwords += 1;
        let password = PasswordNumber { user, number: known.passwords };
        let command = Command::ChangePassword {
            name: name_of(user),
            role: role_of(user),
            deregister: strongroom_core::Deregister::NONE,
        };
        self.ask_change(by, command, ToMake::Password(password), Asked::ChangePassword { by, password })
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).expect("fits")
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("few")
}

//! An admin: makes users, deletes them, sets passwords.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use strongroom_sim::history::Register;
use strongroom_types::Status;

use crate::actor::{Actor, Asked, Not, Told};
use crate::caller::Ask;
use crate::crew::Person;
use crate::recorder::{was, write};

/// Guests at once.
pub const GUESTS: usize = 6;
/// What the names of users begin with who are made to be deleted.
pub const GUEST: &str = "guest-";

/// Works as this admin until told to stop.
pub fn work(actor: &mut Actor<'_>, me: &Arc<Person>, changes_own_password: bool) {
    while !actor.crew.stops() {
        if actor.account.is_none() && actor.log_in(me).is_err() {
            actor.pause();
            continue;
        }
        if let Some(person) = actor.crew.next_reset() {
            if actor.change_password(&person) == Err(Not::Known) {
                actor.crew.needs_reset(&person);
            }
            continue;
        }
        match actor.random.below(100) {
            0..30 => make_guest(actor),
            30..55 => delete_guest(actor),
            55..63 => {
                let other = |person: &Person| !person.admin && !person.is_let_be && !is_gone(person);
                if let Some(person) = actor.crew.person(&mut actor.random, other) {
                    let _ = actor.change_password(&person);
                }
            }
            63..66 if changes_own_password => {
                let _ = actor.change_password(me);
            }
            66..69 => actor.log_out(),
            _ => actor.list_users(),
        }
        actor.pause();
        actor.pause();
    }
}

fn is_gone(person: &Person) -> bool {
    person.is(&person.is_gone)
}

fn is_guest(person: &Person) -> bool {
    person.name.starts_with(GUEST)
}

/// A new guest; or the one that the other admin may be making at this moment.
fn make_guest(actor: &mut Actor<'_>) {
    let guests: Vec<Arc<Person>> =
        actor.crew.people().into_iter().filter(|person| is_guest(person) && person.stays()).collect();
    let again = guests.last().filter(|_| actor.random.chance(30)).cloned();
    let person = match again {
        Some(person) => person,
        None if guests.len() < GUESTS => {
            let number = actor.crew.number();
            actor.crew.add_person(Person::new(number, format!("{GUEST}{number}"), false, None))
        }
        None => return,
    };
    {
        let mut making = person.making.lock().expect("whole");
        if making.deletion_began {
            return;
        }
        making.under_way += 1;
        making.tries += 1;
    }
    let made = make(actor, &person);
    let mut making = person.making.lock().expect("whole");
    making.under_way -= 1;
    making.has_unknown |= made == Err(Not::Known);
}

/// Makes this user.
pub fn make(actor: &mut Actor<'_>, person: &Person) -> Result<(), Not> {
    let exists = |value| vec![was(Register::User(person.number), value)];
    let made = actor.carry_out(Asked {
        kind: "create user",
        about: person.name.clone(),
        ask: Ask::UserCreate { user: person.name.clone(), admin: person.admin, password: person.password(0) },
        writes: vec![write(Register::User(person.number), 1)],
        facts: &|_| exists(0),
        refusals: vec![(Status::UserExists, Told::AnyOf(exists(1))), (Status::UserUnknown, Told::Acted)],
    });
    made.map(drop)
}

/// Deletes a guest whose keys are gone; otherwise has somebody see to that, and sometimes tries all the same.
fn delete_guest(actor: &mut Actor<'_>) {
    let Some(person) = actor.crew.person(&mut actor.random, |person| is_guest(person) && !is_gone(person)) else {
        return;
    };
    {
        let mut making = person.making.lock().expect("whole");
        // A user who may be made once more, under the same name, would be another one.
        if making.under_way > 0 || (making.has_unknown && making.tries > 1) {
            return;
        }
        if !person.is(&person.is_empty) && actor.random.chance(90) {
            person.retires.store(true, Ordering::Relaxed);
            return;
        }
        making.deletion_began = true;
    }
    person.retires.store(true, Ordering::Relaxed);
    let exists = |value| was(Register::User(person.number), value);
    let gone = actor.carry_out(Asked {
        kind: "delete user",
        about: person.name.clone(),
        ask: Ask::UserDelete { user: person.name.clone() },
        writes: vec![write(Register::User(person.number), 0)],
        facts: &|_| [vec![exists(1)], person.key_facts(false)].concat(),
        refusals: vec![
            (Status::UserUnknown, Told::AnyOf(vec![exists(0)])),
            (Status::UserOwnsKeys, Told::AnyOf(person.key_facts(true))),
        ],
    });
    match gone {
        Ok(_) => actor.is_gone(&person),
        // It never came about, or it is gone: whoever looks for it will not find it.
        Err(Not::Refused(Some(Status::UserUnknown))) => actor.is_gone(&person),
        Err(_) => {}
    }
}

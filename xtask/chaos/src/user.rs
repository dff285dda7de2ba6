//! A crypto user: makes keys, shares them, takes them back, labels, signs, deletes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use strongroom_sim::history::{Fact, Register};
use strongroom_types::Status;

use crate::actor::{Actor, Asked, Not, Told};
use crate::admin::GUEST;
use crate::caller::{Ask, Found, Reply};
use crate::crew::{Account, Key, Person, label, of_label};
use crate::recorder::{was, write};

/// Keys of one user at once.
const KEYS: usize = 14;

/// Session keys of one login at once.
const SESSION_KEYS: usize = 3;

/// Works as this user, or as one guest after another, until told to stop.
pub fn work(actor: &mut Actor<'_>, me: Option<&Arc<Person>>) {
    while !actor.crew.stops() {
        if actor.account.is_none() {
            let person = me.cloned().or_else(|| actor.crew.person(&mut actor.random, is_current));
            if let Some(person) = person
                && let Err(Not::Refused(Some(Status::LoginFailed))) = actor.log_in(&person)
                && actor.random.chance(20)
            {
                actor.crew.needs_reset(&person);
            }
            actor.pause();
            continue;
        }
        step(actor);
        actor.pause();
    }
}

/// Signs with a key of one's own, or labels it, without a pause in which nobody would notice an outage: the longest time
/// without a signature and without a change is theirs.
pub fn measure(actor: &mut Actor<'_>, me: &Arc<Person>, signs: bool) {
    while !actor.crew.stops() {
        let own = actor.crew.keys_of(me);
        match own.iter().find(|key| key.signs) {
            _ if actor.account.is_none() => drop(actor.log_in(me)),
            None => make_pair(actor, me),
            Some(key) if signs => sign_with(actor, me, key),
            Some(key) => set_label(actor, me, key),
        }
        actor.pause();
    }
}

/// Whether somebody is to work as this guest.
fn is_current(person: &Person) -> bool {
    person.name.starts_with(GUEST) && !person.is(&person.is_gone) && !person.is(&person.is_empty)
}

fn step(actor: &mut Actor<'_>) {
    let Some(me) = actor.account.as_ref().map(|account| Arc::clone(&account.person)) else { return };
    if me.is(&me.retires) {
        return clear(actor, &me);
    }
    let own = actor.crew.keys_of(&me);
    let one = actor.random.one_of(&own).cloned();
    match (actor.random.below(100), one) {
        (0..5, _) if own.len() < KEYS => make_pair(actor, &me),
        (5..8, _) if own.len() < KEYS => make_secret(actor, &me),
        (8..17, Some(key)) if !key.is_public => share(actor, &me, &key),
        (17..26, _) => unshare(actor, &me),
        (26..30, Some(key)) => set_label(actor, &me, &key),
        (30..35, Some(key)) => delete(actor, &me, &key),
        (35..38, Some(key)) => find(actor, &me, &key),
        (38..40, _) => delete_of_another(actor, &me),
        (40, _) => {
            let _ = actor.change_password(&me);
        }
        (41..43, _) => actor.log_out(),
        (43..45, _) if actor.session_keys.len() < SESSION_KEYS => make_session_pair(actor),
        (43..49, _) => sign_in_session(actor),
        _ => sign(actor, &me),
    }
}

fn sign(actor: &mut Actor<'_>, me: &Arc<Person>) {
    let key = actor.crew.key_to_try(me, &mut actor.random);
    if let Some(key) = key {
        sign_with(actor, me, &key);
    }
}

fn sign_with(actor: &mut Actor<'_>, me: &Arc<Person>, key: &Key) {
    let _ = actor.carry_out(Asked {
        kind: "sign",
        about: format!("with key {}", key.number),
        ask: Ask::Sign { reference: key.reference },
        writes: Vec::new(),
        facts: &|_| key.usable(me),
        refusals: vec![(Status::KeyUnknown, Told::AnyOf(key.unusable(me)))],
    });
}

/// Session keys live in the HSMs' memory and, sealed, in the client: which HSMs are killed makes no difference to them.
fn make_session_pair(actor: &mut Actor<'_>) {
    let made = actor.carry_out(Asked {
        kind: "create session pair",
        about: String::new(),
        ask: Ask::GenerateSessionPair,
        writes: Vec::new(),
        facts: &|_| Vec::new(),
        refusals: Vec::new(),
    });
    if let Ok(Reply::Created(references)) = made {
        actor.session_keys.extend(references);
    }
}

fn sign_in_session(actor: &mut Actor<'_>) {
    let Some(reference) = actor.random.one_of(&actor.session_keys).copied() else { return };
    // They end with the login and not before.
    let ended = actor.account.as_ref().map(Account::has_ended).unwrap_or_default();
    let _ = actor.carry_out(Asked {
        kind: "sign in session",
        about: format!("with session key {reference:#x}"),
        ask: Ask::Sign { reference },
        writes: Vec::new(),
        facts: &|_| Vec::new(),
        refusals: vec![(Status::KeyUnknown, Told::AnyOf(ended))],
    });
}

fn make_secret(actor: &mut Actor<'_>, me: &Arc<Person>) {
    let number = actor.crew.number();
    me.will_make(number);
    make(actor, me, "create key", Ask::GenerateAes { label: label(number, 0) }, &[(number, false, false)]);
}

fn make_pair(actor: &mut Actor<'_>, me: &Arc<Person>) {
    let numbers = [actor.crew.number(), actor.crew.number()];
    numbers.iter().for_each(|number| me.will_make(*number));
    let ask = Ask::GeneratePair { labels: numbers.map(|number| label(number, 0)) };
    make(actor, me, "create pair", ask, &[(numbers[0], false, true), (numbers[1], true, false)]);
}

fn make(actor: &mut Actor<'_>, me: &Arc<Person>, kind: &'static str, ask: Ask, keys: &[(u32, bool, bool)]) {
    let numbers: Vec<String> = keys.iter().map(|(number, _, _)| number.to_string()).collect();
    let made = actor.carry_out(Asked {
        kind,
        about: numbers.join(" and "),
        ask,
        writes: keys.iter().map(|(number, _, _)| write(Register::Key(*number), 1)).collect(),
        facts: &|_| keys.iter().map(|(number, _, _)| was(Register::Key(*number), 0)).collect(),
        // It was made, and deleted before the answer to a repeat.
        refusals: vec![(Status::KeyUnknown, Told::Acted)],
    });
    match made {
        Ok(Reply::Created(references)) => {
            for ((number, signs, is_public), reference) in keys.iter().zip(references) {
                actor.crew.add_key(Key::new(*number, reference, me, (*signs, *is_public)));
            }
        }
        Ok(other) => actor.recorder.problem(format!("{kind} answered {other:?}")),
        // Whether it acted is seen by its label.
        Err(Not::Known) => keys.iter().for_each(|key| look_for(actor, me, *key)),
        Err(Not::Refused(_)) => {}
    }
}

fn look_for(actor: &mut Actor<'_>, me: &Arc<Person>, (number, signs, is_public): (u32, bool, bool)) {
    let found = actor.carry_out(Asked {
        kind: "find key",
        about: format!("{number} by its label"),
        ask: Ask::FindLabel { label: label(number, 0) },
        writes: Vec::new(),
        facts: &found_facts,
        refusals: Vec::new(),
    });
    if let Ok(Reply::Keys(found)) = found {
        for found in found {
            actor.crew.add_key(Key::new(number, found.reference, me, (signs, is_public)));
        }
    }
}

/// What is found exists, has this label, is shared with these.
fn found_facts(reply: &Reply) -> Vec<Fact> {
    let Reply::Keys(found) = reply else { return Vec::new() };
    let of = |found: &Found| of_label(&found.label);
    let facts = found
        .iter()
        .filter_map(of)
        .flat_map(|(number, value)| [was(Register::Key(number), 1), was(Register::Label(number), value)]);
    facts.collect()
}

fn find(actor: &mut Actor<'_>, me: &Arc<Person>, key: &Key) {
    let _ = actor.carry_out(Asked {
        kind: "find key",
        about: format!("{} of {}", key.number, me.name),
        ask: Ask::Find { reference: key.reference },
        writes: Vec::new(),
        facts: &found_facts,
        refusals: Vec::new(),
    });
}

fn share(actor: &mut Actor<'_>, me: &Arc<Person>, key: &Key) {
    let other = |person: &Person| !person.admin && person.number != me.number && !person.is(&person.is_gone);
    let Some(person) = actor.crew.person(&mut actor.random, other) else { return };
    actor.crew.shared(key.number, person.number, true);
    let user = Register::User(person.number);
    let _ = actor.carry_out(Asked {
        kind: "share",
        about: format!("key {} with {}", key.number, person.name),
        ask: Ask::Share { reference: key.reference, user: person.name.clone() },
        writes: vec![write(Register::MayUse { key: key.number, user: person.number }, 1)],
        facts: &|_| vec![was(Register::Key(key.number), 1), was(user, 1)],
        refusals: vec![
            (Status::KeyUnknown, Told::AnyOf(key.unusable(me))),
            (Status::UserUnknown, Told::AnyOf(vec![was(user, 0)])),
        ],
    });
}

fn unshare(actor: &mut Actor<'_>, me: &Arc<Person>) {
    let Some((key, person)) = actor.crew.share_of(me, &mut actor.random) else { return };
    let user = Register::User(person.number);
    let done = actor.carry_out(Asked {
        kind: "unshare",
        about: format!("key {} with {}", key.number, person.name),
        ask: Ask::Unshare { reference: key.reference, user: person.name.clone() },
        writes: vec![write(Register::MayUse { key: key.number, user: person.number }, 0)],
        facts: &|_| vec![was(Register::Key(key.number), 1), was(user, 1)],
        refusals: vec![
            (Status::KeyUnknown, Told::AnyOf(key.unusable(me))),
            (Status::UserUnknown, Told::AnyOf(vec![was(user, 0)])),
        ],
    });
    if done.is_ok() {
        actor.crew.is_revoked(&key, person.number);
    }
    // One that was taken back is still tried for a while.
    if (done.is_ok() && actor.random.chance(50)) || done == Err(Not::Refused(Some(Status::UserUnknown))) {
        actor.crew.shared(key.number, person.number, false);
    }
}

fn set_label(actor: &mut Actor<'_>, me: &Arc<Person>, key: &Key) {
    let value = key.new_label();
    let _ = actor.carry_out(Asked {
        kind: "set label",
        about: format!("of key {} to {value}", key.number),
        ask: Ask::SetLabel { reference: key.reference, label: label(key.number, value) },
        writes: vec![write(Register::Label(key.number), value)],
        facts: &|_| vec![was(Register::Key(key.number), 1)],
        refusals: vec![(Status::KeyUnknown, Told::AnyOf(key.unusable(me)))],
    });
}

fn delete(actor: &mut Actor<'_>, me: &Arc<Person>, key: &Arc<Key>) {
    let gone = actor.carry_out(Asked {
        kind: "delete key",
        about: key.number.to_string(),
        ask: Ask::Delete { reference: key.reference },
        writes: vec![write(Register::Key(key.number), 0)],
        facts: &|_| vec![was(Register::Key(key.number), 1)],
        refusals: vec![(Status::KeyUnknown, Told::AnyOf(key.unusable(me)))],
    });
    if gone.is_ok() || gone == Err(Not::Refused(Some(Status::KeyUnknown))) {
        actor.crew.is_revoked(key, me.number);
        actor.crew.key_is_gone(key.number);
    }
}

/// A shared key may be used, and not deleted.
fn delete_of_another(actor: &mut Actor<'_>, me: &Arc<Person>) {
    let Some(key) = actor.crew.key_to_try(me, &mut actor.random) else { return };
    if key.owner.number == me.number {
        return;
    }
    let gone = actor.carry_out(Asked {
        kind: "delete key of another",
        about: key.number.to_string(),
        ask: Ask::Delete { reference: key.reference },
        writes: Vec::new(),
        facts: &|_| Vec::new(),
        refusals: vec![
            (Status::KeyNotOwned, Told::All(key.usable(me))),
            (Status::KeyUnknown, Told::AnyOf(key.unusable(me))),
        ],
    });
    if gone.is_ok() {
        actor.recorder.problem(format!("{} deleted key {} of {}", me.name, key.number, key.owner.name));
    }
}

/// A guest who is going to be deleted: the keys go first, those of unknown outcome as well.
fn clear(actor: &mut Actor<'_>, me: &Arc<Person>) {
    let found = actor.carry_out(Asked {
        kind: "find keys",
        about: format!("of {}", me.name),
        ask: Ask::FindAll,
        writes: Vec::new(),
        facts: &found_facts,
        refusals: Vec::new(),
    });
    let Ok(Reply::Keys(found)) = found else { return };
    for found in found.iter().filter(|found| found.owner == me.name) {
        let Some((number, _)) = of_label(&found.label) else { continue };
        if !actor.crew.key_is_known(number) {
            actor.crew.add_key(Key::new(number, found.reference, me, (false, false)));
        }
    }
    let own = actor.crew.keys_of(me);
    for key in &own {
        delete(actor, me, key);
        if actor.account.is_none() {
            return;
        }
    }
    if actor.crew.keys_of(me).is_empty() {
        // Sometimes the login stays open, to be ended by the deletion.
        if actor.random.chance(50) {
            actor.log_out();
        }
        me.is_empty.store(true, Ordering::Relaxed);
        actor.account = None;
    }
}

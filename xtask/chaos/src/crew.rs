//! The users, keys and logins of a run, as its clients know them: names for the registers of the history, and where to look
//! next. Nothing is judged here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use strongroom_sim::history::{Fact, Register, Value};

use crate::random::Random;
use crate::recorder::{was, was_not};

/// Keys that are gone and still asked for.
const GONE_KEYS: usize = 60;
/// Rights that were taken away and are still tried.
const REVOKED: usize = 60;
/// Passwords of one user that are tried.
const PASSWORDS_TRIED: usize = 4;

/// A user.
pub struct Person {
    pub number: u32,
    pub name: String,
    pub admin: bool,
    /// Whom nothing is done to: whoever works as this user measures.
    pub is_let_be: bool,
    /// The password of value 0, where it is not like the others.
    first: Option<String>,
    next_password: AtomicU64,
    /// Those that may be the user's, the likeliest last.
    passwords: Mutex<Vec<Value>>,
    /// Numbers of every key that the user ever wanted to make.
    keys: Mutex<Vec<u32>>,
    /// Whoever works as this user is to delete the keys: the user is going to be deleted.
    pub retires: AtomicBool,
    /// The keys are deleted.
    pub is_empty: AtomicBool,
    /// Deleted.
    pub is_gone: AtomicBool,
    pub making: Mutex<Making>,
}

/// How a user came about: a name that may be made once more after it was deleted would be another user.
#[derive(Default)]
pub struct Making {
    pub under_way: u32,
    pub tries: u32,
    pub has_unknown: bool,
    pub deletion_began: bool,
}

impl Person {
    pub fn new(number: u32, name: String, admin: bool, first: Option<String>) -> Person {
        Person {
            number,
            name,
            admin,
            is_let_be: false,
            first,
            next_password: AtomicU64::new(1),
            passwords: Mutex::new(vec![0]),
            keys: Mutex::default(),
            retires: AtomicBool::new(false),
            is_empty: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            making: Mutex::default(),
        }
    }

    /// The same, and nothing is done to them.
    pub fn let_be(self) -> Person {
        Person { is_let_be: true, ..self }
    }

    /// The password of this value.
    pub fn password(&self, value: Value) -> String {
        match (&self.first, value) {
            (Some(first), 0) => first.clone(),
            _ => format!("{}-password-{value}", self.name),
        }
    }

    /// A password that the user never had; it is tried from now on.
    pub fn new_password(&self) -> Value {
        let value = self.next_password.fetch_add(1, Ordering::Relaxed);
        let mut passwords = self.passwords.lock().expect("whole");
        passwords.push(value);
        let extra = passwords.len().saturating_sub(PASSWORDS_TRIED);
        passwords.drain(..extra);
        value
    }

    /// It is the user's: those before it are not any more.
    pub fn has_password(&self, value: Value) {
        let mut passwords = self.passwords.lock().expect("whole");
        passwords.retain(|other| *other > value);
        passwords.insert(0, value);
    }

    /// It did not become the user's.
    pub fn has_not_password(&self, value: Value) {
        self.passwords.lock().expect("whole").retain(|other| *other != value);
    }

    /// One to try: mostly the newest.
    pub fn likely_password(&self, random: &mut Random) -> Value {
        let passwords = self.passwords.lock().expect("whole");
        match passwords.as_slice() {
            [] => 0,
            [.., last] if random.chance(70) => *last,
            some => some[random.below(some.len())],
        }
    }

    /// The one that is likeliest the user's.
    pub fn newest_password(&self) -> Value {
        self.passwords.lock().expect("whole").last().copied().unwrap_or_default()
    }

    /// A number for a key that the user is about to make.
    pub fn will_make(&self, key: u32) {
        self.keys.lock().expect("whole").push(key);
    }

    /// Those numbers.
    pub fn key_numbers(&self) -> Vec<u32> {
        self.keys.lock().expect("whole").clone()
    }

    /// That each of the user's keys, those to come included, is there or is not.
    pub fn key_facts(&self, there: bool) -> Vec<Fact> {
        let keys = self.keys.lock().expect("whole");
        keys.iter().map(|key| was(Register::Key(*key), there.into())).collect()
    }

    pub fn is(&self, flag: &AtomicBool) -> bool {
        flag.load(Ordering::Relaxed)
    }

    /// Neither gone nor about to be.
    pub fn stays(&self) -> bool {
        !self.retires.load(Ordering::Relaxed) && !self.is_gone.load(Ordering::Relaxed)
    }
}

/// A login: who, and which password it rests on.
#[derive(Clone)]
pub struct Account {
    pub person: Arc<Person>,
    pub login: u32,
    pub rests: Value,
}

impl Account {
    /// What is so when the login is honoured.
    pub fn stands(&self) -> Vec<Fact> {
        vec![
            was(Register::User(self.person.number), 1),
            was(Register::Password(self.person.number), self.rests),
            was(Register::Login(self.login), 1),
        ]
    }

    /// Of this, something is so when it has ended.
    pub fn has_ended(&self) -> Vec<Fact> {
        vec![
            was(Register::User(self.person.number), 0),
            was_not(Register::Password(self.person.number), self.rests),
            was(Register::Login(self.login), 0),
        ]
    }
}

/// A key.
pub struct Key {
    pub number: u32,
    pub reference: u64,
    pub owner: Arc<Person>,
    /// A private key, which signs. Everybody may see a public key; it has no use here.
    pub signs: bool,
    /// Everybody sees it.
    pub is_public: bool,
    next_label: AtomicU64,
}

impl Key {
    pub fn new(number: u32, reference: u64, owner: &Arc<Person>, (signs, is_public): (bool, bool)) -> Key {
        let next_label = AtomicU64::new(1);
        Key { number, reference, owner: Arc::clone(owner), signs, is_public, next_label }
    }

    /// A label that the key never had.
    pub fn new_label(&self) -> Value {
        self.next_label.fetch_add(1, Ordering::Relaxed)
    }

    /// What is so when this user may use the key.
    pub fn usable(&self, user: &Person) -> Vec<Fact> {
        let mut facts = vec![was(Register::Key(self.number), 1)];
        if user.number != self.owner.number {
            facts.push(was(Register::MayUse { key: self.number, user: user.number }, 1));
        }
        facts
    }

    /// Of this, something is so when this user may not.
    pub fn unusable(&self, user: &Person) -> Vec<Fact> {
        let mut facts = vec![was(Register::Key(self.number), 0)];
        if user.number != self.owner.number {
            facts.push(was(Register::MayUse { key: self.number, user: user.number }, 0));
        }
        facts
    }
}

/// The label of a key's number and the value of its label register.
pub fn label(key: u32, value: Value) -> String {
    format!("k{key}-{value}")
}

/// The other way round; none for a label that is not of this run.
pub fn of_label(label: &str) -> Option<(u32, Value)> {
    let (key, value) = label.strip_prefix('k')?.split_once('-')?;
    Some((key.parse().ok()?, value.parse().ok()?))
}

/// Everybody and everything.
pub struct Crew {
    pub stop: Arc<AtomicBool>,
    numbers: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    people: Vec<Arc<Person>>,
    keys: HashMap<u32, Arc<Key>>,
    gone: VecDeque<Arc<Key>>,
    /// Shares that may stand: key, user.
    shares: HashSet<(u32, u32)>,
    /// Rights that were taken away last: a key, and the user who may not use it any more.
    revoked: VecDeque<(Arc<Key>, u32)>,
    /// Users who need a new password.
    resets: VecDeque<Arc<Person>>,
}

impl Crew {
    pub fn new() -> Crew {
        Crew { stop: Arc::default(), numbers: AtomicU32::new(1), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("whole")
    }

    pub fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A number that nothing has: for users, keys, logins and clients.
    pub fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub fn add_person(&self, person: Person) -> Arc<Person> {
        let person = Arc::new(person);
        self.state().people.push(Arc::clone(&person));
        person
    }

    pub fn people(&self) -> Vec<Arc<Person>> {
        self.state().people.clone()
    }

    /// One of those that fit.
    pub fn person(&self, random: &mut Random, fits: impl Fn(&Person) -> bool) -> Option<Arc<Person>> {
        let state = self.state();
        let fitting: Vec<&Arc<Person>> = state.people.iter().filter(|person| fits(person)).collect();
        random.one_of(&fitting).map(|person| Arc::clone(person))
    }

    pub fn add_key(&self, key: Key) {
        self.state().keys.insert(key.number, Arc::new(key));
    }

    pub fn key_is_known(&self, number: u32) -> bool {
        let state = self.state();
        state.keys.contains_key(&number) || state.gone.iter().any(|gone| gone.number == number)
    }

    pub fn key_is_gone(&self, number: u32) {
        let state = &mut *self.state();
        if let Some(key) = state.keys.remove(&number) {
            state.gone.push_back(key);
            state.shares.retain(|(key, _)| *key != number);
        }
        if state.gone.len() > GONE_KEYS {
            state.gone.pop_front();
        }
    }

    /// Keys of this user.
    pub fn keys_of(&self, owner: &Person) -> Vec<Arc<Key>> {
        self.state().keys.values().filter(|key| key.owner.number == owner.number).cloned().collect()
    }

    /// A key to sign with: one of the user's own, one that may be shared with them, any other, or one that is gone.
    pub fn key_to_try(&self, user: &Person, random: &mut Random) -> Option<Arc<Key>> {
        let state = self.state();
        let choice = random.below(100);
        let fits = |key: &&Arc<Key>| {
            key.signs
                && match choice {
                    0..40 => key.owner.number == user.number,
                    40..75 => state.shares.contains(&(key.number, user.number)),
                    _ => true,
                }
        };
        let mut fitting: Vec<&Arc<Key>> = match choice {
            92.. => state.gone.iter().filter(fits).collect(),
            _ => state.keys.values().filter(fits).collect(),
        };
        // A map's order is not the seed's.
        fitting.sort_by_key(|key| key.number);
        random.one_of(&fitting).map(|key| Arc::clone(key))
    }

    /// A share that may stand of one of this owner's keys.
    pub fn share_of(&self, owner: &Person, random: &mut Random) -> Option<(Arc<Key>, Arc<Person>)> {
        let state = self.state();
        let own = |key: &u32| state.keys.get(key).filter(|key| key.owner.number == owner.number);
        let mut shares: Vec<&(u32, u32)> = state.shares.iter().filter(|(key, _)| own(key).is_some()).collect();
        shares.sort();
        let (key, user) = random.one_of(&shares)?;
        let person = state.people.iter().find(|person| person.number == *user)?;
        Some((Arc::clone(own(key)?), Arc::clone(person)))
    }

    pub fn shared(&self, key: u32, user: u32, stands: bool) {
        let shares = &mut self.state().shares;
        if stands {
            shares.insert((key, user))
        } else {
            shares.remove(&(key, user))
        };
    }

    /// A right was taken away, and that was acknowledged.
    pub fn is_revoked(&self, key: &Arc<Key>, user: u32) {
        let revoked = &mut self.state().revoked;
        revoked.push_back((Arc::clone(key), user));
        if revoked.len() > REVOKED {
            revoked.pop_front();
        }
    }

    /// The key whose use was taken from this user last.
    pub fn last_revoked(&self, user: &Person) -> Option<Arc<Key>> {
        let state = self.state();
        let last = state.revoked.iter().rev().find(|(key, from)| *from == user.number && key.signs);
        last.map(|(key, _)| Arc::clone(key))
    }

    /// Somebody cannot log in: an admin is to set a new password.
    pub fn needs_reset(&self, person: &Arc<Person>) {
        let resets = &mut self.state().resets;
        if !resets.iter().any(|other| other.number == person.number) {
            resets.push_back(Arc::clone(person));
        }
    }

    pub fn next_reset(&self) -> Option<Arc<Person>> {
        self.state().resets.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_tells_its_key_and_value() {
        assert_eq!(of_label(&label(17, 0)), Some((17, 0)));
        assert_eq!(of_label(&label(u32::MAX, u64::MAX)), Some((u32::MAX, u64::MAX)));
        for other in ["", "k", "k1", "1-2", "k1-", "k-1", "kx-1", "k1-x", "k1-2-3"] {
            assert_eq!(of_label(other), None, "{other:?}");
        }
    }

    #[test]
    fn passwords_are_tried_that_may_be_right() {
        let person = Person::new(1, "alice".to_owned(), false, Some("the first".to_owned()));
        assert_eq!((person.newest_password(), person.password(0)), (0, "the first".to_owned()));
        let (one, two) = (person.new_password(), person.new_password());
        assert_eq!((one, two, person.newest_password()), (1, 2, 2));
        // Whatever came of the other one.
        person.has_password(one);
        assert_eq!(person.newest_password(), two);
        person.has_not_password(two);
        assert_eq!((person.newest_password(), person.password(one)), (one, "alice-password-1".to_owned()));
        let many: Vec<u64> = (0..10).map(|_| person.new_password()).collect();
        assert_eq!(person.newest_password(), many[9]);
        let mut random = Random::new(1, 1);
        let tried: HashSet<u64> = (0..200).map(|_| person.likely_password(&mut random)).collect();
        assert_eq!(tried, many[6..].iter().copied().collect());
    }
}

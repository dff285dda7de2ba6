//! Session keys that this HSM holds for the logins that made them. Bounded: what is dropped comes back sealed from its
//! client. It is dropped from the user who holds most, so that nobody's keys make room for another's many. Nothing is decided here; whoever takes a key out asks the rules whether it may be used.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use strongroom_core::{Actor, LoginActor, SessionKey};
use strongroom_types::limits::{
    HSMS_MAX, KEY_USES_MAX, SESSION_KEY_USES_MAX, SESSION_KEYS_HELD_LEN_MAX, SESSION_KEYS_HELD_MAX,
};
use strongroom_types::{KeyReference, LoginId, Refusal, Role, Status, UserId};

use crate::key_cache::ClearKey;

/// Among so many HSMs uses of a session key are divided.
const HSMS: u64 = HSMS_MAX as u64;

/// One session key.
pub struct HeldSessionKey {
    key: SessionKey,
    /// Bytes of its sealed form.
    len: usize,
    /// In clear, from the first use on.
    clear: OnceLock<ClearKey>,
    /// When the login's newest ticket runs out that was seen here.
    expires_ms: AtomicU64,
    /// How often it encrypted and wrapped by GCM here.
    uses: AtomicU64,
    /// Whether it was used since its turn to be dropped came last.
    used: AtomicBool,
}

type Place = (LoginId, KeyReference);

#[derive(Default)]
struct Held {
    keys: HashMap<Place, Arc<HeldSessionKey>>,
    /// Of those who hold any.
    users: HashMap<UserId, OfUser>,
    len: usize,
}

/// What one user holds, over all logins.
#[derive(Default)]
struct OfUser {
    /// The keys in the order in which their turn to be dropped comes; each once.
    turns: VecDeque<Place>,
    len: usize,
}

/// The session keys of an HSM.
pub struct SessionKeys {
    held: RwLock<Held>,
    keys_max: usize,
    len_max: usize,
}

impl HeldSessionKey {
    /// The key.
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// The key in clear, if it was used before.
    pub fn clear(&self) -> Option<&ClearKey> {
        self.clear.get()
    }

    /// Keeps the key in clear; the one that is kept comes back.
    pub fn keep(&self, clear: ClearKey) -> &ClearKey {
        self.clear.get_or_init(|| clear)
    }

    /// Counts one use by GCM, before it is made.
    pub fn take_use(&self) -> Result<(), Refusal> {
        // An HSM's share of what the original of a copy had left.
        let left = KEY_USES_MAX.saturating_sub(self.key.uses_before) / HSMS;
        let next = |uses: u64| uses.checked_add(1).filter(|uses| *uses <= left.min(SESSION_KEY_USES_MAX));
        match self.uses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Ok(()),
            Err(_) => Err(Status::KeyUsesExhausted.into()),
        }
    }

    /// The key as what a copy is made of. Every HSM may have used it as often as this one; a copy, which each counts anew, has
    /// only what is left of it then.
    pub fn original(&self) -> SessionKey {
        let used = self.uses.load(Ordering::Relaxed).saturating_mul(HSMS);
        let uses_before = self.key.uses_before.saturating_add(used).min(KEY_USES_MAX);
        SessionKey { uses_before, ..self.key.clone() }
    }

    fn login(&self) -> LoginActor {
        LoginActor {
            login: self.key.login,
            user: self.key.owner,
            credential: self.key.credential,
            role: Role::CryptoUser,
            expires_ms: self.expires_ms.load(Ordering::Relaxed),
        }
    }
}

impl SessionKeys {
    /// None yet. `keys_max` and `len_max` bound how many are held, and the bytes of their sealed forms.
    pub fn new(keys_max: usize, len_max: usize) -> SessionKeys {
        SessionKeys { held: RwLock::default(), keys_max, len_max }
    }

    /// The key of this login, as it rests on its password now.
    pub fn find(&self, login: &LoginActor, reference: KeyReference) -> Option<Arc<HeldSessionKey>> {
        let held = self.read();
        let found = held.keys.get(&(login.login, reference)).filter(|found| found.key.is_of(&Actor::Login(*login)))?;
        if !found.used.load(Ordering::Relaxed) {
            found.used.store(true, Ordering::Relaxed);
        }
        if found.expires_ms.load(Ordering::Relaxed) < login.expires_ms {
            found.expires_ms.fetch_max(login.expires_ms, Ordering::Relaxed);
        }
        Some(Arc::clone(found))
    }

    /// Holds a key of this login, whose sealed form has `len` bytes. Whoever does looks again afterwards whether the
    /// login still stands, and else takes the key out: [`SessionKeys::retain`] may have come before. One that is there
    /// already stays, with the uses that were counted.
    pub fn insert(&self, login: &LoginActor, key: SessionKey, len: usize) -> Arc<HeldSessionKey> {
        let place = (key.login, key.reference);
        let new = Arc::new(HeldSessionKey {
            key,
            len,
            clear: OnceLock::new(),
            expires_ms: AtomicU64::new(login.expires_ms),
            uses: AtomicU64::new(0),
            used: AtomicBool::new(false),
        });
        let mut held = self.write();
        if let Some(there) = held.keys.get(&place).filter(|there| there.key == new.key) {
            there.expires_ms.fetch_max(login.expires_ms, Ordering::Relaxed);
            return Arc::clone(there);
        }
        held.remove(place);
        let owner = new.key.owner;
        while let Some(scarce) = held.scarce(self, len) {
            held.drop_one(scarce, owner, len);
        }
        held.len += len;
        let of_user = held.users.entry(owner).or_default();
        of_user.len += len;
        of_user.turns.push_back(place);
        held.keys.insert(place, Arc::clone(&new));
        new
    }

    /// Drops a key; its memory is wiped when the last request that uses it ends.
    pub fn remove(&self, login: LoginId, reference: KeyReference) {
        self.write().remove((login, reference));
    }

    /// Drops the keys of logins that do not stand.
    pub fn retain(&self, stands: impl Fn(&LoginActor) -> bool) {
        if self.read().keys.is_empty() {
            return;
        }
        let mut held = self.write();
        let Held { keys, users, len } = &mut *held;
        keys.retain(|_, key| {
            let stays = stands(&key.login());
            if !stays {
                *len -= key.len;
                if let Some(of_user) = users.get_mut(&key.key.owner) {
                    of_user.len -= key.len;
                }
            }
            stays
        });
        users.retain(|_, of_user| {
            of_user.turns.retain(|place| keys.contains_key(place));
            !of_user.turns.is_empty()
        });
    }

    /// How many keys are held.
    pub fn len(&self) -> usize {
        self.read().keys.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SessionKeys {
    fn default() -> SessionKeys {
        SessionKeys::new(SESSION_KEYS_HELD_MAX, SESSION_KEYS_HELD_LEN_MAX)
    }
}

/// What there is too little of for one more key.
#[derive(Clone, Copy)]
enum Scarce {
    Places,
    Bytes,
}

impl Held {
    fn scarce(&self, limits: &SessionKeys, len: usize) -> Option<Scarce> {
        match () {
            () if self.keys.is_empty() => None,
            () if self.keys.len() >= limits.keys_max => Some(Scarce::Places),
            () if self.len + len > limits.len_max => Some(Scarce::Bytes),
            () => None,
        }
    }

    fn remove(&mut self, place: Place) {
        let Some(gone) = self.keys.remove(&place) else { return };
        self.len -= gone.len;
        if let Entry::Occupied(mut of_user) = self.users.entry(gone.key.owner) {
            of_user.get_mut().len -= gone.len;
            of_user.get_mut().turns.retain(|other| *other != place);
            if of_user.get().turns.is_empty() {
                of_user.remove();
            }
        }
    }

    /// Drops a key of the user who holds most of what is scarce, the one whose key is about to come counted with it: the key
    /// whose turn it is; one that was used since its last turn gets another. There are as many users as are logged in, and
    /// keys are made seldom, so they are looked through.
    fn drop_one(&mut self, scarce: Scarce, coming: UserId, len: usize) {
        let holds = |(user, of_user): (&UserId, &OfUser)| match scarce {
            Scarce::Places => of_user.turns.len() + usize::from(*user == coming),
            Scarce::Bytes => of_user.len + if *user == coming { len } else { 0 },
        };
        // Among those who hold as much it is whoever brings the key.
        let most = self.users.iter().max_by_key(|(user, of_user)| (holds((user, of_user)), **user == coming));
        let Some(user) = most.map(|(user, _)| *user) else { return };
        let Some(of_user) = self.users.get_mut(&user) else { return };
        while let Some(place) = of_user.turns.pop_front() {
            let Some(key) = self.keys.get(&place) else { continue };
            of_user.turns.push_back(place);
            if !key.used.swap(false, Ordering::Relaxed) {
                self.remove(place);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Attributes, CredentialId, Flags, KeyClass, KeyType};

    use super::*;

    fn login(number: u8) -> LoginActor {
        LoginActor {
            login: LoginId::from_bytes([number; 16]),
            user: UserId::from_bytes([1; 16]),
            credential: CredentialId::from_bytes([2; 16]),
            role: Role::CryptoUser,
            expires_ms: 1_000,
        }
    }

    fn reference(number: u64) -> KeyReference {
        KeyReference::from_u64(number).unwrap()
    }

    fn key(of: &LoginActor, number: u64) -> SessionKey {
        SessionKey {
            reference: reference(number),
            login: of.login,
            credential: of.credential,
            owner: of.user,
            attributes: Attributes {
                class: KeyClass::SecretKey,
                key_type: KeyType::Aes,
                label: String::new(),
                id: Vec::new(),
                check_value: None,
                flags: Flags::NONE,
                length_bytes: 32,
                public: None,
                templates: strongroom_types::KeyTemplates::NONE,
            },
            sealed: Some([1; 61].into()),
            created_ms: 1,
            uses_before: 0,
        }
    }

    fn there(keys: &SessionKeys, of: &LoginActor) -> Vec<u64> {
        // Looked at without being used.
        let held = keys.read();
        let mut found: Vec<u64> =
            held.keys.keys().filter(|(login, _)| *login == of.login).map(|(_, key)| key.as_u64()).collect();
        found.sort_unstable();
        let lens: usize = held.keys.values().map(|key| key.len).sum();
        let of_users = held.users.values().fold((0, 0), |sum, user| (sum.0 + user.len, sum.1 + user.turns.len()));
        assert_eq!((held.len, of_users), (lens, (lens, held.keys.len())));
        assert!(held.users.values().all(|user| !user.turns.is_empty()));
        found
    }

    #[test]
    fn a_key_is_found_by_its_own_login_alone() {
        let keys = SessionKeys::default();
        let (one, other) = (login(1), login(2));
        keys.insert(&one, key(&one, 5), 100);
        assert_eq!(keys.find(&one, reference(5)).unwrap().key().reference, reference(5));
        assert!(keys.find(&one, reference(6)).is_none() && keys.find(&other, reference(5)).is_none());
        // The same login after a new password.
        let renewed = one.with_credential(CredentialId::from_bytes([9; 16]));
        assert!(keys.find(&renewed, reference(5)).is_none());
        keys.remove(one.login, reference(5));
        keys.remove(one.login, reference(5));
        assert!(keys.find(&one, reference(5)).is_none() && keys.is_empty());
    }

    #[test]
    fn a_session_key_is_used_to_its_last_use() {
        let keys = SessionKeys::default();
        let of = login(1);
        let held = keys.insert(&of, key(&of, 5), 10);
        assert_eq!(held.take_use(), Ok(()));
        held.uses.store(SESSION_KEY_USES_MAX - 1, Ordering::Relaxed);
        assert_eq!(held.take_use(), Ok(()));
        for _ in 0..2 {
            assert_eq!(held.take_use(), Err(Status::KeyUsesExhausted.into()));
        }
        // As many HSMs as a cluster has stay below what one key may be used.
        const { assert!(SESSION_KEY_USES_MAX * HSMS <= KEY_USES_MAX) };
    }

    #[test]
    fn a_copys_uses_are_those_that_its_original_had_left() {
        let keys = SessionKeys::default();
        let of = login(1);
        let refused = Err(Status::KeyUsesExhausted.into());
        let check = |uses_before: u64, used: u64, expected: Result<(), Refusal>| {
            let held = keys.insert(&of, SessionKey { uses_before, ..key(&of, 5) }, 10);
            held.uses.store(used, Ordering::Relaxed);
            assert_eq!(held.take_use(), expected, "{uses_before} {used}");
        };
        check(65_536, SESSION_KEY_USES_MAX - 1, Ok(()));
        check(KEY_USES_MAX - 3 * HSMS, 2, Ok(()));
        check(KEY_USES_MAX - 3 * HSMS, 3, refused.clone());
        check(KEY_USES_MAX - HSMS + 1, 0, refused.clone());
        check(KEY_USES_MAX, 0, refused);
    }

    /// Changing an attribute of a session key is copying it, and may be done before every use.
    #[test]
    fn copies_of_copies_are_used_no_more_often_than_one_key() {
        let keys = SessionKeys::default();
        let of = login(1);
        let mut held = keys.insert(&of, key(&of, 1), 10);
        let mut used = 0;
        for number in 2..100 {
            let part = SESSION_KEY_USES_MAX / 64;
            held.uses.store(part - 1, Ordering::Relaxed);
            if held.take_use().is_err() {
                break;
            }
            used += part;
            let copy = SessionKey { reference: reference(number), ..held.original() };
            assert_eq!(copy.uses_before, used * HSMS);
            held = keys.insert(&of, copy, 10);
        }
        // Each HSM's share of 2³², to the last block of so many.
        assert!(used <= KEY_USES_MAX / HSMS && used + SESSION_KEY_USES_MAX / 64 > KEY_USES_MAX / HSMS, "{used}");
        held.uses.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(held.original().uses_before, KEY_USES_MAX, "as much as a key's record holds");
    }

    /// Two requests that bring the same key at once count in one place.
    #[test]
    fn a_key_that_is_there_already_keeps_its_count() {
        let keys = SessionKeys::default();
        let of = login(1);
        let first = keys.insert(&of, key(&of, 5), 10);
        first.uses.store(SESSION_KEY_USES_MAX, Ordering::Relaxed);
        let renewed = LoginActor { expires_ms: 2_000, ..of };
        let again = keys.insert(&renewed, key(&of, 5), 10);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(again.take_use(), Err(Status::KeyUsesExhausted.into()));
        keys.retain(|login| login.expires_ms > 1_500);
        assert_eq!(there(&keys, &of), [5], "with the newer ticket");
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let keys = SessionKeys::new(3, 1_000);
        let of = login(1);
        for number in 1..=3 {
            keys.insert(&of, key(&of, number), 1);
        }
        assert_eq!(there(&keys, &of), [1, 2, 3], "at the limit");
        keys.find(&of, reference(1)).unwrap();
        keys.insert(&of, key(&of, 4), 1);
        assert_eq!(there(&keys, &of), [1, 3, 4], "one above it");
        keys.insert(&of, key(&of, 5), 1);
        keys.insert(&of, key(&of, 6), 1);
        // Everything was used: the first in turn goes all the same.
        for number in there(&keys, &of) {
            keys.find(&of, reference(number)).unwrap();
        }
        keys.insert(&of, key(&of, 7), 1);
        assert_eq!(there(&keys, &of).len(), 3);
        assert!(there(&keys, &of).contains(&7));
    }

    #[test]
    fn bytes_are_bounded_and_one_key_always_fits() {
        let keys = SessionKeys::new(100, 100);
        let of = login(1);
        keys.insert(&of, key(&of, 1), 60);
        keys.insert(&of, key(&of, 2), 40);
        assert_eq!(there(&keys, &of), [1, 2], "at the limit");
        keys.insert(&of, key(&of, 3), 1);
        assert_eq!(there(&keys, &of), [2, 3], "one above it");
        keys.insert(&of, key(&of, 4), 500);
        assert_eq!(there(&keys, &of), [4]);
        // Another one in its place: counted once.
        keys.insert(&of, SessionKey { created_ms: 2, ..key(&of, 4) }, 50);
        keys.insert(&of, key(&of, 5), 50);
        assert_eq!(there(&keys, &of), [4, 5]);
    }

    fn of_user(number: u8, user: u8) -> LoginActor {
        LoginActor { user: UserId::from_bytes([user; 16]), ..login(number) }
    }

    /// Somebody who makes keys without end would have every other user's keys come anew with each use, and their uses be
    /// counted from 0.
    #[test]
    fn who_holds_most_makes_room() {
        let keys = SessionKeys::new(6, 10_000);
        // One user may have many logins.
        let (quiet, one, other) = (of_user(1, 1), of_user(2, 2), of_user(3, 2));
        keys.insert(&quiet, key(&quiet, 1), 10);
        keys.insert(&quiet, key(&quiet, 2), 10);
        for number in 1..=50 {
            keys.insert(&one, key(&one, number), 10);
            keys.insert(&other, key(&other, number), 10);
        }
        assert_eq!(there(&keys, &quiet), [1, 2]);
        assert_eq!((there(&keys, &one), there(&keys, &other)), (vec![49, 50], vec![49, 50]));
        // Up to their part everybody finds room.
        keys.insert(&quiet, key(&quiet, 3), 10);
        assert_eq!((there(&keys, &quiet), there(&keys, &one).len()), (vec![1, 2, 3], 1));
        keys.insert(&quiet, key(&quiet, 4), 10);
        assert_eq!((there(&keys, &quiet), there(&keys, &one).len()), (vec![2, 3, 4], 1));
    }

    #[test]
    fn who_holds_most_bytes_makes_room_for_bytes() {
        let keys = SessionKeys::new(100, 100);
        let (many, long) = (of_user(1, 1), of_user(2, 2));
        for number in 1..=5 {
            keys.insert(&many, key(&many, number), 1);
        }
        keys.insert(&long, key(&long, 1), 60);
        keys.insert(&long, key(&long, 2), 60);
        assert_eq!((there(&keys, &many), there(&keys, &long)), (vec![1, 2, 3, 4, 5], vec![2]));
    }

    #[test]
    fn keys_go_with_their_login() {
        let keys = SessionKeys::default();
        let (one, other) = (login(1), login(2));
        for of in [&one, &other] {
            keys.insert(of, key(of, 5), 10);
            keys.insert(of, key(of, 6), 10);
        }
        keys.retain(|login| login.login != one.login);
        assert_eq!((there(&keys, &one), there(&keys, &other)), (vec![], vec![5, 6]));
        // A renewed ticket is seen at the next use.
        let renewed = LoginActor { expires_ms: 2_000, ..other };
        keys.find(&renewed, reference(5)).unwrap();
        keys.retain(|login| login.expires_ms > 1_500);
        assert_eq!(there(&keys, &other), [5]);
        keys.retain(|_| false);
        keys.retain(|_| true);
        assert!(keys.is_empty());
    }
}

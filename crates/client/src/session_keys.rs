//! The session keys of one login, as its client keeps them: sealed, so that any HSM can be given them again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use strongroom_types::limits::{KEY_PAGE_LEN_MAX, SESSION_KEY_LEN_MAX, SESSION_KEYS_MAX};
use strongroom_types::{Filter, KeyReference, Refusal, Status};
use strongroom_wire::{KeyInfo, Malformed, NamedSessionKey, v1};

use crate::answers::{FoundAll, FoundKeys};

/// One key.
pub(crate) struct SessionKey {
    pub(crate) info: KeyInfo,
    sealed: Vec<u8>,
}

/// See the module. Empty in nearly every program, which then pays for one look at a number.
#[derive(Default)]
pub(crate) struct SessionKeys {
    keys: RwLock<BTreeMap<KeyReference, SessionKey>>,
    len: AtomicUsize,
}

impl TryFrom<v1::Key> for SessionKey {
    type Error = Malformed;

    fn try_from(mut key: v1::Key) -> Result<SessionKey, Malformed> {
        let sealed = std::mem::take(&mut key.sealed_session_key);
        if sealed.is_empty() || sealed.len() > SESSION_KEY_LEN_MAX {
            return Err(Malformed { field: "sealed_session_key" });
        }
        Ok(SessionKey { info: key.try_into()?, sealed })
    }
}

impl SessionKeys {
    /// Refuses so many more keys when they would be too many.
    pub(crate) fn check_room(&self, more: usize) -> Result<(), Refusal> {
        if self.len.load(Ordering::Relaxed) + more <= SESSION_KEYS_MAX { Ok(()) } else { Err(full()) }
    }

    /// Keeps new keys, all or none.
    pub(crate) fn insert(&self, new: Vec<SessionKey>) -> Result<Vec<KeyInfo>, Refusal> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() + new.len() > SESSION_KEYS_MAX {
            return Err(full());
        }
        let infos = new.iter().map(|key| key.info.clone()).collect();
        keys.extend(new.into_iter().map(|key| (key.info.reference, key)));
        self.len.store(keys.len(), Ordering::Relaxed);
        Ok(infos)
    }

    pub(crate) fn holds(&self, reference: KeyReference) -> bool {
        self.len.load(Ordering::Relaxed) > 0 && self.read(|keys| keys.contains_key(&reference))
    }

    /// The keys among these that are session keys, as a request names them: by reference, and `sealed` if it is so wanted.
    pub(crate) fn named(&self, references: &[KeyReference], sealed: bool) -> Vec<v1::SessionKey> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        self.read(|keys| {
            let named = references.iter().filter_map(|reference| {
                let key = keys.get(reference)?;
                let sealed = if sealed { key.sealed.clone() } else { Vec::new() };
                Some(NamedSessionKey { reference: *reference, sealed }.into())
            });
            named.collect()
        })
    }

    /// Those that the filter selects, in order of their references: how many, and a page of them.
    pub(crate) fn find(&self, filter: &Filter, offset: u32, limit: u32) -> FoundKeys {
        let to_usize = |number| usize::try_from(number).unwrap_or(usize::MAX);
        self.read(|keys| {
            let selected =
                || keys.values().map(|key| &key.info).filter(|info| filter.selects(info.reference, &info.attributes));
            let page = selected().skip(to_usize(offset)).take(to_usize(limit.min(KEY_PAGE_LEN_MAX)));
            let total = u32::try_from(selected().count()).unwrap_or(u32::MAX);
            FoundKeys { total, keys: page.cloned().collect() }
        })
    }

    /// The references of all that the filter selects, in order, and what the first of them are.
    pub(crate) fn find_all(&self, filter: &Filter, limit: u32) -> FoundAll {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.read(|keys| {
            let mut all = FoundAll { references: Vec::new(), keys: Vec::new() };
            for info in keys.values().map(|key| &key.info) {
                if filter.selects(info.reference, &info.attributes) {
                    all.references.push(info.reference);
                    if all.keys.len() < limit {
                        all.keys.push(info.clone());
                    }
                }
            }
            all
        })
    }

    pub(crate) fn get(&self, reference: KeyReference) -> Option<KeyInfo> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.read(|keys| keys.get(&reference).map(|key| key.info.clone()))
    }

    /// Forgets those of these keys that it has; they come back by name, as their HSMs know them.
    pub(crate) fn take(&self, references: &[KeyReference]) -> Vec<v1::SessionKey> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let taken = references.iter().filter(|reference| keys.remove(reference).is_some());
        let taken: Vec<_> =
            taken.map(|reference| NamedSessionKey { reference: *reference, sealed: Vec::new() }.into()).collect();
        self.len.store(keys.len(), Ordering::Relaxed);
        taken
    }

    pub(crate) fn forget(&self, reference: KeyReference) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&reference);
        self.len.store(keys.len(), Ordering::Relaxed);
    }

    /// They have ended, though the login goes on.
    pub(crate) fn clear(&self) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.clear();
        self.len.store(0, Ordering::Relaxed);
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<KeyReference, SessionKey>) -> T) -> T {
        look(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn full() -> Refusal {
    Refusal::new(Status::SessionKeysFull, format!("{SESSION_KEYS_MAX} session keys"))
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Attributes, Flags, KeyClass, KeyType, Revision};

    use super::*;

    fn key(number: u64) -> SessionKey {
        let info = KeyInfo {
            reference: KeyReference::from_u64(number).unwrap(),
            attributes: Attributes {
                class: KeyClass::SecretKey,
                key_type: KeyType::Aes,
                label: format!("key {}", number % 2),
                id: Vec::new(),
                check_value: None,
                flags: Flags::NONE,
                length_bytes: 32,
                public: None,
                templates: strongroom_types::KeyTemplates::NONE,
            },
            owner: "alice".parse().unwrap(),
            shared_with: Vec::new(),
            quorum: strongroom_types::KeyQuorum::NONE,
            revision: Revision(0),
        };
        SessionKey { info, sealed: vec![u8::try_from(number % 251).unwrap(); 90] }
    }

    fn reference(number: u64) -> KeyReference {
        KeyReference::from_u64(number).unwrap()
    }

    #[test]
    fn keys_are_named_and_forgotten() {
        let keys = SessionKeys::default();
        assert!(!keys.holds(reference(1)) && keys.named(&[reference(1)], true).is_empty());
        keys.insert(vec![key(1), key(2)]).unwrap();
        assert!(keys.holds(reference(1)) && !keys.holds(reference(3)));
        let wanted = [reference(2), reference(3)];
        let message = |sealed| v1::SessionKey { reference: 2, sealed };
        assert_eq!(keys.named(&wanted, false), [message(Vec::new())]);
        assert_eq!(keys.named(&wanted, true), [message(vec![2; 90])]);
        keys.forget(reference(2));
        assert!(keys.named(&wanted, true).is_empty() && keys.holds(reference(1)));
        keys.insert(vec![key(4), key(5)]).unwrap();
        let named = |reference| v1::SessionKey { reference, sealed: Vec::new() };
        assert_eq!(keys.take(&[reference(5), reference(3), reference(4), reference(5)]), [named(5), named(4)]);
        assert!(!keys.holds(reference(4)) && !keys.holds(reference(5)) && keys.holds(reference(1)));
        keys.clear();
        assert!(!keys.holds(reference(1)) && keys.take(&[reference(1)]).is_empty());
    }

    #[test]
    fn as_many_as_the_limit_and_no_more() {
        let keys = SessionKeys::default();
        let most = u64::try_from(SESSION_KEYS_MAX).unwrap();
        keys.insert((1..most).map(key).collect()).unwrap();
        keys.check_room(1).unwrap();
        assert_eq!(keys.check_room(2).unwrap_err().status, Status::SessionKeysFull);
        assert_eq!(keys.insert(vec![key(most), key(most + 1)]).unwrap_err().status, Status::SessionKeysFull);
        assert!(!keys.holds(reference(most)));
        keys.insert(vec![key(most)]).unwrap();
        assert_eq!(keys.check_room(1).unwrap_err().status, Status::SessionKeysFull);
        keys.forget(reference(7));
        keys.check_room(1).unwrap();
    }

    #[test]
    fn pages_are_in_order_and_count_everything() {
        let keys = SessionKeys::default();
        keys.insert([5, 1, 4, 3, 2].into_iter().map(key).collect()).unwrap();
        let check = |terms: &[&str], offset, limit, total, expected: &[u64]| {
            let filter = Filter(terms.iter().map(|term| term.parse().unwrap()).collect());
            let found = keys.find(&filter, offset, limit);
            let references: Vec<u64> = found.keys.iter().map(|key| key.reference.as_u64()).collect();
            assert_eq!((found.total, references.as_slice()), (total, expected), "{terms:?} {offset} {limit}");
        };
        check(&[], 0, 10, 5, &[1, 2, 3, 4, 5]);
        check(&[], 3, 10, 5, &[4, 5]);
        check(&[], 1, 2, 5, &[2, 3]);
        check(&[], 0, 0, 5, &[]);
        check(&[], 9, 9, 5, &[]);
        check(&["attr.label=key 1"], 1, 1, 3, &[3]);
        check(&["key-reference=4"], 0, 1, 1, &[4]);
        check(&["attr.token=true"], 0, 1, 0, &[]);
    }

    #[test]
    fn an_answer_without_the_sealed_form_is_none() {
        let message = |len| v1::Key { sealed_session_key: vec![1; len], ..v1::Key::from(key(1).info) };
        assert!(SessionKey::try_from(message(1)).is_ok() && SessionKey::try_from(message(SESSION_KEY_LEN_MAX)).is_ok());
        for len in [0, SESSION_KEY_LEN_MAX + 1] {
            let error = SessionKey::try_from(message(len)).err();
            assert_eq!(error, Some(Malformed { field: "sealed_session_key" }));
        }
    }
}

//! Objects of a slot, by the handles that this application knows them by, and what is done with them.
//!
//! * Handles count up over all slots and are never used again. An object that is found twice has one handle.
//! * A key's copy of what is known of it serves to refuse early and to save round trips; the HSM decides at every use.
//! * What dies with a session ends when that closes, whatever the HSMs answer; with the login all keys are forgotten.

mod attributes;
mod certificates;
mod create;
mod find;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod generate;
pub(crate) mod templates;
mod wrap;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use arc_swap::{ArcSwap, Guard};
use cryptoki_sys::*;
use strongroom_client::{Client, ClientError, KeyInfo, Level};
use strongroom_types::{CertificateReference, Flag, KeyReference, Status};

use crate::failure::Failure;
use crate::session::Session;
pub(crate) use attributes::Reading;
pub(crate) use certificates::Certificate;
pub(crate) use find::Find;

/// The last handle that was given to anything.
static LAST: AtomicU64 = AtomicU64::new(0);

fn next_handle() -> CK_OBJECT_HANDLE {
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// A key as it was seen. Its handle may be another key's by now, and another login may know the reference by another handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The application's handle.
    pub(crate) handle: CK_OBJECT_HANDLE,
    /// The HSMs' reference.
    pub(crate) reference: KeyReference,
}

/// A key that the application has a handle of.
pub(crate) struct Key {
    /// The application's handle.
    pub(crate) handle: CK_OBJECT_HANDLE,
    /// The HSMs' reference.
    pub(crate) reference: KeyReference,
    /// The session that made it, if it dies with that. Another thread may find a key before it is said whose it is.
    session: OnceLock<CK_SESSION_HANDLE>,
    info: ArcSwap<KeyInfo>,
    /// Held while the key is changed. Whatever takes its place under the handle has the same.
    changing: Arc<Mutex<()>>,
}

impl Key {
    pub(crate) fn new(handle: CK_OBJECT_HANDLE, info: KeyInfo, session: Option<CK_SESSION_HANDLE>) -> Arc<Key> {
        let session = session.map_or_else(OnceLock::new, OnceLock::from);
        let (reference, info) = (info.reference, ArcSwap::from_pointee(info));
        Arc::new(Key { handle, reference, session, info, changing: Arc::default() })
    }

    /// What it was seen as.
    pub(crate) fn entry(&self) -> Entry {
        Entry { handle: self.handle, reference: self.reference }
    }

    /// Waits for other threads' changes of the key. It may have another key in its place afterwards.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session with which it dies.
    pub(crate) fn session(&self) -> Option<CK_SESSION_HANDLE> {
        self.session.get().copied()
    }

    /// What is known of the key. Counts no reference, which threads that use the same key would contend for.
    pub(crate) fn info(&self) -> Guard<Arc<KeyInfo>> {
        self.info.load()
    }

    /// What the HSMs say of the key now.
    pub(crate) fn refresh(&self, client: &Client) -> Result<Guard<Arc<KeyInfo>>, ClientError> {
        self.learn(client.key_get(self.reference)?);
        Ok(self.info())
    }

    /// Takes a copy of what is known of the key, unless a newer one came before it.
    fn learn(&self, info: KeyInfo) {
        let info = Arc::new(info);
        self.info.rcu(|known| Arc::clone(if known.revision > info.revision { known } else { &info }));
    }
}

/// What a handle stands for.
#[derive(Clone)]
pub(crate) enum Object {
    /// A certificate.
    Certificate(Arc<Certificate>),
    /// A key.
    Key(Arc<Key>),
    /// A key of which only the reference is known yet.
    Unseen(KeyReference),
}

impl Object {
    /// The session with which it dies.
    fn session(&self) -> Option<CK_SESSION_HANDLE> {
        match self {
            Object::Certificate(certificate) => certificate.session(),
            Object::Key(key) => key.session(),
            Object::Unseen(_) => None,
        }
    }

    /// Whether it outlives the session that made it. A key of which only the reference is known is a session's if the client
    /// holds it: another thread may find it before the call that makes it has said so.
    fn outlives_session(&self, is_session_key: impl FnOnce(KeyReference) -> bool) -> bool {
        match self {
            Object::Certificate(certificate) => certificate.reference().is_some(),
            Object::Key(key) => key.info().attributes.flags.has(Flag::Token),
            Object::Unseen(reference) => !is_session_key(*reference),
        }
    }

    /// The HSMs' reference of a key.
    fn key_reference(&self) -> Option<KeyReference> {
        match self {
            Object::Certificate(_) => None,
            Object::Key(key) => Some(key.reference),
            Object::Unseen(reference) => Some(*reference),
        }
    }
}

#[derive(Default)]
struct Table {
    /// The number of the login that sees what is in it, zero without one.
    login: u64,
    objects: HashMap<CK_OBJECT_HANDLE, Object>,
    keys: HashMap<KeyReference, CK_OBJECT_HANDLE>,
    certificates: HashMap<CertificateReference, CK_OBJECT_HANDLE>,
    /// Those of sessions.
    session_certificates: HashMap<CK_OBJECT_HANDLE, Arc<Certificate>>,
    /// What dies with a session.
    of_sessions: HashMap<CK_SESSION_HANDLE, HashSet<CK_OBJECT_HANDLE>>,
}

impl Table {
    fn insert(&mut self, handle: CK_OBJECT_HANDLE, object: Object) {
        if let Some(session) = object.session() {
            self.of_sessions.entry(session).or_default().insert(handle);
            if let Object::Certificate(certificate) = &object {
                self.session_certificates.insert(handle, Arc::clone(certificate));
            }
        }
        self.objects.insert(handle, object);
    }

    /// Takes an object out, if it was there.
    fn remove(&mut self, handle: CK_OBJECT_HANDLE) -> Option<Object> {
        let removed = self.objects.remove(&handle)?;
        if let Some(of_session) = removed.session().and_then(|session| self.of_sessions.get_mut(&session)) {
            of_session.remove(&handle);
        }
        match &removed {
            Object::Key(key) => self.keys.remove(&key.reference),
            Object::Unseen(reference) => self.keys.remove(reference),
            Object::Certificate(certificate) => {
                self.session_certificates.remove(&handle);
                certificate.reference().and_then(|reference| self.certificates.remove(&reference))
            }
        };
        Some(removed)
    }

    /// Takes a key out, unless its handle is another key's by now.
    fn remove_key(&mut self, entry: Entry) {
        if self.objects.get(&entry.handle).and_then(Object::key_reference) == Some(entry.reference) {
            self.remove(entry.handle);
        }
    }

    /// The handle of what a search has found; none when it has none yet, or a key becomes known by more than its reference.
    fn known(&self, reference: KeyReference, info: Option<&KeyInfo>) -> Option<CK_OBJECT_HANDLE> {
        let handle = *self.keys.get(&reference)?;
        match (self.objects.get(&handle)?, info) {
            (Object::Key(key), Some(info)) => key.learn(info.clone()),
            (_, None) => {}
            (_, Some(_)) => return None,
        }
        Some(handle)
    }

    /// The key that was known by its reference alone, unless its handle was given up meanwhile.
    fn first_seen(&mut self, handle: CK_OBJECT_HANDLE, info: KeyInfo) -> Option<Arc<Key>> {
        self.objects.contains_key(&handle).then(|| self.key(info, None))
    }

    /// The handle of a key, of which a newer copy of what is known takes an older one's place.
    fn key(&mut self, info: KeyInfo, session: Option<CK_SESSION_HANDLE>) -> Arc<Key> {
        let handle = *self.keys.entry(info.reference).or_insert_with(next_handle);
        if let Some(Object::Key(key)) = self.objects.get(&handle) {
            key.learn(info);
            let key = Arc::clone(key);
            if let Some(session) = session
                && key.session.set(session).is_ok()
            {
                self.of_sessions.entry(session).or_default().insert(handle);
            }
            return key;
        }
        let key = Key::new(handle, info, session);
        self.insert(handle, Object::Key(Arc::clone(&key)));
        key
    }

    /// The same of a key that was made in this login; none in another one.
    fn add(&mut self, login: u64, info: KeyInfo, session: Option<CK_SESSION_HANDLE>) -> Option<Arc<Key>> {
        (self.login == login).then(|| self.key(info, session))
    }
}

impl Table {
    /// Gives a key's handle to another key, which dies with the same session unless it stays. Whether the handle was a key's.
    fn replace(&mut self, handle: CK_OBJECT_HANDLE, info: KeyInfo, stays: bool) -> bool {
        let Some(Object::Key(before)) = self.objects.get(&handle).cloned() else { return false };
        self.remove(handle);
        let (reference, session) = (info.reference, before.session().filter(|_| !stays));
        let session = session.map_or_else(OnceLock::new, OnceLock::from);
        let (info, changing) = (ArcSwap::from_pointee(info), Arc::clone(&before.changing));
        // A search may have found it before it had its place; an object has one handle.
        if let Some(other) = self.keys.insert(reference, handle) {
            self.objects.remove(&other);
        }
        self.insert(handle, Object::Key(Arc::new(Key { handle, reference, session, info, changing })));
        true
    }

    /// Takes out what dies with a session; the keys among it.
    fn session_closed(&mut self, session: CK_SESSION_HANDLE) -> Vec<Arc<Key>> {
        let dying = self.of_sessions.remove(&session).unwrap_or_default();
        let removed = dying.into_iter().filter_map(|handle| self.remove(handle));
        let keys = removed.filter_map(|object| match object {
            Object::Key(key) => Some(key),
            Object::Certificate(_) | Object::Unseen(_) => None,
        });
        keys.collect()
    }

    /// Forgets what only another login sees than this one, wherever that ended.
    fn enter(&mut self, login: u64) {
        if self.login != login && self.login != 0 {
            self.logged_out();
        }
        self.login = login;
    }

    fn logged_out(&mut self) {
        let ends = |object: &Object| match object {
            Object::Certificate(certificate) => certificate.is_private(),
            Object::Key(_) | Object::Unseen(_) => true,
        };
        let Table { login: _, objects, keys, certificates, session_certificates, of_sessions } = self;
        objects.retain(|_, object| !ends(object));
        keys.clear();
        certificates.retain(|_, handle| objects.contains_key(handle));
        session_certificates.retain(|handle, _| objects.contains_key(handle));
        of_sessions.values_mut().for_each(|handles| handles.retain(|handle| objects.contains_key(handle)));
    }
}

/// All objects that the application has handles of, of one slot.
pub(crate) struct Objects {
    client: Client,
    table: RwLock<Table>,
}

impl Objects {
    /// None yet. Keys that are known by their reference alone are asked for over `client`.
    pub(crate) fn new(client: Client) -> Objects {
        Objects { client, table: RwLock::default() }
    }

    /// The key of this handle.
    pub(crate) fn key(&self, handle: CK_OBJECT_HANDLE) -> Result<Arc<Key>, Failure> {
        match self.object(handle) {
            Some(Object::Key(key)) => Ok(key),
            Some(Object::Unseen(reference)) => match self.client.key_get(reference) {
                Ok(info) => self.seen(handle, info).ok_or_else(no_key),
                Err(error) => Err(self.gone(Entry { handle, reference }, error, CKR_KEY_HANDLE_INVALID)),
            },
            Some(Object::Certificate(_)) => Err(Failure::call(CKR_KEY_HANDLE_INVALID, "the object is a certificate")),
            None => Err(no_key()),
        }
    }

    /// The key of this handle, of which the HSMs have said this; none when the handle is no key's any more.
    fn seen(&self, handle: CK_OBJECT_HANDLE, info: KeyInfo) -> Option<Arc<Key>> {
        match self.object(handle)? {
            Object::Key(key) => {
                // Another key may have taken its place.
                if key.reference == info.reference {
                    key.learn(info);
                }
                Some(key)
            }
            Object::Unseen(_) => self.write(|table| table.first_seen(handle, info)),
            Object::Certificate(_) => None,
        }
    }

    /// Whatever has this handle.
    pub(crate) fn object(&self, handle: CK_OBJECT_HANDLE) -> Option<Object> {
        self.read(|table| table.objects.get(&handle).cloned())
    }

    /// Gives a key that was made in this login its handle; a key that dies with a session names that. None when the login is
    /// over.
    fn add(&self, login: u64, info: KeyInfo, session: Option<CK_SESSION_HANDLE>) -> Option<Arc<Key>> {
        self.write(|table| table.add(login, info, session))
    }

    /// Gives a key's handle to another key, if it is one still.
    fn replace(&self, handle: CK_OBJECT_HANDLE, info: KeyInfo, stays: bool) -> bool {
        self.write(|table| table.replace(handle, info, stays))
    }

    /// Forgets a certificate that is no more.
    fn forget_certificate(&self, handle: CK_OBJECT_HANDLE) {
        self.write(|table| table.remove(handle));
    }

    /// Forgets a key that is no more.
    fn forget_key(&self, key: Entry) {
        self.write(|table| table.remove_key(key));
    }

    /// What a call answers that a client's error ended. A key that is no more loses its handle, and the call answers `rv`.
    pub(crate) fn gone(&self, key: Entry, error: ClientError, rv: CK_RV) -> Failure {
        if !says_gone(&error) {
            return error.into();
        }
        self.forget_key(key);
        Failure::from(error).renamed(CKR_KEY_HANDLE_INVALID, rv)
    }

    /// The same for a use of a key, whose error is the operation's to name.
    pub(crate) fn used(&self, key: Entry, error: ClientError) -> ClientError {
        if says_gone(&error) {
            self.forget_key(key);
        }
        error
    }

    /// Takes out what dies with a session, for the keys' end in the HSMs.
    pub(crate) fn session_closed(&self, session: CK_SESSION_HANDLE) -> Vec<Arc<Key>> {
        self.write(|table| table.session_closed(session))
    }

    /// Forgets at once what only a login sees that is over.
    pub(crate) fn logged_out(&self) {
        self.write(|_| ());
    }

    fn read<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if table.login == self.client.login_number() {
            return look(&table);
        }
        drop(table);
        self.write(|table| look(table))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.enter(self.client.login_number());
        change(&mut table)
    }

    /// The same for what was asked for in this login; none when it is over.
    fn write_in<T>(&self, login: u64, change: impl FnOnce(&mut Table) -> T) -> Option<T> {
        self.write(|table| (table.login == login).then(|| change(table)))
    }

    /// The same for what may be asked for without a login.
    fn write_if<T>(&self, login: Option<u64>, change: impl FnOnce(&mut Table) -> T) -> Option<T> {
        match login {
            Some(login) => self.write_in(login, change),
            None => Some(self.write(change)),
        }
    }
}

/// Whether an HSM says that there is no such key, or none that the user may know of.
fn says_gone(error: &ClientError) -> bool {
    let is_gone = |status| matches!(status, Status::KeyUnknown | Status::SessionKeyMissing);
    matches!(error, ClientError::Refused(refusal) if is_gone(refusal.status))
}

fn no_key() -> Failure {
    Failure::call(CKR_KEY_HANDLE_INVALID, "there is no such key; find it anew")
}

impl Session {
    /// The number of the login, for what only a user may.
    fn login(&self) -> Result<u64, Failure> {
        match self.slot.login_number() {
            0 => Err(Failure::call(CKR_USER_NOT_LOGGED_IN, "call C_Login first")),
            login => Ok(login),
        }
    }

    /// Refuses to change what outlives a session, when this one only reads.
    fn check_may_change(&self, is_token: bool) -> Result<(), Failure> {
        match is_token && !self.is_rw {
            true => Err(Failure::call(CKR_SESSION_READ_ONLY, "the session was opened without CKF_RW_SESSION")),
            false => Ok(()),
        }
    }

    /// The object of this handle, for a call that is about objects.
    fn object(&self, handle: CK_OBJECT_HANDLE) -> Result<Object, Failure> {
        let unknown = Failure::call(CKR_OBJECT_HANDLE_INVALID, "there is no such object; find it anew");
        self.slot.objects.object(handle).ok_or(unknown)
    }

    /// Keeps a key that was made for whoever was logged in when the call began: one of the session dies with it.
    fn keep(&self, login: u64, info: KeyInfo) -> Result<CK_OBJECT_HANDLE, Failure> {
        let (reference, is_token) = (info.reference, info.attributes.flags.has(Flag::Token));
        let kept = self.slot.objects.add(login, info, (!is_token).then_some(self.handle));
        if let Some(key) = &kept
            && (is_token || !self.is_closed())
        {
            return Ok(key.handle);
        }
        if let Some(key) = &kept {
            // Whoever closed the session ended what it had then.
            self.slot.objects.forget_key(key.entry());
        }
        self.discard(reference, is_token);
        Err(match self.is_closed() {
            true => Failure::call(CKR_SESSION_CLOSED, "the session was closed while the key was made"),
            false => Failure::call(CKR_USER_NOT_LOGGED_IN, "the login ended while the key was made"),
        })
    }

    /// Ends a key that was made and that nobody gets.
    fn discard(&self, reference: KeyReference, is_token: bool) {
        if !is_token {
            return self.slot.client.end_session_keys(&[reference]);
        }
        if let Err(error) = self.slot.client.key_delete(reference) {
            let line = format!("key {reference} is left in the token, though no call has answered it: {error}");
            self.slot.log.write(Level::Warn, &line);
        }
    }
}

#[cfg(test)]
mod tests;

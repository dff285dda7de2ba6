//! The sessions of an application.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use cryptoki_sys::{
    CK_FLAGS, CK_SESSION_HANDLE, CK_STATE, CKF_FIND_OBJECTS, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKR_SESSION_COUNT,
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_PARALLEL_NOT_SUPPORTED, CKS_RO_PUBLIC_SESSION, CKS_RO_USER_FUNCTIONS,
    CKS_RW_PUBLIC_SESSION, CKS_RW_USER_FUNCTIONS,
};
use strongroom_client::Level;

use crate::failure::Failure;
use crate::objects::Find;
use crate::operations::{Digesting, Signing, Verifying};
use crate::slot::{Slot, same};

/// Sessions of an application, over all its slots.
pub(crate) const SESSIONS_MAX: usize = 1_024;

/// What a session has begun and not ended, one of each kind.
#[derive(Default)]
pub(crate) struct Active {
    /// A digest.
    pub(crate) digest: Option<Digesting>,
    /// A search.
    pub(crate) find: Option<Find>,
    /// A signature.
    pub(crate) sign: Option<Signing>,
    /// A verification.
    pub(crate) verify: Option<Verifying>,
}

/// One session.
pub(crate) struct Session {
    /// The application's name for it.
    pub(crate) handle: CK_SESSION_HANDLE,
    /// Where it was opened.
    pub(crate) slot: Arc<Slot>,
    /// Whether it may change token objects.
    pub(crate) is_rw: bool,
    /// What it is in the middle of. Held while an operation runs, so that two calls of one session follow each other.
    pub(crate) active: Mutex<Active>,
    closed: AtomicBool,
}

impl Session {
    /// What it is in the middle of.
    pub(crate) fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was closed, while a call in it goes on.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The state as the standard names it.
    pub(crate) fn state(&self) -> CK_STATE {
        match (self.is_rw, self.slot.logged_in()) {
            (false, false) => CKS_RO_PUBLIC_SESSION,
            (false, true) => CKS_RO_USER_FUNCTIONS,
            (true, false) => CKS_RW_PUBLIC_SESSION,
            (true, true) => CKS_RW_USER_FUNCTIONS,
        }
    }

    /// The flags it was opened with.
    pub(crate) fn flags(&self) -> CK_FLAGS {
        if self.is_rw { CKF_SERIAL_SESSION | CKF_RW_SESSION } else { CKF_SERIAL_SESSION }
    }

    /// Ends what these flags name.
    pub(crate) fn cancel_some(&self, flags: CK_FLAGS) {
        let mut active = self.active();
        if flags & CKF_FIND_OBJECTS != 0 {
            active.find = None;
        }
        active.cancel_operations(flags);
    }

    /// Ends whatever has begun.
    pub(crate) fn cancel(&self) {
        *self.active() = Active::default();
    }
}

/// All sessions. Handles count up and are never used again.
#[derive(Default)]
pub(crate) struct Sessions {
    last: AtomicU64,
    open: RwLock<HashMap<CK_SESSION_HANDLE, Arc<Session>>>,
}

impl Sessions {
    /// Opens a session.
    pub(crate) fn open(&self, slot: &Arc<Slot>, flags: CK_FLAGS) -> Result<CK_SESSION_HANDLE, Failure> {
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Failure::call(CKR_SESSION_PARALLEL_NOT_SUPPORTED, "CKF_SERIAL_SESSION must be set"));
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= SESSIONS_MAX {
            return Err(Failure::call(CKR_SESSION_COUNT, "the application has 1,024 sessions; close some"));
        }
        let handle = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (slot, is_rw, active) = (Arc::clone(slot), flags & CKF_RW_SESSION != 0, Mutex::default());
        open.insert(handle, Arc::new(Session { handle, slot, is_rw, active, closed: AtomicBool::new(false) }));
        Ok(handle)
    }

    /// The session of this handle.
    pub(crate) fn get(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>, Failure> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&handle).cloned().ok_or(Failure::call(CKR_SESSION_HANDLE_INVALID, "there is no such session"))
    }

    /// Those of a slot.
    pub(crate) fn of(&self, slot: &Arc<Slot>) -> Vec<Arc<Session>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().filter(|session| same(&session.slot, slot)).cloned().collect()
    }

    /// Closes a session: its operations and objects end, and the login with the slot's last session.
    pub(crate) fn close(&self, handle: CK_SESSION_HANDLE) -> Result<(), Failure> {
        let session = self.get(handle)?;
        let is_last = {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            if open.remove(&handle).is_none() {
                return Err(Failure::call(CKR_SESSION_HANDLE_INVALID, "the session was closed before"));
            }
            !open.values().any(|other| same(&other.slot, &session.slot))
        };
        session.closed.store(true, Ordering::SeqCst);
        let slot = &session.slot;
        match is_last && slot.logged_in() {
            true => slot.logout(|| ())?,
            false => end_objects(&session),
        }
        Ok(())
    }

    /// Closes every session of a slot, which ends its login.
    pub(crate) fn close_all(&self, slot: &Arc<Slot>) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let closed: Vec<_> = open.extract_if(|_, session| same(&session.slot, slot)).collect();
        drop(open);
        closed.iter().for_each(|(_, session)| session.closed.store(true, Ordering::SeqCst));
        if slot.logged_in() {
            // Over here, whatever the HSMs answer.
            let _ = slot.logout(|| ());
        }
        drop(closed);
    }

    /// Logs out: the slot's sessions are public, and what they are in the middle of ends.
    pub(crate) fn logout(&self, slot: &Arc<Slot>) -> Result<(), Failure> {
        slot.logout(|| self.of(slot).iter().for_each(|session| session.cancel()))
    }
}

/// Destroys what dies with a session.
fn end_objects(session: &Session) {
    for key in session.slot.objects.session_closed(session.handle) {
        if let Err(error) = session.slot.client.key_delete(key.reference) {
            let line =
                format!("session key {} could not be destroyed, and ends with the login: {error}", key.reference);
            session.slot.log.write(Level::Warn, &line);
        }
    }
}

//! The sessions of an application.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use cryptoki_sys::{
    CK_FLAGS, CK_SESSION_HANDLE, CK_STATE, CKF_FIND_OBJECTS, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKR_SESSION_COUNT,
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_PARALLEL_NOT_SUPPORTED, CKS_RO_PUBLIC_SESSION, CKS_RO_USER_FUNCTIONS,
    CKS_RW_PUBLIC_SESSION, CKS_RW_USER_FUNCTIONS,
};
use strongroom_client::Level;
use strongroom_types::limits::SESSIONS_MAX;

use crate::attribute::Given;
use crate::failure::Failure;
use crate::objects::Find;
use crate::objects::templates::name_of;
use crate::operations::{Ciphering, Digesting, Signing, Verifying};
use crate::slot::{Credentials, LOGIN_PATIENCE, LOGOUT_PATIENCE, Slot};
use crate::turn::Turn;

/// What a session has begun and not ended, one of each kind.
#[derive(Default)]
pub(crate) struct Active {
    /// The number of the login that it belongs to, zero without one.
    pub(crate) login: u64,
    /// A decryption.
    pub(crate) decrypt: Option<Ciphering>,
    /// A digest.
    pub(crate) digest: Option<Digesting>,
    /// An encryption.
    pub(crate) encrypt: Option<Ciphering>,
    /// A search.
    pub(crate) find: Option<Find>,
    /// A signature.
    pub(crate) sign: Option<Signing>,
    /// A verification.
    pub(crate) verify: Option<Verifying>,
}

impl Active {
    /// Ends what was begun in another login than this one, wherever that ended: all but digests, which need none. What was
    /// begun without a login goes on with one.
    pub(crate) fn enter(&mut self, login: u64) {
        if self.login != login && self.login != 0 {
            *self = Active { digest: self.digest.take(), ..Active::default() };
        }
        self.login = login;
    }
}

/// One session.
pub(crate) struct Session {
    /// The application's name for it.
    pub(crate) handle: CK_SESSION_HANDLE,
    /// Where it was opened.
    pub(crate) slot: Arc<Slot>,
    /// Whether it may change token objects.
    pub(crate) is_rw: bool,
    closed: AtomicBool,
    /// What it is in the middle of. Held while an operation runs, so that two calls of one session follow each other.
    active: Mutex<Active>,
}

impl Session {
    /// What it is in the middle of, of the login that there is now.
    pub(crate) fn active(&self) -> MutexGuard<'_, Active> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.enter(self.slot.login_number());
        active
    }

    /// Whether it was closed while a call ran in it, which then leaves nothing behind.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Notes which attributes a caller gives, and nothing of their values, for whoever wants to know what comes in.
    pub(crate) fn note_template(&self, function: &str, template: &[Given]) {
        let log = &self.slot.log;
        if log.keeps(Level::Debug) {
            let names: Vec<_> = template.iter().map(|given| name_of(given.kind)).collect();
            log.write(Level::Debug, &format!("{function}: template of {}", names.join(" ")));
        }
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

    /// Ends at once what the login that is over began. Where a call runs, the next one will end it.
    fn logged_out(&self) {
        if let Ok(mut active) = self.active.try_lock() {
            active.enter(self.slot.login_number());
        }
    }
}

/// The last handle that a session got, before and after `C_Finalize`.
static LAST: AtomicU64 = AtomicU64::new(0);

/// All sessions. Handles count up and are never used again.
#[derive(Default)]
pub(crate) struct Sessions {
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
            return Err(Failure::call(
                CKR_SESSION_COUNT,
                "the application has as many sessions as allowed; close some",
            ));
        }
        let handle = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let (slot, is_rw) = (Arc::clone(slot), flags & CKF_RW_SESSION != 0);
        let session = Session { handle, slot, is_rw, closed: AtomicBool::new(false), active: Mutex::default() };
        open.insert(handle, Arc::new(session));
        Ok(handle)
    }

    /// The session of this handle.
    pub(crate) fn get(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>, Failure> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&handle).cloned().ok_or(Failure::call(CKR_SESSION_HANDLE_INVALID, "there is no such session"))
    }

    /// Those of a slot.
    pub(crate) fn of(&self, slot: &Slot) -> Vec<Arc<Session>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().filter(|session| session.slot.id == slot.id).cloned().collect()
    }

    fn is_any_of(&self, slot: &Slot) -> bool {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().any(|session| session.slot.id == slot.id)
    }

    /// Closes a session: its operations and objects end, and the login with the slot's last session. A call that runs in
    /// it ends by itself.
    pub(crate) fn close(&self, handle: CK_SESSION_HANDLE) -> Result<(), Failure> {
        let closed = self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&handle);
        let session = closed.ok_or(Failure::call(CKR_SESSION_HANDLE_INVALID, "there is no such session"))?;
        self.end(&session.slot, std::slice::from_ref(&session));
        Ok(())
    }

    /// Closes every session of a slot, which ends its login.
    pub(crate) fn close_all(&self, slot: &Slot) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let closed: Vec<_> =
            open.extract_if(|_, session| session.slot.id == slot.id).map(|(_, session)| session).collect();
        drop(open);
        self.end(slot, &closed);
    }

    /// Ends what closed sessions of a slot leave behind.
    fn end(&self, slot: &Slot, closed: &[Arc<Session>]) {
        closed.iter().for_each(|session| session.closed.store(true, Ordering::SeqCst));
        if !self.is_any_of(slot) {
            let deadline = Instant::now() + LOGOUT_PATIENCE;
            // Who does not let go of the turn until then is logging in, and finds that there is no session any more.
            if let Ok(turn) = slot.turn(deadline) {
                self.end_login(slot, &turn, deadline);
            }
        }
        // Session keys end here and now; whatever can't be told to an HSM ends there with the login.
        let keys = closed.iter().flat_map(|session| slot.objects.session_closed(session.handle));
        let keys: Vec<_> = keys.map(|key| key.reference).collect();
        if !keys.is_empty() {
            slot.client.end_session_keys(&keys);
        }
    }

    /// Ends the login of a slot without sessions. Whoever has opened one meanwhile goes on with it.
    fn end_login(&self, slot: &Slot, turn: &Turn<'_>, deadline: Instant) {
        if !self.is_any_of(slot) {
            // If there was a login, it is over here whatever the HSMs answer.
            let _ = slot.logout(turn, deadline);
        }
    }

    /// Logs in to a session's slot. Of several threads that try at once one wins, and the others find it logged in.
    pub(crate) fn login(&self, session: &Session, credentials: &Credentials) -> Result<(), Failure> {
        let slot = &session.slot;
        let deadline = Instant::now() + LOGIN_PATIENCE;
        let turn = slot.turn(deadline)?;
        self.get(session.handle)?;
        slot.login(&turn, credentials, deadline)?;
        // Whoever closed the last session may not have waited for the turn.
        self.end_login(slot, &turn, Instant::now() + LOGOUT_PATIENCE);
        Ok(())
    }

    /// Logs out: the slot's sessions are public, and what they are in the middle of ends.
    pub(crate) fn logout(&self, slot: &Slot) -> Result<(), Failure> {
        let deadline = Instant::now() + LOGOUT_PATIENCE;
        let done = slot.logout(&slot.turn(deadline)?, deadline);
        self.of(slot).iter().for_each(|session| session.logged_out());
        done
    }
}

//! Objects of a slot, by the handles that this application knows them by.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use cryptoki_sys::{CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CKR_KEY_HANDLE_INVALID};
use strongroom_client::KeyInfo;
use strongroom_types::KeyReference;

use crate::failure::Failure;

/// A search between `C_FindObjectsInit` and `C_FindObjectsFinal`.
pub(crate) struct Find {
    /// What was found and not yet given out.
    pub(crate) left: Vec<CK_OBJECT_HANDLE>,
}

/// A key that the application has a handle of.
pub(crate) struct Key {
    /// The application's handle.
    pub(crate) handle: CK_OBJECT_HANDLE,
    /// The HSMs' reference.
    pub(crate) reference: KeyReference,
    /// The session that made it, if it dies with that.
    pub(crate) session: Option<CK_SESSION_HANDLE>,
    info: ArcSwap<KeyInfo>,
}

impl Key {
    /// What is known of the key.
    pub(crate) fn info(&self) -> Arc<KeyInfo> {
        self.info.load_full()
    }
}

/// All objects that the application has handles of, of one slot.
#[derive(Default)]
pub(crate) struct Objects {
    last: AtomicU64,
    keys: RwLock<HashMap<CK_OBJECT_HANDLE, Arc<Key>>>,
}

impl Objects {
    /// The key of this handle.
    pub(crate) fn key(&self, handle: CK_OBJECT_HANDLE) -> Result<Arc<Key>, Failure> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&handle).cloned().ok_or(Failure::call(CKR_KEY_HANDLE_INVALID, "there is no such key; find it anew"))
    }

    /// Gives a key its handle; a key that dies with a session names that.
    pub(crate) fn add(&self, info: KeyInfo, session: Option<CK_SESSION_HANDLE>) -> Arc<Key> {
        let handle = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let key = Arc::new(Key { handle, reference: info.reference, session, info: ArcSwap::from_pointee(info) });
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(handle, Arc::clone(&key));
        key
    }

    /// Takes out what dies with a session, for its end in the HSMs.
    pub(crate) fn session_closed(&self, session: CK_SESSION_HANDLE) -> Vec<Arc<Key>> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.extract_if(|_, key| key.session == Some(session)).map(|(_, key)| key).collect()
    }

    /// Forgets what only who is logged in sees.
    pub(crate) fn logged_out(&self) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

//! What follows from a change of the state at once: keys in clear go with their records and logins, connections end that may
//! be no more, and whoever takes connections is told of the certificate and the trust anchors to take them with.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use strongroom_core::{Key, State, check_connection, login_stands};
use strongroom_types::{CredentialId, RecordKind, RecordPath, UserId};

use crate::cluster::Watcher;
use crate::connections::Connections;
use crate::key_cache::KeyCache;

/// Counts the changes of what connections are taken with, and wakes who waits for one.
#[derive(Default)]
pub struct Bell {
    rings: Mutex<Rings>,
    rung: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rings {
    count: u64,
    stopped: bool,
}

impl Bell {
    /// How often it rang.
    pub fn count(&self) -> u64 {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Waits until it has rung more often than `seen`; false when it will not ring any more.
    pub fn wait(&self, seen: u64) -> bool {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |rings: &mut Rings| rings.count == seen && !rings.stopped;
        !self.rung.wait_while(rings, waits).unwrap_or_else(PoisonError::into_inner).stopped
    }

    /// Nobody waits any more.
    pub fn stop(&self) {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.rung.notify_all();
    }

    fn ring(&self) {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).count += 1;
        self.rung.notify_all();
    }
}

/// The watcher that the member calls.
pub struct Watch {
    keys: Arc<KeyCache>,
    bell: Arc<Bell>,
    clients: Arc<Connections>,
}

impl Watch {
    /// Drops keys of `keys`, rings `bell`, ends some of `clients`.
    pub fn new(keys: Arc<KeyCache>, bell: Arc<Bell>, clients: Arc<Connections>) -> Watch {
        Watch { keys, bell, clients }
    }
}

impl Watcher for Watch {
    fn applied(&self, before: &State, after: &State, changed: &[RecordPath]) {
        let ends_logins = |path: &RecordPath| match path.kind {
            RecordKind::EndedLogin => true,
            RecordKind::User => password_of(before, *path) != password_of(after, *path),
            _ => false,
        };
        if changed.iter().any(ends_logins) {
            self.keys.session_keys().retain(|login| login_stands(after, login, after.time_ms()).is_ok());
        }
        if changed.iter().any(|path| matches!(path.kind, RecordKind::Cluster | RecordKind::TrustAnchor)) {
            self.bell.ring();
            self.clients.end_those(|presented| check_connection(after, presented).is_err());
        }
        for path in changed.iter().filter(|path| path.kind == RecordKind::Key) {
            let reference = Key::reference_of(*path);
            // A key that was not there before is in no cache.
            if let Some(reference) = reference.filter(|reference| before.key(*reference).is_some()) {
                let same =
                    after.key(reference).map(|key| key.revision) == before.key(reference).map(|key| key.revision);
                if !same {
                    self.keys.remove(reference);
                }
                if after.key(reference).is_none() {
                    self.keys.uses().remove(reference);
                }
            }
        }
    }
}

/// The password that a user's logins rest on; none without the user.
fn password_of(state: &State, path: RecordPath) -> Option<CredentialId> {
    state.user(UserId::from_bytes(path.id))?.credential.as_ref().map(|credential| credential.id)
}

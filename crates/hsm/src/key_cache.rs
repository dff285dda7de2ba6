//! Keys in clear, parsed once. The only place where they stay longer than one request.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use strongroom_crypto_keys::{PrivateKey, SecretKey};
use strongroom_types::{KeyReference, Revision};

use crate::key_uses::KeyUses;
use crate::session_keys::SessionKeys;

/// Locks that requests for different keys share; more of them than threads that sign at once.
const SHARDS: usize = 16;

/// A key in clear, ready for use.
#[derive(Clone)]
pub enum ClearKey {
    /// A private key.
    Private(Arc<PrivateKey>),
    /// A secret key.
    Secret(Arc<SecretKey>),
}

type Shard = HashMap<KeyReference, (Revision, ClearKey)>;

/// Keys by reference and the revision of their record, and session keys by their login.
#[derive(Default)]
pub struct KeyCache {
    shards: [RwLock<Shard>; SHARDS],
    session_keys: SessionKeys,
    uses: Arc<KeyUses>,
}

impl KeyCache {
    /// The key of a record of this revision, if it is here.
    pub fn find(&self, reference: KeyReference, revision: Revision) -> Option<ClearKey> {
        let shard = self.shard(reference).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&reference).filter(|(of, _)| *of == revision).map(|(_, key)| key.clone())
    }

    /// Keeps a key. Whoever does looks again afterwards whether the record still stands, and else takes the key out:
    /// the record may have gone, and [`remove`](KeyCache::remove) been called, while the key was being parsed.
    pub fn insert(&self, reference: KeyReference, revision: Revision, key: ClearKey) {
        self.shard(reference).write().unwrap_or_else(PoisonError::into_inner).insert(reference, (revision, key));
    }

    /// Drops a key; its memory is wiped when the last request that uses it ends.
    pub fn remove(&self, reference: KeyReference) {
        self.shard(reference).write().unwrap_or_else(PoisonError::into_inner).remove(&reference);
    }

    /// The session keys.
    pub fn session_keys(&self) -> &SessionKeys {
        &self.session_keys
    }

    /// Uses that were reserved.
    pub fn uses(&self) -> &Arc<KeyUses> {
        &self.uses
    }

    fn shard(&self, reference: KeyReference) -> &RwLock<Shard> {
        // References are random.
        &self.shards[usize::try_from(reference.as_u64() % 16).expect("less than the number of shards")]
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

//! How an HSM encrypts its own data. `docs/spec/records.md` is the format, byte by byte.
//!
//! * The root key of the installation opens the cluster key; from the cluster key come all subkeys, one a purpose.
//! * Each record and each key's material is sealed under a key of its own, derived for its place: what is sealed for
//!   one place does not open in another, nor in another cluster, nor in another epoch of the same cluster.
//! * What one cluster's HSM seals for another opens in a clone of it alone, under the history key that both hold.
//! * Keys that live long (root key, cluster key, subkeys) lie in locked memory; derived ones are wiped after use.
//!
//! Deliberately absent: a way to take the root key or the cluster key out.

mod aead;
mod derive;
mod history;
mod root_key;
mod sealer;
#[cfg(test)]
mod tests;

use std::fmt;

use strongroom_crypto::random;
use thiserror::Error;

use crate::locked::Locked;
use derive::KEY_LEN;

pub use history::HistoryKey;
pub use root_key::{RootKey, RootKeyError};
pub use sealer::Sealer;

/// Version of everything sealed here: its first byte, part of what is authenticated.
pub const VERSION: u8 = 1;

/// Sealed bytes that do not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// Sealed by a newer version of Strongroom, or no sealed bytes at all.
    #[error("sealed in format {0}, and this version of Strongroom opens format {VERSION} only")]
    Version(u8),
    /// Too short to be sealed bytes, or a cluster key of another length than cluster keys have.
    #[error("too short or too long for what was sealed")]
    Length,
    /// Altered, moved from another place, or sealed under another key. Which of them cannot be told.
    #[error("altered, from another place or cluster, or sealed under another key")]
    Opening,
}

/// The key of one cluster. All that the cluster stores rests on it, in every epoch under subkeys of its own.
pub struct ClusterKey(Locked);

impl ClusterKey {
    /// A new one: 256 random bits.
    pub fn generate() -> ClusterKey {
        let mut key = Locked::zeroed(KEY_LEN);
        random::fill(key.expose_mut());
        ClusterKey(key)
    }

    fn from_slice(bytes: &[u8]) -> Result<ClusterKey, SealError> {
        if bytes.len() != KEY_LEN {
            return Err(SealError::Length);
        }
        let mut key = Locked::zeroed(KEY_LEN);
        key.expose_mut().copy_from_slice(bytes);
        Ok(ClusterKey(key))
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey")
    }
}

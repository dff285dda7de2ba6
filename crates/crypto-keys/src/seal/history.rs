use std::fmt;

use strongroom_crypto::random;
use strongroom_types::Secret;
use zeroize::Zeroizing;

use super::derive::{KEY_LEN, derive};
use super::{SealError, VERSION, aead};
use crate::locked::Locked;

/// For the record of a key or a user.
const RECORDS: &str = "strongroom replica";
/// For the material of a key, which is sealed inside of its record.
const MATERIALS: &str = "strongroom replicated material";

/// The key that a cluster and all its clones hold, made with the first of them. It seals what they send each other, and
/// nothing else.
///
/// Everything is sealed under a key of its own, derived from the header that stands before it in clear: with another
/// header it does not open.
pub struct HistoryKey(Locked);

impl HistoryKey {
    /// A new one: 256 random bits.
    pub fn generate() -> HistoryKey {
        let mut key = Locked::zeroed(KEY_LEN);
        random::fill(key.expose_mut());
        HistoryKey(key)
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Result<HistoryKey, SealError> {
        if bytes.len() != KEY_LEN {
            return Err(SealError::Length);
        }
        let mut key = Locked::zeroed(KEY_LEN);
        key.expose_mut().copy_from_slice(bytes);
        Ok(HistoryKey(key))
    }

    pub(super) fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// Seals a record for the cluster that its header names.
    pub fn seal_replica(&self, header: &[u8], record: &[u8]) -> Vec<u8> {
        aead::seal(&*self.derived(RECORDS, header), &bound(header), &[], record)
    }

    /// Opens a record that came with this header.
    pub fn open_replica(&self, header: &[u8], sealed: &[u8]) -> Result<Secret, SealError> {
        aead::open(&*self.derived(RECORDS, header), &bound(header), aead::body(sealed)?)
    }

    /// Seals a key's material for the cluster that the header of its record names.
    pub fn seal_replica_material(&self, header: &[u8], material: &Secret) -> Vec<u8> {
        aead::seal(&*self.derived(MATERIALS, header), &bound(header), &[], material.expose())
    }

    /// Opens a key's material whose record came with this header.
    pub fn open_replica_material(&self, header: &[u8], sealed: &[u8]) -> Result<Secret, SealError> {
        aead::open(&*self.derived(MATERIALS, header), &bound(header), aead::body(sealed)?)
    }

    fn derived(&self, label: &str, header: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        derive(self.0.expose(), label, &[header], &mut *key);
        key
    }
}

/// The associated data: the version of sealing, then the header.
fn bound(header: &[u8]) -> Vec<u8> {
    [&[VERSION], header].concat()
}

impl fmt::Debug for HistoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HistoryKey")
    }
}

//! Digests, made in the caller's process.

use cryptoki_sys::{
    CK_MECHANISM_TYPE, CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384, CKM_SHA512, CKR_MECHANISM_INVALID,
};
use strongroom_crypto::digest::{Hasher, digest};
use strongroom_types::{HashFunction, Secret};

use super::{FromCaller, give, in_parts};
use crate::entry::{Output, Room};
use crate::failure::Failure;
use crate::mechanism::Mechanism;

/// A digest in the making.
pub(crate) struct Digesting {
    hash: HashFunction,
    /// None before the first part.
    parts: Option<Hasher>,
}

impl Digesting {
    /// Nothing hashed yet.
    pub(crate) fn new(mechanism: &Mechanism) -> Result<Digesting, Failure> {
        let invalid = Failure::call(CKR_MECHANISM_INVALID, "the mechanism makes no digest");
        Ok(Digesting { hash: hash_of(mechanism.number()).ok_or(invalid)?, parts: None })
    }

    /// The next part.
    pub(crate) fn update(&mut self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        self.parts.get_or_insert_with(|| Hasher::new(self.hash)).update(part?);
        Ok(())
    }

    /// The digest of data in one part.
    pub(crate) fn whole(&self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        let (data, room) = (data?, room?);
        if self.parts.is_some() {
            return Err(in_parts());
        }
        give(self.hash.digest_len(), room, || Ok(Secret::new(digest(self.hash, data))))
    }

    /// The digest of all parts.
    pub(crate) fn finish(&mut self, room: FromCaller<Room>) -> Result<Output, Failure> {
        let hash = self.hash;
        give(hash.digest_len(), room?, || {
            let hasher = self.parts.take().unwrap_or_else(|| Hasher::new(hash));
            Ok(Secret::new(hasher.finish()))
        })
    }
}

fn hash_of(number: CK_MECHANISM_TYPE) -> Option<HashFunction> {
    match number {
        CKM_SHA_1 => Some(HashFunction::Sha1),
        CKM_SHA224 => Some(HashFunction::Sha224),
        CKM_SHA256 => Some(HashFunction::Sha256),
        CKM_SHA384 => Some(HashFunction::Sha384),
        CKM_SHA512 => Some(HashFunction::Sha512),
        _ => None,
    }
}

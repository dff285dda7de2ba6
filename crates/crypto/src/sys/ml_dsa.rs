//! ML-DSA (FIPS 204) and the extendable-output function that it hashes with.

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use aws_lc_sys as lc;
use strongroom_types::MlDsaAlgorithm;

use super::{ErrorQueue, owned};

owned!(
    /// A public key.
    Pkey,
    lc::EVP_PKEY,
    EVP_PKEY_free
);
owned!(
    /// One use of a key.
    PkeyContext,
    lc::EVP_PKEY_CTX,
    EVP_PKEY_CTX_free
);
owned!(
    /// A hash in the making.
    DigestContext,
    lc::EVP_MD_CTX,
    EVP_MD_CTX_free
);

/// Why SHAKE256 may fail.
const MEMORY: &str = "SHAKE256 fails when memory runs out only";

/// SHAKE256 (FIPS 202) over data that come in pieces.
pub(crate) struct Shake256(DigestContext);

// SAFETY: the context is ours alone and bound to no thread.
unsafe impl Send for Shake256 {}

impl Shake256 {
    /// Nothing hashed yet.
    pub(crate) fn new() -> Shake256 {
        let _queue = ErrorQueue;
        // SAFETY: a new context, ours alone.
        let context = unsafe {
            DigestContext::take(lc::EVP_MD_CTX_new())
                .filter(|context| lc::EVP_DigestInit_ex(context.as_ptr(), lc::EVP_shake256(), ptr::null_mut()) == 1)
        };
        Shake256(context.expect(MEMORY))
    }

    /// Hashes the next piece.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        let _queue = ErrorQueue;
        // SAFETY: reads the piece by its length.
        let done = unsafe { lc::EVP_DigestUpdate(self.0.as_ptr(), piece.as_ptr().cast(), piece.len()) == 1 };
        assert!(done, "{MEMORY}");
    }

    /// The first 64 bytes of output.
    pub(crate) fn finish(self) -> [u8; 64] {
        let _queue = ErrorQueue;
        let mut output = [0; 64];
        // SAFETY: writes exactly the output's length.
        let done = unsafe { lc::EVP_DigestFinalXOF(self.0.as_ptr(), output.as_mut_ptr(), output.len()) == 1 };
        assert!(done, "{MEMORY}");
        output
    }
}

/// A public key.
pub(crate) struct MlDsaPublic(Pkey);

impl MlDsaPublic {
    /// None when the length is not that of the algorithm's keys.
    pub(crate) fn new(algorithm: MlDsaAlgorithm, key: &[u8]) -> Option<MlDsaPublic> {
        let _queue = ErrorQueue;
        // SAFETY: reads `key.len()` bytes, makes a new key or null.
        let key = unsafe { Pkey::take(lc::EVP_PKEY_pqdsa_new_raw_public_key(nid(algorithm), key.as_ptr(), key.len())) };
        key.map(MlDsaPublic)
    }

    /// Whether the signature is one of μ.
    pub(crate) fn verify(&self, mu: &[u8; 64], signature: &[u8]) -> bool {
        let _queue = ErrorQueue;
        // SAFETY: the context takes a reference to the key; reads signature and μ by their lengths.
        unsafe {
            PkeyContext::take(lc::EVP_PKEY_CTX_new(self.0.as_ptr(), ptr::null_mut())).is_some_and(|context| {
                let context = context.as_ptr();
                lc::EVP_PKEY_verify_init(context) == 1
                    && lc::EVP_PKEY_verify(context, signature.as_ptr(), signature.len(), mu.as_ptr(), mu.len()) == 1
            })
        }
    }
}

fn nid(algorithm: MlDsaAlgorithm) -> c_int {
    match algorithm {
        MlDsaAlgorithm::MlDsa44 => lc::NID_MLDSA44,
        MlDsaAlgorithm::MlDsa65 => lc::NID_MLDSA65,
        MlDsaAlgorithm::MlDsa87 => lc::NID_MLDSA87,
    }
}

//! ML-DSA (FIPS 204).

use std::ffi::c_int;
use std::ptr;

use aws_lc_sys as lc;
use strongroom_types::{MlDsaAlgorithm, PublicPart, Secret};

use super::{ErrorQueue, Pkey, PkeyContext, generate, pkcs8};

/// A private key.
pub(crate) struct MlDsaPrivate {
    key: Pkey,
    algorithm: MlDsaAlgorithm,
}

impl MlDsaPrivate {
    /// None when the key is of no algorithm that is known, or `bytes` are not the one PKCS #8 that holds its seed: AWS-LC
    /// overlooks what stands behind the seed, and could not write down again what comes without one.
    pub(super) fn new(key: Pkey, bytes: &[u8]) -> Option<MlDsaPrivate> {
        // SAFETY: the key is valid.
        let found = unsafe { lc::EVP_PKEY_pqdsa_get_type(key.as_ptr()) };
        let algorithm = *MlDsaAlgorithm::ALL.iter().find(|algorithm| nid(**algorithm) == found)?;
        let canonical = pkcs8(&key)?;
        strongroom_crypto::equal(canonical.expose(), bytes).then_some(MlDsaPrivate { key, algorithm })
    }

    pub(super) fn public(&self) -> Option<PublicPart> {
        let mut key = vec![0; self.algorithm.public_len()];
        let mut len = key.len();
        // SAFETY: writes at most `len` bytes to `key`.
        let done = unsafe { lc::EVP_PKEY_get_raw_public_key(self.key.as_ptr(), key.as_mut_ptr(), &mut len) };
        (done == 1 && len == key.len()).then_some(PublicPart::MlDsa { algorithm: self.algorithm, key })
    }

    /// A signature of μ, hedged: AWS-LC mixes randomness in (FIPS 204 §3.4), so a faulty one tells nothing beside a
    /// right one.
    pub(crate) fn sign(&self, mu: &[u8; 64]) -> Option<Vec<u8>> {
        let _queue = ErrorQueue;
        let mut len = 0;
        // SAFETY: the context takes a reference to the key; the first call of `EVP_PKEY_sign` writes the length alone, the
        // second at most `len` bytes to `signature`; both read μ.
        unsafe {
            let context = PkeyContext::take(lc::EVP_PKEY_CTX_new(self.key.as_ptr(), ptr::null_mut()))?;
            let context = context.as_ptr();
            if lc::EVP_PKEY_sign_init(context) != 1
                || lc::EVP_PKEY_sign(context, ptr::null_mut(), &mut len, mu.as_ptr(), mu.len()) != 1
            {
                return None;
            }
            let mut signature = vec![0; len];
            let done = lc::EVP_PKEY_sign(context, signature.as_mut_ptr(), &mut len, mu.as_ptr(), mu.len());
            (done == 1 && len == signature.len()).then_some(signature)
        }
    }
}

/// Makes a key and gives its PKCS #8, which holds the seed (RFC 9881 §6).
pub(crate) fn generate_ml_dsa(algorithm: MlDsaAlgorithm) -> Option<Secret> {
    let _queue = ErrorQueue;
    // SAFETY: the context is one that makes keys of this type.
    let set = |context| unsafe { lc::EVP_PKEY_CTX_pqdsa_set_params(context, nid(algorithm)) == 1 };
    pkcs8(&generate(lc::EVP_PKEY_PQDSA, set)?)
}

fn nid(algorithm: MlDsaAlgorithm) -> c_int {
    match algorithm {
        MlDsaAlgorithm::MlDsa44 => lc::NID_MLDSA44,
        MlDsaAlgorithm::MlDsa65 => lc::NID_MLDSA65,
        MlDsaAlgorithm::MlDsa87 => lc::NID_MLDSA87,
    }
}

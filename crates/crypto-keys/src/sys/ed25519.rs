//! Ed25519 (RFC 8032 §5.1).

use std::ptr;

use aws_lc_sys as lc;
use strongroom_types::{Curve, PublicPart, Secret};
use zeroize::Zeroizing;

use super::{ErrorQueue, Pkey, generate, pkcs8};

const SEED_LEN: usize = 32;
const PUBLIC_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;

/// A private key: the seed, then the public key.
pub(crate) struct Ed25519Private(Box<Zeroizing<[u8; SEED_LEN + PUBLIC_LEN]>>);

impl Ed25519Private {
    /// None when AWS-LC is out of memory.
    pub(super) fn new(key: &Pkey) -> Option<Ed25519Private> {
        let mut whole = Box::new(Zeroizing::new([0; SEED_LEN + PUBLIC_LEN]));
        let (seed, public) = whole.split_at_mut(SEED_LEN);
        let (mut seed_len, mut public_len) = (seed.len(), public.len());
        // SAFETY: the key is an Ed25519 key; each call writes at most as many bytes as its length says.
        let done = unsafe {
            lc::EVP_PKEY_get_raw_private_key(key.as_ptr(), seed.as_mut_ptr(), &mut seed_len) == 1
                && lc::EVP_PKEY_get_raw_public_key(key.as_ptr(), public.as_mut_ptr(), &mut public_len) == 1
        };
        (done && seed_len == SEED_LEN && public_len == PUBLIC_LEN).then_some(Ed25519Private(whole))
    }

    fn public_bytes(&self) -> &[u8] {
        &self.0[SEED_LEN..]
    }

    pub(super) fn public(&self) -> PublicPart {
        PublicPart::Ec { curve: Curve::Ed25519, point: self.public_bytes().to_vec() }
    }

    /// PureEdDSA.
    ///
    /// Signatures are deterministic: a faulty one and a right one of the same message give the key away (Poddebniak and
    /// others, 2018). AWS-LC does not look at its result, so it is verified here before it leaves.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let _queue = ErrorQueue;
        let mut signature = [0; SIGNATURE_LEN];
        // SAFETY: reads the message by its length, the key's 64 bytes, and writes the signature's 64 bytes; then reads
        // message, signature and the key's 32 public bytes.
        let done = unsafe {
            lc::ED25519_sign(signature.as_mut_ptr(), message.as_ptr(), message.len(), self.0.as_ptr()) == 1
                && lc::ED25519_verify(message.as_ptr(), message.len(), signature.as_ptr(), self.public_bytes().as_ptr())
                    == 1
        };
        done.then(|| signature.to_vec())
    }

    /// HashEdDSA with an empty context, of a SHA-512 digest; verified like the other.
    pub(crate) fn sign_ph(&self, digest: &[u8; 64]) -> Option<Vec<u8>> {
        let _queue = ErrorQueue;
        let mut signature = [0; SIGNATURE_LEN];
        // SAFETY: reads the digest's 64 bytes, the key's 64 bytes and nothing of the empty context, and writes the
        // signature's 64 bytes; then reads digest, signature and the key's 32 public bytes.
        let done = unsafe {
            let none = ptr::null();
            lc::ED25519ph_sign_digest(signature.as_mut_ptr(), digest.as_ptr(), self.0.as_ptr(), none, 0) == 1
                && lc::ED25519ph_verify_digest(
                    digest.as_ptr(),
                    signature.as_ptr(),
                    self.public_bytes().as_ptr(),
                    none,
                    0,
                ) == 1
        };
        done.then(|| signature.to_vec())
    }
}

/// Makes a key and gives its PKCS #8: version 1, the seed alone (RFC 8410 §7).
pub(crate) fn generate_ed25519() -> Option<Secret> {
    let _queue = ErrorQueue;
    pkcs8(&generate(lc::EVP_PKEY_ED25519, |_| true)?)
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    /// A key whose halves do not belong together signs so that two signatures give the seed away. It signs nothing.
    #[test]
    fn a_faulty_result_never_leaves() {
        let Some(Key::Ed25519(mut key)) = Key::read(generate_ed25519().unwrap().expose()) else { panic!("no key") };
        assert!(key.sign(b"message").is_some() && key.sign_ph(&[7; 64]).is_some());
        key.0[SEED_LEN] ^= 1;
        assert!(key.sign(b"message").is_none() && key.sign_ph(&[7; 64]).is_none());
    }
}

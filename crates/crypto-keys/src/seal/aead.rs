//! AES-256-GCM (SP 800-38D) with random nonces drawn by AWS-LC, in the form that everything sealed has:
//! version, nonce, ciphertext, tag. The version is authenticated: the callers' associated data begins with it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use strongroom_types::Secret;
use zeroize::Zeroizing;

use super::{SealError, VERSION};

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// Seals `plain`. `salt` is put between version and nonce, and need not be secret; most things have none.
pub(super) fn seal(key: &[u8], associated: &[u8], salt: &[u8], plain: &[u8]) -> Vec<u8> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).expect("the key has 32 bytes");
    let mut sealed = Vec::with_capacity(1 + salt.len() + NONCE_LEN + plain.len() + TAG_LEN);
    sealed.push(VERSION);
    sealed.extend_from_slice(salt);
    sealed.extend_from_slice(&[0; NONCE_LEN]);
    sealed.extend_from_slice(plain);
    let (front, text) = sealed.split_at_mut(1 + salt.len() + NONCE_LEN);
    let sealing = key.seal_in_place_separate_tag(Aad::from(associated), text);
    let (nonce, tag) = sealing.expect("AWS-LC seals whatever fits into memory");
    front[1 + salt.len()..].copy_from_slice(nonce.as_ref());
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

/// What follows the version byte, if it is the version that this code knows.
pub(super) fn body(sealed: &[u8]) -> Result<&[u8], SealError> {
    let (version, body) = sealed.split_first().ok_or(SealError::Length)?;
    if *version == VERSION { Ok(body) } else { Err(SealError::Version(*version)) }
}

/// Opens what follows version and salt in what [`seal`] made under the same key and associated data.
pub(super) fn open(key: &[u8], associated: &[u8], rest: &[u8]) -> Result<Secret, SealError> {
    let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Length)?;
    if text.len() < TAG_LEN {
        return Err(SealError::Length);
    }
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).expect("the key has 32 bytes");
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let mut text = Zeroizing::new(text.to_vec());
    let plain = key.open_in_place(nonce, Aad::from(associated), &mut text).map_err(|_| SealError::Opening)?;
    Ok(Secret::from(&*plain))
}

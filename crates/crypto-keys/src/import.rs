//! Key material that was made elsewhere: checked, and brought into the form in which keys are kept.
//!
//! * Nothing is believed: a private key's parts are checked against each other, its public part and check value are
//!   computed here, and the PKCS #8 that is kept is written anew, so that nothing rides along with it.
//! * What is wrong is not told in detail. Who unwraps bytes that are no key must not learn what they are.

mod rsa;

use strongroom_types::limits::GENERIC_SECRET_LEN_MAX;
use strongroom_types::{CheckValue, DES_BLOCK_LEN, KeyType, Secret};
use thiserror::Error;

use crate::generate::{self, GeneratedPair};
use crate::private_key::check_public;
use crate::sys::{self, Des3, Key};

/// Bytes that are no key of the type they came as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes are not a valid key of this type")]
pub struct ImportError;

/// A secret key.
#[derive(Debug)]
pub struct ImportedSecret {
    /// The bytes as they came, parity bits of 3DES included.
    pub material: Secret,
    /// None for generic secrets.
    pub check_value: Option<CheckValue>,
    /// Length in bytes.
    pub length_bytes: u32,
    /// Whether the key is weaker than its length: 3DES that is single DES, or see [`computed_secret`]. The rules decide what to do about it.
    pub weak: bool,
}

/// A secret key from its bytes: AES of 16, 24 or 32, 3DES of 24, a generic secret of 1 to 800. Others are no secret
/// keys.
pub fn secret(key_type: KeyType, material: Secret) -> Result<ImportedSecret, ImportError> {
    let length_bytes = u32::try_from(material.len()).map_err(|_| ImportError)?;
    let (check_value, weak) = match key_type {
        KeyType::Aes => (Some(generate::aes_check_value(&material).map_err(|_| ImportError)?), false),
        KeyType::Des3 => {
            let keys = des_keys(&material).ok_or(ImportError)?;
            let [first, second, third] = keys;
            (Some(des3_check_value(keys)), same_des_key(first, second) || same_des_key(second, third))
        }
        KeyType::GenericSecret if (1..=GENERIC_SECRET_LEN_MAX).contains(&length_bytes) => (None, false),
        KeyType::GenericSecret | KeyType::Ec | KeyType::MlDsa | KeyType::Rsa => return Err(ImportError),
    };
    Ok(ImportedSecret { material, check_value, length_bytes, weak })
}

/// A secret key whose bytes were computed here, generated or derived: with none of the DES keys that are weak or semi-weak
/// (SP 800-67 rev. 2 §3.3.2), or it is weak too.
pub fn computed_secret(key_type: KeyType, material: Secret) -> Result<ImportedSecret, ImportError> {
    let has_weak_part = key_type == KeyType::Des3 && sys::has_weak_des_key(&material);
    let key = secret(key_type, material)?;
    Ok(ImportedSecret { weak: key.weak || has_weak_part, ..key })
}

/// A private key from its PKCS #8 DER (RFC 5208, RFC 5958): RSA or EC, Ed25519 among the latter. ML-DSA keys are not
/// brought in.
///
/// RSA keys have parts that fit together, two primes, a modulus of 2048 to 4096 bits in steps of 256, and an
/// exponent within its bounds. EC keys have a scalar from 1 to the order less one; their public point is computed, and
/// must be the one that comes with them, if one does.
///
/// Those of an RSA key's parts that follow from modulus and exponents may be 0, which says that they are not known: they are
/// computed here.
pub fn private(key_type: KeyType, pkcs8: &Secret) -> Result<GeneratedPair, ImportError> {
    // Only who says that it is an RSA key has waited for the turn that the calculation needs.
    let completed = if key_type == KeyType::Rsa { rsa::with_missing_parts(pkcs8)? } else { None };
    whole(key_type, completed.as_ref().unwrap_or(pkcs8))
}

fn whole(key_type: KeyType, pkcs8: &Secret) -> Result<GeneratedPair, ImportError> {
    let key = match (Key::read(pkcs8.expose()), key_type) {
        (Some(key @ Key::Rsa(_)), KeyType::Rsa) | (Some(key @ (Key::Ec(_) | Key::Ed25519(_))), KeyType::Ec) => key,
        _ => return Err(ImportError),
    };
    check_public(&key.public().ok_or(ImportError)?).map_err(|_| ImportError)?;
    if matches!(&key, Key::Rsa(rsa) if !rsa.has_two_primes()) {
        return Err(ImportError);
    }
    let written = sys::rewritten(pkcs8.expose()).ok_or(ImportError)?;
    generate::pair(written).map_err(|_| ImportError)
}

pub(crate) fn des_keys(material: &Secret) -> Option<[&[u8; 8]; 3]> {
    let (keys, []) = material.expose().as_chunks() else { return None };
    let [first, second, third] = keys else { return None };
    Some([first, second, third])
}

/// The first three bytes of a block of zeros, encrypted.
fn des3_check_value(keys: [&[u8; 8]; 3]) -> CheckValue {
    let mut blocks = [[0; DES_BLOCK_LEN]];
    Des3::new(keys).ecb(&mut blocks, true);
    let [[first, second, third, ..]] = blocks;
    [first, second, third]
}

/// Whether two DES keys are the same but for their parity bits, the lowest of each byte. In constant time.
fn same_des_key(one: &[u8; 8], other: &[u8; 8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |differing, (a, b)| differing | (a ^ b) & 0xfe);
    std::hint::black_box(differing) == 0
}

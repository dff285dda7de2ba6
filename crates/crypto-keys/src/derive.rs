//! Secret bytes made from a key: agreement with another side's public key, and key derivation functions.
//!
//! What comes in between, the shared secret among it, never leaves this room, unless a derivation without a function asks for
//! it as a key.

use aws_lc_rs::cmac;
use strongroom_crypto::digest::Hasher;
use strongroom_types::{Derivation, EcdhKdf, HashFunction, KdfField, KeyType, Prf, PublicPart, Secret, point_in};
use zeroize::Zeroizing;

use crate::sys::{self, Hmac};
use crate::{KeyError, PrivateKey};

/// The key that something is derived from.
#[derive(Clone, Copy, Debug)]
pub enum BaseKey<'a> {
    /// Of [`Derivation::Ecdh`].
    Private(&'a PrivateKey),
    /// Of [`Derivation::CounterKdf`].
    Secret(&'a Secret),
}

/// The bytes of a key of this type and length. Those of 3DES get odd parity (SP 800-67 rev. 2 §3.2).
pub fn derive(base: BaseKey<'_>, derivation: &Derivation, key_type: KeyType, len: usize) -> Result<Secret, KeyError> {
    let derived = match (base, derivation) {
        (BaseKey::Private(key), Derivation::Ecdh { peer_point, kdf }) => ecdh(key, peer_point, kdf, len)?,
        (BaseKey::Secret(key), Derivation::CounterKdf { prf, fields }) => counter_kdf(*prf, key, fields, len)?,
        _ => return Err(KeyError::KeyType),
    };
    Ok(if key_type == KeyType::Des3 { sys::with_odd_parity(&derived) } else { derived })
}

fn ecdh(key: &PrivateKey, peer_point: &[u8], kdf: &EcdhKdf, len: usize) -> Result<Secret, KeyError> {
    let PublicPart::Ec { curve, .. } = key.public() else { return Err(KeyError::KeyType) };
    let point = point_in(*curve, peer_point).ok_or(KeyError::DataLength)?;
    let shared = key.agree(point)?;
    match kdf {
        EcdhKdf::None => {
            let from = shared.len().checked_sub(len).ok_or(KeyError::DataLength)?;
            shared.expose().get(from..).map(Secret::from).ok_or(KeyError::DataLength)
        }
        EcdhKdf::X963 { hash, shared_info } => x963(*hash, &shared, shared_info, len),
    }
}

/// ANS X9.63 key derivation (SEC 1 §3.6.1): hash(secret || counter || info) for the counters from 1.
pub(crate) fn x963(hash: HashFunction, secret: &Secret, info: &[u8], len: usize) -> Result<Secret, KeyError> {
    let mut derived = Zeroizing::new(Vec::with_capacity(len.next_multiple_of(hash.digest_len())));
    for counter in 1..=u32::try_from(len.div_ceil(hash.digest_len())).map_err(|_| KeyError::DataLength)? {
        let mut hasher = Hasher::new(hash);
        hasher.update(secret.expose());
        hasher.update(&counter.to_be_bytes());
        hasher.update(info);
        derived.extend_from_slice(&Zeroizing::new(hasher.finish()));
    }
    derived.get(..len).map(Secret::from).ok_or(KeyError::DataLength)
}

/// SP 800-108 rev. 1 §4.1: the function of the fields for the counters from 1.
fn counter_kdf(prf: Prf, key: &Secret, fields: &[KdfField], len: usize) -> Result<Secret, KeyError> {
    let keyed = Keyed::new(prf, key)?;
    let block = prf.output_len();
    let bits = u64::try_from(len).ok().and_then(|len| len.checked_mul(8)).ok_or(KeyError::DataLength)?;
    let mut derived = Zeroizing::new(Vec::with_capacity(len.next_multiple_of(block)));
    for counter in 1..=u32::try_from(len.div_ceil(block)).map_err(|_| KeyError::DataLength)? {
        let mut input = Vec::new();
        for field in fields {
            match field {
                KdfField::Bytes(bytes) => input.extend_from_slice(bytes),
                KdfField::Counter { bits } => input.extend_from_slice(&number(u64::from(counter), *bits)?),
                KdfField::Length { bits: width } => input.extend_from_slice(&number(bits, *width)?),
            }
        }
        let from = derived.len();
        derived.resize(from + block, 0);
        keyed.write(&input, &mut derived[from..])?;
    }
    derived.get(..len).map(Secret::from).ok_or(KeyError::DataLength)
}

/// A pseudorandom function with its key.
enum Keyed {
    /// CMAC with AES (SP 800-38B).
    Cmac(cmac::Key),
    /// HMAC (FIPS 198-1).
    Hmac(Hmac),
}

impl Keyed {
    fn new(prf: Prf, key: &Secret) -> Result<Keyed, KeyError> {
        match prf {
            Prf::AesCmac => Keyed::cmac(key),
            Prf::Hmac(hash) => Hmac::new(hash, key.expose()).map(Keyed::Hmac).ok_or(KeyError::Fault),
        }
    }

    fn cmac(key: &Secret) -> Result<Keyed, KeyError> {
        let algorithm = match key.len() {
            16 => cmac::AES_128,
            24 => cmac::AES_192,
            32 => cmac::AES_256,
            _ => return Err(KeyError::AesLength),
        };
        cmac::Key::new(algorithm, key.expose()).map(Keyed::Cmac).map_err(|_| KeyError::Fault)
    }

    /// Writes what the function gives, whose length `output` has.
    fn write(&self, input: &[u8], output: &mut [u8]) -> Result<(), KeyError> {
        let written = match self {
            Keyed::Cmac(key) => cmac::sign_to_buffer(key, input, output).ok().map(drop),
            Keyed::Hmac(key) => key.write(&[input], output),
        };
        written.ok_or(KeyError::Fault)
    }
}

/// A number in so many bits, big-endian; refused when it has more.
fn number(number: u64, bits: u8) -> Result<Vec<u8>, KeyError> {
    let bytes = number.to_be_bytes();
    let (above, digits) = bytes.split_at(bytes.len().saturating_sub(usize::from(bits / 8)));
    let fits = bits.is_multiple_of(8) && above.iter().all(|byte| *byte == 0);
    if fits { Ok(digits.to_vec()) } else { Err(KeyError::DataLength) }
}

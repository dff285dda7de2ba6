//! Wrapping: a key's bytes encrypted under another key, in the formats of CloudHSM's mechanisms.
//!
//! * Secret keys are wrapped as their raw bytes, private keys as PKCS #8 DER. Nothing of a wrapped form says which.
//! * What fails to unwrap is one [`KeyError::Unwrapping`], whatever is wrong with it, after the same work as far as
//!   that is in our hands: an RSA result that is no padded block is replaced by random bytes and goes the whole way.
//! * Who may wrap what is decided elsewhere; here only what the formats themselves ask for is refused.

use strongroom_crypto::random;
use strongroom_types::buffers::wipe_and_clear;
use strongroom_types::{CheckValue, GCM_IV_LEN, GcmTag, KeyClass, KeyType, PublicPart, Secret, WrapMechanism};
use zeroize::Zeroizing;

use crate::import;
use crate::sys::{self, AesSchedule};
use crate::{KeyError, PrivateKey, SecretKey, generate, public_key};

/// Bytes of the temporary key of `rsa-aes`: AES-256, as CloudHSM has it.
const TEMPORARY_LEN: usize = 32;
/// Bytes that take the place of those that did not unwrap: an AES key, and no private key.
const STAND_IN_LEN: usize = 32;
/// Blocks of AES key wrap (RFC 3394 §2).
const BLOCK_LEN: usize = 8;
/// The shortest input of AES key wrap without padding of its own: two blocks (RFC 3394 §2).
const KW_LEN_MIN: usize = 2 * BLOCK_LEN;

/// A wrapped key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The initialisation vector; empty unless the mechanism gives it apart.
    pub iv: Vec<u8>,
    /// All the rest.
    pub data: Vec<u8>,
}

/// What a wrapped key was wrapped with, beside the key: additional authenticated data, and the initialisation vector
/// where it is apart. Empty for the other mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside<'a> {
    /// Additional authenticated data.
    pub aad: &'a [u8],
    /// Initialisation vector.
    pub iv: &'a [u8],
}

/// A key that came in.
#[derive(Debug)]
pub struct Unwrapped {
    /// The raw bytes of a secret key; of a private key its PKCS #8 DER, as keys have it that are made here.
    pub material: Secret,
    /// The public part of a private key.
    pub public: Option<PublicPart>,
    /// None for generic secrets.
    pub check_value: Option<CheckValue>,
    /// Length in bytes as the command line tool counts it.
    pub length_bytes: u32,
    /// Whether the key is weaker than its length. The rules decide what to do about it.
    pub weak: bool,
}

/// A key that wraps.
#[derive(Clone, Copy, Debug)]
pub enum WrappingKey<'a> {
    /// An AES key.
    Aes(&'a SecretKey),
    /// An RSA public key.
    Rsa(&'a PublicPart),
}

/// A key that unwraps.
#[derive(Clone, Copy, Debug)]
pub enum UnwrappingKey<'a> {
    /// An AES key.
    Aes(&'a SecretKey),
    /// An RSA private key.
    Rsa(&'a PrivateKey),
}

/// Wraps a key's bytes. GCM draws its initialisation vector here, 96 random bits (SP 800-38D §8.2.2).
pub fn wrap(mechanism: WrapMechanism, key: WrappingKey<'_>, aad: &[u8], payload: &Secret) -> Result<Wrapped, KeyError> {
    match key {
        WrappingKey::Aes(key) => wrap_aes(mechanism, key, aad, payload),
        WrappingKey::Rsa(public) => wrap_rsa(mechanism, public, payload).map(|data| Wrapped { iv: Vec::new(), data }),
    }
}

fn wrap_aes(mechanism: WrapMechanism, key: &SecretKey, aad: &[u8], payload: &Secret) -> Result<Wrapped, KeyError> {
    let whole = |data| Wrapped { iv: Vec::new(), data };
    let key_wrapped = |plain: &[u8]| {
        let wrapped = sys::kw_wrap(key.aes_schedule(true)?, plain);
        wrapped.map(whole).ok_or(KeyError::Fault)
    };
    match mechanism {
        WrapMechanism::AesGcm { tag } => {
            let (iv, data) = sealed(key, tag, aad, payload)?;
            Ok(Wrapped { iv: iv.to_vec(), data })
        }
        WrapMechanism::CloudhsmAesGcm { tag } => {
            let (iv, data) = sealed(key, tag, aad, payload)?;
            Ok(whole([&iv[..], &data].concat()))
        }
        WrapMechanism::AesNoPad => {
            if payload.len() < KW_LEN_MIN || !payload.len().is_multiple_of(BLOCK_LEN) {
                return Err(KeyError::PayloadLength);
            }
            key_wrapped(payload.expose())
        }
        WrapMechanism::AesPkcs5Pad => {
            let padded = padded(payload);
            if padded.len() < KW_LEN_MIN {
                return Err(KeyError::PayloadLength);
            }
            key_wrapped(&padded)
        }
        WrapMechanism::AesZeroPad if payload.is_empty() => Err(KeyError::PayloadLength),
        WrapMechanism::AesZeroPad => {
            let wrapped = sys::kwp_wrap(key.aes_schedule(true)?, payload.expose());
            wrapped.map(whole).ok_or(KeyError::Fault)
        }
        WrapMechanism::RsaAes { .. } | WrapMechanism::RsaOaep { .. } | WrapMechanism::RsaPkcs => Err(KeyError::KeyType),
    }
}

/// A new initialisation vector, and what is sealed with it.
fn sealed(key: &SecretKey, tag: GcmTag, aad: &[u8], payload: &Secret) -> Result<([u8; GCM_IV_LEN], Vec<u8>), KeyError> {
    let (iv, mut data) = (random::bytes(), payload.expose().to_vec());
    key.seal(tag, aad, iv, &mut data).inspect_err(|_| wipe_and_clear(&mut data))?;
    Ok((iv, data))
}

/// The key of `rsa-aes`, for one wrapping or unwrapping.
fn temporary_schedule(key: &Secret, encrypts: bool) -> Result<AesSchedule, KeyError> {
    AesSchedule::new(key, encrypts).ok_or(KeyError::AesLength)
}

fn wrap_rsa(mechanism: WrapMechanism, public: &PublicPart, payload: &Secret) -> Result<Vec<u8>, KeyError> {
    let cipher = mechanism.rsa_decryption().ok_or(KeyError::KeyType)?;
    let encrypted = |data: &Secret| match public_key::encrypt(public, cipher, data.expose()) {
        Err(KeyError::DataLength) => Err(KeyError::PayloadLength),
        encrypted => encrypted,
    };
    match mechanism {
        WrapMechanism::RsaAes { .. } if payload.is_empty() => Err(KeyError::PayloadLength),
        WrapMechanism::RsaAes { .. } => {
            let temporary = generate::secret(TEMPORARY_LEN);
            let mut wrapped = encrypted(&temporary)?;
            let schedule = temporary_schedule(&temporary, true)?;
            wrapped.extend(sys::kwp_wrap(&schedule, payload.expose()).ok_or(KeyError::Fault)?);
            Ok(wrapped)
        }
        _ => encrypted(payload),
    }
}

/// The key of this class and type that was wrapped so.
pub fn unwrap(
    mechanism: WrapMechanism,
    key: UnwrappingKey<'_>,
    beside: Beside<'_>,
    wrapped: &[u8],
    (class, key_type): (KeyClass, KeyType),
) -> Result<Unwrapped, KeyError> {
    match unwrap_bytes(mechanism, key, beside, wrapped) {
        Ok(bytes) => read(class, key_type, bytes).ok_or(KeyError::Unwrapping),
        Err(KeyError::Unwrapping) => {
            // What did not unwrap is read like what did.
            drop(read(class, key_type, generate::secret(STAND_IN_LEN)));
            Err(KeyError::Unwrapping)
        }
        Err(other) => Err(other),
    }
}

fn read(class: KeyClass, key_type: KeyType, bytes: Secret) -> Option<Unwrapped> {
    match class {
        KeyClass::SecretKey => import::secret(key_type, bytes).ok().map(|imported| Unwrapped {
            material: imported.material,
            public: None,
            check_value: imported.check_value,
            length_bytes: imported.length_bytes,
            weak: imported.weak,
        }),
        KeyClass::PrivateKey => import::private(key_type, &bytes).ok().map(|pair| Unwrapped {
            length_bytes: pair.private_length_bytes(),
            material: pair.pkcs8,
            public: Some(pair.public),
            check_value: Some(pair.check_value),
            weak: false,
        }),
        KeyClass::PublicKey => None,
    }
}

/// The bytes of a key that was wrapped so.
pub(crate) fn unwrap_bytes(
    mechanism: WrapMechanism,
    key: UnwrappingKey<'_>,
    beside: Beside<'_>,
    wrapped: &[u8],
) -> Result<Secret, KeyError> {
    match key {
        UnwrappingKey::Aes(key) => unwrap_aes(mechanism, key, beside, wrapped)?.ok_or(KeyError::Unwrapping),
        UnwrappingKey::Rsa(key) => unwrap_rsa(mechanism, key, wrapped),
    }
}

fn unwrap_aes(
    mechanism: WrapMechanism,
    key: &SecretKey,
    Beside { aad, iv }: Beside<'_>,
    wrapped: &[u8],
) -> Result<Option<Secret>, KeyError> {
    match mechanism {
        WrapMechanism::AesGcm { tag } if iv.len() == GCM_IV_LEN => Ok(open(key, tag, iv, aad, wrapped)),
        WrapMechanism::AesGcm { .. } => Err(KeyError::IvLength),
        WrapMechanism::CloudhsmAesGcm { tag } => {
            Ok(wrapped.split_at_checked(GCM_IV_LEN).and_then(|(iv, sealed)| open(key, tag, iv, aad, sealed)))
        }
        WrapMechanism::AesNoPad => Ok(sys::kw_unwrap(key.aes_schedule(false)?, wrapped)),
        WrapMechanism::AesPkcs5Pad => Ok(sys::kw_unwrap(key.aes_schedule(false)?, wrapped).as_ref().and_then(unpadded)),
        WrapMechanism::AesZeroPad => Ok(sys::kwp_unwrap(key.aes_schedule(false)?, wrapped)),
        WrapMechanism::RsaAes { .. } | WrapMechanism::RsaOaep { .. } | WrapMechanism::RsaPkcs => Err(KeyError::KeyType),
    }
}

fn open(key: &SecretKey, tag: GcmTag, iv: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Secret> {
    let (iv, mut data) = (iv.try_into().ok()?, sealed.to_vec());
    let opened = key.open(tag, aad, iv, &mut data);
    // What did not open is no secret, for it is zeros or what came.
    opened.ok().map(|()| Secret::new(data))
}

fn unwrap_rsa(mechanism: WrapMechanism, key: &PrivateKey, wrapped: &[u8]) -> Result<Secret, KeyError> {
    let PublicPart::Rsa { modulus, .. } = key.public() else { return Err(KeyError::KeyType) };
    let Some(decrypt) = mechanism.rsa_decryption() else { return Err(KeyError::KeyType) };
    let rest = wrapped.len().checked_sub(modulus.len()).ok_or(KeyError::Unwrapping)?;
    let (block, wrapped) = wrapped.split_at(wrapped.len() - rest);
    let decrypted = key.decrypt(decrypt, block);
    match mechanism {
        WrapMechanism::RsaAes { .. } => {
            // With another key in its place nothing unwraps, and it takes as long.
            let is_temporary = |key: &Secret| key.len() == TEMPORARY_LEN;
            let temporary = decrypted.ok().filter(is_temporary).unwrap_or_else(|| generate::secret(TEMPORARY_LEN));
            sys::kwp_unwrap(&temporary_schedule(&temporary, false)?, wrapped).ok_or(KeyError::Unwrapping)
        }
        _ if rest > 0 => Err(KeyError::Unwrapping),
        _ => decrypted.map_err(|_| KeyError::Unwrapping),
    }
}

/// PKCS #5 padding to blocks of 8: always at least one byte, each the number of them.
fn padded(payload: &Secret) -> Zeroizing<Vec<u8>> {
    let pad = BLOCK_LEN - payload.len() % BLOCK_LEN;
    let mut padded = Zeroizing::new(Vec::with_capacity(payload.len() + pad));
    padded.extend_from_slice(payload.expose());
    padded.resize(payload.len() + pad, u8::try_from(pad).expect("at most a block"));
    padded
}

/// What was padded. The bytes were authenticated before, so nobody learns from how this ends what they could not
/// know.
fn unpadded(padded: &Secret) -> Option<Secret> {
    let bytes = padded.expose();
    let pad = usize::from(*bytes.last()?);
    if !(1..=BLOCK_LEN).contains(&pad) {
        return None;
    }
    let (payload, padding) = bytes.split_at_checked(bytes.len().checked_sub(pad)?)?;
    (!payload.is_empty() && padding.iter().all(|byte| usize::from(*byte) == pad)).then(|| Secret::from(payload))
}

//! Which keys encrypt, decrypt and authenticate by which mechanism, and how much at once.

use strongroom_types::limits::CIPHER_DATA_LEN_MAX;
use strongroom_types::{
    AES_BLOCK_LEN, Attributes, CipherMechanism, DES_BLOCK_LEN, KeyClass, KeyType, MacMechanism, PublicPart, Refusal,
    RsaCipher, Status,
};

/// The shortest key with which FIPS mode makes a code by HMAC: 112 bits (SP 800-131A rev. 2 §10).
pub(super) const APPROVED_HMAC_KEY_LEN_MIN: u32 = 14;

/// The type of the keys that encrypt and decrypt so.
pub(super) fn key_type(mechanism: &CipherMechanism) -> KeyType {
    match mechanism {
        CipherMechanism::AesCbc { .. }
        | CipherMechanism::AesCtr { .. }
        | CipherMechanism::AesEcb
        | CipherMechanism::AesGcm { .. } => KeyType::Aes,
        CipherMechanism::Des3Cbc { .. } | CipherMechanism::Des3Ecb => KeyType::Des3,
        CipherMechanism::Rsa(_) => KeyType::Rsa,
    }
}

/// The class of the keys that encrypt so.
pub(super) fn encrypts_by(mechanism: &CipherMechanism) -> KeyClass {
    if key_type(mechanism) == KeyType::Rsa { KeyClass::PublicKey } else { KeyClass::SecretKey }
}

/// The class of the keys that decrypt so.
pub(super) fn decrypts_by(mechanism: &CipherMechanism) -> KeyClass {
    if key_type(mechanism) == KeyType::Rsa { KeyClass::PrivateKey } else { KeyClass::SecretKey }
}

/// Whether secret keys of this type make codes so. HMAC takes any bytes.
pub(super) fn makes_mac(mechanism: MacMechanism, key_type: KeyType) -> bool {
    match mechanism {
        MacMechanism::AesCmac => key_type == KeyType::Aes,
        MacMechanism::Hmac(_) => matches!(key_type, KeyType::Aes | KeyType::Des3 | KeyType::GenericSecret),
    }
}

/// Whether the mode lets a key of this length make codes.
pub(super) fn strong_enough(mechanism: MacMechanism, key: &Attributes, fips: bool) -> Result<(), Refusal> {
    let is_weak = matches!(mechanism, MacMechanism::Hmac(_)) && key.length_bytes < APPROVED_HMAC_KEY_LEN_MIN;
    if fips && is_weak {
        let about = format!("HMAC with a key of {} bytes: at least {APPROVED_HMAC_KEY_LEN_MIN}", key.length_bytes);
        return Err(Refusal::new(Status::KeyWeak, about));
    }
    Ok(())
}

/// Whether so many bytes can be encrypted at once.
pub(super) fn encrypts_len(mechanism: &CipherMechanism, public: Option<&PublicPart>, len: usize) -> bool {
    match (mechanism, public) {
        (CipherMechanism::Rsa(cipher), Some(PublicPart::Rsa { modulus, .. })) => match cipher {
            RsaCipher::X509 => len == modulus.len(),
            RsaCipher::Oaep { .. } | RsaCipher::Pkcs => len <= cipher.room(modulus.len()),
        },
        (CipherMechanism::Rsa(_), _) => false,
        (CipherMechanism::AesCbc { .. } | CipherMechanism::AesEcb, _) => in_blocks(AES_BLOCK_LEN, len),
        (CipherMechanism::Des3Cbc { .. } | CipherMechanism::Des3Ecb, _) => in_blocks(DES_BLOCK_LEN, len),
        (CipherMechanism::AesCtr { .. } | CipherMechanism::AesGcm { .. }, _) => len <= CIPHER_DATA_LEN_MAX,
    }
}

/// Whether so many bytes can be decrypted at once.
pub(super) fn decrypts_len(mechanism: &CipherMechanism, public: Option<&PublicPart>, len: usize) -> bool {
    match (mechanism, public) {
        (CipherMechanism::Rsa(_), Some(PublicPart::Rsa { modulus, .. })) => len == modulus.len(),
        (CipherMechanism::AesGcm { tag, .. }, _) => {
            len.checked_sub(tag.bytes()).is_some_and(|plain_len| plain_len <= CIPHER_DATA_LEN_MAX)
        }
        _ => encrypts_len(mechanism, public, len),
    }
}

fn in_blocks(block_len: usize, len: usize) -> bool {
    len.is_multiple_of(block_len) && len <= CIPHER_DATA_LEN_MAX
}

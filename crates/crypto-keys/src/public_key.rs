//! Encrypting under RSA public keys: what only the private key opens.

use strongroom_crypto::spki;
use strongroom_types::{PublicPart, RsaCipher};

use crate::KeyError;
use crate::private_key::in_range;
use crate::sys::RsaEncryption;

/// The ciphertext of `data`, as long as the modulus.
pub fn encrypt(public: &PublicPart, cipher: RsaCipher, data: &[u8]) -> Result<Vec<u8>, KeyError> {
    let PublicPart::Rsa { modulus, .. } = public else { return Err(KeyError::KeyType) };
    if data.len() > cipher.room(modulus.len()) {
        return Err(KeyError::DataLength);
    }
    let key = RsaEncryption::read(&spki::encode(public)).ok_or(KeyError::Public)?;
    let encrypted = match cipher {
        RsaCipher::Oaep { hash } => key.oaep(hash, data),
        RsaCipher::Pkcs => key.pkcs1(data),
        RsaCipher::X509 if data.len() != modulus.len() => return Err(KeyError::DataLength),
        RsaCipher::X509 if !in_range(data, modulus) => return Err(KeyError::DataRange),
        RsaCipher::X509 => key.raw(data),
    };
    encrypted.ok_or(KeyError::Fault)
}

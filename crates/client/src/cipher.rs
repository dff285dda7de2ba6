//! Encrypting, decrypting and message authentication codes with keys in the HSM.
//!
//! One call is one request, at most [`CIPHER_DATA_LEN_MAX`](strongroom_types::limits::CIPHER_DATA_LEN_MAX) bytes of data; a tag
//! comes on top. Nothing is kept in the HSM between two calls: who has more data continues CBC by the last block and CTR by
//! the counter.

use strongroom_types::{CipherMechanism, KeyReference, MacMechanism, Secret};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{Malformed, cipher, convert, v1};

use crate::client::Client;
use crate::error::ClientError;
use crate::manner;

/// What was encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// The initialisation vector that the HSM drew for GCM; empty for the other mechanisms.
    pub iv: Vec<u8>,
    /// The ciphertext, of GCM with the tag behind it.
    pub data: Vec<u8>,
}

impl Client {
    /// Encrypts `data`: whole blocks for ECB and CBC, a block of the modulus' length for raw RSA. The vector of GCM is the
    /// HSM's: a mechanism that brings one is refused as `MechanismInvalid`.
    pub fn encrypt(
        &self,
        key: KeyReference,
        mechanism: &CipherMechanism,
        data: &[u8],
    ) -> Result<Encrypted, ClientError> {
        let operation = Operation::Encrypt(cipher::encrypt_message(key, mechanism, data));
        self.call_with(self.use_of(&manner::CRYPTOGRAPHY), &[key], operation)?.read(|answer| match answer {
            Answer::Encrypt(result) => Some(Ok(Encrypted { iv: result.iv, data: result.data })),
            _ => None,
        })
    }

    /// Decrypts what [`encrypt`](Client::encrypt) gave, by the same mechanism; GCM with the vector that came then. What does
    /// not decrypt is refused as `DecryptionFailed`, whatever is wrong with it.
    pub fn decrypt(&self, key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, ClientError> {
        let operation = Operation::Decrypt(cipher::decrypt_message(key, mechanism, data));
        self.call_with(self.use_of(&manner::CRYPTOGRAPHY), &[key], operation)?.read(|answer| match answer {
            Answer::Decrypt(result) => Some(Ok(Secret::new(result.data))),
            _ => None,
        })
    }

    /// The message authentication code of `data`, whole: [`MacMechanism::mac_len`] bytes.
    pub fn mac(&self, key: KeyReference, mechanism: MacMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        let (number, hash) = convert::mac_parts(mechanism);
        let sign = v1::Sign { key: key.as_u64(), mechanism: number, hash, salt_length: 0, data: data.to_vec() };
        let answered = self.call_with(self.use_of(&manner::CRYPTOGRAPHY), &[key], Operation::Sign(sign))?;
        answered.read(|answer| match answer {
            Answer::Sign(result) if result.signature.len() == mechanism.mac_len() => Some(Ok(result.signature)),
            Answer::Sign(_) => Some(Err(Malformed { field: "signature" })),
            _ => None,
        })
    }

    /// Checks a message authentication code in the HSM; a wrong one, or one that is not whole, is refused as
    /// `SignatureInvalid`.
    pub fn verify_mac(
        &self,
        key: KeyReference,
        mechanism: MacMechanism,
        data: &[u8],
        mac: &[u8],
    ) -> Result<(), ClientError> {
        let (number, hash) = convert::mac_parts(mechanism);
        let verify = v1::Verify {
            key: key.as_u64(),
            mechanism: number,
            hash,
            salt_length: 0,
            data: data.to_vec(),
            signature: mac.to_vec(),
        };
        let answered = self.call_with(&manner::CRYPTOGRAPHY, &[key], Operation::Verify(verify))?;
        answered.read(|answer| matches!(answer, Answer::Verify(_)).then_some(Ok(())))
    }
}

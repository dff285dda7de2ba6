//! What operations need of a cluster, so that their states are tested without one.

use strongroom_client::{Client, ClientError, Encrypted};
use strongroom_types::{CipherMechanism, KeyReference, MacMechanism, Secret, SignMechanism};

/// The HSMs of a cluster.
pub(crate) trait Hsms {
    /// A signature.
    fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError>;
    /// Whether a signature is right; a wrong one is an error.
    fn verify(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8], made: &[u8]) -> Result<(), ClientError>;
    /// A message authentication code.
    fn mac(&self, key: KeyReference, mechanism: MacMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError>;
    /// Whether a code is right; a wrong one is an error.
    fn verify_mac(
        &self,
        key: KeyReference,
        mechanism: MacMechanism,
        data: &[u8],
        mac: &[u8],
    ) -> Result<(), ClientError>;
    /// A ciphertext.
    fn encrypt(&self, key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> Result<Encrypted, ClientError>;
    /// A plaintext.
    fn decrypt(&self, key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, ClientError>;
}

impl Hsms for Client {
    fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        Client::sign(self, key, mechanism, data)
    }

    fn verify(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8], made: &[u8]) -> Result<(), ClientError> {
        Client::verify(self, key, mechanism, data, made)
    }

    fn mac(&self, key: KeyReference, mechanism: MacMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        Client::mac(self, key, mechanism, data)
    }

    fn verify_mac(
        &self,
        key: KeyReference,
        mechanism: MacMechanism,
        data: &[u8],
        mac: &[u8],
    ) -> Result<(), ClientError> {
        Client::verify_mac(self, key, mechanism, data, mac)
    }

    fn encrypt(&self, key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> Result<Encrypted, ClientError> {
        Client::encrypt(self, key, mechanism, data)
    }

    fn decrypt(&self, key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, ClientError> {
        Client::decrypt(self, key, mechanism, data)
    }
}

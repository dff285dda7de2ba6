//! What operations need of a cluster, so that their states are tested without one.

use strongroom_client::{ClientError, Encrypted};
use strongroom_types::{CipherMechanism, KeyReference, MacMechanism, Secret, SignMechanism};

use crate::slot::Slot;

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

/// A key that is no more, as its use shows, loses its handle.
impl Hsms for Slot {
    fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.client.sign(key, mechanism, data).map_err(|error| self.objects.used(key, error))
    }

    fn verify(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8], made: &[u8]) -> Result<(), ClientError> {
        self.client.verify(key, mechanism, data, made).map_err(|error| self.objects.used(key, error))
    }

    fn mac(&self, key: KeyReference, mechanism: MacMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.client.mac(key, mechanism, data).map_err(|error| self.objects.used(key, error))
    }

    fn verify_mac(
        &self,
        key: KeyReference,
        mechanism: MacMechanism,
        data: &[u8],
        mac: &[u8],
    ) -> Result<(), ClientError> {
        self.client.verify_mac(key, mechanism, data, mac).map_err(|error| self.objects.used(key, error))
    }

    fn encrypt(&self, key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> Result<Encrypted, ClientError> {
        self.client.encrypt(key, mechanism, data).map_err(|error| self.objects.used(key, error))
    }

    fn decrypt(&self, key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, ClientError> {
        self.client.decrypt(key, mechanism, data).map_err(|error| self.objects.used(key, error))
    }
}

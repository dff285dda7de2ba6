//! What operations need of a cluster, so that their states are tested without one.

use strongroom_client::{ClientError, Encrypted};
use strongroom_types::{CipherMechanism, MacMechanism, Secret, SignMechanism};

use crate::objects::Entry;
use crate::slot::Slot;

/// The HSMs of a cluster.
pub(crate) trait Hsms {
    /// A signature.
    fn sign(&self, key: Entry, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError>;
    /// Whether a signature is right; a wrong one is an error.
    fn verify(&self, key: Entry, mechanism: SignMechanism, data: &[u8], made: &[u8]) -> Result<(), ClientError>;
    /// A message authentication code.
    fn mac(&self, key: Entry, mechanism: MacMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError>;
    /// Whether a code is right; a wrong one is an error.
    fn verify_mac(&self, key: Entry, mechanism: MacMechanism, data: &[u8], mac: &[u8]) -> Result<(), ClientError>;
    /// A ciphertext.
    fn encrypt(&self, key: Entry, mechanism: &CipherMechanism, data: &[u8]) -> Result<Encrypted, ClientError>;
    /// A plaintext.
    fn decrypt(&self, key: Entry, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, ClientError>;
}

/// A key that is no more, as its use shows, loses its handle.
impl Hsms for Slot {
    fn sign(&self, key: Entry, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.client.sign(key.reference, mechanism, data).map_err(|error| self.objects.used(key, error))
    }

    fn verify(&self, key: Entry, mechanism: SignMechanism, data: &[u8], made: &[u8]) -> Result<(), ClientError> {
        self.client.verify(key.reference, mechanism, data, made).map_err(|error| self.objects.used(key, error))
    }

    fn mac(&self, key: Entry, mechanism: MacMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.client.mac(key.reference, mechanism, data).map_err(|error| self.objects.used(key, error))
    }

    fn verify_mac(&self, key: Entry, mechanism: MacMechanism, data: &[u8], mac: &[u8]) -> Result<(), ClientError> {
        self.client.verify_mac(key.reference, mechanism, data, mac).map_err(|error| self.objects.used(key, error))
    }

    fn encrypt(&self, key: Entry, mechanism: &CipherMechanism, data: &[u8]) -> Result<Encrypted, ClientError> {
        self.client.encrypt(key.reference, mechanism, data).map_err(|error| self.objects.used(key, error))
    }

    fn decrypt(&self, key: Entry, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, ClientError> {
        self.client.decrypt(key.reference, mechanism, data).map_err(|error| self.objects.used(key, error))
    }
}

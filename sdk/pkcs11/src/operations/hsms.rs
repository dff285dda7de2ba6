//! What operations need of a cluster, so that their states are tested without one.

use strongroom_client::{Client, ClientError};
use strongroom_types::{KeyReference, SignMechanism};

/// The HSMs of a cluster.
pub(crate) trait Hsms {
    /// A signature.
    fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError>;
    /// Whether a signature is right; a wrong one is an error.
    fn verify(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8], made: &[u8]) -> Result<(), ClientError>;
}

impl Hsms for Client {
    fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        Client::sign(self, key, mechanism, data)
    }

    fn verify(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8], made: &[u8]) -> Result<(), ClientError> {
        Client::verify(self, key, mechanism, data, made)
    }
}

//! The TLS configuration of this HSM, from the cluster's record.

use std::sync::Arc;

use rustls::ServerConfig;
use strongroom_core::State;
use strongroom_crypto::pem::{self, PemError};
use strongroom_crypto::tls::{ServerConfigError, server_config};
use strongroom_crypto_keys::seal::{SealError, Sealer};
use strongroom_types::limits::CA_CHAIN_CERTIFICATES_MAX;
use thiserror::Error;

/// The cluster's record holds a certificate with which the HSM cannot serve.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The key.
    #[error("the cluster's TLS key does not open: {0}; put back the newest copy of the store")]
    Key(#[from] SealError),
    /// The CA's chain.
    #[error("the cluster's trust anchor cannot be read: {0}; put back the newest copy of the store")]
    Anchor(#[from] PemError),
    /// Certificate and key.
    #[error("the cluster's certificate cannot be served with: {0}; put back the newest copy of the store")]
    Certificate(#[from] ServerConfigError),
}

/// The configuration, or none while the cluster has no certificate.
pub fn configuration(state: &State, sealer: &Sealer) -> Result<Option<Arc<ServerConfig>>, CertificateError> {
    let Some(cluster) = state.cluster().filter(|cluster| !cluster.certificate_pem.is_empty()) else {
        return Ok(None);
    };
    let key = sealer.open_tls_key(&cluster.sealed_tls_key)?;
    // Between the certificate and the root, which clients have: it stands last in the anchor.
    let anchors = pem::decode(pem::CERTIFICATE, cluster.trust_anchor_pem.as_bytes(), CA_CHAIN_CERTIFICATES_MAX)?;
    let intermediates = anchors.iter().take(anchors.len() - 1).map(|der| pem::encode(pem::CERTIFICATE, der));
    let chain: String = std::iter::once(cluster.certificate_pem.clone()).chain(intermediates).collect();
    Ok(Some(server_config(chain.as_bytes(), &key)?))
}

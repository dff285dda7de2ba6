//! The TLS configuration of this HSM, from the cluster's record.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use strongroom_core::State;
use strongroom_crypto::certificates::{AnchorError, ClientAnchor, ClientAnchors};
use strongroom_crypto::pem::{self, PemError};
use strongroom_crypto::tls::{ClientAuth, IdentityError, server_config};
use strongroom_crypto_keys::seal::{SealError, Sealer};
use strongroom_types::limits::CA_CHAIN_CERTIFICATES_MAX;
use strongroom_types::{CertificateFingerprint, MtlsEnforcement};
use thiserror::Error;

use crate::connection::End;

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
    Certificate(#[from] IdentityError),
    /// A trust anchor of clients' certificates.
    #[error("a trust anchor of clients cannot be read: {0}; put back the newest copy of the store")]
    ClientAnchor(#[from] AnchorError),
}

/// What clients are taken with.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For rustls.
    pub server: Arc<ServerConfig>,
    clients: Arc<ClientAuth>,
}

impl Tls {
    /// The trust anchor under which the certificates are good that a client has shown; none when it has shown none. rustls has
    /// verified them a moment ago.
    pub fn presented(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<Option<CertificateFingerprint>, End> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let over = |_| End::ClientCertificate("its client certificate has expired while it shook hands");
        self.clients.anchor_of(shown, now_s).map_err(over)
    }
}

/// What clients are taken with, or none while the cluster has no certificate.
pub fn configuration(state: &State, sealer: &Sealer) -> Result<Option<Tls>, CertificateError> {
    let Some(cluster) = state.cluster().filter(|cluster| !cluster.certificate_pem.is_empty()) else {
        return Ok(None);
    };
    let key = sealer.open_tls_key(&cluster.sealed_tls_key)?;
    // Between the certificate and the root, which clients have: it stands last in the anchor.
    let anchors = pem::decode(pem::CERTIFICATE, cluster.trust_anchor_pem.as_bytes(), CA_CHAIN_CERTIFICATES_MAX)?;
    let intermediates = anchors.iter().take(anchors.len() - 1).map(|der| pem::encode(pem::CERTIFICATE, der));
    let chain: String = std::iter::once(cluster.certificate_pem.clone()).chain(intermediates).collect();
    let of_clients = state.trust_anchors().map(|anchor| ClientAnchor::checked(anchor.chain_pem.as_bytes()));
    let clients = ClientAuth {
        anchors: ClientAnchors(of_clients.collect::<Result<_, AnchorError>>()?),
        is_mandatory: state.mtls_enforcement() == MtlsEnforcement::Cluster,
    };
    Ok(Some(Tls { server: server_config(chain.as_bytes(), &key, &clients)?, clients: Arc::new(clients) }))
}

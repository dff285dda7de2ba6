//! The TLS configuration of both ends: TLS 1.3 only (RFC 8446), hybrid X25519MLKEM768 preferred, ALPN `strongroom/1`,
//! no resumption, no early data, no SNI.
//!
//! rustls' own certificate checks are not used: they refuse version 1 certificates, which most customers' CAs issue.
//! Paths are verified by [`Anchors`], and the handshake's signature with the certificate's bare key.

mod resolver;
#[cfg(test)]
mod tests;
mod verifier;

use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use strongroom_types::Secret;
use strongroom_types::limits::CA_CHAIN_CERTIFICATES_MAX;
use thiserror::Error;

use crate::certificates::{Anchors, Certificate, CertificateError};
use crate::pem::{self, PemError};
use resolver::OneCertificate;
pub use verifier::NotAnHsm;
use verifier::{HsmVerifier, SCHEMES};

/// The protocol's name in ALPN (RFC 7301), with the version of the wire format.
pub const ALPN: &[u8] = b"strongroom/1";

/// Why an HSM cannot serve with a certificate and a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServerConfigError {
    /// The chain is no PEM, or longer than a leaf and [`CA_CHAIN_CERTIFICATES_MAX`] certificates.
    #[error("the certificate chain: {0}")]
    Pem(#[from] PemError),
    /// A certificate of the chain cannot be read.
    #[error("certificate {position} of the chain: {source}")]
    Certificate {
        /// Counted from 1.
        position: usize,
        /// What is wrong.
        source: CertificateError,
    },
    /// The private key is none that TLS can use.
    #[error("the private key is not an RSA, P-256 or P-384 key in PKCS #8")]
    Key,
    /// The certificate is another key's.
    #[error("the certificate belongs to another private key")]
    Mismatch,
}

/// AES-GCM and ChaCha20-Poly1305; X25519MLKEM768, X25519 and P-256, in this order.
fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::{cipher_suite, kx_group};
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    })
}

/// The configuration of a client that trusts `anchors` and talks to HSMs only.
///
/// After the handshake the client asks [`alpn_agreed`]: rustls lets a server leave ALPN out.
pub fn client_config(anchors: &Anchors) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 cipher suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(HsmVerifier::new(anchors.clone())))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_early_data = false;
    Arc::new(config)
}

/// The configuration of an HSM: its certificate and any intermediates in PEM, the leaf first, and the leaf's key.
///
/// A client that does not offer [`ALPN`] gets no handshake.
pub fn server_config(chain_pem: &[u8], key_pkcs8: &Secret) -> Result<Arc<ServerConfig>, ServerConfigError> {
    let chain = pem::decode(pem::CERTIFICATE, chain_pem, 1 + CA_CHAIN_CERTIFICATES_MAX)?;
    let mut certificates = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let read = Certificate::from_der(der);
        certificates.push(read.map_err(|source| ServerConfigError::Certificate { position: index + 1, source })?);
    }
    let borrowed = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pkcs8.expose()));
    let key = aws_lc_rs::sign::any_supported_type(&borrowed).map_err(|_| ServerConfigError::Key)?;
    // What our clients do not verify, no HSM should try to serve with.
    key.choose_scheme(&SCHEMES).ok_or(ServerConfigError::Key)?;
    let spki = key.public_key().ok_or(ServerConfigError::Key)?;
    if certificates[0].spki() != spki.as_ref() {
        return Err(ServerConfigError::Mismatch);
    }
    let certified = CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), key.clone());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 cipher suites")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(OneCertificate::new(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Whether the handshake settled on our protocol; `negotiated` is what the connection's `alpn_protocol` says.
pub fn alpn_agreed(negotiated: Option<&[u8]>) -> bool {
    negotiated == Some(ALPN)
}

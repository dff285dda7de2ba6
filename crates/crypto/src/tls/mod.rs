//! The TLS configuration of both ends: TLS 1.3 only (RFC 8446), hybrid X25519MLKEM768 preferred, ALPN `strongroom/1`,
//! no resumption, no early data, no SNI.
//!
//! rustls' own certificate checks are not used: they refuse version 1 certificates, which most customers' CAs issue.
//! Paths are verified by [`Anchors`], and the handshake's signature with the certificate's bare key.

mod client_auth;
mod identity;
mod resolver;
#[cfg(test)]
mod tests;
mod verifier;

use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use strongroom_types::Secret;

use crate::certificates::Anchors;
use client_auth::ClientVerifier;
pub use client_auth::{ClientAuth, client_fault};
pub use identity::{ClientIdentity, IdentityError};
use resolver::OneCertificate;
use verifier::HsmVerifier;
pub use verifier::NotAnHsm;

/// The protocol's name in ALPN (RFC 7301), with the version of the wire format.
pub const ALPN: &[u8] = b"strongroom/1";

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

/// The configuration of a client that trusts `anchors` and talks to HSMs only. With an `identity` it authenticates itself
/// to those that ask for a certificate.
///
/// After the handshake the client asks [`alpn_agreed`]: rustls lets a server leave ALPN out.
pub fn client_config(anchors: &Anchors, identity: Option<&ClientIdentity>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 cipher suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(HsmVerifier::new(anchors.clone())));
    let mut config = match identity {
        Some(ClientIdentity(certified)) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified.clone())))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_early_data = false;
    Arc::new(config)
}

/// The configuration of an HSM: its certificate and any intermediates in PEM, the leaf first, the leaf's key, and what is
/// wanted of clients.
///
/// A client that does not offer [`ALPN`] gets no handshake.
pub fn server_config(
    chain_pem: &[u8],
    key_pkcs8: &Secret,
    clients: &ClientAuth,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let certified = identity::of_hsm(chain_pem, key_pkcs8)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 cipher suites");
    let builder = match clients.anchors.0.is_empty() {
        true => builder.with_no_client_auth(),
        false => builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(clients.clone()))),
    };
    let mut config = builder.with_cert_resolver(Arc::new(OneCertificate::new(certified)));
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

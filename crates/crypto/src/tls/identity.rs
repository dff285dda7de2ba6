use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::CertifiedKey;
use strongroom_types::Secret;
use strongroom_types::limits::CA_CHAIN_CERTIFICATES_MAX;
use thiserror::Error;

use super::verifier::{CLIENT_SCHEMES, HSM_SCHEMES};
use crate::certificates::{Certificate, CertificateError};
use crate::pem::{self, PemError};

/// What a passphrase leaves in a PEM file (RFC 7468 §11, RFC 1421 §4.6.1.1).
const MARKS_OF_ENCRYPTION: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// Why nobody can authenticate with a certificate and a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
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
    /// The private key is protected by a passphrase.
    #[error("the private key is protected by a passphrase, which nobody could enter; remove it with `openssl pkey`")]
    Passphrase,
    /// There is no private key where one should be.
    #[error("there is no private key in PEM (PKCS #8, PKCS #1 or SEC 1)")]
    NoKey,
    /// The private key is none that TLS can use.
    #[error("the private key is not an RSA or EC key that TLS 1.3 can use")]
    Key,
    /// The certificate is another key's.
    #[error("the certificate belongs to another private key")]
    Mismatch,
}

/// A client's certificate, its chain up to the trust anchor, and its private key.
#[derive(Clone)]
pub struct ClientIdentity(pub(super) Arc<CertifiedKey>);

impl ClientIdentity {
    /// Reads the chain, the client's certificate first, and the key: PKCS #8, PKCS #1 (RSA) or SEC 1 (EC), all in PEM.
    pub fn from_pem(chain_pem: &[u8], key_pem: &Secret) -> Result<ClientIdentity, IdentityError> {
        let is_encrypted = |mark: &&[u8]| key_pem.expose().windows(mark.len()).any(|window| window == *mark);
        if MARKS_OF_ENCRYPTION.iter().any(is_encrypted) {
            return Err(IdentityError::Passphrase);
        }
        let read = |label| pem::decode_secret(label, key_pem).ok();
        let (pkcs8, pkcs1, sec1) = (read(pem::PRIVATE_KEY), read(pem::RSA_PRIVATE_KEY), read(pem::EC_PRIVATE_KEY));
        let key = match (&pkcs8, &pkcs1, &sec1) {
            (Some(key), ..) => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose())),
            (None, Some(key), _) => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(key.expose())),
            (None, None, Some(key)) => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(key.expose())),
            (None, None, None) => return Err(IdentityError::NoKey),
        };
        Ok(ClientIdentity(Arc::new(certified(chain_pem, &key, &CLIENT_SCHEMES)?)))
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(content not shown)")
    }
}

/// An HSM's: the key is PKCS #8.
pub(super) fn of_hsm(chain_pem: &[u8], key_pkcs8: &Secret) -> Result<CertifiedKey, IdentityError> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pkcs8.expose()));
    certified(chain_pem, &key, &HSM_SCHEMES)
}

/// A chain, the leaf first, and the leaf's key, which makes signatures of one of these schemes: what the other end does
/// not verify, nobody should try to authenticate with.
fn certified(
    chain_pem: &[u8],
    key: &PrivateKeyDer<'_>,
    schemes: &[SignatureScheme],
) -> Result<CertifiedKey, IdentityError> {
    let chain = pem::decode(pem::CERTIFICATE, chain_pem, 1 + CA_CHAIN_CERTIFICATES_MAX)?;
    let mut certificates = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let read = Certificate::from_der(der);
        certificates.push(read.map_err(|source| IdentityError::Certificate { position: index + 1, source })?);
    }
    let key = aws_lc_rs::sign::any_supported_type(key).map_err(|_| IdentityError::Key)?;
    key.choose_scheme(schemes).ok_or(IdentityError::Key)?;
    let spki = key.public_key().ok_or(IdentityError::Key)?;
    if certificates[0].spki() != spki.as_ref() {
        return Err(IdentityError::Mismatch);
    }
    Ok(CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), key))
}

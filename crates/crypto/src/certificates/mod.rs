//! X.509 certificates (RFC 5280) and PKCS #10 requests (RFC 2986), version 1 certificates included: those are what
//! `openssl x509 -req` makes, and so what customers' CAs issue for their HSMs.
//!
//! Reading and verifying is AWS-LC's work; issuing writes DER itself and signs through AWS-LC.

mod anchors;
mod authority;
mod client_anchors;
#[cfg(test)]
pub(crate) mod fixtures;
mod name;
#[cfg(test)]
mod tests;

use strongroom_types::PublicPart;
use thiserror::Error;

pub use anchors::{AnchorError, Anchors, PathError};
pub use authority::{AuthorityError, CustomerCa};
pub use client_anchors::{ClientAnchor, ClientAnchorError, ClientAnchors};
pub use name::{Name, hsm_subject};

use crate::pem::{self, PemError};
use crate::spki::{self, SpkiError};
use crate::sys;

/// Bytes of one certificate or request, at most. RSA-4096 with many extensions stays under 4 KiB.
pub const CERTIFICATE_LEN_MAX: usize = 16 * 1024;

/// Bytes that are no certificate, or no request, that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The PEM around it.
    #[error("not a PEM file: {0}")]
    Pem(#[from] PemError),
    /// Longer than [`CERTIFICATE_LEN_MAX`].
    #[error("it is longer than {CERTIFICATE_LEN_MAX} bytes")]
    TooLong,
    /// Not X.509, or a public key of an unknown kind.
    #[error("it is not an X.509 certificate that can be read")]
    Certificate,
    /// Not PKCS #10, a public key of an unknown kind, or not signed by that key.
    #[error("it is not a PKCS #10 request that is signed by its own key")]
    Request,
    /// A public key that cannot be used.
    #[error("its public key cannot be used: {0}")]
    Key(#[from] SpkiError),
}

/// One certificate, read and not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    version: u8,
    subject: Name,
    issuer: Name,
    spki: Vec<u8>,
    not_before: i64,
    not_after: i64,
    may_issue: bool,
}

impl Certificate {
    /// Reads DER.
    pub fn from_der(der: &[u8]) -> Result<Certificate, CertificateError> {
        if der.len() > CERTIFICATE_LEN_MAX {
            return Err(CertificateError::TooLong);
        }
        let fields = sys::certificate(der).ok_or(CertificateError::Certificate)?;
        Ok(Certificate {
            der: der.to_vec(),
            version: fields.version,
            subject: Name::from_der(fields.subject),
            issuer: Name::from_der(fields.issuer),
            spki: fields.spki,
            not_before: fields.not_before,
            not_after: fields.not_after,
            may_issue: fields.may_issue,
        })
    }

    /// Reads the first certificate of a PEM text.
    pub fn from_pem(text: &[u8]) -> Result<Certificate, CertificateError> {
        if text.len() > 2 * CERTIFICATE_LEN_MAX {
            return Err(CertificateError::TooLong);
        }
        let der = pem::decode(pem::CERTIFICATE, text, 1)?;
        Certificate::from_der(&der[0])
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.der)
    }

    /// As DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// 1, 2 or 3.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Whom it names.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// Who says so.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The public key, if it is of an algorithm that [`spki`] knows.
    pub fn public_key(&self) -> Result<PublicPart, CertificateError> {
        Ok(spki::decode(&self.spki)?)
    }

    /// notBefore and notAfter, Unix time. With the second of notAfter the certificate is over.
    pub fn validity(&self) -> (i64, i64) {
        (self.not_before, self.not_after)
    }
}

/// Whether a certificate's subject is an HSM's: the one place that says so ([`Name::hsm_cluster`]).
pub fn is_hsm_subject(certificate: &Certificate) -> bool {
    certificate.subject.hsm_cluster().is_some()
}

/// One request. That it exists says that the key in it signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
    subject: Name,
    public: PublicPart,
}

impl CertificateRequest {
    /// Reads DER and checks the signature.
    pub fn from_der(der: &[u8]) -> Result<CertificateRequest, CertificateError> {
        if der.len() > CERTIFICATE_LEN_MAX {
            return Err(CertificateError::TooLong);
        }
        let fields = sys::request(der).ok_or(CertificateError::Request)?;
        let public = spki::decode(&fields.spki)?;
        Ok(CertificateRequest { der: der.to_vec(), subject: Name::from_der(fields.subject), public })
    }

    /// Reads the first request of a PEM text and checks the signature.
    pub fn from_pem(text: &[u8]) -> Result<CertificateRequest, CertificateError> {
        if text.len() > 2 * CERTIFICATE_LEN_MAX {
            return Err(CertificateError::TooLong);
        }
        let der = pem::decode(pem::CERTIFICATE_REQUEST, text, 1)?;
        CertificateRequest::from_der(&der[0])
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE_REQUEST, &self.der)
    }

    /// Whom it names.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The key it asks a certificate for.
    pub fn public_key(&self) -> &PublicPart {
        &self.public
    }
}

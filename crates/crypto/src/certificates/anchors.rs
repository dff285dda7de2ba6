use strongroom_types::limits::{CA_CHAIN_CERTIFICATES_MAX, CA_CHAIN_LEN_MAX};
use thiserror::Error;

use super::Certificate;
use crate::pem::{self, PemError};
use crate::sys::{self, Purpose};

/// Why a text is no trust anchor. Certificates are counted from 1, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnchorError {
    /// Longer than [`CA_CHAIN_LEN_MAX`].
    #[error("the CA file is longer than {CA_CHAIN_LEN_MAX} bytes")]
    TooLong,
    /// No PEM, or more than [`CA_CHAIN_CERTIFICATES_MAX`] certificates.
    #[error("the CA file is not a PEM chain of one to {CA_CHAIN_CERTIFICATES_MAX} certificates: {0}")]
    Pem(#[from] PemError),
    /// A block that holds no certificate.
    #[error("certificate {position} of the CA file is not an X.509 certificate that can be read")]
    Unreadable {
        /// Which one.
        position: usize,
    },
    /// Version 3 without CA:TRUE, a key usage without keyCertSign, or a version 1 that is not self-signed.
    #[error("certificate {position} of the CA file is not a CA's; give the certificate of the CA that signed")]
    NotCa {
        /// Which one.
        position: usize,
    },
    /// It begins later.
    #[error("certificate {position} of the CA file is not valid yet; check the clock")]
    NotYetValid {
        /// Which one.
        position: usize,
    },
    /// It has ended.
    #[error("certificate {position} of the CA file has expired")]
    Expired {
        /// Which one.
        position: usize,
    },
    /// The next certificate did not sign it.
    #[error("certificate {position} of the CA file is not signed by the one after it; order them up to the root")]
    Broken {
        /// Which one.
        position: usize,
    },
    /// The last certificate did not sign itself.
    #[error("the last certificate of the CA file is not self-signed; add the root")]
    NoRoot,
}

/// Why a certificate is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// A certificate of the path cannot be read.
    #[error("a certificate cannot be read")]
    Unreadable,
    /// More than [`CA_CHAIN_CERTIFICATES_MAX`] certificates beside the leaf.
    #[error("more than {CA_CHAIN_CERTIFICATES_MAX} intermediate certificates were sent")]
    TooLong,
    /// No trusted certificate issued it.
    #[error("the certificate was not issued by the trusted CA")]
    IssuerUnknown,
    /// An issuer's name fits and its key does not: another CA of the same name.
    #[error("the certificate is signed by another CA of the trusted CA's name")]
    Signature,
    /// A certificate of the path begins later.
    #[error("the certificate is not valid yet; check the clock")]
    NotYetValid,
    /// A certificate of the path has ended.
    #[error("the certificate has expired")]
    Expired,
    /// An issuer on the path may not issue.
    #[error("the certificate was issued by a certificate that is not a CA's")]
    IssuerNotCa,
    /// The key usage or extended key usage of a certificate of the path does not have the wanted use.
    #[error("the certificate's key usage or extended key usage does not allow this use of it")]
    Purpose,
    /// A certificate of a client's path is signed with SHA-1, or has an RSA key of fewer than 2,048 bits (SP 800-131A §3).
    #[error("a certificate of the path is signed with SHA-1, or has an RSA key of fewer than 2,048 bits")]
    Weak,
    /// Another rule of RFC 5280 §6 is broken.
    #[error("the certificate's path breaks a rule of RFC 5280 (X509_V_ERR {number})")]
    Rule {
        /// AWS-LC's number of it, `X509_V_ERR_…`.
        number: i32,
    },
}

/// The customer's CA: a chain of 1 to 4 certificates up to a self-signed root, all of them trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors(Vec<Certificate>);

impl Anchors {
    /// Reads and checks a PEM chain, the CA that issued first, the root last. `now_s` is Unix time in seconds.
    pub fn from_pem(text: &[u8], now_s: u64) -> Result<Anchors, AnchorError> {
        Anchors::read(text, Some(i64::try_from(now_s).unwrap_or(i64::MAX)))
    }

    /// The same, whatever the time is.
    pub(super) fn at_any_time(text: &[u8]) -> Result<Anchors, AnchorError> {
        Anchors::read(text, None)
    }

    fn read(text: &[u8], now: Option<i64>) -> Result<Anchors, AnchorError> {
        if text.len() > CA_CHAIN_LEN_MAX {
            return Err(AnchorError::TooLong);
        }
        let mut chain = Vec::new();
        for (index, der) in pem::decode(pem::CERTIFICATE, text, CA_CHAIN_CERTIFICATES_MAX)?.iter().enumerate() {
            let position = index + 1;
            let certificate = Certificate::from_der(der).map_err(|_| AnchorError::Unreadable { position })?;
            chain.push(certificate);
        }
        for (index, certificate) in chain.iter().enumerate() {
            let position = index + 1;
            let (not_before, not_after) = certificate.validity();
            if !certificate.may_issue {
                return Err(AnchorError::NotCa { position });
            }
            if now.is_some_and(|now| now < not_before) {
                return Err(AnchorError::NotYetValid { position });
            }
            // As AWS-LC and OpenSSL do when they verify: with the second of notAfter the certificate is over, though
            // RFC 5280 §4.1.2.5 counts that second in.
            if now.is_some_and(|now| now >= not_after) {
                return Err(AnchorError::Expired { position });
            }
            match chain.get(position) {
                Some(issuer) if !is_issued_by(certificate, issuer) => return Err(AnchorError::Broken { position }),
                None if !is_issued_by(certificate, certificate) => return Err(AnchorError::NoRoot),
                _ => {}
            }
        }
        Ok(Anchors(chain))
    }

    /// The chain, in the file's order.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// The chain as PEM, without what stood around it.
    pub fn to_pem(&self) -> String {
        self.0.iter().map(Certificate::to_pem).collect()
    }

    /// Whether a path leads from `leaf` over `intermediates` to the root, every certificate on it valid at `now_s`
    /// (Unix time in seconds). All DER. The leaf's names and purpose are not looked at, and it may be version 1.
    pub fn verify(&self, leaf: &[u8], intermediates: &[&[u8]], now_s: u64) -> Result<(), PathError> {
        self.verify_for(Purpose::Any, leaf, intermediates, now_s)
    }

    pub(super) fn verify_for(
        &self,
        purpose: Purpose,
        leaf: &[u8],
        intermediates: &[&[u8]],
        now_s: u64,
    ) -> Result<(), PathError> {
        if intermediates.len() > CA_CHAIN_CERTIFICATES_MAX {
            return Err(PathError::TooLong);
        }
        let anchors: Vec<&[u8]> = self.0.iter().map(Certificate::der).collect();
        sys::verify_path(leaf, intermediates, &anchors, i64::try_from(now_s).unwrap_or(i64::MAX), purpose)
    }
}

fn is_issued_by(subject: &Certificate, issuer: &Certificate) -> bool {
    subject.issuer == issuer.subject && sys::is_issued_by(&subject.der, &issuer.der)
}

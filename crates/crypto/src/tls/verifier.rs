use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, PeerMisbehaved};
use strongroom_types::limits::RSA_BITS_MIN;
use strongroom_types::{Curve, HashFunction, PublicPart, SignMechanism};
use thiserror::Error;

use crate::certificates::{Anchors, Certificate, PathError};
use crate::digest::digest;
use crate::ecdsa;
use crate::verify::verify;

/// A certificate that the trusted CA issued for something else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the server's certificate is trusted but is not an HSM's: {subject}")]
pub struct NotAnHsm {
    /// What it names.
    pub subject: String,
}

/// The signature schemes of TLS 1.3 that HSMs' certificate keys can make (RFC 8446 §4.2.3).
pub(super) const HSM_SCHEMES: [SignatureScheme; 5] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
];

/// Those of clients' keys: theirs may be on P-521 as well.
pub(super) const CLIENT_SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
];

/// Accepts a server whose certificate has a path to the anchors and an HSM's subject.
#[derive(Debug)]
pub(super) struct HsmVerifier(Anchors);

impl HsmVerifier {
    pub(super) fn new(anchors: Anchors) -> HsmVerifier {
        HsmVerifier(anchors)
    }
}

impl ServerCertVerifier for HsmVerifier {
    /// The server's name is not looked at: HSMs are found by address, and what they are stands in the subject.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        self.0.verify(leaf.der(), &intermediates, now.as_secs()).map_err(certificate_error)?;
        if leaf.subject().hsm_cluster().is_none() {
            let error = NotAnHsm { subject: leaf.subject().to_string() };
            return Err(CertificateError::Other(OtherError(Arc::new(error))).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    /// TLS 1.2 is not among the versions of our configuration.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, cert, dss, &HSM_SCHEMES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        HSM_SCHEMES.to_vec()
    }
}

/// Verifies a handshake's signature, of one of the schemes that were offered, with the bare key of a certificate.
pub(super) fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    offered: &[SignatureScheme],
) -> Result<HandshakeSignatureValid, Error> {
    if !offered.contains(&signed.scheme) {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    let public = Certificate::from_der(certificate).and_then(|certificate| certificate.public_key());
    let public = public.map_err(|_| CertificateError::BadEncoding)?;
    verify_handshake(&public, signed.scheme, message, signed.signature())?;
    Ok(HandshakeSignatureValid::assertion())
}

/// Verifies CertificateVerify (RFC 8446 §4.4.3) with a bare key. The scheme fixes key type, curve, hash and salt.
fn verify_handshake(
    public: &PublicPart,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    let wrong_scheme = Error::from(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme);
    let bad = Error::from(CertificateError::BadSignature);
    let pss = |hash: HashFunction, salt_len: u16| (hash, SignMechanism::RsaPkcsPss { hash, salt_len });
    let ((hash, mechanism), curve) = match scheme {
        SignatureScheme::RSA_PSS_SHA256 => (pss(HashFunction::Sha256, 32), None),
        SignatureScheme::RSA_PSS_SHA384 => (pss(HashFunction::Sha384, 48), None),
        SignatureScheme::RSA_PSS_SHA512 => (pss(HashFunction::Sha512, 64), None),
        SignatureScheme::ECDSA_NISTP256_SHA256 => ((HashFunction::Sha256, SignMechanism::Ecdsa), Some(Curve::P256)),
        SignatureScheme::ECDSA_NISTP384_SHA384 => ((HashFunction::Sha384, SignMechanism::Ecdsa), Some(Curve::P384)),
        SignatureScheme::ECDSA_NISTP521_SHA512 => ((HashFunction::Sha512, SignMechanism::Ecdsa), Some(Curve::P521)),
        _ => return Err(wrong_scheme),
    };
    let digest = digest(hash, message);
    let verified = match (public, curve) {
        (PublicPart::Rsa { modulus, .. }, None) if modulus.len() * 8 >= RSA_BITS_MIN as usize => {
            verify(public, mechanism, &digest, signature)
        }
        (PublicPart::Ec { curve: of_key, .. }, Some(curve)) if *of_key == curve => {
            let raw = ecdsa::der_to_raw(signature, curve).ok_or_else(|| bad.clone())?;
            verify(public, mechanism, &digest, &raw)
        }
        _ => return Err(wrong_scheme),
    };
    verified.map_err(|_| bad)
}

pub(super) fn certificate_error(error: PathError) -> CertificateError {
    match error {
        PathError::Unreadable => CertificateError::BadEncoding,
        // A CA of the same name with another key is another CA: the same mistake for who configured it.
        PathError::IssuerUnknown | PathError::Signature => CertificateError::UnknownIssuer,
        PathError::NotYetValid => CertificateError::NotValidYet,
        PathError::Expired => CertificateError::Expired,
        PathError::Purpose => CertificateError::InvalidPurpose,
        PathError::TooLong | PathError::IssuerNotCa | PathError::Weak | PathError::Rule { .. } => {
            CertificateError::Other(OtherError(Arc::new(error)))
        }
    }
}

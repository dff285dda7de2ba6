use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use strongroom_types::CertificateFingerprint;

use super::verifier::{CLIENT_SCHEMES, certificate_error, verify_signature};
use crate::certificates::{ClientAnchors, PathError};

/// What an HSM wants of its clients' certificates. Without anchors it asks for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAuth {
    /// Under which they are good.
    pub anchors: ClientAnchors,
    /// Whether a client without one gets no connection.
    pub is_mandatory: bool,
}

impl ClientAuth {
    /// The anchor under which the certificates that a client has sent are good; none when it sent none. `now_s` is Unix
    /// time in seconds.
    pub fn anchor_of(
        &self,
        sent: Option<&[CertificateDer<'_>]>,
        now_s: u64,
    ) -> Result<Option<CertificateFingerprint>, PathError> {
        let Some((leaf, intermediates)) = sent.and_then(<[_]>::split_first) else { return Ok(None) };
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        self.anchors.verify(leaf, &intermediates, now_s).map(Some)
    }
}

/// Accepts a client whose certificate is good under one of the anchors.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    auth: ClientAuth,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    pub(super) fn new(auth: ClientAuth) -> ClientVerifier {
        let hints = auth.anchors.subjects().map(|name| DistinguishedName::from(name.der().to_vec())).collect();
        ClientVerifier { auth, hints }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.auth.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        self.auth.anchors.verify(end_entity, &intermediates, now.as_secs()).map_err(certificate_error)?;
        Ok(ClientCertVerified::assertion())
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
        verify_signature(message, cert, dss, &CLIENT_SCHEMES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        CLIENT_SCHEMES.to_vec()
    }
}

/// What was wrong with a client's certificate, or that there was none; none when something else failed.
pub fn client_fault(error: &Error) -> Option<&'static str> {
    match error {
        Error::NoCertificatesPresented => Some("it showed no client certificate, and mutual TLS is enforced"),
        Error::InvalidCertificate(fault) => Some(match fault {
            CertificateError::UnknownIssuer => "its client certificate is not under a registered trust anchor",
            CertificateError::Expired => "its client certificate, or one that vouches for it, has expired",
            CertificateError::NotValidYet => "its client certificate, or one that vouches for it, is not valid yet",
            CertificateError::InvalidPurpose => "its certificate's usage does not allow to authenticate a client",
            CertificateError::BadSignature => "it does not have the private key of the certificate that it showed",
            CertificateError::BadEncoding => "its client certificate cannot be read",
            CertificateError::Other(other) if other.0.downcast_ref() == Some(&PathError::Weak) => {
                "a certificate between it and a trust anchor is signed with SHA-1, or has an RSA key of fewer than 2,048 bits"
            }
            _ => "the path from its client certificate to a trust anchor breaks a rule of RFC 5280",
        }),
        _ => None,
    }
}

//! What can go wrong, and what it is in OpenSSL's words.
//!
//! OpenSSL's error queue holds a reason, whose text is fixed, and data, which says what it is about. Reasons below 100
//! belong to OpenSSL. A status of the HSM has the reason 100 + its number, what the engine itself finds wrong begins at
//! [`OWN_FIRST`]; neither list may be renumbered, for people search logs by them.

use strongroom_client::ClientError;
use strongroom_types::{KeyReference, Refusal, Status};
use thiserror::Error;

use crate::settings::SettingsError;

/// The name of the library that errors come from, as OpenSSL prints it.
pub(crate) const LIBRARY_NAME: &str = "CloudHSM engine";

/// First reason that is no status.
const OWN_FIRST: i32 = 200;

/// Why an operation, or the engine's start, failed.
#[derive(Debug, Error)]
pub(crate) enum EngineError {
    /// The configuration or the credentials can't be used.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// The HSMs, or the way to them.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// A reference to a key that is not there.
    #[error(
        "the file names key {0}, and the user of CLOUDHSM_PIN sees no private key with the file's public part: it was \
         deleted, is another user's, or is in another cluster"
    )]
    KeyMissing(KeyReference),
    /// A private part that does not fit, in a file that names no key.
    #[error(
        "the file's private part does not fit its public part, and the user of CLOUDHSM_PIN sees no private key with \
         that public part"
    )]
    KeyUnclear,
    /// A reference file put together from two keys.
    #[error("the file names key {0}, which belongs to another public part: write it anew with cloudhsm-cli")]
    Mixed(KeyReference),
    /// A reference on a curve that the HSMs don't have.
    #[error("the HSMs have P-224, P-256, P-384, P-521 and secp256k1")]
    CurveUnsupported,
    /// Signing with a padding that is neither PKCS #1 v1.5 nor none.
    #[error("padding {0}; the HSMs sign with PKCS #1 v1.5 and PSS")]
    SignPadding(i32),
    /// Decrypting with a padding that the engine does not offer.
    #[error("padding {0}; the engine decrypts OAEP")]
    DecryptPadding(i32),
    /// An HSM's answer has the wrong length or form.
    #[error("{0}")]
    Answer(&'static str),
    /// A pointer or length that the host passes.
    #[error("{0}")]
    Argument(#[from] strongroom_ffi::PointerError),
    /// A key object without the parts an operation needs.
    #[error("the key has no {0}")]
    KeyIncomplete(&'static str),
    /// A call into libcrypto that failed for want of memory or worse.
    #[error("{0}")]
    Libcrypto(&'static str),
    /// A panic was trapped.
    #[error("the operation was given up; please report it")]
    Panic,
}

/// One reason of OpenSSL's error library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// Its number.
    pub(crate) code: i32,
    /// Its text.
    pub(crate) text: &'static str,
}

const fn own(number: i32, text: &'static str) -> Reason {
    Reason { code: OWN_FIRST + number, text }
}

const SETTINGS: Reason = own(0, "the engine's configuration cannot be used");
const NO_CREDENTIALS: Reason = own(1, "CLOUDHSM_PIN is not set");
const UNAVAILABLE: Reason = own(2, "no HSM of the cluster answers");
const PROTOCOL: Reason = own(3, "an HSM broke the protocol");
const KEY_AVAILABILITY: Reason = own(4, "keys need a cluster of two HSMs");
const TOO_LONG: Reason = own(5, "the data is too long");
const KEY_MISSING: Reason = own(6, "no key with this public part in the HSM");
const MIXED: Reason = own(7, "key reference and public part belong to different keys");
const CURVE_UNSUPPORTED: Reason = own(8, "the curve is not supported");
const SIGN_PADDING: Reason = own(9, "signing with this padding is not supported");
const DECRYPT_PADDING: Reason = own(10, "decryption with this padding is not supported");
const ARGUMENT: Reason = own(11, "an argument is not valid");
const LIBCRYPTO: Reason = own(12, "a call into libcrypto failed");
const PANIC: Reason = own(13, "internal error of the engine");

/// Every reason that is no status.
const OWN: [Reason; 14] = [
    SETTINGS,
    NO_CREDENTIALS,
    UNAVAILABLE,
    PROTOCOL,
    KEY_AVAILABILITY,
    TOO_LONG,
    KEY_MISSING,
    MIXED,
    CURVE_UNSUPPORTED,
    SIGN_PADDING,
    DECRYPT_PADDING,
    ARGUMENT,
    LIBCRYPTO,
    PANIC,
];

/// Every reason, to be made known to OpenSSL.
pub(crate) fn reasons() -> impl Iterator<Item = Reason> {
    Status::ALL.iter().map(|status| row(*status).0).chain(OWN)
}

/// A status in OpenSSL's words, and what whoever reads it in a server's log can do.
fn row(status: Status) -> (Reason, &'static str) {
    let (code, advice) = match status {
        Status::MalformedRequest => (101, "engine and HSM may be of different versions"),
        Status::FrameTooLong => (102, ""),
        Status::OperationUnknown => (103, ""),
        Status::NotServing => (104, ""),
        Status::Busy => (105, ""),
        Status::DeadlineExceeded => (106, ""),
        Status::StoreUnavailable => (107, ""),
        Status::ClockOff => (108, ""),
        Status::StateDamaged => (109, ""),
        Status::WrongClusterState => (110, "is the cluster activated?"),
        Status::NotLoggedIn => (111, "check CLOUDHSM_PIN"),
        Status::LoginEnded => (112, ""),
        Status::LoginFailed => (113, "check CLOUDHSM_PIN, which names a crypto user"),
        Status::MfaRequired => (164, "who has MFA cannot log in by CLOUDHSM_PIN; use a crypto user without it"),
        Status::MfaChallengeInvalid => (165, ""),
        Status::UserLocked => (114, ""),
        Status::RoleNotPermitted => (115, "CLOUDHSM_PIN must name a crypto user"),
        Status::RequestIdReused => (116, ""),
        Status::ClientCertificateRequired => (167, "set client_cert_path and client_key_path in cloudhsm-dyn.cfg"),
        Status::NotClones => (172, ""),
        Status::ReplicaUnsupported => (173, ""),
        Status::ReplicaExpired => (174, ""),
        Status::ReplicaOfAnother => (175, ""),
        Status::UserNameInvalid => (117, "check CLOUDHSM_PIN"),
        Status::PasswordInvalid => (118, "check CLOUDHSM_PIN"),
        Status::UserUnknown => (119, "check CLOUDHSM_PIN"),
        Status::UserExists => (120, ""),
        Status::UserReplicaConflict => (176, ""),
        Status::UserInternal => (121, ""),
        Status::UserOwnsKeys => (122, ""),
        Status::LastAdmin => (123, ""),
        Status::QuorumTooFew => (163, ""),
        Status::UsersFull => (124, ""),
        Status::SessionKeyMissing => (146, ""),
        Status::KeyUnknown => (125, ""),
        Status::KeyNotOwned => (126, ""),
        Status::ReplicaUsersMissing => (177, ""),
        Status::KeyReplicaConflict => (178, ""),
        Status::SessionKeyFixed => (147, ""),
        Status::KeyTypeInconsistent => (127, ""),
        Status::KeyFunctionNotPermitted => (128, "the private key needs sign=true, or decrypt=true to decrypt"),
        Status::KeyNotDestroyable => (129, ""),
        Status::KeyNotModifiable => (130, ""),
        Status::AttributeUnknown => (131, ""),
        Status::AttributeReadOnly => (132, ""),
        Status::AttributeValueInvalid => (133, ""),
        Status::TemplateInconsistent => (134, ""),
        Status::KeySizeInvalid => (135, ""),
        Status::CurveInvalid => (136, ""),
        Status::MechanismInvalid => (137, ""),
        Status::AlgorithmNotOfType => (149, ""),
        Status::MechanismNotApproved => (138, ""),
        Status::KeyWeak => (150, ""),
        Status::DataLengthInvalid => (139, ""),
        Status::DataInvalid => (140, ""),
        Status::SignatureInvalid => (141, ""),
        Status::DecryptionFailed => (142, ""),
        Status::KeySensitive => (182, ""),
        Status::KeyNotExtractable => (152, ""),
        Status::WrappingKeyNotTrusted => (153, ""),
        Status::WrapTemplateMismatch => (184, ""),
        Status::KeyNotCopyable => (185, ""),
        Status::PayloadInvalid => (154, ""),
        Status::UnwrappingFailed => (155, ""),
        Status::QuorumValueInvalid => (162, ""),
        Status::TokenKeyInvalid => (166, ""),
        Status::TokenSignatureInvalid => (161, ""),
        Status::QuorumTokenInvalid => (159, ""),
        Status::QuorumRequired => (157, ""),
        Status::QuorumFailed => (
            158,
            "several users must approve each use of this key, which only cloudhsm-cli can pass on; use a key with a use quorum value of 0",
        ),
        Status::KeyUsesExhausted => (179, "it still decrypts and unwraps; generate a new key"),
        Status::KeysFull => (143, "delete keys that nobody needs"),
        Status::SessionKeysFull => (148, ""),
        Status::QuorumTokensFull => (160, ""),
        Status::LoginsFull => (144, ""),
        Status::CertificateInvalid => (145, ""),
        Status::TrustAnchorInvalid => (168, ""),
        Status::TrustAnchorUnknown => (169, ""),
        Status::TrustAnchorsFull => (170, ""),
        Status::TrustAnchorInUse => (171, ""),
        Status::CertificateUnknown => (186, ""),
        Status::CertificatesFull => (187, ""),
        Status::CertificateProtected => (188, ""),
        Status::CertificatesNotOfType => (189, ""),
        Status::Internal => (199, ""),
    };
    (Reason { code, text: status.text() }, advice)
}

impl EngineError {
    /// The reason for OpenSSL.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            EngineError::Settings(_) => SETTINGS,
            EngineError::Client(ClientError::Refused(refusal) | ClientError::Unsettled(refusal)) => {
                row(refusal.status).0
            }
            EngineError::Client(ClientError::Unavailable { .. }) => UNAVAILABLE,
            EngineError::Client(ClientError::Protocol { .. }) | EngineError::Answer(_) => PROTOCOL,
            EngineError::Client(ClientError::NoCredentials) => NO_CREDENTIALS,
            EngineError::Client(ClientError::KeyAvailability) => KEY_AVAILABILITY,
            EngineError::Client(ClientError::TooLong(_)) => TOO_LONG,
            EngineError::KeyMissing(_) | EngineError::KeyUnclear => KEY_MISSING,
            EngineError::Mixed(_) => MIXED,
            EngineError::CurveUnsupported => CURVE_UNSUPPORTED,
            EngineError::SignPadding(_) => SIGN_PADDING,
            EngineError::DecryptPadding(_) => DECRYPT_PADDING,
            EngineError::Argument(_) | EngineError::KeyIncomplete(_) => ARGUMENT,
            EngineError::Libcrypto(_) => LIBCRYPTO,
            EngineError::Panic => PANIC,
        }
    }

    /// What stands behind the reason: what it is about, what to do. Never a secret.
    pub(crate) fn detail(&self) -> String {
        match self {
            EngineError::Client(ClientError::Refused(Refusal { status, about })) => [about.as_str(), row(*status).1]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join("; "),
            EngineError::Client(ClientError::NoCredentials) => {
                "set it to <user>:<password> of a crypto user where the program that loads the engine starts".into()
            }
            other => other.to_string(),
        }
    }

    /// Reason and detail in one line, for the log.
    pub(crate) fn line(&self) -> String {
        let (text, detail) = (self.reason().text, self.detail());
        if detail.is_empty() { text.to_owned() } else { format!("{text}: {detail}") }
    }

    /// Whether the client has noted it in the log already.
    pub(crate) fn is_logged_by_client(&self) -> bool {
        match self {
            EngineError::Client(ClientError::Refused(refusal)) => {
                matches!(refusal.status, Status::LoginFailed | Status::UserLocked)
            }
            EngineError::Client(ClientError::Unavailable { .. } | ClientError::Protocol { .. }) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_status_has_its_number_and_every_reason_its_own() {
        for status in Status::ALL {
            assert_eq!(row(*status).0.code, 100 + i32::from(status.number()), "{status:?}");
        }
        let codes: Vec<_> = reasons().map(|reason| reason.code).collect();
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
        assert!(codes.iter().all(|code| (100..1 << 12).contains(code)), "OpenSSL 1.1.1 keeps twelve bits");
        assert_eq!(OWN.map(|reason| reason.code - OWN_FIRST).to_vec(), (0..OWN.len() as i32).collect::<Vec<_>>());
        for reason in reasons() {
            assert!(!reason.text.is_empty() && !reason.text.contains('\0'));
        }
    }

    #[test]
    fn a_line_names_what_it_is_about_and_what_to_do() {
        let refused = |refusal: Refusal| EngineError::Client(ClientError::Refused(refusal)).line();
        assert_eq!(
            refused(Status::LoginFailed.into()),
            "the user name, role or password is wrong: check CLOUDHSM_PIN, which names a crypto user"
        );
        assert_eq!(refused(Refusal::new(Status::Busy, "sign")), "the HSM is busy: sign");
        assert_eq!(refused(Status::Busy.into()), "the HSM is busy");
        let missing = EngineError::KeyMissing(KeyReference::from_u64(0x2e).unwrap()).line();
        assert!(
            missing.starts_with("no key with this public part in the HSM: ") && missing.contains("0x000000000000002e")
        );
        assert!(EngineError::Client(ClientError::NoCredentials).line().contains("CLOUDHSM_PIN"));
    }
}

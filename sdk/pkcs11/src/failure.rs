//! What can go wrong, and what it is in Cryptoki's words.
//!
//! A caller sees a number; cause and fix stand in the log. `CKR_GENERAL_ERROR` is for a trapped panic alone.

use cryptoki_sys::*;
use strongroom_client::{Cause, ClientError, ConfigError, Level};
use strongroom_ffi::PointerError;
use strongroom_types::Status;
use thiserror::Error;

use crate::objects::templates::name_of;

/// Why a function of Cryptoki did not do what was asked.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The caller did something that the standard names.
    #[error("{why}")]
    Call {
        /// Its number.
        rv: CK_RV,
        /// What was wrong, and what would be right.
        why: &'static str,
    },
    /// The same about one attribute of a template.
    #[error("{}: {why}", name_of(*attribute))]
    Attribute {
        /// Its number.
        rv: CK_RV,
        /// Which attribute.
        attribute: CK_ATTRIBUTE_TYPE,
        /// What was wrong, and what would be right.
        why: &'static str,
    },
    /// The HSMs, or the way to them.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The same where the call has a number of its own for what they say.
    #[error("{error}")]
    Named {
        /// That number.
        rv: CK_RV,
        /// What they say.
        #[source]
        error: ClientError,
    },
    /// The configuration can't be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A pointer or length that the caller passes.
    #[error("{0}")]
    Argument(#[from] PointerError),
    /// A panic was trapped.
    #[error("the call was given up; please report it")]
    Panic,
}

/// What the standard calls a status, and what whoever reads the log can do.
fn row(status: Status) -> (CK_RV, &'static str) {
    match status {
        Status::MalformedRequest => (CKR_FUNCTION_FAILED, "library and HSM may be of different versions"),
        Status::FrameTooLong => (CKR_DATA_LEN_RANGE, "pass less data in one call"),
        Status::OperationUnknown => (CKR_FUNCTION_NOT_SUPPORTED, ""),
        Status::NotServing => (CKR_DEVICE_ERROR, ""),
        Status::Busy => (CKR_FUNCTION_FAILED, "try again later"),
        Status::DeadlineExceeded => (CKR_FUNCTION_FAILED, "try again later"),
        Status::StoreUnavailable => (CKR_DEVICE_ERROR, ""),
        Status::ClockOff => (CKR_DEVICE_ERROR, ""),
        Status::StateDamaged => (CKR_DEVICE_ERROR, ""),
        Status::WrongClusterState => (CKR_USER_PIN_NOT_INITIALIZED, "is the cluster activated?"),
        Status::NotLoggedIn => (CKR_USER_NOT_LOGGED_IN, "call C_Login first"),
        Status::LoginEnded => (CKR_USER_NOT_LOGGED_IN, "call C_Login again"),
        Status::LoginFailed => (CKR_PIN_INCORRECT, "the PIN is <user>:<password> of a crypto user"),
        Status::MfaRequired => (CKR_USER_TYPE_INVALID, "use a crypto user without MFA"),
        Status::MfaChallengeInvalid => (CKR_USER_TYPE_INVALID, "use a crypto user without MFA"),
        Status::UserLocked => (CKR_PIN_LOCKED, ""),
        Status::RoleNotPermitted => (CKR_ACTION_PROHIBITED, ""),
        Status::RequestIdReused => (CKR_FUNCTION_FAILED, ""),
        Status::ClientCertificateRequired => {
            (CKR_DEVICE_ERROR, "set client_cert_path and client_key_path in cloudhsm-pkcs11.cfg")
        }
        Status::NotClones => (CKR_FUNCTION_FAILED, ""),
        Status::ReplicaUnsupported => (CKR_FUNCTION_FAILED, ""),
        Status::ReplicaExpired => (CKR_FUNCTION_FAILED, ""),
        Status::ReplicaOfAnother => (CKR_FUNCTION_FAILED, ""),
        Status::UserNameInvalid => (CKR_PIN_INCORRECT, "the PIN is <user>:<password> of a crypto user"),
        Status::PasswordInvalid => (CKR_PIN_INCORRECT, "the PIN is <user>:<password> of a crypto user"),
        Status::UserUnknown => (CKR_PIN_INCORRECT, "the PIN is <user>:<password> of a crypto user"),
        Status::UserExists => (CKR_FUNCTION_FAILED, ""),
        Status::UserReplicaConflict => (CKR_FUNCTION_FAILED, ""),
        Status::UserInternal => (CKR_FUNCTION_FAILED, ""),
        Status::UserOwnsKeys => (CKR_FUNCTION_FAILED, ""),
        Status::LastAdmin => (CKR_FUNCTION_FAILED, ""),
        Status::QuorumTooFew => (CKR_FUNCTION_FAILED, ""),
        Status::UsersFull => (CKR_FUNCTION_FAILED, ""),
        Status::SessionKeyMissing => (CKR_KEY_HANDLE_INVALID, ""),
        Status::KeyUnknown => (CKR_KEY_HANDLE_INVALID, "find the key anew"),
        Status::KeyNotOwned => (CKR_ACTION_PROHIBITED, ""),
        Status::CertificatesNotOfType => {
            (CKR_ATTRIBUTE_VALUE_INVALID, "keep certificates elsewhere, or use a cluster of type hsm2m.medium")
        }
        Status::CertificateUnknown => (CKR_OBJECT_HANDLE_INVALID, "find the certificate anew"),
        Status::CertificateProtected => (CKR_ACTION_PROHIBITED, ""),
        Status::ReplicaUsersMissing => (CKR_FUNCTION_FAILED, ""),
        Status::KeyReplicaConflict => (CKR_FUNCTION_FAILED, ""),
        Status::SessionKeyFixed => (CKR_ACTION_PROHIBITED, ""),
        Status::KeyTypeInconsistent => (CKR_KEY_TYPE_INCONSISTENT, ""),
        Status::KeyFunctionNotPermitted => (CKR_KEY_FUNCTION_NOT_PERMITTED, ""),
        Status::KeySensitive => (CKR_ATTRIBUTE_SENSITIVE, ""),
        Status::KeyNotExtractable => (CKR_KEY_UNEXTRACTABLE, ""),
        Status::WrappingKeyNotTrusted => (CKR_KEY_NOT_WRAPPABLE, "an admin sets trusted with cloudhsm-cli"),
        Status::WrapTemplateMismatch => {
            (CKR_KEY_HANDLE_INVALID, "the wrapping key's CKA_WRAP_TEMPLATE demands otherwise; wrap under another key")
        }
        Status::KeyNotCopyable => (CKR_ACTION_PROHIBITED, ""),
        Status::KeyNotDestroyable => (CKR_ACTION_PROHIBITED, ""),
        Status::KeyNotModifiable => (CKR_ACTION_PROHIBITED, ""),
        Status::AttributeUnknown => (CKR_ATTRIBUTE_TYPE_INVALID, ""),
        Status::AttributeReadOnly => (CKR_ATTRIBUTE_READ_ONLY, ""),
        Status::AttributeValueInvalid => (CKR_ATTRIBUTE_VALUE_INVALID, ""),
        Status::TemplateInconsistent => (CKR_TEMPLATE_INCONSISTENT, ""),
        Status::KeySizeInvalid => (CKR_KEY_SIZE_RANGE, ""),
        Status::CurveInvalid => (CKR_CURVE_NOT_SUPPORTED, ""),
        Status::MechanismInvalid => (CKR_MECHANISM_INVALID, ""),
        Status::AlgorithmNotOfType => (CKR_MECHANISM_INVALID, ""),
        Status::MechanismNotApproved => (CKR_MECHANISM_INVALID, ""),
        Status::KeyWeak => (CKR_ATTRIBUTE_VALUE_INVALID, ""),
        Status::DataLengthInvalid => (CKR_DATA_LEN_RANGE, ""),
        Status::PayloadInvalid => (CKR_KEY_NOT_WRAPPABLE, ""),
        Status::DataInvalid => (CKR_DATA_INVALID, ""),
        Status::SignatureInvalid => (CKR_SIGNATURE_INVALID, ""),
        Status::DecryptionFailed => (CKR_ENCRYPTED_DATA_INVALID, ""),
        Status::UnwrappingFailed => (CKR_WRAPPED_KEY_INVALID, ""),
        Status::QuorumValueInvalid => (CKR_FUNCTION_FAILED, ""),
        Status::TokenKeyInvalid => (CKR_FUNCTION_FAILED, ""),
        Status::TokenSignatureInvalid => (CKR_FUNCTION_FAILED, ""),
        Status::QuorumTokenInvalid => (CKR_FUNCTION_REJECTED, ""),
        Status::QuorumRequired => (CKR_FUNCTION_REJECTED, ""),
        Status::QuorumFailed => (
            CKR_FUNCTION_REJECTED,
            "several users must approve this for the key, which only cloudhsm-cli can pass on; use a key with quorum values of 0",
        ),
        Status::KeyUsesExhausted => {
            (CKR_KEY_FUNCTION_NOT_PERMITTED, "it still decrypts and unwraps; generate a new key")
        }
        Status::KeysFull => (CKR_DEVICE_MEMORY, "delete keys that nobody needs"),
        Status::CertificatesFull => (CKR_DEVICE_MEMORY, "destroy certificates that nobody needs"),
        Status::SessionKeysFull => (CKR_DEVICE_MEMORY, "destroy session keys, or close the sessions that made them"),
        Status::QuorumTokensFull => (CKR_FUNCTION_FAILED, ""),
        Status::LoginsFull => (CKR_DEVICE_MEMORY, "call C_Logout or C_Finalize before a program ends"),
        Status::CertificateInvalid => (CKR_FUNCTION_FAILED, ""),
        Status::TrustAnchorInvalid => (CKR_FUNCTION_FAILED, ""),
        Status::TrustAnchorUnknown => (CKR_FUNCTION_FAILED, ""),
        Status::TrustAnchorsFull => (CKR_FUNCTION_FAILED, ""),
        Status::TrustAnchorInUse => (CKR_FUNCTION_FAILED, ""),
        Status::Internal => (CKR_DEVICE_ERROR, "the HSM's log says more"),
    }
}

impl Failure {
    /// What the standard names, and why it is so.
    pub(crate) fn call(rv: CK_RV, why: &'static str) -> Failure {
        Failure::Call { rv, why }
    }

    /// The same failure, with another number if it has this one.
    #[must_use]
    pub(crate) fn renamed(self, from: CK_RV, to: CK_RV) -> Failure {
        if self.rv() != from {
            return self;
        }
        match self {
            Failure::Call { why, .. } => Failure::Call { rv: to, why },
            Failure::Attribute { attribute, why, .. } => Failure::Attribute { rv: to, attribute, why },
            Failure::Client(error) | Failure::Named { error, .. } => Failure::Named { rv: to, error },
            other => other,
        }
    }

    /// Its number for the caller.
    pub(crate) fn rv(&self) -> CK_RV {
        match self {
            Failure::Call { rv, .. } | Failure::Attribute { rv, .. } | Failure::Named { rv, .. } => *rv,
            Failure::Client(error) => match error {
                ClientError::Refused(refusal) | ClientError::Unsettled(refusal) => row(refusal.status).0,
                ClientError::Unavailable { tried } => {
                    let busy = tried.iter().any(|attempt| match &attempt.cause {
                        Cause::Status(refusal) => refusal.status == Status::Busy,
                        _ => false,
                    });
                    if busy { CKR_FUNCTION_FAILED } else { CKR_DEVICE_ERROR }
                }
                ClientError::Protocol { .. } => CKR_DEVICE_ERROR,
                ClientError::NoCredentials => CKR_USER_NOT_LOGGED_IN,
                ClientError::KeyAvailability => CKR_FUNCTION_FAILED,
                ClientError::TooLong(_) => CKR_DATA_LEN_RANGE,
            },
            Failure::Config(_) => CKR_FUNCTION_FAILED,
            Failure::Argument(PointerError::BufferTooSmall { .. }) => CKR_BUFFER_TOO_SMALL,
            Failure::Argument(PointerError::Null | PointerError::Length) => CKR_ARGUMENTS_BAD,
            Failure::Panic => CKR_GENERAL_ERROR,
        }
    }

    /// How important it is to whoever operates the program.
    pub(crate) fn level(&self) -> Level {
        match self {
            // The client has noted it already.
            Failure::Client(ClientError::Unavailable { .. } | ClientError::KeyAvailability) => Level::Debug,
            Failure::Client(ClientError::Protocol { .. } | ClientError::Unsettled(_)) => Level::Error,
            Failure::Config(_) | Failure::Panic => Level::Error,
            _ => match self.rv() {
                // Programs ask in order to see whether it is so.
                CKR_ATTRIBUTE_TYPE_INVALID
                | CKR_ATTRIBUTE_SENSITIVE
                | CKR_BUFFER_TOO_SMALL
                | CKR_CRYPTOKI_ALREADY_INITIALIZED
                // A peer sends what it likes, as often as it likes.
                | CKR_ENCRYPTED_DATA_INVALID
                | CKR_ENCRYPTED_DATA_LEN_RANGE
                | CKR_FUNCTION_NOT_PARALLEL
                | CKR_NO_EVENT
                | CKR_SIGNATURE_INVALID
                | CKR_SIGNATURE_LEN_RANGE
                | CKR_USER_ALREADY_LOGGED_IN => Level::Debug,
                CKR_DEVICE_ERROR => Level::Error,
                _ => Level::Warn,
            },
        }
    }

    /// Cause and fix in one line, for the log. Never a secret.
    pub(crate) fn line(&self, function: &str) -> String {
        let advice = match self {
            Failure::Client(ClientError::Refused(refusal))
            | Failure::Named { error: ClientError::Refused(refusal), .. } => row(refusal.status).1,
            Failure::Client(ClientError::NoCredentials) => "call C_Login first",
            _ => "",
        };
        let separator = if advice.is_empty() { "" } else { "; " };
        format!("{function}: {}: {self}{separator}{advice}", name(self.rv()))
    }
}

macro_rules! names {
    ($($name:ident)*) => {
        /// The standard's name of what a function answers.
        pub(crate) fn name(rv: CK_RV) -> &'static str {
            match rv {
                $($name => stringify!($name),)*
                _ => "CKR_VENDOR_DEFINED",
            }
        }
    };
}

names! {
    CKR_OK CKR_CANCEL CKR_HOST_MEMORY CKR_SLOT_ID_INVALID CKR_GENERAL_ERROR CKR_FUNCTION_FAILED CKR_ARGUMENTS_BAD
    CKR_NO_EVENT CKR_NEED_TO_CREATE_THREADS CKR_CANT_LOCK CKR_ATTRIBUTE_READ_ONLY CKR_ATTRIBUTE_SENSITIVE
    CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_ACTION_PROHIBITED CKR_DATA_INVALID CKR_DATA_LEN_RANGE
    CKR_DEVICE_ERROR CKR_DEVICE_MEMORY CKR_DEVICE_REMOVED CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE
    CKR_FUNCTION_CANCELED CKR_FUNCTION_NOT_PARALLEL CKR_FUNCTION_NOT_SUPPORTED CKR_KEY_HANDLE_INVALID
    CKR_KEY_SIZE_RANGE CKR_KEY_TYPE_INCONSISTENT CKR_KEY_NOT_NEEDED CKR_KEY_CHANGED CKR_KEY_NEEDED CKR_KEY_INDIGESTIBLE
    CKR_KEY_FUNCTION_NOT_PERMITTED CKR_KEY_NOT_WRAPPABLE CKR_KEY_UNEXTRACTABLE CKR_MECHANISM_INVALID
    CKR_MECHANISM_PARAM_INVALID CKR_OBJECT_HANDLE_INVALID CKR_OPERATION_ACTIVE CKR_OPERATION_NOT_INITIALIZED
    CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE CKR_PIN_EXPIRED CKR_PIN_LOCKED CKR_SESSION_CLOSED
    CKR_SESSION_COUNT CKR_SESSION_HANDLE_INVALID CKR_SESSION_PARALLEL_NOT_SUPPORTED CKR_SESSION_READ_ONLY
    CKR_SESSION_EXISTS CKR_SESSION_READ_ONLY_EXISTS CKR_SESSION_READ_WRITE_SO_EXISTS CKR_SIGNATURE_INVALID
    CKR_SIGNATURE_LEN_RANGE CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT CKR_TOKEN_NOT_PRESENT
    CKR_TOKEN_NOT_RECOGNIZED CKR_TOKEN_WRITE_PROTECTED CKR_UNWRAPPING_KEY_HANDLE_INVALID
    CKR_UNWRAPPING_KEY_SIZE_RANGE CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT CKR_USER_ALREADY_LOGGED_IN
    CKR_USER_NOT_LOGGED_IN CKR_USER_PIN_NOT_INITIALIZED CKR_USER_TYPE_INVALID CKR_USER_ANOTHER_ALREADY_LOGGED_IN
    CKR_USER_TOO_MANY_TYPES CKR_WRAPPED_KEY_INVALID CKR_WRAPPED_KEY_LEN_RANGE CKR_WRAPPING_KEY_HANDLE_INVALID
    CKR_WRAPPING_KEY_SIZE_RANGE CKR_WRAPPING_KEY_TYPE_INCONSISTENT CKR_RANDOM_SEED_NOT_SUPPORTED CKR_RANDOM_NO_RNG
    CKR_DOMAIN_PARAMS_INVALID CKR_CURVE_NOT_SUPPORTED CKR_BUFFER_TOO_SMALL CKR_SAVED_STATE_INVALID
    CKR_INFORMATION_SENSITIVE CKR_STATE_UNSAVEABLE CKR_CRYPTOKI_NOT_INITIALIZED CKR_CRYPTOKI_ALREADY_INITIALIZED
    CKR_MUTEX_BAD CKR_MUTEX_NOT_LOCKED CKR_FUNCTION_REJECTED CKR_OPERATION_CANCEL_FAILED
}

#[cfg(test)]
mod tests {
    use strongroom_client::{Attempt, ConnectError};
    use strongroom_types::Refusal;

    use super::*;

    fn refused(refusal: impl Into<Refusal>) -> Failure {
        Failure::Client(ClientError::Refused(refusal.into()))
    }

    #[test]
    fn every_status_has_a_number_with_a_name_and_none_is_the_general_error() {
        for status in Status::ALL {
            let rv = refused(*status).rv();
            assert!(![CKR_OK, CKR_GENERAL_ERROR].contains(&rv), "{status:?}");
            assert_ne!(name(rv), "CKR_VENDOR_DEFINED", "{status:?}");
        }
    }

    #[test]
    fn what_callers_branch_on_is_what_the_standard_says() {
        let check = |failure: Failure, rv| assert_eq!(failure.rv(), rv, "{failure}");
        check(refused(Status::LoginFailed), CKR_PIN_INCORRECT);
        check(refused(Status::UserLocked), CKR_PIN_LOCKED);
        check(refused(Status::LoginEnded), CKR_USER_NOT_LOGGED_IN);
        check(refused(Status::KeyUnknown), CKR_KEY_HANDLE_INVALID);
        check(refused(Status::SignatureInvalid), CKR_SIGNATURE_INVALID);
        check(refused(Status::Busy), CKR_FUNCTION_FAILED);
        check(ClientError::NoCredentials.into(), CKR_USER_NOT_LOGGED_IN);
        check(ClientError::KeyAvailability.into(), CKR_FUNCTION_FAILED);
        let attempt = |cause| Attempt { address: "127.0.0.1:2223".into(), cause };
        let silent = || attempt(Cause::Connect(ConnectError::Silent(1)));
        let busy = attempt(Cause::Status(Status::Busy.into()));
        check(ClientError::Unavailable { tried: vec![] }.into(), CKR_DEVICE_ERROR);
        check(ClientError::Unavailable { tried: vec![silent()] }.into(), CKR_DEVICE_ERROR);
        check(ClientError::Unavailable { tried: vec![silent(), busy] }.into(), CKR_FUNCTION_FAILED);
        check(PointerError::Null.into(), CKR_ARGUMENTS_BAD);
        check(Failure::Panic, CKR_GENERAL_ERROR);
    }

    #[test]
    fn what_a_peer_may_cause_at_will_is_no_warning() {
        for rv in
            [CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE]
        {
            assert_eq!(Failure::call(rv, "it is wrong").level(), Level::Debug, "{}", name(rv));
        }
        assert_eq!(refused(Status::DecryptionFailed).level(), Level::Debug);
        assert_eq!(refused(Status::LoginFailed).level(), Level::Warn);
    }

    #[test]
    fn a_line_names_function_cause_and_fix() {
        let check = |failure: Failure, expected: &str| assert_eq!(failure.line("C_Sign"), expected);
        check(
            refused(Refusal::new(Status::KeyFunctionNotPermitted, "sign")),
            "C_Sign: CKR_KEY_FUNCTION_NOT_PERMITTED: the key's attributes do not permit this use: sign",
        );
        check(
            refused(Status::LoginEnded),
            "C_Sign: CKR_USER_NOT_LOGGED_IN: the login has ended; log in again; call C_Login again",
        );
        check(
            Failure::Attribute { rv: CKR_ATTRIBUTE_READ_ONLY, attribute: CKA_LOCAL, why: "the HSM sets it" },
            "C_Sign: CKR_ATTRIBUTE_READ_ONLY: CKA_LOCAL: the HSM sets it",
        );
    }
}

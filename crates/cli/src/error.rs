//! What can go wrong for a user of the tool. Every text names the cause and, where there is one, the fix.

use std::io;
use std::path::PathBuf;

use strongroom_client::{ClientError, ConfigError};
use strongroom_crypto::pem::PemError;
use strongroom_crypto::spki::SpkiError;
use strongroom_types::limits::ED25519_DATA_LEN_MAX;
use strongroom_types::{
    ClusterId, HashFunction, KeyType, NameError, PasswordError, QuorumService, Refusal, Status, TemplateError, UserName,
};
use thiserror::Error;

use crate::token_files::TokenFileError;

/// The closed list.
#[derive(Debug, Error)]
pub enum ExpectedError {
    /// A value that the attribute cannot have.
    #[error("the value of {name}: {source}")]
    AttributeValue {
        /// The attribute.
        name: &'static str,
        /// What it takes.
        source: TemplateError,
    },
    /// The cluster did not do it.
    #[error("{}", client_text(.0))]
    Client(#[from] ClientError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Data given as a DigestInfo is none of that hash.
    #[error(
        "with --data-type digest, rsa-pkcs signs a DER DigestInfo of {0} (RFC 8017 §9.2); the data is no such thing"
    )]
    DigestInfo(HashFunction),
    /// Data given as a digest has another length than a digest.
    #[error("with --data-type digest the data must be {expected} bytes, the digest by {hash}; it is {found} bytes")]
    DigestLength {
        /// The hash function.
        hash: HashFunction,
        /// Its digest's length.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A variable of the environment that a single command needs.
    #[error(
        "{variable} is not set; a single command logs in with {0}_ROLE=crypto-user (or admin) and {0}_PIN=USER:PASSWORD",
        variable.trim_end_matches("_ROLE").trim_end_matches("_PIN")
    )]
    EnvironmentMissing {
        /// Which.
        variable: &'static str,
    },
    /// `CLOUDHSM_PIN` is no user and password, or the destination's is not.
    #[error("{variable} must be USER:PASSWORD, in UTF-8")]
    EnvironmentPin {
        /// Which.
        variable: &'static str,
    },
    /// `CLOUDHSM_ROLE` is no role, or the destination's is not.
    #[error("{variable} must be admin or crypto-user")]
    EnvironmentRole {
        /// Which.
        variable: &'static str,
    },
    /// A file is longer than can be taken.
    #[error("{} is longer than {max} bytes", path.display())]
    FileTooLong {
        /// Which.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// A message that pure Ed25519 does not take.
    #[error(
        "ed25519 signs messages of up to {ED25519_DATA_LEN_MAX} bytes; this one has {0}: use ed25519ph, which signs a digest"
    )]
    MessageLength(usize),
    /// The mask generation function's hash is another.
    #[error("--mgf must use the hash function: mgf1-{0}")]
    Mgf(HashFunction),
    /// Data given as μ has another length.
    #[error("with --data-type external-mu the data must be 64 bytes; it is {0} bytes")]
    MuLength(usize),
    /// The command needs a login to two clusters.
    #[error("nobody is logged in to {0}; log in first: login --cluster-id {0} --username USER --role ROLE")]
    NobodyAt(ClusterId),
    /// A key whose kind does not fit the encoding.
    #[error("a {found} cannot be written as {encoding}: {fix}")]
    NotOfEncoding {
        /// What the key is.
        found: &'static str,
        /// What was asked for.
        encoding: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// A password that breaks the rules.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Two inputs of one password.
    #[error("the passwords differ; nothing was changed")]
    PasswordsDiffer,
    /// A token of a key's service without a key.
    #[error("tokens of {0} are for one key: select it with --filter")]
    FilterMissing(QuorumService),
    /// A token file that cannot be used.
    #[error("the token file {}: {source}", path.display())]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: TokenFileError,
    },
    /// No path could be read.
    #[error("no path could be read: {0}; nothing was changed")]
    PromptLine(io::Error),
    /// No password could be read.
    #[error("no password could be read: {0}; give it with --password")]
    Prompt(io::Error),
    /// A file holds no public key that can be used.
    #[error("the public key in {}: {source}", path.display())]
    PublicKey {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SpkiError,
    },
    /// A file holds no public key in PEM.
    #[error(
        "{}: {source}; `openssl pkey -pubout` writes a public key so, and private keys come in by key unwrap",
        path.display()
    )]
    PublicKeyPem {
        /// Which.
        path: PathBuf,
        /// Why.
        source: PemError,
    },
    /// A file holds a public key of another type.
    #[error("{} holds an {found} public key: use --key-type-class {found}-public, not {wanted}-public", path.display())]
    PublicKeyType {
        /// Which.
        path: PathBuf,
        /// What it holds.
        found: KeyType,
        /// What was asked for.
        wanted: KeyType,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the destination has already is another (wording of the original tool, up to the colon).
    #[error("{what} replicate failed on {hsms} of {hsms} connections: {}", client_text(source))]
    Replicate {
        /// Key or user.
        what: &'static str,
        /// HSMs of the destination.
        hsms: usize,
        /// Why.
        source: ClientError,
    },
    /// Users of a key are missing at the destination, and these are.
    #[error("{}: {}", client_text(source), join(names))]
    ReplicaUsers {
        /// Who.
        names: Vec<UserName>,
        /// What the destination said.
        source: ClientError,
    },
    /// Source and destination are one.
    #[error("--source-cluster-id and --destination-cluster-id name the same cluster; name two")]
    SameCluster,
    /// Not exactly one key fits.
    #[error("Key selection criteria matched {0} keys. Refine selection criteria to select a single key.")]
    Selection(u32),
    /// A user name that breaks the rules.
    #[error(transparent)]
    UserName(#[from] NameError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    WriteFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn join(names: &[UserName]) -> String {
    names.iter().map(UserName::as_str).collect::<Vec<_>>().join(", ")
}

fn client_text(error: &ClientError) -> String {
    match error {
        ClientError::Refused(refusal) => refusal_text(refusal),
        ClientError::NoCredentials => "nobody is logged in; log in first: login --username USER --role ROLE".to_owned(),
        ClientError::Unavailable { .. }
        | ClientError::Protocol { .. }
        | ClientError::Unsettled(_)
        | ClientError::KeyAvailability
        | ClientError::TooLong(_) => error.to_string(),
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    match wording(refusal.status) {
        Wording::Known(text) => text.to_owned(),
        Wording::KnownAbout(text) => match refusal.about.as_str() {
            "" => text.to_owned(),
            about if text.ends_with('.') => format!("{text} ({about})"),
            about => format!("{text}: {about}"),
        },
        Wording::Own => refusal.to_string(),
        Wording::OwnWith(fix) => format!("{refusal}; {fix}"),
    }
}

/// How a status is said.
enum Wording {
    /// In the original tool's words.
    Known(&'static str),
    /// In the original tool's words, and what it is about if that is told.
    KnownAbout(&'static str),
    /// In the HSM's.
    Own,
    /// In the HSM's, and what to do about it.
    OwnWith(&'static str),
}

/// The one table from statuses to what a person reads.
fn wording(status: Status) -> Wording {
    match status {
        Status::SignatureInvalid => Wording::Known("Signature verification failed"),
        Status::QuorumValueInvalid => Wording::KnownAbout("Invalid quorum value provided."),
        Status::QuorumRequired => Wording::KnownAbout("Quorum approval is required for this operation"),
        Status::QuorumFailed => Wording::KnownAbout("Quorum Failed"),
        Status::MfaRequired => {
            Wording::OwnWith("in the shell: login --username USER --role ROLE mfa-token-sign --token FILE")
        }
        Status::WrongClusterState => {
            Wording::OwnWith("a cluster is activated once, after it has its certificate, and used from then on")
        }
        Status::OperationUnknown | Status::MalformedRequest | Status::FrameTooLong => {
            Wording::OwnWith("client and HSM may be of different versions")
        }
        Status::NotLoggedIn => Wording::OwnWith("log in first: login --username USER --role ROLE"),
        Status::LoginFailed => Wording::OwnWith("five wrong passwords in a row lock the user"),
        Status::RoleNotPermitted => Wording::OwnWith("admins manage users, crypto users use keys"),
        Status::StateDamaged => Wording::OwnWith("the HSMs' logs name the record and what to do"),
        Status::Internal => Wording::OwnWith("the HSM's log says more"),
        Status::AlgorithmNotOfType => Wording::OwnWith("use another, or a cluster of type hsm2m.medium"),
        Status::KeyWeak => Wording::OwnWith(
            "the DES keys of a 3DES key differ, HMAC keys have 14 bytes or more; use a cluster in NON_FIPS mode, or replace it",
        ),
        Status::KeyUsesExhausted => {
            Wording::OwnWith("it still decrypts and unwraps; make another with key generate-symmetric aes")
        }
        Status::MechanismNotApproved => Wording::OwnWith("use an approved one, or a cluster in NON_FIPS mode"),
        Status::KeyFunctionNotPermitted => Wording::OwnWith(
            "its owner sets them when it is made, such as with --private-attributes sign=true, or later with key set-attribute",
        ),
        Status::KeySensitive => Wording::OwnWith(
            "only keys made with sensitive=false, extractable=true and wrap-with-trusted=false show it; others leave wrapped",
        ),
        Status::KeyNotExtractable => Wording::OwnWith("extractable=false is for good, so that nobody can take it out"),
        Status::WrappingKeyNotTrusted => Wording::OwnWith(
            "it has wrap-with-trusted=true; an admin trusts a key with key set-attribute --name trusted",
        ),
        Status::WrapTemplateMismatch => {
            Wording::OwnWith("the wrapping key's owner set its wrap-template when it was made; wrap under another key")
        }
        Status::UnwrappingFailed => Wording::OwnWith(
            "data, unwrapping key, mechanism with its parameters and key-type-class must be those of the wrapping",
        ),
        Status::NotClones => Wording::OwnWith(
            "keys and users go between a cluster and those that were made from it, or from the same one, with `strongroom up \
             --clone-of`",
        ),
        Status::ReplicaOfAnother => Wording::OwnWith("log in to both as the same user, or to both as admin"),
        Status::ReplicaUsersMissing => Wording::OwnWith("an admin brings them along with user replicate"),
        Status::ReplicaUnsupported
        | Status::ReplicaExpired
        | Status::UserReplicaConflict
        | Status::KeyReplicaConflict
        | Status::NotServing
        | Status::Busy
        | Status::DeadlineExceeded
        | Status::StoreUnavailable
        | Status::ClockOff
        | Status::LoginEnded
        | Status::UserLocked
        | Status::MfaChallengeInvalid
        | Status::RequestIdReused
        | Status::ClientCertificateRequired
        | Status::UserNameInvalid
        | Status::PasswordInvalid
        | Status::UserUnknown
        | Status::UserExists
        | Status::UserInternal
        | Status::UserOwnsKeys
        | Status::LastAdmin
        | Status::QuorumTooFew
        | Status::UsersFull
        | Status::SessionKeyMissing
        | Status::KeyUnknown
        | Status::KeyNotOwned
        | Status::SessionKeyFixed
        | Status::KeyTypeInconsistent
        | Status::KeyNotDestroyable
        | Status::KeyNotModifiable
        | Status::KeyNotCopyable
        | Status::AttributeUnknown
        | Status::AttributeReadOnly
        | Status::AttributeValueInvalid
        | Status::TemplateInconsistent
        | Status::KeySizeInvalid
        | Status::CurveInvalid
        | Status::MechanismInvalid
        | Status::DataLengthInvalid
        | Status::PayloadInvalid
        | Status::DataInvalid
        | Status::DecryptionFailed
        | Status::TokenKeyInvalid
        | Status::TokenSignatureInvalid
        | Status::QuorumTokenInvalid
        | Status::QuorumTokensFull
        | Status::KeysFull
        | Status::SessionKeysFull
        | Status::LoginsFull
        | Status::CertificateInvalid
        | Status::CertificateUnknown
        | Status::CertificatesFull
        | Status::CertificateProtected
        | Status::CertificatesNotOfType
        | Status::TrustAnchorInvalid
        | Status::TrustAnchorUnknown
        | Status::TrustAnchorsFull
        | Status::TrustAnchorInUse => Wording::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_says_what_it_is_about_unless_its_words_are_known() {
        for status in Status::ALL {
            let text = refusal_text(&Refusal::new(*status, "the thing"));
            let known = matches!(wording(*status), Wording::Known(_));
            assert_eq!(text.contains("the thing"), !known, "{text}");
        }
        assert_eq!(refusal_text(&Status::SignatureInvalid.into()), "Signature verification failed");
    }
}

//! # Room: types (layer 0)
//!
//! Owns the field's words: identifiers and handles, roles and names, key classes and attributes, mechanisms,
//! [`Status`], and every named limit.
//!
//! * May use: nothing of the project.
//! * Never: input or output, a clock, randomness, threads, key material in clear (only [`Secret`] and its
//!   [`buffers`], which carry bytes between rooms, show none of them and wipe them).
#![forbid(unsafe_code)]

mod attributes;
pub mod buffers;
mod certificates;
mod cluster;
mod derivation;
mod filter;
mod ids;
mod kinds;
pub mod limits;
pub mod matching;
mod mechanism;
mod mtls;
mod names;
mod quorum;
mod records;
mod secret;
mod status;

pub use attributes::{
    AttributeName, AttributeValue, Attributes, CheckValue, Flag, Flags, KeyTemplates, Template, TemplateError,
    parse_hex,
};
pub use certificates::{
    CertificateAttributes, CertificateCategory, CertificateChange, CertificateDate, CertificateFilter,
    CertificateTemplate,
};
pub use cluster::{Capacity, ClusterMode, ClusterState, HsmType};
pub use derivation::{Derivation, DerivationError, EcdhKdf, KdfField, Prf, point_in};
pub use filter::{Filter, FilterError, FilterTerm};
pub use ids::{
    CertificateReference, ChallengeId, ClusterId, CredentialId, HsmId, IdError, Incarnation, KeyReference,
    KeyReferenceError, LoginId, RequestId, Revision, TokenId, UserId,
};
pub use kinds::{Curve, KeyClass, KeyType, MlDsaAlgorithm, PublicPart};
pub use mechanism::{
    AES_BLOCK_LEN, CipherMechanism, DES_BLOCK_LEN, GCM_IV_LEN, GcmTag, HashFunction, MacMechanism, MechanismError,
    RsaCipher, SignMechanism, WrapMechanism,
};
pub use mtls::{CertificateFingerprint, MtlsEnforcement, TrustAnchorReference};
pub use names::{NameError, Password, PasswordError, Role, RoleError, UserName};
pub use quorum::{KeyQuorum, QuorumService, QuorumServiceError, QuorumSubject, TokenKey, TokenKeyError};
pub use records::{RecordKind, RecordPath};
pub use secret::Secret;
pub use status::{Family, Refusal, Status};

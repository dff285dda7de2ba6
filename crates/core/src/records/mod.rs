//! What a store keeps: one record for each user, key, HSM and so on (`docs/spec/records.md`).
//!
//! * Bytes of a record in clear are a version byte and one Protocol Buffers message in its canonical form: what does
//!   not encode back to the same bytes is refused, so a field of a newer version is never dropped silently.
//! * A path never carries a name: ids are random, or all zero where there is one record.
//! * Password hashes are [`Secret`](strongroom_types::Secret); so are encoded records.

mod certificate;
mod codec;
mod kinds;
mod messages;
mod numbers;
mod quorum;
mod rollback;
mod session_key;
mod templates;
mod trust_anchor;

pub use certificate::Certificate;
pub use codec::CorruptRecord;
pub use kinds::{
    Asker, Cluster, Creation, Credential, EndedLogin, HistoryKey, Hsm, Key, Lock, Origin, Outcome, Receipt, Record,
    Settings, User,
};
pub(crate) use numbers::{
    hsm_type_from_number, hsm_type_number, mode_from_number, mode_number, role_from_number, role_number,
};
pub use quorum::{QuorumToken, QuorumValues, SpentChallenge};
pub use rollback::Rollback;
pub use session_key::{CorruptSessionKey, SessionKey};
pub use trust_anchor::TrustAnchor;

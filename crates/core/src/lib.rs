//! # Room: core (layer 3)
//!
//! Owns the rules of a cluster: its life, users, logins, keys and their attributes, sharing, who may do what and who must
//! approve it, which algorithm a mode allows, what a change writes, and a member's life as a state machine ([`member`]).
//!
//! * May use: `types`.
//! * Never: input or output, a clock, threads, randomness, `std::time::Instant`. Time, ids, hashes and key material
//!   (sealed) are arguments. Clear keys and passwords never enter this room.
//!
//! How the parts fit:
//!
//! * [`State`] is an immutable snapshot; cloning it costs a few pointers. [`apply()`] is the only way it changes.
//! * [`authorize()`], [`authorize_session_key()`] and [`authorize_wrap()`] decide the use of a key.
//!   [`permissions::TABLE`] says which role may do what, [`algorithms`] which mechanism fits which key in which mode.
//! * What several users must approve is decided in `quorum`: [`check()`] and [`plan()`] count approvals, and a use of a key
//!   that needs some is refused by [`authorize()`] and permitted by [`authorize_approved()`].
//! * [`check()`] is every refusal that needs nothing [`Made`]; the HSM runs it before it generates or hashes. [`plan()`]
//!   runs it again and says what to write. [`Draft`] gathers several plans into one [`Batch`].
//! * [`Record`] is what a store keeps, described in `docs/spec/records.md`; [`Head`] is the one record that every batch
//!   rewrites.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod actor;
mod aging;
pub mod algorithms;
mod apply;
mod attributes;
mod authorize;
mod certificates;
mod challenge;
mod clones;
mod command;
mod copies;
mod demands;
mod derive;
mod draft;
mod head;
mod index;
mod key_uses;
mod keys;
mod lifecycle;
mod logins;
pub mod member;
mod mtls;
pub mod permissions;
mod plan;
mod quorum;
mod receipts;
mod records;
mod replica;
mod replicate;
mod search;
mod session_keys;
mod sharing;
mod state;
mod templates;
#[cfg(test)]
mod tests;
mod ticket;
mod users;
mod views;
mod wrapping;

pub use actor::{Actor, LoginActor};
pub use apply::{Batch, CorruptState, apply};
pub use authorize::{
    KeyUse, authorize, authorize_approved, authorize_for_change, authorize_random, authorize_session_key,
};
pub use certificates::{CertificateView, certificate_view, find_certificates};
pub use challenge::{Challenge, ChallengePurpose, CorruptChallenge};
pub use clones::{CloneRefusal, CloneTaker, carried, check_clone};
pub use command::{
    Approval, Approver, Checked, Command, CommandDigest, Deregister, Effect, ImportedKey, Made, MadeKey, MadePair,
    MadeSecret, MfaChange, PairAlgorithm, Plan, PlanError, Planned, Replayed, Reply, Request, SourceKey, TokenTime,
    Via,
};
pub use draft::{Draft, PLANNED_RECORDS_MAX};
pub use head::{CorruptHead, Head, SumOfMacs, cluster_time};
pub use key_uses::uses_left;
pub use logins::{PasswordCheck, actor_of_ticket, login_check, login_stands};
pub use mtls::{check_connection, enforcement, list_trust_anchors};
pub use plan::{check, plan};
pub use quorum::{APPROVAL_DATA_LEN, ListedToken, TokenView, approval_data, list_tokens, quorum_values, token_in};
pub use receipts::replay;
pub use records::{
    Asker, Certificate, Cluster, CorruptRecord, CorruptSessionKey, Creation, Credential, EndedLogin, HistoryKey, Hsm,
    Key, Lock, Origin, Outcome, QuorumToken, QuorumValues, Receipt, Record, Rollback, SessionKey, Settings,
    SpentChallenge, TrustAnchor, User,
};
pub use replica::{CorruptReplica, Replica, Replicated};
pub use replicate::{export_key, export_user};
pub use search::{FoundKeys, find_keys};
pub use session_keys::{check_delete_session_key, check_session_keys, is_for_session, session_keys};
pub use state::State;
pub use ticket::{CorruptTicket, Ticket};
pub use users::mfa_target;
pub use views::{ClusterView, KeyView, UserView, cluster_view, key_view, list_users};
pub use wrapping::{NamedKey, WrapKeys, authorize_wrap, authorize_wrap_approved};

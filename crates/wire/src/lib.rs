//! # Room: wire (layer 1)
//!
//! Owns the protocol between a client and an HSM: the messages ([`v1`], from `proto/strongroom/v1/hsm.proto`), the frames
//! that carry them ([`frame`]), and the way from messages to the project's own types and back ([`convert`],
//! [`KeyInfo`]). `docs/spec/wire.md` is the public contract.
//!
//! * May use: types; prost.
//! * Never: sockets, TLS, a clock, randomness, rules. It turns bytes into values and values into bytes, and bounds both.
//! * What comes from outside is bounded here before anything is allocated for it: a frame by its limit, lists by theirs.
//! * Messages that carry a secret have a `Debug` without content, and [`secrets`] says what of them is wiped.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod approval;
mod attributes;
mod certificate;
pub mod cipher;
pub mod convert;
mod debug;
mod derivation;
pub mod frame;
mod key;
pub mod secrets;
mod session_key;
mod wrapping;

pub use approval::{ApprovalInfo, ApprovalSignature, approvals};
pub use certificate::{CertificateInfo, WholeCertificate};
pub use convert::Malformed;
pub use derivation::{derivation, derivation_message};
pub use key::KeyInfo;
pub use session_key::{NamedSessionKey, session_keys};
pub use wrapping::Wrapping;

/// Version 1 of the messages, as prost generates them from the `.proto` file, which documents each field.
#[allow(
    missing_docs,
    clippy::doc_markdown,
    clippy::doc_lazy_continuation,
    clippy::large_enum_variant,
    reason = "generated code"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/strongroom.v1.rs"));
}

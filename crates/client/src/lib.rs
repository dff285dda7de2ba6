//! # Room: client (layer 2)
//!
//! Owns the engine behind every door: configuration, the cluster's members, TLS, logins, the choice of a member,
//! repeating elsewhere, giving up, and key reference files ([`reference_pem`]). [`Client`] speaks to the HSMs of one
//! cluster; [`Appliance`] to one HSM over its Unix socket.
//!
//! * May use: types, ffi, crypto, wire; rustls, blocking sockets, files, the clock.
//! * Never: core or crypto-keys; a key in clear that outlives the call which brings it in or reads its value; a thread or a runtime of its own; a lock that a forked child could
//!   inherit taken; a secret in an error or a log.
//! * What is repeated elsewhere acts once: each change carries a request id that stays the same over its repeats.
//! * Choosing a member, repeating and giving up is a state machine without sockets or clock (`routing`).
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod answers;
mod appliance;
mod certificates;
mod cipher;
mod client;
mod config;
mod connection;
mod derive;
mod descriptors;
mod engine;
mod error;
mod finding;
mod generation;
mod logging;
mod manner;
mod mtls;
mod names;
mod pool;
mod quorum;
mod random;
pub mod reference_pem;
mod replicate;
pub mod routing;
mod session_keys;

pub use answers::{
    ApplianceState, ClusterInfo, FoundAll, FoundKeys, Hello, HsmInfo, LoggedIn, Member, PairAlgorithm, UserInfo,
    WrappedKey,
};
pub use appliance::Appliance;
pub use cipher::Encrypted;
pub use client::{Client, ClientName};
#[cfg(feature = "fuzz")]
pub use config::config_of;
pub use config::{
    ClientCertificate, ClusterConfig, ClusterEntry, Component, Config, Document, PLACEHOLDER, RetryMode, Server,
    Setting, Settings, home,
};
pub use error::{Attempt, Cause, CertificateFault, ClientError, ConfigError, ConnectError};
pub use logging::{Level, Log, LogKind, Logging, Rotation};
pub use mtls::TrustAnchorInfo;
pub use quorum::{Challenge, Deregister, MfaChange, QuorumValues, SignedChallenge, TokenInfo};
pub use replicate::Replica;
pub use strongroom_wire::{ApprovalInfo, ApprovalSignature, CertificateInfo, KeyInfo, WholeCertificate, Wrapping};

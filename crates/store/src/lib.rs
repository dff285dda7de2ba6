//! # Room: store (layer 1)
//!
//! Owns where a cluster's records lie: the [`Store`] trait, the contract that every implementation passes
//! ([`contract`]), the memory store of tests, and the SQLite store with its member table, shared by every HSM process
//! of a host. Formats: `docs/spec/store.md`.
//!
//! * May use: types.
//! * Never: look into a record (it sees sealed bytes under a kind and a random id), acknowledge what is not durable,
//!   repeat a commit by itself, decide when a member has been silent for too long (`core` does).
#![deny(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic"))]

mod batch;
mod error;
mod memory;
mod store;

pub use batch::BATCH_RECORDS_MAX;
pub use error::{BatchError, CommitError, FenceError, JoinError, OpenError, RenewError, StoreError, TableError};
pub use memory::{CommitFault, MemoryStore};
pub use store::{Changes, Delta, Loaded, MemberEntry, Moment, Store, StoredRecord};

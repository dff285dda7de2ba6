//! # Room: store (layer 1)
//!
//! Owns where a cluster's records lie: the [`Store`] trait, the contract that every implementation passes
//! (`contract`), the memory store of tests, and the SQLite store with its member table, shared by every HSM process
//! of a host. Formats: `docs/spec/store.md`.
//!
//! * May use: types.
//! * Never: look into a record (it sees sealed bytes under a kind and a random id), acknowledge what is not durable,
//!   repeat a commit by itself, decide when a member has been silent for too long (`core` does).
#![deny(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic"))]

mod access;
mod batch;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
mod memory;
mod sqlite;
mod store;
mod table;

pub use batch::BATCH_RECORDS_MAX;
pub use error::{
    AccessError, BatchError, CommitError, FenceError, JoinError, RenewError, SqliteError, StoreError, TableError,
};
pub use memory::{CommitFault, MemoryStore};
pub use sqlite::{OfflineDatabase, SqliteConfig, SqliteStore, read_database};
pub use store::{Changes, Delta, Loaded, MemberEntry, Moment, Store, StoredRecord};
#[cfg(feature = "fuzz")]
pub use table::fuzz;

/// Makes a new name in the file's folder durable.
fn sync_folder_of(path: &std::path::Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(std::path::Path::new(".")))?.sync_all()
}

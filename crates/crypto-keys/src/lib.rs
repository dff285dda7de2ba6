//! # Room: crypto-keys (layer 2)
//!
//! Owns what is done with secrets: operations with private and secret keys, key generation and derivation, wrapping,
//! certificate requests, password hashes, and sealing: how an HSM encrypts its own data.
//!
//! * May use: types, crypto; AWS-LC (`aws-lc-rs`, and `aws-lc-sys` in `sys` alone); system calls for locked memory;
//!   files for the root key alone.
//! * Never: the rules about who may use which key, the network, a clock, logs. Nothing under `sdk/`, nor client, store,
//!   control, aws-api or cli can reach this room: only an HSM holds keys.
#![deny(unsafe_code)]

pub mod csr;
pub mod derive;
mod error;
pub mod generate;
pub mod import;
#[allow(unsafe_code, reason = "locking memory takes system calls")]
pub mod locked;
pub mod password;
mod private_key;
pub mod public_key;
pub mod seal;
mod secret_key;
#[allow(unsafe_code, reason = "the one place that calls AWS-LC's C interface, behind safe functions")]
mod sys;
#[cfg(test)]
mod tests;
pub mod wrap;

pub use error::KeyError;
pub use private_key::PrivateKey;
pub use secret_key::SecretKey;

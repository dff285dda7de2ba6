//! # Room: pkcs11 (layer 4)
//!
//! Owns `libcloudhsm_pkcs11.so`, Cryptoki 2.40 and 3.0 over clusters: the library between `C_Initialize` and `C_Finalize`
//! (`library`), configured clusters as slots (`slot`) and whose turn it is to log in (`turn`), sessions (`session`), objects, their handles and templates (`objects`),
//! mechanisms and their parameters (`mechanism`), what a session has begun (`operations`), what a failure is in Cryptoki's
//! words (`failure`), and the C side of it all (`entry`). The headers to compile against it lie in `include`.
//!
//! * May use: types, ffi, crypto, client.
//! * Never: core or crypto-keys; export anything but `C_*`, let a panic out, start a thread, speak to an HSM before a call needs
//!   one, keep a PIN or a key in clear. What a program brings in (`C_CreateObject`), and the value of a secret key with
//!   `CKA_SENSITIVE` = false, is passed on in a `Secret` and wiped.
//! * The HSM decides at every use; what is checked here is checked to refuse early, never to allow.
//! * A forked child takes no lock that it inherited: it is told `CKR_CRYPTOKI_NOT_INITIALIZED` before one is reached.
//! * `unsafe` stands in `entry` alone.
#![deny(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic"))]

mod attribute;
#[allow(unsafe_code, reason = "the C side of the library")]
mod entry;
mod failure;
mod library;
mod mechanism;
mod objects;
mod operations;
mod session;
mod slot;
mod turn;
mod vendor;

#[cfg(feature = "fuzz")]
pub use mechanism::{MECHANISMS, mechanism_in};
#[cfg(feature = "fuzz")]
pub use objects::fuzz::{template_in, template_kinds};

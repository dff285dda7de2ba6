//! # Room: openssl-engine (layer 4)
//!
//! Owns `libcloudhsm_openssl_engine.so`, the OpenSSL engine `cloudhsm`: whose a key is (`keys`), what a private
//! operation asks of the HSMs (`sign`, `keygen`), what a failure is in OpenSSL's words (`error`), and the C side
//! of it all (`entry`).
//!
//! * May use: types, ffi, crypto, client.
//! * Never: link to libcrypto (it uses the one that loaded it), export anything but `bind_engine` and `v_check`, let a
//!   panic out, start a thread, speak to an HSM before the first operation, core, crypto-keys or a key in clear.
//! * A file with a real private key works as if the engine were not there; a reference file never yields a signature
//!   that its public part does not verify.
//! * `unsafe` stands in `entry` alone.
#![deny(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic"))]

mod engine;
#[allow(unsafe_code, reason = "the C side of the engine")]
mod entry;
mod error;
mod hsms;
mod keygen;
mod keys;
mod settings;
mod sign;

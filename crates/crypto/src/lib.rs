//! # Room: crypto (layer 1)
//!
//! Owns everything cryptographic that needs no private key of a user: digests, MACs, verification, randomness, DER and
//! PEM, public keys, X.509 certificates (version 1 included), and the TLS configuration of both ends.
//!
//! * May use: types; AWS-LC (`aws-lc-rs`, and `aws-lc-sys` in `sys` alone), rustls.
//! * Never: use of users' private keys, sealing (both are crypto-keys' work; [`pkcs8`] only writes down what a program has), another cryptographic library, sockets, files,
//!   a clock: the time is an argument.
#![deny(unsafe_code)]

pub mod certificates;
pub mod der;
pub mod digest;
pub mod ecdsa;
mod mac;
pub mod ml_dsa;
pub mod pem;
pub mod pkcs8;
pub mod random;
pub mod spki;
#[allow(unsafe_code, reason = "the one place that calls AWS-LC's C interface, behind safe functions")]
mod sys;
pub mod tls;
pub mod verify;

pub use mac::{equal, hmac_sha256};

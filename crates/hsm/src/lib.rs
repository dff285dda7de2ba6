//! # Room: hsm (layer 4)
//!
//! Owns the HSM process, the binary `strongroom-hsm`: this HSM as a member of its cluster ([`cluster`]), what clients and
//! the control plane ask of it (`service`), and what carries their requests: the listener with TLS, the control socket,
//! settings, the log.
//!
//! * May use: types, crypto, crypto-keys, wire, store, core; threads, sockets, files, a clock.
//! * Never: rules (core decides who may do what), its own cryptography, a client's state beyond its connection. No
//!   runtime: one thread a connection, blocking.
//! * What a client sends never ends the process, and nothing is allocated before its limit was checked.
//! * Secrets are in no log line, no error and no `Debug`.
//! * Absent on purpose: a second way to open the cluster key, and any way to hand out a key.
#![deny(unsafe_code)]

pub mod cluster;

//! # Room: hsm (layer 4)
//!
//! Owns the HSM process, the binary `strongroom-hsm`: this HSM as a member of its cluster ([`cluster`]), what clients and
//! the control plane ask of it ([`service`]), and what carries their requests: the listeners with TLS and the control
//! socket ([`server`]), settings, the log.
//!
//! * May use: types, crypto, crypto-keys, wire, store, core; threads, sockets, files, a clock.
//! * Never: rules (core decides who may do what), its own cryptography, state on behalf of a client beyond its
//!   connection and a cache of its session keys. No runtime: one thread a connection, blocking.
//! * What a client sends never ends the process, and nothing is allocated before its limit was checked.
//! * Secrets are in no log line, no error and no `Debug`.
//! * Absent on purpose: a second way to open the cluster key, and any way to hand out a key.
#![deny(unsafe_code)]

mod accept_rollback;
mod arguments;
mod clone;
pub mod cluster;
pub mod connection;
pub mod connections;
pub mod identity;
pub mod key_cache;
mod key_uses;
mod listener;
pub mod log;
pub mod os;
mod pools;
pub mod run;
pub mod server;
pub mod service;
pub mod session_keys;
pub mod settings;
mod tls;
pub mod watch;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use strongroom_crypto_keys::seal::RootKey;

use crate::arguments::{Arguments, Command};
use crate::run::{Failed, RunError};

/// Runs the command line `arguments` (program name first) and answers the process' exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are "errors" that go to standard output with code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = match arguments.command {
        Command::Run(options) => run::run(&options.folder),
        Command::InitRootKey(options) => RootKey::create(&options.path).map_err(|error| RunError::from(error).into()),
        Command::AcceptRollback(options) => accept_rollback::run(&options),
        Command::Clone(options) => clone::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { error, is_said }) => {
            if !is_said {
                let said = format!("strongroom-hsm: {}\n", error.with_causes());
                // Where even standard error is gone, nobody is left to tell.
                let _ = std::io::stderr().write_all(said.as_bytes());
            }
            ExitCode::from(error.exit_code())
        }
    }
}

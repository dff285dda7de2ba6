//! # Room: control (layer 4)
//!
//! Owns the life of clusters on this host: the state folder, the addresses, the customer CA that `up` makes, the
//! processes of the HSMs and the one that watches them, the folder that clients find their configuration in. Its
//! binary is `strongroom`.
//!
//! * May use: types, crypto (certificates and randomness), client.
//! * Never: core or crypto-keys. Neither the root key nor any private key of an HSM is ever in this process: the file
//!   of the root key is made by `strongroom-hsm init-root-key`, and this room handles its path alone. The control
//!   plane is trusted for availability, not for secrets.
//! * Formats: `docs/spec/state-folder.md`. How to run it: `docs/operating/cluster-on-one-machine.md`.
#![forbid(unsafe_code)]

mod accept_rollback;
pub mod addresses;
pub mod arguments;
mod clock;
mod clones;
mod down;
pub mod error;
pub mod home;
mod make;
pub mod processes;
mod programs;
mod progress;
mod provision;
pub mod report;
mod serve;
pub mod settings;
pub mod state;
mod status;
pub mod supervise;
mod up;
mod watch;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::error::ExpectedError;

/// Runs the command line `arguments` (program name first) and returns the process's exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are "errors" that go to standard output with code 0. Where even the terminal is gone,
            // nobody is left to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(arguments).and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::print_error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// A reader who closed the pipe has what they wanted.
fn print(text: &str) -> Result<(), ExpectedError> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(ExpectedError::Print { source }),
        _ => Ok(()),
    }
}

/// What goes to standard output when the command succeeds.
fn dispatch(arguments: Arguments) -> Result<String, ExpectedError> {
    match arguments.command {
        Command::Up(options) => up::run(options),
        Command::Status(options) => status::run(&options),
        Command::Down(options) => down::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::AcceptRollback(options) => accept_rollback::run(&options),
    }
}

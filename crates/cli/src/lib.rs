//! # Room: cli (layer 4)
//!
//! Owns `cloudhsm-cli`, the tool of administrators and key owners: its command tree, the JSON that it prints, its
//! interactive shell. It asks and prints; every rule is the HSM's. And the `configure-*` tools, which change the
//! configuration files of clients.
//!
//! * May use: types, crypto (digests, public keys), client.
//! * Never: core, crypto-keys, sockets of its own; a password in an error, a history or a file.
//! * Shapes, field order and known texts are those of the CloudHSM user guide; what is chosen where it is silent
//!   stands in `docs/reference/choices.md`.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
pub mod configure;
mod error;
mod files;
mod interrupts;
mod output;
mod prompt;
mod session;
mod shell;
mod token_files;

use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use crate::arguments::{Arguments, Top};
use crate::session::Session;

/// The command line could not be read.
const EXIT_USAGE: u8 = 2;

/// Runs the command line `arguments` (program name first) and returns the process's exit code: 0 done, 1 refused,
/// failed or not printed, 2 not understood.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::read(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output with code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
        }
    };
    let mut session = Session::new(arguments.cluster_id.clone());
    match arguments.command {
        Top::Interactive => shell::run(&mut session),
        Top::Command(command) => {
            session.use_environment();
            let outcome = commands::run(&mut session, arguments.cluster_id.as_ref(), *command);
            let done = outcome.is_ok();
            let said = print(&output::envelope(outcome));
            if done && said { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

/// Prints one answer, and says whether it got out. A reader who closed the pipe has what they wanted.
fn print(text: &str) -> bool {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => true,
        Err(error) => {
            eprintln!("the answer cannot be written: {error}; what was asked for may have been done");
            false
        }
    }
}

/// For fuzzing: the attributes of a key by name, as `key list --verbose` prints them.
#[cfg(feature = "fuzz")]
pub fn printed_attributes(key: &strongroom_client::KeyInfo) -> Vec<(String, String)> {
    let printed = output::key(key);
    let attributes = printed["key"]["attributes"].as_object().into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    attributes.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// For fuzzing: reads token files. Answers with what is signed, and how many signatures there are.
#[cfg(feature = "fuzz")]
pub fn read_token_file(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let _ = token_files::read_registration(bytes);
    let _ = token_files::read_challenge(bytes, &[0; 32]);
    token_files::read_approval(bytes).ok().map(|found| (found.approval_data, found.signatures.len()))
}

/// For fuzzing: the word that the tab key would complete, and where it begins.
#[cfg(feature = "fuzz")]
pub fn last_word(line: &str) -> (usize, String) {
    shell::words::last(line)
}

/// For fuzzing: a word as completion types it.
#[cfg(feature = "fuzz")]
pub fn escaped_word(word: &str) -> String {
    shell::words::escaped(word)
}

/// For fuzzing: reads a line as the shell does, without doing what it says. Answers with its words, if it has words.
#[cfg(feature = "fuzz")]
pub fn read_line(text: &str) -> Option<Vec<String>> {
    let words = shell::words::split(text).ok()?;
    let _ = arguments::Line::read(&words);
    Some(words)
}

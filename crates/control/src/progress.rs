//! What a person sees on standard error while a command works, and when it fails.

use std::error::Error;
use std::fmt;
use std::io::{IsTerminal, Write};

/// Steps of a command, one line each; silent when the output is for a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    shown: bool,
    coloured: bool,
}

impl Progress {
    pub(crate) fn new(shown: bool) -> Progress {
        Progress { shown, coloured: coloured() }
    }

    /// A step that begins or was made.
    pub(crate) fn step(&self, what: impl fmt::Display) {
        if self.shown {
            let dash = if self.coloured { "\x1b[32m-\x1b[0m" } else { "-" };
            print(&format!("{dash} {what}\n"));
        }
    }

    /// Something worth knowing that is no failure; shown even to programs, on standard error.
    pub(crate) fn note(&self, what: impl fmt::Display) {
        let word = if self.coloured { "\x1b[33mnote:\x1b[0m" } else { "note:" };
        print(&format!("{word} {what}\n"));
    }
}

/// An error with all its causes.
pub(crate) fn print_error(error: &dyn Error) {
    let word = if coloured() { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
    print(&format!("{word} {}\n", describe(error)));
}

/// An error and its causes, one line each. A cause that the text before it repeats already is left out.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            text.push_str("\n  because: ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    text
}

/// Colours are for terminals, and not for those who said no (<https://no-color.org>).
fn coloured() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn print(text: &str) {
    // A closed standard error must not stop the command.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

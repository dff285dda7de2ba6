//! The interactive mode: one client for the whole session, so that a login lasts until logout or the end.

mod complete;
mod words;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};

use crate::arguments::{InShell, Line};
use crate::session::Session;
use crate::{commands, output};
use complete::Completion;

/// What asks for the rest of a line that ended with `\`.
const CONTINUED: &str = "> ";
/// Lines that the history keeps.
const HISTORY_LEN: usize = 1_000;

/// Runs until `quit` or the end of input. A command that fails ends nothing.
pub fn run(session: &mut Session) -> ExitCode {
    let mut lines = match Lines::open() {
        Ok(lines) => lines,
        Err(error) => {
            eprintln!("the terminal cannot be used: {error}");
            return ExitCode::FAILURE;
        }
    };
    loop {
        match whole_line(&mut lines, &session.prompt()) {
            Ok(Some(line)) => {
                if one(session, &line) == After::Leave {
                    return ExitCode::SUCCESS;
                }
            }
            Ok(None) => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("no more lines can be read: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum After {
    GoOn,
    Leave,
}

fn one(session: &mut Session, line: &str) -> After {
    let words = match words::split(line) {
        Ok(words) if words.is_empty() => return After::GoOn,
        Ok(words) => words,
        Err(error) => {
            eprintln!("error: {error}");
            return After::GoOn;
        }
    };
    match Line::try_parse_from(words) {
        Ok(Line { command: InShell::Quit, .. }) => return After::Leave,
        Ok(Line { command: InShell::Command(command), cluster_id }) => {
            let outcome = commands::run(session, cluster_id.as_ref(), *command);
            crate::print(&output::envelope(outcome));
        }
        Err(error) => {
            let _ = error.print();
        }
    }
    After::GoOn
}

/// A line with those that continue it; none at the end of input.
fn whole_line(lines: &mut Lines, prompt: &str) -> io::Result<Option<String>> {
    let Some(mut line) = lines.next(prompt)? else { return Ok(None) };
    while let Some(begun) = line.strip_suffix('\\') {
        let begun = format!("{begun} ");
        match lines.next(CONTINUED)? {
            Some(rest) => line = begun + &rest,
            None => return Ok(Some(begun)),
        }
    }
    lines.remember(&line);
    Ok(Some(line))
}

/// Where lines come from.
enum Lines {
    /// A person: editing, history, completion.
    Terminal(Box<Editor<Completion, MemHistory>>),
    /// A pipe or a file, which is shown no prompt.
    Pipe,
}

impl Lines {
    fn open() -> io::Result<Lines> {
        if !io::stdin().is_terminal() {
            return Ok(Lines::Pipe);
        }
        let config = Config::builder().max_history_size(HISTORY_LEN).map_err(io::Error::other)?.build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(io::Error::other)?;
        editor.set_helper(Some(Completion::new()));
        Ok(Lines::Terminal(Box::new(editor)))
    }

    fn next(&mut self, prompt: &str) -> io::Result<Option<String>> {
        match self {
            Lines::Terminal(editor) => match editor.readline(prompt) {
                Ok(line) => Ok(Some(line)),
                // Ctrl-C gives up the line, Ctrl-D the shell.
                Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
                Err(ReadlineError::Eof) => Ok(None),
                Err(ReadlineError::Io(error)) => Err(error),
                Err(error) => Err(io::Error::other(error)),
            },
            Lines::Pipe => {
                let mut line = String::new();
                let len = io::stdin().lock().read_line(&mut line)?;
                Ok((len > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
            }
        }
    }

    /// For the arrow keys. Lives in memory only, and without lines that hold a password.
    fn remember(&mut self, line: &str) {
        if let Lines::Terminal(editor) = self
            && !line.trim().is_empty()
            && !holds_password(line)
        {
            // A history that is full or keeps no duplicates is no error.
            let _ = editor.add_history_entry(line);
        }
    }
}

/// Any option that begins so may be one: an abbreviation or a typing error shows a password all the same.
fn holds_password(line: &str) -> bool {
    line.to_ascii_lowercase().contains("--pass")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_passwords_are_not_remembered() {
        assert!(holds_password("login --username a --role admin --password hunter22"));
        assert!(holds_password("user create --Password=hunter22"));
        assert!(holds_password("user create --passwrd hunter22"));
        assert!(!holds_password("user change-password --username a --role admin"));
    }
}

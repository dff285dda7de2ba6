//! The interactive mode: one client for the whole session, so that a login lasts until logout or the end.

mod complete;
mod lines;
pub mod words;

use std::process::ExitCode;

use crate::arguments::{InShell, Line};
use crate::session::Session;
use crate::{commands, output};
use lines::{Lines, Typed};

/// Runs until `quit` or the end of input. A command that fails ends nothing.
pub fn run(session: &mut Session) -> ExitCode {
    if let Err(error) = session.check() {
        crate::print(&output::envelope(Err(error)));
        return ExitCode::FAILURE;
    }
    let mut lines = match Lines::open(session.cluster_ids()) {
        Ok(lines) => lines,
        Err(error) => {
            eprintln!("the terminal cannot be used: {error}");
            return ExitCode::FAILURE;
        }
    };
    loop {
        match lines.whole_line(&session.prompt()) {
            Ok(Typed::Line(line)) => {
                if one(session, &line) == After::Leave {
                    return ExitCode::SUCCESS;
                }
            }
            Ok(Typed::NotText(_)) => eprintln!("error: the line is no UTF-8, and was not run"),
            Ok(Typed::GivenUp) => {}
            Ok(Typed::End) => return ExitCode::SUCCESS,
            Ok(Typed::EndWithin) => {
                eprintln!("the input ends within a command, which was not run");
                return ExitCode::FAILURE;
            }
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
    match Line::read(&words) {
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

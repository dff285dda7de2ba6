//! Where the shell's lines come from: a terminal with editing, history and completion, or a pipe.

use std::io::{self, BufRead as _, IsTerminal as _};

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{CompletionType, Config, Editor};

use super::complete::Completion;
use super::words;
use crate::interrupts;

/// What asks for the rest of a line that ended with `\`.
const CONTINUED: &str = "> ";
/// Lines that the history keeps.
const HISTORY_LEN: usize = 1_000;

/// What somebody typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line.
    Line(String),
    /// A line with something in it that is no UTF-8, and has been replaced here.
    NotText(String),
    /// Ctrl-C: nothing of it is meant.
    GivenUp,
    /// Ctrl-D, or the end of a pipe.
    End,
    /// The same within a command, behind a line that ended with `\`.
    EndWithin,
}

/// Where lines come from.
pub enum Lines {
    /// A person: editing, history, completion.
    Terminal(Box<Editor<Completion, MemHistory>>),
    /// A pipe or a file, which is shown no prompt.
    Pipe,
}

impl Lines {
    /// Opens them; `clusters` are the ids to complete.
    pub fn open(clusters: Vec<String>) -> io::Result<Lines> {
        if !io::stdin().is_terminal() {
            return Ok(Lines::Pipe);
        }
        let config = Config::builder().max_history_size(HISTORY_LEN).map_err(io::Error::other)?;
        // A second press of the tab key shows what is possible, as shells do.
        let config = config.completion_type(CompletionType::List).build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(io::Error::other)?;
        editor.set_helper(Some(Completion::new(clusters)));
        // The editor swallows Ctrl-C while a command runs, which may wait for HSMs long after a person has given up.
        interrupts::end_the_process();
        Ok(Lines::Terminal(Box::new(editor)))
    }

    /// A line with those that continue it.
    pub fn whole_line(&mut self, prompt: &str) -> io::Result<Typed> {
        let typed = whole_line(prompt, |prompt| self.next(prompt))?;
        match (&typed, &self) {
            (Typed::Line(line), _) => self.remember(line),
            // A person has changed their mind, as with Ctrl-C; a script was cut off.
            (Typed::EndWithin, Lines::Terminal(_)) => {
                eprintln!("the command is not finished, and was not run");
                return Ok(Typed::GivenUp);
            }
            (Typed::EndWithin, Lines::Pipe) | (Typed::NotText(_) | Typed::GivenUp | Typed::End, _) => {}
        }
        Ok(typed)
    }

    fn next(&mut self, prompt: &str) -> io::Result<Typed> {
        match self {
            Lines::Terminal(editor) => match editor.readline(prompt) {
                Ok(line) => Ok(Typed::Line(line)),
                Err(ReadlineError::Interrupted) => Ok(Typed::GivenUp),
                Err(ReadlineError::Eof) => Ok(Typed::End),
                Err(ReadlineError::Io(error)) => Err(error),
                Err(error) => Err(io::Error::other(error)),
            },
            Lines::Pipe => {
                let mut line = Vec::new();
                if io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
                    return Ok(Typed::End);
                }
                let is_text = std::str::from_utf8(&line).is_ok();
                let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                Ok(if is_text { Typed::Line(line) } else { Typed::NotText(line) })
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

/// Joins lines that end with `\`. Half a command is not run: Ctrl-C gives up all of it, and so does the end of input.
fn whole_line(prompt: &str, mut next: impl FnMut(&str) -> io::Result<Typed>) -> io::Result<Typed> {
    let (mut line, mut is_text) = match next(prompt)? {
        Typed::Line(line) => (line, true),
        Typed::NotText(line) => (line, false),
        other => return Ok(other),
    };
    while let Some(begun) = continued(&line) {
        match next(CONTINUED)? {
            Typed::Line(rest) => line = format!("{begun} {rest}"),
            Typed::NotText(rest) => (line, is_text) = (format!("{begun} {rest}"), false),
            Typed::End => return Ok(Typed::EndWithin),
            other @ (Typed::GivenUp | Typed::EndWithin) => return Ok(other),
        }
    }
    Ok(if is_text { Typed::Line(line) } else { Typed::NotText(line) })
}

/// What stands before the `\` that continues a line. `\\` is a character of the line itself.
fn continued(line: &str) -> Option<&str> {
    let slashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if slashes % 2 == 1 { line.strip_suffix('\\') } else { None }
}

/// Whether a line shows a password. Any option that begins so may be one, however it is quoted: a typing error shows a
/// password all the same.
fn holds_password(line: &str) -> bool {
    const DASHES: [char; 3] = ['-', '–', '—'];
    match words::split(line) {
        Ok(words) => words
            .iter()
            .any(|word| word.starts_with(DASHES) && word.trim_start_matches(DASHES).to_lowercase().starts_with("pas")),
        // A quote is open, so where options begin is not known.
        Err(_) => line.to_lowercase().contains("pas"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these, typed one after the other.
    fn typed(lines: Vec<Typed>) -> Result<Typed, io::ErrorKind> {
        let mut lines = lines.into_iter();
        whole_line("", |_| Ok(lines.next().unwrap_or(Typed::End))).map_err(|error| error.kind())
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.to_owned())
    }

    #[test]
    fn a_backslash_continues_a_line() {
        let check = |lines: &[&str], expected: &str| {
            assert_eq!(typed(lines.iter().map(|text| line(text)).collect()), Ok(line(expected)));
        };
        check(&["key list"], "key list");
        check(&["key \\", "  list \\", "-v"], "key    list  -v");
        check(&["key\\", "list"], "key list");
        check(&["a\\\\", "b"], "a\\\\");
        check(&["a\\\\\\", "b"], "a\\\\ b");
        check(&["\\", "größe"], " größe");
    }

    #[test]
    fn half_a_command_is_not_run() {
        let delete = || line("key delete --filter attr.label=x \\");
        assert_eq!(typed(vec![delete(), Typed::GivenUp]), Ok(Typed::GivenUp));
        assert_eq!(typed(vec![delete(), Typed::End]), Ok(Typed::EndWithin));
        assert_eq!(typed(vec![delete()]), Ok(Typed::EndWithin));
        assert_eq!(typed(vec![Typed::GivenUp]), Ok(Typed::GivenUp));
        let not_text = || Typed::NotText("gr\u{fffd}n \\".to_owned());
        assert_eq!(typed(vec![not_text(), line("x")]), Ok(Typed::NotText("gr\u{fffd}n  x".to_owned())));
        assert_eq!(
            typed(vec![line("x \\"), not_text(), line("y")]),
            Ok(Typed::NotText("x  gr\u{fffd}n  y".to_owned()))
        );
        assert_eq!(typed(vec![Typed::End]), Ok(Typed::End));
    }

    #[test]
    fn lines_with_passwords_are_not_remembered() {
        let check = |line: &str, expected: bool| assert_eq!(holds_password(line), expected, "{line}");
        check("login --username a --role admin --password hunter22", true);
        check("user create --Password=hunter22", true);
        check("user create --passwrd hunter22", true);
        check("user create --pasword hunter22", true);
        check("user create -password hunter22", true);
        check("user create —password hunter22", true);
        check("user create --pa\"ss\"word hunter22", true);
        check("user create --p\\assword hunter22", true);
        check("user create '--password' hunter22", true);
        check("user create --password \"hunter22", true);
        check("user change-password --username a --role admin", false);
        check("key generate-file --encoding pem --path f --filter attr.label=password", false);
    }
}

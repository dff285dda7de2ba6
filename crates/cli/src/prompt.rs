//! Passwords: from an option, from a terminal without echo, or from a pipe, a line each.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::str::FromStr;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use strongroom_types::{Password, Secret};
use zeroize::Zeroize as _;

use crate::error::ExpectedError;
use crate::interrupts;

/// A password on the command line. Whoever lists the system's processes can see it; its `Debug` does not add to that.
#[derive(Clone)]
pub struct SecretArgument(Secret);

impl FromStr for SecretArgument {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<SecretArgument, Self::Err> {
        Ok(SecretArgument(Secret::from(text.as_bytes())))
    }
}

impl fmt::Debug for SecretArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretArgument")
    }
}

/// The password to log in with.
pub fn for_login(given: Option<SecretArgument>) -> Result<Password, ExpectedError> {
    let secret = given.map_or_else(|| ask("Enter password:"), |SecretArgument(secret)| Ok(secret))?;
    Ok(Password::for_login(secret))
}

/// A password to be set: asked for twice, and checked against the rules before anything is sent.
pub fn to_set(given: Option<SecretArgument>) -> Result<Password, ExpectedError> {
    let secret = match given {
        Some(SecretArgument(secret)) => secret,
        None => {
            let secret = ask("Enter password:")?;
            if secret != ask("Confirm password:")? {
                return Err(ExpectedError::PasswordsDiffer);
            }
            secret
        }
    };
    Ok(Password::new(secret)?)
}

/// A terminal that shows nothing of what is typed, until this is dropped. From before the prompt on: who types as soon as
/// it is there would else be faster than the reader of passwords is in hiding them.
struct Unseen {
    terminal: File,
    before: Termios,
}

impl Unseen {
    fn begin() -> io::Result<Unseen> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
        Ok(Unseen { terminal, before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that went away needs nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

fn ask(prompt: &str) -> Result<Secret, ExpectedError> {
    if io::stdin().is_terminal() {
        let unseen = || {
            let _unseen = Unseen::begin()?;
            rpassword::prompt_password(prompt)
        };
        let typed = interrupts::held(unseen).map_err(ExpectedError::Prompt)?;
        return Ok(Secret::new(typed.into_bytes()));
    }
    // The prompt is for people: standard output belongs to the answers.
    say(prompt);
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    say("\n");
    let secret = Secret::from(line.trim_end_matches(['\r', '\n']).as_bytes());
    line.zeroize();
    match read.map_err(ExpectedError::Prompt)? {
        0 => Err(ExpectedError::Prompt(io::ErrorKind::UnexpectedEof.into())),
        _ => Ok(secret),
    }
}

/// A line that may be seen, such as the path of a file.
pub fn line(prompt: &str) -> Result<String, ExpectedError> {
    say(prompt);
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(ExpectedError::PromptLine)?;
    if !io::stdin().is_terminal() {
        say("\n");
    }
    match read {
        0 => Err(ExpectedError::PromptLine(io::ErrorKind::UnexpectedEof.into())),
        _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

/// Nobody may be there to read it.
fn say(text: &str) {
    let mut stderr = io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

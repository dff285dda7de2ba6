//! The `configure-*` tools: one for each component, each changing the component's own configuration file and in it what the
//! command line names. The file's shape is the client's ([`strongroom_client::Document`]); here is what may be asked for.

mod apply;
mod error;
mod options;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

pub use strongroom_client::Component;
use strongroom_client::{ConfigError, Document};

use crate::configure::error::ConfigureError;
use crate::configure::options::{Request, Tool};
use crate::{EXIT_USAGE, files};

/// Runs a component's tool on the command line `arguments` (program name first) and returns the process's exit code: 0
/// done, 1 not done, 2 not understood. Nothing is printed on standard output.
pub fn run(component: Component, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let tool = Tool::of(component);
    let request = match tool.read(arguments) {
        Ok(request) => request,
        Err(error) => {
            // Help and version go to standard output with code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
        }
    };
    match configure(tool, &request, &strongroom_client::home()) {
        Ok(notes) => {
            notes.iter().for_each(|note| eprintln!("note: {note}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Changes the component's file in the folder of clients `home`. Answers with what is worth telling a person.
fn configure(tool: Tool, request: &Request, home: &Path) -> Result<Vec<String>, ConfigureError> {
    let path = tool.component.path_in(home);
    if !home.is_dir() {
        return Err(ConfigureError::NoHome { home: home.to_owned() });
    }
    let folder = path.parent().unwrap_or(home);
    fs::create_dir_all(folder).map_err(|source| ConfigureError::Write { path: folder.to_owned(), source })?;
    // Held until the file is written: two runs at the same time change it one after the other. On a file system without
    // locks the later one wins, and the file is whole all the same.
    let lock = File::open(folder).ok();
    let _ = lock.as_ref().map(File::lock);
    let found = match Document::read(&path) {
        Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        other => Some(other?),
    };
    let mut document = found.clone().unwrap_or_else(|| Document::fresh(tool.component, home));
    let mut notes = apply::apply(tool, request, &path, &mut document)?;
    let log_is_new = found.as_ref().is_none_or(|found| {
        (found.log_file(), found.logs_to_terminal()) != (document.log_file(), document.logs_to_terminal())
    });
    notes.extend(Some(&document).filter(|_| log_is_new).and_then(apply::log_note));
    if found.as_ref() != Some(&document) {
        let text = document.to_text().ok_or_else(|| ConfigureError::TooLong { path: path.clone() })?;
        files::write_public(&path, text.as_bytes()).map_err(|source| ConfigureError::Write { path, source })?;
    }
    Ok(notes)
}

/// For fuzzing: a command line on a file's content.
#[cfg(feature = "fuzz")]
pub fn rewrite(component: Component, arguments: &[String], content: &[u8]) -> Option<Document> {
    let tool = Tool::of(component);
    let path = tool.component.path_in(Path::new("/nowhere"));
    let words = std::iter::once(component.tool()).chain(arguments.iter().cloned());
    let request = tool.read(words.map(OsString::from)).ok()?;
    let mut document = Document::parse(content, &path).ok()?;
    apply::apply(tool, &request, &path, &mut document).ok()?;
    Some(document)
}

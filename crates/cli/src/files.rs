//! Data from files and from base64, and key files written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::ExpectedError;

/// Bytes of a file with data or a signature. Raw data is hashed here, so this bounds memory only.
const DATA_LEN_MAX: u64 = 64 * 1024 * 1024;

/// Bytes given in base64 (RFC 4648 §4, padded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl FromStr for Base64 {
    type Err = base64::DecodeError;

    fn from_str(text: &str) -> Result<Base64, base64::DecodeError> {
        STANDARD.decode(text).map(Base64)
    }
}

/// Base64 as answers carry it.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// What was given on the command line, or is in the file.
pub fn bytes(given: Option<Base64>, path: Option<&Path>) -> Result<Vec<u8>, ExpectedError> {
    match (given, path) {
        (Some(Base64(bytes)), _) => Ok(bytes),
        (None, Some(path)) => read(path),
        (None, None) => Ok(Vec::new()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ExpectedError> {
    let failed = |source| ExpectedError::ReadFile { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(DATA_LEN_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > DATA_LEN_MAX {
        return Err(ExpectedError::FileTooLong { path: path.to_owned(), max: DATA_LEN_MAX });
    }
    Ok(bytes)
}

/// Writes a file under another name first and then names it: it is whole or as it was. What it holds is no secret.
pub fn write(path: &Path, content: &[u8]) -> Result<(), ExpectedError> {
    let failed = |source| ExpectedError::WriteFile { path: path.to_owned(), source };
    let mut name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?.to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = path.with_file_name(name);
    let written = write_new(&new, content).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // Of no use to anybody.
        let _ = fs::remove_file(&new);
    }
    written.map_err(failed)
}

fn write_new(path: &PathBuf, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_over_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        for content in ["first", "second, longer"] {
            write(&path, content.as_bytes()).expect("written");
            assert_eq!(bytes(None, Some(&path)).expect("read"), content.as_bytes());
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
        assert!(matches!(write(&folder.path().join("no/such"), b"x"), Err(ExpectedError::WriteFile { .. })));
        assert!(matches!(bytes(None, Some(&folder.path().join("no"))), Err(ExpectedError::ReadFile { .. })));
    }

    #[test]
    fn base64_is_padded_and_whole() {
        assert_eq!("YWI=".parse(), Ok(Base64(b"ab".to_vec())));
        for wrong in ["YWI", "YW I=", "YWI==", "*"] {
            assert!(wrong.parse::<Base64>().is_err(), "{wrong}");
        }
    }
}

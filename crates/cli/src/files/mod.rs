//! Data from files and from base64, and key files written whole or not at all.

mod write;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_types::{TemplateError, parse_hex};

use crate::error::ExpectedError;

pub use write::{write, write_public};

/// Bytes of a file with data or a signature. Raw data is hashed here, so this bounds memory only.
const DATA_LEN_MAX: u64 = 64 * 1024 * 1024;

/// Bytes given in base64 (RFC 4648 §4, padded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl FromStr for Base64 {
    type Err = String;

    fn from_str(text: &str) -> Result<Base64, String> {
        let bytes = STANDARD.decode(text).map_err(|error| format!("not base64 with padding (RFC 4648 §4): {error}"))?;
        Ok(Base64(bytes))
    }
}

/// Bytes given in hexadecimal, with `0x` in front or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl FromStr for Hex {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Hex, TemplateError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        parse_hex(&format!("0x{digits}")).map(Hex)
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
        (None, Some(path)) => read(path, DATA_LEN_MAX),
        (None, None) => unreachable!("the option parser asks for one of the two"),
    }
}

/// A file of at most so many bytes.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, ExpectedError> {
    let failed = |source| ExpectedError::ReadFile { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(ExpectedError::FileTooLong { path: path.to_owned(), max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_written_over_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        for content in ["first", "second, longer", "3"] {
            write(&path, content.as_bytes()).expect("written");
            assert_eq!(bytes(None, Some(&path)).expect("read"), content.as_bytes());
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
        assert!(matches!(bytes(None, Some(&folder.path().join("no"))), Err(ExpectedError::ReadFile { .. })));
    }

    #[test]
    fn long_data_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        let file = File::create(&path).expect("made");
        let len_read = || bytes(None, Some(&path)).map(|bytes| bytes.len() as u64);
        file.set_len(DATA_LEN_MAX).expect("set");
        assert_eq!(len_read().expect("read"), DATA_LEN_MAX);
        file.set_len(DATA_LEN_MAX + 1).expect("set");
        assert!(matches!(len_read(), Err(ExpectedError::FileTooLong { max: DATA_LEN_MAX, .. })));
    }

    #[test]
    fn hexadecimal_is_of_whole_bytes() {
        assert_eq!("0x10fF".parse(), Ok(Hex(vec![0x10, 0xff])));
        assert_eq!("10ff".parse(), Ok(Hex(vec![0x10, 0xff])));
        assert_eq!("0x".parse(), Ok(Hex(Vec::new())));
        for wrong in ["0x1", "1", "0x0x10", "0xg0", "0X10", "0x1 0"] {
            assert!(wrong.parse::<Hex>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn base64_is_padded_and_whole() {
        assert_eq!("YWI=".parse(), Ok(Base64(b"ab".to_vec())));
        for wrong in ["YWI", "YW I=", "YWI==", "*"] {
            assert!(wrong.parse::<Base64>().is_err(), "{wrong}");
        }
    }
}

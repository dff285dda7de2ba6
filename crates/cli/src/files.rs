//! Data from files and from base64, and key files written whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_crypto::random;
use strongroom_types::{TemplateError, parse_hex};

use crate::error::ExpectedError;

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

/// Who may read a configuration: the applications of all users.
const MODE_PUBLIC: u32 = 0o644;

/// Writes a key file or a wrapped key, over one that exists. What it holds is no secret.
///
/// A regular file is written under another name first and then named: it is whole or as it was, keeps its mode and,
/// where we may give files away, its owner, and links to it stay links. Pipes and devices are written into.
pub fn write(path: &Path, content: &[u8]) -> Result<(), ExpectedError> {
    let written = put(path, content, None);
    written.map_err(|source| ExpectedError::WriteFile { path: path.to_owned(), source })
}

/// The same for a configuration: a new one is for all users to read, whoever makes it.
pub fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, Some(Permissions::from_mode(MODE_PUBLIC)))
}

fn put(path: &Path, content: &[u8], permissions_of_new: Option<Permissions>) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Ok(existing) => write_over(&existing, path, content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            replace(path, content, |file| permissions_of_new.map_or(Ok(()), |mode| file.set_permissions(mode)))
        }
        Err(error) => Err(error),
    }
}

fn write_over(mut existing: &File, path: &Path, content: &[u8]) -> io::Result<()> {
    let metadata = existing.metadata()?;
    if metadata.is_file() {
        replace(&fs::canonicalize(path)?, content, |file| {
            let new = file.metadata()?;
            if (new.uid(), new.gid()) != (metadata.uid(), metadata.gid()) {
                // Only root may; whoever else may write here becomes the owner.
                let _ = fchown(file, Some(metadata.uid()), Some(metadata.gid()));
            }
            file.set_permissions(metadata.permissions())
        })
    } else {
        existing.write_all(content)
    }
}

fn replace(path: &Path, content: &[u8], rights: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Not to be foreseen, and never a file or a link that lies there already.
    let new = path.with_file_name(format!(".cloudhsm-cli-{:016x}", u64::from_ne_bytes(random::bytes())));
    let written = write_new(&new, content, rights).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // Of no use to anybody.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(path: &Path, content: &[u8], rights: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    rights(&file)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

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
    fn what_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |path: &Path| {
            assert!(matches!(write(path, b"x"), Err(ExpectedError::WriteFile { .. })), "{}", path.display());
            assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0, "{}", path.display());
        };
        check(&folder.path().join("no/such"));
        check(&folder.path().join("new/"));
        check(folder.path());
        check(Path::new("/"));
        check(Path::new(""));
        check(Path::new("/dev/full"));
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_link_stays_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("key.pem"), folder.path().join("link.pem"));
        fs::write(&path, "as it was").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink("key.pem", &link).expect("linked");
        write(&link, b"new").expect("written");
        assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
        assert_eq!((fs::read(&path).expect("read"), mode(&path)), (b"new".to_vec(), 0o640));
        // A new file is as readable as other new files here.
        let (plain, made) = (folder.path().join("plain"), folder.path().join("made"));
        fs::write(&plain, "").expect("written");
        write(&made, b"new").expect("written");
        assert_eq!(mode(&made), mode(&plain));
    }

    #[test]
    fn devices_are_written_into() {
        use std::os::unix::fs::FileTypeExt as _;
        write(Path::new("/dev/null"), b"x").expect("written");
        assert!(fs::metadata("/dev/null").expect("it is there").file_type().is_char_device());
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

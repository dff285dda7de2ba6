//! Files written whole or not at all.
//!
//! Everything about a file that is written over is taken from, and done within, the one folder that was opened for it: who
//! can put another file or a link in its place meanwhile gets nothing of ours for it, even where root writes.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use strongroom_crypto::random;

use crate::error::ExpectedError;

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
    // Pipes and devices, which `/dev/stdout` may lead to.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return OpenOptions::new().write(true).open(path)?.write_all(content);
    }
    let target = target(path)?;
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder =
        rustix::fs::open(parent(&target), OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    // What a link was followed to above is no link now, unless somebody made it one.
    let existing = openat(&folder, name, OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    match existing.map(File::from) {
        Ok(existing) => write_over(&existing, &folder, name, content),
        // A link is replaced like nothing at all, and never followed.
        Err(Errno::NOENT | Errno::LOOP) => replace(&folder, name, content, |file| {
            permissions_of_new.map_or(Ok(()), |permissions| file.set_permissions(permissions))
        }),
        Err(error) => Err(error.into()),
    }
}

/// The file that is meant: behind links, or where none is yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    // `new/` names a folder.
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    match fs::canonicalize(path) {
        // None is there yet, or a link leads nowhere, which the new file replaces; the folder may lie behind links.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            Ok(fs::canonicalize(parent(path))?.join(name))
        }
        target => target,
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_over(existing: &File, folder: &OwnedFd, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let metadata = existing.metadata()?;
    replace(folder, name, content, |file| {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (metadata.uid(), metadata.gid()) {
            // Only root may; whoever else may write here becomes the owner.
            let _ = fchown(file, Some(metadata.uid()), Some(metadata.gid()));
        }
        file.set_permissions(metadata.permissions())
    })
}

fn replace(
    folder: &OwnedFd,
    name: &OsStr,
    content: &[u8],
    rights: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    // Not to be foreseen, and never a file or a link that lies there already.
    let new = format!(".cloudhsm-cli-{:016x}", u64::from_ne_bytes(random::bytes()));
    let written = write_new(folder, &new, content, rights)
        .and_then(|()| renameat(folder, &*new, folder, name).map_err(io::Error::from));
    if written.is_err() {
        // Of no use to anybody.
        let _ = unlinkat(folder, &*new, AtFlags::empty());
    }
    written
}

fn write_new(
    folder: &OwnedFd,
    name: &str,
    content: &[u8],
    rights: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, name, flags, Mode::from_raw_mode(0o666))?);
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
    fn devices_and_pipes_are_written_into() {
        use std::io::Read as _;
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::FileTypeExt as _;
        write(Path::new("/dev/null"), b"x").expect("written");
        assert!(fs::metadata("/dev/null").expect("it is there").file_type().is_char_device());
        let (mut reader, writer) = io::pipe().expect("a pipe");
        write(Path::new(&format!("/dev/fd/{}", writer.as_raw_fd())), b"through").expect("written");
        drop(writer);
        let mut read = String::new();
        reader.read_to_string(&mut read).expect("read");
        assert_eq!(read, "through");
    }

    #[test]
    fn a_new_file_lies_where_links_lead() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).expect("made");
        std::os::unix::fs::symlink("real", &link).expect("linked");
        write(&link.join("key.pem"), b"new").expect("written");
        assert_eq!(fs::read(real.join("key.pem")).expect("read"), b"new");
        write(&link.join("key.pem"), b"again").expect("written");
        assert_eq!(fs::read(real.join("key.pem")).expect("read"), b"again");
        let nowhere = folder.path().join("nowhere");
        std::os::unix::fs::symlink("missing/key.pem", &nowhere).expect("linked");
        write(&nowhere, b"in its place").expect("written");
        assert_eq!(fs::read(&nowhere).expect("read"), b"in its place");
    }

    /// Who swaps the file for a link once it is known what is meant.
    #[test]
    fn a_link_that_comes_late_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (victim, file) = (folder.path().join("victim"), folder.path().join("file"));
        fs::write(&victim, "as it was").expect("written");
        std::os::unix::fs::symlink(&victim, &file).expect("linked");
        let within = rustix::fs::open(folder.path(), OFlags::DIRECTORY, Mode::empty()).expect("the folder");
        let late = openat(&within, "file", OFlags::WRONLY | OFlags::NOFOLLOW, Mode::empty());
        assert_eq!(late.expect_err("a link"), Errno::LOOP);
        replace(&within, OsStr::new("file"), b"new", |_| Ok(())).expect("written");
        assert_eq!(fs::read(&victim).expect("read"), b"as it was");
        assert_eq!(fs::read(&file).expect("read"), b"new");
    }
}

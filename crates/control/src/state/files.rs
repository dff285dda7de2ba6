//! Files written whole or not at all, and read within bounds.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::TEMPORARY;
use crate::error::StateError;

/// Bytes of any file of ours that is read whole.
const FILE_LEN_MAX: u64 = 1024 * 1024;
/// Bytes of a log's end that an error shows.
const TAIL_LEN_MAX: u64 = 4096;
/// Lines of a log's end that an error shows.
const TAIL_LINES_MAX: usize = 12;

/// Whether a file outlives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced, and its folder too.
    Disk,
    /// Says what runs now, and is worth nothing after a restart of the machine.
    Runtime,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}

/// Where a file is written before it takes its place.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().expect("every path written here ends in a file's name");
    let mut temporary = std::ffi::OsString::from(TEMPORARY);
    temporary.push(name);
    path.with_file_name(temporary)
}

/// Writes `content` to `path` so that a reader, whenever it looks and whoever is killed, finds the old file or the new
/// one whole. Two writers of one path must exclude each other.
pub fn write_whole(path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<(), StateError> {
    let temporary = temporary(path);
    remove_file(&temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(failed("write", &temporary))?;
    file.write_all(content).map_err(failed("write", &temporary))?;
    if durability == Durability::Disk {
        file.sync_all().map_err(failed("write", &temporary))?;
    }
    fs::rename(&temporary, path).map_err(failed("write", path))?;
    if durability == Durability::Disk {
        path.parent().map_or(Ok(()), sync_folder)?;
    }
    Ok(())
}

/// Makes a folder unless it is there.
pub fn make_folder(path: &Path, mode: u32) -> Result<(), StateError> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(source) => Err(StateError::Io { action: "make", path: path.to_owned(), source }),
    }
}

/// Makes the names in a folder durable.
pub fn sync_folder(path: &Path) -> Result<(), StateError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

/// Removes a file if it is there.
pub fn remove_file(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads a file that may hold secrets, or none if it is not there.
pub fn read_bounded(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path)(source)),
    };
    let len = file.metadata().map_err(failed("read", path))?.len();
    let too_long = || StateError::TooLong { path: path.to_owned(), max: FILE_LEN_MAX };
    if len > FILE_LEN_MAX {
        return Err(too_long());
    }
    // One byte more than the file has, so that the buffer never grows and leaves a copy behind.
    let capacity = usize::try_from(len).map_err(|_| too_long())? + 1;
    let mut content = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut content).map_err(failed("read", path))?;
    if u64::try_from(content.len()).map_err(|_| too_long())? > FILE_LEN_MAX {
        return Err(too_long());
    }
    Ok(Some(content))
}

/// Whether the file holds exactly `content`.
pub fn same_content(path: &Path, content: &[u8]) -> Result<bool, StateError> {
    Ok(read_bounded(path)?.is_some_and(|found| found.as_slice() == content))
}

/// The last lines of a log, or a remark that there is none.
pub fn tail(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL_LEN_MAX)))?;
        let mut end = Vec::new();
        file.take(TAIL_LEN_MAX).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = match read() {
        Ok(end) => end,
        Err(error) => return format!("  (no log: {error})"),
    };
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES_MAX)..];
    if shown.is_empty() {
        return "  (the log is empty)".to_owned();
    }
    shown.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_written_whole_over_an_old_one_and_over_what_a_killed_writer_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.json");
        fs::write(temporary(&path), "half a fi").expect("a leftover");
        fs::set_permissions(temporary(&path), fs::Permissions::from_mode(0o666)).expect("a leftover open to all");
        write_whole(&path, b"one", 0o600, Durability::Disk).expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"one");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        write_whole(&path, b"two", 0o600, Durability::Runtime).expect("written again");
        assert_eq!(fs::read(&path).expect("there"), b"two");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("taken");
        fs::create_dir(&path).expect("a folder in the way");
        assert!(matches!(
            write_whole(&path, b"x", 0o600, Durability::Disk),
            Err(StateError::Io { action: "write", .. })
        ));
        assert!(path.is_dir());
    }

    #[test]
    fn reading_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("big");
        assert!(read_bounded(&path).expect("absent is no error").is_none());
        let file = File::create(&path).expect("made");
        file.set_len(FILE_LEN_MAX).expect("grown");
        assert!(read_bounded(&path).expect("at the limit").is_some());
        file.set_len(FILE_LEN_MAX + 1).expect("grown");
        assert!(matches!(read_bounded(&path), Err(StateError::TooLong { .. })));
    }

    #[test]
    fn a_log_shows_its_last_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        assert!(tail(&path).contains("no log"));
        fs::write(&path, "").expect("written");
        assert_eq!(tail(&path), "  (the log is empty)");
        let lines: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
        fs::write(&path, lines).expect("written");
        assert!(tail(&path).starts_with("  line 1988\n"), "{}", tail(&path));
        assert!(tail(&path).ends_with("  line 1999"));
    }
}

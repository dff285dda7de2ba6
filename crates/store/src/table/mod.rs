//! The member table: a small file beside the database, mapped by every HSM process of the host.
//!
//! * Each slot is held by a lock of the kernel on one byte. A free lock is a known death, whatever the slot says.
//! * A slot is written by who holds its lock, and by nobody else.
//! * Content is checked where it is read: a damaged file leads to errors, or to slots that count as empty.

#[cfg(feature = "fuzz")]
pub mod fuzz;
mod layout;
mod process;
mod seat;
#[allow(unsafe_code, reason = "the mapped table takes system calls; every function of it is safe to call")]
mod sys;
#[cfg(test)]
mod tests;
mod turn;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use layout::{FILE_LEN, FIXED_LEN, Fixed, SLOT_LEN};
use seat::Membership;

use crate::{TableError, access};

/// The user that this process acts as.
pub(crate) fn user() -> u32 {
    sys::user()
}

/// The member table, opened; and this door's seat in it.
pub(crate) struct Table {
    file: File,
    map: sys::Mapping,
    path: PathBuf,
    id: [u8; 16],
    membership: Mutex<Membership>,
    /// The note of another's turn that this door waited for in vain.
    exhausted_turn: AtomicU64,
}

impl Table {
    /// Opens the table, and makes it when there is none.
    pub(crate) fn open(path: &Path) -> Result<Table, TableError> {
        let inaccessible = |doing| move |source| TableError::Inaccessible { path: path.to_owned(), doing, source };
        let file = loop {
            match OpenOptions::new().read(true).write(true).open(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    create(path).map_err(inaccessible("creating it"))?
                }
                opened => break opened.map_err(inaccessible("opening it"))?,
            }
        };
        let foreign = |what| TableError::Foreign { path: path.to_owned(), what };
        let metadata = file.metadata().map_err(inaccessible("reading its length"))?;
        if !metadata.is_file() {
            return Err(foreign("it is no plain file"));
        }
        access::check(path, &metadata, user())?;
        let mut fixed = Vec::with_capacity(FIXED_LEN);
        (&file).take(FIXED_LEN as u64).read_to_end(&mut fixed).map_err(inaccessible("reading it"))?;
        let id = match layout::read_fixed(&fixed) {
            Fixed::Table { table_id } => table_id,
            Fixed::TooNew(found) => {
                return Err(TableError::TooNew { path: path.to_owned(), found, known: layout::VERSION });
            }
            Fixed::Foreign => return Err(foreign("its header is another")),
        };
        if metadata.len() != FILE_LEN as u64 {
            return Err(foreign("its length is another"));
        }
        let map = sys::Mapping::new(&file).map_err(inaccessible("mapping it"))?;
        Ok(Table {
            file,
            map,
            path: path.to_owned(),
            id,
            membership: Mutex::new(Membership::None),
            exhausted_turn: AtomicU64::new(0),
        })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What tells this table from every other; the database names the one that belongs to it.
    pub(crate) fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The word that [`sleep`](Table::sleep) watches.
    pub(crate) fn signal(&self) -> u32 {
        self.map.header.signal.load(SeqCst)
    }

    /// Sleeps until the word is another than `seen`, for at most `timeout`; may wake early.
    pub(crate) fn sleep(&self, seen: u32, timeout: Duration) {
        sys::futex_wait(&self.map.header.signal, seen, timeout);
    }

    /// Wakes everyone who sleeps, in every process: there is a new revision.
    pub(crate) fn wake(&self) {
        self.map.header.signal.fetch_add(1, SeqCst);
        sys::futex_wake_all(&self.map.header.signal);
    }

    /// Changes with every entry that comes, goes, or shows another applied revision.
    pub(crate) fn entries(&self) -> u64 {
        self.map.header.entries.load(SeqCst)
    }

    fn entry_changed(&self) {
        self.map.header.entries.fetch_add(1, SeqCst);
        self.wake();
    }

    /// Notes that this door holds SQLite's write lock, until the value is dropped.
    pub(crate) fn writing(&self) -> Writing<'_> {
        let number = self.map.header.writes.fetch_add(1, SeqCst).wrapping_add(1);
        let slot = self.own_slot().and_then(|slot| u64::try_from(slot + 1).ok()).unwrap_or(0);
        let mark = number.wrapping_mul(256) | slot;
        self.map.header.writer.store(mark, SeqCst);
        Writing { table: self, mark }
    }

    /// The mark of who holds SQLite's write lock; 0 when nobody noted it.
    pub(crate) fn writer(&self) -> u64 {
        self.map.header.writer.load(SeqCst)
    }

    fn error(&self, doing: &'static str, source: io::Error) -> TableError {
        TableError::Inaccessible { path: self.path.clone(), doing, source }
    }
}

/// While it lives, the header names this door as the writer.
pub(crate) struct Writing<'a> {
    table: &'a Table,
    mark: u64,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // The next writer may have noted itself already; its mark stays.
        let _ = self.table.map.header.writer.compare_exchange(self.mark, 0, SeqCst, SeqCst);
    }
}

/// The byte that holds a slot's lock: the slot's first.
fn lock_byte(slot: usize) -> u64 {
    ((slot + 1) * SLOT_LEN) as u64
}

/// Makes an empty table. It gets its name when it is whole, and never replaces a file of that name.
fn create(path: &Path) -> io::Result<()> {
    let id = sys::random()?;
    let mut bytes = layout::fixed_bytes(id).to_vec();
    bytes.resize(FILE_LEN, 0);
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".new-{}", id.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    let whole = path.with_file_name(name);
    let made = write_new(&whole, &bytes).and_then(|()| match std::fs::hard_link(&whole, path) {
        // Somebody else was faster; theirs is as good.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // The temporary name is of no further use, whatever became of it.
    let _ = std::fs::remove_file(&whole);
    made?;
    crate::sync_folder_of(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}

//! What a library must know about the process it lives in: whether it was forked, and whether it may trust its
//! environment. Platform: Linux.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of the mapping; the kernel rounds up to a page.
const LEN: usize = size_of::<AtomicU32>();
/// What a page holds that nobody has wiped.
const UNTOUCHED: u32 = 0x5352_464b;

/// Tells a child made by `fork` from the process that made the mark, without taking a lock.
///
/// The mark is a page that the kernel gives to a child filled with zeros (`MADV_WIPEONFORK`, Linux 4.14), so that asking
/// is one read of memory. Where the kernel has no such page, process ids are compared; a grandchild that is given the
/// same id as the maker, which must have ended by then, is not told apart.
///
/// A child made by `vfork`, or by `clone` with `CLONE_VM`, shares the memory and is not one in this sense.
#[derive(Debug)]
pub struct Mark(Kind);

#[derive(Debug)]
enum Kind {
    Page(NonNull<AtomicU32>),
    Process(u32),
}

// SAFETY: the page belongs to the mark until it is dropped, and holds an atomic that every thread may read.
unsafe impl Send for Mark {}
// SAFETY: as above.
unsafe impl Sync for Mark {}

impl Mark {
    /// A mark of this process.
    pub fn new() -> Mark {
        Mark(wiped_page().map_or_else(|| Kind::Process(std::process::id()), Kind::Page))
    }

    /// Whether this process is a child, of whatever generation, of the one that made the mark.
    pub fn is_forked_child(&self) -> bool {
        match &self.0 {
            // SAFETY: the page is mapped as long as the mark lives, in the child too, and no one else writes it.
            Kind::Page(page) => unsafe { page.as_ref() }.load(Ordering::Relaxed) != UNTOUCHED,
            Kind::Process(id) => std::process::id() != *id,
        }
    }
}

impl Default for Mark {
    fn default() -> Mark {
        Mark::new()
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Kind::Page(page) = self.0 {
            // SAFETY: the mapping was made by `wiped_page` with this length, and this is its only owner.
            unsafe { libc::munmap(page.as_ptr().cast(), LEN) };
        }
    }
}

/// A page with the mark on it, or none where the kernel can't wipe it.
fn wiped_page() -> Option<NonNull<AtomicU32>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh anonymous mapping that touches no other memory.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), LEN, access, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the mapping is ours alone, and no reference into it exists yet.
    if unsafe { libc::madvise(page, LEN, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above.
        unsafe { libc::munmap(page, LEN) };
        return None;
    }
    let page = NonNull::new(page.cast::<AtomicU32>())?;
    // SAFETY: mapped, page-aligned, zeroed, which is a valid AtomicU32, and shared with nobody.
    unsafe { page.as_ref() }.store(UNTOUCHED, Ordering::Relaxed);
    Some(page)
}

/// Tells one open file from another that has its number later: the inode, which for a socket is unique on this machine
/// while the socket is open. None when the number is not open.
pub fn identity(descriptor: i32) -> Option<u64> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes to a local of the right type, or fails.
    let done = unsafe { libc::fstat(descriptor, status.as_mut_ptr()) } == 0;
    // SAFETY: written, as the kernel says.
    done.then(|| unsafe { status.assume_init() }.st_ino)
}

/// Closes a descriptor by its number if it is still the file of that [`identity`]: for a child, which closes what its
/// parent opened without touching the values that own the numbers in the parent's memory. Those values must never be
/// used or dropped in the child. Programs that close every descriptor after a fork may have given the number to a file
/// of their own by now; that one stays open.
pub fn close_inherited(descriptor: i32, of: u64) {
    if identity(descriptor) == Some(of) {
        // SAFETY: no memory is involved. That nobody in this process uses the file any more is the caller's duty.
        unsafe { libc::close(descriptor) };
    }
}

/// Whether the process runs with rights that its caller does not have (set-user-id, set-group-id, capabilities), so that
/// environment variables are not to be trusted.
pub fn secure_mode() -> bool {
    // SAFETY: reads a value that the kernel gave the process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Runs `check` in a child and gives its answer.
#[cfg(test)]
pub(crate) fn in_child(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child only reads memory, makes system calls and ends; it takes no lock and allocates nothing.
    match unsafe { libc::fork() } {
        // SAFETY: ends the child without the parent's exit handlers.
        0 => unsafe { libc::_exit(i32::from(check())) },
        child => {
            let mut status = 0;
            // SAFETY: the status is written to a local.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert!(libc::WIFEXITED(status));
            libc::WEXITSTATUS(status) == 1
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_child_and_its_child_are_told_from_the_parent() {
        let page = Mark::new();
        assert!(matches!(page.0, Kind::Page(_)), "the kernels we test on wipe pages");
        let process = Mark(Kind::Process(std::process::id()));
        for mark in [&page, &process] {
            assert!(!mark.is_forked_child());
            assert!(in_child(|| mark.is_forked_child()));
            assert!(in_child(|| in_child(|| mark.is_forked_child())));
            assert!(!mark.is_forked_child());
        }
    }

    #[test]
    fn a_mark_of_the_child_is_the_childs() {
        assert!(in_child(|| {
            let mark = Mark::new();
            !mark.is_forked_child() && in_child(|| mark.is_forked_child())
        }));
    }

    #[test]
    fn a_child_closes_its_own_copy_only() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let number = socket.as_raw_fd();
        let of = identity(number).unwrap();
        assert!(in_child(|| {
            close_inherited(number, of);
            identity(number).is_none()
        }));
        assert_eq!(identity(number), Some(of));
    }

    #[test]
    fn a_number_that_is_another_file_by_now_stays_open() {
        let (socket, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (number, of) = (socket.as_raw_fd(), identity(socket.as_raw_fd()).unwrap());
        assert!(in_child(|| {
            // SAFETY: both numbers are this process's own.
            assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), number) }, number);
            close_inherited(number, of);
            identity(number) == identity(other.as_raw_fd())
        }));
        assert_eq!(identity(-1), None);
    }

    #[test]
    fn a_test_runs_with_its_callers_rights() {
        assert!(!secure_mode());
    }
}

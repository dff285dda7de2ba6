//! System calls of the member table: the shared mapping, byte-range locks, the futex, killing by pidfd.
//!
//! The only unsafe code of this room. Every function is safe to call with any argument.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{NonNull, null, null_mut};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::layout::{FILE_LEN, Layout};

/// The file, mapped and shared.
pub(super) struct Mapping(NonNull<Layout>);

// SAFETY: the mapping belongs to the value, not to a thread, and is unmapped once, when the value is dropped.
unsafe impl Send for Mapping {}
// SAFETY: `Layout` consists of atomics alone, so shared references may be used by any number of threads.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first [`FILE_LEN`] bytes of a file that has at least that many.
    pub(super) fn new(file: &File) -> io::Result<Mapping> {
        if file.metadata()?.len() < FILE_LEN as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory of this program; length and
        // descriptor are valid, and the result is checked before it is used.
        let address = unsafe { libc::mmap(null_mut(), FILE_LEN, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(address.cast()).map(Mapping).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Deref for Mapping {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        // SAFETY: the mapping is page-aligned, as long as `Layout`, and lives as long as `self`. `Layout` consists of
        // atomics, for which every bit pattern is a value and which other processes may change at any time.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the address and length are those of the mapping made in `new`; no reference outlives `self`.
        unsafe { libc::munmap(self.0.as_ptr().cast(), FILE_LEN) };
    }
}

fn range(byte: u64, kind: libc::c_int) -> io::Result<libc::flock> {
    // SAFETY: `flock` is a struct of integers, for which zero is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).map_err(|_| io::ErrorKind::InvalidInput)?;
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).map_err(|_| io::ErrorKind::InvalidInput)?;
    lock.l_start = libc::off_t::try_from(byte).map_err(|_| io::ErrorKind::InvalidInput)?;
    lock.l_len = 1;
    Ok(lock)
}

fn set_lock(file: &File, byte: u64, kind: libc::c_int) -> io::Result<()> {
    let lock = range(byte, kind)?;
    // SAFETY: F_OFD_SETLK reads one `flock`, which lives through the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Locks one byte of the file for this open file description; false when another one holds it.
pub(super) fn lock(file: &File, byte: u64) -> io::Result<bool> {
    match set_lock(file, byte, libc::F_WRLCK) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Unlocks it.
pub(super) fn unlock(file: &File, byte: u64) -> io::Result<()> {
    set_lock(file, byte, libc::F_UNLCK)
}

/// Whether another open file description holds the byte's lock.
pub(super) fn is_held(file: &File, byte: u64) -> io::Result<bool> {
    let mut lock = range(byte, libc::F_WRLCK)?;
    // SAFETY: F_OFD_GETLK reads and writes one `flock`, which lives through the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK),
    }
}

/// Sleeps while the word is `seen`, for at most `timeout`; may wake early.
pub(super) fn futex_wait(word: &AtomicU32, seen: u32, timeout: Duration) {
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
    };
    // SAFETY: the word and the timeout live through the call. The operation is the one for words shared between
    // processes. The kernel only compares the word.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen, &raw const timeout) };
}

/// Wakes everyone who sleeps on the word, in every process.
pub(super) fn futex_wake_all(word: &AtomicU32) {
    // SAFETY: the word lives through the call, which uses its address alone.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, libc::c_int::MAX, null::<()>()) };
}

/// Milliseconds of CLOCK_BOOTTIME.
pub(super) fn boottime_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` lives through the call, which writes it.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// The user that this process acts as.
pub(super) fn user() -> u32 {
    // SAFETY: the call takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

/// Random bytes of the system.
pub(super) fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0_u8; 16];
    // SAFETY: the buffer lives through the call, which writes at most its length.
    let written = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(written) {
        Ok(written) if written == bytes.len() => Ok(bytes),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// A process that can't turn into another one while this is held.
pub(super) struct Pidfd(OwnedFd);

impl Pidfd {
    /// The process of this number; none when there is none.
    pub(super) fn open(pid: u32) -> io::Result<Option<Pidfd>> {
        let Ok(pid) = libc::pid_t::try_from(pid) else { return Ok(None) };
        if pid == 0 {
            return Ok(None);
        }
        // SAFETY: the call takes numbers alone.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match libc::c_int::try_from(fd) {
            // SAFETY: the kernel just made this descriptor for us and nothing else owns it.
            Ok(fd) if fd >= 0 => Ok(Some(Pidfd(unsafe { OwnedFd::from_raw_fd(fd) }))),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Sends SIGKILL; does nothing when the process has ended.
    pub(super) fn kill(&self) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        // SAFETY: the descriptor is open; without `siginfo` the call takes numbers alone.
        match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, null::<()>(), 0) } {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Waits until the process has ended, for at most `timeout`; may return early.
    pub(super) fn wait(&self, timeout: Duration) {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one `pollfd` lives through the call.
        unsafe { libc::poll(&raw mut poll, 1, timeout) };
    }
}

//! What a library must know before it writes where its host program put it: that a write may end the program, and that a
//! descriptor may be something else by now.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

/// Signals that the kernel raises in the thread that writes: a pipe has no reader, a file is as long as the process may
/// make it. Both end a program that did not ask for anything else.
const RAISED: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Runs `body`, whose writes raise no signal: they fail, as they do in a program that ignores them. How the program
/// takes signals otherwise is as before, in this thread and in others.
pub fn quietly<T>(body: impl FnOnce() -> T) -> T {
    let _quiet = Quiet::new();
    body()
}

/// Blocks the signals in this thread while it lives, and takes away those that came in this time.
struct Quiet {
    /// The thread's mask.
    before: libc::sigset_t,
    /// Signals that did not wait before. One that did was blocked by the program, and is the program's.
    ours: libc::sigset_t,
}

impl Quiet {
    fn new() -> Quiet {
        let waiting = waiting();
        // SAFETY: reads a set that is a local.
        let is_ours = |signal: &c_int| unsafe { libc::sigismember(&raw const waiting, *signal) } != 1;
        let ours = set_of(RAISED.into_iter().filter(is_ours));
        let (blocked, mut before) = (set_of(RAISED), set_of([]));
        // SAFETY: concerns the calling thread alone; the sets are locals.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut before) };
        Quiet { before, ours }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the sets and the time live in this frame; nobody wants to know more of the signal.
        while unsafe { libc::sigtimedwait(&raw const self.ours, ptr::null_mut(), &raw const at_once) } > 0 {}
        // SAFETY: as above; the mask is one that the thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

/// Signals that wait until this thread lets them in.
fn waiting() -> libc::sigset_t {
    let mut set = set_of([]);
    // SAFETY: written to a local.
    unsafe { libc::sigpending(&raw mut set) };
    set
}

fn set_of(signals: impl IntoIterator<Item = c_int>) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: makes the set empty, so it is initialised afterwards.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: a local, initialised above.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// Whether a descriptor is open for appending and for nothing else, as logs are.
pub fn only_appends(descriptor: BorrowedFd) -> bool {
    // SAFETY: no memory is involved.
    let flags = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE == libc::O_WRONLY && flags & libc::O_APPEND != 0
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{self, ErrorKind, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::fork::in_child;

    /// A pipe that nobody reads.
    fn broken() -> io::PipeWriter {
        io::pipe().unwrap().1
    }

    fn write(pipe: &mut io::PipeWriter) -> bool {
        pipe.write(b"line").is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
    }

    fn take_by_default() {
        for signal in RAISED {
            // SAFETY: of a child that does nothing else. Rust programs ignore SIGPIPE; those that load libraries may not.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }

    #[test]
    fn a_pipe_without_a_reader_ends_no_program() {
        let mut pipe = broken();
        assert!(in_child(|| {
            take_by_default();
            // Twice: nothing is left waiting, and the mask is as before.
            quietly(|| write(&mut pipe)) && quietly(|| write(&mut pipe))
        }));
    }

    #[test]
    fn a_file_as_long_as_it_may_be_ends_no_program() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(in_child(|| {
            take_by_default();
            let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: a limit of the child, from a local.
            unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none) };
            quietly(|| file.write(b"line").is_err_and(|error| error.raw_os_error() == Some(libc::EFBIG)))
        }));
    }

    #[test]
    fn a_signal_that_the_program_blocks_and_that_waited_is_still_there() {
        let mut pipe = broken();
        let is_waiting = |signal| {
            let waiting = waiting();
            // SAFETY: reads a local.
            unsafe { libc::sigismember(&raw const waiting, signal) == 1 }
        };
        assert!(in_child(|| {
            take_by_default();
            let blocked = set_of(RAISED);
            // SAFETY: concerns the child's only thread.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, ptr::null_mut()) };
            let left_alone = quietly(|| write(&mut pipe)) && !is_waiting(libc::SIGPIPE);
            let own = write(&mut pipe) && quietly(|| write(&mut pipe)) && is_waiting(libc::SIGPIPE);
            left_alone && own
        }));
    }

    #[test]
    fn logs_only_append() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let check = |options: &OpenOptions, expected| {
            assert_eq!(only_appends(options.open(file.path()).unwrap().as_fd()), expected, "{options:?}");
        };
        check(OpenOptions::new().append(true), true);
        check(OpenOptions::new().append(true).read(true), false);
        check(OpenOptions::new().write(true), false);
        check(OpenOptions::new().read(true), false);
        assert!(!only_appends(broken().as_fd()));
    }
}

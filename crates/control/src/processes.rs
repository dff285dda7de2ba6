//! Other processes of this machine, by handles that cannot come to mean another process.
//!
//! A pid alone is never signalled: it may have been given to somebody else since it was written down. A [`Process`] is
//! a pidfd, and it is trusted only after a second look that shows that it is the process that was meant.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::watch::Deadline;

/// How long a process may take for an orderly end, before it is killed.
pub const ORDERLY_END_MAX: Duration = Duration::from_secs(5);
/// How long the kernel may take to end a process that was killed.
const KILLED_END_MAX: Duration = Duration::from_secs(10);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself.
    #[error("exit code {0}")]
    Code(i32),
    /// By a signal.
    #[error("signal {0}")]
    Signal(i32),
    /// The system did not start it.
    #[error("the system did not start it")]
    NotStarted,
    /// It was another process's child.
    #[error("exit code unknown")]
    Unknown,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        }
    }
}

/// A process as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Its pid.
    pub pid: u32,
    /// When it began, in the kernel's ticks since boot: tells it from a later process with the same pid.
    pub started_ticks: u64,
}

impl ProcessRecord {
    /// The process that has this pid now.
    pub fn of(pid: u32) -> io::Result<ProcessRecord> {
        Ok(ProcessRecord { pid, started_ticks: started_ticks(pid)? })
    }

    /// The process that was written down, or none if it is gone.
    pub fn find(&self) -> io::Result<Option<Process>> {
        // The handle first: if the process that it holds began at that time, it is the one.
        let process = Process::open(self.pid)?;
        Ok(process.filter(|_| started_ticks(self.pid).is_ok_and(|ticks| ticks == self.started_ticks)))
    }
}

/// A process that runs, or ran when the handle was made.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    handle: OwnedFd,
}

impl Process {
    /// The process that has this pid now, or none.
    pub fn open(pid: u32) -> io::Result<Option<Process>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok(Some(Process { pid, handle })),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Asks it to end orderly; nothing happens if it is gone.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends it.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Asks a supervisor to start what it pauses for.
    pub fn nudge(&self) -> io::Result<()> {
        self.signal(Signal::USR1)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it is gone, at most so long; whether it is.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        Ok(wait_readable(&[self.handle.as_fd()], Some(patience))?[0])
    }

    /// Waits for the end of a process that was asked to end, and kills it when its time is over. False if even that
    /// does not end it.
    pub fn end(&self, patience: Duration) -> io::Result<bool> {
        if self.wait(patience)? {
            return Ok(true);
        }
        self.kill()?;
        self.wait(KILLED_END_MAX)
    }
}

impl AsFd for Process {
    /// Readable when the process is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Waits until one of the descriptors is readable, at most so long (none: for ever); which are. A signal may end the
/// wait early, with none readable.
pub fn wait_readable(descriptors: &[BorrowedFd<'_>], patience: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let patience = patience.map(|patience| Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    });
    match poll(&mut polled, patience.as_ref()) {
        Ok(_) => Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(Errno::INTR) => Ok(vec![false; descriptors.len()]),
        Err(error) => Err(error.into()),
    }
}

/// When the process with this pid began, in ticks since boot (proc(5), field 22 of `stat`).
fn started_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses, and may hold any character, parentheses among them.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok());
    ticks.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "proc stat has another form than expected"))
}

/// The process that listens on the socket `name` in `folder`, or none.
///
/// The kernel names the listener to whoever connects. Connecting a second time after the handle was made shows that
/// the same process still listens, so the handle is that process's.
pub fn listener(folder: &Path, name: &str) -> io::Result<Option<Process>> {
    // Through the folder's descriptor, because a socket's path may have 107 bytes only.
    let folder = match File::open(folder) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    let deadline = Deadline::after_seconds(1);
    loop {
        let Some(pid) = listener_pid(&path)? else { return Ok(None) };
        let process = Process::open(pid)?;
        if let Some(process) = process
            && listener_pid(&path)? == Some(pid)
        {
            return Ok(Some(process));
        }
        // It ended between two looks, and perhaps another came.
        if !deadline.pause() {
            return Ok(None);
        }
    }
}

fn listener_pid(path: &str) -> io::Result<Option<u32>> {
    // Without waiting: a listener that is stuck has a full queue, and would hold us for ever.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => {}
        // No socket, or one that nobody listens on any more.
        Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let peer = net::sockopt::socket_peercred(&socket)?;
    Ok(Some(peer.pid.as_raw_nonzero().get().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_seen_to_run_and_to_end() {
        let mut child = Command::new("/bin/sleep").arg("1000").spawn().expect("sleep starts");
        let process = Process::open(child.id()).expect("opened").expect("runs");
        assert_eq!(process.pid(), child.id());
        assert!(!process.wait(Duration::ZERO).expect("looked"));
        process.terminate().expect("signalled");
        assert!(process.end(ORDERLY_END_MAX).expect("ended"));
        assert_eq!(Exit::from(child.wait().expect("reaped")), Exit::Signal(15));
        process.terminate().expect("a signal to nobody is no error");
        assert!(Process::open(child.id()).expect("looked").is_none());
    }

    #[test]
    fn a_process_that_ignores_the_request_is_killed() {
        let script = "trap '' TERM; echo ready; exec sleep 1000";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut ready = [0; 6];
        io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut ready).expect("ready");
        let process = Process::open(child.id()).expect("opened").expect("runs");
        process.terminate().expect("signalled");
        assert!(process.end(Duration::from_millis(100)).expect("ended"));
        assert_eq!(Exit::from(child.wait().expect("reaped")), Exit::Signal(9));
    }

    #[test]
    fn pids_that_nobody_has_open_nothing() {
        for pid in [0, u32::MAX, 0x7fff_ffff] {
            assert!(Process::open(pid).expect("looked").is_none(), "{pid}");
        }
    }

    #[test]
    fn the_start_of_a_process_is_read_whatever_its_name() {
        let own = started_ticks(std::process::id()).expect("own stat");
        assert!(own > 0);
        assert_eq!(started_ticks(std::process::id()).expect("own stat"), own);
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("a) R 1 (b");
        std::os::unix::fs::symlink("/bin/sleep", &program).expect("linked");
        let mut child = Command::new(&program).arg("1000").spawn().expect("starts");
        let ticks = started_ticks(child.id()).expect("its stat");
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(ticks >= own, "{ticks} {own}");
    }

    #[test]
    fn the_listener_on_a_socket_is_found_by_any_path_and_only_while_it_listens() {
        let place = tempfile::tempdir().expect("a folder");
        let long = place.path().join("l".repeat(120));
        assert!(listener(&long, "control.sock").expect("looked").is_none(), "no folder");
        fs::create_dir(&long).expect("made");
        assert!(listener(&long, "control.sock").expect("looked").is_none(), "no socket");
        let folder = File::open(&long).expect("opened");
        let path = format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd());
        let socket = UnixListener::bind(path).expect("bound");
        let found = listener(&long, "control.sock").expect("looked").expect("found");
        assert_eq!(found.pid(), std::process::id());
        drop(socket);
        assert!(long.join("control.sock").exists(), "the socket's file stays behind");
        assert!(listener(&long, "control.sock").expect("looked").is_none(), "nobody listens");
    }
}

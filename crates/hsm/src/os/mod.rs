//! What the process asks of the system: no core dumps, nobody looks in, memory that is not swapped, enough
//! descriptors, few allocator arenas. The one place of this crate where `unsafe` is allowed.

mod allocator;

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use rustix::fs::Mode;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask};

pub use allocator::keep_few_arenas;

/// What [`harden`] could do about the process' memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLock {
    /// Everything stays in memory.
    Everything,
    /// The process may not lock without limit; only root key, cluster key and subkeys are locked.
    KeysOnly,
}

/// Makes the process keep to itself: no core dumps, no debugger, no file that others may read, and memory locked when
/// the process may lock without limit.
pub fn harden() -> io::Result<MemoryLock> {
    umask(Mode::RWXG | Mode::RWXO);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if getrlimit(Resource::Memlock).current.is_some() {
        return Ok(MemoryLock::KeysOnly);
    }
    // Pages are locked when they are first touched: stacks of many connections would fill the memory otherwise.
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        Ok(()) => Ok(MemoryLock::Everything),
        Err(_) => Ok(MemoryLock::KeysOnly),
    }
}

/// Raises the number of descriptors the process may open to as many as it is allowed; answers how many. None is no
/// limit.
pub fn raise_descriptors() -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum)
}

/// Whether the peer of a Unix socket is this process' user or root.
pub fn is_own_or_root(peer: &UnixStream) -> io::Result<bool> {
    let uid = rustix::net::sockopt::socket_peercred(peer)?.uid;
    Ok(uid.is_root() || uid == rustix::process::geteuid())
}

/// A TCP socket that holds its address and refuses connections until somebody listens on it.
pub fn bind_only(address: std::net::SocketAddr) -> io::Result<std::net::TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}

/// Whether standard error goes to this file.
pub fn is_standard_error(file: &Metadata) -> bool {
    rustix::fs::fstat(rustix::stdio::stderr()).is_ok_and(|said| (said.st_dev, said.st_ino) == (file.dev(), file.ino()))
}

/// Sends standard error to this file.
pub fn replace_standard_error(file: &File) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(file)?)
}

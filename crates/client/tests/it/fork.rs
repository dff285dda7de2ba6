//! Forked children: fresh connections, the credentials, nothing of the parent's touched.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use strongroom_client::ClientError;
use strongroom_types::Role;
use strongroom_wire::v1::request::Operation;

use crate::world::{Reaction, World, alice, password, sign};

/// Seconds after which a child that hangs is ended by its own alarm.
const CHILD_SECONDS_MAX: u32 = 30;

/// Runs `body` in a forked child; true when it came to its end and gave true.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs the engine, which is what is tested, and ends without the parent's exit handlers.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: sets a timer of this process.
            unsafe { libc::alarm(CHILD_SECONDS_MAX) };
            let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(false);
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!good)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: the status is written to a local.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
}

/// Ends a connection so that the peer's next write finds it broken: an end, and then a reset, which the peer's kernel
/// turns into EPIPE. The reset comes from taking the address away (connect(2), AF_UNSPEC).
pub fn reset(socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let len = libc::socklen_t::try_from(size_of::<libc::sockaddr>()).unwrap();
    // SAFETY: the address is a local of the right length.
    let done = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, len) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn is_login(kind: &Operation) -> bool {
    matches!(kind, Operation::Login(_))
}

/// The connections of this process, by what the kernel says of its descriptors.
fn sockets_to(port: u16) -> usize {
    (0..1024)
        .filter(|descriptor| {
            // SAFETY: the address is all zeros first, and the kernel writes at most its length.
            let (mut address, mut len) = (unsafe { std::mem::zeroed::<libc::sockaddr_in>() }, 16);
            // SAFETY: as above.
            let found = unsafe { libc::getpeername(*descriptor, (&raw mut address).cast(), &raw mut len) };
            found == 0 && u16::from_be(address.sin_port) == port
        })
        .count()
}

#[test]
fn a_child_begins_anew_and_its_parent_notices_nothing() {
    let world = World::new(1);
    let hsm = &world.hsms[0];
    let client = world.user();
    sign(&client).unwrap();
    assert_eq!(sockets_to(hsm.address.port()), 1);
    for child in 1..4 {
        assert!(in_child(|| {
            let signed = (0..3).all(|_| sign(&client).is_ok_and(|signature| signature == [7; 32]));
            // Its own connection is the only one it has left.
            signed && sockets_to(hsm.address.port()) == 1
        }));
        sign(&client).unwrap();
        assert_eq!(hsm.count(is_login), 1 + child, "the child logs in itself");
        assert_eq!(hsm.connections(), 1 + child, "the parent keeps its connection");
    }
}

#[test]
fn a_grandchild_begins_anew_too() {
    let world = World::new(2);
    let client = world.user();
    sign(&client).unwrap();
    assert!(in_child(|| sign(&client).is_ok() && in_child(|| sign(&client).is_ok()) && sign(&client).is_ok()));
    // A child that says nothing itself passes on what it was given.
    assert!(in_child(|| in_child(|| sign(&client).is_ok())));
    sign(&client).unwrap();
}

#[test]
fn a_login_is_forgotten_in_the_child() {
    let world = World::new(1);
    let client = world.client();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    sign(&client).unwrap();
    assert!(in_child(|| {
        let forgotten = client.logged_in().is_none() && matches!(sign(&client), Err(ClientError::NoCredentials));
        forgotten && client.login(&alice(), Role::CryptoUser, &password()).is_ok() && sign(&client).is_ok()
    }));
    assert!(client.logged_in().is_some());
    sign(&client).unwrap();
}

#[test]
fn a_child_may_drop_a_client_that_it_never_used() {
    let world = World::new(1);
    let client = world.user();
    sign(&client).unwrap();
    let mut held = Some(client.clone());
    drop(client);
    assert!(in_child(|| {
        drop(held.take());
        true
    }));
    let client = held.take().unwrap();
    sign(&client).unwrap();
    assert_eq!(world.hsms[0].connections(), 1);
}

#[test]
fn a_fork_amid_calls_of_other_threads_leaves_the_child_no_lock() {
    let world = World::new(2);
    let client = world.user();
    sign(&client).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    sign(&client).unwrap();
                }
            });
        }
        for _ in 0..20 {
            let good = in_child(|| sign(&client).is_ok());
            if !good {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(good);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_broken_connection_raises_no_signal() {
    let world = World::new(1);
    let client = world.user();
    let hsm = &world.hsms[0];
    assert!(in_child(|| {
        // SAFETY: Rust programs ignore SIGPIPE; the programs that load us may not.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        sign(&client).is_ok()
    }));
    hsm.script(|request| match request.operation {
        Some(Operation::Sign(_)) => Reaction::AnswerAndReset,
        _ => Reaction::Usual,
    });
    assert!(in_child(|| {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        for _ in 0..5 {
            if sign(&client).is_err() {
                return false;
            }
            wait_until_broken(hsm.address.port());
        }
        true
    }));
}

/// Waits until the connection to this port is reset.
fn wait_until_broken(port: u16) {
    let deadline = std::time::Instant::now() + crate::world::PATIENCE;
    while sockets_to(port) > 0 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
}

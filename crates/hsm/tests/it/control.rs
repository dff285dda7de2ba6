//! The control socket.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use strongroom_hsm::connections::ConnectionLimits;
use strongroom_types::Status;
use strongroom_types::limits::CONTROL_CONNECTIONS_MAX;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::world::{World, hello, wait_until};

#[test]
fn the_control_socket_comes_first_and_clients_after_the_certificate() {
    let world = World::new(ConnectionLimits::default());
    let mode = std::fs::metadata(world.control_socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut control = world.control();
    let Answer::ApplianceState(state) = control.ask(Operation::ApplianceState(v1::ApplianceState {})).unwrap() else {
        panic!("another answer")
    };
    assert_eq!((state.cluster_state.as_str(), state.serving), ("UNINITIALIZED", true));
    // One connection, many requests.
    control.ask(hello()).unwrap();
    world.install();
    let mut client = world.connect();
    assert_eq!(client.hello().state, "INITIALIZED");
    assert_eq!(client.ask(Operation::ApplianceState(v1::ApplianceState {})).err(), Some(Status::RoleNotPermitted));
}

#[test]
fn the_control_plane_has_so_many_connections_and_no_more() {
    let world = World::new(ConnectionLimits::default());
    let mut open: Vec<_> = (1..CONTROL_CONNECTIONS_MAX).map(|_| world.control()).collect();
    open.push(world.control());
    for control in &mut open {
        control.ask(hello()).unwrap();
    }
    assert!(world.control().is_closed());
    open.pop();
    wait_until("one is gone", || {
        let mut control = world.control();
        let state = v1::Request { id: 1, operation: Some(hello()), ..v1::Request::default() };
        let mut bytes = Vec::new();
        strongroom_wire::frame::encode(&state, &mut bytes).unwrap();
        // Closed already, perhaps.
        control.stream.write_all(&bytes).is_ok() && control.response().is_some()
    });
    for control in &mut open {
        control.ask(hello()).unwrap();
    }
}

#[test]
fn a_certificate_chain_longer_than_a_clients_first_frame_passes() {
    let world = World::new(ConnectionLimits::default());
    let message =
        v1::ApplianceInstallCertificate { certificate_pem: "x".repeat(20_000), trust_anchor_pem: "y".repeat(20_000) };
    let outcome = world.control().change(Operation::ApplianceInstallCertificate(message));
    assert_eq!(outcome.err(), Some(Status::CertificateInvalid));
}

#[test]
fn a_socket_left_behind_is_replaced_and_a_deep_folder_is_reached() {
    let deep = tempfile::tempdir().unwrap();
    let mut folder = deep.path().to_owned();
    for _ in 0..4 {
        folder.push("a-folder-with-a-rather-long-name-inside-another-one");
    }
    std::fs::create_dir_all(&folder).unwrap();
    // Sockets' addresses hold 108 bytes.
    assert!(folder.as_os_str().len() > 200);
    std::fs::write(folder.join("control.sock"), b"left behind").unwrap();
    let world = World::in_folder(&folder);
    let opened = std::fs::File::open(&folder).unwrap();
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}/control.sock", opened.as_raw_fd());
    std::os::unix::net::UnixStream::connect(path).unwrap();
    world.server.stop();
    assert!(!folder.join("control.sock").exists());
    assert!(TcpStream::connect(world.address).is_err());
}

//! Clients that take their time: before and after the handshake, inside a request, with an answer.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use strongroom_hsm::connections::ConnectionLimits;
use strongroom_wire::{frame, v1};

use crate::world::{Connection, LONG, World, hello, wait_until};

const FIRST_REQUEST_MAX: Duration = Duration::from_millis(300);

fn world() -> World {
    World::active(ConnectionLimits { first_request_max: FIRST_REQUEST_MAX, ..ConnectionLimits::default() })
}

/// Between two bytes. Far below the limit, and all bytes together take far longer.
const TICK: Duration = Duration::from_millis(20);

/// Waits a tick for the end of a connection.
fn has_ended(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(TICK)).unwrap();
    match socket.read(&mut [0; 1024]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// Writes a byte a tick until the HSM has enough of it, which it must before the bytes are over.
fn drip(socket: &mut TcpStream, bytes: &[u8]) {
    let began = Instant::now();
    for byte in bytes {
        if socket.write_all(&[*byte]).is_err() || has_ended(socket) {
            assert!(began.elapsed() >= FIRST_REQUEST_MAX, "{:?}", began.elapsed());
            return;
        }
        assert!(began.elapsed() < LONG);
    }
    panic!("all {} bytes were waited for", bytes.len());
}

/// What a TLS client would send at once.
fn bytes_of(connection: &mut Connection<StreamOwned<ClientConnection, TcpStream>>, plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    connection.stream.conn.writer().write_all(plain).unwrap();
    while connection.stream.conn.wants_write() {
        connection.stream.conn.write_tls(&mut bytes).unwrap();
    }
    bytes
}

#[test]
fn bytes_that_drip_move_no_deadline() {
    let world = world();
    // Before the handshake: a client's first message has over a thousand bytes.
    let mut client_hello = Vec::new();
    world.client().write_tls(&mut client_hello).unwrap();
    drip(&mut world.socket(), &client_hello);
    // After it, before the first request.
    let plain = {
        let mut bytes = Vec::new();
        let request = v1::Request { id: 1, operation: Some(hello()), ..v1::Request::default() };
        frame::encode(&request, &mut bytes).unwrap();
        bytes
    };
    let mut fresh = world.connect();
    let bytes = bytes_of(&mut fresh, &plain.repeat(2));
    drip(&mut fresh.stream.sock, &bytes);
    // Inside a later request, each byte of it in a record of its own.
    let mut later = world.connect();
    later.hello();
    let records: Vec<u8> = plain.iter().flat_map(|byte| bytes_of(&mut later, &[*byte])).collect();
    drip(&mut later.stream.sock, &records);
    wait_until("the log says so", || world.log().contains("no complete request came in time"));
    // Nobody else is concerned.
    world.connect().hello();
}

#[test]
fn a_handshake_that_stops_half_way_ends() {
    let world = world();
    let mut socket = world.socket();
    let mut client = world.client();
    client.write_tls(&mut socket).unwrap();
    // The HSM's whole flight comes; its client says nothing more.
    let began = Instant::now();
    let mut flight = Vec::new();
    socket.read_to_end(&mut flight).unwrap();
    assert!(flight.len() > 1_000, "{}", flight.len());
    assert!(began.elapsed() >= FIRST_REQUEST_MAX / 2 && began.elapsed() < LONG);
}

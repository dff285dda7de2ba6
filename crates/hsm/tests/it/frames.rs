//! What comes over a connection that is no request, or not one at a time.

use std::io::{Read, Write};

use prost::Message;
use strongroom_hsm::connections::ConnectionLimits;
use strongroom_types::Status;
use strongroom_types::limits::{FRAME_LEN_MAX, FRAME_LEN_MAX_BEFORE_LOGIN};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::{frame, v1};

use crate::world::{World, hello, long_request};

fn number(status: Status) -> u32 {
    status.number().into()
}

#[test]
fn garbage_before_tls_ends_the_connection_and_nothing_else() {
    let world = World::active(ConnectionLimits::default());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0xff; 64], &[0x16, 3, 1, 0xff, 0xff]] {
        let mut socket = world.socket();
        socket.write_all(garbage).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        // Perhaps an alert, then the end.
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.len() < 64, "{rest:?}");
    }
    assert_eq!(world.connect().hello().state, "ACTIVE");
    assert!(world.log().contains("TLS: "), "{}", world.log());
}

#[test]
fn frames_that_are_none_are_answered_and_close_the_connection() {
    let world = World::active(ConnectionLimits::default());
    let check = |bytes: &[u8], status: Status| {
        let mut client = world.connect();
        client.send_bytes(bytes);
        let response = client.response().expect("an answer");
        assert_eq!((response.id, response.status), (0, number(status)), "{bytes:?}");
        assert!(client.is_closed());
    };
    check(&[0, 0, 0, 0], Status::MalformedRequest);
    check(&[0, 0, 0, 3, 0xff, 0xff, 0xff], Status::MalformedRequest);
    check(&[0xff, 0xff, 0xff, 0xff], Status::FrameTooLong);
    check(&u32::try_from(FRAME_LEN_MAX_BEFORE_LOGIN + 1).unwrap().to_be_bytes(), Status::FrameTooLong);
    assert_eq!(world.connect().hello().state, "ACTIVE");
}

#[test]
fn an_operation_from_the_future_is_unknown_and_the_connection_goes_on() {
    let world = World::active(ConnectionLimits::default());
    let mut client = world.connect();
    let mut bytes = Vec::new();
    let request = v1::Request { id: 9, ..v1::Request::default() };
    // Field 1,000, a message.
    let content = [request.encode_to_vec(), vec![0xc2, 0x3e, 0x00]].concat();
    bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
    bytes.extend(content);
    client.send_bytes(&bytes);
    let response = client.response().unwrap();
    assert_eq!((response.id, response.status), (9, number(Status::OperationUnknown)));
    client.hello();
}

#[test]
fn a_request_cut_anywhere_ends_the_connection_without_an_answer() {
    let world = World::active(ConnectionLimits::default());
    let mut bytes = Vec::new();
    let request = v1::Request { id: 1, operation: Some(hello()), ..v1::Request::default() };
    frame::encode(&request, &mut bytes).unwrap();
    for len in 0..bytes.len() {
        let mut client = world.connect();
        client.send_bytes(&bytes[..len]);
        client.stream.conn.send_close_notify();
        client.stream.flush().unwrap();
        assert!(client.is_closed(), "{len}");
    }
    // Cut into single bytes it is still one request.
    let mut client = world.connect();
    for byte in &bytes {
        client.send_bytes(&[*byte]);
    }
    assert_eq!(client.response().unwrap().id, 1);
}

#[test]
fn requests_sent_together_are_answered_in_order() {
    let world = World::active(ConnectionLimits::default());
    let mut client = world.connect();
    let mut together = Vec::new();
    for id in 1..=50 {
        let mut bytes = Vec::new();
        let request = v1::Request { id, operation: Some(hello()), ..v1::Request::default() };
        frame::encode(&request, &mut bytes).unwrap();
        together.extend(bytes);
    }
    client.send_bytes(&together);
    for id in 1..=50 {
        assert_eq!(client.response().unwrap().id, id);
    }
}

#[test]
fn a_login_raises_the_limit_of_frames() {
    let world = World::active(ConnectionLimits::default());
    let mut client = world.connect();
    client.send(long_request(FRAME_LEN_MAX_BEFORE_LOGIN - 64));
    // Within the limit, so it is the content that is refused.
    assert_eq!(client.response().unwrap().status, number(Status::MalformedRequest));
    client.login_admin();
    client.send(long_request(FRAME_LEN_MAX - 64));
    assert_eq!(client.response().unwrap().status, number(Status::MalformedRequest));
    client.hello();
    let logout = Operation::Logout(v1::Logout {});
    client.change(logout).unwrap();
    client.send(long_request(FRAME_LEN_MAX_BEFORE_LOGIN));
    assert_eq!(client.response().unwrap().status, number(Status::FrameTooLong));
    assert!(client.is_closed());
}

#[test]
fn a_client_that_does_not_offer_the_protocol_gets_no_handshake() {
    use std::sync::Arc;
    let world = World::active(ConnectionLimits::default());
    let anchors = strongroom_crypto::certificates::Anchors::from_pem(
        world.ca.certificate().to_pem().as_bytes(),
        crate::world::now_s(),
    )
    .unwrap();
    let mut config = Arc::unwrap_or_clone(strongroom_crypto::tls::client_config(&anchors));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = rustls::pki_types::ServerName::IpAddress(world.address.ip().into());
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = world.socket();
    let outcome = loop {
        if let Err(error) = tls.complete_io(&mut socket) {
            break Err(error);
        }
        if !tls.is_handshaking() {
            break Ok(());
        }
    };
    assert!(outcome.is_err());
}

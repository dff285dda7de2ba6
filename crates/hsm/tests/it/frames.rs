//! What comes over a connection that is no request, or not one at a time.

use std::io::{Read, Write};
use std::sync::Arc;

use prost::Message;
use strongroom_crypto::certificates::Anchors;
use strongroom_hsm::connections::ConnectionLimits;
use strongroom_types::Status;
use strongroom_types::limits::{FRAME_LEN_MAX, FRAME_LEN_MAX_BEFORE_LOGIN};
use strongroom_wire::frame::PREFIX_LEN;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::{frame, v1};

use crate::world::{World, hello, request_of_len};

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
    let check = |has_login: bool, len: usize, expected: Status| {
        let mut client = world.connect();
        if has_login {
            client.login_admin();
        }
        let is_refused_by_length = expected == Status::FrameTooLong;
        let bytes = request_of_len(len);
        client.send_bytes(if is_refused_by_length { &bytes[..PREFIX_LEN] } else { &bytes });
        assert_eq!(client.response().unwrap().status, number(expected), "{len} bytes");
        if is_refused_by_length {
            assert!(client.is_closed());
        } else {
            client.hello();
        }
    };
    // Within the limit it is the content that is refused.
    for (has_login, max) in [(false, FRAME_LEN_MAX_BEFORE_LOGIN), (true, FRAME_LEN_MAX)] {
        check(has_login, max - 1, Status::MalformedRequest);
        check(has_login, max, Status::MalformedRequest);
        check(has_login, max + 1, Status::FrameTooLong);
    }
    // A logout lowers it again.
    let mut client = world.connect();
    client.login_admin();
    client.send_bytes(&request_of_len(FRAME_LEN_MAX_BEFORE_LOGIN + 1));
    assert_eq!(client.response().unwrap().status, number(Status::MalformedRequest));
    client.change(Operation::Logout(v1::Logout {})).unwrap();
    client.send_bytes(&request_of_len(FRAME_LEN_MAX_BEFORE_LOGIN + 1));
    assert_eq!(client.response().unwrap().status, number(Status::FrameTooLong));
    assert!(client.is_closed());
}

/// What is over the limit is refused by its length alone: nothing is waited for, nothing allocated.
#[test]
fn a_frame_that_is_too_long_is_refused_by_its_prefix() {
    let world = World::active(ConnectionLimits::default());
    let mut client = world.connect();
    client.login_admin();
    for len in [FRAME_LEN_MAX + 1, 1 << 31, usize::try_from(u32::MAX).unwrap()] {
        let mut client = world.connect();
        client.login_admin();
        client.send_bytes(&u32::try_from(len).unwrap().to_be_bytes());
        assert_eq!(client.response().unwrap().status, number(Status::FrameTooLong));
        assert!(client.is_closed());
    }
    client.hello();
}

#[test]
fn fields_of_every_size_are_taken_or_refused() {
    let world = World::active(ConnectionLimits::default());
    let mut client = world.connect();
    client.login_admin();
    let mut status = |request: v1::Request| {
        client.send(request);
        client.response().expect("the connection goes on").status
    };
    let plain = || v1::Request { operation: Some(hello()), ..v1::Request::default() };
    for deadline_ms in [0, 60_000, 60_001, u32::MAX] {
        assert_eq!(status(v1::Request { deadline_ms, ..plain() }), 0, "{deadline_ms}");
    }
    let logout = || Operation::Logout(v1::Logout {});
    for len in [0, 1, 15, 17, 32, 10_000] {
        let request = v1::Request { request_id: vec![7; len], operation: Some(logout()), ..v1::Request::default() };
        assert_eq!(status(request), number(Status::MalformedRequest), "{len}");
    }
    assert_eq!(
        status(v1::Request { session_keys: vec![v1::SessionKey::default(); 5], ..plain() }),
        number(Status::MalformedRequest)
    );
    // The numbers that tie answers to requests are the client's own: it may use one twice, and any.
    for id in [7, 7, 0, u64::MAX] {
        let mut bytes = Vec::new();
        frame::encode(&v1::Request { id, ..plain() }, &mut bytes).unwrap();
        client.send_bytes(&bytes);
        let response = client.response().unwrap();
        assert_eq!((response.id, response.status), (id, 0));
    }
}

#[test]
fn a_client_that_does_not_offer_the_protocol_gets_no_handshake() {
    let world = World::active(ConnectionLimits::default());
    let shake_hands = |alpn: &[&[u8]]| {
        let ca = world.ca.certificate().to_pem();
        let anchors = Anchors::from_pem(ca.as_bytes(), crate::world::now_s()).unwrap();
        let mut config = Arc::unwrap_or_clone(strongroom_crypto::tls::client_config(&anchors, None));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = rustls::pki_types::ServerName::IpAddress(world.address.ip().into());
        let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = world.socket();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        // The HSM may find out only then.
        let mut stream = rustls::StreamOwned::new(tls, socket);
        let mut bytes = Vec::new();
        let request = v1::Request { id: 1, operation: Some(hello()), ..v1::Request::default() };
        frame::encode(&request, &mut bytes).unwrap();
        stream.write_all(&bytes)?;
        stream.read_exact(&mut [0; 4])
    };
    shake_hands(&[b"h2", b"strongroom/1"]).unwrap();
    let others: [&[&[u8]]; 4] = [&[], &[b"h2"], &[b"strongroom/2"], &[b"strongroom/1.1", b"http/1.1"]];
    for alpn in others {
        assert!(shake_hands(alpn).is_err(), "{alpn:?}");
    }
}

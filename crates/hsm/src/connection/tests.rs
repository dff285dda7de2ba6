//! The pace of answers, what takes a place among large frames, and who waits for whom without a login.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::sync::Arc;

use strongroom_types::{CredentialId, LoginId, Role};
use strongroom_wire::v1::request::Operation;

use super::channel::Pace;
use super::*;
use crate::connections::{Connections, Endable};

const MAX: Duration = Duration::from_millis(60);

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

#[test]
fn places_for_large_frames_at_below_and_above_their_limits() {
    let large = large();
    let enter = |number| large.enter(user(number), Instant::now());
    let users = u8::try_from(LARGE_FRAMES_MAX / LARGE_FRAMES_EACH_MAX).unwrap();
    let mut places = Vec::new();
    for number in 0..users {
        for _ in 0..LARGE_FRAMES_EACH_MAX {
            places.push(enter(number).unwrap());
        }
        assert!(enter(number).is_err(), "more than one user may have");
    }
    assert_eq!(places.len(), LARGE_FRAMES_MAX);
    assert!(enter(users).is_err(), "more than all may have");
    places.pop();
    places.push(enter(users).unwrap());
    assert!(enter(users).is_err());
}

/// A channel on which nothing more comes.
struct Whole;

impl Channel for Whole {
    fn receive(&mut self, _: &mut Vec<u8>) -> Result<(), End> {
        panic!("the frame is whole")
    }

    fn send(&mut self, _: &[u8]) -> Result<(), End> {
        panic!("nothing is answered")
    }

    fn wait_until(&mut self, _: Option<Instant>) -> Result<(), End> {
        Ok(())
    }
}

#[test]
fn a_frame_takes_a_place_above_its_length_and_not_at_or_below() {
    let large = large();
    let takes_place = |len: usize| {
        let mut incoming = u32::try_from(len).unwrap().to_be_bytes().to_vec();
        incoming.resize(PREFIX_LEN + len, 0);
        let mut gate = Gate { large: Some((&large, user(1))), patience: MAX, place: None };
        let end = next_frame(&mut Whole, &mut incoming, 1024 * 1024, MAX, &mut false, &mut gate).unwrap();
        assert_eq!(end, PREFIX_LEN + len);
        gate.place.is_some()
    };
    let takes = [FRAME_LEN_LARGE - 1, FRAME_LEN_LARGE, FRAME_LEN_LARGE + 1].map(takes_place);
    assert_eq!(takes, [false, false, true]);
}

#[test]
fn of_a_frame_nothing_is_left() {
    let sign = v1::Sign { data: b"to be signed".to_vec(), ..v1::Sign::default() };
    let operation = Some(v1::request::Operation::Sign(sign));
    let asked = v1::Request { id: 7, operation, ..v1::Request::default() };
    let mut frame = Vec::new();
    frame::encode(&asked, &mut frame).unwrap();
    let (zeros, mut cut) = (vec![0; frame.len()], frame.clone());
    assert_eq!(request_of(&mut frame), Ok(asked));
    assert_eq!(frame, zeros);
    // One that cannot be read.
    *cut.last_mut().unwrap() ^= 0xff;
    cut[PREFIX_LEN] ^= 7;
    assert!(request_of(&mut cut).is_err());
    assert_eq!(cut, zeros);
}

/// Writes as a socket that takes a byte every now and then, until the pace is too slow.
#[test]
fn an_answer_that_goes_byte_by_byte_is_given_up() {
    let began = Instant::now();
    let shortest = Cell::new(MAX);
    let mut pace = Pace::new(MAX);
    let end = loop {
        let note = |left: Duration| {
            assert!(left <= shortest.replace(left), "the time that is left only shrinks");
            Ok(())
        };
        match pace.written(Ok(1), false, note) {
            Ok(1) => {}
            other => break other,
        }
        assert!(began.elapsed() < MAX * 100, "it goes on for ever");
    };
    assert!(matches!(end, Err(End::Unread)), "{end:?}");
    assert!(began.elapsed() >= MAX);
}

#[test]
fn an_answer_that_goes_in_time_leaves_the_socket_as_it_was() {
    let mut pace = Pace::new(MAX);
    // Whole at once: nothing is set.
    pace.written(Ok(10), true, |_| panic!("nothing is left")).unwrap();
    pace.done(|_| panic!("nothing was shortened")).unwrap();
    let mut pace = Pace::new(MAX);
    let set = Cell::new(Duration::ZERO);
    let note = |to: Duration| {
        set.set(to);
        Ok(())
    };
    pace.written(Ok(4), false, note).unwrap();
    assert!(set.get() > Duration::ZERO && set.get() <= MAX);
    pace.written(Ok(6), true, note).unwrap();
    pace.done(note).unwrap();
    assert_eq!(set.get(), MAX);
}

#[test]
fn ends_are_told_apart() {
    let check = |error: ErrorKind, is_expected: fn(&End) -> bool| {
        let end = Pace::new(MAX).written(Err(error.into()), false, |_| Ok(())).unwrap_err();
        assert!(is_expected(&end), "{error:?}: {end:?}");
    };
    check(ErrorKind::WouldBlock, |end| matches!(end, End::Unread));
    check(ErrorKind::TimedOut, |end| matches!(end, End::Unread));
    check(ErrorKind::BrokenPipe, |end| matches!(end, End::Closed));
    check(ErrorKind::ConnectionReset, |end| matches!(end, End::Closed));
    check(ErrorKind::PermissionDenied, |end| matches!(end, End::Io(_)));
    assert!(matches!(Pace::new(MAX).written(Ok(0), false, |_| Ok(())), Err(End::Closed)));
}

/// A socket that nobody ends.
struct Open;

impl Endable for Open {
    fn end(&self, _: Shutdown) {}
}

/// However many strangers ask, whoever comes with a ticket waits for others with tickets only.
#[test]
fn tickets_have_a_queue_of_their_own() {
    let gates = Gates::new(1);
    let origin = Origin::of("192.0.2.1".parse().unwrap());
    let connections = Connections::new(&ConnectionLimits::default());
    let mut entry = connections.enter(Arc::new(Open), origin).unwrap();
    let mut guest =
        Guest { entry: Some(&mut entry), gates: Some(&gates), patience: Duration::ZERO, login: None, refusals: 0 };
    let is_wanted = || true;
    let waits = |guest: &Guest<'_>, operation| {
        let request = v1::Request { operation: Some(operation), ..v1::Request::default() };
        guest.turn(&request, &is_wanted).map(drop).is_err_and(|refusal| refusal.status == Status::DeadlineExceeded)
    };
    let hello = || Operation::Hello(v1::Hello::default());
    let attach = || Operation::Attach(v1::Attach { ticket: vec![1] });
    let login = || Operation::Login(v1::Login::default());
    assert_eq!([hello(), attach(), login()].map(|operation| waits(&guest, operation)), [false, false, false]);
    let stranger = gates.strangers.enter(origin, Instant::now()).unwrap();
    assert_eq!([hello(), attach(), login()].map(|operation| waits(&guest, operation)), [true, false, false]);
    let other = gates.tickets.enter(origin, Instant::now()).unwrap();
    assert_eq!([hello(), attach(), login()].map(|operation| waits(&guest, operation)), [true, true, false]);
    drop(stranger);
    assert_eq!([hello(), attach(), login()].map(|operation| waits(&guest, operation)), [false, true, false]);
    // With a login nobody waits for either.
    let _stranger = gates.strangers.enter(origin, Instant::now()).unwrap();
    let user = user(1);
    let (login_id, credential) = (LoginId::from_bytes([2; 16]), CredentialId::from_bytes([3; 16]));
    guest.has_login(Some(LoginActor { login: login_id, user, credential, role: Role::CryptoUser, expires_ms: 0 }));
    assert_eq!([hello(), attach(), login()].map(|operation| waits(&guest, operation)), [false, false, false]);
    drop(other);
}

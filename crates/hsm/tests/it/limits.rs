//! How long and how many.

use std::io::Read;
use std::time::{Duration, Instant};

use strongroom_hsm::connections::ConnectionLimits;
use strongroom_types::Status;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::world::{LONG, PASSWORD, World, hello, wait_until};

#[test]
fn nobody_waits_for_ever_before_the_first_request() {
    let first_request_max = Duration::from_millis(300);
    let world = World::active(ConnectionLimits { first_request_max, ..ConnectionLimits::default() });
    // Silent, without even a handshake.
    let began = Instant::now();
    let mut silent = world.socket();
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0);
    assert!(began.elapsed() >= first_request_max && began.elapsed() < LONG);
    // With a handshake, and nothing after it.
    let mut idle = world.connect();
    assert!(idle.is_closed());
    // With half a request.
    let mut half = world.connect();
    half.send_bytes(&[0, 0]);
    assert!(half.is_closed());
    // With one request, then half of another: the second one's time counts from its beginning.
    let mut later = world.connect();
    later.hello();
    let began = Instant::now();
    later.send_bytes(&[0, 0]);
    assert!(later.is_closed());
    assert!(began.elapsed() >= first_request_max && began.elapsed() < LONG);
    assert!(world.log().contains("no complete request came in time"), "{}", world.log());
}

#[test]
fn after_a_request_a_connection_may_rest() {
    let first_request_max = Duration::from_millis(200);
    let world = World::active(ConnectionLimits { first_request_max, ..ConnectionLimits::default() });
    let mut rests = world.connect();
    rests.hello();
    // As long as it takes another connection to be closed for being idle, twice.
    for _ in 0..2 {
        assert!(world.connect().is_closed());
    }
    rests.hello();
}

#[test]
fn too_many_without_a_login_cost_the_one_that_waited_longest() {
    let world = World::active(ConnectionLimits { without_login_max: 3, ..ConnectionLimits::default() });
    let mut logged_in = world.connect();
    logged_in.login_admin();
    wait_until("earlier connections are gone", || world.connections() == 1);
    let mut waiting: Vec<_> = (0..3).map(|_| world.connect()).collect();
    waiting.iter_mut().for_each(|client| {
        client.hello();
    });
    let mut fourth = world.connect();
    fourth.hello();
    assert!(waiting[0].is_closed());
    waiting[1].hello();
    logged_in.hello();
    // Who logs out begins to wait then.
    logged_in.change(Operation::Logout(v1::Logout {})).unwrap();
    let mut fifth = world.connect();
    fifth.hello();
    assert!(waiting[1].is_closed());
    logged_in.hello();
    waiting[2].hello();
}

#[test]
fn a_full_hsm_turns_away_and_recovers() {
    let world = World::active(ConnectionLimits { connections_max: 4, ..ConnectionLimits::default() });
    wait_until("earlier connections are gone", || world.connections() == 0);
    let mut clients: Vec<_> = (0..4).map(|_| world.connect()).collect();
    clients.iter_mut().for_each(|client| client.login_admin());
    wait_until("four logins are known", || world.connections() == 4);
    assert!(world.try_connect().is_err());
    clients.iter_mut().for_each(|client| {
        client.hello();
    });
    clients.pop();
    wait_until("one is gone", || world.connections() == 3);
    world.connect().hello();
}

/// One crypto user, even one who was deleted, must not be able to keep admins and all others out.
#[test]
fn crypto_users_cannot_take_every_connection() {
    let world =
        World::active(ConnectionLimits { connections_max: 8, without_login_max: 2, ..ConnectionLimits::default() });
    wait_until("earlier connections are gone", || world.connections() == 0);
    let (role, user_name) = (v1::Role::CryptoUser.into(), |name: &str| name.to_owned());
    let login =
        |name| v1::Login { user_name: user_name(name), role, password: PASSWORD.into(), ..v1::Login::default() };
    let mut admin = world.connect();
    admin.login_admin();
    for name in ["alice", "bob"] {
        let create = v1::UserCreate { user_name: user_name(name), role, password: PASSWORD.into() };
        admin.change(Operation::UserCreate(create)).unwrap();
    }
    drop(admin);
    let mut tickets = Vec::new();
    let mut alice = Vec::new();
    for _ in 0..6 {
        let mut client = world.connect();
        match client.ask(Operation::Login(login("alice"))) {
            Ok(Answer::Login(made)) => tickets.push(made.ticket),
            _ => panic!("no login"),
        }
        alice.push(client);
    }
    // No login and no ticket helps over one more; the connections there are may log in again.
    let mut more = world.connect();
    assert_eq!(more.ask(Operation::Login(login("bob"))).err(), Some(Status::Busy));
    let attach = || Operation::Attach(v1::Attach { ticket: tickets[0].clone() });
    assert_eq!(more.ask(attach()).err(), Some(Status::Busy));
    assert!(alice[1].ask(attach()).is_ok());
    // An admin gets in.
    let mut admin = world.connect();
    admin.login_admin();
    admin.change(Operation::UserDelete(v1::UserDelete { user_name: user_name("alice"), role })).unwrap();
    // The first one in want of room ends what the deleted user holds.
    wait_until("there is room for bob", || more.ask(Operation::Login(login("bob"))).is_ok());
    assert!(alice.iter_mut().all(|client| client.is_closed()));
}

#[test]
fn a_client_that_reads_no_answers_is_cut_off() {
    let unread_max = Duration::from_millis(300);
    let world = World::active(ConnectionLimits { unread_max, ..ConnectionLimits::default() });
    wait_until("earlier connections are gone", || world.connections() == 0);
    let mut client = world.connect();
    let mut bytes = Vec::new();
    let request = v1::Request { id: 1, operation: Some(hello()), ..v1::Request::default() };
    strongroom_wire::frame::encode(&request, &mut bytes).unwrap();
    let many = bytes.repeat(1_000);
    use std::io::Write;
    client.stream.sock.set_write_timeout(Some(LONG)).unwrap();
    // The sockets' buffers fill up, then the server gives up.
    while client.stream.write_all(&many).and_then(|()| client.stream.flush()).is_ok() {}
    wait_until("it is gone", || world.connections() == 0);
    world.connect().hello();
}

#[test]
fn stopping_ends_all_connections_soon() {
    let world = World::active(ConnectionLimits::default());
    let mut client = world.connect();
    client.login_admin();
    let began = Instant::now();
    world.server.stop();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(client.is_closed());
    assert!(std::net::TcpStream::connect(world.address).is_err());
    assert!(!world.control_socket().exists());
    assert!(world.failures.try_recv().is_err());
}

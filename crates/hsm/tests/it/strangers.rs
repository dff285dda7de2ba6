//! Whoever comes without a login: how many, how often, and what it costs others.

use std::net::{IpAddr, Ipv4Addr, TcpStream};

use rustls::{ClientConnection, StreamOwned};
use strongroom_hsm::connections::ConnectionLimits;
use strongroom_types::Status;
use strongroom_types::limits::{CONNECTIONS_WITHOUT_LOGIN_MAX, REFUSALS_WITHOUT_LOGIN_MAX};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::world::{Connection, PASSWORD, World, hello, wait_until};

type Client = Connection<StreamOwned<ClientConnection, TcpStream>>;

/// Another host of this machine.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn guess() -> Operation {
    Operation::Login(v1::Login {
        user_name: "nobody".into(),
        role: v1::Role::Admin.into(),
        password: PASSWORD.into(),
        ..v1::Login::default()
    })
}

fn status(client: &mut Client, request: v1::Request) -> Option<Status> {
    client.send(request);
    Status::from_number(client.response().expect("an answer").status)
}

#[test]
fn the_last_of_so_many_refusals_ends_a_connection_without_a_login() {
    let world = World::active(ConnectionLimits::default());
    let mut stranger = world.connect();
    for _ in 1..REFUSALS_WITHOUT_LOGIN_MAX {
        assert_eq!(stranger.ask(guess()).err(), Some(Status::LoginFailed));
    }
    // One below the limit; what is answered counts for nothing.
    stranger.hello();
    assert_eq!(stranger.ask(guess()).err(), Some(Status::LoginFailed), "the last one is answered");
    assert!(stranger.is_closed());
    wait_until("the log says so", || world.log().contains("requests without a login were refused"));
    // A login ends the count, and with one there is none.
    let mut user = world.connect();
    for _ in 1..REFUSALS_WITHOUT_LOGIN_MAX {
        assert_eq!(user.ask(guess()).err(), Some(Status::LoginFailed));
    }
    user.login_admin();
    for _ in 0..=REFUSALS_WITHOUT_LOGIN_MAX {
        assert_eq!(
            user.change(Operation::KeyDelete(v1::KeyDelete { reference: 1 })).err(),
            Some(Status::RoleNotPermitted)
        );
    }
    user.change(Operation::Logout(v1::Logout {})).unwrap();
    for _ in 1..REFUSALS_WITHOUT_LOGIN_MAX {
        assert_eq!(user.ask(guess()).err(), Some(Status::LoginFailed));
    }
    user.hello();
}

/// The HSM asks the store whether there is such a revision, which costs it more than it costs to ask.
#[test]
fn a_revision_that_nobody_has_is_asked_for_a_few_times_only() {
    let world = World::active(ConnectionLimits::default());
    let from_the_future =
        |operation| v1::Request { operation: Some(operation), seen_revision: u64::MAX, ..v1::Request::default() };
    let mut stranger = world.connect();
    for _ in 0..REFUSALS_WITHOUT_LOGIN_MAX {
        assert_eq!(status(&mut stranger, from_the_future(hello())), Some(Status::StoreUnavailable));
    }
    assert!(stranger.is_closed());
    // It says what is wrong.
    let mut other = world.connect();
    other.send(from_the_future(hello()));
    let response = other.response().unwrap();
    assert_eq!(response.about, format!("revision {} is not in the store", u64::MAX));
    // What the HSM has is there.
    let request = v1::Request { seen_revision: response.revision, operation: Some(hello()), ..v1::Request::default() };
    assert_eq!(status(&mut other, request.clone()), None);
    let above = v1::Request { seen_revision: response.revision + 1, ..request };
    assert_eq!(status(&mut other, above), Some(Status::StoreUnavailable));
}

#[test]
fn of_256_without_a_login_the_one_that_waited_longest_goes() {
    let world = World::active(ConnectionLimits::default());
    wait_until("earlier connections are gone", || world.connections() == 0);
    let greeted = |world: &World| {
        let mut client = world.connect();
        client.hello();
        client
    };
    let mut waiting: Vec<Client> = (1..CONNECTIONS_WITHOUT_LOGIN_MAX).map(|_| greeted(&world)).collect();
    waiting.push(greeted(&world));
    assert_eq!(usize::try_from(world.connections()).unwrap(), CONNECTIONS_WITHOUT_LOGIN_MAX);
    waiting[0].hello();
    let mut above = greeted(&world);
    assert!(waiting[0].is_closed());
    waiting[1].hello();
    above.hello();
}

#[test]
fn a_stranger_elsewhere_closes_their_own_connections() {
    let world = World::active(ConnectionLimits { without_login_max: 4, ..ConnectionLimits::default() });
    wait_until("earlier connections are gone", || world.connections() == 0);
    let mut user = world.connect();
    user.hello();
    let mut strangers: Vec<Client> = Vec::new();
    for _ in 0..20 {
        let mut stranger = world.connect_from(ELSEWHERE);
        stranger.hello();
        strangers.push(stranger);
    }
    user.hello();
    user.login_admin();
    assert!(strangers[..16].iter_mut().all(Client::is_closed));
    strangers[19].hello();
}

/// Sockets that send the first message of a handshake and nothing else: fifty times what may wait.
#[test]
fn connections_that_were_ended_leave_the_queue_of_handshakes() {
    let world = World::active(ConnectionLimits { without_login_max: 8, ..ConnectionLimits::default() });
    wait_until("earlier connections are gone", || world.connections() == 0);
    let mut user = world.connect();
    user.login_admin();
    let mut sockets = Vec::new();
    for _ in 0..400 {
        let mut socket = world.socket_from(ELSEWHERE);
        let _ = world.client().write_tls(&mut socket);
        sockets.push(socket);
        user.hello();
    }
    // Long before their five seconds are over, they are gone for want of room; they do not wait for their turn.
    wait_until("what was ended is gone", || world.connections() <= 9);
    world.connect().hello();
}

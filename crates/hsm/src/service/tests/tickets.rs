//! Tickets over their life, on a clock that the story moves.

use strongroom_core::{LoginActor, Ticket};
use strongroom_types::limits::TICKET_SECONDS;
use strongroom_types::{ClusterId, CredentialId, Role, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use super::world::{CRYPTO_USER, Client, Member, World, change_password, refused, user_delete};

const TICKET_MS: u64 = TICKET_SECONDS * 1_000;
const LIST: Operation =
    Operation::KeyFind(v1::KeyFind { reference: 0, filter: Vec::new(), offset: 0, limit: 0, all_references: false });

fn advance(members: &[&Member], by_ms: u64) {
    for member in members {
        member.cluster.clock().move_by(by_ms.cast_signed());
    }
}

fn expiry(client: &Client<'_>) -> u64 {
    client.session.login().unwrap().expires_ms
}

#[test]
fn a_login_in_use_goes_on_for_ever() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut alice = Client::alice(&first);
    let mut ticket = alice.ticket.clone();
    advance(&[&first, &second], TICKET_MS / 2 - 60_000);
    alice.ask(LIST).unwrap();
    assert_eq!(alice.ticket, ticket, "not half used up yet");
    let began_ms = expiry(&alice);
    for round in 0..10 {
        advance(&[&first, &second], if round == 0 { 120_000 } else { TICKET_MS / 2 + 60_000 });
        // In turn on each member; a refusal brings no ticket.
        let mut client = Client::of([&first, &second][round % 2]);
        client.attach(&ticket).unwrap();
        assert_ne!(client.ticket, ticket, "renewed by the answer that found half of it used up");
        assert!(!client.ticket.is_empty());
        ticket.clone_from(&client.ticket);
        client.ask(LIST).unwrap();
        assert_eq!(client.ticket, ticket, "renewed once");
        assert!(expiry(&client) > began_ms);
    }
    // The connection that slept meanwhile has its first ticket still.
    refused(alice.ask(LIST), Status::LoginEnded);
    alice.attach(&ticket).unwrap();
    alice.ask(LIST).unwrap();
}

#[test]
fn a_ticket_ends_at_its_time_and_not_before() {
    let (world, first) = World::active();
    let second = world.member(2);
    let alice = Client::alice(&first);
    let expires_ms = first.cluster.now_ms() + 60_000;
    let short = LoginActor { expires_ms, ..alice.session.login().unwrap() };
    let ticket = Ticket::issue(&first.cluster.state(), short, first.cluster.now_ms()).unwrap();
    let sealed = first.cluster.sealer().seal_ticket(&ticket.encode());
    for member in [&first, &second] {
        Client::of(member).attach(&sealed).unwrap();
        advance(&[member], 60_001);
        refused(Client::of(member).attach(&sealed), Status::LoginEnded);
    }
}

#[test]
fn tickets_that_tell_something_else_than_the_cluster_are_refused() {
    let (world, first) = World::active();
    let second = world.member(2);
    let alice = Client::alice(&first);
    let state = first.cluster.state().clone();
    let good = Ticket::issue(&state, alice.session.login().unwrap(), first.cluster.now_ms()).unwrap();
    let seal = |ticket: &Ticket| first.cluster.sealer().seal_ticket(&ticket.encode());
    for member in [&first, &second] {
        let check = |ticket: Ticket| refused(Client::of(member).attach(&seal(&ticket)), Status::LoginEnded);
        Client::of(member).attach(&seal(&good)).unwrap();
        check(Ticket { cluster: ClusterId::from_random([9; 7]), ..good.clone() });
        check(Ticket { epoch: good.epoch + 1, ..good.clone() });
        check(Ticket { role: Role::Admin, ..good.clone() });
        check(Ticket { credential: CredentialId::from_bytes([9; 16]), ..good.clone() });
        check(Ticket { user: strongroom_types::UserId::from_bytes([9; 16]), ..good.clone() });
        check(Ticket { issued_ms: 0, expires_ms: 1, ..good.clone() });
        for bytes in [&b""[..], &[0], &[2], b"not a ticket", &good.encode()] {
            refused(Client::of(member).attach(&first.cluster.sealer().seal_ticket(bytes)[1..]), Status::LoginEnded);
            refused(Client::of(member).attach(bytes), Status::LoginEnded);
        }
    }
}

#[test]
fn tickets_of_ended_logins_are_refused_by_every_member() {
    let story = |end: &dyn Fn(&mut Client<'_>)| {
        let (world, first) = World::active();
        let second = world.member(2);
        let mut alice = Client::alice(&first);
        let ticket = alice.ticket.clone();
        let mut other = Client::alice(&second);
        end(&mut alice);
        for member in [&first, &second, &world.member(3)] {
            refused(Client::of(member).attach(&ticket), Status::LoginEnded);
        }
        other.ask(LIST).map_err(|refusal| refusal.status)
    };
    // Another login of the same user ends with the user and the password, not with this logout.
    let logout = Operation::Logout(v1::Logout {});
    assert!(story(&|alice| drop(alice.change(logout.clone()).unwrap())).is_ok());
    let deleted = story(&|alice| drop(Client::admin(alice.member).change(user_delete("alice")).unwrap()));
    assert_eq!(deleted.err(), Some(Status::LoginEnded));
    let password = || change_password("alice", CRYPTO_USER, "correct horse");
    let changed = story(&|alice| drop(Client::admin(alice.member).change(password()).unwrap()));
    assert_eq!(changed.err(), Some(Status::LoginEnded));
    let own = story(&|alice| drop(alice.change(password()).unwrap()));
    assert_eq!(own.err(), Some(Status::LoginEnded));
}

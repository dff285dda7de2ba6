//! Passwords, tickets, roles.

use strongroom_store::CommitFault;
use strongroom_types::Status;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::{ADMIN, CRYPTO_USER, Client, Member, PASSWORD, World, aes, change_password, refused, user_create};

const NEW: &str = "correct horse";
const LOGOUT: Operation = Operation::Logout(v1::Logout {});

fn failures(member: &Member) -> u32 {
    member.cluster.state().user_named(&"alice".parse().unwrap()).unwrap().failures
}

#[test]
fn what_is_wrong_with_a_login_is_not_told() {
    let (_world, member) = World::active();
    let mut client = Client::of(&member);
    let mut check = |name: &str, role: i32, password: &str| {
        refused(client.login(name, role, password), Status::LoginFailed);
        assert!(!client.session.has_login());
    };
    check("alice", CRYPTO_USER, "wrong password");
    check("alice", ADMIN, PASSWORD);
    check("nobody", CRYPTO_USER, PASSWORD);
    check("no name", CRYPTO_USER, PASSWORD);
    check("app_user", v1::Role::ApplianceUser.into(), PASSWORD);
    check("alice", CRYPTO_USER, "");
    refused(client.login("alice", 77, PASSWORD), Status::MalformedRequest);
    assert_eq!(failures(&member), 2);
    let login = client.login("ALICE", CRYPTO_USER, PASSWORD).unwrap();
    assert_eq!((login.user_name.as_str(), login.role), ("alice", CRYPTO_USER));
    assert_eq!(failures(&member), 0);
    let log = std::fs::read_to_string(&member.log).unwrap();
    assert!(log.contains("login of alice as crypto-user from 127.0.0.9:4711"), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains("wrong password:"), "{log}");
}

#[test]
fn five_wrong_passwords_lock_and_an_admin_unlocks() {
    let (_world, member) = World::active();
    let mut before = Client::alice(&member);
    let mut client = Client::of(&member);
    for _ in 0..5 {
        refused(client.login("alice", CRYPTO_USER, "wrong password"), Status::LoginFailed);
    }
    refused(client.login("alice", CRYPTO_USER, PASSWORD), Status::UserLocked);
    // A lock ends no login.
    before.change(aes("made while locked")).unwrap();
    Client::admin(&member).change(change_password("alice", CRYPTO_USER, NEW)).unwrap();
    refused(client.login("alice", CRYPTO_USER, PASSWORD), Status::LoginFailed);
    client.login("alice", CRYPTO_USER, NEW).unwrap();
    refused(before.change(aes("too late")), Status::LoginEnded);
    assert!(!before.session.has_login());
}

#[test]
fn a_wrong_password_that_cannot_be_counted_tells_nothing() {
    let (_world, member) = World::active();
    let mut client = Client::of(&member);
    member.door.set_unavailable(true);
    let short = |password: &str| v1::Request {
        deadline_ms: 300,
        operation: Some(Operation::Login(v1::Login {
            user_name: "alice".into(),
            role: CRYPTO_USER,
            password: password.into(),
            ..v1::Login::default()
        })),
        ..v1::Request::default()
    };
    let is_unavailable = |status| matches!(status, Status::StoreUnavailable | Status::DeadlineExceeded);
    let first = client.send(short("wrong password")).err().unwrap();
    assert!(is_unavailable(first.status), "{first}");
    // Now the right one is not tried either.
    let second = client.send(short(PASSWORD)).err().unwrap();
    assert!(is_unavailable(second.status), "{second}");
    member.door.set_unavailable(false);
    client.login("alice", CRYPTO_USER, PASSWORD).unwrap();
}

#[test]
fn a_login_needs_no_store() {
    let (_world, member) = World::active();
    member.door.set_unavailable(true);
    Client::alice(&member);
    member.door.set_unavailable(false);
}

#[test]
fn a_wrong_password_is_counted_when_its_commit_conflicts() {
    let (_world, member) = World::active();
    for fault in [CommitFault::Conflict, CommitFault::UnknownApplied, CommitFault::UnknownLost] {
        let before = failures(&member);
        member.door.fail_next_commit(fault);
        refused(Client::of(&member).login("alice", CRYPTO_USER, "wrong password"), Status::LoginFailed);
        assert_eq!(failures(&member), before + 1, "{fault:?}");
    }
}

#[test]
fn a_ticket_is_good_on_every_member_until_logout() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut here = Client::alice(&first);
    let ticket = here.ticket.clone();
    let mut there = Client::of(&second);
    let Answer::Attach(attached) = there.attach(&ticket).unwrap() else { panic!("another answer") };
    assert_eq!((attached.user_name.as_str(), attached.role), ("alice", CRYPTO_USER));
    there.change(aes("made there")).unwrap();
    here.change(LOGOUT).unwrap();
    assert!(!here.session.has_login());
    refused(here.change(aes("after logout")), Status::NotLoggedIn);
    refused(there.change(aes("after logout")), Status::LoginEnded);
    refused(Client::of(&first).attach(&ticket), Status::LoginEnded);
}

#[test]
fn tickets_that_were_changed_or_are_anothers_are_refused() {
    let (_world, member) = World::active();
    let (_other_world, other) = World::active();
    let foreign = Client::alice(&other).ticket;
    let ticket = Client::alice(&member).ticket;
    refused(Client::of(&member).attach(&foreign), Status::LoginEnded);
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        refused(Client::of(&member).attach(&changed), Status::LoginEnded);
        refused(Client::of(&member).attach(&ticket[..at]), Status::LoginEnded);
    }
    let mut client = Client::of(&member);
    client.attach(&ticket).unwrap();
    // A ticket that is refused takes no login away.
    refused(client.attach(&foreign), Status::LoginEnded);
    assert!(client.session.has_login());
    client.change(aes("still there")).unwrap();
}

#[test]
fn who_changes_their_own_password_stays_logged_in() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let mut elsewhere = Client::of(&member);
    elsewhere.attach(&alice.ticket).unwrap();
    let old = alice.ticket.clone();
    alice.change(change_password("alice", CRYPTO_USER, NEW)).unwrap();
    assert_ne!(alice.ticket, old);
    alice.change(aes("still here")).unwrap();
    refused(elsewhere.change(aes("old login")), Status::LoginEnded);
    elsewhere.attach(&alice.ticket).unwrap();
    elsewhere.change(aes("new login")).unwrap();
    refused(Client::of(&member).login("alice", CRYPTO_USER, PASSWORD), Status::LoginFailed);
    // Another's password renews nothing.
    let mut admin = Client::admin(&member);
    let before = admin.ticket.clone();
    admin.change(change_password("alice", CRYPTO_USER, PASSWORD)).unwrap();
    assert_eq!(admin.ticket, before);
}

#[test]
fn a_repeat_finds_its_receipt_though_its_login_has_ended() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut alice = Client::alice(&first);
    let old = alice.ticket.clone();
    let own = || change_password("alice", CRYPTO_USER, NEW);
    alice.change_as(&[1; 16], own()).unwrap();
    let renewed = alice.ticket.clone();
    // The answer was lost: the client asks another member, with what it has.
    let mut again = Client::of(&second);
    refused(again.attach(&old), Status::LoginEnded);
    assert!(!again.session.has_login());
    refused(again.change(aes("with an ended login")), Status::LoginEnded);
    refused(again.change_as(&[1; 16], change_password("alice", CRYPTO_USER, "another one")), Status::LoginEnded);
    again.change_as(&[1; 16], own()).unwrap();
    assert!(again.session.has_login() && !again.ticket.is_empty());
    again.change(aes("after the repeat")).unwrap();
    // The same for a logout.
    alice.change_as(&[2; 16], LOGOUT).unwrap();
    let mut repeat = Client::of(&second);
    refused(repeat.attach(&renewed), Status::LoginEnded);
    repeat.change_as(&[2; 16], LOGOUT).unwrap();
    refused(repeat.change(aes("after logout")), Status::NotLoggedIn);
}

#[test]
fn a_ticket_past_half_its_life_is_renewed_in_an_answer() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    alice.change(aes("young")).unwrap();
    let first = alice.ticket.clone();
    let login = alice.session.login().unwrap();
    let soon = strongroom_core::LoginActor { expires_ms: member.cluster.now_ms() + 60_000, ..login };
    alice.session.logged_in(soon);
    alice.change(aes("old")).unwrap();
    assert_ne!(alice.ticket, first);
    assert!(alice.session.login().unwrap().expires_ms > soon.expires_ms);
    let ticket = alice.ticket.clone();
    alice.change(aes("young again")).unwrap();
    assert_eq!(alice.ticket, ticket);
    // One that ran out is not renewed.
    let over = strongroom_core::LoginActor { expires_ms: 1, ..login };
    alice.session.logged_in(over);
    refused(alice.change(aes("over")), Status::LoginEnded);
    assert_eq!(alice.ticket, ticket);
}

#[test]
fn roles_may_do_what_the_table_says() {
    let (_world, member) = World::active();
    let check = |client: &mut Client<'_>, operation: Operation, expected| {
        refused(client.change(operation), expected);
    };
    let sign = || Operation::Sign(v1::Sign { key: 1, mechanism: 4, data: vec![1; 32], ..v1::Sign::default() });
    let none = &mut Client::of(&member);
    check(none, sign(), Status::NotLoggedIn);
    check(none, Operation::Sign(v1::Sign { mechanism: 4, ..v1::Sign::default() }), Status::NotLoggedIn);
    check(none, aes("none"), Status::NotLoggedIn);
    check(none, LOGOUT, Status::NotLoggedIn);
    check(none, Operation::KeyFind(v1::KeyFind::default()), Status::NotLoggedIn);
    check(none, user_create("carol", PASSWORD), Status::NotLoggedIn);
    check(none, Operation::ApplianceCsr(v1::ApplianceCsr {}), Status::WrongClusterState);
    let install = || Operation::ApplianceInstallCertificate(v1::ApplianceInstallCertificate::default());
    check(none, install(), Status::WrongClusterState);
    let admin = &mut Client::admin(&member);
    check(admin, sign(), Status::RoleNotPermitted);
    check(admin, aes("admin"), Status::RoleNotPermitted);
    let alice = &mut Client::alice(&member);
    check(alice, user_create("carol", PASSWORD), Status::RoleNotPermitted);
    check(alice, change_password("bob", CRYPTO_USER, PASSWORD), Status::RoleNotPermitted);
    let appliance = &mut Client::appliance(&member);
    let login = v1::Login { user_name: "admin".into(), role: ADMIN, password: PASSWORD.into(), ..v1::Login::default() };
    check(appliance, Operation::Login(login), Status::RoleNotPermitted);
    check(appliance, Operation::Attach(v1::Attach { ticket: Vec::new() }), Status::RoleNotPermitted);
    check(appliance, sign(), Status::RoleNotPermitted);
    check(appliance, user_create("carol", PASSWORD), Status::RoleNotPermitted);
}

//! What the service says of client certificates, by the statuses of the wire.

use strongroom_crypto::certificates::CustomerCa;
use strongroom_types::Status;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::super::Session;
use super::world::{ADMIN, Client, Member, PASSWORD, World, now_s, private, refused, user_create};

fn register(chain_pem: &[u8]) -> Operation {
    Operation::MtlsRegisterTrustAnchor(v1::MtlsRegisterTrustAnchor { chain_pem: chain_pem.to_vec() })
}

fn deregister(reference: u32) -> Operation {
    Operation::MtlsDeregisterTrustAnchor(v1::MtlsDeregisterTrustAnchor { reference })
}

fn set(level: i32) -> Operation {
    Operation::MtlsSetEnforcement(v1::MtlsSetEnforcement { level })
}

const CLUSTER: i32 = v1::MtlsEnforcement::Cluster as i32;

fn level(client: &mut Client<'_>) -> i32 {
    match client.ask(Operation::MtlsGetEnforcement(v1::MtlsGetEnforcement {})).unwrap() {
        Answer::MtlsGetEnforcement(result) => result.level,
        _ => panic!("another answer"),
    }
}

fn listed(client: &mut Client<'_>) -> Vec<(u32, String)> {
    match client.ask(Operation::MtlsListTrustAnchors(v1::MtlsListTrustAnchors {})).unwrap() {
        Answer::MtlsListTrustAnchors(list) => {
            list.trust_anchors.into_iter().map(|anchor| (anchor.reference, anchor.chain_pem)).collect()
        }
        _ => panic!("another answer"),
    }
}

/// An admin over a connection whose certificate was under the anchor of this number.
fn shown(member: &Member, reference: u32) -> Client<'_> {
    let state = member.cluster.state();
    let anchor = state.trust_anchors().find(|anchor| u32::from(anchor.reference.as_u8()) == reference).unwrap();
    let session = Session::of_client("127.0.0.9:4711".parse().unwrap(), Some(anchor.fingerprint));
    let mut client = Client { session, ..Client::of(member) };
    client.login("admin", ADMIN, PASSWORD).unwrap();
    client
}

#[test]
fn an_anchor_is_checked_by_who_may_register_it_and_shown_to_everybody() {
    let (_world, member) = World::active();
    let ca = CustomerCa::generate(now_s()).certificate().to_pem();
    let with_text = format!("Some words\n{ca}and more\n");
    let mut admin = Client::admin(&member);
    match admin.change(register(with_text.as_bytes())).unwrap() {
        Answer::MtlsRegisterTrustAnchor(anchor) => assert_eq!((anchor.reference, anchor.chain_pem), (1, ca.clone())),
        _ => panic!("another answer"),
    }
    assert_eq!(listed(&mut Client::of(&member)), [(1, ca.clone())]);
    assert!(refused(admin.change(register(ca.as_bytes())), Status::TrustAnchorInvalid).contains("0x01"));
    for (chain, about) in [(&b"nothing"[..], "BEGIN CERTIFICATE"), (&[b'\n'; 6_981], "6980 bytes")] {
        assert!(refused(admin.change(register(chain)), Status::TrustAnchorInvalid).contains(about));
        // Who may not is not told what is wrong with it.
        refused(Client::alice(&member).change(register(chain)), Status::RoleNotPermitted);
        refused(Client::of(&member).change(register(chain)), Status::NotLoggedIn);
    }
    for reference in [0, 2, 256, u32::MAX] {
        refused(admin.change(deregister(reference)), Status::TrustAnchorUnknown);
    }
    refused(admin.change(set(0)), Status::MalformedRequest);
    refused(admin.change(set(CLUSTER)), Status::ClientCertificateRequired);
    admin.change(deregister(1)).unwrap();
    assert_eq!(listed(&mut Client::of(&member)), []);
}

#[test]
fn a_connection_that_may_be_no_more_is_told_so_before_anything_else_on_every_member() {
    let (world, first) = World::active();
    let second = world.member(2);
    let ca = CustomerCa::generate(now_s()).certificate().to_pem();
    let mut plain = Client::alice(&second);
    let key = private(&plain.ec_pair("a key"));
    Client::admin(&first).change(register(ca.as_bytes())).unwrap();
    plain.sign_ecdsa(key).unwrap();
    let (mut admin, mut there) = (shown(&first, 1), shown(&second, 1));
    admin.change(set(CLUSTER)).unwrap();
    let required = Status::ClientCertificateRequired;
    assert!(refused(plain.sign_ecdsa(key), required).contains("mutual TLS is enforced"));
    assert!(plain.session.is_over());
    let mut stranger = Client::of(&second);
    refused(stranger.ask(Operation::Hello(v1::Hello::default())), required);
    refused(stranger.send(v1::Request::default()), required);
    refused(stranger.send(v1::Request { request_id: vec![1], ..v1::Request::default() }), required);
    refused(stranger.ask(Operation::ApplianceState(v1::ApplianceState {})), required);
    assert_eq!(level(&mut there), CLUSTER);
    Client::appliance(&second).ask(Operation::ApplianceState(v1::ApplianceState {})).unwrap();
    there.change(user_create("carol", PASSWORD)).unwrap();
    // Another anchor, and then not this one any more.
    let other = CustomerCa::generate(now_s()).certificate().to_pem();
    admin.change(register(other.as_bytes())).unwrap();
    let own = refused(admin.change(deregister(1)), Status::TrustAnchorInUse);
    assert!(own.contains("connect with a certificate under the other one first"), "{own}");
    shown(&first, 2).change(deregister(1)).unwrap();
    assert!(refused(there.change(user_create("dora", PASSWORD)), required).contains("deregistered"));
    refused(admin.change(user_create("dora", PASSWORD)), required);
    let mut last = shown(&second, 2);
    refused(last.change(deregister(2)), Status::TrustAnchorInUse);
    last.change(set(v1::MtlsEnforcement::None.into())).unwrap();
    Client::alice(&first).sign_ecdsa(key).unwrap();
}

#[test]
fn a_repeat_is_answered_over_another_connection() {
    let (_world, member) = World::active();
    let ca = CustomerCa::generate(now_s()).certificate().to_pem();
    let mut admin = Client::admin(&member);
    let id = [7; 16];
    for _ in 0..2 {
        match admin.change_as(&id, register(ca.as_bytes())).unwrap() {
            Answer::MtlsRegisterTrustAnchor(anchor) => assert_eq!(anchor.reference, 1),
            _ => panic!("another answer"),
        }
    }
    let mut own = shown(&member, 1);
    own.change_as(&[8; 16], deregister(1)).unwrap();
    // Over the connection that it ended it would not be.
    refused(own.change_as(&[8; 16], deregister(1)), Status::ClientCertificateRequired);
    Client::admin(&member).change_as(&[8; 16], deregister(1)).unwrap();
    refused(Client::admin(&member).change_as(&id, register(ca.as_bytes())), Status::TrustAnchorUnknown);
}

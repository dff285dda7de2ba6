//! Two members, and a store that is out of reach.

use strongroom_types::Status;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use super::world::{CRYPTO_USER, Client, PASSWORD, World, aes, key_delete, private, refused, user_create};

#[test]
fn what_is_granted_on_one_member_is_there_on_the_other() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut there = Client::alice(&second);
    let mut here = Client::alice(&first);
    for round in 0..20 {
        let pair = here.ec_pair(&format!("round {round}"));
        // `there` has seen nothing of it.
        there.sign_ecdsa(private(&pair)).unwrap();
    }
    Client::admin(&first).change(user_create("carol", PASSWORD)).unwrap();
    Client::of(&second).login("carol", CRYPTO_USER, PASSWORD).unwrap();
    let found = there.find(v1::KeyFind::default()).unwrap();
    assert_eq!(found.total, 40);
}

#[test]
fn what_is_revoked_on_one_member_is_gone_on_all() {
    let (world, first) = World::active();
    let second = world.member(2);
    let (mut here, mut there) = (Client::alice(&first), Client::alice(&second));
    for round in 0..20 {
        let pair = here.ec_pair(&format!("round {round}"));
        there.sign_ecdsa(private(&pair)).unwrap();
        here.change(key_delete(private(&pair))).unwrap();
        assert_eq!(second.keys.len(), 0);
        refused(there.sign_ecdsa(private(&pair)), Status::KeyUnknown);
    }
}

#[test]
fn without_the_store_keys_sign_and_absence_is_not_claimed() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let pair = alice.ec_pair("one");
    member.door.set_unavailable(true);
    alice.sign_ecdsa(private(&pair)).unwrap();
    refused(alice.sign_ecdsa(0xabcdef), Status::StoreUnavailable);
    refused(Client::of(&member).login("nobody", CRYPTO_USER, PASSWORD), Status::StoreUnavailable);
    let found = alice.find(v1::KeyFind { limit: 10, ..v1::KeyFind::default() }).unwrap();
    assert_eq!(found.total, 2);
    Client::of(&member).ask(Operation::Hello(v1::Hello::default())).unwrap();
    Client::of(&member).ask(Operation::UserList(v1::UserList {})).unwrap();
    Client::of(&member).ask(Operation::ClusterInfo(v1::ClusterInfo {})).unwrap();
    let request = v1::Request {
        deadline_ms: 300,
        request_id: vec![3; 16],
        operation: Some(aes("unmade")),
        ..v1::Request::default()
    };
    let refusal = alice.send(request.clone()).err().unwrap();
    assert!(matches!(refusal.status, Status::StoreUnavailable | Status::DeadlineExceeded), "{refusal}");
    member.door.set_unavailable(false);
    alice.send(v1::Request { deadline_ms: 0, ..request }).unwrap();
    assert_eq!(member.cluster.state().keys_len(), 3);
}

#[test]
fn many_clients_at_once_each_get_their_own() {
    let (world, first) = World::active();
    let second = world.member(2);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let member = if number % 2 == 0 { &first } else { &second };
            scope.spawn(move || {
                let mut alice = Client::alice(member);
                for round in 0..4 {
                    let pair = alice.ec_pair(&format!("{number}-{round}"));
                    alice.sign_ecdsa(private(&pair)).unwrap();
                    if round % 2 == 0 {
                        alice.change(key_delete(private(&pair))).unwrap();
                        refused(alice.sign_ecdsa(private(&pair)), Status::KeyUnknown);
                    }
                }
            });
        }
    });
    let total = Client::alice(&first).find(v1::KeyFind::default()).unwrap().total;
    assert_eq!(total, 8 * (4 * 2 - 2));
}

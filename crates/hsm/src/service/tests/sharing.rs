//! Sharing and changing keys, on two members that share a store.

use strongroom_types::Status;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use super::world::{
    ADMIN, CRYPTO_USER, Client, World, key_delete, key_share, key_unshare, label, private, public, refused, set_flag,
};

#[test]
fn a_share_holds_on_every_member_and_so_does_its_end() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut alice = Client::alice(&first);
    let mut bobs = [Client::logged_in(&first, "bob", CRYPTO_USER), Client::logged_in(&second, "bob", CRYPTO_USER)];
    let key = private(&alice.ec_pair("shared"));
    for _ in 0..20 {
        for bob in &mut bobs {
            refused(bob.sign_ecdsa(key), Status::KeyUnknown);
        }
        alice.change(key_share(key, "bob")).unwrap();
        for bob in &mut bobs {
            bob.sign_ecdsa(key).unwrap();
        }
        alice.change(key_unshare(key, "bob")).unwrap();
        // Not even in clear: the record is another one now.
        assert_eq!((first.keys.len(), second.keys.len()), (0, 0));
    }
    alice.change(key_share(key, "bob")).unwrap();
    alice.sign_ecdsa(key).unwrap();
    for bob in &mut bobs {
        bob.sign_ecdsa(key).unwrap();
        refused(bob.change(key_share(key, "bob")), Status::KeyNotOwned);
        refused(bob.change(key_unshare(key, "bob")), Status::KeyNotOwned);
        refused(bob.change(set_flag(key, "sign", false)), Status::KeyNotOwned);
        refused(bob.change(key_delete(key)), Status::KeyNotOwned);
        let found = bob.find(v1::KeyFind { reference: key, limit: 1, ..Default::default() }).unwrap();
        assert_eq!(
            (found.keys[0].owner.as_str(), found.keys[0].shared_with.as_slice()),
            ("alice", &["bob".into()][..])
        );
    }
    // A user who is gone has no login to use the key with.
    let delete = v1::UserDelete { user_name: "bob".into(), role: CRYPTO_USER };
    Client::admin(&second).change(Operation::UserDelete(delete)).unwrap();
    for bob in &mut bobs {
        refused(bob.sign_ecdsa(key), Status::LoginEnded);
    }
    let found = alice.find(v1::KeyFind { reference: key, limit: 1, ..Default::default() }).unwrap();
    assert!(found.keys[0].shared_with.is_empty());
    refused(alice.change(key_unshare(key, "bob")), Status::UserUnknown);
}

#[test]
fn an_attribute_acts_on_keys_that_were_parsed_before() {
    let (world, first) = World::active();
    let second = world.member(2);
    let (mut here, mut there) = (Client::alice(&first), Client::alice(&second));
    let key = private(&here.ec_pair("one"));
    for _ in 0..20 {
        here.sign_ecdsa(key).unwrap();
        there.sign_ecdsa(key).unwrap();
        here.change(set_flag(key, "sign", false)).unwrap();
        assert_eq!((first.keys.len(), second.keys.len()), (0, 0));
        for client in [&mut here, &mut there] {
            assert_eq!(refused(client.sign_ecdsa(key), Status::KeyFunctionNotPermitted), "sign");
        }
        there.change(set_flag(key, "sign", true)).unwrap();
    }
    let rename = Operation::KeySetAttribute(v1::KeySetAttribute { reference: key, attribute: Some(label("two")) });
    here.change(rename).unwrap();
    let named = |text| v1::KeyFind { filter: vec![label(text)], limit: 9, ..Default::default() };
    assert_eq!(there.find(named("two")).unwrap().keys[0].reference, key);
    assert_eq!(there.find(named("one")).unwrap().total, 1, "the public half alone");
}

#[test]
fn what_is_malformed_or_not_for_the_role_is_refused() {
    let (_world, member) = World::active();
    let (mut alice, mut admin) = (Client::alice(&member), Client::admin(&member));
    let pair = alice.ec_pair("one");
    let key = private(&pair);
    let bare = Operation::KeySetAttribute(v1::KeySetAttribute { reference: key, attribute: None });
    assert_eq!(refused(alice.change(bare), Status::MalformedRequest), "attribute");
    assert_eq!(refused(alice.change(set_flag(key, "colour", true)), Status::MalformedRequest), "name");
    refused(alice.change(set_flag(0, "sign", true)), Status::KeyUnknown);
    refused(alice.ask(set_flag(key, "sign", false)), Status::MalformedRequest);
    assert!(refused(alice.change(set_flag(key, "trusted", true)), Status::AttributeUnknown).contains("trusted"));
    assert!(refused(admin.change(set_flag(key, "sign", false)), Status::RoleNotPermitted).contains("sign"));
    refused(alice.change(set_flag(public(&pair), "trusted", true)), Status::AttributeReadOnly);
    admin.change(set_flag(public(&pair), "trusted", true)).unwrap();
    refused(admin.change(key_share(key, "bob")), Status::RoleNotPermitted);
    refused(alice.change(key_share(key, "a user")), Status::UserNameInvalid);
    assert_eq!(refused(alice.change(key_share(key, "carol")), Status::UserUnknown), "carol");
    let share = |role| Operation::KeyShare(v1::KeyShare { reference: key, user_name: "bob".into(), role });
    refused(alice.change(share(ADMIN)), Status::RoleNotPermitted);
    refused(alice.change(share(0)), Status::MalformedRequest);
    refused(Client::of(&member).change(key_share(key, "bob")), Status::NotLoggedIn);
    alice.sign_ecdsa(key).unwrap();
}

/// What was done for a login that has ended is told to nobody who shows its ticket, except how it ended.
#[test]
fn a_repeat_by_an_ended_login_is_refused() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let key = private(&alice.ec_pair("one"));
    let (ticket, id) = (alice.ticket.clone(), [7; 16]);
    alice.change_as(&id, key_share(key, "bob")).unwrap();
    alice.change_as(&id, key_share(key, "bob")).unwrap();
    alice.change_as(&[8; 16], Operation::Logout(v1::Logout {})).unwrap();
    let mut late = Client::of(&member);
    refused(late.attach(&ticket), Status::LoginEnded);
    refused(late.change_as(&id, key_share(key, "bob")), Status::LoginEnded);
    late.change_as(&[8; 16], Operation::Logout(v1::Logout {})).unwrap();
}

//! Keys that live as long as a login.

use std::time::{Duration, Instant};

use strongroom_types::limits::{SESSION_KEY_LEN_MAX, SESSION_KEYS_IN_REQUEST_MAX};
use strongroom_types::{KeyReference, Refusal, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::{
    CRYPTO_USER, Client, Member, PASSWORD, World, change_password, flag, key_delete, key_share, key_unshare, label,
    refused, session, session_pair, set_flag, user_delete,
};

const NEW: &str = "correct horse";
const LOGOUT: Operation = Operation::Logout(v1::Logout {});

fn signing(key: &v1::Key) -> Operation {
    let mechanism = v1::Mechanism::Ecdsa.into();
    Operation::Sign(v1::Sign { key: key.reference, mechanism, data: vec![7; 32], ..v1::Sign::default() })
}

/// Signs with what this HSM holds.
fn sign(client: &mut Client<'_>, key: &v1::Key) -> Result<Vec<u8>, Refusal> {
    signed(client.ask_naming(key, &[], signing(key)))
}

/// Signs with the sealed form.
fn sign_sealed(client: &mut Client<'_>, key: &v1::Key) -> Result<Vec<u8>, Refusal> {
    signed(client.ask_naming(key, &key.sealed_session_key, signing(key)))
}

fn signed(outcome: Result<Answer, Refusal>) -> Result<Vec<u8>, Refusal> {
    match outcome? {
        Answer::Sign(signed) => Ok(signed.signature),
        _ => panic!("another answer"),
    }
}

fn verifying(key: &v1::Key, signature: Vec<u8>) -> Operation {
    let (key, mechanism) = (key.reference, v1::Mechanism::Ecdsa.into());
    Operation::Verify(v1::Verify { key, mechanism, data: vec![7; 32], signature, ..v1::Verify::default() })
}

fn attached<'a>(member: &'a Member, ticket: &[u8]) -> Client<'a> {
    let mut client = Client::of(member);
    client.attach(ticket).unwrap();
    client
}

#[test]
fn a_session_key_works_on_every_member_and_is_in_no_store() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut here = Client::alice(&first);
    // What the second member's coming wrote.
    first.cluster.freshen(Instant::now() + Duration::from_secs(30)).unwrap();
    let before = first.cluster.state().clone();
    let [public, private] = here.session_pair();
    assert_eq!((private.owner.as_str(), private.key_revision), ("alice", 0));
    assert!(first.cluster.state().keys_len() == 0 && first.cluster.state().revision() == before.revision());
    let found = here.find(v1::KeyFind { limit: 10, ..v1::KeyFind::default() }).unwrap();
    assert_eq!(found.total, 0);
    let signature = sign(&mut here, &private).unwrap();
    here.ask_naming(&public, &[], verifying(&public, signature.clone())).unwrap();
    refused(here.ask_naming(&public, &[], verifying(&public, vec![1; 64])), Status::SignatureInvalid);
    // The other member has never heard of it.
    let mut there = attached(&second, &here.ticket);
    refused(sign(&mut there, &private), Status::SessionKeyMissing);
    sign_sealed(&mut there, &private).unwrap();
    sign(&mut there, &private).unwrap();
    there.ask_naming(&public, &public.sealed_session_key, verifying(&public, signature)).unwrap();
    assert_eq!(second.keys.session_keys().len(), 2);
    // A member that dropped it, for want of room or because it was started anew.
    let reference = KeyReference::from_u64(private.reference).unwrap();
    first.keys.session_keys().remove(here.session.login().unwrap().login, reference);
    refused(sign(&mut here, &private), Status::SessionKeyMissing);
    sign_sealed(&mut here, &private).unwrap();
    let third = world.member(3);
    sign_sealed(&mut attached(&third, &here.ticket), &private).unwrap();
    // Unnamed, it is looked for in the store.
    refused(here.ask(signing(&private)), Status::KeyUnknown);
    let state = Client::appliance(&first).ask(Operation::ApplianceState(v1::ApplianceState {})).unwrap();
    let Answer::ApplianceState(state) = state else { panic!("another answer") };
    assert_eq!(state.signatures, 2);
}

/// The largest public part there is, in both sealed halves.
#[test]
fn an_ml_dsa_pair_of_a_session_signs_on_every_member() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut here = Client::alice(&first);
    let algorithm = Some(v1::key_generate_pair::Algorithm::MlDsa(v1::MlDsaAlgorithm::MlDsa87.into()));
    let made = here.ask(Operation::KeyGeneratePair(v1::KeyGeneratePair { algorithm, ..session_pair() })).unwrap();
    let Answer::KeyGeneratePair(pair) = made else { panic!("another answer") };
    let (public, private) = (pair.public_key.unwrap(), pair.private_key.unwrap());
    assert_eq!((public.length_bytes, private.length_bytes), (2592, 4896));
    for key in [&public, &private] {
        assert!((2592..SESSION_KEY_LEN_MAX).contains(&key.sealed_session_key.len()));
    }
    let (mechanism, data) = (v1::Mechanism::MlDsa.into(), vec![7; 64]);
    let sign =
        Operation::Sign(v1::Sign { key: private.reference, mechanism, data: data.clone(), ..v1::Sign::default() });
    let mut there = attached(&second, &here.ticket);
    let signature = signed(there.ask_naming(&private, &private.sealed_session_key, sign)).unwrap();
    let verify = v1::Verify { key: public.reference, mechanism, data, signature, ..v1::Verify::default() };
    here.ask_naming(&public, &[], Operation::Verify(verify)).unwrap();
}

#[test]
fn secret_keys_of_a_session_are_made_too() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let secret = |key_type: v1::KeyType, length_bytes| {
        let template = vec![session(), label("of a session")];
        let key_type = key_type.into();
        Operation::KeyGenerateSecret(v1::KeyGenerateSecret { key_type, length_bytes, template, ..Default::default() })
    };
    for (key_type, length) in [(v1::KeyType::Aes, 32), (v1::KeyType::GenericSecret, 800)] {
        let Answer::KeyGenerateSecret(key) = alice.ask(secret(key_type, length)).unwrap() else {
            panic!("another answer")
        };
        assert_eq!((key.length_bytes, key.check_value.len()), (length, if length == 32 { 3 } else { 0 }));
        assert!(key.sealed_session_key.len() > usize::try_from(length).unwrap());
        assert!(key.sealed_session_key.len() <= SESSION_KEY_LEN_MAX);
        // No mechanism for it in this version.
        refused(sign_sealed(&mut alice, &key), Status::KeyTypeInconsistent);
    }
    let rsa = v1::RsaParameters { modulus_bits: 4096, public_exponent: vec![1, 0, 1] };
    let rsa = Some(v1::key_generate_pair::Algorithm::Rsa(rsa));
    let message = v1::KeyGeneratePair { algorithm: rsa, ..session_pair() };
    let Answer::KeyGeneratePair(pair) = alice.ask(Operation::KeyGeneratePair(message)).unwrap() else {
        panic!("another answer")
    };
    let largest = pair.private_key.unwrap().sealed_session_key.len();
    assert!((3_000..SESSION_KEY_LEN_MAX).contains(&largest), "{largest}");
}

/// Ends alice's login on the first of two members, which both hold a key of it, and tries everything afterwards.
fn story_of_an_end(end: impl FnOnce(&mut Client<'_>)) {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut here = Client::alice(&first);
    let ticket = here.ticket.clone();
    let mut there = attached(&second, &ticket);
    let [_, key] = here.session_pair();
    sign(&mut here, &key).unwrap();
    sign_sealed(&mut there, &key).unwrap();
    end(&mut here);
    // Acknowledged: no member holds anything of it.
    assert!(first.keys.session_keys().is_empty() && second.keys.session_keys().is_empty());
    for mut stale in [here, there] {
        for outcome in [sign(&mut stale, &key), sign_sealed(&mut stale, &key)] {
            let status = outcome.unwrap_err().status;
            assert!(matches!(status, Status::LoginEnded | Status::NotLoggedIn), "{status:?}");
        }
    }
    for member in [&first, &second, &world.member(3)] {
        let mut again = Client::of(member);
        refused(again.attach(&ticket), Status::LoginEnded);
        assert!(sign_sealed(&mut again, &key).is_err());
        // Somebody else who has the bytes, and a later login of the same user.
        refused(sign_sealed(&mut Client::logged_in(member, "bob", CRYPTO_USER), &key), Status::KeyUnknown);
        for password in [PASSWORD, NEW] {
            let mut later = Client::of(member);
            if later.login("alice", CRYPTO_USER, password).is_ok() {
                refused(sign_sealed(&mut later, &key), Status::KeyUnknown);
                refused(sign(&mut later, &key), Status::SessionKeyMissing);
            }
        }
        assert!(member.keys.session_keys().is_empty());
    }
}

#[test]
fn it_ends_with_logout_everywhere() {
    story_of_an_end(|alice| drop(alice.change(LOGOUT).unwrap()));
}

#[test]
fn it_ends_with_the_user_everywhere() {
    story_of_an_end(|alice| drop(Client::admin(alice.member).change(user_delete("alice")).unwrap()));
}

#[test]
fn it_ends_with_a_new_password_everywhere() {
    story_of_an_end(|alice| {
        Client::admin(alice.member).change(change_password("alice", CRYPTO_USER, NEW)).unwrap();
    });
}

#[test]
fn it_ends_with_a_new_password_of_ones_own_though_the_login_goes_on() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut here = Client::alice(&first);
    let [_, key] = here.session_pair();
    sign_sealed(&mut attached(&second, &here.ticket), &key).unwrap();
    here.change(change_password("alice", CRYPTO_USER, NEW)).unwrap();
    assert!(first.keys.session_keys().is_empty() && second.keys.session_keys().is_empty());
    for mut client in [attached(&second, &here.ticket), here] {
        refused(sign(&mut client, &key), Status::SessionKeyMissing);
        refused(sign_sealed(&mut client, &key), Status::KeyUnknown);
        let [_, new] = client.session_pair();
        sign(&mut client, &new).unwrap();
    }
}

#[test]
fn it_ends_with_its_tickets_time() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let [_, key] = alice.session_pair();
    member.cluster.clock().move_by(7 * 24 * 60 * 60 * 1_000 + 1);
    refused(sign(&mut alice, &key), Status::LoginEnded);
    refused(sign_sealed(&mut alice, &key), Status::LoginEnded);
}

#[test]
fn sealed_bytes_that_were_changed_or_are_anothers_are_no_key() {
    let (_world, member) = World::active();
    let (_other_world, other) = World::active();
    let mut alice = Client::alice(&member);
    let [public, private] = alice.session_pair();
    let login = alice.session.login().unwrap().login;
    let mut check = |sealed: &[u8]| {
        member.keys.session_keys().retain(|_| false);
        refused(alice.ask_naming(&private, sealed, signing(&private)), Status::KeyUnknown);
        assert!(member.keys.session_keys().is_empty());
    };
    let sealed = &private.sealed_session_key;
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        check(&changed);
        if at > 0 {
            check(&sealed[..at]);
        }
    }
    check(&[&sealed[..], &[0]].concat());
    // Of its other half, of another login, of another cluster.
    check(&public.sealed_session_key);
    check(&Client::alice(&member).session_pair()[1].sealed_session_key);
    check(&Client::alice(&other).session_pair()[1].sealed_session_key);
    // Sealed rightly, and no session key: what a newer version might write.
    let reference = KeyReference::from_u64(private.reference).unwrap();
    let sealer = member.cluster.sealer();
    check(&sealer.seal_session_key(login, reference, &[2, 8, 1]));
    let opened = sealer.open_session_key(login, reference, sealed).unwrap();
    let elsewhere = KeyReference::from_u64(private.reference ^ 1).unwrap();
    let moved = sealer.seal_session_key(login, elsewhere, opened.expose());
    let at = v1::Key { reference: elsewhere.as_u64(), ..private.clone() };
    refused(alice.ask_naming(&at, &moved, signing(&at)), Status::KeyUnknown);
    sign_sealed(&mut alice, &private).unwrap();
}

#[test]
fn a_deleted_session_key_is_dropped_and_others_stay() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let ([public, private], [_, other]) = (alice.session_pair(), alice.session_pair());
    let delete = |client: &mut Client<'_>, key: &v1::Key, sealed: &[u8]| {
        client.ask_naming(key, sealed, key_delete(key.reference))
    };
    let mut elsewhere = Client::alice(&member);
    refused(delete(&mut elsewhere, &private, &private.sealed_session_key), Status::KeyUnknown);
    refused(delete(&mut Client::admin(&member), &private, &private.sealed_session_key), Status::RoleNotPermitted);
    refused(delete(&mut Client::of(&member), &private, &private.sealed_session_key), Status::NotLoggedIn);
    delete(&mut alice, &private, &[]).unwrap();
    refused(sign(&mut alice, &private), Status::SessionKeyMissing);
    refused(delete(&mut alice, &private, &[]), Status::SessionKeyMissing);
    // Its other half stays, as with keys of the store.
    delete(&mut alice, &public, &public.sealed_session_key).unwrap();
    sign(&mut alice, &other).unwrap();
    let lasting = |template: Vec<v1::Attribute>| {
        let off = |name: &str| v1::Attribute { name: name.into(), value: Some(v1::attribute::Value::Boolean(false)) };
        [template, vec![off("destroyable")]].concat()
    };
    let message = session_pair();
    let message = v1::KeyGeneratePair { private_template: lasting(message.private_template.clone()), ..message };
    let Answer::KeyGeneratePair(pair) = alice.ask(Operation::KeyGeneratePair(message)).unwrap() else {
        panic!("another answer")
    };
    refused(delete(&mut alice, &pair.private_key.unwrap(), &[]), Status::KeyNotDestroyable);
}

#[test]
fn what_session_keys_cannot_be_is_refused() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let make = |client: &mut Client<'_>, message| client.ask(Operation::KeyGeneratePair(message)).map(drop);
    let shared = v1::KeyGeneratePair { share_with: vec!["bob".into()], ..session_pair() };
    refused(make(&mut alice, shared), Status::SessionKeyFixed);
    let half = v1::KeyGeneratePair { public_template: vec![flag("verify")], ..session_pair() };
    refused(make(&mut alice, half), Status::TemplateInconsistent);
    refused(make(&mut Client::admin(&member), session_pair()), Status::RoleNotPermitted);
    refused(make(&mut Client::of(&member), session_pair()), Status::NotLoggedIn);
    assert!(member.keys.session_keys().is_empty());
    // Whoever does not say that it is a session key learns that there is no such key of the store.
    let [_, private] = alice.session_pair();
    for fixed in [
        key_share(private.reference, "bob"),
        key_unshare(private.reference, "bob"),
        set_flag(private.reference, "sign", false),
    ] {
        refused(alice.ask_naming(&private, &[], fixed.clone()), Status::SessionKeyFixed);
        refused(alice.change(fixed.clone()), Status::KeyUnknown);
        refused(Client::alice(&member).ask_naming(&private, &[], fixed.clone()), Status::SessionKeyMissing);
        refused(Client::of(&member).ask_naming(&private, &[], fixed), Status::NotLoggedIn);
    }
    // The key's attributes are looked at as those of any other.
    let [public, private] = alice.session_pair();
    refused(alice.ask_naming(&public, &[], signing(&public)), Status::KeyTypeInconsistent);
    refused(alice.ask_naming(&private, &[], verifying(&private, vec![1; 64])), Status::KeyTypeInconsistent);
    let mute = v1::KeyGeneratePair { private_template: vec![session()], ..session_pair() };
    let Answer::KeyGeneratePair(mute) = alice.ask(Operation::KeyGeneratePair(mute)).unwrap() else {
        panic!("another answer")
    };
    refused(sign(&mut alice, &mute.private_key.unwrap()), Status::KeyFunctionNotPermitted);
    // Lists of them are bounded.
    let named = v1::SessionKey { reference: private.reference, sealed: Vec::new() };
    let request =
        |session_keys| v1::Request { session_keys, operation: Some(signing(&private)), ..v1::Request::default() };
    alice.send(request(vec![named.clone(); SESSION_KEYS_IN_REQUEST_MAX])).unwrap();
    refused(alice.send(request(vec![named; SESSION_KEYS_IN_REQUEST_MAX + 1])), Status::MalformedRequest);
    let long = v1::SessionKey { reference: private.reference, sealed: vec![1; SESSION_KEY_LEN_MAX + 1] };
    refused(alice.send(request(vec![long])), Status::MalformedRequest);
}

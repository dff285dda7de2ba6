//! Session keys: kept with the login, named where they are used, given again to an HSM that does not hold them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use strongroom_client::{Client, ClientError, KeyInfo, Setting};
use strongroom_types::limits::SESSION_KEYS_MAX;
use strongroom_types::{
    AttributeName, AttributeValue, Attributes, Filter, Flag, Flags, KeyClass, KeyReference, KeyType, Refusal, Revision,
    Role, SignMechanism, Status, Template,
};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::world::{Hsm, Reaction, World, alice, open, password, refusal};

fn template(session: bool) -> Template {
    vec![(AttributeName::Flag(Flag::Token), AttributeValue::Bool(!session))]
}

fn described(number: u64, session: bool) -> v1::Key {
    let attributes = Attributes {
        class: KeyClass::SecretKey,
        key_type: KeyType::Aes,
        label: "a key".into(),
        id: Vec::new(),
        check_value: None,
        flags: Flags::NONE.with(Flag::Token, !session),
        length_bytes: 32,
        public: None,
        templates: strongroom_types::KeyTemplates::NONE,
    };
    let reference = KeyReference::from_u64(number).unwrap();
    let key = KeyInfo {
        reference,
        attributes,
        owner: alice(),
        shared_with: Vec::new(),
        revision: Revision(0),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let sealed_session_key = if session { vec![7; 90] } else { Vec::new() };
    v1::Key { sealed_session_key, ..key.into() }
}

fn answer(result: Answer) -> Reaction {
    Reaction::Answer(v1::Response { result: Some(result), ..v1::Response::default() })
}

/// Plays an HSM that makes session keys of these numbers and holds what it was given.
fn play(hsm: &Hsm, numbers: impl Iterator<Item = u64> + Send + 'static) {
    let held = Arc::new(Mutex::new(HashSet::new()));
    let numbers = Mutex::new(numbers);
    hsm.script(move |request| {
        let mut held = held.lock().unwrap();
        let used = match request.operation.as_ref().unwrap() {
            Operation::KeyGenerateSecret(_) => {
                let number = numbers.lock().unwrap().next().unwrap();
                held.insert(number);
                return answer(Answer::KeyGenerateSecret(described(number, true)));
            }
            Operation::KeyFind(find) => {
                // Three keys of the store, of which a page is told.
                let all = (100..103).map(|number| described(number, false)).skip(find.offset as usize);
                let keys = all.take(find.limit as usize).collect();
                let references = if find.all_references { vec![100, 101, 102] } else { Vec::new() };
                return answer(Answer::KeyFind(v1::KeyFindResult { total: 3, keys, references }));
            }
            Operation::KeyGet(get) => return answer(Answer::KeyGet(described(get.reference, false))),
            Operation::UserChangePassword(change) => {
                let user = v1::User {
                    user_name: change.user_name.clone(),
                    role: change.role,
                    locked: false,
                    ..v1::User::default()
                };
                return answer(Answer::UserChangePassword(user));
            }
            Operation::Sign(sign) => sign.key,
            Operation::KeyDelete(delete) => delete.reference,
            _ => return Reaction::Usual,
        };
        match request.session_keys.as_slice() {
            [] => refusal(Status::KeyUnknown),
            [named] => {
                assert_eq!(named.reference, used);
                if !named.sealed.is_empty() {
                    assert_eq!(named.sealed, [7; 90]);
                    held.insert(used);
                }
                if held.contains(&used) { Reaction::Usual } else { refusal(Status::SessionKeyMissing) }
            }
            _ => panic!("one is used"),
        }
    });
}

fn make(client: &Client) -> Result<KeyReference, ClientError> {
    client.key_generate_secret(KeyType::Aes, 32, &template(true), &[]).map(|key| key.reference)
}

fn sign(client: &Client, key: KeyReference) -> Result<Vec<u8>, ClientError> {
    client.sign(key, SignMechanism::Ecdsa, &[7; 32])
}

fn status<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Status {
    match outcome.unwrap_err() {
        ClientError::Refused(Refusal { status, .. }) => status,
        other => panic!("{other}"),
    }
}

fn logged_in(world: &World) -> Client {
    let client = world.client();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    client
}

fn signs(hsm: &Hsm) -> Vec<bool> {
    let heard = hsm.heard().into_iter().map(|heard| heard.request);
    let signs = heard.filter(|request| matches!(request.operation, Some(Operation::Sign(_))));
    signs.map(|request| request.session_keys.first().is_some_and(|key| !key.sealed.is_empty())).collect()
}

#[test]
fn an_hsm_that_does_not_hold_it_is_given_it_once() {
    let world = World::new(2);
    for hsm in &world.hsms {
        play(hsm, 5..);
    }
    let client = logged_in(&world);
    let key = make(&client).unwrap();
    for _ in 0..6 {
        sign(&client, key).unwrap();
    }
    let sealed: Vec<bool> = world.hsms.iter().flat_map(signs).collect();
    assert_eq!(sealed.iter().filter(|sealed| **sealed).count(), 1, "{sealed:?}");
    assert_eq!(sealed.len(), 7, "six signatures and one that was asked for again");
    let generate = |kind: &Operation| matches!(kind, Operation::KeyGenerateSecret(_));
    assert_eq!(world.count(generate), 1);
}

#[test]
fn the_death_of_its_maker_is_not_seen() {
    let world = World::new(2);
    play(&world.hsms[0], 5..);
    play(&world.hsms[1], 50..);
    let client = logged_in(&world);
    let key = make(&client).unwrap();
    let maker = usize::from(key.as_u64() >= 50);
    world.hsms[maker].kill();
    for _ in 0..3 {
        sign(&client, key).unwrap();
    }
    client.key_delete(key).unwrap();
    assert_eq!(status(sign(&client, key)), Status::KeyUnknown);
}

#[test]
fn they_stand_in_front_of_the_stores_keys_in_every_page() {
    let world = World::new(1);
    play(&world.hsms[0], 5..);
    let mut config = world.config();
    config.settings = config.settings.with(Setting::KeyAvailabilityCheck, false);
    let client = open(config);
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    let [one, two] = [make(&client).unwrap(), make(&client).unwrap()].map(KeyReference::as_u64);
    let check = |offset, limit, expected: &[u64]| {
        let found = client.key_find(&Filter::default(), offset, limit).unwrap();
        let keys: Vec<u64> = found.keys.iter().map(|key| key.reference.as_u64()).collect();
        assert_eq!((found.total, keys.as_slice()), (5, expected), "{offset} {limit}");
    };
    check(0, 10, &[one, two, 100, 101, 102]);
    check(0, 1, &[one]);
    check(1, 2, &[two, 100]);
    check(2, 2, &[100, 101]);
    check(4, 5, &[102]);
    check(0, 0, &[]);
    client.key_delete(KeyReference::from_u64(one).unwrap()).unwrap();
    let found = client.key_find(&Filter(vec!["attr.token=false".parse().unwrap()]), 0, 10).unwrap();
    assert_eq!(found.keys[0].reference.as_u64(), two);
}

#[test]
fn a_whole_search_is_one_round_trip_and_a_session_key_is_shown_without_any() {
    let world = World::new(1);
    play(&world.hsms[0], 5..);
    let mut config = world.config();
    let unavailable = open(config.clone());
    unavailable.login(&alice(), Role::CryptoUser, &password()).unwrap();
    assert!(matches!(unavailable.key_find_all(&Filter::default(), 9), Err(ClientError::KeyAvailability)));
    config.settings = config.settings.with(Setting::KeyAvailabilityCheck, false);
    let client = open(config);
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    let own = [make(&client).unwrap(), make(&client).unwrap()];
    let all: Vec<u64> = own.iter().map(|key| key.as_u64()).chain([100, 101, 102]).collect();
    for (limit, shown) in [(0, 0), (1, 1), (2, 2), (4, 4), (5, 5), (u32::MAX, 5)] {
        let found = client.key_find_all(&Filter::default(), limit).unwrap();
        assert_eq!(found.references.iter().map(|key| key.as_u64()).collect::<Vec<_>>(), all);
        assert_eq!(found.keys.iter().map(|key| key.reference.as_u64()).collect::<Vec<_>>(), all[..shown]);
    }
    assert_eq!(world.count(|kind| matches!(kind, Operation::KeyFind(_))), 6);
    assert_eq!(client.key_get(own[1]).unwrap().reference, own[1]);
    assert_eq!(world.count(|kind| matches!(kind, Operation::KeyGet(_))), 0);
    let stored = KeyReference::from_u64(101).unwrap();
    assert_eq!(client.key_get(stored).unwrap().reference, stored);
    assert_eq!(world.count(|kind| matches!(kind, Operation::KeyGet(_))), 1);
    // As many references as it says, and none that is no key's.
    for references in [vec![100], vec![100, 101, 102, 103], vec![100, 0, 102]] {
        world.hsms[0].script(move |request| match &request.operation {
            Some(Operation::KeyFind(_)) => {
                let (keys, references) = (Vec::new(), references.clone());
                answer(Answer::KeyFind(v1::KeyFindResult { total: 3, keys, references }))
            }
            _ => Reaction::Usual,
        });
        assert!(matches!(client.key_find_all(&Filter::default(), 0), Err(ClientError::Protocol { .. })));
    }
}

#[test]
fn they_end_with_the_login_and_with_a_new_password_of_ones_own() {
    let world = World::new(1);
    play(&world.hsms[0], 5..);
    let client = logged_in(&world);
    let key = make(&client).unwrap();
    sign(&client, key).unwrap();
    client.user_change_password(&"bob".parse().unwrap(), Role::CryptoUser, &password()).unwrap();
    sign(&client, key).unwrap();
    client.user_change_password(&alice(), Role::CryptoUser, &password()).unwrap();
    assert_eq!(status(sign(&client, key)), Status::KeyUnknown);
    let key = make(&client).unwrap();
    sign(&client, key).unwrap();
    // Another login in its place, a logout, and one that the cluster ended.
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    assert_eq!(status(sign(&client, key)), Status::KeyUnknown);
    let key = make(&client).unwrap();
    client.logout().unwrap();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    assert_eq!(status(sign(&client, key)), Status::KeyUnknown);
    let with_credentials = world.user();
    let key = make(&with_credentials).unwrap();
    sign(&with_credentials, key).unwrap();
    world.end_logins();
    world.hsms[0].script(|request| match (&request.operation, request.session_keys.as_slice()) {
        (Some(Operation::Sign(_)), []) => refusal(Status::KeyUnknown),
        (Some(Operation::Sign(_)), _) => refusal(Status::LoginEnded),
        _ => Reaction::Usual,
    });
    assert_eq!(status(sign(&with_credentials, key)), Status::KeyUnknown);
}

#[test]
fn a_login_has_as_many_as_the_limit_and_no_more() {
    let world = World::new(1);
    play(&world.hsms[0], 5..);
    let client = logged_in(&world);
    for _ in 0..SESSION_KEYS_MAX {
        make(&client).unwrap();
    }
    let asked = |kind: &Operation| matches!(kind, Operation::KeyGenerateSecret(_));
    assert_eq!(status(make(&client)), Status::SessionKeysFull);
    assert_eq!(world.count(asked), SESSION_KEYS_MAX, "nothing was made in vain");
    client.key_delete(KeyReference::from_u64(5).unwrap()).unwrap();
    make(&client).unwrap();
}

#[test]
fn only_keys_of_the_store_are_shared_and_changed() {
    let world = World::new(1);
    play(&world.hsms[0], 5..);
    let client = logged_in(&world);
    let (own, stored) = (make(&client).unwrap(), KeyReference::from_u64(100).unwrap());
    let (bob, role) = ("bob".parse().unwrap(), Role::CryptoUser);
    let (name, value) = (AttributeName::Flag(Flag::Sign), AttributeValue::Bool(false));
    let changes = |kind: &Operation| {
        matches!(kind, Operation::KeyShare(_) | Operation::KeyUnshare(_) | Operation::KeySetAttribute(_))
    };
    assert_eq!(status(client.key_share(own, &bob, role)), Status::SessionKeyFixed);
    assert_eq!(status(client.key_unshare(own, &bob, role)), Status::SessionKeyFixed);
    assert_eq!(status(client.key_set_attribute(own, name, &value)), Status::SessionKeyFixed);
    assert_eq!(world.count(changes), 0, "no HSM was asked");
    client.key_share(stored, &bob, role).unwrap();
    client.key_unshare(stored, &bob, role).unwrap();
    client.key_set_attribute(stored, name, &value).unwrap();
    let heard = world.hsms[0].heard();
    let asked: Vec<_> = heard.iter().filter(|heard| heard.request.operation.as_ref().is_some_and(changes)).collect();
    let (reference, user_name, number) = (100, String::from("bob"), v1::Role::CryptoUser.into());
    let attribute = v1::Attribute { name: "sign".into(), value: Some(v1::attribute::Value::Boolean(false)) };
    let expected = [
        Operation::KeyShare(v1::KeyShare { reference, user_name: user_name.clone(), role: number }),
        Operation::KeyUnshare(v1::KeyUnshare { reference, user_name, role: number }),
        Operation::KeySetAttribute(v1::KeySetAttribute { reference, attribute: Some(attribute) }),
    ];
    assert_eq!(asked.len(), expected.len());
    for (heard, expected) in asked.iter().zip(expected) {
        assert!(heard.request.operation == Some(expected));
        assert_eq!((heard.request.request_id.len(), heard.request.session_keys.len()), (16, 0));
    }
}

#[test]
fn a_key_without_its_sealed_form_is_no_answer() {
    let world = World::new(1);
    world.hsms[0].script(|request| match request.operation {
        Some(Operation::KeyGenerateSecret(_)) => answer(Answer::KeyGenerateSecret(described(5, false))),
        _ => Reaction::Usual,
    });
    assert!(matches!(make(&logged_in(&world)), Err(ClientError::Protocol { .. })));
}

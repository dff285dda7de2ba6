//! Copies of keys, and keys that demand something of what they wrap and unwrap.

use strongroom_types::{Refusal, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::attribute::Value;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::{Client, World, flag, key_delete, label, private, public, refused, session, set_flag};

fn off(name: &str) -> v1::Attribute {
    v1::Attribute { name: name.into(), value: Some(Value::Boolean(false)) }
}

fn demanding(name: &str, attributes: Vec<v1::Attribute>) -> v1::Attribute {
    v1::Attribute { name: name.into(), value: Some(Value::Template(v1::AttributeList { attributes })) }
}

fn key(outcome: Result<Answer, Refusal>) -> Result<v1::Key, Refusal> {
    match outcome? {
        Answer::KeyGenerateSecret(key) | Answer::KeyCopy(key) | Answer::KeyUnwrap(key) => Ok(key),
        _ => panic!("another answer"),
    }
}

fn aes(template: Vec<v1::Attribute>) -> Operation {
    let key_type = v1::KeyType::Aes.into();
    Operation::KeyGenerateSecret(v1::KeyGenerateSecret { key_type, length_bytes: 32, template, ..Default::default() })
}

fn copy(reference: u64, template: Vec<v1::Attribute>) -> Operation {
    Operation::KeyCopy(v1::KeyCopy { reference, template })
}

fn kwp() -> Option<v1::Wrapping> {
    Some(v1::Wrapping { mechanism: v1::WrapMechanism::AesZeroPad.into(), ..v1::Wrapping::default() })
}

fn wrap(payload: u64, wrapping_key: u64) -> Operation {
    Operation::KeyWrap(v1::KeyWrap { payload, wrapping_key, wrapping: kwp() })
}

fn wrapped(client: &mut Client<'_>, payload: u64, wrapping_key: u64) -> Result<Vec<u8>, Refusal> {
    match client.ask(wrap(payload, wrapping_key))? {
        Answer::KeyWrap(result) => Ok(result.wrapped),
        _ => panic!("another answer"),
    }
}

fn unwrap(unwrapping_key: u64, wrapped: Vec<u8>, template: Vec<v1::Attribute>) -> v1::KeyUnwrap {
    v1::KeyUnwrap {
        unwrapping_key,
        wrapping: kwp(),
        wrapped,
        class: v1::KeyClass::Secret.into(),
        key_type: v1::KeyType::Aes.into(),
        template,
        ..v1::KeyUnwrap::default()
    }
}

fn verify(client: &mut Client<'_>, key: u64, signature: Vec<u8>) {
    let mechanism = v1::Mechanism::Ecdsa.into();
    let verify = v1::Verify { key, mechanism, data: vec![7; 32], signature, ..v1::Verify::default() };
    client.ask(Operation::Verify(verify)).unwrap();
}

#[test]
fn a_copy_signs_and_wraps_as_its_original_on_every_member() {
    let (world, first) = World::active();
    let second = world.member(2);
    let (mut here, mut there) = (Client::alice(&first), Client::alice(&second));
    let pair = here.ec_pair("site");
    let copied = key(here.change(copy(private(&pair), vec![label("twin")]))).unwrap();
    assert_eq!((copied.label.as_str(), copied.sealed_session_key.len()), ("twin", 0));
    assert_ne!(copied.reference, private(&pair));
    let public_copy = key(here.change(copy(public(&pair), vec![]))).unwrap();
    here.change(key_delete(private(&pair))).unwrap();
    there.seen = here.seen;
    let signature = there.sign_ecdsa(copied.reference).unwrap();
    verify(&mut there, public(&pair), signature.clone());
    verify(&mut here, public_copy.reference, signature);
    // The same bytes of a secret key: each wraps the other's payload to the same.
    let kek = key(here.change(aes(vec![flag("wrap")]))).unwrap();
    let twin = key(here.change(copy(kek.reference, vec![]))).unwrap();
    let payload = key(here.change(aes(vec![]))).unwrap().reference;
    let one = wrapped(&mut here, payload, kek.reference).unwrap();
    assert_eq!(wrapped(&mut here, payload, twin.reference).unwrap(), one);
    assert_eq!(wrapped(&mut here, twin.reference, kek.reference), wrapped(&mut here, kek.reference, twin.reference));
}

#[test]
fn a_repeat_makes_one_copy_and_a_stranger_none() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let original = key(alice.change(aes(vec![label("one")]))).unwrap().reference;
    let id = [7; 16];
    let first = key(alice.change_as(&id, copy(original, vec![]))).unwrap();
    assert_eq!(key(alice.change_as(&id, copy(original, vec![]))).unwrap(), first);
    refused(alice.change_as(&id, copy(original, vec![label("other")])), Status::RequestIdReused);
    refused(alice.change(copy(0, vec![])), Status::KeyUnknown);
    refused(alice.change(copy(0xabcdef, vec![])), Status::KeyUnknown);
    refused(alice.change(copy(original, vec![flag("trusted")])), Status::AttributeReadOnly);
    refused(alice.change(copy(original, vec![label("x"); 65])), Status::MalformedRequest);
    // Nothing lasting is made of a request that cannot be told from its repeat.
    refused(alice.ask(copy(original, vec![])), Status::MalformedRequest);
    refused(Client::admin(&member).change(copy(original, vec![])), Status::RoleNotPermitted);
    refused(Client::of(&member).change(copy(original, vec![])), Status::NotLoggedIn);
    assert_eq!(member.cluster.state().keys_len(), 2);
}

#[test]
fn a_key_of_the_store_is_copied_into_a_session_and_from_there_into_the_store() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut here = Client::alice(&first);
    let pair = here.ec_pair("site");
    let held = key(here.ask(copy(private(&pair), vec![session()]))).unwrap();
    assert!(!held.sealed_session_key.is_empty() && held.key_revision == 0);
    here.change(key_delete(private(&pair))).unwrap();
    let sign = v1::Sign {
        key: held.reference,
        mechanism: v1::Mechanism::Ecdsa.into(),
        data: vec![7; 32],
        ..v1::Sign::default()
    };
    let Answer::Sign(signed) = here.ask_naming(&held, &[], Operation::Sign(sign)).unwrap() else { panic!() };
    verify(&mut here, public(&pair), signed.signature);
    // On another member, from the sealed form.
    let mut there = Client::of(&second);
    there.attach(&here.ticket).unwrap();
    let naming = |operation, sealed: &[u8], request_id: Vec<u8>| v1::Request {
        session_keys: vec![v1::SessionKey { reference: held.reference, sealed: sealed.to_vec() }],
        operation: Some(operation),
        request_id,
        ..v1::Request::default()
    };
    let lasting = || copy(held.reference, vec![flag("token"), label("back")]);
    refused(there.send(naming(lasting(), &[], vec![1; 16])), Status::SessionKeyMissing);
    let back = key(there.send(naming(lasting(), &held.sealed_session_key, vec![1; 16]))).unwrap();
    assert_eq!((back.label.as_str(), back.sealed_session_key.len()), ("back", 0));
    there.change(set_flag(back.reference, "sign", true)).unwrap();
    let signature = there.sign_ecdsa(back.reference).unwrap();
    verify(&mut there, public(&pair), signature);
    // A copy of a session key that says nothing of its place is one of the session too.
    let again = key(there.send(naming(copy(held.reference, vec![]), &[], Vec::new()))).unwrap();
    assert!(!again.sealed_session_key.is_empty() && again.reference != held.reference);
}

#[test]
fn a_wrapping_keys_template_decides_what_leaves_and_what_comes_in() {
    let (world, first) = World::active();
    let second = world.member(2);
    let (mut here, mut there) = (Client::alice(&first), Client::alice(&second));
    let template = vec![
        flag("wrap"),
        flag("unwrap"),
        demanding("wrap-template", vec![flag("encrypt")]),
        demanding("unwrap-template", vec![off("extractable"), label("made")]),
    ];
    let kek = key(here.change(aes(template))).unwrap();
    assert_eq!(kek.wrap_template.as_ref().map(|list| list.attributes.clone()), Some(vec![flag("encrypt")]));
    assert_eq!(kek.unwrap_template.as_ref().map(|list| list.attributes.len()), Some(2));
    let silent = key(here.change(aes(vec![]))).unwrap().reference;
    let good = key(here.change(aes(vec![flag("encrypt")]))).unwrap().reference;
    there.seen = here.seen;
    let about = refused(wrapped(&mut there, silent, kek.reference), Status::WrapTemplateMismatch);
    assert_eq!(about, "encrypt");
    let data = wrapped(&mut there, good, kek.reference).unwrap();
    let message = |template| Operation::KeyUnwrap(unwrap(kek.reference, data.clone(), template));
    let filled = key(there.change(message(vec![]))).unwrap();
    assert_eq!((filled.label.as_str(), filled.flags & 1 << 6), ("made", 0));
    key(there.change(message(vec![off("extractable")]))).unwrap();
    let about = refused(there.change(message(vec![flag("extractable")])), Status::TemplateInconsistent);
    assert!(about.starts_with("extractable: "), "{about}");
    // What holds by default gives way, and a session key is one because of it.
    let defaults = vec![flag("extractable"), session(), off("sign")];
    let with_defaults = v1::KeyUnwrap { defaults, ..unwrap(kek.reference, data.clone(), vec![]) };
    let by_default = key(there.ask(Operation::KeyUnwrap(with_defaults))).unwrap();
    assert!(!by_default.sealed_session_key.is_empty());
    assert_eq!(by_default.flags & (1 << 6 | 1 << 12 | 1 << 2), 0, "not extractable, not signing, of the session");
    // Nobody leaves the template behind by way of a copy.
    let twin = key(there.change(copy(kek.reference, vec![]))).unwrap();
    assert_eq!((&twin.wrap_template, &twin.unwrap_template), (&kek.wrap_template, &kek.unwrap_template));
    refused(wrapped(&mut there, silent, twin.reference), Status::WrapTemplateMismatch);
    refused(there.change(copy(kek.reference, vec![demanding("wrap-template", vec![])])), Status::AttributeReadOnly);
    let deeper = demanding("wrap-template", vec![demanding("wrap-template", vec![])]);
    refused(there.change(aes(vec![deeper])), Status::MalformedRequest);
}

#[test]
fn an_unwrapping_by_a_key_that_another_member_just_made_lives_where_that_key_says() {
    let (world, first) = World::active();
    let second = world.member(2);
    let (mut here, mut there) = (Client::alice(&first), Client::alice(&second));
    let plain = key(here.change(aes(vec![flag("wrap"), flag("unwrap")]))).unwrap();
    let data = wrapped(&mut here, plain.reference, plain.reference).unwrap();
    for round in 0..10 {
        let demands = demanding("unwrap-template", vec![session(), label(&format!("round {round}"))]);
        let kek = key(here.change(copy(plain.reference, vec![]))).unwrap();
        refused(here.change(copy(plain.reference, vec![demands.clone()])), Status::AttributeReadOnly);
        // The other member has seen nothing of it.
        let made = key(there.change(Operation::KeyUnwrap(unwrap(kek.reference, data.clone(), vec![])))).unwrap();
        assert!(made.sealed_session_key.is_empty());
        let of_session = aes(vec![flag("wrap"), flag("unwrap"), demands]);
        let kek = key(here.change(of_session)).unwrap();
        let data = wrapped(&mut here, plain.reference, kek.reference).unwrap();
        let made = key(there.ask(Operation::KeyUnwrap(unwrap(kek.reference, data, vec![])))).unwrap();
        assert!(!made.sealed_session_key.is_empty(), "{round}");
    }
}

#[test]
fn a_public_key_may_be_called_not_private() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let message = |public, private| {
        Operation::KeyGeneratePair(v1::KeyGeneratePair {
            algorithm: Some(v1::key_generate_pair::Algorithm::Curve(v1::Curve::P256.into())),
            public_template: public,
            private_template: private,
            ..v1::KeyGeneratePair::default()
        })
    };
    refused(alice.change(message(vec![], vec![off("private")])), Status::AttributeValueInvalid);
    let Answer::KeyGeneratePair(pair) = alice.change(message(vec![off("private")], vec![])).unwrap() else { panic!() };
    assert_eq!(pair.public_key.as_ref().unwrap().flags & 1 << 10, 0);
    alice.ec_pair("usual");
    let find = v1::KeyFind { filter: vec![off("private")], limit: 10, ..v1::KeyFind::default() };
    let found = alice.find(find.clone()).unwrap();
    assert_eq!(found.keys.iter().map(|key| key.reference).collect::<Vec<u64>>(), [public(&pair)]);
    refused(Client::of(&member).find(find), Status::NotLoggedIn);
}

//! Keys that leave and come in wrapped.

use strongroom_crypto::random;
use strongroom_crypto::spki;
use strongroom_types::{Curve, PublicPart, Refusal, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::{Client, World, flag, key_delete, key_share, label, private, public, refused, session, set_flag};

const SHA256: i32 = v1::HashFunction::Sha256 as i32;
const AES: (v1::KeyClass, v1::KeyType) = (v1::KeyClass::Secret, v1::KeyType::Aes);

fn wrapping(mechanism: v1::WrapMechanism) -> v1::Wrapping {
    v1::Wrapping { mechanism: mechanism.into(), ..v1::Wrapping::default() }
}

fn gcm() -> v1::Wrapping {
    v1::Wrapping { tag_bits: 128, aad: b"beside".to_vec(), ..wrapping(v1::WrapMechanism::AesGcm) }
}

fn oaep() -> v1::Wrapping {
    v1::Wrapping { hash: SHA256, ..wrapping(v1::WrapMechanism::RsaOaep) }
}

fn secret(key_type: v1::KeyType, length_bytes: u32, flags: &[&str]) -> v1::KeyGenerateSecret {
    let template = flags.iter().map(|name| flag(name)).chain([label("a secret")]).collect();
    v1::KeyGenerateSecret {
        key_type: key_type.into(),
        length_bytes,
        template,
        share_with: Vec::new(),
        ..v1::KeyGenerateSecret::default()
    }
}

fn aes(client: &mut Client<'_>, flags: &[&str]) -> v1::Key {
    match client.change(Operation::KeyGenerateSecret(secret(v1::KeyType::Aes, 32, flags))).unwrap() {
        Answer::KeyGenerateSecret(key) => key,
        _ => panic!("another answer"),
    }
}

fn session_aes(client: &mut Client<'_>, flags: &[&str]) -> v1::Key {
    let mut message = secret(v1::KeyType::Aes, 32, flags);
    message.template.push(session());
    match client.ask(Operation::KeyGenerateSecret(message)).unwrap() {
        Answer::KeyGenerateSecret(key) => key,
        _ => panic!("another answer"),
    }
}

fn rsa_pair(client: &mut Client<'_>, public: &[&str], private: &[&str]) -> v1::KeyPair {
    let rsa = v1::RsaParameters { modulus_bits: 2048, public_exponent: vec![1, 0, 1] };
    let flags = |names: &[&str]| names.iter().map(|name| flag(name)).collect();
    let message = v1::KeyGeneratePair {
        algorithm: Some(v1::key_generate_pair::Algorithm::Rsa(rsa)),
        public_template: flags(public),
        private_template: flags(private),
        share_with: Vec::new(),
        ..v1::KeyGeneratePair::default()
    };
    match client.change(Operation::KeyGeneratePair(message)).unwrap() {
        Answer::KeyGeneratePair(pair) => pair,
        _ => panic!("another answer"),
    }
}

fn wrap_operation(payload: u64, wrapping_key: u64, wrapping: v1::Wrapping) -> Operation {
    Operation::KeyWrap(v1::KeyWrap { payload, wrapping_key, wrapping: Some(wrapping) })
}

fn wrapped(outcome: Result<Answer, Refusal>) -> Result<v1::KeyWrapResult, Refusal> {
    match outcome? {
        Answer::KeyWrap(result) => Ok(result),
        _ => panic!("another answer"),
    }
}

fn wrap(
    client: &mut Client<'_>,
    payload: u64,
    wrapping_key: u64,
    wrapping: v1::Wrapping,
) -> Result<v1::KeyWrapResult, Refusal> {
    wrapped(client.ask(wrap_operation(payload, wrapping_key, wrapping)))
}

fn unwrap_message(
    key: u64,
    wrapping: v1::Wrapping,
    wrapped: &[u8],
    kind: (v1::KeyClass, v1::KeyType),
) -> v1::KeyUnwrap {
    v1::KeyUnwrap {
        unwrapping_key: key,
        wrapping: Some(wrapping),
        wrapped: wrapped.to_vec(),
        class: kind.0.into(),
        key_type: kind.1.into(),
        template: vec![label("back"), flag("sign")],
        share_with: Vec::new(),
        ..v1::KeyUnwrap::default()
    }
}

fn unwrapped(outcome: Result<Answer, Refusal>) -> Result<v1::Key, Refusal> {
    match outcome? {
        Answer::KeyUnwrap(key) => Ok(key),
        _ => panic!("another answer"),
    }
}

fn unwrap(
    client: &mut Client<'_>,
    key: u64,
    wrapping: v1::Wrapping,
    data: &[u8],
    kind: (v1::KeyClass, v1::KeyType),
) -> Result<v1::Key, Refusal> {
    unwrapped(client.change(Operation::KeyUnwrap(unwrap_message(key, wrapping, data, kind))))
}

#[test]
fn a_private_key_goes_out_and_signs_when_it_is_back() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut alice = Client::alice(&first);
    let kek = aes(&mut alice, &["wrap", "unwrap"]);
    let pair = alice.ec_pair("site");
    let kwp = || wrapping(v1::WrapMechanism::AesZeroPad);
    let data = wrap(&mut alice, private(&pair), kek.reference, kwp()).unwrap().wrapped;
    alice.change(key_delete(private(&pair))).unwrap();
    // On the other member, as it would be after a failure.
    let mut there = Client::alice(&second);
    let ec = (v1::KeyClass::Private, v1::KeyType::Ec);
    let key = unwrap(&mut there, kek.reference, kwp(), &data, ec).unwrap();
    let original = pair.private_key.as_ref().unwrap();
    assert_eq!((&key.check_value, &key.public_part), (&original.check_value, &original.public_part));
    assert_eq!((key.length_bytes, key.owner.as_str()), (original.length_bytes, "alice"));
    alice.seen = there.seen;
    let signature = alice.sign_ecdsa(key.reference).unwrap();
    let verify = v1::Verify {
        key: public(&pair),
        mechanism: v1::Mechanism::Ecdsa.into(),
        data: vec![7; 32],
        signature,
        ..v1::Verify::default()
    };
    alice.ask(Operation::Verify(verify)).unwrap();
}

#[test]
fn a_repeat_makes_one_key_and_other_bytes_are_another_command() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let kek = aes(&mut alice, &["wrap", "unwrap"]);
    let payload = aes(&mut alice, &[]);
    let result = wrap(&mut alice, payload.reference, kek.reference, gcm()).unwrap();
    let with_iv = v1::Wrapping { iv: result.iv.clone(), ..gcm() };
    let message = unwrap_message(kek.reference, with_iv, &result.wrapped, AES);
    let id = random::bytes::<16>();
    let key = unwrapped(alice.change_as(&id, Operation::KeyUnwrap(message.clone()))).unwrap();
    alice.change(key_delete(kek.reference)).unwrap();
    let again = unwrapped(alice.change_as(&id, Operation::KeyUnwrap(message.clone()))).unwrap();
    assert_eq!(again, key);
    let mut other = message.clone();
    other.wrapped[0] ^= 1;
    refused(alice.change_as(&id, Operation::KeyUnwrap(other)), Status::RequestIdReused);
    refused(alice.ask(Operation::KeyUnwrap(message)), Status::MalformedRequest);
}

#[test]
fn nobody_but_the_hsm_chooses_an_iv() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let kek = aes(&mut alice, &["wrap", "unwrap"]);
    let payload = aes(&mut alice, &[]);
    let with_iv = v1::Wrapping { iv: vec![7; 12], ..gcm() };
    let about = refused(wrap(&mut alice, payload.reference, kek.reference, with_iv.clone()), Status::MechanismInvalid);
    assert_eq!(about, "iv");
    let one = wrap(&mut alice, payload.reference, kek.reference, gcm()).unwrap();
    let other = wrap(&mut alice, payload.reference, kek.reference, gcm()).unwrap();
    assert!(one.iv.len() == 12 && one.iv != other.iv && one.wrapped != other.wrapped);
    // Without its iv, with another, with other data beside it.
    for iv in [vec![], vec![7; 11], vec![7; 13]] {
        let wrapping = v1::Wrapping { iv, ..gcm() };
        refused(unwrap(&mut alice, kek.reference, wrapping, &one.wrapped, AES), Status::MechanismInvalid);
    }
    let beside = v1::Wrapping { iv: one.iv.clone(), aad: Vec::new(), ..gcm() };
    for wrapping in [with_iv, beside] {
        refused(unwrap(&mut alice, kek.reference, wrapping, &one.wrapped, AES), Status::UnwrappingFailed);
    }
    let right = v1::Wrapping { iv: one.iv, ..gcm() };
    unwrap(&mut alice, kek.reference, right, &one.wrapped, AES).unwrap();
}

/// One status and one text, whether the padding, the length or what is inside is wrong.
#[test]
fn what_is_wrong_inside_is_not_told() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let pair = rsa_pair(&mut alice, &["wrap", "encrypt"], &["unwrap"]);
    let rsa_pkcs = || wrapping(v1::WrapMechanism::RsaPkcs);
    let mut wrapped_secret = |len| {
        let key = match alice.change(Operation::KeyGenerateSecret(secret(v1::KeyType::GenericSecret, len, &[]))) {
            Ok(Answer::KeyGenerateSecret(key)) => key.reference,
            _ => panic!("another answer"),
        };
        wrap(&mut alice, key, public(&pair), rsa_pkcs()).unwrap().wrapped
    };
    let (no_aes, aes) = (wrapped_secret(17), wrapped_secret(16));
    let mut damaged = aes.clone();
    damaged[100] ^= 1;
    let ec = (v1::KeyClass::Private, v1::KeyType::Ec);
    for (what, data, kind) in [
        ("padded, but no key", &no_aes, AES),
        ("not padded", &damaged, AES),
        ("not a number below the modulus", &vec![0xff; 256], AES),
        ("a secret, but no private key", &aes, ec),
    ] {
        let about = refused(unwrap(&mut alice, private(&pair), rsa_pkcs(), data, kind), Status::UnwrappingFailed);
        assert_eq!(about, "", "{what}");
    }
    let about = refused(unwrap(&mut alice, private(&pair), rsa_pkcs(), &aes[1..], AES), Status::DataLengthInvalid);
    assert_eq!(about, "");
    unwrap(&mut alice, private(&pair), rsa_pkcs(), &aes, AES).unwrap();
}

#[test]
fn refusals_name_their_cause() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let kek = aes(&mut alice, &["wrap", "unwrap"]).reference;
    let payload = aes(&mut alice, &[]).reference;
    let no_pad = || wrapping(v1::WrapMechanism::AesNoPad);
    let kw = wrap(&mut alice, payload, kek, no_pad()).unwrap().wrapped;
    let nothing = Operation::KeyWrap(v1::KeyWrap { payload, wrapping_key: kek, wrapping: None });
    assert_eq!(refused(alice.ask(nothing), Status::MalformedRequest), "wrapping");
    for (parameters, about) in [
        (wrapping(v1::WrapMechanism::Unspecified), "mechanism"),
        (wrapping(v1::WrapMechanism::AesGcm), "tag_bits"),
        (v1::Wrapping { mechanism: 99, ..v1::Wrapping::default() }, "mechanism"),
        (wrapping(v1::WrapMechanism::RsaOaep), "hash"),
    ] {
        assert_eq!(refused(wrap(&mut alice, payload, kek, parameters), Status::MechanismInvalid), about);
    }
    let beside = v1::Wrapping { aad: vec![1], ..no_pad() };
    refused(wrap(&mut alice, payload, kek, beside), Status::MalformedRequest);
    refused(wrap(&mut alice, 0, kek, no_pad()), Status::KeyUnknown);
    refused(wrap(&mut alice, payload, 0, no_pad()), Status::KeyUnknown);
    refused(wrap(&mut alice, kek, payload, no_pad()), Status::KeyFunctionNotPermitted);
    refused(unwrap(&mut alice, 0, no_pad(), &kw, AES), Status::KeyUnknown);
    refused(unwrap(&mut alice, kek, no_pad(), &vec![0; 16 * 1024 + 8], AES), Status::DataLengthInvalid);
    refused(unwrap(&mut alice, kek, no_pad(), &vec![0; 16 * 1024], AES), Status::UnwrappingFailed);
    let public_aes = (v1::KeyClass::Public, v1::KeyType::Aes);
    refused(unwrap(&mut alice, kek, no_pad(), &kw, public_aes), Status::PayloadInvalid);
    let mut bob = Client::logged_in(&member, "bob", super::world::CRYPTO_USER);
    refused(wrap(&mut bob, payload, kek, no_pad()), Status::KeyUnknown);
    refused(unwrap(&mut bob, kek, no_pad(), &kw, AES), Status::KeyUnknown);
    for key in [payload, kek] {
        alice.change(key_share(key, "bob")).unwrap();
    }
    refused(wrap(&mut bob, payload, kek, no_pad()), Status::KeyNotOwned);
    assert_eq!(unwrap(&mut bob, kek, no_pad(), &kw, AES).unwrap().owner, "bob");
    refused(wrap(&mut Client::admin(&member), payload, kek, no_pad()), Status::RoleNotPermitted);
    refused(wrap(&mut Client::of(&member), payload, kek, no_pad()), Status::NotLoggedIn);
    refused(wrap(&mut Client::appliance(&member), payload, kek, no_pad()), Status::RoleNotPermitted);
    for key in [kek, 0] {
        refused(unwrap(&mut Client::of(&member), key, no_pad(), &kw, AES), Status::NotLoggedIn);
    }
    alice.change(set_flag(kek, "unwrap", false)).unwrap();
    refused(unwrap(&mut alice, kek, no_pad(), &kw, AES), Status::KeyFunctionNotPermitted);
    alice.change(set_flag(payload, "extractable", false)).unwrap();
    refused(wrap(&mut alice, payload, kek, no_pad()), Status::KeyNotExtractable);
}

#[test]
fn session_keys_wrap_and_are_wrapped_on_every_member() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut here = Client::alice(&first);
    let kek = session_aes(&mut here, &["wrap", "unwrap"]);
    let payload = session_aes(&mut here, &[]);
    let mut there = Client::of(&second);
    there.attach(&here.ticket).unwrap();
    let named = |sealed: bool| {
        let named = |key: &v1::Key| {
            let sealed = if sealed { key.sealed_session_key.clone() } else { Vec::new() };
            v1::SessionKey { reference: key.reference, sealed }
        };
        vec![named(&kek), named(&payload)]
    };
    let kwp = || wrapping(v1::WrapMechanism::AesZeroPad);
    let asked = |sealed| v1::Request {
        session_keys: named(sealed),
        operation: Some(wrap_operation(payload.reference, kek.reference, kwp())),
        ..v1::Request::default()
    };
    let data = wrapped(here.send(asked(false))).unwrap().wrapped;
    refused(there.send(asked(false)), Status::SessionKeyMissing);
    assert_eq!(wrapped(there.send(asked(true))).unwrap().wrapped, data, "KWP has no randomness");
    refused(here.ask(wrap_operation(payload.reference, kek.reference, kwp())), Status::KeyUnknown);
    // Unwrapped under the session key: one of the store, and one of the session.
    let message = unwrap_message(kek.reference, kwp(), &data, AES);
    let keep = v1::Request {
        request_id: random::bytes::<16>().to_vec(),
        session_keys: named(true),
        operation: Some(Operation::KeyUnwrap(message.clone())),
        ..v1::Request::default()
    };
    let stored = unwrapped(there.send(keep.clone())).unwrap();
    assert_eq!(stored.check_value, payload.check_value);
    assert!(stored.sealed_session_key.is_empty() && stored.key_revision > 0);
    assert_eq!(unwrapped(there.send(keep)).unwrap(), stored);
    let mut passing = message;
    passing.template.push(session());
    let asked = v1::Request {
        session_keys: named(true),
        operation: Some(Operation::KeyUnwrap(passing)),
        ..v1::Request::default()
    };
    let passing = unwrapped(there.send(asked)).unwrap();
    assert_eq!((passing.key_revision, &passing.check_value), (0, &payload.check_value));
    assert!(!passing.sealed_session_key.is_empty());
    let mut bob = Client::logged_in(&first, "bob", super::world::CRYPTO_USER);
    let stolen = wrap_operation(payload.reference, kek.reference, kwp());
    let asked = v1::Request { session_keys: named(true), operation: Some(stolen), ..v1::Request::default() };
    refused(bob.send(asked), Status::KeyUnknown);
}

fn import(client: &mut Client<'_>, info: Vec<u8>, key_type: v1::KeyType, flags: &[&str]) -> Result<v1::Key, Refusal> {
    let template = flags.iter().map(|name| flag(name)).chain([label("from outside")]).collect();
    let message =
        v1::KeyImport { public_key_info: info, key_type: key_type.into(), template, ..v1::KeyImport::default() };
    match client.change(Operation::KeyImport(message))? {
        Answer::KeyImport(key) => Ok(key),
        _ => panic!("another answer"),
    }
}

#[test]
fn a_public_key_from_outside_verifies_and_wraps() {
    let (world, member) = World::active();
    let mut alice = Client::alice(&member);
    let elsewhere = World::active();
    let mut partner = Client::alice(&elsewhere.1);
    let pair = rsa_pair(&mut partner, &["wrap"], &["unwrap"]);
    let Some(v1::key::PublicPart::Rsa(numbers)) = pair.public_key.as_ref().unwrap().public_part.clone() else {
        panic!("an RSA key")
    };
    let public = PublicPart::Rsa { modulus: numbers.modulus, public_exponent: numbers.public_exponent };
    let target = import(&mut alice, spki::encode(&public), v1::KeyType::Rsa, &["wrap"]).unwrap();
    assert_eq!(target.check_value, pair.public_key.as_ref().unwrap().check_value);
    let payload = aes(&mut alice, &[]);
    let result = wrap(&mut alice, payload.reference, target.reference, oaep()).unwrap();
    let back = unwrap(&mut partner, private(&pair), oaep(), &result.wrapped, AES).unwrap();
    assert_eq!(back.check_value, payload.check_value);
    // And it cannot be unwrapped here, where nobody has the private half.
    refused(unwrap(&mut alice, target.reference, oaep(), &result.wrapped, AES), Status::KeyTypeInconsistent);
    // One that starts now reads it from the store.
    let third = world.member(3);
    let found = Client::alice(&third).find(v1::KeyFind { limit: 10, ..v1::KeyFind::default() }).unwrap();
    assert!(found.keys.contains(&target));
}

#[test]
fn a_public_key_that_is_none_is_refused_by_cause() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let pair = alice.ec_pair("any");
    let Some(v1::key::PublicPart::Ec(ec)) = pair.public_key.unwrap().public_part else { panic!("an EC key") };
    let good = PublicPart::Ec { curve: Curve::P256, point: ec.point.clone() };
    let info = spki::encode(&good);
    refused(import(&mut alice, info.clone(), v1::KeyType::Rsa, &[]), Status::TemplateInconsistent);
    refused(import(&mut alice, info.clone(), v1::KeyType::Ec, &["unwrap"]), Status::AttributeUnknown);
    for len in 0..info.len() {
        refused(import(&mut alice, info[..len].to_vec(), v1::KeyType::Ec, &[]), Status::AttributeValueInvalid);
    }
    let mut off = ec.point;
    off[40] ^= 1;
    let off = spki::encode(&PublicPart::Ec { curve: Curve::P256, point: off });
    refused(import(&mut alice, off, v1::KeyType::Ec, &[]), Status::AttributeValueInvalid);
    let three = PublicPart::Rsa { modulus: vec![0xff; 256], public_exponent: vec![3] };
    refused(import(&mut alice, spki::encode(&three), v1::KeyType::Rsa, &[]), Status::AttributeValueInvalid);
    let long = PublicPart::Rsa { modulus: vec![0xff; 544], public_exponent: vec![1, 0, 1] };
    refused(import(&mut alice, spki::encode(&long), v1::KeyType::Rsa, &[]), Status::KeySizeInvalid);
    let of_len = |len| vec![0x30; len];
    refused(import(&mut alice, of_len(4 * 1024), v1::KeyType::Rsa, &[]), Status::AttributeValueInvalid);
    refused(import(&mut alice, of_len(4 * 1024 + 1), v1::KeyType::Rsa, &[]), Status::MalformedRequest);
    // Who may not bring keys in learns nothing of one.
    for info in [info, vec![0x30; 40]] {
        let message =
            v1::KeyImport { public_key_info: info, key_type: v1::KeyType::Ec.into(), ..v1::KeyImport::default() };
        let operation = || Operation::KeyImport(message.clone());
        refused(Client::admin(&member).change(operation()), Status::RoleNotPermitted);
        refused(Client::of(&member).change(operation()), Status::NotLoggedIn);
    }
}

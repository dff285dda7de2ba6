//! Keys that come in clear, keys made from others, and values of keys.

use strongroom_crypto::{der, pkcs8};
use strongroom_types::limits::PRIVATE_KEY_INFO_LEN_MAX;
use strongroom_types::{Curve, Derivation, EcdhKdf, HashFunction, KdfField, Prf, Refusal, Secret, Status};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{derivation_message, v1};

use super::world::{Client, World, flag, key_delete, key_share, label, private, public, refused, session, set_flag};

fn no(name: &str) -> v1::Attribute {
    v1::Attribute { name: name.into(), value: Some(v1::attribute::Value::Boolean(false)) }
}

fn import_secret(key_type: v1::KeyType, secret: &[u8], template: Vec<v1::Attribute>) -> Operation {
    let secret = secret.to_vec();
    Operation::KeyImport(v1::KeyImport { key_type: key_type.into(), secret, template, ..v1::KeyImport::default() })
}

fn import_private(key_type: v1::KeyType, pkcs8: &Secret, template: Vec<v1::Attribute>) -> Operation {
    let private_key_info = pkcs8.expose().to_vec();
    let key_type = key_type.into();
    Operation::KeyImport(v1::KeyImport { key_type, private_key_info, template, ..v1::KeyImport::default() })
}

fn key(outcome: Result<Answer, Refusal>) -> Result<v1::Key, Refusal> {
    match outcome? {
        Answer::KeyImport(key) | Answer::KeyDerive(key) => Ok(key),
        _ => panic!("another answer"),
    }
}

fn read(client: &mut Client<'_>, reference: u64) -> Result<Vec<u8>, Refusal> {
    match client.ask(Operation::KeyReadValue(v1::KeyReadValue { reference }))? {
        Answer::KeyReadValue(result) => Ok(result.value),
        _ => panic!("another answer"),
    }
}

fn x963(peer_point: Vec<u8>) -> Derivation {
    Derivation::Ecdh { peer_point, kdf: EcdhKdf::X963 { hash: HashFunction::Sha256, shared_info: b"both".to_vec() } }
}

fn counter_kdf() -> Derivation {
    let fields =
        vec![KdfField::Counter { bits: 32 }, KdfField::Bytes(b"label".to_vec()), KdfField::Length { bits: 32 }];
    Derivation::CounterKdf { prf: Prf::Hmac(HashFunction::Sha256), fields }
}

fn derive(base_key: u64, derivation: &Derivation, key_type: v1::KeyType, length_bytes: u32) -> v1::KeyDerive {
    let derivation = Some(derivation_message(derivation));
    v1::KeyDerive { base_key, derivation, key_type: key_type.into(), length_bytes, template: vec![label("derived")] }
}

/// A private key on P-256 with this scalar.
fn p256(scalar: u8) -> Secret {
    pkcs8::ec(Curve::P256, &Secret::from(&[scalar][..])).unwrap()
}

fn point(key: &v1::Key) -> Vec<u8> {
    match &key.public_part {
        Some(v1::key::PublicPart::Ec(ec)) => ec.point.clone(),
        _ => panic!("an EC key"),
    }
}

fn has(key: &v1::Key, flag: strongroom_types::Flag) -> bool {
    strongroom_types::Flags::from_bits(key.flags).unwrap().has(flag)
}

#[test]
fn a_secret_comes_in_once_and_shows_its_value_if_it_may() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let open = vec![no("sensitive"), label("open")];
    let operation = import_secret(v1::KeyType::Aes, &[7; 32], open.clone());
    let imported = key(alice.change_as(&[9; 16], operation.clone())).unwrap();
    assert_eq!(key(alice.change_as(&[9; 16], operation)).unwrap(), imported, "a repeat acts once");
    let other = import_secret(v1::KeyType::Aes, &[8; 32], open);
    refused(alice.change_as(&[9; 16], other), Status::RequestIdReused);
    assert_eq!(read(&mut alice, imported.reference).unwrap(), [7; 32]);
    for name in [strongroom_types::Flag::Local, strongroom_types::Flag::AlwaysSensitive] {
        assert!(!has(&imported, name), "{name:?}");
    }
    // Whoever may use the key sees its value, and nobody else does.
    let mut bob = Client::logged_in(&member, "bob", super::world::CRYPTO_USER);
    refused(read(&mut bob, imported.reference), Status::KeyUnknown);
    alice.change(key_share(imported.reference, "bob")).unwrap();
    assert_eq!(read(&mut bob, imported.reference).unwrap(), [7; 32]);
    alice.change(set_flag(imported.reference, "wrap-with-trusted", true)).unwrap();
    assert_eq!(refused(read(&mut bob, imported.reference), Status::KeySensitive), "wrap-with-trusted=true");
    let closed = key(alice.change(import_secret(v1::KeyType::GenericSecret, &[1; 20], vec![]))).unwrap();
    assert_eq!(refused(read(&mut alice, closed.reference), Status::KeySensitive), "sensitive=true");
    refused(read(&mut Client::of(&member), closed.reference), Status::NotLoggedIn);
}

#[test]
fn session_keys_come_in_and_are_derived_and_read() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let template = vec![no("sensitive"), flag("derive"), session()];
    let base = key(alice.ask(import_secret(v1::KeyType::Aes, &[7; 16], template))).unwrap();
    assert!(!base.sealed_session_key.is_empty());
    let message = Operation::KeyReadValue(v1::KeyReadValue { reference: base.reference });
    let Answer::KeyReadValue(value) = alice.ask_naming(&base, &[], message).unwrap() else { panic!("another answer") };
    assert_eq!(value.value, [7; 16]);
    let mut message = derive(base.reference, &counter_kdf(), v1::KeyType::Aes, 32);
    let lasting = key(alice.ask_naming(&base, &[], Operation::KeyDerive(message.clone())));
    refused(lasting, Status::MalformedRequest);
    message.template.push(session());
    let derived = key(alice.ask_naming(&base, &[], Operation::KeyDerive(message.clone()))).unwrap();
    assert!(!derived.sealed_session_key.is_empty());
    // Another login does not get at either.
    let mut other = Client::alice(&member);
    let sealed = base.sealed_session_key.clone();
    refused(key(other.ask_naming(&base, &sealed, Operation::KeyDerive(message))), Status::KeyUnknown);
}

#[test]
fn both_sides_of_an_agreement_derive_the_same_key() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let mut side = |scalar| {
        let template = vec![flag("derive"), flag("sign")];
        key(alice.change(import_private(v1::KeyType::Ec, &p256(scalar), template))).unwrap()
    };
    let (one, two) = (side(3), side(5));
    alice.sign_ecdsa(one.reference).unwrap();
    let agree = |alice: &mut Client<'_>, base: &v1::Key, peer: &v1::Key, key_type, len| {
        key(alice.change(Operation::KeyDerive(derive(base.reference, &x963(point(peer)), key_type, len))))
    };
    for (key_type, len) in [(v1::KeyType::Aes, 16), (v1::KeyType::Aes, 32), (v1::KeyType::Des3, 24)] {
        let here = agree(&mut alice, &one, &two, key_type, len).unwrap();
        let there = agree(&mut alice, &two, &one, key_type, len).unwrap();
        assert_eq!((here.check_value.len(), &here.check_value), (3, &there.check_value));
        assert!(has(&here, strongroom_types::Flag::Local) && !has(&here, strongroom_types::Flag::NeverExtractable));
    }
    let secret = agree(&mut alice, &one, &two, v1::KeyType::GenericSecret, 800).unwrap();
    refused(read(&mut alice, secret.reference), Status::KeySensitive);
    refused(agree(&mut alice, &one, &two, v1::KeyType::GenericSecret, 801), Status::KeySizeInvalid);
    // The shared secret itself may be had in clear; what a function makes of it may not.
    let in_clear = |kdf| {
        let derivation = Derivation::Ecdh { peer_point: point(&two), kdf };
        let mut message = derive(one.reference, &derivation, v1::KeyType::GenericSecret, 32);
        message.template.push(no("sensitive"));
        Operation::KeyDerive(message)
    };
    let function = EcdhKdf::X963 { hash: HashFunction::Sha256, shared_info: Vec::new() };
    refused(alice.change(in_clear(function)), Status::AttributeValueInvalid);
    let open = key(alice.change(in_clear(EcdhKdf::None))).unwrap();
    assert!(!has(&open, strongroom_types::Flag::AlwaysSensitive));
    assert_eq!(read(&mut alice, open.reference).unwrap().len(), 32);
    refused(agree(&mut alice, &one, &two, v1::KeyType::Rsa, 16), Status::TemplateInconsistent);
    // What is no point of the curve.
    let mut off = point(&two);
    off[40] ^= 1;
    let derivation = |peer| Operation::KeyDerive(derive(one.reference, &x963(peer), v1::KeyType::Aes, 16));
    refused(alice.change(derivation(off)), Status::DataInvalid);
    refused(alice.change(derivation(vec![4; 64])), Status::DataLengthInvalid);
    refused(alice.change(derivation(vec![0])), Status::DataLengthInvalid);
    refused(alice.change(derivation(vec![4; 97])), Status::DataLengthInvalid);
    refused(alice.change(derivation([&[4][..], &[0; 64]].concat())), Status::DataInvalid);
    let other = alice.ec_pair("signs");
    let message = derive(private(&other), &x963(point(&two)), v1::KeyType::Aes, 16);
    refused(alice.change(Operation::KeyDerive(message)), Status::KeyFunctionNotPermitted);
    let message = derive(public(&other), &x963(point(&two)), v1::KeyType::Aes, 16);
    refused(alice.change(Operation::KeyDerive(message)), Status::KeyTypeInconsistent);
    let message = derive(one.reference, &counter_kdf(), v1::KeyType::Aes, 16);
    refused(alice.change(Operation::KeyDerive(message)), Status::KeyTypeInconsistent);
}

#[test]
fn a_derivation_acts_once_and_ends_with_the_right() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let base = key(alice.change(import_secret(v1::KeyType::Aes, &[7; 32], vec![flag("derive")]))).unwrap();
    let message = || Operation::KeyDerive(derive(base.reference, &counter_kdf(), v1::KeyType::Aes, 32));
    let derived = key(alice.change_as(&[1; 16], message())).unwrap();
    assert_eq!(key(alice.change_as(&[1; 16], message())).unwrap(), derived);
    let again = key(alice.change(message())).unwrap();
    assert_ne!(again.reference, derived.reference);
    assert_eq!(again.check_value, derived.check_value, "the same bytes, another key");
    alice.change(set_flag(base.reference, "derive", false)).unwrap();
    assert_eq!(refused(alice.change(message()), Status::KeyFunctionNotPermitted), "derive");
    alice.change(key_delete(base.reference)).unwrap();
    refused(alice.change(message()), Status::KeyUnknown);
    assert_eq!(key(alice.change_as(&[1; 16], message())).unwrap(), derived, "what was done is answered");
}

#[test]
fn private_keys_that_are_none_are_refused_and_bounded() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let mut import =
        |key_type, bytes: Vec<u8>| key(alice.change(import_private(key_type, &Secret::new(bytes), vec![flag("sign")])));
    let good = p256(9);
    for len in 1..good.len() {
        refused(import(v1::KeyType::Ec, good.expose()[..len].to_vec()), Status::AttributeValueInvalid);
    }
    refused(import(v1::KeyType::Rsa, good.expose().to_vec()), Status::AttributeValueInvalid);
    refused(import(v1::KeyType::MlDsa, good.expose().to_vec()), Status::MechanismInvalid);
    refused(import(v1::KeyType::Aes, good.expose().to_vec()), Status::TemplateInconsistent);
    let zero = pkcs8::ec(Curve::P256, &Secret::from(&[0][..])).unwrap();
    refused(import(v1::KeyType::Ec, zero.expose().to_vec()), Status::AttributeValueInvalid);
    // Attributes in the PKCS #8 are as long as one likes, and are not kept.
    let mut reader = der::Reader::new(good.expose());
    let mut inner = reader.sequence().unwrap();
    let (version, algorithm) = (inner.any().unwrap(), inner.any().unwrap());
    let (version, algorithm) = (der::element(version.0, &[version.1]), der::element(algorithm.0, &[algorithm.1]));
    let key_octets = der::octet_string(inner.read(der::tag::OCTET_STRING).unwrap());
    let padded = |len: usize| {
        let of = |fill: usize| {
            let attributes = der::element(0xa0, &[&der::octet_string(&vec![7; fill])]);
            der::sequence(&[&version, &algorithm, &key_octets, &attributes])
        };
        (0..len).rev().map(of).find(|bytes| bytes.len() == len).unwrap()
    };
    let most = import(v1::KeyType::Ec, padded(PRIVATE_KEY_INFO_LEN_MAX)).unwrap();
    assert_eq!(most.length_bytes, 138);
    refused(import(v1::KeyType::Ec, padded(PRIVATE_KEY_INFO_LEN_MAX + 1)), Status::MalformedRequest);
}

#[test]
fn exactly_one_key_comes_in() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let mut message = v1::KeyImport {
        key_type: v1::KeyType::Aes.into(),
        secret: vec![7; 16],
        private_key_info: vec![1],
        ..v1::KeyImport::default()
    };
    refused(alice.change(Operation::KeyImport(message.clone())), Status::MalformedRequest);
    message.private_key_info.clear();
    message.public_key_info = vec![1];
    refused(alice.change(Operation::KeyImport(message.clone())), Status::MalformedRequest);
    message.public_key_info.clear();
    refused(Client::of(&member).change(Operation::KeyImport(message.clone())), Status::NotLoggedIn);
    refused(Client::admin(&member).change(Operation::KeyImport(message.clone())), Status::RoleNotPermitted);
    key(alice.change(Operation::KeyImport(message.clone()))).unwrap();
    message.secret = vec![7; 17];
    refused(alice.change(Operation::KeyImport(message)), Status::KeySizeInvalid);
}

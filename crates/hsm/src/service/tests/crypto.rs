//! Keys in use.

use strongroom_crypto::digest::{digest, digest_info};
use strongroom_types::limits::{ED25519_DATA_LEN_MAX, HSM2M_KEYS_MAX, RANDOM_LEN_MAX, RANDOM_LEN_MAX_BEFORE_LOGIN};
use strongroom_types::{HashFunction, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::{Client, World, aes, flag, key_delete, label, private, public, refused};

const SHA256: i32 = v1::HashFunction::Sha256 as i32;

fn sign(client: &mut Client<'_>, message: v1::Sign) -> Result<Vec<u8>, strongroom_types::Refusal> {
    match client.ask(Operation::Sign(message))? {
        Answer::Sign(signed) => Ok(signed.signature),
        _ => panic!("another answer"),
    }
}

#[test]
fn signatures_of_every_mechanism_verify() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let (rsa, ec) = (alice.rsa_pair("rsa"), alice.ec_pair("ec"));
    let (ed25519, ml_dsa) = (alice.ed25519_pair("ed25519"), alice.ml_dsa_pair("ml-dsa"));
    let hashed = digest(HashFunction::Sha256, b"a message");
    let block = [vec![0, 1], vec![0xff; 202], vec![0], digest_info(HashFunction::Sha256, &hashed)].concat();
    let mut check = |pair: &v1::KeyPair, mechanism: v1::Mechanism, hash, salt_length, data: Vec<u8>| {
        let mechanism = mechanism.into();
        let message = v1::Sign { key: private(pair), mechanism, hash, salt_length, data: data.clone() };
        let signature = sign(&mut alice, message).unwrap();
        let verify = |signature: Vec<u8>, data: &[u8]| {
            let key = public(pair);
            Operation::Verify(v1::Verify { key, mechanism, hash, salt_length, data: data.into(), signature })
        };
        assert!(matches!(alice.ask(verify(signature.clone(), &data)), Ok(Answer::Verify(_))));
        let mut other = data.clone();
        *other.last_mut().unwrap() ^= 1;
        refused(alice.ask(verify(signature.clone(), &other)), Status::SignatureInvalid);
        let mut broken = signature;
        broken[0] ^= 1;
        refused(alice.ask(verify(broken, &data)), Status::SignatureInvalid);
        refused(alice.ask(verify(Vec::new(), &data)), Status::SignatureInvalid);
    };
    check(&rsa, v1::Mechanism::RsaPkcs, 0, 0, digest_info(HashFunction::Sha256, &hashed));
    check(&rsa, v1::Mechanism::RsaPkcsPss, SHA256, 32, hashed.clone());
    check(&rsa, v1::Mechanism::RsaX509, 0, 0, block[..256].to_vec());
    check(&ec, v1::Mechanism::Ecdsa, 0, 0, hashed);
    check(&ed25519, v1::Mechanism::Ed25519, 0, 0, vec![7; ED25519_DATA_LEN_MAX]);
    check(&ed25519, v1::Mechanism::Ed25519Ph, 0, 0, vec![7; 64]);
    check(&ml_dsa, v1::Mechanism::MlDsa, 0, 0, vec![7; 64]);
    let state = Client::appliance(&member).ask(Operation::ApplianceState(v1::ApplianceState {})).unwrap();
    let Answer::ApplianceState(state) = state else { panic!("another answer") };
    assert_eq!(state.signatures, 7);
    assert_eq!(member.keys.len(), 4);
}

#[test]
fn what_rsa_encrypted_is_decrypted() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let pair = alice.rsa_pair("rsa");
    // The public operation of a raw block is verification's; here signing and decrypting undo each other.
    let mut block = vec![7; 256];
    block[0] = 0;
    let raw: i32 = v1::Mechanism::RsaX509.into();
    let message = v1::Sign { key: private(&pair), mechanism: raw, data: block.clone(), ..Default::default() };
    let signature = sign(&mut alice, message).unwrap();
    let decrypt = |data: Vec<u8>, mechanism: i32, hash| {
        Operation::Decrypt(v1::Decrypt { key: private(&pair), mechanism, hash, data, ..v1::Decrypt::default() })
    };
    let Answer::Decrypt(decrypted) = alice.ask(decrypt(block, raw, 0)).unwrap() else { panic!("another answer") };
    assert_eq!(decrypted.data, signature);
    refused(alice.ask(decrypt(vec![1; 255], raw, 0)), Status::DataLengthInvalid);
    refused(alice.ask(decrypt(signature.clone(), v1::Mechanism::RsaOaep.into(), SHA256)), Status::DecryptionFailed);
    refused(alice.ask(decrypt(signature, v1::Mechanism::Ecdsa.into(), 0)), Status::MechanismInvalid);
}

#[test]
fn uses_that_do_not_fit_are_refused_by_cause() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let (rsa, ec) = (alice.rsa_pair("rsa"), alice.ec_pair("ec"));
    let ecdsa: i32 = v1::Mechanism::Ecdsa.into();
    let message =
        |key: u64, mechanism: i32, len: usize| v1::Sign { key, mechanism, data: vec![7; len], ..v1::Sign::default() };
    refused(sign(&mut alice, message(private(&rsa), ecdsa, 32)), Status::KeyTypeInconsistent);
    refused(sign(&mut alice, message(private(&ec), v1::Mechanism::RsaPkcs.into(), 32)), Status::KeyTypeInconsistent);
    refused(sign(&mut alice, message(private(&ec), ecdsa, 0)), Status::DataLengthInvalid);
    refused(sign(&mut alice, message(private(&ec), 99, 32)), Status::MechanismInvalid);
    refused(sign(&mut alice, message(0, ecdsa, 32)), Status::KeyUnknown);
    refused(sign(&mut alice, message(0xabcdef, ecdsa, 32)), Status::KeyUnknown);
    assert!(sign(&mut alice, message(public(&ec), ecdsa, 32)).is_err());
    let silent = v1::KeyGeneratePair {
        algorithm: Some(v1::key_generate_pair::Algorithm::Curve(v1::Curve::P384.into())),
        private_template: vec![
            label("silent"),
            v1::Attribute { name: "sign".into(), value: Some(v1::attribute::Value::Boolean(false)) },
        ],
        public_template: vec![label("silent")],
        ..v1::KeyGeneratePair::default()
    };
    let Answer::KeyGeneratePair(silent) = alice.change(Operation::KeyGeneratePair(silent)).unwrap() else {
        panic!("another answer")
    };
    let about = refused(sign(&mut alice, message(private(&silent), ecdsa, 32)), Status::KeyFunctionNotPermitted);
    assert_eq!(about, "sign");
    let mut bob = Client::logged_in(&member, "bob", super::world::CRYPTO_USER);
    refused(bob.sign_ecdsa(private(&ec)), Status::KeyUnknown);
    refused(bob.change(key_delete(private(&ec))), Status::KeyUnknown);
}

#[test]
fn a_deleted_key_leaves_the_cache() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let (one, other) = (alice.ec_pair("one"), alice.ec_pair("other"));
    alice.sign_ecdsa(private(&one)).unwrap();
    alice.sign_ecdsa(private(&other)).unwrap();
    assert_eq!(member.keys.len(), 2);
    alice.change(key_delete(private(&one))).unwrap();
    assert_eq!(member.keys.len(), 1);
    refused(alice.sign_ecdsa(private(&one)), Status::KeyUnknown);
    alice.sign_ecdsa(private(&other)).unwrap();
}

#[test]
fn keys_are_found_in_pages() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    for number in 0..5 {
        alice.change(aes(&format!("key {number}"))).unwrap();
    }
    let all = alice.find(v1::KeyFind { limit: 1_000, ..v1::KeyFind::default() }).unwrap();
    assert_eq!((all.total, all.keys.len()), (5, 5));
    let page = alice.find(v1::KeyFind { offset: 3, limit: 2, ..v1::KeyFind::default() }).unwrap();
    assert_eq!((page.total, &page.keys[..]), (5, &all.keys[3..]));
    let count = alice.find(v1::KeyFind::default()).unwrap();
    assert_eq!((count.total, count.keys.len()), (5, 0));
    let one = alice.find(v1::KeyFind { filter: vec![label("key 3")], limit: 9, ..Default::default() }).unwrap();
    assert_eq!((one.total, one.keys[0].label.as_str(), one.keys[0].owner.as_str()), (1, "key 3", "alice"));
    let reference = one.keys[0].reference;
    let named = alice.find(v1::KeyFind { reference, limit: 9, ..Default::default() }).unwrap();
    assert_eq!(named.keys, one.keys);
    let too_many = v1::KeyFind { filter: vec![flag("sign"); 65], ..Default::default() };
    refused(alice.find(too_many), Status::MalformedRequest);
}

#[test]
fn a_page_fits_a_frame() {
    use prost::Message;
    use strongroom_core::KeyView;
    use strongroom_types::limits::FRAME_LEN_MAX;
    use strongroom_types::{Attributes, Flags, KeyClass, KeyReference, KeyType, Revision, UserName};
    let names: Vec<UserName> =
        (0..1_000).map(|number| format!("a-user-with-a-long-name-{number}").parse().unwrap()).collect();
    let key = |number| KeyView {
        reference: KeyReference::from_u64(number).unwrap(),
        attributes: Attributes {
            class: KeyClass::SecretKey,
            key_type: KeyType::Aes,
            label: "x".repeat(127),
            id: vec![1; 127],
            check_value: None,
            flags: Flags::NONE,
            length_bytes: 32,
            public: None,
            templates: strongroom_types::KeyTemplates::NONE,
        },
        owner: names[0].clone(),
        shared_with: names.clone(),
        revision: Revision(1),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let alone = super::super::keys::page((1..=1_000).map(key).collect(), 0).len();
    assert!((20..100).contains(&alone), "{alone}");
    let references = vec![u64::MAX; HSM2M_KEYS_MAX];
    let keys = super::super::keys::page((1..=1_000).map(key).collect(), references.len() * 8);
    assert!((1..alone).contains(&keys.len()), "{}", keys.len());
    let result = Some(Answer::KeyFind(v1::KeyFindResult { total: 16_666, keys, references }));
    let response = v1::Response { result, about: "x".repeat(512), ticket: vec![1; 512], ..Default::default() };
    assert!(response.encoded_len() <= FRAME_LEN_MAX);
}

#[test]
fn a_search_tells_all_references_in_one_answer() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    for number in 0..7 {
        alice.change(aes(["even", "odd"][number % 2])).unwrap();
    }
    let mut find = |text: Option<&str>, limit| {
        let filter = text.map(label).into_iter().collect();
        alice.find(v1::KeyFind { filter, limit, all_references: true, ..Default::default() }).unwrap()
    };
    let all = find(None, 1_000);
    assert_eq!((all.total, all.references.len(), all.keys.len()), (7, 7, 7));
    assert!(all.references.is_sorted());
    assert_eq!(all.references, all.keys.iter().map(|key| key.reference).collect::<Vec<_>>());
    let even = find(Some("even"), 1);
    assert_eq!((even.total, even.references.len(), even.keys.len()), (4, 4, 1));
    assert_eq!(even.keys[0].reference, even.references[0]);
    assert!(even.references.iter().all(|reference| all.references.contains(reference)));
    assert_eq!(find(Some("none"), 1).references, [0; 0]);
    let unwanted = alice.find(v1::KeyFind { limit: 9, ..Default::default() }).unwrap();
    assert_eq!((unwanted.total, unwanted.references.len()), (7, 0));
}

/// A member that has not applied it yet asks the store; one that has applied it needs no store.
#[test]
fn one_key_is_told_by_its_reference_to_who_may_see_it() {
    let (world, first) = World::active();
    let second = world.member(2);
    let get = |client: &mut Client<'_>, reference| match client.ask(Operation::KeyGet(v1::KeyGet { reference }))? {
        Answer::KeyGet(key) => Ok(key),
        _ => panic!("another answer"),
    };
    let mut alice = Client::alice(&first);
    let mut bob = Client::logged_in(&second, "bob", super::world::CRYPTO_USER);
    let pair = alice.ec_pair("one");
    let key = private(&pair);
    assert_eq!(get(&mut alice, key).unwrap(), pair.private_key.clone().unwrap());
    assert_eq!(get(&mut bob, public(&pair)).unwrap(), pair.public_key.clone().unwrap());
    refused(get(&mut bob, key), Status::KeyUnknown);
    alice.change(super::world::key_share(key, "bob")).unwrap();
    assert_eq!(get(&mut bob, key).unwrap().shared_with, ["bob"]);
    assert_eq!(get(&mut Client::admin(&second), key).unwrap().reference, key);
    for none in [0, key ^ 1, u64::MAX] {
        refused(get(&mut alice, none), Status::KeyUnknown);
    }
    refused(get(&mut Client::of(&first), key), Status::NotLoggedIn);
    refused(get(&mut Client::of(&first), 0), Status::NotLoggedIn);
    first.door.set_unavailable(true);
    assert_eq!(get(&mut alice, key).unwrap().reference, key);
    refused(get(&mut alice, key ^ 1), Status::StoreUnavailable);
}

#[test]
fn random_bytes_are_drawn_for_everybody_and_more_with_a_login() {
    let (_world, member) = World::active();
    let draw = |client: &mut Client<'_>, len: usize| match client
        .ask(Operation::Random(v1::Random { len: u32::try_from(len).unwrap() }))?
    {
        Answer::Random(result) => Ok(result.data),
        _ => panic!("another answer"),
    };
    let (mut stranger, mut alice) = (Client::of(&member), Client::alice(&member));
    for len in [1, 32, RANDOM_LEN_MAX_BEFORE_LOGIN] {
        for client in [&mut stranger, &mut alice] {
            assert_eq!(draw(client, len).unwrap().len(), len);
        }
    }
    assert_ne!(draw(&mut stranger, 32).unwrap(), draw(&mut stranger, 32).unwrap());
    assert_eq!(draw(&mut alice, RANDOM_LEN_MAX).unwrap().len(), RANDOM_LEN_MAX);
    assert_eq!(draw(&mut Client::admin(&member), RANDOM_LEN_MAX).unwrap().len(), RANDOM_LEN_MAX);
    for len in [0, RANDOM_LEN_MAX + 1, u32::MAX as usize] {
        refused(draw(&mut alice, len), Status::DataLengthInvalid);
    }
    refused(draw(&mut stranger, RANDOM_LEN_MAX_BEFORE_LOGIN + 1), Status::DataLengthInvalid);
    alice.change(Operation::Logout(v1::Logout {})).unwrap();
    assert_eq!(draw(&mut alice, 32).unwrap().len(), 32);
    refused(draw(&mut alice, RANDOM_LEN_MAX), Status::DataLengthInvalid);
    refused(draw(&mut Client::appliance(&member), 32), Status::RoleNotPermitted);
}

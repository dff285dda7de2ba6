//! Keys that demand something of what they wrap and unwrap, and copies of keys: by the client that every door has, on a
//! cluster of processes that end and start again. `openssl` says whether a copy's material is the original's.

use std::fs;
use std::path::Path;

use strongroom_client::{Client, ClientError, KeyInfo, PairAlgorithm, Wrapping};
use strongroom_tests::{World, kill};
use strongroom_types::{
    AttributeName, AttributeValue, Filter, FilterTerm, Flag, HashFunction, KeyClass, KeyQuorum, KeyReference, KeyType,
    Role, SignMechanism, Status, Template, WrapMechanism,
};

use crate::crash::login;

type Attribute = (AttributeName, AttributeValue);

const AES: (KeyClass, KeyType) = (KeyClass::SecretKey, KeyType::Aes);
const NOBODY: (&[strongroom_types::UserName], KeyQuorum) = (&[], KeyQuorum::NONE);
/// DigestInfo of SHA-256 without the digest (RFC 8017 §9.2).
const SHA256_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

fn flag(flag: Flag, value: bool) -> Attribute {
    (AttributeName::Flag(flag), AttributeValue::Bool(value))
}

fn label(text: &str) -> Attribute {
    (AttributeName::Label, AttributeValue::Text(text.to_owned()))
}

fn wrap_template(template: Template) -> Attribute {
    (AttributeName::WrapTemplate, AttributeValue::Template(template))
}

fn unwrap_template(template: Template) -> Attribute {
    (AttributeName::UnwrapTemplate, AttributeValue::Template(template))
}

fn kwp() -> Wrapping {
    Wrapping::of(WrapMechanism::AesZeroPad)
}

#[track_caller]
fn aes(client: &Client, template: Template) -> KeyReference {
    client.key_generate_secret(KeyType::Aes, 32, &template, &[]).expect("a key").reference
}

/// Public and private half, with all that signing needs.
#[track_caller]
fn rsa(client: &Client, private: Template) -> (KeyReference, KeyReference) {
    let algorithm = PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent: vec![1, 0, 1] };
    let private = [vec![flag(Flag::Sign, true)], private].concat();
    let pair = client.key_generate_pair(&algorithm, &vec![flag(Flag::Verify, true)], &private, &[]).expect("a pair");
    (pair.0.reference, pair.1.reference)
}

#[track_caller]
fn refused<T>(outcome: Result<T, ClientError>, expected: Status) -> String {
    match outcome {
        Err(ClientError::Refused(refusal)) if refusal.status == expected => refusal.about,
        Err(other) => panic!("{expected:?} was expected: {other}"),
        Ok(_) => panic!("{expected:?} was expected, and it was done"),
    }
}

fn of_reference(client: &Client, key: KeyReference) -> KeyInfo {
    let found = client.key_find(&Filter(vec![FilterTerm::Reference(key)]), 0, 1).expect("found");
    found.keys.into_iter().next().expect("one key")
}

/// The story of a trusted key with an unwrap template, as the guide's samples tell it, through the end of every process.
#[test]
fn a_trusted_key_takes_a_guarded_key_out_and_brings_it_back_as_its_template_demands() {
    let mut world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let kek = aes(
        &client,
        vec![
            label("kek"),
            flag(Flag::Wrap, true),
            flag(Flag::Unwrap, true),
            flag(Flag::Extractable, false),
            unwrap_template(vec![flag(Flag::Extractable, false)]),
        ],
    );
    let (_, guarded) = rsa(&client, vec![flag(Flag::WrapWithTrusted, true)]);
    refused(client.key_wrap(guarded, kek, &kwp()), Status::WrappingKeyNotTrusted);
    // Nobody but an admin calls a key trusted, at its birth or by way of a copy.
    let trusted = vec![flag(Flag::Trusted, true)];
    refused(client.key_generate_secret(KeyType::Aes, 32, &trusted, &[]), Status::AttributeReadOnly);
    refused(client.key_copy(kek, &trusted), Status::AttributeReadOnly);
    let filter = format!("key-reference={kek}");
    let mark = ["key", "set-attribute", "--name", "trusted", "--value", "true", "--filter", &filter];
    assert_eq!(world.admin_cli(&mark).ok().json()["data"]["message"], "Attribute set successfully");
    let wrapped = client.key_wrap(guarded, kek, &kwp()).expect("wrapped").wrapped;
    let copy = client.key_copy(kek, &Template::new()).expect("a copy");
    assert!(!copy.attributes.flags.has(Flag::Trusted));
    refused(client.key_wrap(guarded, copy.reference, &kwp()), Status::WrappingKeyNotTrusted);
    // What a store holds is what is demanded.
    world.kill_everything();
    world.start();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let private = (KeyClass::PrivateKey, KeyType::Rsa);
    let unwrap = |template: Template, defaults: Template| {
        client.key_unwrap_with_defaults(kek, &kwp(), &wrapped, private, (&template, &defaults), NOBODY)
    };
    let session = || flag(Flag::Token, false);
    let agreeing = unwrap(vec![session(), flag(Flag::Extractable, false)], vec![]).expect("agrees");
    let omitting = unwrap(vec![session()], vec![flag(Flag::Extractable, true)]).expect("leaves it out");
    for made in [&agreeing, &omitting] {
        let has = |flag| made.attributes.flags.has(flag);
        assert!(!has(Flag::Extractable) && !has(Flag::NeverExtractable) && !has(Flag::Token) && !has(Flag::Local));
        refused(client.key_wrap(made.reference, kek, &kwp()), Status::KeyNotExtractable);
    }
    let about = refused(unwrap(vec![session(), flag(Flag::Extractable, true)], vec![]), Status::TemplateInconsistent);
    assert!(about.starts_with("extractable: "), "{about}");
    let stays = unwrap(vec![], vec![session()]).expect("of the session by default");
    assert!(client.key_find(&Filter::default(), 0, 10).expect("found").keys.contains(&stays));
    let lasting = unwrap(vec![label("lasting")], vec![]).expect("of the store");
    let other = login(&world, "crypto_user", Role::CryptoUser);
    assert_eq!(of_reference(&other, lasting.reference).attributes, lasting.attributes);
    // The command line tool says nothing of templates, and sets none.
    let shown = world.data(&["key", "list", "--verbose", "--filter", "attr.label=kek"]);
    let names: Vec<&String> = shown["matched_keys"][0]["attributes"].as_object().expect("an object").keys().collect();
    assert!(names.iter().all(|name| !name.contains("template")), "{names:?}");
    let set = ["key", "set-attribute", "--name", "wrap-template", "--value", "true", "--filter", &filter];
    assert_eq!(world.cli(&set).code, Some(2));
}

#[test]
fn a_wrap_template_keeps_other_keys_in() {
    let world = World::quick(&[]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let demands = wrap_template(vec![flag(Flag::Encrypt, true)]);
    let kek = aes(&client, vec![flag(Flag::Wrap, true), demands.clone()]);
    let (open, silent) = (aes(&client, vec![flag(Flag::Encrypt, true)]), aes(&client, vec![]));
    client.key_wrap(open, kek, &kwp()).expect("as demanded");
    assert_eq!(refused(client.key_wrap(silent, kek, &kwp()), Status::WrapTemplateMismatch), "encrypt");
    client.key_set_attribute(open, AttributeName::Flag(Flag::Encrypt), &AttributeValue::Bool(false)).expect("set");
    assert_eq!(refused(client.key_wrap(open, kek, &kwp()), Status::WrapTemplateMismatch), "encrypt");
    // As session keys, and as copies.
    let session = vec![flag(Flag::Token, false), flag(Flag::Wrap, true), demands];
    for wrapping in [
        aes(&client, session),
        client.key_copy(kek, &Template::new()).expect("a copy").reference,
        client.key_copy(kek, &vec![flag(Flag::Token, false)]).expect("a copy").reference,
    ] {
        assert_eq!(refused(client.key_wrap(silent, wrapping, &kwp()), Status::WrapTemplateMismatch), "encrypt");
    }
}

/// The message's signature by the key, where `openssl` verifies it.
fn openssl_verifies(world: &World, client: &Client, key: KeyReference, public: &str) {
    let message = world.name("message");
    let digest = world.file("digest.bin");
    world.plain_openssl(&["dgst", "-sha256", "-binary", "-out", &digest.to_string_lossy(), &message]).ok();
    let info = [&SHA256_INFO[..], &fs::read(&digest).expect("a digest")].concat();
    let signature = client.sign(key, SignMechanism::RsaPkcs, &info).expect("signed");
    let made = world.file("signature");
    fs::write(&made, signature).expect("a file can be written");
    let verify = ["dgst", "-sha256", "-verify", public, "-signature", &made.to_string_lossy(), &message];
    world.plain_openssl(&verify).ok();
}

/// The HSM process that answered last.
fn last_pid(world: &World, client: &Client) -> u32 {
    let maker = client.last_member().expect("somebody answered").to_string();
    let status = world.status();
    let hsm = status["hsms"].as_array().expect("a list").iter().find(|hsm| hsm["hsm_id"] == maker.as_str());
    hsm.and_then(|hsm| hsm["pid"].as_u64()).and_then(|pid| u32::try_from(pid).ok()).expect("its pid")
}

#[test]
fn copies_sign_as_their_original_and_outlive_it_and_an_hsm() {
    let world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    fs::write(world.file("message"), b"what is signed").expect("a file can be written");
    let (public, private) = rsa(&client, vec![label("original"), flag(Flag::Extractable, false)]);
    let path = world.name("original.pub");
    let filter = format!("key-reference={public}");
    let file = ["key", "generate-file", "--encoding", "pem", "--path", &path, "--filter", &filter];
    assert_eq!(world.data(&file)["message"], "Successfully generated key file");
    let lasting = client.key_copy(private, &vec![label("lasting")]).expect("a copy");
    let held = client.key_copy(private, &vec![flag(Flag::Token, false)]).expect("a copy");
    let made_by = last_pid(&world, &client);
    for copy in [&lasting, &held] {
        assert!(copy.attributes.flags.has(Flag::NeverExtractable) && copy.attributes.flags.has(Flag::Local));
        assert_ne!(copy.reference, private);
    }
    client.key_delete(private).expect("deleted");
    kill("KILL", made_by);
    for key in [lasting.reference, held.reference] {
        openssl_verifies(&world, &client, key, &path);
    }
    // From the session back into the store, where another login finds it.
    let back = client.key_copy(held.reference, &vec![flag(Flag::Token, true), label("back")]).expect("a copy");
    client.key_delete(held.reference).expect("deleted");
    let other = login(&world, "crypto_user", Role::CryptoUser);
    openssl_verifies(&world, &other, back.reference, &path);
    assert_eq!(of_reference(&other, back.reference).attributes.check_value, lasting.attributes.check_value);
    refused(client.key_copy(back.reference, &vec![flag(Flag::Extractable, true)]), Status::AttributeValueInvalid);
    refused(client.key_copy(private, &Template::new()), Status::KeyUnknown);
}

/// A secret key that `openssl` knows comes in, is copied, and has the check value that NIST's cipher gives it.
#[test]
fn a_known_key_is_what_its_copies_are() {
    let world = World::quick(&[]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let algorithm = PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent: vec![1, 0, 1] };
    let demands = vec![flag(Flag::Extractable, false), flag(Flag::Sign, false), label("known")];
    let private = vec![flag(Flag::Unwrap, true), unwrap_template(demands)];
    let pair = client.key_generate_pair(&algorithm, &vec![flag(Flag::Private, false)], &private, &[]).expect("a pair");
    assert!(!pair.0.attributes.flags.has(Flag::Private) && pair.1.attributes.flags.has(Flag::Private));
    let path = world.name("kek.pub");
    let file = ["key", "generate-file", "--encoding", "pem", "--path", &path, "--filter", "attr.private=false"];
    assert_eq!(world.data(&file)["message"], "Successfully generated key file");
    let known: Vec<u8> = (0..16).collect();
    fs::write(world.file("known"), &known).expect("a file can be written");
    let options = ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"];
    let options: Vec<&str> = options.into_iter().flat_map(|option| ["-pkeyopt", option]).collect();
    let (known_path, out) = (world.name("known"), world.name("wrapped"));
    let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", &path, "-in", &known_path, "-out", &out];
    world.plain_openssl(&[&encrypt[..], &options].concat()).ok();
    let wrapped = fs::read(Path::new(&world.file("wrapped"))).expect("what openssl wrote");
    let oaep = Wrapping::of(WrapMechanism::RsaOaep { hash: HashFunction::Sha256 });
    let kek = pair.1.reference;
    let defaults = vec![flag(Flag::Extractable, true), flag(Flag::Encrypt, true)];
    let made = client.key_unwrap_with_defaults(kek, &oaep, &wrapped, AES, (&Template::new(), &defaults), NOBODY);
    let made = made.expect("unwrapped");
    let copy = client.key_copy(made.reference, &vec![flag(Flag::Decrypt, true)]).expect("a copy");
    for key in [&made, &copy] {
        let has = |flag| key.attributes.flags.has(flag);
        assert_eq!(key.attributes.check_value, Some([0xc6, 0xa1, 0x3b]));
        assert_eq!(key.attributes.label, "known");
        assert!(!has(Flag::Extractable) && !has(Flag::Sign) && has(Flag::Encrypt));
    }
    assert!(!made.attributes.flags.has(Flag::Decrypt) && copy.attributes.flags.has(Flag::Decrypt));
}

//! Keys that leave and come in wrapped: who may, which keys, and what attackers of such interfaces try.

use std::sync::Arc;

use strongroom_types::{
    AttributeName, AttributeValue, CipherMechanism, ClusterMode, Curve, Filter, FilterTerm, Flag, GcmTag, HashFunction,
    HsmType, KeyClass, KeyReference, KeyType, PublicPart, Role, RsaCipher, Status, Template, WrapMechanism,
};

use super::world::{P256, World, name, public_of, rsa, unwrap_of};
use crate::{
    Actor, Command, ImportedKey, KeyUse, KeyView, Made, MadeKey, NamedKey, PairAlgorithm, Reply, SessionKey, SourceKey,
    authorize, authorize_wrap, check_session_keys, find_keys, session_keys,
};

const OAEP: WrapMechanism = WrapMechanism::RsaOaep { hash: HashFunction::Sha256 };
const RSA_AES: WrapMechanism = WrapMechanism::RsaAes { hash: HashFunction::Sha256 };

/// Flags of a template.
type Values<'a> = &'a [(Flag, bool)];

fn gcm() -> WrapMechanism {
    WrapMechanism::AesGcm { tag: GcmTag::of_bits(128).unwrap() }
}

fn flags(values: &[(Flag, bool)]) -> Template {
    values.iter().map(|(flag, value)| (AttributeName::Flag(*flag), AttributeValue::Bool(*value))).collect()
}

fn aes(world: &mut World, actor: &Actor, values: &[(Flag, bool)]) -> KeyReference {
    match world.aes(actor, flags(values), &[]).unwrap() {
        Reply::Key(view) => view.reference,
        other => panic!("{other:?}"),
    }
}

fn pair(
    world: &mut World,
    actor: &Actor,
    algorithm: &PairAlgorithm,
    (public, private): (Values<'_>, Values<'_>),
) -> (KeyReference, KeyReference) {
    let command = Command::GeneratePair {
        algorithm: algorithm.clone(),
        public_template: flags(public),
        private_template: flags(private),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let made = world.made_pair(algorithm);
    match world.done(actor, &command, &made).unwrap() {
        Reply::Pair { public, private } => (public.reference, private.reference),
        other => panic!("{other:?}"),
    }
}

/// What is said when the actor wraps the second key under the first.
fn wrap(world: &World, actor: &Actor, mechanism: WrapMechanism, keys: (KeyReference, KeyReference)) -> Option<Status> {
    let (wrapping, payload) = (NamedKey::Stored(keys.0), NamedKey::Stored(keys.1));
    let outcome = authorize_wrap(&world.state, actor, mechanism, (wrapping, payload), world.now_ms);
    outcome.err().map(|refusal| refusal.status)
}

fn unwrap_command(with: KeyReference, values: &[(Flag, bool)]) -> Command {
    unwrap_of(with, (KeyClass::SecretKey, KeyType::Aes), (flags(values), Template::new()))
}

fn unwrap(world: &mut World, actor: &Actor, with: KeyReference, values: &[(Flag, bool)]) -> Result<KeyView, Status> {
    let made = world.made_aes_from_outside();
    match world.done(actor, &unwrap_command(with, values), &made)? {
        Reply::Key(view) => Ok(view),
        other => panic!("{other:?}"),
    }
}

fn set(world: &mut World, actor: &Actor, key: KeyReference, flag: Flag, value: bool) -> Result<(), Status> {
    let (attribute, value) = (AttributeName::Flag(flag), AttributeValue::Bool(value));
    world.done(actor, &Command::SetAttribute { key, attribute, value }, &Made::Nothing).map(drop)
}

#[test]
fn the_owner_wraps_under_every_key_that_is_visible_and_wraps() {
    let mut world = World::active();
    let admin = world.admin();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let payload = aes(&mut world, &alice, &[]);
    let kek = aes(&mut world, &alice, &[(Flag::Wrap, true)]);
    let (target, _) = pair(&mut world, &bob, &rsa(2048), (&[(Flag::Wrap, true)], &[]));
    assert_eq!(wrap(&world, &alice, gcm(), (kek, payload)), None);
    assert_eq!(wrap(&world, &alice, OAEP, (target, payload)), None, "a public key of somebody else");
    assert_eq!(wrap(&world, &bob, OAEP, (target, payload)), Some(Status::KeyUnknown));
    assert_eq!(wrap(&world, &bob, gcm(), (kek, payload)), Some(Status::KeyUnknown));
    assert_eq!(wrap(&world, &admin, gcm(), (kek, payload)), Some(Status::RoleNotPermitted));
    assert_eq!(wrap(&world, &Actor::Anonymous, gcm(), (kek, payload)), Some(Status::NotLoggedIn));
    // Shared keys wrap, and are not wrapped out.
    for key in [payload, kek] {
        let share = Command::ShareKey { key, name: name("bob"), role: Role::CryptoUser };
        world.done(&alice, &share, &Made::Nothing).unwrap();
    }
    let own = aes(&mut world, &bob, &[]);
    assert_eq!(wrap(&world, &bob, gcm(), (kek, own)), None);
    assert_eq!(wrap(&world, &bob, gcm(), (kek, payload)), Some(Status::KeyNotOwned));
    assert_eq!(wrap(&world, &bob, OAEP, (target, payload)), Some(Status::KeyNotOwned));
    // What `authorize_wrap` finds is what is used.
    let keys = (NamedKey::Stored(kek), NamedKey::Stored(own));
    let found = authorize_wrap(&world.state, &bob, gcm(), keys, world.now_ms).unwrap();
    assert_eq!(found.wrapping.map(|key| key.reference), Some(kek));
    assert_eq!(found.payload.map(|key| key.reference), Some(own));
    world.done(&alice, &Command::Logout, &Made::Nothing).unwrap();
    assert_eq!(wrap(&world, &alice, gcm(), (kek, payload)), Some(Status::LoginEnded));
}

#[test]
fn refusals_stand_in_their_order() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let kek = aes(&mut world, &alice, &[(Flag::Wrap, true)]);
    let silent = aes(&mut world, &alice, &[]);
    let stays = aes(&mut world, &alice, &[(Flag::Extractable, false), (Flag::WrapWithTrusted, true)]);
    let guarded = aes(&mut world, &alice, &[(Flag::WrapWithTrusted, true)]);
    let nothing = KeyReference::from_u64(0xabcdef).unwrap();
    let check = |mechanism, keys, expected| assert_eq!(wrap(&world, &alice, mechanism, keys), Some(expected));
    check(OAEP, (nothing, stays), Status::KeyUnknown);
    check(OAEP, (silent, nothing), Status::KeyUnknown);
    check(OAEP, (silent, stays), Status::KeyTypeInconsistent);
    check(gcm(), (silent, stays), Status::KeyFunctionNotPermitted);
    check(gcm(), (kek, stays), Status::KeyNotExtractable);
    check(gcm(), (kek, guarded), Status::WrappingKeyNotTrusted);
}

#[test]
fn mechanisms_by_type_of_key_length_and_mode() {
    let tag = GcmTag::of_bits(64).unwrap();
    for mode in [ClusterMode::Fips, ClusterMode::NonFips] {
        let mut world = World::of(HsmType::Hsm2mMedium, mode);
        let alice = world.crypto_user("alice");
        let kek = aes(&mut world, &alice, &[(Flag::Wrap, true)]);
        let (public, private) = pair(&mut world, &alice, &rsa(2048), (&[(Flag::Wrap, true)], &[]));
        let (ec_public, ec) = pair(&mut world, &alice, &P256, (&[(Flag::Wrap, true)], &[]));
        let secret = |world: &mut World, length_bytes| {
            let (key_type, template) = (KeyType::GenericSecret, Template::new());
            let command = Command::GenerateSecret {
                key_type,
                length_bytes,
                template,
                share_with: Vec::new(),
                quorum: strongroom_types::KeyQuorum::NONE,
            };
            let made = world.made_secret(key_type);
            match world.done(&alice, &command, &made).unwrap() {
                Reply::Key(view) => view.reference,
                other => panic!("{other:?}"),
            }
        };
        let lens = [1, 7, 8, 15, 16, 17, 190, 191, 245, 246].map(|len| (len, secret(&mut world, len)));
        let rsa_pkcs = if mode == ClusterMode::Fips { Some(Status::MechanismNotApproved) } else { None };
        let (invalid, inconsistent) = (Some(Status::PayloadInvalid), Some(Status::KeyTypeInconsistent));
        for (len, key) in lens {
            let check = |mechanism, wrapping, expected| {
                assert_eq!(wrap(&world, &alice, mechanism, (wrapping, key)), expected, "{mechanism} of {len}");
            };
            let fits = |fits: bool| if fits { None } else { invalid };
            check(WrapMechanism::AesGcm { tag }, kek, None);
            check(WrapMechanism::CloudhsmAesGcm { tag }, kek, None);
            check(WrapMechanism::AesZeroPad, kek, None);
            check(WrapMechanism::AesNoPad, kek, fits(len == 16));
            check(WrapMechanism::AesPkcs5Pad, kek, fits(len >= 8));
            check(RSA_AES, public, None);
            check(OAEP, public, fits(len <= 190));
            check(WrapMechanism::RsaPkcs, public, rsa_pkcs.or(fits(len <= 245)));
            for mechanism in [WrapMechanism::AesZeroPad, WrapMechanism::AesGcm { tag }] {
                check(mechanism, public, inconsistent);
            }
            for wrong in [kek, private, ec_public] {
                check(OAEP, wrong, inconsistent);
            }
        }
        // A public key is no payload, whatever it is called.
        assert_eq!(wrap(&world, &alice, WrapMechanism::AesZeroPad, (kek, public)), invalid);
        assert_eq!(wrap(&world, &alice, WrapMechanism::AesZeroPad, (kek, ec)), None);
        assert_eq!(wrap(&world, &alice, OAEP, (public, ec)), None, "138 bytes");
    }
}

#[test]
fn what_comes_in_was_made_elsewhere_whatever_its_template_says() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let kek = aes(&mut world, &alice, &[(Flag::Unwrap, true)]);
    let view = unwrap(&mut world, &alice, kek, &[(Flag::Extractable, false), (Flag::Encrypt, true)]).unwrap();
    for (flag, value) in [
        (Flag::Local, false),
        (Flag::AlwaysSensitive, false),
        (Flag::NeverExtractable, false),
        (Flag::Extractable, false),
        (Flag::Sensitive, true),
        (Flag::Encrypt, true),
        (Flag::Sign, true),
        (Flag::Unwrap, false),
        (Flag::Trusted, false),
    ] {
        assert_eq!(view.attributes.flags.has(flag), value, "{}", flag.as_str());
    }
    assert_eq!((view.owner.as_str(), view.attributes.length_bytes), ("alice", 32));
    for past in [Flag::Local, Flag::AlwaysSensitive, Flag::NeverExtractable, Flag::Trusted] {
        let refused = unwrap(&mut world, &alice, kek, &[(past, true)]);
        assert_eq!(refused, Err(Status::AttributeReadOnly), "{}", past.as_str());
    }
}

#[test]
fn only_a_key_that_may_unwrap_does() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let kek = aes(&mut world, &alice, &[(Flag::Unwrap, true)]);
    let silent = aes(&mut world, &alice, &[(Flag::Wrap, true)]);
    let (public, private) = pair(&mut world, &alice, &rsa(2048), (&[], &[(Flag::Unwrap, true)]));
    assert_eq!(unwrap(&mut world, &alice, silent, &[]), Err(Status::KeyFunctionNotPermitted));
    assert_eq!(unwrap(&mut world, &bob, kek, &[]), Err(Status::KeyUnknown));
    assert_eq!(unwrap(&mut world, &alice, public, &[]), Err(Status::KeyTypeInconsistent));
    assert_eq!(unwrap(&mut world, &alice, private, &[]), Err(Status::KeyTypeInconsistent), "not by an AES mechanism");
    let admin = world.admin();
    assert_eq!(unwrap(&mut world, &admin, kek, &[]), Err(Status::RoleNotPermitted));
    // Taken away between the check and the plan, it makes nothing: the plan decides again.
    let (command, made) = (unwrap_command(kek, &[]), world.made_aes_from_outside());
    set(&mut world, &alice, kek, Flag::Unwrap, false).unwrap();
    assert_eq!(world.done(&alice, &command, &made), Err(Status::KeyFunctionNotPermitted));
}

#[test]
fn wrapped_lengths_at_and_beyond_what_a_mechanism_makes() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let kek = aes(&mut world, &alice, &[(Flag::Unwrap, true)]);
    let (_, private) = pair(&mut world, &alice, &rsa(2048), (&[], &[(Flag::Unwrap, true)]));
    let check = |mechanism, key, fitting: &[usize], other: &[usize]| {
        let outcome = |len| {
            let key_use = KeyUse::Unwrap(mechanism, len);
            authorize(&world.state, &alice, key_use, key, world.now_ms).err().map(|refusal| refusal.status)
        };
        for len in fitting {
            assert_eq!(outcome(*len), None, "{mechanism} of {len}");
        }
        for len in other.iter().chain(&[0, 16 * 1024 + 8, usize::MAX]) {
            assert_eq!(outcome(*len), Some(Status::DataLengthInvalid), "{mechanism} of {len}");
        }
    };
    let tag = GcmTag::of_bits(96).unwrap();
    check(WrapMechanism::AesGcm { tag }, kek, &[13, 16 * 1024], &[12, 16 * 1024 + 1]);
    check(WrapMechanism::CloudhsmAesGcm { tag }, kek, &[25], &[24]);
    check(WrapMechanism::AesNoPad, kek, &[24, 32, 16 * 1024], &[16, 23, 25]);
    check(WrapMechanism::AesPkcs5Pad, kek, &[24, 32], &[16, 25]);
    check(WrapMechanism::AesZeroPad, kek, &[16, 24], &[8, 17]);
    check(RSA_AES, private, &[272, 280], &[256, 264, 273]);
    check(OAEP, private, &[256], &[255, 257, 512]);
    check(WrapMechanism::RsaPkcs, private, &[256], &[255, 257]);
}

#[test]
fn kinds_that_come_in_wrapped() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let kek = aes(&mut world, &alice, &[(Flag::Unwrap, true)]);
    let mut outcome = |class, key_type, made: Option<MadeKey>| {
        let command = unwrap_of(kek, (class, key_type), (Template::new(), Template::new()));
        let made = made.map_or(Made::Nothing, Made::Key);
        world.done(&alice, &command, &made).map(drop)
    };
    let made = |number: u64, public: Option<PublicPart>, check_value, length_bytes, weak| MadeKey {
        reference: KeyReference::from_u64(0xffff_0000 + number).unwrap(),
        sealed: Some(Arc::from(&[5; 60][..])),
        public,
        length_bytes,
        weak,
        check_value,
    };
    let (secret, private) = (KeyClass::SecretKey, KeyClass::PrivateKey);
    let value = Some([7; 3]);
    assert_eq!(outcome(secret, KeyType::GenericSecret, Some(made(1, None, None, 5, false))), Ok(()));
    assert_eq!(outcome(secret, KeyType::Des3, Some(made(2, None, value, 24, false))), Ok(()));
    assert_eq!(outcome(private, KeyType::Ec, Some(made(3, Some(public_of(&P256)), value, 138, false))), Ok(()));
    assert_eq!(outcome(private, KeyType::Rsa, Some(made(4, Some(public_of(&rsa(3072))), value, 1_700, false))), Ok(()));
    for (class, key_type) in [
        (KeyClass::PublicKey, KeyType::Rsa),
        (secret, KeyType::Rsa),
        (private, KeyType::Aes),
        (private, KeyType::MlDsa),
    ] {
        assert_eq!(outcome(class, key_type, None), Err(Status::PayloadInvalid), "{class} {key_type}");
    }
    // What the HSM made must be what was asked for: anything else is a bug, and no key.
    let wrong = [
        (private, KeyType::Ec, made(5, None, value, 138, false)),
        (private, KeyType::Ec, made(5, Some(public_of(&rsa(2048))), value, 138, false)),
        (secret, KeyType::Aes, made(5, Some(public_of(&P256)), value, 32, false)),
        (secret, KeyType::Aes, made(5, None, None, 32, false)),
        (secret, KeyType::GenericSecret, made(5, None, value, 32, false)),
        (secret, KeyType::Aes, MadeKey { sealed: None, ..made(5, None, value, 32, false) }),
    ];
    for (class, key_type, made) in wrong {
        assert_eq!(outcome(class, key_type, Some(made)), Err(Status::Internal), "{class} {key_type}");
    }
    assert_eq!(outcome(secret, KeyType::Aes, Some(made(6, None, value, 20, false))), Err(Status::KeySizeInvalid));
    let exponent = PublicPart::Rsa { modulus: vec![0xff; 256], public_exponent: vec![3] };
    let outcome_of = outcome(private, KeyType::Rsa, Some(made(7, Some(exponent), value, 1_200, false)));
    assert_eq!(outcome_of, Err(Status::AttributeValueInvalid));
}

#[test]
fn fips_mode_takes_no_weak_key_and_no_ed25519_key() {
    for (mode, weak, ed25519) in [
        (ClusterMode::NonFips, Ok(()), Ok(())),
        (ClusterMode::Fips, Err(Status::KeyWeak), Err(Status::MechanismNotApproved)),
    ] {
        let mut world = World::of(HsmType::Hsm2mMedium, mode);
        let alice = world.crypto_user("alice");
        let kek = aes(&mut world, &alice, &[(Flag::Unwrap, true)]);
        let mut outcome = |class, key_type, made: MadeKey| {
            let command = unwrap_of(kek, (class, key_type), (Template::new(), Template::new()));
            world.done(&alice, &command, &Made::Key(made)).map(drop)
        };
        let made = |number, public, length_bytes, weak| MadeKey {
            reference: KeyReference::from_u64(number).unwrap(),
            sealed: Some(Arc::from(&[5; 60][..])),
            public,
            length_bytes,
            weak,
            check_value: Some([1; 3]),
        };
        assert_eq!(outcome(KeyClass::SecretKey, KeyType::Des3, made(0xff01, None, 24, true)), weak);
        let public = Some(PublicPart::Ec { curve: Curve::Ed25519, point: vec![7; 32] });
        assert_eq!(outcome(KeyClass::PrivateKey, KeyType::Ec, made(0xff02, public, 83, false)), ed25519);
    }
}

fn import(world: &mut World, actor: &Actor, public: &PublicPart, values: &[(Flag, bool)]) -> Result<KeyView, Status> {
    let made = Made::Key(MadeKey {
        reference: world.reference(),
        sealed: None,
        public: Some(public.clone()),
        length_bytes: 0,
        weak: false,
        check_value: Some([7; 3]),
    });
    let command = Command::ImportKey { key: ImportedKey::Public(public.clone()), template: flags(values) };
    match world.done(actor, &command, &made)? {
        Reply::Key(view) => Ok(view),
        other => panic!("{other:?}"),
    }
}

#[test]
fn public_keys_come_in_as_they_are() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let target = import(&mut world, &alice, &public_of(&rsa(4096)), &[(Flag::Wrap, true)]).unwrap();
    assert_eq!((target.attributes.class, target.attributes.length_bytes), (KeyClass::PublicKey, 1024));
    for (flag, value) in [(Flag::Local, false), (Flag::Sensitive, false), (Flag::Wrap, true), (Flag::Verify, false)] {
        assert_eq!(target.attributes.flags.has(flag), value, "{}", flag.as_str());
    }
    let ec = import(&mut world, &alice, &public_of(&P256), &[]).unwrap();
    assert_eq!((ec.attributes.key_type, ec.attributes.length_bytes), (KeyType::Ec, 65));
    let own = aes(&mut world, &bob, &[]);
    assert_eq!(wrap(&world, &bob, OAEP, (target.reference, own)), None, "public keys are everybody's");
    let small = PublicPart::Rsa { modulus: vec![0xff; 128], public_exponent: vec![1, 0, 1] };
    assert_eq!(import(&mut world, &alice, &small, &[]), Err(Status::KeySizeInvalid));
    assert_eq!(import(&mut world, &alice, &public_of(&P256), &[(Flag::Unwrap, true)]), Err(Status::AttributeUnknown));
    let admin = world.admin();
    assert_eq!(import(&mut world, &admin, &public_of(&P256), &[]), Err(Status::RoleNotPermitted));
}

#[test]
fn a_repeat_brings_one_key_in() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let kek = aes(&mut world, &alice, &[(Flag::Unwrap, true)]);
    let private = unwrap_of(kek, (KeyClass::PrivateKey, KeyType::Ec), (Template::new(), Template::new()));
    let public = Command::ImportKey { key: ImportedKey::Public(public_of(&P256)), template: Template::new() };
    for (command, sealed) in [(private, Some(Arc::from(&[5; 60][..]))), (public, None)] {
        let mut made = || {
            Made::Key(MadeKey {
                reference: world.reference(),
                sealed: sealed.clone(),
                public: Some(public_of(&P256)),
                length_bytes: 138,
                weak: false,
                check_value: Some([7; 3]),
            })
        };
        let (one, other) = (made(), made());
        let request = world.request();
        let before = world.state.keys_len();
        let first = world.again(&alice, &command, &one, &request).unwrap();
        assert_eq!(world.again(&alice, &command, &other, &request), Ok(first));
        assert_eq!(world.state.keys_len(), before + 1);
        // The key that unwrapped it may be gone: the repeat is answered all the same.
        world.done(&alice, &Command::DeleteKey(kek), &Made::Nothing).ok();
        assert!(world.again(&alice, &command, &Made::Nothing, &request).is_ok());
    }
}

/// A session key of the actor's login.
fn session_aes(world: &mut World, actor: &Actor, values: &[(Flag, bool)]) -> SessionKey {
    let template = flags(&[&[(Flag::Token, false)], values].concat());
    let (key_type, length_bytes) = (KeyType::Aes, 32);
    let command = Command::GenerateSecret {
        key_type,
        length_bytes,
        template,
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let made = world.made_secret(key_type);
    let mut keys = session_keys(&world.state, actor, &command, &made, world.now_ms).unwrap();
    keys.pop().unwrap()
}

#[test]
fn session_keys_wrap_are_wrapped_and_come_in() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let elsewhere = world.login("alice", Role::CryptoUser);
    let session = session_aes(&mut world, &alice, &[(Flag::Wrap, true), (Flag::Unwrap, true)]);
    let stored = aes(&mut world, &alice, &[(Flag::Wrap, true), (Flag::Unwrap, true)]);
    let wrapped = |actor: &Actor, keys| {
        let outcome = authorize_wrap(&world.state, actor, gcm(), keys, world.now_ms);
        outcome.map(|found| (found.wrapping.is_some(), found.payload.is_some())).map_err(|refusal| refusal.status)
    };
    let (of_session, of_store) = (NamedKey::OfSession(&session), NamedKey::Stored(stored));
    assert_eq!(wrapped(&alice, (of_session, of_store)), Ok((false, true)));
    assert_eq!(wrapped(&alice, (of_store, of_session)), Ok((true, false)));
    assert_eq!(wrapped(&alice, (of_session, of_session)), Ok((false, false)));
    for other in [&elsewhere, &bob] {
        assert_eq!(wrapped(other, (of_session, of_session)), Err(Status::KeyUnknown));
    }
    // A key of the store under a session key, a session key under a key of the store.
    let command = unwrap_command(stored, &[(Flag::Token, false)]);
    check_session_keys(&world.state, &alice, &command, world.now_ms).unwrap();
    let made = world.made_aes_from_outside();
    let [key] = session_keys(&world.state, &alice, &command, &made, world.now_ms).unwrap().try_into().unwrap();
    assert!(!key.attributes.flags.has(Flag::Local) && key.is_of(&alice) && key.sealed.is_some());
    let refused = check_session_keys(&world.state, &bob, &command, world.now_ms).unwrap_err();
    assert_eq!(refused.status, Status::KeyUnknown);
    let mut lasting = unwrap_command(stored, &[]);
    let Command::UnwrapKey { with, .. } = &mut lasting else { unreachable!() };
    *with = SourceKey::OfSession(Box::new(session));
    let made = world.made_aes_from_outside();
    assert_eq!(world.done(&bob, &lasting, &made), Err(Status::KeyUnknown));
    let Ok(Reply::Key(view)) = world.done(&alice, &lasting, &made) else { panic!("no key") };
    assert!(view.attributes.flags.has(Flag::Token));
    let public =
        Command::ImportKey { key: ImportedKey::Public(public_of(&P256)), template: flags(&[(Flag::Token, false)]) };
    check_session_keys(&world.state, &alice, &public, world.now_ms).unwrap();
}

/// Wrap-decrypt conflict, key conjuring, weaker attributes: what the documented rules allow (`docs/internals/key-extraction.md`).
#[test]
fn what_is_allowed_by_design() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    // One key that wraps, unwraps, encrypts and decrypts.
    let all = [(Flag::Wrap, true), (Flag::Unwrap, true), (Flag::Encrypt, true), (Flag::Decrypt, true)];
    let both = aes(&mut world, &alice, &all);
    let payload = aes(&mut world, &alice, &[]);
    assert_eq!(wrap(&world, &alice, gcm(), (both, payload)), None);
    // The copy may have what the original had not, and shows for ever that it is one.
    let copy = unwrap(&mut world, &alice, both, &[(Flag::Sensitive, false), (Flag::Wrap, true)]).unwrap();
    let has = |flag| copy.attributes.flags.has(flag);
    assert!(has(Flag::Wrap) && !has(Flag::Sensitive) && !has(Flag::Local) && !has(Flag::AlwaysSensitive));
    // An RSA key that decrypts what was wrapped for it.
    let rsa_flags: [&[(Flag, bool)]; 2] = [&[(Flag::Wrap, true)], &[(Flag::Decrypt, true)]];
    let (public, private) = pair(&mut world, &alice, &rsa(2048), (rsa_flags[0], rsa_flags[1]));
    assert_eq!(wrap(&world, &alice, OAEP, (public, payload)), None);
    let oaep = CipherMechanism::Rsa(RsaCipher::Oaep { hash: HashFunction::Sha256 });
    let decrypt = KeyUse::Decrypt(&oaep, 256);
    assert!(authorize(&world.state, &alice, decrypt, private, world.now_ms).is_ok());
    // And one that may not decrypt, but signs whole blocks, which is the same operation.
    let (public, private) =
        pair(&mut world, &alice, &rsa(2048), (&[(Flag::Wrap, true)], &[(Flag::Sign, true), (Flag::Decrypt, false)]));
    assert_eq!(wrap(&world, &alice, OAEP, (public, payload)), None);
    let sign = KeyUse::Sign(strongroom_types::SignMechanism::RsaX509, &[1; 256]);
    assert!(authorize(&world.state, &alice, sign, private, world.now_ms).is_ok());
}

/// The guard: a payload that leaves under trusted keys alone, and a trusted key that only wraps and stays so.
#[test]
fn a_guarded_key_leaves_under_trusted_keys_alone() {
    let mut world = World::active();
    let admin = world.admin();
    let alice = world.crypto_user("alice");
    let guarded = aes(&mut world, &alice, &[(Flag::WrapWithTrusted, true)]);
    let (public, private) =
        pair(&mut world, &alice, &rsa(2048), (&[(Flag::Wrap, true), (Flag::Modifiable, false)], &[]));
    let own = aes(&mut world, &alice, &[(Flag::Wrap, true), (Flag::Unwrap, true), (Flag::Decrypt, true)]);
    let refused = Some(Status::WrappingKeyNotTrusted);
    assert_eq!(wrap(&world, &alice, OAEP, (public, guarded)), refused);
    assert_eq!(wrap(&world, &alice, gcm(), (own, guarded)), refused);
    // Nobody but an admin says that a key is trusted, not even of one that comes in.
    assert_eq!(set(&mut world, &alice, own, Flag::Trusted, true), Err(Status::AttributeReadOnly));
    assert_eq!(unwrap(&mut world, &alice, own, &[(Flag::Trusted, true)]), Err(Status::AttributeReadOnly));
    let mine = import(&mut world, &alice, &public_of(&rsa(2048)), &[(Flag::Trusted, true)]);
    assert_eq!(mine, Err(Status::AttributeReadOnly));
    // The guard does not come off.
    assert_eq!(set(&mut world, &alice, guarded, Flag::WrapWithTrusted, false), Err(Status::AttributeValueInvalid));
    set(&mut world, &admin, public, Flag::Trusted, true).unwrap();
    assert_eq!(wrap(&world, &alice, OAEP, (public, guarded)), None);
    assert_eq!(wrap(&world, &alice, gcm(), (own, guarded)), refused, "and under no other key");
    // The trusted key gets no other use, and its private half opens nothing here.
    assert_eq!(set(&mut world, &alice, public, Flag::Encrypt, true), Err(Status::KeyNotModifiable));
    let oaep = CipherMechanism::Rsa(RsaCipher::Oaep { hash: HashFunction::Sha256 });
    let decrypt = KeyUse::Decrypt(&oaep, 256);
    for key_use in [decrypt, KeyUse::Unwrap(OAEP, 256)] {
        let outcome = authorize(&world.state, &alice, key_use, private, world.now_ms);
        assert_eq!(outcome.unwrap_err().status, Status::KeyFunctionNotPermitted);
    }
    set(&mut world, &admin, public, Flag::Trusted, false).unwrap();
    assert_eq!(wrap(&world, &alice, OAEP, (public, guarded)), refused);
}

#[test]
fn what_must_stay_stays() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let stays = aes(&mut world, &alice, &[(Flag::Extractable, false)]);
    let kek = aes(&mut world, &alice, &[(Flag::Wrap, true)]);
    set(&mut world, &admin, kek, Flag::Trusted, true).unwrap();
    assert_eq!(
        wrap(&world, &alice, gcm(), (kek, stays)),
        Some(Status::KeyNotExtractable),
        "not even under a trusted key"
    );
    assert_eq!(set(&mut world, &alice, stays, Flag::Extractable, true), Err(Status::AttributeValueInvalid));
    let leaves = aes(&mut world, &alice, &[]);
    assert_eq!(wrap(&world, &alice, gcm(), (kek, leaves)), None);
    set(&mut world, &alice, leaves, Flag::Extractable, false).unwrap();
    assert_eq!(wrap(&world, &alice, gcm(), (kek, leaves)), Some(Status::KeyNotExtractable));
}

#[test]
fn a_full_cluster_takes_no_key_in() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let kek = aes(&mut world, &alice, &[(Flag::Unwrap, true)]);
    let max = world.state.cluster().unwrap().capacity().keys_max;
    while world.state.keys_len() < max {
        world.aes_reference_unchecked(&alice);
    }
    let made = world.made_aes_from_outside();
    let request = world.request();
    let outcome = world.again(&alice, &unwrap_command(kek, &[]), &made, &request);
    assert_eq!(outcome, Err(Status::KeysFull));
}

/// Labels are anybody's: two public keys of one label are two, and the check value tells them apart.
#[test]
fn a_public_key_under_somebody_elses_label_is_one_more() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let label = (AttributeName::Label, AttributeValue::Text("partner".into()));
    let template = || [flags(&[(Flag::Wrap, true)]), vec![label.clone()]].concat();
    let mut bring = |actor: &Actor, value: u8| {
        let made = MadeKey {
            reference: world.reference(),
            sealed: None,
            public: Some(public_of(&rsa(2048))),
            length_bytes: 0,
            weak: false,
            check_value: Some([value; 3]),
        };
        let command = Command::ImportKey { key: ImportedKey::Public(public_of(&rsa(2048))), template: template() };
        world.done(actor, &command, &Made::Key(made)).unwrap();
    };
    bring(&alice, 1);
    bring(&bob, 2);
    let term = FilterTerm::Attribute(label.0, label.1.clone());
    let found =
        |terms: Vec<FilterTerm>| find_keys(&world.state, &alice, &Filter(terms), 0, 10, world.now_ms).unwrap().total();
    assert_eq!(found(vec![term.clone()]), 2, "so that a filter by label selects neither");
    let own = FilterTerm::Attribute(AttributeName::CheckValue, AttributeValue::Bytes(vec![1; 3]));
    assert_eq!(found(vec![term, own]), 1);
}

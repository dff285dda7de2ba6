//! Keys that come in clear, keys derived from others, values in clear: who may, and what the new keys say of themselves.

use std::sync::Arc;

use strongroom_types::limits::DATA_LEN_MAX;
use strongroom_types::{
    AttributeName, AttributeValue, ClusterMode, Curve, Derivation, EcdhKdf, Flag, HashFunction, HsmType, KdfField,
    KeyQuorum, KeyReference, KeyType, Prf, PublicPart, Refusal, Role, Status, Template,
};

use super::world::{P256, World, name, public_of};
use crate::{
    Actor, Command, ImportedKey, KeyUse, KeyView, Made, MadeKey, PairAlgorithm, PlanError, Reply, SessionKey,
    SourceKey, authorize, authorize_approved, authorize_session_key, check_session_keys, session_keys,
};

type Values<'a> = &'a [(Flag, bool)];

fn flags(values: Values<'_>) -> Template {
    values.iter().map(|(flag, value)| (AttributeName::Flag(*flag), AttributeValue::Bool(*value))).collect()
}

fn counter_kdf() -> Derivation {
    let fields = vec![KdfField::Counter { bits: 32 }, KdfField::Bytes(vec![7; 4])];
    Derivation::CounterKdf { prf: Prf::Hmac(HashFunction::Sha1), fields }
}

fn ecdh(kdf: EcdhKdf, len: usize) -> Derivation {
    Derivation::Ecdh { peer_point: [&[4][..], &vec![7; len - 1]].concat(), kdf }
}

fn x963() -> EcdhKdf {
    EcdhKdf::X963 { hash: HashFunction::Sha1, shared_info: Vec::new() }
}

fn made(world: &mut World, key_type: KeyType, length_bytes: u32) -> Made {
    let (reference, sealed) = (world.reference(), Some(Arc::from(&[5; 60][..])));
    let check_value = (key_type != KeyType::GenericSecret).then_some([7; 3]);
    Made::Key(MadeKey { reference, sealed, public: None, length_bytes, weak: false, check_value })
}

fn key(reply: Reply) -> KeyView {
    match reply {
        Reply::Key(view) => view,
        other => panic!("{other:?}"),
    }
}

/// A secret key that came in clear.
fn import(world: &mut World, actor: &Actor, key_type: KeyType, values: Values<'_>) -> Result<KeyView, Status> {
    let len = if key_type == KeyType::Des3 { 24 } else { 32 };
    let made = made(world, key_type, len);
    let command = Command::ImportKey { key: ImportedKey::Secret(key_type, len), template: flags(values) };
    world.done(actor, &command, &made).map(key)
}

fn generate(world: &mut World, actor: &Actor, values: Values<'_>) -> KeyReference {
    key(world.aes(actor, flags(values), &[]).unwrap()).reference
}

fn agreeing_pair(world: &mut World, actor: &Actor, curve: Curve, private: Values<'_>) -> KeyReference {
    let algorithm = PairAlgorithm::Ec(curve);
    let command = Command::GeneratePair {
        algorithm: algorithm.clone(),
        public_template: Template::new(),
        private_template: flags(private),
        share_with: Vec::new(),
        quorum: KeyQuorum::NONE,
    };
    let made = world.made_pair(&algorithm);
    match world.done(actor, &command, &made).unwrap() {
        Reply::Pair { private, .. } => private.reference,
        other => panic!("{other:?}"),
    }
}

fn command(base: KeyReference, derivation: Derivation, kind: (KeyType, u32), values: Values<'_>) -> Command {
    let (base, (key_type, length_bytes)) = (SourceKey::Stored(base), kind);
    Command::DeriveKey { base, derivation, key_type, length_bytes, template: flags(values) }
}

fn derive(
    world: &mut World,
    actor: &Actor,
    base: KeyReference,
    derivation: Derivation,
    (key_type, len): (KeyType, u32),
    values: Values<'_>,
) -> Result<KeyView, Status> {
    let made = made(world, key_type, len);
    world.done(actor, &command(base, derivation, (key_type, len), values), &made).map(key)
}

const AES: (KeyType, u32) = (KeyType::Aes, 32);

fn read(world: &World, actor: &Actor, reference: KeyReference) -> Option<Status> {
    let read = authorize(&world.state, actor, KeyUse::ReadValue, reference, world.now_ms);
    read.err().map(|refusal| refusal.status)
}

#[test]
fn who_sees_a_key_derives_from_it_and_owns_what_comes_of_it() {
    let mut world = World::active();
    let (admin, alice, bob) = (world.admin(), world.crypto_user("alice"), world.crypto_user("bob"));
    let base = generate(&mut world, &alice, &[(Flag::Derive, true)]);
    let mut attempt = |actor: &Actor| derive(&mut world, actor, base, counter_kdf(), AES, &[]);
    assert_eq!(attempt(&bob), Err(Status::KeyUnknown));
    assert_eq!(attempt(&admin), Err(Status::RoleNotPermitted));
    assert_eq!(attempt(&Actor::Anonymous), Err(Status::NotLoggedIn));
    let share = Command::ShareKey { key: base, name: name("bob"), role: Role::CryptoUser };
    world.done(&alice, &share, &Made::Nothing).unwrap();
    let derived = derive(&mut world, &bob, base, counter_kdf(), AES, &[(Flag::Encrypt, true)]).unwrap();
    assert_eq!((derived.owner, derived.shared_with), (name("bob"), Vec::new()));
    assert_eq!(derived.attributes.length_bytes, 32);
    let silent = generate(&mut world, &alice, &[]);
    assert_eq!(derive(&mut world, &alice, silent, counter_kdf(), AES, &[]), Err(Status::KeyFunctionNotPermitted));
}

#[test]
fn a_derived_key_is_sensitive_and_nothing_good_is_said_of_its_past() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let kept = [(Flag::Derive, true), (Flag::Extractable, false)];
    let local = generate(&mut world, &alice, &kept);
    let leaves = generate(&mut world, &alice, &kept[..1]);
    let brought = import(&mut world, &alice, KeyType::Aes, &kept).unwrap().reference;
    let pair = agreeing_pair(&mut world, &alice, Curve::P256, &kept);
    let mut past = |base, derivation, values: Values<'_>| {
        let view = derive(&mut world, &alice, base, derivation, AES, values).unwrap();
        let has = |flag| view.attributes.flags.has(flag);
        assert!(has(Flag::Local) && has(Flag::Sensitive));
        (has(Flag::AlwaysSensitive), has(Flag::NeverExtractable), has(Flag::Extractable))
    };
    let stays: Values<'_> = &[(Flag::Extractable, false)];
    // The same bytes, once where they stay and once where they leave: neither says that nobody has them.
    assert_eq!(past(local, counter_kdf(), stays), (false, false, false));
    assert_eq!(past(local, counter_kdf(), &[(Flag::Sensitive, true)]), (false, false, true));
    for base in [leaves, brought] {
        assert_eq!(past(base, counter_kdf(), stays), (false, false, false));
    }
    // Whoever has the other private key has this one.
    assert_eq!(past(pair, ecdh(x963(), 65), stays), (false, false, false));
    let mut refused = |values: Values<'_>| derive(&mut world, &alice, local, counter_kdf(), AES, values).err();
    assert_eq!(refused(&[(Flag::Sensitive, false)]), Some(Status::AttributeValueInvalid));
    let twice: Values<'_> = &[(Flag::Sensitive, true), (Flag::Sensitive, true)];
    assert_eq!(refused(twice), Some(Status::TemplateInconsistent));
    assert_eq!(refused(&[(Flag::Local, true)]), Some(Status::AttributeReadOnly));
    assert_eq!(refused(&[(Flag::Token, false)]), Some(Status::AttributeValueInvalid));
}

/// No mode takes one: what is generated passes the same test, and 3DES is not derived in FIPS mode.
#[test]
fn a_derived_key_that_is_weak_is_refused() {
    let mut world = World::of(HsmType::Hsm2mMedium, ClusterMode::NonFips);
    let alice = world.crypto_user("alice");
    let base = generate(&mut world, &alice, &[(Flag::Derive, true)]);
    for (weak, expected) in [(false, None), (true, Some(Status::KeyWeak))] {
        let Made::Key(key) = made(&mut world, KeyType::Des3, 24) else { unreachable!() };
        let made = Made::Key(MadeKey { weak, ..key });
        let of = |values: Values<'_>| command(base, counter_kdf(), (KeyType::Des3, 24), values);
        let session = of(&[(Flag::Token, false)]);
        let session = session_keys(&world.state, &alice, &session, &made, world.now_ms).err();
        assert_eq!(session, expected.map(|status| PlanError::Refused(Refusal::new(status, WEAK))));
        assert_eq!(world.done(&alice, &of(&[]), &made).err(), expected);
    }
}

const WEAK: &str = "derived from these data; derive from others";

#[test]
fn what_derives_from_what() {
    let mut world = World::of(HsmType::Hsm2mMedium, ClusterMode::NonFips);
    let alice = world.crypto_user("alice");
    let derives: Values<'_> = &[(Flag::Derive, true)];
    let aes = generate(&mut world, &alice, derives);
    let generic = import(&mut world, &alice, KeyType::GenericSecret, derives).unwrap().reference;
    let p256 = agreeing_pair(&mut world, &alice, Curve::P256, derives);
    let p521 = agreeing_pair(&mut world, &alice, Curve::P521, derives);
    let ed25519 = agreeing_pair(&mut world, &alice, Curve::Ed25519, derives);
    let mut check = |base, derivation: Derivation, kind, expected: Option<Status>| {
        let status = derive(&mut world, &alice, base, derivation.clone(), kind, &[]).err();
        assert_eq!(status, expected, "{derivation:?} {kind:?}");
    };
    let wrong_type = Some(Status::KeyTypeInconsistent);
    check(aes, ecdh(x963(), 65), AES, wrong_type);
    check(generic, counter_kdf(), AES, wrong_type);
    check(p256, counter_kdf(), AES, wrong_type);
    check(ed25519, ecdh(x963(), 32), AES, wrong_type);
    for kind in [AES, (KeyType::Des3, 24), (KeyType::GenericSecret, 1), (KeyType::GenericSecret, 800)] {
        check(aes, counter_kdf(), kind, None);
        check(p256, ecdh(x963(), 65), kind, None);
    }
    for kind in [(KeyType::Aes, 20), (KeyType::Des3, 16), (KeyType::GenericSecret, 0), (KeyType::GenericSecret, 801)] {
        check(aes, counter_kdf(), kind, Some(Status::KeySizeInvalid));
    }
    check(aes, counter_kdf(), (KeyType::Rsa, 32), Some(Status::TemplateInconsistent));
    check(p256, ecdh(x963(), 64), AES, Some(Status::DataLengthInvalid));
    check(p256, ecdh(x963(), 133), AES, Some(Status::DataLengthInvalid));
    check(p521, ecdh(x963(), 133), AES, None);
    check(p256, ecdh(EcdhKdf::None, 65), AES, None);
    check(p256, ecdh(EcdhKdf::None, 65), (KeyType::GenericSecret, 33), Some(Status::KeySizeInvalid));
    check(p521, ecdh(EcdhKdf::None, 133), (KeyType::GenericSecret, 66), None);
    let kdf = |fields| Derivation::CounterKdf { prf: Prf::AesCmac, fields };
    check(aes, kdf(vec![]), AES, Some(Status::MechanismInvalid));
    check(aes, kdf(vec![KdfField::Counter { bits: 24 }]), AES, Some(Status::MechanismInvalid));
    let long = KdfField::Bytes(vec![7; DATA_LEN_MAX + 1]);
    check(aes, kdf(vec![KdfField::Counter { bits: 8 }, long]), AES, Some(Status::DataLengthInvalid));
    let narrow = vec![KdfField::Counter { bits: 8 }, KdfField::Length { bits: 8 }];
    check(aes, kdf(narrow), AES, Some(Status::KeySizeInvalid));
}

#[test]
fn fips_mode_derives_by_what_is_approved() {
    for hsm_type in [HsmType::Hsm1Medium, HsmType::Hsm2mMedium] {
        let mut world = World::of(hsm_type, ClusterMode::Fips);
        let alice = world.crypto_user("alice");
        let derives: Values<'_> = &[(Flag::Derive, true)];
        let aes = generate(&mut world, &alice, derives);
        let p256 = agreeing_pair(&mut world, &alice, Curve::P256, derives);
        let koblitz = agreeing_pair(&mut world, &alice, Curve::Secp256k1, derives);
        let mut check = |base, derivation: Derivation, kind, expected: Option<Status>| {
            let status = derive(&mut world, &alice, base, derivation.clone(), kind, &[]).err();
            assert_eq!(status, expected, "{derivation:?} {kind:?} on {hsm_type}");
        };
        let refused = Some(Status::MechanismNotApproved);
        check(aes, counter_kdf(), AES, None);
        check(aes, counter_kdf(), (KeyType::Des3, 24), refused);
        check(p256, ecdh(x963(), 65), AES, None);
        check(p256, ecdh(EcdhKdf::None, 65), AES, refused);
        check(koblitz, ecdh(x963(), 65), AES, refused);
    }
}

#[test]
fn session_keys_are_made_of_either_kind_of_key() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let stored = generate(&mut world, &alice, &[(Flag::Derive, true)]);
    let session: Values<'_> = &[(Flag::Token, false), (Flag::Derive, true)];
    let template = flags(session);
    let brought = Command::ImportKey { key: ImportedKey::Secret(KeyType::Aes, 32), template };
    let make = |world: &mut World, command: &Command| -> SessionKey {
        let made = made(world, KeyType::Aes, 32);
        session_keys(&world.state, &alice, command, &made, world.now_ms).unwrap().remove(0)
    };
    let base = make(&mut world, &brought);
    assert!(!base.attributes.flags.has(Flag::Local) && base.attributes.flags.has(Flag::Derive));
    let of_stored = make(&mut world, &command(stored, counter_kdf(), AES, session));
    assert!(of_stored.attributes.flags.has(Flag::Local) && of_stored.sealed.is_some());
    let of_session = |values: Values<'_>| Command::DeriveKey {
        base: SourceKey::OfSession(Box::new(base.clone())),
        derivation: counter_kdf(),
        key_type: KeyType::Aes,
        length_bytes: 32,
        template: flags(values),
    };
    make(&mut world, &of_session(session));
    // A key that lasts, too; and neither by another login.
    let lasting = made(&mut world, KeyType::Aes, 32);
    assert!(world.done(&alice, &of_session(&[]), &lasting).is_ok());
    let status = check_session_keys(&world.state, &bob, &of_session(session), world.now_ms).unwrap_err().status;
    assert_eq!(status, Status::KeyUnknown);
    let lasting = made(&mut world, KeyType::Aes, 32);
    assert_eq!(world.done(&bob, &of_session(&[]), &lasting), Err(Status::KeyUnknown));
}

#[test]
fn values_are_shown_while_nothing_hides_them() {
    let mut world = World::active();
    let (admin, alice, bob) = (world.admin(), world.crypto_user("alice"), world.crypto_user("bob"));
    let open: Values<'_> = &[(Flag::Sensitive, false)];
    for key_type in [KeyType::Aes, KeyType::Des3, KeyType::GenericSecret] {
        let shown = import(&mut world, &alice, key_type, open).unwrap().reference;
        assert_eq!(read(&world, &alice, shown), None, "{key_type}");
        let hidden = import(&mut world, &alice, key_type, &[]).unwrap().reference;
        assert_eq!(read(&world, &alice, hidden), Some(Status::KeySensitive), "{key_type}");
    }
    let stays = generate(&mut world, &alice, &[(Flag::Sensitive, false), (Flag::Extractable, false)]);
    assert_eq!(read(&world, &alice, stays), Some(Status::KeySensitive));
    let trusted = generate(&mut world, &alice, &[(Flag::Sensitive, false), (Flag::WrapWithTrusted, true)]);
    assert_eq!(read(&world, &alice, trusted), Some(Status::KeySensitive));
    let shown = generate(&mut world, &alice, open);
    assert_eq!(read(&world, &bob, shown), Some(Status::KeyUnknown));
    assert_eq!(read(&world, &admin, shown), Some(Status::RoleNotPermitted));
    assert_eq!(read(&world, &Actor::Anonymous, shown), Some(Status::NotLoggedIn));
    let (public, private) = world.pair(&alice, &P256);
    assert_eq!(read(&world, &alice, public), Some(Status::KeyTypeInconsistent));
    assert_eq!(read(&world, &alice, private), Some(Status::KeyTypeInconsistent));
    let share = Command::ShareKey { key: shown, name: name("bob"), role: Role::CryptoUser };
    world.done(&alice, &share, &Made::Nothing).unwrap();
    assert_eq!(read(&world, &bob, shown), None);
    world.done(&bob, &Command::Logout, &Made::Nothing).unwrap();
    assert_eq!(read(&world, &bob, shown), Some(Status::LoginEnded));
}

/// What several users must agree about is neither shown to one of them nor turned by one into another key.
#[test]
fn keys_of_several_users_show_nothing_and_derive_nothing_for_one() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.crypto_user("bob");
    let mut shared = |quorum: KeyQuorum| {
        let template = flags(&[(Flag::Sensitive, false), (Flag::Derive, true)]);
        let share_with = vec![name("bob")];
        let (key_type, length_bytes) = (KeyType::Aes, 32);
        let command = Command::GenerateSecret { key_type, length_bytes, template, share_with, quorum };
        let made = world.made_secret(KeyType::Aes);
        key(world.done(&alice, &command, &made).unwrap()).reference
    };
    let alone = shared(KeyQuorum { manage: 1, usage: 1 });
    let managed = shared(KeyQuorum { manage: 2, usage: 0 });
    let used = shared(KeyQuorum { manage: 0, usage: 2 });
    for (base, expected) in [(alone, None), (managed, Some(Status::QuorumFailed)), (used, Some(Status::QuorumFailed))] {
        assert_eq!(read(&world, &alice, base), expected);
        assert_eq!(derive(&mut world, &alice, base, counter_kdf(), AES, &[]).err(), expected);
        let session = command(base, counter_kdf(), AES, &[(Flag::Token, false)]);
        let checked = check_session_keys(&world.state, &alice, &session, world.now_ms);
        assert_eq!(checked.err().map(|refusal| refusal.status), expected);
        // No spent token makes it another matter.
        let request = world.request();
        let approved =
            authorize_approved(&world.state, &alice, KeyUse::ReadValue, base, &request, world.now_ms).map(drop);
        assert_eq!(approved.err().map(|refusal| refusal.status), Some(Status::QuorumFailed));
    }
}

#[test]
fn private_keys_come_in_by_their_public_part() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let mut bring = |key_type, public: Option<PublicPart>, values: Values<'_>| {
        let command = Command::ImportKey { key: ImportedKey::Private(key_type), template: flags(values) };
        let (reference, sealed) = (world.reference(), Some(Arc::from(&[5; 60][..])));
        let check_value = Some([7; 3]);
        let made = Made::Key(MadeKey { reference, sealed, public, length_bytes: 138, weak: false, check_value });
        world.done(&alice, &command, &made).map(key)
    };
    let ec = Some(public_of(&P256));
    let view = bring(KeyType::Ec, ec.clone(), &[(Flag::Sign, true), (Flag::Extractable, false)]).unwrap();
    let flags = view.attributes.flags;
    assert!(flags.has(Flag::Sign) && flags.has(Flag::Sensitive) && !flags.has(Flag::Extractable));
    let past = [Flag::Local, Flag::AlwaysSensitive, Flag::NeverExtractable];
    assert!(past.iter().all(|flag| !flags.has(*flag)));
    // Whoever brings it may say that it is no secret; its value is not shown all the same.
    let open = bring(KeyType::Ec, ec.clone(), &[(Flag::Sensitive, false)]).unwrap();
    assert!(!open.attributes.flags.has(Flag::Sensitive));
    assert_eq!(bring(KeyType::MlDsa, None, &[]), Err(Status::MechanismInvalid));
    assert_eq!(bring(KeyType::Aes, None, &[]), Err(Status::TemplateInconsistent));
    assert_eq!(bring(KeyType::Rsa, ec.clone(), &[]), Err(Status::Internal), "the HSM has looked at it");
    assert_eq!(bring(KeyType::Ec, ec, &[(Flag::Encrypt, true)]), Err(Status::AttributeUnknown));
    let small = PublicPart::Rsa { modulus: vec![0xff; 128], public_exponent: vec![1, 0, 1] };
    assert_eq!(bring(KeyType::Rsa, Some(small), &[]), Err(Status::KeySizeInvalid));
    assert_eq!(read(&world, &alice, open.reference), Some(Status::KeyTypeInconsistent));
}

#[test]
fn a_session_key_shows_its_value_to_its_login_alone() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let template = flags(&[(Flag::Token, false), (Flag::Sensitive, false)]);
    let command = Command::ImportKey { key: ImportedKey::Secret(KeyType::GenericSecret, 9), template };
    let made = made(&mut world, KeyType::GenericSecret, 9);
    let key = session_keys(&world.state, &alice, &command, &made, world.now_ms).unwrap().remove(0);
    let read = |actor: &Actor| {
        let read = authorize_session_key(&world.state, actor, KeyUse::ReadValue, &key, world.now_ms);
        read.err().map(|refusal| refusal.status)
    };
    assert_eq!((read(&alice), read(&bob)), (None, Some(Status::KeyUnknown)));
}

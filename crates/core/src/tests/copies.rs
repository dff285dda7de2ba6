//! Copies of keys.

use std::sync::Arc;

use strongroom_types::{
    AttributeName, AttributeValue, Attributes, Flag, HsmType, KeyClass, KeyQuorum, KeyReference, KeyType, Role, Status,
    Template, WrapMechanism,
};

use super::world::{P256, World, name, rsa};
use crate::{
    Actor, Command, KeyView, Made, MadeKey, NamedKey, Reply, SessionKey, SourceKey, authorize_wrap, check_session_keys,
    is_for_session, session_keys,
};

type Attribute = (AttributeName, AttributeValue);

fn flag(flag: Flag, value: bool) -> Attribute {
    (AttributeName::Flag(flag), AttributeValue::Bool(value))
}

fn label(text: &str) -> Attribute {
    (AttributeName::Label, AttributeValue::Text(text.into()))
}

fn copy_of(key: KeyReference, template: Template) -> Command {
    Command::CopyKey { from: SourceKey::Stored(key), template }
}

fn made_of(world: &mut World, original: &Attributes) -> Made {
    Made::Key(MadeKey {
        reference: world.reference(),
        sealed: (original.class != KeyClass::PublicKey).then(|| Arc::from(&[9; 60][..])),
        public: original.public.clone(),
        length_bytes: original.length_bytes,
        weak: false,
        check_value: original.check_value,
    })
}

fn attributes(world: &World, key: KeyReference) -> Attributes {
    world.state.key(key).unwrap().attributes.clone()
}

fn copy(world: &mut World, actor: &Actor, key: KeyReference, template: Template) -> Result<KeyView, Status> {
    let original = attributes(world, key);
    let made = made_of(world, &original);
    match world.done(actor, &copy_of(key, template), &made)? {
        Reply::Key(view) => Ok(view),
        other => panic!("{other:?}"),
    }
}

fn aes(world: &mut World, actor: &Actor, template: Template) -> KeyReference {
    match world.aes(actor, template, &[]).unwrap() {
        Reply::Key(view) => view.reference,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_copy_is_as_its_original_but_for_what_is_asked() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.create("bob", Role::CryptoUser).unwrap();
    let demands = (AttributeName::WrapTemplate, AttributeValue::Template(vec![flag(Flag::Sign, true)]));
    let secret = aes(&mut world, &alice, vec![label("one"), flag(Flag::Extractable, false), demands]);
    let share = Command::ShareKey { key: secret, name: name("bob"), role: Role::CryptoUser };
    world.done(&alice, &share, &Made::Nothing).unwrap();
    let (ec_public, ec_private) = world.pair(&alice, &P256);
    let (rsa_public, rsa_private) = world.pair(&alice, &rsa(2048));
    for key in [secret, ec_public, ec_private, rsa_public, rsa_private] {
        let original = attributes(&world, key);
        let plain = copy(&mut world, &alice, key, vec![]).unwrap();
        assert_eq!(plain.attributes, original);
        assert_ne!(plain.reference, key);
        assert!(plain.shared_with.is_empty() && plain.owner.as_str() == "alice");
        let kept = world.state.key(plain.reference).unwrap();
        assert_eq!(kept.sealed.as_deref(), (original.class != KeyClass::PublicKey).then_some(&[9; 60][..]));
        let id = (AttributeName::Id, AttributeValue::Bytes(vec![4, 2]));
        let class = (AttributeName::Class, AttributeValue::Class(original.class));
        let named = copy(&mut world, &alice, key, vec![label("two"), id, class]).unwrap().attributes;
        assert_eq!(named, Attributes { label: "two".into(), id: vec![4, 2], ..original });
    }
    // Each stands for itself.
    world.done(&alice, &Command::DeleteKey(ec_private), &Made::Nothing).unwrap();
    let left = world.state.keys().filter(|key| key.attributes.class == KeyClass::PrivateKey).count();
    assert_eq!(left, 5);
}

#[test]
fn protections_are_added_and_never_taken_back() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let weak = aes(&mut world, &alice, vec![flag(Flag::Sensitive, false), flag(Flag::Wrap, true)]);
    let strong = aes(&mut world, &alice, vec![flag(Flag::Extractable, false), flag(Flag::WrapWithTrusted, true)]);
    let (attribute, value) = flag(Flag::Trusted, true);
    world.done(&admin, &Command::SetAttribute { key: weak, attribute, value }, &Made::Nothing).unwrap();
    let mut check = |key, template: Template, expected: Result<(), Status>| {
        let outcome = copy(&mut world, &alice, key, template.clone());
        let outcome = outcome.map(|view| {
            for (name, value) in &template {
                assert!(view.attributes.have(*name, value), "{name}");
            }
            assert!(!view.attributes.flags.has(Flag::Trusted), "no admin has called the copy so");
        });
        assert_eq!(outcome, expected, "{template:?}");
    };
    let (invalid, read_only) = (Err(Status::AttributeValueInvalid), Err(Status::AttributeReadOnly));
    check(weak, vec![flag(Flag::Sensitive, true), flag(Flag::Extractable, false)], Ok(()));
    check(weak, vec![flag(Flag::WrapWithTrusted, true), flag(Flag::Modifiable, false)], Ok(()));
    check(weak, vec![flag(Flag::Encrypt, true), flag(Flag::Wrap, false)], Ok(()));
    check(weak, vec![flag(Flag::Trusted, false)], Ok(()));
    check(weak, vec![flag(Flag::Trusted, true)], read_only);
    check(weak, vec![flag(Flag::AlwaysSensitive, true)], read_only);
    check(weak, vec![flag(Flag::Local, false)], read_only);
    check(weak, vec![flag(Flag::Private, false)], read_only);
    check(strong, vec![flag(Flag::Extractable, true)], invalid);
    check(strong, vec![flag(Flag::WrapWithTrusted, false)], invalid);
    check(strong, vec![flag(Flag::Sensitive, false)], invalid);
    check(strong, vec![flag(Flag::NeverExtractable, false)], read_only);
    check(strong, vec![flag(Flag::NeverExtractable, true), flag(Flag::Extractable, false)], Ok(()));
    check(strong, vec![flag(Flag::Sign, true), flag(Flag::Sign, true)], Err(Status::TemplateInconsistent));
    check(
        strong,
        vec![(AttributeName::Class, AttributeValue::Class(KeyClass::PublicKey))],
        Err(Status::TemplateInconsistent),
    );
    check(strong, vec![(AttributeName::CheckValue, AttributeValue::Bytes(vec![0; 3]))], read_only);
    let demands = |template| (AttributeName::UnwrapTemplate, AttributeValue::Template(template));
    check(strong, vec![demands(vec![flag(Flag::Sign, true)])], read_only);
    check(strong, vec![demands(vec![])], Ok(()));
    check(strong, vec![label(&"x".repeat(128))], invalid);
    check(strong, vec![label("x"); 65], Err(Status::MalformedRequest));
}

#[test]
fn a_trusted_keys_copy_takes_no_guarded_key_out() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let kek = aes(&mut world, &alice, vec![flag(Flag::Wrap, true)]);
    let (attribute, value) = flag(Flag::Trusted, true);
    world.done(&admin, &Command::SetAttribute { key: kek, attribute, value }, &Made::Nothing).unwrap();
    let guarded = aes(&mut world, &alice, vec![flag(Flag::WrapWithTrusted, true)]);
    let second = copy(&mut world, &alice, kek, vec![]).unwrap().reference;
    let copied = copy(&mut world, &alice, guarded, vec![]).unwrap().reference;
    let wraps = |wrapping, payload| {
        let keys = (NamedKey::Stored(wrapping), NamedKey::Stored(payload));
        let outcome = authorize_wrap(&world.state, &alice, WrapMechanism::AesZeroPad, keys, world.now_ms);
        outcome.err().map(|refusal| refusal.status)
    };
    assert_eq!((wraps(kek, guarded), wraps(kek, copied)), (None, None));
    let untrusted = Some(Status::WrappingKeyNotTrusted);
    assert_eq!((wraps(second, guarded), wraps(second, copied)), (untrusted, untrusted));
}

#[test]
fn only_its_owner_copies_a_key() {
    let mut world = World::active();
    let admin = world.admin();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let key = aes(&mut world, &alice, vec![]);
    let (public, _) = world.pair(&alice, &P256);
    for (actor, key, expected) in [
        (&bob, key, Status::KeyUnknown),
        (&bob, public, Status::KeyNotOwned),
        (&admin, key, Status::RoleNotPermitted),
        (&Actor::Anonymous, key, Status::NotLoggedIn),
        (&Actor::Appliance, key, Status::RoleNotPermitted),
    ] {
        assert_eq!(copy(&mut world, actor, key, vec![]), Err(expected));
    }
    let share = Command::ShareKey { key, name: name("bob"), role: Role::CryptoUser };
    world.done(&alice, &share, &Made::Nothing).unwrap();
    assert_eq!(copy(&mut world, &bob, key, vec![]), Err(Status::KeyNotOwned));
    let nothing = copy_of(KeyReference::from_u64(0xabcdef).unwrap(), vec![]);
    assert_eq!(world.done(&alice, &nothing, &Made::Nothing), Err(Status::KeyUnknown));
}

#[test]
fn of_a_key_that_is_not_modifiable_only_its_place_differs() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let key = aes(&mut world, &alice, vec![label("fixed"), flag(Flag::Modifiable, false)]);
    assert!(copy(&mut world, &alice, key, vec![]).is_ok());
    assert!(copy(&mut world, &alice, key, vec![label("fixed"), flag(Flag::Token, true)]).is_ok());
    for other in [label("loose"), flag(Flag::Extractable, false), flag(Flag::Encrypt, true)] {
        assert_eq!(copy(&mut world, &alice, key, vec![other]), Err(Status::KeyNotModifiable));
    }
    assert_eq!(copy(&mut world, &alice, key, vec![flag(Flag::Modifiable, true)]), Err(Status::KeyNotModifiable));
    let command = copy_of(key, vec![flag(Flag::Token, false)]);
    check_session_keys(&world.state, &alice, &command, world.now_ms).unwrap();
}

#[test]
fn what_several_users_decide_on_is_not_copied() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.create("bob", Role::CryptoUser).unwrap();
    for (manage, usage, expected) in
        [(2, 0, Err(Status::KeyNotCopyable)), (0, 2, Err(Status::KeyNotCopyable)), (1, 1, Ok(KeyQuorum::NONE))]
    {
        let command = Command::GenerateSecret {
            key_type: KeyType::Aes,
            length_bytes: 32,
            template: vec![],
            share_with: vec![name("bob")],
            quorum: KeyQuorum { manage, usage },
        };
        let made = world.made_secret(KeyType::Aes);
        let Ok(Reply::Key(key)) = world.done(&alice, &command, &made) else { panic!("no key") };
        let copied = copy(&mut world, &alice, key.reference, vec![]).map(|copy| copy.quorum);
        assert_eq!(copied, expected);
        let session = copy_of(key.reference, vec![flag(Flag::Token, false)]);
        let refused = check_session_keys(&world.state, &alice, &session, world.now_ms).err();
        assert_eq!(refused.map(|refusal| refusal.status), expected.err());
    }
}

#[test]
fn copies_go_from_the_store_into_a_session_and_back() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let (public, private) = world.pair(&alice, &P256);
    for key in [aes(&mut world, &alice, vec![flag(Flag::Extractable, false)]), public, private] {
        let original = attributes(&world, key);
        let command = copy_of(key, vec![flag(Flag::Token, false)]);
        assert_eq!(is_for_session(&world.state, &alice, &command), Ok(true));
        let made = made_of(&mut world, &original);
        let made_keys = session_keys(&world.state, &alice, &command, &made, world.now_ms).unwrap();
        let [session]: [SessionKey; 1] = made_keys.try_into().unwrap();
        let expected = Attributes { flags: original.flags.with(Flag::Token, false), ..original.clone() };
        assert_eq!(session.attributes, expected);
        assert!(session.is_of(&alice) && session.sealed.is_some() == (original.class != KeyClass::PublicKey));
        // Back into the store, and into the session again.
        let from = || SourceKey::OfSession(Box::new(session.clone()));
        let stays = Command::CopyKey { from: from(), template: vec![] };
        assert_eq!(is_for_session(&world.state, &alice, &stays), Ok(true));
        check_session_keys(&world.state, &alice, &stays, world.now_ms).unwrap();
        let lasting = Command::CopyKey { from: from(), template: vec![flag(Flag::Token, true)] };
        assert_eq!(is_for_session(&world.state, &alice, &lasting), Ok(false));
        let made = made_of(&mut world, &original);
        let Ok(Reply::Key(back)) = world.done(&alice, &lasting, &made) else { panic!("no key") };
        assert_eq!(back.attributes, original);
        // Nobody else has it.
        let made = made_of(&mut world, &original);
        assert_eq!(world.done(&bob, &lasting, &made), Err(Status::KeyUnknown));
        let refused = check_session_keys(&world.state, &bob, &stays, world.now_ms).unwrap_err();
        assert_eq!(refused.status, Status::KeyUnknown);
    }
}

#[test]
fn a_copy_needs_a_place_and_a_repeat_makes_one() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let (_, private) = world.pair(&alice, &P256);
    let original = attributes(&world, private);
    let (command, made, request) = (copy_of(private, vec![]), made_of(&mut world, &original), world.request());
    let first = world.again(&alice, &command, &made, &request).unwrap();
    let before = world.state.keys_len();
    let other = made_of(&mut world, &original);
    assert_eq!(world.again(&alice, &command, &other, &request).unwrap(), first);
    // Also when the original is gone, and much later.
    world.done(&alice, &Command::DeleteKey(private), &Made::Nothing).unwrap();
    world.now_ms += 3 * 60 * 60 * 1_000;
    assert_eq!(world.again(&alice, &command, &other, &request).unwrap(), first);
    assert_eq!(world.state.keys_len(), before - 1);
    let Reply::Key(KeyView { reference: key, .. }) = first else { panic!("no key") };
    // A full cluster has no place for it.
    let capacity =
        strongroom_types::Capacity { keys_max: world.state.keys_len(), ..world.state.cluster().unwrap().capacity() };
    let cluster = crate::Cluster { capacity: Some(capacity), ..world.state.cluster().unwrap().as_ref().clone() };
    let revision = world.state.revision().next();
    let puts = vec![crate::Record::Cluster(cluster)];
    world.commit(&crate::Batch { revision, time_ms: world.now_ms, puts, deletes: Vec::new() });
    assert_eq!(copy(&mut world, &alice, key, vec![]), Err(Status::KeysFull));
}

#[test]
fn what_was_made_must_be_of_the_original() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let (public, private) = world.pair(&alice, &P256);
    let original = attributes(&world, private);
    let Made::Key(good) = made_of(&mut world, &original) else { unreachable!() };
    for bad in [
        MadeKey { public: None, ..good.clone() },
        MadeKey { check_value: Some([0; 3]), ..good.clone() },
        MadeKey { sealed: None, ..good.clone() },
    ] {
        assert_eq!(world.done(&alice, &copy_of(private, vec![]), &Made::Key(bad)), Err(Status::Internal));
    }
    assert_eq!(world.done(&alice, &copy_of(public, vec![]), &Made::Key(good)), Err(Status::Internal));
}

#[test]
fn on_hsm1_a_copy_may_be_less_extractable_and_have_another_id() {
    let mut world = World::of(HsmType::Hsm1Medium, strongroom_types::ClusterMode::Fips);
    let alice = world.crypto_user("alice");
    let key = aes(&mut world, &alice, vec![]);
    let id = (AttributeName::Id, AttributeValue::Bytes(vec![7]));
    let copied = copy(&mut world, &alice, key, vec![flag(Flag::Extractable, false), id]).unwrap().attributes;
    assert!(!copied.flags.has(Flag::Extractable) && !copied.flags.has(Flag::NeverExtractable));
    assert_eq!(copied.id, [7]);
}

/// The same material has been used as often, by whatever way it went.
#[test]
fn a_copys_uses_begin_where_its_originals_were() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let key = aes(&mut world, &alice, vec![flag(Flag::Encrypt, true)]);
    world.done(&Actor::Hsm, &Command::ReserveUses { key, uses: 65_536 }, &Made::Nothing).unwrap();
    let uses = |world: &World, key| world.state.key(key).unwrap().uses_reserved;
    let twin = copy(&mut world, &alice, key, vec![]).unwrap().reference;
    assert_eq!((uses(&world, key), uses(&world, twin)), (65_536, 65_536));
    let original = attributes(&world, key);
    let of_session = |world: &mut World, from: SourceKey| -> SessionKey {
        let command = Command::CopyKey { from, template: vec![flag(Flag::Token, false)] };
        let made = made_of(world, &original);
        let [session] = session_keys(&world.state, &alice, &command, &made, world.now_ms).unwrap().try_into().unwrap();
        session
    };
    let first = of_session(&mut world, SourceKey::Stored(key));
    let second = of_session(&mut world, SourceKey::OfSession(Box::new(first.clone())));
    assert_eq!((first.uses_before, second.uses_before), (65_536, 65_536));
    assert_eq!(SessionKey::decode(&second.encode()).unwrap(), second);
    let from = SourceKey::OfSession(Box::new(second));
    let made = made_of(&mut world, &original);
    let lasting = Command::CopyKey { from, template: vec![flag(Flag::Token, true)] };
    let Ok(Reply::Key(back)) = world.done(&alice, &lasting, &made) else { panic!("no key") };
    assert_eq!(uses(&world, back.reference), 65_536);
}

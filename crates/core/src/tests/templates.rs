//! Keys that demand something of what is wrapped and unwrapped with them.

use std::sync::Arc;

use strongroom_types::limits::TEMPLATE_LEN_MAX;
use strongroom_types::{
    AttributeName, AttributeValue, Flag, KeyClass, KeyQuorum, KeyReference, KeyType, Role, Status, Template,
    WrapMechanism,
};

use super::world::{P256, World, name, rsa, unwrap_of};
use crate::{
    Actor, Command, CorruptRecord, Key, KeyView, Made, NamedKey, PairAlgorithm, Record, Reply, authorize_wrap,
    check_session_keys, is_for_session,
};

type Attribute = (AttributeName, AttributeValue);

fn flag(flag: Flag, value: bool) -> Attribute {
    (AttributeName::Flag(flag), AttributeValue::Bool(value))
}

fn wrap_template(template: Template) -> Attribute {
    (AttributeName::WrapTemplate, AttributeValue::Template(template))
}

fn unwrap_template(template: Template) -> Attribute {
    (AttributeName::UnwrapTemplate, AttributeValue::Template(template))
}

fn view(outcome: Result<Reply, Status>) -> Result<KeyView, Status> {
    match outcome? {
        Reply::Key(view) => Ok(view),
        other => panic!("{other:?}"),
    }
}

fn aes(world: &mut World, actor: &Actor, template: Template) -> Result<KeyView, Status> {
    view(world.aes(actor, template, &[]))
}

fn wraps(world: &World, actor: &Actor, wrapping: KeyReference, payload: KeyReference) -> Option<(Status, String)> {
    let keys = (NamedKey::Stored(wrapping), NamedKey::Stored(payload));
    let outcome = authorize_wrap(&world.state, actor, WrapMechanism::AesZeroPad, keys, world.now_ms);
    outcome.err().map(|refusal| (refusal.status, refusal.about))
}

const AES: (KeyClass, KeyType) = (KeyClass::SecretKey, KeyType::Aes);

fn unwrap(
    world: &mut World,
    actor: &Actor,
    with: KeyReference,
    templates: (Template, Template),
) -> Result<KeyView, Status> {
    let made = world.made_aes_from_outside();
    view(world.done(actor, &unwrap_of(with, AES, templates), &made))
}

#[test]
fn a_payload_is_as_the_wrapping_keys_template_demands() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let demands = vec![
        flag(Flag::Encrypt, true),
        flag(Flag::Trusted, false),
        (AttributeName::KeyType, AttributeValue::KeyType(KeyType::Aes)),
        (AttributeName::KeyLengthBytes, AttributeValue::Number(32)),
        (AttributeName::Label, AttributeValue::Text("traded".into())),
    ];
    let kek = aes(&mut world, &alice, vec![flag(Flag::Wrap, true), wrap_template(demands)]).unwrap().reference;
    let label = |text: &str| (AttributeName::Label, AttributeValue::Text(text.into()));
    let payload = |world: &mut World, encrypt, text| {
        aes(world, &alice, vec![flag(Flag::Encrypt, encrypt), label(text)]).unwrap().reference
    };
    let good = payload(&mut world, true, "traded");
    let (silent, other) = (payload(&mut world, false, "traded"), payload(&mut world, true, "kept"));
    assert_eq!(wraps(&world, &alice, kek, good), None);
    let refused = |about: &str| Some((Status::WrapTemplateMismatch, about.to_owned()));
    assert_eq!(wraps(&world, &alice, kek, silent), refused("encrypt"));
    assert_eq!(wraps(&world, &alice, kek, other), refused("label"));
    let (_, private) = world.pair(&alice, &P256);
    assert_eq!(wraps(&world, &alice, kek, private), refused("encrypt"), "a kind without that flag");
    // It is so for everybody who wraps, and as the payload is then.
    let share = Command::ShareKey { key: kek, name: name("bob"), role: Role::CryptoUser };
    world.done(&alice, &share, &Made::Nothing).unwrap();
    let bobs = aes(&mut world, &bob, vec![]).unwrap().reference;
    assert_eq!(wraps(&world, &bob, kek, bobs), refused("encrypt"));
    let (attribute, value) = flag(Flag::Encrypt, false);
    world.done(&alice, &Command::SetAttribute { key: good, attribute, value }, &Made::Nothing).unwrap();
    assert_eq!(wraps(&world, &alice, kek, good), refused("encrypt"));
}

#[test]
fn what_is_unwrapped_has_what_the_unwrapping_key_demands() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let label = |text: &str| (AttributeName::Label, AttributeValue::Text(text.into()));
    let demands = vec![flag(Flag::Extractable, false), flag(Flag::Decrypt, true), label("made")];
    let kek = aes(&mut world, &alice, vec![flag(Flag::Unwrap, true), unwrap_template(demands)]).unwrap().reference;
    let mut check = |template: Template, defaults: Template, expected: Result<(bool, bool, bool, &str), Status>| {
        let made = unwrap(&mut world, &alice, kek, (template.clone(), defaults)).map(|view| view.attributes);
        let made = made.as_ref().map(|made| {
            let has = |flag| made.flags.has(flag);
            (has(Flag::Extractable), has(Flag::Decrypt), has(Flag::Sign), made.label.as_str())
        });
        assert_eq!(made, expected.as_ref().map(|expected| *expected), "{template:?}");
    };
    let inconsistent = Err(Status::TemplateInconsistent);
    // What is left out is filled in, what agrees is taken, what contradicts is refused.
    check(vec![], vec![], Ok((false, true, true, "made")));
    check(vec![flag(Flag::Extractable, false), label("made")], vec![], Ok((false, true, true, "made")));
    check(vec![flag(Flag::Extractable, true)], vec![], inconsistent);
    check(vec![label("other")], vec![], inconsistent);
    check(vec![flag(Flag::Encrypt, true), flag(Flag::Decrypt, false)], vec![], inconsistent);
    // Defaults hold where neither says anything.
    let defaults = vec![flag(Flag::Extractable, true), flag(Flag::Decrypt, false), flag(Flag::Sign, false)];
    check(vec![], defaults.clone(), Ok((false, true, false, "made")));
    check(vec![flag(Flag::Sign, true)], defaults.clone(), Ok((false, true, true, "made")));
    check(vec![flag(Flag::Extractable, true)], defaults, inconsistent);
    // And are no way around the rules of new keys.
    check(vec![], vec![flag(Flag::Local, true)], Err(Status::AttributeReadOnly));
    check(vec![], vec![flag(Flag::Sign, true), flag(Flag::Sign, false)], inconsistent);
    check(vec![flag(Flag::Sign, true), flag(Flag::Sign, true)], vec![], inconsistent);
    check(vec![flag(Flag::Trusted, true), flag(Flag::Extractable, true)], vec![], Err(Status::AttributeReadOnly));
}

#[test]
fn a_flag_that_the_kind_lacks_may_be_demanded_as_false_only() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let mut kek =
        |demands| aes(&mut world, &alice, vec![flag(Flag::Unwrap, true), unwrap_template(demands)]).unwrap().reference;
    let off = kek(vec![flag(Flag::Encrypt, false), flag(Flag::Extractable, false)]);
    let on = kek(vec![flag(Flag::Encrypt, true)]);
    let typed = kek(vec![(AttributeName::KeyType, AttributeValue::KeyType(KeyType::Aes))]);
    let status = |with, kind| {
        let command = unwrap_of(with, kind, (Template::new(), Template::new()));
        crate::check(
            &world.state,
            &alice,
            &command,
            &crate::Request::new(strongroom_types::RequestId::from_bytes([1; 16]), [0; 32]),
            world.now_ms,
        )
        .err()
        .map(|refusal| refusal.status)
    };
    let private = (KeyClass::PrivateKey, KeyType::Ec);
    assert_eq!((status(off, private), status(on, private)), (None, Some(Status::TemplateInconsistent)));
    assert_eq!((status(off, AES), status(on, AES)), (None, None));
    assert_eq!((status(typed, AES), status(typed, private)), (None, Some(Status::TemplateInconsistent)));
}

#[test]
fn where_an_unwrapped_key_lives_is_said_by_the_first_who_says_it() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let mut kek =
        |demands| aes(&mut world, &alice, vec![flag(Flag::Unwrap, true), unwrap_template(demands)]).unwrap().reference;
    let (nothing, stored) = (kek(vec![]), kek(vec![flag(Flag::Token, true)]));
    let of_session = kek(vec![flag(Flag::Token, false)]);
    let token = |value| vec![flag(Flag::Token, value)];
    let check = |with, template: Template, defaults: Template, expected: Result<bool, Status>| {
        let command = unwrap_of(with, AES, (template, defaults));
        let session = is_for_session(&world.state, &alice, &command).unwrap();
        let refused = if session {
            check_session_keys(&world.state, &alice, &command, world.now_ms).err()
        } else {
            let request = crate::Request::new(strongroom_types::RequestId::from_bytes([1; 16]), [0; 32]);
            crate::check(&world.state, &alice, &command, &request, world.now_ms).err()
        };
        let outcome = refused.map_or(Ok(session), |refusal| Err(refusal.status));
        assert_eq!(outcome, expected, "{command:?}");
    };
    check(nothing, vec![], vec![], Ok(false));
    check(nothing, vec![], token(false), Ok(true));
    check(nothing, token(true), token(false), Ok(false));
    check(stored, vec![], token(false), Ok(false));
    check(of_session, vec![], token(true), Ok(true));
    check(stored, token(false), vec![], Err(Status::TemplateInconsistent));
    check(of_session, token(true), vec![], Err(Status::TemplateInconsistent));
    let absent = unwrap_of(KeyReference::from_u64(0xabcdef).unwrap(), AES, (vec![], vec![]));
    assert_eq!(is_for_session(&world.state, &alice, &absent).unwrap_err().status, Status::KeyUnknown);
}

/// What refuses another user's key is not what its template says, whatever else is wrong.
#[test]
fn another_users_unwrapping_key_is_as_one_that_is_not_there() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let demands = unwrap_template(vec![flag(Flag::Token, false)]);
    let there = aes(&mut world, &alice, vec![flag(Flag::Unwrap, true), demands]).unwrap().reference;
    let absent = KeyReference::from_u64(0xabcdef).unwrap();
    for shared_with in [vec![], vec![name("alice")]] {
        for with in [there, absent] {
            let mut command = unwrap_of(with, AES, (vec![], vec![]));
            let Command::UnwrapKey { share_with, .. } = &mut command else { unreachable!() };
            *share_with = shared_with.clone();
            let seen = is_for_session(&world.state, &bob, &command).map_err(|refusal| refusal.status);
            assert_eq!(seen, Err(Status::KeyUnknown));
            let checked = check_session_keys(&world.state, &bob, &command, world.now_ms);
            assert_eq!(checked.unwrap_err().status, Status::KeyUnknown, "{command:?}");
        }
    }
}

#[test]
fn kinds_that_demand_and_what_they_may_demand() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let mut made = |algorithm: &PairAlgorithm, public: Template, private: Template| {
        let command = Command::GeneratePair {
            algorithm: algorithm.clone(),
            public_template: public,
            private_template: private,
            share_with: Vec::new(),
            quorum: KeyQuorum::NONE,
        };
        let made = world.made_pair(algorithm);
        world.done(&alice, &command, &made).err()
    };
    let (wrap, unwrap) =
        (|| vec![wrap_template(vec![flag(Flag::Sign, true)])], || vec![unwrap_template(vec![flag(Flag::Sign, true)])]);
    let unknown = Some(Status::AttributeUnknown);
    for pair in [P256, rsa(2048)] {
        assert_eq!(made(&pair, wrap(), unwrap()), None);
        assert_eq!((made(&pair, unwrap(), vec![]), made(&pair, vec![], wrap())), (unknown, unknown));
    }
    let ml_dsa = PairAlgorithm::MlDsa(strongroom_types::MlDsaAlgorithm::MlDsa44);
    assert_eq!((made(&ml_dsa, wrap(), vec![]), made(&ml_dsa, vec![], unwrap())), (unknown, unknown));
    let mut secret = |key_type, template: Template| {
        let (length_bytes, share_with, quorum) = (32, Vec::new(), KeyQuorum::NONE);
        let command = Command::GenerateSecret { key_type, length_bytes, template, share_with, quorum };
        let made = world.made_secret(key_type);
        view(world.done(&alice, &command, &made)).map(|view| view.attributes.templates)
    };
    assert_eq!(secret(KeyType::GenericSecret, wrap()), Err(Status::AttributeUnknown));
    let both = secret(KeyType::Aes, [wrap(), unwrap()].concat()).unwrap();
    assert_eq!(
        (both.wrap.as_deref(), both.unwrap.as_deref()),
        (Some(&vec![flag(Flag::Sign, true)]), both.wrap.as_deref())
    );
    let empty = secret(KeyType::Aes, vec![wrap_template(vec![]), unwrap_template(vec![])]).unwrap();
    assert_eq!(empty, strongroom_types::KeyTemplates::NONE);
    // Of what is unwrapped something must be able to be so.
    let class = |class| (AttributeName::Class, AttributeValue::Class(class));
    let key_type = |key_type| (AttributeName::KeyType, AttributeValue::KeyType(key_type));
    for (demands, fits) in [
        (vec![key_type(KeyType::MlDsa)], false),
        (vec![class(KeyClass::PrivateKey), key_type(KeyType::Aes)], false),
        (vec![class(KeyClass::PrivateKey), flag(Flag::Encrypt, true)], false),
        (vec![class(KeyClass::PrivateKey), flag(Flag::Encrypt, false)], true),
        (vec![key_type(KeyType::Ec), flag(Flag::Wrap, true)], false),
        (vec![key_type(KeyType::Rsa), flag(Flag::Decrypt, true)], true),
        (vec![flag(Flag::Encrypt, true), flag(Flag::Sign, true)], true),
    ] {
        let outcome = secret(KeyType::Aes, vec![unwrap_template(demands.clone())]).err();
        assert_eq!(outcome, (!fits).then_some(Status::AttributeValueInvalid), "{demands:?}");
    }
    // What may stand in one.
    let mut check = |attribute: Attribute, in_wrap: bool, in_unwrap: bool| {
        for (template, fits) in
            [(wrap_template(vec![attribute.clone()]), in_wrap), (unwrap_template(vec![attribute.clone()]), in_unwrap)]
        {
            let outcome = secret(KeyType::Aes, vec![template]).err();
            assert_eq!(outcome, (!fits).then_some(Status::AttributeValueInvalid), "{attribute:?}");
        }
    };
    use AttributeValue::{Bool, Bytes, Number, Text};
    check(flag(Flag::Extractable, false), true, true);
    check((AttributeName::Flag(Flag::Sign), Number(1)), false, false);
    for computed in [Flag::AlwaysSensitive, Flag::Local, Flag::NeverExtractable, Flag::Trusted] {
        check(flag(computed, true), true, false);
    }
    check((AttributeName::Class, AttributeValue::Class(KeyClass::SecretKey)), true, true);
    check((AttributeName::Class, AttributeValue::Class(KeyClass::PublicKey)), true, false);
    check(flag(Flag::Private, true), true, true);
    check(flag(Flag::Private, false), true, false);
    check((AttributeName::KeyType, AttributeValue::KeyType(KeyType::Ec)), true, true);
    check((AttributeName::Label, Text("x".repeat(127))), true, true);
    check((AttributeName::Label, Text("x".repeat(128))), false, false);
    check((AttributeName::Id, Bytes(vec![1; 127])), true, true);
    check((AttributeName::Id, Bytes(vec![1; 128])), false, false);
    check((AttributeName::CheckValue, Bytes(vec![1; 3])), true, false);
    check((AttributeName::CheckValue, Bytes(vec![1; 4])), false, false);
    check((AttributeName::KeyLengthBytes, Number(32)), true, false);
    check((AttributeName::ModulusSizeBits, Number(2048)), true, false);
    check((AttributeName::Curve, AttributeValue::Curve(strongroom_types::Curve::P256)), true, false);
    check((AttributeName::Modulus, Bytes(vec![1; 256])), false, false);
    check((AttributeName::EcPoint, Bytes(vec![4; 65])), false, false);
    check(wrap_template(vec![]), false, false);
    check(unwrap_template(vec![flag(Flag::Sign, true)]), false, false);
    let twice = vec![flag(Flag::Sign, true), flag(Flag::Sign, true)];
    assert_eq!(secret(KeyType::Aes, vec![wrap_template(twice)]).err(), Some(Status::AttributeValueInvalid));
    let many = vec![flag(Flag::Sign, true); TEMPLATE_LEN_MAX + 1];
    assert_eq!(secret(KeyType::Aes, vec![wrap_template(many)]).err(), Some(Status::AttributeValueInvalid));
    assert_eq!(
        secret(KeyType::Aes, vec![(AttributeName::WrapTemplate, Bool(true))]).err(),
        Some(Status::AttributeValueInvalid)
    );
}

#[test]
fn a_template_stays_and_is_found() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let demands = vec![flag(Flag::Sign, true), flag(Flag::Encrypt, false)];
    let kek = aes(&mut world, &alice, vec![wrap_template(demands.clone())]).unwrap().reference;
    let other = aes(&mut world, &alice, vec![]).unwrap().reference;
    let mut set = |actor: &Actor, key, (attribute, value): Attribute| {
        world.done(actor, &Command::SetAttribute { key, attribute, value }, &Made::Nothing).err()
    };
    assert_eq!(set(&alice, kek, wrap_template(vec![])), Some(Status::AttributeReadOnly));
    assert_eq!(set(&alice, other, unwrap_template(demands.clone())), Some(Status::AttributeReadOnly));
    assert_eq!(set(&admin, kek, wrap_template(vec![])), Some(Status::RoleNotPermitted));
    let found = |template: Template| {
        let (name, value) = wrap_template(template);
        let filter = strongroom_types::Filter(vec![strongroom_types::FilterTerm::Attribute(name, value)]);
        let found = crate::find_keys(&world.state, &alice, &filter, 0, 10, world.now_ms).unwrap();
        found.keys.iter().map(|key| key.reference).collect::<Vec<KeyReference>>()
    };
    let reversed: Template = demands.iter().rev().cloned().collect();
    assert_eq!((found(demands.clone()), found(reversed)), (vec![kek], vec![kek]));
    assert_eq!((found(vec![]), found(demands[..1].to_vec())), (vec![other], vec![]));
}

#[test]
fn a_record_with_a_template_that_its_key_cannot_have_is_damaged() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let kek = aes(&mut world, &alice, vec![wrap_template(vec![flag(Flag::Sign, true)])]).unwrap().reference;
    let (_, private) = world.pair(&alice, &P256);
    let decoded = |reference: KeyReference, wrap: Template| {
        let mut key = Key::clone(world.state.key(reference).unwrap());
        key.attributes.templates.wrap = Some(Arc::new(wrap));
        let record = Record::Key(key);
        let (path, bytes) = (record.path(), record.encode());
        Record::decode(path, world.state.revision(), bytes.expose()).map(drop).map_err(|error| match error {
            CorruptRecord::Field { field, .. } => field,
            other => panic!("{other}"),
        })
    };
    assert_eq!(decoded(kek, vec![flag(Flag::Sign, true), flag(Flag::Wrap, false)]), Ok(()));
    for bad in [
        vec![],
        vec![flag(Flag::Sign, true); 2],
        vec![(AttributeName::Modulus, AttributeValue::Bytes(vec![1]))],
        vec![(AttributeName::Label, AttributeValue::Text("x".repeat(128)))],
        vec![wrap_template(vec![])],
        vec![flag(Flag::Sign, true); TEMPLATE_LEN_MAX + 1],
    ] {
        assert_eq!(decoded(kek, bad), Err("wrap_template"));
    }
    assert_eq!(decoded(private, vec![flag(Flag::Sign, true)]), Err("wrap_template"));
}

use super::*;
use crate::attribute::given::{number, of};

fn flag(kind: CK_ATTRIBUTE_TYPE, value: bool) -> Given {
    of(kind, &[u8::from(value)])
}

fn nested(kind: CK_ATTRIBUTE_TYPE, entries: Vec<Given>) -> Given {
    Given { kind, value: Value::Template(entries) }
}

/// What a template must have, so that tests can add what they are about.
fn least(call: Call, kind: Kind) -> Vec<Given> {
    let mandatory = ruled(call).filter(|attribute| rule(call, kind, *attribute).0 == Rule::Mandatory);
    mandatory
        .map(|attribute| match attribute {
            CKA_CLASS => number(CKA_CLASS, values::class_number(kind.class())),
            CKA_KEY_TYPE => number(CKA_KEY_TYPE, values::key_type_number(kind.key_type())),
            CKA_MODULUS_BITS | CKA_VALUE_LEN => number(attribute, 32),
            other => of(other, &[1]),
        })
        .collect()
}

fn outcome(call: Call, kind: Kind, given: &[Given]) -> Result<Template, CK_RV> {
    read(call, kind, given).map(Wanted::into_template).map_err(|failure| failure.rv())
}

fn with(call: Call, kind: Kind, more: Given) -> Result<Template, CK_RV> {
    let mut given = least(call, kind);
    given.retain(|one| one.kind != more.kind);
    given.push(more);
    outcome(call, kind, &given)
}

const CALLS: [Call; 5] = [Call::Create, Call::Derive, Call::GenerateKey, Call::GenerateKeyPair, Call::Unwrap];

/// Flags that are true of a key made with the least template.
fn true_by_default(call: Call, kind: Kind) -> Vec<&'static str> {
    let template = outcome(call, kind, &least(call, kind)).unwrap();
    let mut flags: Vec<_> = template
        .iter()
        .filter_map(|attribute| match attribute {
            (AttributeName::Flag(flag), AttributeValue::Bool(true)) => Some(flag.as_str()),
            _ => None,
        })
        .collect();
    flags.sort_unstable();
    flags
}

#[test]
fn defaults_are_those_of_the_guide() {
    let public = ["destroyable", "modifiable", "private"];
    let hidden = ["destroyable", "extractable", "modifiable", "private", "sensitive"];
    let generated = ["destroyable", "extractable", "modifiable", "private", "sensitive", "sign", "verify"];
    for call in CALLS {
        for kind in Kind::ALL.into_iter().filter(|kind| makes(call, *kind)) {
            let expected = match (call, kind.class()) {
                (Call::GenerateKey, _) => &generated[..],
                (_, KeyClass::PublicKey) => &public,
                _ => &hidden,
            };
            assert_eq!(true_by_default(call, kind), expected, "{call:?} {kind:?}");
            let template = outcome(call, kind, &least(call, kind)).unwrap();
            let token = (AttributeName::Flag(Flag::Token), AttributeValue::Bool(false));
            assert!(template.contains(&token), "{call:?} {kind:?}: a key is a session key unless it is said otherwise");
        }
    }
}

/// Each attribute in each call for each kind, by the letters of the guide.
#[test]
fn every_letter_is_obeyed() {
    for call in CALLS {
        for kind in Kind::ALL.into_iter().filter(|kind| makes(call, *kind)) {
            for attribute in ruled(call) {
                let about = format!("{call:?} {kind:?} {}", name_of(attribute));
                let Some(Shape::Flag(named)) = shape(attribute) else { continue };
                let name = AttributeName::Flag(named);
                let set = |value| with(call, kind, flag(attribute, value));
                let took =
                    |value| set(value).is_ok_and(|template| template.contains(&(name, AttributeValue::Bool(value))));
                match rule(call, kind, attribute) {
                    (Rule::Given, _) if named == Flag::Trusted => {
                        assert_eq!(set(true), Err(CKR_ATTRIBUTE_READ_ONLY), "{about}");
                        assert!(set(false).is_ok_and(|template| !template.iter().any(|one| one.0 == name)), "{about}");
                    }
                    (Rule::Given, _) => assert!(took(true) && took(false), "{about}"),
                    (Rule::DefaultOnly, default) => {
                        let default = default.unwrap();
                        assert!(took(default), "{about}");
                        assert_eq!(set(!default), Err(CKR_ATTRIBUTE_VALUE_INVALID), "{about}");
                    }
                    (Rule::ReadOnly, _) => {
                        assert_eq!(
                            (set(true), set(false)),
                            (Err(CKR_ATTRIBUTE_READ_ONLY), Err(CKR_ATTRIBUTE_READ_ONLY))
                        );
                    }
                    (Rule::Not, _) => {
                        assert_eq!(set(true), Err(CKR_TEMPLATE_INCONSISTENT), "{about}");
                        if says_nothing(Shape::Flag(named), &flag(attribute, false)) {
                            assert!(!took(false) && set(false).is_ok(), "{about}");
                        } else {
                            assert_eq!(set(false), Err(CKR_TEMPLATE_INCONSISTENT), "{about}");
                        }
                    }
                    (Rule::Mandatory, _) => panic!("{about}: no flag is mandatory"),
                }
            }
        }
    }
}

#[test]
fn a_shared_secret_may_be_had_as_it_is() {
    let sensitive = |call, kind, value| with(call, kind, flag(CKA_SENSITIVE, value)).err();
    for kind in [Kind::Aes, Kind::Des3, Kind::Generic] {
        assert_eq!(sensitive(Call::DeriveOpen, kind, false), None, "{kind:?}");
        assert_eq!(sensitive(Call::Derive, kind, false), Some(CKR_ATTRIBUTE_VALUE_INVALID), "{kind:?}");
    }
    let unnamed = outcome(Call::DeriveOpen, Kind::Generic, &least(Call::DeriveOpen, Kind::Generic)).unwrap();
    assert!(unnamed.contains(&(AttributeName::Flag(Flag::Sensitive), AttributeValue::Bool(true))));
    for usage in [CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP] {
        let left_out = with(Call::DeriveOpen, Kind::Generic, flag(usage, true)).unwrap();
        assert_eq!(left_out, unnamed, "{usage:#x}");
        assert_eq!(with(Call::Derive, Kind::Generic, flag(usage, true)), Err(CKR_TEMPLATE_INCONSISTENT));
        assert!(with(Call::DeriveOpen, Kind::Aes, flag(usage, true)).is_ok());
    }
}

#[test]
fn what_is_mandatory_must_be_there() {
    for call in CALLS {
        for kind in Kind::ALL.into_iter().filter(|kind| makes(call, *kind)) {
            let least = || least(call, kind);
            assert!(outcome(call, kind, &least()).is_ok(), "{call:?} {kind:?}");
            for missing in least().iter().map(|one| one.kind) {
                let mut given = least();
                given.retain(|one| one.kind != missing);
                assert_eq!(outcome(call, kind, &given), Err(CKR_TEMPLATE_INCOMPLETE), "{call:?} {kind:?} {missing:#x}");
            }
        }
    }
}

#[test]
fn calls_make_the_kinds_of_the_guide() {
    let made = |call| Kind::ALL.into_iter().filter(|kind| makes(call, *kind)).count();
    assert_eq!(CALLS.map(made), [7, 3, 3, 6, 5]);
    assert_eq!(outcome(Call::Create, Kind::MlDsaPublic, &[]), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(outcome(Call::Unwrap, Kind::RsaPublic, &[]), Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn attributes_that_say_nothing_are_let_pass_and_others_are_refused() {
    let check = |given: Given, expected: Option<CK_RV>| {
        let kind = given.kind;
        assert_eq!(with(Call::GenerateKeyPair, Kind::RsaPrivate, given).err(), expected, "{kind:#x}");
    };
    let refused = Some(CKR_TEMPLATE_INCONSISTENT);
    check(of(CKA_ALLOWED_MECHANISMS, &[]), None);
    check(number(CKA_ALLOWED_MECHANISMS, CKM_RSA_PKCS), refused);
    check(of(CKA_START_DATE, &[]), None);
    check(of(CKA_END_DATE, b"20300101"), refused);
    check(of(CKA_SUBJECT, &[]), None);
    check(flag(CKA_ALWAYS_AUTHENTICATE, false), None);
    check(flag(CKA_ALWAYS_AUTHENTICATE, true), refused);
    check(flag(CKA_COPYABLE, true), None);
    check(flag(CKA_COPYABLE, false), refused);
    check(flag(CKA_SIGN_RECOVER, false), None);
    check(flag(CKA_SIGN_RECOVER, true), refused);
    check(nested(CKA_DERIVE_TEMPLATE, vec![]), None);
    check(nested(CKA_DERIVE_TEMPLATE, vec![flag(CKA_SIGN, true)]), refused);
    check(of(CKA_MODULUS, &[7; 256]), refused);
    // The original makes a key without any use of such a template.
    check(number(CKA_MODULUS_BITS, 2048), refused);
    check(of(CKA_PUBLIC_EXPONENT, &[1, 0, 1]), refused);
    check(number(0x8000_4242, 1), Some(CKR_ATTRIBUTE_TYPE_INVALID));
    check(number(CKA_OTP_FORMAT, 1), Some(CKR_ATTRIBUTE_TYPE_INVALID));
}

#[test]
fn values_must_be_ones_of_their_attribute() {
    let check = |given: Given, expected: Option<CK_RV>| {
        let kind = given.kind;
        assert_eq!(with(Call::GenerateKey, Kind::Aes, given).err(), expected, "{kind:#x}");
    };
    check(of(CKA_LABEL, "Schlüssel".as_bytes()), None);
    check(of(CKA_LABEL, &[]), None);
    check(of(CKA_LABEL, &[0xff, 0xfe]), Some(CKR_ATTRIBUTE_VALUE_INVALID));
    check(of(CKA_SIGN, &[]), Some(CKR_ATTRIBUTE_VALUE_INVALID));
    check(of(CKA_SIGN, &[1; 8]), None);
    check(nested(CKA_LABEL, vec![]), Some(CKR_ATTRIBUTE_VALUE_INVALID));
    check(number(CKA_CLASS, CKO_SECRET_KEY), None);
    check(number(CKA_CLASS, CKO_PRIVATE_KEY), Some(CKR_TEMPLATE_INCONSISTENT));
    check(number(CKA_CLASS, CKO_DATA), Some(CKR_TEMPLATE_INCONSISTENT));
    check(number(CKA_KEY_TYPE, CKK_GENERIC_SECRET), Some(CKR_TEMPLATE_INCONSISTENT));
    check(of(CKA_KEY_TYPE, &[1]), Some(CKR_ATTRIBUTE_VALUE_INVALID));
}

#[test]
fn the_same_twice_is_once_and_two_values_contradict() {
    let twice = |second| {
        let mut given = least(Call::GenerateKey, Kind::Aes);
        given.extend([flag(CKA_WRAP, true), flag(CKA_WRAP, second)]);
        outcome(Call::GenerateKey, Kind::Aes, &given)
    };
    let template = twice(true).unwrap();
    assert_eq!(template.iter().filter(|one| one.0 == AttributeName::Flag(Flag::Wrap)).count(), 1);
    assert_eq!(twice(false), Err(CKR_TEMPLATE_INCONSISTENT));
    let many =
        |len| (0..len).map(|_| flag(CKA_WRAP, true)).chain(least(Call::GenerateKey, Kind::Aes)).collect::<Vec<_>>();
    assert!(outcome(Call::GenerateKey, Kind::Aes, &many(TEMPLATE_LEN_MAX - 1)).is_ok());
    assert_eq!(outcome(Call::GenerateKey, Kind::Aes, &many(TEMPLATE_LEN_MAX)), Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn templates_within_templates_are_one_level_deep() {
    let name = AttributeName::UnwrapTemplate;
    let set = |entries| with(Call::GenerateKey, Kind::Aes, nested(CKA_UNWRAP_TEMPLATE, entries));
    let template = set(vec![
        flag(CKA_EXTRACTABLE, false),
        number(CKA_CLASS, CKO_PRIVATE_KEY),
        number(CKA_KEY_TYPE, CKK_RSA),
        of(CKA_LABEL, b"kept"),
        flag(CKA_EXTRACTABLE, false),
    ]);
    let expected = AttributeValue::Template(vec![
        (AttributeName::Flag(Flag::Extractable), AttributeValue::Bool(false)),
        (AttributeName::Class, AttributeValue::Class(KeyClass::PrivateKey)),
        (AttributeName::KeyType, AttributeValue::KeyType(KeyType::Rsa)),
        (AttributeName::Label, AttributeValue::Text("kept".to_owned())),
    ]);
    assert!(template.unwrap().contains(&(name, expected)));
    assert!(set(vec![]).unwrap().contains(&(name, AttributeValue::Template(vec![]))));
    let check = |entry: Given, expected| assert_eq!(set(vec![entry]), Err(expected));
    check(nested(CKA_WRAP_TEMPLATE, vec![]), CKR_TEMPLATE_INCONSISTENT);
    check(of(CKA_VALUE, &[1]), CKR_TEMPLATE_INCONSISTENT);
    check(number(0x7fff_0000, 1), CKR_ATTRIBUTE_TYPE_INVALID);
    check(number(CKA_CLASS, CKO_DATA), CKR_TEMPLATE_INCONSISTENT);
    check(of(CKA_SIGN, &[1; 9]), CKR_ATTRIBUTE_VALUE_INVALID);
    let clash = set(vec![flag(CKA_SIGN, true), flag(CKA_SIGN, false)]);
    assert_eq!(clash, Err(CKR_TEMPLATE_INCONSISTENT));
    let bytes = with(Call::GenerateKey, Kind::Aes, of(CKA_UNWRAP_TEMPLATE, &[1; 24]));
    assert_eq!(bytes, Err(CKR_ATTRIBUTE_VALUE_INVALID));
}

#[test]
fn class_and_type_name_a_kind() {
    let check = |class, key_type, expected: Result<Kind, CK_RV>| {
        let given = [number(CKA_CLASS, class), number(CKA_KEY_TYPE, key_type)];
        assert_eq!(kind_of(&given).map_err(|failure| failure.rv()), expected, "{class} {key_type}");
    };
    check(CKO_PRIVATE_KEY, CKK_RSA, Ok(Kind::RsaPrivate));
    check(CKO_PUBLIC_KEY, CKK_EC_EDWARDS, Ok(Kind::EcPublic));
    check(CKO_SECRET_KEY, CKK_DES3, Ok(Kind::Des3));
    check(CKO_SECRET_KEY, CKK_RSA, Err(CKR_TEMPLATE_INCONSISTENT));
    check(CKO_DATA, CKK_RSA, Err(CKR_TEMPLATE_INCONSISTENT));
    check(CKO_SECRET_KEY, CKK_DES, Err(CKR_TEMPLATE_INCONSISTENT));
    let rv = |given: &[Given]| kind_of(given).map_err(|failure| failure.rv());
    assert_eq!(rv(&[number(CKA_CLASS, CKO_SECRET_KEY)]), Err(CKR_TEMPLATE_INCOMPLETE));
    assert_eq!(rv(&[]), Err(CKR_TEMPLATE_INCOMPLETE));
    assert!(is_edwards(&[number(CKA_KEY_TYPE, CKK_EC_EDWARDS)]).unwrap());
    assert!(!is_edwards(&[number(CKA_KEY_TYPE, CKK_EC)]).unwrap() && !is_edwards(&[]).unwrap());
}

//! What a new key's attributes are: defaults, and what the maker may set.
//!
//! One row a kind of key, after the attribute tables of the service's PKCS #11 library and command line tool. An
//! attribute that stands in no list of a row is unknown to that kind, whatever its value.

use std::collections::BTreeSet;

use strongroom_types::limits::{KEY_ID_LEN_MAX, LABEL_LEN_MAX, TEMPLATE_LEN_MAX};
use strongroom_types::{
    AttributeName, AttributeValue, Flag, Flags, KeyClass, KeyTemplates, KeyType, Refusal, Status, Template,
};

use crate::demands;

/// The rules of one kind of key.
struct Kind {
    /// Flags that are true unless the template says otherwise.
    defaults: &'static [Flag],
    /// Flags that the maker may set to either value.
    free: &'static [Flag],
    /// Flags that the maker may name, but with their default only.
    fixed: &'static [Flag],
    /// Flags that only rules or an admin set. `trusted=false` may be said: it is what a new key is.
    read_only: &'static [Flag],
    /// Templates for other keys that it may have.
    templates: &'static [AttributeName],
}

/// Every key but some public ones is private. `token` says where a key lives: in the store, or (false) as long as the login that makes it.
const AES: Kind = Kind {
    defaults: &[
        Flag::Destroyable,
        Flag::Extractable,
        Flag::Modifiable,
        Flag::Private,
        Flag::Sensitive,
        Flag::Sign,
        Flag::Token,
        Flag::Verify,
    ],
    free: &[
        Flag::Decrypt,
        Flag::Derive,
        Flag::Destroyable,
        Flag::Encrypt,
        Flag::Extractable,
        Flag::Modifiable,
        Flag::Sensitive,
        Flag::Sign,
        Flag::Token,
        Flag::Unwrap,
        Flag::Verify,
        Flag::Wrap,
        Flag::WrapWithTrusted,
    ],
    fixed: &[Flag::Private],
    read_only: &[Flag::AlwaysSensitive, Flag::Local, Flag::NeverExtractable, Flag::Trusted],
    templates: &[AttributeName::WrapTemplate, AttributeName::UnwrapTemplate],
};

const GENERIC_SECRET: Kind = Kind {
    defaults: AES.defaults,
    free: &[
        Flag::Derive,
        Flag::Destroyable,
        Flag::Extractable,
        Flag::Modifiable,
        Flag::Sensitive,
        Flag::Sign,
        Flag::Token,
        Flag::Verify,
        Flag::WrapWithTrusted,
    ],
    fixed: &[Flag::Private],
    read_only: &[Flag::AlwaysSensitive, Flag::Local, Flag::NeverExtractable],
    templates: &[],
};

const PUBLIC: Kind = Kind {
    defaults: &[Flag::Destroyable, Flag::Extractable, Flag::Modifiable, Flag::Private, Flag::Token],
    free: &[
        Flag::Derive,
        Flag::Destroyable,
        Flag::Encrypt,
        Flag::Modifiable,
        Flag::Private,
        Flag::Token,
        Flag::Verify,
        Flag::Wrap,
    ],
    fixed: &[],
    read_only: &[Flag::Local, Flag::Trusted],
    templates: &[AttributeName::WrapTemplate],
};

const PRIVATE: Kind = Kind {
    defaults: &[Flag::Destroyable, Flag::Extractable, Flag::Modifiable, Flag::Private, Flag::Sensitive, Flag::Token],
    free: &[
        Flag::Decrypt,
        Flag::Derive,
        Flag::Destroyable,
        Flag::Extractable,
        Flag::Modifiable,
        Flag::Sign,
        Flag::Token,
        Flag::Unwrap,
        Flag::WrapWithTrusted,
    ],
    fixed: &[Flag::Private, Flag::Sensitive],
    read_only: &[Flag::AlwaysSensitive, Flag::Local, Flag::NeverExtractable],
    templates: &[AttributeName::UnwrapTemplate],
};

/// Of a private key that was made elsewhere, whoever brings it may say that it is not secret. Nobody reads it here all the
/// same.
const PRIVATE_FROM_OUTSIDE: Kind = Kind {
    free: &[
        Flag::Decrypt,
        Flag::Derive,
        Flag::Destroyable,
        Flag::Extractable,
        Flag::Modifiable,
        Flag::Sensitive,
        Flag::Sign,
        Flag::Token,
        Flag::Unwrap,
        Flag::WrapWithTrusted,
    ],
    fixed: &[Flag::Private],
    ..PRIVATE
};

/// Signs and verifies, and nothing else.
const ML_DSA_PUBLIC: Kind = Kind {
    defaults: PUBLIC.defaults,
    free: &[Flag::Destroyable, Flag::Modifiable, Flag::Private, Flag::Token, Flag::Verify],
    fixed: PUBLIC.fixed,
    read_only: PUBLIC.read_only,
    templates: &[],
};

const ML_DSA_PRIVATE: Kind = Kind {
    defaults: PRIVATE.defaults,
    free: &[
        Flag::Destroyable,
        Flag::Extractable,
        Flag::Modifiable,
        Flag::Sensitive,
        Flag::Sign,
        Flag::Token,
        Flag::WrapWithTrusted,
    ],
    fixed: &[Flag::Private],
    read_only: PRIVATE.read_only,
    templates: &[],
};

fn kind(class: KeyClass, key_type: KeyType) -> &'static Kind {
    match (class, key_type) {
        (KeyClass::PublicKey, KeyType::MlDsa) => &ML_DSA_PUBLIC,
        (KeyClass::PrivateKey, KeyType::MlDsa) => &ML_DSA_PRIVATE,
        (KeyClass::PublicKey, _) => &PUBLIC,
        (KeyClass::PrivateKey, _) => &PRIVATE,
        (KeyClass::SecretKey, KeyType::GenericSecret) => &GENERIC_SECRET,
        (KeyClass::SecretKey, _) => &AES,
    }
}

/// What a template decides of a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) label: String,
    pub(crate) id: Vec<u8>,
    pub(crate) flags: Flags,
    pub(crate) templates: KeyTemplates,
}

impl Chosen {
    /// Refuses a key that lives elsewhere than in the store, or with `session` elsewhere than there.
    pub(crate) fn lives(self, session: bool) -> Result<Chosen, Refusal> {
        let name = AttributeName::Flag(Flag::Token);
        if self.flags.has(Flag::Token) != session {
            Ok(self)
        } else {
            Err(refused(Status::AttributeValueInvalid, name))
        }
    }

    /// Of a key that was not made here: nothing is known of its past (PKCS #11 v2.40 §5.14.2).
    fn brought_in(self) -> Chosen {
        let Chosen { flags, .. } = self;
        Chosen { flags: flags.with(Flag::Local, false), ..self }.derived()
    }

    /// Of a derived key: somebody may know it. The other side of an agreement does, whoever derives the same once more may
    /// have it leave, and who encrypts by the base key, or makes codes with it, may compute it outside.
    pub(crate) fn derived(self) -> Chosen {
        let flags = self.flags.with(Flag::AlwaysSensitive, false).with(Flag::NeverExtractable, false);
        Chosen { flags, ..self }
    }
}

/// Reads the template of a key that is generated, or says which attribute is wrong and how.
pub(crate) fn read(class: KeyClass, key_type: KeyType, template: &Template) -> Result<Chosen, Refusal> {
    read_as(kind(class, key_type), (class, key_type), template)
}

/// Reads the template of a key that was made elsewhere.
pub(crate) fn read_from_outside(class: KeyClass, key_type: KeyType, template: &Template) -> Result<Chosen, Refusal> {
    let kind = match (class, key_type) {
        (KeyClass::PrivateKey, KeyType::Ec | KeyType::Rsa) => &PRIVATE_FROM_OUTSIDE,
        _ => kind(class, key_type),
    };
    Ok(read_as(kind, (class, key_type), template)?.brought_in())
}

fn read_as(kind: &Kind, (class, key_type): (KeyClass, KeyType), template: &Template) -> Result<Chosen, Refusal> {
    if template.len() > TEMPLATE_LEN_MAX {
        return Err(Refusal::new(Status::MalformedRequest, "template"));
    }
    let flags = kind.defaults.iter().fold(Flags::NONE, |flags, flag| flags.with(*flag, true));
    let mut chosen = Chosen { label: String::new(), id: Vec::new(), flags, templates: KeyTemplates::NONE };
    let mut named = BTreeSet::new();
    for (name, value) in template {
        if !named.insert(*name) {
            return Err(refused(Status::TemplateInconsistent, *name));
        }
        set(&mut chosen, (class, key_type), kind, *name, value)?;
    }
    // PKCS #11 v2.40 §4.2: computed for what is generated here.
    let flags = chosen.flags;
    let hidden = class != KeyClass::PublicKey;
    chosen.flags = flags
        .with(Flag::Local, true)
        .with(Flag::AlwaysSensitive, hidden && flags.has(Flag::Sensitive))
        .with(Flag::NeverExtractable, hidden && !flags.has(Flag::Extractable));
    Ok(chosen)
}

fn set(
    chosen: &mut Chosen,
    (class, key_type): (KeyClass, KeyType),
    kind: &Kind,
    name: AttributeName,
    value: &AttributeValue,
) -> Result<(), Refusal> {
    let invalid = || Err(refused(Status::AttributeValueInvalid, name));
    let agrees = |same: bool| if same { Ok(()) } else { Err(refused(Status::TemplateInconsistent, name)) };
    match (name, value) {
        (AttributeName::Class, AttributeValue::Class(wanted)) => agrees(*wanted == class),
        (AttributeName::KeyType, AttributeValue::KeyType(wanted)) => agrees(*wanted == key_type),
        (AttributeName::Label, value) => label(value).map(|label| chosen.label = label),
        (AttributeName::Id, value) => id(value).map(|id| chosen.id = id),
        (AttributeName::Class | AttributeName::KeyType, _) => invalid(),
        (AttributeName::Flag(flag), value) => set_flag(chosen, kind, flag, value),
        (AttributeName::WrapTemplate | AttributeName::UnwrapTemplate, _) if !kind.templates.contains(&name) => {
            Err(refused(Status::AttributeUnknown, name))
        }
        (AttributeName::WrapTemplate, value) => demands::read(name, value).map(|wrap| chosen.templates.wrap = wrap),
        (AttributeName::UnwrapTemplate, value) => {
            demands::read(name, value).map(|unwrap| chosen.templates.unwrap = unwrap)
        }
        (other, _) => Err(not_set(class, key_type, other)),
    }
}

/// A label, as long as may be.
pub(crate) fn label(value: &AttributeValue) -> Result<String, Refusal> {
    match value {
        AttributeValue::Text(label) if label.len() <= LABEL_LEN_MAX => Ok(label.clone()),
        AttributeValue::Text(_) => Err(too_long(AttributeName::Label, LABEL_LEN_MAX)),
        _ => Err(refused(Status::AttributeValueInvalid, AttributeName::Label)),
    }
}

/// An `id`, as long as may be.
pub(crate) fn id(value: &AttributeValue) -> Result<Vec<u8>, Refusal> {
    match value {
        AttributeValue::Bytes(id) if id.len() <= KEY_ID_LEN_MAX => Ok(id.clone()),
        AttributeValue::Bytes(_) => Err(too_long(AttributeName::Id, KEY_ID_LEN_MAX)),
        _ => Err(refused(Status::AttributeValueInvalid, AttributeName::Id)),
    }
}

/// Refuses an attribute that is computed, or asked for by parameters of the command; by [`Status::AttributeUnknown`]
/// when keys of this type have none of that name.
pub(crate) fn not_set(class: KeyClass, key_type: KeyType, name: AttributeName) -> Refusal {
    let known = match name {
        AttributeName::WrapTemplate | AttributeName::UnwrapTemplate => may_demand(class, key_type, name),
        AttributeName::CheckValue => has_check_value(key_type),
        AttributeName::Modulus | AttributeName::ModulusSizeBits | AttributeName::PublicExponent => {
            key_type == KeyType::Rsa
        }
        AttributeName::EcPoint | AttributeName::Curve => key_type == KeyType::Ec,
        AttributeName::MlDsaAlgorithm => key_type == KeyType::MlDsa,
        _ => true,
    };
    refused(if known { Status::AttributeReadOnly } else { Status::AttributeUnknown }, name)
}

/// Whether keys of this kind may have the template for other keys.
pub(crate) fn may_demand(class: KeyClass, key_type: KeyType, name: AttributeName) -> bool {
    kind(class, key_type).templates.contains(&name)
}

/// Whether keys of this type have a check value.
pub(crate) fn has_check_value(key_type: KeyType) -> bool {
    key_type != KeyType::GenericSecret
}

/// Whether keys of this kind have the flag.
pub(crate) fn has_flag(class: KeyClass, key_type: KeyType, flag: Flag) -> bool {
    let kind = kind(class, key_type);
    [kind.free, kind.fixed, kind.read_only].iter().any(|flags| flags.contains(&flag))
}

/// Whether whoever makes a key of this kind may set the flag to either value.
pub(crate) fn is_free(class: KeyClass, key_type: KeyType, flag: Flag) -> bool {
    kind(class, key_type).free.contains(&flag)
}

fn set_flag(chosen: &mut Chosen, kind: &Kind, flag: Flag, value: &AttributeValue) -> Result<(), Refusal> {
    let name = AttributeName::Flag(flag);
    if kind.read_only.contains(&flag) {
        return match (flag, value) {
            (Flag::Trusted, AttributeValue::Bool(false)) => Ok(()),
            _ => Err(refused(Status::AttributeReadOnly, name)),
        };
    }
    let fixed = kind.fixed.contains(&flag);
    if !fixed && !kind.free.contains(&flag) {
        return Err(refused(Status::AttributeUnknown, name));
    }
    match value {
        AttributeValue::Bool(value) if !fixed || *value == chosen.flags.has(flag) => {
            chosen.flags = chosen.flags.with(flag, *value);
            Ok(())
        }
        _ => Err(refused(Status::AttributeValueInvalid, name)),
    }
}

fn too_long(name: AttributeName, max: usize) -> Refusal {
    Refusal::new(Status::AttributeValueInvalid, format!("{name}: at most {max} bytes"))
}

pub(crate) fn refused(status: Status, name: AttributeName) -> Refusal {
    Refusal::new(status, name.as_str())
}

#[cfg(test)]
mod tests {
    use strongroom_types::MlDsaAlgorithm;

    use super::*;

    const ALL_KINDS: [(KeyClass, KeyType); 9] = [
        (KeyClass::SecretKey, KeyType::Aes),
        (KeyClass::SecretKey, KeyType::GenericSecret),
        (KeyClass::PublicKey, KeyType::Rsa),
        (KeyClass::PublicKey, KeyType::Ec),
        (KeyClass::PrivateKey, KeyType::Rsa),
        (KeyClass::PrivateKey, KeyType::Ec),
        (KeyClass::SecretKey, KeyType::Des3),
        (KeyClass::PublicKey, KeyType::MlDsa),
        (KeyClass::PrivateKey, KeyType::MlDsa),
    ];

    fn true_flags((class, key_type): (KeyClass, KeyType), template: &[(Flag, bool)]) -> Vec<&'static str> {
        let template = template.iter().map(|(flag, value)| (AttributeName::Flag(*flag), AttributeValue::Bool(*value)));
        let flags = read(class, key_type, &template.collect()).unwrap().flags;
        Flag::ALL.iter().filter(|flag| flags.has(**flag)).map(|flag| flag.as_str()).collect()
    }

    #[test]
    fn defaults_are_those_of_the_guide() {
        let secret = [
            "token",
            "always-sensitive",
            "destroyable",
            "extractable",
            "local",
            "modifiable",
            "private",
            "sensitive",
            "sign",
            "verify",
        ];
        let public = ["token", "destroyable", "extractable", "local", "modifiable", "private"];
        let private =
            ["token", "always-sensitive", "destroyable", "extractable", "local", "modifiable", "private", "sensitive"];
        let [aes, generic, rsa_public, ec_public, rsa_private, ec_private, des3, ml_dsa_public, ml_dsa_private] =
            ALL_KINDS;
        assert_eq!(true_flags(aes, &[]), secret);
        assert_eq!(true_flags(generic, &[]), secret);
        assert_eq!(true_flags(rsa_public, &[]), public);
        assert_eq!(true_flags(ec_public, &[]), public);
        assert_eq!(true_flags(rsa_private, &[]), private);
        assert_eq!(true_flags(ec_private, &[]), private);
        assert_eq!(true_flags(des3, &[]), secret);
        assert_eq!(true_flags(ml_dsa_public, &[]), public);
        assert_eq!(true_flags(ml_dsa_private, &[]), private);
    }

    #[test]
    fn computed_flags_follow_what_was_asked() {
        let flags = true_flags(ALL_KINDS[4], &[(Flag::Extractable, false)]);
        assert!(flags.contains(&"never-extractable") && flags.contains(&"always-sensitive"));
        let flags = true_flags(ALL_KINDS[0], &[(Flag::Sensitive, false)]);
        assert!(!flags.contains(&"always-sensitive") && !flags.contains(&"sensitive"));
        for kind in &ALL_KINDS[2..4] {
            assert!(!true_flags(*kind, &[]).contains(&"never-extractable"));
        }
    }

    /// Every flag of every kind, both values: the letters are c(hosen), d(efault only), f(alse only, for admins set the
    /// other), r(ead-only), u(nknown).
    #[test]
    fn every_flag_of_every_kind() {
        let table = [
            ("encrypt", "cuccuucuu"),
            ("decrypt", "cuuucccuu"),
            ("token", "ccccccccc"),
            ("always-sensitive", "rruurrrur"),
            ("derive", "cccccccuu"),
            ("destroyable", "ccccccccc"),
            ("extractable", "ccuucccuc"),
            ("local", "rrrrrrrrr"),
            ("modifiable", "ccccccccc"),
            ("never-extractable", "rruurrrur"),
            ("private", "ddccdddcd"),
            ("sensitive", "ccuuddcuc"),
            ("sign", "ccuucccuc"),
            ("trusted", "fuffuuffu"),
            ("unwrap", "cuuucccuu"),
            ("verify", "ccccuuccu"),
            ("wrap", "cuccuucuu"),
            ("wrap-with-trusted", "ccuucccuc"),
        ];
        assert_eq!(table.len(), Flag::ALL.len());
        for (flag, (text, letters)) in Flag::ALL.iter().zip(table) {
            assert_eq!(flag.as_str(), text);
            for ((class, key_type), letter) in ALL_KINDS.into_iter().zip(letters.chars()) {
                let outcome = |value| {
                    let template = vec![(AttributeName::Flag(*flag), AttributeValue::Bool(value))];
                    read(class, key_type, &template).map(|chosen| chosen.flags.has(*flag)).map_err(|r| r.status)
                };
                let (on, off) = match letter {
                    'c' => (Ok(true), Ok(false)),
                    'd' => (Ok(true), Err(Status::AttributeValueInvalid)),
                    'f' => (Err(Status::AttributeReadOnly), Ok(false)),
                    'r' => (Err(Status::AttributeReadOnly), Err(Status::AttributeReadOnly)),
                    _ => (Err(Status::AttributeUnknown), Err(Status::AttributeUnknown)),
                };
                assert_eq!((outcome(true), outcome(false)), (on, off), "{text} of {class} {key_type}");
            }
        }
    }

    #[test]
    fn other_attributes_are_bounded_and_may_not_contradict() {
        let check = |at: usize, name: AttributeName, value: AttributeValue, expected: Option<Status>| {
            let (class, key_type) = ALL_KINDS[at];
            let outcome = read(class, key_type, &vec![(name, value.clone())]);
            assert_eq!(outcome.err().map(|refusal| refusal.status), expected, "{name} = {value:?} of {class}");
        };
        let text = |len| AttributeValue::Text("x".repeat(len));
        let bytes = |len| AttributeValue::Bytes(vec![1; len]);
        check(0, AttributeName::Label, text(0), None);
        check(0, AttributeName::Label, text(127), None);
        check(0, AttributeName::Label, text(128), Some(Status::AttributeValueInvalid));
        check(0, AttributeName::Label, bytes(1), Some(Status::AttributeValueInvalid));
        check(0, AttributeName::Id, bytes(127), None);
        check(0, AttributeName::Id, bytes(128), Some(Status::AttributeValueInvalid));
        check(0, AttributeName::Class, AttributeValue::Class(KeyClass::SecretKey), None);
        check(0, AttributeName::Class, AttributeValue::Class(KeyClass::PublicKey), Some(Status::TemplateInconsistent));
        check(4, AttributeName::KeyType, AttributeValue::KeyType(KeyType::Rsa), None);
        check(4, AttributeName::KeyType, AttributeValue::KeyType(KeyType::Ec), Some(Status::TemplateInconsistent));
        check(4, AttributeName::KeyType, text(1), Some(Status::AttributeValueInvalid));
        check(0, AttributeName::CheckValue, bytes(3), Some(Status::AttributeReadOnly));
        check(1, AttributeName::CheckValue, bytes(3), Some(Status::AttributeUnknown));
        check(0, AttributeName::KeyLengthBytes, AttributeValue::Number(16), Some(Status::AttributeReadOnly));
        check(2, AttributeName::Modulus, bytes(256), Some(Status::AttributeReadOnly));
        check(3, AttributeName::Modulus, bytes(256), Some(Status::AttributeUnknown));
        check(3, AttributeName::EcPoint, bytes(65), Some(Status::AttributeReadOnly));
        check(0, AttributeName::EcPoint, bytes(65), Some(Status::AttributeUnknown));
        let algorithm = AttributeValue::MlDsaAlgorithm(MlDsaAlgorithm::MlDsa44);
        check(8, AttributeName::MlDsaAlgorithm, algorithm.clone(), Some(Status::AttributeReadOnly));
        check(5, AttributeName::MlDsaAlgorithm, algorithm, Some(Status::AttributeUnknown));
        check(6, AttributeName::CheckValue, bytes(3), Some(Status::AttributeReadOnly));
        check(0, AttributeName::Flag(Flag::Sign), text(4), Some(Status::AttributeValueInvalid));
    }

    #[test]
    fn an_attribute_twice_contradicts_and_a_long_template_is_malformed() {
        let one = (AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true));
        let status = |template: Template| read(KeyClass::SecretKey, KeyType::Aes, &template).map_err(|r| r.status);
        assert_eq!(status(vec![one.clone(), one.clone()]), Err(Status::TemplateInconsistent));
        assert_eq!(status(vec![one; TEMPLATE_LEN_MAX + 1]), Err(Status::MalformedRequest));
    }
}

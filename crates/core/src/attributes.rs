//! What may become of a key's attributes once the key is there.
//!
//! A change is revoking whichever way it goes: what an attribute permits and forbids is another matter for each of them,
//! and one rule is right for all. So it is for a value that the attribute has already: the answer waits until every
//! member knows it.

use std::sync::Arc;

use strongroom_types::{
    AttributeName, AttributeValue, Attributes, Flag, HsmType, KeyClass, KeyReference, KeyType, Refusal, Role, Status,
};

use crate::plan::Asking;
use crate::templates::{self, refused};
use crate::{Effect, Key, Plan, PlanError, Record, keys};

/// How a flag may change after the key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    /// Either way.
    Free,
    /// To this value only: a protection that is never taken back (PKCS #11 v2.40 §4.9, §4.10).
    Only(bool),
    /// By admins, either way.
    Admins,
    /// Never.
    Fixed,
}

/// Without a wildcard: a flag that comes later is decided here.
fn later(flag: Flag, key_type: KeyType, hsm_type: HsmType) -> Later {
    match flag {
        Flag::Decrypt | Flag::Destroyable | Flag::Encrypt | Flag::Sign | Flag::Unwrap | Flag::Verify | Flag::Wrap => {
            Later::Free
        }
        Flag::Derive => match (hsm_type, key_type) {
            (HsmType::Hsm1Medium, KeyType::Rsa) => Later::Fixed,
            _ => Later::Free,
        },
        Flag::Extractable => match hsm_type {
            HsmType::Hsm1Medium => Later::Fixed,
            HsmType::Hsm2mMedium => Later::Only(false),
        },
        Flag::Modifiable => Later::Only(false),
        // Session keys never get here, so every key has `token=true` already.
        Flag::Sensitive | Flag::Token | Flag::WrapWithTrusted => Later::Only(true),
        Flag::Trusted => Later::Admins,
        Flag::AlwaysSensitive | Flag::Local | Flag::NeverExtractable | Flag::Private => Later::Fixed,
    }
}

/// The key whose attribute may be set so, and its attributes then.
pub(crate) fn check_set<'a>(
    asking: &Asking<'a>,
    reference: KeyReference,
    name: AttributeName,
    value: &AttributeValue,
) -> Result<(&'a Arc<Key>, Attributes), Refusal> {
    let is_admin = asking.user()?.role == Role::Admin;
    if is_admin && name != AttributeName::Flag(Flag::Trusted) {
        let about = format!("{name}: only the key's owner may set it; admins set trusted alone");
        return Err(Refusal::new(Status::RoleNotPermitted, about));
    }
    let key =
        if is_admin { asking.state.key(reference).ok_or(Status::KeyUnknown)? } else { keys::owned(asking, reference)? };
    // An owner must not keep an admin from taking trust back.
    if !is_admin && !key.attributes.flags.has(Flag::Modifiable) {
        return Err(Status::KeyNotModifiable.into());
    }
    let hsm_type = asking.cluster()?.hsm_type;
    Ok((key, changed(&key.attributes, hsm_type, is_admin, name, value)?))
}

pub(crate) fn set(
    asking: &Asking<'_>,
    reference: KeyReference,
    name: AttributeName,
    value: &AttributeValue,
) -> Result<Plan, PlanError> {
    let (key, attributes) = check_set(asking, reference, name, value)?;
    if key.attributes == attributes {
        return Ok(asking.done(Vec::new(), Effect::Revoking));
    }
    let next = Key { attributes, ..keys::rewritten(asking, key) };
    Ok(asking.done(vec![Record::Key(next)], Effect::Revoking))
}

fn changed(
    attributes: &Attributes,
    hsm_type: HsmType,
    is_admin: bool,
    name: AttributeName,
    value: &AttributeValue,
) -> Result<Attributes, Refusal> {
    match name {
        AttributeName::Label => Ok(Attributes { label: templates::label(value)?, ..attributes.clone() }),
        AttributeName::Id => Ok(Attributes { id: templates::id(value)?, ..attributes.clone() }),
        AttributeName::Flag(flag) => {
            let (class, key_type) = (attributes.class, attributes.key_type);
            if !templates::has_flag(class, key_type, flag) {
                return Err(refused(Status::AttributeUnknown, name));
            }
            let value = allowed(later(flag, key_type, hsm_type), is_admin, name, value)?;
            // The histories `always-sensitive` and `never-extractable` stay: no change makes them truer than they were,
            // and none is allowed that would make them false.
            Ok(Attributes { flags: attributes.flags.with(flag, value), ..attributes.clone() })
        }
        other => Err(templates::not_set(attributes.class, attributes.key_type, other)),
    }
}

/// What a flag of a copy is when it shall not be as the original's: what its owner may make of it later, and besides where
/// it lives, `extractable=false` on every type of HSM, and `private` of kinds that may be either.
pub(crate) fn copied_flag(
    (class, key_type): (KeyClass, KeyType),
    flag: Flag,
    value: &AttributeValue,
) -> Result<bool, Refusal> {
    let name = AttributeName::Flag(flag);
    if !templates::has_flag(class, key_type, flag) {
        return Err(refused(Status::AttributeUnknown, name));
    }
    let later = match flag {
        Flag::Token => Later::Free,
        Flag::Private if templates::is_free(class, key_type, flag) => Later::Free,
        flag => later(flag, key_type, HsmType::Hsm2mMedium),
    };
    allowed(later, false, name, value)
}

fn allowed(later: Later, is_admin: bool, name: AttributeName, value: &AttributeValue) -> Result<bool, Refusal> {
    match later {
        Later::Fixed => return Err(refused(Status::AttributeReadOnly, name)),
        Later::Admins if !is_admin => {
            return Err(Refusal::new(Status::AttributeReadOnly, format!("{name}: only an admin may set it")));
        }
        Later::Free | Later::Only(_) | Later::Admins => {}
    }
    let AttributeValue::Bool(value) = value else { return Err(refused(Status::AttributeValueInvalid, name)) };
    match later {
        Later::Only(only) if only != *value => {
            Err(Refusal::new(Status::AttributeValueInvalid, format!("{name}: it may be set to {only} only")))
        }
        _ => Ok(*value),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Curve, Flags, MlDsaAlgorithm, PublicPart};

    use super::*;

    fn attributes(class: KeyClass, key_type: KeyType) -> Attributes {
        let public = match key_type {
            KeyType::Rsa => Some(PublicPart::Rsa { modulus: vec![1; 256], public_exponent: vec![1, 0, 1] }),
            KeyType::Ec => Some(PublicPart::Ec { curve: Curve::P256, point: vec![4; 65] }),
            KeyType::MlDsa => {
                let algorithm = MlDsaAlgorithm::MlDsa44;
                Some(PublicPart::MlDsa { algorithm, key: vec![1; algorithm.public_len()] })
            }
            KeyType::Aes | KeyType::Des3 | KeyType::GenericSecret => None,
        };
        Attributes {
            class,
            key_type,
            label: String::new(),
            id: Vec::new(),
            check_value: None,
            flags: Flags::NONE,
            length_bytes: 32,
            public,
            templates: strongroom_types::KeyTemplates::NONE,
        }
    }

    const KINDS: [(KeyClass, KeyType); 9] = [
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

    /// Every flag of every kind on both types of HSM, by the owner: the letters are b(oth values), t(rue only), f(alse
    /// only), r(ead-only), u(nknown).
    #[test]
    fn every_flag_of_every_kind() {
        let table = [
            ("encrypt", "bubbuubuu", "bubbuubuu"),
            ("decrypt", "buuubbbuu", "buuubbbuu"),
            ("token", "ttttttttt", "ttttttttt"),
            ("always-sensitive", "rruurrrur", "rruurrrur"),
            ("derive", "bbbbbbbuu", "bbrbrbbuu"),
            ("destroyable", "bbbbbbbbb", "bbbbbbbbb"),
            ("extractable", "ffuufffuf", "rruurrrur"),
            ("local", "rrrrrrrrr", "rrrrrrrrr"),
            ("modifiable", "fffffffff", "fffffffff"),
            ("never-extractable", "rruurrrur", "rruurrrur"),
            ("private", "rrrrrrrrr", "rrrrrrrrr"),
            ("sensitive", "ttuutttut", "ttuutttut"),
            ("sign", "bbuubbbub", "bbuubbbub"),
            ("trusted", "rurruurru", "rurruurru"),
            ("unwrap", "buuubbbuu", "buuubbbuu"),
            ("verify", "bbbbuubbu", "bbbbuubbu"),
            ("wrap", "bubbuubuu", "bubbuubuu"),
            ("wrap-with-trusted", "ttuutttut", "ttuutttut"),
        ];
        assert_eq!(table.len(), Flag::ALL.len());
        for (flag, (text, hsm2m, hsm1)) in Flag::ALL.iter().zip(table) {
            assert_eq!(flag.as_str(), text);
            for (hsm_type, letters) in [(HsmType::Hsm2mMedium, hsm2m), (HsmType::Hsm1Medium, hsm1)] {
                for ((class, key_type), letter) in KINDS.into_iter().zip(letters.chars()) {
                    let outcome = |value| {
                        let (name, value) = (AttributeName::Flag(*flag), AttributeValue::Bool(value));
                        let changed = changed(&attributes(class, key_type), hsm_type, false, name, &value);
                        changed.map(|changed| changed.flags.has(*flag)).map_err(|refusal| refusal.status)
                    };
                    let invalid = Err(Status::AttributeValueInvalid);
                    let expected = match letter {
                        'b' => (Ok(true), Ok(false)),
                        't' => (Ok(true), invalid),
                        'f' => (invalid, Ok(false)),
                        'r' => (Err(Status::AttributeReadOnly), Err(Status::AttributeReadOnly)),
                        _ => (Err(Status::AttributeUnknown), Err(Status::AttributeUnknown)),
                    };
                    assert_eq!((outcome(true), outcome(false)), expected, "{text} of {class} {key_type} on {hsm_type}");
                }
            }
        }
    }

    #[test]
    fn other_attributes() {
        use AttributeValue::{Bool, Bytes, Number, Text};
        let check = |at: usize, name: AttributeName, value: AttributeValue, expected: [Option<Status>; 2]| {
            for (hsm_type, expected) in [HsmType::Hsm2mMedium, HsmType::Hsm1Medium].into_iter().zip(expected) {
                let (class, key_type) = KINDS[at];
                let outcome = changed(&attributes(class, key_type), hsm_type, false, name, &value);
                let status = outcome.err().map(|refusal| refusal.status);
                assert_eq!(status, expected, "{name} = {value:?} of {class} on {hsm_type}");
            }
        };
        let read_only = [Some(Status::AttributeReadOnly); 2];
        let unknown = [Some(Status::AttributeUnknown); 2];
        let invalid = [Some(Status::AttributeValueInvalid); 2];
        check(0, AttributeName::Label, Text("x".repeat(127)), [None, None]);
        check(0, AttributeName::Label, Text("x".repeat(128)), invalid);
        check(0, AttributeName::Label, Bool(true), invalid);
        check(4, AttributeName::Id, Bytes(vec![1; 127]), [None, None]);
        check(4, AttributeName::Id, Bytes(vec![1; 128]), invalid);
        check(0, AttributeName::Flag(Flag::Sign), Text("true".into()), invalid);
        check(0, AttributeName::Class, AttributeValue::Class(KeyClass::SecretKey), read_only);
        check(0, AttributeName::KeyType, AttributeValue::KeyType(KeyType::Aes), read_only);
        check(0, AttributeName::KeyLengthBytes, Number(16), read_only);
        check(0, AttributeName::CheckValue, Bytes(vec![1; 3]), read_only);
        check(1, AttributeName::CheckValue, Bytes(vec![1; 3]), unknown);
        check(2, AttributeName::Modulus, Bytes(vec![1; 256]), read_only);
        check(3, AttributeName::Modulus, Bytes(vec![1; 256]), unknown);
        check(5, AttributeName::Curve, AttributeValue::Curve(Curve::P256), read_only);
    }
}

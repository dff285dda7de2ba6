//! Whether a key is one that a filter selects, or a template asks for a session key. One rule for HSMs, which search what
//! the store holds, and for clients, which keep session keys themselves.

use crate::{AttributeName, AttributeValue, Attributes, Filter, FilterTerm, Flag, KeyReference, PublicPart, Template};

/// Whether a template asks for a session key.
pub fn is_for_session(template: &Template) -> bool {
    template.contains(&(AttributeName::Flag(Flag::Token), AttributeValue::Bool(false)))
}

/// What a template says of where the key lives: true for the store, false for the session.
pub fn token(template: &Template) -> Option<bool> {
    template.iter().find_map(|attribute| match attribute {
        (AttributeName::Flag(Flag::Token), AttributeValue::Bool(token)) => Some(*token),
        _ => None,
    })
}

impl Filter {
    /// Whether every term holds for the key.
    pub fn selects(&self, reference: KeyReference, attributes: &Attributes) -> bool {
        self.0.iter().all(|term| match term {
            FilterTerm::Reference(wanted) => *wanted == reference,
            FilterTerm::Attribute(name, value) => attributes.have(*name, value),
        })
    }
}

impl Attributes {
    /// Whether the attribute has this value; never when the value is of another kind.
    pub fn have(&self, name: AttributeName, value: &AttributeValue) -> bool {
        use AttributeName as Name;
        use AttributeValue as Value;
        match (name, value, &self.public) {
            (Name::Class, Value::Class(class), _) => self.class == *class,
            (Name::KeyType, Value::KeyType(key_type), _) => self.key_type == *key_type,
            (Name::Label, Value::Text(label), _) => self.label == *label,
            (Name::Id, Value::Bytes(id), _) => self.id == *id,
            (Name::CheckValue, Value::Bytes(bytes), _) => {
                self.check_value.is_some_and(|value| value == bytes.as_slice())
            }
            (Name::KeyLengthBytes, Value::Number(length), _) => self.length_bytes == *length,
            (Name::Flag(flag), Value::Bool(wanted), _) => self.flags.has(flag) == *wanted,
            (Name::Modulus, Value::Bytes(bytes), Some(PublicPart::Rsa { modulus, .. })) => {
                without_leading_zeros(modulus) == without_leading_zeros(bytes)
            }
            (Name::PublicExponent, Value::Bytes(bytes), Some(PublicPart::Rsa { public_exponent, .. })) => {
                without_leading_zeros(public_exponent) == without_leading_zeros(bytes)
            }
            (Name::ModulusSizeBits, Value::Number(bits), Some(PublicPart::Rsa { modulus, .. })) => {
                modulus.len() * 8 == to_usize(*bits)
            }
            (Name::EcPoint, Value::Bytes(bytes), Some(PublicPart::Ec { point, .. })) => {
                points(bytes).any(|wanted| wanted == point)
            }
            (Name::Curve, Value::Curve(wanted), Some(PublicPart::Ec { curve, .. })) => curve == wanted,
            (Name::MlDsaAlgorithm, Value::MlDsaAlgorithm(wanted), Some(PublicPart::MlDsa { algorithm, .. })) => {
                algorithm == wanted
            }
            (Name::WrapTemplate, Value::Template(wanted), _) => is_template(self.templates.wrap.as_deref(), wanted),
            (Name::UnwrapTemplate, Value::Template(wanted), _) => is_template(self.templates.unwrap.as_deref(), wanted),
            _ => false,
        }
    }

    /// The first attribute of the template that these do not have so.
    pub fn differ_from(&self, template: &Template) -> Option<AttributeName> {
        template.iter().find(|(name, value)| !self.have(*name, value)).map(|(name, _)| *name)
    }
}

/// Whether a key's template has the same attributes, in whatever order. A key's has each once, so that as many of them that
/// are all wanted are all that is wanted.
fn is_template(template: Option<&Template>, wanted: &Template) -> bool {
    let template = template.map(Vec::as_slice).unwrap_or_default();
    template.len() == wanted.len() && template.iter().all(|attribute| wanted.contains(attribute))
}

/// The points that bytes may stand for: themselves, and the content of the DER OCTET STRING that they are. A bare
/// point starts with 4 as an OCTET STRING does, so it may look like one by chance; both are looked for.
pub fn points(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let content = match bytes {
        [0x04, 0x81, len, content @ ..] if *len >= 0x80 && usize::from(*len) == content.len() => Some(content),
        [0x04, len, content @ ..] if *len < 0x80 && usize::from(*len) == content.len() => Some(content),
        _ => None,
    };
    std::iter::once(bytes).chain(content)
}

/// A number's digits without zeros in front: numbers are compared by value.
pub fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    bytes.get(first..).unwrap_or_default()
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Curve, Flags, KeyClass, KeyType, MlDsaAlgorithm};

    #[test]
    fn a_filter_selects_what_all_of_its_terms_hold_for() {
        let reference = KeyReference::from_u64(0xabc).unwrap();
        let point = [&[4][..], &[7; 64]].concat();
        let key = Attributes {
            class: KeyClass::PrivateKey,
            key_type: KeyType::Ec,
            label: "site".into(),
            id: vec![1],
            check_value: Some([1, 2, 3]),
            flags: Flags::NONE.with(Flag::Sign, true),
            length_bytes: 138,
            public: Some(PublicPart::Ec { curve: Curve::P256, point }),
            templates: crate::KeyTemplates::NONE,
        };
        let check = |terms: &[&str], expected: bool| {
            let filter = Filter(terms.iter().map(|term| term.parse().unwrap()).collect());
            assert_eq!(filter.selects(reference, &key), expected, "{terms:?}");
        };
        check(&[], true);
        check(&["key-reference=0xabc", "attr.label=site", "attr.sign=true", "attr.token=false"], true);
        check(&["key-reference=0xabd"], false);
        check(&["key-reference=0xabc", "key-reference=0xabd"], false);
        check(&["attr.label=site", "attr.label=other"], false);
        check(&["attr.token=true"], false);
        check(&["attr.id=0x01", "attr.check-value=0x010203", "attr.key-length-bytes=138"], true);
        check(&["attr.id=0x"], false);
        check(&["attr.class=private-key", "attr.key-type=ec", "attr.curve=secp256r1"], true);
        check(&["attr.class=public-key"], false);
        check(&[&format!("attr.ec-point=0x04{}", "07".repeat(64))], true);
        check(&[&format!("attr.ec-point=0x044104{}", "07".repeat(64))], true);
        check(&["attr.modulus-size-bits=2048"], false);
        let wrong_kind = FilterTerm::Attribute(AttributeName::Label, AttributeValue::Number(1));
        assert!(!Filter(vec![wrong_kind]).selects(reference, &key));
    }

    #[test]
    fn an_ml_dsa_key_is_found_by_its_algorithm() {
        let key = Attributes {
            class: KeyClass::PublicKey,
            key_type: KeyType::MlDsa,
            label: String::new(),
            id: Vec::new(),
            check_value: None,
            flags: Flags::NONE,
            length_bytes: 1952,
            public: Some(PublicPart::MlDsa { algorithm: MlDsaAlgorithm::MlDsa65, key: vec![7; 1952] }),
            templates: crate::KeyTemplates::NONE,
        };
        assert!(key.are_of_one_kind());
        let has = |algorithm| key.have(AttributeName::MlDsaAlgorithm, &AttributeValue::MlDsaAlgorithm(algorithm));
        assert!(has(MlDsaAlgorithm::MlDsa65) && !has(MlDsaAlgorithm::MlDsa44));
        assert!(!key.have(AttributeName::Curve, &AttributeValue::Curve(Curve::Ed25519)));
        assert!(!Attributes { key_type: KeyType::Ec, ..key.clone() }.are_of_one_kind());
        assert!(!Attributes { public: None, ..key }.are_of_one_kind());
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let rsa = Attributes {
            class: KeyClass::PublicKey,
            key_type: KeyType::Rsa,
            label: String::new(),
            id: Vec::new(),
            check_value: None,
            flags: Flags::NONE,
            length_bytes: 512,
            public: Some(PublicPart::Rsa { modulus: vec![0xc5; 256], public_exponent: vec![1, 0, 1] }),
            templates: crate::KeyTemplates::NONE,
        };
        let has = |name, value: &[u8]| rsa.have(name, &AttributeValue::Bytes(value.to_vec()));
        assert!(has(AttributeName::PublicExponent, &[1, 0, 1]) && has(AttributeName::PublicExponent, &[0, 0, 1, 0, 1]));
        assert!(!has(AttributeName::PublicExponent, &[1, 0, 1, 0]) && !has(AttributeName::PublicExponent, &[]));
        assert!(has(AttributeName::Modulus, &[&[0][..], &[0xc5; 256]].concat()));
        assert!(rsa.have(AttributeName::ModulusSizeBits, &AttributeValue::Number(2048)));
        assert!(!has(AttributeName::EcPoint, &[4]) && !has(AttributeName::CheckValue, &[]));
    }

    #[test]
    fn templates_are_compared_as_sets_and_keys_against_them() {
        let flag = |flag, value| (AttributeName::Flag(flag), AttributeValue::Bool(value));
        let demands = vec![flag(Flag::Sign, true), flag(Flag::Wrap, false)];
        let templates = crate::KeyTemplates { wrap: Some(demands.clone().into()), unwrap: None };
        let key = Attributes {
            class: KeyClass::SecretKey,
            key_type: KeyType::Aes,
            label: String::new(),
            id: Vec::new(),
            check_value: None,
            flags: Flags::NONE.with(Flag::Sign, true),
            length_bytes: 32,
            public: None,
            templates,
        };
        let wraps =
            |template: &[_]| key.have(AttributeName::WrapTemplate, &AttributeValue::Template(template.to_vec()));
        let [sign, wrap] = [&demands[0], &demands[1]];
        assert!(wraps(&demands) && wraps(&[wrap.clone(), sign.clone()]));
        assert!(!wraps(&demands[..1]) && !wraps(&[sign.clone(), sign.clone()]) && !wraps(&[]));
        assert!(!wraps(&[sign.clone(), wrap.clone(), wrap.clone()]) && !wraps(&[sign.clone(), flag(Flag::Wrap, true)]));
        assert!(key.have(AttributeName::UnwrapTemplate, &AttributeValue::Template(Template::new())));
        assert!(!key.have(AttributeName::WrapTemplate, &AttributeValue::Bool(true)));
        assert_eq!(key.differ_from(&demands), None);
        let other = [demands.clone(), vec![flag(Flag::Encrypt, true), flag(Flag::Derive, true)]].concat();
        assert_eq!(key.differ_from(&other), Some(AttributeName::Flag(Flag::Encrypt)));
    }

    #[test]
    fn points_are_taken_bare_and_in_an_octet_string() {
        let check = |bytes: &[u8], expected: &[&[u8]]| assert_eq!(points(bytes).collect::<Vec<_>>(), expected);
        let bare = [4; 65];
        check(&bare, &[&bare]);
        let short: Vec<u8> = [&[4, 65], &bare[..]].concat();
        check(&short, &[&short, &bare]);
        let long_content = [4; 133];
        let long: Vec<u8> = [&[4, 0x81, 133], &long_content[..]].concat();
        check(&long, &[&long, &long_content]);
        check(&[], &[&[]]);
        check(&[4], &[&[4]]);
        check(&[4, 2, 1], &[&[4, 2, 1]]);
        // By chance both: a "point" whose second byte is the length of the rest.
        check(&[4, 2, 7, 8], &[&[4, 2, 7, 8], &[7, 8]]);
    }
}

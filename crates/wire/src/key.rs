use strongroom_types::limits::{KEY_ID_LEN_MAX, LABEL_LEN_MAX, SHARED_USERS_MAX};
use strongroom_types::{Attributes, Flags, KeyQuorum, KeyReference, KeyTemplates, PublicPart, Revision, UserName};

use crate::attributes::{key_template, key_template_message};
use crate::convert::{Malformed, curve, key_class, key_type, ml_dsa_algorithm};
use crate::v1;

/// A key as an HSM describes it to who may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Reference.
    pub reference: KeyReference,
    /// Attributes.
    pub attributes: Attributes,
    /// Owner.
    pub owner: UserName,
    /// Users the key is shared with, in order of their names.
    pub shared_with: Vec<UserName>,
    /// How many of them must approve what is done with it.
    pub quorum: KeyQuorum,
    /// Revision of the key's record: a copy is good while this stands.
    pub revision: Revision,
}

impl From<KeyInfo> for v1::Key {
    fn from(key: KeyInfo) -> v1::Key {
        let attributes = key.attributes;
        let public_part = attributes.public.map(|public| match public {
            PublicPart::Rsa { modulus, public_exponent } => {
                v1::key::PublicPart::Rsa(v1::RsaPublic { modulus, public_exponent })
            }
            PublicPart::Ec { curve, point } => {
                v1::key::PublicPart::Ec(v1::EcPublic { curve: v1::Curve::from(curve).into(), point })
            }
            PublicPart::MlDsa { algorithm, key } => {
                let algorithm = v1::MlDsaAlgorithm::from(algorithm).into();
                v1::key::PublicPart::MlDsa(v1::MlDsaPublic { algorithm, key })
            }
        });
        v1::Key {
            reference: key.reference.as_u64(),
            class: v1::KeyClass::from(attributes.class).into(),
            key_type: v1::KeyType::from(attributes.key_type).into(),
            label: attributes.label,
            key_id: attributes.id,
            check_value: attributes.check_value.map(|value| value.to_vec()).unwrap_or_default(),
            flags: attributes.flags.bits(),
            length_bytes: attributes.length_bytes,
            public_part,
            owner: key.owner.as_str().to_owned(),
            shared_with: key.shared_with.iter().map(|name| name.as_str().to_owned()).collect(),
            key_revision: key.revision.0,
            sealed_session_key: Vec::new(),
            manage_quorum: key.quorum.manage.into(),
            use_quorum: key.quorum.usage.into(),
            wrap_template: key_template_message(attributes.templates.wrap.as_deref()),
            unwrap_template: key_template_message(attributes.templates.unwrap.as_deref()),
        }
    }
}

impl TryFrom<v1::Key> for KeyInfo {
    type Error = Malformed;

    fn try_from(key: v1::Key) -> Result<KeyInfo, Malformed> {
        let malformed = |field| Malformed { field };
        if key.shared_with.len() > SHARED_USERS_MAX {
            return Err(malformed("shared_with"));
        }
        let public = key.public_part.map(public_part).transpose()?;
        let attributes = Attributes {
            class: key_class(key.class)?,
            key_type: key_type(key.key_type)?,
            label: Some(key.label).filter(|label| label.len() <= LABEL_LEN_MAX).ok_or(malformed("label"))?,
            id: Some(key.key_id).filter(|id| id.len() <= KEY_ID_LEN_MAX).ok_or(malformed("key_id"))?,
            check_value: match key.check_value.as_slice() {
                [] => None,
                value => Some(value.try_into().map_err(|_| malformed("check_value"))?),
            },
            flags: Flags::from_bits(key.flags).ok_or(malformed("flags"))?,
            length_bytes: key.length_bytes,
            public,
            templates: KeyTemplates {
                wrap: key_template(key.wrap_template.as_ref())?,
                unwrap: key_template(key.unwrap_template.as_ref())?,
            },
        };
        if !fits(&attributes) {
            return Err(malformed("public_part"));
        }
        let name = |text: &String, field| text.parse::<UserName>().map_err(|_| malformed(field));
        Ok(KeyInfo {
            reference: KeyReference::from_u64(key.reference).ok_or(malformed("reference"))?,
            attributes,
            owner: name(&key.owner, "owner")?,
            shared_with: key.shared_with.iter().map(|text| name(text, "shared_with")).collect::<Result<_, _>>()?,
            quorum: KeyQuorum::from_numbers(key.manage_quorum, key.use_quorum).ok_or(malformed("manage_quorum"))?,
            revision: Revision(key.key_revision),
        })
    }
}

fn public_part(part: v1::key::PublicPart) -> Result<PublicPart, Malformed> {
    match part {
        v1::key::PublicPart::Rsa(v1::RsaPublic { modulus, public_exponent }) => {
            Ok(PublicPart::Rsa { modulus, public_exponent })
        }
        v1::key::PublicPart::Ec(v1::EcPublic { curve: number, point }) => {
            Ok(PublicPart::Ec { curve: curve(number)?, point })
        }
        v1::key::PublicPart::MlDsa(v1::MlDsaPublic { algorithm, key }) => {
            Ok(PublicPart::MlDsa { algorithm: ml_dsa_algorithm(algorithm)?, key })
        }
    }
}

/// Whether the public part is one of the key's class and type.
fn fits(attributes: &Attributes) -> bool {
    let len_fits = match &attributes.public {
        None | Some(PublicPart::Rsa { .. }) => true,
        Some(PublicPart::Ec { curve, point }) => point.len() == curve.point_len(),
        Some(PublicPart::MlDsa { algorithm, key }) => key.len() == algorithm.public_len(),
    };
    attributes.are_of_one_kind() && len_fits
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strongroom_types::{AttributeName, AttributeValue, Curve, Flag, KeyClass, KeyType, MlDsaAlgorithm};

    use super::*;

    fn key(class: KeyClass, key_type: KeyType, public: Option<PublicPart>) -> KeyInfo {
        KeyInfo {
            reference: KeyReference::from_u64(0x2e06bf).unwrap(),
            attributes: Attributes {
                class,
                key_type,
                label: "a key".into(),
                id: vec![1, 2],
                check_value: Some([1, 2, 3]),
                flags: Flags::NONE.with(Flag::Sign, true),
                length_bytes: 65,
                public,
                templates: KeyTemplates {
                    wrap: Some(Arc::new(vec![(AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true))])),
                    unwrap: None,
                },
            },
            owner: "ana".parse().unwrap(),
            shared_with: vec!["bo".parse().unwrap()],
            quorum: KeyQuorum { manage: 2, usage: 1 },
            revision: Revision(9),
        }
    }

    fn ec() -> KeyInfo {
        key(KeyClass::PublicKey, KeyType::Ec, Some(PublicPart::Ec { curve: Curve::P256, point: vec![4; 65] }))
    }

    #[test]
    fn keys_read_back() {
        let rsa = PublicPart::Rsa { modulus: vec![0xff; 256], public_exponent: vec![1, 0, 1] };
        let ed25519 = PublicPart::Ec { curve: Curve::Ed25519, point: vec![9; 32] };
        let ml_dsa = PublicPart::MlDsa { algorithm: MlDsaAlgorithm::MlDsa87, key: vec![9; 2592] };
        for key in [
            ec(),
            key(KeyClass::PrivateKey, KeyType::Rsa, Some(rsa)),
            key(KeyClass::PrivateKey, KeyType::Ec, Some(ed25519)),
            key(KeyClass::PublicKey, KeyType::MlDsa, Some(ml_dsa)),
            key(KeyClass::SecretKey, KeyType::Aes, None),
            key(KeyClass::SecretKey, KeyType::Des3, None),
        ] {
            assert_eq!(KeyInfo::try_from(v1::Key::from(key.clone())), Ok(key));
        }
    }

    #[test]
    fn fields_that_cannot_be_are_named() {
        let check = |field, change: fn(&mut v1::Key)| {
            let mut message = v1::Key::from(ec());
            change(&mut message);
            assert_eq!(KeyInfo::try_from(message), Err(Malformed { field }));
        };
        check("reference", |key| key.reference = 0);
        check("class", |key| key.class = 0);
        check("key_type", |key| key.key_type = 9);
        check("label", |key| key.label = "x".repeat(128));
        check("key_id", |key| key.key_id = vec![0; 128]);
        check("check_value", |key| key.check_value = vec![1, 2]);
        check("flags", |key| key.flags = 1 << 31);
        check("public_part", |key| key.public_part = None);
        check("public_part", |key| key.key_type = 1);
        check("public_part", |key| {
            let algorithm = v1::MlDsaAlgorithm::MlDsa44.into();
            key.key_type = v1::KeyType::MlDsa.into();
            key.public_part = Some(v1::key::PublicPart::MlDsa(v1::MlDsaPublic { algorithm, key: vec![9; 1311] }));
        });
        check("owner", |key| key.owner.clear());
        check("manage_quorum", |key| key.use_quorum = 9);
        check("shared_with", |key| key.shared_with = vec!["b b".into()]);
        check("curve", |key| {
            key.public_part = Some(v1::key::PublicPart::Ec(v1::EcPublic { curve: 0, point: vec![4; 65] }));
        });
    }
}

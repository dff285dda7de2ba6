use serde_json::{Value, json};
use strongroom_client::{FoundKeys, KeyInfo};
use strongroom_crypto::der;
use strongroom_types::{Attributes, Flag, PublicPart, UserName};

use super::object;

/// `{"key": …}`.
pub fn key(key: &KeyInfo) -> Value {
    json!({ "key": full(key) })
}

/// `key replicate`; to admins the reference alone, as in lists.
pub fn replicated_key(key: &KeyInfo, is_full: bool) -> Value {
    let shown = if is_full { full(key) } else { json!({ "key-reference": key.reference.to_string() }) };
    json!({ "key": shown, "message": "Successfully replicated key" })
}

/// A new pair, the public key first.
pub fn pair(public: &KeyInfo, private: &KeyInfo) -> Value {
    json!({ "public_key": full(public), "private_key": full(private) })
}

/// How much `key list` shows of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The reference alone.
    Reference,
    /// Reference and label.
    Label,
    /// Everything.
    Full,
}

/// One page of keys, whose first is the match of number `offset`.
pub fn found(found: &FoundKeys, offset: u32, detail: Detail) -> Value {
    let entry = |key: &KeyInfo| match detail {
        Detail::Reference => json!({ "key-reference": key.reference.to_string() }),
        Detail::Label => json!({
            "key-reference": key.reference.to_string(),
            "attributes": { "label": key.attributes.label },
        }),
        Detail::Full => full(key),
    };
    let returned = u32::try_from(found.keys.len()).unwrap_or(u32::MAX);
    let mut page = json!({
        "matched_keys": found.keys.iter().map(entry).collect::<Vec<_>>(),
        "total_key_count": found.total,
        "returned_key_count": returned,
    });
    let next = offset.saturating_add(returned);
    if next < found.total && returned > 0 {
        page["next_token"] = json!(next.to_string());
    }
    page
}

fn full(key: &KeyInfo) -> Value {
    let coverage = if key.attributes.flags.has(Flag::Token) { "full" } else { "session" };
    let user = |name: &UserName| json!({ "username": name.as_str(), "key-coverage": "full" });
    json!({
        "key-reference": key.reference.to_string(),
        "key-info": {
            "key-owners": [user(&key.owner)],
            "shared-users": key.shared_with.iter().map(user).collect::<Vec<_>>(),
            "key-quorum-values": {
                "manage-key-quorum-value": key.quorum.manage,
                "use-key-quorum-value": key.quorum.usage,
            },
            "cluster-coverage": coverage,
        },
        "attributes": attributes(&key.attributes),
    })
}

/// The flags, in the order in which they are printed.
const FLAGS: [Flag; 18] = [
    Flag::Encrypt,
    Flag::Decrypt,
    Flag::Token,
    Flag::AlwaysSensitive,
    Flag::Derive,
    Flag::Destroyable,
    Flag::Extractable,
    Flag::Local,
    Flag::Modifiable,
    Flag::NeverExtractable,
    Flag::Private,
    Flag::Sensitive,
    Flag::Sign,
    Flag::Trusted,
    Flag::Unwrap,
    Flag::Verify,
    Flag::Wrap,
    Flag::WrapWithTrusted,
];

fn attributes(attributes: &Attributes) -> Value {
    let mut fields: Vec<(&'static str, Value)> = vec![
        ("key-type", json!(attributes.key_type.as_str())),
        ("label", json!(attributes.label)),
        ("id", hex(&attributes.id)),
    ];
    fields.extend(attributes.check_value.map(|value| ("check-value", hex(&value))));
    fields.push(("class", json!(attributes.class.as_str())));
    let algorithm = match &attributes.public {
        Some(PublicPart::MlDsa { algorithm, .. }) => Some(("mldsa-algorithm", json!(algorithm.as_str()))),
        _ => None,
    };
    for flag in FLAGS {
        fields.push((flag.as_str(), json!(attributes.flags.has(flag))));
        if flag == Flag::Private {
            fields.extend(algorithm.clone());
        }
    }
    fields.push(("key-length-bytes", json!(attributes.length_bytes)));
    match &attributes.public {
        None | Some(PublicPart::MlDsa { .. }) => {}
        Some(PublicPart::Rsa { modulus, public_exponent }) => fields.extend([
            ("public-exponent", hex(public_exponent)),
            ("modulus", hex(modulus)),
            ("modulus-size-bits", json!(modulus.len() * 8)),
        ]),
        Some(PublicPart::Ec { curve, point }) => {
            fields.extend([("ec-point", hex(&der::octet_string(point))), ("curve", json!(curve.as_str()))]);
        }
    }
    object(fields)
}

/// `0x` and lower-case hexadecimal digits of whole bytes.
pub fn hex(bytes: &[u8]) -> Value {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!(format!("0x{digits}"))
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Curve, Flags, KeyClass, KeyQuorum, KeyReference, KeyType, MlDsaAlgorithm, Revision};

    use super::*;

    fn sample(class: KeyClass, key_type: KeyType, public: Option<PublicPart>) -> KeyInfo {
        KeyInfo {
            reference: KeyReference::from_u64(0x2e06bf).unwrap(),
            attributes: Attributes {
                class,
                key_type,
                label: "example".into(),
                id: Vec::new(),
                check_value: Some([0xc6, 0xa1, 0x3b]),
                flags: Flags::NONE.with(Flag::Sign, true).with(Flag::Token, true),
                length_bytes: 16,
                public,
                templates: strongroom_types::KeyTemplates::NONE,
            },
            owner: "ana".parse().unwrap(),
            shared_with: vec!["bo".parse().unwrap()],
            quorum: KeyQuorum { manage: 2, usage: 1 },
            revision: Revision(1),
        }
    }

    #[test]
    fn a_key_has_the_guides_fields_in_its_order() {
        let flags = r#""encrypt":false,"decrypt":false,"token":true,"always-sensitive":false,"derive":false,"destroyable":false,"extractable":false,"local":false,"modifiable":false,"never-extractable":false,"private":false,"sensitive":false,"sign":true,"trusted":false,"unwrap":false,"verify":false,"wrap":false,"wrap-with-trusted":false"#;
        let expected = format!(
            "{}{flags}{}",
            concat!(
                r#"{"key":{"key-reference":"0x00000000002e06bf","key-info":{"#,
                r#""key-owners":[{"username":"ana","key-coverage":"full"}],"#,
                r#""shared-users":[{"username":"bo","key-coverage":"full"}],"#,
                r#""key-quorum-values":{"manage-key-quorum-value":2,"use-key-quorum-value":1},"#,
                r#""cluster-coverage":"full"},"attributes":{"key-type":"aes","label":"example","id":"0x","#,
                r#""check-value":"0xc6a13b","class":"secret-key","#
            ),
            r#","key-length-bytes":16}}}"#
        );
        assert_eq!(key(&sample(KeyClass::SecretKey, KeyType::Aes, None)).to_string(), expected);
    }

    #[test]
    fn a_session_key_says_so() {
        let mut session = sample(KeyClass::SecretKey, KeyType::Aes, None);
        session.attributes.flags = session.attributes.flags.with(Flag::Token, false);
        let shown = key(&session);
        assert_eq!(shown["key"]["key-info"]["cluster-coverage"], "session");
        assert_eq!(shown["key"]["attributes"]["token"], false);
    }

    #[test]
    fn asymmetric_keys_have_their_public_part_last() {
        let tail = |public, key_type| {
            let text = attributes(&sample(KeyClass::PublicKey, key_type, Some(public)).attributes).to_string();
            text.split_once(r#""key-length-bytes":16,"#).unwrap().1.to_owned()
        };
        let rsa = PublicPart::Rsa { modulus: vec![0xab; 256], public_exponent: vec![1, 0, 1] };
        let expected =
            format!(r#""public-exponent":"0x010001","modulus":"0x{}","modulus-size-bits":2048}}"#, "ab".repeat(256));
        assert_eq!(tail(rsa, KeyType::Rsa), expected);
        let ec = PublicPart::Ec { curve: Curve::P256, point: [&[4][..], &[7; 64]].concat() };
        let expected = format!(r#""ec-point":"0x044104{}","curve":"prime256v1"}}"#, "07".repeat(64));
        assert_eq!(tail(ec, KeyType::Ec), expected);
        let ed25519 = PublicPart::Ec { curve: Curve::Ed25519, point: vec![7; 32] };
        let expected = format!(r#""ec-point":"0x0420{}","curve":"ed25519"}}"#, "07".repeat(32));
        assert_eq!(tail(ed25519, KeyType::Ec), expected);
        let p521 = PublicPart::Ec { curve: Curve::P521, point: vec![4; 133] };
        assert!(tail(p521, KeyType::Ec).starts_with(r#""ec-point":"0x04818504"#));
    }

    #[test]
    fn the_algorithm_of_an_ml_dsa_key_stands_behind_private() {
        let public = PublicPart::MlDsa { algorithm: MlDsaAlgorithm::MlDsa44, key: vec![7; 1312] };
        let text = attributes(&sample(KeyClass::PublicKey, KeyType::MlDsa, Some(public)).attributes).to_string();
        assert!(text.starts_with(r#"{"key-type":"ml-dsa","label":"#), "{text}");
        assert!(text.contains(r#""private":false,"mldsa-algorithm":"ML-DSA-44","sensitive":false,"#), "{text}");
        assert!(text.ends_with(r#""key-length-bytes":16}"#), "{text}");
    }

    #[test]
    fn pages_count_and_name_the_next_one_while_there_is_one() {
        let page = |total, len, offset, detail| {
            let keys = vec![sample(KeyClass::SecretKey, KeyType::Aes, None); len];
            found(&FoundKeys { total, keys }, offset, detail)
        };
        let first = page(3, 2, 0, Detail::Label);
        assert_eq!(
            first["matched_keys"][0].to_string(),
            r#"{"key-reference":"0x00000000002e06bf","attributes":{"label":"example"}}"#
        );
        assert_eq!((&first["total_key_count"], &first["returned_key_count"]), (&json!(3), &json!(2)));
        assert_eq!(first["next_token"], "2");
        assert_eq!(page(3, 1, 2, Detail::Label).get("next_token"), None);
        assert_eq!(page(3, 0, 9, Detail::Label).get("next_token"), None);
        let reduced = page(1, 1, 0, Detail::Reference);
        assert_eq!(reduced["matched_keys"][0].to_string(), r#"{"key-reference":"0x00000000002e06bf"}"#);
    }
}

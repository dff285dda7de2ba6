//! Keys' attributes: names and spellings are the command line tool's, meanings are PKCS #11 v2.40 §4.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::{Curve, KeyClass, KeyType, MlDsaAlgorithm, PublicPart};

/// A text that is not an attribute, or not a value of its attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected {expected}")]
pub struct TemplateError {
    /// What would have been right.
    pub expected: &'static str,
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        /// The boolean attributes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Flag { $($(#[$doc])* $name = $bit,)* }

        impl Flag {
            /// Every boolean attribute, in the order of the command line tool's output.
            pub const ALL: &'static [Flag] = &[$(Flag::$name,)*];

            /// The command line tool's spelling.
            pub fn as_str(self) -> &'static str {
                match self { $(Flag::$name => $text,)* }
            }

            fn mask(self) -> u32 {
                match self { $(Flag::$name => 1 << $bit,)* }
            }
        }
    };
}

flags! {
    /// `CKA_ENCRYPT`.
    Encrypt = 0, "encrypt";
    /// `CKA_DECRYPT`.
    Decrypt = 1, "decrypt";
    /// `CKA_TOKEN`: lives until deleted; false for session keys.
    Token = 2, "token";
    /// `CKA_ALWAYS_SENSITIVE`: computed.
    AlwaysSensitive = 3, "always-sensitive";
    /// `CKA_DERIVE`.
    Derive = 4, "derive";
    /// `CKA_DESTROYABLE`.
    Destroyable = 5, "destroyable";
    /// `CKA_EXTRACTABLE`: may be wrapped.
    Extractable = 6, "extractable";
    /// `CKA_LOCAL`: generated here; computed.
    Local = 7, "local";
    /// `CKA_MODIFIABLE`.
    Modifiable = 8, "modifiable";
    /// `CKA_NEVER_EXTRACTABLE`: computed.
    NeverExtractable = 9, "never-extractable";
    /// `CKA_PRIVATE`.
    Private = 10, "private";
    /// `CKA_SENSITIVE`.
    Sensitive = 11, "sensitive";
    /// `CKA_SIGN`.
    Sign = 12, "sign";
    /// `CKA_TRUSTED`: set by an admin only.
    Trusted = 13, "trusted";
    /// `CKA_UNWRAP`.
    Unwrap = 14, "unwrap";
    /// `CKA_VERIFY`.
    Verify = 15, "verify";
    /// `CKA_WRAP`.
    Wrap = 16, "wrap";
    /// `CKA_WRAP_WITH_TRUSTED`.
    WrapWithTrusted = 17, "wrap-with-trusted";
}

/// The boolean attributes of one key: bit *n* is the flag whose number is *n*, on the wire and in records too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

impl Flags {
    /// All false.
    pub const NONE: Flags = Flags(0);

    /// The flags of these bits; none when a bit has no flag.
    pub fn from_bits(bits: u32) -> Option<Flags> {
        let known = Flag::ALL.iter().fold(0, |all, flag| all | flag.mask());
        (bits & !known == 0).then_some(Flags(bits))
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether `flag` is true.
    pub fn has(self, flag: Flag) -> bool {
        self.0 & flag.mask() != 0
    }

    /// These flags with `flag` set to `value`.
    #[must_use]
    pub fn with(self, flag: Flag, value: bool) -> Flags {
        if value { Flags(self.0 | flag.mask()) } else { Flags(self.0 & !flag.mask()) }
    }
}

/// Three bytes that tell whether two keys are the same.
pub type CheckValue = [u8; 3];

/// What is known of a key, key material apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Class.
    pub class: KeyClass,
    /// Type.
    pub key_type: KeyType,
    /// Label, at most [`LABEL_LEN_MAX`](crate::limits::LABEL_LEN_MAX) bytes.
    pub label: String,
    /// `CKA_ID`, often empty.
    pub id: Vec<u8>,
    /// Check value; none for generic secrets.
    pub check_value: Option<CheckValue>,
    /// The boolean attributes.
    pub flags: Flags,
    /// Length in bytes as the command line tool counts it: raw length of secret keys; twice the modulus for RSA
    /// public keys; the point for EC public keys; the PKCS #8 DER for RSA and EC private keys; FIPS 204's encodings
    /// for ML-DSA keys.
    pub length_bytes: u32,
    /// Public part; none for secret keys.
    pub public: Option<PublicPart>,
    /// What it demands of keys that are wrapped and unwrapped with it.
    pub templates: KeyTemplates,
}

/// What a key demands of the keys that are wrapped and unwrapped with it (PKCS #11 v2.40 §4.8 to §4.10). Nearly every key
/// demands nothing; an empty template is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTemplates {
    /// `CKA_WRAP_TEMPLATE`: what a key must have to be wrapped under this one.
    pub wrap: Option<Arc<Template>>,
    /// `CKA_UNWRAP_TEMPLATE`: what a key has that is unwrapped with this one.
    pub unwrap: Option<Arc<Template>>,
}

impl KeyTemplates {
    /// Of a key that demands nothing.
    pub const NONE: KeyTemplates = KeyTemplates { wrap: None, unwrap: None };
}

/// Names that may stand in a template or a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeName {
    /// `class`.
    Class,
    /// `key-type`.
    KeyType,
    /// `label`.
    Label,
    /// `id`.
    Id,
    /// `check-value`.
    CheckValue,
    /// `key-length-bytes`.
    KeyLengthBytes,
    /// `modulus`.
    Modulus,
    /// `modulus-size-bits`.
    ModulusSizeBits,
    /// `public-exponent`.
    PublicExponent,
    /// `ec-point`: accepted bare or as DER OCTET STRING.
    EcPoint,
    /// `curve`.
    Curve,
    /// `mldsa-algorithm`.
    MlDsaAlgorithm,
    /// `wrap-template`.
    WrapTemplate,
    /// `unwrap-template`.
    UnwrapTemplate,
    /// A boolean attribute.
    Flag(Flag),
}

impl Attributes {
    /// Whether class, type and public part can be those of one key.
    pub fn are_of_one_kind(&self) -> bool {
        match (self.class, &self.public) {
            (KeyClass::SecretKey, None) => {
                matches!(self.key_type, KeyType::Aes | KeyType::Des3 | KeyType::GenericSecret)
            }
            (KeyClass::PublicKey | KeyClass::PrivateKey, Some(public)) => self.key_type == public.key_type(),
            _ => false,
        }
    }
}

impl AttributeName {
    /// The command line tool's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            AttributeName::Class => "class",
            AttributeName::KeyType => "key-type",
            AttributeName::Label => "label",
            AttributeName::Id => "id",
            AttributeName::CheckValue => "check-value",
            AttributeName::KeyLengthBytes => "key-length-bytes",
            AttributeName::Modulus => "modulus",
            AttributeName::ModulusSizeBits => "modulus-size-bits",
            AttributeName::PublicExponent => "public-exponent",
            AttributeName::EcPoint => "ec-point",
            AttributeName::Curve => "curve",
            AttributeName::MlDsaAlgorithm => "mldsa-algorithm",
            AttributeName::WrapTemplate => "wrap-template",
            AttributeName::UnwrapTemplate => "unwrap-template",
            AttributeName::Flag(flag) => flag.as_str(),
        }
    }

    /// Whether the value is of the attribute's kind.
    pub fn takes(self, value: &AttributeValue) -> bool {
        match self {
            AttributeName::Class => matches!(value, AttributeValue::Class(_)),
            AttributeName::KeyType => matches!(value, AttributeValue::KeyType(_)),
            AttributeName::Label => matches!(value, AttributeValue::Text(_)),
            AttributeName::Id
            | AttributeName::CheckValue
            | AttributeName::Modulus
            | AttributeName::PublicExponent
            | AttributeName::EcPoint => matches!(value, AttributeValue::Bytes(_)),
            AttributeName::KeyLengthBytes | AttributeName::ModulusSizeBits => {
                matches!(value, AttributeValue::Number(_))
            }
            AttributeName::Curve => matches!(value, AttributeValue::Curve(_)),
            AttributeName::MlDsaAlgorithm => matches!(value, AttributeValue::MlDsaAlgorithm(_)),
            AttributeName::WrapTemplate | AttributeName::UnwrapTemplate => {
                matches!(value, AttributeValue::Template(_))
            }
            AttributeName::Flag(_) => matches!(value, AttributeValue::Bool(_)),
        }
    }

    /// The names whose values are templates: no command line has a spelling for such a value.
    pub const TEMPLATES: [AttributeName; 2] = [AttributeName::WrapTemplate, AttributeName::UnwrapTemplate];

    /// The names that are no flags and whose values can be written on a command line.
    pub const OTHERS: [AttributeName; 12] = [
        AttributeName::Class,
        AttributeName::KeyType,
        AttributeName::Label,
        AttributeName::Id,
        AttributeName::CheckValue,
        AttributeName::KeyLengthBytes,
        AttributeName::Modulus,
        AttributeName::ModulusSizeBits,
        AttributeName::PublicExponent,
        AttributeName::EcPoint,
        AttributeName::Curve,
        AttributeName::MlDsaAlgorithm,
    ];
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AttributeName {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<AttributeName, TemplateError> {
        let flags = Flag::ALL.iter().map(|flag| AttributeName::Flag(*flag));
        AttributeName::OTHERS
            .into_iter()
            .chain(flags)
            .chain(AttributeName::TEMPLATES)
            .find(|name| name.as_str() == text)
            .ok_or(TemplateError { expected: "the name of a key attribute, such as label, sign or extractable" })
    }
}

/// A value in a template or a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Of a flag.
    Bool(bool),
    /// Of `label`.
    Text(String),
    /// Of `id`, `check-value`, `modulus`, `public-exponent`, `ec-point`: bytes.
    Bytes(Vec<u8>),
    /// Of `key-length-bytes`, `modulus-size-bits`.
    Number(u32),
    /// Of `class`.
    Class(KeyClass),
    /// Of `key-type`.
    KeyType(KeyType),
    /// Of `curve`.
    Curve(Curve),
    /// Of `mldsa-algorithm`.
    MlDsaAlgorithm(MlDsaAlgorithm),
    /// Of `wrap-template` and `unwrap-template`; none of its attributes is a template again.
    Template(Template),
}

impl AttributeValue {
    /// Reads a value as it is written on a command line: `true`, `0x0a1b`, `32`, `my key`.
    pub fn parse(name: AttributeName, text: &str) -> Result<AttributeValue, TemplateError> {
        match name {
            AttributeName::Flag(_) => match text {
                "true" => Ok(AttributeValue::Bool(true)),
                "false" => Ok(AttributeValue::Bool(false)),
                _ => Err(TemplateError { expected: "true or false" }),
            },
            AttributeName::Label => Ok(AttributeValue::Text(text.to_owned())),
            AttributeName::Class => text.parse().map(AttributeValue::Class),
            AttributeName::KeyType => text.parse().map(AttributeValue::KeyType),
            AttributeName::Curve => text.parse().map(AttributeValue::Curve),
            AttributeName::MlDsaAlgorithm => text.parse().map(AttributeValue::MlDsaAlgorithm),
            AttributeName::KeyLengthBytes | AttributeName::ModulusSizeBits => {
                text.parse().map(AttributeValue::Number).map_err(|_| TemplateError { expected: "a whole number" })
            }
            AttributeName::Id
            | AttributeName::CheckValue
            | AttributeName::Modulus
            | AttributeName::PublicExponent
            | AttributeName::EcPoint => parse_hex(text).map(AttributeValue::Bytes),
            AttributeName::WrapTemplate | AttributeName::UnwrapTemplate => {
                Err(TemplateError { expected: "a template, which the PKCS #11 library sets and no command line can" })
            }
        }
    }
}

/// Reads `0x` and an even number of hexadecimal digits; `0x` alone is empty.
pub fn parse_hex(text: &str) -> Result<Vec<u8>, TemplateError> {
    let error = TemplateError { expected: "0x and an even number of hexadecimal digits" };
    let digits = text.strip_prefix("0x").ok_or(error)?;
    if digits.len() % 2 != 0 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(error);
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(error)).collect()
}

/// Attributes asked for at creation or search, as given: `core` decides which may stand together.
pub type Template = Vec<(AttributeName, AttributeValue)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for flag in Flag::ALL {
            assert_eq!(flag.as_str().parse(), Ok(AttributeName::Flag(*flag)));
        }
        for name in AttributeName::OTHERS.into_iter().chain(AttributeName::TEMPLATES) {
            assert_eq!(name.as_str().parse(), Ok(name));
        }
        assert!("Sign".parse::<AttributeName>().is_err());
    }

    #[test]
    fn flags_are_bits_of_their_number() {
        let flags = Flags::NONE.with(Flag::Sign, true).with(Flag::Wrap, true).with(Flag::Wrap, false);
        assert!(flags.has(Flag::Sign) && !flags.has(Flag::Wrap));
        assert_eq!(Flags::from_bits(flags.bits()), Some(flags));
        assert_eq!(Flags::from_bits(1 << 18), None);
        assert_eq!(Flags::from_bits(1 << 31), None);
    }

    #[test]
    fn values_are_read_by_their_attributes_kind() {
        let check = |name: AttributeName, text: &str, expected: Option<AttributeValue>| {
            assert_eq!(AttributeValue::parse(name, text).ok(), expected, "{name}={text}");
        };
        check(AttributeName::Flag(Flag::Sign), "true", Some(AttributeValue::Bool(true)));
        check(AttributeName::Flag(Flag::Sign), "yes", None);
        check(AttributeName::Id, "0x0aFF", Some(AttributeValue::Bytes(vec![10, 255])));
        check(AttributeName::Id, "0x", Some(AttributeValue::Bytes(vec![])));
        check(AttributeName::Id, "0x0", None);
        check(AttributeName::Id, "0xé", None);
        check(AttributeName::Id, "0a", None);
        check(AttributeName::Curve, "secp256r1", Some(AttributeValue::Curve(Curve::P256)));
        check(AttributeName::Curve, "ed25519", Some(AttributeValue::Curve(Curve::Ed25519)));
        let ml_dsa = Some(AttributeValue::MlDsaAlgorithm(MlDsaAlgorithm::MlDsa65));
        check(AttributeName::MlDsaAlgorithm, "ML-DSA-65", ml_dsa);
        check(AttributeName::MlDsaAlgorithm, "ml-dsa-65", None);
        check(AttributeName::KeyType, "des3", Some(AttributeValue::KeyType(KeyType::Des3)));
        check(AttributeName::KeyLengthBytes, "-1", None);
        check(AttributeName::Label, "", Some(AttributeValue::Text(String::new())));
        check(AttributeName::WrapTemplate, "", None);
        check(AttributeName::UnwrapTemplate, "sign=true", None);
    }
}

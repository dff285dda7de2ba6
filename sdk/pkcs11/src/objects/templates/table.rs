//! The attribute tables of the guide as data: what may stand in the template of which call for which kind of key, and what
//! can be read of which kind.
//!
//! Each row has a letter for each kind, in the order of [`Kind::ALL`]. `docs/reference/pkcs11.md` shows the same tables; a
//! test compares them.

use cryptoki_sys::*;
use strongroom_types::Flag;

use super::{Call, Kind};
use crate::vendor::CKA_CLOUDHSM_PARAMETER_SET;

/// An attribute of the standard, or our vendor's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    /// Which.
    pub(crate) kind: CK_ATTRIBUTE_TYPE,
    /// Its name without `CKA_`.
    pub(crate) name: &'static str,
    /// What its value is.
    pub(crate) shape: Shape,
}

/// What an attribute's value is, and which value says nothing that is not so anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A flag that the HSMs know.
    Flag(Flag),
    /// A boolean that no key here has: it says nothing when it has this value.
    Bool(bool),
    /// Bytes, text, a date, a list of mechanisms: it says nothing when it is empty.
    Bytes,
    /// A `CK_ULONG`.
    Number,
    /// Attributes. It says nothing when it is empty.
    Template,
}

macro_rules! attributes {
    ($($kind:ident $name:literal $shape:expr;)*) => {
        const ATTRIBUTES: &[Attribute] = &[$(Attribute { kind: $kind, name: $name, shape: $shape },)*];
    };
}

// Every attribute of PKCS #11 v2.40 that an object may have, those of hardware features and one-time passwords apart.
attributes! {
    CKA_CLASS "CLASS" Shape::Number;
    CKA_TOKEN "TOKEN" Shape::Flag(Flag::Token);
    CKA_PRIVATE "PRIVATE" Shape::Flag(Flag::Private);
    CKA_LABEL "LABEL" Shape::Bytes;
    CKA_APPLICATION "APPLICATION" Shape::Bytes;
    CKA_VALUE "VALUE" Shape::Bytes;
    CKA_OBJECT_ID "OBJECT_ID" Shape::Bytes;
    CKA_CERTIFICATE_TYPE "CERTIFICATE_TYPE" Shape::Number;
    CKA_ISSUER "ISSUER" Shape::Bytes;
    CKA_SERIAL_NUMBER "SERIAL_NUMBER" Shape::Bytes;
    CKA_AC_ISSUER "AC_ISSUER" Shape::Bytes;
    CKA_OWNER "OWNER" Shape::Bytes;
    CKA_ATTR_TYPES "ATTR_TYPES" Shape::Bytes;
    CKA_TRUSTED "TRUSTED" Shape::Flag(Flag::Trusted);
    CKA_CERTIFICATE_CATEGORY "CERTIFICATE_CATEGORY" Shape::Number;
    CKA_JAVA_MIDP_SECURITY_DOMAIN "JAVA_MIDP_SECURITY_DOMAIN" Shape::Number;
    CKA_URL "URL" Shape::Bytes;
    CKA_HASH_OF_SUBJECT_PUBLIC_KEY "HASH_OF_SUBJECT_PUBLIC_KEY" Shape::Bytes;
    CKA_HASH_OF_ISSUER_PUBLIC_KEY "HASH_OF_ISSUER_PUBLIC_KEY" Shape::Bytes;
    CKA_NAME_HASH_ALGORITHM "NAME_HASH_ALGORITHM" Shape::Number;
    CKA_CHECK_VALUE "CHECK_VALUE" Shape::Bytes;
    CKA_KEY_TYPE "KEY_TYPE" Shape::Number;
    CKA_SUBJECT "SUBJECT" Shape::Bytes;
    CKA_ID "ID" Shape::Bytes;
    CKA_SENSITIVE "SENSITIVE" Shape::Flag(Flag::Sensitive);
    CKA_ENCRYPT "ENCRYPT" Shape::Flag(Flag::Encrypt);
    CKA_DECRYPT "DECRYPT" Shape::Flag(Flag::Decrypt);
    CKA_WRAP "WRAP" Shape::Flag(Flag::Wrap);
    CKA_UNWRAP "UNWRAP" Shape::Flag(Flag::Unwrap);
    CKA_SIGN "SIGN" Shape::Flag(Flag::Sign);
    CKA_SIGN_RECOVER "SIGN_RECOVER" Shape::Bool(false);
    CKA_VERIFY "VERIFY" Shape::Flag(Flag::Verify);
    CKA_VERIFY_RECOVER "VERIFY_RECOVER" Shape::Bool(false);
    CKA_DERIVE "DERIVE" Shape::Flag(Flag::Derive);
    CKA_START_DATE "START_DATE" Shape::Bytes;
    CKA_END_DATE "END_DATE" Shape::Bytes;
    CKA_MODULUS "MODULUS" Shape::Bytes;
    CKA_MODULUS_BITS "MODULUS_BITS" Shape::Number;
    CKA_PUBLIC_EXPONENT "PUBLIC_EXPONENT" Shape::Bytes;
    CKA_PRIVATE_EXPONENT "PRIVATE_EXPONENT" Shape::Bytes;
    CKA_PRIME_1 "PRIME_1" Shape::Bytes;
    CKA_PRIME_2 "PRIME_2" Shape::Bytes;
    CKA_EXPONENT_1 "EXPONENT_1" Shape::Bytes;
    CKA_EXPONENT_2 "EXPONENT_2" Shape::Bytes;
    CKA_COEFFICIENT "COEFFICIENT" Shape::Bytes;
    CKA_PUBLIC_KEY_INFO "PUBLIC_KEY_INFO" Shape::Bytes;
    CKA_PRIME "PRIME" Shape::Bytes;
    CKA_SUBPRIME "SUBPRIME" Shape::Bytes;
    CKA_BASE "BASE" Shape::Bytes;
    CKA_PRIME_BITS "PRIME_BITS" Shape::Number;
    CKA_SUBPRIME_BITS "SUBPRIME_BITS" Shape::Number;
    CKA_VALUE_BITS "VALUE_BITS" Shape::Number;
    CKA_VALUE_LEN "VALUE_LEN" Shape::Number;
    CKA_EXTRACTABLE "EXTRACTABLE" Shape::Flag(Flag::Extractable);
    CKA_LOCAL "LOCAL" Shape::Flag(Flag::Local);
    CKA_NEVER_EXTRACTABLE "NEVER_EXTRACTABLE" Shape::Flag(Flag::NeverExtractable);
    CKA_ALWAYS_SENSITIVE "ALWAYS_SENSITIVE" Shape::Flag(Flag::AlwaysSensitive);
    CKA_KEY_GEN_MECHANISM "KEY_GEN_MECHANISM" Shape::Number;
    CKA_MODIFIABLE "MODIFIABLE" Shape::Flag(Flag::Modifiable);
    CKA_COPYABLE "COPYABLE" Shape::Bool(true);
    CKA_DESTROYABLE "DESTROYABLE" Shape::Flag(Flag::Destroyable);
    CKA_EC_PARAMS "EC_PARAMS" Shape::Bytes;
    CKA_EC_POINT "EC_POINT" Shape::Bytes;
    CKA_SECONDARY_AUTH "SECONDARY_AUTH" Shape::Bool(false);
    CKA_AUTH_PIN_FLAGS "AUTH_PIN_FLAGS" Shape::Number;
    CKA_ALWAYS_AUTHENTICATE "ALWAYS_AUTHENTICATE" Shape::Bool(false);
    CKA_WRAP_WITH_TRUSTED "WRAP_WITH_TRUSTED" Shape::Flag(Flag::WrapWithTrusted);
    CKA_WRAP_TEMPLATE "WRAP_TEMPLATE" Shape::Template;
    CKA_UNWRAP_TEMPLATE "UNWRAP_TEMPLATE" Shape::Template;
    CKA_DERIVE_TEMPLATE "DERIVE_TEMPLATE" Shape::Template;
    CKA_ALLOWED_MECHANISMS "ALLOWED_MECHANISMS" Shape::Bytes;
    CKA_CLOUDHSM_PARAMETER_SET "CLOUDHSM_PARAMETER_SET" Shape::Number;
}

/// The attribute of this number, if there is one.
pub(crate) fn attribute(kind: CK_ATTRIBUTE_TYPE) -> Option<Attribute> {
    ATTRIBUTES.iter().find(|attribute| attribute.kind == kind).copied()
}

/// Every attribute's number.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn kinds() -> Vec<CK_ATTRIBUTE_TYPE> {
    ATTRIBUTES.iter().map(|attribute| attribute.kind).collect()
}

/// The attribute of this flag.
pub(crate) fn of_flag(flag: Flag) -> Option<Attribute> {
    ATTRIBUTES.iter().find(|attribute| attribute.shape == Shape::Flag(flag)).copied()
}

/// Its name with `CKA_`, for messages; its number if it has none.
pub(crate) fn name_of(kind: CK_ATTRIBUTE_TYPE) -> String {
    attribute(kind).map_or_else(|| format!("attribute {kind:#x}"), |attribute| format!("CKA_{}", attribute.name))
}

/// What a call does with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// May be given.
    Given,
    /// Must be given.
    Mandatory,
    /// May be given, with its default.
    DefaultOnly,
    /// Is set by the HSM.
    ReadOnly,
    /// May not be given, but for a value that says nothing.
    Not,
}

impl Rule {
    fn of(letter: u8) -> Rule {
        match letter {
            b'y' => Rule::Given,
            b'm' => Rule::Mandatory,
            b'd' => Rule::DefaultOnly,
            b'r' => Rule::ReadOnly,
            _ => Rule::Not,
        }
    }
}

/// A row: the attribute, its default (T, F or none), a letter for each kind: `y` may be given, `m` must be, `d` with the default
/// only, `r` is read-only, `-` may not be given, `.` the call makes no such key.
type Row = (CK_ATTRIBUTE_TYPE, u8, &'static str);

/// `C_GenerateKeyPair`.
const PAIR: &[Row] = &[
    (CKA_CLASS, b' ', "yyyyyy..."),
    (CKA_KEY_TYPE, b' ', "yyyyyy..."),
    (CKA_LABEL, b' ', "yyyyyy..."),
    (CKA_ID, b' ', "yyyyyy..."),
    (CKA_LOCAL, b'T', "rrrrrr..."),
    (CKA_TOKEN, b'F', "yyyyyy..."),
    (CKA_PRIVATE, b'T', "dydydy..."),
    (CKA_ENCRYPT, b'F', "-y-y--..."),
    (CKA_DECRYPT, b'F', "y-y---..."),
    (CKA_DERIVE, b'F', "yyyy--..."),
    (CKA_MODIFIABLE, b'T', "yyyyyy..."),
    (CKA_DESTROYABLE, b'T', "yyyyyy..."),
    (CKA_SIGN, b'F', "y-y-y-..."),
    (CKA_VERIFY, b'F', "-y-y-y..."),
    (CKA_WRAP, b'F', "-y-y--..."),
    (CKA_WRAP_TEMPLATE, b' ', "-y-y--..."),
    (CKA_TRUSTED, b'F', "-y-y-y..."),
    (CKA_WRAP_WITH_TRUSTED, b'F', "y-y-y-..."),
    (CKA_UNWRAP, b'F', "y-y---..."),
    (CKA_UNWRAP_TEMPLATE, b' ', "y-y---..."),
    (CKA_SENSITIVE, b'T', "d-d-y-..."),
    (CKA_ALWAYS_SENSITIVE, b' ', "r-r---..."),
    (CKA_NEVER_EXTRACTABLE, b' ', "r-r---..."),
    (CKA_EXTRACTABLE, b'T', "y-y-y-..."),
    (CKA_MODULUS_BITS, b' ', "---m--..."),
    (CKA_PUBLIC_EXPONENT, b' ', "---m--..."),
    (CKA_EC_PARAMS, b' ', "-m----..."),
    (CKA_CHECK_VALUE, b' ', "rrrr--..."),
    (CKA_CLOUDHSM_PARAMETER_SET, b' ', "----yy..."),
];

/// `C_GenerateKey`.
const SECRET: &[Row] = &[
    (CKA_CLASS, b' ', "......yyy"),
    (CKA_KEY_TYPE, b' ', "......yyy"),
    (CKA_LABEL, b' ', "......yyy"),
    (CKA_ID, b' ', "......yyy"),
    (CKA_LOCAL, b'T', "......rrr"),
    (CKA_TOKEN, b'F', "......yyy"),
    (CKA_PRIVATE, b'T', "......ddd"),
    (CKA_ENCRYPT, b'F', "......yy-"),
    (CKA_DECRYPT, b'F', "......yy-"),
    (CKA_WRAP, b'F', "......yy-"),
    (CKA_UNWRAP, b'F', "......yy-"),
    (CKA_DERIVE, b'F', "......yyy"),
    (CKA_MODIFIABLE, b'T', "......yyy"),
    (CKA_DESTROYABLE, b'T', "......yyy"),
    (CKA_SIGN, b'T', "......yyy"),
    (CKA_VERIFY, b'T', "......yyy"),
    (CKA_WRAP_TEMPLATE, b' ', "......yy-"),
    (CKA_UNWRAP_TEMPLATE, b' ', "......yy-"),
    (CKA_TRUSTED, b'F', "......yy-"),
    (CKA_WRAP_WITH_TRUSTED, b'F', "......yyy"),
    (CKA_SENSITIVE, b'T', "......yyy"),
    (CKA_EXTRACTABLE, b'T', "......yyy"),
    (CKA_NEVER_EXTRACTABLE, b' ', "......rrr"),
    (CKA_VALUE_LEN, b' ', "......m-m"),
    (CKA_CHECK_VALUE, b' ', "......rrr"),
];

/// `C_DeriveKey`.
const DERIVE: &[Row] = &[
    (CKA_CLASS, b' ', "......mmm"),
    (CKA_KEY_TYPE, b' ', "......mmm"),
    (CKA_LABEL, b' ', "......yyy"),
    (CKA_ID, b' ', "......yyy"),
    (CKA_LOCAL, b'T', "......rrr"),
    (CKA_TOKEN, b'F', "......yyy"),
    (CKA_PRIVATE, b'T', "......ddd"),
    (CKA_ENCRYPT, b'F', "......yy-"),
    (CKA_DECRYPT, b'F', "......yy-"),
    (CKA_WRAP, b'F', "......yy-"),
    (CKA_UNWRAP, b'F', "......yy-"),
    (CKA_DERIVE, b'F', "......yyy"),
    (CKA_MODIFIABLE, b'T', "......yyy"),
    (CKA_DESTROYABLE, b'T', "......yyy"),
    (CKA_SIGN, b'F', "......yyy"),
    (CKA_VERIFY, b'F', "......yyy"),
    (CKA_SENSITIVE, b'T', "......ddd"),
    (CKA_EXTRACTABLE, b'T', "......yyy"),
    (CKA_ALWAYS_SENSITIVE, b' ', "......rrr"),
    (CKA_NEVER_EXTRACTABLE, b' ', "......rrr"),
    (CKA_VALUE_LEN, b' ', "......m-m"),
    (CKA_CHECK_VALUE, b' ', "......rrr"),
];

/// `C_UnwrapKey`.
const UNWRAP: &[Row] = &[
    (CKA_CLASS, b' ', "m.m...mmm"),
    (CKA_KEY_TYPE, b' ', "m.m...mmm"),
    (CKA_LABEL, b' ', "y.y...yyy"),
    (CKA_ID, b' ', "y.y...yyy"),
    (CKA_TOKEN, b'F', "y.y...yyy"),
    (CKA_LOCAL, b'F', "r.r...rrr"),
    (CKA_PRIVATE, b'T', "d.d...ddd"),
    (CKA_ENCRYPT, b'F', "-.-...yy-"),
    (CKA_WRAP, b'F', "-.-...yy-"),
    (CKA_DECRYPT, b'F', "-.y...yy-"),
    (CKA_UNWRAP, b'F', "-.y...yy-"),
    (CKA_DERIVE, b'F', "y.y...yyy"),
    (CKA_SIGN, b'F', "y.y...yyy"),
    (CKA_VERIFY, b'F', "-.-...yyy"),
    (CKA_MODIFIABLE, b'T', "y.y...yyy"),
    (CKA_DESTROYABLE, b'T', "y.y...yyy"),
    (CKA_SENSITIVE, b'T', "y.y...yyy"),
    (CKA_EXTRACTABLE, b'T', "y.y...yyy"),
    (CKA_ALWAYS_SENSITIVE, b' ', "r.r...rrr"),
    (CKA_NEVER_EXTRACTABLE, b' ', "r.r...rrr"),
    (CKA_CHECK_VALUE, b' ', "r.r...rrr"),
];

/// `C_CreateObject`.
const CREATE: &[Row] = &[
    (CKA_CLASS, b' ', "mmmm..mmm"),
    (CKA_KEY_TYPE, b' ', "mmmm..mmm"),
    (CKA_LABEL, b' ', "yyyy..yyy"),
    (CKA_ID, b' ', "yyyy..yyy"),
    (CKA_LOCAL, b'F', "rrrr..rrr"),
    (CKA_TOKEN, b'F', "yyyy..yyy"),
    (CKA_PRIVATE, b'T', "dydy..ddd"),
    (CKA_ENCRYPT, b'F', "---y..yy-"),
    (CKA_DECRYPT, b'F', "--y-..yy-"),
    (CKA_DERIVE, b'F', "yyyy..yyy"),
    (CKA_MODIFIABLE, b'T', "yyyy..yyy"),
    (CKA_DESTROYABLE, b'T', "yyyy..yyy"),
    (CKA_SIGN, b'F', "y-y-..yyy"),
    (CKA_VERIFY, b'F', "-y-y..yyy"),
    (CKA_WRAP, b'F', "---y..yy-"),
    (CKA_UNWRAP, b'F', "--y-..yy-"),
    (CKA_WRAP_TEMPLATE, b' ', "-y-y..yy-"),
    (CKA_UNWRAP_TEMPLATE, b' ', "y-y-..yy-"),
    (CKA_TRUSTED, b'F', "-y-y..yy-"),
    (CKA_WRAP_WITH_TRUSTED, b'F', "y-y-..yyy"),
    (CKA_SENSITIVE, b'T', "y-y-..yyy"),
    (CKA_EXTRACTABLE, b'T', "y-y-..yyy"),
    (CKA_ALWAYS_SENSITIVE, b' ', "r-r-..rrr"),
    (CKA_NEVER_EXTRACTABLE, b' ', "r-r-..rrr"),
    (CKA_MODULUS, b' ', "--mm..---"),
    (CKA_PUBLIC_EXPONENT, b' ', "--mm..---"),
    (CKA_PRIVATE_EXPONENT, b' ', "--m-..---"),
    (CKA_PRIME_1, b' ', "--y-..---"),
    (CKA_PRIME_2, b' ', "--y-..---"),
    (CKA_EXPONENT_1, b' ', "--y-..---"),
    (CKA_EXPONENT_2, b' ', "--y-..---"),
    (CKA_COEFFICIENT, b' ', "--y-..---"),
    (CKA_EC_PARAMS, b' ', "mm--..---"),
    (CKA_EC_POINT, b' ', "-m--..---"),
    (CKA_VALUE, b' ', "m---..mmm"),
    (CKA_CHECK_VALUE, b' ', "rrrr..rrr"),
];

fn rows(call: Call) -> &'static [Row] {
    match call {
        Call::Create => CREATE,
        Call::Derive | Call::DeriveOpen => DERIVE,
        Call::GenerateKey => SECRET,
        Call::GenerateKeyPair => PAIR,
        Call::Unwrap => UNWRAP,
    }
}

/// Whether the call makes keys of this kind.
pub(crate) fn makes(call: Call, kind: Kind) -> bool {
    letter(rows(call), CKA_CLASS, kind) != b'.'
}

/// What the call does with the attribute of a key of this kind, and the attribute's default.
pub(crate) fn rule(call: Call, kind: Kind, attribute: CK_ATTRIBUTE_TYPE) -> (Rule, Option<bool>) {
    let default = match rows(call).iter().find(|row| row.0 == attribute) {
        Some((_, b'T', _)) => Some(true),
        Some((_, b'F', _)) => Some(false),
        _ => None,
    };
    match (call, attribute) {
        (Call::DeriveOpen, CKA_SENSITIVE) => (Rule::Given, default),
        _ => (Rule::of(letter(rows(call), attribute, kind)), default),
    }
}

/// Attributes for which the call has a rule.
pub(crate) fn ruled(call: Call) -> impl Iterator<Item = CK_ATTRIBUTE_TYPE> {
    rows(call).iter().map(|row| row.0)
}

/// How much of an attribute can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    /// Always.
    Yes,
    /// While the key is not sensitive.
    Value,
    /// Never: it is a secret.
    Never,
    /// The key has no such attribute.
    No,
}

/// `C_GetAttributeValue`: `y` readable, `v` readable while the key is not sensitive, `s` sensitive, `-` not an attribute of it.
const READ: &[(CK_ATTRIBUTE_TYPE, &str)] = &[
    (CKA_CLASS, "yyyyyyyyy"),
    (CKA_KEY_TYPE, "yyyyyyyyy"),
    (CKA_LABEL, "yyyyyyyyy"),
    (CKA_ID, "yyyyyyyyy"),
    (CKA_LOCAL, "yyyyyyyyy"),
    (CKA_TOKEN, "yyyyyyyyy"),
    (CKA_PRIVATE, "yyyyyyyyy"),
    (CKA_MODIFIABLE, "yyyyyyyyy"),
    (CKA_DESTROYABLE, "yyyyyyyyy"),
    (CKA_ENCRYPT, "---y--yy-"),
    (CKA_WRAP, "---y--yy-"),
    (CKA_DECRYPT, "--y---yy-"),
    (CKA_UNWRAP, "--y---yy-"),
    (CKA_DERIVE, "yyyy--yyy"),
    (CKA_SIGN, "y-y-y-yyy"),
    (CKA_VERIFY, "-y-y-yyyy"),
    (CKA_SIGN_RECOVER, "--y------"),
    (CKA_VERIFY_RECOVER, "---y-----"),
    (CKA_WRAP_TEMPLATE, "-y-y--yy-"),
    (CKA_UNWRAP_TEMPLATE, "y-y---yy-"),
    (CKA_TRUSTED, "-y-y-yyyy"),
    (CKA_WRAP_WITH_TRUSTED, "y-y-y-yyy"),
    (CKA_SENSITIVE, "y-y-y-yyy"),
    (CKA_EXTRACTABLE, "y-y-y-yyy"),
    (CKA_NEVER_EXTRACTABLE, "y-y-y-yyy"),
    (CKA_ALWAYS_SENSITIVE, "yyyyyyyyy"),
    (CKA_MODULUS, "--yy-----"),
    (CKA_PUBLIC_EXPONENT, "--yy-----"),
    (CKA_MODULUS_BITS, "---y-----"),
    (CKA_PRIVATE_EXPONENT, "--s------"),
    (CKA_PRIME_1, "--s------"),
    (CKA_PRIME_2, "--s------"),
    (CKA_EXPONENT_1, "--s------"),
    (CKA_EXPONENT_2, "--s------"),
    (CKA_COEFFICIENT, "--s------"),
    (CKA_EC_PARAMS, "yy-------"),
    (CKA_EC_POINT, "-y-------"),
    (CKA_VALUE, "s---syvvv"),
    (CKA_VALUE_LEN, "------y-y"),
    (CKA_CHECK_VALUE, "yyyy--yy-"),
    (CKA_CLOUDHSM_PARAMETER_SET, "----yy---"),
];

/// How much of the attribute can be read of a key of this kind.
pub(crate) fn readable(kind: Kind, attribute: CK_ATTRIBUTE_TYPE) -> Readable {
    let row = READ.iter().find(|row| row.0 == attribute);
    match row.and_then(|row| row.1.as_bytes().get(kind.column())) {
        Some(b'y') => Readable::Yes,
        Some(b'v') => Readable::Value,
        Some(b's') => Readable::Never,
        _ => Readable::No,
    }
}

fn letter(rows: &[Row], attribute: CK_ATTRIBUTE_TYPE, kind: Kind) -> u8 {
    let row = rows.iter().find(|row| row.0 == attribute);
    row.and_then(|row| row.2.as_bytes().get(kind.column())).copied().unwrap_or(b'-')
}

#[cfg(test)]
pub(in crate::objects) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_row_has_a_letter_for_each_kind_and_no_attribute_stands_twice() {
        let calls = [Call::Create, Call::Derive, Call::GenerateKey, Call::GenerateKeyPair, Call::Unwrap];
        for call in calls {
            let mut seen = Vec::new();
            for (kind, default, letters) in rows(call) {
                assert!(attribute(*kind).is_some() && !seen.contains(kind), "{call:?} {kind:#x}");
                seen.push(*kind);
                assert_eq!(letters.len(), Kind::ALL.len(), "{call:?} {kind:#x}");
                assert!(matches!(default, b'T' | b'F' | b' '), "{call:?} {kind:#x}");
                for (letter, key) in letters.bytes().zip(Kind::ALL) {
                    assert_eq!(letter == b'.', !makes(call, key), "{call:?} {kind:#x} {key:?}");
                    assert!(b"ymdr-.".contains(&letter), "{call:?} {kind:#x} {key:?}");
                    assert!(letter != b'd' || *default != b' ', "{call:?} {kind:#x}: which default?");
                }
            }
        }
        for (kind, letters) in READ {
            assert!(attribute(*kind).is_some() && letters.len() == Kind::ALL.len(), "{kind:#x}");
            assert!(letters.bytes().all(|letter| b"yvs-".contains(&letter)), "{kind:#x}");
        }
        let mut kinds: Vec<_> = ATTRIBUTES.iter().map(|attribute| attribute.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), ATTRIBUTES.len());
    }

    /// Tables of the page, by their heading: for each attribute its default and the words of its cells, by the columns' names.
    pub(in crate::objects) fn page() -> BTreeMap<&'static str, BTreeMap<(&'static str, &'static str), &'static str>> {
        let text = include_str!("../../../../../docs/reference/pkcs11.md");
        let mut tables = BTreeMap::new();
        for section in text.split("\n### ").skip(1) {
            let (heading, body) = section.split_once('\n').unwrap();
            let body = body.split("\n## ").next().unwrap();
            let mut lines = body.lines().filter(|line| line.starts_with('|'));
            let Some(header) = lines.next().filter(|header| header.starts_with("| Attribute |")) else { continue };
            let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
            let columns = cells(header);
            let mut table = BTreeMap::new();
            for line in lines.skip(1) {
                let row = cells(line);
                assert_eq!(row.len(), columns.len(), "{heading}: {line}");
                for (column, cell) in columns.iter().zip(&row).skip(1) {
                    for name in row[0].split(", ") {
                        assert!(table.insert((name, *column), *cell).is_none(), "{heading}: {name} twice");
                    }
                }
            }
            tables.insert(heading.trim(), table);
        }
        tables
    }

    #[test]
    fn the_reference_shows_these_tables() {
        let page = page();
        let word = |letter: u8| match letter {
            b'y' => "may",
            b'm' => "must",
            b'd' => "default",
            b'r' => "read-only",
            _ => "–",
        };
        let tables = [
            ("`C_GenerateKeyPair`", Call::GenerateKeyPair),
            ("`C_GenerateKey`", Call::GenerateKey),
            ("`C_DeriveKey`", Call::Derive),
            ("`C_UnwrapKey`", Call::Unwrap),
            ("`C_CreateObject`", Call::Create),
        ];
        for (heading, call) in tables {
            let mut expected = BTreeMap::new();
            for (kind, default, letters) in rows(call) {
                let name = attribute(*kind).unwrap().name;
                let default = if *default == b'T' {
                    "true"
                } else if *default == b'F' {
                    "false"
                } else {
                    ""
                };
                expected.insert((name, "Default"), default);
                for (letter, key) in letters.bytes().zip(Kind::ALL).filter(|(letter, _)| *letter != b'.') {
                    expected.insert((name, key.name()), word(letter));
                }
            }
            assert_eq!(page.get(heading), Some(&expected), "{heading}");
        }
        let mut expected = BTreeMap::new();
        for (kind, letters) in READ {
            for (letter, key) in letters.bytes().zip(Kind::ALL) {
                let word = match letter {
                    b'y' => "yes",
                    b'v' => "unless sensitive",
                    b's' => "sensitive",
                    _ => "–",
                };
                expected.insert((attribute(*kind).unwrap().name, key.name()), word);
            }
        }
        assert_eq!(page.get("`C_GetAttributeValue`"), Some(&expected));
    }
}

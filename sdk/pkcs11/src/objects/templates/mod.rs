//! Templates: what callers ask of a new key, read against the tables of the guide, and turned into the template that the HSM is
//! given. Pure.
//!
//! * Defaults are this library's: every flag that a key of the kind has goes to the HSM, the caller's or the table's.
//! * An attribute that a key of the kind can't have is refused, unless its value says nothing (a flag that is false, bytes that
//!   are none): programs fill in such attributes for every kind of key alike.
//! * The same attribute twice is as once, if its values are the same (PKCS #11 v2.40 §4.1.1).

mod table;
pub(crate) mod values;

use cryptoki_sys::*;
use strongroom_types::limits::TEMPLATE_LEN_MAX;
use strongroom_types::{AttributeName, AttributeValue, Attributes, Flag, KeyClass, KeyType, Secret, Template};

use crate::attribute::{Given, Value};
use crate::failure::Failure;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use table::kinds;
#[cfg(test)]
pub(super) use table::tests::page;
pub(crate) use table::{Readable, Shape, attribute, makes, name_of, of_flag, readable};
use table::{Rule, rule, ruled};
use values::{inconsistent, invalid};

/// Kinds of keys, in the order of the tables' columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// EC, private.
    EcPrivate,
    /// EC, public.
    EcPublic,
    /// RSA, private.
    RsaPrivate,
    /// RSA, public.
    RsaPublic,
    /// ML-DSA, private.
    MlDsaPrivate,
    /// ML-DSA, public.
    MlDsaPublic,
    /// AES.
    Aes,
    /// 3DES.
    Des3,
    /// Generic secret.
    Generic,
}

impl Kind {
    /// All of them, in order.
    pub(crate) const ALL: [Kind; 9] = [
        Kind::EcPrivate,
        Kind::EcPublic,
        Kind::RsaPrivate,
        Kind::RsaPublic,
        Kind::MlDsaPrivate,
        Kind::MlDsaPublic,
        Kind::Aes,
        Kind::Des3,
        Kind::Generic,
    ];

    /// The number of its column.
    fn column(self) -> usize {
        self as usize
    }

    /// The heading of its column.
    #[cfg(test)]
    fn name(self) -> &'static str {
        match self {
            Kind::EcPrivate => "EC private",
            Kind::EcPublic => "EC public",
            Kind::RsaPrivate => "RSA private",
            Kind::RsaPublic => "RSA public",
            Kind::MlDsaPrivate => "ML-DSA private",
            Kind::MlDsaPublic => "ML-DSA public",
            Kind::Aes => "AES",
            Kind::Des3 => "3DES",
            Kind::Generic => "Generic",
        }
    }

    /// Its class.
    pub(crate) fn class(self) -> KeyClass {
        match self {
            Kind::EcPrivate | Kind::RsaPrivate | Kind::MlDsaPrivate => KeyClass::PrivateKey,
            Kind::EcPublic | Kind::RsaPublic | Kind::MlDsaPublic => KeyClass::PublicKey,
            Kind::Aes | Kind::Des3 | Kind::Generic => KeyClass::SecretKey,
        }
    }

    /// Its type.
    pub(crate) fn key_type(self) -> KeyType {
        match self {
            Kind::EcPrivate | Kind::EcPublic => KeyType::Ec,
            Kind::RsaPrivate | Kind::RsaPublic => KeyType::Rsa,
            Kind::MlDsaPrivate | Kind::MlDsaPublic => KeyType::MlDsa,
            Kind::Aes => KeyType::Aes,
            Kind::Des3 => KeyType::Des3,
            Kind::Generic => KeyType::GenericSecret,
        }
    }
}

/// Calls that make a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `C_CreateObject`.
    Create,
    /// `C_DeriveKey`.
    Derive,
    /// `C_DeriveKey` with `CKD_NULL`, which gives the shared secret itself to programs that ask for it.
    DeriveOpen,
    /// `C_GenerateKey`.
    GenerateKey,
    /// `C_GenerateKeyPair`.
    GenerateKeyPair,
    /// `C_UnwrapKey`.
    Unwrap,
}

/// A template that was read.
pub(crate) struct Wanted<'a> {
    /// What the HSM is told of what the caller named.
    pub(crate) named: Template,
    /// What holds of all that the caller did not name.
    pub(crate) defaults: Template,
    given: &'a [Given],
}

impl<'a> Wanted<'a> {
    /// Everything, where nobody asks who said it.
    pub(crate) fn into_template(self) -> Template {
        [self.named, self.defaults].concat()
    }

    /// The bytes of a parameter or of key material, when given.
    pub(crate) fn bytes(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&'a Secret> {
        bytes_of(self.given, kind)
    }

    /// The bytes of something that the table makes mandatory.
    pub(crate) fn needed(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<&'a Secret, Failure> {
        self.bytes(kind).ok_or(incomplete(kind))
    }

    /// A number, when given.
    pub(crate) fn small_number(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<u32>, Failure> {
        self.bytes(kind).map(|bytes| values::small_number(kind, bytes.expose())).transpose()
    }
}

/// Reads the template of a call that makes a key of this kind.
pub(crate) fn read<'a>(call: Call, kind: Kind, given: &'a [Given]) -> Result<Wanted<'a>, Failure> {
    if !makes(call, kind) {
        return Err(inconsistent(CKA_KEY_TYPE, "the call makes no keys of this class and type"));
    }
    let mut wanted = Wanted { named: Template::new(), defaults: Template::new(), given };
    check_length(given)?;
    for (at, one) in given.iter().enumerate() {
        if !is_repeated(given, at)? {
            read_one(call, kind, one, &mut wanted.named)?;
        }
    }
    for attribute in ruled(call) {
        let (rule, default) = rule(call, kind, attribute);
        let is_given = given.iter().any(|one| one.kind == attribute);
        match (rule, default, shape(attribute)) {
            (Rule::Mandatory, _, _) if !is_given => return Err(incomplete(attribute)),
            // Nobody but an admin sets it, and so nobody needs to be told that it is false.
            (_, _, Some(Shape::Flag(Flag::Trusted))) => {}
            (Rule::Given | Rule::DefaultOnly, Some(default), Some(Shape::Flag(flag))) if !is_given => {
                wanted.defaults.push((AttributeName::Flag(flag), AttributeValue::Bool(default)));
            }
            _ => {}
        }
    }
    Ok(wanted)
}

fn read_one(call: Call, kind: Kind, given: &Given, named: &mut Template) -> Result<(), Failure> {
    let Some(attribute) = attribute(given.kind) else { return Err(unknown(given.kind)) };
    let (rule, default) = rule(call, kind, given.kind);
    match rule {
        Rule::ReadOnly => return Err(read_only(given.kind)),
        Rule::Not if says_nothing(attribute.shape, given) || is_left_out(call, kind, given.kind) => return Ok(()),
        Rule::Not => return Err(inconsistent(given.kind, "the call takes no such attribute for a key of this kind")),
        Rule::Given | Rule::Mandatory | Rule::DefaultOnly => {}
    }
    match given.kind {
        CKA_CLASS if class_of(given)? != Some(kind.class()) => {
            return Err(inconsistent(CKA_CLASS, "the call makes a key of another class"));
        }
        CKA_KEY_TYPE if key_type_of(given)? != Some(kind.key_type()) => {
            return Err(inconsistent(CKA_KEY_TYPE, "the call makes a key of another type"));
        }
        CKA_CLASS | CKA_KEY_TYPE => return Ok(()),
        _ => {}
    }
    let Some((name, value)) = translate(given)? else { return Ok(()) };
    match (&name, &value) {
        (AttributeName::Flag(Flag::Trusted), AttributeValue::Bool(true)) => {
            return Err(Failure::Attribute {
                rv: CKR_ATTRIBUTE_READ_ONLY,
                attribute: CKA_TRUSTED,
                why: "only an admin marks a key as trusted, with key set-attribute of cloudhsm-cli",
            });
        }
        (AttributeName::Flag(Flag::Trusted), _) => return Ok(()),
        (_, AttributeValue::Bool(value)) if rule == Rule::DefaultOnly && Some(*value) != default => {
            return Err(invalid(given.kind, "the attribute may be given with its default only"));
        }
        _ => {}
    }
    named.push((name, value));
    Ok(())
}

/// Programs that want a shared secret ask for every usage of it, which a generic secret does not have.
fn is_left_out(call: Call, kind: Kind, attribute: CK_ATTRIBUTE_TYPE) -> bool {
    let is_usage = matches!(attribute, CKA_ENCRYPT | CKA_DECRYPT | CKA_WRAP | CKA_UNWRAP);
    call == Call::DeriveOpen && kind == Kind::Generic && is_usage
}

/// What the HSMs call an attribute that is one of theirs, and its value; none of parameters and key material.
pub(crate) fn translate(given: &Given) -> Result<Option<(AttributeName, AttributeValue)>, Failure> {
    let bytes = || bytes(given);
    let translated = match (given.kind, shape(given.kind)) {
        (CKA_LABEL, _) => (AttributeName::Label, AttributeValue::Text(values::text(CKA_LABEL, bytes()?)?)),
        (CKA_ID, _) => (AttributeName::Id, AttributeValue::Bytes(bytes()?.to_vec())),
        (CKA_WRAP_TEMPLATE, _) => (AttributeName::WrapTemplate, AttributeValue::Template(inner(given)?)),
        (CKA_UNWRAP_TEMPLATE, _) => (AttributeName::UnwrapTemplate, AttributeValue::Template(inner(given)?)),
        (kind, Some(Shape::Flag(flag))) => {
            (AttributeName::Flag(flag), AttributeValue::Bool(values::boolean(kind, bytes()?)?))
        }
        _ => return Ok(None),
    };
    Ok(Some(translated))
}

/// A template within a template.
fn inner(given: &Given) -> Result<Template, Failure> {
    let entries = match &given.value {
        Value::Template(entries) => entries,
        Value::Bytes(bytes) if bytes.is_empty() => return Ok(Template::new()),
        Value::Bytes(_) => return Err(invalid(given.kind, "the value is a list of attributes")),
    };
    check_length(entries)?;
    let mut template = Template::new();
    for (at, entry) in entries.iter().enumerate() {
        if is_repeated(entries, at)? {
            continue;
        }
        template.push(inner_entry(entry)?);
    }
    Ok(template)
}

fn inner_entry(entry: &Given) -> Result<(AttributeName, AttributeValue), Failure> {
    let refused = || inconsistent(entry.kind, "the attribute has no place in a template within a template");
    match entry.kind {
        CKA_CLASS => Ok((AttributeName::Class, AttributeValue::Class(class_of(entry)?.ok_or_else(refused)?))),
        CKA_KEY_TYPE => Ok((AttributeName::KeyType, AttributeValue::KeyType(key_type_of(entry)?.ok_or_else(refused)?))),
        CKA_WRAP_TEMPLATE | CKA_UNWRAP_TEMPLATE => Err(refused()),
        kind if attribute(kind).is_none() => Err(unknown(kind)),
        _ => translate(entry)?.ok_or_else(refused),
    }
}

/// The kind of key that a template names by class and type.
pub(crate) fn kind_of(given: &[Given]) -> Result<Kind, Failure> {
    let find = |kind| given.iter().find(|one| one.kind == kind).ok_or(incomplete(kind));
    let (class, key_type) = (find(CKA_CLASS)?, find(CKA_KEY_TYPE)?);
    let unsupported = "the HSMs have no keys of this class and type";
    let class = class_of(class)?.ok_or(inconsistent(CKA_CLASS, unsupported))?;
    let key_type = key_type_of(key_type)?.ok_or(inconsistent(CKA_KEY_TYPE, unsupported))?;
    Kind::of(class, key_type).ok_or(inconsistent(CKA_KEY_TYPE, unsupported))
}

/// Whether an attribute is the class or the type that a key has.
pub(crate) fn says(given: &Given, key: &Attributes) -> Result<bool, Failure> {
    match given.kind {
        CKA_CLASS => Ok(class_of(given)? == Some(key.class)),
        CKA_KEY_TYPE => Ok(key_type_of(given)? == Some(key.key_type)),
        _ => Ok(false),
    }
}

/// The class that a template names, whatever it is.
pub(crate) fn class_number(given: &[Given]) -> Result<Option<CK_OBJECT_CLASS>, Failure> {
    bytes_of(given, CKA_CLASS).map(|bytes| values::number(CKA_CLASS, bytes.expose())).transpose()
}

/// Whether a template says that its key is one of an Edwards curve, and of none else.
pub(crate) fn is_edwards(given: &[Given]) -> Result<bool, Failure> {
    let number = bytes_of(given, CKA_KEY_TYPE).map(|bytes| values::number(CKA_KEY_TYPE, bytes.expose())).transpose()?;
    Ok(number == Some(CKK_EC_EDWARDS))
}

/// Whether the attribute stood in the template before with the same value; two values contradict each other.
pub(crate) fn is_repeated(given: &[Given], at: usize) -> Result<bool, Failure> {
    let (before, rest) = given.split_at(at.min(given.len()));
    let Some(one) = rest.first() else { return Ok(false) };
    match before.iter().find(|other| other.kind == one.kind) {
        None => Ok(false),
        Some(other) if other.value == one.value => Ok(true),
        Some(_) => Err(inconsistent(one.kind, "the template has two values of the attribute")),
    }
}

pub(crate) fn check_length(given: &[Given]) -> Result<(), Failure> {
    let why = "the template has too many attributes";
    if given.len() <= TEMPLATE_LEN_MAX { Ok(()) } else { Err(Failure::Call { rv: CKR_TEMPLATE_INCONSISTENT, why }) }
}

/// The bytes of an attribute; none of a template in it.
pub(crate) fn bytes(given: &Given) -> Result<&[u8], Failure> {
    match &given.value {
        Value::Bytes(bytes) => Ok(bytes.expose()),
        Value::Template(_) => Err(invalid(given.kind, "the value is no list of attributes")),
    }
}

fn bytes_of(given: &[Given], kind: CK_ATTRIBUTE_TYPE) -> Option<&Secret> {
    given.iter().filter(|one| one.kind == kind).find_map(|one| match &one.value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Template(_) => None,
    })
}

fn class_of(given: &Given) -> Result<Option<KeyClass>, Failure> {
    values::number(CKA_CLASS, bytes(given)?).map(values::class)
}

fn key_type_of(given: &Given) -> Result<Option<KeyType>, Failure> {
    values::number(CKA_KEY_TYPE, bytes(given)?).map(values::key_type)
}

fn shape(kind: CK_ATTRIBUTE_TYPE) -> Option<Shape> {
    attribute(kind).map(|attribute| attribute.shape)
}

/// Whether the value says no more than that the key is one of its kind.
pub(crate) fn says_nothing(shape: Shape, given: &Given) -> bool {
    match (shape, &given.value) {
        (
            Shape::Flag(
                Flag::Token
                | Flag::Private
                | Flag::Modifiable
                | Flag::Destroyable
                | Flag::Extractable
                | Flag::Local
                | Flag::AlwaysSensitive
                | Flag::NeverExtractable,
            ),
            _,
        )
        | (Shape::Number, _) => false,
        (Shape::Flag(_), Value::Bytes(bytes)) => matches!(values::boolean(given.kind, bytes.expose()), Ok(false)),
        (Shape::Bool(idle), Value::Bytes(bytes)) => {
            values::boolean(given.kind, bytes.expose()).is_ok_and(|value| value == idle)
        }
        (Shape::Bytes | Shape::Template, Value::Bytes(bytes)) => bytes.is_empty(),
        (_, Value::Template(entries)) => shape == Shape::Template && entries.is_empty(),
    }
}

pub(crate) fn incomplete(attribute: CK_ATTRIBUTE_TYPE) -> Failure {
    let why = "the template lacks an attribute that it must have";
    Failure::Attribute { rv: CKR_TEMPLATE_INCOMPLETE, attribute, why }
}

pub(crate) fn read_only(attribute: CK_ATTRIBUTE_TYPE) -> Failure {
    Failure::Attribute { rv: CKR_ATTRIBUTE_READ_ONLY, attribute, why: "the attribute is the HSM's to set" }
}

/// The attribute is none of the standard's.
pub(crate) fn unknown(attribute: CK_ATTRIBUTE_TYPE) -> Failure {
    Failure::Attribute { rv: CKR_ATTRIBUTE_TYPE_INVALID, attribute, why: "there is no such attribute" }
}

#[cfg(test)]
mod tests;

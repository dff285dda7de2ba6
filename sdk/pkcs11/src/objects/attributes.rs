//! `C_GetAttributeValue` and `C_SetAttributeValue`.

use std::sync::Arc;

use cryptoki_sys::*;
use strongroom_client::{ClientError, KeyInfo};
use strongroom_types::{AttributeName, AttributeValue, Attributes, Family, Flag, PublicPart, Secret, Status, Template};

use super::generate::is_token as is_token_template;
use super::templates::{self, Kind, Readable, Shape, attribute, readable, values};
use super::{Entry, Key, Object};
use crate::attribute::Given;
use crate::failure::Failure;
use crate::session::Session;
use crate::vendor::CKA_CLOUDHSM_PARAMETER_SET;

/// What one attribute of an object is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The object has no such attribute.
    None,
    /// Its value is a secret.
    Sensitive,
    /// The attributes of a template within an object.
    Template(Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>),
    /// Its value.
    Value(Secret),
}

impl Reading {
    /// The bytes of a value that is no secret.
    pub(super) fn of(bytes: &[u8]) -> Reading {
        Reading::Value(Secret::from(bytes))
    }

    /// A key's value, if it is told.
    fn of_value(value: &Option<Secret>) -> Reading {
        value.as_ref().map_or(Reading::Sensitive, |value| Reading::of(value.expose()))
    }

    pub(super) fn of_number(number: CK_ULONG) -> Reading {
        Reading::of(&number.to_ne_bytes())
    }

    pub(super) fn of_flag(flag: bool) -> Reading {
        Reading::of(&[u8::from(flag)])
    }
}

impl Session {
    /// What the object's attributes are, by one round trip; by a second one for the value of a key.
    pub(crate) fn attribute_values(
        &self,
        handle: CK_OBJECT_HANDLE,
        wanted: &[CK_ATTRIBUTE_TYPE],
    ) -> Result<Vec<Reading>, Failure> {
        let objects = &self.slot.objects;
        let reference = match self.object(handle)? {
            Object::Certificate(certificate) => return self.certificate_values(&certificate, wanted),
            Object::Key(key) => key.reference,
            Object::Unseen(reference) => reference,
        };
        let entry = Entry { handle, reference };
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let info = self.slot.client.key_get(reference);
        let info = info.map_err(|error| objects.gone(entry, error, CKR_OBJECT_HANDLE_INVALID))?;
        let key = objects.seen(handle, info);
        let key = key.ok_or(Failure::call(CKR_OBJECT_HANDLE_INVALID, "the key was destroyed meanwhile"))?;
        let (info, mut value) = (key.info(), None);
        let readings = wanted.iter().map(|attribute| match (reading(&info, *attribute), &value) {
            (Some(reading), _) => Ok(reading),
            (None, Some(known)) => Ok(Reading::of_value(known)),
            (None, None) => Ok(Reading::of_value(value.insert(self.value(&key)?))),
        });
        readings.collect()
    }

    /// The value of a key; none if it is refused.
    fn value(&self, key: &Key) -> Result<Option<Secret>, Failure> {
        match self.slot.client.key_read_value(key.reference) {
            Ok(value) => Ok(Some(value)),
            Err(ClientError::Refused(refusal)) if is_about_value(refusal.status) => Ok(None),
            Err(error) => Err(self.slot.objects.gone(key.entry(), error, CKR_OBJECT_HANDLE_INVALID)),
        }
    }

    /// Changes attributes, those of a token key in their order. What cannot be changed at all is refused before any is.
    pub(crate) fn set_attributes(&self, handle: CK_OBJECT_HANDLE, given: &[Given]) -> Result<(), Failure> {
        let known = match self.object(handle)? {
            Object::Certificate(certificate) => return self.set_certificate(&certificate, given),
            Object::Key(_) | Object::Unseen(_) => self.key_of_object(handle)?,
        };
        let changes = changes(given)?;
        let _turn = known.turn();
        // Whoever had the turn before may have given the handle to another key, or to none.
        let key = self.key_of_object(handle)?;
        let is_token = key.info().attributes.flags.has(Flag::Token);
        self.check_may_change(is_token || is_token_template(&changes))?;
        if changes.is_empty() {
            return Ok(());
        }
        if !is_token {
            return self.change_session_key(&key, &changes);
        }
        for (name, value) in &changes {
            let changed = self.slot.client.key_set_attribute(key.reference, *name, value);
            changed.map_err(|error| self.slot.objects.gone(key.entry(), error, CKR_OBJECT_HANDLE_INVALID))?;
        }
        // The changes are made, whatever becomes of this: what is known of a key may be old, and the HSM decides.
        let _ = key.refresh(&self.slot.client);
        Ok(())
    }

    /// Session keys are not changed in the HSMs: a copy with the changes takes the key's place and handle.
    fn change_session_key(&self, key: &Key, changes: &Template) -> Result<(), Failure> {
        let (client, objects) = (&self.slot.client, &self.slot.objects);
        let copy = client.key_copy(key.reference, changes);
        let copy = copy.map_err(|error| objects.gone(key.entry(), error, CKR_OBJECT_HANDLE_INVALID))?;
        let (copied, stays) = (copy.reference, copy.attributes.flags.has(Flag::Token));
        if !objects.replace(key.handle, copy, stays) {
            self.discard(copied, stays);
            return Err(Failure::call(CKR_OBJECT_HANDLE_INVALID, "the key was destroyed meanwhile"));
        }
        client.end_session_keys(&[key.reference]);
        Ok(())
    }

    /// The key of this handle, for a call that is about objects.
    pub(super) fn key_of_object(&self, handle: CK_OBJECT_HANDLE) -> Result<Arc<Key>, Failure> {
        let key = self.slot.objects.key(handle);
        key.map_err(|failure| failure.renamed(CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID))
    }
}

/// Whether a refusal to tell a value is about that alone, so that the key's other attributes are told all the same.
fn is_about_value(status: Status) -> bool {
    let is_about_call = matches!(
        status,
        Status::MalformedRequest
            | Status::FrameTooLong
            | Status::OperationUnknown
            | Status::WrongClusterState
            | Status::NotLoggedIn
            | Status::LoginEnded
            | Status::KeyUnknown
            | Status::SessionKeyMissing
    );
    status.family() == Family::Refused && !is_about_call
}

/// What is asked to be changed, in the HSMs' words.
pub(super) fn changes(given: &[Given]) -> Result<Template, Failure> {
    templates::check_length(given)?;
    let mut changes = Template::new();
    for (at, one) in given.iter().enumerate() {
        if templates::is_repeated(given, at)? {
            continue;
        }
        match (attribute(one.kind), templates::translate(one)?) {
            (None, _) => return Err(templates::unknown(one.kind)),
            (_, Some((AttributeName::WrapTemplate | AttributeName::UnwrapTemplate, _)) | None) => {
                return Err(templates::read_only(one.kind));
            }
            (_, Some(change)) => changes.push(change),
        }
    }
    Ok(changes)
}

/// What an attribute of a key is; none when it is the value of a key that may be asked for.
fn reading(info: &KeyInfo, kind: CK_ATTRIBUTE_TYPE) -> Option<Reading> {
    let key = &info.attributes;
    let Some(of) = Kind::of(key.class, key.key_type) else { return Some(Reading::None) };
    match readable(of, kind) {
        Readable::No => Some(Reading::None),
        Readable::Never => Some(Reading::Sensitive),
        Readable::Value if key.flags.has(Flag::Sensitive) => Some(Reading::Sensitive),
        Readable::Value => None,
        Readable::Yes => Some(present(key, kind).unwrap_or(Reading::None)),
    }
}

/// An attribute that a key of its kind has; none where this one has it not.
fn present(key: &Attributes, kind: CK_ATTRIBUTE_TYPE) -> Option<Reading> {
    let reading = match kind {
        CKA_CLASS => Reading::of_number(values::class_number(key.class)),
        CKA_KEY_TYPE => Reading::of_number(values::key_type_number(key.key_type)),
        CKA_LABEL => Reading::of(key.label.as_bytes()),
        CKA_ID => Reading::of(&key.id),
        CKA_CHECK_VALUE => Reading::of(&key.check_value?),
        CKA_VALUE_LEN => Reading::of_number(key.length_bytes.into()),
        CKA_WRAP_TEMPLATE => Reading::Template(entries(key.templates.wrap.as_deref())),
        CKA_UNWRAP_TEMPLATE => Reading::Template(entries(key.templates.unwrap.as_deref())),
        CKA_SIGN_RECOVER | CKA_VERIFY_RECOVER => Reading::of_flag(false),
        _ => match (attribute(kind)?.shape, &key.public) {
            (Shape::Flag(flag), _) => Reading::of_flag(key.flags.has(flag)),
            (_, Some(public)) => public_part(public, kind)?,
            (_, None) => return None,
        },
    };
    Some(reading)
}

fn public_part(public: &PublicPart, kind: CK_ATTRIBUTE_TYPE) -> Option<Reading> {
    let reading = match (public, kind) {
        (PublicPart::Rsa { modulus, .. }, CKA_MODULUS) => Reading::of(modulus),
        (PublicPart::Rsa { modulus, .. }, CKA_MODULUS_BITS) => Reading::of_number(modulus.len() as CK_ULONG * 8),
        (PublicPart::Rsa { public_exponent, .. }, CKA_PUBLIC_EXPONENT) => Reading::of(public_exponent),
        (PublicPart::Ec { curve, .. }, CKA_EC_PARAMS) => Reading::of(&values::params(*curve)),
        (PublicPart::Ec { point, .. }, CKA_EC_POINT) => Reading::of(&values::wrapped_point(point)),
        (PublicPart::MlDsa { key, .. }, CKA_VALUE) => Reading::of(key),
        (PublicPart::MlDsa { algorithm, .. }, CKA_CLOUDHSM_PARAMETER_SET) => {
            Reading::of_number(values::parameter_set_number(*algorithm))
        }
        _ => return None,
    };
    Some(reading)
}

/// The attributes of a template that a key has.
fn entries(template: Option<&Template>) -> Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)> {
    template.into_iter().flatten().filter_map(|(name, value)| entry(*name, value)).collect()
}

fn entry(name: AttributeName, value: &AttributeValue) -> Option<(CK_ATTRIBUTE_TYPE, Vec<u8>)> {
    let number = |number: CK_ULONG| number.to_ne_bytes().to_vec();
    let entry = match (name, value) {
        (AttributeName::Class, AttributeValue::Class(class)) => (CKA_CLASS, number(values::class_number(*class))),
        (AttributeName::KeyType, AttributeValue::KeyType(key_type)) => {
            (CKA_KEY_TYPE, number(values::key_type_number(*key_type)))
        }
        (AttributeName::Label, AttributeValue::Text(label)) => (CKA_LABEL, label.clone().into_bytes()),
        (AttributeName::Id, AttributeValue::Bytes(id)) => (CKA_ID, id.clone()),
        (AttributeName::Flag(flag), AttributeValue::Bool(value)) => {
            (templates::of_flag(flag)?.kind, vec![u8::from(*value)])
        }
        _ => return None,
    };
    Some(entry)
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Curve, KeyClass, KeyType, MlDsaAlgorithm};

    use super::super::tests::key;
    use super::*;

    fn rsa(class: KeyClass) -> KeyInfo {
        let public = PublicPart::Rsa { modulus: vec![0xc5; 256], public_exponent: vec![1, 0, 1] };
        key(class, KeyType::Rsa, &[Flag::Sign, Flag::Sensitive, Flag::Token], Some(public))
    }

    #[test]
    fn attributes_are_in_the_standards_form() {
        let public = rsa(KeyClass::PublicKey);
        let check =
            |info: &KeyInfo, kind, expected: Reading| assert_eq!(reading(info, kind), Some(expected), "{kind:#x}");
        check(&public, CKA_CLASS, Reading::of(&2_u64.to_ne_bytes()));
        check(&public, CKA_KEY_TYPE, Reading::of(&0_u64.to_ne_bytes()));
        check(&public, CKA_LABEL, Reading::of(b"site"));
        check(&public, CKA_ID, Reading::of(&[1, 2]));
        check(&public, CKA_TOKEN, Reading::of(&[1]));
        check(&public, CKA_MODULUS_BITS, Reading::of(&2048_u64.to_ne_bytes()));
        check(&public, CKA_MODULUS, Reading::of(&[0xc5; 256]));
        check(&public, CKA_PUBLIC_EXPONENT, Reading::of(&[1, 0, 1]));
        check(&public, CKA_CHECK_VALUE, Reading::of(&[7, 8, 9]));
        check(&public, CKA_VERIFY_RECOVER, Reading::of(&[0]));
        check(&public, CKA_SIGN, Reading::None);
        check(&public, CKA_EC_POINT, Reading::None);
        check(&public, CKA_VALUE, Reading::None);
        check(&public, CKA_PUBLIC_KEY_INFO, Reading::None);
        check(&public, 0xdead_beef, Reading::None);
        let private = rsa(KeyClass::PrivateKey);
        check(&private, CKA_SIGN, Reading::of(&[1]));
        for secret in [CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT]
        {
            check(&private, secret, Reading::Sensitive);
            check(&public, secret, Reading::None);
        }
        let point = [&[4][..], &[7; 64]].concat();
        let ec = PublicPart::Ec { curve: Curve::P256, point: point.clone() };
        let ec = key(KeyClass::PublicKey, KeyType::Ec, &[Flag::Verify], Some(ec));
        check(&ec, CKA_EC_PARAMS, Reading::of(&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]));
        check(&ec, CKA_EC_POINT, Reading::of(&[&[4, 65][..], &point].concat()));
        let ml_dsa = PublicPart::MlDsa { algorithm: MlDsaAlgorithm::MlDsa65, key: vec![9; 1952] };
        let ml_dsa = key(KeyClass::PublicKey, KeyType::MlDsa, &[Flag::Verify], Some(ml_dsa));
        check(&ml_dsa, CKA_VALUE, Reading::of(&[9; 1952]));
        check(&ml_dsa, CKA_CLOUDHSM_PARAMETER_SET, Reading::of(&2_u64.to_ne_bytes()));
        check(&ml_dsa, CKA_CHECK_VALUE, Reading::None);
    }

    #[test]
    fn values_of_secret_keys_are_asked_for_unless_they_are_sensitive() {
        let sensitive = key(KeyClass::SecretKey, KeyType::Aes, &[Flag::Sensitive], None);
        assert_eq!(reading(&sensitive, CKA_VALUE), Some(Reading::Sensitive));
        let open = key(KeyClass::SecretKey, KeyType::Aes, &[], None);
        assert_eq!(reading(&open, CKA_VALUE), None);
        assert_eq!(reading(&open, CKA_VALUE_LEN), Some(Reading::of(&32_u64.to_ne_bytes())));
        let generic = key(KeyClass::SecretKey, KeyType::GenericSecret, &[], None);
        assert_eq!(reading(&generic, CKA_CHECK_VALUE), Some(Reading::None));
        let ec = key(KeyClass::PrivateKey, KeyType::Ec, &[], None);
        assert_eq!(reading(&ec, CKA_VALUE), Some(Reading::Sensitive));
    }

    #[test]
    fn a_value_that_is_refused_alone_is_a_secret() {
        for status in [Status::KeySensitive, Status::QuorumFailed, Status::QuorumRequired, Status::KeyTypeInconsistent]
        {
            assert!(is_about_value(status), "{status:?}");
        }
        let of_call = [Status::KeyUnknown, Status::SessionKeyMissing, Status::NotLoggedIn, Status::LoginEnded];
        for status in of_call.into_iter().chain([Status::Busy, Status::StoreUnavailable, Status::Internal]) {
            assert!(!is_about_value(status), "{status:?}");
        }
    }

    #[test]
    fn templates_are_read_as_they_were_set() {
        let mut aes = key(KeyClass::SecretKey, KeyType::Aes, &[], None);
        assert_eq!(reading(&aes, CKA_WRAP_TEMPLATE), Some(Reading::Template(vec![])));
        let template: Template = vec![
            (AttributeName::Flag(Flag::Encrypt), AttributeValue::Bool(true)),
            (AttributeName::Class, AttributeValue::Class(KeyClass::SecretKey)),
            (AttributeName::KeyType, AttributeValue::KeyType(KeyType::Aes)),
            (AttributeName::Label, AttributeValue::Text("x".into())),
            (AttributeName::Id, AttributeValue::Bytes(vec![5])),
        ];
        aes.attributes.templates.wrap = Some(Arc::new(template));
        let expected = vec![
            (CKA_ENCRYPT, vec![1]),
            (CKA_CLASS, CKO_SECRET_KEY.to_ne_bytes().to_vec()),
            (CKA_KEY_TYPE, CKK_AES.to_ne_bytes().to_vec()),
            (CKA_LABEL, b"x".to_vec()),
            (CKA_ID, vec![5]),
        ];
        assert_eq!(reading(&aes, CKA_WRAP_TEMPLATE), Some(Reading::Template(expected)));
        assert_eq!(reading(&aes, CKA_UNWRAP_TEMPLATE), Some(Reading::Template(vec![])));
    }

    #[test]
    fn changes_are_translated_and_what_nobody_sets_is_refused() {
        let of = |kind, bytes: &[u8]| Given { kind, value: crate::attribute::Value::Bytes(Secret::from(bytes)) };
        let rv = |given: &[Given]| changes(given).map_err(|failure| failure.rv());
        let label = (AttributeName::Label, AttributeValue::Text("new".into()));
        let id = (AttributeName::Id, AttributeValue::Bytes(vec![3]));
        assert_eq!(rv(&[of(CKA_LABEL, b"new"), of(CKA_ID, &[3])]), Ok(vec![label, id]));
        assert_eq!(rv(&[of(CKA_CLASS, &[3; 8])]), Err(CKR_ATTRIBUTE_READ_ONLY));
        assert_eq!(rv(&[of(CKA_WRAP_TEMPLATE, &[])]), Err(CKR_ATTRIBUTE_READ_ONLY));
        assert_eq!(rv(&[of(CKA_MODULUS, &[3; 256])]), Err(CKR_ATTRIBUTE_READ_ONLY));
        assert_eq!(rv(&[of(0x8000_4321, &[])]), Err(CKR_ATTRIBUTE_TYPE_INVALID));
        assert_eq!(rv(&[of(CKA_ID, &[3]), of(CKA_ID, &[4])]), Err(CKR_TEMPLATE_INCONSISTENT));
        assert_eq!(rv(&[]), Ok(vec![]));
    }
}

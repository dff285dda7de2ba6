//! `C_CreateObject`, `C_CopyObject`, `C_DestroyObject`.

use cryptoki_sys::*;
use strongroom_client::KeyInfo;
use strongroom_crypto::pkcs8::{self, RsaParts};
use strongroom_types::{AttributeName, AttributeValue, Attributes, Flag, KeyType, PublicPart, Secret, Template};

use super::generate::is_token;
use super::templates::values;
use super::templates::{self, Call, Kind, Wanted};
use super::{Entry, Object};
use crate::attribute::Given;
use crate::failure::Failure;
use crate::session::Session;

impl Session {
    /// Brings a key in, or makes a certificate.
    pub(crate) fn create_object(&self, given: &[Given]) -> Result<CK_OBJECT_HANDLE, Failure> {
        match templates::class_number(given)? {
            None => Err(templates::incomplete(CKA_CLASS)),
            Some(CKO_CERTIFICATE) => self.create_certificate(given),
            Some(number) if values::class(number).is_some() => self.create_key(given),
            Some(_) => Err(values::inconsistent(CKA_CLASS, "the HSMs have no such objects")),
        }
    }

    fn create_key(&self, given: &[Given]) -> Result<CK_OBJECT_HANDLE, Failure> {
        let login = self.login()?;
        let kind = templates::kind_of(given)?;
        let wanted = templates::read(Call::Create, kind, given)?;
        self.check_may_change(is_token(&wanted.named))?;
        let info = self.import(kind, wanted, given)?;
        self.keep(login, info)
    }

    fn import(&self, kind: Kind, wanted: Wanted<'_>, given: &[Given]) -> Result<KeyInfo, Failure> {
        let client = &self.slot.client;
        match kind {
            Kind::RsaPublic => {
                let public = rsa_public(&wanted)?;
                Ok(client.key_import(&public, &wanted.into_template())?)
            }
            Kind::EcPublic => {
                let public = ec_public(&wanted, given)?;
                Ok(client.key_import(&public, &wanted.into_template())?)
            }
            Kind::RsaPrivate => {
                let pkcs8 = rsa_private(&wanted)?;
                Ok(client.key_import_private(KeyType::Rsa, &pkcs8, &wanted.into_template())?)
            }
            Kind::EcPrivate => {
                let pkcs8 = ec_private(&wanted, given)?;
                Ok(client.key_import_private(KeyType::Ec, &pkcs8, &wanted.into_template())?)
            }
            Kind::Aes | Kind::Des3 | Kind::Generic => {
                let value = wanted.needed(CKA_VALUE)?;
                let made = client.key_import_secret(kind.key_type(), value, &wanted.into_template());
                Ok(made
                    .map_err(|error| Failure::from(error).renamed(CKR_KEY_SIZE_RANGE, CKR_ATTRIBUTE_VALUE_INVALID))?)
            }
            // No call takes their templates.
            Kind::MlDsaPrivate | Kind::MlDsaPublic => {
                Err(values::inconsistent(CKA_KEY_TYPE, "ML-DSA keys do not come in"))
            }
        }
    }

    /// Makes another key of the same material.
    pub(crate) fn copy_object(&self, handle: CK_OBJECT_HANDLE, given: &[Given]) -> Result<CK_OBJECT_HANDLE, Failure> {
        if let Object::Certificate(certificate) = self.object(handle)? {
            return self.copy_certificate(&certificate, given);
        }
        let login = self.login()?;
        let key = self.key_of_object(handle)?;
        let template = copied(&key.info().attributes, given)?;
        let token = (AttributeName::Flag(Flag::Token), AttributeValue::Bool(false));
        let was_token = key.info().attributes.flags.has(Flag::Token);
        self.check_may_change(is_token(&template) || (was_token && !template.contains(&token)))?;
        let copy = self.slot.client.key_copy(key.reference, &template);
        let copy = copy.map_err(|error| self.slot.objects.gone(key.entry(), error, CKR_OBJECT_HANDLE_INVALID))?;
        self.keep(login, copy)
    }

    /// Destroys an object.
    pub(crate) fn destroy_object(&self, handle: CK_OBJECT_HANDLE) -> Result<(), Failure> {
        let (client, objects) = (&self.slot.client, &self.slot.objects);
        let known = self.object(handle)?;
        let _turn = if let Object::Key(key) = &known { Some(key.turn()) } else { None };
        // Whoever had the turn before may have given the handle to another key, or to none.
        let object = self.object(handle)?;
        let reference = match &object {
            Object::Certificate(certificate) => return self.destroy_certificate(certificate),
            Object::Key(key) => key.reference,
            Object::Unseen(reference) => *reference,
        };
        self.check_may_change(object.outlives_session(|key| client.holds_session_key(key)))?;
        let (key, deleted) = (Entry { handle, reference }, client.key_delete(reference));
        deleted.map_err(|error| objects.gone(key, error, CKR_OBJECT_HANDLE_INVALID))?;
        objects.forget_key(key);
        Ok(())
    }
}

/// What a copy is told to differ in. Attributes that say what the key is anyway are let pass.
fn copied(key: &Attributes, given: &[Given]) -> Result<Template, Failure> {
    templates::check_length(given)?;
    let mut template = Template::new();
    for (at, one) in given.iter().enumerate() {
        if templates::is_repeated(given, at)? {
            continue;
        }
        let Some(attribute) = templates::attribute(one.kind) else { return Err(templates::unknown(one.kind)) };
        match templates::translate(one)? {
            Some((AttributeName::WrapTemplate | AttributeName::UnwrapTemplate, _)) => {
                return Err(templates::read_only(one.kind));
            }
            Some(changed) => template.push(changed),
            None if templates::says(one, key)? || templates::says_nothing(attribute.shape, one) => {}
            None => return Err(templates::read_only(one.kind)),
        }
    }
    Ok(template)
}

fn rsa_public(wanted: &Wanted<'_>) -> Result<PublicPart, Failure> {
    let number = |kind| values::big_number(kind, wanted.needed(kind)?.expose()).map(<[u8]>::to_vec);
    Ok(PublicPart::Rsa { modulus: number(CKA_MODULUS)?, public_exponent: number(CKA_PUBLIC_EXPONENT)? })
}

fn ec_public(wanted: &Wanted<'_>, given: &[Given]) -> Result<PublicPart, Failure> {
    let curve = values::named_curve(wanted.needed(CKA_EC_PARAMS)?.expose(), templates::is_edwards(given)?)?;
    let point = values::point(curve, wanted.needed(CKA_EC_POINT)?.expose())?.to_vec();
    Ok(PublicPart::Ec { curve, point })
}

fn rsa_private(wanted: &Wanted<'_>) -> Result<Secret, Failure> {
    let none = Secret::new(Vec::new());
    let part = |kind| wanted.bytes(kind).unwrap_or(&none);
    Ok(pkcs8::rsa(&RsaParts {
        modulus: values::big_number(CKA_MODULUS, wanted.needed(CKA_MODULUS)?.expose())?,
        public_exponent: values::big_number(CKA_PUBLIC_EXPONENT, wanted.needed(CKA_PUBLIC_EXPONENT)?.expose())?,
        private_exponent: wanted.needed(CKA_PRIVATE_EXPONENT)?,
        prime_1: part(CKA_PRIME_1),
        prime_2: part(CKA_PRIME_2),
        exponent_1: part(CKA_EXPONENT_1),
        exponent_2: part(CKA_EXPONENT_2),
        coefficient: part(CKA_COEFFICIENT),
    }))
}

fn ec_private(wanted: &Wanted<'_>, given: &[Given]) -> Result<Secret, Failure> {
    let curve = values::named_curve(wanted.needed(CKA_EC_PARAMS)?.expose(), templates::is_edwards(given)?)?;
    let why = "the value is longer than the curve's private keys";
    pkcs8::ec(curve, wanted.needed(CKA_VALUE)?).ok_or(values::invalid(CKA_VALUE, why))
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Flags, KeyClass, KeyTemplates};

    use super::*;
    use crate::attribute::Value;

    #[test]
    fn a_copy_is_told_what_it_differs_in_and_nothing_else() {
        let key = Attributes {
            class: KeyClass::PrivateKey,
            key_type: KeyType::Ec,
            label: String::new(),
            id: Vec::new(),
            check_value: None,
            flags: Flags::NONE,
            length_bytes: 138,
            public: None,
            templates: KeyTemplates::NONE,
        };
        let of = |kind, bytes: &[u8]| Given { kind, value: Value::Bytes(Secret::from(bytes)) };
        let number = |kind, number: CK_ULONG| of(kind, &number.to_ne_bytes());
        let check = |given: Vec<Given>, expected: Result<Template, CK_RV>| {
            let kinds: Vec<_> = given.iter().map(|one| one.kind).collect();
            assert_eq!(copied(&key, &given).map_err(|failure| failure.rv()), expected, "{kinds:x?}");
        };
        let token = || (AttributeName::Flag(Flag::Token), AttributeValue::Bool(true));
        let id = || (AttributeName::Id, AttributeValue::Bytes(vec![7]));
        check(vec![of(CKA_TOKEN, &[1]), of(CKA_ID, &[7])], Ok(vec![token(), id()]));
        check(vec![number(CKA_CLASS, CKO_PRIVATE_KEY), number(CKA_KEY_TYPE, CKK_EC)], Ok(vec![]));
        check(vec![of(CKA_SUBJECT, &[]), of(CKA_ALWAYS_AUTHENTICATE, &[0])], Ok(vec![]));
        check(vec![of(CKA_TOKEN, &[1]), of(CKA_TOKEN, &[1])], Ok(vec![token()]));
        check(vec![number(CKA_CLASS, CKO_PUBLIC_KEY)], Err(CKR_ATTRIBUTE_READ_ONLY));
        check(vec![number(CKA_KEY_TYPE, CKK_RSA)], Err(CKR_ATTRIBUTE_READ_ONLY));
        check(vec![of(CKA_VALUE, &[1])], Err(CKR_ATTRIBUTE_READ_ONLY));
        check(vec![of(CKA_WRAP_TEMPLATE, &[])], Err(CKR_ATTRIBUTE_READ_ONLY));
        check(vec![of(CKA_TOKEN, &[1]), of(CKA_TOKEN, &[0])], Err(CKR_TEMPLATE_INCONSISTENT));
        check(vec![of(0x9000_0000, &[])], Err(CKR_ATTRIBUTE_TYPE_INVALID));
    }
}

//! `C_FindObjectsInit`, `C_FindObjects`, `C_FindObjectsFinal`: one round trip for keys, one for certificates if the template
//! may be theirs and they are kept at all.
//!
//! An attribute that no object has, and a value that none can have, find nothing; they are no errors.

use std::collections::{HashMap, VecDeque};

use cryptoki_sys::*;
use strongroom_client::KeyInfo;
use strongroom_types::limits::FOUND_WHOLE_MAX;
use strongroom_types::{AttributeName, AttributeValue, Curve, Filter, FilterTerm, KeyClass, KeyReference};

use super::certificates::Found as FoundCertificate;
use super::templates::{self, Shape, values};
use super::{Object, Objects};
use crate::attribute::Given;
use crate::entry::Room;
use crate::failure::Failure;
use crate::session::Session;
use crate::vendor::CKA_CLOUDHSM_PARAMETER_SET;

/// A search between `C_FindObjectsInit` and `C_FindObjectsFinal`.
#[derive(Default)]
pub(crate) struct Find {
    certificates: VecDeque<FoundCertificate>,
    keys: VecDeque<KeyReference>,
    infos: HashMap<KeyReference, KeyInfo>,
}

impl Find {
    fn left(&self) -> usize {
        self.keys.len() + self.certificates.len()
    }

    /// Handles of the next hits, at most `max`; none when the login is over in which they were found.
    fn next(&mut self, objects: &Objects, login: u64, max: usize) -> Option<Vec<CK_OBJECT_HANDLE>> {
        let keys = self.keys.len().min(max);
        let keys: Vec<_> =
            self.keys.drain(..keys).map(|reference| (reference, self.infos.remove(&reference))).collect();
        let certificates = self.certificates.len().min(max - keys.len());
        objects.hand_out(login, keys, self.certificates.drain(..certificates))
    }
}

impl Objects {
    /// Handles of what was found, new ones or those that the objects have.
    fn hand_out(
        &self,
        login: u64,
        keys: Vec<(KeyReference, Option<KeyInfo>)>,
        certificates: impl Iterator<Item = FoundCertificate>,
    ) -> Option<Vec<CK_OBJECT_HANDLE>> {
        self.write_in(login, |table| {
            let keys = keys.into_iter().map(|(reference, info)| match info {
                Some(info) => table.key(info, None).handle,
                None => {
                    let handle = *table.keys.entry(reference).or_insert_with(super::next_handle);
                    table.objects.entry(handle).or_insert(Object::Unseen(reference));
                    handle
                }
            });
            let mut handles: Vec<_> = keys.collect();
            handles.extend(certificates.map(|found| found.handle(table)));
            handles
        })
    }
}

impl Session {
    /// Searches.
    pub(crate) fn find_init(&self, given: &[Given]) -> Result<(), Failure> {
        let active = self.active();
        if active.find.is_some() {
            return Err(Failure::call(CKR_OPERATION_ACTIVE, "end the session's search with C_FindObjectsFinal first"));
        }
        let login = active.login;
        // Others cancel, and log out, while the HSMs search.
        drop(active);
        templates::check_length(given)?;
        let class = templates::class_number(given)?;
        let mut found = Find::default();
        if class.is_none_or(|class| class == CKO_CERTIFICATE) {
            found.certificates = self.find_certificates(given)?.into();
        }
        if class != Some(CKO_CERTIFICATE)
            && self.slot.logged_in()
            && let Some(filter) = filter(given)?
        {
            let all = self.slot.client.key_find_all(&filter, FOUND_WHOLE_MAX)?;
            found.keys = all.references.into();
            found.infos = all.keys.into_iter().map(|info| (info.reference, info)).collect();
        }
        let mut active = self.active();
        if active.login != login {
            let why = "somebody logged in or out while the HSMs searched; search again";
            return Err(Failure::call(CKR_USER_NOT_LOGGED_IN, why));
        }
        if active.find.is_some() {
            return Err(Failure::call(CKR_OPERATION_ACTIVE, "another thread began a search in this session"));
        }
        active.find = Some(found);
        Ok(())
    }

    /// The next hits: how many there are, at most `max`, when the caller has no room; their handles otherwise.
    pub(crate) fn find(&self, room: Room, max: usize) -> Result<(usize, Vec<CK_OBJECT_HANDLE>), Failure> {
        let mut active = self.active();
        let login = active.login;
        let find = active.find.as_mut().ok_or_else(not_begun)?;
        if room == Room::Length {
            return Ok((find.left().min(max), Vec::new()));
        }
        let handles = find.next(&self.slot.objects, login, max).ok_or_else(not_begun)?;
        Ok((handles.len(), handles))
    }

    /// Ends the search.
    pub(crate) fn find_final(&self) -> Result<(), Failure> {
        self.active().find.take().map(|_| ()).ok_or_else(not_begun)
    }
}

fn not_begun() -> Failure {
    Failure::call(CKR_OPERATION_NOT_INITIALIZED, "call C_FindObjectsInit first")
}

/// The filter of keys that a template asks for; none when it fits no key.
pub(super) fn filter(given: &[Given]) -> Result<Option<Filter>, Failure> {
    let mut terms = Vec::new();
    for one in given {
        match of_attribute(one)? {
            Some(more) => terms.extend(more.into_iter().map(|(name, value)| FilterTerm::Attribute(name, value))),
            None => return Ok(None),
        }
    }
    Ok(Some(Filter(terms)))
}

/// What one attribute asks of a key; none when no key has it so.
fn of_attribute(given: &Given) -> Result<Option<Vec<(AttributeName, AttributeValue)>>, Failure> {
    use AttributeName as Name;
    use AttributeValue as Is;
    let kind = given.kind;
    let Ok(bytes) = templates::bytes(given) else { return Ok(None) };
    let as_bytes = |name| Some(vec![(name, Is::Bytes(bytes.to_vec()))]);
    Ok(match kind {
        CKA_CLASS => values::class(values::number(kind, bytes)?).map(|class| vec![(Name::Class, Is::Class(class))]),
        CKA_KEY_TYPE => {
            let number = values::number(kind, bytes)?;
            values::key_type(number).map(|key_type| {
                let mut terms = vec![(Name::KeyType, Is::KeyType(key_type))];
                if number == CKK_EC_EDWARDS {
                    terms.push((Name::Curve, Is::Curve(Curve::Ed25519)));
                }
                terms
            })
        }
        CKA_LABEL => values::text(kind, bytes).ok().map(|label| vec![(Name::Label, Is::Text(label))]),
        CKA_ID => as_bytes(Name::Id),
        CKA_CHECK_VALUE => as_bytes(Name::CheckValue),
        CKA_MODULUS => as_bytes(Name::Modulus),
        CKA_PUBLIC_EXPONENT => as_bytes(Name::PublicExponent),
        CKA_EC_POINT => as_bytes(Name::EcPoint),
        CKA_EC_PARAMS => values::curve(bytes).ok().map(|curve| vec![(Name::Curve, Is::Curve(curve))]),
        CKA_MODULUS_BITS => {
            let bits = values::number(kind, bytes)?;
            u32::try_from(bits).ok().map(|bits| vec![(Name::ModulusSizeBits, Is::Number(bits))])
        }
        CKA_VALUE_LEN => {
            let length = values::number(kind, bytes)?;
            u32::try_from(length).ok().map(|length| {
                vec![(Name::KeyLengthBytes, Is::Number(length)), (Name::Class, Is::Class(KeyClass::SecretKey))]
            })
        }
        CKA_CLOUDHSM_PARAMETER_SET => values::parameter_set(values::number(kind, bytes)?)
            .map(|algorithm| vec![(Name::MlDsaAlgorithm, Is::MlDsaAlgorithm(algorithm))]),
        _ => match templates::attribute(kind).map(|attribute| attribute.shape) {
            Some(Shape::Flag(flag)) => Some(vec![(Name::Flag(flag), Is::Bool(values::boolean(kind, bytes)?))]),
            _ => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Flag, KeyType, MlDsaAlgorithm, Secret};

    use super::*;
    use crate::attribute::Value;

    fn of(kind: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Given {
        Given { kind, value: Value::Bytes(Secret::from(bytes)) }
    }

    fn number(kind: CK_ATTRIBUTE_TYPE, number: CK_ULONG) -> Given {
        of(kind, &number.to_ne_bytes())
    }

    #[test]
    fn attributes_are_terms_of_the_hsms_filter() {
        let check = |given: Given, expected: Option<&[(AttributeName, AttributeValue)]>| {
            let kind = given.kind;
            let expected = expected.map(|terms| {
                Filter(terms.iter().cloned().map(|(name, value)| FilterTerm::Attribute(name, value)).collect())
            });
            assert_eq!(filter(&[given]).unwrap(), expected, "{kind:#x}");
        };
        use AttributeName as Name;
        use AttributeValue as Is;
        check(number(CKA_CLASS, CKO_PRIVATE_KEY), Some(&[(Name::Class, Is::Class(KeyClass::PrivateKey))]));
        check(number(CKA_CLASS, CKO_DATA), None);
        check(number(CKA_KEY_TYPE, CKK_RSA), Some(&[(Name::KeyType, Is::KeyType(KeyType::Rsa))]));
        check(
            number(CKA_KEY_TYPE, CKK_EC_EDWARDS),
            Some(&[(Name::KeyType, Is::KeyType(KeyType::Ec)), (Name::Curve, Is::Curve(Curve::Ed25519))]),
        );
        check(number(CKA_KEY_TYPE, CKK_DSA), None);
        check(of(CKA_LABEL, b"site"), Some(&[(Name::Label, Is::Text("site".into()))]));
        check(of(CKA_LABEL, &[0xff]), None);
        check(of(CKA_ID, &[1]), Some(&[(Name::Id, Is::Bytes(vec![1]))]));
        check(of(CKA_EC_POINT, &[4, 1]), Some(&[(Name::EcPoint, Is::Bytes(vec![4, 1]))]));
        check(of(CKA_EC_PARAMS, &[6, 3, 0x2b, 0x65, 0x70]), Some(&[(Name::Curve, Is::Curve(Curve::Ed25519))]));
        check(of(CKA_EC_PARAMS, &[6, 1, 1]), None);
        check(of(CKA_TOKEN, &[1]), Some(&[(Name::Flag(Flag::Token), Is::Bool(true))]));
        check(number(CKA_MODULUS_BITS, 2048), Some(&[(Name::ModulusSizeBits, Is::Number(2048))]));
        check(number(CKA_MODULUS_BITS, CK_ULONG::MAX), None);
        check(
            number(CKA_VALUE_LEN, 32),
            Some(&[(Name::KeyLengthBytes, Is::Number(32)), (Name::Class, Is::Class(KeyClass::SecretKey))]),
        );
        check(
            number(CKA_CLOUDHSM_PARAMETER_SET, 2),
            Some(&[(Name::MlDsaAlgorithm, Is::MlDsaAlgorithm(MlDsaAlgorithm::MlDsa65))]),
        );
        check(of(CKA_SUBJECT, &[0x30, 0]), None);
        check(of(CKA_VALUE, &[7; 16]), None);
        check(of(CKA_ALWAYS_AUTHENTICATE, &[0]), None);
        check(of(0x8000_1234, &[0]), None);
        check(Given { kind: CKA_WRAP_TEMPLATE, value: Value::Template(vec![]) }, None);
        assert_eq!(filter(&[]).unwrap(), Some(Filter::default()));
        let wrong = filter(&[of(CKA_TOKEN, &[])]).map_err(|failure| failure.rv());
        assert_eq!(wrong, Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
}

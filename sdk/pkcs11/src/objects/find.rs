//! `C_FindObjectsInit`, `C_FindObjects`, `C_FindObjectsFinal`: one round trip for keys, or a few if the template asks for flags
//! that not every kind of key has, and one for certificates if it may be theirs and they are kept at all.
//!
//! An attribute that no object has, and a value that none can have, find nothing; they are no errors.

use std::collections::{HashMap, VecDeque};

use cryptoki_sys::*;
use strongroom_client::KeyInfo;
use strongroom_types::limits::FOUND_WHOLE_MAX;
use strongroom_types::{AttributeName, AttributeValue, Curve, Filter, FilterTerm, KeyClass, KeyReference, Template};

use super::certificates::Found as FoundCertificate;
use super::templates::{self, Kind, Readable, Shape, values};
use super::{Object, Objects, Table};
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
        // Whatever is known already needs no turn of its own.
        let certificates: Vec<_> = certificates.collect();
        if certificates.is_empty() {
            let known = |table: &Table| {
                let known = keys.iter().map(|(reference, info)| table.known(*reference, info.as_ref()));
                if table.login == login { known.collect::<Option<Vec<_>>>() } else { None }
            };
            if let Some(handles) = self.read(known) {
                return Some(handles);
            }
        }
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
            handles.extend(certificates.into_iter().map(|found| found.handle(table)));
            handles
        })
    }
}

impl Session {
    /// Searches. What is begun without a login goes on with one, so that is searched again.
    pub(crate) fn find_init(&self, given: &[Given]) -> Result<(), Failure> {
        templates::check_length(given)?;
        loop {
            let active = self.active();
            if active.find.is_some() {
                let why = "end the session's search with C_FindObjectsFinal first";
                return Err(Failure::call(CKR_OPERATION_ACTIVE, why));
            }
            let login = active.login;
            // Others cancel, and log out, while the HSMs search.
            drop(active);
            let found = self.search(given)?;
            let mut active = self.active();
            match active.login {
                now if now == login => {}
                _ if login == 0 => continue,
                _ => {
                    let why = "somebody logged out while the HSMs searched; search again";
                    return Err(Failure::call(CKR_USER_NOT_LOGGED_IN, why));
                }
            }
            if active.find.is_some() {
                return Err(Failure::call(CKR_OPERATION_ACTIVE, "another thread began a search in this session"));
            }
            active.find = Some(found);
            return Ok(());
        }
    }

    fn search(&self, given: &[Given]) -> Result<Find, Failure> {
        let mut found = Find { certificates: self.find_certificates(given)?.into(), ..Find::default() };
        if self.slot.logged_in() {
            for filter in filters(given) {
                let more = FOUND_WHOLE_MAX.saturating_sub(u32::try_from(found.infos.len()).unwrap_or(u32::MAX));
                let all = self.slot.client.key_find_all(&filter, more)?;
                found.keys.extend(all.references);
                found.infos.extend(all.keys.into_iter().map(|info| (info.reference, info)));
            }
        }
        Ok(found)
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

/// The filters of keys that a template asks for, of which no key fits two: several where one cannot leave out the kinds that
/// do not have what is asked for, and none when the template fits no key.
pub(super) fn filters(given: &[Given]) -> Vec<Filter> {
    let mut terms = Vec::new();
    for one in given {
        let Some(more) = of_attribute(one) else { return Vec::new() };
        // Said twice, it is as once.
        for term in more {
            if !terms.contains(&term) {
                terms.push(term);
            }
        }
    }
    let is_asked = |kind: &Kind| {
        terms.iter().all(|(_, value)| match value {
            AttributeValue::Class(class) => kind.class() == *class,
            AttributeValue::KeyType(key_type) => kind.key_type() == *key_type,
            _ => true,
        })
    };
    let asked: Vec<Kind> = Kind::ALL.into_iter().filter(is_asked).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let filters = those_that_have(given, &asked).into_iter().map(|more| {
        let terms = terms.iter().cloned().chain(more);
        Filter(terms.map(|(name, value)| FilterTerm::Attribute(name, value)).collect())
    });
    filters.collect()
}

/// What leaves out the kinds among these that lack a flag or a length of the template: nothing if none does, otherwise class
/// by class.
fn those_that_have(given: &[Given], asked: &[Kind]) -> Vec<Template> {
    let is_not_of_all = |one: &&Given| {
        let shape = templates::attribute(one.kind).map(|attribute| attribute.shape);
        matches!(shape, Some(Shape::Flag(_) | Shape::Bool(_))) || matches!(one.kind, CKA_MODULUS_BITS | CKA_VALUE_LEN)
    };
    let wanted: Vec<_> = given.iter().filter(is_not_of_all).map(|one| one.kind).collect();
    let has_all = |kind: &Kind| wanted.iter().all(|wanted| templates::readable(*kind, *wanted) == Readable::Yes);
    if asked.iter().all(has_all) {
        return vec![Template::new()];
    }
    let mut all = Vec::new();
    for class in [KeyClass::PrivateKey, KeyClass::PublicKey, KeyClass::SecretKey] {
        let of_class: Vec<Kind> = asked.iter().filter(|kind| kind.class() == class).copied().collect();
        let (having, lacking): (Vec<Kind>, Vec<Kind>) = of_class.into_iter().partition(has_all);
        let class = (AttributeName::Class, AttributeValue::Class(class));
        match (having.is_empty(), lacking.is_empty()) {
            (true, _) => {}
            (false, true) => all.push(vec![class]),
            (false, false) => {
                all.extend(having.into_iter().map(|kind| {
                    vec![class.clone(), (AttributeName::KeyType, AttributeValue::KeyType(kind.key_type()))]
                }))
            }
        }
    }
    all
}

/// What one attribute asks of a key; none when no key has it so.
fn of_attribute(given: &Given) -> Option<Template> {
    use AttributeName as Name;
    use AttributeValue as Is;
    let kind = given.kind;
    let bytes = templates::bytes(given).ok()?;
    let number = || values::number(kind, bytes).ok();
    let as_bytes = |name| Some(vec![(name, Is::Bytes(bytes.to_vec()))]);
    match kind {
        CKA_CLASS => values::class(number()?).map(|class| vec![(Name::Class, Is::Class(class))]),
        CKA_KEY_TYPE => {
            let mut terms = vec![(Name::KeyType, Is::KeyType(values::key_type(number()?)?))];
            if number()? == CKK_EC_EDWARDS {
                terms.push((Name::Curve, Is::Curve(Curve::Ed25519)));
            }
            Some(terms)
        }
        CKA_LABEL => values::text(kind, bytes).ok().map(|label| vec![(Name::Label, Is::Text(label))]),
        CKA_ID => as_bytes(Name::Id),
        CKA_CHECK_VALUE => as_bytes(Name::CheckValue),
        CKA_MODULUS => as_bytes(Name::Modulus),
        CKA_PUBLIC_EXPONENT => as_bytes(Name::PublicExponent),
        CKA_EC_POINT => as_bytes(Name::EcPoint),
        CKA_EC_PARAMS => values::curve(bytes).ok().map(|curve| vec![(Name::Curve, Is::Curve(curve))]),
        CKA_MODULUS_BITS => {
            let bits = u32::try_from(number()?).ok()?;
            Some(vec![(Name::ModulusSizeBits, Is::Number(bits))])
        }
        CKA_VALUE_LEN => {
            let length = u32::try_from(number()?).ok()?;
            Some(vec![(Name::KeyLengthBytes, Is::Number(length))])
        }
        CKA_CLOUDHSM_PARAMETER_SET => values::parameter_set(number()?)
            .map(|algorithm| vec![(Name::MlDsaAlgorithm, Is::MlDsaAlgorithm(algorithm))]),
        _ => match templates::attribute(kind).map(|attribute| attribute.shape) {
            Some(Shape::Flag(flag)) => Some(vec![(Name::Flag(flag), Is::Bool(values::boolean(kind, bytes).ok()?))]),
            // Where keys have such a boolean at all, it is false.
            Some(Shape::Bool(_)) if !values::boolean(kind, bytes).ok()? => Some(Template::new()),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Flag, KeyType, MlDsaAlgorithm};

    use super::*;
    use crate::attribute::Value;
    use crate::attribute::given::{number, of};

    #[test]
    fn attributes_are_terms_of_the_hsms_filter() {
        let check = |given: Given, expected: Option<&[(AttributeName, AttributeValue)]>| {
            let kind = given.kind;
            let expected: Vec<Filter> = expected.into_iter().map(filter_of).collect();
            assert_eq!(filters(&[given]), expected, "{kind:#x}");
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
        let [public, rsa] = [(Name::Class, Is::Class(KeyClass::PublicKey)), (Name::KeyType, Is::KeyType(KeyType::Rsa))];
        check(number(CKA_MODULUS_BITS, 2048), Some(&[(Name::ModulusSizeBits, Is::Number(2048)), public, rsa]));
        check(number(CKA_MODULUS_BITS, CK_ULONG::MAX), None);
        // 3DES keys do not tell their length.
        let secret = (Name::Class, Is::Class(KeyClass::SecretKey));
        let of_32_bytes = |key_type| {
            let key_type = (Name::KeyType, Is::KeyType(key_type));
            filter_of(&[(Name::KeyLengthBytes, Is::Number(32)), secret.clone(), key_type])
        };
        let expected = [of_32_bytes(KeyType::Aes), of_32_bytes(KeyType::GenericSecret)];
        assert_eq!(filters(&[number(CKA_VALUE_LEN, 32)]), expected);
        check(
            number(CKA_CLOUDHSM_PARAMETER_SET, 2),
            Some(&[(Name::MlDsaAlgorithm, Is::MlDsaAlgorithm(MlDsaAlgorithm::MlDsa65))]),
        );
        check(of(CKA_SUBJECT, &[0x30, 0]), None);
        check(of(CKA_VALUE, &[7; 16]), None);
        check(of(CKA_ALWAYS_AUTHENTICATE, &[0]), None);
        check(of(0x8000_1234, &[0]), None);
        check(Given { kind: CKA_WRAP_TEMPLATE, value: Value::Template(vec![]) }, None);
        check(of(CKA_TOKEN, &[]), None);
        check(of(CKA_SIGN, &[0; 20]), None);
        check(of(CKA_CLASS, &[1]), None);
        check(of(CKA_KEY_TYPE, &[0; 5]), None);
        check(of(CKA_VALUE_LEN, &[]), None);
        check(of(CKA_SIGN_RECOVER, &[1]), None);
        assert_eq!(filters(&[]), [Filter::default()]);
        let twice = || of(CKA_LABEL, b"site");
        assert_eq!(filters(&[twice(), twice()]), filters(&[twice()]));
    }

    fn filter_of(terms: &[(AttributeName, AttributeValue)]) -> Filter {
        Filter(terms.iter().cloned().map(|(name, value)| FilterTerm::Attribute(name, value)).collect())
    }

    #[test]
    fn a_flag_is_looked_for_among_the_kinds_that_have_it() {
        use strongroom_types::{Attributes, Flags, KeyTemplates};
        let key = |kind: Kind| Attributes {
            class: kind.class(),
            key_type: kind.key_type(),
            label: String::new(),
            id: Vec::new(),
            check_value: None,
            flags: Flags::NONE,
            length_bytes: 32,
            public: None,
            templates: KeyTemplates::NONE,
        };
        let reference = KeyReference::from_u64(1).unwrap();
        let booleans = [
            CKA_TOKEN,
            CKA_ENCRYPT,
            CKA_DECRYPT,
            CKA_WRAP,
            CKA_UNWRAP,
            CKA_DERIVE,
            CKA_SIGN,
            CKA_VERIFY,
            CKA_SIGN_RECOVER,
            CKA_VERIFY_RECOVER,
            CKA_TRUSTED,
            CKA_SENSITIVE,
            CKA_EXTRACTABLE,
            CKA_ALWAYS_AUTHENTICATE,
        ];
        for attribute in booleans {
            for kind in Kind::ALL {
                let has = usize::from(templates::readable(kind, attribute) == Readable::Yes);
                let among = |mut given: Vec<Given>| {
                    given.push(of(attribute, &[0]));
                    let filters = filters(&given);
                    assert!(filters.len() <= 5, "{attribute:#x}");
                    filters.iter().filter(|filter| filter.selects(reference, &key(kind))).count()
                };
                let class = || number(CKA_CLASS, values::class_number(kind.class()));
                let key_type = || number(CKA_KEY_TYPE, values::key_type_number(kind.key_type()));
                for more in [vec![], vec![class()], vec![key_type()], vec![class(), key_type()]] {
                    assert_eq!(among(more), has, "{attribute:#x} {kind:?}");
                }
            }
        }
        // One round trip, where the template leaves out the others itself.
        assert_eq!(filters(&[number(CKA_CLASS, CKO_PRIVATE_KEY), of(CKA_SIGN, &[1])]).len(), 1);
        assert!(filters(&[number(CKA_CLASS, CKO_PUBLIC_KEY), of(CKA_EXTRACTABLE, &[0])]).is_empty());
        assert_eq!(filters(&[of(CKA_EXTRACTABLE, &[0])]).len(), 2);
    }
}

//! Certificates as objects, when the configuration switches them on: those of the token are the HSMs', those of a session live
//! and die here. With a login and without one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use cryptoki_sys::*;
use strongroom_client::{CertificateInfo, ClientError, Setting, WholeCertificate};
use strongroom_crypto::digest;
use strongroom_types::limits::SESSION_CERTIFICATES_MAX;
use strongroom_types::{
    CertificateAttributes, CertificateCategory, CertificateChange, CertificateDate, CertificateFilter,
    CertificateReference, CertificateTemplate, HashFunction, Status,
};

use super::attributes::Reading;
use super::templates::{self, Shape, values};
use super::{Object, Objects, Table};
use crate::attribute::Given;
use crate::failure::Failure;
use crate::session::Session;

/// A certificate that the application has a handle of.
pub(crate) struct Certificate {
    /// The application's handle.
    pub(super) handle: CK_OBJECT_HANDLE,
    place: Place,
    attributes: ArcSwap<CertificateAttributes>,
}

/// Where a certificate is.
enum Place {
    Token(CertificateReference),
    Session(OfSession),
}

/// What only this application has.
struct OfSession {
    session: CK_SESSION_HANDLE,
    public_key_info: Vec<u8>,
    value: Vec<u8>,
    check_value: Vec<u8>,
}

/// What a template asks for.
pub(super) struct Wanted {
    is_token: bool,
    template: CertificateTemplate,
}

/// A certificate as far as it is known.
struct Known<'a> {
    is_token: bool,
    attributes: &'a CertificateAttributes,
    check_value: &'a [u8],
    /// The certificate and its public key, where they are at hand.
    whole: Option<(&'a [u8], &'a [u8])>,
}

impl Certificate {
    /// The session with which it dies.
    pub(super) fn session(&self) -> Option<CK_SESSION_HANDLE> {
        match &self.place {
            Place::Token(_) => None,
            Place::Session(own) => Some(own.session),
        }
    }

    /// Whether only who is logged in sees it.
    pub(super) fn is_private(&self) -> bool {
        self.attributes.load().private
    }

    /// The HSMs' reference.
    pub(super) fn reference(&self) -> Option<CertificateReference> {
        match &self.place {
            Place::Token(reference) => Some(*reference),
            Place::Session(_) => None,
        }
    }
}

impl Table {
    /// The handle of a certificate of the token.
    pub(super) fn certificate(&mut self, info: CertificateInfo) -> CK_OBJECT_HANDLE {
        let handle = *self.certificates.entry(info.reference).or_insert_with(super::next_handle);
        if let Some(Object::Certificate(certificate)) = self.objects.get(&handle) {
            certificate.attributes.store(Arc::new(info.attributes));
            return handle;
        }
        let (place, attributes) = (Place::Token(info.reference), ArcSwap::from_pointee(info.attributes));
        self.objects.insert(handle, Object::Certificate(Arc::new(Certificate { handle, place, attributes })));
        handle
    }
}

impl Objects {
    fn session_certificates(&self) -> Vec<Arc<Certificate>> {
        self.read(|table| table.session_certificates.values().cloned().collect())
    }
}

impl Session {
    /// Makes a certificate.
    pub(super) fn create_certificate(&self, given: &[Given]) -> Result<CK_OBJECT_HANDLE, Failure> {
        if !self.slot.settings.is_on(Setting::CertificateStorage) {
            let why = "certificates as objects are switched off; run configure-pkcs11 --enable-certificate-storage";
            return Err(values::inconsistent(CKA_CLASS, why));
        }
        self.keep_certificate(read(given)?)
    }

    fn keep_certificate(&self, wanted: Wanted) -> Result<CK_OBJECT_HANDLE, Failure> {
        self.check_may_change(wanted.is_token)?;
        let login = wanted.template.attributes.private.then(|| self.login()).transpose()?;
        let ended = || Failure::call(CKR_USER_NOT_LOGGED_IN, "the login ended while the certificate was made");
        let objects = &self.slot.objects;
        if wanted.is_token {
            let info = self.slot.client.certificate_create(&wanted.template)?;
            return objects.write_if(login, |table| table.certificate(info)).ok_or_else(ended);
        }
        wanted.template.check().map_err(ClientError::from)?;
        check_room(objects.read(|table| table.session_certificates.len()))?;
        let CertificateTemplate { attributes, public_key_info, value } = wanted.template;
        let (session, handle) = (self.handle, super::next_handle());
        let check_value = check_value(&value);
        let place = Place::Session(OfSession { session, public_key_info, value, check_value });
        let certificate = Arc::new(Certificate { handle, place, attributes: ArcSwap::from_pointee(attributes) });
        let insert = |table: &mut Table| table.insert(handle, Object::Certificate(certificate));
        objects.write_if(login, insert).ok_or_else(ended)?;
        if self.is_closed() {
            objects.forget_certificate(handle);
            return Err(Failure::call(CKR_SESSION_CLOSED, "the session was closed meanwhile"));
        }
        Ok(handle)
    }

    /// Makes another certificate of one that says that it may be copied.
    pub(super) fn copy_certificate(
        &self,
        certificate: &Certificate,
        given: &[Given],
    ) -> Result<CK_OBJECT_HANDLE, Failure> {
        let whole = self.whole(certificate)?;
        if !whole.attributes.copyable {
            return Err(Failure::call(CKR_ACTION_PROHIBITED, "CKA_COPYABLE of the certificate is false"));
        }
        let mut wanted = Wanted {
            is_token: certificate.reference().is_some(),
            template: CertificateTemplate {
                attributes: whole.attributes,
                public_key_info: whole.public_key_info,
                value: whole.value,
            },
        };
        templates::check_length(given)?;
        for (at, one) in given.iter().enumerate() {
            match one.kind {
                _ if templates::is_repeated(given, at)? => {}
                kind if differs_in_copies(kind) => wanted.set(one)?,
                kind => return Err(templates::read_only(kind)),
            }
        }
        self.keep_certificate(wanted)
    }

    /// What a certificate's attributes are, by one round trip.
    pub(super) fn certificate_values(
        &self,
        certificate: &Certificate,
        wanted: &[CK_ATTRIBUTE_TYPE],
    ) -> Result<Vec<Reading>, Failure> {
        let whole = self.whole(certificate)?;
        let known = Known {
            is_token: certificate.reference().is_some(),
            attributes: &whole.attributes,
            check_value: &whole.check_value,
            whole: Some((&whole.value, &whole.public_key_info)),
        };
        Ok(wanted.iter().map(|kind| known.reading(*kind).unwrap_or(Reading::None)).collect())
    }

    /// Says anew what a certificate is.
    pub(super) fn set_certificate(&self, certificate: &Certificate, given: &[Given]) -> Result<(), Failure> {
        self.check_may_change(certificate.reference().is_some())?;
        let change = change(given)?;
        match &certificate.place {
            Place::Token(reference) => {
                let done = self.slot.client.certificate_set(*reference, &change);
                done.map_err(|error| self.certificate_gone(certificate, error))?;
            }
            Place::Session(_) => {
                let changed = certificate.attributes.load().changed(&change);
                if !changed.modifiable {
                    return Err(Failure::call(CKR_ACTION_PROHIBITED, "CKA_MODIFIABLE of the certificate is false"));
                }
                changed.check().map_err(ClientError::from)?;
            }
        }
        // Threads that change other attributes take none of these back.
        certificate.attributes.rcu(|known| known.changed(&change));
        Ok(())
    }

    /// Destroys a certificate.
    pub(super) fn destroy_certificate(&self, certificate: &Certificate) -> Result<(), Failure> {
        self.check_may_change(certificate.reference().is_some())?;
        match &certificate.place {
            Place::Token(reference) => {
                let done = self.slot.client.certificate_delete(*reference);
                done.map_err(|error| self.certificate_gone(certificate, error))?;
            }
            Place::Session(_) if !certificate.attributes.load().destroyable => {
                return Err(Failure::call(CKR_ACTION_PROHIBITED, "CKA_DESTROYABLE of the certificate is false"));
            }
            Place::Session(_) => {}
        }
        self.slot.objects.forget_certificate(certificate.handle);
        Ok(())
    }

    /// The certificates that a template selects, of the token and of sessions.
    pub(super) fn find_certificates(&self, given: &[Given]) -> Result<Vec<Found>, Failure> {
        if !self.slot.settings.is_on(Setting::CertificateStorage) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for certificate in self.slot.objects.session_certificates() {
            let Place::Session(own) = &certificate.place else { continue };
            let attributes = certificate.attributes.load();
            let known = Known {
                is_token: false,
                attributes: &attributes,
                check_value: &own.check_value,
                whole: Some((&own.value, &own.public_key_info)),
            };
            if known.fits(given) {
                found.push(Found::OfSession(certificate.handle));
            }
        }
        let Some(filter) = filter(given) else { return Ok(found) };
        let infos = match self.slot.client.certificate_find(&filter) {
            // There are none, and keys are found all the same.
            Err(ClientError::Refused(refusal)) if refusal.status == Status::CertificatesNotOfType => Vec::new(),
            infos => infos?,
        };
        let is_about_key = given.iter().any(|one| one.kind == CKA_PUBLIC_KEY_INFO);
        for info in infos {
            let (attributes, check_value) = (&info.attributes, &info.check_value[..]);
            let known = Known { is_token: true, attributes, check_value, whole: None };
            if known.fits(given) && (!is_about_key || self.fits_whole(info.reference, given)?) {
                found.push(Found::OfToken(info));
            }
        }
        Ok(found)
    }

    /// The same of a certificate of the token with what the HSMs do not compare.
    fn fits_whole(&self, reference: CertificateReference, given: &[Given]) -> Result<bool, Failure> {
        let WholeCertificate { info, public_key_info, value } = self.slot.client.certificate_get(reference)?;
        let (attributes, check_value) = (&info.attributes, &info.check_value[..]);
        let whole = Some((&value[..], &public_key_info[..]));
        Ok(Known { is_token: true, attributes, check_value, whole }.fits(given))
    }

    fn whole(&self, certificate: &Certificate) -> Result<Whole, Failure> {
        match &certificate.place {
            Place::Session(own) => Ok(Whole {
                attributes: (**certificate.attributes.load()).clone(),
                check_value: own.check_value.clone(),
                public_key_info: own.public_key_info.clone(),
                value: own.value.clone(),
            }),
            Place::Token(reference) => {
                let whole = self.slot.client.certificate_get(*reference);
                let WholeCertificate { info, public_key_info, value } = whole.map_err(|error| {
                    // Who reads too often is told otherwise than who changes too often.
                    self.certificate_gone(certificate, error).renamed(CKR_FUNCTION_FAILED, CKR_DEVICE_ERROR)
                })?;
                certificate.attributes.store(Arc::new(info.attributes.clone()));
                let (attributes, check_value) = (info.attributes, info.check_value.to_vec());
                Ok(Whole { attributes, check_value, public_key_info, value })
            }
        }
    }

    fn certificate_gone(&self, certificate: &Certificate, error: ClientError) -> Failure {
        if matches!(&error, ClientError::Refused(refusal) if refusal.status == Status::CertificateUnknown) {
            self.slot.objects.forget_certificate(certificate.handle);
        }
        error.into()
    }
}

/// A certificate with its bytes.
struct Whole {
    attributes: CertificateAttributes,
    check_value: Vec<u8>,
    public_key_info: Vec<u8>,
    value: Vec<u8>,
}

/// A hit of a search.
pub(super) enum Found {
    OfSession(CK_OBJECT_HANDLE),
    OfToken(CertificateInfo),
}

impl Found {
    pub(super) fn handle(self, table: &mut Table) -> CK_OBJECT_HANDLE {
        match self {
            Found::OfSession(handle) => handle,
            Found::OfToken(info) => table.certificate(info),
        }
    }
}

/// Whether sessions that have so many certificates may have another one.
fn check_room(held: usize) -> Result<(), Failure> {
    if held < SESSION_CERTIFICATES_MAX {
        return Ok(());
    }
    Err(Failure::call(CKR_DEVICE_MEMORY, "the sessions have 1,024 certificates; destroy some"))
}

fn check_value(value: &[u8]) -> Vec<u8> {
    digest::digest(HashFunction::Sha1, value).into_iter().take(3).collect()
}

impl Known<'_> {
    /// What an attribute is; none that a certificate has not, or that is not at hand.
    fn reading(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<Reading> {
        let attributes = self.attributes;
        let date = |date: &Option<CertificateDate>| Reading::of(date.as_ref().map_or(&[][..], |date| date.as_digits()));
        let reading = match kind {
            CKA_CLASS => Reading::of_number(CKO_CERTIFICATE),
            CKA_CERTIFICATE_TYPE => Reading::of_number(CKC_X_509),
            CKA_CERTIFICATE_CATEGORY => Reading::of_number(attributes.category.number().into()),
            CKA_TOKEN => Reading::of_flag(self.is_token),
            CKA_PRIVATE => Reading::of_flag(attributes.private),
            CKA_MODIFIABLE => Reading::of_flag(attributes.modifiable),
            CKA_DESTROYABLE => Reading::of_flag(attributes.destroyable),
            CKA_COPYABLE => Reading::of_flag(attributes.copyable),
            CKA_TRUSTED => Reading::of_flag(false),
            CKA_LABEL => Reading::of(attributes.label.as_bytes()),
            CKA_ID => Reading::of(&attributes.id),
            CKA_SUBJECT => Reading::of(&attributes.subject),
            CKA_ISSUER => Reading::of(&attributes.issuer),
            CKA_SERIAL_NUMBER => Reading::of(&attributes.serial_number),
            CKA_START_DATE => date(&attributes.start_date),
            CKA_END_DATE => date(&attributes.end_date),
            CKA_CHECK_VALUE => Reading::of(self.check_value),
            CKA_VALUE => Reading::of(self.whole?.0),
            CKA_PUBLIC_KEY_INFO => Reading::of(self.whole?.1),
            _ => return None,
        };
        Some(reading)
    }

    /// Whether it has every attribute of a template, of those that are at hand.
    fn fits(&self, given: &[Given]) -> bool {
        given.iter().all(|one| {
            if matches!(one.kind, CKA_VALUE | CKA_PUBLIC_KEY_INFO) && self.whole.is_none() {
                return true;
            }
            let Ok(wanted) = templates::bytes(one) else { return false };
            let Some(Reading::Value(value)) = self.reading(one.kind) else { return false };
            match templates::attribute(one.kind).map(|attribute| attribute.shape) {
                Some(Shape::Flag(_) | Shape::Bool(_)) => {
                    values::boolean(one.kind, wanted).is_ok_and(|wanted| [u8::from(wanted)] == *value.expose())
                }
                Some(Shape::Number) => {
                    values::number(one.kind, wanted).is_ok_and(|wanted| wanted.to_ne_bytes() == *value.expose())
                }
                _ => wanted == value.expose(),
            }
        })
    }
}

/// What the HSM is asked to select by; none when no certificate of the token fits.
pub(super) fn filter(given: &[Given]) -> Option<CertificateFilter> {
    let mut filter = CertificateFilter::default();
    let attributes = CertificateAttributes::default();
    let any = Known { is_token: true, attributes: &attributes, check_value: &[], whole: Some((&[], &[])) };
    for one in given {
        // What no certificate has need not be asked of the HSMs.
        any.reading(one.kind)?;
        let bytes = templates::bytes(one).ok()?;
        match one.kind {
            CKA_LABEL => filter.label = Some(values::text(one.kind, bytes).ok()?),
            CKA_ID => filter.id = Some(bytes.to_vec()),
            CKA_SUBJECT => filter.subject = Some(bytes.to_vec()),
            CKA_ISSUER => filter.issuer = Some(bytes.to_vec()),
            CKA_SERIAL_NUMBER => filter.serial_number = Some(bytes.to_vec()),
            CKA_VALUE => filter.value = Some(bytes.to_vec()),
            CKA_CLASS if values::number(one.kind, bytes).ok()? != CKO_CERTIFICATE => return None,
            CKA_TOKEN if !values::boolean(one.kind, bytes).ok()? => return None,
            _ => {}
        }
    }
    Some(filter)
}

/// Reads the template of a certificate.
pub(super) fn read(given: &[Given]) -> Result<Wanted, Failure> {
    templates::check_length(given)?;
    for mandatory in [CKA_CLASS, CKA_CERTIFICATE_TYPE, CKA_SUBJECT, CKA_VALUE] {
        if !given.iter().any(|one| one.kind == mandatory) {
            return Err(templates::incomplete(mandatory));
        }
    }
    let attributes = CertificateAttributes { modifiable: true, destroyable: true, ..CertificateAttributes::default() };
    let template = CertificateTemplate { attributes, ..CertificateTemplate::default() };
    let mut wanted = Wanted { is_token: true, template };
    for (at, one) in given.iter().enumerate() {
        if !templates::is_repeated(given, at)? {
            wanted.set(one)?;
        }
    }
    Ok(wanted)
}

impl Wanted {
    fn set(&mut self, given: &Given) -> Result<(), Failure> {
        let Some(attribute) = templates::attribute(given.kind) else { return Err(templates::unknown(given.kind)) };
        let kind = given.kind;
        let CertificateTemplate { attributes, public_key_info, value } = &mut self.template;
        let bytes = || templates::bytes(given);
        let flag = || values::boolean(kind, templates::bytes(given)?);
        match kind {
            // Whoever calls has looked at it.
            CKA_CLASS => {}
            CKA_CERTIFICATE_TYPE if values::number(kind, bytes()?)? == CKC_X_509 => {}
            CKA_CERTIFICATE_TYPE => return Err(values::invalid(kind, "the HSMs keep certificates of X.509 only")),
            CKA_TOKEN => self.is_token = flag()?,
            CKA_PRIVATE => attributes.private = flag()?,
            CKA_MODIFIABLE => attributes.modifiable = flag()?,
            CKA_DESTROYABLE => attributes.destroyable = flag()?,
            CKA_COPYABLE => attributes.copyable = flag()?,
            CKA_TRUSTED if flag()? => return Err(templates::read_only(kind)),
            CKA_TRUSTED => {}
            CKA_LABEL => attributes.label = values::text(kind, bytes()?)?,
            CKA_ID => attributes.id = bytes()?.to_vec(),
            CKA_SUBJECT => attributes.subject = bytes()?.to_vec(),
            CKA_ISSUER => attributes.issuer = bytes()?.to_vec(),
            CKA_SERIAL_NUMBER => attributes.serial_number = bytes()?.to_vec(),
            CKA_START_DATE => attributes.start_date = date(kind, bytes()?)?,
            CKA_END_DATE => attributes.end_date = date(kind, bytes()?)?,
            CKA_CERTIFICATE_CATEGORY => {
                let category = CertificateCategory::from_number(values::small_number(kind, bytes()?)?);
                attributes.category = category.ok_or(values::invalid(kind, "there is no such category"))?;
            }
            CKA_VALUE => *value = bytes()?.to_vec(),
            CKA_PUBLIC_KEY_INFO => *public_key_info = bytes()?.to_vec(),
            CKA_CHECK_VALUE => return Err(templates::read_only(kind)),
            _ if templates::says_nothing(attribute.shape, given) => {}
            _ => return Err(values::inconsistent(kind, "a certificate has no such attribute")),
        }
        Ok(())
    }
}

/// Whether a copy may be given another value.
fn differs_in_copies(kind: CK_ATTRIBUTE_TYPE) -> bool {
    matches!(kind, CKA_TOKEN | CKA_PRIVATE | CKA_LABEL | CKA_ID | CKA_MODIFIABLE | CKA_DESTROYABLE)
}

/// Eight digits, or nothing.
fn date(kind: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Result<Option<CertificateDate>, Failure> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let date = bytes.try_into().ok().and_then(CertificateDate::from_digits);
    date.map(Some).ok_or(values::invalid(kind, "a date is year, month and day in eight digits"))
}

/// What is asked to be said anew.
fn change(given: &[Given]) -> Result<CertificateChange, Failure> {
    templates::check_length(given)?;
    let mut change = CertificateChange::default();
    for (at, one) in given.iter().enumerate() {
        if templates::is_repeated(given, at)? {
            continue;
        }
        let bytes = || templates::bytes(one).map(<[u8]>::to_vec);
        match one.kind {
            CKA_LABEL => change.label = Some(values::text(one.kind, &bytes()?)?),
            CKA_ID => change.id = Some(bytes()?),
            CKA_ISSUER => change.issuer = Some(bytes()?),
            CKA_SERIAL_NUMBER => change.serial_number = Some(bytes()?),
            kind if templates::attribute(kind).is_none() => return Err(templates::unknown(kind)),
            kind => return Err(templates::read_only(kind)),
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::attribute::given::{number, of};

    fn least() -> Vec<Given> {
        vec![
            number(CKA_CLASS, CKO_CERTIFICATE),
            number(CKA_CERTIFICATE_TYPE, CKC_X_509),
            of(CKA_SUBJECT, &[0x30, 0]),
            of(CKA_VALUE, &[0x30, 1, 5]),
        ]
    }

    fn outcome(given: &[Given]) -> Result<Wanted, CK_RV> {
        read(given).map_err(|failure| failure.rv())
    }

    #[test]
    fn defaults_are_those_of_the_guide() {
        let Wanted { is_token, template } = outcome(&least()).unwrap();
        let attributes = &template.attributes;
        assert!(is_token && attributes.modifiable && attributes.destroyable);
        assert!(!attributes.private && !attributes.copyable);
        assert_eq!(attributes.category, CertificateCategory::Unspecified);
        assert_eq!((&template.value[..], &attributes.subject[..]), (&[0x30, 1, 5][..], &[0x30, 0][..]));
        for missing in 0..4 {
            let mut given = least();
            given.remove(missing);
            assert_eq!(outcome(&given).err(), Some(CKR_TEMPLATE_INCOMPLETE));
        }
    }

    /// Another value than the default's.
    fn another(kind: CK_ATTRIBUTE_TYPE, default: &[u8]) -> Vec<u8> {
        match (kind, default) {
            (CKA_CLASS | CKA_CERTIFICATE_TYPE | CKA_SUBJECT | CKA_VALUE, _) => default.to_vec(),
            (CKA_CERTIFICATE_CATEGORY, _) => 1_u64.to_ne_bytes().to_vec(),
            (CKA_START_DATE | CKA_END_DATE, _) => b"20260131".to_vec(),
            (_, [flag]) => vec![1 - flag],
            _ => b"another".to_vec(),
        }
    }

    /// What the page says of an attribute, by what the code makes of it.
    fn row(kind: CK_ATTRIBUTE_TYPE) -> Option<[&'static str; 3]> {
        let Wanted { is_token, template } = read(&least()).unwrap();
        let CertificateTemplate { attributes, public_key_info, value } = &template;
        let whole = Some((&value[..], &public_key_info[..]));
        let Reading::Value(default) = (Known { is_token, attributes, check_value: &[], whole }).reading(kind)? else {
            panic!("a certificate has no secret")
        };
        let another = another(kind, default.expose());
        let with = |bytes: &[u8]| {
            let others = least().into_iter().filter(|one| one.kind != kind);
            outcome(&others.chain([of(kind, bytes)]).collect::<Vec<_>>()).err()
        };
        let is_mandatory = least().iter().any(|one| one.kind == kind);
        let in_create = match (with(&another), with(default.expose())) {
            (None, None) if is_mandatory => "must",
            (None, None) => "may",
            (Some(CKR_ATTRIBUTE_READ_ONLY), None) => "false only",
            (Some(CKR_ATTRIBUTE_READ_ONLY), Some(CKR_ATTRIBUTE_READ_ONLY)) => "read-only",
            other => panic!("{kind:#x}: {other:?}"),
        };
        let default = match default.expose() {
            _ if is_mandatory || in_create == "read-only" => "",
            [] => "empty",
            [0] => "false",
            [1] => "true",
            number if number == 0_u64.to_ne_bytes() => "0",
            other => panic!("{kind:#x}: {other:?}"),
        };
        let later = match (change(&[of(kind, &another)]).is_ok(), differs_in_copies(kind)) {
            (false, false) => "stays",
            (false, true) => "stays, in a copy it may differ",
            (true, false) => "can be changed",
            (true, true) => "can be changed, in a copy too",
        };
        Some([default, in_create, later])
    }

    #[test]
    fn the_reference_tells_every_attribute_as_it_is() {
        let page = templates::page();
        let cells = page["Certificates"].iter().map(|(cell, text)| {
            // What a cell says beyond its word stands behind a comma, a semicolon or a colon.
            let word = if cell.1 == "Later" { text } else { text.split([',', ';', ':']).next().unwrap() };
            (*cell, word)
        });
        let expected = templates::kinds().into_iter().filter_map(|kind| {
            let name = templates::attribute(kind).unwrap().name;
            let [default, in_create, later] = row(kind)?;
            Some([((name, "Default"), default), ((name, "In `C_CreateObject`"), in_create), ((name, "Later"), later)])
        });
        assert_eq!(cells.collect::<BTreeMap<_, _>>(), expected.flatten().collect());
    }

    #[test]
    fn sessions_have_so_many_certificates_and_no_more() {
        let check = |held| check_room(held).map_err(|failure| failure.rv());
        assert_eq!(check(0), Ok(()));
        assert_eq!(check(SESSION_CERTIFICATES_MAX - 1), Ok(()));
        assert_eq!(check(SESSION_CERTIFICATES_MAX), Err(CKR_DEVICE_MEMORY));
        assert_eq!(check(SESSION_CERTIFICATES_MAX + 1), Err(CKR_DEVICE_MEMORY));
    }

    #[test]
    fn attributes_are_those_of_certificates() {
        let check = |given: Given, expected: Option<CK_RV>| {
            let kind = given.kind;
            let mut all = least();
            all.retain(|one| one.kind != kind);
            all.push(given);
            assert_eq!(outcome(&all).err(), expected, "{kind:#x}");
        };
        check(number(CKA_CERTIFICATE_TYPE, CKC_X_509_ATTR_CERT), Some(CKR_ATTRIBUTE_VALUE_INVALID));
        check(number(CKA_CERTIFICATE_CATEGORY, 2), None);
        check(number(CKA_CERTIFICATE_CATEGORY, 4), Some(CKR_ATTRIBUTE_VALUE_INVALID));
        check(of(CKA_TRUSTED, &[0]), None);
        check(of(CKA_TRUSTED, &[1]), Some(CKR_ATTRIBUTE_READ_ONLY));
        check(of(CKA_CHECK_VALUE, &[1, 2, 3]), Some(CKR_ATTRIBUTE_READ_ONLY));
        check(of(CKA_START_DATE, b"20260131"), None);
        check(of(CKA_START_DATE, b"2026013"), Some(CKR_ATTRIBUTE_VALUE_INVALID));
        check(of(CKA_END_DATE, &[]), None);
        check(of(CKA_URL, &[]), None);
        check(of(CKA_URL, b"http://"), Some(CKR_TEMPLATE_INCONSISTENT));
        check(of(CKA_SIGN, &[0]), None);
        check(of(CKA_SIGN, &[1]), Some(CKR_TEMPLATE_INCONSISTENT));
        check(of(CKA_LABEL, &[0xff]), Some(CKR_ATTRIBUTE_VALUE_INVALID));
        check(of(0xbad0_0000, &[]), Some(CKR_ATTRIBUTE_TYPE_INVALID));
    }

    #[test]
    fn searches_compare_every_attribute() {
        let template = outcome(&least()).unwrap().template;
        let attributes = CertificateAttributes { label: "site".into(), id: vec![7], ..template.attributes };
        let known = Known {
            is_token: true,
            attributes: &attributes,
            check_value: &[1, 2, 3],
            whole: Some((&template.value, &[])),
        };
        let check = |given: Given, expected: bool| {
            let kind = given.kind;
            assert_eq!(known.fits(&[given]), expected, "{kind:#x}");
        };
        check(number(CKA_CLASS, CKO_CERTIFICATE), true);
        check(number(CKA_CLASS, CKO_DATA), false);
        check(of(CKA_TOKEN, &[1, 0, 0, 0, 0, 0, 0, 0]), true);
        check(of(CKA_TOKEN, &[0]), false);
        check(of(CKA_LABEL, b"site"), true);
        check(of(CKA_LABEL, b"other"), false);
        check(of(CKA_ID, &[7]), true);
        check(of(CKA_SUBJECT, &[0x30, 0]), true);
        check(of(CKA_VALUE, &[0x30, 1, 5]), true);
        check(of(CKA_VALUE, &[0x30, 1, 6]), false);
        check(of(CKA_CHECK_VALUE, &[1, 2, 3]), true);
        check(of(CKA_MODULUS, &[]), false);
        check(of(CKA_TOKEN, &[]), false);
        check(of(CKA_CERTIFICATE_CATEGORY, &[0]), false);
        assert!(known.fits(&[]));
        let both = [of(CKA_LABEL, b"site"), of(CKA_ID, &[8])];
        assert!(!known.fits(&both));
        for none in [of(CKA_TOKEN, &[0]), of(CKA_TOKEN, &[]), of(CKA_LABEL, &[0xff]), number(CKA_CLASS, CKO_DATA)] {
            assert_eq!(filter(&[none]), None);
        }
        // What only keys have.
        for key in [number(CKA_KEY_TYPE, CKK_RSA), of(CKA_MODULUS, &[1]), of(CKA_SIGN, &[0]), of(CKA_EXTRACTABLE, &[0])]
        {
            assert_eq!(filter(&[key]), None);
        }
        assert!(filter(&[of(CKA_CHECK_VALUE, &[1]), of(CKA_TRUSTED, &[0]), of(CKA_PRIVATE, &[0])]).is_some());
        let filter = filter(&both).unwrap();
        assert_eq!((filter.label.as_deref(), filter.id), (Some("site"), Some(vec![8])));
    }

    #[test]
    fn what_may_be_said_anew() {
        let rv = |given: &[Given]| change(given).map_err(|failure| failure.rv());
        let said = rv(&[of(CKA_LABEL, b"new"), of(CKA_ID, &[1])]).unwrap();
        assert_eq!((said.label.as_deref(), said.id, said.issuer), (Some("new"), Some(vec![1]), None));
        assert_eq!(rv(&[of(CKA_VALUE, &[0x30, 0])]), Err(CKR_ATTRIBUTE_READ_ONLY));
        assert_eq!(rv(&[of(CKA_SUBJECT, &[0x30, 0])]), Err(CKR_ATTRIBUTE_READ_ONLY));
        assert_eq!(rv(&[of(0xbad0_0000, &[])]), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    }
}

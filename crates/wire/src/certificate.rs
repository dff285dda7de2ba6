use strongroom_types::limits::{CERTIFICATE_KEY_INFO_LEN_MAX, CERTIFICATE_LEN_MAX};
use strongroom_types::{
    CertificateAttributes, CertificateCategory, CertificateChange, CertificateDate, CertificateFilter,
    CertificateReference, CertificateTemplate, CheckValue, UserName,
};

use crate::convert::Malformed;
use crate::v1;

/// A certificate as an HSM describes it to who may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Reference.
    pub reference: CertificateReference,
    /// What is said of it.
    pub attributes: CertificateAttributes,
    /// The first three bytes of its SHA-1.
    pub check_value: CheckValue,
    /// Whose it is; none of one that is nobody's.
    pub owner: Option<UserName>,
}

/// A certificate, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeCertificate {
    /// What it is.
    pub info: CertificateInfo,
    /// SubjectPublicKeyInfo, or empty.
    pub public_key_info: Vec<u8>,
    /// DER.
    pub value: Vec<u8>,
}

impl From<CertificateAttributes> for v1::CertificateAttributes {
    fn from(attributes: CertificateAttributes) -> v1::CertificateAttributes {
        let digits = |date: Option<CertificateDate>| {
            date.iter().flat_map(|date| date.as_digits().iter().copied().map(char::from)).collect()
        };
        v1::CertificateAttributes {
            start_date: digits(attributes.start_date),
            end_date: digits(attributes.end_date),
            label: attributes.label,
            certificate_id: attributes.id,
            subject: attributes.subject,
            issuer: attributes.issuer,
            serial_number: attributes.serial_number,
            category: attributes.category.number(),
            private: attributes.private,
            modifiable: attributes.modifiable,
            destroyable: attributes.destroyable,
            copyable: attributes.copyable,
        }
    }
}

impl TryFrom<v1::CertificateAttributes> for CertificateAttributes {
    type Error = Malformed;

    /// Reads the form; what is over its limit is for [`CertificateAttributes::check`] to refuse by its name.
    fn try_from(message: v1::CertificateAttributes) -> Result<CertificateAttributes, Malformed> {
        let date = |text: &str, field| match text.as_bytes() {
            [] => Ok(None),
            digits => {
                let digits = digits.try_into().ok();
                digits.and_then(CertificateDate::from_digits).map(Some).ok_or(Malformed { field })
            }
        };
        let category = CertificateCategory::from_number(message.category);
        Ok(CertificateAttributes {
            start_date: date(&message.start_date, "start_date")?,
            end_date: date(&message.end_date, "end_date")?,
            label: message.label,
            id: message.certificate_id,
            subject: message.subject,
            issuer: message.issuer,
            serial_number: message.serial_number,
            category: category.ok_or(Malformed { field: "category" })?,
            private: message.private,
            modifiable: message.modifiable,
            destroyable: message.destroyable,
            copyable: message.copyable,
        })
    }
}

impl From<WholeCertificate> for v1::Certificate {
    fn from(certificate: WholeCertificate) -> v1::Certificate {
        let WholeCertificate { info, public_key_info, value } = certificate;
        v1::Certificate { public_key_info, value, ..info.into() }
    }
}

impl From<CertificateInfo> for v1::Certificate {
    fn from(info: CertificateInfo) -> v1::Certificate {
        v1::Certificate {
            reference: info.reference.as_u64(),
            attributes: Some(info.attributes.into()),
            check_value: info.check_value.to_vec(),
            owner: info.owner.map(|name| name.as_str().to_owned()).unwrap_or_default(),
            public_key_info: Vec::new(),
            value: Vec::new(),
        }
    }
}

impl TryFrom<v1::Certificate> for CertificateInfo {
    type Error = Malformed;

    fn try_from(message: v1::Certificate) -> Result<CertificateInfo, Malformed> {
        let malformed = |field| Malformed { field };
        let attributes = message.attributes.ok_or(malformed("attributes"))?;
        let attributes = CertificateAttributes::try_from(attributes)?;
        attributes.check().map_err(|_| malformed("attributes"))?;
        let owner = match message.owner.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| malformed("owner"))?),
        };
        Ok(CertificateInfo {
            reference: CertificateReference::from_u64(message.reference).ok_or(malformed("reference"))?,
            attributes,
            check_value: message.check_value.as_slice().try_into().map_err(|_| malformed("check_value"))?,
            owner,
        })
    }
}

impl TryFrom<v1::Certificate> for WholeCertificate {
    type Error = Malformed;

    fn try_from(mut message: v1::Certificate) -> Result<WholeCertificate, Malformed> {
        let public_key_info = std::mem::take(&mut message.public_key_info);
        let value = std::mem::take(&mut message.value);
        if public_key_info.len() > CERTIFICATE_KEY_INFO_LEN_MAX {
            return Err(Malformed { field: "public_key_info" });
        }
        if value.is_empty() || value.len() > CERTIFICATE_LEN_MAX {
            return Err(Malformed { field: "value" });
        }
        Ok(WholeCertificate { info: message.try_into()?, public_key_info, value })
    }
}

/// A certificate to be made, and what a request says beside it: whether it shall be trusted, and whether nobody asks.
impl From<CertificateTemplate> for v1::CertificateCreate {
    fn from(template: CertificateTemplate) -> v1::CertificateCreate {
        v1::CertificateCreate {
            attributes: Some(template.attributes.into()),
            public_key_info: template.public_key_info,
            value: template.value,
            ..v1::CertificateCreate::default()
        }
    }
}

impl TryFrom<v1::CertificateCreate> for CertificateTemplate {
    type Error = Malformed;

    fn try_from(message: v1::CertificateCreate) -> Result<CertificateTemplate, Malformed> {
        let attributes = message.attributes.ok_or(Malformed { field: "attributes" })?.try_into()?;
        Ok(CertificateTemplate { attributes, public_key_info: message.public_key_info, value: message.value })
    }
}

impl From<CertificateFilter> for v1::CertificateFind {
    fn from(filter: CertificateFilter) -> v1::CertificateFind {
        v1::CertificateFind {
            label: filter.label,
            certificate_id: filter.id,
            subject: filter.subject,
            issuer: filter.issuer,
            serial_number: filter.serial_number,
            value: filter.value,
            ..v1::CertificateFind::default()
        }
    }
}

impl From<v1::CertificateFind> for CertificateFilter {
    fn from(message: v1::CertificateFind) -> CertificateFilter {
        CertificateFilter {
            label: message.label,
            id: message.certificate_id,
            subject: message.subject,
            issuer: message.issuer,
            serial_number: message.serial_number,
            value: message.value,
        }
    }
}

impl From<CertificateChange> for v1::CertificateSet {
    fn from(change: CertificateChange) -> v1::CertificateSet {
        v1::CertificateSet {
            label: change.label,
            certificate_id: change.id,
            issuer: change.issuer,
            serial_number: change.serial_number,
            ..v1::CertificateSet::default()
        }
    }
}

impl From<v1::CertificateSet> for CertificateChange {
    fn from(message: v1::CertificateSet) -> CertificateChange {
        CertificateChange {
            label: message.label,
            id: message.certificate_id,
            issuer: message.issuer,
            serial_number: message.serial_number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> WholeCertificate {
        let date = |digits: &[u8; 8]| CertificateDate::from_digits(*digits);
        let attributes = CertificateAttributes {
            label: "site".into(),
            id: vec![1],
            subject: vec![0x30, 0],
            issuer: vec![0x30, 0],
            serial_number: vec![2, 1, 7],
            start_date: date(b"20260101"),
            end_date: date(b"20271231"),
            category: CertificateCategory::Authority,
            private: true,
            modifiable: true,
            destroyable: false,
            copyable: true,
        };
        let reference = CertificateReference::from_u64(7).unwrap();
        let owner = Some("alice".parse().unwrap());
        let info = CertificateInfo { reference, attributes, check_value: [1, 2, 3], owner };
        WholeCertificate { info, public_key_info: vec![0x30, 0], value: vec![0x30, 0] }
    }

    #[test]
    fn certificates_read_back() {
        let mut bare = whole();
        bare.info.owner = None;
        bare.info.attributes = CertificateAttributes { subject: vec![0x30, 0], ..CertificateAttributes::default() };
        for certificate in [whole(), bare] {
            let message = v1::Certificate::from(certificate.clone());
            assert_eq!(CertificateInfo::try_from(message.clone()), Ok(certificate.info.clone()));
            assert_eq!(WholeCertificate::try_from(message), Ok(certificate.clone()));
            let template = CertificateTemplate {
                attributes: certificate.info.attributes,
                public_key_info: certificate.public_key_info,
                value: certificate.value,
            };
            assert_eq!(CertificateTemplate::try_from(v1::CertificateCreate::from(template.clone())), Ok(template));
        }
        let (label, id, issuer) = (Some(String::new()), None, Some(vec![1]));
        let change = CertificateChange { label: label.clone(), id: id.clone(), issuer, serial_number: None };
        assert_eq!(CertificateChange::from(v1::CertificateSet::from(change.clone())), change);
        let filter = CertificateFilter { label, id, subject: Some(vec![2]), ..CertificateFilter::default() };
        assert_eq!(CertificateFilter::from(v1::CertificateFind::from(filter.clone())), filter);
    }

    #[test]
    fn fields_that_cannot_be_are_named() {
        let check = |field, break_it: &dyn Fn(&mut v1::Certificate)| {
            let mut message = v1::Certificate::from(whole());
            break_it(&mut message);
            assert_eq!(WholeCertificate::try_from(message), Err(Malformed { field }));
        };
        fn attributes(message: &mut v1::Certificate) -> &mut v1::CertificateAttributes {
            message.attributes.as_mut().unwrap()
        }
        check("reference", &|message| message.reference = 0);
        check("attributes", &|message| message.attributes = None);
        check("attributes", &|message| attributes(message).subject.clear());
        check("start_date", &|message| attributes(message).start_date = "2026".into());
        check("end_date", &|message| attributes(message).end_date = "2026123x".into());
        check("category", &|message| attributes(message).category = 4);
        check("check_value", &|message| message.check_value = vec![1; 4]);
        check("owner", &|message| message.owner = "a user".into());
        check("value", &|message| message.value.clear());
        check("value", &|message| message.value = vec![1; CERTIFICATE_LEN_MAX + 1]);
        check("public_key_info", &|message| message.public_key_info = vec![1; CERTIFICATE_KEY_INFO_LEN_MAX + 1]);
        let bare = CertificateTemplate::try_from(v1::CertificateCreate::default());
        assert_eq!(bare, Err(Malformed { field: "attributes" }));
    }
}

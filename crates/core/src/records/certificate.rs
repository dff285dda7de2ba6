use prost::Message;
use strongroom_types::{
    CertificateAttributes, CertificateCategory, CertificateDate, CertificateReference, CertificateTemplate, CheckValue,
    RecordKind, RecordPath, UserId,
};

use super::codec::{Field, creation_message, creation_of};
use super::kinds::Creation;
use super::messages::CreationMessage;

/// A certificate that applications keep in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Reference, never given again.
    pub reference: CertificateReference,
    /// Whose it is; none of one that was made without a login.
    pub owner: Option<UserId>,
    /// What is said of it, and its bytes.
    pub template: CertificateTemplate,
    /// The first three bytes of its SHA-1.
    pub check_value: CheckValue,
    /// How it came to be.
    pub creation: Creation,
    /// Milliseconds since 1970.
    pub created_ms: u64,
}

impl Certificate {
    /// Where the record lies: eight zero bytes, then the reference, big-endian.
    pub fn path_of(reference: CertificateReference) -> RecordPath {
        RecordPath { kind: RecordKind::Certificate, id: u128::from(reference.as_u64()).to_be_bytes() }
    }

    /// The reference in a path that [`Certificate::path_of`] made.
    pub fn reference_of(path: RecordPath) -> Option<CertificateReference> {
        u64::try_from(u128::from_be_bytes(path.id)).ok().and_then(CertificateReference::from_u64)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CertificateMessage {
    #[prost(uint64, tag = "1")]
    reference: u64,
    #[prost(bytes = "vec", tag = "2")]
    owner: Vec<u8>,
    #[prost(string, tag = "3")]
    label: String,
    #[prost(bytes = "vec", tag = "4")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    subject: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    issuer: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    serial_number: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    start_date: Vec<u8>,
    #[prost(bytes = "vec", tag = "9")]
    end_date: Vec<u8>,
    #[prost(uint32, tag = "10")]
    category: u32,
    #[prost(bool, tag = "11")]
    private: bool,
    #[prost(bool, tag = "12")]
    modifiable: bool,
    #[prost(bool, tag = "13")]
    destroyable: bool,
    #[prost(bool, tag = "14")]
    copyable: bool,
    #[prost(bytes = "vec", tag = "15")]
    public_key_info: Vec<u8>,
    #[prost(bytes = "vec", tag = "16")]
    value: Vec<u8>,
    #[prost(bytes = "vec", tag = "17")]
    check_value: Vec<u8>,
    #[prost(message, optional, tag = "18")]
    creation: Option<CreationMessage>,
    #[prost(uint64, tag = "19")]
    created_ms: u64,
}

pub(super) fn certificate_message(certificate: &Certificate) -> CertificateMessage {
    let CertificateTemplate { attributes, public_key_info, value } = &certificate.template;
    let digits = |date: Option<CertificateDate>| date.map(|date| date.as_digits().to_vec()).unwrap_or_default();
    CertificateMessage {
        reference: certificate.reference.as_u64(),
        owner: certificate.owner.map(|user| user.as_bytes().to_vec()).unwrap_or_default(),
        label: attributes.label.clone(),
        id: attributes.id.clone(),
        subject: attributes.subject.clone(),
        issuer: attributes.issuer.clone(),
        serial_number: attributes.serial_number.clone(),
        start_date: digits(attributes.start_date),
        end_date: digits(attributes.end_date),
        category: attributes.category.number(),
        private: attributes.private,
        modifiable: attributes.modifiable,
        destroyable: attributes.destroyable,
        copyable: attributes.copyable,
        public_key_info: public_key_info.clone(),
        value: value.clone(),
        check_value: certificate.check_value.to_vec(),
        creation: Some(creation_message(&certificate.creation)),
        created_ms: certificate.created_ms,
    }
}

pub(super) fn certificate_of(message: CertificateMessage) -> Field<Certificate> {
    let owner = match message.owner.as_slice() {
        [] => None,
        id => Some(UserId::try_from(id).map_err(|_| "owner")?),
    };
    let attributes = CertificateAttributes {
        label: message.label,
        id: message.id,
        subject: message.subject,
        issuer: message.issuer,
        serial_number: message.serial_number,
        start_date: date(&message.start_date, "start_date")?,
        end_date: date(&message.end_date, "end_date")?,
        category: CertificateCategory::from_number(message.category).ok_or("category")?,
        private: message.private,
        modifiable: message.modifiable,
        destroyable: message.destroyable,
        copyable: message.copyable,
    };
    if attributes.private && owner.is_none() {
        return Err("private");
    }
    let template = CertificateTemplate { attributes, public_key_info: message.public_key_info, value: message.value };
    template.check().map_err(|_| "value")?;
    Ok(Certificate {
        reference: CertificateReference::from_u64(message.reference).ok_or("reference")?,
        owner,
        template,
        check_value: message.check_value.as_slice().try_into().map_err(|_| "check_value")?,
        creation: creation_of(message.creation.as_ref().ok_or("creation")?)?,
        created_ms: message.created_ms,
    })
}

fn date(digits: &[u8], field: &'static str) -> Field<Option<CertificateDate>> {
    match digits {
        [] => Ok(None),
        digits => {
            let digits = digits.try_into().map_err(|_| field)?;
            Ok(Some(CertificateDate::from_digits(digits).ok_or(field)?))
        }
    }
}

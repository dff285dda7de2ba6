//! Certificates as objects: X.509 bytes and what a PKCS #11 application says of them (PKCS #11 v2.40 §4.6).
//!
//! * What is said of a certificate is the application's word: nobody compares it with the bytes, and nobody verifies a
//!   signature or a path. A certificate that is kept is no reason to trust it.
//! * One rule for HSMs, which keep certificates for everybody, and for clients, which keep those of a session.

use crate::limits::{
    CERTIFICATE_ID_LEN_MAX, CERTIFICATE_KEY_INFO_LEN_MAX, CERTIFICATE_LABEL_LEN_MAX, CERTIFICATE_LEN_MAX,
    CERTIFICATE_NAME_LEN_MAX, CERTIFICATE_SERIAL_LEN_MAX,
};
use crate::{Refusal, Status};

/// `CKA_CERTIFICATE_CATEGORY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateCategory {
    /// Nobody says.
    #[default]
    Unspecified,
    /// The owner's of the token.
    TokenUser,
    /// A CA's.
    Authority,
    /// Somebody else's.
    OtherEntity,
}

impl CertificateCategory {
    /// The number in PKCS #11, in records and on the wire.
    pub fn number(self) -> u32 {
        match self {
            CertificateCategory::Unspecified => 0,
            CertificateCategory::TokenUser => 1,
            CertificateCategory::Authority => 2,
            CertificateCategory::OtherEntity => 3,
        }
    }

    /// The category of this number.
    pub fn from_number(number: u32) -> Option<CertificateCategory> {
        match number {
            0 => Some(CertificateCategory::Unspecified),
            1 => Some(CertificateCategory::TokenUser),
            2 => Some(CertificateCategory::Authority),
            3 => Some(CertificateCategory::OtherEntity),
            _ => None,
        }
    }
}

/// A day as `CK_DATE` has it: year, month and day in eight digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateDate([u8; 8]);

impl CertificateDate {
    /// The day in these digits; none of a month beyond 12 or a day beyond 31.
    pub fn from_digits(digits: [u8; 8]) -> Option<CertificateDate> {
        let [.., a, b, c, d] = digits;
        let between = |pair: [u8; 2], max: [u8; 2]| pair > *b"00" && pair <= max;
        let is_day = digits.iter().all(u8::is_ascii_digit) && between([a, b], *b"12") && between([c, d], *b"31");
        is_day.then_some(CertificateDate(digits))
    }

    /// Eight digits.
    pub fn as_digits(&self) -> &[u8; 8] {
        &self.0
    }
}

/// What is said of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateAttributes {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`, often that of the key pair.
    pub id: Vec<u8>,
    /// `CKA_SUBJECT`, DER as a rule. Never empty.
    pub subject: Vec<u8>,
    /// `CKA_ISSUER`, or empty.
    pub issuer: Vec<u8>,
    /// `CKA_SERIAL_NUMBER`, or empty.
    pub serial_number: Vec<u8>,
    /// `CKA_START_DATE`.
    pub start_date: Option<CertificateDate>,
    /// `CKA_END_DATE`.
    pub end_date: Option<CertificateDate>,
    /// `CKA_CERTIFICATE_CATEGORY`.
    pub category: CertificateCategory,
    /// `CKA_PRIVATE`: its owner alone sees it.
    pub private: bool,
    /// `CKA_MODIFIABLE`.
    pub modifiable: bool,
    /// `CKA_DESTROYABLE`.
    pub destroyable: bool,
    /// `CKA_COPYABLE`.
    pub copyable: bool,
}

/// A certificate to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateTemplate {
    /// What is said of it.
    pub attributes: CertificateAttributes,
    /// `CKA_PUBLIC_KEY_INFO`, or empty.
    pub public_key_info: Vec<u8>,
    /// `CKA_VALUE`: the certificate, DER.
    pub value: Vec<u8>,
}

/// What may be said anew of a certificate (PKCS #11 v2.40 §4.6.3); none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateChange {
    /// `CKA_LABEL`.
    pub label: Option<String>,
    /// `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// `CKA_ISSUER`.
    pub issuer: Option<Vec<u8>>,
    /// `CKA_SERIAL_NUMBER`.
    pub serial_number: Option<Vec<u8>>,
}

/// Conditions on a certificate that all hold; none says nothing, and so selects every visible certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFilter {
    /// `CKA_LABEL`.
    pub label: Option<String>,
    /// `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// `CKA_SUBJECT`.
    pub subject: Option<Vec<u8>>,
    /// `CKA_ISSUER`.
    pub issuer: Option<Vec<u8>>,
    /// `CKA_SERIAL_NUMBER`.
    pub serial_number: Option<Vec<u8>>,
    /// `CKA_VALUE`.
    pub value: Option<Vec<u8>>,
}

impl CertificateAttributes {
    /// Refuses what is out of its bounds, by the attribute's name.
    pub fn check(&self) -> Result<(), Refusal> {
        bounded("label", self.label.chars().count(), CERTIFICATE_LABEL_LEN_MAX)?;
        bounded("id", self.id.len(), CERTIFICATE_ID_LEN_MAX)?;
        bounded("subject", self.subject.len(), CERTIFICATE_NAME_LEN_MAX)?;
        bounded("issuer", self.issuer.len(), CERTIFICATE_NAME_LEN_MAX)?;
        bounded("serial-number", self.serial_number.len(), CERTIFICATE_SERIAL_LEN_MAX)?;
        if self.subject.is_empty() {
            Err(Refusal::new(Status::AttributeValueInvalid, "subject: empty"))
        } else {
            Ok(())
        }
    }

    /// The same after the change, which is not checked.
    #[must_use]
    pub fn changed(&self, change: &CertificateChange) -> CertificateAttributes {
        let CertificateChange { label, id, issuer, serial_number } = change;
        CertificateAttributes {
            label: label.clone().unwrap_or_else(|| self.label.clone()),
            id: id.clone().unwrap_or_else(|| self.id.clone()),
            issuer: issuer.clone().unwrap_or_else(|| self.issuer.clone()),
            serial_number: serial_number.clone().unwrap_or_else(|| self.serial_number.clone()),
            ..self.clone()
        }
    }
}

impl CertificateTemplate {
    /// Refuses what is out of its bounds, and a value that is not one DER SEQUENCE from its first byte to its last.
    pub fn check(&self) -> Result<(), Refusal> {
        self.attributes.check()?;
        bounded("public-key-info", self.public_key_info.len(), CERTIFICATE_KEY_INFO_LEN_MAX)?;
        bounded("value", self.value.len(), CERTIFICATE_LEN_MAX)?;
        if is_one_sequence(&self.value) {
            return Ok(());
        }
        Err(Refusal::new(Status::AttributeValueInvalid, "value: not a certificate in DER"))
    }
}

impl CertificateFilter {
    /// Whether every condition holds for such a certificate.
    pub fn selects(&self, attributes: &CertificateAttributes, value: &[u8]) -> bool {
        fn holds(wanted: Option<&Vec<u8>>, found: &[u8]) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        self.label.as_ref().is_none_or(|label| *label == attributes.label)
            && holds(self.id.as_ref(), &attributes.id)
            && holds(self.subject.as_ref(), &attributes.subject)
            && holds(self.issuer.as_ref(), &attributes.issuer)
            && holds(self.serial_number.as_ref(), &attributes.serial_number)
            && holds(self.value.as_ref(), value)
    }
}

fn bounded(name: &str, len: usize, max: usize) -> Result<(), Refusal> {
    if len <= max { Ok(()) } else { Err(Refusal::new(Status::AttributeValueInvalid, format!("{name}: over {max}"))) }
}

/// Whether the bytes are one SEQUENCE with its length in DER's one valid form (X.690 §10.1), and nothing behind it.
fn is_one_sequence(bytes: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    let Some((&SEQUENCE, rest)) = bytes.split_first() else { return false };
    match *rest {
        [len @ 0..=0x7f, ref content @ ..] => content.len() == usize::from(len),
        [0x81, len @ 0x80..=0xff, ref content @ ..] => content.len() == usize::from(len),
        [0x82, high @ 1..=0xff, low, ref content @ ..] => content.len() == usize::from(u16::from_be_bytes([high, low])),
        // Longer ones are over every limit.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(content: usize) -> Vec<u8> {
        let header = match content {
            0..0x80 => vec![0x30, u8::try_from(content).unwrap()],
            0x80..0x100 => vec![0x30, 0x81, u8::try_from(content).unwrap()],
            _ => [&[0x30, 0x82][..], &u16::try_from(content).unwrap().to_be_bytes()].concat(),
        };
        [header, vec![5; content]].concat()
    }

    fn template() -> CertificateTemplate {
        let attributes = CertificateAttributes { subject: vec![0x30, 0], ..CertificateAttributes::default() };
        CertificateTemplate { attributes, public_key_info: Vec::new(), value: sequence(300) }
    }

    #[test]
    fn attributes_at_and_above_their_limits() {
        template().check().unwrap();
        let check = |about: &str, set: &dyn Fn(&mut CertificateTemplate, usize), max: usize| {
            let (mut at, mut above) = (template(), template());
            set(&mut at, max);
            at.check().unwrap();
            set(&mut above, max + 1);
            let refusal = above.check().unwrap_err();
            assert_eq!(refusal, Refusal::new(Status::AttributeValueInvalid, format!("{about}: over {max}")));
        };
        // Characters, not bytes.
        check("label", &|t, len| t.attributes.label = "ß".repeat(len), CERTIFICATE_LABEL_LEN_MAX);
        check("id", &|t, len| t.attributes.id = vec![1; len], CERTIFICATE_ID_LEN_MAX);
        check("subject", &|t, len| t.attributes.subject = vec![1; len], CERTIFICATE_NAME_LEN_MAX);
        check("issuer", &|t, len| t.attributes.issuer = vec![1; len], CERTIFICATE_NAME_LEN_MAX);
        check("serial-number", &|t, len| t.attributes.serial_number = vec![1; len], CERTIFICATE_SERIAL_LEN_MAX);
        check("public-key-info", &|t, len| t.public_key_info = vec![1; len], CERTIFICATE_KEY_INFO_LEN_MAX);
        check("value", &|t, len| t.value = sequence(len - 4), CERTIFICATE_LEN_MAX);
        let mut nobody = template();
        nobody.attributes.subject.clear();
        assert_eq!(nobody.check().unwrap_err().about, "subject: empty");
    }

    #[test]
    fn a_value_is_one_sequence_and_nothing_else() {
        let check = |bytes: &[u8], expected| assert_eq!(is_one_sequence(bytes), expected, "{bytes:02x?}");
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7ff0] {
            let whole = sequence(len);
            check(&whole, true);
            check(&whole[..whole.len() - 1], false);
            check(&[&whole[..], &[0]].concat(), false);
        }
        check(&[], false);
        check(&[0x30], false);
        check(&[0x31, 0], false);
        // Indefinite, and lengths that have a shorter form.
        check(&[0x30, 0x80, 0, 0], false);
        check(&[&[0x30, 0x81, 0x7f][..], &[0; 0x7f]].concat(), false);
        check(&[&[0x30, 0x82, 0, 0x80][..], &[0; 0x80]].concat(), false);
        check(&[&[0x30, 0x83, 0, 1, 0][..], &[0; 0x100]].concat(), false);
    }

    #[test]
    fn days_are_eight_digits() {
        let check = |text: &[u8; 8], expected| {
            assert_eq!(CertificateDate::from_digits(*text).map(|date| *date.as_digits() == *text), expected);
        };
        check(b"20261231", Some(true));
        check(b"19000101", Some(true));
        for bad in [b"20261301", b"20260001", b"20260132", b"20260100", b"2026 101", b"2026-1-1", b"\0\0\0\0\0\0\0\0"] {
            check(bad, None);
        }
    }

    #[test]
    fn categories_read_back() {
        for number in 0..4 {
            assert_eq!(CertificateCategory::from_number(number).map(CertificateCategory::number), Some(number));
        }
        assert_eq!(CertificateCategory::from_number(4), None);
    }

    #[test]
    fn a_filter_selects_what_all_of_its_conditions_hold_for() {
        let mut template = template();
        template.attributes.label = "site".into();
        template.attributes.id = vec![1];
        let selects = |filter: CertificateFilter| filter.selects(&template.attributes, &template.value);
        let (label, id) = (Some(String::from("site")), Some(vec![1]));
        let subject = Some(vec![0x30, 0]);
        assert!(selects(CertificateFilter::default()));
        let (issuer, serial_number) = (Some(Vec::new()), Some(Vec::new()));
        let all = CertificateFilter { label, id, subject, issuer, serial_number, value: Some(template.value.clone()) };
        assert!(selects(all.clone()));
        for other in [
            CertificateFilter { label: Some("Site".into()), ..all.clone() },
            CertificateFilter { id: Some(Vec::new()), ..all.clone() },
            CertificateFilter { subject: Some(vec![0x30]), ..all.clone() },
            CertificateFilter { issuer: Some(vec![0]), ..all.clone() },
            CertificateFilter { serial_number: Some(vec![0]), ..all.clone() },
            CertificateFilter { value: Some(sequence(299)), ..all.clone() },
        ] {
            assert!(!selects(other.clone()), "{other:?}");
        }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let before = template().attributes;
        assert_eq!(before.changed(&CertificateChange::default()), before);
        let change = CertificateChange { label: Some("new".into()), issuer: Some(vec![7]), ..Default::default() };
        let after = before.changed(&change);
        assert_eq!(after, CertificateAttributes { label: "new".into(), issuer: vec![7], ..before });
    }
}

use std::fmt;

use strongroom_types::ClusterId;

use crate::der::{self, Reader, tag};

/// What an HSM's certificate says in OU.
const HSM_UNIT: &str = "STRONGROOM-HSM";
/// What stands around the cluster id in CN. The partition's number is the service's; a Strongroom cluster has one.
const HSM_NAME: (&str, &str) = ("HSM:", ":PARTN:1");

/// The attribute types that Strongroom writes or shows, RFC 4519 §2, as content of an OID.
const TYPES: [(&[u8], &str); 6] =
    [(COUNTRY, "C"), (&[0x55, 4, 8], "ST"), (&[0x55, 4, 7], "L"), (ORGANIZATION, "O"), (UNIT, "OU"), (COMMON, "CN")];
const COUNTRY: &[u8] = &[0x55, 4, 6];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const UNIT: &[u8] = &[0x55, 4, 11];
const COMMON: &[u8] = &[0x55, 4, 3];

/// A distinguished name, in the DER it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    pub(super) fn from_der(der: Vec<u8>) -> Name {
        Name(der)
    }

    /// One attribute a level, as UTF8String.
    pub(super) fn of(attributes: &[(&[u8], &str)]) -> Name {
        let levels: Vec<Vec<u8>> = attributes
            .iter()
            .map(|(kind, value)| {
                let value = der::element(tag::UTF8_STRING, &[value.as_bytes()]);
                der::element(tag::SET, &[&der::sequence(&[&der::oid(kind), &value])])
            })
            .collect();
        let levels: Vec<&[u8]> = levels.iter().map(Vec::as_slice).collect();
        Name(der::sequence(&levels))
    }

    /// A CA of ours.
    pub(super) fn authority(common_name: &str) -> Name {
        Name::of(&[(ORGANIZATION, "Strongroom"), (COMMON, common_name)])
    }

    /// The DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The cluster whose HSMs the name stands for: one OU that is `STRONGROOM-HSM` and one CN that is
    /// `HSM:<cluster id>:PARTN:1`, whatever else the name holds. None for every other name.
    pub fn hsm_cluster(&self) -> Option<ClusterId> {
        let attributes = self.attributes()?;
        let only = |wanted: &[u8]| {
            let mut values = attributes.iter().filter(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
            values.next().filter(|_| values.next().is_none())?
        };
        if only(UNIT) != Some(HSM_UNIT) {
            return None;
        }
        only(COMMON)?.strip_prefix(HSM_NAME.0)?.strip_suffix(HSM_NAME.1)?.parse().ok()
    }

    /// Types and values, in order; the value is none when its string type is not one of plain text.
    #[allow(clippy::type_complexity, reason = "a list of pairs, used in this file only")]
    fn attributes(&self) -> Option<Vec<(&[u8], Option<&str>)>> {
        let mut outer = Reader::new(&self.0);
        let mut levels = outer.sequence().ok()?;
        outer.finish().ok()?;
        let mut found = Vec::new();
        while !levels.is_empty() {
            let mut level = Reader::new(levels.read(tag::SET).ok()?);
            while !level.is_empty() {
                let mut attribute = level.sequence().ok()?;
                let kind = attribute.read(tag::OID).ok()?;
                let value = match attribute.any().ok()? {
                    (tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING, text) => {
                        std::str::from_utf8(text).ok()
                    }
                    _ => None,
                };
                found.push((kind, value));
            }
        }
        Some(found)
    }
}

impl fmt::Display for Name {
    /// `O=Strongroom, CN=…`, for people. Characters that could confuse a terminal or a log are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(attributes) = self.attributes() else { return f.write_str("(unreadable)") };
        for (number, (kind, value)) in attributes.into_iter().enumerate() {
            let kind = TYPES.iter().find(|(known, _)| *known == kind).map_or("?", |(_, shown)| shown);
            let value = value.unwrap_or("?").escape_debug();
            write!(f, "{}{kind}={value}", if number == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// What an HSM's certificate request names: `O=Strongroom, OU=STRONGROOM-HSM, CN=HSM:<cluster id>:PARTN:1`.
pub fn hsm_subject(cluster: &ClusterId) -> Name {
    let (before, after) = HSM_NAME;
    Name::of(&[(ORGANIZATION, "Strongroom"), (UNIT, HSM_UNIT), (COMMON, &format!("{before}{cluster}{after}"))])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "cluster-abcdefghij2";

    #[test]
    fn an_hsms_subject_names_its_cluster() {
        let id: ClusterId = ID.parse().unwrap();
        let name = hsm_subject(&id);
        assert_eq!(name.hsm_cluster(), Some(id));
        assert_eq!(name.to_string(), format!("O=Strongroom, OU=STRONGROOM-HSM, CN=HSM:{ID}:PARTN:1"));
    }

    #[test]
    fn other_subjects_are_no_hsms() {
        let good = format!("HSM:{ID}:PARTN:1");
        let check = |attributes: &[(&[u8], &str)], expected: bool| {
            let name = Name::of(attributes);
            assert_eq!(name.hsm_cluster().is_some(), expected, "{name}");
        };
        check(&[(UNIT, HSM_UNIT), (COMMON, &good)], true);
        check(&[(COMMON, &good), (COUNTRY, "US"), (UNIT, HSM_UNIT)], true);
        check(&[(UNIT, HSM_UNIT)], false);
        check(&[(COMMON, &good)], false);
        check(&[(UNIT, "STRONGROOM"), (COMMON, &good)], false);
        check(&[(UNIT, HSM_UNIT), (COMMON, "localhost")], false);
        check(&[(UNIT, HSM_UNIT), (COMMON, "HSM:cluster-x:PARTN:1")], false);
        check(&[(UNIT, HSM_UNIT), (COMMON, &format!("HSM:{ID}:PARTN:2"))], false);
        check(&[(UNIT, HSM_UNIT), (COMMON, &format!("HSM:{ID}:PARTN:1\0.example"))], false);
        check(&[(UNIT, HSM_UNIT), (COMMON, &good), (COMMON, "localhost")], false);
        check(&[(UNIT, HSM_UNIT), (UNIT, "other"), (COMMON, &good)], false);
        check(&[], false);
        let whole = hsm_subject(&ID.parse().unwrap());
        for cut in 0..whole.der().len() {
            assert_eq!(Name(whole.der()[..cut].to_vec()).hsm_cluster(), None, "cut to {cut}");
        }
    }

    #[test]
    fn what_a_terminal_could_misread_is_escaped() {
        assert_eq!(Name::of(&[(COMMON, "a\u{1b}[0m\n")]).to_string(), "CN=a\\u{1b}[0m\\n");
    }
}

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use crate::IdError;

/// Who may connect to a cluster's HSMs. Names are the command line tool's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MtlsEnforcement {
    /// Everybody; a client certificate that is shown must be good.
    #[default]
    None,
    /// Clients with a certificate under a registered trust anchor.
    Cluster,
}

impl MtlsEnforcement {
    /// Both.
    pub const ALL: [MtlsEnforcement; 2] = [MtlsEnforcement::None, MtlsEnforcement::Cluster];

    /// The tool's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            MtlsEnforcement::None => "none",
            MtlsEnforcement::Cluster => "cluster",
        }
    }
}

impl fmt::Display for MtlsEnforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MtlsEnforcement {
    type Err = IdError;

    fn from_str(text: &str) -> Result<MtlsEnforcement, IdError> {
        let error = IdError { what: "enforcement level", expected: "none or cluster" };
        MtlsEnforcement::ALL.into_iter().find(|level| level.as_str() == text).ok_or(error)
    }
}

/// The small number of a trust anchor, from 1; given again when the anchor is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustAnchorReference(NonZeroU8);

impl TrustAnchorReference {
    /// Of this number, unless it is 0 or more than a byte.
    pub fn from_u32(number: u32) -> Option<TrustAnchorReference> {
        NonZeroU8::new(u8::try_from(number).ok()?).map(TrustAnchorReference)
    }

    /// The number.
    pub fn as_u8(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for TrustAnchorReference {
    /// `0x01`, as the tool prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02x}", self.0)
    }
}

impl FromStr for TrustAnchorReference {
    type Err = IdError;

    /// Hexadecimal behind `0x`, decimal otherwise.
    fn from_str(text: &str) -> Result<TrustAnchorReference, IdError> {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => (digits.bytes().all(|digit| digit.is_ascii_hexdigit()), u32::from_str_radix(digits, 16)),
            None => (text.bytes().all(|digit| digit.is_ascii_digit()), text.parse()),
        };
        let number = if let (true, Ok(number)) = number { TrustAnchorReference::from_u32(number) } else { None };
        number.ok_or(IdError { what: "certificate reference", expected: "1 to 255, such as 0x01 or 1" })
    }
}

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateFingerprint(pub [u8; 32]);

impl fmt::Display for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateFingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_in_both_bases_and_shown_in_one() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<TrustAnchorReference>().ok().map(|reference| reference.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("1", Some("0x01"));
        check("0x01", Some("0x01"));
        check("0X2", Some("0x02"));
        check("16", Some("0x10"));
        check("0x10", Some("0x10"));
        check("255", Some("0xff"));
        for wrong in ["0", "0x0", "256", "0x100", "", "0x", "+1", "0x+1", "-1", "a", "1 ", "99999999999"] {
            check(wrong, None);
        }
    }

    #[test]
    fn levels_read_back() {
        for level in MtlsEnforcement::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
        assert!("Cluster".parse::<MtlsEnforcement>().is_err());
    }
}

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text that is not an identifier of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a valid {what}: expected {expected}")]
pub struct IdError {
    /// The kind of identifier.
    pub what: &'static str,
    /// Its form.
    pub expected: &'static str,
}

/// RFC 4648 §6, lower case: the alphabet of the service's identifiers.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const ID_TAIL_LEN: usize = 11;

macro_rules! resource_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Makes an identifier of 55 of the given random bits.
            pub fn from_random(random: [u8; 7]) -> $name {
                let mut bits = u64::from_be_bytes([0, random[0], random[1], random[2], random[3], random[4], random[5], random[6]]);
                let mut text = String::from($prefix);
                for _ in 0..ID_TAIL_LEN {
                    text.push(char::from(BASE32[usize::try_from(bits & 31).expect("five bits fit")]));
                    bits >>= 5;
                }
                $name(text)
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Accepts what the service's API accepts: 11 to 16 characters of `[2-7a-zA-Z]` behind the prefix.
            fn from_str(text: &str) -> Result<$name, IdError> {
                let error = IdError { what: $what, expected: concat!($prefix, " and 11 to 16 characters of a-z, A-Z, 2-7") };
                let tail = text.strip_prefix($prefix).ok_or(error)?;
                let fits = (11..=16).contains(&tail.len())
                    && tail.bytes().all(|b| b.is_ascii_alphabetic() || (b'2'..=b'7').contains(&b));
                if fits { Ok($name(text.to_owned())) } else { Err(error) }
            }
        }
    };
}

resource_id!(
    /// A cluster, `cluster-` and 11 characters of base32.
    ClusterId, "cluster-", "cluster id"
);
resource_id!(
    /// An HSM, `hsm-` and 11 characters of base32.
    HsmId, "hsm-", "HSM id"
);

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = 16;

            /// From 128 random bits, or as read from a record or a message.
            pub fn from_bytes(bytes: [u8; 16]) -> $name {
                $name(bytes)
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<$name, IdError> {
                let error = IdError { what: stringify!($name), expected: "16 bytes" };
                Ok($name(bytes.try_into().map_err(|_| error)?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

random_id!(
    /// A user, whatever the name: a user deleted and made again is another one.
    UserId
);
random_id!(
    /// One password of one user; changes with it, and ends the logins that rest on the old one.
    CredentialId
);
random_id!(
    /// One login of one user, on every member.
    LoginId
);
random_id!(
    /// Chosen by the client for one change; a repeat of it acts once.
    RequestId
);
random_id!(
    /// One quorum token; a part of what its approvers sign.
    TokenId
);
random_id!(
    /// One challenge to sign beside a password.
    ChallengeId
);
random_id!(
    /// One life of one HSM in the member table.
    Incarnation
);

/// The number of a batch in a cluster's one sequence; the first batch has revision 1, an empty store revision 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the batch that follows.
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! object_reference {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// A reference of 48 random bits, or none when all are zero: draw again.
            pub fn from_random(random: [u8; 6]) -> Option<$name> {
                let [a, b, c, d, e, f] = random;
                $name::from_u64(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
            }

            /// The reference of this number; zero is none.
            pub fn from_u64(number: u64) -> Option<$name> {
                (number != 0).then_some($name(number))
            }

            /// The number.
            pub fn as_u64(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            /// `0x` and 16 lower-case hexadecimal digits, as the command line tool prints it.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#018x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

object_reference!(
    /// The HSM's stable 64-bit handle of a key: 48 random bits, never zero, never reused.
    KeyReference
);
object_reference!(
    /// The same of a certificate. A number is a key's or a certificate's, never both.
    CertificateReference
);

/// A text that is no key reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a key reference: expected 0x and up to 16 hexadecimal digits, or a decimal number")]
pub struct KeyReferenceError;

impl FromStr for KeyReference {
    type Err = KeyReferenceError;

    /// `0x` and hexadecimal digits (leading zeros optional), or decimal.
    fn from_str(text: &str) -> Result<KeyReference, KeyReferenceError> {
        let digits_only = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(hex) if digits_only(hex) => u64::from_str_radix(hex, 16),
            None if digits_only(text) => text.parse(),
            _ => return Err(KeyReferenceError),
        };
        number.ok().and_then(KeyReference::from_u64).ok_or(KeyReferenceError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_references_read_and_print_as_the_tool_does() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(text.parse::<KeyReference>().ok().map(KeyReference::as_u64), expected, "{text}");
        };
        check("0x00000000002e06bf", Some(0x2e06bf));
        check("0xabc", Some(0xabc));
        check("981", Some(981));
        for bad in ["", "0x", "0", "0x0", "-1", "+5", "0x+5", "abc", "0x11112222333344445", "99999999999999999999"] {
            check(bad, None);
        }
        assert_eq!(KeyReference::from_u64(0x3d5).unwrap().to_string(), "0x00000000000003d5");
    }

    #[test]
    fn resource_ids_have_the_services_form() {
        let id = ClusterId::from_random([1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(id.as_str().len(), "cluster-".len() + 11);
        assert_eq!(id.as_str().parse::<ClusterId>().unwrap(), id);
        for bad in ["cluster-", "cluster-abc", "hsm-aaaaaaaaaaa", "cluster-aaaaaaaaaa1", "cluster-aaaaaaaaaaaaaaaaa"] {
            assert!(bad.parse::<ClusterId>().is_err(), "{bad}");
        }
    }
}

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::limits::{KEY_QUORUM_MAX, RSA_EXPONENT_MAX, RSA_EXPONENT_MIN, TOKEN_KEY_BITS};
use crate::{KeyReference, PublicPart};

/// What users approve together. The number stands in the data that approvers sign (`docs/spec/quorum.md`); never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QuorumService {
    /// Not approved by anybody: shows that a user holds the private key of the public key that is registered.
    Registration = 1,
    /// Changing what approvals are needed; by admins.
    Quorum = 2,
    /// Making, deleting and changing users; by admins.
    User = 3,
    /// Who may connect; by admins.
    Cluster = 4,
    /// Signing and decrypting with a key; by its owner and those it is shared with.
    KeyUsage = 5,
    /// Wrapping, unwrapping, sharing and changing a key; by the same.
    KeyManagement = 6,
}

/// A text that names no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a quorum service: expected user, quorum, cluster, registration, key-usage or key-management")]
pub struct QuorumServiceError;

impl QuorumService {
    /// Every service, in the order in which the tool names them.
    pub const ALL: [QuorumService; 6] = [
        QuorumService::User,
        QuorumService::Quorum,
        QuorumService::Cluster,
        QuorumService::Registration,
        QuorumService::KeyUsage,
        QuorumService::KeyManagement,
    ];

    /// The services of admins, which have one quorum value each.
    pub const OF_ADMINS: [QuorumService; 3] = [QuorumService::User, QuorumService::Quorum, QuorumService::Cluster];

    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The service of this number.
    pub fn from_number(number: u32) -> Option<QuorumService> {
        QuorumService::ALL.into_iter().find(|service| u32::from(service.number()) == number)
    }

    /// Whether approvals are for one key.
    pub fn is_of_key(self) -> bool {
        matches!(self, QuorumService::KeyUsage | QuorumService::KeyManagement)
    }

    /// The command line tool's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            QuorumService::Registration => "registration",
            QuorumService::Quorum => "quorum",
            QuorumService::User => "user",
            QuorumService::Cluster => "cluster",
            QuorumService::KeyUsage => "key-usage",
            QuorumService::KeyManagement => "key-management",
        }
    }
}

impl fmt::Display for QuorumService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QuorumService {
    type Err = QuorumServiceError;

    fn from_str(text: &str) -> Result<QuorumService, QuorumServiceError> {
        QuorumService::ALL.into_iter().find(|service| service.as_str() == text).ok_or(QuorumServiceError)
    }
}

/// How many users must approve what is done with one key; 0 and 1 are nobody but whoever asks. Set when the key is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyQuorum {
    /// For managing it.
    pub manage: u8,
    /// For using it.
    pub usage: u8,
}

impl KeyQuorum {
    /// No approvals.
    pub const NONE: KeyQuorum = KeyQuorum { manage: 0, usage: 0 };

    /// The values of a message or a record; none when one is over [`KEY_QUORUM_MAX`].
    pub fn from_numbers(manage: u32, usage: u32) -> Option<KeyQuorum> {
        let value = |number| u8::try_from(number).ok().filter(|value| *value <= KEY_QUORUM_MAX);
        Some(KeyQuorum { manage: value(manage)?, usage: value(usage)? })
    }

    /// How many users must approve a service of the key.
    pub fn of(self, service: QuorumService) -> u8 {
        match service {
            QuorumService::KeyManagement => self.manage,
            QuorumService::KeyUsage => self.usage,
            QuorumService::Registration | QuorumService::Quorum | QuorumService::User | QuorumService::Cluster => 0,
        }
    }

    /// The higher of the two: so many users the key must have.
    pub fn highest(self) -> u8 {
        self.manage.max(self.usage)
    }
}

/// Which public key a user has registered for signing tokens: RSA of exactly [`TOKEN_KEY_BITS`] bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey {
    modulus: Vec<u8>,
    public_exponent: Vec<u8>,
}

/// A public key that signs no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not an RSA public key of {TOKEN_KEY_BITS} bits with an odd exponent of {RSA_EXPONENT_MIN} to {RSA_EXPONENT_MAX}"
)]
pub struct TokenKeyError;

impl TokenKey {
    /// Bytes of the modulus, and of every signature.
    pub const SIGNATURE_LEN: usize = TOKEN_KEY_BITS / 8;

    /// The key of these numbers, big-endian without leading zeros.
    pub fn new(modulus: Vec<u8>, public_exponent: Vec<u8>) -> Result<TokenKey, TokenKeyError> {
        let exact = modulus.len() == TokenKey::SIGNATURE_LEN && modulus.first().is_some_and(|first| *first >= 0x80);
        let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last % 2 == 1);
        let canonical = public_exponent.len() <= 8 && public_exponent.first().is_some_and(|first| *first != 0);
        let exponent = public_exponent.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let in_range = (RSA_EXPONENT_MIN..=RSA_EXPONENT_MAX).contains(&exponent);
        let fits = exact && is_odd(&modulus) && canonical && in_range && is_odd(&public_exponent);
        if fits { Ok(TokenKey { modulus, public_exponent }) } else { Err(TokenKeyError) }
    }

    /// The modulus.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent.
    pub fn public_exponent(&self) -> &[u8] {
        &self.public_exponent
    }

    /// The key as verification takes it.
    pub fn public_part(&self) -> PublicPart {
        PublicPart::Rsa { modulus: self.modulus.clone(), public_exponent: self.public_exponent.clone() }
    }
}

impl TryFrom<PublicPart> for TokenKey {
    type Error = TokenKeyError;

    fn try_from(public: PublicPart) -> Result<TokenKey, TokenKeyError> {
        match public {
            PublicPart::Rsa { modulus, public_exponent } => TokenKey::new(modulus, public_exponent),
            _ => Err(TokenKeyError),
        }
    }
}

/// What a service approves: for services of keys, with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuorumSubject {
    /// The service.
    pub service: QuorumService,
    /// The key of a service of keys; none otherwise.
    pub key: Option<KeyReference>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_read_back() {
        for service in QuorumService::ALL {
            assert_eq!(service.as_str().parse(), Ok(service));
            assert_eq!(QuorumService::from_number(service.number().into()), Some(service));
        }
        assert_eq!("users".parse::<QuorumService>(), Err(QuorumServiceError));
        assert!(QuorumService::from_number(0).is_none() && QuorumService::from_number(7).is_none());
    }

    #[test]
    fn values_of_keys_at_and_above_their_limit() {
        let max = u32::from(KEY_QUORUM_MAX);
        assert_eq!(KeyQuorum::from_numbers(max, 0).map(KeyQuorum::highest), Some(KEY_QUORUM_MAX));
        assert_eq!(KeyQuorum::from_numbers(0, max).map(KeyQuorum::highest), Some(KEY_QUORUM_MAX));
        for (manage, usage) in [(max + 1, 0), (0, max + 1), (256, 0), (u32::MAX, u32::MAX)] {
            assert_eq!(KeyQuorum::from_numbers(manage, usage), None, "{manage} {usage}");
        }
        let quorum = KeyQuorum { manage: 2, usage: 3 };
        let values = QuorumService::ALL.map(|service| quorum.of(service));
        assert_eq!(values, [0, 0, 0, 0, 3, 2]);
    }

    #[test]
    fn token_keys_have_exactly_so_many_bits() {
        let check = |len: usize, first: u8, last: u8, exponent: &[u8], expected: bool| {
            let mut modulus = vec![0xff; len];
            (modulus[0], modulus[len - 1]) = (first, last);
            let made = TokenKey::new(modulus, exponent.to_vec());
            assert_eq!(made.is_ok(), expected, "{len} {first} {last} {exponent:?}");
        };
        check(256, 0x80, 1, &[1, 0, 1], true);
        check(256, 0xff, 0xff, &[0xff; 4], true);
        check(256, 0x7f, 1, &[1, 0, 1], false);
        check(256, 0, 1, &[1, 0, 1], false);
        check(255, 0xff, 1, &[1, 0, 1], false);
        check(257, 0xff, 1, &[1, 0, 1], false);
        check(256, 0xff, 2, &[1, 0, 1], false);
        for exponent in [&[3][..], &[0, 1, 0, 1], &[1, 0, 0], &[1, 0, 0, 0, 1], &[0xff; 9], &[1; 300], &[]] {
            check(256, 0xff, 1, exponent, false);
        }
        let ec = PublicPart::Ec { curve: crate::Curve::P256, point: vec![4; 65] };
        assert_eq!(TokenKey::try_from(ec), Err(TokenKeyError));
    }
}

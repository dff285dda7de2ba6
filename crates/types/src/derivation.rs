//! How a key is derived from another one.

use crate::limits::{DATA_LEN_MAX, KDF_FIELDS_MAX};
use crate::{Curve, HashFunction, matching};

/// A derivation, with everything but the base key and the length of what is derived.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Derivation {
    /// ECDH with cofactor 1 (SP 800-56A rev. 3 §5.7.1.2, PKCS #11 v2.40 `CKM_ECDH1_DERIVE`); the base key is an EC private
    /// key on one of the curves of ECDSA.
    Ecdh {
        /// The other side's public point, bare or in a DER OCTET STRING.
        peer_point: Vec<u8>,
        /// What is done with the shared secret.
        kdf: EcdhKdf,
    },
    /// The key derivation function in counter mode (SP 800-108 rev. 1 §4.1), whose counter begins with 1; the base key is an
    /// AES key.
    CounterKdf {
        /// The pseudorandom function.
        prf: Prf,
        /// Its input, in this order.
        fields: Vec<KdfField>,
    },
}

/// What is done with the shared secret of ECDH: the x coordinate, as long as the curve's field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EcdhKdf {
    /// Nothing: the key is its last bytes. PKCS #11 v2.40 mechanisms §2.3.8, `CKD_NULL`: "the truncation removes bytes from the
    /// leading end of the secret value".
    None,
    /// ANS X9.63 (SP 800-135 rev. 1 §4.2).
    X963 {
        /// Hash function.
        hash: HashFunction,
        /// Other information of both sides, possibly empty.
        shared_info: Vec<u8>,
    },
}

/// Pseudorandom functions of [`Derivation::CounterKdf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prf {
    /// CMAC with AES (SP 800-38B).
    AesCmac,
    /// HMAC (FIPS 198-1).
    Hmac(HashFunction),
}

impl Prf {
    /// All of them.
    pub const ALL: [Prf; 6] = [
        Prf::AesCmac,
        Prf::Hmac(HashFunction::Sha1),
        Prf::Hmac(HashFunction::Sha224),
        Prf::Hmac(HashFunction::Sha256),
        Prf::Hmac(HashFunction::Sha384),
        Prf::Hmac(HashFunction::Sha512),
    ];

    /// Bytes that one call gives.
    pub fn output_len(self) -> usize {
        match self {
            Prf::AesCmac => 16,
            Prf::Hmac(hash) => hash.digest_len(),
        }
    }
}

/// A part of the input of the pseudorandom function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KdfField {
    /// Bytes that are the same in every call.
    Bytes(Vec<u8>),
    /// The number of the call, big-endian, in so many bits.
    Counter {
        /// 8, 16 or 32.
        bits: u8,
    },
    /// The length of what is derived in bits, big-endian, in so many bits.
    Length {
        /// 8, 16, 32 or 64.
        bits: u8,
    },
}

/// Why a derivation is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivationError {
    /// A width that the standards' formats do not have, more than one counter or none, more than one length, or too many
    /// fields.
    Parameter(&'static str),
    /// Bytes that are too long.
    Length(&'static str),
    /// Too few bits for the length of what is derived, or more bytes of it than the function gives.
    Output(&'static str),
}

impl Derivation {
    /// Whether this is a derivation at all, of `len` bytes, from a key on this curve if it is one. What the bytes are is looked
    /// at nowhere here.
    pub fn check(&self, len: usize, curve: Option<Curve>) -> Result<(), DerivationError> {
        match self {
            Derivation::Ecdh { peer_point, kdf } => {
                let is_point = |curve: Curve| point_in(curve, peer_point).is_some();
                if !curve.is_some_and(is_point) {
                    return Err(DerivationError::Length("peer-point"));
                }
                match kdf {
                    EcdhKdf::None if curve.is_none_or(|curve| len > curve.field_len()) => {
                        Err(DerivationError::Output("longer than the shared secret"))
                    }
                    EcdhKdf::X963 { shared_info, .. } if shared_info.len() > DATA_LEN_MAX => {
                        Err(DerivationError::Length("shared-info"))
                    }
                    EcdhKdf::None | EcdhKdf::X963 { .. } => Ok(()),
                }
            }
            Derivation::CounterKdf { prf, fields } => check_fields(*prf, fields, len),
        }
    }
}

fn check_fields(prf: Prf, fields: &[KdfField], len: usize) -> Result<(), DerivationError> {
    if fields.len() > KDF_FIELDS_MAX {
        return Err(DerivationError::Parameter("too many fields"));
    }
    let (mut counters, mut lengths, mut bytes) = (0, 0, 0_usize);
    for field in fields {
        match field {
            KdfField::Bytes(part) => bytes = bytes.saturating_add(part.len()),
            KdfField::Counter { bits: bits @ (8 | 16 | 32) } => {
                counters += 1;
                if !holds(*bits, len.div_ceil(prf.output_len())) {
                    return Err(DerivationError::Output("the counter has too few bits"));
                }
            }
            KdfField::Length { bits: bits @ (8 | 16 | 32 | 64) } => {
                lengths += 1;
                if !holds(*bits, len.saturating_mul(8)) {
                    return Err(DerivationError::Output("the length has too few bits"));
                }
            }
            KdfField::Counter { .. } | KdfField::Length { .. } => {
                return Err(DerivationError::Parameter("width of a field"));
            }
        }
    }
    match (counters, lengths) {
        (1, 0 | 1) if bytes > DATA_LEN_MAX => Err(DerivationError::Length("fields")),
        (1, 0 | 1) => Ok(()),
        (1, _) => Err(DerivationError::Parameter("one length at most")),
        _ => Err(DerivationError::Parameter("one counter")),
    }
}

/// Whether so many bits hold the number.
fn holds(bits: u8, number: usize) -> bool {
    let needed = usize::BITS - number.leading_zeros();
    needed <= u32::from(bits)
}

/// The bare point in bytes that have the form of one on the curve, bare or in a DER OCTET STRING. Only the length tells: a
/// bare point begins as an OCTET STRING does.
pub fn point_in(curve: Curve, bytes: &[u8]) -> Option<&[u8]> {
    matching::points(bytes).find(|point| curve.has_form_of_point(point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(bits: u8) -> KdfField {
        KdfField::Counter { bits }
    }

    fn length(bits: u8) -> KdfField {
        KdfField::Length { bits }
    }

    #[test]
    fn fields_have_one_counter_and_at_most_one_length() {
        let check = |fields: &[KdfField], len: usize, fits: bool| {
            let kdf = Derivation::CounterKdf { prf: Prf::AesCmac, fields: fields.to_vec() };
            assert_eq!(kdf.check(len, None).is_ok(), fits, "{fields:?} {len}");
        };
        let bytes = |len: usize| KdfField::Bytes(vec![7; len]);
        check(&[], 16, false);
        check(&[bytes(4)], 16, false);
        check(&[counter(32)], 16, true);
        check(&[counter(32), counter(32)], 16, false);
        check(&[counter(32), length(32)], 16, true);
        check(&[counter(32), length(32), length(32)], 16, false);
        for bits in 0..=u8::MAX {
            check(&[counter(bits)], 16, matches!(bits, 8 | 16 | 32));
            check(&[counter(8), length(bits)], 16, matches!(bits, 8 | 16 | 32 | 64));
        }
        let with = |field: KdfField| {
            let mut fields = vec![bytes(0); KDF_FIELDS_MAX - 2];
            fields.extend([counter(8), field]);
            fields
        };
        check(&with(bytes(DATA_LEN_MAX)), 16, true);
        check(&with(bytes(DATA_LEN_MAX + 1)), 16, false);
        check(&[with(bytes(1)), vec![bytes(0)]].concat(), 16, false);
    }

    #[test]
    fn counters_and_lengths_hold_what_they_count() {
        let check = |fields: &[KdfField], len: usize, fits: bool| {
            let kdf = Derivation::CounterKdf { prf: Prf::AesCmac, fields: fields.to_vec() };
            assert_eq!(kdf.check(len, None).is_ok(), fits, "{fields:?} {len}");
        };
        check(&[counter(8)], 255 * 16, true);
        check(&[counter(8)], 255 * 16 + 1, false);
        check(&[counter(8), length(8)], 31, true);
        check(&[counter(8), length(8)], 32, false);
        check(&[counter(16), length(16)], 8191, true);
        check(&[counter(16), length(16)], 8192, false);
        check(&[counter(32), length(64)], 800, true);
    }

    #[test]
    fn points_come_bare_and_as_octet_strings() {
        for curve in Curve::WEIERSTRASS {
            let bare = [&[4][..], &vec![7; curve.point_len() - 1]].concat();
            let len = u8::try_from(bare.len()).unwrap();
            let header: &[u8] = if len < 0x80 { &[4, len] } else { &[4, 0x81, len] };
            let wrapped = [header, &bare].concat();
            assert_eq!(point_in(curve, &bare), Some(&bare[..]), "{curve}");
            assert_eq!(point_in(curve, &wrapped), Some(&bare[..]), "{curve}");
            for cut in 0..wrapped.len() {
                let other = &wrapped[..cut];
                assert!(point_in(curve, other).is_none() || other.len() == bare.len(), "{curve} cut to {cut}");
            }
            assert_eq!(point_in(curve, &[&wrapped[..], &[0]].concat()), None, "{curve}");
            assert_eq!(point_in(curve, &[0]), None, "infinity is no point to agree with");
        }
    }

    #[test]
    fn agreements_are_bounded() {
        let point = [&[4][..], &[7; 64]].concat();
        let check = |kdf: EcdhKdf, len: usize, curve: Option<Curve>, fits: bool| {
            let derivation = Derivation::Ecdh { peer_point: point.clone(), kdf };
            assert_eq!(derivation.check(len, curve).is_ok(), fits, "{len} {curve:?}");
        };
        check(EcdhKdf::None, 32, Some(Curve::P256), true);
        check(EcdhKdf::None, 33, Some(Curve::P256), false);
        check(EcdhKdf::None, 32, Some(Curve::P384), false);
        check(EcdhKdf::None, 32, None, false);
        let x963 = |len: usize| EcdhKdf::X963 { hash: HashFunction::Sha256, shared_info: vec![1; len] };
        check(x963(0), 800, Some(Curve::P256), true);
        check(x963(DATA_LEN_MAX), 16, Some(Curve::P256), true);
        check(x963(DATA_LEN_MAX + 1), 16, Some(Curve::P256), false);
    }
}

use strongroom_types::limits::DATA_LEN_MAX;
use strongroom_types::{GcmTag, WrapMechanism};

use crate::convert::{Malformed, hash};
use crate::v1;

/// How a key is wrapped or unwrapped: the mechanism, additional authenticated data, the initialisation vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapping {
    /// The mechanism, with its parameters.
    pub mechanism: WrapMechanism,
    /// Additional authenticated data of GCM.
    pub aad: Vec<u8>,
    /// The initialisation vector, when unwrapping by `aes-gcm`.
    pub iv: Vec<u8>,
}

impl Wrapping {
    /// With the mechanism alone.
    pub fn of(mechanism: WrapMechanism) -> Wrapping {
        Wrapping { mechanism, aad: Vec::new(), iv: Vec::new() }
    }
}

impl From<&Wrapping> for v1::Wrapping {
    fn from(wrapping: &Wrapping) -> v1::Wrapping {
        use v1::WrapMechanism as Number;
        let (mechanism, hash, tag_bits) = match wrapping.mechanism {
            WrapMechanism::AesGcm { tag } => (Number::AesGcm, None, tag.bits()),
            WrapMechanism::CloudhsmAesGcm { tag } => (Number::CloudhsmAesGcm, None, tag.bits()),
            WrapMechanism::AesNoPad => (Number::AesNoPad, None, 0),
            WrapMechanism::AesZeroPad => (Number::AesZeroPad, None, 0),
            WrapMechanism::AesPkcs5Pad => (Number::AesPkcs5Pad, None, 0),
            WrapMechanism::RsaAes { hash } => (Number::RsaAes, Some(hash), 0),
            WrapMechanism::RsaOaep { hash } => (Number::RsaOaep, Some(hash), 0),
            WrapMechanism::RsaPkcs => (Number::RsaPkcs, None, 0),
        };
        v1::Wrapping {
            mechanism: mechanism.into(),
            hash: hash.map_or(0, |hash| v1::HashFunction::from(hash).into()),
            tag_bits,
            aad: wrapping.aad.clone(),
            iv: wrapping.iv.clone(),
        }
    }
}

impl TryFrom<&v1::Wrapping> for Wrapping {
    type Error = Malformed;

    /// Fields that the mechanism has no use for must be empty, so that one meaning has one form. An `iv` may be missing:
    /// whoever wraps has none.
    fn try_from(message: &v1::Wrapping) -> Result<Wrapping, Malformed> {
        use v1::WrapMechanism as Number;
        let unknown = Malformed { field: "mechanism" };
        let number = Number::try_from(message.mechanism).map_err(|_| unknown)?;
        let tag = || GcmTag::of_bits(message.tag_bits).ok_or(Malformed { field: "tag_bits" });
        let mechanism = match number {
            Number::Unspecified => return Err(unknown),
            Number::AesGcm => WrapMechanism::AesGcm { tag: tag()? },
            Number::CloudhsmAesGcm => WrapMechanism::CloudhsmAesGcm { tag: tag()? },
            Number::AesNoPad => WrapMechanism::AesNoPad,
            Number::AesZeroPad => WrapMechanism::AesZeroPad,
            Number::AesPkcs5Pad => WrapMechanism::AesPkcs5Pad,
            Number::RsaAes => WrapMechanism::RsaAes { hash: hash(message.hash)? },
            Number::RsaOaep => WrapMechanism::RsaOaep { hash: hash(message.hash)? },
            Number::RsaPkcs => WrapMechanism::RsaPkcs,
        };
        if message.aad.len() > DATA_LEN_MAX {
            return Err(Malformed { field: "aad" });
        }
        let wrapping = Wrapping { mechanism, aad: message.aad.clone(), iv: message.iv.clone() };
        let takes_aad = matches!(mechanism, WrapMechanism::AesGcm { .. } | WrapMechanism::CloudhsmAesGcm { .. });
        let takes_iv = matches!(mechanism, WrapMechanism::AesGcm { .. });
        let fits = v1::Wrapping::from(&wrapping) == *message
            && (takes_aad || wrapping.aad.is_empty())
            && (takes_iv || wrapping.iv.is_empty());
        if fits { Ok(wrapping) } else { Err(Malformed { field: "parameters" }) }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::HashFunction;

    use super::*;

    fn all() -> Vec<WrapMechanism> {
        let tag = GcmTag::of_bits(96).unwrap();
        vec![
            WrapMechanism::AesGcm { tag },
            WrapMechanism::CloudhsmAesGcm { tag },
            WrapMechanism::AesNoPad,
            WrapMechanism::AesZeroPad,
            WrapMechanism::AesPkcs5Pad,
            WrapMechanism::RsaAes { hash: HashFunction::Sha384 },
            WrapMechanism::RsaOaep { hash: HashFunction::Sha1 },
            WrapMechanism::RsaPkcs,
        ]
    }

    #[test]
    fn every_mechanism_reads_back_and_takes_no_parameter_it_does_not_have() {
        for mechanism in all() {
            let is_gcm = matches!(mechanism, WrapMechanism::AesGcm { .. } | WrapMechanism::CloudhsmAesGcm { .. });
            let message = v1::Wrapping::from(&Wrapping::of(mechanism));
            assert_eq!(Wrapping::try_from(&message), Ok(Wrapping::of(mechanism)));
            let check = |change: fn(&mut v1::Wrapping), allowed: bool| {
                let mut other = message.clone();
                change(&mut other);
                assert_eq!(Wrapping::try_from(&other).is_ok(), allowed, "{other:?}");
            };
            check(|message| message.aad = vec![1], is_gcm);
            check(|message| message.iv = vec![1; 12], matches!(mechanism, WrapMechanism::AesGcm { .. }));
            check(|message| message.tag_bits = 64, is_gcm);
            check(|message| message.tag_bits = 32, false);
            check(|message| message.hash = 3, mechanism.rsa_room(1).is_some() && mechanism != WrapMechanism::RsaPkcs);
            check(|message| message.hash = 99, false);
            check(|message| message.mechanism = 0, false);
            check(|message| message.mechanism = 9, false);
        }
    }

    #[test]
    fn additional_data_at_and_above_its_limit() {
        let tag = GcmTag::of_bits(128).unwrap();
        let read = |len| {
            let wrapping = Wrapping { aad: vec![7; len], ..Wrapping::of(WrapMechanism::AesGcm { tag }) };
            Wrapping::try_from(&v1::Wrapping::from(&wrapping)).map(|wrapping| wrapping.aad.len())
        };
        assert_eq!(read(DATA_LEN_MAX), Ok(DATA_LEN_MAX));
        assert_eq!(read(DATA_LEN_MAX + 1), Err(Malformed { field: "aad" }));
    }
}

//! Values of attributes between the caller's bytes and the project's own types.
//!
//! What callers give is often loose: a boolean may come with the size of a `CK_ULONG`, a number with that of an `int`. Numbers
//! are in the machine's byte order, big numbers are big-endian.

use cryptoki_sys::*;
use strongroom_crypto::der;
use strongroom_types::matching::{points, without_leading_zeros};
use strongroom_types::{Curve, KeyClass, KeyType, MlDsaAlgorithm};

use super::Kind;
use crate::failure::Failure;
use crate::vendor::{CKK_CLOUDHSM_ML_DSA, CKP_CLOUDHSM_ML_DSA_44, CKP_CLOUDHSM_ML_DSA_65, CKP_CLOUDHSM_ML_DSA_87};

/// The name by which PKCS #11 3.0 §2.3.10 writes Edwards25519 into `CKA_EC_PARAMS`.
const EDWARDS25519: &[u8] = b"edwards25519";

pub(crate) fn invalid(attribute: CK_ATTRIBUTE_TYPE, why: &'static str) -> Failure {
    Failure::Attribute { rv: CKR_ATTRIBUTE_VALUE_INVALID, attribute, why }
}

pub(crate) fn inconsistent(attribute: CK_ATTRIBUTE_TYPE, why: &'static str) -> Failure {
    Failure::Attribute { rv: CKR_TEMPLATE_INCONSISTENT, attribute, why }
}

/// A `CK_BBOOL`: the first byte tells, as many as may follow it up to the size of a `CK_ULONG`.
pub(crate) fn boolean(attribute: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Result<bool, Failure> {
    match bytes {
        [first, rest @ ..] if rest.len() < size_of::<CK_ULONG>() => Ok(*first != CK_FALSE),
        _ => Err(invalid(attribute, "a boolean is one byte")),
    }
}

/// A `CK_ULONG`, or a number of 4 bytes.
pub(crate) fn number(attribute: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Result<CK_ULONG, Failure> {
    if let Ok(bytes) = bytes.try_into() {
        return Ok(CK_ULONG::from_ne_bytes(bytes));
    }
    let wrong = || invalid(attribute, "a number has the size of a CK_ULONG");
    let bytes: [u8; 4] = bytes.try_into().map_err(|_| wrong())?;
    Ok(u32::from_ne_bytes(bytes).into())
}

/// A number that the HSMs count in 32 bits.
pub(crate) fn small_number(attribute: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Result<u32, Failure> {
    number(attribute, bytes)?.try_into().map_err(|_| invalid(attribute, "the number is too large"))
}

/// Text, as it is: whatever NUL bytes it has are a part of it.
pub(crate) fn text(attribute: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Result<String, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid(attribute, "a label is text in UTF-8"))?;
    Ok(text.to_owned())
}

/// A class that keys have; none for those of other objects.
pub(crate) fn class(number: CK_OBJECT_CLASS) -> Option<KeyClass> {
    match number {
        CKO_PUBLIC_KEY => Some(KeyClass::PublicKey),
        CKO_PRIVATE_KEY => Some(KeyClass::PrivateKey),
        CKO_SECRET_KEY => Some(KeyClass::SecretKey),
        _ => None,
    }
}

pub(crate) fn class_number(class: KeyClass) -> CK_OBJECT_CLASS {
    match class {
        KeyClass::PublicKey => CKO_PUBLIC_KEY,
        KeyClass::PrivateKey => CKO_PRIVATE_KEY,
        KeyClass::SecretKey => CKO_SECRET_KEY,
    }
}

/// A key type. Keys of Edwards curves are EC keys, whichever of the two types is given.
pub(crate) fn key_type(number: CK_KEY_TYPE) -> Option<KeyType> {
    match number {
        CKK_AES => Some(KeyType::Aes),
        CKK_DES3 => Some(KeyType::Des3),
        CKK_EC | CKK_EC_EDWARDS => Some(KeyType::Ec),
        CKK_GENERIC_SECRET => Some(KeyType::GenericSecret),
        CKK_CLOUDHSM_ML_DSA => Some(KeyType::MlDsa),
        CKK_RSA => Some(KeyType::Rsa),
        _ => None,
    }
}

pub(crate) fn key_type_number(key_type: KeyType) -> CK_KEY_TYPE {
    match key_type {
        KeyType::Aes => CKK_AES,
        KeyType::Des3 => CKK_DES3,
        KeyType::Ec => CKK_EC,
        KeyType::GenericSecret => CKK_GENERIC_SECRET,
        KeyType::MlDsa => CKK_CLOUDHSM_ML_DSA,
        KeyType::Rsa => CKK_RSA,
    }
}

pub(crate) fn parameter_set(number: CK_ULONG) -> Option<MlDsaAlgorithm> {
    match number {
        CKP_CLOUDHSM_ML_DSA_44 => Some(MlDsaAlgorithm::MlDsa44),
        CKP_CLOUDHSM_ML_DSA_65 => Some(MlDsaAlgorithm::MlDsa65),
        CKP_CLOUDHSM_ML_DSA_87 => Some(MlDsaAlgorithm::MlDsa87),
        _ => None,
    }
}

pub(crate) fn parameter_set_number(algorithm: MlDsaAlgorithm) -> CK_ULONG {
    match algorithm {
        MlDsaAlgorithm::MlDsa44 => CKP_CLOUDHSM_ML_DSA_44,
        MlDsaAlgorithm::MlDsa65 => CKP_CLOUDHSM_ML_DSA_65,
        MlDsaAlgorithm::MlDsa87 => CKP_CLOUDHSM_ML_DSA_87,
    }
}

/// The curve that `CKA_EC_PARAMS` names by its object identifier; Edwards25519 by its name too.
pub(crate) fn curve(params: &[u8]) -> Result<Curve, Failure> {
    let mut reader = der::Reader::new(params);
    let read = reader.any().ok().filter(|_| reader.is_empty());
    let known = match read {
        Some((der::tag::OID, oid)) => Curve::ALL.iter().find(|curve| curve.oid() == oid).copied(),
        Some((der::tag::PRINTABLE_STRING, name)) => (name == EDWARDS25519).then_some(Curve::Ed25519),
        _ => {
            let why = "EC parameters are the object identifier of a named curve, in DER";
            return Err(Failure::Attribute { rv: CKR_DOMAIN_PARAMS_INVALID, attribute: CKA_EC_PARAMS, why });
        }
    };
    let why = "the HSMs do not have this curve";
    known.ok_or(Failure::Attribute { rv: CKR_CURVE_NOT_SUPPORTED, attribute: CKA_EC_PARAMS, why })
}

/// The same, of a key that may have been said to be one of an Edwards curve.
pub(crate) fn named_curve(params: &[u8], is_edwards: bool) -> Result<Curve, Failure> {
    match curve(params)? {
        curve if is_edwards && curve != Curve::Ed25519 => {
            Err(inconsistent(CKA_KEY_TYPE, "the curve is no Edwards curve"))
        }
        curve => Ok(curve),
    }
}

/// A curve as `CKA_EC_PARAMS` names it.
pub(crate) fn params(curve: Curve) -> Vec<u8> {
    der::oid(curve.oid())
}

/// A point, which comes bare or in a DER OCTET STRING.
pub(crate) fn point(curve: Curve, bytes: &[u8]) -> Result<&[u8], Failure> {
    let why = "this has not the form of a public point of the curve";
    points(bytes).find(|point| curve.has_form_of_point(point)).ok_or(invalid(CKA_EC_POINT, why))
}

/// A point as `CKA_EC_POINT` has it.
pub(crate) fn wrapped_point(point: &[u8]) -> Vec<u8> {
    der::octet_string(point)
}

/// Big-endian without leading zeros.
pub(crate) fn big_number(attribute: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Result<&[u8], Failure> {
    let number = without_leading_zeros(bytes);
    if number.is_empty() { Err(invalid(attribute, "the number is zero or empty")) } else { Ok(number) }
}

impl Kind {
    /// The kind of key that class and type make together.
    pub(crate) fn of(class: KeyClass, key_type: KeyType) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.class() == class && kind.key_type() == key_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rv<T>(result: Result<T, Failure>) -> Result<T, CK_RV> {
        result.map_err(|failure| failure.rv())
    }

    #[test]
    fn booleans_and_numbers_come_in_loose_sizes() {
        let check = |bytes: &[u8], expected| assert_eq!(rv(boolean(CKA_TOKEN, bytes)).ok(), expected, "{bytes:?}");
        check(&[0], Some(false));
        check(&[1], Some(true));
        check(&[0xff], Some(true));
        check(&[1, 0, 0, 0], Some(true));
        check(&[0, 0x7f, 0x7f, 0x7f, 0, 0, 0, 1], Some(false));
        check(&[], None);
        check(&[1; 9], None);
        let check = |bytes: &[u8], expected| assert_eq!(rv(number(CKA_VALUE_LEN, bytes)).ok(), expected, "{bytes:?}");
        check(&32_u32.to_ne_bytes(), Some(32));
        check(&32_u64.to_ne_bytes(), Some(32));
        for len in [0, 1, 2, 3, 5, 7, 9, 16] {
            check(&vec![0; len], None);
        }
        assert_eq!(rv(small_number(CKA_VALUE_LEN, &u64::MAX.to_ne_bytes())), Err(CKR_ATTRIBUTE_VALUE_INVALID));
        assert_eq!(rv(small_number(CKA_VALUE_LEN, &[0xff; 4])), Ok(u32::MAX));
    }

    #[test]
    fn curves_are_named_by_their_identifier() {
        for known in Curve::ALL {
            assert_eq!(rv(curve(&params(*known))), Ok(*known));
            let longer = [&params(*known)[..], &[0]].concat();
            assert_eq!(rv(curve(&longer)), Err(CKR_DOMAIN_PARAMS_INVALID));
        }
        assert_eq!(params(Curve::P256), [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        assert_eq!(rv(curve(b"\x13\x0cedwards25519")), Ok(Curve::Ed25519));
        assert_eq!(rv(curve(b"\x13\x0acurve25519")), Err(CKR_CURVE_NOT_SUPPORTED));
        // brainpoolP256r1.
        assert_eq!(rv(curve(&[6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7])), Err(CKR_CURVE_NOT_SUPPORTED));
        for bad in [&[][..], &[6], &[6, 8, 1], &[0x30, 0], &[5, 0]] {
            assert_eq!(rv(curve(bad)), Err(CKR_DOMAIN_PARAMS_INVALID), "{bad:?}");
        }
    }

    #[test]
    fn numbers_of_kinds_read_back() {
        for kind in Kind::ALL {
            assert_eq!(class(class_number(kind.class())), Some(kind.class()));
            assert_eq!(key_type(key_type_number(kind.key_type())), Some(kind.key_type()));
            assert_eq!(Kind::of(kind.class(), kind.key_type()), Some(kind));
        }
        assert_eq!(Kind::of(KeyClass::PublicKey, KeyType::Aes), None);
        assert_eq!((class(CKO_DATA), key_type(CKK_DSA)), (None, None));
        for algorithm in MlDsaAlgorithm::ALL {
            assert_eq!(parameter_set(parameter_set_number(*algorithm)), Some(*algorithm));
        }
        assert_eq!(parameter_set(0), None);
    }

    #[test]
    fn points_come_bare_and_wrapped_and_go_out_wrapped() {
        let bare = [&[4][..], &[7; 132]].concat();
        let wrapped = wrapped_point(&bare);
        assert_eq!((wrapped.len(), &wrapped[..3]), (136, &[4, 0x81, 0x85][..]));
        assert_eq!(rv(point(Curve::P521, &wrapped)), Ok(&bare[..]));
        assert_eq!(rv(point(Curve::P521, &bare)), Ok(&bare[..]));
        assert_eq!(rv(point(Curve::P256, &bare)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
        assert_eq!(wrapped_point(&[9; 32]).len(), 34);
    }
}

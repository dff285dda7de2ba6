//! Public keys as SubjectPublicKeyInfo (RFC 5280 §4.1, RFC 8017 §A.1, RFC 5480 §2, RFC 8410 §4, RFC 9881 §4), and the
//! check value made of it.

use strongroom_types::{CheckValue, Curve, HashFunction, MlDsaAlgorithm, PublicPart};
use thiserror::Error;

use crate::der::{self, DerError, Reader, tag};
use crate::digest::digest;
use crate::sys::{self, EcPublic, RsaPublic};

/// `rsaEncryption`, RFC 8017 §A.1.
pub const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// `id-ecPublicKey`, RFC 5480 §2.1.1.
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// Bytes that are no public key Strongroom can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpkiError {
    /// Not the DER of a SubjectPublicKeyInfo.
    #[error("not a SubjectPublicKeyInfo: {0}")]
    Der(#[from] DerError),
    /// None of RSA, EC, Ed25519 and ML-DSA.
    #[error("the public key is none of an RSA, EC, Ed25519 or ML-DSA key")]
    Algorithm,
    /// A curve that is not supported, or one spelled out instead of named.
    #[error("the EC key is not on a supported named curve")]
    Curve,
    /// A modulus or exponent that cannot be right, or a point that is not on its curve or not uncompressed.
    #[error("the public key is not valid")]
    Invalid,
}

/// The SubjectPublicKeyInfo: named curve and uncompressed point for EC, `rsaEncryption` with NULL for RSA, the bare
/// algorithm and the key's bytes for Ed25519 and ML-DSA.
pub fn encode(public: &PublicPart) -> Vec<u8> {
    let (algorithm, key) = match public {
        PublicPart::Rsa { modulus, public_exponent } => (
            der::sequence(&[&der::oid(RSA_ENCRYPTION), &der::NULL]),
            der::sequence(&[&der::unsigned(modulus), &der::unsigned(public_exponent)]),
        ),
        PublicPart::Ec { curve: Curve::Ed25519, point } => {
            (der::sequence(&[&der::oid(Curve::Ed25519.oid())]), point.clone())
        }
        PublicPart::MlDsa { algorithm, key } => (der::sequence(&[&der::oid(algorithm.oid())]), key.clone()),
        PublicPart::Ec { curve, point } => {
            (der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(curve.oid())]), point.clone())
        }
    };
    der::sequence(&[&algorithm, &der::bit_string(&key)])
}

/// Reads a SubjectPublicKeyInfo. The key is checked: an EC point is on its curve, an RSA key one that AWS-LC takes
/// (odd modulus of at most 16,384 bits, odd exponent of at most 33 bits).
pub fn decode(bytes: &[u8]) -> Result<PublicPart, SpkiError> {
    let mut outer = Reader::new(bytes);
    let mut info = outer.sequence()?;
    outer.finish()?;
    let mut algorithm = info.sequence()?;
    let key = info.bit_string()?;
    info.finish()?;
    let public = match algorithm.read(tag::OID)? {
        RSA_ENCRYPTION => {
            if !algorithm.read(tag::NULL)?.is_empty() {
                return Err(SpkiError::Algorithm);
            }
            rsa(key)?
        }
        EC_PUBLIC_KEY => {
            let name = algorithm.read(tag::OID).map_err(|_| SpkiError::Curve)?;
            let curve = Curve::WEIERSTRASS.into_iter().find(|curve| curve.oid() == name).ok_or(SpkiError::Curve)?;
            PublicPart::Ec { curve, point: key.to_vec() }
        }
        name if name == Curve::Ed25519.oid() => PublicPart::Ec { curve: Curve::Ed25519, point: key.to_vec() },
        name => {
            let known = MlDsaAlgorithm::ALL.iter().find(|algorithm| algorithm.oid() == name);
            PublicPart::MlDsa { algorithm: *known.ok_or(SpkiError::Algorithm)?, key: key.to_vec() }
        }
    };
    algorithm.finish()?;
    check(&public).then_some(public).ok_or(SpkiError::Invalid)
}

fn rsa(key: &[u8]) -> Result<PublicPart, SpkiError> {
    let mut outer = Reader::new(key);
    let mut numbers = outer.sequence()?;
    outer.finish()?;
    let modulus = numbers.unsigned()?.to_vec();
    let public_exponent = numbers.unsigned()?.to_vec();
    numbers.finish()?;
    Ok(PublicPart::Rsa { modulus, public_exponent })
}

/// Whether the numbers are a key at all.
pub fn check(public: &PublicPart) -> bool {
    match public {
        PublicPart::Rsa { modulus, public_exponent } => RsaPublic::new(modulus, public_exponent).is_some(),
        PublicPart::Ec { curve: Curve::Ed25519, point } => sys::is_on_edwards25519(point),
        PublicPart::Ec { curve, point } => EcPublic::new(*curve, point).is_some(),
        // Every string of the right length is a key (FIPS 204 §7.2, pkDecode).
        PublicPart::MlDsa { algorithm, key } => key.len() == algorithm.public_len(),
    }
}

/// The check value of both halves of a pair: the first three bytes of SHA-1 over the SubjectPublicKeyInfo.
pub fn check_value(public: &PublicPart) -> CheckValue {
    let digest = digest(HashFunction::Sha1, &encode(public));
    digest.first_chunk().copied().expect("a SHA-1 digest has 20 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base point of P-256 (SP 800-186 §3.2.1.3).
    fn p256_base_point() -> PublicPart {
        let x = b"\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
                  \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96";
        let y = b"\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
                  \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
        PublicPart::Ec { curve: Curve::P256, point: [&[4][..], x, y].concat() }
    }

    /// The base point of edwards25519: y = 4/5 (RFC 8032 §5.1).
    fn ed25519_base_point() -> Vec<u8> {
        [&[0x58][..], &[0x66; 31]].concat()
    }

    #[test]
    fn the_check_value_is_the_published_one() {
        assert_eq!(check_value(&p256_base_point()), [0xdb, 0xa4, 0xcd]);
    }

    #[test]
    fn keys_read_back_and_cut_ones_do_not() {
        let rsa = PublicPart::Rsa { modulus: vec![0xff; 256], public_exponent: vec![1, 0, 1] };
        let ed25519 = PublicPart::Ec { curve: Curve::Ed25519, point: ed25519_base_point() };
        let ml_dsa = MlDsaAlgorithm::ALL
            .iter()
            .map(|algorithm| PublicPart::MlDsa { algorithm: *algorithm, key: vec![7; algorithm.public_len()] });
        for public in [rsa, p256_base_point(), ed25519].into_iter().chain(ml_dsa) {
            let der = encode(&public);
            assert_eq!(decode(&der).unwrap(), public);
            for cut in 0..der.len() {
                assert!(decode(&der[..cut]).is_err(), "cut to {cut}");
            }
            assert_eq!(decode(&[&der[..], &[0]].concat()), Err(SpkiError::Der(DerError::Trailing)));
        }
    }

    #[test]
    fn keys_that_cannot_be_right_are_refused() {
        let check = |public: PublicPart| assert_eq!(decode(&encode(&public)), Err(SpkiError::Invalid), "{public:?}");
        check(PublicPart::Rsa { modulus: vec![0xfe; 256], public_exponent: vec![1, 0, 1] });
        check(PublicPart::Rsa { modulus: vec![0xff; 256], public_exponent: vec![1, 0, 0] });
        check(PublicPart::Rsa { modulus: vec![0xff; 256], public_exponent: vec![1] });
        check(PublicPart::Rsa { modulus: vec![], public_exponent: vec![3] });
        check(PublicPart::Rsa { modulus: vec![0xff; 2049], public_exponent: vec![3] });
        check(PublicPart::Rsa { modulus: vec![0xff; 256], public_exponent: vec![0xff; 5] });
        let PublicPart::Ec { curve, mut point } = p256_base_point() else { unreachable!("an EC key") };
        check(PublicPart::Ec { curve, point: vec![0] });
        check(PublicPart::Ec { curve, point: [&[2][..], &point[1..33]].concat() });
        check(PublicPart::Ec { curve: Curve::Secp256k1, point: point.clone() });
        point[40] ^= 1;
        check(PublicPart::Ec { curve, point });
        let ed25519 = |point: Vec<u8>| check(PublicPart::Ec { curve: Curve::Ed25519, point });
        ed25519(ed25519_base_point()[1..].to_vec());
        ed25519([&ed25519_base_point()[..], &[0]].concat());
        // y = 2 is no point's, y = p is 0 written otherwise, and x = 0 has no sign.
        ed25519([&[2][..], &[0; 31]].concat());
        ed25519([&[0xed][..], &[0xff; 30], &[0x7f]].concat());
        ed25519([&[1][..], &[0; 30], &[0x80]].concat());
        for algorithm in MlDsaAlgorithm::ALL.iter().copied() {
            check(PublicPart::MlDsa { algorithm, key: vec![7; algorithm.public_len() - 1] });
            check(PublicPart::MlDsa { algorithm, key: vec![7; algorithm.public_len() + 1] });
        }
    }

    /// Both signs of the base point's x.
    #[test]
    fn points_on_edwards25519_are_known() {
        let base = ed25519_base_point();
        let negative = [&base[..31], &[base[31] | 0x80]].concat();
        for point in [base, negative] {
            assert!(sys::is_on_edwards25519(&point), "{point:02x?}");
        }
    }

    #[test]
    fn other_algorithms_and_curves_are_named() {
        let key = der::bit_string(&[4; 65]);
        let ed448 = der::sequence(&[&der::sequence(&[&der::oid(&[0x2b, 0x65, 0x71])]), &key]);
        assert_eq!(decode(&ed448), Err(SpkiError::Algorithm));
        // RFC 8410 §3: no parameters, and Ed25519 is no curve of id-ecPublicKey.
        let point = der::bit_string(&ed25519_base_point());
        let name = der::oid(Curve::Ed25519.oid());
        let with_null = der::sequence(&[&der::sequence(&[&name, &der::NULL]), &point]);
        assert_eq!(decode(&with_null), Err(SpkiError::Der(DerError::Trailing)));
        let as_curve = der::sequence(&[&der::sequence(&[&der::oid(EC_PUBLIC_KEY), &name]), &point]);
        assert_eq!(decode(&as_curve), Err(SpkiError::Curve));
        let brainpool = der::oid(&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7]);
        let other = der::sequence(&[&der::sequence(&[&der::oid(EC_PUBLIC_KEY), &brainpool]), &key]);
        assert_eq!(decode(&other), Err(SpkiError::Curve));
    }
}

use std::collections::HashSet;
use std::thread;

use num_bigint::BigUint;
use strongroom_crypto::spki;
use strongroom_crypto::verify::verify;
use strongroom_types::limits::{RSA_BITS_MAX, RSA_BITS_MIN, RSA_BITS_STEP, RSA_EXPONENT_MAX, RSA_EXPONENT_MIN};
use strongroom_types::{Curve, MlDsaAlgorithm, PublicPart, Secret, SignMechanism};

use super::{RSA_BITS, ec, ml_dsa, numbers, rsa};
use crate::generate::{self as make, GeneratedPair};
use crate::{KeyError, PrivateKey};

fn check_rsa(pair: &GeneratedPair, bits: u32, exponent: u64) {
    let (n, e, len) = numbers(&pair.public);
    assert_eq!((n.bits(), len), (u64::from(bits), bits as usize / 8));
    assert_eq!(e, BigUint::from(exponent));
    assert_eq!(pair.check_value, spki::check_value(&pair.public));
    let key = PrivateKey::try_from(pair).unwrap();
    assert_eq!(key.public(), &pair.public);
    let signature = key.sign(SignMechanism::RsaPkcs, b"data").unwrap();
    assert_eq!(verify(&pair.public, SignMechanism::RsaPkcs, b"data", &signature), Ok(()));
}

#[test]
fn rsa_pairs_have_the_size_and_exponent_asked_for() {
    for bits in RSA_BITS {
        check_rsa(&rsa(bits).0, bits, 65_537);
    }
    let between = RSA_BITS_MIN + RSA_BITS_STEP;
    thread::scope(|scope| {
        scope.spawn(|| check_rsa(&make::rsa(between, &[1, 0, 1]).unwrap(), between, 65_537));
        scope.spawn(|| check_rsa(&make::rsa(2048, &[0, 0, 1, 0, 1]).unwrap(), 2048, 65_537));
    });
}

#[test]
fn rsa_exponents_at_below_and_above_their_bounds() {
    for exponent in [RSA_EXPONENT_MIN, RSA_EXPONENT_MIN + 2, RSA_EXPONENT_MAX] {
        check_rsa(&make::rsa(2048, &exponent.to_be_bytes()).unwrap(), 2048, exponent);
    }
    let refused = |exponent: &[u8]| {
        assert_eq!(make::rsa(2048, exponent).err(), Some(KeyError::Exponent), "{exponent:?}");
    };
    for exponent in [0, 1, 2, 3, 17, RSA_EXPONENT_MIN - 2, RSA_EXPONENT_MIN - 1, RSA_EXPONENT_MIN + 1] {
        refused(&exponent.to_be_bytes());
    }
    for exponent in [RSA_EXPONENT_MAX - 1, RSA_EXPONENT_MAX + 1, RSA_EXPONENT_MAX + 2, u64::MAX] {
        refused(&exponent.to_be_bytes());
    }
    refused(&[]);
    refused(&[0]);
    refused(&[0xff; 300]);
}

#[test]
fn rsa_sizes_outside_their_bounds_are_refused() {
    for bits in [0, 1, 1024, RSA_BITS_MIN - 1, RSA_BITS_MIN + 1, RSA_BITS_MIN + 128] {
        assert_eq!(make::rsa(bits, &[1, 0, 1]).err(), Some(KeyError::RsaBits), "{bits}");
    }
    for bits in [RSA_BITS_MAX - 1, RSA_BITS_MAX + 1, RSA_BITS_MAX + RSA_BITS_STEP, 1 << 31, u32::MAX] {
        assert_eq!(make::rsa(bits, &[1, 0, 1]).err(), Some(KeyError::RsaBits), "{bits}");
    }
}

/// The lengths are those that `key list` of the original shows for private keys.
#[test]
fn ec_pairs_have_their_point_and_length() {
    let expected =
        [(Curve::P224, 122), (Curve::P256, 138), (Curve::P384, 185), (Curve::P521, 241), (Curve::Secp256k1, 135)];
    assert_eq!(expected.len(), Curve::WEIERSTRASS.len());
    for (curve, pkcs8_len) in expected {
        let (pair, key) = ec(curve);
        assert_eq!(pair.pkcs8.len(), pkcs8_len, "{curve}");
        let PublicPart::Ec { curve: of_key, point } = &pair.public else { panic!("{:?}", pair.public) };
        assert_eq!((*of_key, point.len(), point[0]), (curve, 1 + 2 * curve.field_len(), 4));
        let bytes = pair.pkcs8.expose();
        assert!(bytes.windows(point.len()).any(|window| window == point), "{curve}: the public key is not inside");
        assert_eq!(key.public(), &pair.public);
        assert_eq!(pair.check_value, spki::check_value(&pair.public));
        assert!(spki::check(&pair.public), "{curve}");
    }
}

/// RFC 8410 §10.3 has a private key of this form; the lengths of ML-DSA are FIPS 204's.
#[test]
fn ed25519_and_ml_dsa_pairs_have_their_lengths() {
    let (pair, key) = ec(Curve::Ed25519);
    assert_eq!((pair.pkcs8.len(), pair.private_length_bytes()), (48, 48));
    assert!(matches!(&pair.public, PublicPart::Ec { curve: Curve::Ed25519, point } if point.len() == 32));
    assert!(spki::check(&pair.public) && key.public() == &pair.public);
    for (algorithm, public_len, private_len) in [
        (MlDsaAlgorithm::MlDsa44, 1312, 2560),
        (MlDsaAlgorithm::MlDsa65, 1952, 4032),
        (MlDsaAlgorithm::MlDsa87, 2592, 4896),
    ] {
        let (pair, key) = ml_dsa(algorithm);
        // The seed, and what names it.
        assert_eq!((pair.pkcs8.len(), pair.private_length_bytes()), (54, private_len), "{algorithm}");
        let PublicPart::MlDsa { algorithm: of_key, key: public } = &pair.public else { panic!("not ML-DSA") };
        assert_eq!((*of_key, public.len()), (algorithm, public_len));
        assert!(spki::check(&pair.public) && key.public() == &pair.public);
        assert_eq!(pair.check_value, spki::check_value(&pair.public));
    }
}

#[test]
fn no_two_keys_are_the_same() {
    let mut seen = HashSet::new();
    for _ in 0..20 {
        for curve in Curve::ALL {
            assert!(seen.insert(make::ec(*curve).unwrap().pkcs8.expose().to_vec()), "{curve}");
        }
        for len in [16, 24, 32, 64] {
            assert!(seen.insert(make::secret(len).expose().to_vec()), "{len}");
        }
    }
}

#[test]
fn secrets_have_the_length_asked_for() {
    for len in [0, 1, 16, 24, 32, 800] {
        assert_eq!(make::secret(len).len(), len);
    }
    // Every byte is drawn: in 64 secrets no place stays zero.
    let drawn: Vec<Secret> = (0..64).map(|_| make::secret(33)).collect();
    for at in 0..33 {
        assert!(drawn.iter().any(|secret| secret.expose()[at] != 0), "byte {at}");
    }
}

#[test]
fn check_values_are_the_published_ones() {
    let check = |len: u8, expected: [u8; 3]| {
        let key = Secret::new((0..len).collect());
        assert_eq!(make::aes_check_value(&key), Ok(expected), "AES-{}", len * 8);
    };
    check(16, [0xc6, 0xa1, 0x3b]);
    check(24, [0x91, 0x62, 0x51]);
    check(32, [0xf2, 0x90, 0x00]);
    for len in [0, 1, 15, 17, 23, 25, 31, 33, 64] {
        assert_eq!(make::aes_check_value(&Secret::new(vec![0; len])), Err(KeyError::AesLength), "{len} bytes");
    }
}

/// The scalar is one, so the public key is P-256's base point, whose check value is published.
#[test]
fn the_check_value_of_a_private_key_is_its_public_keys() {
    let public = crate::tests::unhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    );
    let head = crate::tests::unhex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420");
    let scalar = [&[0; 31][..], &[1]].concat();
    let pkcs8 = [&head[..], &scalar, &[0xa1, 0x44, 0x03, 0x42, 0x00], &public].concat();
    let key = PrivateKey::from_pkcs8(&Secret::new(pkcs8)).unwrap();
    assert_eq!(spki::check_value(key.public()), [0xdb, 0xa4, 0xcd]);
}

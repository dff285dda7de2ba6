use num_bigint::BigUint;
use strongroom_crypto::{der, spki};
use strongroom_types::{Curve, KeyType, MlDsaAlgorithm, PublicPart, Secret, SignMechanism};

use super::{ec, ml_dsa, pkcs8_of, rsa, unhex};
use crate::import::{self, ImportError};
use crate::{KeyError, PrivateKey};

fn des3(text: &str) -> import::ImportedSecret {
    import::secret(KeyType::Des3, Secret::new(unhex(text))).unwrap()
}

/// What `openssl enc -des-ede3-ecb -nopad` gives for eight zero bytes under these keys.
#[test]
fn a_3des_key_has_the_check_value_that_openssl_computes() {
    let key = des3("0123456789abcdef23456789abcdef01456789abcdef0123");
    assert_eq!((key.check_value, key.length_bytes, key.weak), (Some([0x4e, 0xba, 0x73]), 24, false));
}

#[test]
fn parity_bits_of_3des_are_kept_and_do_not_count() {
    let odd = des3("0123456789abcdef23456789abcdef01456789abcdef0123");
    let even = des3("0022446688aacceeffffffffffffffff0000000000000000");
    let same = des3("0123456789abcdeffefefefefefefefe0101010101010101");
    assert_eq!(even.check_value, same.check_value);
    assert_ne!(even.check_value, odd.check_value);
    assert_eq!(even.material.expose()[..8], [0x00, 0x22, 0x44, 0x66, 0x88, 0xaa, 0xcc, 0xee]);
}

#[test]
fn a_3des_key_that_is_single_des_is_weak() {
    let (one, two) = ("0123456789abcdef", "23456789abcdef01");
    let check = |keys: [&str; 3], weak: bool| assert_eq!(des3(&keys.concat()).weak, weak, "{keys:?}");
    check([one, two, one], false);
    check([one, one, two], true);
    check([two, one, one], true);
    check([one, one, one], true);
    // The same but for parity.
    check([one, "0022446688aaccee", two], true);
}

#[test]
fn secrets_have_the_length_of_their_type() {
    let check = |key_type, len: usize, fits: bool| {
        let imported = import::secret(key_type, Secret::new(vec![7; len]));
        assert_eq!(imported.is_ok(), fits, "{key_type} {len}");
        if let Ok(imported) = imported {
            assert_eq!(imported.length_bytes as usize, len);
            assert_eq!(imported.check_value.is_some(), key_type != KeyType::GenericSecret);
        }
    };
    for len in [0, 1, 15, 16, 17, 23, 24, 25, 31, 32, 33, 48, 800, 801] {
        check(KeyType::Aes, len, matches!(len, 16 | 24 | 32));
        check(KeyType::Des3, len, len == 24);
        check(KeyType::GenericSecret, len, (1..=800).contains(&len));
        for key_type in [KeyType::Ec, KeyType::MlDsa, KeyType::Rsa] {
            check(key_type, len, false);
        }
    }
}

fn private(key_type: KeyType, pkcs8: &[u8]) -> Option<Vec<u8>> {
    let pair = import::private(key_type, &Secret::from(pkcs8)).ok()?;
    let key = PrivateKey::try_from(&pair).unwrap();
    assert_eq!((key.public(), pair.check_value), (&pair.public, spki::check_value(&pair.public)));
    Some(pair.pkcs8.expose().to_vec())
}

#[test]
fn what_was_generated_here_comes_in_as_it_left() {
    let mut pairs = vec![(KeyType::Rsa, &rsa(2048).0)];
    let ec: Vec<_> = Curve::ALL.iter().map(|curve| ec(*curve).0).collect();
    pairs.extend(ec.iter().map(|pair| (KeyType::Ec, pair)));
    for (key_type, pair) in pairs {
        let pkcs8 = pair.pkcs8.expose();
        assert_eq!(private(key_type, pkcs8).as_deref(), Some(pkcs8), "{:?}", pair.public);
        let other = if key_type == KeyType::Rsa { KeyType::Ec } else { KeyType::Rsa };
        assert_eq!(private(other, pkcs8), None, "{:?}", pair.public);
    }
    let ml_dsa = ml_dsa(MlDsaAlgorithm::MlDsa44).0;
    for key_type in KeyType::ALL {
        assert_eq!(private(*key_type, ml_dsa.pkcs8.expose()), None, "{key_type}");
    }
}

#[test]
fn keys_that_openssl_made_come_in_within_their_bounds() {
    let check = |key_type, pem: &[u8], fits: bool| {
        assert_eq!(private(key_type, pkcs8_of(pem).expose()).is_some(), fits);
    };
    check(KeyType::Rsa, include_bytes!("keys/rsa-2048.pem"), true);
    check(KeyType::Ec, include_bytes!("keys/ec-p256.pem"), true);
    check(KeyType::Ec, include_bytes!("keys/ed25519.pem"), true);
    check(KeyType::Rsa, include_bytes!("keys/rsa-1024.pem"), false);
    check(KeyType::Rsa, include_bytes!("keys/rsa-2176.pem"), false);
    check(KeyType::Rsa, include_bytes!("keys/rsa-2048-e3.pem"), false);
    check(KeyType::Rsa, include_bytes!("keys/rsa-2048-e33.pem"), false);
    check(KeyType::Rsa, include_bytes!("keys/rsa-pss.pem"), false);
    check(KeyType::Ec, include_bytes!("keys/ec-brainpool.pem"), false);
}

/// PKCS #8 of a P-256 key with this scalar and no public key.
fn p256_without_point(scalar: &[u8]) -> Vec<u8> {
    let algorithm =
        der::sequence(&[&der::oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]), &der::oid(Curve::P256.oid())]);
    let key = der::sequence(&[&der::unsigned(&[1]), &der::octet_string(scalar)]);
    der::sequence(&[&der::unsigned(&[]), &algorithm, &der::octet_string(&key)])
}

#[test]
fn the_point_is_computed_and_the_scalar_in_its_range() {
    let one = [&[0; 31][..], &[1]].concat();
    let whole = private(KeyType::Ec, &p256_without_point(&one)).unwrap();
    assert_eq!(whole.len(), 138, "the point is inside");
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let minus_one = BigUint::from_bytes_be(&unhex(order)) - 1_u8;
    assert!(private(KeyType::Ec, &p256_without_point(&minus_one.to_bytes_be())).is_some());
    assert_eq!(private(KeyType::Ec, &p256_without_point(&unhex(order))), None);
    assert_eq!(private(KeyType::Ec, &p256_without_point(&[0; 32])), None);
    assert_eq!(private(KeyType::Ec, &p256_without_point(&[0xff; 32])), None);
}

/// A set of attributes behind the key: AWS-LC overlooks it, and it does not stay.
#[test]
fn nothing_rides_along() {
    let plain = ec(Curve::Ed25519).0.pkcs8;
    let attributes = der::element(der::tag::context(0), &[&der::octet_string(&[7; 20])]);
    let mut with = [plain.expose(), &attributes].concat();
    with[1] += u8::try_from(attributes.len()).unwrap();
    assert_eq!(private(KeyType::Ec, &with).as_deref(), Some(plain.expose()));
}

/// RFC 5958: version 2 carries the public key, which must be the seed's, and does not stay.
#[test]
fn an_ed25519_key_with_its_public_key_is_checked_against_it() {
    let pair = ec(Curve::Ed25519).0;
    let PublicPart::Ec { point, .. } = &pair.public else { panic!("not EC") };
    let with = |point: &[u8]| {
        let public = [&[0x81, u8::try_from(1 + point.len()).unwrap(), 0][..], point].concat();
        let mut bytes = [pair.pkcs8.expose(), &public].concat();
        bytes[1] += u8::try_from(public.len()).unwrap();
        // INTEGER 0 is version 1.
        assert_eq!(bytes[2..5], [0x02, 0x01, 0x00]);
        bytes[4] = 1;
        bytes
    };
    assert_eq!(private(KeyType::Ec, &with(point)).as_deref(), Some(pair.pkcs8.expose()));
    let mut other = point.clone();
    other[0] ^= 1;
    assert_eq!(private(KeyType::Ec, &with(&other)), None);
    assert_eq!(private(KeyType::Ec, &with(&point[..31])), None);
    assert_eq!(private(KeyType::Ec, &with(&[])), None);
}

/// Numbers that are no primes, and everything else computed as if they were: AWS-LC reads such a key, and its check of
/// results keeps it from signing. Brought in, it would be a key whose modulus anybody may factor.
#[test]
fn an_rsa_key_of_other_numbers_than_two_primes_is_refused() {
    let e = BigUint::from(65_537_u32);
    let p = BigUint::from_bytes_be(&[0xd1; 128]);
    let q = BigUint::from_bytes_be(&[&[0xe3; 127][..], &[1]].concat());
    let (p_less, q_less) = (&p - 1_u8, &q - 1_u8);
    let d = e.modinv(&(&p_less * &q_less)).unwrap();
    let numbers = [&p * &q, e, d.clone(), p.clone(), q.clone(), &d % &p_less, &d % &q_less, q.modinv(&p).unwrap()];
    let numbers: Vec<Vec<u8>> = numbers.iter().map(|number| der::unsigned(&number.to_bytes_be())).collect();
    let version = der::unsigned(&[]);
    let parts: Vec<&[u8]> = std::iter::once(&version).chain(&numbers).map(Vec::as_slice).collect();
    let rsa_encryption = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let algorithm = der::sequence(&[&der::oid(&rsa_encryption), &der::NULL]);
    let pkcs8 = Secret::new(der::sequence(&[&version, &algorithm, &der::octet_string(&der::sequence(&parts))]));
    let key = PrivateKey::from_pkcs8(&pkcs8).expect("the arithmetic is right");
    assert_eq!(key.sign(SignMechanism::RsaPkcs, b"data").err(), Some(KeyError::Fault));
    assert_eq!(import::private(KeyType::Rsa, &pkcs8).err(), Some(ImportError));
}

#[test]
fn errors_tell_nothing() {
    for bytes in [&[][..], b"no key", &[0x30, 0x80]] {
        assert_eq!(import::private(KeyType::Ec, &Secret::from(bytes)).err(), Some(ImportError));
        assert_eq!(import::private(KeyType::Rsa, &Secret::from(bytes)).err(), Some(ImportError));
    }
}

//! Private keys that come in parts, as a program has them that made them elsewhere.

use num_bigint::BigUint;
use strongroom_crypto::pkcs8::{self, RsaParts};
use strongroom_types::{Curve, KeyType, PublicPart, Secret};

use super::{RSA_BITS, ec, rsa, unhex};
use crate::PrivateKey;
use crate::import::{self, ImportError};

/// The numbers of an RSA key that was made here, from its PKCS #8: n, e, d, p, q, d mod (p − 1), d mod (q − 1), q⁻¹ mod p.
fn numbers(bits: u32) -> [BigUint; 8] {
    use strongroom_crypto::der::{Reader, tag};
    let mut info = Reader::new(rsa(bits).0.pkcs8.expose()).sequence().unwrap();
    info.unsigned().unwrap();
    info.sequence().unwrap();
    let mut key = Reader::new(info.read(tag::OCTET_STRING).unwrap()).sequence().unwrap();
    key.unsigned().unwrap();
    std::array::from_fn(|_| BigUint::from_bytes_be(key.unsigned().unwrap()))
}

/// What comes of these numbers; zero is not known.
fn import(numbers: &[BigUint; 8]) -> Result<Secret, ImportError> {
    let bytes = numbers.each_ref().map(|number| match number.to_bytes_be() {
        zero if zero == [0] => Secret::new(Vec::new()),
        bytes => Secret::new(bytes),
    });
    let [n, e, d, p, q, dmp1, dmq1, iqmp] = &bytes;
    let pkcs8 = pkcs8::rsa(&RsaParts {
        modulus: n.expose(),
        public_exponent: e.expose(),
        private_exponent: d,
        prime_1: p,
        prime_2: q,
        exponent_1: dmp1,
        exponent_2: dmq1,
        coefficient: iqmp,
    });
    let pair = import::private(KeyType::Rsa, &pkcs8)?;
    assert!(import::private(KeyType::Ec, &pkcs8).is_err());
    Ok(pair.pkcs8)
}

fn zero() -> BigUint {
    BigUint::from(0_u8)
}

/// The key without the parts that a bit of `mask` names, the first of which is p.
fn without(whole: &[BigUint; 8], mask: u8) -> [BigUint; 8] {
    std::array::from_fn(|at| {
        let missing = at >= 3 && mask & (1 << (at - 3)) != 0;
        if missing { zero() } else { whole[at].clone() }
    })
}

#[test]
fn whatever_is_missing_beside_modulus_and_exponents_is_found() {
    let whole = numbers(2048);
    let made = &rsa(2048).0.pkcs8;
    for mask in [1, 2, 4, 8, 16, 3, 28, 31] {
        assert_eq!(import(&without(&whole, mask)).as_ref(), Ok(made), "without {mask:05b}");
    }
    for bits in RSA_BITS {
        assert_eq!(import(&without(&numbers(bits), 31)).as_ref(), Ok(&rsa(bits).0.pkcs8), "{bits}");
    }
}

/// The exponent may be reduced by (p − 1)·(q − 1), as RSA was first described, and the primes may stand the other way.
#[test]
fn other_numbers_of_the_same_key_are_taken() {
    let [n, e, _, p, q, ..] = numbers(2048);
    let d = e.modinv(&((&p - 1_u8) * (&q - 1_u8))).unwrap();
    let of = |p: &BigUint, q: &BigUint| [n.clone(), e.clone(), d.clone(), p.clone(), q.clone(), zero(), zero(), zero()];
    let key = import(&of(&zero(), &zero())).unwrap();
    assert_eq!(PrivateKey::from_pkcs8(&key).unwrap().public(), &rsa(2048).0.public);
    // As they are given, so they stay.
    assert_eq!(import(&of(&p, &q)).unwrap(), key);
    let swapped = import(&of(&q, &p)).unwrap();
    assert_eq!(import(&of(&q, &zero())).unwrap(), swapped);
    assert_ne!(swapped, key);
    assert_eq!(PrivateKey::from_pkcs8(&swapped).unwrap().public(), &rsa(2048).0.public);
}

#[test]
fn parts_that_are_not_so_are_refused() {
    let whole = numbers(2048);
    let refused = |numbers: &[BigUint; 8]| assert_eq!(import(numbers), Err(ImportError), "{numbers:?}");
    let with = |mut numbers: [BigUint; 8], at: usize, number: BigUint| {
        numbers[at] = number;
        numbers
    };
    // Alone beside n, e and d, or with all others.
    for at in 3..8 {
        let wrong = &whole[at] + 2_u8;
        refused(&with(without(&whole, 31), at, wrong.clone()));
        refused(&with(whole.clone(), at, wrong.clone()));
        refused(&with(without(&whole, 1 << 4), at.min(6), &whole[at.min(6)] + 2_u8));
    }
    let bare = without(&whole, 31);
    for (at, number) in whole.iter().enumerate().take(3) {
        refused(&with(bare.clone(), at, number + 2_u8));
        refused(&with(bare.clone(), at, zero()));
    }
    // Another key's exponent, one that is 1, one longer than the modulus.
    refused(&with(bare.clone(), 2, BigUint::from(1_u8)));
    refused(&with(bare.clone(), 2, numbers(3072)[2].clone()));
    refused(&with(bare.clone(), 3, numbers(3072)[0].clone()));
    // Sizes that no key here has are refused before anything is calculated.
    let huge = (BigUint::from(1_u8) << 16_000_u32) + 1_u8;
    refused(&with(bare.clone(), 0, huge));
    refused(&with(bare, 1, BigUint::from(3_u8)));
}

/// Moduli that are no product of two different primes: a square, and a product of four Mersenne primes.
#[test]
fn a_modulus_of_other_numbers_than_two_primes_is_refused() {
    let [_, e, _, p, ..] = numbers(2048);
    let check = |n: BigUint, order: BigUint| {
        assert_eq!(n.bits() % 256, 0, "a length that keys have");
        let d = e.modinv(&order).unwrap();
        assert_eq!(import(&[n, e.clone(), d, zero(), zero(), zero(), zero(), zero()]), Err(ImportError));
    };
    check(&p * &p, &p * (&p - 1_u8));
    let mersenne = [3217_u32, 89, 17, 5].map(|bits| (BigUint::from(1_u8) << bits) - 1_u8);
    check(mersenne.iter().product(), mersenne.iter().map(|prime| prime - 1_u8).product());
}

#[test]
fn an_ec_key_comes_in_by_its_scalar_alone() {
    for curve in Curve::ALL.iter().copied() {
        let pair = ec(curve).0;
        let scalar = scalar_of(curve, &pair.pkcs8);
        let again = import::private(KeyType::Ec, &pkcs8::ec(curve, &scalar).unwrap()).unwrap();
        assert_eq!((&again.public, &again.pkcs8), (&pair.public, &pair.pkcs8), "{curve}");
        let longer = Secret::new([&[1][..], &vec![0; curve.field_len()]].concat());
        assert_eq!(pkcs8::ec(curve, &longer), None, "{curve}");
        if curve.is_weierstrass() {
            // Zeros in front say nothing.
            let padded = Secret::new([&[0; 9][..], scalar.expose()].concat());
            assert_eq!(pkcs8::ec(curve, &padded), pkcs8::ec(curve, &scalar), "{curve}");
            let none = pkcs8::ec(curve, &Secret::new(Vec::new())).unwrap();
            assert!(import::private(KeyType::Ec, &none).is_err(), "{curve}");
        } else {
            assert_eq!(pkcs8::ec(curve, &Secret::from(&scalar.expose()[1..])), None);
        }
    }
    let one = import::private(KeyType::Ec, &pkcs8::ec(Curve::P256, &Secret::from(&[1][..])).unwrap()).unwrap();
    let base = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    assert_eq!(one.public, PublicPart::Ec { curve: Curve::P256, point: unhex(base) });
}

/// Where AWS-LC writes the scalar in a PKCS #8, or the seed.
fn scalar_of(curve: Curve, pkcs8: &Secret) -> Secret {
    use strongroom_crypto::der::{Reader, tag};
    let mut info = Reader::new(pkcs8.expose()).sequence().unwrap();
    info.unsigned().unwrap();
    info.sequence().unwrap();
    let mut key = Reader::new(info.read(tag::OCTET_STRING).unwrap());
    if !curve.is_weierstrass() {
        return Secret::from(key.read(tag::OCTET_STRING).unwrap());
    }
    let mut key = key.sequence().unwrap();
    key.unsigned().unwrap();
    Secret::from(key.read(tag::OCTET_STRING).unwrap())
}

use std::thread;

use num_bigint::BigUint;
use strongroom_crypto::digest::{digest, digest_info};
use strongroom_crypto::verify::{VerifyError, verify};
use strongroom_types::{Curve, HashFunction, SignMechanism};

use super::{RSA_BITS, block, ec, numbers, public_operation, rsa};
use crate::{KeyError, PrivateKey};

/// Signs, and checks that the signature is good for this data under this mechanism and for nothing else.
fn signs(key: &PrivateKey, mechanism: SignMechanism, data: &[u8], signature_len: usize) {
    let what = format!("{key:?}, {mechanism:?}, {} bytes", data.len());
    let signature = key.sign(mechanism, data).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(signature.len(), signature_len, "{what}");
    assert_eq!(verify(key.public(), mechanism, data, &signature), Ok(()), "{what}");
    for at in [0, signature_len / 2, signature_len - 1] {
        let mut other = signature.clone();
        other[at] ^= 1;
        assert_eq!(verify(key.public(), mechanism, data, &other), Err(VerifyError::Signature), "{what}, byte {at}");
    }
    for len in [0, 1, signature_len - 1] {
        let cut = &signature[..len];
        assert_eq!(verify(key.public(), mechanism, data, cut), Err(VerifyError::Signature), "{what}, cut to {len}");
    }
    let longer = [&signature[..], &[0]].concat();
    assert_eq!(verify(key.public(), mechanism, data, &longer), Err(VerifyError::Signature), "{what}");
    if let Some(first) = data.first() {
        let other = [&[first ^ 1], &data[1..]].concat();
        assert_eq!(verify(key.public(), mechanism, &other, &signature), Err(VerifyError::Signature), "{what}");
    }
}

fn refused(key: &PrivateKey, mechanism: SignMechanism, data: &[u8], expected: KeyError) {
    assert_eq!(key.sign(mechanism, data), Err(expected), "{key:?}, {mechanism:?}, {} bytes", data.len());
}

#[test]
fn rsa_signs_blocks_of_pkcs1() {
    for bits in RSA_BITS {
        let (_, key) = rsa(bits);
        let len = bits as usize / 8;
        for hash in HashFunction::ALL {
            signs(key, SignMechanism::RsaPkcs, &digest_info(hash, &digest(hash, b"message")), len);
        }
        for data_len in [0, 1, 36, len - 12, len - 11] {
            signs(key, SignMechanism::RsaPkcs, &vec![0xa5; data_len], len);
        }
        for data_len in [len - 10, len - 1, len, len + 1, 16 * 1024] {
            refused(key, SignMechanism::RsaPkcs, &vec![0xa5; data_len], KeyError::DataLength);
        }
    }
}

/// RFC 8017 §9.2: what the public key recovers is the one right block, byte by byte.
#[test]
fn the_block_of_pkcs1_is_the_standards() {
    let (_, key) = rsa(2048);
    let info = digest_info(HashFunction::Sha256, &digest(HashFunction::Sha256, b"message"));
    let signature = key.sign(SignMechanism::RsaPkcs, &info).unwrap();
    let expected = [&[0, 1][..], &vec![0xff; 256 - 3 - info.len()], &[0], &info].concat();
    assert_eq!(public_operation(key.public(), &signature), expected);
    assert_eq!(key.sign(SignMechanism::RsaPkcs, &info).unwrap(), signature, "PKCS #1 v1.5 is deterministic");
}

#[test]
fn rsa_signs_with_pss() {
    for bits in RSA_BITS {
        let (_, key) = rsa(bits);
        let len = bits as usize / 8;
        for hash in HashFunction::ALL {
            let data = digest(hash, b"message");
            let salt_max = u16::try_from(len - data.len() - 2).unwrap();
            for salt_len in [0, 20, u16::try_from(data.len()).unwrap(), salt_max] {
                signs(key, SignMechanism::RsaPkcsPss { hash, salt_len }, &data, len);
            }
            for salt_len in [salt_max + 1, u16::MAX] {
                refused(key, SignMechanism::RsaPkcsPss { hash, salt_len }, &data, KeyError::SaltLength);
            }
            let mechanism = SignMechanism::RsaPkcsPss { hash, salt_len: 20 };
            refused(key, mechanism, &[], KeyError::DataLength);
            refused(key, mechanism, &data[1..], KeyError::DataLength);
            refused(key, mechanism, &[&data[..], &[0]].concat(), KeyError::DataLength);
        }
    }
}

#[test]
fn a_pss_salt_is_random_and_its_length_counts() {
    let (_, key) = rsa(2048);
    let data = digest(HashFunction::Sha256, b"message");
    let pss = |salt_len| SignMechanism::RsaPkcsPss { hash: HashFunction::Sha256, salt_len };
    let sign = |salt_len| key.sign(pss(salt_len), &data).unwrap();
    assert_ne!(sign(32), sign(32));
    assert_eq!(sign(0), sign(0));
    assert_eq!(verify(key.public(), pss(31), &data, &sign(32)), Err(VerifyError::Signature));
    assert_eq!(verify(key.public(), pss(32), &data, &sign(0)), Err(VerifyError::Signature));
    let sha384 = SignMechanism::RsaPkcsPss { hash: HashFunction::Sha384, salt_len: 32 };
    let other = digest(HashFunction::Sha384, b"message");
    assert_eq!(verify(key.public(), sha384, &other, &sign(32)), Err(VerifyError::Signature));
}

#[test]
fn rsa_signs_whole_blocks() {
    for bits in RSA_BITS {
        let (_, key) = rsa(bits);
        let (n, _, len) = numbers(key.public());
        let number = |number: &BigUint| block(number, len);
        for good in [BigUint::from(2_u8), BigUint::from(0xff00_u16), &n - 2_u8, &n >> 1] {
            signs_block(key, &number(&good));
        }
        for bad in [BigUint::from(0_u8), BigUint::from(1_u8), &n - 1_u8, n.clone(), &n + 1_u8] {
            refused(key, SignMechanism::RsaX509, &number(&bad), KeyError::DataRange);
        }
        refused(key, SignMechanism::RsaX509, &vec![0xff; len], KeyError::DataRange);
        for data_len in [0, 1, len - 1, len + 1] {
            refused(key, SignMechanism::RsaX509, &vec![1; data_len], KeyError::DataLength);
        }
    }
}

fn signs_block(key: &PrivateKey, data: &[u8]) {
    signs(key, SignMechanism::RsaX509, data, data.len());
    let signature = key.sign(SignMechanism::RsaX509, data).unwrap();
    assert_eq!(public_operation(key.public(), &signature), data, "{key:?}");
}

/// RFC 8017 §9.2 applied by the caller gives the same signature as when the HSM applies it.
#[test]
fn a_block_padded_outside_is_signed_alike() {
    let (_, key) = rsa(3072);
    let padded = [&[0, 1][..], &[0xff; 384 - 3 - 20], &[0], &[7; 20]].concat();
    let inside = key.sign(SignMechanism::RsaPkcs, &[7; 20]).unwrap();
    assert_eq!(key.sign(SignMechanism::RsaX509, &padded).unwrap(), inside);
}

#[test]
fn every_curve_signs_digests_of_every_length() {
    for curve in Curve::ALL {
        let (_, key) = ec(*curve);
        for hash in HashFunction::ALL {
            signs(&key, SignMechanism::Ecdsa, &digest(hash, b"message"), 2 * curve.field_len());
        }
        for data_len in [1, 128] {
            signs(&key, SignMechanism::Ecdsa, &vec![0xa5; data_len], 2 * curve.field_len());
        }
        refused(&key, SignMechanism::Ecdsa, &[], KeyError::DataLength);
    }
}

/// FIPS 186-5 §6.4.1 step 2: only the leftmost bits of the digest count, as many as the order has.
#[test]
fn a_longer_digest_is_cut_on_the_right() {
    for (curve, order_len) in [(Curve::P224, 28), (Curve::P256, 32), (Curve::Secp256k1, 32), (Curve::P384, 48)] {
        let (_, key) = ec(curve);
        let data = digest(HashFunction::Sha512, b"message");
        let signature = key.sign(SignMechanism::Ecdsa, &data).unwrap();
        let check = |data: &[u8]| verify(key.public(), SignMechanism::Ecdsa, data, &signature);
        assert_eq!(check(&data[..order_len]), Ok(()), "{curve}");
        assert_eq!(check(&data[..order_len - 1]), Err(VerifyError::Signature), "{curve}");
        assert_eq!(check(&data[1..]), Err(VerifyError::Signature), "{curve}");
    }
}

#[test]
fn two_ecdsa_signatures_of_one_digest_differ() {
    for curve in Curve::ALL {
        let (_, key) = ec(*curve);
        let sign = || key.sign(SignMechanism::Ecdsa, &[7; 32]).unwrap();
        let len = curve.field_len();
        assert_ne!(sign()[..len], sign()[..len], "{curve}: the nonce was used twice");
    }
}

#[test]
fn a_mechanism_of_another_key_type_is_refused() {
    let pss = SignMechanism::RsaPkcsPss { hash: HashFunction::Sha256, salt_len: 32 };
    let (_, key) = ec(Curve::P256);
    for mechanism in [SignMechanism::RsaPkcs, pss, SignMechanism::RsaX509] {
        refused(&key, mechanism, &[7; 32], KeyError::KeyType);
    }
    refused(&rsa(2048).1, SignMechanism::Ecdsa, &[7; 32], KeyError::KeyType);
}

/// One key, many threads: the values that RSA caches inside the key on its first uses must not get mixed up.
#[test]
fn one_key_serves_many_threads() {
    let fresh = PrivateKey::try_from(&rsa(2048).0).unwrap();
    let (_, curve) = ec(Curve::P256);
    thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (fresh, curve) = (&fresh, &curve);
            scope.spawn(move || {
                for round in 0..20 {
                    let data = [thread, round, 3, 4];
                    for (key, mechanism) in [(fresh, SignMechanism::RsaPkcs), (curve, SignMechanism::Ecdsa)] {
                        let signature = key.sign(mechanism, &data).unwrap();
                        assert_eq!(verify(key.public(), mechanism, &data, &signature), Ok(()));
                    }
                }
            });
        }
    });
}

#[test]
fn debug_shows_size_and_curve_only() {
    assert_eq!(format!("{:?}", rsa(3072).1), "PrivateKey(RSA, 3072 bits)");
    let shown = format!("{:?}", ec(Curve::P384).1);
    assert!(shown.len() < 32, "{shown}");
}

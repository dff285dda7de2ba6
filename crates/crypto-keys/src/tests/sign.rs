use std::thread;

use num_bigint::BigUint;
use strongroom_crypto::digest::{digest, digest_info};
use strongroom_crypto::ml_dsa::mu;
use strongroom_crypto::verify::{VerifyError, verify};
use strongroom_types::limits::ED25519_DATA_LEN_MAX;
use strongroom_types::{Curve, HashFunction, MlDsaAlgorithm, PublicPart, Secret, SignMechanism};

use super::{RSA_BITS, block, ec, ml_dsa, numbers, public_operation, rsa, unhex};
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
    for curve in Curve::WEIERSTRASS {
        let (_, key) = ec(curve);
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
    for curve in Curve::WEIERSTRASS {
        let (_, key) = ec(curve);
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
    let (ed25519, ml_dsa) = (ec(Curve::Ed25519).1, ml_dsa(MlDsaAlgorithm::MlDsa44).1);
    for mechanism in [SignMechanism::Ecdsa, SignMechanism::RsaPkcs, pss, SignMechanism::MlDsa] {
        refused(&ed25519, mechanism, &[7; 64], KeyError::KeyType);
    }
    for mechanism in [SignMechanism::Ed25519, SignMechanism::Ed25519Ph] {
        for other in [&key, &rsa(2048).1, &ml_dsa] {
            refused(other, mechanism, &[7; 64], KeyError::KeyType);
        }
    }
    refused(&ml_dsa, SignMechanism::Ecdsa, &[7; 64], KeyError::KeyType);
    refused(&key, SignMechanism::MlDsa, &[7; 64], KeyError::KeyType);
}

#[test]
fn ed25519_signs_messages_and_digests() {
    let (_, key) = ec(Curve::Ed25519);
    for len in [0, 1, 63, 64, 65, ED25519_DATA_LEN_MAX] {
        signs(&key, SignMechanism::Ed25519, &vec![0xa5; len], 64);
    }
    signs(&key, SignMechanism::Ed25519Ph, &[0xa5; 64], 64);
    for len in [0, 63, 65] {
        refused(&key, SignMechanism::Ed25519Ph, &vec![7; len], KeyError::DataLength);
    }
    // The two are told apart by what is hashed in front (RFC 8032 §2).
    let pure = key.sign(SignMechanism::Ed25519, &[7; 64]).unwrap();
    let ph = key.sign(SignMechanism::Ed25519Ph, &[7; 64]).unwrap();
    assert_eq!(verify(key.public(), SignMechanism::Ed25519Ph, &[7; 64], &pure), Err(VerifyError::Signature));
    assert_eq!(verify(key.public(), SignMechanism::Ed25519, &[7; 64], &ph), Err(VerifyError::Signature));
    assert_eq!(pure, key.sign(SignMechanism::Ed25519, &[7; 64]).unwrap(), "EdDSA is deterministic");
}

/// RFC 8032 §7.1 test 3 and §7.3, each through PKCS #8.
#[test]
fn the_signatures_of_rfc_8032() {
    let key = |seed: &str| {
        let pkcs8 = unhex(&format!("302e020100300506032b657004220420{seed}"));
        PrivateKey::from_pkcs8(&Secret::new(pkcs8)).unwrap()
    };
    let pure = key("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
    let expected = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                    18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    assert_eq!(pure.sign(SignMechanism::Ed25519, &[0xaf, 0x82]).unwrap(), unhex(expected));
    let ph = key("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42");
    let expected = "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41\
                    31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406";
    assert_eq!(ph.sign(SignMechanism::Ed25519Ph, &digest(HashFunction::Sha512, b"abc")).unwrap(), unhex(expected));
}

#[test]
fn ml_dsa_signs_mu() {
    for (algorithm, signature_len) in
        [(MlDsaAlgorithm::MlDsa44, 2420), (MlDsaAlgorithm::MlDsa65, 3309), (MlDsaAlgorithm::MlDsa87, 4627)]
    {
        let (_, key) = ml_dsa(algorithm);
        let PublicPart::MlDsa { key: public, .. } = key.public() else { panic!("not ML-DSA") };
        let mu = mu(public, b"message");
        signs(&key, SignMechanism::MlDsa, &mu, signature_len);
        for len in [0, 63, 65] {
            refused(&key, SignMechanism::MlDsa, &vec![7; len], KeyError::DataLength);
        }
        let sign = || key.sign(SignMechanism::MlDsa, &mu).unwrap();
        assert_ne!(sign(), sign(), "signatures are hedged");
    }
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

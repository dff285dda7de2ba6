use num_bigint::BigUint;
use strongroom_crypto::digest::digest;
use strongroom_types::{Curve, HashFunction, RsaCipher, SignMechanism};

use super::{RSA_BITS, block, ec, numbers, opened_pem, public_operation, rsa, unhex};
use crate::{KeyError, PrivateKey};

fn decrypts(key: &PrivateKey, mechanism: RsaCipher, ciphertext: &[u8], expected: &[u8]) {
    let plain = key.decrypt(mechanism, ciphertext).unwrap_or_else(|error| panic!("{key:?}, {mechanism:?}: {error}"));
    assert_eq!(plain.expose(), expected, "{key:?}, {mechanism:?}");
}

fn refused(key: &PrivateKey, mechanism: RsaCipher, ciphertext: &[u8], expected: KeyError) {
    assert_eq!(key.decrypt(mechanism, ciphertext), Err(expected), "{key:?}, {mechanism:?}");
}

/// EME-PKCS1-v1_5 (RFC 8017 §7.2.1) with padding bytes that are never zero.
fn pkcs1(len: usize, message: &[u8]) -> Vec<u8> {
    [&[0, 2][..], &vec![0x5a; len - 3 - message.len()], &[0], message].concat()
}

/// MGF1 (RFC 8017 §B.2.1), applied to `bytes`.
fn mask(hash: HashFunction, seed: &[u8], bytes: &mut [u8]) {
    for (counter, chunk) in (0_u32..).zip(bytes.chunks_mut(hash.digest_len())) {
        let mask = digest(hash, &[seed, &counter.to_be_bytes()].concat());
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// EME-OAEP (RFC 8017 §7.1.1) around a data block that may be wrong: `separator` is 1, and label empty, when right.
fn oaep(hash: HashFunction, len: usize, label: &[u8], separator: u8, message: &[u8]) -> Vec<u8> {
    let hash_len = hash.digest_len();
    let zeros = vec![0; len - 2 * hash_len - 2 - message.len()];
    let mut data = [&digest(hash, label)[..], &zeros, &[separator], message].concat();
    let mut seed = vec![0x77; hash_len];
    mask(hash, &seed, &mut data);
    mask(hash, &data, &mut seed);
    [&[0][..], &seed, &data].concat()
}

#[test]
fn what_openssl_encrypted_is_decrypted() {
    let key = opened_pem(include_bytes!("keys/rsa-2048.pem")).unwrap();
    let ciphertexts = include_str!("keys/rsa-2048-ciphertexts.txt");
    let mut count = 0;
    for line in ciphertexts.lines().filter(|line| !line.starts_with('#')) {
        let (name, ciphertext) = line.split_once(' ').unwrap();
        let mechanism = match name.strip_prefix("oaep-") {
            Some(hash) => RsaCipher::Oaep { hash: hash.parse().unwrap() },
            None => RsaCipher::Pkcs,
        };
        decrypts(&key, mechanism, &unhex(ciphertext), b"attack at dawn");
        count += 1;
    }
    assert_eq!(count, 6);
}

/// Why the private half of a trusted wrapping key must not sign (`docs/internals/key-extraction.md`).
#[test]
fn signing_raw_is_decrypting_raw() {
    let (pair, key) = rsa(2048);
    let padded = oaep(HashFunction::Sha256, 256, b"", 1, &[7; 32]);
    let wrapped = public_operation(&pair.public, &padded);
    assert_eq!(key.sign(SignMechanism::RsaX509, &wrapped).unwrap(), padded);
}

#[test]
fn pkcs1_paddings_right_and_wrong() {
    for bits in RSA_BITS {
        let (_, key) = rsa(bits);
        let len = bits as usize / 8;
        let encrypt = |block: &[u8]| public_operation(key.public(), block);
        for message_len in [0, 1, 48, len - 12, len - 11] {
            let message = vec![0xa5; message_len];
            decrypts(key, RsaCipher::Pkcs, &encrypt(&pkcs1(len, &message)), &message);
        }
        let good = pkcs1(len, b"message");
        let mut wrong: Vec<Vec<u8>> = Vec::new();
        for (at, byte) in [(0, 1), (1, 1), (1, 0), (1, 3), (2, 0), (9, 0)] {
            let mut other = good.clone();
            other[at] = byte;
            wrong.push(other);
        }
        // Seven bytes of padding, one too few; and no zero byte behind the padding.
        wrong.push(pkcs1(len, &vec![1; len - 10]));
        wrong.push([&[0, 2][..], &vec![0x5a; len - 2]].concat());
        for block in wrong {
            refused(key, RsaCipher::Pkcs, &encrypt(&block), KeyError::Decryption);
        }
    }
}

#[test]
fn oaep_paddings_right_and_wrong() {
    for bits in RSA_BITS {
        let (_, key) = rsa(bits);
        let len = bits as usize / 8;
        let encrypt = |block: &[u8]| public_operation(key.public(), block);
        for hash in HashFunction::ALL {
            let mechanism = RsaCipher::Oaep { hash };
            for message_len in [0, 1, 32, len - 2 * hash.digest_len() - 2] {
                let message = vec![0xa5; message_len];
                decrypts(key, mechanism, &encrypt(&oaep(hash, len, b"", 1, &message)), &message);
            }
            let good = oaep(hash, len, b"", 1, b"message");
            refused(key, mechanism, &encrypt(&oaep(hash, len, b"label", 1, b"message")), KeyError::Decryption);
            refused(key, mechanism, &encrypt(&oaep(hash, len, b"", 2, b"message")), KeyError::Decryption);
            refused(key, mechanism, &encrypt(&oaep(hash, len, b"", 0, &[0; 5])), KeyError::Decryption);
            refused(key, mechanism, &encrypt(&[&[1], &good[1..]].concat()), KeyError::Decryption);
            for other in HashFunction::ALL.into_iter().filter(|other| *other != hash) {
                let mechanism = RsaCipher::Oaep { hash: other };
                refused(key, mechanism, &encrypt(&good), KeyError::Decryption);
            }
        }
    }
}

#[test]
fn a_whole_block_is_decrypted_with_its_zeros() {
    let (_, key) = rsa(2048);
    let (n, _, len) = numbers(key.public());
    for number in [BigUint::from(2_u8), BigUint::from(0x0123_4567_u32), &n - 2_u8] {
        let plain = block(&number, len);
        decrypts(key, RsaCipher::X509, &public_operation(key.public(), &plain), &plain);
    }
}

#[test]
fn ciphertexts_that_cannot_be_are_refused() {
    let oaep = RsaCipher::Oaep { hash: HashFunction::Sha256 };
    for bits in RSA_BITS {
        let (_, key) = rsa(bits);
        let (n, _, len) = numbers(key.public());
        for mechanism in [RsaCipher::Pkcs, oaep, RsaCipher::X509] {
            for number in [BigUint::from(0_u8), BigUint::from(1_u8), &n - 1_u8, n.clone(), &n + 1_u8] {
                refused(key, mechanism, &block(&number, len), KeyError::Decryption);
            }
            for data_len in [0, 1, len - 1, len + 1, 2 * len] {
                refused(key, mechanism, &vec![1; data_len], KeyError::DataLength);
            }
        }
    }
}

#[test]
fn a_changed_ciphertext_is_refused() {
    let key = opened_pem(include_bytes!("keys/rsa-2048.pem")).unwrap();
    let mechanism = RsaCipher::Oaep { hash: HashFunction::Sha256 };
    let ciphertext = public_operation(key.public(), &oaep(HashFunction::Sha256, 256, b"", 1, b"message"));
    for at in 0..ciphertext.len() {
        let mut other = ciphertext.clone();
        other[at] ^= 1;
        refused(&key, mechanism, &other, KeyError::Decryption);
    }
}

#[test]
fn ec_keys_decrypt_nothing() {
    let (_, key) = ec(Curve::P256);
    let oaep = RsaCipher::Oaep { hash: HashFunction::Sha256 };
    for mechanism in [RsaCipher::Pkcs, oaep, RsaCipher::X509] {
        refused(&key, mechanism, &[7; 256], KeyError::KeyType);
    }
}

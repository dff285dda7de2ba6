//! Wrapping and unwrapping.

use strongroom_types::{Curve, GcmTag, HashFunction, KeyClass, KeyType, Secret, WrapMechanism};

use super::{KeyError, ec, hex, public_operation, rsa, unhex};
use crate::SecretKey;
use crate::sys::{self, AesSchedule};
use crate::wrap::{Beside, UnwrappingKey, Wrapped, WrappingKey, unwrap, unwrap_bytes, wrap};

const AES: (KeyClass, KeyType) = (KeyClass::SecretKey, KeyType::Aes);
const GENERIC: (KeyClass, KeyType) = (KeyClass::SecretKey, KeyType::GenericSecret);

fn secret(len: usize) -> Secret {
    Secret::new((0..len).map(|at| u8::try_from(at % 251).unwrap()).collect())
}

fn aes_key(secret: &Secret) -> SecretKey {
    SecretKey::new(KeyType::Aes, secret.clone())
}

fn tag(bits: u32) -> GcmTag {
    GcmTag::of_bits(bits).unwrap()
}

fn all_aes() -> Vec<WrapMechanism> {
    let gcm = GcmTag::BITS.map(|bits| WrapMechanism::AesGcm { tag: tag(bits) });
    let cloudhsm = GcmTag::BITS.map(|bits| WrapMechanism::CloudhsmAesGcm { tag: tag(bits) });
    let key_wrap = [WrapMechanism::AesNoPad, WrapMechanism::AesPkcs5Pad, WrapMechanism::AesZeroPad];
    [&gcm[..], &cloudhsm, &key_wrap].concat()
}

fn all_rsa() -> Vec<WrapMechanism> {
    let aes = HashFunction::ALL.map(|hash| WrapMechanism::RsaAes { hash });
    let oaep = HashFunction::ALL.map(|hash| WrapMechanism::RsaOaep { hash });
    [&aes[..], &oaep, &[WrapMechanism::RsaPkcs]].concat()
}

/// The keys of a mechanism, on both sides.
struct Keys {
    aes: SecretKey,
}

impl Keys {
    fn of(aes_len: usize) -> Keys {
        Keys { aes: aes_key(&secret(aes_len)) }
    }

    fn wrap(&self, mechanism: WrapMechanism, aad: &[u8], payload: &Secret) -> Result<Wrapped, KeyError> {
        let rsa = mechanism.rsa_decryption().is_some();
        let key = if rsa { WrappingKey::Rsa(rsa_2048().1.public()) } else { WrappingKey::Aes(&self.aes) };
        wrap(mechanism, key, aad, payload)
    }

    fn unwrap(&self, mechanism: WrapMechanism, aad: &[u8], wrapped: &Wrapped) -> Result<Secret, KeyError> {
        let rsa = mechanism.rsa_decryption().is_some();
        let key = if rsa { UnwrappingKey::Rsa(&rsa_2048().1) } else { UnwrappingKey::Aes(&self.aes) };
        unwrap_bytes(mechanism, key, Beside { aad, iv: &wrapped.iv }, &wrapped.data)
    }
}

fn rsa_2048() -> &'static super::Made {
    rsa(2048)
}

#[test]
fn every_mechanism_unwraps_what_it_wrapped_and_nothing_else() {
    for aes_len in [16, 24, 32] {
        let keys = Keys::of(aes_len);
        for mechanism in all_aes().into_iter().chain(all_rsa()) {
            for payload in [16, 24, 32, 64].map(secret) {
                let aad: &[u8] = if mechanism.as_str().ends_with("gcm") { b"beside" } else { b"" };
                let wrapped = keys.wrap(mechanism, aad, &payload).unwrap();
                assert_eq!(keys.unwrap(mechanism, aad, &wrapped), Ok(payload.clone()), "{mechanism}");
                let check = |other: Wrapped, aad: &[u8]| match keys.unwrap(mechanism, aad, &other) {
                    Err(error) => assert_eq!(error, KeyError::Unwrapping, "{mechanism}"),
                    // One block in a hundred thousand looks padded, whatever is in it.
                    Ok(found) => assert!(mechanism == WrapMechanism::RsaPkcs && found != payload, "{mechanism}"),
                };
                for at in (0..wrapped.data.len()).step_by(7) {
                    let mut other = wrapped.clone();
                    other.data[at] ^= 0x40;
                    // A block above the modulus is no ciphertext, and one below it another.
                    check(other, aad);
                }
                for len in [0, 1, 8, 15, wrapped.data.len() - 1] {
                    check(Wrapped { data: wrapped.data[..len].to_vec(), ..wrapped.clone() }, aad);
                }
                check(Wrapped { data: [&wrapped.data[..], &[0]].concat(), ..wrapped.clone() }, aad);
                if !aad.is_empty() {
                    check(wrapped, b"besides");
                }
            }
        }
    }
}

/// ECB would let the thirds of two 3DES keys be put together anew: one that somebody knows with one to be found out. No
/// mechanism takes a block of one wrapped key in another.
#[test]
fn blocks_of_two_keys_make_no_third() {
    let keys = Keys::of(32);
    let (one, other) = (Secret::new(vec![0x11; 24]), Secret::new(vec![0x22; 24]));
    for mechanism in all_aes() {
        let [first, second] = [&one, &other].map(|payload| keys.wrap(mechanism, b"", payload).unwrap());
        let blocks = first.data.len() / 8;
        for (from, to) in (0..blocks).flat_map(|from| (0..blocks).map(move |to| (from, to))) {
            let mut spliced = first.clone();
            spliced.data[8 * to..8 * to + 8].copy_from_slice(&second.data[8 * from..8 * from + 8]);
            assert_eq!(keys.unwrap(mechanism, b"", &spliced), Err(KeyError::Unwrapping), "{mechanism} {from} {to}");
            let mut turned = first.clone();
            turned.data.copy_within(8 * from..8 * from + 8, 8 * to);
            let same = from == to;
            assert_eq!(keys.unwrap(mechanism, b"", &turned).is_ok(), same, "{mechanism} {from} {to}");
        }
    }
}

#[test]
fn wrapped_forms_have_the_lengths_of_the_published_samples() {
    let keys = Keys::of(32);
    let check = |mechanism, iv_len, len| {
        let wrapped = keys.wrap(mechanism, b"", &secret(16)).unwrap();
        assert_eq!((wrapped.iv.len(), wrapped.data.len()), (iv_len, len), "{mechanism}");
    };
    check(WrapMechanism::AesGcm { tag: tag(64) }, 12, 24);
    check(WrapMechanism::CloudhsmAesGcm { tag: tag(64) }, 0, 36);
    check(WrapMechanism::AesNoPad, 0, 24);
    check(WrapMechanism::AesZeroPad, 0, 24);
    check(WrapMechanism::AesPkcs5Pad, 0, 32);
    check(WrapMechanism::RsaAes { hash: HashFunction::Sha256 }, 0, 280);
    check(WrapMechanism::RsaOaep { hash: HashFunction::Sha256 }, 0, 256);
    check(WrapMechanism::RsaPkcs, 0, 256);
}

#[test]
fn lengths_at_and_beyond_what_a_mechanism_takes() {
    let keys = Keys::of(16);
    let check = |mechanism: WrapMechanism, len: usize, expected: bool| {
        let wrapped = keys.wrap(mechanism, b"", &secret(len));
        assert_eq!(wrapped.is_ok(), expected, "{mechanism} of {len}");
        match wrapped {
            Ok(wrapped) => assert_eq!(keys.unwrap(mechanism, b"", &wrapped), Ok(secret(len))),
            Err(error) => assert_eq!(error, KeyError::PayloadLength),
        }
    };
    for (len, fits) in [(0, false), (8, false), (15, false), (16, true), (17, false), (24, true)] {
        check(WrapMechanism::AesNoPad, len, fits);
    }
    // Seven bytes and one of padding are a single block, which RFC 3394 does not wrap.
    for (len, fits) in [(1, false), (7, false), (8, true), (9, true), (800, true)] {
        check(WrapMechanism::AesPkcs5Pad, len, fits);
    }
    for (len, fits) in [(0, false), (1, true), (7, true), (8, true), (9, true), (800, true)] {
        check(WrapMechanism::AesZeroPad, len, fits);
        check(WrapMechanism::RsaAes { hash: HashFunction::Sha512 }, len, fits);
    }
    check(WrapMechanism::RsaOaep { hash: HashFunction::Sha256 }, 190, true);
    check(WrapMechanism::RsaOaep { hash: HashFunction::Sha256 }, 191, false);
    check(WrapMechanism::RsaPkcs, 245, true);
    check(WrapMechanism::RsaPkcs, 246, false);
}

/// The example of RFC 5649 §6, and RFC 3394 §4.6; GCM by SP 800-38D's test case 14 of McGrew and Viega.
#[test]
fn published_examples() {
    let kek = Secret::new(unhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"));
    let seven = Secret::new(unhex("466f7250617369"));
    let wrapped = wrap(WrapMechanism::AesZeroPad, WrappingKey::Aes(&aes_key(&kek)), b"", &seven).unwrap();
    assert_eq!(hex(&wrapped.data), "afbeb0f07dfbf5419200f2ccb50bb24f");
    let kek = Secret::new((0..32).collect());
    let key = Secret::new(unhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"));
    let wrapped = wrap(WrapMechanism::AesNoPad, WrappingKey::Aes(&aes_key(&kek)), b"", &key).unwrap();
    assert_eq!(hex(&wrapped.data), "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21");
    let zeros = aes_key(&Secret::new(vec![0; 32]));
    let sealed = unhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    let (key, mechanism) = (UnwrappingKey::Aes(&zeros), WrapMechanism::AesGcm { tag: tag(128) });
    let opened = unwrap_bytes(mechanism, key, Beside { aad: b"", iv: &[0; 12] }, &sealed);
    assert_eq!(opened, Ok(Secret::new(vec![0; 16])));
}

#[test]
fn padding_is_read_strictly() {
    let key = aes_key(&secret(32));
    let check = |padded: &[u8], expected: Option<&[u8]>| {
        let wrapped = sys::kw_wrap(key.aes_schedule(true).unwrap(), padded).unwrap();
        let unwrapped = unwrap_bytes(WrapMechanism::AesPkcs5Pad, UnwrappingKey::Aes(&key), Beside::default(), &wrapped);
        let expected = expected.map(Secret::from).ok_or(KeyError::Unwrapping);
        assert_eq!(unwrapped, expected, "{padded:?}");
    };
    check(b"0123456789abcde\x01", Some(b"0123456789abcde"));
    check(b"01234567\x08\x08\x08\x08\x08\x08\x08\x08", Some(b"01234567"));
    check(b"0123456789abcd\x01\x02", None);
    check(b"0123456789abcde\x00", None);
    check(b"0123456\x09\x09\x09\x09\x09\x09\x09\x09\x09", None);
    check(b"0123456789abcde\xff", None);
}

#[test]
fn an_iv_of_gcm_has_twelve_bytes_and_is_never_the_same() {
    let key = aes_key(&secret(32));
    let mechanism = WrapMechanism::AesGcm { tag: tag(128) };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let wrapped = wrap(mechanism, WrappingKey::Aes(&key), b"", &secret(16)).unwrap();
        assert!(seen.insert(wrapped.iv.clone()));
        for len in [0, 11, 13, 16] {
            let beside = Beside { aad: b"", iv: &vec![0; len] };
            let unwrapped = unwrap_bytes(mechanism, UnwrappingKey::Aes(&key), beside, &wrapped.data);
            assert_eq!(unwrapped, Err(KeyError::IvLength));
        }
    }
}

#[test]
fn a_mechanism_of_the_other_type_of_key_is_refused() {
    let (aes, rsa) = (secret(16), rsa_2048());
    let aes_key = aes_key(&aes);
    for mechanism in all_aes() {
        let wrapped = wrap(mechanism, WrappingKey::Rsa(rsa.1.public()), b"", &aes);
        assert_eq!(wrapped, Err(KeyError::KeyType));
        let unwrapped = unwrap_bytes(mechanism, UnwrappingKey::Rsa(&rsa.1), Beside::default(), &[0; 256]);
        assert_eq!(unwrapped, Err(KeyError::KeyType));
    }
    for mechanism in all_rsa() {
        assert_eq!(wrap(mechanism, WrappingKey::Aes(&aes_key), b"", &aes), Err(KeyError::KeyType));
        let unwrapped = unwrap_bytes(mechanism, UnwrappingKey::Aes(&aes_key), Beside::default(), &[0; 256]);
        assert_eq!(unwrapped, Err(KeyError::KeyType));
        let ec = ec(Curve::P256);
        assert_eq!(wrap(mechanism, WrappingKey::Rsa(ec.1.public()), b"", &aes), Err(KeyError::KeyType));
    }
}

/// Blocks that no library would make: padded by hand, encrypted by another library.
#[test]
fn every_malformed_block_is_answered_alike() {
    let (pair, key) = rsa_2048();
    let block = |front: &[u8], padding: usize, rest: &[u8]| {
        let mut block = [front, &vec![7; padding], rest].concat();
        block.resize(256, 9);
        public_operation(&pair.public, &block)
    };
    let good = [&[0][..], &[1; 16]].concat();
    let unwrapped = |block: &[u8], kind| {
        let unwrapped = unwrap(WrapMechanism::RsaPkcs, UnwrappingKey::Rsa(key), Beside::default(), block, kind);
        unwrapped.map(|imported| imported.material)
    };
    assert_eq!(unwrapped(&block(&[0, 2], 237, &good), AES), Ok(Secret::from(&[1; 16][..])));
    let (long, short) = ([&[0][..], &[1; 17]].concat(), [&[0][..], &[1; 15]].concat());
    for (what, block) in [
        ("another block type", block(&[0, 1], 237, &good)),
        ("a first byte", block(&[1, 2], 237, &good)),
        ("no end of the padding", block(&[0, 2], 254, b"")),
        ("a padding of seven bytes", block(&[0, 2], 7, &good)),
        ("seventeen bytes", block(&[0, 2], 236, &long)),
        ("fifteen bytes", block(&[0, 2], 238, &short)),
        ("no bytes", block(&[0, 2], 253, &[0])),
        ("not encrypted at all", vec![3; 256]),
    ] {
        assert_eq!(unwrapped(&block, AES), Err(KeyError::Unwrapping), "{what}");
        let private = (KeyClass::PrivateKey, KeyType::Ec);
        assert_eq!(unwrapped(&block, private), Err(KeyError::Unwrapping), "{what}");
    }
}

#[test]
fn a_temporary_key_of_another_length_unwraps_nothing() {
    let (pair, key) = rsa_2048();
    let public = sys::RsaEncryption::read(&strongroom_crypto::spki::encode(&pair.public)).unwrap();
    let mechanism = WrapMechanism::RsaAes { hash: HashFunction::Sha256 };
    for (len, fits) in [(16, false), (24, false), (32, true)] {
        let temporary = secret(len);
        let front = public.oaep(HashFunction::Sha256, temporary.expose()).unwrap();
        let schedule = AesSchedule::new(&temporary, true).unwrap();
        let wrapped = [front, sys::kwp_wrap(&schedule, secret(16).expose()).unwrap()].concat();
        let unwrapped = unwrap_bytes(mechanism, UnwrappingKey::Rsa(key), Beside::default(), &wrapped);
        assert_eq!(unwrapped.is_ok(), fits, "{len}");
    }
}

#[test]
fn private_keys_go_out_and_come_in_as_they_were() {
    let keys = Keys::of(32);
    let check = |pair: &super::Made, key_type: KeyType| {
        let kind = (KeyClass::PrivateKey, key_type);
        let wrapped = keys.wrap(WrapMechanism::AesZeroPad, b"", &pair.0.pkcs8).unwrap();
        let key = UnwrappingKey::Aes(&keys.aes);
        let unwrap = |kind| unwrap(WrapMechanism::AesZeroPad, key, Beside::default(), &wrapped.data, kind);
        let imported = unwrap(kind).unwrap();
        assert_eq!(imported.material, pair.0.pkcs8);
        assert_eq!(imported.public.as_ref(), Some(&pair.0.public));
        assert_eq!(imported.check_value, Some(pair.0.check_value));
        assert_eq!(imported.length_bytes as usize, pair.0.pkcs8.len());
        for (class, other) in [AES, (KeyClass::PublicKey, key_type), (KeyClass::PrivateKey, KeyType::Aes)] {
            assert_eq!(unwrap((class, other)).unwrap_err(), KeyError::Unwrapping);
        }
        let other = if key_type == KeyType::Ec { KeyType::Rsa } else { KeyType::Ec };
        assert_eq!(unwrap((KeyClass::PrivateKey, other)).unwrap_err(), KeyError::Unwrapping);
        // As a secret of that length it is one, whose bytes nobody sees.
        let is_secret = pair.0.pkcs8.len() <= 800;
        assert_eq!(unwrap(GENERIC).is_ok(), is_secret);
    };
    for curve in Curve::ALL {
        check(&ec(*curve), KeyType::Ec);
    }
    check(rsa_2048(), KeyType::Rsa);
}

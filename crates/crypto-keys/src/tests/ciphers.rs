//! Encrypting, decrypting and authenticating with secret keys, and encrypting under RSA public keys.

use strongroom_types::{CipherMechanism, GcmTag, HashFunction, KeyType, MacMechanism, RsaCipher, Secret};

use super::{RSA_BITS, ec, hex, public_operation, rsa, unhex};
use crate::{KeyError, SecretKey, public_key};

fn key(key_type: KeyType, bytes: &[u8]) -> SecretKey {
    SecretKey::new(key_type, Secret::from(bytes))
}

fn encrypted(key: &SecretKey, mechanism: &CipherMechanism, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    assert_eq!(key.encrypt(mechanism, &mut data), Ok(None), "{mechanism:?}");
    data
}

fn decrypted(key: &SecretKey, mechanism: &CipherMechanism, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    key.decrypt(mechanism, &mut data).unwrap_or_else(|error| panic!("{mechanism:?}: {error}"));
    data
}

/// SP 800-38A, the plaintext of every example of appendix F.
const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
                     30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";
const KEYS: [&str; 3] = [
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
];
/// F.1.
const ECB: [&str; 3] = [
    "3ad77bb40d7a3660a89ecaf32466ef97 f5d3d58503b9699de785895a96fdbaaf
     43b1cd7f598ece23881b00e3ed030688 7b0c785e27e8ad3f8223207104725dd4",
    "bd334f1d6e45f25ff712a214571fa5cc 974104846d0ad3ad7734ecb3ecee4eef
     ef7afd2270e2e60adce0ba2face6444e 9a4b41ba738d6c72fb16691603c18e0e",
    "f3eed1bdb5d2a03c064b5a7e3db181f8 591ccb10d410ed26dc5ba74a31362870
     b6ed21b99ca6f4f9f153e7b1beafed1d 23304b7a39f9f3ff067d8d8f9e24ecc7",
];
/// F.2, the vector being 00 01 02 and so on.
const CBC: [&str; 3] = [
    "7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2
     73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7",
    "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a
     571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd",
    "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d
     39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b",
];
/// F.5, the first counter being f0 f1 f2 and so on: its last byte overflows.
const CTR: [&str; 3] = [
    "874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff
     5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee",
    "1abc932417521ca24f2b0459fe7e6e0b 090339ec0aa6faefd5ccc2c6f4ce8e94
     1e36b26bd1ebc670d1bd1d665620abf7 4f78a7f6d29809585a97daec58c6b050",
    "601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5
     2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6",
];

#[test]
fn aes_does_what_sp_800_38a_says() {
    let plain = unhex(PLAIN);
    let iv = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let counter = iv.map(|byte| byte | 0xf0);
    for size in 0..3 {
        let key = key(KeyType::Aes, &unhex(KEYS[size]));
        let modes = [
            (CipherMechanism::AesEcb, ECB[size]),
            (CipherMechanism::AesCbc { iv }, CBC[size]),
            (CipherMechanism::AesCtr { counter }, CTR[size]),
        ];
        for (mechanism, expected) in modes {
            let expected = unhex(expected);
            assert_eq!(hex(&encrypted(&key, &mechanism, &plain)), hex(&expected), "{mechanism:?}");
            assert_eq!(decrypted(&key, &mechanism, &expected), plain, "{mechanism:?}");
            assert_eq!(encrypted(&key, &mechanism, b""), b"");
        }
        // What CTR gives may end anywhere.
        let ctr = CipherMechanism::AesCtr { counter };
        for len in 0..plain.len() {
            assert_eq!(encrypted(&key, &ctr, &plain[..len]), unhex(CTR[size])[..len]);
        }
    }
}

#[test]
fn the_whole_counter_block_counts() {
    let key = key(KeyType::Aes, &unhex(KEYS[2]));
    for low in [8, 4, 1, 0] {
        // Ones in the lowest bytes, as many as there are from `low` on.
        let counter: [u8; 16] = std::array::from_fn(|at| if at < low { 7 } else { 0xff });
        let next = (u128::from_be_bytes(counter)).wrapping_add(1).to_be_bytes();
        let blocks = [counter, next, (u128::from_be_bytes(next) + 1).to_be_bytes()].concat();
        let stream = encrypted(&key, &CipherMechanism::AesEcb, &blocks);
        assert_eq!(encrypted(&key, &CipherMechanism::AesCtr { counter }, &[0; 48]), stream, "{low}");
    }
}

/// SP 800-67 rev. 2 appendix B, and CBC as SP 800-38A §6.2 makes it of single blocks.
#[test]
fn des3_does_what_sp_800_67_says() {
    let key = key(KeyType::Des3, &unhex("0123456789abcdef 23456789abcdef01 456789abcdef0123"));
    let plain = b"The qufck brown fox jump";
    let expected = unhex("a826fd8ce53b855f cce21c8112256fe6 68d5c05dd9b6b900");
    assert_eq!(encrypted(&key, &CipherMechanism::Des3Ecb, plain), expected);
    assert_eq!(decrypted(&key, &CipherMechanism::Des3Ecb, &expected), plain);
    let iv = [3, 1, 4, 1, 5, 9, 2, 6];
    let mut chained = Vec::new();
    let mut before = iv.to_vec();
    for block in plain.chunks(8) {
        let mixed: Vec<u8> = block.iter().zip(&before).map(|(a, b)| a ^ b).collect();
        before = encrypted(&key, &CipherMechanism::Des3Ecb, &mixed);
        chained.extend(&before);
    }
    assert_eq!(encrypted(&key, &CipherMechanism::Des3Cbc { iv }, plain), chained);
    assert_eq!(decrypted(&key, &CipherMechanism::Des3Cbc { iv }, &chained), plain);
    assert_eq!(encrypted(&key, &CipherMechanism::Des3Cbc { iv }, b""), b"");
}

/// SP 800-38B appendix D.
#[test]
fn cmac_does_what_sp_800_38b_says() {
    let key = key(KeyType::Aes, &unhex(KEYS[0]));
    let cases = [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ];
    for (len, expected) in cases {
        assert_eq!(hex(&key.mac(MacMechanism::AesCmac, &unhex(PLAIN)[..len]).unwrap()), expected, "{len}");
    }
}

#[test]
fn gcm_draws_a_vector_each_time_and_refuses_one_from_elsewhere() {
    let key = key(KeyType::Aes, &[7; 32]);
    for bits in GcmTag::BITS {
        let tag = GcmTag::of_bits(bits).unwrap();
        let seals = CipherMechanism::AesGcm { tag, aad: b"aad".to_vec(), iv: None };
        let [mut one, mut other] = [b"data".to_vec(), b"data".to_vec()];
        let iv = key.encrypt(&seals, &mut one).unwrap().unwrap();
        assert_ne!(key.encrypt(&seals, &mut other).unwrap().unwrap(), iv);
        assert_ne!(one, other);
        assert_eq!(one.len(), 4 + tag.bytes());
        let opens = CipherMechanism::AesGcm { tag, aad: b"aad".to_vec(), iv: Some(iv) };
        assert_eq!(decrypted(&key, &opens, &one), b"data");
        for at in 0..one.len() {
            let mut broken = one.clone();
            broken[at] ^= 1;
            assert_eq!((key.decrypt(&opens, &mut broken), broken.len()), (Err(KeyError::Decryption), 0), "{at}");
            let mut cut = one[..at].to_vec();
            assert_eq!(key.decrypt(&opens, &mut cut), Err(KeyError::Decryption), "cut to {at}");
        }
        let other_aad = CipherMechanism::AesGcm { tag, aad: b"AAD".to_vec(), iv: Some(iv) };
        assert_eq!(key.decrypt(&other_aad, &mut one.clone()), Err(KeyError::Decryption));
        assert_eq!(key.encrypt(&opens, &mut b"data".to_vec()), Err(KeyError::IvLength));
        assert_eq!(key.decrypt(&seals, &mut one.clone()), Err(KeyError::IvLength));
    }
}

#[test]
fn keys_of_another_type_and_parts_of_blocks_are_refused_and_data_wiped() {
    let (aes, des3, generic) =
        (key(KeyType::Aes, &[1; 16]), key(KeyType::Des3, &[1; 24]), key(KeyType::GenericSecret, &[1; 32]));
    let refused = |key: &SecretKey, mechanism: &CipherMechanism, len: usize, expected: KeyError| {
        for encrypts in [true, false] {
            let mut data = vec![7; len];
            let outcome = match encrypts {
                true => key.encrypt(mechanism, &mut data).map(drop),
                false => key.decrypt(mechanism, &mut data),
            };
            assert_eq!((outcome, data.len()), (Err(expected), 0), "{key:?} {mechanism:?} {len}");
        }
    };
    let of_aes = [CipherMechanism::AesEcb, CipherMechanism::AesCbc { iv: [0; 16] }];
    for mechanism in &of_aes {
        refused(&des3, mechanism, 16, KeyError::KeyType);
        refused(&generic, mechanism, 16, KeyError::KeyType);
        for len in [1, 15, 17, 24] {
            refused(&aes, mechanism, len, KeyError::DataLength);
        }
    }
    refused(&generic, &CipherMechanism::AesCtr { counter: [0; 16] }, 5, KeyError::KeyType);
    for mechanism in [CipherMechanism::Des3Ecb, CipherMechanism::Des3Cbc { iv: [0; 8] }] {
        refused(&aes, &mechanism, 16, KeyError::KeyType);
        for len in [1, 7, 9, 12] {
            refused(&des3, &mechanism, len, KeyError::DataLength);
        }
    }
    refused(&aes, &CipherMechanism::Rsa(RsaCipher::X509), 256, KeyError::KeyType);
    for short in GcmTag::BITS {
        let tag = GcmTag::of_bits(short).unwrap();
        let opens = CipherMechanism::AesGcm { tag, aad: Vec::new(), iv: Some([1; 12]) };
        let mut data = vec![7; 32];
        assert_eq!((generic.decrypt(&opens, &mut data), data.len()), (Err(KeyError::KeyType), 0));
    }
    assert_eq!(des3.mac(MacMechanism::AesCmac, b""), Err(KeyError::KeyType));
    // HMAC takes any bytes.
    let hmac = MacMechanism::Hmac(HashFunction::Sha256);
    assert_eq!(des3.mac(hmac, b"data"), key(KeyType::GenericSecret, &[1; 24]).mac(hmac, b"data"));
    assert_eq!(format!("{aes:?}"), "SecretKey(aes, 16 bytes)");
}

#[test]
fn what_a_public_key_encrypts_the_private_key_decrypts() {
    for bits in RSA_BITS {
        let (pair, private) = rsa(bits);
        let len = usize::try_from(bits / 8).unwrap();
        for cipher in HashFunction::ALL.map(|hash| RsaCipher::Oaep { hash }).into_iter().chain([RsaCipher::Pkcs]) {
            let room = cipher.room(len);
            for data_len in [0, 1, room] {
                let data = vec![0x5a; data_len];
                let encrypted = public_key::encrypt(&pair.public, cipher, &data).unwrap();
                assert_eq!(encrypted.len(), len);
                assert_eq!(private.decrypt(cipher, &encrypted).unwrap().expose(), data);
            }
            let above = public_key::encrypt(&pair.public, cipher, &vec![1; room + 1]);
            assert_eq!(above, Err(KeyError::DataLength), "{cipher:?}");
        }
        let block = [&[0][..], &vec![0x5a; len - 1]].concat();
        let encrypted = public_key::encrypt(&pair.public, RsaCipher::X509, &block).unwrap();
        assert_eq!(encrypted, public_operation(&pair.public, &block));
        for other in [len - 1, len + 1] {
            let refused = public_key::encrypt(&pair.public, RsaCipher::X509, &vec![0; other]);
            assert_eq!(refused, Err(KeyError::DataLength));
        }
        assert_eq!(public_key::encrypt(&pair.public, RsaCipher::X509, &vec![0xff; len]), Err(KeyError::DataRange));
    }
    let (pair, _) = ec(strongroom_types::Curve::P256);
    assert_eq!(public_key::encrypt(&pair.public, RsaCipher::Pkcs, b""), Err(KeyError::KeyType));
}

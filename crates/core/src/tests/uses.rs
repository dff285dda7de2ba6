//! Who may use which key for what.

use strongroom_types::{
    CipherMechanism, ClusterMode, Curve, HashFunction, HsmType, KeyReference, MlDsaAlgorithm, RsaCipher, SignMechanism,
    Status,
};

use super::world::{P256, World, rsa};
use crate::{Actor, Command, KeyUse, Made, PairAlgorithm, authorize};

const SHA1_INFO: &[u8] = &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];

fn outcome(world: &World, actor: &Actor, key_use: KeyUse<'_>, key: KeyReference) -> Option<Status> {
    authorize(&world.state, actor, key_use, key, world.now_ms).err().map(|refusal| refusal.status)
}

#[test]
fn keys_are_used_by_owner_and_those_shared_with_while_their_login_stands() {
    let mut world = World::active();
    let admin = world.admin();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let (public, private) = world.pair(&alice, &P256);
    let sign = KeyUse::Sign(SignMechanism::Ecdsa, &[1; 32]);
    let verify = KeyUse::Verify(SignMechanism::Ecdsa, &[1; 32]);
    assert_eq!(outcome(&world, &alice, sign, private), None);
    assert_eq!(outcome(&world, &bob, sign, private), Some(Status::KeyUnknown));
    assert_eq!(outcome(&world, &bob, verify, public), None, "public keys are everybody's");
    assert_eq!(outcome(&world, &admin, sign, private), Some(Status::RoleNotPermitted));
    assert_eq!(outcome(&world, &Actor::Anonymous, sign, private), Some(Status::NotLoggedIn));
    assert_eq!(outcome(&world, &Actor::Appliance, sign, private), Some(Status::RoleNotPermitted));
    assert_eq!(outcome(&world, &Actor::Hsm, sign, private), Some(Status::RoleNotPermitted));
    assert_eq!(outcome(&world, &alice, sign, public), Some(Status::KeyTypeInconsistent));
    assert_eq!(outcome(&world, &alice, verify, private), Some(Status::KeyTypeInconsistent));
    let key = authorize(&world.state, &alice, sign, private, world.now_ms).unwrap();
    assert_eq!(key.reference, private);
    world.done(&alice, &Command::DeleteKey(private), &Made::Nothing).unwrap();
    assert_eq!(outcome(&world, &alice, sign, private), Some(Status::KeyUnknown));
    world.done(&alice, &Command::Logout, &Made::Nothing).unwrap();
    assert_eq!(outcome(&world, &alice, verify, public), Some(Status::LoginEnded));
}

#[test]
fn a_shared_key_is_used_and_stays_the_owners() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let command = Command::GeneratePair {
        algorithm: P256,
        public_template: Vec::new(),
        private_template: vec![(
            strongroom_types::AttributeName::Flag(strongroom_types::Flag::Sign),
            strongroom_types::AttributeValue::Bool(true),
        )],
        share_with: vec![super::world::name("bob")],
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let made = world.made_pair(&P256);
    let Ok(crate::Reply::Pair { public, private }) = world.done(&alice, &command, &made) else { panic!() };
    let sign = KeyUse::Sign(SignMechanism::Ecdsa, &[1; 32]);
    assert_eq!(outcome(&world, &bob, sign, private.reference), None);
    // Verifying was not asked for when the key was made.
    let verify = KeyUse::Verify(SignMechanism::Ecdsa, &[1; 32]);
    assert_eq!(outcome(&world, &bob, verify, public.reference), Some(Status::KeyFunctionNotPermitted));
}

#[test]
fn an_inactive_cluster_uses_no_keys() {
    let world = World::initialized();
    let sign = KeyUse::Sign(SignMechanism::Ecdsa, &[1; 32]);
    let key = KeyReference::from_u64(1).unwrap();
    assert_eq!(outcome(&world, &Actor::Anonymous, sign, key), Some(Status::WrongClusterState));
}

/// In FIPS mode, and in the other.
type Both = (Option<Status>, Option<Status>);

const ALLOWED: Both = (None, None);
const NOT_APPROVED: Both = (Some(Status::MechanismNotApproved), None);
const BAD_LENGTH: Both = (Some(Status::DataLengthInvalid), Some(Status::DataLengthInvalid));
const BAD_TYPE: Both = (Some(Status::KeyTypeInconsistent), Some(Status::KeyTypeInconsistent));
const BAD_MECHANISM: Both = (Some(Status::MechanismInvalid), Some(Status::MechanismInvalid));

/// The same keys in a cluster of each mode.
fn both(algorithm: &PairAlgorithm) -> [(World, Actor, KeyReference, KeyReference); 2] {
    [ClusterMode::Fips, ClusterMode::NonFips].map(|mode| {
        let mut world = World::of(HsmType::Hsm2mMedium, mode);
        let alice = world.crypto_user("alice");
        let (public, private) = world.pair(&alice, algorithm);
        (world, alice, public, private)
    })
}

#[test]
fn signing_by_mechanism_data_and_mode() {
    use SignMechanism::{Ecdsa, RsaPkcs, RsaPkcsPss, RsaX509};
    let rsa_2048 = both(&rsa(2048));
    let p256 = both(&P256);
    let p521 = both(&PairAlgorithm::Ec(Curve::P521));
    let k1 = both(&PairAlgorithm::Ec(Curve::Secp256k1));
    let check = |cluster: &[(World, Actor, KeyReference, KeyReference); 2], mechanism, data: &[u8], expected: Both| {
        let [fips, other] = cluster.each_ref().map(|(world, alice, public, private)| {
            let verify = outcome(world, alice, KeyUse::Verify(mechanism, data), *public);
            (outcome(world, alice, KeyUse::Sign(mechanism, data), *private), verify)
        });
        assert_eq!((fips.0, other.0), expected, "{mechanism:?} {} bytes", data.len());
        // What was signed in another time or place can be verified.
        assert_eq!((fips.1, other.1), (expected.1, expected.1), "verify {mechanism:?} {} bytes", data.len());
    };
    let pss = |hash, salt_len| RsaPkcsPss { hash, salt_len };
    let sha1 = [SHA1_INFO, &[9; 20]].concat();
    check(&rsa_2048, RsaPkcs, &sha1, NOT_APPROVED);
    check(&rsa_2048, RsaPkcs, &sha1[..34], ALLOWED);
    check(&rsa_2048, RsaPkcs, &[1; 245], ALLOWED);
    check(&rsa_2048, RsaPkcs, &[1; 246], BAD_LENGTH);
    check(&rsa_2048, RsaPkcs, &[], ALLOWED);
    check(&rsa_2048, RsaX509, &[1; 256], ALLOWED);
    check(&rsa_2048, RsaX509, &[1; 255], BAD_LENGTH);
    check(&rsa_2048, RsaX509, &[1; 257], BAD_LENGTH);
    check(&rsa_2048, pss(HashFunction::Sha256, 32), &[1; 32], ALLOWED);
    check(&rsa_2048, pss(HashFunction::Sha256, 0), &[1; 32], ALLOWED);
    check(&rsa_2048, pss(HashFunction::Sha256, 33), &[1; 32], NOT_APPROVED);
    check(&rsa_2048, pss(HashFunction::Sha1, 20), &[1; 20], NOT_APPROVED);
    check(&rsa_2048, pss(HashFunction::Sha256, 32), &[1; 31], BAD_LENGTH);
    check(&rsa_2048, pss(HashFunction::Sha512, 190), &[1; 64], NOT_APPROVED);
    check(&rsa_2048, pss(HashFunction::Sha512, 191), &[1; 64], BAD_MECHANISM);
    check(&rsa_2048, Ecdsa, &[1; 32], BAD_TYPE);
    check(&p256, RsaPkcs, &[1; 32], BAD_TYPE);
    check(&p256, Ecdsa, &[1; 32], ALLOWED);
    check(&p256, Ecdsa, &[1; 64], ALLOWED);
    check(&p256, Ecdsa, &[1; 128], ALLOWED);
    check(&p256, Ecdsa, &[1; 129], BAD_LENGTH);
    check(&p256, Ecdsa, &[], BAD_LENGTH);
    check(&p256, Ecdsa, &[1; 31], NOT_APPROVED);
    check(&p521, Ecdsa, &[1; 64], ALLOWED);
    check(&p521, Ecdsa, &[1; 48], NOT_APPROVED);
    check(&k1, Ecdsa, &[1; 32], ALLOWED);
}

#[test]
fn ed25519_keys_are_for_eddsa_and_no_other_key_is() {
    use SignMechanism::{Ecdsa, Ed25519, Ed25519Ph, MlDsa};
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let (public, private) = world.pair(&alice, &PairAlgorithm::Ec(Curve::Ed25519));
    let (p256_public, p256_private) = world.pair(&alice, &P256);
    let check = |mechanism, data: &[u8], expected: Option<Status>| {
        assert_eq!(outcome(&world, &alice, KeyUse::Sign(mechanism, data), private), expected, "{mechanism:?}");
        assert_eq!(outcome(&world, &alice, KeyUse::Verify(mechanism, data), public), expected, "{mechanism:?}");
    };
    check(Ed25519, &[], None);
    check(Ed25519, &[1; 16_000], None);
    check(Ed25519, &[1; 16_001], Some(Status::DataLengthInvalid));
    check(Ed25519Ph, &[1; 64], None);
    check(Ed25519Ph, &[1; 63], Some(Status::DataLengthInvalid));
    check(Ed25519Ph, &[1; 65], Some(Status::DataLengthInvalid));
    check(Ecdsa, &[1; 32], Some(Status::KeyTypeInconsistent));
    check(MlDsa, &[1; 64], Some(Status::KeyTypeInconsistent));
    for mechanism in [Ed25519, Ed25519Ph, MlDsa] {
        let (sign, verify) = (KeyUse::Sign(mechanism, &[1; 64]), KeyUse::Verify(mechanism, &[1; 64]));
        assert_eq!(outcome(&world, &alice, sign, p256_private), Some(Status::KeyTypeInconsistent));
        assert_eq!(outcome(&world, &alice, verify, p256_public), Some(Status::KeyTypeInconsistent));
    }
}

#[test]
fn ml_dsa_signs_mu_in_both_modes() {
    let keys = both(&PairAlgorithm::MlDsa(MlDsaAlgorithm::MlDsa65));
    for (world, alice, public, private) in &keys {
        let check = |mechanism, len: usize, expected: Option<Status>| {
            let data = vec![1; len];
            assert_eq!(outcome(world, alice, KeyUse::Sign(mechanism, &data), *private), expected, "{len}");
            assert_eq!(outcome(world, alice, KeyUse::Verify(mechanism, &data), *public), expected, "{len}");
        };
        check(SignMechanism::MlDsa, 64, None);
        check(SignMechanism::MlDsa, 63, Some(Status::DataLengthInvalid));
        check(SignMechanism::MlDsa, 65, Some(Status::DataLengthInvalid));
        check(SignMechanism::RsaPkcs, 64, Some(Status::KeyTypeInconsistent));
        check(SignMechanism::Ed25519, 64, Some(Status::KeyTypeInconsistent));
    }
}

#[test]
fn in_fips_mode_no_ed25519_key_is_made() {
    let mut world = World::of(HsmType::Hsm2mMedium, ClusterMode::Fips);
    let alice = world.crypto_user("alice");
    let command = Command::GeneratePair {
        algorithm: PairAlgorithm::Ec(Curve::Ed25519),
        public_template: Vec::new(),
        private_template: Vec::new(),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let made = world.made_pair(&PairAlgorithm::Ec(Curve::Ed25519));
    assert_eq!(world.done(&alice, &command, &made).err(), Some(Status::MechanismNotApproved));
}

#[test]
fn decrypting_by_mechanism_and_mode() {
    let rsa_2048 = both(&rsa(2048));
    let check = |cipher, len, expected: Both| {
        let mechanism = CipherMechanism::Rsa(cipher);
        let [fips, other] = rsa_2048
            .each_ref()
            .map(|(world, alice, _, private)| outcome(world, alice, KeyUse::Decrypt(&mechanism, len), *private));
        assert_eq!((fips, other), expected, "{mechanism:?}");
    };
    check(RsaCipher::Pkcs, 256, NOT_APPROVED);
    check(RsaCipher::Oaep { hash: HashFunction::Sha1 }, 256, ALLOWED);
    check(RsaCipher::Oaep { hash: HashFunction::Sha256 }, 255, BAD_LENGTH);
    check(RsaCipher::X509, 256, ALLOWED);
    let [(world, alice, _, private), _] = both(&P256);
    let mechanism = CipherMechanism::Rsa(RsaCipher::X509);
    assert_eq!(outcome(&world, &alice, KeyUse::Decrypt(&mechanism, 256), private), Some(Status::KeyTypeInconsistent));
}

use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_types::{
    AttributeName, AttributeValue, ChallengeId, ClusterId, CredentialId, Curve, Flag, KeyClass, KeyReference, KeyType,
    LoginId, MlDsaAlgorithm, MtlsEnforcement, QuorumService, QuorumSubject, RecordKind, RecordPath, RequestId,
    Revision, Role, Template, TokenId, UserId,
};

use super::world::{P256, World, hsm, name, rsa};
use crate::member::{Anchor, AnchorFound};
use crate::{
    Actor, Asker, Cluster, Command, CorruptRecord, Effect, EndedLogin, HistoryKey, Lock, Made, Origin, Outcome,
    PairAlgorithm, QuorumToken, QuorumValues, Receipt, Record, Reply, Rollback, SpentChallenge, User,
};

/// Records of every kind and shape.
fn samples() -> Vec<Record> {
    let mut world = World::initialized();
    let mut samples = vec![Record::Cluster(world.state.cluster().unwrap().as_ref().clone())];
    // As a cluster has it that was made before its capacity was a field.
    samples.push(Record::Cluster(Cluster { capacity: None, ..world.state.cluster().unwrap().as_ref().clone() }));
    samples.extend(world.state.users().cloned().map(Record::User));
    world = World::active();
    let alice = world.crypto_user("alice");
    world.create("bob", Role::CryptoUser).unwrap();
    world.done(&Actor::Hsm, &Command::RegisterHsm(hsm(1)), &Made::Nothing).unwrap();
    let admin = world.admin();
    world.done(&admin, &super::mtls::register(1), &Made::Nothing).unwrap();
    world.aes_reference(&alice, &["bob"]);
    world.aes(&alice, demands(), &[]).unwrap();
    world.certificate(&Actor::Anonymous, super::certificates::template("nobody's")).unwrap();
    world.certificate(&alice, super::certificates::whole("alice's")).unwrap();
    world.pair(&alice, &P256);
    world.pair(&alice, &rsa(2048));
    world.pair(&alice, &PairAlgorithm::Ec(Curve::Ed25519));
    world.pair(&alice, &PairAlgorithm::MlDsa(MlDsaAlgorithm::MlDsa44));
    let cluster = world.state.cluster().unwrap().as_ref();
    samples.push(Record::Cluster(cluster.clone()));
    samples.push(Record::Cluster(Cluster { mtls_enforcement: MtlsEnforcement::Cluster, ..cluster.clone() }));
    samples.extend(world.state.trust_anchors().map(|anchor| Record::TrustAnchor(anchor.as_ref().clone())));
    samples.extend(world.state.certificates().map(|one| Record::Certificate(one.as_ref().clone())));
    samples.extend(world.state.hsms().cloned().map(Record::Hsm));
    samples.extend(world.state.users().cloned().map(Record::User));
    samples.extend(world.state.keys().map(|key| Record::Key(key.as_ref().clone())));
    let user = world.state.user_named(&name("alice")).unwrap().as_ref().clone();
    for (failures, lock) in [(4, Lock::Open), (5, Lock::Locked), (7, Lock::Until(99))] {
        samples.push(Record::User(User { failures, lock, ..user.clone() }));
    }
    let user_outcome = |renewed| Outcome::User { name: name("alice"), role: Role::CryptoUser, renewed };
    let outcomes = [
        Outcome::Done,
        Outcome::KeyGone,
        Outcome::UserGone,
        Outcome::TrustAnchorGone,
        Outcome::CertificateGone,
        Outcome::Token(TokenId::from_bytes([4; 16])),
        user_outcome(None),
        user_outcome(Some(CredentialId::from_bytes([8; 16]))),
    ];
    let askers = [Asker::Hsm, Asker::Appliance, Asker::Anonymous, Asker::User(UserId::from_bytes([6; 16]))];
    for (outcome, asker) in outcomes.into_iter().zip(askers.into_iter().cycle()) {
        let (request, digest) = (RequestId::from_bytes([9; 16]), [7; 32]);
        for effect in [Effect::Granting, Effect::Revoking] {
            let outcome = outcome.clone();
            samples.push(Record::Receipt(Receipt { asker, request, digest, outcome, effect, time_ms: 5 }));
        }
    }
    samples.push(Record::EndedLogin(EndedLogin {
        login: LoginId::from_bytes([3; 16]),
        user: UserId::from_bytes([4; 16]),
        credential: CredentialId::from_bytes([5; 16]),
        until_ms: 12,
    }));
    samples.push(Record::HistoryKey(HistoryKey { sealed: Arc::from(&[9; 61][..]) }));
    let origin = Some(Origin { cluster: other_cluster(), epoch: 3, revision: Revision(9) });
    samples.push(Record::Cluster(Cluster { origin, ..world.state.cluster().unwrap().as_ref().clone() }));
    let token = |service, key| QuorumToken {
        id: TokenId::from_bytes([1; 16]),
        user: UserId::from_bytes([4; 16]),
        login: LoginId::from_bytes([3; 16]),
        credential: CredentialId::from_bytes([5; 16]),
        subject: QuorumSubject { service, key },
        revision: Revision(9),
        created_ms: 5,
        expires_ms: 12,
    };
    let key = KeyReference::from_u64(7);
    samples.extend([token(QuorumService::User, None), token(QuorumService::KeyUsage, key)].map(Record::QuorumToken));
    samples.push(Record::QuorumValues(QuorumValues {
        cluster: 8,
        void_revision: Revision(3),
        ..QuorumValues::default()
    }));
    samples.push(Record::SpentChallenge(SpentChallenge { id: ChallengeId::from_bytes([2; 16]), until_ms: 12 }));
    samples.extend([rollback(Some(0)), rollback(Some(1_000)), rollback(None)].map(Record::Rollback));
    samples
}

/// Templates for other keys, with values of every kind.
fn demands() -> Template {
    let made = vec![
        (AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true)),
        (AttributeName::Flag(Flag::Extractable), AttributeValue::Bool(false)),
        (AttributeName::Label, AttributeValue::Text("made".into())),
        (AttributeName::Id, AttributeValue::Bytes(vec![1, 2])),
        (AttributeName::Class, AttributeValue::Class(KeyClass::PrivateKey)),
        (AttributeName::KeyType, AttributeValue::KeyType(KeyType::Ec)),
    ];
    let compared = vec![
        (AttributeName::KeyLengthBytes, AttributeValue::Number(138)),
        (AttributeName::Curve, AttributeValue::Curve(Curve::P256)),
        (AttributeName::MlDsaAlgorithm, AttributeValue::MlDsaAlgorithm(MlDsaAlgorithm::MlDsa65)),
    ];
    vec![
        (AttributeName::WrapTemplate, AttributeValue::Template([made.clone(), compared].concat())),
        (AttributeName::UnwrapTemplate, AttributeValue::Template(made)),
    ]
}

/// A record from before keys had templates is one of a key that demands nothing, byte for byte.
#[test]
fn a_key_without_templates_has_no_field_for_them() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let key = world.aes_reference(&alice, &[]);
    let Ok(Reply::Key(demanding)) = world.aes(&alice, demands(), &[]) else { panic!("no key") };
    // Tags 21 and 22, each of a message.
    let tags = [[0xaa, 0x01], [0xb2, 0x01]];
    let encoded = |reference| Record::Key(world.state.key(reference).unwrap().as_ref().clone()).encode();
    let has = |reference, tag: [u8; 2]| encoded(reference).expose().windows(2).any(|window| window == tag);
    assert!(tags.iter().all(|tag| !has(key, *tag) && has(demanding.reference, *tag)));
}

fn other_cluster() -> ClusterId {
    ClusterId::from_random([8; 7])
}

fn rollback(login_uid: Option<u32>) -> Rollback {
    let anchor = |epoch, revision| Anchor { epoch, revision: Revision(revision), head_digest: [7; 32] };
    let found = [AnchorFound::Seen(anchor(1, 9)), AnchorFound::Damaged, AnchorFound::Missing, AnchorFound::New];
    Rollback {
        epoch: 2,
        revision: Revision(1_000_000_000),
        accepted: anchor(1, 5),
        accepted_ms: 77,
        found: (1..).zip(found).map(|(number, found)| (hsm(number).id, found)).collect(),
        uid: 1_000,
        login_uid,
        time_ms: 99,
    }
}

#[test]
fn an_origin_is_there_whole_or_not_at_all() {
    let world = World::active();
    let cluster = world.state.cluster().unwrap().as_ref().clone();
    let check = |origin: Origin, field| {
        let record = Record::Cluster(Cluster { origin: Some(origin), ..cluster.clone() });
        let decoded = Record::decode(record.path(), Revision(1), record.encode().expose());
        assert_eq!(decoded, Err(CorruptRecord::Field { path: record.path(), field }));
    };
    check(Origin { cluster: other_cluster(), epoch: 0, revision: Revision(1) }, "origin_epoch");
    check(Origin { cluster: other_cluster(), epoch: 1, revision: Revision(0) }, "origin_revision");
}

#[test]
fn a_rollback_begins_later_numbers_than_it_accepts() {
    let whole = rollback(None);
    let check = |rollback: Rollback, field| {
        let record = Record::Rollback(rollback);
        let decoded = Record::decode(record.path(), Revision(1), record.encode().expose());
        assert_eq!(decoded, Err(CorruptRecord::Field { path: record.path(), field }));
    };
    check(Rollback { epoch: 1, ..whole.clone() }, "epoch");
    check(Rollback { revision: Revision(5), ..whole.clone() }, "revision");
    check(Rollback { accepted: Anchor { epoch: 0, ..whole.accepted }, ..whole }, "anchor.epoch");
}

fn revision_of(record: &Record) -> Revision {
    match record {
        Record::Key(key) => key.revision,
        _ => Revision(1),
    }
}

#[test]
fn records_read_back_and_nothing_else_does() {
    let samples = samples();
    let kinds: BTreeSet<RecordKind> = samples.iter().map(|record| record.path().kind).collect();
    assert_eq!(kinds.len(), RecordKind::ALL.len() - 2, "every kind but head and cluster key");
    for record in &samples {
        let (path, revision, bytes) = (record.path(), revision_of(record), record.encode());
        let bytes = bytes.expose();
        assert_eq!(Record::decode(path, revision, bytes).as_ref(), Ok(record));
        for len in 0..bytes.len() {
            assert_ne!(Record::decode(path, revision, &bytes[..len]).as_ref(), Ok(record), "{path} cut to {len}");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.to_vec();
            other[at] ^= 1 << (at % 8);
            assert_ne!(Record::decode(path, revision, &other).as_ref(), Ok(record), "{path} byte {at}");
        }
        let mut newer = bytes.to_vec();
        newer[0] = 2;
        assert_eq!(Record::decode(path, revision, &newer), Err(CorruptRecord::Version { path, version: 2 }));
        // A field of a newer version is not dropped silently: field 99, varint 1.
        let longer = [bytes, &[0x98, 0x06, 1]].concat();
        assert_eq!(Record::decode(path, revision, &longer), Err(CorruptRecord::Form(path)));
        assert_eq!(Record::decode(path, revision, &[]), Err(CorruptRecord::Length(path)));
    }
}

#[test]
fn a_record_belongs_to_its_path() {
    for record in samples().iter().filter(|record| record.path() != RecordPath::CLUSTER) {
        let path = RecordPath { id: [0xf1; 16], ..record.path() };
        let outcome = Record::decode(path, revision_of(record), record.encode().expose());
        assert_eq!(outcome, Err(CorruptRecord::Field { path, field: "id" }), "{}", record.path());
        for kind in RecordKind::ALL.into_iter().filter(|kind| *kind != record.path().kind) {
            let path = RecordPath { kind, ..record.path() };
            assert!(Record::decode(path, revision_of(record), record.encode().expose()).is_err(), "as {path}");
        }
    }
}

#[test]
fn paths_carry_no_names() {
    for record in samples() {
        let bytes = record.path().to_bytes();
        for clear in ["alice", "bob", "admin"] {
            assert!(!bytes.windows(clear.len()).any(|window| window == clear.as_bytes()), "{}", record.path());
        }
    }
    let reference = KeyReference::from_u64(0x2e06bf).unwrap();
    assert_eq!(crate::Key::reference_of(crate::Key::path_of(reference)), Some(reference));
    let beyond = RecordPath { kind: RecordKind::Key, id: [1; 16] };
    assert_eq!(crate::Key::reference_of(beyond), None);
}

//! Values of every kind that is encoded, for seeds.

use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_core::member::{Anchor, AnchorFound};
use strongroom_core::{
    Asker, Certificate, Challenge, ChallengePurpose, Cluster, Creation, Credential, Effect, EndedLogin, Head,
    HistoryKey, Hsm, Key, Lock, Origin, Outcome, QuorumToken, QuorumValues, Receipt, Record, Replica, Replicated,
    Rollback, SessionKey, Settings, SpentChallenge, SumOfMacs, Ticket, TrustAnchor, User,
};
use strongroom_crypto_keys::generate;
use strongroom_crypto_keys::seal::RootKey;
use strongroom_types::{
    AttributeName, AttributeValue, Attributes, CertificateAttributes, CertificateCategory, CertificateDate,
    CertificateFingerprint, CertificateReference, CertificateTemplate, ChallengeId, ClusterId, ClusterMode,
    ClusterState, CredentialId, Curve, Derivation, EcdhKdf, Flag, Flags, HashFunction, HsmId, HsmType, KdfField,
    KeyClass, KeyQuorum, KeyReference, KeyTemplates, KeyType, LoginId, MlDsaAlgorithm, MtlsEnforcement, Prf,
    PublicPart, QuorumService, QuorumSubject, RequestId, Revision, Role, Secret, TokenId, TokenKey,
    TrustAnchorReference, UserId, UserName,
};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{CertificateInfo, KeyInfo, convert, derivation_message, v1};

const USER: [u8; 16] = [6; 16];

fn cluster_id() -> ClusterId {
    ClusterId::from_random([3; 7])
}

fn hsm_id() -> HsmId {
    HsmId::from_random([4; 7])
}

fn name(text: &str) -> UserName {
    text.parse().expect("a good name")
}

fn reference(number: u64) -> KeyReference {
    KeyReference::from_u64(number).expect("not too large")
}

/// A public key of each type, and of Ed25519.
pub(crate) fn publics() -> Vec<PublicPart> {
    vec![
        generate::rsa(2048, &[1, 0, 1]).expect("a size that is made").public,
        generate::ec(Curve::P384).expect("a curve").public,
        generate::ec(Curve::Ed25519).expect("a curve").public,
        generate::ml_dsa(MlDsaAlgorithm::MlDsa44).expect("an algorithm").public,
    ]
}

/// What a root key's file holds.
pub(crate) fn root_key_file() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("root.key");
    RootKey::create(&path).expect("a new folder takes a file");
    std::fs::read(path).expect("it was just written")
}

fn attributes() -> Vec<Attributes> {
    let secret = Attributes {
        class: KeyClass::SecretKey,
        key_type: KeyType::Aes,
        label: "a key".to_owned(),
        id: vec![1, 2, 3],
        check_value: Some([1, 2, 3]),
        flags: Flags::NONE.with(Flag::Token, true).with(Flag::Encrypt, true),
        length_bytes: 32,
        public: None,
        templates: KeyTemplates::NONE,
    };
    let of = |public: PublicPart| Attributes {
        class: KeyClass::PublicKey,
        key_type: public.key_type(),
        public: Some(public),
        ..secret.clone()
    };
    let demands = vec![
        (AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true)),
        (AttributeName::Label, AttributeValue::Text("a key".into())),
        (AttributeName::Class, AttributeValue::Class(KeyClass::SecretKey)),
        (AttributeName::Id, AttributeValue::Bytes(vec![1])),
    ];
    let templates = KeyTemplates { wrap: Some(demands.clone().into()), unwrap: Some(demands.into()) };
    let mut all = vec![secret.clone(), Attributes { templates, ..secret.clone() }];
    all.extend(publics().into_iter().map(of));
    all
}

pub(crate) fn keys() -> Vec<KeyInfo> {
    let info = |(number, attributes)| KeyInfo {
        reference: reference(number),
        attributes,
        owner: name("alice"),
        shared_with: vec![name("bob"), name("carol")],
        quorum: KeyQuorum { manage: 3, usage: 2 },
        revision: Revision(number),
    };
    (1..).zip(attributes()).map(info).collect()
}

pub(crate) fn head() -> Head {
    Head { epoch: 1, revision: Revision(9), time_ms: 1_700_000_000_000, count: 12, sum: SumOfMacs([7; 32]) }
}

pub(crate) fn ticket() -> Ticket {
    Ticket {
        login: LoginId::from_bytes([1; 16]),
        user: UserId::from_bytes(USER),
        credential: CredentialId::from_bytes([2; 16]),
        role: Role::CryptoUser,
        cluster: cluster_id(),
        epoch: 1,
        issued_ms: 5,
        expires_ms: 9,
    }
}

pub(crate) fn session_keys() -> Vec<SessionKey> {
    let key = |(number, mut attributes): (u64, Attributes)| {
        attributes.flags = attributes.flags.with(Flag::Token, false);
        let sealed = attributes.public.is_none().then(|| Arc::from(&[9; 60][..]));
        let (login, credential) = (LoginId::from_bytes([1; 16]), CredentialId::from_bytes([2; 16]));
        let owner = UserId::from_bytes(USER);
        let uses_before = if attributes.key_type == KeyType::Aes { 65_536 } else { 0 };
        let reference = reference(number);
        SessionKey { reference, login, credential, owner, attributes, sealed, created_ms: 5, uses_before }
    };
    (1..).zip(attributes()).map(key).collect()
}

pub(crate) fn challenges() -> [Challenge; 2] {
    let purposes = [ChallengePurpose::Login, ChallengePurpose::Enable(LoginId::from_bytes([1; 16]))];
    purposes.map(|purpose| Challenge {
        id: ChallengeId::from_bytes([6; 16]),
        user: UserId::from_bytes(USER),
        credential: CredentialId::from_bytes([2; 16]),
        purpose,
        until_ms: 12,
    })
}

fn token_key(last: u8) -> TokenKey {
    let modulus = [&[0xc5; 255][..], &[2 * last + 1]].concat();
    TokenKey::new(modulus, vec![1, 0, 1]).expect("an odd number of 2048 bits")
}

/// Of every kind.
pub(crate) fn records() -> Vec<Record> {
    let creation = Creation {
        asker: Asker::User(UserId::from_bytes(USER)),
        request: RequestId::from_bytes([9; 16]),
        digest: [7; 32],
    };
    let cluster = Cluster {
        id: cluster_id(),
        mode: ClusterMode::Fips,
        hsm_type: HsmType::Hsm2mMedium,
        state: ClusterState::Uninitialized,
        sealed_tls_key: Arc::from(&[9; 60][..]),
        csr_der: vec![0x30, 3, 2, 1, 0],
        certificate_pem: String::new(),
        trust_anchor_pem: String::new(),
        settings: Settings { lease_ms: 10_000, password_iterations: 210_000 },
        capacity: Some(HsmType::Hsm2mMedium.capacity()),
        epoch: 1,
        created_ms: 5,
        mtls_enforcement: MtlsEnforcement::Cluster,
        origin: Some(Origin { cluster: ClusterId::from_random([8; 7]), epoch: 1, revision: Revision(4) }),
    };
    let hsm = Hsm { id: hsm_id(), ip: "127.0.7.1".into(), port: 2223, zone: "local-1a".into(), serial: "5".into() };
    let credential = Credential {
        id: CredentialId::from_bytes([2; 16]),
        salt: [3; 16],
        iterations: 1_000,
        hash: Secret::from(&[8; 64][..]),
    };
    let user = User {
        id: UserId::from_bytes(USER),
        name: name("alice"),
        role: Role::CryptoUser,
        credential: Some(credential),
        failures: 2,
        lock: Lock::Until(77),
        mfa_key: Some(token_key(1)),
        quorum_key: Some(token_key(2)),
        creation: Some(creation),
        created_ms: 5,
    };
    let key = |(number, attributes): (u64, Attributes)| {
        Record::Key(Key {
            reference: reference(number),
            revision: Revision(7),
            owner: UserId::from_bytes(USER),
            shared: BTreeSet::from([UserId::from_bytes([5; 16])]),
            sealed: attributes.public.is_none().then(|| Arc::from(&[9; 60][..])),
            quorum: if attributes.public.is_none() { KeyQuorum { manage: 2, usage: 1 } } else { KeyQuorum::NONE },
            uses_reserved: if attributes.key_type == KeyType::Aes { 65_536 } else { 0 },
            attributes,
            key_epoch: 1,
            creation,
            created_ms: 5,
        })
    };
    let outcome = Outcome::User { name: name("alice"), role: Role::CryptoUser, renewed: None };
    let Creation { asker, request, digest } = creation;
    let anchor = |epoch| Anchor { epoch, revision: Revision(5), head_digest: [7; 32] };
    let mut records = vec![
        Record::Cluster(cluster),
        Record::Hsm(hsm),
        Record::User(user),
        Record::Receipt(Receipt { asker, request, digest, outcome, effect: Effect::Revoking, time_ms: 5 }),
        Record::EndedLogin(EndedLogin {
            login: LoginId::from_bytes([1; 16]),
            user: UserId::from_bytes(USER),
            credential: CredentialId::from_bytes([2; 16]),
            until_ms: 12,
        }),
        Record::QuorumToken(QuorumToken {
            id: TokenId::from_bytes([6; 16]),
            user: UserId::from_bytes(USER),
            login: LoginId::from_bytes([1; 16]),
            credential: CredentialId::from_bytes([2; 16]),
            subject: QuorumSubject { service: QuorumService::KeyUsage, key: Some(reference(7)) },
            revision: Revision(7),
            created_ms: 5,
            expires_ms: 12,
        }),
        Record::QuorumValues(QuorumValues { user: 2, ..QuorumValues::default() }),
        Record::SpentChallenge(SpentChallenge { id: ChallengeId::from_bytes([6; 16]), until_ms: 12 }),
        Record::Rollback(Rollback {
            epoch: 2,
            revision: Revision(1_000_000_000),
            accepted: anchor(1),
            accepted_ms: 77,
            found: vec![(hsm_id(), AnchorFound::Seen(anchor(1)))],
            uid: 1_000,
            login_uid: Some(0),
            time_ms: 99,
        }),
        Record::Certificate(Certificate {
            reference: CertificateReference::from_u64(0x2e06c0).unwrap(),
            owner: Some(UserId::from_bytes([6; 16])),
            template: certificate(),
            check_value: [1, 2, 3],
            creation,
            created_ms: 5,
        }),
        Record::TrustAnchor(TrustAnchor {
            reference: TrustAnchorReference::from_u32(2).expect("a byte"),
            fingerprint: CertificateFingerprint([4; 32]),
            chain_pem: "-----BEGIN CERTIFICATE-----".into(),
            creation,
            created_ms: 5,
        }),
        Record::HistoryKey(HistoryKey { sealed: Arc::from(&[9; 61][..]) }),
    ];
    records.extend((1..).zip(attributes()).map(key));
    records
}

/// Of every kind of request that has fields.
pub(crate) fn operations() -> Vec<Operation> {
    let role = || i32::from(v1::Role::CryptoUser);
    let (user_name, password) = (|| String::from("alice"), || b"password1".to_vec());
    let template = convert::template_message(&vec![
        (AttributeName::Label, AttributeValue::Text("a key".into())),
        (AttributeName::Flag(Flag::Encrypt), AttributeValue::Bool(true)),
        (AttributeName::Id, AttributeValue::Bytes(vec![1, 2])),
        (AttributeName::Class, AttributeValue::Class(KeyClass::SecretKey)),
        (AttributeName::Curve, AttributeValue::Curve(Curve::P256)),
        (AttributeName::MlDsaAlgorithm, AttributeValue::MlDsaAlgorithm(MlDsaAlgorithm::MlDsa65)),
        (AttributeName::KeyLengthBytes, AttributeValue::Number(32)),
        (
            AttributeName::WrapTemplate,
            AttributeValue::Template(vec![(AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true))]),
        ),
    ]);
    let (rsa, aes) = (v1::Mechanism::RsaPkcsPss.into(), v1::KeyType::Aes.into());
    let hash = || v1::HashFunction::Sha256.into();
    let parameters = v1::RsaParameters { modulus_bits: 2048, public_exponent: vec![1, 0, 1] };
    let wrapping = v1::Wrapping {
        mechanism: v1::WrapMechanism::AesGcm.into(),
        tag_bits: 128,
        aad: vec![1, 2],
        ..v1::Wrapping::default()
    };
    vec![
        Operation::Hello(v1::Hello { client: "cloudhsm-cli".into() }),
        Operation::Login(v1::Login {
            user_name: user_name(),
            role: role(),
            password: password(),
            challenge: vec![1; 120],
            signature: vec![2; 256],
        }),
        Operation::Attach(v1::Attach { ticket: vec![1; 80] }),
        Operation::Logout(v1::Logout {}),
        Operation::Activate(v1::Activate { password: password() }),
        Operation::UserCreate(v1::UserCreate { user_name: user_name(), role: role(), password: password() }),
        Operation::UserDelete(v1::UserDelete { user_name: user_name(), role: role() }),
        Operation::UserChangePassword(v1::UserChangePassword {
            user_name: user_name(),
            role: role(),
            password: password(),
            deregister_mfa: true,
            deregister_quorum: true,
        }),
        Operation::UserChangeMfa(v1::UserChangeMfa {
            user_name: user_name(),
            role: role(),
            password: password(),
            public_key: vec![0x30; 294],
            challenge: vec![1; 120],
            signature: vec![2; 256],
            change_quorum: true,
        }),
        Operation::UserChangeQuorum(v1::UserChangeQuorum {
            public_key: vec![0x30; 294],
            approval_data: vec![1; 80],
            signature: vec![2; 256],
        }),
        Operation::LoginChallenge(v1::LoginChallenge { user_name: user_name(), role: role(), password: password() }),
        Operation::MfaChallenge(v1::MfaChallenge { user_name: user_name(), role: role() }),
        Operation::QuorumTokenGenerate(v1::QuorumTokenGenerate { service: 5, key: 7 }),
        Operation::QuorumTokenDelete(v1::QuorumTokenDelete { all: true }),
        Operation::QuorumSetValue(v1::QuorumSetValue { service: 3, value: 2 }),
        Operation::QuorumSetTime(v1::QuorumSetTime { approved: true, seconds: 60 }),
        Operation::KeyGenerateSecret(v1::KeyGenerateSecret {
            key_type: aes,
            length_bytes: 32,
            template: template.clone(),
            share_with: vec![user_name()],
            manage_quorum: 2,
            use_quorum: 1,
        }),
        Operation::KeyGeneratePair(v1::KeyGeneratePair {
            algorithm: Some(v1::key_generate_pair::Algorithm::Rsa(parameters)),
            public_template: template.clone(),
            private_template: template.clone(),
            share_with: vec![user_name()],
            manage_quorum: 2,
            use_quorum: 1,
        }),
        Operation::KeyFind(v1::KeyFind {
            reference: 7,
            filter: template.clone(),
            offset: 1,
            limit: 10,
            all_references: true,
        }),
        Operation::KeyGet(v1::KeyGet { reference: 7 }),
        Operation::Random(v1::Random { len: 32 }),
        Operation::CertificateCreate(certificate().into()),
        Operation::CertificateDelete(v1::CertificateDelete { reference: 7, without_login: true }),
        Operation::CertificateFind(v1::CertificateFind {
            label: Some("site".into()),
            certificate_id: Some(vec![1]),
            subject: Some(vec![0x30, 0]),
            issuer: Some(Vec::new()),
            serial_number: None,
            value: Some(vec![0x30, 0]),
            after: 7,
            without_login: true,
        }),
        Operation::CertificateGet(v1::CertificateGet { reference: 7, without_login: false }),
        Operation::CertificateSet(v1::CertificateSet {
            reference: 7,
            label: Some("site".into()),
            certificate_id: Some(Vec::new()),
            issuer: None,
            serial_number: Some(vec![2, 1, 7]),
            without_login: true,
        }),
        Operation::KeyDelete(v1::KeyDelete { reference: 7 }),
        Operation::KeyShare(v1::KeyShare { reference: 7, user_name: user_name(), role: role() }),
        Operation::KeyUnshare(v1::KeyUnshare { reference: 7, user_name: user_name(), role: role() }),
        Operation::KeyImport(v1::KeyImport {
            public_key_info: vec![0x30, 0],
            key_type: v1::KeyType::Ec.into(),
            template: template.clone(),
            ..v1::KeyImport::default()
        }),
        Operation::KeyImport(v1::KeyImport { secret: vec![5; 32], key_type: aes, ..v1::KeyImport::default() }),
        Operation::KeyDerive(v1::KeyDerive {
            base_key: 7,
            derivation: Some(derivation_message(&Derivation::Ecdh {
                peer_point: vec![4; 65],
                kdf: EcdhKdf::X963 { hash: HashFunction::Sha256, shared_info: vec![6; 8] },
            })),
            key_type: aes,
            length_bytes: 32,
            template: template.clone(),
        }),
        Operation::KeyDerive(v1::KeyDerive {
            base_key: 7,
            derivation: Some(derivation_message(&Derivation::CounterKdf {
                prf: Prf::Hmac(HashFunction::Sha256),
                fields: vec![
                    KdfField::Counter { bits: 32 },
                    KdfField::Bytes(vec![6; 8]),
                    KdfField::Length { bits: 16 },
                ],
            })),
            key_type: aes,
            length_bytes: 32,
            template: template.clone(),
        }),
        Operation::KeyReadValue(v1::KeyReadValue { reference: 7 }),
        Operation::KeyWrap(v1::KeyWrap { payload: 7, wrapping_key: 8, wrapping: Some(wrapping.clone()) }),
        Operation::KeyUnwrap(v1::KeyUnwrap {
            unwrapping_key: 8,
            wrapping: Some(v1::Wrapping { iv: vec![3; 12], ..wrapping }),
            wrapped: vec![4; 48],
            class: v1::KeyClass::Secret.into(),
            key_type: aes,
            template: template.clone(),
            share_with: vec![user_name()],
            defaults: template.clone(),
            ..v1::KeyUnwrap::default()
        }),
        Operation::KeyCopy(v1::KeyCopy { reference: 7, template: template.clone() }),
        Operation::KeySetAttribute(v1::KeySetAttribute { reference: 7, attribute: template.first().cloned() }),
        Operation::Sign(v1::Sign { key: 7, mechanism: rsa, hash: hash(), salt_length: 32, data: vec![7; 32] }),
        Operation::Verify(v1::Verify {
            key: 7,
            mechanism: rsa,
            hash: hash(),
            salt_length: 32,
            data: vec![7; 32],
            signature: vec![1; 256],
        }),
        Operation::Decrypt(v1::Decrypt {
            key: 7,
            mechanism: v1::Mechanism::RsaOaep.into(),
            hash: hash(),
            data: vec![1; 256],
            ..v1::Decrypt::default()
        }),
        Operation::Encrypt(v1::Encrypt {
            key: 7,
            mechanism: v1::Mechanism::AesGcm.into(),
            data: vec![1; 32],
            aad: vec![2; 8],
            tag_bits: 128,
            ..v1::Encrypt::default()
        }),
        Operation::KeyExport(v1::KeyExport { reference: 7, destination_cluster_id: cluster_id().to_string() }),
        Operation::UserExport(v1::UserExport {
            user_name: user_name(),
            role: role(),
            destination_cluster_id: cluster_id().to_string(),
        }),
        Operation::KeyReplicate(v1::KeyReplicate { replica: Some(replica()) }),
        Operation::UserReplicate(v1::UserReplicate { replica: Some(replica()) }),
        Operation::ApplianceInstallCertificate(v1::ApplianceInstallCertificate {
            certificate_pem: "-----BEGIN CERTIFICATE-----".into(),
            trust_anchor_pem: String::new(),
        }),
        Operation::MtlsRegisterTrustAnchor(v1::MtlsRegisterTrustAnchor { chain_pem: b"-----BEGIN".to_vec() }),
        Operation::MtlsDeregisterTrustAnchor(v1::MtlsDeregisterTrustAnchor { reference: 1 }),
        Operation::MtlsSetEnforcement(v1::MtlsSetEnforcement { level: v1::MtlsEnforcement::Cluster.into() }),
    ]
}

/// With everything said of it that may be said.
fn certificate() -> CertificateTemplate {
    let date = |digits: &[u8; 8]| CertificateDate::from_digits(*digits);
    let attributes = CertificateAttributes {
        label: "site".into(),
        id: vec![1, 2],
        subject: vec![0x30, 0],
        issuer: vec![0x30, 0],
        serial_number: vec![2, 1, 7],
        start_date: date(b"20260101"),
        end_date: date(b"20271231"),
        category: CertificateCategory::Authority,
        private: true,
        modifiable: true,
        destroyable: true,
        copyable: true,
    };
    CertificateTemplate { attributes, public_key_info: vec![0x30, 0], value: vec![0x30, 3, 2, 1, 7] }
}

pub(crate) fn certificate_info() -> CertificateInfo {
    CertificateInfo {
        reference: CertificateReference::from_u64(0x2e06c0).unwrap(),
        attributes: certificate().attributes,
        check_value: [1, 2, 3],
        owner: Some(name("alice")),
    }
}

fn replica() -> v1::Replica {
    let replica = Replica {
        source: cluster_id(),
        destination: ClusterId::from_random([8; 7]),
        what: Replicated::User(UserId::from_bytes(USER)),
        asker: UserId::from_bytes(USER),
        by_admin: true,
        mode: ClusterMode::Fips,
        hsm_type: HsmType::Hsm2mMedium,
        expires_ms: 77,
    };
    v1::Replica { header: replica.encode(), sealed: vec![1; 80] }
}

pub(crate) fn request(operation: Operation) -> v1::Request {
    v1::Request {
        id: 1,
        deadline_ms: 1_000,
        seen_revision: 9,
        request_id: vec![9; 16],
        session_keys: vec![v1::SessionKey { reference: 7, sealed: vec![1; 40] }],
        approvals: vec![v1::Approval {
            approval_data: vec![1; 80],
            signatures: vec![v1::ApprovalSignature {
                user_name: "alice".into(),
                role: v1::Role::CryptoUser.into(),
                signature: vec![2; 256],
            }],
        }],
        operation: Some(operation),
    }
}

/// Of every kind of answer that has fields.
pub(crate) fn outcomes() -> Vec<Answer> {
    let role = i32::from(v1::Role::CryptoUser);
    let (cluster_id, hsm_id) = (cluster_id().to_string(), hsm_id().to_string());
    let member = v1::Member {
        hsm_id: hsm_id.clone(),
        ip: "127.0.7.1".into(),
        port: 2223,
        availability_zone: "local-1a".into(),
        serving: true,
    };
    let keys: Vec<v1::Key> = keys().into_iter().map(v1::Key::from).collect();
    let user = v1::User { user_name: "alice".into(), role, locked: true, mfa: true, quorum: true };
    let hsm = v1::HsmInfo { hsm_id: hsm_id.clone(), serial_number: "5".into(), ..v1::HsmInfo::default() };
    let state = String::from("ACTIVE");
    vec![
        Answer::Hello(v1::HelloResult {
            cluster_id: cluster_id.clone(),
            hsm_id: hsm_id.clone(),
            state: state.clone(),
            members: vec![member],
        }),
        Answer::Login(v1::LoginResult { ticket: vec![1; 80], user_name: "alice".into(), role, user_id: USER.to_vec() }),
        Answer::LoginChallenge(v1::Challenge { challenge: vec![1; 120], digest: vec![2; 32] }),
        Answer::QuorumTokenGenerate(v1::QuorumToken { approval_data: vec![1; 80] }),
        Answer::QuorumTokenList(v1::QuorumTokenListResult {
            tokens: vec![v1::ListedQuorumToken {
                user_name: "alice".into(),
                service: 5,
                key: 7,
                approvals_required: 2,
                seconds: 600,
                count: 1,
            }],
        }),
        Answer::QuorumValues(v1::QuorumValuesResult {
            user: 2,
            quorum: 2,
            cluster: 1,
            generated_seconds: 600,
            approved_seconds: 600,
        }),
        Answer::Attach(v1::AttachResult { user_name: "alice".into(), role }),
        Answer::ClusterInfo(v1::ClusterInfoResult {
            cluster_id: cluster_id.clone(),
            hsm_type: "hsm2m.medium".into(),
            mode: "FIPS".into(),
            state: state.clone(),
            hsms: vec![hsm],
        }),
        Answer::UserList(v1::UserListResult { users: vec![user] }),
        Answer::KeyGenerateSecret(keys[0].clone()),
        Answer::KeyGeneratePair(v1::KeyPair { public_key: Some(keys[1].clone()), private_key: Some(keys[2].clone()) }),
        Answer::KeyFind(v1::KeyFindResult { total: 3, keys, references: vec![7, 8, 9] }),
        Answer::CertificateCreate(certificate_info().into()),
        Answer::CertificateFind(v1::CertificateFindResult {
            references: vec![0x2e06c0, 0x2e06c1],
            certificates: vec![certificate_info().into()],
        }),
        Answer::CertificateGet(v1::Certificate { value: certificate().value, ..certificate_info().into() }),
        Answer::Random(v1::RandomResult { data: vec![7; 32] }),
        Answer::KeyExport(replica()),
        Answer::Sign(v1::SignResult { signature: vec![1; 64] }),
        Answer::Decrypt(v1::DecryptResult { data: vec![1; 32] }),
        Answer::KeyReadValue(v1::KeyReadValueResult { value: vec![1; 32] }),
        Answer::Encrypt(v1::EncryptResult { iv: vec![3; 12], data: vec![1; 48] }),
        Answer::ApplianceState(v1::ApplianceStateResult {
            cluster_id,
            hsm_id,
            cluster_state: state,
            serving: true,
            ..v1::ApplianceStateResult::default()
        }),
        Answer::ApplianceCsr(v1::ApplianceCsrResult { csr_pem: "-----BEGIN".into() }),
        Answer::MtlsListTrustAnchors(v1::MtlsListTrustAnchorsResult {
            trust_anchors: vec![v1::TrustAnchor { reference: 1, chain_pem: "-----BEGIN".into() }],
        }),
        Answer::MtlsGetEnforcement(v1::MtlsGetEnforcementResult { level: v1::MtlsEnforcement::Cluster.into() }),
    ]
}

pub(crate) fn response(result: Answer) -> v1::Response {
    v1::Response {
        id: 1,
        status: 0,
        about: String::new(),
        revision: 9,
        retry_after_ms: 0,
        ticket: vec![1; 80],
        result: Some(result),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::RecordKind;
    use strongroom_wire::frame;

    use super::*;

    #[test]
    fn samples_are_accepted_by_their_decoders() {
        let records = records();
        let kinds: BTreeSet<RecordKind> = records.iter().map(|record| record.path().kind).collect();
        assert_eq!(kinds.len(), RecordKind::ALL.len() - 2, "every kind but head and cluster key");
        for record in &records {
            let read = Record::decode(record.path(), Revision(7), record.encode().expose());
            assert_eq!(read.as_ref(), Ok(record));
        }
        assert_eq!(Head::decode(&head().encode()), Ok(head()));
        assert_eq!(Ticket::decode(&ticket().encode()), Ok(ticket()));
        for key in session_keys() {
            assert_eq!(SessionKey::decode(&key.encode()), Ok(key));
        }
        for key in keys() {
            assert_eq!(KeyInfo::try_from(v1::Key::from(key.clone())), Ok(key));
        }
        assert!(RootKey::from_content(&root_key_file()).is_ok());
        let mut bytes = Vec::new();
        for operation in operations() {
            let request = request(operation);
            frame::encode(&request, &mut bytes).unwrap();
            assert_eq!(frame::decode_request(&bytes[frame::PREFIX_LEN..]), Ok(request));
        }
        for outcome in outcomes() {
            let response = response(outcome);
            frame::encode(&response, &mut bytes).unwrap();
            assert_eq!(frame::decode_response(&bytes[frame::PREFIX_LEN..]), Ok(response));
        }
    }
}

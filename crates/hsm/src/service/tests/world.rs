//! HSMs of one cluster in this process, and clients of theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use strongroom_core::Hsm;
use strongroom_core::member::LeaseKind;
use strongroom_crypto::certificates::{CertificateRequest, CustomerCa};
use strongroom_crypto::random;
use strongroom_crypto_keys::seal::RootKey;
use strongroom_store::{MemoryStore, SqliteConfig, Store};
use strongroom_types::{ClusterId, ClusterMode, HsmId, HsmType, Refusal, Revision, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::super::{Service, Session, Turn};
use crate::cluster::cloning::{Read, cloned};
use crate::cluster::{Cluster, Setup};
use crate::connections::{ConnectionLimits, Connections};
use crate::key_cache::KeyCache;
use crate::log::Log;
use crate::watch::{Bell, Watch};

pub(super) const ADMIN: i32 = v1::Role::Admin as i32;
pub(super) const CRYPTO_USER: i32 = v1::Role::CryptoUser as i32;
pub(super) const PASSWORD: &str = "hunter2222";

/// An installation in a temporary folder.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) cluster_id: ClusterId,
    store: MemoryStore,
    pub(super) ca: CustomerCa,
}

/// One HSM without its listeners.
pub(super) struct Member {
    pub(super) service: Service,
    pub(super) cluster: Arc<Cluster>,
    pub(super) keys: Arc<KeyCache>,
    pub(super) door: Arc<MemoryStore>,
    pub(super) log: std::path::PathBuf,
}

/// A connection to a member.
pub(super) struct Client<'a> {
    pub(super) member: &'a Member,
    pub(super) session: Session,
    pub(super) seen: u64,
    /// Of the newest answer.
    pub(super) ticket: Vec<u8>,
}

pub(super) fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

impl World {
    pub(super) fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        RootKey::create(&folder.path().join("root.key")).unwrap();
        let cluster_id = ClusterId::from_random(random::bytes());
        World { folder, cluster_id, store: MemoryStore::new(), ca: CustomerCa::generate(now_s()) }
    }

    /// An active cluster of one member with the crypto users alice and bob.
    pub(super) fn active() -> (World, Member) {
        let world = World::new();
        let member = world.member(1);
        world.install(&member);
        Client::of(&member).change(Operation::Activate(v1::Activate { password: PASSWORD.into() })).unwrap();
        let mut admin = Client::admin(&member);
        for name in ["alice", "bob"] {
            admin.change(user_create(name, PASSWORD)).unwrap();
        }
        (world, member)
    }

    /// An active clone of this cluster, with one member, in the same installation.
    pub(super) fn clone_of(origin: &World) -> (World, Member) {
        let folder = tempfile::tempdir().unwrap();
        let path = origin.folder.path().join("root.key");
        let root_key = RootKey::read(&path).unwrap();
        root_key.copy_to(&folder.path().join("root.key")).unwrap();
        let (cluster_id, ca) = (ClusterId::from_random(random::bytes()), CustomerCa::generate(now_s()));
        let world = World { folder, cluster_id, store: MemoryStore::new(), ca };
        let read = Read::of(&root_key, &origin.cluster_id, origin.store.member().load().unwrap()).unwrap();
        let (loaded, _) = cloned(&read, &world.setup(1), &root_key, now_s() * 1_000).unwrap();
        let puts: Vec<_> = loaded.records.into_iter().map(|record| (record.path, record.sealed)).collect();
        world.store.member().commit(Revision(0), &puts, &[]).unwrap();
        let member = world.member(1);
        world.install(&member);
        (world, member)
    }

    fn setup(&self, number: u8) -> Setup {
        let path = |name: &str| self.folder.path().join(name);
        Setup {
            hsm: Hsm {
                id: HsmId::from_random([number; 7]),
                ip: format!("127.0.0.{number}"),
                port: 2223,
                zone: "lo-central-1a".into(),
                serial: String::new(),
            },
            cluster_id: self.cluster_id.clone(),
            mode: ClusterMode::NonFips,
            hsm_type: HsmType::Hsm2mMedium,
            lease_ms: 10_000,
            password_iterations: 1,
            root_key: path("root.key"),
            anchor: path(&format!("anchor-{number}")),
            store: SqliteConfig::new("unused", "unused"),
        }
    }

    pub(super) fn member(&self, number: u8) -> Member {
        let door = Arc::new(self.store.member());
        let setup = self.setup(number);
        let log_path = self.folder.path().join(format!("hsm-{number}.log"));
        let log = Arc::new(Log::open(&log_path).unwrap());
        let keys = Arc::new(KeyCache::default());
        let connections = Connections::new(&ConnectionLimits::default());
        let watch = Watch::new(Arc::clone(&keys), Arc::new(Bell::default()), Arc::clone(&connections));
        let store = Arc::clone(&door) as Arc<dyn Store>;
        let notices = Arc::clone(&log) as Arc<_>;
        let cluster = Cluster::start_with(store, LeaseKind::Timed, &setup, notices, Box::new(watch)).unwrap();
        let service = Service::new(Arc::clone(&cluster), Arc::clone(&keys), connections, log);
        Member { service, cluster, keys, door, log: log_path }
    }

    /// The certificate that the customer's CA would issue.
    pub(super) fn certificate(&self, member: &Member) -> v1::ApplianceInstallCertificate {
        let Answer::ApplianceCsr(csr) =
            Client::appliance(member).ask(Operation::ApplianceCsr(v1::ApplianceCsr {})).unwrap()
        else {
            panic!("another answer")
        };
        let request = CertificateRequest::from_pem(csr.csr_pem.as_bytes()).unwrap();
        v1::ApplianceInstallCertificate {
            certificate_pem: self.ca.issue(&request, now_s()).to_pem(),
            trust_anchor_pem: self.ca.certificate().to_pem(),
        }
    }

    pub(super) fn install(&self, member: &Member) {
        let message = self.certificate(member);
        Client::appliance(member).change(Operation::ApplianceInstallCertificate(message)).unwrap();
    }
}

impl<'a> Client<'a> {
    pub(super) fn of(member: &'a Member) -> Client<'a> {
        let session = Session::of_client("127.0.0.9:4711".parse().unwrap(), None);
        Client { member, session, seen: 0, ticket: Vec::new() }
    }

    pub(super) fn appliance(member: &'a Member) -> Client<'a> {
        Client { session: Session::of_appliance(), ..Client::of(member) }
    }

    pub(super) fn admin(member: &'a Member) -> Client<'a> {
        Client::logged_in(member, "admin", ADMIN)
    }

    pub(super) fn alice(member: &'a Member) -> Client<'a> {
        Client::logged_in(member, "alice", CRYPTO_USER)
    }

    pub(super) fn logged_in(member: &'a Member, name: &str, role: i32) -> Client<'a> {
        let mut client = Client::of(member);
        client.login(name, role, PASSWORD).unwrap();
        client
    }

    pub(super) fn login(&mut self, name: &str, role: i32, password: &str) -> Result<v1::LoginResult, Refusal> {
        let login = v1::Login { user_name: name.into(), role, password: password.into(), ..v1::Login::default() };
        match self.ask(Operation::Login(login))? {
            Answer::Login(result) => {
                self.ticket = result.ticket.clone();
                Ok(result)
            }
            _ => panic!("another answer"),
        }
    }

    pub(super) fn attach(&mut self, ticket: &[u8]) -> Result<Answer, Refusal> {
        self.ask(Operation::Attach(v1::Attach { ticket: ticket.into() }))
    }

    pub(super) fn ask(&mut self, operation: Operation) -> Result<Answer, Refusal> {
        self.send(v1::Request { operation: Some(operation), ..v1::Request::default() })
    }

    /// A change under a new request id.
    pub(super) fn change(&mut self, operation: Operation) -> Result<Answer, Refusal> {
        self.change_as(&random::bytes::<16>(), operation)
    }

    pub(super) fn change_as(&mut self, id: &[u8], operation: Operation) -> Result<Answer, Refusal> {
        self.send(v1::Request { request_id: id.into(), operation: Some(operation), ..v1::Request::default() })
    }

    pub(super) fn send(&mut self, request: v1::Request) -> Result<Answer, Refusal> {
        self.send_arrived(request, Instant::now())
    }

    pub(super) fn send_arrived(&mut self, request: v1::Request, arrived: Instant) -> Result<Answer, Refusal> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let request = v1::Request { id, seen_revision: self.seen, ..request };
        let response = self.member.service.answer(&mut self.session, request, arrived, &Turn::free());
        assert_eq!(response.id, id);
        assert!(response.revision >= self.seen, "time went back");
        self.seen = response.revision;
        if !response.ticket.is_empty() {
            self.ticket = response.ticket;
        }
        match response.status {
            0 => Ok(response.result.unwrap()),
            number => {
                assert!(response.result.is_none());
                Err(Refusal { status: Status::from_number(number).unwrap(), about: response.about })
            }
        }
    }

    pub(super) fn ec_pair(&mut self, label: &str) -> v1::KeyPair {
        let algorithm = Some(v1::key_generate_pair::Algorithm::Curve(v1::Curve::P256.into()));
        self.pair(algorithm, label)
    }

    pub(super) fn rsa_pair(&mut self, label: &str) -> v1::KeyPair {
        let rsa = v1::RsaParameters { modulus_bits: 2048, public_exponent: vec![1, 0, 1] };
        self.pair(Some(v1::key_generate_pair::Algorithm::Rsa(rsa)), label)
    }

    pub(super) fn ed25519_pair(&mut self, label: &str) -> v1::KeyPair {
        let algorithm = Some(v1::key_generate_pair::Algorithm::Curve(v1::Curve::Ed25519.into()));
        self.pair(algorithm, label)
    }

    pub(super) fn ml_dsa_pair(&mut self, label: &str) -> v1::KeyPair {
        let algorithm = Some(v1::key_generate_pair::Algorithm::MlDsa(v1::MlDsaAlgorithm::MlDsa65.into()));
        self.pair(algorithm, label)
    }

    fn pair(&mut self, algorithm: Option<v1::key_generate_pair::Algorithm>, text: &str) -> v1::KeyPair {
        let mut message = v1::KeyGeneratePair {
            algorithm,
            public_template: vec![label(text), flag("verify")],
            private_template: vec![label(text), flag("sign")],
            share_with: Vec::new(),
            ..v1::KeyGeneratePair::default()
        };
        if !matches!(message.algorithm, Some(v1::key_generate_pair::Algorithm::MlDsa(_))) {
            message.public_template.push(flag("encrypt"));
            message.private_template.push(flag("decrypt"));
        }
        match self.change(Operation::KeyGeneratePair(message)).unwrap() {
            Answer::KeyGeneratePair(pair) => pair,
            _ => panic!("another answer"),
        }
    }

    pub(super) fn sign_ecdsa(&mut self, key: u64) -> Result<Vec<u8>, Refusal> {
        let mechanism = v1::Mechanism::Ecdsa.into();
        let message = v1::Sign { key, mechanism, data: vec![7; 32], ..v1::Sign::default() };
        match self.ask(Operation::Sign(message))? {
            Answer::Sign(signed) => Ok(signed.signature),
            _ => panic!("another answer"),
        }
    }

    /// An EC pair of the client's login, public half first, as it was given out.
    pub(super) fn session_pair(&mut self) -> [v1::Key; 2] {
        match self.ask(Operation::KeyGeneratePair(session_pair())).unwrap() {
            Answer::KeyGeneratePair(pair) => [pair.public_key.unwrap(), pair.private_key.unwrap()],
            _ => panic!("another answer"),
        }
    }

    /// An operation that names this session key, with or without its sealed form.
    pub(super) fn ask_naming(&mut self, key: &v1::Key, sealed: &[u8], operation: Operation) -> Result<Answer, Refusal> {
        let session_keys = vec![v1::SessionKey { reference: key.reference, sealed: sealed.to_vec() }];
        self.send(v1::Request { session_keys, operation: Some(operation), ..v1::Request::default() })
    }

    pub(super) fn find(&mut self, message: v1::KeyFind) -> Result<v1::KeyFindResult, Refusal> {
        match self.ask(Operation::KeyFind(message))? {
            Answer::KeyFind(found) => Ok(found),
            _ => panic!("another answer"),
        }
    }
}

pub(super) fn label(text: &str) -> v1::Attribute {
    v1::Attribute { name: "label".into(), value: Some(v1::attribute::Value::Text(text.into())) }
}

pub(super) fn flag(name: &str) -> v1::Attribute {
    v1::Attribute { name: name.into(), value: Some(v1::attribute::Value::Boolean(true)) }
}

pub(super) fn session() -> v1::Attribute {
    v1::Attribute { name: "token".into(), value: Some(v1::attribute::Value::Boolean(false)) }
}

pub(super) fn session_pair() -> v1::KeyGeneratePair {
    v1::KeyGeneratePair {
        algorithm: Some(v1::key_generate_pair::Algorithm::Curve(v1::Curve::P256.into())),
        public_template: vec![session(), label("of a session"), flag("verify")],
        private_template: vec![session(), label("of a session"), flag("sign")],
        share_with: Vec::new(),
        ..v1::KeyGeneratePair::default()
    }
}

pub(super) fn user_delete(name: &str) -> Operation {
    Operation::UserDelete(v1::UserDelete { user_name: name.into(), role: CRYPTO_USER })
}

pub(super) fn user_create(name: &str, password: &str) -> Operation {
    Operation::UserCreate(v1::UserCreate { user_name: name.into(), role: CRYPTO_USER, password: password.into() })
}

pub(super) fn change_password(name: &str, role: i32, password: &str) -> Operation {
    Operation::UserChangePassword(v1::UserChangePassword {
        user_name: name.into(),
        role,
        password: password.into(),
        ..v1::UserChangePassword::default()
    })
}

pub(super) fn aes(text: &str) -> Operation {
    Operation::KeyGenerateSecret(v1::KeyGenerateSecret {
        key_type: v1::KeyType::Aes.into(),
        length_bytes: 32,
        template: vec![label(text)],
        share_with: Vec::new(),
        ..v1::KeyGenerateSecret::default()
    })
}

pub(super) fn key_delete(reference: u64) -> Operation {
    Operation::KeyDelete(v1::KeyDelete { reference })
}

pub(super) fn key_share(reference: u64, user: &str) -> Operation {
    Operation::KeyShare(v1::KeyShare { reference, user_name: user.into(), role: CRYPTO_USER })
}

pub(super) fn key_unshare(reference: u64, user: &str) -> Operation {
    Operation::KeyUnshare(v1::KeyUnshare { reference, user_name: user.into(), role: CRYPTO_USER })
}

pub(super) fn set_flag(reference: u64, name: &str, value: bool) -> Operation {
    let value = Some(v1::attribute::Value::Boolean(value));
    let attribute = Some(v1::Attribute { name: name.into(), value });
    Operation::KeySetAttribute(v1::KeySetAttribute { reference, attribute })
}

pub(super) fn private(pair: &v1::KeyPair) -> u64 {
    pair.private_key.as_ref().unwrap().reference
}

pub(super) fn public(pair: &v1::KeyPair) -> u64 {
    pair.public_key.as_ref().unwrap().reference
}

#[track_caller]
pub(super) fn refused<T>(outcome: Result<T, Refusal>, expected: Status) -> String {
    match outcome {
        Err(Refusal { status, about }) if status == expected => about,
        Err(refusal) => panic!("{expected:?} was expected: {refusal:?}"),
        Ok(_) => panic!("{expected:?} was expected, and it was answered"),
    }
}

//! An installation in a temporary folder, and members on one store.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use strongroom_core::member::{Change, LeaseKind};
use strongroom_core::{Actor, Command, Credential, Hsm, LoginActor, Made, Reply, Request, State, login_check};
use strongroom_crypto::random;
use strongroom_crypto_keys::seal::RootKey;
use strongroom_store::{MemoryStore, SqliteConfig, Store};
use strongroom_types::{
    ClusterId, ClusterMode, CredentialId, HsmId, HsmType, LoginId, RecordPath, RequestId, Role, Secret, UserId,
    UserName,
};

use super::super::{ChangeError, Changed, Cluster, Notices, Setup, StartError, Watcher};

/// Long enough that only what hangs reaches it.
pub(super) const LONG: Duration = Duration::from_secs(30);

pub(super) struct World {
    folder: tempfile::TempDir,
    cluster_id: ClusterId,
    pub(super) store: Arc<MemoryStore>,
    pub(super) lease_ms: u32,
    pub(super) said: Arc<Said>,
}

#[derive(Default)]
pub(super) struct Said(Mutex<Vec<String>>);

impl Said {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Notices for Said {
    fn say(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Remembers every step it was told of.
#[derive(Clone, Default)]
pub(super) struct Steps(pub(super) Arc<Mutex<Vec<Step>>>);

/// The state before, the state after, and what changed.
pub(super) type Step = (State, State, Vec<RecordPath>);

impl Watcher for Steps {
    fn applied(&self, before: &State, after: &State, changed: &[RecordPath]) {
        self.0.lock().unwrap().push((before.clone(), after.clone(), changed.to_vec()));
    }
}

impl World {
    pub(super) fn new() -> World {
        World::with_lease(10_000)
    }

    pub(super) fn with_lease(lease_ms: u32) -> World {
        let folder = tempfile::tempdir().unwrap();
        RootKey::create(&folder.path().join("root.key")).unwrap();
        let cluster_id = ClusterId::from_random(random::bytes());
        World { folder, cluster_id, store: Arc::new(MemoryStore::new()), lease_ms, said: Arc::default() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// HSM `number` of this cluster.
    pub(super) fn setup(&self, number: u8) -> Setup {
        Setup {
            hsm: Hsm {
                id: hsm_id(number),
                ip: format!("127.0.0.{number}"),
                port: 2223,
                zone: String::from("a"),
                serial: String::new(),
            },
            cluster_id: self.cluster_id.clone(),
            mode: ClusterMode::NonFips,
            hsm_type: HsmType::Hsm2mMedium,
            lease_ms: self.lease_ms,
            password_iterations: 1,
            root_key: self.path("root.key"),
            anchor: self.path(&format!("anchor-{number}")),
            store: SqliteConfig::new(self.path("cluster.sqlite"), self.path("members")),
        }
    }

    /// Starts a member behind a door of its own.
    pub(super) fn start(&self, number: u8) -> (Arc<Cluster>, Arc<MemoryStore>) {
        let door = Arc::new(self.store.member());
        let cluster = self.start_on(number, Arc::clone(&door) as Arc<dyn Store>).unwrap();
        (cluster, door)
    }

    pub(super) fn start_on(&self, number: u8, store: Arc<dyn Store>) -> Result<Arc<Cluster>, StartError> {
        self.start_as(&self.setup(number), store, Steps::default())
    }

    pub(super) fn start_as(
        &self,
        setup: &Setup,
        store: Arc<dyn Store>,
        steps: Steps,
    ) -> Result<Arc<Cluster>, StartError> {
        Cluster::start_with(store, LeaseKind::Timed, setup, Arc::clone(&self.said) as _, Box::new(steps))
    }
}

pub(super) fn hsm_id(number: u8) -> HsmId {
    HsmId::from_random([number; 7])
}

pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::yield_now();
    }
}

pub(super) fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

pub(super) fn credential() -> Credential {
    Credential {
        id: CredentialId::from_bytes(random::bytes()),
        salt: random::bytes(),
        iterations: 1,
        hash: Secret::from(&[7; 64][..]),
    }
}

pub(super) fn request() -> Request {
    Request::new(RequestId::from_bytes(random::bytes()), random::bytes())
}

/// The words of these stories, for one member.
pub(super) trait Asks {
    fn ask(&self, actor: Actor, command: Command, made: Made) -> Result<Changed, ChangeError>;
    fn activate(&self);
    fn admin(&self) -> Actor;
    fn create_user(&self, user: &str) -> Result<Changed, ChangeError>;
    fn delete_user(&self, user: &str) -> Result<Changed, ChangeError>;
    fn has_user(&self, user: &str) -> bool;
}

pub(super) fn create(actor: Actor, user: &str) -> Change {
    let made = Made::User { id: UserId::from_bytes(random::bytes()), credential: credential() };
    let command = Command::CreateUser { name: name(user), role: Role::CryptoUser };
    Change { actor, command, made, request: request() }
}

pub(super) fn delete(actor: Actor, user: &str) -> Change {
    let command = Command::DeleteUser { name: name(user), role: Role::CryptoUser };
    Change { actor, command, made: Made::Nothing, request: request() }
}

impl Asks for Cluster {
    fn ask(&self, actor: Actor, command: Command, made: Made) -> Result<Changed, ChangeError> {
        self.change(Change { actor, command, made, request: request() }, Instant::now() + LONG)
    }

    fn activate(&self) {
        let certificate = Command::InstallCertificate {
            certificate_pem: String::from("certificate"),
            trust_anchor_pem: String::from("anchor"),
        };
        self.ask(Actor::Appliance, certificate, Made::Nothing).unwrap();
        self.ask(Actor::Anonymous, Command::Activate, Made::Password(credential())).unwrap();
    }

    fn admin(&self) -> Actor {
        // Who may not have heard of the activation asks the store, as the service does.
        let known = |state: &State| login_check(state, &name("admin"), Role::Admin, self.now_ms()).is_ok();
        if !known(&self.state()) {
            self.freshen(Instant::now() + LONG).unwrap();
        }
        let now_ms = self.now_ms();
        let check = login_check(&self.state(), &name("admin"), Role::Admin, now_ms).unwrap();
        let login: LoginActor = check.login(LoginId::from_bytes(random::bytes()), now_ms);
        Actor::Login(login)
    }

    fn create_user(&self, user: &str) -> Result<Changed, ChangeError> {
        let changed = self.change(create(self.admin(), user), Instant::now() + LONG)?;
        assert!(matches!(&changed.reply, Reply::User { user: view, .. } if view.name == name(user)));
        Ok(changed)
    }

    fn delete_user(&self, user: &str) -> Result<Changed, ChangeError> {
        self.change(delete(self.admin(), user), Instant::now() + LONG)
    }

    fn has_user(&self, user: &str) -> bool {
        self.state().user_named(&name(user)).is_some()
    }
}

/// A member whose every call to the store hangs while this lives, also when the test fails meanwhile.
pub(super) struct Paused<'a>(&'a MemoryStore);

impl<'a> Paused<'a> {
    pub(super) fn new(door: &'a MemoryStore) -> Paused<'a> {
        door.pause();
        Paused(door)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.resume();
    }
}

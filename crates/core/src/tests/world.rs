//! A cluster with one member and a clock that a story moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_types::{
    ClusterId, ClusterMode, CredentialId, Curve, HsmId, HsmType, KeyClass, KeyQuorum, KeyReference, KeyType, LoginId,
    PublicPart, RecordPath, RequestId, Revision, Role, Secret, Status, Template, UserId, UserName, WrapMechanism,
};

use crate::{
    Actor, Batch, CloneRefusal, CloneTaker, Command, Credential, Draft, Hsm, Made, MadeKey, MadePair, MadeSecret,
    PairAlgorithm, Plan, PlanError, Record, Reply, Request, SourceKey, State, Via, apply, carried, check_clone,
    login_check,
};

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const HOUR: u64 = 60 * 60 * SECOND;
pub(crate) const DAY: u64 = 24 * HOUR;

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now_ms: u64,
    pub(crate) hsm_type: HsmType,
    pub(crate) mode: ClusterMode,
    /// Over what commands come.
    pub(crate) via: Via,
    drawn: u64,
    /// What a store would hold.
    stored: BTreeMap<RecordPath, (Revision, Secret)>,
}

pub(crate) fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

pub(crate) fn hsm(number: u8) -> Hsm {
    Hsm {
        id: HsmId::from_random([number; 7]),
        ip: format!("127.0.1.{number}"),
        port: 2223,
        zone: String::from("a"),
        serial: format!("serial-{number}"),
    }
}

/// A public key that nobody ever generated, of the algorithm's shape.
pub(crate) fn public_of(algorithm: &PairAlgorithm) -> PublicPart {
    match algorithm {
        PairAlgorithm::Rsa { modulus_bits, public_exponent } => {
            let modulus = vec![0xc5; *modulus_bits as usize / 8];
            PublicPart::Rsa { modulus, public_exponent: public_exponent.clone() }
        }
        PairAlgorithm::Ec(curve) => {
            let mut point = vec![0x5a; curve.point_len()];
            point[0] = 4;
            PublicPart::Ec { curve: *curve, point }
        }
        PairAlgorithm::MlDsa(algorithm) => {
            PublicPart::MlDsa { algorithm: *algorithm, key: vec![0x5a; algorithm.public_len()] }
        }
    }
}

pub(crate) fn rsa(modulus_bits: u32) -> PairAlgorithm {
    PairAlgorithm::Rsa { modulus_bits, public_exponent: vec![1, 0, 1] }
}

/// Brings in what is wrapped under this key as one of this class and type, with this template and these defaults.
pub(crate) fn unwrap_of(
    with: KeyReference,
    (class, key_type): (KeyClass, KeyType),
    (template, defaults): (Template, Template),
) -> Command {
    Command::UnwrapKey {
        with: SourceKey::Stored(with),
        mechanism: WrapMechanism::AesZeroPad,
        wrapped_len: 40,
        class,
        key_type,
        template,
        defaults,
        share_with: Vec::new(),
        quorum: KeyQuorum::NONE,
    }
}

impl World {
    /// Nothing yet.
    pub(crate) fn empty() -> World {
        World {
            state: State::empty(),
            now_ms: 1_700_000_000_000,
            hsm_type: HsmType::Hsm2mMedium,
            mode: ClusterMode::NonFips,
            via: Via::Inside,
            drawn: 0,
            stored: BTreeMap::new(),
        }
    }

    pub(crate) fn uninitialized() -> World {
        let mut world = World::empty();
        world.create_cluster();
        world
    }

    pub(crate) fn initialized() -> World {
        let mut world = World::uninitialized();
        world.done(&Actor::Appliance, &install(), &Made::Nothing).unwrap();
        world
    }

    pub(crate) fn active() -> World {
        World::of(HsmType::Hsm2mMedium, ClusterMode::NonFips)
    }

    pub(crate) fn of(hsm_type: HsmType, mode: ClusterMode) -> World {
        let mut world = World { hsm_type, mode, ..World::empty() };
        world.create_cluster();
        world.done(&Actor::Appliance, &install(), &Made::Nothing).unwrap();
        let credential = world.credential();
        world.done(&Actor::Anonymous, &Command::Activate, &Made::Password(credential)).unwrap();
        world
    }

    fn create_cluster(&mut self) {
        let command = self.cluster_command();
        let made = self.made_cluster();
        assert_eq!(self.done(&Actor::Hsm, &command, &made), Ok(Reply::Done));
    }

    pub(crate) fn cluster_command(&self) -> Command {
        Command::CreateCluster {
            id: ClusterId::from_random([1; 7]),
            mode: self.mode,
            hsm_type: self.hsm_type,
            epoch: 1,
            lease_ms: 10_000,
            password_iterations: 1_000,
        }
    }

    pub(crate) fn made_cluster(&mut self) -> Made {
        Made::Cluster {
            sealed_tls_key: Arc::from(&[1, 2, 3][..]),
            csr_der: vec![0x30, 0],
            admin: UserId::from_bytes(self.draw()),
            appliance: UserId::from_bytes(self.draw()),
            sealed_history_key: Arc::from(&[4, 5, 6][..]),
        }
    }

    /// A cluster that begins with what this one holds, before it has its certificate.
    pub(crate) fn cloned(&self, hsm_type: HsmType) -> Result<World, CloneRefusal> {
        let id = ClusterId::from_random([2; 7]);
        let mode = self.state.cluster().unwrap().mode;
        let origin = check_clone(&self.state, (&id, mode, hsm_type))?;
        let taker = CloneTaker {
            id,
            mode,
            hsm_type,
            lease_ms: 10_000,
            password_iterations: 1_000,
            sealed_tls_key: Arc::from(&[7, 8][..]),
            csr_der: vec![0x30, 1],
            now_ms: self.now_ms,
        };
        let read = |(path, (revision, bytes)): (&RecordPath, &(Revision, Secret))| {
            Record::decode(*path, *revision, bytes.expose()).unwrap()
        };
        let records: Vec<Record> = self.stored.iter().map(read).collect();
        let kept = records.iter().filter_map(|record| carried(record, &self.state, &origin, &taker, Revision(1)));
        // Ids of its own from now on.
        let mut clone = World { hsm_type, mode, drawn: self.drawn + 1_000_000, now_ms: self.now_ms, ..World::empty() };
        clone.commit(&Batch { revision: Revision(1), time_ms: self.now_ms, puts: kept.collect(), deletes: Vec::new() });
        assert_eq!(clone.loaded(), clone.state);
        Ok(clone)
    }

    /// The same, once it has its certificate.
    pub(crate) fn clone_of(origin: &World) -> World {
        let mut clone = origin.cloned(origin.hsm_type).unwrap();
        clone.done(&Actor::Appliance, &install(), &Made::Nothing).unwrap();
        clone
    }

    /// As a cluster is that was made before there were history keys.
    pub(crate) fn forget_history_key(&mut self) {
        self.state.history_key = None;
        self.stored.remove(&RecordPath::HISTORY_KEY);
    }

    /// An id that was never drawn before.
    pub(crate) fn draw(&mut self) -> [u8; 16] {
        self.drawn += 1;
        (u128::from(self.drawn) << 64 | 0x5eed).to_be_bytes()
    }

    pub(crate) fn reference(&mut self) -> KeyReference {
        self.drawn += 1;
        KeyReference::from_u64(self.drawn).unwrap()
    }

    pub(crate) fn credential(&mut self) -> Credential {
        Credential {
            id: CredentialId::from_bytes(self.draw()),
            salt: [3; 16],
            iterations: 1_000,
            hash: Secret::from(&[4; 64][..]),
        }
    }

    pub(crate) fn request(&mut self) -> Request {
        let id = self.draw();
        Request { via: self.via, ..Request::new(RequestId::from_bytes(id), [id[15]; 32].map(|byte| byte ^ id[7])) }
    }

    pub(crate) fn made_user(&mut self) -> Made {
        Made::User { id: UserId::from_bytes(self.draw()), credential: self.credential() }
    }

    pub(crate) fn made_secret(&mut self, key_type: KeyType) -> Made {
        let reference = self.reference();
        let check_value = (key_type != KeyType::GenericSecret).then_some([7; 3]);
        Made::Secret(MadeSecret { reference, sealed: Arc::from(&[5; 40][..]), check_value })
    }

    /// An AES-256 key that came in wrapped.
    pub(crate) fn made_aes_from_outside(&mut self) -> Made {
        Made::Key(MadeKey {
            reference: self.reference(),
            sealed: Some(Arc::from(&[5; 60][..])),
            public: None,
            length_bytes: 32,
            weak: false,
            check_value: Some([7; 3]),
        })
    }

    pub(crate) fn made_pair(&mut self, algorithm: &PairAlgorithm) -> Made {
        Made::Pair(MadePair {
            public_reference: self.reference(),
            private_reference: self.reference(),
            public: public_of(algorithm),
            sealed: Arc::from(&[6; 140][..]),
            private_length_bytes: 138,
            check_value: [8; 3],
        })
    }

    /// Plans alone, commits, applies; every batch goes through the bytes of a store, and the state that a member
    /// loads is the one that a member applied.
    pub(crate) fn again(
        &mut self,
        actor: &Actor,
        command: &Command,
        made: &Made,
        request: &Request,
    ) -> Result<Reply, Status> {
        let mut draft = Draft::new(self.state.clone());
        let plan = draft.plan(actor, command, made, request, self.now_ms).map_err(|error| match error {
            PlanError::Refused(refusal) => refusal.status,
            other => panic!("{other}"),
        })?;
        match plan {
            Plan::Change(planned) => {
                self.commit(&draft.finish());
                Ok(planned.reply)
            }
            Plan::Replayed(replayed) => Ok(replayed.reply),
            Plan::Nothing(reply) => Ok(reply),
        }
    }

    pub(crate) fn commit(&mut self, batch: &Batch) {
        for record in &batch.puts {
            let (path, bytes) = (record.path(), record.encode());
            assert_eq!(Record::decode(path, batch.revision, bytes.expose()).as_ref(), Ok(record));
            self.stored.insert(path, (batch.revision, bytes));
        }
        for path in &batch.deletes {
            assert!(self.stored.remove(path).is_some(), "{path} was not there");
        }
        apply(&mut self.state, batch).unwrap();
    }

    /// The state that a member has that starts now.
    pub(crate) fn loaded(&self) -> State {
        let read = |(path, (revision, bytes)): (&RecordPath, &(Revision, Secret))| {
            Record::decode(*path, *revision, bytes.expose()).unwrap()
        };
        let puts = self.stored.iter().map(read).collect();
        let (revision, time_ms) = (self.state.revision(), self.state.time_ms());
        let mut state = State::empty();
        apply(&mut state, &Batch { revision, time_ms, puts, deletes: Vec::new() }).unwrap();
        state
    }

    /// One change under a request id of its own.
    pub(crate) fn done(&mut self, actor: &Actor, command: &Command, made: &Made) -> Result<Reply, Status> {
        let request = self.request();
        let outcome = self.again(actor, command, made, &request);
        assert_eq!(self.loaded(), self.state);
        outcome
    }

    /// A login of a user, whatever the password.
    pub(crate) fn login(&mut self, user: &str, role: Role) -> Actor {
        let check = login_check(&self.state, &name(user), role, self.now_ms).unwrap();
        Actor::Login(check.login(LoginId::from_bytes(self.draw()), self.now_ms))
    }

    pub(crate) fn admin(&mut self) -> Actor {
        self.login("admin", Role::Admin)
    }

    pub(crate) fn create(&mut self, user: &str, role: Role) -> Result<Reply, Status> {
        let (admin, made) = (self.admin(), self.made_user());
        self.done(&admin, &Command::CreateUser { name: name(user), role }, &made)
    }

    /// A crypto user, made and logged in.
    pub(crate) fn crypto_user(&mut self, user: &str) -> Actor {
        self.create(user, Role::CryptoUser).unwrap();
        self.login(user, Role::CryptoUser)
    }

    pub(crate) fn aes(&mut self, actor: &Actor, template: Template, share_with: &[&str]) -> Result<Reply, Status> {
        let share_with = share_with.iter().map(|user| name(user)).collect();
        let command = Command::GenerateSecret {
            key_type: KeyType::Aes,
            length_bytes: 32,
            template,
            share_with,
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        let made = self.made_secret(KeyType::Aes);
        self.done(actor, &command, &made)
    }

    pub(crate) fn aes_reference(&mut self, actor: &Actor, share_with: &[&str]) -> KeyReference {
        match self.aes(actor, Template::new(), share_with).unwrap() {
            Reply::Key(view) => view.reference,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a key without comparing what a member would load, which takes its time where there is much.
    pub(crate) fn aes_reference_unchecked(&mut self, actor: &Actor) {
        let (key_type, length_bytes) = (KeyType::Aes, 32);
        let command = Command::GenerateSecret {
            key_type,
            length_bytes,
            template: Template::new(),
            share_with: Vec::new(),
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        let (made, request) = (self.made_secret(key_type), self.request());
        self.again(actor, &command, &made, &request).unwrap();
    }

    /// Public and private reference of a pair with all usage flags.
    pub(crate) fn pair(&mut self, actor: &Actor, algorithm: &PairAlgorithm) -> (KeyReference, KeyReference) {
        use strongroom_types::{AttributeName, AttributeValue, Flag};
        let flags = |flags: &[Flag]| {
            flags.iter().map(|flag| (AttributeName::Flag(*flag), AttributeValue::Bool(true))).collect::<Template>()
        };
        let command = Command::GeneratePair {
            algorithm: algorithm.clone(),
            public_template: flags(&[Flag::Verify]),
            private_template: match algorithm {
                PairAlgorithm::MlDsa(_) => flags(&[Flag::Sign]),
                _ => flags(&[Flag::Sign, Flag::Decrypt]),
            },
            share_with: Vec::new(),
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        let made = self.made_pair(algorithm);
        match self.done(actor, &command, &made).unwrap() {
            Reply::Pair { public, private } => (public.reference, private.reference),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn install() -> Command {
    Command::InstallCertificate {
        certificate_pem: String::from("certificate"),
        trust_anchor_pem: String::from("trust anchor"),
    }
}

pub(crate) const P256: PairAlgorithm = PairAlgorithm::Ec(Curve::P256);

//! The beginning of a world and its end: what must hold once faults are over.

use std::sync::Arc;

use strongroom_core::member::Ledger;
use strongroom_core::{Actor, Command, Draft, Hsm as HsmRecord, Made, Plan, Reply, Request, State};
use strongroom_hsm::cluster::sealing::{Sealed, seal};
use strongroom_hsm::cluster::view::View;
use strongroom_types::{ClusterMode, HsmType, RecordPath, RequestId, Revision, Role, UserId};

use super::client::{CallEnd, Client, PATIENCE};
use super::operations::{Answer, Ask, PasswordNumber, hash_of, user_name};
use super::process::ProcessId;
use super::recorder::{ADMIN, Asked, KnownUser};
use super::sealing::EPOCH;
use super::{At, MS, Owner, SECOND, World};
use crate::history::{Fact, Register, Write};

impl World {
    /// A cluster that is active, with its users; nobody runs yet.
    pub(crate) fn found(&mut self) {
        let lease_ms = u32::try_from(self.shape.lease_ms).expect("a short lease");
        let create = Command::CreateCluster {
            id: self.sealing.cluster.clone(),
            mode: ClusterMode::NonFips,
            hsm_type: HsmType::Hsm2mMedium,
            epoch: EPOCH,
            lease_ms,
            password_iterations: 1,
        };
        let made = Made::Cluster {
            sealed_tls_key: Arc::from(&[1, 2, 3][..]),
            csr_der: vec![0x30, 0],
            admin: UserId::from_bytes(self.draw()),
            appliance: UserId::from_bytes(self.draw()),
            sealed_history_key: Arc::from(&[4, 5, 6][..]),
        };
        let cluster_key = (RecordPath::CLUSTER_KEY, vec![0xc1; 60]);
        self.found_with(&Actor::Hsm, &create, &made, vec![cluster_key]);
        let install =
            Command::InstallCertificate { certificate_pem: String::from("c"), trust_anchor_pem: String::from("a") };
        self.found_with(&Actor::Appliance, &install, &Made::Nothing, Vec::new());
        let admin = self.credential(PasswordNumber { user: ADMIN, number: 0 });
        self.found_with(&Actor::Anonymous, &Command::Activate, &Made::Password(admin), Vec::new());
        let mut writes = vec![Write { register: Register::User(ADMIN), value: 1 }];
        self.recorder.users.push(KnownUser { password: 0, passwords: 0, is_doomed: false });
        for user in 1..=self.shape.users {
            let admin = self.founding_admin();
            let made = Made::User {
                id: UserId::from_bytes(self.draw()),
                credential: self.credential(PasswordNumber { user, number: 0 }),
            };
            let create = Command::CreateUser { name: user_name(user), role: Role::CryptoUser };
            self.found_with(&admin, &create, &made, Vec::new());
            self.recorder.users.push(KnownUser { password: 0, passwords: 0, is_doomed: false });
            writes.push(Write { register: Register::User(user), value: 1 });
        }
        let records: Vec<HsmRecord> = self.hsms.iter().map(|hsm| hsm.record.clone()).collect();
        for record in records {
            self.found_with(&Actor::Hsm, &Command::RegisterHsm(record), &Made::Nothing, Vec::new());
        }
        self.recorder.begin(writes);
    }

    fn founding_admin(&mut self) -> Actor {
        let name = "admin".parse().expect("a name");
        let now_ms = self.wall_ms(0);
        let check = strongroom_core::login_check(self.truth.newest(), &name, Role::Admin, now_ms);
        Actor::Login(check.expect("the first admin").login(self.login_id(), now_ms))
    }

    fn found_with(&mut self, actor: &Actor, command: &Command, made: &Made, extra: Vec<(RecordPath, Vec<u8>)>) {
        let request = Request::new(RequestId::from_bytes(self.draw()), [0; 32]);
        let now_ms = self.wall_ms(0);
        let mut draft = Draft::new(self.truth.newest().clone());
        let plan = draft.plan(actor, command, made, &request, now_ms).expect("allowed");
        assert!(matches!(plan, Plan::Change(_)), "the founding changes something");
        let batch = draft.finish();
        let sealed: Sealed = match batch.revision {
            Revision(1) => seal(&self.sealing, &Ledger::empty(EPOCH), &batch, extra).expect("sealed"),
            _ => {
                let view = View::load(&self.sealing, EPOCH, &self.store.load()).expect("just written");
                view.seal(&self.sealing, &batch).expect("the next").expect("sealed")
            }
        };
        let base = Revision(batch.revision.0 - 1);
        self.store.commit(base, &sealed.puts, &sealed.deletes).expect("nobody else");
        self.is_true_now(&batch, &sealed);
    }

    /// HSMs start, clients begin, faults are on their way.
    pub(crate) fn begin(&mut self) {
        for hsm in 0..self.hsms.len() {
            // With the anchor that an HSM has that took part in the founding.
            self.hsms[hsm].anchor = None;
            self.start_founder(hsm);
        }
        for client in 0..self.shape.clients {
            let all = 0..self.hsms.len();
            let one = self.rng.usize(all.clone());
            // Some ask one HSM alone, and go on asking when it is stopped: they are the first to see what it says then.
            let known = if client % 3 == 2 { one..one + 1 } else { all };
            self.clients.push(Client::new(known));
            let pause = self.rng.u64(1..200) * MS;
            self.after(pause, Owner::World, "client begins", move |w| w.next_operation(client));
        }
        self.next_fault();
        self.next_snapshot();
        if self.shape.is_tampered {
            let at = self.rng.u64(self.shape.faults_until / 4..self.shape.faults_until * 3 / 4);
            self.after(at, Owner::World, "tampering", World::tamper);
        }
    }

    fn start_founder(&mut self, hsm: usize) {
        let view = View::load(&self.sealing, EPOCH, &self.store.load()).expect("just written");
        self.hsms[hsm].anchor = Some(strongroom_hsm::cluster::sealing::anchor_of(view.head()));
        self.start(hsm);
    }

    fn next_snapshot(&mut self) {
        if !self.shape.is_tampered {
            return;
        }
        self.after(500 * MS, Owner::World, "somebody copies the disk", |w| {
            if w.store.hands.is_none() {
                w.recorder.snapshots.push(w.store.records.clone());
            }
            w.next_snapshot();
        });
    }

    /// How long after faults have ended everybody is served again.
    fn recovery(&self) -> At {
        // A supervisor starts HSMs within 2 s; a lease and a tenth pass until an entry is removed, and as long again until
        // the HSM joins; clients leave a silent member alone for up to 5 s.
        (self.shape.lease_ms * MS) * 4 + 8 * SECOND
    }

    /// Whether what the client was told can be, as far as the end of the run and the store say at once.
    pub(crate) fn check_answered(
        &mut self,
        asked: &Asked,
        ask: &Ask,
        (invoked, patience): (At, At),
        outcome: &CallEnd,
    ) {
        if let (CallEnd::Answered(Answer::Changed(reply, _)), Ask::Change { request, .. }) = (outcome, ask) {
            // To share what is shared already writes nothing.
            let may_be_nothing = matches!(asked, Asked::Share { on: true, .. }) && *reply == Reply::Done;
            if !may_be_nothing && !self.truth.has_acted(request.id) {
                self.broken(format!("{asked:?} was acknowledged and is not committed"));
            }
        }
        let is_late = self.is_quiet && patience == PATIENCE && invoked > self.shape.faults_until + self.recovery();
        if let (true, CallEnd::GivenUp) = (is_late, outcome) {
            self.broken(format!("{asked:?}: nobody answers, long after faults have ended"));
        }
    }

    /// Clients go on until everything must be well again; then all is compared.
    pub(crate) fn finish(&mut self) {
        let recovered = self.now + self.recovery();
        self.run_until(recovered + SECOND);
        self.is_over = true;
        self.run_until(recovered + 40 * SECOND);
        for client in 0..self.clients.len() {
            if let Some(ask) = self.clients[client].asks() {
                let text = format!("client {client} still waits: {ask:?}");
                self.broken(text);
            }
        }
        self.compare_members();
        let history = self.recorder.history();
        let violations = history.check();
        self.broken_history(violations);
        if let Some(bytes) = self.recorder.leaked() {
            self.broken(format!("a secret can be seen: {bytes:02x?}"));
        }
    }

    fn compare_members(&mut self) {
        let view = View::load(&self.sealing, EPOCH, &self.store.load());
        match view {
            Ok(view) if view.state() == self.truth.newest() => {}
            Ok(_) => self.broken(String::from("the store holds another state than its commits give")),
            Err(error) => self.broken(format!("the store cannot be loaded: {error}")),
        }
        let mut serving = 0;
        for hsm in 0..self.hsms.len() {
            let of = &self.hsms[hsm];
            let (Some(number), false) = (of.number_of_process(), of.is_stopped) else { continue };
            let id = ProcessId { hsm, number };
            if of.process.is_none() || self.serving(id).is_err() {
                self.broken(format!("HSM {hsm} does not serve, long after faults have ended"));
                continue;
            }
            serving += 1;
            let state = self.process(id).view.state().clone();
            if state != *self.truth.newest() {
                self.broken(format!("HSM {hsm} is not like the others when all is quiet"));
            }
            let facts = self.facts_of(&state);
            self.recorder.found(hsm, self.now, facts);
        }
        if serving == 0 && !(self.shape.has_frozen && self.hsms.len() == 1) {
            self.broken(String::from("nobody serves"));
        }
    }

    /// Everything that a state says about what the history knows.
    fn facts_of(&self, state: &State) -> Vec<Fact> {
        let fact = |register, value| Fact { register, value, holds: true };
        let mut facts = Vec::new();
        let mut ids = Vec::new();
        for (number, known) in (0_u32..).zip(&self.recorder.users) {
            let name = if number == ADMIN { "admin".parse().expect("a name") } else { user_name(number) };
            let user = state.user_named(&name);
            ids.push(user.map(|user| user.id));
            facts.push(fact(Register::User(number), u64::from(user.is_some())));
            let Some(credential) = user.and_then(|user| user.credential.as_ref()) else { continue };
            let is_it = |password: &u64| {
                hash_of(PasswordNumber { user: number, number: *password }) == credential.hash.expose()
            };
            if let Some(password) = (0..=known.passwords).find(is_it) {
                facts.push(fact(Register::Password(number), password));
            }
        }
        for (number, known) in (0_u32..).zip(&self.recorder.keys) {
            let key = state.key(known.reference);
            facts.push(fact(Register::Key(number), u64::from(key.is_some())));
            let Some(key) = key else { continue };
            for (user, id) in (0_u32..).zip(&ids) {
                let Some(id) = id.filter(|_| user != ADMIN) else { continue };
                let may_use = key.owner == id || key.shared.contains(&id);
                facts.push(fact(Register::MayUse { key: number, user }, u64::from(may_use)));
            }
            let label = key.attributes.label.strip_prefix("label ").and_then(|label| label.parse().ok());
            facts.extend(label.map(|label| fact(Register::Label(number), label)));
        }
        facts
    }
}

//! The engine of a client: a call's way from an operation to its answer.
//!
//! * After a fork the child takes no lock that the parent may have held: it looks at the mark, closes its copies of the
//!   parent's connections by number, leaks what it inherited and begins a fresh [`Generation`]. AWS-LC notices the fork
//!   itself and reseeds its generator.
//! * What every process shares, the configuration and the stored credentials, is read without a lock.

mod logins;
mod tries;

use std::cell::Cell;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use strongroom_crypto::certificates::Anchors;
use strongroom_crypto::tls::{ClientIdentity, client_config};
use strongroom_types::{ClusterId, HsmId, KeyReference, Role, Status, UserName};
use strongroom_wire::secrets::wipe_request;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{ApprovalInfo, v1};

use crate::answers::Hello;
use crate::client::{ClientName, request_id};
use crate::config::{ClientCertificate, ClusterConfig, RetryMode, Setting};
use crate::connection::Trust;
use crate::error::{Attempt, Cause, ClientError, ConfigError};
use crate::generation::{Credentials, Generation, Login};
use crate::logging::{Level, Log};
use crate::manner::{self, Manner};
use crate::pool::Taken;
use crate::routing::{Address, Call, Outcome};
use tries::{Errand, JUDGED_MIN, Tried};

/// A successful answer.
pub(crate) struct Answered {
    /// Who gave it.
    pub(crate) address: Arc<Address>,
    /// What it says.
    pub(crate) result: Option<Answer>,
    /// For which login, when the operation needs one.
    pub(crate) login: Option<Arc<Login>>,
}

/// See the module.
pub(crate) struct Engine {
    cluster: ClusterConfig,
    name: ClientName,
    log: Log,
    trust: Trust,
    credentials: ArcSwapOption<Credentials>,
    credentials_given: AtomicU64,
    generation: ArcSwap<Generation>,
}

/// A request whose secrets are wiped when it is done.
struct Wiped(v1::Request);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe_request(&mut self.0);
    }
}

impl Engine {
    pub(crate) fn new(mut cluster: ClusterConfig, name: ClientName, log: Log) -> Result<Engine, ConfigError> {
        if cluster.servers.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        if let Some(bad) = cluster.servers.iter().find(|server| !server.is_valid()) {
            return Err(ConfigError::Hostname { value: bad.address.clone(), tool: "configure-cli".into() });
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let anchors = Anchors::from_pem(&cluster.ca_pem, now_s)
            .map_err(|source| ConfigError::Ca { path: cluster.ca_path.clone(), source })?;
        let ca = cluster.ca_path.as_ref().map_or("the configuration".into(), |path| path.display().to_string());
        // The key is TLS' from here on.
        let certificate = cluster.certificate.take();
        let identity = certificate.as_ref().map(identity_of).transpose()?;
        if let Some(exposed) = certificate.as_ref().filter(|certificate| certificate.is_key_exposed) {
            let key = exposed.key_path.display();
            log.write(Level::Warn, &format!("others may read the client's private key {key}; chmod it to 0600"));
        }
        let certificate = certificate.map(|certificate| certificate.chain_path.display().to_string().into());
        let trust = Trust { tls: client_config(&anchors, identity.as_ref()), ca, certificate };
        let generation = ArcSwap::from_pointee(Generation::new(&cluster.servers));
        let (credentials, credentials_given) = (ArcSwapOption::empty(), AtomicU64::new(0));
        Ok(Engine { cluster, name, log, trust, credentials, credentials_given, generation })
    }

    /// The state of this process, fresh in a forked child.
    fn generation(&self) -> Guard<Arc<Generation>> {
        let current = self.generation.load();
        if current.mark.is_forked_child() { self.begin_anew(current) } else { current }
    }

    /// In a forked child: leaves what the parent had, without waiting for the first call.
    pub(crate) fn begin_in_child(&self) {
        drop(self.generation());
    }

    #[cold]
    fn begin_anew(&self, inherited: Guard<Arc<Generation>>) -> Guard<Arc<Generation>> {
        let fresh = Arc::new(Generation::new(&self.cluster.servers));
        let previous = self.generation.compare_and_swap(&*inherited, fresh);
        // Whichever thread of the child comes first: every inherited number is closed once, and stays taken until then.
        inherited.descriptors.close_all();
        if Arc::ptr_eq(&previous, &inherited) {
            // Never dropped: another thread of the parent may have been about to change it.
            mem::forget(Guard::into_inner(previous));
        }
        drop(inherited);
        self.generation.load()
    }

    /// Carries out an operation that needs neither keys nor approvals, wherever it can be.
    pub(crate) fn call(&self, manner: &Manner, operation: Operation) -> Result<Answered, ClientError> {
        self.call_with(manner, &[], &[], operation)
    }

    /// The same for an operation that uses these keys, which may be session keys, and that others have approved.
    pub(crate) fn call_with(
        &self,
        manner: &Manner,
        keys: &[KeyReference],
        approvals: &[ApprovalInfo],
        operation: Operation,
    ) -> Result<Answered, ClientError> {
        let generation = self.generation();
        let mut request = Wiped(v1::Request {
            request_id: if manner.changes { request_id() } else { Vec::new() },
            approvals: approvals.iter().cloned().map(v1::Approval::from).collect(),
            operation: Some(operation),
            ..v1::Request::default()
        });
        let deadline = Instant::now() + manner.patience;
        let (mut again, mut unanswered) = (false, false);
        let refused = |refusal, unanswered| match unanswered {
            true => ClientError::Unsettled(refusal),
            false => ClientError::Refused(refusal),
        };
        loop {
            let login = match manner.needs_login.then(|| self.current_login(&generation, deadline)) {
                Some(Err(ClientError::Refused(refusal))) => return Err(refused(refusal, unanswered)),
                login => login.transpose()?,
            };
            let errand = Errand { login, keys, unanswered: Cell::new(unanswered), ..Errand::new(manner, deadline) };
            let delivered = self.deliver(&generation, &errand, &mut request.0);
            unanswered = errand.unanswered.get();
            match (delivered, &errand.login) {
                (Err(ClientError::Refused(refusal)), Some(login))
                    if matches!(refusal.status, Status::LoginEnded | Status::NotLoggedIn) =>
                {
                    if generation.was_renewed(login) {
                        continue;
                    }
                    generation.forget_login(login.number);
                    if again || !login.from_credentials {
                        return Err(refused(refusal, unanswered));
                    }
                    again = true;
                    self.log.write(Level::Info, "the login has ended; logging in again");
                }
                (other, _) => return other.map(|answered| Answered { login: errand.login, ..answered }),
            }
        }
    }

    /// Tells an HSM of session keys of this login that the client knows no more. Nothing comes of what it answers.
    pub(crate) fn tell_of_ended_keys(&self, login: &Arc<Login>, ended: Vec<v1::SessionKey>) {
        let manner = &manner::SESSION_KEYS_ENDED;
        let (generation, deadline) = (self.generation(), Instant::now() + manner.patience);
        for named in ended {
            if deadline.saturating_duration_since(Instant::now()) < JUDGED_MIN {
                break;
            }
            let operation = Operation::KeyDelete(v1::KeyDelete { reference: named.reference });
            let mut request =
                v1::Request { session_keys: vec![named], operation: Some(operation), ..v1::Request::default() };
            let errand = Errand { login: Some(Arc::clone(login)), ..Errand::new(manner, deadline) };
            let told = self.deliver(&generation, &errand, &mut request);
            // Refusals are about one key; the others would wait as this one did, or are of a login that has ended.
            match told {
                Ok(_) => {}
                Err(ClientError::Refused(refusal))
                    if !matches!(refusal.status, Status::LoginEnded | Status::NotLoggedIn) => {}
                Err(_) => break,
            }
        }
    }

    /// Tries members until one gives an answer that counts.
    fn deliver(
        &self,
        generation: &Generation,
        errand: &Errand<'_>,
        request: &mut v1::Request,
    ) -> Result<Answered, ClientError> {
        let mut call = Call::new(errand.deadline, self.cluster.retry == RetryMode::Standard);
        errand.name_session_keys(request);
        loop {
            let (seat, connection) = match generation.pool.take(&mut call) {
                Taken::Seat(seat, connection) => (seat, connection),
                Taken::GiveUp => return Err(self.given_up(generation, call)),
            };
            let member = seat.member;
            match self.attempt(generation, seat, connection, errand, request) {
                Tried::Done(Ok(answered)) => return Ok(answered),
                Tried::Done(Err(refusal)) => return Err(ClientError::Refused(refusal)),
                Tried::Failed { cause, outcome, asked } => {
                    // Another member may never have heard of them.
                    errand.seal_session_keys(request);
                    call.failed(member, cause, matches!(outcome, Outcome::Busy(_)), asked);
                }
                Tried::Stale => {}
                Tried::Unsendable(error) => return Err(error),
            }
        }
    }

    /// What a call reports that no member answered.
    fn given_up(&self, generation: &Generation, call: Call) -> ClientError {
        let causes = call.into_causes();
        // An HSM that met a bug of its own says so best itself.
        if let [(_, Cause::Status(refusal)), ..] = causes.as_slice()
            && refusal.status == Status::Internal
        {
            return ClientError::Refused(refusal.clone());
        }
        let text =
            |member| generation.pool.address(member).map_or_else(String::new, |address| address.text.to_string());
        let tried = causes.into_iter().map(|(member, cause)| Attempt { address: text(member), cause }).collect();
        let error = ClientError::Unavailable { tried };
        self.log.write(Level::Error, &error.to_string());
        error
    }

    pub(crate) fn hello(&self) -> Result<Hello, ClientError> {
        let operation = Operation::Hello(v1::Hello { client: self.name.as_str().to_owned() });
        let hello = self.call(&manner::PUBLIC_QUERY, operation)?.read(|answer| match answer {
            Answer::Hello(hello) => Some(Hello::try_from(hello)),
            _ => None,
        })?;
        self.generation().greeted(&hello);
        Ok(hello)
    }

    /// Whether the cluster has the two HSMs that keys should be on. Counts every HSM it has, alive or not.
    pub(crate) fn check_availability(&self) -> Result<(), ClientError> {
        if !self.cluster.settings.is_on(Setting::KeyAvailabilityCheck)
            || self.generation().hsms.load(Ordering::Relaxed) >= 2
        {
            return Ok(());
        }
        // Unknown, or as it was a while ago.
        if self.hello()?.members.len() >= 2 {
            return Ok(());
        }
        let error = ClientError::KeyAvailability;
        self.log.write(Level::Error, &error.to_string());
        Err(error)
    }

    /// The login in use, if there is one already.
    pub(crate) fn present_login(&self) -> Option<Arc<Login>> {
        self.generation().login.load_full()
    }

    /// Whether there is a login.
    pub(crate) fn is_logged_in(&self) -> bool {
        self.generation().login.load().is_some()
    }

    /// The number of the login in use; zero when there is none.
    pub(crate) fn login_number(&self) -> u64 {
        self.generation().login.load().as_ref().map_or(0, |login| login.number)
    }

    /// Whether who calls does so as a user: there is a login or credentials to make one with, or there was a login until an
    /// HSM said that it has ended. What such a caller asks is not to be carried out as nobody's.
    pub(crate) fn calls_as_user(&self) -> bool {
        // A login that ends in between is seen by the second look.
        self.credentials.load().is_some() || self.is_logged_in() || self.generation().login_has_ended()
    }

    /// A user has a new password. The login goes on with it if it is that user's; its session keys do not.
    pub(crate) fn password_changed(&self, name: &UserName, role: Role) {
        if let Some(login) = self.present_login()
            && (&login.who.user_name, login.who.role) == (name, role)
        {
            login.session_keys.clear();
        }
    }

    pub(crate) fn last_member(&self) -> Option<HsmId> {
        self.generation().pool.last()
    }

    /// The cluster, when the configuration or a certificate has named it.
    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster.cluster_id.clone().or_else(|| self.generation().cluster().cloned())
    }
}

fn identity_of(certificate: &ClientCertificate) -> Result<ClientIdentity, ConfigError> {
    let read = ClientIdentity::from_pem(&certificate.chain_pem, &certificate.key_pem);
    read.map_err(|source| ConfigError::ClientIdentity {
        chain_path: certificate.chain_path.clone(),
        key_path: certificate.key_path.clone(),
        source,
    })
}

impl Drop for Engine {
    fn drop(&mut self) {
        let generation = self.generation.load_full();
        if generation.mark.is_forked_child() {
            // A child that never used the client: see `begin_anew`.
            mem::forget(generation);
        }
    }
}

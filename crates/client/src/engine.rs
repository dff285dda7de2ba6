//! The engine of a client: a call's way from an operation to its answer.
//!
//! * After a fork the child takes no lock that the parent may have held: it looks at the mark, closes its copies of the
//!   parent's connections by number, leaks what it inherited and begins a fresh [`Generation`]. AWS-LC notices the fork
//!   itself and reseeds its generator.
//! * What every process shares, the configuration and the stored credentials, is read without a lock.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use strongroom_crypto::certificates::Anchors;
use strongroom_crypto::tls::client_config;
use strongroom_types::{ClusterId, HsmId, Password, Refusal, Role, Secret, Status, UserName};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{Malformed, convert};
use zeroize::Zeroize;

use crate::answers::{Hello, LoggedIn};
use crate::client::{ClientName, request_id};
use crate::config::{ClusterConfig, RetryMode};
use crate::connection::{AskError, Connection, Trust};
use crate::error::{Attempt, Cause, ClientError, ConfigError};
use crate::generation::{Credentials, Generation, Login};
use crate::logging::{Level, Log};
use crate::manner::{self, CONNECT_MAX, Manner};
use crate::pool::{Seat, Taken};
use crate::routing::{Call, Outcome, Turn};

/// A successful answer.
pub(crate) struct Answered {
    /// Who gave it.
    pub(crate) address: Arc<str>,
    /// What it says.
    pub(crate) result: Option<Answer>,
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
        match &mut self.0.operation {
            Some(Operation::Login(v1::Login { password, .. })) => password.zeroize(),
            Some(Operation::Activate(v1::Activate { password })) => password.zeroize(),
            Some(Operation::UserCreate(v1::UserCreate { password, .. })) => password.zeroize(),
            Some(Operation::UserChangePassword(v1::UserChangePassword { password, .. })) => password.zeroize(),
            Some(Operation::Attach(v1::Attach { ticket })) => ticket.zeroize(),
            _ => {}
        }
    }
}

/// How a try ended.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and lives on the stack")]
enum Tried {
    /// An answer that counts everywhere: a result, or a refusal.
    Done(Result<Answered, Refusal>),
    /// Another member may do better.
    Failed { cause: Cause, outcome: Outcome, asked: Duration },
    /// A connection that had been idle was closed meanwhile: says nothing of the member.
    Stale,
    /// The request can't be sent at all.
    Unsendable(ClientError),
}

/// What a call carries through its tries.
struct Errand<'a> {
    manner: &'a Manner,
    login: Option<Arc<Login>>,
    /// The number of the login that the operation itself makes.
    makes_login: Option<u64>,
    deadline: Instant,
}

impl Engine {
    pub(crate) fn new(cluster: ClusterConfig, name: ClientName, log: Log) -> Result<Engine, ConfigError> {
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
        let trust = Trust { tls: client_config(&anchors), ca };
        let generation = ArcSwap::from_pointee(Generation::new(&cluster.servers));
        let (credentials, credentials_given) = (ArcSwapOption::empty(), AtomicU64::new(0));
        Ok(Engine { cluster, name, log, trust, credentials, credentials_given, generation })
    }

    /// The state of this process, fresh in a forked child.
    fn generation(&self) -> Guard<Arc<Generation>> {
        let current = self.generation.load();
        if current.mark.is_forked_child() { self.begin_anew(current) } else { current }
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

    /// Carries out an operation, wherever it can be.
    pub(crate) fn call(&self, manner: &Manner, operation: Operation) -> Result<Answered, ClientError> {
        let generation = self.generation();
        let mut request = Wiped(v1::Request {
            request_id: if manner.changes { request_id() } else { Vec::new() },
            operation: Some(operation),
            ..v1::Request::default()
        });
        let deadline = Instant::now() + manner.patience;
        let mut again = false;
        loop {
            let login = if manner.needs_login { Some(self.current_login(&generation, deadline)?) } else { None };
            let errand = Errand { manner, login, makes_login: None, deadline };
            match (self.deliver(&generation, &errand, &mut request.0), &errand.login) {
                (Err(ClientError::Refused(refusal)), Some(login))
                    if matches!(refusal.status, Status::LoginEnded | Status::NotLoggedIn) =>
                {
                    generation.forget_login(login.number);
                    if again || !login.from_credentials {
                        return Err(ClientError::Refused(refusal));
                    }
                    again = true;
                    self.log.write(Level::Info, "the login has ended; logging in again");
                }
                (other, _) => return other,
            }
        }
    }

    /// The login in use, or one made now with the stored credentials.
    fn current_login(&self, generation: &Generation, deadline: Instant) -> Result<Arc<Login>, ClientError> {
        if let Some(login) = generation.login.load_full() {
            return Ok(login);
        }
        let credentials = self.credentials.load_full().ok_or(ClientError::NoCredentials)?;
        let Some(_turn) = generation.login_turn(deadline) else {
            return Err(ClientError::Unavailable { tried: Vec::new() });
        };
        if let Some(login) = generation.login.load_full() {
            return Ok(login);
        }
        if let Some(refusal) = generation.recent_refusal(credentials.number) {
            return Err(ClientError::Refused(refusal));
        }
        let made = self.log_in(generation, &credentials, deadline, true);
        if let Err(ClientError::Refused(refusal)) = &made
            && refusal.status == Status::LoginFailed
        {
            generation.remember_refusal(credentials.number, refusal);
            let user = &credentials.user;
            self.log.write(Level::Error, &format!("the login of {user} ({}) failed: {refusal}", credentials.role));
        }
        made
    }

    fn log_in(
        &self,
        generation: &Generation,
        credentials: &Credentials,
        deadline: Instant,
        from_credentials: bool,
    ) -> Result<Arc<Login>, ClientError> {
        let mut request = Wiped(v1::Request {
            operation: Some(Operation::Login(v1::Login {
                user_name: credentials.user.as_str().to_owned(),
                role: v1::Role::from(credentials.role).into(),
                password: credentials.password.expose().to_vec(),
            })),
            ..v1::Request::default()
        });
        let number = generation.next_login_number();
        let errand = Errand { manner: &manner::LOGIN, login: None, makes_login: Some(number), deadline };
        let answered = self.deliver(generation, &errand, &mut request.0)?;
        let login = answered.read(|answer| match answer {
            Answer::Login(result) => Some(login_of(result, number, from_credentials)),
            _ => None,
        })?;
        let login = Arc::new(login);
        generation.login.store(Some(Arc::clone(&login)));
        Ok(login)
    }

    /// Tries members until one gives an answer that counts.
    fn deliver(
        &self,
        generation: &Generation,
        errand: &Errand<'_>,
        request: &mut v1::Request,
    ) -> Result<Answered, ClientError> {
        let mut call = Call::new(errand.deadline, self.cluster.retry == RetryMode::Standard);
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
                    call.failed(member, cause, matches!(outcome, Outcome::Busy(_)), asked);
                }
                Tried::Stale => {}
                Tried::Unsendable(error) => return Err(error),
            }
        }
    }

    /// One try on one member.
    fn attempt(
        &self,
        generation: &Generation,
        seat: Seat<'_>,
        idle: Option<Box<Connection>>,
        errand: &Errand<'_>,
        request: &mut v1::Request,
    ) -> Tried {
        let fresh = idle.is_none();
        let Some(address) = seat.address() else { return Tried::Stale };
        let opened = match idle {
            Some(connection) => Ok(connection),
            None => self.open(generation, &address.server, errand),
        };
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(cause) => return self.failed(seat, &address.text, cause),
        };
        let limit = match fresh {
            true => errand.manner.try_max.min(errand.deadline.saturating_duration_since(Instant::now())),
            false => errand.manner.try_max.min(errand.deadline.saturating_duration_since(seat.began)),
        };
        if limit.is_zero() {
            // No time is left to ask, and the caller finds that out.
            seat.end(Outcome::Unknown, Some(connection));
            return Tried::Stale;
        }
        match self.ask(generation, &mut connection, errand, request, limit) {
            Ok(response) => self.judge(generation, seat, connection, &address.text, errand, response),
            Err(AskError::Failed(Cause::Lost(_))) if !fresh => {
                seat.end(Outcome::Unknown, None);
                Tried::Stale
            }
            Err(AskError::Failed(cause)) => self.failed(seat, &address.text, cause),
            Err(AskError::TooLong(error)) => {
                seat.end(Outcome::Unknown, Some(connection));
                Tried::Unsendable(error.into())
            }
        }
    }

    /// A new connection; the first of all asks for the cluster's members.
    fn open(
        &self,
        generation: &Generation,
        server: &crate::config::Server,
        errand: &Errand<'_>,
    ) -> Result<Box<Connection>, Cause> {
        let limit = CONNECT_MAX.min(errand.deadline.saturating_duration_since(Instant::now()));
        if limit.is_zero() {
            return Err(Cause::Silent(0));
        }
        let wanted = self.cluster.cluster_id.as_ref().or(generation.cluster());
        let (connection, cluster) = Connection::open(server, &self.trust, wanted, &generation.descriptors, limit)?;
        generation.met_cluster(cluster);
        let mut connection = Box::new(connection);
        if generation.greeting_is_due() {
            let greeted = self.greet(generation, &mut connection, limit);
            greeted.inspect_err(|_| generation.greeting_failed())?;
        }
        Ok(connection)
    }

    /// Asks for the cluster's members. A member that refuses to tell is none to work with.
    fn greet(&self, generation: &Generation, connection: &mut Connection, limit: Duration) -> Result<(), Cause> {
        let mut request = v1::Request {
            operation: Some(Operation::Hello(v1::Hello { client: self.name.as_str().to_owned() })),
            ..v1::Request::default()
        };
        let response = connection.ask(&mut request, limit, false).map_err(|error| match error {
            AskError::Failed(cause) => cause,
            AskError::TooLong(_) => Cause::Protocol("a greeting that does not fit a frame"),
        })?;
        generation.has_seen(response.revision);
        match (response.status, response.result) {
            (0, Some(Answer::Hello(hello))) => {
                let hello =
                    Hello::try_from(hello).map_err(|_| Cause::Protocol("a greeting that cannot be understood"))?;
                generation.greeted(&hello);
                Ok(())
            }
            (0, _) => Err(Cause::Protocol("another answer than the greeting")),
            (number, _) => Err(match Status::from_number(number) {
                Some(status) => Cause::Status(Refusal::new(status, response.about)),
                None => Cause::Protocol("a status that this version does not know"),
            }),
        }
    }

    /// The question itself, on a connection that is attached to the login it needs.
    ///
    /// A login that has ended may have been ended by this very request, whose answer was lost: logging out, or a new
    /// password of one's own. So a change is asked for all the same, and finds its receipt if that is so.
    fn ask(
        &self,
        generation: &Generation,
        connection: &mut Connection,
        errand: &Errand<'_>,
        request: &mut v1::Request,
        limit: Duration,
    ) -> Result<v1::Response, AskError> {
        let mut ended = None;
        if let Some(login) = &errand.login
            && connection.attached != login.number
        {
            let ticket = login.ticket.expose().to_vec();
            let mut attach = Wiped(v1::Request {
                operation: Some(Operation::Attach(v1::Attach { ticket })),
                seen_revision: generation.seen(),
                ..v1::Request::default()
            });
            let response = connection.ask(&mut attach.0, limit, true)?;
            generation.has_seen(response.revision);
            match Status::from_number(response.status) {
                None if response.status == 0 => connection.attached = login.number,
                Some(Status::LoginEnded) if errand.manner.changes => ended = Some(response),
                _ => return Ok(response),
            }
        }
        request.seen_revision = generation.seen();
        let response = connection.ask(request, limit, errand.manner.secret)?;
        match ended {
            Some(ended) if response.status == u32::from(Status::NotLoggedIn.number()) => Ok(ended),
            _ => Ok(response),
        }
    }

    /// What an answer means for the call and for the member.
    fn judge(
        &self,
        generation: &Generation,
        seat: Seat<'_>,
        mut connection: Box<Connection>,
        address: &Arc<str>,
        errand: &Errand<'_>,
        response: v1::Response,
    ) -> Tried {
        generation.has_seen(response.revision);
        if let (Some(login), false) = (&errand.login, response.ticket.is_empty()) {
            generation.renew_ticket(login, Secret::new(response.ticket));
        }
        let asked = Duration::from_millis(response.retry_after_ms.into());
        let refusal = match (response.status, Status::from_number(response.status)) {
            (0, _) => {
                if let Some(number) = errand.makes_login {
                    connection.attached = number;
                }
                if generation.greeting_is_due() && self.greet(generation, &mut connection, CONNECT_MAX).is_err() {
                    connection.spent = true;
                }
                self.give_back(seat, connection, address, Outcome::Answered);
                return Tried::Done(Ok(Answered { address: Arc::clone(address), result: response.result }));
            }
            (_, None) => {
                return self.failed(seat, address, Cause::Protocol("a status that this version does not know"));
            }
            (_, Some(status)) => Refusal::new(status, response.about),
        };
        let outcome = match refusal.status {
            Status::Busy => Outcome::Busy(asked),
            Status::NotServing => Outcome::Failed(asked),
            Status::DeadlineExceeded | Status::StoreUnavailable | Status::ClockOff | Status::Internal => {
                Outcome::Answered
            }
            Status::LoginEnded | Status::NotLoggedIn => {
                connection.attached = 0;
                self.give_back(seat, connection, address, Outcome::Answered);
                return Tried::Done(Err(refusal));
            }
            _ => {
                self.give_back(seat, connection, address, Outcome::Answered);
                return Tried::Done(Err(refusal));
            }
        };
        let cause = Cause::Status(refusal);
        self.note(seat.end(outcome, Some(connection).filter(|c| !c.spent)), address, Some(&cause));
        Tried::Failed { cause, outcome, asked }
    }

    fn give_back(&self, seat: Seat<'_>, connection: Box<Connection>, address: &Arc<str>, outcome: Outcome) {
        self.note(seat.end(outcome, Some(connection).filter(|c| !c.spent)), address, None);
    }

    /// A member that can't be used at present.
    fn failed(&self, seat: Seat<'_>, address: &Arc<str>, cause: Cause) -> Tried {
        let outcome = match &cause {
            Cause::Silent(_) | Cause::Connect(crate::error::ConnectError::Silent(_)) => Outcome::Silent,
            _ => Outcome::Failed(Duration::ZERO),
        };
        self.note(seat.end(outcome, None), address, Some(&cause));
        Tried::Failed { cause, outcome, asked: Duration::ZERO }
    }

    fn note(&self, turn: Option<Turn>, address: &Arc<str>, cause: Option<&Cause>) {
        match (turn, cause) {
            (Some(Turn::Left), Some(cause)) => {
                self.log.write(Level::Warn, &format!("the HSM at {address} is left: {cause}"));
            }
            (Some(Turn::Back), _) => self.log.write(Level::Info, &format!("the HSM at {address} answers again")),
            _ => {}
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

    pub(crate) fn login(&self, user: &UserName, role: Role, password: &Password) -> Result<LoggedIn, ClientError> {
        let credentials = Credentials { user: user.clone(), role, password: password.clone(), number: 0 };
        let deadline = Instant::now() + manner::LOGIN.patience;
        Ok(self.log_in(&self.generation(), &credentials, deadline, false)?.who.clone())
    }

    pub(crate) fn set_credentials(&self, user: UserName, role: Role, password: Password) {
        let number = self.credentials_given.fetch_add(1, Ordering::Relaxed) + 1;
        self.credentials.store(Some(Arc::new(Credentials { user, role, password, number })));
    }

    pub(crate) fn logout(&self) -> Result<(), ClientError> {
        let generation = self.generation();
        let had_credentials = self.credentials.swap(None).is_some();
        let Some(login) = generation.login.swap(None) else {
            return if had_credentials { Ok(()) } else { Err(ClientError::NoCredentials) };
        };
        let mut request = v1::Request {
            request_id: request_id(),
            operation: Some(Operation::Logout(v1::Logout {})),
            ..v1::Request::default()
        };
        let manner = &manner::MANAGEMENT;
        let errand =
            Errand { manner, login: Some(login), makes_login: None, deadline: Instant::now() + manner.patience };
        match self.deliver(&generation, &errand, &mut request) {
            Ok(answered) => answered.read(|answer| matches!(answer, Answer::Logout(_)).then_some(Ok(()))),
            // It was over before: what was wanted is so.
            Err(ClientError::Refused(refusal)) if refusal.status == Status::LoginEnded => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn logged_in(&self) -> Option<LoggedIn> {
        self.generation().login.load().as_ref().map(|login| login.who.clone())
    }

    /// Whether the cluster has the two HSMs that keys should be on. Counts every HSM it has, alive or not.
    pub(crate) fn check_availability(&self) -> Result<(), ClientError> {
        if !self.cluster.availability_check || self.generation().hsms.load(Ordering::Relaxed) >= 2 {
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

    pub(crate) fn last_member(&self) -> Option<HsmId> {
        self.generation().pool.last()
    }

    /// The cluster, when the configuration or a certificate has named it.
    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster.cluster_id.clone().or_else(|| self.generation().cluster().cloned())
    }
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

fn login_of(result: v1::LoginResult, number: u64, from_credentials: bool) -> Result<Login, Malformed> {
    let ticket = Secret::new(result.ticket);
    if ticket.is_empty() {
        return Err(Malformed { field: "ticket" });
    }
    let user_name = result.user_name.parse().map_err(|_| Malformed { field: "user_name" })?;
    let who = LoggedIn { user_name, role: convert::role(result.role)? };
    Ok(Login { number, ticket, who, from_credentials })
}

//! What clients and the control plane ask of an HSM, one request at a time.
//!
//! * The order of every request: whether the connection may be at all, whether there is time left, whether this member
//!   serves, whether it has caught up with what the client has seen, the connection once more, who asks, the operation.
//!   Whether the member still serves is asked again before an answer leaves.
//! * An answer that rests on absence is given only after the store was asked for its newest revision.
//! * Nothing that a request holds ends the process: a panic is a status and a line in the log.

mod appliance;
mod certificates;
mod changes;
mod copies;
mod crypto;
mod derive;
mod keys;
mod logins;
mod mfa;
mod mtls;
mod quorum;
mod replicate;
mod session;
mod session_keys;
#[cfg(test)]
mod tests;
mod users;
mod views;
mod wrapping;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use strongroom_core::member::rests_on_absence;
use strongroom_core::permissions::{self, permit};
use strongroom_core::{Actor, Request, State, Via};
use strongroom_types::limits::{FRAME_LEN_LARGE, GENERATION_WAITING_MAX, HASHING_WAITING_MAX, REQUEST_MS_MAX};
use strongroom_types::{CredentialId, Refusal, RequestId, Revision, Status, UserId};
use strongroom_wire::secrets::{wipe_answer, wipe_operation};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{ApprovalInfo, NamedSessionKey, v1};
use zeroize::Zeroizing;

use crate::cluster::Cluster;
use crate::connections::{Connections, Origin};
use crate::key_cache::KeyCache;
use crate::key_uses::Reserver;
use crate::log::Log;
use crate::pools::{self, Pool};

pub use session::Session;

/// How long a request waits for what the store has newest, in milliseconds.
const FRESH_MS_MAX: u64 = 2_000;
/// After how long a client asks again when the HSM cannot answer now, in milliseconds.
const RETRY_AFTER_MS: u32 = 100;
/// Bytes of what a refusal is about.
const ABOUT_LEN_MAX: usize = 512;

/// Answers requests. One for the process.
pub struct Service {
    cluster: Arc<Cluster>,
    keys: Arc<KeyCache>,
    log: Arc<Log>,
    generation: Pool<UserId>,
    hashing: Pool<UserId>,
    /// One password of a user at a time.
    tries: Pool<UserId>,
    /// Wrong passwords that could not be committed. Nobody tries another one of that user before they are.
    owed: Mutex<BTreeMap<UserId, CredentialId>>,
    signatures: AtomicU64,
    strangers_turn: certificates::StrangersTurn,
    uses: Reserver,
    /// Those of clients, for the control plane.
    connections: Arc<Connections>,
}

/// What an operation needs to know beside its message.
struct Asked<'a, 't> {
    /// The change's id and digest; none when the client sent no id.
    change: Option<Request>,
    deadline: Instant,
    now_ms: u64,
    /// Those that the operation may use.
    session_keys: Vec<NamedSessionKey>,
    /// As the client sent them.
    approvals: Vec<ApprovalInfo>,
    /// Given back while the operation waits for the store or for other members.
    turn: &'a Turn<'t>,
}

/// The turn of a request without a login.
pub type Turn<'a> = pools::Turn<'a, Origin>;

/// An operation whose secrets are wiped.
struct Wiped(Operation);

/// An answer that has not gone into a response. What it holds that must not be seen is wiped when it never does.
struct Unsent(Option<Answer>);

impl Unsent {
    fn into_result(mut self) -> Option<Answer> {
        self.0.take()
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(answer) = &mut self.0 {
            wipe_answer(answer);
        }
    }
}

impl Service {
    /// A service of this member. `keys` is the cache that its watcher empties, `connections` are those of clients.
    pub fn new(cluster: Arc<Cluster>, keys: Arc<KeyCache>, connections: Arc<Connections>, log: Arc<Log>) -> Service {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Half of the cores stay for cryptography.
        let half = cores.div_ceil(2);
        let uses = Reserver::new(Arc::clone(&cluster), Arc::clone(keys.uses()), Arc::clone(&log));
        Service {
            uses,
            cluster,
            keys,
            log,
            generation: Pool::new(half, GENERATION_WAITING_MAX),
            hashing: Pool::new(half, HASHING_WAITING_MAX),
            tries: Pool::one_each(HASHING_WAITING_MAX),
            owed: Mutex::new(BTreeMap::new()),
            signatures: AtomicU64::new(0),
            strangers_turn: certificates::StrangersTurn::default(),
            connections,
        }
    }

    /// Answers one request that arrived then, and that has its turn.
    pub fn answer(
        &self,
        session: &mut Session,
        request: v1::Request,
        arrived: Instant,
        turn: &Turn<'_>,
    ) -> v1::Response {
        let id = request.id;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.outcome(session, request, arrived, turn)));
        let outcome = outcome.unwrap_or_else(|_| {
            self.log.error(format_args!("a request of {session} met a bug; nothing was changed by it"));
            Err(Status::Internal.into())
        });
        self.response(session, id, outcome)
    }

    /// Why a connection may be no more, if that is so now.
    pub fn fault_of(&self, session: &Session) -> Option<Refusal> {
        session.fault(&self.cluster.state())
    }

    /// The response to bytes that are no request.
    pub fn refuse(&self, refusal: Refusal) -> v1::Response {
        refused(0, refusal)
    }

    fn response(&self, session: &mut Session, id: u64, outcome: Result<Unsent, Refusal>) -> v1::Response {
        match outcome {
            Ok(answer) => {
                let ticket = self.ticket_of(session);
                // Whatever the answer rests on, this member has applied it.
                let revision = self.cluster.state().revision().0;
                v1::Response { id, revision, ticket, result: answer.into_result(), ..v1::Response::default() }
            }
            Err(refusal) => {
                if refusal.status == Status::LoginEnded {
                    self.look_at_login(session);
                }
                let revision = self.cluster.state().revision().0;
                v1::Response { revision, ..refused(id, refusal) }
            }
        }
    }

    fn outcome(
        &self,
        session: &mut Session,
        request: v1::Request,
        arrived: Instant,
        turn: &Turn<'_>,
    ) -> Result<Unsent, Refusal> {
        let deadline = arrived + time_of(request.deadline_ms);
        let seen = Revision(request.seen_revision);
        let change = self.change_of(&request, session.via());
        // Before anything is refused: a refused request's secrets are wiped as well.
        let operation = request.operation.map(Wiped);
        session.check_connection(&self.cluster.state())?;
        let change = change?;
        let mut operation = operation.ok_or(Status::OperationUnknown)?;
        if Instant::now() >= deadline {
            return Err(Status::DeadlineExceeded.into());
        }
        let session_keys = strongroom_wire::session_keys(request.session_keys)?;
        let approvals = strongroom_wire::approvals(request.approvals)?;
        let asked = Asked { change, deadline, now_ms: self.cluster.now_ms(), session_keys, approvals, turn };
        if let Operation::ApplianceState(_) = operation.0 {
            // Answered also by an HSM that does not serve: it says why.
            return self.appliance_state(session, &asked).map(Some).map(Unsent);
        }
        let life = self.cluster.serving()?;
        if self.cluster.state().revision() < seen {
            newest(&asked, |until| self.cluster.catch_up(seen, until))??;
        }
        session.check_connection(&self.cluster.state())?;
        let answer = Unsent(Some(self.operate(session, &mut operation.0, &asked)?));
        self.cluster.still_serving(life)?;
        Ok(answer)
    }

    fn operate(&self, session: &mut Session, operation: &mut Operation, asked: &Asked) -> Result<Answer, Refusal> {
        match operation {
            Operation::Sign(message) => self.sign(session, message, asked),
            Operation::Verify(message) => self.verify(session, message, asked),
            Operation::Encrypt(message) => self.encrypt(session, message, asked),
            Operation::Decrypt(message) => self.decrypt(session, message, asked),
            Operation::Hello(message) => self.hello(session, message, asked),
            Operation::Login(message) => self.login(session, message, asked),
            Operation::Attach(message) => self.attach(session, message, asked),
            Operation::Logout(_) => self.logout(session, asked),
            Operation::ClusterInfo(_) => self.cluster_info(session, asked),
            Operation::Activate(message) => self.activate(session, message, asked),
            Operation::UserCreate(message) => self.user_create(session, message, asked),
            Operation::UserDelete(message) => self.user_delete(session, message, asked),
            Operation::UserChangePassword(message) => self.user_change_password(session, message, asked),
            Operation::UserList(_) => self.user_list(session, asked),
            Operation::UserChangeMfa(message) => self.user_change_mfa(session, message, asked),
            Operation::UserChangeQuorum(message) => self.user_change_quorum(session, message, asked),
            Operation::LoginChallenge(message) => self.login_challenge(session, message, asked),
            Operation::MfaChallenge(message) => self.mfa_challenge(session, message, asked),
            Operation::QuorumTokenGenerate(message) => self.quorum_token_generate(session, message, asked),
            Operation::QuorumTokenList(_) => self.quorum_token_list(session, asked),
            Operation::QuorumTokenDelete(message) => self.quorum_token_delete(session, message, asked),
            Operation::QuorumValues(_) => self.quorum_values(session, asked),
            Operation::QuorumSetValue(message) => self.quorum_set_value(session, message, asked),
            Operation::QuorumSetTime(message) => self.quorum_set_time(session, message, asked),
            Operation::KeyGenerateSecret(message) => self.key_generate_secret(session, message, asked),
            Operation::KeyGeneratePair(message) => self.key_generate_pair(session, message, asked),
            Operation::KeyFind(message) => self.key_find(session, message, asked),
            Operation::KeyGet(message) => self.key_get(session, message, asked),
            Operation::Random(message) => self.random(session, message, asked),
            Operation::KeyDelete(message) => self.key_delete(session, message, asked),
            Operation::KeyShare(message) => self.key_share(session, message, asked),
            Operation::KeyUnshare(message) => self.key_unshare(session, message, asked),
            Operation::KeySetAttribute(message) => self.key_set_attribute(session, message, asked),
            Operation::KeyImport(message) => self.key_import(session, message, asked),
            Operation::KeyDerive(message) => self.key_derive(session, message, asked),
            Operation::KeyReadValue(message) => self.key_read_value(session, message, asked),
            Operation::KeyWrap(message) => self.key_wrap(session, message, asked),
            Operation::KeyUnwrap(message) => self.key_unwrap(session, message, asked),
            Operation::KeyCopy(message) => self.key_copy(session, message, asked),
            Operation::KeyExport(message) => self.key_export(session, message, asked),
            Operation::KeyReplicate(message) => self.key_replicate(session, message, asked),
            Operation::UserExport(message) => self.user_export(session, message, asked),
            Operation::UserReplicate(message) => self.user_replicate(session, message, asked),
            Operation::CertificateCreate(message) => self.certificate_create(session, message, asked),
            Operation::CertificateDelete(message) => self.certificate_delete(session, message, asked),
            Operation::CertificateFind(message) => self.certificate_find(session, message, asked),
            Operation::CertificateGet(message) => self.certificate_get(session, message, asked),
            Operation::CertificateSet(message) => self.certificate_set(session, message, asked),
            Operation::ApplianceState(_) => self.appliance_state(session, asked),
            Operation::ApplianceCsr(_) => self.appliance_csr(session, asked),
            Operation::ApplianceInstallCertificate(message) => {
                self.appliance_install_certificate(session, message, asked)
            }
            Operation::MtlsRegisterTrustAnchor(message) => self.mtls_register_trust_anchor(session, message, asked),
            Operation::MtlsDeregisterTrustAnchor(message) => self.mtls_deregister_trust_anchor(session, message, asked),
            Operation::MtlsListTrustAnchors(_) => self.mtls_list_trust_anchors(session, asked),
            Operation::MtlsGetEnforcement(_) => self.mtls_get_enforcement(session, asked),
            Operation::MtlsSetEnforcement(message) => self.mtls_set_enforcement(session, message, asked),
        }
    }

    /// The id and digest of a change; none without an id. The digest covers the operation with everything in it, and
    /// not what differs when the same change is sent again.
    fn change_of(&self, request: &v1::Request, via: Via) -> Result<Option<Request>, Refusal> {
        if request.request_id.is_empty() {
            return Ok(None);
        }
        let malformed = |_| Refusal::new(Status::MalformedRequest, "request_id");
        let id = RequestId::try_from(request.request_id.as_slice()).map_err(malformed)?;
        let bytes = Zeroizing::new(changes::operation_bytes(request));
        Ok(Some(Request { via, ..Request::new(id, self.cluster.sealer().command_digest(&[&bytes])) }))
    }

    /// Asks the state; when it refuses for something that is not there, once more after the store was asked for its
    /// newest revision. Without the store such a refusal is none: the status says that the store is out of reach.
    fn fresh<T>(&self, asked: &Asked, ask: impl Fn(&State) -> Result<T, Refusal>) -> Result<T, Refusal> {
        match ask(&self.cluster.state()) {
            Err(refusal) if rests_on_absence(refusal.status) => {
                newest(asked, |until| self.cluster.freshen(until))??;
                ask(&self.cluster.state())
            }
            outcome => outcome,
        }
    }

    /// Refuses whoever may do no such thing, before anything of what they sent is looked at.
    fn permitted(&self, session: &Session, operation: permissions::Operation, asked: &Asked) -> Result<(), Refusal> {
        self.permitted_to(&session.actor(), operation, asked)
    }

    fn permitted_to(&self, actor: &Actor, operation: permissions::Operation, asked: &Asked) -> Result<(), Refusal> {
        self.fresh(asked, |state| permit(state, actor, operation, asked.now_ms).map(drop))
    }

    /// Before a list: the store's newest revision, or what this member has when the store cannot be reached.
    fn freshen_for_list(&self, asked: &Asked) -> Result<(), Refusal> {
        if let Err(refusal) = newest(asked, |until| self.cluster.freshen(until))? {
            self.log.client(crate::log::Level::Warn, format_args!("a list may lack what is newest: {refusal}"));
        }
        Ok(())
    }
}

/// Waits for what the store has newest, without the request's turn: for a short time, for other HSMs may reach it, and who
/// waits keeps a connection or a place for large frames from others. An error when the turn did not come again.
fn newest(asked: &Asked, read: impl FnOnce(Instant) -> Result<(), Refusal>) -> Result<Result<(), Refusal>, Refusal> {
    let until = asked.deadline.min(Instant::now() + Duration::from_millis(FRESH_MS_MAX));
    let outcome = asked.turn.away(asked.deadline, || read(until))?;
    Ok(outcome.map_err(|refusal| match refusal.status {
        Status::DeadlineExceeded if Instant::now() < asked.deadline => {
            Refusal::new(Status::Busy, "the store takes long to be read; ask again")
        }
        _ => refusal,
    }))
}

/// How long a request may take that names this deadline; 0 names none.
fn time_of(deadline_ms: u32) -> Duration {
    let given = u64::from(deadline_ms);
    Duration::from_millis(if given == 0 { REQUEST_MS_MAX } else { given.min(REQUEST_MS_MAX) })
}

fn refused(id: u64, refusal: Refusal) -> v1::Response {
    let Refusal { status, mut about } = refusal;
    about.truncate(about.floor_char_boundary(ABOUT_LEN_MAX));
    let retry_after_ms = match status {
        Status::NotServing | Status::Busy | Status::StoreUnavailable => RETRY_AFTER_MS,
        _ => 0,
    };
    v1::Response { id, status: status.number().into(), about, retry_after_ms, ..v1::Response::default() }
}

/// Whether a request has a password hashed, for which it waits in a queue of its own.
pub fn hashes_password(request: &v1::Request) -> bool {
    matches!(request.operation, Some(Operation::Login(_) | Operation::LoginChallenge(_) | Operation::Activate(_)))
}

/// Whether a request gives its connection a login that was made before, for which it waits in a queue of its own.
pub fn attaches(request: &v1::Request) -> bool {
    matches!(request.operation, Some(Operation::Attach(_)))
}

/// Whether a request may end the very connection that it came over, whose last answer it then has.
pub fn may_end_connection(request: &v1::Request) -> bool {
    matches!(request.operation, Some(Operation::MtlsDeregisterTrustAnchor(_)))
}

/// Whether the answer to a request may be much longer than the request: lists, and what is asked for in bulk.
pub fn may_answer_long(request: &v1::Request) -> bool {
    match &request.operation {
        Some(
            Operation::KeyFind(_)
            | Operation::KeyGet(_)
            | Operation::UserList(_)
            | Operation::KeyExport(_)
            | Operation::CertificateGet(_)
            | Operation::QuorumTokenList(_),
        ) => true,
        Some(Operation::Random(message)) => usize::try_from(message.len).is_ok_and(|len| len > FRAME_LEN_LARGE),
        _ => false,
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe_operation(&mut self.0);
    }
}

//! One try of a call on one member.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_types::{Family, KeyReference, Refusal, Secret, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::{Answered, Engine, Wiped};
use crate::answers::Hello;
use crate::config::Server;
use crate::connection::{AskError, Connection};
use crate::error::{Cause, ClientError, ConnectError};
use crate::generation::{Generation, Login};
use crate::logging::Level;
use crate::manner::{CONNECT_MAX, Manner};
use crate::pool::Seat;
use crate::routing::{Address, Outcome, Turn, outcome_of};

/// A try that the call's deadline leaves less time than this, and that gets no answer, says nothing of the member.
pub(super) const JUDGED_MIN: Duration = Duration::from_millis(500);

/// How a try ended.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and lives on the stack")]
pub(super) enum Tried {
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
pub(super) struct Errand<'a> {
    pub(super) manner: &'a Manner,
    pub(super) login: Option<Arc<Login>>,
    /// The number of the login that the operation itself makes.
    pub(super) makes_login: Option<u64>,
    /// The keys that the operation uses; those of them that are session keys go along by name.
    pub(super) keys: &'a [KeyReference],
    pub(super) deadline: Instant,
    /// Whether an HSM that was asked for the change may have made it without an answer that says so.
    pub(super) unanswered: Cell<bool>,
}

impl<'a> Errand<'a> {
    /// Without a login and without keys.
    pub(super) fn new(manner: &'a Manner, deadline: Instant) -> Errand<'a> {
        Errand { manner, login: None, makes_login: None, keys: &[], deadline, unanswered: Cell::new(false) }
    }

    /// Names the session keys in the request. Of an operation that uses none, whatever it names stays as it is.
    pub(super) fn name_session_keys(&self, request: &mut v1::Request) {
        if !self.keys.is_empty() {
            request.session_keys = self.named(false);
        }
    }

    /// Puts the session keys' sealed forms into the request; answers whether there are any that were missing.
    pub(super) fn seal_session_keys(&self, request: &mut v1::Request) -> bool {
        let missing = !self.keys.is_empty() && request.session_keys.iter().any(|key| key.sealed.is_empty());
        if missing {
            request.session_keys = self.named(true);
        }
        missing
    }

    fn named(&self, sealed: bool) -> Vec<v1::SessionKey> {
        match &self.login {
            Some(login) if !self.keys.is_empty() => login.session_keys.named(self.keys, sealed),
            _ => Vec::new(),
        }
    }
}

impl Engine {
    /// One try on one member.
    pub(super) fn attempt(
        &self,
        generation: &Generation,
        mut seat: Seat<'_>,
        idle: Option<Box<Connection>>,
        errand: &Errand<'_>,
        request: &mut v1::Request,
    ) -> Tried {
        let fresh = idle.is_none();
        let is_judged = errand.deadline.saturating_duration_since(Instant::now()) >= JUDGED_MIN;
        let Some(address) = seat.address.take() else { return Tried::Stale };
        let opened = match idle {
            Some(connection) => Ok(connection),
            None => self.open(generation, &address.server, errand),
        };
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(cause) => return self.failed(seat, &address, cause, is_judged),
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
            Ok(response) => self.judge(generation, (seat, fresh), connection, address, errand, response),
            Err(AskError::Failed(Cause::Lost(_))) if !fresh => {
                seat.end(Outcome::Unknown, None);
                Tried::Stale
            }
            Err(AskError::Failed(cause)) => {
                if let Cause::Connect(error) = &cause {
                    generation.certificate_refused(&address.server, error);
                }
                self.failed(seat, &address, cause, is_judged)
            }
            Err(AskError::TooLong(error)) => {
                seat.end(Outcome::Unknown, Some(connection));
                Tried::Unsendable(error.into())
            }
        }
    }

    /// A new connection; the first of all asks for the cluster's members.
    fn open(&self, generation: &Generation, server: &Server, errand: &Errand<'_>) -> Result<Box<Connection>, Cause> {
        let limit = CONNECT_MAX.min(errand.deadline.saturating_duration_since(Instant::now()));
        if limit.is_zero() {
            return Err(Cause::Silent(0));
        }
        if let Some(refusal) = generation.recent_certificate_refusal(server) {
            return Err(refusal.into());
        }
        let wanted = self.cluster.cluster_id.as_ref().or(generation.cluster());
        let (connection, cluster) = Connection::open(server, &self.trust, wanted, generation, limit)?;
        generation.met_cluster(cluster);
        let mut connection = Box::new(connection);
        if generation.greeting_is_due() {
            let greeted = self.greet(generation, &mut connection, limit);
            greeted.inspect_err(|cause| {
                generation.greeting_failed();
                if let Cause::Connect(error) = cause {
                    generation.certificate_refused(server, error);
                }
            })?;
        }
        Ok(connection)
    }

    /// Asks for the cluster's members. A member that refuses to tell is none to work with.
    fn greet(&self, generation: &Generation, connection: &mut Connection, limit: Duration) -> Result<(), Cause> {
        let mut request = v1::Request {
            operation: Some(Operation::Hello(v1::Hello { client: self.name.as_str().to_owned() })),
            ..v1::Request::default()
        };
        let response = connection.ask(&mut request, limit).map_err(|error| match error {
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
            let response = connection.ask(&mut attach.0, limit)?;
            generation.has_seen(response.revision);
            match Status::from_number(response.status) {
                None if response.status == 0 => {
                    (connection.attached, connection.ticket) = (login.number, login.ticket_number);
                }
                Some(Status::LoginEnded) if errand.manner.changes => ended = Some(response),
                _ => return Ok(response),
            }
        }
        request.seen_revision = generation.seen();
        let began = Instant::now();
        let unanswered = errand.unanswered.replace(errand.manner.changes);
        let mut response = connection.ask(request, limit)?;
        let missing = Status::from_number(response.status) == Some(Status::SessionKeyMissing);
        if missing && errand.seal_session_keys(request) {
            // The same member, so that it holds the key from then on.
            let left = limit.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
            response = connection.ask(request, left)?;
        }
        // What cannot be answered now may have been made all the same.
        let status = Status::from_number(response.status);
        if response.status == 0 || status.is_some_and(|status| status.family() != Family::Unavailable) {
            errand.unanswered.set(unanswered);
        }
        match ended {
            Some(ended) if response.status == u32::from(Status::NotLoggedIn.number()) => Ok(ended),
            _ => Ok(response),
        }
    }

    /// What an answer means for the call and for the member.
    fn judge(
        &self,
        generation: &Generation,
        (seat, is_fresh): (Seat<'_>, bool),
        mut connection: Box<Connection>,
        address: Arc<Address>,
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
                    (connection.attached, connection.ticket) = (number, 0);
                }
                if generation.greeting_is_due() && self.greet(generation, &mut connection, CONNECT_MAX).is_err() {
                    connection.spent = true;
                }
                self.give_back(seat, connection, &address, Outcome::Answered);
                return Tried::Done(Ok(Answered { address, result: response.result, login: None }));
            }
            (_, None) => {
                return self.failed(seat, &address, Cause::Protocol("a status that this version does not know"), true);
            }
            (_, Some(status)) => Refusal::new(status, response.about),
        };
        if matches!(refusal.status, Status::LoginEnded | Status::NotLoggedIn) {
            let ticket = (std::mem::take(&mut connection.attached), connection.ticket);
            self.give_back(seat, connection, &address, Outcome::Answered);
            // A ticket that was replaced since this connection saw it ends alone; the next try shows the new one.
            let is_old = |login: &Arc<Login>| ticket.0 == login.number && ticket.1 != login.ticket_number;
            if errand.login.as_ref().is_some_and(is_old) {
                return Tried::Stale;
            }
            return Tried::Done(Err(refusal));
        }
        if refusal.status == Status::ClientCertificateRequired && !is_fresh {
            // It began before the HSM asked for what it asks now: a new one shows it, if there is something to show.
            seat.end(Outcome::Unknown, None);
            return Tried::Stale;
        }
        let Some(outcome) = outcome_of(refusal.status, asked) else {
            self.give_back(seat, connection, &address, Outcome::Answered);
            return Tried::Done(Err(refusal));
        };
        let cause = Cause::Status(refusal);
        self.note(seat.end(outcome, Some(connection).filter(|c| !c.spent)), &address, Some(&cause));
        Tried::Failed { cause, outcome, asked }
    }

    fn give_back(&self, seat: Seat<'_>, connection: Box<Connection>, address: &Address, outcome: Outcome) {
        self.note(seat.end(outcome, Some(connection).filter(|c| !c.spent)), address, None);
    }

    /// A member that can't be used at present. That it was silent for the little time that was left of a call is not held
    /// against it.
    fn failed(&self, seat: Seat<'_>, address: &Address, cause: Cause, is_judged: bool) -> Tried {
        let outcome = match &cause {
            Cause::Silent(_) | Cause::Connect(ConnectError::Silent(_) | ConnectError::Mute(_)) => match is_judged {
                true => Outcome::Silent,
                false => Outcome::Unknown,
            },
            _ => Outcome::Failed(Duration::ZERO),
        };
        self.note(seat.end(outcome, None), address, Some(&cause));
        Tried::Failed { cause, outcome, asked: Duration::ZERO }
    }

    fn note(&self, turn: Option<Turn>, address: &Address, cause: Option<&Cause>) {
        match (turn, cause) {
            (Some(Turn::Left), Some(cause)) => {
                self.log.write(Level::Warn, &format!("the HSM at {address} is left: {cause}"));
            }
            (Some(Turn::Back), _) => self.log.write(Level::Info, &format!("the HSM at {address} answers again")),
            _ => {}
        }
    }
}

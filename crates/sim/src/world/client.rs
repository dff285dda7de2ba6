//! Clients: the real routing, and what it is asked to do.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use strongroom_client::routing::{Call, Decision, MemberNumber, Members, Outcome, outcome_of};
use strongroom_client::{Cause, Server};
use strongroom_core::LoginActor;
use strongroom_types::{Refusal, Revision};

use super::operations::{Answer, Ask, Message, Response};
use super::recorder::Asked;
use super::{At, MS, Owner, World};

/// One client: a process with one thread.
pub(crate) struct Client {
    /// Whether it knows one HSM only, whatever becomes of that.
    pub(crate) is_choosy: bool,
    members: Members,
    began: Instant,
    pub(crate) seen: Revision,
    pub(crate) login: Option<OwnLogin>,
    attempts: u64,
    current: Option<Current>,
}

/// A login that a client has.
#[derive(Clone, Copy)]
pub(crate) struct OwnLogin {
    /// The recorder's number of it.
    pub(crate) number: u32,
    pub(crate) user: u32,
    pub(crate) actor: LoginActor,
}

impl fmt::Debug for OwnLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "login {} of user {}", self.number, self.user)
    }
}

struct Current {
    call: Call,
    ask: Ask,
    asked: Asked,
    invoked: At,
    patience: At,
    tries: u32,
    /// Whom it waits for, and since when.
    trying: Option<(MemberNumber, usize, At)>,
}

/// What a call came to.
#[expect(clippy::large_enum_variant, reason = "lives for one event, never in numbers")]
pub(crate) enum CallEnd {
    Answered(Answer),
    Refused(Refusal),
    GivenUp,
}

impl Client {
    /// Knows the HSMs of these numbers.
    pub(crate) fn new(hsms: Range<usize>) -> Client {
        let is_choosy = hsms.len() == 1;
        let server = |number| Server { address: format!("127.0.1.{}", number + 1), port: 2223 };
        let servers: Vec<Server> = hsms.map(server).collect();
        Client {
            is_choosy,
            members: Members::new(&servers),
            began: Instant::now(),
            seen: Revision(0),
            login: None,
            attempts: 0,
            current: None,
        }
    }

    fn instant(&self, at: At) -> Instant {
        self.began + Duration::from_micros(at)
    }

    /// Which HSM a member is.
    fn hsm(&self, member: MemberNumber) -> Option<usize> {
        let address = self.members.address(member)?.to_string();
        let last: usize = address.split(':').next()?.rsplit('.').next()?.parse().ok()?;
        last.checked_sub(1)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    pub(crate) fn asks(&self) -> Option<&Ask> {
        self.current.as_ref().map(|current| &current.ask)
    }
}

/// How long a patient client tries.
pub(crate) const PATIENCE: At = 15_000 * MS;

/// The longest one try.
fn try_max(ask: &Ask) -> At {
    match ask {
        Ask::Use { .. } => 1_000 * MS,
        Ask::Find { .. } => 3_000 * MS,
        Ask::Login { .. } | Ask::Change { .. } => 5_000 * MS,
    }
}

impl World {
    /// A client begins an operation.
    pub(crate) fn begin_call(&mut self, client: usize, ask: Ask, asked: Asked) {
        // Some give up early, and never learn what became of what they asked.
        let is_patient = self.rng.u32(0..5) > 0 && !self.clients[client].is_choosy;
        let patience = match &ask {
            _ if is_patient => PATIENCE,
            // Who asks again soon is there when a stopped HSM goes on.
            Ask::Use { .. } => self.rng.u64(10..200) * MS,
            _ => self.rng.u64(20..1_500) * MS,
        };
        let invoked = self.now;
        self.trace("asks", || format!("client {client}: {asked:?}"));
        let of = &mut self.clients[client];
        let call = Call::new(of.instant(invoked + patience), true);
        of.current = Some(Current { call, ask, asked, invoked, patience, tries: 0, trying: None });
        self.pursue(client);
    }

    fn pursue(&mut self, client: usize) {
        let now = self.now;
        let of = &mut self.clients[client];
        let instant = of.instant(now);
        let Some(current) = &mut of.current else { return };
        match current.call.decide(&mut of.members, instant) {
            Decision::Try(member) => self.try_on(client, member),
            // One call at a time never has to queue.
            Decision::Queue => self.resume_after(client, MS),
            Decision::Wait(until) => {
                let pause = until.saturating_duration_since(instant).as_micros().max(1);
                self.resume_after(client, At::try_from(pause).unwrap_or(MS));
            }
            Decision::GiveUp => self.end_call(client, CallEnd::GivenUp),
        }
    }

    fn resume_after(&mut self, client: usize, pause: At) {
        let attempt = self.clients[client].attempts;
        self.after(pause, Owner::World, "client goes on", move |w| {
            let of = &w.clients[client];
            if of.attempts == attempt && of.current.as_ref().is_some_and(|current| current.trying.is_none()) {
                w.pursue(client);
            }
        });
    }

    fn try_on(&mut self, client: usize, member: MemberNumber) {
        let now = self.now;
        let of = &mut self.clients[client];
        let hsm = of.hsm(member).expect("members are HSMs");
        of.attempts += 1;
        let (attempt, seen) = (of.attempts, of.seen);
        of.members.begin(member);
        let Some(current) = &mut of.current else { return };
        current.tries += 1;
        current.trying = Some((member, hsm, now));
        let limit = try_max(&current.ask).min((current.invoked + current.patience).saturating_sub(now)).max(MS);
        let message = Message { client, attempt, ask: current.ask.clone(), seen, deadline_ms: limit / MS };
        self.after(limit, Owner::World, "try ends", move |w| {
            w.failed(client, attempt, Cause::Silent(0), Outcome::Silent)
        });
        let delay = self.message_way();
        if self.loses_message(client, hsm) {
            return;
        }
        self.after(delay, Owner::World, "request arrives", move |w| match w.hsms[hsm].number_of_process() {
            None => w.lost(client, attempt),
            Some(number) => {
                let id = super::ProcessId { hsm, number };
                w.step(id, "request is read", move |w| w.arrives(id, message));
            }
        });
    }

    /// The connection is gone: nobody listens, or the process ended.
    pub(crate) fn lost(&mut self, client: usize, attempt: u64) {
        let delay = self.message_way();
        self.after(delay, Owner::World, "connection is lost", move |w| {
            w.failed(client, attempt, Cause::Lost("reset".into()), Outcome::Failed(Duration::ZERO));
        });
    }

    pub(crate) fn connections_lost(&mut self, hsm: usize) {
        for client in 0..self.clients.len() {
            let of = &self.clients[client];
            let waits = |current: &Current| current.trying.is_some_and(|(_, at, _)| at == hsm);
            if of.current.as_ref().is_some_and(waits) {
                self.lost(client, of.attempts);
            }
        }
    }

    fn failed(&mut self, client: usize, attempt: u64, cause: Cause, outcome: Outcome) {
        let now = self.now;
        let of = &mut self.clients[client];
        if of.attempts != attempt {
            return;
        }
        let (began, instant) = (of.began, of.instant(now));
        let Some(current) = &mut of.current else { return };
        let Some((member, hsm, since)) = current.trying.take() else { return };
        of.members.end(member, began + Duration::from_micros(since), outcome, instant);
        let is_busy = matches!(outcome, Outcome::Busy(_));
        let asked = match outcome {
            Outcome::Busy(asked) | Outcome::Failed(asked) => asked,
            _ => Duration::ZERO,
        };
        self.trace("try failed", || format!("client {client} on {hsm}: {cause}"));
        let of = &mut self.clients[client];
        if let Some(current) = &mut of.current {
            current.call.failed(member, cause, is_busy, asked);
        }
        self.pursue(client);
    }

    /// An answer arrives.
    pub(crate) fn answered(&mut self, client: usize, attempt: u64, response: Response) {
        let now = self.now;
        let of = &mut self.clients[client];
        if of.attempts != attempt || of.current.as_ref().is_none_or(|current| current.trying.is_none()) {
            // The connection was closed when the try ended.
            return;
        }
        of.seen = of.seen.max(response.revision);
        let refusal = match response.result {
            Ok(answer) => {
                self.end_try(client, now);
                return self.end_call(client, CallEnd::Answered(answer));
            }
            Err(refusal) => refusal,
        };
        let asked = Duration::from_millis(20);
        match outcome_of(refusal.status, asked) {
            Some(outcome) => self.failed(client, attempt, Cause::Status(refusal), outcome),
            None => {
                self.end_try(client, now);
                self.end_call(client, CallEnd::Refused(refusal));
            }
        }
    }

    fn end_try(&mut self, client: usize, now: At) {
        let of = &mut self.clients[client];
        let (began, instant) = (of.began, of.instant(now));
        let Some(current) = &mut of.current else { return };
        if let Some((member, _, since)) = current.trying.take() {
            of.members.end(member, began + Duration::from_micros(since), Outcome::Answered, instant);
        }
    }

    fn end_call(&mut self, client: usize, outcome: CallEnd) {
        let of = &mut self.clients[client];
        of.attempts += 1;
        let Some(current) = of.current.take() else { return };
        match &outcome {
            CallEnd::GivenUp => self.counts.given_up += 1,
            _ => self.counts.answered += 1,
        }
        self.ended(client, current.asked, current.ask, (current.invoked, current.patience, current.tries), outcome);
        let is_hasty = self.clients[client].is_choosy || self.rng.u32(0..4) == 0;
        let pause = if is_hasty { self.rng.u64(1..20) * MS } else { self.rng.u64(1..100) * MS };
        self.after(pause, Owner::World, "client thinks", move |w| w.next_operation(client));
    }
}

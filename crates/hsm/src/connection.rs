//! One connection: frames in, answers out, one after the other.
//!
//! Every wait for the client has an end, but the one between two requests. What a client can make this process hold is
//! bounded: small buffers a connection, and a place in the [`Large`] pool for whatever needs more.

mod channel;
#[cfg(test)]
mod tests;

use std::io;
use std::time::{Duration, Instant};

use strongroom_core::LoginActor;
use strongroom_types::buffers::{reserve_total, wipe, wipe_and_clear};
use strongroom_types::limits::{
    CONNECTIONS_MAX, FRAME_LEN_LARGE, HANDSHAKES_WAITING_MAX, LARGE_FRAMES_EACH_MAX, LARGE_FRAMES_MAX,
    REFUSALS_WITHOUT_LOGIN_MAX,
};
use strongroom_types::{Refusal, Status, UserId};
use strongroom_wire::frame::{self, FrameError, PREFIX_LEN};
use strongroom_wire::secrets::{wipe_request, wipe_response};
use strongroom_wire::{Malformed, v1};
use thiserror::Error;

use crate::connections::{ConnectionLimits, Entry, Origin};
use crate::pools::{Place, Pool};
use crate::service::{self, Service, Session, Turn};

pub use channel::{Channel, PlainChannel, TlsChannel};

/// Bytes that a connection's buffers keep between requests. Passwords and tickets fit, and a buffer that grows while it holds
/// data leaves none of them where it was.
const BUFFER_LEN: usize = 4 * 1024;
/// Beyond this a buffer goes back to [`BUFFER_LEN`].
const BUFFER_KEPT_MAX: usize = 32 * 1024;

/// Why a connection ends.
#[derive(Debug, Error)]
pub enum End {
    /// The client closed it, or it was closed from here.
    #[error("the connection was closed")]
    Closed,
    /// No complete request came in time.
    #[error("no complete request came in time")]
    TooSlow,
    /// The client takes an answer too slowly, or not at all.
    #[error("an answer was not taken in time")]
    Unread,
    /// What came is no frame that may come.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// What came in a frame is no request.
    #[error("a frame without a request in it")]
    Malformed,
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// What the client has shown of itself in the handshake, or has not.
    #[error("{0}")]
    ClientCertificate(&'static str),
    /// What the client has shown is not enough any more, and it was told so.
    #[error("its client certificate, or having none, is not enough any more")]
    Over,
    /// Whoever is there without a login asks for what is refused, again and again.
    #[error("{REFUSALS_WITHOUT_LOGIN_MAX} requests without a login were refused")]
    Refused,
    /// It was ended from here: it may be no more.
    #[error("it was ended: {0}")]
    Ended(Refusal),
    /// Too many others shake hands, or have large frames on their way.
    #[error("{0}")]
    Busy(Refusal),
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Places for frames that are larger than a connection's buffers, and for requests whose answers may be; by user.
pub type Large = Pool<UserId>;

/// Turns of requests without a login, by where they come from.
pub type Strangers = Pool<Origin>;

/// What requests wait for before the HSM works on them.
pub struct Gates {
    /// TLS handshakes at once.
    pub handshakes: Strangers,
    /// Requests without a login at once, those apart that hash a password, which have a queue of their own. So that
    /// strangers' threads are never many among those that want a processor.
    pub strangers: Strangers,
    /// Tickets at once with which connections get a login: what clients need before they can use a key, also when
    /// strangers ask for much.
    pub tickets: Strangers,
    /// Large frames.
    pub large: Large,
}

impl Gates {
    /// As the limits say, for a machine with so many cores.
    pub fn new(cores: usize) -> Gates {
        Gates {
            handshakes: Pool::new(cores, HANDSHAKES_WAITING_MAX),
            strangers: Pool::new(cores.div_ceil(2), CONNECTIONS_MAX),
            tickets: Pool::new(cores.div_ceil(2), CONNECTIONS_MAX),
            large: large(),
        }
    }
}

/// As many places as [`limits`] says.
///
/// [`limits`]: strongroom_types::limits
fn large() -> Large {
    Pool::some_each(LARGE_FRAMES_MAX, CONNECTIONS_MAX, LARGE_FRAMES_EACH_MAX)
}

/// Answers requests until the connection ends. Without `gates` nothing waits for its turn. `entry` hears of each change of
/// its login, before the client does. The channel comes with the deadline of the first request.
pub fn converse(
    channel: &mut impl Channel,
    service: &Service,
    session: &mut Session,
    limits: &ConnectionLimits,
    gates: Option<&Gates>,
    entry: Option<&mut Entry>,
) -> End {
    let mut incoming = Vec::with_capacity(BUFFER_LEN);
    let mut outgoing = Vec::with_capacity(BUFFER_LEN);
    let mut has_deadline = true;
    let large = gates.map(|gates| &gates.large);
    let mut guest = Guest { entry, gates, patience: limits.first_request_max, login: None, refusals: 0 };
    loop {
        let max = if session.has_login() { limits.frame_len_max } else { limits.frame_len_max_before_login };
        let user = session.standing_login().map(|login| login.user);
        let mut gate = Gate { large: large.zip(user), patience: limits.unread_max, place: None };
        let end = next_frame(channel, &mut incoming, max, limits.first_request_max, &mut has_deadline, &mut gate);
        let end = match end {
            Ok(end) => end,
            Err(error) => {
                // The connection ends either way, maybe in the middle of a password.
                wipe(&mut incoming);
                match &error {
                    End::Frame(broken) => refuse(channel, service, &mut outgoing, refusal_of(broken)),
                    End::Busy(refusal) => refuse(channel, service, &mut outgoing, refusal.clone()),
                    _ => {}
                }
                return error;
            }
        };
        let frame = &mut incoming[..end];
        if let Err(error) = one_request(channel, service, session, frame, &mut outgoing, &mut gate, &mut guest) {
            return error;
        }
        incoming.drain(..end);
        for buffer in [&mut incoming, &mut outgoing] {
            if buffer.capacity() > BUFFER_KEPT_MAX {
                buffer.shrink_to(BUFFER_LEN);
            }
        }
    }
}

/// What is known of who is at the other end.
struct Guest<'a> {
    entry: Option<&'a mut Entry>,
    gates: Option<&'a Gates>,
    /// How long a turn is waited for.
    patience: Duration,
    login: Option<LoginActor>,
    /// Requests without a login that were refused.
    refusals: u32,
}

impl Guest<'_> {
    /// Whether the connection was ended from here, as far as it can still speak.
    fn is_ended(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.is_ended())
    }

    /// While the HSM works on what may end this very connection.
    fn has_last_word(&self, has_last_word: bool) {
        if let Some(entry) = &self.entry {
            entry.set_last_word(has_last_word);
        }
    }

    /// Waits for the turn of a request without a login, which is wanted while the connection is.
    fn turn<'t>(&'t self, request: &v1::Request, is_wanted: &'t dyn Fn() -> bool) -> Result<Turn<'t>, Refusal> {
        let (Some(gates), Some(entry)) = (self.gates, &self.entry) else { return Ok(Turn::free()) };
        if self.login.is_some() || service::hashes_password(request) {
            return Ok(Turn::free());
        }
        let queue = if service::attaches(request) { &gates.tickets } else { &gates.strangers };
        Turn::take(queue, entry.origin(), Instant::now() + self.patience, is_wanted)
    }

    /// While the HSM works on a request.
    fn works(&mut self, works: bool) {
        if let Some(entry) = &mut self.entry {
            entry.set_working(works);
        }
    }

    /// After a request: the login that the connection has now.
    fn has_login(&mut self, login: Option<LoginActor>) {
        if login != self.login {
            self.login = login;
            self.refusals = 0;
            if let Some(entry) = &mut self.entry {
                entry.set_login(login);
            }
        }
    }

    /// After an answer: whether there were too many refusals. Each costs the HSM more than it costs a stranger to ask, but
    /// for the handshake before. Busy HSMs, and those that do not serve, are no stranger's fault.
    fn is_too_much(&mut self, response: &v1::Response) -> bool {
        let excused = [Status::Busy, Status::NotServing, Status::DeadlineExceeded];
        let is_refused = Status::from_number(response.status).is_some_and(|status| !excused.contains(&status));
        self.refusals += u32::from(self.entry.is_some() && self.login.is_none() && is_refused);
        self.refusals >= REFUSALS_WITHOUT_LOGIN_MAX
    }
}

/// What a connection must pass before it holds more than its buffers; the place is kept until the request is answered.
struct Gate<'a> {
    large: Option<(&'a Large, UserId)>,
    patience: Duration,
    place: Option<Place<'a, UserId>>,
}

impl Gate<'_> {
    /// Waits for a place; whether that may have taken a while.
    fn pass(&mut self) -> Result<bool, Refusal> {
        let Some((large, user)) = self.large.filter(|_| self.place.is_none()) else { return Ok(false) };
        match large.enter(user, Instant::now() + self.patience) {
            Ok(place) => self.place = Some(place),
            Err(_) => return Err(Refusal::new(Status::Busy, "large requests and answers")),
        }
        Ok(true)
    }
}

/// Reads on until `incoming` begins with a whole frame; answers where it ends. A frame that has begun ends within
/// `patience`.
fn next_frame(
    channel: &mut impl Channel,
    incoming: &mut Vec<u8>,
    max: usize,
    patience: Duration,
    has_deadline: &mut bool,
    gate: &mut Gate<'_>,
) -> Result<usize, End> {
    loop {
        if let Some(prefix) = incoming.first_chunk::<PREFIX_LEN>() {
            let len = frame::body_len(*prefix, max)?;
            let end = PREFIX_LEN + len;
            if len > FRAME_LEN_LARGE && gate.pass().map_err(End::Busy)? {
                // The client's time counts from when it is listened to.
                *has_deadline = true;
                channel.wait_until(Some(Instant::now() + patience))?;
            }
            reserve_total(incoming, end);
            if incoming.len() >= end {
                // Most frames come whole, and then there is no deadline to lift.
                if std::mem::take(has_deadline) {
                    channel.wait_until(None)?;
                }
                return Ok(end);
            }
        }
        if !incoming.is_empty() && !*has_deadline {
            *has_deadline = true;
            channel.wait_until(Some(Instant::now() + patience))?;
        }
        channel.receive(incoming)?;
    }
}

fn one_request(
    channel: &mut impl Channel,
    service: &Service,
    session: &mut Session,
    whole_frame: &mut [u8],
    outgoing: &mut Vec<u8>,
    gate: &mut Gate<'_>,
    guest: &mut Guest<'_>,
) -> Result<(), End> {
    let arrived = Instant::now();
    let Ok(mut request) = request_of(whole_frame) else {
        let response = service.refuse(Status::MalformedRequest.into());
        send(channel, &response, outgoing)?;
        return Err(End::Malformed);
    };
    let id = request.id;
    guest.works(true);
    let may_be_last = service::may_end_connection(&request);
    if may_be_last {
        guest.has_last_word(true);
    }
    let mut response = {
        let is_wanted = || !guest.is_ended();
        let turn = guest.turn(&request, &is_wanted);
        match turn.and_then(|turn| gate_of(gate, &request).map(|()| turn)) {
            Ok(turn) => service.answer(session, request, arrived, &turn),
            Err(refusal) => {
                wipe_request(&mut request);
                v1::Response { id, ..service.refuse(refusal) }
            }
        }
    };
    guest.has_login(session.standing_login());
    guest.works(false);
    let sent = send(channel, &response, outgoing);
    wipe_response(&mut response);
    wipe_and_clear(outgoing);
    sent?;
    if session.is_over() {
        return Err(End::Over);
    }
    if may_be_last {
        guest.has_last_word(false);
        if guest.is_ended() {
            return Err(End::Closed);
        }
    }
    if guest.is_too_much(&response) { Err(End::Refused) } else { Ok(()) }
}

/// The request in a frame, which is wiped: whatever the request holds is there alone.
fn request_of(whole_frame: &mut [u8]) -> Result<v1::Request, Malformed> {
    let mut request = v1::Request::default();
    let read = frame::read_request(&whole_frame[PREFIX_LEN..], &mut request);
    wipe(whole_frame);
    // One that cannot be read may have been meant to hold a password.
    read.inspect_err(|_| wipe_request(&mut request))?;
    Ok(request)
}

fn send(channel: &mut impl Channel, response: &v1::Response, outgoing: &mut Vec<u8>) -> Result<(), End> {
    frame::encode(response, outgoing)?;
    channel.send(outgoing)
}

fn gate_of(gate: &mut Gate<'_>, request: &v1::Request) -> Result<(), Refusal> {
    if service::may_answer_long(request) { gate.pass().map(drop) } else { Ok(()) }
}

fn refusal_of(broken: &FrameError) -> Refusal {
    match broken {
        FrameError::TooLong { max, .. } => Refusal::new(Status::FrameTooLong, format!("at most {max} bytes")),
        FrameError::Empty => Refusal::new(Status::MalformedRequest, "an empty frame"),
    }
}

fn refuse(channel: &mut impl Channel, service: &Service, outgoing: &mut Vec<u8>, refusal: Refusal) {
    // The client may be gone.
    let _ = send(channel, &service.refuse(refusal), outgoing);
}

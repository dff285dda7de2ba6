//! One connection: frames in, answers out, one after the other.
//!
//! Every wait for the client has an end, but the one between two requests. What a client can make this process hold is
//! bounded: small buffers a connection, and a place in the [`Large`] pool for whatever needs more.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConnection;
use strongroom_core::LoginActor;
use strongroom_types::limits::{
    CONNECTIONS_MAX, FRAME_LEN_LARGE, HANDSHAKES_WAITING_MAX, LARGE_FRAMES_EACH_MAX, LARGE_FRAMES_MAX,
    REFUSALS_WITHOUT_LOGIN_MAX,
};
use strongroom_types::{Refusal, Status, UserId};
use strongroom_wire::frame::{self, FrameError, PREFIX_LEN};
use strongroom_wire::v1;
use thiserror::Error;
use zeroize::Zeroize;

use crate::connections::{ConnectionLimits, Entry, Origin};
use crate::pools::{Place, Pool};
use crate::service::{self, Service, Session};

/// Bytes that a connection's buffers keep between requests. Requests with secrets fit, so that no buffer grows while it
/// holds one.
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
    Tls(#[from] rustls::Error),
    /// Whoever is there without a login asks for what is refused, again and again.
    #[error("{REFUSALS_WITHOUT_LOGIN_MAX} requests without a login were refused")]
    Refused,
    /// Too many others shake hands, or have large frames on their way.
    #[error("{0}")]
    Busy(Refusal),
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Carries bytes both ways.
pub trait Channel {
    /// Appends what has come, at least one byte, to `buffer`.
    fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), End>;
    /// Sends a whole frame.
    fn send(&mut self, frame: &[u8]) -> Result<(), End>;
    /// Until when [`receive`](Channel::receive) waits; none is for ever.
    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<(), End>;
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
    /// Large frames.
    pub large: Large,
}

impl Gates {
    /// As the limits say, for a machine with so many cores.
    pub fn new(cores: usize) -> Gates {
        Gates {
            handshakes: Pool::new(cores, HANDSHAKES_WAITING_MAX),
            strangers: Pool::new(cores.div_ceil(2), CONNECTIONS_MAX),
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
    let strangers = gates.map(|gates| &gates.strangers);
    let mut guest = Guest { entry, strangers, patience: limits.first_request_max, login: None, refusals: 0 };
    loop {
        let max = if session.has_login() { limits.frame_len_max } else { limits.frame_len_max_before_login };
        let user = session.standing_login().map(|login| login.user);
        let mut gate = Gate { large: large.zip(user), patience: limits.unread_max, place: None };
        let end = next_frame(channel, &mut incoming, max, limits.first_request_max, &mut has_deadline, &mut gate);
        let end = match end {
            Ok(end) => end,
            Err(error) => {
                // The connection ends either way.
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
    strangers: Option<&'a Strangers>,
    /// How long a turn is waited for.
    patience: Duration,
    login: Option<LoginActor>,
    /// Requests without a login that were refused.
    refusals: u32,
}

impl<'a> Guest<'a> {
    /// Waits for the turn of a request without a login.
    fn turn(&self, request: &v1::Request) -> Result<Option<Place<'a, Origin>>, Refusal> {
        let (Some(strangers), Some(entry)) = (self.strangers, &self.entry) else { return Ok(None) };
        if self.login.is_some() || service::hashes_password(request) {
            return Ok(None);
        }
        let deadline = Instant::now() + self.patience;
        strangers.enter_while(entry.origin(), deadline, || !entry.is_ended()).map(Some)
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
    let Ok(request) = frame::decode_request(&whole_frame[PREFIX_LEN..]) else {
        // It may have been meant to hold a password.
        whole_frame.zeroize();
        let response = service.refuse(Status::MalformedRequest.into());
        send(channel, &response, outgoing)?;
        return Err(End::Malformed);
    };
    if service::holds_secret(&request) {
        whole_frame.zeroize();
    }
    let id = request.id;
    guest.works(true);
    let turn = guest.turn(&request).and_then(|turn| gate_of(gate, &request).map(|()| turn));
    let mut response = match turn {
        Ok(_turn) => service.answer(session, request, arrived),
        Err(refusal) => v1::Response { id, ..service.refuse(refusal) },
    };
    guest.has_login(session.standing_login());
    guest.works(false);
    let sent = send(channel, &response, outgoing);
    if service::wipe(&mut response) {
        outgoing.zeroize();
    }
    sent?;
    if guest.is_too_much(&response) { Err(End::Refused) } else { Ok(()) }
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

/// A client's connection: TLS over TCP.
pub struct TlsChannel {
    tls: ServerConnection,
    socket: Arc<TcpStream>,
    /// When the request that is waited for must be there; none while nothing of one has come.
    deadline: Option<Instant>,
    /// How long an answer may take to go.
    unread_max: Duration,
}

impl TlsChannel {
    /// Shakes hands. What that costs in computing is done by few at once, whose `turn` it is; waiting for the client takes
    /// no place among them.
    pub fn accept<'a>(
        mut tls: ServerConnection,
        socket: Arc<TcpStream>,
        deadline: Instant,
        unread_max: Duration,
        turn: impl Fn() -> Result<Place<'a, Origin>, Refusal>,
    ) -> Result<TlsChannel, End> {
        tls.set_buffer_limit(None);
        socket.set_write_timeout(Some(unread_max))?;
        let mut channel = TlsChannel { tls, socket, deadline: Some(deadline), unread_max };
        while channel.tls.is_handshaking() {
            channel.flush()?;
            channel.read_some()?;
            let place = turn().map_err(End::Busy)?;
            let processed = channel.tls.process_new_packets();
            drop(place);
            channel.check(processed.map(drop))?;
        }
        channel.flush()?;
        Ok(channel)
    }

    /// Tells the client that nothing follows.
    pub fn close(&mut self) {
        self.tls.send_close_notify();
        // It may be gone.
        let _ = self.flush();
    }

    /// When TLS failed, the client is told why before the error goes on.
    fn check(&mut self, processed: Result<(), rustls::Error>) -> Result<(), End> {
        if let Err(error) = processed {
            let _ = self.flush();
            return Err(error.into());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), End> {
        let mut pace = Pace::new(self.unread_max);
        while self.tls.wants_write() {
            let written = self.tls.write_tls(&mut &*self.socket);
            let is_whole = !self.tls.wants_write();
            pace.written(written, is_whole, |left| self.socket.set_write_timeout(Some(left)))?;
        }
        pace.done(|whole| self.socket.set_write_timeout(Some(whole)))
    }

    /// Waits for bytes from the client and takes all that fit.
    fn read_some(&mut self) -> Result<(), End> {
        let mut socket = &*self.socket;
        loop {
            if let Some(deadline) = self.deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(End::TooSlow);
                }
                socket.set_read_timeout(Some(left))?;
            }
            match self.tls.read_tls(&mut socket) {
                Ok(0) => return Err(End::Closed),
                Ok(_) => return Ok(()),
                Err(error) => is_passing(error)?,
            }
        }
    }
}

/// How long one answer takes to go. A client that takes a byte now and then must not hold a thread for ever: the socket's
/// own time-out begins anew with each write.
struct Pace {
    began: Instant,
    max: Duration,
    is_shortened: bool,
}

impl Pace {
    /// The socket's time-out is `max` now.
    fn new(max: Duration) -> Pace {
        Pace { began: Instant::now(), max, is_shortened: false }
    }

    /// Judges one write. When it left something, which is rare, the time-out becomes what is left of the time.
    fn written(
        &mut self,
        written: io::Result<usize>,
        is_whole: bool,
        set: impl FnOnce(Duration) -> io::Result<()>,
    ) -> Result<usize, End> {
        let written = match written {
            Ok(0) => return Err(End::Closed),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(End::Unread);
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return Err(End::Closed);
            }
            Err(error) => return Err(error.into()),
        };
        if !is_whole {
            let left = self.max.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return Err(End::Unread);
            }
            set(left)?;
            self.is_shortened = true;
        }
        Ok(written)
    }

    /// Sets the time-out back.
    fn done(self, set: impl FnOnce(Duration) -> io::Result<()>) -> Result<(), End> {
        if self.is_shortened {
            set(self.max)?;
        }
        Ok(())
    }
}

/// Whether a read is to be tried again: a timeout is judged by the deadline.
fn is_passing(error: io::Error) -> Result<(), End> {
    match error.kind() {
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(()),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Err(End::Closed),
        _ => Err(error.into()),
    }
}

impl Channel for TlsChannel {
    fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), End> {
        loop {
            let before = buffer.len();
            let mut reader = self.tls.reader();
            loop {
                match io::BufRead::fill_buf(&mut reader) {
                    Ok([]) => return Err(End::Closed),
                    Ok(chunk) => {
                        buffer.extend_from_slice(chunk);
                        let len = chunk.len();
                        io::BufRead::consume(&mut reader, len);
                    }
                    // Nothing more is decrypted.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(End::Closed),
                    Err(error) => return Err(error.into()),
                }
            }
            if buffer.len() > before {
                return Ok(());
            }
            self.read_some()?;
            let processed = self.tls.process_new_packets().map(drop);
            self.check(processed)?;
            self.flush()?;
        }
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), End> {
        self.tls.writer().write_all(frame)?;
        self.flush()
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<(), End> {
        self.deadline = deadline;
        // With a deadline each read sets its own timeout.
        if deadline.is_none() {
            self.socket.set_read_timeout(None)?;
        }
        Ok(())
    }
}

/// The control plane's connection: a Unix socket, which the system keeps others out of.
pub struct PlainChannel {
    socket: Arc<UnixStream>,
    unread_max: Duration,
}

impl PlainChannel {
    /// With a limit for how long the peer may leave an answer unread.
    pub fn new(socket: Arc<UnixStream>, unread_max: Duration) -> io::Result<PlainChannel> {
        socket.set_write_timeout(Some(unread_max))?;
        Ok(PlainChannel { socket, unread_max })
    }
}

impl Channel for PlainChannel {
    fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), End> {
        let mut chunk = [0; BUFFER_LEN];
        loop {
            match (&*self.socket).read(&mut chunk) {
                Ok(0) => return Err(End::Closed),
                Ok(len) => {
                    buffer.extend_from_slice(&chunk[..len]);
                    return Ok(());
                }
                Err(error) => is_passing(error)?,
            }
        }
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), End> {
        let mut pace = Pace::new(self.unread_max);
        let mut rest = frame;
        while !rest.is_empty() {
            let written = (&*self.socket).write(rest);
            let is_whole = written.as_ref().is_ok_and(|len| *len == rest.len());
            let len = pace.written(written, is_whole, |left| self.socket.set_write_timeout(Some(left)))?;
            rest = &rest[len..];
        }
        pace.done(|whole| self.socket.set_write_timeout(Some(whole)))
    }

    /// The control plane may take its time: it is the owner of this process.
    fn wait_until(&mut self, _: Option<Instant>) -> Result<(), End> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MAX: Duration = Duration::from_millis(60);

    fn user(number: u8) -> UserId {
        UserId::from_bytes([number; 16])
    }

    #[test]
    fn places_for_large_frames_at_below_and_above_their_limits() {
        let large = large();
        let enter = |number| large.enter(user(number), Instant::now());
        let users = u8::try_from(LARGE_FRAMES_MAX / LARGE_FRAMES_EACH_MAX).unwrap();
        let mut places = Vec::new();
        for number in 0..users {
            for _ in 0..LARGE_FRAMES_EACH_MAX {
                places.push(enter(number).unwrap());
            }
            assert!(enter(number).is_err(), "more than one user may have");
        }
        assert_eq!(places.len(), LARGE_FRAMES_MAX);
        assert!(enter(users).is_err(), "more than all may have");
        places.pop();
        places.push(enter(users).unwrap());
        assert!(enter(users).is_err());
    }

    /// A channel on which nothing more comes.
    struct Whole;

    impl Channel for Whole {
        fn receive(&mut self, _: &mut Vec<u8>) -> Result<(), End> {
            panic!("the frame is whole")
        }

        fn send(&mut self, _: &[u8]) -> Result<(), End> {
            panic!("nothing is answered")
        }

        fn wait_until(&mut self, _: Option<Instant>) -> Result<(), End> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_takes_a_place_above_its_length_and_not_at_or_below() {
        let large = large();
        let takes_place = |len: usize| {
            let mut incoming = u32::try_from(len).unwrap().to_be_bytes().to_vec();
            incoming.resize(PREFIX_LEN + len, 0);
            let mut gate = Gate { large: Some((&large, user(1))), patience: MAX, place: None };
            let end = next_frame(&mut Whole, &mut incoming, 1024 * 1024, MAX, &mut false, &mut gate).unwrap();
            assert_eq!(end, PREFIX_LEN + len);
            gate.place.is_some()
        };
        let takes = [FRAME_LEN_LARGE - 1, FRAME_LEN_LARGE, FRAME_LEN_LARGE + 1].map(takes_place);
        assert_eq!(takes, [false, false, true]);
    }

    /// Writes as a socket that takes a byte every now and then, until the pace is too slow.
    #[test]
    fn an_answer_that_goes_byte_by_byte_is_given_up() {
        let began = Instant::now();
        let shortest = Cell::new(MAX);
        let mut pace = Pace::new(MAX);
        let end = loop {
            let note = |left: Duration| {
                assert!(left <= shortest.replace(left), "the time that is left only shrinks");
                Ok(())
            };
            match pace.written(Ok(1), false, note) {
                Ok(1) => {}
                other => break other,
            }
            assert!(began.elapsed() < MAX * 100, "it goes on for ever");
        };
        assert!(matches!(end, Err(End::Unread)), "{end:?}");
        assert!(began.elapsed() >= MAX);
    }

    #[test]
    fn an_answer_that_goes_in_time_leaves_the_socket_as_it_was() {
        let mut pace = Pace::new(MAX);
        // Whole at once: nothing is set.
        pace.written(Ok(10), true, |_| panic!("nothing is left")).unwrap();
        pace.done(|_| panic!("nothing was shortened")).unwrap();
        let mut pace = Pace::new(MAX);
        let set = Cell::new(Duration::ZERO);
        let note = |to: Duration| {
            set.set(to);
            Ok(())
        };
        pace.written(Ok(4), false, note).unwrap();
        assert!(set.get() > Duration::ZERO && set.get() <= MAX);
        pace.written(Ok(6), true, note).unwrap();
        pace.done(note).unwrap();
        assert_eq!(set.get(), MAX);
    }

    #[test]
    fn ends_are_told_apart() {
        let check = |error: ErrorKind, is_expected: fn(&End) -> bool| {
            let end = Pace::new(MAX).written(Err(error.into()), false, |_| Ok(())).unwrap_err();
            assert!(is_expected(&end), "{error:?}: {end:?}");
        };
        check(ErrorKind::WouldBlock, |end| matches!(end, End::Unread));
        check(ErrorKind::TimedOut, |end| matches!(end, End::Unread));
        check(ErrorKind::BrokenPipe, |end| matches!(end, End::Closed));
        check(ErrorKind::ConnectionReset, |end| matches!(end, End::Closed));
        check(ErrorKind::PermissionDenied, |end| matches!(end, End::Io(_)));
        assert!(matches!(Pace::new(MAX).written(Ok(0), false, |_| Ok(())), Err(End::Closed)));
    }
}

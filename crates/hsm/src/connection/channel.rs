//! What carries a connection's bytes: TLS over TCP for clients, a Unix socket for the control plane.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use strongroom_crypto::tls::client_fault;
use strongroom_types::Refusal;
use strongroom_types::buffers::reserve_total;

use super::{BUFFER_LEN, End};
use crate::connections::Origin;
use crate::pools::Place;

/// Carries bytes both ways.
pub trait Channel {
    /// Appends what has come, at least one byte, to `buffer`.
    fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), End>;
    /// Sends a whole frame.
    fn send(&mut self, frame: &[u8]) -> Result<(), End>;
    /// Until when [`receive`](Channel::receive) waits; none is for ever.
    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<(), End>;
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
        let Err(error) = processed else { return Ok(()) };
        let _ = self.flush();
        Err(client_fault(&error).map_or_else(|| End::Tls(error), End::ClientCertificate))
    }

    /// The certificates that the client has shown, its own first.
    pub fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.peer_certificates()
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

/// Puts what came behind what was there. What came may be secret.
fn append(buffer: &mut Vec<u8>, chunk: &[u8]) {
    let len = buffer.len() + chunk.len();
    if len > buffer.capacity() {
        reserve_total(buffer, len.max(2 * buffer.capacity()));
    }
    buffer.extend_from_slice(chunk);
}

/// How long one answer takes to go. A client that takes a byte now and then must not hold a thread for ever: the socket's
/// own time-out begins anew with each write.
pub(super) struct Pace {
    began: Instant,
    max: Duration,
    is_shortened: bool,
}

impl Pace {
    /// The socket's time-out is `max` now.
    pub(super) fn new(max: Duration) -> Pace {
        Pace { began: Instant::now(), max, is_shortened: false }
    }

    /// Judges one write. When it left something, which is rare, the time-out becomes what is left of the time.
    pub(super) fn written(
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
    pub(super) fn done(self, set: impl FnOnce(Duration) -> io::Result<()>) -> Result<(), End> {
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
                        append(buffer, chunk);
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

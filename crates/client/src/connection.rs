//! One connection to one member: TLS, frames, one request at a time.
//!
//! Nothing is sent when a connection ends: frames say how long they are, so an end without close_notify (RFC 8446 §6.1) can
//! cut no answer short unnoticed, and a forked child must send nothing over its parent's connections.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConnection, Error as TlsError};
use strongroom_crypto::certificates::Certificate;
use strongroom_crypto::tls::{NotAnHsm, alpn_agreed};
use strongroom_types::ClusterId;
use strongroom_types::buffers::{reserve_total, wipe_and_clear};
use strongroom_types::limits::FRAME_LEN_MAX;
use strongroom_wire::frame::{self, FrameError, PREFIX_LEN};
use strongroom_wire::v1;

use crate::config::Server;
use crate::descriptors::Entered;
use crate::error::{Cause, CertificateFault, ConnectError};
use crate::generation::Generation;

/// Bytes that a connection's buffers keep between requests: a process may have many connections.
const BUFFER_KEPT_MAX: usize = 64 * 1024;

/// What every connection of a client has in common.
pub(crate) struct Trust {
    pub(crate) tls: Arc<rustls::ClientConfig>,
    /// Where the CA came from, for messages.
    pub(crate) ca: String,
    /// Where the client's certificate came from, if there is one.
    pub(crate) certificate: Option<Arc<str>>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The connection is of no use any more.
    Failed(Cause),
    /// The request is none that can be sent; nothing was.
    TooLong(FrameError),
}

impl From<Cause> for AskError {
    fn from(cause: Cause) -> AskError {
        AskError::Failed(cause)
    }
}

/// A connection that is between two requests, or in the hands of one call.
pub(crate) struct Connection {
    /// Before `socket`: see [`Entered`].
    _entered: Option<Entered>,
    socket: TcpStream,
    tls: ClientConnection,
    /// The file of the certificate that was shown if it was asked for.
    certificate: Option<Arc<str>>,
    /// What the socket's time-outs are set to.
    limit: Duration,
    output: Vec<u8>,
    input: Vec<u8>,
    requests: u64,
    /// The login it is attached to, by the engine's number; zero is none.
    pub(crate) attached: u64,
    /// The number of the ticket by which it is.
    pub(crate) ticket: u64,
    /// Whether the member will not answer on it again.
    pub(crate) spent: bool,
}

impl Connection {
    /// Connects and shakes hands within `limit`; looking up a host name has a time of its own. The certificate must be
    /// of `wanted`, if that is known; the cluster it is of comes back.
    pub(crate) fn open(
        server: &Server,
        trust: &Trust,
        wanted: Option<&ClusterId>,
        generation: &Generation,
        limit: Duration,
    ) -> Result<(Connection, ClusterId), ConnectError> {
        let addresses = generation.names.addresses(server)?;
        let began = Instant::now();
        let socket = connect(&addresses, limit).inspect_err(|_| generation.names.forget(server))?;
        // Refused only by a socket that is no TCP any more; then the handshake says so.
        let _ = socket.set_nodelay(true);
        let name = match socket.peer_addr() {
            Ok(peer) => ServerName::from(peer.ip()),
            Err(error) => return Err(ConnectError::Socket(error.to_string())),
        };
        let mut tls = ClientConnection::new(Arc::clone(&trust.tls), name)
            .map_err(|error| ConnectError::Tls(error.to_string()))?;
        // A frame is written in one piece.
        tls.set_buffer_limit(None);
        let mut connection = Connection {
            _entered: generation.descriptors.enter(socket.as_raw_fd()),
            socket,
            tls,
            certificate: trust.certificate.clone(),
            limit: Duration::ZERO,
            output: Vec::new(),
            input: Vec::new(),
            requests: 0,
            attached: 0,
            ticket: 0,
            spent: false,
        };
        connection.shake_hands(began, limit, &trust.ca)?;
        let found = connection.cluster().ok_or(ConnectError::NoHsm)?;
        match wanted {
            Some(wanted) if *wanted != found => Err(ConnectError::AnotherCluster { found, wanted: wanted.clone() }),
            _ => Ok((connection, found)),
        }
    }

    fn shake_hands(&mut self, began: Instant, limit: Duration, ca: &str) -> Result<(), ConnectError> {
        while self.tls.is_handshaking() {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(ConnectError::Mute(limit.as_millis()));
            }
            let step = self
                .set_limit(left)
                .and_then(|()| self.flush(began, limit))
                .and_then(|()| if self.tls.is_handshaking() { self.receive(began, limit).map(Some) } else { Ok(None) });
            match step {
                Ok(None | Some(1..)) => {}
                Ok(Some(0)) => return Err(ConnectError::Lost("closed by the other side".into())),
                Err(error) if is_timeout(&error) => return Err(ConnectError::Mute(limit.as_millis())),
                Err(error) => return Err(ConnectError::Lost(error.to_string())),
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The other side learns why, if it listens.
                let _ = self.flush(began, limit);
                return Err(self.refused(&error).unwrap_or_else(|| tls_error(&error, ca)));
            }
        }
        // What TLS has left to say, its Finished above all, goes along with the first request.
        if alpn_agreed(self.tls.alpn_protocol()) { Ok(()) } else { Err(ConnectError::NoHsm) }
    }

    /// The cluster that the certificate names.
    fn cluster(&self) -> Option<ClusterId> {
        let leaf = self.tls.peer_certificates()?.first()?;
        Certificate::from_der(leaf).ok()?.subject().hsm_cluster()
    }

    /// Sends a request and waits for its answer, `limit` at most. Sets the request's id and deadline. Nothing of both stays
    /// in this connection's buffers.
    pub(crate) fn ask(&mut self, request: &mut v1::Request, limit: Duration) -> Result<v1::Response, AskError> {
        self.requests += 1;
        request.id = self.requests;
        request.deadline_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
        let encoded = frame::encode(request, &mut self.output);
        encoded.map_err(AskError::TooLong)?;
        let answer = self.exchange(limit);
        let response = answer.and_then(|range| self.read_answer(range));
        for buffer in [&mut self.output, &mut self.input] {
            wipe_and_clear(buffer);
            if buffer.capacity() > BUFFER_KEPT_MAX {
                *buffer = Vec::new();
            }
        }
        self.spent |= response.is_err();
        Ok(response?)
    }

    /// Writes what is in `output` and reads one frame into `input`; where its message lies.
    fn exchange(&mut self, limit: Duration) -> Result<std::ops::Range<usize>, Cause> {
        let began = Instant::now();
        let lost = |error: io::Error| match is_timeout(&error) {
            true => Cause::Silent(limit.as_millis()),
            false => Cause::Lost(error.to_string()),
        };
        if self.limit != limit {
            self.set_limit(limit).map_err(lost)?;
        }
        self.tls.writer().write_all(&self.output).map_err(lost)?;
        if let Err(error) = self.flush(began, limit) {
            // An HSM that refused what was shown in the handshake has said so before it closed the connection.
            let said = !is_timeout(&error) && self.receive(began, limit).is_ok();
            let refused = said.then(|| self.tls.process_new_packets().err().and_then(|error| self.refused(&error)));
            return Err(refused.flatten().map_or_else(|| lost(error), Cause::Connect));
        }
        loop {
            if self.receive(began, limit).map_err(lost)? == 0 {
                return Err(Cause::Lost("closed by the HSM".into()));
            }
            let processed = self.tls.process_new_packets();
            let state = processed.map_err(|error| match self.refused(&error) {
                Some(refused) => Cause::Connect(refused),
                None => Cause::Lost(error.to_string()),
            })?;
            let plain = state.plaintext_bytes_to_read();
            if self.input.len() + plain > PREFIX_LEN + FRAME_LEN_MAX {
                return Err(Cause::Protocol("an answer longer than a frame may be"));
            }
            let have = self.input.len();
            reserve_total(&mut self.input, have + plain);
            self.input.resize(have + plain, 0);
            self.tls.reader().read_exact(&mut self.input[have..]).map_err(lost)?;
            if let Some(range) = whole_frame(&self.input)? {
                return Ok(range);
            }
            // The rest of the frame, so that the buffer moves once.
            if let Some(prefix) = self.input.first_chunk::<PREFIX_LEN>() {
                let len = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
                reserve_total(&mut self.input, PREFIX_LEN + len.min(FRAME_LEN_MAX));
            }
            if began.elapsed() >= limit {
                return Err(Cause::Silent(limit.as_millis()));
            }
        }
    }

    /// Why the HSM does not take this client, when that is what an alert says. In TLS 1.3 the client is through with its
    /// handshake before the HSM has looked at its certificate, so the alert may stand in place of the first answer.
    fn refused(&self, error: &TlsError) -> Option<ConnectError> {
        let TlsError::AlertReceived(alert) = error else { return None };
        let fault = match alert {
            AlertDescription::CertificateRequired => return Some(ConnectError::CertificateRequired),
            AlertDescription::UnknownCA => CertificateFault::UnknownCa,
            AlertDescription::CertificateExpired => CertificateFault::Time,
            AlertDescription::UnsupportedCertificate => CertificateFault::Usage,
            AlertDescription::BadCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => CertificateFault::Other,
            _ => return None,
        };
        let path = self.certificate.as_ref()?.to_string();
        Some(ConnectError::CertificateRefused { path, fault })
    }

    fn read_answer(&mut self, range: std::ops::Range<usize>) -> Result<v1::Response, Cause> {
        let response = frame::decode_response(&self.input[range]);
        let response = response.map_err(|_| Cause::Protocol("an answer that cannot be decoded"))?;
        // A request that could not be read is refused without its id, and the connection ends.
        if response.id == 0 && response.status != 0 {
            self.spent = true;
        } else if response.id != self.requests {
            return Err(Cause::Protocol("an answer to another request"));
        }
        Ok(response)
    }

    fn set_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(limit))?;
        self.socket.set_write_timeout(Some(limit))?;
        self.limit = limit;
        Ok(())
    }

    /// Sends what TLS has to send.
    fn flush(&mut self, began: Instant, limit: Duration) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Quiet(&self.socket)) {
                Err(error) if error.kind() == ErrorKind::Interrupted && began.elapsed() < limit => {}
                Err(error) => return Err(error),
                Ok(_) if began.elapsed() >= limit && self.tls.wants_write() => return Err(ErrorKind::TimedOut.into()),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// One read from the socket; zero is its end.
    fn receive(&mut self, began: Instant, limit: Duration) -> io::Result<usize> {
        loop {
            match self.tls.read_tls(&mut (&self.socket)) {
                // A signal, of a server's timer for example. The time-out then began anew, so that it is looked at here.
                Err(error) if error.kind() == ErrorKind::Interrupted && began.elapsed() < limit => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(ErrorKind::TimedOut.into()),
                other => return other,
            }
        }
    }
}

/// Where the message of a whole frame lies in `input`, or none when some of it is missing.
fn whole_frame(input: &[u8]) -> Result<Option<std::ops::Range<usize>>, Cause> {
    let Some((prefix, rest)) = input.split_first_chunk() else { return Ok(None) };
    let len = frame::body_len(*prefix, FRAME_LEN_MAX).map_err(|error| match error {
        FrameError::Empty => Cause::Protocol("an empty answer"),
        FrameError::TooLong { .. } => Cause::Protocol("an answer longer than a frame may be"),
    })?;
    match rest.len() {
        have if have < len => Ok(None),
        have if have == len => Ok(Some(PREFIX_LEN..PREFIX_LEN + len)),
        _ => Err(Cause::Protocol("more than one answer")),
    }
}

/// A socket whose peer may be gone: `write` of the standard library asks the kernel for no SIGPIPE, its `write_vectored`
/// does not, and the signal would end the program that has loaded us.
struct Quiet<'a>(&'a TcpStream);

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A TCP connection to the first of the addresses that takes one.
fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, ConnectError> {
    let began = Instant::now();
    let mut failure = ConnectError::Name("none is known".into());
    for address in addresses {
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(ConnectError::Silent(limit.as_millis()));
        }
        match TcpStream::connect_timeout(address, left) {
            Ok(socket) => return Ok(socket),
            Err(error) if is_timeout(&error) => failure = ConnectError::Silent(limit.as_millis()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                failure = ConnectError::Socket("connection refused; is the HSM running?".into());
            }
            Err(error) => failure = ConnectError::Socket(error.to_string()),
        }
    }
    Err(failure)
}

/// Who is to blame for a failed handshake, and what helps.
fn tls_error(error: &TlsError, ca: &str) -> ConnectError {
    match error {
        TlsError::InvalidMessage(_) | TlsError::InappropriateMessage { .. } => ConnectError::NoTls,
        TlsError::NoApplicationProtocol
        | TlsError::PeerIncompatible(_)
        | TlsError::AlertReceived(AlertDescription::NoApplicationProtocol | AlertDescription::ProtocolVersion) => {
            ConnectError::NoHsm
        }
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => ConnectError::Ca(ca.to_owned()),
        TlsError::InvalidCertificate(CertificateError::Expired) => ConnectError::Time("has expired"),
        TlsError::InvalidCertificate(CertificateError::NotValidYet) => ConnectError::Time("is not valid yet"),
        TlsError::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<NotAnHsm>() {
            Some(not_an_hsm) => ConnectError::Tls(not_an_hsm.to_string()),
            None => ConnectError::Tls(other.to_string()),
        },
        other => ConnectError::Tls(other.to_string()),
    }
}

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use strongroom_crypto::certificates::Anchors;
use strongroom_crypto::tls::ClientIdentity;
use strongroom_crypto::{random, tls};
use strongroom_types::limits::{FRAME_LEN_MAX, HSM_PORT};
use strongroom_types::{Refusal, Status};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{frame, v1};

/// The protocol spoken by hand, to one HSM, over one connection: for who must know which HSM answers, or says what no client
/// would.
pub struct Hand {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// The highest revision that an answer carried, sent with each request as clients do.
    pub seen: u64,
}

impl Hand {
    /// Connects to the HSM at this address, trusting the CA in this file; waits no longer than `patience` for the
    /// connection and for each answer.
    pub fn connect(ip: &str, customer_ca: &Path, patience: Duration) -> io::Result<Hand> {
        let ip: IpAddr = ip.parse().map_err(io::Error::other)?;
        Hand::over(TcpStream::connect_timeout(&SocketAddr::new(ip, HSM_PORT), patience)?, customer_ca, patience)
    }

    /// The same over a socket that is connected.
    pub fn over(socket: TcpStream, customer_ca: &Path, patience: Duration) -> io::Result<Hand> {
        Hand::over_session(socket, Hand::session(customer_ca)?, patience)
    }

    /// The same with a client's side of TLS that has said nothing yet.
    pub fn over_session(socket: TcpStream, session: ClientConnection, patience: Duration) -> io::Result<Hand> {
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        socket.set_nodelay(true)?;
        Ok(Hand { stream: StreamOwned::new(session, socket), seen: 0 })
    }

    /// A client's side of TLS that has said nothing yet.
    pub fn session(customer_ca: &Path) -> io::Result<ClientConnection> {
        Hand::session_with(customer_ca, None)
    }

    /// The same, which shows a certificate if it is asked for one.
    pub fn session_with(customer_ca: &Path, identity: Option<&ClientIdentity>) -> io::Result<ClientConnection> {
        let pem = std::fs::read(customer_ca)?;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
        let trust = tls::client_config(&Anchors::from_pem(&pem, now_s).map_err(io::Error::other)?, identity);
        // No certificate of an HSM names an address.
        let name = ServerName::from(IpAddr::from([127, 0, 0, 1]));
        ClientConnection::new(trust, name).map_err(io::Error::other)
    }

    /// Sends a request as it is and returns the answer: a result or a refusal. An error is the end of the connection.
    pub fn exchange(&mut self, request: v1::Request) -> io::Result<Result<Answer, Refusal>> {
        let mut bytes = Vec::new();
        frame::encode(&v1::Request { id: 1, ..request }, &mut bytes).map_err(io::Error::other)?;
        self.stream.write_all(&bytes)?;
        self.stream.flush()?;
        let mut prefix = [0; frame::PREFIX_LEN];
        self.stream.read_exact(&mut prefix)?;
        let mut content = vec![0; frame::body_len(prefix, FRAME_LEN_MAX).map_err(io::Error::other)?];
        self.stream.read_exact(&mut content)?;
        let response = frame::decode_response(&content).map_err(io::Error::other)?;
        self.seen = self.seen.max(response.revision);
        if response.status == 0 {
            return response.result.map(Ok).ok_or_else(|| io::Error::other("an answer without a result"));
        }
        let status = Status::from_number(response.status);
        Ok(Err(Refusal::new(status.ok_or_else(|| io::Error::other("an unknown status"))?, response.about)))
    }

    /// Asks for an operation under a fresh request id.
    pub fn request(&mut self, operation: Operation) -> io::Result<Result<Answer, Refusal>> {
        let request_id = random::bytes::<16>().to_vec();
        let seen_revision = self.seen;
        self.exchange(v1::Request { request_id, seen_revision, operation: Some(operation), ..v1::Request::default() })
    }
}

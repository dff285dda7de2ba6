//! The protocol spoken by hand, to one HSM: for tests that must know which one answers, or that send what no client would.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use strongroom_crypto::certificates::Anchors;
use strongroom_crypto::{random, tls};
use strongroom_tests::World;
use strongroom_types::Status;
use strongroom_types::limits::{FRAME_LEN_MAX, HSM_PORT};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{frame, v1};

const PATIENCE: Duration = Duration::from_secs(20);
const CRYPTO_USER: i32 = v1::Role::CryptoUser as i32;

/// A client by hand: one connection, and whatever it wants to say.
pub(crate) struct Hand(StreamOwned<ClientConnection, TcpStream>);

impl Hand {
    pub(crate) fn at(world: &World, ip: &str) -> Hand {
        let pem = std::fs::read(world.customer_ca()).expect("the CA's certificate");
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let trust = tls::client_config(&Anchors::from_pem(&pem, now_s).expect("a CA"));
        let ip: IpAddr = ip.parse().expect("an address");
        let session = ClientConnection::new(trust, ServerName::from(ip)).expect("a TLS session");
        let socket = TcpStream::connect((ip, HSM_PORT)).expect("the HSM listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Hand(StreamOwned::new(session, socket))
    }

    pub(crate) fn send(&mut self, request: v1::Request) -> Result<Answer, Status> {
        let mut bytes = Vec::new();
        frame::encode(&v1::Request { id: 1, ..request }, &mut bytes).expect("it fits a frame");
        self.0.write_all(&bytes).and_then(|()| self.0.flush()).expect("sent");
        let mut prefix = [0; frame::PREFIX_LEN];
        self.0.read_exact(&mut prefix).expect("an answer");
        let mut content = vec![0; frame::body_len(prefix, FRAME_LEN_MAX).expect("a frame")];
        self.0.read_exact(&mut content).expect("an answer");
        let response = frame::decode_response(&content).expect("an answer");
        match Status::from_number(response.status) {
            None => Ok(response.result.expect("a result")),
            Some(status) => Err(status),
        }
    }

    pub(crate) fn ask(&mut self, operation: Operation) -> Result<Answer, Status> {
        let request_id = random::bytes::<16>().to_vec();
        self.send(v1::Request { request_id, operation: Some(operation), ..v1::Request::default() })
    }

    /// The ticket.
    pub(crate) fn log_in(&mut self, user: &str, password: &str) -> Result<Vec<u8>, Status> {
        let login = v1::Login { user_name: user.into(), role: CRYPTO_USER, password: password.into() };
        match self.ask(Operation::Login(login))? {
            Answer::Login(result) => Ok(result.ticket),
            _ => panic!("another answer"),
        }
    }

    pub(crate) fn attach(&mut self, ticket: &[u8]) -> Result<(), Status> {
        self.ask(Operation::Attach(v1::Attach { ticket: ticket.to_vec() })).map(drop)
    }
}

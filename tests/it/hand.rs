//! The protocol spoken by hand, to one HSM: for tests that must know which one answers, or that send what no client would.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use strongroom_crypto::random;
use strongroom_crypto::tls::ClientIdentity;
use strongroom_tests::World;
use strongroom_types::limits::HSM_PORT;
use strongroom_types::{Secret, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

const PATIENCE: Duration = Duration::from_secs(20);
const CRYPTO_USER: i32 = v1::Role::CryptoUser as i32;

/// A client by hand: one connection, and whatever it wants to say.
pub(crate) struct Hand(strongroom_tests::Hand);

impl Hand {
    pub(crate) fn at(world: &World, ip: &str) -> Hand {
        Hand(strongroom_tests::Hand::connect(ip, &world.customer_ca(), PATIENCE).expect("the HSM listens"))
    }

    /// With a client certificate and its key, in PEM.
    pub(crate) fn with_certificate(world: &World, ip: &str, chain: &Path, key: &Path) -> Hand {
        let read = |path: &Path| std::fs::read(path).expect("it was made");
        let identity = ClientIdentity::from_pem(&read(chain), &Secret::new(read(key))).expect("they fit");
        let session = strongroom_tests::Hand::session_with(&world.customer_ca(), Some(&identity)).expect("a CA");
        let socket = TcpStream::connect((ip, HSM_PORT)).expect("the HSM listens");
        Hand(strongroom_tests::Hand::over_session(socket, session, PATIENCE).expect("a socket"))
    }

    pub(crate) fn over(world: &World, socket: TcpStream) -> Hand {
        Hand(strongroom_tests::Hand::over(socket, &world.customer_ca(), PATIENCE).expect("a socket"))
    }

    pub(crate) fn send(&mut self, request: v1::Request) -> Result<Answer, Status> {
        self.try_send(request).expect("an answer")
    }

    /// The same on a connection that the HSM may end.
    pub(crate) fn try_send(&mut self, request: v1::Request) -> std::io::Result<Result<Answer, Status>> {
        Ok(self.0.exchange(request)?.map_err(|refusal| refusal.status))
    }

    /// Whether the HSM answers nothing more because it has closed the connection, rather than too late.
    pub(crate) fn is_ended(&mut self) -> bool {
        let asked = self.0.request(Operation::ClusterInfo(v1::ClusterInfo {}));
        asked.is_err_and(|error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    pub(crate) fn ask(&mut self, operation: Operation) -> Result<Answer, Status> {
        let request_id = random::bytes::<16>().to_vec();
        self.send(v1::Request { request_id, operation: Some(operation), ..v1::Request::default() })
    }

    /// The ticket.
    pub(crate) fn log_in(&mut self, user: &str, password: &str) -> Result<Vec<u8>, Status> {
        let login =
            v1::Login { user_name: user.into(), role: CRYPTO_USER, password: password.into(), ..v1::Login::default() };
        match self.ask(Operation::Login(login))? {
            Answer::Login(result) => Ok(result.ticket),
            _ => panic!("another answer"),
        }
    }

    pub(crate) fn attach(&mut self, ticket: &[u8]) -> Result<(), Status> {
        self.ask(Operation::Attach(v1::Attach { ticket: ticket.to_vec() })).map(drop)
    }
}

use std::fmt;
use std::net::SocketAddr;

use strongroom_core::{Actor, LoginActor, State, Via, check_connection};
use strongroom_types::{CertificateFingerprint, Refusal};

/// What a connection is to the service: who is at its other end, and who is logged in.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
    /// The trust anchor under which the client's certificate was good when the connection began.
    presented: Option<CertificateFingerprint>,
    /// The connection may be no more, which its client was told.
    is_over: bool,
    /// What the client calls itself, made safe for a log.
    client: String,
    login: Option<LoginActor>,
    /// Whether the login stood when it was last looked at.
    stands: bool,
    /// A ticket is due: the login goes on with another one.
    pub(super) renewed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Peer {
    Client(SocketAddr),
    Appliance,
}

impl Session {
    /// A client's, who came with a certificate under this trust anchor, or without one.
    pub fn of_client(peer: SocketAddr, presented: Option<CertificateFingerprint>) -> Session {
        Session { presented, ..Session::of(Peer::Client(peer)) }
    }

    /// The control plane's.
    pub fn of_appliance() -> Session {
        Session::of(Peer::Appliance)
    }

    fn of(peer: Peer) -> Session {
        let client = String::new();
        Session { peer, presented: None, is_over: false, client, login: None, stands: false, renewed: false }
    }

    /// Whether nothing is to be answered over the connection any more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Why the connection may be no more, if that is so.
    pub fn fault(&self, state: &State) -> Option<Refusal> {
        match self.via() {
            Via::Inside => None,
            Via::Client(presented) => check_connection(state, presented.as_ref()).err(),
        }
    }

    /// Over what its commands come.
    pub(super) fn via(&self) -> Via {
        match self.peer {
            Peer::Appliance => Via::Inside,
            Peer::Client(_) => Via::Client(self.presented),
        }
    }

    /// Whether the connection may be, with what its client has shown. The control plane's is no matter of certificates.
    pub(super) fn check_connection(&mut self, state: &State) -> Result<(), Refusal> {
        match self.fault(state) {
            None => Ok(()),
            Some(refusal) => {
                self.is_over = true;
                Err(refusal)
            }
        }
    }

    /// Whether somebody is logged in, as far as this connection knows.
    pub fn has_login(&self) -> bool {
        self.standing_login().is_some()
    }

    /// The login, if it stands as far as this connection knows.
    pub fn standing_login(&self) -> Option<LoginActor> {
        self.login.filter(|_| self.stands)
    }

    /// Who asks.
    pub(super) fn actor(&self) -> Actor {
        match (self.peer, self.login) {
            (Peer::Appliance, _) => Actor::Appliance,
            (Peer::Client(_), Some(login)) => Actor::Login(login),
            (Peer::Client(_), None) => Actor::Anonymous,
        }
    }

    pub(super) fn login(&self) -> Option<LoginActor> {
        self.login
    }

    pub(super) fn set_client(&mut self, name: &str) {
        self.client = name.escape_default().to_string();
    }

    /// A login that stands.
    pub(super) fn logged_in(&mut self, login: LoginActor) {
        self.login = Some(login);
        self.stands = true;
    }

    /// A login that has ended: good for nothing but finding the receipt of the change that ended it.
    pub(super) fn attached_to_ended(&mut self, login: LoginActor) {
        self.login = Some(login);
        self.stands = false;
    }

    pub(super) fn set_stands(&mut self, stands: bool) {
        self.stands = stands;
    }

    pub(super) fn logged_out(&mut self) {
        self.login = None;
        self.stands = false;
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Peer::Client(address) if self.client.is_empty() => write!(f, "{address}"),
            Peer::Client(address) => write!(f, "{address} ({})", self.client),
            Peer::Appliance => f.write_str("the control plane"),
        }
    }
}

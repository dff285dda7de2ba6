use std::fmt;
use std::net::SocketAddr;

use strongroom_core::{Actor, LoginActor};

/// What a connection is to the service: who is at its other end, and who is logged in.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
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
    /// A client's.
    pub fn of_client(peer: SocketAddr) -> Session {
        Session { peer: Peer::Client(peer), client: String::new(), login: None, stands: false, renewed: false }
    }

    /// The control plane's.
    pub fn of_appliance() -> Session {
        Session { peer: Peer::Appliance, client: String::new(), login: None, stands: false, renewed: false }
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

//! Addresses of servers that a configuration names by host name.
//!
//! The system's resolver looks a name up, and nobody can tell it when to stop: its time is `timeout` and `attempts` in
//! `resolv.conf`, 10 s for each name server unless they say otherwise. A thread of our own could be left behind instead,
//! but this engine has none: it would take signals that are meant for the program, and be lost in a fork. So what was found
//! is kept, and looked up again only after none of it took a connection. Members learned from the cluster have addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Server;
use crate::error::ConnectError;

/// What was looked up, by host and port.
#[derive(Default)]
pub(crate) struct Names(Mutex<Known>);

type Known = BTreeMap<(String, u16), Arc<[SocketAddr]>>;

impl Names {
    /// The server's addresses; at least one.
    pub(crate) fn addresses(&self, server: &Server) -> Result<Arc<[SocketAddr]>, ConnectError> {
        self.addresses_by(server, |server| (server.address.as_str(), server.port).to_socket_addrs())
    }

    fn addresses_by<A: Iterator<Item = SocketAddr>>(
        &self,
        server: &Server,
        look_up: impl FnOnce(&Server) -> std::io::Result<A>,
    ) -> Result<Arc<[SocketAddr]>, ConnectError> {
        if let Ok(ip) = server.address.parse::<IpAddr>() {
            return Ok(Arc::new([SocketAddr::new(ip, server.port)]));
        }
        if let Some(known) = self.lock().get(&key(server)) {
            return Ok(Arc::clone(known));
        }
        // Nobody else waits for a slow name server meanwhile.
        let found = look_up(server).map_err(|error| ConnectError::Name(error.to_string()))?;
        let found: Arc<[SocketAddr]> = found.collect();
        if found.is_empty() {
            return Err(ConnectError::Name("none is known".into()));
        }
        self.lock().insert(key(server), Arc::clone(&found));
        Ok(found)
    }

    /// None of the addresses is of use: the next who wants them looks again.
    pub(crate) fn forget(&self, server: &Server) {
        self.lock().remove(&key(server));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(server: &Server) -> (String, u16) {
    (server.address.clone(), server.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: &str) -> Server {
        Server { address: address.into(), port: 2223 }
    }

    #[test]
    fn a_name_is_looked_up_once_until_it_is_of_no_use() {
        let names = Names::default();
        let there = SocketAddr::from(([192, 0, 2, 1], 2223));
        let mut looked = 0;
        let mut find = |names: &Names| {
            let found = names.addresses_by(&server("hsm.example"), |_| {
                looked += 1;
                Ok([there].into_iter())
            });
            assert_eq!(*found.unwrap(), [there]);
        };
        find(&names);
        find(&names);
        names.forget(&server("hsm.example"));
        find(&names);
        find(&names);
        assert_eq!(looked, 2);
    }

    #[test]
    fn an_address_is_not_looked_up_and_a_failure_is_not_kept() {
        let names = Names::default();
        let never = |_: &Server| -> std::io::Result<std::iter::Empty<SocketAddr>> { panic!("looked up") };
        for address in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(names.addresses_by(&server(address), never).unwrap().len(), 1);
        }
        let fails = |_: &Server| Err::<std::iter::Empty<_>, _>(std::io::Error::other("no such host"));
        assert_eq!(names.addresses_by(&server("x"), fails), Err(ConnectError::Name("no such host".into())));
        let none = |_: &Server| Ok(std::iter::empty());
        assert_eq!(names.addresses_by(&server("x"), none), Err(ConnectError::Name("none is known".into())));
        let there = SocketAddr::from(([192, 0, 2, 1], 2223));
        assert!(names.addresses_by(&server("x"), |_| Ok([there].into_iter())).is_ok());
    }
}

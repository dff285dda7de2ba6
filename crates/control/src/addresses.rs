//! Addresses of HSMs on one machine.
//!
//! An HSM's address stands for the service's ENI address, and clients expect port 2223 on each. So every state folder
//! takes a block 127.A.B.0/24 of the loopback network for itself, A and B from 1 to 254 (which leaves out 127.0.0.0/16,
//! where everybody else lives), and its HSMs are .1, .2 and so on.
//!
//! * A block is free when the port can be bound on each of the addresses.
//! * Two `up`s that start at the same time could find the same block free. Each therefore holds a name of the block, a
//!   socket in the abstract namespace (it belongs to the network namespace, as the addresses do), until its HSMs have
//!   bound their ports or it gives up. The kernel frees the name when the process ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use strongroom_types::HsmId;

use crate::error::AddressError;

/// How many blocks are tried before giving up.
const TRIES_MAX: u32 = 64;

/// The addresses of one cluster, and the block's name while it is held.
#[derive(Debug)]
pub struct Block {
    /// One address an HSM.
    pub addresses: Vec<Ipv4Addr>,
    _name: UnixListener,
}

/// Takes a free block for `hsms` HSMs. `draw` gives two random bytes.
pub fn take(hsms: u8, port: u16, mut draw: impl FnMut() -> [u8; 2]) -> Result<Block, AddressError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES_MAX {
        let [a, b] = loop {
            let drawn = draw();
            if drawn.iter().all(|byte| (1..=254).contains(byte)) {
                break drawn;
            }
        };
        match hold_name(a, b).and_then(|name| Ok((name, probe(a, b, hsms, port)?))) {
            Ok((name, addresses)) => return Ok(Block { addresses, _name: name }),
            Err(error) => last = error,
        }
    }
    Err(AddressError::NoneFree { hsms: usize::from(hsms), tries: TRIES_MAX, port, source: last })
}

/// Whether the address that `hsm` has can be bound.
pub fn check_free(hsm: &HsmId, address: SocketAddrV4) -> Result<(), AddressError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(AddressError::Taken { hsm: hsm.clone(), address, source }),
    }
}

fn hold_name(a: u8, b: u8) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("strongroom/127.{a}.{b}"))?)
}

fn probe(a: u8, b: u8, hsms: u8, port: u16) -> io::Result<Vec<Ipv4Addr>> {
    let addresses: Vec<_> = (1..=hsms).map(|host| Ipv4Addr::new(127, a, b, host)).collect();
    // All at once: they are given back when the last is known to be free.
    let _bound =
        addresses.iter().map(|ip| TcpListener::bind(SocketAddrV4::new(*ip, port))).collect::<io::Result<Vec<_>>>()?;
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that was free a moment ago; each test draws its own blocks.
    fn some_port() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 1), 0)).expect("a free port");
        listener.local_addr().expect("bound").port()
    }

    fn sequence(blocks: &[[u8; 2]]) -> impl FnMut() -> [u8; 2] + '_ {
        let mut blocks = blocks.iter().copied().cycle();
        move || blocks.next().expect("a cycle does not end")
    }

    #[test]
    fn blocks_of_others_and_reserved_ones_are_passed_over() {
        let port = some_port();
        let _other = TcpListener::bind((Ipv4Addr::new(127, 201, 7, 2), port)).expect("bound");
        let draw = sequence(&[[0, 0], [0, 1], [255, 9], [9, 255], [201, 7], [201, 8]]);
        let block = take(2, port, draw).expect("a block");
        assert_eq!(block.addresses, [Ipv4Addr::new(127, 201, 8, 1), Ipv4Addr::new(127, 201, 8, 2)]);
    }

    #[test]
    fn a_block_that_another_up_holds_is_passed_over_and_free_again_afterwards() {
        let port = some_port();
        let first = take(1, port, sequence(&[[202, 1]])).expect("a block");
        let second = take(1, port, sequence(&[[202, 1], [202, 2]])).expect("another block");
        assert_eq!(second.addresses, [Ipv4Addr::new(127, 202, 2, 1)]);
        drop(first);
        assert!(take(1, port, sequence(&[[202, 1]])).is_ok());
    }

    #[test]
    fn a_listener_on_every_address_is_named_as_the_likely_cause() {
        let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("bound");
        let port = everywhere.local_addr().expect("bound").port();
        let error = take(1, port, sequence(&[[203, 1], [203, 2]])).expect_err("nothing is free").to_string();
        assert!(error.contains(&format!("listens on port {port} of every address")), "{error}");
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::new(127, 204, 1, 1), 0)).expect("bound");
        let port = taken.local_addr().expect("bound").port();
        let hsm = HsmId::from_random([1; 7]);
        let address = SocketAddrV4::new(Ipv4Addr::new(127, 204, 1, 1), port);
        let error = check_free(&hsm, address).expect_err("taken").to_string();
        assert!(error.contains(&address.to_string()) && error.contains(hsm.as_str()), "{error}");
        drop(taken);
        assert!(check_free(&hsm, address).is_ok());
    }
}

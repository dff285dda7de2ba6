//! The other end is gone without having said so: no FIN, no RST, as of a machine without power or behind a cable that was
//! pulled.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use strongroom_tests::{Unreachable, World, kill, pid_is_alive, wait_for, with_own_network};
use strongroom_types::Role;
use strongroom_types::limits::HSM_PORT;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::crash::login;
use crate::disk::{Signing, aes, ec_pair, sign, signatures, users};
use crate::hand::Hand;

const PATIENCE: Duration = Duration::from_secs(60);
/// What a call may take that meets one silent HSM: the try there, a connection to another, room for a busy machine.
const ONE_SILENT: Duration = Duration::from_secs(5);
/// What an HSM that was told to stop may take, with room for a busy machine.
const STOP_MAX: Duration = Duration::from_secs(5);

#[test]
fn clients_of_an_hsm_that_vanished_go_elsewhere_within_their_limits() {
    with_own_network("network::clients_of_an_hsm_that_vanished_go_elsewhere_within_their_limits", || {
        let world = World::quick(&["--hsms", "3"]);
        let clients = users(&world);
        let key = ec_pair(&clients[0]);
        let ips = world.hsm_ips();
        Signing::during(&clients[1..], key, |signing| {
            for ip in [&ips[0], &ips[2]] {
                // Each client has connections to every HSM by now.
                signing.more(100);
                let vanished = Unreachable::make(ip);
                signing.more(100);
                let began = Instant::now();
                sign(&clients[0], key).expect("another HSM answers");
                assert!(began.elapsed() < ONE_SILENT, "{:?}", began.elapsed());
                aes(&clients[0]).expect("another HSM makes it");
                // Who comes now, with the vanished one in its configuration.
                sign(&login(&world, "crypto_user", Role::CryptoUser), key).expect("another HSM answers");
                drop(vanished);
                let before = signatures(&world);
                wait_for("the clients to use that HSM again", PATIENCE, || {
                    signatures(&world).iter().zip(&before).all(|(now, before)| now > before)
                });
            }
        });
    });
}

#[test]
fn an_hsm_that_leaves_ends_every_connection_also_those_whose_clients_are_gone() {
    with_own_network("network::an_hsm_that_leaves_ends_every_connection_also_those_whose_clients_are_gone", || {
        let world = World::quick(&[]);
        let ip = &world.hsm_ips()[0];
        let (user, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
        for are_gone in [false, true] {
            let mut idle = Hand::at(&world, ip);
            idle.log_in(&user, &password).expect("logged in");
            let mut without_login = Hand::at(&world, ip);
            without_login.ask(Operation::ClusterInfo(v1::ClusterInfo {})).expect("an answer");
            let mut without_tls = TcpStream::connect((ip.as_str(), HSM_PORT)).expect("connected");
            // Where they came from: what ends their connections does not reach them.
            let gone = are_gone.then(|| Unreachable::make("127.0.0.1"));
            let pid = world.hsm_pids()[0];
            let began = Instant::now();
            kill("TERM", pid);
            wait_for("the HSM's end", PATIENCE, || !pid_is_alive(pid));
            assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
            drop(gone);
            assert!(idle.is_ended() && without_login.is_ended());
            without_tls.set_read_timeout(Some(PATIENCE)).expect("a socket");
            let ended = without_tls.write_all(&[22]).and_then(|()| without_tls.read(&mut [0; 8]));
            assert!(ended.is_ok_and(|len| len == 0) || are_gone, "no end was told");
            wait_for("the HSM to serve again", PATIENCE, || world.status()["state"] == "ACTIVE");
        }
    });
}

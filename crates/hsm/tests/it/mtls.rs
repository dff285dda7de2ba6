//! Client certificates: who gets a connection, and which connections end when that changes.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection, Error, StreamOwned};
use strongroom_crypto::certificates::{Anchors, CertificateRequest, CustomerCa, hsm_subject};
use strongroom_crypto::tls::{self, ClientIdentity};
use strongroom_crypto::{pem, random};
use strongroom_crypto_keys::{csr, generate};
use strongroom_hsm::connections::ConnectionLimits;
use strongroom_types::{Curve, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::world::{Connection, LONG, World, hello, now_s, wait_until};

type Tls = Connection<StreamOwned<ClientConnection, TcpStream>>;

/// A CA of clients, and a client of it.
struct Issued {
    ca: CustomerCa,
    client: ClientIdentity,
}

impl Issued {
    fn new() -> Issued {
        let ca = CustomerCa::generate(now_s());
        let key = generate::ec(Curve::P256).unwrap().pkcs8;
        // What it names is of no interest.
        let subject = hsm_subject(&"cluster-abcdefghijk".parse().unwrap());
        let request = CertificateRequest::from_der(&csr::request(&key, &subject).unwrap()).unwrap();
        let leaf = ca.issue(&request, now_s()).to_pem();
        let client = ClientIdentity::from_pem(leaf.as_bytes(), &pem::encode_secret(pem::PRIVATE_KEY, &key)).unwrap();
        Issued { ca, client }
    }
}

fn anchors(world: &World) -> Anchors {
    Anchors::from_pem(world.ca.certificate().to_pem().as_bytes(), now_s()).unwrap()
}

fn session(anchors: &Anchors, identity: Option<&ClientIdentity>) -> ClientConnection {
    let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
    ClientConnection::new(tls::client_config(anchors, identity), name).unwrap()
}

fn dial(address: SocketAddr, anchors: &Anchors, identity: Option<&ClientIdentity>) -> std::io::Result<Tls> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(LONG))?;
    let mut stream = StreamOwned::new(session(anchors, identity), socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Connection::over(stream))
}

fn connect_to(world: &World, address: SocketAddr, identity: Option<&ClientIdentity>) -> Tls {
    // The listener opens a moment after the certificate is there.
    wait_until("the HSM takes clients", || TcpStream::connect(address).is_ok());
    dial(address, &anchors(world), identity).unwrap()
}

fn connect(world: &World, identity: Option<&ClientIdentity>) -> Tls {
    connect_to(world, world.address, identity)
}

/// The alert with which the HSM ends a connection in place of an answer.
fn alert(mut connection: Tls) -> AlertDescription {
    let mut request = Vec::new();
    strongroom_wire::frame::encode(
        &v1::Request { id: 1, operation: Some(hello()), ..v1::Request::default() },
        &mut request,
    )
    .unwrap();
    // The HSM may have closed it already.
    let _ = connection.stream.conn.writer().write_all(&request);
    let error = loop {
        if let Err(error) = connection.stream.conn.complete_io(&mut connection.stream.sock) {
            break error;
        }
    };
    match error.into_inner().unwrap().downcast_ref::<Error>().unwrap() {
        Error::AlertReceived(alert) => *alert,
        other => panic!("{other}"),
    }
}

fn admin(mut connection: Tls) -> Tls {
    connection.login_admin();
    connection
}

fn register(admin: &mut Tls, ca: &CustomerCa) -> u32 {
    let chain_pem = ca.certificate().to_pem().into_bytes();
    match admin.change(Operation::MtlsRegisterTrustAnchor(v1::MtlsRegisterTrustAnchor { chain_pem })).unwrap() {
        Answer::MtlsRegisterTrustAnchor(anchor) => anchor.reference,
        _ => panic!("another answer"),
    }
}

fn deregister(admin: &mut Tls, reference: u32) -> Result<Answer, Status> {
    admin.change(Operation::MtlsDeregisterTrustAnchor(v1::MtlsDeregisterTrustAnchor { reference }))
}

fn enforce(admin: &mut Tls, level: v1::MtlsEnforcement) -> Result<Answer, Status> {
    admin.change(Operation::MtlsSetEnforcement(v1::MtlsSetEnforcement { level: level.into() }))
}

#[test]
fn enforcing_ends_what_came_without_a_certificate_on_both_hsms_before_it_is_answered() {
    let world = World::active(ConnectionLimits::default());
    let (_second, second_address) = world.second();
    let issued = Issued::new();
    let mut plain_admin = admin(connect(&world, None));
    register(&mut plain_admin, &issued.ca);
    // Greeted, logged in, silent since the handshake; here and there.
    let mut plain = [connect(&world, None), connect(&world, None), connect_to(&world, second_address, None)];
    plain[0].hello();
    plain[2].hello();
    let mut shown = connect_to(&world, second_address, Some(&issued.client));
    let mut enforcer = admin(connect(&world, Some(&issued.client)));
    assert_eq!(enforce(&mut plain_admin, v1::MtlsEnforcement::Cluster).err(), Some(Status::ClientCertificateRequired));
    plain_admin.hello();
    enforce(&mut enforcer, v1::MtlsEnforcement::Cluster).unwrap();
    // Nobody waits for anything here: they are ended by now.
    assert!(plain_admin.is_closed() && plain.iter_mut().all(Connection::is_closed));
    wait_until("the log tells of it", || {
        world
            .log()
            .matches("ended: it was ended: a client certificate under a registered trust anchor is required")
            .count()
            == 4
    });
    shown.hello();
    enforcer.hello();
    assert_eq!(alert(connect(&world, None)), AlertDescription::CertificateRequired);
    assert_eq!(alert(connect_to(&world, second_address, None)), AlertDescription::CertificateRequired);
    assert_eq!(alert(connect(&world, Some(&Issued::new().client))), AlertDescription::UnknownCA);
    // The control plane's is another matter.
    world.control().ask(Operation::ApplianceState(v1::ApplianceState {})).unwrap();
    enforce(&mut enforcer, v1::MtlsEnforcement::None).unwrap();
    connect(&world, None).hello();
    connect_to(&world, second_address, None).hello();
}

/// Its handshake began under the old rules, so that no alert tells it of the new ones.
#[test]
fn a_handshake_that_was_under_way_is_judged_at_its_first_request() {
    let world = World::active(ConnectionLimits::default());
    let issued = Issued::new();
    let mut enforcer = admin(connect(&world, None));
    register(&mut enforcer, &issued.ca);
    let mut enforcer = admin(connect(&world, Some(&issued.client)));
    let socket = world.socket();
    let mut stream = StreamOwned::new(session(&anchors(&world), None), socket);
    // The HSM has answered the greeting of TLS, and asks for a certificate that may be left out.
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut stream.sock).unwrap();
    }
    while stream.conn.peer_certificates().is_none() {
        stream.conn.read_tls(&mut stream.sock).unwrap();
        stream.conn.process_new_packets().unwrap();
    }
    enforce(&mut enforcer, v1::MtlsEnforcement::Cluster).unwrap();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let mut late = Connection::over(stream);
    assert_eq!(late.ask(hello()).err(), Some(Status::ClientCertificateRequired));
    assert!(late.is_closed());
    wait_until("the log tells of it", || {
        world.log().contains("its client certificate, or having none, is not enough any more")
    });
}

#[test]
fn who_deregisters_the_anchor_of_their_own_connection_is_answered_and_nothing_else_is() {
    let world = World::active(ConnectionLimits::default());
    let (_second, second_address) = world.second();
    let [first, other] = [Issued::new(), Issued::new()];
    let mut plain = admin(connect(&world, None));
    let reference = register(&mut plain, &first.ca);
    register(&mut plain, &other.ca);
    let mut own = admin(connect(&world, Some(&first.client)));
    let mut others = [connect(&world, Some(&first.client)), connect_to(&world, second_address, Some(&first.client))];
    let mut kept = connect_to(&world, second_address, Some(&other.client));
    deregister(&mut own, reference).unwrap();
    assert!(own.is_closed() && others.iter_mut().all(Connection::is_closed));
    kept.hello();
    // Who came without is not concerned.
    plain.hello();
    assert_eq!(alert(connect(&world, Some(&first.client))), AlertDescription::UnknownCA);
    // Whoever takes its number is another.
    assert_eq!(register(&mut plain, &Issued::new().ca), reference);
    assert_eq!(alert(connect(&world, Some(&first.client))), AlertDescription::UnknownCA);
    // A refusal ends nothing.
    let mut kept = admin(kept);
    assert_eq!(deregister(&mut kept, 9).err(), Some(Status::TrustAnchorUnknown));
    kept.hello();
}

#[test]
fn an_hsm_that_starts_later_knows_anchors_and_level() {
    let world = World::active(ConnectionLimits::default());
    let issued = Issued::new();
    register(&mut admin(connect(&world, None)), &issued.ca);
    enforce(&mut admin(connect(&world, Some(&issued.client))), v1::MtlsEnforcement::Cluster).unwrap();
    let (_second, address) = world.second();
    assert_eq!(alert(connect_to(&world, address, None)), AlertDescription::CertificateRequired);
    connect_to(&world, address, Some(&issued.client)).hello();
}

/// Many who come, ask and go while the rules change: nobody without a certificate gets an answer after the acknowledgement.
#[test]
fn nothing_is_answered_to_strangers_once_the_change_is_acknowledged() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let world = World::active(ConnectionLimits::default());
    let issued = Issued::new();
    register(&mut admin(connect(&world, None)), &issued.ca);
    let mut enforcer = admin(connect(&world, Some(&issued.client)));
    let (_second, second_address) = world.second();
    let anchors = anchors(&world);
    for round in 0..5 {
        let (acknowledged, done) = (AtomicBool::new(false), AtomicBool::new(false));
        // Both listen again for everybody.
        connect_to(&world, second_address, None).hello();
        std::thread::scope(|scope| {
            for address in [world.address, second_address, world.address, second_address] {
                let (acknowledged, done, anchors) = (&acknowledged, &done, &anchors);
                scope.spawn(move || {
                    while !done.load(Ordering::SeqCst) {
                        let Ok(mut stranger) = dial(address, anchors, None) else { continue };
                        loop {
                            let begins_after = acknowledged.load(Ordering::SeqCst);
                            let id = random::bytes::<8>();
                            let request = v1::Request {
                                id: u64::from_be_bytes(id) | 1,
                                operation: Some(hello()),
                                ..v1::Request::default()
                            };
                            let mut bytes = Vec::new();
                            strongroom_wire::frame::encode(&request, &mut bytes).unwrap();
                            let sent = stranger.stream.write_all(&bytes).and_then(|()| stranger.stream.flush());
                            let Some(response) = sent.ok().and_then(|()| stranger.response()) else { break };
                            assert!(!(begins_after && response.status == 0), "answered after the acknowledgement");
                            if done.load(Ordering::SeqCst) {
                                break;
                            }
                        }
                    }
                });
            }
            enforce(&mut enforcer, v1::MtlsEnforcement::Cluster).unwrap();
            acknowledged.store(true, Ordering::SeqCst);
            for _ in 0..20 {
                enforcer.hello();
            }
            done.store(true, Ordering::SeqCst);
        });
        enforce(&mut enforcer, v1::MtlsEnforcement::None).unwrap_or_else(|status| panic!("round {round}: {status}"));
    }
}

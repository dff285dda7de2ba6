mod clients;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use rustls::{
    AlertDescription, CertificateError as Refused, ClientConnection, Error, HandshakeKind, InvalidMessage, NamedGroup,
    PeerIncompatible, ProtocolVersion, ServerConnection,
};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::*;
use crate::certificates::fixtures::{DAY, Party, Profile, Signer};
use crate::certificates::{Certificate, CertificateError, CustomerCa};
use crate::pem::{self, PemError};

/// rustls asks the clock itself, so certificates here are valid around the true time.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn valid(profile: Profile) -> Profile {
    Profile { from: now() - DAY, to: now() + DAY, ..profile }
}

fn trust(certificate: &Certificate) -> Arc<ClientConfig> {
    client_config(&Anchors::from_pem(certificate.to_pem().as_bytes(), now()).unwrap(), None)
}

fn serve(chain: &[&Certificate], key: &Signer) -> Arc<ServerConfig> {
    let pem: String = chain.iter().map(|certificate| certificate.to_pem()).collect();
    server_config(pem.as_bytes(), &key.pkcs8(), &ClientAuth::default()).unwrap()
}

/// A CA, and an HSM that serves with what it issued.
fn installation(key: Signer) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let ca = CustomerCa::generate(now());
    let hsm = Party::hsm(key);
    let leaf = ca.issue(&hsm.request(), now());
    (trust(ca.certificate()), serve(&[&leaf], &hsm.key))
}

/// Which end gave up, and why.
#[derive(Debug)]
enum Failed {
    Client(Error),
    Server(Error),
}

fn server_name() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").unwrap()
}

/// Carries records from one end to the other until both are content.
fn connect(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Failed> {
    let mut client = ClientConnection::new(client, server_name()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        to_server(&mut client, &mut server)?;
        to_client(&mut server, &mut client)?;
    }
    Ok((client, server))
}

fn to_server(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Failed> {
    let mut records = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut records).unwrap();
    }
    let mut records = records.as_slice();
    while !records.is_empty() {
        server.read_tls(&mut records).unwrap();
        server.process_new_packets().map_err(Failed::Server)?;
    }
    Ok(())
}

fn to_client(server: &mut ServerConnection, client: &mut ClientConnection) -> Result<(), Failed> {
    let mut records = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut records).unwrap();
    }
    let mut records = records.as_slice();
    while !records.is_empty() {
        client.read_tls(&mut records).unwrap();
        client.process_new_packets().map_err(Failed::Client)?;
    }
    Ok(())
}

fn refused_by_client(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Refused {
    match connect(client, server).map(|_| ()) {
        Err(Failed::Client(Error::InvalidCertificate(why))) => why,
        other => panic!("the client did not refuse the certificate: {other:?}"),
    }
}

fn refused_by_server(client: ClientConfig, server: Arc<ServerConfig>) -> Error {
    match connect(Arc::new(client), server).map(|_| ()) {
        Err(Failed::Server(why)) => why,
        other => panic!("the server did not refuse: {other:?}"),
    }
}

#[test]
fn both_ends_agree_on_tls_1_3_the_hybrid_group_and_our_protocol() {
    for key in [Signer::p256(), Signer::p384(), Signer::rsa()] {
        let (client, server) = installation(key);
        let (mut client, mut server) = connect(client, server).unwrap();
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        for group in [client.negotiated_key_exchange_group(), server.negotiated_key_exchange_group()] {
            assert_eq!(group.unwrap().name(), NamedGroup::X25519MLKEM768);
        }
        assert!(alpn_agreed(client.alpn_protocol()) && alpn_agreed(server.alpn_protocol()));
        client.writer().write_all(b"request").unwrap();
        to_server(&mut client, &mut server).unwrap();
        let mut bytes = [0; 7];
        server.reader().read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"request");
        server.writer().write_all(b"answer!").unwrap();
        to_client(&mut server, &mut client).unwrap();
        client.reader().read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"answer!");
    }
}

#[test]
fn every_handshake_is_a_full_one() {
    let (client, server) = installation(Signer::p256());
    for _ in 0..3 {
        let (mut client, mut server) = connect(client.clone(), server.clone()).unwrap();
        // A ticket would come with the server's first data.
        server.writer().write_all(b"x").unwrap();
        to_client(&mut server, &mut client).unwrap();
        assert_eq!(client.tls13_tickets_received(), 0);
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        assert!(client.early_data().is_none());
    }
}

#[test]
fn a_client_names_no_server() {
    let (client, _) = installation(Signer::p256());
    let mut client = ClientConnection::new(client, ServerName::try_from("hsm.example").unwrap()).unwrap();
    let mut records = Vec::new();
    client.write_tls(&mut records).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut records.as_slice()).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    assert_eq!(accepted.client_hello().server_name(), None);
    let offered: Vec<Vec<u8>> = accepted.client_hello().alpn().unwrap().map(<[u8]>::to_vec).collect();
    assert_eq!(offered, [ALPN]);
}

#[test]
fn a_server_sends_its_intermediates() {
    let (root, lower, hsm) = (Party::new("root", Signer::p384()), Party::new("lower", Signer::rsa()), Signer::p256());
    let root_certificate = root.self_signed(&valid(Profile::ca()));
    let lower_certificate = root.issue(&lower, &valid(Profile::ca()));
    let hsm = Party::hsm(hsm);
    let leaf = lower.issue(&hsm, &valid(Profile::v1()));
    connect(trust(&root_certificate), serve(&[&leaf, &lower_certificate], &hsm.key)).unwrap();
    let alone = refused_by_client(trust(&root_certificate), serve(&[&leaf], &hsm.key));
    assert_eq!(alone, Refused::UnknownIssuer);
}

#[test]
fn a_server_of_another_ca_is_refused() {
    let (_, server) = installation(Signer::p256());
    let (client, _) = installation(Signer::p256());
    assert_eq!(refused_by_client(client, server), Refused::UnknownIssuer);
    let (right, namesake) = (Party::new("ca", Signer::p256()), Party::new("ca", Signer::p256()));
    let hsm = Party::hsm(Signer::p256());
    let leaf = namesake.issue(&hsm, &valid(Profile::v1()));
    let client = trust(&right.self_signed(&valid(Profile::ca())));
    assert_eq!(refused_by_client(client, serve(&[&leaf], &hsm.key)), Refused::UnknownIssuer);
}

#[test]
fn a_trusted_certificate_that_is_not_an_hsms_is_refused() {
    let ca = CustomerCa::generate(now());
    let web = Party::new("www.example.com", Signer::p256());
    let leaf = ca.issue(&web.request(), now());
    let Refused::Other(why) = refused_by_client(trust(ca.certificate()), serve(&[&leaf], &web.key)) else {
        panic!("another reason");
    };
    let why = why.0.downcast_ref::<NotAnHsm>().unwrap();
    assert_eq!(why, &NotAnHsm { subject: "CN=www.example.com".to_owned() });
}

#[test]
fn a_certificate_outside_its_time_is_refused() {
    let ca = Party::new("ca", Signer::p256());
    let client = trust(&ca.self_signed(&valid(Profile::ca())));
    let hsm = Party::hsm(Signer::p256());
    let check = |profile: Profile, expected: Refused| {
        let server = serve(&[&ca.issue(&hsm, &profile)], &hsm.key);
        assert_eq!(refused_by_client(client.clone(), server), expected);
    };
    check(Profile { to: now() - 60, ..valid(Profile::v1()) }, Refused::Expired);
    check(Profile { from: now() + 3_600, ..valid(Profile::v1()) }, Refused::NotValidYet);
}

/// Somebody who has the HSM's certificate, which is public, and not its key.
#[test]
fn a_server_without_the_certificates_key_is_refused() {
    for (key, other) in [(Signer::p256(), Signer::p256()), (Signer::p384(), Signer::p384())] {
        let ca = CustomerCa::generate(now());
        let leaf = ca.issue(&Party::hsm(key).request(), now());
        assert_eq!(refused_by_client(trust(ca.certificate()), impostor(&leaf, &other)), Refused::BadSignature);
    }
}

/// A signature by a key of another kind than the certificate's: the scheme must fit the key.
#[test]
fn a_signature_of_another_scheme_is_refused() {
    for (key, other) in
        [(Signer::p256(), Signer::p384()), (Signer::p256(), Signer::rsa()), (Signer::rsa(), Signer::p256())]
    {
        let ca = CustomerCa::generate(now());
        let leaf = ca.issue(&Party::hsm(key).request(), now());
        let result = connect(trust(ca.certificate()), impostor(&leaf, &other)).map(|_| ());
        assert!(matches!(result, Err(Failed::Client(Error::PeerMisbehaved(_)))), "{result:?}");
    }
}

/// A server that shows a certificate and signs with another key.
fn impostor(certificate: &Certificate, key: &Signer) -> Arc<ServerConfig> {
    let pkcs8 = key.pkcs8();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.expose()));
    let signing = aws_lc_rs::sign::any_supported_type(&der).unwrap();
    let certified = CertifiedKey::new(vec![CertificateDer::from(certificate.der().to_vec())], signing);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(OneCertificate::new(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

#[test]
fn a_server_needs_the_key_of_its_certificate() {
    let ca = CustomerCa::generate(now());
    let hsm = Party::hsm(Signer::p256());
    let leaf = ca.issue(&hsm.request(), now()).to_pem();
    let check = |chain: &str, key: &Secret, expected: IdentityError| {
        assert_eq!(server_config(chain.as_bytes(), key, &ClientAuth::default()).err(), Some(expected));
    };
    for other in [Signer::p256(), Signer::p384(), Signer::rsa()] {
        check(&leaf, &other.pkcs8(), IdentityError::Mismatch);
    }
    let pkcs8 = hsm.key.pkcs8();
    for len in 0..pkcs8.len() {
        check(&leaf, &Secret::from(&pkcs8.expose()[..len]), IdentityError::Key);
    }
    let missing = PemError::Missing { label: pem::CERTIFICATE };
    check("", &pkcs8, IdentityError::Pem(missing));
    let too_many = PemError::TooMany { label: pem::CERTIFICATE, max: 5 };
    check(&leaf.repeat(6), &pkcs8, IdentityError::Pem(too_many));
    let broken = format!("{leaf}{}", pem::encode(pem::CERTIFICATE, b"no certificate"));
    let source = CertificateError::Certificate;
    check(&broken, &pkcs8, IdentityError::Certificate { position: 2, source });
}

/// rustls would sign with both; our clients verify neither.
#[test]
fn a_server_with_a_key_that_no_client_verifies_is_refused() {
    use ::aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
    let ca = CustomerCa::generate(now()).certificate().to_pem();
    let p521 = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).unwrap().to_pkcs8v1().unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    for key in [p521.as_ref(), ed25519.as_ref()] {
        assert_eq!(
            server_config(ca.as_bytes(), &Secret::from(key), &ClientAuth::default()).err(),
            Some(IdentityError::Key)
        );
    }
}

#[test]
fn a_client_of_another_protocol_or_of_none_is_refused() {
    let (client, server) = installation(Signer::p256());
    let offering = |protocols: &[&[u8]]| {
        let mut client = ClientConfig::clone(&client);
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        client
    };
    assert_eq!(refused_by_server(offering(&[b"strongroom/2"]), server.clone()), Error::NoApplicationProtocol);
    assert_eq!(refused_by_server(offering(&[b"h2", b"http/1.1"]), server.clone()), Error::NoApplicationProtocol);
    assert!(matches!(refused_by_server(offering(&[]), server.clone()), Error::General(_)));
    connect(Arc::new(offering(&[b"h2", ALPN])), server).unwrap();
    assert!(alpn_agreed(Some(b"strongroom/1")));
    for other in [None, Some(&b""[..]), Some(b"strongroom/2"), Some(b"strongroom/11")] {
        assert!(!alpn_agreed(other), "{other:?}");
    }
}

/// The ClientHello of a client that knows TLS 1.2 and nothing newer (RFC 5246 §7.4.1.2), our protocol offered.
fn tls_1_2_hello() -> Vec<u8> {
    let extension = |kind: u8, content: &[u8]| {
        let len = u8::try_from(content.len()).unwrap();
        [&[0, kind, 0, len][..], content].concat()
    };
    let alpn = [&[0, 13, 12][..], ALPN].concat();
    let extensions = [
        // supported_groups: x25519, secp256r1; ec_point_formats; signature_algorithms; ALPN.
        extension(10, &[0, 4, 0, 29, 0, 23]),
        extension(11, &[1, 0]),
        extension(13, &[0, 4, 4, 3, 8, 4]),
        extension(16, &alpn),
    ]
    .concat();
    let extensions_len = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    // Version 3.3, random, no session, ECDHE suites with AES-GCM, no compression.
    let suites = [0, 4, 0xc0, 0x2b, 0xc0, 0x2f];
    let body = [&[3, 3][..], &[7; 32], &[0], &suites, &[1, 0], &extensions_len, &extensions].concat();
    let body_len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1, 0][..], &body_len, &body].concat();
    let message_len = u16::try_from(message.len()).unwrap().to_be_bytes();
    [&[22, 3, 1][..], &message_len, &message].concat()
}

#[test]
fn a_client_that_knows_tls_1_2_only_is_refused() {
    let (_, server) = installation(Signer::rsa());
    let hello = tls_1_2_hello();
    let mut connection = ServerConnection::new(server.clone()).unwrap();
    connection.read_tls(&mut hello.as_slice()).unwrap();
    let error = connection.process_new_packets().unwrap_err();
    let expected = PeerIncompatible::SupportedVersionsExtensionRequired;
    assert_eq!(error, Error::PeerIncompatible(expected));
    let mut alert = Vec::new();
    connection.write_tls(&mut alert).unwrap();
    // A fatal alert protocol_version (RFC 8446 §6.2), and nothing of a TLS 1.2 handshake before it.
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, AlertDescription::ProtocolVersion.into()]);
}

#[test]
fn what_is_no_tls_is_refused() {
    let (_, server) = installation(Signer::p256());
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[22, 3, 1, 0xff, 0xff]] {
        let mut connection = ServerConnection::new(server.clone()).unwrap();
        connection.read_tls(&mut &bytes[..]).unwrap();
        let error = connection.process_new_packets().unwrap_err();
        assert!(
            matches!(
                error,
                Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::MessageTooLarge)
            ),
            "{error:?}"
        );
    }
}

/// A byte changed on the way breaks the handshake, whichever it is; no end believes that it is connected.
#[test]
fn a_changed_byte_breaks_the_handshake() {
    let (client_config, server_config) = installation(Signer::p256());
    let flight = |connection: &mut dyn FnMut(&mut Vec<u8>) -> std::io::Result<usize>| {
        let mut records = Vec::new();
        while connection(&mut records).unwrap() > 0 {}
        records
    };
    let len = {
        let mut client = ClientConnection::new(client_config.clone(), server_name()).unwrap();
        let mut server = ServerConnection::new(server_config.clone()).unwrap();
        to_server(&mut client, &mut server).unwrap();
        flight(&mut |records| server.write_tls(records)).len()
    };
    assert!(len > 1_000, "{len}");
    for at in (0..len).step_by(41) {
        let mut client = ClientConnection::new(client_config.clone(), server_name()).unwrap();
        let mut server = ServerConnection::new(server_config.clone()).unwrap();
        to_server(&mut client, &mut server).unwrap();
        let mut records = flight(&mut |records| server.write_tls(records));
        let Some(byte) = records.get_mut(at) else { continue };
        *byte ^= 0x10;
        let mut records = records.as_slice();
        let mut failed = false;
        while !records.is_empty() && !failed {
            client.read_tls(&mut records).unwrap();
            failed = client.process_new_packets().is_err();
        }
        assert!(failed || client.is_handshaking(), "byte {at} of {len}");
    }
}

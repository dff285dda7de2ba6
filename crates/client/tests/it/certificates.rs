//! HSMs that want a certificate of their clients.

use std::time::{Duration, Instant};

use strongroom_client::{Cause, CertificateFault, ClientCertificate, ClientError, ClusterConfig, ConnectError};
use strongroom_crypto::certificates::{ClientAnchor, ClientAnchors, CustomerCa};
use strongroom_crypto::pem;
use strongroom_crypto::tls::ClientAuth;
use strongroom_types::Status;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::world::{Reaction, World, certificate, give_credentials, now_s, open, server_config_for, sign};

/// What a client of `ca` shows. That it names an HSM is nobody's concern.
fn shown(world: &World, ca: &CustomerCa) -> ClientCertificate {
    let (chain_pem, key) = certificate(ca, &world.cluster);
    ClientCertificate {
        chain_pem,
        chain_path: "/etc/client.crt".into(),
        key_pem: pem::encode_secret(pem::PRIVATE_KEY, &key),
        key_path: "/etc/client.key".into(),
        is_key_exposed: false,
    }
}

fn wants(world: &World, ca: &CustomerCa, is_mandatory: bool) {
    let anchor = ClientAnchor::from_pem(ca.certificate().to_pem().as_bytes(), now_s()).unwrap();
    let clients = ClientAuth { anchors: ClientAnchors(vec![anchor]), is_mandatory };
    for hsm in &world.hsms {
        hsm.serve_with(server_config_for(&world.ca, &world.cluster, &clients));
    }
}

fn client(world: &World, certificate: Option<ClientCertificate>) -> strongroom_client::Client {
    let client = open(ClusterConfig { certificate, ..world.config() });
    give_credentials(&client);
    client
}

#[track_caller]
fn causes(outcome: Result<Vec<u8>, ClientError>) -> Vec<Cause> {
    match outcome.unwrap_err() {
        ClientError::Unavailable { tried } => tried.into_iter().map(|attempt| attempt.cause).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_certificate_is_shown_to_those_who_ask_and_no_harm_to_others() {
    let world = World::new(2);
    let ca = CustomerCa::generate(now_s());
    let with = client(&world, Some(shown(&world, &ca)));
    sign(&with).unwrap();
    wants(&world, &ca, true);
    world.hsms.iter().for_each(|hsm| hsm.close_connections());
    for _ in 0..4 {
        sign(&with).unwrap();
    }
    wants(&world, &ca, false);
    sign(&client(&world, Some(shown(&world, &ca)))).unwrap();
    sign(&client(&world, None)).unwrap();
}

#[test]
fn a_client_that_is_refused_says_why_at_once_and_does_not_hammer() {
    let world = World::new(2);
    let (ca, other) = (CustomerCa::generate(now_s()), CustomerCa::generate(now_s()));
    wants(&world, &ca, true);
    let path = String::from("/etc/client.crt");
    let refused = ConnectError::CertificateRefused { path, fault: CertificateFault::UnknownCa };
    for (certificate, expected) in [(None, ConnectError::CertificateRequired), (Some(shown(&world, &other)), refused)] {
        let client = client(&world, certificate);
        let accepted = || world.hsms.iter().map(crate::world::Hsm::accepted).sum::<usize>();
        let (began, before) = (Instant::now(), accepted());
        for _ in 0..50 {
            for cause in causes(sign(&client)) {
                assert_eq!(cause, Cause::Connect(expected.clone()));
            }
        }
        // One handshake an HSM and second.
        let (came, seconds) = (accepted() - before, usize::try_from(began.elapsed().as_secs()).unwrap());
        assert!(came <= world.hsms.len() * (1 + seconds), "{came} connections in {:?}", began.elapsed());
        // After a while it is tried again.
        wants(&world, &ca, false);
        if expected == ConnectError::CertificateRequired {
            let deadline = Instant::now() + Duration::from_secs(20);
            while sign(&client).is_err() {
                assert!(Instant::now() < deadline);
            }
        }
        wants(&world, &ca, true);
    }
    let text = ConnectError::CertificateRequired.to_string();
    assert!(text.contains("client_cert_path") && text.contains("--client-key-hsm-tls-file"), "{text}");
}

/// The HSM's rules have changed since the connection began: a new one shows what is wanted now.
#[test]
fn a_connection_that_is_not_enough_any_more_is_replaced_once() {
    let world = World::new(1);
    let client = client(&world, None);
    sign(&client).unwrap();
    let required =
        || v1::Response { status: Status::ClientCertificateRequired.number().into(), ..v1::Response::default() };
    let once = std::sync::atomic::AtomicBool::new(true);
    world.hsms[0].script(move |_| match once.swap(false, std::sync::atomic::Ordering::SeqCst) {
        true => Reaction::Answer(required()),
        false => Reaction::Usual,
    });
    sign(&client).unwrap();
    assert_eq!(world.hsms[0].connections(), 2);
    // From a new connection the same answer counts.
    world.hsms[0].script(move |_| Reaction::Answer(required()));
    let before = world.hsms[0].heard().len();
    match sign(&client).unwrap_err() {
        ClientError::Refused(refusal) => assert_eq!(refusal.status, Status::ClientCertificateRequired),
        other => panic!("{other}"),
    }
    let asked = world.hsms[0].heard().len() - before;
    assert!(asked <= 3, "{asked} requests");
    assert!(world.hsms[0].heard().iter().all(|heard| !matches!(heard.request.operation, Some(Operation::Logout(_)))));
}

#[test]
fn what_cannot_be_shown_is_told_before_anybody_is_asked() {
    let world = World::new(1);
    let ca = CustomerCa::generate(now_s());
    let good = shown(&world, &ca);
    let other = shown(&world, &ca);
    let check = |certificate: ClientCertificate, expected: &str| {
        let config = ClusterConfig { certificate: Some(certificate), ..world.config() };
        let name = strongroom_client::ClientName::new("a-test");
        let text = strongroom_client::Client::open(config, name).unwrap_err().to_string();
        assert!(text.contains("/etc/client.crt") && text.contains("/etc/client.key"), "{text}");
        assert!(text.contains(expected), "{text}");
    };
    check(ClientCertificate { key_pem: other.key_pem, ..good.clone() }, "another private key");
    check(ClientCertificate { chain_pem: b"nothing".to_vec(), ..good.clone() }, "BEGIN CERTIFICATE");
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    check(ClientCertificate { key_pem: encrypted[..].into(), ..good.clone() }, "passphrase");
    let older = b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
    check(ClientCertificate { key_pem: older[..].into(), ..good.clone() }, "passphrase");
    check(ClientCertificate { key_pem: b"no key"[..].into(), ..good }, "no private key");
    assert_eq!(world.hsms[0].accepted(), 0);
}

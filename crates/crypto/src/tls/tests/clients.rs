//! Clients that show a certificate, or don't.

use ::aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};

use super::*;
use crate::certificates::{ClientAnchor, ClientAnchors};
use crate::der::{self, Reader, tag};

/// A CA of clients, and a client of it.
struct Clients {
    ca: Party,
    client: Party,
}

impl Clients {
    fn new(key: Signer) -> Clients {
        Clients { ca: Party::new("client ca", Signer::p256()), client: Party::new("a client", key) }
    }

    fn leaf(&self) -> Certificate {
        self.ca.issue(&self.client, &valid(Profile::client()))
    }

    fn auth(&self, is_mandatory: bool) -> ClientAuth {
        let pem = self.ca.self_signed(&valid(Profile::ca())).to_pem();
        let anchor = ClientAnchor::from_pem(pem.as_bytes(), now()).unwrap();
        ClientAuth { anchors: ClientAnchors(vec![anchor]), is_mandatory }
    }

    fn identity(&self, leaf: &Certificate) -> ClientIdentity {
        identity(leaf, &self.client.key.pkcs8()).unwrap()
    }
}

fn identity(leaf: &Certificate, pkcs8: &Secret) -> Result<ClientIdentity, IdentityError> {
    ClientIdentity::from_pem(leaf.to_pem().as_bytes(), &pem::encode_secret(pem::PRIVATE_KEY, pkcs8))
}

/// An HSM that wants this of clients, and the configuration of a client that shows that.
fn ends(auth: &ClientAuth, identity: Option<&ClientIdentity>) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let ca = CustomerCa::generate(now());
    let hsm = Party::hsm(Signer::p256());
    let chain = ca.issue(&hsm.request(), now()).to_pem();
    let trusted = Anchors::from_pem(ca.certificate().to_pem().as_bytes(), now()).unwrap();
    (client_config(&trusted, identity), server_config(chain.as_bytes(), &hsm.key.pkcs8(), auth).unwrap())
}

fn refusal(auth: &ClientAuth, identity: Option<&ClientIdentity>) -> Error {
    let (client, server) = ends(auth, identity);
    match connect(client, server).map(drop) {
        Err(Failed::Server(why)) => why,
        other => panic!("the HSM did not refuse the client: {other:?}"),
    }
}

#[test]
fn a_client_is_known_by_the_anchor_of_its_certificate() {
    for key in [Signer::p256(), Signer::p384(), Signer::rsa()] {
        let clients = Clients::new(key);
        for leaf in [clients.leaf(), clients.ca.issue(&clients.client, &valid(Profile::v1()))] {
            for is_mandatory in [false, true] {
                let auth = clients.auth(is_mandatory);
                let (client, server) = ends(&auth, Some(&clients.identity(&leaf)));
                let (_, server) = connect(client, server).unwrap();
                let shown = server.peer_certificates();
                assert_eq!(shown.unwrap()[0].as_ref(), leaf.der());
                let anchor = auth.anchors.0[0].fingerprint();
                assert_eq!(auth.anchor_of(shown, now()), Ok(Some(anchor)));
                assert!(auth.anchor_of(shown, now() + 2 * DAY).is_err());
                assert!(ClientAuth::default().anchor_of(shown, now()).is_err());
            }
        }
    }
}

#[test]
fn a_key_on_p521_is_good_too() {
    let clients = Clients::new(Signer::p256());
    let key = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).unwrap();
    let leaf = clients.ca.issue_for(&clients.client.name, &spki_of(&key), &valid(Profile::client()));
    let pkcs8 = Secret::from(key.to_pkcs8v1().unwrap().as_ref());
    let (client, server) = ends(&clients.auth(true), Some(&identity(&leaf, &pkcs8).unwrap()));
    connect(client, server).unwrap();
}

fn spki_of(key: &EcdsaKeyPair) -> Vec<u8> {
    use ::aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use ::aws_lc_rs::signature::KeyPair as _;
    AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap().as_ref().to_vec()
}

#[test]
fn without_a_certificate_it_depends() {
    let clients = Clients::new(Signer::p256());
    for auth in [ClientAuth::default(), clients.auth(false)] {
        let (client, server) = ends(&auth, None);
        let (_, server) = connect(client, server).unwrap();
        assert_eq!(auth.anchor_of(server.peer_certificates(), now()), Ok(None));
    }
    // Who is not asked shows nothing.
    let (client, server) = ends(&ClientAuth::default(), Some(&clients.identity(&clients.leaf())));
    assert!(connect(client, server).unwrap().1.peer_certificates().is_none());
    let refused = refusal(&clients.auth(true), None);
    assert_eq!(refused, Error::NoCertificatesPresented);
    assert!(client_fault(&refused).unwrap().contains("no client certificate"));
    assert_eq!(client_fault(&Error::DecryptError), None);
}

#[test]
fn a_certificate_that_is_not_good_is_refused_also_where_none_is_needed() {
    let (clients, strangers) = (Clients::new(Signer::p256()), Clients::new(Signer::p256()));
    let issued = |profile: Profile| clients.ca.issue(&clients.client, &valid(profile));
    let over = clients.ca.issue(&clients.client, &Profile { from: now() - DAY, to: now() - 60, ..Profile::client() });
    let early = clients.ca.issue(&clients.client, &Profile { from: now() + 60, to: now() + DAY, ..Profile::client() });
    for is_mandatory in [false, true] {
        let auth = clients.auth(is_mandatory);
        let check = |identity: &ClientIdentity, expected: Refused, told: &str| {
            let refused = refusal(&auth, Some(identity));
            assert_eq!(refused, Error::InvalidCertificate(expected));
            assert!(client_fault(&refused).unwrap().contains(told), "{refused}");
        };
        check(&strangers.identity(&strangers.leaf()), Refused::UnknownIssuer, "not under a registered trust anchor");
        check(&clients.identity(&over), Refused::Expired, "expired");
        check(&clients.identity(&early), Refused::NotValidYet, "not valid yet");
        let server = issued(Profile { extended_usage: Some(1), ..Profile::client() });
        check(&clients.identity(&server), Refused::InvalidPurpose, "usage");
        let own = clients.client.self_signed(&valid(Profile::client()));
        check(&clients.identity(&own), Refused::UnknownIssuer, "not under a registered trust anchor");
    }
}

/// Somebody who has a client's certificate, which is public, and not its key.
#[test]
fn a_client_without_the_certificates_key_is_refused() {
    for (key, other) in [(Signer::p256(), Signer::p256()), (Signer::p384(), Signer::p384())] {
        let clients = Clients::new(key);
        let refused = refusal(&clients.auth(false), Some(&impostor_client(&clients.leaf(), &other)));
        assert_eq!(refused, Error::InvalidCertificate(Refused::BadSignature));
        assert!(client_fault(&refused).unwrap().contains("does not have the private key"));
    }
    for (key, other) in [(Signer::p256(), Signer::rsa()), (Signer::rsa(), Signer::p384())] {
        let clients = Clients::new(key);
        let refused = refusal(&clients.auth(false), Some(&impostor_client(&clients.leaf(), &other)));
        assert!(matches!(refused, Error::PeerMisbehaved(_)), "{refused:?}");
    }
}

fn impostor_client(certificate: &Certificate, key: &Signer) -> ClientIdentity {
    let pkcs8 = key.pkcs8();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.expose()));
    let signing = aws_lc_rs::sign::any_supported_type(&der).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    ClientIdentity(Arc::new(CertifiedKey::new(chain, signing)))
}

#[test]
fn keys_are_read_in_each_of_their_forms_and_others_are_told_apart() {
    use ::aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
    let (ec, rsa) = (Clients::new(Signer::p256()), Clients::new(Signer::rsa()));
    let Signer::P256(key) = &ec.client.key else { unreachable!() };
    let sec1 = AsDer::<EcPrivateKeyRfc5915Der<'_>>::as_der(&key.private_key()).unwrap();
    // PKCS #8 is a version, an algorithm, and PKCS #1 in an OCTET STRING (RFC 5208 §5).
    let pkcs8 = rsa.client.key.pkcs8();
    let mut outer = Reader::new(pkcs8.expose());
    let mut info = outer.sequence().unwrap();
    let _ = (info.any().unwrap(), info.any().unwrap());
    let pkcs1 = info.read(tag::OCTET_STRING).unwrap();
    let read = |of: &Clients, text: &str| {
        ClientIdentity::from_pem(of.leaf().to_pem().as_bytes(), &Secret::from(text.as_bytes())).map(drop)
    };
    let block = |label: &str, der: &[u8]| pem::encode(label, der);
    for (of, text) in [
        (&ec, block(pem::PRIVATE_KEY, ec.client.key.pkcs8().expose())),
        (&ec, block(pem::EC_PRIVATE_KEY, sec1.as_ref())),
        // As `openssl ecparam -genkey` writes it.
        (&ec, block("EC PARAMETERS", &der::oid(&[0x2a])) + &block(pem::EC_PRIVATE_KEY, sec1.as_ref())),
        (&rsa, block(pem::PRIVATE_KEY, pkcs8.expose())),
        (&rsa, block(pem::RSA_PRIVATE_KEY, pkcs1)),
    ] {
        assert_eq!(read(of, &text), Ok(()), "{}", text.lines().next().unwrap());
    }
    assert_eq!(read(&rsa, &block(pem::EC_PRIVATE_KEY, sec1.as_ref())), Err(IdentityError::Mismatch));
    assert_eq!(read(&ec, "nothing"), Err(IdentityError::NoKey));
    assert_eq!(read(&ec, &block("ENCRYPTED PRIVATE KEY", b"x")), Err(IdentityError::Passphrase));
    let older =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(read(&rsa, older), Err(IdentityError::Passphrase));
    assert_eq!(read(&ec, &block(pem::PRIVATE_KEY, b"no key")), Err(IdentityError::Key));
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    assert_eq!(read(&ec, &block(pem::PRIVATE_KEY, ed25519.as_ref())), Err(IdentityError::Key));
    let shown = format!("{:?}", ec.identity(&ec.leaf()));
    assert_eq!(shown, "ClientIdentity(content not shown)");
}

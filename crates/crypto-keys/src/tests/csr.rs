use std::io::Write;
use std::process::{Command, Stdio};

use strongroom_crypto::certificates::{CertificateRequest, Name, hsm_subject};
use strongroom_types::{ClusterId, Curve, PublicPart, Secret};

use super::{RSA_BITS, ec, rsa};
use crate::{KeyError, csr};

fn cluster() -> ClusterId {
    "cluster-abcdefghijk".parse().unwrap()
}

fn subject() -> Name {
    hsm_subject(&cluster())
}

fn every_key() -> Vec<(PublicPart, Secret)> {
    let rsa = RSA_BITS.map(|bits| (rsa(bits).0.public.clone(), rsa(bits).0.pkcs8.clone()));
    let ec = Curve::WEIERSTRASS.into_iter().map(|curve| ec(curve).0).map(|pair| (pair.public, pair.pkcs8));
    rsa.into_iter().chain(ec).collect()
}

#[test]
fn a_request_names_its_subject_and_key_and_is_signed_by_it() {
    for (public, pkcs8) in every_key() {
        let der = csr::request(&pkcs8, &subject()).unwrap();
        let request = CertificateRequest::from_der(&der).unwrap_or_else(|error| panic!("{public:?}: {error}"));
        assert_eq!(request.public_key(), &public);
        assert_eq!(request.subject(), &subject());
        assert_eq!(request.subject().hsm_cluster(), Some(cluster()));
    }
}

#[test]
fn a_request_with_a_flipped_bit_is_not_signed() {
    let der = csr::request(&ec(Curve::P256).0.pkcs8, &subject()).unwrap();
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut other = der.clone();
            other[at] ^= 1 << bit;
            assert!(CertificateRequest::from_der(&other).is_err(), "bit {bit} of byte {at}");
        }
        assert!(CertificateRequest::from_der(&der[..at]).is_err(), "cut to {at}");
    }
}

#[test]
fn no_request_without_a_key() {
    assert_eq!(csr::request(&Secret::from(&b"no key"[..]), &subject()), Err(KeyError::Pkcs8));
}

/// Customers read and sign the request with OpenSSL. A machine without it skips this, and says so.
#[test]
fn openssl_agrees() {
    for (public, pkcs8) in every_key() {
        let request = CertificateRequest::from_der(&csr::request(&pkcs8, &subject()).unwrap()).unwrap();
        let arguments = ["req", "-verify", "-noout", "-subject", "-nameopt", "RFC2253"];
        let child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: there is no openssl command");
            return;
        };
        child.stdin.take().unwrap().write_all(request.to_pem().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.to_lowercase().contains("verify ok"), "{public:?}: {said}");
        assert!(said.contains("CN=HSM:cluster-abcdefghijk:PARTN:1,OU=STRONGROOM-HSM,O=Strongroom"), "{said}");
    }
}

//! Certificates, requests and paths between certificates. Whatever is done to a certificate, it is not trusted.

use std::sync::LazyLock;

use crate::raw_or_edited;
use strongroom_crypto::certificates::{
    Anchors, Certificate, CertificateRequest, ClientAnchor, ClientAnchors, CustomerCa, hsm_subject,
};
use strongroom_crypto::pem;
use strongroom_crypto::tls::ClientIdentity;
use strongroom_crypto_keys::{csr, generate};
use strongroom_types::{Curve, Secret};

/// 2026-01-01 00:00:00 UTC.
const NOW: u64 = 1_767_225_600;

struct Valid {
    anchors: Anchors,
    client_anchors: ClientAnchors,
    ca: Certificate,
    request: Vec<u8>,
    leaf: Certificate,
}

static VALID: LazyLock<Valid> = LazyLock::new(|| {
    let ca = CustomerCa::generate(NOW);
    let anchors = Anchors::from_pem(ca.certificate().to_pem().as_bytes(), NOW).unwrap();
    let subject = hsm_subject(&"cluster-abcdefghijk".parse().unwrap());
    let request = csr::request(&generate::ec(Curve::P256).unwrap().pkcs8, &subject).unwrap();
    let leaf = ca.issue(&CertificateRequest::from_der(&request).unwrap(), NOW);
    assert_eq!(anchors.verify(leaf.der(), &[], NOW), Ok(()));
    let anchor = ClientAnchor::from_pem(ca.certificate().to_pem().as_bytes(), NOW).unwrap();
    assert_eq!(ClientAnchors(vec![anchor.clone()]).verify(leaf.der(), &[], NOW), Ok(anchor.fingerprint()));
    Valid { anchors, client_anchors: ClientAnchors(vec![anchor]), ca: ca.certificate().clone(), request, leaf }
});

/// The target.
pub fn run(data: &[u8]) {
    let valid = &*VALID;
    let leaf = raw_or_edited(valid.leaf.der(), data);
    if leaf != valid.leaf.der() && leaf != valid.ca.der() {
        assert!(valid.anchors.verify(&leaf, &[], NOW).is_err());
        assert!(valid.anchors.verify(&leaf, &[&leaf, valid.leaf.der()], NOW).is_err());
    }
    if let Ok(certificate) = Certificate::from_der(&leaf) {
        let _ = (certificate.public_key(), certificate.subject().to_string(), certificate.subject().hsm_cluster());
        assert_eq!(Certificate::from_pem(certificate.to_pem().as_bytes()), Ok(certificate));
    }
    let ca = raw_or_edited(valid.ca.der(), data);
    if ca != valid.ca.der() {
        let _ = valid.anchors.verify(valid.leaf.der(), &[&ca], NOW);
        assert!(valid.anchors.verify(&ca, &[], NOW).is_err());
    }
    if let Ok(certificate) = Certificate::from_der(&ca)
        && let Ok(anchors) = Anchors::from_pem(certificate.to_pem().as_bytes(), NOW)
    {
        assert_eq!(anchors.certificates(), [certificate]);
    }
    let request = raw_or_edited(&valid.request, data);
    let read = CertificateRequest::from_der(&request);
    assert!(request == valid.request || data.first().is_none_or(|choice| choice % 2 == 0) || read.is_err());
    let _ = Anchors::from_pem(data, NOW);
    clients(valid, &leaf, &ca, data);
}

/// The same certificates as a client's and its anchor's.
fn clients(valid: &Valid, leaf: &[u8], ca: &[u8], data: &[u8]) {
    if leaf != valid.leaf.der() && leaf != valid.ca.der() {
        assert!(valid.client_anchors.verify(leaf, &[], NOW).is_err());
        assert!(valid.client_anchors.verify(leaf, &[leaf, valid.ca.der()], NOW).is_err());
    }
    let _ = valid.client_anchors.verify(valid.leaf.der(), &[ca], NOW);
    if let Ok(anchor) = ClientAnchor::from_pem(pem::encode(pem::CERTIFICATE, ca).as_bytes(), NOW) {
        assert_eq!(anchor.certificate().der(), ca);
        assert_eq!(ClientAnchor::checked(anchor.to_pem().as_bytes()), Ok(anchor));
    }
    let _ = ClientAnchor::from_pem(data, NOW);
    let _ = ClientIdentity::from_pem(pem::encode(pem::CERTIFICATE, leaf).as_bytes(), &Secret::from(data));
    let _ = ClientIdentity::from_pem(data, &Secret::from(data));
}

/// To begin with: the bytes as they are, one changed, cut off.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::edits(&[])
}

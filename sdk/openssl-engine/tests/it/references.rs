//! Reference files, where no HSM can be asked.

use std::fs;
use std::time::{Duration, Instant};

use strongroom_client::reference_pem::{self, Comment, marker_for};
use strongroom_crypto::{der, pem};
use strongroom_types::{KeyReference, PublicPart};

use crate::host::{Host, block};

/// Both kinds of keys; a curve's order says nothing here.
const KINDS: [&str; 3] = ["rsa", "prime256v1", "secp521r1"];

#[test]
fn without_the_engine_nothing_is_signed() {
    let host = Host::new();
    for kind in KINDS {
        host.reference(kind, "reference.key");
        for option in [&[][..], &["-sigopt", "rsa_padding_mode:pss"]] {
            if kind != "rsa" && !option.is_empty() {
                continue;
            }
            let sign = ["dgst", "-sha256", "-sign", "reference.key", "-out", "signature"];
            host.plain(&[&sign[..], option, &["data"]].concat()).failed();
            host.nothing_signed();
        }
        host.plain(&["req", "-new", "-key", "reference.key", "-subj", "/CN=never", "-out", "signature"]).failed();
        host.nothing_signed();
        // The public part is right and needs nobody.
        let public = host.plain(&["pkey", "-in", "reference.key", "-pubout"]).ok();
        assert_eq!(public, fs::read_to_string(host.path("reference.key.pub")).unwrap());
    }
}

#[test]
fn without_hsms_the_reason_is_told() {
    let host = Host::new();
    for kind in KINDS {
        host.reference(kind, "reference.key");
        let said = host.openssl(&host.sign("reference.key", &[])).failed();
        // In the error queue and in the log, with the address that was tried.
        assert!(said.contains("CloudHSM engine::no HSM of the cluster answers"), "{said}");
        assert!(said.matches("127.0.0.1:1").count() >= 2, "{said}");
        assert!(!said.contains("a-password"), "{said}");
        host.nothing_signed();
    }
    let said = host.openssl(&["genrsa", "-engine", "cloudhsm", "-out", "signature", "2048"]).failed();
    assert!(said.contains("no HSM of the cluster answers"), "{said}");
    host.nothing_signed();
}

#[test]
fn an_operation_without_hsms_ends() {
    let host = Host::with_retries("standard");
    host.reference("prime256v1", "reference.key");
    let started = Instant::now();
    let said = host.openssl(&host.sign("reference.key", &[])).failed();
    assert!(said.contains("no HSM of the cluster answers"), "{said}");
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(20), "{waited:?}");
}

#[test]
fn a_copy_that_openssl_made_is_still_a_reference() {
    let host = Host::new();
    host.reference("rsa", "reference.key");
    let traditional = ["rsa", "-in", "reference.key", "-traditional", "-out", "pkcs1.key"];
    let encrypted = ["rsa", "-in", "reference.key", "-aes256", "-passout", "pass:opensesame", "-out", "closed.key"];
    host.plain(&["pkey", "-in", "reference.key", "-out", "pkcs8.key"]).ok();
    host.plain(&traditional).ok();
    host.plain(&encrypted).ok();
    for file in ["pkcs1.key", "pkcs8.key", "closed.key"] {
        let said = host.openssl(&host.sign(file, &["-passin", "pass:opensesame"])).failed();
        assert!(said.contains("no HSM of the cluster answers"), "{file}: {said}");
        host.nothing_signed();
    }
}

#[test]
fn halves_of_two_keys_are_refused_before_anybody_is_asked() {
    let host = Host::new();
    let reference = KeyReference::from_u64(0x2e06bf).unwrap();
    let comment = Comment { label: "", cluster_id: "" };
    let check = |public: &PublicPart, other: &PublicPart| {
        // The text of one key with the integer of the other: both have one length.
        let (ours, theirs) = (marker_for(reference, public), marker_for(reference, other));
        let text = reference_pem::encode(reference, public, &comment).expect("RSA or ECDSA");
        let label = if matches!(public, PublicPart::Rsa { .. }) { "RSA PRIVATE KEY" } else { "EC PRIVATE KEY" };
        let mut bytes = block(label, &text);
        let at = bytes.windows(ours.len()).position(|window| window == ours).unwrap();
        bytes[at..at + theirs.len()].copy_from_slice(&theirs);
        fs::write(host.path("mixed.key"), pem::encode(label, &bytes)).unwrap();
        let said = host.openssl(&host.sign("mixed.key", &[])).failed();
        assert!(said.contains("key reference and public part belong to different keys"), "{said}");
        assert!(said.contains("0x00000000002e06bf") && !said.contains("127.0.0.1"), "{said}");
        host.nothing_signed();
    };
    let (rsa, other) = (host.reference("rsa", "a.key"), host.reference("rsa", "b.key"));
    check(&rsa, &other);
    let (ec, other) = (host.reference("prime256v1", "a.key"), host.reference("prime256v1", "b.key"));
    check(&ec, &other);
}

#[test]
fn a_reference_on_a_curve_that_the_hsms_do_not_have_is_refused() {
    let host = Host::new();
    let public = host.reference("prime256v1", "reference.key");
    let marker = marker_for(KeyReference::from_u64(1).unwrap(), &public);
    // The same file, but on brainpoolP256r1 (RFC 5639), with a point of that curve.
    host.real_key("brainpoolP256r1", "brainpool.key");
    let text = host.plain(&["pkey", "-in", "brainpool.key", "-pubout"]).ok();
    let spki = block("PUBLIC KEY", &text);
    let point = &spki[spki.len() - 65..];
    let oid = der::oid(&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07]);
    let group = der::element(der::tag::context(0), &[&oid]);
    let public = der::element(der::tag::context(1), &[&der::bit_string(point)]);
    let key = der::sequence(&[&der::unsigned(&[1]), &der::octet_string(&marker), &group, &public]);
    fs::write(host.path("brainpool.key"), pem::encode("EC PRIVATE KEY", &key)).unwrap();
    let said = host.openssl(&host.sign("brainpool.key", &[])).failed();
    assert!(said.contains("the curve is not supported"), "{said}");
    host.nothing_signed();
}

#[test]
fn pkcs1_decryption_is_refused_by_name() {
    let host = Host::new();
    host.reference("rsa", "reference.key");
    let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", "reference.key.pub", "-in", "data", "-out", "closed"];
    host.plain(&encrypt).ok();
    let decrypt = ["pkeyutl", "-engine", "cloudhsm", "-decrypt", "-inkey", "reference.key", "-in", "closed"];
    let said = host.openssl(&decrypt).failed();
    assert!(said.contains("decryption with this padding is not supported"), "{said}");
    assert!(!said.contains("127.0.0.1"), "{said}");
}

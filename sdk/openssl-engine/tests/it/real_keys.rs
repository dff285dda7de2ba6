//! Files with real private keys work beside, whether there are HSMs or not.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use strongroom_crypto::der::{self, Reader, tag};
use strongroom_crypto::pem;
use strongroom_types::Secret;

use crate::host::{Host, run};

const KINDS: [&str; 5] = ["rsa", "prime256v1", "secp384r1", "secp521r1", "secp256k1"];

#[test]
fn they_sign() {
    let host = Host::new();
    for kind in KINDS {
        host.real_key(kind, "real.key");
        host.openssl(&host.sign("real.key", &[])).ok();
        host.verified("real.key", &[]);
    }
    host.real_key("rsa", "real.key");
    for options in [&["rsa_padding_mode:pss", "rsa_pss_saltlen:32"][..], &["rsa_padding_mode:x931"]] {
        let options: Vec<_> = options.iter().flat_map(|option| ["-sigopt", option]).collect();
        host.openssl(&host.sign("real.key", &options)).ok();
        host.verified("real.key", &options);
    }
    // A curve that the HSMs do not have.
    host.real_key("brainpoolP256r1", "real.key");
    host.openssl(&host.sign("real.key", &[])).ok();
    host.verified("real.key", &[]);
}

#[test]
fn they_decrypt() {
    let host = Host::new();
    host.real_key("rsa", "real.key");
    host.plain(&["pkey", "-in", "real.key", "-pubout", "-out", "real.pub"]).ok();
    for padding in ["oaep", "pkcs1"] {
        let option = format!("rsa_padding_mode:{padding}");
        let common = ["pkeyutl", "-pkeyopt", &option];
        host.plain(
            &[&common[..], &["-encrypt", "-pubin", "-inkey", "real.pub", "-in", "data", "-out", "closed"]].concat(),
        )
        .ok();
        let decrypt = ["-engine", "cloudhsm", "-decrypt", "-inkey", "real.key", "-in", "closed", "-out", "open"];
        host.openssl(&[&common[..], &decrypt].concat()).ok();
        assert_eq!(fs::read(host.path("open")).unwrap(), b"some data");
    }
}

#[test]
fn they_make_requests_and_certificates() {
    let host = Host::new();
    for kind in ["rsa", "prime256v1"] {
        host.real_key(kind, "real.key");
        let request =
            ["req", "-engine", "cloudhsm", "-new", "-key", "real.key", "-subj", "/CN=real", "-out", "real.csr"];
        host.openssl(&request).ok();
        host.plain(&["req", "-in", "real.csr", "-verify", "-noout"]).ok();
        let sign =
            ["x509", "-engine", "cloudhsm", "-req", "-in", "real.csr", "-signkey", "real.key", "-out", "real.crt"];
        host.openssl(&sign).ok();
        host.plain(&["verify", "-CAfile", "real.crt", "real.crt"]).ok();
    }
}

#[test]
fn they_are_generated_where_the_hsms_make_none() {
    let host = Host::new();
    for bits in ["1024", "2176"] {
        host.openssl(&["genrsa", "-engine", "cloudhsm", "-out", "small.key", bits]).ok();
        host.plain(&["rsa", "-in", "small.key", "-check", "-noout"]).ok();
        let text = host.plain(&["rsa", "-in", "small.key", "-text", "-noout"]).ok();
        assert!(text.contains(&format!("({bits} bit")), "{text}");
    }
    host.openssl(&["genrsa", "-engine", "cloudhsm", "-3", "-out", "small.key", "2048"]).ok();
    host.plain(&["rsa", "-in", "small.key", "-check", "-noout"]).ok();
    host.openssl(&["ecparam", "-engine", "cloudhsm", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.key"])
        .ok();
    host.plain(&["ec", "-in", "ec.key", "-check", "-noout"]).ok();
}

#[test]
fn they_serve_tls() {
    let host = Host::new();
    for kind in ["rsa", "prime256v1"] {
        host.real_key(kind, "real.key");
        let request = ["req", "-x509", "-new", "-key", "real.key", "-subj", "/CN=localhost", "-out", "real.crt"];
        host.plain(&request).ok();
        for version in ["-tls1_2", "-tls1_3"] {
            let serve = ["s_server", "-engine", "cloudhsm", "-accept", "127.0.0.1:0", "-naccept", "1", "-www"];
            let mut server = host.with_engine(&[&serve[..], &["-cert", "real.crt", "-key", "real.key"]].concat());
            let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
            let address = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
            let mut client =
                host.command("openssl", &["s_client", version, "-connect", &address, "-CAfile", "real.crt"]);
            let said = run(client.stdin(Stdio::null())).ok();
            assert!(said.contains("Verify return code: 0 (ok)"), "{kind} {version}: {said}");
            server.wait().unwrap();
        }
    }
}

/// Cuts the key's numbers out of PKCS #1: version, n, e, d, p, q, dp, dq, inverse.
fn numbers(host: &Host, file: &str) -> Vec<Vec<u8>> {
    host.plain(&["rsa", "-in", file, "-traditional", "-out", "pkcs1.key"]).ok();
    let text = Secret::new(fs::read(host.path("pkcs1.key")).unwrap());
    let bytes = pem::decode_secret("RSA PRIVATE KEY", &text).unwrap();
    let mut key = Reader::new(bytes.expose()).sequence().unwrap();
    (0..9).map(|_| key.unsigned().unwrap().to_vec()).collect()
}

fn write_rsa(host: &Host, file: &str, numbers: &[Vec<u8>]) {
    let parts: Vec<_> = numbers.iter().map(|number| der::unsigned(number)).collect();
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    fs::write(host.path(file), pem::encode("RSA PRIVATE KEY", &der::sequence(&parts))).unwrap();
}

#[test]
fn an_rsa_key_whose_private_part_does_not_fit_signs_nothing() {
    let host = Host::new();
    host.real_key("rsa", "real.key");
    let real = numbers(&host, "real.key");
    let zero = Vec::new();
    let check = |name: &str, d: &[u8], p: &[u8], q: &[u8], crt: &[u8]| {
        let crt = crt.to_vec();
        let spoiled = [
            zero.clone(),
            real[1].clone(),
            real[2].clone(),
            d.to_vec(),
            p.to_vec(),
            q.to_vec(),
            crt.clone(),
            crt.clone(),
            crt,
        ];
        write_rsa(&host, "spoiled.key", &spoiled);
        for options in [&[][..], &["-sigopt", "rsa_padding_mode:pss"]] {
            // Whether the HSMs know the key can't be found out, and a guess would be a wrong signature.
            let said = host.openssl(&host.sign("spoiled.key", options)).failed();
            assert!(said.contains("no HSM of the cluster answers"), "{name}: {said}");
            host.nothing_signed();
        }
    };
    let mut other = real[3].clone();
    *other.last_mut().unwrap() ^= 2;
    check("another d, no factors", &other, &[], &[], &[]);
    // Stock code divides by these without a check.
    check("trivial factors", &other, &real[1], &[1], &[1]);
    check("small factors", &other, &[3], &[5], &[1]);
}

#[test]
fn an_ec_key_whose_scalar_does_not_fit_signs_nothing() {
    let host = Host::new();
    host.real_key("prime256v1", "real.key");
    host.plain(&["ec", "-in", "real.key", "-out", "sec1.key"]).ok();
    let text = Secret::new(fs::read(host.path("sec1.key")).unwrap());
    let bytes = pem::decode_secret("EC PRIVATE KEY", &text).unwrap();
    let mut key = Reader::new(bytes.expose()).sequence().unwrap();
    key.unsigned().unwrap();
    let mut scalar = key.read(tag::OCTET_STRING).unwrap().to_vec();
    let group = der::element(tag::context(0), &[key.read(tag::context(0)).unwrap()]);
    let point = der::element(tag::context(1), &[key.read(tag::context(1)).unwrap()]);
    let write = |scalar: &[u8]| {
        let spoiled = der::sequence(&[&der::unsigned(&[1]), &der::octet_string(scalar), &group, &point]);
        fs::write(host.path("spoiled.key"), pem::encode("EC PRIVATE KEY", &spoiled)).unwrap();
    };
    write(&scalar);
    host.openssl(&host.sign("spoiled.key", &[])).ok();
    host.verified("real.key", &[]);
    *scalar.last_mut().unwrap() ^= 1;
    write(&scalar);
    let said = host.openssl(&host.sign("spoiled.key", &[])).failed();
    assert!(said.contains("no HSM of the cluster answers"), "{said}");
    host.nothing_signed();
}

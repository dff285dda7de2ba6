//! Ed25519 and ML-DSA keys: what stock OpenSSL reads and verifies of them, and where there are none.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use strongroom_tests::World;

/// Makes a pair that signs and verifies; its two halves as they were printed.
fn pair(world: &World, kind: &[&str], label: &str) -> (Value, Value) {
    let labels = ["--public-label", label, "--private-label", label];
    let attributes = ["--public-attributes", "verify=true", "--private-attributes", "sign=true"];
    let made = world.data(&[&["key", "generate-asymmetric-pair"][..], kind, &labels, &attributes].concat());
    (made["public_key"]["attributes"].clone(), made["private_key"]["attributes"].clone())
}

/// Writes the public key with this label; its file, and the DER that OpenSSL makes of it.
fn export(world: &World, label: &str) -> (String, Vec<u8>) {
    let (path, filter) = (world.name(&format!("{label}.pub")), format!("attr.label={label}"));
    let command =
        ["key", "generate-file", "--encoding", "pem", "--path", &path, "--filter", "attr.class=public-key", &filter];
    world.data(&command);
    let pem = fs::read_to_string(&path).expect("the file was written");
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    (path, STANDARD.decode(lines).expect("PEM is base64"))
}

fn write(world: &World, name: &str, bytes: &[u8]) -> String {
    fs::write(world.file(name), bytes).expect("a file can be written");
    world.name(name)
}

/// Signs a file by `crypto sign`; the file with the signature.
fn signed(world: &World, mechanism: &[&str], label: &str, message: &str) -> String {
    let filter = format!("attr.label={label}");
    let key = ["--key-filter", "attr.class=private-key", &filter, "--data-path", message];
    let made = world.data(&[&["crypto", "sign"][..], mechanism, &key].concat());
    let signature = STANDARD.decode(made["signature"].as_str().expect("a signature")).expect("base64");
    write(world, "signature", &signature)
}

fn verified(world: &World, mechanism: &[&str], label: &str, message: &str, signature: &str) -> bool {
    let filter = format!("attr.label={label}");
    let key = ["--key-filter", "attr.class=public-key", &filter];
    let data = ["--data-path", message, "--signature-path", signature];
    let ran = world.cli(&[&["crypto", "verify"][..], mechanism, &key, &data].concat());
    let json = ran.json();
    match json["error_code"].as_u64() {
        Some(0) => true,
        _ => {
            assert_eq!(json["data"], "Signature verification failed", "{json}");
            false
        }
    }
}

/// `0x` and the first three bytes of SHA-1 over the file, as OpenSSL computes it.
fn check_value_by_openssl(world: &World, der: &[u8]) -> String {
    let file = write(world, "key.der", der);
    let ran = world.plain_openssl(&["dgst", "-sha1", "-r", &file]).ok();
    format!("0x{}", &ran.stdout[..6])
}

/// Both kinds on two HSMs, before and after they were stopped: what is kept is enough to sign.
#[test]
fn ed25519_and_ml_dsa_keys_sign_and_survive_a_restart() {
    let mut world = World::quick(&["--hsms", "2", "--mode", "NON_FIPS"]);
    let message = write(&world, "message", b"attack at dawn\n");
    let other = write(&world, "other", b"attack at dusk\n");
    let (public, private) = pair(&world, &["ec", "--curve", "ed25519"], "ed");
    assert_eq!((&public["key-length-bytes"], &private["key-length-bytes"]), (&32.into(), &48.into()));
    let (ed25519_file, der) = export(&world, "ed");
    assert_eq!(public["check-value"], check_value_by_openssl(&world, &der));
    assert_eq!(private["check-value"], public["check-value"]);
    // RFC 8410 §4: twelve bytes, then the point that the tool prints in an OCTET STRING.
    let point: String = der[12..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(public["ec-point"], format!("0x0420{point}"));
    for (algorithm, oid, len) in [
        ("ML-DSA-44", "2.16.840.1.101.3.4.3.17", 1312),
        ("ML-DSA-65", "2.16.840.1.101.3.4.3.18", 1952),
        ("ML-DSA-87", "2.16.840.1.101.3.4.3.19", 2592),
    ] {
        let (public, _) = pair(&world, &["ml-dsa", "--mldsa-algorithm", algorithm], algorithm);
        let (_, der) = export(&world, algorithm);
        assert_eq!(public["check-value"], check_value_by_openssl(&world, &der), "{algorithm}");
        assert_eq!(der.len(), len + 22, "{algorithm}: RFC 9881 §4");
        let file = write(&world, "key.der", &der);
        let parsed = world.plain_openssl(&["asn1parse", "-inform", "DER", "-in", &file]).ok();
        let named = |line: &str| line.ends_with(oid) || line.ends_with(&format!(":{algorithm}"));
        assert!(parsed.stdout.lines().any(named), "{}", parsed.stdout);
    }
    let raw = ["--data-type", "raw", "--hash-function"];
    let ed25519ph: &[&str] = &[&["ed25519ph"], &raw[..], &["sha512"]].concat();
    let ml_dsa: &[&str] = &[&["ml-dsa"], &raw[..], &["shake256"]].concat();
    for round in ["first", "after a restart"] {
        let signature = signed(&world, &["ed25519"], "ed", &message);
        let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", &ed25519_file, "-rawin", "-in"];
        world.plain_openssl(&[&verify[..], &[&message, "-sigfile", &signature]].concat()).ok();
        world.plain_openssl(&[&verify[..], &[&other, "-sigfile", &signature]].concat()).failed();
        for (mechanism, label) in
            [(&["ed25519"][..], "ed"), (ed25519ph, "ed"), (ml_dsa, "ML-DSA-44"), (ml_dsa, "ML-DSA-87")]
        {
            let signature = signed(&world, mechanism, label, &message);
            assert!(verified(&world, mechanism, label, &message, &signature), "{mechanism:?} {round}");
            assert!(!verified(&world, mechanism, label, &other, &signature), "{mechanism:?} {round}");
        }
        world.stop();
        world.start();
    }
}

/// μ made by the sheet's formula from what OpenSSL computes is what `raw` signs.
#[test]
fn an_external_mu_is_the_message_hashed_elsewhere() {
    let world = World::shared();
    pair(&world, &["ml-dsa", "--mldsa-algorithm", "ML-DSA-65"], "mu");
    let (_, der) = export(&world, "mu");
    let shake = |bytes: &[u8]| {
        let input = write(&world, "shake.in", bytes);
        world.plain_openssl(&["dgst", "-shake256", "-xoflen", "64", "-binary", "-out", "shake.out", &input]).ok();
        fs::read(world.file("shake.out")).expect("a digest")
    };
    let key_digest = shake(&der[22..]);
    let mu = write(&world, "mu.bin", &shake(&[&key_digest[..], &[0, 0], b"message"].concat()));
    let external = ["ml-dsa", "--data-type", "external-mu", "--hash-function", "shake256"];
    let raw = ["ml-dsa", "--data-type", "raw", "--hash-function", "shake256"];
    let message = write(&world, "mu.message", b"message");
    let signature = signed(&world, &external, "mu", &mu);
    assert!(verified(&world, &raw, "mu", &message, &signature));
    let signature = signed(&world, &raw, "mu", &message);
    assert!(verified(&world, &external, "mu", &mu, &signature));
}

#[test]
fn hsm1_has_neither() {
    let world = World::quick(&["--hsms", "1", "--hsm-type", "hsm1.medium"]);
    let labels = ["--public-label", "a", "--private-label", "a"];
    for kind in [&["ml-dsa", "--mldsa-algorithm", "ML-DSA-44"][..], &["ec", "--curve", "ed25519"]] {
        let refused = world.cli(&[&["key", "generate-asymmetric-pair"][..], kind, &labels].concat()).failed().json();
        let text = refused["data"].as_str().expect("a text");
        assert!(text.starts_with("HSMs of the cluster's type do not have this algorithm"), "{text}");
    }
    assert_eq!(world.data(&["key", "list"])["total_key_count"], 0, "nothing half made");
}

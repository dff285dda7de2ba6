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

/// An RSA pair that unwraps, and its public key's file.
fn opener(world: &World) -> String {
    let make = ["key", "generate-asymmetric-pair", "rsa", "--modulus-size-bits", "2048", "--public-exponent", "65537"];
    let labels = ["--public-label", "opener", "--private-label", "opener", "--private-attributes", "unwrap=true"];
    world.data(&[&make[..], &labels].concat());
    export(world, "opener").0
}

/// What `key unwrap rsa-oaep` answers to bytes that OpenSSL encrypted.
fn brought_in(world: &World, opener: &str, bytes: &[u8], class: &str, label: &str) -> Value {
    let clear = write(world, "clear", bytes);
    let oaep =
        ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256"];
    let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", opener, "-in", &clear, "-out", "wrapped"];
    world.plain_openssl(&[&encrypt[..], &oaep].concat()).ok();
    let unwrap = ["key", "unwrap", "rsa-oaep", "--hash-function", "sha256", "--mgf", "mgf1-sha256"];
    let what = ["--filter", "attr.label=opener", "attr.class=private-key", "--key-type-class", class, "--label", label];
    let attributes: &[&str] = if class == "ec-private" { &["--attributes", "sign=true"] } else { &[] };
    let wrapped = world.name("wrapped");
    world.cli(&[&unwrap[..], &what, &["--data-path", &wrapped], attributes].concat()).json()
}

const DES3: &str = "0123456789abcdef23456789abcdef01456789abcdef0123";

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// In FIPS mode, which `up` makes unless told otherwise.
#[test]
fn three_des_keys_come_into_a_fips_cluster_unless_they_are_single_des() {
    let world = World::quick(&["--hsms", "1"]);
    let opener = opener(&world);
    let json = brought_in(&world, &opener, &unhex(DES3), "des3", "des3");
    let attributes = &json["data"]["key"]["attributes"];
    let zeros = write(&world, "zeros", &[0; 8]);
    let encrypt = ["enc", "-des-ede3-ecb", "-nopad", "-K", DES3, "-in", &zeros, "-out", "block"];
    world.plain_openssl(&encrypt).ok();
    let block = fs::read(world.file("block")).expect("a block");
    let expected = format!("0x{:02x}{:02x}{:02x}", block[0], block[1], block[2]);
    assert_eq!(attributes["check-value"], expected, "{json}");
    for (name, value) in
        [("key-type", "des3".into()), ("key-length-bytes", 24.into()), ("local", false.into()), ("sign", true.into())]
    {
        let value: Value = value;
        assert_eq!(attributes[name], value, "{name}");
    }
    let found = world.data(&["key", "list", "--filter", "attr.key-type=des3"]);
    assert_eq!(found["total_key_count"], 1);
    // The second DES key is the first again, its parity bits apart.
    let weak = format!("0123456789abcdef0022446688aaccee{}", &DES3[32..]);
    let refused = brought_in(&world, &opener, &unhex(&weak), "des3", "weak");
    let text = refused["data"].as_str().expect("a text");
    assert!(text.starts_with("a key as weak as this is not allowed"), "{text}");
    for len in [16, 23, 25] {
        let refused = brought_in(&world, &opener, &vec![7; len], "des3", "short");
        assert_eq!(refused["error_code"], 1, "{len} bytes: {refused}");
    }
    // Ed25519 is not for FIPS mode, from wherever.
    world.plain_openssl(&["genpkey", "-algorithm", "ed25519", "-outform", "DER", "-out", "ed.der"]).ok();
    let pkcs8 = fs::read(world.file("ed.der")).expect("a key");
    let refused = brought_in(&world, &opener, &pkcs8, "ec-private", "ed");
    let text = refused["data"].as_str().expect("a text");
    assert!(text.starts_with("the cluster's FIPS mode does not allow this mechanism: Ed25519 keys"), "{text}");
    assert_eq!(world.data(&["key", "list"])["total_key_count"], 3, "the pair that unwraps, and one 3DES key");
}

/// A private key made by OpenSSL signs in the HSM what OpenSSL verifies; its public key verifies there what OpenSSL signed.
#[test]
fn ed25519_keys_come_in_from_openssl() {
    let world = World::quick(&["--hsms", "1", "--mode", "NON_FIPS"]);
    let opener = opener(&world);
    world.plain_openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]).ok();
    world.plain_openssl(&["pkey", "-in", "ed.pem", "-outform", "DER", "-out", "ed.der"]).ok();
    world.plain_openssl(&["pkey", "-in", "ed.pem", "-pubout", "-out", "ed.pub"]).ok();
    let pkcs8 = fs::read(world.file("ed.der")).expect("a key");
    let json = brought_in(&world, &opener, &pkcs8, "ec-private", "in");
    let attributes = json["data"]["key"]["attributes"].clone();
    assert_eq!((&attributes["curve"], &attributes["key-length-bytes"]), (&"ed25519".into(), &48.into()), "{json}");
    let import = ["key", "import", "pem", "--path", &world.name("ed.pub"), "--label", "in"];
    let public = world.data(&[&import[..], &["--key-type-class", "ec-public", "--attributes", "verify=true"]].concat());
    assert_eq!(public["key"]["attributes"]["check-value"], attributes["check-value"]);
    let message = write(&world, "message", b"attack at dawn\n");
    let signature = signed(&world, &["ed25519"], "in", &message);
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "ed.pub", "-rawin", "-in", &message, "-sigfile"];
    world.plain_openssl(&[&verify[..], &[&signature]].concat()).ok();
    let sign = ["pkeyutl", "-sign", "-inkey", "ed.pem", "-rawin", "-in", &message, "-out", "by-openssl"];
    world.plain_openssl(&sign).ok();
    assert!(verified(&world, &["ed25519"], "in", &message, &world.name("by-openssl")));
    assert_eq!(fs::read(&signature).expect("ours"), fs::read(world.file("by-openssl")).expect("theirs"));
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

//! Signatures that the HSMs make verify with stock OpenSSL, and the other way round.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_tests::{Ran, World};

const MESSAGE: &[u8] = b"attack at dawn\n";

/// The signature that a `crypto sign` command printed.
fn signature(ran: Ran) -> Vec<u8> {
    let json = ran.ok().json();
    assert!(json["data"]["key-reference"].as_str().is_some_and(|reference| reference.len() == 18), "{json}");
    STANDARD.decode(json["data"]["signature"].as_str().expect("a signature")).expect("base64")
}

/// Writes the public key with this label where `openssl` reads it.
fn export(world: &World, label: &str) -> String {
    let path = world.name(&format!("{label}.pub"));
    let label = format!("attr.label={label}");
    let command =
        ["key", "generate-file", "--encoding", "pem", "--path", &path, "--filter", "attr.class=public-key", &label];
    assert_eq!(world.data(&command)["message"], "Successfully generated key file");
    path
}

fn write(world: &World, name: &str, bytes: &[u8]) -> String {
    fs::write(world.file(name), bytes).expect("a file can be written");
    world.name(name)
}

/// `r || s` as the DER that OpenSSL reads (RFC 3279 §2.2.3).
fn der_of(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
        let bytes = &bytes[first..];
        let sign: &[u8] = if bytes[0] & 0x80 == 0 { &[] } else { &[0] };
        [&[2, u8::try_from(sign.len() + bytes.len()).expect("short")], sign, bytes].concat()
    };
    let (r, s) = raw.split_at(raw.len() / 2);
    let both = [integer(r), integer(s)].concat();
    let len = u8::try_from(both.len()).expect("two integers of a curve are short");
    let head: Vec<u8> = if len < 128 { vec![0x30, len] } else { vec![0x30, 0x81, len] };
    [head, both].concat()
}

#[test]
fn rsa_signatures_verify_with_openssl() {
    let world = World::shared();
    world.rsa_pair("sign-rsa");
    let public = export(&world, "sign-rsa");
    let message = write(&world, "rsa.message", MESSAGE);
    let key = ["--key-filter", "attr.label=sign-rsa", "attr.class=private-key"];
    for hash in ["sha224", "sha256", "sha384", "sha512"] {
        let sign = ["crypto", "sign", "rsa-pkcs", "--hash-function", hash, "--data-path", &message];
        let made = write(&world, "rsa.signature", &signature(world.cli(&[&sign[..], &key].concat())));
        world.plain_openssl(&["dgst", &format!("-{hash}"), "-verify", &public, "-signature", &made, &message]).ok();
        let (mgf, salt) = (format!("mgf1-{hash}"), if hash == "sha512" { "64" } else { "28" });
        let sign = ["crypto", "sign", "rsa-pkcs-pss", "--hash-function", hash, "--mgf", &mgf, "--salt-length", salt];
        let made = world.cli(&[&sign[..], &["--data", &STANDARD.encode(MESSAGE)], &key].concat());
        let made = write(&world, "rsa.signature", &signature(made));
        let options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", &format!("rsa_pss_saltlen:{salt}")];
        let verify = ["dgst", &format!("-{hash}"), "-verify", &public, "-signature", &made];
        world.plain_openssl(&[&verify[..], &options, &[&message]].concat()).ok();
    }
}

#[test]
fn ecdsa_signatures_of_every_curve_verify_with_openssl() {
    let world = World::shared();
    let message = write(&world, "ec.message", MESSAGE);
    for (curve, hash, len) in [
        ("secp224r1", "sha224", 56),
        ("prime256v1", "sha256", 64),
        ("secp256k1", "sha256", 64),
        ("secp384r1", "sha384", 96),
        ("secp521r1", "sha512", 132),
    ] {
        let label = format!("sign-{curve}");
        world.ec_pair(&label, curve);
        let public = export(&world, &label);
        let label = format!("attr.label={label}");
        let sign = ["crypto", "sign", "ecdsa", "--hash-function", hash, "--data-path", &message];
        let raw = signature(world.cli(&[&sign[..], &["--key-filter", &label, "attr.class=private-key"]].concat()));
        assert_eq!(raw.len(), len, "{curve}: r and s, each of the field's length");
        let made = write(&world, "ec.signature", &der_of(&raw));
        world.plain_openssl(&["dgst", &format!("-{hash}"), "-verify", &public, "-signature", &made, &message]).ok();
        let raw = write(&world, "ec.raw", &raw);
        let verify = ["crypto", "verify", "ecdsa", "--hash-function", hash, "--signature-path", &raw];
        let key = ["--key-filter", &label, "attr.class=public-key", "--data-path"];
        let verified = world.data(&[&verify[..], &key, &[&message]].concat());
        assert_eq!(verified["message"], "Signature verified successfully");
        let other = write(&world, "ec.other", b"attack at dusk\n");
        let refused = world.cli(&[&verify[..], &key, &[&other]].concat()).failed().json();
        assert_eq!((&refused["error_code"], &refused["data"]), (&1.into(), &"Signature verification failed".into()));
    }
}

#[test]
fn digests_can_be_signed_as_they_are() {
    let world = World::shared();
    world.ec_pair("sign-digest", "prime256v1");
    let public = export(&world, "sign-digest");
    let message = write(&world, "digest.message", MESSAGE);
    world.plain_openssl(&["dgst", "-sha256", "-binary", "-out", "digest.bin", &message]).ok();
    let sign = ["crypto", "sign", "ecdsa", "--hash-function", "sha256", "--data-type", "digest", "--data-path"];
    let key = ["--key-filter", "attr.label=sign-digest", "attr.class=private-key"];
    let raw = signature(world.cli(&[&sign[..], &[&world.name("digest.bin")], &key].concat()));
    let made = write(&world, "digest.signature", &der_of(&raw));
    world.plain_openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &made, &message]).ok();
    let input = ["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-in", "digest.bin", "-sigfile", &made];
    world.plain_openssl(&input).ok();
}

#[test]
fn the_cli_verifies_what_openssl_signed_through_the_engine() {
    let world = World::shared();
    world.rsa_pair("sign-engine");
    world.reference_pem("sign-engine", &world.file("sign-engine.key"));
    let message = write(&world, "engine.message", MESSAGE);
    let (key, made) = (world.name("sign-engine.key"), world.name("engine.signature"));
    world.openssl(&["dgst", "-engine", "cloudhsm", "-sha384", "-sign", &key, "-out", &made, &message]).ok();
    let verify = ["crypto", "verify", "rsa-pkcs", "--hash-function", "sha384", "--signature-path", &made];
    let key = ["--key-filter", "attr.label=sign-engine", "attr.class=public-key", "--data-path", &message];
    assert_eq!(world.data(&[&verify[..], &key].concat())["message"], "Signature verified successfully");
}

#[test]
fn a_fips_cluster_refuses_weak_hashes_and_wrong_keys() {
    let world = World::shared();
    world.ec_pair("weak-ec", "secp384r1");
    world.rsa_pair("weak-rsa");
    let data = STANDARD.encode(MESSAGE);
    let check = |mechanism: &[&str], label: &str, class: &str, expected: &str| {
        let (label, class) = (format!("attr.label={label}"), format!("attr.class={class}"));
        let key = ["--data", &data, "--key-filter", &label, &class];
        let refused = world.cli(&[&["crypto", "sign"], mechanism, &key].concat()).failed().json();
        assert_eq!(refused["error_code"], 1);
        let said = refused["data"].as_str().expect("an error's data is text").to_lowercase();
        assert!(said.contains(expected), "{mechanism:?}: {said}");
    };
    check(&["ecdsa", "--hash-function", "sha256"], "weak-ec", "private-key", "fips mode");
    check(&["rsa-pkcs", "--hash-function", "sha1"], "weak-rsa", "private-key", "fips mode");
    check(&["rsa-pkcs", "--hash-function", "sha256"], "weak-ec", "private-key", "type");
    check(&["rsa-pkcs", "--hash-function", "sha256"], "weak-rsa", "public-key", "");
}

//! Keys that come in clear and keys derived from others, with the `openssl` command on the other side; and that what came in
//! is nowhere but in HSMs.

use std::fs;
use std::path::Path;

use strongroom_client::{Client, ClientError, PairAlgorithm};
use strongroom_crypto::der::{Reader, tag};
use strongroom_crypto::pkcs8::{self, RsaParts};
use strongroom_crypto::{digest, random, spki};
use strongroom_tests::{Primes, World};
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Derivation, EcdhKdf, Flag, HashFunction, KdfField, KeyReference, KeyType,
    MacMechanism, Prf, PublicPart, Role, Secret, SignMechanism, Status, Template,
};

use crate::crash::login;

fn flags(values: &[(Flag, bool)]) -> Template {
    values.iter().map(|(flag, value)| (AttributeName::Flag(*flag), AttributeValue::Bool(*value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of `openssl`'s output in hexadecimal, with colons between them or without.
fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits")).collect()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Status {
    match outcome {
        Err(ClientError::Refused(refusal)) => refusal.status,
        other => panic!("a refusal was expected: {other:?}"),
    }
}

/// A file of the world's with this content.
fn write(world: &World, name: &str, content: &[u8]) -> String {
    fs::write(world.file(name), content).expect("a file of the test");
    world.name(name)
}

/// What `openssl` computes of this key: HMAC-SHA-256 of a message. Whether two keys are the same, all of their bytes.
fn hmac_by_openssl(world: &World, key: &[u8]) -> Vec<u8> {
    let message = write(world, "message", b"message");
    let key = format!("hexkey:{}", hex(key));
    unhex(&world.plain_openssl(&["mac", "-digest", "SHA256", "-macopt", &key, "-in", &message, "HMAC"]).ok().stdout)
}

fn hmac_by_hsm(client: &Client, key: KeyReference) -> Vec<u8> {
    client.mac(key, MacMechanism::Hmac(HashFunction::Sha256), b"message").expect("a code")
}

/// A generic secret derived in an HSM.
fn derived(client: &Client, base: KeyReference, derivation: &Derivation, len: u32) -> KeyReference {
    let template = flags(&[(Flag::Sign, true), (Flag::Token, false)]);
    client.key_derive(base, derivation, KeyType::GenericSecret, len, &template).expect("a derived key").reference
}

fn kdf_by_openssl(world: &World, len: u32, options: &[&str], kdf: &str) -> Vec<u8> {
    let len = len.to_string();
    let options = options.iter().flat_map(|option| ["-kdfopt", option]);
    let arguments: Vec<&str> = ["kdf", "-keylen", &len].into_iter().chain(options).chain([kdf]).collect();
    unhex(&world.plain_openssl(&arguments).ok().stdout)
}

#[test]
fn openssl_agrees_with_an_hsm_on_every_curve() {
    let world = World::quick(&["--hsms", "2", "--mode", "NON_FIPS"]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    for (curve, hash) in Curve::WEIERSTRASS.into_iter().zip(HashFunction::ALL) {
        let private = flags(&[(Flag::Derive, true)]);
        let pair = client.key_generate_pair(&PairAlgorithm::Ec(curve), &Template::new(), &private, &[]);
        let (public, private) = pair.expect("a pair");
        let own = write(&world, "hsm.der", &spki::encode(public.attributes.public.as_ref().expect("an EC key")));
        let (key, other) = (world.name("peer.pem"), world.name("peer.der"));
        world.plain_openssl(&["ecparam", "-name", curve.as_str(), "-genkey", "-noout", "-out", &key]).ok();
        world.plain_openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER", "-out", &other]).ok();
        let shared = world.name("shared");
        let derive = ["pkeyutl", "-derive", "-inkey", &key, "-peerkey", &own, "-peerform", "DER", "-out", &shared];
        world.plain_openssl(&derive).ok();
        let shared = fs::read(&shared).expect("a shared secret");
        assert_eq!(shared.len(), curve.field_len(), "{curve}");
        let Ok(PublicPart::Ec { point, .. }) = spki::decode(&fs::read(&other).expect("a public key")) else {
            panic!("openssl made no EC key")
        };
        // As an attribute has it.
        let wrapped = strongroom_crypto::der::octet_string(&point);
        for (peer_point, shared_info) in [(point.clone(), &b""[..]), (wrapped, b"of both")] {
            let kdf = EcdhKdf::X963 { hash, shared_info: shared_info.to_vec() };
            let derivation = Derivation::Ecdh { peer_point, kdf };
            let (digest, secret) = (format!("digest:{hash}"), format!("hexsecret:{}", hex(&shared)));
            let info = format!("hexinfo:{}", hex(shared_info));
            let options: Vec<&str> = match shared_info {
                [] => vec![&digest, &secret],
                _ => vec![&digest, &secret, &info],
            };
            for len in [1, 32, 150] {
                let key = derived(&client, private.reference, &derivation, len);
                let expected = kdf_by_openssl(&world, len, &options, "X963KDF");
                assert_eq!(hmac_by_hsm(&client, key), hmac_by_openssl(&world, &expected), "{curve} {hash} {len}");
            }
        }
        let without = Derivation::Ecdh { peer_point: point, kdf: EcdhKdf::None };
        for len in [16, curve.field_len()] {
            let key = derived(&client, private.reference, &without, u32::try_from(len).expect("short"));
            let expected = hmac_by_openssl(&world, &shared[shared.len() - len..]);
            assert_eq!(hmac_by_hsm(&client, key), expected, "{curve} {len}");
        }
    }
}

#[test]
fn openssl_derives_the_same_in_counter_mode() {
    let world = World::quick(&["--hsms", "2"]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    for key_len in [16, 24, 32] {
        let base_key = random::bytes::<32>()[..key_len].to_vec();
        let derives = flags(&[(Flag::Derive, true)]);
        let base = client.key_import_secret(KeyType::Aes, &Secret::from(&base_key[..]), &derives).expect("imported");
        for prf in Prf::ALL {
            // The layout of SP 800-108, which is openssl's: counter, label, zero, context, length, each number of 32 bits.
            let fields = vec![
                KdfField::Counter { bits: 32 },
                KdfField::Bytes(b"label\0context".to_vec()),
                KdfField::Length { bits: 32 },
            ];
            let hexkey = format!("hexkey:{}", hex(&base_key));
            let (mac, by) = match prf {
                Prf::AesCmac => ("mac:CMAC", format!("cipher:AES-{}-CBC", 8 * key_len)),
                Prf::Hmac(hash) => ("mac:HMAC", format!("digest:{hash}")),
            };
            let options = [mac, &by, &hexkey, "salt:label", "info:context"];
            // FIPS mode has HMAC with keys of 14 bytes and more.
            for len in [14, 16, 100] {
                let derivation = Derivation::CounterKdf { prf, fields: fields.clone() };
                let key = derived(&client, base.reference, &derivation, len);
                let expected = kdf_by_openssl(&world, len, &options, "KBKDF");
                assert_eq!(hmac_by_hsm(&client, key), hmac_by_openssl(&world, &expected), "{prf:?} {key_len} {len}");
            }
        }
    }
}

/// The numbers of an RSA key in PKCS #8: n, e, d, p, q, …
fn numbers(pkcs8: &[u8]) -> [Vec<u8>; 8] {
    let mut info = Reader::new(pkcs8).sequence().expect("PKCS #8");
    info.unsigned().expect("a version");
    info.sequence().expect("an algorithm");
    let mut key = Reader::new(info.read(tag::OCTET_STRING).expect("a key")).sequence().expect("numbers");
    key.unsigned().expect("a version");
    std::array::from_fn(|_| key.unsigned().expect("a number").to_vec())
}

/// The same key as modulus and exponents.
fn without_primes(pkcs8: &[u8]) -> Secret {
    let [modulus, public_exponent, d, ..] = numbers(pkcs8);
    let (private_exponent, none) = (Secret::new(d), Secret::new(Vec::new()));
    pkcs8::rsa(&RsaParts {
        modulus: &modulus,
        public_exponent: &public_exponent,
        private_exponent: &private_exponent,
        prime_1: &none,
        prime_2: &none,
        exponent_1: &none,
        exponent_2: &none,
        coefficient: &none,
    })
}

/// A key that openssl made: its PKCS #8, and the name of a file with it.
fn openssl_key(world: &World, arguments: &[&str]) -> (Vec<u8>, String) {
    let (made, file) = (world.name("key.pem"), world.name("key.der"));
    world.plain_openssl(&[&["genpkey", "-out", &made], arguments].concat()).ok();
    world.plain_openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &made, "-outform", "DER", "-out", &file]).ok();
    (fs::read(&file).expect("a key"), file)
}

#[test]
fn private_keys_that_openssl_made_sign_here_before_and_after_a_restart() {
    let mut world = World::quick(&["--hsms", "2", "--mode", "NON_FIPS"]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let message = write(&world, "message", b"attack at dawn");
    let hashed = digest::digest(HashFunction::Sha256, b"attack at dawn");
    let signs = flags(&[(Flag::Sign, true)]);
    let mut keys = Vec::new();
    for (bits, partly) in [("2048", false), ("2048", true), ("4096", true)] {
        let (pkcs8, file) = openssl_key(&world, &["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")]);
        let secret = if partly { without_primes(&pkcs8) } else { Secret::from(&pkcs8[..]) };
        let key = client.key_import_private(KeyType::Rsa, &secret, &signs).expect("imported");
        let public = world.name(&format!("rsa-{}.pem", keys.len()));
        world.plain_openssl(&["pkey", "-inform", "DER", "-in", &file, "-pubout", "-out", &public]).ok();
        keys.push((key.reference, SignMechanism::RsaPkcs, public));
        assert_eq!(refused(client.key_import_private(KeyType::Ec, &secret, &signs)), Status::AttributeValueInvalid);
    }
    for curve in Curve::WEIERSTRASS {
        let curve_option = format!("ec_paramgen_curve:{curve}");
        let (pkcs8, file) = openssl_key(&world, &["-algorithm", "EC", "-pkeyopt", &curve_option]);
        let key = client.key_import_private(KeyType::Ec, &Secret::from(&pkcs8[..]), &signs).expect("imported");
        let public = world.name(&format!("{curve}.pem"));
        world.plain_openssl(&["pkey", "-inform", "DER", "-in", &file, "-pubout", "-out", &public]).ok();
        keys.push((key.reference, SignMechanism::Ecdsa, public));
    }
    for round in ["first", "after a restart"] {
        let client = login(&world, "crypto_user", Role::CryptoUser);
        for (key, mechanism, public) in &keys {
            let data = match mechanism {
                SignMechanism::RsaPkcs => digest::digest_info(HashFunction::Sha256, &hashed),
                _ => hashed.clone(),
            };
            let signature = client.sign(*key, *mechanism, &data).expect("a signature");
            let signature = match mechanism {
                SignMechanism::Ecdsa => strongroom_crypto::ecdsa::raw_to_der(&signature).expect("r and s"),
                _ => signature,
            };
            let signature = write(&world, "signature", &signature);
            let verify = ["dgst", "-sha256", "-verify", public, "-signature", &signature, &message];
            assert!(world.plain_openssl(&verify).ok().stdout.contains("OK"), "{public} {round}");
        }
        world.stop();
        world.start();
    }
}

/// Whether the bytes, or their digits, stand in a file below the folder.
fn files_with(folder: &Path, bytes: &[u8], found: &mut Vec<String>) -> usize {
    let mut read = 0;
    for entry in fs::read_dir(folder).expect("a folder of the test") {
        let path = entry.expect("an entry").path();
        let kind = fs::symlink_metadata(&path).map(|metadata| metadata.file_type());
        match kind {
            Ok(kind) if kind.is_dir() => read += files_with(&path, bytes, found),
            Ok(kind) if kind.is_file() => {
                let content = fs::read(&path).expect("a file of the test");
                let digits = hex(bytes);
                let has = |wanted: &[u8]| content.windows(wanted.len()).any(|window| window == wanted);
                if has(bytes) || has(digits.as_bytes()) {
                    found.push(path.display().to_string());
                }
                read += 1;
            }
            _ => {}
        }
    }
    read
}

#[test]
fn what_comes_in_clear_lies_nowhere_in_clear() {
    let world = World::quick(&["--hsms", "2"]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let secret = random::bytes::<32>();
    let open = flags(&[(Flag::Sensitive, false), (Flag::Derive, true)]);
    let key = client.key_import_secret(KeyType::Aes, &Secret::from(&secret[..]), &open).expect("imported");
    let pkcs8 = {
        // Made in memory: openssl would write the file that is looked for.
        let made = world.plain_openssl(&["genrsa", "2048"]).ok().stdout;
        strongroom_crypto::pem::decode_secret("PRIVATE KEY", &Secret::from(made.as_bytes())).expect("a key")
    };
    let [modulus, ..] = numbers(pkcs8.expose());
    let signs = flags(&[(Flag::Sign, true)]);
    client.key_import_private(KeyType::Rsa, &pkcs8, &signs).expect("imported");
    client.key_import_private(KeyType::Rsa, &without_primes(pkcs8.expose()), &signs).expect("imported");
    // What is refused is written nowhere either.
    let odd = flags(&[(Flag::Local, true)]);
    let refusal = refused(client.key_import_secret(KeyType::Aes, &Secret::from(&secret[..]), &odd));
    assert_eq!(refusal, Status::AttributeReadOnly);
    assert_eq!(client.key_read_value(key.reference).expect("it may be seen").expose(), secret);
    let (state, mut found) = (world.state(), Vec::new());
    let read = files_with(&state, &secret, &mut found);
    assert_eq!(found, [""; 0], "the imported secret lies in a file");
    assert!(read > 10, "only {read} files were read");
    assert!(Primes::of(&modulus).assert_not_below(&state) > 10);
    // The search finds what is there.
    write(&world, "planted", hex(&secret).as_bytes());
    files_with(&world.file(""), &secret, &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn values_are_told_to_whoever_may_know_them() {
    let world = World::quick(&["--hsms", "2", "--mode", "NON_FIPS"]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    for token in [true, false] {
        let template = flags(&[(Flag::Sensitive, false), (Flag::Token, token)]);
        for (key_type, len) in [(KeyType::Aes, 32), (KeyType::Des3, 24), (KeyType::GenericSecret, 800)] {
            let key = client.key_generate_secret(key_type, len, &template, &[]).expect("generated");
            let value = client.key_read_value(key.reference).expect("not sensitive");
            assert_eq!(value.len(), len as usize, "{key_type}");
            let again = client.key_import_secret(key_type, &value, &template).expect("imported");
            assert_eq!(again.attributes.check_value, key.attributes.check_value, "{key_type}");
            assert_eq!(client.key_read_value(again.reference).expect("not sensitive"), value, "{key_type}");
            if key_type == KeyType::Des3 {
                assert!(value.expose().iter().all(|byte| byte.count_ones() % 2 == 1), "odd parity");
            }
        }
        let hidden = client.key_generate_secret(KeyType::Aes, 32, &flags(&[(Flag::Token, token)]), &[]).expect("made");
        assert_eq!(refused(client.key_read_value(hidden.reference)), Status::KeySensitive);
    }
}

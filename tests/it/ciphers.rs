//! Encrypting, decrypting and authenticating with keys in a cluster of processes, by the client that every door has. `openssl`
//! does the same with the same keys.

use std::fs;

use strongroom_client::{Client, ClientError};
use strongroom_tests::{World, kill};
use strongroom_types::limits::CIPHER_DATA_LEN_MAX;
use strongroom_types::{
    AttributeName, AttributeValue, CipherMechanism, Flag, GcmTag, HashFunction, KeyReference, KeyType, MacMechanism,
    Role, RsaCipher, Secret, Status, Template,
};

use crate::crash::login;

const PLAIN: &[u8; 64] = b"what nobody but who has the key shall read, in four whole blocks";

fn flags(flags: &[Flag]) -> Template {
    flags.iter().map(|flag| (AttributeName::Flag(*flag), AttributeValue::Bool(true))).collect()
}

#[track_caller]
fn refused<T>(outcome: Result<T, ClientError>, expected: Status) {
    match outcome {
        Err(ClientError::Refused(refusal)) if refusal.status == expected => {}
        Err(other) => panic!("{expected:?} was expected: {other}"),
        Ok(_) => panic!("{expected:?} was expected, and it was done"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key with these bytes, brought in.
fn imported(client: &Client, key_type: KeyType, bytes: &[u8]) -> KeyReference {
    let mut template = flags(&[Flag::Sign, Flag::Verify]);
    if key_type != KeyType::GenericSecret {
        template.extend(flags(&[Flag::Encrypt, Flag::Decrypt]));
    }
    client.key_import_secret(key_type, &Secret::from(bytes), &template).expect("a key").reference
}

fn gcm(iv: Option<&[u8]>, bits: u32) -> CipherMechanism {
    let iv = iv.map(|iv| iv.try_into().expect("12 bytes"));
    CipherMechanism::AesGcm { tag: GcmTag::of_bits(bits).expect("a length of tags"), aad: b"beside".to_vec(), iv }
}

/// Encrypts and decrypts by `openssl enc` with the bytes of the key.
fn by_openssl(world: &World, cipher: &str, key: &[u8], iv: &[u8], data: &[u8], decrypts: bool) -> Vec<u8> {
    fs::write(world.file("in.bin"), data).expect("written");
    let (key, iv) = (hex(key), hex(iv));
    let direction = if decrypts { "-d" } else { "-e" };
    let mut arguments = vec!["enc", cipher, direction, "-nopad", "-in", "in.bin", "-out", "out.bin", "-K", &key];
    if !iv.is_empty() {
        arguments.extend(["-iv", &iv]);
    }
    world.plain_openssl(&arguments).ok();
    fs::read(world.file("out.bin")).expect("read")
}

#[test]
fn block_ciphers_are_those_of_openssl() {
    let world = World::quick(&["--mode", "NON_FIPS"]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let bytes: Vec<u8> = (1..=32).map(|byte| byte * 7).collect();
    let check = |key_type, len: usize, name: &str, iv: &[u8], mechanism: CipherMechanism| {
        let key = imported(&client, key_type, &bytes[..len]);
        let encrypted = client.encrypt(key, &mechanism, PLAIN).expect("encrypted");
        assert!(encrypted.iv.is_empty());
        assert_eq!(hex(&encrypted.data), hex(&by_openssl(&world, name, &bytes[..len], iv, PLAIN, false)), "{name}");
        assert_eq!(by_openssl(&world, name, &bytes[..len], iv, &encrypted.data, true), PLAIN, "{name}");
        assert_eq!(client.decrypt(key, &mechanism, &encrypted.data).expect("decrypted").expose(), PLAIN, "{name}");
        client.key_delete(key).expect("deleted");
    };
    let (iv, counter) = ([9; 16], [0xff; 16]);
    for (len, bits) in [(16, 128), (24, 192), (32, 256)] {
        let aes = |mode: &str| format!("-aes-{bits}-{mode}");
        check(KeyType::Aes, len, &aes("ecb"), &[], CipherMechanism::AesEcb);
        check(KeyType::Aes, len, &aes("cbc"), &iv, CipherMechanism::AesCbc { iv });
        check(KeyType::Aes, len, &aes("ctr"), &counter, CipherMechanism::AesCtr { counter });
    }
    check(KeyType::Des3, 24, "-des-ede3", &[], CipherMechanism::Des3Ecb);
    check(KeyType::Des3, 24, "-des-ede3-cbc", &[5; 8], CipherMechanism::Des3Cbc { iv: [5; 8] });
}

#[test]
fn codes_are_those_of_openssl() {
    let world = World::shared();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let bytes: Vec<u8> = (1..=32).collect();
    let input = world.name("message.bin");
    fs::write(&input, PLAIN).expect("written");
    let (generic, aes) =
        (imported(&client, KeyType::GenericSecret, &bytes[..20]), imported(&client, KeyType::Aes, &bytes));
    let check = |key: KeyReference, mechanism, arguments: &[&str]| {
        let arguments = [&["mac"], arguments, &["-in", &input]].concat();
        let algorithm = if mechanism == MacMechanism::AesCmac { "CMAC" } else { "HMAC" };
        let expected = world.plain_openssl(&[&arguments[..], &[algorithm]].concat()).ok().stdout.trim().to_lowercase();
        let mac = client.mac(key, mechanism, PLAIN).expect("a code");
        assert_eq!(hex(&mac), expected, "{mechanism:?}");
        client.verify_mac(key, mechanism, PLAIN, &mac).expect("verified");
        refused(client.verify_mac(key, mechanism, &PLAIN[1..], &mac), Status::SignatureInvalid);
        refused(client.verify_mac(key, mechanism, PLAIN, &mac[1..]), Status::SignatureInvalid);
    };
    for hash in HashFunction::ALL {
        let key = format!("hexkey:{}", hex(&bytes[..20]));
        let digest = format!("digest:{hash}");
        check(generic, MacMechanism::Hmac(hash), &["-macopt", &digest, "-macopt", &key]);
    }
    let key = format!("hexkey:{}", hex(&bytes));
    check(aes, MacMechanism::AesCmac, &["-macopt", "cipher:AES-256-CBC", "-macopt", &key]);
    for key in [generic, aes] {
        client.key_delete(key).expect("deleted");
    }
}

#[test]
fn openssl_opens_what_an_rsa_public_key_encrypted_and_the_other_way_round() {
    let world = World::quick(&["--mode", "NON_FIPS"]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let rsa = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"];
    world.plain_openssl(&rsa).ok();
    world.plain_openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key.der"]).ok();
    let pkcs8 = Secret::new(fs::read(world.file("key.der")).expect("read"));
    let private = client.key_import_private(KeyType::Rsa, &pkcs8, &flags(&[Flag::Decrypt])).expect("a private key");
    let public = private.attributes.public.as_ref().expect("a public part");
    let public = client.key_import(public, &flags(&[Flag::Encrypt])).expect("a public key").reference;
    let oaep = |hash: HashFunction| format!("rsa_oaep_md:{hash}");
    let cases = HashFunction::ALL.map(|hash| {
        let options = ["rsa_padding_mode:oaep".to_owned(), oaep(hash), format!("rsa_mgf1_md:{hash}")];
        (RsaCipher::Oaep { hash }, options.to_vec())
    });
    let cases = cases.into_iter().chain([(RsaCipher::Pkcs, vec!["rsa_padding_mode:pkcs1".to_owned()])]);
    for (cipher, options) in cases {
        let mechanism = CipherMechanism::Rsa(cipher);
        let encrypted = client.encrypt(public, &mechanism, PLAIN).expect("encrypted").data;
        fs::write(world.file("in.bin"), encrypted).expect("written");
        let mut arguments = vec!["pkeyutl", "-decrypt", "-inkey", "key.pem", "-in", "in.bin", "-out", "out.bin"];
        arguments.extend(options.iter().flat_map(|option| ["-pkeyopt", option]));
        world.plain_openssl(&arguments).ok();
        assert_eq!(fs::read(world.file("out.bin")).expect("read"), PLAIN, "{cipher:?}");
        fs::write(world.file("in.bin"), PLAIN).expect("written");
        arguments[1] = "-encrypt";
        world.plain_openssl(&arguments).ok();
        let encrypted = fs::read(world.file("out.bin")).expect("read");
        let opened = client.decrypt(private.reference, &mechanism, &encrypted).expect("decrypted");
        assert_eq!(opened.expose(), PLAIN, "{cipher:?}");
    }
}

#[test]
fn gcm_goes_on_elsewhere_when_an_hsm_dies_and_after_all_have() {
    let mut world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let template = flags(&[Flag::Encrypt, Flag::Decrypt]);
    let key = client.key_generate_secret(KeyType::Aes, 32, &template, &[]).expect("a key").reference;
    let sealed = client.encrypt(key, &gcm(None, 128), PLAIN).expect("encrypted");
    assert_eq!((sealed.iv.len(), sealed.data.len()), (12, PLAIN.len() + 16));
    refused(client.encrypt(key, &gcm(Some(&sealed.iv), 128), PLAIN), Status::MechanismInvalid);
    kill("KILL", world.hsm_pid_at(&world.hsm_ips()[0]));
    for bits in GcmTag::BITS {
        let again = client.encrypt(key, &gcm(None, bits), PLAIN).expect("encrypted by whoever is left");
        assert_ne!(again.iv, sealed.iv);
        let opened = client.decrypt(key, &gcm(Some(&again.iv), bits), &again.data).expect("decrypted");
        assert_eq!(opened.expose(), PLAIN);
        let mut broken = again.data;
        broken[3] ^= 1;
        refused(client.decrypt(key, &gcm(Some(&again.iv), bits), &broken), Status::DecryptionFailed);
    }
    world.kill_everything();
    world.start();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let opened = client.decrypt(key, &gcm(Some(&sealed.iv), 128), &sealed.data).expect("decrypted");
    assert_eq!(opened.expose(), PLAIN);
    client.encrypt(key, &gcm(None, 128), PLAIN).expect("encrypted by a new life");
}

#[test]
fn much_goes_at_once_and_nothing_of_it_stays_behind() {
    let world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let template = flags(&[Flag::Encrypt, Flag::Decrypt]);
    let key = client.key_generate_secret(KeyType::Aes, 16, &template, &[]).expect("a key").reference;
    let much: Vec<u8> = PLAIN.iter().copied().cycle().take(CIPHER_DATA_LEN_MAX).collect();
    let sealed = client.encrypt(key, &gcm(None, 128), &much).expect("encrypted");
    let opened = client.decrypt(key, &gcm(Some(&sealed.iv), 128), &sealed.data).expect("decrypted");
    assert!(opened.expose() == much, "another plaintext");
    let ctr = CipherMechanism::AesCtr { counter: [0; 16] };
    refused(client.encrypt(key, &ctr, &[&much[..], b"!"].concat()), Status::DataLengthInvalid);
    let mac = client.mac(key, MacMechanism::AesCmac, &much).expect("a code");
    client.verify_mac(key, MacMechanism::AesCmac, &much, &mac).expect("verified");
    for id in world.hsm_ids() {
        assert!(!world.hsm_log(&id).contains("nobody but who has the key"), "a log holds the plaintext");
    }
    assert!(!format!("{opened:?}").contains("nobody"));
}

//! The OpenSSL engine under the `openssl` command.

use std::fs;
use std::process::Command;

use strongroom_tests::{World, program, run};

use crate::c::linked;

#[test]
fn openssl_knows_the_engine() {
    let world = World::shared();
    let said = world.openssl(&["engine", "-t", "cloudhsm"]).ok().stdout;
    assert_eq!(said, "(cloudhsm) CloudHSM OpenSSL Engine\n     [ available ]\n");
}

#[test]
fn the_library_exports_its_two_entry_points_and_needs_no_libcrypto() {
    let world = World::shared();
    let library = fs::canonicalize(world.home().join("engines-3/cloudhsm.so")).expect("the link leads somewhere");
    let said = run(Command::new(program("nm")).args(["--dynamic", "--defined-only"]).arg(&library)).ok();
    let mut names: Vec<_> = said.stdout.lines().filter_map(|line| line.split_whitespace().last()).collect();
    names.sort_unstable();
    assert_eq!(names, ["bind_engine", "v_check"]);
    let needed = run(std::process::Command::new(program("objdump")).arg("-p").arg(&library)).ok().stdout;
    assert!(needed.contains("NEEDED") && !needed.contains("libcrypto") && !needed.contains("libssl"), "{needed}");
    // DF_1_NODELETE of elf.h: whoever unloads it leaves it, because a child's fork handling may run its code.
    let flags = needed.lines().find_map(|line| line.trim().strip_prefix("FLAGS_1")).expect("it has flags");
    let flags = u64::from_str_radix(flags.trim().trim_start_matches("0x"), 16).expect("flags in hex");
    assert_eq!(flags & 8, 8, "{needed}");
}

#[test]
fn a_key_made_by_openssl_lives_in_the_hsms() {
    let world = World::new();
    world.openssl(&["genrsa", "-engine", "cloudhsm", "-out", "made.key", "2048"]).ok();
    let found = world.data(&["key", "list", "--filter", "attr.class=private-key", "attr.key-type=rsa", "--verbose"]);
    assert_eq!(found["total_key_count"], 1);
    let modulus = found["matched_keys"][0]["attributes"]["modulus"].as_str().expect("a modulus").to_uppercase();
    let said = world.plain_openssl(&["rsa", "-in", "made.key", "-modulus", "-noout"]).ok().stdout;
    assert_eq!(said.trim().strip_prefix("Modulus="), modulus.strip_prefix("0X"));
    // The file's private numbers are of no use to anybody.
    let checked = world.plain_openssl(&["rsa", "-in", "made.key", "-check", "-noout"]);
    assert!((checked.stdout + &checked.stderr).contains("RSA key not ok"));
    let request = [
        "req",
        "-engine",
        "cloudhsm",
        "-new",
        "-key",
        "made.key",
        "-subj",
        "/O=Strongroom/CN=made",
        "-out",
        "made.csr",
    ];
    world.openssl(&request).ok();
    let verified = world.plain_openssl(&["req", "-in", "made.csr", "-verify", "-noout"]).ok();
    assert!((verified.stdout + &verified.stderr).contains("verify OK"));
    let sign = [
        "x509", "-engine", "cloudhsm", "-req", "-days", "365", "-in", "made.csr", "-signkey", "made.key", "-out",
        "made.crt",
    ];
    world.openssl(&sign).ok();
    let verified = world.plain_openssl(&["verify", "-CAfile", "made.crt", "made.crt"]).ok();
    assert_eq!(verified.stdout, "made.crt: OK\n");
}

#[test]
fn keys_of_every_kind_sign_through_their_reference_files() {
    let world = World::shared();
    fs::write(world.file("engine.data"), "some data").expect("written");
    let check = |name: &str, hash: &str, options: &[&str]| {
        let (key, public, signature) = (format!("{name}.key"), format!("{name}.pub"), format!("{name}.sig"));
        world.plain_openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]).ok();
        let sign = ["dgst", "-engine", "cloudhsm", hash, "-sign", &key, "-out", &signature];
        world.openssl(&[&sign[..], options, &["engine.data"]].concat()).ok();
        let verify = ["dgst", hash, "-verify", &public, "-signature", &signature];
        world.plain_openssl(&[&verify[..], options, &["engine.data"]].concat()).ok();
    };
    world.rsa_pair("engine-rsa");
    world.reference_pem("engine-rsa", &world.file("engine-rsa.key"));
    for hash in ["-sha224", "-sha256", "-sha384", "-sha512"] {
        check("engine-rsa", hash, &[]);
    }
    check("engine-rsa", "-sha256", &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]);
    for (curve, hash) in
        [("prime256v1", "-sha256"), ("secp384r1", "-sha384"), ("secp521r1", "-sha512"), ("secp256k1", "-sha256")]
    {
        let name = format!("engine-{curve}");
        world.ec_pair(&name, curve);
        world.reference_pem(&name, &world.file(&format!("{name}.key")));
        check(&name, hash, &[]);
    }
}

/// `pthread_cancel` unwinds a thread where it waits, which Rust would answer by ending the process.
#[test]
fn a_thread_that_is_cancelled_in_a_signature_ends_after_it() {
    let world = World::shared();
    world.rsa_pair("engine-cancelled");
    world.reference_pem("engine-cancelled", &world.file("engine-cancelled.key"));
    let mut command = Command::new(linked("cancel", &["-lcrypto"]));
    world.with_engine(command.arg("engine-cancelled.key"));
    assert_eq!(run(&mut command).ok().stdout, "done\n");
}

#[test]
fn a_reference_survives_re_encoding() {
    let world = World::shared();
    world.rsa_pair("encoded");
    world.reference_pem("encoded", &world.file("encoded.key"));
    fs::write(world.file("encoded.data"), "some data").expect("written");
    world.plain_openssl(&["pkey", "-in", "encoded.key", "-out", "encoded.pkcs8"]).ok();
    world.plain_openssl(&["rsa", "-in", "encoded.key", "-traditional", "-out", "encoded.pkcs1"]).ok();
    world.plain_openssl(&["pkey", "-in", "encoded.key", "-pubout", "-out", "encoded.pub"]).ok();
    let (aes, der) = (["-aes256", "-passout", "pass:opensesame"], ["-outform", "DER"]);
    world.plain_openssl(&[&["rsa", "-in", "encoded.key", "-out", "encoded.locked"], &aes[..]].concat()).ok();
    world.plain_openssl(&[&["pkey", "-in", "encoded.key", "-out", "encoded.der"], &der[..]].concat()).ok();
    for file in ["encoded.pkcs8", "encoded.pkcs1", "encoded.locked", "encoded.der"] {
        let sign = [
            "dgst",
            "-engine",
            "cloudhsm",
            "-sha256",
            "-passin",
            "pass:opensesame",
            "-sign",
            file,
            "-out",
            "encoded.sig",
        ];
        world.openssl(&[&sign[..], &["encoded.data"]].concat()).ok();
        world
            .plain_openssl(&["dgst", "-sha256", "-verify", "encoded.pub", "-signature", "encoded.sig", "encoded.data"])
            .ok();
    }
}

#[test]
fn without_the_engine_a_reference_signs_nothing() {
    let world = World::shared();
    world.rsa_pair("bare-rsa");
    world.ec_pair("bare-ec", "prime256v1");
    fs::write(world.file("bare.data"), "some data").expect("written");
    for label in ["bare-rsa", "bare-ec"] {
        let (key, signature) = (format!("{label}.key"), format!("{label}.sig"));
        world.reference_pem(label, &world.file(&key));
        world.plain_openssl(&["dgst", "-sha256", "-sign", &key, "-out", &signature, "bare.data"]).failed();
        let left = fs::read(world.file(&signature)).unwrap_or_default();
        assert!(left.is_empty(), "{label}: {} bytes of a signature were written", left.len());
    }
}

#[test]
fn real_private_keys_work_beside() {
    let world = World::shared();
    fs::write(world.file("real.data"), "some data").expect("written");
    for (kind, option) in [("rsa", "rsa_keygen_bits:2048"), ("ec", "ec_paramgen_curve:prime256v1")] {
        let (key, public, signature) =
            (format!("real-{kind}.key"), format!("real-{kind}.pub"), format!("real-{kind}.sig"));
        world.plain_openssl(&["genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", &key]).ok();
        world.plain_openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]).ok();
        world.openssl(&["dgst", "-engine", "cloudhsm", "-sha256", "-sign", &key, "-out", &signature, "real.data"]).ok();
        world.plain_openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &signature, "real.data"]).ok();
    }
}

#[test]
fn rsa_keys_open_oaep_through_their_reference_files() {
    let world = World::shared();
    world.opening_pair("opener");
    world.reference_pem("opener", &world.file("opener.key"));
    world.plain_openssl(&["pkey", "-in", "opener.key", "-pubout", "-out", "opener.pub"]).ok();
    fs::write(world.file("opener.data"), "a session key").expect("written");
    let sealed = |options: &[&str]| {
        let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", "opener.pub", "-in", "opener.data", "-out"];
        world.plain_openssl(&[&encrypt[..], &["opener.sealed"], options].concat()).ok();
    };
    let decrypt = ["pkeyutl", "-decrypt", "-inkey", "opener.key", "-in", "opener.sealed"];
    for hash in ["sha1", "sha256", "sha384", "sha512"] {
        let hash = format!("rsa_oaep_md:{hash}");
        let options = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", &hash];
        sealed(&options);
        let opened = world.openssl(&[&decrypt[..], &["-engine", "cloudhsm"], &options].concat()).ok();
        assert_eq!(opened.stdout, "a session key", "{hash}");
        let bare = world.plain_openssl(&[&decrypt[..], &options].concat());
        assert_ne!(bare.stdout, "a session key", "{hash}: without the engine nothing is opened");
    }
    // Its padding would be checked outside the HSM.
    let options = ["-pkeyopt", "rsa_padding_mode:pkcs1"];
    sealed(&options);
    let refused = world.openssl(&[&decrypt[..], &["-engine", "cloudhsm"], &options].concat()).failed();
    assert!(refused.stderr.contains("decryption with this padding is not supported"), "{refused:?}");
}

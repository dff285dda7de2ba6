//! What people get wrong: every error says what, why and what to do, and leaves nothing half done.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use strongroom_tests::{Ran, World, run};

use crate::cli::refusal;

/// A copy of the client folder, to be spoiled.
fn copied_home(world: &World, name: &str) -> std::path::PathBuf {
    let home = world.file(name);
    fs::create_dir_all(home.join("etc")).expect("a folder");
    fs::create_dir_all(home.join("run")).expect("a folder");
    for entry in fs::read_dir(world.home().join("etc")).expect("listed") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, home.join("etc").join(path.file_name().expect("a name"))).expect("copied");
    }
    home
}

/// Rewrites the CLI's configuration in that folder.
fn configure(home: &Path, change: impl FnOnce(&mut Value)) {
    let path = home.join("etc/cloudhsm-cli.cfg");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    config["logging"]["log_file"] = home.join("run/cli.log").to_str().expect("text").into();
    change(&mut config);
    fs::write(&path, serde_json::to_vec_pretty(&config).expect("JSON")).expect("written");
}

fn list_with(world: &World, home: &Path) -> Ran {
    let mut command = world.bare_cli(&["key", "list"]);
    command.env("CLOUDHSM_HOME", home).env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", world.pin());
    run(&mut command)
}

/// All that a failed run said.
#[track_caller]
fn said(ran: Ran) -> String {
    let ran = ran.failed();
    ran.stdout + &ran.stderr
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_told_alike() {
    let world = World::new();
    let with_pin = |pin: &str| {
        let mut command = world.bare_cli(&["key", "list"]);
        run(command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", pin))
    };
    let wrong = refusal(with_pin("crypto_user:not-the-password"));
    assert!(wrong.contains("user name, role or password is wrong"), "{wrong}");
    assert!(!wrong.contains("not-the-password"), "{wrong}");
    assert_eq!(refusal(with_pin("nobody:not-the-password")), wrong);
    let mut admin = world.bare_cli(&["key", "list"]);
    assert_eq!(refusal(run(admin.env("CLOUDHSM_ROLE", "admin").env("CLOUDHSM_PIN", world.pin()))), wrong);
    let form = said(with_pin("no-colon"));
    assert!(form.contains("CLOUDHSM_PIN"), "{form}");
    let mut role = world.bare_cli(&["key", "list"]);
    let role = said(run(role.env("CLOUDHSM_ROLE", "superuser").env("CLOUDHSM_PIN", world.pin())));
    assert!(role.contains("CLOUDHSM_ROLE") || role.contains("crypto-user"), "{role}");
}

#[test]
fn names_and_passwords_keep_their_rules() {
    let world = World::shared();
    let check = |name: &str, password: &str, expected: &str| {
        let words = ["user", "create", "--role", "crypto-user", "--username", name, "--password", password];
        let said = said(world.admin_cli(&words));
        assert!(said.contains(expected), "{name:?}: {said}");
        assert!(password.len() < 4 || !said.contains(password), "the error repeats the password: {said}");
    };
    check("", "long-enough", "empty");
    check(&"x".repeat(32), "long-enough", "longer than 31");
    check("two words", "long-enough", "letters, digits");
    check("semi;colon", "long-enough", "letters, digits");
    check("rose", "seven77", "shorter than 8");
    check("rose", &"p".repeat(33), "longer than 32");
    check("rose", "with:colon", "':'");
    check("rose", "with\ttabs", "control character");
    let users = run(&mut world.bare_cli(&["user", "list"])).ok().stdout;
    assert!(!users.contains("rose"), "{users}");
}

#[test]
fn a_missing_or_unreadable_configuration_is_named() {
    let world = World::shared();
    let home = copied_home(&world, "spoiled-home");
    let config = home.join("etc/cloudhsm-cli.cfg");
    let named = |ran: Ran, what: &Path| {
        let said = said(ran);
        assert!(said.contains(what.to_str().expect("text")), "{} is not named: {said}", what.display());
    };
    fs::write(&config, "{ \"clusters\": [").expect("written");
    named(list_with(&world, &home), &config);
    fs::write(&config, "{}").expect("written");
    named(list_with(&world, &home), &config);
    fs::remove_file(&config).expect("removed");
    fs::create_dir(&config).expect("a folder");
    named(list_with(&world, &home), &config);
    fs::remove_dir(&config).expect("removed");
    named(list_with(&world, &home), &config);
    let nowhere = world.file("nowhere");
    named(list_with(&world, &nowhere), &nowhere.join("etc/cloudhsm-cli.cfg"));
    // The engine reads its configuration when it is loaded; the command that loads it fails.
    let mut engine = Command::new("openssl");
    world.with_engine(engine.args(["genrsa", "-engine", "cloudhsm", "-out", "never.key", "2048"]));
    named(run(engine.env("CLOUDHSM_HOME", &nowhere)), &nowhere.join("etc/cloudhsm-dyn.cfg"));
    assert!(!world.file("never.key").exists() || fs::read(world.file("never.key")).expect("read").is_empty());
}

#[test]
fn a_wrong_ca_is_told_from_a_dead_cluster() {
    let world = World::shared();
    let home = copied_home(&world, "wrong-ca");
    let ca = home.join("etc/customerCA.crt");
    configure(&home, |config| config["clusters"][0]["cluster"]["hsm_ca_file"] = ca.to_str().expect("text").into());
    list_with(&world, &home).ok();
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "other-ca.key", "-out", "other-ca.crt"];
    world.plain_openssl(&[&request[..], &["-subj", "/CN=Another CA", "-days", "30"]].concat()).ok();
    fs::copy(world.file("other-ca.crt"), &ca).expect("copied");
    let wrong = said(list_with(&world, &home));
    assert!(wrong.contains("certificate") && wrong.contains(&world.hsm_ips()[0]), "{wrong}");
    fs::write(&ca, "not a certificate").expect("written");
    let broken = said(list_with(&world, &home));
    assert!(broken.contains(ca.to_str().expect("text")), "{broken}");
    fs::remove_file(&ca).expect("removed");
    let missing = said(list_with(&world, &home));
    assert!(missing.contains(ca.to_str().expect("text")), "{missing}");
}

#[test]
fn an_address_that_answers_no_tls_is_named() {
    let world = World::shared();
    let home = copied_home(&world, "no-tls");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { break };
            let _ = connection.read(&mut [0; 512]);
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let server = serde_json::json!([{ "hostname": "127.0.0.1", "port": port, "enable": true }]);
    configure(&home, |config| config["clusters"][0]["cluster"]["servers"] = server);
    let said = said(list_with(&world, &home));
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
    assert!(said.contains("TLS"), "{said}");
}

#[test]
fn attributes_that_may_not_be_set_are_named_and_no_key_is_made() {
    let world = World::new();
    let check = |attribute: &str, named: &str| {
        let aes = ["key", "generate-symmetric", "aes", "--label", "never", "--key-length-bytes", "32"];
        let said = said(world.cli(&[&aes[..], &["--attributes", attribute]].concat()));
        assert!(said.contains(named), "{attribute}: {said}");
    };
    check("local=true", "local");
    check("always-sensitive=true", "always-sensitive");
    check("never-extractable=false", "never-extractable");
    check("check-value=0x112233", "check-value");
    check("trusted=true", "trusted");
    check("modulus=0x11", "modulus");
    check("colour=blue", "colour");
    check("encrypt=maybe", "encrypt");
    let pair = [
        "key",
        "generate-asymmetric-pair",
        "rsa",
        "--public-exponent",
        "65537",
        "--public-label",
        "never",
        "--private-label",
        "never",
    ];
    let size = said(world.cli(&[&pair[..], &["--modulus-size-bits", "2100"]].concat()));
    assert!(size.contains("2100") || size.contains("key size"), "{size}");
    let exponent = ["--modulus-size-bits", "2048", "--public-exponent", "3"];
    said(world.cli(&[&pair[..3], &pair[5..], &exponent].concat()));
    let long = "x".repeat(128);
    said(world.cli(&["key", "generate-symmetric", "aes", "--label", &long, "--key-length-bytes", "32"]));
    said(world.cli(&["key", "generate-symmetric", "aes", "--label", "never", "--key-length-bytes", "17"]));
    assert_eq!(world.data(&["key", "list"])["total_key_count"], 0);
}

#[test]
fn a_reference_to_a_deleted_key_or_to_another_clusters_is_refused() {
    let world = World::new();
    let other = World::shared();
    let reference = world.rsa_pair("gone");
    world.reference_pem("gone", &world.file("gone.key"));
    let foreign = other.rsa_pair("foreign");
    other.reference_pem("foreign", &world.file("foreign.key"));
    world.data(&["key", "delete", "--filter", &format!("key-reference={reference}")]);
    for (file, reference) in [("gone.key", reference), ("foreign.key", foreign)] {
        let request = ["req", "-engine", "cloudhsm", "-new", "-key", file, "-subj", "/CN=never", "-out", "never.csr"];
        let said = said(world.openssl(&request));
        assert!(said.contains(&reference), "{file}: the key is not named: {said}");
        let left = fs::read(world.file("never.csr")).unwrap_or_default();
        assert!(left.is_empty(), "{file}: a request was written");
    }
}

#[test]
fn wrong_credentials_of_the_engine_are_told() {
    let world = World::new();
    world.rsa_pair("closed");
    world.reference_pem("closed", &world.file("closed.key"));
    let sign = |pin: Option<&str>| {
        let mut command = Command::new("openssl");
        let request =
            ["req", "-engine", "cloudhsm", "-new", "-key", "closed.key", "-subj", "/CN=never", "-out", "never.csr"];
        world.with_engine(command.args(request));
        match pin {
            Some(pin) => run(command.env("CLOUDHSM_PIN", pin)),
            None => run(command.env_remove("CLOUDHSM_PIN").env_remove("n3fips_password")),
        }
    };
    let wrong = said(sign(Some("crypto_user:not-the-password")));
    assert!(wrong.contains("password is wrong") && !wrong.contains("not-the-password"), "{wrong}");
    let none = said(sign(None));
    assert!(none.contains("CLOUDHSM_PIN"), "{none}");
    let form = said(sign(Some("nocolon")));
    assert!(form.contains("CLOUDHSM_PIN") && !form.contains("nocolon"), "{form}");
    let mut command = Command::new("openssl");
    let request = ["req", "-engine", "cloudhsm", "-new", "-key", "closed.key", "-subj", "/CN=fine", "-out", "fine.csr"];
    world.with_engine(command.args(request));
    run(command.env_remove("CLOUDHSM_PIN").env("n3fips_password", world.pin())).ok();
}

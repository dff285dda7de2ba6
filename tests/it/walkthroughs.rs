//! `docs/operating/moving-keys.md`, run as it stands, each section in a folder of its own; and what must be true after it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use strongroom_tests::{Nginx, Page, Ran, SiteKey, Tls, World, get, program, run};

const PAGE: Page = Page(include_str!("../../docs/operating/moving-keys.md"));

/// A folder in which a section is run.
struct Folder {
    path: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Folder {
    fn new(world: &World) -> Folder {
        let path = world.file("walkthrough");
        fs::create_dir(&path).expect("a folder can be made");
        Folder { path, variables: Vec::new() }.cluster("A", world)
    }

    fn cluster(self, name: &str, world: &World) -> Folder {
        let (home, pin) = if name == "A" { ("A_HOME", "A_PIN") } else { ("B_HOME", "B_PIN") };
        self.with(home, world.home().to_str().expect("a path").to_owned()).with(pin, world.pin())
    }

    fn with(mut self, name: &'static str, value: String) -> Folder {
        self.variables.push((name, value));
        self
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), content).expect("a file can be written");
    }

    /// Runs a script that fails when one of its commands does.
    #[track_caller]
    fn sh(&self, script: &str) -> Ran {
        let programs = program("cloudhsm-cli").parent().expect("a folder").to_owned();
        let path = std::env::var("PATH").expect("a path");
        let mut command = Command::new("sh");
        command.args(["-eu", "-c", script]).current_dir(&self.path);
        command.env("PATH", format!("{}:{path}", programs.display()));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        run(&mut command)
    }

    /// Runs a section of the page. What it printed.
    #[track_caller]
    fn walk(&self, heading: &str) -> String {
        self.sh(&format!("{}{}", PAGE.preparation(), PAGE.commands(heading))).ok().stdout
    }
}

/// What `key list --verbose` shows of the one key that fits.
#[track_caller]
fn attributes(world: &World, filter: &[&str]) -> Value {
    let found = world.data(&[&["key", "list", "--verbose", "--filter"], filter].concat());
    assert_eq!(found["total_key_count"], 1, "{filter:?}");
    found["matched_keys"][0]["attributes"].clone()
}

/// Three bytes in hexadecimal, as a check value is printed.
fn check_value(hex: &str) -> String {
    format!("0x{}", hex.trim())
}

#[test]
fn every_section_of_the_page_has_commands() {
    let walked = [
        "An existing web server key",
        "3DES keys to another cluster",
        "A private key to another service",
        "Under a key that another user shares",
    ];
    assert_eq!(PAGE.headings(), walked);
}

#[test]
fn a_web_servers_key_moves_into_the_hsms_and_serves() {
    let world = World::new();
    let folder = Folder::new(&world);
    let self_signed = "openssl req -x509 -newkey rsa:2048 -noenc -keyout site.key -out site.crt -days 30 \
                       -subj /CN=localhost -addext subjectAltName=DNS:localhost";
    folder.sh(self_signed).ok();
    let said = folder.walk("An existing web server key");
    let key = attributes(&world, &["attr.label=site", "attr.class=private-key"]);
    let sum = "openssl pkey -in site.key -pubout -outform DER | openssl sha1 -binary | head -c 3 | xxd -p";
    let sum = folder.sh(sum).ok().stdout;
    assert!(said.contains(&sum), "the page's own check says the same: {said}");
    assert_eq!(key["check-value"], check_value(&sum));
    assert_eq!(
        (&key["local"], &key["extractable"], &key["never-extractable"]),
        (&false.into(), &false.into(), &false.into())
    );
    // The file is gone, and the site answers.
    fs::remove_file(folder.file("site.key")).expect("the key's file was there");
    let (certificate, reference) = (folder.file("site.crt"), folder.file("site.reference.key"));
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&certificate, &reference)]);
    for tls in [Tls::V12, Tls::V13] {
        let page = get(nginx.port(0), &certificate, tls);
        assert_eq!((page.code, page.stdout.as_str()), (Some(0), "hello from nginx\n"), "{}", nginx.log());
    }
    // It stays: nothing takes it out again.
    let wrap = ["key", "wrap", "rsa-aes", "--hash-function", "sha256", "--mgf", "mgf1-sha256"];
    let keys = ["--payload-filter", "attr.label=site", "attr.class=private-key", "--wrapping-filter"];
    let transport = ["attr.label=transport", "attr.class=public-key"];
    world.data(&["key", "set-attribute", "--name", "wrap", "--value", "true", "--filter", transport[0], transport[1]]);
    let refused = world.cli(&[&wrap[..], &keys, &transport].concat()).failed().json();
    assert!(refused["data"].as_str().expect("a text").contains("not extractable"), "{refused}");
}

#[test]
fn a_3des_key_moves_from_a_fips_cluster_to_another() {
    let (fips, other) = (World::new(), World::quick(&["--mode", "NON_FIPS"]));
    let folder = Folder::new(&fips).cluster("B", &other);
    // Three different keys, without regard to parity.
    folder.write("des3.bin", &(1..=24_u8).map(|byte| byte.wrapping_mul(37)).collect::<Vec<_>>());
    let said = folder.walk("3DES keys to another cluster");
    let by_openssl = said.lines().last().expect("the last command printed something");
    assert_eq!(by_openssl.len(), 6, "{by_openssl}");
    for world in [&fips, &other] {
        let key = attributes(world, &["attr.label=terminal-7"]);
        assert_eq!(key["check-value"], check_value(by_openssl));
        assert_eq!(
            (&key["key-type"], &key["key-length-bytes"], &key["local"]),
            (&"des3".into(), &24.into(), &false.into())
        );
    }
}

#[test]
fn private_keys_are_handed_to_another_service() {
    let world = World::new();
    let folder = Folder::new(&world);
    folder.sh("openssl genrsa -out partner.key 4096 && openssl pkey -in partner.key -pubout -out partner.pem").ok();
    let said = folder.walk("A private key to another service");
    assert_eq!(said.matches("Verified OK\n").count(), 2, "{said}");
    // What came out is the key that is in the HSMs.
    for (name, wanted) in [("orders", "attr.key-type=ec"), ("invoices", "attr.key-type=rsa")] {
        let public = format!("openssl pkey -in {name}.der -inform DER -pubout | cmp - {name}.pem");
        folder.sh(&public).ok();
        let key = attributes(&world, &[&format!("attr.label={name}"), "attr.class=private-key", wanted]);
        let len = fs::metadata(folder.file(&format!("{name}.der"))).expect("a file").len();
        assert_eq!(key["key-length-bytes"], len, "{name}");
    }
}

const MASTER_KEY: &str = "attr.label=ORACLE.TDE.HSM.MK.0612345678901234567890123456789012";

#[test]
fn a_database_wraps_under_a_master_key_that_it_may_only_use() {
    let world = World::new();
    for name in ["alice", "bob"] {
        let who = ["--username", name, "--role", "crypto-user", "--password", "long-enough"];
        world.admin_cli(&[&["user", "create"], &who[..]].concat()).ok();
    }
    let pin = |name: &str| format!("{name}:long-enough");
    let folder = Folder::new(&world).with("ALICE_PIN", pin("alice")).with("BOB_PIN", pin("bob"));
    folder.walk("Under a key that another user shares");
    let as_user = |name: &str, words: &[&str]| {
        run(world.bare_cli(words).env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", pin(name)))
    };
    // Ciphertext and tag; the iv was printed.
    assert_eq!(fs::metadata(folder.file("tablespace.wrapped")).expect("a file").len(), 32 + 16);
    let refused = |words: &[&str], cause: &str| {
        let said = as_user("bob", words).failed().json();
        assert!(said["data"].as_str().expect("a text").contains(cause), "{words:?}: {said}");
    };
    let gcm = ["key", "wrap", "aes-gcm", "--tag-length-bits", "128"];
    let owner = "only the key's owner";
    refused(&[&gcm[..], &["--payload-filter", MASTER_KEY, "--wrapping-filter", MASTER_KEY]].concat(), owner);
    refused(&["key", "delete", "--filter", MASTER_KEY], owner);
    refused(&["key", "set-attribute", "--name", "wrap", "--value", "false", "--filter", MASTER_KEY], owner);
    // What bob wrapped, alice brings back: the key is the same on both sides.
    let own = ["key", "list", "--verbose", "--filter", "attr.label=tablespace"];
    let of =
        |name: &str| as_user(name, &own).ok().json()["data"]["matched_keys"][0]["attributes"]["check-value"].clone();
    let keys = ["--payload-filter", "attr.label=tablespace", "--wrapping-filter", MASTER_KEY, "--aad", "0x01"];
    let wrapped = as_user("bob", &[&gcm[..], &keys].concat()).ok().json()["data"].clone();
    let text = |name: &str| wrapped[name].as_str().expect("a text").to_owned();
    let (iv, data) = (text("iv"), text("wrapped_key_data"));
    let unwrap = ["key", "unwrap", "aes-gcm", "--tag-length-bits", "128", "--filter", MASTER_KEY, "--aad", "0x01"];
    let what = ["--iv", &iv, "--data", &data, "--key-type-class", "aes", "--label", "tablespace"];
    as_user("alice", &[&unwrap[..], &what].concat()).ok();
    assert_eq!(of("alice"), of("bob"));
    // Taken back, the key wraps nothing more for bob.
    as_user("alice", &["key", "unshare", "--username", "bob", "--role", "crypto-user", "--filter", MASTER_KEY]).ok();
    refused(&[&gcm[..], &keys].concat(), "matched 0 keys");
}

//! The `configure-*` tools, and what clients make of the files that they write.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use strongroom_tests::{Ran, World, program, run};

use crate::cli::refusal;

/// A folder of clients as an administrator of another machine makes it: by hand, then with the tools.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join("etc").join(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.file(name)).expect("read")).expect("JSON")
    }

    fn configure(&self, component: &str, words: &[&str]) -> Ran {
        let mut command = Command::new(program(&format!("configure-{component}")));
        run(command.args(words).env("CLOUDHSM_HOME", self.path()))
    }

    /// `cloudhsm-cli` as the world's crypto user, with this folder's configuration.
    fn cli(&self, world: &World, words: &[&str]) -> Ran {
        let mut command = world.bare_cli(words);
        command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", world.pin());
        run(command.env("CLOUDHSM_HOME", self.path()))
    }

    fn trust(&self, world: &World) {
        fs::create_dir_all(self.path().join("etc")).expect("made");
        fs::copy(world.customer_ca(), self.file("customerCA.crt")).expect("copied");
    }
}

#[test]
fn one_address_and_the_ca_are_enough() {
    let world = World::shared();
    let home = Home::new();
    let list = ["key", "list", "--max-items", "1"];
    let said = refusal(home.cli(&world, &list));
    assert!(said.contains("configure-cli -a"), "{said}");
    // What the refusal says is done, and the next one says what is still missing.
    let address = &world.hsm_ips()[1];
    let ran = home.configure("cli", &["-a", address]).ok();
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.starts_with("note: ") && ran.stderr.contains("customerCA.crt"), "{ran:?}");
    let said = refusal(home.cli(&world, &list));
    assert!(said.contains("customerCA.crt"), "{said}");
    home.trust(&world);
    let ran = home.configure("cli", &["-a", address]).ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    home.cli(&world, &list).ok();
    assert!(home.path().join("etc/cloudhsm-cli.cfg").is_file() && !home.path().join("etc/cloudhsm-dyn.cfg").exists());
}

#[test]
fn a_file_that_nobody_has_configured_says_so() {
    let world = World::shared();
    let home = Home::new();
    home.trust(&world);
    home.configure("cli", &["--log-level", "debug"]).ok();
    let said = refusal(home.cli(&world, &["user", "list"]));
    assert!(said.contains("Config key hostname has invalid value") && said.contains("%%HSM_IP_ADDRESS%%"), "{said}");
}

#[test]
fn the_log_goes_where_it_is_told() {
    let world = World::shared();
    let home = Home::new();
    home.trust(&world);
    let log = home.path().join("hsm.log");
    let told = ["--log-file", log.to_str().expect("text"), "--log-rotation", "never", "--log-level", "debug"];
    // Nobody listens at the first address, which is worth a line.
    home.configure("cli", &[&["-a", "127.0.0.1", &world.hsm_ips()[0]], &told[..]].concat()).ok();
    for _ in 0..8 {
        home.cli(&world, &["key", "list", "--max-items", "1"]).ok();
    }
    let text = fs::read_to_string(&log).expect("there is a log");
    assert!(text.contains("127.0.0.1:2223"), "{text}");
    fs::remove_file(&log).expect("removed");
    home.configure("cli", &["--log-type", "term"]).ok();
    let ran: Vec<_> = (0..8).map(|_| home.cli(&world, &["key", "list", "--max-items", "1"]).ok().stderr).collect();
    assert!(ran.iter().any(|said| said.contains("127.0.0.1:2223")), "{ran:?}");
    assert!(!log.exists());
}

#[test]
fn the_cluster_is_the_one_that_was_named() {
    let world = World::shared();
    let home = Home::new();
    home.trust(&world);
    let (address, id) = (world.hsm_ips()[0].clone(), world.text("/cluster_id"));
    let ran = home.configure("cli", &["--cluster-id", &id, "--region", "eu-west-1"]).failed();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    let next = format!("configure-cli -a ADDRESS --cluster-id {id}");
    assert!(ran.stderr.contains("no control plane") && ran.stderr.contains(&next), "{ran:?}");
    assert!(!home.file("cloudhsm-cli.cfg").exists(), "nothing is written");
    home.configure("cli", &["-a", &address, "--cluster-id", "cluster-aaaaaaaaaaa"]).ok();
    let said = refusal(home.cli(&world, &["key", "list"]));
    assert!(said.contains(&id) && said.contains("cluster-aaaaaaaaaaa"), "{said}");
    home.configure("cli", &["-a", &address, "--cluster-id", &id]).ok();
    home.cli(&world, &["key", "list"]).ok();
}

#[test]
fn the_availability_check_of_a_cluster_of_one() {
    let world = World::quick(&["--hsms", "1"]);
    let aes = ["key", "generate-symmetric", "aes", "--label", "x", "--key-length-bytes", "16"];
    // `up` has switched it off.
    world.cli(&aes).ok();
    let configure = |option: &str| {
        run(Command::new(world.home().join("bin/configure-cli")).arg(option).env("CLOUDHSM_HOME", world.home())).ok()
    };
    configure("--enable-key-availability-check");
    let said = refusal(world.cli(&aes));
    assert!(said.starts_with("Cannot perform the requested key operation as the key must be available on at least 2"));
    configure("--disable-key-availability-check");
    world.cli(&aes).ok();
}

#[test]
fn what_others_put_into_the_file_stays_through_every_tool() {
    let world = World::shared();
    for component in ["cli", "pkcs11", "dyn", "jce", "openssl-provider"] {
        let home = Home::new();
        fs::create_dir_all(home.path().join("etc")).expect("made");
        let name = format!("cloudhsm-{component}.cfg");
        let mut before: Value = serde_json::from_slice(
            &fs::read(world.home().join("etc").join(&name)).expect("`up` has made a configuration of each client"),
        )
        .expect("JSON");
        before["own"] = json!({ "z": 1, "a": [null, "ü"] });
        before["clusters"][0]["cluster"]["own"] = json!(7);
        fs::write(home.file(&name), before.to_string()).expect("written");
        fs::set_permissions(home.file(&name), fs::Permissions::from_mode(0o604)).expect("set");
        home.configure(component, &["--log-level", "trace"]).ok();
        before["logging"]["log_level"] = json!("trace");
        let after = fs::read_to_string(home.file(&name)).expect("read");
        assert_eq!(after, serde_json::to_string_pretty(&before).expect("JSON") + "\n");
        assert_eq!(fs::metadata(home.file(&name)).expect("there").permissions().mode() & 0o777, 0o604);
    }
}

#[test]
fn the_engine_signs_with_what_its_tool_wrote() {
    let world = World::shared();
    let home = Home::new();
    home.trust(&world);
    world.ec_pair("configured", "prime256v1");
    world.reference_pem("configured", &world.file("configured.key"));
    fs::write(world.file("configured.data"), "some data").expect("written");
    let sign = || {
        let mut command = Command::new("openssl");
        world.with_engine(&mut command);
        command.args(["dgst", "-engine", "cloudhsm", "-sha256", "-sign", "configured.key"]);
        run(command.args(["-out", "configured.sig", "configured.data"]).env("CLOUDHSM_HOME", home.path()))
    };
    let said = sign().failed().stderr;
    assert!(said.contains("configure-dyn -a"), "{said}");
    home.configure("dyn", &["-a", &world.hsm_ips()[0]]).ok();
    sign().ok();
    // It has no way to say which of several.
    let file = home.file("cloudhsm-dyn.cfg");
    let one = home.json("cloudhsm-dyn.cfg");
    let mut two = one.clone();
    two["clusters"] = json!([one["clusters"][0], one["clusters"][0]]);
    fs::write(&file, two.to_string()).expect("written");
    let said = sign().failed().stderr;
    assert!(said.contains("leave that one in it") && !said.contains("--cluster-id"), "{said}");
    fs::write(&file, one.to_string()).expect("written");
    sign().ok();
    world.plain_openssl(&["pkey", "-in", "configured.key", "-pubout", "-out", "configured.pub"]).ok();
    let verify = ["dgst", "-sha256", "-verify", "configured.pub", "-signature", "configured.sig", "configured.data"];
    world.plain_openssl(&verify).ok();
}

#[test]
fn two_clusters_in_one_configuration() {
    let (first, second) = (World::shared(), World::new());
    let home = Home::new();
    fs::create_dir_all(home.path().join("etc")).expect("made");
    let ids = [first.text("/cluster_id"), second.text("/cluster_id")];
    for (world, id) in [(&*first, &ids[0]), (&second, &ids[1])] {
        let ca = world.customer_ca();
        let add = ["add-cluster", "--cluster-id", id, "-a", &world.hsm_ips()[0], "--hsm-ca-cert"];
        home.configure("cli", &[&add[..], &[ca.to_str().expect("text")]].concat()).ok();
    }
    let refused = home.configure("cli", &["-a", &first.hsm_ips()[0]]).failed();
    assert!(refused.stderr.contains(&ids[0]) && refused.stderr.contains("add-cluster"), "{refused:?}");
    // Both have the same crypto user by name, and passwords of their own.
    let said = refusal(home.cli(&first, &["key", "list"]));
    assert!(said.contains("--cluster-id") && said.contains(&ids[0]) && said.contains(&ids[1]), "{said}");
    let made = |world: &World, id: &str, label: &str| {
        let aes = ["key", "generate-symmetric", "aes", "--key-length-bytes", "16", "--cluster-id", id, "--label"];
        home.cli(world, &[&aes[..], &[label]].concat()).ok();
    };
    made(&first, &ids[0], "of the first");
    made(&second, &ids[1], "of the second");
    let labelled = |world: &World, label: &str| {
        world.data(&["key", "list", "--filter", &format!("attr.label={label}")])["total_key_count"].clone()
    };
    assert_eq!((labelled(&first, "of the first"), labelled(&first, "of the second")), (json!(1), json!(0)));
    assert_eq!((labelled(&second, "of the first"), labelled(&second, "of the second")), (json!(0), json!(1)));
    // The other cluster does not know this user's password.
    let wrong = refusal(home.cli(&first, &["key", "list", "--cluster-id", &ids[1]]));
    assert!(wrong.contains("wrong"), "{wrong}");
    home.configure("cli", &["remove-cluster", "--cluster-id", &ids[0]]).ok();
    home.cli(&second, &["key", "list"]).ok();
    let clusters = home.json("cloudhsm-cli.cfg")["clusters"].clone();
    assert_eq!(clusters.as_array().map(Vec::len), Some(1), "{clusters}");
}

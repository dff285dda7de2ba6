//! A second cluster begins with what a first one holds, and keys and users go between them
//! (`docs/operating/clone-a-cluster.md`); and the third way of rotating a password.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use strongroom_tests::{Ran, Shell, World, kill, program, run, wait_for};

use crate::cli::refusal;

const PATIENCE: Duration = Duration::from_secs(60);

/// Who does something in both clusters.
#[derive(Clone, Copy)]
struct Who<'a> {
    role: &'a str,
    pin: &'a str,
}

/// `cloudhsm-cli` of a home that knows both clusters.
fn both(home: &World, here: Who<'_>, there: Who<'_>, arguments: &[&str]) -> Ran {
    let mut command = home.bare_cli(arguments);
    command.env("CLOUDHSM_ROLE", here.role).env("CLOUDHSM_PIN", here.pin);
    run(command.env("DESTINATION_CLOUDHSM_ROLE", there.role).env("DESTINATION_CLOUDHSM_PIN", there.pin))
}

/// Two clusters, each of which knows the other.
struct Two {
    world: World,
    clone: World,
}

impl Two {
    fn of(world: World) -> Two {
        let clone = World::clone_of(&world);
        world.add_cluster(&clone);
        Two { world, clone }
    }

    fn between(&self) -> [String; 4] {
        let (from, to) = (self.world.text("/cluster_id"), self.clone.text("/cluster_id"));
        ["--source-cluster-id".into(), from, "--destination-cluster-id".into(), to]
    }

    /// From the first to the second, by one user of both.
    fn replicate(&self, who: Who<'_>, arguments: &[&str]) -> Ran {
        let between = self.between();
        let between: Vec<&str> = between.iter().map(String::as_str).collect();
        both(&self.world, who, who, &[arguments, &between].concat())
    }

    fn replicate_key(&self, who: Who<'_>, filter: &[&str]) -> Ran {
        self.replicate(who, &[&["key", "replicate", "--filter"], filter].concat())
    }

    fn replicate_user(&self, who: Who<'_>, user: &str) -> Ran {
        self.replicate(who, &["user", "replicate", "--username", user, "--role", "crypto-user"])
    }
}

fn create_user(world: &World, id: &str, user: &str) {
    let arguments = ["user", "create", "--username", user, "--role", "crypto-user", "--password", "long-enough"];
    world.admin_cli(&[&arguments[..], &["--cluster-id", id]].concat()).ok();
}

/// A signature by this key, and openssl's word on it.
fn signs(world: &World, cli: impl Fn(&[&str]) -> Ran, label: &str, public: &Path) {
    let filter = format!("attr.label={label}");
    let sign = ["crypto", "sign", "rsa-pkcs", "--hash-function", "sha256", "--data", "c29tZSBkYXRh", "--key-filter"];
    let signed = cli(&[&sign[..], &[&filter, "attr.class=private-key"]].concat()).ok().json();
    let signature = signed["data"]["signature"].as_str().expect("a signature").to_owned();
    fs::write(world.file("message"), "some data").expect("written");
    fs::write(world.file("signature.b64"), signature + "\n").expect("written");
    world.plain_openssl(&["enc", "-d", "-base64", "-A", "-in", "signature.b64", "-out", "signature"]).ok();
    let public = public.to_str().expect("temporary paths are text");
    world.plain_openssl(&["dgst", "-sha256", "-verify", public, "-signature", "signature", "message"]).ok();
}

fn data(ran: Ran) -> Value {
    ran.ok().json()["data"].clone()
}

#[test]
fn users_and_keys_are_replicated_to_a_cloned_cluster() {
    let world = World::quick(&["--hsms", "3"]);
    let (pin, admin_pin) = (world.pin(), world.admin_pin());
    let (owner, admin) = (Who { role: "crypto-user", pin: &pin }, Who { role: "admin", pin: &admin_pin });
    world.rsa_pair("before");
    let public = world.file("before.pem");
    let generate_file = ["key", "generate-file", "--encoding", "pem", "--path", public.to_str().expect("text")];
    world.data(&[&generate_file[..], &["--filter", "attr.label=before", "attr.class=public-key"]].concat());
    let two = Two::of(world);
    let (world, clone) = (&two.world, &two.clone);
    // The clone is what the origin was, under other ids and another CA, and says whose clone it is.
    assert_eq!(clone.pin(), pin);
    assert_eq!(clone.hsm_ips().len(), 3);
    assert_eq!(clone.status()["clone_of"], world.text("/cluster_id"));
    assert_eq!(world.status()["clone_of"], Value::Null);
    assert_ne!(clone.text("/cluster_id"), world.text("/cluster_id"));
    assert_ne!(fs::read(clone.customer_ca()).expect("read"), fs::read(world.customer_ca()).expect("read"));
    signs(world, |arguments| clone.cli(arguments), "before", &public);

    // What comes later goes one by one.
    let id = world.text("/cluster_id");
    let here = |arguments: &[&str]| world.cli(&[arguments, &["--cluster-id", &id]].concat());
    create_user(world, &id, "later");
    let pair = ["rsa", "--modulus-size-bits", "2048", "--public-exponent", "65537"];
    let attributes = ["--public-label", "later", "--private-label", "later", "--private-attributes", "sign=true"];
    let not_extractable = ["extractable=false", "--share-crypto-users", "later"];
    let generate = ["key", "generate-asymmetric-pair"];
    data(here(&[&generate[..], &pair, &attributes, &not_extractable].concat()));
    let private = ["attr.label=later", "attr.class=private-key"];
    let missing = refusal(two.replicate_key(owner, &private));
    assert!(missing.contains("1 of the 1 users it is shared with are missing") && missing.contains("user replicate"));
    assert!(missing.ends_with(": later"), "{missing}");
    let refused = refusal(two.replicate_user(owner, "later"));
    assert!(refused.contains("role does not permit"), "{refused}");
    let replicated = data(two.replicate_user(admin, "later"));
    assert_eq!(replicated["message"], "Successfully replicated user");
    let listed = world.admin_cli(&["user", "list", "--cluster-id", &id]).ok().json();
    let users = listed["data"]["users"].as_array().expect("users");
    assert_eq!(Some(&replicated["user"]), users.iter().find(|user| user["username"] == "later"));
    let replicated = data(two.replicate_key(owner, &private));
    assert_eq!(replicated["message"], "Successfully replicated key");
    let listed = data(here(&[&["key", "list", "--verbose", "--filter"], &private[..]].concat()));
    assert_eq!(replicated["key"], listed["matched_keys"][0], "the same in every field");
    // An admin sees the reference alone, as in lists.
    let reference = listed["matched_keys"][0]["key-reference"].as_str().expect("a reference").to_owned();
    let again = data(two.replicate_key(admin, &[&format!("key-reference={reference}")]));
    assert_eq!(again["key"], serde_json::json!({ "key-reference": reference }));
    // The later user uses the later key in the clone.
    let later = world.file("later.pem");
    let file = ["key", "generate-file", "--encoding", "pem", "--path", later.to_str().expect("text"), "--filter"];
    data(here(&[&file[..], &["attr.label=later", "attr.class=public-key"]].concat()));
    let as_later = |arguments: &[&str]| {
        let mut command = clone.bare_cli(arguments);
        run(command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", "later:long-enough"))
    };
    signs(world, as_later, "later", &later);

    // What differs there is refused with the number of HSMs.
    let set = ["key", "set-attribute", "--name", "label", "--value", "renamed", "--filter"];
    data(clone.cli(&[&set[..], &private].concat()));
    let said = refusal(two.replicate_key(owner, &private));
    assert!(said.starts_with("Key replicate failed on 3 of 3 connections: "), "{said}");
    let change =
        ["user", "change-password", "--username", "later", "--role", "crypto-user", "--password", "another-one"];
    clone.admin_cli(&change).ok();
    let said = refusal(two.replicate_user(admin, "later"));
    assert!(said.starts_with("User replicate failed on 3 of 3 connections: "), "{said}");
}

#[test]
fn replicate_needs_two_clones_and_a_login_to_each() {
    let world = World::quick(&["--hsms", "1"]);
    let two = Two::of(world);
    let stranger = World::quick(&["--hsms", "1"]);
    two.world.add_cluster(&stranger);
    let (pin, other_pin) = (two.world.pin(), stranger.pin());
    let (owner, other) = (Who { role: "crypto-user", pin: &pin }, Who { role: "crypto-user", pin: &other_pin });
    let id = two.world.text("/cluster_id");
    let generate =
        ["key", "generate-symmetric", "aes", "--label", "k", "--key-length-bytes", "32", "--cluster-id", &id];
    two.world.cli(&generate).ok();
    let key = ["key", "replicate", "--filter", "attr.label=k", "--source-cluster-id", &id, "--destination-cluster-id"];
    let to = |to: &str, there| refusal(both(&two.world, owner, there, &[&key[..], &[to]].concat()));
    let said = to(&stranger.text("/cluster_id"), other);
    assert!(said.contains("not clones of each other") && said.contains("--clone-of"), "{said}");
    assert!(to(&id, owner).contains("name the same cluster"));
    assert!(to("cluster-aaaaaaaaaaa", owner).contains("does not name cluster-aaaaaaaaaaa"));
    let there = two.clone.text("/cluster_id");
    let admin_pin = two.world.admin_pin();
    let said = to(&there, Who { role: "admin", pin: &admin_pin });
    assert!(said.contains("logins to the two clusters are of different users"), "{said}");
    let mut command = two.world.bare_cli(&[&key[..], &[&there]].concat());
    let said = refusal(run(command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", &pin)));
    assert!(said.starts_with("DESTINATION_CLOUDHSM_ROLE is not set"), "{said}");

    // In the shell there is a login for each cluster.
    let mut shell = Shell::start(&mut two.world.bare_cli(&["interactive"]));
    let mut ask = |line: &str| {
        let answer: Value = serde_json::from_str(&shell.ask(&format!("{line}\n"))).expect("an envelope");
        answer
    };
    let line = |cluster: &str| {
        let (user, password) = pin.split_once(':').expect("a pin");
        format!("login --cluster-id {cluster} --username {user} --role crypto-user --password {password}")
    };
    let replicate = format!("{} {there}", key.join(" "));
    assert_eq!(ask(&replicate)["error_code"], 1);
    assert_eq!(ask(&line(&id))["error_code"], 0);
    let said = ask(&replicate);
    let expected = format!("nobody is logged in to {there}; log in first: login --cluster-id {there}");
    assert!(said["data"].as_str().expect("a text").starts_with(&expected), "{said}");
    assert_eq!(ask(&line(&there))["error_code"], 0);
    assert_eq!(ask(&replicate)["data"]["message"], "Successfully replicated key");
}

/// A shell that is logged in to both as the admin.
fn admin_of_both(two: &Two) -> Shell {
    let mut shell = Shell::start(&mut two.world.bare_cli(&["interactive"]));
    for world in [&two.world, &two.clone] {
        let (id, password) = (world.text("/cluster_id"), world.text("/admin/password"));
        told(&mut shell, &format!("login --cluster-id {id} --username admin --role admin --password {password}"));
    }
    shell
}

/// What a command answers that must succeed.
#[track_caller]
fn told(shell: &mut Shell, line: &str) -> Value {
    let answer: Value = serde_json::from_str(&shell.ask(&format!("{line}\n"))).expect("an envelope");
    assert_eq!(answer["error_code"], 0, "{line}: {answer}");
    answer["data"].clone()
}

/// Signs what stands in a token file, as its user does outside of the cluster.
fn sign_token(world: &World, field: &str, file: &str, key: &str) -> String {
    let script = format!(
        "jq -r '{field}' {file} | base64 -d | openssl pkeyutl -sign -inkey {key} -pkeyopt digest:sha256 | base64 -w0"
    );
    let mut command = Command::new("sh");
    run(command.args(["-ec", &script]).current_dir(world.file(""))).ok().stdout
}

fn edit(world: &World, file: &str, change: impl Fn(&mut Value)) {
    let path = world.file(file);
    let mut json: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    change(&mut json);
    fs::write(path, json.to_string()).expect("written");
}

/// Keys for approvals are the user's, and are good in the clone; what admins approve in one cluster is approved in that one.
#[test]
fn approvals_and_their_keys_hold_in_the_clone() {
    let world = World::quick(&["--hsms", "1"]);
    let bea = ["user", "create", "--username", "bea", "--role", "admin", "--password", "long-enough"];
    world.admin_cli(&bea).ok();
    // Both admins register keys.
    for (user, pin) in [("admin", world.admin_pin()), ("bea", "bea:long-enough".into())] {
        let (key, public, token) = (format!("{user}.key"), format!("{user}.pem"), format!("{user}.json"));
        world.plain_openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &key]).ok();
        world.plain_openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]).ok();
        let mut shell = Shell::start(&mut world.bare_cli(&["interactive"]));
        let password = pin.split_once(':').expect("a pin").1.to_owned();
        told(&mut shell, &format!("login --username {user} --role admin --password {password}"));
        let file = world.name(&token);
        told(&mut shell, &format!("quorum token-sign generate --service registration --token {file}"));
        let signed = sign_token(&world, ".tokens[0].unsigned", &token, &key);
        edit(&world, &token, |json| json["tokens"][0]["signed"] = signed.clone().into());
        let public = world.name(&public);
        told(
            &mut shell,
            &format!("user change-quorum token-sign register --public-key {public} --signed-token {file}"),
        );
    }
    world.admin_cli(&["quorum", "token-sign", "set-quorum-value", "--service", "user", "--value", "2"]).ok();
    let two = Two::of(world);
    let listed = two.clone.admin_cli(&["user", "list"]).ok().json();
    let admins = listed["data"]["users"].as_array().expect("users").iter().filter(|user| user["role"] == "admin");
    assert!(admins.clone().count() == 2 && admins.clone().all(|user| user["quorum"][0]["status"] == "enabled"));

    // A user whom both admins approved in the first goes to the clone when both approve it there.
    let (here, there) = (two.world.text("/cluster_id"), two.clone.text("/cluster_id"));
    let mut shell = admin_of_both(&two);
    let token = |shell: &mut Shell, cluster: &str, name: &str| {
        let file = two.world.name(name);
        told(shell, &format!("quorum token-sign generate --cluster-id {cluster} --service user --token {file}"));
        let approvals = ["admin", "bea"].map(|user| {
            let signature = sign_token(&two.world, ".token", name, &format!("{user}.key"));
            serde_json::json!({ "username": user, "role": "admin", "signature": signature })
        });
        edit(&two.world, name, |json| json["signatures"] = approvals.to_vec().into());
        file
    };
    let file = token(&mut shell, &here, "create.json");
    let create = "user create --username later --role crypto-user --password long-enough";
    told(&mut shell, &format!("{create} --cluster-id {here} --approval {file}"));
    let replicate = format!("user replicate --username later --role crypto-user {}", two.between().join(" "));
    let refused: Value = serde_json::from_str(&shell.ask(&format!("{replicate}\n"))).expect("an envelope");
    assert_eq!(refused["data"], "Quorum approval is required for this operation");
    // One of the first cluster is none there.
    let file = token(&mut shell, &here, "other.json");
    let refused: Value = serde_json::from_str(&shell.ask(&format!("{replicate} --approval {file}\n"))).expect("one");
    assert_eq!(refused["error_code"], 1, "{refused}");
    let file = token(&mut shell, &there, "replicate.json");
    let replicated = told(&mut shell, &format!("{replicate} --approval {file}"));
    assert_eq!(replicated["message"], "Successfully replicated user");
    let refused: Value = serde_json::from_str(&shell.ask(&format!("{replicate} --approval {file}\n"))).expect("one");
    assert_eq!(refused["error_code"], 1, "it was good once: {refused}");
}

/// The third way: the password changes in a clone, and the service moves over.
#[test]
fn a_password_rotates_with_a_clone() {
    let world = World::new();
    world.rsa_pair("site");
    let public = world.file("site.pem");
    let file = ["key", "generate-file", "--encoding", "pem", "--path", public.to_str().expect("text"), "--filter"];
    world.data(&[&file[..], &["attr.label=site", "attr.class=public-key"]].concat());
    let clone = World::clone_of(&world);
    let (user, old) = (world.text("/crypto_user/username"), world.pin());
    let new = format!("{user}:the-new-password");
    let change = ["user", "change-password", "--username", &user, "--role", "crypto-user", "--password"];
    clone.admin_cli(&[&change[..], &["the-new-password"]].concat()).ok();
    let at = |world: &World, pin: &str, arguments: &[&str]| {
        let mut command = world.bare_cli(arguments);
        run(command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", pin))
    };
    // One instance goes on in the old cluster while another serves in the clone.
    signs(&world, |arguments| at(&world, &old, arguments), "site", &public);
    signs(&world, |arguments| at(&clone, &new, arguments), "site", &public);
    let list = ["key", "list"];
    assert!(refusal(at(&clone, &old, &list)).contains("wrong"));
    assert!(refusal(at(&world, &new, &list)).contains("wrong"));
    // Then the old one goes.
    world.stop();
    signs(&world, |arguments| at(&clone, &new, arguments), "site", &public);
}

#[test]
fn a_clone_of_a_stopped_cluster_and_of_a_clone() {
    let world = World::quick(&["--hsms", "1"]);
    let reference = world.ec_pair("k", "prime256v1");
    world.stop();
    let first = World::clone_of(&world);
    first.stop();
    let mut second = World::unmade_clone_of(&first, &["--hsms", "2"]);
    second.start();
    assert_eq!(second.hsm_ips().len(), 2);
    assert_eq!(second.status()["clone_of"], first.text("/cluster_id"));
    let found = second.data(&["key", "list", "--filter", &format!("key-reference={reference}")]);
    assert_eq!(found["total_key_count"], 1);
    // Again is the same, with and without the option, and with the origin gone.
    let before = second.up.clone();
    second.start();
    let steady = |up: &Value| (up["cluster_id"].clone(), up["crypto_user"].clone(), up["clone_of"].clone());
    assert_eq!(steady(&second.up), steady(&before));
    let plain = run(second.strongroom("up").args(["--output", "json"])).ok().json();
    assert_eq!(steady(&plain), steady(&before));
    fs::remove_dir_all(first.state()).expect("removed");
    second.stop();
    second.start();
    assert_eq!(steady(&second.up), steady(&before));
}

/// The page, run as it stands.
#[test]
fn the_page_for_operators_is_right() {
    const PAGE: &str = include_str!("../../docs/operating/clone-a-cluster.md");
    /// Stops what the page starts.
    struct Folder(tempfile::TempDir);
    impl Drop for Folder {
        fn drop(&mut self) {
            for state in ["a", "b"] {
                run(Command::new(program("strongroom")).args(["down", "--state"]).arg(self.0.path().join(state)));
            }
        }
    }
    let folder = Folder(tempfile::tempdir().expect("a folder"));
    let script: String =
        PAGE.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect();
    let path = format!(
        "{}:{}",
        program("strongroom").parent().expect("a folder").display(),
        std::env::var("PATH").expect("a path")
    );
    let mut command = Command::new("sh");
    let ran = run(command.args(["-eu", "-c", &script]).current_dir(folder.0.path()).env("PATH", path)).ok();
    for expected in ["Successfully replicated user", "Successfully replicated key", "\"extractable\": false"] {
        assert!(ran.stdout.contains(expected), "{expected}: {ran:?}");
    }
}

/// What is refused, and that nothing is left that serves.
#[test]
fn what_is_no_clone_is_refused_with_the_reason() {
    let world = World::quick(&["--hsms", "1"]);
    let origin = world.state();
    let origin = origin.to_str().expect("temporary paths are text");
    let up = |state: &Path, arguments: &[&str]| {
        let mut command = Command::new(program("strongroom"));
        command.args(["up", "--state"]).arg(state).args(arguments);
        run(&mut command)
    };
    let check = |name: &str, arguments: &[&str], code: i32, expected: &str| {
        let ran = up(&world.file(name), arguments);
        assert!(ran.code == Some(code) && ran.stderr.contains(expected), "{arguments:?}: {ran:?}");
        assert!(!world.file(name).join("store").exists(), "{arguments:?}");
    };
    check("b", &["--clone-of", "/nowhere"], 10, "/nowhere, cannot be used");
    check("b", &["--clone-of", "/tmp"], 10, "cannot be used");
    check("b", &["--clone-of", origin, "--mode", "NON_FIPS"], 10, "has mode FIPS, and so has its clone");
    check("b", &["--clone-of", origin, "--hsm-type", "hsm1.medium"], 10, "HSM type hsm2m.medium");
    check("b", &["--clone-of", origin, "--admin-password", "long-enough"], 2, "--admin-password is of no use");
    check("b", &["--clone-of", world.file("b").to_str().expect("text")], 10, "");
    let ran = up(&world.state(), &["--clone-of", origin]);
    assert!(ran.code == Some(2) && ran.stderr.contains("is no clone"), "{ran:?}");
    // A damaged record is named, and the clone is made once it is mended.
    world.rsa_pair("k");
    world.stop();
    let database = world.state().join("store/cluster.sqlite");
    let whole = fs::read(&database).expect("read");
    let mut damaged = whole.clone();
    let at = whole.len() - 200;
    damaged[at..at + 32].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&database, &damaged).expect("written");
    let clone = World::unmade_clone_of(&world, &[]);
    let ran = run(&mut clone.up_command());
    assert!(ran.code == Some(10) && ran.stderr.contains("put back"), "{ran:?}");
    let ran = run(clone.strongroom("serve").args(["--detach"]));
    assert!(ran.code == Some(3) && ran.stderr.contains("cluster.sqlite is missing"), "{ran:?}");
    // Neither does an HSM that somebody starts by hand make an empty cluster there.
    let hsm = fs::read_dir(clone.state().join("hsms")).expect("listed").next().expect("one").expect("an entry");
    let mut command = Command::new(program("strongroom-hsm"));
    let ran = run(command.args(["run", "--folder"]).arg(hsm.path()));
    assert_eq!(ran.code, Some(2));
    assert!(!clone.state().join("store/cluster.sqlite").exists());
    fs::write(&database, &whole).expect("written");
    let mut clone = clone;
    clone.start();
    assert_eq!(clone.data(&["key", "list"])["total_key_count"], 2);
}

/// `kill -9` of `up` and of everything it started, at moments all over its life; the same command completes it.
#[test]
fn an_up_that_is_killed_is_completed_by_the_next() {
    let world = World::quick(&["--hsms", "1"]);
    for number in 0..20 {
        world.ec_pair(&format!("k{number}"), "prime256v1");
    }
    let began = Instant::now();
    drop(World::clone_of(&world));
    let whole = began.elapsed();
    for round in 0..8 {
        let mut clone = World::unmade_clone_of(&world, &[]);
        let mut up = clone.up_command();
        let mut child = up.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("up starts");
        let moment = whole * round / 8;
        let began = Instant::now();
        wait_for("the moment", PATIENCE, || began.elapsed() >= moment);
        // First what it started, as a machine that stops would; each may be there or not.
        kill("KILL", child.id());
        child.wait().expect("it ends");
        if clone.state().join("serve.json").exists() {
            clone.kill_everything();
        }
        clone.start();
        let found = clone.data(&["key", "list", "--max-items", "100"]);
        assert_eq!(found["total_key_count"], 40, "round {round}, killed after {moment:?} of {whole:?}");
        assert_eq!(clone.status()["state"], "ACTIVE");
        let store = fs::read_dir(clone.state().join("store")).expect("listed");
        let left: Vec<_> = store.map(|entry| entry.expect("an entry").file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".new-")), "{left:?}");
    }
}

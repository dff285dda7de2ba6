//! `strongroom up`, `status` and `down`.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_tests::{World, kill, pid_is_alive, run, wait_for};

/// How long an HSM that was killed may take until it serves again.
const BACK_MAX: Duration = Duration::from_secs(20);

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn up_prints_one_object() {
    let world = World::quick(&[
        "--hsms",
        "3",
        "--mode",
        "NON_FIPS",
        "--admin-password",
        "correct-horse",
        "--crypto-user",
        "Alice:battery-staple",
    ]);
    let up = &world.up;
    assert_eq!(keys(up), ["cluster_id", "state", "home", "hsms", "admin", "crypto_user", "customer_ca"]);
    assert!(world.text("/cluster_id").starts_with("cluster-"));
    assert_eq!(up["state"], "ACTIVE");
    assert_eq!(up["admin"], json!({ "username": "admin", "password": "correct-horse" }));
    assert_eq!(up["crypto_user"], json!({ "username": "alice", "password": "battery-staple" }));
    let hsms = up["hsms"].as_array().expect("a list");
    assert_eq!(hsms.len(), 3);
    for hsm in hsms {
        assert_eq!(keys(hsm), ["hsm_id", "ip", "port", "pid", "availability_zone"]);
        assert!(hsm["hsm_id"].as_str().is_some_and(|id| id.starts_with("hsm-")));
        assert!(hsm["ip"].as_str().is_some_and(|ip| ip.starts_with("127.")));
        assert_eq!(hsm["port"], 2223);
        assert!(hsm["pid"].as_u64().is_some_and(|pid| pid_is_alive(u32::try_from(pid).expect("a pid"))));
    }
    for file in [
        "etc/cloudhsm-cli.cfg",
        "etc/cloudhsm-dyn.cfg",
        "etc/customerCA.crt",
        "engines-3/cloudhsm.so",
        "lib/libcloudhsm_pkcs11.so",
        "bin/cloudhsm-cli",
    ] {
        assert!(world.home().join(file).is_file(), "{file} is missing in {}", world.home().display());
    }
    assert!(world.customer_ca().is_file());
    let info = world.bare_cli(&["cluster", "hsm-info"]);
    let info = run(&mut { info }).ok().json();
    let serials: HashSet<_> =
        info["data"]["hsms"].as_array().expect("a list").iter().map(|hsm| hsm["serial-number"].to_string()).collect();
    assert_eq!(serials.len(), 3, "{info}");
    assert_eq!(info["data"]["hsms"][0]["fips-state"], "0 [non-FIPS mode with single factor authentication]");
}

#[test]
fn status_tells_what_runs() {
    let world = World::new();
    let status = world.status();
    assert_eq!(status["state"], "ACTIVE");
    assert_eq!(status["admin"], json!({ "username": "admin" }), "status prints no password");
    for hsm in status["hsms"].as_array().expect("a list") {
        assert_eq!(hsm["serving"], true, "{status}");
        assert!(
            hsm["signatures"].is_u64() && hsm["connections"].is_u64() && hsm["applied_revision"].is_u64(),
            "{status}"
        );
    }
    let pids = world.hsm_pids();
    world.stop();
    assert!(!pids.iter().any(|pid| pid_is_alive(*pid)));
    let status = world.status();
    assert_eq!(status["state"], "DOWN");
    assert!(world.hsm_pids().is_empty());
}

#[test]
fn down_and_up_keep_the_cluster_its_users_and_keys() {
    let mut world = World::new();
    let reference = world.rsa_pair("kept");
    let before = world.up.clone();
    world.admin_cli(&["user", "create", "--username", "bea", "--role", "crypto-user", "--password", "longenough"]).ok();
    world.stop();
    world.start();
    let identity = |up: &Value| {
        let hsm = |hsm: &Value| (hsm["hsm_id"].clone(), hsm["ip"].clone(), hsm["availability_zone"].clone());
        let hsms: Vec<_> = up["hsms"].as_array().expect("a list").iter().map(hsm).collect();
        (up["cluster_id"].clone(), hsms, up["admin"].clone(), up["crypto_user"].clone(), up["customer_ca"].clone())
    };
    assert_eq!(identity(&world.up), identity(&before));
    let found = world.data(&["key", "list", "--filter", "attr.label=kept", "attr.class=private-key"]);
    assert_eq!(found["matched_keys"][0]["key-reference"], reference.as_str());
    let users = run(&mut world.bare_cli(&["user", "list"])).ok().json();
    let names: Vec<_> =
        users["data"]["users"].as_array().expect("a list").iter().map(|user| user["username"].clone()).collect();
    for name in ["admin", "app_user", "bea", "crypto_user"] {
        assert!(names.contains(&json!(name)), "{users}");
    }
    // Again, while it runs: nothing happens, and the same is printed.
    let pids = world.hsm_pids();
    world.start();
    assert_eq!(identity(&world.up), identity(&before));
    assert_eq!(world.hsm_pids(), pids);
}

#[test]
fn two_clusters_run_side_by_side() {
    let (one, other) = (World::shared(), World::new());
    assert_ne!(one.text("/cluster_id"), other.text("/cluster_id"));
    let addresses: HashSet<_> = one.hsm_ips().into_iter().chain(other.hsm_ips()).collect();
    assert_eq!(addresses.len(), 4);
    one.ec_pair("only-here", "prime256v1");
    let found =
        |world: &World| world.data(&["key", "list", "--filter", "attr.label=only-here"])["total_key_count"].clone();
    assert_eq!((found(&one), found(&other)), (json!(2), json!(0)));
}

#[test]
fn a_cluster_of_one_works() {
    let world = World::quick(&["--hsms", "1", "--hsm-type", "hsm1.medium"]);
    world.ec_pair("alone", "secp384r1");
    assert_eq!(world.data(&["key", "list"])["total_key_count"], 2);
}

#[test]
fn settings_that_cannot_be_taken_are_refused_before_anything_is_made() {
    let check = |arguments: &[&str], expected: &str| {
        let world = World::unmade(arguments);
        let ran = run(&mut world.up_command());
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
        assert!(!world.state().exists(), "{arguments:?} left a folder");
    };
    check(&["--hsms", "0"], "0 is not in 1..=28");
    check(&["--hsms", "29"], "29 is not in 1..=28");
    check(&["--mode", "fips"], "FIPS or NON_FIPS");
    check(&["--hsm-type", "hsm9"], "hsm1.medium or hsm2m.medium");
    check(&["--hsm-type", "hsm1.medium", "--mode", "NON_FIPS"], "no NON_FIPS mode");
    check(&["--admin-password", "short"], "shorter than 8 characters");
    check(&["--crypto-user", "alice"], "with a colon between");
    check(&["--crypto-user", "al ice:long-enough"], "a user name has letters");
    check(&["--crypto-user", "admin:long-enough"], "every cluster has a user admin");
    let world = World::shared();
    let different = run(world.up_command().args(["--hsms", "5"]));
    assert_eq!(different.code, Some(2));
    assert!(
        different.stderr.contains("HSMs: 2") && different.stderr.contains("another --state"),
        "{}",
        different.stderr
    );
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let world = World::unmade_quick();
    std::fs::create_dir(world.state()).expect("a folder");
    std::fs::write(world.state().join("thesis.txt"), "years of work").expect("a file");
    let ran = run(&mut world.up_command());
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("is no state folder of Strongroom"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(world.state()).expect("listed").count(), 1);
    let down = run(&mut world.strongroom("down"));
    assert_eq!(down.code, Some(3));
    assert!(down.stderr.contains("not Strongroom's; name the cluster's folder with --state"), "{}", down.stderr);
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left_running() {
    let mut world = World::new();
    world.stop();
    let taken = format!("{}:2223", world.hsm_ips()[1]);
    let holder = TcpListener::bind(&taken).expect("the HSM's address is free while it is down");
    let ran = run(&mut world.up_command());
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains(&taken) && ran.stderr.contains("ss -ltnp"), "{}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert_eq!(world.status()["state"], "DOWN");
    drop(holder);
    world.start();
    assert_eq!(world.status()["state"], "ACTIVE");
}

#[test]
fn an_hsm_that_dies_is_started_again() {
    let world = World::new();
    let before = world.hsm_pids();
    kill("KILL", before[0]);
    wait_for("the HSM to serve again", BACK_MAX, || {
        let pids = world.hsm_pids();
        pids.len() == 2 && pids[0] != before[0] && world.status()["state"] == "ACTIVE"
    });
    assert_eq!(world.hsm_pids()[1], before[1]);
    world.ec_pair("after", "prime256v1");
}

#[test]
fn an_hsm_that_hangs_does_not_stop_the_cluster() {
    let world = World::new();
    let before = world.hsm_pids();
    let reference = world.rsa_pair("revoked");
    kill("STOP", before[0]);
    // Deleting waits for every member: one that is silent for a lease is killed by the one that waits.
    world.data(&["key", "delete", "--filter", &format!("key-reference={reference}")]);
    wait_for("the silent HSM to be replaced", BACK_MAX, || {
        let pids = world.hsm_pids();
        !pids.contains(&before[0]) && world.status()["state"] == "ACTIVE"
    });
}

#[test]
fn an_up_that_is_killed_at_any_moment_is_completed_by_the_next() {
    let begun = Instant::now();
    drop(World::new());
    let whole = begun.elapsed();
    for eighth in 0..8 {
        let moment = whole * eighth / 8;
        let mut world = World::unmade_quick();
        let mut up = world
            .up_command()
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("up starts");
        let begun = Instant::now();
        wait_for("the moment", Duration::from_secs(10), || {
            begun.elapsed() >= moment || up.try_wait().expect("asked").is_some()
        });
        up.kill().expect("killed, or gone by itself");
        up.wait().expect("waited");
        if eighth % 2 == 1 && world.state().join("serve.json").exists() {
            world.kill_everything();
        }
        world.start();
        assert_eq!(world.status()["state"], "ACTIVE", "after {moment:?}");
        world.data(&["key", "list"]);
        world.admin_cli(&["user", "list"]).ok();
    }
}

#[test]
fn an_hsm_outlives_whatever_is_sent_to_it() {
    let world = World::new();
    let before = world.hsm_pids();
    let address = format!("{}:2223", world.hsm_ips()[0]);
    let noise: Vec<u8> = (0_u32..70_000).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    // A TLS record's header that announces more than a record may have; a plain request; nothing; noise.
    let bad: [&[u8]; 6] = [
        b"",
        b"\x16\x03\x01\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        &noise[..5],
        &noise,
    ];
    for bytes in bad {
        let mut connection = TcpStream::connect(&address).expect("the HSM accepts connections");
        connection.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        // It may close before it has read everything.
        let _ = connection.write_all(bytes);
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = connection.take(1 << 20).read_to_end(&mut answer);
        assert!(answer.len() < 1024, "{} bytes of answer to {} bytes of noise", answer.len(), bytes.len());
    }
    assert_eq!(world.hsm_pids(), before);
    assert_eq!(world.status()["state"], "ACTIVE");
    world.data(&["key", "list"]);
}

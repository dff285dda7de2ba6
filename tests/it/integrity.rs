//! A store or an anchor that is not the one the HSMs have seen: noticed, named, and mended by putting the right one back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use strongroom_client::{Client, ClientError};
use strongroom_tests::{Ran, World, program, run};
use strongroom_types::{KeyReference, Role, SignMechanism, Status};

use crate::crash::{log_in, login};
use crate::sessions::session_pair;

const DIGEST: [u8; 32] = [7; 32];

/// The files of a folder, and those of folders in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Everything in the store's folder, as it is now.
fn kept(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files(&world.state().join("store")).into_iter();
    files.map(|path| (path.clone(), fs::read(&path).expect("read"))).collect()
}

/// Makes the store's folder what it was, file by file, so that modes stay.
fn put_back(world: &World, kept: &[(PathBuf, Vec<u8>)]) {
    for path in files(&world.state().join("store")) {
        if !kept.iter().any(|(known, _)| *known == path) {
            fs::remove_file(path).expect("removed");
        }
    }
    for (path, bytes) in kept {
        fs::write(path, bytes).expect("written");
    }
}

/// What `up` says when no HSM starts.
#[track_caller]
fn refused(world: &World) -> String {
    let ran = run(&mut world.up_command()).failed();
    ran.stdout + &ran.stderr
}

#[test]
fn a_store_of_last_week_or_a_lost_anchor_is_refused_until_the_right_one_is_back() {
    let mut world = World::quick(&["--hsms", "1"]);
    world.stop();
    let older = kept(&world);
    world.start();
    world
        .admin_cli(&["user", "create", "--role", "crypto-user", "--username", "leaver", "--password", "long-enough"])
        .ok();
    world.admin_cli(&["user", "delete", "--role", "crypto-user", "--username", "leaver"]).ok();
    world.stop();
    let newest = kept(&world);

    put_back(&world, &older);
    let said = refused(&world);
    assert!(
        said.contains("an older copy was put in its place") && said.contains("this HSM has seen revision"),
        "{said}"
    );
    world.stop();
    put_back(&world, &newest);

    let anchor = files(&world.state().join("hsms")).into_iter().find(|path| path.ends_with("anchor")).expect("one");
    let seen = fs::read(&anchor).expect("read");
    fs::remove_file(&anchor).expect("removed");
    let said = refused(&world);
    assert!(said.contains("its anchor file is missing"), "{said}");
    world.stop();
    let mut altered = seen.clone();
    altered.iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&anchor, altered).expect("written");
    let said = refused(&world);
    assert!(said.contains("is damaged or another cluster's") && said.contains("accept-rollback"), "{said}");
    world.stop();

    fs::write(&anchor, seen).expect("written");
    world.start();
    assert!(!world.admin_cli(&["user", "list"]).ok().stdout.contains("leaver"));
}

/// `strongroom accept-rollback`.
fn accept_rollback(world: &World, arguments: &[&str]) -> Ran {
    run(world.strongroom("accept-rollback").args(arguments))
}

fn signed(client: &Client, key: KeyReference) -> Result<(), ClientError> {
    client.sign(key, SignMechanism::Ecdsa, &DIGEST).map(drop)
}

#[track_caller]
fn ended(outcome: Result<(), ClientError>) {
    match outcome {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.status, Status::LoginEnded),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn reference(text: &str) -> KeyReference {
    let number = u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hexadecimal");
    KeyReference::from_u64(number).expect("a reference")
}

/// What the HSMs' logs say.
fn logs(world: &World) -> Vec<String> {
    let logs = files(&world.state().join("hsms")).into_iter().filter(|path| path.ends_with("hsm.log"));
    logs.map(|path| fs::read_to_string(path).expect("a log")).collect()
}

#[test]
fn a_deleted_key_of_an_older_store_works_only_after_the_rollback_is_accepted() {
    let mut world = World::new();
    let key = reference(&world.ec_pair("doomed", "prime256v1"));
    let early = login(&world, "crypto_user", Role::CryptoUser);
    signed(&early, key).expect("signed");
    world.stop();
    let older = kept(&world);
    world.start();
    let late = login(&world, "crypto_user", Role::CryptoUser);
    let (_, of_session) = session_pair(&late);
    signed(&late, key).and_then(|()| signed(&late, of_session)).expect("signed");
    world.data(&["key", "delete", "--filter", "attr.label=doomed", "attr.class=private-key"]);
    let running = accept_rollback(&world, &[]).failed();
    assert!(running.code == Some(5) && running.stderr.contains("the cluster runs"), "{}", running.stderr);
    world.stop();
    let newest = kept(&world);
    assert!(accept_rollback(&world, &[]).ok().stdout.contains("There is nothing to accept"));

    put_back(&world, &older);
    assert!(refused(&world).contains("accept this one with `strongroom accept-rollback`"));
    assert!(signed(&early, key).is_err(), "nobody serves");
    let told = accept_rollback(&world, &[]).ok().stdout;
    let more = "1 revision more than the store holds";
    assert!(told.contains("HSMs do not start on this store") && told.matches(more).count() == 2, "{told}");
    let report = accept_rollback(&world, &["--output", "json"]).ok().json();
    let revision = report["revision"].as_u64().expect("a number");
    assert!(told.contains(&format!("--revision {revision}\n")), "{told}");
    for wrong in [revision - 1, revision + 1] {
        let ran = accept_rollback(&world, &["--revision", &wrong.to_string()]).failed();
        assert_eq!(ran.code, Some(9));
        assert!(ran.stderr.contains(&format!("the store is of revision {revision}, not {wrong}")), "{}", ran.stderr);
    }
    assert!(refused(&world).contains("an older copy was put in its place"), "nothing was accepted");

    let named = revision.to_string();
    let accepted = accept_rollback(&world, &["--revision", &named, "--output", "json"]).ok().json();
    assert_eq!(accepted["accepted"]["epoch"], 2);
    let old_database = PathBuf::from(accepted["accepted"]["kept"].as_str().expect("a path"));
    assert_eq!(old_database, world.state().join(format!("store/cluster.sqlite.before-rollback-{revision}")));
    assert!(old_database.exists());
    for log in logs(&world) {
        let line = log.lines().last().expect("a line");
        assert!(line.contains("WARN ROLLBACK ACCEPTED") && line.contains("epoch 2 begins"), "{line}");
    }
    world.start();
    ended(signed(&early, key));
    ended(signed(&late, of_session));
    // The one that has seen revisions which are gone does not wait for them.
    let client = late;
    log_in(&world, &client, "crypto_user", Role::CryptoUser);
    signed(&client, key).expect("with the key that is back");
    assert!(signed(&client, of_session).is_err(), "session keys are gone");
    for log in logs(&world) {
        assert!(log.matches("ROLLBACK ACCEPTED").count() >= 2, "each start says it: {log}");
    }
    client.key_delete(key).expect("deleted anew");
    world.stop();

    assert!(accept_rollback(&world, &[]).ok().stdout.contains("There is nothing to accept"));
    let again = accept_rollback(&world, &["--revision", &named]).failed();
    assert!(again.code == Some(9) && again.stderr.contains("there is nothing to accept"), "{}", again.stderr);
    let in_new_epoch = kept(&world);
    put_back(&world, &newest);
    let said = refused(&world);
    assert!(said.contains("the store is of epoch 1, this HSM has seen epoch 2"), "{said}");
    put_back(&world, &in_new_epoch);
    world.start();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    assert!(signed(&client, key).is_err(), "it was deleted");
}

#[test]
fn lost_anchors_are_made_anew_by_the_same_command() {
    let mut world = World::quick(&["--hsms", "2"]);
    world.stop();
    for anchor in files(&world.state().join("hsms")).into_iter().filter(|path| path.ends_with("anchor")) {
        fs::remove_file(anchor).expect("removed");
    }
    let said = refused(&world);
    assert!(said.contains("its anchor file is missing") && said.contains("accept-rollback"), "{said}");
    let told = accept_rollback(&world, &[]).ok().stdout;
    assert_eq!(told.matches("its anchor is missing: nobody knows what it has seen").count(), 2, "{told}");
    let report = accept_rollback(&world, &["--output", "json"]).ok().json();
    let revision = report["revision"].as_u64().expect("a number").to_string();
    let accepted = accept_rollback(&world, &["--revision", &revision]).ok().stdout;
    assert!(accepted.contains("begins epoch 2"), "{accepted}");
    world.start();
    world.admin_cli(&["user", "list"]).ok();
}

#[test]
fn the_command_may_be_killed_at_any_moment() {
    let mut world = World::new();
    let key = reference(&world.ec_pair("doomed", "prime256v1"));
    world.stop();
    let older = kept(&world);
    world.start();
    world.data(&["key", "delete", "--filter", "attr.label=doomed", "attr.class=private-key"]);
    world.stop();
    let folders: Vec<PathBuf> = fs::read_dir(world.state().join("hsms"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let anchors: Vec<Vec<u8>> =
        folders.iter().map(|folder| fs::read(folder.join("anchor")).expect("an anchor")).collect();
    let mut revision = None;
    let mut ends = [0, 0];
    // Before the old database has its second name; before the new one has its place; before each anchor has its.
    for (call, number) in [("linkat", 1), ("rename", 1), ("rename", 2), ("rename", 3)] {
        put_back(&world, &older);
        for (folder, anchor) in folders.iter().zip(&anchors) {
            fs::write(folder.join("anchor"), anchor).expect("written");
        }
        let named = revision.get_or_insert_with(|| {
            let report = accept_rollback(&world, &["--output", "json"]).ok().json();
            report["revision"].as_u64().expect("a number").to_string()
        });
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:signal=KILL:when={number}")]);
        command.arg(program("strongroom-hsm")).args(["accept-rollback", "--revision", named]);
        for folder in &folders {
            command.arg("--folder").arg(folder);
        }
        run(&mut command).failed();
        let up = run(&mut world.up_command());
        let is_old = up.code != Some(0);
        if is_old {
            let said = up.failed();
            assert!((said.stdout + &said.stderr).contains("an older copy was put in its place"), "{call} {number}");
            accept_rollback(&world, &["--revision", named]).ok();
            world.start();
        }
        ends[usize::from(is_old)] += 1;
        let client = login(&world, "crypto_user", Role::CryptoUser);
        signed(&client, key).unwrap_or_else(|error| panic!("{call} {number}: {error}"));
        for log in logs(&world) {
            assert!(log.lines().rev().any(|line| line.contains("ROLLBACK ACCEPTED")), "{call} {number}: {log}");
        }
        world.stop();
        assert!(accept_rollback(&world, &[]).ok().stdout.contains("There is nothing to accept"), "{call} {number}");
    }
    assert_eq!(ends, [2, 2], "the new epoch at once, the old one first");
}

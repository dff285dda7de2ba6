//! HSMs that are stopped (SIGSTOP) and go on (SIGCONT), as happens to processes of a machine that is suspended, debugged
//! or far too busy: whoever waits for one kills it after a lease, and one that goes on before that honours nothing that
//! was taken away meanwhile.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

use strongroom_client::{Client, ClientError};
use strongroom_tests::{Failing, World, kill, pid_is_alive, wait_for};
use strongroom_types::{KeyReference, Role, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::crash::login;
use crate::disk::{Signing, aes, counted, ec_pair, password, sign, user, users};
use crate::hand::Hand;
use crate::sharing::sign as sign_by_hand;

const PATIENCE: Duration = Duration::from_secs(60);
/// Milliseconds, of the clusters here. Long enough for a busy machine to do something within it.
const LEASE_MS: u64 = 3_000;

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['T', 't']))
}

fn stop(pid: u32) {
    kill("STOP", pid);
    wait_for("the process to stop", PATIENCE, || is_stopped(pid));
}

/// All HSMs serve, and this process is none of them.
#[track_caller]
fn wait_for_another(world: &World, pid: u32) {
    wait_for("the HSM to be started again", PATIENCE, || {
        world.status()["state"] == "ACTIVE" && !world.hsm_pids().contains(&pid)
    });
}

/// A connection to the HSM with this number, logged in.
fn hand(world: &World, number: usize) -> Hand {
    let mut hand = Hand::at(world, &world.hsm_ips()[number]);
    hand.log_in(&world.text("/crypto_user/username"), &world.text("/crypto_user/password")).expect("logged in");
    hand
}

/// The revision that the first HSM has applied.
fn applied(world: &World) -> u64 {
    world.status()["hsms"][0]["applied_revision"].as_u64().expect("a revision")
}

/// Deletes a key by way of one HSM.
fn delete_by_hand(hand: &mut Hand, key: KeyReference) -> Result<(), Status> {
    hand.ask(Operation::KeyDelete(v1::KeyDelete { reference: key.as_u64() })).map(drop)
}

/// The key was deleted, and whichever HSM is asked knows it.
#[track_caller]
fn is_unknown(client: &Client, key: KeyReference) {
    match sign(client, key) {
        Err(ClientError::Refused(refusal)) if refusal.status == Status::KeyUnknown => {}
        other => panic!("a key that was deleted is honoured, or not known to be deleted: {other:?}"),
    }
}

/// Three HSMs with a lease of so many milliseconds.
fn world(lease_ms: u64) -> World {
    World::with(&["--hsms", "3", "--password-iterations", "1000", "--lease-ms", &lease_ms.to_string()])
}

#[test]
fn one_that_goes_on_within_the_lease_serves_on_and_honours_nothing_that_was_taken_away() {
    let world = world(60_000);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let (pids, kept) = (world.hsm_pids(), ec_pair(&client));
    let (mut here, mut there) = (hand(&world, 0), hand(&world, 2));
    for _ in 0..3 {
        let gone = ec_pair(&client);
        sign_by_hand(&mut there, gone).expect("a key that was acknowledged");
        let before = applied(&world);
        stop(pids[2]);
        std::thread::scope(|scope| {
            let deleting = scope.spawn(|| delete_by_hand(&mut here, gone));
            wait_for("the deletion's commit", PATIENCE, || applied(&world) > before);
            assert!(!deleting.is_finished(), "acknowledged while one HSM may still honour the key");
            kill("CONT", pids[2]);
            deleting.join().expect("no panic").expect("deleted");
        });
        assert_eq!(sign_by_hand(&mut there, gone), Err(Status::KeyUnknown));
        assert_eq!(sign_by_hand(&mut there, kept), Ok(()));
    }
    assert_eq!(world.hsm_pids(), pids, "nobody was started again");
}

#[test]
fn one_that_is_waited_for_longer_than_a_lease_is_killed_and_answers_nothing_more() {
    let world = world(LEASE_MS);
    let clients = users(&world);
    let (kept, gone) = (ec_pair(&clients[0]), ec_pair(&clients[0]));
    let (mut here, mut there) = (hand(&world, 0), hand(&world, 2));
    sign_by_hand(&mut there, gone).expect("a key that was acknowledged");
    Signing::during(&clients, kept, |signing| {
        signing.more(50);
        let pid = world.hsm_pids()[2];
        let began = Instant::now();
        stop(pid);
        // Nobody waits for it: what only grants is acknowledged, signatures are made, and it is left alone.
        aes(&clients[0]).expect("what grants waits for nobody");
        signing.more(50);
        assert!(is_stopped(pid));
        delete_by_hand(&mut here, gone).expect("deleted");
        assert!(began.elapsed() >= Duration::from_millis(LEASE_MS), "{:?}", began.elapsed());
        // Killed, that is: its lock and its sockets are gone a moment before the last of it.
        assert!(!is_stopped(pid), "acknowledged while an HSM may still honour the key");
        assert!(there.is_ended());
        wait_for("the end of the process that was killed", PATIENCE, || !pid_is_alive(pid));
        wait_for_another(&world, pid);
        signing.more(50);
        let said: String = world.hsm_ids().iter().map(|id| world.hsm_log(id)).collect();
        assert!(said.contains("kept a change waiting for longer than a lease and was stopped"), "{said}");
    });
    let mut there = hand(&world, 2);
    assert_eq!(sign_by_hand(&mut there, gone), Err(Status::KeyUnknown));
    assert_eq!(sign_by_hand(&mut there, kept), Ok(()));
}

#[test]
fn one_that_stops_inside_a_write_is_killed_and_the_others_write_on() {
    let world = world(LEASE_MS);
    let clients = users(&world);
    let kept = ec_pair(&clients[0]);
    let log = world.state().join("store/cluster.sqlite-wal");
    let mut made = BTreeSet::new();
    Signing::during(&clients[1..], kept, |signing| {
        for call in ["pwrite64", "fsync"] {
            signing.more(20);
            let pid = world.hsm_pids()[0];
            // It holds SQLite's write lock then, and some of its frames, or all of them, are written.
            let held = Failing::hold(pid, &[&log], &format!("{call}:signal=STOP:when=1"), world.file(call));
            std::thread::scope(|scope| {
                let making = scope.spawn(|| {
                    let mut made = Vec::new();
                    // The one that was asked of the stopped HSM is asked of another, and acts once.
                    while !held.has("stopped by SIGSTOP") {
                        made.push(aes(&clients[0]).expect("made, if late"));
                    }
                    made
                });
                wait_for("the HSM to stop inside its write", PATIENCE, || held.has("stopped by SIGSTOP"));
                signing.more(20);
                made.insert(aes(&clients[1]).expect("the others write, once it is killed"));
                assert!(!pid_is_alive(pid), "it held the lock");
                made.extend(making.join().expect("no panic"));
            });
            wait_for_another(&world, pid);
        }
    });
    assert_eq!(counted(&clients[0]), made);
}

#[test]
fn at_random_moments_nothing_fails_nothing_is_lost_and_nothing_that_was_taken_away_is_honoured() {
    const ROUNDS: u64 = 8;
    let world = world(500);
    let clients = users(&world);
    let kept = ec_pair(&clients[0]);
    let random = |round: u64, what: &str| RandomState::new().hash_one((round, what));
    let mut expected = BTreeSet::new();
    Signing::during(&clients[1..], kept, |signing| {
        for round in 0..ROUNDS {
            let pids = world.hsm_pids();
            let pid = pids[usize::try_from(random(round, "which") % 3).expect("small")];
            let (pause, stopped) = (random(round, "when") % 100, random(round, "how long") % 900);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let began = Instant::now();
                    let until = |ms: u64| {
                        wait_for("the moment", PATIENCE, || began.elapsed() >= Duration::from_millis(ms));
                    };
                    until(pause);
                    kill("STOP", pid);
                    until(pause + stopped);
                    kill("CONT", pid);
                });
                for _ in 0..6 {
                    let gone = ec_pair(&clients[0]);
                    expected.insert(aes(&clients[0]).expect("made"));
                    clients[0].key_delete(gone).expect("deleted");
                    for client in &clients[1..] {
                        is_unknown(client, gone);
                    }
                }
            });
            wait_for("every HSM to serve", PATIENCE, || world.status()["state"] == "ACTIVE");
            signing.more(20);
        }
    });
    assert_eq!(counted(&clients[0]), expected);
}

#[test]
fn without_its_supervisor_the_hsms_go_on_and_with_it_again_the_dead_are_started() {
    let world = world(LEASE_MS);
    let clients = users(&world);
    let kept = ec_pair(&clients[0]);
    let supervisor = world.supervisor_pid();
    Signing::during(&clients, kept, |signing| {
        stop(supervisor);
        signing.more(50);
        login(&world, "admin", Role::Admin)
            .user_create(&user("made-meanwhile"), Role::CryptoUser, &password())
            .expect("nobody asks the supervisor");
        let pid = world.hsm_pids()[1];
        kill("KILL", pid);
        signing.more(50);
        // Its pidfd tells of the end; nobody reads it.
        assert!(world.status()["state"] == "DEGRADED");
        kill("CONT", supervisor);
        wait_for_another(&world, pid);
        signing.more(50);
    });
}

/// Killed at that very moment, it still seems to be there.
#[test]
fn a_supervisor_that_hung_is_replaced_at_once_after_it_was_killed() {
    let mut world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let key = ec_pair(&client);
    for _ in 0..5 {
        let (supervisor, pid) = (world.supervisor_pid(), world.hsm_pids()[0]);
        stop(supervisor);
        kill("KILL", pid);
        wait_for("the HSM's end", PATIENCE, || !pid_is_alive(pid));
        kill("KILL", supervisor);
        let began = Instant::now();
        world.start();
        assert!(began.elapsed() < PATIENCE / 3, "{:?}", began.elapsed());
        assert!(world.status()["state"] == "ACTIVE" && world.supervisor_pid() != supervisor);
        sign(&client, key).expect("the other served all the time");
    }
}

#[test]
fn all_stopped_at_once_as_when_the_machine_sleeps_go_on_and_nobody_is_blamed_for_it() {
    // So long that what this test itself takes, between one stop and the next, is no reason for anything.
    let lease_ms = 3 * LEASE_MS;
    let world = world(lease_ms);
    let clients = users(&world);
    let (key, gone) = (ec_pair(&clients[0]), ec_pair(&clients[0]));
    let (mut here, pids, before) = (hand(&world, 0), world.hsm_pids(), applied(&world));
    // The first waits for the last already when they all stop.
    stop(pids[2]);
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| delete_by_hand(&mut here, gone));
        wait_for("the deletion's commit", PATIENCE, || applied(&world) > before);
        stop(pids[0]);
        stop(pids[1]);
        let began = Instant::now();
        wait_for("longer than a lease", PATIENCE, || began.elapsed() > Duration::from_millis(lease_ms * 3 / 2));
        for pid in &pids {
            kill("CONT", *pid);
        }
        deleting.join().expect("no panic").expect("deleted");
    });
    for client in &clients {
        sign(client, key).expect("cryptography goes on");
        is_unknown(client, gone);
    }
    assert_eq!(world.hsm_pids(), pids, "nobody was ended for having slept");
}

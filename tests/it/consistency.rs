//! What one client was told holds for every client, on every HSM, at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use strongroom_client::{Client, ClientError, PairAlgorithm};
use strongroom_tests::{World, kill, wait_for};
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Flag, KeyReference, Password, Role, Secret, SignMechanism, Status, UserName,
};

use crate::crash::{client, login};

const DIGEST: [u8; 32] = [7; 32];

fn pair(client: &Client) -> KeyReference {
    let may = |flag| vec![(AttributeName::Flag(flag), AttributeValue::Bool(true))];
    let made = client.key_generate_pair(&PairAlgorithm::Ec(Curve::P256), &may(Flag::Verify), &may(Flag::Sign), &[]);
    made.expect("a pair").1.reference
}

fn sign(client: &Client, key: KeyReference) -> Result<Vec<u8>, ClientError> {
    client.sign(key, SignMechanism::Ecdsa, &DIGEST)
}

/// Clients that each have spoken to a member; with several, both members are among them.
fn many(world: &World) -> Vec<Client> {
    (0..6).map(|_| login(world, "crypto_user", Role::CryptoUser)).collect()
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug, ClientError>, expected: &[Status]) {
    match result {
        Err(ClientError::Refused(refusal)) if expected.contains(&refusal.status) => {}
        other => panic!("expected one of {expected:?}: {other:?}"),
    }
}

#[test]
fn a_new_key_works_everywhere_and_a_deleted_one_nowhere() {
    let world = World::shared();
    let clients = many(&world);
    for round in 0..20 {
        let maker = &clients[round % clients.len()];
        let key = pair(maker);
        for client in &clients {
            sign(client, key).expect("a key that was acknowledged");
        }
        maker.key_delete(key).expect("deleted");
        for client in &clients {
            refused(sign(client, key), &[Status::KeyUnknown]);
        }
    }
    let status = world.status();
    let signed = status["hsms"].as_array().expect("a list").iter().filter(|hsm| hsm["signatures"].as_u64() > Some(0));
    assert_eq!(signed.count(), 2, "both HSMs were asked: {status}");
}

#[test]
fn a_new_password_ends_every_login() {
    let world = World::new();
    let admin = login(&world, "admin", Role::Admin);
    let name: UserName = "bea".parse().expect("a name");
    let password = |number: u32| Password::new(Secret::from(format!("password-{number}").as_bytes())).expect("good");
    admin.user_create(&name, Role::CryptoUser, &password(0)).expect("made");
    for round in 1..10 {
        let clients: Vec<_> = (0..4).map(|_| client(&world)).collect();
        for client in &clients {
            client.login(&name, Role::CryptoUser, &password(round - 1)).expect("the password of now");
        }
        admin.user_change_password(&name, Role::CryptoUser, &password(round)).expect("changed");
        let ended = [Status::LoginEnded, Status::NotLoggedIn];
        for client in &clients {
            refused(client.key_find(&Default::default(), 0, 1), &ended);
            refused(client.login(&name, Role::CryptoUser, &password(round - 1)), &[Status::LoginFailed]);
        }
    }
    admin.user_delete(&name, Role::CryptoUser).expect("deleted");
    refused(client(&world).login(&name, Role::CryptoUser, &password(9)), &[Status::LoginFailed]);
}

#[test]
fn no_call_fails_while_hsms_are_killed_in_turn() {
    let world = World::new();
    let clients = many(&world);
    let key = pair(&clients[0]);
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in &clients {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = sign(client, key) {
                        stop.store(true, Ordering::Relaxed);
                        panic!("a call failed: {error}");
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..6 {
            let before = world.hsm_pids();
            kill("KILL", before[round % 2]);
            wait_for("the HSM to serve again", Duration::from_secs(20), || {
                let back = world.status()["state"] == "ACTIVE" && !world.hsm_pids().contains(&before[round % 2]);
                back || stop.load(Ordering::Relaxed)
            });
            let wanted = done.load(Ordering::Relaxed) + 500;
            wait_for("calls", Duration::from_secs(20), || {
                done.load(Ordering::Relaxed) >= wanted || stop.load(Ordering::Relaxed)
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
}

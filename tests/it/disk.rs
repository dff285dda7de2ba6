//! Disks that are full or fail while HSMs run: cryptography goes on, changes are refused with the reason, nothing that was
//! acknowledged is lost, and when the disk is well again nobody has to start anything.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use strongroom_client::{Client, ClientError, PairAlgorithm};
use strongroom_tests::{Failing, SmallDisk, World, kill, pid_is_alive, wait_for, with_own_mounts};
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Filter, Flag, KeyReference, KeyType, Password, Role, Secret, SignMechanism,
    Status, UserName,
};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::crash::{client, login};
use crate::hand::Hand;

const PATIENCE: Duration = Duration::from_secs(60);
/// What a client is told of a full disk.
const FULL: &str = "the cluster's store cannot be reached: its disk is full; make room on it";

pub(crate) fn ec_pair(client: &Client) -> KeyReference {
    let may = |flag| vec![(AttributeName::Flag(flag), AttributeValue::Bool(true))];
    let made = client.key_generate_pair(&PairAlgorithm::Ec(Curve::P256), &may(Flag::Verify), &may(Flag::Sign), &[]);
    made.expect("a pair").1.reference
}

pub(crate) fn sign(client: &Client, key: KeyReference) -> Result<Vec<u8>, ClientError> {
    client.sign(key, SignMechanism::Ecdsa, &[7; 32])
}

pub(crate) fn aes(client: &Client) -> Result<KeyReference, ClientError> {
    let label = vec![(AttributeName::Label, AttributeValue::Text("counted".to_owned()))];
    client.key_generate_secret(KeyType::Aes, 32, &label, &[]).map(|made| made.reference)
}

/// Every key that [`aes`] made.
pub(crate) fn counted(client: &Client) -> BTreeSet<KeyReference> {
    let filter = Filter(vec!["attr.label=counted".parse().expect("a term")]);
    let mut found = BTreeSet::new();
    loop {
        let page = client.key_find(&filter, u32::try_from(found.len()).expect("few"), 1_000).expect("a list");
        if page.keys.is_empty() {
            return found;
        }
        found.extend(page.keys.iter().map(|key| key.reference));
    }
}

pub(crate) fn user(name: &str) -> UserName {
    name.parse().expect("a name")
}

pub(crate) fn password() -> Password {
    Password::new(Secret::from(&b"long-enough"[..])).expect("a good password")
}

#[track_caller]
pub(crate) fn refused(result: Result<impl std::fmt::Debug, ClientError>, expected: &str) {
    let said = result.expect_err("refused").to_string();
    assert!(said.contains(expected), "{said}");
}

/// Calls of several clients that go on for as long as this lives; each must succeed.
pub(crate) struct Signing<'a> {
    stop: &'a AtomicBool,
    done: &'a AtomicUsize,
}

impl Signing<'_> {
    /// Runs `body` while the clients sign.
    pub(crate) fn during(clients: &[Client], key: KeyReference, body: impl FnOnce(&Signing<'_>)) {
        let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let signing = Signing { stop: &stop, done: &done };
            for client in clients {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        if let Err(error) = sign(client, key) {
                            stop.store(true, Ordering::Relaxed);
                            panic!("a signature failed: {error}");
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            body(&signing);
        });
    }

    /// Waits for so many more signatures.
    #[track_caller]
    pub(crate) fn more(&self, count: usize) {
        let wanted = self.done.load(Ordering::Relaxed) + count;
        wait_for("signatures", PATIENCE, || {
            assert!(!self.stop.load(Ordering::Relaxed), "a signature failed");
            self.done.load(Ordering::Relaxed) >= wanted
        });
    }
}

impl Drop for Signing<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Signatures that each HSM has made.
pub(crate) fn signatures(world: &World) -> Vec<u64> {
    let status = world.status();
    let hsms = status["hsms"].as_array().expect("a list");
    hsms.iter().map(|hsm| hsm["signatures"].as_u64().expect("a count")).collect()
}

pub(crate) fn users(world: &World) -> Vec<Client> {
    (0..4).map(|_| login(world, "crypto_user", Role::CryptoUser)).collect()
}

/// Makes keys until one is refused; a log that was written around has room for some.
fn make_keys_until_refused(client: &Client) -> (Vec<KeyReference>, ClientError) {
    let mut made = Vec::new();
    loop {
        match aes(client) {
            Ok(key) => made.push(key),
            Err(error) => return (made, error),
        }
    }
}

#[test]
fn on_a_full_disk_three_hsms_sign_on_and_changes_wait_for_room() {
    with_own_mounts("disk::on_a_full_disk_three_hsms_sign_on_and_changes_wait_for_room", || {
        let mut world = World::unmade_quick_with(&["--hsms", "3"]);
        let disk = SmallDisk::mount(world.state(), 24);
        world.start();
        let (admin, clients) = (login(&world, "admin", Role::Admin), users(&world));
        let (maker, key) = (&clients[0], ec_pair(&clients[0]));
        let mut made: Vec<_> = (0..5).map(|_| aes(maker).expect("made")).collect();
        admin.user_create(&user("leaver"), Role::CryptoUser, &password()).expect("made");
        let leaver = client(&world);
        leaver.login(&user("leaver"), Role::CryptoUser, &password()).expect("a user");

        Signing::during(&clients[1..], key, |signing| {
            signing.more(50);
            disk.fill();
            let (more, error) = make_keys_until_refused(maker);
            made.extend(more);
            assert!(error.to_string().contains(FULL), "{error}");
            refused(admin.user_create(&user("newcomer"), Role::CryptoUser, &password()), FULL);
            refused(admin.user_delete(&user("leaver"), Role::CryptoUser), FULL);
            refused(maker.key_delete(made[0]), FULL);
            // What could not be taken away is still there, on every HSM; and nobody needs the disk to log in.
            counted(&leaver);
            client(&world).login(&user("leaver"), Role::CryptoUser, &password()).expect("not deleted");
            assert!(counted(maker).is_superset(&made.iter().copied().collect()));
            let before = signatures(&world);
            signing.more(200);
            assert!(signatures(&world).iter().zip(&before).all(|(now, before)| now > before), "one HSM signs no more");
            let reason = |hsm: &Value| hsm["reason"] == FULL;
            let status = world.status();
            assert!(status["hsms"].as_array().expect("a list").iter().any(reason), "{status}");
            // One that dies comes back: to start takes no room.
            let pids = world.hsm_pids();
            kill("KILL", pids[2]);
            wait_for("the HSM to serve again", PATIENCE, || {
                world.status()["state"] == "ACTIVE" && !world.hsm_pids().contains(&pids[2])
            });
            signing.more(50);
            refused(maker.key_delete(made[0]), FULL);

            let pids = world.hsm_pids();
            disk.make_room();
            made.push(aes(maker).expect("there is room again"));
            maker.key_delete(made.remove(0)).expect("there is room again");
            admin.user_create(&user("newcomer"), Role::CryptoUser, &password()).expect("there is room again");
            admin.user_delete(&user("newcomer"), Role::CryptoUser).expect("there is room again");
            assert_eq!(world.hsm_pids(), pids, "nobody was started again");
            signing.more(50);
        });
        let found = counted(maker);
        assert!(made.iter().all(|key| found.contains(key)), "a key that was acknowledged is lost");
        assert!(found.len() <= made.len() + 1, "one key alone was refused");
        let said: String = world.hsm_ids().iter().map(|id| world.hsm_log(id)).collect();
        assert!(said.contains("changes are committed again"), "{said}");
    });
}

/// Makes a key, unless the HSM that is asked has not looked at its disk again; every other failure is one of the test.
fn aes_if_well(client: &Client, made: &mut BTreeSet<KeyReference>) -> bool {
    match aes(client) {
        Ok(key) => made.insert(key),
        Err(ClientError::Refused(refusal)) if refusal.status == Status::StateDamaged => false,
        Err(error) => panic!("{error}"),
    }
}

/// Reading, writing and syncing the store fail on every HSM, as on a disk that dies.
#[test]
fn on_a_disk_that_fails_three_hsms_sign_on_and_when_it_is_well_changes_go_on() {
    let world = World::quick(&["--hsms", "3"]);
    let (admin, clients) = (login(&world, "admin", Role::Admin), users(&world));
    let key = ec_pair(&clients[0]);
    let mut made: BTreeSet<_> = (0..3).map(|_| aes(&clients[0]).expect("made")).collect();
    admin.user_create(&user("leaver"), Role::CryptoUser, &password()).expect("made");
    let store = world.state().join("store");
    let files = [store.join("cluster.sqlite"), store.join("cluster.sqlite-wal")];
    let (files, pids) = ([files[0].as_path(), files[1].as_path()], world.hsm_pids());
    let failing = "the cluster's store cannot be reached: its disk fails; look at the disk and at the HSM's log";
    // To SQLite a page that cannot be read is a damaged one.
    let unreadable = "a record of the cluster's state is damaged";
    let cases = [("fsync", failing), ("pwrite64", failing), ("pread64,pwrite64,fsync", unreadable)];
    for (calls, told) in cases {
        Signing::during(&clients[1..], key, |signing| {
            signing.more(20);
            let hold = |(number, pid): (usize, &u32)| {
                Failing::hold(*pid, &files, &format!("{calls}:error=EIO"), world.file(&format!("{calls}-{number}")))
            };
            let held: Vec<_> = pids.iter().enumerate().map(hold).collect();
            refused(aes(&clients[0]), told);
            refused(admin.user_delete(&user("leaver"), Role::CryptoUser), told);
            assert_eq!(counted(&clients[0]), made, "{calls}");
            let before = signatures(&world);
            signing.more(100);
            assert!(signatures(&world).iter().zip(&before).all(|(now, before)| now > before), "one HSM signs no more");
            drop(held);
            wait_for("the HSMs to find the disk well again", PATIENCE, || aes_if_well(&clients[0], &mut made));
            signing.more(20);
        });
        assert_eq!(counted(&clients[0]), made, "{calls}");
        client(&world).login(&user("leaver"), Role::CryptoUser, &password()).expect("not deleted");
    }
    admin.user_delete(&user("leaver"), Role::CryptoUser).expect("deleted");
    assert_eq!(world.hsm_pids(), pids, "nobody was started again");
}

/// What is taken away must be in the anchor of an HSM before that HSM counts as knowing it.
#[test]
fn nothing_is_taken_away_by_mistake_while_an_anchor_cannot_be_written() {
    let world = World::quick(&["--hsms", "3"]);
    let clients = users(&world);
    let key = ec_pair(&clients[0]);
    let anchors: Vec<_> = world.hsm_ids().iter().map(|id| world.hsm_folder(id).join("anchor")).collect();
    Signing::during(&clients[1..], key, |signing| {
        // One HSM alone: the others wait for it for a lease, then end it; started again, it has its anchor.
        let (pids, gone) = (world.hsm_pids(), ec_pair(&clients[0]));
        let anchored = std::fs::read(&anchors[2]).expect("read");
        let full = "pwrite64:error=ENOSPC";
        let held = Failing::hold(pids[2], &[&anchors[2]], full, world.file("anchor-2"));
        aes(&clients[0]).expect("what grants needs no anchor");
        clients[0].key_delete(gone).expect("deleted, at last");
        assert!(held.has("(INJECTED)"));
        assert!(!pid_is_alive(pids[2]), "acknowledged before it was in the anchor of an HSM that serves");
        wait_for("the HSM to serve again", PATIENCE, || {
            world.status()["state"] == "ACTIVE" && !world.hsm_pids().contains(&pids[2])
        });
        assert_ne!(std::fs::read(&anchors[2]).expect("read"), anchored);
        let said: String = world.hsm_log(&world.hsm_ids()[2]);
        assert!(said.contains("what was taken away cannot be confirmed by this HSM: the anchor"), "{said}");
        drop(held);
        signing.more(20);

        // All of them: nobody is ended, as that would help nobody, and the change is not acknowledged.
        let (pids, gone) = (world.hsm_pids(), ec_pair(&clients[0]));
        let hold = |(number, pid): (usize, &u32)| {
            Failing::hold(*pid, &[&anchors[number]], full, world.file(&format!("anchors-{number}")))
        };
        let held: Vec<_> = pids.iter().enumerate().map(hold).collect();
        let mut hand = Hand::at(&world, &world.hsm_ips()[0]);
        hand.log_in(&world.text("/crypto_user/username"), &world.text("/crypto_user/password")).expect("logged in");
        let deletion = v1::Request {
            request_id: vec![1; 16],
            // Two leases and more.
            deadline_ms: 5_000,
            operation: Some(Operation::KeyDelete(v1::KeyDelete { reference: gone.as_u64() })),
            ..v1::Request::default()
        };
        assert_eq!(hand.send(deletion.clone()).err(), Some(Status::StoreUnavailable));
        assert!(held.iter().all(|held| held.has("(INJECTED)")));
        assert_eq!(world.hsm_pids(), pids);
        signing.more(50);
        drop(held);
        hand.send(v1::Request { deadline_ms: 0, ..deletion }).expect("acknowledged once every anchor has it");
        assert_eq!(world.hsm_pids(), pids);
        signing.more(20);
    });
}

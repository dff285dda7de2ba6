//! Files of the store that are moved away, removed or replaced while HSMs run: cryptography goes on from memory, changes
//! are refused with the reason, lists show what is known, and nothing is lost when the file is back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_tests::{World, kill, run, wait_for};
use strongroom_types::{Role, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::crash::{client, login};
use crate::disk::{Signing, aes, counted, ec_pair, refused, sign, users};
use crate::hand::Hand;

const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to each HSM, logged in.
fn hands(world: &World) -> Vec<Hand> {
    let (user, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    crate::sharing::hands(world, &user, &password)
}

/// Asks each HSM by itself for a change.
fn outcomes(hands: &mut [Hand]) -> Vec<Result<(), Status>> {
    let change = || {
        Operation::KeyGenerateSecret(v1::KeyGenerateSecret {
            key_type: v1::KeyType::Aes.into(),
            length_bytes: 32,
            ..v1::KeyGenerateSecret::default()
        })
    };
    hands.iter_mut().map(|hand| hand.ask(change()).map(drop)).collect()
}

/// A file of the store's folder, or that folder.
fn store(world: &World, name: &str) -> PathBuf {
    let folder = world.state().join("store");
    if name.is_empty() { folder } else { folder.join(name) }
}

/// What `strongroom status` tells of each HSM's trouble.
fn reasons(world: &World) -> Vec<String> {
    let status = world.status();
    let hsms = status["hsms"].as_array().expect("a list");
    hsms.iter().map(|hsm| hsm["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

fn away(path: &Path) -> PathBuf {
    path.with_extension("away")
}

fn copy(from: &Path, to: &Path) {
    // In a process of its own: to close a database's file in this one would be no harm, but `cp` is what people do.
    run(std::process::Command::new("cp").arg("--preserve=mode").arg(from).arg(to)).ok();
}

/// What becomes of a file, and how it is put back.
struct Mishap {
    name: &'static str,
    happens: fn(&Path),
    is_mended: fn(&Path),
}

const MOVED: Mishap = Mishap {
    name: "moved away",
    happens: |path| fs::rename(path, away(path)).expect("moved"),
    is_mended: |path| fs::rename(away(path), path).expect("put back"),
};
const COPIED: Mishap = Mishap {
    name: "replaced by a copy of it",
    happens: |path| {
        fs::rename(path, away(path)).expect("moved");
        copy(&away(path), path);
    },
    is_mended: |path| fs::rename(away(path), path).expect("put back"),
};
const A_FOLDER: Mishap = Mishap {
    name: "replaced by a folder",
    happens: |path| {
        fs::rename(path, away(path)).expect("moved");
        fs::create_dir(path).expect("made");
    },
    is_mended: |path| {
        fs::remove_dir(path).expect("removed");
        fs::rename(away(path), path).expect("put back");
    },
};

#[test]
fn whichever_file_of_the_store_goes_away_signatures_go_on_and_changes_wait_until_it_is_back() {
    let world = World::quick(&["--hsms", "2"]);
    let (clients, mut hands) = (users(&world), hands(&world));
    let kept = ec_pair(&clients[0]);
    let mut made = vec![aes(&clients[0]).expect("made")];
    let pids = world.hsm_pids();
    Signing::during(&clients[1..], kept, |signing| {
        for file in ["cluster.sqlite", "cluster.sqlite-wal", "cluster.sqlite-shm", ""] {
            let path = store(&world, file);
            for Mishap { name, happens, is_mended } in [MOVED, COPIED, A_FOLDER] {
                if file.is_empty() && name == COPIED.name {
                    continue;
                }
                signing.more(20);
                happens(&path);
                let refused = Err(Status::StoreUnavailable);
                assert_eq!(outcomes(&mut hands), [refused, refused], "{file} was {name}");
                assert_eq!(counted(&clients[0]), made.iter().copied().collect(), "{file} was {name}");
                signing.more(20);
                is_mended(&path);
                assert_eq!(outcomes(&mut hands), [Ok(()), Ok(())], "{file} was {name} and is back");
                made.push(aes(&clients[0]).expect("made"));
            }
        }
        // What a person is told, by the client and in the HSMs' logs.
        let path = store(&world, "cluster.sqlite");
        (MOVED.happens)(&path);
        let expected = "the cluster's store cannot be reached: its file was moved away or replaced; put it back";
        refused(aes(&clients[0]), expected);
        wait_for("status to tell", PATIENCE, || reasons(&world).iter().all(|reason| reason == expected));
        refused(login(&world, "admin", Role::Admin).user_list().and_then(|_| clients[0].key_delete(made[0])), expected);
        signing.more(20);
        (MOVED.is_mended)(&path);
        made.push(aes(&clients[0]).expect("made"));
    });
    assert_eq!(world.hsm_pids(), pids, "nobody was started again");
    assert_eq!(outcomes(&mut hands), [Ok(()), Ok(())]);
    wait_for("status to tell", PATIENCE, || reasons(&world).iter().all(String::is_empty));
    for id in world.hsm_ids() {
        let said = world.hsm_log(&id);
        let expected =
            format!("{} was removed or replaced while it was in use", store(&world, "cluster.sqlite").display());
        assert!(said.contains(&expected) && said.contains("changes are committed again"), "{expected}\n{said}");
        // The files went away twelve times; a trouble that lasts is said once.
        assert!(said.matches("store cannot be used: ").count() <= 36, "{said}");
    }
    assert_eq!(counted(&clients[0]), made.into_iter().collect());
}

#[test]
fn while_the_database_is_away_no_hsm_makes_another_and_its_log_stays() {
    let world = World::quick(&["--hsms", "2"]);
    let clients = users(&world);
    let kept = ec_pair(&clients[0]);
    let made: Vec<_> = (0..5).map(|_| aes(&clients[0]).expect("made")).collect();
    let (database, pids) = (store(&world, "cluster.sqlite"), world.hsm_pids());
    (MOVED.happens)(&database);
    let ends = |number: usize| world.hsm_log(&world.hsm_ids()[number]).matches("is missing, and its log").count();
    // One HSM dies, and finds no database when it is started again; the other signs on.
    kill("KILL", pids[0]);
    Signing::during(&clients, kept, |signing| {
        wait_for("the HSM to be started in vain", PATIENCE, || ends(0) >= 2);
        signing.more(50);
    });
    // Then the other dies too: what was acknowledged is in the log alone.
    kill("KILL", pids[1]);
    wait_for("the HSMs to be started in vain", PATIENCE, || ends(1) >= 2);
    assert!(!database.exists());
    (MOVED.is_mended)(&database);
    wait_for("the HSMs to serve", PATIENCE, || world.status()["state"] == "ACTIVE");
    let client = login(&world, "crypto_user", Role::CryptoUser);
    assert_eq!(counted(&client), made.into_iter().collect());
}

/// As a file comes back from another disk: the same content, and not the file that the HSMs have open.
#[test]
fn a_database_that_came_back_as_a_copy_is_taken_by_each_hsm_that_starts_again() {
    let world = World::quick(&["--hsms", "2"]);
    let clients = users(&world);
    let kept = ec_pair(&clients[0]);
    let mut made: Vec<_> = (0..5).map(|_| aes(&clients[0]).expect("made")).collect();
    let database = store(&world, "cluster.sqlite");
    (COPIED.happens)(&database);
    fs::remove_file(away(&database)).expect("removed");
    let expected = [Err(Status::StoreUnavailable); 2];
    assert_eq!(outcomes(&mut hands(&world)), expected);
    Signing::during(&clients[1..], kept, |signing| {
        let pids = world.hsm_pids();
        let serves_again = |pid: &u32| world.status()["state"] == "ACTIVE" && !world.hsm_pids().contains(pid);
        kill("TERM", pids[0]);
        wait_for("the HSM to serve again", PATIENCE, || serves_again(&pids[0]));
        assert!(world.hsm_pids().contains(&pids[1]));
        // It makes changes on the copy. The other cannot learn of them: once something is taken away, it is ended.
        made.push(aes(&clients[0]).expect("made"));
        clients[0].key_delete(made.remove(0)).expect("deleted");
        signing.more(20);
        wait_for("the other to serve again", PATIENCE, || serves_again(&pids[1]));
        signing.more(20);
    });
    assert_eq!(outcomes(&mut hands(&world)), [Ok(()), Ok(())]);
    assert_eq!(counted(&clients[0]), made.into_iter().collect());
}

/// Removed files cannot be put back: the processes that have them open still do, and merge them when they end in order.
#[test]
fn a_log_or_a_member_table_that_was_removed_is_survived_by_an_orderly_restart() {
    let mut world = World::quick(&["--hsms", "2"]);
    let mut made = Vec::new();
    for name in ["cluster.sqlite-wal", "cluster.sqlite-shm", "members"] {
        let client = login(&world, "crypto_user", Role::CryptoUser);
        let kept = ec_pair(&client);
        made.extend((0..3).map(|_| aes(&client).expect("made")));
        fs::remove_file(store(&world, name)).expect("removed");
        Signing::during(std::slice::from_ref(&client), kept, |signing| signing.more(20));
        if name == "members" {
            // It is mapped: those that run need it no more.
            made.push(aes(&client).expect("made"));
        } else {
            assert_eq!(outcomes(&mut hands(&world)), [Err(Status::StoreUnavailable); 2], "{name}");
        }
        world.stop();
        world.start();
        let client = login(&world, "crypto_user", Role::CryptoUser);
        assert_eq!(counted(&client), made.iter().copied().collect(), "{name} was removed");
        made.push(aes(&client).expect("made"));
    }
}

/// The last resort of docs/operating/when-something-fails.md: only root may look into an HSM's descriptors.
#[test]
fn a_removed_database_is_rescued_from_the_processes_that_have_it_open() {
    let mut world = World::quick(&["--hsms", "2"]);
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let made: Vec<_> = (0..3).map(|_| aes(&client).expect("made")).collect();
    fs::remove_file(store(&world, "cluster.sqlite")).expect("removed");
    assert_eq!(outcomes(&mut hands(&world)), [Err(Status::StoreUnavailable); 2]);
    let descriptors = format!("/proc/{}/fd", world.hsm_pids()[0]);
    let Ok(descriptors) = fs::read_dir(descriptors) else {
        return eprintln!("skipped: only root may look into an HSM's descriptors");
    };
    let mut open = descriptors.map(|entry| entry.expect("an entry").path());
    let is_it = |path: &PathBuf| fs::read_link(path).is_ok_and(|to| to.ends_with("cluster.sqlite (deleted)"));
    let open = open.find(is_it).expect("it has the database open");
    copy(&open, &store(&world, "saved"));
    world.stop();
    assert!(store(&world, "cluster.sqlite-wal").exists(), "it holds what was committed last");
    fs::rename(store(&world, "saved"), store(&world, "cluster.sqlite")).expect("renamed");
    world.start();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    assert_eq!(counted(&client), made.into_iter().collect());
}

#[test]
fn beside_a_member_table_that_is_not_the_others_no_hsm_starts() {
    let mut world = World::quick(&["--hsms", "2"]);
    let clients = users(&world);
    let (kept, pids, table) = (ec_pair(&clients[0]), world.hsm_pids(), store(&world, "members"));
    (MOVED.happens)(&table);
    kill("KILL", pids[0]);
    let said = || world.hsm_log(&world.hsm_ids()[0]);
    Signing::during(&clients, kept, |signing| {
        wait_for("the HSM to be started in vain", PATIENCE, || {
            said().contains("is not the member table that the running")
        });
        aes(&clients[0]).expect("the other goes on");
        signing.more(50);
        (MOVED.is_mended)(&table);
        wait_for("the HSM to serve", PATIENCE, || world.status()["state"] == "ACTIVE");
        assert_eq!(world.hsm_pids()[1], pids[1]);
        signing.more(50);
    });
    world.stop();
    world.start();
    client(&world).hello().expect("it serves");
}

/// One HSM that may not start keeps no other from serving.
#[test]
fn an_anchor_that_is_gone_keeps_its_own_hsm_out_and_the_others_serve() {
    let mut world = World::quick(&["--hsms", "3"]);
    let key = ec_pair(&login(&world, "crypto_user", Role::CryptoUser));
    let ids = world.hsm_ids();
    let anchor = |number: usize| world.hsm_folder(&ids[number]).join("anchor");
    let anchors = [anchor(0), anchor(1), anchor(2)];
    world.stop();
    (MOVED.happens)(&anchors[0]);
    let ran = run(&mut world.up_command());
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.stderr.contains("its anchor file is missing"), "{ran:?}");
    wait_for("the others to serve", PATIENCE, || {
        let status = world.status();
        let serving = status["hsms"].as_array().expect("a list").iter().filter(|hsm| hsm["serving"] == true).count();
        status["state"] == "DEGRADED" && serving == 2
    });
    sign(&login(&world, "crypto_user", Role::CryptoUser), key).expect("another HSM signs");
    (MOVED.is_mended)(&anchors[0]);
    // The supervisor tries again every few seconds.
    wait_for("the HSM to serve", PATIENCE, || world.status()["state"] == "ACTIVE");
    // Nobody is left running where nobody may serve.
    world.stop();
    anchors.iter().for_each(|anchor| (MOVED.happens)(anchor));
    assert_eq!(run(&mut world.up_command()).code, Some(7));
    assert_eq!(world.status()["state"], "DOWN");
    anchors.iter().for_each(|anchor| (MOVED.is_mended)(anchor));
    world.start();
}

//! A clone begins with what another cluster's store holds, on the embedded store.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_core::member::{AnchorConflict, Withheld};
use strongroom_core::{Actor, Batch, CloneRefusal, Command, Key, Made, Record};
use strongroom_crypto_keys::seal::{RootKey, RootKeyError};
use strongroom_store::{Loaded, OfflineDatabase, StoredRecord};
use strongroom_types::limits::HSM2M_KEYS_MAX;
use strongroom_types::{
    ClusterId, ClusterMode, ClusterState, HsmType, KeyReference, RecordKind, RecordPath, Secret, Status,
};

use super::super::cloning::{CloneError, found_clone};
use super::super::keys::Keys;
use super::super::view::View;
use super::super::{Cluster, Setup, StartError};
use super::rollbacks::{Files, MATERIAL, crypto_user, make_key};
use super::world::{Asks, Steps, World, hsm_id};

/// A cluster of two HSMs with alice and her key, which is stopped; and where its clone is to be.
fn story() -> (World, Setup, KeyReference) {
    let world = World::new();
    let (first, second) = (world.up(1).unwrap(), world.up(2).unwrap());
    first.activate();
    for user in ["alice", "bob"] {
        first.create_user(user).unwrap();
    }
    first.delete_user("bob").unwrap();
    let key = make_key(&first, "alice");
    first.ask(crypto_user(&first, "alice"), Command::Logout, Made::Nothing).unwrap();
    first.stop();
    second.stop();
    drop((first, second));
    let clone = clone_of(&world, 3);
    (world, clone, key)
}

fn clone_of(world: &World, number: u8) -> Setup {
    let folder = world.path(&format!("clone-{number}"));
    fs::create_dir(&folder).unwrap();
    Setup {
        cluster_id: ClusterId::from_random([number; 7]),
        root_key: folder.join("root.key"),
        anchor: folder.join("anchor"),
        store: strongroom_store::SqliteConfig::new(folder.join("cluster.sqlite"), folder.join("members")),
        ..world.setup(number)
    }
}

fn found(world: &World, clone: &Setup) -> Result<(), CloneError> {
    found_clone(&world.setups(&[1, 2]), clone, 0).map(drop)
}

fn up(world: &World, setup: &Setup) -> Result<Arc<Cluster>, StartError> {
    Cluster::start(setup, Arc::clone(&world.said) as _, Box::new(Steps::default()))
}

fn serves(world: &World, clone: &Setup, key: KeyReference) {
    let cluster = up(world, clone).unwrap();
    let state = cluster.state();
    let record = state.cluster().unwrap();
    assert_eq!((record.state, record.epoch, &record.id), (ClusterState::Uninitialized, 1, &clone.cluster_id));
    cluster.sealer().open_tls_key(&record.sealed_tls_key).unwrap();
    let sealed = &state.key(key).unwrap().sealed;
    let material = cluster.sealer().open_material(key, sealed.as_ref().unwrap()).unwrap();
    assert_eq!(material.expose(), MATERIAL);
    assert!(cluster.has_user("alice") && !cluster.has_user("bob"));
    assert!(state.hsms().map(|hsm| &hsm.id).eq([&clone.hsm.id]));
    drop(state);
    let certificate = Command::InstallCertificate { certificate_pem: "c".into(), trust_anchor_pem: "a".into() };
    cluster.ask(Actor::Appliance, certificate, Made::Nothing).unwrap();
    cluster.create_user("carol").unwrap();
}

#[test]
fn a_clone_serves_what_its_origin_held_under_keys_of_its_own() {
    let (world, clone, key) = story();
    found(&world, &clone).unwrap();
    serves(&world, &clone, key);
    // What is sealed for one opens in the other nowhere, and both hold the same history.
    let (origin, clone) = (world.up(1).unwrap(), up(&world, &clone).unwrap());
    let (here, there) = (origin.state(), clone.state());
    let sealed = here.key(key).unwrap().sealed.clone().unwrap();
    assert!(clone.sealer().open_material(key, &sealed).is_err());
    assert!(clone.sealer().open_ticket(&origin.sealer().seal_ticket(b"t")).is_err());
    let history = |cluster: &Cluster| {
        let state = cluster.state();
        cluster.sealer().open_history_key(&state.history_key().unwrap().sealed).unwrap()
    };
    let sealed = history(&origin).seal_replica(b"header", b"a record");
    assert_eq!(history(&clone).open_replica(b"header", &sealed).unwrap().expose(), b"a record");
    assert!(clone.sealer().open_history_key(&here.history_key().unwrap().sealed).is_err());
    assert!(!origin.has_user("carol") && clone.has_user("carol"));
    assert_eq!(there.cluster().unwrap().origin.as_ref().unwrap().cluster, here.cluster().unwrap().id);
}

#[test]
fn the_origin_may_run_and_change_meanwhile() {
    let (world, clone, key) = story();
    let running = world.up(1).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(std::sync::atomic::Ordering::SeqCst) {
                    break;
                }
                // Revoking, so that the anchor is written at each step.
                running.create_user(&format!("user-{number}")).unwrap();
                running.delete_user(&format!("user-{number}")).unwrap();
            }
        });
        for number in 10..30 {
            let clone = clone_of(&world, number);
            let outcome = found(&world, &clone);
            stop.store(outcome.is_err(), std::sync::atomic::Ordering::SeqCst);
            outcome.unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    found(&world, &clone).unwrap();
    serves(&world, &clone, key);
    running.create_user("dora").unwrap();
}

#[test]
fn again_does_what_is_missing_and_nothing_else() {
    let (world, clone, key) = story();
    let database = clone.store.database().to_owned();
    // Killed while the database was written, and before the root key was.
    fs::write(database.with_file_name(".new-cluster.sqlite"), [7; 5_000]).unwrap();
    fs::write(clone.root_key.with_file_name(".new-root.key"), [7; 9]).unwrap();
    assert!(matches!(up(&world, &clone), Err(StartError::RootKey(RootKeyError::Missing { .. }))));
    assert!(!database.exists(), "an HSM without a root key makes nothing");
    found(&world, &clone).unwrap();
    let made = fs::read(&database).unwrap();
    fs::remove_file(&clone.root_key).unwrap();
    assert!(matches!(up(&world, &clone), Err(StartError::RootKey(RootKeyError::Missing { .. }))));
    found(&world, &clone).unwrap();
    found(&world, &clone).unwrap();
    assert_eq!(fs::read(&database).unwrap(), made);
    serves(&world, &clone, key);
    // One that serves already is what it is.
    found(&world, &clone).unwrap();
    let names = fs::read_dir(database.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<_> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.starts_with(".new-")), "{names:?}");
}

#[test]
fn a_store_of_something_else_is_not_written_over() {
    let (world, clone, _) = story();
    let other = World::new();
    drop(other.up(1).unwrap());
    let setup = other.setup(1);
    let refused = found_clone(&world.setups(&[1, 2]), &setup, 0).unwrap_err();
    assert!(matches!(&refused, CloneError::Start(error) if error.is_state_refused()), "{refused}");
    // A cluster of the same installation that is no clone.
    fs::copy(world.path("root.key"), &clone.root_key).unwrap();
    drop(up(&world, &clone).unwrap());
    let before = fs::read(clone.store.database()).unwrap();
    let refused = found(&world, &clone).unwrap_err();
    assert!(matches!(&refused, CloneError::Taken(_)), "{refused}");
    assert_eq!(fs::read(clone.store.database()).unwrap(), before);
    // Another installation's root key beside an empty place.
    let (fourth, path) = (clone_of(&world, 4), PathBuf::from(&other.path("root.key")));
    fs::copy(&path, &fourth.root_key).unwrap();
    let refused = found(&world, &fourth).unwrap_err();
    assert!(matches!(&refused, CloneError::OtherRootKey { .. }), "{refused}");
    assert!(up(&world, &fourth).is_err());
}

#[test]
fn an_hsm_that_an_older_copy_does_not_know_yet_is_asked_too() {
    let world = World::new();
    let first = world.up(1).unwrap();
    first.activate();
    first.create_user("leaver").unwrap();
    drop(first);
    let older = world.copy();
    let second = world.up(2).unwrap();
    second.delete_user("leaver").unwrap();
    drop(second);
    world.put_back(&older);
    let clone = clone_of(&world, 3);
    match found(&world, &clone) {
        Err(CloneError::Withheld { hsm, cause: Withheld::Conflict(AnchorConflict::Older { .. }) }) => {
            assert_eq!(hsm, hsm_id(2));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_origin_that_is_older_than_its_hsms_have_seen_is_not_cloned() {
    let world = World::new();
    let (first, second) = (world.up(1).unwrap(), world.up(2).unwrap());
    first.activate();
    first.create_user("leaver").unwrap();
    drop((first, second));
    let older = world.copy();
    let first = world.up(1).unwrap();
    first.delete_user("leaver").unwrap();
    drop(first);
    let newest = world.copy();
    let clone = clone_of(&world, 3);
    world.put_back(&older);
    match found(&world, &clone) {
        Err(CloneError::Withheld { hsm, cause: Withheld::Conflict(AnchorConflict::Older { .. }) }) => {
            assert_eq!(hsm, hsm_id(1));
        }
        other => panic!("{other:?}"),
    }
    world.put_back(&newest);
    let refused = found_clone(&world.setups(&[1]), &clone, 0).unwrap_err();
    assert!(matches!(&refused, CloneError::LeftOut(hsm) if *hsm == hsm_id(2)), "{refused}");
    let other = World::new();
    drop(other.up(2).unwrap());
    let refused = found_clone(&[world.setup(1), other.setup(2)], &clone, 0).unwrap_err();
    assert!(matches!(&refused, CloneError::Apart { hsm, .. } if *hsm == hsm_id(2)), "{refused}");
    let anchor = fs::read(world.path("anchor-2")).unwrap();
    fs::remove_file(world.path("anchor-2")).unwrap();
    let refused = found(&world, &clone).unwrap_err();
    let missing = Withheld::Conflict(AnchorConflict::Missing);
    assert!(matches!(&refused, CloneError::Withheld { cause, .. } if *cause == missing), "{refused}");
    fs::write(world.path("anchor-2"), [7; 5_000]).unwrap();
    let refused = found(&world, &clone).unwrap_err();
    assert!(matches!(&refused, CloneError::Withheld { cause: Withheld::Damaged, .. }), "{refused}");
    assert!(!clone.store.database().exists() && !clone.root_key.exists());
    fs::write(world.path("anchor-2"), anchor).unwrap();
    found(&world, &clone).unwrap();
}

#[test]
fn a_damaged_record_of_whatever_kind_is_named_and_nothing_is_made() {
    let (world, clone, key) = story();
    let whole = world.copy();
    let records = OfflineDatabase::open(&world.setup(1).store).unwrap().load().unwrap().records;
    let (mut kinds, mut checked) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        kinds.insert(record.path.kind);
        // As it lies in the file, where it is whole.
        let sealed = &record.sealed[..40];
        let Some(at) = whole.windows(sealed.len()).position(|window| window == sealed) else { continue };
        let mut altered = whole.clone();
        altered[at + 30] ^= 1;
        world.put_back(&altered);
        let refused = found(&world, &clone).unwrap_err();
        assert!(matches!(&refused, CloneError::Start(error) if error.is_state_refused()), "{refused}");
        assert!(refused.to_string().contains(&record.path.to_string()), "{}: {refused}", record.path);
        assert!(!clone.store.database().exists() && !clone.root_key.exists());
        checked.insert(record.path.kind);
    }
    assert_eq!(checked, kinds, "each kind that the store holds");
    let story = [RecordKind::Hsm, RecordKind::User, RecordKind::Key, RecordKind::Receipt, RecordKind::EndedLogin];
    assert!(story.iter().all(|kind| kinds.contains(kind)) && kinds.contains(&RecordKind::HistoryKey), "{kinds:?}");
    world.put_back(&whole);
    found(&world, &clone).unwrap();
    serves(&world, &clone, key);
}

#[test]
fn a_clone_has_its_origins_mode_and_no_smaller_type() {
    let (world, clone, _) = story();
    let origin = world.setup(1).cluster_id;
    let mode = Setup { mode: ClusterMode::Fips, ..clone.clone() };
    let expected = CloneRefusal::Mode { cluster: origin.clone(), found: ClusterMode::NonFips };
    assert!(matches!(found(&world, &mode), Err(CloneError::Refused(refusal)) if refusal == expected));
    let smaller = Setup { hsm_type: HsmType::Hsm1Medium, ..clone.clone() };
    let expected = CloneRefusal::Type { cluster: origin.clone() };
    assert!(matches!(found(&world, &smaller), Err(CloneError::Refused(refusal)) if refusal == expected));
    let itself = Setup { cluster_id: origin.clone(), ..clone.clone() };
    assert!(matches!(found(&world, &itself), Err(CloneError::Refused(CloneRefusal::Itself(id))) if id == origin));
    assert!(!clone.store.database().exists() && !clone.root_key.exists());
}

#[test]
fn an_older_cluster_is_given_its_history_key_at_the_next_start_and_by_one_hsm_only() {
    let (world, _, _) = story();
    let key = || {
        let cluster = world.up(1).unwrap();
        let state = cluster.state();
        state.history_key().unwrap().sealed.clone()
    };
    let first = key();
    assert_eq!(key(), first, "it stays");
    let cluster = world.up(2).unwrap();
    let other = Made::HistoryKey(
        cluster.sealer().seal_history_key(&strongroom_crypto_keys::seal::HistoryKey::generate()).into(),
    );
    cluster.ask(Actor::Hsm, Command::MakeHistoryKey, other.clone()).unwrap();
    assert_eq!(cluster.state().history_key().unwrap().sealed, first);
    let refused = cluster.ask(cluster.admin(), Command::MakeHistoryKey, other).unwrap_err();
    assert!(
        matches!(refused, super::super::ChangeError::Refused(refusal) if refusal.status == Status::RoleNotPermitted)
    );
}

/// As many keys as the larger type allows, each of the size of an RSA-4096 private key.
#[test]
fn a_full_cluster_is_cloned_in_seconds() {
    let (world, clone, key) = story();
    let setup = world.setup(1);
    let root_key = RootKey::read(&setup.root_key).unwrap();
    let loaded = OfflineDatabase::open(&setup.store).unwrap().load().unwrap();
    let keys = Keys::open(&root_key, &setup.cluster_id, &loaded).unwrap();
    let (sealer, revision) = (keys.sealer(), loaded.revision.next());
    let view = View::load(&sealer, keys.epoch, &loaded).unwrap();
    let one = view.state().key(key).unwrap();
    let numbers = 1..=u64::try_from(HSM2M_KEYS_MAX - 1).unwrap();
    let more = numbers.map(|number| {
        let reference = KeyReference::from_u64(number).unwrap();
        let sealed = sealer.seal_material(reference, &Secret::from(&[7; 2_400][..]));
        Record::Key(Key { reference, revision, sealed: Some(sealed.into()), ..Key::clone(one) })
    });
    let batch = Batch { revision, time_ms: view.head().time_ms, puts: more.collect(), deletes: Vec::new() };
    let sealed = view.seal(&sealer, &batch).unwrap().unwrap();
    let stored = |(path, sealed)| StoredRecord { path, revision, sealed };
    let mut records: Vec<StoredRecord> =
        loaded.records.into_iter().filter(|record| record.path != RecordPath::HEAD).collect();
    records.extend(sealed.puts.into_iter().map(stored));
    records.sort_by_key(|record| record.path);
    OfflineDatabase::open(&setup.store).unwrap().replace(&Loaded { revision, records }).unwrap();
    let began = std::time::Instant::now();
    found(&world, &clone).unwrap();
    let took = began.elapsed();
    // Nine seconds without optimisation; the bound is for machines that do much else.
    assert!(took < std::time::Duration::from_secs(180), "{took:?}");
    let cluster = up(&world, &clone).unwrap();
    assert_eq!(cluster.state().keys_len(), HSM2M_KEYS_MAX);
}

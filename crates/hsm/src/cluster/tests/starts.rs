use std::sync::{Arc, Barrier};
use std::time::Instant;

use strongroom_crypto_keys::seal::RootKey;
use strongroom_store::Store;
use strongroom_types::{ClusterId, ClusterState, RecordKind, Revision};

use super::super::{StartError, StateError};
use super::world::{Asks, LONG, Steps, World, hsm_id};

#[test]
fn the_first_member_makes_the_cluster_and_enters_itself() {
    let world = World::new();
    let (cluster, _door) = world.start(1);
    let state = cluster.state();
    let made = state.cluster().unwrap();
    assert_eq!(made.state, ClusterState::Uninitialized);
    assert_eq!((made.settings.lease_ms, made.settings.password_iterations), (10_000, 1));
    let pkcs8 = cluster.sealer().open_tls_key(&made.sealed_tls_key).unwrap();
    let request = strongroom_crypto::certificates::CertificateRequest::from_der(&made.csr_der).unwrap();
    let key = strongroom_crypto_keys::PrivateKey::from_pkcs8(&pkcs8).unwrap();
    assert_eq!(request.public_key(), key.public());
    assert_eq!(request.subject().hsm_cluster(), Some(made.id.clone()));
    assert_eq!(state.hsms().map(|hsm| &hsm.id).collect::<Vec<_>>(), [&hsm_id(1)]);
    assert_eq!(state.hsm(&hsm_id(1)).unwrap().serial.len(), "1.0S0001-".len() + 11);
    assert_eq!(state.revision(), Revision(2));
    assert!(cluster.serving().is_ok());
    assert_eq!(cluster.members().into_iter().collect::<Vec<_>>(), [hsm_id(1)]);
}

#[test]
fn members_that_start_at_once_on_an_empty_store_share_one_cluster() {
    const MEMBERS: u8 = 4;
    let world = World::new();
    let barrier = Barrier::new(usize::from(MEMBERS));
    let members: Vec<_> = std::thread::scope(|scope| {
        let start = |number| {
            let (world, barrier) = (&world, &barrier);
            scope.spawn(move || {
                barrier.wait();
                world.start(number)
            })
        };
        let threads: Vec<_> = (1..=MEMBERS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let keys = world.store.load().unwrap().records;
    assert_eq!(keys.iter().filter(|record| record.path.kind == RecordKind::ClusterKey).count(), 1);
    assert_eq!(world.said.all().iter().filter(|text| text.starts_with("made cluster-")).count(), 1);
    for (cluster, _door) in &members {
        cluster.freshen(Instant::now() + LONG).unwrap();
        assert_eq!(cluster.state().hsms().count(), usize::from(MEMBERS));
        assert_eq!(**cluster.state(), **members[0].0.state());
        assert_eq!(cluster.members().len(), usize::from(MEMBERS));
    }
}

#[test]
fn a_member_that_starts_again_finds_all_that_was_acknowledged() {
    let world = World::new();
    let (first, door) = world.start(1);
    first.activate();
    first.create_user("alice").unwrap();
    first.create_user("bob").unwrap();
    first.delete_user("bob").unwrap();
    let before = Arc::clone(&first.state());
    first.stop();
    drop((first, door));
    let (again, _door) = world.start(1);
    assert_eq!(**again.state(), *before);
    assert!(again.has_user("alice") && !again.has_user("bob"));
    again.create_user("carol").unwrap();
}

#[test]
fn nothing_of_a_record_lies_in_the_store_in_clear() {
    let world = World::new();
    let (cluster, _door) = world.start(1);
    cluster.activate();
    cluster.create_user("alice-in-clear").unwrap();
    for record in world.store.load().unwrap().records {
        let clear = |text: &[u8]| record.sealed.windows(text.len()).any(|window| window == text);
        assert!(!clear(b"alice-in-clear") && !clear(b"cluster-") && !clear(&[7; 64]), "{}", record.path);
    }
}

#[test]
fn the_watcher_hears_of_each_step_in_order_and_before_the_entry_shows_it() {
    let world = World::new();
    let (first, _door) = world.start(1);
    first.activate();
    let steps = Steps::default();
    let second = world.start_as(&world.setup(2), Arc::new(world.store.member()), steps.clone()).unwrap();
    let created = first.create_user("alice").unwrap();
    second.catch_up(created.revision, Instant::now() + LONG).unwrap();
    // Acknowledged: so the second member has told its watcher.
    let changed = first.delete_user("alice").unwrap();
    let steps = steps.0.lock().unwrap();
    for (one, next) in steps.iter().zip(steps.iter().skip(1)) {
        assert_eq!(one.1, next.0);
    }
    let last = &steps.last().unwrap().1;
    assert!(last.revision() >= changed.revision, "{} and {}", last.revision(), changed.revision);
    let gone = steps
        .iter()
        .any(|(before, _, changed)| changed.iter().any(|path| path.kind == RecordKind::User && before.holds(*path)));
    assert!(gone);
    assert_eq!(**second.state(), *last);
}

#[test]
fn a_wrong_root_key_is_refused() {
    let world = World::new();
    drop(world.start(1));
    let mut setup = world.setup(2);
    setup.root_key = world.path("other.key");
    let refusal = world.start_as(&setup, Arc::new(world.store.member()), Steps::default()).err().unwrap();
    assert!(matches!(refusal, StartError::RootKey(_)) && !refusal.is_state_refused(), "{refusal}");
    RootKey::create(&setup.root_key).unwrap();
    let refusal = world.start_as(&setup, Arc::new(world.store.member()), Steps::default()).err().unwrap();
    assert!(matches!(refusal, StartError::State(StateError::ClusterKey { .. })), "{refusal}");
    assert!(refusal.is_state_refused());
    assert_eq!(world.store.members().unwrap(), []);
}

#[test]
fn another_clusters_store_is_refused() {
    let world = World::new();
    drop(world.start(1));
    let mut setup = world.setup(2);
    setup.cluster_id = ClusterId::from_random([9; 7]);
    let refusal = world.start_as(&setup, Arc::new(world.store.member()), Steps::default()).err().unwrap();
    assert!(matches!(refusal, StartError::State(StateError::ClusterKey { .. })), "{refusal}");
}

#[test]
fn an_hsm_runs_once_and_an_address_is_one_hsms() {
    let world = World::new();
    let (_first, _door) = world.start(1);
    let refusal = world.start_on(1, Arc::new(world.store.member())).err().unwrap();
    assert!(matches!(refusal, StartError::Join(_)) && !refusal.is_state_refused(), "{refusal}");
    let mut setup = world.setup(2);
    setup.hsm.ip = String::from("127.0.0.1");
    let refusal = world.start_as(&setup, Arc::new(world.store.member()), Steps::default()).err().unwrap();
    assert!(matches!(refusal, StartError::Refused(_)), "{refusal}");
    assert_eq!(world.store.members().unwrap().len(), 1);
}

#[test]
fn an_hsm_with_a_new_address_changes_its_entry() {
    let world = World::new();
    drop(world.start(1));
    let mut setup = world.setup(1);
    setup.hsm.port = 2224;
    let cluster = world.start_as(&setup, Arc::new(world.store.member()), Steps::default()).unwrap();
    assert_eq!(cluster.state().hsm(&hsm_id(1)).unwrap().port, 2224);
    assert_eq!(cluster.state().hsms().count(), 1);
}

//! An older store is accepted on purpose, on the embedded store.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use strongroom_core::member::{Anchor, AnchorConflict, AnchorFound, RollbackRefusal};
use strongroom_core::{Actor, Command, Made, MadeSecret, Request, login_check};
use strongroom_crypto::random;
use strongroom_crypto_keys::seal::RootKey;
use strongroom_store::{Loaded, OfflineDatabase, SqliteError};
use strongroom_types::{KeyReference, KeyType, LoginId, RecordPath, RequestId, Revision, Role, Secret, Status};

use super::super::keys::Keys;
use super::super::rollback::{Accepted, Considered, Findings, RollbackError, Who};
use super::super::view::View;
use super::super::{AnchorError, Change, ChangeError, Changed, Cluster, Setup, StartError, StateError};
use super::world::{Asks, LONG, Steps, World, create, hsm_id, name};

const WHO: Who = Who { uid: 1_000, login_uid: Some(1_001) };
pub(super) const MATERIAL: [u8; 32] = [9; 32];

/// Stories of a cluster in files.
pub(super) trait Files {
    fn up(&self, number: u8) -> Result<Arc<Cluster>, StartError>;
    fn setups(&self, numbers: &[u8]) -> Vec<Setup>;
    fn database(&self) -> PathBuf;
    /// The database, as it is now. Nobody has it open.
    fn copy(&self) -> Vec<u8>;
    fn put_back(&self, copy: &[u8]);
}

impl Files for World {
    fn up(&self, number: u8) -> Result<Arc<Cluster>, StartError> {
        Cluster::start(&self.setup(number), Arc::clone(&self.said) as _, Box::new(Steps::default()))
    }

    fn setups(&self, numbers: &[u8]) -> Vec<Setup> {
        numbers.iter().map(|number| self.setup(*number)).collect()
    }

    fn database(&self) -> PathBuf {
        self.path("cluster.sqlite")
    }

    fn copy(&self) -> Vec<u8> {
        assert!(!self.path("cluster.sqlite-wal").exists(), "somebody has the database open");
        fs::read(self.database()).unwrap()
    }

    fn put_back(&self, copy: &[u8]) {
        fs::write(self.database(), copy).unwrap();
    }
}

pub(super) fn crypto_user(cluster: &Cluster, user: &str) -> Actor {
    let now_ms = cluster.now_ms();
    let check = login_check(&cluster.state(), &name(user), Role::CryptoUser, now_ms).unwrap();
    Actor::Login(check.login(LoginId::from_bytes(random::bytes()), now_ms))
}

pub(super) fn make_key(cluster: &Cluster, user: &str) -> KeyReference {
    let reference = KeyReference::from_u64(0x2e_06bf).unwrap();
    let sealed = cluster.sealer().seal_material(reference, &Secret::from(&MATERIAL[..])).into();
    let made = Made::Secret(MadeSecret { reference, sealed, check_value: Some([7; 3]) });
    let (key_type, length_bytes, template, share_with) = (KeyType::Aes, 32, Default::default(), Vec::new());
    let command = Command::GenerateSecret {
        key_type,
        length_bytes,
        template,
        share_with,
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    cluster.ask(crypto_user(cluster, user), command, made).unwrap();
    reference
}

/// The same request each time, as far as its client knows.
fn create_alice(cluster: &Cluster) -> Result<Changed, ChangeError> {
    let digest = cluster.sealer().command_digest(&[b"create alice"]);
    let request = Request::new(RequestId::from_bytes([7; 16]), digest);
    cluster.change(Change { request, ..create(cluster.admin(), "alice") }, Instant::now() + LONG)
}

/// A cluster of two HSMs with alice and her key; a copy of the database; then the key is deleted, and bob comes.
struct Story {
    world: World,
    key: KeyReference,
    older: Vec<u8>,
    older_at: Revision,
    newest: Vec<u8>,
    newest_at: Revision,
    ticket: Vec<u8>,
}

fn story() -> Story {
    let world = World::new();
    let (first, second) = (world.up(1).unwrap(), world.up(2).unwrap());
    first.activate();
    create_alice(&first).unwrap();
    create_alice(&first).unwrap();
    let key = make_key(&first, "alice");
    first.stop();
    second.stop();
    let older_at = first.state().revision();
    drop((first, second));
    let older = world.copy();
    let (first, second) = (world.up(1).unwrap(), world.up(2).unwrap());
    first.ask(crypto_user(&first, "alice"), Command::DeleteKey(key), Made::Nothing).unwrap();
    first.create_user("bob").unwrap();
    let newest_at = first.state().revision();
    let ticket = first.sealer().seal_ticket(b"a ticket");
    first.stop();
    second.stop();
    drop((first, second));
    let newest = world.copy();
    Story { world, key, older, older_at, newest, newest_at, ticket }
}

fn accept(world: &World, numbers: &[u8], revision: Revision) -> Result<Accepted, RollbackError> {
    Considered::open(&world.setups(numbers))?.accept(revision, WHO, 0)
}

fn findings(world: &World, numbers: &[u8]) -> Findings {
    Considered::open(&world.setups(numbers)).unwrap().findings().clone()
}

fn conflict(world: &World, number: u8) -> AnchorConflict {
    match world.up(number) {
        Err(StartError::State(StateError::Anchor(conflict))) => conflict,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it starts"),
    }
}

#[test]
fn an_older_store_serves_again_in_a_new_epoch_once_it_is_accepted() {
    let Story { world, key, older, older_at, newest, newest_at, ticket } = story();
    world.put_back(&older);
    assert_eq!(conflict(&world, 1), AnchorConflict::Older { store: older_at, anchor: newest_at });
    let found = findings(&world, &[2, 1]);
    assert!(found.is_withheld());
    assert_eq!((found.store.epoch, found.store.revision, found.keys, found.users), (1, older_at, 1, 2));
    let seen = found.hsms.iter().map(|(hsm, found)| match found {
        AnchorFound::Seen(Anchor { epoch, revision, .. }) => (hsm.clone(), *epoch, *revision),
        other => panic!("{other:?}"),
    });
    assert_eq!(seen.collect::<Vec<_>>(), [(hsm_id(1), 1, newest_at), (hsm_id(2), 1, newest_at)]);
    // Looking has changed nothing.
    assert_eq!(conflict(&world, 2), AnchorConflict::Older { store: older_at, anchor: newest_at });

    for wrong in [newest_at, Revision(older_at.0 - 1), Revision(0)] {
        let refused = accept(&world, &[1, 2], wrong).unwrap_err();
        let expected = RollbackRefusal::Revision { store: older_at, named: wrong };
        assert!(matches!(refused, RollbackError::Refused(refusal) if refusal == expected), "{refused}");
    }
    let Accepted { event, kept } = accept(&world, &[1, 2], older_at).unwrap();
    assert_eq!((event.epoch, event.revision), (2, Revision(1_000_000_000)));
    assert_eq!((event.uid, event.login_uid, event.accepted.revision), (1_000, Some(1_001), older_at));
    assert!(event.time_ms >= event.accepted_ms && event.accepted_ms > 0);
    assert_eq!(kept, world.path(&format!("cluster.sqlite.before-rollback-{older_at}")));

    let (first, second) = (world.up(1).unwrap(), world.up(2).unwrap());
    let state = first.state();
    assert!(state.revision() >= event.revision);
    assert_eq!(state.rollbacks().collect::<Vec<_>>(), [&event]);
    assert_eq!(state.cluster().unwrap().epoch, 2);
    assert!(first.has_user("alice") && !first.has_user("bob"));
    let record = state.key(key).unwrap();
    assert_eq!(record.key_epoch, 2);
    let material = first.sealer().open_material(key, record.sealed.as_ref().unwrap()).unwrap();
    assert_eq!(material.expose(), MATERIAL);
    first.sealer().open_tls_key(&state.cluster().unwrap().sealed_tls_key).unwrap();
    assert!(first.sealer().open_ticket(&ticket).is_err());
    drop(state);
    // A change that was asked for before and is asked for again does not act twice.
    match create_alice(&first) {
        Err(ChangeError::Refused(refusal)) => assert_eq!(refusal.status, Status::RequestIdReused),
        other => panic!("{other:?}"),
    }
    first.create_user("carol").unwrap();
    first.delete_user("carol").unwrap();
    drop((first, second));

    assert!(!findings(&world, &[1, 2]).is_withheld());
    let at = findings(&world, &[1, 2]).store.revision;
    let refused = accept(&world, &[1, 2], at).unwrap_err();
    assert!(matches!(refused, RollbackError::Refused(RollbackRefusal::Nothing(_))), "{refused}");

    // What was before the rollback is no way back.
    for before in [&newest, &older] {
        world.put_back(before);
        for number in [1, 2] {
            assert_eq!(conflict(&world, number), AnchorConflict::Epoch { store: 1, anchor: 2 });
        }
    }
    let third = accept(&world, &[1, 2], older_at).unwrap().event;
    assert_eq!((third.epoch, third.revision), (3, Revision(2_000_000_000)));
    let first = world.up(1).unwrap();
    assert!(first.state().key(key).is_some());
}

#[test]
fn an_hsm_that_was_not_told_starts_on_the_new_epoch_and_on_none_before_it() {
    let Story { world, older, older_at, .. } = story();
    world.put_back(&older);
    let anchor = fs::read(world.path("anchor-2")).unwrap();
    accept(&world, &[1, 2], older_at).unwrap();
    // As if the process had been killed before it wrote this one.
    fs::write(world.path("anchor-2"), anchor).unwrap();
    assert!(!findings(&world, &[1, 2]).is_withheld());
    drop(world.up(2).unwrap());
    world.put_back(&older);
    assert_eq!(conflict(&world, 2), AnchorConflict::Epoch { store: 1, anchor: 2 });
}

#[test]
fn a_lost_or_damaged_anchor_is_made_anew_by_the_same_command() {
    let Story { world, newest_at, .. } = story();
    fs::remove_file(world.path("anchor-1")).unwrap();
    fs::write(world.path("anchor-2"), [7; 5_000]).unwrap();
    assert_eq!(conflict(&world, 1), AnchorConflict::Missing);
    assert!(matches!(world.up(2), Err(StartError::Anchor(AnchorError::Damaged { .. }))));
    let found = findings(&world, &[1, 2]).hsms;
    assert_eq!(found, [(hsm_id(1), AnchorFound::Missing), (hsm_id(2), AnchorFound::Damaged)]);
    let event = accept(&world, &[1, 2], newest_at).unwrap().event;
    assert_eq!((event.epoch, event.accepted.revision, &event.found), (2, newest_at, &found));
    let (first, second) = (world.up(1).unwrap(), world.up(2).unwrap());
    assert!(first.has_user("bob"));
    first.delete_user("bob").unwrap();
    assert!(!second.has_user("bob"));
}

#[test]
fn nothing_is_looked_at_while_an_hsm_runs_or_when_one_is_left_out() {
    let Story { world, older, .. } = story();
    let running = world.up(1).unwrap();
    let refused = Considered::open(&world.setups(&[1, 2])).err().unwrap();
    assert!(matches!(refused, RollbackError::Start(StartError::Open(SqliteError::InUse { .. }))), "{refused}");
    drop(running);
    world.put_back(&older);
    let refused = Considered::open(&world.setups(&[1])).err().unwrap();
    assert!(matches!(&refused, RollbackError::LeftOut(hsm) if *hsm == hsm_id(2)), "{refused}");
    let other = World::new();
    drop(other.up(2).unwrap());
    let refused = Considered::open(&[world.setup(1), other.setup(2)]).err().unwrap();
    assert!(matches!(&refused, RollbackError::Apart { hsm, .. } if *hsm == hsm_id(2)), "{refused}");
    // An HSM that has not been a member has nothing to say.
    assert_eq!(findings(&world, &[1, 2, 3]).hsms[2], (hsm_id(3), AnchorFound::New));
}

#[test]
fn a_damaged_store_is_not_accepted() {
    let Story { world, older, older_at, .. } = story();
    world.put_back(&older);
    let records = OfflineDatabase::open(&world.setup(1).store).unwrap().load().unwrap().records;
    let mut checked = 0;
    for record in records {
        // As it lies in the file, where it is whole.
        let sealed = &record.sealed[..40];
        let Some(at) = older.windows(sealed.len()).position(|window| window == sealed) else { continue };
        let mut altered = older.clone();
        altered[at + 30] ^= 1;
        world.put_back(&altered);
        let refused = accept(&world, &[1, 2], older_at).unwrap_err();
        assert!(matches!(&refused, RollbackError::Start(error) if error.is_state_refused()), "{refused}");
        assert!(refused.to_string().contains(&record.path.to_string()), "{}: {refused}", record.path);
        checked += 1;
        assert!(!world.path(&format!("cluster.sqlite.before-rollback-{older_at}")).exists());
    }
    assert!(checked >= 4, "{checked}");
    world.put_back(&older);
    accept(&world, &[1, 2], older_at).unwrap();
}

#[test]
fn no_record_of_an_earlier_epoch_is_taken_for_one_of_a_later() {
    let Story { world, older, older_at, .. } = story();
    world.put_back(&older);
    let setups = world.setups(&[1, 2]);
    let root_key = RootKey::read(&setups[0].root_key).unwrap();
    let load = || OfflineDatabase::open(&setups[0].store).unwrap().load().unwrap();
    let before = load();
    accept(&world, &[1, 2], older_at).unwrap();
    let after = load();
    let refusal = |loaded: &Loaded| {
        let keys = Keys::open(&root_key, &setups[0].cluster_id, loaded);
        keys.and_then(|keys| View::load(&keys.sealer(), keys.epoch, loaded)).err()
    };
    assert!(refusal(&before).is_none() && refusal(&after).is_none());
    assert_eq!(after.records.len(), before.records.len() + 1);
    let mut checked = 0;
    for old in &before.records {
        let at = after.records.iter().position(|record| record.path == old.path).unwrap();
        assert_ne!(after.records[at].sealed, old.sealed);
        for revision in [old.revision, after.records[at].revision] {
            let mut mixed = after.clone();
            mixed.records[at].sealed.clone_from(&old.sealed);
            mixed.records[at].revision = revision;
            let refusal = refusal(&mixed).unwrap_or_else(|| panic!("{} of before unnoticed", old.path));
            // With the older cluster key's record nothing of the new epoch opens.
            let is_named = refusal.to_string().contains(&old.path.to_string());
            assert!(is_named || old.path == RecordPath::CLUSTER_KEY, "{}: {refusal}", old.path);
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}

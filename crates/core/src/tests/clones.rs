//! What a clone begins with.

use strongroom_types::{
    ClusterId, ClusterMode, ClusterState, HsmType, KeyReference, RecordKind, Revision, Role, Status,
};

use super::world::{P256, World, hsm, install, name};
use crate::{Actor, CloneRefusal, Command, Key, Lock, Made, Record, State, User, check_clone, key_view};

/// Users of every sort, a key of every class, and everything that stays behind.
fn origin() -> (World, KeyReference) {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    for user in ["bob", "gone"] {
        world.create(user, Role::CryptoUser).unwrap();
    }
    world.done(&Actor::Hsm, &Command::RegisterHsm(hsm(1)), &Made::Nothing).unwrap();
    let shared = world.aes_reference(&alice, &["bob", "gone"]);
    world.pair(&alice, &P256);
    let admin = world.admin();
    world.done(&admin, &Command::DeleteUser { name: name("gone"), role: Role::CryptoUser }, &Made::Nothing).unwrap();
    world.done(&alice, &Command::Logout, &Made::Nothing).unwrap();
    let bob = world.state.user_named(&name("bob")).unwrap();
    let (user, credential) = (bob.id, bob.credential.as_ref().unwrap().id);
    for _ in 0..5 {
        world.done(&Actor::Hsm, &Command::LoginFailed { user, credential }, &Made::Nothing).unwrap();
    }
    (world, shared)
}

fn users(state: &State) -> Vec<User> {
    state.users().cloned().collect()
}

/// Without what differs from store to store.
fn keys(state: &State) -> Vec<Key> {
    let known = |key: &Key| key.shared.iter().copied().filter(|user| state.user(*user).is_some()).collect();
    let plain = |key: &Key| Key { revision: Revision(0), key_epoch: 0, shared: known(key), ..key.clone() };
    state.keys().map(|key| plain(key)).collect()
}

#[test]
fn a_clone_has_the_users_and_keys_and_nothing_of_what_happened() {
    let (mut world, shared) = origin();
    let gone = *world.state.key(shared).unwrap().shared.iter().find(|id| world.state.user(**id).is_none()).unwrap();
    let mut clone = world.cloned(HsmType::Hsm2mMedium).unwrap();
    assert_eq!(users(&clone.state), users(&world.state));
    assert_eq!(keys(&clone.state), keys(&world.state));
    assert!(!clone.state.key(shared).unwrap().shared.contains(&gone));
    assert_eq!(clone.state.user_named(&name("bob")).unwrap().lock, Lock::Locked);
    assert_eq!(clone.state.history_key(), world.state.history_key());
    let kinds = |kind: RecordKind, state: &State| match kind {
        RecordKind::Hsm => state.hsms().count(),
        RecordKind::Receipt => state.receipts.len(),
        RecordKind::EndedLogin => state.ended_logins.len(),
        RecordKind::Rollback => state.rollbacks().count(),
        _ => unreachable!(),
    };
    for kind in [RecordKind::Hsm, RecordKind::Receipt, RecordKind::EndedLogin] {
        assert!(kinds(kind, &world.state) > 0, "{kind:?}");
        assert_eq!(kinds(kind, &clone.state), 0, "{kind:?}");
    }
    let cluster = clone.state.cluster().unwrap();
    let began = cluster.origin.as_ref().unwrap();
    assert_eq!((&began.cluster, began.epoch), (&world.state.cluster().unwrap().id, 1));
    assert_eq!(began.revision, world.state.revision());
    assert_eq!((cluster.state, cluster.certificate_pem.as_str()), (ClusterState::Uninitialized, ""));
    // Nobody uses it before it has its certificate; then its admins are there at once, and nobody else can become one.
    let admin = world.admin();
    let create = Command::CreateUser { name: name("carol"), role: Role::CryptoUser };
    let made = clone.made_user();
    assert_eq!(clone.done(&admin, &create, &made), Err(Status::WrongClusterState));
    clone.done(&Actor::Appliance, &install(), &Made::Nothing).unwrap();
    assert_eq!(clone.state.cluster().unwrap().state, ClusterState::Active);
    let credential = clone.credential();
    let activated = clone.done(&Actor::Anonymous, &Command::Activate, &Made::Password(credential));
    assert_eq!(activated, Err(Status::WrongClusterState));
    let (admin, alice) = (clone.admin(), clone.login("alice", Role::CryptoUser));
    clone.done(&admin, &create, &made).unwrap();
    assert_eq!(key_view(&clone.state, &alice, shared, clone.now_ms).unwrap().shared_with, [name("bob")]);
    assert!(world.state.user_named(&name("carol")).is_none(), "from here on each goes its own way");
}

#[test]
fn a_clone_of_a_clone_shares_the_same_history() {
    let (world, _) = origin();
    let first = World::clone_of(&world);
    let second = first.cloned(HsmType::Hsm2mMedium);
    // Ids of clusters are drawn by whoever makes them; here both clones have the same.
    let itself = first.state.cluster().unwrap().id.clone();
    assert_eq!(second.err(), Some(CloneRefusal::Itself(itself)));
    assert_eq!(first.state.history_key(), world.state.history_key());
}

#[test]
fn what_is_no_beginning_for_a_clone_is_refused() {
    let id = ClusterId::from_random([2; 7]);
    let check = |world: &World, mode, hsm_type, expected: Option<CloneRefusal>| {
        assert_eq!(check_clone(&world.state, (&id, mode, hsm_type)).err(), expected);
    };
    let (fips, non_fips) = (ClusterMode::Fips, ClusterMode::NonFips);
    let (hsm1, hsm2m) = (HsmType::Hsm1Medium, HsmType::Hsm2mMedium);
    let world = World::active();
    let cluster = world.state.cluster().unwrap().id.clone();
    check(&world, non_fips, hsm2m, None);
    check(&world, fips, hsm2m, Some(CloneRefusal::Mode { cluster: cluster.clone(), found: non_fips }));
    check(&world, non_fips, hsm1, Some(CloneRefusal::Type { cluster: cluster.clone() }));
    check(&World::of(hsm1, fips), fips, hsm1, None);
    check(&World::of(hsm1, fips), fips, hsm2m, None);
    let not_active = |state| Some(CloneRefusal::NotActive { cluster: cluster.clone(), state });
    check(&World::uninitialized(), non_fips, hsm2m, not_active(ClusterState::Uninitialized));
    check(&World::initialized(), non_fips, hsm2m, not_active(ClusterState::Initialized));
    let mut older = World::active();
    older.state.history_key = None;
    check(&older, non_fips, hsm2m, Some(CloneRefusal::NoHistoryKey(cluster.clone())));
}

#[test]
fn a_cluster_of_before_history_keys_is_given_one_and_keeps_it() {
    let mut world = World::active();
    let kept = world.state.history_key().cloned();
    let make = |number: u8| Made::HistoryKey([number; 61].as_slice().into());
    world.done(&Actor::Hsm, &Command::MakeHistoryKey, &make(1)).unwrap();
    assert_eq!(world.state.history_key().cloned(), kept);
    world.forget_history_key();
    world.done(&Actor::Hsm, &Command::MakeHistoryKey, &make(1)).unwrap();
    world.done(&Actor::Hsm, &Command::MakeHistoryKey, &make(2)).unwrap();
    assert_eq!(world.state.history_key().unwrap().sealed.as_ref(), [1; 61]);
    let removed = crate::Batch {
        revision: world.state.revision().next(),
        time_ms: world.now_ms,
        puts: Vec::new(),
        deletes: vec![strongroom_types::RecordPath::HISTORY_KEY],
    };
    assert!(crate::apply(&mut world.state, &removed).is_err(), "it never goes");
    let admin = world.admin();
    assert_eq!(world.done(&admin, &Command::MakeHistoryKey, &make(3)), Err(Status::RoleNotPermitted));
    assert!(matches!(
        Record::HistoryKey(crate::HistoryKey { sealed: [1].as_slice().into() }).path().kind,
        RecordKind::HistoryKey
    ));
}

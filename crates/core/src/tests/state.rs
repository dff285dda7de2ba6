use strongroom_types::{RecordPath, Revision, Role, Status, UserId};

use super::world::{HOUR, P256, World, name};
use crate::{
    Batch, Command, CorruptState, Draft, Effect, Key, Made, PLANNED_RECORDS_MAX, Plan, PlanError, Record, Reply, State,
    User, apply,
};

fn batch(world: &World, puts: Vec<Record>, deletes: Vec<RecordPath>) -> Batch {
    Batch { revision: world.state.revision().next(), time_ms: world.now_ms, puts, deletes }
}

/// Refused, and the state is left as it was.
fn corrupt(world: &World, batch: &Batch) -> CorruptState {
    let mut state = world.state.clone();
    let error = apply(&mut state, batch).unwrap_err();
    assert_eq!(state, world.state);
    error
}

#[test]
fn records_that_cannot_stand_together_are_refused() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let key = world.aes_reference(&alice, &[]);
    let key = world.state.key(key).unwrap().as_ref().clone();
    let user = world.state.user_named(&name("alice")).unwrap().as_ref().clone();
    let next = world.state.revision().next();
    let fresh = Key { revision: next, ..key.clone() };
    let past = Batch { revision: world.state.revision(), ..batch(&world, vec![Record::User(user.clone())], vec![]) };
    assert!(matches!(corrupt(&world, &past), CorruptState::Order { .. }));
    let twice = batch(&world, vec![Record::User(user.clone()), Record::User(user.clone())], vec![]);
    assert_eq!(corrupt(&world, &twice), CorruptState::Twice(User::path_of(user.id)));
    let both = batch(&world, vec![Record::Key(fresh.clone())], vec![Key::path_of(key.reference)]);
    assert_eq!(corrupt(&world, &both), CorruptState::Twice(Key::path_of(key.reference)));
    for path in [RecordPath::CLUSTER, RecordPath::CLUSTER_KEY, RecordPath::HEAD] {
        assert_eq!(corrupt(&world, &batch(&world, vec![], vec![path])), CorruptState::Lasting(path));
    }
    let same_name = User { id: UserId::from_bytes([9; 16]), ..user.clone() };
    assert_eq!(
        corrupt(&world, &batch(&world, vec![Record::User(same_name)], vec![])),
        CorruptState::Name(name("alice"))
    );
    let orphan = Key { owner: UserId::from_bytes([9; 16]), ..fresh.clone() };
    assert_eq!(corrupt(&world, &batch(&world, vec![Record::Key(orphan)], vec![])), CorruptState::Owner(key.reference));
    let admins = Key { owner: world.state.user_named(&name("admin")).unwrap().id, ..fresh };
    assert_eq!(corrupt(&world, &batch(&world, vec![Record::Key(admins)], vec![])), CorruptState::Owner(key.reference));
    let gone = batch(&world, vec![], vec![User::path_of(user.id)]);
    assert_eq!(corrupt(&world, &gone), CorruptState::OwnerGone(user.id));
    let both_gone = batch(&world, vec![], vec![User::path_of(user.id), Key::path_of(key.reference)]);
    assert!(apply(&mut world.state.clone(), &both_gone).is_ok());
    for revision in [Revision(0), world.state.revision(), Revision(next.0 + 1)] {
        let other = batch(&world, vec![Record::Key(Key { revision, ..key.clone() })], vec![]);
        let expected = CorruptState::KeyRevision { reference: key.reference, revision };
        assert_eq!(corrupt(&world, &other), expected);
    }
    let mut empty = State::empty();
    let no_cluster = Batch { revision: Revision(1), time_ms: 0, puts: vec![Record::User(user)], deletes: vec![] };
    assert_eq!(apply(&mut empty, &no_cluster), Err(CorruptState::NoCluster));
}

#[test]
fn nothing_at_the_same_revision_is_nothing_and_absent_deletions_are_none() {
    let mut world = World::active();
    let same = Batch { revision: world.state.revision(), time_ms: 0, puts: vec![], deletes: vec![] };
    let before = world.state.clone();
    apply(&mut world.state, &same).unwrap();
    assert_eq!(world.state, before);
    let absent = batch(&world, vec![], vec![User::path_of(UserId::from_bytes([9; 16]))]);
    apply(&mut world.state, &absent).unwrap();
    assert_eq!(world.state.users_len(), before.users_len());
    assert_eq!(world.state.revision(), absent.revision);
}

#[test]
fn several_revisions_in_one_step_give_the_same_state() {
    let mut world = World::active();
    let start = world.state.clone();
    let (alice, admin) = (world.crypto_user("alice"), world.admin());
    world.aes_reference(&alice, &[]);
    let (public, _) = world.pair(&alice, &P256);
    world.done(&alice, &Command::DeleteKey(public), &Made::Nothing).unwrap();
    let made = Made::Password(world.credential());
    let change =
        Command::ChangePassword { name: name("alice"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    world.done(&admin, &change, &made).unwrap();
    // What a store collapses: the newest form of each record written since, and what is gone.
    let loaded = world.loaded();
    let changed = |record: &Record| !start.holds(record.path());
    let puts: Vec<Record> = loaded
        .users()
        .cloned()
        .map(Record::User)
        .chain(loaded.keys().map(|key| Record::Key(key.as_ref().clone())))
        .chain(loaded.receipts.values().map(|receipt| Record::Receipt(receipt.as_ref().clone())))
        .filter(changed)
        .collect();
    let (revision, time_ms) = (world.state.revision(), world.state.time_ms());
    let mut state = start;
    apply(&mut state, &Batch { revision, time_ms, puts, deletes: vec![Key::path_of(public)] }).unwrap();
    assert_eq!(state, world.state);
}

#[test]
fn plans_of_one_draft_see_each_other() {
    let mut world = World::active();
    let admin = world.admin();
    let mut draft = Draft::new(world.state.clone());
    let create = Command::CreateUser { name: name("alice"), role: Role::CryptoUser };
    let (made, request) = (world.made_user(), world.request());
    assert!(matches!(draft.plan(&admin, &create, &made, &request, world.now_ms), Ok(Plan::Change(_))));
    let (other, other_request) = (world.made_user(), world.request());
    let taken = draft.plan(&admin, &create, &other, &other_request, world.now_ms);
    assert!(matches!(taken, Err(PlanError::Refused(refusal)) if refusal.status == Status::UserExists));
    // A repeat within the same batch is one.
    let repeat = draft.plan(&admin, &create, &made, &request, world.now_ms);
    assert!(matches!(repeat, Ok(Plan::Replayed(replayed)) if replayed.effect == Effect::Granting));
    let delete = Command::DeleteUser { name: name("alice"), role: Role::CryptoUser };
    let delete_request = world.request();
    assert!(matches!(draft.plan(&admin, &delete, &Made::Nothing, &delete_request, world.now_ms), Ok(Plan::Change(_))));
    assert!(matches!(draft.plan(&admin, &create, &other, &other_request, world.now_ms), Ok(Plan::Change(_))));
    let batch = draft.finish();
    // The first alice never was: neither written nor deleted.
    let users: Vec<_> = batch.puts.iter().filter(|record| matches!(record, Record::User(_))).collect();
    assert_eq!((users.len(), batch.deletes.len()), (1, 0));
    world.commit(&batch);
    assert_eq!(world.loaded(), world.state);
}

#[test]
fn a_full_batch_leaves_the_rest_for_the_next() {
    let mut world = World::active();
    let admin = world.admin();
    let mut draft = Draft::new(world.state.clone());
    for number in 0..PLANNED_RECORDS_MAX {
        let (made, request) = (world.made_user(), world.request());
        let create = Command::CreateUser { name: name(&format!("user-{number}")), role: Role::CryptoUser };
        assert!(draft.plan(&admin, &create, &made, &request, world.now_ms).is_ok());
    }
    assert_eq!(draft.len(), PLANNED_RECORDS_MAX);
    let (made, request) = (world.made_user(), world.request());
    let create = Command::CreateUser { name: name("next"), role: Role::CryptoUser };
    assert_eq!(draft.plan(&admin, &create, &made, &request, world.now_ms), Err(PlanError::BatchFull));
    world.commit(&draft.finish());
    assert_eq!(
        world.again(&admin, &create, &made, &request).map(|reply| matches!(reply, Reply::User { .. })),
        Ok(true)
    );
}

#[test]
fn what_is_over_goes_as_fast_as_it_comes() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let keys: Vec<_> = (0..60).map(|_| world.aes_reference(&alice, &[])).collect();
    world.now_ms += HOUR;
    for key in keys {
        world.done(&alice, &Command::DeleteKey(key), &Made::Nothing).unwrap();
    }
    let receipts = world.state.receipts.len();
    assert!(receipts >= 60, "{receipts}");
    world.now_ms += HOUR;
    world.aes_reference(&alice, &[]);
    assert_eq!(world.state.receipts.len(), 0);
    assert_eq!(Draft::new(world.state.clone()).finish().deletes, []);
}

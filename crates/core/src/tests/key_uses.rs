//! How often a key may be used by GCM.

use strongroom_types::limits::KEY_USES_MAX;
use strongroom_types::{KeyReference, Revision, Role, Status};

use super::world::{P256, World};
use crate::{
    Actor, Command, CorruptRecord, Effect, Key, Made, Plan, Record, Reply, SourceKey, export_key, plan, uses_left,
};

fn reserve(world: &mut World, key: KeyReference, uses: u64) -> Result<u64, Status> {
    match world.done(&Actor::Hsm, &Command::ReserveUses { key, uses }, &Made::Nothing)? {
        Reply::Uses(granted) => Ok(granted),
        other => panic!("{other:?}"),
    }
}

fn reserved(world: &World, key: KeyReference) -> u64 {
    world.state.key(key).unwrap().uses_reserved
}

#[test]
fn uses_are_reserved_up_to_the_limit_and_not_beyond() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let key = world.aes_reference(&alice, &[]);
    assert_eq!((reserved(&world, key), uses_left(world.state.key(key).unwrap())), (0, KEY_USES_MAX));
    assert_eq!(reserve(&mut world, key, 65_536), Ok(65_536));
    assert_eq!(reserve(&mut world, key, KEY_USES_MAX - 65_536 - 10), Ok(KEY_USES_MAX - 65_536 - 10));
    assert_eq!(reserve(&mut world, key, 1 << 24), Ok(10), "what is left");
    assert_eq!(reserved(&world, key), KEY_USES_MAX);
    assert_eq!(reserve(&mut world, key, 1), Err(Status::KeyUsesExhausted));
    // Another key is another count.
    let other = world.aes_reference(&alice, &[]);
    assert_eq!(reserve(&mut world, other, u64::MAX), Ok(KEY_USES_MAX));
}

#[test]
fn hsms_alone_reserve_of_aes_keys_alone() {
    let mut world = World::active();
    let (alice, admin) = (world.crypto_user("alice"), world.admin());
    let key = world.aes_reference(&alice, &[]);
    let command = Command::ReserveUses { key, uses: 1 };
    for actor in [alice, admin, Actor::Appliance] {
        assert_eq!(world.done(&actor, &command, &Made::Nothing), Err(Status::RoleNotPermitted));
    }
    assert_eq!(world.done(&Actor::Anonymous, &command, &Made::Nothing), Err(Status::RoleNotPermitted));
    let (_, private) = world.pair(&alice, &P256);
    assert_eq!(reserve(&mut world, private, 1), Err(Status::KeyTypeInconsistent));
    world.done(&alice, &Command::DeleteKey(key), &Made::Nothing).unwrap();
    assert_eq!(reserve(&mut world, key, 1), Err(Status::KeyUnknown));
}

/// Two HSMs that ask at once are planned one after the other: none gets what the other has.
#[test]
fn one_reservation_counts_on_from_the_other_and_a_repeat_acts_once() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let key = world.aes_reference(&alice, &[]);
    let (before, shared) = (world.state.key(key).unwrap().as_ref().clone(), world.state.clone());
    let command = Command::ReserveUses { key, uses: 100 };
    let request = world.request();
    let planned = plan(&shared, &Actor::Hsm, &command, &Made::Nothing, &request, world.now_ms).unwrap();
    let Plan::Change(change) = planned else { panic!("{planned:?}") };
    assert_eq!(change.effect, Effect::Granting);
    let written = Key { uses_reserved: 100, revision: shared.revision().next(), ..before };
    assert_eq!(change.puts.first(), Some(&Record::Key(written)), "and nothing else of the key");
    world.again(&Actor::Hsm, &command, &Made::Nothing, &request).unwrap();
    assert_eq!((reserve(&mut world, key, 50), reserved(&world, key)), (Ok(50), 150));
    // What was committed is committed: a repeat is told so, and not how many, which are lost.
    assert_eq!(world.again(&Actor::Hsm, &command, &Made::Nothing, &request), Ok(Reply::Done));
    assert_eq!(reserved(&world, key), 150);
}

#[test]
fn the_count_goes_with_a_copy_to_a_clone_and_through_other_changes() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let key = world.aes_reference(&alice, &[]);
    reserve(&mut world, key, 1_000).unwrap();
    let original = world.state.key(key).unwrap().attributes.clone();
    let made = Made::Key(crate::MadeKey {
        reference: world.reference(),
        sealed: Some([9; 60].into()),
        public: None,
        length_bytes: original.length_bytes,
        weak: false,
        check_value: original.check_value,
    });
    let copy = Command::CopyKey { from: SourceKey::Stored(key), template: Vec::new() };
    let Reply::Key(copy) = world.done(&alice, &copy, &made).unwrap() else { panic!("another reply") };
    assert_eq!(reserved(&world, copy.reference), 1_000);
    let label = strongroom_types::AttributeName::Label;
    let value = strongroom_types::AttributeValue::Text("another".into());
    world.done(&alice, &Command::SetAttribute { key, attribute: label, value }, &Made::Nothing).unwrap();
    assert_eq!(reserved(&world, key), 1_000);

    let mut clone = World::clone_of(&world);
    assert_eq!((reserved(&clone, key), reserved(&clone, copy.reference)), (1_000, 1_000));
    // Each cluster counts on by itself, and what only differs in its count is the same key.
    reserve(&mut clone, key, 5).unwrap();
    let destination = clone.state.cluster().unwrap().id.clone();
    let (replica, sent) = export_key(&world.state, &alice, key, &destination, world.now_ms).unwrap();
    let there = clone.login("alice", Role::CryptoUser);
    let replicate = Command::ReplicateKey { replica, key: Box::new(sent) };
    assert_eq!(clone.done(&there, &replicate, &Made::Nothing), Ok(Reply::Done));
    assert_eq!(reserved(&clone, key), 1_005);
}

#[test]
fn a_record_has_a_count_that_its_key_can_have() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let aes = world.aes_reference(&alice, &[]);
    let (_, private) = world.pair(&alice, &P256);
    let check = |key: KeyReference, uses_reserved, fits: bool| {
        let key = Key { uses_reserved, ..world.state.key(key).unwrap().as_ref().clone() };
        let record = Record::Key(Key { revision: Revision(7), ..key });
        let decoded = Record::decode(record.path(), Revision(7), record.encode().expose());
        let corrupt = CorruptRecord::Field { path: record.path(), field: "uses_reserved" };
        assert_eq!(decoded, if fits { Ok(record) } else { Err(corrupt) }, "{uses_reserved}");
    };
    check(aes, 0, true);
    check(aes, KEY_USES_MAX, true);
    check(aes, KEY_USES_MAX + 1, false);
    check(aes, u64::MAX, false);
    check(private, 0, true);
    check(private, 1, false);
}

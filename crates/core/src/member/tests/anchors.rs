use strongroom_types::{Revision, Role};

use crate::member::{Anchor, AnchorConflict, revokes};
use crate::tests::mtls::register;
use crate::tests::world::{HOUR, P256, World, hsm, install, name};
use crate::{Actor, Command, Draft, Made};

#[test]
fn a_store_that_is_not_the_one_seen_is_refused() {
    let anchor = |epoch, revision, digest| Anchor { epoch, revision: Revision(revision), head_digest: [digest; 32] };
    let seen = anchor(1, 7, 0xa);
    let check = |newest: Anchor, expected: Result<(), AnchorConflict>| {
        assert_eq!(Anchor::check(Some(&seen), &newest, true), expected, "{newest:?}");
        assert_eq!(Anchor::check(Some(&seen), &newest, false), expected, "{newest:?}");
    };
    check(anchor(1, 7, 0xa), Ok(()));
    check(anchor(1, 8, 0xb), Ok(()));
    check(anchor(1, 7, 0xb), Err(AnchorConflict::Other(Revision(7))));
    check(anchor(1, 6, 0xa), Err(AnchorConflict::Older { store: Revision(6), anchor: Revision(7) }));
    // A later epoch began with a rollback that was accepted, whatever its numbers.
    check(anchor(2, 8, 0xb), Ok(()));
    check(anchor(2, 6, 0xb), Ok(()));
    assert_eq!(Anchor::check(None, &seen, false), Ok(()));
    assert_eq!(Anchor::check(None, &seen, true), Err(AnchorConflict::Missing));
}

/// Whether the change's batch must be anchored before it is shown; the world moves on by it.
fn must_anchor(world: &mut World, actor: &Actor, command: &Command, made: &Made) -> bool {
    let request = world.request();
    let mut draft = Draft::new(world.state.clone());
    draft.plan(actor, command, made, &request, world.now_ms).unwrap();
    let batch = draft.finish();
    let must = revokes(&world.state, &batch.puts, &batch.deletes);
    world.commit(&batch);
    must
}

#[test]
fn what_takes_something_away_is_told_from_what_only_grants() {
    let mut world = World::uninitialized();
    let check = |world: &mut World, actor: Actor, command: Command, made: Made, expected: bool| {
        assert_eq!(must_anchor(world, &actor, &command, &made), expected, "{command:?}");
    };
    check(&mut world, Actor::Hsm, Command::RegisterHsm(hsm(1)), Made::Nothing, false);
    check(&mut world, Actor::Hsm, Command::RegisterHsm(crate::Hsm { port: 9, ..hsm(1) }), Made::Nothing, true);
    check(&mut world, Actor::Appliance, install(), Made::Nothing, true);
    let made = Made::Password(world.credential());
    check(&mut world, Actor::Anonymous, Command::Activate, made, true);
    let (admin, made) = (world.admin(), world.made_user());
    let create = Command::CreateUser { name: name("bob"), role: Role::CryptoUser };
    check(&mut world, admin, create, made, false);
    check(&mut world, admin, register(1), Made::Nothing, false);
    let reference = "1".parse().unwrap();
    check(&mut world, admin, Command::DeregisterTrustAnchor(reference), Made::Nothing, true);
    let alice = world.crypto_user("alice");
    let pair = Command::GeneratePair {
        algorithm: P256,
        public_template: Vec::new(),
        private_template: Vec::new(),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let made = world.made_pair(&P256);
    check(&mut world, alice, pair.clone(), made, false);
    let key = world.aes_reference(&alice, &[]);
    check(&mut world, alice, Command::DeleteKey(key), Made::Nothing, true);
    let made = Made::Password(world.credential());
    let change =
        Command::ChangePassword { name: name("bob"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    check(&mut world, admin, change, made, true);
    let bob = world.state.user_named(&name("bob")).unwrap();
    let failed = Command::LoginFailed { user: bob.id, credential: bob.credential.as_ref().unwrap().id };
    check(&mut world, Actor::Hsm, failed, Made::Nothing, true);
    check(&mut world, alice, Command::Logout, Made::Nothing, true);
    let delete = Command::DeleteUser { name: name("bob"), role: Role::CryptoUser };
    check(&mut world, admin, delete, Made::Nothing, true);
    // Removing what is over takes nothing away.
    world.now_ms += HOUR;
    let alice = world.login("alice", Role::CryptoUser);
    let made = world.made_pair(&P256);
    assert!(!world.state.receipts.is_empty());
    check(&mut world, alice, pair, made, false);
    assert!(world.state.receipts.is_empty());
    assert!(!revokes(&world.state, &[], &[]));
}

//! Quorum and MFA in a clone, and what must be approved before a clone's users are taken in.

use strongroom_types::{CredentialId, KeyQuorum, QuorumService, Role, Status};

use super::super::world::{World, name};
use super::{key, subject, three_admins};
use crate::{Actor, Credential, Key, Made, Replica, User, export_key, export_user};

fn cluster(world: &World) -> strongroom_types::ClusterId {
    world.state.cluster().unwrap().id.clone()
}

fn exported(world: &mut World, user: &str, to: &World) -> (Replica, User) {
    let admin = world.login("admin", Role::Admin);
    let who = (&name(user), Role::CryptoUser);
    export_user(&world.state, &admin, who, &cluster(to), world.now_ms).unwrap()
}

fn taking(to: &mut World, (replica, user): (Replica, User)) -> (crate::Command, Made) {
    let id = CredentialId::from_bytes(to.draw());
    let credential = Credential { id, ..user.credential.clone().unwrap() };
    let made = Made::User { id: user.id, credential };
    (crate::Command::ReplicateUser { replica, user: Box::new(user) }, made)
}

#[test]
fn a_clone_asks_for_the_same_approvals_by_the_same_keys() {
    let (mut world, admins) = three_admins(2, 2);
    let token = world.token(&admins[0], subject(QuorumService::User)).unwrap();
    let mut clone = World::clone_of(&world);
    assert_eq!(clone.state.quorum_values().of(QuorumService::User), 2);
    assert_eq!(clone.state.quorum_values().of(QuorumService::Quorum), 2);
    assert!(clone.state.quorum_token(token).is_none(), "tokens are of logins, and stay");
    let admin = clone.login("admin", Role::Admin);
    let create = crate::Command::CreateUser { name: name("dan"), role: Role::CryptoUser };
    let made = clone.made_user();
    assert_eq!(clone.done(&admin, &create, &made), Err(Status::QuorumRequired));
    // What was approved there is approved nowhere else.
    let two = [("bea", 2), ("cyd", 3)];
    assert!(clone.approved(&admin, &create, &made, (token, &two)).is_err());
    let token = clone.token(&admin, subject(QuorumService::User)).unwrap();
    clone.approved(&admin, &create, &made, (token, &two)).unwrap();
}

#[test]
fn a_user_of_a_clone_is_taken_in_as_one_is_made_with_approvals() {
    let (mut world, _) = three_admins(2, 1);
    let mut clone = World::clone_of(&world);
    // In the clone somebody is admin alone.
    let admin = clone.login("admin", Role::Admin);
    let token = clone.token(&admin, subject(QuorumService::User)).unwrap();
    let create = crate::Command::CreateUser { name: name("mallory"), role: Role::CryptoUser };
    let made = clone.made_user();
    clone.approved(&admin, &create, &made, (token, &[("admin", 1), ("bea", 2)])).unwrap();
    let exported = exported(&mut clone, "mallory", &world);
    let (command, made) = taking(&mut world, exported);
    let admin = world.login("admin", Role::Admin);
    assert_eq!(world.done(&admin, &command, &made), Err(Status::QuorumRequired));
    assert!(world.state.user_named(&name("mallory")).is_none());
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    assert_eq!(world.approved(&admin, &command, &made, (token, &[("bea", 2)])), Err(Status::QuorumRequired));
    world.approved(&admin, &command, &made, (token, &[("bea", 2), ("cyd", 3)])).unwrap();
    assert!(world.state.quorum_token(token).is_none(), "it went with the change");
    assert!(world.state.user_named(&name("mallory")).is_some());
}

#[test]
fn the_keys_of_a_user_go_along_and_another_key_is_a_difference() {
    let mut world = World::active();
    let mut clone = World::clone_of(&world);
    world.approving_user("alice", 7);
    let alice = exported(&mut world, "alice", &clone);
    let (command, made) = taking(&mut clone, alice);
    let admin = clone.login("admin", Role::Admin);
    clone.done(&admin, &command, &made).unwrap();
    assert_eq!(clone.state.user_named(&name("alice")).unwrap().quorum_key, Some(key(7)));
    clone.done(&admin, &command, &made).unwrap();
    let alice = world.login("alice", Role::CryptoUser);
    world.register(&alice, 8).unwrap();
    let alice = exported(&mut world, "alice", &clone);
    let (command, made) = taking(&mut clone, alice);
    assert_eq!(clone.done(&admin, &command, &made), Err(Status::UserReplicaConflict));
    assert_eq!(clone.state.user_named(&name("alice")).unwrap().quorum_key, Some(key(7)));
}

#[test]
fn a_key_keeps_its_values_and_has_users_enough_for_them() {
    let mut world = World::active();
    let owner = world.approving_user("alice", 7);
    world.approving_user("bob", 8);
    let mut clone = World::clone_of(&world);
    let quorum = KeyQuorum { manage: 2, usage: 2 };
    let reference = world.quorum_key(&owner, &["bob"], quorum).unwrap();
    let admin = world.admin();
    let export = |actor: &Actor| export_key(&world.state, actor, reference, &cluster(&clone), world.now_ms);
    // In a clone others may answer for those who approve.
    assert_eq!(export(&owner).unwrap_err().status, Status::RoleNotPermitted);
    let (replica, key) = export(&admin).unwrap();
    let there = clone.admin();
    let take = |key: Key| crate::Command::ReplicateKey { replica: replica.clone(), key: Box::new(key) };
    // As no HSM seals it: fewer users than must approve.
    let alone = Key { shared: std::collections::BTreeSet::new(), ..key.clone() };
    assert_eq!(clone.done(&there, &take(alone), &Made::Nothing), Err(Status::QuorumValueInvalid));
    clone.done(&there, &take(key.clone()), &Made::Nothing).unwrap();
    assert_eq!(clone.state.key(reference).unwrap().quorum, quorum);
    // Other values are another key.
    let other = Key { quorum: KeyQuorum { manage: 0, usage: 0 }, ..key };
    assert_eq!(clone.done(&there, &take(other), &Made::Nothing), Err(Status::KeyReplicaConflict));
    let unshare = crate::Command::UnshareKey { key: reference, name: name("bob"), role: Role::CryptoUser };
    let there = clone.login("alice", Role::CryptoUser);
    assert_eq!(clone.done(&there, &unshare, &Made::Nothing), Err(Status::QuorumTooFew));
}

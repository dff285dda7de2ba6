//! Keys and users that go from a cluster to a clone of it.

use strongroom_types::limits::{CLOCK_OFF_MS_MAX, REPLICA_SECONDS};
use strongroom_types::{
    AttributeName, AttributeValue, Capacity, ClusterId, ClusterMode, CredentialId, Flag, HsmType, KeyReference, Role,
    Status, Template, UserId,
};

use super::world::{P256, SECOND, World, name};
use crate::{
    Actor, Batch, Cluster, Command, CorruptReplica, Credential, Key, Lock, Made, Record, Replica, Replicated, Reply,
    User, export_key, export_user, login_stands,
};

const REPLICA_MS: u64 = REPLICA_SECONDS * SECOND;

/// A cluster with alice and bob, and its clone.
fn clusters() -> (World, World) {
    let mut world = World::active();
    for user in ["alice", "bob"] {
        world.create(user, Role::CryptoUser).unwrap();
    }
    let clone = World::clone_of(&world);
    (world, clone)
}

fn id_of(world: &World) -> ClusterId {
    world.state.cluster().unwrap().id.clone()
}

fn alice(world: &mut World) -> Actor {
    world.login("alice", Role::CryptoUser)
}

fn export(from: &World, actor: &Actor, key: KeyReference, to: &World) -> Result<(Replica, Key), Status> {
    export_key(&from.state, actor, key, &id_of(to), from.now_ms).map_err(|refusal| refusal.status)
}

fn take(to: &mut World, actor: &Actor, (replica, key): (Replica, Key)) -> Result<Reply, Status> {
    to.done(actor, &Command::ReplicateKey { replica, key: Box::new(key) }, &Made::Nothing)
}

/// From one to the other, by the same user.
fn replicate(from: &mut World, to: &mut World, user: (&str, Role), key: KeyReference) -> Result<Reply, Status> {
    let (here, there) = (from.login(user.0, user.1), to.login(user.0, user.1));
    let exported = export(from, &here, key, to)?;
    take(to, &there, exported)
}

fn export_of(from: &mut World, user: &str, role: Role, to: &World) -> Result<(Replica, User), Status> {
    let admin = from.admin();
    let exported = export_user(&from.state, &admin, (&name(user), role), &id_of(to), from.now_ms);
    exported.map_err(|refusal| refusal.status)
}

fn take_user(to: &mut World, (replica, user): (Replica, User)) -> Result<Reply, Status> {
    let (admin, id) = (to.admin(), CredentialId::from_bytes(to.draw()));
    let credential = Credential { id, ..user.credential.clone().unwrap() };
    let made = Made::User { id: user.id, credential };
    to.done(&admin, &Command::ReplicateUser { replica, user: Box::new(user) }, &made)
}

fn id(world: &World, user: &str) -> UserId {
    world.state.user_named(&name(user)).unwrap().id
}

const ALICE: (&str, Role) = ("alice", Role::CryptoUser);
const ADMIN: (&str, Role) = ("admin", Role::Admin);

fn set(world: &mut World, actor: &Actor, key: KeyReference, name: AttributeName, value: AttributeValue) {
    world.done(actor, &Command::SetAttribute { key, attribute: name, value }, &Made::Nothing).unwrap();
}

#[test]
fn a_key_goes_to_a_clone_once_and_is_the_same_there() {
    let (mut world, mut clone) = clusters();
    let owner = alice(&mut world);
    let key = world.aes_reference(&owner, &["bob"]);
    let demands = AttributeValue::Template(vec![(AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true))]);
    let Ok(Reply::Key(demanding)) = world.aes(&owner, vec![(AttributeName::UnwrapTemplate, demands)], &[]) else {
        panic!("no key")
    };
    let (public, private) = world.pair(&owner, &P256);
    for reference in [key, demanding.reference, public, private] {
        assert_eq!(replicate(&mut world, &mut clone, ALICE, reference), Ok(Reply::Done));
        let (here, there) = (world.state.key(reference).unwrap(), clone.state.key(reference).unwrap());
        assert_eq!(there.revision, clone.state.revision());
        assert_eq!(Key { revision: here.revision, ..Key::clone(there) }, Key::clone(here));
        // Again it is there already, and nothing is written.
        let revision = clone.state.revision();
        assert_eq!(replicate(&mut world, &mut clone, ALICE, reference), Ok(Reply::Done));
        assert_eq!(replicate(&mut world, &mut clone, ADMIN, reference), Ok(Reply::Done));
        assert_eq!(replicate(&mut clone, &mut world, ALICE, reference), Ok(Reply::Done), "nor the other way");
        assert_eq!(clone.state.revision(), revision);
    }
    assert_eq!(clone.state.keys_len(), 4);
}

#[test]
fn one_request_acts_once_and_its_repeat_is_answered_after_the_key_is_gone() {
    let (mut world, mut clone) = clusters();
    let (here, there) = (alice(&mut world), alice(&mut clone));
    let reference = world.aes_reference(&here, &[]);
    let (replica, key) = export(&world, &here, reference, &clone).unwrap();
    let command = Command::ReplicateKey { replica: replica.clone(), key: Box::new(key) };
    let request = clone.request();
    assert_eq!(clone.again(&there, &command, &Made::Nothing, &request), Ok(Reply::Done));
    clone.done(&there, &Command::DeleteKey(reference), &Made::Nothing).unwrap();
    assert_eq!(clone.again(&there, &command, &Made::Nothing, &request), Ok(Reply::Done));
    assert!(clone.state.key(reference).is_none(), "a repeat brings nothing back");
    let other = crate::Request { digest: [0xee; 32], ..request };
    assert_eq!(clone.again(&there, &command, &Made::Nothing, &other), Err(Status::RequestIdReused));
    // A new request does, as a new replicate would; until what was sealed runs out.
    clone.now_ms = replica.expires_ms + 1;
    assert_eq!(clone.done(&there, &command, &Made::Nothing), Err(Status::ReplicaExpired));
    clone.now_ms = replica.expires_ms;
    assert_eq!(clone.done(&there, &command, &Made::Nothing), Ok(Reply::Done));
    assert!(clone.state.key(reference).is_some());
}

#[test]
fn owners_take_their_keys_and_admins_every_key() {
    let (mut world, mut clone) = clusters();
    let owner = alice(&mut world);
    let (shared, own) = (world.aes_reference(&owner, &["bob"]), world.aes_reference(&owner, &[]));
    let (bob, admin) = (world.login("bob", Role::CryptoUser), world.admin());
    let status = |actor: &Actor, key| export(&world, actor, key, &clone).err();
    assert_eq!(status(&bob, shared), Some(Status::KeyNotOwned));
    assert_eq!(status(&bob, own), Some(Status::KeyUnknown));
    assert_eq!(status(&Actor::Anonymous, own), Some(Status::NotLoggedIn));
    assert_eq!(status(&Actor::Appliance, own), Some(Status::RoleNotPermitted));
    assert_eq!((status(&owner, own), status(&admin, own)), (None, None));
    assert_eq!(export(&world, &owner, own, &world).err(), Some(Status::NotClones), "to itself");
    // At the destination again: what alice may take out, bob may not take in.
    let (exported, by_admin) = (export(&world, &owner, own, &clone), export(&world, &admin, own, &clone));
    let bob = clone.login("bob", Role::CryptoUser);
    assert_eq!(take(&mut clone, &bob, exported.clone().unwrap()), Err(Status::ReplicaOfAnother));
    let there = clone.admin();
    assert_eq!(take(&mut clone, &there, exported.clone().unwrap()), Err(Status::ReplicaOfAnother));
    let there = alice(&mut clone);
    assert_eq!(take(&mut clone, &there, by_admin.clone().unwrap()), Err(Status::ReplicaOfAnother));
    // Two admins need not be the same one.
    clone.create("olga", Role::Admin).unwrap();
    let olga = clone.login("olga", Role::Admin);
    assert_eq!(take(&mut clone, &olga, by_admin.unwrap()), Ok(Reply::Done));
    // What was sealed for bob as asker, with a key that is not his.
    let (replica, key) = exported.unwrap();
    let forged = Replica { asker: id(&world, "bob"), ..replica };
    assert_eq!(take(&mut clone, &bob, (forged, key)), Err(Status::KeyNotOwned));
    for actor in [Actor::Anonymous, Actor::Appliance, Actor::Hsm] {
        let exported = export(&world, &owner, own, &clone).unwrap();
        assert!(take(&mut clone, &actor, exported).is_err(), "{actor:?}");
    }
}

#[test]
fn a_crypto_user_brings_no_trusted_key_along() {
    let (mut world, mut clone) = clusters();
    let (owner, admin) = (alice(&mut world), world.admin());
    let key = world.aes_reference(&owner, &[]);
    set(&mut world, &admin, key, AttributeName::Flag(Flag::Trusted), AttributeValue::Bool(true));
    assert_eq!(replicate(&mut world, &mut clone, ALICE, key), Err(Status::RoleNotPermitted));
    assert_eq!(replicate(&mut world, &mut clone, ADMIN, key), Ok(Reply::Done));
    assert!(clone.state.key(key).unwrap().attributes.flags.has(Flag::Trusted));
}

/// Whoever is admin of a clone may trust keys there.
#[test]
fn what_leaves_under_trusted_keys_only_is_sent_by_admins_only() {
    let (mut world, mut clone) = clusters();
    let owner = alice(&mut world);
    let key = world.aes_reference(&owner, &[]);
    assert!(export(&world, &owner, key, &clone).is_ok());
    set(&mut world, &owner, key, AttributeName::Flag(Flag::WrapWithTrusted), AttributeValue::Bool(true));
    assert_eq!(export(&world, &owner, key, &clone).err(), Some(Status::RoleNotPermitted));
    assert_eq!(replicate(&mut world, &mut clone, ADMIN, key), Ok(Reply::Done));
}

#[test]
fn what_is_here_and_differs_is_never_changed() {
    let (mut world, mut clone) = clusters();
    let owner = alice(&mut world);
    let label = |text: &str| (AttributeName::Label, AttributeValue::Text(text.into()));
    let (one, other) = (world.aes_reference(&owner, &[]), world.aes_reference(&owner, &[]));
    for key in [one, other] {
        replicate(&mut world, &mut clone, ALICE, key).unwrap();
    }
    let (attribute, value) = label("renamed");
    set(&mut world, &owner, one, attribute, value);
    let share = Command::ShareKey { key: other, name: name("bob"), role: Role::CryptoUser };
    world.done(&owner, &share, &Made::Nothing).unwrap();
    let before = clone.state.clone();
    for key in [one, other] {
        assert_eq!(replicate(&mut world, &mut clone, ALICE, key), Err(Status::KeyReplicaConflict));
        assert_eq!(replicate(&mut world, &mut clone, ADMIN, key), Err(Status::KeyReplicaConflict));
    }
    // Another key under the same reference: it was made by another request.
    let (here, there) = (alice(&mut world), alice(&mut clone));
    let (replica, mut key) = export(&world, &here, one, &clone).unwrap();
    key.attributes = clone.state.key(one).unwrap().attributes.clone();
    assert_eq!(take(&mut clone, &there, (replica.clone(), key.clone())), Ok(Reply::Done), "alike again");
    key.creation.digest = [0x77; 32];
    assert_eq!(take(&mut clone, &there, (replica, key)), Err(Status::KeyReplicaConflict));
    assert_eq!(clone.state, before);
}

#[test]
fn no_key_takes_a_certificates_reference() {
    let (mut world, mut clone) = clusters();
    let owner = alice(&mut world);
    let key = world.aes_reference(&owner, &[]);
    let reference = strongroom_types::CertificateReference::from_u64(key.as_u64()).unwrap();
    let command =
        Command::CreateCertificate { template: Box::new(super::certificates::template("in the way")), trusted: false };
    clone.done(&Actor::Anonymous, &command, &Made::Certificate { reference, check_value: [0; 3] }).unwrap();
    assert_eq!(replicate(&mut world, &mut clone, ALICE, key), Err(Status::KeyReplicaConflict));
    clone.done(&Actor::Anonymous, &Command::DeleteCertificate(reference), &Made::Nothing).unwrap();
    assert_eq!(replicate(&mut world, &mut clone, ALICE, key), Ok(Reply::Done));
}

#[test]
fn the_owner_and_everybody_who_shares_must_be_there() {
    let (mut world, mut clone) = clusters();
    let carol = world.crypto_user("carol");
    let key = world.aes_reference(&carol, &["bob"]);
    let of_alice = {
        let owner = alice(&mut world);
        world.aes_reference(&owner, &["bob", "carol"])
    };
    assert_eq!(replicate(&mut world, &mut clone, ADMIN, key), Err(Status::ReplicaUsersMissing));
    assert_eq!(replicate(&mut world, &mut clone, ALICE, of_alice), Err(Status::ReplicaUsersMissing));
    // A user of the same name is another user.
    clone.create("carol", Role::CryptoUser).unwrap();
    assert_eq!(replicate(&mut world, &mut clone, ADMIN, key), Err(Status::ReplicaUsersMissing));
    let exported = export_of(&mut world, "carol", Role::CryptoUser, &clone).unwrap();
    assert_eq!(take_user(&mut clone, exported.clone()), Err(Status::UserReplicaConflict));
    let admin = clone.admin();
    let delete = Command::DeleteUser { name: name("carol"), role: Role::CryptoUser };
    clone.done(&admin, &delete, &Made::Nothing).unwrap();
    take_user(&mut clone, exported).unwrap();
    for key in [key, of_alice] {
        assert_eq!(replicate(&mut world, &mut clone, ADMIN, key), Ok(Reply::Done));
    }
    // Who is gone is not missed.
    world
        .done(&carol, &Command::UnshareKey { key, name: name("bob"), role: Role::CryptoUser }, &Made::Nothing)
        .unwrap();
    let admin = world.admin();
    world.done(&admin, &Command::DeleteUser { name: name("bob"), role: Role::CryptoUser }, &Made::Nothing).unwrap();
    let (_, exported) = export(&world, &admin, of_alice, &clone).unwrap();
    assert_eq!(exported.shared, [id(&world, "carol")].into());
}

#[test]
fn what_was_sealed_is_good_for_its_cluster_its_time_and_its_kind_of_cluster() {
    let (mut world, mut clone) = clusters();
    let (here, there) = (alice(&mut world), alice(&mut clone));
    let reference = world.aes_reference(&here, &[]);
    let (replica, key) = export(&world, &here, reference, &clone).unwrap();
    assert_eq!(replica.expires_ms, world.now_ms + REPLICA_MS);
    let check = |clone: &World, replica: Replica, expected: Option<Status>| {
        let command = Command::ReplicateKey { replica, key: Box::new(key.clone()) };
        let request = crate::Request::new(strongroom_types::RequestId::from_bytes([0xee; 16]), [1; 32]);
        let checked = crate::check(&clone.state, &there, &command, &request, clone.now_ms);
        assert_eq!(checked.err().map(|refusal| refusal.status), expected, "{command:?}");
    };
    let now_ms = clone.now_ms;
    let at = |expires_ms| Replica { expires_ms, ..replica.clone() };
    check(&clone, replica.clone(), None);
    check(&clone, at(now_ms), None);
    check(&clone, at(now_ms - 1), Some(Status::ReplicaExpired));
    check(&clone, at(now_ms + REPLICA_MS + CLOCK_OFF_MS_MAX), None);
    check(&clone, at(now_ms + REPLICA_MS + CLOCK_OFF_MS_MAX + 1), Some(Status::ReplicaExpired));
    check(&clone, Replica { destination: id_of(&world), ..replica.clone() }, Some(Status::NotClones));
    // The clone is NON_FIPS and hsm2m.medium, and takes from everybody.
    for (mode, hsm_type) in [(ClusterMode::Fips, HsmType::Hsm1Medium), (ClusterMode::NonFips, HsmType::Hsm2mMedium)] {
        check(&clone, Replica { mode, hsm_type, ..replica.clone() }, None);
    }
    let with = |clone: &mut World, change: fn(&mut Cluster)| {
        let mut cluster = clone.state.cluster().unwrap().as_ref().clone();
        change(&mut cluster);
        let (revision, time_ms) = (clone.state.revision().next(), clone.now_ms);
        clone.commit(&Batch { revision, time_ms, puts: vec![Record::Cluster(cluster)], deletes: Vec::new() });
    };
    with(&mut clone, |cluster| cluster.mode = ClusterMode::Fips);
    check(&clone, replica.clone(), Some(Status::ReplicaUnsupported));
    check(&clone, Replica { mode: ClusterMode::Fips, ..replica.clone() }, None);
    with(&mut clone, |cluster| cluster.hsm_type = HsmType::Hsm1Medium);
    let of_fips = Replica { mode: ClusterMode::Fips, ..replica };
    check(&clone, of_fips.clone(), Some(Status::ReplicaUnsupported));
    check(&clone, Replica { hsm_type: HsmType::Hsm1Medium, ..of_fips.clone() }, None);
    with(&mut clone, |cluster| {
        cluster.hsm_type = HsmType::Hsm2mMedium;
        cluster.capacity = Some(Capacity { keys_max: 1, asymmetric_keys_max: 1, users_max: 3 });
    });
    check(&clone, of_fips.clone(), None);
    clone.aes_reference(&there, &[]);
    check(&clone, of_fips, Some(Status::KeysFull));
}

#[test]
fn a_user_goes_to_a_clone_with_the_password_and_the_lock() {
    let (mut world, mut clone) = clusters();
    world.create("carol", Role::CryptoUser).unwrap();
    world.create("olga", Role::Admin).unwrap();
    let carol = world.state.user_named(&name("carol")).unwrap().as_ref().clone();
    let (user, credential) = (carol.id, carol.credential.as_ref().unwrap().id);
    for _ in 0..5 {
        world.done(&Actor::Hsm, &Command::LoginFailed { user, credential }, &Made::Nothing).unwrap();
    }
    let exported = export_of(&mut world, "carol", Role::CryptoUser, &clone).unwrap();
    assert!(matches!(take_user(&mut clone, exported.clone()), Ok(Reply::User { user, .. }) if user.locked));
    let there = clone.state.user(user).unwrap();
    assert_eq!((there.lock, there.failures), (Lock::Locked, 5));
    let (old, new) = (carol.credential.as_ref().unwrap(), there.credential.as_ref().unwrap());
    assert_eq!((&old.hash, old.salt, old.iterations), (&new.hash, new.salt, new.iterations));
    assert_ne!(old.id, new.id);
    // Again: the same user, locked or not, is left alone.
    let revision = clone.state.revision();
    assert!(take_user(&mut clone, exported).is_ok());
    assert_eq!(clone.state.revision(), revision);
    let admin = world.admin();
    let change =
        Command::ChangePassword { name: name("carol"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    let other = Credential { salt: [9; 16], ..world.credential() };
    world.done(&admin, &change, &Made::Password(other)).unwrap();
    let exported = export_of(&mut world, "carol", Role::CryptoUser, &clone).unwrap();
    assert_eq!(take_user(&mut clone, exported), Err(Status::UserReplicaConflict), "another password");
    let exported = export_of(&mut world, "olga", Role::Admin, &clone).unwrap();
    take_user(&mut clone, exported).unwrap();
    let status = |world: &mut World, user, role| export_of(world, user, role, &clone).err();
    assert_eq!(status(&mut world, "app_user", Role::ApplianceUser), Some(Status::UserInternal));
    assert_eq!(status(&mut world, "app_user", Role::CryptoUser), Some(Status::UserInternal));
    assert_eq!(status(&mut world, "carol", Role::Admin), Some(Status::UserUnknown));
    let alice = alice(&mut world);
    let by_alice = export_user(&world.state, &alice, (&name("bob"), Role::CryptoUser), &id_of(&clone), world.now_ms);
    assert_eq!(by_alice.unwrap_err().status, Status::RoleNotPermitted);
    let alice = clone.login("alice", Role::CryptoUser);
    let (replica, user) = export_of(&mut world, "carol", Role::CryptoUser, &clone).unwrap();
    let made = Made::User { id: user.id, credential: user.credential.clone().unwrap() };
    let command = Command::ReplicateUser { replica, user: Box::new(user) };
    assert_eq!(clone.done(&alice, &command, &made), Err(Status::RoleNotPermitted));
}

#[test]
fn a_full_cluster_takes_no_user() {
    let mut world = World::of(HsmType::Hsm1Medium, ClusterMode::Fips);
    world.create("alice", Role::CryptoUser).unwrap();
    let mut clone = World::clone_of(&world);
    world.create("carol", Role::CryptoUser).unwrap();
    let most = HsmType::Hsm1Medium.capacity().users_max;
    for number in clone.state.users_len()..most {
        clone.create(&format!("user-{number}"), Role::CryptoUser).unwrap();
    }
    let exported = export_of(&mut world, "carol", Role::CryptoUser, &clone).unwrap();
    assert_eq!(take_user(&mut clone, exported.clone()), Err(Status::UsersFull));
    let admin = clone.admin();
    let last = Command::DeleteUser { name: name(&format!("user-{}", most - 1)), role: Role::CryptoUser };
    clone.done(&admin, &last, &Made::Nothing).unwrap();
    take_user(&mut clone, exported).unwrap();
}

/// A user who was deleted leaves their id on share lists, and tickets in the hands of whoever has them. Coming back by way of
/// a clone must bring neither to life again.
#[test]
fn a_user_who_comes_back_finds_nothing_of_an_earlier_life() {
    const SHARED: usize = 60;
    let (mut world, mut clone) = clusters();
    let (owner, bob) = (alice(&mut world), world.login("bob", Role::CryptoUser));
    for _ in 0..SHARED {
        world.aes_reference(&owner, &["bob"]);
    }
    let user = id(&world, "bob");
    let forget = Command::ForgetUser(user);
    assert_eq!(world.done(&Actor::Hsm, &forget, &Made::Nothing), Err(Status::UserExists), "not while they are here");
    let admin = world.admin();
    world.done(&admin, &Command::DeleteUser { name: name("bob"), role: Role::CryptoUser }, &Made::Nothing).unwrap();
    assert_eq!(world.state.shared_with(user).count(), SHARED);
    let exported = export_of(&mut clone, "bob", Role::CryptoUser, &world).unwrap();
    assert_eq!(take_user(&mut world, exported.clone()), Err(Status::Busy), "not before the lists are clean");
    for actor in [admin, owner] {
        assert_eq!(world.done(&actor, &forget, &Made::Nothing), Err(Status::RoleNotPermitted));
    }
    for left in [SHARED - 49, 0, 0] {
        world.done(&Actor::Hsm, &forget, &Made::Nothing).unwrap();
        assert_eq!(world.state.shared_with(user).count(), left);
    }
    take_user(&mut world, exported).unwrap();
    assert_eq!(id(&world, "bob"), user);
    assert_eq!(world.state.keys().filter(|key| key.is_visible_to(user)).count(), 0);
    let Actor::Login(ticket) = bob else { unreachable!() };
    assert_eq!(login_stands(&world.state, &ticket, world.now_ms).unwrap_err().status, Status::LoginEnded);
}

/// Written by hand from `docs/spec/wire.md`, where it stands as an example.
#[test]
fn the_header_of_the_document_is_read() {
    let header = "010a13636c75737465722d6162636465666768696a6b1213636c75737465722d62636465666768696a6b6c1a1106000000000000000000\
                  000000002e06bf2210d0d1d2d3d4d5d6d7d8d9dadbdcdddedf2801300138024080d095ffbc31";
    let byte = |at: usize| u8::from_str_radix(&header[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..header.len()).step_by(2).map(byte).collect();
    let expected = Replica {
        source: "cluster-abcdefghijk".parse().unwrap(),
        destination: "cluster-bcdefghijkl".parse().unwrap(),
        what: Replicated::Key(KeyReference::from_u64(0x2e06bf).unwrap()),
        asker: UserId::from_bytes(std::array::from_fn(|at| 0xd0 + u8::try_from(at).unwrap())),
        by_admin: true,
        mode: ClusterMode::Fips,
        hsm_type: HsmType::Hsm2mMedium,
        expires_ms: 1_700_000_000_000,
    };
    assert_eq!(Replica::decode(&bytes), Ok(expected));
}

#[test]
fn headers_read_back_and_nothing_else_does() {
    let (mut world, clone) = clusters();
    let owner = alice(&mut world);
    let key = world.aes(&owner, Template::new(), &[]).unwrap();
    let Reply::Key(key) = key else { unreachable!() };
    let (of_key, _) = export(&world, &owner, key.reference, &clone).unwrap();
    let (of_user, _) = export_of(&mut world, "bob", Role::CryptoUser, &clone).unwrap();
    assert_eq!((of_key.by_admin, of_user.by_admin), (false, true));
    assert_eq!(of_user.what, Replicated::User(id(&world, "bob")));
    for replica in [of_key, of_user] {
        let bytes = replica.encode();
        assert_eq!(Replica::decode(&bytes), Ok(replica.clone()));
        for len in 0..bytes.len() {
            assert_ne!(Replica::decode(&bytes[..len]), Ok(replica.clone()), "{len}");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            assert_ne!(Replica::decode(&other), Ok(replica.clone()), "byte {at}");
        }
        assert_eq!(Replica::decode(&[&bytes[..], &[0x98, 0x06, 1]].concat()), Err(CorruptReplica));
    }
}

use strongroom_types::{AttributeName, AttributeValue, Flag, KeyType, Role, Status, Template};

use super::world::{HOUR, P256, World, name};
use crate::{Actor, Checked, Command, Effect, Made, Plan, Reply, Request, check, plan, replay};

fn secret() -> Command {
    Command::GenerateSecret {
        key_type: KeyType::Aes,
        length_bytes: 32,
        template: Template::new(),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    }
}

fn pair() -> Command {
    Command::GeneratePair {
        algorithm: P256,
        public_template: Template::new(),
        private_template: Template::new(),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    }
}

/// Makes the change, then repeats it: the same answer, one revision, before and after the expensive part.
fn acts_once(world: &mut World, actor: &Actor, command: &Command, made: &Made, effect: Effect) -> Reply {
    let request = world.request();
    let first = world.again(actor, command, made, &request).unwrap();
    let revision = world.state.revision();
    assert_eq!(world.again(actor, command, made, &request).as_ref(), Ok(&first), "{command:?}");
    assert_eq!(world.state.revision(), revision);
    match check(&world.state, actor, command, &request, world.now_ms) {
        Ok(Checked::Replayed(replayed)) => assert_eq!((&replayed.reply, replayed.effect), (&first, effect)),
        other => panic!("{command:?}: {other:?}"),
    }
    let another = Request { digest: [0xaa; 32], ..request };
    let reused = world.again(actor, command, made, &another);
    // That the change ended the login, or the moment for it, is told first.
    let told = matches!(reused, Err(Status::RequestIdReused | Status::LoginEnded | Status::WrongClusterState));
    assert!(told, "{command:?}: {reused:?}");
    first
}

#[test]
fn every_change_acts_once() {
    let mut world = World::active();
    let admin = world.admin();
    let alice = world.crypto_user("alice");
    let made = world.made_user();
    let create = Command::CreateUser { name: name("bob"), role: Role::CryptoUser };
    acts_once(&mut world, &admin, &create, &made, Effect::Granting);
    let made = Made::Password(world.credential());
    let change =
        Command::ChangePassword { name: name("bob"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    acts_once(&mut world, &admin, &change, &made, Effect::Revoking);
    let delete = Command::DeleteUser { name: name("bob"), role: Role::CryptoUser };
    acts_once(&mut world, &admin, &delete, &Made::Nothing, Effect::Revoking);
    let made = world.made_secret(KeyType::Aes);
    let Reply::Key(key) = acts_once(&mut world, &alice, &secret(), &made, Effect::Granting) else { panic!() };
    let made = world.made_pair(&P256);
    acts_once(&mut world, &alice, &pair(), &made, Effect::Granting);
    world.create("carol", Role::CryptoUser).unwrap();
    let (key, user, role) = (key.reference, name("carol"), Role::CryptoUser);
    let share = Command::ShareKey { key, name: user.clone(), role };
    acts_once(&mut world, &alice, &share, &Made::Nothing, Effect::Granting);
    acts_once(&mut world, &alice, &Command::UnshareKey { key, name: user, role }, &Made::Nothing, Effect::Revoking);
    let (attribute, value) = (AttributeName::Flag(Flag::Sign), AttributeValue::Bool(false));
    let set = Command::SetAttribute { key, attribute, value };
    acts_once(&mut world, &alice, &set, &Made::Nothing, Effect::Revoking);
    acts_once(&mut world, &alice, &Command::DeleteKey(key), &Made::Nothing, Effect::Revoking);
    let made = Made::Password(world.credential());
    let own =
        Command::ChangePassword { name: name("alice"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    let reply = acts_once(&mut world, &alice, &own, &made, Effect::Revoking);
    assert!(matches!(reply, Reply::User { renewed: Some(_), .. }));
    let alice = world.login("alice", Role::CryptoUser);
    acts_once(&mut world, &alice, &Command::Logout, &Made::Nothing, Effect::Revoking);
}

#[test]
fn steps_of_the_clusters_life_act_once() {
    let mut world = World::uninitialized();
    acts_once(&mut world, &Actor::Appliance, &super::world::install(), &Made::Nothing, Effect::Granting);
    let made = Made::Password(world.credential());
    acts_once(&mut world, &Actor::Anonymous, &Command::Activate, &made, Effect::Granting);
    let register = Command::RegisterHsm(super::world::hsm(1));
    acts_once(&mut world, &Actor::Hsm, &register, &Made::Nothing, Effect::Granting);
}

#[test]
fn another_user_under_the_same_id_is_refused() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let (made, request) = (world.made_secret(KeyType::Aes), world.request());
    world.again(&alice, &secret(), &made, &request).unwrap();
    let other = world.made_secret(KeyType::Aes);
    assert_eq!(world.again(&bob, &secret(), &other, &request), Err(Status::RequestIdReused));
    let admin = world.admin();
    assert_eq!(replay(&world.state, &admin, &request, world.now_ms).unwrap_err().status, Status::RequestIdReused);
    // Another login of the same user is the same user.
    let again = world.login("alice", Role::CryptoUser);
    assert!(matches!(replay(&world.state, &again, &request, world.now_ms), Ok(Some(_))));
    let unknown = world.request();
    assert_eq!(replay(&world.state, &alice, &unknown, world.now_ms), Ok(None));
}

#[test]
fn what_was_made_and_deleted_within_the_hour_is_not_made_again() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let (made, request) = (world.made_secret(KeyType::Aes), world.request());
    let Ok(Reply::Key(key)) = world.again(&alice, &secret(), &made, &request) else { panic!() };
    world.now_ms += HOUR - 1;
    world.done(&alice, &Command::DeleteKey(key.reference), &Made::Nothing).unwrap();
    assert_eq!(world.again(&alice, &secret(), &made, &request), Err(Status::KeyUnknown));
    let (made, request) = (world.made_user(), world.request());
    let create = Command::CreateUser { name: name("bob"), role: Role::CryptoUser };
    world.again(&admin, &create, &made, &request).unwrap();
    let delete = Command::DeleteUser { name: name("bob"), role: Role::CryptoUser };
    world.done(&admin, &delete, &Made::Nothing).unwrap();
    assert_eq!(world.again(&admin, &create, &made, &request), Err(Status::UserUnknown));
    assert!(world.state.user_named(&name("bob")).is_none());
}

#[test]
fn one_half_of_a_pair_deleted_answers_that_it_is_gone() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let (made, request) = (world.made_pair(&P256), world.request());
    let Ok(Reply::Pair { public, private }) = world.again(&alice, &pair(), &made, &request) else { panic!() };
    world.done(&alice, &Command::DeleteKey(private.reference), &Made::Nothing).unwrap();
    assert_eq!(world.again(&alice, &pair(), &made, &request), Err(Status::KeyUnknown));
    world.now_ms += 2 * HOUR;
    world.create("later", Role::CryptoUser).unwrap();
    assert_eq!(world.again(&alice, &pair(), &made, &request), Err(Status::KeyUnknown));
    world.done(&alice, &Command::DeleteKey(public.reference), &Made::Nothing).unwrap();
}

#[test]
fn receipts_go_after_an_hour_and_those_of_creations_stay() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let (made, kept) = (world.made_secret(KeyType::Aes), world.request());
    let Ok(Reply::Key(key)) = world.again(&alice, &secret(), &made, &kept) else { panic!() };
    let other = world.aes_reference(&alice, &[]);
    let request = world.request();
    world.again(&alice, &Command::DeleteKey(other), &Made::Nothing, &request).unwrap();
    assert!(world.state.receipt(request.id).is_some());
    world.now_ms += HOUR - 1;
    world.create("before", Role::CryptoUser).unwrap();
    assert!(world.state.receipt(request.id).is_some());
    world.now_ms += 1;
    world.create("after", Role::CryptoUser).unwrap();
    assert!(world.state.receipt(request.id).is_none());
    assert_eq!(world.again(&alice, &Command::DeleteKey(other), &Made::Nothing, &request), Err(Status::KeyUnknown));
    let replayed = replay(&world.state, &alice, &kept, world.now_ms).unwrap().unwrap();
    assert!(matches!(replayed.reply, Reply::Key(view) if view.reference == key.reference));
    let unchanged = plan(&world.state, &admin, &secret(), &made, &kept, world.now_ms);
    assert!(!matches!(unchanged, Ok(Plan::Change(_))));
}

/// A login that has ended hears what became of the change that ended it, and nothing else: what it made and did before
/// is no business of whoever has its ticket now.
#[test]
fn a_login_that_has_ended_is_told_of_its_end_alone() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let (made, creation) = (world.made_secret(KeyType::Aes), world.request());
    let Ok(Reply::Key(key)) = world.again(&alice, &secret(), &made, &creation) else { panic!() };
    let (delete, deletion) = (Command::DeleteKey(key.reference), world.request());
    let (user_made, user_creation) = (world.made_user(), world.request());
    let create = Command::CreateUser { name: name("bob"), role: Role::CryptoUser };
    world.again(&admin, &create, &user_made, &user_creation).unwrap();
    let logout = world.request();
    world.again(&alice, &Command::Logout, &Made::Nothing, &logout).unwrap();
    world.done(&admin, &Command::Logout, &Made::Nothing).unwrap();
    assert_eq!(world.again(&alice, &Command::Logout, &Made::Nothing, &logout), Ok(Reply::Done));
    assert_eq!(world.again(&alice, &secret(), &made, &creation), Err(Status::LoginEnded));
    assert_eq!(world.again(&admin, &create, &user_made, &user_creation), Err(Status::LoginEnded));
    // The same user in another login finds both, before the key is deleted and after.
    let again = world.login("alice", Role::CryptoUser);
    assert!(matches!(world.again(&again, &secret(), &made, &creation), Ok(Reply::Key(_))));
    world.again(&again, &delete, &Made::Nothing, &deletion).unwrap();
    assert_eq!(world.again(&again, &delete, &Made::Nothing, &deletion), Ok(Reply::Done));
    assert_eq!(world.again(&alice, &delete, &Made::Nothing, &deletion), Err(Status::LoginEnded));
}

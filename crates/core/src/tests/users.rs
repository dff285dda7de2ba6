use strongroom_types::{ClusterMode, HsmType, Role, Status};

use super::world::{HOUR, World, name};
use crate::{Actor, Command, Made, Plan, PlanError, Reply, actor_of_ticket, list_users, login_stands, plan};

fn delete(user: &str, role: Role) -> Command {
    Command::DeleteUser { name: name(user), role }
}

fn change_password(user: &str, role: Role) -> Command {
    Command::ChangePassword { name: name(user), role, deregister: crate::Deregister::NONE }
}

#[test]
fn admins_make_users_and_nobody_else_does() {
    let mut world = World::active();
    let (admin, user) = (world.admin(), world.crypto_user("alice"));
    let check = |world: &mut World, actor: &Actor, expected: Option<Status>| {
        let made = world.made_user();
        let command = Command::CreateUser { name: name("new"), role: Role::CryptoUser };
        assert_eq!(world.done(actor, &command, &made).err(), expected, "{actor:?}");
    };
    check(&mut world, &Actor::Anonymous, Some(Status::NotLoggedIn));
    check(&mut world, &user, Some(Status::RoleNotPermitted));
    check(&mut world, &Actor::Hsm, Some(Status::RoleNotPermitted));
    check(&mut world, &Actor::Appliance, Some(Status::RoleNotPermitted));
    check(&mut world, &admin, None);
    check(&mut world, &admin, Some(Status::UserExists));
}

#[test]
fn a_name_is_one_users_whatever_the_role_and_the_case() {
    let mut world = World::active();
    world.create("alice", Role::CryptoUser).unwrap();
    assert_eq!(world.create("ALICE", Role::Admin), Err(Status::UserExists));
    assert_eq!(world.create("admin", Role::CryptoUser), Err(Status::UserExists));
    assert_eq!(world.create("app_user", Role::CryptoUser), Err(Status::UserExists));
    assert_eq!(world.create("bob", Role::ApplianceUser), Err(Status::UserInternal));
    assert_eq!(world.create("bob", Role::UnactivatedAdmin), Err(Status::UserInternal));
    let admin = world.admin();
    world.done(&admin, &delete("alice", Role::CryptoUser), &Made::Nothing).unwrap();
    world.create("alice", Role::Admin).unwrap();
}

#[test]
fn an_id_that_is_taken_is_drawn_again() {
    let mut world = World::active();
    world.create("alice", Role::CryptoUser).unwrap();
    let taken = world.state.user_named(&name("alice")).unwrap().id;
    let made = Made::User { id: taken, credential: world.credential() };
    let (admin, request) = (world.admin(), world.request());
    let command = Command::CreateUser { name: name("bob"), role: Role::CryptoUser };
    assert_eq!(plan(&world.state, &admin, &command, &made, &request, world.now_ms), Err(PlanError::DrawAgain));
}

#[test]
fn a_cluster_holds_as_many_users_as_its_type_allows() {
    for hsm_type in [HsmType::Hsm1Medium, HsmType::Hsm2mMedium] {
        let mut world = World::of(hsm_type, ClusterMode::Fips);
        let most = hsm_type.capacity().users_max;
        // The first admin is one of them, the cluster's own user is not.
        let admin = world.admin();
        for number in 1..most {
            let (made, request) = (world.made_user(), world.request());
            let create = Command::CreateUser { name: name(&format!("user-{number}")), role: Role::CryptoUser };
            world.again(&admin, &create, &made, &request).unwrap();
        }
        assert_eq!(world.state.users_len(), most);
        assert_eq!(world.create("one-too-many", Role::CryptoUser), Err(Status::UsersFull));
        world.done(&admin, &delete("user-1", Role::CryptoUser), &Made::Nothing).unwrap();
        world.create("room-again", Role::CryptoUser).unwrap();
    }
}

#[test]
fn deleting_has_its_rules() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let check = |world: &mut World, actor: &Actor, command: Command, expected: Option<Status>| {
        assert_eq!(world.done(actor, &command, &Made::Nothing).err(), expected, "{command:?} by {actor:?}");
    };
    check(&mut world, &alice, delete("admin", Role::Admin), Some(Status::RoleNotPermitted));
    check(&mut world, &alice, delete("alice", Role::CryptoUser), Some(Status::RoleNotPermitted));
    check(&mut world, &admin, delete("nobody", Role::CryptoUser), Some(Status::UserUnknown));
    check(&mut world, &admin, delete("alice", Role::Admin), Some(Status::UserUnknown));
    check(&mut world, &admin, delete("app_user", Role::CryptoUser), Some(Status::UserInternal));
    check(&mut world, &admin, delete("admin", Role::Admin), Some(Status::LastAdmin));
    let key = world.aes_reference(&alice, &[]);
    check(&mut world, &admin, delete("alice", Role::CryptoUser), Some(Status::UserOwnsKeys));
    check(&mut world, &alice, Command::DeleteKey(key), None);
    check(&mut world, &admin, delete("alice", Role::CryptoUser), None);
    assert_eq!(world.aes(&alice, Vec::new(), &[]), Err(Status::LoginEnded));
}

#[test]
fn the_last_admin_who_may_log_in_stays() {
    let mut world = World::active();
    world.create("second", Role::Admin).unwrap();
    let second = world.login("second", Role::Admin);
    // Locked for good, the first admin does not count.
    let first = world.state.user_named(&name("admin")).unwrap();
    let wrong = Command::LoginFailed { user: first.id, credential: first.credential.as_ref().unwrap().id };
    for _ in 0..5 {
        world.done(&Actor::Hsm, &wrong, &Made::Nothing).unwrap();
    }
    assert_eq!(world.done(&second, &delete("second", Role::Admin), &Made::Nothing), Err(Status::LastAdmin));
    world.done(&second, &delete("admin", Role::Admin), &Made::Nothing).unwrap();
    // Oneself, once there is another.
    world.now_ms += HOUR;
    let made = world.made_user();
    let command = Command::CreateUser { name: name("third"), role: Role::Admin };
    world.done(&second, &command, &made).unwrap();
    world.done(&second, &delete("second", Role::Admin), &Made::Nothing).unwrap();
    assert!(world.state.user_named(&name("third")).is_some());
}

#[test]
fn a_new_password_ends_every_login_but_ones_own_goes_on() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let elsewhere = world.login("alice", Role::CryptoUser);
    let credential = world.credential();
    let own = world.done(&alice, &change_password("alice", Role::CryptoUser), &Made::Password(credential.clone()));
    let Ok(Reply::User { renewed: Some(renewed), user }) = own else { panic!("{own:?}") };
    assert_eq!((renewed, user.name), (credential.id, name("alice")));
    let Actor::Login(login) = alice else { unreachable!() };
    let Actor::Login(other) = elsewhere else { unreachable!() };
    for ended in [login, other] {
        assert_eq!(login_stands(&world.state, &ended, world.now_ms).unwrap_err().status, Status::LoginEnded);
    }
    let goes_on = login.with_credential(renewed);
    assert!(login_stands(&world.state, &goes_on, world.now_ms).is_ok());
    let ticket = crate::Ticket::issue(&world.state, goes_on, world.now_ms).unwrap();
    assert_eq!(actor_of_ticket(&world.state, &ticket, world.now_ms), Ok(goes_on));
    // Somebody else's new password renews nothing.
    let credential = world.credential();
    let by_admin = world.done(&admin, &change_password("alice", Role::CryptoUser), &Made::Password(credential));
    assert!(matches!(by_admin, Ok(Reply::User { renewed: None, .. })), "{by_admin:?}");
    assert!(login_stands(&world.state, &goes_on, world.now_ms).is_err());
}

#[test]
fn crypto_users_change_their_own_password_and_learn_of_no_other() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    world.create("bob", Role::CryptoUser).unwrap();
    let check = |world: &mut World, actor: &Actor, user: &str, role: Role, expected: Option<Status>| {
        let made = Made::Password(world.credential());
        assert_eq!(world.done(actor, &change_password(user, role), &made).err(), expected, "{user} {role:?}");
    };
    for (user, role) in [("bob", Role::CryptoUser), ("nobody", Role::CryptoUser), ("alice", Role::Admin)] {
        check(&mut world, &alice, user, role, Some(Status::RoleNotPermitted));
    }
    check(&mut world, &admin, "nobody", Role::CryptoUser, Some(Status::UserUnknown));
    check(&mut world, &admin, "bob", Role::Admin, Some(Status::UserUnknown));
    check(&mut world, &admin, "app_user", Role::CryptoUser, Some(Status::UserInternal));
    check(&mut world, &Actor::Anonymous, "alice", Role::CryptoUser, Some(Status::NotLoggedIn));
    check(&mut world, &admin, "bob", Role::CryptoUser, None);
    check(&mut world, &alice, "alice", Role::CryptoUser, None);
}

#[test]
fn users_are_listed_by_role_then_name_to_anybody() {
    let mut world = World::active();
    for (user, role) in [("zoe", Role::CryptoUser), ("bob", Role::CryptoUser), ("zara", Role::Admin)] {
        world.create(user, role).unwrap();
    }
    let names = |actor: &Actor| {
        let users = list_users(&world.state, actor, world.now_ms).unwrap();
        users.into_iter().map(|user| user.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    let expected = ["admin", "zara", "bob", "zoe", "app_user"];
    assert_eq!(names(&Actor::Anonymous), expected);
    assert_eq!(names(&Actor::Appliance), expected);
    assert_eq!(list_users(&World::empty().state, &Actor::Anonymous, 0).unwrap_err().status, Status::WrongClusterState);
}

#[test]
fn a_plan_changes_nothing_and_is_the_same_again() {
    let mut world = World::active();
    let (admin, made, request) = (world.admin(), world.made_user(), world.request());
    let command = Command::CreateUser { name: name("alice"), role: Role::CryptoUser };
    let before = world.state.clone();
    let one = plan(&world.state, &admin, &command, &made, &request, world.now_ms);
    assert!(matches!(one, Ok(Plan::Change(_))));
    assert_eq!(plan(&world.state, &admin, &command, &made, &request, world.now_ms), one);
    assert_eq!(world.state, before);
}

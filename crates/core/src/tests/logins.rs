use strongroom_types::limits::{LAST_ADMIN_LOCK_SECONDS, LOGIN_FAILURES_MAX, TICKET_SECONDS};
use strongroom_types::{CredentialId, Role, Status};

use super::world::{DAY, HOUR, SECOND, World, name};
use crate::{
    Actor, Command, LoginActor, Made, Plan, Reply, Ticket, actor_of_ticket, list_users, login_check, login_stands, plan,
};

const TICKET: u64 = TICKET_SECONDS * SECOND;

fn tried(world: &World, user: &str) -> (strongroom_types::UserId, CredentialId) {
    let user = world.state.user_named(&name(user)).unwrap();
    (user.id, user.credential.as_ref().unwrap().id)
}

fn wrong(world: &mut World, user: &str) {
    let (user, credential) = tried(world, user);
    let command = Command::LoginFailed { user, credential };
    assert_eq!(world.done(&Actor::Hsm, &command, &Made::Nothing), Ok(Reply::Done));
}

fn right(world: &mut World, user: &str) -> Result<Reply, Status> {
    let (user, credential) = tried(world, user);
    world.done(&Actor::Hsm, &Command::LoginSucceeded { user, credential }, &Made::Nothing)
}

fn may_try(world: &World, user: &str, role: Role) -> Option<Status> {
    login_check(&world.state, &name(user), role, world.now_ms).err().map(|refusal| refusal.status)
}

fn login_of(actor: &Actor) -> LoginActor {
    match actor {
        Actor::Login(login) => *login,
        other => panic!("{other:?}"),
    }
}

fn stands(world: &World, actor: &Actor) -> bool {
    login_stands(&world.state, &login_of(actor), world.now_ms).is_ok()
}

#[test]
fn unknown_names_and_wrong_roles_are_wrong_passwords() {
    let mut world = World::active();
    world.create("alice", Role::CryptoUser).unwrap();
    let check = |user: &str, role: Role, expected: Option<Status>| {
        assert_eq!(may_try(&world, user, role), expected, "{user} {role:?}");
    };
    check("alice", Role::CryptoUser, None);
    check("admin", Role::Admin, None);
    check("alice", Role::Admin, Some(Status::LoginFailed));
    check("nobody", Role::CryptoUser, Some(Status::LoginFailed));
    check("app_user", Role::ApplianceUser, Some(Status::LoginFailed));
    let early = World::initialized();
    assert_eq!(may_try(&early, "admin", Role::UnactivatedAdmin), Some(Status::WrongClusterState));
}

#[test]
fn five_wrong_passwords_in_a_row_lock_and_one_right_one_forgets() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    for _ in 1..LOGIN_FAILURES_MAX {
        wrong(&mut world, "alice");
        assert_eq!(may_try(&world, "alice", Role::CryptoUser), None);
    }
    right(&mut world, "alice").unwrap();
    for _ in 1..LOGIN_FAILURES_MAX {
        wrong(&mut world, "alice");
        assert_eq!(may_try(&world, "alice", Role::CryptoUser), None);
    }
    wrong(&mut world, "alice");
    assert_eq!(may_try(&world, "alice", Role::CryptoUser), Some(Status::UserLocked));
    // The right password that was being checked at that moment comes too late.
    assert_eq!(right(&mut world, "alice"), Err(Status::UserLocked));
    // Locking refuses new logins and ends none; time unlocks nobody.
    assert!(stands(&world, &alice));
    world.now_ms += 6 * DAY;
    assert_eq!(may_try(&world, "alice", Role::CryptoUser), Some(Status::UserLocked));
    let locked: Vec<_> = list_users(&world.state, &Actor::Anonymous, world.now_ms).unwrap();
    assert!(locked.iter().all(|user| user.locked == (user.name == name("alice"))));
    // An admin's new password does.
    let (admin, made) = (world.admin(), Made::Password(world.credential()));
    let command =
        Command::ChangePassword { name: name("alice"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    world.done(&admin, &command, &made).unwrap();
    assert_eq!(may_try(&world, "alice", Role::CryptoUser), None);
    wrong(&mut world, "alice");
    assert_eq!(may_try(&world, "alice", Role::CryptoUser), None);
}

#[test]
fn the_last_admin_is_locked_for_a_while_only() {
    let mut world = World::active();
    for _ in 0..LOGIN_FAILURES_MAX {
        wrong(&mut world, "admin");
    }
    assert_eq!(may_try(&world, "admin", Role::Admin), Some(Status::UserLocked));
    let lock = LAST_ADMIN_LOCK_SECONDS * SECOND;
    world.now_ms += lock - 1;
    assert_eq!(may_try(&world, "admin", Role::Admin), Some(Status::UserLocked));
    world.now_ms += 1;
    assert_eq!(may_try(&world, "admin", Role::Admin), None);
    // Each further wrong password locks for as long again.
    wrong(&mut world, "admin");
    assert_eq!(may_try(&world, "admin", Role::Admin), Some(Status::UserLocked));
    world.now_ms += lock;
    right(&mut world, "admin").unwrap();
    wrong(&mut world, "admin");
    assert_eq!(may_try(&world, "admin", Role::Admin), None);
}

#[test]
fn an_admin_beside_another_is_locked_for_good() {
    let mut world = World::active();
    world.create("second", Role::Admin).unwrap();
    for _ in 0..LOGIN_FAILURES_MAX {
        wrong(&mut world, "second");
    }
    world.now_ms += DAY;
    assert_eq!(may_try(&world, "second", Role::Admin), Some(Status::UserLocked));
    // Now the first is the last who is not locked.
    for _ in 0..LOGIN_FAILURES_MAX {
        wrong(&mut world, "admin");
    }
    world.now_ms += LAST_ADMIN_LOCK_SECONDS * SECOND;
    assert_eq!(may_try(&world, "admin", Role::Admin), None);
}

#[test]
fn a_try_against_an_old_password_counts_for_nothing() {
    let mut world = World::active();
    world.create("alice", Role::CryptoUser).unwrap();
    let (user, old) = tried(&world, "alice");
    let (admin, made) = (world.admin(), Made::Password(world.credential()));
    let command =
        Command::ChangePassword { name: name("alice"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    world.done(&admin, &command, &made).unwrap();
    let request = world.request();
    let failed = Command::LoginFailed { user, credential: old };
    let outcome = plan(&world.state, &Actor::Hsm, &failed, &Made::Nothing, &request, world.now_ms);
    assert_eq!(outcome, Ok(Plan::Nothing(Reply::Done)));
    let succeeded = Command::LoginSucceeded { user, credential: old };
    assert_eq!(world.done(&Actor::Hsm, &succeeded, &Made::Nothing), Err(Status::LoginFailed));
    // Nothing to forget writes nothing; and only the HSM says how a try went.
    let (user, credential) = tried(&world, "alice");
    let clean = Command::LoginSucceeded { user, credential };
    let outcome = plan(&world.state, &Actor::Hsm, &clean, &Made::Nothing, &request, world.now_ms);
    assert_eq!(outcome, Ok(Plan::Nothing(Reply::Done)));
    assert_eq!(world.done(&admin, &clean, &Made::Nothing), Err(Status::RoleNotPermitted));
}

#[test]
fn logging_out_ends_this_login_and_no_other() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let elsewhere = world.login("alice", Role::CryptoUser);
    assert_eq!(world.done(&alice, &Command::Logout, &Made::Nothing), Ok(Reply::Done));
    assert!(!stands(&world, &alice) && stands(&world, &elsewhere));
    assert_eq!(world.done(&alice, &Command::Logout, &Made::Nothing), Err(Status::LoginEnded));
    assert_eq!(world.done(&Actor::Anonymous, &Command::Logout, &Made::Nothing), Err(Status::NotLoggedIn));
}

#[test]
fn an_ended_login_is_remembered_for_as_long_as_a_ticket_of_it_could_be_good() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let login = login_of(&alice).login;
    // A member renewed the ticket at the same moment.
    let renewed = LoginActor { expires_ms: world.now_ms + TICKET, ..login_of(&alice) };
    world.done(&alice, &Command::Logout, &Made::Nothing).unwrap();
    world.now_ms += TICKET - 1;
    world.create("later", Role::CryptoUser).unwrap();
    assert!(login_stands(&world.state, &renewed, world.now_ms).is_err());
    assert!(world.state.is_login_ended(login));
    world.now_ms += 2 * HOUR;
    world.create("much-later", Role::CryptoUser).unwrap();
    assert!(!world.state.is_login_ended(login));
    assert!(login_stands(&world.state, &renewed, world.now_ms).is_err());
}

#[test]
fn tickets_run_out_renew_and_are_one_clusters() {
    let mut world = World::active();
    let login = login_of(&world.crypto_user("alice"));
    let ticket = Ticket::issue(&world.state, login, world.now_ms).unwrap();
    assert_eq!(Ticket::decode(&ticket.encode()), Ok(ticket.clone()));
    assert_eq!(actor_of_ticket(&world.state, &ticket, world.now_ms), Ok(login));
    let ended = |ticket: &Ticket, now_ms| actor_of_ticket(&world.state, ticket, now_ms).unwrap_err().status;
    assert!(actor_of_ticket(&world.state, &ticket, world.now_ms + TICKET - 1).is_ok());
    assert_eq!(ended(&ticket, world.now_ms + TICKET), Status::LoginEnded);
    let other_cluster = Ticket { cluster: strongroom_types::ClusterId::from_random([2; 7]), ..ticket.clone() };
    assert_eq!(ended(&other_cluster, world.now_ms), Status::LoginEnded);
    let other_life = Ticket { epoch: 2, ..ticket.clone() };
    assert_eq!(ended(&other_life, world.now_ms), Status::LoginEnded);
    let other_role = Ticket { role: Role::Admin, ..ticket };
    assert_eq!(ended(&other_role, world.now_ms), Status::LoginEnded);
    assert_eq!(login.renewal(world.now_ms + TICKET / 2), None);
    let later_ms = world.now_ms + TICKET / 2 + 1;
    let renewed = login.renewal(later_ms).unwrap();
    assert_eq!((renewed.login, renewed.expires_ms), (login.login, later_ms + TICKET));
    assert_eq!(Ticket::issue(&crate::State::empty(), login, 0), None);
}

#[test]
fn a_members_slow_clock_prolongs_nothing() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.now_ms += TICKET;
    world.create("later", Role::CryptoUser).unwrap();
    // The head carries the time; this member's clock stands where the login began.
    world.now_ms -= TICKET;
    assert!(!stands(&world, &alice));
    for _ in 0..LOGIN_FAILURES_MAX {
        wrong(&mut world, "admin");
    }
    let lock = LAST_ADMIN_LOCK_SECONDS * SECOND;
    world.now_ms += lock;
    assert_eq!(may_try(&world, "admin", Role::Admin), Some(Status::UserLocked));
    world.now_ms += TICKET;
    assert_eq!(may_try(&world, "admin", Role::Admin), None);
}

//! Signatures beside passwords.

use strongroom_types::{ChallengeId, QuorumService, Role, Status};

use super::super::world::{SECOND, World, name};
use super::{key, three_admins};
use crate::{
    Actor, Challenge, ChallengePurpose, Command, Deregister, Made, MfaChange, Reply, SpentChallenge, login_check,
    login_stands, mfa_target,
};

fn challenge(world: &mut World) -> SpentChallenge {
    let id = ChallengeId::from_bytes(world.draw());
    SpentChallenge { id, until_ms: world.now_ms + 600 * SECOND }
}

fn change(user: &str, role: Role, change: MfaChange, change_quorum: bool) -> Command {
    Command::ChangeMfa { name: name(user), role, change, change_quorum }
}

fn enable(world: &mut World, user: &str, number: u8) -> MfaChange {
    let (challenge, user) = (challenge(world), world.state.user_named(&name(user)).unwrap().id);
    MfaChange::Enable { key: key(number), user, challenge }
}

fn keys(world: &World, user: &str) -> (Option<u8>, Option<u8>) {
    let user = world.state.user_named(&name(user)).unwrap();
    let number = |key: &strongroom_types::TokenKey| key.modulus()[1];
    (user.mfa_key.as_ref().map(number), user.quorum_key.as_ref().map(number))
}

#[test]
fn enabling_registers_for_quorum_and_ending_may_clear_it() {
    let mut world = World::active();
    let admin = world.admin();
    world.crypto_user("alice");
    let mut step = |number: Option<u8>, change_quorum: bool, expected: (Option<u8>, Option<u8>)| {
        let mfa = match number {
            Some(number) => enable(&mut world, "alice", number),
            None => MfaChange::Disable,
        };
        let made = Made::Password(world.credential());
        world.done(&admin, &change("alice", Role::CryptoUser, mfa, change_quorum), &made).unwrap();
        assert_eq!(keys(&world, "alice"), expected, "{number:?} {change_quorum}");
    };
    step(Some(1), false, (Some(1), Some(1)));
    step(Some(2), false, (Some(2), Some(1)));
    step(Some(3), true, (Some(3), Some(3)));
    step(None, false, (None, Some(3)));
    step(Some(4), false, (Some(4), Some(3)));
    step(None, true, (None, None));
    step(None, true, (None, None));
    step(Some(5), false, (Some(5), Some(5)));
    let mut password = |mfa, quorum, expected: (Option<u8>, Option<u8>)| {
        let deregister = Deregister { mfa, quorum };
        let command = Command::ChangePassword { name: name("alice"), role: Role::CryptoUser, deregister };
        let made = Made::Password(world.credential());
        world.done(&admin, &command, &made).unwrap();
        assert_eq!(keys(&world, "alice"), expected, "{mfa} {quorum}");
    };
    password(false, false, (Some(5), Some(5)));
    password(true, false, (None, Some(5)));
    password(false, true, (None, None));
}

#[test]
fn a_change_of_mfa_ends_the_users_logins_and_ones_own_goes_on() {
    let mut world = World::active();
    let (alice, elsewhere) = (world.crypto_user("alice"), world.login("alice", Role::CryptoUser));
    let (mfa, credential) = (enable(&mut world, "alice", 1), world.credential());
    let command = change("alice", Role::CryptoUser, mfa, false);
    let request = world.request();
    let reply = world.again(&alice, &command, &Made::Password(credential.clone()), &request).unwrap();
    assert!(matches!(&reply, Reply::User { user, renewed: Some(_) } if user.mfa && user.quorum), "{reply:?}");
    let (Actor::Login(own), Actor::Login(other)) = (alice, elsewhere) else { unreachable!() };
    for ended in [own, other] {
        assert!(login_stands(&world.state, &ended, world.now_ms).is_err());
    }
    assert!(login_stands(&world.state, &own.with_credential(credential.id), world.now_ms).is_ok());
    // A repeat by the login that it ended is answered.
    assert_eq!(world.again(&alice, &command, &Made::Password(credential), &request), Ok(reply));
}

#[test]
fn a_challenge_enables_once_and_for_its_user() {
    let mut world = World::active();
    let admin = world.admin();
    world.crypto_user("alice");
    world.crypto_user("bob");
    let mfa = enable(&mut world, "alice", 1);
    let made = Made::Password(world.credential());
    let for_bob = change("bob", Role::CryptoUser, mfa.clone(), false);
    assert_eq!(world.done(&admin, &for_bob, &made), Err(Status::MfaChallengeInvalid));
    let for_alice = change("alice", Role::CryptoUser, mfa, false);
    world.done(&admin, &for_alice, &made).unwrap();
    let made = Made::Password(world.credential());
    assert_eq!(world.done(&admin, &for_alice, &made), Err(Status::MfaChallengeInvalid));
    let late = enable(&mut world, "alice", 2);
    world.now_ms += 600 * SECOND;
    let late = change("alice", Role::CryptoUser, late, false);
    assert_eq!(world.done(&admin, &late, &made), Err(Status::MfaChallengeInvalid));
    assert_eq!(keys(&world, "alice"), (Some(1), Some(1)));
}

#[test]
fn crypto_users_change_their_own_mfa_and_learn_of_nobody_elses() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    world.crypto_user("bob");
    let made = Made::Password(world.credential());
    let disable = |user: &str, role| change(user, role, MfaChange::Disable, false);
    for (user, role) in [("bob", Role::CryptoUser), ("admin", Role::Admin), ("nobody", Role::CryptoUser)] {
        assert_eq!(world.done(&alice, &disable(user, role), &made), Err(Status::RoleNotPermitted), "{user}");
        let target = mfa_target(&world.state, &alice, &name(user), role, world.now_ms);
        assert_eq!(target.unwrap_err().status, Status::RoleNotPermitted, "{user}");
    }
    assert!(mfa_target(&world.state, &alice, &name("alice"), Role::CryptoUser, world.now_ms).is_ok());
    assert!(mfa_target(&world.state, &admin, &name("bob"), Role::CryptoUser, world.now_ms).is_ok());
    assert_eq!(world.done(&Actor::Anonymous, &disable("bob", Role::CryptoUser), &made), Err(Status::NotLoggedIn));
    world.done(&alice, &disable("alice", Role::CryptoUser), &made).unwrap();
}

#[test]
fn a_login_uses_its_challenge_up_and_forgets_wrong_passwords() {
    let mut world = World::active();
    world.crypto_user("alice");
    let check = login_check(&world.state, &name("alice"), Role::CryptoUser, world.now_ms).unwrap();
    assert_eq!(check.mfa_key, None);
    let (user, credential) = (check.user, check.credential.id);
    world.done(&Actor::Hsm, &Command::LoginFailed { user, credential }, &Made::Nothing).unwrap();
    let one = challenge(&mut world);
    let signed = |challenge| Command::LoginSigned { user, credential, challenge };
    let admin = world.admin();
    assert_eq!(world.done(&admin, &signed(one), &Made::Nothing), Err(Status::RoleNotPermitted));
    world.done(&Actor::Hsm, &signed(one), &Made::Nothing).unwrap();
    assert_eq!(world.state.user(user).unwrap().failures, 0);
    // Another HSM that was shown the same one.
    assert_eq!(world.done(&Actor::Hsm, &signed(one), &Made::Nothing), Err(Status::MfaChallengeInvalid));
    let other = challenge(&mut world);
    let unknown = Command::LoginSigned { user, credential: world.credential().id, challenge: other };
    assert_eq!(world.done(&Actor::Hsm, &unknown, &Made::Nothing), Err(Status::LoginFailed));
    // The mark goes when the challenge is no good any more.
    assert!(world.state.is_challenge_spent(one.id));
    world.now_ms += 600 * SECOND;
    world.create("bob", Role::CryptoUser).unwrap();
    assert!(!world.state.is_challenge_spent(one.id));
    assert_eq!(world.done(&Actor::Hsm, &signed(one), &Made::Nothing), Err(Status::MfaChallengeInvalid));
}

#[test]
fn a_challenge_is_bound_to_user_password_purpose_and_time() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.crypto_user("bob");
    let Actor::Login(login) = alice else { unreachable!() };
    let user = |world: &World, user: &str| world.state.user_named(&name(user)).unwrap().as_ref().clone();
    let enabling = ChallengePurpose::Enable(login.login);
    let id = ChallengeId::from_bytes([1; 16]);
    let made = Challenge::issue(&user(&world, "alice"), enabling, id, world.now_ms).unwrap();
    let status = |world: &World, of: &str, purpose, now_ms| {
        made.check(&user(world, of), purpose, now_ms).err().map(|refusal| refusal.status)
    };
    let (now_ms, bad) = (world.now_ms, Some(Status::MfaChallengeInvalid));
    assert_eq!(status(&world, "alice", enabling, now_ms + 600 * SECOND - 1), None);
    assert_eq!(status(&world, "alice", enabling, now_ms + 600 * SECOND), bad);
    assert_eq!(status(&world, "bob", enabling, now_ms), bad);
    assert_eq!(status(&world, "alice", ChallengePurpose::Login, now_ms), bad);
    let elsewhere = ChallengePurpose::Enable(strongroom_types::LoginId::from_bytes([9; 16]));
    assert_eq!(status(&world, "alice", elsewhere, now_ms), bad);
    let command = Command::ChangePassword { name: name("alice"), role: Role::CryptoUser, deregister: Deregister::NONE };
    let password = Made::Password(world.credential());
    world.done(&alice, &command, &password).unwrap();
    assert_eq!(status(&world, "alice", enabling, now_ms), bad);
    let app_user = user(&world, "app_user");
    assert_eq!(Challenge::issue(&app_user, ChallengePurpose::Login, id, now_ms), None);
}

#[test]
fn an_admins_change_of_mfa_is_approved_like_a_new_password() {
    let (mut world, [admin, ..]) = three_admins(2, 1);
    let (mfa, made) = (enable(&mut world, "bea", 7), Made::Password(world.credential()));
    let command = change("bea", Role::Admin, mfa, true);
    assert_eq!(world.done(&admin, &command, &made), Err(Status::QuorumRequired));
    let token = world.token(&admin, super::subject(QuorumService::User)).unwrap();
    world.approved(&admin, &command, &made, (token, &[("admin", 1), ("cyd", 3)])).unwrap();
    assert_eq!(keys(&world, "bea"), (Some(7), Some(7)));
}

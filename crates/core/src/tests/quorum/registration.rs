//! Keys that users register for approving.

use strongroom_types::{QuorumService, Role, Status, TokenId};

use super::super::world::{World, name};
use super::{key, subject};
use crate::{Command, Made, Reply, list_users};

#[test]
fn users_register_their_own_key_with_a_token_of_their_login() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let registered = |world: &World, user: &str| world.state.user_named(&name(user)).unwrap().quorum_key.clone();
    let token = world.token(&alice, subject(QuorumService::Registration)).unwrap();
    let command = Command::RegisterQuorumKey { key: key(1), token };
    assert_eq!(world.done(&admin, &command, &Made::Nothing), Err(Status::QuorumTokenInvalid));
    let elsewhere = world.login("alice", Role::CryptoUser);
    assert_eq!(world.done(&elsewhere, &command, &Made::Nothing), Err(Status::QuorumTokenInvalid));
    let request = world.request();
    let reply = world.again(&alice, &command, &Made::Nothing, &request).unwrap();
    assert!(matches!(&reply, Reply::User { user, renewed: None } if user.quorum && !user.mfa), "{reply:?}");
    assert_eq!(world.again(&alice, &command, &Made::Nothing, &request), Ok(reply));
    assert_eq!((registered(&world, "alice"), registered(&world, "admin")), (Some(key(1)), None));
    // Good once, also for the same key.
    assert_eq!(world.done(&alice, &command, &Made::Nothing), Err(Status::QuorumRequired));
    let listed = list_users(&world.state, &admin, world.now_ms).unwrap();
    assert_eq!(listed.iter().filter(|user| user.quorum).count(), 1);
    // Another one takes its place.
    world.register(&alice, 2).unwrap();
    assert_eq!(registered(&world, "alice"), Some(key(2)));
}

#[test]
fn a_token_of_another_service_registers_nothing() {
    let mut world = World::active();
    let admin = world.admin();
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    for token in [token, TokenId::from_bytes([9; 16])] {
        let expected =
            if world.state.quorum_token(token).is_some() { Status::QuorumTokenInvalid } else { Status::QuorumRequired };
        let command = Command::RegisterQuorumKey { key: key(1), token };
        assert_eq!(world.done(&admin, &command, &Made::Nothing), Err(expected));
    }
}

#[test]
fn who_may_make_which_token() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    for service in [QuorumService::User, QuorumService::Quorum, QuorumService::Cluster] {
        world.token(&admin, subject(service)).unwrap();
        assert_eq!(world.token(&alice, subject(service)), Err(Status::RoleNotPermitted), "{service}");
    }
    for service in [QuorumService::KeyUsage, QuorumService::KeyManagement] {
        assert_eq!(world.token(&alice, subject(service)), Err(Status::MalformedRequest), "{service}");
    }
    assert_eq!(world.token(&crate::Actor::Anonymous, subject(QuorumService::User)), Err(Status::NotLoggedIn));
    // An id that is taken is drawn again.
    let taken = world.token(&admin, subject(QuorumService::Registration)).unwrap();
    let (command, request) = (Command::GenerateQuorumToken(subject(QuorumService::User)), world.request());
    let again = crate::plan(&world.state, &admin, &command, &Made::Token(taken), &request, world.now_ms);
    assert_eq!(again, Err(crate::PlanError::DrawAgain));
}

#[test]
fn a_token_asked_for_twice_is_one() {
    let mut world = World::active();
    let (admin, request) = (world.admin(), world.request());
    let command = Command::GenerateQuorumToken(subject(QuorumService::User));
    let mut made = || Made::Token(TokenId::from_bytes(world.draw()));
    let (first, second) = (made(), made());
    let reply = world.again(&admin, &command, &first, &request).unwrap();
    assert_eq!(world.again(&admin, &command, &second, &request), Ok(reply));
    world.done(&admin, &Command::DeleteQuorumTokens { of_everybody: false }, &Made::Nothing).unwrap();
    assert_eq!(world.again(&admin, &command, &second, &request), Err(Status::QuorumRequired));
}

//! How many tokens the store keeps.

use strongroom_types::limits::{QUORUM_TOKENS_EACH_MAX, QUORUM_TOKENS_MAX, QUORUM_TOKENS_OF_CRYPTO_USERS_MAX};
use strongroom_types::{KeyQuorum, KeyReference, QuorumService, Role, Status, TokenId};

use super::super::world::{SECOND, World};
use super::{of_key, subject};
use crate::{Actor, Command, Made};

const QUORUM: KeyQuorum = KeyQuorum { manage: 0, usage: 2 };

impl World {
    /// A token, without comparing what a member would load.
    fn token_unchecked(&mut self, actor: &Actor, key: KeyReference) -> Result<TokenId, Status> {
        let id = TokenId::from_bytes(self.draw());
        let request = self.request();
        let command = Command::GenerateQuorumToken(of_key(QuorumService::KeyUsage, key));
        self.again(actor, &command, &Made::Token(id), &request).map(|_| id)
    }

    /// A crypto user with a key that needs approvals.
    fn user_with_key(&mut self, user: &str) -> (Actor, KeyReference) {
        let actor = self.crypto_user(user);
        let friend = format!("{user}-friend");
        self.create(&friend, Role::CryptoUser).unwrap();
        let key = self.quorum_key(&actor, &[&friend], QUORUM).unwrap();
        (actor, key)
    }
}

#[test]
fn the_oldest_of_a_user_gives_way() {
    let mut world = World::active();
    let (alice, key) = world.user_with_key("alice");
    let mut made = Vec::new();
    for _ in 0..=QUORUM_TOKENS_EACH_MAX {
        world.now_ms += SECOND;
        made.push(world.token_unchecked(&alice, key).unwrap());
    }
    let there: Vec<bool> = made.iter().map(|id| world.state.quorum_token(*id).is_some()).collect();
    assert!(!there[0] && there[1..].iter().all(|there| *there), "{there:?}");
    // All of a user's go in one batch.
    world.done(&alice, &Command::DeleteQuorumTokens { of_everybody: false }, &Made::Nothing).unwrap();
    assert!(made.iter().all(|id| world.state.quorum_token(*id).is_none()));
}

/// As many tokens of crypto users as they may have.
fn full_of_crypto_users() -> (World, Vec<(Actor, KeyReference)>) {
    let mut world = World::active();
    let count = QUORUM_TOKENS_OF_CRYPTO_USERS_MAX / QUORUM_TOKENS_EACH_MAX;
    let users: Vec<_> = (0..count).map(|number| world.user_with_key(&format!("user-{number}"))).collect();
    for (actor, key) in &users {
        for _ in 0..QUORUM_TOKENS_EACH_MAX {
            world.token_unchecked(actor, *key).unwrap();
        }
    }
    assert_eq!(world.state.tokens.len(), QUORUM_TOKENS_OF_CRYPTO_USERS_MAX);
    (world, users)
}

#[test]
fn crypto_users_leave_room_for_admins() {
    let (mut world, users) = full_of_crypto_users();
    let (late, key) = world.user_with_key("late");
    assert_eq!(world.token_unchecked(&late, key), Err(Status::QuorumTokensFull));
    let admin = world.admin();
    world.token(&admin, subject(QuorumService::User)).unwrap();
    // Who has some goes on in their place.
    let (first, first_key) = users[0];
    world.token_unchecked(&first, first_key).unwrap();
    assert_eq!(world.state.tokens.len(), QUORUM_TOKENS_OF_CRYPTO_USERS_MAX + 1);
    // Those of a login that ended take no room.
    world.done(&first, &Command::Logout, &Made::Nothing).unwrap();
    world.token_unchecked(&late, key).unwrap();
}

#[test]
fn the_store_keeps_so_many_tokens_and_no_more() {
    let (mut world, users) = full_of_crypto_users();
    // Each admin has one for each service.
    let services = [QuorumService::User, QuorumService::Quorum, QuorumService::Cluster, QuorumService::Registration];
    let left = QUORUM_TOKENS_MAX - QUORUM_TOKENS_OF_CRYPTO_USERS_MAX;
    for number in 0..left / services.len() {
        let user = format!("admin-{number}");
        world.create(&user, Role::Admin).unwrap();
        let actor = world.login(&user, Role::Admin);
        for service in services {
            let (made, request) = (Made::Token(TokenId::from_bytes(world.draw())), world.request());
            world.again(&actor, &Command::GenerateQuorumToken(subject(service)), &made, &request).unwrap();
        }
    }
    assert_eq!(world.state.tokens.len(), QUORUM_TOKENS_MAX);
    let admin = world.admin();
    assert_eq!(world.token(&admin, subject(QuorumService::User)), Err(Status::QuorumTokensFull));
    // A dead one makes room.
    world.done(&users[3].0, &Command::Logout, &Made::Nothing).unwrap();
    world.token(&admin, subject(QuorumService::User)).unwrap();
    assert_eq!(world.state.tokens.len(), QUORUM_TOKENS_MAX);
    // What has run out is removed with whatever is written next.
    world.now_ms += 600 * SECOND;
    for number in 0..30 {
        world.create(&format!("later-{number}"), Role::CryptoUser).unwrap();
    }
    assert!(world.state.tokens.is_empty(), "{}", world.state.tokens.len());
}

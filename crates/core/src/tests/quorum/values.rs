//! How many must approve, and that nobody is locked out.

use strongroom_types::limits::{QUORUM_TOKEN_SECONDS_MAX, QUORUM_TOKEN_SECONDS_MIN, QUORUM_VALUE_MAX};
use strongroom_types::{QuorumService, Role, Status};

use super::super::world::{SECOND, World, name};
use super::{subject, three_admins};
use crate::{Actor, Command, Deregister, Made, MfaChange, TokenTime, list_tokens, quorum_values};

#[test]
fn values_at_and_above_their_limit() {
    let mut world = World::active();
    let admin = world.approving_admin("admin", 1);
    for number in 2..=QUORUM_VALUE_MAX + 1 {
        world.approving_admin(&format!("admin-{number}"), number);
    }
    let check = |world: &mut World, value: u8, expected: Option<Status>| {
        assert_eq!(world.set_value(&admin, QuorumService::User, value).err(), expected, "{value}");
    };
    check(&mut world, 0, Some(Status::QuorumValueInvalid));
    check(&mut world, QUORUM_VALUE_MAX + 1, Some(Status::QuorumValueInvalid));
    check(&mut world, u8::MAX, Some(Status::QuorumValueInvalid));
    check(&mut world, 1, None);
    check(&mut world, QUORUM_VALUE_MAX, None);
    for service in [QuorumService::Registration, QuorumService::KeyUsage, QuorumService::KeyManagement] {
        assert_eq!(world.set_value(&admin, service, 1), Err(Status::QuorumValueInvalid), "{service}");
    }
}

#[test]
fn a_value_that_nobody_could_reach_is_refused() {
    let mut world = World::active();
    // Whoever sets the first value needs no key.
    let admin = world.admin();
    assert_eq!(world.set_value(&admin, QuorumService::User, 2), Err(Status::QuorumValueInvalid));
    world.approving_admin("bea", 2);
    assert_eq!(world.set_value(&admin, QuorumService::User, 2), Err(Status::QuorumValueInvalid));
    world.approving_admin("cyd", 3);
    // Crypto users do not count.
    world.approving_user("alice", 4);
    assert_eq!(world.set_value(&admin, QuorumService::User, 3), Err(Status::QuorumValueInvalid));
    world.set_value(&admin, QuorumService::User, 2).unwrap();
}

/// Approvals by one key count once, whoever registered it.
#[test]
fn admins_count_with_keys_of_their_own() {
    let mut world = World::active();
    let admin = world.admin();
    world.register(&admin, 1).unwrap();
    world.approving_admin("bea", 1);
    assert_eq!(world.set_value(&admin, QuorumService::User, 2), Err(Status::QuorumValueInvalid));
    let bea = world.login("bea", Role::Admin);
    world.register(&bea, 2).unwrap();
    world.set_value(&admin, QuorumService::User, 2).unwrap();
    assert_eq!(world.register(&bea, 1), Err(Status::QuorumTooFew), "a colleague's key");
    world.register(&bea, 3).unwrap();
    world.register(&bea, 3).unwrap();
    assert_eq!(world.register(&admin, 3), Err(Status::QuorumTooFew));
}

#[test]
fn a_value_is_changed_as_the_value_of_quorum_says() {
    let (mut world, [admin, ..]) = three_admins(2, 2);
    assert_eq!(world.set_value(&admin, QuorumService::User, 1), Err(Status::QuorumRequired));
    assert_eq!(world.set_value(&admin, QuorumService::Quorum, 1), Err(Status::QuorumRequired));
    let token = world.token(&admin, subject(QuorumService::Quorum)).unwrap();
    let command = Command::SetQuorumValue { service: QuorumService::User, value: 1 };
    world.approved(&admin, &command, &Made::Nothing, (token, &[("admin", 1), ("cyd", 3)])).unwrap();
    let made = world.made_user();
    world.done(&admin, &Command::CreateUser { name: name("dan"), role: Role::CryptoUser }, &made).unwrap();
    let values = quorum_values(&world.state, &Actor::Anonymous, world.now_ms).unwrap();
    assert_eq!((values.user, values.quorum, values.cluster), (1, 2, 1));
    let alice = world.crypto_user("alice");
    assert_eq!(world.set_value(&alice, QuorumService::User, 2), Err(Status::RoleNotPermitted));
}

#[test]
fn admins_who_could_approve_are_not_made_too_few() {
    // Cluster: a value for what has no commands here still must be reachable.
    for service in QuorumService::OF_ADMINS {
        let (mut world, [admin, bea, _]) = three_admins(1, 1);
        world.create("without-key", Role::Admin).unwrap();
        world.set_value(&admin, service, 3).unwrap();
        let token = |world: &mut World| world.token(&admin, subject(QuorumService::User)).unwrap();
        let all: &[(&str, u8)] = &[("admin", 1), ("bea", 2), ("cyd", 3)];
        let made = Made::Password(world.credential());
        let delete = |user: &str| Command::DeleteUser { name: name(user), role: Role::Admin };
        let password = |deregister| Command::ChangePassword { name: name("bea"), role: Role::Admin, deregister };
        let mfa = |change_quorum| {
            let (change, name) = (MfaChange::Disable, name("bea"));
            Command::ChangeMfa { name, role: Role::Admin, change, change_quorum }
        };
        let without_key = Deregister { mfa: false, quorum: true };
        for (command, made) in [(delete("bea"), &Made::Nothing), (password(without_key), &made), (mfa(true), &made)] {
            let approvals = (token(&mut world), all);
            assert_eq!(world.approved(&bea, &command, made, approvals), Err(Status::QuorumTooFew), "{command:?}");
        }
        // One who could not approve anyway may go.
        let approvals = (token(&mut world), all);
        world.approved(&admin, &delete("without-key"), &Made::Nothing, approvals).unwrap();
        world.approving_admin_approved(&admin, token, all);
        let approvals = (token(&mut world), all);
        world.approved(&admin, &password(without_key), &made, approvals).unwrap();
        assert!(world.state.user_named(&name("bea")).unwrap().quorum_key.is_none());
    }
}

impl World {
    /// A fourth admin with a key, made with the approvals that the value asks for.
    fn approving_admin_approved(
        &mut self,
        admin: &Actor,
        token: impl Fn(&mut World) -> strongroom_types::TokenId,
        all: &[(&str, u8)],
    ) {
        let (made, approvals) = (self.made_user(), (token(self), all));
        self.approved(admin, &Command::CreateUser { name: name("dan"), role: Role::Admin }, &made, approvals).unwrap();
        let dan = self.login("dan", Role::Admin);
        self.register(&dan, 4).unwrap();
    }
}

#[test]
fn times_at_below_and_above_their_limits() {
    let (mut world, [admin, ..]) = three_admins(1, 1);
    let set = |world: &mut World, time, seconds| {
        world.done(&admin, &Command::SetTokenTime { time, seconds }, &Made::Nothing).map(drop)
    };
    for seconds in [0, QUORUM_TOKEN_SECONDS_MIN - 1, QUORUM_TOKEN_SECONDS_MAX + 1, u32::MAX] {
        assert_eq!(set(&mut world, TokenTime::Generated, seconds), Err(Status::QuorumValueInvalid), "{seconds}");
    }
    for seconds in [QUORUM_TOKEN_SECONDS_MIN, QUORUM_TOKEN_SECONDS_MAX] {
        set(&mut world, TokenTime::Generated, seconds).unwrap();
    }
    // Approvals come with the use: the shorter time counts.
    let left = |world: &mut World| {
        world.token(&admin, subject(QuorumService::User)).unwrap();
        list_tokens(&world.state, &admin, world.now_ms).unwrap()[0].left_ms / SECOND
    };
    assert_eq!(left(&mut world), 600);
    set(&mut world, TokenTime::Approved, 90).unwrap();
    assert_eq!(left(&mut world), 90);
    set(&mut world, TokenTime::Generated, 60).unwrap();
    assert_eq!(left(&mut world), 60);
    world.set_value(&admin, QuorumService::Quorum, 2).unwrap();
    assert_eq!(set(&mut world, TokenTime::Generated, 61), Err(Status::QuorumRequired));
}

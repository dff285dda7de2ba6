//! What the users of a key approve together.

use strongroom_types::{
    AttributeName, AttributeValue, Curve, Flag, KeyQuorum, KeyReference, QuorumService, QuorumSubject, Role,
    SignMechanism, Status, Template,
};

use super::super::world::{HOUR, World, name};
use super::of_key;
use crate::permissions::Operation;
use crate::{
    Actor, Approval, Command, KeyUse, Made, PairAlgorithm, Reply, Request, authorize, authorize_approved, list_tokens,
};

const BOTH: KeyQuorum = KeyQuorum { manage: 2, usage: 2 };
const DATA: [u8; 32] = [7; 32];
const SIGN: KeyUse<'static> = KeyUse::Sign(SignMechanism::Ecdsa, &DATA);

/// Alice's signing key, shared with bob, with quorum values; carol has nothing to do with it. Their keys are 1, 2 and 3.
fn shared_pair(quorum: KeyQuorum) -> (World, [Actor; 3], KeyReference) {
    let mut world = World::active();
    let users = [("alice", 1), ("bob", 2), ("carol", 3)].map(|(user, number)| world.approving_user(user, number));
    let flags = |flags: &[Flag]| -> Template {
        flags.iter().map(|flag| (AttributeName::Flag(*flag), AttributeValue::Bool(true))).collect()
    };
    let algorithm = PairAlgorithm::Ec(Curve::P256);
    let command = Command::GeneratePair {
        algorithm: algorithm.clone(),
        public_template: flags(&[Flag::Verify]),
        private_template: flags(&[Flag::Sign]),
        share_with: vec![name("bob")],
        quorum,
    };
    let made = world.made_pair(&algorithm);
    let Ok(Reply::Pair { public, private }) = world.done(&users[0], &command, &made) else { panic!("no pair") };
    assert_eq!((public.quorum, private.quorum), (KeyQuorum::NONE, quorum));
    (world, users, private.reference)
}

fn use_approved(key: KeyReference) -> Command {
    Command::UseApproved { operation: Operation::Sign, keys: vec![of_key(QuorumService::KeyUsage, key)] }
}

fn status<T: std::fmt::Debug>(outcome: Result<T, strongroom_types::Refusal>) -> Option<Status> {
    outcome.err().map(|refusal| refusal.status)
}

#[test]
fn a_key_has_no_higher_value_than_users() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.crypto_user("bob");
    let check = |world: &mut World, share_with: &[&str], manage, usage, expected: Option<Status>| {
        let made = world.quorum_key(&alice, share_with, KeyQuorum { manage, usage });
        assert_eq!(made.err(), expected, "{share_with:?} {manage} {usage}");
    };
    check(&mut world, &[], 0, 0, None);
    check(&mut world, &[], 1, 1, None);
    check(&mut world, &[], 2, 0, Some(Status::QuorumValueInvalid));
    check(&mut world, &[], 0, 2, Some(Status::QuorumValueInvalid));
    check(&mut world, &["bob"], 2, 2, None);
    check(&mut world, &["bob"], 2, 3, Some(Status::QuorumValueInvalid));
    // The owner on the list, or a name twice, is nobody more.
    check(&mut world, &["alice"], 2, 0, Some(Status::QuorumValueInvalid));
    check(&mut world, &["bob", "bob", "alice"], 0, 3, Some(Status::QuorumValueInvalid));
}

#[test]
fn a_use_is_approved_by_two_users_and_good_for_one_operation() {
    let (mut world, [alice, bob, _], key) = shared_pair(BOTH);
    let plain = |world: &World, actor: &Actor| status(authorize(&world.state, actor, SIGN, key, world.now_ms));
    assert_eq!((plain(&world, &alice), plain(&world, &bob)), (Some(Status::QuorumFailed), Some(Status::QuorumFailed)));
    let token = world.token(&bob, of_key(QuorumService::KeyUsage, key)).unwrap();
    let request = |world: &mut World, approvers: &[(&str, u8)]| {
        let approvers = approvers.iter().map(|(user, number)| world.approver(user, *number)).collect();
        Request { approvals: vec![Approval { token, approvers }], ..world.request() }
    };
    for too_few in [&[][..], &[("alice", 1)], &[("bob", 2), ("bob", 2)], &[("bob", 2), ("carol", 3)]] {
        let request = request(&mut world, too_few);
        let outcome = world.again(&bob, &use_approved(key), &Made::Nothing, &request);
        assert_eq!(outcome, Err(Status::QuorumFailed), "{too_few:?}");
    }
    let one = request(&mut world, &[("alice", 1), ("bob", 2)]);
    assert_eq!(world.again(&bob, &use_approved(key), &Made::Nothing, &one), Ok(Reply::Done));
    let approved = |world: &World, actor: &Actor, request: &Request| {
        status(authorize_approved(&world.state, actor, SIGN, key, request, world.now_ms))
    };
    assert_eq!(approved(&world, &bob, &one), None);
    // A repeat after a lost answer, with or without the approvals.
    assert_eq!(world.again(&bob, &use_approved(key), &Made::Nothing, &one), Ok(Reply::Done));
    assert_eq!(approved(&world, &bob, &Request::new(one.id, one.digest)), None);
    // Other data, another request, another user: nothing.
    assert_eq!(approved(&world, &bob, &Request::new(one.id, [9; 32])), Some(Status::QuorumFailed));
    assert_eq!(approved(&world, &alice, &one), Some(Status::QuorumFailed));
    let other = request(&mut world, &[("alice", 1), ("bob", 2)]);
    assert_eq!(world.again(&bob, &use_approved(key), &Made::Nothing, &other), Err(Status::QuorumRequired));
    assert_eq!(approved(&world, &bob, &other), Some(Status::QuorumFailed));
    assert_eq!(plain(&world, &bob), Some(Status::QuorumFailed));
    // The permission ends with its receipt, and before that with the right to use the key at all.
    world.now_ms += HOUR + 1;
    world.crypto_user("dan");
    assert_eq!(approved(&world, &bob, &one), Some(Status::QuorumFailed));
}

#[test]
fn an_approved_use_still_needs_everything_else() {
    let (mut world, [alice, bob, _], key) = shared_pair(KeyQuorum { manage: 0, usage: 2 });
    world.create("dan", Role::CryptoUser).unwrap();
    let share = Command::ShareKey { key, name: name("dan"), role: Role::CryptoUser };
    world.done(&alice, &share, &Made::Nothing).unwrap();
    let token = world.token(&bob, of_key(QuorumService::KeyUsage, key)).unwrap();
    let approvers = vec![world.approver("alice", 1), world.approver("bob", 2)];
    let request = Request { approvals: vec![Approval { token, approvers }], ..world.request() };
    world.again(&bob, &use_approved(key), &Made::Nothing, &request).unwrap();
    let approved =
        |world: &World, key_use| status(authorize_approved(&world.state, &bob, key_use, key, &request, world.now_ms));
    assert_eq!(approved(&world, SIGN), None);
    assert_eq!(approved(&world, KeyUse::Sign(SignMechanism::RsaPkcs, &DATA)), Some(Status::KeyTypeInconsistent));
    let flag = AttributeName::Flag(Flag::Sign);
    let set = |value| Command::SetAttribute { key, attribute: flag, value: AttributeValue::Bool(value) };
    world.done(&alice, &set(false), &Made::Nothing).unwrap();
    assert_eq!(approved(&world, SIGN), Some(Status::KeyFunctionNotPermitted));
    world.done(&alice, &set(true), &Made::Nothing).unwrap();
    let unshare = Command::UnshareKey { key, name: name("bob"), role: Role::CryptoUser };
    world.done(&alice, &unshare, &Made::Nothing).unwrap();
    assert_eq!(approved(&world, SIGN), Some(Status::KeyUnknown));
}

#[test]
fn managing_a_key_needs_its_users_approval_and_deleting_does_not() {
    let (mut world, [alice, bob, _], key) = shared_pair(KeyQuorum { manage: 2, usage: 0 });
    let manage = of_key(QuorumService::KeyManagement, key);
    let label = AttributeValue::Text("new".into());
    let commands = [
        Command::SetAttribute { key, attribute: AttributeName::Label, value: label },
        Command::ShareKey { key, name: name("carol"), role: Role::CryptoUser },
        Command::UnshareKey { key, name: name("carol"), role: Role::CryptoUser },
    ];
    for command in commands {
        assert_eq!(world.done(&alice, &command, &Made::Nothing), Err(Status::QuorumFailed), "{command:?}");
        let token = world.token(&alice, manage).unwrap();
        let too_few = world.approved(&alice, &command, &Made::Nothing, (token, &[("alice", 1)]));
        assert_eq!(too_few, Err(Status::QuorumFailed), "{command:?}");
        let both: &[(&str, u8)] = &[("alice", 1), ("bob", 2)];
        // Approval is no ownership.
        let of_bob = world.token(&bob, manage).unwrap();
        let by_bob = world.approved(&bob, &command, &Made::Nothing, (of_bob, both));
        assert_eq!(by_bob, Err(Status::KeyNotOwned), "{command:?}");
        world.approved(&alice, &command, &Made::Nothing, (token, both)).unwrap();
        assert!(world.state.quorum_token(token).is_none(), "{command:?}");
    }
    // Use has a value of its own, and so has each key.
    assert!(authorize(&world.state, &bob, SIGN, key, world.now_ms).is_ok());
    world.done(&alice, &Command::DeleteKey(key), &Made::Nothing).unwrap();
}

#[test]
fn an_admin_takes_trust_back_without_the_owners() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.approving_user("alice", 1));
    world.crypto_user("bob");
    let key = world.quorum_key(&alice, &["bob"], BOTH).unwrap();
    let trusted = AttributeName::Flag(Flag::Trusted);
    let command = Command::SetAttribute { key, attribute: trusted, value: AttributeValue::Bool(true) };
    world.done(&admin, &command, &Made::Nothing).unwrap();
}

#[test]
fn a_token_is_good_for_its_key_and_its_service_alone() {
    let (mut world, [alice, ..], key) = shared_pair(BOTH);
    let other = world.quorum_key(&alice, &["bob"], BOTH).unwrap();
    let both: &[(&str, u8)] = &[("alice", 1), ("bob", 2)];
    let command = Command::ShareKey { key, name: name("carol"), role: Role::CryptoUser };
    for wrong in [of_key(QuorumService::KeyUsage, key), of_key(QuorumService::KeyManagement, other)] {
        let token = world.token(&alice, wrong).unwrap();
        let outcome = world.approved(&alice, &command, &Made::Nothing, (token, both));
        assert_eq!(outcome, Err(Status::QuorumTokenInvalid), "{wrong:?}");
    }
}

#[test]
fn tokens_of_keys_are_for_those_who_see_a_key_that_needs_them() {
    let (mut world, [alice, bob, carol], key) = shared_pair(KeyQuorum { manage: 0, usage: 2 });
    let admin = world.admin();
    let usage = of_key(QuorumService::KeyUsage, key);
    world.token(&alice, usage).unwrap();
    world.token(&bob, usage).unwrap();
    world.token(&bob, usage).unwrap();
    assert_eq!(world.token(&carol, usage), Err(Status::KeyUnknown));
    assert_eq!(world.token(&admin, usage), Err(Status::RoleNotPermitted));
    let manage = of_key(QuorumService::KeyManagement, key);
    assert_eq!(world.token(&alice, manage), Err(Status::QuorumValueInvalid));
    let nowhere = QuorumSubject { key: KeyReference::from_u64(0xffff), ..usage };
    assert_eq!(world.token(&alice, nowhere), Err(Status::KeyUnknown));
    // Listed by user, service and key; gone with the key.
    let listed = list_tokens(&world.state, &Actor::Anonymous, world.now_ms).unwrap();
    let counts: Vec<_> =
        listed.iter().map(|token| (token.user.as_str(), token.approvals_required, token.count)).collect();
    assert_eq!(counts, [("alice", 2, 1), ("bob", 2, 2)]);
    world.done(&alice, &Command::DeleteKey(key), &Made::Nothing).unwrap();
    assert!(list_tokens(&world.state, &Actor::Anonymous, world.now_ms).unwrap().is_empty());
}

#[test]
fn users_of_a_key_are_not_made_too_few() {
    let (mut world, [alice, ..], key) = shared_pair(KeyQuorum { manage: 0, usage: 2 });
    let admin = world.admin();
    let unshare = Command::UnshareKey { key, name: name("bob"), role: Role::CryptoUser };
    let delete = Command::DeleteUser { name: name("bob"), role: Role::CryptoUser };
    assert_eq!(world.done(&alice, &unshare, &Made::Nothing), Err(Status::QuorumTooFew));
    assert_eq!(world.done(&admin, &delete, &Made::Nothing), Err(Status::QuorumTooFew));
    let share = Command::ShareKey { key, name: name("carol"), role: Role::CryptoUser };
    world.done(&alice, &share, &Made::Nothing).unwrap();
    world.done(&admin, &delete, &Made::Nothing).unwrap();
    // Bob is still on the list, and nobody.
    let unshare = Command::UnshareKey { key, name: name("carol"), role: Role::CryptoUser };
    assert_eq!(world.done(&alice, &unshare, &Made::Nothing), Err(Status::QuorumTooFew));
}

//! Keys that leave and come in where several users must agree: both the payload and the key that wraps or unwraps are managed.

use std::sync::Arc;

use strongroom_types::{
    AttributeName, AttributeValue, Derivation, Flag, KdfField, KeyClass, KeyQuorum, KeyReference, KeyType, Prf,
    QuorumService, Status, Template, WrapMechanism,
};

use super::super::world::{World, name};
use super::of_key;
use crate::permissions::Operation;
use crate::{
    Actor, Approval, Command, KeyUse, Made, MadeKey, NamedKey, Reply, Request, SourceKey, authorize_wrap,
    authorize_wrap_approved, check_session_keys,
};

const MANAGE: KeyQuorum = KeyQuorum { manage: 2, usage: 0 };
const MECHANISM: WrapMechanism = WrapMechanism::AesZeroPad;

/// An AES key of alice's that wraps and unwraps, shared with bob.
fn kek(world: &mut World, alice: &Actor, quorum: KeyQuorum) -> KeyReference {
    let may = |flag| (AttributeName::Flag(flag), AttributeValue::Bool(true));
    let template: Template = vec![may(Flag::Wrap), may(Flag::Unwrap)];
    let share_with = vec![name("bob")];
    let command = Command::GenerateSecret { key_type: KeyType::Aes, length_bytes: 32, template, share_with, quorum };
    let made = world.made_secret(KeyType::Aes);
    match world.done(alice, &command, &made).unwrap() {
        Reply::Key(view) => view.reference,
        other => panic!("{other:?}"),
    }
}

fn world() -> (World, [Actor; 2]) {
    let mut world = World::active();
    let users = [("alice", 1), ("bob", 2)].map(|(user, number)| world.approving_user(user, number));
    (world, users)
}

impl World {
    /// A request with approvals of both users for each of these keys.
    fn by_both(&mut self, actor: &Actor, keys: &[KeyReference]) -> Request {
        let approvals = keys.iter().map(|key| {
            let token = self.token(actor, of_key(QuorumService::KeyManagement, *key)).unwrap();
            Approval { token, approvers: vec![self.approver("alice", 1), self.approver("bob", 2)] }
        });
        let approvals = approvals.collect();
        Request { approvals, ..self.request() }
    }
}

#[test]
fn a_wrapping_is_approved_by_the_users_of_both_keys() {
    let (mut world, [alice, _]) = world();
    let plain_kek = kek(&mut world, &alice, KeyQuorum::NONE);
    let (kek, payload) = (kek(&mut world, &alice, MANAGE), world.quorum_key(&alice, &["bob"], MANAGE).unwrap());
    let plain = world.aes_reference(&alice, &[]);
    let keys = |wrapping, payload| (NamedKey::Stored(wrapping), NamedKey::Stored(payload));
    let status = |world: &World, wrapping, payload| {
        let found = authorize_wrap(&world.state, &alice, MECHANISM, keys(wrapping, payload), world.now_ms);
        found.err().map(|refusal| refusal.status)
    };
    assert_eq!(status(&world, plain_kek, plain), None);
    for (wrapping, payload) in [(kek, plain), (plain_kek, payload), (kek, payload)] {
        assert_eq!(status(&world, wrapping, payload), Some(Status::QuorumFailed));
    }
    let subjects = |keys: &[KeyReference]| keys.iter().map(|key| of_key(QuorumService::KeyManagement, *key)).collect();
    let command = Command::UseApproved { operation: Operation::KeyWrap, keys: subjects(&[kek, payload]) };
    for one in [kek, payload] {
        let request = world.by_both(&alice, &[one]);
        assert_eq!(world.again(&alice, &command, &Made::Nothing, &request), Err(Status::QuorumTokenInvalid));
    }
    let request = world.by_both(&alice, &[payload, kek]);
    assert_eq!(world.again(&alice, &command, &Made::Nothing, &request), Ok(Reply::Done));
    let (state, now_ms) = (&world.state, world.now_ms);
    assert!(authorize_wrap_approved(state, &alice, MECHANISM, keys(kek, payload), &request, now_ms).is_ok());
    assert!(request.approvals.iter().all(|approval| state.quorum_token(approval.token).is_none()));
    let other = Request::new(request.id, [9; 32]);
    let refused = authorize_wrap_approved(state, &alice, MECHANISM, keys(kek, payload), &other, now_ms);
    assert_eq!(refused.unwrap_err().status, Status::QuorumFailed);
}

#[test]
fn an_unwrapping_is_approved_by_the_users_of_the_key_that_unwraps() {
    let (mut world, [alice, bob]) = world();
    let kek = kek(&mut world, &alice, MANAGE);
    let command = |template: Template, quorum| Command::UnwrapKey {
        with: SourceKey::Stored(kek),
        mechanism: MECHANISM,
        wrapped_len: 40,
        class: KeyClass::SecretKey,
        key_type: KeyType::Aes,
        template,
        defaults: Template::new(),
        share_with: vec![name("alice")],
        quorum,
    };
    let mut made = || {
        let (reference, sealed) = (world.reference(), Some(Arc::from(&[5; 40][..])));
        let check_value = Some([7; 3]);
        Made::Key(MadeKey { reference, sealed, public: None, length_bytes: 32, weak: false, check_value })
    };
    let (first, second) = (made(), made());
    let plain = command(Template::new(), KeyQuorum::NONE);
    assert_eq!(world.done(&bob, &plain, &first), Err(Status::QuorumFailed));
    let request = world.by_both(&bob, &[kek]);
    assert!(matches!(world.again(&bob, &plain, &first, &request), Ok(Reply::Key(_))));
    let again = Request { approvals: request.approvals, ..world.request() };
    assert_eq!(world.again(&bob, &plain, &second, &again), Err(Status::QuorumRequired));
    // What comes in may need approvals itself, of no more users than it has.
    let request = world.by_both(&bob, &[kek]);
    let too_many = command(Template::new(), KeyQuorum { manage: 3, usage: 0 });
    assert_eq!(world.again(&bob, &too_many, &second, &request), Err(Status::QuorumValueInvalid));
    let own = command(Template::new(), MANAGE);
    let Ok(Reply::Key(view)) = world.again(&bob, &own, &second, &request) else { panic!("no key") };
    assert_eq!(view.quorum, MANAGE);
    // Nothing is committed for a session key, so nothing could be spent.
    let token = (AttributeName::Flag(Flag::Token), AttributeValue::Bool(false));
    let Command::UnwrapKey { with, mechanism, wrapped_len, class, key_type, .. } = plain else { unreachable!() };
    let (template, defaults, share_with) = (vec![token], Template::new(), Vec::new());
    let quorum = KeyQuorum::NONE;
    let session =
        Command::UnwrapKey { with, mechanism, wrapped_len, class, key_type, template, defaults, share_with, quorum };
    let refused = check_session_keys(&world.state, &bob, &session, world.now_ms);
    assert_eq!(refused.unwrap_err().status, Status::QuorumFailed);
}

/// Whoever unwraps a message as a generic secret that is not sensitive reads it.
#[test]
fn fewer_users_than_approve_a_use_do_not_unwrap() {
    let (mut world, [alice, bob]) = world();
    let quorum = |manage, usage| KeyQuorum { manage, usage };
    let unwrap = |with, token: bool| Command::UnwrapKey {
        with: SourceKey::Stored(with),
        mechanism: MECHANISM,
        wrapped_len: 40,
        class: KeyClass::SecretKey,
        key_type: KeyType::GenericSecret,
        template: [(Flag::Sensitive, false), (Flag::Token, token)]
            .map(|(flag, value)| (AttributeName::Flag(flag), AttributeValue::Bool(value)))
            .into(),
        defaults: Template::new(),
        share_with: Vec::new(),
        quorum: KeyQuorum::NONE,
    };
    let made = |world: &mut World| {
        let (reference, sealed) = (world.reference(), Some(Arc::from(&[5; 40][..])));
        Made::Key(MadeKey { reference, sealed, public: None, length_bytes: 32, weak: false, check_value: None })
    };
    for (values, expected) in
        [(quorum(0, 1), Ok(())), (quorum(0, 2), Err(Status::QuorumFailed)), (quorum(1, 2), Err(Status::QuorumFailed))]
    {
        let kek = kek(&mut world, &alice, values);
        for user in [&alice, &bob] {
            let made = made(&mut world);
            assert_eq!(world.done(user, &unwrap(kek, true), &made).map(drop), expected, "{values:?}");
            let session = check_session_keys(&world.state, user, &unwrap(kek, false), world.now_ms);
            assert_eq!(session.map_err(|refusal| refusal.status), expected, "{values:?}");
        }
    }
    // As many approve it as a use.
    let both = kek(&mut world, &alice, quorum(2, 2));
    let (request, made) = (world.by_both(&bob, &[both]), made(&mut world));
    assert_eq!(world.done(&bob, &unwrap(both, true), &made).map(drop), Err(Status::QuorumFailed));
    assert!(matches!(world.again(&bob, &unwrap(both, true), &made, &request), Ok(Reply::Key(_))));
    // Two do not where three must.
    let unwraps = |values| KeyUse::Unwrap(MECHANISM, 40).evades(values);
    assert_eq!([quorum(2, 3), quorum(3, 3), quorum(3, 2), quorum(2, 0)].map(unwraps), [true, false, false, false]);
}

#[test]
fn a_derivation_is_approved_by_the_users_of_the_base_key() {
    let (mut world, [alice, bob]) = world();
    let template = vec![(AttributeName::Flag(Flag::Derive), AttributeValue::Bool(true))];
    let (share_with, key_type, length_bytes) = (vec![name("bob")], KeyType::Aes, 32);
    let command = Command::GenerateSecret { key_type, length_bytes, template, share_with, quorum: MANAGE };
    let made = world.made_secret(KeyType::Aes);
    let Ok(Reply::Key(base)) = world.done(&alice, &command, &made) else { panic!("no key") };
    let fields = vec![KdfField::Counter { bits: 8 }];
    let derive = Command::DeriveKey {
        base: SourceKey::Stored(base.reference),
        derivation: Derivation::CounterKdf { prf: Prf::AesCmac, fields },
        key_type,
        length_bytes,
        template: Template::new(),
    };
    let mut made = || {
        let (reference, sealed) = (world.reference(), Some(Arc::from(&[5; 40][..])));
        let check_value = Some([7; 3]);
        Made::Key(MadeKey { reference, sealed, public: None, length_bytes, weak: false, check_value })
    };
    let (first, second) = (made(), made());
    assert_eq!(world.done(&bob, &derive, &first), Err(Status::QuorumFailed));
    let request = world.by_both(&bob, &[base.reference]);
    assert!(matches!(world.again(&bob, &derive, &first, &request), Ok(Reply::Key(_))));
    let again = Request { approvals: request.approvals, ..world.request() };
    assert_eq!(world.again(&bob, &derive, &second, &again), Err(Status::QuorumRequired));
}

//! Changes: request ids, deadlines, rules.

use std::time::{Duration, Instant};

use strongroom_store::CommitFault;
use strongroom_types::Status;
use strongroom_types::limits::REQUEST_MS_MAX;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::super::{RETRY_AFTER_MS, Turn, refused as response, time_of};
use super::world::{CRYPTO_USER, Client, PASSWORD, World, aes, key_delete, refused, user_create};

fn reference(answer: Answer) -> u64 {
    match answer {
        Answer::KeyGenerateSecret(key) => key.reference,
        _ => panic!("another answer"),
    }
}

#[test]
fn a_change_acts_once() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut alice = Client::alice(&first);
    let made = reference(alice.change_as(&[1; 16], aes("one")).unwrap());
    assert_eq!(reference(alice.change_as(&[1; 16], aes("one")).unwrap()), made);
    let mut there = Client::alice(&second);
    assert_eq!(reference(there.change_as(&[1; 16], aes("one")).unwrap()), made);
    refused(there.change_as(&[1; 16], aes("two")), Status::RequestIdReused);
    let mut bob = Client::logged_in(&second, "bob", CRYPTO_USER);
    refused(bob.change_as(&[1; 16], aes("one")), Status::RequestIdReused);
    alice.change_as(&[2; 16], key_delete(made)).unwrap();
    there.change_as(&[2; 16], key_delete(made)).unwrap();
    refused(there.change(key_delete(made)), Status::KeyUnknown);
    refused(alice.change_as(&[1; 16], aes("one")), Status::KeyUnknown);
    assert_eq!(first.cluster.state().keys_len(), 0);
}

#[test]
fn a_repeat_may_have_another_id_deadline_and_revision() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let request = |deadline_ms| v1::Request {
        deadline_ms,
        request_id: vec![1; 16],
        operation: Some(aes("one")),
        ..v1::Request::default()
    };
    let made = reference(alice.send(request(0)).unwrap());
    alice.change(aes("another")).unwrap();
    assert_eq!(reference(alice.send(request(20_000)).unwrap()), made);
}

#[test]
fn a_change_whose_commit_is_uncertain_is_settled() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    for (count, fault) in
        [CommitFault::Conflict, CommitFault::UnknownApplied, CommitFault::UnknownLost].into_iter().enumerate()
    {
        member.door.fail_next_commit(fault);
        alice.change(aes("once")).unwrap();
        assert_eq!(member.cluster.state().keys_len(), count + 1, "{fault:?}");
    }
}

#[test]
fn changes_need_an_id_of_16_bytes() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    for id in [&[][..], &[1], &[1; 15], &[1; 17]] {
        assert_eq!(refused(alice.change_as(id, aes("one")), Status::MalformedRequest), "request_id");
    }
}

#[test]
fn a_deadline_at_below_and_above_the_longest() {
    let max = u32::try_from(REQUEST_MS_MAX).unwrap();
    let check = |given, expected: u32| assert_eq!(time_of(given), Duration::from_millis(expected.into()), "{given}");
    check(1, 1);
    check(max - 1, max - 1);
    check(max, max);
    check(max + 1, max);
    check(u32::MAX, max);
    check(0, max);
}

#[test]
fn a_request_without_operation_or_without_time_is_refused() {
    let (_world, member) = World::active();
    let mut client = Client::of(&member);
    refused(client.send(v1::Request::default()), Status::OperationUnknown);
    let late = v1::Request {
        deadline_ms: 5,
        operation: Some(Operation::Hello(v1::Hello::default())),
        ..v1::Request::default()
    };
    let arrived = Instant::now().checked_sub(Duration::from_millis(6)).unwrap();
    refused(client.send_arrived(late, arrived), Status::DeadlineExceeded);
    client.seen = member.cluster.state().revision().0;
    let seen = client.seen;
    client.seen = seen + 1_000;
    let request = v1::Request {
        seen_revision: seen + 1_000,
        operation: Some(Operation::Hello(v1::Hello::default())),
        ..v1::Request::default()
    };
    // Another cluster's revision.
    let response = member.service.answer(&mut client.session, request, Instant::now(), &Turn::free());
    assert_eq!(response.status, u32::from(Status::StoreUnavailable.number()));
    assert_eq!((response.revision, response.retry_after_ms), (seen, RETRY_AFTER_MS));
}

#[test]
fn rules_are_checked_before_anything_is_made() {
    let (_world, member) = World::active();
    let mut admin = Client::admin(&member);
    refused(admin.change(user_create("bad name", PASSWORD)), Status::UserNameInvalid);
    let about = refused(admin.change(user_create("carol", "short")), Status::PasswordInvalid);
    assert!(about.contains("shorter") && !about.contains("short "), "{about}");
    refused(admin.change(user_create("alice", PASSWORD)), Status::UserExists);
    let delete = |name: &str, role| Operation::UserDelete(v1::UserDelete { user_name: name.into(), role });
    refused(admin.change(delete("nobody", CRYPTO_USER)), Status::UserUnknown);
    refused(admin.change(delete("admin", v1::Role::Admin.into())), Status::LastAdmin);
    refused(admin.change(delete("app_user", v1::Role::ApplianceUser.into())), Status::UserInternal);
    let mut alice = Client::alice(&member);
    alice.change(aes("one")).unwrap();
    refused(admin.change(delete("alice", CRYPTO_USER)), Status::UserOwnsKeys);
    admin.change(delete("bob", CRYPTO_USER)).unwrap();
    let pair = |algorithm| Operation::KeyGeneratePair(v1::KeyGeneratePair { algorithm, ..Default::default() });
    let rsa = |modulus_bits, exponent: &[u8]| {
        let rsa = v1::RsaParameters { modulus_bits, public_exponent: exponent.into() };
        pair(Some(v1::key_generate_pair::Algorithm::Rsa(rsa)))
    };
    assert_eq!(refused(alice.change(pair(None)), Status::MalformedRequest), "algorithm");
    refused(alice.change(rsa(2100, &[1, 0, 1])), Status::KeySizeInvalid);
    refused(alice.change(rsa(1024, &[1, 0, 1])), Status::KeySizeInvalid);
    assert!(alice.change(rsa(2048, &[3])).is_err());
    refused(alice.change(pair(Some(v1::key_generate_pair::Algorithm::Curve(99)))), Status::CurveInvalid);
    let secret = |key_type: v1::KeyType, length_bytes| {
        let key_type = key_type.into();
        Operation::KeyGenerateSecret(v1::KeyGenerateSecret { key_type, length_bytes, ..Default::default() })
    };
    refused(alice.change(secret(v1::KeyType::Aes, 17)), Status::KeySizeInvalid);
    refused(alice.change(secret(v1::KeyType::GenericSecret, 801)), Status::KeySizeInvalid);
    refused(alice.change(secret(v1::KeyType::GenericSecret, u32::MAX)), Status::KeySizeInvalid);
    assert!(alice.change(secret(v1::KeyType::Rsa, 32)).is_err());
    alice.change(secret(v1::KeyType::GenericSecret, 800)).unwrap();
    let shared = |names: Vec<String>| {
        let Operation::KeyGenerateSecret(message) = aes("shared") else { panic!("another operation") };
        Operation::KeyGenerateSecret(v1::KeyGenerateSecret { share_with: names, ..message })
    };
    refused(alice.change(shared(vec!["nobody".into()])), Status::UserUnknown);
    refused(alice.change(shared(vec!["no name".into()])), Status::UserNameInvalid);
    refused(alice.change(shared(vec!["bob".into(); 1_025])), Status::MalformedRequest);
    assert_eq!(member.cluster.state().keys_len(), 2);
}

#[test]
fn what_refusals_are_about_is_bounded() {
    let refusal = strongroom_types::Refusal::new(Status::Busy, "ü".repeat(1_000));
    let answered = response(7, refusal);
    assert_eq!((answered.id, answered.retry_after_ms, answered.about.len()), (7, RETRY_AFTER_MS, 512));
}

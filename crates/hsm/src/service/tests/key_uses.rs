//! Uses of keys by GCM, counted over HSMs and their lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_core::{Actor, Command, Made, Reply, Request};
use strongroom_types::limits::KEY_USES_MAX;
use strongroom_types::{CipherMechanism, GcmTag, KeyReference, Refusal, RequestId, Status};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{cipher, v1};

use super::world::{Client, Member, World, aes, flag, key_delete, label, refused};
use crate::cluster::Change;
use crate::key_uses::Reserver;
use crate::log::Log;

/// What an HSM reserves at a key's first use, and the next time.
const FIRST: u64 = 1 << 16;
const SECOND: u64 = 1 << 20;

fn gcm_key(client: &mut Client<'_>) -> KeyReference {
    let message = v1::KeyGenerateSecret {
        key_type: v1::KeyType::Aes.into(),
        length_bytes: 32,
        template: vec![label("gcm"), flag("encrypt"), flag("wrap")],
        ..v1::KeyGenerateSecret::default()
    };
    match client.change(Operation::KeyGenerateSecret(message)).unwrap() {
        Answer::KeyGenerateSecret(key) => KeyReference::from_u64(key.reference).unwrap(),
        _ => panic!("another answer"),
    }
}

fn encrypt(client: &mut Client<'_>, key: KeyReference) -> Result<(), Refusal> {
    let mechanism = CipherMechanism::AesGcm { tag: GcmTag::of_bits(128).unwrap(), aad: Vec::new(), iv: None };
    client.ask(Operation::Encrypt(cipher::encrypt_message(key, &mechanism, b"data"))).map(drop)
}

fn wrap(client: &mut Client<'_>, payload: u64, key: KeyReference, gcm: v1::WrapMechanism) -> Result<(), Refusal> {
    let is_gcm = gcm != v1::WrapMechanism::AesZeroPad;
    let wrapping = v1::Wrapping { mechanism: gcm.into(), tag_bits: if is_gcm { 128 } else { 0 }, ..Default::default() };
    let message = v1::KeyWrap { payload, wrapping_key: key.as_u64(), wrapping: Some(wrapping) };
    client.ask(Operation::KeyWrap(message)).map(drop)
}

fn reserved(member: &Member, key: KeyReference) -> u64 {
    member.cluster.state().key(key).unwrap().uses_reserved
}

/// As another HSM would.
fn reserve(member: &Member, key: KeyReference, uses: u64) -> Reply {
    let request = Request::new(RequestId::from_bytes(strongroom_crypto::random::bytes()), [0; 32]);
    let command = Command::ReserveUses { key, uses };
    let change = Change { actor: Actor::Hsm, command, made: Made::Nothing, request };
    member.cluster.change(change, Instant::now() + Duration::from_secs(10)).unwrap().reply
}

/// Waits until the thread that reserves ahead has done so.
fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_key_is_used_to_its_last_use() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let key = gcm_key(&mut alice);
    reserve(&member, key, KEY_USES_MAX - 3);
    for _ in 0..3 {
        encrypt(&mut alice, key).unwrap();
    }
    assert_eq!(reserved(&member, key), KEY_USES_MAX);
    refused(encrypt(&mut alice, key), Status::KeyUsesExhausted);
    let log = std::fs::read_to_string(&member.log).unwrap();
    assert_eq!(log.matches(&format!("uses of key {key} by AES-GCM are gone")).count(), 1, "{log}");
    // Wrapping by GCM is the same use; the rest goes on.
    let Answer::KeyGenerateSecret(payload) = alice.change(aes("payload")).unwrap() else { panic!("another answer") };
    let payload = payload.reference;
    for gcm in [v1::WrapMechanism::AesGcm, v1::WrapMechanism::CloudhsmAesGcm] {
        refused(wrap(&mut alice, payload, key, gcm), Status::KeyUsesExhausted);
    }
    wrap(&mut alice, payload, key, v1::WrapMechanism::AesZeroPad).unwrap();
    let ctr = CipherMechanism::AesCtr { counter: [0; 16] };
    alice.ask(Operation::Encrypt(cipher::encrypt_message(key, &ctr, b"data"))).unwrap();
}

#[test]
fn wrapping_counts_and_what_is_no_gcm_does_not() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let key = gcm_key(&mut alice);
    let Answer::KeyGenerateSecret(payload) = alice.change(aes("payload")).unwrap() else { panic!("another answer") };
    wrap(&mut alice, payload.reference, key, v1::WrapMechanism::AesZeroPad).unwrap();
    assert_eq!(reserved(&member, key), 0);
    wrap(&mut alice, payload.reference, key, v1::WrapMechanism::AesGcm).unwrap();
    wrap(&mut alice, payload.reference, key, v1::WrapMechanism::CloudhsmAesGcm).unwrap();
    encrypt(&mut alice, key).unwrap();
    assert_eq!((reserved(&member, key), member.keys.uses().left(key)), (FIRST, FIRST - 3));
    // Who may not is refused, and uses nothing.
    let mut bob = Client::logged_in(&member, "bob", super::world::CRYPTO_USER);
    refused(encrypt(&mut bob, key), Status::KeyUnknown);
    assert_eq!(member.keys.uses().left(key), FIRST - 3);
    alice.change(key_delete(key.as_u64())).unwrap();
    refused(encrypt(&mut alice, key), Status::KeyUnknown);
}

#[test]
fn each_hsm_has_its_own_and_a_new_life_begins_small() {
    let (world, member) = World::active();
    let other = world.member(2);
    let mut alice = Client::alice(&member);
    let key = gcm_key(&mut alice);
    encrypt(&mut alice, key).unwrap();
    let mut elsewhere = Client::alice(&other);
    encrypt(&mut elsewhere, key).unwrap();
    assert_eq!(reserved(&other, key), 2 * FIRST);
    assert_eq!((member.keys.uses().left(key), other.keys.uses().left(key)), (FIRST - 1, FIRST - 1));
    // What an HSM had when it ended is lost, and nothing is used twice.
    drop(elsewhere);
    other.cluster.stop();
    let again = world.member(2);
    let mut elsewhere = Client::alice(&again);
    encrypt(&mut elsewhere, key).unwrap();
    assert_eq!((reserved(&again, key), again.keys.uses().left(key)), (3 * FIRST, FIRST - 1));
}

#[test]
fn more_is_reserved_while_a_quarter_is_left() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let key = gcm_key(&mut alice);
    encrypt(&mut alice, key).unwrap();
    member.keys.uses().use_all_but(key, FIRST / 4 + 1);
    encrypt(&mut alice, key).unwrap();
    wait_until("nothing was reserved ahead", || member.keys.uses().left(key) > FIRST);
    assert_eq!(reserved(&member, key), FIRST + SECOND);
    encrypt(&mut alice, key).unwrap();
}

#[test]
fn what_is_reserved_is_used_while_the_store_is_away() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let (key, unused) = (gcm_key(&mut alice), gcm_key(&mut alice));
    encrypt(&mut alice, key).unwrap();
    member.keys.uses().use_all_but(key, FIRST / 4 + 1);
    member.door.set_unavailable(true);
    let began = Instant::now();
    for _ in 0..100 {
        encrypt(&mut alice, key).unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(5), "a use waited for the store");
    let mechanism = CipherMechanism::AesGcm { tag: GcmTag::of_bits(128).unwrap(), aad: Vec::new(), iv: None };
    let operation = Some(Operation::Encrypt(cipher::encrypt_message(unused, &mechanism, b"data")));
    let request = v1::Request { operation, deadline_ms: 300, ..v1::Request::default() };
    assert!(alice.send(request).is_err(), "none of this key were reserved");
    member.door.set_unavailable(false);
    wait_until("nothing was reserved when the store came back", || {
        encrypt(&mut alice, key).unwrap();
        member.keys.uses().left(key) > FIRST
    });
    encrypt(&mut alice, unused).unwrap();
}

/// Who gives up waiting costs a key nothing: what is reserved for that use is there for the next.
#[test]
fn what_was_reserved_for_a_use_that_gave_up_is_not_lost() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let key = gcm_key(&mut alice);
    member.door.hold_commits(true);
    let mechanism = CipherMechanism::AesGcm { tag: GcmTag::of_bits(128).unwrap(), aad: Vec::new(), iv: None };
    let operation = Some(Operation::Encrypt(cipher::encrypt_message(key, &mechanism, b"data")));
    assert!(alice.send(v1::Request { operation, deadline_ms: 100, ..v1::Request::default() }).is_err());
    member.door.hold_commits(false);
    encrypt(&mut alice, key).unwrap();
    assert_eq!((reserved(&member, key), member.keys.uses().left(key)), (FIRST, FIRST - 1));
}

/// A use that waits for the store is decided on again: what was taken away meanwhile has been acknowledged.
#[test]
fn what_was_taken_away_during_the_wait_is_seen() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let key = gcm_key(&mut alice);
    let Answer::KeyGenerateSecret(payload) = alice.change(aes("payload")).unwrap() else { panic!("another answer") };
    let forbid = |alice: &mut Client<'_>, name: &str| {
        let value = Some(v1::attribute::Value::Boolean(false));
        let attribute = Some(v1::Attribute { name: name.into(), value });
        let set = v1::KeySetAttribute { reference: key.as_u64(), attribute };
        alice.change(Operation::KeySetAttribute(set)).unwrap();
    };
    for purpose in ["encrypt", "wrap"] {
        let uses = member.keys.uses();
        uses.use_all_but(key, 0);
        uses.set_reserving(key, true);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut other = Client::alice(&member);
                match purpose {
                    "encrypt" => encrypt(&mut other, key),
                    _ => wrap(&mut other, payload.reference, key, v1::WrapMechanism::AesGcm),
                }
            });
            wait_until("nobody takes a use", || uses.taking(key) == 1);
            forbid(&mut alice, purpose);
            uses.use_all_but(key, 5);
            uses.set_reserving(key, false);
            refused(waiting.join().unwrap(), Status::KeyFunctionNotPermitted);
        });
    }
}

#[test]
fn a_use_that_comes_after_its_keys_end_leaves_nothing_behind() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let key = gcm_key(&mut alice);
    encrypt(&mut alice, key).unwrap();
    assert_eq!(member.keys.uses().len(), 1);
    alice.change(key_delete(key.as_u64())).unwrap();
    assert_eq!(member.keys.uses().len(), 0);
    let log = Arc::new(Log::open(&member.log).unwrap());
    let reserver = Reserver::new(Arc::clone(&member.cluster), Arc::clone(member.keys.uses()), log);
    refused(reserver.take(key, Instant::now() + Duration::from_secs(10)), Status::KeyUnknown);
    assert_eq!(member.keys.uses().len(), 0);
}

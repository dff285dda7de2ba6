//! Approvals as an HSM finds them: signatures, tokens, members that are shown the same.

use strongroom_store::CommitFault;
use strongroom_types::{CipherMechanism, GcmTag, KeyReference, MacMechanism, Status};
use strongroom_wire::v1::QuorumService as Service;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{cipher, convert, v1};

use super::tokens::TokenSigner;
use super::world::{ADMIN, CRYPTO_USER, Client, Member, PASSWORD, World, flag, label, refused, user_create};

/// An active cluster of one member, with the admins admin and bea, who have registered keys, and the value 2 of user.
fn two_admins() -> (World, Member, [TokenSigner; 2]) {
    let (world, member) = World::active();
    let signers = [TokenSigner::new(2048), TokenSigner::new(2048)];
    let mut admin = Client::admin(&member);
    let bea = v1::UserCreate { user_name: "bea".into(), role: ADMIN, password: PASSWORD.into() };
    admin.change(Operation::UserCreate(bea)).unwrap();
    admin.register(&signers[0]).unwrap();
    Client::logged_in(&member, "bea", ADMIN).register(&signers[1]).unwrap();
    admin.change(set_value(2)).unwrap();
    (world, member, signers)
}

fn set_value(value: u32) -> Operation {
    Operation::QuorumSetValue(v1::QuorumSetValue { service: Service::User.into(), value })
}

fn by_both(signers: &[TokenSigner; 2], approval_data: &[u8]) -> v1::Approval {
    let signatures = ["admin", "bea"].into_iter().zip(signers);
    let signatures = signatures.map(|(name, signer)| signer.signature(name, ADMIN, approval_data)).collect();
    v1::Approval { approval_data: approval_data.to_vec(), signatures }
}

fn create(name: &str) -> Operation {
    user_create(name, PASSWORD)
}

#[test]
fn two_admins_approve_and_each_wrong_signature_is_named() {
    let (_world, member, signers) = two_admins();
    let mut admin = Client::admin(&member);
    assert_eq!(refused(admin.change(create("dan")), Status::QuorumRequired), "");
    let data = admin.token(Service::User, 0).unwrap();
    let good = by_both(&signers, &data);
    let check = |admin: &mut Client<'_>, expected: Status, says: &str, change: &dyn Fn(&mut v1::Approval)| {
        let mut approval = good.clone();
        change(&mut approval);
        let about = refused(admin.approved(create("dan"), approval), expected);
        assert!(about.contains(says), "{says}: {about}");
    };
    let invalid = Status::TokenSignatureInvalid;
    check(&mut admin, Status::QuorumRequired, "1 of the 2", &|approval| drop(approval.signatures.pop()));
    check(&mut admin, Status::QuorumRequired, "1 of the 2", &|approval| {
        approval.signatures[1] = approval.signatures[0].clone();
    });
    check(&mut admin, invalid, "bea", &|approval| approval.signatures[1].signature[0] ^= 1);
    check(&mut admin, invalid, "bea", &|approval| {
        approval.signatures[1] = v1::ApprovalSignature { user_name: "bea".into(), ..approval.signatures[0].clone() };
    });
    check(&mut admin, invalid, "alice", &|approval| approval.signatures[1].user_name = "alice".into());
    check(&mut admin, invalid, "bea", &|approval| approval.signatures[1].role = CRYPTO_USER);
    check(&mut admin, invalid, "nobody", &|approval| approval.signatures[1].user_name = "nobody".into());
    check(&mut admin, Status::QuorumTokenInvalid, "changed", &|approval| approval.approval_data[79] = 1);
    check(&mut admin, Status::QuorumTokenInvalid, "changed", &|approval| approval.approval_data[32] ^= 0x20);
    // Another id is another token, or none.
    check(&mut admin, Status::QuorumRequired, "", &|approval| approval.approval_data[16] ^= 1);
    check(&mut admin, Status::MalformedRequest, "approval_data", &|approval| approval.approval_data.push(0));
    admin.approved(create("dan"), good.clone()).unwrap();
    assert_eq!(refused(admin.approved(create("eve"), good), Status::QuorumRequired), "");
}

#[test]
fn approvals_made_on_one_member_are_good_on_another_once() {
    let (world, first, signers) = two_admins();
    let second = world.member(2);
    let mut here = Client::admin(&first);
    let data = here.token(Service::User, 0).unwrap();
    let mut there = Client::of(&second);
    there.attach(&here.ticket).unwrap();
    there.seen = here.seen;
    let approval = by_both(&signers, &data);
    // Another login of the same user cannot use it.
    let mut other = Client::admin(&second);
    refused(other.approved(create("eve"), approval.clone()), Status::QuorumTokenInvalid);
    there.approved(create("dan"), approval.clone()).unwrap();
    // This member has not been told yet, and asks.
    refused(here.approved(create("eve"), approval), Status::QuorumRequired);
}

#[test]
fn of_two_members_that_are_shown_one_token_at_once_one_uses_it() {
    let (world, first, signers) = two_admins();
    let second = world.member(2);
    for round in 0..10 {
        let mut here = Client::admin(&first);
        let data = here.token(Service::User, 0).unwrap();
        let approval = by_both(&signers, &data);
        let (ticket, seen) = (here.ticket.clone(), here.seen);
        let done = std::thread::scope(|scope| {
            let ask = |member, name: String| {
                let (approval, ticket) = (approval.clone(), ticket.clone());
                scope.spawn(move || {
                    let mut client = Client::of(member);
                    client.seen = seen;
                    client.attach(&ticket).unwrap();
                    client.approved(create(&name), approval)
                })
            };
            let asked = [ask(&first, format!("here-{round}")), ask(&second, format!("there-{round}"))];
            asked.map(|thread| thread.join().unwrap())
        });
        let refusals: Vec<_> = done.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert_eq!(refusals.iter().map(|refusal| refusal.status).collect::<Vec<_>>(), [Status::QuorumRequired]);
    }
}

#[test]
fn an_approved_change_whose_commit_is_uncertain_is_made_once() {
    let (_world, member, signers) = two_admins();
    let mut admin = Client::admin(&member);
    for (number, fault) in
        [CommitFault::Conflict, CommitFault::UnknownApplied, CommitFault::UnknownLost].into_iter().enumerate()
    {
        let data = admin.token(Service::User, 0).unwrap();
        member.door.fail_next_commit(fault);
        let approval = by_both(&signers, &data);
        let id = [u8::try_from(number).unwrap(); 16];
        let name = format!("user-{number}");
        admin.approved_as(&id, create(&name), approval.clone()).unwrap();
        // Asked again, with or without approvals, it answers the same.
        admin.approved_as(&id, create(&name), approval.clone()).unwrap();
        admin.change_as(&id, create(&name)).unwrap();
        refused(admin.approved(create("another"), approval), Status::QuorumRequired);
    }
}

/// A pair of alice's, shared with bob, whose use two must approve.
fn shared_pair(alice: &mut Client<'_>) -> u64 {
    let message = v1::KeyGeneratePair {
        algorithm: Some(v1::key_generate_pair::Algorithm::Curve(v1::Curve::P256.into())),
        public_template: vec![label("both"), flag("verify")],
        private_template: vec![label("both"), flag("sign")],
        share_with: vec!["bob".into()],
        use_quorum: 2,
        ..v1::KeyGeneratePair::default()
    };
    match alice.change(Operation::KeyGeneratePair(message)).unwrap() {
        Answer::KeyGeneratePair(pair) => pair.private_key.unwrap().reference,
        _ => panic!("another answer"),
    }
}

fn sign(key: u64, data: u8) -> Operation {
    let mechanism = v1::Mechanism::Ecdsa.into();
    Operation::Sign(v1::Sign { key, mechanism, data: vec![data; 32], ..v1::Sign::default() })
}

#[test]
fn an_approved_signature_is_for_one_request_and_survives_a_lost_answer() {
    let (world, first) = World::active();
    let second = world.member(2);
    let signers = [TokenSigner::new(2048), TokenSigner::new(2048)];
    let (mut alice, mut bob) = (Client::alice(&first), Client::logged_in(&first, "bob", CRYPTO_USER));
    alice.register(&signers[0]).unwrap();
    bob.register(&signers[1]).unwrap();
    let key = shared_pair(&mut alice);
    bob.seen = alice.seen;
    refused(bob.ask(sign(key, 7)), Status::QuorumFailed);
    let data = bob.token(Service::KeyUsage, key).unwrap();
    let signatures = ["alice", "bob"].into_iter().zip(&signers);
    let signatures = signatures.map(|(name, signer)| signer.signature(name, CRYPTO_USER, &data)).collect();
    let approval = v1::Approval { approval_data: data, signatures };
    // Without an id a repeat could not be told from another use.
    let approvals = vec![approval.clone()];
    let without = v1::Request { approvals, operation: Some(sign(key, 7)), ..v1::Request::default() };
    assert_eq!(refused(bob.send(without), Status::MalformedRequest), "request_id");
    bob.approved_as(&[1; 16], sign(key, 7), approval.clone()).unwrap();
    // The HSM died before its answer arrived: another one gives it.
    let mut there = Client::of(&second);
    there.attach(&bob.ticket).unwrap();
    there.seen = bob.seen;
    there.approved_as(&[1; 16], sign(key, 7), approval.clone()).unwrap();
    // Other data under that id, the same under another one, and by another user.
    refused(there.approved_as(&[1; 16], sign(key, 8), approval.clone()), Status::RequestIdReused);
    refused(there.approved_as(&[2; 16], sign(key, 7), approval.clone()), Status::QuorumRequired);
    refused(alice.approved_as(&[1; 16], sign(key, 7), approval.clone()), Status::RequestIdReused);
    // What is no signature at all uses no token up.
    let data = bob.token(Service::KeyUsage, key).unwrap();
    let signatures = ["alice", "bob"].into_iter().zip(&signers);
    let signatures = signatures.map(|(name, signer)| signer.signature(name, CRYPTO_USER, &data)).collect();
    let approval = v1::Approval { approval_data: data, signatures };
    let mechanism = v1::Mechanism::RsaPkcs.into();
    let wrong = Operation::Sign(v1::Sign { key, mechanism, data: vec![7; 32], ..v1::Sign::default() });
    refused(bob.approved(wrong, approval.clone()), Status::KeyTypeInconsistent);
    bob.approved(sign(key, 9), approval).unwrap();
    assert_eq!(first.cluster.state().quorum_values().user, 1);
}

#[test]
fn what_several_must_approve_is_encrypted_and_authenticated_with_approvals_only() {
    let (_world, member) = World::active();
    let signers = [TokenSigner::new(2048), TokenSigner::new(2048)];
    let (mut alice, mut bob) = (Client::alice(&member), Client::logged_in(&member, "bob", CRYPTO_USER));
    alice.register(&signers[0]).unwrap();
    bob.register(&signers[1]).unwrap();
    let message = v1::KeyGenerateSecret {
        key_type: v1::KeyType::Aes.into(),
        length_bytes: 32,
        template: vec![label("both"), flag("encrypt"), flag("decrypt")],
        share_with: vec!["bob".into()],
        use_quorum: 2,
        ..v1::KeyGenerateSecret::default()
    };
    let Answer::KeyGenerateSecret(key) = alice.change(Operation::KeyGenerateSecret(message)).unwrap() else {
        panic!("another answer")
    };
    let (reference, key) = (KeyReference::from_u64(key.reference).unwrap(), key.reference);
    let approval = |client: &mut Client<'_>| {
        let data = client.token(Service::KeyUsage, key).unwrap();
        let signatures = ["alice", "bob"].into_iter().zip(&signers);
        let signatures = signatures.map(|(name, signer)| signer.signature(name, CRYPTO_USER, &data)).collect();
        v1::Approval { approval_data: data, signatures }
    };
    let tag = GcmTag::of_bits(128).unwrap();
    let gcm = |iv| CipherMechanism::AesGcm { tag, aad: Vec::new(), iv };
    let encrypt = Operation::Encrypt(cipher::encrypt_message(reference, &gcm(None), b"data"));
    refused(alice.ask(encrypt.clone()), Status::QuorumFailed);
    let good = approval(&mut alice);
    let Answer::Encrypt(sealed) = alice.approved(encrypt.clone(), good.clone()).unwrap() else {
        panic!("another answer")
    };
    refused(alice.approved(encrypt, good), Status::QuorumRequired);
    let opens = gcm(Some(sealed.iv[..].try_into().unwrap()));
    let decrypt = Operation::Decrypt(cipher::decrypt_message(reference, &opens, &sealed.data));
    refused(alice.ask(decrypt.clone()), Status::QuorumFailed);
    let good = approval(&mut alice);
    let Answer::Decrypt(opened) = alice.approved(decrypt, good).unwrap() else { panic!("another answer") };
    assert_eq!(opened.data, b"data");
    let (mechanism, hash) = convert::mac_parts(MacMechanism::AesCmac);
    let mac = Operation::Sign(v1::Sign { key, mechanism, hash, data: b"data".to_vec(), ..v1::Sign::default() });
    refused(alice.ask(mac.clone()), Status::QuorumFailed);
    let good = approval(&mut alice);
    let Answer::Sign(made) = alice.approved(mac, good).unwrap() else { panic!("another answer") };
    // Verifying makes nothing.
    let (data, signature) = (b"data".to_vec(), made.signature);
    bob.seen = alice.seen;
    bob.ask(Operation::Verify(v1::Verify { key, mechanism, hash, salt_length: 0, data, signature })).unwrap();
}

#[test]
fn what_is_no_key_or_not_ones_own_is_not_registered() {
    let (_world, member) = World::active();
    let (mut alice, signer, other) = (Client::alice(&member), TokenSigner::new(2048), TokenSigner::new(2048));
    let short = TokenSigner::new(3072);
    refused(alice.register(&short), Status::TokenKeyInvalid);
    let mut register = |public_key: &[u8], approval_data: &[u8], signature: Vec<u8>| {
        let message =
            v1::UserChangeQuorum { public_key: public_key.to_vec(), approval_data: approval_data.to_vec(), signature };
        alice.change(Operation::UserChangeQuorum(message))
    };
    refused(register(b"no key", &[1; 80], vec![1; 256]), Status::TokenKeyInvalid);
    refused(register(&signer.public_key, &[1; 80], vec![1; 256]), Status::QuorumRequired);
    refused(register(&signer.public_key, &[1; 79], vec![1; 256]), Status::MalformedRequest);
    let data = Client::alice(&member).token(Service::Registration, 0).unwrap();
    refused(register(&signer.public_key, &data, signer.approve(&data)), Status::QuorumTokenInvalid);
    let data = alice.token(Service::Registration, 0).unwrap();
    let mut register = |public_key: &[u8], signature: Vec<u8>| {
        let message = v1::UserChangeQuorum { public_key: public_key.to_vec(), approval_data: data.clone(), signature };
        alice.change(Operation::UserChangeQuorum(message))
    };
    refused(register(&signer.public_key, other.approve(&data)), Status::TokenSignatureInvalid);
    refused(register(&signer.public_key, Vec::new()), Status::TokenSignatureInvalid);
    register(&signer.public_key, signer.approve(&data)).unwrap();
}

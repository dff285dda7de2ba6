//! Challenges: given out, signed, used once.

use strongroom_types::limits::MFA_CHALLENGE_LEN_MAX;
use strongroom_types::{Refusal, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::tokens::TokenSigner;
use super::world::{ADMIN, CRYPTO_USER, Client, Member, PASSWORD, World, aes, change_password, refused};

fn failures(member: &Member) -> u32 {
    member.cluster.state().user_named(&"alice".parse().unwrap()).unwrap().failures
}

fn challenge(client: &mut Client<'_>, password: &str) -> Result<v1::Challenge, Refusal> {
    let asked = v1::LoginChallenge { user_name: "alice".into(), role: CRYPTO_USER, password: password.into() };
    match client.ask(Operation::LoginChallenge(asked))? {
        Answer::LoginChallenge(challenge) => Ok(challenge),
        _ => panic!("another answer"),
    }
}

fn login(client: &mut Client<'_>, challenge: &[u8], signature: Vec<u8>) -> Result<Answer, Refusal> {
    client.ask(Operation::Login(v1::Login {
        user_name: "alice".into(),
        role: CRYPTO_USER,
        password: PASSWORD.into(),
        challenge: challenge.to_vec(),
        signature,
    }))
}

fn mfa_challenge(client: &mut Client<'_>, name: &str) -> Result<v1::Challenge, Refusal> {
    match client.ask(Operation::MfaChallenge(v1::MfaChallenge { user_name: name.into(), role: CRYPTO_USER }))? {
        Answer::MfaChallenge(challenge) => Ok(challenge),
        _ => panic!("another answer"),
    }
}

fn change_mfa(signer: &TokenSigner, challenge: &v1::Challenge) -> v1::UserChangeMfa {
    v1::UserChangeMfa {
        user_name: "alice".into(),
        role: CRYPTO_USER,
        password: PASSWORD.into(),
        public_key: signer.public_key.clone(),
        challenge: challenge.challenge.clone(),
        signature: signer.sign(&challenge.digest),
        change_quorum: false,
    }
}

/// An active cluster in which alice has MFA.
fn with_mfa() -> (World, Member, TokenSigner) {
    let (world, member) = World::active();
    let signer = TokenSigner::new(2048);
    let mut alice = Client::alice(&member);
    let given = mfa_challenge(&mut alice, "alice").unwrap();
    let Answer::UserChangeMfa(user) = alice.change(Operation::UserChangeMfa(change_mfa(&signer, &given))).unwrap()
    else {
        panic!("another answer")
    };
    assert!(user.mfa && user.quorum);
    // Who changed it goes on.
    alice.change(aes("made afterwards")).unwrap();
    (world, member, signer)
}

#[test]
fn password_and_signature_log_in_on_any_member_once() {
    let (world, first, signer) = with_mfa();
    let second = world.member(2);
    let (mut here, mut there) = (Client::of(&first), Client::of(&second));
    refused(here.login("alice", CRYPTO_USER, PASSWORD), Status::MfaRequired);
    refused(there.login("alice", CRYPTO_USER, "wrong password"), Status::LoginFailed);
    let given = challenge(&mut here, PASSWORD).unwrap();
    assert_eq!(given.digest.len(), 32);
    login(&mut there, &given.challenge, signer.sign(&given.digest)).unwrap();
    there.change(aes("by password and signature")).unwrap();
    refused(login(&mut here, &given.challenge, signer.sign(&given.digest)), Status::MfaChallengeInvalid);
    refused(login(&mut there, &given.challenge, signer.sign(&given.digest)), Status::MfaChallengeInvalid);
    // It was asked for after a wrong password, which the whole login has forgotten.
    assert_eq!(failures(&first), 0);
}

#[test]
fn wrong_signatures_count_like_wrong_passwords() {
    let (_world, member, signer) = with_mfa();
    let (mut client, other) = (Client::of(&member), TokenSigner::new(2048));
    let given = challenge(&mut client, PASSWORD).unwrap();
    for count in 1..=4 {
        refused(login(&mut client, &given.challenge, other.sign(&given.digest)), Status::LoginFailed);
        assert_eq!(failures(&member), count);
        // Asking for another challenge forgets nothing.
        challenge(&mut client, PASSWORD).unwrap();
        assert_eq!(failures(&member), count);
    }
    refused(challenge(&mut client, "wrong password"), Status::LoginFailed);
    refused(challenge(&mut client, PASSWORD), Status::UserLocked);
    refused(login(&mut client, &given.challenge, signer.sign(&given.digest)), Status::UserLocked);
}

#[test]
fn what_is_no_challenge_is_refused() {
    let (_world, member, signer) = with_mfa();
    let mut client = Client::of(&member);
    let given = challenge(&mut client, PASSWORD).unwrap();
    let good = || signer.sign(&given.digest);
    assert!(given.challenge.len() <= MFA_CHALLENGE_LEN_MAX);
    let mut altered = given.challenge.clone();
    *altered.last_mut().unwrap() ^= 1;
    let long = vec![1; MFA_CHALLENGE_LEN_MAX + 1];
    for wrong in [&altered[..], &given.challenge[1..], &[], &[1], &long[..MFA_CHALLENGE_LEN_MAX], &long] {
        refused(login(&mut client, wrong, good()), Status::MfaChallengeInvalid);
    }
    // A ticket is sealed otherwise, and a challenge for enabling is for something else.
    let mut admin = Client::admin(&member);
    let ticket = admin.ticket.clone();
    refused(login(&mut client, &ticket, good()), Status::MfaChallengeInvalid);
    let enabling = mfa_challenge(&mut admin, "alice").unwrap();
    let signed = signer.sign(&enabling.digest);
    refused(login(&mut client, &enabling.challenge, signed), Status::MfaChallengeInvalid);
    assert_eq!(failures(&member), 0);
    login(&mut client, &given.challenge, good()).unwrap();
}

#[test]
fn a_new_password_makes_challenges_void() {
    let (_world, member, signer) = with_mfa();
    let mut client = Client::of(&member);
    let given = challenge(&mut client, PASSWORD).unwrap();
    Client::admin(&member).change(change_password("alice", CRYPTO_USER, PASSWORD)).unwrap();
    refused(login(&mut client, &given.challenge, signer.sign(&given.digest)), Status::MfaChallengeInvalid);
}

#[test]
fn mfa_is_enabled_by_who_has_the_key_and_once_for_each_challenge() {
    let (_world, member) = World::active();
    let (signer, other) = (TokenSigner::new(2048), TokenSigner::new(2048));
    let (mut admin, mut alice) = (Client::admin(&member), Client::alice(&member));
    refused(mfa_challenge(&mut alice, "bob"), Status::RoleNotPermitted);
    refused(mfa_challenge(&mut Client::of(&member), "alice"), Status::NotLoggedIn);
    let given = mfa_challenge(&mut admin, "alice").unwrap();
    let change = |client: &mut Client<'_>, message: v1::UserChangeMfa| {
        client.change(Operation::UserChangeMfa(message)).map(drop)
    };
    let good = change_mfa(&signer, &given);
    let forged = v1::UserChangeMfa { signature: other.sign(&given.digest), ..good.clone() };
    refused(change(&mut admin, forged), Status::TokenSignatureInvalid);
    let short = TokenSigner::new(3072);
    refused(change(&mut admin, change_mfa(&short, &given)), Status::TokenKeyInvalid);
    let bob = v1::UserChangeMfa { user_name: "bob".into(), ..good.clone() };
    refused(change(&mut admin, bob), Status::MfaChallengeInvalid);
    // Made in another login.
    refused(change(&mut alice, good.clone()), Status::MfaChallengeInvalid);
    let request_id = [5; 16];
    admin.change_as(&request_id, Operation::UserChangeMfa(good.clone())).unwrap();
    admin.change_as(&request_id, Operation::UserChangeMfa(good.clone())).unwrap();
    refused(change(&mut admin, good), Status::MfaChallengeInvalid);
    refused(alice.change(aes("too late")), Status::LoginEnded);
    refused(Client::of(&member).login("alice", CRYPTO_USER, PASSWORD), Status::MfaRequired);
    refused(Client::of(&member).login("alice", ADMIN, PASSWORD), Status::LoginFailed);
}

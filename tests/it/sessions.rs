//! Session keys: they survive the HSM that made them, and end with their login on every HSM, also for somebody who kept
//! the sealed bytes and speaks the protocol by hand.

use std::time::Duration;

use serde_json::Value;
use strongroom_client::{Client, ClientError, PairAlgorithm};
use strongroom_tests::{World, kill, run_with_input, wait_for};
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Filter, Flag, KeyReference, Password, Role, Secret, SignMechanism, Status,
    Template, UserName,
};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::crash::login;
use crate::hand::Hand;

const PATIENCE: Duration = Duration::from_secs(20);
const DIGEST: [u8; 32] = [7; 32];

/// Public and private half.
pub(crate) fn session_pair(client: &Client) -> (KeyReference, KeyReference) {
    let of_session = |flag| -> Template {
        [(Flag::Token, false), (flag, true)]
            .map(|(flag, value)| (AttributeName::Flag(flag), AttributeValue::Bool(value)))
            .into()
    };
    let (public, private) = (of_session(Flag::Verify), of_session(Flag::Sign));
    let pair = client.key_generate_pair(&PairAlgorithm::Ec(Curve::P256), &public, &private, &[]).expect("a pair");
    (pair.0.reference, pair.1.reference)
}

fn sign(client: &Client, key: KeyReference) -> Result<Vec<u8>, ClientError> {
    client.sign(key, SignMechanism::Ecdsa, &DIGEST)
}

#[test]
fn a_session_key_survives_the_hsm_that_made_it() {
    let world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    for _ in 0..3 {
        let (public, private) = session_pair(&client);
        let maker = client.last_member().expect("somebody answered").to_string();
        sign(&client, private).expect("signed");
        let status = world.status();
        let hsm = status["hsms"].as_array().expect("a list").iter().find(|hsm| hsm["hsm_id"] == maker.as_str());
        let pid = hsm.and_then(|hsm| hsm["pid"].as_u64()).and_then(|pid| u32::try_from(pid).ok()).expect("its pid");
        kill("KILL", pid);
        for _ in 0..10 {
            let signature = sign(&client, private).expect("signed elsewhere, and nobody noticed");
            client.verify(public, SignMechanism::Ecdsa, &DIGEST, &signature).expect("with the other half");
        }
        wait_for("the HSM to serve again", PATIENCE, || {
            world.status()["state"] == "ACTIVE" && !world.hsm_pids().contains(&pid)
        });
        // Also for the one that came back with empty hands.
        for _ in 0..40 {
            sign(&client, private).expect("signed by either");
        }
        let found = client.key_find(&Filter::default(), 0, 10).expect("found");
        assert!(found.keys.iter().any(|key| key.reference == private));
        let others = login(&world, "crypto_user", Role::CryptoUser);
        assert_eq!(others.key_find(&Filter::default(), 0, 10).expect("found").total, 0, "it is in no store");
        client.key_delete(public).and_then(|()| client.key_delete(private)).expect("deleted");
        for _ in 0..4 {
            match sign(&client, private) {
                Err(ClientError::Refused(refusal)) => assert_eq!(refusal.status, Status::KeyUnknown),
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Hand {
    fn session_key(&mut self) -> v1::Key {
        let flag =
            |name: &str, value| v1::Attribute { name: name.into(), value: Some(v1::attribute::Value::Boolean(value)) };
        let message = v1::KeyGeneratePair {
            algorithm: Some(v1::key_generate_pair::Algorithm::Curve(v1::Curve::P256.into())),
            public_template: vec![flag("token", false)],
            private_template: vec![flag("token", false), flag("sign", true)],
            share_with: Vec::new(),
            ..v1::KeyGeneratePair::default()
        };
        match self.ask(Operation::KeyGeneratePair(message)) {
            Ok(Answer::KeyGeneratePair(pair)) => pair.private_key.expect("a private key"),
            _ => panic!("another answer"),
        }
    }

    /// Signs with the sealed bytes, or with what the HSM holds.
    fn sign(&mut self, key: &v1::Key, sealed: bool) -> Result<(), Status> {
        let mechanism = v1::Mechanism::Ecdsa.into();
        let sign = v1::Sign { key: key.reference, mechanism, data: DIGEST.into(), ..v1::Sign::default() };
        let sealed = if sealed { key.sealed_session_key.clone() } else { Vec::new() };
        let session_keys = vec![v1::SessionKey { reference: key.reference, sealed }];
        let operation = Some(Operation::Sign(sign));
        self.send(v1::Request { session_keys, operation, ..v1::Request::default() }).map(drop)
    }
}

/// A user of one's own, and the end of the login in which a key was made.
fn story(user: &str, end: impl FnOnce(&mut Hand, &Client, &UserName)) {
    let world = World::shared();
    let admin = login(&world, "admin", Role::Admin);
    let name: UserName = user.parse().expect("a name");
    let words = ["a first password", "another password"];
    let password = Password::new(Secret::from(words[0].as_bytes())).expect("good");
    admin.user_create(&name, Role::CryptoUser, &password).expect("made");
    let ips = world.hsm_ips();
    let mut here = Hand::at(&world, &ips[0]);
    let ticket = here.log_in(user, words[0]).expect("logged in");
    let key = here.session_key();
    let mut there = Hand::at(&world, &ips[1]);
    there.attach(&ticket).expect("attached");
    assert_eq!(here.sign(&key, false), Ok(()));
    assert_eq!(there.sign(&key, false), Err(Status::SessionKeyMissing));
    assert_eq!(there.sign(&key, true), Ok(()));
    assert_eq!(there.sign(&key, false), Ok(()));
    end(&mut here, &admin, &name);
    let ended = |outcome| matches!(outcome, Err(Status::LoginEnded | Status::NotLoggedIn));
    for old in [&mut here, &mut there] {
        assert!(ended(old.sign(&key, false)) && ended(old.sign(&key, true)));
        assert!(ended(old.attach(&ticket)));
    }
    for ip in &ips {
        let mut new = Hand::at(&world, ip);
        assert_eq!(new.attach(&ticket), Err(Status::LoginEnded));
        assert!(ended(new.sign(&key, true)));
        // Whoever has the bytes and another login.
        let (other, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
        new.log_in(&other, &password).expect("logged in");
        assert_eq!(new.sign(&key, true), Err(Status::KeyUnknown));
        for password in words {
            if new.log_in(user, password).is_ok() {
                assert_eq!(new.sign(&key, true), Err(Status::KeyUnknown));
                assert_eq!(new.sign(&key, false), Err(Status::SessionKeyMissing));
            }
        }
    }
    // The shared cluster is left as it was.
    match admin.user_delete(&name, Role::CryptoUser) {
        Ok(_) => {}
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.status, Status::UserUnknown),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_logout_ends_its_keys_on_every_hsm() {
    story("session-logout", |hand, _, _| {
        hand.ask(Operation::Logout(v1::Logout {})).expect("logged out");
    });
}

#[test]
fn a_deleted_users_keys_end_on_every_hsm() {
    story("session-deletion", |_, admin, name| {
        admin.user_delete(name, Role::CryptoUser).expect("deleted");
    });
}

#[test]
fn a_new_password_ends_keys_on_every_hsm() {
    story("session-password", |_, admin, name| {
        let password = Password::new(Secret::from(&b"another password"[..])).expect("good");
        admin.user_change_password(name, Role::CryptoUser, &password).expect("changed");
    });
}

#[test]
fn the_shell_makes_session_keys_and_loses_them_with_the_login() {
    let world = World::shared();
    let (name, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let label = "of a shell's session";
    let filter = format!("--filter attr.label=\"{label}\"");
    let log_in = format!("login --username {name} --role crypto-user --password {password}");
    let script = format!(
        "{log_in}\n\
         key generate-asymmetric-pair ec --curve prime256v1 --public-label p --private-label \"{label}\" \\\n  \
           --public-attributes verify=true --private-attributes sign=true --session\n\
         key generate-symmetric aes --label a --key-length-bytes 32 --session --share-crypto-users {name}\n\
         key list {filter} --verbose\n\
         crypto sign ecdsa --key-{} --hash-function sha256 --data YQ==\n\
         key generate-file --encoding reference-pem --path {} {filter}\n\
         logout\n\
         {log_in}\n\
         key list {filter}\n\
         quit\n",
        filter.trim_start_matches('-'),
        world.name("session.pem"),
    );
    let ran = run_with_input(&mut world.bare_cli(&["interactive"]), &script).ok();
    let said = crate::interactive::envelopes(&ran.stdout);
    let codes: Vec<_> = said.iter().map(|envelope| envelope["error_code"].clone()).collect();
    assert_eq!(codes, [0, 0, 1, 0, 0, 1, 0, 0, 0].map(Value::from), "{ran:?}");
    for half in ["public_key", "private_key"] {
        assert_eq!(said[1]["data"][half]["key-info"]["cluster-coverage"], "session");
        assert_eq!(said[1]["data"][half]["attributes"]["token"], false);
    }
    assert_eq!(said[2]["data"], "session keys cannot be shared or changed: crypto users to share with");
    assert_eq!(said[3]["data"]["matched_keys"][0], said[1]["data"]["private_key"]);
    assert_eq!(said[4]["data"]["key-reference"], said[1]["data"]["private_key"]["key-reference"]);
    assert!(said[5]["data"].as_str().is_some_and(|text| text.contains("session key")), "{}", said[5]);
    assert_eq!(said[8]["data"]["total_key_count"], 0);
}

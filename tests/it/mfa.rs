//! A signature beside the password, on every HSM from the moment on at which it is enabled; signed by the `openssl` command.

use std::time::Duration;

use serde_json::json;
use strongroom_tests::{World, wait_for};
use strongroom_types::Status;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::cli::refusal;
use crate::hand::Hand;
use crate::quorum::{Person, make_user, new_key, read, signature, signed, write};

const PASSWORD: &str = "long-enough";
const PATIENCE: Duration = Duration::from_secs(20);
const CRYPTO_USER: i32 = v1::Role::CryptoUser as i32;

/// Types a command that writes a token file, signs that, and answers the prompts.
fn with_signature(world: &World, person: &mut Person<'_>, command: &str, file: &str, key: &str, more: &str) -> String {
    let path = world.file(file);
    person.shell().type_in(&format!("{command} {}\n", path.display()));
    wait_for("the token file", PATIENCE, || path.exists());
    let mut token = read(&path);
    assert_eq!(token["version"], "2.0");
    token["tokens"][0]["signed"] = signature(world, key, &token["tokens"][0]["unsigned"]);
    // Signed under another name: the prompt takes the path.
    let signed = world.file(&format!("signed-{file}"));
    write(&signed, &token);
    person.shell().ask(&format!("{}\n{more}", signed.display()))
}

fn login(challenge: &v1::Challenge, signature: Vec<u8>) -> Operation {
    Operation::Login(v1::Login {
        user_name: "eve".into(),
        role: CRYPTO_USER,
        password: PASSWORD.into(),
        challenge: challenge.challenge.clone(),
        signature,
    })
}

fn challenge(hand: &mut Hand, password: &str) -> Result<v1::Challenge, Status> {
    let asked = v1::LoginChallenge { user_name: "eve".into(), role: CRYPTO_USER, password: password.into() };
    match hand.ask(Operation::LoginChallenge(asked))? {
        Answer::LoginChallenge(challenge) => Ok(challenge),
        _ => panic!("another answer"),
    }
}

#[test]
fn mfa_holds_on_every_hsm_and_a_challenge_is_good_once() {
    let world = World::quick(&["--hsms", "3"]);
    make_user(&world, "eve", "crypto-user");
    let ips = world.hsm_ips();
    let before = Hand::at(&world, &ips[1]).log_in("eve", PASSWORD).expect("a password is enough");
    let mut admin = Person::new(&world, "admin", "admin", &world.text("/admin/password"));
    new_key(&world, "eve");
    let enable =
        format!("user change-mfa token-sign --username eve --role crypto-user --change-password {PASSWORD} --token");
    let public_key = format!("{}\n", world.name("eve.pub.pem"));
    // Signed with another key than the one that is given.
    let said = with_signature(&world, &mut admin, &enable, "wrong.json", "admin", &public_key);
    assert!(said.contains("none by the public key"), "{said}");
    let said = with_signature(&world, &mut admin, &enable, "enable.json", "eve", &public_key);
    assert!(said.contains("\"username\": \"eve\""), "{said}");
    let users = admin.done("user list");
    let eve = users["users"].as_array().expect("a list").iter().find(|user| user["username"] == "eve").expect("eve");
    let enabled = json!([{ "strategy": "token-sign", "status": "enabled" }]);
    assert_eq!((&eve["mfa"], &eve["quorum"]), (&enabled, &enabled));
    // At once, everywhere: logins of before are over, the password alone is not enough, and a wrong one learns nothing.
    for ip in &ips {
        let mut hand = Hand::at(&world, ip);
        let attached = hand.ask(Operation::Attach(v1::Attach { ticket: before.clone() }));
        assert_eq!(attached.err(), Some(Status::LoginEnded), "{ip}");
        assert_eq!(hand.log_in("eve", PASSWORD).err(), Some(Status::MfaRequired), "{ip}");
    }
    assert_eq!(Hand::at(&world, &ips[0]).log_in("eve", "not-the-password").err(), Some(Status::LoginFailed));
    assert_eq!(challenge(&mut Hand::at(&world, &ips[0]), "not-the-password").err(), Some(Status::LoginFailed));
    // A challenge of one HSM is good on another, once.
    let first = challenge(&mut Hand::at(&world, &ips[0]), PASSWORD).expect("a challenge");
    let good = signed(&world, "eve", &first.digest);
    let other = signed(&world, "admin", &first.digest);
    assert_eq!(Hand::at(&world, &ips[1]).ask(login(&first, other)).err(), Some(Status::LoginFailed));
    let logged_in = Hand::at(&world, &ips[1]).ask(login(&first, good.clone()));
    assert!(matches!(logged_in, Ok(Answer::Login(_))));
    for ip in &ips {
        let again = Hand::at(&world, ip).ask(login(&first, good.clone()));
        assert_eq!(again.err(), Some(Status::MfaChallengeInvalid), "{ip}");
    }
    // In the shell, and not with CLOUDHSM_PIN.
    let log_in = format!("login --username eve --role crypto-user --password {PASSWORD} mfa-token-sign --token");
    let said = with_signature(&world, &mut admin, &log_in, "login.json", "eve", "");
    assert!(said.contains("\"role\": \"crypto-user\""), "{said}");
    admin.done("key list");
    let list = world.bare_cli(&["key", "list"]);
    let said = refusal(by_pin(list));
    assert!(said.contains("the user has MFA") && said.contains("mfa-token-sign"), "{said}");
    // Its end holds everywhere too; the key for approvals stays.
    let disable = format!(
        "user change-mfa token-sign --username eve --role crypto-user --change-password {PASSWORD} --deregister"
    );
    admin.done(&disable);
    for ip in &ips {
        Hand::at(&world, ip).log_in("eve", PASSWORD).expect("the password is enough again");
    }
    let eve = admin.done("user list");
    let eve = eve["users"].as_array().expect("a list").iter().find(|user| user["username"] == "eve").expect("eve");
    assert_eq!((&eve["mfa"], &eve["quorum"]), (&json!([]), &enabled));
    // Without MFA there is nothing to sign.
    let refused = challenge(&mut Hand::at(&world, &ips[2]), PASSWORD).err();
    assert_eq!(refused, Some(Status::MfaChallengeInvalid));
}

/// A single command as eve.
fn by_pin(mut command: std::process::Command) -> strongroom_tests::Ran {
    command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", format!("eve:{PASSWORD}"));
    strongroom_tests::run(&mut command)
}

//! M of N: several users approve, each with a key of their own and the `openssl` command; the tool only carries files.
//! What was approved is done once, and nobody is locked out by arithmetic.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_crypto::digest::digest;
use strongroom_tests::{Shell, World, kill, wait_for};
use strongroom_types::{HashFunction, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::cli::refusal;
use crate::hand::Hand;

pub(crate) const PASSWORD: &str = "long-enough";
const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const REQUIRED: &str = "Quorum approval is required for this operation";

/// Somebody with a shell, a login in it, and a key outside of the HSMs.
pub(crate) struct Person<'a> {
    world: &'a World,
    pub(crate) name: String,
    role: &'static str,
    shell: Shell,
}

impl<'a> Person<'a> {
    /// Logged in with this password; the key pair is made by openssl.
    #[track_caller]
    pub(crate) fn new(world: &'a World, name: &str, role: &'static str, password: &str) -> Person<'a> {
        let shell = Shell::start(&mut world.bare_cli(&["interactive"]));
        let mut person = Person { world, name: name.to_owned(), role, shell };
        new_key(world, name);
        person.done(&format!("login --username {name} --role {role} --password {password}"));
        person
    }

    /// The envelope that a command answers with.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> Value {
        serde_json::from_str(&self.shell.ask(&format!("{command}\n"))).expect("an envelope")
    }

    pub(crate) fn shell(&mut self) -> &mut Shell {
        &mut self.shell
    }

    #[track_caller]
    pub(crate) fn done(&mut self, command: &str) -> Value {
        let answer = self.ask(command);
        assert_eq!(answer["error_code"], 0, "{command}: {answer}");
        answer["data"].clone()
    }

    #[track_caller]
    pub(crate) fn refused(&mut self, command: &str, says: &str) {
        let answer = self.ask(command);
        assert_eq!(answer["error_code"], 1, "{command}: {answer}");
        let text = answer["data"].as_str().expect("a text");
        assert!(text.contains(says), "{command}: {text}");
    }

    /// Registers the key.
    #[track_caller]
    pub(crate) fn register(&mut self) {
        let file = self.world.file(&format!("{}-register.json", self.name));
        let path = file.display();
        let made = self.done(&format!("quorum token-sign generate --service registration --token {path}"));
        assert_eq!(made, json!({ "path": path.to_string() }));
        let mut token = read(&file);
        token["tokens"][0]["signed"] = signature(self.world, &self.name, &token["tokens"][0]["unsigned"]);
        write(&file, &token);
        let public_key = self.world.name(&format!("{}.pub.pem", self.name));
        let register = "user change-quorum token-sign register";
        let registered = self.done(&format!("{register} --public-key {public_key} --signed-token {path}"));
        assert_eq!(registered, json!({ "username": self.name, "role": self.role }));
    }

    /// The path of a new token file.
    #[track_caller]
    pub(crate) fn token(&mut self, service: &str, more: &str) -> String {
        let path = self.world.name(&format!("{}-{service}.json", self.name));
        self.done(&format!("quorum token-sign generate --service {service} --token {path} {more}"));
        path
    }
}

/// Makes an RSA-2048 pair with openssl.
#[track_caller]
pub(crate) fn new_key(world: &World, name: &str) {
    let (key, public) = (world.name(&format!("{name}.key")), world.name(&format!("{name}.pub.pem")));
    world.plain_openssl(&["genrsa", "-out", &key, "2048"]).ok();
    world.plain_openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]).ok();
}

/// The signature of a token by somebody's key, as the guide has it made.
#[track_caller]
pub(crate) fn signature(world: &World, name: &str, token: &Value) -> Value {
    let token = STANDARD.decode(token.as_str().expect("base64")).expect("base64");
    Value::String(STANDARD.encode(signed(world, name, &token)))
}

/// The same over bytes.
#[track_caller]
pub(crate) fn signed(world: &World, name: &str, token: &[u8]) -> Vec<u8> {
    let (key, input, output) = (world.name(&format!("{name}.key")), world.name("to-sign"), world.name("signed"));
    std::fs::write(&input, token).expect("written");
    let sign = ["pkeyutl", "-sign", "-inkey", &key, "-pkeyopt", "digest:sha256", "-in", &input, "-out", &output];
    world.plain_openssl(&sign).ok();
    std::fs::read(output).expect("signed")
}

/// Adds somebody's signature to a token file, as an approver does.
#[track_caller]
pub(crate) fn approve(world: &World, file: &str, name: &str, role: &str) {
    let file = PathBuf::from(file);
    let mut token = read(&file);
    let signature = signature(world, name, &token["token"]);
    let signatures = token["signatures"].as_array_mut().expect("a list");
    signatures.push(json!({ "username": name, "role": role, "signature": signature }));
    write(&file, &token);
}

pub(crate) fn read(file: &PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("it was written")).expect("JSON")
}

pub(crate) fn write(file: &PathBuf, content: &Value) {
    std::fs::write(file, content.to_string()).expect("written");
}

#[track_caller]
pub(crate) fn make_user(world: &World, name: &str, role: &str) {
    world.admin_cli(&["user", "create", "--username", name, "--role", role, "--password", PASSWORD]).ok();
}

fn tokens(person: &mut Person<'_>) -> usize {
    person.done("quorum token-sign list")["tokens"].as_array().expect("a list").len()
}

#[test]
fn two_of_three_admins_make_users_and_cannot_lock_themselves_out() {
    let world = World::quick(&["--hsms", "2"]);
    for name in ["bea", "cyd"] {
        make_user(&world, name, "admin");
    }
    let password = world.text("/admin/password");
    let mut admin = Person::new(&world, "admin", "admin", &password);
    let mut bea = Person::new(&world, "bea", "admin", PASSWORD);
    let mut cyd = Person::new(&world, "cyd", "admin", PASSWORD);
    for person in [&mut admin, &mut bea, &mut cyd] {
        person.register();
    }
    let users = world.bare_cli(&["user", "list"]).output().expect("it runs").stdout;
    let users: Value = serde_json::from_slice(&users).expect("JSON");
    let enabled = json!([{ "strategy": "token-sign", "status": "enabled" }]);
    let registered = users["data"]["users"].as_array().expect("a list").iter().filter(|user| user["quorum"] == enabled);
    assert_eq!(registered.count(), 3, "{users}");
    let set =
        |service: &str, value: u8| format!("quorum token-sign set-quorum-value --service {service} --value {value}");
    admin.refused(&set("user", 4), "Invalid quorum value provided.");
    assert_eq!(admin.done(&set("user", 2)), "Set quorum value successful");
    admin.done(&set("quorum", 2));
    assert_eq!(bea.done("quorum token-sign list-quorum-values"), json!({ "user": 2, "quorum": 2, "cluster": 1 }));
    // On every HSM at once, and for whoever asks.
    let create = format!("user create --username dan --role crypto-user --password {PASSWORD}");
    for person in [&mut admin, &mut bea, &mut cyd] {
        assert_eq!(person.ask(&create)["data"], REQUIRED);
    }
    let said = refusal(world.admin_cli(&create.split(' ').collect::<Vec<_>>()));
    assert_eq!(said, REQUIRED);
    admin.refused(&set("user", 1), REQUIRED);
    // Two approvals, none of which needs to be of who asks.
    let token = admin.token("user", "");
    assert_eq!(tokens(&mut bea), 1);
    let with = |command: &str, token: &str| format!("{command} --approval {token}");
    approve(&world, &token, "bea", "admin");
    admin.refused(&with(&create, &token), "1 of the 2 approvals");
    approve(&world, &token, "bea", "admin");
    admin.refused(&with(&create, &token), "1 of the 2 approvals");
    approve(&world, &token, "cyd", "admin");
    // Somebody else's token, and one that was changed.
    bea.refused(&with(&create, &token), "in the login that made it alone");
    let mut altered = read(&PathBuf::from(&token));
    altered["approval_data"] = json!(STANDARD.encode([1; 80]));
    write(&world.file("altered.json"), &altered);
    admin.refused(&with(&create, &world.name("altered.json")), "not the SHA-256");
    assert_eq!(admin.done(&with(&create, &token)), json!({ "username": "dan", "role": "crypto-user" }));
    assert_eq!(tokens(&mut bea), 0);
    let again = create.replace("dan", "eve");
    assert_eq!(admin.ask(&with(&again, &token))["data"], REQUIRED);
    // A signature by another key, and one of a token that was replaced.
    let token = admin.token("user", "");
    let mut forged = read(&PathBuf::from(&token));
    let signature = signature(&world, "cyd", &forged["token"]);
    forged["signatures"] = json!([{ "username": "bea", "role": "admin", "signature": signature }]);
    write(&PathBuf::from(&token), &forged);
    admin.refused(&with(&again, &token), "the one of bea");
    // Three admins, two of whom must approve: one may go, not another.
    let delete = |name: &str| format!("user delete --username {name} --role admin");
    let mut approved = |command: String| {
        let token = admin.token("user", "");
        approve(&world, &token, "admin", "admin");
        approve(&world, &token, "bea", "admin");
        admin.ask(&with(&command, &token))
    };
    assert_eq!(approved(delete("cyd"))["error_code"], 0);
    for command in [
        delete("bea"),
        format!("user change-password --username bea --role admin --password {PASSWORD} --deregister-quorum"),
        format!(
            "user change-mfa token-sign --username bea --role admin --change-password {PASSWORD} --disable --change-quorum"
        ),
    ] {
        let answer = approved(command.clone());
        let text = answer["data"].as_str().unwrap_or_default();
        assert!(text.contains("too few users would be left"), "{command}: {answer}");
    }
    // A logout ends tokens; a restart of everything ends neither values nor keys.
    let token = admin.token("quorum", "");
    admin.done("logout");
    admin.done(&format!("login --username admin --role admin --password {password}"));
    approve(&world, &token, "admin", "admin");
    approve(&world, &token, "bea", "admin");
    admin.refused(&with(&set("user", 1), &token), "in the login that made it alone");
    let token = admin.token("quorum", "");
    approve(&world, &token, "admin", "admin");
    approve(&world, &token, "bea", "admin");
    admin.done(&with(&set("user", 1), &token));
    admin.done(&again);
}

#[test]
fn a_shared_key_signs_only_with_the_approval_of_two_of_its_users() {
    let world = World::quick(&["--hsms", "2"]);
    for name in ["bob", "carol"] {
        make_user(&world, name, "crypto-user");
    }
    let mut alice = Person::new(&world, "crypto_user", "crypto-user", &world.text("/crypto_user/password"));
    let mut bob = Person::new(&world, "bob", "crypto-user", PASSWORD);
    let mut carol = Person::new(&world, "carol", "crypto-user", PASSWORD);
    for person in [&mut alice, &mut bob, &mut carol] {
        person.register();
    }
    let pair = "key generate-asymmetric-pair rsa --modulus-size-bits 2048 --public-exponent 65537 --public-label both \
                --private-label both --public-attributes verify=true --private-attributes sign=true \
                --manage-private-key-quorum-value 2 --use-private-key-quorum-value 2";
    assert_eq!(alice.ask(pair)["data"], "Invalid quorum value provided.");
    let made = alice.done(&format!("{pair} --share-crypto-users bob"));
    let values = |key: &str| made[key]["key-info"]["key-quorum-values"].clone();
    let both = json!({ "manage-key-quorum-value": 2, "use-key-quorum-value": 2 });
    let none = json!({ "manage-key-quorum-value": 0, "use-key-quorum-value": 0 });
    assert_eq!((values("private_key"), values("public_key")), (both, none));
    let private = "attr.label=both attr.class=private-key";
    let message = world.file("message");
    std::fs::write(&message, b"pay ten").expect("written");
    let sign =
        format!("crypto sign rsa-pkcs --key-filter {private} --hash-function sha256 --data-path {}", message.display());
    assert_eq!(alice.ask(&sign)["data"], "Quorum Failed");
    assert_eq!(bob.ask(&sign)["data"], "Quorum Failed");
    let said = refusal(world.cli(&sign.split_whitespace().collect::<Vec<_>>()));
    assert_eq!(said, "Quorum Failed");
    // Bob asks, both approve; carol has nothing to do with the key.
    let filter = format!("--filter {private}");
    let token = bob.token("key-usage", &filter);
    let listed = carol.done("quorum token-sign list");
    let reference = &made["private_key"]["key-reference"];
    assert_eq!(
        listed["tokens"],
        json!([{ "username": "bob", "service": "key-usage", "key-reference": reference, "minimum-token-count": 1 }])
    );
    let with = |command: &str, token: &str| format!("{command} --approval {token}");
    approve(&world, &token, "bob", "crypto-user");
    approve(&world, &token, "carol", "crypto-user");
    bob.refused(&with(&sign, &token), "1 of the 2 approvals");
    approve(&world, &token, "crypto_user", "crypto-user");
    let signed = bob.done(&with(&sign, &token));
    let signature = STANDARD.decode(signed["signature"].as_str().expect("base64")).expect("base64");
    std::fs::write(world.file("signature"), signature).expect("written");
    let public = world.name("both.pub.pem");
    alice.done(&format!(
        "key generate-file --encoding pem --path {public} --filter attr.label=both attr.class=public-key"
    ));
    world.plain_openssl(&["dgst", "-sha256", "-verify", &public, "-signature", "signature", "message"]).ok();
    // Good once, and for nothing else.
    assert_eq!(bob.ask(&with(&sign, &token))["data"], REQUIRED);
    let token = alice.token("key-usage", &filter);
    for name in ["crypto_user", "bob"] {
        approve(&world, &token, name, "crypto-user");
    }
    let share = format!("key share {filter} --username carol --role crypto-user");
    assert_eq!(alice.ask(&share)["data"], "Quorum Failed");
    alice.refused(&with(&share, &token), "it is one for key-usage");
    // Under two users the key could not be used any more.
    let approved = |person: &mut Person<'_>, command: &str| {
        let token = person.token("key-management", &filter);
        for name in ["crypto_user", "bob"] {
            approve(&world, &token, name, "crypto-user");
        }
        person.ask(&with(command, &token))
    };
    let unshare = format!("key unshare {filter} --username bob --role crypto-user");
    let said = approved(&mut alice, &unshare);
    assert!(said["data"].as_str().is_some_and(|text| text.contains("too few users would be left")), "{said}");
    let delete = ["user", "delete", "--username", "bob", "--role", "crypto-user"];
    let said = refusal(world.admin_cli(&delete));
    assert!(said.contains("too few users would be left"), "{said}");
    assert_eq!(approved(&mut alice, &share)["error_code"], 0);
    assert_eq!(approved(&mut alice, &unshare)["error_code"], 0);
    // Wrapping it out is managing it. Bob, who is gone from the list, cannot approve.
    let kek = "key generate-symmetric aes --label kek --key-length-bytes 32 --attributes wrap=true";
    alice.done(kek);
    let wrap = format!("key wrap aes-zero-pad --payload-filter {private} --wrapping-filter attr.label=kek");
    assert_eq!(alice.ask(&wrap)["data"], "Quorum Failed");
    let token = alice.token("key-management", &filter);
    for name in ["crypto_user", "bob"] {
        approve(&world, &token, name, "crypto-user");
    }
    alice.refused(&format!("{wrap} --payload-approval {token}"), "1 of the 2 approvals");
    approve(&world, &token, "carol", "crypto-user");
    alice.done(&format!("{wrap} --payload-approval {token}"));
    // Programs cannot pass approvals on.
    world.reference_pem("both", &world.file("both.pem"));
    let engine = ["dgst", "-engine", "cloudhsm", "-keyform", "PEM", "-sha256", "-sign", "both.pem", "message"];
    let failed = world.openssl(&engine).failed();
    assert!(failed.stderr.contains("quorum"), "{}", failed.stderr);
    alice.done(&format!("key delete {filter}"));
}

/// An approved signature on a connection of its own, which may end at any moment.
fn ask_approved(world: &World, ip: &str, ticket: &[u8], request: &v1::Request) -> Option<Result<Answer, Status>> {
    let mut hand = strongroom_tests::Hand::connect(ip, &world.customer_ca(), PATIENCE).ok()?;
    let attach = Operation::Attach(v1::Attach { ticket: ticket.to_vec() });
    // One that starts answers nobody yet.
    hand.request(attach).ok()?.ok()?;
    Some(hand.exchange(request.clone()).ok()?.map_err(|refusal| refusal.status))
}

#[test]
fn a_token_is_used_once_though_hsms_die_in_the_middle() {
    let world = World::quick(&["--hsms", "2"]);
    make_user(&world, "bob", "crypto-user");
    let password = world.text("/crypto_user/password");
    let mut alice = Person::new(&world, "crypto_user", "crypto-user", &password);
    let mut bob = Person::new(&world, "bob", "crypto-user", PASSWORD);
    alice.register();
    bob.register();
    let made = alice.done(
        "key generate-asymmetric-pair ec --curve prime256v1 --public-label both --private-label both \
         --private-attributes sign=true --share-crypto-users bob --use-private-key-quorum-value 2",
    );
    let key = made["private_key"]["key-reference"].as_str().expect("a reference");
    let key = u64::from_str_radix(key.trim_start_matches("0x"), 16).expect("a number");
    let sign = |data: u8| {
        let mechanism = v1::Mechanism::Ecdsa.into();
        Operation::Sign(v1::Sign { key, mechanism, data: vec![data; 32], ..v1::Sign::default() })
    };
    let ips = world.hsm_ips();
    let mut last = None;
    for round in 0..4_u8 {
        let (dying, other) = (&ips[usize::from(round % 2)], &ips[usize::from((round + 1) % 2)]);
        let mut hand = Hand::at(&world, other);
        let ticket = hand.log_in("bob", PASSWORD).expect("the password");
        let generate = v1::QuorumTokenGenerate { service: v1::QuorumService::KeyUsage.into(), key };
        let Ok(Answer::QuorumTokenGenerate(token)) = hand.ask(Operation::QuorumTokenGenerate(generate)) else {
            panic!("no token")
        };
        let hashed = digest(HashFunction::Sha256, &token.approval_data);
        let signatures = ["crypto_user", "bob"].map(|name| v1::ApprovalSignature {
            user_name: name.into(),
            role: v1::Role::CryptoUser.into(),
            signature: signed(&world, name, &hashed),
        });
        let approvals = vec![v1::Approval { approval_data: token.approval_data, signatures: signatures.to_vec() }];
        let request = v1::Request {
            request_id: vec![round + 1; 16],
            approvals,
            operation: Some(sign(round)),
            ..v1::Request::default()
        };
        let pid = world.hsm_pid_at(dying);
        // Whether it gets as far as spending the token, or answering, is a matter of microseconds.
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask_approved(&world, dying, &ticket, &request));
            kill("KILL", pid);
            let answered = asked.join().expect("no panic");
            assert!(answered.is_none_or(|answer| answer.is_ok()));
        });
        // The other one makes it good, once.
        let again = ask_approved(&world, other, &ticket, &request).expect("it lives");
        assert!(matches!(again, Ok(Answer::Sign(_))), "{round}");
        let another = v1::Request { request_id: vec![0xf0 + round; 16], ..request.clone() };
        let refused = ask_approved(&world, other, &ticket, &another).expect("it lives").err();
        assert_eq!(refused, Some(Status::QuorumRequired), "{round}");
        let altered = v1::Request { operation: Some(sign(0xff)), ..request.clone() };
        let refused = ask_approved(&world, other, &ticket, &altered).expect("it lives").err();
        assert_eq!(refused, Some(Status::RequestIdReused), "{round}");
        wait_for("the HSM to be started again", PATIENCE, || {
            ask_approved(&world, dying, &ticket, &request).is_some_and(|answer| answer.is_ok())
        });
        last = Some((ticket, request, another));
    }
    // After the end of everything, too.
    let (ticket, request, another) = last.expect("a round");
    drop((alice, bob));
    let mut world = world;
    world.kill_everything();
    world.start();
    let again = ask_approved(&world, &ips[0], &ticket, &request).expect("it lives");
    assert!(matches!(again, Ok(Answer::Sign(_))));
    let refused = ask_approved(&world, &ips[1], &ticket, &another).expect("it lives").err();
    assert_eq!(refused, Some(Status::QuorumRequired));
}

//! A crypto user gets another password, and what it takes: `docs/operating/rotate-a-password.md`.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use strongroom_tests::{Ran, Shell, World, run, wait_for};

use crate::cli::refusal;

const KEY: &str = "attr.label=service attr.class=private-key";
const MESSAGE: &[u8] = b"some data";

/// A program that logged in once and signs on and on.
struct Service<'a> {
    ended: AtomicBool,
    over: AtomicBool,
    /// Each signature, or why there is none.
    answers: Mutex<Vec<Result<Vec<u8>, String>>>,
    world: &'a World,
    user: &'a str,
    password: &'a str,
}

impl<'a> Service<'a> {
    fn new(world: &'a World, user: &'a str, password: &'a str) -> Service<'a> {
        let no = || AtomicBool::new(false);
        Service { ended: no(), over: no(), answers: Mutex::default(), world, user, password }
    }

    /// Its life, until somebody ends it.
    fn run(&self) {
        let mut shell = Shell::start(&mut self.world.bare_cli(&["interactive"]));
        let ask = |shell: &mut Shell, line: &str| -> Result<Value, String> {
            let answer: Value = serde_json::from_str(&shell.ask(&format!("{line}\n"))).expect("an envelope");
            if answer["error_code"] == 0 { Ok(answer["data"].clone()) } else { Err(answer["data"].to_string()) }
        };
        let (user, password) = (self.user, self.password);
        ask(&mut shell, &format!("login --username {user} --role crypto-user --password {password}")).expect("a login");
        let sign = format!("crypto sign ecdsa --key-filter {KEY} --hash-function sha256 --data c29tZSBkYXRh");
        while !self.ended.load(Ordering::SeqCst) {
            let signature = ask(&mut shell, &sign)
                .map(|data| STANDARD.decode(data["signature"].as_str().expect("a signature")).expect("base64"));
            self.answers.lock().expect("nobody panicked").push(signature);
        }
        self.over.store(true, Ordering::SeqCst);
    }

    /// Ends it, and waits until it asks for nothing more.
    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        wait_for("its end", Duration::from_secs(30), || self.over.load(Ordering::SeqCst));
    }

    fn answers(&self) -> Vec<Result<Vec<u8>, String>> {
        self.answers.lock().expect("nobody panicked").clone()
    }

    /// Waits until it was answered some times more, from now on.
    fn goes_on(&self) {
        let before = self.answers().len();
        wait_for("more answers", Duration::from_secs(30), || self.answers().len() >= before + 3);
    }

    /// That it never failed, and that openssl takes every signature.
    fn never_failed(&self) {
        let answers = self.answers();
        assert!(answers.len() >= 3, "it was hardly there");
        fs::write(self.world.file("message"), MESSAGE).expect("written");
        for answer in answers {
            let signature = answer.unwrap_or_else(|why| panic!("{} could not sign: {why}", self.user));
            fs::write(self.world.file("signature"), der(&signature)).expect("written");
            let verify = ["dgst", "-sha256", "-verify", "service.pem", "-signature", "signature", "message"];
            self.world.plain_openssl(&verify).ok();
        }
    }
}

/// r and s of P-256, one after the other, as openssl wants them: two INTEGERs in a SEQUENCE.
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
        let positive = number.first().is_some_and(|byte| byte & 0x80 != 0);
        let content = [if positive { &[0][..] } else { &[] }, number].concat();
        [&[2, u8::try_from(content.len()).expect("a short one")][..], &content].concat()
    };
    let content = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [&[0x30, u8::try_from(content.len()).expect("a short one")][..], &content].concat()
}

/// A cluster with a key that a service signs with.
fn world() -> World {
    let world = World::new();
    world.ec_pair("service", "prime256v1");
    let file = world.name("service.pem");
    let filter = ["--filter", "attr.label=service", "attr.class=public-key"];
    world.data(&[&["key", "generate-file", "--encoding", "pem", "--path", &file][..], &filter].concat());
    world
}

/// `cloudhsm-cli` as this crypto user.
fn cli(world: &World, user: &str, password: &str, line: &str) -> Ran {
    let words: Vec<_> = line.split_whitespace().collect();
    let mut command = world.bare_cli(&words);
    run(command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", format!("{user}:{password}")))
}

fn set_password(world: &World, user: &str, password: &str) {
    let who = ["--username", user, "--role", "crypto-user", "--password", password];
    world.admin_cli(&[&["user", "change-password"], &who[..]].concat()).ok();
}

#[test]
fn with_downtime_the_service_stops_at_the_change_and_starts_with_the_new_password() {
    let world = world();
    let old = world.text("/crypto_user/password");
    let before = Service::new(&world, "crypto_user", &old);
    let changed_at = std::thread::scope(|scope| {
        scope.spawn(|| before.run());
        before.goes_on();
        set_password(&world, "crypto_user", "another-password");
        // What was answered until now may have been signed before the change. From the next answer on nothing is.
        let changed_at = before.answers().len() + 1;
        before.goes_on();
        before.end();
        changed_at
    });
    let answers = before.answers();
    assert!(answers[..3].iter().all(Result::is_ok), "{answers:?}");
    assert!(answers[changed_at..].iter().all(Result::is_err), "no login outlives the change: {answers:?}");
    let said = refusal(cli(&world, "crypto_user", &old, "key list"));
    assert!(said.contains("wrong"), "{said}");
    let after = Service::new(&world, "crypto_user", "another-password");
    std::thread::scope(|scope| {
        scope.spawn(|| after.run());
        after.goes_on();
        after.end();
    });
    after.never_failed();
}

#[test]
fn with_a_second_crypto_user_the_service_never_fails() {
    let world = world();
    let (old, new, others) = (world.text("/crypto_user/password"), "another-password", "second-password");
    let second = ["user", "create", "--username", "second", "--role", "crypto-user", "--password", others];
    world.admin_cli(&second).ok();
    let sign = format!("crypto sign ecdsa --key-filter {KEY} --hash-function sha256 --data AA==");
    let may_not = || {
        let said = refusal(cli(&world, "second", others, &sign));
        assert!(said.contains("matched 0 keys"), "{said}");
    };
    may_not();
    let as_first = Service::new(&world, "crypto_user", &old);
    let as_second = Service::new(&world, "second", others);
    let again = Service::new(&world, "crypto_user", new);
    std::thread::scope(|scope| {
        scope.spawn(|| as_first.run());
        as_first.goes_on();
        cli(&world, "crypto_user", &old, &format!("key share --filter {KEY} --username second --role crypto-user"))
            .ok();
        // The second instance runs before the first one ends.
        scope.spawn(|| as_second.run());
        as_second.goes_on();
        as_first.end();
        set_password(&world, "crypto_user", new);
        as_second.goes_on();
        scope.spawn(|| again.run());
        again.goes_on();
        as_second.end();
        let unshare = format!("key unshare --filter {KEY} --username second --role crypto-user");
        cli(&world, "crypto_user", new, &unshare).ok();
        again.goes_on();
        again.end();
    });
    [&as_first, &as_second, &again].iter().for_each(|service| service.never_failed());
    let said = refusal(cli(&world, "crypto_user", &old, "key list"));
    assert!(said.contains("wrong"), "{said}");
    may_not();
}

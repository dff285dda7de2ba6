//! Shares and attributes on three HSMs: what was given works on every one of them, what was taken back on none, from the
//! moment of the answer on, also under load, after `kill -9` and after a restart of everything.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use strongroom_client::{Client, PairAlgorithm};
use strongroom_tests::{World, kill, run, wait_for};
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Flag, KeyReference, Password, Role, Secret, Status, UserName,
};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::cli::refusal;
use crate::crash::login;
use crate::hand::Hand;

const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "long-enough";
/// How often a right is given and taken back under load.
const ROUNDS: usize = 25;

fn name(text: &str) -> UserName {
    text.parse().expect("a name")
}

fn pair(client: &Client) -> KeyReference {
    let may = |flag| vec![(AttributeName::Flag(flag), AttributeValue::Bool(true))];
    let made = client.key_generate_pair(&PairAlgorithm::Ec(Curve::P256), &may(Flag::Verify), &may(Flag::Sign), &[]);
    made.expect("a pair").1.reference
}

fn make_user(world: &World, user: &str) {
    let password = Password::new(Secret::from(PASSWORD.as_bytes())).expect("good");
    login(world, "admin", Role::Admin).user_create(&name(user), Role::CryptoUser, &password).expect("made");
}

/// A login of this user on each HSM, one connection to each.
pub(crate) fn hands(world: &World, user: &str, password: &str) -> Vec<Hand> {
    let log_in = |ip: &String| {
        let mut hand = Hand::at(world, ip);
        hand.log_in(user, password).expect("the password of now");
        hand
    };
    world.hsm_ips().iter().map(log_in).collect()
}

pub(crate) fn sign(hand: &mut Hand, key: KeyReference) -> Result<(), Status> {
    let mechanism = v1::Mechanism::Ecdsa.into();
    let message = v1::Sign { key: key.as_u64(), mechanism, data: vec![7; 32], ..v1::Sign::default() };
    hand.ask(Operation::Sign(message)).map(drop)
}

#[track_caller]
fn on_every_hsm(hands: &mut [Hand], key: KeyReference, expected: Result<(), Status>) {
    for (number, hand) in hands.iter_mut().enumerate() {
        assert_eq!(sign(hand, key), expected, "on HSM {number}");
    }
}

/// Where a right stands: it goes round.
const TAKEN: usize = 0;
const GIVEN: usize = 2;

/// Gives and takes a right while others try it on every HSM without a pause. What an HSM answers to a request that began
/// after the answer to a change is what that change says.
pub(crate) fn under_load(
    world: &World,
    user: (&str, &str),
    attempt: impl Fn(&mut Hand) -> Result<(), Status> + Sync,
    refused: Status,
    change: impl Fn(bool),
) {
    let (phase, stop) = (AtomicUsize::new(TAKEN), AtomicBool::new(false));
    let counts: [AtomicUsize; 4] = Default::default();
    let try_it = |mut hand: Hand| {
        while !stop.load(Ordering::SeqCst) {
            let before = phase.load(Ordering::SeqCst);
            let outcome = attempt(&mut hand);
            let unchanged = before == phase.load(Ordering::SeqCst);
            match (before % 4, outcome) {
                (TAKEN, Ok(())) if unchanged => return Err(format!("honoured after it was taken in phase {before}")),
                (GIVEN, Err(status)) if unchanged => return Err(format!("refused after it was given: {status}")),
                (_, Err(status)) if status != refused => return Err(format!("refused as {status}")),
                (now, _) => counts[now].fetch_add(1, Ordering::SeqCst),
            };
        }
        Ok(())
    };
    let wanted = 2 * world.hsm_ips().len();
    let tried = |now: usize, already: usize| counts[now].load(Ordering::SeqCst) >= already + wanted;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .flat_map(|_| hands(world, user.0, user.1))
            .map(|hand| {
                let (try_it, stop) = (&try_it, &stop);
                scope.spawn(move || try_it(hand).inspect_err(|_| stop.store(true, Ordering::SeqCst)))
            })
            .collect();
        for _ in 0..ROUNDS {
            for given in [true, false] {
                phase.fetch_add(1, Ordering::SeqCst);
                change(given);
                let now = (phase.fetch_add(1, Ordering::SeqCst) + 1) % 4;
                let already = counts[now].load(Ordering::SeqCst);
                wait_for("tries", PATIENCE, || tried(now, already) || stop.load(Ordering::SeqCst));
            }
        }
        stop.store(true, Ordering::SeqCst);
        for worker in workers {
            assert_eq!(worker.join().expect("no panic"), Ok(()));
        }
    });
}

#[test]
fn a_share_is_given_and_taken_back_everywhere_at_once() {
    let world = World::quick(&["--hsms", "3"]);
    make_user(&world, "bob");
    let alice = login(&world, "crypto_user", Role::CryptoUser);
    let key = pair(&alice);
    let mut bobs = hands(&world, "bob", PASSWORD);
    assert_eq!(bobs.len(), 3);
    let share = |given| match given {
        true => alice.key_share(key, &name("bob"), Role::CryptoUser).expect("shared"),
        false => alice.key_unshare(key, &name("bob"), Role::CryptoUser).expect("unshared"),
    };
    on_every_hsm(&mut bobs, key, Err(Status::KeyUnknown));
    share(true);
    on_every_hsm(&mut bobs, key, Ok(()));
    share(false);
    on_every_hsm(&mut bobs, key, Err(Status::KeyUnknown));
    under_load(&world, ("bob", PASSWORD), |hand| sign(hand, key), Status::KeyUnknown, share);
    on_every_hsm(&mut bobs, key, Err(Status::KeyUnknown));
}

#[test]
fn an_attribute_acts_everywhere_at_once() {
    let world = World::quick(&["--hsms", "3"]);
    let alice = login(&world, "crypto_user", Role::CryptoUser);
    let (user, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let key = pair(&alice);
    let set = |value| {
        let (name, value) = (AttributeName::Flag(Flag::Sign), AttributeValue::Bool(value));
        alice.key_set_attribute(key, name, &value).expect("set");
    };
    set(false);
    on_every_hsm(&mut hands(&world, &user, &password), key, Err(Status::KeyFunctionNotPermitted));
    under_load(&world, (&user, &password), |hand| sign(hand, key), Status::KeyFunctionNotPermitted, set);
    on_every_hsm(&mut hands(&world, &user, &password), key, Err(Status::KeyFunctionNotPermitted));
}

#[test]
fn shares_and_attributes_survive_kills_and_a_restart() {
    let mut world = World::quick(&["--hsms", "3"]);
    for user in ["bob", "carol"] {
        make_user(&world, user);
    }
    let alice = login(&world, "crypto_user", Role::CryptoUser);
    let (kept, taken, mute) = (pair(&alice), pair(&alice), pair(&alice));
    for key in [kept, taken, mute] {
        alice.key_share(key, &name("bob"), Role::CryptoUser).expect("shared");
    }
    on_every_hsm(&mut hands(&world, "bob", PASSWORD), taken, Ok(()));
    alice.key_unshare(taken, &name("bob"), Role::CryptoUser).expect("unshared");
    let (sign_flag, off) = (AttributeName::Flag(Flag::Sign), AttributeValue::Bool(false));
    alice.key_set_attribute(mute, sign_flag, &off).expect("set");
    let check = |world: &World| {
        let mut bobs = hands(world, "bob", PASSWORD);
        on_every_hsm(&mut bobs, kept, Ok(()));
        on_every_hsm(&mut bobs, taken, Err(Status::KeyUnknown));
        on_every_hsm(&mut bobs, mute, Err(Status::KeyFunctionNotPermitted));
        on_every_hsm(&mut hands(world, "carol", PASSWORD), kept, Err(Status::KeyUnknown));
    };
    check(&world);
    for pid in world.hsm_pids() {
        // Acknowledged, and at once the process is gone.
        alice.key_unshare(taken, &name("carol"), Role::CryptoUser).expect("unshared");
        kill("KILL", pid);
        wait_for("the HSM to serve again", PATIENCE, || {
            world.status()["state"] == "ACTIVE" && !world.hsm_pids().contains(&pid)
        });
        check(&world);
    }
    world.kill_everything();
    world.start();
    check(&world);
    world.stop();
    world.start();
    check(&world);
    // The name goes with the user: another user of that name has nothing.
    let admin = login(&world, "admin", Role::Admin);
    admin.user_delete(&name("bob"), Role::CryptoUser).expect("deleted");
    make_user(&world, "bob");
    on_every_hsm(&mut hands(&world, "bob", PASSWORD), kept, Err(Status::KeyUnknown));
    let alice = login(&world, "crypto_user", Role::CryptoUser);
    let filter = strongroom_types::Filter(vec![strongroom_types::FilterTerm::Reference(kept)]);
    let found = alice.key_find(&filter, 0, 1).expect("found");
    assert!(found.keys[0].shared_with.is_empty(), "{:?}", found.keys[0].shared_with);
}

#[test]
fn the_tool_shares_and_changes_keys() {
    let world = World::new();
    let owner = world.text("/crypto_user/username");
    for user in ["friend", "stranger"] {
        make_user(&world, user);
    }
    let reference = world.ec_pair("site", "prime256v1");
    let private = ["attr.label=site", "attr.class=private-key"];
    let key = |words: &[&str], more: &[&str]| -> Vec<String> {
        let filter = [&["--filter"], &private[..]].concat();
        [&["key"], words, &filter[..], more].concat().iter().map(|&word| word.to_owned()).collect()
    };
    let words = |line: &[String]| -> Vec<String> { line.to_vec() };
    let as_user = |user: &str, line: &[String]| {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        run(world.bare_cli(&line).env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", format!("{user}:{PASSWORD}")))
    };
    let as_owner = |line: &[String]| world.cli(&line.iter().map(String::as_str).collect::<Vec<_>>());
    let with = |user| ["--username", user, "--role", "crypto-user"];
    let sign: Vec<String> = [
        "crypto",
        "sign",
        "ecdsa",
        "--hash-function",
        "sha256",
        "--data",
        "YQ==",
        "--key-filter",
        private[0],
        private[1],
    ]
    .map(str::to_owned)
    .into();
    let (share, unshare) = (key(&["share"], &with("friend")), key(&["unshare"], &with("friend")));
    refusal(as_user("friend", &sign));
    assert_eq!(as_owner(&share).ok().json()["data"], json!({ "message": "Key shared successfully" }));
    as_owner(&share).ok();
    let signed = as_user("friend", &sign).ok().json();
    assert_eq!(signed["data"]["key-reference"], reference.as_str());
    let list = key(&["list"], &["--verbose"]);
    let users = |user: &str| json!([{ "username": user, "key-coverage": "full" }]);
    for listed in [as_owner(&list), as_user("friend", &list)] {
        let info = listed.ok().json()["data"]["matched_keys"][0]["key-info"].clone();
        assert_eq!((&info["key-owners"], &info["shared-users"]), (&users(&owner), &users("friend")));
    }
    // Who may use it may do nothing else with it.
    let forbidden = [
        words(&unshare),
        key(&["share"], &with("stranger")),
        key(&["set-attribute"], &["--name", "sign", "--value", "false"]),
        key(&["delete"], &[]),
    ];
    for line in &forbidden {
        let said = refusal(as_user("friend", line));
        assert!(said.contains("only the key's owner may do this"), "{line:?}: {said}");
        let said = refusal(as_user("stranger", line));
        assert!(said.contains("matched 0 keys"), "{line:?}: {said}");
    }
    let said = refusal(as_owner(&key(&["share"], &with("nobody"))));
    assert!(said.contains("there is no such user: nobody"), "{said}");
    let said = refusal(as_owner(&key(&["share"], &["--username", "admin", "--role", "admin"])));
    assert!(said.contains("keys are shared with crypto users only"), "{said}");
    let said = as_owner(&unshare).ok().json();
    assert_eq!(said["data"], json!({ "message": "Key unshared successfully" }));
    as_owner(&unshare).ok();
    refusal(as_user("friend", &sign));
    let listed = as_owner(&list).ok().json();
    assert_eq!(listed["data"]["matched_keys"][0]["key-info"]["shared-users"], json!([]));
    attributes(&world, &reference, &key, &as_owner, &sign);
}

type Line<'a> = &'a dyn Fn(&[&str], &[&str]) -> Vec<String>;
type Tool<'a> = &'a dyn Fn(&[String]) -> strongroom_tests::Ran;

/// `key set-attribute`, by the owner and by the admin.
fn attributes(world: &World, reference: &str, key: Line<'_>, as_owner: Tool<'_>, sign: &[String]) {
    let set = |name: &str, value: &str| key(&["set-attribute"], &["--name", name, "--value", value]);
    let done = json!({ "message": "Attribute set successfully" });
    let mut said: BTreeSet<String> = BTreeSet::new();
    assert_eq!(as_owner(&set("sign", "false")).ok().json()["data"], done);
    said.insert(refusal(as_owner(sign)));
    assert_eq!(as_owner(&set("sign", "true")).ok().json()["data"], done);
    as_owner(sign).ok();
    assert_eq!(as_owner(&set("id", "0x0a0b")).ok().json()["data"], done);
    let id = as_owner(&key(&["list"], &["attr.id=0x0a0b"])).ok().json();
    assert_eq!(id["data"]["total_key_count"], 1);
    for (name, value) in [
        ("extractable", "true"),
        ("token", "false"),
        ("wrap", "true"),
        ("class", "public-key"),
        ("local", "true"),
        ("sign", "perhaps"),
        ("trusted", "true"),
    ] {
        said.insert(refusal(as_owner(&set(name, value))));
    }
    as_owner(&set("modifiable", "false")).ok();
    said.insert(refusal(as_owner(&set("sign", "false"))));
    let filter = format!("key-reference={reference}");
    let by_admin =
        |name, value| world.admin_cli(&["key", "set-attribute", "--filter", &filter, "--name", name, "--value", value]);
    said.insert(refusal(by_admin("sign", "true")));
    let aes = ["key", "generate-symmetric", "aes", "--label", "wrapper", "--key-length-bytes", "32"];
    let made = world.data(&aes)["key"]["key-reference"].as_str().expect("a reference").to_owned();
    for value in ["true", "false", "true"] {
        let filter = format!("key-reference={made}");
        let set = ["key", "set-attribute", "--filter", &filter, "--name", "trusted", "--value", value];
        assert_eq!(world.admin_cli(&set).ok().json()["data"], done);
        let listed = world.data(&["key", "list", "--filter", &filter, "--verbose"]);
        assert_eq!(listed["matched_keys"][0]["attributes"]["trusted"], value == "true");
    }
    let expected: BTreeSet<String> = [
        "the attribute may not be set: class",
        "the attribute may not be set: local",
        "a key of this kind has no such attribute: trusted",
        "a key of this kind has no such attribute: wrap",
        "the attribute's value is not valid: extractable: it may be set to false only",
        "the attribute's value is not valid: token: it may be set to true only",
        "the value of sign: expected true or false",
        "the key is not modifiable",
        "the user's role does not permit this: sign: only the key's owner may set it; admins set trusted alone; admins \
         manage users, crypto users use keys",
        "the key's attributes do not permit this use: sign; its owner sets them when it is made, such as with \
         --private-attributes sign=true, or later with key set-attribute",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(said, expected);
}

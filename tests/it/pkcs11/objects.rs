//! Objects through the library: each test is a story that `tests/programs/c/objects.c` tells.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use strongroom_crypto::{ecdsa, pkcs8, spki};
use strongroom_tests::{World, kill, program, run};
use strongroom_types::{Curve, PublicPart, Secret};

use crate::c::{compiled, library};

/// A story that is being told.
struct Story {
    child: Child,
    says: BufReader<ChildStdout>,
    told: ChildStdin,
}

impl Story {
    #[track_caller]
    fn of(world: &World, name: &str) -> Story {
        let mut command = Command::new(compiled("objects"));
        command.arg(library()).arg(world.pin()).arg(name).env("CLOUDHSM_HOME", world.home());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let says = BufReader::new(child.stdout.take().expect("it is piped"));
        let told = child.stdin.take().expect("it is piped");
        Story { child, says, told }
    }

    /// What it says up to its end, or until it waits; then for what.
    #[track_caller]
    fn next(&mut self) -> (Vec<String>, Option<String>) {
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            if self.says.read_line(&mut line).expect("it can be read") == 0 {
                return (said, None);
            }
            match line.trim_end().strip_prefix("wait ") {
                Some(what) => return (said, Some(what.to_owned())),
                None => said.push(line.trim_end().to_owned()),
            }
        }
    }

    #[track_caller]
    fn go_on(&mut self) {
        self.told.write_all(b"go on\n").expect("it waits");
    }

    /// The rest, of a story that comes to its end.
    #[track_caller]
    fn end(mut self) -> Vec<String> {
        let (mut said, waits) = self.next();
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success() && waits.is_none(), "{status}: {said:#?}");
        assert_eq!(said.pop().as_deref(), Some("done"));
        said
    }
}

#[track_caller]
fn tell(world: &World, name: &str) -> Vec<String> {
    Story::of(world, name).end()
}

#[test]
fn attributes_are_set_told_and_changed() {
    tell(&World::new(), "attributes");
}

#[test]
fn objects_are_found_by_what_they_are() {
    tell(&World::new(), "searches");
}

#[test]
fn keys_are_copied_between_session_and_token() {
    tell(&World::new(), "copies");
}

#[test]
fn session_keys_outlive_an_hsm_and_end_with_their_session() {
    let world = World::new();
    let mut story = Story::of(&world, "sessions");
    let (_, waits) = story.next();
    assert_eq!(waits.as_deref(), Some("kill"));
    // Whichever of the two has made the keys: the other is given them by the library.
    kill("KILL", world.hsm_pids()[0]);
    story.go_on();
    story.end();
}

#[test]
fn session_keys_end_with_their_session_whatever_they_are_and_whoever_answers() {
    let world = World::new();
    let mut story = Story::of(&world, "endings");
    let (said, waits) = story.next();
    assert_eq!(waits.as_deref(), Some("kill"), "{said:#?}");
    world.kill_everything();
    let begun = Instant::now();
    story.go_on();
    let (said, waits) = story.next();
    assert_eq!(waits.as_deref(), Some("count"), "{said:#?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    story.go_on();
    story.end();
}

#[test]
fn a_change_of_a_session_key_leaves_none_beside_it() {
    tell(&World::new(), "changes");
}

#[test]
fn half_a_pair_is_not_left_when_its_session_is_closed() {
    tell(&World::new(), "halves");
}

#[test]
fn keys_are_wrapped_by_every_mechanism_and_come_back() {
    tell(&World::new(), "wraps");
}

#[test]
fn a_guarded_key_leaves_under_a_trusted_key_alone_and_comes_back_as_that_demands() {
    let world = World::new();
    let mut story = Story::of(&world, "trusted");
    let (said, waits) = story.next();
    assert_eq!(waits.as_deref(), Some("trust"), "{said:#?}");
    let trust = ["key", "set-attribute", "--filter", "attr.label=trusted", "--name", "trusted", "--value", "true"];
    world.admin_cli(&trust).ok();
    story.go_on();
    story.end();
}

/// What a key is said to be when its handle is asked for costs no round trip, so it is a use that finds out.
#[test]
fn a_use_of_a_key_that_is_gone_forgets_its_handle() {
    let world = World::new();
    let mut story = Story::of(&world, "gone");
    let (said, waits) = story.next();
    assert_eq!(waits.as_deref(), Some("delete"), "{said:#?}");
    let found = world.data(&["key", "list", "--filter", "attr.label=gone"]);
    for key in found["matched_keys"].as_array().expect("keys") {
        let filter = format!("key-reference={}", key["key-reference"].as_str().expect("a reference"));
        world.cli(&["key", "delete", "--filter", &filter]).ok();
    }
    story.go_on();
    story.end();
}

#[test]
fn a_wrapping_key_wraps_what_fits_its_template() {
    tell(&World::new(), "demanding");
}

#[test]
fn both_sides_derive_the_same_key() {
    tell(&World::new(), "derivations");
}

#[test]
fn kinds_that_not_every_cluster_has_are_objects_too() {
    tell(&World::quick(&["--hsm-type", "hsm2m.medium", "--mode", "NON_FIPS"]), "kinds");
}

/// `openssl` finds the same secret from the other side's key.
#[test]
fn the_shared_secret_is_had_where_the_configuration_lets_it() {
    let world = World::quick(&["--mode", "NON_FIPS"]);
    let mut configure = Command::new(program("configure-pkcs11"));
    run(configure.arg("--enable-ecdh-without-kdf").env("CLOUDHSM_HOME", world.home())).ok();
    let said = tell(&world, "shared-secret");
    let public = PublicPart::Ec { curve: Curve::P256, point: value(&said, "point")[2..].to_vec() };
    let scalar = Secret::new(value(&said, "scalar"));
    let private = pkcs8::ec(Curve::P256, &scalar).expect("a key of the curve");
    std::fs::write(world.file("public.der"), spki::encode(&public)).expect("it can be written");
    std::fs::write(world.file("private.der"), private.expose()).expect("it can be written");
    let derive = ["pkeyutl", "-derive", "-keyform", "DER", "-inkey", "private.der", "-peerform", "DER"];
    world.plain_openssl(&[&derive[..], &["-peerkey", "public.der", "-out", "secret"]].concat()).ok();
    assert_eq!(std::fs::read(world.file("secret")).expect("it is there"), value(&said, "secret"));
}

#[test]
fn certificates_are_objects_where_they_are_switched_on() {
    let world = World::quick(&["--hsm-type", "hsm2m.medium"]);
    tell(&world, "without-certificates");
    let mut configure = Command::new(program("configure-pkcs11"));
    run(configure.arg("--enable-certificate-storage").env("CLOUDHSM_HOME", world.home())).ok();
    tell(&world, "certificates");
}

/// `openssl` verifies what keys signed that came in through the library.
#[test]
fn keys_that_come_in_are_what_they_were() {
    let world = World::new();
    let said = tell(&world, "imports");
    let hex: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(world.file("zeros"), [0; 16]).expect("it can be written");
    world.plain_openssl(&["enc", "-aes-256-ecb", "-nopad", "-K", &hex, "-in", "zeros", "-out", "block"]).ok();
    let block = std::fs::read(world.file("block")).expect("it is there");
    assert_eq!(value(&said, "aes-check-value"), block[..3]);

    let rsa = PublicPart::Rsa { modulus: value(&said, "rsa-modulus"), public_exponent: vec![1, 0, 1] };
    verify(&world, &rsa, &value(&said, "rsa-signature"));
    verify(&world, &rsa, &value(&said, "rsa-signature-of-exponents"));
    let ec = PublicPart::Ec { curve: Curve::P256, point: value(&said, "ec-point")[2..].to_vec() };
    let signature = ecdsa::raw_to_der(&value(&said, "ec-signature")).expect("two numbers");
    verify(&world, &ec, &signature);
}

#[track_caller]
fn verify(world: &World, public: &PublicPart, signature: &[u8]) {
    for (name, bytes) in
        [("public.der", spki::encode(public)), ("signature", signature.to_vec()), ("message", b"message".to_vec())]
    {
        std::fs::write(world.file(name), bytes).expect("it can be written");
    }
    let verify = ["dgst", "-sha256", "-verify", "public.der", "-keyform", "DER", "-signature", "signature", "message"];
    world.plain_openssl(&verify).ok();
}

/// The value that the story has printed under a name.
#[track_caller]
fn value(said: &[String], name: &str) -> Vec<u8> {
    let hex = said.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("the story prints it");
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

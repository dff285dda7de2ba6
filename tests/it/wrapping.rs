//! Keys that leave and come in wrapped, with the `openssl` command on the other side.

use std::process::Command;

use serde_json::{Value, json};
use strongroom_client::Wrapping;
use strongroom_tests::{Ran, World, run, run_with_input};
use strongroom_types::{AttributeName, AttributeValue, Flag, KeyReference, Role, Status, WrapMechanism};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::crash::login;
use crate::hand::Hand;
use crate::sharing::under_load;

/// The `data` of a command that is refused.
#[track_caller]
fn refusal(ran: Ran) -> String {
    let json = ran.failed().json();
    assert_eq!(json["error_code"], 1);
    json["data"].as_str().expect("a text").to_owned()
}

/// An AES key with these attributes; its reference and check value.
#[track_caller]
fn aes(world: &World, label: &str, attributes: &[&str]) -> Value {
    let make = ["key", "generate-symmetric", "aes", "--label", label, "--key-length-bytes", "32", "--attributes"];
    world.data(&[&make[..], attributes].concat())["key"].clone()
}

#[test]
fn every_aes_mechanism_brings_a_key_back() {
    let world = World::new();
    let payload = aes(&world, "payload", &["extractable=true"]);
    let kek = aes(&world, "kek", &["wrap=true", "unwrap=true"]);
    let gcm = ["--tag-length-bits", "96", "--aad", "0x10"];
    for (mechanism, parameters, len) in [
        ("aes-gcm", &gcm[..], 32 + 12),
        ("cloudhsm-aes-gcm", &gcm[..], 12 + 32 + 12),
        ("aes-no-pad", &[], 40),
        ("aes-zero-pad", &[], 40),
        ("aes-pkcs5-pad", &[], 48),
    ] {
        let file = world.name(mechanism);
        let keys = ["--payload-filter", "attr.label=payload", "--wrapping-filter", "attr.label=kek", "--path", &file];
        let wrapped = world.data(&[&["key", "wrap", mechanism], &keys[..], parameters].concat());
        let names: Vec<_> = wrapped.as_object().expect("an object").keys().map(String::as_str).collect();
        let iv = if mechanism == "aes-gcm" { Some("iv") } else { None };
        let expected = ["payload_key_reference", "wrapping_key_reference"].into_iter().chain(iv);
        assert_eq!(names, expected.chain(["wrapped_key_data"]).collect::<Vec<_>>());
        assert_eq!(wrapped["payload_key_reference"], payload["key-reference"]);
        assert_eq!(wrapped["wrapping_key_reference"], kek["key-reference"]);
        assert_eq!(std::fs::read(&file).expect("the wrapped key is there").len(), len, "{mechanism}");
        let data = wrapped["wrapped_key_data"].as_str().expect("base64").to_owned();
        let iv = wrapped["iv"].as_str().map(str::to_owned);
        let unwrap = |data: &[&str], label: &str| {
            let what = ["--filter", "attr.label=kek", "--key-type-class", "aes", "--label", label];
            let iv: Vec<&str> = iv.iter().flat_map(|iv| ["--iv", iv]).collect();
            world.cli(&[&["key", "unwrap", mechanism], &what[..], data, parameters, &iv].concat())
        };
        for data in [["--data", &data], ["--data-path", &file]] {
            let key = unwrap(&data, mechanism).ok().json()["data"]["key"].clone();
            let (attributes, before) = (&key["attributes"], &payload["attributes"]);
            assert_eq!(attributes["check-value"], before["check-value"], "{mechanism}");
            for (name, value) in [
                ("local", json!(false)),
                ("always-sensitive", json!(false)),
                ("never-extractable", json!(false)),
                ("sensitive", json!(true)),
                ("extractable", json!(true)),
                ("sign", json!(true)),
                ("wrap", json!(false)),
                ("key-length-bytes", json!(32)),
            ] {
                assert_eq!(attributes[name], value, "{name}");
            }
        }
        let said =
            refusal(unwrap(&["--data", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"], "no"));
        assert!(said.starts_with("the data cannot be unwrapped with this key to a key of this kind"), "{said}");
    }
}

/// A script that fails when one of its commands does, in a folder of the world's.
#[track_caller]
fn sh(world: &World, script: &str) -> Ran {
    let mut command = Command::new("sh");
    run(command.args(["-eu", "-c", script]).current_dir(world.file("")))
}

/// The option that the `openssl` command has for OAEP with this hash.
fn oaep(hash: &str) -> String {
    format!("-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:{hash} -pkeyopt rsa_mgf1_md:{hash}")
}

/// The answer's wrapped key is also in this file.
#[track_caller]
fn wrap_to(world: &World, mechanism: &[&str], payload: &str, wrapping: &[&str], file: &str) -> Value {
    let file = world.name(file);
    let keys = ["--payload-filter", payload, "--path", &file, "--wrapping-filter"];
    world.data(&[&["key", "wrap"], mechanism, &keys, wrapping].concat())
}

const KEK_PUBLIC: [&str; 2] = ["attr.label=kek", "attr.class=public-key"];
const KEK_PRIVATE: [&str; 2] = ["attr.label=kek", "attr.class=private-key"];

/// An RSA pair `kek` of the cluster's own, and `partner.key`, which only openssl has, imported as `partner`.
fn rsa_keys(world: &World) {
    let pair = ["key", "generate-asymmetric-pair", "rsa", "--modulus-size-bits", "2048", "--public-exponent", "65537"];
    let labels = ["--public-label", "kek", "--private-label", "kek", "--public-attributes", "wrap=true"];
    world.data(&[&pair[..], &labels, &["--private-attributes", "unwrap=true"]].concat());
    let file = world.name("kek.pem");
    let pem = ["key", "generate-file", "--encoding", "pem", "--path", &file, "--filter"];
    world.data(&[&pem[..], &KEK_PUBLIC].concat());
    sh(world, "openssl genrsa -out partner.key 2048 && openssl pkey -in partner.key -pubout -out partner.pem").ok();
    let file = world.name("partner.pem");
    let import = ["key", "import", "pem", "--path", &file, "--label", "partner", "--key-type-class", "rsa-public"];
    let imported = world.data(&[&import[..], &["--attributes", "wrap=true"]].concat());
    assert_eq!(imported["message"], "Successfully imported key");
}

#[test]
fn openssl_opens_what_rsa_mechanisms_wrapped_and_wraps_what_they_open() {
    let world = World::quick(&["--mode", "NON_FIPS"]);
    rsa_keys(&world);
    // A known key, brought in under the pair.
    let known = "printf '\\000\\001\\002\\003\\004\\005\\006\\007\\010\\011\\012\\013\\014\\015\\016\\017' > known";
    sh(&world, known).ok();
    for hash in ["sha1", "sha224", "sha256", "sha384", "sha512"] {
        let parameters = ["--hash-function", hash, "--mgf", &format!("mgf1-{hash}")];
        let data = world.name("known.wrapped");
        let bring = |mechanism: &str, label: &str| {
            let what = ["--key-type-class", "aes", "--label", label, "--data-path", &data, "--filter"];
            let key = world.data(&[&["key", "unwrap", mechanism][..], &parameters, &what, &KEK_PRIVATE].concat());
            assert_eq!(key["key"]["attributes"]["check-value"], "0xc6a13b", "{mechanism} {hash}");
        };
        let encrypt = format!("openssl pkeyutl -encrypt -pubin -inkey kek.pem {}", oaep(hash));
        sh(&world, &format!("{encrypt} -in known -out known.wrapped")).ok();
        let label = format!("oaep-{hash}");
        bring("rsa-oaep", &label);
        sh(
            &world,
            &format!(
                "openssl rand -out t 32; openssl enc -id-aes256-wrap-pad -K $(xxd -p -c 64 t) -iv A65959A6 -in known -out b
                 {encrypt} -in t -out known.wrapped; cat b >> known.wrapped"
            ),
        )
        .ok();
        bring("rsa-aes", &format!("aes-{hash}"));
        // And out again, for the partner.
        let payload = format!("attr.label={label}");
        let partner = ["attr.label=partner"];
        let decrypt = format!("openssl pkeyutl -decrypt -inkey partner.key {}", oaep(hash));
        wrap_to(&world, &[&["rsa-oaep"][..], &parameters].concat(), &payload, &partner, "out.oaep");
        sh(&world, &format!("{decrypt} -in out.oaep -out opened && cmp opened known")).ok();
        wrap_to(&world, &[&["rsa-aes"][..], &parameters].concat(), &payload, &partner, "out.aes");
        sh(
            &world,
            &format!(
                "head -c 256 out.aes > f; tail -c +257 out.aes > b; {decrypt} -in f -out t; test $(wc -c < t) = 32
                 openssl enc -d -id-aes256-wrap-pad -K $(xxd -p -c 64 t) -iv A65959A6 -in b -out opened; cmp opened known"
            ),
        )
        .ok();
    }
    sh(&world, "openssl pkeyutl -encrypt -pubin -inkey kek.pem -in known -out known.wrapped").ok();
    let data = world.name("known.wrapped");
    let what = ["--key-type-class", "aes", "--label", "pkcs", "--data-path", &data, "--filter"];
    let key = world.data(&[&["key", "unwrap", "rsa-pkcs"][..], &what, &KEK_PRIVATE].concat());
    assert_eq!(key["key"]["attributes"]["check-value"], "0xc6a13b");
    wrap_to(&world, &["rsa-pkcs"], "attr.label=pkcs", &["attr.label=partner"], "out.pkcs");
    sh(&world, "openssl pkeyutl -decrypt -inkey partner.key -in out.pkcs -out opened && cmp opened known").ok();
}

#[test]
fn openssl_opens_what_aes_mechanisms_wrapped() {
    let world = World::new();
    rsa_keys(&world);
    sh(&world, "openssl rand -out kek 32; openssl rand -out payload 24").ok();
    let encrypt = format!("openssl pkeyutl -encrypt -pubin -inkey kek.pem {}", oaep("sha256"));
    let bring = |file: &str, attributes: &[&str]| {
        sh(&world, &format!("{encrypt} -in {file} -out wrapped")).ok();
        let data = world.name("wrapped");
        let mechanism = ["key", "unwrap", "rsa-oaep", "--hash-function", "sha256", "--mgf", "mgf1-sha256"];
        let what = ["--key-type-class", "aes", "--label", file, "--data-path", &data, "--filter"];
        let key = [&mechanism[..], &what, &KEK_PRIVATE, &["--attributes"], attributes].concat();
        world.data(&key)["key"]["key-reference"].as_str().expect("a reference").to_owned()
    };
    let kek = format!("key-reference={}", bring("kek", &["wrap=true", "unwrap=true"]));
    let payload = format!("key-reference={}", bring("payload", &["extractable=true"]));
    let kek = [kek.as_str()];
    let key = "-K $(xxd -p -c 64 kek)";
    wrap_to(&world, &["aes-no-pad"], &payload, &kek, "out");
    sh(
        &world,
        &format!("openssl enc -d -id-aes256-wrap {key} -iv A6A6A6A6A6A6A6A6 -in out -out opened; cmp opened payload"),
    )
    .ok();
    wrap_to(&world, &["aes-zero-pad"], &payload, &kek, "out");
    sh(
        &world,
        &format!("openssl enc -d -id-aes256-wrap-pad {key} -iv A65959A6 -in out -out opened; cmp opened payload"),
    )
    .ok();
    wrap_to(&world, &["aes-pkcs5-pad"], &payload, &kek, "out");
    sh(
        &world,
        &format!(
            "openssl enc -d -id-aes256-wrap {key} -iv A6A6A6A6A6A6A6A6 -in out -out opened; test $(wc -c < opened) = 32
             head -c 24 opened | cmp - payload; test $(tail -c 8 opened | xxd -p) = 0808080808080808"
        ),
    )
    .ok();
    // GCM is CTR from the iv with counter 2 on (SP 800-38D §7.1), and a tag that the HSM checks.
    let gcm = ["aes-gcm", "--tag-length-bits", "128", "--aad", "0x10"];
    let wrapped = wrap_to(&world, &gcm, &payload, &kek, "out");
    let iv = wrapped["iv"].as_str().and_then(|iv| iv.strip_prefix("0x")).expect("hexadecimal").to_owned();
    let ctr = |iv: &str| {
        format!("openssl enc -d -aes-256-ctr {key} -iv {iv}00000002 -in cipher -out opened; cmp opened payload")
    };
    sh(&world, &format!("head -c 24 out > cipher; {}", ctr(&iv))).ok();
    let gcm = ["cloudhsm-aes-gcm", "--tag-length-bits", "64"];
    assert_eq!(wrap_to(&world, &gcm, &payload, &kek, "out").get("iv"), None);
    let iv = sh(&world, "test $(wc -c < out) = 44; head -c 12 out | xxd -p").ok().stdout.trim().to_owned();
    sh(&world, &format!("tail -c +13 out | head -c 24 > cipher; {}", ctr(&iv))).ok();
    // What openssl wrapped comes in.
    sh(&world, &format!("openssl enc -id-aes256-wrap-pad {key} -iv A65959A6 -in payload -out wrapped")).ok();
    let data = world.name("wrapped");
    let what = ["--key-type-class", "aes", "--label", "by-openssl", "--data-path", &data, "--filter", kek[0]];
    let back = world.data(&[&["key", "unwrap", "aes-zero-pad"][..], &what].concat());
    let original = world.data(&["key", "list", "--verbose", "--filter", &payload]);
    let check_value = &original["matched_keys"][0]["attributes"]["check-value"];
    assert_eq!(back["key"]["attributes"]["check-value"], *check_value);
}

/// Every kind of private key goes out as PKCS #8 that openssl reads, and comes back.
#[test]
fn private_keys_of_every_curve_travel() {
    let world = World::quick(&["--mode", "NON_FIPS"]);
    sh(&world, "openssl genrsa -out partner.key 4096 && openssl pkey -in partner.key -pubout -out partner.pem").ok();
    let file = world.name("partner.pem");
    let import = ["key", "import", "pem", "--path", &file, "--label", "partner", "--key-type-class", "rsa-public"];
    world.data(&[&import[..], &["--attributes", "wrap=true"]].concat());
    aes(&world, "kek", &["wrap=true", "unwrap=true"]);
    let oaep_parameters = ["rsa-oaep", "--hash-function", "sha256", "--mgf", "mgf1-sha256"];
    for curve in ["prime256v1", "secp224r1", "secp384r1", "secp256k1", "secp521r1", "ed25519"] {
        let labels = ["--public-label", curve, "--private-label", curve];
        let made = world.data(&[&["key", "generate-asymmetric-pair", "ec", "--curve", curve], &labels[..]].concat());
        let (public, private) = (&made["public_key"], &made["private_key"]);
        let reference = |key: &Value| format!("key-reference={}", key["key-reference"].as_str().expect("a reference"));
        let pem = world.name("public.pem");
        world.data(&["key", "generate-file", "--encoding", "pem", "--path", &pem, "--filter", &reference(public)]);
        wrap_to(&world, &oaep_parameters, &reference(private), &["attr.label=partner"], "out");
        let decrypt = format!("openssl pkeyutl -decrypt -inkey partner.key {} -in out -out opened", oaep("sha256"));
        sh(&world, &format!("{decrypt}; openssl pkey -in opened -inform DER -pubout | cmp - public.pem")).ok();
        let len = std::fs::metadata(world.file("opened")).expect("a file").len();
        assert_eq!(private["attributes"]["key-length-bytes"], len, "{curve}");
        // Back under an AES key; the public half alone as well.
        wrap_to(&world, &["aes-pkcs5-pad"], &reference(private), &["attr.label=kek"], "out");
        let (data, label) = (world.name("out"), format!("{curve}-back"));
        let what = ["--key-type-class", "ec-private", "--label", &label, "--data-path", &data];
        let back = world.data(&[&["key", "unwrap", "aes-pkcs5-pad", "--filter", "attr.label=kek"], &what[..]].concat());
        let import = ["key", "import", "pem", "--path", &pem, "--label", &label, "--key-type-class", "ec-public"];
        let imported = world.data(&import);
        for name in ["check-value", "ec-point", "curve", "key-type"] {
            assert_eq!(back["key"]["attributes"][name], private["attributes"][name], "{curve} {name}");
            assert_eq!(imported["key"]["attributes"][name], private["attributes"][name], "{curve} {name}");
        }
        assert_eq!(back["key"]["attributes"]["key-length-bytes"], len, "{curve}");
    }
}

/// Session keys wrap, are wrapped and come in, in one login of the shell.
#[test]
fn a_shell_wraps_with_session_keys() {
    let world = World::new();
    let file = world.name("wrapped");
    let (user, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let lines = [
        format!("login --username {user} --role crypto-user --password {password}"),
        "key generate-symmetric aes --label kek --key-length-bytes 32 --session --attributes wrap=true unwrap=true"
            .into(),
        "key generate-symmetric aes --label payload --key-length-bytes 16 --session".into(),
        format!(
            "key wrap aes-zero-pad --payload-filter attr.label=payload --wrapping-filter attr.label=kek --path {file}"
        ),
        format!(
            "key unwrap aes-zero-pad --filter attr.label=kek --key-type-class aes --label back --data-path {file} --session"
        ),
        format!(
            "key unwrap aes-zero-pad --filter attr.label=kek --key-type-class aes --label stays --data-path {file}"
        ),
        "key list --verbose".into(),
        "quit".into(),
    ];
    let said = run_with_input(&mut world.bare_cli(&["interactive"]), &(lines.join("\n") + "\n")).ok().stdout;
    let answers: Vec<Value> = serde_json::Deserializer::from_str(&said).into_iter().map_while(Result::ok).collect();
    let codes: Vec<_> = answers.iter().map(|answer| answer["error_code"].clone()).collect();
    assert_eq!(codes, vec![json!(0); 7], "{said}");
    let all = answers[6]["data"]["matched_keys"].as_array().expect("keys").clone();
    let of = |label: &str| {
        let found =
            all.iter().find(|key| key["attributes"]["label"] == label).unwrap_or_else(|| panic!("{label}: {said}"));
        (found["attributes"]["token"].clone(), found["attributes"]["check-value"].clone())
    };
    let (_, value) = of("payload");
    assert_eq!((of("back"), of("stays")), ((json!(false), value.clone()), (json!(true), value)));
    // The next login has what stays, and no key that opens the file.
    let left = world.data(&["key", "list", "--verbose"]);
    assert_eq!(
        (&left["total_key_count"], &left["matched_keys"][0]["attributes"]["label"]),
        (&json!(1), &json!("stays"))
    );
}

/// What came in is there after everything was killed, and goes out again.
#[test]
fn an_unwrapped_key_outlives_every_process() {
    let mut world = World::new();
    aes(&world, "kek", &["wrap=true", "unwrap=true"]);
    aes(&world, "payload", &["extractable=true"]);
    wrap_to(&world, &["aes-no-pad"], "attr.label=payload", &["attr.label=kek"], "out");
    let data = world.name("out");
    let what = ["--key-type-class", "aes", "--label", "back", "--data-path", &data, "--filter", "attr.label=kek"];
    world.data(&[&["key", "unwrap", "aes-no-pad"][..], &what].concat());
    world.kill_everything();
    world.start();
    let first = std::fs::read(world.file("out")).expect("a file");
    wrap_to(&world, &["aes-no-pad"], "attr.label=back", &["attr.label=kek"], "again");
    assert_eq!(std::fs::read(world.file("again")).expect("a file"), first, "KW has no randomness");
}

/// Taking `wrap` or `unwrap` away is answered when no HSM wraps or unwraps with the key any more, also under load.
#[test]
fn what_was_taken_away_wraps_and_unwraps_on_no_hsm() {
    let world = World::quick(&["--hsms", "3"]);
    let (user, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let reference = |key: &Value| -> KeyReference {
        key["key-reference"].as_str().expect("a reference").parse().expect("a reference")
    };
    let payload = reference(&aes(&world, "payload", &["extractable=true"]));
    let kek = reference(&aes(&world, "kek", &["wrap=true", "unwrap=true"]));
    let alice = login(&world, &user, Role::CryptoUser);
    let kwp = Wrapping::of(WrapMechanism::AesZeroPad);
    let wrapped = alice.key_wrap(payload, kek, &kwp).expect("wrapped").wrapped;
    let wrap = |hand: &mut Hand| {
        let (payload, wrapping_key) = (payload.as_u64(), kek.as_u64());
        hand.ask(Operation::KeyWrap(v1::KeyWrap { payload, wrapping_key, wrapping: Some((&kwp).into()) })).map(drop)
    };
    let of_session = v1::Attribute { name: "token".into(), value: Some(v1::attribute::Value::Boolean(false)) };
    let unwrap = |hand: &mut Hand| {
        let message = v1::KeyUnwrap {
            unwrapping_key: kek.as_u64(),
            wrapping: Some((&kwp).into()),
            wrapped: wrapped.clone(),
            class: v1::KeyClass::Secret.into(),
            key_type: v1::KeyType::Aes.into(),
            template: vec![of_session.clone()],
            ..v1::KeyUnwrap::default()
        };
        hand.ask(Operation::KeyUnwrap(message)).map(drop)
    };
    let set = |flag, value| {
        let (name, value) = (AttributeName::Flag(flag), AttributeValue::Bool(value));
        alice.key_set_attribute(kek, name, &value).expect("set");
    };
    let user = (user.as_str(), password.as_str());
    set(Flag::Wrap, false);
    under_load(&world, user, wrap, Status::KeyFunctionNotPermitted, |given| set(Flag::Wrap, given));
    set(Flag::Unwrap, false);
    under_load(&world, user, unwrap, Status::KeyFunctionNotPermitted, |given| set(Flag::Unwrap, given));
}

/// A key that leaves under trusted keys alone, by the tool: an admin's word, given and taken back.
#[test]
fn a_guarded_key_leaves_under_a_trusted_key_alone() {
    let world = World::new();
    rsa_keys(&world);
    let guarded =
        ["key", "generate-symmetric", "aes", "--label", "guarded", "--key-length-bytes", "32", "--attributes"];
    world.data(&[&guarded[..], &["wrap-with-trusted=true"]].concat());
    let oaep = ["key", "wrap", "rsa-oaep", "--hash-function", "sha256", "--mgf", "mgf1-sha256"];
    let keys = ["--payload-filter", "attr.label=guarded", "--wrapping-filter", "attr.label=partner"];
    let wrap = || world.cli(&[&oaep[..], &keys].concat());
    let partner = world.data(&["key", "list", "--filter", "attr.label=partner"]);
    let reference = partner["matched_keys"][0]["key-reference"].as_str().expect("a reference");
    let filter = format!("key-reference={reference}");
    let trust = ["key", "set-attribute", "--filter", &filter, "--name", "trusted", "--value"];
    let set = |value| world.admin_cli(&[&trust[..], &[value]].concat());
    let refused = refusal(wrap());
    assert!(refused.starts_with("the key may be wrapped under a trusted key only"), "{refused}");
    refusal(world.cli(&[&trust[..], &["true"]].concat()));
    set("true").ok();
    wrap().ok();
    set("false").ok();
    refusal(wrap());
}

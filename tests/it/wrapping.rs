//! Keys that leave and come in wrapped, with the `openssl` command on the other side.

use serde_json::{Value, json};
use strongroom_tests::{Ran, World};

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

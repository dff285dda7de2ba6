//! `cloudhsm-cli` in single-command mode.

use serde_json::{Value, json};
use strongroom_tests::{World, run};

/// The text of a failure, which comes in the envelope.
#[track_caller]
pub(crate) fn refusal(ran: strongroom_tests::Ran) -> String {
    let json = ran.failed().json();
    assert_eq!(json["error_code"], 1, "{json}");
    json["data"].as_str().unwrap_or_else(|| panic!("an error's data is text: {json}")).to_owned()
}

#[test]
fn keys_are_made_found_and_deleted() {
    let world = World::new();
    let aes = ["key", "generate-symmetric", "aes", "--label", "vault door", "--key-length-bytes", "32"];
    let made = world.data(&[&aes[..], &["--attributes", "encrypt=true", "extractable=false"]].concat());
    let key = &made["key"];
    let attributes = key["attributes"].as_object().expect("attributes");
    let names: Vec<_> = attributes.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "key-type",
            "label",
            "id",
            "check-value",
            "class",
            "encrypt",
            "decrypt",
            "token",
            "always-sensitive",
            "derive",
            "destroyable",
            "extractable",
            "local",
            "modifiable",
            "never-extractable",
            "private",
            "sensitive",
            "sign",
            "trusted",
            "unwrap",
            "verify",
            "wrap",
            "wrap-with-trusted",
            "key-length-bytes"
        ]
    );
    for (name, value) in [
        ("key-type", json!("aes")),
        ("label", json!("vault door")),
        ("id", json!("0x")),
        ("class", json!("secret-key")),
        ("encrypt", json!(true)),
        ("decrypt", json!(false)),
        ("extractable", json!(false)),
        ("never-extractable", json!(true)),
        ("sign", json!(true)),
        ("key-length-bytes", json!(32)),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    assert_eq!(key["key-info"]["key-owners"], json!([{ "username": "crypto_user", "key-coverage": "full" }]));
    assert_eq!(key["key-info"]["cluster-coverage"], "full");
    let secret = ["key", "generate-symmetric", "generic-secret", "--label", "pepper", "--key-length-bytes", "800"];
    assert_eq!(world.data(&secret)["key"]["attributes"].get("check-value"), None);
    world.ec_pair("pair", "secp521r1");
    let count = |filter: &[&str]| {
        let found = world.data(&[&["key", "list", "--filter"], filter].concat());
        (found["total_key_count"].clone(), found["returned_key_count"].clone())
    };
    assert_eq!(count(&["attr.label=vault door"]), (json!(1), json!(1)));
    assert_eq!(count(&["attr.class=secret-key"]), (json!(2), json!(2)));
    assert_eq!(count(&["attr.class=secret-key", "attr.key-type=aes", "attr.encrypt=true"]), (json!(1), json!(1)));
    assert_eq!(count(&["attr.key-type=ec", "attr.curve=secp521r1"]), (json!(2), json!(2)));
    assert_eq!(count(&["attr.label=nowhere"]), (json!(0), json!(0)));
    let all = world.data(&["key", "list"]);
    assert_eq!(all["total_key_count"], 4);
    assert_eq!(all.get("next_token"), None);
    let reference = key["key-reference"].as_str().expect("a reference");
    assert!(reference.len() == 18 && reference.starts_with("0x"), "{reference}");
    let filter = format!("key-reference={reference}");
    assert_eq!(world.data(&["key", "delete", "--filter", &filter])["message"], "Key deleted successfully");
    assert_eq!(count(&[&filter]), (json!(0), json!(0)));
    refusal(world.cli(&["key", "delete", "--filter", &filter]));
}

#[test]
fn long_lists_come_in_pages() {
    let world = World::new();
    for number in 0..3 {
        world.ec_pair(&format!("page-{number}"), "prime256v1");
    }
    let first = world.data(&["key", "list", "--max-items", "4"]);
    assert_eq!(
        (&first["total_key_count"], &first["returned_key_count"], &first["next_token"]),
        (&json!(6), &json!(4), &json!("4"))
    );
    let rest = world.data(&["key", "list", "--max-items", "4", "--starting-token", "4"]);
    assert_eq!(
        (&rest["total_key_count"], &rest["returned_key_count"], rest.get("next_token")),
        (&json!(6), &json!(2), None)
    );
    let references = |page: &Value| -> Vec<String> {
        page["matched_keys"].as_array().expect("a list").iter().map(|key| key["key-reference"].to_string()).collect()
    };
    let mut all = [references(&first), references(&rest)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6);
    let many = refusal(world.cli(&["key", "delete", "--filter", "attr.key-type=ec"]));
    assert_eq!(many, "Key selection criteria matched 6 keys. Refine selection criteria to select a single key.");
}

#[test]
fn users_are_made_changed_and_deleted() {
    let world = World::new();
    let named = |command: &str, name: &str| {
        vec!["user".to_owned(), command.to_owned(), "--username".to_owned(), name.to_owned()]
    };
    let admin = |command: &str, name: &str, rest: &[&str]| {
        let words = [named(command, name), rest.iter().map(|&word| word.to_owned()).collect()].concat();
        world.admin_cli(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let made = admin("create", "Bea", &["--role", "crypto-user", "--password", "first-password"]).ok().json();
    assert_eq!(made["data"], json!({ "username": "bea", "role": "crypto-user" }));
    let as_bea = |password: &str| {
        let mut command = world.bare_cli(&["key", "list"]);
        run(command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", format!("bea:{password}")))
    };
    as_bea("first-password").ok();
    refusal(admin("create", "BEA", &["--role", "crypto-user", "--password", "first-password"]));
    admin("change-password", "bea", &["--role", "crypto-user", "--password", "second-password"]).ok();
    refusal(as_bea("first-password"));
    as_bea("second-password").ok();
    let users = run(&mut world.bare_cli(&["user", "list"])).ok().json();
    let bea = users["data"]["users"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|user| user["username"] == "bea")
        .expect("she is listed");
    let expected = json!({
        "username": "bea", "role": "crypto-user", "locked": "false", "mfa": [], "quorum": [], "cluster-coverage": "full"
    });
    assert_eq!(*bea, expected);
    let internal =
        users["data"]["users"].as_array().expect("a list").iter().find(|user| user["username"] == "app_user");
    assert_eq!(internal.expect("the cluster's own user is listed")["role"], "internal(APPLIANCE_USER)");
    let gone = admin("delete", "bea", &["--role", "crypto-user"]).ok().json();
    assert_eq!(gone["data"], json!({ "username": "bea", "role": "crypto-user" }));
    refusal(as_bea("second-password"));
    refusal(admin("delete", "bea", &["--role", "crypto-user"]));
    refusal(admin("delete", "app_user", &["--role", "crypto-user"]));
    refusal(admin("delete", "admin", &["--role", "admin"]));
}

#[test]
fn five_wrong_passwords_lock_a_user_until_an_admin_sets_a_new_one() {
    let world = World::new();
    let user = ["--username", "crypto_user", "--role", "crypto-user", "--password"];
    for _ in 0..5 {
        refusal(run(&mut world.bare_cli(&[&["login"], &user[..], &["not-the-password"]].concat())));
    }
    let said = refusal(world.cli(&["key", "list"]));
    assert!(said.contains("locked"), "{said}");
    let users = run(&mut world.bare_cli(&["user", "list"])).ok().json();
    let locked = users["data"]["users"].as_array().expect("a list").iter().filter(|user| user["locked"] == "true");
    assert_eq!(locked.map(|user| &user["username"]).collect::<Vec<_>>(), [&json!("crypto_user")]);
    let password = world.text("/crypto_user/password");
    world.admin_cli(&[&["user", "change-password"], &user[..], &[&password]].concat()).ok();
    world.data(&["key", "list"]);
}

#[test]
fn roles_do_what_they_may() {
    let world = World::shared();
    let role = |ran: strongroom_tests::Ran| {
        let said = refusal(ran);
        assert!(said.to_lowercase().contains("role"), "{said}");
    };
    role(world.cli(&["user", "create", "--username", "eve", "--role", "admin", "--password", "long-enough"]));
    role(world.cli(&["user", "delete", "--username", "admin", "--role", "admin"]));
    role(world.admin_cli(&["key", "generate-symmetric", "aes", "--label", "x", "--key-length-bytes", "16"]));
    // What needs nobody's login, and what does.
    run(&mut world.bare_cli(&["cluster", "hsm-info"])).ok();
    run(&mut world.bare_cli(&["user", "list"])).ok();
    refusal(run(&mut world.bare_cli(&["key", "list"])));
    refusal(world.cli(&["cluster", "activate", "--password", "another-password"]));
}

#[test]
fn keys_belong_to_their_owner_and_to_those_they_are_shared_with() {
    let world = World::new();
    for name in ["friend", "stranger"] {
        world
            .admin_cli(&["user", "create", "--username", name, "--role", "crypto-user", "--password", "long-enough"])
            .ok();
    }
    let aes = ["key", "generate-symmetric", "aes", "--label", "shared", "--key-length-bytes", "16"];
    let made = world.data(&[&aes[..], &["--share-crypto-users", "friend"]].concat());
    assert_eq!(made["key"]["key-info"]["shared-users"], json!([{ "username": "friend", "key-coverage": "full" }]));
    let as_user = |name: &str, words: &[&str]| {
        let mut command = world.bare_cli(words);
        run(command.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", format!("{name}:long-enough")))
    };
    let find = ["key", "list", "--filter", "attr.label=shared"];
    assert_eq!(as_user("friend", &find).ok().json()["data"]["total_key_count"], 1);
    assert_eq!(as_user("stranger", &find).ok().json()["data"]["total_key_count"], 0);
    let delete = ["key", "delete", "--filter", "attr.label=shared"];
    let said = refusal(as_user("friend", &delete));
    assert!(said.contains("owner"), "{said}");
    refusal(as_user("stranger", &delete));
    let owner = refusal(world.admin_cli(&["user", "delete", "--username", "crypto_user", "--role", "crypto-user"]));
    assert!(owner.contains("keys"), "{owner}");
}

#[test]
fn command_lines_are_checked() {
    let world = World::shared();
    let check = |words: &[&str]| {
        let ran = world.cli(words);
        assert!(ran.code.is_some_and(|code| code != 0), "{words:?}: {ran:?}");
    };
    check(&["key", "generate-symmetric", "aes", "--label", "x"]);
    check(&[
        "key",
        "generate-asymmetric-pair",
        "ec",
        "--public-label",
        "x",
        "--private-label",
        "x",
        "--curve",
        "curve25519",
    ]);
    check(&["crypto", "sign", "rsa-pkcs", "--key-filter", "attr.label=x", "--hash-function", "md5", "--data", "AA=="]);
    check(&["crypto", "sign", "ecdsa", "--key-filter", "attr.label=x", "--hash-function", "sha256"]);
    check(&["nonsense"]);
    let version = run(&mut world.bare_cli(&["--version"])).ok();
    assert!(version.stdout.starts_with("cloudhsm-cli "), "{}", version.stdout);
    let help = run(&mut world.bare_cli(&["help", "key", "generate-file"])).ok();
    assert!(help.stdout.contains("reference-pem"), "{}", help.stdout);
}

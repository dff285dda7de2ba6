//! `cloudhsm-cli interactive`, through a pipe and in a terminal.

use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_tests::{World, program, run_with_input, wait_for};

/// The JSON objects in what the shell printed, with prompts and other text between them.
pub(crate) fn envelopes(said: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = said;
    while let Some(at) = rest.find('{') {
        let mut values = serde_json::Deserializer::from_str(&rest[at..]).into_iter();
        match values.next() {
            Some(Ok(value)) => {
                found.push(value);
                rest = &rest[at + values.byte_offset()..];
            }
            _ => rest = &rest[at + 1..],
        }
    }
    found
}

#[test]
fn a_login_lasts_until_logout() {
    let world = World::shared();
    let (name, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let script = format!(
        "key list\n\
         login --username {name} --role crypto-user --password {password}\n\
         key generate-symmetric aes --label \"of a shell\" \\\n  --key-length-bytes 24\n\
         key list --filter attr.label=\"of a shell\"\n\
         nonsense\n\
         logout\n\
         key list\n\
         quit\n"
    );
    let ran = run_with_input(&mut world.bare_cli(&["interactive"]), &script).ok();
    let said = envelopes(&ran.stdout);
    let codes: Vec<_> = said.iter().map(|envelope| envelope["error_code"].clone()).collect();
    assert_eq!(codes, [1, 0, 0, 0, 0, 1].map(Value::from), "{ran:?}");
    assert_eq!(said[1]["data"], json!({ "username": name, "role": "crypto-user" }));
    assert_eq!(said[2]["data"]["key"]["attributes"]["label"], "of a shell");
    assert_eq!(said[3]["data"]["matched_keys"][0]["key-reference"], said[2]["data"]["key"]["key-reference"]);
    assert_eq!(said[4]["data"], "Logout successful");
}

#[test]
fn the_end_of_input_ends_the_shell() {
    let world = World::shared();
    let ran = run_with_input(&mut world.bare_cli(&["interactive"]), "user list\n").ok();
    assert_eq!(envelopes(&ran.stdout).len(), 1, "{ran:?}");
}

#[test]
fn a_password_that_is_asked_for_is_not_shown() {
    let world = World::shared();
    let (name, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    // `script` gives the shell a terminal of its own.
    let mut command = Command::new(program("script"));
    let shell = format!("'{}' interactive", program("cloudhsm-cli").display());
    command.args(["--quiet", "--return", "--command", &shell, "/dev/null"]).env("CLOUDHSM_HOME", world.home());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
    let (mut input, mut output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let said = Arc::new(Mutex::new(String::new()));
    let reader = std::thread::spawn({
        let said = Arc::clone(&said);
        move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut bytes) {
                said.lock().expect("no reader panicked").push_str(&String::from_utf8_lossy(&bytes[..len]));
            }
        }
    });
    let mut after = |wanted: &str, line: &str| {
        wait_for(wanted, Duration::from_secs(20), || said.lock().expect("no reader panicked").contains(wanted));
        input.write_all(format!("{line}\r").as_bytes()).expect("the shell reads");
    };
    after("aws-cloudhsm > ", &format!("login --username {name} --role crypto-user"));
    after("Enter password:", &password);
    after("\"error_code\": 0", "quit");
    assert!(child.wait().expect("waited").success());
    reader.join().expect("no panic");
    let said = said.lock().expect("no reader panicked");
    assert!(!said.contains(&password), "the password was shown: {said}");
    assert!(said.contains(&format!("\"username\": \"{name}\"")), "{said}");
}

//! `cloudhsm-cli interactive`, through a pipe and in a terminal.

use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_tests::{World, program, run, run_with_input, wait_for};

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

/// The shell in a terminal of its own, which `script` gives it.
struct Terminal {
    child: Child,
    input: ChildStdin,
    said: Arc<Mutex<String>>,
    /// How much of it has been looked at.
    read: usize,
}

impl Terminal {
    fn of(mut words: Vec<String>, home: &Path) -> Terminal {
        words.insert(0, format!("'{}' interactive", program("cloudhsm-cli").display()));
        let mut command = Command::new(program("script"));
        command.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
        command.env("CLOUDHSM_HOME", home).env("TERM", "xterm").env("COLUMNS", "200");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
        let (input, mut output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let said = Arc::new(Mutex::new(String::new()));
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut bytes = [0; 4096];
                while let Ok(len @ 1..) = output.read(&mut bytes) {
                    said.lock().expect("no reader panicked").push_str(&String::from_utf8_lossy(&bytes[..len]));
                }
            }
        });
        Terminal { child, input, said, read: 0 }
    }

    /// Waits for this text, behind all that was waited for before, and then types these keys.
    #[track_caller]
    fn after(&mut self, wanted: &str, keys: &str) {
        wait_for(wanted, Duration::from_secs(20), || {
            let said = self.said.lock().expect("no reader panicked");
            let found = said[self.read..].find(wanted).map(|at| self.read + at + wanted.len());
            self.read = found.unwrap_or(self.read);
            found.is_some()
        });
        self.input.write_all(keys.as_bytes()).expect("the shell reads");
    }

    /// Its exit code, and all that was said.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String) {
        let mut status = None;
        wait_for("the shell's end", Duration::from_secs(20), || {
            status = self.child.try_wait().expect("waited");
            status.is_some()
        });
        let said = self.said.lock().expect("no reader panicked").clone();
        (status.and_then(|status| status.code()), said)
    }
}

impl Drop for Terminal {
    /// Of no effect on one that has ended.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The prompt of one cluster.
const PROMPT: &str = "aws-cloudhsm > ";

#[test]
fn a_password_that_is_asked_for_is_not_shown() {
    let world = World::shared();
    let (name, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let mut terminal = Terminal::of(Vec::new(), &world.home());
    terminal.after(PROMPT, &format!("login --username {name} --role crypto-user\r"));
    terminal.after("Enter password:", &format!("{password}\r"));
    terminal.after("\"error_code\": 0", "quit\r");
    let (code, said) = terminal.end();
    assert_eq!(code, Some(0));
    assert!(!said.contains(&password), "the password was shown: {said}");
    assert!(said.contains(&format!("\"username\": \"{name}\"")), "{said}");
}

#[test]
fn a_terminal_has_completion_history_and_a_way_out() {
    let world = World::shared();
    let mut terminal = Terminal::of(Vec::new(), &world.home());
    terminal.after(PROMPT, "us\t");
    terminal.after("user ", "li\t\r");
    terminal.after("\"users\"", "");
    // The arrow brings the command back.
    terminal.after(PROMPT, "\u{1b}[A");
    terminal.after("user list", "\r");
    terminal.after("\"users\"", "");
    terminal.after(PROMPT, "key delete \\\r");
    // Ctrl-D within a command gives it up, at the prompt it leaves.
    terminal.after("> ", "\u{4}");
    terminal.after("was not run", "");
    terminal.after(PROMPT, "help key gen\t\t");
    // What is possible, and then the line again.
    terminal.after("generate-symmetric", "");
    terminal.after("help key generate-", "\u{3}");
    terminal.after(PROMPT, "\u{4}");
    let (code, said) = terminal.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(envelopes(&said).len(), 2, "{said}");
}

#[test]
fn with_several_clusters_the_prompt_says_who_is_logged_in_where() {
    let (first, second) = (World::shared(), World::new());
    let home = tempfile::tempdir().expect("a folder");
    let ids = [first.text("/cluster_id"), second.text("/cluster_id")];
    for (world, id) in [(&*first, &ids[0]), (&second, &ids[1])] {
        let mut configure = Command::new(program("configure-cli"));
        configure.args(["add-cluster", "--cluster-id", id, "-a", &world.hsm_ips()[0], "--hsm-ca-cert"]);
        run(configure.arg(world.customer_ca()).env("CLOUDHSM_HOME", home.path())).ok();
    }
    let login = |world: &World, more: &str| {
        let password = world.text("/crypto_user/password");
        format!("login --username crypto_user --role crypto-user --password {password}{more}\r")
    };
    let mut terminal = Terminal::of(Vec::new(), home.path());
    terminal.after(PROMPT, "user list\r");
    // Which one is meant is not said.
    terminal.after("--cluster-id", "");
    terminal.after(PROMPT, &login(&first, &format!(" --cluster-id {}", ids[0])));
    terminal.after("\"error_code\": 0", "");
    terminal.after(&format!("crypto_user@{} > ", ids[0]), &login(&second, &format!(" --cluster-id {}", ids[1])));
    terminal.after("\"error_code\": 0", "");
    terminal.after(&format!("crypto_user@{} > ", ids[1]), &format!("logout --cluster-id {}\r", ids[1]));
    terminal.after("Logout successful", "");
    // The other login is still there.
    terminal.after(&format!("crypto_user@{} > ", ids[0]), &format!("key list --max-items 1 --cluster-id {}\r", ids[0]));
    terminal.after("\"matched_keys\"", "quit\r");
    assert_eq!(terminal.end().0, Some(0));
    // With one of them named from the start.
    let mut terminal = Terminal::of(vec!["--cluster-id".to_owned(), ids[1].clone()], home.path());
    terminal.after(PROMPT, &login(&second, ""));
    terminal.after("\"error_code\": 0", "");
    let named = format!("crypto_user@{} > ", ids[1]);
    terminal.after(&named, &format!("user list --cluster-id {}\r", ids[0]));
    terminal.after("\"users\"", "");
    // A look at the other does not change who is meant.
    terminal.after(&named, "quit\r");
    assert_eq!(terminal.end().0, Some(0));
}

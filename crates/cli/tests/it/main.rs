//! The tool as a process, as far as it goes without a cluster. With one: `tests/it` of the project.

mod terminal;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use strongroom_crypto::certificates::CustomerCa;
use tempfile::TempDir;

const FIRST: &str = "cluster-234567abcde";
const SECOND: &str = "cluster-765432edcba";
const PASSWORD: &str = "hunter22-hunter22";

/// What a run left.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// The text of a failure, which is all that standard output holds.
    #[track_caller]
    fn refusal(&self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        let answer: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let text = answer["data"].as_str().unwrap_or_else(|| panic!("a failure's data is text: {self:?}")).to_owned();
        assert_eq!(answer, json!({ "error_code": 1, "data": text }));
        assert!(!text.contains(PASSWORD) && !self.stderr.contains(PASSWORD), "{self:?}");
        text
    }
}

/// A folder as `CLOUDHSM_HOME`, whose configuration names HSMs where nobody listens.
struct Home {
    folder: TempDir,
}

impl Home {
    fn empty() -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("etc")).expect("made");
        Home { folder }
    }

    /// Clusters by id and host; one without an id has none in the file either.
    fn of(clusters: &[(Option<&str>, &str)]) -> Home {
        let home = Home::empty();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        home.write("customerCA.crt", &CustomerCa::generate(now).certificate().to_pem());
        let cluster = |(id, host): &(Option<&str>, &str)| {
            json!({ "type": "hsm2m", "cluster": {
                "cluster_id": id,
                "hsm_ca_file": "customerCA.crt",
                "servers": [{ "hostname": host, "port": closed_port(), "enable": true }],
                "options": { "retry_mode": "off" },
            }})
        };
        let config = json!({
            "clusters": clusters.iter().map(cluster).collect::<Vec<_>>(),
            "logging": { "log_type": "file", "log_file": home.folder.path().join("log") },
        });
        home.write("cloudhsm-cli.cfg", &config.to_string());
        home
    }

    fn one() -> Home {
        Home::of(&[(None, "127.0.0.1")])
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join("etc").join(name), content).expect("written");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudhsm-cli"));
        command.args(words).env("CLOUDHSM_HOME", self.folder.path());
        command.env_remove("CLOUDHSM_ROLE").env_remove("CLOUDHSM_PIN");
        command
    }

    /// Runs it without a login and without input.
    fn run(&self, words: &[&str]) -> Ran {
        ran(&mut self.command(words), "")
    }

    /// Runs it as an admin.
    fn run_as_admin(&self, words: &[&str], input: &str) -> Ran {
        ran(self.command(words).env("CLOUDHSM_ROLE", "admin").env("CLOUDHSM_PIN", format!("admin:{PASSWORD}")), input)
    }

    fn shell(&self, words: &[&str], input: &str) -> Ran {
        ran(&mut self.command(&[&["interactive"], words].concat()), input)
    }
}

/// A port that was free a moment ago.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn ran(command: &mut Command, input: &str) -> Ran {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // One that needs no input may be gone already.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn what_is_not_understood_is_plain_text_and_code_2() {
    let home = Home::empty();
    let check = |words: &[&str], expected: &str| {
        let ran = home.run(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
    };
    check(&[], "Usage: cloudhsm-cli");
    check(&["key"], "generate-symmetric");
    check(&["nonsense"], "unrecognized subcommand 'nonsense'");
    check(&["login", "--username", "a", "--role", "operator"], "[possible values: crypto-user, admin]");
    check(&["user", "create", "--username", "a", "--password", "x"], "--role");
}

#[test]
fn help_and_version_need_no_configuration() {
    let home = Home::empty();
    let check = |words: &[&str], expected: &str| {
        let ran = home.run(words);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        assert!(ran.stdout.contains(expected), "{ran:?}");
        // Colours are for terminals.
        assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
    };
    check(&["--version"], "cloudhsm-cli ");
    check(&["help"], "CLOUDHSM_PIN");
    check(&["key", "help", "generate-symmetric", "generic-secret"], "--key-length-bytes");
}

#[test]
fn the_configuration_is_looked_at_first() {
    let check = |home: &Home, words: &[&str], expected: &str| {
        for text in [home.run(words).refusal(), home.shell(&[], "user list\n").refusal()] {
            assert!(text.contains(expected), "{text}");
        }
    };
    let home = Home::empty();
    check(&home, &["user", "list"], "cannot read the configuration");
    home.write("cloudhsm-cli.cfg", "{");
    check(&home, &["user", "list"], "cannot be understood");
    let placeholder = Home::of(&[(None, "%%HSM_IP_ADDRESS%%")]);
    check(&placeholder, &["cluster", "hsm-info"], "Config key hostname has invalid value");
}

#[test]
fn of_several_clusters_one_is_named() {
    let home = Home::of(&[(Some(FIRST), "127.0.0.2"), (Some(SECOND), "127.0.0.3")]);
    let list = |words: &[&str]| home.run(&[&["user", "list"], words].concat()).refusal();
    let unnamed = list(&[]);
    assert!(unnamed.contains("--cluster-id") && unnamed.contains(FIRST) && unnamed.contains(SECOND), "{unnamed}");
    assert!(list(&["--cluster-id", FIRST]).contains("127.0.0.2:"));
    assert!(list(&["--cluster-id", SECOND]).contains("127.0.0.3:"));
    let unknown = "cluster-aaaaaaaaaaa";
    assert!(list(&["--cluster-id", unknown]).contains("does not name"));
    // The shell's own is the default of its lines, and a wrong one ends it at once.
    assert!(home.shell(&["--cluster-id", unknown], "user list\n").refusal().contains("does not name"));
    let ran = home.shell(&["--cluster-id", FIRST], &format!("user list\nuser list --cluster-id {SECOND}\n"));
    let said: Vec<Value> = serde_json::Deserializer::from_str(&ran.stdout).into_iter().map(Result::unwrap).collect();
    assert_eq!((ran.code, said.len()), (Some(0), 2), "{ran:?}");
    assert!(said[0]["data"].to_string().contains("127.0.0.2:"), "{ran:?}");
    assert!(said[1]["data"].to_string().contains("127.0.0.3:"), "{ran:?}");
}

#[test]
fn the_environment_is_asked_for_by_commands_that_need_a_login() {
    let home = Home::one();
    let needs = |words: &[&str]| {
        let text = home.run(words).refusal();
        assert!(text.contains("CLOUDHSM_ROLE is not set"), "{text}");
    };
    needs(&["key", "list"]);
    needs(&["logout"]);
    needs(&["user", "create", "--username", "a", "--role", "admin", "--password", PASSWORD]);
    needs(&["user", "delete", "--username", "a", "--role", "admin"]);
    needs(&["user", "change-password", "--username", "a", "--role", "admin", "--password", PASSWORD]);
    let needs_none = |words: &[&str]| {
        let text = home.run(words).refusal();
        assert!(text.contains("no HSM of the cluster answered") && text.contains("127.0.0.1:"), "{text}");
    };
    needs_none(&["user", "list"]);
    needs_none(&["cluster", "hsm-info"]);
    needs_none(&["cluster", "activate", "--password", PASSWORD]);
    needs_none(&["login", "--username", "a", "--role", "admin", "--password", PASSWORD]);
}

#[test]
fn passwords_come_from_a_pipe_a_line_each() {
    let home = Home::one();
    let create = ["user", "create", "--username", "a", "--role", "crypto-user"];
    let check = |input: &str, expected: &str| {
        let ran = home.run_as_admin(&create, input);
        let text = ran.refusal();
        assert!(text.contains(expected), "{text}");
        assert!(ran.stderr.starts_with("Enter password:"), "{ran:?}");
        ran.stderr
    };
    check("", "no password could be read");
    check(&format!("{PASSWORD}\n"), "no password could be read");
    check(&format!("{PASSWORD}\nhunter22-hunter23\n"), "the passwords differ");
    check("short\nshort\n", "shorter than 8 characters");
    // Both are the same, so the cluster is asked.
    let said = check(&format!("{PASSWORD}\r\n{PASSWORD}\n"), "no HSM of the cluster answered");
    assert_eq!(said, "Enter password:\nConfirm password:\n");
    let login = ran(&mut home.command(&["login", "--username", "a", "--role", "admin"]), &format!("{PASSWORD}\n"));
    assert!(login.refusal().contains("no HSM of the cluster answered"));
    assert_eq!(login.stderr, "Enter password:\n");
}

#[test]
fn wrong_names_and_passwords_are_refused_before_anybody_is_asked() {
    let home = Home::one();
    let check = |words: &[&str], expected: &str| {
        let text = home.run_as_admin(words, "").refusal();
        assert!(text.contains(expected), "{text}");
    };
    check(&["user", "delete", "--username", "a b", "--role", "admin"], "a user name has letters");
    check(&["cluster", "activate", "--password", "with:colon"], "':'");
    check(&["cluster", "activate", "--password", ""], "shorter than 8 characters");
}

#[test]
fn half_a_command_is_not_run_at_the_end_of_input() {
    let home = Home::one();
    let ran = home.shell(&[], "user list \\\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("the input ends within a command"), "{ran:?}");
}

#[test]
fn a_line_that_is_no_text_is_not_run() {
    let home = Home::one();
    let mut command = home.command(&["interactive"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let lines = b"key list \\\n  --filter attr.label=gr\xf6n \\\n  -v\nkey list --filter attr.label=\"gr\xc3\xb6n\"\n";
    child.stdin.take().expect("piped").write_all(lines).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stderr.contains("no UTF-8"), "{stderr}");
    assert_eq!(stdout.matches("error_code").count(), 1, "{stdout}");
}

#[test]
fn the_shell_outlives_what_it_does_not_understand() {
    let home = Home::one();
    let ran = home.shell(&[], "\n  \nnonsense\nkey list --filter \"open\nkey list\nhelp key list\nexit\nuser list\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("'nonsense'") && ran.stderr.contains("a quote is not closed"), "{ran:?}");
    // Nobody is logged in, so no HSM was asked; nothing behind `exit` was run.
    assert!(ran.stdout.contains("nobody is logged in") && ran.stdout.contains("--max-items"), "{ran:?}");
    assert_eq!(ran.stdout.matches("error_code").count(), 1, "{ran:?}");
    assert!(!ran.stdout.contains("aws-cloudhsm"), "a pipe is shown no prompt: {ran:?}");
}

#[test]
fn an_answer_that_is_lost_is_no_success() {
    let home = Home::one();
    let mut command = home.command(&["logout"]);
    command.env("CLOUDHSM_ROLE", "admin").env("CLOUDHSM_PIN", format!("admin:{PASSWORD}"));
    // Nobody was logged in yet, so this succeeds without an HSM.
    assert_eq!(ran(&mut command, "").code, Some(0));
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    let output = command.stdout(full).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the answer cannot be written"), "{said}");
}

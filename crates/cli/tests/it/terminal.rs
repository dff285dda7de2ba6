//! What a terminal is left as. `script` gives the tool one.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[test]
fn ctrl_c_at_a_password_leaves_a_terminal_that_shows_what_is_typed() {
    let mut script = Command::new("script");
    // A command that asks before it looks for its configuration. The keys may reach what comes after it as well.
    let tool = env!("CARGO_BIN_EXE_cloudhsm-cli");
    let line = format!("trap : INT; '{tool}' cluster activate; until stty -a; do :; done; echo the end");
    script.args(["--quiet", "--command", &line, "/dev/null"]).env("LC_ALL", "C").env("SHELL", "/bin/sh");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
    let (mut input, mut output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = output.read(&mut bytes) {
            if sender.send(bytes[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut said = String::new();
    while !said.contains("the end") {
        assert!(Instant::now() < deadline, "{said}");
        match pieces.recv_timeout(Duration::from_millis(100)) {
            Ok(piece) => said.push_str(&String::from_utf8_lossy(&piece)),
            // Keys count once the prompt has made the terminal its own, which nothing tells.
            Err(RecvTimeoutError::Timeout) if said.contains("Enter password:") && !said.contains("error_code") => {
                input.write_all(b"\x03").expect("the terminal takes keys");
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(input);
    child.wait().expect("waited");
    assert!(said.contains("\"error_code\": 1"), "{said}");
    let settings: Vec<&str> = said.split([' ', '\r', '\n', ';']).collect();
    for setting in ["echo", "icanon", "isig"] {
        assert!(settings.contains(&setting), "{setting} is off: {said}");
    }
}

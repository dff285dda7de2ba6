//! A short run of the whole, as `cargo xtask chaos` starts it.

use std::process::Command;

/// Long enough for a few faults.
const MINUTES: &str = "0.25";

#[test]
fn a_short_run_keeps_every_promise() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-chaos"));
    let ran = command.args(["--minutes", MINUTES]).output().expect("chaos starts");
    let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{told}");
    assert!(said.contains("verdict: every promise was kept"), "{said}\n{told}");
}

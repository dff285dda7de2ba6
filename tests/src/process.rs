//! Starting programs, ending them by their id, waiting for conditions.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program of this name that was built beside the tests, or of the system.
pub fn program(name: &str) -> PathBuf {
    // Tests lie in target/PROFILE/deps, measurements in target/PROFILE.
    let own = std::env::current_exe().expect("a test knows its own path");
    if let Some(built) = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|file| file.is_file()) {
        return built;
    }
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|folder| PathBuf::from(folder).join(name));
    system.into_iter().find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("{name} is neither built nor installed: run the tests with `cargo xtask test`, which sees to both")
    })
}

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    /// Exit code, if it ended by itself.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// The run, if it succeeded; otherwise the test fails with all it said.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The run, if it failed.
    #[track_caller]
    pub fn failed(self) -> Ran {
        assert_ne!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The JSON on standard output.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    let words = format!("{command:?}");
    command.output().unwrap_or_else(|error| panic!("cannot start {words}: {error}")).into()
}

/// Sends a signal, by its name without `SIG`, to one process, unless it is gone.
pub fn kill(signal: &str, pid: u32) {
    // A shell has `kill` built in: the program of that name is in a package that a small system may lack.
    run(Command::new("sh").arg("-c").arg(format!("kill -{signal} {pid}")));
}

/// Whether a process of this id runs (and is no zombie).
pub fn pid_is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// Waits until `condition` holds; fails the test, naming `what`, when the time is over.
#[track_caller]
pub fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a command that reads `input` from its standard input.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &str) -> Ran {
    let words = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {words}: {error}"));
    let mut stdin = child.stdin.take().expect("its standard input is a pipe");
    // A program that ends before it has read everything closes the pipe; what it said tells why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap_or_else(|error| panic!("cannot wait for {words}: {error}")).into()
}

//! Faults of one host: a disk of a test's own that can be filled, addresses that nothing reaches, and system calls of a
//! running process that fail.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::{kill, program, run, wait_for};

/// Set in the process that a test starts to be itself again among mounts of its own.
const INSIDE: &str = "STRONGROOM_TEST_MOUNTS";
/// How long strace may take to hold a process, and to let it go.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the test named `test`, as `cargo test` names it, in a process that may mount file systems which nobody else
/// sees; they go with the last process that was started there.
///
/// Where the system does not let this user make such a process, the test says so and is skipped; on a machine of
/// continuous integration, which sets `CI`, it fails.
#[track_caller]
pub fn with_own_mounts(test: &str, body: impl FnOnce()) {
    with_own(&["--mount", "--propagation", "private"], "mount -t tmpfs none /mnt", test, body);
}

/// The same with a network of its own, which has the addresses of this machine's loopback and no others.
#[track_caller]
pub fn with_own_network(test: &str, body: impl FnOnce()) {
    with_own(&["--net"], "ip link set lo up", test, || {
        ip("link set lo up");
        body();
    });
}

fn with_own(what: &[&str], probe: &str, test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let own = |inside: &[&str]| {
        let mut command = Command::new(program("unshare"));
        command.args(what).args(inside).env(INSIDE, "1");
        command
    };
    let users: [&[&str]; 2] = [&[], &["--map-root-user"]];
    let Some(user) = users.into_iter().find(|user| run(own(user).args(["sh", "-c", probe])).code == Some(0)) else {
        let why = format!("this test needs what this user may not have here: `unshare {}`", what.join(" "));
        assert!(std::env::var_os("CI").is_none(), "{why}");
        return eprintln!("skipped: {why}");
    };
    let itself = std::env::current_exe().expect("a test knows its own path");
    let ran = run(own(user).arg(itself).args(["--exact", test, "--nocapture"]));
    let passed = ran.code == Some(0) && ran.stdout.contains("1 passed");
    assert!(passed, "stdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr);
}

/// A small file system in memory, in a folder; only where [`with_own_mounts`] runs.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Makes the folder and mounts `mebibytes` there.
    #[track_caller]
    pub fn mount(folder: PathBuf, mebibytes: u32) -> SmallDisk {
        assert!(std::env::var_os(INSIDE).is_some(), "nothing is mounted where everybody sees it");
        fs::create_dir_all(&folder).expect("a folder");
        let size = format!("size={mebibytes}m,mode=700");
        run(Command::new(program("mount")).args(["-t", "tmpfs", "-o", &size, "none"]).arg(&folder)).ok();
        SmallDisk { folder }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Takes all the room that is left.
    #[track_caller]
    pub fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.ballast()).expect("a file");
        // The last page is written by the byte: the disk is full when not one more fits.
        for len in [64 * 1024, 1] {
            loop {
                match file.write_all(&vec![0; len]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Gives it back.
    #[track_caller]
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).expect("removed");
    }
}

/// An address that nothing reaches any more, and that says nothing of it: as of a machine without power. Only where
/// [`with_own_network`] runs.
pub struct Unreachable(String);

impl Unreachable {
    /// Makes it so, for as long as this lives.
    #[track_caller]
    pub fn make(address: &str) -> Unreachable {
        assert!(std::env::var_os(INSIDE).is_some(), "no address is cut off for everybody");
        ip(&format!("route replace blackhole {address}/32 table local"));
        Unreachable(address.to_owned())
    }
}

impl Drop for Unreachable {
    fn drop(&mut self) {
        ip(&format!("route del blackhole {}/32 table local", self.0));
    }
}

#[track_caller]
fn ip(words: &str) {
    run(Command::new(program("ip")).args(words.split(' '))).ok();
}

/// System calls of a running process are made to fail for as long as this lives.
pub struct Failing {
    strace: Child,
    log: PathBuf,
}

impl Failing {
    /// Holds the process `pid`; what `inject` says (strace(1), `-e inject=`) happens to calls about `files`. Lines about
    /// them are written to `log`.
    #[track_caller]
    pub fn hold(pid: u32, files: &[&Path], inject: &str, log: PathBuf) -> Failing {
        let mut strace = Command::new(program("strace"));
        strace.args(["-f", "-o"]).arg(&log);
        for file in files {
            strace.arg("-P").arg(file);
        }
        strace.args(["-e", &format!("inject={inject}"), "-p", &pid.to_string()]);
        let strace = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut failing = Failing { strace: strace.expect("strace starts"), log };
        let tasks = PathBuf::from(format!("/proc/{pid}/task"));
        wait_for("strace to hold every thread", PATIENCE, || {
            let ended = failing.strace.try_wait().expect("asked");
            assert!(ended.is_none(), "strace ended: this user may not look into process {pid}");
            let Ok(threads) = fs::read_dir(&tasks) else { return true };
            threads.flatten().all(|thread| is_traced(&thread.path()))
        });
        failing
    }

    /// Whether a call was made to fail or a signal came, as strace words it.
    pub fn has(&self, words: &str) -> bool {
        fs::read_to_string(&self.log).unwrap_or_default().contains(words)
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // Asked to end it lets the process go as it was.
        kill("TERM", self.strace.id());
        let _ = self.strace.wait();
    }
}

fn is_traced(thread: &Path) -> bool {
    let Ok(status) = fs::read_to_string(thread.join("status")) else { return true };
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
}

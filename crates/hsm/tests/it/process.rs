//! The program.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::world::wait_until;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_strongroom-hsm"))
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// A folder of an HSM at a free address, with a root key.
struct Place(tempfile::TempDir, u16);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place(folder, listener.local_addr().unwrap().port());
        let made = output(program().args(["init-root-key", "--path"]).arg(place.path("root.key")));
        assert!(made.status.success(), "{made:?}");
        place.settings("\"FIPS\"");
        place
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self, mode: &str) {
        let text = format!(
            r#"{{"format": 1, "hsm_id": "hsm-aaaaaaaaaaa", "cluster_id": "cluster-bbbbbbbbbbb", "ip": "127.0.0.1",
            "port": {}, "availability_zone": "lo-central-1a", "mode": {mode}, "hsm_type": "hsm2m.medium",
            "store": {{"database": "cluster.sqlite", "members": "members"}}, "root_key": "root.key",
            "lease_ms": 10000, "password_iterations": 10}}"#,
            self.1
        );
        std::fs::write(self.path("hsm.json"), text).unwrap();
    }

    fn run(&self) -> Command {
        let mut command = program();
        command.args(["run", "--folder"]).arg(self.0.path()).stdin(Stdio::null());
        command
    }

    fn start(&self) -> Running {
        let child = self.run().stderr(Stdio::null()).spawn().unwrap();
        let running = Running(child);
        wait_until("the control socket is there", || self.path("control.sock").exists());
        running
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("hsm.log")).unwrap()
    }
}

struct Running(Child);

impl Running {
    fn stop(&mut self, signal: &str) -> Option<i32> {
        // A shell has `kill` built in: the program of that name is in a package that a small system may lack.
        let told = Command::new("sh").arg("-c").arg(format!("kill {signal} {}", self.0.id())).status().unwrap();
        assert!(told.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn refused(place: &Place, code: i32, expected: &str) {
    let output = output(&mut place.run());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "{said}");
}

#[test]
fn it_starts_stops_and_starts_again() {
    let place = Place::new();
    for signal in ["-TERM", "-INT", "-KILL", "-TERM"] {
        let mut running = place.start();
        let began = Instant::now();
        let code = running.stop(signal);
        assert_eq!(code, (signal != "-KILL").then_some(0));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        if signal == "-KILL" {
            // What is left of it does not keep the next one from starting; the test waits for a new one.
            std::fs::remove_file(place.path("control.sock")).unwrap();
        } else {
            assert!(!place.path("control.sock").exists());
        }
    }
    let log = place.log();
    assert!(log.contains("INFO hsm-aaaaaaaaaaa was told to stop"), "{log}");
    for file in ["hsm.log", "anchor", "cluster.sqlite"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(place.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
}

#[test]
fn it_cannot_be_looked_into_and_is_small() {
    let place = Place::new();
    let running = place.start();
    let proc = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", running.0.id())).unwrap();
    let limits = proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // Of a process that is not dumpable these belong to root.
    let status = proc("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(kib < 30 * 1024, "{kib} KiB");
}

#[test]
fn every_exit_code_has_its_cause() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", place.1)).unwrap();
    refused(&place, 3, "is in use");
    drop(taken);
    place.settings("\"fips\"");
    refused(&place, 2, "mode must be FIPS or NON_FIPS");
    place.settings("\"FIPS\"");
    std::fs::rename(place.path("root.key"), place.path("kept")).unwrap();
    refused(&place, 2, "there is no root key");
    std::fs::rename(place.path("kept"), place.path("root.key")).unwrap();
    drop(place.start());
    let may = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place.path("cluster.sqlite"), permissions).unwrap();
    };
    may(0o644);
    refused(&place, 2, "cluster.sqlite");
    may(0o600);
    std::fs::remove_file(place.path("root.key")).unwrap();
    assert!(output(program().args(["init-root-key", "--path"]).arg(place.path("root.key"))).status.success());
    refused(&place, 4, "root key");
    let log = place.log();
    for said in ["is in use", "there is no root key", "root key is another installation's"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    let nowhere = output(program().args(["run", "--folder", "/nowhere"]));
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("/nowhere/hsm.json"));
}

#[test]
fn under_a_supervisor_an_error_is_said_once() {
    let place = Place::new();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", place.1)).unwrap();
    let log = std::fs::OpenOptions::new().append(true).create(true).open(place.path("hsm.log")).unwrap();
    let status = place.run().stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(place.log().matches("is in use").count(), 1, "{}", place.log());
}

#[test]
fn a_root_key_is_never_replaced_and_help_teaches() {
    let place = Place::new();
    let before = std::fs::read(place.path("root.key")).unwrap();
    let again = output(program().args(["init-root-key", "--path"]).arg(place.path("root.key")));
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(std::fs::read(place.path("root.key")).unwrap(), before);
    let help = |arguments: &[&str]| String::from_utf8(output(program().args(arguments)).stdout).unwrap();
    assert!(help(&["--help"]).contains("strongroom-hsm init-root-key --path root.key"));
    assert!(help(&["run", "--help"]).contains("Exit codes:"));
    assert_eq!(output(program().arg("walk")).status.code(), Some(2));
}

#[test]
fn a_second_process_of_one_hsm_does_not_start() {
    let place = Place::new();
    let _running = place.start();
    let other = Place(tempfile::tempdir().unwrap(), 0);
    let text = std::fs::read_to_string(place.path("hsm.json")).unwrap();
    let at = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = text
        .replace("\"cluster.sqlite\"", &format!("{:?}", at("cluster.sqlite")))
        .replace("\"members\": \"members\"", &format!("\"members\": {:?}", at("members")))
        .replace("\"root.key\"", &format!("{:?}", at("root.key")))
        .replace(&format!("\"port\": {}", place.1), &format!("\"port\": {free}"));
    std::fs::write(other.path("hsm.json"), text).unwrap();
    std::fs::copy(place.path("anchor"), other.path("anchor")).unwrap();
    let outcome = output(&mut other.run());
    assert_eq!(outcome.status.code(), Some(1), "{outcome:?}");
}

#[test]
fn accepting_a_rollback_has_exit_codes_of_its_own() {
    let place = Place::new();
    let mut running = place.start();
    let accept = |arguments: &[&str]| {
        let mut command = program();
        output(command.args(["accept-rollback", "--folder"]).arg(place.0.path()).args(arguments))
    };
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let output = accept(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected) && output.stdout.is_empty(), "{said}");
    };
    refused(&[], 5, "is in use");
    refused(&["--revision", "2"], 5, "is in use");
    running.stop("-TERM");
    let told = |output: Output| -> serde_json::Value {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let report = told(accept(&[]));
    assert_eq!((&report["withheld"], &report["hsms"][0]["anchor"]), (&false.into(), &"seen".into()));
    let revision = report["revision"].to_string();
    refused(&["--revision", &revision], 5, "there is nothing to accept");
    std::fs::remove_file(place.path("anchor")).unwrap();
    refused(&["--revision", "77"], 5, &format!("name revision {revision}"));
    refused(&["--folder", "/nowhere"], 2, "/nowhere/hsm.json");
    let report = told(accept(&["--revision", &revision]));
    assert_eq!(report["accepted"]["epoch"], 2);
    let line = place.log().lines().last().unwrap().to_owned();
    assert!(line.contains("WARN ROLLBACK ACCEPTED") && line.contains("(its anchor was missing)"), "{line}");
    // Who: the user of this process.
    let own = std::fs::metadata(place.path("root.key")).map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata));
    assert!(line.contains(&format!("by uid {}", own.unwrap())), "{line}");
    drop(place.start());
    std::fs::write(place.path("cluster.sqlite"), vec![7; 8_192]).unwrap();
    refused(&[], 4, "cluster.sqlite");
    std::fs::rename(place.path("root.key"), place.path("kept")).unwrap();
    refused(&[], 2, "there is no root key");
    assert_eq!(output(program().arg("accept-rollback")).status.code(), Some(2));
}

#[test]
fn founding_a_clone_has_exit_codes_of_its_own() {
    let (place, clone) = (Place::new(), Place::new());
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let mut command = program();
        command.args(["clone", "--origin-folder"]).arg(place.0.path()).args(arguments);
        let output = output(command.arg("--folder").arg(clone.0.path()));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected) && output.stdout.is_empty(), "{said}");
        assert!(!clone.path("cluster.sqlite").exists());
    };
    refused(&[], 1, "cluster.sqlite");
    let mut running = place.start();
    // Both folders name the same cluster.
    refused(&[], 5, "cannot be a clone of itself");
    running.stop("-TERM");
    refused(&["--origin-folder", "/nowhere"], 2, "/nowhere/hsm.json");
    std::fs::remove_file(place.path("anchor")).unwrap();
    refused(&[], 4, "does not start on the origin's store");
    std::fs::write(place.path("cluster.sqlite"), vec![7; 8_192]).unwrap();
    refused(&[], 4, "cluster.sqlite");
    std::fs::rename(place.path("root.key"), place.path("kept")).unwrap();
    refused(&[], 2, "there is no root key");
    assert_eq!(output(program().arg("clone")).status.code(), Some(2));
}

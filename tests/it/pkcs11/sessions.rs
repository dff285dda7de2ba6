//! Sessions, logins, threads and forks of the PKCS #11 library, by a C program that loads it: `tests/programs/c/sessions.c`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use strongroom_tests::{Ran, World, kill, program, run, wait_for};

use crate::c::{checked, compiled, library};

/// A story of the program against this world.
fn story(world: &World, name: &str) -> Command {
    let mut command = Command::new(compiled("sessions"));
    command.arg(library()).arg(name).arg(world.pin());
    command.env("CLOUDHSM_HOME", world.home());
    command
}

#[track_caller]
fn told(world: &World, name: &str) -> Ran {
    run(story(world, name).arg("1000")).ok()
}

/// What the library has logged.
fn log(world: &World) -> String {
    let folder = std::fs::read_dir(world.home().join("run")).expect("logs have a folder");
    let ours = folder
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("cloudhsm-pkcs11.log")));
    ours.map(|entry| std::fs::read_to_string(entry.path()).expect("a log")).collect()
}

#[test]
fn one_login_is_that_of_all_sessions_of_the_slot() {
    let world = World::new();
    let told = told(&world, "logins");
    let serial = world.text("/cluster_id").split_once('-').expect("an id").1.to_owned();
    assert_eq!(told.stdout, format!("{:16}\n{serial:16}\ndone\n", "hsm2m.medium"));
    let log = log(&world);
    assert!(
        log.contains("WARN  C_Login: CKR_PIN_INCORRECT: the user name, role or password is wrong; the PIN is"),
        "{log}"
    );
    let password = world.text("/crypto_user/password");
    assert!(!log.contains(&password) && !log.contains("not the password"), "{log}");
}

#[test]
fn objects_die_with_their_session_and_operations_with_the_login() {
    told(&World::shared(), "lives");
}

#[test]
fn a_thousand_threads_sign_and_of_those_that_log_in_one_wins() {
    told(&World::shared(), "threads");
}

#[test]
fn sessions_that_others_close_and_logins_that_others_end_upset_nobody() {
    told(&World::shared(), "trouble");
}

#[test]
fn a_forked_child_begins_anew_and_its_parent_goes_on() {
    told(&World::shared(), "forks");
}

/// AWS-LC's destructors would take locks that another thread held when the process was forked (`sdk/no-destructors.ld`).
#[test]
fn forked_children_that_do_nothing_but_exit_end() {
    told(&World::shared(), "exits");
}

#[test]
fn the_library_is_a_crypto_users() {
    let world = World::shared();
    let mut command = Command::new(compiled("sessions"));
    command.arg(library()).args(["lives", &world.admin_pin()]);
    let refused = run(command.env("CLOUDHSM_HOME", world.home())).failed();
    assert!(refused.stderr.contains("login(one): 0xa0, not CKR_OK"), "{}", refused.stderr);
}

#[test]
fn a_checker_of_memory_finds_nothing_wrong_in_sessions_and_logins() {
    let Some(mut command) = checked("sessions") else { return };
    let world = World::shared();
    run(command.arg(library()).args(["lives", &world.pin()]).env("CLOUDHSM_HOME", world.home())).ok();
}

/// A program that answers line by line.
struct Asked {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    fn start(mut command: Command) -> Asked {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut asked = Asked { child, input, output: BufReader::new(output) };
        assert_eq!(asked.line(), "ready");
        asked
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it says something");
        line.trim_end().to_owned()
    }

    /// What a call answers, and the session's state after it.
    fn ask(&mut self, what: &str) -> String {
        writeln!(self.input, "{what}").expect("it listens");
        self.line()
    }

    #[track_caller]
    fn end(mut self) {
        drop(self.input);
        let mut rest = String::new();
        while self.output.read_line(&mut rest).expect("text") > 0 {}
        assert!(self.child.wait().expect("it ends").success() && rest == "done\n", "{rest}");
    }
}

#[test]
fn a_login_and_session_keys_survive_the_loss_of_an_hsm() {
    let world = World::new();
    let mut asked = Asked::start(story(&world, "asked"));
    assert_eq!(asked.ask("sign"), "0 3");
    for ip in world.hsm_ips() {
        kill("KILL", world.hsm_pid_at(&ip));
        for _ in 0..20 {
            assert_eq!(asked.ask("sign"), "0 3");
        }
        world.strongroom("up").output().expect("it runs");
    }
    assert_eq!(asked.ask("login"), "100 3");
    asked.end();
}

#[test]
fn a_new_password_ends_the_login_and_the_program_logs_in_again() {
    let world = World::new();
    let mut asked = Asked::start(story(&world, "asked"));
    let (user, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let change = |password: &str| {
        let change = ["user", "change-password", "--username", &user, "--role", "crypto-user", "--password", password];
        world.admin_cli(&change).ok();
    };
    change("another-password");
    // CKR_USER_NOT_LOGGED_IN, CKS_RW_PUBLIC_SESSION.
    assert_eq!(asked.ask("sign"), "101 2");
    // The PIN that the program knows is wrong by now.
    assert_eq!(asked.ask("login"), "a0 2");
    change(&password);
    assert_eq!(asked.ask("login"), "0 3");
    // Session keys ended with the login that they were made in.
    assert_eq!(asked.ask("sign"), "60 3");
    asked.end();
    assert!(log(&world).contains("call C_Login again"), "{}", log(&world));
}

/// What it goes on making would be anybody's to replace.
#[test]
fn a_program_whose_login_ended_makes_no_certificates_that_are_nobodys() {
    let world = World::quick(&["--hsm-type", "hsm2m.medium"]);
    run(Command::new(program("configure-pkcs11"))
        .arg("--enable-certificate-storage")
        .env("CLOUDHSM_HOME", world.home()))
    .ok();
    let mut asked = Asked::start(story(&world, "asked"));
    assert_eq!((asked.ask("certificate"), asked.ask("search")), ("0 3".into(), "0 3".into()));
    let user = world.text("/crypto_user/username");
    let change = ["user", "change-password", "--username", &user, "--role", "crypto-user", "--password", "another-one"];
    world.admin_cli(&change).ok();
    // CKR_USER_NOT_LOGGED_IN, whichever call learns it, and from then on.
    for what in ["sign", "certificate", "search", "certificate"] {
        assert_eq!(asked.ask(what), "101 2", "{what}");
    }
    assert_eq!(asked.ask("logout"), "101 2");
    assert_eq!((asked.ask("certificate"), asked.ask("search")), ("0 2".into(), "0 2".into()));
    asked.end();
}

#[test]
fn nothing_that_a_user_began_goes_on_as_another_user() {
    let world = World::new();
    let create = ["user", "create", "--username", "bob", "--role", "crypto-user", "--password", "bobs-password"];
    world.admin_cli(&create).ok();
    let mut command = story(&world, "outlived");
    command.arg("bob:bobs-password");
    let mut asked = Asked::start(command);
    let user = world.text("/crypto_user/username");
    let change = ["user", "change-password", "--username", &user, "--role", "crypto-user", "--password", "another-one"];
    world.admin_cli(&change).ok();
    assert_eq!(asked.ask("ended"), "other");
    asked.end();
}

#[test]
fn a_deleted_user_is_logged_in_nowhere() {
    let world = World::new();
    let of = |pin: &str| {
        let mut command = Command::new(compiled("sessions"));
        command.arg(library()).args(["asked", pin]).env("CLOUDHSM_HOME", world.home());
        Asked::start(command)
    };
    let create = ["user", "create", "--username", "bob", "--role", "crypto-user", "--password", "bobs-password"];
    world.admin_cli(&create).ok();
    let (mut bob, mut other) = (of("bob:bobs-password"), of(&world.pin()));
    assert_eq!(bob.ask("sign"), "0 3");
    world.admin_cli(&["user", "delete", "--username", "bob", "--role", "crypto-user"]).ok();
    assert_eq!(bob.ask("sign"), "101 2");
    assert_eq!(bob.ask("login"), "a0 2");
    assert_eq!(other.ask("sign"), "0 3");
    bob.end();
    other.end();
}

/// The number of signatures and the longest call, in milliseconds, since the last time that a load was asked.
fn counted(load: &mut Asked) -> (u64, u64) {
    let told = load.ask("count");
    let (signatures, longest) = told.split_once(' ').unwrap_or_else(|| panic!("a call failed: {told:?}"));
    (signatures.parse().expect("a number"), longest.parse().expect("a number"))
}

/// Waits for so many more signatures of a load; the longest call meanwhile.
#[track_caller]
fn more(load: &mut Asked, signatures: u64) -> u64 {
    let (before, mut longest) = counted(load);
    wait_for("signatures", Duration::from_secs(30), || {
        let (now, slowest) = counted(load);
        longest = longest.max(slowest);
        now >= before + signatures
    });
    longest
}

#[test]
fn no_call_of_thirty_two_threads_fails_when_an_hsm_is_killed_or_stopped() {
    let world = World::new();
    let mut command = story(&world, "load");
    command.arg("32");
    let mut load = Asked::start(command);
    more(&mut load, 2_000);
    let ips = world.hsm_ips();
    kill("KILL", world.hsm_pid_at(&ips[0]));
    let longest = more(&mut load, 2_000);
    assert!(longest < 1_000, "killed: {longest} ms");
    world.strongroom("up").output().expect("it runs");
    more(&mut load, 2_000);
    let stopped = world.hsm_pid_at(&ips[1]);
    kill("STOP", stopped);
    let longest = more(&mut load, 2_000);
    kill("CONT", stopped);
    assert!(longest < 3_000, "stopped: {longest} ms");
    load.end();
}

#[test]
fn a_program_ends_though_no_hsm_answers() {
    let world = World::new();
    let mut asked = Asked::start(story(&world, "asked"));
    world.kill_everything();
    let begun = Instant::now();
    // CKR_DEVICE_ERROR; the login is not known to have ended.
    assert_eq!(asked.ask("sign"), "30 3");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    asked.end();
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    let log = log(&world);
    assert!(log.contains("ERROR no HSM of the cluster answered: ") && log.contains("cannot connect"), "{log}");
    assert!(log.contains("WARN  no HSM has acknowledged the logout"), "{log}");
}

#[test]
fn each_configured_cluster_is_a_slot_with_a_login_of_its_own() {
    let (world, other) = (World::new(), World::quick(&["--crypto-user", "bob:bobs-password"]));
    let (id, ca) = (other.text("/cluster_id"), other.text("/customer_ca"));
    let mut configure = Command::new(program("configure-pkcs11"));
    configure.args(["add-cluster", "--cluster-id", &id, "-a", &other.hsm_ips()[0], "--hsm-ca-cert", &ca]);
    run(configure.env("CLOUDHSM_HOME", world.home())).ok();
    let told = run(story(&world, "clusters").arg("bob:bobs-password")).ok();
    let serial = |id: &str| id.split_once('-').expect("an id").1.to_owned();
    let first = format!("{:32}{:16}\n", "hsm1", serial(&world.text("/cluster_id")));
    assert_eq!(told.stdout, format!("{first}{id:32}{:16}\ndone\n", serial(&id)));
}

#[test]
fn a_cluster_of_one_keeps_keys_when_the_availability_check_is_off() {
    let world = World::quick(&["--hsms", "1"]);
    let configured = |option: &str| {
        run(Command::new(program("configure-pkcs11")).arg(option).env("CLOUDHSM_HOME", world.home())).ok();
        run(&mut story(&world, "keeps")).ok().stdout
    };
    assert_eq!(run(&mut story(&world, "keeps")).ok().stdout, "0\ndone\n", "`up` has it off for such a cluster");
    // CKR_FUNCTION_FAILED.
    assert_eq!(configured("--enable-key-availability-check"), "6\ndone\n");
    assert!(log(&world).contains("the key must be available on at least 2 HSMs"), "{}", log(&world));
    assert_eq!(configured("--disable-key-availability-check"), "0\ndone\n");
}

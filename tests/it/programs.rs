//! Other people's programs that load the PKCS #11 library: what `docs/operating/pkcs11` shows, run as it stands, and what
//! independent programs say of the outcome.

mod dns;
mod first_signature;
mod gnutls;
mod go;
mod java;
mod libp11;
mod opensc;
mod openssh;
mod oracle;
mod python;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use strongroom_tests::{Page, Ran, World, kill, program, run};

/// The password of every story's user.
const PASSWORD: &str = "long-enough";

/// Which of the clusters that stories share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cluster {
    /// In FIPS mode, as a user gets it.
    Fips,
    /// In NON_FIPS mode, for programs that insist on what is not approved.
    NonFips,
}

impl Cluster {
    /// Made for the first story, gone with the last that runs.
    #[track_caller]
    fn world(self) -> Arc<World> {
        static FIPS: Mutex<Weak<World>> = Mutex::new(Weak::new());
        static NON_FIPS: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let place = if self == Cluster::Fips { &FIPS } else { &NON_FIPS };
        let mut shared = place.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let mode: &[&str] = if self == Cluster::Fips { &[] } else { &["--mode", "NON_FIPS"] };
            let world = Arc::new(World::quick(mode));
            *shared = Arc::downgrade(&world);
            world
        })
    }
}

/// A crypto user of its own in a cluster that stories share, and a folder of its own.
struct Story {
    world: Arc<World>,
    user: String,
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Story {
    /// A story of this name, for which these programs must be there. Where one is missing the test says so and is skipped; on a
    /// machine of continuous integration, which sets `CI`, it fails.
    #[track_caller]
    fn new(name: &str, cluster: Cluster, programs: &[&str]) -> Option<Story> {
        let missing: Vec<&&str> = programs.iter().filter(|program| find(program).is_none()).collect();
        if !missing.is_empty() {
            let why = format!("{missing:?} are missing: `cargo xtask test` installs them where it may");
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let world = cluster.world();
        let folder = world.file(name);
        fs::create_dir(&folder).expect("a folder can be made");
        // What a page configures is for its own story.
        run(Command::new("cp").arg("-a").arg(world.home()).arg(folder.join("home"))).ok();
        let story = Story { world, user: name.to_owned(), folder, variables: Vec::new() };
        story.create_user(name);
        Some(story)
    }

    /// Makes a crypto user.
    #[track_caller]
    fn create_user(&self, name: &str) {
        let who = ["user", "create", "--username", name, "--role", "crypto-user", "--password", PASSWORD];
        self.world.admin_cli(&who).ok();
    }

    /// The same story as another user.
    fn as_user(&self, name: &str) -> Story {
        let (world, folder) = (Arc::clone(&self.world), self.folder.clone());
        Story { world, user: name.to_owned(), folder, variables: self.variables.clone() }
    }

    /// With another variable in its programs' environment.
    fn with(mut self, name: &'static str, value: &str) -> Story {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn pin(&self) -> String {
        format!("{}:{PASSWORD}", self.user)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    #[track_caller]
    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), content).expect("a file can be written");
    }

    /// A shell that runs a script in the story's folder and ends when one of the commands fails.
    fn shell(&self, script: &str) -> Command {
        let cli = program("cloudhsm-cli");
        let own = cli.parent().expect("a folder");
        let folders = [own.to_owned(), made_for_programs().join("python/bin")];
        let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = folders.into_iter().chain(std::env::split_paths(&path)).chain(system);
        let mut command = Command::new("sh");
        command.args(["-eu", "-c", script]).current_dir(&self.folder).stdin(Stdio::null());
        command.env("PATH", std::env::join_paths(path).expect("folders without a colon"));
        let home = self.folder.join("home");
        command.env("HOME", &self.folder).env("MODULE", home.join("lib/libcloudhsm_pkcs11.so"));
        command.env("CLOUDHSM_HOME", home).env("PIN", self.pin());
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Runs a script that must succeed; what it printed.
    #[track_caller]
    fn sh(&self, script: &str) -> Ran {
        let ran = run(&mut self.shell(script));
        assert_eq!(ran.code, Some(0), "{script}\nstdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr);
        ran
    }

    /// Runs a section of a page.
    #[track_caller]
    fn walk(&self, page: Page, heading: &str) -> Ran {
        self.sh(&(page.preparation() + &page.commands(heading)))
    }

    /// Starts a script whose last command is a server, which it is replaced by.
    #[track_caller]
    fn server(&self, script: &str) -> Server {
        let log = fs::File::create(self.file("server.log")).expect("a file for the server's words");
        let mut command = self.shell(script);
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        Server { child: command.spawn().expect("a shell starts"), log: self.file("server.log") }
    }
}

/// A server of a story; ends when dropped.
struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// All it said.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails the test, telling what it said, if it has ended.
    #[track_caller]
    fn assert_runs(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked for");
        assert!(ended.is_none(), "the server ended: {ended:?}\n{}", self.said());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill("TERM", self.child.id());
        let _ = self.child.wait();
    }
}

/// What `cargo xtask test` has made for these tests.
fn made_for_programs() -> PathBuf {
    // Tests lie in target/PROFILE/deps.
    let own = std::env::current_exe().expect("a test knows its own path");
    own.ancestors().nth(3).expect("three folders above").join("programs")
}

/// A program, or a file by its path: absolute, or in what was made for these tests.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin".into(), "/sbin".into(), made_for_programs()];
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}

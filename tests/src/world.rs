use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ran, kill, pid_is_alive, program, run, wait_for};

/// Settings that make tests quick: a password costs little, a silent member is given up soon.
const QUICK: [&str; 4] = ["--password-iterations", "1000", "--lease-ms", "2000"];
/// The command that makes an RSA-2048 pair.
const RSA_2048: [&str; 7] =
    ["key", "generate-asymmetric-pair", "rsa", "--modulus-size-bits", "2048", "--public-exponent", "65537"];

/// A cluster in a temporary folder; brought down when dropped.
pub struct World {
    folder: TempDir,
    /// What `strongroom up --output json` printed.
    pub up: Value,
    /// Arguments of `up`, for starting it again.
    arguments: Vec<String>,
}

impl World {
    /// A cluster of two HSMs in FIPS mode, with the settings of tests.
    #[track_caller]
    pub fn new() -> World {
        World::quick(&[])
    }

    /// The same with further arguments of `strongroom up`.
    #[track_caller]
    pub fn quick(arguments: &[&str]) -> World {
        World::with(&[&QUICK, arguments].concat())
    }

    /// A cluster made with these arguments of `strongroom up` alone: what users get.
    #[track_caller]
    pub fn with(arguments: &[&str]) -> World {
        let mut world = World::unmade(arguments);
        world.start();
        world
    }

    /// A clone of a cluster, as that is now.
    #[track_caller]
    pub fn clone_of(origin: &World) -> World {
        let mut clone = World::unmade_clone_of(origin, &[]);
        clone.start();
        clone
    }

    /// A folder for a clone that nobody has made, with further arguments of `strongroom up`.
    #[track_caller]
    pub fn unmade_clone_of(origin: &World, arguments: &[&str]) -> World {
        let state = origin.state();
        let clone_of = ["--clone-of", state.to_str().expect("temporary paths are text")];
        World::unmade(&[&clone_of, arguments].concat())
    }

    /// Names another cluster in this one's configuration of `cloudhsm-cli`.
    #[track_caller]
    pub fn add_cluster(&self, other: &World) {
        let (id, ca) = (other.text("/cluster_id"), other.text("/customer_ca"));
        let mut command = Command::new(program("configure-cli"));
        command.args(["add-cluster", "--cluster-id", &id, "-a", &other.hsm_ips()[0], "--hsm-ca-cert", &ca]);
        command.env("CLOUDHSM_HOME", self.home()).ran().ok();
    }

    /// A folder for a cluster that nobody has made; [`World::start`] makes it.
    #[track_caller]
    pub fn unmade(arguments: &[&str]) -> World {
        let folder = tempfile::Builder::new().prefix("strongroom-").tempdir().expect("a temporary folder can be made");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        World { folder, up: Value::Null, arguments }
    }

    /// The same with the settings of tests.
    #[track_caller]
    pub fn unmade_quick() -> World {
        World::unmade(&QUICK)
    }

    /// The same with further arguments of `strongroom up`.
    #[track_caller]
    pub fn unmade_quick_with(arguments: &[&str]) -> World {
        World::unmade(&[&QUICK, arguments].concat())
    }

    /// The cluster that tests share which leave it as it is: made for the first, gone with the last that runs.
    #[track_caller]
    pub fn shared() -> Arc<World> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        // A test that failed while it made the cluster leaves the place empty, which is as good as new.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let world = Arc::new(World::new());
            *shared = Arc::downgrade(&world);
            world
        })
    }

    /// `strongroom up`, the first time or again.
    #[track_caller]
    pub fn start(&mut self) {
        self.up = self.up_command().ran().ok().json();
    }

    /// `strongroom up` with this world's arguments, for running it otherwise.
    pub fn up_command(&self) -> Command {
        let mut command = self.strongroom("up");
        command.args(&self.arguments).args(["--output", "json"]);
        command
    }

    /// `strongroom down`.
    #[track_caller]
    pub fn stop(&self) {
        self.strongroom("down").ran().ok();
    }

    /// A subcommand of `strongroom` on this folder.
    pub fn strongroom(&self, subcommand: &str) -> Command {
        let mut command = Command::new(program("strongroom"));
        command.arg(subcommand).arg("--state").arg(self.state());
        command
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A path for a test's own file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn name(&self, name: &str) -> String {
        self.file(name).to_str().expect("temporary paths are text").to_owned()
    }

    /// A text at this place in what `up` printed.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let value = self.up.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("`up` printed no {pointer}: {}", self.up)).to_owned()
    }

    /// The prepared `CLOUDHSM_HOME`.
    pub fn home(&self) -> PathBuf {
        PathBuf::from(self.text("/home"))
    }

    /// `CLOUDHSM_PIN` of the crypto user.
    pub fn pin(&self) -> String {
        format!("{}:{}", self.text("/crypto_user/username"), self.text("/crypto_user/password"))
    }

    /// `CLOUDHSM_PIN` of the admin.
    pub fn admin_pin(&self) -> String {
        format!("{}:{}", self.text("/admin/username"), self.text("/admin/password"))
    }

    /// The cluster certificate's CA.
    pub fn customer_ca(&self) -> PathBuf {
        PathBuf::from(self.text("/customer_ca"))
    }

    /// Addresses of the HSMs.
    pub fn hsm_ips(&self) -> Vec<String> {
        let hsms = self.up["hsms"].as_array().expect("`up` lists the HSMs");
        hsms.iter().map(|hsm| hsm["ip"].as_str().expect("an HSM has an address").to_owned()).collect()
    }

    /// What `strongroom status` says now.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.strongroom("status").args(["--output", "json"]).ran().ok().json()
    }

    /// Process ids of the HSMs that run now.
    #[track_caller]
    pub fn hsm_pids(&self) -> Vec<u32> {
        let status = self.status();
        let hsms = status["hsms"].as_array().expect("status lists the HSMs");
        hsms.iter().filter_map(|hsm| hsm["pid"].as_u64()).map(|pid| u32::try_from(pid).expect("a pid")).collect()
    }

    /// Process id of the HSM at this address.
    #[track_caller]
    pub fn hsm_pid_at(&self, ip: &str) -> u32 {
        let status = self.status();
        let hsm = status["hsms"].as_array().and_then(|hsms| hsms.iter().find(|hsm| hsm["ip"] == ip));
        let pid = hsm.and_then(|hsm| hsm["pid"].as_u64()).and_then(|pid| u32::try_from(pid).ok());
        pid.expect("the HSM runs")
    }

    /// Ids of the HSMs.
    #[track_caller]
    pub fn hsm_ids(&self) -> Vec<String> {
        let hsms = self.up["hsms"].as_array().expect("`up` lists the HSMs");
        hsms.iter().map(|hsm| hsm["hsm_id"].as_str().expect("an HSM has an id").to_owned()).collect()
    }

    /// An HSM's folder.
    pub fn hsm_folder(&self, hsm_id: &str) -> PathBuf {
        self.state().join("hsms").join(hsm_id)
    }

    /// What an HSM's log says.
    #[track_caller]
    pub fn hsm_log(&self, hsm_id: &str) -> String {
        std::fs::read_to_string(self.hsm_folder(hsm_id).join("hsm.log")).expect("an HSM has a log")
    }

    /// The supervisor's process id.
    #[track_caller]
    pub fn supervisor_pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.state().join("serve.json")).expect("the supervisor left its pid");
        let value: Value = serde_json::from_str(&text).expect("serve.json is JSON");
        value["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("serve.json names the pid")
    }

    /// `kill -9` of the supervisor and of every HSM.
    #[track_caller]
    pub fn kill_everything(&self) {
        let mut pids = self.hsm_pids();
        let supervisor = self.supervisor_pid();
        kill("KILL", supervisor);
        for pid in &pids {
            kill("KILL", *pid);
        }
        pids.push(supervisor);
        wait_for("the processes' end", Duration::from_secs(5), || !pids.iter().any(|pid| pid_is_alive(*pid)));
    }

    /// `cloudhsm-cli` without credentials.
    pub fn bare_cli(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("cloudhsm-cli"));
        command.args(arguments).env("CLOUDHSM_HOME", self.home());
        for side in ["", "DESTINATION_"] {
            command.env_remove(format!("{side}CLOUDHSM_ROLE")).env_remove(format!("{side}CLOUDHSM_PIN"));
        }
        command
    }

    /// `cloudhsm-cli` as the crypto user.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        self.bare_cli(arguments).env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", self.pin()).ran()
    }

    /// `cloudhsm-cli` as the admin.
    #[track_caller]
    pub fn admin_cli(&self, arguments: &[&str]) -> Ran {
        self.bare_cli(arguments).env("CLOUDHSM_ROLE", "admin").env("CLOUDHSM_PIN", self.admin_pin()).ran()
    }

    /// The `data` of a command that succeeds as the crypto user.
    #[track_caller]
    pub fn data(&self, arguments: &[&str]) -> Value {
        let json = self.cli(arguments).ok().json();
        assert_eq!(json["error_code"], 0);
        json["data"].clone()
    }

    /// An environment in which OpenSSL finds the engine and the engine finds the cluster.
    pub fn with_engine(&self, command: &mut Command) {
        command.env("CLOUDHSM_HOME", self.home()).env("CLOUDHSM_PIN", self.pin());
        command.env("OPENSSL_ENGINES", self.home().join("engines-3")).current_dir(self.folder.path());
    }

    /// The `openssl` command with the engine available (name it with `-engine cloudhsm`).
    #[track_caller]
    pub fn openssl(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("openssl");
        self.with_engine(command.args(arguments));
        command.ran()
    }

    /// The `openssl` command as it is, knowing nothing of HSMs.
    #[track_caller]
    pub fn plain_openssl(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(self.folder.path());
        command.ran()
    }

    /// Makes an RSA-2048 pair with this label; the private key's reference.
    #[track_caller]
    pub fn rsa_pair(&self, label: &str) -> String {
        self.pair(&RSA_2048, label, "sign=true")
    }

    /// Makes an RSA-2048 pair with this label, whose private key decrypts as well; its reference.
    #[track_caller]
    pub fn opening_pair(&self, label: &str) -> String {
        self.pair(&RSA_2048, label, "sign=true,decrypt=true")
    }

    /// Makes an EC pair with this label; the private key's reference.
    #[track_caller]
    pub fn ec_pair(&self, label: &str, curve: &str) -> String {
        self.pair(&["key", "generate-asymmetric-pair", "ec", "--curve", curve], label, "sign=true")
    }

    #[track_caller]
    fn pair(&self, command: &[&str], label: &str, private: &str) -> String {
        let labels = ["--public-label", label, "--private-label", label];
        let mut attributes = vec!["--public-attributes", "verify=true", "--private-attributes"];
        attributes.extend(private.split(','));
        let made = self.data(&[command, &labels, &attributes].concat());
        made["private_key"]["key-reference"].as_str().expect("a key has a reference").to_owned()
    }

    /// Writes the reference PEM of the private key with this label.
    #[track_caller]
    pub fn reference_pem(&self, label: &str, file: &Path) {
        let filter = format!("attr.label={label}");
        let file = file.to_str().expect("temporary paths are text");
        let selection = ["--filter", "attr.class=private-key", &filter];
        self.data(&[&["key", "generate-file", "--encoding", "reference-pem", "--path", file][..], &selection].concat());
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.state().join("cluster.json").exists() {
            return;
        }
        let ran = self.strongroom("down").ran();
        if ran.code != Some(0) && !std::thread::panicking() {
            panic!("`strongroom down` failed:\n{}{}", ran.stdout, ran.stderr);
        }
    }
}

/// Running a command to its end, at the end of a chain of calls.
pub(crate) trait CommandExt {
    fn ran(&mut self) -> Ran;
}

impl CommandExt for Command {
    #[track_caller]
    fn ran(&mut self) -> Ran {
        run(self)
    }
}

//! `cargo xtask demo`: from nothing to a stock nginx that serves HTTPS with a key inside two HSMs.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::artifacts::{self, Profile};
use crate::packages::{self, CURL, NGINX, OPENSSL};
use crate::run::{Step, find_program, root};

/// How to run it.
#[derive(clap::Args)]
pub struct Arguments {
    /// The cluster's folder
    #[arg(long, default_value = ".strongroom")]
    state: PathBuf,
    /// The port on which nginx serves HTTPS
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// Stop everything after the first request, as a test does, instead of waiting for Ctrl-C
    #[arg(long)]
    once: bool,
}

/// How long nginx may take to listen.
const NGINX_START_MAX: Duration = Duration::from_secs(10);
/// The label of the demo's key.
const LABEL: &str = "demo-web-server";

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped)).context("cannot listen for Ctrl-C")?;
    }
    if TcpStream::connect(("127.0.0.1", arguments.port)).is_ok() {
        bail!("port {0} is in use: stop what listens there, or choose another with --port", arguments.port);
    }
    say(1, "installing nginx, curl and openssl where they are missing");
    packages::install(&[NGINX, CURL, OPENSSL])?;
    say(2, "building Strongroom (the first time takes some minutes)");
    artifacts::build(Profile::Release)?;
    fs::create_dir_all(root().join(&arguments.state)).context("cannot create the state folder")?;
    let state = root().join(&arguments.state).canonicalize().context("cannot find the state folder")?;
    say(3, "starting a cluster of two HSMs");
    let stop = StopCluster { state: state.clone() };
    let demo = Demo::start(&state, arguments.port)?;
    say(4, "making the key in the HSMs and a certificate for it");
    let reference = demo.key()?;
    demo.certificate()?;
    say(5, "starting nginx with the key reference file");
    let mut nginx = demo.nginx()?;
    let before = demo.signatures()?;
    let page = demo.request()?;
    let after = demo.signatures()?;
    demo.tell(&reference, &page, &before, &after);
    if !arguments.once {
        println!("\nCtrl-C stops everything.");
        wait(&stopped, &mut nginx)?;
        println!("\nStopping nginx and the cluster. The keys stay in {}.", state.display());
    }
    drop(nginx);
    drop(stop);
    Ok(())
}

fn say(step: u8, what: &str) {
    eprintln!("[{step}/5] {what}");
}

fn wait(stopped: &AtomicBool, nginx: &mut Nginx) -> anyhow::Result<()> {
    while !stopped.load(Ordering::Relaxed) {
        let ended = nginx.child.try_wait().context("cannot ask for nginx")?;
        if let Some(status) = ended.filter(|_| !stopped.load(Ordering::Relaxed)) {
            bail!("nginx stopped by itself: {status}; its log is {}", nginx.log.display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Brings the cluster down when the demo ends, however it ends.
struct StopCluster {
    state: PathBuf,
}

impl Drop for StopCluster {
    fn drop(&mut self) {
        let program = artifacts::folder(Profile::Release).join("strongroom");
        if let Err(error) = Step::new(program, ["down", "--state"]).args([&self.state]).run() {
            eprintln!("could not stop the cluster: {error:#}");
        }
    }
}

struct Nginx {
    child: Child,
    log: PathBuf,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGQUIT would wait for clients; SIGTERM ends master and workers at once. A shell has `kill` built in.
        let pid = self.child.id().to_string();
        let told = Step::new("sh", ["-c", &format!("kill -TERM {pid}")]).run();
        if told.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

struct Demo {
    state: PathBuf,
    folder: PathBuf,
    port: u16,
    up: Value,
}

fn text<'v>(value: &'v Value, path: &str) -> anyhow::Result<&'v str> {
    value.pointer(path).and_then(Value::as_str).with_context(|| format!("`strongroom up` did not print {path}"))
}

impl Demo {
    fn start(state: &Path, port: u16) -> anyhow::Result<Demo> {
        let program = artifacts::folder(Profile::Release).join("strongroom");
        let output = Step::new(program, ["up", "--output", "json", "--state"]).args([state]).output()?;
        let up = serde_json::from_str(&output).context("`strongroom up` did not print JSON")?;
        let folder = state.join("demo");
        fs::create_dir_all(&folder).context("cannot create the demo's folder")?;
        Ok(Demo { state: state.to_owned(), folder, port, up })
    }

    fn home(&self) -> anyhow::Result<PathBuf> {
        Ok(PathBuf::from(text(&self.up, "/home")?))
    }

    fn pin(&self) -> anyhow::Result<String> {
        Ok(format!("{}:{}", text(&self.up, "/crypto_user/username")?, text(&self.up, "/crypto_user/password")?))
    }

    /// One command of `cloudhsm-cli`; its `data`.
    fn cli(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = Step::new(artifacts::folder(Profile::Release).join("cloudhsm-cli"), arguments)
            .env("CLOUDHSM_HOME", self.home()?)
            .env("CLOUDHSM_ROLE", "crypto-user")
            .env("CLOUDHSM_PIN", self.pin()?)
            .output()?;
        let mut envelope: Value = serde_json::from_str(&output).context("cloudhsm-cli did not print JSON")?;
        Ok(envelope["data"].take())
    }

    fn reference_pem(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// The key: made once, found again on later runs.
    fn key(&self) -> anyhow::Result<String> {
        let filter = format!("attr.label={LABEL}");
        let selection = ["--filter", "attr.class=private-key", filter.as_str()];
        let found = self.cli(&[&["key", "list"][..], &selection].concat())?;
        let reference = match found["matched_keys"].as_array().and_then(|keys| keys.first()) {
            Some(key) => key["key-reference"].as_str().map(str::to_owned),
            None => {
                let labels = ["--public-label", LABEL, "--private-label", LABEL];
                let rsa = ["key", "generate-asymmetric-pair", "rsa", "--modulus-size-bits", "2048"];
                let rest = ["--public-exponent", "65537", "--public-attributes", "verify=true"];
                let private = ["--private-attributes", "sign=true", "extractable=false"];
                let made = self.cli(&[&rsa[..], &labels, &rest, &private].concat())?;
                made.pointer("/private_key/key-reference").and_then(Value::as_str).map(str::to_owned)
            }
        };
        let file = self.reference_pem();
        let file = file.to_str().context("the state folder's path is not text")?;
        self.cli(&[&["key", "generate-file", "--encoding", "reference-pem", "--path", file][..], &selection].concat())?;
        reference.context("cloudhsm-cli did not name the key")
    }

    fn openssl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        Step::new("openssl", arguments)
            .folder(&self.folder)
            .env("CLOUDHSM_HOME", self.home()?)
            .env("CLOUDHSM_PIN", self.pin()?)
            .env("OPENSSL_ENGINES", self.home()?.join("engines-3"))
            .run_quietly()
    }

    /// A certificate for `localhost`, signed inside the HSM by the key itself.
    fn certificate(&self) -> anyhow::Result<()> {
        let engine = ["-engine", "cloudhsm"];
        let request = ["req", "-new", "-key", "server.key", "-subj", "/CN=localhost", "-out", "server.csr"];
        self.openssl(&[&request[..1], &engine, &request[1..]].concat())?;
        fs::write(self.folder.join("names.cnf"), "subjectAltName = DNS:localhost, IP:127.0.0.1\n")
            .context("cannot write names.cnf")?;
        let sign = ["-req", "-days", "365", "-in", "server.csr", "-signkey", "server.key"];
        let names = ["-extfile", "names.cnf", "-out", "server.crt"];
        self.openssl(&[&["x509"][..], &engine, &sign, &names].concat())
    }

    fn nginx(&self) -> anyhow::Result<Nginx> {
        let folder = self.folder.to_str().context("the state folder's path is not text")?;
        let configuration = include_str!("demo/nginx.conf").replace("@FOLDER@", folder);
        let configuration = configuration.replace("@PORT@", &self.port.to_string());
        let configuration = configuration.replace("@PAGE@", include_str!("demo/index.html"));
        fs::write(self.folder.join("nginx.conf"), configuration).context("cannot write nginx.conf")?;
        let log = self.folder.join("nginx.log");
        fs::write(&log, "").context("cannot create nginx.log")?;
        // nginx and the engine write to it side by side.
        let output = fs::OpenOptions::new().append(true).open(&log).context("cannot open nginx.log")?;
        let program = find_program("nginx").context("nginx is not installed")?;
        let child = Command::new(program)
            .args(["-p", folder, "-c", "nginx.conf", "-e", "nginx.log"])
            .env("CLOUDHSM_HOME", self.home()?)
            .env("CLOUDHSM_PIN", self.pin()?)
            .env("OPENSSL_ENGINES", self.home()?.join("engines-3"))
            .stdin(Stdio::null())
            .stderr(output)
            // Ctrl-C is for us: we stop nginx, and then what it needs.
            .process_group(0)
            .spawn()
            .context("cannot start nginx")?;
        let mut nginx = Nginx { child, log };
        let deadline = Instant::now() + NGINX_START_MAX;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if nginx.child.try_wait().context("cannot ask for nginx")?.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&nginx.log).unwrap_or_default();
                bail!("nginx does not listen on port {}; it said:\n{said}", self.port);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(nginx)
    }

    fn curl_words(&self) -> Vec<String> {
        let certificate = self.folder.join("server.crt").display().to_string();
        let url = format!("https://localhost:{}/", self.port);
        vec!["--silent".into(), "--show-error".into(), "--fail".into(), "--cacert".into(), certificate, url]
    }

    fn request(&self) -> anyhow::Result<String> {
        Step::new("curl", self.curl_words()).output()
    }

    /// Signatures that each HSM has made since it started.
    fn signatures(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let program = artifacts::folder(Profile::Release).join("strongroom");
        let output = Step::new(program, ["status", "--output", "json", "--state"]).args([&self.state]).output()?;
        let status: Value = serde_json::from_str(&output).context("`strongroom status` did not print JSON")?;
        let hsms = status["hsms"].as_array().context("`strongroom status` did not list the HSMs")?;
        let count = |hsm: &Value| Some((hsm["hsm_id"].as_str()?.to_owned(), hsm["signatures"].as_u64()?));
        hsms.iter().map(|hsm| count(hsm).context("an HSM does not tell its signatures")).collect()
    }

    fn tell(&self, reference: &str, page: &str, before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) {
        let signer = after.iter().find(|(hsm, count)| before.get(*hsm).is_some_and(|old| old < *count));
        let value = |path: &str| self.up.pointer(path).and_then(Value::as_str).unwrap_or("?").to_owned();
        println!("\nnginx answered: {}\n", page.lines().find(|line| line.contains("<h1>")).unwrap_or(page).trim());
        println!("  Cluster       {}, {}", value("/cluster_id"), value("/state"));
        for hsm in self.up["hsms"].as_array().into_iter().flatten() {
            let field = |name: &str| hsm[name].as_str().unwrap_or("?").to_owned();
            println!(
                "  HSM           {} at {}:{}, zone {}, process {}",
                field("hsm_id"),
                field("ip"),
                hsm["port"],
                field("availability_zone"),
                hsm["pid"]
            );
        }
        println!("  Key           {reference}, RSA-2048, made in the HSMs, not extractable");
        println!("  Key file      {} (a reference: no secret in it)", self.reference_pem().display());
        match signer {
            Some((hsm, _)) => println!("  Signature     this TLS handshake was signed by {hsm}"),
            None => println!("  Signature     no HSM counted a signature, which should not be"),
        }
        println!(
            "\nTry it:\n\n    curl --cacert {} https://localhost:{}/",
            self.folder.join("server.crt").display(),
            self.port
        );
        println!(
            "    CLOUDHSM_HOME={} CLOUDHSM_ROLE=crypto-user CLOUDHSM_PIN={} \\\n        {} key list --verbose",
            value("/home"),
            self.pin().unwrap_or_default(),
            artifacts::folder(Profile::Release).join("cloudhsm-cli").display()
        );
        println!("    kill -9 the process of either HSM and run curl again");
    }
}

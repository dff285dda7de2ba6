//! A folder with an engine, a configuration that leads to no HSM, and the `openssl` command in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use strongroom_client::reference_pem::{self, Comment};
use strongroom_crypto::{pem, spki};
use strongroom_types::{KeyReference, PublicPart};
use tempfile::TempDir;

pub struct Host {
    folder: TempDir,
}

/// What a command did.
pub struct Ran {
    pub ok: bool,
    /// Standard output and standard error, one after the other.
    pub said: String,
}

impl Ran {
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.ok, "{}", self.said);
        self.said
    }

    #[track_caller]
    pub fn failed(self) -> String {
        assert!(!self.ok, "{}", self.said);
        self.said
    }
}

/// The library that was built with these tests.
pub fn library() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let file = own.parent().unwrap().join("libcloudhsm_openssl_engine.so");
    assert!(file.is_file(), "{} is not built", file.display());
    file
}

impl Host {
    /// A host whose configuration names an address where nobody listens. It gives up at the first failure.
    pub fn new() -> Host {
        Host::with_retries("off")
    }

    pub fn with_retries(retry_mode: &str) -> Host {
        let host = Host { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(host.path("home/etc")).unwrap();
        fs::create_dir(host.path("engines")).unwrap();
        std::os::unix::fs::symlink(library(), host.path("engines/cloudhsm.so")).unwrap();
        let ca = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=A CA", "-days", "30"];
        host.plain(&[&ca[..], &["-keyout", "ca.key", "-out", "home/etc/customerCA.crt"]].concat()).ok();
        let configuration = format!(
            r#"{{ "clusters": [ {{ "cluster": {{
                "hsm_ca_file": "customerCA.crt",
                "servers": [ {{ "hostname": "127.0.0.1", "port": 1, "enable": true }} ],
                "options": {{ "retry_mode": "{retry_mode}" }} }} }} ] }}"#
        );
        fs::write(host.path("home/etc/cloudhsm-dyn.cfg"), configuration).unwrap();
        fs::write(host.path("data"), "some data").unwrap();
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// `openssl` as it is.
    pub fn plain(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command("openssl", arguments))
    }

    /// `openssl` where the engine can be found, with a PIN.
    pub fn with_engine(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("openssl", arguments);
        command.env("OPENSSL_ENGINES", self.path("engines")).env("CLOUDHSM_HOME", self.path("home"));
        command.env("CLOUDHSM_PIN", "crypto_user:a-password");
        command
    }

    pub fn openssl(&self, arguments: &[&str]) -> Ran {
        run(&mut self.with_engine(arguments))
    }

    /// Makes a real key of OpenSSL's: `rsa`, or a curve.
    pub fn real_key(&self, kind: &str, file: &str) {
        let curve = format!("ec_paramgen_curve:{kind}");
        let (algorithm, option) = match kind {
            "rsa" => ("RSA", "rsa_keygen_bits:2048"),
            _ => ("EC", curve.as_str()),
        };
        self.plain(&["genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", file]).ok();
    }

    /// The public part of a key file.
    pub fn public_part(&self, file: &str) -> PublicPart {
        let text = self.plain(&["pkey", "-in", file, "-pubout"]).ok();
        spki::decode(&block("PUBLIC KEY", &text)).unwrap()
    }

    /// Writes a reference file for a new key's public part, and that part's own file; the public part.
    pub fn reference(&self, kind: &str, file: &str) -> PublicPart {
        self.real_key(kind, "origin.key");
        let public = self.public_part("origin.key");
        self.plain(&["pkey", "-in", "origin.key", "-pubout", "-out", &format!("{file}.pub")]).ok();
        let comment = Comment { label: "a label", cluster_id: "cluster-aaaaaaaaaaa" };
        let text = reference_pem::encode(KeyReference::from_u64(0x2e06bf).unwrap(), &public, &comment).unwrap();
        fs::write(self.path(file), text).unwrap();
        public
    }

    /// Arguments of a signature with the engine.
    pub fn sign<'a>(&self, key: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let fixed = ["dgst", "-engine", "cloudhsm", "-sha256", "-sign", key, "-out", "signature"];
        [&fixed[..], more, &["data"]].concat()
    }

    /// That the signature that was made is one by this key.
    #[track_caller]
    pub fn verified(&self, key: &str, more: &[&str]) {
        self.plain(&["pkey", "-in", key, "-pubout", "-out", "verifier.pub"]).ok();
        let fixed = ["dgst", "-sha256", "-verify", "verifier.pub", "-signature", "signature"];
        self.plain(&[&fixed[..], more, &["data"]].concat()).ok();
        fs::remove_file(self.path("signature")).unwrap();
    }

    /// That no signature was made.
    #[track_caller]
    pub fn nothing_signed(&self) {
        assert_empty(&self.path("signature"));
    }
}

/// The only PEM block of a text.
pub fn block(label: &'static str, text: &str) -> Vec<u8> {
    pem::decode(label, text.as_bytes(), 1).unwrap().remove(0)
}

/// That a file is not there, or has nothing in it.
#[track_caller]
pub fn assert_empty(file: &Path) {
    let content = fs::read(file).unwrap_or_default();
    assert!(content.is_empty(), "{} has {} bytes", file.display(), content.len());
}

pub fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ran { ok: output.status.success(), said: said.into_owned() }
}

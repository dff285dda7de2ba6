//! A folder with C programs and, as its folder of clients, a configuration that leads to no HSM.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub(crate) struct Host {
    folder: TempDir,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) said: String,
    pub(crate) complained: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.ok, "{}{}", self.said, self.complained);
        self.said
    }
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { ok: output.status.success(), said: text(output.stdout), complained: text(output.stderr) }
}

/// The library that was built with these tests.
pub(crate) fn library() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let file = own.parent().unwrap().join("libcloudhsm_pkcs11.so");
    assert!(file.is_file(), "{} is not built", file.display());
    file
}

/// The folder of the headers.
pub(crate) fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

impl Host {
    pub(crate) fn new() -> Host {
        let host = Host { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(host.path("home/etc")).unwrap();
        fs::create_dir_all(host.path("home/run")).unwrap();
        host
    }

    /// With a configuration of this many clusters at an address where nobody listens.
    pub(crate) fn configured(clusters: usize) -> Host {
        let host = Host::new();
        let ca =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=A CA"];
        let files = ["-keyout", "ca.key", "-out", "home/etc/customerCA.crt"];
        run(Command::new("openssl").args(ca).args(files).current_dir(host.folder.path())).ok();
        let entry = |index: usize| {
            format!(
                r#"{{ "type": "hsm1", "cluster": {{ "hsm_ca_file": "customerCA.crt", "cluster_id": "cluster-2345672345{}",
                "servers": [{{ "hostname": "127.0.0.1", "port": 9, "enable": true }}],
                "options": {{ "retry_mode": "off" }} }} }}"#,
                char::from(b'a' + u8::try_from(index).unwrap())
            )
        };
        let clusters: Vec<_> = (0..clusters).map(entry).collect();
        host.write(
            "home/etc/cloudhsm-pkcs11.cfg",
            &format!(
                r#"{{ "clusters": [{}], "logging": {{ "log_interval": "never", "log_level": "debug" }} }}"#,
                clusters.join(",")
            ),
        );
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("home/run/cloudhsm-pkcs11.log")).unwrap_or_default()
    }

    /// Compiles a program without a single warning.
    #[track_caller]
    pub(crate) fn compile(&self, compiler: &[&str], source: &Path, name: &str) -> PathBuf {
        let [program, options @ ..] = compiler else { panic!("a compiler") };
        let out = self.path(name);
        let mut command = Command::new(program);
        command.args(options).args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-I"]).arg(include());
        let output = run(command.arg(source).arg("-o").arg(&out).args(["-ldl", "-lpthread"]));
        assert!(output.ok, "{}", output.complained);
        out
    }

    /// A program with the library's path as its first argument, in this host's folder.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg(library()).env("CLOUDHSM_HOME", self.path("home")).current_dir(self.folder.path());
        command
    }
}

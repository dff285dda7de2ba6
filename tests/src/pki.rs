use std::path::PathBuf;
use std::process::Command;

use crate::process::run;
use crate::world::World;

/// Certificates made by the `openssl` command, each in files of its name in a world's folder: `NAME.crt`, `NAME.key`.
pub struct Pki<'a> {
    world: &'a World,
}

/// How a key is made: what stands behind `-newkey` of `openssl req`.
pub const P256: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";
/// A P-521 key.
pub const P521: &str = "ec -pkeyopt ec_paramgen_curve:secp521r1";
/// An RSA key.
pub const RSA: &str = "rsa:2048";

impl<'a> Pki<'a> {
    /// In this world's folder.
    pub fn new(world: &'a World) -> Pki<'a> {
        Pki { world }
    }

    /// A self-signed CA.
    #[track_caller]
    pub fn ca(&self, name: &str, key: &str) {
        self.sh(&format!(
            "openssl req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.crt -days 30 -subj /CN={name}"
        ));
    }

    /// A certificate that `ca` issues for another `days`, with these extensions.
    #[track_caller]
    pub fn issue(&self, ca: &str, name: &str, key: &str, days: i32, extensions: &[&str]) {
        std::fs::write(self.world.file(&format!("{name}.ext")), extensions.join("\n")).expect("a file is written");
        // Both times at once, so that a certificate may be over.
        let day = |days: i32| format!("$(date -u -d '{days} days' +%Y%m%d%H%M%SZ)");
        let (from, to) = (day(days.min(0) - 1), day(days));
        self.sh(&format!(
            "openssl req -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}\n\
             mkdir -p {ca}.d && : > {ca}.d/index\n\
             printf '[ca]\\ndefault_ca=x\\n[x]\\nunique_subject=no\\ndatabase={ca}.d/index\\nserial={ca}.d/serial\\nnew_certs_dir={ca}.d\\n\
             default_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' > {ca}.cnf\n\
             openssl ca -batch -notext -rand_serial -config {ca}.cnf -cert {ca}.crt -keyfile {ca}.key -in {name}.csr -out {name}.crt \
             -extfile {name}.ext -startdate {from} -enddate {to}"
        ));
    }

    /// A certificate for a TLS client, as it should be.
    #[track_caller]
    pub fn client(&self, ca: &str, name: &str, key: &str) {
        self.issue(ca, name, key, 30, &["keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth"]);
    }

    /// A CA that `ca` vouches for.
    #[track_caller]
    pub fn lower_ca(&self, ca: &str, name: &str, key: &str) {
        self.issue(ca, name, key, 30, &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]);
    }

    /// One file of several.
    #[track_caller]
    pub fn chain(&self, name: &str, certificates: &[&str]) {
        let read = |name: &&str| std::fs::read_to_string(self.world.file(&format!("{name}.crt"))).expect("it was made");
        let text: String = certificates.iter().map(read).collect();
        std::fs::write(self.world.file(&format!("{name}.crt")), text).expect("a file is written");
    }

    /// Makes the world's tools show this certificate, or this one with another's key.
    #[track_caller]
    pub fn configure(&self, tool: &str, certificate: &str, key: &str) {
        let mut command = Command::new(crate::process::program(tool));
        command.env("CLOUDHSM_HOME", self.world.home());
        command.arg("--client-cert-hsm-tls-file").arg(self.crt(certificate));
        command.arg("--client-key-hsm-tls-file").arg(self.key(key));
        run(&mut command).ok();
    }

    /// A certificate's file.
    pub fn crt(&self, name: &str) -> PathBuf {
        self.world.file(&format!("{name}.crt"))
    }

    /// A key's file.
    pub fn key(&self, name: &str) -> PathBuf {
        self.world.file(&format!("{name}.key"))
    }

    /// Runs a script in the world's folder.
    #[track_caller]
    pub fn sh(&self, script: &str) {
        run(Command::new("sh").args(["-ec", script]).current_dir(self.world.file("."))).ok();
    }
}

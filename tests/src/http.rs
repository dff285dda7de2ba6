use std::path::Path;
use std::process::Command;

use crate::process::{Ran, run};

/// The version of TLS that a client insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}

/// One HTTPS request by curl, trusting `ca` alone.
#[track_caller]
pub fn get(port: u16, ca: &Path, tls: Tls) -> Ran {
    run(&mut curl(port, ca, tls))
}

/// The same, to be run otherwise.
pub fn curl(port: u16, ca: &Path, tls: Tls) -> Command {
    let version: &[&str] = match tls {
        Tls::V12 => &["--tlsv1.2", "--tls-max", "1.2"],
        Tls::V13 => &["--tlsv1.3"],
    };
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "20"]).args(version).arg("--cacert").arg(ca);
    command.arg(format!("https://localhost:{port}/"));
    command
}

//! A disk that can be full: a small file system in memory, in a mount namespace of our own, so that nothing of the machine's
//! own changes and everything is gone when the last process ends.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

/// Where the file system is mounted, told to the program that runs in the namespace.
const PLACE: &str = "STRONGROOM_CHAOS_PLACE";
/// Bytes of it, in mebibytes: stores, logs, and room to fill.
const MEBIBYTES: usize = 128;
/// Exit code of this program when it was started anew and ended without one.
const NO_CODE: u8 = 70;
/// Mounts, then becomes the program that is named. `$1` is the folder.
const MOUNT: &str = "mount -t tmpfs -o size=$0,mode=0700 tmpfs \"$1\" && shift && exec \"$@\"";
const BLOCK_LEN: usize = 64 * 1024;

/// Where the cluster's files lie.
pub enum Place {
    /// On a disk that we can fill.
    Own(PathBuf),
    /// In the folder of temporary files; why it is not our own disk.
    Shared(String),
}

/// What [`Place::find`] found.
pub enum Found {
    /// Here is the place.
    Here(Place),
    /// The run took place in a namespace, and ended so.
    Elsewhere(ExitCode),
}

impl Place {
    /// The place of this run. Where possible, this program is started once more, in a namespace with its own disk.
    pub fn find() -> anyhow::Result<Found> {
        if let Some(place) = std::env::var_os(PLACE) {
            return Ok(Found::Here(Place::Own(place.into())));
        }
        let namespaces: [&[&str]; 2] =
            [&["--mount", "--propagation", "private"], &["--user", "--map-root-user", "--mount"]];
        let mut why = String::new();
        for namespace in namespaces {
            let folder =
                tempfile::Builder::new().prefix("strongroom-chaos-").tempdir().context("a temporary folder")?;
            let mut command = Command::new("unshare");
            command.args(namespace).args(["sh", "-c", MOUNT, &format!("{MEBIBYTES}m")]).arg(folder.path());
            let tried = command.arg("true").stdin(Stdio::null()).output();
            match tried {
                Ok(tried) if tried.status.success() => return run_in(namespace, folder.path()).map(Found::Elsewhere),
                Ok(tried) => why = String::from_utf8_lossy(&tried.stderr).trim().to_owned(),
                Err(error) => why = format!("the program unshare cannot be started: {error}"),
            }
        }
        Ok(Found::Here(Place::Shared(why)))
    }

    /// Fills the disk but for so many bytes; emptied again when the returned value is dropped.
    pub fn fill(&self, left: usize) -> anyhow::Result<Ballast> {
        let Place::Own(place) = self else { bail!("the disk is not our own") };
        let ballast = Ballast(place.join("ballast"));
        let mut file = File::create(&ballast.0).context("a file to fill the disk with")?;
        let mut len = 0;
        loop {
            match file.write(&[0xfa; BLOCK_LEN]) {
                Ok(0) | Err(_) => break,
                Ok(written) => len += u64::try_from(written).context("a length")?,
            }
        }
        file.set_len(len.saturating_sub(u64::try_from(left).context("a length")?)).context("room")?;
        Ok(ballast)
    }
}

/// What fills the disk.
pub struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs this program once more, in a namespace, on its own disk.
fn run_in(namespace: &[&str], folder: &Path) -> anyhow::Result<ExitCode> {
    let own = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-c", MOUNT, &format!("{MEBIBYTES}m")]).arg(folder);
    command.arg(own).args(std::env::args_os().skip(1)).env(PLACE, folder).env("TMPDIR", folder);
    let status = command.status().context("cannot start anew in a mount namespace")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(NO_CODE)))
}

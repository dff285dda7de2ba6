//! A cluster that begins with what another one of this machine holds.
//!
//! The HSM program does it, because it alone has the keys: it reads the other cluster's store and root key and writes those of
//! the clone. Here are the files around them. Whatever an `up` that was cut short left undone, the next one does; until the
//! store is there no HSM starts.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use strongroom_crypto::random;
use strongroom_types::{ClusterId, HsmType};

use crate::addresses::Block;
use crate::error::{CloneError, ExpectedError, ProgramError, StateError};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::state::{CloneOf, ClusterFile, Credentials, NewCluster, StateFolder};
use crate::{make, programs};

/// The cluster to begin with.
fn origin(path: &Path) -> Result<(StateFolder, ClusterFile), CloneError> {
    let unusable = |source| CloneError::Origin { path: path.to_owned(), source };
    let folder = StateFolder::existing(path).map_err(unusable)?;
    match ClusterFile::read(&folder).map_err(unusable)? {
        Some(file) => Ok((folder, file)),
        None => Err(unusable(StateError::NoCluster { path: path.to_owned() })),
    }
}

/// A clone that nobody has set up, of the cluster that is asked for.
pub(crate) fn new_cluster(folder: &StateFolder, settings: &Settings) -> Result<(ClusterFile, Block), ExpectedError> {
    let path = settings.clone_of.as_deref().unwrap_or(Path::new("."));
    let (origin_folder, origin) = origin(path)?;
    if origin_folder.root() == folder.root() {
        return Err(CloneError::Itself { path: folder.root().to_owned() }.into());
    }
    let different = |what, has: String, asked: String| {
        Err(CloneError::Different { cluster: origin.cluster_id.clone(), what, has, asked }.into())
    };
    match settings.mode {
        Some(asked) if asked != origin.mode => return different("mode", origin.mode.to_string(), asked.to_string()),
        Some(_) | None => {}
    }
    let hsm_type = settings.hsm_type.unwrap_or(origin.hsm_type);
    if (origin.hsm_type, hsm_type) == (HsmType::Hsm2mMedium, HsmType::Hsm1Medium) {
        return different("HSM type", origin.hsm_type.to_string(), hsm_type.to_string());
    }
    let count = settings.hsms.or_else(|| u8::try_from(origin.hsms.len()).ok());
    let (hsms, block) = make::new_hsms(count.unwrap_or(crate::settings::HSMS_DEFAULT))?;
    let new = NewCluster {
        cluster_id: ClusterId::from_random(random::bytes()),
        hsm_type,
        mode: origin.mode,
        lease_ms: settings.lease_ms.unwrap_or(origin.lease_ms),
        password_iterations: settings.password_iterations.unwrap_or(origin.password_iterations),
    };
    let clone_of = CloneOf { cluster_id: origin.cluster_id, state: origin_folder.root().to_owned() };
    let mut clone = ClusterFile::new(new, hsms);
    clone.clone_of = Some(clone_of);
    Ok((clone, block))
}

/// The passwords that `up` knows of the other cluster, which are the clone's as well; none when they are not kept there.
pub(crate) fn credentials(clone: &ClusterFile) -> Result<Option<Credentials>, ExpectedError> {
    let Some(CloneOf { state, .. }) = &clone.clone_of else { return Ok(None) };
    let (folder, _) = origin(state)?;
    Ok(Credentials::read(&folder)?)
}

/// What the HSM program prints (`crates/hsm/src/clone.rs`).
#[derive(Deserialize)]
struct Report {
    origin_revision: u64,
    keys: u64,
    users: u64,
}

/// Makes the clone's store and root key.
pub(crate) fn found(
    folder: &StateFolder,
    clone: &ClusterFile,
    hsm_program: &Path,
    progress: &Progress,
) -> Result<(), ExpectedError> {
    let Some(CloneOf { state, cluster_id }) = &clone.clone_of else { return Ok(()) };
    let (origin_folder, origin) = origin(state)?;
    if origin.cluster_id != *cluster_id {
        let (path, found, wanted) = (state.clone(), origin.cluster_id, cluster_id.clone());
        return Err(CloneError::Another { path, found, wanted }.into());
    }
    progress.step(format_args!("cloning {cluster_id} in {}", state.display()));
    let mut command = Command::new(hsm_program);
    command.arg("clone");
    for hsm in &origin.hsms {
        command.arg("--origin-folder").arg(origin_folder.hsm(&hsm.hsm_id));
    }
    let first = clone.hsms.first().expect("a cluster has an HSM: the file was checked");
    let started = command.arg("--folder").arg(folder.hsm(&first.hsm_id)).stdin(Stdio::null()).output();
    let output = started.map_err(|source| ProgramError::Start { path: hsm_program.to_owned(), source })?;
    if !output.status.success() {
        let said = programs::said_by_hsm(&output.stderr);
        let exit = crate::processes::Exit::from(output.status);
        let said = if said.is_empty() { format!("the HSM program ended without a word ({exit})") } else { said };
        return Err(CloneError::Refused { said }.into());
    }
    let Report { origin_revision, keys, users } = serde_json::from_slice(&output.stdout)
        .map_err(|_| ProgramError::Answer { path: hsm_program.to_owned(), what: "clone" })?;
    progress.step(format_args!("it begins with {users} users and {keys} keys, of revision {origin_revision}"));
    Ok(())
}

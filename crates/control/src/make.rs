//! What a cluster needs before its HSMs can start; each step makes what is missing and leaves what is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use strongroom_crypto::certificates::CustomerCa;
use strongroom_crypto::random;
use strongroom_types::limits::{HSM_PORT, LEASE_MS_DEFAULT, PASSWORD_ITERATIONS_DEFAULT};
use strongroom_types::{ClusterId, ClusterMode, HsmId, HsmType};

use crate::addresses::{self, Block};
use crate::clock;
use crate::clones;
use crate::error::{ExpectedError, ProgramError, StateError};
use crate::processes::Exit;
use crate::progress::Progress;
use crate::settings::{HSMS_DEFAULT, Settings};
use crate::state::{
    ClusterFile, Credentials, Durability, HsmEntry, MODE_FOLDER, MODE_PUBLIC, MODE_SECRET, NewCluster, StateFolder,
    make_folder, read_bounded, same_content, sync_folder, temporary, write_whole,
};

/// Zones of HSMs in turn. The API wants `[a-z]{2}(-(gov))?-(east|west|north|south|central){1,2}-\d[a-z]`, and clients
/// check it; no region of the service begins with `lo`, which is for local.
const ZONES: [&str; 2] = ["lo-central-1a", "lo-central-1b"];
/// Bytes of a program's complaint that an error repeats.
const SAID_LEN_MAX: usize = 2048;

/// A cluster that exists as far as files go.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) file: ClusterFile,
    /// None when somebody removed them from a cluster that is set up.
    pub(crate) credentials: Option<Credentials>,
    /// The name of the address block, held while a new cluster's HSMs start.
    _block: Option<Block>,
}

/// The folder's cluster if it is what is asked, or a new one.
pub(crate) fn cluster(folder: &StateFolder, settings: &Settings) -> Result<Cluster, ExpectedError> {
    let (file, block) = match ClusterFile::read(folder)? {
        Some(file) => {
            settings.check_cluster(&file)?;
            (file, None)
        }
        None if settings.clone_of.is_some() => {
            let (file, block) = clones::new_cluster(folder, settings)?;
            file.write(folder)?;
            (file, Some(block))
        }
        None => {
            let (file, block) = new_cluster(settings)?;
            file.write(folder)?;
            (file, Some(block))
        }
    };
    let credentials = match Credentials::read(folder)? {
        Some(kept) => {
            settings.check_credentials(&kept)?;
            Some(kept)
        }
        None if file.prepared => {
            settings.check_no_credentials()?;
            None
        }
        None if file.clone_of.is_some() => {
            let taken = clones::credentials(&file)?;
            taken.as_ref().map_or(Ok(()), |taken| taken.write(folder))?;
            taken
        }
        None => {
            let made = settings.credentials(random::fill);
            made.write(folder)?;
            Some(made)
        }
    };
    Ok(Cluster { file, credentials, _block: block })
}

fn new_cluster(settings: &Settings) -> Result<(ClusterFile, Block), ExpectedError> {
    let (hsms, block) = new_hsms(settings.hsms.unwrap_or(HSMS_DEFAULT))?;
    let new = NewCluster {
        cluster_id: ClusterId::from_random(random::bytes()),
        hsm_type: settings.hsm_type.unwrap_or(HsmType::Hsm2mMedium),
        mode: settings.mode.unwrap_or(ClusterMode::Fips),
        lease_ms: settings.lease_ms.unwrap_or(LEASE_MS_DEFAULT),
        password_iterations: settings.password_iterations.unwrap_or(PASSWORD_ITERATIONS_DEFAULT),
    };
    Ok((ClusterFile::new(new, hsms), block))
}

/// HSMs of a new cluster, each with an address that nobody has.
pub(crate) fn new_hsms(count: u8) -> Result<(Vec<HsmEntry>, Block), ExpectedError> {
    let block = addresses::take(count, HSM_PORT, random::bytes::<2>)?;
    let hsm = |(ip, zone): (_, &&str)| HsmEntry {
        hsm_id: HsmId::from_random(random::bytes()),
        ip,
        port: HSM_PORT,
        availability_zone: (*zone).to_owned(),
    };
    let hsms = block.addresses.iter().copied().zip(ZONES.iter().cycle()).map(hsm).collect();
    Ok((hsms, block))
}

/// The root key's file, folders, every HSM's configuration and the customer CA; a clone's store.
pub(crate) fn files(
    folder: &StateFolder,
    cluster: &ClusterFile,
    hsm_program: &Path,
    progress: &Progress,
) -> Result<(), ExpectedError> {
    let begins_as_clone = cluster.clone_of.is_some() && !cluster.prepared;
    if !begins_as_clone {
        check_store(folder, cluster)?;
        root_key(folder, hsm_program)?;
    }
    make_folder(&folder.store(), MODE_FOLDER)?;
    make_folder(&folder.hsms(), MODE_FOLDER)?;
    for hsm in &cluster.hsms {
        make_folder(&folder.hsm(&hsm.hsm_id), MODE_FOLDER)?;
        let content = configuration(cluster, hsm);
        let path = folder.hsm(&hsm.hsm_id).join("hsm.json");
        if !same_content(&path, &content)? {
            write_whole(&path, &content, MODE_SECRET, Durability::Disk)?;
        }
    }
    customer_ca(folder)?;
    let is_founded = has_state(folder) && fs::symlink_metadata(folder.root_key()).is_ok();
    if begins_as_clone && !is_founded {
        clones::found(folder, cluster, hsm_program, progress)?;
    }
    Ok(())
}

/// Whether HSMs have written state, which needs the root key and the CA that were there then.
fn has_state(folder: &StateFolder) -> bool {
    fs::symlink_metadata(folder.database()).is_ok()
}

impl StateFolder {
    /// The cluster's database, which HSMs make.
    pub(crate) fn database(&self) -> PathBuf {
        self.store().join("cluster.sqlite")
    }
}

/// A cluster that was ready once has a store, and a clone begins with one. HSMs that found none would make a new, empty
/// cluster in its place.
pub(crate) fn check_store(folder: &StateFolder, cluster: &ClusterFile) -> Result<(), StateError> {
    if (cluster.prepared || cluster.clone_of.is_some()) && !has_state(folder) {
        return Err(StateError::StoreMissing { path: folder.database() });
    }
    Ok(())
}

/// The root key is made by an HSM program and never read here. A key that is missing beside state that was sealed
/// under it is not replaced: the HSMs could not open that state with another one.
fn root_key(folder: &StateFolder, hsm_program: &Path) -> Result<(), ExpectedError> {
    let path = folder.root_key();
    if fs::symlink_metadata(&path).is_ok() {
        return Ok(());
    }
    if has_state(folder) {
        return Err(StateError::Missing { path }.into());
    }
    let temporary = temporary(&path);
    crate::state::remove_file(&temporary)?;
    let output = Command::new(hsm_program)
        .args(["init-root-key", "--path"])
        .arg(&temporary)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ProgramError::Start { path: hsm_program.to_owned(), source })?;
    if !output.status.success() {
        let said = &output.stderr[..output.stderr.len().min(SAID_LEN_MAX)];
        let said = String::from_utf8_lossy(said).trim().to_owned();
        return Err(ProgramError::RootKey { exit: Exit::from(output.status), said }.into());
    }
    fs::rename(&temporary, &path).map_err(|source| StateError::Io { action: "name the root key", path, source })?;
    Ok(sync_folder(folder.root())?)
}

/// `hsm.json`; paths are relative to the HSM's folder, so the state folder can be moved.
#[derive(Serialize)]
struct HsmConfiguration<'a> {
    format: u32,
    hsm_id: &'a str,
    cluster_id: &'a str,
    ip: String,
    port: u16,
    availability_zone: &'a str,
    mode: &'a str,
    hsm_type: &'a str,
    store: StoreConfiguration,
    root_key: &'static str,
    lease_ms: u64,
    password_iterations: u32,
}

#[derive(Serialize)]
struct StoreConfiguration {
    database: &'static str,
    members: &'static str,
}

fn configuration(cluster: &ClusterFile, hsm: &HsmEntry) -> Vec<u8> {
    let configuration = HsmConfiguration {
        format: 1,
        hsm_id: hsm.hsm_id.as_str(),
        cluster_id: cluster.cluster_id.as_str(),
        ip: hsm.ip.to_string(),
        port: hsm.port,
        availability_zone: &hsm.availability_zone,
        mode: cluster.mode.as_str(),
        hsm_type: cluster.hsm_type.as_str(),
        store: StoreConfiguration { database: "../../store/cluster.sqlite", members: "../../store/members" },
        root_key: "../../root.key",
        lease_ms: cluster.lease_ms,
        password_iterations: cluster.password_iterations,
    };
    let mut content = serde_json::to_vec_pretty(&configuration).expect("a struct of texts and numbers is JSON");
    content.push(b'\n');
    content
}

/// The CA that signs the cluster's certificate. Key and certificate appear together, because they are of one making.
fn customer_ca(folder: &StateFolder) -> Result<(), ExpectedError> {
    let ca = folder.ca();
    if fs::symlink_metadata(&ca).is_ok() {
        return Ok(());
    }
    if has_state(folder) {
        return Err(StateError::CustomerCaMissing { path: ca.join(CA_CERTIFICATE) }.into());
    }
    let made = CustomerCa::generate(clock::now_s());
    let temporary = temporary(&ca);
    let failed = |action| {
        let path = temporary.clone();
        move |source| StateError::Io { action, path, source }
    };
    if fs::symlink_metadata(&temporary).is_ok() {
        fs::remove_dir_all(&temporary).map_err(failed("remove"))?;
    }
    make_folder(&temporary, MODE_FOLDER)?;
    write_whole(&temporary.join(CA_KEY), made.key_pem().expose(), MODE_SECRET, Durability::Disk)?;
    write_whole(
        &temporary.join(CA_CERTIFICATE),
        made.certificate().to_pem().as_bytes(),
        MODE_PUBLIC,
        Durability::Disk,
    )?;
    fs::rename(&temporary, &ca).map_err(failed("name"))?;
    Ok(sync_folder(folder.root())?)
}

/// The CA's private key, in its folder. Needed until the cluster has its certificate; may be taken away after that.
pub(crate) const CA_KEY: &str = "customerCA.key";
/// The CA's certificate, in its folder.
pub(crate) const CA_CERTIFICATE: &str = "customerCA.crt";

/// The certificate that clients trust.
pub(crate) fn customer_ca_pem(folder: &StateFolder) -> Result<Vec<u8>, ExpectedError> {
    let path = folder.ca().join(CA_CERTIFICATE);
    match read_bounded(&path)? {
        Some(pem) => Ok(pem.to_vec()),
        None => Err(StateError::CustomerCaMissing { path }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_lost_is_not_made_anew() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(place.path()).expect("prepared");
        let settings = Settings { hsms: Some(1), ..Settings::default() };
        let (mut cluster, _block) = new_cluster(&settings).expect("a cluster");
        let nowhere = Path::new("/nonexistent/strongroom-hsm");
        // Before it was ready it may have none yet.
        assert!(matches!(
            files(&folder, &cluster, nowhere, &Progress::new(false)),
            Err(ExpectedError::Program(ProgramError::Start { .. }))
        ));
        cluster.prepared = true;
        match files(&folder, &cluster, nowhere, &Progress::new(false)) {
            Err(error @ ExpectedError::State(StateError::StoreMissing { .. })) => assert_eq!(error.exit_code(), 3),
            other => panic!("{other:?}"),
        }
        assert!(!folder.root_key().exists());
        make_folder(&folder.store(), MODE_FOLDER).expect("made");
        fs::write(folder.database(), "").expect("written");
        assert!(check_store(&folder, &cluster).is_ok());
    }
}

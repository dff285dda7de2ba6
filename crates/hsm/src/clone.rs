//! `strongroom-hsm clone`: founds a cluster with what another one's store holds.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::arguments::Clone;
use crate::cluster::cloning::{Founded, found_clone};
use crate::os;
use crate::run::{Failed, RunError};
use crate::settings::Settings;

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    cluster_id: String,
    /// What it began with.
    origin_cluster_id: String,
    origin_epoch: u64,
    origin_revision: u64,
    keys: usize,
    users: usize,
}

pub(crate) fn run(options: &Clone) -> Result<(), Failed> {
    let settings = |folder: &PathBuf| Settings::read(folder).map(|settings| settings.setup).map_err(RunError::from);
    let clone = settings(&options.folder)?;
    let origins = options.origin_folder.iter().map(settings).collect::<Result<Vec<_>, _>>()?;
    os::harden().map_err(RunError::Harden)?;
    let clock_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let founded = found_clone(&origins, &clone, u64::try_from(clock_ms).unwrap_or(u64::MAX)).map_err(RunError::from)?;
    let Founded { origin, keys, users } = founded;
    let report = Report {
        cluster_id: clone.cluster_id.to_string(),
        origin_cluster_id: origin.cluster.to_string(),
        origin_epoch: origin.epoch,
        origin_revision: origin.revision.0,
        keys,
        users,
    };
    let mut text = serde_json::to_string_pretty(&report).expect("a struct of texts and numbers is JSON");
    text.push('\n');
    let mut stdout = std::io::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    Ok(written.map_err(RunError::Print)?)
}

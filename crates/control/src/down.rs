//! `strongroom down`: the supervisor and its HSMs stop; also HSMs whose supervisor is gone.

use std::time::Duration;

use strongroom_types::HsmId;

use crate::arguments::Down;
use crate::error::{BusyError, ExpectedError, StateError};
use crate::processes::{self, ORDERLY_END_MAX, Process};
use crate::progress::Progress;
use crate::report::quoted;
use crate::state::{ClusterFile, HsmEntry, Running, StateFolder};
use crate::supervise::{self, CONTROL_SOCKET};

/// The supervisor gives its HSMs their time and then kills them, so it needs a little longer than they.
const SUPERVISOR_END_MAX: Duration = Duration::from_secs(8);

pub(crate) fn run(options: &Down) -> Result<String, ExpectedError> {
    let progress = Progress::new(true);
    let folder = StateFolder::existing(&options.state.folder)?;
    let _held = folder.hold_for_change(|| progress.step("waiting for another `up` or `down` on this folder"))?;
    let cluster =
        ClusterFile::read(&folder)?.ok_or_else(|| StateError::NoCluster { path: folder.root().to_owned() })?;
    let stopped = stop(&folder, &cluster)?;
    Ok(if stopped {
        let state = quoted(&folder.root().to_string_lossy());
        format!("{} is down; `strongroom up --state {state}` starts it again.\n", cluster.cluster_id)
    } else {
        format!("{} was not running.\n", cluster.cluster_id)
    })
}

/// Stops whatever runs of the cluster; whether anything did. The caller holds the folder for change.
pub(crate) fn stop(folder: &StateFolder, cluster: &ClusterFile) -> Result<bool, ExpectedError> {
    let mut stopped = false;
    if let Some((supervisor, _)) = supervise::find(folder)? {
        supervisor.terminate().map_err(system)?;
        end(&supervisor, "the supervisor", SUPERVISOR_END_MAX)?;
        stopped = true;
    }
    // Those whose supervisor was killed, now or before; what it wrote last knows one that does not listen yet.
    let before = Running::read(folder).ok().flatten();
    let mut left: Vec<(&HsmId, Process)> = Vec::new();
    for HsmEntry { hsm_id, .. } in &cluster.hsms {
        let record = before.as_ref().and_then(|before| before.hsm(hsm_id)?.process);
        let found = match processes::listener(&folder.hsm(hsm_id), CONTROL_SOCKET) {
            Ok(None) => record.map_or(Ok(None), |record| record.find()),
            found => found,
        };
        left.extend(found.map_err(system)?.map(|process| (hsm_id, process)));
    }
    for (_, process) in &left {
        process.terminate().map_err(system)?;
    }
    for (hsm, process) in &left {
        end(process, hsm.as_str(), ORDERLY_END_MAX)?;
        stopped = true;
    }
    Ok(stopped)
}

fn end(process: &Process, what: &str, patience: Duration) -> Result<(), ExpectedError> {
    if process.end(patience).map_err(system)? {
        return Ok(());
    }
    Err(BusyError::DoesNotEnd { what: what.to_owned(), pid: process.pid() }.into())
}

fn system(source: std::io::Error) -> ExpectedError {
    ExpectedError::System { action: "find or end a process", source }
}

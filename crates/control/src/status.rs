//! `strongroom status`: what runs, as the HSMs themselves say.

use strongroom_types::ClusterState;

use crate::arguments::{Output, Status};
use crate::error::{ExpectedError, StateError};
use crate::provision;
use crate::report::{HsmWork, Report, STATE_DEGRADED, STATE_DOWN};
use crate::state::{ClusterFile, Credentials, StateFolder};
use crate::up::pids;

pub(crate) fn run(options: &Status) -> Result<String, ExpectedError> {
    let folder = StateFolder::existing(&options.state.folder)?;
    let cluster =
        ClusterFile::read(&folder)?.ok_or_else(|| StateError::NoCluster { path: folder.root().to_owned() })?;
    let credentials = Credentials::read(&folder)?;
    let mut hsms = Vec::with_capacity(cluster.hsms.len());
    let mut said = Vec::with_capacity(cluster.hsms.len());
    for (hsm, pid) in cluster.hsms.iter().zip(pids(&folder, &cluster)?) {
        let state = match pid {
            Some(_) => provision::state(&folder, hsm)?,
            None => None,
        };
        let work = state.as_ref().map_or_else(HsmWork::default, |state| HsmWork {
            serving: state.serving,
            signatures: state.signatures,
            connections: state.connections,
            applied_revision: state.applied_revision,
            reason: if state.serving { state.reason.clone() } else { state.why() },
        });
        said.push(state.map(|state| (state.serving, state.cluster_state)));
        hsms.push((pid, Some(work)));
    }
    let report = Report::new(&folder, &cluster, credentials.as_ref(), state(&said), hsms);
    Ok(match options.output {
        Output::Json => report.json(),
        Output::Text => report.status_text(&folder, &cluster),
    })
}

/// The cluster's state from what each HSM says: whether it serves and where the cluster stands.
fn state(said: &[Option<(bool, ClusterState)>]) -> &'static str {
    // A member that is behind may still tell an earlier state.
    let order = |state: &ClusterState| match state {
        ClusterState::Uninitialized => 0,
        ClusterState::Initialized => 1,
        ClusterState::Active => 2,
    };
    match said.iter().flatten().map(|(_, state)| *state).max_by_key(order) {
        None => STATE_DOWN,
        Some(ClusterState::Active) if said.iter().any(|hsm| *hsm != Some((true, ClusterState::Active))) => {
            STATE_DEGRADED
        }
        Some(state) => state.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use ClusterState::{Active, Initialized, Uninitialized};

    use super::*;

    #[test]
    fn the_state_is_what_the_hsms_say() {
        let check = |said: &[Option<(bool, ClusterState)>], expected| assert_eq!(state(said), expected, "{said:?}");
        check(&[None, None], "DOWN");
        check(&[Some((false, Uninitialized)), None], "UNINITIALIZED");
        check(&[Some((true, Initialized)), Some((true, Initialized))], "INITIALIZED");
        check(&[Some((true, Active)), Some((true, Active))], "ACTIVE");
        check(&[Some((true, Active)), None], "DEGRADED");
        check(&[None, Some((false, Active))], "DEGRADED");
        check(&[Some((true, Active)), Some((true, Initialized))], "DEGRADED");
    }
}

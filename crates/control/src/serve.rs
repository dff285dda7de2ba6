//! `strongroom serve`: the supervisor's process.

use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::arguments::Serve;
use crate::error::{ExpectedError, StateError};
use crate::state::{ClusterFile, StateFolder};
use crate::supervise::{Launch, Requests, Supervisor};
use crate::{make, programs};

pub(crate) fn run(options: &Serve) -> Result<String, ExpectedError> {
    // Before anything else, so that no request to stop is lost or answered by dying.
    let requests = requests().map_err(|source| ExpectedError::System { action: "listen for signals", source })?;
    let folder = StateFolder::existing(&options.state.folder)?;
    let cluster =
        ClusterFile::read(&folder)?.ok_or_else(|| StateError::NoCluster { path: folder.root().to_owned() })?;
    make::check_store(&folder, &cluster)?;
    let launch = Launch::hsm(programs::hsm()?);
    let _held = folder.hold_for_serving()?;
    if options.detach {
        // A session of its own: closing the terminal that `up` ran in ends nothing. It fails only for the leader of a
        // process group, who is not that terminal's job in the way that matters here.
        let _ = rustix::process::setsid();
    }
    let hsms = cluster.hsms.into_iter().map(|hsm| hsm.hsm_id).collect();
    Supervisor::new(folder, launch, hsms)?.run(&requests)?;
    Ok(String::new())
}

fn requests() -> std::io::Result<Requests> {
    let (stop, stop_signals) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, stop_signals.try_clone()?)?;
    }
    let (hurry, hurry_signals) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGUSR1, hurry_signals)?;
    Ok(Requests { stop, hurry })
}

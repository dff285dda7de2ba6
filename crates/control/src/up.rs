//! `strongroom up`: a ready cluster in one command, however far an earlier one came.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use strongroom_types::ClusterState;

use crate::addresses;
use crate::arguments::{Output, Up};
use crate::error::{ExpectedError, HsmError, ProgramError};
use crate::processes::{self, Exit};
use crate::progress::Progress;
use crate::provision::{self, HsmState};
use crate::report::Report;
use crate::settings::Settings;
use crate::state::{ClusterFile, HsmEntry, Running, StateFolder, tail};
use crate::supervise::{self, CONTROL_SOCKET, reason};
use crate::watch::Deadline;
use crate::{down, home, make, programs};

/// How long an HSM may take until it serves.
const SERVING_SECONDS_MAX: u64 = 30;
/// How long the supervisor may take until it has its lock.
const SUPERVISOR_SECONDS_MAX: u64 = 10;
/// How long the others may take until one serves, after one could not.
const OTHERS_SECONDS_MAX: u64 = 10;
/// How often an HSM may end before `up` gives up waiting for it.
const ENDS_MAX: u64 = 3;

pub(crate) fn run(options: Up) -> Result<String, ExpectedError> {
    let begun = Instant::now();
    let progress = Progress::new(options.output == Output::Text);
    let settings = Settings::of(&options)?;
    let hsm_program = programs::hsm()?;
    let folder = StateFolder::prepare(&options.state.folder)?;
    let _held = folder.hold_for_change(|| progress.step("waiting for another `up` or `down` on this folder"))?;
    let mut cluster = make::cluster(&folder, &settings)?;
    progress.step(format_args!(
        "cluster {} ({}, {}) in {}",
        cluster.file.cluster_id,
        cluster.file.hsm_type,
        cluster.file.mode,
        folder.root().display()
    ));
    make::files(&folder, &cluster.file, &hsm_program, &progress)?;
    let mut started = start(&folder, &cluster.file, &progress)?;
    let mut provisioned = provision(&folder, &mut cluster, &started, &progress);
    if matches!(provisioned, Err(ExpectedError::Program(ProgramError::SupervisorGone { .. }))) {
        // One that was just being killed still seemed to be there.
        started = start(&folder, &cluster.file, &progress)?;
        provisioned = provision(&folder, &mut cluster, &started, &progress);
    }
    if let Err(error) = provisioned {
        settle_failure(&folder, &cluster.file, &started, &progress);
        return Err(error);
    }
    let ca_pem = make::customer_ca_pem(&folder)?;
    for note in home::prepare(&folder, &cluster.file, &ca_pem, &programs::folder()?)? {
        progress.note(note);
    }
    progress.step(format_args!("ready after {:.1} s\n", begun.elapsed().as_secs_f64()));
    let pids = pids(&folder, &cluster.file)?;
    let hsms = pids.into_iter().map(|pid| (pid, None)).collect();
    let credentials = cluster.credentials.as_ref();
    let report = Report::new(&folder, &cluster.file, credentials, ClusterState::Active.as_str(), hsms)
        .with_passwords(credentials);
    Ok(match options.output {
        Output::Json => report.json(),
        Output::Text => report.ready_text(&folder, &cluster.file),
    })
}

/// How the supervisor came to run.
enum Started {
    /// By this `up`.
    Here,
    /// Before; this is what it said then, before it was asked to start again what had ended.
    Before(Running),
}

impl Started {
    /// How often an HSM had ended when this `up` began to wait for it.
    fn ends(&self, hsm: &HsmEntry) -> u64 {
        match self {
            Started::Here => 0,
            Started::Before(running) => running.hsm(&hsm.hsm_id).map_or(0, |run| run.ends),
        }
    }
}

/// Sees to it that a supervisor runs and tries to start every HSM.
fn start(folder: &StateFolder, cluster: &ClusterFile, progress: &Progress) -> Result<Started, ExpectedError> {
    if let Some((supervisor, running)) = supervise::find(folder)? {
        if running.hsms.iter().any(|hsm| hsm.process.is_none()) {
            progress.step("asking the supervisor to start again what ended");
            supervisor.nudge().map_err(|source| ExpectedError::System { action: "signal the supervisor", source })?;
        }
        return Ok(Started::Before(running));
    }
    for (hsm, pid) in cluster.hsms.iter().zip(pids(folder, cluster)?) {
        if pid.is_none() {
            addresses::check_free(&hsm.hsm_id, hsm.address())?;
        }
    }
    let addresses: Vec<_> = cluster.hsms.iter().map(|hsm| hsm.address().to_string()).collect();
    progress.step(format_args!("starting {} on {}", count(cluster.hsms.len(), "HSM"), addresses.join(", ")));
    let supervisor = spawn_supervisor(folder)?;
    wait_for_supervisor(folder, supervisor)
}

fn spawn_supervisor(folder: &StateFolder) -> Result<Child, ExpectedError> {
    let program = programs::own()?;
    let failed = |source| ProgramError::Start { path: program.clone(), source };
    let log = supervise::open_log(&folder.serve_log()).map_err(failed)?;
    let log_again = log.try_clone().map_err(failed)?;
    let child = Command::new(&program)
        .args(["serve", "--detach", "--state"])
        .arg(folder.root())
        // It lives long: it shall hold neither the folder somebody worked in, nor a password from their environment.
        .current_dir("/")
        .env_remove("CLOUDHSM_PIN")
        .env_remove("DESTINATION_CLOUDHSM_PIN")
        .env_remove("n3fips_password")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_again)
        .spawn()
        .map_err(failed)?;
    Ok(child)
}

fn wait_for_supervisor(folder: &StateFolder, mut child: Child) -> Result<Started, ExpectedError> {
    let log = folder.serve_log();
    let deadline = Deadline::after_seconds(SUPERVISOR_SECONDS_MAX);
    loop {
        if folder.is_watched()?
            && let Some(running) = Running::read(folder)?
            && running.process.pid == child.id()
        {
            return Ok(Started::Here);
        }
        let ended = child.try_wait().map_err(|source| ExpectedError::System { action: "wait for a child", source })?;
        if let Some(status) = ended {
            // One that an earlier `up` had begun to start before it was killed may have come first.
            if let Some((_, running)) = supervise::find(folder)? {
                return Ok(Started::Before(running));
            }
            let tail = tail(&log);
            return Err(ProgramError::Supervisor { exit: Exit::from(status), log, tail }.into());
        }
        if !deadline.pause() {
            return Err(ProgramError::SupervisorSilent { seconds: SUPERVISOR_SECONDS_MAX, log }.into());
        }
    }
}

/// Certificate, activation and crypto user, whichever is missing, until every HSM serves.
fn provision(
    folder: &StateFolder,
    cluster: &mut make::Cluster,
    started: &Started,
    progress: &Progress,
) -> Result<(), ExpectedError> {
    let states = wait_for_hsms(folder, &cluster.file, started, |_| true)?;
    if let Some(index) = states.iter().position(|state| state.cluster_state == ClusterState::Uninitialized) {
        progress.step("signing the cluster's certificate with the customer CA");
        provision::install_certificate(folder, &cluster.file.hsms[index])?;
    }
    let states = wait_for_hsms(folder, &cluster.file, started, |state| {
        state.serving && state.cluster_state != ClusterState::Uninitialized
    })?;
    if !cluster.file.prepared && cluster.file.clone_of.is_some() {
        // It has its origin's users.
        cluster.file.prepared = true;
        cluster.file.write(folder)?;
    } else if let (false, Some(credentials)) = (cluster.file.prepared, &cluster.credentials) {
        let active = states.iter().any(|state| state.cluster_state == ClusterState::Active);
        progress.step(format_args!("making admin and crypto user {}", credentials.crypto_user.name));
        provision::make_users(folder, &cluster.file, credentials, active)?;
        cluster.file.prepared = true;
        cluster.file.write(folder)?;
    }
    let active = |state: &HsmState| state.serving && state.cluster_state == ClusterState::Active;
    wait_for_hsms(folder, &cluster.file, started, active)?;
    Ok(())
}

/// Waits until each HSM's state is as wanted. Fails at once when one ended and will not come back by itself.
fn wait_for_hsms(
    folder: &StateFolder,
    cluster: &ClusterFile,
    started: &Started,
    wanted: impl Fn(&HsmState) -> bool,
) -> Result<Vec<HsmState>, ExpectedError> {
    let deadline = Deadline::after_seconds(SERVING_SECONDS_MAX);
    let mut states = Vec::with_capacity(cluster.hsms.len());
    for hsm in &cluster.hsms {
        loop {
            let asked = provision::state(folder, hsm)?;
            if let Some(state) = &asked
                && wanted(state)
            {
                states.extend(asked);
                break;
            }
            if asked.is_none() {
                check_ended(folder, hsm, started)?;
                if !folder.is_watched()? {
                    return Err(ProgramError::SupervisorGone { log: folder.serve_log() }.into());
                }
            }
            if !deadline.pause() {
                let reason = asked.map_or("it does not answer".to_owned(), |state| state.why());
                let log = folder.hsm_log(&hsm.hsm_id);
                let hsm = hsm.hsm_id.clone();
                return Err(HsmError::NotServing { hsm, seconds: SERVING_SECONDS_MAX, reason, log }.into());
            }
        }
    }
    Ok(states)
}

/// Fails when the supervisor has seen the HSM end for a reason that stays, or often.
fn check_ended(folder: &StateFolder, hsm: &HsmEntry, started: &Started) -> Result<(), ExpectedError> {
    let Some(running) = Running::read(folder)? else { return Ok(()) };
    let Some(run) = running.hsm(&hsm.hsm_id) else { return Ok(()) };
    let Some(exit) = run.last_end else { return Ok(()) };
    let ends = run.ends.saturating_sub(started.ends(hsm));
    let hopeless = ends > 0 && run.process.is_none() && reason(exit).is_some();
    if hopeless || ends >= ENDS_MAX {
        let log = folder.hsm_log(&hsm.hsm_id);
        let tail = tail(&log);
        return Err(HsmError::Ended { hsm: hsm.hsm_id.clone(), exit, log, tail }.into());
    }
    Ok(())
}

/// A failed `up` leaves nothing running that it started, unless that serves clients: then a part is better than none.
fn settle_failure(folder: &StateFolder, cluster: &ClusterFile, started: &Started, progress: &Progress) {
    if matches!(started, Started::Before(_)) {
        return;
    }
    if some_serve(folder, cluster) {
        progress.note("the other HSMs go on serving; `strongroom down` stops them");
    } else if let Err(error) = down::stop(folder, cluster) {
        progress.note(format_args!("what was started could not be stopped: {error}"));
    }
}

/// Whether an HSM serves clients. One of a cluster that was ready before may be on its way while another has refused to
/// start.
fn some_serve(folder: &StateFolder, cluster: &ClusterFile) -> bool {
    let serves = |hsm: &HsmEntry| {
        let state = provision::state(folder, hsm).ok().flatten();
        state.is_some_and(|state| state.serving && state.cluster_state == ClusterState::Active)
    };
    let deadline = Deadline::after_seconds(OTHERS_SECONDS_MAX);
    loop {
        if cluster.hsms.iter().any(serves) {
            return true;
        }
        let running = Running::read(folder).ok().flatten();
        let some_run = running.is_some_and(|running| running.hsms.iter().any(|hsm| hsm.process.is_some()));
        if !cluster.prepared || !some_run || !deadline.pause() {
            return false;
        }
    }
}

/// The processes of the HSMs that run.
pub(crate) fn pids(folder: &StateFolder, cluster: &ClusterFile) -> Result<Vec<Option<u32>>, ExpectedError> {
    let pid = |hsm: &HsmEntry| {
        let found = processes::listener(&folder.hsm(&hsm.hsm_id), CONTROL_SOCKET)?;
        Ok(found.map(|process| process.pid()))
    };
    let found: std::io::Result<_> = cluster.hsms.iter().map(pid).collect();
    found.map_err(|source| ExpectedError::System { action: "ask who listens on an HSM's control socket", source })
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("one {what}") } else { format!("{number} {what}s") }
}

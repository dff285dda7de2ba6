//! `strongroom-hsm accept-rollback`: what is to be known about a stopped cluster's store, and its acceptance.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use strongroom_core::Rollback;
use strongroom_core::member::AnchorFound;
use strongroom_types::Revision;

use crate::arguments::AcceptRollback;
use crate::cluster::rollback::{Accepted, Considered, Findings, Who};
use crate::log::{Log, time_text};
use crate::os;
use crate::run::{Failed, LOG, RunError};
use crate::settings::Settings;

/// Where the kernel keeps the user who logged in: it stays through `su` and `sudo`.
const LOGIN_UID: &str = "/proc/self/loginuid";

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    cluster_id: String,
    /// The store's.
    epoch: u64,
    revision: u64,
    written_ms: u64,
    /// The time now.
    now_ms: u64,
    keys: usize,
    users: usize,
    hsms: Vec<HsmReport>,
    /// Whether there is anything to accept, or was.
    withheld: bool,
    accepted: Option<AcceptedReport>,
}

#[derive(Debug, Serialize)]
struct HsmReport {
    hsm_id: String,
    /// `seen`, `damaged`, `missing` or `new`.
    anchor: &'static str,
    /// What was seen; null unless `anchor` is `seen`.
    epoch: Option<u64>,
    revision: Option<u64>,
    /// Why this HSM does not start on the store.
    withheld: Option<String>,
}

#[derive(Debug, Serialize)]
struct AcceptedReport {
    epoch: u64,
    revision: u64,
    /// The database of before.
    kept: PathBuf,
}

/// Looks, and accepts when a revision is named.
pub(crate) fn run(options: &AcceptRollback) -> Result<(), Failed> {
    let settings = options.folder.iter().map(|folder| Settings::read(folder));
    let settings = settings.collect::<Result<Vec<Settings>, _>>().map_err(RunError::from)?;
    os::harden().map_err(RunError::Harden)?;
    let setups: Vec<_> = settings.iter().map(|settings| settings.setup.clone()).collect();
    let considered = Considered::open(&setups).map_err(RunError::from)?;
    let findings = considered.findings().clone();
    let now_ms = now_ms();
    let accepted = match options.revision {
        None => None,
        Some(named) => Some(considered.accept(Revision(named), who(), now_ms).map_err(RunError::from)?),
    };
    if let Some(accepted) = &accepted {
        say(&settings, &accepted.event);
    }
    let report = Report::new(&findings, accepted, now_ms);
    let mut text = serde_json::to_string_pretty(&report).expect("a struct of texts and numbers is JSON");
    text.push('\n');
    let mut stdout = std::io::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    Ok(written.map_err(RunError::Print)?)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The user of this process.
fn who() -> Who {
    // The highest number is that of nobody: who was started with the machine, and not by somebody who logged in.
    let login_uid = std::fs::read_to_string(LOGIN_UID).ok().and_then(|text| text.trim().parse().ok());
    Who { uid: rustix::process::getuid().as_raw(), login_uid: login_uid.filter(|uid| *uid != u32::MAX) }
}

/// Into the log of every HSM. The record is what counts: a log that cannot be written keeps nothing back.
fn say(settings: &[Settings], event: &Rollback) {
    let text = event_text(event);
    for settings in settings {
        if let Ok(log) = Log::open(&settings.folder.join(LOG)) {
            log.warn(format_args!("{text}"));
        }
    }
}

/// A rollback as logs tell it.
pub(crate) fn event_text(event: &Rollback) -> String {
    let by = match event.login_uid {
        Some(login_uid) => format!("uid {} (logged in as uid {login_uid})", event.uid),
        None => format!("uid {}", event.uid),
    };
    let seen = event.found.iter().map(|(hsm, found)| match found {
        AnchorFound::Seen(anchor) => format!("{hsm} revision {} of epoch {}", anchor.revision, anchor.epoch),
        AnchorFound::Damaged => format!("{hsm} nobody knows what (its anchor was damaged)"),
        AnchorFound::Missing => format!("{hsm} nobody knows what (its anchor was missing)"),
        AnchorFound::New => format!("{hsm} nothing"),
    });
    format!(
        "ROLLBACK ACCEPTED at {} by {by}: epoch {} begins at revision {} with the store of revision {} of epoch {}, \
         written at {}; HSMs had seen: {}",
        time_text(event.time_ms),
        event.epoch,
        event.revision,
        event.accepted.revision,
        event.accepted.epoch,
        time_text(event.accepted_ms),
        seen.collect::<Vec<_>>().join(", "),
    )
}

impl Report {
    fn new(findings: &Findings, accepted: Option<Accepted>, now_ms: u64) -> Report {
        Report {
            cluster_id: findings.cluster_id.to_string(),
            epoch: findings.store.epoch,
            revision: findings.store.revision.0,
            written_ms: findings.written_ms,
            now_ms,
            keys: findings.keys,
            users: findings.users,
            hsms: findings.hsms.iter().map(|(hsm, found)| HsmReport::new(hsm.to_string(), found, findings)).collect(),
            withheld: findings.is_withheld(),
            accepted: accepted.map(|Accepted { event, kept }| AcceptedReport {
                epoch: event.epoch,
                revision: event.revision.0,
                // As it is found by whoever was not in an HSM's folder.
                kept: kept.canonicalize().unwrap_or(kept),
            }),
        }
    }
}

impl HsmReport {
    fn new(hsm_id: String, found: &AnchorFound, findings: &Findings) -> HsmReport {
        let (anchor, seen) = match found {
            AnchorFound::Seen(anchor) => ("seen", Some(anchor)),
            AnchorFound::Damaged => ("damaged", None),
            AnchorFound::Missing => ("missing", None),
            AnchorFound::New => ("new", None),
        };
        HsmReport {
            hsm_id,
            anchor,
            epoch: seen.map(|seen| seen.epoch),
            revision: seen.map(|seen| seen.revision.0),
            withheld: found.check(&findings.store).err().map(|withheld| withheld.to_string()),
        }
    }
}

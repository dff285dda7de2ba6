//! `strongroom accept-rollback`: what accepting a store would lose, and its acceptance. The HSM program does both, because
//! it alone has the keys.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::arguments::{AcceptRollback, Output};
use crate::clock;
use crate::error::{BusyError, ExpectedError, ProgramError, RollbackError, StateError};
use crate::processes::Exit;
use crate::progress::Progress;
use crate::report::quoted;
use crate::state::{ClusterFile, StateFolder};
use crate::up::pids;
use crate::{make, programs};

/// What the HSM program prints (`crates/hsm/src/accept_rollback.rs`), and what `--output json` prints again.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    cluster_id: String,
    epoch: u64,
    revision: u64,
    written_ms: u64,
    now_ms: u64,
    keys: u64,
    users: u64,
    hsms: Vec<HsmReport>,
    withheld: bool,
    accepted: Option<Accepted>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HsmReport {
    hsm_id: String,
    anchor: String,
    epoch: Option<u64>,
    revision: Option<u64>,
    withheld: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Accepted {
    epoch: u64,
    revision: u64,
    kept: PathBuf,
}

pub(crate) fn run(options: &AcceptRollback) -> Result<String, ExpectedError> {
    let progress = Progress::new(options.output == Output::Text);
    let hsm_program = programs::hsm()?;
    let folder = StateFolder::existing(&options.state.folder)?;
    let _held = folder.hold_for_change(|| progress.step("waiting for another `up` or `down` on this folder"))?;
    let cluster =
        ClusterFile::read(&folder)?.ok_or_else(|| StateError::NoCluster { path: folder.root().to_owned() })?;
    check_stopped(&folder, &cluster)?;
    // An HSM's folder that was lost comes back without an anchor, which is one thing to accept.
    make::files(&folder, &cluster, &hsm_program, &progress)?;
    let mut command = Command::new(&hsm_program);
    command.arg("accept-rollback");
    for hsm in &cluster.hsms {
        command.arg("--folder").arg(folder.hsm(&hsm.hsm_id));
    }
    if let Some(revision) = options.revision {
        command.args(["--revision", &revision.to_string()]);
    }
    let started = command.stdin(Stdio::null()).output();
    let output = started.map_err(|source| ProgramError::Start { path: hsm_program.clone(), source })?;
    if !output.status.success() {
        return Err(refusal(Exit::from(output.status), &output.stderr).into());
    }
    let report: Report = serde_json::from_slice(&output.stdout)
        .map_err(|_| ProgramError::Answer { path: hsm_program, what: "accept-rollback" })?;
    Ok(match options.output {
        Output::Json => serde_json::to_string_pretty(&report).expect("a struct of texts and numbers is JSON") + "\n",
        Output::Text => report.text(&quoted(&folder.root().to_string_lossy())),
    })
}

/// Refuses while anything of the cluster runs, as far as is known here; the HSM program knows for sure.
fn check_stopped(folder: &StateFolder, cluster: &ClusterFile) -> Result<(), ExpectedError> {
    if folder.is_watched()? {
        return Err(BusyError::Running { what: "its supervisor".to_owned() }.into());
    }
    for (hsm, pid) in cluster.hsms.iter().zip(pids(folder, cluster)?) {
        if let Some(pid) = pid {
            return Err(BusyError::Running { what: format!("{} (process {pid})", hsm.hsm_id) }.into());
        }
    }
    Ok(())
}

fn refusal(exit: Exit, stderr: &[u8]) -> RollbackError {
    let said = programs::said_by_hsm(stderr);
    if said.is_empty() { RollbackError::Silent { exit } } else { RollbackError::Refused { said } }
}

impl Report {
    fn text(&self, state: &str) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = match &self.accepted {
            Some(accepted) => self.write_accepted(&mut text, accepted, state),
            None => self.write_findings(&mut text, state),
        };
        text
    }

    fn write_findings(&self, text: &mut String, state: &str) -> std::fmt::Result {
        let title = if self.withheld { "HSMs do not start on this store." } else { "There is nothing to accept." };
        writeln!(text, "{title}\n")?;
        let mut line = |name: &str, value: &str| writeln!(text, "  {name:<15}  {value}");
        line("cluster", &self.cluster_id)?;
        line(
            "store",
            &format!(
                "{}, written {} ({} ago): {}, {}",
                place(self.epoch, self.revision),
                clock::text_of_ms(self.written_ms),
                duration(self.now_ms.saturating_sub(self.written_ms)),
                count(self.users, "user"),
                count(self.keys, "key"),
            ),
        )?;
        for hsm in &self.hsms {
            line(&hsm.hsm_id, &hsm.line(self))?;
        }
        if !self.withheld {
            return writeln!(
                text,
                "\nNo HSM has seen a newer store. `strongroom up --state {state}` starts the cluster."
            );
        }
        write!(
            text,
            "
If there is a newer copy of the store, or of an anchor that is missing or damaged, put that back instead.

Whoever accepts this store gives up for ever what came after its revision {revision}: users, keys and passwords made since
are lost. And what was taken away since is back: deleted keys and users, old passwords, ended shares. All logins and
session keys end. The event is kept in the cluster and said in every HSM's log.

  strongroom accept-rollback --state {state} --revision {revision}
",
            revision = self.revision,
        )
    }

    fn write_accepted(&self, text: &mut String, accepted: &Accepted, state: &str) -> std::fmt::Result {
        write!(
            text,
            "Accepted. {} begins epoch {} at revision {} with what it held at {}.

All logins and session keys of before have ended. The store of before is kept as
  {}
Start the cluster with
  strongroom up --state {state}
",
            self.cluster_id,
            accepted.epoch,
            accepted.revision,
            place(self.epoch, self.revision),
            accepted.kept.display(),
        )
    }
}

impl HsmReport {
    fn line(&self, report: &Report) -> String {
        match (self.anchor.as_str(), self.epoch, self.revision, &self.withheld) {
            ("seen", Some(epoch), Some(revision), None) => format!("has seen {}: starts", place(epoch, revision)),
            ("seen", Some(epoch), Some(revision), Some(_)) => {
                let more = revision.saturating_sub(report.revision);
                let missing = match (epoch == report.epoch, more) {
                    (true, 0) => "another history than the store's".to_owned(),
                    (true, more) => format!("at least {} more than the store holds", count(more, "revision")),
                    (false, _) => "a later epoch than the store's".to_owned(),
                };
                format!("has seen {}: {missing}", place(epoch, revision))
            }
            ("missing", ..) => "its anchor is missing: nobody knows what it has seen".to_owned(),
            ("damaged", ..) => "its anchor is damaged: nobody knows what it has seen".to_owned(),
            _ => "has not been a member of the cluster as this store has it".to_owned(),
        }
    }
}

fn place(epoch: u64, revision: u64) -> String {
    format!("revision {revision} of epoch {epoch}")
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// In the largest unit that fits twice.
fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60)];
    let fits = units.into_iter().find(|(_, len)| seconds >= 2 * len);
    let (unit, len) = fits.unwrap_or(("second", 1));
    count(seconds / len, unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        let hsm = |hsm_id: &str, anchor: &str, seen: Option<(u64, u64)>, withheld: bool| HsmReport {
            hsm_id: hsm_id.to_owned(),
            anchor: anchor.to_owned(),
            epoch: seen.map(|(epoch, _)| epoch),
            revision: seen.map(|(_, revision)| revision),
            withheld: withheld.then(|| "why".to_owned()),
        };
        Report {
            cluster_id: "cluster-abcdefghijk".to_owned(),
            epoch: 1,
            revision: 300,
            written_ms: 951_782_399_007,
            now_ms: 951_782_399_007 + 7 * 86_400_000,
            keys: 1,
            users: 3,
            hsms: vec![
                hsm("hsm-aaaaaaaaaaa", "seen", Some((1, 512)), true),
                hsm("hsm-bbbbbbbbbbb", "seen", Some((1, 300)), true),
                hsm("hsm-ccccccccccc", "seen", Some((2, 9)), true),
                hsm("hsm-ddddddddddd", "missing", None, true),
                hsm("hsm-eeeeeeeeeee", "damaged", None, true),
                hsm("hsm-fffffffffff", "new", None, false),
                hsm("hsm-ggggggggggg", "seen", Some((1, 299)), false),
            ],
            withheld: true,
            accepted: None,
        }
    }

    #[test]
    fn what_would_be_lost_is_said_before_anything_is() {
        let text = report().text("./a");
        for expected in [
            "HSMs do not start on this store.",
            "revision 300 of epoch 1, written 2000-02-28T23:59:59.007Z (7 days ago): 3 users, 1 key",
            "hsm-aaaaaaaaaaa  has seen revision 512 of epoch 1: at least 212 revisions more than the store holds",
            "hsm-bbbbbbbbbbb  has seen revision 300 of epoch 1: another history",
            "hsm-ccccccccccc  has seen revision 9 of epoch 2: a later epoch",
            "hsm-ddddddddddd  its anchor is missing",
            "hsm-eeeeeeeeeee  its anchor is damaged",
            "hsm-fffffffffff  has not been a member",
            "hsm-ggggggggggg  has seen revision 299 of epoch 1: starts",
            "strongroom accept-rollback --state ./a --revision 300\n",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn nothing_to_accept_names_no_way_to_accept_it() {
        let text = Report { withheld: false, ..report() }.text("./a");
        assert!(text.contains("There is nothing to accept.") && !text.contains("--revision"), "{text}");
    }

    #[test]
    fn what_was_accepted_is_said_with_where_the_old_store_is() {
        let kept = PathBuf::from("/state/store/cluster.sqlite.before-rollback-300");
        let accepted = Some(Accepted { epoch: 2, revision: 1_000_000_000, kept });
        let text = Report { accepted, ..report() }.text("./a");
        assert!(text.contains("begins epoch 2 at revision 1000000000 with what it held at revision 300 of epoch 1"));
        assert!(text.contains("/state/store/cluster.sqlite.before-rollback-300\n") && text.contains("up --state ./a"));
    }

    #[test]
    fn what_the_hsm_program_prints_is_printed_again() {
        let json = json!({
            "cluster_id": "cluster-abcdefghijk", "epoch": 1, "revision": 300, "written_ms": 5, "now_ms": 7, "keys": 1,
            "users": 3, "hsms": [{ "hsm_id": "hsm-aaaaaaaaaaa", "anchor": "missing", "epoch": null, "revision": null,
            "withheld": "why" }], "withheld": true, "accepted": null
        });
        let report: Report = serde_json::from_value(json.clone()).expect("as it is printed");
        assert_eq!(serde_json::to_value(report).expect("JSON"), json);
    }

    #[test]
    fn durations_are_in_the_largest_unit_that_fits_twice() {
        let check = |ms, expected: &str| assert_eq!(duration(ms), expected);
        check(0, "0 seconds");
        check(1_999, "1 second");
        check(119_000, "119 seconds");
        check(120_000, "2 minutes");
        check(7_200_000, "2 hours");
        check(172_799_000, "47 hours");
        check(172_800_000, "2 days");
    }
}

//! What is done to the HSMs.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use strongroom_tests::{World, kill};

use crate::crew::Crew;
use crate::place::Place;
use crate::random::Random;
use crate::recorder::Recorder;

/// A member's lease in this cluster, in milliseconds.
pub const LEASE_MS: u64 = 2_000;
/// Between two looks at the clock while a fault lasts.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that a full disk may have left.
const LEFT_MAX: usize = 96 * 1024;

/// Does things to the HSMs until `until`.
pub struct Nemesis<'a> {
    pub world: &'a World,
    pub recorder: &'a Recorder,
    pub crew: &'a Crew,
    pub place: &'a Place,
    pub random: Random,
    /// How often each fault was there.
    pub faults: std::collections::BTreeMap<&'static str, u32>,
}

/// A process that may be gone.
struct Target {
    hsm: String,
    handle: rustix::fd::OwnedFd,
}

impl Nemesis<'_> {
    /// One fault after another, with pauses in which the cluster may recover, or not.
    pub fn work(&mut self, until: Instant) {
        while Instant::now() < until && !self.crew.stops() {
            if let Err(error) = self.strike(until) {
                self.recorder.note(format!("a fault that did not come about: {error:#}"));
            }
            let pause =
                if self.random.chance(30) { self.random.millis(50, 500) } else { self.random.millis(500, 4_000) };
            wait(pause, until);
            if self.random.chance(50) {
                // As `strongroom up` does: what was killed is started at once, where the supervisor would wait for up to 5 s.
                kill("USR1", self.world.supervisor_pid());
            }
        }
    }

    fn strike(&mut self, until: Instant) -> anyhow::Result<()> {
        let can_fill = matches!(self.place, Place::Own(_));
        match self.random.below(100) {
            0..20 => self.kill(1),
            20..25 => self.kill(3),
            25..40 => self.stop_and_kill(until),
            40..57 => self.stop((20, LEASE_MS * 3 / 4), "SIGSTOP, shorter than the lease", until),
            57..75 => self.stop((LEASE_MS * 5 / 4, LEASE_MS * 4), "SIGSTOP, longer than the lease", until),
            _ if can_fill => self.fill(until),
            _ => self.kill(1),
        }
    }

    fn counted(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    fn kill(&mut self, count: usize) -> anyhow::Result<()> {
        let mut targets = targets(self.world)?;
        while targets.len() > count {
            targets.remove(self.random.below(targets.len()));
        }
        for target in &targets {
            self.recorder.note(format!("kill -9 of {}", target.hsm));
            // One that has just ended by itself is no worse.
            let _ = pidfd_send_signal(&target.handle, Signal::KILL);
            self.counted("kill -9");
        }
        Ok(())
    }

    fn stop(&mut self, (least, most): (u64, u64), fault: &'static str, until: Instant) -> anyhow::Result<()> {
        let mut targets = targets(self.world)?;
        let keep = if self.random.chance(20) { 2 } else { 1 };
        while targets.len() > keep {
            targets.remove(self.random.below(targets.len()));
        }
        if targets.is_empty() {
            return Ok(());
        }
        let time = self.random.millis(least, most);
        let names: Vec<&str> = targets.iter().map(|target| target.hsm.as_str()).collect();
        self.recorder.note(format!("SIGSTOP of {} for {} ms", names.join(" and "), time.as_millis()));
        for target in &targets {
            let _ = pidfd_send_signal(&target.handle, Signal::STOP);
            self.counted(fault);
        }
        wait(time, until);
        for target in &targets {
            // The others may have killed it.
            let _ = pidfd_send_signal(&target.handle, Signal::CONT);
        }
        self.recorder.note(format!("SIGCONT of {}", names.join(" and ")));
        Ok(())
    }

    /// Kills one while the changes that it has made wait for another one, which is stopped: their clients repeat them.
    fn stop_and_kill(&mut self, until: Instant) -> anyhow::Result<()> {
        let mut targets = targets(self.world)?;
        while targets.len() > 2 {
            targets.remove(self.random.below(targets.len()));
        }
        let [stopped, killed] = &targets[..] else { return self.kill(1) };
        let (before, after) = (self.random.millis(5, LEASE_MS / 2), self.random.millis(5, LEASE_MS));
        self.recorder.note(format!(
            "SIGSTOP of {}, after {} ms kill -9 of {}, SIGCONT after {} ms",
            stopped.hsm,
            before.as_millis(),
            killed.hsm,
            after.as_millis()
        ));
        let _ = pidfd_send_signal(&stopped.handle, Signal::STOP);
        wait(before, until);
        let _ = pidfd_send_signal(&killed.handle, Signal::KILL);
        self.counted("kill -9 while another is stopped");
        wait(after, until);
        let _ = pidfd_send_signal(&stopped.handle, Signal::CONT);
        Ok(())
    }

    fn fill(&mut self, until: Instant) -> anyhow::Result<()> {
        let left = if self.random.chance(50) { 0 } else { self.random.below(LEFT_MAX) };
        let ballast = self.place.fill(left)?;
        self.counted("full disk");
        let time = self.random.millis(300, 5_000);
        self.recorder.note(format!("the disk is full but for {left} bytes, for {} ms", time.as_millis()));
        let also = self.random.below(100);
        wait(time / 2, until);
        match also {
            0..25 => self.kill(1)?,
            25..40 => self.stop((20, LEASE_MS * 2), "SIGSTOP on a full disk", until)?,
            _ => {}
        }
        wait(time / 2, until);
        drop(ballast);
        self.recorder.note("the disk has room again".to_owned());
        Ok(())
    }
}

fn wait(time: Duration, until: Instant) {
    let deadline = until.min(Instant::now() + time);
    while Instant::now() < deadline {
        std::thread::sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
    }
}

/// The HSMs that run, in the order of their ids.
fn targets(world: &World) -> anyhow::Result<Vec<Target>> {
    let hsms = hsms(world)?;
    let targets = hsms.into_iter().filter_map(|(hsm, pid)| {
        let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Target { hsm, handle })
    });
    Ok(targets.collect())
}

/// Id and process id of each HSM that runs now.
pub fn hsms(world: &World) -> anyhow::Result<Vec<(String, i32)>> {
    let mut command: Command = world.strongroom("status");
    let output = command.args(["--output", "json"]).output().context("`strongroom status`")?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`strongroom status` said {}", String::from_utf8_lossy(&output.stderr).trim()))?;
    let hsms = status["hsms"].as_array().context("`strongroom status` lists no HSMs")?;
    let running = hsms.iter().filter_map(|hsm| {
        let id = hsm["hsm_id"].as_str()?;
        Some((id.to_owned(), i32::try_from(hsm["pid"].as_i64()?).ok()?))
    });
    let mut running: Vec<(String, i32)> = running.collect();
    running.sort();
    Ok(running)
}

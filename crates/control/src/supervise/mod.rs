//! The supervisor: one process a cluster that keeps the HSMs of this host running.
//!
//! * An HSM does not need it: HSMs go on serving when the supervisor dies. The next one finds those that run by their
//!   control sockets and adopts them.
//! * An HSM that ends is started again after a pause that grows; nothing else is ever done about it. Why it ended is in
//!   its own log.
//! * Asked to stop (SIGTERM, SIGINT, SIGHUP), it stops the HSMs and ends. SIGUSR1 cuts pauses short.

mod pauses;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use strongroom_types::HsmId;

use crate::clock;
use crate::error::{BusyError, ExpectedError, StateError};
use crate::processes::{self, Exit, ORDERLY_END_MAX, Process, ProcessRecord};
use crate::progress::describe;
use crate::state::{HsmRun, MODE_SECRET, Running, StateFolder};
use crate::watch::Deadline;

pub use pauses::{PAUSE_FIRST, PAUSE_MAX, Pauses, SOUND_LIFE, reason};

/// The socket on which an HSM takes the appliance user's requests, in its folder.
pub const CONTROL_SOCKET: &str = "control.sock";
/// How long a repeated failure of one HSM is not logged again.
const SAME_END_QUIET: Duration = Duration::from_secs(60);
/// How long a process that was told to end, or an HSM that was adopted, may be looked for.
const SUPERVISOR_FOUND_MAX_SECONDS: u64 = 2;

/// How an HSM is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments for an HSM's folder.
    pub arguments: fn(&Path) -> Vec<OsString>,
}

impl Launch {
    /// `strongroom-hsm run --folder FOLDER`.
    pub fn hsm(program: PathBuf) -> Launch {
        Launch { program, arguments: |folder| vec!["run".into(), "--folder".into(), folder.into()] }
    }
}

/// What ends or hurries a supervisor: a byte (or the end) on one of two streams.
#[derive(Debug)]
pub struct Requests {
    /// Stop the HSMs and end.
    pub stop: UnixStream,
    /// Start now what waits for the end of its pause.
    pub hurry: UnixStream,
}

/// The HSMs of one cluster on this host, watched.
#[derive(Debug)]
pub struct Supervisor {
    folder: StateFolder,
    launch: Launch,
    own: ProcessRecord,
    hsms: Vec<Watched>,
    reported: Option<Running>,
}

#[derive(Debug)]
struct Watched {
    hsm: HsmId,
    life: Life,
    /// Its process under the supervisor before this one.
    left_behind: Option<ProcessRecord>,
    pauses: Pauses,
    ends: u64,
    last_end: Option<Exit>,
    logged: Option<(Exit, Instant)>,
}

#[derive(Debug)]
enum Life {
    /// `child` is none for one that was adopted.
    Runs {
        process: Process,
        record: Option<ProcessRecord>,
        child: Option<Child>,
        since: Instant,
    },
    Rests {
        until: Instant,
    },
}

impl Life {
    fn runs(process: Process, child: Option<Child>) -> Life {
        // None if it has ended already, which the next wait will tell.
        let record = ProcessRecord::of(process.pid()).ok();
        Life::Runs { process, record, child, since: Instant::now() }
    }
}

impl Supervisor {
    /// A supervisor of these HSMs, which starts or adopts each at once when it runs.
    pub fn new(folder: StateFolder, launch: Launch, hsms: Vec<HsmId>) -> Result<Supervisor, ExpectedError> {
        let own = ProcessRecord::of(std::process::id())
            .map_err(|source| ExpectedError::System { action: "read this process's entry in /proc", source })?;
        // What the supervisor before this one watched: an HSM may still be on its way to its control socket.
        let before = Running::read(&folder).ok().flatten();
        let until = Instant::now();
        let watch = |hsm| Watched {
            life: Life::Rests { until },
            left_behind: before.as_ref().and_then(|before| before.hsm(&hsm)?.process),
            hsm,
            pauses: Pauses::default(),
            ends: 0,
            last_end: None,
            logged: None,
        };
        let hsms = hsms.into_iter().map(watch).collect();
        Ok(Supervisor { folder, launch, own, hsms, reported: None })
    }

    /// Watches until asked to stop, then stops the HSMs.
    pub fn run(mut self, requests: &Requests) -> Result<(), ExpectedError> {
        log("INFO", format_args!("watches {} HSMs in {}", self.hsms.len(), self.folder.root().display()));
        // Without the first report nobody could find this process, so it must succeed; later ones may fail.
        self.report()?;
        while !self.watch(requests)? {
            if let Err(error) = self.report() {
                log("ERROR", format_args!("{}", describe(&error)));
            }
        }
        log("INFO", format_args!("stops"));
        self.stop();
        let removed = crate::state::remove_file(&self.folder.serve_file());
        if let Err(error) = removed {
            log("WARN", format_args!("{}", describe(&error)));
        }
        log("INFO", format_args!("stopped"));
        Ok(())
    }

    /// Starts what is due, then waits until something happens. True when asked to stop.
    fn watch(&mut self, requests: &Requests) -> Result<bool, ExpectedError> {
        for watched in &mut self.hsms {
            watched.start_if_due(&self.folder, &self.launch);
        }
        if let Err(error) = self.report() {
            log("ERROR", format_args!("{}", describe(&error)));
        }
        let mut descriptors = vec![requests.stop.as_fd(), requests.hurry.as_fd()];
        let mut running = Vec::new();
        let mut due: Option<Instant> = None;
        for (index, watched) in self.hsms.iter().enumerate() {
            match &watched.life {
                Life::Runs { process, .. } => {
                    descriptors.push(process.as_fd());
                    running.push(index);
                }
                Life::Rests { until } => due = Some(due.map_or(*until, |due| due.min(*until))),
            }
        }
        let patience = due.map(|due| due.saturating_duration_since(Instant::now()));
        let readable = processes::wait_readable(&descriptors, patience)
            .map_err(|source| ExpectedError::System { action: "wait for processes", source })?;
        let (asked, ended) = readable.split_at(2);
        for (index, _) in running.into_iter().zip(ended).filter(|(_, ended)| **ended) {
            self.hsms[index].ended();
        }
        if asked[1] {
            self.hurry(&requests.hurry);
        }
        Ok(asked[0])
    }

    fn hurry(&mut self, requests: &UnixStream) {
        // One byte a signal; more of them ask for the same.
        let _ = io::Read::read(&mut &*requests, &mut [0; 64]);
        for watched in &mut self.hsms {
            if let Life::Rests { until } = &mut watched.life {
                *until = Instant::now();
                watched.logged = None;
            }
        }
    }

    /// Writes what runs, if that changed.
    fn report(&mut self) -> Result<(), StateError> {
        let hsms = self.hsms.iter().map(Watched::report).collect();
        let running = Running::new(self.own, hsms);
        if self.reported.as_ref() != Some(&running) {
            running.write(&self.folder)?;
            self.reported = Some(running);
        }
        Ok(())
    }

    fn stop(&mut self) {
        for watched in &self.hsms {
            if let Life::Runs { process, .. } = &watched.life
                && let Err(error) = process.terminate()
            {
                log("ERROR", format_args!("{}: {error}", watched.hsm));
            }
        }
        let deadline = Deadline::after(ORDERLY_END_MAX);
        for watched in &mut self.hsms {
            let Life::Runs { process, child, .. } = &mut watched.life else { continue };
            match process.end(deadline.left()) {
                Ok(true) => {
                    let exit = child.as_mut().map_or(Exit::Unknown, reap);
                    log("INFO", format_args!("{} stopped ({exit})", watched.hsm));
                }
                Ok(false) => log("ERROR", format_args!("{} does not end, not even when killed", watched.hsm)),
                Err(error) => log("ERROR", format_args!("{}: {error}", watched.hsm)),
            }
        }
    }
}

impl Watched {
    fn start_if_due(&mut self, folder: &StateFolder, launch: &Launch) {
        match self.life {
            Life::Rests { until } if until <= Instant::now() => {}
            Life::Rests { .. } | Life::Runs { .. } => return,
        }
        let place = folder.hsm(&self.hsm);
        if let Some(process) = self.find(&place) {
            log("INFO", format_args!("{} runs already as process {}", self.hsm, process.pid()));
            self.life = Life::runs(process, None);
            return;
        }
        match spawn(launch, &place, &folder.hsm_log(&self.hsm)) {
            Ok((child, process)) => {
                if self.ends == 0 {
                    log("INFO", format_args!("{} started as process {}", self.hsm, process.pid()));
                }
                self.life = Life::runs(process, Some(child));
            }
            Err(error) => {
                if self.worth_a_line(Exit::NotStarted) {
                    log("ERROR", format_args!("{}: cannot start {}: {error}", self.hsm, launch.program.display()));
                }
                self.rest(Exit::NotStarted, Duration::ZERO);
            }
        }
    }

    /// The HSM's process, if it runs without this supervisor having started it.
    fn find(&mut self, place: &Path) -> Option<Process> {
        let found = match processes::listener(place, CONTROL_SOCKET) {
            Ok(None) => self.left_behind.take().map_or(Ok(None), |record| record.find()),
            found => found,
        };
        found.unwrap_or_else(|error| {
            log("WARN", format_args!("cannot ask whether {} runs: {error}", self.hsm));
            None
        })
    }

    fn ended(&mut self) {
        let Life::Runs { child, since, .. } = &mut self.life else { return };
        let (exit, lived) = (child.as_mut().map_or(Exit::Unknown, reap), since.elapsed());
        let pause = self.rest(exit, lived);
        if self.worth_a_line(exit) {
            let why = reason(exit).map_or(String::new(), |reason| format!(": {reason}"));
            log(
                "WARN",
                format_args!(
                    "{} ended ({exit}{why}) after {:.3} s; starts again in {} ms; see its hsm.log",
                    self.hsm,
                    lived.as_secs_f64(),
                    pause.as_millis()
                ),
            );
        }
    }

    fn rest(&mut self, exit: Exit, lived: Duration) -> Duration {
        let pause = self.pauses.after(exit, lived);
        self.ends += 1;
        self.last_end = Some(exit);
        self.life = Life::Rests { until: Instant::now() + pause };
        pause
    }

    /// Whether this end is news: one that repeats for days must not fill the disk.
    fn worth_a_line(&mut self, exit: Exit) -> bool {
        let now = Instant::now();
        if let Some((same, at)) = self.logged
            && same == exit
            && now.duration_since(at) < SAME_END_QUIET
            && reason(exit).is_some()
        {
            return false;
        }
        self.logged = Some((exit, now));
        true
    }

    fn report(&self) -> HsmRun {
        let process = match &self.life {
            Life::Runs { record, .. } => *record,
            Life::Rests { .. } => None,
        };
        HsmRun { hsm_id: self.hsm.to_string(), process, ends: self.ends, last_end: self.last_end }
    }
}

fn reap(child: &mut Child) -> Exit {
    // The pidfd said that it is gone, so this does not block.
    child.wait().map_or(Exit::Unknown, Exit::from)
}

fn spawn(launch: &Launch, place: &Path, log: &Path) -> io::Result<(Child, Process)> {
    let log = open_log(log)?;
    let mut child = Command::new(&launch.program)
        .args((launch.arguments)(place))
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Its own group: a Ctrl-C in a terminal reaches the supervisor only, which stops the HSMs in order.
        .process_group(0)
        .spawn()?;
    match Process::open(child.id()) {
        Ok(Some(process)) => Ok((child, process)),
        // A child that was not waited for keeps its pid, so this is the system out of descriptors.
        Ok(None) => {
            reap(&mut child);
            Err(io::ErrorKind::NotFound.into())
        }
        Err(error) => {
            child.kill()?;
            reap(&mut child);
            Err(error)
        }
    }
}

/// Opens a log to append to.
pub(crate) fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE_SECRET).open(path)
}

/// One line of the supervisor's log, on its standard error.
fn log(level: &str, text: std::fmt::Arguments<'_>) {
    // Standard error may be a file on a full disk; the HSMs matter more than the line.
    let _ = io::Write::write_all(&mut io::stderr(), format!("{} {level} {text}\n", clock::now_text()).as_bytes());
}

/// The supervisor that watches `folder`, if there is one, and what it says it watches.
pub fn find(folder: &StateFolder) -> Result<Option<(Process, Running)>, ExpectedError> {
    let deadline = Deadline::after_seconds(SUPERVISOR_FOUND_MAX_SECONDS);
    while folder.is_watched()? {
        if let Some(running) = Running::read(folder)?
            && let Ok(Some(process)) = running.process.find()
        {
            return Ok(Some((process, running)));
        }
        // It has its lock and is about to write its report, or it is ending.
        if !deadline.pause() {
            return Err(BusyError::UnknownSupervisor { path: folder.serve_lock() }.into());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;

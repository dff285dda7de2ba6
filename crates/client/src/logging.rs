//! What the engine notes for whoever operates it: a member left and why, a failover, a login made again.
//!
//! * No state and no lock: each line opens the file, appends and closes, so a forked child can log, and a file moved away
//!   by somebody else is begun anew. Standard error is written past the standard library's lock, which another thread may
//!   have held at the fork. Lines are rare.
//! * A log that can't be written fails nothing, and ends no program by a signal.
//! * Descriptor 2 is standard error as long as it is the file that it was when the log was made, or one that is open for
//!   appending only: servers put their own log there (nginx after it read its configuration). Anything else came there by
//!   accident, in a program that had closed it, and is nobody's to write to. No copy of it is kept: that would hold on to
//!   the terminal or the pipe that a daemon lets go of.
//! * Never a secret, nor anything of one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use strongroom_ffi::output::{only_appends, quietly};

/// How important a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names of the original's levels")]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl Level {
    /// All, the most important first.
    pub const ALL: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// Standard error.
    #[default]
    Term,
    /// A file.
    File,
}

impl LogKind {
    /// All.
    pub const ALL: [LogKind; 2] = [LogKind::Term, LogKind::File];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            LogKind::Term => "term",
            LogKind::File => "file",
        }
    }
}

/// When a new file is begun: its name is the configured one, a dot and the time in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// One file, whose name is the configured one.
    Never,
    /// `….2025-03-31-16`
    Hourly,
    /// `….2025-03-31`
    #[default]
    Daily,
}

impl Rotation {
    /// All.
    pub const ALL: [Rotation; 3] = [Rotation::Never, Rotation::Hourly, Rotation::Daily];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Rotation::Never => "never",
            Rotation::Hourly => "hourly",
            Rotation::Daily => "daily",
        }
    }
}

/// The part `logging` of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// Where lines go.
    pub kind: LogKind,
    /// The file, when they go to one.
    pub file: Option<PathBuf>,
    /// The least important lines that are kept.
    pub level: Level,
    /// When a new file is begun.
    pub interval: Rotation,
}

/// Where lines go, ready to take them.
#[derive(Clone, Debug)]
pub struct Log(Option<Kept>);

#[derive(Clone, Debug)]
struct Kept {
    logging: Logging,
    /// What descriptor 2 was when the log was made.
    standard_error: Option<Identity>,
}

impl Log {
    /// A log as configured.
    pub fn new(logging: &Logging) -> Log {
        let standard_error = standard_error().and_then(|file| Identity::of(&file)).ok();
        Log(Some(Kept { logging: logging.clone(), standard_error }))
    }

    /// A log that keeps nothing.
    pub fn none() -> Log {
        Log(None)
    }

    /// Whether lines of this level are kept.
    pub fn keeps(&self, level: Level) -> bool {
        self.0.as_ref().is_some_and(|kept| level <= kept.logging.level)
    }

    /// Appends a line: time, level, text. Control characters are replaced, so that one line stays one.
    pub fn write(&self, level: Level, text: &str) {
        // There is nobody left to tell.
        let _ = self.try_write(level, text);
    }

    /// The same for a line that is to reach somebody: tells whether it was written, or is not kept.
    pub fn try_write(&self, level: Level, text: &str) -> io::Result<()> {
        let Some(Kept { logging, standard_error }) = self.0.as_ref().filter(|kept| level <= kept.logging.level) else {
            return Ok(());
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Time::of(now.as_secs());
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!("{}.{:03}Z {:5} {text}\n", time.to_text(), now.subsec_millis(), level.as_str());
        quietly(|| match (logging.kind, &logging.file) {
            (LogKind::File, Some(file)) => append(&named(file, logging.interval, &time), &line),
            (LogKind::File, None) | (LogKind::Term, _) => say(*standard_error, &line),
        })
    }
}

/// Tells one open file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(file: &File) -> io::Result<Identity> {
        let metadata = file.metadata()?;
        Ok(Identity { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// A second descriptor of what descriptor 2 is now, which stays that whatever other threads do.
fn standard_error() -> io::Result<File> {
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

fn say(once: Option<Identity>, line: &str) -> io::Result<()> {
    let mut file = standard_error()?;
    if once != Some(Identity::of(&file)?) && !only_appends(file.as_fd()) {
        return Err(io::Error::other("standard error is something else by now"));
    }
    file.write_all(line.as_bytes())
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(line.as_bytes())
}

fn named(file: &Path, interval: Rotation, time: &Time) -> PathBuf {
    let Time { year, month, day, hour, .. } = time;
    let tail = match interval {
        Rotation::Never => return file.into(),
        Rotation::Daily => format!(".{year:04}-{month:02}-{day:02}"),
        Rotation::Hourly => format!(".{year:04}-{month:02}-{day:02}-{hour:02}"),
    };
    let mut name = file.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

/// A moment in UTC.
struct Time {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Time {
    /// Of seconds since 1970 (H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
    fn of(unix_s: u64) -> Time {
        let (days, second) = (unix_s / 86_400 + 719_468, unix_s % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Time {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    /// RFC 3339, without fraction and zone.
    fn to_text(&self) -> String {
        let Time { year, month, day, hour, minute, second } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let check = |unix_s, expected: &str| assert_eq!(Time::of(unix_s).to_text(), expected);
        check(0, "1970-01-01T00:00:00");
        check(951_782_399, "2000-02-28T23:59:59");
        check(951_782_400, "2000-02-29T00:00:00");
        check(1_767_225_599, "2025-12-31T23:59:59");
    }

    #[test]
    fn a_line_needs_no_lock_that_a_parent_may_have_held_at_a_fork() {
        let held = io::stderr().lock();
        let (said, heard) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            Log::new(&Logging::default()).write(Level::Error, "said while another thread has the lock");
            said.send(()).unwrap();
        });
        let in_time = heard.recv_timeout(std::time::Duration::from_secs(20));
        drop(held);
        writer.join().unwrap();
        assert_eq!(in_time, Ok(()));
    }

    #[test]
    fn a_line_goes_to_the_file_of_its_time_and_no_failure_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cloudhsm-cli.log");
        let logging =
            |interval| Logging { kind: LogKind::File, file: Some(file.clone()), level: Level::Warn, interval };
        let log = Log::new(&logging(Rotation::Never));
        log.write(Level::Warn, "127.0.0.1:2223 is left:\nrefused");
        log.write(Level::Info, "not kept");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.ends_with("Z WARN  127.0.0.1:2223 is left: refused\n"), "{text:?}");
        assert_eq!(text.lines().count(), 1);
        Log::new(&logging(Rotation::Daily)).write(Level::Error, "x");
        Log::new(&logging(Rotation::Hourly)).write(Level::Error, "x");
        let mut lengths: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().len()).collect();
        lengths.sort_unstable();
        let base = "cloudhsm-cli.log".len();
        assert_eq!(lengths, [base, base + ".2025-03-31".len(), base + ".2025-03-31-16".len()]);
        let nowhere = Logging { file: Some(folder.path().join("none/x.log")), ..logging(Rotation::Never) };
        Log::new(&nowhere).write(Level::Error, "x");
        Log::new(&nowhere).try_write(Level::Error, "x").unwrap_err();
        Log::new(&nowhere).try_write(Level::Info, "not kept").unwrap();
        assert!(log.keeps(Level::Warn) && !log.keeps(Level::Info) && !Log::none().keeps(Level::Error));
    }
}

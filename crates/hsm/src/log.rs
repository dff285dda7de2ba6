//! The HSM's log: one line an event, RFC 3339 time in UTC, level, text. Never a secret.
//!
//! The file is bounded: when it is full it becomes `hsm.log.1` in place of the one before, and a new one begins. What a
//! client can cause is bounded a second ([`Log::client`]).

use std::fmt::{self, Arguments};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cluster::Notices;
use crate::os;

/// Bytes of a log file after which a new one begins.
pub const LOG_LEN_MAX: u64 = 8 * 1024 * 1024;
/// Lines a second that clients can cause.
const CLIENT_LINES_MAX: u32 = 20;
/// Bytes of one line.
const LINE_LEN_MAX: usize = 2_048;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What was wanted.
    Info,
    /// What an operator may want to look into.
    Warn,
    /// What keeps the HSM from its work.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        })
    }
}

/// The log. Any number of threads write to it.
pub struct Log(Mutex<Inner>);

struct Inner {
    path: PathBuf,
    file: File,
    len: u64,
    len_max: u64,
    /// Whether standard error is this file, as it is under a supervisor.
    is_standard_error: bool,
    second: u64,
    client_lines: u32,
    client_lines_left_out: u64,
}

impl Log {
    /// Opens the log to append to.
    pub fn open(path: &Path) -> io::Result<Log> {
        Log::with_len_max(path, LOG_LEN_MAX)
    }

    fn with_len_max(path: &Path, len_max: u64) -> io::Result<Log> {
        let file = open(path)?;
        let metadata = file.metadata()?;
        Ok(Log(Mutex::new(Inner {
            path: path.to_owned(),
            len: metadata.len(),
            len_max,
            is_standard_error: os::is_standard_error(&metadata),
            file,
            second: 0,
            client_lines: 0,
            client_lines_left_out: 0,
        })))
    }

    /// Whether standard error is the log, so that what is said there needs no second line.
    pub fn is_standard_error(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_standard_error
    }

    /// What was wanted.
    pub fn info(&self, text: Arguments<'_>) {
        self.write(Level::Info, text);
    }

    /// What an operator may want to look into.
    pub fn warn(&self, text: Arguments<'_>) {
        self.write(Level::Warn, text);
    }

    /// What keeps the HSM from its work.
    pub fn error(&self, text: Arguments<'_>) {
        self.write(Level::Error, text);
    }

    /// What a client caused: at most so many lines a second, and one that says how many were left out.
    pub fn client(&self, level: Level, text: Arguments<'_>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = since_1970().0;
        if inner.second != second {
            let left_out = std::mem::take(&mut inner.client_lines_left_out);
            inner.second = second;
            inner.client_lines = 0;
            if left_out > 0 {
                inner.write(Level::Warn, format_args!("{left_out} lines about clients were left out"));
            }
        }
        if inner.client_lines < CLIENT_LINES_MAX {
            inner.client_lines += 1;
            inner.write(level, text);
        } else {
            inner.client_lines_left_out += 1;
        }
    }

    fn write(&self, level: Level, text: Arguments<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(level, text);
    }
}

impl Notices for Log {
    fn say(&self, text: &str) {
        self.warn(format_args!("{text}"));
    }

    fn tell(&self, text: &str) {
        self.info(format_args!("{text}"));
    }
}

impl Inner {
    fn write(&mut self, level: Level, text: Arguments<'_>) {
        let (seconds, millis) = since_1970();
        let mut line = format!("{} {level} {text}", utc(seconds, millis)).replace(['\n', '\r'], " ");
        if line.len() > LINE_LEN_MAX {
            line.truncate(line.floor_char_boundary(LINE_LEN_MAX));
        }
        line.push('\n');
        // A full disk costs lines of the log, never the HSM's work.
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.len += u64::try_from(line.len()).unwrap_or(0);
        }
        if self.len > self.len_max {
            self.turn();
        }
    }

    /// Begins a new file. When that fails, the old one goes on.
    fn turn(&mut self) {
        self.len = 0;
        let mut older = self.path.clone().into_os_string();
        older.push(".1");
        let Ok(file) = std::fs::rename(&self.path, older).and_then(|()| open(&self.path)) else { return };
        if self.is_standard_error {
            // Standard error stays with the older file then, which is still read.
            let _ = os::replace_standard_error(&file);
        }
        self.file = file;
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn since_1970() -> (u64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_millis())
}

/// A time in milliseconds since 1970, as lines of the log begin with it.
pub(crate) fn time_text(time_ms: u64) -> String {
    utc(time_ms / 1_000, u32::try_from(time_ms % 1_000).unwrap_or(0))
}

/// RFC 3339 with milliseconds. The calendar is H. Hinnant's `civil_from_days`: years begin in March, so that the leap
/// day is a year's last, and an era is 400 years of 146,097 days together.
fn utc(seconds: u64, millis: u32) -> String {
    let (day_number, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (day_number / 146_097, day_number % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_rfc_3339_says() {
        let check = |seconds, expected| assert_eq!(utc(seconds, 7), expected);
        check(0, "1970-01-01T00:00:00.007Z");
        check(951_782_399, "2000-02-28T23:59:59.007Z");
        check(951_782_400, "2000-02-29T00:00:00.007Z");
        check(1_772_323_200, "2026-03-01T00:00:00.007Z");
        check(4_107_542_400, "2100-03-01T00:00:00.007Z");
    }

    #[test]
    fn a_full_file_becomes_the_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hsm.log");
        let log = Log::with_len_max(&path, 300).unwrap();
        for number in 0..30 {
            log.info(format_args!("line {number}\nof the same line"));
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let (newer, older) = (read("hsm.log"), read("hsm.log.1"));
        assert!(newer.len() + older.len() < 900, "{newer}{older}");
        let last = (newer.clone() + &older).lines().max().unwrap().to_owned();
        assert!(last.ends_with("INFO line 29 of the same line"), "{last}");
    }

    #[test]
    fn clients_cause_so_many_lines_a_second_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hsm.log");
        let log = Log::open(&path).unwrap();
        for number in 0..1_000 {
            log.client(Level::Info, format_args!("client {number}"));
        }
        // The loop may last over the end of one second.
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!((20..100).contains(&lines), "{lines}");
    }
}

//! Which process a pid means.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

/// A line of `/proc/PID/stat` is far shorter.
const STAT_LEN_MAX: u64 = 4_096;

/// When the process started, in clock ticks since the host did (proc(5), field 22); none when there is no such process.
pub(super) fn start_time(pid: u32) -> io::Result<Option<u64>> {
    let mut stat = Vec::new();
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|file| file.take(STAT_LEN_MAX).read_to_end(&mut stat));
    match read {
        Ok(_) => parse(&stat).map(Some).ok_or_else(|| ErrorKind::InvalidData.into()),
        // The second error is that of a process that ends while its file is read.
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name of the program, in parentheses, may hold anything, also parentheses: fields count from the last one.
fn parse(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    // The first field behind the name is number 3.
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        let check = |stat: String, expected| assert_eq!(parse(stat.as_bytes()), expected, "{stat}");
        check(format!("12 (sh) {tail}"), Some(4711));
        check(format!("12 (a) b) (c 9 9) {tail}"), Some(4711));
        check(format!("12 (sh {tail}"), None);
        check("12 (sh) S 1 2".into(), None);
        check(String::new(), None);
    }

    #[test]
    fn this_process_has_a_start_time_and_an_ended_one_none() {
        let own = start_time(std::process::id()).unwrap();
        assert!(own.is_some());
        assert_eq!(start_time(std::process::id()).unwrap(), own);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(start_time(pid).unwrap(), None);
    }
}

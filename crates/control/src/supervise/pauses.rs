//! How long to rest before an HSM that ended is started again.

use std::time::Duration;

use crate::processes::Exit;

/// After the first end.
pub const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// After many ends in a row, and after one that will not mend by itself.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);
/// An HSM that ran for so long is sound: its next end counts as the first.
pub const SOUND_LIFE: Duration = Duration::from_secs(60);

/// The pauses of one HSM; each is double the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses { next: PAUSE_FIRST }
    }
}

impl Pauses {
    /// The pause after an end like this of a process that lived so long.
    pub fn after(&mut self, exit: Exit, lived: Duration) -> Duration {
        if lived >= SOUND_LIFE {
            self.next = PAUSE_FIRST;
        }
        if reason(exit).is_some() {
            return PAUSE_MAX;
        }
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

/// What an end means that trying again alone will hardly mend; `strongroom-hsm`'s exit codes.
pub fn reason(exit: Exit) -> Option<&'static str> {
    match exit {
        Exit::Code(2) => Some("its configuration is not usable"),
        Exit::Code(3) => Some("its address is in use"),
        Exit::Code(4) => Some("it refused the cluster's state: damaged, older than it has seen, or another root key"),
        Exit::NotStarted => Some("the program could not be started"),
        Exit::Code(_) | Exit::Signal(_) | Exit::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_start_anew_after_a_sound_life() {
        let mut pauses = Pauses::default();
        let mut check = |exit, lived_ms, expected_ms| {
            let pause = pauses.after(exit, Duration::from_millis(lived_ms));
            assert_eq!(pause, Duration::from_millis(expected_ms), "{exit:?} after {lived_ms}");
        };
        for expected in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            check(Exit::Signal(9), 10, expected);
        }
        check(Exit::Code(1), 59_999, 5000);
        check(Exit::Code(0), 60_000, 50);
        check(Exit::Unknown, 0, 100);
        for code in [2, 3, 4] {
            check(Exit::Code(code), 60_000, 5000);
        }
        check(Exit::NotStarted, 0, 5000);
        check(Exit::Signal(11), 10, 50);
    }
}

//! Waiting for a condition within a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at a condition that nothing announces.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// A moment until which it is worth to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(patience: Duration) -> Deadline {
        Deadline(Instant::now() + patience)
    }

    pub(crate) fn after_seconds(seconds: u64) -> Deadline {
        Deadline::after(Duration::from_secs(seconds))
    }

    pub(crate) fn after_millis(millis: u64) -> Deadline {
        Deadline::after(Duration::from_millis(millis))
    }

    /// What is left, zero when it has passed.
    pub(crate) fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Rests until the next look; false when there is none because the deadline has passed.
    pub(crate) fn pause(&self) -> bool {
        let left = self.left();
        if left.is_zero() {
            return false;
        }
        thread::sleep(left.min(LOOK_PAUSE));
        true
    }
}

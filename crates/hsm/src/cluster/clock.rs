//! The two clocks of a member.

#[cfg(test)]
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds that count of those without a look. A member thread that waits looks twice a second.
const UNSEEN_MS_MAX: u64 = 600;

/// The machine's clock; a story's member has its own, which it moves.
#[derive(Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    ahead_ms: AtomicI64,
}

impl Clock {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        wall_ms().saturating_add_signed(self.ahead_ms())
    }

    /// How far it is ahead of the machine's, in milliseconds.
    pub(crate) fn ahead_ms(&self) -> i64 {
        #[cfg(test)]
        return self.ahead_ms.load(SeqCst);
        #[cfg(not(test))]
        0
    }

    /// Moves it forward or back.
    #[cfg(test)]
    pub(crate) fn move_by(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, SeqCst);
    }
}

/// Counts milliseconds for as long as somebody looks. Of what passes unseen, because this process was stopped or the
/// machine slept, only a part counts: whoever is waited for could do as little then.
#[derive(Default)]
pub(super) struct Attention {
    counted_ms: u64,
    looked_ms: Option<u64>,
}

impl Attention {
    /// The count at a look at `now_ms`.
    pub(super) fn look(&mut self, now_ms: u64) -> u64 {
        let unseen_ms = self.looked_ms.map_or(0, |looked_ms| now_ms.saturating_sub(looked_ms));
        self.looked_ms = Some(now_ms);
        self.counted_ms = self.counted_ms.saturating_add(unseen_ms.min(UNSEEN_MS_MAX));
        self.counted_ms
    }
}

/// Milliseconds since 1970; 0 before.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since the machine started, its sleep included; never goes back. Leases run on it.
pub(super) fn boottime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_unseen_counts_in_part() {
        let mut attention = Attention::default();
        let looks = [5_000, 5_500, 6_000, 900_000, 900_010, 900_005, 900_105];
        assert_eq!(looks.map(|now_ms| attention.look(now_ms)), [0, 500, 1_000, 1_600, 1_610, 1_610, 1_710]);
    }
}

//! The clocks of an HSM.

use strongroom_core::member::LeaseKind;

use super::{At, MS, Shape};

/// What the clocks of one HSM show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// How much faster the lease's clock runs, in millionths.
    drift: i64,
    /// How far the wall clock is ahead of the world's, in milliseconds.
    pub(crate) ahead_ms: i64,
}

/// What the world's wall clock shows in the beginning, in milliseconds since 1970.
const BEGAN_MS: u64 = 1_760_000_000_000;

impl Clocks {
    pub(crate) fn new(shape: &Shape, rng: &mut fastrand::Rng) -> Clocks {
        match shape.lease {
            // One machine, one clock.
            LeaseKind::Held => Clocks { drift: 0, ahead_ms: 0 },
            LeaseKind::Timed => Clocks { drift: rng.i64(-20_000..=20_000), ahead_ms: rng.i64(-5_000..=5_000) },
        }
    }

    /// Milliseconds since the machine started, its sleep included.
    pub(crate) fn boottime_ms(&self, now: At) -> u64 {
        let own = i128::from(now) + i128::from(now) * i128::from(self.drift) / 1_000_000;
        u64::try_from(own).unwrap_or(0) / MS
    }

    /// Milliseconds since 1970.
    pub(crate) fn wall_ms(&self, now: At) -> u64 {
        (BEGAN_MS + now / MS).saturating_add_signed(self.ahead_ms)
    }
}

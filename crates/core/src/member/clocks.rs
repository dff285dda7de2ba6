use std::collections::BTreeMap;

use strongroom_types::Incarnation;
use strongroom_types::limits::CLOCK_OFF_MS_MAX;

use super::LeaseKind;

/// What one entry of the member table says of its member's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whose.
    pub incarnation: Incarnation,
    /// Changes whenever the member renews.
    pub beat: u64,
    /// How far that clock was ahead when the entry was last renewed, in milliseconds.
    pub ahead_ms: i64,
}

/// The clocks of the others, as their entries show them.
///
/// A member that has stopped renewing for longer than its lease lasts has no say: its entry may stand for ever, since nobody
/// fences it while nothing is committed, and nothing would be committed while it outvotes those who live.
#[derive(Clone, Debug)]
pub struct Clocks {
    patience_ms: u64,
    /// Each entry's beat, and since when it has been seen so.
    seen: BTreeMap<Incarnation, (u64, u64)>,
}

impl Clocks {
    /// Nothing has been seen.
    pub fn new(kind: LeaseKind, lease_ms: u64) -> Clocks {
        Clocks { patience_ms: kind.patience_ms(lease_ms), seen: BTreeMap::new() }
    }

    /// The table was read at `now_ms`, and shows this of the others: by how much the own clock is off, if it is
    /// ([`clock_off`]).
    pub fn off(&mut self, own_ahead_ms: i64, others: &[Shown], now_ms: u64) -> Option<i64> {
        let before = std::mem::take(&mut self.seen);
        let mut ahead_ms = Vec::new();
        for Shown { incarnation, beat, ahead_ms: shown_ms } in others {
            let since_ms = match before.get(incarnation) {
                Some((same, since_ms)) if same == beat => *since_ms,
                _ => now_ms,
            };
            self.seen.insert(*incarnation, (*beat, since_ms));
            if now_ms.saturating_sub(since_ms) <= self.patience_ms {
                ahead_ms.push(*shown_ms);
            }
        }
        clock_off(own_ahead_ms, &mut ahead_ms)
    }
}

/// By how much a clock is ahead of the others' median (negative: behind), when that is more than [`CLOCK_OFF_MS_MAX`].
///
/// All are in milliseconds, ahead of one and the same clock. Of an even number of others, whatever lies between the two in
/// the middle counts as the median.
pub fn clock_off(own_ahead_ms: i64, others_ahead_ms: &mut [i64]) -> Option<i64> {
    others_ahead_ms.sort_unstable();
    let last = others_ahead_ms.len().checked_sub(1)?;
    let low = *others_ahead_ms.get(last / 2)?;
    let high = *others_ahead_ms.get(last.div_ceil(2))?;
    let off = own_ahead_ms.saturating_sub(own_ahead_ms.clamp(low, high));
    (off.unsigned_abs() > CLOCK_OFF_MS_MAX).then_some(off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_stopped_renewing_has_no_say() {
        let incarnation = |number: u8| Incarnation::from_bytes([number; 16]);
        let shown = |beat| Shown { incarnation: incarnation(1), beat, ahead_ms: 100_000 };
        let living = Shown { incarnation: incarnation(2), beat: 0, ahead_ms: 0 };
        let mut clocks = Clocks::new(LeaseKind::Timed, 1_000);
        assert_eq!(clocks.off(0, &[shown(7)], 5_000), Some(-100_000));
        assert_eq!(clocks.off(0, &[shown(8)], 6_000), Some(-100_000));
        assert_eq!(clocks.off(0, &[shown(8)], 7_100), Some(-100_000), "a lease and a tenth");
        assert_eq!(clocks.off(0, &[shown(8)], 7_101), None);
        assert_eq!(clocks.off(100_000, &[shown(8), living], 7_102), Some(100_000));
        assert_eq!(clocks.off(0, &[shown(9)], 7_103), Some(-100_000), "it renews again");
    }

    #[test]
    fn a_clock_is_judged_by_the_median_of_the_others() {
        let check = |own, others: &[i64], expected| {
            assert_eq!(clock_off(own, &mut others.to_vec()), expected, "{own} {others:?}");
        };
        check(i64::MAX, &[], None);
        check(60_000, &[0], None);
        check(60_001, &[0], Some(60_001));
        check(-60_001, &[0], Some(-60_001));
        // One other that is wrong does not count against this one, and does not hide that this one is wrong.
        check(0, &[3_600_000, 10], None);
        check(0, &[0, 3_600_000, 10], None);
        check(3_600_000, &[5, 3_600_000, 10], Some(3_599_990));
        check(-70_000, &[90_000, 0], Some(-70_000));
        check(170_000, &[90_000, 0], Some(80_000));
        check(i64::MIN, &[i64::MAX], Some(i64::MIN));
        check(i64::MAX, &[i64::MIN], Some(i64::MAX));
    }
}

use strongroom_types::limits::CLOCK_OFF_MS_MAX;

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

//! The time as logs show it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time now, Unix time in seconds.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The time now in UTC, RFC 3339 with milliseconds.
pub(crate) fn now_text() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    text(since.as_secs(), since.subsec_millis())
}

/// A time in milliseconds since 1970, in the same form.
pub(crate) fn text_of_ms(time_ms: u64) -> String {
    text(time_ms / 1_000, u32::try_from(time_ms % 1_000).unwrap_or(0))
}

fn text(seconds: u64, millis: u32) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    // Years begin in March here, so that the leap day is a year's last: an era is 400 of them, 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days_and_ends_of_years() {
        let check = |seconds, expected| assert_eq!(text(seconds, 7), expected);
        check(0, "1970-01-01T00:00:00.007Z");
        check(951_782_399, "2000-02-28T23:59:59.007Z");
        check(951_782_400, "2000-02-29T00:00:00.007Z");
        check(1_735_689_599, "2024-12-31T23:59:59.007Z");
        check(1_735_689_600, "2025-01-01T00:00:00.007Z");
        check(1_772_323_199, "2026-02-28T23:59:59.007Z");
        check(1_772_323_200, "2026-03-01T00:00:00.007Z");
        check(4_107_542_400, "2100-03-01T00:00:00.007Z");
    }
}

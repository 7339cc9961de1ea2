//! Times as people read them: RFC 3339, in UTC.

/// A time in milliseconds since 1970, as in `2026-11-26T22:20:47.123Z`. What no year of four
/// digits can hold becomes the last moment of the year 9999.
pub(crate) fn rfc_3339(time_ms: u64) -> String {
    const DAY_MS: u64 = 86_400_000;
    const LAST_MS: u64 = 253_402_300_799_999;
    let time_ms = time_ms.min(LAST_MS);
    let (year, month, day) = date_of(time_ms / DAY_MS);
    let of_day_ms = time_ms % DAY_MS;
    let (hour, minute) = (of_day_ms / 3_600_000, of_day_ms / 60_000 % 60);
    let (second, ms) = (of_day_ms / 1_000 % 60, of_day_ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of so many days after the first of January 1970.
///
/// Years begin in March here, so that a leap day is the last of its year, and 400 of them are
/// always as long.
fn date_of(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // From the first of March of the year 0 on.
    let days = days + 719_468;
    let era = days / DAYS_OF_400_YEARS;
    let day_of_era = days % DAYS_OF_400_YEARS;
    // Without the leap days before it: one in 4 years, none in 100, one in 400.
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524
        - day_of_era / (DAYS_OF_400_YEARS - 1))
        / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months in a row have 153 days, from March on.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era;
    match month {
        0..10 => (year, month + 3, day),
        _ => (year + 1, month - 9, day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `date -u --date=@SECONDS +%FT%TZ`.
    #[test]
    fn times_are_those_of_the_calendar() {
        for (time_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_078_099_199_001, "2004-02-29T23:59:59.001Z"),
            (1_764_195_647_123, "2025-11-26T22:20:47.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc_3339(time_ms), expected);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = date_of(0);
        for days in 1..400_000 {
            let (year, month, day) = date_of(days);
            let follows = match day {
                1 if month == 1 => last == (year - 1, 12, 31),
                1 => (last.0, last.1 + 1) == (year, month) && last.2 >= 28,
                _ => last == (year, month, day - 1),
            };
            assert!(follows, "{last:?} {year}-{month}-{day}");
            last = (year, month, day);
        }
    }
}

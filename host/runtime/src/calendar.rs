//! Writes times of the wall clock as dates in UTC, in the forms of people and of Java.
//!
//! Times are milliseconds since 1970, as [`Runtime::wall_ms`](crate::Runtime::wall_ms) returns
//! them. A time after the year 9999 is written as the last moment of that year.

use time::UtcDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

/// The last millisecond of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

/// The form of RFC 3339: `2026-11-26T22:20:47.123Z`.
pub fn rfc_3339(time_ms: u64) -> String {
    write(
        time_ms,
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"),
    )
}

/// The form of Java's `Date`: `Sat Nov 21 06:11:31 UTC 2026`.
pub fn java_date(time_ms: u64) -> String {
    write(
        time_ms,
        format_description!(
            "[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second] UTC [year]"
        ),
    )
}

/// The form of the build date of ZooKeeper's releases: `11/21/2026 06:11 GMT`.
pub fn build_date(time_ms: u64) -> String {
    write(
        time_ms,
        format_description!("[month]/[day]/[year] [hour]:[minute] GMT"),
    )
}

fn write(time_ms: u64, format: StaticFormatDescription) -> String {
    let nanos = i128::from(time_ms.min(LAST_MS)) * 1_000_000;
    let time = UtcDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(UtcDateTime::UNIX_EPOCH);
    // Formatting cannot fail: a date and a time have all parts that the formats need.
    time.format(format).unwrap_or_default()
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
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
            (LAST_MS + 1, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc_3339(time_ms), expected);
        }
    }

    #[test]
    fn days_are_named() {
        // Expected by `date -u -d @SECONDS`, with and without `+'%m/%d/%Y %H:%M GMT'`.
        for (seconds, said, built) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970", "01/01/1970 00:00 GMT"),
            (
                951_782_400,
                "Tue Feb 29 00:00:00 UTC 2000",
                "02/29/2000 00:00 GMT",
            ),
            (
                1_709_251_199,
                "Thu Feb 29 23:59:59 UTC 2024",
                "02/29/2024 23:59 GMT",
            ),
            (
                1_709_251_200,
                "Fri Mar 01 00:00:00 UTC 2024",
                "03/01/2024 00:00 GMT",
            ),
            (
                1_795_241_491,
                "Sat Nov 21 06:11:31 UTC 2026",
                "11/21/2026 06:11 GMT",
            ),
            (
                4_102_444_799,
                "Thu Dec 31 23:59:59 UTC 2099",
                "12/31/2099 23:59 GMT",
            ),
        ] {
            assert_eq!(java_date(seconds * 1000), said);
            assert_eq!(build_date(seconds * 1000), built);
        }
    }
}

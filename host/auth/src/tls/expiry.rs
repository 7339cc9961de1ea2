//! Until when the node's own certificate is valid, and who is told in time.
//!
//! A certificate that ends is the one failure of TLS that everybody could have seen coming. It is
//! told by a metric all the time, and in the log at the start, with every new store and once a day,
//! from 30 days before the end on.

use std::time::Duration;

use innkeeper_runtime::calendar;
use x509_parser::certificate::X509Certificate;

/// From how long before the end on it is told.
const AHEAD_S: i64 = 30 * DAY_S;

/// How often it is told.
pub(super) const EVERY: Duration = Duration::from_secs(DAY_S as u64);

const DAY_S: i64 = 86_400;

/// When the node's own certificates are all valid, in seconds since 1970: those that it sends, but
/// for one that issued itself, of which clients use their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The time from which on all certificates are valid, in seconds since 1970.
    pub from_s: i64,
    /// The time at which the first of them ends, in seconds since 1970.
    pub until_s: i64,
}

impl Validity {
    /// Of the certificates in DER, the node's own first; `None` if one is damaged.
    pub(super) fn of<'a>(chain: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut all: Option<Self> = None;
        for der in chain {
            let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
            let one = Self::of_one(&certificate);
            all = Some(match all {
                None => one,
                Some(all) if certificate.subject() == certificate.issuer() => all,
                Some(all) => Self {
                    from_s: all.from_s.max(one.from_s),
                    until_s: all.until_s.min(one.until_s),
                },
            });
        }
        all
    }

    fn of_one(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            from_s: validity.not_before.timestamp(),
            until_s: validity.not_after.timestamp(),
        }
    }

    /// What there is to be told, if anything.
    pub(super) fn warning(self, now_s: i64) -> Option<String> {
        let date =
            |at_s: i64| calendar::java_date(u64::try_from(at_s).unwrap_or(0).saturating_mul(1000));
        let days = |span_s: i64| match span_s / DAY_S {
            0 => "in less than a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        let remedy = "put a new one into ssl.keyStore.location";
        if now_s > self.until_s {
            return Some(format!(
                "the node's own certificate, or one that issued it, expired at {}: clients refuse \
                 it; {remedy}",
                date(self.until_s)
            ));
        }
        if now_s < self.from_s {
            return Some(format!(
                "the node's own certificate, or one that issued it, is valid from {} on: clients \
                 refuse it until then; {remedy}, or correct the clock",
                date(self.from_s)
            ));
        }
        let left_s = self.until_s - now_s;
        (left_s <= AHEAD_S).then(|| {
            format!(
                "the node's own certificate, or one that issued it, expires {}, at {}: {remedy}",
                days(left_s),
                date(self.until_s)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_from_thirty_days_before_the_end_on() {
        // Sat Nov 21 06:11:31 UTC 2026
        let until_s = 1_795_241_491;
        let validity = Validity {
            from_s: until_s - 90 * DAY_S,
            until_s,
        };
        let at = |left_s: i64| validity.warning(until_s - left_s);
        assert_eq!(at(30 * DAY_S + 1), None);
        assert_eq!(at(90 * DAY_S), None);
        let says = |left_s: i64, part: &str| {
            let warning = at(left_s).unwrap();
            assert!(warning.contains(part), "{warning}");
            assert!(warning.contains("ssl.keyStore.location"), "{warning}");
        };
        says(
            30 * DAY_S,
            "expires in 30 days, at Sat Nov 21 06:11:31 UTC 2026",
        );
        says(2 * DAY_S - 1, "expires in 1 day, at");
        says(3600, "expires in less than a day, at");
        says(0, "expires in less than a day, at");
        says(-1, "expired at Sat Nov 21 06:11:31 UTC 2026");
        says(
            90 * DAY_S + 1,
            "is valid from Sun Aug 23 06:11:31 UTC 2026 on",
        );
        // What an odd certificate may say.
        let odd = Validity {
            from_s: i64::MIN,
            until_s: -1,
        };
        assert!(odd.warning(0).unwrap().contains("expired at Thu Jan 01"));
    }
}

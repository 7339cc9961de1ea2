//! Logs that quotas were exceeded, without a line for every write.
//!
//! 1. Apply finds that a write goes beyond a limit: a hard limit refuses the write, a soft one lets
//!    it pass.
//! 2. Before the results are delivered, [`QuotaLog::note`] logs the limits: at most one line in
//!    [`PAUSE_MS`] of the state's time. The line says how many were left out since the last one.

use std::sync::atomic::{AtomicU64, Ordering};

use innkeeper_tree::Applied;
use innkeeper_tree::applied::Quantity;

/// The shortest time between two lines, in milliseconds.
const PAUSE_MS: u64 = 1_000;

/// What was logged last, and how much was left out since.
#[derive(Debug, Default)]
pub(crate) struct QuotaLog {
    said_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl QuotaLog {
    /// Logs the limits that a command exceeded. Returns true if a line was written.
    pub(crate) fn note(&self, applied: &Applied) -> bool {
        let mut said = false;
        for over in &applied.over_quota {
            let due_ms = self.said_ms.load(Ordering::Relaxed) + PAUSE_MS;
            if applied.time_ms < due_ms {
                self.unsaid.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.said_ms.store(applied.time_ms, Ordering::Relaxed);
            said = true;
            // This stands outside of the macro, which evaluates nothing while logging is off.
            let unsaid = self.unsaid.swap(0, Ordering::Relaxed);
            tracing::warn!(
                path = %over.path,
                wanted = over.wanted,
                limit = over.limit,
                refused = over.hard,
                not_logged = unsaid,
                "a write goes beyond the quota's limit of {}; delete something below the path, or raise the limit",
                match over.of {
                    Quantity::Count => "znodes",
                    Quantity::Bytes => "bytes",
                },
            );
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_tree::Zxid;
    use innkeeper_tree::applied::{Outcome, OverQuota};

    use super::*;

    #[test]
    fn a_flood_of_refusals_is_a_line_a_second() {
        let log = QuotaLog::default();
        let at = |time_ms, limits: usize| Applied {
            zxid: Zxid(1),
            time_ms,
            outcome: Outcome::Nobody,
            events: Vec::new(),
            queued: Vec::new(),
            bindings: Vec::new(),
            cut: Vec::new(),
            ended: Vec::new(),
            over_quota: vec![
                OverQuota {
                    path: "/a".into(),
                    of: Quantity::Count,
                    wanted: 2,
                    limit: 1,
                    hard: true,
                };
                limits
            ],
        };
        assert!(!log.note(&at(5_000, 0)));
        assert!(log.note(&at(5_000, 2)));
        assert!(!log.note(&at(5_999, 1)));
        assert!(log.note(&at(6_000, 1)));
        assert_eq!(log.unsaid.load(Ordering::Relaxed), 0);
    }
}

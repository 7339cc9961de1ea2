//! Who led the group while this node ran, as operators are told.

use innkeeper_runtime::Instant;
use parking_lot::Mutex;

/// Another leader took over, or the same one in a newer term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailOver {
    /// When this node had contact with the new leader and its quorum, in milliseconds since 1970.
    pub at_ms: u64,
    /// The leader before.
    pub from: u64,
    /// The leader since then.
    pub to: u64,
    /// The new leader's term.
    pub term: u64,
    /// For how long this node saw no leader with a quorum: from the last sign of the old one to the
    /// first acknowledgement under the new one, in milliseconds.
    pub without_ms: u64,
}

/// The leader with whose quorum this node had contact last.
#[derive(Debug, Clone, Copy)]
struct Led {
    term: u64,
    leader: u64,
    since: Instant,
}

/// The leaders that this node has seen.
#[derive(Debug, Default)]
pub(crate) struct Leaders {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    newest: Option<Led>,
    last: Option<FailOver>,
}

impl Leaders {
    /// Is this term newer than that of the leader that is known?
    pub(crate) fn is_new(&self, term: u64) -> bool {
        let newest = self.inner.lock().newest;
        newest.is_none_or(|led| led.term < term)
    }

    /// This node has contact now with a leader and its quorum. `contact` is the last sign of a leader
    /// before. Returns the fail-over, if it is one.
    pub(crate) fn leads(
        &self,
        term: u64,
        leader: u64,
        contact: Option<Instant>,
        now: Instant,
        wall_ms: u64,
    ) -> Option<FailOver> {
        let mut inner = self.inner.lock();
        let before = inner.newest;
        if before.is_some_and(|led| led.term >= term) {
            return None;
        }
        inner.newest = Some(Led {
            term,
            leader,
            since: now,
        });
        let before = before?;
        let fail_over = FailOver {
            at_ms: wall_ms,
            from: before.leader,
            to: leader,
            term,
            without_ms: now.since(contact.unwrap_or(before.since)).as_millis() as u64,
        };
        inner.last = Some(fail_over);
        Some(fail_over)
    }

    /// The last fail-over that this node has seen.
    pub(crate) fn last(&self) -> Option<FailOver> {
        self.inner.lock().last
    }

    /// Since when the leader of this term leads, as this node knows.
    pub(crate) fn since(&self, term: u64) -> Option<Instant> {
        let newest = self.inner.lock().newest?;
        (newest.term == term).then_some(newest.since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_newer_term_is_a_fail_over_and_the_first_leader_is_none() {
        let at = |ms| Instant::default() + Duration::from_millis(ms);
        let leaders = Leaders::default();
        assert!(leaders.is_new(3));
        assert_eq!(leaders.leads(3, 1, None, at(10), 1_010), None);
        assert_eq!(leaders.leads(3, 1, Some(at(50)), at(60), 1_060), None);
        assert_eq!(leaders.since(3), Some(at(10)));
        let expected = FailOver {
            at_ms: 1_300,
            from: 1,
            to: 2,
            term: 5,
            without_ms: 220,
        };
        let seen = leaders.leads(5, 2, Some(at(80)), at(300), 1_300);
        assert_eq!(seen, Some(expected));
        assert_eq!(leaders.last(), Some(expected));
        assert_eq!((leaders.since(3), leaders.since(5)), (None, Some(at(300))));
        // A report of the old term that is answered late.
        assert_eq!(leaders.leads(3, 1, Some(at(300)), at(400), 1_400), None);
        assert_eq!(leaders.last(), Some(expected));
    }
}

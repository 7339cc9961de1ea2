//! What is kept in the log for a node to which a snapshot goes.
//!
//! A follower that has installed a snapshot needs the entries after it. If they are purged while
//! the snapshot travels, it needs another snapshot, and under a steady load it never catches up.
//! So from the moment at which a snapshot is sent, nothing behind its last entry is purged, until
//! the follower has what a purge would remove.
//! (test: `what_a_snapshots_target_needs_afterwards_is_not_purged_meanwhile`)
//!
//! The hold ends, too, when nothing has moved for `hold_timeout`: neither the transfer nor what the
//! follower has. So a node that has died does not fill the disk of the leader.

use std::collections::BTreeMap;
use std::time::Duration;

use innkeeper_runtime::Instant;
use parking_lot::Mutex;

use crate::types::NodeId;

/// The holds of a leader, one for each target at most.
#[derive(Debug)]
pub(crate) struct Holds {
    timeout: Duration,
    held: Mutex<BTreeMap<NodeId, Hold>>,
}

#[derive(Debug)]
struct Hold {
    /// The last entry in the snapshot that was sent last.
    snapshot: u64,
    /// The last entry that the target has, as far as is known.
    matched: Option<u64>,
    moved: Instant,
}

impl Holds {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            held: Mutex::default(),
        }
    }

    /// A snapshot that ends with this entry goes to `target` from now on.
    pub(super) fn begin(&self, target: NodeId, snapshot: u64, now: Instant) {
        let hold = Hold {
            snapshot,
            matched: None,
            moved: now,
        };
        self.held.lock().insert(target, hold);
    }

    /// The transfer to `target` has moved.
    pub(super) fn moved(&self, target: NodeId, now: Instant) {
        if let Some(hold) = self.held.lock().get_mut(&target) {
            hold.moved = now;
        }
    }

    /// How much of a purge up to `upto` is allowed now. `matched` are the targets of this leader
    /// and the last entry that each of them has; it is `None` on a node that does not lead, which
    /// sends nothing.
    ///
    /// With the cfg below nothing is held, and a test must fail.
    pub(crate) fn limit(
        &self,
        upto: u64,
        matched: Option<&BTreeMap<NodeId, Option<u64>>>,
        now: Instant,
    ) -> u64 {
        let mut held = self.held.lock();
        let Some(matched) = matched else {
            held.clear();
            return upto;
        };
        held.retain(|target, hold| {
            let Some(matched) = matched.get(target) else {
                return false;
            };
            if *matched != hold.matched {
                hold.matched = *matched;
                hold.moved = now;
            }
            let has_all = *matched >= Some(upto);
            !has_all && now.since(hold.moved) < self.timeout
        });
        if cfg!(innkeeper_break = "purge-hold") {
            return upto;
        }
        let floors = held
            .values()
            .map(|hold| hold.matched.unwrap_or(0).max(hold.snapshot));
        floors.fold(upto, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn nothing_behind_a_snapshot_is_purged_until_its_target_has_it() {
        let holds = Holds::new(TIMEOUT);
        let matched = |two: Option<u64>| BTreeMap::from([(2, two), (3, Some(1000))]);
        assert_eq!(holds.limit(700, Some(&matched(None)), at(0)), 700);
        holds.begin(2, 500, at(0));
        assert_eq!(holds.limit(400, Some(&matched(None)), at(1)), 400);
        assert_eq!(holds.limit(700, Some(&matched(None)), at(1)), 500);
        // It has the snapshot, and gets what comes after it.
        assert_eq!(holds.limit(700, Some(&matched(Some(500))), at(2)), 500);
        assert_eq!(holds.limit(700, Some(&matched(Some(650))), at(3)), 650);
        assert_eq!(holds.limit(700, Some(&matched(Some(700))), at(4)), 700);
        assert_eq!(holds.limit(900, Some(&matched(Some(700))), at(5)), 900);
    }

    #[test]
    fn a_hold_ends_with_its_target_with_the_leader_and_when_nothing_moves() {
        let holds = Holds::new(TIMEOUT);
        let matched = BTreeMap::from([(2, Some(10))]);
        holds.begin(2, 500, at(0));
        holds.moved(2, at(59));
        assert_eq!(holds.limit(700, Some(&matched), at(118)), 500);
        assert_eq!(
            holds.limit(700, Some(&matched), at(177)),
            500,
            "what it has was first heard of then"
        );
        assert_eq!(holds.limit(700, Some(&matched), at(178)), 700);

        holds.begin(2, 500, at(200));
        assert_eq!(holds.limit(700, Some(&BTreeMap::new()), at(200)), 700);
        holds.begin(2, 500, at(200));
        assert_eq!(holds.limit(700, None, at(200)), 700);
        assert_eq!(holds.limit(700, Some(&matched), at(200)), 700);
    }
}

//! What is kept in the log for a node to which a snapshot goes.
//!
//! A follower that has installed a snapshot needs the entries after it. If they are purged while
//! the snapshot travels, it needs another snapshot, and under a steady load it never catches up.
//! So from the moment at which a snapshot is sent, nothing behind its last entry is purged, until
//! the follower has what a purge would remove.
//! (test: `what_a_snapshots_target_needs_afterwards_is_not_purged_meanwhile`)
//!
//! The hold ends, too, when nothing has moved for `hold_timeout`: neither the transfer nor what the
//! follower has. So a node that has died does not fill the disk of the leader. And it ends when
//! more than `hold_bytes` of the log are kept for the target: then the transfer ends, too, and
//! begins anew with a newer snapshot, and what is written meanwhile does not fill the disk either.
//! (test: `a_transfer_that_holds_too_much_of_the_log_ends_and_begins_anew`)

use std::collections::BTreeMap;
use std::time::Duration;

use innkeeper_runtime::{Instant, Signal};
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
    /// Raised when too much is kept.
    over: Signal,
}

impl Hold {
    /// The last entry that the target does not need.
    fn floor(&self) -> u64 {
        self.matched.unwrap_or(0).max(self.snapshot)
    }
}

impl Holds {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            held: Mutex::default(),
        }
    }

    /// A snapshot that ends with this entry goes to `target` from now on. The signal is raised when
    /// too much of the log is kept for it.
    pub(super) fn begin(&self, target: NodeId, snapshot: u64, now: Instant) -> Signal {
        let over = Signal::new();
        let hold = Hold {
            over: over.clone(),
            snapshot,
            matched: None,
            moved: now,
        };
        self.held.lock().insert(target, hold);
        over
    }

    /// The transfer to `target` has moved.
    pub(super) fn moved(&self, target: NodeId, now: Instant) {
        if let Some(hold) = self.held.lock().get_mut(&target) {
            hold.moved = now;
        }
    }

    /// How much of a purge up to `upto` is allowed now. `matched` are the targets of this leader
    /// and the last entry that each of them has; it is `None` on a node that does not lead, which
    /// sends nothing. What lies at `too_far` or before is kept for nobody.
    ///
    /// With one cfg below nothing is held, with the other one a hold has no bound, and a test must
    /// fail.
    pub(crate) fn limit(
        &self,
        upto: u64,
        matched: Option<&BTreeMap<NodeId, Option<u64>>>,
        too_far: Option<u64>,
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
            if *matched >= Some(upto) || now.since(hold.moved) >= self.timeout {
                return false;
            }
            let is_over = cfg!(not(innkeeper_break = "hold-bound"))
                && too_far.is_some_and(|too_far| hold.floor() < too_far);
            if is_over {
                tracing::warn!(
                    "too much of the log is kept for node {target}, to which a snapshot goes: it is kept no longer, and the node gets a newer snapshot; it catches up when less is written, or over a faster network"
                );
                hold.over.raise();
            }
            !is_over
        });
        if cfg!(innkeeper_break = "purge-hold") {
            return upto;
        }
        held.values().map(Hold::floor).fold(upto, u64::min)
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
        assert_eq!(holds.limit(700, Some(&matched(None)), None, at(0)), 700);
        holds.begin(2, 500, at(0));
        assert_eq!(holds.limit(400, Some(&matched(None)), None, at(1)), 400);
        assert_eq!(holds.limit(700, Some(&matched(None)), None, at(1)), 500);
        // It has the snapshot, and gets what comes after it.
        assert_eq!(
            holds.limit(700, Some(&matched(Some(500))), None, at(2)),
            500
        );
        assert_eq!(
            holds.limit(700, Some(&matched(Some(650))), None, at(3)),
            650
        );
        assert_eq!(
            holds.limit(700, Some(&matched(Some(700))), None, at(4)),
            700
        );
        assert_eq!(
            holds.limit(900, Some(&matched(Some(700))), None, at(5)),
            900
        );
    }

    #[test]
    fn nothing_is_kept_for_a_target_beyond_the_bound() {
        let holds = Holds::new(TIMEOUT);
        let matched = BTreeMap::from([(2, None)]);
        let limit = |too_far| holds.limit(700, Some(&matched), too_far, at(1));
        let over = holds.begin(2, 500, at(0));
        assert_eq!(limit(Some(500)), 500);
        assert!(!over.is_raised());
        assert_eq!(limit(Some(501)), 700);
        assert!(over.is_raised());
        // It begins anew.
        let over = holds.begin(2, 650, at(1));
        assert_eq!(limit(Some(501)), 650);
        assert!(!over.is_raised());
    }

    #[test]
    fn a_hold_ends_with_its_target_with_the_leader_and_when_nothing_moves() {
        let holds = Holds::new(TIMEOUT);
        let matched = BTreeMap::from([(2, Some(10))]);
        holds.begin(2, 500, at(0));
        holds.moved(2, at(59));
        assert_eq!(holds.limit(700, Some(&matched), None, at(118)), 500);
        assert_eq!(
            holds.limit(700, Some(&matched), None, at(177)),
            500,
            "what it has was first heard of then"
        );
        assert_eq!(holds.limit(700, Some(&matched), None, at(178)), 700);

        holds.begin(2, 500, at(200));
        assert_eq!(holds.limit(700, Some(&BTreeMap::new()), None, at(200)), 700);
        holds.begin(2, 500, at(200));
        assert_eq!(holds.limit(700, None, None, at(200)), 700);
        assert_eq!(holds.limit(700, Some(&matched), None, at(200)), 700);
    }
}

//! Limits the requests that the node works on at a time, and shares that limit fairly between
//! connections.
//!
//! 1. A connection that woke up asks its [`Share`] for a budget: how many requests it may have
//!    unanswered now. It parses frames until the budget is used up; the rest stays in its socket.
//! 2. While the node as a whole is below `globalOutstandingLimit`, the budget is what is left of
//!    that limit. Above it, ZooKeeper stops reading every socket that has an unanswered request;
//!    here a connection is still read while it has fewer than its fair share, which is the limit
//!    divided by the connections that have any. So a client that pipelines thousands of requests
//!    neither keeps out, nor holds up for long, a client that sends a few.
//! 3. The connection notes how many requests it then has unanswered, in one step per wake-up. A
//!    connection that is not read has an unanswered request; the answer wakes it, and it asks
//!    again. So nobody has to be told that there is room.
//! 4. In a group of more than two voters, a voter's limit is `globalOutstandingLimit` divided by the
//!    number of the other voters, as in ZooKeeper
//!    ([`outstanding_limit`](crate::settings::ServerSettings::outstanding_limit)).
//! 5. A request longer than `largeRequestThreshold` also takes its length out of
//!    `largeRequestMaxBytes`. When that is used up, the connection is closed, as in ZooKeeper.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The requests of all connections that are parsed and not answered.
///
/// Invariants:
/// - `total` is the sum of the numbers that the shares noted, `active` counts the shares above
///   zero.
/// - A connection with nothing unanswered is always read.
///   (test: `a_greedy_client_does_not_hold_up_a_modest_one`)
/// - `total` exceeds the limit by at most one request per connection, and by what the client
///   workers take in the one wake-up that each of them runs.
///   (test: `a_greedy_client_does_not_hold_up_a_modest_one`)
#[derive(Debug)]
pub(crate) struct Outstanding {
    limit: AtomicUsize,
    total: AtomicUsize,
    active: AtomicUsize,
    large: LargeRequests,
}

/// The limit on the bytes of long requests.
#[derive(Debug)]
struct LargeRequests {
    threshold_bytes: Option<usize>,
    max_bytes: usize,
    bytes: AtomicUsize,
}

/// One connection's part of [`Outstanding`]; dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct Share {
    node: Arc<Outstanding>,
    noted: usize,
    large_bytes: usize,
}

impl Outstanding {
    /// No request is outstanding. `large_threshold_bytes` is `None` where long requests have no
    /// limit of their own.
    pub(crate) fn new(
        limit: usize,
        large_threshold_bytes: Option<usize>,
        large_max_bytes: usize,
    ) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            total: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            large: LargeRequests {
                threshold_bytes: large_threshold_bytes,
                max_bytes: large_max_bytes,
                bytes: AtomicUsize::new(0),
            },
        }
    }

    /// Changes the limit. What is outstanding beyond a lower one is answered all the same.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// A limit below one would mean that no request is ever answered.
    fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed).max(1)
    }

    /// The part of a new connection, with nothing outstanding.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share {
            node: self.clone(),
            noted: 0,
            large_bytes: 0,
        }
    }

    /// The number of all outstanding requests.
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

impl Share {
    /// How many requests the connection may have unanswered now; never zero.
    pub(crate) fn budget(&self) -> usize {
        let node = &self.node;
        let others = node.total().saturating_sub(self.noted);
        let active = node.active.load(Ordering::Relaxed);
        let active = active + usize::from(self.noted == 0);
        let limit = node.limit();
        let fair = (limit / active.max(1)).max(1);
        fair.max(limit.saturating_sub(others))
    }

    /// Notes how many requests the connection has unanswered.
    pub(crate) fn note(&mut self, unanswered: usize) {
        let node = &self.node;
        if unanswered > self.noted {
            node.total
                .fetch_add(unanswered - self.noted, Ordering::Relaxed);
        } else if unanswered < self.noted {
            node.total
                .fetch_sub(self.noted - unanswered, Ordering::Relaxed);
        }
        match (self.noted == 0, unanswered == 0) {
            (true, false) => {
                node.active.fetch_add(1, Ordering::Relaxed);
            }
            (false, true) => {
                node.active.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.noted = unanswered;
    }

    /// Accounts for a request of that length. Returns false if it is a large one and too many bytes
    /// of large requests are unanswered. (test: `large_requests_have_a_limit_of_their_own`)
    pub(crate) fn admit(&mut self, bytes: usize) -> bool {
        if !self.is_large(bytes) {
            return true;
        }
        let large = &self.node.large;
        if large.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > large.max_bytes {
            large.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.large_bytes += bytes;
        true
    }

    /// Gives back what [`Share::admit`] took, since the request was answered.
    pub(crate) fn release(&mut self, bytes: usize) {
        if self.is_large(bytes) {
            self.node.large.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.large_bytes -= bytes;
        }
    }

    fn is_large(&self, bytes: usize) -> bool {
        let threshold = self.node.large.threshold_bytes;
        threshold.is_some_and(|threshold| bytes > threshold)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.note(0);
        let large = &self.node.large.bytes;
        large.fetch_sub(self.large_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_alone_may_use_the_whole_limit() {
        let node = Arc::new(Outstanding::new(100, None, 0));
        let mut share = node.share();
        assert_eq!(share.budget(), 100);
        share.note(40);
        assert_eq!(share.budget(), 100);
        share.note(100);
        assert_eq!(share.budget(), 100);
    }

    #[test]
    fn a_lower_limit_counts_from_the_next_request_on() {
        let node = Arc::new(Outstanding::new(100, None, 0));
        let mut share = node.share();
        share.note(80);
        node.set_limit(50);
        assert_eq!(share.budget(), 50);
        node.set_limit(0);
        assert_eq!(share.budget(), 1, "somebody is always served");
    }

    #[test]
    fn what_one_has_taken_does_not_keep_out_another() {
        let node = Arc::new(Outstanding::new(100, None, 0));
        let (mut greedy, mut modest) = (node.share(), node.share());
        greedy.note(100);
        assert_eq!(
            modest.budget(),
            50,
            "its fair share, though the limit is reached"
        );
        modest.note(1);
        assert_eq!(modest.budget(), 50);
        assert_eq!(greedy.budget(), 99);
        modest.note(50);
        assert_eq!(greedy.budget(), 50, "and not read until it has fewer");
        greedy.note(49);
        assert_eq!(greedy.budget(), 50);
    }

    #[test]
    fn with_more_connections_than_the_limit_each_may_have_one() {
        let node = Arc::new(Outstanding::new(2, None, 0));
        let mut shares: Vec<_> = (0..5).map(|_| node.share()).collect();
        for share in &mut shares {
            share.note(1);
        }
        assert_eq!(node.total(), 5);
        assert!(shares.iter().all(|share| share.budget() == 1));
        assert_eq!(
            node.share().budget(),
            1,
            "one with nothing unanswered is read"
        );
        drop(shares);
        assert_eq!(node.total(), 0);
        assert_eq!(node.share().budget(), 2, "who left takes nothing along");
    }

    #[test]
    fn large_requests_count_by_their_length() {
        let node = Arc::new(Outstanding::new(10, Some(100), 1000));
        let (mut one, mut other) = (node.share(), node.share());
        assert!(one.admit(100) && one.admit(600), "the first is not large");
        assert!(!other.admit(401));
        assert!(other.admit(400));
        one.release(100);
        assert!(!other.admit(101), "what was not large gave nothing back");
        one.release(600);
        assert!(other.admit(600));
        drop(other);
        assert!(one.admit(1000), "who left gives all back");
    }
}

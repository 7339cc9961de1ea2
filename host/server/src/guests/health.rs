//! How a binding fares, and when one that fails is left alone.
//!
//! 1. Every invocation that ends is booked on the [`Health`] of the binding under the activation
//!    that it ran under: [`Health::succeeded`] or [`Health::failed`]. What the host lacked (no
//!    room in the pool, no module) is booked on nobody.
//! 2. After a failure the binding rests, twice as long after each further one; after
//!    [`BREAKER_FAILURES`] in a row its breaker is open: it is shown, and one try passes after
//!    each of the longest rests. One good invocation ends all of it.
//! 3. A new activation starts with a new health. A policy that moved does not: else an authorizer
//!    whose policy changes with every write would get a new chance with each. It grants one try
//!    before the rest is over, and at most one in [`EARLY_TRY_EVERY`], so that a policy that was
//!    repaired is taken up soon.

use std::time::Duration;

use innkeeper_runtime::Instant;
use innkeeper_tree::{World, Zxid};

use super::report::Breaker;

/// Failures in a row after which a binding's breaker opens.
pub(super) const BREAKER_FAILURES: u32 = 5;

/// The shortest time between two tries that were granted because the policy moved on.
const EARLY_TRY_EVERY: Duration = Duration::from_secs(2);

/// How long a binding of a world rests.
#[derive(Clone, Copy, Debug)]
struct Rests {
    /// After a first failure; it doubles with each further one.
    least: Duration,
    /// The longest, and so the interval at which an open breaker lets one try pass.
    most: Duration,
}

impl Rests {
    fn of(world: World) -> Self {
        match world {
            // Its clients get an answer meanwhile, and it is a bad one.
            World::Authorizer => Rests {
                least: Duration::from_millis(50),
                most: Duration::from_secs(10),
            },
            World::Recipe | World::Assignor => Rests {
                least: Duration::from_millis(100),
                most: Duration::from_secs(30),
            },
        }
    }
}

/// The failures of one binding under one activation.
///
/// Invariant: it rests only after a failure, and no longer than the longest rest of its world.
#[derive(Debug)]
pub(super) struct Health {
    rests: Rests,
    /// In a row.
    failures: u32,
    rests_until: Instant,
    /// The newest policy that it is known to fail with, and when one was last tried early.
    failed_policy: Zxid,
    tried_early: Option<Instant>,
}

impl Health {
    /// Of a binding that was not invoked yet.
    pub(super) fn new(world: World) -> Health {
        Health {
            rests: Rests::of(world),
            failures: 0,
            rests_until: Instant::default(),
            failed_policy: Zxid(0),
            tried_early: None,
        }
    }

    /// How much longer it is left alone; `None` if it may be invoked, with the policy as of
    /// `policy` (zero where there is none).
    pub(super) fn rests(&mut self, now: Instant, policy: Zxid) -> Option<Duration> {
        if self.failures == 0 || now >= self.rests_until {
            return None;
        }
        let early_at = self.tried_early.map(|at| at + EARLY_TRY_EVERY);
        if policy > self.failed_policy && early_at.is_none_or(|at| now >= at) {
            self.failed_policy = policy;
            self.tried_early = Some(now);
            return None;
        }
        Some(self.rests_until - now)
    }

    /// Books a failure, with the policy as of `policy`.
    pub(super) fn failed(&mut self, now: Instant, policy: Zxid) -> Breaker {
        self.failures = self.failures.saturating_add(1);
        self.failed_policy = self.failed_policy.max(policy);
        let doublings = (self.failures - 1).min(16);
        let rest = self.rests.least.saturating_mul(1 << doublings);
        self.rests_until = now + rest.min(self.rests.most);
        self.breaker()
    }

    /// Books a good invocation; says whether it ended a row of failures.
    pub(super) fn succeeded(&mut self) -> bool {
        self.tried_early = None;
        std::mem::take(&mut self.failures) > 0
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// What is shown of it.
    pub(super) fn breaker(&self) -> Breaker {
        match self.failures {
            0 => Breaker::Closed,
            failures if failures < BREAKER_FAILURES => Breaker::BackingOff,
            _ => Breaker::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_runtime::{Runtime, Sim};

    use super::*;

    const POLICY: Zxid = Zxid(7);

    #[test]
    fn each_failure_in_a_row_doubles_the_rest_and_a_good_invocation_ends_it() {
        Sim::run(1, async |runtime| {
            for (world, first_ms, longest_ms) in [
                (World::Recipe, 100, 30_000),
                (World::Assignor, 100, 30_000),
                (World::Authorizer, 50, 10_000),
            ] {
                let mut health = Health::new(world);
                assert_eq!(health.rests(runtime.now(), POLICY), None);
                let mut expected = Duration::from_millis(first_ms);
                for failure in 1..=40 {
                    let breaker = health.failed(runtime.now(), POLICY);
                    let open = failure >= BREAKER_FAILURES;
                    assert_eq!(breaker == Breaker::Open, open, "{world:?} {failure}");
                    let rest = health.rests(runtime.now(), POLICY);
                    assert_eq!(rest, Some(expected), "{world:?} {failure}");
                    runtime.sleep(expected).await;
                    assert_eq!(health.rests(runtime.now(), POLICY), None);
                    expected = (expected * 2).min(Duration::from_millis(longest_ms));
                }
                assert!(health.succeeded());
                assert_eq!(health.breaker(), Breaker::Closed);
                assert_eq!(health.rests(runtime.now(), POLICY), None);
                assert!(!health.succeeded());
                assert_eq!(health.failed(runtime.now(), POLICY), Breaker::BackingOff);
            }
        });
    }

    /// The policy moves a thousand times a second for a minute, and every try fails.
    #[test]
    fn a_policy_that_moves_with_every_write_resets_no_breaker() {
        Sim::run(2, async |runtime| {
            let mut health = Health::new(World::Authorizer);
            let mut tries = 0;
            for write in 0..60_000 {
                let policy = Zxid(100 + write);
                if health.rests(runtime.now(), policy).is_none() {
                    tries += 1;
                    health.failed(runtime.now(), policy);
                }
                runtime.sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(health.breaker(), Breaker::Open);
            // One in two seconds for the moving policy, and a few as the rests end.
            assert!((25..=50).contains(&tries), "{tries}");
        });
    }

    #[test]
    fn a_policy_that_was_repaired_is_taken_up_soon() {
        Sim::run(3, async |runtime| {
            let mut health = Health::new(World::Authorizer);
            for _ in 0..20 {
                health.failed(runtime.now(), POLICY);
            }
            assert!(health.rests(runtime.now(), POLICY).is_some());
            // The first repair is tried at once; it was none.
            assert_eq!(health.rests(runtime.now(), Zxid(8)), None);
            assert!(health.rests(runtime.now(), Zxid(8)).is_some(), "one try");
            health.failed(runtime.now(), Zxid(8));
            // The second comes too soon after it, and waits its time.
            assert!(health.rests(runtime.now(), Zxid(9)).is_some());
            runtime.sleep(EARLY_TRY_EVERY).await;
            assert!(health.rests(runtime.now(), Zxid(8)).is_some());
            assert_eq!(health.rests(runtime.now(), Zxid(9)), None);
            assert!(health.succeeded());
        });
    }
}

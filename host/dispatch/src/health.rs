//! How a binding fares, and when one that fails is left alone.
//!
//! 1. Every invocation that ends is booked on the [`Health`] of the binding under the activation
//!    that it ran under: [`Health::succeeded`] or [`Health::failed`]. What the host lacked (no
//!    room in the pool, no module) is booked on nobody.
//! 2. After a failure the binding rests, twice as long after each further one; after
//!    [`BREAKER_FAILURES`] in a row its breaker is open: it is shown, and one try passes after
//!    each of the longest rests. One good invocation ends all of it.
//!    After each rest there is one try ([`Health::begin`]): until it has ended, the rest goes on
//!    for everybody else. Of invocations that ran side by side, which only an authorizer's do, the
//!    first failure counts: one fault is not many in a row.
//! 3. A new activation starts with a new health. A policy that moved does not: else an authorizer
//!    whose policy changes with every write would get a new chance with each. It grants one try
//!    before the rest is over, and at most one in [`EARLY_TRY_EVERY`], so that a policy that was
//!    repaired is taken up soon.
//!
//! **Invariant:** failures belong to a binding under one activation: neither a policy that moves
//! nor a successor of the same name changes them. (tests:
//! `a_policy_that_moves_with_every_write_resets_no_breaker`,
//! `a_policy_that_moves_with_every_write_closes_no_breaker`,
//! `a_late_failure_of_a_deleted_binding_is_not_booked_on_its_successor`)

use std::time::Duration;

use innkeeper_runtime::Instant;
use innkeeper_tree::{World, Zxid};

use serde::{Deserialize, Serialize};

/// Whether a binding is being invoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// Normal.
    #[default]
    Closed,
    /// It failed; the next try waits.
    BackingOff,
    /// It failed again and again; it is tried now and then only. Somebody has to look.
    Open,
}

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
/// Invariants:
/// - It rests only after a failure, and no longer than the longest rest of its world and the one
///   try after it.
/// - At most one try is under way.
#[derive(Debug)]
pub(super) struct Health {
    rests: Rests,
    /// In a row.
    failures: u32,
    rests_until: Instant,
    /// The newest policy that it is known to fail with, and when one was last tried early.
    failed_policy: Zxid,
    tried_early: Option<Instant>,
    /// Whether the one try after a rest is under way.
    is_tried: bool,
}

/// The leave to invoke a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It is well: others may have leave as well.
    WithOthers,
    /// It is the one try after a rest, until [`Health::end_try`].
    Alone,
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
            is_tried: false,
        }
    }

    /// How much longer it rests, if it does; for those who invoke it one at a time.
    pub(super) fn rests(&self, now: Instant) -> Option<Duration> {
        (self.failures > 0 && now < self.rests_until).then(|| self.rests_until - now)
    }

    /// Asks for leave to invoke it, with the policy as of `policy`. None while it rests, or is
    /// tried by somebody else.
    pub(super) fn begin(&mut self, now: Instant, policy: Zxid) -> Option<Leave> {
        if self.failures == 0 {
            return Some(Leave::WithOthers);
        }
        if self.is_tried {
            return None;
        }
        if self.rests(now).is_some() {
            let early_at = self.tried_early.map(|at| at + EARLY_TRY_EVERY);
            if policy <= self.failed_policy || early_at.is_some_and(|at| now < at) {
                return None;
            }
            self.failed_policy = policy;
            self.tried_early = Some(now);
        }
        self.is_tried = true;
        Some(Leave::Alone)
    }

    /// The try is over, booked or not: what the host lacked, or a request that went away, says
    /// nothing about the binding.
    pub(super) fn end_try(&mut self) {
        self.is_tried = false;
    }

    /// Books a failure under that leave, with the policy as of `policy`.
    pub(super) fn failed_with(&mut self, leave: Leave, now: Instant, policy: Zxid) -> Breaker {
        self.failed_policy = self.failed_policy.max(policy);
        // It was well when this began, so another one that ran beside it has failed since.
        if leave == Leave::WithOthers && self.failures > 0 {
            return self.breaker();
        }
        self.failed(now, policy)
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
                assert_eq!(health.rests(runtime.now()), None);
                let mut expected = Duration::from_millis(first_ms);
                for failure in 1..=40 {
                    let breaker = health.failed(runtime.now(), POLICY);
                    let open = failure >= BREAKER_FAILURES;
                    assert_eq!(breaker == Breaker::Open, open, "{world:?} {failure}");
                    let rest = health.rests(runtime.now());
                    assert_eq!(rest, Some(expected), "{world:?} {failure}");
                    assert_eq!(health.begin(runtime.now(), POLICY), None);
                    runtime.sleep(expected).await;
                    assert_eq!(health.rests(runtime.now()), None);
                    expected = (expected * 2).min(Duration::from_millis(longest_ms));
                }
                assert!(health.succeeded());
                assert_eq!(health.breaker(), Breaker::Closed);
                assert_eq!(health.rests(runtime.now()), None);
                assert!(!health.succeeded());
                assert_eq!(health.failed(runtime.now(), POLICY), Breaker::BackingOff);
            }
        });
    }

    #[test]
    fn after_a_rest_one_try_passes_however_many_wait() {
        Sim::run(4, async |runtime| {
            let mut health = Health::new(World::Authorizer);
            health.failed(runtime.now(), POLICY);
            runtime.sleep(Duration::from_millis(50)).await;
            let begun = |health: &mut Health| {
                let asked = (0..100).map(|_| health.begin(runtime.now(), POLICY));
                asked.flatten().collect::<Vec<_>>()
            };
            assert_eq!(begun(&mut health), [Leave::Alone]);
            // It went away and said nothing: the next is the try.
            health.end_try();
            assert_eq!(begun(&mut health), [Leave::Alone]);
            health.failed_with(Leave::Alone, runtime.now(), POLICY);
            health.end_try();
            assert_eq!(health.failures(), 2);
            assert_eq!(begun(&mut health), [], "it rests again");
            runtime.sleep(Duration::from_millis(100)).await;
            assert_eq!(begun(&mut health), [Leave::Alone]);
            health.succeeded();
            health.end_try();
            assert_eq!(begun(&mut health), [Leave::WithOthers; 100]);
        });
    }

    #[test]
    fn of_those_that_fail_side_by_side_one_counts() {
        Sim::run(5, async |runtime| {
            let mut health = Health::new(World::Authorizer);
            for _ in 0..20 {
                health.failed_with(Leave::WithOthers, runtime.now(), POLICY);
            }
            assert_eq!(
                (health.failures(), health.breaker()),
                (1, Breaker::BackingOff)
            );
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
                if let Some(leave) = health.begin(runtime.now(), policy) {
                    tries += 1;
                    health.failed_with(leave, runtime.now(), policy);
                    health.end_try();
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
            assert_eq!(health.begin(runtime.now(), POLICY), None);
            // The first repair is tried at once; it was none.
            let first = health.begin(runtime.now(), Zxid(8));
            assert_eq!(first, Some(Leave::Alone));
            assert_eq!(health.begin(runtime.now(), Zxid(9)), None, "one try");
            health.failed_with(Leave::Alone, runtime.now(), Zxid(8));
            health.end_try();
            // The second comes too soon after it, and waits its time.
            assert_eq!(health.begin(runtime.now(), Zxid(9)), None);
            runtime.sleep(EARLY_TRY_EVERY).await;
            assert_eq!(health.begin(runtime.now(), Zxid(8)), None);
            assert_eq!(health.begin(runtime.now(), Zxid(9)), Some(Leave::Alone));
            assert!(health.succeeded());
        });
    }
}

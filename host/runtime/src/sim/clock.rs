//! Time in a simulated world: one clock that drives everything, and the clocks that hosts see.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft_rt::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime, SimSleep};

use crate::Instant;

/// The wall clock at the start of every simulation: 2026-01-01, in milliseconds since 1970.
pub(super) const WALL_START_MS: u64 = 1_767_225_600_000;
/// A timer further off than this never fires: some 100 years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The one true time of a world, which no host sees.
///
/// Outside of the executor, where what a world left behind is dropped, it stands still.
#[derive(Debug, Default)]
pub(super) struct WorldClock {
    last_nanos: AtomicU64,
}

impl WorldClock {
    pub(super) fn now(&self) -> Instant {
        match SimInstant::try_now() {
            Some(now) => {
                let nanos = now.elapsed_since_start().as_nanos() as u64;
                self.last_nanos.store(nanos, Ordering::Relaxed);
                Instant::from_nanos(nanos)
            }
            None => Instant::from_nanos(self.last_nanos.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn sleep_until(&self, deadline: Instant) -> SimSleep {
        SimRuntime::sleep(deadline.since(self.now()).min(NEVER))
    }
}

/// How much faster than the world's time a host's clocks run, in millionths.
///
/// Invariant: it is greater than -1,000,000, so every clock goes forward.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    ppm: i32,
}

const MILLION: i128 = 1_000_000;

impl Rate {
    pub(super) fn new(ppm: i32) -> Self {
        assert!(
            i128::from(ppm) > -MILLION,
            "a clock that is faster by {ppm} millionths would not go forward"
        );
        Self { ppm }
    }

    /// What the host's clock shows after so much time of the world.
    pub(super) fn local(self, world: Duration) -> Duration {
        let rate = MILLION + i128::from(self.ppm);
        nanos(world.as_nanos() as i128 * rate / MILLION)
    }

    /// The least time of the world after which the host's clock shows `local`.
    pub(super) fn world(self, local: Duration) -> Duration {
        let rate = MILLION + i128::from(self.ppm);
        nanos((local.as_nanos() as i128 * MILLION + rate - 1) / rate)
    }
}

fn nanos(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_come_when_its_timer_fires() {
        for ppm in [-999_999, -200, -1, 0, 1, 37, 200, 1_000_000] {
            let rate = Rate::new(ppm);
            for deadline_nanos in [0, 1, 2, 999, 1_000_000, 123_456_789_012] {
                let deadline = Duration::from_nanos(deadline_nanos);
                let fires = rate.world(deadline);
                assert!(rate.local(fires) >= deadline, "{ppm} {deadline:?}");
                let before = fires.saturating_sub(Duration::from_nanos(1));
                assert!(
                    fires.is_zero() || rate.local(before) < deadline,
                    "{ppm} {deadline:?}"
                );
            }
        }
    }
}

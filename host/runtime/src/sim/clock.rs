//! Time in a simulated world: one clock that drives everything, and the clocks that hosts see.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft_rt::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime, SimSleep};

use super::trace::Recorder;
use crate::Instant;

/// The wall clock at the start of every simulation: 2026-01-01, in milliseconds since 1970.
pub(super) const WALL_START_MS: u64 = 1_767_225_600_000;
/// A timer further off than this never fires: some 100 years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The one true time of a world, which no host sees, and the trace of what happens in it.
///
/// Outside of the executor, where what a world left behind is dropped, it stands still.
#[derive(Debug, Default)]
pub(super) struct WorldClock {
    last_nanos: AtomicU64,
    recorder: Recorder,
}

/// The time of the world whose executor runs on this thread.
pub(super) fn world_now() -> Option<Instant> {
    let now = SimInstant::try_now()?;
    Some(Instant::default() + now.elapsed_since_start())
}

/// Waits until a time of the world whose executor runs on this thread.
pub(super) fn world_sleep_until(deadline: Instant) -> SimSleep {
    let now = world_now().unwrap_or_default();
    SimRuntime::sleep(deadline.since(now).min(NEVER))
}

impl WorldClock {
    pub(super) fn now(&self) -> Instant {
        match world_now() {
            Some(now) => {
                self.last_nanos.store(now.as_nanos(), Ordering::Relaxed);
                now
            }
            None => Instant::from_nanos(self.last_nanos.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Adds a line to the world's trace, if one is recorded. The line begins with the time.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        self.recorder
            .add(format_args!("{} {what}", self.now().as_nanos()));
    }

    pub(super) fn sleep_until(&self, deadline: Instant) -> SimSleep {
        world_sleep_until(deadline)
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

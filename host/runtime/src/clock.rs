//! Time: instants of the runtime's monotonic clock, deadlines, and ticks.

use std::fmt;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::time::Duration;

use crate::Runtime;

/// A point of the runtime's monotonic clock, in nanoseconds since the runtime started.
///
/// It says nothing about the time of day ([`Runtime::wall_ms`] does), and it stands still while
/// the machine is suspended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The instant that lies `nanos` nanoseconds after the runtime's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the runtime's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the runtime's start.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({:?})", self.since_start())
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates at the end of time, some 584 years on.
    fn add(self, rhs: Duration) -> Instant {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    /// Saturates at the runtime's start.
    fn sub(self, rhs: Duration) -> Instant {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_sub(nanos))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    /// Saturates at zero.
    fn sub(self, rhs: Instant) -> Duration {
        self.since(rhs)
    }
}

/// The error of [`Runtime::timeout`]: the time limit passed before the future was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time limit passed")]
pub struct Elapsed;

/// Ticks at a fixed period, for code that counts time in ticks.
///
/// Invariants:
/// - Two ticks are at least one period apart, so a late tick counts as one, however late it is.
///   After the process was stopped or the machine suspended, sessions lose one tick and not all the
///   missed ones.
/// - Dropping the future of [`Interval::tick`] loses no tick.
#[derive(Debug)]
pub struct Interval<R: Runtime> {
    runtime: R,
    period: Duration,
    due: Instant,
    sleep: R::Sleep,
}

impl<R: Runtime> Interval<R> {
    pub(crate) fn new(runtime: R, period: Duration) -> Self {
        let due = runtime.now() + period;
        let sleep = runtime.sleep_until(due);
        Self {
            runtime,
            period,
            due,
            sleep,
        }
    }

    /// Waits for the next tick and returns how late it is. The first tick comes one period after
    /// the interval was created.
    pub async fn tick(&mut self) -> Duration {
        Pin::new(&mut self.sleep).await;
        let now = self.runtime.now();
        let late = now - self.due;
        self.due = now + self.period;
        self.sleep = self.runtime.sleep_until(self.due);
        late
    }

    /// Starts the current period anew: the next tick comes one period from now.
    pub fn reset(&mut self) {
        self.due = self.runtime.now() + self.period;
        self.sleep = self.runtime.sleep_until(self.due);
    }
}

//! Stands in for the crate of the same name, whose histograms openraft fills in every step.
//!
//! 1. openraft counts how large its batches are. It shows the counts only with its feature
//!    `runtime-stats`, which Innkeeper leaves out.
//! 2. The crate of that name makes tables for histograms of all sixteen widths when the first one is
//!    made, which is 26 MiB in each node. openraft uses one width, whose table has 2 KiB.
//! 3. So this crate has the names that openraft compiles against, and keeps nothing.
//!    `[patch.crates-io]` in the workspace's `Cargo.toml` puts it in place.
//!
//! **Invariant:** nobody reads these histograms: whoever switches `runtime-stats` on must remove the
//! patch first. openraft does not compile with that feature and this crate, which lacks the chart's
//! text.

use std::fmt;
use std::marker::PhantomData;

/// A histogram that stays empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    /// An empty one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "openraft asks for no more")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// Forgets the value.
    pub const fn record(&mut self, _value: u64) {}

    /// Forgets the value, which came so many times.
    pub const fn record_n(&mut self, _value: u64, _times: u64) {}

    /// Of no samples: all zeros.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

/// The percentiles of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the percentile that its name says")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not counted")
    }
}

/// A chart that shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Adds nothing.
    #[must_use]
    pub const fn add(self, _name: &str, _histogram: Histogram) -> Self {
        self
    }
}

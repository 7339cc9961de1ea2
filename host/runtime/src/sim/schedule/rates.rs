//! How often each kind of fault happens, and how long it lasts.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::kind::FaultKind;

/// How often a kind of fault happens, and how long it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRate {
    /// The mean number in a simulated minute, for each server, pair or cast as the kind's
    /// [scope](FaultKind::scope) says.
    pub per_minute: f64,
    /// The time that a fault lasts is drawn from this range, in whole milliseconds.
    pub lasts: RangeInclusive<Duration>,
}

/// The rates of all kinds of faults. A kind without a rate does not happen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    rates: BTreeMap<FaultKind, FaultRate>,
}

impl Rates {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// A bad day: each kind a few times in a minute, except flipped bits and closed ports, against
    /// which only a server with replicas can do something. The faults last from a moment to a few seconds.
    pub fn rough() -> Self {
        use FaultKind as Kind;
        let rates = [
            (Kind::Kill, 2.0, 100..=4_000),
            (Kind::PowerCut, 2.0, 100..=4_000),
            (Kind::Stop, 2.0, 50..=4_000),
            (Kind::Isolate, 2.0, 50..=6_000),
            (Kind::ClockJump, 2.0, 1_000..=10_000),
            (Kind::Cut, 1.0, 50..=6_000),
            (Kind::Part, 1.0, 50..=6_000),
            (Kind::Reset, 2.0, 0..=0),
            (Kind::SlowLink, 1.0, 500..=5_000),
            (Kind::HeavyTail, 1.0, 500..=5_000),
            (Kind::Split, 1.0, 50..=6_000),
            (Kind::SlowSyncs, 1.0, 500..=5_000),
            (Kind::StallingSyncs, 1.0, 500..=5_000),
            (Kind::FullDisk, 0.5, 500..=4_000),
            (Kind::FailedSync, 0.5, 2_000..=4_000),
            (Kind::CutAtSync, 2.0, 2_000..=4_000),
        ];
        let mut all = Self::none();
        for (kind, per_minute, lasts_ms) in rates {
            all = all.with(kind, per_minute, lasts_ms);
        }
        all
    }

    /// Sets the rate of a kind: the mean number in a simulated minute, and the range of how long
    /// it lasts, in milliseconds.
    ///
    /// # Panics
    ///
    /// If the number is negative or infinite, or the range is empty.
    pub fn with(mut self, kind: FaultKind, per_minute: f64, lasts_ms: RangeInclusive<u64>) -> Self {
        assert!(
            per_minute.is_finite() && per_minute >= 0.0 && !lasts_ms.is_empty(),
            "{per_minute} times a minute for {lasts_ms:?} ms is no rate of a fault"
        );
        let [least, most] = [*lasts_ms.start(), *lasts_ms.end()].map(Duration::from_millis);
        let rate = FaultRate {
            per_minute,
            lasts: least..=most,
        };
        self.rates.insert(kind, rate);
        self
    }

    /// Takes a kind out.
    pub fn without(mut self, kind: FaultKind) -> Self {
        self.rates.remove(&kind);
        self
    }

    /// The same kinds, so many times as often.
    pub fn times(mut self, factor: f64) -> Self {
        for rate in self.rates.values_mut() {
            rate.per_minute *= factor;
        }
        self
    }

    /// The rate of a kind; `None` if it does not happen.
    pub fn of(&self, kind: FaultKind) -> Option<&FaultRate> {
        let rate = self.rates.get(&kind);
        rate.filter(|rate| rate.per_minute > 0.0)
    }
}

//! The account of what one binding used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::clock::Clock;

/// The greatest factor by which the fuel of a binding counts that keeps failing.
const FACTOR_MOST: u32 = 64;

/// How far a binding in good standing may be behind the present ones, in units of fuel: about a
/// millisecond. A small reaction runs to its end without a pause, and an idle hour earns no
/// more than this.
const CREDIT_FUEL: u64 = 1_000_000;

/// What a binding may use at once before it is heavy, in units of fuel: about ten milliseconds.
const LIGHT_FUEL: i64 = 10_000_000;

/// What it gets back of that with each microsecond: about a tenth of one thread.
const LIGHT_FUEL_PER_US: i64 = 100;

/// What is left of the fuel that a binding may use and still be light. It may be less than
/// nothing, down to `-LIGHT_FUEL`: then the binding is heavy for a tenth of a second more.
#[derive(Debug)]
struct Light {
    fuel: i64,
    /// As of when, in microseconds.
    at_us: u64,
}

/// How far the present bindings have come: what the last one that got a turn had used.
#[derive(Debug, Default)]
pub(crate) struct VirtualTime(AtomicU64);

impl VirtualTime {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// It never goes back.
    pub(crate) fn reach(&self, used: u64) {
        self.0.fetch_max(used, Ordering::Relaxed);
    }
}

/// One binding's account with all that guests share.
///
/// Invariants:
/// - What it used never shrinks, and it is never further behind the virtual time than
///   `CREDIT_FUEL`; in doubtful standing it is not behind at all.
/// - It is in good standing if and only if its last invocation ended well.
#[derive(Debug)]
pub struct Account {
    time: Arc<VirtualTime>,
    used: AtomicU64,
    failures: AtomicU32,
    is_proven: AtomicBool,
    light: Mutex<Light>,
    /// How many of its invocations are being run.
    computing: AtomicU32,
    clock: Clock,
}

/// An invocation is being run, until this is dropped.
pub(crate) struct Computing<'a>(&'a Account);

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.computing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Account {
    pub(crate) fn new(time: Arc<VirtualTime>, clock: Clock) -> Arc<Account> {
        Arc::new(Account {
            used: AtomicU64::new(time.now()),
            time,
            failures: AtomicU32::new(0),
            is_proven: AtomicBool::new(false),
            light: Mutex::new(Light {
                fuel: LIGHT_FUEL,
                at_us: clock.now_us(),
            }),
            computing: AtomicU32::new(0),
            clock,
        })
    }

    /// Notes an invocation that ended well.
    pub fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.is_proven.store(true, Ordering::Relaxed);
    }

    /// Notes a failure, by their number in a row: what the binding uses from now on counts one
    /// time more for each of them, 64 times at most.
    pub fn failed(&self, failures: u32) {
        self.failures.store(failures, Ordering::Relaxed);
        self.is_proven.store(false, Ordering::Relaxed);
    }

    /// Has it not had a good invocation yet, or has it failed since?
    pub(crate) fn is_doubtful(&self) -> bool {
        !self.is_proven.load(Ordering::Relaxed)
    }

    /// What counts as used, in units of fuel. A binding that comes back starts about where the
    /// present ones are.
    pub fn used(&self) -> u64 {
        let now = self.time.now();
        let least = match self.is_doubtful() {
            true => now,
            false => now.saturating_sub(CREDIT_FUEL),
        };
        self.used.fetch_max(least, Ordering::Relaxed).max(least)
    }

    /// Charges fuel.
    pub(crate) fn charge(&self, fuel: u64) {
        let factor = (self.failures.load(Ordering::Relaxed) + 1).min(FACTOR_MOST);
        self.used
            .fetch_add(fuel.saturating_mul(factor.into()), Ordering::Relaxed);
        let mut light = self.light.lock();
        let fuel = i64::try_from(fuel).unwrap_or(i64::MAX);
        light.fuel = light.fuel.saturating_sub(fuel).max(-LIGHT_FUEL);
    }

    /// Notes that one of its invocations is run from now on.
    pub(crate) fn computes(&self) -> Computing<'_> {
        self.computing.fetch_add(1, Ordering::Relaxed);
        Computing(self)
    }

    /// Whether what runs for it now is to run where nobody else wants to.
    pub fn wants_spare_thread(&self) -> bool {
        self.computing.load(Ordering::Relaxed) > 0 && self.is_heavy()
    }

    /// Whether it used more than a tenth of a thread lately, or is in doubtful standing.
    pub(crate) fn is_heavy(&self) -> bool {
        if self.is_doubtful() {
            return true;
        }
        let mut light = self.light.lock();
        let now_us = self.clock.now_us();
        let since_us = i64::try_from(now_us.saturating_sub(light.at_us)).unwrap_or(i64::MAX);
        let back = since_us.saturating_mul(LIGHT_FUEL_PER_US);
        light.fuel = light.fuel.saturating_add(back).min(LIGHT_FUEL);
        light.at_us = now_us;
        light.fuel <= 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_used_more_than_a_tenth_of_a_thread_lately_is_heavy_and_light_again_later() {
        let now_us = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&now_us);
        let clock = Clock::new(move || Duration::from_micros(shown.load(Ordering::Relaxed)));
        let account = Account::new(Arc::default(), clock);
        assert!(account.is_heavy(), "it is not proven yet");
        account.succeeded();
        assert!(!account.is_heavy());
        // A twentieth of a thread, for ten seconds.
        for _ in 0..10_000 {
            account.charge(50_000);
            now_us.fetch_add(1000, Ordering::Relaxed);
            assert!(!account.is_heavy());
        }
        // All of one.
        let light = (1..100).find(|_| {
            account.charge(1_000_000);
            now_us.fetch_add(1000, Ordering::Relaxed);
            account.is_heavy()
        });
        assert!((10..13).contains(&light.expect("it ends")), "{light:?}");
        assert!(!account.wants_spare_thread(), "nothing of it runs");
        let computing = account.computes();
        assert!(account.wants_spare_thread());
        drop(computing);
        assert!(!account.wants_spare_thread());
        now_us.fetch_add(100_000, Ordering::Relaxed);
        assert!(!account.is_heavy());
        account.failed(1);
        assert!(account.is_heavy());
    }
}

//! What one binding used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// How many times over the fuel of a binding counts at most that keeps failing.
const FACTOR_MOST: u32 = 64;

/// What a binding in good standing may be behind those who are present, in units of fuel: about
/// a millisecond. A small reaction runs to its end without a pause, and an idle hour earns no
/// more than this.
const CREDIT_FUEL: u64 = 1_000_000;

/// How far those have come who are present: what the last one that got a turn had used.
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
/// - It is in good standing exactly while its last invocation was a good one.
#[derive(Debug)]
pub struct Account {
    time: Arc<VirtualTime>,
    used: AtomicU64,
    failures: AtomicU32,
    is_proven: AtomicBool,
}

impl Account {
    pub(crate) fn new(time: Arc<VirtualTime>) -> Arc<Account> {
        Arc::new(Account {
            used: AtomicU64::new(time.now()),
            time,
            failures: AtomicU32::new(0),
            is_proven: AtomicBool::new(false),
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

    /// What counts as used, in units of fuel; who comes back starts about where those are who are
    /// present.
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
    }
}

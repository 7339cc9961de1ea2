//! The lag: how far `state.redb` lies behind the applied commands, and how fast proposals may go
//! on.
//!
//! 1. Applied commands add to the lag. A checkpoint takes over what was applied at its capture,
//!    reports how much of it is written, and makes it durable.
//! 2. The bytes that are not written yet slow proposals down. Below a small part of the budget they
//!    are free; above it they are slowed down gradually, towards the speed of checkpoints, so that
//!    a long load meets no pause.
//! 3. When the bytes that are not durable reach the budget, proposals wait. This bounds the part of
//!    the log that a start replays, and the lists of changed records.
//!
//! The lag is counted in the encoded bytes of commands. Each command counts for at least
//! [`ENTRY_BYTES_LEAST`], because a record costs time even if it is short.

use std::time::Duration;

use parking_lot::Mutex;

/// The least number of bytes for which a command counts.
pub(crate) const ENTRY_BYTES_LEAST: u64 = 128;

/// A checkpoint begins when this part of the budget was applied since the last one began, so that a
/// few large commands do not slow proposals down before a checkpoint is written.
const DUE_PART: f64 = 1.0 / 16.0;

/// Proposals are slowed down from this part of the budget on.
const FREE_PART: f64 = 1.0 / 8.0;

/// Proposals are almost stopped at this part of the budget. While a checkpoint of this size is
/// written, as much may be applied after it, so a steady load never reaches the whole budget.
const SLOWEST_PART: f64 = 1.0 / 2.0;

/// The assumed speed of checkpoints in bytes per second, until one was measured.
const FIRST_RATE: f64 = (16 << 20) as f64;

/// Proposals are never slower than this part of the speed of checkpoints; beyond that they wait.
const SLOWEST_RATE_PART: f64 = 1.0 / 16.0;

/// A checkpoint of fewer bytes is not used to measure the speed: most of its time does not depend
/// on its size.
const MEASURED_BYTES_LEAST: u64 = 1 << 20;

/// The number of bytes for which a command of so many encoded bytes counts.
pub(crate) fn weight(encoded_bytes: usize) -> u64 {
    (encoded_bytes as u64).max(ENTRY_BYTES_LEAST)
}

#[derive(Debug)]
struct State {
    applied: u64,
    /// The end of the checkpoint that is being written, and the written part of it, from 0 to 1.
    writing: Option<(u64, f64)>,
    durable: u64,
    /// The speed of the last checkpoints in bytes per second.
    rate: f64,
}

/// The lag of the checkpoints.
///
/// Invariants:
/// - `durable` is at most the end of the checkpoint that is being written, which is at most
///   `applied`.
/// - These numbers only set the pace of proposals. They do not decide what is durable.
#[derive(Debug)]
pub(crate) struct Lag {
    state: Mutex<State>,
    budget: f64,
}

impl Lag {
    /// Nothing is applied yet. At most `budget` bytes may be applied and not durable.
    pub(crate) fn new(budget: u64) -> Lag {
        Lag {
            state: Mutex::new(State {
                applied: 0,
                writing: None,
                durable: 0,
                rate: FIRST_RATE,
            }),
            budget: budget.max(1) as f64,
        }
    }

    /// Adds applied bytes and returns the new sum.
    pub(crate) fn applied(&self, more: u64) -> u64 {
        let mut state = self.state.lock();
        state.applied += more;
        state.applied
    }

    /// Are so many bytes since the last checkpoint enough for another, however few the commands?
    pub(crate) fn is_due(&self, bytes: u64) -> bool {
        bytes as f64 >= self.budget * DUE_PART
    }

    /// A checkpoint begins to be written; it holds the first `upto` applied bytes.
    pub(crate) fn begins(&self, upto: u64) {
        self.state.lock().writing = Some((upto, 0.0));
    }

    /// Notes how many records of the checkpoint are written.
    pub(crate) fn wrote(&self, records: usize, of: usize) {
        let mut state = self.state.lock();
        if let Some((_, part)) = &mut state.writing {
            *part = (records as f64 / of.max(1) as f64).min(1.0);
        }
    }

    /// The checkpoint is durable, and took so long.
    pub(crate) fn ends(&self, took: Duration) {
        let mut state = self.state.lock();
        let Some((upto, _)) = state.writing.take() else {
            return;
        };
        let bytes = upto.saturating_sub(state.durable);
        state.durable = upto;
        let seconds = took.as_secs_f64();
        if bytes >= MEASURED_BYTES_LEAST && seconds > 0.0 {
            state.rate = (state.rate + bytes as f64 / seconds) / 2.0;
        }
    }

    /// A snapshot has replaced the state, so everything that was applied is durable.
    pub(crate) fn installed(&self) {
        let mut state = self.state.lock();
        state.writing = None;
        state.durable = state.applied;
    }

    /// The bytes that are applied and not durable.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state.lock();
        state.applied - state.durable
    }

    /// Is the budget used up, with so many bytes proposed and not yet applied?
    pub(crate) fn is_full(&self, flying: u64) -> bool {
        let state = self.state.lock();
        (state.applied + flying - state.durable) as f64 >= self.budget
    }

    /// The time that so many bytes should take; `None` if proposals are free.
    pub(crate) fn pace(&self, bytes: u64, flying: u64) -> Option<Duration> {
        let state = self.state.lock();
        let written = match state.writing {
            Some((upto, part)) => state.durable as f64 + (upto - state.durable) as f64 * part,
            None => state.durable as f64,
        };
        let unwritten = (state.applied + flying) as f64 - written;
        let pressure = (unwritten / self.budget - FREE_PART) / (SLOWEST_PART - FREE_PART);
        if pressure <= 0.0 {
            return None;
        }
        // In the middle, proposals are as fast as checkpoints; below it faster, above it slower.
        let part = ((1.0 - pressure) / pressure).max(SLOWEST_RATE_PART);
        Some(Duration::from_secs_f64(bytes as f64 / (state.rate * part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u64 = 512 << 20;
    const MIB: u64 = 1 << 20;

    #[test]
    fn proposals_are_free_up_to_an_eighth_of_the_budget_and_wait_at_all_of_it() {
        let lag = Lag::new(BUDGET);
        lag.applied(BUDGET / 8);
        assert_eq!(lag.pace(1000, 0), None);
        assert!(lag.pace(1000, MIB).is_some());
        assert!(!lag.is_full(BUDGET - BUDGET / 8 - 1));
        assert!(lag.is_full(BUDGET - BUDGET / 8));
        lag.applied(BUDGET - BUDGET / 8);
        lag.begins(BUDGET);
        lag.wrote(1, 1);
        // What is written is not durable.
        assert!(lag.is_full(0));
        lag.ends(Duration::from_secs(1));
        assert!(!lag.is_full(0));
        assert_eq!(lag.pace(1000, 0), None);
    }

    #[test]
    fn the_more_is_unwritten_the_slower_and_never_by_a_step() {
        let lag = Lag::new(BUDGET);
        let mut last = Duration::ZERO;
        let mut longest_step = 1.0_f64;
        for _ in 0..512 {
            lag.applied(MIB);
            let pace = lag.pace(100 * 1024, 0).unwrap_or_default();
            assert!(pace >= last, "{pace:?} after {last:?}");
            if last > Duration::from_micros(500) {
                longest_step = longest_step.max(pace.as_secs_f64() / last.as_secs_f64());
            }
            last = pace;
        }
        assert!(longest_step < 1.5, "{longest_step}");
        // A sixteenth of the first rate, at the slowest.
        assert_eq!(last, Duration::from_secs_f64(100.0 / 1024.0));
    }

    /// A load that could write twice as fast as checkpoints do, for ten minutes: proposals are
    /// slowed down to the speed of checkpoints, and never stop or use up the budget.
    #[test]
    fn a_long_load_is_paced_to_the_speed_of_checkpoints() {
        const BATCH: u64 = 128 << 10;
        const CHECKPOINTS: f64 = (10 * MIB) as f64;
        const LOAD: f64 = (20 * MIB) as f64;
        let lag = Lag::new(BUDGET);
        let (mut now, mut total, mut longest) = (0.0_f64, 0, 0.0_f64);
        let mut late = 0;
        // Begun when, of how many bytes, and up to where.
        let mut work: Option<(f64, u64)> = None;
        let mut durable = 0;
        while now < 600.0 {
            assert!(!lag.is_full(BATCH), "at {now} s");
            let least = BATCH as f64 / LOAD;
            let pause = lag.pace(BATCH, 0).unwrap_or_default().as_secs_f64();
            longest = longest.max(pause);
            now += pause.max(least);
            total = lag.applied(BATCH);
            if now > 300.0 && late == 0 {
                late = total;
            }
            match work {
                None => {
                    lag.begins(total);
                    work = Some((now, total));
                }
                Some((began, upto)) => {
                    let all = (upto - durable) as f64;
                    let done = (now - began) * CHECKPOINTS;
                    if done >= all {
                        lag.ends(Duration::from_secs_f64(all / CHECKPOINTS));
                        durable = upto;
                        work = None;
                    } else {
                        lag.wrote((done / all * 1000.0) as usize, 1000);
                    }
                }
            }
        }
        let rate = (total - late) as f64 / 300.0;
        assert!((0.9..1.1).contains(&(rate / CHECKPOINTS)), "{rate}");
        // A batch is 12.5 ms at the speed of checkpoints.
        assert!(longest < 0.1, "{longest}");
    }
}

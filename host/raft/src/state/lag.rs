//! How far `state.redb` lies behind what was applied, and how fast the door may go on.
//!
//! 1. Applying adds to what is applied; a checkpoint takes over what was applied at its capture,
//!    writes it, tells how much of it is written, and makes it durable.
//! 2. What is not written yet presses on the door. Below a small part of the budget it may do
//!    what it likes; above, it is slowed down smoothly, towards the speed at which checkpoints
//!    are written, so that a long load meets no pause.
//! 3. At the whole budget, counted by what is not durable, the door waits: this bounds the log
//!    that a start replays, and the lists of what changed.
//!
//! Everything is counted in bytes of the commands' encodings; each counts for
//! [`ENTRY_BYTES_LEAST`] at least, because a row has its price, too.

use std::time::Duration;

use parking_lot::Mutex;

/// What a command counts for at least.
pub(crate) const ENTRY_BYTES_LEAST: u64 = 128;

/// A checkpoint is begun when this part of the budget was applied since the last one began, so that
/// few large commands slow nobody down before one is under way.
const DUE_PART: f64 = 1.0 / 16.0;

/// The door is slowed down from this part of the budget on …
const FREE_PART: f64 = 1.0 / 8.0;

/// … and almost stopped at this one. Twice as much is not durable at most while a checkpoint of
/// that size is written and as much comes after it, so a steady load never meets the whole budget.
const SLOWEST_PART: f64 = 1.0 / 2.0;

/// The speed of checkpoints in bytes per second, before one was measured.
const FIRST_RATE: f64 = (16 << 20) as f64;

/// The door is never slower than this part of the speed of checkpoints; beyond that, it waits.
const SLOWEST_RATE_PART: f64 = 1.0 / 16.0;

/// A checkpoint of fewer bytes tells nothing about speed: it is all begin and end.
const MEASURED_BYTES_LEAST: u64 = 1 << 20;

/// What a command of that many bytes counts for.
pub(crate) fn weight(encoded_bytes: usize) -> u64 {
    (encoded_bytes as u64).max(ENTRY_BYTES_LEAST)
}

#[derive(Debug)]
struct State {
    applied: u64,
    /// Up to where the checkpoint in work goes, and which part of it is written.
    writing: Option<(u64, f64)>,
    durable: u64,
    /// Bytes per second at which checkpoints were written lately.
    rate: f64,
}

/// The lag of the checkpoints.
///
/// Invariants:
/// - `durable` is at most what the checkpoint in work goes up to, and that at most `applied`.
/// - Nothing here decides what is durable: these are figures for the door alone.
#[derive(Debug)]
pub(crate) struct Lag {
    state: Mutex<State>,
    budget: f64,
}

impl Lag {
    /// Nothing is applied; `budget` is how many bytes may be applied and not durable.
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

    /// More was applied; returns how much that is in all.
    pub(crate) fn applied(&self, more: u64) -> u64 {
        let mut state = self.state.lock();
        state.applied += more;
        state.applied
    }

    /// Whether so many bytes are enough for a checkpoint, however few commands they are.
    pub(crate) fn is_due(&self, bytes: u64) -> bool {
        bytes as f64 >= self.budget * DUE_PART
    }

    /// A checkpoint of what had been applied by then is written from now on.
    pub(crate) fn begins(&self, upto: u64) {
        self.state.lock().writing = Some((upto, 0.0));
    }

    /// So many of its records are written, of all.
    pub(crate) fn wrote(&self, records: usize, of: usize) {
        let mut state = self.state.lock();
        if let Some((_, part)) = &mut state.writing {
            *part = (records as f64 / of.max(1) as f64).min(1.0);
        }
    }

    /// It is durable, and took that long.
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

    /// Whether the budget is used up, with so many bytes proposed and not yet applied.
    pub(crate) fn is_full(&self, flying: u64) -> bool {
        let state = self.state.lock();
        (state.applied + flying - state.durable) as f64 >= self.budget
    }

    /// How long the door should take over so many bytes; `None` where it is free.
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
        // Half-way it is as fast as the checkpoints; below it is faster, above slower.
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
    fn the_door_is_free_until_an_eighth_and_closed_at_all_of_the_budget() {
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

    /// A load that could write twice as fast as checkpoints do, for ten minutes: the door is
    /// paced to their speed, and neither ever stands still nor uses up its budget.
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

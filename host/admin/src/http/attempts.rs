//! Wrong names and passwords over HTTP: logged, counted and slowed down.
//!
//! Each address has a bucket of wrong attempts: [`AT_ONCE`] of them, one more every [`EACH`].
//! While it is empty, no password from that address is compared, so that no answer tells whether
//! it would have been right. Other addresses notice nothing, and the admin socket needs no password.
//!
//! Bounds: [`ORIGINS_MAX`] addresses are remembered; where there are more, the one that would be
//! forgotten first is. A line of the log is written for at most [`LINES_MOST`] attempts, and
//! the next one says how many there were besides.

use std::collections::BTreeMap;
use std::time::Duration;

use innkeeper_dispatch::{Flow, Most};
use innkeeper_runtime::Instant;
use parking_lot::Mutex;

use super::places::Origin;

/// Wrong attempts that an address may make without waiting.
const AT_ONCE: u32 = 10;

/// The time after which one more is allowed.
const EACH: Duration = Duration::from_secs(5);

/// Addresses that are remembered.
const ORIGINS_MAX: usize = 1024;

/// Wrong attempts of all addresses together that the log names one by one in a second.
const LINES_MOST: Most = Most {
    lines: 5,
    bytes: usize::MAX,
};

/// The wrong attempts, by address.
#[derive(Default)]
pub(super) struct Attempts {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When the bucket of an address will be full again; those whose bucket is full are not here.
    full_at: BTreeMap<Origin, Instant>,
    flow: Flow,
}

impl Attempts {
    /// May an attempt of that address be looked at? If not, how long until then.
    pub(super) fn may_try(&self, origin: Origin, now: Instant) -> Result<(), Duration> {
        let seen = self.seen.lock();
        let Some(full_at) = seen.full_at.get(&origin) else {
            return Ok(());
        };
        // One attempt more must fit.
        let room_at = *full_at + EACH - EACH * AT_ONCE;
        match room_at.since(now) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// It was wrong. What the log shall have of it: nothing, or a line, which tells how many
    /// attempts before it have none.
    pub(super) fn was_wrong(&self, origin: Origin, now: Instant) -> Option<u64> {
        let mut seen = self.seen.lock();
        seen.full_at.retain(|_, full_at| *full_at > now);
        if seen.full_at.len() >= ORIGINS_MAX && !seen.full_at.contains_key(&origin) {
            let first = seen.full_at.iter().min_by_key(|(_, full_at)| **full_at);
            if let Some(first) = first.map(|(first, _)| *first) {
                seen.full_at.remove(&first);
            }
        }
        let full_at = seen.full_at.entry(origin).or_insert(now);
        *full_at = *full_at + EACH;
        seen.flow.take(now, 0, LINES_MOST)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn from(number: u16) -> Origin {
        let [high, low] = number.to_be_bytes();
        Origin::of(Some(SocketAddr::from(([10, 0, high, low], 1))))
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn ten_may_be_wrong_at_once_and_one_more_every_five_seconds() {
        let attempts = Attempts::default();
        for _ in 0..AT_ONCE {
            assert_eq!(attempts.may_try(from(1), at(100)), Ok(()));
            attempts.was_wrong(from(1), at(100));
        }
        assert_eq!(attempts.may_try(from(1), at(100)), Err(EACH));
        assert_eq!(
            attempts.may_try(from(1), at(103)),
            Err(EACH - Duration::from_secs(3))
        );
        assert_eq!(attempts.may_try(from(1), at(105)), Ok(()));
        attempts.was_wrong(from(1), at(105));
        assert_eq!(attempts.may_try(from(1), at(105)), Err(EACH));
        // Others do not feel it, and it is forgotten.
        assert_eq!(attempts.may_try(from(2), at(105)), Ok(()));
        attempts.was_wrong(from(2), at(1000));
        assert_eq!(attempts.seen.lock().full_at.len(), 1);
    }

    #[test]
    fn a_guesser_is_slowed_down_to_one_in_five_seconds() {
        let attempts = Attempts::default();
        let tried = (0..1000)
            .filter(|second| {
                let now = at(*second);
                let may = attempts.may_try(from(1), now).is_ok();
                if may {
                    attempts.was_wrong(from(1), now);
                }
                may
            })
            .count();
        // Ten at once, and each of the others five seconds after the one before.
        assert_eq!(tried, 10 + 199);
    }

    #[test]
    fn any_number_of_addresses_takes_bounded_memory_and_forgets_the_least() {
        let attempts = Attempts::default();
        for _ in 0..AT_ONCE {
            attempts.was_wrong(from(0), at(1));
        }
        for number in 1..5000 {
            attempts.was_wrong(from(number), at(1));
        }
        assert_eq!(attempts.seen.lock().full_at.len(), ORIGINS_MAX);
        assert!(attempts.may_try(from(0), at(1)).is_err());
    }

    #[test]
    fn the_log_has_few_lines_and_knows_how_many_it_lacks() {
        let attempts = Attempts::default();
        let wrong = |now| attempts.was_wrong(from(1), now);
        let lines: Vec<_> = (0..100).filter_map(|_| wrong(at(1))).collect();
        assert_eq!(lines, [0; 5]);
        assert_eq!(wrong(at(2)), Some(95));
    }
}

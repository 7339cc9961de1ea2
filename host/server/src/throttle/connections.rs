//! Limits the connect requests that come at a time: ZooKeeper's connection throttle.
//!
//! 1. Every connect request takes tokens out of a bucket, which fills with time. Without enough
//!    tokens the connection is closed unanswered; the client tries again, perhaps at another node.
//! 2. If `freezeTime` is set, requests are also dropped at random. Once per freeze time the chance
//!    of that grows if the bucket is empty, and shrinks if it is full enough.
//!
//! Everything is off unless `zookeeper.connection_throttle_tokens` sets the size of the bucket.

use innkeeper_runtime::Instant;
use parking_lot::Mutex;

use crate::settings::ConnectionThrottleSettings;

/// The kind of session that a connect request asks for; each kind has its price in tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// A new session that the whole service knows.
    Session,
    /// A new session that only this node knows.
    LocalSession,
    /// A session that the client had before.
    OldSession,
}

/// A bucket of tokens.
///
/// Invariant: it never holds more tokens than its settings say.
#[derive(Debug)]
pub(crate) struct ConnectionThrottle {
    settings: ConnectionThrottleSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: u64,
    /// When tokens were last added.
    filled: Instant,
    /// When the chance below was last changed.
    adjusted: Instant,
    /// The chance, between 0 and 1, that a request is dropped.
    drop_chance: f64,
}

impl ConnectionThrottle {
    /// A full bucket.
    pub(crate) fn new(settings: ConnectionThrottleSettings, now: Instant) -> Self {
        let state = Mutex::new(State {
            tokens: settings.capacity(),
            filled: now,
            adjusted: now,
            drop_chance: 0.0,
        });
        Self { settings, state }
    }

    /// The current chance, between 0 and 1, that a connect request is dropped at random.
    pub(crate) fn drop_chance(&self) -> f64 {
        self.state.lock().drop_chance
    }

    /// Whether a connect request may go on: it takes its price in tokens out of the bucket, and is
    /// refused if there are too few. `random` is between 0 and 1.
    /// (test: `connect_requests_beyond_the_bucket_are_closed_unanswered`)
    pub(crate) fn admits(
        &self,
        wanted: Wanted,
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> bool {
        let capacity = self.settings.capacity();
        if capacity == 0 {
            return true;
        }
        let mut state = self.state.lock();
        let fill_time_ms = u128::from(self.settings.fill_time_ms.max(1));
        let elapsed_ms = (now - state.filled).as_millis();
        if elapsed_ms > fill_time_ms {
            let fill = elapsed_ms * u128::from(self.settings.fill_tokens()) / fill_time_ms;
            let fill = u64::try_from(fill).unwrap_or(u64::MAX);
            state.tokens = state.tokens.saturating_add(fill).min(capacity);
            state.filled = now;
        }
        if self.settings.freeze_time_ms.is_some() {
            state.adjust_drop_chance(&self.settings, now);
            if random() < state.drop_chance {
                return false;
            }
        }
        let price = self.settings.price(wanted);
        match state.tokens.checked_sub(price) {
            Some(left) => {
                state.tokens = left;
                true
            }
            None => false,
        }
    }
}

impl State {
    /// Adapts the chance, at most once per freeze time.
    fn adjust_drop_chance(&mut self, settings: &ConnectionThrottleSettings, now: Instant) {
        let freeze_time_ms = u128::from(settings.freeze_time_ms.unwrap_or_default());
        if (now - self.adjusted).as_millis() <= freeze_time_ms {
            return;
        }
        let missing = settings.capacity() - self.tokens;
        let enough = settings.capacity() as f64 * settings.decrease_ratio;
        if missing == settings.capacity() {
            self.drop_chance = (self.drop_chance + settings.drop_increase).min(1.0);
        } else if missing as f64 <= enough.round() {
            self.drop_chance = (self.drop_chance - settings.drop_decrease).max(0.0);
        }
        self.adjusted = now;
    }
}

impl ConnectionThrottleSettings {
    /// The size of the bucket in tokens. The setting counts sessions; where sessions are weighed,
    /// it is multiplied by their price.
    fn capacity(&self) -> u64 {
        u64::from(self.tokens) * self.session_price()
    }

    fn fill_tokens(&self) -> u64 {
        u64::from(self.fill_count) * self.session_price()
    }

    fn session_price(&self) -> u64 {
        self.weights.map_or(1, |weights| u64::from(weights.session))
    }

    fn price(&self, wanted: Wanted) -> u64 {
        self.weights.map_or(1, |weights| {
            u64::from(match wanted {
                Wanted::Session => weights.session,
                Wanted::LocalSession => weights.local_session,
                Wanted::OldSession => weights.old_session,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::ConnectionWeights;

    fn settings(tokens: u32) -> ConnectionThrottleSettings {
        ConnectionThrottleSettings {
            tokens,
            fill_time_ms: 10,
            ..ConnectionThrottleSettings::default()
        }
    }

    const NEVER: fn() -> f64 = || 1.0;

    #[test]
    fn the_bucket_empties_and_fills() {
        let start = Instant::default();
        let bucket = ConnectionThrottle::new(settings(2), start);
        let admits = |at_ms| {
            let now = start + Duration::from_millis(at_ms);
            bucket.admits(Wanted::Session, now, NEVER)
        };
        assert!(admits(0) && admits(0));
        assert!(!admits(0) && !admits(9));
        assert!(admits(11) && !admits(11));
        assert!(
            admits(1000) && admits(1000) && !admits(1000),
            "never above its size"
        );
    }

    #[test]
    fn sessions_have_their_prices() {
        let start = Instant::default();
        let weighed = ConnectionThrottleSettings {
            weights: Some(ConnectionWeights {
                session: 3,
                local_session: 1,
                old_session: 2,
            }),
            ..settings(2)
        };
        let bucket = ConnectionThrottle::new(weighed, start);
        let admits = |wanted| bucket.admits(wanted, start, NEVER);
        assert!(admits(Wanted::Session) && admits(Wanted::OldSession));
        assert!(!admits(Wanted::OldSession) && admits(Wanted::LocalSession));
        assert!(!admits(Wanted::LocalSession));
    }

    #[test]
    fn the_chance_to_be_dropped_grows_while_the_bucket_is_empty() {
        let start = Instant::default();
        let blue = ConnectionThrottleSettings {
            fill_time_ms: 1_000_000,
            freeze_time_ms: Some(5),
            drop_increase: 0.5,
            ..settings(1)
        };
        let bucket = ConnectionThrottle::new(blue, start);
        assert!(
            bucket.admits(Wanted::Session, start, || 0.0),
            "no chance yet"
        );
        for tick in 1..=2 {
            let now = start + Duration::from_millis(tick * 6);
            bucket.admits(Wanted::Session, now, NEVER);
        }
        assert_eq!(bucket.state.lock().drop_chance, 1.0);
    }

    #[test]
    fn without_a_size_there_is_no_bucket() {
        let start = Instant::default();
        let bucket = ConnectionThrottle::new(settings(0), start);
        assert!((0..1000).all(|_| bucket.admits(Wanted::Session, start, || 0.0)));
    }
}

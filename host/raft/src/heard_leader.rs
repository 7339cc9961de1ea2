//! When this node heard from leaders. Operators are told by it how long there was none.

use std::sync::Arc;

use innkeeper_runtime::{Instant, Runtime};
use parking_lot::Mutex;

/// The last moment at which a leader was heard, of the newest term and of the one heard before it.
#[derive(Debug, Clone)]
pub(crate) struct HeardLeader<R> {
    runtime: R,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    newest: Option<(u64, Instant)>,
    before: Option<(u64, Instant)>,
}

impl<R: Runtime> HeardLeader<R> {
    pub(crate) fn new(runtime: R) -> Self {
        Self {
            runtime,
            inner: Arc::default(),
        }
    }

    /// The leader of a term is heard now.
    pub(crate) fn note(&self, term: u64) {
        let now = self.runtime.now();
        self.inner.lock().note(term, now);
    }

    /// When the leader of an earlier term was heard last.
    pub(crate) fn before(&self, term: u64) -> Option<Instant> {
        self.inner.lock().before(term)
    }
}

impl Inner {
    fn note(&mut self, term: u64, now: Instant) {
        match self.newest {
            Some((newest, _)) if newest > term => {}
            Some((newest, _)) if newest == term => self.newest = Some((term, now)),
            newest => {
                self.before = newest;
                self.newest = Some((term, now));
            }
        }
    }

    fn before(&self, term: u64) -> Option<Instant> {
        let heard = self.newest.iter().chain(&self.before);
        let mut earlier = heard.filter(|(of, _)| *of < term);
        earlier.next().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_sign_of_an_earlier_leader_is_known_beside_those_of_the_newest() {
        let at = |ms| Instant::default() + Duration::from_millis(ms);
        let mut heard = Inner::default();
        assert_eq!(heard.before(9), None);
        heard.note(1, at(10));
        heard.note(1, at(20));
        assert_eq!(heard.before(1), None);
        assert_eq!(heard.before(2), Some(at(20)));
        heard.note(3, at(90));
        heard.note(3, at(95));
        // A message of the old leader that comes late says nothing new.
        heard.note(1, at(99));
        assert_eq!(heard.before(3), Some(at(20)));
        assert_eq!(heard.before(4), Some(at(95)));
    }
}

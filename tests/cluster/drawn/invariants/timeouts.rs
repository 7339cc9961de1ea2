//! **No session expires before its time.** A node answers a session only while it has had contact
//! with a leader within a third of the session's timeout, and a leader that had contact with it
//! knows what it had heard by then. So from the last answer that came a third before the last
//! request was sent, the session has its whole timeout, whoever leads meanwhile: a new leader owes
//! it to every session again.

use std::collections::BTreeMap;
use std::time::Duration;

use innkeeper_runtime::Instant;

#[derive(Default)]
struct Session {
    timeout: Duration,
    /// When each answered request was sent, and when its answer came.
    answered: Vec<(Instant, Instant)>,
}

/// The signs of life of all sessions.
#[derive(Default)]
pub struct Timeouts {
    all: BTreeMap<i64, Session>,
}

impl Timeouts {
    pub fn connected(&mut self, session: i64, timeout_ms: i32) {
        let timeout = Duration::from_millis(timeout_ms as u64);
        self.all.entry(session).or_default().timeout = timeout;
    }

    pub fn answered(&mut self, session: i64, sent: Instant, came: Instant) {
        let session = self.all.entry(session).or_default();
        session.answered.push((sent, came));
    }

    /// A session has expired, and some node shows it.
    pub fn ended(&self, id: i64, now: Instant) {
        let session = &self.all[&id];
        let Some((last, _)) = session.answered.last() else {
            return;
        };
        let reported = *last - session.timeout / 3;
        let known = session
            .answered
            .iter()
            .rev()
            .find(|(_, came)| *came <= reported);
        if let Some((heard, _)) = known {
            let waited = now.since(*heard);
            assert!(
                waited >= session.timeout,
                "session {id:#x} has expired {waited:?} after a sign of life, and has {:?}",
                session.timeout
            );
        }
    }
}

//! **A new leader owes every session its full timeout.** From the moment at which a leader is
//! established no session that lives in its state expires before its timeout has passed, even if
//! its client has been silent for longer and the leader before was about to end it.

use std::collections::BTreeMap;
use std::time::Duration;

use innkeeper_runtime::Instant;
use innkeeper_server::service::Standing;
use innkeeper_tree::View;

use super::super::run::LOOK;

/// What the leader of the newest term owes.
#[derive(Default)]
pub struct Owed {
    term: u64,
    /// Each session that lived when the leader was seen first: when that was, and its timeout.
    sessions: BTreeMap<i64, (Instant, Duration)>,
}

impl Owed {
    pub fn look(&mut self, standing: Standing, view: &View, now: Instant) {
        let Standing::Leads { term, .. } = standing else {
            return;
        };
        if term <= self.term {
            return;
        }
        self.term = term;
        let live = view.sessions().into_iter().map(|info| {
            let timeout = Duration::from_millis(u64::from(info.timeout_ms));
            (info.session.0 as i64, (now, timeout))
        });
        self.sessions = live.collect();
    }

    /// A session has expired, and some node shows it.
    pub fn ended(&mut self, session: i64, now: Instant) {
        if let Some((seen, timeout)) = self.sessions.remove(&session) {
            let waited = now.since(seen) + LOOK;
            assert!(
                waited >= timeout,
                "session {session:#x} has expired {waited:?} after the leader of term {} was \
                 established, and has {timeout:?}",
                self.term
            );
        }
    }
}

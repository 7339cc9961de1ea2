//! **When a session's expiry commits, no node serves it any more.** What a client sends after some
//! node has applied the expiry is answered nowhere, however long that node was cut off or stopped.
//! And a node refuses a session as expired only if it has.

use std::collections::{BTreeMap, BTreeSet};

use innkeeper_runtime::Instant;
use innkeeper_tree::{SessionId, View};

/// What is known of a session.
#[derive(Default)]
struct Session {
    /// The lowest zxid of a view that showed it.
    seen: Option<u64>,
    /// When a view was seen first that showed its end.
    ended: Option<Instant>,
    /// Its client has closed it, or may have.
    closes: bool,
}

/// All sessions that clients have had.
#[derive(Default)]
pub struct Served {
    all: BTreeMap<i64, Session>,
    refused: BTreeSet<i64>,
}

impl Served {
    /// A session is answered something that was sent at this time.
    pub fn answered(&mut self, session: i64, sent: Instant) {
        let known = self.all.entry(session).or_default();
        if let Some(ended) = known.ended {
            assert!(
                known.closes || sent <= ended,
                "session {session:#x} has ended at {ended:?}, and what was sent at {sent:?} is answered"
            );
        }
    }

    pub fn closes(&mut self, session: i64) {
        self.all.entry(session).or_default().closes = true;
    }

    /// A node says that a session has expired.
    pub fn refused(&mut self, session: i64) {
        self.refused.insert(session);
    }

    /// Looks at a node's state. Returns the sessions that are seen to have expired.
    pub fn look(&mut self, view: &View, now: Instant) -> Vec<i64> {
        let mut expired = Vec::new();
        let zxid = view.zxid().0;
        for (id, session) in &mut self.all {
            if session.ended.is_some() {
                continue;
            }
            match (view.session(SessionId(*id as u64)), session.seen) {
                (Some(_), seen) => session.seen = Some(seen.map_or(zxid, |seen| seen.min(zxid))),
                (None, Some(seen)) if zxid >= seen => {
                    session.ended = Some(now);
                    if !session.closes {
                        expired.push(*id);
                    }
                }
                (None, _) => {}
            }
        }
        expired
    }

    /// No session is left.
    pub fn check(&self) {
        for session in &self.refused {
            let known = &self.all[session];
            assert!(
                known.ended.is_some() || known.seen.is_none(),
                "session {session:#x} was refused and has not ended"
            );
        }
    }
}

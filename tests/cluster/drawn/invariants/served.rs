//! **When a session's expiry commits, no node serves it any more.** What a client sends after some
//! node has applied the expiry is answered nowhere, however long that node was cut off or stopped.
//! And a node refuses a session as expired only if it has.

use std::collections::BTreeMap;

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
    /// A node has refused a session to a client that had asked then; the node was not looked at
    /// since.
    refused: Vec<(u64, i64, Instant)>,
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

    /// A node says that a session has expired. Its client asked at this time, and told what it had
    /// seen: else a node that is behind cannot know that there is the session.
    pub fn refused(&mut self, node: u64, session: i64, sent: Instant) {
        self.refused.push((node, session, sent));
    }

    /// Looks at a node that runs since then: the sessions that it has refused have ended in its
    /// state.
    pub fn look_at(&mut self, node: u64, view: &View, since: Instant) {
        let zxid = view.zxid().0;
        for (_, id, sent) in self.refused.extract_if(.., |(at, ..)| *at == node) {
            let seen = self.all.get(&id).and_then(|session| session.seen);
            if let Some(seen) = seen
                && since <= sent
            {
                let is_there = view.session(SessionId(id as u64)).is_some();
                assert!(
                    !is_there && seen <= zxid,
                    "node {node} at {zxid} has refused session {id:#x}, which was there at {seen}"
                );
            }
        }
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

    /// How many sessions no node has shown.
    pub fn unseen(&self) -> u64 {
        let unseen = self.all.values().filter(|known| known.seen.is_none());
        unseen.count() as u64
    }
}

//! **What a session sees never goes back.** Each answer carries a zxid at least as high as the one
//! before, over all nodes that the session is taken to.

use std::collections::BTreeMap;

/// The last zxid of each session.
#[derive(Default)]
pub struct Zxids {
    last: BTreeMap<i64, i64>,
}

impl Zxids {
    pub fn answered(&mut self, session: i64, zxid: i64) {
        let last = self.last.entry(session).or_default();
        assert!(
            zxid >= *last,
            "session {session:#x} is answered with {zxid}, and was with {last} before"
        );
        *last = zxid;
    }

    /// What the client tells when it connects again.
    pub fn last(&self, session: i64) -> i64 {
        self.last.get(&session).copied().unwrap_or_default()
    }
}

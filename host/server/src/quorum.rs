//! Whether the node's group has a quorum, and which clients are served without one.
//!
//! 1. A task reads the replica's status again and again: a group that knows its leader has its
//!    quorum, and one that has not known any for a while has lost it. A node alone always has it.
//! 2. When the quorum is lost, every connection is closed, as in ZooKeeper. From then on a client
//!    is served only if `readonlymode.enabled` is set and the client agreed to be read-only. It
//!    gets a session that only this node knows (`local_sessions.rs`), with reads, watches and
//!    pings; every write is answered with NotReadOnly. Other clients' connections are closed
//!    without an answer, so that they try another node.
//! 3. When the quorum is back, the read-only sessions end with their connections.

use parking_lot::Mutex;

/// The state of the quorum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// The group has its quorum.
    Held,
    /// The group has lost it: as far as this node knows, there is no leader.
    Lost,
}

/// What the node knows of its quorum.
///
/// Invariant: `changes` grows with every change of what [`Quorum::state`] answers. So a connection
/// that was admitted in one state and has no seat yet can notice that the state has changed.
#[derive(Debug)]
pub struct Quorum {
    inner: Mutex<Inner>,
}

#[derive(Clone, Copy, Debug)]
struct Inner {
    seen: Held,
    pinned: Option<Held>,
    changes: u64,
}

impl Default for Quorum {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                seen: Held::Held,
                pinned: None,
                changes: 0,
            }),
        }
    }
}

impl Quorum {
    /// The current state.
    pub fn state(&self) -> Held {
        self.inner.lock().state()
    }

    /// The current state, and how often it has changed.
    pub(crate) fn moment(&self) -> (Held, u64) {
        let inner = self.inner.lock();
        (inner.state(), inner.changes)
    }

    /// Sets the state from the replica's status. Returns true if the state changed.
    pub(crate) fn see(&self, seen: Held) -> bool {
        self.change(|inner| inner.seen = seen)
    }

    /// Sets the state for a test, or, with `None`, lets the replica's status count again. Returns
    /// true if the state changed.
    pub(crate) fn pin(&self, pinned: Option<Held>) -> bool {
        self.change(|inner| inner.pinned = pinned)
    }

    fn change(&self, make: impl FnOnce(&mut Inner)) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.state();
        make(&mut inner);
        let changed = inner.state() != before;
        inner.changes += u64::from(changed);
        changed
    }
}

impl Inner {
    fn state(&self) -> Held {
        self.pinned.unwrap_or(self.seen)
    }
}

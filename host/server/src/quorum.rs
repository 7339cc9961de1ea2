//! Whether the node's group can decide anything, and what that means for clients.
//!
//! 1. A task asks the replica's status again and again: a group that knows its leader has its
//!    quorum, and one that has not known any for a while has lost it. A node alone always has it.
//! 2. When the quorum is lost, every connection is closed, as in ZooKeeper. From then on a client
//!    is served only if `readonlymode.enabled` is set and it said that it may be read-only; it
//!    gets a session of this node alone (`local.rs`), reads, watches and pings, and every
//!    write is answered with NotReadOnly. Everybody else is closed unanswered, to ask another
//!    node.
//! 3. When the quorum is back, the read-only sessions end with their connections.

use parking_lot::Mutex;

/// Whether the group can decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// It can.
    Held,
    /// It cannot: nobody leads, as far as this node knows.
    Lost,
}

/// What the node knows of its quorum.
///
/// Invariant: `changes` grows with every change of what [`Quorum::state`] answers, so that a
/// connection that was admitted in one state and is not seated yet can tell that it is over.
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
    /// Whether the group can decide.
    pub fn state(&self) -> Held {
        self.inner.lock().state()
    }

    /// The state, and how often it has changed.
    pub(crate) fn moment(&self) -> (Held, u64) {
        let inner = self.inner.lock();
        (inner.state(), inner.changes)
    }

    /// What the replica's status says; true if that changes the state.
    pub(crate) fn see(&self, seen: Held) -> bool {
        self.change(|inner| inner.seen = seen)
    }

    /// Makes the state what a test wants, or what was seen again; true if that changes the state.
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

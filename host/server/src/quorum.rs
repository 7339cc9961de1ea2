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

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Runtime, Select2, select2};
use parking_lot::Mutex;

use crate::delivery::outbox::Close;
use crate::service::Service;
use crate::settings::{QUORUM_CHECK_MS, QUORUM_LOST_CHECKS};

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
    fn see(&self, seen: Held) -> bool {
        self.change(|inner| inner.seen = seen)
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

impl<R: Runtime> Service<R> {
    /// Whether clients are served reads only, and only those that agree to it.
    pub fn is_read_only(&self) -> bool {
        self.settings.read_only_mode && self.quorum.state() == Held::Lost
    }

    /// Makes the quorum what it is told, whatever the replica says; `None` lets the replica say
    /// again. For tests: a node alone cannot lose its quorum.
    pub fn pin_quorum(&self, pinned: Option<Held>) {
        if self.quorum.change(|inner| inner.pinned = pinned) {
            self.quorum_changed();
        }
    }

    /// Nobody keeps a connection that was made under other circumstances.
    /// (test: `a_node_without_its_quorum_serves_reads_to_those_who_agreed`)
    fn quorum_changed(&self) {
        match self.quorum.state() {
            Held::Lost => tracing::warn!("the quorum is lost: connections are closed"),
            Held::Held => tracing::warn!("the quorum is back: read-only connections are closed"),
        }
        self.fanout.close_all(Close::Quorum);
        self.local_sessions.end_read_only(&self.expiry);
    }
}

/// Watches the replica's status until the node stops.
pub(crate) async fn watch<R: Runtime>(service: Arc<Service<R>>) {
    let mut without = 0;
    let mut interval = service
        .runtime
        .interval(Duration::from_millis(QUORUM_CHECK_MS));
    loop {
        if let Select2::First(()) = select2(service.stopping.wait(), interval.tick()).await {
            return;
        }
        let Ok(replica) = service.replica() else {
            return;
        };
        without = match replica.status().leader {
            Some(_) => 0,
            None => (without + 1).min(QUORUM_LOST_CHECKS),
        };
        drop(replica);
        let seen = match without {
            QUORUM_LOST_CHECKS => Held::Lost,
            _ => Held::Held,
        };
        if service.quorum.see(seen) {
            service.quorum_changed();
        }
    }
}

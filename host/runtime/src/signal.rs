//! A signal: many tasks wait for one thing that happens once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A flag that is raised once and never lowered: shutdown, "this connection is closing", "ready".
///
/// Clones are the same flag. Waiting works on every executor, and waiters wake in the order in
/// which they began to wait, so simulation stays reproducible.
#[derive(Debug, Clone, Default)]
pub struct Signal {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    raised: AtomicBool,
    waiters: Notify,
}

impl Signal {
    /// A signal that has not been raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the signal and wakes all waiting tasks. Raising it again does nothing.
    pub fn raise(&self) {
        if !self.shared.raised.swap(true, Ordering::SeqCst) {
            self.shared.waiters.notify_waiters();
        }
    }

    /// Was the signal raised?
    pub fn is_raised(&self) -> bool {
        self.shared.raised.load(Ordering::SeqCst)
    }

    /// Waits until the signal is raised, and returns at once if it was. The future may be dropped
    /// at any time.
    pub async fn wait(&self) {
        let mut waiting = pin!(self.shared.waiters.notified());
        // Registered before the flag is read: a raise in between finds this waiter.
        waiting.as_mut().enable();
        if self.is_raised() {
            return;
        }
        waiting.await;
    }
}

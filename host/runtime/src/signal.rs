//! Something that happens once and that many tasks wait for.

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

    /// Raises it and wakes everyone who waits. Raising it again does nothing.
    pub fn raise(&self) {
        if !self.shared.raised.swap(true, Ordering::SeqCst) {
            self.shared.waiters.notify_waiters();
        }
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.shared.raised.load(Ordering::SeqCst)
    }

    /// Waits until it is raised; returns at once if it was. Dropping the future is harmless.
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

//! A changing value that many tasks follow.

use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The newest value of something: the applied index, who leads, what a disk holds.
///
/// It replaces tokio's `watch`, which wakes tasks in a random order. Clones are the same value.
/// Only the newest value is kept, so a slow reader misses older values.
#[derive(Debug)]
pub struct Latest<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    current: Mutex<Versioned<T>>,
    waiters: Notify,
}

#[derive(Debug)]
struct Versioned<T> {
    value: T,
    version: u64,
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T: Clone> Latest<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Self {
        let current = Mutex::new(Versioned { value, version: 0 });
        Self {
            shared: Arc::new(Shared {
                current,
                waiters: Notify::new(),
            }),
        }
    }

    /// A copy of the newest value.
    pub fn get(&self) -> T {
        self.shared.current.lock().value.clone()
    }

    /// Replaces the value and wakes the readers.
    pub fn set(&self, value: T) {
        self.update(|current| {
            *current = value;
            true
        });
    }

    /// Changes the value in place under its lock. If `change` returns true, the readers are woken.
    /// Returns the result of `change`.
    pub fn update(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let changed = {
            let mut current = self.shared.current.lock();
            let changed = change(&mut current.value);
            if changed {
                current.version += 1;
            }
            changed
        };
        if changed {
            self.shared.waiters.notify_waiters();
        }
        changed
    }

    /// A reader for which the present value counts as seen.
    pub fn reader(&self) -> LatestReader<T> {
        LatestReader {
            seen: self.shared.current.lock().version,
            latest: self.clone(),
        }
    }

    /// Waits until `accept` is true of the newest value and returns that value.
    pub async fn wait_for(&self, mut accept: impl FnMut(&T) -> bool) -> T {
        loop {
            let mut changed = pin!(self.shared.waiters.notified());
            // Registered before the value is read: a change in between finds this waiter.
            changed.as_mut().enable();
            {
                let current = self.shared.current.lock();
                if accept(&current.value) {
                    return current.value.clone();
                }
            }
            changed.await;
        }
    }
}

/// A reader of a [`Latest`]. It remembers which value it has seen last.
#[derive(Debug, Clone)]
pub struct LatestReader<T> {
    latest: Latest<T>,
    seen: u64,
}

impl<T: Clone> LatestReader<T> {
    /// Waits for a value that this reader has not seen, and returns the newest one. The future may
    /// be dropped at any time.
    pub async fn changed(&mut self) -> T {
        loop {
            let mut changed = pin!(self.latest.shared.waiters.notified());
            changed.as_mut().enable();
            {
                let current = self.latest.shared.current.lock();
                if current.version != self.seen {
                    self.seen = current.version;
                    return current.value.clone();
                }
            }
            changed.await;
        }
    }

    /// The newest value. It does not count as seen.
    pub fn newest(&self) -> T {
        self.latest.get()
    }

    /// The newest value, which then counts as seen.
    pub fn get(&mut self) -> T {
        let current = self.latest.shared.current.lock();
        self.seen = current.version;
        current.value.clone()
    }
}

//! What apply has for one connection.
//!
//! 1. The fan-out, holding its lock, pushes events and results in zxid order.
//! 2. It publishes the new view, releases its lock, and wakes the outbox.
//! 3. The connection's task drains the outbox and sends, of what it found, that which the view
//!    it took before contains; the rest waits for the next wake-up.
//!
//! Every outbox is bounded without closing anybody: results by the connection's writes in
//! flight ([`MAX_PENDING_REQUESTS`](crate::settings::MAX_PENDING_REQUESTS)), one-shot events by
//! the watches that its session asked for. A connection whose client does not read stops
//! reading requests, so neither grows.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use innkeeper_tree::applied::SessionResult;
use innkeeper_tree::{AclRef, Zxid};
use parking_lot::Mutex;

/// One thing that apply has for a connection.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A watch fired.
    Event {
        /// Of the command that caused it.
        zxid: Zxid,
        /// The whole frame, encoded once for all who watch.
        frame: Bytes,
        /// The znode's ACL as of the event: the connection judges by it who may see it.
        acl: AclRef,
    },
    /// A command of the session was applied. Every send is answered once, in order.
    Result {
        /// Of the command.
        zxid: Zxid,
        /// Of the session's write.
        seq: u64,
        /// What became of it.
        result: SessionResult,
    },
}

impl Item {
    /// The zxid at which the item takes its place among the replies.
    pub(crate) fn zxid(&self) -> Zxid {
        match self {
            Item::Event { zxid, .. } | Item::Result { zxid, .. } => *zxid,
        }
    }
}

/// Why a connection must end, told from outside of its task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Close {
    /// A newer connection took the session over.
    Superseded,
    /// The session ended, and not by its own wish.
    Ended,
    /// The door refused one of its writes.
    Refused,
    /// The node stops.
    Stopping,
}

/// The outbox of one connection.
///
/// Invariants:
/// - Items stand in zxid order.
/// - Whoever pushes wakes afterwards, when the items' zxids are published; a wake-up is kept
///   until the task asks, even if the items were drained in between, since what was drained
///   before it was published could not be sent yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    close: Option<Close>,
    /// The expiry asks whether input already buffered was read; see [`crate::expiry`].
    probe: bool,
    /// The fan-out will wake it when its batch is published.
    listed: bool,
    woken: bool,
    waker: Option<Waker>,
}

impl Outbox {
    /// Adds an item; true if it is the first since the last wake-up, so that the outbox is to be
    /// put on the list of those to wake.
    pub(crate) fn push(&self, item: Item) -> bool {
        let mut state = self.state.lock();
        state.items.push_back(item);
        !std::mem::replace(&mut state.listed, true)
    }

    /// Asks the task to end its connection, and wakes it.
    pub(crate) fn close(&self, close: Close) {
        self.state.lock().close.get_or_insert(close);
        self.wake();
    }

    /// Asks the task to read what its socket has, and wakes it.
    pub(crate) fn probe(&self) {
        self.state.lock().probe = true;
        self.wake();
    }

    /// Wakes the task.
    pub(crate) fn wake(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.woken = true;
            state.listed = false;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves everything into `arrived`.
    pub(crate) fn drain(&self, arrived: &mut VecDeque<Item>) -> Result<(), Close> {
        let mut state = self.state.lock();
        if let Some(close) = state.close {
            return Err(close);
        }
        if arrived.is_empty() {
            std::mem::swap(arrived, &mut state.items);
        } else {
            arrived.append(&mut state.items);
        }
        Ok(())
    }

    /// Whether a probe waits for its answer; asking takes it.
    pub(crate) fn take_probe(&self) -> bool {
        std::mem::take(&mut self.state.lock().probe)
    }

    /// Ready when the outbox was woken since the last time it was ready.
    pub(crate) fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.woken) {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use innkeeper_tree::applied::Reply;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn result(zxid: u64) -> Item {
        Item::Result {
            zxid: Zxid(zxid),
            seq: zxid,
            result: SessionResult::Done(Reply::Closed),
        }
    }

    /// The task drains two batches at once, the second of which is not published yet: it must be
    /// woken when it is.
    #[test]
    fn each_batch_wakes_even_if_the_last_one_was_not_drained() {
        let (outbox, wakes) = (Outbox::default(), Arc::new(Wakes::default()));
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(outbox.push(result(1)));
        assert!(!outbox.push(result(2)), "once per batch");
        outbox.wake();
        assert!(outbox.poll_woken(&mut cx).is_ready());
        assert!(outbox.push(result(3)), "the next batch wakes again");
        let mut arrived = VecDeque::new();
        assert_eq!(outbox.drain(&mut arrived), Ok(()));
        assert_eq!(arrived.len(), 3);
        assert!(outbox.poll_woken(&mut cx).is_pending());
        outbox.wake();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert!(outbox.poll_woken(&mut cx).is_ready());
    }

    #[test]
    fn a_wake_up_before_the_task_asks_is_kept() {
        let (outbox, wakes) = (Outbox::default(), Arc::new(Wakes::default()));
        let waker = Waker::from(wakes);
        let mut cx = Context::from_waker(&waker);
        outbox.close(Close::Stopping);
        assert!(outbox.poll_woken(&mut cx).is_ready());
        assert!(outbox.poll_woken(&mut cx).is_pending());
        assert_eq!(outbox.drain(&mut VecDeque::new()), Err(Close::Stopping));
    }
}

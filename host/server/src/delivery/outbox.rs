//! What apply delivers to one connection.
//!
//! 1. The fan-out, holding its lock, pushes events and results in zxid order.
//! 2. It publishes the new view, releases its lock, and wakes the outbox.
//! 3. The connection's task takes a view, drains the outbox, and sends the items that the view
//!    contains; the others wait for the next wake-up.
//!
//! Results are bounded by the connection's writes in flight
//! ([`MAX_PENDING_REQUESTS`](crate::settings::MAX_PENDING_REQUESTS)), one-shot events by the
//! watches that its session asked for: a connection whose client does not read stops reading
//! requests, so neither grows, and no connection is closed for them. Events of persistent watches
//! have no such bound, since other clients cause them. Beyond [`MAX_PERSISTENT_EVENTS_BYTES`] of
//! them the connection is closed; the client reconnects and reads again what it watches, as the
//! protocol demands. (test:
//! `a_client_that_does_not_read_its_persistent_events_is_closed_and_nobody_else`)
//!
//! **Invariant:** a full outbox or a slow client stops its own socket, never apply. (tests:
//! `a_slow_reader_stops_itself_alone`, `a_long_set_watches_comes_as_the_socket_drains`)

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use innkeeper_proto::EventType;
use innkeeper_tree::applied::SessionResult;
use innkeeper_tree::{AclRef, Zxid};
use parking_lot::Mutex;

use crate::settings::{EVENT_OVERHEAD_BYTES, MAX_PERSISTENT_EVENTS_BYTES};

/// One thing that apply delivers to a connection.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A watch fired.
    Event(Event),
    /// A command of the session was applied. Every send is answered once, in order.
    Result {
        /// The zxid of the command.
        zxid: Zxid,
        /// The number of the write within its session.
        seq: u64,
        /// The result of the command.
        result: SessionResult,
    },
}

/// An event on its way to one connection that watches.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The zxid of the command that caused it.
    pub(crate) zxid: Zxid,
    /// The whole frame, encoded once for all connections that watch.
    pub(crate) frame: Bytes,
    /// The znode's ACL at the time of the event: it decides whether the client may see the event.
    pub(crate) acl: AclRef,
    /// The event itself, if a persistent watch caused it. It counts against
    /// [`MAX_PERSISTENT_EVENTS_BYTES`] until it is sent, and the authorizers are asked whether the
    /// client may see it.
    pub(crate) persistent: Option<Happened>,
}

/// What an event of a persistent watch is about.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    /// What happened.
    pub(crate) kind: EventType,
    /// The path of the znode.
    pub(crate) path: Arc<str>,
}

impl Event {
    /// The bytes that it counts against [`MAX_PERSISTENT_EVENTS_BYTES`].
    fn persistent_bytes(&self) -> usize {
        match self.persistent {
            Some(_) => self.frame.len() + EVENT_OVERHEAD_BYTES,
            None => 0,
        }
    }
}

impl Item {
    /// The zxid at which the item takes its place among the replies.
    pub(crate) fn zxid(&self) -> Zxid {
        match self {
            Item::Event(Event { zxid, .. }) | Item::Result { zxid, .. } => *zxid,
        }
    }
}

/// Why a connection must end, where another part of the node decides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Close {
    /// A newer connection took the session over.
    Superseded,
    /// The session ended, and its client did not ask for that.
    Ended,
    /// A write of the session was not proposed.
    Refused,
    /// The client does not read the events of its persistent watches.
    Overrun,
    /// The client does not read a large answer, while others wait for room for theirs.
    Stalled,
    /// The node stops.
    Stopping,
    /// The quorum was lost, or is back.
    Quorum,
    /// The state of another node has replaced this one's, and events are missing in between.
    Replaced,
}

/// The outbox of one connection.
///
/// Invariants:
/// - Items are in zxid order.
/// - `persistent_bytes` counts the events of persistent watches that were pushed and neither sent nor
///   dropped by the task; while the connection is open it is at most
///   [`MAX_PERSISTENT_EVENTS_BYTES`].
/// - Nothing is kept for a connection that is to close.
/// - A thread that pushes items wakes the task afterwards, when the items' zxids are published. A
///   wake-up is kept until the task asks for it, even if the items were drained in between, since
///   items that were drained before they were published could not be sent yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    persistent_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    close: Option<Close>,
    /// The expiry asks whether the socket holds unread input; see [`crate::expiry`].
    probe: bool,
    /// The fan-out will wake the task when its batch is published.
    listed: bool,
    woken: bool,
    waker: Option<Waker>,
}

impl Outbox {
    /// Adds an item. Returns true if it is the first since the last wake-up; then the caller puts
    /// the outbox on the list of those to wake.
    pub(crate) fn push(&self, item: Item) -> bool {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return false;
        }
        let bytes = match &item {
            Item::Event(event) => event.persistent_bytes(),
            Item::Result { .. } => 0,
        };
        if bytes > 0 {
            let before = self.persistent_bytes.fetch_add(bytes, Ordering::Relaxed);
            if before + bytes > MAX_PERSISTENT_EVENTS_BYTES {
                state.close = Some(Close::Overrun);
                state.items = VecDeque::new();
                return !std::mem::replace(&mut state.listed, true);
            }
        }
        state.items.push_back(item);
        !std::mem::replace(&mut state.listed, true)
    }

    /// Notes that an event was sent or dropped.
    pub(crate) fn is_done_with(&self, event: &Event) {
        let bytes = event.persistent_bytes();
        if bytes > 0 {
            self.persistent_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// An error if the task is to end its connection.
    pub(crate) fn is_open(&self) -> Result<(), Close> {
        self.state.lock().close.map_or(Ok(()), Err)
    }

    /// Asks the task to end its connection, and wakes it. Returns false if it was asked before.
    pub(crate) fn close(&self, close: Close) -> bool {
        let before = {
            let mut state = self.state.lock();
            let before = state.close;
            state.close = before.or(Some(close));
            before
        };
        self.wake();
        before.is_none()
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

    /// Whether the expiry waits for an answer. The question counts as taken afterwards.
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

    fn event(zxid: u64, bytes: usize, persistent: bool) -> Item {
        Item::Event(Event {
            zxid: Zxid(zxid),
            frame: Bytes::from(vec![0; bytes]),
            acl: AclRef::from(Vec::new()),
            persistent: persistent.then(|| Happened {
                kind: EventType::NodeCreated,
                path: "/a".into(),
            }),
        })
    }

    #[test]
    fn persistent_events_beyond_the_bound_close_and_others_do_not() {
        let outbox = Outbox::default();
        let half = MAX_PERSISTENT_EVENTS_BYTES / 2 - EVENT_OVERHEAD_BYTES;
        for zxid in 0..4 {
            outbox.push(event(zxid, half, false));
        }
        outbox.push(event(4, half, true));
        outbox.push(event(5, half, true));
        let mut arrived = VecDeque::new();
        assert_eq!(outbox.drain(&mut arrived), Ok(()), "exactly at the bound");
        assert_eq!(arrived.len(), 6);
        // Events that were drained and not sent still count; events that were sent do not.
        let Some(Item::Event(sent)) = arrived.pop_back() else {
            panic!("what was pushed last is an event");
        };
        outbox.is_done_with(&sent);
        outbox.push(event(6, half, true));
        assert_eq!(outbox.drain(&mut arrived), Ok(()));
        outbox.wake();
        assert!(outbox.push(event(7, 1, true)), "the task is to be woken");
        assert_eq!(outbox.drain(&mut arrived), Err(Close::Overrun));
        assert!(!outbox.push(result(8)), "nothing is kept for it");
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

//! From apply to the connections: watch events and the results of writes.
//!
//! One batch of applied commands:
//! 1. raft calls [`Delivery::deliver`] on its thread, in zxid order; the one lock is taken.
//! 2. Each command's events are matched against the watch table, encoded once, and pushed into the
//!    outboxes of the connections that watch; then the command's result goes to the session that
//!    sent it.
//! 3. The new view is published, still under the lock; then the lock is released.
//! 4. The connections that got something are woken, tasks that wait for a proposal of this node are
//!    answered, and the listener of bindings is told.
//!
//! The lock is what makes watches exact: a read that sets a watch takes its view and registers
//! while it holds the same lock, so apply is either wholly before both or wholly after both.
//!
//! **Invariant:** events are matched and put into outboxes, and the view is published, under one
//! lock per batch; reads that set a watch use the same lock. Two locks, in whatever order they are
//! taken, would allow one of three races: an event is missed, is sent before the reply, or is lost
//! with the connection. (tests: `every_watch_gets_its_event_or_the_data_never_changed`,
//! `the_event_is_seen_before_the_new_data_on_every_interleaving`)

mod watch_report;

pub use watch_report::WatchItem;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use innkeeper_proto::{KeeperState, WatcherEvent};
use innkeeper_raft::{Delivery, Refusal};
use innkeeper_tree::applied::{Event, Outcome, TicketResult};
use innkeeper_tree::group::GroupChange;
use innkeeper_tree::{Applied, Operation, Reader, SessionId, View, Zxid};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::delivery::binding_listener::{BindingListener, Cut};
use crate::delivery::outbox::{self, Close, Happened, Item, Outbox};
use crate::delivery::pending_proposals::{PendingProposals, ProposeError, Settled, Waiter};
use crate::delivery::quota_log::QuotaLog;
pub use crate::delivery::watches::WatchCounts;
use crate::delivery::watches::{WatcherId, Watches};
use crate::expiry::Expiry;
use crate::quorum::Quorum;
use crate::reports::Reporters;
use crate::stats::Stats;

/// Carries what apply did to the connections and tasks of this node that wait for it.
///
/// Invariants:
/// - `publish` is called exactly once per batch, under the lock, after every outbox has all that
///   the batch brings for it: a task that takes a view finds in its outbox all events up to that
///   view.
/// - At most one connection of this node serves a session, the one of the highest attachment.
/// - No task is woken, and no code of another part runs, while the lock is held.
pub struct Fanout {
    inner: Mutex<Inner>,
    pending_proposals: Arc<PendingProposals>,
    expiry: Arc<Expiry>,
    quorum: Arc<Quorum>,
    /// The nodes that report to this one while it leads.
    pub(crate) reporters: Reporters,
    listener: OnceLock<Arc<dyn BindingListener>>,
    pub(crate) quota_log: QuotaLog,
    stats: Arc<Stats>,
}

impl std::fmt::Debug for Fanout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fanout").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Inner {
    sessions: FxHashMap<SessionId, WatcherId>,
    seats: Vec<Option<Served>>,
    free: Vec<WatcherId>,
    watches: Watches,
    stopping: bool,
}

/// A connection that serves a session.
#[derive(Debug)]
struct Served {
    session: SessionId,
    attachment: u32,
    outbox: Arc<Outbox>,
    /// The session's timeout; `None` if the client is served without a quorum.
    timeout_ms: Option<u32>,
}

/// What is to be done once the lock is released.
#[derive(Default)]
struct After {
    wake: Vec<Arc<Outbox>>,
    settled: Vec<(Waiter, Settled)>,
    ended: Vec<Arc<Outbox>>,
    expired: Vec<SessionId>,
    queued: Vec<Arc<str>>,
    changed: Vec<Arc<str>>,
    cuts: Vec<Cut>,
    registered: bool,
}

/// A connection's place in the fan-out. Dropping it removes the connection's watches.
#[derive(Debug)]
pub(crate) struct SeatGuard {
    fanout: Arc<Fanout>,
    /// The connection's number in the watch table.
    pub(crate) watcher: WatcherId,
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        self.fanout.inner.lock().vacate(self.watcher);
    }
}

impl Fanout {
    /// A fan-out without connections.
    pub(crate) fn new(
        pending_proposals: Arc<PendingProposals>,
        expiry: Arc<Expiry>,
        quorum: Arc<Quorum>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            inner: Mutex::default(),
            pending_proposals,
            expiry,
            quorum,
            reporters: Reporters::default(),
            listener: OnceLock::new(),
            quota_log: QuotaLog::default(),
            stats,
        }
    }

    /// Installs the listener of bindings. Only the first call has an effect.
    pub fn install_listener(&self, listener: Arc<dyn BindingListener>) {
        if self.listener.set(listener).is_err() {
            tracing::error!(
                "a listener of bindings was installed twice; the second one is ignored"
            );
        }
    }

    /// Makes a connection the one that serves a session here; an older one is closed. `current`
    /// returns the session's attachment in the state, if the session exists. `timeout_ms` is `None`
    /// for a session that is served without a quorum. Returns `None` if the session has ended or
    /// moved on since, or if the node stops.
    pub(crate) fn attach(
        self: &Arc<Self>,
        session: SessionId,
        attachment: u32,
        outbox: Arc<Outbox>,
        timeout_ms: Option<u32>,
        current: impl FnOnce() -> Option<u32>,
    ) -> Option<SeatGuard> {
        let mut inner = self.inner.lock();
        // This happens under the lock, so that an end of the session that is applied later finds
        // the seat.
        if current()? != attachment || inner.stopping {
            return None;
        }
        if let Some(&older) = inner.sessions.get(&session) {
            if let Some(served) = &inner.seats[older as usize] {
                served.outbox.close(Close::Superseded);
            }
            inner.vacate_session(older);
        }
        let served = Some(Served {
            session,
            attachment,
            outbox,
            timeout_ms,
        });
        let watcher = match inner.free.pop() {
            Some(watcher) => {
                inner.seats[watcher as usize] = served;
                watcher
            }
            None => {
                inner.seats.push(served);
                // A node runs out of file descriptors long before it runs out of these numbers.
                (inner.seats.len() - 1) as WatcherId
            }
        };
        inner.sessions.insert(session, watcher);
        drop(inner);
        Some(SeatGuard {
            fanout: self.clone(),
            watcher,
        })
    }

    /// Takes a view and changes the watch table in one step, as seen from apply.
    #[cfg(not(innkeeper_break = "watch-lock"))]
    pub(crate) fn watching<T>(
        &self,
        reader: &Reader,
        register: impl FnOnce(View, &mut Watches) -> T,
    ) -> T {
        let mut inner = self.inner.lock();
        register(reader.view(), &mut inner.watches)
    }

    /// The bug that the lock prevents, for a test: the view is taken before the watch is
    /// registered.
    #[cfg(innkeeper_break = "watch-lock")]
    pub(crate) fn watching<T>(
        &self,
        reader: &Reader,
        register: impl FnOnce(View, &mut Watches) -> T,
    ) -> T {
        let view = reader.view();
        register(view, &mut self.inner.lock().watches)
    }

    /// The outbox of the connection that serves a session here.
    pub(crate) fn outbox_of(&self, session: SessionId) -> Option<Arc<Outbox>> {
        let inner = self.inner.lock();
        let watcher = *inner.sessions.get(&session)?;
        Some(inner.seats[watcher as usize].as_ref()?.outbox.clone())
    }

    /// How many watches there are on this node.
    pub fn watch_counts(&self) -> WatchCounts {
        self.inner.lock().watches.counts()
    }

    /// Closes every connection and admits no more.
    pub(crate) fn stop(&self) {
        self.inner.lock().stopping = true;
        self.close_all(Close::Stopping);
    }

    /// Closes the connections with a session timeout for which `serves` is false. Those that are
    /// served without a quorum stay.
    pub(crate) fn close_unless(&self, close: Close, serves: impl Fn(u32) -> bool) {
        self.close_those(close, |served| {
            served
                .timeout_ms
                .is_some_and(|timeout_ms| !serves(timeout_ms))
        });
    }

    /// Closes the connections that are served without a quorum.
    pub(crate) fn close_read_only(&self, close: Close) {
        self.close_those(close, |served| served.timeout_ms.is_none());
    }

    fn close_those(&self, close: Close, those: impl Fn(&Served) -> bool) {
        let outboxes: Vec<_> = {
            let inner = self.inner.lock();
            let served = inner.seats.iter().flatten();
            let those = served.filter(|served| those(served));
            those.map(|served| served.outbox.clone()).collect()
        };
        for outbox in outboxes {
            outbox.close(close);
        }
    }

    /// Closes every connection.
    pub(crate) fn close_all(&self, close: Close) {
        let outboxes = self.inner.lock().outboxes();
        for outbox in outboxes {
            outbox.close(close);
        }
    }
}

impl Inner {
    /// The outboxes of all connections.
    fn outboxes(&self) -> Vec<Arc<Outbox>> {
        let served = self.seats.iter().flatten();
        served.map(|served| served.outbox.clone()).collect()
    }

    /// Ends a connection's service; its number is free for another connection.
    fn vacate(&mut self, watcher: WatcherId) {
        self.vacate_session(watcher);
        self.seats[watcher as usize] = None;
        self.free.push(watcher);
    }

    /// Removes the session from a connection whose task has not noticed yet.
    fn vacate_session(&mut self, watcher: WatcherId) {
        if let Some(served) = &self.seats[watcher as usize]
            && self.sessions.get(&served.session) == Some(&watcher)
        {
            self.sessions.remove(&served.session);
        }
        self.watches.drop_watcher(watcher);
    }

    fn absorb(&mut self, applied: Applied, fanout: &Fanout, after: &mut After) {
        let zxid = applied.zxid;
        for event in &applied.events {
            let fired = self.watches.fire(&event.path, event.kind);
            if fired.once.is_empty() && fired.persistent.is_empty() {
                continue;
            }
            let watchers = fired.once.len() + fired.persistent.len();
            fanout.stats.fired(event.kind, watchers);
            let frame = encode_event(event, zxid);
            let once = fired.once.iter().map(|watcher| (*watcher, None));
            let persistent = fired.persistent.iter().map(|watcher| {
                let happened = Happened {
                    kind: event.kind,
                    path: event.path.clone(),
                };
                (*watcher, Some(happened))
            });
            for (watcher, persistent) in once.chain(persistent) {
                if let Some(served) = &self.seats[watcher as usize] {
                    let event = outbox::Event {
                        zxid,
                        frame: frame.clone(),
                        acl: event.acl.clone(),
                        persistent,
                    };
                    push(served, Item::Event(event), after);
                }
            }
        }
        let mut own = None;
        match applied.outcome {
            Outcome::Session {
                session,
                attachment,
                seq,
                result,
            } => {
                own = Some(session);
                if let Some(served) = self.served(session)
                    && served.attachment == attachment
                {
                    push(served, Item::Result { zxid, seq, result }, after);
                }
            }
            Outcome::Ticket { ticket, result } => {
                if let TicketResult::Attached {
                    session,
                    attachment,
                    timeout_ms,
                } = result
                {
                    fanout.expiry.opened(session, attachment, timeout_ms);
                    if let Some(served) = self.served(session)
                        && served.attachment < attachment
                    {
                        served.outbox.close(Close::Superseded);
                    }
                }
                after.registered |= result == TicketResult::Registered;
                if let Some(waiter) = fanout.pending_proposals.take(ticket) {
                    let settled = Settled {
                        zxid,
                        time_ms: applied.time_ms,
                        result,
                    };
                    after.settled.push((waiter, settled));
                }
            }
            Outcome::Nobody => {}
        }
        for session in applied.ended {
            fanout.expiry.ended(session);
            if own != Some(session) {
                fanout.stats.sessions_expired.add(1);
                after.expired.push(session);
            }
            // A connection whose client closed the session sends the reply first, and closes by
            // itself.
            if own != Some(session)
                && let Some(served) = self.served(session)
            {
                after.ended.push(served.outbox.clone());
            }
        }
        after.queued.extend(applied.queued);
        after.changed.extend(applied.bindings);
        after
            .cuts
            .extend(applied.cut.into_iter().map(|binding| Cut {
                binding,
                zxid,
                time_ms: applied.time_ms,
            }));
    }

    fn served(&self, session: SessionId) -> Option<&Served> {
        let watcher = *self.sessions.get(&session)?;
        self.seats[watcher as usize].as_ref()
    }
}

fn push(served: &Served, item: Item, after: &mut After) {
    if served.outbox.push(item) {
        after.wake.push(served.outbox.clone());
    }
}

fn encode_event(event: &Event, zxid: Zxid) -> Bytes {
    WatcherEvent {
        event_type: event.kind,
        state: KeeperState::SyncConnected,
        path: event.path.as_ref().into(),
    }
    .to_frame(zxid.0 as i64)
}

/// Logs that a session expired because nothing was heard of its client.
pub(crate) fn told_expired(session: SessionId) {
    tracing::info!(event = "session-expired", %session, "session {session} has expired");
}

impl After {
    fn run(self, listener: Option<&Arc<dyn BindingListener>>) {
        for outbox in self.wake {
            outbox.wake();
        }
        for outbox in self.ended {
            outbox.close(Close::Ended);
        }
        for session in self.expired {
            told_expired(session);
        }
        for (waiter, settled) in self.settled {
            // The client may have gone; then nobody needs the answer.
            let _ = waiter.send(Ok(settled));
        }
        if let Some(listener) = listener {
            if !self.changed.is_empty() {
                listener.changed(&self.changed);
            }
            if !self.queued.is_empty() {
                listener.queued(&self.queued);
            }
            if !self.cuts.is_empty() {
                listener.cut(&self.cuts);
            }
            if self.registered {
                listener.registered();
            }
        }
    }
}

impl Delivery for Fanout {
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut()) {
        for applied in &batch {
            self.quota_log.note(applied);
        }
        let mut after = After::default();
        self.stats.commits.add(batch.len() as u64);
        {
            let mut inner = self.inner.lock();
            for applied in batch {
                inner.absorb(applied, self, &mut after);
            }
            publish();
        }
        after.run(self.listener.get());
    }

    fn installed(&self, before: &View, after: &View, publish: &mut dyn FnMut()) {
        self.stats.installs.add(1);
        {
            // A connection looks at its outbox after it has taken a view. So none answers from the
            // new state: it would have missed events in between.
            let inner = self.inner.lock();
            // Without this, watches and writes wait for what is lost, and a test must fail. (A node
            // that has not caught up closes its connections as well, some time later.)
            if cfg!(not(innkeeper_break = "install-closes")) {
                self.quorum.begins_anew();
                for outbox in inner.outboxes() {
                    if outbox.close(Close::Replaced) {
                        self.stats.connections_replaced.add(1);
                    }
                }
            }
            publish();
        }
        for old in before.sessions() {
            if after.session(old.session).is_none() {
                self.expiry.ended(old.session);
            }
        }
        for info in after.sessions() {
            let (session, attachment) = (info.session, info.attachment);
            self.expiry.opened(session, attachment, info.timeout_ms);
        }
        self.pending_proposals.replaced();
        if let Some(listener) = self.listener.get() {
            let names = |view: &View| -> BTreeSet<Arc<str>> {
                let bindings = view.bindings().iter();
                bindings.map(|binding| binding.name.clone()).collect()
            };
            let present = names(after);
            let changed: Vec<_> = names(before).union(&present).cloned().collect();
            let present: Vec<_> = present.into_iter().collect();
            listener.changed(&changed);
            listener.queued(&present);
            listener.registered();
        }
    }

    fn asked(&self, from: u64, leads: bool, question: &[u8]) -> Result<Bytes, String> {
        let served = |session| self.outbox_of(session);
        let guests = self.listener.get().map(|guests| &**guests);
        let answer = self
            .reporters
            .answer(from, leads, question, &self.expiry, served, guests);
        answer.map_err(|error| error.to_string())
    }

    fn refused(&self, operation: Operation, refusal: Refusal) {
        match operation {
            // The write has lost its place in the session's order: the connection closes, and the
            // client reconnects and asks again.
            Operation::Session { session, .. } => {
                if let Some(outbox) = self.outbox_of(session) {
                    outbox.close(Close::Refused);
                }
            }
            // The expiry makes the proposal again.
            Operation::ExpireSession { .. }
            | Operation::Sweep(_)
            | Operation::RaiseLevel { .. }
            | Operation::Group(GroupChange::Found { .. } | GroupChange::Admit { .. }) => {}
            Operation::CreateSession { ticket, .. }
            | Operation::Reattach { ticket, .. }
            | Operation::Admin { ticket, .. }
            | Operation::Transaction { ticket, .. }
            | Operation::RegisterModule { ticket, .. }
            | Operation::Activate { ticket, .. }
            | Operation::Group(GroupChange::Configure { ticket, .. }) => {
                if let Some(waiter) = self.pending_proposals.take(ticket) {
                    // The task that waited may have ended; then nobody needs the answer.
                    let _ = waiter.send(Err(ProposeError::Refused(refusal)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

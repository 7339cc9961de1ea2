//! Finds the sessions whose clients are silent.
//!
//! 1. Every request, and every part of a request, touches its session's [`Heartbeat`]: one atomic
//!    store, nothing in the log. Requests that carry credentials do not count.
//! 2. Session time advances in ticks. A late tick counts as one, so a stopped process or a
//!    suspended machine costs a session at most one tick.
//! 3. A timing wheel holds every session of the service once. When its slot comes, a session that
//!    was heard since moves on to the slot where it is due now.
//! 4. A session that is due is suspected first: its connection, if it has one here, is asked to
//!    read what its socket has buffered, and another tick passes.
//! 5. If it is still silent and its connection has answered, `ExpireSession` is proposed, with the
//!    attachment that was silent. The command is void if the client has reattached since. If the
//!    proposal is lost, it is made again some ticks later.
//!
//! **Invariant:** every request without credentials keeps its session alive, as in ZooKeeper, and
//! so do the parts of a request that arrives slowly, which ZooKeeper does not count. No session
//! expires because the process was stopped, or while its client's input waits unread in the socket.
//! (tests: `credentials_keep_no_session_alive`,
//! `a_request_that_arrives_slowly_keeps_its_session_alive`,
//! `stopping_and_continuing_the_process_keeps_sessions`,
//! `input_found_by_the_probe_keeps_the_session`)

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use innkeeper_tree::SessionId;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Slots of the wheel. A session that is due more ticks from now than there are slots goes around
/// again.
const SLOTS: usize = 1024;

/// The number of ticks after which a proposal that has had no effect is made again.
const PROPOSE_AGAIN_TICKS: u64 = 20;

/// The session is not suspected.
const PROBE_NONE: u8 = 0;
/// The session is suspected, and its connection was asked to read its socket.
const PROBE_ASKED: u8 = 1;
/// The session is suspected; its connection found nothing to read, or it has no connection.
const PROBE_ANSWERED: u8 = 2;

/// The last sign of life of a session on this node.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// The session.
    pub(crate) session: SessionId,
    attachment: AtomicU32,
    timeout_ticks: AtomicU64,
    heard_tick: AtomicU64,
    probe: AtomicU8,
}

impl Heartbeat {
    /// A request came, or a part of one.
    pub(crate) fn touch(&self, now_tick: u64) {
        self.heard_tick.store(now_tick, Ordering::Relaxed);
        // The common case is a load: storing each time would take the cache line from other cores.
        if self.probe.load(Ordering::Relaxed) != PROBE_NONE {
            self.probe.store(PROBE_NONE, Ordering::Relaxed);
        }
    }

    /// The connection read its socket, and nothing was buffered.
    pub(crate) fn nothing_buffered(&self) {
        // The answer counts only while the question is open: a touch in between has closed it.
        let _ = self.probe.compare_exchange(
            PROBE_ASKED,
            PROBE_ANSWERED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    fn is_longer_than(&self, timeout_ticks: u64) -> bool {
        self.timeout_ticks.load(Ordering::Relaxed) > timeout_ticks
    }

    fn due_tick(&self) -> u64 {
        self.heard_tick.load(Ordering::Relaxed) + self.timeout_ticks.load(Ordering::Relaxed)
    }
}

/// What is to be done about a session after a tick.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Ask its connection to read what is buffered. For a session without a connection the caller
    /// answers at once, by [`Heartbeat::nothing_buffered`].
    Probe(SessionId),
    /// Propose its expiry.
    Expire(SessionId, u32),
}

/// The heartbeats of all sessions of the service.
///
/// Invariants:
/// - A session is in the wheel once, from its creation to its end.
/// - No session expires earlier than its timeout after the last sign of life that was read, nor
///   while its connection here has not read its socket since the session became due.
#[derive(Debug)]
pub(crate) struct Expiry {
    tick_ms: u32,
    now_tick: AtomicU64,
    wheel: Mutex<Wheel>,
}

#[derive(Debug)]
struct Wheel {
    sessions: FxHashMap<SessionId, Arc<Heartbeat>>,
    slots: Vec<Vec<Arc<Heartbeat>>>,
}

impl Expiry {
    /// Without sessions, at tick 0.
    pub(crate) fn new(tick_ms: u32) -> Self {
        Self {
            tick_ms,
            now_tick: AtomicU64::new(0),
            wheel: Mutex::new(Wheel {
                sessions: FxHashMap::default(),
                slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            }),
        }
    }

    /// The length of a tick.
    pub(crate) fn tick_ms(&self) -> u32 {
        self.tick_ms
    }

    /// The number of the current tick.
    pub(crate) fn now_tick(&self) -> u64 {
        self.now_tick.load(Ordering::Relaxed)
    }

    /// Replaces all sessions by these (id, attachment, timeout in milliseconds), each with its full
    /// timeout. A node that becomes leader does this.
    pub(crate) fn restart(&self, sessions: impl IntoIterator<Item = (SessionId, u32, u32)>) {
        {
            let mut wheel = self.wheel.lock();
            wheel.sessions.clear();
            wheel.slots.iter_mut().for_each(Vec::clear);
        }
        for (session, attachment, timeout_ms) in sessions {
            self.opened(session, attachment, timeout_ms);
        }
    }

    /// A session was created, or a client reattached to it.
    pub(crate) fn opened(&self, session: SessionId, attachment: u32, timeout_ms: u32) {
        // Input may come just before a tick, so the first tick after it does not count.
        let timeout_ticks = u64::from(timeout_ms.div_ceil(self.tick_ms)) + 1;
        let now_tick = self.now_tick();
        let mut wheel = self.wheel.lock();
        let known = wheel.sessions.get(&session);
        // With a shorter timeout the old slot may come too late. The session gets a new heartbeat,
        // and the entry in the old slot belongs to nobody.
        if let Some(heartbeat) = known.filter(|known| !known.is_longer_than(timeout_ticks)) {
            heartbeat.attachment.store(attachment, Ordering::Relaxed);
            heartbeat
                .timeout_ticks
                .store(timeout_ticks, Ordering::Relaxed);
            heartbeat.touch(now_tick);
            return;
        }
        let heartbeat = Arc::new(Heartbeat {
            session,
            attachment: AtomicU32::new(attachment),
            timeout_ticks: AtomicU64::new(timeout_ticks),
            heard_tick: AtomicU64::new(now_tick),
            probe: AtomicU8::new(PROBE_NONE),
        });
        wheel.sessions.insert(session, heartbeat.clone());
        wheel.schedule(heartbeat, now_tick, now_tick + timeout_ticks);
    }

    /// A session ended.
    pub(crate) fn ended(&self, session: SessionId) {
        self.wheel.lock().sessions.remove(&session);
    }

    /// The heartbeat of a session.
    pub(crate) fn heartbeat(&self, session: SessionId) -> Option<Arc<Heartbeat>> {
        self.wheel.lock().sessions.get(&session).cloned()
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.wheel.lock().sessions.len()
    }

    /// All sessions, and the milliseconds after which each is due if it stays silent.
    pub(crate) fn due(&self) -> Vec<(SessionId, u64)> {
        let now_tick = self.now_tick();
        let wheel = self.wheel.lock();
        let mut due: Vec<_> = wheel
            .sessions
            .values()
            .map(|heartbeat| {
                let ticks = heartbeat.due_tick().saturating_sub(now_tick);
                (heartbeat.session, ticks * u64::from(self.tick_ms))
            })
            .collect();
        due.sort_unstable();
        due
    }

    /// Advances by one tick.
    pub(crate) fn tick(&self) -> Vec<Step> {
        let now_tick = self.now_tick.fetch_add(1, Ordering::Relaxed) + 1;
        let mut steps = Vec::new();
        let mut wheel = self.wheel.lock();
        let slot = std::mem::take(&mut wheel.slots[slot_of(now_tick)]);
        for heartbeat in slot {
            let current = wheel.sessions.get(&heartbeat.session);
            if !current.is_some_and(|current| Arc::ptr_eq(current, &heartbeat)) {
                continue;
            }
            let due = heartbeat.due_tick();
            let next = if due > now_tick {
                due
            } else {
                match heartbeat.probe.load(Ordering::Relaxed) {
                    PROBE_NONE => {
                        heartbeat.probe.store(PROBE_ASKED, Ordering::Relaxed);
                        steps.push(Step::Probe(heartbeat.session));
                        now_tick + 1
                    }
                    PROBE_ANSWERED => {
                        let attachment = heartbeat.attachment.load(Ordering::Relaxed);
                        steps.push(Step::Expire(heartbeat.session, attachment));
                        now_tick + PROPOSE_AGAIN_TICKS
                    }
                    // Its connection's task has not run yet.
                    _ => now_tick + 1,
                }
            };
            wheel.schedule(heartbeat, now_tick, next);
        }
        steps
    }
}

impl Wheel {
    fn schedule(&mut self, heartbeat: Arc<Heartbeat>, now_tick: u64, at_tick: u64) {
        let at_tick = at_tick.clamp(now_tick + 1, now_tick + SLOTS as u64 - 1);
        self.slots[slot_of(at_tick)].push(heartbeat);
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(7);

    /// Advances until something happens. Returns the number of ticks and what happened.
    fn next(expiry: &Expiry, limit: usize) -> Option<(usize, Step)> {
        (1..=limit).find_map(|n| expiry.tick().pop().map(|step| (n, step)))
    }

    #[test]
    fn a_silent_session_is_probed_and_then_expired_with_its_attachment() {
        let expiry = Expiry::new(100);
        expiry.opened(SESSION, 3, 1000);
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
        assert_eq!(
            next(&expiry, 50),
            None,
            "nobody has looked at the socket yet"
        );
        expiry.heartbeat(SESSION).unwrap().nothing_buffered();
        assert_eq!(next(&expiry, 2), Some((1, Step::Expire(SESSION, 3))));
        assert!(next(&expiry, 30).is_some(), "a lost proposal is repeated");
        expiry.ended(SESSION);
        assert_eq!(next(&expiry, 3000), None);
    }

    #[test]
    fn input_found_by_the_probe_keeps_the_session() {
        let expiry = Expiry::new(100);
        expiry.opened(SESSION, 1, 1000);
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
        let heartbeat = expiry.heartbeat(SESSION).unwrap();
        heartbeat.touch(expiry.now_tick());
        heartbeat.nothing_buffered();
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    }

    #[test]
    fn a_session_that_is_heard_lives_on_and_long_timeouts_pass_the_wheel() {
        let expiry = Expiry::new(10);
        expiry.opened(SESSION, 1, 100_000);
        let heartbeat = expiry.heartbeat(SESSION).unwrap();
        for _ in 0..5000 {
            assert_eq!(expiry.tick(), []);
        }
        heartbeat.touch(expiry.now_tick());
        assert_eq!(next(&expiry, 20_000), Some((10_001, Step::Probe(SESSION))));
    }

    #[test]
    fn a_shorter_timeout_holds_at_once_and_a_longer_one_too() {
        let expiry = Expiry::new(100);
        expiry.opened(SESSION, 1, 10_000);
        expiry.tick();
        expiry.opened(SESSION, 2, 1000);
        assert_eq!(expiry.len(), 1);
        assert_eq!(next(&expiry, 200), Some((11, Step::Probe(SESSION))));
        expiry.opened(SESSION, 3, 10_000);
        assert_eq!(next(&expiry, 200), Some((101, Step::Probe(SESSION))));
        expiry.heartbeat(SESSION).unwrap().nothing_buffered();
        assert_eq!(next(&expiry, 2), Some((1, Step::Expire(SESSION, 3))));
    }

    #[test]
    fn a_restart_gives_the_full_timeout() {
        let expiry = Expiry::new(100);
        expiry.opened(SESSION, 1, 1000);
        for _ in 0..9 {
            expiry.tick();
        }
        expiry.restart([(SESSION, 1, 1000)]);
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    }
}

//! Finds the sessions whose clients are silent.
//!
//! 1. Every request, and every part of a request, touches its session's [`Heartbeat`]: one atomic
//!    store, nothing in the log. Requests that carry credentials do not count.
//! 2. Session time advances in ticks. A late tick counts as one, so a stopped process or a
//!    suspended machine costs a session at most one tick. Only ticks of the established leader
//!    count, and only while its quorum acknowledges it; when a node becomes the leader, each session
//!    gets its full timeout. The ticks of every node count for the sessions that only it knows.
//! 3. A timing wheel holds every session of the service once. When its slot comes, a session that
//!    was heard since moves on to the slot where it is due now.
//! 4. A session that is due is suspected first: its connection, if it has one here, is asked to
//!    read what its socket has buffered, and another tick passes.
//!    If another node serves it, that node is asked ([`crate::reports`]).
//! 5. If it is still silent and its connection has answered, `ExpireSession` is proposed, with the
//!    attachment that was silent. The command is void if the client has reattached since. If the
//!    proposal is lost, it is made again some ticks later.
//! 6. In a group, each node remembers which sessions were heard since its last report to the leader.
//!
//! **Invariant:** every request without credentials keeps its session alive, as in ZooKeeper, and
//! so do the parts of a request that arrives slowly, which ZooKeeper does not count. No session
//! expires because the process was stopped, or while its client's input waits unread in the socket.
//! (tests: `credentials_keep_no_session_alive`,
//! `a_request_that_arrives_slowly_keeps_its_session_alive`,
//! `stopping_and_continuing_the_process_keeps_sessions`,
//! `input_found_by_the_probe_keeps_the_session`)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

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

/// The leader knows of everything that was heard.
const REPORT_NONE: u8 = 0;
/// Something was heard that no report has.
const REPORT_WAITS: u8 = 1;
/// What was heard is in a report that is not acknowledged yet.
const REPORT_SENT: u8 = 2;

/// The last sign of life of a session on this node.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// The session.
    pub(crate) session: SessionId,
    attachment: AtomicU32,
    /// Only this node knows the session.
    local: AtomicBool,
    timeout_ticks: AtomicU64,
    /// By the session's own count of ticks.
    heard_tick: AtomicU64,
    probe: AtomicU8,
    report: AtomicU8,
}

impl Heartbeat {
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

    /// The question has no answer yet: it is asked again with the next tick.
    pub(crate) fn ask_again(&self) {
        let _ = self.probe.compare_exchange(
            PROBE_ASKED,
            PROBE_NONE,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    fn is_local(&self) -> bool {
        self.local.load(Ordering::Relaxed)
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

/// What a node knows of a session, when the leader asks whether the session is silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// Its connection has nothing to read, or the node serves no connection of it.
    Silent,
    /// Its connection is looking.
    Looking,
    /// It was heard, and the leader does not know of it yet.
    Heard,
}

/// The heartbeats of all sessions of the service.
///
/// Invariants:
/// - A session is in the wheel once, from its creation to its end.
/// - No session expires earlier than its timeout after the last sign of life that was read, nor
///   while its connection has not read its socket since the session became due.
#[derive(Debug)]
pub(crate) struct Expiry {
    tick_ms: u32,
    now_tick: AtomicU64,
    /// How many of the ticks did not count for the sessions that the whole service knows.
    uncounted_ticks: AtomicU64,
    /// The shortest timeout of all sessions that this node has known.
    shortest_ms: AtomicU32,
    /// What is heard is reported to a leader.
    reports: bool,
    /// The sessions that were heard and are in no report, each once.
    unreported: Mutex<Vec<Arc<Heartbeat>>>,
    wheel: Mutex<Wheel>,
}

#[derive(Debug)]
struct Wheel {
    sessions: FxHashMap<SessionId, Arc<Heartbeat>>,
    slots: Vec<Vec<Arc<Heartbeat>>>,
}

impl Expiry {
    /// Without sessions, at tick 0. With `reports` it remembers what a leader is to be told.
    pub(crate) fn new(tick_ms: u32, reports: bool) -> Self {
        Self {
            tick_ms,
            now_tick: AtomicU64::new(0),
            uncounted_ticks: AtomicU64::new(0),
            shortest_ms: AtomicU32::new(u32::MAX),
            reports,
            unreported: Mutex::default(),
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

    /// The shortest timeout of all sessions that this node has known, if there was any.
    pub(crate) fn shortest_ms(&self) -> Option<u32> {
        let shortest_ms = self.shortest_ms.load(Ordering::Relaxed);
        (shortest_ms != u32::MAX).then_some(shortest_ms)
    }

    /// The ticks that have counted for a session.
    fn counted(&self, local: bool) -> u64 {
        let uncounted = match local {
            true => 0,
            false => self.uncounted_ticks.load(Ordering::Relaxed),
        };
        self.now_tick().saturating_sub(uncounted)
    }

    /// A request of the session came, or a part of one.
    pub(crate) fn heard(&self, heartbeat: &Arc<Heartbeat>) {
        let local = heartbeat.is_local();
        let now = self.counted(local);
        heartbeat.heard_tick.store(now, Ordering::Relaxed);
        // The common case is a load: storing each time would take the cache line from other cores.
        if heartbeat.probe.load(Ordering::Relaxed) != PROBE_NONE {
            heartbeat.probe.store(PROBE_NONE, Ordering::Relaxed);
        }
        if self.reports
            && !local
            && heartbeat.report.load(Ordering::Relaxed) != REPORT_WAITS
            && heartbeat.report.swap(REPORT_WAITS, Ordering::AcqRel) != REPORT_WAITS
        {
            self.unreported.lock().push(heartbeat.clone());
        }
    }

    /// Another node has heard of a session.
    pub(crate) fn heard_elsewhere(&self, session: SessionId) {
        if let Some(heartbeat) = self.heartbeat(session)
            && !heartbeat.is_local()
        {
            self.renew(&heartbeat);
        }
    }

    fn renew(&self, heartbeat: &Heartbeat) {
        let now = self.counted(heartbeat.is_local());
        heartbeat.heard_tick.store(now, Ordering::Relaxed);
        heartbeat.probe.store(PROBE_NONE, Ordering::Relaxed);
    }

    /// Gives each session that the whole service knows its full timeout. A node that becomes the
    /// leader does this.
    pub(crate) fn renew_all(&self) {
        let wheel = self.wheel.lock();
        let shared = wheel.sessions.values();
        for heartbeat in shared.filter(|heartbeat| !heartbeat.is_local()) {
            self.renew(heartbeat);
        }
    }

    /// Takes the sessions that were heard and are in no report.
    pub(crate) fn take_unreported(&self) -> Vec<Arc<Heartbeat>> {
        let taken = std::mem::take(&mut *self.unreported.lock());
        for heartbeat in &taken {
            heartbeat.report.store(REPORT_SENT, Ordering::Release);
        }
        taken
    }

    /// A report with these sessions was acknowledged. What was heard since goes into the next one.
    pub(crate) fn reported(&self, sessions: &[Arc<Heartbeat>]) {
        for heartbeat in sessions {
            let _ = heartbeat.report.compare_exchange(
                REPORT_SENT,
                REPORT_NONE,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        }
    }

    /// A report with these sessions was not acknowledged: they go into the next one.
    pub(crate) fn not_reported(&self, sessions: Vec<Arc<Heartbeat>>) {
        let mut unreported = self.unreported.lock();
        unreported.extend(sessions.into_iter().filter(|heartbeat| {
            let waits = heartbeat.report.compare_exchange(
                REPORT_SENT,
                REPORT_WAITS,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            waits.is_ok()
        }));
    }

    /// The leader asks about a session that is served here. `probe` has the connection read its
    /// socket.
    pub(crate) fn asked(&self, session: SessionId, probe: impl FnOnce()) -> Found {
        let Some(heartbeat) = self.heartbeat(session) else {
            return Found::Silent;
        };
        if heartbeat.report.load(Ordering::Acquire) != REPORT_NONE {
            return Found::Heard;
        }
        match heartbeat.probe.load(Ordering::Relaxed) {
            PROBE_NONE => {
                heartbeat.probe.store(PROBE_ASKED, Ordering::Relaxed);
                probe();
                Found::Looking
            }
            // Something may have been heard since the look at the report.
            PROBE_ANSWERED if heartbeat.report.load(Ordering::Acquire) == REPORT_NONE => {
                Found::Silent
            }
            _ => Found::Looking,
        }
    }

    /// A session was created, or a client reattached to it.
    pub(crate) fn opened(&self, session: SessionId, attachment: u32, timeout_ms: u32) {
        self.opens(session, attachment, timeout_ms, false);
    }

    /// A session that only this node knows was created, or a client reattached to it.
    pub(crate) fn opened_local(&self, session: SessionId, attachment: u32, timeout_ms: u32) {
        self.opens(session, attachment, timeout_ms, true);
    }

    fn opens(&self, session: SessionId, attachment: u32, timeout_ms: u32, local: bool) {
        self.shortest_ms.fetch_min(timeout_ms, Ordering::Relaxed);
        // Input may come just before a tick, so the first tick after it does not count.
        let timeout_ticks = u64::from(timeout_ms.div_ceil(self.tick_ms)) + 1;
        let now_tick = self.now_tick();
        let mut wheel = self.wheel.lock();
        let known = wheel.sessions.get(&session);
        // With a shorter timeout the old slot may come too late. The session gets a new heartbeat,
        // and the entry in the old slot belongs to nobody.
        if let Some(heartbeat) = known.filter(|known| !known.is_longer_than(timeout_ticks)) {
            heartbeat.attachment.store(attachment, Ordering::Relaxed);
            heartbeat.local.store(local, Ordering::Relaxed);
            heartbeat
                .timeout_ticks
                .store(timeout_ticks, Ordering::Relaxed);
            self.renew(heartbeat);
            return;
        }
        let heartbeat = Arc::new(Heartbeat {
            session,
            attachment: AtomicU32::new(attachment),
            local: AtomicBool::new(local),
            timeout_ticks: AtomicU64::new(timeout_ticks),
            heard_tick: AtomicU64::new(self.counted(local)),
            probe: AtomicU8::new(PROBE_NONE),
            report: AtomicU8::new(REPORT_NONE),
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

    /// A third of a session's timeout, in ticks. The node that serves a session closes its
    /// connection when no report was acknowledged for so long.
    pub(crate) fn patience_ticks(&self, session: SessionId) -> u64 {
        let heartbeat = self.heartbeat(session);
        heartbeat.map_or(0, |heartbeat| {
            heartbeat.timeout_ticks.load(Ordering::Relaxed) / 3
        })
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.wheel.lock().sessions.len()
    }

    /// All sessions, and the milliseconds after which each is due if it stays silent.
    pub(crate) fn due(&self) -> Vec<(SessionId, u64)> {
        let wheel = self.wheel.lock();
        let mut due: Vec<_> = wheel
            .sessions
            .values()
            .map(|heartbeat| {
                let now = self.counted(heartbeat.is_local());
                let ticks = heartbeat.due_tick().saturating_sub(now);
                (heartbeat.session, ticks * u64::from(self.tick_ms))
            })
            .collect();
        due.sort_unstable();
        due
    }

    /// Advances by one tick. Unless it `counts`, time stands still for the sessions that the whole
    /// service knows.
    pub(crate) fn tick(&self, counts: bool) -> Vec<Step> {
        let now_tick = self.now_tick.fetch_add(1, Ordering::Relaxed) + 1;
        if !counts {
            self.uncounted_ticks.fetch_add(1, Ordering::Relaxed);
        }
        let mut steps = Vec::new();
        let mut wheel = self.wheel.lock();
        let slot = std::mem::take(&mut wheel.slots[slot_of(now_tick)]);
        for heartbeat in slot {
            let current = wheel.sessions.get(&heartbeat.session);
            if !current.is_some_and(|current| Arc::ptr_eq(current, &heartbeat)) {
                continue;
            }
            let local = heartbeat.is_local();
            let ticks_left = heartbeat.due_tick().saturating_sub(self.counted(local));
            let next = if ticks_left > 0 {
                now_tick + ticks_left
            } else if !counts && !local {
                now_tick + 1
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
        (1..=limit).find_map(|n| expiry.tick(true).pop().map(|step| (n, step)))
    }

    #[test]
    fn a_silent_session_is_probed_and_then_expired_with_its_attachment() {
        let expiry = Expiry::new(100, false);
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
        let expiry = Expiry::new(100, false);
        expiry.opened(SESSION, 1, 1000);
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
        let heartbeat = expiry.heartbeat(SESSION).unwrap();
        expiry.heard(&heartbeat);
        heartbeat.nothing_buffered();
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    }

    #[test]
    fn a_session_that_is_heard_lives_on_and_long_timeouts_pass_the_wheel() {
        let expiry = Expiry::new(10, false);
        expiry.opened(SESSION, 1, 100_000);
        let heartbeat = expiry.heartbeat(SESSION).unwrap();
        for _ in 0..5000 {
            assert_eq!(expiry.tick(true), []);
        }
        expiry.heard(&heartbeat);
        assert_eq!(next(&expiry, 20_000), Some((10_001, Step::Probe(SESSION))));
    }

    #[test]
    fn a_shorter_timeout_holds_at_once_and_a_longer_one_too() {
        let expiry = Expiry::new(100, false);
        expiry.opened(SESSION, 1, 10_000);
        expiry.tick(true);
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
        let expiry = Expiry::new(100, false);
        expiry.opened(SESSION, 1, 1000);
        for _ in 0..9 {
            expiry.tick(true);
        }
        expiry.renew_all();
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    }

    #[test]
    fn ticks_without_a_lease_count_for_local_sessions_alone() {
        let expiry = Expiry::new(100, true);
        expiry.opened(SESSION, 1, 1000);
        expiry.opened_local(SessionId(8), 1, 1000);
        let local = expiry.heartbeat(SessionId(8)).unwrap();
        for _ in 0..10 {
            assert_eq!(expiry.tick(false), []);
        }
        assert_eq!(expiry.tick(false), [Step::Probe(SessionId(8))]);
        local.nothing_buffered();
        assert_eq!(expiry.tick(false), [Step::Expire(SessionId(8), 1)]);
        expiry.ended(SessionId(8));
        for _ in 0..3000 {
            assert_eq!(expiry.tick(false), []);
        }
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
        // While its time stands still, nothing more happens to it.
        expiry.heartbeat(SESSION).unwrap().nothing_buffered();
        for _ in 0..50 {
            assert_eq!(expiry.tick(false), []);
        }
        assert_eq!(next(&expiry, 2), Some((1, Step::Expire(SESSION, 1))));
    }

    #[test]
    fn what_was_heard_is_reported_until_a_report_is_acknowledged() {
        let expiry = Expiry::new(100, true);
        expiry.opened(SESSION, 1, 1000);
        expiry.opened_local(SessionId(8), 1, 1000);
        let (heartbeat, local) = (
            expiry.heartbeat(SESSION).unwrap(),
            expiry.heartbeat(SessionId(8)).unwrap(),
        );
        let taken = |expiry: &Expiry| {
            let taken = expiry.take_unreported();
            (taken.len(), taken)
        };
        for _ in 0..3 {
            expiry.heard(&heartbeat);
            expiry.heard(&local);
        }
        let (1, first) = taken(&expiry) else {
            panic!("one session is to be reported");
        };
        assert_eq!(taken(&expiry).0, 0);
        // The report is lost.
        expiry.not_reported(first);
        let (1, second) = taken(&expiry) else {
            panic!("it is reported again");
        };
        // It is heard again while the report is on its way, and the report is acknowledged.
        expiry.heard(&heartbeat);
        expiry.reported(&second);
        assert_eq!(expiry.asked(SESSION, || {}), Found::Heard);
        let (1, third) = taken(&expiry) else {
            panic!("what was heard later is reported");
        };
        // Lost again, and heard meanwhile: it is there once.
        expiry.heard(&heartbeat);
        expiry.not_reported(third);
        let (1, fourth) = taken(&expiry) else {
            panic!("it is there once");
        };
        assert_eq!(expiry.asked(SESSION, || {}), Found::Heard);
        expiry.reported(&fourth);
        assert_eq!(taken(&expiry).0, 0);
    }

    #[test]
    fn a_node_says_that_a_session_is_silent_after_a_look_at_its_socket() {
        let expiry = Expiry::new(100, true);
        expiry.opened(SESSION, 1, 1000);
        let heartbeat = expiry.heartbeat(SESSION).unwrap();
        let mut probes = 0;
        assert_eq!(expiry.asked(SESSION, || probes += 1), Found::Looking);
        assert_eq!(expiry.asked(SESSION, || probes += 1), Found::Looking);
        heartbeat.nothing_buffered();
        assert_eq!(expiry.asked(SESSION, || probes += 1), Found::Silent);
        assert_eq!(probes, 1);
        expiry.heard(&heartbeat);
        assert_eq!(expiry.asked(SESSION, || {}), Found::Heard);
        assert_eq!(expiry.asked(SessionId(99), || {}), Found::Silent);
    }
}

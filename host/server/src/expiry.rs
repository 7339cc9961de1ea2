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
//! 6. From the moment that a node has told the leader of the silence, or that the leader has decided
//!    on a session that it serves itself, the session's connection serves nothing more: when the
//!    client speaks, the connection closes ([`TooLate`]). The client takes its session up again, and
//!    the log decides which comes first, its reattachment or the expiry. A client that is not
//!    expired after all loses no more than its connection. In ZooKeeper the leader refuses a session
//!    from then on, too; its followers do not know of it.
//! 7. In a group, each node remembers which sessions were heard since its last report to the leader.
//!
//! **Invariant:** every request without credentials keeps its session alive, as in ZooKeeper, and
//! so do the parts of a request that arrives slowly, which ZooKeeper does not count. No session
//! expires because the process was stopped, or while its client's input waits unread in the socket.
//! What a client sends after its silence was told is not answered before it has reattached. So no
//! node answers what was sent after the session had expired. And no session expires within its
//! timeout after a request that was taken by a node in contact with the leader.
//! (tests: `credentials_keep_no_session_alive`,
//! `a_request_that_arrives_slowly_keeps_its_session_alive`,
//! `stopping_and_continuing_the_process_keeps_sessions`,
//! `input_found_by_the_probe_keeps_the_session`,
//! `who_speaks_after_the_silence_was_told_is_not_answered`,
//! `whoever_is_answered_after_a_silence_keeps_the_session`,
//! `what_is_sent_after_an_expiry_is_not_answered_by_a_node_that_lags`)

mod probe;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use innkeeper_tree::SessionId;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use probe::Probe;
pub(crate) use probe::TooLate;

/// Slots of the wheel. A session that is due more ticks from now than there are slots goes around
/// again.
const SLOTS: usize = 1024;

/// The number of ticks after which a proposal that has had no effect is made again.
const PROPOSE_AGAIN_TICKS: u64 = 20;

/// The leader knows of everything that was heard.
const REPORT_NONE: u8 = 0;
/// Something was heard that no report has.
const REPORT_WAITS: u8 = 1;
/// What was heard is in a report that is not acknowledged yet.
const REPORT_SENT: u8 = 2;

/// The last sign of life of a session on this node.
///
/// Invariant: after [`Found::Silent`] or [`Step::Expire`] no sign of life counts until the client
/// reattaches, this node begins to lead, or another node's state is installed.
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
    probe: Probe,
    report: AtomicU8,
}

impl Heartbeat {
    /// The connection read its socket, and nothing was buffered.
    pub(crate) fn nothing_buffered(&self) {
        self.probe.answers();
    }

    /// The connection ends: if it was asked, that has no answer, and another place is to be asked.
    pub(crate) fn ask_again(&self) {
        self.probe.asks_again();
    }

    /// An error if the connection must not answer any more.
    pub(crate) fn is_in_time(&self) -> Result<(), TooLate> {
        self.probe.is_in_time()
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

/// A session that is due, while other nodes are asked whether it is silent.
#[derive(Debug)]
pub(crate) struct Suspect {
    heartbeat: Arc<Heartbeat>,
    /// When it was heard last, as the question went out.
    heard_tick: u64,
}

impl Suspect {
    /// The session.
    pub(crate) fn session(&self) -> SessionId {
        self.heartbeat.session
    }
}

/// What is to be done about a session after a tick.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Ask its connection to read what is buffered. If it has none here, other nodes may serve it:
    /// the caller answers by [`Expiry::judge`].
    Probe(SessionId),
    /// Propose its expiry. Its connection serves nothing more.
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

    /// A request of the session came, or a part of one. An error if it must not be answered.
    pub(crate) fn heard(&self, heartbeat: &Arc<Heartbeat>) -> Result<(), TooLate> {
        heartbeat.probe.speaks()?;
        let local = heartbeat.is_local();
        let now = self.counted(local);
        heartbeat.heard_tick.store(now, Ordering::Relaxed);
        if self.reports
            && !local
            && heartbeat.report.load(Ordering::Relaxed) != REPORT_WAITS
            && heartbeat.report.swap(REPORT_WAITS, Ordering::AcqRel) != REPORT_WAITS
        {
            self.unreported.lock().push(heartbeat.clone());
        }
        Ok(())
    }

    /// Another node has heard of a session. After [`Step::Expire`] it tells of what it heard before
    /// the client reattached elsewhere, if it has been cut off: that counts for nothing.
    pub(crate) fn heard_elsewhere(&self, session: SessionId) {
        if let Some(heartbeat) = self.heartbeat(session)
            && !heartbeat.is_local()
            && heartbeat.probe.speaks().is_ok()
        {
            let now = self.counted(false);
            heartbeat.heard_tick.store(now, Ordering::Relaxed);
        }
    }

    fn renew(&self, heartbeat: &Heartbeat) {
        let now = self.counted(heartbeat.is_local());
        heartbeat.heard_tick.store(now, Ordering::Relaxed);
        heartbeat.probe.ends();
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

    /// A session whose silence other nodes are to be asked about.
    pub(crate) fn suspect(&self, session: SessionId) -> Option<Suspect> {
        let heartbeat = self.heartbeat(session)?;
        let heard_tick = heartbeat.heard_tick.load(Ordering::Relaxed);
        Some(Suspect {
            heartbeat,
            heard_tick,
        })
    }

    /// The other nodes have answered about a session.
    pub(crate) fn judge(&self, suspect: &Suspect, found: Found) {
        let heartbeat = &suspect.heartbeat;
        // Answers may come so late that it has been heard since, and is due again: the next question
        // has answers of its own.
        if heartbeat.heard_tick.load(Ordering::Relaxed) != suspect.heard_tick {
            return;
        }
        match found {
            Found::Heard => self.heard_elsewhere(heartbeat.session),
            Found::Looking => heartbeat.probe.asks_again(),
            Found::Silent => heartbeat.probe.answers(),
        }
    }

    /// Whether a session's client has not come back since [`Step::Expire`] named it.
    pub(crate) fn is_told(&self, session: SessionId) -> bool {
        let heartbeat = self.heartbeat(session);
        heartbeat.is_some_and(|heartbeat| heartbeat.probe.is_told())
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
    /// socket. After [`Found::Silent`] the connection serves nothing more.
    pub(crate) fn asked(&self, session: SessionId, probe: impl FnOnce()) -> Found {
        let Some(heartbeat) = self.heartbeat(session) else {
            return Found::Silent;
        };
        if heartbeat.report.load(Ordering::Acquire) != REPORT_NONE {
            return Found::Heard;
        }
        if heartbeat.probe.asks() {
            probe();
            return Found::Looking;
        }
        // Something may have been heard between the look at the report and the answer.
        let is_silent = heartbeat.probe.is_answered()
            && heartbeat.report.load(Ordering::Acquire) == REPORT_NONE
            && heartbeat.probe.tells();
        if is_silent {
            Found::Silent
        } else {
            Found::Looking
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
            probe: Probe::default(),
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
                // An answer from before it was heard says nothing of its socket when it is due.
                heartbeat.probe.forgets();
                now_tick + ticks_left
            } else if !counts && !local {
                now_tick + 1
            } else {
                if heartbeat.probe.tells() {
                    let attachment = heartbeat.attachment.load(Ordering::Relaxed);
                    steps.push(Step::Expire(heartbeat.session, attachment));
                    now_tick + PROPOSE_AGAIN_TICKS
                } else {
                    if heartbeat.probe.asks() {
                        steps.push(Step::Probe(heartbeat.session));
                    }
                    // Else its connection's task has not run yet.
                    now_tick + 1
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
mod tests;

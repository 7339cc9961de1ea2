//! Whether the node's group has a quorum, and which clients are served without one.
//!
//! 1. The node reports to the leader again and again (`reports`). The leader acknowledges a
//!    report only while a quorum acknowledges the leader. So an acknowledged report proves that the
//!    group had its quorum, and this node contact with it, when the report was made. Who is
//!    remembered as the leader proves nothing. A node alone always has its quorum.
//! 2. A connection is served while the last acknowledged report is younger than a third of its
//!    session's timeout. Then it is closed: its session may expire elsewhere after the whole timeout,
//!    so its client learns of the danger before. A connection looks itself each time that it wakes
//!    up, since its process may have been stopped meanwhile.
//! 3. A node that has begun, or that has taken over the state of another node, serves clients after
//!    it has caught up with what was committed by then.
//!    Until then it tells operators that it serves nobody, so that whoever asks before they send
//!    clients is told the truth. (test: `a_node_that_says_that_it_serves_lets_clients_in`)
//! 4. Without acknowledged reports a client is served only if `readonlymode.enabled` is set and the
//!    client agreed to be read-only. It gets a session that only this node knows
//!    (`local_sessions.rs`), with reads, watches and pings; every write is answered with NotReadOnly.
//!    Other clients' connections are closed without an answer, so that they try another node.
//! 5. When the quorum is back, the read-only sessions end with their connections.
//!    (tests: `a_session_is_served_for_a_third_of_its_timeout_after_an_acknowledged_report`,
//!    `without_a_quorum_no_session_expires_and_reads_are_served_to_those_who_agreed`)

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use innkeeper_runtime::{Instant, Latest};
use parking_lot::Mutex;

/// The state of the quorum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// The group has its quorum.
    Held,
    /// The group has lost it, as far as this node knows.
    Lost,
}

/// When this node had contact with a leader that had a quorum: the nanoseconds at which the last
/// acknowledged report was made, [`NEVER`] or [`ALONE`]. Connections ask often, so it takes no lock.
#[derive(Debug)]
struct Contact(AtomicU64);

/// There was no contact yet.
const NEVER: u64 = 0;
/// No other node votes: there always is.
const ALONE: u64 = u64::MAX;

impl Contact {
    fn new(nanos: u64) -> Self {
        Self(AtomicU64::new(nanos))
    }

    /// How old it is; `None` if there was none.
    fn age(&self, now: Instant) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            NEVER => None,
            ALONE => Some(Duration::ZERO),
            at => Some(now.since(Instant::from_nanos(at))),
        }
    }

    fn set_alone(&self) {
        self.0.store(ALONE, Ordering::Relaxed);
    }

    /// A report that was made at this time was acknowledged.
    fn acknowledged(&self, made: Instant) {
        let made = made.as_nanos().max(NEVER + 1);
        let newer = |before| match before {
            ALONE => Some(made),
            _ => Some(made.max(before)),
        };
        // It fails only where the closure gives `None`.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, newer);
    }
}

/// What the node knows of its quorum.
///
/// Invariant: `changes` grows with every change of what [`Quorum::state`] answers. So a connection
/// that was admitted in one state and has no seat yet can notice that the state has changed.
#[derive(Debug)]
pub struct Quorum {
    inner: Mutex<Inner>,
    contact: Contact,
    /// One value: whoever waits compares its parts under one lock.
    /// (test: `who_waits_to_catch_up_holds_nobody_up_who_waits_for_a_beginning`)
    beginning: Latest<Beginning>,
}

#[derive(Clone, Copy, Debug)]
struct Beginning {
    /// How often the node has begun or taken over another state.
    begun: u64,
    /// The beginning with which the node has caught up.
    caught_up: u64,
}

impl Beginning {
    fn is_behind(&self) -> bool {
        self.caught_up != self.begun
    }
}

#[derive(Clone, Copy, Debug)]
struct Inner {
    /// The modules of the active authorizers are there.
    authorizers: bool,
    seen: Held,
    pinned: Option<Held>,
    changes: u64,
}

impl Default for Quorum {
    fn default() -> Self {
        Self::alone()
    }
}

impl Quorum {
    /// That of a node alone.
    pub(crate) fn alone() -> Self {
        Self::new(ALONE, Held::Held, 0)
    }

    /// That of a member of a group, before its first report.
    pub(crate) fn of_member() -> Self {
        Self::new(NEVER, Held::Lost, 1)
    }

    fn new(contact: u64, seen: Held, begun: u64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                authorizers: true,
                seen,
                pinned: None,
                changes: 0,
            }),
            contact: Contact::new(contact),
            beginning: Latest::new(Beginning {
                begun,
                caught_up: 0,
            }),
        }
    }

    /// The current state.
    pub fn state(&self) -> Held {
        self.inner.lock().state()
    }

    /// The current state, and how often it has changed.
    pub(crate) fn moment(&self) -> (Held, u64) {
        let inner = self.inner.lock();
        (inner.state(), inner.changes)
    }

    /// How old the last contact with a leader that had a quorum is; `None` if there was none.
    pub fn contact_age(&self, now: Instant) -> Option<Duration> {
        self.contact.age(now)
    }

    /// Whether a session with this timeout is served: not read-only, but as a quorum allows.
    pub(crate) fn serves(&self, timeout_ms: u32, now: Instant) -> bool {
        let is_behind = self.beginning.get().is_behind();
        let inner = self.inner.lock();
        if let Some(pinned) = inner.pinned {
            return pinned == Held::Held;
        }
        let timeout = Duration::from_millis(u64::from(timeout_ms));
        self.is_in_contact(timeout, now) && inner.authorizers && !is_behind
    }

    /// Whether clients are let in where there is a quorum: the node has caught up, and the modules of
    /// all active authorizers are there.
    pub(crate) fn is_ready(&self) -> bool {
        let is_behind = self.beginning.get().is_behind();
        let inner = self.inner.lock();
        inner.pinned == Some(Held::Held) || (inner.authorizers && !is_behind)
    }

    /// Whether the last contact is young enough for a session with this timeout that is served
    /// already. It takes no lock.
    pub(crate) fn is_in_contact(&self, timeout: Duration, now: Instant) -> bool {
        self.contact.age(now).is_some_and(|age| age <= timeout / 3)
    }

    /// This node votes alone.
    pub(crate) fn votes_alone(&self) {
        self.contact.set_alone();
    }

    /// A report that was made at this time was acknowledged.
    pub(crate) fn acknowledged(&self, made: Instant) {
        self.contact.acknowledged(made);
    }

    /// The state was replaced: no client is served until the node has caught up.
    pub(crate) fn begins_anew(&self) {
        self.beginning.update(|beginning| {
            beginning.begun += 1;
            true
        });
    }

    /// Waits until the node has not caught up, and returns the beginning with which it is to catch
    /// up.
    pub(crate) async fn is_behind(&self) -> u64 {
        self.beginning.wait_for(Beginning::is_behind).await.begun
    }

    /// Waits until the node has caught up.
    pub async fn is_caught_up(&self) {
        self.beginning.wait_for(|now| !now.is_behind()).await;
    }

    /// Everything is applied that was committed after this beginning.
    pub(crate) fn has_caught_up(&self, begun: u64) {
        self.beginning.update(|beginning| {
            beginning.caught_up = begun;
            true
        });
    }

    /// Whether the modules of all active authorizers are there. Without them no client is served.
    pub(crate) fn set_authorizers(&self, are_there: bool) {
        self.inner.lock().authorizers = are_there;
    }

    /// Judges the state by the age of the last contact. Returns true if the state has changed.
    pub(crate) fn look(&self, now: Instant, lost_after: Duration) -> bool {
        let age = self.contact.age(now);
        self.change(|inner| {
            inner.seen = match age {
                Some(age) if age <= lost_after => Held::Held,
                _ => Held::Lost,
            }
        })
    }

    /// Sets the state for a test, or, with `None`, lets the reports count again. Returns true if
    /// the state changed.
    pub(crate) fn pin(&self, pinned: Option<Held>) -> bool {
        self.change(|inner| inner.pinned = pinned)
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_session_is_served_for_a_third_of_its_timeout_after_an_acknowledged_report() {
        let quorum = Quorum::of_member();
        let start = Instant::default();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!quorum.serves(3000, at(0)), "no report was acknowledged");
        assert!(!quorum.is_in_contact(Duration::from_secs(3), at(0)));
        quorum.acknowledged(at(1000));
        assert!(!quorum.serves(3000, at(1000)), "it has not caught up");
        quorum.has_caught_up(1);
        assert!(quorum.serves(3000, at(2000)));
        assert!(!quorum.serves(3000, at(2001)));
        assert!(quorum.serves(30_000, at(2001)));
        assert!(quorum.is_in_contact(Duration::from_secs(3), at(2000)));
        assert!(!quorum.is_in_contact(Duration::from_secs(3), at(2001)));
        // An older report that is acknowledged later takes nothing back.
        quorum.acknowledged(at(500));
        assert!(quorum.serves(3000, at(2000)));
        quorum.set_authorizers(false);
        assert!(!quorum.serves(3000, at(1000)));
        quorum.set_authorizers(true);
        quorum.begins_anew();
        assert!(!quorum.serves(3000, at(1000)));
        quorum.has_caught_up(1);
        assert!(!quorum.serves(3000, at(1000)), "with the old beginning");
        quorum.has_caught_up(2);
        assert!(quorum.serves(3000, at(1000)));
    }

    /// Each used to look at what the other waits for under the lock of its own value, and a node
    /// that had just begun could stand still for ever.
    #[allow(
        clippy::disallowed_methods,
        reason = "two threads that meet are the test"
    )]
    #[test]
    fn who_waits_to_catch_up_holds_nobody_up_who_waits_for_a_beginning() {
        const TIMES: usize = 200_000;
        let quorum = Arc::new(Quorum::of_member());
        let (done, both) = channel();
        for number in 0..2 {
            let (quorum, done) = (quorum.clone(), done.clone());
            std::thread::spawn(move || {
                let mut context = Context::from_waker(Waker::noop());
                for _ in 0..TIMES {
                    let _ = match number {
                        0 => pin!(quorum.is_behind()).poll(&mut context).map(drop),
                        _ => pin!(quorum.is_caught_up()).poll(&mut context),
                    };
                }
                let _ = done.send(());
            });
        }
        for _ in 0..2 {
            let came = both.recv_timeout(Duration::from_secs(60));
            assert!(came.is_ok(), "both wait for each other");
        }
    }

    #[test]
    fn the_state_is_lost_and_held_again_by_reports_alone() {
        let quorum = Quorum::of_member();
        let start = Instant::default();
        let (at, patience) = (
            |ms| start + Duration::from_millis(ms),
            Duration::from_secs(1),
        );
        assert!(!quorum.look(at(0), patience));
        assert_eq!(quorum.state(), Held::Lost);
        quorum.acknowledged(at(100));
        assert!(quorum.look(at(1100), patience));
        assert_eq!(quorum.moment(), (Held::Held, 1));
        assert!(quorum.look(at(1101), patience));
        assert_eq!(quorum.moment(), (Held::Lost, 2));
        quorum.votes_alone();
        assert!(quorum.look(at(9000), patience));
    }
}

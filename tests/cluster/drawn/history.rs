//! What the clients of a run asked and were answered, when that was in true time, and what the
//! nodes showed meanwhile.

use std::sync::Arc;

use innkeeper_proto::ErrorCode;
use innkeeper_runtime::{Instant, World};
use innkeeper_tree::View;
use parking_lot::Mutex;

use super::super::common::Answer;
use super::invariants::ephemerals::Ephemerals;
use super::invariants::lost::Lost;
use super::invariants::one_owner::OneOwner;
use super::invariants::real_time::RealTime;
use super::invariants::recursive::Streams;
use super::invariants::registers::Registers;
use super::invariants::same::Same;
use super::invariants::served::Served;
use super::invariants::timeouts::Timeouts;
use super::invariants::zxids::Zxids;

/// A request is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub at: Instant,
    /// The highest zxid that some client knew then.
    pub known: u64,
}

/// How often something happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    pub answers: u64,
    pub created: u64,
    pub set: u64,
    pub confirmed_reads: u64,
    pub plain_reads: u64,
    pub moved: u64,
    pub expired: u64,
    pub closed: u64,
    pub fired: u64,
    pub recursive: u64,
    pub held: u64,
}

impl Counts {
    fn each(&self) -> [(&'static str, u64); 11] {
        [
            ("answers", self.answers),
            ("creates", self.created),
            ("sets", self.set),
            ("confirmed reads", self.confirmed_reads),
            ("plain reads", self.plain_reads),
            ("sessions taken to another node", self.moved),
            ("sessions expired", self.expired),
            ("sessions closed", self.closed),
            ("watches fired", self.fired),
            ("events of persistent watches", self.recursive),
            ("locks held", self.held),
        ]
    }

    pub fn add(&mut self, other: &Counts) {
        self.answers += other.answers;
        self.created += other.created;
        self.set += other.set;
        self.confirmed_reads += other.confirmed_reads;
        self.plain_reads += other.plain_reads;
        self.moved += other.moved;
        self.expired += other.expired;
        self.closed += other.closed;
        self.fired += other.fired;
        self.recursive += other.recursive;
        self.held += other.held;
    }

    /// Clients were at work while the faults came: each of these happened in a run, on average.
    pub fn are_enough(&self) {
        for (what, count) in self.each() {
            assert!(count >= super::SEEDS.end, "{count} {what}");
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = self.each().map(|(what, count)| format!("{count} {what}"));
        f.write_str(&each.join(", "))
    }
}

/// What happened, with the invariants that judge it.
#[derive(Default)]
pub struct Events {
    pub counts: Counts,
    pub ephemerals: Ephemerals,
    pub lost: Lost,
    pub one_owner: OneOwner,
    pub real_time: RealTime,
    pub streams: Streams,
    pub registers: Registers,
    pub same: Same,
    pub served: Served,
    pub timeouts: Timeouts,
    pub zxids: Zxids,
    is_over: bool,
}

/// The history of one run. Clones are the same history.
#[derive(Clone)]
pub struct History {
    world: World,
    events: Arc<Mutex<Events>>,
}

impl History {
    pub fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            events: Arc::default(),
        }
    }

    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// Notes or judges something. Nothing waits meanwhile.
    pub fn note<T>(&self, what: impl FnOnce(&mut Events) -> T) -> T {
        what(&mut self.events.lock())
    }

    /// A client is about to send something.
    pub fn begin(&self) -> Begun {
        Begun {
            at: self.now(),
            known: self.note(|all| all.real_time.known()),
        }
    }

    /// The faults are over: the clients come to their end.
    pub fn end(&self) {
        self.note(|all| all.is_over = true);
    }

    pub fn is_over(&self) -> bool {
        self.note(|all| all.is_over)
    }

    /// A client has its session on a connection.
    pub fn connected(&self, session: i64, timeout_ms: i32, begun: Begun) {
        let now = self.now();
        self.note(|all| {
            all.served.answered(session, begun.at);
            all.timeouts.connected(session, timeout_ms);
            all.timeouts.answered(session, begun.at, now);
        });
    }

    /// A session is answered.
    pub fn answered(&self, session: i64, begun: Begun, answer: &Answer) {
        let now = self.now();
        if matches!(
            answer.err,
            ErrorCode::SessionExpired | ErrorCode::SessionMoved
        ) {
            return;
        }
        self.note(|all| {
            all.counts.answers += 1;
            all.zxids.answered(session, answer.zxid);
            all.served.answered(session, begun.at);
            all.timeouts.answered(session, begun.at, now);
        });
    }

    /// A client closes its session, or may have done so.
    pub fn closes(&self, session: i64) {
        self.note(|all| {
            all.counts.closed += 1;
            all.served.closes(session);
            all.ephemerals.given_up_with(session);
        });
    }

    /// A node shows a state.
    pub fn shows(&self, node: u64, view: &View) {
        let now = self.now();
        self.note(|all| {
            for ended in all.served.look(view, now) {
                all.counts.expired += 1;
                all.timeouts.ended(ended, now);
            }
            all.ephemerals.look(node, view);
            all.same.look(node, view);
        });
    }
}

//! What the clients of a run asked and were answered, when that was in true time, and what the
//! nodes showed meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use innkeeper_proto::ErrorCode;
use innkeeper_runtime::{Instant, Simulated, World};
use innkeeper_server::service::{Service, Standing};
use parking_lot::Mutex;

use super::super::common::Answer;
use super::invariants::ephemerals::Ephemerals;
use super::invariants::leading::Leading;
use super::invariants::lost::Lost;
use super::invariants::one_owner::OneOwner;
use super::invariants::owed::Owed;
use super::invariants::policies::Policies;
use super::invariants::reactions;
use super::invariants::real_time::RealTime;
use super::invariants::recursive::Streams;
use super::invariants::registers::Registers;
use super::invariants::same::Same;
use super::invariants::served::Served;
use super::invariants::timeouts::Timeouts;
use super::invariants::zxids::Zxids;
use super::operator::Changes;

/// The counts that are rarer than the others.
const INSTALLED: &str = "snapshots installed";
const REPLACED: &str = "connections closed by them";

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
    pub reactions: u64,
    pub installs: u64,
    pub replaced: u64,
    pub read_only: u64,
    pub local: u64,
    pub flips: u64,
    pub allowed: u64,
    pub denied: u64,
    pub changes: Changes,
}

impl Counts {
    fn each(&self) -> [(&'static str, u64); 19] {
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
            ("reactions", self.reactions),
            (INSTALLED, self.installs),
            (REPLACED, self.replaced),
            ("reads without a quorum", self.read_only),
            ("sessions that only their node knew", self.local),
            ("flips of a policy", self.flips),
            ("writes that a policy allowed", self.allowed),
            ("writes that a policy refused", self.denied),
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
        self.reactions += other.reactions;
        self.installs += other.installs;
        self.replaced += other.replaced;
        self.read_only += other.read_only;
        self.local += other.local;
        self.flips += other.flips;
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.changes.add(&other.changes);
    }

    /// Clients were at work while the faults came: each of these happened in a run, on average.
    /// Snapshots are rarer, since a node that was away is mostly sent what it lacks of the log, and
    /// so are changes of members, which wait for each other.
    pub fn are_enough(&self) {
        for (what, count) in self.each() {
            let least = match what {
                INSTALLED | REPLACED => super::SEEDS.end / 10,
                _ => super::SEEDS.end,
            };
            assert!(count >= least, "{count} {what}");
        }
        for (what, count) in self.changes.each() {
            assert!(count >= super::SEEDS.end / 100, "{count} {what}");
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = self.each().into_iter().chain(self.changes.each());
        let each: Vec<_> = each
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        f.write_str(&each.join(", "))
    }
}

/// The present life of a node, from its start to its death.
#[derive(Default)]
struct Life {
    /// The start by the node's own clock.
    started: Instant,
    /// When it was seen first.
    since: Instant,
    /// What it was and the zxid of its state when it was looked at last.
    seen: Option<(Standing, u64)>,
    /// The snapshots that it had installed when it was looked at last, and the connections that it
    /// had closed because of them.
    installs: (u64, u64),
}

/// What happened, with the invariants that judge it.
#[derive(Default)]
pub struct Events {
    pub counts: Counts,
    pub ephemerals: Ephemerals,
    lives: BTreeMap<u64, Life>,
    pub leading: Leading,
    pub lost: Lost,
    pub one_owner: OneOwner,
    pub owed: Owed,
    pub policies: Policies,
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

    /// A node is looked at.
    pub fn looks(&self, node: u64, service: &Service<Simulated>) {
        let now = self.now();
        let standing = service.standing();
        let zxid = service.reader.last_zxid().0;
        let reactions = service.stats.reactions.get();
        let stats = &service.stats;
        let installs = (stats.installs.get(), stats.connections_replaced.get());
        self.note(|all| {
            all.leading.look(node, standing, reactions);
            let life = all.lives.entry(node).or_default();
            if life.started != service.started {
                *life = Life {
                    started: service.started,
                    since: now,
                    seen: None,
                    installs: (0, 0),
                };
            }
            all.counts.installs += installs.0 - life.installs.0;
            all.counts.replaced += installs.1 - life.installs.1;
            life.installs = installs;
            if life.seen.replace((standing, zxid)) == Some((standing, zxid)) {
                return;
            }
            let (view, since) = (service.reader.view(), life.since);
            for ended in all.served.look(&view, now) {
                all.counts.expired += 1;
                all.timeouts.ended(ended, now);
                all.owed.ended(ended, now);
            }
            all.owed.look(standing, &view, now);
            all.ephemerals.look(node, &view);
            all.same.look(node, &view);
            all.policies.look(&view);
            reactions::look(node, &view);
            all.served.look_at(node, &view, since);
        });
    }
}

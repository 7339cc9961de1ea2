//! Holding proposals back in favour of one that keeps losing.
//!
//! Between a guest's view and its commit lie milliseconds of other writes; under load a reaction
//! that reads much may never get through. So after three lost races in a row of a binding, the
//! door keeps other proposals that write what it read waiting, for a few milliseconds at most,
//! until the next transaction of that binding has passed. The same goes for a session whose
//! writes bounced three times because policies kept changing.

use std::collections::VecDeque;
use std::time::Duration;

use innkeeper_runtime::Instant;
use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::footprint::{InFlight, ReadKeys};
use innkeeper_tree::pattern::PathPattern;
use innkeeper_tree::transaction::GuestWrite;
use innkeeper_tree::{Operation, SessionId, View};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Room;

/// So many losses in a row call for help.
const LOSSES: u32 = 3;
/// Losses further apart than this are not "in a row".
const IN_A_ROW: Duration = Duration::from_secs(1);
/// So many losers are remembered at most.
const REMEMBERED: usize = 1024;

/// Who keeps losing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Loser {
    Binding(String),
    Session(SessionId),
}

impl Loser {
    fn of(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::Transaction { transaction, .. } => {
                Some(Loser::Binding(transaction.binding.clone()))
            }
            Operation::Session { session, .. } => Some(Loser::Session(*session)),
            _ => None,
        }
    }
}

/// Proposals that conflict with this wait.
struct Hold {
    favoured: Loser,
    until: Instant,
    lost_to: LostTo,
}

/// What the favoured one keeps losing to.
enum LostTo {
    /// Writes of what its transaction read.
    Writers(ReadKeys),
    /// Changes of policies: writes of these paths, and activations.
    Policies(Vec<PathPattern>),
}

impl Hold {
    fn concerns(&self, operation: &Operation, footprints: &InFlight) -> bool {
        match &self.lost_to {
            LostTo::Writers(read) => footprints.writes_any(operation, read),
            LostTo::Policies(policies) => {
                let mut hit = matches!(operation, Operation::Activate { .. });
                paths(operation, &mut |path| {
                    hit |= policies.iter().any(|policy| policy.matches(path));
                });
                hit
            }
        }
    }
}

/// Who lost, who is favoured, and who waits.
///
/// Invariants:
/// - Operations of one session leave in the order in which they came.
/// - Nothing waits longer than `hold_back` after the last hold began; what waits keeps its room
///   at the door, which bounds it.
pub(super) struct Holds {
    hold_back: Duration,
    losses: FxHashMap<Loser, (u32, Instant)>,
    active: Vec<Hold>,
    waiting: VecDeque<(Operation, Room)>,
    waiting_sessions: FxHashSet<SessionId>,
}

impl Holds {
    pub(super) fn new(hold_back: Duration) -> Self {
        Self {
            hold_back,
            losses: FxHashMap::default(),
            active: Vec::new(),
            waiting: VecDeque::new(),
            waiting_sessions: FxHashSet::default(),
        }
    }

    /// An operation lost a race: refused as doomed, in conflict, or bounced.
    pub(super) fn lost(
        &mut self,
        operation: &Operation,
        footprints: &InFlight,
        view: &View,
        now: Instant,
    ) {
        let Some(loser) = Loser::of(operation) else {
            return;
        };
        if self.losses.len() >= REMEMBERED {
            self.losses.retain(|_, (_, at)| now.since(*at) < IN_A_ROW);
        }
        if self.losses.len() >= REMEMBERED && !self.losses.contains_key(&loser) {
            return;
        }
        let (count, at) = self.losses.entry(loser.clone()).or_insert((0, now));
        if now.since(*at) >= IN_A_ROW {
            *count = 0;
        }
        *count += 1;
        *at = now;
        if *count < LOSSES {
            return;
        }
        self.losses.remove(&loser);
        let lost_to = match operation {
            Operation::Transaction { transaction, .. } => {
                LostTo::Writers(footprints.read_keys(transaction))
            }
            _ => {
                let mut policies = Vec::new();
                for active in view.bindings().iter().filter_map(|b| b.active.as_ref()) {
                    policies.extend(active.definition.policy.iter().cloned());
                }
                LostTo::Policies(policies)
            }
        };
        self.active.retain(|hold| hold.favoured != loser);
        self.active.push(Hold {
            favoured: loser,
            until: now + self.hold_back,
            lost_to,
        });
    }

    /// Gives an operation through, or keeps it for a while.
    pub(super) fn admit(
        &mut self,
        operation: Operation,
        room: Room,
        footprints: &InFlight,
    ) -> Option<(Operation, Room)> {
        if self.active.is_empty() {
            return Some((operation, room));
        }
        let session = match &operation {
            Operation::Session {
                session, request, ..
            } => Some((*session, matches!(request, SessionRequest::Close))),
            _ => None,
        };
        let behind = session.is_some_and(|(id, _)| self.waiting_sessions.contains(&id));
        if !behind {
            let loser = Loser::of(&operation);
            let favoured = self
                .active
                .iter()
                .position(|hold| Some(&hold.favoured) == loser.as_ref());
            if let Some(place) = favoured {
                // Its chance has come; the others go on behind it.
                self.active.remove(place);
                return Some((operation, room));
            }
            let concerned = |hold: &Hold| hold.concerns(&operation, footprints);
            if !self.active.iter().any(concerned) {
                return Some((operation, room));
            }
        }
        if let Some((id, _)) = session {
            self.waiting_sessions.insert(id);
        }
        self.waiting.push_back((operation, room));
        None
    }

    /// Ends holds whose time is over; returns what waited, in order, once no hold is left.
    pub(super) fn release(&mut self, now: Instant) -> VecDeque<(Operation, Room)> {
        self.active.retain(|hold| hold.until > now);
        if !self.active.is_empty() {
            return VecDeque::new();
        }
        self.waiting_sessions.clear();
        std::mem::take(&mut self.waiting)
    }

    /// When the next hold ends, if anything waits for it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        Some(
            self.active
                .iter()
                .map(|hold| hold.until)
                .min()
                .unwrap_or_default(),
        )
    }

    /// Everything that waits, when the door closes.
    pub(super) fn drain(&mut self) -> VecDeque<(Operation, Room)> {
        self.active.clear();
        self.waiting_sessions.clear();
        std::mem::take(&mut self.waiting)
    }
}

/// The paths that an operation names for writing, for the test whether it writes a policy.
pub(crate) fn paths(operation: &Operation, each: &mut impl FnMut(&str)) {
    let mut of_write = |write: &Write| {
        let ops = match write {
            Write::Single(op) => std::slice::from_ref(op),
            Write::Multi(ops) => ops,
        };
        for op in ops {
            match op {
                WriteOp::Create { path, .. }
                | WriteOp::Delete { path, .. }
                | WriteOp::SetData { path, .. }
                | WriteOp::SetAcl { path, .. }
                | WriteOp::DeleteContainer { path } => each(path),
                WriteOp::Check { .. } | WriteOp::Refused { .. } => {}
            }
        }
    };
    match operation {
        Operation::Session {
            request: SessionRequest::Write { write, .. },
            ..
        }
        | Operation::Admin { write, .. } => of_write(write),
        Operation::Transaction { transaction, .. } => {
            for write in &transaction.writes {
                match write {
                    GuestWrite::Create { path, .. }
                    | GuestWrite::Set { path, .. }
                    | GuestWrite::Delete { path } => each(path),
                }
            }
        }
        Operation::Sweep(sweep) => each(&sweep.path),
        _ => {}
    }
}

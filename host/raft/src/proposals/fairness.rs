//! Fairness: other proposals are held back for one that keeps losing races.
//!
//! Other writes are committed between a guest's view and its commit, so under load a reaction that
//! reads much might never commit. After a binding has lost three races in a row, other proposals
//! that write what it read wait until its next transaction has passed, for a few milliseconds at
//! most. The same is done for a session whose writes were refused three times because policies
//! changed.
//!
//! Meanwhile the order of a session's operations is kept, its end and its reattachment included:
//! a session's writes are numbered, and a write that overtook another would close its connection.
//! (tests: `writes_behind_the_favoured_transaction_do_not_pass_those_that_waited_for_it`,
//! `what_a_session_sends_first_goes_first_and_nothing_is_held_for_ever`)

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use innkeeper_runtime::Instant;
use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::footprint::{InFlight, ReadKeys};
use innkeeper_tree::pattern::PathPattern;
use innkeeper_tree::transaction::GuestWrite;
use innkeeper_tree::{Operation, SessionId, View};
use rustc_hash::FxHashMap;

use super::intake::Holder;

/// After so many losses in a row others are held back.
const LOSSES: u32 = 3;
/// Losses further apart than this are not "in a row".
const IN_A_ROW: Duration = Duration::from_secs(1);
/// The greatest number of losers that are remembered.
const REMEMBERED: usize = 1024;

/// A binding or a session that loses races.
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

/// One favoured loser. Proposals that would make it lose again wait.
struct Hold {
    favoured: Loser,
    until: Instant,
    lost_to: LostTo,
}

/// The cause of the losses.
enum LostTo {
    /// Writes of things that the loser's transaction read.
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

/// The session whose order an operation belongs to.
const fn session_of(operation: &Operation) -> Option<SessionId> {
    match operation {
        Operation::Session { session, .. }
        | Operation::CreateSession { session, .. }
        | Operation::Reattach { session, .. }
        | Operation::ExpireSession { session, .. } => Some(*session),
        _ => None,
    }
}

/// An operation that is held back.
struct Held {
    operation: Operation,
    holder: Holder,
    /// From this time on it goes before all others.
    due: Instant,
}

/// The losers, the favoured ones, and the operations that wait for them.
///
/// Invariants:
/// - Operations of one session leave in the order in which they came, its end and its reattachment
///   included: none passes one that waits.
/// - No operation waits longer than `hold_back`, however many losers there are; time in which
///   nothing can be proposed does not count. Bound: waiting operations keep their room in the
///   queue.
/// - `waiting` ascends by `due`; `waiting_sessions` counts its operations by session.
pub(super) struct Fairness {
    hold_back: Duration,
    /// Seeded: clients choose the names of bindings.
    losses: HashMap<Loser, (u32, Instant)>,
    active: Vec<Hold>,
    waiting: VecDeque<Held>,
    waiting_sessions: FxHashMap<SessionId, usize>,
}

impl Fairness {
    pub(super) fn new(hold_back: Duration) -> Self {
        Self {
            hold_back,
            losses: HashMap::new(),
            active: Vec::new(),
            waiting: VecDeque::new(),
            waiting_sessions: FxHashMap::default(),
        }
    }

    /// An operation lost a race: it was refused because of a write in flight, or by apply because
    /// of a conflict or a changed policy.
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

    /// The next operation to propose: the first that has waited long enough, or else the first of
    /// `intake` that need not wait. Those before it are held back.
    pub(super) fn next(
        &mut self,
        intake: &mut VecDeque<(Operation, Holder)>,
        footprints: &InFlight,
        now: Instant,
    ) -> Option<(Operation, Holder)> {
        loop {
            // This is checked for each operation: if the one before was the favoured one, those
            // that waited for it go before later ones.
            if self.is_due(now) {
                return self.take_first();
            }
            let (operation, holder) = intake.pop_front()?;
            if self.passes(&operation, footprints, now) {
                return Some((operation, holder));
            }
            if let Some(session) = session_of(&operation) {
                *self.waiting_sessions.entry(session).or_default() += 1;
            }
            self.waiting.push_back(Held {
                operation,
                holder,
                due: now + self.hold_back,
            });
        }
    }

    /// Has the first waiting operation waited long enough?
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let Some(first) = self.waiting.front() else {
            return false;
        };
        first.due <= now || self.active.iter().all(|hold| hold.until <= now)
    }

    /// May an operation be proposed now? Called only while no waiting operation is due.
    fn passes(&mut self, operation: &Operation, footprints: &InFlight, now: Instant) -> bool {
        self.active.retain(|hold| hold.until > now);
        if self.active.is_empty() {
            return true;
        }
        if session_of(operation).is_some_and(|id| self.waiting_sessions.contains_key(&id)) {
            return false;
        }
        let loser = Loser::of(operation);
        let favoured = self
            .active
            .iter()
            .position(|hold| Some(&hold.favoured) == loser.as_ref());
        if let Some(place) = favoured {
            // The favoured one is proposed now, and the others after it.
            self.active.remove(place);
            return true;
        }
        let concerned = |hold: &Hold| hold.concerns(operation, footprints);
        !self.active.iter().any(concerned)
    }

    fn take_first(&mut self) -> Option<(Operation, Holder)> {
        let Held {
            operation, holder, ..
        } = self.waiting.pop_front()?;
        if let Some(session) = session_of(&operation)
            && let Entry::Occupied(mut count) = self.waiting_sessions.entry(session)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some((operation, holder))
    }

    /// The time at which the first waiting operation is due, if there is one.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = self.waiting.front()?;
        let last_hold = self.active.iter().map(|hold| hold.until).max();
        Some(first.due.min(last_hold.unwrap_or_default()))
    }

    /// All waiting operations, when the node is closed.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Operation, Holder)> {
        self.active.clear();
        self.waiting_sessions.clear();
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .map(|held| (held.operation, held.holder))
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

#[cfg(test)]
mod tests;

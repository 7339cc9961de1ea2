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
use innkeeper_tree::command::SessionRequest;
use innkeeper_tree::pattern::PathPattern;
use innkeeper_tree::{Operation, SessionId, View};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Room;
use super::claims::{self, Key};

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
    /// Writes of these keys wait …
    keys: FxHashSet<Key>,
    /// … and writes of paths that these match, and activations if there are any.
    policies: Vec<PathPattern>,
}

impl Hold {
    fn concerns(&self, operation: &Operation, view: &View) -> bool {
        let mut hit = false;
        if !self.keys.is_empty() {
            claims::writes(operation, view, &mut |key| hit |= self.keys.contains(&key));
        }
        if !self.policies.is_empty() {
            hit |= matches!(operation, Operation::Activate { .. });
            claims::paths(operation, &mut |path| {
                hit |= self.policies.iter().any(|policy| policy.matches(path));
            });
        }
        hit
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
    pub(super) fn lost(&mut self, operation: &Operation, view: &View, now: Instant) {
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
        let mut keys = FxHashSet::default();
        let mut policies = Vec::new();
        match operation {
            Operation::Transaction { transaction, .. } => {
                claims::reads(transaction, &mut |key, _| {
                    keys.insert(key);
                });
            }
            _ => {
                let active = view.bindings().iter().filter_map(|b| b.active.as_ref());
                for active in active {
                    policies.extend(active.definition.policy.iter().cloned());
                }
            }
        }
        self.active.retain(|hold| hold.favoured != loser);
        self.active.push(Hold {
            favoured: loser,
            until: now + self.hold_back,
            keys,
            policies,
        });
    }

    /// Gives an operation through, or keeps it for a while.
    pub(super) fn admit(
        &mut self,
        operation: Operation,
        room: Room,
        view: impl FnOnce() -> View,
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
            let view = view();
            if !self
                .active
                .iter()
                .any(|hold| hold.concerns(&operation, &view))
            {
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

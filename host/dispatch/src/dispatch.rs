//! One dispatcher per recipe: from queued events to a committed transaction.
//!
//! 1. Wait for a place: the binding that used least is first (`fair` in the sandbox); and for a
//!    place for the assignors that it calls, if the last reaction ended because there was none.
//! 2. Take the oldest events off the queue (they stay queued), then a view: it contains them.
//! 3. Run the guest on them, in a fresh instance, on a guest thread, in turns with all others.
//! 4. Propose its transaction, which acknowledges the events. Committed: go on. Refused
//!    because something that it read has changed: again from 1.
//! 5. A guest that fails rests, ever longer ([`Health`](super::health::Health)); its events stay
//!    queued. A new activation ends the rest.
//! 6. What the host lacked (room in the pool) is no failure of the guest's: it is
//!    tried again, after a pause that doubles as long as the lack lasts.
//!
//! **Invariant:** a recipe holds no view while it waits for a place or for its assignors' memory,
//! and no invocation holds one for longer than its bound. (tests:
//! `a_recipe_does_not_hold_its_view_while_it_waits_for_its_assignors_memory`,
//! `a_reaction_may_not_hold_its_view_for_ever`)

use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::Refusal;
use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_sandbox::{FailureKind, GuestFailure, Invocation, Module};
use innkeeper_server::delivery::pending_proposals::ProposeError;
use innkeeper_tree::applied::TicketResult;
use innkeeper_tree::encoding::transaction_len;
use innkeeper_tree::{Active, Operation, World, Zxid};
use tokio::sync::Notify;

use super::calls::Calls;
use super::first::FirstRun;
use super::health::Breaker;
use super::lane::Lane;
use super::member::Member;
use super::rate::{ByteRate, Rate};
use super::{EVENTS_PER_REACTION, Guests, events};

/// The pause after the host lacked something for the first time; it doubles with each further
/// one in a row.
const LACK_LEAST: Duration = Duration::from_millis(100);

/// The longest such pause.
const LACK_MOST: Duration = Duration::from_secs(30);

/// The wait before a reaction runs again whose transaction was refused as doomed: about as long as
/// the proposals in flight take to be applied.
const DOOMED_PAUSE: Duration = Duration::from_micros(500);

/// What a dispatcher remembers from one turn to the next.
struct Memory<R: Runtime> {
    name: Arc<str>,
    bell: Arc<Notify>,
    /// On which threads its task runs.
    lane: Lane,
    /// The binding as it is active; none before its first activation.
    member: Option<Arc<Member>>,
    rate: Rate,
    bytes: ByteRate,
    calls: Arc<Calls<R>>,
    /// Memory of an assignor for which the last reaction found no place.
    assignor_bytes: Option<u64>,
    /// How often in a row the host lacked something.
    lacks: u32,
}

/// What a turn of the loop came to.
enum Turn {
    /// Something was done; look again at once.
    Again,
    /// Nothing to do until the bell rings.
    Idle,
    /// The guest failed, or could not be invoked; wait.
    Failed(Arc<Member>, GuestFailure),
    /// The proposer refused the transaction, since a proposal in flight dooms it.
    Doomed,
    /// The binding is gone, or the node stops.
    Gone,
}

/// What a recipe has to do.
enum Due {
    /// There are events, this acts, and this node leads.
    Now(Active),
    /// There are no events, it does not act (yet), or another node leads.
    Nothing,
    /// There is no such binding (any more).
    Gone,
}

impl<R: Runtime> Guests<R> {
    pub(super) async fn dispatch(&self, name: Arc<str>, bell: Arc<Notify>, lane: Lane) {
        let mut memory = Memory {
            calls: Calls::new(self.clone(), Arc::clone(&name)),
            name: Arc::clone(&name),
            bell,
            lane,
            member: None,
            rate: Rate::default(),
            bytes: ByteRate::default(),
            assignor_bytes: None,
            lacks: 0,
        };
        loop {
            match self.turn(&mut memory).await {
                Turn::Again => memory.lacks = 0,
                Turn::Idle => {
                    if !self.heard(&memory.bell).await {
                        return;
                    }
                }
                Turn::Doomed => self.shared.runtime.sleep(DOOMED_PAUSE).await,
                Turn::Failed(member, failure) => {
                    self.book_failure(&member, &failure);
                    let is_lack = failure.kind == FailureKind::Host;
                    if !is_lack {
                        self.note_end(&name, member.activation(), || FirstRun::Badly {
                            error: failure.to_string(),
                        });
                    }
                    let wait = if is_lack {
                        memory.lacks = memory.lacks.saturating_add(1);
                        let doublings = (memory.lacks - 1).min(16);
                        LACK_LEAST.saturating_mul(1 << doublings).min(LACK_MOST)
                    } else {
                        memory.lacks = 0;
                        let rest = member.rests(self.shared.runtime.now());
                        rest.unwrap_or_default()
                    };
                    self.rest(&memory, member.activation(), wait).await;
                }
                Turn::Gone => break,
            }
        }
        // A task that creates the binding again finds no dispatcher and starts one.
        self.shared.dispatchers.lock().remove(&name);
        if self.shared.reader.view().bindings().get(&name).is_some() {
            self.shared.changed.lock().insert(name);
            self.shared.changed_bell.notify_one();
        }
    }

    async fn turn(&self, memory: &mut Memory<R>) -> Turn {
        let shared = &self.shared;
        let name = &memory.name;
        if shared.stopping.is_raised() {
            return Turn::Gone;
        }
        let active = match self.due(name) {
            Due::Now(active) => active,
            Due::Nothing => return Turn::Idle,
            Due::Gone => return Turn::Gone,
        };
        let Active {
            activation,
            definition,
            ..
        } = active;
        let member = match &memory.member {
            Some(member) if member.activation() == activation => Arc::clone(member),
            _ => {
                let member = self.member(name, activation, World::Recipe, None);
                self.show_breaker(&member, Breaker::Closed);
                memory.lane.follow(&member.account);
                memory.member = Some(Arc::clone(&member));
                // What an older activation wrote is not the new one's to wait for.
                memory.bytes = ByteRate::default();
                member
            }
        };
        let failed = |failure| Turn::Failed(Arc::clone(&member), failure);
        let limits = definition.limits;
        let now = shared.runtime.now();
        let by_bytes = memory.bytes.wait(now);
        let wait = by_bytes.or_else(|| memory.rate.take(now, limits.calls_per_second));
        if let Some(wait) = wait {
            self.rest(memory, activation, wait).await;
            return Turn::Again;
        }
        // It is fetched by a task of its own (`activation`), which tells why it cannot be had, and
        // rings when it is there: that is no failure of the guest's. The tree takes no definition
        // whose module exports another world than its own.
        let Some(Module::Recipe(module)) = self.compiled(definition.module) else {
            return Turn::Idle;
        };
        // Waiting for a place counts against nobody: what is measured begins behind it.
        let place = shared.sandbox.place(&member.account, &definition.limits);
        let place = match select2(place, shared.stopping.wait()).await {
            Select2::First(Ok(place)) => place,
            Select2::First(Err(failure)) => return failed(failure),
            Select2::Second(()) => return Turn::Gone,
        };
        let assignor_place = match memory.assignor_bytes.take() {
            None => None,
            Some(bytes) => {
                let place = shared.sandbox.assignor_place(&member.account, bytes);
                match select2(place, shared.stopping.wait()).await {
                    Select2::First(Ok(place)) => Some(place),
                    Select2::First(Err(failure)) => return failed(failure),
                    Select2::Second(()) => return Turn::Gone,
                }
            }
        };
        // Events first, then the view: so the view explains them.
        let events = events::fitting(shared.reader.queue(name, EVENTS_PER_REACTION));
        let view = shared.reader.view();
        let current = view.bindings().active(name).map(|active| active.activation);
        if events.is_empty() || current != Some(activation) || !self.leads() {
            return Turn::Again;
        }
        shared.stats.reactions.add(1);
        let now_ms = view.time_ms().max(shared.runtime.wall_ms());
        let invocation = Invocation {
            binding: name.to_string(),
            place,
            assignor_place,
            activation,
            definition,
            view,
            // What the reaction's view alone can see stays in memory, so the view is not held
            // for ever.
            view_max_age: shared.view_max_age,
            events,
            now_ms,
        };
        let reacting = shared
            .sandbox
            .react(&module, invocation, memory.calls.clone());
        let reaction = match reacting.await {
            Ok(reaction) => reaction,
            // It runs again, once it has what it lacked; nothing is held meanwhile.
            Err(ended) if ended.lacks.is_some() => {
                memory.assignor_bytes = ended.lacks;
                return Turn::Again;
            }
            Err(ended) => {
                shared.reports.used(&member.who, ended.usage);
                shared.reports.log(&member.who, ended.logs);
                return failed(ended.failure);
            }
        };
        shared.reports.log(&member.who, reaction.logs);
        let transaction = reaction.transaction;
        let bytes = transaction_len(&transaction);
        memory
            .bytes
            .spend(shared.runtime.now(), bytes, limits.bytes_per_second);
        let writes = transaction.writes.len();
        let settled = self
            .propose(|ticket| Operation::Transaction {
                ticket,
                transaction,
            })
            .await;
        match settled.map(|settled| settled.result) {
            Ok(TicketResult::Committed) => {
                let fuel = reaction.usage.fuel;
                self.book_success(&member, reaction.usage);
                self.note_end(name, activation, || FirstRun::Well { fuel, writes });
                Turn::Again
            }
            Ok(TicketResult::Conflict(conflict)) => {
                tracing::debug!(binding = &**name, ?conflict, "the reaction runs again");
                shared.reports.conflicted(&member.who);
                Turn::Again
            }
            Ok(TicketResult::Rejected(code, message)) => failed(GuestFailure::new(
                FailureKind::BadAnswer,
                format!("its transaction was rejected ({code}): {message}"),
            )),
            Ok(other) => failed(GuestFailure::new(
                FailureKind::Host,
                format!("its transaction was answered with {other:?}"),
            )),
            Err(ProposeError::Refused(Refusal::Doomed)) => {
                shared.reports.conflicted(&member.who);
                Turn::Doomed
            }
            // It would be refused again and again: what the guest makes is too much.
            Err(ProposeError::Refused(refusal @ Refusal::TooLarge { .. })) => {
                failed(GuestFailure::new(
                    FailureKind::Output,
                    format!("its transaction was refused: {refusal}"),
                ))
            }
            // If the transaction was applied, its events are acknowledged and do not come again.
            Err(ProposeError::Refused(_) | ProposeError::Replaced) => Turn::Doomed,
            Err(ProposeError::Stopping) => Turn::Gone,
        }
    }

    /// Is there anything for the recipe to react to?
    fn due(&self, name: &Arc<str>) -> Due {
        let reader = &self.shared.reader;
        let view = reader.view();
        let Some(binding) = view.bindings().get(name) else {
            return Due::Gone;
        };
        match &binding.active {
            Some(active) if active.definition.world == World::Recipe => {
                // A node that becomes the leader rings the bell.
                if reader.queue_len(name) > 0 && self.leads() {
                    // Told before anything that the reaction does can be seen.
                    self.shared.first_runs.began(name, active.activation);
                    return Due::Now(active.clone());
                }
                self.note_idle(name);
                Due::Nothing
            }
            _ => Due::Nothing,
        }
    }

    /// Waits, unless the binding is activated anew or goes away.
    async fn rest(&self, memory: &Memory<R>, failed: Zxid, wait: Duration) {
        let until = self.shared.runtime.now() + wait;
        loop {
            let slept = self.shared.runtime.sleep_until(until);
            match select2(slept, self.heard(&memory.bell)).await {
                Select2::First(()) | Select2::Second(false) => return,
                Select2::Second(true) => {}
            }
            let view = self.shared.reader.view();
            let active = view
                .bindings()
                .get(&memory.name)
                .and_then(|binding| binding.active.as_ref());
            if active.is_none_or(|active| active.activation != failed) {
                return;
            }
        }
    }
}

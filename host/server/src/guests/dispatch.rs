//! One dispatcher per recipe: from queued events to a committed transaction.
//!
//! 1. Take the oldest events off the queue (they stay queued), then a view: it contains them.
//! 2. Run the guest on them, in a fresh instance, on a guest thread.
//! 3. Propose its transaction, which acknowledges the events. Committed: go on. Refused
//!    because something that it read has changed: again from 1 on a newer view.
//! 4. A guest that fails backs off, ever longer; its events stay queued. After
//!    [`BREAKER_FAILURES`] failures in a row the breaker is open: it is tried at the longest
//!    interval only. A new activation closes it.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::Refusal;
use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_sandbox::{
    ActiveAssignor, Assignors, FailureKind, GuestFailure, Invocation, Pace, Unavailable,
};
use innkeeper_tree::applied::TicketResult;
use innkeeper_tree::{Active, Operation, View, World, Zxid};
use tokio::sync::Notify;

use super::first::FirstRun;
use super::rate::Rate;
use super::report::{BREAKER_FAILURES, Breaker};
use super::{EVENTS_PER_REACTION, Guests, events};
use crate::tickets::ProposeError;

/// The wait after a first failure; it doubles with each further one.
const BACKOFF_LEAST: Duration = Duration::from_millis(100);

/// The longest wait, and the interval at which an open breaker lets one try pass.
const BACKOFF_MOST: Duration = Duration::from_secs(30);

/// The wait before a reaction that the door refused runs again: about as long as the
/// proposals in flight take to be applied.
const DOOMED_PAUSE: Duration = Duration::from_micros(500);

/// How a dispatcher's guest is doing.
struct Health {
    activation: Zxid,
    failures: u32,
}

/// What a turn of the loop came to.
enum Turn {
    /// Something was done; look again at once.
    Again,
    /// Nothing to do until the bell rings.
    Idle,
    /// The guest failed; wait.
    Failed(GuestFailure),
    /// The door saw that the transaction was doomed.
    Doomed,
    /// The binding is gone, or the node stops.
    Gone,
}

impl<R: Runtime> Guests<R> {
    pub(super) async fn dispatch(&self, name: Arc<str>, bell: Arc<Notify>) {
        let mut health = Health {
            activation: Zxid(0),
            failures: 0,
        };
        let mut rate = Rate::default();
        loop {
            match self.turn(&name, &mut health, &mut rate).await {
                Turn::Again => {}
                Turn::Idle => {
                    if !self.heard(&bell).await {
                        return;
                    }
                }
                Turn::Doomed => self.shared.runtime.sleep(DOOMED_PAUSE).await,
                Turn::Failed(failure) => {
                    self.note_failure(&name, &failure);
                    self.note_end(&name, health.activation, || FirstRun::Badly {
                        error: failure.to_string(),
                    });
                    health.failures += 1;
                    let open = health.failures >= BREAKER_FAILURES;
                    self.shared.reports.breaker(
                        &name,
                        if open {
                            Breaker::Open
                        } else {
                            Breaker::BackingOff
                        },
                    );
                    let wait = BACKOFF_LEAST
                        .saturating_mul(1 << (health.failures - 1).min(16))
                        .min(BACKOFF_MOST);
                    self.back_off(&name, &bell, health.activation, wait).await;
                }
                Turn::Gone => break,
            }
        }
        // Whoever creates the binding again finds no dispatcher and starts one.
        self.shared.dispatchers.lock().remove(&name);
        if self.shared.reader.view().bindings().get(&name).is_some() {
            self.shared.changed.lock().insert(name);
            self.shared.changed_bell.notify_one();
        }
    }

    async fn turn(&self, name: &Arc<str>, health: &mut Health, rate: &mut Rate) -> Turn {
        let shared = &self.shared;
        if shared.stopping.is_raised() {
            return Turn::Gone;
        }
        // Events first, then the view: so the view explains them.
        let events = events::fitting(shared.reader.queue(name, EVENTS_PER_REACTION));
        let view = shared.reader.view();
        let Some(binding) = view.bindings().get(name) else {
            return Turn::Gone;
        };
        let Some(Active {
            activation,
            definition,
            ..
        }) = binding.active.clone()
        else {
            return Turn::Idle;
        };
        if definition.world != World::Recipe {
            return Turn::Idle;
        }
        if events.is_empty() {
            self.note_idle(name);
            return Turn::Idle;
        }
        shared.first_runs.began(name, activation);
        if health.activation != activation {
            *health = Health {
                activation,
                failures: 0,
            };
            shared.reports.breaker(name, Breaker::Closed);
        }
        if let Some(wait) = rate.take(shared.runtime.now(), definition.limits.calls_per_second) {
            drop(view);
            shared.runtime.sleep(wait).await;
            return Turn::Again;
        }
        // It is fetched by a task of its own (`activation`), which tells why it cannot be had, and
        // rings when it is there: that is no failure of the guest's.
        let Some(module) = self.compiled(definition.module) else {
            return Turn::Idle;
        };
        let now_ms = view.time_ms().max(shared.runtime.wall_ms());
        let invocation = Invocation {
            binding: name.to_string(),
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
            .react(&module, invocation, Arc::new(self.clone()));
        let reaction = match reacting.await {
            Ok(reaction) => reaction,
            Err(failed) => {
                shared.reports.log(name, failed.logs);
                self.blame(failed.assignor_failures);
                return Turn::Failed(failed.failure);
            }
        };
        shared.reports.log(name, reaction.logs);
        self.blame(reaction.assignor_failures);
        let transaction = reaction.transaction;
        let writes = transaction.writes.len();
        let settled = self
            .propose(|ticket| Operation::Transaction {
                ticket,
                transaction,
            })
            .await;
        match settled.map(|settled| settled.result) {
            Ok(TicketResult::Committed) => {
                shared.reports.invoked(name, reaction.usage);
                let fuel = reaction.usage.fuel;
                self.note_end(name, activation, || FirstRun::Well { fuel, writes });
                if health.failures > 0 {
                    health.failures = 0;
                    shared.reports.breaker(name, Breaker::Closed);
                }
                Turn::Again
            }
            Ok(TicketResult::Conflict(conflict)) => {
                tracing::debug!(binding = &**name, ?conflict, "the reaction runs again");
                shared.reports.conflicted(name);
                Turn::Again
            }
            Ok(TicketResult::Rejected(code, message)) => Turn::Failed(GuestFailure::new(
                FailureKind::BadAnswer,
                format!("its transaction was rejected ({code}): {message}"),
            )),
            Ok(other) => Turn::Failed(GuestFailure::new(
                FailureKind::Host,
                format!("its transaction was answered with {other:?}"),
            )),
            Err(ProposeError::Refused(Refusal::Doomed)) => {
                shared.reports.conflicted(name);
                Turn::Doomed
            }
            // It would be refused again and again: what the guest makes is too much.
            Err(ProposeError::Refused(refusal @ Refusal::TooLarge { .. })) => {
                Turn::Failed(GuestFailure::new(
                    FailureKind::Output,
                    format!("its transaction was refused: {refusal}"),
                ))
            }
            Err(ProposeError::Refused(_)) => Turn::Doomed,
            Err(ProposeError::Stopping) => Turn::Gone,
        }
    }

    /// Failed calls of assignors count against those assignors.
    fn blame(&self, failures: Vec<(String, GuestFailure)>) {
        for (assignor, failure) in failures {
            self.note_failure(&Arc::from(assignor), &failure);
        }
    }

    /// Waits, unless the binding is activated anew or goes away.
    async fn back_off(&self, name: &str, bell: &Notify, failed: Zxid, wait: Duration) {
        let until = self.shared.runtime.now() + wait;
        loop {
            let slept = self.shared.runtime.sleep_until(until);
            match select2(slept, self.heard(bell)).await {
                Select2::First(()) | Select2::Second(false) => return,
                Select2::Second(true) => {}
            }
            let view = self.shared.reader.view();
            let active = view
                .bindings()
                .get(name)
                .and_then(|binding| binding.active.as_ref());
            if active.is_none_or(|active| active.activation != failed) {
                return;
            }
        }
    }
}

impl<R: Runtime> Assignors for Guests<R> {
    fn pace<'a>(&'a self, name: &'a str, per_second: u64) -> Pace<'a> {
        Box::pin(self.paced(name, per_second))
    }

    fn find(&self, view: &View, name: &str) -> Result<ActiveAssignor, Unavailable> {
        let active = view
            .bindings()
            .get(name)
            .and_then(|binding| binding.active.as_ref())
            .filter(|active| active.definition.world == World::Assignor)
            .ok_or(Unavailable::Unknown)?;
        let module = self.compiled(active.definition.module).ok_or_else(|| {
            Unavailable::KeptBack(format!("`{name}` is not compiled on this node yet"))
        })?;
        Ok(ActiveAssignor {
            module,
            definition: Arc::clone(&active.definition),
            activation: active.activation,
        })
    }
}

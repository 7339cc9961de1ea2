//! The host side of the world `recipe`: one reaction, from events to a transaction.
//!
//! 1. The dispatcher takes events off the binding's queue (they stay queued), then a view.
//! 2. [`Sandbox::react`] makes a fresh store and instance and calls `react`.
//! 3. The guest reads and writes through an [`Overlay`]; it may call assignors, which run in
//!    stores of their own.
//! 4. Ok makes a [`Transaction`] that also acknowledges the events; err or a trap makes a
//!    [`GuestFailure`] and leaves no trace.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_tree::binding::Definition;
use innkeeper_tree::queue::Kinds;
use innkeeper_tree::{Digest, QueueEntry, Transaction, View, Zxid};
use wasmtime::StoreContextMut;

use crate::assignor::{Assignors, Unavailable, check_request};
use crate::budget::{LogLine, Usage};
use crate::clock::{Outer, until};
use crate::engine::Sandbox;
use crate::failure::{FailureKind, GuestFailure, LimitPassed, Stopped};
use crate::fair::{Account, AssignorPlace, Place};
use crate::linked::Linked;
use crate::meter::{self, ASSIGN, enter, work};
use crate::overlay::Overlay;
use crate::reads::Reads;
use crate::state::{Common, State};
use crate::text;
use crate::wasi::{Seed, Wasi};
use crate::wit::assignors::AssignError;
use crate::wit::recipe::RecipePre;
use crate::wit::{assignment, events as wit};

/// A module of the world `recipe`: loaded and linked.
#[derive(Debug)]
pub struct RecipeModule(pub(crate) Linked<RecipePre<RecipeState>>);

impl RecipeModule {
    /// The SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}

/// The input of a reaction.
pub struct Invocation {
    /// The binding's name.
    pub binding: String,
    /// Its place in the pool; taken before the events and the view.
    pub place: Place,
    /// A place for the assignors that it calls, taken as early. Without it there has to be one when
    /// it calls; see [`FailedReaction::lacks`].
    pub assignor_place: Option<AssignorPlace>,
    /// Its activation, as the view shows it.
    pub activation: Zxid,
    /// Its active definition.
    pub definition: Arc<Definition>,
    /// The state that the guest reads.
    pub view: View,
    /// How long the reaction may hold the view, its waits included: old versions that only a view
    /// can see stay in memory.
    pub view_max_age: Duration,
    /// The events that it reacts to, at least one; taken before the view.
    pub events: Vec<QueueEntry>,
    /// The reaction's time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A reaction that returned ok.
pub struct Reaction {
    /// To be proposed.
    pub transaction: Transaction,
    /// The fuel, calls and bytes that it used.
    pub usage: Usage,
    /// What it logged.
    pub logs: Vec<LogLine>,
}

/// A reaction that did not.
pub struct FailedReaction {
    /// The reason, for the operator.
    pub failure: GuestFailure,
    /// The fuel, calls and bytes that it used.
    pub usage: Usage,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// If it ended because there was no place for an assignor: the memory of that assignor, in
    /// bytes. Take a place ([`Sandbox::assignor_place`]) and try again. Nobody has failed.
    pub lacks: Option<u64>,
}

pub(crate) struct RecipeState {
    common: Common,
    overlay: Overlay,
    /// Fuel of the assignors that it called; the recipe's account pays for them.
    assigned_fuel: u64,
    assignor_place: Option<AssignorPlace>,
    lacks: Option<u64>,
    sandbox: Sandbox,
    account: Arc<Account>,
    assignors: Arc<dyn Assignors>,
}

impl Sandbox {
    /// Runs one reaction.
    pub async fn react(
        &self,
        module: &RecipeModule,
        invocation: Invocation,
        assignors: Arc<dyn Assignors>,
    ) -> Result<Reaction, FailedReaction> {
        let bare = |failure| FailedReaction {
            failure,
            usage: Usage::default(),
            logs: Vec::new(),
            lacks: None,
        };
        let Linked { yielding, pre, .. } = &module.0;
        let Invocation {
            binding,
            place,
            assignor_place,
            activation,
            definition,
            view,
            view_max_age,
            mut events,
            now_ms,
        } = invocation;
        let limits = definition.limits;
        let mut overlay = Overlay::new(
            view,
            Arc::clone(&definition),
            Arc::clone(self.settings()),
            now_ms,
        );
        overlay
            .begin(&binding, &mut events)
            .map_err(|error| bare(GuestFailure::from_wasm(&error)))?;
        let seed = seed(&binding, activation, overlay.view(), &events);
        let wasi = Wasi::new(now_ms, seed);
        let common = self.common(&definition, Outer::View(view_max_age), wasi);
        let state = RecipeState {
            common,
            overlay,
            assigned_fuel: 0,
            assignor_place,
            lacks: None,
            sandbox: self.clone(),
            account: Arc::clone(place.account()),
            assignors,
        };
        let store = self.store(pre.engine(), *yielding, state, &limits);
        let mut store = store.map_err(bare)?;
        let told: Vec<wit::Event> = events.iter().map(tell).collect();
        let deadline = Arc::clone(store.data().common.budget.deadline());
        let reacting = async {
            let guest = pre
                .instantiate_async(&mut store)
                .await
                .map_err(Stopped::Starting)?;
            let returned = guest.call_react(&mut store, &told).await;
            returned.map_err(Stopped::Running)
        };
        // A reaction that is cut off is dropped here, and what it did is still in the store.
        let reacting = until(&deadline, yielding.in_a_row, reacting);
        let (returned, charged) = self.in_turns(place.account(), reacting).await;
        let fuel = limits.fuel - store.get_fuel().unwrap_or(0);
        let mut state = store.into_data();
        // Whole slices, its assignors' included, were charged as they ran.
        let used = fuel.saturating_add(state.assigned_fuel);
        place.account().charge(used.saturating_sub(charged));
        let refused = state.overlay.take_refused();
        let common = &mut state.common;
        common.end_call();
        let usage = common.budget.usage(fuel);
        let returned = match returned {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(text))) => Err(GuestFailure::new(FailureKind::Returned, text)),
            Ok(Err(stopped)) => Err(stopped.failure(common.budget.last_error())),
            Err(cut_off) => Err(cut_off),
        };
        let failure = match common.budget.tell_refused(refused, returned) {
            Ok(()) => {
                let depth = events
                    .iter()
                    .map(QueueEntry::depth)
                    .max()
                    .unwrap_or(0)
                    .saturating_add(1);
                return Ok(Reaction {
                    transaction: state.overlay.finish(binding, activation, depth),
                    usage,
                    logs: state.common.budget.logs,
                });
            }
            Err(failure) => failure,
        };
        Err(FailedReaction {
            lacks: state.lacks.filter(|_| failure.kind == FailureKind::Host),
            failure,
            usage,
            logs: state.common.budget.logs,
        })
    }
}

/// What a reaction's randomness is made of: with the binding and its events, the view's zxid stands
/// for everything that the guest can read.
fn seed(binding: &str, activation: Zxid, view: &View, events: &[QueueEntry]) -> Seed {
    let seed = Seed::of("recipe")
        .and(binding.as_bytes())
        .and(&activation.0.to_be_bytes())
        .and(&view.zxid().0.to_be_bytes());
    events.iter().fold(seed, |seed, event| match event {
        QueueEntry::Resync { .. } => seed.and(b""),
        QueueEntry::Changed { path, zxid, .. } => {
            seed.and(path.as_bytes()).and(&zxid.0.to_be_bytes())
        }
    })
}

fn tell(entry: &QueueEntry) -> wit::Event {
    match entry {
        QueueEntry::Resync { .. } => wit::Event::Resync,
        QueueEntry::Changed {
            path, kinds, zxid, ..
        } => {
            let mut told = wit::Kinds::empty();
            for (of_tree, of_wit) in [
                (Kinds::CREATED, wit::Kinds::CREATED),
                (Kinds::DELETED, wit::Kinds::DELETED),
                (Kinds::DATA_CHANGED, wit::Kinds::DATA_CHANGED),
                (Kinds::CHILDREN_CHANGED, wit::Kinds::CHILDREN_CHANGED),
            ] {
                if kinds.contains(of_tree) {
                    told |= of_wit;
                }
            }
            wit::Event::Changed(wit::Change {
                path: path.to_string(),
                kinds: told,
                zxid: zxid.0 as i64,
            })
        }
    }
}

impl State for RecipeState {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Reads for RecipeState {
    fn overlay(&mut self) -> wasmtime::Result<&mut Overlay> {
        Ok(&mut self.overlay)
    }
}

/// The host function `assign`.
pub(crate) async fn assign(
    mut store: StoreContextMut<'_, RecipeState>,
    name: String,
    request: assignment::Request,
) -> wasmtime::Result<(Result<Vec<u32>, AssignError>,)> {
    const CALL: &str = "assign";
    let bytes = request_bytes(&request);
    // It is lifted, checked and lowered again.
    enter(&mut store, CALL, bytes, ASSIGN + 4 * meter::bytes(bytes)).await?;
    let state = store.data_mut();
    let assignor = match state.assignors.find(state.overlay.view(), &name) {
        Ok(assignor) => assignor,
        // Recorded as well, so that the recipe hears of its (next) activation.
        Err(unavailable) => {
            let active = state.overlay.view().bindings().active(&name);
            let activation = active.map(|active| active.activation).unwrap_or_default();
            state.overlay.called(&name, activation)?;
            let error = match unavailable {
                Unavailable::Unknown => AssignError::UnknownAssignor,
                Unavailable::KeptBack(why) => AssignError::Unavailable(why),
            };
            return Ok((Err(error),));
        }
    };
    state.overlay.called(&name, assignor.activation)?;
    if let Err(text) = check_request(&request) {
        return Ok((Err(AssignError::BadRequest(text)),));
    }
    let per_second = assignor.definition.limits.calls_per_second;
    let assignors = Arc::clone(&state.assignors);
    let sandbox = state.sandbox.clone();
    let account = Arc::clone(&state.account);
    let deadline = Arc::clone(state.common.budget.deadline());
    assignors.pace(&name, per_second).await;
    let state = store.data_mut();
    let limits = &assignor.definition.limits;
    let own = state.assignor_place.as_ref();
    let place = if own.is_some_and(|place| place.has_room_for(limits)) {
        Ok(None)
    } else {
        sandbox
            .assignor_place_now(&account, limits.memory_bytes)
            .map(Some)
    };
    let answer = match place {
        // The view is not held while others have what this needs.
        Ok(Some(None)) => {
            state.lacks = Some(limits.memory_bytes);
            return Err(LimitPassed::raise(
                FailureKind::Host,
                format!(
                    "there is no room for the assignor {} just now",
                    text::name(&name)
                ),
            ));
        }
        Err(failure) => Err(failure.into()),
        Ok(_place) => {
            let (module, definition) = (&assignor.module, &assignor.definition);
            let outer = Outer::Caller(deadline);
            sandbox
                .assign_within(module, definition, &request, outer)
                .await
        }
    };
    let used = match &answer {
        Ok(assignment) => assignment.usage.fuel,
        Err(failed) => failed.usage.fuel,
    };
    let state = store.data_mut();
    state.assigned_fuel = state.assigned_fuel.saturating_add(used);
    match answer {
        Ok(assignment) => {
            assignors.ended(&name, assignor.activation, Ok(assignment.usage));
            let bytes = assignment.owners.len() * 4;
            state.budget().charge_result(bytes)?;
            work(&mut store, CALL, meter::bytes(bytes)).await?;
            for line in assignment.logs {
                let message = format!("{name}: {}", line.message);
                store.data_mut().budget().log(line.level, message.into());
            }
            Ok((Ok(assignment.owners),))
        }
        Err(failed) if failed.caller_is_over => {
            // The assignor has not failed: the recipe has, which it learns here.
            state.budget().deadline().check()?;
            Ok((Err(AssignError::Unavailable(failed.failure.to_string())),))
        }
        Err(failed) => {
            assignors.ended(&name, assignor.activation, Err(&failed));
            let failure = failed.failure;
            let told = match failure.kind {
                FailureKind::Returned => AssignError::Failed(failure.message.to_string()),
                FailureKind::BadAnswer => AssignError::BadAnswer(failure.message.to_string()),
                _ => AssignError::Unavailable(failure.to_string()),
            };
            Ok((Err(told),))
        }
    }
}

/// About what a request takes, in bytes.
fn request_bytes(request: &assignment::Request) -> usize {
    let members: usize = request
        .members
        .iter()
        .map(|member| member.id.len() + 4 * (member.subscribed.len() + member.owned.len()))
        .sum();
    let topics: usize = request
        .topics
        .iter()
        .map(|topic| topic.name.len() + 8)
        .sum();
    members
        + topics
        + request
            .weights
            .as_ref()
            .map_or(0, |weights| 4 * weights.len())
}

//! One engine for all guests, the places that they take in its pool, and the store of one
//! invocation.
//!
//! 1. [`Sandbox::new`] makes no engine: a node without bindings never needs one.
//! 2. The first module that is loaded has the engine made, with its pool (`pool.rs`).
//! 3. An invocation takes a place ([`Sandbox::place`]), and makes an instance of its linked module
//!    (`module.rs`) in a fresh store.

use std::future::Future;
use std::sync::Arc;

use innkeeper_tree::Digest;
use innkeeper_tree::binding::{Definition, Limits};
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, Store};

use crate::budget::Budget;
use crate::clock::{Deadline, Outer};
use crate::failure::{FailureKind, GuestFailure};
use crate::fair::{
    Account, AssignorPlace, Held, Place, Shares, Stock, VirtualTime, Want, in_turns,
};
use crate::pool::Pool;
use crate::settings::Settings;
use crate::state::{Common, State};
use crate::text::GuestText;
use crate::wasi::Wasi;

/// What one host call may lift out of the guest's memory, in bytes as the host holds it, whatever
/// `limits.output_bytes` is: some tens of milliseconds. It is four times what a transaction may
/// hold.
const LIFTED_BYTES_MAX: usize = 64 << 20;

/// Fuel between two yields of a module whose inner components hand each other strings. Copying those
/// costs none, and a guest is looked at by the clock only when it yields: this is some ten copies.
const CAREFUL_YIELD_FUEL: u64 = 1_000;

/// The engine with its pool, and the places in it. Clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    settings: Arc<Settings>,
    pool: Pool,
    time: Arc<VirtualTime>,
    turns: Arc<Shares>,
    recipe_places: Arc<Shares>,
    assignor_places: Arc<Shares>,
    first_authorizers: Arc<Shares>,
    further_authorizers: Arc<Shares>,
}

/// How a module's guests yield: the bound of what they do in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yielding {
    /// Fuel between two yields.
    fuel: u64,
    /// Of so many yields in a row, only the last lets others run.
    pub(crate) in_a_row: u64,
}

/// The digest of a component's bytes.
pub fn digest_of(component: &[u8]) -> Digest {
    Digest(Sha256::digest(component).into())
}

impl Sandbox {
    /// A sandbox whose pool is made when the first module is loaded.
    pub fn new(settings: Settings) -> Sandbox {
        let time = Arc::default();
        let memory_bytes = settings.memory_bytes_per_kind();
        let whole = |places| Shares::new(Stock::whole(places, memory_bytes));
        Sandbox {
            shared: Arc::new(Shared {
                turns: Shares::of_turns(settings.guest_threads, Arc::clone(&time)),
                time,
                recipe_places: Shares::new(Stock::halved(
                    settings.transient_instances,
                    memory_bytes,
                )),
                // An assignor is called by a recipe, which holds one of as many places.
                assignor_places: whole(settings.transient_instances),
                first_authorizers: whole(settings.authorizers),
                further_authorizers: whole(settings.further_authorizer_instances()),
                settings: Arc::new(settings),
                pool: Pool::default(),
            }),
        }
    }

    /// The settings that the sandbox was made with.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.shared.settings
    }

    /// The engine of all guests, which is made now if there is none yet. Fails where the machine
    /// cannot reserve the pool's address space; a later call tries again.
    pub(crate) fn engine(&self) -> Result<&Engine, GuestFailure> {
        let shared = &self.shared;
        shared.pool.engine(&shared.settings).map_err(host)
    }

    /// How guests of a module yield. Those whose inner components hand each other strings yield
    /// more often.
    pub(crate) fn yielding(&self, hands_strings_inside: bool) -> Yielding {
        let turn_fuel = self.shared.settings.yield_fuel;
        let fuel = match hands_strings_inside {
            true => turn_fuel.min(CAREFUL_YIELD_FUEL),
            false => turn_fuel,
        };
        Yielding {
            fuel,
            in_a_row: turn_fuel / fuel,
        }
    }

    /// An account for a binding that joins those that are invoked.
    pub fn account(&self) -> Arc<Account> {
        let clock = self.shared.settings.clock.clone();
        Account::new(Arc::clone(&self.shared.time), clock)
    }

    /// Waits for a place for a recipe; the least used account is first. Take the events and the view
    /// after it. Fails only where the binding's limit is more than there is for recipes.
    pub async fn place(
        &self,
        account: &Arc<Account>,
        limits: &Limits,
    ) -> Result<Place, GuestFailure> {
        let held = self.hold(&self.shared.recipe_places, account, limits.memory_bytes);
        Ok(Place::new(Arc::clone(account), held.await?))
    }

    /// Waits for a place for assignors with so much memory, in the name of the recipe that calls
    /// them. A holder of one waits for no other, so a recipe may wait for it while it holds its
    /// own. Fails only where that is more than there is for assignors.
    pub async fn assignor_place(
        &self,
        caller: &Account,
        memory_bytes: u64,
    ) -> Result<AssignorPlace, GuestFailure> {
        let held = self.hold(&self.shared.assignor_places, caller, memory_bytes);
        Ok(AssignorPlace::new(memory_bytes, held.await?))
    }

    /// As [`Sandbox::assignor_place`], if nobody has to wait for it.
    pub(crate) fn assignor_place_now(
        &self,
        caller: &Account,
        memory_bytes: u64,
    ) -> Result<Option<AssignorPlace>, GuestFailure> {
        let places = &self.shared.assignor_places;
        check_room(places, memory_bytes)?;
        let held = places.ask_now(caller, want(caller, memory_bytes));
        Ok(held.map(|held| AssignorPlace::new(memory_bytes, held)))
    }

    /// Waits for the place of an authorizer's first instance.
    pub(crate) async fn first_authorizer(
        &self,
        account: &Account,
        definition: &Definition,
    ) -> Result<Held, GuestFailure> {
        let memory_bytes = definition.limits.memory_bytes;
        self.hold(&self.shared.first_authorizers, account, memory_bytes)
            .await
    }

    /// A place for a further instance of an authorizer, if there is one.
    pub(crate) fn further_authorizer(
        &self,
        account: &Account,
        definition: &Definition,
    ) -> Option<Held> {
        let want = want(account, definition.limits.memory_bytes);
        self.shared.further_authorizers.ask_now(account, want)
    }

    async fn hold(
        &self,
        places: &Arc<Shares>,
        account: &Account,
        memory_bytes: u64,
    ) -> Result<Held, GuestFailure> {
        check_room(places, memory_bytes)?;
        Ok(places.ask(account, want(account, memory_bytes)).await)
    }

    /// Runs a guest in turns with all others; see [`crate::fair`].
    pub(crate) async fn in_turns<F: Future>(
        &self,
        account: &Account,
        guest: F,
    ) -> (F::Output, u64) {
        let slice_fuel = self.shared.settings.yield_fuel;
        in_turns(&self.shared.turns, account, slice_fuel, guest).await
    }

    /// The state of an invocation that has not begun.
    pub(crate) fn common(&self, definition: &Definition, outer: Outer, wasi: Wasi) -> Common {
        let (settings, limits) = (&self.shared.settings, &definition.limits);
        let deadline = Deadline::new(&settings.clock, limits.time_ms, outer);
        Common {
            budget: Budget::new(limits, deadline, settings.yield_fuel),
            config: Arc::clone(&definition.config),
            wasi,
        }
    }

    /// A store for a module of this engine that yields so, with its limits and fuel set.
    pub(crate) fn store<T: State>(
        &self,
        engine: &Engine,
        yielding: Yielding,
        state: T,
        limits: &Limits,
    ) -> Result<Store<T>, GuestFailure> {
        let mut store = Store::new(engine, state);
        store.limiter(|state| state.budget());
        // What one host call may lift from the guest's memory, since that is done in one go; the
        // meter bounds their sum.
        store.set_hostcall_fuel((limits.output_bytes as usize).min(LIFTED_BYTES_MAX));
        self.refuel(yielding, &mut store, limits.fuel)?;
        Ok(store)
    }

    /// Gives a store the fuel of one more call.
    pub(crate) fn refuel<T>(
        &self,
        yielding: Yielding,
        store: &mut Store<T>,
        fuel: u64,
    ) -> Result<(), GuestFailure> {
        store
            .set_fuel(fuel)
            .and_then(|()| store.fuel_async_yield_interval(Some(yielding.fuel)))
            .map_err(host)
    }
}

fn host(error: wasmtime::Error) -> GuestFailure {
    GuestFailure::new(FailureKind::Host, GuestText::of_error(&error))
}

/// Whether there is so much memory at all.
fn check_room(places: &Shares, memory_bytes: u64) -> Result<(), GuestFailure> {
    let most = places.memory_bytes();
    if memory_bytes <= most {
        return Ok(());
    }
    Err(GuestFailure::new(
        FailureKind::NoRoom,
        format!(
            "its limits.memory_bytes is {memory_bytes}, and this node gives {most} bytes to guests of its kind; \
             lower the limit, or start the node with more --guest-memory-mib"
        ),
    ))
}

fn want(account: &Account, memory_bytes: u64) -> Want {
    Want {
        memory_bytes,
        is_doubtful: account.is_doubtful(),
        goes_on: false,
    }
}

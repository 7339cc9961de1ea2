//! The host side of the world `authorizer`: policy loaded once, then one decision per request.
//!
//! 1. [`AuthorizerSet::new`] stands for one binding at one `policy_zxid`; it has one place for
//!    an instance per client worker thread.
//! 2. A worker checks its place out for one `decide`. An empty place is filled: a view is
//!    taken, its policy_zxid compared with the set's, and `load` runs on it.
//! 3. An instance serves until it traps, passes its bound of calls, or the set is dropped
//!    because the policy moved on.
//!
//! Invariant: a decision of a set depends on nothing but the policy at its `policy_zxid`, the
//! request, and the module; that is what makes caching it exact (design, guests 4 and 5).

use std::sync::Arc;

use innkeeper_tree::binding::Definition;
use innkeeper_tree::path::BINDINGS;
use innkeeper_tree::{Identity, Reader, View, Zxid};
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit};
use wasmtime::Store;

use crate::budget::{Budget, LogLine, Usage};
use crate::clock::{Outer, until};
use crate::engine::{Code, Module, Sandbox};
use crate::failure::{FailureKind, GuestFailure, LimitPassed};
use crate::link::Configured;
use crate::meter::Metered;
use crate::overlay::Overlay;
use crate::reads::Reads;
use crate::text::GuestText;
use crate::wasi::{Seed, Wasi, WasiState};
use crate::wit::{authorization, authorizer as wit};

pub use crate::wit::authorization::Operation;

/// A verdict that the guest gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on.
    Allow,
    /// It is refused; the reason is for the operator.
    Deny(Option<GuestText>),
}

/// What a call of `decide` came to.
#[derive(Debug)]
pub struct Decided {
    /// The verdict.
    pub decision: Decision,
    /// What the call used.
    pub usage: Usage,
    /// What the guest logged, `load` included where it ran.
    pub logs: Vec<LogLine>,
}

/// What a `load` came to.
#[derive(Debug)]
pub struct Loaded {
    /// Fuel that it used.
    pub fuel: u64,
    /// What the guest logged, if nobody has taken that yet.
    pub logs: Vec<LogLine>,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The policy moved on: make a set for the newer `policy_zxid` and ask that.
    Stale,
    /// The guest failed: the binding's `on_failure` decides.
    Failed(GuestFailure),
}

/// The instances of one authorizer binding at one `policy_zxid`.
pub struct AuthorizerSet {
    sandbox: Sandbox,
    binding: String,
    module: Arc<Module>,
    definition: Arc<Definition>,
    policy_zxid: Zxid,
    reader: Reader,
    places: Vec<Mutex<Option<Instance>>>,
}

struct Instance {
    store: Store<AuthorizerState>,
    guest: wit::Authorizer,
    calls: u64,
    /// Fuel that `load` used.
    load_fuel: u64,
    _slot: OwnedSemaphorePermit,
}

pub(crate) struct AuthorizerState {
    budget: Budget,
    config: Arc<str>,
    wasi: Wasi,
    /// Only while `load` runs.
    policy: Option<Overlay>,
}

impl Metered for AuthorizerState {
    fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }
}

impl WasiState for AuthorizerState {
    fn wasi(&mut self) -> (&mut Wasi, &mut Budget) {
        (&mut self.wasi, &mut self.budget)
    }
}

impl Configured for AuthorizerState {
    fn config(&self) -> &Arc<str> {
        &self.config
    }
}

impl Reads for AuthorizerState {
    /// The policy while `load` runs; a trap outside it.
    fn overlay(&mut self) -> wasmtime::Result<&mut Overlay> {
        self.policy.as_mut().ok_or_else(|| {
            LimitPassed::raise(
                FailureKind::Trap,
                "it read policy outside load; a decision may depend on nothing but what load built and the request",
            )
        })
    }
}

impl AuthorizerSet {
    /// A set with `workers` places; instances are made when first needed.
    pub fn new(
        sandbox: &Sandbox,
        binding: String,
        module: Arc<Module>,
        definition: Arc<Definition>,
        policy_zxid: Zxid,
        reader: Reader,
        workers: usize,
    ) -> AuthorizerSet {
        AuthorizerSet {
            sandbox: sandbox.clone(),
            binding,
            module,
            definition,
            policy_zxid,
            reader,
            places: (0..workers.max(1)).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// The policy that it decides by.
    pub fn policy_zxid(&self) -> Zxid {
        self.policy_zxid
    }

    /// The definition that it runs under.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Sees to it that there is an instance, before anybody asks for a decision.
    pub async fn load_first(&self) -> Result<Loaded, Undecided> {
        let mut place = self.place(0).await;
        if let Some(instance) = &*place {
            let (fuel, logs) = (instance.load_fuel, Vec::new());
            return Ok(Loaded { fuel, logs });
        }
        let (instance, logs) = self.load().await?;
        let fuel = instance.load_fuel;
        *place = Some(instance);
        Ok(Loaded { fuel, logs })
    }

    /// Decides one request on worker `worker`'s instance.
    pub async fn decide(
        &self,
        worker: usize,
        identities: &[Identity],
        operation: Operation,
        path: &str,
    ) -> Result<Decided, Undecided> {
        let mut place = self.place(worker).await;
        let limits = &self.definition.limits;
        let mut logs = Vec::new();
        let mut instance = match place.take() {
            Some(instance) => instance,
            None => {
                let (instance, loaded) = self.load().await?;
                logs = loaded;
                instance
            }
        };
        let request = authorization::Request {
            principals: identities
                .iter()
                .map(|identity| authorization::Principal {
                    scheme: identity.scheme.clone(),
                    id: identity.id.clone(),
                })
                .collect(),
            operation,
            path: path.to_string(),
        };
        instance.store.data_mut().budget.begin_call();
        self.sandbox
            .refuel(&mut instance.store, limits.fuel)
            .map_err(Undecided::Failed)?;
        let deadline = Arc::clone(instance.store.data().budget.deadline());
        let deciding = instance.guest.call_decide(&mut instance.store, &request);
        let answer = until(&deadline, deciding).await;
        let fuel = limits.fuel - instance.store.get_fuel().unwrap_or(0);
        let state = instance.store.data_mut();
        state.wasi.end_call(&mut state.budget);
        let usage = state.budget.usage(fuel);
        logs.append(&mut state.budget.logs);
        // An instance that trapped or was cut off is dropped here: nothing may be called in it
        // again.
        let answer = answer
            .map_err(Undecided::Failed)?
            .map_err(|error| Undecided::Failed(GuestFailure::from_guest(&error, &state.budget)))?;
        instance.calls += 1;
        if instance.calls < self.sandbox.settings().authorizer_calls_max {
            *place = Some(instance);
        }
        let decision = match answer {
            authorization::Decision::Allow => Decision::Allow,
            authorization::Decision::Deny(reason) => Decision::Deny(reason.map(GuestText::from)),
        };
        Ok(Decided {
            decision,
            usage,
            logs,
        })
    }

    /// The worker's own place, or a free one, or else its own when it becomes free.
    async fn place(&self, worker: usize) -> MutexGuard<'_, Option<Instance>> {
        let count = self.places.len();
        for step in 0..count {
            if let Ok(place) = self.places[(worker + step) % count].try_lock() {
                return place;
            }
        }
        self.places[worker % count].lock().await
    }

    async fn load(&self) -> Result<(Instance, Vec<LogLine>), Undecided> {
        let failed = Undecided::Failed;
        let Code::Authorizer(pre) = &self.module.code else {
            return Err(failed(GuestFailure::new(
                FailureKind::Host,
                "the module is no authorizer",
            )));
        };
        let slot = self.sandbox.authorizer_slot().await.map_err(failed)?;
        let view = self.reader.view();
        if !self.is_current(&view) {
            return Err(Undecided::Stale);
        }
        let limits = &self.definition.limits;
        let state = AuthorizerState {
            budget: self.sandbox.budget(limits, Outer::Nothing),
            config: Arc::clone(&self.definition.config),
            wasi: self.wasi(&view),
            policy: Some(Overlay::new(
                view,
                Arc::clone(&self.definition),
                self.sandbox.clone(),
                0,
            )),
        };
        let mut store = self
            .sandbox
            .store(state, limits, |state| &mut state.budget)
            .map_err(failed)?;
        let deadline = Arc::clone(store.data().budget.deadline());
        let loading = async {
            let guest = pre.instantiate_async(&mut store).await?;
            let loaded = guest.call_load(&mut store).await?;
            Ok((guest, loaded))
        };
        let loaded = match until(&deadline, loading).await {
            Ok(Ok((guest, Ok(())))) => Ok(guest),
            Ok(Ok((_, Err(text)))) => Err(GuestFailure::new(
                FailureKind::Returned,
                GuestText::new(format_args!("load: {text}")),
            )),
            Ok(Err(error)) => Err(GuestFailure::from_guest(&error, &store.data().budget)),
            Err(cut_off) => Err(cut_off),
        };
        let load_fuel = limits.fuel - store.get_fuel().unwrap_or(0);
        let state = store.data_mut();
        state.wasi.end_call(&mut state.budget);
        // From here on decisions depend on nothing but what was loaded; the view is let go.
        let mut policy = state.policy.take();
        let refused = policy.as_mut().and_then(Overlay::take_refused);
        let guest = state.budget.tell_refused(refused, loaded).map_err(failed)?;
        let logs = std::mem::take(&mut state.budget.logs);
        Ok((
            Instance {
                store,
                guest,
                calls: 0,
                load_fuel,
                _slot: slot,
            },
            logs,
        ))
    }

    /// Its clock stands at the time when the binding was made, and its randomness depends on the
    /// policy alone: two instances that differ in either would decide differently.
    fn wasi(&self, view: &View) -> Wasi {
        let document = view.exists(&format!("{BINDINGS}/{}", self.binding));
        let made_ms = document.map_or(0, |(stat, _)| stat.ctime.max(0) as u64);
        let seed = Seed::of("authorizer")
            .and(self.binding.as_bytes())
            .and(&self.policy_zxid.0.to_be_bytes());
        Wasi::new(made_ms, seed)
    }

    fn is_current(&self, view: &View) -> bool {
        view.bindings().get(&self.binding).is_some_and(|binding| {
            binding.active.is_some() && binding.policy_zxid == self.policy_zxid
        })
    }
}

//! The host side of the world `authorizer`: policy loaded once, then one decision per request.
//!
//! 1. [`AuthorizerSet::new`] stands for one binding at one `policy_zxid`.
//! 2. [`AuthorizerSet::decide`] checks an instance out for one request, on the thread that serves
//!    the client: a decision is bounded by its fuel. Where every instance decides for others, it
//!    waits for one.
//! 3. Where there is no instance, or too few, one load is started by the closure that the set was
//!    made with, on a guest thread: `load` may read all of a large policy. It takes a place, then
//!    a view, compares the policy_zxid with the set's, and runs in turns with all other guests.
//!    All requests that wait for an instance wait for that one load; none starts another.
//! 4. An instance serves until it traps, passes its bound of calls, or the set is dropped because
//!    the policy moved on.
//!
//! The first instance of a set has its memory set apart, so that every authorizer can have one;
//! further ones, up to one per client worker, get what is left over.
//!
//! Invariant: a decision of a set depends on nothing but the policy at its `policy_zxid`, the
//! request, and the module. So a cached decision is the one that the guest would give again.

mod instances;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use innkeeper_tree::binding::Definition;
use innkeeper_tree::{Access, Digest, Identity, Reader, Zxid};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime::Store;

use crate::budget::{LogLine, Usage};
use crate::clock::until;
use crate::engine::Sandbox;
use crate::failure::{FailureKind, GuestFailure, LimitPassed};
use crate::fair::{Account, Held};
use crate::linked::Linked;
use crate::overlay::Overlay;
use crate::reads::Reads;
use crate::state::{Common, State as _};
use crate::text::GuestText;
use crate::wit::authorizer::AuthorizerPre;
use crate::wit::{authorization, authorizer as wit};

/// A module of the world `authorizer`: loaded and linked.
#[derive(Debug)]
pub struct AuthorizerModule(pub(crate) Linked<AuthorizerPre<AuthorizerState>>);

impl AuthorizerModule {
    /// The SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}

/// A verdict that the guest gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on.
    Allow,
    /// It is refused; the reason is for the operator.
    Deny(Option<GuestText>),
}

/// The result of a call of `decide`.
#[derive(Debug)]
pub struct Decided {
    /// The verdict.
    pub decision: Decision,
    /// What the call used.
    pub usage: Usage,
    /// What the guest logged, `load` included where it ran.
    pub logs: Vec<LogLine>,
}

/// The result of a `load`.
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
    Failed {
        /// The reason, for the operator.
        failure: GuestFailure,
        /// What it logged.
        logs: Vec<LogLine>,
        /// Whether somebody else, who waited for the same load, was told to book it.
        is_booked: bool,
    },
}

impl Undecided {
    fn failed(failure: GuestFailure) -> Undecided {
        Undecided::Failed {
            failure,
            logs: Vec::new(),
            is_booked: false,
        }
    }
}

/// A load that is to run on a guest thread. Dropping it before its end tells the requests that
/// wait for it.
pub type Load = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The closure that runs a set's loads; the account is the one that they are charged to.
pub type RunLoad = Arc<dyn Fn(&Arc<Account>, Load) + Send + Sync>;

/// The instances of one authorizer binding at one `policy_zxid`.
pub struct AuthorizerSet {
    shared: Arc<Shared>,
}

struct Shared {
    sandbox: Sandbox,
    binding: String,
    module: Arc<AuthorizerModule>,
    definition: Arc<Definition>,
    policy_zxid: Zxid,
    reader: Reader,
    account: Arc<Account>,
    run_load: RunLoad,
    state: Mutex<State>,
}

/// Invariants:
/// - `instances` counts those that are idle, checked out, or being loaded.
/// - No request waits while an instance is idle, or while there is neither an instance nor a load.
struct State {
    idle: Vec<Instance>,
    instances: usize,
    /// As many as there may be: one per client worker, until a further one could not be loaded.
    instances_max: usize,
    is_loading: bool,
    /// Bounded by the requests that the node has outstanding.
    waiting: VecDeque<oneshot::Sender<Result<Instance, Undecided>>>,
}

struct Instance {
    store: Store<AuthorizerState>,
    guest: wit::Authorizer,
    calls: u64,
    /// Fuel that `load` used.
    load_fuel: u64,
    /// What `load` logged, until somebody takes it.
    logs: Vec<LogLine>,
    // Last, so that its memory is given back before anybody gets it.
    _held: Held,
}

pub(crate) struct AuthorizerState {
    common: Common,
    /// Only while `load` runs.
    policy: Option<Overlay>,
}

impl crate::state::State for AuthorizerState {
    fn common(&mut self) -> &mut Common {
        &mut self.common
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
    /// A set with at most `workers` instances, which are made when they are needed.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of what a set stands for"
    )]
    pub fn new(
        sandbox: &Sandbox,
        binding: String,
        module: Arc<AuthorizerModule>,
        definition: Arc<Definition>,
        policy_zxid: Zxid,
        reader: Reader,
        workers: usize,
        account: Arc<Account>,
        run_load: RunLoad,
    ) -> AuthorizerSet {
        AuthorizerSet {
            shared: Arc::new(Shared {
                sandbox: sandbox.clone(),
                binding,
                module,
                definition,
                policy_zxid,
                reader,
                account,
                run_load,
                state: Mutex::new(State {
                    idle: Vec::new(),
                    instances: 0,
                    instances_max: workers.max(1),
                    is_loading: false,
                    waiting: VecDeque::new(),
                }),
            }),
        }
    }

    /// The policy that it decides by.
    pub fn policy_zxid(&self) -> Zxid {
        self.shared.policy_zxid
    }

    /// The definition that it runs under.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.shared.definition
    }

    /// Makes an instance, if there is none, before any request asks for a decision.
    pub async fn load_first(&self) -> Result<Loaded, Undecided> {
        let mut checked_out = self.shared.check_out().await?;
        let instance = &mut checked_out.instance;
        let loaded = Loaded {
            fuel: instance.load_fuel,
            logs: std::mem::take(&mut instance.logs),
        };
        checked_out.give_back();
        Ok(loaded)
    }

    /// Decides one request.
    pub async fn decide(
        &self,
        identities: &[Identity],
        access: Access,
        path: &str,
    ) -> Result<Decided, Undecided> {
        let shared = &self.shared;
        let limits = &shared.definition.limits;
        let mut checked_out = shared.check_out().await?;
        let request = authorization::Request {
            principals: identities
                .iter()
                .map(|identity| authorization::Principal {
                    scheme: identity.scheme.clone(),
                    id: identity.id.clone(),
                })
                .collect(),
            operation: operation(access),
            path: path.to_string(),
        };
        let instance = &mut checked_out.instance;
        instance.store.data_mut().budget().begin_call();
        shared
            .sandbox
            .refuel(shared.module.0.yielding, &mut instance.store, limits.fuel)
            .map_err(Undecided::failed)?;
        let deadline = Arc::clone(instance.store.data().common.budget.deadline());
        let deciding = instance.guest.call_decide(&mut instance.store, &request);
        let answer = until(&deadline, shared.module.0.yielding.in_a_row, deciding).await;
        let fuel = limits.fuel - instance.store.get_fuel().unwrap_or(0);
        let common = instance.store.data_mut().common();
        common.end_call();
        let usage = common.budget.usage(fuel);
        let mut logs = std::mem::take(&mut instance.logs);
        logs.append(&mut common.budget.logs);
        let answer = answer.and_then(|answer| {
            answer.map_err(|error| GuestFailure::from_guest(&error, common.budget.last_error()))
        });
        let answer = match answer {
            Ok(answer) => answer,
            // The instance that trapped or was cut off is dropped here: nothing may be called in
            // it again.
            Err(failure) => {
                return Err(Undecided::Failed {
                    failure,
                    logs,
                    is_booked: false,
                });
            }
        };
        instance.calls += 1;
        if instance.calls < shared.sandbox.settings().authorizer_calls_max {
            checked_out.give_back();
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
}

/// The one place where the tree's operations become the WIT's.
fn operation(access: Access) -> authorization::Operation {
    use authorization::Operation;
    match access {
        Access::Create => Operation::Create,
        Access::Delete => Operation::Delete,
        Access::Exists => Operation::Exists,
        Access::GetData => Operation::GetData,
        Access::SetData => Operation::SetData,
        Access::GetChildren => Operation::GetChildren,
        Access::GetAcl => Operation::GetAcl,
        Access::SetAcl => Operation::SetAcl,
        Access::Check => Operation::Check,
        Access::Sync => Operation::Sync,
    }
}

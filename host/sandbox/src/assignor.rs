//! The host side of the world `assignor`: a pure function, called by recipes by name.
//!
//! 1. A recipe calls `assign(name, request)`; the request is checked, because an assignor may
//!    rely on its shape.
//! 2. A fresh instance of the assignor's module runs under the limits of the assignor's own
//!    binding; by the clock it has its own `time_ms`, and no longer than its caller has left.
//! 3. Its answer is checked for length and range before the recipe sees it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use innkeeper_tree::binding::{Definition, Limits};
use innkeeper_tree::{Digest, View, Zxid};

use crate::budget::{LogLine, Usage};
use crate::clock::{Outer, until};
use crate::engine::Sandbox;
use crate::failure::{FailureKind, GuestFailure, Stopped};
use crate::fair::Account;
use crate::linked::Linked;
use crate::state::Common;
use crate::text::name;
use crate::wasi::{Seed, Wasi};
use crate::wit::assignor::AssignorPre;

pub use crate::wit::assignment::{Member, Request, Topic};

/// The entry of an answer that gives a resource to nobody.
pub const NOBODY: u32 = u32::MAX;

/// A module of the world `assignor`: loaded and linked.
#[derive(Debug)]
pub struct AssignorModule(pub(crate) Linked<AssignorPre<Common>>);

impl AssignorModule {
    /// The SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}

/// An assignor binding that can be called.
#[derive(Clone, Debug)]
pub struct ActiveAssignor {
    /// Its module, compiled on this node.
    pub module: Arc<AssignorModule>,
    /// Its active definition.
    pub definition: Arc<Definition>,
    /// The zxid of its activation: part of the caller's read set.
    pub activation: Zxid,
}

/// Why an assignor cannot be called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// No active binding of that name with the world `assignor`.
    Unknown,
    /// It exists, but is kept back (compiling, or after failures): the sentence says why.
    KeptBack(String),
}

/// The future that [`Assignors::pace`] returns.
pub type Pace<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Finds assignors by name for the recipes that call them.
pub trait Assignors: Send + Sync {
    /// Waits until the binding may be called once more (`limits.calls_per_second`).
    fn pace<'a>(&'a self, name: &'a str, per_second: u64) -> Pace<'a>;

    /// The binding as `view` shows it.
    fn find(&self, view: &View, name: &str) -> Result<ActiveAssignor, Unavailable>;

    /// Is told how a call of the binding ended that was active since `activation`; at once, and
    /// also if the reaction that made the call fails later. The log of a good call goes to the log
    /// of the recipe; the log of a failed one is in `outcome`.
    fn ended(&self, name: &str, activation: Zxid, outcome: Result<Usage, &FailedAssignment>);
}

/// A good answer.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// For each resource the index of its member, or [`NOBODY`].
    pub owners: Vec<u32>,
    /// The fuel, calls and bytes that the call used.
    pub usage: Usage,
    /// What the guest logged.
    pub logs: Vec<LogLine>,
}

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{failure}")]
pub struct FailedAssignment {
    /// The reason, for the operator.
    pub failure: GuestFailure,
    /// The fuel, calls and bytes that the call used.
    pub usage: Usage,
    /// What the guest logged.
    pub logs: Vec<LogLine>,
    /// Whether only the time of the recipe that called was up: nobody's failure but the caller's.
    pub(crate) caller_is_over: bool,
}

impl From<GuestFailure> for FailedAssignment {
    /// Where the guest has not run.
    fn from(failure: GuestFailure) -> FailedAssignment {
        FailedAssignment {
            failure,
            usage: Usage::default(),
            logs: Vec::new(),
            caller_is_over: false,
        }
    }
}

impl Sandbox {
    /// Asks an assignor, in the name of the recipe that has `caller`. The request must have
    /// passed [`check_request`].
    pub async fn assign(
        &self,
        caller: &Account,
        module: &AssignorModule,
        definition: &Definition,
        request: &Request,
    ) -> Result<Assignment, FailedAssignment> {
        let memory_bytes = definition.limits.memory_bytes;
        let _place = self.assignor_place(caller, memory_bytes).await?;
        self.assign_within(module, definition, request, Outer::Nothing)
            .await
    }

    /// As [`Sandbox::assign`], for a recipe that has a place for it: the call ends with the caller's
    /// time at the latest.
    pub(crate) async fn assign_within(
        &self,
        module: &AssignorModule,
        definition: &Definition,
        request: &Request,
        outer: Outer,
    ) -> Result<Assignment, FailedAssignment> {
        let Linked { yielding, pre, .. } = &module.0;
        let limits = &definition.limits;
        // A pure function has no time, and its randomness is the same at each call.
        let seed = Seed::of("assignor").and(definition.config.as_bytes());
        let state = self.common(definition, outer, Wasi::new(0, seed));
        let mut store = self.store(pre.engine(), *yielding, state, limits)?;
        let deadline = Arc::clone(store.data().budget.deadline());
        let assigning = async {
            let guest = pre
                .instantiate_async(&mut store)
                .await
                .map_err(Stopped::Starting)?;
            let answer = guest.call_assign(&mut store, request).await;
            answer.map_err(Stopped::Running)
        };
        let answer = until(&deadline, yielding.in_a_row, assigning).await;
        let fuel = limits.fuel - store.get_fuel().unwrap_or(0);
        let mut state = store.into_data();
        state.end_call();
        let (usage, logs) = (
            state.budget.usage(fuel),
            std::mem::take(&mut state.budget.logs),
        );
        let owners = match answer {
            Ok(Ok(Ok(owners))) => check_answer(request, limits, &owners).map(|()| owners),
            Ok(Ok(Err(text))) => Err(GuestFailure::new(FailureKind::Returned, text)),
            Ok(Err(stopped)) => Err(stopped.failure(state.budget.last_error())),
            Err(cut_off) => Err(cut_off),
        };
        match owners {
            Ok(owners) => Ok(Assignment {
                owners,
                usage,
                logs,
            }),
            Err(failure) => Err(FailedAssignment {
                caller_is_over: failure.kind == FailureKind::Time
                    && deadline.is_over_for_the_caller(),
                failure,
                usage,
                logs,
            }),
        }
    }
}

/// Resources of a request: topics must make up 0 … P-1.
fn resources(request: &Request) -> Result<u32, String> {
    let mut next = 0u32;
    for topic in &request.topics {
        if topic.first != next {
            return Err(format!(
                "topic {} begins at {} and should at {next}",
                name(&topic.name),
                topic.first
            ));
        }
        next = next
            .checked_add(topic.count)
            .filter(|sum| *sum < NOBODY)
            .ok_or_else(|| {
                format!(
                    "topic {} brings the resources above the greatest number",
                    name(&topic.name)
                )
            })?;
    }
    Ok(next)
}

/// Does the request keep to its documented shape? The text says where it does not.
pub fn check_request(request: &Request) -> Result<(), String> {
    let resources = resources(request)?;
    if let Some(weights) = &request.weights
        && weights.len() != resources as usize
    {
        return Err(format!(
            "{} weights for {resources} resources",
            weights.len()
        ));
    }
    let mut names: Vec<&str> = request
        .topics
        .iter()
        .map(|topic| topic.name.as_str())
        .collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("topic {} is named twice", name(pair[0])));
    }
    let ascending = |numbers: &[u32], end: u32| {
        numbers.windows(2).all(|pair| pair[0] < pair[1])
            && numbers.last().is_none_or(|last| *last < end)
    };
    for member in &request.members {
        if !ascending(&member.subscribed, request.topics.len() as u32) {
            return Err(format!(
                "the subscriptions of member {} are not ascending indices of topics",
                name(&member.id)
            ));
        }
        if !ascending(&member.owned, resources) {
            return Err(format!(
                "what member {} owns is not ascending numbers of resources",
                name(&member.id)
            ));
        }
    }
    match request
        .members
        .windows(2)
        .find(|pair| pair[0].id >= pair[1].id)
    {
        Some(pair) => Err(format!(
            "member {} does not come after {} in byte order",
            name(&pair[1].id),
            name(&pair[0].id)
        )),
        None => Ok(()),
    }
}

fn check_answer(request: &Request, limits: &Limits, owners: &[u32]) -> Result<(), GuestFailure> {
    if std::mem::size_of_val(owners) as u64 > limits.output_bytes {
        return Err(GuestFailure::new(
            FailureKind::Output,
            format!(
                "its answer has more than {} bytes (limits.output_bytes)",
                limits.output_bytes
            ),
        ));
    }
    check_owners(request, owners).map_err(|text| GuestFailure::new(FailureKind::BadAnswer, text))
}

fn check_owners(request: &Request, owners: &[u32]) -> Result<(), String> {
    let resources = resources(request)?;
    if owners.len() != resources as usize {
        return Err(format!("{} owners for {resources} resources", owners.len()));
    }
    let members = request.members.len() as u32;
    match owners
        .iter()
        .find(|owner| **owner != NOBODY && **owner >= members)
    {
        Some(owner) => Err(format!("member {owner} of {members} (they count from 0)")),
        None => Ok(()),
    }
}

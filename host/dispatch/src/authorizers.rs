//! The authorizers in front of requests.
//!
//! 1. A request comes with a view. For each of its operations, every active authorizer whose
//!    paths cover it is asked.
//! 2. An authorizer's instances and its cached decisions belong to one `policy_zxid`. When the
//!    view shows a newer one, both are dropped and made anew.
//! 3. A policy is loaded on a guest thread, once for all who wait for it; a decision is made in
//!    the task of the connection.
//! 4. A verdict is allow if all allow. An authorizer that fails denies, unless its binding
//!    says otherwise. One whose module is not loaded here denies, whatever its binding says.
//!
//! Invariant: a decision is never older than the view that the request came with. It may be
//! newer; a write carries the view's policy_zxid, so apply sees the difference.
//!
//! Addresses: [`CACHED_DECISIONS`] decisions per authorizer; then the cache starts anew.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{Equivalent, HashMap};
use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_sandbox::{
    AuthorizerSet, Decision, FailureKind, GuestFailure, Loaded, LogLine, Module, RunLoad, Sandbox,
    Undecided,
};
use innkeeper_server::authorization::{AccessDecider, AccessRequest, Deciding};
use innkeeper_tree::binding::{Definition, OnFailure};
use innkeeper_tree::{Access, Binding, Bindings, Identity, Reader, View, World, Zxid};
use parking_lot::{Mutex, RwLock};

use super::Guests;
use super::first::FirstRun;
use super::health::Breaker;
use super::member::{Invoking, Member};
use super::report::Who;

/// Decisions that are remembered per authorizer binding.
const CACHED_DECISIONS: usize = 65_536;

/// How long a request waits that the host could make no instance for, before it asks again.
const LACK_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Authorizers {
    sandbox: Sandbox,
    reader: Reader,
    workers: usize,
    run_load: RunLoad,
    live: RwLock<HashMap<Arc<str>, Arc<Live>>>,
    /// The last state of the bindings in which all active authorizers could be asked here.
    complete: RwLock<Option<Arc<Bindings>>>,
}

/// One authorizer at one policy.
struct Live {
    set: AuthorizerSet,
    /// Seeded: clients choose what they ask.
    decisions: Mutex<HashMap<Question, bool>>,
    /// How it fares: the same for all policies of one activation. Each failing call may burn a
    /// whole budget of fuel, so an authorizer that keeps failing is asked ever less often.
    member: Arc<Member>,
}

#[derive(PartialEq, Eq, Hash)]
struct Question {
    access: Access,
    path: Box<str>,
    identities: Box<[Identity]>,
}

/// A question not yet owned, to look one up without an allocation.
#[derive(Hash)]
struct QuestionRef<'a> {
    access: Access,
    path: &'a str,
    identities: &'a [Identity],
}

impl Equivalent<Question> for QuestionRef<'_> {
    fn equivalent(&self, key: &Question) -> bool {
        self.access == key.access && *self.path == *key.path && *self.identities == *key.identities
    }
}

impl Authorizers {
    pub(super) fn new(
        sandbox: Sandbox,
        reader: Reader,
        workers: usize,
        run_load: RunLoad,
    ) -> Authorizers {
        Authorizers {
            sandbox,
            reader,
            workers,
            run_load,
            live: RwLock::default(),
            complete: RwLock::default(),
        }
    }

    pub(super) fn forget(&self, binding: &str) {
        self.live.write().remove(binding);
    }
}

impl<R: Runtime> Guests<R> {
    /// The binding's instances and decisions, for the policy that `binding` shows or a newer.
    async fn live(&self, binding: &Binding) -> Result<Arc<Live>, String> {
        let authorizers = &self.shared.authorizers;
        if let Some(live) = authorizers.live.read().get(&binding.name)
            && live.set.policy_zxid() >= binding.policy_zxid
        {
            return Ok(Arc::clone(live));
        }
        let active = binding.active.as_ref().ok_or("it is not active")?;
        self.room_for(binding, active.activation, &active.definition)?;
        let digest = active.definition.module;
        let module = match self.compiled(digest) {
            Some(module) => module,
            // Clients are about to be shut out, and the module may take long to come.
            None if self.is_in_group() => {
                return Err(format!("module {digest} is not loaded on this node yet"));
            }
            None => self.module(digest).await?,
        };
        let Module::Authorizer(module) = module else {
            // The tree takes no definition whose module exports another world than its own.
            return Err(format!("module {digest} is no authorizer"));
        };
        let made = |member: Arc<Member>| {
            Arc::new(Live {
                set: AuthorizerSet::new(
                    &authorizers.sandbox,
                    binding.name.to_string(),
                    module,
                    Arc::clone(&active.definition),
                    binding.policy_zxid,
                    authorizers.reader.clone(),
                    authorizers.workers,
                    Arc::clone(&member.account),
                    Arc::clone(&authorizers.run_load),
                ),
                decisions: Mutex::default(),
                member,
            })
        };
        let mut all = authorizers.live.write();
        let known = all.get(&binding.name);
        if let Some(live) = known
            && live.set.policy_zxid() >= binding.policy_zxid
        {
            return Ok(Arc::clone(live));
        }
        let member = match known {
            Some(live) if live.member.activation() == active.activation => Arc::clone(&live.member),
            _ => {
                let (name, world) = (&binding.name, World::Authorizer);
                let member = self.member(name, active.activation, world, None);
                self.show_breaker(&member, Breaker::Closed);
                member
            }
        };
        let live = made(member);
        all.insert(Arc::clone(&binding.name), Arc::clone(&live));
        Ok(live)
    }

    /// Whether the module that acts for a binding is loaded here.
    fn is_loaded(&self, binding: &Binding) -> bool {
        let active = binding.active.as_ref();
        active.is_some_and(|active| self.compiled(active.definition.module).is_some())
    }

    /// One authorizer's verdict on one operation.
    async fn ask(
        &self,
        binding: &Arc<Binding>,
        identities: &[Identity],
        ask: &AccessRequest<'_>,
    ) -> bool {
        let mut binding = Arc::clone(binding);
        // Kept while the host lacks something or the policy moves: it is still the same request.
        let mut invoking: Option<Invoking> = None;
        loop {
            let live = match self.live(&binding).await {
                Ok(live) => live,
                Err(error) => {
                    self.shared.reports.failed(
                        &Who::of(&binding),
                        self.shared.runtime.wall_ms(),
                        error,
                    );
                    return self.is_loaded(&binding) && on_failure(&binding);
                }
            };
            let question = QuestionRef {
                access: ask.access,
                path: ask.path,
                identities,
            };
            if let Some(allowed) = live.decisions.lock().get(&question) {
                return *allowed;
            }
            let runtime = &self.shared.runtime;
            let policy = live.set.policy_zxid();
            let has_leave = |invoking: &Invoking| Arc::ptr_eq(&invoking.member, &live.member);
            if !invoking.as_ref().is_some_and(has_leave) {
                invoking = live.member.begin(runtime.now(), policy);
            }
            let Some(invoking) = &invoking else {
                return on_failure(&binding);
            };
            let per_second = live.set.definition().limits.calls_per_second;
            self.paced(&binding.name, per_second).await;
            match live.set.decide(identities, ask.access, ask.path).await {
                Ok(decided) => {
                    self.book_success(&live.member, decided.usage);
                    self.shared.reports.log(&live.member.who, decided.logs);
                    let allowed = match decided.decision {
                        Decision::Allow => true,
                        Decision::Deny(reason) => {
                            tracing::debug!(
                                binding = &*binding.name,
                                path = ask.path,
                                "denied: {}",
                                reason.as_deref().unwrap_or("no reason given")
                            );
                            false
                        }
                    };
                    let mut decisions = live.decisions.lock();
                    if decisions.len() >= CACHED_DECISIONS {
                        decisions.clear();
                    }
                    decisions.insert(
                        Question {
                            access: ask.access,
                            path: ask.path.into(),
                            identities: identities.into(),
                        },
                        allowed,
                    );
                    return allowed;
                }
                Err(Undecided::Stale) => {
                    // The policy moved on beyond the set's: decide by the newest.
                    match self.shared.reader.view().bindings().get(&binding.name) {
                        Some(newer) if newer.active.is_some() => binding = Arc::clone(newer),
                        // It is gone: it forbids nothing any more.
                        _ => return true,
                    }
                }
                Err(Undecided::Failed {
                    failure,
                    logs,
                    is_booked,
                }) => {
                    let unbooked = (!is_booked).then_some(policy);
                    if !self.try_again(invoking, unbooked, &failure, logs).await {
                        return on_failure(&binding);
                    }
                }
            }
        }
    }

    /// Whether an authorizer that was activated at `activation` has room beside those that are
    /// older: each has the memory of one instance set apart, so that none waits for another.
    pub(super) fn room_for(
        &self,
        binding: &Binding,
        activation: Zxid,
        definition: &Definition,
    ) -> Result<(), String> {
        let most = self.shared.sandbox.settings().memory_bytes_per_kind();
        let view = self.shared.reader.view();
        let older = view.bindings().iter().filter_map(|other| {
            let active = other.active.as_ref()?;
            (other.name != binding.name
                && active.definition.world == World::Authorizer
                && active.activation < activation)
                .then_some(active.definition.limits.memory_bytes)
        });
        let sum = older.sum::<u64>() + definition.limits.memory_bytes;
        if sum > most {
            return Err(format!(
                "the authorizers that were active before it and itself may use {sum} bytes of memory \
                 (limits.memory_bytes), and this node gives them {most}; lower the limits, or start the node with \
                 more --guest-memory-mib"
            ));
        }
        Ok(())
    }
}

impl<R: Runtime> Guests<R> {
    /// Loads the policy of an authorizer that nobody has asked yet, and notes how that ends.
    pub(super) async fn first_load(&self, binding: Arc<Binding>, activation: Zxid) {
        let shared = &self.shared;
        let name = &binding.name;
        let badly = |error| self.note_end(name, activation, || FirstRun::Badly { error });
        let mut newest = Arc::clone(&binding);
        loop {
            let active = newest.active.as_ref();
            if active.is_none_or(|active| active.activation != activation) {
                return;
            }
            let live = match self.live(&newest).await {
                Ok(live) => live,
                Err(error) => return badly(error),
            };
            match live.set.load_first().await {
                Ok(Loaded { fuel, logs }) => {
                    shared.reports.log(&live.member.who, logs);
                    return self.note_end(name, activation, || FirstRun::Well { fuel, writes: 0 });
                }
                Err(Undecided::Stale) => match shared.reader.view().bindings().get(name) {
                    Some(newer) => newest = Arc::clone(newer),
                    None => return,
                },
                Err(Undecided::Failed {
                    failure,
                    logs,
                    is_booked,
                }) => {
                    let invoking = live.member.begin_anyway();
                    let unbooked = (!is_booked).then(|| live.set.policy_zxid());
                    if !self.try_again(&invoking, unbooked, &failure, logs).await {
                        return badly(failure.to_string());
                    }
                }
            }
        }
    }

    /// An authorizer gave no verdict: books that, unless somebody did (`unbooked` is the policy
    /// that it failed with). What the host lacked something for is no denial: it is tried again
    /// after a pause. False for any other failure, and if the node stops.
    async fn try_again(
        &self,
        invoking: &Invoking,
        unbooked: Option<Zxid>,
        failure: &GuestFailure,
        logs: Vec<LogLine>,
    ) -> bool {
        self.shared.reports.log(&invoking.member.who, logs);
        if let Some(policy) = unbooked {
            self.book_failure_of(invoking, policy, failure);
        }
        if failure.kind != FailureKind::Host {
            return false;
        }
        let pause = self.shared.runtime.sleep(LACK_PAUSE);
        match select2(self.shared.stopping.wait(), pause).await {
            Select2::First(()) => false,
            Select2::Second(()) => true,
        }
    }
}

impl<R: Runtime> AccessDecider for Guests<R> {
    fn can_ask(&self, bindings: &Arc<Bindings>) -> bool {
        let complete = &self.shared.authorizers.complete;
        let is_known = |known: &Arc<Bindings>| Arc::ptr_eq(known, bindings);
        if complete.read().as_ref().is_some_and(is_known) {
            return true;
        }
        // A node alone has them since its start, or waits for those that came later.
        let can_ask = !self.is_in_group() || self.missing_authorizer(bindings).is_none();
        if can_ask {
            *complete.write() = Some(Arc::clone(bindings));
        }
        can_ask
    }

    fn decide<'a>(
        &'a self,
        view: &'a View,
        identities: &'a [Identity],
        asks: &'a [AccessRequest<'a>],
    ) -> Deciding<'a> {
        Box::pin(async move {
            for binding in view.bindings().iter() {
                let Some(active) = &binding.active else {
                    continue;
                };
                if active.definition.world != World::Authorizer {
                    continue;
                }
                for (place, ask) in asks.iter().enumerate() {
                    if active.definition.watches(ask.path)
                        && !self.ask(binding, identities, ask).await
                    {
                        return Err(place);
                    }
                }
            }
            Ok(())
        })
    }
}

fn on_failure(binding: &Binding) -> bool {
    binding
        .active
        .as_ref()
        .is_some_and(|active| active.definition.on_failure == OnFailure::Allow)
}

//! The authorizers in front of requests.
//!
//! 1. A request comes with a view. For each of its operations, every active authorizer whose
//!    paths cover it is asked.
//! 2. An authorizer's instances and its cached decisions belong to one `policy_zxid`. When the
//!    view shows a newer one, both are dropped and made anew.
//! 3. A verdict is allow if all allow. An authorizer that fails denies, unless its binding
//!    says otherwise.
//!
//! Invariant: a decision is never older than the view that the request came with. It may be
//! newer; a write carries the view's policy_zxid, so apply sees the difference.
//!
//! Bound: [`CACHED_DECISIONS`] decisions per authorizer; then the cache starts anew.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hashbrown::{Equivalent, HashMap};
use innkeeper_runtime::{Instant, Runtime};
use innkeeper_sandbox::{
    AuthorizerSet, Decision, GuestFailure, Loaded, Operation, Sandbox, Undecided,
};
use innkeeper_tree::binding::OnFailure;
use innkeeper_tree::{Binding, Identity, Reader, View, World, Zxid};
use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::Guests;
use super::first::FirstRun;
use super::report::{BREAKER_FAILURES, Breaker};
use crate::gate::{Access, Ask, Deciding, Gate};

/// Decisions that are remembered per authorizer binding.
const CACHED_DECISIONS: usize = 65_536;

/// How long an authorizer is not asked after a first failure; it doubles with each further one.
const REST_LEAST: Duration = Duration::from_millis(50);

/// The longest such rest.
const REST_MOST: Duration = Duration::from_secs(10);

pub(super) struct AuthorizerGate {
    sandbox: Sandbox,
    reader: Reader,
    workers: usize,
    live: RwLock<FxHashMap<Arc<str>, Arc<Live>>>,
}

/// One authorizer at one policy.
struct Live {
    set: AuthorizerSet,
    decisions: Mutex<HashMap<Question, bool, FxBuildHasher>>,
    /// Failures in a row, and until when it is not asked again because of them.
    trouble: Mutex<Option<(u32, Instant)>>,
}

impl Live {
    /// Is the guest left alone for now? Each failing call may burn a whole budget of fuel on a
    /// thread that serves clients, so a failing authorizer is asked ever less often.
    fn is_resting(&self, now: Instant) -> bool {
        self.trouble.lock().is_some_and(|(_, until)| now < until)
    }

    /// Notes a failure; says how many in a row.
    fn failed(&self, now: Instant) -> u32 {
        let mut trouble = self.trouble.lock();
        let failures = trouble.map_or(0, |(failures, _)| failures) + 1;
        let rest = REST_LEAST
            .saturating_mul(1 << (failures - 1).min(16))
            .min(REST_MOST);
        *trouble = Some((failures, now + rest));
        failures
    }

    /// Notes a good answer; says whether there was trouble before.
    fn answered(&self) -> bool {
        self.trouble.lock().take().is_some()
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Question {
    operation: u8,
    path: Box<str>,
    identities: Box<[Identity]>,
}

/// A question not yet owned, to look one up without an allocation.
#[derive(Hash)]
struct QuestionRef<'a> {
    operation: u8,
    path: &'a str,
    identities: &'a [Identity],
}

impl Equivalent<Question> for QuestionRef<'_> {
    fn equivalent(&self, key: &Question) -> bool {
        self.operation == key.operation
            && *self.path == *key.path
            && *self.identities == *key.identities
    }
}

impl AuthorizerGate {
    pub(super) fn new(sandbox: Sandbox, reader: Reader, workers: usize) -> AuthorizerGate {
        AuthorizerGate {
            sandbox,
            reader,
            workers,
            live: RwLock::default(),
        }
    }

    pub(super) fn forget(&self, binding: &str) {
        self.live.write().remove(binding);
    }
}

impl<R: Runtime> Guests<R> {
    /// The binding's instances and decisions, for the policy that `binding` shows or a newer.
    async fn live(&self, binding: &Binding) -> Result<Arc<Live>, String> {
        let gate = &self.shared.gate;
        if let Some(live) = gate.live.read().get(&binding.name)
            && live.set.policy_zxid() >= binding.policy_zxid
        {
            return Ok(Arc::clone(live));
        }
        let active = binding.active.as_ref().ok_or("it is not active")?;
        let module = self.module(active.definition.module).await?;
        let made = Arc::new(Live {
            set: AuthorizerSet::new(
                &gate.sandbox,
                binding.name.to_string(),
                module,
                Arc::clone(&active.definition),
                binding.policy_zxid,
                gate.reader.clone(),
                gate.workers,
            ),
            decisions: Mutex::default(),
            trouble: Mutex::default(),
        });
        let mut all = gate.live.write();
        let entry = all
            .entry(Arc::clone(&binding.name))
            .or_insert_with(|| Arc::clone(&made));
        if entry.set.policy_zxid() < made.set.policy_zxid() {
            *entry = made;
        }
        Ok(Arc::clone(entry))
    }

    /// One authorizer's verdict on one operation.
    async fn ask(&self, binding: &Arc<Binding>, identities: &[Identity], ask: &Ask<'_>) -> bool {
        let mut binding = Arc::clone(binding);
        loop {
            let live = match self.live(&binding).await {
                Ok(live) => live,
                Err(error) => {
                    self.shared
                        .reports
                        .failed(&binding.name, self.shared.runtime.wall_ms(), error);
                    return on_failure(&binding);
                }
            };
            let operation = operation(ask.access);
            let question = QuestionRef {
                operation: ask.access as u8,
                path: ask.path,
                identities,
            };
            if let Some(allowed) = live.decisions.lock().get(&question) {
                return *allowed;
            }
            let runtime = &self.shared.runtime;
            if live.is_resting(runtime.now()) {
                return on_failure(&binding);
            }
            let per_second = live.set.definition().limits.calls_per_second;
            self.paced(&binding.name, per_second).await;
            match live
                .set
                .decide(worker(), identities, operation, ask.path)
                .await
            {
                Ok(decided) => {
                    if live.answered() {
                        self.shared.reports.breaker(&binding.name, Breaker::Closed);
                    }
                    self.shared.reports.invoked(&binding.name, decided.usage);
                    self.shared.reports.log(&binding.name, decided.logs);
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
                            operation: ask.access as u8,
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
                Err(Undecided::Failed(failure)) => {
                    self.failed(&binding.name, &live, &failure);
                    return on_failure(&binding);
                }
            }
        }
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
                    shared.reports.log(name, logs);
                    return self.note_end(name, activation, || FirstRun::Well { fuel, writes: 0 });
                }
                Err(Undecided::Stale) => match shared.reader.view().bindings().get(name) {
                    Some(newer) => newest = Arc::clone(newer),
                    None => return,
                },
                Err(Undecided::Failed(failure)) => {
                    self.failed(name, &live, &failure);
                    return badly(failure.to_string());
                }
            }
        }
    }

    /// Books a failure of an authorizer, which then rests.
    fn failed(&self, name: &Arc<str>, live: &Live, failure: &GuestFailure) {
        self.note_failure(name, failure);
        let open = live.failed(self.shared.runtime.now()) >= BREAKER_FAILURES;
        let breaker = if open {
            Breaker::Open
        } else {
            Breaker::BackingOff
        };
        self.shared.reports.breaker(name, breaker);
    }
}

impl<R: Runtime> Gate for Guests<R> {
    fn decide<'a>(
        &'a self,
        view: &'a View,
        identities: &'a [Identity],
        asks: &'a [Ask<'a>],
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

/// The number of the thread that serves this connection: which of a set's places is its own.
fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    WORKER.with(|worker| {
        let number = worker
            .get()
            .unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed));
        worker.set(Some(number));
        number
    })
}

fn operation(access: Access) -> Operation {
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

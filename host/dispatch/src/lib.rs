//! The guests' side of a node: modules, activations, reactions, authorizers.
//!
//! One swap, end to end:
//! 1. An author pushes a module ([`Guests::push`]): a child process makes a component of it and
//!    compiles it (`compile`), it is stored durably, and its name registered by a command.
//! 2. Somebody writes a binding's document with any ZooKeeper client: that is the wish. Apply
//!    checks it; the fan-out tells [`BindingListener::changed`].
//! 3. The activation task has the module loaded where it is not, and proposes
//!    Activate if this node leads. Its place in the log is the swap point.
//! 4. Events that match the binding's watches join its queue in apply; [`BindingListener::queued`] wakes
//!    the binding's dispatcher, which runs one reaction at a time and proposes its transaction.
//!
//! Architecture invariants:
//! - Only the established leader proposes activations and reacts (`leading`).
//! - Nothing here decides what is true: apply validates every transaction and activation
//!   again. A dispatcher that dies loses no event, and two of them do nothing twice.
//! - Whatever a guest does costs its own binding alone: back-off, then an open breaker.
//!
//! Bounds: one reaction in flight per recipe; [`EVENTS_PER_REACTION`] events in it; the lines
//! and errors kept for a binding's status are bounded in `report`.
//!
//! **Invariant:** a node serves no client while an active authorizer's module is missing, whatever
//! the binding says of failures. It waits, and serves its admin socket meanwhile; for missing modules
//! of other worlds it does not wait.
//! (tests: `a_node_that_lost_an_authorizers_module_serves_its_operator_and_no_client`,
//! `only_authorizers_hold_back_clients_at_a_start`,
//! `a_node_that_lacks_an_active_authorizers_module_serves_no_client_until_it_has_it`)

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod activated;
mod activation;
mod artifacts;
mod at_leader;
mod authorizers;
mod calls;
mod compile;
mod copies;
mod dispatch;
mod elsewhere;
mod events;
mod first;
mod flow;
mod health;
mod lane;
mod leading;
mod member;
mod memory;
mod modules;
mod places;
mod pushes;
mod rate;
mod readiness;
mod report;
pub mod settings;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use innkeeper_raft::{ModuleStore, Proposals, Standing};
use innkeeper_runtime::{
    LatestReader, Runtime, Select2, Select3, Signal, ThreadRole, select2, select3,
};
use innkeeper_sandbox::{RunLoad, Sandbox};
use innkeeper_server::authorization::AccessDecider;
use innkeeper_server::delivery::binding_listener::{BindingListener, Cut};
use innkeeper_server::delivery::pending_proposals::{PendingProposals, ProposeError, Settled};
use innkeeper_server::service::Service;
use innkeeper_server::stats::Stats;
use innkeeper_tree::{Binding, Bindings, Digest, Operation, Reader, Ticket, World, Zxid, path};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::lane::Lane;
use self::settings::GuestSettings;

pub use activated::Activated;
pub use at_leader::NoLeader;
pub use compile::COMPILE_COMMAND;
pub use elsewhere::Elsewhere;
pub use first::FirstRun;
pub use flow::{Flow, Most};
pub use health::Breaker;
pub use innkeeper_tree::bindings::AUTHORIZERS_MAX;
pub use modules::{PushError, Pushed};
pub use pushes::{Push, PushName, PushState};
pub use report::BindingStatus;

use activation::Fetch;
use artifacts::Artifacts;
use authorizers::Authorizers;
use compile::Compilations;
use copies::Copies;
use elsewhere::Questions;
use first::FirstRuns;
pub use memory::default_guest_memory_bytes;
use modules::ModuleCache;
use pushes::Pushes;
use rate::Rate;
use readiness::Readiness;
use report::Reports;

/// Queue entries that one reaction gets at most; the rest waits for the next.
pub const EVENTS_PER_REACTION: usize = 1_024;

/// How long a node that lacks an authorizer waits before it says so in the log.
const AUTHORIZER_PATIENCE: Duration = Duration::from_secs(1);

/// The guests' side of one node; cheap to clone.
pub struct Guests<R: Runtime> {
    shared: Arc<Shared<R>>,
}

impl<R: Runtime> Clone for Guests<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

struct Shared<R: Runtime> {
    runtime: R,
    reader: Reader,
    proposals: Proposals,
    pending_proposals: Arc<PendingProposals>,
    /// What this node is in its group.
    standings: LatestReader<Standing>,
    /// The node's service, which holds the guests; so they do not hold it.
    service: OnceLock<Weak<Service<R>>>,
    store: ModuleStore<R>,
    sandbox: Sandbox,
    modules: ModuleCache,
    /// What this node stores for the others.
    copies: Copies,
    pushes: Pushes,
    /// Questions about pushes of other nodes.
    questions: Questions,
    push_idle_ms: u64,
    stats: Arc<Stats>,
    artifacts: Artifacts<R>,
    compilations: Arc<Compilations<R>>,
    reports: Reports,
    first_runs: FirstRuns,
    /// Rung when a binding changed, and when its first invocation ended.
    news: Notify,
    authorizers: Authorizers,
    /// Bindings to look at, and the activation task's alarm.
    changed: Mutex<BTreeSet<Arc<str>>>,
    changed_bell: Notify,
    stopping: Signal,
    view_max_age: Duration,
    /// How fast the assignors and authorizers are called, by binding.
    rates: Mutex<HashMap<Arc<str>, Rate>>,
    /// One bell per recipe that has a dispatcher.
    dispatchers: Mutex<HashMap<Arc<str>, Arc<Notify>>>,
    /// Which nodes have the modules of authorizers that are about to be activated.
    readiness: Readiness,
    /// The modules that bindings wait for, by binding: at most two each.
    fetches: Mutex<HashMap<Arc<str>, Vec<Fetch>>>,
}

/// The parts of a node that its guests need.
pub struct GuestsParts<R: Runtime> {
    /// The runtime.
    pub runtime: R,
    /// The replicated state, to read.
    pub reader: Reader,
    /// Takes proposals to the log.
    pub proposals: Proposals,
    /// The node's own parts that wait for a proposal.
    pub pending_proposals: Arc<PendingProposals>,
    /// What this node is in its group, as the replica tells.
    pub standings: LatestReader<Standing>,
    /// The modules' bytes.
    pub store: ModuleStore<R>,
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The node's statistics.
    pub stats: Arc<Stats>,
    /// What the node was told about its guests at its start.
    pub settings: GuestSettings,
    /// The data folder, in which compiled code is kept; without it none is kept.
    pub disk: io::Result<R::Disk>,
    /// Client worker threads: places of each authorizer.
    pub workers: usize,
    /// Raised when the node stops: every task of the guests ends.
    pub stopping: Signal,
}

impl<R: Runtime> Guests<R> {
    /// Puts the parts together; nothing runs yet.
    pub fn new(parts: GuestsParts<R>) -> Guests<R> {
        let GuestsParts {
            runtime,
            reader,
            proposals,
            pending_proposals,
            standings,
            store,
            sandbox,
            stats,
            settings,
            disk,
            workers,
            stopping,
        } = parts;
        let clock = runtime.clone();
        let reports = Reports::new(move || clock.now());
        let loads = runtime.clone();
        let run_load: RunLoad = Arc::new(move |account, load| {
            lane::spawn(&loads, &Lane::of(account), load);
        });
        let fingerprint = innkeeper_sandbox::fingerprint();
        let push_idle_ms = settings.compile.push_idle_ms;
        Guests {
            shared: Arc::new(Shared {
                artifacts: Artifacts::new(disk, fingerprint.map_err(io::Error::other)),
                compilations: Compilations::new(
                    runtime.clone(),
                    settings.compile,
                    sandbox.settings().component_bytes_max,
                    stats.clone(),
                ),
                stats,
                authorizers: Authorizers::new(sandbox.clone(), reader.clone(), workers, run_load),
                runtime,
                reader,
                proposals,
                pending_proposals,
                standings,
                service: OnceLock::new(),
                store,
                sandbox,
                modules: ModuleCache::default(),
                copies: Copies::default(),
                pushes: Pushes::default(),
                questions: Questions::default(),
                push_idle_ms,
                reports,
                first_runs: FirstRuns::default(),
                news: Notify::new(),
                changed: Mutex::default(),
                changed_bell: Notify::new(),
                stopping,
                view_max_age: Duration::from_millis(settings.view_max_age_ms),
                rates: Mutex::default(),
                dispatchers: Mutex::default(),
                readiness: Readiness::default(),
                fetches: Mutex::default(),
            }),
        }
    }

    /// Starts the activation task, which fetches the modules of all bindings and starts the
    /// dispatchers, and the task that hears when this node becomes the leader. It waits for
    /// nothing. `service` is that of the node; only the first call has an effect.
    pub fn start(&self, service: &Arc<Service<R>>) {
        if self.shared.service.set(Arc::downgrade(service)).is_err() {
            tracing::error!("the guests were started twice; the second start is ignored");
            return;
        }
        let runtime = &self.shared.runtime;
        let this = self.clone();
        // On the thread on which all artifacts are read and written, and before any of them.
        let opened = runtime.spawn(
            ThreadRole::Compile,
            async move { this.shared.artifacts.open() },
        );
        opened.detach();
        let this = self.clone();
        let activations = async move { this.run_activations().await };
        runtime.spawn(ThreadRole::Client, activations).detach();
        let this = self.clone();
        let leading = async move { this.run_leading().await };
        runtime.spawn(ThreadRole::Client, leading).detach();
        if self.is_in_group() {
            let this = self.clone();
            let copies = async move { this.run_copies().await };
            runtime.spawn(ThreadRole::Client, copies).detach();
        }
    }

    /// Waits until every active authorizer can be asked. A node accepts clients only after this:
    /// it must not serve past an authorizer that it does not have. Its admin
    /// socket serves meanwhile, so that a binding whose module is lost can be mended or deleted.
    pub async fn wait_for_authorizers(&self) {
        let begun = self.shared.runtime.now();
        let mut told = false;
        loop {
            // Heard from here on, so that nothing is missed between the look and the wait.
            let news = self.news();
            let Some((name, module)) =
                self.missing_authorizer(self.shared.reader.view().bindings())
            else {
                return;
            };
            if !told && self.shared.runtime.now() - begun >= AUTHORIZER_PATIENCE {
                if self.is_fetched(&name, module) {
                    tracing::warn!(
                        "no client is served yet, because the authorizer `{name}` is active and its module is still \
                         being compiled; see `innkeeper binding status {name}`"
                    );
                } else {
                    tracing::error!(
                        "no client is served, because the authorizer `{name}` is active and its module cannot be \
                         compiled: see `innkeeper binding status {name}`, then push the module again or delete the \
                         binding through the admin socket"
                    );
                }
                told = true;
            }
            let patience = self.shared.runtime.sleep(AUTHORIZER_PATIENCE);
            if let Select3::First(()) = select3(self.shared.stopping.wait(), news, patience).await {
                return;
            }
        }
    }

    /// Waits until an authorizer is active that cannot be asked here, or the node stops.
    pub async fn wait_for_missing_authorizer(&self) {
        loop {
            // Heard from here on, so that nothing is missed between the look and the wait.
            let news = self.news();
            if self
                .missing_authorizer(self.shared.reader.view().bindings())
                .is_some()
            {
                return;
            }
            if let Select2::First(()) = select2(self.shared.stopping.wait(), news).await {
                return;
            }
        }
    }

    /// An active authorizer whose module is not loaded here, and that module.
    fn missing_authorizer(&self, bindings: &Bindings) -> Option<(Arc<str>, Digest)> {
        bindings.iter().find_map(|binding| {
            let active = binding.active.as_ref()?;
            let module = active.definition.module;
            let is_missing =
                active.definition.world == World::Authorizer && self.compiled(module).is_none();
            is_missing.then(|| (Arc::clone(&binding.name), module))
        })
    }

    /// Waits for the bell; false if the node stops first.
    async fn heard(&self, bell: &Notify) -> bool {
        match select2(self.shared.stopping.wait(), bell.notified()).await {
            Select2::First(()) => false,
            Select2::Second(()) => true,
        }
    }

    /// Waits until the binding may be called once more.
    async fn paced(&self, name: &str, per_second: u64) {
        loop {
            let now = self.shared.runtime.now();
            let wait = {
                let mut rates = self.shared.rates.lock();
                match rates.get_mut(name) {
                    Some(rate) => rate.take(now, per_second),
                    None => rates
                        .entry(Arc::from(name))
                        .or_default()
                        .take(now, per_second),
                }
            };
            match wait {
                Some(wait) => self.shared.runtime.sleep(wait).await,
                None => return,
            }
        }
    }

    /// The authorizers, to be asked before each request.
    pub fn access_decider(&self) -> Arc<dyn AccessDecider> {
        Arc::new(self.clone())
    }

    /// The guests hear through it what apply did to bindings. It does not keep them alive, because
    /// they hold apply's side: each would keep the other after the node's stop.
    /// (test: `a_stopped_node_leaves_nothing_in_memory`)
    pub fn listener(&self) -> Arc<dyn BindingListener> {
        Arc::new(Listener {
            shared: Arc::downgrade(&self.shared),
        })
    }

    /// The status of every binding, by name, as this node sees it: in a group, it counts what has
    /// happened on this node.
    pub fn statuses_here(&self) -> Vec<BindingStatus> {
        let view = self.shared.reader.view();
        view.bindings()
            .iter()
            .map(|binding| self.status_of(binding))
            .collect()
    }

    fn status_of(&self, binding: &Binding) -> BindingStatus {
        let waiting = self.shared.reader.queue_len(&binding.name);
        let status = self.shared.reports.status(binding, waiting);
        BindingStatus {
            waits_for: self.waits_for(binding),
            ..status
        }
    }

    /// The greatest size of a pushed module, in bytes.
    pub fn module_bytes_max(&self) -> usize {
        self.shared.sandbox.settings().component_bytes_max
    }

    /// Proposes something in the node's own name and waits until it was applied here.
    pub async fn propose(
        &self,
        operation: impl FnOnce(Ticket) -> Operation,
    ) -> Result<Settled, ProposeError> {
        let shared = &self.shared;
        shared
            .pending_proposals
            .propose(&shared.runtime, &shared.proposals, operation)
            .await
    }

    /// The replicated state, to read.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// Begins the report of a binding, unless it is that of this very binding already.
    fn begin_report(&self, name: &Arc<str>) {
        let znode = path::join(path::BINDINGS, name);
        if let Some((stat, _)) = self.shared.reader.view().exists(&znode) {
            self.shared.reports.begin(name, Zxid(stat.czxid as u64));
        }
    }
}

/// See [`Guests::listener`].
struct Listener<R: Runtime> {
    shared: Weak<Shared<R>>,
}

impl<R: Runtime> Listener<R> {
    /// The guests, unless the node has stopped.
    fn guests(&self) -> Option<Guests<R>> {
        let shared = self.shared.upgrade()?;
        Some(Guests { shared })
    }
}

impl<R: Runtime> BindingListener for Listener<R> {
    fn queued(&self, bindings: &[Arc<str>]) {
        if let Some(guests) = self.guests() {
            guests.queued(bindings);
        }
    }

    fn changed(&self, bindings: &[Arc<str>]) {
        if let Some(guests) = self.guests() {
            guests.changed(bindings);
        }
    }

    fn cut(&self, cuts: &[Cut]) {
        if let Some(guests) = self.guests() {
            guests.cut(cuts);
        }
    }

    fn holds(&self, module: Digest) -> bool {
        let guests = self.guests();
        guests.is_some_and(|guests| guests.compiled(module).is_some())
    }

    fn registered(&self) {
        if let Some(guests) = self.guests() {
            guests.registered();
        }
    }

    fn stores(&self, module: Digest) -> bool {
        self.guests().is_some_and(|guests| guests.stores(module))
    }

    fn asked(&self, question: &[u8]) -> Option<Bytes> {
        self.guests()?.asked(question)
    }

    fn push(&self, id: Digest) -> Option<Bytes> {
        self.guests()?.push_here(id)
    }
}

impl<R: Runtime> Guests<R> {
    /// Wakes the dispatchers of bindings whose queues grew.
    fn queued(&self, bindings: &[Arc<str>]) {
        let dispatchers = self.shared.dispatchers.lock();
        for name in bindings {
            if let Some(bell) = dispatchers.get(name) {
                bell.notify_one();
            }
        }
    }

    /// Has the activation task look at bindings again.
    fn changed(&self, bindings: &[Arc<str>]) {
        self.shared.changed.lock().extend(bindings.iter().cloned());
        self.shared.changed_bell.notify_one();
        self.shared.news.notify_waiters();
        // A dispatcher that backs off has to see that its module was replaced.
        self.queued(bindings);
    }

    /// Notes events that bindings did not get, for their status.
    fn cut(&self, cuts: &[Cut]) {
        for cut in cuts {
            self.shared.reports.cut(cut);
        }
    }
}

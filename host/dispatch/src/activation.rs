//! From wish to activation.
//!
//! 1. The task looks at each binding that changed, one after the other: that is quick, since it
//!    waits for no compiler.
//! 2. A module that a binding wishes for or runs, and that is not loaded, is fetched by a task of
//!    its own: out of `compiled/`, or by compiling it. It ends when nothing names it any more.
//! 3. When the module is there the binding is looked at again, and Activate is proposed, if this
//!    node leads its group. For an authorizer the other nodes get time to load it (`readiness`).
//!
//! Invariants:
//! - A slow module holds up its own binding only; of one binding, activations keep their order,
//!   because this task alone proposes them.
//! - At a start, the modules of active authorizers are fetched first: clients wait for them.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{AbortOnDrop, Runtime, ThreadRole};
use innkeeper_tree::applied::TicketResult;
use innkeeper_tree::bindings::AUTHORIZERS_MAX;
use innkeeper_tree::{Binding, Digest, Operation, View, World, Zxid};
use tokio::sync::Notify;

use super::Guests;
use super::compile::CompileError;
use super::lane::{self, Lane};
use super::modules::MakeError;
use super::report::Who;

/// How long a module waits after the host could not compile it, or no node gave it; it doubles with each time.
const AGAIN_LEAST: Duration = Duration::from_secs(1);

/// The longest of these waits.
const AGAIN_MOST: Duration = Duration::from_secs(30);

/// A module that a binding waits for: which, and the task that fetches it. Dropping it is losing
/// interest.
pub(super) struct Fetch {
    module: Digest,
    _task: AbortOnDrop<()>,
}

impl<R: Runtime> Guests<R> {
    /// Looks at each binding that changed, one after the other, for as long as the node runs.
    pub(super) async fn run_activations(&self) {
        let view = self.shared.reader.view();
        let (started, bindings) = (view.zxid(), Arc::clone(view.bindings()));
        drop(view);
        let is_authorizer = |binding: &&Arc<Binding>| runs(binding, World::Authorizer);
        for binding in bindings.iter().filter(is_authorizer) {
            self.fetch_missing(binding);
        }
        let all: Vec<_> = bindings.iter().map(|at| Arc::clone(&at.name)).collect();
        self.changed(&all);
        loop {
            let names = std::mem::take(&mut *self.shared.changed.lock());
            if names.is_empty() {
                if !self.heard(&self.shared.changed_bell).await {
                    // Whatever is still being compiled has nobody to serve any more.
                    self.shared.fetches.lock().clear();
                    self.shared.readiness.clear();
                    return;
                }
                continue;
            }
            for name in names {
                self.look_at(&name, started).await;
            }
        }
    }

    /// `started` is where the state stood when this node began to look.
    async fn look_at(&self, name: &Arc<str>, started: Zxid) {
        self.begin_report(name);
        let view = self.shared.reader.view();
        let Some(binding) = view.bindings().get(name).cloned() else {
            self.shared.fetches.lock().remove(name);
            self.shared.reports.forget(name);
            self.shared.first_runs.forget(name);
            self.shared.rates.lock().remove(name);
            self.shared.authorizers.forget(name);
            self.shared.readiness.forget(name);
            self.look_for_places(&view);
            return;
        };
        self.shared.reports.tell(&binding, started);
        self.fetch_missing(&binding);
        if !runs(&binding, World::Authorizer) {
            self.shared.authorizers.forget(name);
        }
        if !binding.is_pending() {
            // What it wishes for acts.
            self.shared.readiness.forget(name);
            if !runs(&binding, World::Authorizer) {
                self.look_for_places(&view);
            }
        } else if let Err(error) = self.may_act(&binding) {
            self.not_activated(name, binding.wish, error);
        } else if self.leads()
            && self.compiled(binding.wished.module).is_some()
            && self.nodes_are_ready(&binding)
        {
            // Void means that the wish moved on: apply told of the newer one as well.
            let proposed = self
                .propose(|ticket| Operation::Activate {
                    ticket,
                    binding: name.to_string(),
                    wish: binding.wish,
                })
                .await;
            let error = match proposed {
                Ok(settled) if settled.result == TicketResult::NoPlace => Some(no_place()),
                Ok(_) => None,
                Err(error) => Some(format!("it could not be activated: {error}")),
            };
            if let Some(error) = error {
                self.not_activated(name, binding.wish, error);
            }
        }
        self.ensure_loaded(&binding);
        if binding.wished.world == World::Recipe || runs(&binding, World::Recipe) {
            self.ensure_dispatcher(name);
        }
    }

    /// An authorizer may have given up its place: looks again at those that wait for one.
    fn look_for_places(&self, view: &View) {
        let waits = |at: &&Arc<Binding>| at.is_pending() && at.wished.world == World::Authorizer;
        let waiting = view.bindings().iter().filter(waits);
        let names: Vec<_> = waiting.map(|at| Arc::clone(&at.name)).collect();
        self.changed(&names);
    }

    /// Whether there is room for what the binding wishes for: one authorizer more. The error is a
    /// sentence.
    fn may_act(&self, binding: &Binding) -> Result<(), String> {
        if binding.wished.world != World::Authorizer {
            return Ok(());
        }
        let view = self.shared.reader.view();
        if view.bindings().authorizers_beside(&binding.name) >= AUTHORIZERS_MAX {
            return Err(no_place());
        }
        self.room_for(binding, Zxid(u64::MAX), &binding.wished)
    }

    /// Begins to fetch what the binding names and what is not loaded, and stops fetching what it
    /// does not name any more.
    fn fetch_missing(&self, binding: &Binding) {
        let named = binding.modules();
        let missing: Vec<_> = named
            .filter(|module| self.compiled(*module).is_none())
            .collect();
        let mut fetches = self.shared.fetches.lock();
        if missing.is_empty() {
            fetches.remove(&binding.name);
            return;
        }
        let mine = fetches.entry(Arc::clone(&binding.name)).or_default();
        mine.retain(|fetch| missing.contains(&fetch.module));
        for module in missing {
            if !mine.iter().any(|fetch| fetch.module == module) {
                let (this, name) = (self.clone(), Arc::clone(&binding.name));
                let task = self.shared.runtime.spawn(ThreadRole::Client, async move {
                    this.fetch(&name, module).await;
                });
                mine.push(Fetch {
                    module,
                    _task: task.abort_on_drop(),
                });
            }
        }
    }

    /// Fetches a module for a binding, however often the host fails; a module that is at fault
    /// itself is given up.
    async fn fetch(&self, name: &Arc<str>, module: Digest) {
        let mut wait = AGAIN_LEAST;
        let error = loop {
            let Err(error) = self.make(module).await else {
                self.fetched(name, module);
                self.changed(std::slice::from_ref(name));
                return;
            };
            let (MakeError::Compile(CompileError::Host(_))
            | MakeError::Unreadable(_)
            | MakeError::NotGiven(_)) = error
            else {
                break error;
            };
            let again = format!("module {module} {error}; it is tried again");
            tracing::warn!(binding = &**name, "{again}");
            self.not_fetched(name, module, &again);
            self.shared.runtime.sleep(wait).await;
            wait = wait.saturating_mul(2).min(AGAIN_MOST);
        };
        self.fetched(name, module);
        self.not_fetched(name, module, &format!("module {module} {error}"));
    }

    /// Whether a module that a binding names is being fetched.
    pub(super) fn is_fetched(&self, name: &str, module: Digest) -> bool {
        let fetches = self.shared.fetches.lock();
        let mine = fetches.get(name);
        mine.is_some_and(|mine| mine.iter().any(|fetch| fetch.module == module))
    }

    fn fetched(&self, name: &Arc<str>, module: Digest) {
        let mut fetches = self.shared.fetches.lock();
        if let Some(mine) = fetches.get_mut(name) {
            mine.retain(|fetch| fetch.module != module);
            if mine.is_empty() {
                fetches.remove(name);
            }
        }
    }

    /// Notes why a binding has no module: in its status, as what it wishes for or what it runs.
    fn not_fetched(&self, name: &Arc<str>, module: Digest, error: &str) {
        let view = self.shared.reader.view();
        let Some(binding) = view.bindings().get(name) else {
            return;
        };
        if binding.is_pending() && binding.wished.module == module {
            self.not_activated(name, binding.wish, error.to_owned());
        }
        let active = binding.active.as_ref();
        if active.is_some_and(|active| active.definition.module == module) {
            let now_ms = self.shared.runtime.wall_ms();
            let who = Who::of(binding);
            self.shared.reports.failed(&who, now_ms, error.to_owned());
        }
    }

    /// Loads an authorizer that has just become active here, before the first client asks it, so
    /// that the author of its binding sees how that ends.
    fn ensure_loaded(&self, binding: &Arc<Binding>) {
        let Some(active) = &binding.active else {
            return;
        };
        if active.definition.world == World::Authorizer
            && self.compiled(active.definition.module).is_some()
            && self
                .shared
                .first_runs
                .began(&binding.name, active.activation)
        {
            let (this, binding, activation) =
                (self.clone(), Arc::clone(binding), active.activation);
            let load = async move { this.first_load(binding, activation).await };
            self.shared.runtime.spawn(ThreadRole::Guest, load).detach();
        }
    }

    fn not_activated(&self, name: &Arc<str>, wish: Zxid, error: String) {
        let now_ms = self.shared.runtime.wall_ms();
        let who = Who {
            name: Arc::clone(name),
            as_of: wish,
        };
        self.shared.reports.not_activated(&who, wish, now_ms, error);
        self.shared.news.notify_waiters();
    }

    /// One dispatcher per recipe, for as long as its binding exists.
    fn ensure_dispatcher(&self, name: &Arc<str>) {
        let mut dispatchers = self.shared.dispatchers.lock();
        if dispatchers.contains_key(name) {
            return;
        }
        let bell = Arc::new(Notify::new());
        dispatchers.insert(Arc::clone(name), Arc::clone(&bell));
        let this = self.clone();
        let name = Arc::clone(name);
        let lane = Lane::default();
        let follows = lane.clone();
        let dispatch = async move { this.dispatch(name, bell, follows).await };
        lane::spawn(&self.shared.runtime, &lane, Box::pin(dispatch));
    }
}

/// Why an authorizer is not activated that apply has no place for.
fn no_place() -> String {
    format!(
        "{AUTHORIZERS_MAX} authorizers are active, which is as many as there may be; delete one of them"
    )
}

/// Whether a module of that world acts for the binding.
fn runs(binding: &Binding, world: World) -> bool {
    let active = binding.active.as_ref();
    active.is_some_and(|active| active.definition.world == world)
}

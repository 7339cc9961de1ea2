//! The host side of the world `recipe`: one reaction, from events to a transaction.
//!
//! 1. The dispatcher takes events off the binding's queue (they stay queued), then a view.
//! 2. [`Sandbox::react`] makes a fresh store and instance and calls `react`.
//! 3. The guest reads and writes through an [`Overlay`]; it may call assignors, which run in
//!    stores of their own.
//! 4. Ok makes a [`Transaction`] that also acknowledges the events; err or a trap makes a
//!    [`GuestFailure`] and leaves no trace.

use std::sync::Arc;

use innkeeper_proto::{Acl, Perms, Stat};
use innkeeper_tree::binding::{Definition, Limits};
use innkeeper_tree::queue::Kinds;
use innkeeper_tree::{QueueEntry, Transaction, View, Zxid};

use crate::assignor::{Assignors, Unavailable, check_request};
use crate::budget::{Budget, LogLine, Usage};
use crate::engine::{Code, Module, Sandbox};
use crate::failure::{FailureKind, GuestFailure};
use crate::overlay::{CreateOptions, Done, Overlay, Weight};
use crate::reads::{self, answer, stat};
use crate::wit::{assignment, assignors, events as wit, transaction, types};

/// What a reaction starts from.
pub struct Invocation {
    /// The binding's name.
    pub binding: String,
    /// Its activation, as the view shows it.
    pub activation: Zxid,
    /// Its active definition.
    pub definition: Arc<Definition>,
    /// What the guest reads.
    pub view: View,
    /// What it reacts to; taken before the view. At least one.
    pub events: Vec<QueueEntry>,
    /// The reaction's time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A reaction that returned ok.
pub struct Reaction {
    /// To be proposed.
    pub transaction: Transaction,
    /// What it used.
    pub usage: Usage,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// Calls of assignors that failed, by the assignor's binding: they count against it.
    pub assignor_failures: Vec<(String, GuestFailure)>,
}

/// A reaction that did not.
pub struct FailedReaction {
    /// Why.
    pub failure: GuestFailure,
    /// What it used.
    pub usage: Usage,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// As in [`Reaction`].
    pub assignor_failures: Vec<(String, GuestFailure)>,
}

pub(crate) struct RecipeState {
    budget: Budget,
    config: Arc<str>,
    overlay: Overlay,
    sandbox: Sandbox,
    assignors: Arc<dyn Assignors>,
    assignor_failures: Vec<(String, GuestFailure)>,
}

shared_imports!(RecipeState);

impl Sandbox {
    /// Runs one reaction.
    pub async fn react(
        &self,
        module: &Module,
        invocation: Invocation,
        assignors: Arc<dyn Assignors>,
    ) -> Result<Reaction, FailedReaction> {
        let bare = |failure| FailedReaction {
            failure,
            usage: Usage::default(),
            logs: Vec::new(),
            assignor_failures: Vec::new(),
        };
        let Code::Recipe(pre) = &module.code else {
            return Err(bare(GuestFailure::new(
                FailureKind::Host,
                "the module is no recipe",
            )));
        };
        let Invocation {
            binding,
            activation,
            definition,
            view,
            events,
            now_ms,
        } = invocation;
        let limits = definition.limits;
        let _slot = self.recipe_slot().await.map_err(bare)?;
        let events = those_that_fit(&binding, &limits, events);
        let config = Arc::clone(&definition.config);
        let mut overlay = Overlay::new(view, definition, self.clone(), now_ms);
        overlay
            .begin(&binding, events.iter().map(QueueEntry::ack).collect())
            .map_err(|error| bare(GuestFailure::from_wasm(&error)))?;
        let state = RecipeState {
            budget: Budget::new(&limits),
            config,
            overlay,
            sandbox: self.clone(),
            assignors,
            assignor_failures: Vec::new(),
        };
        let mut store = self
            .store(state, &limits, |state| &mut state.budget)
            .map_err(bare)?;
        let told: Vec<wit::Event> = events.iter().map(tell).collect();
        let returned = match pre.instantiate_async(&mut store).await {
            Ok(guest) => guest.call_react(&mut store, &told).await,
            Err(error) => Err(error),
        };
        let fuel = limits.fuel - store.get_fuel().unwrap_or(0);
        let state = store.into_data();
        let usage = state.budget.usage(fuel);
        let failure = match returned {
            Ok(Ok(())) => {
                let depth = events
                    .iter()
                    .map(QueueEntry::depth)
                    .max()
                    .unwrap_or(0)
                    .saturating_add(1);
                return Ok(Reaction {
                    transaction: state.overlay.finish(binding, activation, depth),
                    usage,
                    logs: state.budget.logs,
                    assignor_failures: state.assignor_failures,
                });
            }
            Ok(Err(text)) => GuestFailure::new(FailureKind::Returned, text),
            Err(error) => GuestFailure::from_wasm(&error),
        };
        Err(FailedReaction {
            failure,
            usage,
            logs: state.budget.logs,
            assignor_failures: state.assignor_failures,
        })
    }
}

/// As many of the events, oldest first, as take half of what a transaction may hold to
/// acknowledge, so that there is room for what the guest does about them; but one at least. The
/// rest stays queued for the next reaction. An event that alone is too much fails the reaction
/// by name. (test: `a_small_transaction_takes_few_events`)
fn those_that_fit(binding: &str, limits: &Limits, mut events: Vec<QueueEntry>) -> Vec<QueueEntry> {
    let mut weight = Weight::new(limits);
    let mut fit = 0;
    if weight
        .add_bytes(Transaction::empty_len_most(binding))
        .is_ok()
    {
        for event in &events {
            let bytes = event.ack().encoded_len();
            if weight.is_half_full_with(bytes) || weight.add(bytes).is_err() {
                break;
            }
            fit += 1;
        }
    }
    events.truncate(fit.max(1));
    events
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

impl RecipeState {
    fn one(&mut self, write: transaction::Write) -> Done<()> {
        match write {
            transaction::Write::Create(w) => self.create(&w.path, w.data, w.options).map(drop),
            transaction::Write::Set(w) => self.set(&w.path, w.data, w.version).map(drop),
            transaction::Write::Delete(w) => self.delete(&w.path, w.version),
        }
    }

    fn create(
        &mut self,
        path: &str,
        data: Vec<u8>,
        how: transaction::CreateOptions,
    ) -> Done<String> {
        self.budget
            .charge(path.len() + data.len() + acl_bytes(&how))?;
        self.overlay.create(path, data.into(), options(how))
    }

    fn set(&mut self, path: &str, data: Vec<u8>, version: Option<i32>) -> Done<Stat> {
        self.budget.charge(path.len() + data.len())?;
        self.overlay.set(path, data.into(), version)
    }

    fn delete(&mut self, path: &str, version: Option<i32>) -> Done<()> {
        self.budget.charge(path.len())?;
        self.overlay.delete(path, version)
    }

    fn get(&mut self, path: String) -> Done<Option<types::Znode>> {
        reads::get(&mut self.budget, &mut self.overlay, path)
    }

    fn exists(&mut self, path: &str) -> Done<Option<Stat>> {
        self.budget.charge(path.len())?;
        self.overlay.exists(path)
    }

    fn owner(&mut self, path: &str) -> Done<Option<u64>> {
        self.budget.charge(path.len())?;
        self.overlay.owner(path)
    }
}

impl types::Host for RecipeState {}
impl wit::Host for RecipeState {}
impl assignment::Host for RecipeState {}

impl transaction::Host for RecipeState {
    fn get(
        &mut self,
        path: String,
    ) -> wasmtime::Result<Result<Option<types::Znode>, types::Error>> {
        answer(RecipeState::get(self, path))
    }

    fn get_many(
        &mut self,
        names: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<types::Znode>>, types::Error>> {
        let found = names.into_iter().map(|path| RecipeState::get(self, path));
        answer(found.collect())
    }

    fn exists(
        &mut self,
        path: String,
    ) -> wasmtime::Result<Result<Option<types::Stat>, types::Error>> {
        answer(RecipeState::exists(self, &path).map(|seen| seen.map(stat)))
    }

    fn children(&mut self, path: String) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        answer(reads::children(&mut self.budget, &mut self.overlay, &path))
    }

    fn scan(
        &mut self,
        prefix: String,
    ) -> wasmtime::Result<Result<Vec<types::Znode>, types::Error>> {
        answer(reads::scan(&mut self.budget, &mut self.overlay, &prefix))
    }

    fn owner(&mut self, path: String) -> wasmtime::Result<Result<Option<u64>, types::Error>> {
        answer(RecipeState::owner(self, &path))
    }

    fn create(
        &mut self,
        path: String,
        data: Vec<u8>,
        how: transaction::CreateOptions,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        answer(RecipeState::create(self, &path, data, how))
    }

    fn set(
        &mut self,
        path: String,
        data: Vec<u8>,
        version: Option<i32>,
    ) -> wasmtime::Result<Result<types::Stat, types::Error>> {
        answer(RecipeState::set(self, &path, data, version).map(stat))
    }

    fn delete(
        &mut self,
        path: String,
        version: Option<i32>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        answer(RecipeState::delete(self, &path, version))
    }

    fn write_many(
        &mut self,
        writes: Vec<transaction::Write>,
    ) -> wasmtime::Result<Result<(), transaction::WriteError>> {
        self.budget.charge(0)?;
        for (index, write) in writes.into_iter().enumerate() {
            if let Err(error) = answer(self.one(write))? {
                return Ok(Err(transaction::WriteError {
                    index: index as u32,
                    error,
                }));
            }
        }
        Ok(Ok(()))
    }

    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        self.budget.charge(0)?;
        Ok(self.overlay.now_ms())
    }
}

impl assignors::Host for RecipeState {
    async fn assign(
        &mut self,
        name: String,
        request: assignment::Request,
    ) -> wasmtime::Result<Result<Vec<u32>, assignors::AssignError>> {
        use assignors::AssignError;
        self.budget.charge(request_bytes(&request))?;
        let assignor = match self.assignors.find(self.overlay.view(), &name) {
            Ok(assignor) => assignor,
            // Recorded as well, so that the recipe hears of its (next) activation.
            Err(unavailable) => {
                let active = self.overlay.view().bindings().active(&name);
                let activation = active.map(|active| active.activation).unwrap_or_default();
                self.overlay.called(&name, activation)?;
                return Ok(Err(match unavailable {
                    Unavailable::Unknown => AssignError::UnknownAssignor,
                    Unavailable::KeptBack(why) => AssignError::Unavailable(why),
                }));
            }
        };
        self.overlay.called(&name, assignor.activation)?;
        if let Err(text) = check_request(&request) {
            return Ok(Err(AssignError::BadRequest(text)));
        }
        let per_second = assignor.definition.limits.calls_per_second;
        let assignors = Arc::clone(&self.assignors);
        assignors.pace(&name, per_second).await;
        let sandbox = self.sandbox.clone();
        let answer = sandbox
            .assign(&assignor.module, &assignor.definition, &request)
            .await;
        match answer {
            Ok(assignment) => {
                self.budget.charge_result(assignment.owners.len() * 4)?;
                for line in assignment.logs {
                    self.budget
                        .log(line.level, format!("{name}: {}", line.message));
                }
                Ok(Ok(assignment.owners))
            }
            Err(failure) => {
                let told = match failure.kind {
                    FailureKind::Returned => AssignError::Failed(failure.message.clone()),
                    FailureKind::BadAnswer => AssignError::BadAnswer(failure.message.clone()),
                    _ => AssignError::Unavailable(failure.to_string()),
                };
                self.assignor_failures.push((name, failure));
                Ok(Err(told))
            }
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

/// About what an ACL takes, in bytes.
fn acl_bytes(options: &transaction::CreateOptions) -> usize {
    let entries = options.acl.iter().flatten();
    entries
        .map(|entry| Acl::MIN_WIRE_LEN + entry.scheme.len() + entry.id.len())
        .sum()
}

fn options(options: transaction::CreateOptions) -> CreateOptions {
    CreateOptions {
        acl: options.acl.map(|acl| acl.into_iter().map(entry).collect()),
        ephemeral: options.ephemeral,
        sequential: options.sequential,
    }
}

fn entry(acl: transaction::Acl) -> Acl {
    let mut perms = Perms::NONE;
    for (flag, perm) in [
        (transaction::Permissions::READ, Perms::READ),
        (transaction::Permissions::WRITE, Perms::WRITE),
        (transaction::Permissions::CREATE, Perms::CREATE),
        (transaction::Permissions::DELETE, Perms::DELETE),
        (transaction::Permissions::ADMIN, Perms::ADMIN),
    ] {
        if acl.permissions.contains(flag) {
            perms = perms | perm;
        }
    }
    Acl {
        perms,
        scheme: acl.scheme.into(),
        id: acl.id.into(),
    }
}

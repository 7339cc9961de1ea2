//! Applying a command. It is deterministic, never fails, and takes one zxid.
//!
//! 1. [`Tree::run`] takes the next zxid and calls the code for the kind of command: a session's
//!    request or an administrator's write (`write`), a guest's transaction (`guest`), a session's
//!    creation and end (`sessions`), modules and bindings (`bindings`), the group (`group`).
//! 2. Changes of znodes are made in a [`change::Change`], which can be undone as a whole.
//! 3. [`Tree::finish`] keeps the change: it queues events for recipes, advances `policy_zxid`s,
//!    updates the bindings, and frees some old versions that views have left.

mod bindings;
mod change;
mod group;
mod guest;
mod hash;
mod quota;
mod reach;
mod sessions;
mod sweep;
mod write;

use std::sync::Arc;

use smallvec::SmallVec;

use self::change::{BindingEdit, Change};
use self::hash::Rolling;
use crate::applied::{Applied, Event, Outcome};
use crate::command::{Command, Operation};
use crate::queue::{Kinds, MAX_CASCADE_DEPTH, Pushed, QueueKey};
use crate::quota::QuotaEdits;
use crate::store::Store;
use crate::{Tree, Zxid};

/// For each changed node so many nodes with old versions are visited, to free versions. It is more
/// than one, so that the versions of a long view are freed while changes leave new ones.
const RECLAIM_PER_NODE: usize = 3;

/// After so many nodes the writer lets waiting views take the lock.
const COMMIT_RUN: usize = 256;

/// So many nodes more are visited with each command.
const RECLAIM_PER_COMMAND: usize = 2;

/// The cause of a change, for the queues of recipes.
#[derive(Clone, Copy, Default)]
struct Cause<'a> {
    /// The recipe that made the change: its own changes are not queued for it.
    recipe: Option<&'a str>,
    /// How many reactions there are between a client's request and this change.
    depth: u8,
}

impl Tree {
    pub(crate) fn run(&mut self, command: &Command) -> Applied {
        self.store.note_digest(self.zxid, self.hash);
        self.zxid = self.zxid.next();
        self.time_ms = self.time_ms.max(command.time_ms);
        let mut hash = Rolling(self.hash);
        hash.number(self.zxid.0);
        hash.number(self.time_ms);
        self.hash = hash.0;
        self.settle_outside_acks();

        let mut applied = Applied {
            zxid: self.zxid,
            time_ms: self.time_ms,
            outcome: Outcome::Nobody,
            events: Vec::new(),
            queued: Vec::new(),
            bindings: Vec::new(),
            cut: Vec::new(),
            ended: Vec::new(),
            over_quota: Vec::new(),
        };
        match &command.operation {
            Operation::CreateSession {
                ticket,
                session,
                password,
                timeout_ms,
                local,
            } => {
                let result = self.create_session(*session, *password, *timeout_ms, *local);
                applied.outcome = Outcome::Ticket {
                    ticket: *ticket,
                    result,
                };
            }
            Operation::Reattach {
                ticket,
                session,
                password,
                timeout_ms,
            } => {
                let result = self.reattach(*session, *password, *timeout_ms);
                applied.outcome = Outcome::Ticket {
                    ticket: *ticket,
                    result,
                };
            }
            Operation::Session {
                session,
                attachment,
                seq,
                request,
            } => {
                let result =
                    self.session_request(*session, *attachment, *seq, request, &mut applied);
                applied.outcome = Outcome::Session {
                    session: *session,
                    attachment: *attachment,
                    seq: *seq,
                    result,
                };
            }
            Operation::ExpireSession {
                session,
                attachment,
            } => self.expire(*session, *attachment, &mut applied),
            Operation::Admin {
                ticket,
                identities,
                write,
                enforce_quota,
            } => {
                let result = self.admin_write(identities, write, *enforce_quota, &mut applied);
                applied.outcome = Outcome::Ticket {
                    ticket: *ticket,
                    result,
                };
            }
            Operation::Transaction {
                ticket,
                transaction,
            } => {
                let result = self.transact(transaction, &mut applied);
                applied.outcome = Outcome::Ticket {
                    ticket: *ticket,
                    result,
                };
            }
            Operation::RegisterModule {
                ticket,
                digest,
                size,
                world,
            } => {
                let result = self.register_module(*digest, *size, *world);
                applied.outcome = Outcome::Ticket {
                    ticket: *ticket,
                    result,
                };
            }
            Operation::Activate {
                ticket,
                binding,
                wish,
            } => {
                let result = self.activate(binding, *wish, &mut applied);
                applied.outcome = Outcome::Ticket {
                    ticket: *ticket,
                    result,
                };
            }
            Operation::Sweep(sweep) => self.sweep(sweep, &mut applied),
            Operation::RaiseLevel { level } => {
                if *level == self.level + 1 {
                    self.level = *level;
                    self.mix(&[b'l', *level as u8]);
                }
            }
            Operation::Group(change) => self.change_group(change, &mut applied),
        }
        applied
    }

    /// Begins the changes of znodes of the present command.
    fn change<'a>(&'a self, store: &'a Store) -> Change<'a> {
        Change::new(
            self.zxid,
            self.time_ms,
            store.nodes.write(),
            &self.modules,
            &self.quotas,
            Rolling(self.hash),
        )
    }

    /// Mixes something other than znodes into the rolling hash.
    fn mix(&mut self, bytes: &[u8]) {
        let mut hash = Rolling(self.hash);
        hash.bytes(bytes);
        self.hash = hash.0;
    }

    /// Keeps a change and carries out what follows from it.
    fn finish(&mut self, done: Done, cause: Cause<'_>, applied: &mut Applied) {
        let Done {
            hash,
            events,
            bindings,
            acls_set,
            quotas,
        } = done;
        self.hash = hash.0;
        self.quotas.apply(quotas);
        self.queue_events(&events, cause, applied);
        if self.bindings.has_policies() {
            self.move_policies(&events, &acls_set);
        }
        for edit in bindings {
            match edit {
                BindingEdit::Wish(name, definition) => self.wish(name, definition, applied),
                BindingEdit::Gone(name) => self.unbind(&name, applied),
            }
        }
        applied.events.extend(events);
    }

    /// Puts events into the queues of the recipes that watch their paths.
    fn queue_events(&mut self, events: &[Event], cause: Cause<'_>, applied: &mut Applied) {
        if !self.bindings.has_recipes() {
            return;
        }
        let is_too_deep = cause.depth > MAX_CASCADE_DEPTH;
        let bindings = self.bindings.clone();
        for event in events {
            let recipes = bindings.recipes_of(&event.path);
            for recipe in recipes {
                if cause.recipe == Some(&*recipe.name) {
                    continue;
                }
                let Some(active) = &recipe.active else {
                    continue;
                };
                if is_too_deep {
                    note(&mut applied.cut, &recipe.name);
                    continue;
                }
                let limit = active.definition.limits.queue;
                self.push(
                    &recipe.name,
                    &event.path,
                    Kinds::of(event.kind),
                    cause.depth,
                    limit,
                );
                note(&mut applied.queued, &recipe.name);
            }
        }
    }

    fn push(&mut self, name: &Arc<str>, path: &Arc<str>, kinds: Kinds, depth: u8, limit: u64) {
        let store = self.store.clone();
        let mut queues = store.queues.write();
        let queue = queues.entry(name.clone()).or_default();
        if queue.len() as u64 >= limit && queue.get(&QueueKey::Path(path.clone())).is_none() {
            // The queue may overflow; then all its entries are removed.
            self.dirty_queues
                .extend(queue.iter().map(|(key, _)| (name.clone(), key)));
        }
        let key = match queue.push(path, kinds, self.zxid, depth, limit) {
            Pushed::Path(path) => QueueKey::Path(path),
            Pushed::Overflowed => QueueKey::Resync,
        };
        self.dirty_queues.insert((name.clone(), key));
        drop(queues);
        self.mix(&[b'q', depth, kinds.bits()]);
        self.mix(name.as_bytes());
    }

    /// Replaces the queue of one recipe by a resync.
    fn resync(&mut self, name: &Arc<str>, depth: u8, applied: &mut Applied) {
        let store = self.store.clone();
        let mut queues = store.queues.write();
        let queue = queues.entry(name.clone()).or_default();
        self.dirty_queues
            .extend(queue.iter().map(|(key, _)| (name.clone(), key)));
        queue.resync(self.zxid, depth);
        drop(queues);
        self.dirty_queues.insert((name.clone(), QueueKey::Resync));
        self.mix(&[b'r', depth]);
        self.mix(name.as_bytes());
        note(&mut applied.queued, name);
    }

    /// Advances the `policy_zxid` of each authorizer whose policy the command has changed, which
    /// ends its cached decisions.
    fn move_policies(&mut self, events: &[Event], acls_set: &[Arc<str>]) {
        let paths = events.iter().map(|event| &event.path).chain(acls_set);
        let mut moved: SmallVec<[Arc<str>; 4]> = SmallVec::new();
        for path in paths {
            for binding in self.bindings.policies_of(path) {
                note(&mut moved, &binding.name);
            }
        }
        for name in moved {
            self.edit_binding(&name, |binding, zxid| binding.policy_zxid = zxid);
        }
    }

    /// Changes a binding. The active definition must stay the same.
    fn edit_binding(&mut self, name: &str, edit: impl FnOnce(&mut crate::Binding, Zxid)) {
        let Some(binding) = self.bindings.get(name) else {
            return;
        };
        let mut binding = crate::Binding::clone(binding);
        edit(&mut binding, self.zxid);
        self.dirty_bindings.insert(binding.name.clone());
        Arc::make_mut(&mut self.bindings).insert(binding);
    }
}

/// The results of a change whose new versions are kept.
struct Done {
    hash: Rolling,
    events: Vec<Event>,
    bindings: Vec<BindingEdit>,
    acls_set: Vec<Arc<str>>,
    quotas: QuotaEdits,
}

impl Change<'_> {
    /// Keeps the change's versions, and the sessions' lists of ephemerals.
    fn commit(mut self, store: &Store, horizon: &crate::horizon::Horizon) -> Done {
        self.count_begun();
        let mut owners = Vec::new();
        let touched = self.nodes.take_touched();
        for some in touched.chunks(COMMIT_RUN) {
            self.nodes.commit(some, self.zxid.0, horizon, &mut owners);
            let budget = some.len() * RECLAIM_PER_NODE + RECLAIM_PER_COMMAND;
            self.nodes.reclaim(budget, horizon);
            if some.len() == COMMIT_RUN {
                parking_lot::RwLockWriteGuard::bump(&mut self.nodes);
            }
        }
        self.nodes.recycle_touched(touched);
        let Change {
            zxid,
            nodes,
            hash,
            events,
            bindings,
            acls_set,
            quota_edits,
            ..
        } = self;
        drop(nodes);
        if !owners.is_empty() {
            let mut sessions = store.sessions.write();
            for change in owners {
                sessions.own(zxid, change, horizon);
            }
        }
        Done {
            hash,
            events,
            bindings,
            acls_set,
            quotas: quota_edits,
        }
    }
}

fn note<A>(names: &mut A, name: &Arc<str>)
where
    A: Extend<Arc<str>> + AsRef<[Arc<str>]>,
{
    if !names.as_ref().contains(name) {
        names.extend([name.clone()]);
    }
}

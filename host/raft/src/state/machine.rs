//! The state machine: it applies committed entries to the tree and delivers the results.
//!
//! 1. openraft hands over a stream of committed entries. Each command is applied to the tree;
//!    views do not show it yet.
//!    A [heavy](super::applying::HEAVY) command is applied and delivered on another thread: openraft
//!    and its signs of life go on meanwhile, and the entries behind it wait.
//! 2. After at most `apply_commands` commands the results are delivered: the delivery sends the
//!    watch events and publishes, exactly once, in the order of the zxids.
//! 3. Then openraft's responders are answered, so that further batches can be proposed.
//! 4. From time to time a capture of the changes goes to the [checkpointer](super::checkpoint).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use innkeeper_runtime::{Runtime, ThreadRole, yield_now};
use innkeeper_tree::applied::Applied;
use innkeeper_tree::{Operation, Tree};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{BasicNode, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot};

use super::applying;
use super::checkpoint::{Checkpointer, Pending};
use super::lag::{Lag, weight};
use super::received::Incoming;
use super::shared::{Progress, StateShared};
use super::snapshot::SnapshotData;
use super::store::{Folder, StateStore};
use crate::Delivery;
use crate::error::{Failure, StateError};
use crate::log::Log;
use crate::settings::Settings;
use crate::types::{LogId, NodeId, Proposal, SnapshotMeta, StoredMembership, Term, TypeConfig};

type StateSnapshot = Snapshot<Term, NodeId, BasicNode, SnapshotData>;

/// The replicated state and its way to disk.
///
/// Invariants:
/// - `tree` holds exactly the commands of the entries up to `applied`.
/// - `tree` never has a feature level above the one that this node supports, so every command in it
///   was applied as all other nodes apply it. A node that does not support the next level stops
///   before the command that raises it, whoever proposed that, and opens and installs no state of
///   such a level. (tests: `a_node_stops_before_a_level_that_it_does_not_support`,
///   `a_state_of_a_level_that_a_node_does_not_support_is_not_taken`)
/// - Every change of the tree is in `state.redb`, in a capture at the checkpointer, or in the
///   tree's own list of dirty keys.
pub struct StateMachine<R: Runtime> {
    runtime: R,
    tree: Tree,
    applied: Option<LogId>,
    /// The last number of this node's run that was applied.
    own_applied: u64,
    installed: u64,
    membership: StoredMembership,
    /// The last applied entry at the last capture.
    captured: Option<LogId>,
    /// The bytes applied since the last delivery, counted as for the lag.
    weight: u64,
    /// The bytes applied since the node was opened.
    weight_applied: u64,
    /// `weight_applied` at the last capture.
    weight_captured: u64,
    settings: Arc<Settings>,
    store: StateStore<R::Disk>,
    log: Log<R>,
    checkpointer: Checkpointer,
    delivery: Arc<dyn Delivery>,
    shared: Arc<StateShared>,
    failure: Failure,
}

impl<R: Runtime> StateMachine<R> {
    /// Opens `state.redb` of a disk and creates it if there is none. Blocks.
    pub fn open(
        runtime: R,
        disk: &R::Disk,
        settings: Arc<Settings>,
        log: Log<R>,
        delivery: Arc<dyn Delivery>,
    ) -> Result<Self, StateError> {
        let failure = log.shared.failure.clone();
        let store = StateStore::open(disk.clone(), settings.state_cache_bytes)?;
        let (tree, meta) = store.restore()?;
        check_level(tree.level(), &settings)?;
        let checkpointer = Checkpointer::start(
            &runtime,
            store.clone(),
            log.clone(),
            meta.last_log_id,
            Arc::new(Lag::new(settings.lag_bytes)),
            failure.clone(),
        );
        let shared = Arc::new(StateShared::new(&tree, meta.last_log_id));
        Ok(Self {
            runtime,
            tree,
            applied: meta.last_log_id,
            own_applied: 0,
            installed: 0,
            membership: meta.last_membership,
            captured: meta.last_log_id,
            weight: 0,
            weight_applied: 0,
            weight_captured: 0,
            settings,
            store,
            log,
            checkpointer,
            delivery,
            shared,
            failure,
        })
    }

    pub(crate) fn shared(&self) -> Arc<StateShared> {
        self.shared.clone()
    }

    pub(crate) fn checkpointer(&self) -> Checkpointer {
        self.checkpointer.clone()
    }

    /// Applies one command. A panic would end openraft's task without a message, so it is caught
    /// here and becomes the node's failure.
    fn apply_command(&mut self, proposal: &Proposal) -> io::Result<Applied> {
        if let Operation::RaiseLevel { level } = proposal.command().operation
            && level == self.tree.level() + 1
        {
            self.supports(level)?;
        }
        let applied = applying::apply(&mut self.tree, proposal);
        let applied = applied.map_err(|panic| self.panicked("apply", panic.as_ref()))?;
        if applying::lost_a_race(&applied) {
            self.shared.keep_lost(proposal);
        }
        Ok(applied)
    }

    /// Applies and delivers one command on a thread that may block. Everything before it has been
    /// delivered.
    async fn apply_elsewhere(&mut self, proposal: &Proposal) -> io::Result<()> {
        // Nobody reads the tree in this place: readers have a handle of their own, and openraft
        // gives the state machine nothing else to do.
        let mut tree = std::mem::take(&mut self.tree);
        let (delivery, work) = (self.delivery.clone(), proposal.clone());
        let applying = self.runtime.spawn(ThreadRole::Reading, async move {
            let done = applying::whole(&mut tree, &work, &*delivery);
            (tree, done)
        });
        let (tree, done) = applying.await.map_err(io::Error::other)?;
        self.tree = tree;
        let lost = done.map_err(|(doing, panic)| self.panicked(doing, panic.as_ref()))?;
        if lost {
            self.shared.keep_lost(proposal);
        }
        Ok(())
    }

    /// The node fails if it does not support a feature level.
    fn supports(&self, level: u32) -> io::Result<()> {
        let checked = check_level(level, &self.settings);
        checked.map_err(|error| io::Error::other(self.failure.fail(error.to_string())))
    }

    fn panicked(&self, doing: &str, panic: &(dyn std::any::Any + Send)) -> io::Error {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message")
            .replace('\n', " ");
        let at = self.applied.map_or(0, |id| id.index + 1);
        io::Error::other(self.failure.fail(format!(
            "{doing} of log entry {at} or of one soon after it panicked ({message}): this is a bug, report it with the log folder"
        )))
    }

    fn deliver(
        &mut self,
        batch: &mut Vec<Applied>,
        responders: &mut Vec<ApplyResponder<TypeConfig<R>>>,
    ) -> io::Result<()> {
        if !batch.is_empty() {
            let applied = std::mem::replace(batch, Vec::with_capacity(batch.len()));
            let delivered = applying::deliver(&*self.delivery, &mut self.tree, applied);
            delivered.map_err(|panic| self.panicked("delivery", panic.as_ref()))?;
        }
        self.weight_applied = self
            .checkpointer
            .lag
            .applied(std::mem::take(&mut self.weight));
        self.advance();
        for responder in responders.drain(..) {
            responder.send(());
        }
        if let Some(applied) = self.applied {
            self.log.applied(applied.index);
            let captured = self.captured.map_or(0, |id| id.index);
            let entries = applied.index.saturating_sub(captured);
            let bytes = self.weight_applied - self.weight_captured;
            if entries >= self.settings.checkpoint_entries || self.checkpointer.lag.is_due(bytes) {
                self.shared.due.notify_one();
            }
        }
        Ok(())
    }

    /// Lets a snapshot's tree take the place of the present one, and tells the delivery. Returns
    /// the old tree.
    fn replace_tree(&mut self, fresh: Tree) -> io::Result<Tree> {
        let before = self.tree.reader().view();
        let after = fresh.reader().view();
        let mut fresh = Some(fresh);
        let mut old = None;
        let (tree, delivery) = (&mut self.tree, &self.delivery);
        let delivered = catch_unwind(AssertUnwindSafe(|| {
            delivery.installed(&before, &after, &mut || {
                let fresh = fresh.take().expect("an install is published once");
                old = Some(tree.replace(fresh));
            });
            old.take().expect("an install is published")
        }));
        delivered.map_err(|panic| self.panicked("installing a snapshot", panic.as_ref()))
    }

    /// Begins to take a snapshot of another node. At most one may be under way. Blocks.
    pub fn incoming(&self) -> Result<Incoming<R::Disk>, StateError> {
        Incoming::begin(self.folder())
    }

    /// Where snapshots of other nodes arrive.
    pub(crate) fn folder(&self) -> Folder<R::Disk> {
        self.store.folder()
    }

    /// Notes the number of an operation of this run.
    fn note_own(&mut self, proposal: &Proposal) {
        if let Some(number) = self.shared.own_number(proposal) {
            self.own_applied = number;
        }
    }

    fn advance(&self) {
        let progress = Progress {
            applied: self.applied,
            own: self.own_applied,
            zxid: self.tree.last_zxid(),
            installed: self.installed,
        };
        self.shared.advance(progress, self.tree.group());
    }

    /// Captures the changes and queues the capture. `None` if nothing was applied since the last
    /// one.
    async fn capture(&mut self) -> Option<Pending> {
        if self.applied == self.captured {
            return None;
        }
        self.captured = self.applied;
        self.weight_captured = self.weight_applied;
        let capture = self.tree.capture();
        let membership = self.membership.clone();
        Some(
            self.checkpointer
                .submit(capture, self.applied, self.weight_applied, membership)
                .await,
        )
    }

    /// Reads `state.redb` on the thread that may block.
    async fn stored(&self) -> io::Result<(SnapshotMeta, SnapshotData)> {
        stored(&self.runtime, &self.store).await
    }
}

fn check_level(used: u32, settings: &Settings) -> Result<(), StateError> {
    let known = settings.feature_level;
    match used > known {
        true => Err(StateError::Level { used, known }),
        false => Ok(()),
    }
}

async fn stored<R: Runtime>(
    runtime: &R,
    store: &StateStore<R::Disk>,
) -> io::Result<(SnapshotMeta, SnapshotData)> {
    let store = store.clone();
    let read = runtime.spawn(ThreadRole::Checkpoint, async move {
        let view = store.read()?;
        Ok::<_, StateError>((view.meta()?, SnapshotData::of_view(view)))
    });
    Ok(read.await.map_err(io::Error::other)??)
}

impl<R: Runtime> RaftStateMachine<TypeConfig<R>> for StateMachine<R> {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = CheckpointBuilder<R>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm:
            Stream<Item = Result<EntryResponder<TypeConfig<R>>, io::Error>> + Unpin + OptionalSend,
    {
        let limit = self.settings.apply_commands;
        let mut batch = Vec::new();
        let mut responders = Vec::new();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            match &entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(proposal) if proposal.is_void(&entry.log_id) => {}
                EntryPayload::Normal(proposal)
                    if self.tree.reach(proposal.command()) > applying::HEAVY =>
                {
                    self.deliver(&mut batch, &mut responders)?;
                    self.note_own(proposal);
                    self.apply_elsewhere(proposal).await?;
                    self.weight += weight(proposal.encoded().len());
                }
                EntryPayload::Normal(proposal) => {
                    self.note_own(proposal);
                    let applied = self.apply_command(proposal)?;
                    batch.push(applied);
                    self.weight += weight(proposal.encoded().len());
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                }
            }
            self.applied = Some(entry.log_id);
            responders.extend(responder);
            if batch.len() >= limit {
                self.deliver(&mut batch, &mut responders)?;
                yield_now().await;
            }
        }
        self.deliver(&mut batch, &mut responders)
    }

    /// Captures and queues at once: if openraft drops the builder, the capture is still written.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Self::SnapshotBuilder> {
        let in_work = self.checkpointer.durable.get() != self.captured;
        if in_work && !force {
            return None;
        }
        let pending = self.capture().await;
        Some(CheckpointBuilder {
            runtime: self.runtime.clone(),
            store: self.store.clone(),
            pending,
        })
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        let pending = self.capture().await;
        CheckpointBuilder {
            runtime: self.runtime.clone(),
            store: self.store.clone(),
            pending,
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let installed = self.checkpointer.install(meta.clone(), snapshot).await;
        let fresh = installed.map_err(io::Error::other)?;
        self.supports(fresh.level())?;
        self.applied = meta.last_log_id;
        self.captured = meta.last_log_id;
        self.weight_captured = self.weight_applied;
        self.membership = meta.last_membership.clone();
        self.installed += 1;
        let old = self.replace_tree(fresh)?;
        // The raft thread has no time for all of its znodes.
        let drop_old = async move { drop(old) };
        let runtime = &self.runtime;
        runtime.spawn(ThreadRole::Checkpoint, drop_old).detach();
        self.advance();
        if let Some(applied) = self.applied {
            self.log.applied(applied.index);
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<StateSnapshot>, io::Error> {
        let (meta, snapshot) = self.stored().await?;
        Ok(meta
            .last_log_id
            .is_some()
            .then_some(Snapshot { meta, snapshot }))
    }
}

/// Waits for a checkpoint on behalf of openraft.
pub struct CheckpointBuilder<R: Runtime> {
    runtime: R,
    store: StateStore<R::Disk>,
    /// The checkpoint; `None` if nothing was applied since the last one, which then is the answer.
    pending: Option<Pending>,
}

impl<R: Runtime> RaftSnapshotBuilder<TypeConfig<R>> for CheckpointBuilder<R> {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<StateSnapshot, io::Error> {
        let (meta, snapshot) = match self.pending.take() {
            Some(pending) => pending.finished().await.map_err(io::Error::other)?,
            None => stored(&self.runtime, &self.store).await?,
        };
        Ok(Snapshot { meta, snapshot })
    }
}

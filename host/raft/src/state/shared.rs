//! What other tasks see of the state machine.

use std::sync::{Arc, OnceLock};

use innkeeper_runtime::Latest;
use innkeeper_tree::group::GroupInfo;
use innkeeper_tree::{Reader, Tree, Zxid};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::{LogId, NodeId, Proposal};

/// The greatest number of lost races that are kept for the proposer. Older ones are dropped, which
/// only delays its help for the losers.
const LOST_RACES: usize = 1024;

/// The parts of the state machine that other tasks use.
pub(crate) struct StateShared {
    /// The tree's reader, which stays the same when a snapshot replaces the state.
    reader: Reader,
    progress: Mutex<Progress>,
    /// The group that the applied entries have founded.
    pub(crate) group: Latest<Option<Arc<GroupInfo>>>,
    /// Told after each change of the progress, for the proposer.
    pub(crate) advanced: Notify,
    /// This node and its run, once they are known.
    own: OnceLock<(NodeId, u64)>,
    /// A checkpoint is due.
    pub(crate) due: Notify,
    /// Commands that lost a race in apply: a transaction with a conflict, or a session's write
    /// under a changed policy.
    lost: Mutex<Vec<Proposal>>,
}

/// How far this node has applied the log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// The last applied and published entry.
    pub(crate) applied: Option<LogId>,
    /// The number of the last operation of this node's run among the applied entries; 0 before the
    /// first.
    pub(crate) own: u64,
    /// The last published zxid.
    pub(crate) zxid: Zxid,
    /// How many snapshots this node has installed. What it had sent before the last one may be in
    /// there, and it cannot tell.
    pub(crate) installed: u64,
}

impl StateShared {
    /// The parts of a state machine that has applied the log up to `applied`.
    pub(super) fn new(tree: &Tree, applied: Option<LogId>) -> Self {
        Self {
            reader: tree.reader(),
            progress: Mutex::new(Progress {
                applied,
                own: 0,
                zxid: tree.last_zxid(),
                installed: 0,
            }),
            group: Latest::new(tree.group().cloned()),
            advanced: Notify::new(),
            own: OnceLock::new(),
            due: Notify::new(),
            lost: Mutex::new(Vec::new()),
        }
    }

    /// Names this node and its run, before anything is proposed.
    pub(crate) fn set_own(&self, node: NodeId, run: u64) {
        let _ = self.own.set((node, run));
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.progress.lock()
    }

    pub(crate) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    pub(crate) fn applied(&self) -> Option<LogId> {
        self.progress.lock().applied
    }

    /// The number of an operation of this run; `None` if it is of another one.
    pub(super) fn own_number(&self, proposal: &Proposal) -> Option<u64> {
        let (origin, (node, run)) = (proposal.origin()?, self.own.get()?);
        ((origin.node, origin.run) == (*node, *run)).then_some(origin.number)
    }

    /// Notes what is applied and published, and the group in it.
    pub(super) fn advance(&self, progress: Progress, group: Option<&Arc<GroupInfo>>) {
        *self.progress.lock() = progress;
        self.group.update(|known| {
            let is_same = match (known.as_ref(), group) {
                (Some(known), Some(group)) => Arc::ptr_eq(known, group),
                (known, group) => known.is_none() && group.is_none(),
            };
            if !is_same {
                *known = group.cloned();
            }
            !is_same
        });
        self.advanced.notify_one();
    }

    /// Keeps a command that lost a race, for the proposer.
    pub(super) fn keep_lost(&self, proposal: &Proposal) {
        let mut lost = self.lost.lock();
        if lost.len() < LOST_RACES {
            lost.push(proposal.clone());
        }
    }

    pub(crate) fn take_lost(&self) -> Vec<Proposal> {
        std::mem::take(&mut *self.lost.lock())
    }
}

//! The writer's side of the state.
//!
//! 1. The state machine applies each command of a batch: [`Tree::apply`]. Views do not see it.
//! 2. It publishes the batch: [`Tree::publish`]. From here on new views see it.
//! 3. From time to time it captures what changed since the last capture, for a checkpoint:
//!    [`Tree::capture`]. [`Tree::restore`] makes a tree of a checkpoint.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use innkeeper_proto::Acl;

use crate::acl;
use crate::applied::Applied;
use crate::bindings::Bindings;
use crate::command::Command;
use crate::horizon::Horizon;
use crate::modules::Modules;
use crate::path;
use crate::queue::QueueKey;
use crate::quota::Quotas;
use crate::store::{Body, Data, Epoch, Nodes, Store};
use crate::view::Reader;
use crate::{Digest, Zxid};

/// The state, as the one who changes it holds it.
///
/// - `published` is at `zxid` but for what was applied since the last publish.
/// - Everything in it is a function of the commands applied, and of nothing else.
pub struct Tree {
    pub(crate) store: Arc<Store>,
    pub(crate) published: Arc<ArcSwap<Epoch>>,
    pub(crate) horizon: Horizon,
    pub(crate) zxid: Zxid,
    pub(crate) time_ms: u64,
    pub(crate) hash: u64,
    pub(crate) level: u32,
    pub(crate) bindings: Arc<Bindings>,
    pub(crate) modules: Arc<Modules>,
    /// Told from the znodes when a checkpoint is restored.
    pub(crate) quotas: Quotas,
    /// Keys of what changed since the last capture, beside znodes and sessions.
    pub(crate) dirty_bindings: BTreeSet<Arc<str>>,
    pub(crate) dirty_modules: BTreeSet<Digest>,
    pub(crate) dirty_queues: BTreeSet<(Arc<str>, QueueKey)>,
    /// The zxid of the last capture, or of the checkpoint that the tree was made of.
    pub(crate) captured: Option<Zxid>,
    #[cfg(innkeeper_break = "ack-in-transaction")]
    pub(crate) outside_acks: Vec<(String, Vec<crate::transaction::Ack>)>,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    /// The state before the first command: `/` and ZooKeeper's own znodes, as ZooKeeper
    /// makes them.
    pub fn new() -> Tree {
        let mut nodes = Nodes::new(genesis(acl::open(), 0));
        let own = [
            (path::ZOOKEEPER, genesis(acl::open(), 0)),
            (path::QUOTA, genesis(acl::open(), 0)),
            (path::CONFIG, genesis(acl::read_only(), -1)),
        ];
        for (path, body) in own {
            let slot = nodes.restore(path, 0, body).expect("parents come first");
            nodes.mark_dirty(slot);
        }
        Tree::with(
            Store::new(nodes),
            Numbers::default(),
            Bindings::default(),
            Modules::default(),
        )
    }

    pub(crate) fn with(
        store: Store,
        numbers: Numbers,
        bindings: Bindings,
        modules: Modules,
    ) -> Tree {
        let Numbers {
            zxid,
            time_ms,
            hash,
            level,
        } = numbers;
        let (store, bindings, modules) = (Arc::new(store), Arc::new(bindings), Arc::new(modules));
        let epoch = Epoch {
            znodes: store.nodes.read().len(),
            zxid,
            time_ms,
            level,
            bindings: bindings.clone(),
            modules: modules.clone(),
            store: store.clone(),
        };
        Tree {
            store,
            published: Arc::new(ArcSwap::from_pointee(epoch)),
            horizon: Horizon::new(zxid),
            zxid,
            time_ms,
            hash,
            level,
            bindings,
            modules,
            quotas: Quotas::default(),
            dirty_bindings: BTreeSet::new(),
            dirty_modules: BTreeSet::new(),
            dirty_queues: BTreeSet::new(),
            captured: None,
            #[cfg(innkeeper_break = "ack-in-transaction")]
            outside_acks: Vec::new(),
        }
    }

    /// Applies a command. Total: a client's mistake is an answer. Takes exactly one zxid.
    /// Views do not see it before [`Tree::publish`].
    pub fn apply(&mut self, command: &Command) -> Applied {
        self.run(command)
    }

    /// Lets new views see all that was applied.
    pub fn publish(&mut self) {
        if self.horizon.published() == self.zxid.0 {
            return;
        }
        let epoch = Arc::new(Epoch {
            znodes: self.store.nodes.read().len(),
            zxid: self.zxid,
            time_ms: self.time_ms,
            level: self.level,
            bindings: self.bindings.clone(),
            modules: self.modules.clone(),
            store: self.store.clone(),
        });
        let replaced = self.published.swap(epoch);
        if self.horizon.advance(replaced, self.zxid) {
            self.store.nodes.write().unhold();
        }
    }

    /// Frees what views left behind that have gone, looking at no more than `budget` znodes,
    /// and says how many it looked at. Commands do this on their way; it is for idle times.
    pub fn reclaim(&mut self, budget: usize) -> usize {
        let mut nodes = self.store.nodes.write();
        if self.horizon.release() {
            nodes.unhold();
        }
        nodes.reclaim(budget, &self.horizon)
    }

    /// How much there is of everything.
    pub fn figures(&self) -> Stats {
        let nodes = self.store.nodes.read();
        Stats {
            znodes: nodes.len(),
            old_versions: nodes.old_versions(),
            sessions: self.store.sessions.read().len(),
        }
    }

    /// What hands out views; any number of them, for any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(self.published.clone())
    }

    /// The zxid of the last command applied.
    pub fn last_zxid(&self) -> Zxid {
        self.zxid
    }

    /// The state's time: the greatest stamp of the commands applied, in milliseconds since 1970.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The rolling hash over all changes: equal on all nodes at equal zxids.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The feature level that holds.
    pub fn level(&self) -> u32 {
        self.level
    }
}

/// How much there is of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Znodes that exist.
    pub znodes: usize,
    /// Versions that are kept for open views, or not freed yet.
    pub old_versions: usize,
    /// Sessions that are alive.
    pub sessions: usize,
}

/// The numbers of the state as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) zxid: Zxid,
    pub(crate) time_ms: u64,
    pub(crate) hash: u64,
    pub(crate) level: u32,
}

/// A znode that ZooKeeper makes with its tree: its children count as present, but not as created.
fn genesis(acl: Vec<Acl>, aversion: i32) -> Body {
    Body {
        data: Data::new(Some(&Bytes::new())),
        acl: acl.into(),
        czxid: 0,
        mzxid: 0,
        pzxid: 0,
        ctime: 0,
        mtime: 0,
        owner: 0,
        version: 0,
        aversion,
        creates: 0,
        num_children: 0,
    }
}

//! The writer's side of the state.
//!
//! 1. The state machine applies each command of a batch: [`Tree::apply`]. No view sees it yet.
//! 2. The state machine publishes the batch: [`Tree::publish`]. New views see it from now on.
//! 3. For a checkpoint the state machine captures the changes since the last capture:
//!    [`Tree::capture`]. [`Tree::restore`] builds a tree from a checkpoint.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use innkeeper_proto::Acl;

use crate::acl;
use crate::applied::Applied;
use crate::bindings::Bindings;
use crate::command::Command;
use crate::group::GroupInfo;
use crate::horizon::Horizon;
use crate::modules::Modules;
use crate::path;
use crate::queue::QueueKey;
use crate::quota::Quotas;
use crate::store::{Body, Data, Epoch, Nodes, Store};
use crate::view::Reader;
use crate::{Digest, Zxid};

/// The state, for its one writer.
///
/// - `published` shows the state at the last publish; commands applied since are not in it.
/// - The state depends on the applied commands and on nothing else.
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
    pub(crate) group: Option<Arc<GroupInfo>>,
    /// Computed from the znodes when a checkpoint is restored.
    pub(crate) quotas: Quotas,
    /// Keys of the bindings that changed since the last capture. The sets below hold the same for
    /// modules and queues; znodes and sessions keep lists of their own.
    pub(crate) dirty_bindings: BTreeSet<Arc<str>>,
    pub(crate) dirty_modules: BTreeSet<Digest>,
    pub(crate) dirty_queues: BTreeSet<(Arc<str>, QueueKey)>,
    pub(crate) is_group_dirty: bool,
    /// The zxid of the last capture, or of the checkpoint that the tree was restored from.
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
    /// The state before the first command: `/` and the znodes that ZooKeeper itself creates.
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
            None,
        )
    }

    pub(crate) fn with(
        store: Store,
        numbers: Numbers,
        bindings: Bindings,
        modules: Modules,
        group: Option<GroupInfo>,
    ) -> Tree {
        let Numbers {
            zxid,
            time_ms,
            hash,
            level,
        } = numbers;
        let group = group.map(Arc::new);
        let (store, bindings, modules) = (Arc::new(store), Arc::new(bindings), Arc::new(modules));
        let epoch = Epoch {
            znodes: store.nodes.read().len(),
            zxid,
            time_ms,
            level,
            bindings: bindings.clone(),
            modules: modules.clone(),
            group: group.clone(),
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
            group,
            quotas: Quotas::default(),
            dirty_bindings: BTreeSet::new(),
            dirty_modules: BTreeSet::new(),
            dirty_queues: BTreeSet::new(),
            is_group_dirty: false,
            captured: None,
            #[cfg(innkeeper_break = "ack-in-transaction")]
            outside_acks: Vec::new(),
        }
    }

    /// Applies a command. It never fails: a client's mistake is an answer with an error code.
    /// Each command takes exactly one zxid. Views show its effect after [`Tree::publish`].
    pub fn apply(&mut self, command: &Command) -> Applied {
        self.run(command)
    }

    /// Makes all applied commands visible to new views.
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
            group: self.group.clone(),
            store: self.store.clone(),
        });
        let replaced = self.published.swap(epoch);
        if self.horizon.advance(replaced, self.zxid) {
            self.store.nodes.write().unhold();
        }
    }

    /// The state of another tree takes the place of this one, for every reader at once. Views keep
    /// what they show. Returns the old state; dropping it takes time in proportion to its znodes.
    /// (test: `a_reader_goes_on_with_the_state_that_took_the_place`)
    pub fn replace(&mut self, mut new: Tree) -> Tree {
        // Readers hold the place where this tree publishes, so the new one publishes there now.
        let epoch = new.published.load_full();
        std::mem::swap(&mut self.published, &mut new.published);
        let replaced = new.published.swap(epoch);
        self.published.store(replaced);
        std::mem::replace(self, new)
    }

    /// Frees old versions that only closed views could see. It looks at `budget` znodes at most
    /// and returns how many it looked at. Each command frees some as well; this call is for times
    /// without commands.
    pub fn reclaim(&mut self, budget: usize) -> usize {
        let mut nodes = self.store.nodes.write();
        if self.horizon.release() {
            nodes.unhold();
        }
        nodes.reclaim(budget, &self.horizon)
    }

    /// The numbers of znodes, old versions and sessions.
    pub fn stats(&self) -> Stats {
        let nodes = self.store.nodes.read();
        Stats {
            znodes: nodes.len(),
            old_versions: nodes.old_versions(),
            sessions: self.store.sessions.read().len(),
        }
    }

    /// A reader, which gives out views. There may be many readers, on any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(self.published.clone())
    }

    /// The zxid of the last command applied.
    pub fn last_zxid(&self) -> Zxid {
        self.zxid
    }

    /// The state's time in milliseconds since 1970: the greatest time of all applied commands.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The rolling hash over all changes: equal on all nodes at equal zxids.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The feature level in force: which kinds of commands all members of the group understand.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// The group, once it is founded; a node alone has none.
    pub fn group(&self) -> Option<&Arc<GroupInfo>> {
        self.group.as_ref()
    }
}

/// How many znodes, old versions and sessions the state holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Znodes that exist.
    pub znodes: usize,
    /// Old versions of znodes that an open view needs, or that are not freed yet.
    pub old_versions: usize,
    /// Live sessions.
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

/// A znode that exists before the first command. Its children are not counted as created in its
/// cversion.
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

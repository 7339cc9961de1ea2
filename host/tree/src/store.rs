//! The store, which the writer changes while views read it: znodes, sessions and queues. Each has a
//! lock, which is held for one znode, one write, or a short run of them.

mod index;
mod lookup;
mod node;
mod nodes;
mod reclaim;
mod slab;

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use innkeeper_proto::Stat;
use parking_lot::{Mutex, RwLock};

pub(crate) use node::{Body, Data};
pub(crate) use nodes::{Dirty, Nodes};

use crate::acl::AclRef;
use crate::bindings::Bindings;
use crate::command::Sweep;
use crate::group::GroupInfo;
use crate::modules::Modules;
use crate::owner::Owner;
use crate::queue::{Queue, QueueEntry};
use crate::session::{SessionInfo, Sessions};
use crate::znode::{Children, Znode};
use crate::{SessionId, Zxid};

/// How many znodes a listing visits before it gives the lock back for a moment.
const RUN: usize = 128;

/// The rolling hash is kept at each multiple of this zxid, for a comparison with other nodes, as in
/// ZooKeeper.
const DIGEST_EVERY: u64 = 128;

/// How many rolling hashes are kept.
const DIGESTS: usize = 1024;

/// The state at one published zxid, to which views refer. It holds the things that are small enough
/// to be copied when they change, and a reference to the store.
pub(crate) struct Epoch {
    pub(crate) zxid: Zxid,
    pub(crate) time_ms: u64,
    pub(crate) level: u32,
    pub(crate) bindings: Arc<Bindings>,
    pub(crate) modules: Arc<Modules>,
    pub(crate) group: Option<Arc<GroupInfo>>,
    pub(crate) store: Arc<Store>,
    /// The number of znodes at this zxid.
    pub(crate) znodes: usize,
}

/// The parts that views and the writer share.
///
/// Lock order: nodes, sessions, queues. A view takes one lock at a time.
pub(crate) struct Store {
    pub(crate) nodes: RwLock<Nodes>,
    pub(crate) sessions: RwLock<Sessions>,
    pub(crate) queues: RwLock<BTreeMap<Arc<str>, Queue>>,
    /// The rolling hash at the last multiples of [`DIGEST_EVERY`], oldest first.
    digests: Mutex<VecDeque<(Zxid, u64)>>,
    /// How many places of children listings and scans have visited.
    looked_at: AtomicU64,
}

impl Store {
    pub(crate) fn new(nodes: Nodes) -> Store {
        Store {
            nodes: RwLock::new(nodes),
            sessions: RwLock::new(Sessions::default()),
            queues: RwLock::new(BTreeMap::new()),
            digests: Mutex::default(),
            looked_at: AtomicU64::new(0),
        }
    }

    /// Keeps the rolling hash if the zxid is a multiple of [`DIGEST_EVERY`].
    pub(crate) fn note_digest(&self, zxid: Zxid, hash: u64) {
        if zxid.0 == 0 || !zxid.0.is_multiple_of(DIGEST_EVERY) {
            return;
        }
        let mut digests = self.digests.lock();
        if digests.len() == DIGESTS {
            digests.pop_front();
        }
        digests.push_back((zxid, hash));
    }

    pub(crate) fn digest_at(&self, zxid: Zxid) -> Option<u64> {
        let digests = self.digests.lock();
        let place = digests.binary_search_by_key(&zxid, |(at, _)| *at).ok()?;
        Some(digests[place].1)
    }

    pub(crate) fn last_digest(&self) -> Option<(Zxid, u64)> {
        self.digests.lock().back().copied()
    }

    pub(crate) fn digests(&self) -> Vec<(Zxid, u64)> {
        self.digests.lock().iter().copied().collect()
    }

    pub(crate) fn get(&self, path: &str, at: Zxid) -> Option<Znode> {
        let nodes = self.nodes.read();
        let slot = nodes.find_any(path)?;
        nodes.body_at(slot, at.0).map(znode)
    }

    pub(crate) fn stat(&self, path: &str, at: Zxid) -> Option<(Stat, AclRef)> {
        let nodes = self.nodes.read();
        let slot = nodes.find_any(path)?;
        nodes
            .body_at(slot, at.0)
            .map(|body| (body.stat(), body.acl.clone()))
    }

    pub(crate) fn children(&self, path: &str, at: Zxid) -> Option<Children> {
        let (slot, stat, acl) = {
            let nodes = self.nodes.read();
            let slot = nodes.find_any(path)?;
            let body = nodes.body_at(slot, at.0)?;
            (slot, body.stat(), body.acl.clone())
        };
        let names = self
            .children_of(slot, at)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        Some(Children { names, stat, acl })
    }

    /// Names and slots of a visible znode's visible children, in byte order of the names.
    fn children_of(&self, slot: u32, at: Zxid) -> Vec<(String, u32)> {
        let mut found: Vec<(String, u32)> = Vec::new();
        self.each_child(slot, |nodes, child| {
            if nodes.body_at(child, at.0).is_some() {
                found.push((name_of(nodes, child).to_owned(), child));
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(crate) fn owner(&self, path: &str, at: Zxid) -> Option<Owner> {
        let nodes = self.nodes.read();
        let slot = nodes.find_any(path)?;
        nodes.body_at(slot, at.0).map(Body::owner)
    }

    pub(crate) fn descendant_count(&self, path: &str, at: Zxid) -> Option<usize> {
        let (slot, children) = {
            let nodes = self.nodes.read();
            let slot = nodes.find_any(path)?;
            (slot, nodes.body_at(slot, at.0)?.num_children)
        };
        let mut count = children as usize;
        let mut stack = Vec::new();
        if children > 0 {
            stack.push(slot);
        }
        // Each znode with children adds the number of its children.
        while let Some(slot) = stack.pop() {
            let mut inner: Vec<(u32, usize)> = Vec::new();
            self.each_child(slot, |nodes, child| {
                let children = nodes
                    .body_at(child, at.0)
                    .map_or(0, |body| body.num_children);
                if children > 0 {
                    inner.push((child, children as usize));
                }
            });
            inner.sort_unstable();
            inner.dedup();
            for (child, children) in inner {
                count += children;
                stack.push(child);
            }
        }
        Some(count)
    }

    /// Shows all children of a visible znode, tombstones included. It gives the lock back between
    /// runs.
    fn each_child(&self, slot: u32, mut see: impl FnMut(&Nodes, u32)) {
        let mut end = usize::MAX;
        while end > 0 {
            end = self.children_before(slot, end, &mut see);
        }
    }

    /// Shows one run of a visible znode's children, tombstones included: the last ones before the
    /// place `end`. It takes the lock once. Returns the end of the next run; zero after the last.
    ///
    /// The places are visited from the last to the first. A child that moves between two runs moves
    /// from the end to a lower place, so it is shown at least once.
    fn children_before(&self, slot: u32, end: usize, see: &mut impl FnMut(&Nodes, u32)) -> usize {
        let nodes = self.nodes.read();
        let children = nodes.children(slot);
        let end = end.min(children.len());
        let begin = end.saturating_sub(RUN);
        self.looked_at
            .fetch_add((end - begin) as u64, Ordering::Relaxed);
        for child in children[begin..end].iter().rev() {
            see(&nodes, *child);
        }
        begin
    }

    /// How many places of children listings and scans have visited.
    pub(crate) fn looked_at(&self) -> u64 {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// The slot of a znode that exists at a zxid.
    pub(crate) fn slot_of(&self, path: &str, at: Zxid) -> Option<u32> {
        let nodes = self.nodes.read();
        let slot = nodes.find_any(path)?;
        nodes.body_at(slot, at.0).map(|_| slot)
    }

    /// A znode by its slot. The caller must hold a view that shows it.
    pub(crate) fn znode_at(&self, slot: u32, at: Zxid) -> Option<Znode> {
        self.nodes.read().body_at(slot, at.0).map(znode)
    }

    /// Shows the names and slots of the visible children of one run, as
    /// [`Store::children_before`] does. Returns the end of the next run, and how many places were
    /// visited.
    pub(crate) fn names_before(
        &self,
        slot: u32,
        at: Zxid,
        end: usize,
        see: &mut dyn FnMut(&str, u32),
    ) -> (usize, usize) {
        let mut looked_at = 0;
        let next = self.children_before(slot, end, &mut |nodes, child| {
            looked_at += 1;
            if nodes.body_at(child, at.0).is_some() {
                see(name_of(nodes, child), child);
            }
        });
        (next, looked_at)
    }

    pub(crate) fn scan(
        &self,
        root: &str,
        at: Zxid,
        visit: &mut dyn FnMut(&str, Znode) -> ControlFlow<()>,
    ) -> bool {
        let found = {
            let nodes = self.nodes.read();
            nodes
                .find_any(root)
                .and_then(|slot| Some((slot, znode(nodes.body_at(slot, at.0)?))))
        };
        let Some((slot, znode_of_root)) = found else {
            return false;
        };
        let has_children = znode_of_root.stat.num_children > 0;
        if visit(root, znode_of_root).is_break() || !has_children {
            return true;
        }
        // A znode keeps its slot while a view shows it, so slots stay valid without the lock.
        let mut path = if root == crate::path::ROOT {
            String::new()
        } else {
            root.to_owned()
        };
        let mut stack = vec![(path.len(), self.children_of(slot, at).into_iter())];
        while let Some((len, children)) = stack.last_mut() {
            let len = *len;
            let Some((name, child)) = children.next() else {
                stack.pop();
                continue;
            };
            let Some(znode) = self.nodes.read().body_at(child, at.0).map(znode) else {
                continue;
            };
            path.truncate(len);
            path.push('/');
            path.push_str(&name);
            let has_children = znode.stat.num_children > 0;
            if visit(&path, znode).is_break() {
                return true;
            }
            if has_children {
                stack.push((path.len(), self.children_of(child, at).into_iter()));
            }
        }
        true
    }

    pub(crate) fn session(&self, session: SessionId, at: Zxid) -> Option<SessionInfo> {
        self.sessions.read().at(session, at)
    }

    pub(crate) fn sessions(&self, at: Zxid) -> Vec<SessionInfo> {
        self.sessions.read().all_at(at)
    }

    pub(crate) fn ephemerals(&self, session: SessionId, at: Zxid) -> Vec<String> {
        let slots = self.sessions.read().ephemerals_at(session, at);
        let nodes = self.nodes.read();
        let mut paths: Vec<String> = slots
            .into_iter()
            .filter(|slot| {
                nodes
                    .body_at(*slot, at.0)
                    .is_some_and(|body| body.owner == session.0 as i64)
            })
            .map(|slot| nodes.path_of(slot))
            .collect();
        paths.sort_unstable();
        paths
    }

    /// The containers and znodes with a time to live for which `is_wanted` returns true.
    pub(crate) fn swept(
        &self,
        at: Zxid,
        limit: usize,
        is_wanted: &dyn Fn(&Body) -> bool,
    ) -> Vec<Sweep> {
        let mut found = Vec::new();
        let mut from = 0;
        loop {
            let nodes = self.nodes.read();
            let run: Vec<u32> = nodes.swept_from(from).take(RUN).collect();
            let Some(last) = run.last() else {
                return found;
            };
            from = last + 1;
            for slot in run {
                if let Some(body) = nodes.body_at(slot, at.0).filter(|body| is_wanted(body)) {
                    found.push(Sweep {
                        path: nodes.path_of(slot),
                        mzxid: Zxid(body.mzxid),
                        pzxid: Zxid(body.pzxid),
                    });
                    if found.len() >= limit {
                        return found;
                    }
                }
            }
        }
    }

    /// The entries whose events are in the published state.
    pub(crate) fn queue(
        &self,
        binding: &str,
        limit: usize,
        published: impl FnOnce() -> Zxid,
    ) -> Vec<QueueEntry> {
        let mut entries = match self.queues.read().get(binding) {
            Some(queue) => queue.take(limit),
            None => return Vec::new(),
        };
        // An entry with an event of a command that is not published must wait. Otherwise its
        // consumer could acknowledge an event that no view shows yet.
        let published = published();
        entries.retain(|entry| entry.zxid() <= published);
        entries
    }

    pub(crate) fn queue_len(&self, binding: &str) -> usize {
        let queues = self.queues.read();
        queues.get(binding).map_or(0, |queue| queue.len())
    }
}

fn name_of(nodes: &Nodes, slot: u32) -> &str {
    std::str::from_utf8(nodes.name(slot)).expect("names are pieces of valid paths")
}

fn znode(body: &Body) -> Znode {
    Znode {
        data: body.data.to_bytes(),
        stat: body.stat(),
        acl: body.acl.clone(),
    }
}

//! The znodes: a slab of nodes with their versions, changed command by command.
//!
//! 1. A command changes nodes by [`Nodes::touch`], [`Nodes::create`] and [`Nodes::delete`]. The
//!    first change of a node in a command sets its version before the command aside.
//! 2. [`Nodes::commit`] keeps the new versions, drops the versions set aside that no view can see,
//!    and marks the nodes for the next capture. If the command failed, [`Nodes::rollback`] puts the
//!    versions back.
//! 3. [`Nodes::reclaim`] is called with each command. It frees a few versions that were kept for
//!    views that are closed now.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::index::{Index, PathHash};
use super::node::{Body, NONE, Node, OldVersion, Version};
use super::slab::Slab;
use crate::acl::Interner;
use crate::horizon::Horizon;
use crate::owner::{Owner, OwnerChange};
use crate::path::ROOT as ROOT_PATH;

/// The root's slot.
pub(super) const ROOT: u32 = 0;

/// The number of the first capture.
const FIRST_CAPTURE: u32 = 1;

/// All znodes, in all versions that a view can see.
///
/// - The index holds each node with a slot, tombstones included.
/// - A version is kept while the present command may roll back to it, and while a view that is
///   open, or that could be taken now, may see it. `reclaim` frees it some time after that.
/// - A tombstone keeps its slot while it has older versions or children, which are tombstones, too.
pub(crate) struct Nodes {
    pub(super) nodes: Slab<Node>,
    /// The newest version of each node, under the node's slot.
    pub(super) current: Slab<Version>,
    pub(super) old: Slab<OldVersion>,
    pub(super) index: Index,
    /// Interned ACLs.
    pub(crate) acls: Interner,
    touched: Vec<u32>,
    /// Nodes to prune after their changes are published. The nodes in `held` wait until a view is
    /// closed. Each node is at most once in one of the two.
    pub(super) pending: VecDeque<u32>,
    pub(super) held: VecDeque<u32>,
    /// The slots that the capture of the number before writes.
    dirty: Vec<u32>,
    capture: u32,
    deleted: Vec<Arc<str>>,
    deleted_before: usize,
    /// Slots of the present containers and znodes with a time to live.
    pub(super) swept: BTreeSet<u32>,
    pub(super) live: usize,
    /// Bytes of the live nodes' paths and data.
    pub(super) bytes: u64,
}

/// The changed slots and the deleted paths for a capture. One may be there twice, or although its
/// change was undone.
pub(crate) struct Dirty {
    pub(crate) changed: Vec<u32>,
    pub(crate) deleted: Vec<Arc<str>>,
}

impl Nodes {
    /// A tree that has only a root.
    pub(crate) fn new(root: Body) -> Nodes {
        let mut nodes = Slab::new();
        let mut current = Slab::new();
        let bytes = (ROOT_PATH.len() + root.data.len()) as u64;
        let slot = nodes.insert(Node {
            parent: ROOT,
            marks: FIRST_CAPTURE << 1,
            ..Node::vacant()
        });
        current.insert(Version {
            from: 0,
            body: Some(root),
        });
        Nodes {
            nodes,
            current,
            old: Slab::new(),
            index: Index::new(),
            acls: Interner::new(),
            touched: Vec::new(),
            pending: VecDeque::new(),
            held: VecDeque::new(),
            dirty: vec![slot],
            capture: FIRST_CAPTURE,
            deleted: Vec::new(),
            deleted_before: 0,
            swept: BTreeSet::new(),
            live: 1,
            bytes,
        }
    }

    /// An existing node, to be changed by the command `zxid`.
    pub(crate) fn touch(&mut self, slot: u32, zxid: u64) -> &mut Body {
        self.set_aside(slot, zxid);
        self.current
            .get_mut(slot)
            .body
            .as_mut()
            .expect("only existing nodes are touched")
    }

    fn set_aside(&mut self, slot: u32, zxid: u64) {
        let current = self.current.get_mut(slot);
        if current.from != zxid {
            let version = current.clone();
            current.from = zxid;
            let node = self.nodes.get_mut(slot);
            node.older = self.old.insert(OldVersion {
                version,
                next: node.older,
            });
            self.touched.push(slot);
        }
    }

    /// Creates a node below an existing one. The caller updates the parent's counts.
    pub(crate) fn create(&mut self, zxid: u64, path: &str, parent: u32, body: Body) -> u32 {
        let (hash, known) = self.find_slot(path);
        if let Some(slot) = known {
            self.set_aside(slot, zxid);
            self.current.get_mut(slot).body = Some(body);
            return slot;
        }
        let slot = self.attach(
            hash,
            path,
            parent,
            Version {
                from: zxid,
                body: Some(body),
            },
        );
        self.touched.push(slot);
        slot
    }

    fn attach(&mut self, hash: PathHash, path: &str, parent: u32, current: Version) -> u32 {
        let siblings = self.nodes.get_mut(parent).children.get_or_insert_default();
        let position = siblings.len() as u32;
        let slot = self.nodes.insert(Node {
            name: SmallVec::from_slice(crate::path::name(path).as_bytes()),
            parent,
            position,
            subtree_zxid: current.from,
            ..Node::vacant()
        });
        let same = self.current.insert(current);
        debug_assert_eq!(slot, same, "both slabs give out the same numbers");
        self.nodes
            .get_mut(parent)
            .children
            .get_or_insert_default()
            .push(slot);
        self.index.insert(hash, slot);
        slot
    }

    /// Restores a node from a checkpoint. Its parent must be there already.
    pub(crate) fn restore(&mut self, path: &str, from: u64, mut body: Body) -> Result<u32, Orphan> {
        body.acl = self.acls.intern(&body.acl);
        if path == ROOT_PATH {
            body.num_children = self.body(ROOT).map_or(0, |body| body.num_children);
            self.bytes = (self.bytes + body.data.len() as u64)
                .saturating_sub(self.body(ROOT).map_or(0, |body| body.data.len() as u64));
            *self.current.get_mut(ROOT) = Version {
                from,
                body: Some(body),
            };
            let root = self.nodes.get_mut(ROOT);
            root.subtree_zxid = root.subtree_zxid.max(from);
            return Ok(ROOT);
        }
        let parent = self.find(crate::path::parent(path)).ok_or(Orphan)?;
        let (hash, known) = self.find_slot(path);
        if known.is_some() {
            return Err(Orphan);
        }
        self.bytes += (path.len() + body.data.len()) as u64;
        let is_swept = body.owner().is_swept();
        let slot = self.attach(
            hash,
            path,
            parent,
            Version {
                from,
                body: Some(body),
            },
        );
        if let Some(above) = &mut self.current.get_mut(parent).body {
            above.num_children += 1;
        }
        if is_swept {
            self.swept.insert(slot);
        }
        self.live += 1;
        self.raise_restored(parent, from);
        Ok(slot)
    }

    /// Forgets all marks: the nodes of a restored tree are in the checkpoint already.
    pub(crate) fn forget_dirty(&mut self) {
        let _ = self.take_dirty();
    }

    /// Marks a node of a new tree for the first capture.
    pub(crate) fn mark_dirty(&mut self, slot: u32) {
        let node = self.nodes.get_mut(slot);
        if node.mark(self.capture) {
            self.dirty.push(slot);
        }
    }

    fn raise_restored(&mut self, mut slot: u32, zxid: u64) {
        loop {
            let node = self.nodes.get_mut(slot);
            if node.subtree_zxid >= zxid {
                return;
            }
            node.subtree_zxid = zxid;
            slot = node.parent;
        }
    }

    /// Makes an existing node a tombstone. The caller updates the parent's counts.
    pub(crate) fn delete(&mut self, zxid: u64, slot: u32, path: Arc<str>) {
        self.set_aside(slot, zxid);
        self.current.get_mut(slot).body = None;
        self.deleted.push(path);
    }

    /// Takes the list of changed nodes, for [`Nodes::commit`].
    pub(crate) fn take_touched(&mut self) -> Vec<u32> {
        self.deleted_before = self.deleted.len();
        std::mem::take(&mut self.touched)
    }

    /// Gives the list back to the next command, which reuses its memory up to a bound.
    pub(crate) fn recycle_touched(&mut self, mut touched: Vec<u32>) {
        if touched.capacity() <= 4096 {
            touched.clear();
            self.touched = touched;
        }
    }

    /// Keeps the new versions of some of the changed nodes, after the command has succeeded. Adds
    /// the created and deleted ephemerals to `owners`.
    pub(crate) fn commit(
        &mut self,
        touched: &[u32],
        zxid: u64,
        horizon: &Horizon,
        owners: &mut Vec<OwnerChange>,
    ) {
        for &slot in touched {
            let node = self.nodes.get(slot);
            let before = match node.older {
                NONE => None,
                older => self.old.get(older).version.body.as_ref(),
            };
            let owner_before = before.map_or(0, |body| body.owner);
            let now = self.current.get(slot).body.as_ref();
            let owner_now = now.map_or(0, |body| body.owner);
            if owner_before != owner_now {
                for (number, owns) in [(owner_before, false), (owner_now, true)] {
                    match Owner::of(number) {
                        Owner::Nobody => {}
                        Owner::Session(owner) => owners.push(OwnerChange { owner, slot, owns }),
                        Owner::Container | Owner::Ttl { .. } if owns => {
                            self.swept.insert(slot);
                        }
                        Owner::Container | Owner::Ttl { .. } => {
                            self.swept.remove(&slot);
                        }
                    }
                }
            }
            let exists = now.is_some();
            let data_before = before.map_or(0, |body| body.data.len() as u64);
            let data_now = now.map_or(0, |body| body.data.len() as u64);
            self.bytes = self.bytes + data_now - data_before;
            match (before.is_some(), exists) {
                (false, true) => self.bytes += self.path_len(slot),
                (true, false) => self.bytes -= self.path_len(slot),
                _ => {}
            }
            self.live = self.live + usize::from(exists) - usize::from(before.is_some());
            self.prune(slot, horizon);
            let node = self.nodes.get_mut(slot);
            if node.mark(self.capture) {
                self.dirty.push(slot);
            }
            if !node.is_queued() && (node.older != NONE || !exists) {
                node.set_queued(true);
                self.pending.push_back(slot);
            }
            self.raise_committed(slot, zxid);
        }
    }

    fn path_len(&self, mut slot: u32) -> u64 {
        let mut len = 0;
        while slot != ROOT {
            let node = self.nodes.get(slot);
            len += 1 + node.name.len() as u64;
            slot = node.parent;
        }
        len.max(ROOT_PATH.len() as u64)
    }

    /// The bytes of all paths and data.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Raises the `subtree_zxid` of a node and its ancestors. If an ancestor has this zxid already,
    /// all nodes above it have it, too.
    fn raise_committed(&mut self, mut slot: u32, zxid: u64) {
        // A new node may have this zxid already, although its ancestors do not.
        self.nodes.get_mut(slot).subtree_zxid = zxid;
        while slot != ROOT {
            slot = self.nodes.get(slot).parent;
            let node = self.nodes.get_mut(slot);
            if node.subtree_zxid == zxid {
                return;
            }
            node.subtree_zxid = zxid;
        }
    }

    /// Undoes all changes of the present command.
    pub(crate) fn rollback(&mut self) {
        self.deleted.truncate(self.deleted_before);
        while let Some(slot) = self.touched.pop() {
            let node = self.nodes.get_mut(slot);
            match node.older {
                NONE => self.free(slot),
                older => {
                    let set_aside = remove_old(&mut self.old, older);
                    node.older = set_aside.next;
                    *self.current.get_mut(slot) = set_aside.version;
                }
            }
        }
    }

    /// The changes since the last call. The call is cheap, however many they are: the capture sees
    /// later which of them must be written.
    pub(crate) fn take_dirty(&mut self) -> Dirty {
        // Capture numbers have 31 bits; zero means none.
        self.capture = if self.capture == u32::MAX >> 1 {
            FIRST_CAPTURE
        } else {
            self.capture + 1
        };
        self.deleted_before = 0;
        Dirty {
            changed: std::mem::take(&mut self.dirty),
            deleted: std::mem::take(&mut self.deleted),
        }
    }
}

/// The error of a restored znode that has no parent, or that was restored before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orphan;

pub(super) fn remove_old(old: &mut Slab<OldVersion>, at: u32) -> OldVersion {
    old.remove(
        at,
        OldVersion {
            version: Version::vacant(),
            next: NONE,
        },
    )
}

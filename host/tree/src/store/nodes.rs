//! The znodes: a slab of nodes with their versions, changed command by command.
//!
//! 1. A command touches nodes: [`Nodes::touch`], [`Nodes::create`], [`Nodes::delete`]. The
//!    first touch in a command sets the version before it aside.
//! 2. [`Nodes::commit`] keeps the command's versions, drops those set aside that no view can
//!    see, and marks what the next capture writes; or [`Nodes::rollback`] puts back what was
//!    set aside.
//! 3. [`Nodes::reclaim`], called with every command, frees a few versions that were kept for
//!    views that have gone since.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::horizon::Horizon;
use super::index::{Index, PathHash};
use super::node::{Body, NONE, Node, OldVersion, Version};
use super::slab::Slab;
use crate::acl::Interner;
use crate::path::ROOT as ROOT_PATH;

/// The root's slot.
pub(super) const ROOT: u32 = 0;

/// The number of the first capture.
const FIRST_CAPTURE: u32 = 1;

/// All znodes, in all versions that anyone can see.
///
/// - The index holds every node with a slot, tombstones too.
/// - A version is kept exactly while the command in progress may roll back to it, or a view
///   that is open, or that could be taken now, may see it (but for what `reclaim` has not
///   come to yet).
/// - A tombstone keeps its slot while it has older versions or children (tombstones all).
pub(crate) struct Nodes {
    nodes: Slab<Node>,
    /// The current version of each node, under the same number.
    current: Slab<Version>,
    old: Slab<OldVersion>,
    index: Index,
    /// Interned ACLs.
    pub(crate) acls: Interner,
    touched: Vec<u32>,
    /// Nodes to prune once they are published; those of `held` wait for a view to go.
    /// Each node stands at most once in one of them.
    pending: VecDeque<u32>,
    held: VecDeque<u32>,
    /// What the capture of that number writes.
    dirty: Vec<u32>,
    capture: u32,
    deleted: Vec<Arc<str>>,
    deleted_before: usize,
    live: usize,
}

/// An ephemeral that came to be, or went, with a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerChange {
    pub(crate) owner: i64,
    pub(crate) slot: u32,
    pub(crate) owns: bool,
}

/// What a capture writes: slots and paths, possibly more than once, or without a change that
/// lasted.
pub(crate) struct Dirty {
    pub(crate) changed: Vec<u32>,
    pub(crate) deleted: Vec<Arc<str>>,
}

impl Nodes {
    /// A tree of a root alone.
    pub(crate) fn new(root: Body) -> Nodes {
        let mut nodes = Slab::new();
        let mut current = Slab::new();
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
            live: 1,
        }
    }

    /// The slot of a znode that exists now.
    pub(crate) fn find(&self, path: &str) -> Option<u32> {
        self.find_slot(path)
            .1
            .filter(|slot| self.current.get(*slot).body.is_some())
    }

    /// The slot of a znode that exists now or that some view may see.
    pub(super) fn find_any(&self, path: &str) -> Option<u32> {
        self.find_slot(path).1
    }

    fn find_slot(&self, path: &str) -> (PathHash, Option<u32>) {
        let hash = self.index.hash(path);
        if path == ROOT_PATH {
            return (hash, Some(ROOT));
        }
        (
            hash,
            self.index.find(hash, |slot| self.is_path_of(slot, path)),
        )
    }

    fn is_path_of(&self, mut slot: u32, path: &str) -> bool {
        // The version is wanted next, and stands in memory that no cache holds: loading it
        // now, while the names are compared, halves the wait.
        std::hint::black_box(self.current.get(slot).from);
        let mut path = path.as_bytes();
        while slot != ROOT {
            let node = self.nodes.get(slot);
            let name = node.name.as_slice();
            let Some(slash) = path.len().checked_sub(name.len() + 1) else {
                return false;
            };
            if path[slash] != b'/' || path[slash + 1..] != *name {
                return false;
            }
            path = &path[..slash];
            slot = node.parent;
        }
        path.is_empty()
    }

    /// The whole path of a node.
    pub(crate) fn path_of(&self, slot: u32) -> String {
        if slot == ROOT {
            return ROOT_PATH.to_owned();
        }
        let mut chain: SmallVec<[u32; 16]> = SmallVec::new();
        let mut at = slot;
        let mut len = 0;
        while at != ROOT {
            chain.push(at);
            let node = self.nodes.get(at);
            len += 1 + node.name.len();
            at = node.parent;
        }
        let mut path = Vec::with_capacity(len);
        for at in chain.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(&self.nodes.get(*at).name);
        }
        String::from_utf8(path).expect("names are pieces of valid paths")
    }

    /// What a node is now.
    pub(crate) fn body(&self, slot: u32) -> Option<&Body> {
        self.current.get(slot).body.as_ref()
    }

    /// What a node was at a zxid.
    pub(super) fn body_at(&self, slot: u32, zxid: u64) -> Option<&Body> {
        self.version_at(slot, zxid)
            .and_then(|version| version.body.as_ref())
    }

    pub(crate) fn version_at(&self, slot: u32, zxid: u64) -> Option<&Version> {
        let current = self.current.get(slot);
        if current.from <= zxid {
            return Some(current);
        }
        let mut at = self.nodes.get(slot).older;
        while at != NONE {
            let old = self.old.get(at);
            if old.version.from <= zxid {
                return Some(&old.version);
            }
            at = old.next;
        }
        None
    }

    pub(super) fn name(&self, slot: u32) -> &[u8] {
        &self.nodes.get(slot).name
    }

    /// The slots of all children, tombstones included. While the lock is let go, one may
    /// move to a lower place; none that a view sees moves to a higher one.
    pub(super) fn children(&self, slot: u32) -> &[u32] {
        self.nodes
            .get(slot)
            .children
            .as_deref()
            .map_or(&[], Vec::as_slice)
    }

    /// The last command that changed anything at or below a node.
    pub(crate) fn subtree_zxid(&self, slot: u32) -> u64 {
        self.nodes.get(slot).subtree_zxid
    }

    /// The node's parent; the root is its own.
    pub(crate) fn parent(&self, slot: u32) -> u32 {
        self.nodes.get(slot).parent
    }

    /// How many znodes exist.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// How many old versions are kept.
    pub(crate) fn old_versions(&self) -> usize {
        self.old.len()
    }

    /// A node that exists, to be changed by the command `zxid`.
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

    /// Makes a node that does not exist, below one that does. The parent's own counts are
    /// the caller's to touch.
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

    /// Puts a node of a checkpoint in its place; its parent is there already.
    pub(crate) fn restore(&mut self, path: &str, from: u64, mut body: Body) -> Result<u32, Orphan> {
        body.acl = self.acls.intern(&body.acl);
        if path == ROOT_PATH {
            body.num_children = self.body(ROOT).map_or(0, |body| body.num_children);
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
        self.live += 1;
        self.raise_restored(parent, from);
        Ok(slot)
    }

    /// A restored tree owes the next capture nothing; a new one owes all.
    pub(crate) fn forget_dirty(&mut self) {
        let _ = self.take_dirty();
    }

    /// Marks what a new tree is made with for the first capture.
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

    /// Makes an existing node a tombstone. The parent's own counts are the caller's to touch.
    pub(crate) fn delete(&mut self, zxid: u64, slot: u32, path: Arc<str>) {
        self.set_aside(slot, zxid);
        self.current.get_mut(slot).body = None;
        self.deleted.push(path);
    }

    /// Hands the nodes that the command changed over for [`Nodes::commit`].
    pub(crate) fn take_touched(&mut self) -> Vec<u32> {
        self.deleted_before = self.deleted.len();
        std::mem::take(&mut self.touched)
    }

    /// Takes the room of the list back for the next command, within reason.
    pub(crate) fn recycle_touched(&mut self, mut touched: Vec<u32>) {
        if touched.capacity() <= 4096 {
            touched.clear();
            self.touched = touched;
        }
    }

    /// The command succeeded: the versions of these nodes, some of those that it changed, stay.
    /// Says which ephemerals came and went.
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
                if owner_before != 0 {
                    owners.push(OwnerChange {
                        owner: owner_before,
                        slot,
                        owns: false,
                    });
                }
                if owner_now != 0 {
                    owners.push(OwnerChange {
                        owner: owner_now,
                        slot,
                        owns: true,
                    });
                }
            }
            let exists = now.is_some();
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

    /// An ancestor that is at `zxid` already means that all above it are.
    fn raise_committed(&mut self, mut slot: u32, zxid: u64) {
        // The node itself may have been made with this zxid, its ancestors not.
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

    /// The command failed: everything is as it was before it.
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

    /// Drops the versions of a node that no view can see.
    fn prune(&mut self, slot: u32, horizon: &Horizon) {
        let mut until = self.current.get(slot).from;
        let node = self.nodes.get_mut(slot);
        let mut at = node.older;
        let mut last_kept = NONE;
        while at != NONE {
            let old = self.old.get(at);
            let (from, next) = (old.version.from, old.next);
            // A tombstone with nothing before it says no more than no version at all.
            let says_nothing = old.version.body.is_none() && next == NONE;
            if !says_nothing && horizon.sees(from, until) {
                last_kept = at;
            } else {
                remove_old(&mut self.old, at);
                match last_kept {
                    NONE => node.older = next,
                    kept => self.old.get_mut(kept).next = next,
                }
            }
            until = from;
            at = next;
        }
    }

    /// Looks at up to `budget` nodes that had old versions to keep, and frees what no view
    /// can see any more. Says how many it looked at.
    pub(crate) fn reclaim(&mut self, budget: usize, horizon: &Horizon) -> usize {
        let mut done = 0;
        while done < budget {
            let Some(slot) = self.pending.pop_front() else {
                break;
            };
            done += 1;
            if self.nodes.get(slot).parent == NONE {
                // Freed by a rollback while it stood here.
                continue;
            }
            if self.current.get(slot).from > horizon.published() {
                // Not published yet, and so is all that follows but for what was held.
                self.pending.push_back(slot);
                continue;
            }
            self.prune(slot, horizon);
            let node = self.nodes.get_mut(slot);
            if node.older != NONE {
                self.held.push_back(slot);
                continue;
            }
            node.set_queued(false);
            if node.children.is_none() && self.current.get(slot).body.is_none() {
                self.free(slot);
            }
        }
        done
    }

    /// A view has gone: what was held may be free now.
    pub(crate) fn unhold(&mut self) {
        if self.held.len() > self.pending.len() {
            std::mem::swap(&mut self.held, &mut self.pending);
        }
        self.pending.append(&mut self.held);
    }

    /// Takes a node out of the index and of its parent.
    fn free(&mut self, slot: u32) {
        let hash = self.index.hash(&self.path_of(slot));
        self.index.remove(hash, slot);
        let Node {
            parent, position, ..
        } = self.nodes.remove(slot, Node::vacant());
        self.current.remove(slot, Version::vacant());
        let mut moved = None;
        let above = self.nodes.get_mut(parent);
        if let Some(siblings) = &mut above.children {
            siblings.swap_remove(position as usize);
            moved = siblings.get(position as usize).copied();
            if siblings.is_empty() {
                above.children = None;
            } else if siblings.len() * 4 < siblings.capacity() {
                siblings.shrink_to(siblings.len() * 2);
            }
        }
        if !above.is_queued() && self.current.get(parent).body.is_none() {
            above.set_queued(true);
            self.pending.push_back(parent);
        }
        if let Some(moved) = moved {
            self.nodes.get_mut(moved).position = position;
        }
    }

    /// What changed since this was last called. Costs nothing, however much that is: which of
    /// it is worth writing is seen when it is read.
    pub(crate) fn take_dirty(&mut self) -> Dirty {
        // Capture numbers have 31 bits; zero stands for none.
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

/// A znode without its parent, or one that is there twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orphan;

fn remove_old(old: &mut Slab<OldVersion>, at: u32) -> OldVersion {
    old.remove(
        at,
        OldVersion {
            version: Version::vacant(),
            next: NONE,
        },
    )
}

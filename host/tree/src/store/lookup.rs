//! Finding znodes and reading their versions.

use smallvec::SmallVec;

use super::index::PathHash;
use super::node::{Body, NONE, Version};
use super::nodes::{Nodes, ROOT};
use crate::path::ROOT as ROOT_PATH;

impl Nodes {
    /// The slot of a znode that exists now.
    pub(crate) fn find(&self, path: &str) -> Option<u32> {
        self.find_slot(path)
            .1
            .filter(|slot| self.current.get(*slot).body.is_some())
    }

    /// The slot of a znode that exists now or that a view may show.
    pub(super) fn find_any(&self, path: &str) -> Option<u32> {
        self.find_slot(path).1
    }

    pub(super) fn find_slot(&self, path: &str) -> (PathHash, Option<u32>) {
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
        // The version is needed next, and it is not in a cache. Loading it now, while the names
        // are compared, halves the wait.
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

    /// The present body of a node; `None` for a tombstone.
    pub(crate) fn body(&self, slot: u32) -> Option<&Body> {
        self.current.get(slot).body.as_ref()
    }

    /// The body at a path before the present command, whose zxid is `zxid`.
    pub(crate) fn before(&self, path: &str, zxid: u64) -> Option<&Body> {
        let slot = self.find_any(path)?;
        let current = self.current.get(slot);
        if current.from != zxid {
            return current.body.as_ref();
        }
        match self.nodes.get(slot).older {
            NONE => None,
            older => self.old.get(older).version.body.as_ref(),
        }
    }

    /// The body of a node at a zxid.
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

    /// The slots of all children, tombstones included. While the lock is free, a child may move to
    /// a lower place; no child that a view shows moves to a higher one.
    pub(crate) fn children(&self, slot: u32) -> &[u32] {
        self.nodes
            .get(slot)
            .children
            .as_deref()
            .map_or(&[], Vec::as_slice)
    }

    /// The zxid of the last command that changed a znode at or below this node.
    pub(crate) fn subtree_zxid(&self, slot: u32) -> u64 {
        self.nodes.get(slot).subtree_zxid
    }

    /// The node's parent; the root is its own.
    pub(crate) fn parent(&self, slot: u32) -> u32 {
        self.nodes.get(slot).parent
    }

    /// Slots, from this one on, of the containers and the znodes with a time to live.
    pub(super) fn swept_from(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        self.swept.range(slot..).copied()
    }

    /// The number of containers and znodes with a time to live.
    pub(crate) fn swept_count(&self) -> usize {
        self.swept.len()
    }

    /// The number of znodes that exist.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// The number of old versions that are kept.
    pub(crate) fn old_versions(&self) -> usize {
        self.old.len()
    }
}

//! Freeing versions that no view can see, a few with each command.
//!
//! 1. A commit queues each node that has an old version or has become a tombstone.
//! 2. After the commit is published, [`Nodes::reclaim`] visits a few of these nodes. It drops the
//!    versions that no view can see, and frees the slot of a tombstone without versions.
//! 3. Nodes whose versions an open view can see are set aside until a view is closed:
//!    [`Nodes::unhold`].

use super::node::{NONE, Node, Version};
use super::nodes::{Nodes, remove_old};
use crate::horizon::Horizon;

impl Nodes {
    /// Drops the versions of a node that no view can see.
    pub(super) fn prune(&mut self, slot: u32, horizon: &Horizon) {
        let mut until = self.current.get(slot).from;
        let node = self.nodes.get_mut(slot);
        let mut at = node.older;
        let mut last_kept = NONE;
        while at != NONE {
            let old = self.old.get(at);
            let (from, next) = (old.version.from, old.next);
            // A tombstone as the oldest version says the same as no version.
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

    /// Visits up to `budget` queued nodes and frees the versions that no view can see. Returns how
    /// many nodes it visited.
    pub(crate) fn reclaim(&mut self, budget: usize, horizon: &Horizon) -> usize {
        let mut done = 0;
        while done < budget {
            let Some(slot) = self.pending.pop_front() else {
                break;
            };
            done += 1;
            if self.nodes.get(slot).parent == NONE {
                // A rollback has freed the node while it was in the queue.
                continue;
            }
            if self.current.get(slot).from > horizon.published() {
                // This node is not published yet, nor are those after it, except held ones.
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

    /// Queues the held nodes again, after a view was closed.
    pub(crate) fn unhold(&mut self) {
        if self.held.len() > self.pending.len() {
            std::mem::swap(&mut self.held, &mut self.pending);
        }
        self.pending.append(&mut self.held);
    }

    /// Takes a node out of the index and of its parent.
    pub(super) fn free(&mut self, slot: u32) {
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
}

//! Reading: a [`Reader`] hands out [`View`]s, each of the whole state at one zxid.
//!
//! 1. `Reader::view` takes the newest published epoch: one reference count, no lock.
//! 2. Every call on the view locks the store for one znode (or a short run of them), and sees
//!    the version of it that was current at the view's zxid, whatever was applied since.
//! 3. Dropping the view drops the reference; what only it could see is freed by the writer,
//!    a little at a time.

mod listing;

use std::ops::ControlFlow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use innkeeper_proto::Stat;

use crate::acl::AclRef;
use crate::bindings::Bindings;
use crate::command::Sweep;
use crate::modules::Modules;
use crate::owner::Owner;
use crate::queue::QueueEntry;
use crate::session::SessionInfo;
use crate::store::{Body, Epoch, Store};
use crate::znode::{Children, Znode};
use crate::{SessionId, Zxid};

pub use listing::{Listing, Place};

/// Hands out views; cheap to clone, for any thread.
#[derive(Clone)]
pub struct Reader {
    published: Arc<ArcSwap<Epoch>>,
}

impl Reader {
    pub(crate) fn new(published: Arc<ArcSwap<Epoch>>) -> Reader {
        Reader { published }
    }

    /// The state as last published.
    pub fn view(&self) -> View {
        View {
            epoch: self.published.load_full(),
        }
    }

    /// The zxid of the last published command.
    pub fn last_zxid(&self) -> Zxid {
        self.published.load().zxid
    }

    /// The first `limit` entries of a binding's queue as it is now, oldest first, which is
    /// newer than any view: take it before the view that is to explain it. Empty if there is
    /// no such binding.
    pub fn queue(&self, binding: &str, limit: usize) -> Vec<QueueEntry> {
        self.published
            .load()
            .store
            .queue(binding, limit, || self.last_zxid())
    }

    /// How many places of children all listings and scans have looked at since the state was
    /// opened: what they cost, counted and not timed.
    pub fn children_looked_at(&self) -> u64 {
        self.published.load().store.looked_at()
    }

    /// How many entries a binding's queue has now; 0 if there is no such binding.
    pub fn queue_len(&self, binding: &str) -> usize {
        self.published.load().store.queue_len(binding)
    }
}

/// The state at one zxid.
///
/// - It never changes, and it stops nobody: commands are applied beside it.
/// - It keeps alive at most one old version of each znode; hold it briefly.
#[derive(Clone)]
pub struct View {
    epoch: Arc<Epoch>,
}

impl View {
    pub(crate) fn store(&self) -> &Store {
        &self.epoch.store
    }

    /// The zxid of the last command that the view contains.
    pub fn zxid(&self) -> Zxid {
        self.epoch.zxid
    }

    /// The state's time at that command, in milliseconds since 1970.
    pub fn time_ms(&self) -> u64 {
        self.epoch.time_ms
    }

    /// A znode whole.
    pub fn get(&self, path: &str) -> Option<Znode> {
        self.epoch.store.get(path, self.epoch.zxid)
    }

    /// A znode's Stat and ACL, without its data.
    pub fn exists(&self, path: &str) -> Option<(Stat, AclRef)> {
        self.epoch.store.stat(path, self.epoch.zxid)
    }

    /// A znode's children.
    pub fn children(&self, path: &str) -> Option<Children> {
        self.epoch.store.children(path, self.epoch.zxid)
    }

    /// Begins to list a znode's children run by run, for a caller that does other things in
    /// between; `None` where there is no znode.
    pub fn list(&self, path: &str) -> Option<Listing> {
        let slot = self.epoch.store.slot_of(path, self.epoch.zxid)?;
        Some(Listing::new(self.clone(), Place(slot)))
    }

    /// Begins to list the children of a znode that a listing of this view found.
    pub fn list_at(&self, place: Place) -> Listing {
        Listing::new(self.clone(), place)
    }

    /// A znode that a listing of this view found, whole.
    pub fn get_at(&self, place: Place) -> Option<Znode> {
        self.epoch.store.znode_at(place.0, self.epoch.zxid)
    }

    /// Visits the znode at `root` and all below it, a parent before its children and children
    /// in byte order of their names, until the visitor breaks. False if there is no `root`.
    pub fn scan(&self, root: &str, visit: &mut dyn FnMut(&str, Znode) -> ControlFlow<()>) -> bool {
        self.epoch.store.scan(root, self.epoch.zxid, visit)
    }

    /// How many znodes stand below a path, all the way down, as ZooKeeper's
    /// getAllChildrenNumber counts; `None` where there is no znode. Of the root it is known;
    /// elsewhere all znodes whose parent is at or below the path are looked at.
    /// (test: `nothing_breaks_the_state`)
    pub fn descendant_count(&self, path: &str) -> Option<usize> {
        if path == crate::path::ROOT {
            return Some(self.epoch.znodes - 1);
        }
        self.epoch.store.descendant_count(path, self.epoch.zxid)
    }

    /// How many znodes exist now, which may be newer than the view.
    pub fn znode_count(&self) -> usize {
        self.epoch.store.nodes.read().len()
    }

    /// Bytes of all znodes' paths and data now, which may be newer than the view.
    pub fn data_bytes(&self) -> u64 {
        self.epoch.store.nodes.read().bytes()
    }

    /// How many ephemerals exist now, which may be newer than the view.
    pub fn ephemeral_count(&self) -> usize {
        self.epoch.store.sessions.read().ephemeral_count()
    }

    /// The rolling hash at some zxids, the same ones on every node, oldest first: what was
    /// applied since the node opened.
    pub fn digests(&self) -> Vec<(Zxid, u64)> {
        self.epoch.store.digests()
    }

    /// What a sweep at that time may delete, at most `limit` of them: childless containers that
    /// once had a child, or that had none for longer than `never_used_ms` (zero: for ever), and
    /// childless znodes whose time to live has passed since they were last set. As ZooKeeper's
    /// `ContainerManager` chooses. (test: script `host/tree/tests/scripts/state/sweeps`)
    pub fn sweepable(&self, now_ms: u64, never_used_ms: u64, limit: usize) -> Vec<Sweep> {
        let is_unused = |body: &Body| {
            let elapsed_ms = now_ms.saturating_sub(body.mtime);
            body.num_children == 0
                && match body.owner() {
                    Owner::Container if body.creates != 0 => true,
                    Owner::Container => never_used_ms > 0 && elapsed_ms > never_used_ms,
                    Owner::Ttl { ttl_ms } => elapsed_ms > ttl_ms as u64,
                    Owner::Nobody | Owner::Session(_) => false,
                }
        };
        self.epoch.store.swept(self.epoch.zxid, limit, &is_unused)
    }

    /// Whose a znode is, or when it is swept, which its Stat does not show.
    pub fn owner(&self, path: &str) -> Option<Owner> {
        self.epoch.store.owner(path, self.epoch.zxid)
    }

    /// How many containers and how many znodes with a time to live exist now, together; which
    /// may be newer than the view.
    pub fn swept_count(&self) -> usize {
        self.epoch.store.nodes.read().swept_count()
    }

    /// The bindings, by name.
    pub fn bindings(&self) -> &Arc<Bindings> {
        &self.epoch.bindings
    }

    /// The modules that may be named by bindings.
    pub fn modules(&self) -> &Arc<Modules> {
        &self.epoch.modules
    }

    /// The feature level that holds.
    pub fn level(&self) -> u32 {
        self.epoch.level
    }

    /// A session, if it is alive.
    pub fn session(&self, session: SessionId) -> Option<SessionInfo> {
        self.epoch.store.session(session, self.epoch.zxid)
    }

    /// All live sessions, by id.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.epoch.store.sessions(self.epoch.zxid)
    }

    /// The paths of a session's ephemerals, in byte order.
    /// (test: `a_view_lists_the_ephemerals_that_it_shows`)
    pub fn ephemerals(&self, session: SessionId) -> Vec<String> {
        self.epoch.store.ephemerals(session, self.epoch.zxid)
    }
}

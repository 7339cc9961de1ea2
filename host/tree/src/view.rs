//! Reading: a [`Reader`] gives out [`View`]s. A view shows the whole state at one zxid.
//!
//! 1. `Reader::view` takes the newest published epoch: it counts a reference and takes no lock.
//! 2. Each call on the view locks the store for one znode or a short run of znodes. It finds the
//!    versions of the view's zxid, whatever was applied since.
//! 3. Dropping the view drops the reference. The writer then frees, a few at a time, the versions
//!    that only this view could see.

mod listing;

use std::ops::ControlFlow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use innkeeper_proto::Stat;

use crate::acl::AclRef;
use crate::bindings::Bindings;
use crate::command::Sweep;
use crate::group::GroupInfo;
use crate::modules::Modules;
use crate::owner::Owner;
use crate::queue::QueueEntry;
use crate::session::SessionInfo;
use crate::store::{Body, Epoch, Store};
use crate::znode::{Children, Znode};
use crate::{SessionId, Zxid};

pub use listing::{Listing, Place};

/// Gives out views. It is cheap to clone and may be used on any thread.
#[derive(Clone)]
pub struct Reader {
    published: Arc<ArcSwap<Epoch>>,
}

impl Reader {
    pub(crate) fn new(published: Arc<ArcSwap<Epoch>>) -> Reader {
        Reader { published }
    }

    /// A view of the last published state.
    pub fn view(&self) -> View {
        View {
            epoch: self.published.load_full(),
        }
    }

    /// The zxid of the last published command.
    pub fn last_zxid(&self) -> Zxid {
        self.published.load().zxid
    }

    /// The first `limit` entries of a binding's queue, oldest first; empty if there is no such
    /// binding. The queue is as of now: take the view for its events after this call, so that the
    /// view contains them.
    pub fn queue(&self, binding: &str, limit: usize) -> Vec<QueueEntry> {
        self.published
            .load()
            .store
            .queue(binding, limit, || self.last_zxid())
    }

    /// How many places of children all listings and scans have visited since the state was opened.
    /// It measures their cost as a count, independent of the clock.
    pub fn children_looked_at(&self) -> u64 {
        self.published.load().store.looked_at()
    }

    /// The present number of entries of a binding's queue; 0 if there is no such binding.
    pub fn queue_len(&self, binding: &str) -> usize {
        self.published.load().store.queue_len(binding)
    }
}

/// The state at one zxid.
///
/// - A view never changes, and commands are applied while it is open.
/// - An open view keeps up to one old version of each znode in memory, so it should be held
///   briefly.
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

    /// A znode with its data.
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

    /// Begins to list a znode's children in runs, for callers that must let others run in between;
    /// `None` if there is no znode.
    pub fn list(&self, path: &str) -> Option<Listing> {
        let slot = self.epoch.store.slot_of(path, self.epoch.zxid)?;
        Some(Listing::new(self.clone(), Place(slot)))
    }

    /// Begins to list the children of a znode that a listing of this view found.
    pub fn list_at(&self, place: Place) -> Listing {
        Listing::new(self.clone(), place)
    }

    /// A znode, with its data, that a listing of this view found.
    pub fn get_at(&self, place: Place) -> Option<Znode> {
        self.epoch.store.znode_at(place.0, self.epoch.zxid)
    }

    /// Visits the znode at `root` and all znodes below it until the visitor breaks: parents before
    /// their children, children in the byte order of their names. False if there is no `root`.
    pub fn scan(&self, root: &str, visit: &mut dyn FnMut(&str, Znode) -> ControlFlow<()>) -> bool {
        self.epoch.store.scan(root, self.epoch.zxid, visit)
    }

    /// The number of all znodes below a path, as in ZooKeeper's getAllChildrenNumber; `None` if
    /// there is no znode. For the root the number is kept; for other paths the call visits all
    /// znodes whose parent is at or below the path.
    /// (test: `nothing_breaks_the_state`)
    pub fn descendant_count(&self, path: &str) -> Option<usize> {
        if path == crate::path::ROOT {
            return Some(self.epoch.znodes - 1);
        }
        self.epoch.store.descendant_count(path, self.epoch.zxid)
    }

    /// The present number of znodes, which may be newer than the view.
    pub fn znode_count(&self) -> usize {
        self.epoch.store.nodes.read().len()
    }

    /// The present bytes of all znodes' paths and data, which may be newer than the view.
    pub fn data_bytes(&self) -> u64 {
        self.epoch.store.nodes.read().bytes()
    }

    /// The present number of ephemerals, which may be newer than the view.
    pub fn ephemeral_count(&self) -> usize {
        self.epoch.store.sessions.read().ephemeral_count()
    }

    /// The rolling hash at this zxid; `None` if it was not kept, see [`View::digests`]. It costs a
    /// search among the kept ones.
    pub fn digest_at(&self, zxid: Zxid) -> Option<u64> {
        self.epoch.store.digest_at(zxid)
    }

    /// The rolling hash at each 128th zxid since the node was opened, oldest first, at most 1024 of
    /// them. They are equal on all nodes.
    pub fn digests(&self) -> Vec<(Zxid, u64)> {
        self.epoch.store.digests()
    }

    /// The last of [`View::digests`], without a copy of the others.
    pub fn last_digest(&self) -> Option<(Zxid, u64)> {
        self.epoch.store.last_digest()
    }

    /// At most `limit` znodes without children that a sweep at `now_ms` may delete: containers that
    /// had a child, or that had none for longer than `never_used_ms` (zero: they stay), and znodes
    /// whose time to live has passed since they were last set. ZooKeeper's `ContainerManager`
    /// chooses the same. (test: script `host/tree/tests/scripts/state/sweeps`)
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

    /// A znode's owner. It tells containers and times to live, too, which the Stat does not show.
    pub fn owner(&self, path: &str) -> Option<Owner> {
        self.epoch.store.owner(path, self.epoch.zxid)
    }

    /// The present number of containers and znodes with a time to live together, which may be newer
    /// than the view.
    pub fn swept_count(&self) -> usize {
        self.epoch.store.nodes.read().swept_count()
    }

    /// The bindings by their names.
    pub fn bindings(&self) -> &Arc<Bindings> {
        &self.epoch.bindings
    }

    /// The registered modules, which bindings may name.
    pub fn modules(&self) -> &Arc<Modules> {
        &self.epoch.modules
    }

    /// The feature level in force.
    pub fn level(&self) -> u32 {
        self.epoch.level
    }

    /// The group, once it is founded; a node alone has none.
    pub fn group(&self) -> Option<&Arc<GroupInfo>> {
        self.epoch.group.as_ref()
    }

    /// A session, if it is alive.
    pub fn session(&self, session: SessionId) -> Option<SessionInfo> {
        self.epoch.store.session(session, self.epoch.zxid)
    }

    /// All live sessions in the order of their ids.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.epoch.store.sessions(self.epoch.zxid)
    }

    /// The paths of a session's ephemerals in this view, in byte order.
    /// (test: `a_view_lists_the_ephemerals_that_it_shows`)
    pub fn ephemerals(&self, session: SessionId) -> Vec<String> {
        self.epoch.store.ephemerals(session, self.epoch.zxid)
    }
}

//! The watches of this node's connections: one-shot, persistent and persistent recursive ones.
//!
//! 1. A read that sets a watch registers it under the fan-out's lock, in which the table lives;
//!    so do addWatch and setWatches.
//! 2. When apply makes an event, the watchers of its path are looked up. One-shot watches are
//!    removed from the table, since they fire once. The others stay.
//! 3. Only if there are recursive watches at all, the paths above the event's path are looked up,
//!    too.
//! 4. A connection that ends takes its watches with it.
//!
//! As in ZooKeeper, existence and data are one kind: a watch of exists and one of getData on one
//! znode are the same watch. As in ZooKeeper, too, a connection may have several kinds on one path:
//! adding a persistent watch keeps a recursive or a one-shot one, and each is removed by itself.
//! However many of its kinds match, the connection gets an event once. (tests:
//! `modes_stand_side_by_side_and_one_event_comes`,
//! `a_recursive_watch_hears_of_all_below_and_of_no_list_of_children`)

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use innkeeper_proto::EventType;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The number of a connection that serves a session. Numbers are given from 0 on and used again, so
/// a `Vec` can be indexed by them.
pub(crate) type WatcherId = u32;

/// Connections, in the order of their numbers, each once.
pub(crate) type Listeners = SmallVec<[WatcherId; 2]>;

/// The index of a watched path in the table.
type PathId = u32;

/// The most places of the table that one run of a report reads.
pub(crate) const RUN_PATHS: usize = 1024;

/// A run of a report ends early, behind the path that brings its watchers to this number.
const RUN_WATCHERS: usize = 16 * 1024;

/// What a watch waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Creation, deletion and change of data, once.
    Data,
    /// Deletion, and creation and deletion of children, once.
    Child,
    /// Everything that happens to the znode, until it is removed.
    Persistent,
    /// Creation, deletion and change of data, of the znode and of all below it, until it is
    /// removed.
    Recursive,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 4] = [Kind::Data, Kind::Child, Kind::Persistent, Kind::Recursive];

    const fn bit(self) -> u8 {
        match self {
            Kind::Data => 1,
            Kind::Child => 2,
            Kind::Persistent => 4,
            Kind::Recursive => 8,
        }
    }
}

/// The kinds that one connection watches of one path.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Kinds(u8);

impl Kinds {
    const fn has(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    const fn with(self, kind: Kind) -> Self {
        Self(self.0 | kind.bit())
    }

    const fn without(self, kind: Kind) -> Self {
        Self(self.0 & !kind.bit())
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether ZooKeeper counts it as a data watch.
    const fn on_data(self) -> bool {
        self.has(Kind::Data) || self.has(Kind::Persistent) || self.has(Kind::Recursive)
    }

    /// Whether ZooKeeper counts it as a child watch.
    const fn on_children(self) -> bool {
        self.has(Kind::Child) || self.has(Kind::Persistent)
    }
}

/// The connections that get an event. No connection is in both lists.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Fired {
    /// Connections whose one-shot watch fired: the watch is gone.
    pub(crate) once: Listeners,
    /// Connections whose watch stays.
    pub(crate) persistent: Listeners,
}

/// How many watches there are, counted as ZooKeeper counts them: a connection's data watches of
/// one path are one, whatever their modes, and so are its child watches.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WatchCounts {
    /// Watches on data, persistent and recursive ones included.
    pub data: usize,
    /// Watches on children, persistent ones included.
    pub child: usize,
    /// Persistent recursive watches.
    pub recursive: usize,
    /// Paths that have a watch of any kind.
    pub paths: usize,
}

impl WatchCounts {
    /// All watches: ZooKeeper's `watch_count`.
    pub const fn watches(&self) -> usize {
        self.data + self.child
    }

    fn moved(&mut self, old: Kinds, new: Kinds) {
        let step = |count: &mut usize, was: bool, is: bool| {
            *count = *count + usize::from(is) - usize::from(was);
        };
        step(&mut self.data, old.on_data(), new.on_data());
        step(&mut self.child, old.on_children(), new.on_children());
        let recursive = Kind::Recursive;
        step(&mut self.recursive, old.has(recursive), new.has(recursive));
    }
}

/// The watched paths and their watchers.
///
/// Invariants:
/// - A watcher is in a path's list if and only if its own set has that path with that kind.
/// - Lists are sorted and free of duplicates; a path without watchers is not in the table.
/// - The paths above an event's are looked up only while `counts.recursive` is not 0, and only
///   those whose length is in `recursive_lengths`, which counts the recursive watches by it.
///   (test: `recursive_watches_are_counted_down_to_none`)
#[derive(Debug, Default)]
pub(crate) struct Watches {
    /// Seeded: clients choose the paths.
    ids: HashMap<Arc<str>, PathId>,
    paths: Vec<Watched>,
    free: Vec<PathId>,
    /// How many paths have come into the table since the start: the stamp of the newest.
    last_stamp: u64,
    /// By connection: the kinds that it watches of each path.
    watchers: Vec<FxHashMap<PathId, Kinds>>,
    counts: WatchCounts,
    /// The number of recursive watches on paths of each length.
    recursive_lengths: BTreeMap<usize, u32>,
}

#[derive(Debug)]
struct Watched {
    path: Arc<str>,
    /// Larger than that of every path that came into the table before.
    stamp: u64,
    data: Listeners,
    child: Listeners,
    /// Boxed: few paths have such watches, and the others pay one pointer.
    persistent: Option<Box<PersistentListeners>>,
}

/// Watches that stay after an event.
#[derive(Debug, Default)]
struct PersistentListeners {
    persistent: Listeners,
    recursive: Listeners,
}

impl Watched {
    fn add(&mut self, kind: Kind, watcher: WatcherId) {
        let list = match kind {
            Kind::Data => &mut self.data,
            Kind::Child => &mut self.child,
            Kind::Persistent => &mut self.persistent.get_or_insert_default().persistent,
            Kind::Recursive => &mut self.persistent.get_or_insert_default().recursive,
        };
        if let Err(at) = list.binary_search(&watcher) {
            list.insert(at, watcher);
        }
    }

    fn remove(&mut self, kind: Kind, watcher: WatcherId) {
        let list = match (kind, &mut self.persistent) {
            (Kind::Data, _) => &mut self.data,
            (Kind::Child, _) => &mut self.child,
            (Kind::Persistent, Some(persistent)) => &mut persistent.persistent,
            (Kind::Recursive, Some(persistent)) => &mut persistent.recursive,
            (_, None) => return,
        };
        if let Ok(at) = list.binary_search(&watcher) {
            list.remove(at);
        }
        if self.persistent.as_ref().is_some_and(|persistent| {
            persistent.persistent.is_empty() && persistent.recursive.is_empty()
        }) {
            self.persistent = None;
        }
    }

    fn is_unwatched(&self) -> bool {
        self.data.is_empty() && self.child.is_empty() && self.persistent.is_none()
    }
}

impl Watches {
    /// How many watches there are.
    pub(crate) fn counts(&self) -> WatchCounts {
        WatchCounts {
            paths: self.ids.len(),
            ..self.counts
        }
    }

    /// The stamp of the path that came into the table last; 0 if there was none.
    pub(crate) fn last_stamp(&self) -> u64 {
        self.last_stamp
    }

    /// How many paths a connection watches, with any kind of watch.
    pub(crate) fn watched_by(&self, watcher: WatcherId) -> usize {
        self.watchers
            .get(watcher as usize)
            .map_or(0, FxHashMap::len)
    }

    /// One run over the paths with watches on data, and their watchers, in the order of their
    /// places in the table. It begins at the place `from`, and returns where the next run begins;
    /// `None` after the last one. Paths with a stamp above `newest_stamp` are left out.
    pub(crate) fn on_data(
        &self,
        from: usize,
        newest_stamp: u64,
        mut each: impl FnMut(&Arc<str>, &[WatcherId]),
    ) -> Option<usize> {
        let mut end = self.paths.len().min(from.saturating_add(RUN_PATHS));
        let mut watchers = 0;
        for at in from..end {
            let watched = &self.paths[at];
            if watched.stamp > newest_stamp {
                continue;
            }
            let both: Listeners;
            let listeners: &[WatcherId] = match &watched.persistent {
                None => &watched.data,
                Some(persistent) => {
                    let parts = [&watched.data, &persistent.persistent, &persistent.recursive];
                    let mut all: Listeners = parts.into_iter().flatten().copied().collect();
                    in_order(&mut all);
                    both = all;
                    &both
                }
            };
            // A free place has no watchers.
            if !listeners.is_empty() {
                each(&watched.path, listeners);
            }
            watchers += listeners.len();
            if watchers >= RUN_WATCHERS {
                end = at + 1;
                break;
            }
        }
        (end < self.paths.len()).then_some(end)
    }

    /// Adds a watch. Returns true if it is new.
    pub(crate) fn add(&mut self, watcher: WatcherId, path: &str, kind: Kind) -> bool {
        let id = match self.ids.get(path) {
            Some(id) => *id,
            None => self.intern(path),
        };
        let index = watcher as usize;
        if self.watchers.len() <= index {
            self.watchers.resize_with(index + 1, FxHashMap::default);
        }
        let kinds = self.watchers[index].entry(id).or_default();
        if kinds.has(kind) {
            return false;
        }
        let (old, new) = (*kinds, kinds.with(kind));
        *kinds = new;
        self.counts.moved(old, new);
        self.paths[id as usize].add(kind, watcher);
        if kind == Kind::Recursive {
            *self.recursive_lengths.entry(path.len()).or_default() += 1;
        }
        true
    }

    /// Whether a connection has this watch.
    pub(crate) fn contains(&self, watcher: WatcherId, path: &str, kind: Kind) -> bool {
        let kinds = self.ids.get(path).and_then(|id| {
            let own = self.watchers.get(watcher as usize)?;
            own.get(id).copied()
        });
        kinds.unwrap_or_default().has(kind)
    }

    /// Removes one connection's watch; false if there is none.
    pub(crate) fn remove(&mut self, watcher: WatcherId, path: &str, kind: Kind) -> bool {
        let Some(&id) = self.ids.get(path) else {
            return false;
        };
        if !self.forget(watcher, id, kind) {
            return false;
        }
        self.unlist(id, kind, watcher);
        self.release_if_unwatched(id);
        true
    }

    /// The connections that get an event, each once. One-shot watches that fire are removed.
    pub(crate) fn fire(&mut self, path: &str, event: EventType) -> Fired {
        let of_children = event == EventType::NodeChildrenChanged;
        let mut fired = Fired::default();
        if let Some(&id) = self.ids.get(path) {
            fired.once = match event {
                EventType::NodeCreated | EventType::NodeDataChanged => self.take(id, Kind::Data),
                EventType::NodeChildrenChanged => self.take(id, Kind::Child),
                EventType::NodeDeleted => {
                    // A connection that has both kinds of watch gets one event, as in ZooKeeper.
                    let mut both = self.take(id, Kind::Data);
                    both.extend(self.take(id, Kind::Child));
                    in_order(&mut both);
                    both
                }
                _ => return fired,
            };
            if let Some(persistent) = &self.paths[id as usize].persistent {
                fired.persistent.extend_from_slice(&persistent.persistent);
                if !of_children {
                    fired.persistent.extend_from_slice(&persistent.recursive);
                }
            }
            self.release_if_unwatched(id);
        }
        if self.counts.recursive > 0 && !of_children {
            self.hear_above(path, &mut fired.persistent);
        }
        if !fired.persistent.is_empty() {
            in_order(&mut fired.persistent);
            let once = &fired.once;
            fired
                .persistent
                .retain(|watcher| once.binary_search(watcher).is_err());
        }
        fired
    }

    /// Adds the recursive watchers of the paths above one: only prefixes of a length that some
    /// recursively watched path has are looked up, so that a deep path costs no more than that.
    fn hear_above(&self, path: &str, listeners: &mut Listeners) {
        for &length in self.recursive_lengths.keys() {
            if length >= path.len() {
                break;
            }
            // The root ends with its own slash, and nothing lies below the empty path.
            if length != 1 && (length == 0 || path.as_bytes()[length] != b'/') {
                continue;
            }
            if let Some(&id) = self.ids.get(&path[..length])
                && let Some(persistent) = &self.paths[id as usize].persistent
            {
                listeners.extend_from_slice(&persistent.recursive);
            }
        }
    }

    /// Removes a watcher from a path's list.
    fn unlist(&mut self, id: PathId, kind: Kind, watcher: WatcherId) {
        let watched = &mut self.paths[id as usize];
        watched.remove(kind, watcher);
        if kind == Kind::Recursive {
            let length = watched.path.len();
            if let Some(count) = self.recursive_lengths.get_mut(&length) {
                *count -= 1;
                if *count == 0 {
                    self.recursive_lengths.remove(&length);
                }
            }
        }
    }

    /// Removes all watches of a connection that ended.
    pub(crate) fn drop_watcher(&mut self, watcher: WatcherId) {
        let Some(own) = self.watchers.get_mut(watcher as usize) else {
            return;
        };
        for (id, kinds) in std::mem::take(own) {
            self.counts.moved(kinds, Kinds::default());
            for kind in Kind::ALL {
                if kinds.has(kind) {
                    self.unlist(id, kind, watcher);
                }
            }
            self.release_if_unwatched(id);
        }
    }

    fn intern(&mut self, path: &str) -> PathId {
        let path: Arc<str> = path.into();
        self.last_stamp += 1;
        let watched = Watched {
            path: path.clone(),
            stamp: self.last_stamp,
            data: Listeners::new(),
            child: Listeners::new(),
            persistent: None,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.paths[id as usize] = watched;
                id
            }
            None => {
                self.paths.push(watched);
                // Memory is full long before there are 2^32 watched paths.
                (self.paths.len() - 1) as PathId
            }
        };
        self.ids.insert(path, id);
        id
    }

    /// Takes out the one-shot watches of a kind.
    fn take(&mut self, id: PathId, kind: Kind) -> Listeners {
        let watched = &mut self.paths[id as usize];
        let fired = std::mem::take(match kind {
            Kind::Child => &mut watched.child,
            _ => &mut watched.data,
        });
        for watcher in &fired {
            self.forget(*watcher, id, kind);
        }
        fired
    }

    /// Takes a kind out of a watcher's own set. Returns false if it was not there.
    fn forget(&mut self, watcher: WatcherId, id: PathId, kind: Kind) -> bool {
        let Some(own) = self.watchers.get_mut(watcher as usize) else {
            return false;
        };
        let Some(kinds) = own.get_mut(&id) else {
            return false;
        };
        if !kinds.has(kind) {
            return false;
        }
        let (old, new) = (*kinds, kinds.without(kind));
        *kinds = new;
        if new.is_empty() {
            own.remove(&id);
        }
        self.counts.moved(old, new);
        true
    }

    fn release_if_unwatched(&mut self, id: PathId) {
        let watched = &mut self.paths[id as usize];
        if watched.is_unwatched() {
            if self.ids.remove(&watched.path).is_some() {
                self.free.push(id);
            }
            watched.path = Arc::from("");
        }
    }
}

/// Sorts the list and removes duplicates.
fn in_order(listeners: &mut Listeners) {
    listeners.sort_unstable();
    listeners.dedup();
}

#[cfg(test)]
mod tests;

//! Who watches what, on this node: one-shot watches on data, existence and children.
//!
//! 1. A read that sets a watch registers it under the fan-out's lock, in which the table lives.
//! 2. Apply's event takes the watchers of its path out of the table: a watch fires once.
//! 3. A connection that ends takes its watches with it.
//!
//! As in ZooKeeper, existence and data are one kind: a watch of exists and one of getData on one
//! znode are the same watch.

use std::sync::Arc;

use innkeeper_proto::EventType;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The dense number of a connection that serves a session.
pub(crate) type Dense = u32;

/// The number of a watched path in the table.
type PathId = u32;

/// What a watch waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Creation, deletion and change of data.
    Data,
    /// Deletion, and creation and deletion of children.
    Child,
}

impl Kind {
    const fn bit(self) -> u8 {
        match self {
            Kind::Data => 1,
            Kind::Child => 2,
        }
    }
}

/// The watched paths and their watchers.
///
/// Invariants:
/// - A watcher stands in a path's list if and only if its own set has that path with that kind.
/// - Lists are sorted and free of duplicates; a path without watchers is not in the table.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    ids: FxHashMap<Arc<str>, PathId>,
    paths: Vec<Watched>,
    free: Vec<PathId>,
    /// By connection: the kinds that it watches of each path.
    watchers: Vec<FxHashMap<PathId, u8>>,
    count: usize,
}

#[derive(Debug)]
struct Watched {
    path: Arc<str>,
    data: SmallVec<[Dense; 2]>,
    child: SmallVec<[Dense; 2]>,
}

impl Watched {
    fn list(&mut self, kind: Kind) -> &mut SmallVec<[Dense; 2]> {
        match kind {
            Kind::Data => &mut self.data,
            Kind::Child => &mut self.child,
        }
    }
}

impl Watches {
    /// How many watches there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many paths are watched.
    pub(crate) fn paths(&self) -> usize {
        self.ids.len()
    }

    /// Leaves a watch; one that stands already stays one.
    pub(crate) fn add(&mut self, watcher: Dense, path: &str, kind: Kind) {
        let id = match self.ids.get(path) {
            Some(id) => *id,
            None => self.intern(path),
        };
        let index = watcher as usize;
        if self.watchers.len() <= index {
            self.watchers.resize_with(index + 1, FxHashMap::default);
        }
        let kinds = self.watchers[index].entry(id).or_default();
        if *kinds & kind.bit() != 0 {
            return;
        }
        *kinds |= kind.bit();
        let list = self.paths[id as usize].list(kind);
        if let Err(at) = list.binary_search(&watcher) {
            list.insert(at, watcher);
        }
        self.count += 1;
    }

    /// Removes one connection's watch; false if there is none.
    pub(crate) fn remove(&mut self, watcher: Dense, path: &str, kind: Kind) -> bool {
        let Some(&id) = self.ids.get(path) else {
            return false;
        };
        if !self.forget(watcher, id, kind) {
            return false;
        }
        let list = self.paths[id as usize].list(kind);
        if let Ok(at) = list.binary_search(&watcher) {
            list.remove(at);
        }
        self.release_if_unwatched(id);
        true
    }

    /// Takes out who is to hear of an event, each once.
    pub(crate) fn fire(&mut self, path: &str, event: EventType) -> SmallVec<[Dense; 2]> {
        let Some(&id) = self.ids.get(path) else {
            return SmallVec::new();
        };
        let fired = match event {
            EventType::NodeCreated | EventType::NodeDataChanged => self.take(id, Kind::Data),
            EventType::NodeChildrenChanged => self.take(id, Kind::Child),
            EventType::NodeDeleted => {
                // One event for whoever has both kinds of watch, as in ZooKeeper.
                let mut fired = self.take(id, Kind::Data);
                for watcher in self.take(id, Kind::Child) {
                    if let Err(at) = fired.binary_search(&watcher) {
                        fired.insert(at, watcher);
                    }
                }
                fired
            }
            _ => SmallVec::new(),
        };
        self.release_if_unwatched(id);
        fired
    }

    /// Removes everything of a connection that ended.
    pub(crate) fn drop_watcher(&mut self, watcher: Dense) {
        let Some(own) = self.watchers.get_mut(watcher as usize) else {
            return;
        };
        for (id, kinds) in std::mem::take(own) {
            for kind in [Kind::Data, Kind::Child] {
                if kinds & kind.bit() == 0 {
                    continue;
                }
                self.count -= 1;
                let list = self.paths[id as usize].list(kind);
                if let Ok(at) = list.binary_search(&watcher) {
                    list.remove(at);
                }
            }
            self.release_if_unwatched(id);
        }
    }

    fn intern(&mut self, path: &str) -> PathId {
        let path: Arc<str> = path.into();
        let watched = Watched {
            path: path.clone(),
            data: SmallVec::new(),
            child: SmallVec::new(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.paths[id as usize] = watched;
                id
            }
            None => {
                self.paths.push(watched);
                // Four thousand million watched paths do not fit into memory.
                (self.paths.len() - 1) as PathId
            }
        };
        self.ids.insert(path, id);
        id
    }

    fn take(&mut self, id: PathId, kind: Kind) -> SmallVec<[Dense; 2]> {
        let fired = std::mem::take(self.paths[id as usize].list(kind));
        for watcher in &fired {
            self.forget(*watcher, id, kind);
        }
        fired
    }

    /// Takes a kind out of a watcher's own set; false if it was not there.
    fn forget(&mut self, watcher: Dense, id: PathId, kind: Kind) -> bool {
        let Some(own) = self.watchers.get_mut(watcher as usize) else {
            return false;
        };
        let Some(kinds) = own.get_mut(&id) else {
            return false;
        };
        if *kinds & kind.bit() == 0 {
            return false;
        }
        *kinds &= !kind.bit();
        if *kinds == 0 {
            own.remove(&id);
        }
        self.count -= 1;
        true
    }

    fn release_if_unwatched(&mut self, id: PathId) {
        let watched = &mut self.paths[id as usize];
        if watched.data.is_empty() && watched.child.is_empty() {
            if self.ids.remove(&watched.path).is_some() {
                self.free.push(id);
            }
            watched.path = Arc::from("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_fires_once_and_a_deletion_reaches_both_kinds_once() {
        let mut watches = Watches::default();
        watches.add(3, "/a", Kind::Data);
        watches.add(3, "/a", Kind::Data);
        watches.add(1, "/a", Kind::Child);
        watches.add(3, "/a", Kind::Child);
        assert_eq!((watches.len(), watches.paths()), (3, 1));
        assert_eq!(
            watches.fire("/a", EventType::NodeDeleted).as_slice(),
            [1, 3]
        );
        assert!(watches.fire("/a", EventType::NodeDeleted).is_empty());
        assert_eq!((watches.len(), watches.paths()), (0, 0));
    }

    #[test]
    fn kinds_are_told_apart() {
        let mut watches = Watches::default();
        watches.add(0, "/a", Kind::Data);
        watches.add(1, "/a", Kind::Child);
        assert_eq!(
            watches
                .fire("/a", EventType::NodeChildrenChanged)
                .as_slice(),
            [1]
        );
        assert_eq!(
            watches.fire("/a", EventType::NodeDataChanged).as_slice(),
            [0]
        );
        watches.add(0, "/b", Kind::Data);
        assert!(!watches.remove(0, "/b", Kind::Child));
        assert!(!watches.remove(1, "/b", Kind::Data));
        assert!(watches.remove(0, "/b", Kind::Data));
        assert_eq!((watches.len(), watches.paths()), (0, 0));
    }

    #[test]
    fn a_connection_takes_its_watches_with_it_and_its_number_starts_empty() {
        let mut watches = Watches::default();
        watches.add(0, "/a", Kind::Data);
        watches.add(1, "/a", Kind::Data);
        watches.add(1, "/b", Kind::Child);
        watches.drop_watcher(1);
        assert_eq!((watches.len(), watches.paths()), (1, 1));
        watches.add(1, "/c", Kind::Data);
        assert!(watches.fire("/b", EventType::NodeDeleted).is_empty());
        assert_eq!(
            watches.fire("/a", EventType::NodeDataChanged).as_slice(),
            [0]
        );
        assert_eq!(watches.fire("/c", EventType::NodeCreated).as_slice(), [1]);
    }
}

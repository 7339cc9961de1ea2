//! The bytes that are read and written below each top-level znode.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use innkeeper_raft::histogram::Summary;
use parking_lot::RwLock;

use super::Counter;

/// The most top-level names that are counted apart; requests below other names are not counted.
/// Clients choose the names, and each costs some kilobytes.
const MAX_NAMESPACES: usize = 256;

/// The bytes of each read and each write below one top-level znode.
#[derive(Debug, Default)]
pub(crate) struct Namespace {
    pub(crate) reads: Summary,
    pub(crate) writes: Summary,
    /// Whether there ever was one: ZooKeeper shows a name after its first operation of the kind,
    /// also after a reset.
    pub(crate) was_read: AtomicBool,
    pub(crate) was_written: AtomicBool,
    pub(crate) quota_exceeded: Counter,
}

impl Namespace {
    /// Records a read below the name.
    pub(crate) fn read(&self, bytes: u64) {
        self.reads.add(bytes);
        note(&self.was_read);
    }

    /// Records a write below the name.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.writes.add(bytes);
        note(&self.was_written);
    }
}

fn note(flag: &AtomicBool) {
    // The common case is a load: storing each time would take the cache line from other cores.
    if !flag.load(Ordering::Relaxed) {
        flag.store(true, Ordering::Relaxed);
    }
}

/// All top-level names that are counted.
///
/// Invariant: there are at most [`MAX_NAMESPACES`]; a name that has a place keeps it.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    by_name: RwLock<HashMap<Arc<str>, Arc<Namespace>>>,
}

impl Namespaces {
    /// The counters of a name, which gets a place if one is free; `None` if there are too many
    /// names.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Namespace>> {
        {
            let by_name = self.by_name.read();
            let found = by_name.get(name);
            // When there are too many names, the others take only the read lock, and shut nobody
            // out.
            if found.is_some() || by_name.len() >= MAX_NAMESPACES {
                return found.cloned();
            }
        }
        let mut by_name = self.by_name.write();
        if by_name.len() >= MAX_NAMESPACES && !by_name.contains_key(name) {
            return None;
        }
        Some(by_name.entry(name.into()).or_default().clone())
    }

    /// All of them, in byte order of their names.
    pub(crate) fn all(&self) -> Vec<(Arc<str>, Arc<Namespace>)> {
        let mut all: Vec<_> = self
            .by_name
            .read()
            .iter()
            .map(|(name, namespace)| (name.clone(), namespace.clone()))
            .collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Resets all numbers, and keeps the names.
    pub(crate) fn reset(&self) {
        for (_, namespace) in self.all() {
            namespace.reads.reset();
            namespace.writes.reset();
        }
    }
}

/// The first name of a path: `a` of `/a/b`.
pub fn top(path: &str) -> Option<&str> {
    let name = path.strip_prefix('/')?.split('/').next()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_first_of_a_path_and_their_number_is_bounded() {
        assert_eq!(top("/a/b"), Some("a"));
        assert_eq!(top("/a"), Some("a"));
        assert_eq!((top("/"), top(""), top("a")), (None, None, None));
        let namespaces = Namespaces::default();
        for number in 0..MAX_NAMESPACES {
            assert!(namespaces.find(&number.to_string()).is_some());
        }
        // A recording does not wait for a reader, even if there is no place for its name.
        let looks = namespaces.by_name.read();
        assert!(namespaces.find("one too many").is_none());
        assert!(namespaces.find("7").is_some());
        drop(looks);
        assert_eq!(namespaces.all().len(), MAX_NAMESPACES);
    }
}

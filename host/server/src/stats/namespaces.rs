//! What is read and written below each top-level znode.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use innkeeper_raft::histogram::Summary;
use parking_lot::RwLock;

use super::Counter;

/// At most how many top-level names are told apart; what lies below others is not counted. A
/// client can make any number of names, and each costs some kilobytes.
const MAX_NAMESPACES: usize = 256;

/// What happens below one top-level znode, in bytes per operation.
#[derive(Debug, Default)]
pub(crate) struct Namespace {
    pub(crate) reads: Summary,
    pub(crate) writes: Summary,
    /// Whether there ever was one: ZooKeeper shows a name from its first operation of the kind
    /// on, also after a reset.
    pub(crate) was_read: AtomicBool,
    pub(crate) was_written: AtomicBool,
    pub(crate) quota_exceeded: Counter,
}

impl Namespace {
    /// A read below it.
    pub(crate) fn read(&self, bytes: u64) {
        self.reads.add(bytes);
        note(&self.was_read);
    }

    /// A write below it.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.writes.add(bytes);
        note(&self.was_written);
    }
}

fn note(flag: &AtomicBool) {
    // A plain load in the common case keeps the cache line shared.
    if !flag.load(Ordering::Relaxed) {
        flag.store(true, Ordering::Relaxed);
    }
}

/// All of them, by name.
///
/// Invariant: at most [`MAX_NAMESPACES`]; a name that has a place keeps it.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    by_name: RwLock<HashMap<Arc<str>, Arc<Namespace>>>,
}

impl Namespaces {
    /// The figures of a name, which gets a place if there is one; `None` if there are too many names.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Namespace>> {
        {
            let by_name = self.by_name.read();
            let found = by_name.get(name);
            // Once there are too many names, the others take no lock that shuts anyone out.
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

    /// Forgets all numbers, not the names.
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
        // Nobody has to wait for those who look, not even one for whom there is no place.
        let looks = namespaces.by_name.read();
        assert!(namespaces.find("one too many").is_none());
        assert!(namespaces.find("7").is_some());
        drop(looks);
        assert_eq!(namespaces.all().len(), MAX_NAMESPACES);
    }
}

//! The index: it finds the slot of a znode by its path.
//!
//! A table of whole paths needs one cache miss for a lookup; a walk from the root needs one for
//! each segment. The table is our own for two reasons. The tables of std and hashbrown need two
//! cache misses, because their control bytes and entries are apart. And this one has shards, so
//! that its growth stops the writer only for a fraction of a millisecond. The hash has a new seed
//! in each process, because a client that knew it could make every lookup slow. The seed has no
//! effect on the state: a table is iterated only when it grows.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

const SHARDS: usize = 256;

/// The least number of places of a shard.
const LEAST: usize = 16;

/// The index of all znodes.
pub(super) struct Index {
    hasher: DefaultHashBuilder,
    shards: Vec<Shard>,
}

/// A path's hash under this index's seed.
#[derive(Clone, Copy)]
pub(super) struct PathHash(u64);

impl PathHash {
    fn shard(self) -> usize {
        (self.0 >> 56) as usize
    }

    fn tag(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

impl Index {
    pub(super) fn new() -> Index {
        Index {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Shard::new(LEAST)).collect(),
        }
    }

    pub(super) fn hash(&self, path: &str) -> PathHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(path.as_bytes());
        PathHash(hasher.finish())
    }

    /// The slot with this hash that `is_it` accepts.
    pub(super) fn find(&self, hash: PathHash, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[hash.shard()].find(hash.tag(), is_it)
    }

    pub(super) fn insert(&mut self, hash: PathHash, slot: u32) {
        self.shards[hash.shard()].insert(hash.tag(), slot);
    }

    pub(super) fn remove(&mut self, hash: PathHash, slot: u32) {
        self.shards[hash.shard()].remove(hash.tag(), slot);
    }
}

/// A table with linear probing.
///
/// - The number of places is a power of two, and at most three quarters are taken.
/// - All places from an entry's home, which its tag gives, up to the entry's place are taken.
struct Shard {
    /// In each place the tag (upper half) and the slot (lower half), or [`FREE`].
    places: Box<[u64]>,
    len: usize,
}

/// A place without an entry. It is not mistaken for one, since no slot has the number `u32::MAX`.
const FREE: u64 = u64::MAX;

impl Shard {
    fn new(room: usize) -> Shard {
        Shard {
            places: vec![FREE; room].into_boxed_slice(),
            len: 0,
        }
    }

    fn mask(&self) -> usize {
        self.places.len() - 1
    }

    /// The first place for an entry with this tag. The shard was chosen by other bits of the hash.
    fn home(&self, tag: u32) -> usize {
        tag as usize & self.mask()
    }

    fn find(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.mask();
        let mut at = self.home(tag);
        loop {
            let entry = self.places[at];
            if entry == FREE {
                return None;
            }
            if (entry >> 32) as u32 == tag && is_it(entry as u32) {
                return Some(entry as u32);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, tag: u32, slot: u32) {
        if (self.len + 1) * 4 > self.places.len() * 3 {
            let mut grown = Shard::new(self.places.len() * 2);
            for entry in self.places.iter().filter(|entry| **entry != FREE) {
                grown.insert((entry >> 32) as u32, *entry as u32);
            }
            *self = grown;
        }
        let mask = self.mask();
        let mut at = self.home(tag);
        while self.places[at] != FREE {
            at = (at + 1) & mask;
        }
        self.places[at] = u64::from(tag) << 32 | u64::from(slot);
        self.len += 1;
    }

    fn remove(&mut self, tag: u32, slot: u32) {
        let mask = self.mask();
        let wanted = u64::from(tag) << 32 | u64::from(slot);
        let mut hole = self.home(tag);
        while self.places[hole] != wanted {
            if self.places[hole] == FREE {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.len -= 1;
        // An entry after the hole that may be in it moves there, so that no search ends too early.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let entry = self.places[at];
            if entry == FREE {
                break;
            }
            let home = self.home((entry >> 32) as u32);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.places[hole] = entry;
                hole = at;
            }
        }
        self.places[hole] = FREE;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few tags, so that entries crowd and wrap around.
        #[test]
        fn a_shard_is_a_map(steps in prop::collection::vec((any::<bool>(), 0u32..40, 0u32..6), 0..400)) {
            let mut shard = Shard::new(LEAST);
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            for (insert, slot, tag) in steps {
                // Tags at the end of the table make runs wrap.
                let tag = tag.wrapping_sub(3);
                if insert {
                    if let std::collections::btree_map::Entry::Vacant(vacant) = model.entry(slot) {
                        vacant.insert(tag);
                        shard.insert(tag, slot);
                    }
                } else if let Some(tag) = model.remove(&slot) {
                    shard.remove(tag, slot);
                }
                prop_assert_eq!(shard.len, model.len());
                for slot in 0..40 {
                    let known = model.get(&slot).copied();
                    for tag in (0..6u32).map(|tag| tag.wrapping_sub(3)) {
                        let found = shard.find(tag, |candidate| candidate == slot);
                        prop_assert_eq!(found.is_some(), known == Some(tag));
                    }
                }
            }
        }
    }
}

//! From a path to the slot of its znode.
//!
//! One table over whole paths needs two cache misses where a walk from the root needs two per
//! segment. It is cut in shards, so that a table's growth stops the writer for a fraction of
//! a millisecond only. The hash is seeded anew in every process: a client that knows it could
//! make every lookup slow. Nothing depends on it, since no table is ever iterated.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

const SHARDS: usize = 256;

/// What stands for a path: 32 bits of its hash choose the place in the shard.
#[derive(Clone, Copy)]
struct Entry {
    tag: u32,
    slot: u32,
}

impl Entry {
    fn place(&self) -> u64 {
        place(self.tag)
    }
}

fn place(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The table.
pub(super) struct Index {
    hasher: DefaultHashBuilder,
    shards: Vec<HashTable<Entry>>,
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
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
        }
    }

    pub(super) fn hash(&self, path: &str) -> PathHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(path.as_bytes());
        PathHash(hasher.finish())
    }

    /// The slot among those of this hash that `is_it` accepts.
    pub(super) fn find(&self, hash: PathHash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash.tag();
        self.shards[hash.shard()]
            .find(place(tag), |entry| entry.tag == tag && is_it(entry.slot))
            .map(|entry| entry.slot)
    }

    pub(super) fn insert(&mut self, hash: PathHash, slot: u32) {
        let entry = Entry {
            tag: hash.tag(),
            slot,
        };
        self.shards[hash.shard()].insert_unique(entry.place(), entry, Entry::place);
    }

    pub(super) fn remove(&mut self, hash: PathHash, slot: u32) {
        let shard = &mut self.shards[hash.shard()];
        if let Ok(found) = shard.find_entry(place(hash.tag()), |entry| entry.slot == slot) {
            found.remove();
        }
    }
}

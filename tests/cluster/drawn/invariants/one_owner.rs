//! **A lock has one owner at a time**, in true time. A client knows that it holds a lock from the
//! answer to its create until it sends the last request that was answered to it as the owner.

use std::collections::BTreeMap;

use innkeeper_runtime::Instant;

/// By the zxid that created it: the lock, and from when to when its owner knew that it held it.
#[derive(Default)]
pub struct OneOwner {
    all: BTreeMap<i64, (u64, Instant, Instant)>,
}

impl OneOwner {
    /// A client has learnt that it holds a lock.
    pub fn taken(&mut self, key: u64, czxid: i64, now: Instant) {
        self.all.entry(czxid).or_insert((key, now, now));
    }

    /// What was sent at this time was answered to the owner.
    pub fn confirmed(&mut self, czxid: i64, sent: Instant) {
        if let Some((_, _, until)) = self.all.get_mut(&czxid) {
            *until = sent.max(*until);
        }
    }

    pub fn check(&self) {
        let mut last: BTreeMap<u64, (i64, Instant)> = BTreeMap::new();
        for (czxid, (key, from, until)) in &self.all {
            if let Some((before, held)) = last.get(key) {
                assert!(
                    held <= from,
                    "lock {key} of {before} was held at {held:?}, and that of {czxid} from {from:?} on"
                );
            }
            last.insert(*key, (*czxid, *until));
        }
    }
}

//! The newest entries in memory. openraft reads entries back right after it has appended them.

use std::collections::VecDeque;

use crate::codec;
use crate::types::Entry;

/// The newest entries, decoded, with their encoded bytes inside.
///
/// Invariants:
/// - The entries are consecutive and end with the log's last entry.
/// - An entry leaves at the front only when it is flushed. Those that are applied, too, go when more
///   than `keep` bytes are here, the others when they reach their bound: a follower of a new leader
///   must store everything that this leader has before it can apply any of it. What is needed later
///   is read from disk. (test:
///   `a_follower_full_of_uncommitted_entries_takes_those_of_the_next_leader`)
/// - Bound: `keep`, the bound of the held bytes, and what waits to be flushed. While that is more
///   than the bound, a leader proposes nothing, and a follower reads nothing from its leader.
#[derive(Debug)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
    keep: usize,
    /// The bytes of the entries that are not both applied and flushed.
    held: usize,
    /// Entries from here on are held.
    held_from: u64,
}

impl Tail {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            keep,
            held: 0,
            held_from: 0,
        }
    }

    /// The bytes of memory of the entries that are not both applied and flushed.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    fn cost(entry: &Entry) -> usize {
        // Twice the bytes, for the decoded command beside the encoded one, and the structs.
        2 * codec::entry_len_hint(entry) + 128
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        let cost = Self::cost(&entry);
        self.bytes += cost;
        if entry.log_id.index >= self.held_from {
            self.held += cost;
        }
        self.entries.push_back(entry);
    }

    /// Index of the oldest entry in memory.
    pub(crate) fn first(&self) -> Option<u64> {
        self.entries.front().map(|e| e.log_id.index)
    }

    /// The first entries of `start..end` that are in memory: as many as fit into `most_bytes` of
    /// encoded bytes, and at least one.
    pub(crate) fn range(&self, start: u64, end: u64, most_bytes: u64) -> Vec<Entry> {
        let Some(first) = self.first() else {
            return Vec::new();
        };
        let from = (start.max(first) - first) as usize;
        let to = (end.max(first) - first) as usize;
        let to = to.min(self.entries.len());
        if from >= to {
            return Vec::new();
        }
        let mut bytes = 0_u64;
        let fits = |(place, entry): &(usize, &Entry)| {
            bytes = bytes.saturating_add(codec::entry_len_hint(entry) as u64);
            *place == 0 || bytes <= most_bytes
        };
        let entries = self.entries.range(from..to).enumerate().take_while(fits);
        entries.map(|(_, entry)| entry.clone()).collect()
    }

    pub(crate) fn truncate_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|e| e.log_id.index >= index) {
            let entry = self.entries.pop_back();
            self.removed(entry);
        }
    }

    fn pop(&mut self) {
        let entry = self.entries.pop_front();
        self.removed(entry);
    }

    fn removed(&mut self, entry: Option<Entry>) {
        if let Some(entry) = entry {
            let cost = Self::cost(&entry);
            self.bytes -= cost;
            if entry.log_id.index >= self.held_from {
                self.held -= cost;
            }
        }
    }

    pub(crate) fn purge(&mut self, index: u64) {
        while self.first().is_some_and(|first| first <= index) {
            self.pop();
        }
    }

    /// The entries up to and including `index` are applied and flushed: they are dropped, except the
    /// last `keep` bytes.
    pub(crate) fn release(&mut self, index: u64) {
        let upto = index.saturating_add(1);
        if let Some(first) = self.first()
            && upto > self.held_from
        {
            let place = |at: u64| (at.max(first) - first).min(self.entries.len() as u64) as usize;
            let settled = self.entries.range(place(self.held_from)..place(upto));
            self.held -= settled.map(Self::cost).sum::<usize>();
            self.held_from = upto;
        }
        while self.bytes > self.keep && self.first().is_some_and(|first| first <= index) {
            self.pop();
        }
    }

    /// Entries before `waiting` are flushed. So many of them leave memory, whether they are applied
    /// or not, that less than `most` bytes are held.
    pub(crate) fn spill(&mut self, waiting: u64, most: usize) {
        while self.held >= most && self.first().is_some_and(|first| first < waiting) {
            self.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::types::log_id;

    fn entry(index: u64) -> Entry {
        Entry {
            log_id: log_id(1, index),
            payload: EntryPayload::Blank,
        }
    }

    #[test]
    fn entries_are_held_until_they_are_applied_and_flushed() {
        for keep in [0, 1 << 20] {
            let one = Tail::cost(&entry(0));
            let mut tail = Tail::new(keep);
            (5..15).for_each(|index| tail.push(entry(index)));
            assert_eq!(tail.held(), 10 * one);
            tail.release(7);
            tail.release(6);
            assert_eq!(tail.held(), 7 * one);
            // Another leader replaces the last ones.
            tail.truncate_from(12);
            assert_eq!(tail.held(), 4 * one);
            tail.push(entry(12));
            assert_eq!(tail.held(), 5 * one);
            // A snapshot takes the place of the first ones.
            tail.purge(9);
            assert_eq!(tail.held(), 3 * one);
            // Applied before they were here: openraft applies what it gets again.
            tail.release(20);
            assert_eq!(tail.held(), 0);
            tail.push(entry(13));
            assert_eq!(tail.held(), 0);
        }
    }

    #[test]
    fn what_is_flushed_leaves_memory_at_the_bound_although_it_is_not_applied() {
        let one = Tail::cost(&entry(0));
        let mut tail = Tail::new(1 << 20);
        (5..15).for_each(|index| tail.push(entry(index)));
        tail.spill(12, 20 * one);
        assert_eq!(tail.held(), 10 * one);
        tail.spill(12, 6 * one);
        assert_eq!((tail.held(), tail.first()), (5 * one, Some(10)));
        // The others wait to be flushed.
        tail.spill(12, one);
        assert_eq!((tail.held(), tail.first()), (3 * one, Some(12)));
        // What is applied meanwhile may have left before.
        tail.release(11);
        assert_eq!(tail.held(), 3 * one);
        tail.spill(u64::MAX, one);
        assert_eq!((tail.held(), tail.first()), (0, None));
        tail.push(entry(15));
        assert_eq!((tail.held(), tail.first()), (one, Some(15)));
    }
}

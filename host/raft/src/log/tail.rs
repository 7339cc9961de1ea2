//! The newest entries in memory. openraft reads entries back right after it has appended them.

use std::collections::VecDeque;

use crate::codec;
use crate::types::Entry;

/// The newest entries, decoded, with their encoded bytes inside.
///
/// Invariants:
/// - The entries are consecutive and end with the log's last entry.
/// - An entry leaves at the front only when it is applied and flushed, and more than `keep` bytes
///   of later entries are here. Bound: `keep` plus the entries in flight, which are bounded by the
///   number of batches in flight.
#[derive(Debug)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
    keep: usize,
}

impl Tail {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            keep,
        }
    }

    fn cost(entry: &Entry) -> usize {
        // Twice the bytes, for the decoded command beside the encoded one, and the structs.
        2 * codec::entry_len_hint(entry) + 128
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += Self::cost(&entry);
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
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= Self::cost(&entry);
            }
        }
    }

    fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= Self::cost(&entry);
        }
    }

    pub(crate) fn purge(&mut self, index: u64) {
        while self.first().is_some_and(|first| first <= index) {
            self.pop();
        }
    }

    /// Drops entries up to and including `index`, except the last `keep` bytes.
    pub(crate) fn release(&mut self, index: u64) {
        while self.bytes > self.keep && self.first().is_some_and(|first| first <= index) {
            self.pop();
        }
    }
}

//! Where each entry stands on disk: the index over all segments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::Instant;

/// The folder of the segments, inside the data folder.
pub(crate) const FOLDER: &str = "log";

/// A segment's path.
pub(crate) fn path(number: u64) -> String {
    format!("{FOLDER}/{number:020}.wal")
}

/// The number in a file's name, if it is a segment's.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

/// One segment file and the live entries in it.
///
/// Invariants:
/// - `offsets[i]` is where the record of entry `first + i` begins.
/// - The entries of neighbouring segments are consecutive; a segment may hold none.
/// - Only the last segment is written to; the others have `sealed_at`.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) number: u64,
    /// Present as soon as the file exists.
    pub(crate) file: Option<Arc<F>>,
    pub(crate) first: u64,
    pub(crate) offsets: Vec<u32>,
    /// Where the next record goes.
    pub(crate) end: u64,
    pub(crate) sealed_at: Option<Instant>,
}

impl<F> Segment<F> {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            file: None,
            first: 0,
            offsets: Vec::new(),
            end: 0,
            sealed_at: None,
        }
    }

    /// One past the last entry; meaningful only if there is one.
    fn next(&self) -> u64 {
        self.first + self.offsets.len() as u64
    }
}

/// A stretch of consecutive entries inside one file.
#[derive(Debug)]
pub(crate) struct Stretch<F> {
    pub(crate) number: u64,
    pub(crate) file: Arc<F>,
    pub(crate) offsets: Vec<u32>,
    /// Where the last record ends at the latest.
    pub(crate) end: u64,
}

/// All segments, oldest first.
#[derive(Debug)]
pub(crate) struct Segments<F> {
    pub(crate) list: VecDeque<Segment<F>>,
}

impl<F> Segments<F> {
    pub(crate) fn new() -> Self {
        Self {
            list: VecDeque::new(),
        }
    }

    pub(crate) fn active(&mut self) -> Option<&mut Segment<F>> {
        self.list.back_mut()
    }

    /// The entry `index` begins at `offset` of the active segment.
    pub(crate) fn push_entry(&mut self, index: u64, offset: u64) {
        if let Some(active) = self.list.back_mut() {
            if active.offsets.is_empty() {
                active.first = index;
            }
            // The settings keep segments below 1 GiB; a record that is larger stands at the
            // front of its own.
            active
                .offsets
                .push(u32::try_from(offset).unwrap_or(u32::MAX));
        }
    }

    /// Forgets entries from `index` on.
    pub(crate) fn truncate_from(&mut self, index: u64) {
        for segment in self.list.iter_mut().rev() {
            if segment.offsets.is_empty() {
                continue;
            }
            if segment.next() <= index {
                break;
            }
            let keep = index.saturating_sub(segment.first);
            segment
                .offsets
                .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        }
    }

    /// Forgets entries up to and including `index`; returns the segments that hold nothing any
    /// more, oldest first. The active segment stays.
    pub(crate) fn purge(&mut self, index: u64) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.list.len() > 1 {
            let oldest = &self.list[0];
            if !oldest.offsets.is_empty() && oldest.next() > index + 1 {
                break;
            }
            gone.push(oldest.number);
            self.list.pop_front();
        }
        if let Some(oldest) = self.list.front_mut()
            && !oldest.offsets.is_empty()
            && oldest.first <= index
        {
            let drop = usize::try_from(index + 1 - oldest.first).unwrap_or(usize::MAX);
            let drop = drop.min(oldest.offsets.len());
            oldest.offsets.drain(..drop);
            oldest.first += drop as u64;
        }
        gone
    }

    /// The last index up to which whole sealed segments may go: covered by a checkpoint up to
    /// `covered`, and old enough or far enough back.
    pub(crate) fn purgeable(
        &self,
        covered: u64,
        now: Instant,
        age: Duration,
        bytes: u64,
    ) -> Option<u64> {
        let mut after: u64 = self.list.iter().map(|s| s.end).sum();
        let mut upto = None;
        for segment in &self.list {
            after -= segment.end;
            let Some(sealed_at) = segment.sealed_at else {
                break;
            };
            if now.since(sealed_at) < age && after <= bytes {
                break;
            }
            if segment.offsets.is_empty() {
                continue;
            }
            let last = segment.next() - 1;
            if last > covered {
                break;
            }
            upto = Some(last);
        }
        upto
    }

    /// Where the entries `start..end` stand, as far as they exist and their files do.
    pub(crate) fn locate(&self, start: u64, end: u64) -> Vec<Stretch<F>> {
        let mut stretches = Vec::new();
        for segment in &self.list {
            let Some(file) = &segment.file else { continue };
            let from = start.max(segment.first);
            let to = end.min(segment.next());
            if segment.offsets.is_empty() || from >= to {
                continue;
            }
            let range = (from - segment.first) as usize..(to - segment.first) as usize;
            let after = segment
                .offsets
                .get(range.end)
                .map_or(segment.end, |o| u64::from(*o));
            stretches.push(Stretch {
                number: segment.number,
                file: file.clone(),
                offsets: segment.offsets[range].to_vec(),
                end: after,
            });
        }
        stretches
    }

    pub(crate) fn first_index(&self) -> Option<u64> {
        self.list
            .iter()
            .find(|s| !s.offsets.is_empty())
            .map(|s| s.first)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.list.iter().map(|s| s.end).sum()
    }
}

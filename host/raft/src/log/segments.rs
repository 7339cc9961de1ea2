//! The index of all segments: it has the offset on disk of each entry.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::Instant;

use super::record::Unwritable;

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
    /// The offset of the next record.
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
    /// An offset at or after the end of the last record.
    pub(crate) end: u64,
}

impl<F> Stretch<F> {
    /// The length of its records.
    pub(crate) fn bytes(&self) -> u64 {
        let begin = self.offsets.first().map_or(self.end, |at| u64::from(*at));
        self.end - begin
    }
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
    pub(crate) fn push_entry(&mut self, index: u64, offset: u64) -> Result<(), Unwritable> {
        if let Some(active) = self.list.back_mut() {
            // Segments are below 1 GiB by the settings; a longer record is at the front of a
            // segment of its own.
            let offset = u32::try_from(offset).map_err(|_| Unwritable::Offset(offset))?;
            if active.offsets.is_empty() {
                active.first = index;
            }
            active.offsets.push(offset);
        }
        Ok(())
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

    /// Forgets entries up to and including `index`. Returns the segments that are empty then,
    /// oldest first. The active segment stays.
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

    /// The last index of the sealed segments that may be removed: a checkpoint covers them up to
    /// `covered`, and the retention by age or by bytes does not keep them.
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

    /// The places of the existing entries of `start..end`: at least one entry, and as many as fit
    /// into `most_bytes`. The bool is true if these are all of them.
    pub(crate) fn locate(&self, start: u64, end: u64, most_bytes: u64) -> (Vec<Stretch<F>>, bool) {
        let mut stretches: Vec<Stretch<F>> = Vec::new();
        let mut left = most_bytes;
        for segment in &self.list {
            let Some(file) = &segment.file else { continue };
            let from = start.max(segment.first);
            let to = end.min(segment.next());
            if segment.offsets.is_empty() || from >= to {
                continue;
            }
            let range = (from - segment.first) as usize..(to - segment.first) as usize;
            let offset = |place: usize| {
                let next = segment.offsets.get(place);
                next.map_or(segment.end, |offset| u64::from(*offset))
            };
            let begin = offset(range.start);
            let fits = |end: &usize| offset(*end) - begin <= left;
            let cut = if offset(range.end) - begin <= left {
                range.end
            } else {
                let whole = (range.start + 1..range.end).rev().find(fits);
                let first = if stretches.is_empty() { 1 } else { 0 };
                whole.unwrap_or(range.start + first)
            };
            if cut > range.start {
                stretches.push(Stretch {
                    number: segment.number,
                    file: file.clone(),
                    offsets: segment.offsets[range.start..cut].to_vec(),
                    end: offset(cut),
                });
            }
            if cut < range.end {
                return (stretches, false);
            }
            left = left.saturating_sub(offset(cut) - begin);
        }
        (stretches, true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_no_more_bytes_than_it_takes_but_always_an_entry() {
        let mut segments = Segments::new();
        // Three entries of 100 bytes, then one of 1,000 in a segment of its own, then one of 10.
        for (number, first, offsets, end) in [
            (1, 5, vec![32, 132, 232], 332),
            (2, 8, vec![32], 1032),
            (3, 9, vec![32], 42),
        ] {
            let mut segment = Segment::new(number);
            segment.file = Some(Arc::new(()));
            segment.first = first;
            segment.offsets = offsets;
            segment.end = end;
            segments.list.push_back(segment);
        }
        let counts = |start, end, most_bytes| {
            let (stretches, whole) = segments.locate(start, end, most_bytes);
            let counts: Vec<_> = stretches.iter().map(|s| s.offsets.len()).collect();
            (counts, stretches.last().map_or(0, |s| s.end), whole)
        };
        assert_eq!(counts(5, 10, 10_000), (vec![3, 1, 1], 42, true));
        assert_eq!(counts(5, 10, 1_310), (vec![3, 1, 1], 42, true));
        assert_eq!(counts(5, 10, 1_309), (vec![3, 1], 1032, false));
        assert_eq!(counts(5, 10, 1_299), (vec![3], 332, false));
        assert_eq!(counts(5, 10, 299), (vec![2], 232, false));
        assert_eq!(counts(6, 10, 150), (vec![1], 232, false));
        assert_eq!(counts(6, 10, 0), (vec![1], 232, false));
        assert_eq!(counts(8, 9, 10), (vec![1], 1032, true));
        assert_eq!(counts(8, 10, 10), (vec![1], 1032, false));
        assert_eq!(counts(20, 30, 10), (vec![], 0, true));
    }
}

//! The log's state in memory. The raft thread appends to it; the fsync task writes and syncs it.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::Instant;
use openraft::storage::IOFlushed;
use tokio::sync::oneshot;

use super::record::{self, Kind, Place, Unwritable};
use super::segments::{Segment, Segments};
use super::tail::Tail;
use crate::codec::{self, CodecError};
use crate::settings::Settings;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Bytes to write at one place, all of one batch.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) segment: u64,
    /// Whether the segment's file must be created first.
    pub(crate) create: bool,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The records that were queued while the last sync ran. They are written and synced together.
pub(crate) struct Work<R: innkeeper_runtime::Runtime> {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) appends: Vec<IOFlushed<TypeConfig<R>>>,
    pub(crate) waiters: Vec<oneshot::Sender<Result<(), String>>>,
    /// Segments to remove when this work, which holds the purge mark, is durable.
    pub(crate) removals: Vec<u64>,
    /// Index of the first entry in it.
    pub(crate) first_index: Option<u64>,
    /// Index of the last entry in it.
    pub(crate) last_index: Option<u64>,
}

impl<R: innkeeper_runtime::Runtime> Work<R> {
    fn new() -> Self {
        Self {
            chunks: Vec::new(),
            appends: Vec::new(),
            waiters: Vec::new(),
            removals: Vec::new(),
            first_index: None,
            last_index: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.removals.is_empty()
    }
}

/// The log with all queued records, as if they were on disk already.
///
/// Invariants:
/// - Records reach `pending` in the order of the calls, and the disk in the same order: votes,
///   entries, truncations and purges are one stream.
/// - An entry in the index and not in the tail is on disk.
/// - After `failed` nothing is queued any more, and nothing of what was queued is written.
pub(crate) struct Core<R: innkeeper_runtime::Runtime, F> {
    pub(crate) settings: Arc<Settings>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    /// The committed id that is on disk or in `pending`.
    pub(crate) committed_written: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    pub(crate) applied: Option<u64>,
    pub(crate) tail: Tail,
    pub(crate) segments: Segments<F>,
    pub(crate) next_batch: u64,
    pub(crate) pending: Work<R>,
    /// The first entry that the fsync task is writing now.
    pub(crate) in_flight_first: Option<u64>,
    pub(crate) spare: Vec<u8>,
    pub(crate) failed: Option<String>,
    pub(crate) closing: bool,
}

impl<R: innkeeper_runtime::Runtime, F> Core<R, F> {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let tail = Tail::new(settings.tail_bytes);
        Self {
            settings,
            vote: None,
            committed: None,
            committed_written: None,
            purged: None,
            last: None,
            applied: None,
            tail,
            segments: Segments::new(),
            next_batch: 1,
            pending: Work::new(),
            in_flight_first: None,
            spare: Vec::new(),
            failed: None,
            closing: false,
        }
    }

    /// The log id of the last entry, or of the last purged one.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        self.last
    }

    /// Index of the oldest append that waits for its sync.
    pub(crate) fn oldest_waiting(&self) -> Option<u64> {
        self.in_flight_first.or(self.pending.first_index)
    }

    pub(crate) fn append(&mut self, entry: Entry, now: Instant) -> Result<(), Unwritable> {
        let index = entry.log_id.index;
        let offset = self.put(now, Kind::Entry, codec::entry_len_hint(&entry), |out| {
            codec::put_entry(out, &entry)
        })?;
        self.segments.push_entry(index, offset)?;
        self.pending.first_index.get_or_insert(index);
        self.pending.last_index = Some(index);
        self.last = Some(entry.log_id);
        self.tail.push(entry);
        Ok(())
    }

    pub(crate) fn save_vote(&mut self, vote: Vote, now: Instant) -> Result<(), Unwritable> {
        self.vote = Some(vote);
        self.put_small(now, Kind::Vote, |out| codec::put_vote(out, &vote))
    }

    pub(crate) fn truncate_after(
        &mut self,
        after: Option<LogId>,
        now: Instant,
    ) -> Result<(), Unwritable> {
        let from = after.map_or(0, |id| id.index + 1);
        if self.last.is_none_or(|last| last.index < from) {
            return Ok(());
        }
        self.put_small(now, Kind::Truncate, |out| {
            codec::put_log_id(out, after.as_ref());
        })?;
        self.segments.truncate_from(from);
        self.tail.truncate_from(from);
        self.last = after.max(self.purged);
        // Queued entries that were cut off again must not hold checkpoints back.
        if self.pending.first_index.is_some_and(|first| first >= from) {
            self.pending.first_index = None;
        }
        Ok(())
    }

    pub(crate) fn purge(&mut self, upto: LogId, now: Instant) -> Result<(), Unwritable> {
        if self.purged >= Some(upto) {
            return Ok(());
        }
        self.put_small(now, Kind::Purge, |out| {
            codec::put_log_id(out, Some(&upto));
        })?;
        self.purged = Some(upto);
        self.last = self.last.max(Some(upto));
        self.tail.purge(upto.index);
        let gone = self.segments.purge(upto.index);
        self.pending.removals.extend(gone);
        Ok(())
    }

    pub(crate) fn note_applied(&mut self, index: u64) {
        self.applied = Some(index);
        self.settle();
    }

    /// Lets entries leave memory after some were applied or flushed.
    pub(crate) fn settle(&mut self) {
        let waiting = self.oldest_waiting().unwrap_or(u64::MAX);
        if let Some(applied) = self.applied.filter(|_| waiting > 0) {
            self.tail.release(applied.min(waiting - 1));
        }
        self.tail.spill(waiting, self.settings.held_bytes);
    }

    /// Takes the queued records and adds the committed index and the end mark. The error means that
    /// the log has failed.
    pub(crate) fn take(&mut self, now: Instant) -> Result<Option<Work<R>>, Unwritable> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        if !self.pending.chunks.is_empty() {
            self.put_committed(now)?;
            self.end_batch(Kind::BatchEnd)?;
        }
        let work = self.take_pending();
        self.in_flight_first = work.first_index;
        Ok(Some(work))
    }

    /// Takes the queued records of a log that has failed, to tell the waiting callers.
    pub(crate) fn take_pending(&mut self) -> Work<R> {
        std::mem::replace(&mut self.pending, Work::new())
    }

    /// Queues the committed index if the disk does not have it yet.
    pub(crate) fn put_committed(&mut self, now: Instant) -> Result<(), Unwritable> {
        if self.committed == self.committed_written {
            return Ok(());
        }
        let committed = self.committed;
        self.put_small(now, Kind::Committed, |out| {
            codec::put_log_id(out, committed.as_ref());
        })?;
        self.committed_written = committed;
        Ok(())
    }

    /// Queues a short record, which can always be encoded.
    fn put_small(
        &mut self,
        now: Instant,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Unwritable> {
        self.put(now, kind, 32, |out| {
            write(out);
            Ok(())
        })
        .map(drop)
    }

    /// Queues a record and returns its offset in the active segment.
    fn put(
        &mut self,
        now: Instant,
        kind: Kind,
        body_hint: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<u64, Unwritable> {
        self.make_room(record::record_len(body_hint), now)?;
        let batch = self.next_batch;
        let most = self.settings.record_bytes_max;
        let spare = &mut self.spare;
        let Some(active) = self.segments.active() else {
            return Ok(0);
        };
        let fresh = self
            .pending
            .chunks
            .last()
            .is_none_or(|chunk| chunk.segment != active.number);
        if fresh {
            self.pending.chunks.push(Chunk {
                segment: active.number,
                create: false,
                offset: active.end,
                bytes: std::mem::take(spare),
            });
        }
        let Some(chunk) = self.pending.chunks.last_mut() else {
            return Ok(0);
        };
        let before = chunk.bytes.len();
        let place = Place {
            seed: record::seed(active.number),
            batch,
            kind,
        };
        record::put(&mut chunk.bytes, place, most, write)?;
        let offset = active.end;
        active.end += (chunk.bytes.len() - before) as u64;
        Ok(offset)
    }

    /// Starts the next segment if the active one has no room for `len` bytes and the end mark.
    fn make_room(&mut self, len: usize, now: Instant) -> Result<(), Unwritable> {
        let end_mark = record::record_len(0) as u64;
        let limit = self.settings.segment_bytes;
        let carried = record::SEGMENT_HEADER as u64 + 5 * 64;
        match self.segments.active() {
            None => self.start_segment(1, now),
            Some(active) => {
                let full = active.end + len as u64 + end_mark > limit && active.end > carried;
                if full || active.sealed_at.is_some() {
                    let next = active.number + 1;
                    if active.sealed_at.is_none() {
                        self.end_batch(Kind::SegmentEnd)?;
                    }
                    self.start_segment(next, now)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Ends the batch in the active segment.
    fn end_batch(&mut self, kind: Kind) -> Result<(), Unwritable> {
        let batch = self.next_batch;
        let most = self.settings.record_bytes_max;
        let Some(active) = self.segments.active() else {
            return Ok(());
        };
        let number = active.number;
        let at = active.end;
        if self
            .pending
            .chunks
            .last()
            .is_none_or(|chunk| chunk.segment != number)
        {
            self.pending.chunks.push(Chunk {
                segment: number,
                create: false,
                offset: at,
                bytes: Vec::new(),
            });
        }
        if let Some(chunk) = self.pending.chunks.last_mut() {
            let before = chunk.bytes.len();
            let place = Place {
                seed: record::seed(number),
                batch,
                kind,
            };
            record::put(&mut chunk.bytes, place, most, |_| Ok(()))?;
            active.end += (chunk.bytes.len() - before) as u64;
        }
        self.next_batch += 1;
        Ok(())
    }

    /// Starts a segment. It begins with the vote, the purge mark and the committed index, so that
    /// all earlier segments may be removed.
    fn start_segment(&mut self, number: u64, now: Instant) -> Result<(), Unwritable> {
        if let Some(active) = self.segments.active() {
            active.sealed_at.get_or_insert(now);
        }
        let mut bytes = Vec::new();
        record::put_segment_header(&mut bytes, number);
        let mut segment = Segment::new(number);
        segment.end = bytes.len() as u64;
        self.segments.list.push_back(segment);
        self.pending.chunks.push(Chunk {
            segment: number,
            create: true,
            offset: 0,
            bytes,
        });
        if let Some(vote) = self.vote {
            self.put_small(now, Kind::Vote, |out| codec::put_vote(out, &vote))?;
        }
        if let Some(purged) = self.purged {
            self.put_small(now, Kind::Purge, |out| {
                codec::put_log_id(out, Some(&purged));
            })?;
        }
        if let Some(committed) = self.committed {
            self.put_small(now, Kind::Committed, |out| {
                codec::put_log_id(out, Some(&committed));
            })?;
            self.committed_written = self.committed;
        }
        Ok(())
    }

    pub(crate) fn purgeable(
        &self,
        covered: u64,
        now: Instant,
        age: Duration,
        bytes: u64,
    ) -> Option<u64> {
        let upto = self.segments.purgeable(covered, now, age, bytes)?;
        self.purged
            .is_none_or(|purged| purged.index < upto)
            .then_some(upto)
    }
}

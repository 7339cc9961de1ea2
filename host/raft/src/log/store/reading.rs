//! The log read back: for openraft, which reads what it applies, and for the peers.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use futures_util::{Stream, stream};
use innkeeper_runtime::{File, Runtime, ThreadRole};
use openraft::{OptionalSend, RaftLogReader};

use super::Log;
use crate::codec;
use crate::error::LogError;
use crate::log::record::{self, Kind};
use crate::log::segments::{self, Stretch};
use crate::settings::Settings;
use crate::types::{Entry, TypeConfig, Vote};

/// How many entries one step of a stream reads. Each step takes a lock and allocates a vector.
const STREAM_STEP: u64 = 256;
/// The greatest number of bytes that one step of a stream takes from disk; a single entry may have
/// more.
const STREAM_BYTES: u64 = 16 << 20;
/// The greatest number of bytes of entries in a request to a peer; a single entry may have more.
const REQUEST_BYTES: u64 = 1 << 20;

impl<R: Runtime> Log<R> {
    /// Some entries from `start` on; none if the log ends before it.
    pub(crate) async fn some_from(&self, start: u64) -> io::Result<Vec<Entry>> {
        self.read(start, u64::MAX, Most::STEP).await
    }

    /// The first entries of `start..end`, from memory, or from disk if they are no longer there. The
    /// disk is read on a thread of its own.
    async fn read(&self, start: u64, end: u64, most: Most) -> io::Result<Vec<Entry>> {
        let (on_disk, mut in_memory) = {
            let core = self.shared.core.lock();
            let first = core.segments.first_index().unwrap_or(u64::MAX);
            let start = start.max(first);
            let end = end.min(core.last.map_or(0, |last| last.index + 1));
            if start >= end {
                return Ok(Vec::new());
            }
            let end = end.min(start.saturating_add(most.entries));
            let in_tail = core.tail.first().unwrap_or(u64::MAX);
            if start >= in_tail {
                return Ok(core.tail.range(start, end, most.memory_bytes));
            }
            let to = end.min(in_tail);
            let (stretches, whole) = core.segments.locate(start, to, most.disk_bytes);
            let on_disk: u64 = stretches.iter().map(Stretch::bytes).sum();
            let room = most.memory_bytes.saturating_sub(on_disk);
            let mut in_memory = match whole {
                true => core.tail.range(in_tail, end, room),
                false => Vec::new(),
            };
            // There is an entry from disk already, so even the first one here must fit.
            let first = in_memory.first().map_or(0, codec::entry_len_hint);
            if first as u64 > room {
                in_memory.clear();
            }
            (stretches, in_memory)
        };
        let read = self.runtime.spawn(ThreadRole::Reading, async move {
            let mut entries = Vec::new();
            for stretch in &on_disk {
                read_stretch(stretch, &mut entries)?;
            }
            Ok::<_, LogError>(entries)
        });
        let mut entries = read
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        entries.append(&mut in_memory);
        Ok(entries)
    }
}

/// How much one read may return. One entry is always returned.
#[derive(Clone, Copy)]
struct Most {
    entries: u64,
    disk_bytes: u64,
    /// Entries in memory are shared and not copied.
    memory_bytes: u64,
}

impl Most {
    const ALL: Self = Self {
        entries: u64::MAX,
        disk_bytes: u64::MAX,
        memory_bytes: u64::MAX,
    };
    const STEP: Self = Self {
        entries: STREAM_STEP,
        disk_bytes: STREAM_BYTES,
        memory_bytes: u64::MAX,
    };

    /// What one request to a peer takes.
    fn request(settings: &Settings) -> Self {
        Self {
            entries: settings.append_entries_max,
            disk_bytes: REQUEST_BYTES,
            memory_bytes: REQUEST_BYTES,
        }
    }
}

/// Reads and decodes one stretch. Blocks.
fn read_stretch<F: File>(stretch: &Stretch<F>, entries: &mut Vec<Entry>) -> Result<(), LogError> {
    let segment = || segments::path(stretch.number);
    let Some(begin) = stretch.offsets.first().copied().map(u64::from) else {
        return Ok(());
    };
    let len = usize::try_from(stretch.end - begin).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    stretch.file.read_exact_at(&mut bytes, begin)?;
    let seed = record::seed(stretch.number);
    for &offset in &stretch.offsets {
        let at = (u64::from(offset) - begin) as usize;
        let record = record::read(&bytes, at, seed)
            .ok()
            .filter(|record| record.kind == Kind::Entry)
            .ok_or_else(|| LogError::Corrupt {
                segment: segment(),
                offset: u64::from(offset),
                what: "an entry that was there is gone".to_owned(),
            })?;
        entries.push(codec::entry(record.body).map_err(|source| LogError::Codec {
            segment: segment(),
            source,
        })?);
    }
    Ok(())
}

/// The range as `start..end`.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index + 1,
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl<R: Runtime> RaftLogReader<TypeConfig<R>> for Log<R> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end) = bounds(&range);
        self.read(start, end, Most::ALL).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.shared.core.lock().vote)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let most = Most::request(&self.shared.core.lock().settings);
        self.read(start, end, most).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (next, end) = bounds(&range);
        let steps = Steps {
            log: self.clone(),
            next,
            end,
            ready: Vec::new().into_iter(),
        };
        stream::unfold(Some(steps), |steps| async move {
            let mut steps = steps?;
            match steps.entry().await {
                Ok(Some(entry)) => Some((Ok(entry), Some(steps))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

/// A stream of entries that reads a few at a time, so that a long range is never copied as a whole.
struct Steps<R: Runtime> {
    log: Log<R>,
    next: u64,
    end: u64,
    ready: std::vec::IntoIter<Entry>,
}

impl<R: Runtime> Steps<R> {
    async fn entry(&mut self) -> io::Result<Option<Entry>> {
        if let Some(entry) = self.ready.next() {
            return Ok(Some(entry));
        }
        if self.next >= self.end {
            return Ok(None);
        }
        let entries = self.log.read(self.next, self.end, Most::STEP).await?;
        match entries.last() {
            None => self.next = self.end,
            Some(last) => self.next = last.log_id.index + 1,
        }
        self.ready = entries.into_iter();
        Ok(self.ready.next())
    }
}

#[cfg(test)]
mod tests;

//! The log behind openraft's traits.
//!
//! **Invariant:** the log does everything that openraft demands. openraft's suite skips its test of
//! applying again if the committed index is not read back, so a test of our own checks that.
//! (tests: `openrafts_storage_suite_passes_on_files`,
//! `the_committed_index_that_was_saved_is_read_back`)

use std::fmt::{self, Debug};
use std::io;
use std::ops::{Bound, RangeBounds};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use innkeeper_runtime::{File, Instant, Runtime, ThreadRole};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

use super::core::Core;
use super::record::{self, Kind, Unwritable};
use super::segments::Stretch;
use super::shared::{DiskFile, Shared};
use super::{flusher, recovery};
use crate::codec;
use crate::error::{Failure, LogError};
use crate::histogram::RaftStats;
use crate::settings::Settings;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// How many entries one step of a stream reads. Each step takes a lock and allocates a vector.
const STREAM_STEP: u64 = 256;
/// The greatest number of bytes that one step of a stream takes from disk; a single entry may have
/// more.
const STREAM_BYTES: u64 = 16 << 20;
/// The greatest number of bytes of entries in a request to a peer; a single entry may have more.
const REQUEST_BYTES: u64 = 1 << 20;

/// The write-ahead log. Clones are the same log.
///
/// Invariants:
/// - Records reach the disk in the order of the calls. A vote is on disk when `save_vote` returns,
///   an entry when its callback is called.
/// - After a failed write or sync every call fails.
pub struct Log<R: Runtime> {
    runtime: R,
    pub(crate) shared: Arc<Shared<R>>,
}

impl<R: Runtime> Clone for Log<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            shared: self.shared.clone(),
        }
    }
}

impl<R: Runtime> Debug for Log<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// The extent of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// Number of segment files.
    pub segments: usize,
    /// Bytes written in the segments.
    pub bytes: u64,
    /// Index of the first entry that is not purged.
    pub first_index: Option<u64>,
    /// Term and index of the last entry, purged or not.
    pub last: Option<(u64, u64)>,
    /// Index of the last purged entry.
    pub purged: Option<u64>,
    /// Bytes of memory of the entries that are not yet applied, or not yet synced. Some that are
    /// synced may have left memory.
    pub held_bytes: usize,
}

impl<R: Runtime> Log<R> {
    /// Opens the log of a disk and creates it if there is none. Blocks.
    pub fn open(runtime: R, disk: &R::Disk, settings: Arc<Settings>) -> Result<Self, LogError> {
        Self::open_with(runtime, disk, settings, Failure::new())
    }

    pub(crate) fn open_with(
        runtime: R,
        disk: &R::Disk,
        settings: Arc<Settings>,
        failure: Failure,
    ) -> Result<Self, LogError> {
        let mut core = recovery::open(disk, settings, runtime.now())?;
        let file = core
            .segments
            .active()
            .and_then(|active| Some((active.number, active.file.clone()?)));
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            queued: Notify::new(),
            flushed: Notify::new(),
            settled: Notify::new(),
            failure,
            stats: Arc::default(),
        });
        let flusher = flusher::run(runtime.clone(), disk.clone(), shared.clone(), file);
        runtime.spawn(ThreadRole::Fsync, flusher).detach();
        Ok(Self { runtime, shared })
    }

    /// Writes the queued records and the committed index, and ends the fsync task.
    pub async fn close(&self) {
        let waiter = {
            let mut core = self.shared.core.lock();
            if core.closing || core.failed.is_some() {
                core.closing = true;
                None
            } else {
                // Without it, the next election finds the committed index again.
                if let Err(unwritable) = core.put_committed(self.runtime.now()) {
                    tracing::error!("the committed index is not written: {unwritable}");
                }
                core.closing = true;
                if core.pending.chunks.is_empty() {
                    None
                } else {
                    let (sender, waiter) = oneshot::channel();
                    core.pending.waiters.push(sender);
                    Some(waiter)
                }
            }
        };
        self.shared.queued.notify_one();
        if let Some(waiter) = waiter {
            // An error has been recorded as the node's failure.
            let _ = waiter.await;
        }
    }

    /// The id of the last entry, purged or not, durable or not.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        self.shared.core.lock().last_log_id()
    }

    /// Waits until all entries up to `index` are durable here, so that a checkpoint may hold them.
    /// If no append is waiting, it returns at once.
    pub(crate) async fn flushed_past(&self, index: u64) -> Result<(), String> {
        loop {
            let mut flushed = pin!(self.shared.flushed.notified());
            flushed.as_mut().enable();
            {
                let core = self.shared.core.lock();
                if let Some(sentence) = &core.failed {
                    return Err(sentence.clone());
                }
                if core.oldest_waiting().is_none_or(|waiting| index < waiting) {
                    return Ok(());
                }
            }
            flushed.await;
        }
    }

    /// Some entries from `start` on; none if the log ends before it.
    pub(crate) async fn some_from(&self, start: u64) -> io::Result<Vec<Entry>> {
        self.read(start, u64::MAX, Most::STEP).await
    }

    /// Nothing was ever written here, neither an entry nor a vote.
    pub(crate) fn is_unused(&self) -> bool {
        let core = self.shared.core.lock();
        core.vote.is_none() && core.last.is_none() && core.purged.is_none()
    }

    /// Notes that entries up to `index` are applied, so that they may leave memory.
    pub fn applied(&self, index: u64) {
        self.shared.core.lock().note_applied(index);
        self.shared.settled.notify_waiters();
    }

    /// Do the entries that wait for their sync take as much memory as they may? Of those that a
    /// follower has `received`, some may not be appended yet.
    pub(crate) fn is_full(&self, received: usize) -> bool {
        let core = self.shared.core.lock();
        let held = core.tail.held().max(2 * received);
        core.failed.is_none() && held >= core.settings.held_bytes
    }

    /// Ends when more entries are applied or durable, even if that comes before its first poll.
    pub(crate) fn settles(&self) -> Notified<'_> {
        self.shared.settled.notified()
    }

    /// The index up to which whole segments may be purged, if a checkpoint covers `covered`.
    pub fn purge_point(&self, covered: u64) -> Option<u64> {
        let core = self.shared.core.lock();
        let (age, bytes) = (core.settings.retention_age, core.settings.retention_bytes);
        core.purgeable(covered, self.runtime.now(), age, bytes)
    }

    /// The last index of the whole segments behind which more than `bytes` of the log come, if a
    /// checkpoint covers `covered`.
    pub(crate) fn bytes_before_end(&self, covered: u64, bytes: u64) -> Option<u64> {
        let core = self.shared.core.lock();
        core.purgeable(covered, self.runtime.now(), Duration::MAX, bytes)
    }

    /// The statistics of the log and the checkpoints.
    pub(crate) fn stats(&self) -> Arc<RaftStats> {
        self.shared.stats.clone()
    }

    /// Microseconds since `since`, and the wall clock.
    pub(crate) fn timed(&self, since: Instant) -> (u64, u64) {
        let took = self.runtime.now() - since;
        (took.as_micros() as u64, self.runtime.wall_ms())
    }

    /// Now, on the monotonic clock.
    pub(crate) fn now(&self) -> Instant {
        self.runtime.now()
    }

    /// The present extent of the log.
    pub fn status(&self) -> LogStatus {
        let core = self.shared.core.lock();
        LogStatus {
            segments: core.segments.list.len(),
            bytes: core.segments.bytes(),
            first_index: core.segments.first_index(),
            last: core
                .last
                .map(|last| (**last.committed_leader_id(), last.index)),
            purged: core.purged.map(|purged| purged.index),
            held_bytes: core.tail.held(),
        }
    }

    fn check(core: &Core<R, DiskFile<R>>) -> io::Result<()> {
        match &core.failed {
            Some(sentence) => Err(io::Error::other(sentence.clone())),
            None if core.closing => Err(io::Error::other("the log is closed")),
            None => Ok(()),
        }
    }

    /// Runs a function that queues records. If one of them cannot be written, the node fails before
    /// any record that was queued with it is acknowledged; the disk stays as it is.
    fn queue(
        &self,
        queue: impl FnOnce(&mut Core<R, DiskFile<R>>) -> Result<(), Unwritable>,
    ) -> io::Result<()> {
        let queued = {
            let mut core = self.shared.core.lock();
            Self::check(&core)?;
            queue(&mut core).map_err(|unwritable| {
                let sentence = LogError::Unwritable(unwritable).to_string();
                core.failed = Some(sentence.clone());
                sentence
            })
        };
        // The fsync task writes the records, or tells the waiting callers that it cannot.
        self.shared.queued.notify_one();
        queued.map_err(|sentence| io::Error::other(self.shared.failure.fail(sentence)))
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
    let segment = || super::segments::path(stretch.number);
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

impl<R: Runtime> RaftLogStorage<TypeConfig<R>> for Log<R> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig<R>>, io::Error> {
        let core = self.shared.core.lock();
        Ok(LogState {
            last_purged_log_id: core.purged,
            last_log_id: core.last_log_id(),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (sender, saved) = oneshot::channel();
        self.queue(|core| {
            core.save_vote(*vote, self.runtime.now())?;
            core.pending.waiters.push(sender);
            Ok(())
        })?;
        match saved.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(sentence)) => Err(io::Error::other(sentence)),
            Err(_) => Err(io::Error::other(
                "the log was closed before the vote was saved",
            )),
        }
    }

    /// Notes the committed index, which is written with the next batch. If it is lost, the next
    /// election finds it again.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut core = self.shared.core.lock();
        Self::check(&core)?;
        core.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.shared.core.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig<R>>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let now = self.runtime.now();
        self.queue(|core| {
            for entry in entries {
                core.append(entry, now)?;
            }
            if cfg!(innkeeper_break = "early-ack") {
                // openraft acknowledges the entries now, and a test must fail.
                callback.io_completed(Ok(()));
            } else {
                core.pending.appends.push(callback);
            }
            Ok(())
        })
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.queue(|core| core.truncate_after(last_log_id, self.runtime.now()))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.queue(|core| core.purge(log_id, self.runtime.now()))
    }
}

#[cfg(test)]
mod tests;

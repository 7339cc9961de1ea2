//! The log behind openraft's traits. How it is read back stands in `store/reading.rs`.
//!
//! **Invariant:** the log does everything that openraft demands. openraft's suite skips its test of
//! applying again if the committed index is not read back, so a test of our own checks that.
//! (tests: `openrafts_storage_suite_passes_on_files`,
//! `the_committed_index_that_was_saved_is_read_back`)

mod reading;

use std::fmt::{self, Debug};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Instant, Runtime, ThreadRole};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend};
use parking_lot::Mutex;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

use super::core::Core;
use super::record::Unwritable;
use super::shared::{DiskFile, Shared};
use super::{flusher, recovery};
use crate::error::{Failure, LogError};
use crate::histogram::RaftStats;
use crate::settings::Settings;
use crate::types::{Entry, LogId, TypeConfig, Vote};

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

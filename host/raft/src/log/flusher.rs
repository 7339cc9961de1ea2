//! The fsync task: it takes all queued records, writes them, syncs once, and tells the waiting
//! callers.
//!
//! There is no timer: while one sync runs, the records of the next one collect.

use std::io;
use std::sync::Arc;

use innkeeper_runtime::{Disk, File, Open, Runtime};

use super::core::{Chunk, Work};
use super::segments::{self, FOLDER};
use super::shared::{DiskFile, Shared};
use crate::error::LogError;

/// Runs until the log is closed or fails. Blocks its thread: run it as
/// [`innkeeper_runtime::ThreadRole::Fsync`].
///
/// `file` is the file of the active segment. The task keeps it, because a purge may remove its
/// segment from the index before the segment's last bytes are written.
pub(crate) async fn run<R: Runtime>(
    runtime: R,
    disk: R::Disk,
    shared: Arc<Shared<R>>,
    mut file: Option<(u64, Arc<DiskFile<R>>)>,
) {
    let slow_sync = shared.core.lock().settings.slow_sync;
    loop {
        let taken = {
            let mut core = shared.core.lock();
            let taken = match core.failed.clone() {
                Some(sentence) => Err(sentence),
                None => core
                    .take(runtime.now())
                    .map_err(|unwritable| LogError::Unwritable(unwritable).to_string()),
            };
            match taken {
                Ok(Some(work)) => Some(work),
                Ok(None) if core.closing => return,
                Ok(None) => None,
                Err(sentence) => {
                    let unwritten = core.take_pending();
                    drop(core);
                    finish(&shared, unwritten, Some(sentence));
                    return;
                }
            }
        };
        let Some(work) = taken else {
            shared.queued.notified().await;
            continue;
        };
        let begun = runtime.now();
        let mut result = write(&disk, &shared, &mut file, &work);
        if result.is_ok() {
            result = disk.settled().await;
        }
        if !work.chunks.is_empty() {
            let entries = match (work.first_index, work.last_index) {
                (Some(first), Some(last)) => (last + 1).saturating_sub(first),
                _ => 0,
            };
            let took = runtime.now() - begun;
            let is_slow = took > slow_sync;
            shared
                .stats
                .synced(took.as_micros() as u64, entries, is_slow);
            if is_slow && result.is_ok() {
                let bytes: usize = work.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
                tracing::warn!(
                    event = "slow-sync",
                    took_ms = took.as_millis() as u64,
                    bytes,
                    entries,
                    "a write to the log took {} ms to become durable, and everything waited for it; \
                     see what else uses the disk",
                    took.as_millis()
                );
            }
        }
        let error = result.err().map(|e| LogError::Io(e).to_string());
        finish(&shared, work, error.clone());
        if error.is_some() {
            return;
        }
    }
}

fn write<R: Runtime>(
    disk: &R::Disk,
    shared: &Shared<R>,
    file: &mut Option<(u64, Arc<DiskFile<R>>)>,
    work: &Work<R>,
) -> io::Result<()> {
    for chunk in &work.chunks {
        if chunk.create {
            *file = Some((chunk.segment, create(disk, shared, chunk)?));
        }
        let Some((_, file)) = file.as_ref().filter(|(number, _)| *number == chunk.segment) else {
            return Err(io::Error::other("the segment to write to is not open"));
        };
        file.write_at(&chunk.bytes, chunk.offset)?;
        // With this cfg nothing is synced, and the power-cut test must fail.
        #[cfg(not(innkeeper_break = "log-sync"))]
        file.sync()?;
    }
    // The purge mark is durable, so the segments that it covers are removed, oldest first.
    for number in &work.removals {
        disk.remove(&segments::path(*number))?;
    }
    if !work.removals.is_empty() {
        disk.sync_folder(FOLDER)?;
    }
    Ok(())
}

fn create<R: Runtime>(
    disk: &R::Disk,
    shared: &Shared<R>,
    chunk: &Chunk,
) -> io::Result<Arc<DiskFile<R>>> {
    let size = {
        let core = shared.core.lock();
        core.settings.segment_bytes.max(chunk.bytes.len() as u64)
    };
    let file = disk.open(&segments::path(chunk.segment), Open::Create)?;
    file.set_len(0)?;
    file.preallocate(0, size)?;
    file.sync()?;
    disk.sync_folder(FOLDER)?;
    let file = Arc::new(file);
    let mut core = shared.core.lock();
    let mut newest_first = core.segments.list.iter_mut().rev();
    if let Some(segment) = newest_first.find(|segment| segment.number == chunk.segment) {
        segment.file = Some(file.clone());
    }
    Ok(file)
}

fn finish<R: Runtime>(shared: &Shared<R>, work: Work<R>, error: Option<String>) {
    let Work {
        mut chunks,
        mut appends,
        mut waiters,
        ..
    } = work;
    let error = error.map(|sentence| shared.failure.fail(sentence));
    {
        let mut core = shared.core.lock();
        match &error {
            // The entries count as waiting for ever, so that no checkpoint passes them.
            Some(sentence) => {
                core.failed = Some(sentence.clone());
                appends.append(&mut core.pending.appends);
                waiters.append(&mut core.pending.waiters);
            }
            None => {
                core.in_flight_first = None;
                core.settle();
                if let Some(chunk) = chunks.pop()
                    && core.spare.capacity() == 0
                {
                    let mut bytes = chunk.bytes;
                    bytes.clear();
                    // A buffer that became very large by one batch is not kept.
                    if bytes.capacity() <= 4 << 20 {
                        core.spare = bytes;
                    }
                }
            }
        }
    }
    shared.flushed.notify_waiters();
    shared.settled.notify_waiters();
    for append in appends {
        append.io_completed(match &error {
            None => Ok(()),
            Some(sentence) => Err(io::Error::other(sentence.clone())),
        });
    }
    for waiter in waiters {
        // The caller may have been dropped. The vote is saved anyway.
        let _ = waiter.send(match &error {
            None => Ok(()),
            Some(sentence) => Err(sentence.clone()),
        });
    }
}

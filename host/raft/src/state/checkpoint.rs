//! The checkpointer: it writes the applied changes to `state.redb`, on a thread of its own.
//!
//! 1. Right after a publish, on the raft thread, the state machine captures which records have
//!    changed since the last capture. This is cheap, because nothing is copied. The capture is
//!    queued here at once, because the changes are noted nowhere else.
//! 2. The task waits until the log has flushed everything up to the captured entry.
//! 3. One redb commit writes the records, the applied log id and the membership.
//! 4. Then the checkpoint is reported to openraft as a snapshot, which allows a purge.
//!
//! **Invariant:** `state.redb` never holds more than the log has flushed, and it is exact at one
//! log id: records, applied id and membership are one redb commit. openraft applies entries that
//! the local log may not have yet; a checkpoint beyond the log would leave a gap after a power cut.
//! (tests: `a_checkpoint_never_goes_beyond_what_the_log_has_flushed`,
//! `after_300_000_writes_a_restart_replays_little_and_old_segments_are_gone`,
//! `nothing_breaks_the_state`)

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Disk, Latest, Runtime, Signal, ThreadRole};
use innkeeper_tree::{Capture, Tree};
use tokio::sync::{mpsc, oneshot};

use super::lag::Lag;
use super::snapshot::SnapshotData;
use super::store::StateStore;
use crate::error::{Failure, StateError};
use crate::log::Log;
use crate::types::{LogId, SnapshotMeta, StoredMembership};

/// How many captures may wait to be written. Beside the one that is being written, openraft asks
/// for another only to send a peer a snapshot.
const QUEUED_CAPTURES: usize = 4;

/// After so many records the lag is updated with the written part of the checkpoint.
const TOLD_EVERY: usize = 1024;

/// A job of the task. Jobs are done one after the other, so that no capture of the state before a
/// snapshot is written after the snapshot was installed.
enum Job {
    /// A checkpoint.
    Write {
        capture: Capture,
        applied: Option<LogId>,
        /// The lag's count of applied bytes at the capture.
        upto: u64,
        membership: StoredMembership,
        done: oneshot::Sender<Result<(SnapshotMeta, SnapshotData), String>>,
    },
    /// A snapshot replaces the whole state.
    Install {
        meta: SnapshotMeta,
        data: SnapshotData,
        done: oneshot::Sender<Result<Tree, String>>,
    },
}

/// A checkpoint that is being written.
pub(crate) struct Pending {
    done: oneshot::Receiver<Result<(SnapshotMeta, SnapshotData), String>>,
}

impl Pending {
    pub(crate) async fn finished(self) -> Result<(SnapshotMeta, SnapshotData), String> {
        self.done
            .await
            .unwrap_or_else(|_| Err("the node stopped before its checkpoint was made".to_owned()))
    }
}

/// The handle to the checkpoint task. Clones are the same task, which ends with the last one.
#[derive(Clone)]
pub(crate) struct Checkpointer {
    jobs: mpsc::Sender<Job>,
    /// The last entry in `state.redb`.
    pub(crate) durable: Latest<Option<LogId>>,
    /// How far `state.redb` lies behind.
    pub(crate) lag: Arc<Lag>,
    ended: Signal,
}

impl Checkpointer {
    pub(crate) fn start<R: Runtime>(
        runtime: &R,
        store: StateStore<R::Disk>,
        log: Log<R>,
        at: Option<LogId>,
        lag: Arc<Lag>,
        failure: Failure,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUED_CAPTURES);
        let durable = Latest::new(at);
        let ended = Signal::new();
        let task = run(store, log, queue, durable.clone(), lag.clone(), failure);
        let at_end = ended.clone();
        let task = async move {
            task.await;
            at_end.raise();
        };
        runtime.spawn(ThreadRole::Checkpoint, task).detach();
        Self {
            jobs,
            durable,
            lag,
            ended,
        }
    }

    /// Raised when the task has ended and has closed `state.redb`.
    pub(crate) fn ended(&self) -> Signal {
        self.ended.clone()
    }

    /// Queues a capture. The returned value waits until the capture is durable.
    pub(crate) async fn submit(
        &self,
        capture: Capture,
        applied: Option<LogId>,
        upto: u64,
        membership: StoredMembership,
    ) -> Pending {
        let (sender, done) = oneshot::channel();
        let job = Job::Write {
            capture,
            applied,
            upto,
            membership,
            done: sender,
        };
        // If the task has ended, the sender is dropped, and the waiter gets an error.
        let _ = self.jobs.send(job).await;
        Pending { done }
    }

    /// Replaces `state.redb` by a snapshot and returns its tree.
    pub(crate) async fn install(
        &self,
        meta: SnapshotMeta,
        data: SnapshotData,
    ) -> Result<Tree, String> {
        let (sender, done) = oneshot::channel();
        let job = Job::Install {
            meta,
            data,
            done: sender,
        };
        let _ = self.jobs.send(job).await;
        done.await.unwrap_or_else(|_| {
            Err("the node stopped before the snapshot was installed".to_owned())
        })
    }
}

async fn run<R: Runtime>(
    store: StateStore<R::Disk>,
    log: Log<R>,
    mut queue: mpsc::Receiver<Job>,
    durable: Latest<Option<LogId>>,
    lag: Arc<Lag>,
    failure: Failure,
) {
    while let Some(job) = queue.recv().await {
        let failed = match job {
            Job::Write {
                capture,
                applied,
                upto,
                membership,
                done,
            } => {
                let flushed = flushed(&log, applied).await;
                lag.begins(upto);
                let (begun, zxid) = (log.now(), capture.zxid());
                let result = match flushed {
                    Ok(()) => settled(&store, write(&store, &capture, &lag, applied, &membership))
                        .await
                        .map_err(|e| failure.fail(e)),
                    Err(sentence) => Err(sentence),
                };
                drop(capture);
                let failed = result.is_err();
                if !failed {
                    let (took_us, wall_ms) = log.timed(begun);
                    lag.ends(Duration::from_micros(took_us));
                    durable.set(applied);
                    log.stats().checkpointed(took_us, wall_ms, zxid);
                }
                // Perhaps no caller waits for this capture.
                let _ = done.send(result);
                failed
            }
            Job::Install { meta, data, done } => {
                let result = settled(&store, install(&store, &meta, &data)).await;
                let result = result.map_err(|e| failure.fail(e));
                let failed = result.is_err();
                if !failed {
                    lag.installed();
                    durable.set(meta.last_log_id);
                }
                let _ = done.send(result);
                failed
            }
        };
        if failed {
            return;
        }
    }
}

fn install<D: Disk>(
    store: &StateStore<D>,
    meta: &SnapshotMeta,
    data: &SnapshotData,
) -> Result<Tree, String> {
    let tree = match data.as_received() {
        None => data
            .records()
            .and_then(|records| store.replace(records, meta))
            .and_then(|()| Ok(store.restore()?.0)),
        Some(received) => match received.take() {
            Some(contents) => store.take_new(contents.opened).map(|()| contents.tree),
            None => Err(StateError::store("a snapshot", "it was installed before")),
        },
    };
    tree.map_err(|e| e.to_string())
}

/// Waits until what was written is durable.
async fn settled<T, D: Disk>(
    store: &StateStore<D>,
    written: Result<T, String>,
) -> Result<T, String> {
    let written = written?;
    store.settled().await.map_err(|e| e.to_string())?;
    Ok(written)
}

/// Waits until the log has flushed the entries of a checkpoint.
async fn flushed<R: Runtime>(log: &Log<R>, applied: Option<LogId>) -> Result<(), String> {
    // With this cfg a checkpoint does not wait for the log, and a test must fail.
    if cfg!(innkeeper_break = "checkpoint-limit") {
        return Ok(());
    }
    match applied {
        Some(applied) => log.flushed_past(applied.index).await,
        None => Ok(()),
    }
}

fn write<D: Disk>(
    store: &StateStore<D>,
    capture: &Capture,
    lag: &Lag,
    applied: Option<LogId>,
    membership: &StoredMembership,
) -> Result<(SnapshotMeta, SnapshotData), String> {
    let of = capture.records_most();
    let records = capture.records().enumerate().map(|(number, record)| {
        if number % TOLD_EVERY == 0 {
            lag.wrote(number, of);
        }
        record
    });
    store
        .write(records, applied, membership)
        .map_err(|e| e.to_string())?;
    let view = store.read().map_err(|e| e.to_string())?;
    let meta = SnapshotMeta {
        last_log_id: applied,
        last_membership: membership.clone(),
    };
    Ok((meta, SnapshotData::of_view(view)))
}

//! The checkpointer: brings `state.redb` up to what was applied, on a thread of its own.
//!
//! 1. The state machine captures, on the raft thread and right after a publish, which records
//!    changed since the last capture: cheap, nothing is copied. The capture is queued here at
//!    once, because it is the only memory of those changes.
//! 2. The task waits until the log has flushed everything up to the captured entry: openraft
//!    applies entries that the local log may not have yet, and a checkpoint beyond the log would
//!    leave a hole after a power cut.
//! 3. One redb commit writes the records, the applied log id and the membership.
//! 4. Only then the checkpoint is reported to openraft, as the snapshot that allows a purge.
//!
//! **Invariant:** `state.redb` never stands beyond what the log has flushed, and it is exact at
//! one log id: records, applied id and membership are one redb commit. openraft applies entries
//! that the local log may not have yet; a checkpoint beyond the log would be a gap after a power
//! cut. (tests: `a_checkpoint_never_goes_beyond_what_the_log_has_flushed`,
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
use crate::error::Failure;
use crate::log::Log;
use crate::types::{LogId, SnapshotMeta, StoredMembership};

/// How many captures may wait to be written. One is in work; openraft asks for another only to
/// bring up a peer.
const QUEUED_CAPTURES: usize = 4;

/// After so many records the door is told how much of a checkpoint is written.
const TOLD_EVERY: usize = 1024;

/// What the task does, one after the other, so that an installed snapshot is never followed by
/// a capture of the state before it.
enum Job {
    /// A checkpoint.
    Write {
        capture: Capture,
        applied: Option<LogId>,
        /// What of the lag it takes away.
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

/// A checkpoint in work.
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
    /// The entry that `state.redb` stands at.
    pub(crate) durable: Latest<Option<LogId>>,
    /// How far it lies behind.
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

    /// Raised when the task has ended and let go of `state.redb`.
    pub(crate) fn ended(&self) -> Signal {
        self.ended.clone()
    }

    /// Queues a capture; what comes back tells when it is durable.
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
        // If the task has ended, the sender is dropped and the waiter hears so.
        let _ = self.jobs.send(job).await;
        Pending { done }
    }

    /// Replaces `state.redb` by a snapshot and gives the tree that it holds.
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
                    Ok(()) => write(&store, &capture, &lag, applied, &membership)
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
                // Nobody may be waiting: the capture was queued before anybody could.
                let _ = done.send(result);
                failed
            }
            Job::Install { meta, data, done } => {
                let result = install(&store, &meta, &data).map_err(|e| failure.fail(e));
                let failed = result.is_err();
                if !failed {
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
    store
        .replace(data.records(), meta)
        .map_err(|e| e.to_string())?;
    store
        .restore()
        .map(|(tree, _)| tree)
        .map_err(|e| e.to_string())
}

/// Waits until the log has flushed what a checkpoint is to hold.
async fn flushed<R: Runtime>(log: &Log<R>, applied: Option<LogId>) -> Result<(), String> {
    // A guard: in a build with this cfg checkpoints run ahead, and a test must fail.
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

//! The state of the log that the raft thread, the fsync task and the checkpointer share.

use std::sync::Arc;

use innkeeper_runtime::{Disk, Runtime};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::core::Core;
use crate::error::Failure;
use crate::histogram::RaftStats;

/// A file of the runtime's disk.
pub(super) type DiskFile<R> = <<R as Runtime>::Disk as Disk>::File;

/// The log in memory, its signals and its statistics.
pub(crate) struct Shared<R: Runtime> {
    pub(crate) core: Mutex<Core<R, DiskFile<R>>>,
    /// Something was queued, or the log closes.
    pub(crate) queued: Notify,
    /// Something became durable, or failed.
    pub(crate) flushed: Notify,
    /// Entries in memory were applied or flushed, or the log has failed.
    pub(crate) settled: Notify,
    pub(crate) failure: Failure,
    pub(crate) stats: Arc<RaftStats>,
}

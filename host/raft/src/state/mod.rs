//! The state: the tree in memory, and `state.redb`, which follows it.
//!
//! [`StateMachine`] applies entries to the tree; the checkpointer writes the changes to disk.

mod applying;
pub(crate) mod backend;
mod blocks;
mod checkpoint;
mod decoder;
mod lag;
mod machine;
mod received;
mod shared;
mod snapshot;
mod store;

pub(crate) use checkpoint::Checkpointer;
pub(crate) use lag::weight;
pub use machine::{CheckpointBuilder, StateMachine};
pub use received::Incoming;
pub(crate) use shared::{Progress, StateShared};
pub use snapshot::SnapshotData;
pub(crate) use store::Folder;

use std::io;

use innkeeper_runtime::{Disk, Open};
use innkeeper_tree::Tree;

use crate::error::StateError;
use crate::types::SnapshotMeta;

/// How much redb may cache while a checkpoint is read once.
const READ_ONCE_CACHE_BYTES: usize = 16 << 20;

/// The tree in `state.redb` of a disk, without the log, and the id of its last entry. `None` if
/// there is no such file. No process may have the data folder open. Blocks.
pub fn read_checkpoint<D: Disk>(disk: &D) -> Result<Option<(Tree, SnapshotMeta)>, StateError> {
    match disk.open(store::FILE, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => {
            let store = store::StateStore::open(disk.clone(), READ_ONCE_CACHE_BYTES)?;
            store.restore().map(Some)
        }
    }
}

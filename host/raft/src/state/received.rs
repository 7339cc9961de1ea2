//! The state that another node's snapshot brings, on its way into `state.redb`.
//!
//! 1. [`Incoming::take`] decodes the pieces as they arrive and puts the records into a redb file
//!    with the name `state.redb.new`, in one transaction. redb holds a part of it in memory and
//!    writes the rest to the file, so memory stays flat.
//! 2. [`Incoming::finish`] checks that everything has arrived, commits, verifies the file, and
//!    builds the tree from it. Whatever is wrong with the snapshot or with the disk ends here, and
//!    the node goes on with the state that it has.
//! 3. openraft gets the result as [`SnapshotData`], decides whether it is newer than what this node
//!    has, and lets the state machine install it. That renames the file.
//!
//! A failure in step 3 ends the node: from the moment at which openraft has taken a snapshot it
//! counts on it, and the entries before it are purged. So everything that may fail for want of room
//! comes before. (tests: `a_fault_while_a_snapshot_is_installed_leaves_the_old_state_or_the_new`,
//! `a_power_cut_at_any_sync_of_a_snapshot_leaves_a_node_that_catches_up`)

use innkeeper_runtime::Disk;
use redb::{Database, WriteTransaction};

use super::backend;
use super::decoder::Decoder;
use super::snapshot::{Contents, SnapshotData};
use super::store::{self, Folder};
use crate::error::StateError;
use crate::types::SnapshotMeta;

/// A snapshot that is arriving. All calls block. At most one exists on a node at a time, since all
/// have the same file.
pub struct Incoming<D: Disk> {
    folder: Folder<D>,
    decoder: Decoder,
    // Before the database, since dropping it ends the transaction.
    transaction: WriteTransaction,
    database: Database,
}

impl<D: Disk> std::fmt::Debug for Incoming<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl<D: Disk> Incoming<D> {
    pub(crate) fn begin(folder: Folder<D>) -> Result<Self, StateError> {
        let Folder { disk, cache_bytes } = &folder;
        let database = backend::create_new(disk, store::FILE, *cache_bytes)?;
        let transaction = store::begin(&database)?;
        Ok(Self {
            folder,
            decoder: Decoder::new(),
            transaction,
            database,
        })
    }

    /// Takes the next bytes. After an error the snapshot is of no use.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), StateError> {
        self.decoder.take(piece);
        let decoder = &mut self.decoder;
        let records = std::iter::from_fn(|| decoder.next().transpose());
        store::put(&self.transaction, records)
    }

    /// Checks that everything has arrived, and makes the state of it. It is not in force yet.
    pub fn finish(self) -> Result<(SnapshotMeta, SnapshotData), StateError> {
        let Self {
            folder,
            decoder,
            transaction,
            database,
        } = self;
        let meta = decoder.finish()?;
        store::commit(transaction, meta.last_log_id, &meta.last_membership)?;
        // redb writes when it is closed.
        drop(database);
        let opened = backend::open_new(&folder.disk, store::FILE, folder.cache_bytes)?;
        let tree = store::tree(&opened.database)?;
        Ok((meta, SnapshotData::received(Contents { opened, tree })))
    }
}

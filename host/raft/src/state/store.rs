//! `state.redb`: the state at one log index.
//!
//! Each commit writes the changed records, the applied log id and the membership together. So the
//! file is exact at one index, and the cost of a checkpoint depends on what has changed.

use std::sync::Arc;

use innkeeper_runtime::Disk;
use innkeeper_tree::{Record, Table, Tree};
use parking_lot::Mutex;
use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};

use super::backend::{self, Opened};
use crate::codec;
use crate::error::StateError;
use crate::types::{LogId, SnapshotMeta, StoredMembership};

/// The file's name.
pub(crate) const FILE: &str = "state.redb";
const FORMAT: u8 = 1;

type Rows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// The table of Raft's own rows. The other tables have the names of the tree's tables.
const RAFT: Rows<'static> = TableDefinition::new("raft");
const KEY_FORMAT: &[u8] = b"format";
const KEY_APPLIED: &[u8] = b"applied";
const KEY_MEMBERSHIP: &[u8] = b"membership";

fn table(table: Table) -> Rows<'static> {
    TableDefinition::new(table.name())
}

fn failed(error: impl Into<redb::Error>) -> StateError {
    backend::failed(FILE, error)
}

fn damaged(error: impl std::fmt::Display) -> StateError {
    StateError::damaged(FILE, error)
}

/// Where snapshots arrive. It does not keep `state.redb` open.
#[derive(Clone)]
pub(crate) struct Folder<D> {
    pub(crate) disk: D,
    /// redb's page cache, in bytes.
    pub(crate) cache_bytes: usize,
}

impl<D: Disk> Folder<D> {
    /// Removes what is left of a snapshot that was not installed. Nothing is lost if that fails:
    /// the next one writes over it. Blocks.
    pub(crate) fn tidy(&self) {
        let name = backend::new_name(FILE);
        if let Err(error) = self.disk.remove(&name)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("what is left of a snapshot cannot be removed: {error}");
        }
    }
}

/// The checkpoint file, open. Clones are the same file. All calls block.
pub(crate) struct StateStore<D: Disk> {
    disk: D,
    cache_bytes: usize,
    current: Arc<Mutex<Arc<Database>>>,
}

impl<D: Disk> Clone for StateStore<D> {
    fn clone(&self) -> Self {
        Self {
            disk: self.disk.clone(),
            cache_bytes: self.cache_bytes,
            current: self.current.clone(),
        }
    }
}

impl<D: Disk> StateStore<D> {
    /// Waits until what was written is durable.
    pub(crate) async fn settled(&self) -> Result<(), StateError> {
        let settled = self.disk.settled().await;
        settled.map_err(failed)
    }

    /// Opens `state.redb` and creates an empty one if there is none.
    pub(crate) fn open(disk: D, cache_bytes: usize) -> Result<Self, StateError> {
        let opened = match backend::open_existing(&disk, FILE, cache_bytes)? {
            Some(opened) => opened,
            None => backend::create(&disk, FILE, cache_bytes, |database| {
                let none = StoredMembership::default();
                write(
                    database,
                    std::iter::empty::<Result<Record, StateError>>(),
                    None,
                    &none,
                )
            })?,
        };
        let store = Self {
            disk,
            cache_bytes,
            current: Arc::new(Mutex::new(Arc::new(opened.database))),
        };
        store.check_format()?;
        Ok(store)
    }

    fn database(&self) -> Arc<Database> {
        self.current.lock().clone()
    }

    fn check_format(&self) -> Result<(), StateError> {
        let snapshot = self.read()?;
        match snapshot.raft_row(KEY_FORMAT)?.as_deref() {
            Some([FORMAT]) => Ok(()),
            Some([found, ..]) => Err(StateError::Version {
                file: FILE,
                found: *found,
                known: FORMAT,
            }),
            _ => Err(damaged("it names no format version")),
        }
    }

    /// Writes one checkpoint in one commit: the changed records, the log id and the membership.
    pub(crate) fn write(
        &self,
        records: impl Iterator<Item = Record>,
        applied: Option<LogId>,
        membership: &StoredMembership,
    ) -> Result<(), StateError> {
        write(&self.database(), records.map(Ok), applied, membership)
    }

    /// A view of the last commit. Later commits do not change it.
    pub(crate) fn read(&self) -> Result<StateView, StateError> {
        StateView::of(&self.database())
    }

    /// The tree of the last commit, with its log id and membership.
    pub(crate) fn restore(&self) -> Result<(Tree, SnapshotMeta), StateError> {
        let view = self.read()?;
        Ok((view.tree()?, view.meta()?))
    }

    /// Lets the file that was made for this take the place of the whole file, in one step. Views
    /// of the old file stay valid.
    pub(crate) fn take_new(&self, opened: Opened) -> Result<(), StateError> {
        backend::name_new(&self.disk, FILE)?;
        *self.current.lock() = Arc::new(opened.database);
        Ok(())
    }

    /// Where a file arrives that can take this one's place.
    pub(crate) fn folder(&self) -> Folder<D> {
        Folder {
            disk: self.disk.clone(),
            cache_bytes: self.cache_bytes,
        }
    }

    /// Replaces the whole file in one step. Views of the old file stay valid.
    pub(crate) fn replace(
        &self,
        records: impl Iterator<Item = Result<Record, StateError>>,
        meta: &SnapshotMeta,
    ) -> Result<(), StateError> {
        let fresh = backend::create(&self.disk, FILE, self.cache_bytes, |database| {
            write(database, records, meta.last_log_id, &meta.last_membership)
        })?;
        *self.current.lock() = Arc::new(fresh.database);
        Ok(())
    }
}

/// One commit of records with the log id and the membership that they belong to.
fn write(
    database: &Database,
    records: impl Iterator<Item = Result<Record, StateError>>,
    applied: Option<LogId>,
    membership: &StoredMembership,
) -> Result<(), StateError> {
    let transaction = begin(database)?;
    put(&transaction, records)?;
    commit(transaction, applied, membership)
}

pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StateError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    // The commit also saves the allocator's state, so that opening after a crash need not read
    // the whole file. Checkpoints are rare, and no client waits for them.
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Writes and deletes records.
pub(super) fn put(
    transaction: &WriteTransaction,
    records: impl Iterator<Item = Result<Record, StateError>>,
) -> Result<(), StateError> {
    let mut tables = Vec::with_capacity(Table::ALL.len());
    for each in Table::ALL {
        tables.push(transaction.open_table(table(each)).map_err(failed)?);
    }
    for record in records {
        let record = record?;
        let place = Table::ALL
            .iter()
            .position(|each| *each == record.table)
            .unwrap_or_default();
        let key = record.key.as_slice();
        match &record.value {
            Some(value) => tables[place]
                .insert(key, value.as_slice())
                .map_err(failed)?,
            None => tables[place].remove(key).map_err(failed)?,
        };
    }
    Ok(())
}

/// Commits what was put, with the log id and the membership that it belongs to.
pub(super) fn commit(
    transaction: WriteTransaction,
    applied: Option<LogId>,
    membership: &StoredMembership,
) -> Result<(), StateError> {
    {
        let mut raft = transaction.open_table(RAFT).map_err(failed)?;
        let mut applied_bytes = Vec::new();
        codec::put_log_id(&mut applied_bytes, applied.as_ref());
        let membership_bytes =
            codec::stored_membership_bytes(membership).map_err(|error| StateError::Unwritable {
                file: FILE,
                why: error.to_string(),
            })?;
        for (key, value) in [
            (KEY_FORMAT, [FORMAT].as_slice()),
            (KEY_APPLIED, applied_bytes.as_slice()),
            (KEY_MEMBERSHIP, membership_bytes.as_slice()),
        ] {
            raft.insert(key, value).map_err(failed)?;
        }
    }
    transaction.commit().map_err(failed)
}

/// The tree of the last commit of a file.
pub(super) fn tree(database: &Database) -> Result<Tree, StateError> {
    StateView::of(database)?.tree()
}

/// `state.redb` as of one commit. Clones are the same view.
#[derive(Clone)]
pub(crate) struct StateView {
    transaction: Arc<ReadTransaction>,
}

impl StateView {
    fn of(database: &Database) -> Result<Self, StateError> {
        let transaction = database.begin_read().map_err(failed)?;
        Ok(Self {
            transaction: Arc::new(transaction),
        })
    }

    /// The tree of all records.
    fn tree(&self) -> Result<Tree, StateError> {
        match self.meta()?.last_log_id {
            None => Ok(Tree::new()),
            Some(_) => Tree::restore(self.records()).map_err(damaged),
        }
    }

    fn raft_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let raft = self.transaction.open_table(RAFT).map_err(damaged)?;
        let row = raft.get(key).map_err(failed)?;
        Ok(row.map(|row| row.value().to_vec()))
    }

    /// The log id and the membership of the state.
    pub(crate) fn meta(&self) -> Result<SnapshotMeta, StateError> {
        let applied = self
            .raft_row(KEY_APPLIED)?
            .ok_or_else(|| damaged("it does not say which entry it stands at"))?;
        let membership = self
            .raft_row(KEY_MEMBERSHIP)?
            .ok_or_else(|| damaged("it holds no membership"))?;
        Ok(SnapshotMeta {
            last_log_id: codec::optional_log_id(&applied).map_err(damaged)?,
            last_membership: codec::stored_membership(&membership).map_err(damaged)?,
        })
    }

    /// All records, table by table.
    pub(crate) fn records(
        &self,
    ) -> impl Iterator<Item = Result<Record, StateError>> + Send + 'static + use<> {
        let transaction = self.transaction.clone();
        Table::ALL.into_iter().flat_map(move |each| {
            let rows = transaction
                .open_table(table(each))
                .map_err(damaged)
                .and_then(|rows| rows.range::<&[u8]>(..).map_err(failed));
            let (rows, error) = match rows {
                Ok(rows) => (Some(rows), None),
                Err(error) => (None, Some(Err(error))),
            };
            let rows = rows.into_iter().flatten().map(move |row| {
                let (key, value) = row.map_err(failed)?;
                Ok(Record {
                    table: each,
                    key: key.value().to_vec(),
                    value: Some(value.value().to_vec()),
                })
            });
            error.into_iter().chain(rows)
        })
    }
}

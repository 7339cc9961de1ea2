//! `modules.redb`: components by their SHA-256, kept beside the state and outside the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_runtime::{Disk, Runtime, ThreadRole};
use innkeeper_tree::Digest;
use parking_lot::RwLock;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use sha2::{Digest as _, Sha256};

use crate::error::{Failure, StateError};
use crate::state::backend::{self, Opened};

/// The file's name.
const FILE: &str = "modules.redb";
const MODULES: TableDefinition<'static, [u8; 32], &'static [u8]> = TableDefinition::new("modules");
const ABOUT: TableDefinition<'static, &'static str, u8> = TableDefinition::new("about");
const FORMAT: u8 = 1;

fn failed(error: impl Into<redb::Error>) -> StateError {
    backend::failed(FILE, error)
}

/// The modules of this node. They never change, and their names are their digests. Clones are the
/// same store.
///
/// Invariants:
/// - A module is durable when [`ModuleStore::put`] returns.
/// - The bytes under a digest have this digest; [`ModuleStore::get`] checks it.
/// - A call that fails, because the disk is full or cannot be read, harms no later call. redb
///   refuses everything after its first error, so the next call opens the file again.
/// - A failed sync ends the node: what the disk holds is unknown then, and reading does not tell.
///
/// The caller bounds the size of a module.
/// (tests: `a_failed_sync_ends_the_node_and_takes_nothing_back`,
/// `a_full_disk_takes_nothing_back_and_modules_go_on_when_there_is_room`)
#[derive(Clone)]
pub struct ModuleStore<R: Runtime> {
    runtime: R,
    shared: Arc<Shared<R::Disk>>,
}

struct Shared<D: Disk> {
    disk: D,
    cache_bytes: usize,
    failure: Failure,
    /// Read by each call; written by a call that opens the file again. `None` if that failed.
    opened: RwLock<Option<Opened>>,
    /// A call has failed, so the file must be opened again.
    is_broken: AtomicBool,
}

impl<D: Disk> Shared<D> {
    /// Does a piece of work with the open file. Blocks.
    fn work<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        if self.is_broken.load(Ordering::Acquire) {
            self.open_again()?;
        }
        let opened = self.opened.read();
        let Some(opened) = opened.as_ref() else {
            return Err(StateError::store(FILE, "it could not be opened again"));
        };
        let result = work(&opened.database);
        if let Err(error) = &result {
            self.is_broken.store(true, Ordering::Release);
            if opened.watch.sync_failed() {
                self.failure.fail(error.to_string());
            }
        }
        result
    }

    fn open_again(&self) -> Result<(), StateError> {
        let mut opened = self.opened.write();
        if opened.as_ref().is_some_and(|old| old.watch.sync_failed()) {
            return Err(StateError::store(FILE, "a sync of it has failed"));
        }
        if !self.is_broken.load(Ordering::Acquire) {
            return Ok(());
        }
        // The old one is closed first, since closing may write.
        *opened = None;
        let again = backend::open_existing(&self.disk, FILE, self.cache_bytes)?;
        *opened = Some(again.ok_or_else(|| StateError::damaged(FILE, "it has vanished"))?);
        self.is_broken.store(false, Ordering::Release);
        Ok(())
    }
}

impl<R: Runtime> std::fmt::Debug for ModuleStore<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleStore").finish_non_exhaustive()
    }
}

impl<R: Runtime> ModuleStore<R> {
    /// Opens `modules.redb` of a disk and creates it if there is none. Blocks.
    pub(crate) fn open(
        runtime: R,
        disk: &R::Disk,
        cache_bytes: usize,
        failure: Failure,
    ) -> Result<Self, StateError> {
        let opened = open_or_create(disk, cache_bytes)?;
        let read = opened.database.begin_read().map_err(failed)?;
        let about = read.open_table(ABOUT).map_err(failed)?;
        let found = about.get("format").map_err(failed)?;
        match found.map(|found| found.value()) {
            Some(FORMAT) => {}
            Some(found) => {
                return Err(StateError::Version {
                    file: FILE,
                    found,
                    known: FORMAT,
                });
            }
            None => return Err(StateError::damaged(FILE, "it names no format version")),
        }
        let shared = Shared {
            disk: disk.clone(),
            cache_bytes,
            failure,
            opened: RwLock::new(Some(opened)),
            is_broken: AtomicBool::new(false),
        };
        Ok(Self {
            runtime,
            shared: Arc::new(shared),
        })
    }

    /// The name of a module with these bytes.
    pub fn digest(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Stores a module durably and returns its name. If the module is stored already, nothing is
    /// written.
    pub async fn put(&self, bytes: bytes::Bytes) -> Result<Digest, StateError> {
        let stored = self.blocking(move |database| {
            let digest = Self::digest(&bytes);
            let mut write = database.begin_write().map_err(failed)?;
            write.set_quick_repair(true);
            let fresh = {
                let mut modules = write.open_table(MODULES).map_err(failed)?;
                let known = modules.get(digest.0).map_err(failed)?.is_some();
                if !known {
                    modules.insert(digest.0, bytes.as_ref()).map_err(failed)?;
                }
                !known
            };
            if fresh {
                write.commit().map_err(failed)?;
            } else {
                write.abort().map_err(failed)?;
            }
            Ok(digest)
        });
        let digest = stored.await?;
        self.shared.disk.settled().await.map_err(failed)?;
        Ok(digest)
    }

    /// A module's bytes; `None` if this node does not store it.
    pub async fn get(&self, digest: Digest) -> Result<Option<bytes::Bytes>, StateError> {
        self.blocking(move |database| {
            let read = database.begin_read().map_err(failed)?;
            let modules = read.open_table(MODULES).map_err(failed)?;
            let Some(found) = modules.get(digest.0).map_err(failed)? else {
                return Ok(None);
            };
            let bytes = bytes::Bytes::copy_from_slice(found.value());
            if Self::digest(&bytes) != digest {
                return Err(StateError::damaged(
                    FILE,
                    "a module does not have its digest",
                ));
            }
            Ok(Some(bytes))
        })
        .await
    }

    /// The names and sizes in bytes of all stored modules.
    pub async fn list(&self) -> Result<Vec<(Digest, u64)>, StateError> {
        self.blocking(|database| {
            let read = database.begin_read().map_err(failed)?;
            let modules = read.open_table(MODULES).map_err(failed)?;
            let count = modules.len().map_err(failed)?;
            let mut list = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
            for row in modules.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                list.push((Digest(key.value()), value.value().len() as u64));
            }
            Ok(list)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let shared = self.shared.clone();
        let done = self
            .runtime
            .spawn(ThreadRole::Checkpoint, async move { shared.work(work) });
        done.await.map_err(|error| StateError::store(FILE, error))?
    }
}

fn open_or_create<D: Disk>(disk: &D, cache_bytes: usize) -> Result<Opened, StateError> {
    if let Some(opened) = backend::open_existing(disk, FILE, cache_bytes)? {
        return Ok(opened);
    }
    backend::create(disk, FILE, cache_bytes, |database| {
        let write = database.begin_write().map_err(failed)?;
        {
            write.open_table(MODULES).map_err(failed)?;
            let mut about = write.open_table(ABOUT).map_err(failed)?;
            about.insert("format", FORMAT).map_err(failed)?;
        }
        write.commit().map_err(failed)
    })
}

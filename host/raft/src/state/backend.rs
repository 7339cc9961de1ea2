//! redb's files on the node's [`Disk`], so that simulated faults hit them, too.

use std::io;

use innkeeper_runtime::{Disk, File, Open};
use redb::{Builder, Database, StorageBackend};

use crate::error::StateError;

/// One file of a disk behind redb's trait.
#[derive(Debug)]
struct DiskBackend<F: File> {
    file: F,
}

impl<F: File> StorageBackend for DiskBackend<F> {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.file.write_at(data, offset)
    }
}

/// Opens a redb file; `None` if it does not exist.
pub(crate) fn open_existing<D: Disk>(
    disk: &D,
    name: &'static str,
    cache_bytes: usize,
) -> Result<Option<Database>, StateError> {
    let failed = |e: io::Error| StateError::store(name, e);
    let file = match disk.open(name, Open::Write) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    database(name, file, cache_bytes).map(Some)
}

/// Creates a redb file. `fill` writes and commits its first content under the name `<name>.new`;
/// then the file gets its name in one step. So an unfinished file never has the name.
pub(crate) fn create<D: Disk>(
    disk: &D,
    name: &'static str,
    cache_bytes: usize,
    fill: impl FnOnce(&Database) -> Result<(), StateError>,
) -> Result<Database, StateError> {
    let failed = |e: io::Error| StateError::store(name, e);
    let fresh = format!("{name}.new");
    let file = disk.open(&fresh, Open::Create).map_err(failed)?;
    file.set_len(0).map_err(failed)?;
    let database = database(name, file, cache_bytes)?;
    fill(&database)?;
    // redb writes when it is closed, so it is closed before the file gets its name.
    drop(database);
    disk.rename(&fresh, name).map_err(failed)?;
    disk.sync_folder("").map_err(failed)?;
    match open_existing(disk, name, cache_bytes)? {
        Some(database) => Ok(database),
        None => Err(StateError::damaged(name, "it vanished after it was made")),
    }
}

fn database<F: File>(
    name: &'static str,
    file: F,
    cache_bytes: usize,
) -> Result<Database, StateError> {
    Builder::new()
        .set_cache_size(cache_bytes)
        .create_with_backend(DiskBackend { file })
        .map_err(|e| StateError::store(name, e))
}

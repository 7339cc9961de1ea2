//! redb's files on the node's [`Disk`], so that simulated faults hit them, too.
//!
//! redb has a checksum for each of its pages and does not look at it when it opens a file that was
//! closed in order or by a power cut. So the whole file is verified here when it is opened, and
//! what was verified or written is [checked](super::blocks) when it is read again.
//!
//! **Invariant:** a bit that has changed in `state.redb` or `modules.redb` ends in a refusal, or in
//! the right answer. One change is not found. A bit in the file's header says which of the last two
//! commits counts. If it has changed, the older commit is opened: of the state, the log applies the
//! rest again; of the modules, the last one is missing. (tests:
//! `a_rotten_bit_is_refused_or_does_no_harm`, `bits_that_flip_in_reads_are_refused_or_do_no_harm`,
//! `a_block_is_checked_after_it_was_written_whole`)

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_runtime::{Disk, File, Open};
use redb::{Builder, Database, StorageBackend};

use super::blocks::Blocks;
use crate::error::StateError;

/// What is known of an open redb file beside its content.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    blocks: Blocks,
    sync_failed: AtomicBool,
}

impl Watch {
    /// Whether a sync of the file has failed, so that its content on the disk is unknown.
    pub(crate) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }
}

/// An open redb file.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) watch: Arc<Watch>,
}

/// One file of a disk behind redb's trait.
#[derive(Debug)]
struct DiskBackend<F: File> {
    file: F,
    watch: Arc<Watch>,
}

impl<F: File> StorageBackend for DiskBackend<F> {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let begun = self.watch.blocks.begin_read();
        self.file.read_exact_at(out, offset)?;
        self.watch.blocks.read(begun, offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.watch.blocks.set_len(len);
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let synced = self.file.sync();
        if synced.is_err() {
            self.watch.sync_failed.store(true, Ordering::Release);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.watch.blocks.write(offset, data.len() as u64);
        self.file.write_at(data, offset)?;
        self.watch.blocks.written(offset, data);
        Ok(())
    }
}

/// The error of a redb file: damage, or a disk that cannot be read or written.
pub(crate) fn failed(name: &'static str, error: impl Into<redb::Error>) -> StateError {
    match error.into() {
        redb::Error::Corrupted(why) => StateError::damaged(name, why),
        other => StateError::store(name, other),
    }
}

/// Opens a redb file and verifies all of it; `None` if it does not exist.
pub(crate) fn open_existing<D: Disk>(
    disk: &D,
    name: &'static str,
    cache_bytes: usize,
) -> Result<Option<Opened>, StateError> {
    open_as(disk, name, name, cache_bytes)
}

/// Opens the file `path`, which is, or will be, the file `name`.
fn open_as<D: Disk>(
    disk: &D,
    name: &'static str,
    path: &str,
    cache_bytes: usize,
) -> Result<Option<Opened>, StateError> {
    let file = match disk.open(path, Open::Write) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(name, error)),
    };
    // redb panics on some damage.
    catch_unwind(AssertUnwindSafe(|| verified(name, file, cache_bytes)))
        .unwrap_or_else(|_| Err(StateError::damaged(name, "its pages do not fit together")))
        .map(Some)
}

fn verified<F: File>(
    name: &'static str,
    file: F,
    cache_bytes: usize,
) -> Result<Opened, StateError> {
    let mut opened = database(name, file, cache_bytes)?;
    let checked = opened.database.check_integrity();
    opened.watch.blocks.learn(false);
    // False means that redb's list of free pages was wrong, which it has corrected.
    checked.map_err(|error| failed(name, error))?;
    Ok(opened)
}

/// Creates a redb file. `fill` writes and commits its first content under the name `<name>.new`;
/// then the file gets its name in one step. So an unfinished file never has the name.
pub(crate) fn create<D: Disk>(
    disk: &D,
    name: &'static str,
    cache_bytes: usize,
    fill: impl FnOnce(&Database) -> Result<(), StateError>,
) -> Result<Opened, StateError> {
    let fresh_database = create_new(disk, name, cache_bytes)?;
    fill(&fresh_database)?;
    // redb writes when it is closed, so it is closed before the file gets its name.
    drop(fresh_database);
    name_new(disk, name)?;
    match open_existing(disk, name, cache_bytes)? {
        Some(opened) => Ok(opened),
        None => Err(StateError::damaged(name, "it vanished after it was made")),
    }
}

/// The name of a file that is not whole yet.
pub(crate) fn new_name(name: &str) -> String {
    format!("{name}.new")
}

/// Creates an empty redb file with the name `<name>.new`.
pub(crate) fn create_new<D: Disk>(
    disk: &D,
    name: &'static str,
    cache_bytes: usize,
) -> Result<Database, StateError> {
    let failed = |e: io::Error| failed(name, e);
    let file = disk.open(&new_name(name), Open::Create).map_err(failed)?;
    file.set_len(0).map_err(failed)?;
    Ok(database(name, file, cache_bytes)?.database)
}

/// Opens `<name>.new`, which is closed and durable, and verifies all of it.
pub(crate) fn open_new<D: Disk>(
    disk: &D,
    name: &'static str,
    cache_bytes: usize,
) -> Result<Opened, StateError> {
    match open_as(disk, name, &new_name(name), cache_bytes)? {
        Some(opened) => Ok(opened),
        None => Err(StateError::damaged(name, "it vanished after it was made")),
    }
}

/// Gives the file `<name>.new` its name, in one step. It must be whole and durable.
pub(crate) fn name_new<D: Disk>(disk: &D, name: &'static str) -> Result<(), StateError> {
    let failed = |e: io::Error| failed(name, e);
    disk.rename(&new_name(name), name).map_err(failed)?;
    disk.sync_folder("").map_err(failed)
}

fn database<F: File>(
    name: &'static str,
    file: F,
    cache_bytes: usize,
) -> Result<Opened, StateError> {
    let watch = Arc::new(Watch::default());
    // What is read before the file is verified must be the same when it is verified.
    watch.blocks.learn(true);
    let backend = DiskBackend {
        file,
        watch: watch.clone(),
    };
    let database = Builder::new()
        .set_cache_size(cache_bytes)
        .create_with_backend(backend)
        .map_err(|error| failed(name, error))?;
    Ok(Opened { database, watch })
}

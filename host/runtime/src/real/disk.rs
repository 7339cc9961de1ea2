//! A folder of the real file system.
//!
//! **Invariant:** other users cannot read the data folder: it is created with mode 0750 and its
//! files with mode 0640. An existing folder keeps its mode, because its owner may have chosen it.
//! If others may read an existing file, because an earlier release has created it so, that right is
//! taken away when the file is opened. (test:
//! `strangers_read_nothing_of_the_data_folder`)

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::future::{Future, ready};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FallocateFlags;

use super::private;
use crate::disk::{check_path, in_context};
use crate::{Disk, File, Open};

/// The file whose lock is the disk's lock. It holds the id of the process that has the lock.
const LOCK_FILE: &str = "LOCK";

/// The mode of new files: the group may read them, and others may do nothing. The umask may take
/// more rights away.
const FILE_MODE: u32 = 0o640;

/// The mode of new folders.
const FOLDER_MODE: u32 = 0o750;

/// Zeros are written in pieces of this size where the file system cannot preallocate.
const ZEROS_LEN: usize = 64 * 1024;

/// A folder of the real file system.
#[derive(Clone)]
pub struct RealDisk {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    syncs: AtomicU64,
}

/// An open file of a [`RealDisk`].
pub struct RealFile {
    file: fs::File,
    path: String,
    disk: Arc<Inner>,
}

/// The lock on a data folder. The kernel releases it when the process ends for any reason.
#[derive(Debug)]
pub struct RealLock {
    _file: fs::File,
}

impl RealDisk {
    /// The disk whose root is `root`. The folder and its parents are created if they do not exist.
    /// An existing folder keeps its mode: its owner may have opened it for a backup.
    pub(super) fn at(root: &Path) -> io::Result<Self> {
        create_durably(root, FOLDER_MODE)
            .map_err(|error| in_context(error, "use", &root.to_string_lossy()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                root: root.to_owned(),
                syncs: AtomicU64::new(0),
            }),
        })
    }

    fn full(&self, path: &str) -> io::Result<PathBuf> {
        check_path(path)?;
        Ok(self.inner.root.join(path))
    }
}

/// The mode of new parents of the data folder: all rights that the umask leaves.
const PARENT_MODE: u32 = 0o777;

/// Creates a folder and its parents. Each is durable in its parent before the next is created.
fn create_durably(folder: &Path, mode: u32) -> io::Result<()> {
    if fs::metadata(folder).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::ErrorKind::NotFound.into()),
    };
    create_durably(parent, PARENT_MODE)?;
    match DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => {
            return Err(error);
        }
        _ => {}
    }
    fs::File::open(parent)?.sync_all()
}

/// Opens a file of the data folder. A pipe in its place would let the node wait without a word, so
/// anything but a regular file is refused. (test: `only_regular_files_of_the_data_folder_are_opened`)
fn open_regular(options: &OpenOptions, path: &Path) -> io::Result<fs::File> {
    let mut options = options.clone();
    // Opening a pipe does not wait for its other end then. A regular file never waits.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = options.custom_flags(nonblocking).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let what = "it is no regular file: move away what is in its place";
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Takes rights away from an existing file that a new file would not have, because an earlier
/// release has created its files readable for everybody.
fn close_to_others(file: &fs::File, path: &str) {
    let mode = file.metadata().map(|found| found.permissions().mode());
    let closed = mode.and_then(|mode| match mode & 0o7777 & !FILE_MODE {
        0 => Ok(()),
        _ => file.set_permissions(Permissions::from_mode(mode & FILE_MODE)),
    });
    if let Err(error) = closed {
        // The file belongs to another user, who decides its mode.
        tracing::debug!("the rights to {path} stay as they are: {error}");
    }
}

impl Disk for RealDisk {
    type File = RealFile;
    type Lock = RealLock;

    fn open(&self, path: &str, how: Open) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).mode(FILE_MODE);
        match how {
            Open::Read => {}
            Open::Write => _ = options.write(true),
            Open::Create => _ = options.write(true).create(true),
            Open::CreateNew => _ = options.write(true).create_new(true),
        }
        let file = self
            .full(path)
            .and_then(|full| open_regular(&options, &full))
            .map_err(|error| in_context(error, "open", path))?;
        if how != Open::Read {
            close_to_others(&file, path);
        }
        Ok(RealFile {
            file,
            path: path.to_owned(),
            disk: self.inner.clone(),
        })
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let list = || {
            let mut names = Vec::new();
            for entry in fs::read_dir(self.full(folder)?)? {
                // The node's own names are UTF-8, so others are left out.
                if let Ok(name) = entry?.file_name().into_string() {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        list().map_err(|error| in_context(error, "list", folder))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let rename = || fs::rename(self.full(from)?, self.full(to)?);
        rename().map_err(|error| in_context(error, &format!("rename {from} to"), to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.full(path)
            .and_then(fs::remove_file)
            .map_err(|error| in_context(error, "remove", path))
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        let create = || {
            let full = self.full(folder)?;
            match DirBuilder::new().mode(FOLDER_MODE).create(&full) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && full.is_dir() => {
                    Ok(())
                }
                created => created,
            }
        };
        create().map_err(|error| in_context(error, "make the folder", folder))
    }

    fn create_private_folder(&self, folder: &str) -> io::Result<()> {
        self.full(folder)
            .and_then(|full| private::create_folder(&full))
            .map_err(|error| in_context(error, "use the folder", folder))
    }

    fn read_private(&self, folder: &str, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        check_path(name)
            .and_then(|()| private::read(&self.full(folder)?, name, bytes_max))
            .map_err(|error| in_context(error, "read", &format!("{folder}/{name}")))
    }

    fn write_private(&self, folder: &str, name: &str, content: &[u8]) -> io::Result<()> {
        check_path(name)
            .and_then(|()| private::write(&self.full(folder)?, name, content))
            .map_err(|error| in_context(error, "write", &format!("{folder}/{name}")))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let sync = || fs::File::open(self.full(folder)?)?.sync_all();
        sync().map_err(|error| in_context(error, "sync the folder", folder))?;
        self.inner.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn settled(&self) -> impl Future<Output = io::Result<()>> + Send {
        ready(Ok(()))
    }

    fn lock(&self) -> io::Result<RealLock> {
        let path = self.inner.root.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE);
        let mut file = open_regular(&options, &path)
            .map_err(|error| in_context(error, "open", &path.to_string_lossy()))?;
        close_to_others(&file, LOCK_FILE);
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let holder = match holder.trim() {
                    "" => String::new(),
                    id => format!(" ({id})"),
                };
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!(
                        "the data folder {} is in use by another process{holder}: stop it, or use another folder",
                        self.inner.root.display()
                    ),
                ));
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(in_context(error, "lock", &path.to_string_lossy()));
            }
        }
        // This id is only for the sentence above, so it needs no sync.
        file.set_len(0)?;
        file.write_all(format!("process {}", std::process::id()).as_bytes())?;
        Ok(RealLock { _file: file })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let free = rustix::fs::statvfs(&self.inner.root)
            .map_err(|error| in_context(error.into(), "see how much is free in", ""))?;
        // Room that is reserved for the super user does not count.
        Ok(free.f_bavail.saturating_mul(free.f_frsize))
    }

    fn sync_count(&self) -> u64 {
        self.inner.syncs.load(Ordering::Relaxed)
    }
}

impl RealFile {
    fn error(&self, error: io::Error, doing: &str) -> io::Error {
        in_context(error, doing, &self.path)
    }

    /// Writes zeros up to `end`, which reserves the room.
    fn write_zeros_up_to(&self, end: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS_LEN];
        let mut at = self.file.metadata()?.len();
        while at < end {
            let piece = (end - at).min(ZEROS_LEN as u64);
            self.file.write_all_at(&zeros[..piece as usize], at)?;
            at += piece;
        }
        Ok(())
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error, "read")),
            }
        }
        Ok(done)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file
            .write_all_at(data, offset)
            .map_err(|error| self.error(error, "write"))
    }

    fn len(&self) -> io::Result<u64> {
        let metadata = self.file.metadata();
        Ok(metadata
            .map_err(|error| self.error(error, "look at"))?
            .len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file
            .set_len(len)
            .map_err(|error| self.error(error, "set the length of"))
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let preallocated =
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), offset, len) {
                // Some file systems cannot, and some kernels of containers do not know the call.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                    self.write_zeros_up_to(offset + len)
                }
                done => done.map_err(io::Error::from),
            };
        preallocated.map_err(|error| self.error(error, "preallocate"))
    }

    fn sync(&self) -> io::Result<()> {
        self.file
            .sync_data()
            .map_err(|error| self.error(error, "sync"))?;
        self.disk.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Debug for RealDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RealDisk({})", self.inner.root.display())
    }
}

impl fmt::Debug for RealFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

//! The traits of files, with the operations that the log and redb need.

use std::fmt;
use std::future::Future;
use std::io;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// For reading. The file must exist.
    Read,
    /// For reading and writing. The file must exist.
    Write,
    /// For reading and writing. The file is created if it does not exist.
    Create,
    /// For reading and writing. The file is created and must not exist before.
    CreateNew,
}

/// A folder with files. All durable data goes through it.
///
/// Paths are relative to the disk's root, with `/` between names; `""` is the root itself. Absolute
/// paths and `..` are refused. Every call blocks: call it from a role that
/// [may block](crate::ThreadRole::may_block), or at the start.
///
/// Invariants:
/// - The content of a file is durable when [`File::sync`] has returned.
/// - The name of a file (created, renamed, removed) is durable when [`Disk::sync_folder`] has
///   returned for each folder that was changed. Syncing the file is not enough.
/// - An error names the path and the operation and keeps its [`io::ErrorKind`]: a full disk is
///   [`io::ErrorKind::StorageFull`].
/// - After a failed sync it is unknown which writes since the last good sync are on the disk, and a
///   second try does not tell. The caller must stop.
pub trait Disk: Clone + Send + Sync + fmt::Debug + 'static {
    /// An open file.
    type File: File;
    /// The disk's lock. It is released when it is dropped or the process ends.
    type Lock: Send + Sync + fmt::Debug + 'static;

    /// Opens a file. Its folder must exist.
    fn open(&self, path: &str, how: Open) -> io::Result<Self::File>;

    /// The sorted names of the files and folders in a folder.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Renames a file. A file that has the new name is replaced in one step.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. It stays usable where it is open.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Creates a folder, unless it exists. Its parent must exist.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Creates a folder that only the user of this process may enter (mode 0700). Its parent must
    /// exist. An existing folder is accepted if it belongs to this user and no other user may write
    /// to it; otherwise the error is [`io::ErrorKind::PermissionDenied`] and says what to do.
    fn create_private_folder(&self, folder: &str) -> io::Result<()>;

    /// Reads the whole content of a file in a private folder. The file and the folder must belong
    /// to this user, be writable for no other user, and be no symbolic links; otherwise the file is
    /// not read, and the error is [`io::ErrorKind::PermissionDenied`]. A file of more than
    /// `bytes_max` bytes is [`io::ErrorKind::FileTooLarge`].
    fn read_private(&self, folder: &str, name: &str, bytes_max: u64) -> io::Result<Vec<u8>>;

    /// Writes the whole content of a file in a private folder, in one step for its readers. Only
    /// this user may read it (mode 0600). It is **not** durable: after a power cut the file may
    /// have any content, so its reader must check it.
    fn write_private(&self, folder: &str, name: &str, content: &[u8]) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Waits until every sync that has returned so far is over. Code awaits this between a sync and
    /// the first thing that counts on it: an answer, an acknowledgement, a purge.
    ///
    /// A real sync is over when it returns, so this is ready at once there. In simulation a sync
    /// must not block the one thread; it returns at once and takes its time here. The error is that
    /// of a sync whose disk failed meanwhile.
    fn settled(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Locks the disk for this process. If another process has the lock, the error is
    /// [`io::ErrorKind::ResourceBusy`], with one sentence that names the process and says what to
    /// do.
    fn lock(&self) -> io::Result<Self::Lock>;

    /// The number of bytes that this process can still write before the disk is full.
    fn free_bytes(&self) -> io::Result<u64>;

    /// The number of syncs of files and folders that this disk has done.
    fn sync_count(&self) -> u64;

    /// The whole content of a file.
    fn read_whole(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = self.open(path, Open::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut content = vec![0; len];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Replaces the whole content of a file durably and in one step: after a power cut the file has
    /// the old content or the new one. It writes `<path>.new`, syncs it, renames it and syncs the
    /// folder.
    fn replace(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let fresh = format!("{path}.new");
        let file = self.open(&fresh, Open::Create)?;
        file.set_len(0)?;
        file.write_at(content, 0)?;
        file.sync()?;
        drop(file);
        self.rename(&fresh, path)?;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.sync_folder(folder)
    }
}

/// One open file. All calls take `&self` and may come from several threads.
#[allow(clippy::len_without_is_empty)] // No code needs `is_empty`.
pub trait File: Send + Sync + fmt::Debug + 'static {
    /// Reads from `offset` on. Returns the number of bytes, which is less than the buffer's length
    /// only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `data` at `offset`. The file grows if it must; a gap reads as zeros.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Sets the length: cuts the file, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves room, so that writes in this range cannot fail because the disk is full. Afterwards
    /// the file has at least `offset + len` bytes; bytes that were not written read as zeros.
    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Makes all writes and the length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;

    /// Fills `buffer` from `offset` on. If the file ends before, the error is
    /// [`io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.read_at(buffer, offset)?;
        if read < buffer.len() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "{self:?} ends after {read} of the {} bytes at offset {offset}",
                    buffer.len()
                ),
            ));
        }
        Ok(())
    }
}

/// Adds the operation and the path to an error and keeps its kind.
pub(crate) fn in_context(error: io::Error, doing: &str, path: &str) -> io::Error {
    let path = if path.is_empty() {
        "the data folder"
    } else {
        path
    };
    io::Error::new(error.kind(), format!("cannot {doing} {path}: {error}"))
}

/// Checks that a path stays inside the disk.
pub(crate) fn check_path(path: &str) -> io::Result<()> {
    let inside = path.is_empty()
        || path
            .split('/')
            .all(|name| !name.is_empty() && name != "." && name != ".." && !name.contains('\0'));
    if inside {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "{path:?} is not a path inside the data folder: use names joined by single slashes"
        ),
    ))
}

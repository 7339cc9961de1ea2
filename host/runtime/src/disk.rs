//! Files as the host sees them: everything the log and the redb files need, and nothing more.

use std::fmt;
use std::io;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It must exist; it is only read.
    Read,
    /// It must exist; it is read and written.
    Write,
    /// It is made if it does not exist, and read and written.
    Create,
    /// It must not exist; it is made, and read and written.
    CreateNew,
}

/// A folder of files, the only way to anything durable.
///
/// Paths are relative to the disk's root, with `/` between names; `""` is the root itself. An
/// absolute path and `..` are refused. Every call blocks; call it from a role that
/// [may block](crate::ThreadRole::may_block), or at start-up.
///
/// Invariants:
/// - What a file holds is durable once [`File::sync`] returned.
/// - That a file has its name (created, renamed, removed) is durable once
///   [`Disk::sync_folder`] returned for every folder concerned. Syncing the file alone is not
///   enough.
/// - An error names the path and the operation and keeps its [`io::ErrorKind`]: a full disk is
///   [`io::ErrorKind::StorageFull`].
/// - After a failed sync nothing is known about what was written since the last good one; trying
///   again proves nothing. The caller stops.
pub trait Disk: Clone + Send + Sync + fmt::Debug + 'static {
    /// An open file.
    type File: File;
    /// Holds the disk's lock; dropping it, or the end of the process, gives the lock back.
    type Lock: Send + Sync + fmt::Debug + 'static;

    /// Opens a file. Its folder must exist.
    fn open(&self, path: &str, how: Open) -> io::Result<Self::File>;

    /// The names in a folder, sorted, of files and folders alike.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Gives a file another name, replacing in one step what had that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Those who have it open keep it.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes a folder; its parent must exist. One that exists is fine.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Makes a folder that this process's user alone may enter (mode 0700); its parent must exist.
    /// One that exists is fine if it belongs to that user and nobody else may write to it; else
    /// the error's kind is [`io::ErrorKind::PermissionDenied`], and it says what to do.
    fn create_private_folder(&self, folder: &str) -> io::Result<()>;

    /// The whole content of a file of such a folder, which must be this user's and writable for
    /// nobody else, and no symbolic link, as must be the folder. What is not is refused like the
    /// folder, and nothing of it is read. A file of more than `bytes_max` bytes is
    /// [`io::ErrorKind::FileTooLarge`].
    fn read_private(&self, folder: &str, name: &str, bytes_max: u64) -> io::Result<Vec<u8>>;

    /// Makes `content` the whole of a file of such a folder, in one step for those who read it,
    /// readable for this user alone (mode 0600). It is **not** durable: after a power cut the file
    /// may be there and be anything, so its reader must be able to tell.
    fn write_private(&self, folder: &str, name: &str, content: &[u8]) -> io::Result<()>;

    /// Makes durable which names stand in a folder.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Takes the disk for this process alone. The error is one sentence that says who holds it
    /// and what to do; its kind is [`io::ErrorKind::ResourceBusy`].
    fn lock(&self) -> io::Result<Self::Lock>;

    /// How many more bytes this process could write before the disk is full.
    fn free_bytes(&self) -> io::Result<u64>;

    /// How many syncs, of files and of folders, this disk has done.
    fn sync_count(&self) -> u64;

    /// The whole content of a file.
    fn read_whole(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = self.open(path, Open::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut content = vec![0; len];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Makes `content` the whole of a file, durably and in one step: after a power cut the file
    /// holds the old content or the new. It writes `<path>.new`, syncs it, renames it and syncs
    /// the folder.
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
#[allow(clippy::len_without_is_empty)] // Nobody asks whether a file is empty.
pub trait File: Send + Sync + fmt::Debug + 'static {
    /// Reads from `offset` on; returns how many bytes, fewer than asked for only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `data` at `offset`; the file grows as needed, and a gap reads as zeros.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file off, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves room, so that writes in the range cannot find the disk full; the file is at
    /// least `offset + len` long afterwards, and what was not written reads as zeros.
    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Makes all that was written durable, the length included (fdatasync).
    fn sync(&self) -> io::Result<()>;

    /// Fills `buffer` from `offset` on; a file that ends before is
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

/// Adds to an error what was being done to which path, and keeps its kind.
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

//! Paths of Unix sockets. The kernel accepts at most 107 bytes.
//!
//! A socket with a longer path is reached through its open folder, which has a short name in
//! `/proc`. So the data folder may be as deep as the file system allows.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

/// The longest path in a socket's address, in bytes. The kernel needs a zero after it.
const BYTES_MAX: usize = 107;

/// The folder in which this process finds its open files.
const OPEN_FILES: &str = "/proc/self/fd";

/// A short path of a socket's file. It is valid while this value lives.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl SocketPath {
    /// A short path for `path`. If `path` is long, its folder must exist.
    pub fn to(path: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= BYTES_MAX {
            return Ok(Self {
                path: path.to_owned(),
                _folder: None,
            });
        }
        // With this flag the user need not have the right to list the folder.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(folder, flags, Mode::empty())?;
        let path = PathBuf::from(format!("{OPEN_FILES}/{}", folder.as_raw_fd())).join(name);
        Ok(Self {
            path,
            _folder: Some(folder),
        })
    }

    /// A path to the same file that is short enough.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_short_enough() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().as_os_str().len();
        for bytes in [BYTES_MAX - 1, BYTES_MAX, BYTES_MAX + 1, 240] {
            let deep = folder.path().join("d".repeat(bytes - root - "//s".len()));
            std::fs::create_dir_all(&deep).unwrap();
            let socket = deep.join("s");
            assert_eq!(socket.as_os_str().len(), bytes);
            let way = SocketPath::to(&socket).unwrap();
            assert!(way.path().as_os_str().len() <= BYTES_MAX);
            assert_eq!(way.path() == socket, bytes <= BYTES_MAX);
            std::fs::write(way.path(), "here").unwrap();
            assert_eq!(std::fs::read(&socket).unwrap(), b"here");
        }
        let missing = folder.path().join("m".repeat(120)).join("s");
        let error = SocketPath::to(&missing).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}

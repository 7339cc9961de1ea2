//! An open file of a simulated disk, and the disk's lock.

use std::fmt;
use std::io;

use super::device::{Attached, Device};
use super::sync_time::Synced;
use crate::File;

/// An open file of a [`SimDisk`](super::SimDisk).
pub struct SimFile {
    pub(super) disk: Attached,
    pub(super) id: u64,
    /// The path that it was opened with. Its faults are those of this path, also after a rename.
    pub(super) path: String,
    pub(super) writable: bool,
}

/// The lock on a simulated disk.
pub struct SimLock {
    pub(super) disk: Attached,
}

impl SimFile {
    fn with<T>(
        &self,
        doing: &str,
        change: impl FnOnce(&mut Device) -> io::Result<T>,
    ) -> io::Result<T> {
        self.disk.with(doing, &self.path, change)
    }

    fn change(
        &self,
        doing: &str,
        change: impl FnOnce(&mut Device) -> io::Result<()>,
    ) -> io::Result<()> {
        self.with(doing, |device| {
            if !self.writable {
                return Err(io::Error::from(rustix::io::Errno::BADF));
            }
            device.check_write(&self.path)?;
            change(device)
        })
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with("read", |device| {
            device.faults.at_read(&self.path, &mut device.rng)?;
            let read = device.content(self.id).read(buffer, offset);
            device
                .faults
                .flip(&self.path, &mut buffer[..read], &mut device.rng);
            Ok(read)
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.change("write", |device| {
            device.check_room(&self.path, self.id, offset + data.len() as u64)?;
            let syncs = device.syncs;
            device.content(self.id).write(syncs, data, offset);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with("look at", |device| Ok(device.content(self.id).len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change("set the length of", |device| {
            device.check_room(&self.path, self.id, len)?;
            let syncs = device.syncs;
            device.content(self.id).set_len(syncs, len);
            Ok(())
        })
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.change("preallocate", |device| {
            let end = offset + len;
            device.check_room(&self.path, self.id, end)?;
            let syncs = device.syncs;
            let content = device.content(self.id);
            if content.len() < end {
                content.set_len(syncs, end);
            }
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with("sync", |device| {
            device.sync(&self.path, Synced::File(self.id))
        })
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut device = self.disk.lock();
        if self.disk.is_newest(&device) {
            device.locked = false;
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimLock")
    }
}

//! A disk in memory that loses what was not synced, and fails on demand.
//!
//! A test of durability has these steps:
//!
//! 1. Create a [`SimDisk`] with a seed and choose when the power fails:
//!    [`cut_at_sync`](SimDisk::cut_at_sync).
//! 2. Run the code on it. After the power cut every call fails, also on open files. If the disk
//!    belongs to a [`Host`](super::Host), the whole machine loses power in the middle of that sync.
//! 3. [`reopen`](SimDisk::reopen) returns the disk after the cut: everything that was synced is
//!    there; of the rest, some changes are kept, some are lost, and some are torn, as the seed
//!    decides. A host's next start does the same.
//! 4. Run the code's recovery on this disk, and check that all acknowledged writes are there.
//!
//! | Fault | Begins | Ends |
//! |---|---|---|
//! | lost, kept or torn writes and names | [`set_unsynced`](SimDisk::set_unsynced), a power cut | at once |
//! | a power cut | [`power_cut`](SimDisk::power_cut), [`cut_at_sync`](SimDisk::cut_at_sync) | `reopen`, the host's next start |
//! | one failed sync | [`fail_sync`](SimDisk::fail_sync) | with that sync |
//! | slow syncs | [`set_sync_time`](SimDisk::set_sync_time) | the same, with the default |
//! | a full disk | [`set_capacity`](SimDisk::set_capacity) | the same, with `None` |
//! | flipped bits in reads | [`flip_bits_on_read`](SimDisk::flip_bits_on_read) | the same, with `None` |
//! | any of these for some files, failing reads, writes and syncs | [`set_faults`](SimDisk::set_faults) | the same, with the default |
//! | flipped bits on the disk | [`rot`](SimDisk::rot), [`corrupt`](SimDisk::corrupt) | by writing there |
//!
//! [`heal`](SimDisk::heal) ends all that can end. The faults are the hardware's: a disk that is
//! full, slow or failing is so after a restart of its machine, too, and a fault that is planned for
//! a later sync still comes.

use std::fmt;
use std::io;

use super::clock::world_sleep_until;
use super::content::Unsynced;
use super::device::{Attached, OnPowerLoss, not_found};
use super::faults::{CutAt, FileFaults, Rot, SyncFault};
use super::file::{SimFile, SimLock};
use super::names::{Node, parent};
use super::sync_time::{SyncTime, Synced};
use crate::disk::{check_path, in_context};
use crate::{Disk, File, Open};

/// A simulated disk. Clones are the same disk.
///
/// Invariants:
/// - Changes that [`File::sync`] or [`Disk::sync_folder`] has synced survive every power cut.
/// - Other changes survive as [`Unsynced`] says: a file whose folder was not synced may vanish, a
///   rename may be undone, a write may be lost or torn between sectors of 512 bytes.
/// - After a power cut every call on this handle and its files fails for ever. Only the handle from
///   [`SimDisk::reopen`] works. The faults can be changed through any handle.
/// - The same seed and the same calls give the same results.
#[derive(Clone)]
pub struct SimDisk {
    attached: Attached,
}

/// Life and faults.
impl SimDisk {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            attached: Attached::new(seed),
        }
    }

    /// Sets the effect of power cuts on unsynced changes; [`Unsynced::Seeded`] is the default.
    pub fn set_unsynced(&self, unsynced: Unsynced) {
        self.attached.lock().faults.unsynced = unsynced;
    }

    /// Cuts the power now. A host that has this disk loses power with all its disks.
    pub fn power_cut(&self) {
        self.attached.cut_power();
    }

    /// Cuts the power at the `nth` sync from now, of a file or of a folder; 1 is the next one, and
    /// 0 takes a planned cut back. A host that has this disk loses power with all its disks: what
    /// it is doing in that moment ends at its next await, and nobody hears of it.
    pub fn cut_at_sync(&self, nth: u64, at: CutAt) {
        self.cut_at_sync_of("", nth, at);
    }

    /// Like [`SimDisk::cut_at_sync`], counting only syncs of paths that begin with `prefix`. A cut
    /// that is planned for another prefix stays planned.
    pub fn cut_at_sync_of(&self, prefix: &str, nth: u64, at: CutAt) {
        let mut device = self.attached.lock();
        device.faults.plan(prefix, nth, SyncFault::Cut(at));
    }

    /// Whether the power is on; false from a cut to the next [`SimDisk::reopen`].
    pub fn is_powered(&self) -> bool {
        self.attached.is_alive(&self.attached.lock())
    }

    /// Switches the power on and returns the disk after the cut. If the power is on, it is cut
    /// first, and no host is told. Faults stay as they are, and planned ones stay planned:
    /// [`heal`](SimDisk::heal) ends them.
    pub fn reopen(&self) -> SimDisk {
        Self {
            attached: self.attached.reopened(),
        }
    }

    /// The disk after the process that used it was killed: the handles of that process are dead and
    /// its lock is free, and the machine keeps what was written and not synced.
    pub(super) fn after_kill(&self) -> SimDisk {
        Self {
            attached: self.attached.after_kill(),
        }
    }

    /// The power fails, and the host knows it.
    pub(super) fn lose_power(&self) {
        self.attached.lock().lose_power();
    }

    /// From now on the host of this disk is told when the disk cuts its power.
    pub(super) fn on_power_loss(&self, tell: OnPowerLoss) {
        self.attached.on_power_loss(tell);
    }

    /// Makes the `nth` sync from now fail; 1 is the next one, and 0 takes a planned failure back.
    /// What the sync covers of a file never becomes durable.
    pub fn fail_sync(&self, nth: u64) {
        self.fail_sync_of("", nth);
    }

    /// Like [`SimDisk::fail_sync`], counting only syncs of paths that begin with `prefix`. A
    /// failure that is planned for another prefix stays planned.
    pub fn fail_sync_of(&self, prefix: &str, nth: u64) {
        let mut device = self.attached.lock();
        device.faults.plan(prefix, nth, SyncFault::Fail);
    }

    /// Sets what goes wrong with the files and folders whose path begins with `prefix`, instead of
    /// what was set for the same prefix; `""` is all of them. If several prefixes fit, each one's
    /// faults happen.
    pub fn set_faults(&self, prefix: &str, faults: FileFaults) {
        *self.attached.lock().faults.of(prefix) = faults;
    }

    /// Sets how long each sync takes from now on. A sync still returns at once; it is over when
    /// [`Disk::settled`] has returned. If the power fails before that, what was written before the
    /// sync is at the seed's mercy, and what was written after it is lost.
    pub fn set_sync_time(&self, time: SyncTime) {
        self.attached.lock().faults.sync_time = time;
    }

    /// Makes the disk full once its files are `bytes` long together; `None` lifts the limit. It is
    /// the capacity in the faults of the prefix `""`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.attached.lock().faults.of("").capacity_bytes = bytes;
    }

    /// The length of all files together, in bytes.
    pub fn used(&self) -> u64 {
        self.attached.lock().used("")
    }

    /// Flips a bit in one of so many reads, chosen by the seed; `None` stops it. They are the
    /// flipped reads in the faults of the prefix `""`.
    pub fn flip_bits_on_read(&self, one_in: Option<u64>) {
        self.attached.lock().faults.of("").flipped_reads_one_in = one_in;
    }

    /// Flips the bits of `mask` in one byte of a file, for good.
    pub fn corrupt(&self, path: &str, offset: u64, mask: u8) -> io::Result<()> {
        let mut device = self.attached.lock();
        match device.names.get(path) {
            Some(Node::File(id)) => {
                device.content(id).corrupt(offset, mask);
                Ok(())
            }
            _ => Err(in_context(not_found(), "corrupt", path)),
        }
    }

    /// Flips one bit, drawn from the seed, in the written pages of the files whose path begins with
    /// `prefix`, for good. Returns where; `None` if nothing is written in such a file.
    pub fn rot(&self, prefix: &str) -> Option<Rot> {
        self.attached.lock().rot(prefix)
    }

    /// Ends every fault that is on and takes every planned one back. What was lost stays lost, and
    /// flipped bits stay flipped; a disk without power stays off. The effect of power cuts stays as
    /// [`set_unsynced`](SimDisk::set_unsynced) has it.
    pub fn heal(&self) {
        self.attached.lock().faults.heal();
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn open(&self, path: &str, how: Open) -> io::Result<SimFile> {
        let id = self.attached.with("open", path, |device| {
            device.check_folder(parent(path))?;
            match (device.names.get(path), how) {
                (Some(Node::Folder), _) => Err(io::ErrorKind::IsADirectory.into()),
                (Some(_), Open::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
                (Some(Node::File(id)), _) => Ok(id),
                (None, Open::Read | Open::Write) => Err(not_found()),
                (None, Open::Create | Open::CreateNew) => {
                    device.check_write(path)?;
                    let id = device.make_file();
                    device.names.put(device.syncs, path, Node::File(id));
                    Ok(id)
                }
            }
        })?;
        Ok(SimFile {
            disk: self.attached.clone(),
            id,
            path: path.to_owned(),
            writable: how != Open::Read,
        })
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.attached.with("list", folder, |device| {
            device.check_folder(folder)?;
            let mut names = device.names.list(folder);
            names.sort_unstable();
            Ok(names)
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let doing = format!("rename {from} to");
        self.attached.with(&doing, to, |device| {
            check_path(from)?;
            device.check_folder(parent(to))?;
            match (device.names.get(from), device.names.get(to)) {
                (None, _) => Err(not_found()),
                (Some(Node::Folder), _) => Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the simulated disk renames files, not folders",
                )),
                (_, Some(Node::Folder)) => Err(io::ErrorKind::IsADirectory.into()),
                (Some(Node::File(_)), _) if from == to => Ok(()),
                (Some(Node::File(_)), _) => {
                    device.check_write(to)?;
                    device.names.rename(device.syncs, from, to);
                    Ok(())
                }
            }
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.attached
            .with("remove", path, |device| match device.names.get(path) {
                Some(Node::File(_)) => {
                    device.check_write(path)?;
                    device.names.remove(device.syncs, path);
                    Ok(())
                }
                Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
                None => Err(not_found()),
            })
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        self.attached.with("make the folder", folder, |device| {
            device.check_folder(parent(folder))?;
            match device.names.get(folder) {
                Some(Node::Folder) => Ok(()),
                Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    device.check_write(folder)?;
                    device.names.put(device.syncs, folder, Node::Folder);
                    Ok(())
                }
            }
        })
    }

    // There is one user in a simulated world.
    fn create_private_folder(&self, folder: &str) -> io::Result<()> {
        self.create_folder(folder)
    }

    fn read_private(&self, folder: &str, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        let path = format!("{folder}/{name}");
        if self.open(&path, Open::Read)?.len()? > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.read_whole(&path)
    }

    fn write_private(&self, folder: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let path = format!("{folder}/{name}");
        let fresh = format!("{path}.new");
        let file = self.open(&fresh, Open::Create)?;
        file.set_len(0)?;
        file.write_at(content, 0)?;
        self.rename(&fresh, &path)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.attached.with("sync the folder", folder, |device| {
            device.check_folder(folder)?;
            device.sync(folder, Synced::Folder(folder.to_owned()))
        })
    }

    async fn settled(&self) -> io::Result<()> {
        let over = self.attached.with("sync", "", |device| {
            device.finish_syncs();
            Ok(device.queue.all_over())
        })?;
        let Some(over) = over else {
            return Ok(());
        };
        world_sleep_until(over).await;
        // A power cut in between is an error here, too.
        self.attached.with("sync", "", |device| {
            device.finish_syncs();
            Ok(())
        })
    }

    fn lock(&self) -> io::Result<SimLock> {
        let was_locked = self.attached.with("lock", "", |device| {
            Ok(std::mem::replace(&mut device.locked, true))
        })?;
        if was_locked {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the data folder is in use by another process: stop it, or use another folder",
            ));
        }
        Ok(SimLock {
            disk: self.attached.clone(),
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.attached.with("see how much is free in", "", |device| {
            let capacities = device.faults.capacities("");
            let free = capacities.map(|(prefix, most)| most.saturating_sub(device.used(prefix)));
            Ok(free.min().unwrap_or_else(|| u64::MAX - device.used("")))
        })
    }

    fn sync_count(&self) -> u64 {
        self.attached.lock().syncs
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk(life {})", self.attached.life())
    }
}

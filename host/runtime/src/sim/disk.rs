//! A disk in memory that loses what was not synced, and fails on demand.
//!
//! A test of durability has these steps:
//!
//! 1. Create a [`SimDisk`] with a seed and choose when the power fails:
//!    [`cut_at_sync`](SimDisk::cut_at_sync).
//! 2. Run the code on it. After the power cut every call fails, also on open files.
//! 3. [`reopen`](SimDisk::reopen) returns the disk after the cut: everything that was synced is
//!    there; of the rest, some changes are kept, some are lost, and some are torn, as the seed
//!    decides.
//! 4. Run the code's recovery on this disk, and check that all acknowledged writes are there.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::clock::world_sleep_until;
use super::content::{Content, Unsynced};
use super::names::{Names, Node, parent};
use super::sync_time::{SyncQueue, SyncTime, Synced};
use crate::disk::{check_path, in_context};
use crate::{Disk, File, Open};

/// Whether the power fails before or after the effect of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// Before the effect: the seed decides which of the changes survive.
    Before,
    /// After the effect: the changes are durable, but the caller gets an error.
    After,
}

/// A simulated disk. Clones are the same disk.
///
/// Invariants:
/// - Changes that [`File::sync`] or [`Disk::sync_folder`] has synced survive every power cut.
/// - Other changes survive as [`Unsynced`] says: a file whose folder was not synced may vanish, a
///   rename may be undone, a write may be lost or torn between sectors of 512 bytes.
/// - After a power cut every call on this handle and its files fails for ever. Only the handle from
///   [`SimDisk::reopen`] works.
/// - The same seed and the same calls give the same results.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Mutex<State>>,
    life: u64,
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    disk: SimDisk,
    id: u64,
    path: String,
    writable: bool,
}

/// The lock on a simulated disk.
pub struct SimLock {
    disk: SimDisk,
}

struct State {
    rng: ChaCha8Rng,
    names: Names,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    /// How many times the disk was reopened; a handle of an earlier life is dead.
    life: u64,
    powered: bool,
    locked: bool,
    syncs: u64,
    unsynced: Unsynced,
    cut: Option<(u64, CutAt)>,
    failing_sync: Option<u64>,
    capacity: Option<u64>,
    flip_one_read_in: Option<u64>,
    queue: SyncQueue,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: ChaCha8Rng::seed_from_u64(seed),
            names: Names::default(),
            files: BTreeMap::new(),
            next_file: 0,
            life: 0,
            powered: true,
            locked: false,
            syncs: 0,
            unsynced: Unsynced::Seeded,
            cut: None,
            failing_sync: None,
            capacity: None,
            flip_one_read_in: None,
            queue: SyncQueue::default(),
        };
        Self {
            shared: Arc::new(Mutex::new(state)),
            life: 0,
        }
    }

    /// Sets the effect of power cuts on unsynced changes; [`Unsynced::Seeded`] is the default.
    pub fn set_unsynced(&self, unsynced: Unsynced) {
        self.shared.lock().unsynced = unsynced;
    }

    /// Cuts the power now.
    pub fn power_cut(&self) {
        self.shared.lock().power_cut();
    }

    /// Cuts the power at the `nth` sync from now, of a file or of a folder; 1 is the next one.
    pub fn cut_at_sync(&self, nth: u64, at: CutAt) {
        let mut state = self.shared.lock();
        state.cut = Some((state.syncs + nth, at));
    }

    /// Whether the power is on; false from a cut to the next [`SimDisk::reopen`].
    pub fn is_powered(&self) -> bool {
        let state = self.shared.lock();
        state.powered && state.life == self.life
    }

    /// Switches the power on and returns the disk after the cut. If the power is on, it is cut
    /// first. All planned faults (a cut, a failing sync, a full disk, flipped bits) are off then.
    pub fn reopen(&self) -> SimDisk {
        let mut state = self.shared.lock();
        if state.powered {
            state.power_cut();
        }
        let named: std::collections::BTreeSet<u64> = state.names.files().collect();
        state.files.retain(|id, _| named.contains(id));
        state.life += 1;
        state.powered = true;
        state.cut = None;
        state.failing_sync = None;
        state.capacity = None;
        state.flip_one_read_in = None;
        state.queue.time = SyncTime::default();
        SimDisk {
            shared: self.shared.clone(),
            life: state.life,
        }
    }

    /// The disk after the process that used it was killed: the handles of that process are dead and
    /// its lock is free, and the machine keeps what was written and not synced. Planned faults
    /// stay.
    pub(super) fn after_kill(&self) -> SimDisk {
        let mut state = self.shared.lock();
        state.life += 1;
        state.locked = false;
        SimDisk {
            shared: self.shared.clone(),
            life: state.life,
        }
    }

    /// Makes the `nth` sync from now fail (1 is the next one). Its changes never become durable.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.shared.lock();
        state.failing_sync = Some(state.syncs + nth);
    }

    /// Sets how long each sync takes from now on. A sync still returns at once; it is over when
    /// [`Disk::settled`] has returned. If the power fails before that, what was written before the
    /// sync is at the seed's mercy, and what was written after it is lost.
    pub fn set_sync_time(&self, time: SyncTime) {
        self.shared.lock().queue.time = time;
    }

    /// Makes the disk full once its files are `bytes` long together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().capacity = bytes;
    }

    /// The length of all files together, in bytes.
    pub fn used(&self) -> u64 {
        self.shared.lock().used()
    }

    /// Flips a bit in one of so many reads, chosen by the seed; `None` stops it.
    pub fn flip_bits_on_read(&self, one_in: Option<u64>) {
        self.shared.lock().flip_one_read_in = one_in;
    }

    /// Flips the bits of `mask` in one byte of a file, for good.
    pub fn corrupt(&self, path: &str, offset: u64, mask: u8) -> io::Result<()> {
        let mut state = self.alive("corrupt", path)?;
        match state.names.get(path) {
            Some(Node::File(id)) => {
                state.content(id).corrupt(offset, mask);
                Ok(())
            }
            _ => Err(in_context(not_found(), "corrupt", path)),
        }
    }

    fn alive(&self, doing: &str, path: &str) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.shared.lock();
        if state.powered && state.life == self.life {
            return Ok(state);
        }
        Err(in_context(power_is_off(), doing, path))
    }

    /// Runs `change` on the state of a living disk, with errors put in context.
    fn with<T>(
        &self,
        doing: &str,
        path: &str,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.alive(doing, path)?;
        check_path(path)
            .and_then(|()| change(&mut state))
            .map_err(|error| in_context(error, doing, path))
    }
}

impl State {
    fn content(&mut self, id: u64) -> &mut Content {
        self.files.entry(id).or_default()
    }

    fn power_cut(&mut self) {
        if !self.powered {
            return;
        }
        self.powered = false;
        self.locked = false;
        self.finish_syncs();
        let under_way = self.queue.cut();
        let (unsynced, rng) = (self.unsynced, &mut self.rng);
        self.names.cut(under_way, || match unsynced {
            Unsynced::Lost => false,
            Unsynced::Kept => true,
            Unsynced::Seeded => rng.next_u32().is_multiple_of(2),
        });
        for content in self.files.values_mut() {
            content.cut(unsynced, under_way, &mut self.rng);
        }
    }

    /// Makes durable what the syncs that are over by now have reached.
    fn finish_syncs(&mut self) {
        while let Some(over) = self.queue.next_over() {
            self.make_durable(over.number, &over.what);
        }
    }

    /// Ends all running syncs at once.
    fn skip_waiting(&mut self) {
        while let Some(next) = self.queue.next() {
            self.make_durable(next.number, &next.what);
        }
    }

    fn make_durable(&mut self, number: u64, what: &Synced) {
        match what {
            Synced::File(id) => self.content(*id).sync(number),
            Synced::Folder(folder) => self.names.sync(number, folder),
        }
    }

    /// Counts a sync, lets what was ordered for it happen, and else begins it.
    fn sync(&mut self, what: Synced) -> io::Result<()> {
        self.finish_syncs();
        self.syncs += 1;
        let number = self.syncs;
        let cut = match self.cut {
            Some((nth, at)) if nth == self.syncs => Some(at),
            _ => None,
        };
        if cut == Some(CutAt::Before) {
            self.power_cut();
            return Err(power_is_off());
        }
        if self.failing_sync == Some(self.syncs) {
            // The syncs before it are not touched by its failure.
            self.skip_waiting();
            if let Synced::File(id) = what {
                self.content(id).fail_sync();
            }
            return Err(io::Error::from(rustix::io::Errno::IO));
        }
        if !self.queue.begin(number, &what, &mut self.rng) {
            self.make_durable(number, &what);
        }
        if cut == Some(CutAt::After) {
            self.skip_waiting();
            self.power_cut();
            return Err(power_is_off());
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        let len = |id| self.files.get(&id).map_or(0, Content::len);
        self.names.files().map(len).sum()
    }

    /// Checks that a file may grow to `len`.
    fn check_room(&mut self, id: u64, len: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity else {
            return Ok(());
        };
        let grows = len.saturating_sub(self.content(id).len());
        if grows > 0 && self.used() + grows > capacity {
            return Err(io::Error::from(rustix::io::Errno::NOSPC));
        }
        Ok(())
    }

    fn check_folder(&self, folder: &str) -> io::Result<()> {
        match self.names.get(folder) {
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(not_found()),
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn open(&self, path: &str, how: Open) -> io::Result<SimFile> {
        let id = self.with("open", path, |state| {
            state.check_folder(parent(path))?;
            match (state.names.get(path), how) {
                (Some(Node::Folder), _) => Err(io::ErrorKind::IsADirectory.into()),
                (Some(_), Open::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
                (Some(Node::File(id)), _) => Ok(id),
                (None, Open::Read | Open::Write) => Err(not_found()),
                (None, Open::Create | Open::CreateNew) => {
                    let id = state.next_file;
                    state.next_file += 1;
                    state.files.insert(id, Content::default());
                    state.names.put(state.syncs, path, Node::File(id));
                    Ok(id)
                }
            }
        })?;
        Ok(SimFile {
            disk: self.clone(),
            id,
            path: path.to_owned(),
            writable: how != Open::Read,
        })
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.with("list", folder, |state| {
            state.check_folder(folder)?;
            let mut names = state.names.list(folder);
            names.sort_unstable();
            Ok(names)
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(&format!("rename {from} to"), to, |state| {
            check_path(from)?;
            state.check_folder(parent(to))?;
            match (state.names.get(from), state.names.get(to)) {
                (None, _) => Err(not_found()),
                (Some(Node::Folder), _) => Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the simulated disk renames files, not folders",
                )),
                (_, Some(Node::Folder)) => Err(io::ErrorKind::IsADirectory.into()),
                (Some(Node::File(_)), _) if from == to => Ok(()),
                (Some(Node::File(_)), _) => {
                    state.names.rename(state.syncs, from, to);
                    Ok(())
                }
            }
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.with("remove", path, |state| match state.names.get(path) {
            Some(Node::File(_)) => {
                state.names.remove(state.syncs, path);
                Ok(())
            }
            Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(not_found()),
        })
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        self.with("make the folder", folder, |state| {
            state.check_folder(parent(folder))?;
            match state.names.get(folder) {
                Some(Node::Folder) => Ok(()),
                Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    state.names.put(state.syncs, folder, Node::Folder);
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
        self.with("sync the folder", folder, |state| {
            state.check_folder(folder)?;
            state.sync(Synced::Folder(folder.to_owned()))
        })
    }

    async fn settled(&self) -> io::Result<()> {
        let over = {
            let mut state = self.alive("sync", "")?;
            state.finish_syncs();
            state.queue.all_over()
        };
        let Some(over) = over else {
            return Ok(());
        };
        world_sleep_until(over).await;
        // A power cut in between is an error here, too.
        self.alive("sync", "")?.finish_syncs();
        Ok(())
    }

    fn lock(&self) -> io::Result<SimLock> {
        let mut state = self.alive("lock", "")?;
        if state.locked {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the data folder is in use by another process: stop it, or use another folder",
            ));
        }
        state.locked = true;
        Ok(SimLock { disk: self.clone() })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.with("see how much is free in", "", |state| {
            let capacity = state.capacity.unwrap_or(u64::MAX);
            Ok(capacity.saturating_sub(state.used()))
        })
    }

    fn sync_count(&self) -> u64 {
        self.shared.lock().syncs
    }
}

impl SimFile {
    fn with<T>(
        &self,
        doing: &str,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.disk.with(doing, &self.path, change)
    }

    fn with_writable<T>(
        &self,
        doing: &str,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.with(doing, |state| {
            if !self.writable {
                return Err(io::Error::from(rustix::io::Errno::BADF));
            }
            change(state)
        })
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with("read", |state| {
            let read = state.content(self.id).read(buffer, offset);
            if let Some(one_in) = state.flip_one_read_in
                && read > 0
                && state.rng.next_u64().is_multiple_of(one_in)
            {
                let bit = state.rng.next_u64() % (read as u64 * 8);
                buffer[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            Ok(read)
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.with_writable("write", |state| {
            state.check_room(self.id, offset + data.len() as u64)?;
            let syncs = state.syncs;
            state.content(self.id).write(syncs, data, offset);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with("look at", |state| Ok(state.content(self.id).len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with_writable("set the length of", |state| {
            state.check_room(self.id, len)?;
            let syncs = state.syncs;
            state.content(self.id).set_len(syncs, len);
            Ok(())
        })
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.with_writable("preallocate", |state| {
            let end = offset + len;
            state.check_room(self.id, end)?;
            let syncs = state.syncs;
            let content = state.content(self.id);
            if content.len() < end {
                content.set_len(syncs, end);
            }
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let id = self.id;
        self.with("sync", |state| state.sync(Synced::File(id)))
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.shared.lock();
        if state.life == self.disk.life {
            state.locked = false;
        }
    }
}

fn not_found() -> io::Error {
    io::Error::from(rustix::io::Errno::NOENT)
}

fn power_is_off() -> io::Error {
    io::Error::other("the simulated power is off")
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk(life {})", self.life)
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

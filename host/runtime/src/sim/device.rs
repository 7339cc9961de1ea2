//! The device behind a simulated disk: names, contents, running syncs, faults and power.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::content::{Content, Unsynced};
use super::faults::{CutAt, Faults, Rot, SyncFault, io_error};
use super::names::{Names, Node};
use super::sync_time::{SyncQueue, Synced};
use crate::disk::{check_path, in_context};

/// Ends the host of a disk whose power fails.
pub(super) type OnPowerLoss = Arc<dyn Fn() + Send + Sync>;

/// Everything that outlives a process on one disk.
///
/// Invariants:
/// - A handle of an earlier life, or of a device without power, changes nothing but the faults.
/// - The faults are those of the plan: nothing else fails, and nothing ends them but the test.
pub(super) struct Device {
    pub(super) rng: ChaCha8Rng,
    pub(super) names: Names,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    /// How many times the disk was reopened; a handle of an earlier life is dead.
    life: u64,
    powered: bool,
    pub(super) locked: bool,
    pub(super) syncs: u64,
    pub(super) faults: Faults,
    pub(super) queue: SyncQueue,
    on_power_loss: Option<OnPowerLoss>,
    /// The device has cut its own power, and its host does not know it yet.
    owes_power_loss: bool,
}

/// A device as one life of its disk sees it. Clones are the same life.
#[derive(Clone)]
pub(super) struct Attached {
    device: Arc<Mutex<Device>>,
    life: u64,
}

impl Attached {
    /// An empty device with power.
    pub(super) fn new(seed: u64) -> Self {
        let device = Device {
            rng: ChaCha8Rng::seed_from_u64(seed),
            names: Names::default(),
            files: BTreeMap::new(),
            next_file: 0,
            life: 0,
            powered: true,
            locked: false,
            syncs: 0,
            faults: Faults::default(),
            queue: SyncQueue::default(),
            on_power_loss: None,
            owes_power_loss: false,
        };
        Self {
            device: Arc::new(Mutex::new(device)),
            life: 0,
        }
    }

    pub(super) fn life(&self) -> u64 {
        self.life
    }

    /// The device, also without power and for a dead handle.
    pub(super) fn lock(&self) -> MutexGuard<'_, Device> {
        self.device.lock()
    }

    /// Whether no later life has begun, with power or without.
    pub(super) fn is_newest(&self, device: &Device) -> bool {
        device.life == self.life
    }

    /// Whether this life goes on.
    pub(super) fn is_alive(&self, device: &Device) -> bool {
        device.powered && self.is_newest(device)
    }

    /// Runs `change` on the device of a living disk, with errors put in context. If the power fails
    /// in it, the device's host is ended before this returns.
    pub(super) fn with<T>(
        &self,
        doing: &str,
        path: &str,
        change: impl FnOnce(&mut Device) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut device = self.lock();
        let result = if self.is_alive(&device) {
            check_path(path).and_then(|()| change(&mut device))
        } else {
            Err(power_is_off())
        };
        let tell = device.owed_power_loss();
        drop(device);
        if let Some(tell) = tell {
            tell();
        }
        result.map_err(|error| in_context(error, doing, path))
    }

    /// Cuts the power, and tells it to the host.
    pub(super) fn cut_power(&self) {
        let tell = {
            let mut device = self.lock();
            device.cut_power();
            device.owed_power_loss()
        };
        if let Some(tell) = tell {
            tell();
        }
    }

    /// Switches the power on for a new life. The faults stay.
    pub(super) fn reopened(&self) -> Self {
        let mut device = self.lock();
        device.lose_power();
        let named: BTreeSet<u64> = device.names.files("").map(|(_, id)| id).collect();
        device.files.retain(|id, _| named.contains(id));
        device.powered = true;
        self.next_life(device)
    }

    /// The next life after a killed process. The power stays as it is, and so does what was not
    /// synced.
    pub(super) fn after_kill(&self) -> Self {
        let mut device = self.lock();
        device.locked = false;
        self.next_life(device)
    }

    fn next_life(&self, mut device: MutexGuard<'_, Device>) -> Self {
        device.life += 1;
        Self {
            device: self.device.clone(),
            life: device.life,
        }
    }

    /// From now on a power cut that comes from the device itself is told.
    pub(super) fn on_power_loss(&self, tell: OnPowerLoss) {
        self.lock().on_power_loss = Some(tell);
    }
}

impl Device {
    pub(super) fn content(&mut self, id: u64) -> &mut Content {
        self.files.entry(id).or_default()
    }

    /// Makes an empty file without a name.
    pub(super) fn make_file(&mut self) -> u64 {
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(id, Content::default());
        id
    }

    /// A cut that comes from the device itself.
    fn cut_power(&mut self) {
        self.owes_power_loss |= self.powered;
        self.lose_power();
    }

    fn owed_power_loss(&mut self) -> Option<OnPowerLoss> {
        let owes = std::mem::take(&mut self.owes_power_loss);
        owes.then(|| self.on_power_loss.clone()).flatten()
    }

    /// A cut that the host knows of.
    pub(super) fn lose_power(&mut self) {
        if !self.powered {
            return;
        }
        self.powered = false;
        self.locked = false;
        self.finish_syncs();
        let under_way = self.queue.cut();
        let (unsynced, rng) = (self.faults.unsynced, &mut self.rng);
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
    pub(super) fn finish_syncs(&mut self) {
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
    pub(super) fn sync(&mut self, path: &str, what: Synced) -> io::Result<()> {
        self.finish_syncs();
        self.syncs += 1;
        let number = self.syncs;
        let fault = self.faults.at_sync(path, &mut self.rng);
        match fault {
            Some(SyncFault::Cut(CutAt::Before)) => {
                self.cut_power();
                return Err(power_is_off());
            }
            Some(SyncFault::Fail) => {
                // The syncs before it are not touched by its failure.
                self.skip_waiting();
                if let Synced::File(id) = what {
                    self.content(id).fail_sync();
                }
                return Err(io_error());
            }
            Some(SyncFault::Cut(CutAt::After)) | None => {}
        }
        let takes = self.faults.sync_time.draw(&mut self.rng);
        if !self.queue.begin(number, &what, takes) {
            self.make_durable(number, &what);
        }
        if fault.is_some() {
            self.skip_waiting();
            self.cut_power();
            return Err(power_is_off());
        }
        Ok(())
    }

    /// The length of all files with this prefix together, in bytes.
    pub(super) fn used(&self, prefix: &str) -> u64 {
        let len = |id| self.files.get(&id).map_or(0, Content::len);
        self.names.files(prefix).map(|(_, id)| len(id)).sum()
    }

    /// Checks that a file may grow to `len`.
    pub(super) fn check_room(&mut self, path: &str, id: u64, len: u64) -> io::Result<()> {
        let grows = len.saturating_sub(self.content(id).len());
        let mut capacities = self.faults.capacities(path);
        if grows > 0 && capacities.any(|(prefix, most)| self.used(prefix) + grows > most) {
            return Err(io::Error::from(rustix::io::Errno::NOSPC));
        }
        Ok(())
    }

    /// The error of a change of content, length or name that the plan lets fail.
    pub(super) fn check_write(&mut self, path: &str) -> io::Result<()> {
        self.faults.at_write(path, &mut self.rng)
    }

    pub(super) fn check_folder(&self, folder: &str) -> io::Result<()> {
        match self.names.get(folder) {
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(not_found()),
        }
    }

    /// Flips one bit of the written pages of the files with this prefix, for good.
    pub(super) fn rot(&mut self, prefix: &str) -> Option<Rot> {
        let mut places: Vec<(&str, u64, u64, u64)> = Vec::new();
        for (path, id) in self.names.files(prefix) {
            let written = self.files.get(&id).into_iter().flat_map(Content::written);
            places.extend(written.map(|(begin, bytes)| (path, id, begin, bytes)));
        }
        places.retain(|(_, _, _, bytes)| *bytes > 0);
        let place = self.rng.next_u64() % (places.len() as u64).max(1);
        let (path, id, begin, bytes) = *places.get(place as usize)?;
        let bit = self.rng.next_u64() % (bytes * 8);
        let rot = Rot {
            path: path.to_owned(),
            offset: begin + bit / 8,
            mask: 1 << (bit % 8),
        };
        self.content(id).corrupt(rot.offset, rot.mask);
        Some(rot)
    }
}

pub(super) fn not_found() -> io::Error {
    io::Error::from(rustix::io::Errno::NOENT)
}

fn power_is_off() -> io::Error {
    io::Error::other("the simulated power is off")
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device(life {})", self.life)
    }
}

//! The plan of faults of one simulated disk: what goes wrong with which files, and when.
//!
//! A [`SimDisk`](super::SimDisk) has one plan, and everything that is written to it or read from
//! it goes through this plan: the log's files and redb's, which are files of the same disk. A
//! fault is switched on and off at any moment. It belongs to the hardware, so it stays when the
//! process is killed and when the machine loses power, until the test ends it.

use std::collections::BTreeMap;
use std::io;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::content::Unsynced;
use super::sync_time::SyncTime;

/// Whether the power fails before or after the effect of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// Before the effect: the seed decides which of the changes survive.
    Before,
    /// After the effect: the changes are durable, but the caller gets an error.
    After,
}

/// What goes wrong with some files of a disk for as long as it is set. The default is nothing.
///
/// "One in so many" is drawn from the disk's seed for each call; 1 is every call, and a 0 counts
/// as a 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFaults {
    /// The files are full once they are so many bytes long together. A write that makes none of
    /// them longer still works.
    pub capacity_bytes: Option<u64>,
    /// One in so many reads fails with an I/O error.
    pub read_errors_one_in: Option<u64>,
    /// One in so many changes of content, length or name fails with an I/O error and changes
    /// nothing.
    pub write_errors_one_in: Option<u64>,
    /// One in so many syncs fails. What it covers of a file never becomes durable.
    pub sync_errors_one_in: Option<u64>,
    /// One in so many reads returns one bit flipped. The bit on the disk is right, so the next
    /// read may be, too.
    pub flipped_reads_one_in: Option<u64>,
}

/// One bit that was flipped on the disk, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rot {
    /// The file.
    pub path: String,
    /// The byte's offset in the file.
    pub offset: u64,
    /// The byte's bit, as a mask.
    pub mask: u8,
}

/// What is ordered for one sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncFault {
    Fail,
    Cut(CutAt),
}

impl SyncFault {
    fn is_same_kind(self, other: SyncFault) -> bool {
        matches!(
            (self, other),
            (SyncFault::Fail, SyncFault::Fail) | (SyncFault::Cut(_), SyncFault::Cut(_))
        )
    }
}

/// A fault of one sync that has not come yet.
#[derive(Debug, Clone)]
struct Planned {
    prefix: String,
    /// How many syncs of paths with this prefix are left, with the one that it hits.
    left: u64,
    fault: SyncFault,
}

/// The plan of one disk.
///
/// Invariants:
/// - Random numbers are drawn only for faults that are on, so a plan without faults changes
///   nothing of a seed's run.
/// - Nothing but a call of the test ends a fault, except that a planned one is spent when it
///   comes.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// By the prefix of the paths.
    files: BTreeMap<String, FileFaults>,
    planned: Vec<Planned>,
    pub(super) sync_time: SyncTime,
    pub(super) unsynced: Unsynced,
}

impl Faults {
    /// The faults of the files whose path begins with `prefix`, to be changed.
    pub(super) fn of(&mut self, prefix: &str) -> &mut FileFaults {
        self.files.entry(prefix.to_owned()).or_default()
    }

    /// Plans a fault for the `nth` sync from now of a path with this prefix, instead of the one
    /// that was planned like this before; an `nth` of 0 only takes that one back.
    pub(super) fn plan(&mut self, prefix: &str, nth: u64, fault: SyncFault) {
        self.planned
            .retain(|old| old.prefix != prefix || !old.fault.is_same_kind(fault));
        if nth > 0 {
            self.planned.push(Planned {
                prefix: prefix.to_owned(),
                left: nth,
                fault,
            });
        }
    }

    /// Ends everything but the effect of power cuts.
    pub(super) fn heal(&mut self) {
        *self = Self {
            unsynced: self.unsynced,
            ..Self::default()
        };
    }

    fn of_path(&self, path: &str) -> impl Iterator<Item = (&str, &FileFaults)> {
        self.files
            .iter()
            .filter(move |(prefix, _)| path.starts_with(prefix.as_str()))
            .map(|(prefix, faults)| (prefix.as_str(), faults))
    }

    /// The limits that a file must keep: the length in bytes of all files with a prefix together.
    pub(super) fn capacities(&self, path: &str) -> impl Iterator<Item = (&str, u64)> {
        self.of_path(path)
            .filter_map(|(prefix, faults)| Some((prefix, faults.capacity_bytes?)))
    }

    /// The error of a read that fails.
    pub(super) fn at_read(&self, path: &str, random: &mut ChaCha8Rng) -> io::Result<()> {
        self.draw(path, random, |faults| faults.read_errors_one_in)
    }

    /// The error of a change of content, length or name that fails.
    pub(super) fn at_write(&self, path: &str, random: &mut ChaCha8Rng) -> io::Result<()> {
        self.draw(path, random, |faults| faults.write_errors_one_in)
    }

    /// Flips a bit of what was read, if it is this read's turn.
    pub(super) fn flip(&self, path: &str, read: &mut [u8], random: &mut ChaCha8Rng) {
        for (_, faults) in self.of_path(path) {
            if !read.is_empty() && is_drawn(faults.flipped_reads_one_in, random) {
                let bit = random.next_u64() % (read.len() as u64 * 8);
                read[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
        }
    }

    /// What happens to a sync of a file or a folder. A power cut goes before an error.
    pub(super) fn at_sync(&mut self, path: &str, random: &mut ChaCha8Rng) -> Option<SyncFault> {
        let mut fails = self
            .draw(path, random, |faults| faults.sync_errors_one_in)
            .is_err();
        let mut cut = None;
        self.planned.retain_mut(|planned| {
            if !path.starts_with(planned.prefix.as_str()) {
                return true;
            }
            planned.left -= 1;
            if planned.left > 0 {
                return true;
            }
            match planned.fault {
                SyncFault::Fail => fails = true,
                SyncFault::Cut(_) => cut = Some(planned.fault),
            }
            false
        });
        cut.or(fails.then_some(SyncFault::Fail))
    }

    fn draw(
        &self,
        path: &str,
        random: &mut ChaCha8Rng,
        one_in: impl Fn(&FileFaults) -> Option<u64>,
    ) -> io::Result<()> {
        for (_, faults) in self.of_path(path) {
            if is_drawn(one_in(faults), random) {
                return Err(io_error());
            }
        }
        Ok(())
    }
}

/// The error of a device that cannot read or write.
pub(super) fn io_error() -> io::Error {
    io::Error::from(rustix::io::Errno::IO)
}

fn is_drawn(one_in: Option<u64>, random: &mut ChaCha8Rng) -> bool {
    one_in.is_some_and(|one_in| random.next_u64().is_multiple_of(one_in.max(1)))
}

//! The content of a simulated file, and the part of it that survives a power cut.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::pages::Pages;

/// The disk writes whole sectors. A power cut may come between two sectors of one write.
const SECTOR: u64 = 512;

/// One change of a file that no sync has made durable yet.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
}

impl Change {
    fn apply(&self, pages: &mut Pages) {
        match self {
            Change::Write { offset, data } => pages.write(data, *offset),
            Change::SetLen(len) => pages.set_len(*len),
        }
    }
}

/// The effect of a power cut on changes that were not synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unsynced {
    /// All are lost.
    Lost,
    /// All are kept, as if the disk had just happened to write them.
    Kept,
    /// The seed decides for each change. A write may also be torn: some sectors are kept, others
    /// lost.
    #[default]
    Seeded,
}

/// A file's bytes, as the process sees them and as the disk holds them.
///
/// Invariant: without a failed sync, `durable` with `unsynced` applied in order is `current`.
/// Writes before a failed sync never become durable, even if later syncs succeed, as on Linux.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    current: Pages,
    durable: Pages,
    /// With the number of syncs that the disk had begun before.
    unsynced: Vec<(u64, Change)>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.current.len()
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        self.current.read(buffer, offset)
    }

    pub(super) fn write(&mut self, syncs: u64, data: &[u8], offset: u64) {
        let data = data.to_vec();
        self.change(syncs, Change::Write { offset, data });
    }

    pub(super) fn set_len(&mut self, syncs: u64, len: u64) {
        self.change(syncs, Change::SetLen(len));
    }

    fn change(&mut self, syncs: u64, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push((syncs, change));
    }

    /// Makes durable what was changed before the sync with this number began.
    pub(super) fn sync(&mut self, number: u64) {
        let later = self.unsynced.partition_point(|(syncs, _)| *syncs < number);
        for (_, change) in self.unsynced.drain(..later) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync has failed: the process still reads its writes, but they never reach the disk.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    /// Where each written page begins, and how many of its bytes belong to the file.
    pub(super) fn written(&self) -> impl Iterator<Item = (u64, u64)> {
        self.current.written()
    }

    /// Flips bits of one byte, on the disk and for the process.
    pub(super) fn corrupt(&mut self, offset: u64, mask: u8) {
        for pages in [&mut self.current, &mut self.durable] {
            let mut byte = [0];
            if pages.read(&mut byte, offset) == 1 {
                pages.write(&[byte[0] ^ mask], offset);
            }
        }
    }

    /// Keeps what survives a power cut. Changes that came after the sync with the number
    /// `under_way` had begun are lost, since real code would still wait for this sync.
    pub(super) fn cut(&mut self, unsynced: Unsynced, under_way: Option<u64>, rng: &mut ChaCha8Rng) {
        for (syncs, change) in std::mem::take(&mut self.unsynced) {
            if under_way.is_some_and(|number| syncs >= number) {
                break;
            }
            match (unsynced, &change) {
                (Unsynced::Lost, _) => {}
                (Unsynced::Kept, _) => change.apply(&mut self.durable),
                (Unsynced::Seeded, Change::SetLen(_)) => {
                    if rng.next_u32().is_multiple_of(2) {
                        change.apply(&mut self.durable);
                    }
                }
                (Unsynced::Seeded, Change::Write { offset, data }) => match rng.next_u32() % 3 {
                    0 => {}
                    1 => change.apply(&mut self.durable),
                    _ => tear(&mut self.durable, *offset, data, rng),
                },
            }
        }
        self.current = self.durable.clone();
    }
}

/// Writes some of the sectors that a write touches.
fn tear(pages: &mut Pages, offset: u64, data: &[u8], rng: &mut ChaCha8Rng) {
    let mut done = 0;
    while done < data.len() {
        let at = offset + done as u64;
        let len = ((SECTOR - at % SECTOR) as usize).min(data.len() - done);
        if rng.next_u32().is_multiple_of(2) {
            pages.write(&data[done..done + len], at);
        }
        done += len;
    }
}

//! What the blocks of a redb file held when redb verified or wrote them, so that later reads of them
//! are verified, too.
//!
//! redb has a checksum for each page, and looks at it only when it checks the whole file. Between
//! two reads of a page the disk or the memory may change it. Without this, redb would believe the
//! change, and would write it back with a new checksum.

use std::io;

use crc32c::crc32c;
use parking_lot::Mutex;

const BLOCK: u64 = 4096;

/// The checksums of blocks of one file. It takes 8 bytes of memory for each block of 4 KiB.
///
/// Invariant: a block has a checksum only if the last that happened to it was a read while the file
/// was [learnt](Blocks::learn), or a write of the whole block. A read is compared only if nothing
/// was written between its beginning and its end.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_learning: bool,
    /// The beginnings and ends of writes so far.
    writes: u64,
    sums: Vec<Option<u32>>,
}

impl Blocks {
    /// Remembers what is read from now on, or no longer.
    pub(crate) fn learn(&self, is_learning: bool) {
        self.state.lock().is_learning = is_learning;
    }

    /// A read begins.
    pub(crate) fn begin_read(&self) -> Reading {
        Reading {
            writes: self.state.lock().writes,
        }
    }

    /// Checks what was read against what is remembered. Call it after the read.
    pub(crate) fn read(&self, begun: Reading, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.writes != begun.writes {
            return Ok(());
        }
        for (block, content) in whole_blocks(offset, bytes) {
            let known = state.sums.get(block).copied().flatten();
            match known {
                Some(sum) if sum != crc32c(content) => {
                    let at = block as u64 * BLOCK;
                    return Err(io::Error::other(format!(
                        "a read at byte {at} returned other bytes than the read before, and nothing was written there"
                    )));
                }
                Some(_) => {}
                None if state.is_learning => state.remember(block, content),
                None => {}
            }
        }
        Ok(())
    }

    /// Forgets what will be written. Call it before the write, so that no read in between is
    /// compared with what was there before.
    pub(crate) fn write(&self, offset: u64, len: u64) {
        let mut state = self.state.lock();
        state.writes += 1;
        let from = index(offset / BLOCK).min(state.sums.len());
        let to = index((offset + len).div_ceil(BLOCK)).min(state.sums.len());
        if from < to {
            state.sums[from..to].fill(None);
        }
    }

    /// Remembers what was written. Call it after the write, if it has not failed.
    pub(crate) fn written(&self, offset: u64, bytes: &[u8]) {
        let mut state = self.state.lock();
        state.writes += 1;
        for (block, content) in whole_blocks(offset, bytes) {
            state.remember(block, content);
        }
    }

    /// Forgets what lies beyond a new length. Call it before the length is set.
    pub(crate) fn set_len(&self, len: u64) {
        self.state.lock().sums.truncate(index(len / BLOCK));
    }
}

impl State {
    fn remember(&mut self, block: usize, content: &[u8]) {
        if self.sums.len() <= block {
            self.sums.resize(block + 1, None);
        }
        self.sums[block] = Some(crc32c(content));
    }
}

/// A read that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    writes: u64,
}

fn index(block: u64) -> usize {
    usize::try_from(block).unwrap_or(usize::MAX)
}

/// The blocks that lie whole in `bytes`.
fn whole_blocks(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = offset.next_multiple_of(BLOCK);
    let skipped = index(first - offset).min(bytes.len());
    let blocks = bytes[skipped..].chunks_exact(BLOCK as usize);
    (index(first / BLOCK)..).zip(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A read that nothing disturbs.
    fn read(blocks: &Blocks, offset: u64, bytes: &[u8]) -> io::Result<()> {
        blocks.read(blocks.begin_read(), offset, bytes)
    }

    #[test]
    fn a_block_is_checked_until_it_is_written() {
        let blocks = Blocks::default();
        let ones = [1; 3 * BLOCK as usize];
        let mut twos = ones;
        twos[BLOCK as usize + 5] = 2;
        assert!(read(&blocks, 0, &ones).is_ok());
        assert!(read(&blocks, 0, &twos).is_ok(), "nothing was learnt");
        blocks.learn(true);
        // Half of the first block and of the last one are not learnt.
        assert!(read(&blocks, 100, &ones).is_ok());
        blocks.learn(false);
        assert!(read(&blocks, 0, &twos[..BLOCK as usize]).is_ok());
        let wrong = read(&blocks, 0, &twos).expect_err("it has changed");
        assert!(wrong.to_string().contains("at byte 4096"), "{wrong}");
        assert!(read(&blocks, 0, &ones).is_ok());

        blocks.write(2 * BLOCK - 1, 1);
        assert!(read(&blocks, 0, &twos).is_ok(), "it was written");
        let other = [3; BLOCK as usize];
        assert!(
            read(&blocks, 2 * BLOCK, &other).is_err(),
            "its neighbour was not"
        );
        blocks.set_len(2 * BLOCK);
        assert!(read(&blocks, 2 * BLOCK, &other).is_ok(), "it was cut off");
    }

    #[test]
    fn a_block_is_checked_after_it_was_written_whole() {
        let blocks = Blocks::default();
        let ones = [1; 2 * BLOCK as usize];
        let twos = [2; 2 * BLOCK as usize];
        blocks.write(BLOCK / 2, 2 * BLOCK);
        blocks.written(BLOCK / 2, &ones);
        let block = |bytes: &[u8], at: u64| read(&blocks, at * BLOCK, &bytes[..BLOCK as usize]);
        assert!(block(&ones, 1).is_ok());
        assert!(block(&twos, 1).is_err());
        assert!(block(&twos, 0).is_ok(), "half of it was written");
        // A write that fails leaves nobody knows what.
        blocks.write(BLOCK, BLOCK);
        assert!(block(&twos, 1).is_ok());
        blocks.write(BLOCK, BLOCK);
        blocks.written(BLOCK, &twos[..BLOCK as usize]);
        assert!(block(&ones, 1).is_err());
        assert!(block(&twos, 1).is_ok());
    }

    /// It may have found what was there before the write, or after it, or a part of each.
    #[test]
    fn a_read_beside_a_write_is_not_checked() {
        let (blocks, ones, twos) = (Blocks::default(), [1; BLOCK as usize], [2; BLOCK as usize]);
        blocks.written(0, &ones);
        let before = blocks.begin_read();
        blocks.write(0, BLOCK);
        let within = blocks.begin_read();
        blocks.written(0, &twos);
        assert!(blocks.read(before, 0, &ones).is_ok());
        assert!(blocks.read(within, 0, &ones).is_ok());
        assert!(read(&blocks, 0, &ones).is_err());
    }
}

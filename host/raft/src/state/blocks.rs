//! What the blocks of a redb file held when redb verified them, so that later reads of them are
//! verified, too.
//!
//! redb has a checksum for each page, and looks at it only when it checks the whole file. Between
//! two reads of a page the disk or the memory may change it.

use std::io;

use crc32c::crc32c;
use parking_lot::Mutex;

const BLOCK: u64 = 4096;

/// The checksums of blocks of one file. It takes 8 bytes of memory for each block of 4 KiB.
///
/// Invariant: a block has a checksum only if it was read while the file was
/// [learnt](Blocks::learn), and was not written since.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_learning: bool,
    sums: Vec<Option<u32>>,
}

impl Blocks {
    /// Remembers what is read from now on, or no longer.
    pub(crate) fn learn(&self, is_learning: bool) {
        self.state.lock().is_learning = is_learning;
    }

    /// Checks what was read against what is remembered. Call it after the read.
    pub(crate) fn read(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
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
                None if state.is_learning => {
                    if state.sums.len() <= block {
                        state.sums.resize(block + 1, None);
                    }
                    state.sums[block] = Some(crc32c(content));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Forgets what will be written. Call it before the write, so that no read in between is
    /// compared with what was there before.
    pub(crate) fn write(&self, offset: u64, len: u64) {
        let mut state = self.state.lock();
        let from = index(offset / BLOCK).min(state.sums.len());
        let to = index((offset + len).div_ceil(BLOCK)).min(state.sums.len());
        if from < to {
            state.sums[from..to].fill(None);
        }
    }

    /// Forgets what lies beyond a new length. Call it before the length is set.
    pub(crate) fn set_len(&self, len: u64) {
        self.state.lock().sums.truncate(index(len / BLOCK));
    }
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

    #[test]
    fn a_block_is_checked_until_it_is_written() {
        let blocks = Blocks::default();
        let ones = [1; 3 * BLOCK as usize];
        let mut twos = ones;
        twos[BLOCK as usize + 5] = 2;
        assert!(blocks.read(0, &ones).is_ok());
        assert!(blocks.read(0, &twos).is_ok(), "nothing was learnt");
        blocks.learn(true);
        // Half of the first block and of the last one are not learnt.
        assert!(blocks.read(100, &ones).is_ok());
        blocks.learn(false);
        assert!(blocks.read(0, &twos[..BLOCK as usize]).is_ok());
        let wrong = blocks.read(0, &twos).expect_err("it has changed");
        assert!(wrong.to_string().contains("at byte 4096"), "{wrong}");
        assert!(blocks.read(0, &ones).is_ok());

        blocks.write(2 * BLOCK - 1, 1);
        assert!(blocks.read(0, &twos).is_ok(), "it was written");
        let other = [3; BLOCK as usize];
        assert!(
            blocks.read(2 * BLOCK, &other).is_err(),
            "its neighbour was not"
        );
        blocks.set_len(2 * BLOCK);
        assert!(blocks.read(2 * BLOCK, &other).is_ok(), "it was cut off");
    }
}

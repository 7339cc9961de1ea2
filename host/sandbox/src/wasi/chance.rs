//! Randomness that depends on nothing but a seed: SHA-256 of the seed and a counter.

use sha2::{Digest as _, Sha256};

/// What a guest's randomness is made of.
pub(crate) struct Seed(Sha256);

impl Seed {
    /// A seed of one use, such as `recipe`: equal parts of two uses make different seeds.
    pub(crate) fn of(usage: &str) -> Seed {
        Seed(Sha256::new()).and(usage.as_bytes())
    }

    /// The seed with one more part.
    pub(crate) fn and(mut self, part: &[u8]) -> Seed {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }
}

/// An endless row of bytes.
pub(crate) struct Chance {
    seed: [u8; 32],
    block: [u8; 32],
    /// Bytes of `block` that are used up.
    used: usize,
    blocks: u64,
}

impl Chance {
    pub(crate) fn new(seed: Seed) -> Chance {
        Chance {
            seed: seed.0.finalize().into(),
            block: [0; 32],
            used: 32,
            blocks: 0,
        }
    }

    pub(super) fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == self.block.len() {
                let block = Sha256::new()
                    .chain_update(self.seed)
                    .chain_update(self.blocks.to_be_bytes());
                self.block = block.finalize().into();
                self.blocks += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    pub(super) fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: Seed, count: usize) -> Vec<u8> {
        let mut out = vec![0; count];
        Chance::new(seed).fill(&mut out);
        out
    }

    #[test]
    fn equal_seeds_give_equal_bytes_and_others_do_not() {
        let seed = || Seed::of("test").and(b"ab").and(b"c");
        assert_eq!(bytes(seed(), 100), bytes(seed(), 100));
        assert_ne!(
            bytes(seed(), 8),
            bytes(Seed::of("test").and(b"a").and(b"bc"), 8)
        );
        assert_ne!(
            bytes(seed(), 8),
            bytes(Seed::of("other").and(b"ab").and(b"c"), 8)
        );
    }

    #[test]
    fn the_row_goes_on_and_does_not_repeat() {
        let whole = bytes(Seed::of("test"), 96);
        let mut chance = Chance::new(Seed::of("test"));
        let mut pieces = vec![0; 96];
        for piece in pieces.chunks_mut(7) {
            chance.fill(piece);
        }
        assert_eq!(whole, pieces);
        assert_ne!(whole[..32], whole[32..64]);
    }
}

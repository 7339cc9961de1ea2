//! The rolling hash of all changes, by which nodes can see that their states differ.
//!
//! It is our own code because the hash is part of the state: a new version of a library must not
//! change it.

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd6e8_feb8_6659_fd93;

/// A hash in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rolling(pub(super) u64);

impl Rolling {
    /// Mixes a number in.
    pub(super) fn number(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number ^ K0) * u128::from(K1);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ number.rotate_left(29);
    }

    /// Mixes bytes in, and their length.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.number(u64::from_le_bytes(word.try_into().expect("eight bytes")));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.number(u64::from_le_bytes(last));
        }
    }

    /// Mixes optional bytes in.
    pub(super) fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.number(u64::MAX),
            Some(bytes) => self.bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        let mut hash = Rolling(0);
        hash.number(1);
        hash.bytes(b"twelve bytes");
        hash.optional(None);
        // State of older nodes holds hashes made by this very function.
        assert_eq!(hash.0, 0x0b72_ba59_5924_2bc3);
    }

    #[test]
    fn order_and_borders_matter() {
        let of = |pieces: &[&[u8]]| {
            let mut hash = Rolling(7);
            pieces.iter().for_each(|piece| hash.bytes(piece));
            hash.0
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
        assert_ne!(of(&[b""]), of(&[]));
        assert_ne!(of(&[b"\0"]), of(&[b""]));
    }
}

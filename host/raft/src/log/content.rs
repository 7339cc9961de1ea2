//! Reading a segment, most of which may have been preallocated and never written.

use std::io;

use innkeeper_runtime::{Disk, File, Open};

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// The bytes of a file.
pub(super) struct Content {
    /// All bytes. Those that were never written take no memory until they are looked at.
    pub(super) bytes: Vec<u8>,
    /// From here on all bytes are zeros.
    pub(super) written: usize,
}

impl Content {
    /// Reads a whole file.
    pub(super) fn read<D: Disk>(disk: &D, path: &str) -> io::Result<Self> {
        let file = disk.open(path, Open::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut content = Self {
            bytes: vec![0; len],
            written: 0,
        };
        let (mut chunk, zeros) = (vec![0; CHUNK.min(len)], vec![0; CHUNK.min(len)]);
        for from in (0..len).step_by(CHUNK) {
            let to = len.min(from + CHUNK);
            let part = &mut chunk[..to - from];
            file.read_exact_at(part, from as u64)?;
            if *part != zeros[..part.len()] {
                content.bytes[from..to].copy_from_slice(part);
                content.written = to;
            }
        }
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use innkeeper_runtime::SimDisk;

    #[test]
    fn every_byte_is_there_and_zeros_follow_what_was_written() {
        let places = [
            0,
            1,
            CHUNK - 1,
            CHUNK,
            3 * CHUNK + 5,
            9 * CHUNK,
            10 * CHUNK + 6,
        ];
        for last in places {
            let disk = SimDisk::new(1);
            let file = disk.open("f", Open::Create).unwrap();
            file.set_len(10 * CHUNK as u64 + 7).unwrap();
            for at in places.into_iter().filter(|at| *at <= last) {
                file.write_at(&[at as u8 | 1], at as u64).unwrap();
            }
            let content = Content::read(&disk, "f").unwrap();
            assert!(content.bytes == disk.read_whole("f").unwrap(), "{last}");
            assert!(content.written > last, "{last}");
            assert!(content.bytes[content.written..].iter().all(|b| *b == 0));
            // No more than the last chunk is taken for written.
            assert!(content.written <= (last / CHUNK + 1) * CHUNK, "{last}");
        }
        let disk = SimDisk::new(1);
        disk.open("empty", Open::Create).unwrap();
        assert!(Content::read(&disk, "empty").unwrap().bytes.is_empty());
    }
}

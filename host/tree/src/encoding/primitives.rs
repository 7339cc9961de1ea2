//! The primitives of all encodings: numbers, texts, data, lists and optional values.

use bytes::Bytes;
use innkeeper_proto::{Acl, ByteString, Perms};

use super::EncodingError;

/// The target of an encoding: a buffer, or a counter of bytes. The same code writes to both, so the
/// counted length is the length that would be written.
pub(super) trait Sink {
    fn put_slice(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, byte: u8) {
        self.put_slice(&[byte]);
    }

    fn put_u64_le(&mut self, number: u64) {
        self.put_slice(&number.to_le_bytes());
    }

    /// Called before a list of so many items.
    fn note_items(&mut self, _count: usize) {}
}

impl Sink for Vec<u8> {
    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_u8(&mut self, byte: u8) {
        self.push(byte);
    }
}

/// A sink that only counts. The same data in memory may be counted many times; the counts stop at
/// the greatest number instead of overflowing.
#[derive(Default)]
pub(super) struct Count {
    pub(super) bytes: usize,
    pub(super) items: usize,
}

impl Sink for Count {
    fn put_slice(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len());
    }

    fn put_u8(&mut self, _byte: u8) {
        self.bytes = self.bytes.saturating_add(1);
    }

    fn note_items(&mut self, count: usize) {
        self.items = self.items.saturating_add(count);
    }
}

pub(super) fn put_u64<B: Sink>(out: &mut B, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

pub(super) fn put_i64<B: Sink>(out: &mut B, number: i64) {
    put_u64(out, (number << 1 ^ number >> 63) as u64);
}

pub(super) fn put_bytes<B: Sink>(out: &mut B, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.put_slice(bytes);
}

pub(super) fn put_str<B: Sink>(out: &mut B, text: &str) {
    put_bytes(out, text.as_bytes());
}

pub(super) fn put_option<B: Sink, T>(out: &mut B, option: Option<T>, put: impl FnOnce(&mut B, T)) {
    match option {
        None => out.put_u8(0),
        Some(value) => {
            out.put_u8(1);
            put(out, value);
        }
    }
}

pub(super) fn put_data<B: Sink>(out: &mut B, data: Option<&[u8]>) {
    put_option(out, data, put_bytes);
}

pub(super) fn put_list<B: Sink, T>(out: &mut B, items: &[T], mut put: impl FnMut(&mut B, &T)) {
    put_u64(out, items.len() as u64);
    out.note_items(items.len());
    for item in items {
        put(out, item);
    }
}

pub(super) fn put_acl<B: Sink>(out: &mut B, acl: &[Acl]) {
    put_list(out, acl, |out, entry| {
        put_i64(out, i64::from(entry.perms.0));
        put_str(out, &entry.scheme);
        put_str(out, &entry.id);
    });
}

/// Reads values from the front of some bytes. Data are slices of the bytes; paths are copied.
pub(super) struct Reader {
    input: Bytes,
    at: usize,
}

type Result<T> = std::result::Result<T, EncodingError>;

impl Reader {
    pub(super) fn new(input: Bytes) -> Self {
        Self { input, at: 0 }
    }

    fn remaining(&self) -> usize {
        self.input.len() - self.at
    }

    /// Checks that no bytes are left.
    pub(super) fn finish(self, what: &'static str) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(EncodingError::Trailing { what, count }),
        }
    }

    pub(super) fn version(&mut self, what: &'static str, known: u8) -> Result<()> {
        match self.u8(what)? {
            version if version == known => Ok(()),
            version => Err(EncodingError::UnknownVersion { what, version }),
        }
    }

    /// The next byte, which is not consumed.
    pub(super) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8> {
        match self.input.get(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            None => Err(EncodingError::Truncated { what }),
        }
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            // Only one bit of the tenth byte fits into 64 bits.
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // A last byte of zero would not be the shortest form of the number.
                return if byte == 0 && shift > 0 {
                    Err(EncodingError::Invalid { what })
                } else {
                    Ok(number)
                };
            }
        }
        Err(EncodingError::Invalid { what })
    }

    pub(super) fn i64(&mut self, what: &'static str) -> Result<i64> {
        let zigzag = self.u64(what)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32> {
        u32::try_from(self.u64(what)?).map_err(|_| EncodingError::Invalid { what })
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32> {
        i32::try_from(self.i64(what)?).map_err(|_| EncodingError::Invalid { what })
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let bytes = self.input[self.at..]
            .first_chunk::<N>()
            .copied()
            .ok_or(EncodingError::Truncated { what })?;
        self.at += N;
        Ok(bytes)
    }

    /// An id: eight bytes, little-endian.
    pub(super) fn id(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn range(&mut self, what: &'static str) -> Result<std::ops::Range<usize>> {
        let len = self.u64(what)?;
        if len > self.remaining() as u64 {
            return Err(EncodingError::Truncated { what });
        }
        let start = self.at;
        self.at += len as usize;
        Ok(start..self.at)
    }

    pub(super) fn bytes(&mut self, what: &'static str) -> Result<Bytes> {
        let range = self.range(what)?;
        Ok(self.input.slice(range))
    }

    pub(super) fn str(&mut self, what: &'static str) -> Result<&str> {
        let range = self.range(what)?;
        std::str::from_utf8(&self.input[range]).map_err(|_| EncodingError::Invalid { what })
    }

    pub(super) fn string(&mut self, what: &'static str) -> Result<String> {
        self.str(what).map(str::to_owned)
    }

    fn byte_string(&mut self, what: &'static str) -> Result<ByteString> {
        // Most ACLs are world:anyone, which is a constant and needs no slice of the input.
        let range = self.range(what)?;
        match &self.input[range.clone()] {
            b"world" => Ok(ByteString::from_static("world")),
            b"anyone" => Ok(ByteString::from_static("anyone")),
            _ => ByteString::try_from(self.input.slice(range))
                .map_err(|_| EncodingError::Invalid { what }),
        }
    }

    pub(super) fn option<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.u8(what)? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(EncodingError::Invalid { what }),
        }
    }

    pub(super) fn data(&mut self) -> Result<Option<Bytes>> {
        self.option("data", |reader| reader.bytes("data"))
    }

    /// A list. `least` is the least encoded length of an item: a count that cannot fit into the
    /// remaining bytes is refused before memory is reserved.
    pub(super) fn list<T>(
        &mut self,
        what: &'static str,
        least: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.u64(what)?;
        if count > (self.remaining() / least) as u64 {
            return Err(EncodingError::Truncated { what });
        }
        let mut items = Vec::with_capacity(count as usize);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    pub(super) fn acl(&mut self) -> Result<Vec<Acl>> {
        self.list("ACL", 3, |reader| {
            Ok(Acl {
                perms: Perms(reader.i32("permissions")?),
                scheme: reader.byte_string("ACL's scheme")?,
                id: reader.byte_string("ACL's id")?,
            })
        })
    }
}

/// The error of a tag that means nothing here.
pub(super) fn unknown(what: &'static str, tag: u8) -> EncodingError {
    EncodingError::UnknownTag {
        what,
        tag: u64::from(tag),
    }
}

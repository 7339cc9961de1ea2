//! The bytes of a segment: a header, then records.
//!
//! ```text
//! segment  = header record*            (what follows the last record reads as zeros)
//! header   = "INKPRLOG" version:u32 crc:u32 number:u64 zero:u64
//! record   = crc:u32 len:u32 batch:u48 kind:u8 zero:u8 body[len] padding to 8 bytes
//! ```
//!
//! A record's checksum covers everything after the checksum up to the end of the body. It is seeded
//! with the segment's number, so that old bytes of another segment on the same blocks are never
//! accepted. `batch` is the number of the unit that is written and synced together. A batch is
//! written only after the batch before it was synced. By this, recovery can tell a torn tail, which
//! was not acknowledged, from damage to acknowledged records.
//!
//! Invariant: [`read`] can read everything that [`put`] appends. If a record cannot be written,
//! [`put`] returns an error and has appended nothing.
//! (tests: `what_cannot_be_written_is_refused_whole`,
//! `a_record_beyond_its_bound_stops_the_log_and_leaves_it_readable`)

use std::ops::Range;

use crc32c::{crc32c, crc32c_append};

use crate::codec::CodecError;

/// The version of the format, in each segment's header.
pub(crate) const VERSION: u32 = 1;
/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: usize = 32;
/// Bytes of a record's header.
pub(crate) const RECORD_HEADER: usize = 16;
const MAGIC: &[u8; 8] = b"INKPRLOG";
const ALIGN: usize = 8;
const MAX_BATCH: u64 = (1 << 48) - 1;

/// The longest body of a record, in bytes, whatever the settings are. The length field has 32 bits,
/// and recovery reads a whole segment at once. This is a quarter of the greatest length, and twice
/// the longest command that the settings allow.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 30;

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// The record is too long.
    #[error("it has {bytes} bytes, and {most} is the most")]
    TooLong {
        /// The length of its body in bytes.
        bytes: usize,
        /// The bound in bytes.
        most: usize,
    },
    /// The batch's number does not fit into its field.
    #[error("the number {0} of its batch has more than 48 bits")]
    Batch(u64),
    /// The record's offset does not fit into the index of entries.
    #[error("it begins at byte {0} of its segment, and offsets have 32 bits")]
    Offset(u64),
    /// The record's body cannot be encoded.
    #[error(transparent)]
    Body(#[from] CodecError),
}

/// The kind of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// One log entry.
    Entry,
    /// The vote from now on.
    Vote,
    /// The entries after the log id, or all entries, were removed.
    Truncate,
    /// The last log id that is known to be committed.
    Committed,
    /// The entries up to and including the log id were removed.
    Purge,
    /// The batch is complete.
    BatchEnd,
    /// The batch is complete and the segment is full; another segment follows.
    SegmentEnd,
}

impl Kind {
    fn tag(self) -> u8 {
        match self {
            Kind::Entry => 1,
            Kind::Vote => 2,
            Kind::Truncate => 3,
            Kind::Committed => 4,
            Kind::Purge => 5,
            Kind::BatchEnd => 6,
            Kind::SegmentEnd => 7,
        }
    }

    fn of(tag: u8) -> Option<Self> {
        Some(match tag {
            1 => Kind::Entry,
            2 => Kind::Vote,
            3 => Kind::Truncate,
            4 => Kind::Committed,
            5 => Kind::Purge,
            6 => Kind::BatchEnd,
            7 => Kind::SegmentEnd,
            _ => return None,
        })
    }
}

/// A record in a segment's bytes.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) batch: u64,
    pub(crate) body: &'a [u8],
    /// Where the next record begins.
    pub(crate) next: usize,
}

/// The seed of a segment's checksums.
pub(crate) fn seed(number: u64) -> u32 {
    crc32c(&number.to_le_bytes())
}

/// How many bytes a record takes whose body has `body` bytes.
pub(crate) fn record_len(body: usize) -> usize {
    (RECORD_HEADER + body).next_multiple_of(ALIGN)
}

/// Appends a segment's header.
pub(crate) fn put_segment_header(out: &mut Vec<u8>, number: u64) {
    let start = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    let crc = header_crc(&out[start..]);
    out[start + 12..start + 16].copy_from_slice(&crc.to_le_bytes());
}

fn header_crc(header: &[u8]) -> u32 {
    crc32c_append(crc32c(&header[..12]), &header[16..SEGMENT_HEADER])
}

/// The result of checking a segment's header.
pub(crate) enum Header {
    /// The header is the one of this segment, in the version that this release reads.
    Good,
    /// The header is undamaged, in a version that this release does not know.
    Version(u32),
    /// This is not the header of this segment.
    Bad,
}

/// Checks a segment's header.
pub(crate) fn read_segment_header(bytes: &[u8], number: u64) -> Header {
    let Some(header) = bytes.get(..SEGMENT_HEADER) else {
        return Header::Bad;
    };
    let crc = u32_at(header, 12);
    if &header[..8] != MAGIC || header_crc(header) != crc {
        return Header::Bad;
    }
    let version = u32_at(header, 8);
    if version != VERSION {
        return Header::Version(version);
    }
    if u64_at(header, 16) != number {
        return Header::Bad;
    }
    Header::Good
}

/// The segment, batch and kind of a record.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The seed of its segment.
    pub(crate) seed: u32,
    /// The number of its batch.
    pub(crate) batch: u64,
    pub(crate) kind: Kind,
}

/// Appends a record whose body is appended by `write`. A body of more than `most` bytes is refused;
/// after an error nothing is appended.
pub(crate) fn put(
    out: &mut Vec<u8>,
    place: Place,
    most: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<(), Unwritable> {
    let start = out.len();
    let put = put_at(out, start, place, most.min(MAX_BODY_BYTES), write);
    if put.is_err() {
        out.truncate(start);
    }
    put
}

fn put_at(
    out: &mut Vec<u8>,
    start: usize,
    place: Place,
    most: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<(), Unwritable> {
    let Place { seed, batch, kind } = place;
    if batch > MAX_BATCH {
        return Err(Unwritable::Batch(batch));
    }
    out.extend_from_slice(&[0; 8]);
    let tagged = batch | (u64::from(kind.tag()) << 48);
    out.extend_from_slice(&tagged.to_le_bytes());
    write(out)?;
    let bytes = out.len() - start - RECORD_HEADER;
    let len = u32::try_from(bytes)
        .ok()
        .filter(|_| bytes <= most)
        .ok_or(Unwritable::TooLong { bytes, most })?;
    out[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c_append(seed, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    out.resize((out.len() - start).next_multiple_of(ALIGN) + start, 0);
    Ok(())
}

/// Reads the record at `at`; the error says in a few words why there is none.
pub(crate) fn read(bytes: &[u8], at: usize, seed: u32) -> Result<Record<'_>, &'static str> {
    let Some(header) = bytes.get(at..at + RECORD_HEADER) else {
        return Err("the file ends");
    };
    let len = u32_at(header, 4) as usize;
    let tagged = u64_at(header, 8);
    let Some(kind) = Kind::of(((tagged >> 48) & 0xff) as u8).filter(|_| tagged >> 56 == 0) else {
        return Err("no record begins there");
    };
    let end = at + RECORD_HEADER + len;
    let Some(covered) = bytes.get(at + 4..end) else {
        return Err("the record is longer than the file");
    };
    if crc32c_append(seed, covered) != u32_at(header, 0) {
        return Err("the checksum does not match");
    }
    Ok(Record {
        kind,
        batch: tagged & MAX_BATCH,
        body: &bytes[at + RECORD_HEADER..end],
        next: at + record_len(len),
    })
}

/// The offset of an undamaged record of a batch above `batch` that begins in `range`.
pub(crate) fn find_above(
    bytes: &[u8],
    range: Range<usize>,
    seed: u32,
    batch: u64,
) -> Option<usize> {
    let mut at = range.start.next_multiple_of(ALIGN);
    while at < range.end && at + RECORD_HEADER <= bytes.len() {
        // At nearly every offset this word is not the one of a record, so it is checked first.
        let tagged = u64_at(bytes, at + 8);
        if tagged != 0
            && tagged >> 56 == 0
            && tagged & MAX_BATCH > batch
            && read(bytes, at, seed).is_ok()
        {
            return Some(at);
        }
        at += ALIGN;
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_body(out: &mut Vec<u8>, batch: u64, body: usize) -> Result<(), Unwritable> {
        let place = Place {
            seed: seed(1),
            batch,
            kind: Kind::Entry,
        };
        put(out, place, 100, |out| {
            out.resize(out.len() + body, 7);
            Ok(())
        })
    }

    #[test]
    fn what_cannot_be_written_is_refused_whole() {
        let mut out = Vec::new();
        put_body(&mut out, 1, 99).unwrap();
        put_body(&mut out, MAX_BATCH, 100).unwrap();
        let before = out.clone();
        let refused = put_body(&mut out, 1, 101).unwrap_err();
        assert_eq!(refused.to_string(), "it has 101 bytes, and 100 is the most");
        put_body(&mut out, MAX_BATCH + 1, 1).unwrap_err();
        let place = Place {
            seed: seed(1),
            batch: 1,
            kind: Kind::Entry,
        };
        let short = CodecError::Short { what: "test" };
        put(&mut out, place, 100, |out| {
            out.push(1);
            Err(short)
        })
        .unwrap_err();
        assert_eq!(out, before);

        let first = read(&out, 0, seed(1)).unwrap();
        assert_eq!((first.batch, first.body.len()), (1, 99));
        let second = read(&out, first.next, seed(1)).unwrap();
        assert_eq!((second.batch, second.body.len()), (MAX_BATCH, 100));
        assert_eq!(second.next, out.len());
    }
}

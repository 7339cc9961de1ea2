//! Frames: the units of the connections between nodes.
//!
//! ```text
//! frame = len:u32 crc:u32 kind:u8 number:u64 body    (len: bytes after crc; crc: CRC-32C of them)
//! ```
//!
//! Integers are little-endian. `number` joins an answer to its question.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use crc32c::crc32c;

/// Bytes before the checksummed part: its length and its checksum.
const HEAD_BYTES: usize = 8;
/// Bytes of the kind and the number.
const FIXED_BYTES: usize = 9;
/// A frame's bytes beside its body.
#[cfg(test)]
pub(super) const FRAME_BYTES: usize = HEAD_BYTES + FIXED_BYTES;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) number: u64,
    pub(super) body: Bytes,
}

/// Appends a frame whose body is what `body` appends. After an error nothing was appended.
pub(super) fn put<E>(
    out: &mut BytesMut,
    kind: u8,
    number: u64,
    body: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Result<(), E>
where
    E: From<TooLong>,
{
    let start = out.len();
    out.put_bytes(0, HEAD_BYTES);
    out.put_u8(kind);
    out.put_u64_le(number);
    if let Err(error) = body(out) {
        out.truncate(start);
        return Err(error);
    }
    let checked = &out[start + HEAD_BYTES..];
    let Ok(len) = u32::try_from(checked.len()) else {
        let bytes = checked.len();
        out.truncate(start);
        return Err(TooLong { bytes }.into());
    };
    let crc = crc32c(checked);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Takes the first frame out of what has been received, if the whole of it is there. The error is
/// for a damaged frame and for one with a body of more than `body_bytes_max` bytes.
pub(super) fn take(input: &mut BytesMut, body_bytes_max: usize) -> io::Result<Option<Frame>> {
    let Some(head) = input.get(..HEAD_BYTES) else {
        return Ok(None);
    };
    let mut head = head;
    let len = head.get_u32_le() as usize;
    let crc = head.get_u32_le();
    if len < FIXED_BYTES || len > FIXED_BYTES.saturating_add(body_bytes_max) {
        return Err(damaged(format!(
            "a frame says that it has {len} bytes, and {FIXED_BYTES} to {} are allowed",
            FIXED_BYTES.saturating_add(body_bytes_max)
        )));
    }
    if input.len() < HEAD_BYTES + len {
        return Ok(None);
    }
    input.advance(HEAD_BYTES);
    let mut checked = input.split_to(len).freeze();
    if crc32c(&checked) != crc {
        return Err(damaged("a frame has a wrong checksum".to_owned()));
    }
    let kind = checked.get_u8();
    let number = checked.get_u64_le();
    Ok(Some(Frame {
        kind,
        number,
        body: checked,
    }))
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A frame is longer than its length field can say.
#[derive(Debug, thiserror::Error)]
#[error("a frame of {bytes} bytes is longer than its length field can say")]
pub(super) struct TooLong {
    bytes: usize,
}

impl From<TooLong> for io::Error {
    fn from(error: TooLong) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, number: u64, body: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        put::<io::Error>(&mut out, kind, number, |out| {
            out.put_slice(body);
            Ok(())
        })
        .unwrap();
        out
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_whatever_the_pieces(
            frames in prop::collection::vec(
                (any::<u8>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..100)),
                1..10,
            ),
            piece_bytes in 1_usize..50,
        ) {
            let mut sent = BytesMut::new();
            for (kind, number, body) in &frames {
                sent.extend_from_slice(&frame(*kind, *number, body));
            }
            let mut input = BytesMut::new();
            let mut got = Vec::new();
            for piece in sent.chunks(piece_bytes) {
                input.extend_from_slice(piece);
                while let Some(frame) = take(&mut input, 100).unwrap() {
                    got.push((frame.kind, frame.number, frame.body.to_vec()));
                }
            }
            prop_assert_eq!(got, frames);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn a_flipped_bit_is_found(body in prop::collection::vec(any::<u8>(), 0..60), bit in any::<usize>()) {
            let mut bytes = frame(3, 7, &body);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            // A longer frame may be waited for, but none comes out.
            prop_assert!(!matches!(take(&mut bytes, 1000), Ok(Some(_))));
        }
    }

    #[test]
    fn a_body_over_the_bound_is_refused_by_its_length() {
        let mut bytes = frame(1, 1, &[0; 101]);
        assert_eq!(bytes.len(), FRAME_BYTES + 101);
        bytes.truncate(HEAD_BYTES);
        let error = take(&mut bytes, 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut bytes = frame(1, 1, &[0; 100]);
        assert!(take(&mut bytes, 100).unwrap().is_some());
    }

    #[test]
    fn a_body_that_cannot_be_encoded_leaves_nothing() {
        let mut out = frame(1, 1, b"x");
        let len = out.len();
        let failed = put::<io::Error>(&mut out, 1, 2, |out| {
            out.put_slice(b"half");
            Err(io::ErrorKind::Other.into())
        });
        assert!(failed.is_err());
        assert_eq!(out.len(), len);
    }
}

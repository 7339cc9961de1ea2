//! Reading a snapshot while it arrives.

use bytes::{Buf, BytesMut};
use crc32c::crc32c_append;
use innkeeper_tree::{Record, Table};

use crate::codec::{self, Fields};
use crate::error::StateError;
use crate::log::MAX_BODY_BYTES;
use crate::types::SnapshotMeta;

pub(super) const MAGIC: &[u8; 8] = b"INKPSNAP";
pub(super) const VERSION: u8 = 1;
pub(super) const END: u8 = 0xff;

/// Bytes of the magic, the version and the first length.
const HEAD_BYTES: usize = MAGIC.len() + 1 + 4;
/// Bytes of the end: its tag, the count and the checksum.
const END_BYTES: usize = 1 + 8 + 4;

fn damaged(why: impl std::fmt::Display) -> StateError {
    StateError::damaged("a snapshot", why)
}

/// Takes the bytes of a snapshot in whatever pieces, and gives its records.
///
/// Invariants:
/// - It holds what it was given last and the beginning of one record, never more than that.
/// - A field of more than [`MAX_BODY_BYTES`] bytes is damage, so a wrong length costs no memory.
pub(super) struct Decoder {
    rest: BytesMut,
    /// The checksum of everything that was decoded.
    crc: u32,
    count: u64,
    meta: Option<SnapshotMeta>,
    is_whole: bool,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            rest: BytesMut::new(),
            crc: 0,
            count: 0,
            meta: None,
            is_whole: false,
        }
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// The next record; `None` if the bytes taken so far hold no further one.
    pub(super) fn next(&mut self) -> Result<Option<Record>, StateError> {
        if self.meta.is_none() && !self.head()? {
            return Ok(None);
        }
        if self.is_whole {
            return match self.rest.is_empty() {
                true => Ok(None),
                false => Err(damaged("something follows its end")),
            };
        }
        let Some(tag) = self.rest.first().copied() else {
            return Ok(None);
        };
        if tag == END {
            return self.end().map(|()| None);
        }
        let table = Table::from_tag(tag)
            .ok_or_else(|| damaged(format!("it names an unknown table {tag}")))?;
        let Some(key_len) = self.len_at(1)? else {
            return Ok(None);
        };
        let value_at = 1 + 4 + key_len;
        let Some(value_len) = self.len_at(value_at)? else {
            return Ok(None);
        };
        if self.rest.len() < value_at + 4 + value_len {
            return Ok(None);
        }
        let record = Record {
            table,
            key: self.rest[1 + 4..value_at].to_vec(),
            value: Some(self.rest[value_at + 4..value_at + 4 + value_len].to_vec()),
        };
        self.advance(value_at + 4 + value_len);
        self.count += 1;
        Ok(Some(record))
    }

    /// The last log id and the membership, if everything has arrived and is whole.
    pub(super) fn finish(self) -> Result<SnapshotMeta, StateError> {
        match self.meta {
            Some(meta) if self.is_whole => Ok(meta),
            _ => Err(damaged("it ends too early")),
        }
    }

    /// Decodes what stands before the records, if it is there.
    fn head(&mut self) -> Result<bool, StateError> {
        let known = self.rest.len().min(MAGIC.len());
        if self.rest[..known] != MAGIC[..known] {
            return Err(damaged("it is not a snapshot"));
        }
        if let Some(found) = self.rest.get(MAGIC.len()).copied()
            && found != VERSION
        {
            return Err(StateError::Version {
                file: "a snapshot",
                found,
                known: VERSION,
            });
        }
        let Some(applied_len) = self.len_at(HEAD_BYTES - 4)? else {
            return Ok(false);
        };
        let membership_at = HEAD_BYTES + applied_len;
        let Some(membership_len) = self.len_at(membership_at)? else {
            return Ok(false);
        };
        let end = membership_at + 4 + membership_len;
        if self.rest.len() < end {
            return Ok(false);
        }
        let applied = &self.rest[HEAD_BYTES..membership_at];
        let membership = &self.rest[membership_at + 4..end];
        self.meta = Some(SnapshotMeta {
            last_log_id: codec::optional_log_id(applied).map_err(damaged)?,
            last_membership: codec::stored_membership(membership).map_err(damaged)?,
        });
        self.advance(end);
        Ok(true)
    }

    /// Compares the end with what came before it, if it is there.
    fn end(&mut self) -> Result<(), StateError> {
        if self.rest.len() < END_BYTES {
            return Ok(());
        }
        let mut fields = Fields::new("snapshot", &self.rest[1..]);
        let declared = fields.u64().map_err(damaged)?;
        let sum = fields.u32().map_err(damaged)?;
        self.advance(END_BYTES - 4);
        self.rest.advance(4);
        if sum != self.crc {
            return Err(damaged("its checksum does not match"));
        }
        if declared != self.count {
            return Err(damaged("it does not hold the records that it counts"));
        }
        self.is_whole = true;
        // Nothing may follow.
        self.next().map(drop)
    }

    /// The length that stands at `at`, if it is there.
    fn len_at(&self, at: usize) -> Result<Option<usize>, StateError> {
        let Some(bytes) = self.rest.get(at..at + 4) else {
            return Ok(None);
        };
        let len = Fields::new("snapshot", bytes).u32().map_err(damaged)? as usize;
        if len > MAX_BODY_BYTES {
            return Err(damaged(format!("it has a field of {len} bytes")));
        }
        Ok(Some(len))
    }

    fn advance(&mut self, bytes: usize) {
        self.crc = crc32c_append(self.crc, &self.rest[..bytes]);
        self.rest.advance(bytes);
    }
}

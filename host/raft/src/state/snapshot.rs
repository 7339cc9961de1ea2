//! A snapshot: all records of the state at one log id.
//!
//! On the node that made it, a snapshot is a view of `state.redb`, which is read only when it is
//! needed. Between nodes it is bytes:
//!
//! ```text
//! snapshot = "INKPSNAP" version:u8 meta record* end
//! meta     = len:u32 log-id len:u32 membership
//! record   = table:u8 key-len:u32 key value-len:u32 value
//! end      = 0xff records:u64 crc:u32          (of everything before the crc)
//! ```

use bytes::Bytes;
use crc32c::crc32c_append;
use innkeeper_tree::{Record, Table};

use super::store::StateView;
use crate::codec::{self, CodecError, Fields};
use crate::error::StateError;
use crate::types::SnapshotMeta;

const MAGIC: &[u8; 8] = b"INKPSNAP";
const VERSION: u8 = 1;
const END: u8 = 0xff;

/// The content of a snapshot.
#[derive(Clone)]
pub struct SnapshotData {
    source: Source,
}

#[derive(Clone)]
enum Source {
    /// `state.redb` as of one commit.
    View(StateView),
    /// The bytes from another node.
    Bytes(Bytes),
}

impl std::fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut s = f.debug_struct("SnapshotData");
        match &self.source {
            Source::View(_) => s.field("source", &"state.redb"),
            Source::Bytes(bytes) => s.field("bytes", &bytes.len()),
        };
        s.finish()
    }
}

impl SnapshotData {
    pub(crate) fn of_view(view: StateView) -> Self {
        Self {
            source: Source::View(view),
        }
    }

    /// A snapshot from another node's bytes, which are checked first.
    pub fn from_bytes(bytes: Bytes) -> Result<(SnapshotMeta, Self), StateError> {
        let meta = check(&bytes)?;
        let data = Self {
            source: Source::Bytes(bytes),
        };
        Ok((meta, data))
    }

    /// The bytes to send, in pieces of about `piece_bytes`. Blocks.
    pub fn pieces(
        &self,
        piece_bytes: usize,
    ) -> Result<Box<dyn Iterator<Item = Result<Bytes, StateError>> + Send>, StateError> {
        match &self.source {
            Source::Bytes(bytes) => {
                let mut rest = bytes.clone();
                Ok(Box::new(std::iter::from_fn(move || {
                    let len = rest.len().min(piece_bytes.max(1));
                    (len > 0).then(|| Ok(rest.split_to(len)))
                })))
            }
            Source::View(view) => {
                let meta = view.meta()?;
                let encoder = Encoder::new(meta, view.records(), piece_bytes);
                Ok(Box::new(encoder.map_err(unwritable)?))
            }
        }
    }

    /// All records. Blocks.
    pub(crate) fn records(&self) -> Box<dyn Iterator<Item = Result<Record, StateError>> + Send> {
        match &self.source {
            Source::View(view) => Box::new(view.records()),
            Source::Bytes(bytes) => Box::new(Decoder::new(bytes.clone())),
        }
    }
}

/// Encodes record by record and holds at most one piece in memory.
struct Encoder<I> {
    records: I,
    piece_bytes: usize,
    out: Vec<u8>,
    crc: u32,
    count: u64,
    done: bool,
}

impl<I: Iterator<Item = Result<Record, StateError>>> Encoder<I> {
    fn new(meta: SnapshotMeta, records: I, piece_bytes: usize) -> Result<Self, CodecError> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        let mut applied = Vec::new();
        codec::put_log_id(&mut applied, meta.last_log_id.as_ref());
        put_sized(&mut out, &applied)?;
        put_sized(
            &mut out,
            &codec::stored_membership_bytes(&meta.last_membership)?,
        )?;
        Ok(Self {
            records,
            piece_bytes: piece_bytes.max(1),
            out,
            crc: 0,
            count: 0,
            done: false,
        })
    }

    fn put(&mut self, record: &Record) -> Result<(), CodecError> {
        self.count += 1;
        self.out.push(record.table.tag());
        put_sized(&mut self.out, &record.key)?;
        put_sized(&mut self.out, record.value.as_deref().unwrap_or_default())
    }

    fn emit(&mut self) -> Bytes {
        self.crc = crc32c_append(self.crc, &self.out);
        Bytes::from(std::mem::take(&mut self.out))
    }
}

impl<I: Iterator<Item = Result<Record, StateError>>> Iterator for Encoder<I> {
    type Item = Result<Bytes, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        while self.out.len() < self.piece_bytes {
            match self.records.next() {
                Some(Ok(record)) => {
                    if let Err(error) = self.put(&record) {
                        self.done = true;
                        return Some(Err(unwritable(error)));
                    }
                }
                Some(Err(error)) => {
                    self.done = true;
                    return Some(Err(error));
                }
                None => {
                    self.done = true;
                    self.out.push(END);
                    self.out.extend_from_slice(&self.count.to_le_bytes());
                    let crc = crc32c_append(self.crc, &self.out);
                    self.out.extend_from_slice(&crc.to_le_bytes());
                    break;
                }
            }
        }
        Some(Ok(self.emit()))
    }
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), CodecError> {
    codec::put_count(out, "bytes of a row", bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn unwritable(why: CodecError) -> StateError {
    StateError::Unwritable {
        file: "a snapshot",
        why: why.to_string(),
    }
}

fn sized<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], CodecError> {
    let len = fields.u32()? as usize;
    fields.bytes(len)
}

fn damaged(why: impl std::fmt::Display) -> StateError {
    StateError::damaged("a snapshot", why)
}

/// Checks all bytes and reads the last log id and the membership.
fn check(bytes: &Bytes) -> Result<SnapshotMeta, StateError> {
    let Some((covered, crc)) = bytes.split_last_chunk::<4>() else {
        return Err(damaged("it is too short"));
    };
    if crc32c_append(0, covered) != u32::from_le_bytes(*crc) {
        return Err(damaged("its checksum does not match"));
    }
    let mut decoder = Decoder::new(bytes.clone());
    let meta = decoder.meta()?;
    let mut count: u64 = 0;
    for record in &mut decoder {
        record?;
        count += 1;
    }
    if decoder.declared != Some(count) {
        return Err(damaged("it does not hold the records that it counts"));
    }
    Ok(meta)
}

/// Reads records out of bytes.
struct Decoder {
    bytes: Bytes,
    at: usize,
    declared: Option<u64>,
    failed: bool,
}

impl Decoder {
    fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            at: 0,
            declared: None,
            failed: false,
        }
    }

    fn meta(&mut self) -> Result<SnapshotMeta, StateError> {
        let mut fields = Fields::new("snapshot", &self.bytes);
        if fields.bytes(MAGIC.len()).map_err(damaged)? != MAGIC {
            return Err(damaged("it is not a snapshot"));
        }
        match fields.u8().map_err(damaged)? {
            VERSION => {}
            found => {
                return Err(StateError::Version {
                    file: "a snapshot",
                    found,
                    known: VERSION,
                });
            }
        }
        let applied = sized(&mut fields).map_err(damaged)?;
        let membership = sized(&mut fields).map_err(damaged)?;
        let meta = SnapshotMeta {
            last_log_id: codec::optional_log_id(applied).map_err(damaged)?,
            last_membership: codec::stored_membership(membership).map_err(damaged)?,
        };
        self.at = self.bytes.len() - fields.rest().len();
        Ok(meta)
    }

    fn record(&mut self) -> Result<Option<Record>, StateError> {
        if self.at == 0 {
            self.meta()?;
        }
        if self.declared.is_some() {
            return Ok(None);
        }
        let mut fields = Fields::new("snapshot", &self.bytes[self.at..]);
        let tag = fields.u8().map_err(damaged)?;
        if tag == END {
            self.declared = Some(fields.u64().map_err(damaged)?);
            return Ok(None);
        }
        let table = Table::from_tag(tag)
            .ok_or_else(|| damaged(format!("it names an unknown table {tag}")))?;
        let key = sized(&mut fields).map_err(damaged)?.to_vec();
        let value = sized(&mut fields).map_err(damaged)?.to_vec();
        self.at = self.bytes.len() - fields.rest().len();
        Ok(Some(Record {
            table,
            key,
            value: Some(value),
        }))
    }
}

impl Iterator for Decoder {
    type Item = Result<Record, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.record().transpose();
        self.failed = matches!(record, Some(Err(_)));
        record
    }
}

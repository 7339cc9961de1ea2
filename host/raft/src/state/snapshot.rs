//! A snapshot: all records of the state at one log id.
//!
//! On the node that made it, a snapshot is a view of `state.redb`, which is read only when it is
//! needed. Between nodes it is bytes, which are decoded as they [arrive](super::received):
//!
//! ```text
//! snapshot = "INKPSNAP" version:u8 meta record* end
//! meta     = len:u32 log-id len:u32 membership
//! record   = table:u8 key-len:u32 key value-len:u32 value
//! end      = 0xff records:u64 crc:u32          (of everything before the crc)
//! ```

use std::sync::Arc;

use bytes::Bytes;
use crc32c::crc32c_append;
use innkeeper_tree::{Record, Tree};
use parking_lot::Mutex;

use super::backend::Opened;
use super::decoder::{END, MAGIC, VERSION};
use super::store::StateView;
use crate::codec::{self, CodecError};
use crate::error::StateError;
use crate::types::SnapshotMeta;

/// The content of a snapshot.
#[derive(Clone)]
pub struct SnapshotData {
    source: Source,
}

#[derive(Clone)]
enum Source {
    /// `state.redb` as of one commit.
    View(StateView),
    /// The file and the tree that were made of another node's bytes.
    Received(Received),
}

impl std::fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = match &self.source {
            Source::View(_) => "state.redb",
            Source::Received(_) => "another node",
        };
        f.debug_struct("SnapshotData")
            .field("source", &source)
            .finish()
    }
}

impl SnapshotData {
    pub(crate) fn of_view(view: StateView) -> Self {
        Self {
            source: Source::View(view),
        }
    }

    pub(super) fn received(contents: Contents) -> Self {
        let contents = Arc::new(Mutex::new(Some(contents)));
        Self {
            source: Source::Received(Received { contents }),
        }
    }

    /// What has arrived from another node; `None` for this node's own state.
    pub(crate) fn as_received(&self) -> Option<&Received> {
        match &self.source {
            Source::View(_) => None,
            Source::Received(received) => Some(received),
        }
    }

    /// The bytes to send, in pieces of about `piece_bytes`. Blocks. The error is also for a
    /// snapshot of another node: a node sends its own state only.
    pub fn pieces(
        &self,
        piece_bytes: usize,
    ) -> Result<impl Iterator<Item = Result<Bytes, StateError>> + Send + use<>, StateError> {
        let view = self.view()?;
        Encoder::new(view.meta()?, view.records(), piece_bytes).map_err(unwritable)
    }

    /// All records. Blocks. The error is the same as that of [`SnapshotData::pieces`].
    pub(crate) fn records(
        &self,
    ) -> Result<impl Iterator<Item = Result<Record, StateError>> + Send + use<>, StateError> {
        Ok(self.view()?.records())
    }

    fn view(&self) -> Result<&StateView, StateError> {
        match &self.source {
            Source::View(view) => Ok(view),
            Source::Received(_) => Err(StateError::Unwritable {
                file: "a snapshot",
                why: "it is another node's and was not installed".to_owned(),
            }),
        }
    }
}

/// A snapshot that has arrived whole. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Received {
    contents: Arc<Mutex<Option<Contents>>>,
}

/// The open file and the tree of a snapshot that has arrived.
pub(crate) struct Contents {
    pub(crate) opened: Opened,
    pub(crate) tree: Tree,
}

impl Received {
    /// Takes the contents; `None` if they were taken before.
    pub(crate) fn take(&self) -> Option<Contents> {
        self.contents.lock().take()
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

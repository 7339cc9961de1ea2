//! The write-ahead log: how one batch of entries becomes durable.
//!
//! 1. openraft calls [`Log::append`](openraft::storage::RaftLogStorage::append) on the raft
//!    thread. Each entry is encoded into the next batch; its command is encoded already, so the
//!    command's bytes are copied. The entry's offset goes into the segment's index, and the decoded
//!    entry into the tail in memory, from where openraft reads it back.
//! 2. The fsync task takes everything that was queued while its last sync ran: entries, votes,
//!    truncations and purges are one stream. It adds the committed index and an end mark, writes
//!    with one call for each segment, and syncs once.
//! 3. Then it calls the callback of each append. A vote's caller waits, so the vote is on disk
//!    before it is sent.
//! 4. When a segment is full, its end is marked. The next segment is created, preallocated and
//!    synced, with its folder, before it is used. It begins with the vote, the purge mark and the
//!    committed index, so that any segment may be the oldest one.
//! 5. A purge removes whole segments, after the purge mark is durable.
//!
//! The first failed write or sync is the node's failure: the content of the disk is unknown then,
//! so nothing more is written or acknowledged. A record that could not be read back
//! ([`Unwritable`]) is a failure of the node, too, before any part of its batch is written. It
//! would be a fault of this program, since the bound on commands is far lower.

mod content;
mod core;
mod flusher;
mod record;
mod recovery;
mod segments;
mod shared;
mod store;
mod tail;

pub(crate) use record::MAX_BODY_BYTES;
pub use record::Unwritable;
pub use store::{Log, LogStatus};

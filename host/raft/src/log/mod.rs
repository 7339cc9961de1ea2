//! The write-ahead log: how one batch of entries becomes durable.
//!
//! 1. openraft calls [`Log::append`](openraft::storage::RaftLogStorage::append) on the raft
//!    thread. Each entry is encoded once more into the batch that is being collected (its
//!    command's bytes are copied, not encoded again), its place goes into the segment's index,
//!    and the decoded entry into the tail in memory, from where openraft reads it back.
//! 2. The fsync task takes everything that was queued while its last sync ran (entries, votes,
//!    truncations, purges: one stream), adds the committed index and an end mark, writes it with
//!    one call per segment and syncs once.
//! 3. It calls back whoever appended. A vote is awaited by its caller, so it is on disk before
//!    it is given.
//! 4. When a segment is full its end is marked; the next one is made, preallocated and synced,
//!    folder included, before it is used, and begins with the vote, the purge mark and the
//!    committed index, so that any segment may be the oldest one.
//! 5. A purge drops whole segments, after the purge mark is durable.
//!
//! The first error of a write or a sync is the node's failure: what the disk holds after it is
//! unknown, so nothing is written and nothing acknowledged any more. A record that could not be
//! read back ([`Unwritable`]) is the node's failure as well, before any of its batch is written:
//! whoever proposed it has the door's bound to keep, so it is a fault of this program.

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

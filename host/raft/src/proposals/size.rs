//! The greatest size of an operation, and the room that it takes in the queue.

use innkeeper_tree::encoding::OperationSize;

use crate::error::Refusal;

/// What an operation costs in memory beside the bytes of its encoding, about.
const FIXED_BYTES: usize = 128;

/// What each item of its lists costs in memory beside the bytes of its encoding, about: the
/// structs and the texts of their own.
const ITEM_BYTES: usize = 64;

/// About how many bytes an operation takes in memory and in the log: never fewer than its
/// command has.
pub(super) fn room(size: OperationSize) -> u32 {
    let items = size.items.saturating_mul(ITEM_BYTES);
    let all = whole(size)
        .saturating_add(items)
        .saturating_add(FIXED_BYTES);
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// The bytes that count against the bound: those of the command, and those that apply adds when it
/// replaces `auth` entries by the client's identities.
pub(super) fn whole(size: OperationSize) -> usize {
    size.bytes.saturating_add(size.grown_bytes)
}

/// Checks that a command of so many bytes may be proposed.
///
/// This guards the invariant that everything written can be read back. The log's bound on a record
/// is far higher, and a record above that stops the node. With the cfg below everything passes, and
/// a test must fail.
pub(super) fn check(bytes: usize, limit: usize) -> Result<(), Refusal> {
    if cfg!(innkeeper_break = "command-bound") || bytes <= limit {
        return Ok(());
    }
    Err(Refusal::TooLarge { bytes, limit })
}

//! Bytes of what outlives a process: commands in the log and between peers, rows in the
//! checkpoint store and in snapshots.
//!
//! 1. The door encodes a command once with [`encode_command`]; the log and every peer get
//!    these bytes. Each node decodes them with [`decode_command`] and applies the result.
//! 2. A checkpoint encodes what changed with [`rows`], and a restart decodes it.
//!
//! The first byte of each is the version of its form. Released forms never change: the golden
//! bytes in `golden_v1.txt` say so. A new form gets a new version, decoders keep the old ones,
//! and encoders write a new one only from the feature level on at which every member reads it.
//!
//! Invariants:
//! - Decoding is total: no input panics, recurses, or allocates more than a small multiple of
//!   its own length. (tests: `any_bytes_decode_or_are_refused`, `counts_are_not_believed`)
//! - No length is narrower than what it counts, and what is counted beforehand
//!   ([`operation_size`]) is written by the same code. (test: `sizes_are_what_is_written`)
//! - There is one form of each value: what decodes encodes to the same bytes again, but for the
//!   limits of a definition, of which an older release knew fewer. (tests:
//!   `any_bytes_decode_or_are_refused`, `commands_come_back`)
//!
//! Numbers are LEB128 in their shortest form, negative ones zigzag; ids that are random are
//! eight bytes, the least first; texts and data are their length and their bytes; a list is
//! its count and its items; what may be missing is a byte 0, or a byte 1 and the thing.
//!
//! **Invariant:** a released encoding never changes, and neither does the rolling hash: they are
//! on disks. (tests: `version_1_is_what_it_was`, `the_hash_never_changes`)

mod command;
mod primitives;
pub mod rows;
mod transaction;

pub use command::{
    COMMAND_VERSION, OperationSize, decode_command, encode_command, operation_size, transaction_len,
};

/// Why bytes are not what they should be. Whoever meets one has a damaged file or a peer of
/// another version, and stops.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodingError {
    /// A newer process wrote it.
    #[error(
        "the {what} is of version {version}, which this binary does not know; use the newer binary that wrote it"
    )]
    UnknownVersion {
        /// Of what.
        what: &'static str,
        /// Which.
        version: u8,
    },
    /// A tag that has no meaning.
    #[error("the {what} has the unknown tag {tag}; the bytes are damaged or from a newer binary")]
    UnknownTag {
        /// Of what.
        what: &'static str,
        /// Which.
        tag: u64,
    },
    /// The bytes end too early.
    #[error("the bytes end within the {what}; they are damaged")]
    Truncated {
        /// Within what.
        what: &'static str,
    },
    /// The bytes go on after the end.
    #[error("{count} bytes follow the end of the {what}; they are damaged")]
    Trailing {
        /// After what.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// A number, a text or a list that cannot be.
    #[error("the {what} is not valid; the bytes are damaged")]
    Invalid {
        /// What.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests;

//! The encoded form of everything that outlives a process: commands in the log and between peers,
//! records in the checkpoint store and in snapshots.
//!
//! 1. The leader encodes a command once with [`encode_command`]. The log and all peers get these
//!    bytes. Each node decodes them with [`decode_command`] and applies the command.
//! 2. A checkpoint encodes the changed records with [`rows`], and a restart decodes them.
//!
//! The first byte is the version of the form. A released form never changes, which the golden bytes
//! in `golden_v1.txt` prove. A new form gets a new version. Decoders keep reading the old versions;
//! encoders write a new version only at a feature level at which every member can read it.
//!
//! Invariants:
//! - Decoding is total: no input panics, recurses, or allocates more than a small multiple of
//!   its own length. (tests: `any_bytes_decode_or_are_refused`, `counts_are_not_believed`)
//! - Each length field is wide enough for every length, and the size of an operation
//!   ([`operation_size`]) is counted by the code that writes it.
//!   (test: `sizes_are_what_is_written`)
//! - Each value has one form: encoding a decoded value gives the same bytes. The exception is the
//!   limits of a definition, because an older release had fewer of them. (tests:
//!   `any_bytes_decode_or_are_refused`, `commands_come_back`)
//! - A released encoding never changes, and neither does the rolling hash, because they are on
//!   disks. (tests: `version_1_is_what_it_was`, `the_hash_never_changes`)
//!
//! Numbers are LEB128 in their shortest form, signed numbers zigzag. Random ids are eight bytes,
//! little-endian. Texts and data are a length and bytes. A list is a count and its items. An
//! optional value is a byte 0, or a byte 1 and the value.

mod command;
mod group;
mod primitives;
pub mod rows;
mod size;
mod transaction;
mod write;

pub use command::{COMMAND_VERSION, decode_command, encode_command};
pub use size::{OperationSize, operation_size, transaction_len};

/// Why bytes cannot be decoded: they are damaged, or another version has written them. The node
/// stops.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodingError {
    /// A newer version has written the bytes.
    #[error(
        "the {what} is of version {version}, which this binary does not know; use the newer binary that wrote it"
    )]
    UnknownVersion {
        /// The kind of value.
        what: &'static str,
        /// The unknown version.
        version: u8,
    },
    /// A tag that has no meaning.
    #[error("the {what} has the unknown tag {tag}; the bytes are damaged or from a newer binary")]
    UnknownTag {
        /// The kind of value.
        what: &'static str,
        /// The unknown tag.
        tag: u64,
    },
    /// The bytes end too early.
    #[error("the bytes end within the {what}; they are damaged")]
    Truncated {
        /// The kind of value.
        what: &'static str,
    },
    /// More bytes follow after the end of the value.
    #[error("{count} bytes follow the end of the {what}; they are damaged")]
    Trailing {
        /// The kind of value.
        what: &'static str,
        /// The number of bytes that follow.
        count: usize,
    },
    /// A number, a text or a list is not valid.
    #[error("the {what} is not valid; the bytes are damaged")]
    Invalid {
        /// The kind of value.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests;

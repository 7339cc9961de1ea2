//! A batch of commands that is being put together.

use bytes::Bytes;
use innkeeper_tree::{Command, Operation, Zxid, encoding};

use super::intake::Holder;
use super::size;
use crate::error::Refusal;

/// A batch that is being put together.
///
/// Invariant: no command in it is longer than `command_bytes_max`.
pub(super) struct Batch {
    time_ms: u64,
    command_bytes_max: usize,
    pub(super) first_zxid: Zxid,
    pub(super) commands: Vec<Command>,
    holders: Vec<Holder>,
    encoded: Vec<u8>,
    ends: Vec<usize>,
    /// How many of the commands are in the footprints.
    pub(super) indexed: usize,
}

/// A command of a batch, with whose it is.
pub(super) struct Stamped {
    pub(super) command: Command,
    pub(super) encoded: Bytes,
    pub(super) holder: Holder,
}

impl Batch {
    pub(super) fn new(time_ms: u64, first_zxid: Zxid, command_bytes_max: usize) -> Self {
        Self {
            time_ms,
            command_bytes_max,
            first_zxid,
            commands: Vec::new(),
            holders: Vec::new(),
            encoded: Vec::new(),
            ends: Vec::new(),
            indexed: 0,
        }
    }

    /// Encodes an operation into the batch, or gives it back if its exact length is above the bound.
    /// One of another node passes: that node has checked it against its own bound.
    pub(super) fn push(
        &mut self,
        operation: Operation,
        holder: Holder,
    ) -> Option<(Operation, Refusal)> {
        let start = self.encoded.len();
        let command = Command {
            time_ms: self.time_ms,
            operation,
        };
        encoding::encode_command(&command, &mut self.encoded);
        let bytes = self.encoded.len() - start;
        if let (Err(refusal), Holder::Own(_)) =
            (size::check(bytes, self.command_bytes_max), &holder)
        {
            self.encoded.truncate(start);
            return Some((command.operation, refusal));
        }
        self.ends.push(self.encoded.len());
        self.commands.push(command);
        self.holders.push(holder);
        None
    }

    /// The commands in order. Their encodings share one buffer.
    pub(super) fn into_stamped(self) -> impl Iterator<Item = Stamped> {
        let encoded = Bytes::from(self.encoded);
        let mut start = 0;
        let parts = self.commands.into_iter().zip(self.ends).zip(self.holders);
        parts.map(move |((command, end), holder)| {
            let bytes = encoded.slice(start..end);
            start = end;
            Stamped {
                command,
                encoded: bytes,
                holder,
            }
        })
    }
}

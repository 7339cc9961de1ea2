//! How long a command is in the log, before it is encoded.

use super::command::{COMMAND_VERSION, put_operation, put_transaction_operation};
use super::primitives::{Count, Sink, put_u64};
use crate::Ticket;
use crate::acl;
use crate::command::{Operation, SessionRequest, WriteOp};
use crate::transaction::Transaction;

/// The size of an operation's command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationSize {
    /// The greatest number of bytes that [`encode_command`] appends for the command, for any time:
    /// the time takes at most ten bytes, and six until 2109.
    ///
    /// [`encode_command`]: super::encode_command
    pub bytes: usize,
    /// The number of items in all lists (operations, reads, acknowledgements, identities, entries
    /// of ACLs), because each needs memory beside its bytes.
    pub items: usize,
    /// The greatest number of bytes by which apply makes the command's ACLs longer.
    pub grown_bytes: usize,
}

/// The size of an operation's command. It visits the fields and neither copies nor allocates.
pub fn operation_size(operation: &Operation) -> OperationSize {
    OperationSize {
        grown_bytes: grown_bytes(operation),
        ..size_of(|out| put_operation(out, operation))
    }
}

fn grown_bytes(operation: &Operation) -> usize {
    let (identities, write) = match operation {
        Operation::Session {
            request: SessionRequest::Write {
                identities, write, ..
            },
            ..
        }
        | Operation::Admin {
            identities, write, ..
        } => (identities, write),
        _ => return 0,
    };
    let lists = write
        .operations()
        .iter()
        .filter_map(|operation| match operation {
            WriteOp::Create { acl, .. } | WriteOp::SetAcl { acl, .. } => Some(acl),
            _ => None,
        });
    lists.map(|list| acl::growth(list, identities)).sum()
}

/// The greatest number of bytes that the command of a guest's transaction has in the log. A node
/// compares it with the bound on commands.
pub fn transaction_len(transaction: &Transaction) -> usize {
    size_of(|out| put_transaction_operation(out, Ticket(0), transaction)).bytes
}

fn size_of(put: impl FnOnce(&mut Count)) -> OperationSize {
    let mut count = Count::default();
    count.put_u8(COMMAND_VERSION);
    put_u64(&mut count, u64::MAX);
    put(&mut count);
    OperationSize {
        bytes: count.bytes,
        items: count.items,
        grown_bytes: 0,
    }
}

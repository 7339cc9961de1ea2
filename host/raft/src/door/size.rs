//! How much room an operation takes at the door.

use innkeeper_tree::Operation;
use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::transaction::GuestWrite;

/// About how many bytes an operation takes in memory and in the log.
pub(super) fn of(operation: &Operation) -> u32 {
    const FIXED: usize = 128;
    fn op(op: &WriteOp) -> usize {
        64 + match op {
            WriteOp::Create {
                path, data, acl, ..
            } => path.len() + data.as_ref().map_or(0, bytes::Bytes::len) + 64 * acl.len(),
            WriteOp::SetData { path, data, .. } => {
                path.len() + data.as_ref().map_or(0, bytes::Bytes::len)
            }
            WriteOp::SetAcl { path, acl, .. } => path.len() + 64 * acl.len(),
            WriteOp::Delete { path, .. }
            | WriteOp::Check { path, .. }
            | WriteOp::DeleteContainer { path }
            | WriteOp::Refused { path, .. } => path.len(),
        }
    }
    fn of_write(write: &Write) -> usize {
        match write {
            Write::Single(one) => op(one),
            Write::Multi(ops) => ops.iter().map(op).sum(),
        }
    }
    let varying = match operation {
        Operation::Session {
            request: SessionRequest::Write { write, .. },
            ..
        }
        | Operation::Admin { write, .. } => of_write(write),
        Operation::Transaction { transaction, .. } => {
            let reads = 96 * (transaction.reads.len() + transaction.acks.len());
            let writes = transaction.writes.iter().map(|write| match write {
                GuestWrite::Create { path, data, .. } | GuestWrite::Set { path, data } => {
                    128 + path.len() + data.as_ref().map_or(0, bytes::Bytes::len)
                }
                GuestWrite::Delete { path } => 64 + path.len(),
            });
            reads + writes.sum::<usize>()
        }
        Operation::Sweep(sweep) => sweep.path.len(),
        _ => 0,
    };
    u32::try_from(FIXED + varying).unwrap_or(u32::MAX)
}

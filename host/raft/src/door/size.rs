//! How much room an operation takes at the door.

use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::transaction::GuestWrite;
use innkeeper_tree::{Identity, Operation};

/// About how many bytes an operation takes in memory and in the log.
pub(super) fn of(operation: &Operation) -> u32 {
    const FIXED: usize = 128;
    fn of_identities(identities: &[Identity]) -> usize {
        let one = |identity: &Identity| 64 + identity.scheme.len() + identity.id.len();
        identities.iter().map(one).sum()
    }
    fn op(op: &WriteOp) -> usize {
        64 + match op {
            WriteOp::Create {
                path, data, acl, ..
            } => {
                path.len()
                    + data.as_ref().map_or(0, bytes::Bytes::len)
                    + acl
                        .iter()
                        .map(|entry| 64 + entry.scheme.len() + entry.id.len())
                        .sum::<usize>()
            }
            WriteOp::SetData { path, data, .. } => {
                path.len() + data.as_ref().map_or(0, bytes::Bytes::len)
            }
            WriteOp::SetAcl { path, acl, .. } => {
                path.len()
                    + acl
                        .iter()
                        .map(|entry| 64 + entry.scheme.len() + entry.id.len())
                        .sum::<usize>()
            }
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
            request: SessionRequest::Write {
                write, identities, ..
            },
            ..
        }
        | Operation::Admin {
            write, identities, ..
        } => of_write(write) + of_identities(identities),
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

//! What an operation may write and what a transaction reads, as hashed keys.
//!
//! The door compares them to refuse a transaction that a proposal in flight has doomed. A key
//! stands for one thing that a read can be of: a znode's data or existence, its ACL, its child
//! list, the subtree below it, a session, a binding's activation, one entry of a binding's
//! queue. Two things that share a hash only cost a needless retry; apply's own check remains the
//! proof.

use std::hash::{Hash, Hasher};

use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::transaction::{Ack, GuestWrite, Read};
use innkeeper_tree::{Operation, SessionId, Transaction, View, Zxid};
use rustc_hash::FxHasher;

/// A hashed key.
pub(crate) type Key = u64;

#[derive(Hash)]
enum Thing<'a> {
    Node(&'a str),
    Acl(&'a str),
    Children(&'a str),
    Subtree(&'a str),
    Session(SessionId),
    Binding(&'a str),
    Queued(&'a str, &'a str),
}

fn key(thing: Thing<'_>) -> Key {
    let mut hasher = FxHasher::default();
    thing.hash(&mut hasher);
    hasher.finish()
}

/// `path` and all paths above it, the root included.
fn upwards(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let current = next?;
        next = parent(current);
        Some(current)
    })
}

fn parent(path: &str) -> Option<&str> {
    match path.rfind('/') {
        Some(0) if path.len() > 1 => Some("/"),
        Some(0) | None => None,
        Some(slash) => Some(&path[..slash]),
    }
}

fn touch(path: &str, put: &mut impl FnMut(Key)) {
    for above in upwards(path) {
        put(key(Thing::Subtree(above)));
    }
}

fn create(path: &str, sequential: bool, put: &mut impl FnMut(Key)) {
    // The name of a sequential znode is known only in apply; its parent's child list covers it.
    if !sequential {
        put(key(Thing::Node(path)));
        put(key(Thing::Acl(path)));
    }
    if let Some(parent) = parent(path) {
        put(key(Thing::Children(parent)));
        touch(parent, put);
    }
    touch(path, put);
}

fn delete(path: &str, put: &mut impl FnMut(Key)) {
    put(key(Thing::Node(path)));
    put(key(Thing::Acl(path)));
    put(key(Thing::Children(path)));
    if let Some(parent) = parent(path) {
        put(key(Thing::Children(parent)));
    }
    if let Some(name) = path.strip_prefix(BINDINGS) {
        put(key(Thing::Binding(name)));
    }
    touch(path, put);
}

/// Below it stand the bindings' documents; deleting one ends its activation.
const BINDINGS: &str = "/innkeeper/bindings/";

fn write_op(op: &WriteOp, put: &mut impl FnMut(Key)) {
    match op {
        WriteOp::Create { path, mode, .. } => create(path, mode.is_sequential(), put),
        WriteOp::Delete { path, .. } => delete(path, put),
        WriteOp::SetData { path, .. } => {
            put(key(Thing::Node(path)));
            touch(path, put);
        }
        WriteOp::SetAcl { path, .. } => {
            put(key(Thing::Acl(path)));
            touch(path, put);
        }
        WriteOp::Check { .. } => {}
    }
}

fn write(write: &Write, put: &mut impl FnMut(Key)) {
    match write {
        Write::Single(op) => write_op(op, put),
        Write::Multi(ops) => ops.iter().for_each(|op| write_op(op, put)),
    }
}

fn end_of_session(session: SessionId, view: &View, put: &mut impl FnMut(Key)) {
    put(key(Thing::Session(session)));
    for path in view.ephemerals(session) {
        delete(&path, put);
    }
}

/// Puts everything that `operation` may write. `view` tells a session's ephemerals.
pub(crate) fn writes(operation: &Operation, view: &View, put: &mut impl FnMut(Key)) {
    match operation {
        Operation::CreateSession { .. }
        | Operation::Reattach { .. }
        | Operation::RegisterModule { .. }
        | Operation::RaiseLevel { .. } => {}
        Operation::Session {
            session, request, ..
        } => match request {
            SessionRequest::Write { write: what, .. } => write(what, put),
            SessionRequest::Close => end_of_session(*session, view, put),
        },
        Operation::ExpireSession { session, .. } => end_of_session(*session, view, put),
        Operation::Admin { write: what, .. } => write(what, put),
        Operation::Transaction { transaction, .. } => transaction_writes(transaction, put),
        Operation::Activate { binding, .. } => put(key(Thing::Binding(binding))),
    }
}

fn transaction_writes(transaction: &Transaction, put: &mut impl FnMut(Key)) {
    for each in &transaction.writes {
        match each {
            GuestWrite::Create { path, .. } => create(path, false, put),
            GuestWrite::Set { path, .. } => {
                put(key(Thing::Node(path)));
                touch(path, put);
            }
            GuestWrite::Delete { path } => delete(path, put),
        }
    }
    for ack in &transaction.acks {
        put(acked(&transaction.binding, ack));
    }
}

fn acked(binding: &str, ack: &Ack) -> Key {
    match ack {
        Ack::Path { path, .. } => key(Thing::Queued(binding, path)),
        Ack::Resync(_) => key(Thing::Queued(binding, "")),
    }
}

/// Puts everything that `transaction` read, with the newest zxid at which it may have changed
/// without harm: zero where any change harms.
pub(crate) fn reads(transaction: &Transaction, put: &mut impl FnMut(Key, Zxid)) {
    const ANY: Zxid = Zxid(0);
    put(
        key(Thing::Binding(&transaction.binding)),
        transaction.activation,
    );
    for (name, activation) in &transaction.called {
        put(key(Thing::Binding(name)), *activation);
    }
    for read in &transaction.reads {
        match read {
            Read::Node { path, mzxid } => put(key(Thing::Node(path)), *mzxid),
            Read::Acl { path, czxid, .. } => put(key(Thing::Acl(path)), *czxid),
            Read::Children { path, pzxid } => put(key(Thing::Children(path)), *pzxid),
            Read::Absent { path } => put(key(Thing::Node(path)), ANY),
            Read::Subtree { path, seen } => put(key(Thing::Subtree(path)), *seen),
            Read::Session(session) => put(key(Thing::Session(*session)), ANY),
        }
    }
    for ack in &transaction.acks {
        put(acked(&transaction.binding, ack), ANY);
    }
}

/// The paths that an operation names for writing, for the test whether it writes a policy.
pub(crate) fn paths(operation: &Operation, each: &mut impl FnMut(&str)) {
    let mut of_write = |write: &Write| {
        let ops = match write {
            Write::Single(op) => std::slice::from_ref(op),
            Write::Multi(ops) => ops,
        };
        for op in ops {
            match op {
                WriteOp::Create { path, .. }
                | WriteOp::Delete { path, .. }
                | WriteOp::SetData { path, .. }
                | WriteOp::SetAcl { path, .. } => each(path),
                WriteOp::Check { .. } => {}
            }
        }
    };
    match operation {
        Operation::Session {
            request: SessionRequest::Write { write, .. },
            ..
        }
        | Operation::Admin { write, .. } => of_write(write),
        Operation::Transaction { transaction, .. } => {
            for write in &transaction.writes {
                match write {
                    GuestWrite::Create { path, .. }
                    | GuestWrite::Set { path, .. }
                    | GuestWrite::Delete { path } => each(path),
                }
            }
        }
        _ => {}
    }
}

/// About how many bytes an operation takes in memory and in the log.
pub(crate) fn size(operation: &Operation) -> u32 {
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
            WriteOp::Delete { path, .. } | WriteOp::Check { path, .. } => path.len(),
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
        _ => 0,
    };
    u32::try_from(FIXED + varying).unwrap_or(u32::MAX)
}

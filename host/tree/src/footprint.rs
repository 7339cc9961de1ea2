//! Footprints: what an operation may write and what a transaction has read, as keys of eight bytes.
//! With them the leader sees, before it appends a guest's transaction to the log, that an operation
//! in flight will make it fail. In flight means proposed and not yet applied.
//!
//! 1. The leader predicts an operation's zxid and calls [`InFlight::admit`], which keeps a key for
//!    each thing that the operation may write.
//! 2. Before a transaction is appended, [`InFlight::doomed`] looks up its reads. If an operation
//!    in flight may write one of them, the transaction would conflict.
//! 3. [`InFlight::applied`] forgets the operations that are applied. Guests that run from then on
//!    see their effects in the view.
//!
//! The footprints are an estimate; the check in apply decides. The estimate has three errors:
//! - It assumes that each operation in flight succeeds and is not undone by a later one. If that
//!   is wrong, a transaction is refused that could have committed, and its guest runs again on a
//!   newer view.
//! - It does not know the names of sequential znodes or the ephemerals of a session, nor, before
//!   the first transaction that read a subtree, the changes below a znode. Apply refuses the
//!   transactions that conflict with those.
//! - Two things can have one key. The keys depend on a random seed, so no client can cause that on
//!   purpose.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::applied::Conflict;
use crate::command::{Operation, SessionRequest, Write, WriteOp};
use crate::transaction::{Ack, GuestWrite, Read, Transaction};
use crate::{Zxid, binding, path};

/// After a transaction that read a subtree, the next so many commands keep a key for each ancestor
/// of the znodes that they write.
const SUBTREE_INTEREST: u64 = 100_000;

/// The kind of change that a key stands for.
#[derive(Clone, Copy)]
enum Of {
    /// A znode's data is set, or the znode is deleted.
    Changed = 1,
    /// A znode is created.
    Created,
    /// A znode's ACL is set, or the znode is deleted.
    Acl,
    /// A child is created or deleted, or the znode itself is deleted.
    Children,
    /// A znode at or below the path is changed.
    Subtree,
    /// A session ends.
    Session,
    /// A binding is activated or deleted.
    Binding,
    /// An entry of a queue is acknowledged.
    Ack,
}

/// Makes keys under a seed.
#[derive(Clone, Copy)]
struct Keys {
    seed: u64,
}

const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl Keys {
    fn key(hash: u64, of: Of) -> u64 {
        let mut key = hash ^ (of as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        key = (key ^ key >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
        key ^ key >> 29
    }

    fn step(hash: u64, byte: u8) -> u64 {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    }

    fn text(self, text: &str) -> u64 {
        text.bytes().fold(self.seed, Self::step)
    }

    fn number(hash: u64, number: u64) -> u64 {
        number.to_le_bytes().into_iter().fold(hash, Self::step)
    }

    fn of(self, of: Of, text: &str) -> u64 {
        Self::key(self.text(text), of)
    }

    fn session(self, session: u64) -> u64 {
        Self::key(Self::number(self.seed, session), Of::Session)
    }

    fn ack(self, binding: &str, ack: &Ack) -> u64 {
        // A zero byte ends the name; the resync has no path.
        let mut hash = Self::step(self.text(binding), 0);
        let zxid = match ack {
            Ack::Path { path, zxid } => {
                hash = path.bytes().fold(hash, Self::step);
                zxid
            }
            Ack::Resync(zxid) => zxid,
        };
        Self::key(Self::number(hash, zxid.0), Of::Ack)
    }

    /// The keys of the subtrees of a path and of all its ancestors, in one pass.
    fn subtrees(self, path: &str, emit: &mut impl FnMut(u64)) {
        let mut hash = self.seed;
        for (at, byte) in path.bytes().enumerate() {
            if byte == b'/' && at > 0 {
                emit(Self::key(hash, Of::Subtree));
            }
            hash = Self::step(hash, byte);
            if at == 0 && path.len() > 1 {
                emit(Self::key(hash, Of::Subtree));
            }
        }
        emit(Self::key(hash, Of::Subtree));
    }

    /// The keys of all that an operation may write; those of subtrees only if wanted.
    fn writes(self, operation: &Operation, subtrees: bool, emit: &mut impl FnMut(u64)) {
        match operation {
            Operation::Session {
                session, request, ..
            } => match request {
                SessionRequest::Write { write, .. } => self.write(write, subtrees, emit),
                SessionRequest::Close => emit(self.session(session.0)),
            },
            Operation::Admin { write, .. } => self.write(write, subtrees, emit),
            Operation::ExpireSession { session, .. } => emit(self.session(session.0)),
            Operation::Transaction { transaction, .. } => {
                for write in &transaction.writes {
                    match write {
                        GuestWrite::Create { path, .. } => self.created(path, subtrees, emit),
                        GuestWrite::Set { path, .. } => self.set(Of::Changed, path, subtrees, emit),
                        GuestWrite::Delete { path } => self.deleted(path, subtrees, emit),
                    }
                }
                for ack in &transaction.acks {
                    emit(self.ack(&transaction.binding, ack));
                }
            }
            Operation::Activate { binding, .. } => emit(self.of(Of::Binding, binding)),
            Operation::Sweep(sweep) => self.deleted(&sweep.path, subtrees, emit),
            // No transaction can have read a session that is created or reattached, a module that
            // is registered, the level, or the group.
            Operation::CreateSession { .. }
            | Operation::Reattach { .. }
            | Operation::RegisterModule { .. }
            | Operation::RaiseLevel { .. }
            | Operation::Group(_) => {}
        }
    }

    fn write(self, write: &Write, subtrees: bool, emit: &mut impl FnMut(u64)) {
        let ops = match write {
            Write::Single(op) => std::slice::from_ref(op),
            Write::Multi(ops) => ops,
        };
        for op in ops {
            match op {
                WriteOp::Create { path, mode, .. } if mode.is_sequential() => {
                    let parent = path::parent(path);
                    emit(self.of(Of::Children, parent));
                    if subtrees {
                        self.subtrees(parent, emit);
                    }
                }
                WriteOp::Create { path, .. } => self.created(path, subtrees, emit),
                WriteOp::Delete { path, .. } | WriteOp::DeleteContainer { path } => {
                    self.deleted(path, subtrees, emit);
                }
                WriteOp::SetData { path, .. } => self.set(Of::Changed, path, subtrees, emit),
                WriteOp::SetAcl { path, .. } => self.set(Of::Acl, path, subtrees, emit),
                WriteOp::Check { .. } | WriteOp::Refused { .. } => {}
            }
        }
    }

    fn created(self, path: &str, subtrees: bool, emit: &mut impl FnMut(u64)) {
        emit(self.of(Of::Children, path::parent(path)));
        self.set(Of::Created, path, subtrees, emit);
    }

    fn deleted(self, path: &str, subtrees: bool, emit: &mut impl FnMut(u64)) {
        if let Some(binding) = binding::name_of(path) {
            emit(self.of(Of::Binding, binding));
        }
        emit(self.of(Of::Children, path::parent(path)));
        emit(self.of(Of::Children, path));
        emit(self.of(Of::Acl, path));
        self.set(Of::Changed, path, subtrees, emit);
    }

    fn set(self, of: Of, path: &str, subtrees: bool, emit: &mut impl FnMut(u64)) {
        emit(self.of(of, path));
        if subtrees {
            self.subtrees(path, emit);
        }
    }

    /// Visits the keys of all that a transaction depends on, with the conflict that apply would
    /// answer, until the visitor returns true.
    fn reads(
        self,
        transaction: &Transaction,
        visitor: &mut dyn FnMut(u64, &dyn Fn() -> Conflict) -> bool,
    ) -> bool {
        let binding = self.of(Of::Binding, &transaction.binding);
        if visitor(binding, &|| Conflict::Activation) {
            return true;
        }
        for read in &transaction.reads {
            let (of, path) = match read {
                Read::Node { path, .. } => (Of::Changed, path),
                Read::Acl { path, .. } => (Of::Acl, path),
                Read::Children { path, .. } => (Of::Children, path),
                Read::Absent { path } => (Of::Created, path),
                Read::Subtree { path, .. } => (Of::Subtree, path),
                Read::Session(session) => {
                    if visitor(self.session(session.0), &|| Conflict::Session(*session)) {
                        return true;
                    }
                    continue;
                }
            };
            if visitor(self.of(of, path), &|| Conflict::Path(path.clone())) {
                return true;
            }
        }
        for ack in &transaction.acks {
            if visitor(self.ack(&transaction.binding, ack), &|| Conflict::Ack) {
                return true;
            }
        }
        for (name, _) in &transaction.called {
            let conflict = || Conflict::Assignor(name.clone());
            if visitor(self.of(Of::Binding, name), &conflict) {
                return true;
            }
        }
        false
    }
}

fn reads_a_subtree(transaction: &Transaction) -> bool {
    let is_subtree = |read: &Read| matches!(read, Read::Subtree { .. });
    transaction.reads.iter().any(is_subtree)
}

/// The operations that are proposed and not yet applied here, by the keys of what they may write.
///
/// Invariants:
/// - `order` ascends by zxid and holds every key that `last` holds under the same zxid.
/// - Both are bounded by the bounds on proposals in flight: four keys for each write, and one for
///   each ancestor while a subtree was read lately.
pub struct InFlight {
    keys: Keys,
    /// For each key the last operation in flight that may write the thing.
    last: FxHashMap<u64, Zxid>,
    order: VecDeque<(Zxid, u64)>,
    admitted: Zxid,
    /// Operations up to this zxid keep keys of subtrees, too.
    subtrees_until: Zxid,
}

/// The keys of a transaction's reads.
pub struct ReadKeys {
    keys: FxHashSet<u64>,
    subtrees: bool,
}

impl InFlight {
    /// Nothing is in flight. The seed must be random and differ from node to node.
    pub fn new(seed: u64) -> Self {
        Self {
            keys: Keys { seed },
            last: FxHashMap::default(),
            order: VecDeque::new(),
            admitted: Zxid(0),
            subtrees_until: Zxid(0),
        }
    }

    /// Nothing more is in flight: the leader's term has ended.
    pub fn clear(&mut self) {
        self.last.clear();
        self.order.clear();
    }

    /// How many keys are kept.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Is nothing in flight that a transaction could have read?
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// An operation goes into the log and will be applied as `zxid`.
    pub fn admit(&mut self, zxid: Zxid, operation: &Operation) {
        self.admitted = zxid;
        let (last, order) = (&mut self.last, &mut self.order);
        let subtrees = zxid <= self.subtrees_until;
        self.keys.writes(operation, subtrees, &mut |key| {
            // A multi under one parent marks it once.
            if last.insert(key, zxid) != Some(zxid) {
                order.push_back((zxid, key));
            }
        });
    }

    /// Everything up to `zxid` has been applied and published.
    pub fn applied(&mut self, zxid: Zxid) {
        while let Some((of, key)) = self.order.front()
            && *of <= zxid
        {
            if self.last.get(key) == Some(of) {
                self.last.remove(key);
            }
            self.order.pop_front();
        }
    }

    /// The conflict that a transaction would get in apply if all operations in flight succeed.
    pub fn doomed(&mut self, transaction: &Transaction) -> Option<Conflict> {
        if reads_a_subtree(transaction) {
            self.subtrees_until = Zxid(self.admitted.0.saturating_add(SUBTREE_INTEREST));
        }
        if self.last.is_empty() {
            return None;
        }
        let mut found = None;
        self.keys.reads(transaction, &mut |key, conflict| {
            if self.last.contains_key(&key) {
                found = Some(conflict());
            }
            found.is_some()
        });
        found
    }

    /// The keys of a transaction's reads, so that other proposals can be held back for it.
    pub fn read_keys(&self, transaction: &Transaction) -> ReadKeys {
        let mut keys = FxHashSet::default();
        self.keys.reads(transaction, &mut |key, _| {
            keys.insert(key);
            false
        });
        ReadKeys {
            keys,
            subtrees: reads_a_subtree(transaction),
        }
    }

    /// May the operation write one of the things that were read?
    pub fn writes_any(&self, operation: &Operation, read: &ReadKeys) -> bool {
        let mut found = false;
        self.keys.writes(operation, read.subtrees, &mut |key| {
            found |= read.keys.contains(&key);
        });
        found
    }
}

#[cfg(test)]
mod tests;

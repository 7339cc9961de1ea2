//! What the log carries. A [`Command`] holds everything nondeterministic: who asks, random
//! bytes, the time (stamped by the leader's door, once per batch).
//!
//! 1. A node makes the [`Operation`] out of a client's request, a guest's transaction or an
//!    admin's order.
//! 2. The door stamps the time and appends the command's bytes (`encoding`) to the log.
//! 3. Every node applies it with [`crate::Tree::apply`].

use bytes::Bytes;
use innkeeper_proto::{Acl, CreateMode, ErrorCode};

use crate::ids::{Digest, SessionId, Ticket};
use crate::transaction::Transaction;
use crate::{World, Zxid};

/// Every node takes a command of so many bytes, as `encoding` writes it; what is longer, a node
/// may refuse before it is proposed.
pub const COMMAND_BYTES_LEAST: usize = 16 << 20;

/// One entry of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Command {
    /// The leader's wall clock when the batch was stamped, in milliseconds since 1970;
    /// apply uses the greatest stamp it has seen.
    pub time_ms: u64,
    /// What to do.
    pub operation: Operation,
}

/// Everything that can be replicated.
#[derive(Clone, PartialEq, Debug)]
pub enum Operation {
    /// A client's first connect.
    CreateSession {
        /// Who waits for it.
        ticket: Ticket,
        /// Chosen by the serving node: its id in the top byte, the rest random.
        session: SessionId,
        /// Random, given to the client; a reattach must name it.
        password: [u8; 16],
        /// Already negotiated, in milliseconds.
        timeout_ms: u32,
        /// Refuses ephemerals until it is upgraded (ZooKeeper's `localSessionsEnabled`).
        local: bool,
    },
    /// A client comes back with its session's id and password, on whatever node.
    Reattach {
        /// Who waits for it.
        ticket: Ticket,
        /// The session to take over.
        session: SessionId,
        /// Must equal the session's.
        password: [u8; 16],
        /// Negotiated anew, in milliseconds.
        timeout_ms: u32,
    },
    /// A session's write: numbered, so that a resend after a change of leader is harmless.
    Session {
        /// The session that asks.
        session: SessionId,
        /// The attachment (count of connects) that it asks on.
        attachment: u32,
        /// 1, 2, 3 … on this attachment.
        seq: u64,
        /// What it asks.
        request: SessionRequest,
    },
    /// The leader found a session silent for its timeout. Void if a reattach raised the attachment.
    ExpireSession {
        /// The silent session.
        session: SessionId,
        /// The attachment that was silent.
        attachment: u32,
    },
    /// A request of the admin socket or of HTTP: a client's write outside any session.
    Admin {
        /// Who waits for it.
        ticket: Ticket,
        /// Who asks.
        identities: Vec<Identity>,
        /// What is asked; an ephemeral create is refused, there is no session to hang it on.
        write: Write,
        /// Hard quotas refuse it, and soft ones are reported (ZooKeeper's `enforceQuota`).
        enforce_quota: bool,
    },
    /// A guest's transaction.
    Transaction {
        /// Who waits for it.
        ticket: Ticket,
        /// The transaction.
        transaction: Transaction,
    },
    /// A module's bytes are stored durably by a quorum: its name may be used from here on.
    RegisterModule {
        /// Who waits for it.
        ticket: Ticket,
        /// Its name.
        digest: Digest,
        /// Of the component, in bytes.
        size: u64,
        /// What it exports.
        world: World,
    },
    /// Every serving node has a binding's module compiled: the swap point.
    Activate {
        /// Who waits for it.
        ticket: Ticket,
        /// The binding's name.
        binding: String,
        /// mzxid of the binding's znode whose wish is fulfilled; void if it moved on.
        wish: Zxid,
    },
    /// The leader's sweeper found a container or a znode with a time to live that nobody uses
    /// any more. Void unless the znode is still as it was seen, and without children.
    Sweep(Sweep),
    /// Every member supports the next feature level.
    RaiseLevel {
        /// The level that holds from here on; void unless one above the state's.
        level: u32,
    },
}

/// What a session can ask of the log.
#[derive(Clone, PartialEq, Debug)]
pub enum SessionRequest {
    /// A write, judged by the znodes' ACLs against `identities`.
    Write {
        /// Who asks.
        identities: Vec<Identity>,
        /// The greatest `policy_zxid` among the active authorizers whose paths cover the
        /// request, as the deciding node saw it; zero where none does. Apply compares it
        /// and bounces the write on a difference. `None` when the asker bypasses authorizers
        /// (the super user below `/innkeeper` and on policy paths).
        policy_zxid: Option<Zxid>,
        /// What is asked.
        write: Write,
        /// Hard quotas refuse it, and soft ones are reported (ZooKeeper's `enforceQuota`).
        enforce_quota: bool,
        /// A local session whose write holds an ephemeral create becomes a global one first,
        /// whether the write then succeeds or not (ZooKeeper's `localSessionsUpgradingEnabled`).
        upgrade_local: bool,
    },
    /// The client closes its session; its ephemerals go with it, under one zxid.
    Close,
}

/// An authenticated identity of the one who asks: scheme and id as ACLs name them,
/// e.g. `ip` `10.0.0.7`, `digest` `user:hash`, `super` ``.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// The scheme: `ip`, `digest`, `x509`, `sasl`, `super`, `guest`.
    pub scheme: String,
    /// The id within the scheme.
    pub id: String,
}

/// A znode to be swept, as the sweeper saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sweep {
    /// Of the container or the znode with a time to live.
    pub path: String,
    /// Of its Stat.
    pub mzxid: Zxid,
    /// Of its Stat: no child came or went since.
    pub pzxid: Zxid,
}

/// A client's write.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// One operation.
    Single(WriteOp),
    /// ZooKeeper's multi: all or nothing.
    Multi(Vec<WriteOp>),
}

impl Write {
    /// The operations, in order.
    pub fn operations(&self) -> &[WriteOp] {
        match self {
            Write::Single(operation) => std::slice::from_ref(operation),
            Write::Multi(operations) => operations,
        }
    }

    /// Does it ask for an ephemeral?
    pub fn makes_ephemerals(&self) -> bool {
        let is_ephemeral = |operation: &WriteOp| matches!(operation, WriteOp::Create { mode, .. } if mode.is_ephemeral());
        self.operations().iter().any(is_ephemeral)
    }

    /// The paths that the operations name, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.operations().iter().map(WriteOp::path)
    }
}

impl WriteOp {
    /// The path that it names: of a sequential create, without the number.
    pub fn path(&self) -> &str {
        match self {
            WriteOp::Create { path, .. }
            | WriteOp::Delete { path, .. }
            | WriteOp::SetData { path, .. }
            | WriteOp::SetAcl { path, .. }
            | WriteOp::Check { path, .. }
            | WriteOp::DeleteContainer { path }
            | WriteOp::Refused { path, .. } => path,
        }
    }
}

/// One operation that writes (or, inside a multi, checks).
#[derive(Clone, PartialEq, Debug)]
pub enum WriteOp {
    /// create and create2: what the reply carries is the serving node's matter.
    Create {
        /// Of the new znode (a prefix of it where the mode is sequential).
        path: String,
        /// `None` is null data, which is not empty data.
        data: Option<Bytes>,
        /// As the client sent it; `auth` is expanded in apply.
        acl: Vec<Acl>,
        /// What kind of znode, sequential or not.
        mode: CreateMode,
        /// In milliseconds; 0 unless the mode has a time to live. What is not in
        /// 1..=[`crate::owner::TTL_MAX_MS`] is BadArguments.
        ttl_ms: i64,
    },
    /// Deletes a childless znode.
    Delete {
        /// Of the znode.
        path: String,
        /// Must equal the znode's version; -1 matches any.
        version: i32,
    },
    /// Replaces a znode's data.
    SetData {
        /// Of the znode.
        path: String,
        /// `None` is null data.
        data: Option<Bytes>,
        /// Must equal the znode's version; -1 matches any.
        version: i32,
    },
    /// Replaces a znode's ACL.
    SetAcl {
        /// Of the znode.
        path: String,
        /// As the client sent it.
        acl: Vec<Acl>,
        /// Must equal the znode's aversion; -1 matches any.
        version: i32,
    },
    /// Only inside a multi: fails unless the znode has that version.
    Check {
        /// Of the znode.
        path: String,
        /// Must equal the znode's version; -1 matches any.
        version: i32,
    },
    /// deleteContainer, as a client may send it: what a leader's sweeper sends in ZooKeeper.
    DeleteContainer {
        /// Of the znode.
        path: String,
    },
    /// An operation that the serving node refuses because of a setting of its own, after what
    /// apply would have refused before. In a multi its place tells which operations count as
    /// tried, so it travels with them.
    Refused {
        /// Which the operation named.
        path: String,
        /// Why.
        error: ErrorCode,
    },
}

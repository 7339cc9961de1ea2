//! The entries of the log. A [`Command`] holds everything that differs from node to node: the
//! client's identities, random bytes, and the time.
//!
//! 1. A node makes an [`Operation`] from a client's request, a guest's transaction or an
//!    administrator's request.
//! 2. The leader adds the time, once for a batch, and appends the command's bytes (`encoding`) to
//!    the log.
//! 3. Every node applies it with [`crate::Tree::apply`].

use bytes::Bytes;
use innkeeper_proto::{Acl, CreateMode, ErrorCode};

use crate::group::GroupChange;
use crate::ids::{Digest, SessionId, Ticket};
use crate::transaction::Transaction;
use crate::{World, Zxid};

/// Every node accepts a command of this many encoded bytes. A node may refuse a longer command
/// before it is proposed.
pub const COMMAND_BYTES_LEAST: usize = 16 << 20;

/// One entry of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Command {
    /// The leader's wall clock when it batched the command, in milliseconds since 1970. The clock
    /// may go back; apply uses the greatest time so far.
    pub time_ms: u64,
    /// The change to make.
    pub operation: Operation,
}

/// Every kind of change to the replicated state.
#[derive(Clone, PartialEq, Debug)]
pub enum Operation {
    /// A client's first connect.
    CreateSession {
        /// Names the caller that waits for the result.
        ticket: Ticket,
        /// Chosen by the node that serves the client: the node's id in the top byte, then random
        /// bits.
        session: SessionId,
        /// Random bytes. The client gets them and must show them when it reattaches.
        password: [u8; 16],
        /// The negotiated timeout in milliseconds.
        timeout_ms: u32,
        /// Refuses ephemerals until it is upgraded (ZooKeeper's `localSessionsEnabled`).
        local: bool,
    },
    /// A client connects again with its session's id and password, to any node.
    Reattach {
        /// Names the caller that waits for the result.
        ticket: Ticket,
        /// The session to take over.
        session: SessionId,
        /// Must equal the session's password.
        password: [u8; 16],
        /// The newly negotiated timeout in milliseconds.
        timeout_ms: u32,
    },
    /// A write of a session. It has a number, so that it may be sent again after a change of
    /// leader and is still applied once.
    Session {
        /// The session that sent the request.
        session: SessionId,
        /// The attachment (the session's count of connects) on which the request came.
        attachment: u32,
        /// The request's number on this attachment: 1, 2, 3 …
        seq: u64,
        /// The request.
        request: SessionRequest,
    },
    /// The leader did not hear from a session for its timeout. The command does nothing if the
    /// session was reattached since.
    ExpireSession {
        /// The silent session.
        session: SessionId,
        /// The attachment that was silent.
        attachment: u32,
    },
    /// A write outside any session, from the admin socket or HTTP.
    Admin {
        /// Names the caller that waits for the result.
        ticket: Ticket,
        /// The writer's identities.
        identities: Vec<Identity>,
        /// The write. It cannot create an ephemeral, because no session would own it.
        write: Write,
        /// Whether quotas count: a hard quota refuses the write, a soft one is reported
        /// (ZooKeeper's `enforceQuota`).
        enforce_quota: bool,
    },
    /// A guest's transaction.
    Transaction {
        /// Names the caller that waits for the result.
        ticket: Ticket,
        /// The transaction.
        transaction: Transaction,
    },
    /// A quorum has stored a module's bytes durably. Bindings may name the module from now on.
    RegisterModule {
        /// Names the caller that waits for the result.
        ticket: Ticket,
        /// The module's name: the SHA-256 of its bytes.
        digest: Digest,
        /// The component's size in bytes.
        size: u64,
        /// The world that the module exports.
        world: World,
    },
    /// Every serving node has compiled a binding's module. The module acts from this command on:
    /// this is the point of the log at which modules are swapped.
    Activate {
        /// Names the caller that waits for the result.
        ticket: Ticket,
        /// The binding's name.
        binding: String,
        /// The mzxid of the binding's znode when the module was compiled. The command does nothing
        /// if the znode was set since.
        wish: Zxid,
    },
    /// The leader's sweeper found an unused container, or a znode whose time to live has passed.
    /// The command does nothing if the znode was changed since or has children.
    Sweep(Sweep),
    /// Every member supports the next feature level.
    RaiseLevel {
        /// The level from now on. The command does nothing unless it is one above the present
        /// level.
        level: u32,
    },
    /// The group is founded, or its members change.
    Group(GroupChange),
}

/// The requests of a session that go through the log.
#[derive(Clone, PartialEq, Debug)]
pub enum SessionRequest {
    /// A write. The znodes' ACLs decide, by `identities`, whether it is allowed.
    Write {
        /// The client's identities.
        identities: Vec<Identity>,
        /// The greatest `policy_zxid` of the active authorizers whose paths cover the request, on
        /// the node that asked them; zero if no authorizer covers it. If it is another one when
        /// the command is applied, the write is not run, and the node asks again. `None` if
        /// authorizers do not decide (the super user below `/innkeeper` and on policy paths).
        policy_zxid: Option<Zxid>,
        /// The write.
        write: Write,
        /// Whether quotas count: a hard quota refuses the write, a soft one is reported
        /// (ZooKeeper's `enforceQuota`).
        enforce_quota: bool,
        /// Whether a local session that creates an ephemeral becomes a global session first, even
        /// if the write then fails (ZooKeeper's `localSessionsUpgradingEnabled`).
        upgrade_local: bool,
    },
    /// The client closes its session. The session's ephemerals are deleted under the same zxid.
    Close,
}

/// One authenticated identity of a client, in the terms of ACLs: a scheme and an id, e.g. `ip` and
/// `10.0.0.7`, `digest` and `user:hash`, `super` and nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// The scheme: `ip`, `digest`, `x509`, `sasl`, `super`, `guest`.
    pub scheme: String,
    /// The id within the scheme.
    pub id: String,
}

/// A znode to be swept, and its Stat when the sweeper saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sweep {
    /// The path of the container or of the znode with a time to live.
    pub path: String,
    /// The znode's mzxid: its data was not set since.
    pub mzxid: Zxid,
    /// The znode's pzxid: no child was created or deleted since.
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

    /// Does one of the operations create an ephemeral?
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
    /// The path in the operation; for a sequential create it has no number yet.
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
    /// create or create2. They differ only in the reply, which the serving node writes.
    Create {
        /// The new znode's path; a sequential mode appends a number to it.
        path: String,
        /// The data; `None` is null, which is not the same as no bytes.
        data: Option<Bytes>,
        /// The ACL that the client sent. Apply replaces `auth` entries by the client's identities.
        acl: Vec<Acl>,
        /// Persistent, ephemeral, container or with a time to live; sequential or not.
        mode: CreateMode,
        /// The time to live in milliseconds, from 1 to [`crate::owner::TTL_MAX_MS`]; 0 for a mode
        /// that has none. Other numbers are answered with BadArguments.
        ttl_ms: i64,
    },
    /// Deletes a znode without children.
    Delete {
        /// The znode's path.
        path: String,
        /// Must equal the znode's version; -1 matches any.
        version: i32,
    },
    /// Replaces a znode's data.
    SetData {
        /// The znode's path.
        path: String,
        /// The new data; `None` is null.
        data: Option<Bytes>,
        /// Must equal the znode's version; -1 matches any.
        version: i32,
    },
    /// Replaces a znode's ACL.
    SetAcl {
        /// The znode's path.
        path: String,
        /// The ACL that the client sent.
        acl: Vec<Acl>,
        /// Must equal the znode's aversion; -1 matches any.
        version: i32,
    },
    /// Only inside a multi: fails unless the znode has this version.
    Check {
        /// The znode's path.
        path: String,
        /// Must equal the znode's version; -1 matches any.
        version: i32,
    },
    /// deleteContainer. In ZooKeeper the leader sends it, but a client may send it, too.
    DeleteContainer {
        /// The znode's path.
        path: String,
    },
    /// An operation that the serving node refuses because of its own settings. It is in the log
    /// because of its place in a multi: if an operation before it fails, the client must hear of
    /// that failure and not of this one.
    Refused {
        /// The path in the operation.
        path: String,
        /// The error for the client.
        error: ErrorCode,
    },
}

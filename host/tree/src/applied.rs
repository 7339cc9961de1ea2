//! The effects of one command: the reply, the watch events, and the guests to wake.

use std::sync::Arc;

use innkeeper_proto::{ErrorCode, EventType, Stat};

use crate::Zxid;
use crate::acl::AclRef;
use crate::ids::{SessionId, Ticket};

/// The effects of one command.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    /// The command's zxid.
    pub zxid: Zxid,
    /// The state's time after the command, in milliseconds since 1970.
    pub time_ms: u64,
    /// The result, and the caller that waits for it.
    pub outcome: Outcome,
    /// The watch events, in ZooKeeper's order.
    pub events: Vec<Event>,
    /// The names of the bindings whose queues got events. The dispatcher wakes them.
    pub queued: Vec<Arc<str>>,
    /// The names of the bindings that were created, changed, activated or deleted.
    pub bindings: Vec<Arc<str>>,
    /// The names of the bindings whose events were dropped, because they were caused by a longer
    /// chain of reactions than [`MAX_CASCADE_DEPTH`](crate::queue::MAX_CASCADE_DEPTH) allows. They
    /// are reported to people; nothing in the state depends on them.
    pub cut: Vec<Arc<str>>,
    /// The sessions that the command ended. The nodes close their connections.
    pub ended: Vec<SessionId>,
    /// The limits that the command exceeded, or would have exceeded, for the node's log. Empty
    /// unless the command says that quotas count.
    pub over_quota: Vec<OverQuota>,
}

/// A limit of a quota that a write exceeds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OverQuota {
    /// The root of the subtree that has the quota.
    pub path: Arc<str>,
    /// What the limit counts.
    pub of: Quantity,
    /// The number of znodes or bytes after the write.
    pub wanted: i64,
    /// The greatest allowed number of znodes or bytes.
    pub limit: i64,
    /// Was the write refused? A soft limit is only reported.
    pub hard: bool,
}

/// The things that a quota counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantity {
    /// Znodes.
    Count,
    /// Bytes of data.
    Bytes,
}

/// The result of a command, and the caller that waits for it.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// The result of a session's request.
    Session {
        /// The session.
        session: SessionId,
        /// The attachment in the command.
        attachment: u32,
        /// The request's number in the command.
        seq: u64,
        /// The result.
        result: SessionResult,
    },
    /// The result of a proposal that has a ticket and no session number.
    Ticket {
        /// The proposal's ticket.
        ticket: Ticket,
        /// The result.
        result: TicketResult,
    },
    /// No caller waits for the result: a session's expiry, a sweep, a raised level.
    Nobody,
}

/// The result of a session's request.
#[derive(Clone, PartialEq, Debug)]
pub enum SessionResult {
    /// The request was run, with success or with a ZooKeeper error.
    Done(Reply),
    /// A request with this number was applied before. Nothing was done.
    Duplicate,
    /// A request with a lower number has not been applied yet. Nothing was done.
    Gap,
    /// A policy has changed since the authorizers decided. Nothing was done. The node asks the
    /// authorizers again and sends the session's requests again in order.
    Bounced,
    /// The session has a newer attachment. Nothing was done.
    Moved,
    /// The session does not exist or has ended.
    Expired,
}

/// The reply to a write.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// The result of a single operation.
    Single(Result<OpReply, ErrorCode>),
    /// The results of a multi whose operations all succeeded.
    Multi(Vec<OpReply>),
    /// One operation of a multi failed, and nothing was done.
    MultiFailed {
        /// The index of the operation, from 0.
        index: usize,
        /// The operation's error.
        error: ErrorCode,
    },
    /// The session is closed.
    Closed,
}

/// The answer of a successful operation.
#[derive(Clone, PartialEq, Debug)]
pub enum OpReply {
    /// A znode was created.
    Created {
        /// The znode's path, with its sequence number.
        path: Arc<str>,
        /// The znode's Stat.
        stat: Stat,
    },
    /// The znode was deleted.
    Deleted,
    /// The data or the ACL was set; the znode's new Stat.
    Set(Stat),
    /// The version was checked.
    Checked,
}

/// The result of a proposal that has a ticket.
#[derive(Clone, PartialEq, Debug)]
pub enum TicketResult {
    /// A session was created or reattached.
    Attached {
        /// The session.
        session: SessionId,
        /// The number of the attachment; 1 for a new session.
        attachment: u32,
        /// The negotiated timeout in milliseconds.
        timeout_ms: u32,
    },
    /// There is no such session, or the password is wrong, or the id of a new session is taken.
    NoSession,
    /// The reply to an administrator's write.
    Admin(Reply),
    /// A transaction was committed.
    Committed,
    /// A transaction was refused, because something that it read has changed. The guest must run
    /// again.
    Conflict(Conflict),
    /// A transaction was refused by a fault of the guest, e.g. a path outside its grants. To run
    /// the same guest again on the same events is useless.
    Rejected(ErrorCode, String),
    /// A module was registered.
    Registered,
    /// A binding was activated. The activation's zxid is the zxid of the command.
    Activated,
    /// A binding was not activated: its document was changed since, or its module is unknown.
    Void,
    /// A binding was not activated: [`AUTHORIZERS_MAX`](crate::bindings::AUTHORIZERS_MAX) other
    /// authorizers are active.
    NoPlace,
    /// The group has the wanted configuration, whose version this is; or why it has not:
    /// BadVersion (the configuration is not the one that the caller has seen), BadArguments (no
    /// voter would be left, there would be more than 255 members, an address is empty or longer than
    /// 300 bytes, or one that comes is another member's), ReconfigDisabled (there is no group: the node is alone).
    Configured(Result<Zxid, ErrorCode>),
}

/// The precondition of a transaction that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// The binding was activated again, or deleted.
    Activation,
    /// A path in the read set has changed.
    Path(String),
    /// A session in the read set has ended.
    Session(SessionId),
    /// Another transaction has consumed an acknowledged event.
    Ack,
    /// A called assignor was activated again.
    Assignor(String),
}

/// A watch event.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// The kind: created, deleted, data changed or children changed.
    pub kind: EventType,
    /// The znode's path.
    pub path: Arc<str>,
    /// The znode's ACL at the event. It decides which clients may see the event.
    pub acl: AclRef,
}

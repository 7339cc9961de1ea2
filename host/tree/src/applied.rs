//! What one command did: the reply, the events, and which records a checkpoint must write.

use std::sync::Arc;

use innkeeper_proto::{ErrorCode, EventType, Stat};

use crate::Zxid;
use crate::acl::AclRef;
use crate::ids::{SessionId, Ticket};

/// The outcome of one command.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    /// The command's zxid.
    pub zxid: Zxid,
    /// The state's time at the command, in milliseconds since 1970.
    pub time_ms: u64,
    /// To whom it matters, and what it is.
    pub outcome: Outcome,
    /// Watch events, in the order in which ZooKeeper fires them.
    pub events: Vec<Event>,
    /// Names of the bindings whose queues grew: the dispatcher wakes them.
    pub queued: Vec<Arc<str>>,
    /// Names of the bindings whose wish, activation or existence changed.
    pub bindings: Vec<Arc<str>>,
    /// Names of the bindings that would have got events, if these were not caused by a longer
    /// chain of reactions than [`MAX_CASCADE_DEPTH`](crate::queue::MAX_CASCADE_DEPTH) allows.
    /// For people: nothing in the state depends on it.
    pub cut: Vec<Arc<str>>,
    /// Sessions that ended here: their connections are closed.
    pub ended: Vec<SessionId>,
    /// Limits that the command went beyond, or would have; for the log. Only where the command
    /// says that quotas are enforced.
    pub over_quota: Vec<OverQuota>,
}

/// A limit of a quota that a write goes beyond.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OverQuota {
    /// Root of the subtree that has the quota.
    pub path: Arc<str>,
    /// What is counted.
    pub of: Quantity,
    /// How much there would be with the write.
    pub wanted: i64,
    /// How much there may be.
    pub limit: i64,
    /// Was the write refused? A soft limit is only reported.
    pub hard: bool,
}

/// What a quota counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantity {
    /// Znodes.
    Count,
    /// Bytes of data.
    Bytes,
}

/// Whom a command's result goes to.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// A session's request was run (or duplicated, refused …).
    Session {
        /// The session.
        session: SessionId,
        /// The attachment that the command named.
        attachment: u32,
        /// The seq that the command named.
        seq: u64,
        /// What became of it.
        result: SessionResult,
    },
    /// A proposal of a node's own.
    Ticket {
        /// Its name.
        ticket: Ticket,
        /// What became of it.
        result: TicketResult,
    },
    /// Nobody waits: expiry, a raised level.
    Nobody,
}

/// What became of a session's request.
#[derive(Clone, PartialEq, Debug)]
pub enum SessionResult {
    /// It was run, with success or with a ZooKeeper error; the seq advanced.
    Done(Reply),
    /// The seq was applied before; nothing was done.
    Duplicate,
    /// A lower seq has not been applied; nothing was done.
    Gap,
    /// The policies moved on since the request was decided; nothing was done, the seq did
    /// not advance; the node decides again and resends in order.
    Bounced,
    /// A newer attachment has taken the session over.
    Moved,
    /// The session does not exist (any more).
    Expired,
}

/// The reply to a write.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// A single operation's result.
    Single(Result<OpReply, ErrorCode>),
    /// A multi's: all succeeded.
    Multi(Vec<OpReply>),
    /// A multi's: the operation at that index failed, so nothing was done.
    MultiFailed {
        /// Which failed.
        index: usize,
        /// How.
        error: ErrorCode,
    },
    /// The session is closed.
    Closed,
}

/// What a successful operation answers.
#[derive(Clone, PartialEq, Debug)]
pub enum OpReply {
    /// The created path (with its sequence number) and Stat.
    Created {
        /// Whole path.
        path: Arc<str>,
        /// The new znode's.
        stat: Stat,
    },
    /// Deleted.
    Deleted,
    /// Data or ACL set: the new Stat.
    Set(Stat),
    /// Checked.
    Checked,
}

/// What became of a node's own proposal.
#[derive(Clone, PartialEq, Debug)]
pub enum TicketResult {
    /// A session was made, or taken over: its attachment (1 for a new one).
    Attached {
        /// The session.
        session: SessionId,
        /// Counts the connects.
        attachment: u32,
        /// In milliseconds.
        timeout_ms: u32,
    },
    /// No such session, or another password.
    NoSession,
    /// An admin's write.
    Admin(Reply),
    /// A transaction committed.
    Committed,
    /// A transaction was refused: run the guest again.
    Conflict(Conflict),
    /// A transaction can never succeed as it is: the guest is at fault, do not run it again
    /// on the same events unchanged (e.g. a path outside its grants).
    Rejected(ErrorCode, String),
    /// A module was registered, a binding activated.
    Registered,
    /// Activated: the new activation's zxid is the command's own.
    Activated,
    /// An activation whose wish moved on or whose module is unknown: nothing done.
    Void,
}

/// Which precondition of a transaction failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// The binding was activated anew, or is gone.
    Activation,
    /// A path that was read has changed.
    Path(String),
    /// A session that was read has ended.
    Session(SessionId),
    /// An event was consumed already.
    Ack,
    /// A called assignor was swapped.
    Assignor(String),
}

/// One watch event.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Created, deleted, data changed, children changed.
    pub kind: EventType,
    /// Of the znode concerned.
    pub path: Arc<str>,
    /// The znode's ACL as of the event: who may see it is judged by it.
    pub acl: AclRef,
}

//! The parts of a case: steps, and the requests in them.
//!
//! A path or another text that begins with `~` is below the case's root: `~/a` is sent as
//! `/c0000000001/a`. So a case can run again below a fresh root, and two runs print the same.

mod encode;
mod show;

pub use encode::Context;
pub use show::{name, show};

use crate::wire::Text;

/// The number of a session within its case.
pub type Slot = usize;

/// One entry of an ACL; scheme and id may be null, as a faulty client sends them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AclEntry {
    /// The bits as sent.
    pub perms: i32,
    /// The scheme.
    pub scheme: Text,
    /// The id.
    pub id: Text,
}

/// The four creates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateOp {
    /// create
    Create,
    /// create2
    Create2,
    /// createContainer
    Container,
    /// createTTL
    Ttl,
}

/// The reads that take a path and a watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOp {
    /// exists
    Exists,
    /// getData
    GetData,
    /// getChildren
    GetChildren,
    /// getChildren2
    GetChildren2,
}

/// The requests that have only a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathOp {
    /// getACL
    GetAcl,
    /// sync
    Sync,
    /// deleteContainer
    DeleteContainer,
    /// getEphemerals
    GetEphemerals,
    /// getAllChildrenNumber
    GetAllChildrenNumber,
}

/// The requests that take a path and a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VersionOp {
    /// delete
    Delete,
    /// check
    Check,
}

/// The requests that take a path and a kind of watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchOp {
    /// checkWatches
    Check,
    /// removeWatches
    Remove,
    /// addWatch
    Add,
}

/// The zxid in a setWatches, from which on changes count as missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// 0: every change counts.
    Zero,
    /// The newest zxid that any session of the case has seen.
    Now,
    /// The newest zxid of the case when this slot's connection was opened.
    Connected,
    /// A zxid far in the future.
    Future,
}

/// A request's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// One of the creates.
    Create {
        /// The kind of create.
        op: CreateOp,
        /// Its path.
        path: Text,
        /// Its data.
        data: Text,
        /// Its ACL; `None` is a null list.
        acl: Option<Vec<AclEntry>>,
        /// Its mode as sent.
        flags: i32,
        /// Its time to live; only createTTL sends it.
        ttl_ms: i64,
    },
    /// setData
    SetData {
        /// Its path.
        path: Text,
        /// The new data.
        data: Text,
        /// The expected version.
        version: i32,
    },
    /// setACL
    SetAcl {
        /// Its path.
        path: Text,
        /// The new ACL.
        acl: Option<Vec<AclEntry>>,
        /// The expected version of the ACL.
        version: i32,
    },
    /// exists, getData, getChildren, getChildren2
    Read {
        /// The kind of read.
        op: ReadOp,
        /// Its path.
        path: Text,
        /// Whether it sets a watch.
        watch: bool,
    },
    /// A request that has only a path.
    Path {
        /// The kind of request.
        op: PathOp,
        /// Its path.
        path: Text,
    },
    /// delete, check
    Version {
        /// The kind of request.
        op: VersionOp,
        /// Its path.
        path: Text,
        /// The expected version.
        version: i32,
    },
    /// checkWatches, removeWatches, addWatch
    Watch {
        /// The kind of request.
        op: WatchOp,
        /// Its path.
        path: Text,
        /// The kind or mode as sent.
        kind: i32,
    },
    /// multi, or multiRead
    Multi {
        /// Whether it is a multiRead.
        read: bool,
        /// The operations in it.
        ops: Vec<Op>,
    },
    /// setWatches, or setWatches2
    SetWatches {
        /// Whether it is a setWatches2.
        two: bool,
        /// The zxid from which on changes count as missed.
        since: Since,
        /// Data, exist, child, and for setWatches2 persistent and recursive paths.
        paths: [Vec<Text>; 5],
    },
    /// auth
    Auth {
        /// The scheme.
        scheme: Text,
        /// The credentials.
        credentials: Text,
    },
    /// sasl
    Sasl {
        /// The client's token.
        token: Text,
    },
    /// reconfig
    Reconfig {
        /// joining, leaving, new members
        members: [Text; 3],
        /// The expected version of the configuration.
        config_id: i64,
    },
    /// ping
    Ping,
    /// whoAmI
    WhoAmI,
    /// closeSession
    Close,
    /// A number that is no request of clients, and bytes behind it.
    Unknown {
        /// The number as sent.
        op: i32,
        /// The bytes behind it.
        body: Vec<u8>,
    },
}

/// A change of a request's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// No change.
    None,
    /// So many bytes are missing at the end of the body.
    Cut(usize),
    /// So many further bytes follow.
    Extra(usize),
}

/// A request as it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The body.
    pub op: Op,
    /// The change of its bytes.
    pub damage: Damage,
}

impl From<Op> for Request {
    fn from(op: Op) -> Self {
        Self {
            op,
            damage: Damage::None,
        }
    }
}

/// The password and the zxid that a client shows when it reattaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credential {
    /// The session's password.
    Right,
    /// Another password of the same length.
    Wrong,
    /// A password of three bytes.
    Short,
    /// A null password.
    Null,
    /// The right password, and a zxid that no server has reached.
    Ahead,
}

/// What a session does, and nothing else, for longer than its timeout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Busy {
    /// It sends this request again and again, each after the last one's reply.
    Repeats(Request),
    /// It sends this request, a few bytes at a time.
    Dribbles(Request),
}

/// One step of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// One request; its reply is awaited.
    Call(Slot, Request),
    /// Requests that are sent together, before the first reply.
    Pipeline(Slot, Vec<Request>),
    /// The session moves to another connection: the old one is closed by the server.
    Reattach {
        /// The session's slot.
        slot: Slot,
        /// The password that the client shows.
        with: Credential,
        /// Whether its old connection is dropped first.
        dropped: bool,
    },
    /// Bytes that are no request.
    Raw(Slot, Vec<u8>),
    /// The connection is dropped; the session stays.
    Drop(Slot),
    /// The session is silent until it has expired.
    Expire(Slot),
    /// Sessions do nothing but this, side by side, for longer than their timeouts; then it is
    /// checked whether each still exists.
    Busy(Vec<(Slot, Busy)>),
}

impl Step {
    /// The session whose step it is.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Busy(sessions) => sessions.first().map_or(0, |(slot, _)| *slot),
            Self::Call(slot, _)
            | Self::Pipeline(slot, _)
            | Self::Raw(slot, _)
            | Self::Reattach { slot, .. }
            | Self::Drop(slot)
            | Self::Expire(slot) => *slot,
        }
    }
}

/// How a session begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The timeout that it asks for.
    pub timeout_ms: i32,
    /// The read-only byte, if it is sent.
    pub read_only: Option<bool>,
}

/// A whole case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Its seed, or the number of a directed case.
    pub seed: u64,
    /// The kind of case.
    pub profile: &'static str,
    /// Its sessions.
    pub sessions: Vec<Opening>,
    /// The steps.
    pub steps: Vec<Step>,
}

//! What a case consists of: steps, and the requests in them.
//!
//! A path or any other text that begins with `~` stands below the case's root: `~/a` is sent as
//! `/c0000000001/a`. So a case can be run again under a fresh root, and two runs print the same.

mod encode;
mod show;

pub use encode::Context;
pub use show::{name, show};

use crate::wire::Text;

/// The number of a session within its case.
pub type Slot = usize;

/// One entry of an ACL; scheme and id may be null, as a careless client sends them.
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

/// The requests that take a path alone.
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

/// From which zxid on a setWatches asks for what it missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// 0: everything changed since.
    Zero,
    /// The newest zxid that any session of the case has seen.
    Now,
    /// What was the newest when this slot's connection was last opened.
    Connected,
    /// Far in the future.
    Future,
}

/// A request's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// One of the creates.
    Create {
        /// Which.
        op: CreateOp,
        /// Its path.
        path: Text,
        /// Its data.
        data: Text,
        /// Its ACL; `None` is a null list.
        acl: Option<Vec<AclEntry>>,
        /// Its mode as sent.
        flags: i32,
        /// Its time to live; sent by createTTL alone.
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
        /// Which.
        op: ReadOp,
        /// Its path.
        path: Text,
        /// Leave a watch?
        watch: bool,
    },
    /// A request with a path alone.
    Path {
        /// Which.
        op: PathOp,
        /// Its path.
        path: Text,
    },
    /// delete, check
    Version {
        /// Which.
        op: VersionOp,
        /// Its path.
        path: Text,
        /// The expected version.
        version: i32,
    },
    /// checkWatches, removeWatches, addWatch
    Watch {
        /// Which.
        op: WatchOp,
        /// Its path.
        path: Text,
        /// The kind or mode as sent.
        kind: i32,
    },
    /// multi, or multiRead
    Multi {
        /// multiRead?
        read: bool,
        /// What it consists of.
        ops: Vec<Op>,
    },
    /// setWatches, or setWatches2
    SetWatches {
        /// setWatches2?
        two: bool,
        /// Since when.
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
    /// A number that is no request of a client's, and bytes behind it.
    Unknown {
        /// The number as sent.
        op: i32,
        /// What follows it.
        body: Vec<u8>,
    },
}

/// What is done to a request's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Nothing.
    None,
    /// So many bytes of the body are missing at its end.
    Cut(usize),
    /// So many bytes follow that nobody asked for.
    Extra(usize),
}

/// A request as it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What it asks for.
    pub op: Op,
    /// What is done to its bytes.
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

/// What a client that reattaches shows.
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
    /// This request again and again, each after the last one's reply.
    Repeats(Request),
    /// This request, a few bytes at a time.
    Dribbles(Request),
}

/// One step of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A request, alone; its reply is awaited.
    Call(Slot, Request),
    /// Requests written at once, before the first reply.
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
    /// The connection goes, the session stays.
    Drop(Slot),
    /// The session is left alone until it has expired.
    Expire(Slot),
    /// Sessions do nothing but this, side by side, for longer than their timeouts; then it shows
    /// whether each is still there.
    Busy(Vec<(Slot, Busy)>),
}

impl Step {
    /// Whose step it is.
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
    /// The timeout that is asked for.
    pub timeout_ms: i32,
    /// The read-only byte, where it is sent.
    pub read_only: Option<bool>,
}

/// A whole case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Its seed, or the number of a directed one.
    pub seed: u64,
    /// What kind of case it is.
    pub profile: &'static str,
    /// Its sessions.
    pub sessions: Vec<Opening>,
    /// What they do.
    pub steps: Vec<Step>,
}

//! The transaction that a guest proposes: its reads, its writes and the events that it consumed.
//!
//! Apply checks every [`Read`] against the newest state, then the acknowledgements, and then
//! applies the writes under one zxid. If one check or one write fails, nothing is done. Read sets
//! hold zxids and no version counters: a znode that is deleted and created again has version 0
//! again, and a list of children, an absent znode or a live session has no version.

use bytes::Bytes;
use innkeeper_proto::Acl;

use crate::{SessionId, Zxid};

/// A guest's transaction.
#[derive(Clone, PartialEq, Debug)]
pub struct Transaction {
    /// The name of the recipe's binding. The transaction may write only the paths that the
    /// binding's `write` patterns grant.
    pub binding: String,
    /// The activation under which the guest ran. If another one is active, apply refuses the
    /// transaction.
    pub activation: Zxid,
    /// One more than the depth of the deepest consumed event. It bounds chains of reactions.
    pub depth: u8,
    /// The read set: everything that the guest read must be unchanged.
    pub reads: Vec<Read>,
    /// The writes in their order; a write sees the effects of those before it.
    pub writes: Vec<GuestWrite>,
    /// The consumed events. Each must still be in the queue. An entry that got a newer event since
    /// stays there.
    pub acks: Vec<Ack>,
    /// The assignor bindings that the guest called: the name and the activation that answered
    /// (zero if none was active). They belong to the read set, and the binding remembers the names.
    pub called: Vec<(String, Zxid)>,
}

/// The acknowledgement of one entry of the binding's queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ack {
    /// A path's entry.
    Path {
        /// The event's path.
        path: String,
        /// The zxid of the newest event in the entry when the guest got it.
        zxid: Zxid,
    },
    /// The entry "resync: read everything", and its zxid when the guest got it.
    Resync(Zxid),
}

/// One thing that a guest read, with the numbers that show whether it has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// The znode exists, and its data was last set by `mzxid`.
    Node {
        /// The znode's path.
        path: String,
        /// The znode's mzxid.
        mzxid: Zxid,
    },
    /// The znode exists, and its ACL is unchanged: `czxid` and `aversion` together name one ACL.
    Acl {
        /// The znode's path.
        path: String,
        /// The znode's czxid.
        czxid: Zxid,
        /// The znode's aversion.
        aversion: i32,
    },
    /// The znode exists, and its list of children was last changed by `pzxid`.
    Children {
        /// The znode's path.
        path: String,
        /// The znode's pzxid.
        pzxid: Zxid,
    },
    /// There is no such znode.
    Absent {
        /// The path of the absent znode.
        path: String,
    },
    /// No znode at or below `path` changed after the zxid `seen`.
    Subtree {
        /// The root of the subtree, which exists.
        path: String,
        /// The zxid of the view that the guest read.
        seen: Zxid,
    },
    /// The session is alive.
    Session(SessionId),
}

/// One write of a guest. It names no version: the read set shows whether the znode has changed.
#[derive(Clone, PartialEq, Debug)]
pub enum GuestWrite {
    /// Creates a znode. If the guest asked for a sequential znode, the host has chosen the number,
    /// and the read set holds the parent's list of children.
    Create {
        /// The znode's whole path.
        path: String,
        /// The data; `None` is null.
        data: Option<Bytes>,
        /// The ACL; `None` takes the parent's.
        acl: Option<Vec<Acl>>,
        /// The session that owns the znode, whose end deletes it. The read set must hold it as
        /// [`Read::Session`].
        owner: Option<SessionId>,
    },
    /// Replaces a znode's data.
    Set {
        /// The znode's path.
        path: String,
        /// The new data; `None` is null.
        data: Option<Bytes>,
    },
    /// Deletes a znode without children.
    Delete {
        /// The znode's path.
        path: String,
    },
}

//! What a guest proposes: what it read, what it writes, which events it consumed.
//!
//! Apply validates every [`Read`] against the newest state, then the acknowledgements, then
//! applies the writes, all under one zxid, or nothing. Read sets are made of zxids, not of
//! version counters: a znode that is deleted and created anew has version 0 again, and a list of
//! children, an absence or a session's life has no version at all.

use bytes::Bytes;
use innkeeper_proto::Acl;

use crate::{SessionId, Zxid};

/// A guest's transaction.
#[derive(Clone, PartialEq, Debug)]
pub struct Transaction {
    /// The recipe's binding. Its granted `write` paths are the transaction's whole authority.
    pub binding: String,
    /// The activation that the invocation ran under; apply refuses any other.
    pub activation: Zxid,
    /// One more than the depth of the deepest event consumed: bounds cascades.
    pub depth: u8,
    /// What must still hold.
    pub reads: Vec<Read>,
    /// In order; a later one sees an earlier one.
    pub writes: Vec<GuestWrite>,
    /// Events consumed: each must still be queued; one with a newer zxid stays queued.
    pub acks: Vec<Ack>,
    /// Assignor bindings called, by name, with the activation that answered (zero where none
    /// of that name was active): part of the read set, and remembered as what this binding's
    /// last reaction called.
    pub called: Vec<(String, Zxid)>,
}

/// One consumed entry of the binding's queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ack {
    /// The entry of a path, as of that newest event.
    Path {
        /// The event's path.
        path: String,
        /// Newest event merged into the entry when it was delivered.
        zxid: Zxid,
    },
    /// The "resync: read everything" entry, as of that zxid.
    Resync(Zxid),
}

/// One thing that a guest read, and what makes it unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// The znode exists and was last modified by `mzxid`.
    Node {
        /// Of the znode.
        path: String,
        /// Of the znode's Stat.
        mzxid: Zxid,
    },
    /// The znode's ACL is the one of (`czxid`, `aversion`).
    Acl {
        /// Of the znode.
        path: String,
        /// Of the znode's Stat.
        czxid: Zxid,
        /// Of the znode's Stat.
        aversion: i32,
    },
    /// The znode's child list was last changed by `pzxid`.
    Children {
        /// Of the znode.
        path: String,
        /// Of the znode's Stat.
        pzxid: Zxid,
    },
    /// There is no such znode.
    Absent {
        /// Where it would be.
        path: String,
    },
    /// Nothing at or below `path` changed after `seen` (the zxid of the view that was read).
    Subtree {
        /// Root of the subtree; it exists.
        path: String,
        /// The view's zxid.
        seen: Zxid,
    },
    /// The session is alive.
    Session(SessionId),
}

/// One write of a guest. Versions need no check here: the read set did it.
#[derive(Clone, PartialEq, Debug)]
pub enum GuestWrite {
    /// Creates a znode; a sequential name was resolved by the guest's overlay, whose read
    /// set holds the parent's child list.
    Create {
        /// Whole path.
        path: String,
        /// `None` is null data.
        data: Option<Bytes>,
        /// `None` takes the parent's.
        acl: Option<Vec<Acl>>,
        /// Session whose end deletes it; must stand in `reads` as [`Read::Session`].
        owner: Option<SessionId>,
    },
    /// Replaces data.
    Set {
        /// Of the znode.
        path: String,
        /// `None` is null data.
        data: Option<Bytes>,
    },
    /// Deletes a childless znode.
    Delete {
        /// Of the znode.
        path: String,
    },
}

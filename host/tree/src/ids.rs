//! Identifiers: of commands, sessions, modules and proposals.

use std::fmt;

/// ZooKeeper's transaction id. Here it is one 64-bit counter: each command takes the next number,
/// and the counter never goes back, also not over restarts, fail-overs and snapshots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Zxid(pub u64);

impl Zxid {
    /// The zxid of the command after this one.
    pub fn next(self) -> Zxid {
        Zxid(self.0 + 1)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A session's 64-bit id. Its top byte is the number of the server that created it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A module's name: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The id of a proposal that has no session number: a guest's transaction, an activation, a new
/// session. When the proposal is applied, the proposing node finds the waiting caller by it. It is
/// random and never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Ticket(pub u64);

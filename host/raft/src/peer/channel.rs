//! The channels between two nodes.

use std::fmt;

/// What one connection between two nodes carries. Each channel has connections of its own, so no
/// channel waits for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Calls that must be quick: votes, heartbeats, leader transfer, read indexes.
    Control,
    /// The entries of the log, from a leader to one follower.
    Log,
    /// Operations, from a node to the leader.
    Forward,
    /// Snapshots and modules.
    Bulk,
}

impl Channel {
    /// All channels.
    pub const ALL: [Channel; 4] = [
        Channel::Control,
        Channel::Log,
        Channel::Forward,
        Channel::Bulk,
    ];

    /// The channel's number in the hello. A released number never changes.
    pub(super) fn number(self) -> u8 {
        match self {
            Channel::Control => 1,
            Channel::Log => 2,
            Channel::Forward => 3,
            Channel::Bulk => 4,
        }
    }

    /// Does it bring a peer the state, so that what the peer answers counts for the quorum?
    pub(super) fn carries_state(self) -> bool {
        matches!(self, Channel::Log | Channel::Bulk)
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.number() == number)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Channel::Control => "control",
            Channel::Log => "log",
            Channel::Forward => "forward",
            Channel::Bulk => "bulk",
        })
    }
}

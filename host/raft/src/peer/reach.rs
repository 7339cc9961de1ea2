//! Which peers this node does not reach: it dials them, and they do not let it in.
//!
//! Whoever asks dials. So a node whose peer port is closed, by a firewall for instance, leads over
//! the connections that it dials itself, and nobody brings it operations or asks it for a read
//! index. Each node therefore notes since when the connections over which it asks are missing
//! ([`Missing`]), and tells a leader that wants to know ([`Reach`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use innkeeper_runtime::Instant;
use parking_lot::Mutex;

use super::channel::Channel;
use super::group::{nodes, put_nodes};
use super::message;
use crate::codec::{self, CodecError};
use crate::types::{NodeId, Vote};

/// The connections over which this node asks, and that do not stand although it dials.
#[derive(Debug, Default)]
pub(super) struct Missing {
    since: Mutex<BTreeMap<(NodeId, Channel), Instant>>,
}

impl Missing {
    /// The connection is not there. What it brings a peer by itself, the log for instance, does not
    /// count.
    pub(super) fn note(&self, node: NodeId, channel: Channel, now: Instant) {
        if !channel.carries_state() {
            self.since.lock().entry((node, channel)).or_insert(now);
        }
    }

    /// The connection stands, or nobody wants it any more.
    pub(super) fn forget(&self, node: NodeId, channel: Channel) {
        self.since.lock().remove(&(node, channel));
    }

    /// The peers that this node does not reach for so long.
    pub(super) fn unreached(&self, limit: Duration, now: Instant) -> BTreeSet<NodeId> {
        let since = self.since.lock();
        let missing = since
            .iter()
            .filter(|(_, since)| now.since(**since) >= limit);
        missing.map(|((node, _), _)| *node).collect()
    }
}

/// What a node tells a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The node's vote. It may be the one of a newer leader.
    pub(crate) vote: Vote,
    /// The peers that the node does not reach.
    pub(crate) unreached: BTreeSet<NodeId>,
}

impl Reach {
    pub(super) fn put(&self, out: &mut BytesMut) -> Result<(), CodecError> {
        out.put_u8(message::VERSION);
        codec::put_vote(out, &self.vote);
        put_nodes(out, &self.unreached)
    }

    pub(super) fn read(body: &[u8]) -> Result<Self, CodecError> {
        let mut fields = message::fields("list of nodes that are not reached", body)?;
        Ok(Self {
            vote: codec::read_vote(&mut fields)?,
            unreached: nodes(&mut fields)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    #[test]
    fn a_peer_is_unreached_when_a_connection_for_questions_is_missing_for_long() {
        let missing = Missing::default();
        let unreached = |ms| missing.unreached(Duration::from_secs(1), at(ms));
        missing.note(2, Channel::Control, at(0));
        missing.note(2, Channel::Control, at(900));
        missing.note(3, Channel::Forward, at(500));
        missing.note(4, Channel::Log, at(0));
        assert_eq!(unreached(999), [].into());
        assert_eq!(unreached(1000), [2].into());
        assert_eq!(unreached(1500), [2, 3].into());
        missing.forget(2, Channel::Control);
        assert_eq!(unreached(9000), [3].into());
        missing.note(2, Channel::Control, at(9000));
        assert_eq!(unreached(9999), [3].into());
    }

    #[test]
    fn what_a_node_tells_is_read_back() {
        let reach = Reach {
            vote: Vote::new_committed(7, 3),
            unreached: [2, 5].into(),
        };
        let mut body = BytesMut::new();
        reach.put(&mut body).unwrap();
        assert_eq!(Reach::read(&body).unwrap(), reach);
        for len in 0..body.len() {
            assert!(Reach::read(&body[..len]).is_err(), "{len}");
        }
    }
}

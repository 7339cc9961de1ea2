//! What serves the connections of peers needs of this node.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::Runtime;
use tokio::sync::Semaphore;

use super::backlog::Backlog;
use super::frame::Frame;
use super::hello;
use super::succession::Succession;
use crate::Delivery;
use crate::engine::RaftOf;
use crate::heard_leader::HeardLeader;
use crate::modules::ModuleStore;
use crate::proposals::Intake;
use crate::read_index::ReadIndex;
use crate::state::{Folder, StateShared};
use crate::types::NodeId;
use crate::voting_right::VotingRight;

/// What a node's peers are served with.
pub(crate) struct Served<R: Runtime> {
    pub(crate) raft: RaftOf<R>,
    /// The voters in this node's settings.
    pub(crate) voters: Arc<BTreeSet<NodeId>>,
    pub(crate) right: VotingRight<R>,
    pub(crate) state: Arc<StateShared>,
    pub(crate) intake: Intake,
    pub(crate) read_index: ReadIndex,
    pub(crate) succession: Succession<R>,
    pub(crate) backlog: Backlog<R>,
    /// Where snapshots arrive.
    pub(crate) folder: Folder<R::Disk>,
    pub(crate) modules: ModuleStore<R>,
    /// The one snapshot that may arrive at a time has it.
    pub(crate) receiving: Arc<Semaphore>,
    /// How long a quorum's acknowledgement holds.
    pub(crate) lease: Duration,
    /// When leaders were heard.
    pub(crate) heard_leader: HeardLeader<R>,
    /// A node whose acknowledgements are older is not in contact with its leader.
    pub(crate) contact: Duration,
    /// Answers the servers of other nodes.
    pub(crate) delivery: Arc<dyn Delivery>,
}

impl<R: Runtime> Clone for Served<R> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            voters: self.voters.clone(),
            right: self.right.clone(),
            state: self.state.clone(),
            intake: self.intake.clone(),
            read_index: self.read_index.clone(),
            succession: self.succession.clone(),
            backlog: self.backlog.clone(),
            folder: self.folder.clone(),
            modules: self.modules.clone(),
            receiving: self.receiving.clone(),
            lease: self.lease,
            heard_leader: self.heard_leader.clone(),
            contact: self.contact,
            delivery: self.delivery.clone(),
        }
    }
}

/// What serves a connection ends by an error only.
pub(super) type Never = std::convert::Infallible;

/// The first frame of a channel may be the dialer's refusal.
pub(super) fn check(frame: &Frame) -> io::Result<()> {
    match hello::refusal(frame) {
        Some(sentence) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, sentence)),
        None => Ok(()),
    }
}

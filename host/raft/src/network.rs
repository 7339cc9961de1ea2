//! The network between peers. A group of one has no peers, so each call answers that the peer
//! cannot be reached. This includes the call for a pre-vote, because openraft's default counts as a
//! yes.

use innkeeper_runtime::Runtime;
use openraft::BasicNode;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot};

use crate::state::SnapshotData;
use crate::types::{NodeId, Term, TypeConfig, Vote};

/// Creates connections to peers.
#[derive(Debug)]
pub(crate) struct Network;

/// A connection to one peer, which cannot be reached.
#[derive(Debug)]
pub(crate) struct Peer {
    target: NodeId,
}

impl Peer {
    fn unreachable<R: Runtime>(&self) -> Unreachable<TypeConfig<R>> {
        Unreachable::from_string(format!(
            "node {} cannot be reached: this node was started as a group of one",
            self.target
        ))
    }
}

impl<R: Runtime> RaftNetworkFactory<TypeConfig<R>> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, _node: &BasicNode) -> Peer {
        Peer { target }
    }
}

impl<R: Runtime> RaftNetworkV2<TypeConfig<R>> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig<R>>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig<R>>, RPCError<TypeConfig<R>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig<R>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<R>>, RPCError<TypeConfig<R>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn pre_vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig<R>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<R>>, RPCError<TypeConfig<R>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot<Term, NodeId, BasicNode, SnapshotData>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig<R>>, StreamingError<TypeConfig<R>>> {
        Err(StreamingError::Unreachable(self.unreachable()))
    }
}

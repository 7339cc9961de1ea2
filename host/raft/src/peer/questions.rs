//! What a node asks a peer over its control connection.

use bytes::Bytes;
use innkeeper_runtime::Runtime;
use innkeeper_tree::Zxid;

use super::message::{self, kind};
use super::peers::Peers;
use super::reach::Reach;
use crate::types::{LogId, NodeId};

impl<R: Runtime> Peers<R> {
    /// Asks the leader for the last entry that must be applied before a read that begins now. The
    /// error is a sentence.
    pub(crate) async fn read_index(&self, leader: NodeId) -> Result<LogId, String> {
        let answer = self.ask(leader, kind::READ_INDEX, Bytes::new()).await?;
        message::read_index(&answer).map_err(|error| error.to_string())
    }

    /// Asks a peer for the rolling hash of its state at a zxid; `None` if the peer does not have it.
    /// The error is a sentence.
    pub(crate) async fn hash_at(&self, node: NodeId, zxid: Zxid) -> Result<Option<u64>, String> {
        let body = message::bytes(|out| message::put_zxid(out, zxid));
        let answer = self.ask(node, kind::HASH, body).await?;
        message::hash(&answer).map_err(|error| error.to_string())
    }

    /// Asks a peer which nodes it does not reach. The error is a sentence.
    pub(crate) async fn reach_of(&self, node: NodeId) -> Result<Reach, String> {
        let answer = self.ask(node, kind::REACH, Bytes::new()).await?;
        Reach::read(&answer).map_err(|error| error.to_string())
    }

    /// Asks the server of a peer. The error is a sentence.
    pub(crate) async fn ask_server(&self, node: NodeId, question: Bytes) -> Result<Bytes, String> {
        self.ask(node, kind::SERVER, question).await
    }

    /// Makes a call to a peer and waits for its answer, up to `silence_timeout`. The error is a
    /// sentence.
    async fn ask(&self, node: NodeId, kind: u8, body: Bytes) -> Result<Bytes, String> {
        let inner = self.inner();
        let caller = self.caller(node);
        let asked = caller.call(kind, body);
        let limit = inner.settings.silence_timeout;
        let answer = inner.runtime.timeout(limit, asked).await;
        let answer = answer.map_err(|_| format!("node {node} does not answer"))?;
        answer.map_err(|error| error.to_string())
    }
}

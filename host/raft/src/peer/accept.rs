//! The peer port: other nodes' connections, from their hello to their end.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Listener, Runtime, Select2, Signal, Stream, ThreadRole, select2};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::channel::Channel;
use super::hello::{self, HELLO_BYTES_MAX, HelloError, PeerInfo};
use super::link::Link;
use super::peers::Peers;
use super::serve;
use super::served::Served;
use crate::types::NodeId;

/// The pause after an accept that failed, for example for want of file descriptors.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// The peer port.
///
/// Invariant: of each peer and channel at most one connection is served. A newer one ends the older
/// one, since a node dials again only after it has given the old one up.
pub(crate) struct Acceptor<R: Runtime> {
    peers: Peers<R>,
    served: Served<R>,
    current: Arc<Mutex<BTreeMap<(NodeId, Channel), Signal>>>,
    hellos: Arc<Semaphore>,
}

impl<R: Runtime> Clone for Acceptor<R> {
    fn clone(&self) -> Self {
        Self {
            peers: self.peers.clone(),
            served: self.served.clone(),
            current: self.current.clone(),
            hellos: self.hellos.clone(),
        }
    }
}

impl<R: Runtime> Acceptor<R> {
    pub(crate) fn new(peers: Peers<R>, served: Served<R>) -> Self {
        let hellos = peers.inner().settings.hellos_max;
        Self {
            peers,
            served,
            current: Arc::default(),
            hellos: Arc::new(Semaphore::new(hellos)),
        }
    }

    /// Serves the peers that connect, until they are closed. Runs on the raft thread.
    pub(crate) async fn run(self, listener: R::Listener) {
        let inner = self.peers.inner().clone();
        let accept = async {
            loop {
                match listener.accept().await {
                    Ok(stream) => self.accepted(stream),
                    Err(error) => {
                        tracing::warn!("the peer port cannot accept a connection: {error}");
                        inner.runtime.sleep(AFTER_A_FAILURE).await;
                    }
                }
            }
        };
        let _: Select2<(), ()> = select2(inner.stop.wait(), accept).await;
    }

    fn accepted(&self, stream: R::Stream) {
        // Without a permit there are too many already: it is closed, and its node dials again.
        let Ok(permit) = self.hellos.clone().try_acquire_owned() else {
            return;
        };
        let acceptor = self.clone();
        let task = async move {
            let stop = acceptor.peers.inner().stop.clone();
            select2(stop.wait(), acceptor.serve(stream, permit)).await;
        };
        let runtime = &self.peers.inner().runtime;
        runtime.spawn(ThreadRole::Raft, task).detach();
    }

    async fn serve(&self, stream: R::Stream, permit: OwnedSemaphorePermit) {
        let from = stream.peer_addr();
        let inner = self.peers.inner();
        let limit = inner.settings.dial_timeout;
        let greeted = inner.runtime.timeout(limit, self.greet(stream)).await;
        drop(permit);
        let greeted = greeted.unwrap_or_else(|_| {
            let what = format!("it did not say hello within {} ms", limit.as_millis());
            Err(io::Error::new(io::ErrorKind::TimedOut, what).into())
        });
        let (link, peer) = match greeted {
            Ok(greeted) => greeted,
            Err(error) => return self.peers.refused(from, &error),
        };
        let (node, channel) = (peer.identity.node_id, peer.channel);
        self.peers.greeted(&peer.identity);
        let newer = Signal::new();
        {
            let mut current = self.current.lock();
            if let Some(older) = current.insert((node, channel), newer.clone()) {
                older.raise();
            }
        }
        let ended = select2(
            newer.wait(),
            serve::channel(&self.peers, &self.served, link, &peer),
        );
        if let Select2::Second(error) = ended.await {
            tracing::debug!("the {channel} connection of node {node} has ended: {error}");
            // A newer connection, if there is one, has raised the signal under this lock.
            let mut current = self.current.lock();
            if !newer.is_raised() {
                current.remove(&(node, channel));
            }
        }
    }

    async fn greet(&self, stream: R::Stream) -> Result<(Link, PeerInfo), HelloError> {
        let inner = self.peers.inner();
        let mut wire = inner.protection.accepted(stream).await?;
        let binding = std::mem::take(&mut wire.binding);
        let mut link = Link::new(wire, HELLO_BYTES_MAX);
        let identity = self.peers.identity();
        let own = self.peers.own(&identity);
        let said = hello::accept(&inner.runtime, &mut link, &binding, &own);
        let peer = said.await?;
        self.peers.stands(&mut link, peer.identity.node_id);
        Ok((link, peer))
    }
}

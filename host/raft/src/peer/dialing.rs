//! How a connection to a peer is made, and what the log hears of those that do not work.

use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use innkeeper_runtime::Runtime;

use super::address::PeerAddress;
use super::channel::Channel;
use super::hello::{self, HELLO_BYTES_MAX, HelloError, PeerInfo};
use super::link::{Counted, Link};
use super::peers::Peers;
use crate::types::NodeId;

/// A machine that refuses a connection does so within this time.
const AT_ONCE: Duration = Duration::from_millis(200);

impl<R: Runtime> Peers<R> {
    /// Makes a connection for one channel. The error is a sentence; it has been logged unless it is
    /// known.
    pub(super) async fn dial(
        &self,
        node: NodeId,
        channel: Channel,
    ) -> Result<(Link, PeerInfo), String> {
        let dialed = self.dialed(node, channel).await;
        if let Err(what) = &dialed {
            self.complain(node, channel, what);
        }
        dialed
    }

    async fn dialed(&self, node: NodeId, channel: Channel) -> Result<(Link, PeerInfo), String> {
        let inner = self.inner();
        let places = self.places(node);
        let all = places.all();
        let mut said = format!("the address of node {node} is not known");
        // One at which nobody answers leaves the other one its time.
        let share = inner.settings.dial_timeout / all.len().max(1) as u32;
        for address in &all {
            let dialing = self.dialed_at(node, channel, address);
            let what = match inner.runtime.timeout(share, dialing).await {
                Ok(Ok(dialed)) => return Ok(dialed),
                Ok(Err(what)) => what,
                Err(_) => format!("no connection within {} ms", share.as_millis()),
            };
            // The log names where the node should be.
            if places.is_listed(address) {
                said = what;
            }
        }
        Err(said)
    }

    async fn dialed_at(
        &self,
        node: NodeId,
        channel: Channel,
        address: &PeerAddress,
    ) -> Result<(Link, PeerInfo), String> {
        let inner = self.inner();
        let at = |error: &dyn fmt::Display| format!("node {node} at {address}: {error}");
        let found = inner.runtime.resolve(&address.host).await;
        let mut last = String::new();
        for ip in found.map_err(|error| at(&error))? {
            let to = SocketAddr::new(ip, address.port);
            let stream = match inner.runtime.connect_tcp(to).await {
                Ok(stream) => stream,
                Err(error) => {
                    last = at(&error);
                    continue;
                }
            };
            let wire = inner.protection.dialed(stream, &address.host).await;
            let mut wire = wire.map_err(|error| at(&error))?;
            let binding = std::mem::take(&mut wire.binding);
            let mut link = Link::new(wire, HELLO_BYTES_MAX);
            let identity = self.identity();
            let own = self.own(&identity);
            let said = hello::dial(&inner.runtime, &mut link, &binding, &own, node, channel);
            let info = said.await.map_err(|error| at(&error))?;
            self.meet(&info.identity);
            if channel.carries_state() {
                self.trust(node)?;
            }
            self.stands(&mut link, node);
            return Ok((link, info));
        }
        Err(last)
    }

    /// The hello on a connection with a peer is over.
    pub(super) fn stands(&self, link: &mut Link, node: NodeId) {
        let counted = Counted::new(self.connections(node));
        link.greeted(self.inner().settings.body_bytes_max, counted);
    }

    /// Does the peer's machine refuse a connection at once? Then no process listens there.
    pub(super) async fn is_refused(&self, node: NodeId) -> bool {
        let inner = self.inner();
        let refused = async {
            let mut is_any = false;
            for address in self.places(node).all() {
                let found = inner.runtime.resolve(&address.host).await;
                for ip in found.unwrap_or_default() {
                    let to = SocketAddr::new(ip, address.port);
                    match inner.runtime.connect_tcp(to).await.map_err(|e| e.kind()) {
                        Err(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => {}
                        Ok(_) | Err(_) => return false,
                    }
                    is_any = true;
                }
            }
            is_any
        };
        let refused = inner.runtime.timeout(AT_ONCE, refused).await;
        refused.unwrap_or(false)
    }

    /// Logs a complaint about a connection that this node dials, unless it is known.
    pub(super) fn complain(&self, node: NodeId, channel: Channel, what: &str) {
        let now = self.inner().runtime.now();
        let mut complaints = self.inner().complaints.lock();
        if complaints.complain(node, channel, what, now) {
            tracing::warn!("the {channel} connection to node {node}: {what}");
        }
    }

    /// The peer has answered something on a connection. Returns false if this must be said again,
    /// because the log is to hear of it and it is too early.
    pub(super) fn works(&self, node: NodeId, channel: Channel) -> bool {
        let now = self.inner().runtime.now();
        let is_news = self.inner().complaints.lock().works(node, channel, now);
        if is_news == Some(true) {
            tracing::info!("the {channel} connection to node {node} works again");
        }
        is_news.is_some()
    }

    /// Logs why an accepted connection did not get through its hello, unless it is known.
    pub(super) fn refused(&self, from: Option<SocketAddr>, error: &HelloError) {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let ip = from.unwrap_or(nowhere).ip();
        let now = self.inner().runtime.now();
        let mut complaints = self.inner().complaints.lock();
        if complaints.refuse(ip, &error.to_string(), now) {
            let from = from.map_or_else(|| "a peer".to_owned(), |from| from.to_string());
            tracing::warn!("a connection of {from} to the peer port ends: {error}");
        }
    }
}

//! Where a node is reached.

use std::net::SocketAddr;

/// Where the node was reached when it started, with the ports that were picked.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// ZooKeeper's clients.
    pub zookeeper: SocketAddr,
    /// HTTP, if it is served.
    pub http: Option<SocketAddr>,
    /// ZooKeeper's clients over TLS, if they have a port of their own.
    pub secure: Option<SocketAddr>,
    /// Metrics, if they have a port of their own.
    pub metrics: Option<SocketAddr>,
}

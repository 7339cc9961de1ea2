//! Where a node is reached by clients.

use std::net::SocketAddr;

/// Where clients reached the node when it started, with the ports that were picked.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// ZooKeeper's clients.
    pub zookeeper: SocketAddr,
    /// ZooKeeper's clients over TLS, if they have a port of their own.
    pub secure: Option<SocketAddr>,
}

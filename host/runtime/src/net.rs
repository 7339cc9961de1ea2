//! Sockets as the host sees them: streams of bytes and listeners that yield them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

/// One connection, either direction of which can be closed on its own.
///
/// Invariants, on real sockets and simulated ones:
/// - Nothing is delayed to be sent with later bytes (TCP_NODELAY is set).
/// - A peer that does not read makes writes wait; memory per direction is bounded.
/// - After the peer's `shutdown` reads end with 0 bytes, while writes still arrive.
/// - If the peer is gone, writes fail; if it left with input unread, reads fail, too, once what
///   had arrived was read.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The reading half after [`Stream::split`].
    type Reader: AsyncRead + Unpin + Send + 'static;
    /// The writing half after [`Stream::split`]; dropping it closes its direction.
    type Writer: AsyncWrite + Unpin + Send + 'static;

    /// The peer's address; `None` on a Unix socket.
    fn peer_addr(&self) -> Option<SocketAddr>;

    /// The address of this end; `None` on a Unix socket.
    fn local_addr(&self) -> Option<SocketAddr>;

    /// Two halves for two tasks. They share no lock, as `tokio::io::split`'s would.
    fn split(self) -> (Self::Reader, Self::Writer);
}

/// A socket that accepts connections until it is dropped.
pub trait Listener: Send + Sync + 'static {
    /// What it yields.
    type Stream: Stream;

    /// The next connection. Dropping the future loses none. An error concerns this one attempt
    /// (out of file descriptors, a client that left at once); the listener goes on, and the
    /// caller does well to pause a little before it tries again.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The bound address, with the port that was picked if 0 was asked for; `None` on a Unix
    /// socket.
    fn local_addr(&self) -> Option<SocketAddr>;
}

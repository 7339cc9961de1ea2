//! The traits of sockets: streams of bytes, and listeners that accept them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

/// One connection. Each of its two directions can be closed alone.
///
/// Invariants, for real and simulated sockets:
/// - Bytes are sent at once (TCP_NODELAY is set).
/// - If the peer does not read, writes wait. The memory of each direction is bounded.
/// - After the peer's `shutdown` reads end with 0 bytes, while writes still arrive.
/// - If the peer has closed the connection, writes fail. If it has left input unread, reads fail,
///   too, after the bytes that had arrived were read.
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
    /// The accepted connections.
    type Stream: Stream;

    /// The next connection. Dropping the future loses no connection. An error is about this attempt
    /// only (no file descriptors are left, a client has left at once). The listener goes on; the
    /// caller should wait a little before it tries again.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The bound address, with the port that the system has picked for port 0; `None` on a Unix
    /// socket.
    fn local_addr(&self) -> Option<SocketAddr>;
}

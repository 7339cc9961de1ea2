//! The seam between a socket and what protects it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use innkeeper_runtime::{Runtime, Stream};
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection to a peer, with its protection.
pub struct Wire {
    /// The bytes from the peer.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// The bytes to the peer.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// A value that both ends know and no one between them can choose, such as TLS's exporter (RFC
    /// 9266). The hello's proof covers it. Empty without protection.
    pub binding: Vec<u8>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

/// The future that [`Protection`]'s functions return.
pub type Protecting = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

/// Puts protection around the connections between nodes. The server implements it with TLS.
pub trait Protection<R: Runtime>: Send + Sync + 'static {
    /// Protects a connection that this node has made to the host `name`.
    fn dialed(&self, stream: R::Stream, name: &str) -> Protecting;

    /// Protects a connection that another node has made.
    fn accepted(&self, stream: R::Stream) -> Protecting;
}

/// No protection: the bytes go as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unprotected;

fn plain<R: Runtime>(stream: R::Stream) -> Protecting {
    let (reader, writer) = stream.split();
    let wire = Wire {
        reader: Box::new(reader),
        writer: Box::new(writer),
        binding: Vec::new(),
    };
    Box::pin(async { Ok(wire) })
}

impl<R: Runtime> Protection<R> for Unprotected {
    fn dialed(&self, stream: R::Stream, _name: &str) -> Protecting {
        plain::<R>(stream)
    }

    fn accepted(&self, stream: R::Stream) -> Protecting {
        plain::<R>(stream)
    }
}

//! TCP and Unix sockets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, tcp, unix};
use tokio::runtime::Handle;

use crate::{Listener, Stream};

/// How many connections the kernel holds for us until they are accepted.
const BACKLOG: u32 = 1024;

/// A real connection.
#[derive(Debug)]
pub enum RealStream {
    /// Over TCP, with both ends' addresses.
    Tcp {
        /// The socket.
        socket: TcpStream,
        /// The other end.
        peer: SocketAddr,
        /// This end.
        local: SocketAddr,
    },
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// The reading half of a [`RealStream`].
#[derive(Debug)]
pub enum RealReader {
    /// Of TCP.
    Tcp(tcp::OwnedReadHalf),
    /// Of a Unix socket.
    Unix(unix::OwnedReadHalf),
}

/// The writing half of a [`RealStream`].
#[derive(Debug)]
pub enum RealWriter {
    /// Of TCP.
    Tcp(tcp::OwnedWriteHalf),
    /// Of a Unix socket.
    Unix(unix::OwnedWriteHalf),
}

/// A real listening socket, and the runtime that drives what it accepts.
#[derive(Debug)]
pub struct RealListener {
    driver: Handle,
    socket: ListeningSocket,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener),
}

/// Polls a future inside a tokio runtime whose driver then serves the sockets it makes.
pub(super) async fn inside<F: Future>(driver: Handle, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        let _entered = driver.enter();
        future.as_mut().poll(cx)
    })
    .await
}

pub(super) fn listen_tcp(driver: Handle, addr: SocketAddr) -> io::Result<RealListener> {
    let entered = driver.enter();
    let bind = || {
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restarted server takes its port over from connections that linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(BACKLOG)?;
        let bound = listener.local_addr()?;
        Ok(ListeningSocket::Tcp(listener, bound))
    };
    let socket = bind().map_err(|error: io::Error| {
        let message = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{addr} is in use by another process: stop it, or listen on another port (0 picks a free one)"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "no permission to listen on {addr}: choose a port of 1024 or above"
            ),
            io::ErrorKind::AddrNotAvailable => format!(
                "cannot listen on {addr}: this machine does not have that address"
            ),
            _ => format!("cannot listen on {addr}: {error}"),
        };
        io::Error::new(error.kind(), message)
    })?;
    drop(entered);
    Ok(RealListener { driver, socket })
}

pub(super) async fn connect_tcp(addr: SocketAddr) -> io::Result<RealStream> {
    let socket = TcpStream::connect(addr).await?;
    RealStream::tcp(socket)
}

pub(super) fn listen_unix(driver: Handle, path: &Path) -> io::Result<RealListener> {
    let entered = driver.enter();
    // Bound under another name, closed to others, then renamed: nobody can connect in between,
    // and what a dead process left under the name is replaced in the same step.
    let fresh = path.with_extension("new");
    let bind = || {
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&fresh, path)?;
        Ok(ListeningSocket::Unix(listener))
    };
    let socket = bind().map_err(|error: io::Error| {
        let shown = path.display();
        io::Error::new(
            error.kind(),
            format!("cannot listen on the socket {shown}: {error}"),
        )
    })?;
    drop(entered);
    Ok(RealListener { driver, socket })
}

pub(super) async fn connect_unix(path: &Path) -> io::Result<RealStream> {
    let socket = UnixStream::connect(path).await?;
    Ok(RealStream::Unix(socket))
}

impl RealStream {
    fn tcp(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let (peer, local) = (socket.peer_addr()?, socket.local_addr()?);
        Ok(Self::Tcp {
            socket,
            peer,
            local,
        })
    }
}

impl Stream for RealStream {
    type Reader = RealReader;
    type Writer = RealWriter;

    fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { peer, .. } => Some(*peer),
            Self::Unix(_) => None,
        }
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { local, .. } => Some(*local),
            Self::Unix(_) => None,
        }
    }

    fn split(self) -> (RealReader, RealWriter) {
        match self {
            Self::Tcp { socket, .. } => {
                let (reader, writer) = socket.into_split();
                (RealReader::Tcp(reader), RealWriter::Tcp(writer))
            }
            Self::Unix(socket) => {
                let (reader, writer) = socket.into_split();
                (RealReader::Unix(reader), RealWriter::Unix(writer))
            }
        }
    }
}

impl Listener for RealListener {
    type Stream = RealStream;

    async fn accept(&self) -> io::Result<RealStream> {
        let accept = async {
            match &self.socket {
                ListeningSocket::Tcp(listener, _) => {
                    let (socket, _) = listener.accept().await?;
                    RealStream::tcp(socket)
                }
                ListeningSocket::Unix(listener) => {
                    let (socket, _) = listener.accept().await?;
                    Ok(RealStream::Unix(socket))
                }
            }
        };
        inside(self.driver.clone(), accept).await
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListeningSocket::Tcp(_, bound) => Some(*bound),
            ListeningSocket::Unix(_) => None,
        }
    }
}

impl AsyncRead for RealStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { socket, .. } => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for RealReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

/// Hands every call of `AsyncWrite` on to the socket that `$socket` matches.
macro_rules! write_through {
    ($type:ty, $tcp:pat => $tcp_socket:expr, $unix:pat => $unix_socket:expr) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $tcp => Pin::new($tcp_socket).poll_write(cx, data),
                    $unix => Pin::new($unix_socket).poll_write(cx, data),
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $tcp => Pin::new($tcp_socket).poll_write_vectored(cx, data),
                    $unix => Pin::new($unix_socket).poll_write_vectored(cx, data),
                }
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $tcp => Pin::new($tcp_socket).poll_flush(cx),
                    $unix => Pin::new($unix_socket).poll_flush(cx),
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $tcp => Pin::new($tcp_socket).poll_shutdown(cx),
                    $unix => Pin::new($unix_socket).poll_shutdown(cx),
                }
            }
        }
    };
}

write_through!(RealStream, Self::Tcp { socket, .. } => socket, Self::Unix(socket) => socket);
write_through!(RealWriter, Self::Tcp(socket) => socket, Self::Unix(socket) => socket);

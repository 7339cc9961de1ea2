//! TCP and Unix sockets.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, tcp, unix};
use tokio::runtime::Handle;

use super::socket_path::SocketPath;
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

/// The addresses of a name, as the system's resolver finds them, each of them once.
pub(super) async fn resolve(driver: Handle, name: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let unknown = |error: &dyn std::fmt::Display| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no host has the name {name}: {error}"),
        )
    };
    let found = inside(driver, tokio::net::lookup_host((name, 0))).await;
    let mut addresses = Vec::new();
    for addr in found.map_err(|error| unknown(&error))? {
        if !addresses.contains(&addr.ip()) {
            addresses.push(addr.ip());
        }
    }
    if addresses.is_empty() {
        return Err(unknown(&"the resolver gave no address"));
    }
    Ok(addresses)
}

pub(super) fn listen_tcp(driver: Handle, addr: SocketAddr) -> io::Result<RealListener> {
    let entered = driver.enter();
    let listening = match addr.ip().to_canonical().is_unspecified() {
        true => listen_everywhere(addr.port(), TcpSocket::new_v6),
        false => socket_for(addr).and_then(|socket| listen_on(socket, addr)),
    };
    let bound = listening.and_then(|listener| {
        let local = listener.local_addr()?;
        Ok(ListeningSocket::Tcp(listener, shown(addr, local)))
    });
    let socket = bound.map_err(|error: io::Error| {
        let message = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{addr} is in use by another process: stop it, or listen on another port (0 picks a free one)"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "no permission to listen on {addr}: choose a port of 1024 or above"
            ),
            io::ErrorKind::AddrNotAvailable => format!(
                "cannot listen on {addr}: this machine does not have that address; choose one that it has, or 0.0.0.0 for all of them"
            ),
            _ => format!("cannot listen on {addr}: {error}"),
        };
        io::Error::new(error.kind(), message)
    })?;
    drop(entered);
    Ok(RealListener { driver, socket })
}

fn socket_for(addr: SocketAddr) -> io::Result<TcpSocket> {
    match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}

fn listen_on(socket: TcpSocket, addr: SocketAddr) -> io::Result<TcpListener> {
    // A restarted server takes its port over from connections that linger in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Listens on all addresses of both families with one socket, and so on one port where the kernel
/// picks it. A kernel without IPv6 fails at any of these steps; what is left then is IPv4. A port
/// that is taken in one of the families is taken.
fn listen_everywhere(
    port: u16,
    new_v6: impl FnOnce() -> io::Result<TcpSocket>,
) -> io::Result<TcpListener> {
    let both = new_v6().and_then(|socket| {
        // The kernel's own default may be IPv6 alone (net.ipv6.bindv6only).
        SockRef::from(&socket).set_only_v6(false)?;
        listen_on(socket, (Ipv6Addr::UNSPECIFIED, port).into())
    });
    match both {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            tracing::debug!(%error, "no socket for IPv6: only IPv4 is listened on");
            listen_on(TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, port).into())
        }
        listening => listening,
    }
}

/// What a listener says of its address: what was asked for, with the port that was picked. Only
/// who asked for all addresses in IPv6's spelling, and got IPv4's, is told the difference.
fn shown(asked: SocketAddr, local: SocketAddr) -> SocketAddr {
    let ip = match asked.ip().to_canonical() {
        IpAddr::V4(all) if all.is_unspecified() => all.into(),
        _ => local.ip(),
    };
    SocketAddr::new(ip, local.port())
}

/// An IPv4 address that came inside an IPv6 address, as on a socket of both families, becomes IPv4
/// again.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), addr.port()),
        // Unchanged, because it may have a scope.
        IpAddr::V6(_) => addr,
    }
}

pub(super) async fn connect_tcp(addr: SocketAddr) -> io::Result<RealStream> {
    let socket = TcpStream::connect(addr).await?;
    RealStream::tcp(socket)
}

pub(super) fn listen_unix(driver: Handle, path: &Path) -> io::Result<RealListener> {
    let entered = driver.enter();
    // The socket is bound under another name, closed to other users, and then renamed. So no other
    // user can connect in between, and the socket file of a dead process is replaced in one step.
    let bind = || {
        let way = SocketPath::to(path)?;
        let fresh = way.path().with_extension("new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        let named = std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(&fresh, way.path()));
        if let Err(error) = named {
            // A failure does not matter: the file has a name that no program uses.
            let _ = std::fs::remove_file(&fresh);
            return Err(error);
        }
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
    let way = SocketPath::to(path)?;
    let socket = UnixStream::connect(way.path()).await?;
    Ok(RealStream::Unix(socket))
}

impl RealStream {
    fn tcp(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let (peer, local) = (
            canonical(socket.peer_addr()?),
            canonical(socket.local_addr()?),
        );
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

/// Passes each call of `AsyncWrite` to the socket that `$socket` matches.
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Client;

    use super::*;

    #[tokio::test]
    async fn without_ipv6_all_addresses_are_those_of_ipv4() {
        let none = || Err(io::ErrorKind::Unsupported.into());
        let listener = listen_everywhere(0, none).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listener.local_addr().unwrap().is_ipv4());
        Client::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        // If the port is taken, the other family is not tried.
        let taken = listen_everywhere(port, TcpSocket::new_v6);
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_listener_shows_what_was_asked_for() {
        for (asked, local, said) in [
            ("0.0.0.0:0", "[::]:7", "0.0.0.0:7"),
            ("0.0.0.0:7", "0.0.0.0:7", "0.0.0.0:7"),
            ("[::ffff:0.0.0.0]:7", "[::]:7", "0.0.0.0:7"),
            ("[::]:0", "[::]:7", "[::]:7"),
            ("[::]:7", "0.0.0.0:7", "0.0.0.0:7"),
            ("127.0.0.1:0", "127.0.0.1:7", "127.0.0.1:7"),
            ("[::1]:0", "[::1]:7", "[::1]:7"),
        ] {
            let shown = shown(asked.parse().unwrap(), local.parse().unwrap());
            assert_eq!(shown, said.parse().unwrap(), "{asked}");
        }
    }

    #[test]
    fn ipv4_takes_ipv6s_clothes_off() {
        for (addr, said) in [
            ("[::ffff:10.0.0.1]:7", "10.0.0.1:7"),
            ("10.0.0.1:7", "10.0.0.1:7"),
            ("[::1]:7", "[::1]:7"),
            ("[fe80::1%3]:7", "[fe80::1%3]:7"),
        ] {
            assert_eq!(canonical(addr.parse().unwrap()), said.parse().unwrap());
        }
    }
}

//! The simulated network: every address of one simulation, and the connections between them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use openraft_rt_sim::SimSleep;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::Simulated;
use super::pipe::{End, Found, Pipe};
use crate::{Listener, Runtime, Stream};

/// How many connections may wait at a listener until they are accepted. A further `connect` waits.
const BACKLOG: usize = 128;
/// The first port that is given out for port 0.
const FIRST_FREE_PORT: u16 = 32_768;

/// All listeners by their addresses.
///
/// Invariant: an entry exists exactly as long as its [`SimListener`].
#[derive(Debug)]
pub(super) struct Net {
    listeners: BTreeMap<Place, mpsc::Sender<SimStream>>,
    next_port: u16,
}

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Tcp(u16, IpAddr),
    Unix(PathBuf),
}

impl Net {
    pub(super) fn new() -> Self {
        Self {
            listeners: BTreeMap::new(),
            next_port: FIRST_FREE_PORT,
        }
    }

    fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            if !self.is_taken(port) {
                return port;
            }
        }
    }

    fn is_taken(&self, port: u16) -> bool {
        self.on_port(port).next().is_some()
    }

    fn on_port(&self, port: u16) -> impl Iterator<Item = (IpAddr, &mpsc::Sender<SimStream>)> {
        self.listeners
            .iter()
            .filter_map(move |(place, queue)| match place {
                Place::Tcp(at, ip) if *at == port => Some((*ip, queue)),
                _ => None,
            })
    }

    /// The queue of the listener on `addr`, or on its port at all addresses of both families.
    fn find_tcp(&self, addr: SocketAddr) -> Option<mpsc::Sender<SimStream>> {
        self.on_port(addr.port())
            .find(|(ip, _)| *ip == addr.ip() || is_any(*ip))
            .map(|(_, queue)| queue.clone())
    }
}

/// Does the address mean all addresses, in either spelling?
fn is_any(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}

/// A simulated listening socket.
#[derive(Debug)]
pub struct SimListener {
    world: Simulated,
    place: Place,
    // A lock, since accepting takes `&self`. It is held only while a connection is awaited.
    queue: tokio::sync::Mutex<mpsc::Receiver<SimStream>>,
}

pub(super) fn listen_tcp(world: &Simulated, addr: SocketAddr) -> io::Result<SimListener> {
    let mut net = world.world.net.lock();
    let port = match addr.port() {
        0 => net.free_port(),
        port => port,
    };
    let ip = addr.ip();
    let clash = |other: IpAddr| other == ip || is_any(other) || is_any(ip);
    if net.on_port(port).any(|(other, _)| clash(other)) {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!(
                "{addr} is in use by another process: stop it, or listen on another port (0 picks a free one)"
            ),
        ));
    }
    let place = Place::Tcp(port, ip);
    let (sender, queue) = mpsc::channel(BACKLOG);
    net.listeners.insert(place.clone(), sender);
    drop(net);
    Ok(SimListener {
        world: world.clone(),
        place,
        queue: tokio::sync::Mutex::new(queue),
    })
}

pub(super) fn listen_unix(world: &Simulated, path: &Path) -> SimListener {
    let place = Place::Unix(path.to_owned());
    let (sender, queue) = mpsc::channel(BACKLOG);
    world
        .world
        .net
        .lock()
        .listeners
        .insert(place.clone(), sender);
    SimListener {
        world: world.clone(),
        place,
        queue: tokio::sync::Mutex::new(queue),
    }
}

pub(super) async fn connect_tcp(world: Simulated, addr: SocketAddr) -> io::Result<SimStream> {
    let (queue, local) = {
        let mut net = world.world.net.lock();
        let ip = match addr {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let local = SocketAddr::new(ip, net.free_port());
        (net.find_tcp(addr), local)
    };
    connect(world, queue, Some((local, addr))).await
}

pub(super) async fn connect_unix(world: Simulated, path: &Path) -> io::Result<SimStream> {
    let place = Place::Unix(path.to_owned());
    let queue = world.world.net.lock().listeners.get(&place).cloned();
    connect(world, queue, None).await
}

async fn connect(
    world: Simulated,
    queue: Option<mpsc::Sender<SimStream>>,
    addrs: Option<(SocketAddr, SocketAddr)>,
) -> io::Result<SimStream> {
    let arrival = world.arrival();
    world.sleep_until(arrival).await;
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let queue = queue.ok_or_else(refused)?;
    let (here, there) = (
        Arc::new(Mutex::new(Pipe::default())),
        Arc::new(Mutex::new(Pipe::default())),
    );
    let client = SimStream::new(&world, &here, &there, addrs);
    let server = SimStream::new(
        &world,
        &there,
        &here,
        addrs.map(|(local, peer)| (peer, local)),
    );
    queue.send(server).await.map_err(|_| refused())?;
    Ok(client)
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&self) -> io::Result<SimStream> {
        let next = self.queue.lock().await.recv().await;
        // The queue ends when another listener took over this one's Unix path.
        next.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Tcp(port, ip) => Some(SocketAddr::new(*ip, *port)),
            Place::Unix(_) => None,
        }
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut net = self.world.world.net.lock();
        // A later listener may have this Unix path by now. Only a closed queue belongs to this
        // listener.
        self.queue.get_mut().close();
        if net
            .listeners
            .get(&self.place)
            .is_some_and(mpsc::Sender::is_closed)
        {
            net.listeners.remove(&self.place);
        }
    }
}

/// A simulated connection.
#[derive(Debug)]
pub struct SimStream {
    reader: SimReader,
    writer: SimWriter,
    addrs: Option<(SocketAddr, SocketAddr)>,
}

/// The reading half of a [`SimStream`].
pub struct SimReader {
    socket: Arc<Socket>,
    arrival: Option<SimSleep>,
}

/// The writing half of a [`SimStream`]; dropping it closes its direction.
pub struct SimWriter {
    socket: Arc<Socket>,
}

/// One end of a connection, shared by its halves and closed when both are gone.
struct Socket {
    world: Simulated,
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let left_unread = self.incoming.lock().leave();
        let end = if left_unread { End::Reset } else { End::Closed };
        self.outgoing.lock().end(self.world.arrival(), end);
    }
}

impl SimStream {
    fn new(
        world: &Simulated,
        incoming: &Arc<Mutex<Pipe>>,
        outgoing: &Arc<Mutex<Pipe>>,
        addrs: Option<(SocketAddr, SocketAddr)>,
    ) -> Self {
        let socket = Arc::new(Socket {
            world: world.clone(),
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
        });
        Self {
            reader: SimReader {
                socket: socket.clone(),
                arrival: None,
            },
            writer: SimWriter { socket },
            addrs,
        }
    }
}

impl Stream for SimStream {
    type Reader = SimReader;
    type Writer = SimWriter;

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.addrs.map(|(_, peer)| peer)
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.addrs.map(|(local, _)| local)
    }

    fn split(self) -> (SimReader, SimWriter) {
        (self.reader, self.writer)
    }
}

impl AsyncRead for SimReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(arrival) = &mut self.arrival {
                ready!(Pin::new(arrival).poll(cx));
                self.arrival = None;
            }
            let socket = &self.socket;
            let (now, limit) = (socket.world.now(), socket.world.read_limit());
            let found = socket.incoming.lock().read(cx, now, limit, buf);
            match found {
                Found::Ready(result) => return Poll::Ready(result),
                Found::Nothing => return Poll::Pending,
                Found::Later(at) => self.arrival = Some(self.socket.world.sleep_until(at)),
            }
        }
    }
}

impl AsyncWrite for SimWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let arrival = self.socket.world.arrival();
        self.socket.outgoing.lock().write(cx, arrival, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let arrival = self.socket.world.arrival();
        self.socket.outgoing.lock().end(arrival, End::Closed);
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimWriter {
    fn drop(&mut self) {
        let arrival = self.socket.world.arrival();
        self.socket.outgoing.lock().end(arrival, End::Closed);
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

impl fmt::Debug for SimReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimReader")
    }
}

impl fmt::Debug for SimWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimWriter")
    }
}

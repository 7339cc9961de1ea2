//! Simulated sockets: listeners, streams and their halves.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use openraft_rt_sim::SimSleep;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::net::{CONNECT_TIMEOUT, Network, Place};
use super::pipe::Found;
use super::wires::{HostId, Plug};
use crate::{Listener, Select2, Stream, select2};

/// A simulated listening socket.
#[derive(Debug)]
pub struct SimListener {
    net: Arc<Network>,
    host: HostId,
    place: Place,
    // A lock, since accepting takes `&self`. It is held only while a connection is awaited.
    queue: tokio::sync::Mutex<mpsc::Receiver<Plug>>,
}

pub(super) fn listen_tcp(
    net: &Arc<Network>,
    host: HostId,
    addr: SocketAddr,
) -> io::Result<SimListener> {
    if net
        .find(host, addr.ip())
        .is_none_or(|(found, _)| found != host)
    {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("cannot listen on {addr}: this machine does not have that address"),
        ));
    }
    let port = match addr.port() {
        0 => net.free_port(host),
        port => port,
    };
    let place = Place::Tcp(port, addr.ip());
    let Some(queue) = net.listen(host, place.clone()) else {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!(
                "{addr} is in use by another process: stop it, or listen on another port (0 picks a free one)"
            ),
        ));
    };
    Ok(SimListener::new(net, host, place, queue))
}

pub(super) fn listen_unix(net: &Arc<Network>, host: HostId, path: &Path) -> SimListener {
    let place = Place::Unix(path.to_owned());
    let queue = net.listen(host, place.clone());
    let queue = queue.expect("only TCP addresses clash");
    SimListener::new(net, host, place, queue)
}

pub(super) async fn connect_tcp(
    net: Arc<Network>,
    from: HostId,
    addr: SocketAddr,
) -> io::Result<SimStream> {
    let Some((to, own)) = net.find(from, addr.ip()) else {
        return Err(io::ErrorKind::HostUnreachable.into());
    };
    let local = SocketAddr::new(own, net.free_port(from));
    let place = Place::Tcp(addr.port(), addr.ip());
    connect(net, (from, to), place, Some((local, addr))).await
}

pub(super) async fn connect_unix(
    net: Arc<Network>,
    host: HostId,
    path: &Path,
) -> io::Result<SimStream> {
    connect(net, (host, host), Place::Unix(path.to_owned()), None).await
}

async fn connect(
    net: Arc<Network>,
    (from, to): (HostId, HostId),
    place: Place,
    addrs: Option<(SocketAddr, SocketAddr)>,
) -> io::Result<SimStream> {
    let given_up = net.clock.sleep_until(net.clock.now() + CONNECT_TIMEOUT);
    let connecting = async {
        net.travel(from, to).await;
        let lets_in = net.lets_in(from, to).await;
        let accepted = match net.listener(to, &place) {
            Some(queue) if lets_in => {
                let (client, server) = net.wires(|wires, _| wires.connect(from, to, addrs));
                let client = SimStream::new(&net, client);
                match queue.send(server).await {
                    Ok(()) => Some(client),
                    Err(undelivered) => {
                        net.wires(|wires, now| wires.close(now, &undelivered.0));
                        None
                    }
                }
            }
            Some(_) | None => None,
        };
        net.travel(to, from).await;
        accepted.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    };
    match select2(connecting, given_up).await {
        Select2::First(connected) => connected,
        Select2::Second(()) => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl SimListener {
    fn new(net: &Arc<Network>, host: HostId, place: Place, queue: mpsc::Receiver<Plug>) -> Self {
        Self {
            net: net.clone(),
            host,
            place,
            queue: tokio::sync::Mutex::new(queue),
        }
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&self) -> io::Result<SimStream> {
        let next = self.queue.lock().await.recv().await;
        match next {
            Some(plug) => Ok(SimStream::new(&self.net, plug)),
            // The queue ends when another listener took over this one's Unix path.
            None => Err(io::ErrorKind::NotConnected.into()),
        }
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
        let queue = self.queue.get_mut();
        queue.close();
        self.net.unlisten(self.host, &self.place);
        while let Ok(plug) = queue.try_recv() {
            self.net.wires(|wires, now| wires.close(now, &plug));
        }
    }
}

/// A simulated connection.
#[derive(Debug)]
pub struct SimStream {
    reader: SimReader,
    writer: SimWriter,
}

/// The reading half of a [`SimStream`].
pub struct SimReader {
    socket: Arc<Socket>,
    arrival: Option<SimSleep>,
}

/// The writing half of a [`SimStream`]; dropping it closes its direction.
pub struct SimWriter {
    socket: Arc<Socket>,
    reset: Option<SimSleep>,
}

/// One end of a connection, shared by its halves and closed when both are gone.
struct Socket {
    net: Arc<Network>,
    plug: Plug,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.net.wires(|wires, now| wires.close(now, &self.plug));
    }
}

impl Socket {
    /// Ends the direction that this end writes.
    fn shut_down(&self) {
        self.net
            .wires(|wires, now| wires.shut_down(now, &self.plug));
    }
}

impl SimStream {
    fn new(net: &Arc<Network>, plug: Plug) -> Self {
        let socket = Arc::new(Socket {
            net: net.clone(),
            plug,
        });
        Self {
            reader: SimReader {
                socket: socket.clone(),
                arrival: None,
            },
            writer: SimWriter {
                socket,
                reset: None,
            },
        }
    }

    fn addrs(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.reader.socket.plug.addrs
    }
}

impl Stream for SimStream {
    type Reader = SimReader;
    type Writer = SimWriter;

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.addrs().map(|(_, peer)| peer)
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.addrs().map(|(local, _)| local)
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
            let Socket { net, plug } = &*self.socket;
            let limit = net.wires(|wires, _| wires.link(plug.there, plug.here).read_limit());
            let found = plug.incoming.lock().read(cx, net.clock.now(), limit, buf);
            match found {
                Found::Ready(result) => return Poll::Ready(result),
                Found::Nothing => return Poll::Pending,
                Found::Later(at) => self.arrival = Some(self.socket.net.clock.sleep_until(at)),
            }
        }
    }
}

impl AsyncWrite for SimWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let Socket { net, plug } = &*self.socket;
            let now = net.clock.now();
            let reset = plug.incoming.lock().reset_at();
            if plug.outgoing.lock().is_ended() || reset.is_some_and(|at| at <= now) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = plug.outgoing.lock().room(cx, data.len());
            if room > 0 || data.is_empty() {
                self.reset = None;
                return Poll::Ready(Ok(self.socket.send(&data[..room])));
            }
            let Some(at) = reset else {
                return Poll::Pending;
            };
            let timer = net.clock.sleep_until(at);
            let timer = self.reset.insert(timer);
            ready!(Pin::new(timer).poll(cx));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.shut_down();
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    /// Sends all of `data` and returns its length.
    fn send(&self, data: &[u8]) -> usize {
        let Socket { net, plug } = self;
        if !data.is_empty() {
            net.wires(|wires, now| {
                let link = wires.link(plug.here, plug.there);
                let (arrival, is_cut) = (link.arrival(now, data.len()), link.cut_at().is_some());
                net.clock.note(format_args!(
                    "{} sends {} bytes to {} for {}",
                    plug.here,
                    data.len(),
                    plug.there,
                    arrival.as_nanos()
                ));
                let mut pipe = plug.outgoing.lock();
                pipe.write(arrival, data);
                let in_vain = pipe.is_reader_gone() && !is_cut;
                drop(pipe);
                if in_vain {
                    wires.answer_with_reset(now, plug);
                }
            });
        }
        data.len()
    }
}

impl Drop for SimWriter {
    fn drop(&mut self) {
        self.socket.shut_down();
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

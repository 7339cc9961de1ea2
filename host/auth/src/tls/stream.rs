//! A client's connection, whatever carries it: plain, or inside TLS. What was read to find that
//! out comes first.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use innkeeper_runtime::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio_rustls::server::TlsStream;

/// A stream whose first byte was read already.
#[derive(Debug)]
pub(super) struct Peeked<S> {
    first: Option<u8>,
    stream: S,
}

impl<S> Peeked<S> {
    /// Puts `first` before what the stream still holds.
    pub(super) fn new(first: Option<u8>, stream: S) -> Self {
        Self { first, stream }
    }
}

/// A client's connection.
///
/// Invariant: when a read is pending, all complete input has been read, from the socket and from
/// TLS; only a part of a TLS record may be left. (test: `a_probe_finds_what_waits_inside_tls`)
#[derive(Debug)]
pub struct ClientStream<S>(Carrier<S>);

#[derive(Debug)]
enum Carrier<S> {
    /// The socket itself.
    Plain(Peeked<S>),
    /// TLS over the socket.
    Tls(Box<TlsStream<Peeked<S>>>),
}

impl<S> ClientStream<S> {
    pub(super) fn plain(stream: Peeked<S>) -> Self {
        Self(Carrier::Plain(stream))
    }

    pub(super) fn tls(stream: TlsStream<Peeked<S>>) -> Self {
        Self(Carrier::Tls(Box::new(stream)))
    }

    /// Whether what the client sends comes inside TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.0, Carrier::Tls(_))
    }
}

impl<S: Stream> Stream for ClientStream<S> {
    // Nobody splits a client's connection; TLS could not do without a lock.
    type Reader = ReadHalf<Self>;
    type Writer = WriteHalf<Self>;

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.socket().peer_addr()
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.socket().local_addr()
    }

    fn split(self) -> (Self::Reader, Self::Writer) {
        tokio::io::split(self)
    }
}

impl<S> ClientStream<S> {
    fn socket(&self) -> &S {
        match &self.0 {
            Carrier::Plain(peeked) => &peeked.stream,
            Carrier::Tls(tls) => &tls.get_ref().0.stream,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() > 0
            && let Some(first) = this.first.take()
        {
            buf.put_slice(&[first]);
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            // What follows comes in the same read, if it is there.
            return match Pin::new(&mut this.stream).poll_read(cx, buf) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(())),
            };
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Peeked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Carrier::Plain(plain) => Pin::new(plain).poll_read(cx, buf),
            Carrier::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Carrier::Plain(plain) => Pin::new(plain).poll_write(cx, data),
            Carrier::Tls(tls) => Pin::new(tls).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Carrier::Plain(plain) => Pin::new(plain).poll_flush(cx),
            Carrier::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Carrier::Plain(plain) => Pin::new(plain).poll_shutdown(cx),
            Carrier::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

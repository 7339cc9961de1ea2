//! One connection that is read and written by one task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use innkeeper_runtime::Latest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frame::{self, Frame};
use super::wire::Wire;

/// A task puts no further frames on a link while so many bytes wait to be sent. One frame may go
/// beyond it.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// Counts a connection among those that stand with a peer, until it is dropped.
pub(super) struct Counted(Latest<usize>);

impl Counted {
    pub(super) fn new(count: Latest<usize>) -> Self {
        count.update(|count| {
            *count += 1;
            true
        });
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.update(|count| {
            *count -= 1;
            true
        });
    }
}

/// A connection with its buffers.
///
/// Invariant: dropping the future of [`Link::next`] loses nothing, so a task may wait for other
/// things beside it.
pub(super) struct Link {
    wire: Wire,
    input: BytesMut,
    output: BytesMut,
    /// Bytes were written that are not flushed.
    unflushed: bool,
    body_bytes_max: usize,
    /// Present after the hello.
    counted: Option<Counted>,
}

impl Link {
    pub(super) fn new(wire: Wire, body_bytes_max: usize) -> Self {
        Self {
            wire,
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            body_bytes_max,
            counted: None,
        }
    }

    /// The hello is over: bodies of another length are allowed, and the connection counts.
    pub(super) fn greeted(&mut self, body_bytes_max: usize, counted: Counted) {
        self.body_bytes_max = body_bytes_max;
        self.counted = Some(counted);
    }

    /// Is there room for another frame?
    pub(super) fn has_room(&self) -> bool {
        self.output.len() < WAITING_BYTES_MAX
    }

    /// Appends a frame to what is sent. [`Link::next`] and [`Link::flush`] send it.
    pub(super) fn put<E>(
        &mut self,
        kind: u8,
        number: u64,
        body: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<frame::TooLong>,
    {
        frame::put(&mut self.output, kind, number, body)
    }

    /// Appends bytes that are no frame.
    pub(super) fn put_raw(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// The next frame from the peer. Meanwhile it sends what waits. The end of the connection is an
    /// error.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next frame from the peer. If there was no room for another frame, it also ends when there
    /// is again, with `None`.
    pub(super) async fn next_or_room(&mut self) -> io::Result<Option<Frame>> {
        let was_full = !self.has_room();
        poll_fn(|cx| {
            let next = self.poll_next(cx);
            if next.is_pending() && was_full && self.has_room() {
                return Poll::Ready(Ok(None));
            }
            next.map_ok(Some)
        })
        .await
    }

    /// The next `len` bytes from the peer, which are no frame.
    pub(super) async fn next_raw(&mut self, len: usize) -> io::Result<BytesMut> {
        poll_fn(|cx| {
            self.poll_send(cx)?;
            while self.input.len() < len {
                if self.poll_read(cx)?.is_pending() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(Ok(self.input.split_to(len)))
        })
        .await
    }

    /// Sends everything that waits.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            self.poll_send(cx)?;
            if self.output.is_empty() && !self.unflushed {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Frame>> {
        self.poll_send(cx)?;
        loop {
            if let Some(frame) = frame::take(&mut self.input, self.body_bytes_max)? {
                return Poll::Ready(Ok(frame));
            }
            if self.poll_read(cx)?.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Reads once.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.reserve(16 << 10);
        let read = pin!(self.wire.reader.read_buf(&mut self.input)).poll(cx);
        read.map(|read| match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        })
    }

    /// Sends as much as the connection takes now. If something is left, the task is woken when
    /// there is room.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.output.is_empty() {
            match pin!(self.wire.writer.write_buf(&mut self.output)).poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => self.unflushed = true,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if self.unflushed
            && let Poll::Ready(flushed) = pin!(self.wire.writer.flush()).poll(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }
}

//! One direction of a simulated connection: bytes on their way from a writer to a reader.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use crate::Instant;

/// The greatest number of bytes on their way in one direction; then the writer waits.
pub(super) const CAPACITY_BYTES: usize = 64 * 1024;

/// How a direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The writer closed it: reads return 0 bytes.
    Closed,
    /// The writer closed the connection with unread input: reads fail.
    Reset,
}

/// The result of a read.
pub(super) enum Found {
    /// Bytes were copied, or the end was reached.
    Ready(io::Result<()>),
    /// Something arrives at this instant; read again then.
    Later(Instant),
    /// Nothing is on its way; the reader is woken when that changes.
    Nothing,
}

/// Bytes on their way, in chunks with the times of their arrival.
///
/// Invariants: chunks arrive in the order written, the end after all of them, and no more than
/// [`CAPACITY_BYTES`] are on their way.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    last_arrival: Instant,
    end: Option<(Instant, End)>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// Copies what has arrived by `now`, at most `limit` bytes.
    pub(super) fn read(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        limit: usize,
        buf: &mut ReadBuf<'_>,
    ) -> Found {
        if let Some((arrival, chunk)) = self.chunks.front_mut() {
            if *arrival > now {
                return Found::Later(*arrival);
            }
            let count = chunk.len().min(buf.remaining()).min(limit.max(1));
            buf.put_slice(&chunk[..count]);
            chunk.advance(count);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            self.bytes -= count;
            wake(&mut self.writer);
            return Found::Ready(Ok(()));
        }
        match self.end {
            Some((arrival, _)) if arrival > now => Found::Later(arrival),
            Some((_, End::Closed)) => Found::Ready(Ok(())),
            Some((_, End::Reset)) => Found::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {
                self.reader = Some(cx.waker().clone());
                Found::Nothing
            }
        }
    }

    /// Sends as much of `data` as there is room for, to arrive at `arrival`.
    pub(super) fn write(
        &mut self,
        cx: &Context<'_>,
        arrival: Instant,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.reader_gone || self.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY_BYTES - self.bytes;
        if room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = data.len().min(room);
        if count > 0 {
            self.last_arrival = self.last_arrival.max(arrival);
            let chunk = Bytes::copy_from_slice(&data[..count]);
            self.chunks.push_back((self.last_arrival, chunk));
            self.bytes += count;
            wake(&mut self.reader);
        }
        Poll::Ready(Ok(count))
    }

    /// Ends the direction for its writer. A reset replaces a close.
    pub(super) fn end(&mut self, arrival: Instant, end: End) {
        if self.end.is_none() || end == End::Reset {
            self.last_arrival = self.last_arrival.max(arrival);
            self.end = Some((self.last_arrival, end));
            wake(&mut self.reader);
        }
    }

    /// Ends the direction for its reader: writes fail from now on. Returns whether there are unread
    /// bytes.
    pub(super) fn leave(&mut self) -> bool {
        self.reader_gone = true;
        self.chunks.clear();
        wake(&mut self.writer);
        std::mem::take(&mut self.bytes) > 0
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

//! One direction of a simulated connection: bytes on their way from a writer to a reader.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Waker};

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
    /// The connection broke, or its writer closed it with unread input: reads fail.
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
/// Invariants:
/// - Chunks arrive in the order written, the end after all of them.
/// - No more than [`CAPACITY_BYTES`] are on their way.
/// - What was on its way when the link was cut, or is written after that, waits until it heals.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    last_arrival: Instant,
    end: Option<(Instant, End)>,
    cut_at: Option<Instant>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// An empty pipe over a link that may be cut.
    pub(super) fn over(cut_at: Option<Instant>) -> Self {
        Self {
            cut_at,
            ..Self::default()
        }
    }

    /// Copies what has arrived by `now`, at most `limit` bytes.
    pub(super) fn read(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        limit: usize,
        buf: &mut ReadBuf<'_>,
    ) -> Found {
        let next = self.chunks.front().map(|(arrival, _)| *arrival);
        let Some(arrival) = next.or(self.end.map(|(arrival, _)| arrival)) else {
            return self.nothing(cx);
        };
        if self.waits(arrival) {
            return self.nothing(cx);
        }
        if arrival > now {
            return Found::Later(arrival);
        }
        if let Some((_, chunk)) = self.chunks.front_mut() {
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
        Found::Ready(match self.end {
            Some((_, End::Reset)) => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(()),
        })
    }

    fn nothing(&mut self, cx: &Context<'_>) -> Found {
        self.reader = Some(cx.waker().clone());
        Found::Nothing
    }

    /// Does the cut link hold back what was to arrive then?
    fn waits(&self, arrival: Instant) -> bool {
        self.cut_at.is_some_and(|cut_at| arrival > cut_at)
    }

    /// How many of `wanted` bytes can be written; with 0 the writer is woken when that changes.
    pub(super) fn room(&mut self, cx: &Context<'_>, wanted: usize) -> usize {
        let room = (CAPACITY_BYTES - self.bytes).min(wanted);
        if room == 0 {
            self.writer = Some(cx.waker().clone());
        }
        room
    }

    /// Sends `data`, for which there must be room.
    pub(super) fn write(&mut self, arrival: Instant, data: &[u8]) {
        self.last_arrival = self.last_arrival.max(arrival);
        let chunk = Bytes::copy_from_slice(data);
        self.bytes += chunk.len();
        self.chunks.push_back((self.last_arrival, chunk));
        wake(&mut self.reader);
    }

    /// Ends the direction for its writer. A reset replaces a close.
    pub(super) fn end(&mut self, arrival: Instant, end: End) {
        let replaces = match self.end {
            None => true,
            Some((_, old)) => old == End::Closed && end == End::Reset,
        };
        if replaces {
            self.last_arrival = self.last_arrival.max(arrival);
            self.end = Some((self.last_arrival, end));
            wake(&mut self.reader);
        }
    }

    /// Has the writer ended it?
    pub(super) fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// When its reader learns that the connection broke, if that is on its way.
    pub(super) fn reset_at(&self) -> Option<Instant> {
        match self.end {
            Some((arrival, End::Reset)) if !self.waits(arrival) => Some(arrival),
            _ => None,
        }
    }

    /// Has the reader closed the connection, so that what is written is lost?
    pub(super) fn is_reader_gone(&self) -> bool {
        self.reader_gone
    }

    /// The reader has gone. Returns whether there are unread bytes, which the reader's machine
    /// answers with a reset. What a cut link holds back stays, since its writer hears nothing yet.
    pub(super) fn leave(&mut self) -> bool {
        self.reader_gone = true;
        let before = self.bytes;
        if self.cut_at.is_none() {
            self.drop_chunks();
        }
        before > 0
    }

    /// Breaks the connection for its reader and its writer at once. What was on its way is lost.
    pub(super) fn break_at(&mut self, now: Instant) {
        self.drop_chunks();
        self.last_arrival = now;
        self.cut_at = None;
        self.end = Some((now, End::Reset));
        wake(&mut self.reader);
    }

    fn drop_chunks(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
        wake(&mut self.writer);
    }

    /// The link is cut: nothing arrives after `now`.
    pub(super) fn cut(&mut self, now: Instant) {
        self.cut_at.get_or_insert(now);
    }

    /// The link heals: what waited arrives at `arrival` or later. Returns whether bytes reach a
    /// machine whose reader has gone.
    pub(super) fn heal(&mut self, arrival: Instant) -> bool {
        let Some(cut_at) = self.cut_at.take() else {
            return false;
        };
        for at in self.chunks.iter_mut().map(|(at, _)| at) {
            if *at > cut_at {
                *at = arrival.max(*at);
            }
        }
        if let Some((at, _)) = &mut self.end
            && *at > cut_at
        {
            *at = arrival.max(*at);
        }
        self.last_arrival = self.last_arrival.max(arrival);
        wake(&mut self.reader);
        let lost = self.reader_gone && self.bytes > 0;
        if self.reader_gone {
            self.drop_chunks();
        }
        lost
    }

    /// Wakes the writer, which may fail now.
    pub(super) fn wake_writer(&mut self) {
        wake(&mut self.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

//! The socket of one connection, its input and its output.
//!
//! One wake-up of a connection's task is one [`Socket::turn`]: write what there is to write with as
//! few calls as the socket takes, read once if reading is wanted, and return when there is
//! something to do. Parsing and answering happen between turns, so everything that one read
//! brought is answered by one write.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use innkeeper_proto::frame::{FrameDecoder, FrameError, Inbound};
use innkeeper_proto::{DecodeError, OpCode};
use innkeeper_runtime::Stream;
use tokio::io::AsyncReadExt;

use crate::delivery::outbox::Close;
use crate::settings::MAX_OUTPUT_BYTES;
use crate::throttle::answers::AnswerRoom;

/// Room that is made for one read, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// Input that a suspected session's probe may add to what waits already, in bytes.
const PROBE_INPUT_BYTES: usize = 1024 * 1024;

/// Why a connection ends. None of these concerns any other connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// All that was to be said was said: closeSession, a word, a refusal.
    #[error("done")]
    Done,
    /// The client closed its end.
    #[error("the client left")]
    Left,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    /// What came is not a frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A frame that is not a message.
    #[error("{0}")]
    Message(#[from] DecodeError),
    /// The node wants it closed.
    #[error("closed by this node: {0:?}")]
    Told(Close),
    /// The session is gone, or served elsewhere.
    #[error("the session ended or moved")]
    SessionOver,
    /// The client has seen a state that this node does not have.
    #[error(
        "the client has seen zxid {seen:#x}, this node is at {here:#x}: it must ask another node"
    )]
    Ahead {
        /// What the client has seen.
        seen: i64,
        /// What this node has applied.
        here: u64,
    },
    /// The first frame did not come in time.
    #[error("no first frame within {0} ms")]
    Silent(u64),
    /// Too many bytes of large requests are outstanding.
    #[error(
        "a request of {0} bytes would exceed what all large ones may take together: raise largeRequestMaxBytes, or send less"
    )]
    LargeRequests(usize),
    /// The node has no quorum, and the client may not be served without one.
    #[error("this node has no quorum: the client must ask another")]
    NoQuorum,
    /// A request has waited for longer than its session's timeout.
    #[error(
        "a request has waited for longer than its session's timeout (request_stale_latency_check)"
    )]
    Stale,
    /// The connect request came when too many did.
    #[error("too many connect requests at once (connection_throttle_tokens)")]
    Throttled,
    /// The node cannot serve now.
    #[error("{0}")]
    Unavailable(String),
}

/// Whether a request with that number brings credentials.
pub(crate) const fn is_credentials(op: i32) -> bool {
    op == OpCode::Auth.as_i32() || op == OpCode::Sasl.as_i32()
}

/// What a turn has brought.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Turn {
    /// Bytes came.
    pub(crate) input: bool,
    /// Reading was tried, and nothing was there.
    pub(crate) nothing_buffered: bool,
}

/// What a turn is to do besides writing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    /// Read, if something is there.
    pub(crate) read: bool,
    /// Read even though reading is stopped: the session is suspected of silence.
    pub(crate) probe: bool,
    /// Return when the output has room again.
    pub(crate) room: bool,
}

/// The socket and its buffers.
///
/// Invariant: only whole frames leave `input`; only what the socket took leaves `output`.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    input: BytesMut,
    decoder: FrameDecoder,
    /// What is to be sent, frame after frame.
    pub(crate) output: BytesMut,
    /// The room of a large answer in `output`, as long as more of it is left than
    /// [`MAX_OUTPUT_BYTES`].
    large: Option<AnswerRoom>,
    /// Something was written that the stream may not have handed on.
    unflushed: bool,
}

impl<S: Stream> Socket<S> {
    /// A fresh connection that takes frames up to that length.
    pub(crate) fn new(stream: S, max_frame_bytes: usize) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            decoder: FrameDecoder::new(max_frame_bytes),
            output: BytesMut::new(),
            large: None,
            unflushed: false,
        }
    }

    /// The next whole frame of what was read.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Inbound>, FrameError> {
        self.decoder.decode(&mut self.input)
    }

    /// The next bytes of what was read, if so many are there, outside of any frame.
    pub(crate) fn take_raw<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.input.first_chunk::<N>()?;
        self.input.advance(N);
        Some(bytes)
    }

    /// Whether what was read and not taken is, or begins, a request that is no credentials.
    pub(crate) fn holds_a_request(&self) -> bool {
        let mut rest = &self.input[..];
        while !rest.is_empty() {
            let number = |at: usize| {
                let bytes = rest.get(at..)?.first_chunk::<4>()?;
                Some(i32::from_be_bytes(*bytes))
            };
            // A length, an xid, and the number of what is asked: until it has come, it may be
            // anything.
            match (number(0), number(8)) {
                (Some(length), Some(op)) if is_credentials(op) => {
                    let bytes = 4 + usize::try_from(length).unwrap_or(0);
                    rest = rest.get(bytes..).unwrap_or_default();
                }
                _ => return true,
            }
        }
        false
    }

    /// Whether so much waits for the socket that nothing more is answered.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= MAX_OUTPUT_BYTES
    }

    /// A large answer was put into the output, which keeps its room until most of it is sent.
    pub(crate) fn has_large_answer(&mut self, room: AnswerRoom) {
        room.left(self.output.len());
        self.large = Some(room);
    }

    /// Writes, reads, and returns when there is something to do; `others` is polled last and
    /// says whether something else is.
    pub(crate) async fn turn(
        &mut self,
        wants: Wants,
        mut others: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Turn, End> {
        let read = wants.read || (wants.probe && self.input.len() < PROBE_INPUT_BYTES);
        poll_fn(|cx| {
            let mut turn = Turn::default();
            let mut ready = self.poll_write(cx)? && wants.room && !self.is_full();
            if read {
                match self.poll_read(cx)? {
                    Poll::Ready(()) => {
                        turn.input = true;
                        ready = true;
                    }
                    Poll::Pending => {
                        turn.nothing_buffered = true;
                        ready |= wants.probe;
                    }
                }
            }
            if wants.probe && !read {
                // A client that sends and sends and never reads counts as silent.
                turn.nothing_buffered = true;
                ready = true;
            }
            ready |= others(cx).is_ready();
            if ready {
                Poll::Ready(Ok(turn))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Sends the rest of the output and closes this direction.
    pub(crate) async fn finish(&mut self) -> Result<(), End> {
        poll_fn(|cx| {
            self.poll_write(cx)?;
            if self.output.is_empty() {
                Poll::Ready(Ok::<_, End>(()))
            } else {
                Poll::Pending
            }
        })
        .await?;
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        Ok(())
    }

    /// Writes what the socket takes; true if it took something.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut took = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(Ok(written)) => {
                    self.output.advance(written);
                    took = true;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => break,
            }
        }
        if took && let Some(room) = &self.large {
            room.left(self.output.len());
            if !self.is_full() {
                // The rest moves to where it takes no more than its own length.
                self.output = BytesMut::from(&self.output[..]);
                self.large = None;
            }
        }
        // What TLS has taken it may still hold; a socket holds nothing.
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        if self.output.is_empty() {
            if self.output.capacity() > 2 * MAX_OUTPUT_BYTES {
                // One large reply must not keep its memory for the life of the connection.
                self.output = BytesMut::new();
            } else {
                self.output.clear();
            }
        }
        Ok(took)
    }

    /// Reads once.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        self.input.reserve(READ_BYTES);
        match pin!(self.stream.read_buf(&mut self.input)).poll(cx) {
            Poll::Ready(Ok(0)) => Err(End::Left),
            Poll::Ready(Ok(_)) => Ok(Poll::Ready(())),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => Ok(Poll::Pending),
        }
    }
}

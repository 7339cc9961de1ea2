//! The socket of one connection, its input and its output.
//!
//! Each wake-up of a connection's task is one [`Socket::turn`]: it writes the output with as few
//! calls as the socket allows, reads once if reading is wanted, and returns when there is something
//! to do. Requests are parsed and answered between turns, so all requests that came with one read
//! are answered with one write.

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
use crate::expiry::TooLate;
use crate::settings::MAX_OUTPUT_BYTES;
use crate::throttle::answers::AnswerRoom;

/// The room that is made for one read, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// The bytes of input that may be added while a suspected session's socket is read.
const PROBE_INPUT_BYTES: usize = 1024 * 1024;

/// Why a connection ends. No reason concerns another connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The last answer was sent: to closeSession, to a four-letter word, or a refusal.
    #[error("done")]
    Done,
    /// The client closed the connection.
    #[error("the client closed the connection")]
    Left,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The input is not a frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A frame holds no message.
    #[error("{0}")]
    Message(#[from] DecodeError),
    /// Another part of the node decided that the connection must end.
    #[error("closed by this node: {0:?}")]
    Told(Close),
    /// The client has spoken after its session's silence was told to the leader.
    #[error(transparent)]
    TooLate(#[from] TooLate),
    /// The session has ended, or another connection serves it.
    #[error("the session ended or moved")]
    SessionOver,
    /// The client has seen a newer state than this node has.
    #[error(
        "the client has seen zxid {seen:#x}, and this node is at {here:#x}: it must ask another node"
    )]
    Ahead {
        /// The zxid that the client has seen.
        seen: i64,
        /// The zxid that this node has applied.
        here: u64,
    },
    /// The first frame did not come in time.
    #[error("the client sent no first frame within {0} ms")]
    Silent(u64),
    /// Large requests that are not answered have too many bytes together.
    #[error(
        "a request of {0} bytes goes beyond what all large requests may take together: raise largeRequestMaxBytes, or send less"
    )]
    LargeRequests(usize),
    /// The node has no quorum, and the client did not agree to be read-only.
    #[error("this node has no quorum: the client must ask another node")]
    NoQuorum,
    /// The node lacks the module of an active authorizer.
    #[error("this node lacks the module of an active authorizer: the client must ask another node")]
    NoAuthorizer,
    /// A request has waited for longer than its session's timeout.
    #[error(
        "a request has waited for longer than its session's timeout (request_stale_latency_check)"
    )]
    Stale,
    /// Too many connect requests came at the time of this one.
    #[error("too many connect requests at once (connection_throttle_tokens)")]
    Throttled,
    /// The node cannot serve now: it starts, stops or has failed.
    #[error("{0}")]
    Unavailable(String),
}

/// Whether a request with this xid brings credentials.
pub(crate) const fn is_credentials(op: i32) -> bool {
    op == OpCode::Auth.as_i32() || op == OpCode::Sasl.as_i32()
}

/// What a turn has found.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Turn {
    /// Bytes came.
    pub(crate) input: bool,
    /// The socket was read, and nothing was there.
    pub(crate) nothing_buffered: bool,
}

/// What a turn is to do besides writing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    /// Read, if something is there.
    pub(crate) read: bool,
    /// Read even though reading is paused: the session is suspected of silence.
    pub(crate) probe: bool,
    /// Return when the output has room again.
    pub(crate) room: bool,
}

/// The socket and its buffers.
///
/// Invariant: only whole frames leave `input`; only bytes that the socket took leave `output`.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    input: BytesMut,
    decoder: FrameDecoder,
    /// What is to be sent, frame after frame.
    pub(crate) output: BytesMut,
    /// The room that a large answer takes in `output`, for as long as more of it is left than
    /// [`MAX_OUTPUT_BYTES`].
    large: Option<AnswerRoom>,
    /// Something was written that a TLS stream may still hold.
    unflushed: bool,
}

impl<S: Stream> Socket<S> {
    /// A new connection that takes frames of at most that length.
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

    /// The next whole frame of the input.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Inbound>, FrameError> {
        self.decoder.decode(&mut self.input)
    }

    /// The next bytes of the input, if so many have come, outside of any frame.
    pub(crate) fn take_raw<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.input.first_chunk::<N>()?;
        self.input.advance(N);
        Some(bytes)
    }

    /// Whether the rest of the input is, or begins, a request without credentials.
    pub(crate) fn holds_a_request(&self) -> bool {
        let mut rest = &self.input[..];
        while !rest.is_empty() {
            let number = |at: usize| {
                let bytes = rest.get(at..)?.first_chunk::<4>()?;
                Some(i32::from_be_bytes(*bytes))
            };
            // The length, the xid and the operation's number must have come; before that it may be
            // any request.
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

    /// Whether so much output waits for the socket that no further request is answered.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= MAX_OUTPUT_BYTES
    }

    /// A large answer was put into the output, and keeps its room until most of it is sent.
    pub(crate) fn has_large_answer(&mut self, room: AnswerRoom) {
        room.left(self.output.len());
        self.large = Some(room);
    }

    /// Writes, reads, and returns when there is something to do. `others` is polled last, and tells
    /// whether something else than the socket needs the task.
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
                // A client that sends without end and never reads counts as silent.
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

    /// Writes as much as the socket takes. Returns true if it took something.
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
                // The rest moves to a buffer of its own length.
                self.output = BytesMut::from(&self.output[..]);
                self.large = None;
            }
        }
        // A TLS stream may hold what it took until it is flushed; a socket holds nothing.
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        if self.output.is_empty() {
            if self.output.capacity() > 2 * MAX_OUTPUT_BYTES {
                // One large reply must not keep its memory for the rest of the connection.
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

//! The frames of the bulk channel, which carries snapshots and modules.
//!
//! A connection of this channel carries one of them, and the node that dialed ends it.
//!
//! ```text
//! a snapshot   dialer: SNAPSHOT PIECE* END           other side: WORKING* (ANSWER | FAILED)
//! a module     dialer: MODULE                        other side: FAILED | ANSWER PIECE* END
//! ```
//!
//! A snapshot goes from the leader to a follower ([`outgoing`](super::outgoing),
//! [`incoming`](super::incoming)). A module goes to the node that asks
//! ([`fetch`](super::fetch)).

use std::io;

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{Frame, TooLong};
use super::hello;
use super::link::Link;
use super::message::{self, BodyError, kind};
use crate::codec::{self, CodecError};
use crate::types::{LogId, Vote};

/// A piece has about so many bytes; a longer record or the rest of one may make it longer.
pub(super) const PIECE_BYTES: usize = 64 << 10;
/// So many pieces wait between the connection and the task that reads or writes the disk.
pub(super) const PIECES_MAX: usize = 4;

/// What a leader says of the snapshot that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// The leader's vote.
    pub(super) vote: Vote,
    /// The last entry in the snapshot.
    pub(super) last: LogId,
}

impl Offer {
    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u8(message::VERSION);
        codec::put_vote(out, &self.vote);
        codec::put_log_id(out, Some(&self.last));
    }

    pub(super) fn read(body: &[u8]) -> Result<Self, CodecError> {
        const WHAT: &str = "offer of a snapshot";
        let mut fields = message::fields(WHAT, body)?;
        Ok(Self {
            vote: codec::read_vote(&mut fields)?,
            last: message::present(WHAT, codec::read_log_id(&mut fields)?)?,
        })
    }
}

pub(super) fn put_vote(out: &mut BytesMut, vote: &Vote) {
    out.put_u8(message::VERSION);
    codec::put_vote(out, vote);
}

pub(super) fn read_vote(body: &[u8]) -> Result<Vote, CodecError> {
    codec::read_vote(&mut message::fields("answer to a snapshot", body)?)
}

/// Puts a frame whose body has a version and what `body` appends.
pub(super) fn put(
    link: &mut Link,
    kind: u8,
    number: u64,
    body: impl FnOnce(&mut BytesMut),
) -> io::Result<()> {
    link.put::<TooLong>(kind, number, |out| {
        body(out);
        Ok(())
    })?;
    Ok(())
}

/// Puts a piece. Its version stands before its bytes.
pub(super) fn put_piece(link: &mut Link, piece: &[u8]) -> io::Result<()> {
    put(link, kind::PIECE, 0, |out| {
        out.put_u8(message::VERSION);
        out.put_slice(piece);
    })
}

/// The bytes of a piece.
pub(super) fn read_piece(frame: &Frame) -> Result<Bytes, BodyError> {
    message::fields("piece", &frame.body)?;
    Ok(frame.body.slice(1..))
}

pub(super) fn put_end(link: &mut Link) -> io::Result<()> {
    put(link, kind::END, 0, |out| out.put_u8(message::VERSION))
}

pub(super) fn put_working(link: &mut Link) -> io::Result<()> {
    put(link, kind::WORKING, 0, |out| out.put_u8(message::VERSION))
}

pub(super) fn put_failed(link: &mut Link, number: u64, sentence: &str) -> io::Result<()> {
    put(link, kind::FAILED, number, |out| {
        out.put_slice(sentence.as_bytes());
    })
}

/// The error for a frame that does not belong to a transfer.
pub(super) fn stray(frame: &Frame) -> io::Error {
    let what = match frame.kind {
        kind::FAILED => hello::shown(&frame.body),
        other => format!("a frame of kind {other} in a transfer"),
    };
    hello::refusal(frame).map_or_else(
        || io::Error::new(io::ErrorKind::InvalidData, what),
        |sentence| io::Error::new(io::ErrorKind::ConnectionRefused, sentence),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::log_id;

    #[test]
    fn bodies_come_out_as_they_went_in() {
        let offer = Offer {
            vote: Vote::new_committed(7, 3),
            last: log_id(6, 1234),
        };
        let body = message::bytes(|out| offer.put(out));
        assert_eq!(Offer::read(&body).unwrap(), offer);
        let answer = message::bytes(|out| put_vote(out, &offer.vote));
        assert_eq!(read_vote(&answer).unwrap(), offer.vote);
        for len in 0..body.len() {
            assert!(Offer::read(&body[..len]).is_err(), "{len}");
        }
        for len in 0..answer.len() {
            assert!(read_vote(&answer[..len]).is_err(), "{len}");
        }
        let nothing = message::bytes(|out| {
            out.put_u8(message::VERSION);
            codec::put_vote(out, &offer.vote);
            codec::put_log_id(out, None);
        });
        assert!(Offer::read(&nothing).is_err(), "it names no entry");
    }
}

//! Operations on their way from a node to the leader.
//!
//! A stream belongs to one term. The node opens it with its run and the term; the leader answers
//! with the last number that it has taken of this run in this term. Then the operations follow, in
//! order and without answers: that they are applied is the answer.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_tree::encoding;

use super::channel::Channel;
use super::hello;
use super::link::Link;
use super::message::{self, BodyError, kind};
use super::peers::Peers;
use super::redial::{self, Redial, Uses};
use super::served::Never;
use crate::codec::{self, CodecError};
use crate::proposals::{Forwarded, Outstanding};
use crate::types::NodeId;

/// A frame takes operations up to about so many bytes. One operation may go beyond it.
const FRAME_BYTES: usize = 64 << 10;

/// Sends this node's operations to the leader of one term, until it is dropped.
pub(crate) struct Forwarder<R: Runtime> {
    pub(crate) peers: Peers<R>,
    pub(crate) leader: NodeId,
    pub(crate) term: u64,
    /// This node's run.
    pub(crate) run: u64,
    pub(crate) outstanding: Outstanding,
}

impl<R: Runtime> Forwarder<R> {
    /// Opens the stream again and again.
    pub(crate) async fn run(self) {
        let stop = self.peers.inner().stop.clone();
        let redial = Redial::new(self.peers.clone(), self.leader, Channel::Forward);
        select2(stop.wait(), redial::keep(redial, self)).await;
    }

    /// Sends over one connection until it breaks.
    async fn stream(&self, mut link: Link, redial: &mut Redial<R>) -> io::Result<Never> {
        let inner = self.peers.inner();
        let silence = inner.settings.silence_timeout;
        link.put::<BodyError>(kind::FORWARD_OPEN, 0, |out| {
            put_open(out, self.term, self.run);
            Ok(())
        })?;
        let answer = inner.runtime.timeout(silence, link.next()).await;
        let answer = answer.map_err(|_| no_sign_of_life(silence))??;
        if answer.kind != kind::ANSWER {
            return Err(io::Error::other(hello::shown(&answer.body)));
        }
        let mut sent = read_taken(&answer.body).map_err(BodyError::from)?;
        redial.answered();
        let mut first = self.outstanding.first();
        let mut moved = inner.runtime.now();
        loop {
            while link.has_room() {
                let batch = self.outstanding.after(sent, FRAME_BYTES);
                let Some((last, _)) = batch.last() else {
                    break;
                };
                sent = *last;
                link.put::<BodyError>(kind::FORWARD, 0, |out| Ok(put_operations(out, &batch)?))?;
            }
            // While everything is sent, the link only says when it breaks.
            let more = async {
                select2(self.outstanding.added(), inner.runtime.sleep(silence / 8)).await;
            };
            match select2(link.next_or_room(), more).await {
                Select2::First(frame) => {
                    let Some(frame) = frame? else {
                        continue;
                    };
                    let what = hello::refusal(&frame)
                        .unwrap_or_else(|| "the leader ends the stream".to_owned());
                    return Err(io::Error::new(io::ErrorKind::ConnectionRefused, what));
                }
                Select2::Second(()) => {}
            }
            // The leader does not answer, but its entries come back. A connection over which
            // nothing gets through is given up.
            let now = inner.runtime.now();
            let oldest = self.outstanding.first();
            if oldest != first || oldest.is_none() {
                (first, moved) = (oldest, now);
            } else if now.since(moved) > silence {
                return Err(no_sign_of_life(silence));
            }
        }
    }
}

impl<R: Runtime> Uses<R> for Forwarder<R> {
    async fn serve(&mut self, link: Link, redial: &mut Redial<R>) -> io::Error {
        match self.stream(link, redial).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    /// The operations wait.
    async fn without(&mut self, _why: String) {
        pending().await
    }
}

fn no_sign_of_life(silence: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("nothing was applied for {} ms", silence.as_millis()),
    )
}

fn put_open(out: &mut BytesMut, term: u64, run: u64) {
    out.put_u8(message::VERSION);
    out.put_u64_le(term);
    out.put_u64_le(run);
}

/// The term and the run of a stream that is opened.
pub(super) fn read_open(body: &[u8]) -> Result<(u64, u64), CodecError> {
    let mut fields = message::fields("opening of a stream", body)?;
    Ok((fields.u64()?, fields.u64()?))
}

pub(super) fn put_taken(out: &mut BytesMut, taken: u64) {
    out.put_u8(message::VERSION);
    out.put_u64_le(taken);
}

fn read_taken(body: &[u8]) -> Result<u64, CodecError> {
    message::fields("answer to a stream", body)?.u64()
}

fn put_operations(out: &mut BytesMut, batch: &[(u64, Bytes)]) -> Result<(), CodecError> {
    out.put_u8(message::VERSION);
    codec::put_count(out, "operations", batch.len())?;
    for (number, encoded) in batch {
        out.put_u64_le(*number);
        codec::put_count(out, "bytes of an operation", encoded.len())?;
        out.put_slice(encoded);
    }
    Ok(())
}

/// The operations of a frame, each decoded from bytes of its own.
pub(super) fn read_operations(mut body: Bytes) -> Result<Vec<Forwarded>, CodecError> {
    const WHAT: &str = "list of operations";
    let count = {
        let mut fields = message::fields(WHAT, &body)?;
        fields.u32()?
    };
    body.advance(5);
    let mut operations = Vec::new();
    for _ in 0..count {
        let mut fields = codec::Fields::new(WHAT, &body);
        let number = fields.u64()?;
        let len = fields.u32()? as usize;
        // A copy: a slice would keep the whole frame in memory for as long as the tree keeps the
        // data of one znode.
        let encoded = Bytes::copy_from_slice(fields.bytes(len)?);
        let command = encoding::decode_command(encoded).map_err(|error| CodecError::Invalid {
            what: "operation",
            why: error.to_string(),
        })?;
        operations.push(Forwarded {
            number,
            operation: command.operation,
            bytes: len,
        });
        body.advance(12 + len);
    }
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use innkeeper_tree::{Command, Operation};

    use super::*;

    #[test]
    fn operations_come_out_as_they_went_in() {
        let encoded = |level| {
            let command = Command {
                time_ms: 0,
                operation: Operation::RaiseLevel { level },
            };
            let mut out = Vec::new();
            encoding::encode_command(&command, &mut out);
            Bytes::from(out)
        };
        let batch: Vec<_> = (1..5).map(|n| (n * 10, encoded(n as u32))).collect();
        let mut body = BytesMut::new();
        put_operations(&mut body, &batch).unwrap();
        let body = body.freeze();
        let got = read_operations(body.clone()).unwrap();
        let got: Vec<_> = got
            .into_iter()
            .map(|forwarded| (forwarded.number, forwarded.operation))
            .collect();
        let sent: Vec<_> = (1..5)
            .map(|n| (n * 10, Operation::RaiseLevel { level: n as u32 }))
            .collect();
        assert_eq!(got, sent);
        for len in 0..body.len() {
            assert!(read_operations(body.slice(..len)).is_err(), "{len}");
        }
        let mut open = BytesMut::new();
        put_open(&mut open, 3, 9);
        assert_eq!(read_open(&open).unwrap(), (3, 9));
        let mut taken = BytesMut::new();
        put_taken(&mut taken, 12);
        assert_eq!(read_taken(&taken).unwrap(), 12);
    }
}

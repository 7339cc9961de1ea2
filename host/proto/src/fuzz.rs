//! The body of the fuzz target, here so that the ordinary tests run it too.
//!
//! `tests/fuzz` hands it whatever libFuzzer finds; `tests/anything.rs` of this crate 200,000 inputs
//! of its own.

use bytes::{Bytes, BytesMut};

use crate::codec::Reader;
use crate::connect::{ConnectRequest, ConnectResponse};
use crate::event::WatcherEvent;
use crate::frame::{self, FrameDecoder, FrameError, Inbound};
use crate::reply::{Reply, ReplyHeader};
use crate::request::Request;
use crate::{ErrorCode, OpCode};

/// Decodes the bytes as everything that a peer could send, and encodes the decoded messages again.
///
/// 1. It takes the bytes as the input of a connection: once whole and once cut in two. Both must
///    give the same words and frames.
/// 2. It decodes the first frame as a handshake, and the others as requests.
/// 3. It decodes the bytes without a frame as a handshake, as the body of each request and reply,
///    and as a watch event, so that a fuzzer need not guess a length and an opcode first.
///
/// # Panics
/// If `decode(encode(message)) == message` does not hold for a decoded message. The fuzzer tries to
/// find any other panic.
pub fn decode_anything(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);

    let (inbound, error) = split(&[data]);
    let cut = data
        .first()
        .map_or(0, |first| usize::from(*first) % data.len());
    assert_eq!(
        (&inbound, error),
        (&split(&[&data[..cut], &data[cut..]]).0, error),
        "a cut changed the frames"
    );
    for (index, message) in inbound.into_iter().enumerate() {
        match message {
            Inbound::Word(word) => assert_eq!(word.as_str().as_bytes(), &data[..4]),
            Inbound::Frame(frame) if index == 0 => connect_request(frame),
            Inbound::Frame(frame) => framed_request(frame),
        }
    }

    connect_request(bytes.clone());
    connect_response(bytes.clone());
    event(bytes.clone());
    reply_header(bytes.clone());
    for op in OpCode::ALL {
        request_body(*op, bytes.clone());
        reply_body(*op, bytes.clone());
    }
}

/// The frames and words that the decoder finds in the chunks, and its error, if there is one.
fn split(chunks: &[&[u8]]) -> (Vec<Inbound>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(frame::DEFAULT_MAX_LEN);
    let mut buf = BytesMut::new();
    let mut inbound = Vec::new();
    for chunk in chunks {
        buf.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(message)) => {
                    let is_word = matches!(message, Inbound::Word(_));
                    inbound.push(message);
                    if is_word {
                        // Nothing but the answer follows a word.
                        return (inbound, None);
                    }
                }
                Ok(None) => break,
                Err(error) => return (inbound, Some(error)),
            }
        }
    }
    (inbound, None)
}

/// The body of the one frame that `encode` wrote.
fn reframe(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut buf = BytesMut::new();
    encode(&mut buf);
    let mut decoder = FrameDecoder::frames_only(usize::MAX);
    match decoder.decode(&mut buf) {
        Ok(Some(Inbound::Frame(frame))) if buf.is_empty() => frame,
        other => panic!("an encoder wrote something else than one frame: {other:?}, then {buf:?}"),
    }
}

fn connect_request(frame: Bytes) {
    if let Ok(request) = ConnectRequest::decode(frame) {
        assert_eq!(
            ConnectRequest::decode(reframe(|buf| request.encode(buf))),
            Ok(request)
        );
    }
}

fn connect_response(frame: Bytes) {
    if let Ok(response) = ConnectResponse::decode(frame) {
        assert_eq!(
            ConnectResponse::decode(reframe(|buf| response.encode(buf))),
            Ok(response)
        );
    }
}

fn framed_request(frame: Bytes) {
    if let Ok((header, Ok(request))) = Request::decode(frame) {
        assert_eq!(header.op, request.op_code().as_i32());
        let again = Request::decode(reframe(|buf| request.encode(buf, header.xid)));
        assert_eq!(again, Ok((header, Ok(request))));
    }
}

fn request_body(op: OpCode, body: Bytes) {
    if let Ok(request) = Request::decode_body(op.as_i32(), &mut Reader::new(body)) {
        assert_eq!(request.op_code(), op);
        let (_, again) = Request::decode(reframe(|buf| request.encode(buf, 1)))
            .expect("a header was just encoded");
        assert_eq!(again, Ok(request));
    }
}

fn reply_body(op: OpCode, body: Bytes) {
    if let Ok(reply) = Reply::decode(op, &mut Reader::new(body)) {
        let mut reader = Reader::new(reframe(|buf| {
            let _encoded = reply.encode(buf, 1, 2);
        }));
        assert_eq!(
            ReplyHeader::decode(&mut reader),
            Ok(ReplyHeader {
                xid: 1,
                zxid: 2,
                err: ErrorCode::Ok
            })
        );
        assert_eq!(Reply::decode(op, &mut reader), Ok(reply));
        assert_eq!(reader.remaining(), 0);
    }
}

fn reply_header(frame: Bytes) {
    if let Ok(header) = ReplyHeader::decode(&mut Reader::new(frame)) {
        let mut buf = BytesMut::new();
        header.encode(&mut buf);
        assert_eq!(
            ReplyHeader::decode(&mut Reader::new(buf.freeze())),
            Ok(header)
        );
    }
}

fn event(body: Bytes) {
    if let Ok(event) = WatcherEvent::decode(&mut Reader::new(body)) {
        let mut reader = Reader::new(event.to_frame(7).slice(4..));
        assert_eq!(
            ReplyHeader::decode(&mut reader).map(|header| header.zxid),
            Ok(7)
        );
        assert_eq!(WatcherEvent::decode(&mut reader), Ok(event));
    }
}

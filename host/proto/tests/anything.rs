//! Any input at all: nothing panics, nothing allocates out of proportion, what decodes encodes again.
//!
//! One test per file would do for the allocator: the counters are per thread, so tests may run side by side.
#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without; it only counts and forwards"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{BufMut, Bytes, BytesMut};
use common::Inputs;
use innkeeper_proto::codec::{DecodeError, Reader};
use innkeeper_proto::connect::{ConnectRequest, ConnectResponse};
use innkeeper_proto::frame::{self, FrameDecoder, Inbound};
use innkeeper_proto::reply::Reply;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, OpCode, WatcherEvent, fuzz};

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread that is ending has no counter any more, and nobody who reads it.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + bytes));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        unsafe { System.realloc(old, layout, new_size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Every byte that `work` asks the allocator for, freed or not: more than what is alive at any one time.
fn allocated(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.get();
    work();
    ALLOCATED.get() - before
}

/// Decodes the frame as one kind of message; encodes nothing.
type Decode = fn(Bytes) -> bool;

const DECODERS: &[Decode] = &[
    |frame| ConnectRequest::decode(frame).is_ok(),
    |frame| ConnectResponse::decode(frame).is_ok(),
    |frame| WatcherEvent::decode(&mut Reader::new(frame)).is_ok(),
    |frame| matches!(Request::decode(frame), Ok((_, Ok(_)))),
];

/// A list's element is larger in memory than on the wire: at worst the result of a delete in a multi, 9 bytes there
/// and 112 here, in a vector that doubles as it grows and so has asked for up to four times its size. The constant
/// is the smallest vector of such elements.
const PER_BYTE: usize = 64;
const PER_INPUT: usize = 1024;

fn check_allocation(input: &[u8]) -> usize {
    let frame = Bytes::copy_from_slice(input);
    let bound = PER_BYTE * input.len() + PER_INPUT;
    let mut decoded = 0;
    let mut check = |what: &str, work: &mut dyn FnMut() -> bool| {
        let mut ok = false;
        let asked = allocated(|| ok = work());
        assert!(
            asked <= bound,
            "{what} asked for {asked} bytes to decode {} bytes: {input:02x?}",
            input.len()
        );
        decoded += usize::from(ok);
    };
    for (index, decode) in DECODERS.iter().enumerate() {
        check(&format!("decoder {index}"), &mut || decode(frame.clone()));
    }
    for op in OpCode::ALL {
        check(&format!("request {op:?}"), &mut || {
            Request::decode_body(op.as_i32(), &mut Reader::new(frame.clone())).is_ok()
        });
        check(&format!("reply {op:?}"), &mut || {
            Reply::decode(*op, &mut Reader::new(frame.clone())).is_ok()
        });
    }
    decoded
}

#[test]
fn decode_anything_holds_for_200_000_inputs() {
    let mut inputs = Inputs::new(3);
    // All of decode_anything: some seventy decodings and what they encode again.
    let (per_byte, per_input) = (40 * PER_BYTE, 80 * PER_INPUT);
    for _ in 0..200_000 {
        let input = inputs.next_input();
        let asked = allocated(|| fuzz::decode_anything(&input));
        assert!(
            asked <= per_byte * input.len() + per_input,
            "{asked} bytes were asked for by {} bytes: {input:02x?}",
            input.len()
        );
    }
}

#[test]
fn decoding_allocates_in_proportion_to_its_input() {
    let mut inputs = Inputs::new(4);
    let mut decoded = 0;
    for _ in 0..20_000 {
        decoded += check_allocation(&inputs.next_input());
    }
    // The inputs are worth something only if many of them are messages.
    assert!(decoded > 100_000, "only {decoded} decodings succeeded");
}

/// The densest lists there are, as long as a frame can be.
#[test]
fn the_longest_lists_allocate_in_proportion_too() {
    let len = frame::DEFAULT_MAX_LEN;
    let mut names = BytesMut::new();
    let count = i32::try_from((len - 4) / 4).expect("a frame's length");
    names.put_i32(count);
    names.resize(len, 0);
    assert!(check_allocation(&names) > 0);

    let mut acl = BytesMut::new();
    acl.put_slice(&[0, 0, 0, 1, b'/', 0, 0, 0, 0]);
    let count = i32::try_from((len - acl.len() - 8) / 12).expect("a frame's length");
    acl.put_i32(count);
    acl.resize(len, 0);
    assert!(check_allocation(&acl) > 0);

    let mut deletes = BytesMut::new();
    while deletes.len() + 17 + 9 <= len {
        deletes.put_slice(&[0, 0, 0, 2, 0, 0xff, 0xff, 0xff, 0xff]);
        deletes.put_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    }
    deletes.put_slice(&[0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff]);
    assert!(check_allocation(&deletes) > 0);

    let mut deleted = BytesMut::new();
    while deleted.len() + 9 + 9 <= len {
        deleted.put_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 0]);
    }
    deleted.put_slice(&[0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff]);
    assert!(check_allocation(&deleted) > 0);

    let mut malformed = BytesMut::new();
    malformed.put_i32(i32::try_from(len - 8).expect("a frame's length"));
    malformed.resize(len - 4, 0xff);
    malformed.put_i32(0);
    assert!(check_allocation(&malformed) > 0);
}

#[test]
fn a_list_longer_than_its_frame_is_refused_before_reserving() {
    for count in [3, 1000, i32::MAX] {
        // A getChildren reply: the count, and room for two names.
        let mut frame = BytesMut::new();
        frame.put_i32(count);
        frame.put_slice(&[0; 8]);
        let frame = frame.freeze();
        let asked = allocated(|| {
            let refused = Reply::decode(OpCode::GetChildren, &mut Reader::new(frame.clone()));
            assert_eq!(refused, Err(DecodeError::BadCount { count }));
        });
        assert_eq!(asked, 0, "something was reserved for {count} elements");
    }
}

/// The hot path: a request without lists costs no allocation, and neither does its reply once the buffer is there.
#[test]
fn a_request_without_lists_and_its_reply_cost_no_allocation() {
    let mut stream = BytesMut::new();
    for (name, bytes) in common::golden(common::KAZOO) {
        if ["get_data", "set_data", "exists_watch", "ping"].contains(&name.as_str()) {
            stream.put_slice(&bytes);
        }
    }
    let mut decoder = FrameDecoder::frames_only(frame::DEFAULT_MAX_LEN);
    // The buffer becomes shared at its first frame: one small allocation for all that it will hold.
    let Ok(Some(Inbound::Frame(_first))) = decoder.decode(&mut stream) else {
        panic!("no frame in {stream:?}")
    };
    let mut out = BytesMut::with_capacity(4096);
    let stat = innkeeper_proto::Stat::default();
    let mut requests = 0;
    let asked = allocated(|| {
        while let Ok(Some(Inbound::Frame(frame))) = decoder.decode(&mut stream) {
            let (header, request) = Request::decode(frame).expect("a header");
            assert!(request.is_ok());
            let encoded = innkeeper_proto::reply::encode(&mut out, header.xid, 1, |body| {
                body.data(Some(b"data"), &stat)
            });
            assert_eq!(encoded.err, ErrorCode::Ok);
            requests += 1;
        }
    });
    assert_eq!((asked, requests), (0, 3));
}

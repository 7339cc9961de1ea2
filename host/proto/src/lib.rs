//! ZooKeeper's client protocol: it turns bytes into structs and back. What a request means is not
//! known here.
//!
//! The way of one request:
//! 1. The connection appends the bytes that it reads to a `BytesMut` and takes complete frames from
//!    a [`frame::FrameDecoder`]. The first four bytes may be a [`frame::FourLetterWord`];
//!    everything else is a length and as many bytes.
//! 2. The first frame is a [`connect::ConnectRequest`]; the answer is a
//!    [`connect::ConnectResponse`].
//! 3. Each later frame is a [`request::RequestHeader`] and a body, which
//!    [`request::Request::decode`] reads. Paths and data are slices of the frame, so decoding
//!    copies nothing and allocates only for lists.
//! 4. [`reply::encode`] or [`reply::encode_error`] writes the answer into the connection's output
//!    and puts in the length when the body is complete.
//! 5. A watch event is a frame of its own with xid -1: [`event::WatcherEvent`].
//!
//! All messages can be encoded and decoded: the server decodes requests and encodes replies; tests
//! and tools do the opposite.
//!
//! Invariants:
//! - Decoding never panics or recurses on any input. It takes linear time and allocates no more
//!   than a small multiple of the frame's size. A list whose count does not fit into the remaining
//!   bytes is refused before memory is reserved for it.
//!   (tests: `decode_anything_holds_for_200_000_inputs`,
//!   `decoding_allocates_in_proportion_to_its_input`)
//! - Every primitive of [`codec::Reader`] consumes bytes or fails, so that the work is linear in
//!   the frame's length. (test: `every_primitive_consumes_what_it_reads`)
//! - A decoded value can be encoded, and decodes to the same value again (same tests).
//! - Slices share the memory of the read buffer. Code that keeps a path or data for longer than the
//!   request must copy it.

// `println!` and its like panic when the reader of the output has closed it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod codec;
pub mod connect;
pub mod event;
pub mod frame;
pub mod fuzz;
pub mod reply;
pub mod request;

mod codes;
mod error_code;
mod types;

pub use bytestring::ByteString;
pub use codec::DecodeError;
pub use codes::{AddWatchMode, CreateMode, EventType, KeeperState, OpCode, WatcherType, xid};
pub use error_code::ErrorCode;
pub use event::WatcherEvent;
pub use types::{Acl, ClientInfo, Perms, Stat};

//! ZooKeeper's client protocol: bytes to structs and back, and nothing about meaning.
//!
//! One request, from the socket and back to it:
//! 1. The connection appends what it read to a `BytesMut` and asks [`frame::FrameDecoder`] for what is complete:
//!    the first four bytes may be a [`frame::FourLetterWord`]; everything else is a length and that many bytes.
//! 2. The first frame is a [`connect::ConnectRequest`]; the answer is a [`connect::ConnectResponse`].
//! 3. Every later frame is a [`request::RequestHeader`] and a body: [`request::Request::decode`] yields both.
//!    Paths and data are slices of the frame, so decoding copies nothing and allocates only for lists.
//! 4. The answer is written straight into the connection's output by [`reply::encode`] or
//!    [`reply::encode_error`]: the length is patched in when the body is complete.
//! 5. A watch that fires is a frame of its own, [`event::WatcherEvent`], with xid -1.
//!
//! Both directions are here for both sides: the server decodes requests and encodes replies, tests and tools do
//! the opposite.
//!
//! Invariants:
//! - Decoding is total: no input panics, recurses, takes more than linear time, or allocates more than a small
//!   multiple of the frame's own size. A list whose count could not fit into the remaining bytes is refused
//!   before anything is reserved. (tests: `decode_anything_holds_for_200_000_inputs`,
//!   `decoding_allocates_in_proportion_to_its_input`)
//! - Every primitive of [`codec::Reader`] consumes bytes or fails, so that the work is linear in the frame.
//!   (test: `every_primitive_consumes_what_it_reads`)
//! - What decodes encodes again, and decodes to the same value (same tests).
//! - Slices share the read buffer's memory: whoever keeps a path or data for longer than the request copies it.

// They panic where nobody reads any more.
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

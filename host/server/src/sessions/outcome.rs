//! The outcome of trying to answer a request.

use innkeeper_proto::ErrorCode;
use innkeeper_proto::reply::{self, Encoded, MultiResult};
use innkeeper_runtime::Stream;

use crate::clients::Replied;
use crate::socket::Socket;

/// How far the request at the front has come.
pub(super) enum Outcome {
    /// It is answered.
    Answered(Answer),
    /// It has moved on, or must be decided on again with a newer view.
    Again,
    /// It needs a large answer, for which there is no room; the connection is woken when there is.
    WaitsForRoom,
}

/// An answer that was written into the output.
pub(super) struct Answer {
    /// The answer's length and error, for statistics.
    pub(super) replied: Replied,
    /// Whether the connection ends after it.
    pub(super) is_last: bool,
}

impl From<Encoded> for Answer {
    fn from(encoded: Encoded) -> Self {
        Self {
            replied: encoded.into(),
            is_last: false,
        }
    }
}

impl From<Encoded> for Outcome {
    fn from(encoded: Encoded) -> Self {
        Outcome::Answered(encoded.into())
    }
}

/// The answer to a failed multi: the header says `Ok`, and the results say which operation failed.
pub(super) fn encode_multi_failed<S: Stream>(
    socket: &mut Socket<S>,
    xid: i32,
    zxid: i64,
    len: usize,
    failed: usize,
    error: ErrorCode,
) -> Answer {
    let results = MultiResult::failed(len, failed, error);
    let encoded = reply::encode(&mut socket.output, xid, zxid, |body| body.multi(&results));
    Answer {
        replied: Replied::of_failed_multi(encoded),
        is_last: false,
    }
}

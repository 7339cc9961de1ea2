//! What came of trying to answer a request.

use innkeeper_proto::ErrorCode;
use innkeeper_proto::reply::{self, Encoded, MultiResult};
use innkeeper_runtime::Stream;

use crate::clients::Replied;
use crate::socket::Socket;

/// What came of it.
pub(super) enum Outcome {
    /// It is answered.
    Answered(Answer),
    /// It has come further, or has to be decided on again, as of a newer view.
    Again,
    /// Its answer is a large one, for which there is no room; the connection is woken when there
    /// is.
    WaitsForRoom,
}

/// An answer that stands in the output.
pub(super) struct Answer {
    /// For statistics.
    pub(super) replied: Replied,
    /// The connection ends when it is sent.
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

/// A failed multi: the header says that all is well, the results say what is not.
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

//! Watch events, which the protocol calls notifications.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::codec::{DecodeError, Reader, put_string};
use crate::reply::ReplyHeader;
use crate::{ErrorCode, EventType, KeeperState, frame, xid};

/// A watch event.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WatcherEvent {
    /// The kind of event.
    pub event_type: EventType,
    /// The state of the connection.
    pub state: KeeperState,
    /// The path of the changed znode.
    pub path: ByteString,
}

impl WatcherEvent {
    /// Appends a whole frame. See [`encode`].
    pub fn encode(&self, buf: &mut BytesMut, zxid: i64) {
        encode(buf, zxid, self.event_type, self.state, &self.path);
    }

    /// Reads the body that follows a header with xid -1.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let number = reader.i32()?;
        let event_type = EventType::from_i32(number).ok_or(DecodeError::UnknownNumber {
            what: "type of event",
            number,
        })?;
        let number = reader.i32()?;
        let state = KeeperState::from_i32(number).ok_or(DecodeError::UnknownNumber {
            what: "state of a connection",
            number,
        })?;
        Ok(Self {
            event_type,
            state,
            path: reader.string()?,
        })
    }

    /// The event as a frame. It is encoded once and sent to many clients.
    pub fn to_frame(&self, zxid: i64) -> Bytes {
        let mut buf = BytesMut::with_capacity(4 + ReplyHeader::WIRE_LEN + 12 + self.path.len());
        self.encode(&mut buf, zxid);
        buf.freeze()
    }
}

/// Appends an event. Its header has xid -1, the zxid of the change, and no error. Returns the length
/// of the frame in bytes, with the four that say it.
/// (test: `replies_match_zookeepers_own_bytes`)
pub fn encode(
    buf: &mut BytesMut,
    zxid: i64,
    event_type: EventType,
    state: KeeperState,
    path: &str,
) -> usize {
    let before = buf.len();
    let start = frame::start(buf);
    ReplyHeader {
        xid: xid::NOTIFICATION,
        zxid,
        err: ErrorCode::Ok,
    }
    .encode(buf);
    buf.put_i32(event_type.as_i32());
    buf.put_i32(state.as_i32());
    put_string(buf, path);
    frame::finish(buf, start);
    buf.len() - before
}

//! The handshake: the first frame in each direction.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{DecodeError, Reader, put_bool, put_buffer};
use crate::frame;

/// The length of a session's password in bytes.
pub const PASSWORD_LEN: usize = 16;

/// A client's first frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectRequest {
    /// Always 0.
    pub protocol_version: i32,
    /// The highest zxid that the client has seen; a server that is behind it must refuse.
    pub last_zxid_seen: i64,
    /// The session timeout that the client asks for, in milliseconds.
    pub timeout_ms: i32,
    /// The session to reattach to; 0 for a new one.
    pub session_id: i64,
    /// The session's password; null is read as empty.
    pub password: Bytes,
    /// Does the client accept a read-only server? `None` if the client is too old to send this
    /// byte; then the answer must not have it, too.
    /// (test: `read_only_is_answered_only_to_those_who_sent_it`)
    pub read_only: Option<bool>,
}

impl ConnectRequest {
    /// Reads the body of a frame.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            protocol_version: reader.i32()?,
            last_zxid_seen: reader.i64()?,
            timeout_ms: reader.i32()?,
            session_id: reader.i64()?,
            password: reader.buffer()?.unwrap_or_default(),
            read_only: read_only(&mut reader)?,
        })
    }

    /// Appends a whole frame.
    pub fn encode(&self, buf: &mut BytesMut) {
        let start = frame::start(buf);
        buf.put_i32(self.protocol_version);
        buf.put_i64(self.last_zxid_seen);
        buf.put_i32(self.timeout_ms);
        buf.put_i64(self.session_id);
        put_buffer(buf, Some(&self.password));
        if let Some(read_only) = self.read_only {
            put_bool(buf, read_only);
        }
        frame::finish(buf, start);
    }
}

/// A server's first frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectResponse {
    /// Always 0.
    pub protocol_version: i32,
    /// The granted session timeout in milliseconds; 0 if the session is refused.
    pub timeout_ms: i32,
    /// The session's id; 0 if the session is refused.
    pub session_id: i64,
    /// The session's password; zeroes if the session is refused.
    pub password: [u8; PASSWORD_LEN],
    /// Is this server read-only? Present only if the request had the byte.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The answer to a session that has expired or a password that is wrong: the client must start
    /// a new session. (test: `replies_match_zookeepers_own_bytes`)
    pub const fn refused(read_only: Option<bool>) -> Self {
        Self {
            protocol_version: 0,
            timeout_ms: 0,
            session_id: 0,
            password: [0; PASSWORD_LEN],
            read_only,
        }
    }

    /// Reads the body of a frame.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        let protocol_version = reader.i32()?;
        let timeout_ms = reader.i32()?;
        let session_id = reader.i64()?;
        let password = reader.buffer()?.unwrap_or_default();
        let password = password
            .as_ref()
            .try_into()
            .map_err(|_| DecodeError::BadLength {
                // The buffer was in a frame, so its length fits.
                length: i32::try_from(password.len()).unwrap_or(i32::MAX),
            })?;
        Ok(Self {
            protocol_version,
            timeout_ms,
            session_id,
            password,
            read_only: read_only(&mut reader)?,
        })
    }

    /// Appends a whole frame.
    pub fn encode(&self, buf: &mut BytesMut) {
        let start = frame::start(buf);
        buf.put_i32(self.protocol_version);
        buf.put_i32(self.timeout_ms);
        buf.put_i64(self.session_id);
        put_buffer(buf, Some(&self.password));
        if let Some(read_only) = self.read_only {
            put_bool(buf, read_only);
        }
        frame::finish(buf, start);
    }
}

fn read_only(reader: &mut Reader) -> Result<Option<bool>, DecodeError> {
    if reader.remaining() == 0 {
        Ok(None)
    } else {
        reader.bool().map(Some)
    }
}

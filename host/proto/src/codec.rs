//! The primitives of ZooKeeper's record format ("jute"): big-endian integers, one byte for a
//! boolean, and buffers, strings and lists with a length in front.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::{ErrorCode, OpCode};

/// Why bytes cannot be decoded as a message of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The frame ends before the message does.
    #[error(
        "the message ends {missing} bytes too early; the peer does not speak ZooKeeper's protocol"
    )]
    Truncated {
        /// The number of bytes that the next field lacks.
        missing: usize,
    },
    /// A string or buffer has a negative length other than -1.
    #[error("a field has the length {length}; the peer does not speak ZooKeeper's protocol")]
    BadLength {
        /// The length in the message.
        length: i32,
    },
    /// A list cannot fit into the rest of the frame.
    #[error(
        "a list claims {count} elements, more than the message has room for; the peer does not speak ZooKeeper's protocol"
    )]
    BadCount {
        /// The number of elements in the message.
        count: i32,
    },
    /// The server does not know the operation. It answers Unimplemented and closes the connection.
    #[error("operation {op} is not implemented; use another one of ZooKeeper 3.9.5")]
    Unimplemented {
        /// The opcode in the message.
        op: i32,
    },
    /// The operation is not allowed inside a multi.
    #[error("operation {op} may not be part of a multi; send it by itself")]
    NotInMulti {
        /// The opcode in the message.
        op: i32,
    },
    /// A number has no meaning, in a message that only a server sends.
    #[error("{number} is not a {what} of ZooKeeper's protocol")]
    UnknownNumber {
        /// What the number should stand for.
        what: &'static str,
        /// The number in the message.
        number: i32,
    },
}

impl DecodeError {
    /// The error that the client gets before its connection is closed.
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Self::Unimplemented { .. } => ErrorCode::Unimplemented,
            _ => ErrorCode::MarshallingError,
        }
    }

    pub(crate) const fn unimplemented(op: i32) -> Self {
        Self::Unimplemented { op }
    }

    /// The operation, if the error is about a known one.
    pub fn op_code(self) -> Option<OpCode> {
        match self {
            Self::Unimplemented { op } | Self::NotInMulti { op } => OpCode::from_i32(op),
            _ => None,
        }
    }
}

/// Reads the fields of one frame from its beginning to its end.
///
/// Bytes after the last field are ignored, as in ZooKeeper, because newer clients may append
/// fields.
#[derive(Clone, Debug)]
pub struct Reader {
    frame: Bytes,
    at: usize,
}

impl Reader {
    /// A reader at the beginning of `frame`.
    pub fn new(frame: Bytes) -> Self {
        Self { frame, at: 0 }
    }

    /// The number of bytes that are not read yet.
    pub fn remaining(&self) -> usize {
        self.frame.len() - self.at
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.frame[self.at..].first_chunk::<N>() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(DecodeError::Truncated {
                missing: N - self.remaining(),
            }),
        }
    }

    /// A 32-bit integer.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.take().map(i32::from_be_bytes)
    }

    /// A 64-bit integer.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.take().map(i64::from_be_bytes)
    }

    /// A boolean: every byte except 0 is true. (test: `any_byte_but_zero_is_true_as_in_java`)
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.take::<1>().map(|[byte]| byte != 0)
    }

    /// A buffer, as a slice of the frame. Length -1 is null, which is not the empty buffer.
    /// (test: `null_data_is_not_empty_data`)
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let count = usize::try_from(length).map_err(|_| DecodeError::BadLength { length })?;
        if count > self.remaining() {
            return Err(DecodeError::Truncated {
                missing: count - self.remaining(),
            });
        }
        let slice = self.frame.slice(self.at..self.at + count);
        self.at += count;
        Ok(Some(slice))
    }

    /// A string, as a slice of the frame.
    ///
    /// - Null is read as the empty string. kazoo sends null for each empty string, and for no
    ///   operation the two differ. (test: `requests_match_kazoos_bytes`)
    /// - Malformed UTF-8 becomes U+FFFD, as in Java (Java writes one for several bytes; here there
    ///   may be several). Such a path is refused because of its characters, and the connection
    ///   stays open. (test: `malformed_utf8_is_replaced_not_refused`)
    pub fn string(&mut self) -> Result<ByteString, DecodeError> {
        Ok(self.optional_string()?.unwrap_or_default())
    }

    /// A path. Null is an error, as in ZooKeeper, which answers MarshallingError.
    /// (test: `a_null_path_cannot_be_read`)
    pub fn path(&mut self) -> Result<ByteString, DecodeError> {
        self.optional_string()?
            .ok_or(DecodeError::BadLength { length: -1 })
    }

    /// A string; `None` for null, where null has its own meaning.
    pub fn optional_string(&mut self) -> Result<Option<ByteString>, DecodeError> {
        let Some(bytes) = self.buffer()? else {
            return Ok(None);
        };
        let start = self.at - bytes.len();
        Ok(Some(ByteString::try_from(bytes).unwrap_or_else(|_| {
            let replaced = String::from_utf8_lossy(&self.frame[start..self.at]).into_owned();
            ByteString::from(replaced)
        })))
    }

    /// A list. A null list is read as an empty one, and so is every negative count, as in
    /// ZooKeeper.
    ///
    /// `min_element_len` is the least number of bytes of an element. A count that cannot fit into
    /// the frame is refused before memory is reserved.
    /// (test: `a_list_longer_than_its_frame_is_refused_before_reserving`)
    pub fn list<T>(
        &mut self,
        min_element_len: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.i32()?;
        let wanted = usize::try_from(count).unwrap_or(0);
        if wanted > self.remaining() / min_element_len.max(1) {
            return Err(DecodeError::BadCount { count });
        }
        let mut list = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            list.push(element(self)?);
        }
        Ok(list)
    }

    /// A list of strings.
    pub fn strings(&mut self) -> Result<Vec<ByteString>, DecodeError> {
        self.list(4, Self::string)
    }
}

/// Appends a boolean.
pub fn put_bool(buf: &mut BytesMut, value: bool) {
    buf.put_u8(u8::from(value));
}

/// Appends a buffer; `None` is null, length -1.
pub fn put_buffer(buf: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => buf.put_i32(-1),
        Some(bytes) => {
            buf.reserve(4 + bytes.len());
            buf.put_i32(wire_len(bytes.len()));
            buf.put_slice(bytes);
        }
    }
}

/// Appends a string, in UTF-8.
///
/// ZooKeeper itself writes a character beyond the basic plane as two surrogates of three bytes
/// each, which is not UTF-8 and which its own readers replace by U+FFFD. Its paths cannot hold such
/// a character, so that only the ids of ACLs differ. (test: `requests_match_kazoos_bytes`, golden
/// `create_unicode`)
pub fn put_string(buf: &mut BytesMut, value: &str) {
    put_buffer(buf, Some(value.as_bytes()));
}

/// Appends a list of strings. It counts them while it writes.
pub fn put_strings<S: AsRef<str>>(buf: &mut BytesMut, values: impl IntoIterator<Item = S>) {
    put_list(buf, values, |buf, value| put_string(buf, value.as_ref()));
}

/// Appends a list. It counts the elements while it writes.
pub fn put_list<T>(
    buf: &mut BytesMut,
    values: impl IntoIterator<Item = T>,
    mut element: impl FnMut(&mut BytesMut, T),
) {
    let at = buf.len();
    buf.put_i32(0);
    let mut count = 0usize;
    for value in values {
        element(buf, value);
        count += 1;
    }
    buf[at..at + 4].copy_from_slice(&wire_len(count).to_be_bytes());
}

/// A length as 32 bits. Messages are bounded far below 2 GiB, and [`crate::frame::finish`] refuses
/// longer frames, so a length that was cut here never reaches a peer.
fn wire_len(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

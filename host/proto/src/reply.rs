//! The replies of a server.
//!
//! 1. [`encode`] appends the length and the header, lets the caller write the body into a [`Body`],
//!    and puts in the length. It allocates only when the connection's buffer grows, and data is
//!    copied once, from the tree to the buffer.
//! 2. An error is a header without a body: [`encode_error`].
//! 3. [`Reply`] is an answer as an owned value: for replies that wait for their turn, and for
//!    clients, which decode it.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::codec::{DecodeError, Reader, put_buffer, put_list, put_string, put_strings};
use crate::request::MultiHeader;
use crate::{Acl, ClientInfo, ErrorCode, OpCode, Stat, frame};

/// The header of each reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHeader {
    /// The request's xid, or one of [`crate::xid`].
    pub xid: i32,
    /// The zxid of the state that the answer shows.
    pub zxid: i64,
    /// The error, or `Ok`. After an error no body follows.
    pub err: ErrorCode,
}

impl ReplyHeader {
    /// The encoded length in bytes.
    pub const WIRE_LEN: usize = 4 + 8 + 4;

    /// Reads the header.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            xid: reader.i32()?,
            zxid: reader.i64()?,
            err: error_code(reader.i32()?)?,
        })
    }

    /// Appends the header.
    pub fn encode(&self, buf: &mut BytesMut) {
        let mut bytes = [0u8; Self::WIRE_LEN];
        let mut out = &mut bytes[..];
        out.put_i32(self.xid);
        out.put_i64(self.zxid);
        out.put_i32(self.err.code());
        buf.put_slice(&bytes);
    }
}

fn error_code(number: i32) -> Result<ErrorCode, DecodeError> {
    ErrorCode::from_code(number).ok_or(DecodeError::UnknownNumber {
        what: "error code",
        number,
    })
}

/// What an encoder knows of the reply that it appended, for statistics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Encoded {
    /// The length of the frame, with the four bytes that say it.
    pub bytes: usize,
    /// The error in the header, which need not be the one that was asked for: see [`encode`].
    pub err: ErrorCode,
}

/// Appends a successful reply; `body` writes its body.
///
/// A body of 2 GiB or more does not fit into a frame. Then the client gets MarshallingError.
pub fn encode(
    buf: &mut BytesMut,
    xid: i32,
    zxid: i64,
    body: impl FnOnce(&mut Body<'_>),
) -> Encoded {
    let before = buf.len();
    let start = frame::start(buf);
    ReplyHeader {
        xid,
        zxid,
        err: ErrorCode::Ok,
    }
    .encode(buf);
    body(&mut Body { buf });
    if !frame::finish(buf, start) {
        return encode_error(buf, xid, zxid, ErrorCode::MarshallingError);
    }
    Encoded {
        bytes: buf.len() - before,
        err: ErrorCode::Ok,
    }
}

/// Appends a reply without a body: an error, or `ErrorCode::Ok` for the success of delete, ping,
/// auth, setWatches, checkWatches, removeWatches, deleteContainer and closeSession.
/// (test: `replies_match_zookeepers_own_bytes`)
pub fn encode_error(buf: &mut BytesMut, xid: i32, zxid: i64, err: ErrorCode) -> Encoded {
    let before = buf.len();
    let start = frame::start(buf);
    ReplyHeader { xid, zxid, err }.encode(buf);
    frame::finish(buf, start);
    let bytes = buf.len() - before;
    Encoded { bytes, err }
}

/// Appends the reply to a refused SASL token. It is the only error with a body, a null token, as in
/// ZooKeeper. (test: `a_failed_exchange_ends_the_connection`)
pub fn encode_refused_token(buf: &mut BytesMut, xid: i32, zxid: i64, err: ErrorCode) -> Encoded {
    let before = buf.len();
    let start = frame::start(buf);
    ReplyHeader { xid, zxid, err }.encode(buf);
    put_buffer(buf, None);
    frame::finish(buf, start);
    let bytes = buf.len() - before;
    Encoded { bytes, err }
}

/// Writes the body of one reply.
#[derive(Debug)]
pub struct Body<'a> {
    buf: &'a mut BytesMut,
}

impl Body<'_> {
    /// For create and sync: a path.
    pub fn path(&mut self, path: &str) {
        put_string(self.buf, path);
    }

    /// For create2: a path and a Stat.
    pub fn path_and_stat(&mut self, path: &str, stat: &Stat) {
        put_string(self.buf, path);
        stat.encode(self.buf);
    }

    /// For exists, setData and setACL: a Stat.
    pub fn stat(&mut self, stat: &Stat) {
        stat.encode(self.buf);
    }

    /// For getData: data and a Stat. (test: `null_data_is_not_empty_data`)
    pub fn data(&mut self, data: Option<&[u8]>, stat: &Stat) {
        put_buffer(self.buf, data);
        stat.encode(self.buf);
    }

    /// For getACL: the list and a Stat.
    pub fn acl<'a>(&mut self, acl: impl IntoIterator<Item = &'a Acl>, stat: &Stat) {
        put_list(self.buf, acl, |buf, acl| acl.encode(buf));
        stat.encode(self.buf);
    }

    /// For getChildren and getEphemerals: names. For getChildren2 [`Body::stat`] follows.
    pub fn children<S: AsRef<str>>(&mut self, names: impl IntoIterator<Item = S>) {
        put_strings(self.buf, names);
    }

    /// For sasl: the server's step; null if there is none.
    pub fn token(&mut self, token: Option<&[u8]>) {
        put_buffer(self.buf, token);
    }

    /// For getAllChildrenNumber: the number. For addWatch: 0.
    pub fn number(&mut self, number: i32) {
        self.buf.put_i32(number);
    }

    /// For whoAmI: the connection's identities.
    pub fn identities<'a>(&mut self, identities: impl IntoIterator<Item = &'a ClientInfo>) {
        put_list(self.buf, identities, |buf, identity| identity.encode(buf));
    }

    /// The length of the buffer: the bytes written so far, with all that is before this reply.
    pub fn position(&self) -> usize {
        self.buf.len()
    }

    /// For multi and multiRead: one result for each operation, and the header after the last one.
    ///
    /// The reply's error is 0 even if the multi failed. Then each result is a
    /// [`MultiResult::Error`].
    /// (test: `replies_match_zookeepers_own_bytes`, golden `multi_failed`)
    pub fn multi<'a>(&mut self, results: impl IntoIterator<Item = &'a MultiResult>) {
        for result in results {
            result.encode(self.buf);
        }
        MultiHeader::END.encode(self.buf);
    }
}

/// The result of one operation of a multi.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MultiResult {
    /// The created path.
    Create(ByteString),
    /// The created path and its Stat.
    Create2(ByteString, Stat),
    /// The znode was deleted.
    Delete,
    /// The data was set; the new Stat.
    SetData(Stat),
    /// The znode has the expected version.
    Check,
    /// In a multiRead: data and Stat.
    GetData(Option<Bytes>, Stat),
    /// In a multiRead: the names of the children.
    GetChildren(Vec<ByteString>),
    /// In a multiRead: this read failed. In a multi: the whole multi failed. The operation that
    /// failed has its error, those before it have 0, and those after it RuntimeInconsistency.
    Error(ErrorCode),
}

impl MultiResult {
    /// The results of a multi of `len` operations of which the one at index `failed` failed with
    /// `err`.
    pub fn failed(len: usize, failed: usize, err: ErrorCode) -> Vec<MultiResult> {
        (0..len)
            .map(|index| {
                MultiResult::Error(match index.cmp(&failed) {
                    std::cmp::Ordering::Less => ErrorCode::Ok,
                    std::cmp::Ordering::Equal => err,
                    std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency,
                })
            })
            .collect()
    }

    fn encode(&self, buf: &mut BytesMut) {
        let (op, err) = match self {
            Self::Create(_) => (OpCode::Create, ErrorCode::Ok),
            Self::Create2(..) => (OpCode::Create2, ErrorCode::Ok),
            Self::Delete => (OpCode::Delete, ErrorCode::Ok),
            Self::SetData(_) => (OpCode::SetData, ErrorCode::Ok),
            Self::Check => (OpCode::Check, ErrorCode::Ok),
            Self::GetData(..) => (OpCode::GetData, ErrorCode::Ok),
            Self::GetChildren(_) => (OpCode::GetChildren, ErrorCode::Ok),
            Self::Error(err) => (OpCode::Error, *err),
        };
        MultiHeader {
            op: op.as_i32(),
            done: false,
            err: err.code(),
        }
        .encode(buf);
        match self {
            Self::Create(path) => put_string(buf, path),
            Self::Create2(path, stat) => {
                put_string(buf, path);
                stat.encode(buf);
            }
            Self::SetData(stat) => stat.encode(buf),
            Self::GetData(data, stat) => {
                put_buffer(buf, data.as_deref());
                stat.encode(buf);
            }
            Self::GetChildren(names) => put_strings(buf, names),
            // The code is sent twice: in the header and as the body.
            Self::Error(err) => buf.put_i32(err.code()),
            Self::Delete | Self::Check => {}
        }
    }

    fn decode(op: i32, reader: &mut Reader) -> Result<Self, DecodeError> {
        let unknown = DecodeError::UnknownNumber {
            what: "type of result",
            number: op,
        };
        Ok(match OpCode::from_i32(op).ok_or(unknown)? {
            OpCode::Create => Self::Create(reader.string()?),
            OpCode::Create2 => Self::Create2(reader.string()?, Stat::decode(reader)?),
            OpCode::Delete => Self::Delete,
            OpCode::SetData => Self::SetData(Stat::decode(reader)?),
            OpCode::Check => Self::Check,
            OpCode::GetData => Self::GetData(reader.buffer()?, Stat::decode(reader)?),
            OpCode::GetChildren => Self::GetChildren(reader.strings()?),
            OpCode::Error => Self::Error(error_code(reader.i32()?)?),
            _ => return Err(unknown),
        })
    }
}

/// The body of a successful reply, as a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// No body: delete, ping, auth, setWatches, checkWatches, removeWatches, deleteContainer,
    /// closeSession.
    Empty,
    /// A path: create, sync.
    Path(ByteString),
    /// A path and its Stat: create2, createContainer, createTTL.
    PathAndStat(ByteString, Stat),
    /// A Stat: exists, setData, setACL.
    Stat(Stat),
    /// Data and Stat: getData, reconfig.
    Data(Option<Bytes>, Stat),
    /// A list and a Stat: getACL.
    Acl(Vec<Acl>, Stat),
    /// Names or paths: getChildren, getEphemerals.
    Children(Vec<ByteString>),
    /// Names and Stat: getChildren2.
    Children2(Vec<ByteString>, Stat),
    /// One result for each operation: multi, multiRead.
    Multi(Vec<MultiResult>),
    /// The server's step: sasl.
    Token(Option<Bytes>),
    /// A number: getAllChildrenNumber, and 0 for addWatch.
    Number(i32),
    /// The connection's identities: whoAmI.
    Identities(Vec<ClientInfo>),
}

impl Reply {
    /// Appends a whole frame.
    pub fn encode(&self, buf: &mut BytesMut, xid: i32, zxid: i64) -> Encoded {
        encode(buf, xid, zxid, |body| self.encode_body(body))
    }

    /// Writes the body without a header.
    pub fn encode_body(&self, body: &mut Body<'_>) {
        match self {
            Self::Empty => {}
            Self::Path(path) => body.path(path),
            Self::PathAndStat(path, stat) => body.path_and_stat(path, stat),
            Self::Stat(stat) => body.stat(stat),
            Self::Data(data, stat) => body.data(data.as_deref(), stat),
            Self::Acl(acl, stat) => body.acl(acl, stat),
            Self::Children(names) => body.children(names),
            Self::Children2(names, stat) => {
                body.children(names);
                body.stat(stat);
            }
            Self::Multi(results) => body.multi(results),
            Self::Token(token) => body.token(token.as_deref()),
            Self::Number(number) => body.number(*number),
            Self::Identities(identities) => body.identities(identities),
        }
    }

    /// Reads the body of a successful reply to `op`.
    pub fn decode(op: OpCode, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create | OpCode::Sync => Self::Path(reader.string()?),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::PathAndStat(reader.string()?, Stat::decode(reader)?)
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Self::Stat(Stat::decode(reader)?),
            OpCode::GetData | OpCode::Reconfig => {
                Self::Data(reader.buffer()?, Stat::decode(reader)?)
            }
            OpCode::GetAcl => Self::Acl(
                reader.list(Acl::MIN_WIRE_LEN, Acl::decode)?,
                Stat::decode(reader)?,
            ),
            OpCode::GetChildren | OpCode::GetEphemerals => Self::Children(reader.strings()?),
            OpCode::GetChildren2 => Self::Children2(reader.strings()?, Stat::decode(reader)?),
            OpCode::Multi | OpCode::MultiRead => {
                let mut results = Vec::new();
                loop {
                    let header = MultiHeader::decode(reader)?;
                    if header.done {
                        break Self::Multi(results);
                    }
                    results.push(MultiResult::decode(header.op, reader)?);
                }
            }
            OpCode::Delete
            | OpCode::Ping
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::DeleteContainer
            | OpCode::CloseSession => Self::Empty,
            OpCode::Sasl => Self::Token(reader.buffer()?),
            OpCode::AddWatch | OpCode::GetAllChildrenNumber => Self::Number(reader.i32()?),
            OpCode::WhoAmI => {
                Self::Identities(reader.list(ClientInfo::MIN_WIRE_LEN, ClientInfo::decode)?)
            }
            other @ (OpCode::Notification
            | OpCode::Check
            | OpCode::CreateSession
            | OpCode::Error) => return Err(DecodeError::unimplemented(other.as_i32())),
        })
    }
}

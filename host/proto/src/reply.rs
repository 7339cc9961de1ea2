//! What a server answers.
//!
//! 1. [`encode`] appends length and header, lets the caller write the body through a [`Body`], and patches the length
//!    in: no allocation but the growth of the connection's own buffer, and data goes from the tree to the socket's
//!    buffer in one copy.
//! 2. An error is a header alone: [`encode_error`].
//! 3. [`Reply`] is the same answer as an owned value, for those who cannot write it yet (a write's outcome waits for
//!    its turn) and for clients, who decode it.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::codec::{DecodeError, Reader, put_buffer, put_list, put_string, put_strings};
use crate::request::MultiHeader;
use crate::{Acl, ClientInfo, ErrorCode, OpCode, Stat, frame};

/// What every reply begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHeader {
    /// The request's xid, or one of [`crate::xid`].
    pub xid: i32,
    /// The zxid as of which the answer holds.
    pub zxid: i64,
    /// The outcome. If it is not `Ok`, no body follows.
    pub err: ErrorCode,
}

impl ReplyHeader {
    /// Bytes on the wire.
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

/// Appends a successful reply whose body `body` writes.
///
/// A body of 2 GiB or more cannot be framed: the client gets MarshallingError in its place.
pub fn encode(buf: &mut BytesMut, xid: i32, zxid: i64, body: impl FnOnce(&mut Body<'_>)) {
    let start = frame::start(buf);
    ReplyHeader {
        xid,
        zxid,
        err: ErrorCode::Ok,
    }
    .encode(buf);
    body(&mut Body { buf });
    if !frame::finish(buf, start) {
        encode_error(buf, xid, zxid, ErrorCode::MarshallingError);
    }
}

/// Appends a reply without a body: an error, or the success of delete, ping, auth, setWatches, checkWatches,
/// removeWatches, deleteContainer and closeSession with `ErrorCode::Ok`. (test: `replies_match_zookeepers_own_bytes`)
pub fn encode_error(buf: &mut BytesMut, xid: i32, zxid: i64, err: ErrorCode) {
    let start = frame::start(buf);
    ReplyHeader { xid, zxid, err }.encode(buf);
    frame::finish(buf, start);
}

/// Appends the reply to a SASL token that was refused: of all errors this one has a body, a null
/// token, as ZooKeeper sends it. (test: `a_failed_exchange_ends_the_connection`)
pub fn encode_refused_token(buf: &mut BytesMut, xid: i32, zxid: i64, err: ErrorCode) {
    let start = frame::start(buf);
    ReplyHeader { xid, zxid, err }.encode(buf);
    put_buffer(buf, None);
    frame::finish(buf, start);
}

/// Writes the body of one reply.
#[derive(Debug)]
pub struct Body<'a> {
    buf: &'a mut BytesMut,
}

impl Body<'_> {
    /// create, sync: a path.
    pub fn path(&mut self, path: &str) {
        put_string(self.buf, path);
    }

    /// create2: a path and a stat.
    pub fn path_and_stat(&mut self, path: &str, stat: &Stat) {
        put_string(self.buf, path);
        stat.encode(self.buf);
    }

    /// exists, setData, setACL: a stat.
    pub fn stat(&mut self, stat: &Stat) {
        stat.encode(self.buf);
    }

    /// getData: data and stat. (test: `null_data_is_not_empty_data`)
    pub fn data(&mut self, data: Option<&[u8]>, stat: &Stat) {
        put_buffer(self.buf, data);
        stat.encode(self.buf);
    }

    /// getACL: the list and a stat.
    pub fn acl<'a>(&mut self, acl: impl IntoIterator<Item = &'a Acl>, stat: &Stat) {
        put_list(self.buf, acl, |buf, acl| acl.encode(buf));
        stat.encode(self.buf);
    }

    /// getChildren, getEphemerals: names; for getChildren2, [`Body::stat`] follows.
    pub fn children<S: AsRef<str>>(&mut self, names: impl IntoIterator<Item = S>) {
        put_strings(self.buf, names);
    }

    /// sasl: the server's step; null if there is none.
    pub fn token(&mut self, token: Option<&[u8]>) {
        put_buffer(self.buf, token);
    }

    /// getAllChildrenNumber, and addWatch, which answers 0.
    pub fn number(&mut self, number: i32) {
        self.buf.put_i32(number);
    }

    /// whoAmI.
    pub fn identities<'a>(&mut self, identities: impl IntoIterator<Item = &'a ClientInfo>) {
        put_list(self.buf, identities, |buf, identity| identity.encode(buf));
    }

    /// Bytes written so far, the header and what stands before it in the buffer included.
    pub fn position(&self) -> usize {
        self.buf.len()
    }

    /// multi and multiRead: one result per operation, and the header that ends them.
    ///
    /// The header's error is 0 even if the multi failed; then every result is an [`MultiResult::Error`].
    /// (test: `replies_match_zookeepers_own_bytes`, golden `multi_failed`)
    pub fn multi<'a>(&mut self, results: impl IntoIterator<Item = &'a MultiResult>) {
        for result in results {
            result.encode(self.buf);
        }
        MultiHeader::END.encode(self.buf);
    }
}

/// What one operation of a multi answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MultiResult {
    /// The path that was created.
    Create(ByteString),
    /// The path that was created, and its stat.
    Create2(ByteString, Stat),
    /// Deleted.
    Delete,
    /// The stat after the data was set.
    SetData(Stat),
    /// The version is as expected.
    Check,
    /// Of a multiRead: data and stat.
    GetData(Option<Bytes>, Stat),
    /// Of a multiRead: the names of the children.
    GetChildren(Vec<ByteString>),
    /// Of a multiRead: the read failed. Of a multi: all of it failed. Before the operation at fault the code is 0, at it its error, behind it
    /// RuntimeInconsistency.
    Error(ErrorCode),
}

impl MultiResult {
    /// The results of a multi of `len` operations of which the one at index `failed` failed with `err`.
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
            // The code stands twice: in the header, and as the body.
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
    /// delete, ping, auth, setWatches, checkWatches, removeWatches, deleteContainer, closeSession: nothing but the
    /// header.
    Empty,
    /// create, sync.
    Path(ByteString),
    /// create2, createContainer, createTTL.
    PathAndStat(ByteString, Stat),
    /// exists, setData, setACL.
    Stat(Stat),
    /// getData, reconfig.
    Data(Option<Bytes>, Stat),
    /// getACL.
    Acl(Vec<Acl>, Stat),
    /// getChildren, getEphemerals.
    Children(Vec<ByteString>),
    /// getChildren2.
    Children2(Vec<ByteString>, Stat),
    /// multi, multiRead.
    Multi(Vec<MultiResult>),
    /// sasl.
    Token(Option<Bytes>),
    /// getAllChildrenNumber; addWatch's is 0.
    Number(i32),
    /// whoAmI.
    Identities(Vec<ClientInfo>),
}

impl Reply {
    /// Appends a whole frame.
    pub fn encode(&self, buf: &mut BytesMut, xid: i32, zxid: i64) {
        encode(buf, xid, zxid, |body| self.encode_body(body));
    }

    /// Writes the body alone.
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

//! The requests of a client after the handshake.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::codec::{DecodeError, Reader, put_bool, put_buffer, put_list, put_string, put_strings};
use crate::{Acl, CreateMode, ErrorCode, OpCode, WatcherType, frame};

mod extended;
mod multi;
mod multi_read;
pub use extended::{AddWatch, CreateTtl, Reconfig};
pub(crate) use multi::MultiHeader;
pub use multi::{Multi, MultiOp};
pub use multi_read::{MultiRead, ReadOp};

/// The header of each request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// The client's number of the request, which the reply repeats.
    pub xid: i32,
    /// The opcode. It may be one that does not exist.
    pub op: i32,
}

impl RequestHeader {
    /// Reads the header.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            xid: reader.i32()?,
            op: reader.i32()?,
        })
    }

    /// Appends the header.
    pub fn encode(&self, buf: &mut BytesMut) {
        buf.put_i32(self.xid);
        buf.put_i32(self.op);
    }
}

/// The body of create and create2, which differ only in their answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Create {
    /// The path; a sequential mode appends a number to it.
    pub path: ByteString,
    /// The data; `None` is null, which is not the same as no bytes.
    pub data: Option<Bytes>,
    /// The ACL.
    pub acl: Vec<Acl>,
    /// The mode in the message; [`Create::mode`] reads it.
    pub flags: i32,
}

impl Create {
    /// The mode; BadArguments if it is unknown. (Inside a multi, ZooKeeper cannot decode an unknown
    /// mode and answers the whole multi with MarshallingError.)
    pub const fn mode(&self) -> Result<CreateMode, ErrorCode> {
        CreateMode::from_flags(self.flags)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.path()?,
            data: reader.buffer()?,
            acl: reader.list(Acl::MIN_WIRE_LEN, Acl::decode)?,
            flags: reader.i32()?,
        })
    }

    fn encode(&self, buf: &mut BytesMut) {
        put_string(buf, &self.path);
        put_buffer(buf, self.data.as_deref());
        put_list(buf, &self.acl, |buf, acl| acl.encode(buf));
        buf.put_i32(self.flags);
    }
}

/// The body of delete and check: a path and the version that the client expects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathVersion {
    /// The znode.
    pub path: ByteString,
    /// The expected version, or -1 for any.
    pub version: i32,
}

impl PathVersion {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.path()?,
            version: reader.i32()?,
        })
    }

    fn encode(&self, buf: &mut BytesMut) {
        put_string(buf, &self.path);
        buf.put_i32(self.version);
    }
}

/// The body of exists, getData, getChildren and getChildren2: a path and whether to watch it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathWatch {
    /// The znode.
    pub path: ByteString,
    /// Whether the client sets a watch.
    pub watch: bool,
}

impl PathWatch {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.path()?,
            watch: reader.bool()?,
        })
    }

    fn encode(&self, buf: &mut BytesMut) {
        put_string(buf, &self.path);
        put_bool(buf, self.watch);
    }
}

/// The body of setData.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetData {
    /// The znode.
    pub path: ByteString,
    /// The new data; `None` is null, which is not the same as no bytes.
    pub data: Option<Bytes>,
    /// The expected version, or -1.
    pub version: i32,
}

impl SetData {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            // ZooKeeper finds a null path only later here and answers BadArguments.
            path: reader.string()?,
            data: reader.buffer()?,
            version: reader.i32()?,
        })
    }

    fn encode(&self, buf: &mut BytesMut) {
        put_string(buf, &self.path);
        put_buffer(buf, self.data.as_deref());
        buf.put_i32(self.version);
    }
}

/// The body of setACL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAcl {
    /// The znode.
    pub path: ByteString,
    /// The new ACL.
    pub acl: Vec<Acl>,
    /// The expected version of the ACL, or -1.
    pub version: i32,
}

/// The body of auth: credentials for this connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Auth {
    /// Always 0.
    pub auth_type: i32,
    /// The scheme of the credentials: `digest`, `ip`, …
    pub scheme: ByteString,
    /// The credentials; null is read as empty.
    pub auth: Bytes,
}

/// The body of setWatches and setWatches2: the watches that a client had on its last connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SetWatches {
    /// The last zxid that the client saw. Watches of znodes that changed since then fire at once.
    pub relative_zxid: i64,
    /// Watches set by getData, and by exists on znodes that existed.
    pub data: Vec<ByteString>,
    /// Watches set by exists on znodes that did not exist.
    pub exist: Vec<ByteString>,
    /// Watches set by getChildren.
    pub child: Vec<ByteString>,
    /// Persistent watches. Only setWatches2 can send them.
    pub persistent: Vec<ByteString>,
    /// Persistent recursive watches. Only setWatches2 can send them.
    pub persistent_recursive: Vec<ByteString>,
}

impl SetWatches {
    fn decode(reader: &mut Reader, with_persistent: bool) -> Result<Self, DecodeError> {
        let mut set = Self {
            relative_zxid: reader.i64()?,
            data: reader.strings()?,
            exist: reader.strings()?,
            child: reader.strings()?,
            ..Self::default()
        };
        if with_persistent {
            set.persistent = reader.strings()?;
            set.persistent_recursive = reader.strings()?;
        }
        Ok(set)
    }

    fn encode(&self, buf: &mut BytesMut, with_persistent: bool) {
        buf.put_i64(self.relative_zxid);
        put_strings(buf, &self.data);
        put_strings(buf, &self.exist);
        put_strings(buf, &self.child);
        if with_persistent {
            put_strings(buf, &self.persistent);
            put_strings(buf, &self.persistent_recursive);
        }
    }
}

/// The body of removeWatches and checkWatches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoveWatches {
    /// The znode.
    pub path: ByteString,
    /// The kind of watches in the message; [`RemoveWatches::watcher_type`] reads it.
    pub kind: i32,
}

impl RemoveWatches {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.string()?,
            kind: reader.i32()?,
        })
    }

    fn encode(&self, buf: &mut BytesMut) {
        put_string(buf, &self.path);
        buf.put_i32(self.kind);
    }

    /// The kind of watches; MarshallingError for an unknown number, as in ZooKeeper.
    pub const fn watcher_type(&self) -> Result<WatcherType, ErrorCode> {
        match WatcherType::from_i32(self.kind) {
            Some(kind) => Ok(kind),
            None => Err(ErrorCode::MarshallingError),
        }
    }
}

/// Every request that can be decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Create a znode; answers its path.
    Create(Create),
    /// Create a znode; answers its path and stat.
    Create2(Create),
    /// Delete a znode.
    Delete(PathVersion),
    /// A znode's stat, if it exists.
    Exists(PathWatch),
    /// A znode's data and stat.
    GetData(PathWatch),
    /// Replace a znode's data.
    SetData(SetData),
    /// A znode's ACL and stat.
    GetAcl(ByteString),
    /// Replace a znode's ACL.
    SetAcl(SetAcl),
    /// The names of a znode's children.
    GetChildren(PathWatch),
    /// The names of a znode's children, and its stat.
    GetChildren2(PathWatch),
    /// Catch up with the leader.
    Sync(ByteString),
    /// Keep the session alive.
    Ping,
    /// Several writes: all of them are done, or none.
    Multi(Multi),
    /// Credentials for this connection.
    Auth(Auth),
    /// Watches of the last connection.
    SetWatches(SetWatches),
    /// setWatches with persistent watches.
    SetWatches2(SetWatches),
    /// Say whether there is such a watch.
    CheckWatches(RemoveWatches),
    /// Remove watches.
    RemoveWatches(RemoveWatches),
    /// Add a persistent watch.
    AddWatch(AddWatch),
    /// Create a container; answers its path and stat.
    CreateContainer(Create),
    /// Create a znode with a time to live; answers its path and stat.
    CreateTtl(CreateTtl),
    /// Delete an empty container. ZooKeeper's leader sends it; a client may send it, too.
    DeleteContainer(ByteString),
    /// Several reads.
    MultiRead(MultiRead),
    /// The client's step of a SASL exchange; null is read as empty.
    Sasl(Bytes),
    /// The paths of the session's ephemeral znodes that begin with this prefix.
    GetEphemerals(ByteString),
    /// The number of all descendants.
    GetAllChildrenNumber(ByteString),
    /// The identities of this connection.
    WhoAmI,
    /// Change the ensemble.
    Reconfig(Reconfig),
    /// Close the session.
    CloseSession,
}

impl Request {
    /// Reads the body of a frame: header and request.
    ///
    /// The header is there even if the rest cannot be decoded, so that the refusal can carry the
    /// client's xid.
    pub fn decode(frame: Bytes) -> Result<(RequestHeader, Result<Self, DecodeError>), DecodeError> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader)?;
        Ok((header, Self::decode_body(header.op, &mut reader)))
    }

    /// Reads the body after the header.
    ///
    /// Opcodes that a client may not send, and check outside a multi, are
    /// [`DecodeError::Unimplemented`].
    /// (test: `unknown_operations_and_check_alone_are_unimplemented`)
    pub fn decode_body(op: i32, reader: &mut Reader) -> Result<Self, DecodeError> {
        let unimplemented = DecodeError::unimplemented(op);
        Ok(match OpCode::from_i32(op).ok_or(unimplemented)? {
            OpCode::Create => Self::Create(Create::decode(reader)?),
            OpCode::Create2 => Self::Create2(Create::decode(reader)?),
            OpCode::Delete => Self::Delete(PathVersion::decode(reader)?),
            OpCode::Exists => Self::Exists(PathWatch::decode(reader)?),
            OpCode::GetData => Self::GetData(PathWatch::decode(reader)?),
            OpCode::SetData => Self::SetData(SetData::decode(reader)?),
            OpCode::GetAcl => Self::GetAcl(reader.path()?),
            OpCode::SetAcl => Self::SetAcl(SetAcl {
                path: reader.string()?,
                acl: reader.list(Acl::MIN_WIRE_LEN, Acl::decode)?,
                version: reader.i32()?,
            }),
            OpCode::GetChildren => Self::GetChildren(PathWatch::decode(reader)?),
            OpCode::GetChildren2 => Self::GetChildren2(PathWatch::decode(reader)?),
            OpCode::Sync => Self::Sync(reader.string()?),
            OpCode::Ping => Self::Ping,
            OpCode::Multi => Self::Multi(Multi::decode(reader)?),
            OpCode::Auth => Self::Auth(Auth {
                auth_type: reader.i32()?,
                scheme: reader.string()?,
                auth: reader.buffer()?.unwrap_or_default(),
            }),
            OpCode::SetWatches => Self::SetWatches(SetWatches::decode(reader, false)?),
            OpCode::SetWatches2 => Self::SetWatches2(SetWatches::decode(reader, true)?),
            OpCode::CheckWatches => Self::CheckWatches(RemoveWatches::decode(reader)?),
            OpCode::RemoveWatches => Self::RemoveWatches(RemoveWatches::decode(reader)?),
            OpCode::AddWatch => Self::AddWatch(AddWatch::decode(reader)?),
            OpCode::CreateContainer => Self::CreateContainer(Create::decode(reader)?),
            OpCode::CreateTtl => Self::CreateTtl(CreateTtl::decode(reader)?),
            OpCode::DeleteContainer => Self::DeleteContainer(reader.path()?),
            OpCode::MultiRead => Self::MultiRead(MultiRead::decode(reader)?),
            OpCode::Sasl => Self::Sasl(reader.buffer()?.unwrap_or_default()),
            OpCode::GetEphemerals => Self::GetEphemerals(reader.string()?),
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber(reader.path()?),
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::Reconfig => Self::Reconfig(Reconfig::decode(reader)?),
            OpCode::CloseSession => Self::CloseSession,
            OpCode::Notification | OpCode::Check | OpCode::CreateSession | OpCode::Error => {
                return Err(unimplemented);
            }
        })
    }

    /// The operation.
    pub const fn op_code(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::Delete(_) => OpCode::Delete,
            Self::Exists(_) => OpCode::Exists,
            Self::GetData(_) => OpCode::GetData,
            Self::SetData(_) => OpCode::SetData,
            Self::GetAcl(_) => OpCode::GetAcl,
            Self::SetAcl(_) => OpCode::SetAcl,
            Self::GetChildren(_) => OpCode::GetChildren,
            Self::GetChildren2(_) => OpCode::GetChildren2,
            Self::Sync(_) => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::Multi(_) => OpCode::Multi,
            Self::Auth(_) => OpCode::Auth,
            Self::SetWatches(_) => OpCode::SetWatches,
            Self::SetWatches2(_) => OpCode::SetWatches2,
            Self::CheckWatches(_) => OpCode::CheckWatches,
            Self::RemoveWatches(_) => OpCode::RemoveWatches,
            Self::AddWatch(_) => OpCode::AddWatch,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::DeleteContainer(_) => OpCode::DeleteContainer,
            Self::MultiRead(_) => OpCode::MultiRead,
            Self::Sasl(_) => OpCode::Sasl,
            Self::GetEphemerals(_) => OpCode::GetEphemerals,
            Self::GetAllChildrenNumber(_) => OpCode::GetAllChildrenNumber,
            Self::WhoAmI => OpCode::WhoAmI,
            Self::Reconfig(_) => OpCode::Reconfig,
            Self::CloseSession => OpCode::CloseSession,
        }
    }

    /// Appends a whole frame: length, header, body.
    pub fn encode(&self, buf: &mut BytesMut, xid: i32) {
        let start = frame::start(buf);
        RequestHeader {
            xid,
            op: self.op_code().as_i32(),
        }
        .encode(buf);
        self.encode_body(buf);
        frame::finish(buf, start);
    }

    fn encode_body(&self, buf: &mut BytesMut) {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.encode(buf);
            }
            Self::CreateTtl(create) => create.encode(buf),
            Self::Delete(delete) => delete.encode(buf),
            Self::Exists(read)
            | Self::GetData(read)
            | Self::GetChildren(read)
            | Self::GetChildren2(read) => {
                read.encode(buf);
            }
            Self::SetData(set) => set.encode(buf),
            Self::GetAcl(path)
            | Self::Sync(path)
            | Self::DeleteContainer(path)
            | Self::GetEphemerals(path)
            | Self::GetAllChildrenNumber(path) => put_string(buf, path),
            Self::SetAcl(set) => {
                put_string(buf, &set.path);
                put_list(buf, &set.acl, |buf, acl| acl.encode(buf));
                buf.put_i32(set.version);
            }
            Self::Multi(multi) => multi.encode(buf),
            Self::Auth(auth) => {
                buf.put_i32(auth.auth_type);
                put_string(buf, &auth.scheme);
                put_buffer(buf, Some(&auth.auth));
            }
            Self::SetWatches(set) => set.encode(buf, false),
            Self::SetWatches2(set) => set.encode(buf, true),
            Self::CheckWatches(watches) | Self::RemoveWatches(watches) => watches.encode(buf),
            Self::AddWatch(add) => add.encode(buf),
            Self::MultiRead(multi) => multi.encode(buf),
            Self::Sasl(token) => put_buffer(buf, Some(token)),
            Self::Reconfig(reconfig) => reconfig.encode(buf),
            Self::Ping | Self::WhoAmI | Self::CloseSession => {}
        }
    }
}

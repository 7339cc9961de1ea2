//! Requests that came with ZooKeeper 3.5 and later.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::codec::{DecodeError, Reader, put_buffer, put_list, put_string};
use crate::{Acl, AddWatchMode, CreateMode, ErrorCode};

/// The body of createTTL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateTtl {
    /// The path; a sequential mode appends a number to it.
    pub path: ByteString,
    /// The data; `None` is null, which is not the same as no bytes.
    pub data: Option<Bytes>,
    /// The ACL.
    pub acl: Vec<Acl>,
    /// The mode in the message; [`CreateTtl::mode`] reads it.
    pub flags: i32,
    /// The time in milliseconds that the znode stays after it was last set.
    pub ttl_ms: i64,
}

impl CreateTtl {
    /// The mode; BadArguments if it is unknown. Whether it has a time to live is not checked here.
    pub const fn mode(&self) -> Result<CreateMode, ErrorCode> {
        CreateMode::from_flags(self.flags)
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.path()?,
            data: reader.buffer()?,
            acl: reader.list(Acl::MIN_WIRE_LEN, Acl::decode)?,
            flags: reader.i32()?,
            ttl_ms: reader.i64()?,
        })
    }

    pub(super) fn encode(&self, buf: &mut BytesMut) {
        put_string(buf, &self.path);
        put_buffer(buf, self.data.as_deref());
        put_list(buf, &self.acl, |buf, acl| acl.encode(buf));
        buf.put_i32(self.flags);
        buf.put_i64(self.ttl_ms);
    }
}

/// The body of addWatch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddWatch {
    /// The znode, which need not exist.
    pub path: ByteString,
    /// The mode in the message; [`AddWatch::mode`] reads it.
    pub mode: i32,
}

impl AddWatch {
    /// The mode; `None` if it is unknown.
    pub const fn mode(&self) -> Option<AddWatchMode> {
        AddWatchMode::from_i32(self.mode)
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.string()?,
            mode: reader.i32()?,
        })
    }

    pub(super) fn encode(&self, buf: &mut BytesMut) {
        put_string(buf, &self.path);
        buf.put_i32(self.mode);
    }
}

/// The body of reconfig.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reconfig {
    /// Servers to add, separated by commas; null if none.
    pub joining: Option<ByteString>,
    /// Numbers of servers to remove, separated by commas; null if none.
    pub leaving: Option<ByteString>,
    /// The whole new ensemble, instead of the two lists before; null if there is none.
    pub new_members: Option<ByteString>,
    /// The version of the configuration that is to be changed, or -1 for any.
    pub config_id: i64,
}

impl Reconfig {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            joining: reader.optional_string()?,
            leaving: reader.optional_string()?,
            new_members: reader.optional_string()?,
            config_id: reader.i64()?,
        })
    }

    pub(super) fn encode(&self, buf: &mut BytesMut) {
        for list in [&self.joining, &self.leaving, &self.new_members] {
            put_buffer(buf, list.as_deref().map(str::as_bytes));
        }
        buf.put_i64(self.config_id);
    }
}

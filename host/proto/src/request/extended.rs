//! Requests that came with ZooKeeper 3.5 and later.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::codec::{DecodeError, Reader, put_buffer, put_list, put_string};
use crate::{Acl, AddWatchMode, CreateMode, ErrorCode};

/// createTTL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateTtl {
    /// The path, or what a counter is appended to.
    pub path: ByteString,
    /// The data; null is not empty.
    pub data: Option<Bytes>,
    /// The ACL.
    pub acl: Vec<Acl>,
    /// The mode as sent; [`CreateTtl::mode`] reads it.
    pub flags: i32,
    /// How long the znode stays after its last change, in milliseconds.
    pub ttl_ms: i64,
}

impl CreateTtl {
    /// The mode, or BadArguments. It need not be one with a time to live: what that means is not
    /// the protocol's matter.
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

/// addWatch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddWatch {
    /// The znode, which need not exist.
    pub path: ByteString,
    /// The mode as sent; [`AddWatch::mode`] reads it.
    pub mode: i32,
}

impl AddWatch {
    /// The mode, if the number is one.
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

/// reconfig.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reconfig {
    /// Servers to add, separated by commas; null if none.
    pub joining: Option<ByteString>,
    /// Numbers of servers to remove, separated by commas; null if none.
    pub leaving: Option<ByteString>,
    /// The whole new ensemble, instead of the two; null if not meant.
    pub new_members: Option<ByteString>,
    /// The version of the configuration that is to be changed, or -1.
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

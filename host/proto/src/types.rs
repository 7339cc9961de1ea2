//! Records that requests and replies share.

use std::{fmt, ops};

use bytes::{BufMut, BytesMut};
use bytestring::ByteString;

use crate::codec::{DecodeError, Reader, put_string};

/// A znode's Stat: all eleven fields, in the order of the protocol.
/// (test: `replies_match_zookeepers_own_bytes`)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Stat {
    /// The zxid that created the znode.
    pub czxid: i64,
    /// The zxid that last set its data.
    pub mzxid: i64,
    /// When it was created, in milliseconds since 1970.
    pub ctime: i64,
    /// When its data was last set, in milliseconds since 1970.
    pub mtime: i64,
    /// How often its data was set.
    pub version: i32,
    /// How often a child was created or deleted.
    pub cversion: i32,
    /// How often its ACL was set.
    pub aversion: i32,
    /// The session of an ephemeral znode; 0 otherwise, apart from containers and TTLs.
    pub ephemeral_owner: i64,
    /// The length of the data in bytes.
    pub data_length: i32,
    /// The number of children.
    pub num_children: i32,
    /// The zxid that last created or deleted a child.
    pub pzxid: i64,
}

impl Stat {
    /// The encoded length in bytes.
    pub const WIRE_LEN: usize = 6 * 8 + 5 * 4;

    /// Appends the eleven fields.
    pub fn encode(&self, buf: &mut BytesMut) {
        // The record is built on the stack, so that the buffer's capacity is checked once.
        let mut bytes = [0u8; Self::WIRE_LEN];
        let mut out = &mut bytes[..];
        out.put_i64(self.czxid);
        out.put_i64(self.mzxid);
        out.put_i64(self.ctime);
        out.put_i64(self.mtime);
        out.put_i32(self.version);
        out.put_i32(self.cversion);
        out.put_i32(self.aversion);
        out.put_i64(self.ephemeral_owner);
        out.put_i32(self.data_length);
        out.put_i32(self.num_children);
        out.put_i64(self.pzxid);
        buf.put_slice(&bytes);
    }

    /// Reads the eleven fields.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: reader.i64()?,
            mzxid: reader.i64()?,
            ctime: reader.i64()?,
            mtime: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.i64()?,
            data_length: reader.i32()?,
            num_children: reader.i32()?,
            pzxid: reader.i64()?,
        })
    }
}

/// A set of permissions. Bits without a meaning are kept, as in ZooKeeper.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Perms(
    /// The bits of the protocol.
    pub i32,
);

impl Perms {
    /// No permission.
    pub const NONE: Perms = Perms(0);
    /// Read data, stat and children.
    pub const READ: Perms = Perms(1);
    /// Set data.
    pub const WRITE: Perms = Perms(1 << 1);
    /// Create children.
    pub const CREATE: Perms = Perms(1 << 2);
    /// Delete children.
    pub const DELETE: Perms = Perms(1 << 3);
    /// Set the ACL.
    pub const ADMIN: Perms = Perms(1 << 4);
    /// All five permissions.
    pub const ALL: Perms = Perms(0x1f);

    /// Are all of these permissions in the set?
    pub const fn contains(self, wanted: Perms) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Is at least one of these permissions in the set?
    pub const fn intersects(self, wanted: Perms) -> bool {
        self.0 & wanted.0 != 0
    }
}

impl ops::BitOr for Perms {
    type Output = Perms;

    fn bitor(self, other: Perms) -> Perms {
        Perms(self.0 | other.0)
    }
}

/// The letters of ZooKeeper's command line, `cdrwa`; a number if there are other bits.
impl fmt::Display for Perms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & !Self::ALL.0 != 0 {
            return write!(f, "{:#x}", self.0);
        }
        let letters = [
            (Self::CREATE, "c"),
            (Self::DELETE, "d"),
            (Self::READ, "r"),
            (Self::WRITE, "w"),
            (Self::ADMIN, "a"),
        ];
        letters
            .iter()
            .filter(|(perm, _)| self.contains(*perm))
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl fmt::Debug for Perms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Perms({self})")
    }
}

/// One entry of an access control list: a client with the identity `scheme:id` has `perms`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Acl {
    /// The granted permissions.
    pub perms: Perms,
    /// The scheme, which compares identities: `world`, `auth`, `digest`, `ip`, …
    pub scheme: ByteString,
    /// The id in the form of the scheme.
    pub id: ByteString,
}

impl Acl {
    /// The least encoded length of an entry in bytes.
    pub const MIN_WIRE_LEN: usize = 12;

    /// `perms` for `scheme:id`.
    pub fn new(perms: Perms, scheme: impl Into<ByteString>, id: impl Into<ByteString>) -> Self {
        Self {
            perms,
            scheme: scheme.into(),
            id: id.into(),
        }
    }

    /// `perms` for everyone.
    pub fn world(perms: Perms) -> Self {
        Self::new(
            perms,
            ByteString::from_static("world"),
            ByteString::from_static("anyone"),
        )
    }

    /// Appends the entry.
    pub fn encode(&self, buf: &mut BytesMut) {
        buf.put_i32(self.perms.0);
        put_string(buf, &self.scheme);
        put_string(buf, &self.id);
    }

    /// Reads an entry.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            perms: Perms(reader.i32()?),
            scheme: reader.string()?,
            id: reader.string()?,
        })
    }
}

/// An identity of a connection in the answer of whoAmI.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClientInfo {
    /// The scheme by which the client authenticated.
    pub scheme: ByteString,
    /// The user in this scheme, without secrets.
    pub user: ByteString,
}

impl ClientInfo {
    /// The least encoded length in bytes.
    pub const MIN_WIRE_LEN: usize = 8;

    /// Appends the identity.
    pub fn encode(&self, buf: &mut BytesMut) {
        put_string(buf, &self.scheme);
        put_string(buf, &self.user);
    }

    /// Reads an identity.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            scheme: reader.string()?,
            user: reader.string()?,
        })
    }
}

//! One znode in the store: its place in the tree, and its versions.

use bytes::Bytes;
use innkeeper_proto::Stat;
use smallvec::SmallVec;

use crate::acl::AclRef;
use crate::owner::Owner;

/// The number for no slot and no version.
pub(super) const NONE: u32 = u32::MAX;

/// A znode's place in the tree. It stays while a view can see a version of the znode.
///
/// It has one cache line and is apart from the versions, because finding a znode and updating
/// `subtree_zxid` visit the nodes above it.
#[repr(align(64))]
pub(super) struct Node {
    /// The last segment of the path; up to 24 bytes need no allocation.
    pub(super) name: SmallVec<[u8; 24]>,
    /// The parent's slot; the root is its own parent. [`NONE`] if the slot is vacant.
    pub(super) parent: u32,
    /// The node's place in the parent's `children`.
    pub(super) position: u32,
    /// Slots of all children, tombstones included; the box is there only where they are.
    #[allow(clippy::box_collection, reason = "8 bytes instead of 24 in every leaf")]
    pub(super) children: Option<Box<Vec<u32>>>,
    /// The zxid of the last command that changed a znode at or below this node. It has no versions,
    /// since only its newest value is used.
    pub(super) subtree_zxid: u64,
    /// The version before the current one, or [`NONE`].
    pub(super) older: u32,
    /// The lowest bit: whether the node is in a list of nodes to prune. The other bits: the number
    /// of the capture that will write it, if it has changed.
    pub(super) marks: u32,
}

impl Node {
    /// The content of a vacant slot.
    pub(super) fn vacant() -> Node {
        Node {
            name: SmallVec::new(),
            parent: NONE,
            position: 0,
            children: None,
            subtree_zxid: 0,
            older: NONE,
            marks: 0,
        }
    }

    pub(super) fn is_queued(&self) -> bool {
        self.marks & 1 != 0
    }

    pub(super) fn set_queued(&mut self, queued: bool) {
        self.marks = self.marks & !1 | u32::from(queued);
    }

    /// Marks the node for a capture; false if it was marked already.
    pub(super) fn mark(&mut self, capture: u32) -> bool {
        let fresh = self.marks >> 1 != capture;
        self.marks = capture << 1 | self.marks & 1;
        fresh
    }
}

/// A version of a znode, valid from one command on. The newest version is stored under the node's
/// slot. If it has no body, the node is a tombstone.
#[derive(Clone)]
#[repr(align(64))]
pub(crate) struct Version {
    /// The first zxid with this version: the zxid of the command that created, changed or deleted
    /// the znode.
    pub(crate) from: u64,
    /// `None` if the znode does not exist.
    pub(crate) body: Option<Body>,
}

impl Version {
    /// The content of a vacant slot.
    pub(super) fn vacant() -> Version {
        Version {
            from: 0,
            body: None,
        }
    }
}

/// An older version, which an open view may still see.
pub(super) struct OldVersion {
    pub(super) version: Version,
    pub(super) next: u32,
}

/// Everything that can be read of a znode.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) data: Data,
    pub(crate) acl: AclRef,
    pub(crate) czxid: u64,
    pub(crate) mzxid: u64,
    pub(crate) pzxid: u64,
    pub(crate) ctime: u64,
    pub(crate) mtime: u64,
    pub(crate) owner: i64,
    pub(crate) version: i32,
    pub(crate) aversion: i32,
    /// How many children were created; it is the next sequence number. (The cversion also counts
    /// the deleted children.)
    pub(crate) creates: i32,
    pub(crate) num_children: i32,
}

impl Body {
    pub(crate) fn owner(&self) -> Owner {
        Owner::of(self.owner)
    }

    pub(crate) fn stat(&self) -> Stat {
        Stat {
            czxid: self.czxid as i64,
            mzxid: self.mzxid as i64,
            ctime: self.ctime as i64,
            mtime: self.mtime as i64,
            version: self.version,
            cversion: self.creates.wrapping_mul(2).wrapping_sub(self.num_children),
            aversion: self.aversion,
            ephemeral_owner: self.owner().shown(),
            data_length: i32::try_from(self.data.len()).unwrap_or(i32::MAX),
            num_children: self.num_children,
            pzxid: self.pzxid as i64,
        }
    }
}

const INLINE: usize = 38;

/// A znode's data; small data needs no allocation of its own.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// Null, which is not the same as no bytes.
    Null,
    /// Up to 38 bytes.
    Inline { len: u8, bytes: [u8; INLINE] },
    /// More bytes, in memory of their own.
    Shared(Bytes),
}

/// Data of at least this length shares the buffer in which it came. Shorter data is copied, so that
/// it does not keep a large buffer in memory.
const SHARE_FROM: usize = 64 * 1024;

impl Data {
    pub(crate) fn new(data: Option<&Bytes>) -> Data {
        match data {
            None => Data::Null,
            Some(data) if data.len() <= INLINE => {
                let mut bytes = [0; INLINE];
                bytes[..data.len()].copy_from_slice(data);
                Data::Inline {
                    len: data.len() as u8,
                    bytes,
                }
            }
            Some(data) if data.len() < SHARE_FROM => Data::Shared(Bytes::copy_from_slice(data)),
            Some(data) => Data::Shared(data.clone()),
        }
    }

    pub(crate) fn as_slice(&self) -> Option<&[u8]> {
        match self {
            Data::Null => None,
            Data::Inline { len, bytes } => Some(&bytes[..usize::from(*len)]),
            Data::Shared(bytes) => Some(bytes),
        }
    }

    pub(crate) fn to_bytes(&self) -> Option<Bytes> {
        match self {
            Data::Null => None,
            Data::Inline { len: 0, .. } => Some(Bytes::new()),
            Data::Inline { len, bytes } => {
                Some(Bytes::copy_from_slice(&bytes[..usize::from(*len)]))
            }
            Data::Shared(bytes) => Some(bytes.clone()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().map_or(0, <[u8]>::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_cache_lines() {
        assert_eq!((size_of::<Node>(), size_of::<Version>()), (64, 128));
    }
}

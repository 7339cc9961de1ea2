//! One znode in the store: its place in the tree, and its versions.

use bytes::Bytes;
use innkeeper_proto::Stat;
use smallvec::SmallVec;

use crate::acl::AclRef;
use crate::owner::Owner;

/// The number that stands for no slot and no version.
pub(super) const NONE: u32 = u32::MAX;

/// A znode's place in the tree. It stays while any view can see any version of it.
///
/// It is one cache line, apart from the versions: finding a znode looks at those above it,
/// and so does keeping their `subtree_zxid`.
#[repr(align(64))]
pub(super) struct Node {
    /// The last segment; up to 24 bytes stand inline.
    pub(super) name: SmallVec<[u8; 24]>,
    /// Slot of the parent; the root is its own. [`NONE`] where the slot is vacant.
    pub(super) parent: u32,
    /// Where it stands in the parent's `children`.
    pub(super) position: u32,
    /// Slots of all children, tombstones included; the box is there only where they are.
    #[allow(clippy::box_collection, reason = "8 bytes instead of 24 in every leaf")]
    pub(super) children: Option<Box<Vec<u32>>>,
    /// The last command that changed anything at or below; not versioned, since it is only
    /// ever compared in its newest state.
    pub(super) subtree_zxid: u64,
    /// The version before the current one, or [`NONE`].
    pub(super) older: u32,
    /// In the low bit, whether it stands in one of the lists of what is to be pruned; above
    /// it, the number of the capture that will write it, if that is yet to come.
    pub(super) marks: u32,
}

impl Node {
    /// What stands where no node is.
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

    /// Marks the node for a capture; false if it was.
    pub(super) fn mark(&mut self, capture: u32) -> bool {
        let fresh = self.marks >> 1 != capture;
        self.marks = capture << 1 | self.marks & 1;
        fresh
    }
}

/// What a znode was from one command on. The writer sees the newest of its versions, which
/// stands beside the node; one without a body makes the node a tombstone.
#[derive(Clone)]
#[repr(align(64))]
pub(crate) struct Version {
    /// The first zxid that sees it: that of the last command which touched the znode at all.
    pub(crate) from: u64,
    /// `None` where the znode does not exist.
    pub(crate) body: Option<Body>,
}

impl Version {
    /// What stands where no version is.
    pub(super) fn vacant() -> Version {
        Version {
            from: 0,
            body: None,
        }
    }
}

/// A version that open views still see.
pub(super) struct OldVersion {
    pub(super) version: Version,
    pub(super) next: u32,
}

/// Everything of a znode that can be read.
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
    /// Counts the creates of children: the next sequence number. (ZooKeeper shows
    /// creates + deletes as cversion.)
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
    /// Null, which is not empty.
    Null,
    /// Up to 38 bytes.
    Inline { len: u8, bytes: [u8; INLINE] },
    /// More.
    Shared(Bytes),
}

/// Above this length data shares the buffer that it came in, below it is copied: a small
/// value must not keep a whole frame of others alive.
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

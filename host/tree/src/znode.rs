//! Znodes and their children as a view shows them.

use bytes::Bytes;
use innkeeper_proto::Stat;

use crate::acl::AclRef;

/// A znode as a view shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Znode {
    /// The data; `None` if the client wrote null, which is not the same as no bytes.
    pub data: Option<Bytes>,
    /// All eleven fields of ZooKeeper's Stat.
    pub stat: Stat,
    /// Who may do what with the znode.
    pub acl: AclRef,
}

/// The children of a znode as a view shows them.
#[derive(Clone, PartialEq, Debug)]
pub struct Children {
    /// Their names (not paths), in byte order.
    pub names: Vec<String>,
    /// The parent's Stat.
    pub stat: Stat,
    /// The parent's ACL.
    pub acl: AclRef,
}

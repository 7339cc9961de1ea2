//! What a client may ask of one znode, as authorizers know it.

/// What a request wants to do with a path. These are the operations of the WIT world `authorizer`;
/// the sandbox translates them for guests, in one place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Create the znode.
    Create,
    /// Delete the znode.
    Delete,
    /// See whether the znode exists, and its Stat.
    Exists,
    /// Read the znode's data.
    GetData,
    /// Set the znode's data.
    SetData,
    /// List the znode's children.
    GetChildren,
    /// Read the znode's ACL.
    GetAcl,
    /// Set the znode's ACL.
    SetAcl,
    /// Compare the znode's version, inside a multi.
    Check,
    /// Bring the node that serves the client up to date.
    Sync,
}

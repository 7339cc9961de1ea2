//! The watches that a client had on its last connection, and the events that it has missed since.

use innkeeper_proto::request::SetWatches;
use innkeeper_proto::{ByteString, EventType, Perms};
use innkeeper_tree::Access;
use innkeeper_tree::{Identity, View, acl};

use crate::authorization::AccessRequest;
use crate::delivery::watches::Kind;

/// The kinds of access that authorizers are asked about before a persistent watch is set: its
/// events tell that a znode exists, and that its data and its children change. Authorizers are
/// asked again about each event.
pub(super) const PERSISTENT_WATCH: [Access; 3] =
    [Access::Exists, Access::GetData, Access::GetChildren];

/// A setWatches, and how far it has come.
pub(super) struct FormerWatches {
    /// The last zxid that the client saw.
    pub(super) relative_zxid: i64,
    /// The watches that are left, the next one last.
    left: Vec<(Former, ByteString)>,
}

/// A watch that a client had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Former {
    /// The data of a znode that existed.
    Data,
    /// The creation of a znode that did not exist.
    Exist,
    /// The children of a znode.
    Child,
    /// Everything of a znode, with a persistent watch.
    Persistent,
    /// Everything of a znode and below it, with a persistent watch.
    Recursive,
}

impl FormerWatches {
    /// All of the client's watches are left to be done.
    pub(super) fn new(set: SetWatches) -> Self {
        let mut left: Vec<_> = [
            (Former::Data, set.data),
            (Former::Exist, set.exist),
            (Former::Child, set.child),
            (Former::Persistent, set.persistent),
            (Former::Recursive, set.persistent_recursive),
        ]
        .into_iter()
        .flat_map(|(former, paths)| paths.into_iter().map(move |path| (former, path)))
        .collect();
        left.reverse();
        Self {
            relative_zxid: set.relative_zxid,
            left,
        }
    }

    /// Takes the next `most` of them, in order; none if all were taken.
    pub(super) fn take(&mut self, most: usize) -> Vec<(Former, ByteString)> {
        let at = self.left.len().saturating_sub(most);
        let mut run = self.left.split_off(at);
        run.reverse();
        run
    }

    /// Puts back some of those that were taken last, in order.
    pub(super) fn put_back(&mut self, again: Vec<(Former, ByteString)>) {
        self.left.extend(again.into_iter().rev());
    }
}

impl Former {
    /// The accesses that authorizers are asked about: those of the read that sets the same watch.
    pub(super) fn asks(self, path: &str) -> Vec<AccessRequest<'_>> {
        let accesses: &[Access] = match self {
            Former::Data => &[Access::GetData],
            Former::Exist => &[Access::Exists],
            Former::Child => &[Access::GetChildren],
            Former::Persistent | Former::Recursive => &PERSISTENT_WATCH,
        };
        let asks = accesses.iter().map(|access| AccessRequest {
            access: *access,
            path,
        });
        asks.collect()
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Former::Data | Former::Exist => Kind::Data,
            Former::Child => Kind::Child,
            Former::Persistent => Kind::Persistent,
            Former::Recursive => Kind::Recursive,
        }
    }

    /// The event that the client has missed since `relative_zxid`; `None` if there is none, or if
    /// the client may not read the znode.
    pub(super) fn missed(
        self,
        view: &View,
        path: &str,
        relative_zxid: i64,
        identities: &[Identity],
    ) -> Option<EventType> {
        if let Former::Persistent | Former::Recursive = self {
            return None;
        }
        let found = view.exists(path);
        let visible = match &found {
            Some((_, list)) => acl::allows(list, Perms::READ, identities),
            None => true,
        };
        let missed = match (self, found) {
            (Former::Data | Former::Child, None) => Some(EventType::NodeDeleted),
            (Former::Exist, None) => None,
            (Former::Exist, Some(_)) => Some(EventType::NodeCreated),
            (Former::Data, Some((stat, _))) => {
                (stat.mzxid > relative_zxid).then_some(EventType::NodeDataChanged)
            }
            (Former::Child, Some((stat, _))) => {
                (stat.pzxid > relative_zxid).then_some(EventType::NodeChildrenChanged)
            }
            (Former::Persistent | Former::Recursive, _) => None,
        };
        missed.filter(|_| visible)
    }
}

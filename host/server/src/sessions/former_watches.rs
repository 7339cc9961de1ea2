//! What a client watched on its last connection, and what it has missed since.

use innkeeper_proto::request::SetWatches;
use innkeeper_proto::{ByteString, EventType, Perms};
use innkeeper_tree::Access;
use innkeeper_tree::{Identity, View, acl};

use crate::authorization::AccessRequest;
use crate::delivery::watches::Kind;

/// What authorizers are asked about a persistent watch: it tells of a znode's existence, of its
/// data, and of its children by what happens to them. Each event is asked about again.
pub(super) const PERSISTENT_WATCH: [Access; 3] =
    [Access::Exists, Access::GetData, Access::GetChildren];

/// A setWatches, and how far it has come.
pub(super) struct FormerWatches {
    /// The last zxid that the client saw.
    pub(super) relative_zxid: i64,
    /// What is left, the next one last.
    left: Vec<(Former, ByteString)>,
}

/// What a client watched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Former {
    /// The data of a znode that existed.
    Data,
    /// The existence of a znode that did not.
    Exist,
    /// The children.
    Child,
    /// Everything of a znode, with a persistent watch.
    Persistent,
    /// Everything of a znode and below it, with a persistent watch.
    Recursive,
}

impl FormerWatches {
    /// All of them are left.
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

    /// The next `most` of them, in order; none if all were taken.
    pub(super) fn take(&mut self, most: usize) -> Vec<(Former, ByteString)> {
        let at = self.left.len().saturating_sub(most);
        let mut run = self.left.split_off(at);
        run.reverse();
        run
    }

    /// Puts some of those that were taken last back, in order.
    pub(super) fn put_back(&mut self, again: Vec<(Former, ByteString)>) {
        self.left.extend(again.into_iter().rev());
    }
}

impl Former {
    /// What authorizers are asked: setting a watch is asked as the read that sets it.
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

    /// What the client has missed since `relative_zxid`; `None` if nothing, or if it may not
    /// know.
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

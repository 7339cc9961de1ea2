//! A binding's queue: the events to which a recipe has not reacted yet.
//!
//! 1. Apply finds the bindings that watch a changed path and adds the change to their queues with
//!    [`Queue::push`]. A path has one entry, into which all its events are merged.
//! 2. The dispatcher takes the oldest entries with [`Queue::take`] and hands them to the guest.
//! 3. The guest's transaction names the consumed entries as [`Ack`]s. Apply calls [`Queue::check`]
//!    for all of them, then [`Queue::acknowledge`], in the same commit as the writes.
//!
//! Bound: the binding's limit `queue`, in distinct paths. One path more, and a single entry
//! "resync: read everything" replaces all of them.
//!
//! **Invariant:** an acknowledgement never removes a later entry of the same path. For that an
//! entry keeps its oldest zxid beside its newest one. (test:
//! `a_stale_acknowledgement_does_not_pass_for_a_later_entry`)

use std::collections::{BTreeMap, BTreeSet};
use std::ops::BitOr;
use std::sync::Arc;

use innkeeper_proto::EventType;

use crate::Zxid;
use crate::transaction::Ack;

/// The greatest depth of an event. An event that a client caused has depth 0; an event that a
/// reaction caused has one more than the deepest event that the reaction consumed. Deeper events
/// are not queued, so that two recipes that react to each other stop.
pub const MAX_CASCADE_DEPTH: u8 = 32;

/// A set of kinds of events, which happened to one path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Kinds(u8);

impl Kinds {
    /// The znode was created.
    pub const CREATED: Kinds = Kinds(1);
    /// The znode was deleted.
    pub const DELETED: Kinds = Kinds(1 << 1);
    /// The znode's data was set.
    pub const DATA_CHANGED: Kinds = Kinds(1 << 2);
    /// A child of the znode was created or deleted.
    pub const CHILDREN_CHANGED: Kinds = Kinds(1 << 3);

    /// All four kinds.
    pub const ALL: Kinds = Kinds(0xf);

    const NAMED: [(Kinds, &'static str); 4] = [
        (Kinds::CREATED, "created"),
        (Kinds::DELETED, "deleted"),
        (Kinds::DATA_CHANGED, "data-changed"),
        (Kinds::CHILDREN_CHANGED, "children-changed"),
    ];

    /// The set with this kind of event alone; empty if the event is not about a znode.
    pub const fn of(event: EventType) -> Kinds {
        match event {
            EventType::NodeCreated => Kinds::CREATED,
            EventType::NodeDeleted => Kinds::DELETED,
            EventType::NodeDataChanged => Kinds::DATA_CHANGED,
            EventType::NodeChildrenChanged => Kinds::CHILDREN_CHANGED,
            _ => Kinds(0),
        }
    }

    /// The set as bits, for checkpoints.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of these bits; `None` if one of them has no meaning.
    pub const fn from_bits(bits: u8) -> Option<Kinds> {
        if bits & !Kinds::ALL.0 == 0 {
            Some(Kinds(bits))
        } else {
            None
        }
    }

    /// The names of the kinds in the set, as guests know them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Kinds::NAMED
            .into_iter()
            .filter(move |(kind, _)| self.contains(*kind))
            .map(|(_, name)| name)
    }

    /// Are all of these in the set?
    pub const fn contains(self, wanted: Kinds) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl BitOr for Kinds {
    type Output = Kinds;

    fn bitor(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

impl std::fmt::Debug for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// One entry of a queue, as a guest gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueueEntry {
    /// Read everything: the queue was full, and the single changes are lost.
    Resync {
        /// The zxid of the newest event that the entry stands for.
        zxid: Zxid,
        /// The depth of the deepest event that the entry stands for.
        depth: u8,
    },
    /// A watched path changed.
    Changed {
        /// The changed path.
        path: Arc<str>,
        /// The kinds of changes since the entry was created.
        kinds: Kinds,
        /// The zxid of the newest change.
        zxid: Zxid,
        /// The depth of the deepest change.
        depth: u8,
    },
}

impl QueueEntry {
    /// The zxid of the newest event in the entry.
    pub fn zxid(&self) -> Zxid {
        match self {
            QueueEntry::Resync { zxid, .. } | QueueEntry::Changed { zxid, .. } => *zxid,
        }
    }

    /// The depth of the deepest event in the entry.
    pub fn depth(&self) -> u8 {
        match self {
            QueueEntry::Resync { depth, .. } | QueueEntry::Changed { depth, .. } => *depth,
        }
    }

    /// The acknowledgement of a transaction that consumed the entry.
    pub fn ack(&self) -> Ack {
        match self {
            QueueEntry::Resync { zxid, .. } => Ack::Resync(*zxid),
            QueueEntry::Changed { path, zxid, .. } => Ack::Path {
                path: path.to_string(),
                zxid: *zxid,
            },
        }
    }
}

/// What the queue keeps for one path or for the resync.
///
/// Invariant: `oldest <= newest`. An acknowledgement with a zxid between them belongs to this
/// entry; an older one belongs to an entry that was consumed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// The kinds of events; empty for a resync.
    pub kinds: Kinds,
    /// No pending event is older than this zxid.
    pub oldest: Zxid,
    /// The zxid of the newest event in the entry.
    pub newest: Zxid,
    /// The depth of the deepest event in the entry.
    pub depth: u8,
}

impl Pending {
    fn merge(&mut self, kinds: Kinds, zxid: Zxid, depth: u8) {
        self.kinds = self.kinds | kinds;
        self.newest = zxid;
        self.depth = self.depth.max(depth);
    }

    fn admits(&self, acknowledged: Zxid) -> bool {
        (self.oldest..=self.newest).contains(&acknowledged)
    }

    /// The rest after an acknowledgement: the events that are newer than it. The queue does not
    /// know which kinds these events have, so all kinds stay.
    fn after(self, acknowledged: Zxid) -> Option<Pending> {
        (self.newest > acknowledged).then(|| Pending {
            oldest: acknowledged.next(),
            ..self
        })
    }
}

/// The key of an entry. Keys tell which entries a checkpoint must write.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum QueueKey {
    /// The entry "resync".
    Resync,
    /// A path's entry.
    Path(Arc<str>),
}

/// The effect of an event on the queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pushed {
    /// The path's entry was created or changed.
    Path(Arc<str>),
    /// The queue was full: the entries of all paths were removed, and the resync was created or
    /// changed.
    Overflowed,
}

/// A binding's queue.
///
/// Invariants:
/// - `by_age` holds (oldest, path) of every entry and nothing else.
/// - There are at most `limit` paths, by the limit of the last push, and at most one resync.
/// - The entry of each path has events that are newer than the resync.
/// - Zxids are pushed in ascending order; several pushes may have the same zxid.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Queue {
    entries: BTreeMap<Arc<str>, Pending>,
    by_age: BTreeSet<(Zxid, Arc<str>)>,
    resync: Option<Pending>,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Is the queue empty?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.resync.is_none()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len() + usize::from(self.resync.is_some())
    }

    /// Adds an event of a path. `limit` is the binding's limit `queue`, in paths.
    pub fn push(
        &mut self,
        path: &Arc<str>,
        kinds: Kinds,
        zxid: Zxid,
        depth: u8,
        limit: u64,
    ) -> Pushed {
        if let Some(pending) = self.entries.get_mut(&**path) {
            pending.merge(kinds, zxid, depth);
            return Pushed::Path(path.clone());
        }
        if self.entries.len() as u64 >= limit {
            // The resync stands for all the entries, so it takes the greatest depth of them.
            let depth = self
                .entries
                .values()
                .map(|pending| pending.depth)
                .fold(depth, u8::max);
            self.resync(zxid, depth);
            return Pushed::Overflowed;
        }
        let pending = Pending {
            kinds,
            oldest: zxid,
            newest: zxid,
            depth,
        };
        self.insert(path.clone(), pending);
        Pushed::Path(path.clone())
    }

    /// Replaces all entries by a resync of this zxid.
    pub fn resync(&mut self, zxid: Zxid, depth: u8) {
        self.entries.clear();
        self.by_age.clear();
        match &mut self.resync {
            Some(resync) => resync.merge(Kinds::default(), zxid, depth),
            None => {
                self.resync = Some(Pending {
                    kinds: Kinds::default(),
                    oldest: zxid,
                    newest: zxid,
                    depth,
                });
            }
        }
    }

    /// The first `limit` entries: the resync, then the paths in the order of their oldest events.
    /// An entry keeps its place when events are merged into it, so a path that changes all the time
    /// gets its turn.
    pub fn take(&self, limit: usize) -> Vec<QueueEntry> {
        let resync = self.resync.iter().map(|resync| QueueEntry::Resync {
            zxid: resync.newest,
            depth: resync.depth,
        });
        let changed = self.by_age.iter().filter_map(|(_, path)| {
            let pending = self.entries.get(path)?;
            Some(QueueEntry::Changed {
                path: path.clone(),
                kinds: pending.kinds,
                zxid: pending.newest,
                depth: pending.depth,
            })
        });
        resync.chain(changed).take(limit).collect()
    }

    /// Is the acknowledged entry still pending? If not, another transaction has consumed it.
    pub fn check(&self, ack: &Ack) -> bool {
        match ack {
            Ack::Path { path, zxid } => self
                .entries
                .get(&**path)
                .is_some_and(|pending| pending.admits(*zxid)),
            Ack::Resync(zxid) => self.resync.is_some_and(|resync| resync.admits(*zxid)),
        }
    }

    /// Removes the consumed events: those up to the acknowledgement's zxid. An entry with newer
    /// events stays. If [`Queue::check`] is false, the call returns false and does nothing; so the
    /// second acknowledgement of one entry fails.
    #[must_use]
    pub fn acknowledge(&mut self, ack: &Ack) -> bool {
        if !self.check(ack) {
            return false;
        }
        match ack {
            Ack::Path { path, zxid } => {
                if let Some((path, pending)) = self.remove(path)
                    && let Some(rest) = pending.after(*zxid)
                {
                    self.insert(path, rest);
                }
            }
            Ack::Resync(zxid) => {
                self.resync = self.resync.and_then(|resync| resync.after(*zxid));
            }
        }
        true
    }

    /// The entry with this key, for a checkpoint; `None` if it was removed.
    pub fn get(&self, key: &QueueKey) -> Option<&Pending> {
        match key {
            QueueKey::Resync => self.resync.as_ref(),
            QueueKey::Path(path) => self.entries.get(path),
        }
    }

    /// All entries for a checkpoint: the resync, then the paths in their order.
    pub fn iter(&self) -> impl Iterator<Item = (QueueKey, &Pending)> {
        let resync = self.resync.iter().map(|resync| (QueueKey::Resync, resync));
        let paths = self
            .entries
            .iter()
            .map(|(path, pending)| (QueueKey::Path(path.clone()), pending));
        resync.chain(paths)
    }

    /// Restores an entry from a checkpoint.
    pub fn restore(&mut self, key: QueueKey, pending: Pending) {
        match key {
            QueueKey::Resync => self.resync = Some(pending),
            QueueKey::Path(path) => {
                self.remove(&path);
                self.insert(path, pending);
            }
        }
    }

    fn insert(&mut self, path: Arc<str>, pending: Pending) {
        self.by_age.insert((pending.oldest, path.clone()));
        self.entries.insert(path, pending);
    }

    fn remove(&mut self, path: &str) -> Option<(Arc<str>, Pending)> {
        let (path, pending) = self.entries.remove_entry(path)?;
        let key = (pending.oldest, path);
        self.by_age.remove(&key);
        Some((key.1, pending))
    }
}

#[cfg(test)]
mod tests;

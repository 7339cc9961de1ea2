//! A binding's queue: the events that a recipe has yet to react to.
//!
//! 1. Apply matches a change to the bindings that watch its path and [`Queue::push`]es it.
//!    A path has one entry; kinds of events merge into it.
//! 2. The dispatcher takes the oldest entries with [`Queue::take`] and hands them to the guest.
//! 3. The guest's transaction names what it consumed as [`Ack`]s; apply [`Queue::check`]s all
//!    of them, then [`Queue::acknowledge`]s them in the same commit as the writes.
//!
//! The queue's bound is the binding's limit `queue`, in distinct paths: one path more, and
//! all of them give way to one "resync: read everything".
//!
//! **Invariant:** an acknowledgement never takes away a later entry of the same path: an entry
//! keeps its oldest zxid beside its newest. (test:
//! `a_stale_acknowledgement_does_not_pass_for_a_later_entry`)

use std::collections::{BTreeMap, BTreeSet};
use std::ops::BitOr;
use std::sync::Arc;

use innkeeper_proto::EventType;

use crate::Zxid;
use crate::transaction::Ack;

/// The deepest cascade: an event caused by a client has depth 0, one caused by a reaction one
/// more than the deepest event that the reaction consumed. Deeper ones are not queued, so
/// that two recipes that answer each other come to rest.
pub const MAX_CASCADE_DEPTH: u8 = 32;

/// What happened to a path: a set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Kinds(u8);

impl Kinds {
    /// The znode was created.
    pub const CREATED: Kinds = Kinds(1);
    /// The znode was deleted.
    pub const DELETED: Kinds = Kinds(1 << 1);
    /// Its data was set.
    pub const DATA_CHANGED: Kinds = Kinds(1 << 2);
    /// A child of it was created or deleted.
    pub const CHILDREN_CHANGED: Kinds = Kinds(1 << 3);

    /// All four.
    pub const ALL: Kinds = Kinds(0xf);

    const NAMED: [(Kinds, &'static str); 4] = [
        (Kinds::CREATED, "created"),
        (Kinds::DELETED, "deleted"),
        (Kinds::DATA_CHANGED, "data-changed"),
        (Kinds::CHILDREN_CHANGED, "children-changed"),
    ];

    /// The set of this kind of event alone; empty if it is not about a znode.
    pub const fn of(event: EventType) -> Kinds {
        match event {
            EventType::NodeCreated => Kinds::CREATED,
            EventType::NodeDeleted => Kinds::DELETED,
            EventType::NodeDataChanged => Kinds::DATA_CHANGED,
            EventType::NodeChildrenChanged => Kinds::CHILDREN_CHANGED,
            _ => Kinds(0),
        }
    }

    /// The bits, as checkpoints keep them.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of these bits, if each has a meaning.
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

/// One entry, as it is delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueueEntry {
    /// Read everything: changes were not kept one by one.
    Resync {
        /// The newest cause.
        zxid: Zxid,
        /// The deepest cause.
        depth: u8,
    },
    /// A watched path changed.
    Changed {
        /// Which.
        path: Arc<str>,
        /// How, since its entry was made.
        kinds: Kinds,
        /// The newest change.
        zxid: Zxid,
        /// The deepest change.
        depth: u8,
    },
}

impl QueueEntry {
    /// Of the newest event merged into it.
    pub fn zxid(&self) -> Zxid {
        match self {
            QueueEntry::Resync { zxid, .. } | QueueEntry::Changed { zxid, .. } => *zxid,
        }
    }

    /// Of the deepest event merged into it.
    pub fn depth(&self) -> u8 {
        match self {
            QueueEntry::Resync { depth, .. } | QueueEntry::Changed { depth, .. } => *depth,
        }
    }

    /// What a transaction says that consumed it.
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

/// What is kept of one path, or of the resync.
///
/// Invariant: `oldest <= newest`. An acknowledgement as of any zxid in between is one of
/// this entry; an older one is of an entry that was consumed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// What happened; empty for a resync.
    pub kinds: Kinds,
    /// No event that is still pending is older.
    pub oldest: Zxid,
    /// The newest event merged into it.
    pub newest: Zxid,
    /// The deepest event merged into it.
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

    /// What stays after an acknowledgement, if anything: what is newer than it. Which kinds
    /// those events were is not known, so all stay.
    fn after(self, acknowledged: Zxid) -> Option<Pending> {
        (self.newest > acknowledged).then(|| Pending {
            oldest: acknowledged.next(),
            ..self
        })
    }
}

/// A key of the queue, to say which entries a checkpoint must write.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum QueueKey {
    /// The resync.
    Resync,
    /// A path's entry.
    Path(Arc<str>),
}

/// What an event did to the queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pushed {
    /// The path's entry is new or changed.
    Path(Arc<str>),
    /// The queue was full: the entries of all paths are gone, the resync is new or changed.
    Overflowed,
}

/// A binding's queue.
///
/// Invariants:
/// - `by_age` holds (oldest, path) of every entry and nothing else.
/// - At most `limit` paths, as of the last push, beside at most one resync.
/// - Every path's entry has events newer than the resync: those that are not were cleared
///   by it.
/// - Zxids are pushed in ascending order (several pushes may have the same one).
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

    /// Is there nothing to react to?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.resync.is_none()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len() + usize::from(self.resync.is_some())
    }

    /// An event of a path. `limit` is the binding's, in paths.
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
            // The resync stands for what it replaces: it is as deep as the deepest of it.
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

    /// "Read everything", as of `zxid`: it stands for all entries there are.
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

    /// The first `limit` entries: the resync, then the paths, whose oldest event is oldest
    /// first. An entry keeps its place while events merge into it, so a path that changes
    /// all the time is not passed over.
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

    /// Is what the acknowledgement names still pending? If not, somebody was first.
    pub fn check(&self, ack: &Ack) -> bool {
        match ack {
            Ack::Path { path, zxid } => self
                .entries
                .get(&**path)
                .is_some_and(|pending| pending.admits(*zxid)),
            Ack::Resync(zxid) => self.resync.is_some_and(|resync| resync.admits(*zxid)),
        }
    }

    /// Takes what was consumed off the queue: events up to the acknowledgement's zxid. An
    /// entry with newer events stays. False, and nothing is done, where [`Queue::check`]
    /// is false: a transaction that names an entry twice fails its second one.
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

    /// What a checkpoint keeps of an entry; none if it is gone.
    pub fn get(&self, key: &QueueKey) -> Option<&Pending> {
        match key {
            QueueKey::Resync => self.resync.as_ref(),
            QueueKey::Path(path) => self.entries.get(path),
        }
    }

    /// All that a checkpoint keeps, the resync first, then by path.
    pub fn iter(&self) -> impl Iterator<Item = (QueueKey, &Pending)> {
        let resync = self.resync.iter().map(|resync| (QueueKey::Resync, resync));
        let paths = self
            .entries
            .iter()
            .map(|(path, pending)| (QueueKey::Path(path.clone()), pending));
        resync.chain(paths)
    }

    /// Puts back what a checkpoint kept.
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

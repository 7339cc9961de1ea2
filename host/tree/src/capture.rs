//! Checkpoints: the changes since the last one, and a tree restored from the checkpoint store.
//!
//! 1. Right after a publish the writer calls [`Tree::capture`]. It takes the lists of changed
//!    things and a view; the records of small things are encoded at once.
//! 2. Another thread encodes the records of znodes from the view, while commands are applied, and
//!    writes all records in one commit of the checkpoint store.
//! 3. [`Tree::restore`] reads all records back. No record holds what can be computed from others:
//!    counts of children, lists of ephemerals, the last change below a znode.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use innkeeper_proto::Acl;

use crate::acl::AclRef;
use crate::bindings::Bindings;
use crate::encoding::rows::{self, Meta, Row, SessionRow, ZnodeRow};
use crate::group::GroupInfo;
use crate::modules::Modules;
use crate::owner::Owner;
use crate::path;
use crate::queue::Queue;
use crate::quota::Quotas;
use crate::record::Record;
use crate::session::Restored;
use crate::store::{Body, Data, Dirty, Nodes, Store};
use crate::tree::Numbers;
use crate::{SessionId, Tree, View, Zxid};

/// The greatest number of records of a capture that are sorted at a time.
const SORTED_RECORDS: usize = 16_384;

/// No further record is added to a sorted part whose values have this many bytes.
const SORTED_BYTES: usize = 4 << 20;

/// The changes since the capture before, exact at one zxid. Another thread writes them while
/// commands are applied. A capture holds a view until it is dropped.
pub struct Capture {
    view: View,
    dirty: Dirty,
    small: Vec<Record>,
}

impl Capture {
    /// The zxid at which the records are exact.
    pub fn zxid(&self) -> Zxid {
        self.view.zxid()
    }

    /// An upper bound of the number of records.
    pub fn records_most(&self) -> usize {
        self.dirty.deleted.len() + self.dirty.changed.len() + self.small.len()
    }

    /// The records to write, each key at most once. They are sorted in parts, because a sorted
    /// store writes neighbouring keys faster.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let deleted: BTreeSet<&Arc<str>> = self.dirty.deleted.iter().collect();
        let deleted = deleted
            .into_iter()
            .filter(|path| self.view.exists(path).is_none())
            .map(|path| rows::znode::<Bytes, Vec<Acl>>(path, None));
        // A slot that was freed and used again may stand there twice.
        let mut changed = self.dirty.changed.clone();
        changed.sort_unstable();
        changed.dedup();
        let mut slots = changed.into_iter();
        let parts = std::iter::from_fn(move || self.sorted_part(&mut slots));
        deleted
            .chain(parts.flatten())
            .chain(self.small.iter().cloned())
    }

    /// The records of the next slots in the order of their keys; `None` after the last slot.
    fn sorted_part(&self, slots: &mut vec::IntoIter<u32>) -> Option<Vec<Record>> {
        if slots.len() == 0 {
            return None;
        }
        let mut part = Vec::new();
        let mut bytes = 0;
        for slot in slots {
            if let Some(record) = self.view.record(slot) {
                bytes += record.value.as_ref().map_or(0, Vec::len);
                part.push(record);
            }
            if part.len() >= SORTED_RECORDS || bytes >= SORTED_BYTES {
                break;
            }
        }
        part.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Some(part)
    }
}

impl View {
    fn record(&self, slot: u32) -> Option<Record> {
        let nodes = self.store().nodes.read();
        let version = nodes.version_at(slot, self.zxid().0)?;
        let body = version.body.as_ref()?;
        let row = ZnodeRow {
            data: body.data.as_slice(),
            acl: &*body.acl,
            czxid: body.czxid,
            mzxid: body.mzxid,
            pzxid: body.pzxid,
            changed_zxid: version.from,
            ctime_ms: body.ctime,
            mtime_ms: body.mtime,
            owner: body.owner,
            version: body.version,
            aversion: body.aversion,
            creates: body.creates,
        };
        Some(rows::znode(&nodes.path_of(slot), Some(&row)))
    }
}

/// Why a checkpoint cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The checkpoint store could not be read.
    #[error("the checkpoint could not be read: {0}; check the disk")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A record cannot be decoded, or contradicts others.
    #[error(
        "the checkpoint is damaged: {0}; restore the data folder from a backup or from another node"
    )]
    Damaged(String),
}

impl Tree {
    /// The changes since the last capture; the first capture of a new tree holds everything. Call
    /// it right after a publish.
    ///
    /// # Panics
    /// If an applied command is not published yet: the capture would not be exact.
    pub fn capture(&mut self) -> Capture {
        let view = self.reader().view();
        assert_eq!(
            view.zxid(),
            self.last_zxid(),
            "capture is called right after publish"
        );
        let dirty = self.store.nodes.write().take_dirty();
        let mut small = Vec::new();
        {
            let mut sessions = self.store.sessions.write();
            for id in sessions.take_dirty() {
                let row = sessions.get(id).map(|session| SessionRow {
                    password: session.password,
                    timeout_ms: session.timeout_ms(),
                    attachment: session.attachment(),
                    seq: session.seq,
                    local: session.is_local(),
                });
                small.push(rows::session(id, row.as_ref()));
            }
        }
        for name in std::mem::take(&mut self.dirty_bindings) {
            small.push(rows::binding(
                &name,
                self.bindings.get(&name).map(|binding| &**binding),
            ));
        }
        {
            let queues = self.store.queues.read();
            for (name, key) in std::mem::take(&mut self.dirty_queues) {
                let pending = queues.get(&name).and_then(|queue| queue.get(&key));
                small.push(rows::queue(&name, &key, pending));
            }
        }
        for digest in std::mem::take(&mut self.dirty_modules) {
            small.push(rows::module(&digest, self.modules.get(&digest)));
        }
        if let Some(group) = &self.group
            && std::mem::take(&mut self.is_group_dirty)
        {
            small.push(rows::group(group));
        }
        if self.captured != Some(self.zxid) {
            small.push(rows::meta(&Meta {
                zxid: self.zxid,
                time_ms: self.time_ms,
                level: self.level,
                hash: self.hash,
            }));
        }
        self.captured = Some(self.zxid);
        Capture { view, dirty, small }
    }

    /// Builds a tree from all records of a checkpoint store, in any order.
    pub fn restore<E>(
        records: impl Iterator<Item = Result<Record, E>>,
    ) -> Result<Tree, RestoreError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut state = Restoring::default();
        for record in records {
            let record = record.map_err(|error| RestoreError::Read(error.into()))?;
            let Some(value) = record.value else {
                return Err(damaged("a deletion stands among its rows"));
            };
            let row = rows::decode(record.table, &record.key, value).map_err(damaged)?;
            state.take(row)?;
        }
        state.finish()
    }
}

fn damaged(why: impl std::fmt::Display) -> RestoreError {
    RestoreError::Damaged(why.to_string())
}

/// A checkpoint that is being read.
#[derive(Default)]
struct Restoring {
    nodes: Option<Nodes>,
    /// Znodes whose parents were not read yet; none if the records come in the order of their keys.
    orphans: BTreeMap<String, ZnodeRow<Bytes, Vec<Acl>>>,
    owned: Vec<(SessionId, u32)>,
    sessions: Vec<(SessionId, SessionRow)>,
    bindings: Bindings,
    modules: Modules,
    quotas: Quotas,
    queues: BTreeMap<Arc<str>, Queue>,
    meta: Option<Meta>,
    group: Option<GroupInfo>,
}

impl Restoring {
    fn take(&mut self, row: Row) -> Result<(), RestoreError> {
        match row {
            Row::Meta(meta) => self.meta = Some(meta),
            Row::Group(group) => self.group = Some(group),
            Row::Znode(path, znode) => self.znode(path, znode)?,
            Row::Session(id, session) => self.sessions.push((id, session)),
            Row::Binding(binding) => self.bindings.insert(binding),
            Row::Queue(name, key, pending) => {
                self.queues
                    .entry(name.into())
                    .or_default()
                    .restore(key, pending);
            }
            Row::Module(digest, module) => {
                self.modules.insert(digest, module);
            }
        }
        Ok(())
    }

    fn znode(&mut self, path: String, row: ZnodeRow<Bytes, Vec<Acl>>) -> Result<(), RestoreError> {
        if !path::is_valid(&path) {
            return Err(damaged(format!("a znode's path is not one: {path:?}")));
        }
        let nodes = match &mut self.nodes {
            Some(nodes) => nodes,
            None if path == path::ROOT => self.nodes.insert(Nodes::new(body(&row))),
            None => {
                self.orphans.insert(path, row);
                return Ok(());
            }
        };
        if path != path::ROOT && nodes.find(path::parent(&path)).is_none() {
            self.orphans.insert(path, row);
            return Ok(());
        }
        let slot = nodes
            .restore(&path, row.changed_zxid, body(&row))
            .map_err(|_| damaged(format!("the znode {path} is there twice")))?;
        if let Some(subject) = Quotas::limited_by(&path) {
            self.quotas.add(subject);
        }
        if let Owner::Session(owner) = Owner::of(row.owner) {
            self.owned.push((owner, slot));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Tree, RestoreError> {
        // In the order of paths a parent comes before its children.
        for (path, row) in std::mem::take(&mut self.orphans) {
            self.znode(path, row)?;
        }
        if let Some(path) = self.orphans.keys().next() {
            return Err(damaged(format!("the znode {path} has no parent")));
        }
        let mut nodes = self.nodes.ok_or_else(|| damaged("there is no root"))?;
        let meta = self
            .meta
            .ok_or_else(|| damaged("there is no row of the state's numbers"))?;
        nodes.forget_dirty();
        let store = Store::new(nodes);
        {
            let mut sessions = store.sessions.write();
            for (id, row) in self.sessions {
                let SessionRow {
                    password,
                    timeout_ms,
                    attachment,
                    seq,
                    local,
                } = row;
                sessions.restore(
                    meta.zxid,
                    id,
                    Restored {
                        password,
                        timeout_ms,
                        attachment,
                        seq,
                        local,
                    },
                );
            }
            for (owner, slot) in self.owned {
                if !sessions.restore_owned(owner, slot) {
                    return Err(damaged(format!(
                        "an ephemeral belongs to session {owner}, which does not exist"
                    )));
                }
            }
        }
        self.bindings.reindex();
        *store.queues.write() = self.queues;
        let Meta {
            zxid,
            time_ms,
            level,
            hash,
        } = meta;
        let mut tree = Tree::with(
            store,
            Numbers {
                zxid,
                time_ms,
                hash,
                level,
            },
            self.bindings,
            self.modules,
            self.group,
        );
        tree.quotas = self.quotas;
        tree.captured = Some(zxid);
        Ok(tree)
    }
}

fn body(row: &ZnodeRow<Bytes, Vec<Acl>>) -> Body {
    Body {
        data: Data::new(row.data.as_ref()),
        // The restored list is interned with the znode.
        acl: AclRef::from(row.acl.clone()),
        czxid: row.czxid,
        mzxid: row.mzxid,
        pzxid: row.pzxid,
        ctime: row.ctime_ms,
        mtime: row.mtime_ms,
        owner: row.owner,
        version: row.version,
        aversion: row.aversion,
        creates: row.creates,
        // Counted as the children come.
        num_children: 0,
    }
}

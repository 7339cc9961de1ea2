//! A transaction in progress: one view of the tree under the guest's own writes.
//!
//! 1. A read looks into the overlay, then into the view; what it took from the view, absences
//!    included, joins the read set.
//! 2. A write is checked against the same state as a client's would be (parent, version,
//!    children …); what the check depended on joins the read set too, so that at commit the
//!    write cannot fail where it succeeded here.
//! 3. [`Overlay::finish`] turns what was read and written into a [`Transaction`].
//!
//! Nothing here costs more than what it is asked for: whether a znode has children is known by
//! their count, and children and subtrees are found run by run (`listing`).
//!
//! Invariants:
//! - Everything read comes from one zxid.
//! - What joins the transaction was counted against its limits before (`weight`).
//! - A failed operation leaves writes as they were.
//! - Nothing outside the binding's grants is read, and not even its absence is told.

mod grants;
mod listing;
mod reads;
mod weight;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use innkeeper_proto::{Acl, Stat};
use innkeeper_tree::binding::Definition;
use innkeeper_tree::transaction::{Ack, GuestWrite, Read, Transaction};
use innkeeper_tree::{QueueEntry, SessionId, View, Znode, Zxid, path as paths};

use grants::depth;
pub(crate) use listing::Step;
use weight::Weight;

use crate::refused::Refused;
use crate::settings::Settings;

/// Why an operation of a guest failed: `types.error` of the WIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpError {
    NoNode,
    NodeExists,
    BadVersion,
    NotEmpty,
    NoChildrenForEphemerals,
    BadArguments,
    InvalidAcl,
    NoAuth,
    SessionExpired,
}

/// Why an operation did not succeed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The guest is told, and goes on.
    Op(OpError),
    /// A limit was passed: the invocation ends.
    Limit(wasmtime::Error),
}

impl From<OpError> for Stop {
    fn from(error: OpError) -> Stop {
        Stop::Op(error)
    }
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Stop {
        Stop::Limit(error)
    }
}

/// The result of an operation.
pub(crate) type Done<T> = Result<T, Stop>;

/// A znode as the transaction sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) data: Option<Bytes>,
    pub(crate) stat: Stat,
}

impl From<Znode> for Seen {
    fn from(znode: Znode) -> Seen {
        Seen {
            data: znode.data,
            stat: znode.stat,
        }
    }
}

/// How a guest wants a znode created.
#[derive(Clone, Debug, Default)]
pub(crate) struct CreateOptions {
    pub(crate) acl: Option<Vec<Acl>>,
    pub(crate) ephemeral: Option<u64>,
    pub(crate) sequential: bool,
}

/// The transaction in progress of one invocation.
pub(crate) struct Overlay {
    view: View,
    definition: Arc<Definition>,
    settings: Arc<Settings>,
    now_ms: u64,
    /// How many patterns grant something, and how many segments they have, with one more each.
    patterns: u64,
    grants: u64,
    weight: Weight,
    reads: Vec<Read>,
    /// Which kinds of reads of a path are in `reads`.
    recorded: BTreeMap<String, u8>,
    /// What the guest's own writes made of a path; `None` is deleted.
    changed: BTreeMap<String, Option<Seen>>,
    writes: Vec<GuestWrite>,
    /// The sessions whose handles were given out, in that order, and where each stands.
    handles: Vec<SessionId>,
    handle_of: BTreeMap<SessionId, u64>,
    acks: Vec<Ack>,
    called: BTreeMap<String, Zxid>,
    /// The last operation whose path the binding does not grant.
    refused: Option<Refused>,
}

impl Overlay {
    /// Of a reaction (or of an authorizer's `load`, which only reads and proposes nothing).
    pub(crate) fn new(
        view: View,
        definition: Arc<Definition>,
        settings: Arc<Settings>,
        now_ms: u64,
    ) -> Overlay {
        let granting = [
            &definition.read,
            &definition.watch,
            &definition.write,
            &definition.policy,
        ];
        let granting = granting.into_iter().flatten();
        let segments = granting.clone().map(|pattern| 1 + depth(pattern.as_str()));
        Overlay {
            patterns: granting.count() as u64,
            grants: segments.sum(),
            weight: Weight::new(&definition.limits),
            view,
            definition,
            settings,
            now_ms,
            reads: Vec::new(),
            recorded: BTreeMap::new(),
            changed: BTreeMap::new(),
            writes: Vec::new(),
            handles: Vec::new(),
            handle_of: BTreeMap::new(),
            acks: Vec::new(),
            called: BTreeMap::new(),
            refused: None,
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Begins with the transaction's head, and acknowledges as many of the events, oldest first,
    /// as take half of what it may hold, so that there is room for what the guest does about them;
    /// but one at least. `events` are those then; the rest stays queued for the next reaction. An
    /// event that alone is too much fails by name. (test: `a_small_transaction_takes_few_events`)
    pub(crate) fn begin(
        &mut self,
        binding: &str,
        events: &mut Vec<QueueEntry>,
    ) -> wasmtime::Result<()> {
        self.weight
            .add_bytes(Transaction::empty_len_most(binding))?;
        for event in events.iter() {
            let ack = event.ack();
            let bytes = ack.encoded_len();
            if !self.acks.is_empty() && self.weight.is_half_full_with(bytes) {
                break;
            }
            self.weight.add(bytes)?;
            self.acks.push(ack);
        }
        events.truncate(self.acks.len());
        Ok(())
    }

    /// Remembers that an assignor's answer was used.
    pub(crate) fn called(&mut self, name: &str, activation: Zxid) -> wasmtime::Result<()> {
        if !self.called.contains_key(name) {
            self.weight.add(Transaction::called_len(name, activation))?;
            self.called.insert(name.to_string(), activation);
        }
        Ok(())
    }

    /// The last operation that was refused because the binding does not grant its path.
    pub(crate) fn take_refused(&mut self) -> Option<Refused> {
        self.refused.take()
    }

    pub(crate) fn get(&mut self, path: &str) -> Done<Option<Seen>> {
        self.may_read("get", path)?;
        let in_view = self.view.get(path);
        self.record_node(path, in_view.as_ref().map(|znode| znode.stat))?;
        Ok(match self.changed.get(path) {
            Some(changed) => changed.clone(),
            None => in_view.map(Seen::from),
        })
    }

    pub(crate) fn exists(&mut self, path: &str) -> Done<Option<Stat>> {
        self.may_read("exists", path)?;
        self.look(path)
    }

    /// A handle of the session that owns the ephemeral at `path`.
    pub(crate) fn owner(&mut self, path: &str) -> Done<Option<u64>> {
        self.may_read("owner", path)?;
        let Some(stat) = self.look(path)? else {
            return Ok(None);
        };
        if stat.ephemeral_owner == 0 {
            return Ok(None);
        }
        let session = SessionId(stat.ephemeral_owner as u64);
        if let Some(handle) = self.handle_of.get(&session) {
            return Ok(Some(*handle));
        }
        let read = Read::Session(session);
        self.weight.add(read.encoded_len())?;
        self.reads.push(read);
        self.handles.push(session);
        // Handles count from one, so that a forgotten field is not the first session.
        let handle = self.handles.len() as u64;
        self.handle_of.insert(session, handle);
        Ok(Some(handle))
    }

    pub(crate) fn create(
        &mut self,
        path: &str,
        data: Bytes,
        options: CreateOptions,
    ) -> Done<String> {
        let sequential = options.sequential;
        // A sequential path may end in a slash: the number is then the whole name. Which number
        // it will be makes no difference to a pattern, and nothing is looked at, the parent
        // included, before the path is known to be granted.
        let probe = if sequential {
            format!("{path}{:010}", 0)
        } else {
            path.to_string()
        };
        self.may_write("create", &probe)?;
        self.check_data(&data)?;
        if probe == paths::ROOT {
            return Err(OpError::NodeExists.into());
        }
        let parent = paths::parent(&probe).to_string();
        let owner = match options.ephemeral {
            None => None,
            Some(handle) => Some(self.session(handle)?),
        };
        if options.acl.as_ref().is_some_and(|acl| !self.is_valid(acl)) {
            return Err(OpError::InvalidAcl.into());
        }
        let Some(parent_stat) = self.peek_stat(&parent) else {
            self.look(&parent)?;
            return Err(OpError::NoNode.into());
        };
        // The parent must still be that znode at commit: it exists, is (not) ephemeral, and
        // has the ACL that the child takes over.
        self.record_identity(&parent)?;
        if parent_stat.ephemeral_owner != 0 {
            return Err(OpError::NoChildrenForEphemerals.into());
        }
        let path = if sequential {
            self.record_children(&parent)?;
            let named = format!("{path}{:010}", creates(&parent_stat));
            self.may_write("create", &named)?;
            named
        } else {
            path.to_string()
        };
        if self.look(&path)?.is_some() {
            return Err(OpError::NodeExists.into());
        }
        let seen = Seen {
            stat: Stat {
                ctime: self.now_ms as i64,
                mtime: self.now_ms as i64,
                ephemeral_owner: owner.map_or(0, |session| session.0 as i64),
                data_length: data.len() as i32,
                ..Stat::default()
            },
            data: Some(data.clone()),
        };
        self.write(GuestWrite::Create {
            path: path.clone(),
            data: Some(data),
            acl: options.acl,
            owner,
        })?;
        self.change_parent(&parent, 1);
        self.changed.insert(path.clone(), Some(seen));
        Ok(path)
    }

    pub(crate) fn set(&mut self, path: &str, data: Bytes, version: Option<i32>) -> Done<Stat> {
        self.may_write("set", path)?;
        self.check_data(&data)?;
        let Some(mut stat) = self.look(path)? else {
            return Err(OpError::NoNode.into());
        };
        if version.is_some_and(|version| version != stat.version) {
            return Err(OpError::BadVersion.into());
        }
        stat.version = stat.version.wrapping_add(1);
        stat.mzxid = 0;
        stat.mtime = self.now_ms as i64;
        stat.data_length = data.len() as i32;
        self.write(GuestWrite::Set {
            path: path.to_string(),
            data: Some(data.clone()),
        })?;
        let data = Some(data);
        self.changed
            .insert(path.to_string(), Some(Seen { data, stat }));
        Ok(stat)
    }

    pub(crate) fn delete(&mut self, path: &str, version: Option<i32>) -> Done<()> {
        self.may_write("delete", path)?;
        if path == paths::ROOT {
            return Err(OpError::BadArguments.into());
        }
        let Some(stat) = self.peek_stat(path) else {
            self.look(path)?;
            return Err(OpError::NoNode.into());
        };
        if let Some(version) = version {
            self.look(path)?;
            if version != stat.version {
                return Err(OpError::BadVersion.into());
            }
        } else {
            self.record_identity(path)?;
        }
        self.record_children(path)?;
        if stat.num_children > 0 {
            return Err(OpError::NotEmpty.into());
        }
        self.write(GuestWrite::Delete {
            path: path.to_string(),
        })?;
        self.change_parent(paths::parent(path), -1);
        self.changed.insert(path.to_string(), None);
        Ok(())
    }

    /// The transaction to propose.
    pub(crate) fn finish(self, binding: String, activation: Zxid, depth: u8) -> Transaction {
        Transaction {
            binding,
            activation,
            depth,
            reads: self.reads,
            writes: self.writes,
            acks: self.acks,
            called: self.called.into_iter().collect(),
        }
    }

    fn write(&mut self, write: GuestWrite) -> Done<()> {
        self.weight.add(write.encoded_len())?;
        self.writes.push(write);
        Ok(())
    }

    fn change_parent(&mut self, parent: &str, children: i32) {
        if !self.changed.contains_key(parent) {
            let in_view = self.view.get(parent).map(Seen::from);
            self.changed.insert(parent.to_string(), in_view);
        }
        if let Some(Some(seen)) = self.changed.get_mut(parent) {
            seen.stat.num_children += children;
            seen.stat.cversion = seen.stat.cversion.wrapping_add(1);
            seen.stat.pzxid = 0;
        }
    }
}

/// Child creates that a znode has seen: the next sequence number. ZooKeeper exports creates
/// plus deletes as cversion, and creates minus deletes is the number of children.
fn creates(stat: &Stat) -> i64 {
    (i64::from(stat.cversion) + i64::from(stat.num_children)) / 2
}

#[cfg(test)]
mod tests;

//! A transaction in progress: one view of the tree under the guest's own writes.
//!
//! 1. A read looks into the overlay, then into the view; what it took from the view, absences
//!    included, joins the read set.
//! 2. A write is checked against the same state as a client's would be (parent, version,
//!    children …); what the check depended on joins the read set too, so that at commit the
//!    write cannot fail where it succeeded here.
//! 3. [`Overlay::finish`] turns what was read and written into a [`Transaction`].
//!
//! Invariants:
//! - Everything read comes from one zxid.
//! - A failed operation leaves writes as they were.
//! - Nothing outside the binding's grants is read, and not even its absence is told.

use std::collections::BTreeMap;

use bytes::Bytes;
use innkeeper_proto::{Acl, Stat};
use innkeeper_tree::binding::Definition;
use innkeeper_tree::transaction::{Ack, GuestWrite, Read, Transaction};
use innkeeper_tree::{SessionId, View, World, Zxid, path as paths};

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

/// A znode as the transaction sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) data: Option<Bytes>,
    pub(crate) stat: Stat,
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
    definition: std::sync::Arc<Definition>,
    now_ms: u64,
    /// Keyed by what makes two reads the same, in a deterministic order.
    reads: BTreeMap<ReadKey, Read>,
    /// What the guest's own writes made of a path; `None` is deleted.
    changed: BTreeMap<String, Option<Seen>>,
    writes: Vec<GuestWrite>,
    write_bytes: usize,
    handles: Vec<SessionId>,
    called: BTreeMap<String, Zxid>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum ReadKey {
    Node(String),
    Acl(String),
    Children(String),
    Absent(String),
    Subtree(String),
    Session(u64),
}

impl Overlay {
    pub(crate) fn new(view: View, definition: std::sync::Arc<Definition>, now_ms: u64) -> Overlay {
        Overlay {
            view,
            definition,
            now_ms,
            reads: BTreeMap::new(),
            changed: BTreeMap::new(),
            writes: Vec::new(),
            write_bytes: 0,
            handles: Vec::new(),
            called: BTreeMap::new(),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Number of reads and writes, and the bytes of the writes' paths and data.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.reads.len() + self.writes.len(), self.write_bytes)
    }

    /// Remembers that an assignor's answer was used.
    pub(crate) fn called(&mut self, name: &str, activation: Zxid) {
        self.called.insert(name.to_string(), activation);
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Option<Seen>, OpError> {
        self.may_read(path)?;
        Ok(self.look(path))
    }

    pub(crate) fn children(&mut self, path: &str) -> Result<Vec<String>, OpError> {
        self.may_read(path)?;
        self.list(path).ok_or(OpError::NoNode)
    }

    /// The znode at `prefix` and all below it, parents first, children in byte order.
    /// `charge` sees each znode's size before it is copied.
    pub(crate) fn scan<E>(
        &mut self,
        prefix: &str,
        mut charge: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Result<Vec<(String, Seen)>, OpError>, E> {
        if let Err(error) = paths::validate(prefix).map_err(|_| OpError::BadArguments) {
            return Ok(Err(error));
        }
        if !self.grants_subtree(prefix) {
            return Ok(Err(OpError::NoAuth));
        }
        if self.view.exists(prefix).is_none() {
            self.record(Read::Absent {
                path: prefix.to_string(),
            });
        } else {
            self.record(Read::Subtree {
                path: prefix.to_string(),
                seen: self.view.zxid(),
            });
        }
        let mut found = Vec::new();
        let mut waiting = vec![prefix.to_string()];
        while let Some(path) = waiting.pop() {
            let Some(seen) = self.peek(&path) else {
                continue;
            };
            charge(path.len() + seen.data.as_ref().map_or(0, Bytes::len))?;
            let mut names = self.names(&path).unwrap_or_default();
            // The stack turns the order round.
            names.reverse();
            waiting.extend(names.iter().map(|name| paths::join(&path, name)));
            found.push((path, seen));
        }
        Ok(Ok(found))
    }

    /// A handle of the session that owns the ephemeral at `path`.
    pub(crate) fn owner(&mut self, path: &str) -> Result<Option<u64>, OpError> {
        self.may_read(path)?;
        let Some(seen) = self.look(path) else {
            return Ok(None);
        };
        if seen.stat.ephemeral_owner == 0 {
            return Ok(None);
        }
        let session = SessionId(seen.stat.ephemeral_owner as u64);
        self.record(Read::Session(session));
        let index = match self.handles.iter().position(|known| *known == session) {
            Some(index) => index,
            None => {
                self.handles.push(session);
                self.handles.len() - 1
            }
        };
        // Handles count from one, so that a forgotten field is not the first session.
        Ok(Some(index as u64 + 1))
    }

    pub(crate) fn create(
        &mut self,
        path: &str,
        data: Bytes,
        options: CreateOptions,
    ) -> Result<String, OpError> {
        let sequential = options.sequential;
        // A sequential path may end in a slash: the number is then the whole name.
        let probe = if sequential {
            format!("{path}0")
        } else {
            path.to_string()
        };
        paths::validate(&probe).map_err(|_| OpError::BadArguments)?;
        if probe == paths::ROOT {
            return Err(OpError::NodeExists);
        }
        let parent = paths::parent(&probe).to_string();
        if !sequential {
            self.may_write(path)?;
        }
        let owner = match options.ephemeral {
            None => None,
            Some(handle) => Some(self.session(handle)?),
        };
        if options.acl.as_ref().is_some_and(|acl| !valid_acl(acl)) {
            return Err(OpError::InvalidAcl);
        }
        let Some(parent_seen) = self.peek(&parent) else {
            self.look(&parent);
            return Err(OpError::NoNode);
        };
        // The parent must still be that znode at commit: it exists, is (not) ephemeral, and
        // has the ACL that the child takes over.
        self.record_identity(&parent);
        if parent_seen.stat.ephemeral_owner != 0 {
            return Err(OpError::NoChildrenForEphemerals);
        }
        let path = if sequential {
            self.list(&parent);
            let named = format!("{path}{:010}", creates(&parent_seen.stat));
            self.may_write(&named)?;
            named
        } else {
            path.to_string()
        };
        if self.peek(&path).is_some() {
            self.look(&path);
            return Err(OpError::NodeExists);
        }
        self.look(&path);
        self.change_parent(&parent, parent_seen, 1);
        self.write_bytes += path.len() + data.len();
        self.changed.insert(
            path.clone(),
            Some(Seen {
                stat: Stat {
                    ctime: self.now_ms as i64,
                    mtime: self.now_ms as i64,
                    ephemeral_owner: owner.map_or(0, |session| session.0 as i64),
                    data_length: data.len() as i32,
                    ..Stat::default()
                },
                data: Some(data.clone()),
            }),
        );
        self.writes.push(GuestWrite::Create {
            path: path.clone(),
            data: Some(data),
            acl: options.acl,
            owner,
        });
        Ok(path)
    }

    pub(crate) fn set(
        &mut self,
        path: &str,
        data: Bytes,
        version: Option<i32>,
    ) -> Result<Stat, OpError> {
        self.may_write(path)?;
        let Some(mut seen) = self.look(path) else {
            return Err(OpError::NoNode);
        };
        if version.is_some_and(|version| version != seen.stat.version) {
            return Err(OpError::BadVersion);
        }
        seen.stat.version = seen.stat.version.wrapping_add(1);
        seen.stat.mzxid = 0;
        seen.stat.mtime = self.now_ms as i64;
        seen.stat.data_length = data.len() as i32;
        seen.data = Some(data.clone());
        let stat = seen.stat;
        self.changed.insert(path.to_string(), Some(seen));
        self.write_bytes += path.len() + data.len();
        self.writes.push(GuestWrite::Set {
            path: path.to_string(),
            data: Some(data),
        });
        Ok(stat)
    }

    pub(crate) fn delete(&mut self, path: &str, version: Option<i32>) -> Result<(), OpError> {
        self.may_write(path)?;
        if path == paths::ROOT {
            return Err(OpError::BadArguments);
        }
        let parent = paths::parent(path).to_string();
        let Some(seen) = self.peek(path) else {
            self.look(path);
            return Err(OpError::NoNode);
        };
        if let Some(version) = version {
            self.look(path);
            if version != seen.stat.version {
                return Err(OpError::BadVersion);
            }
        } else {
            self.record_identity(path);
        }
        if self.list(path).is_some_and(|names| !names.is_empty()) {
            return Err(OpError::NotEmpty);
        }
        if let Some(parent_seen) = self.peek(&parent) {
            self.change_parent(&parent, parent_seen, -1);
        }
        self.write_bytes += path.len();
        self.changed.insert(path.to_string(), None);
        self.writes.push(GuestWrite::Delete {
            path: path.to_string(),
        });
        Ok(())
    }

    /// The transaction to propose.
    pub(crate) fn finish(
        self,
        binding: String,
        activation: Zxid,
        depth: u8,
        acks: Vec<Ack>,
    ) -> Transaction {
        Transaction {
            binding,
            activation,
            depth,
            reads: self.reads.into_values().collect(),
            writes: self.writes,
            acks,
            called: self.called.into_iter().collect(),
        }
    }

    fn may_read(&self, path: &str) -> Result<(), OpError> {
        paths::validate(path).map_err(|_| OpError::BadArguments)?;
        let granted = match self.definition.world {
            World::Authorizer => self.definition.may_load(path),
            World::Recipe | World::Assignor => self.definition.may_read(path),
        };
        if granted {
            Ok(())
        } else {
            Err(OpError::NoAuth)
        }
    }

    fn grants_subtree(&self, root: &str) -> bool {
        match self.definition.world {
            World::Authorizer => self.definition.may_load_all(root),
            World::Recipe | World::Assignor => self.definition.may_scan(root),
        }
    }

    fn may_write(&self, path: &str) -> Result<(), OpError> {
        paths::validate(path).map_err(|_| OpError::BadArguments)?;
        if self.definition.may_write(path) {
            Ok(())
        } else {
            Err(OpError::NoAuth)
        }
    }

    fn session(&self, handle: u64) -> Result<SessionId, OpError> {
        handle
            .checked_sub(1)
            .and_then(|index| self.handles.get(usize::try_from(index).ok()?))
            .copied()
            .ok_or(OpError::SessionExpired)
    }

    /// What is there, unrecorded.
    fn peek(&self, path: &str) -> Option<Seen> {
        if let Some(changed) = self.changed.get(path) {
            return changed.clone();
        }
        self.view.get(path).map(|znode| Seen {
            data: znode.data,
            stat: znode.stat,
        })
    }

    /// What is there; what of it came from the view is recorded.
    fn look(&mut self, path: &str) -> Option<Seen> {
        match self.view.exists(path) {
            None => self.record(Read::Absent {
                path: path.to_string(),
            }),
            Some((stat, _)) => {
                self.record(Read::Node {
                    path: path.to_string(),
                    mzxid: Zxid(stat.mzxid as u64),
                });
            }
        }
        self.peek(path)
    }

    /// Records that the znode is still this incarnation with this ACL, and no more: its data
    /// may change. Nothing for a znode that the transaction itself made.
    fn record_identity(&mut self, path: &str) {
        if let Some((stat, _)) = self.view.exists(path) {
            self.record(Read::Acl {
                path: path.to_string(),
                czxid: Zxid(stat.czxid as u64),
                aversion: stat.aversion,
            });
        }
    }

    /// The names of the children, recorded; `None` where there is no such znode.
    fn list(&mut self, path: &str) -> Option<Vec<String>> {
        match self.view.exists(path) {
            None => self.record(Read::Absent {
                path: path.to_string(),
            }),
            Some((stat, _)) => {
                self.record(Read::Children {
                    path: path.to_string(),
                    pzxid: Zxid(stat.pzxid as u64),
                });
            }
        }
        self.names(path)
    }

    /// The names of the children in byte order, unrecorded.
    fn names(&self, path: &str) -> Option<Vec<String>> {
        self.peek(path)?;
        let mut names = self
            .view
            .children(path)
            .map_or_else(Vec::new, |children| children.names);
        let below = paths::join(path, "");
        for (changed, seen) in self.changed.range(below.clone()..) {
            let Some(name) = changed.strip_prefix(&below) else {
                break;
            };
            if name.is_empty() || name.contains('/') {
                continue;
            }
            names.retain(|known| known != name);
            if seen.is_some() {
                names.push(name.to_string());
            }
        }
        names.sort_unstable();
        Some(names)
    }

    fn change_parent(&mut self, parent: &str, mut seen: Seen, children: i32) {
        seen.stat.num_children += children;
        seen.stat.cversion = seen.stat.cversion.wrapping_add(1);
        seen.stat.pzxid = 0;
        self.changed.insert(parent.to_string(), Some(seen));
    }

    fn record(&mut self, read: Read) {
        let key = match &read {
            Read::Node { path, .. } => ReadKey::Node(path.clone()),
            Read::Acl { path, .. } => ReadKey::Acl(path.clone()),
            Read::Children { path, .. } => ReadKey::Children(path.clone()),
            Read::Absent { path } => ReadKey::Absent(path.clone()),
            Read::Subtree { path, .. } => ReadKey::Subtree(path.clone()),
            Read::Session(session) => ReadKey::Session(session.0),
        };
        self.reads.entry(key).or_insert(read);
    }
}

/// Child creates that a znode has seen: the next sequence number. ZooKeeper exports creates
/// plus deletes as cversion, and creates minus deletes is the number of children.
fn creates(stat: &Stat) -> i64 {
    (i64::from(stat.cversion) + i64::from(stat.num_children)) / 2
}

/// May a guest state this ACL? Nobody is authenticated here, so `auth` names nobody.
fn valid_acl(acl: &[Acl]) -> bool {
    innkeeper_tree::acl::fixup(acl, &[]).is_ok()
}

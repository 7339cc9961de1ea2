//! The changes of znodes of one command, while it may still fail. Each operation has ZooKeeper's
//! checks in ZooKeeper's order.
//!
//! 1. An operation checks, then changes the nodes under the command's zxid and notes its events.
//!    Later operations of the command see the changes.
//! 2. If an operation fails, [`Change::undo`] undoes all changes; otherwise `Tree::finish` keeps
//!    them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use innkeeper_proto::{Acl, CreateMode, ErrorCode, EventType, Perms};
use parking_lot::RwLockWriteGuard;

use super::hash::Rolling;
use crate::acl::{self, AclRef};
use crate::applied::{Event, OpReply, OverQuota};
use crate::binding::{self, Definition};
use crate::command::{Identity, WriteOp};
use crate::modules::Modules;
use crate::owner::Owner;
use crate::path;
use crate::quota::{QuotaEdits, Quotas};
use crate::store::{Body, Data, Nodes};
use crate::{SessionId, Zxid};

/// After so many operations the writer lets waiting views take the lock.
const RUN: usize = 64;

/// The changes of the present command.
pub(super) struct Change<'a> {
    pub(super) zxid: Zxid,
    pub(super) time_ms: u64,
    pub(super) nodes: RwLockWriteGuard<'a, Nodes>,
    pub(super) modules: &'a Modules,
    pub(super) hash: Rolling,
    hash_before: Rolling,
    pub(super) events: Vec<Event>,
    /// The changes of bindings, in order.
    pub(super) bindings: Vec<BindingEdit>,
    /// The paths whose ACL was set. This is no event, but the paths may belong to policies.
    pub(super) acls_set: Vec<Arc<str>>,
    /// The quotas before the command, which are used for its checks.
    pub(super) quotas_before: &'a Quotas,
    /// The command's changes of quotas.
    pub(super) quota_edits: QuotaEdits,
    /// The subtrees whose statistics begin with this command. Each is counted once, at its end.
    pub(super) to_count: BTreeSet<String>,
    /// How many znodes were counted for these statistics.
    pub(super) counted: usize,
    pub(super) enforce_quota: bool,
    /// The limits that were exceeded. They are reported even if the command is undone.
    pub(super) over_quota: Vec<OverQuota>,
    operations: usize,
}

/// The change of a binding's znode.
#[derive(Debug)]
pub(super) enum BindingEdit {
    /// The znode has a new document.
    Wish(Arc<str>, Arc<Definition>),
    /// The znode was deleted.
    Gone(Arc<str>),
}

/// The rights with which an operation runs.
#[derive(Clone, Copy)]
pub(super) enum Authority<'a> {
    /// ACLs decide by these identities.
    Identities(&'a [Identity]),
    /// ACLs do not count: the caller has checked the path, or apply itself makes the change.
    Granted,
}

/// The origin of a write, which is the same for all of its operations.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    /// The identities by which ACLs decide.
    pub(super) identities: &'a [Identity],
    /// The session that will own created ephemerals; `None` outside a session.
    pub(super) session: Option<SessionId>,
    /// Whether the session is local and may not own ephemerals.
    pub(super) local: bool,
    /// Whether quotas count: hard ones refuse the write, soft ones are reported.
    pub(super) enforce_quota: bool,
}

impl Asker<'_> {
    /// The owner of a new znode.
    fn owner(&self, mode: CreateMode, ttl_ms: i64) -> Result<Owner, ErrorCode> {
        if ttl_ms != 0 && !mode.is_ttl() {
            return Err(ErrorCode::BadArguments);
        }
        match mode {
            CreateMode::Persistent | CreateMode::PersistentSequential => Ok(Owner::Nobody),
            CreateMode::Ephemeral | CreateMode::EphemeralSequential => match self.session {
                None => Err(ErrorCode::BadArguments),
                Some(_) if self.local => Err(ErrorCode::EphemeralOnLocalSession),
                Some(session) => Ok(Owner::Session(session)),
            },
            CreateMode::Container => Ok(Owner::Container),
            CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl => Owner::ttl(ttl_ms),
        }
    }
}

impl Authority<'_> {
    fn check(self, acl: &AclRef, wanted: Perms) -> Result<(), ErrorCode> {
        match self {
            Authority::Identities(identities) if !acl::allows(acl, wanted, identities) => {
                Err(ErrorCode::NoAuth)
            }
            _ => Ok(()),
        }
    }

    fn is_super(self) -> bool {
        matches!(self, Authority::Identities(identities) if acl::is_super(identities))
    }

    fn fixup(self, stated: &[Acl]) -> Result<Vec<Acl>, ErrorCode> {
        match self {
            Authority::Identities(identities) => acl::fixup(stated, identities),
            Authority::Granted => acl::fixup(stated, &[]),
        }
    }
}

impl<'a> Change<'a> {
    pub(super) fn new(
        zxid: Zxid,
        time_ms: u64,
        nodes: RwLockWriteGuard<'a, Nodes>,
        modules: &'a Modules,
        quotas: &'a Quotas,
        hash: Rolling,
    ) -> Change<'a> {
        Change {
            zxid,
            time_ms,
            nodes,
            modules,
            hash,
            hash_before: hash,
            events: Vec::new(),
            bindings: Vec::new(),
            acls_set: Vec::new(),
            quotas_before: quotas,
            quota_edits: QuotaEdits::default(),
            to_count: BTreeSet::new(),
            counted: 0,
            enforce_quota: false,
            over_quota: Vec::new(),
            operations: 0,
        }
    }

    /// Undoes everything, because the command failed.
    pub(super) fn undo(&mut self) {
        self.nodes.rollback();
        self.events.clear();
        self.bindings.clear();
        self.acls_set.clear();
        self.quota_edits.clear();
        self.to_count.clear();
        self.hash = self.hash_before;
    }

    /// Runs one operation of a client.
    pub(super) fn run(
        &mut self,
        operation: &WriteOp,
        asker: Asker<'_>,
    ) -> Result<OpReply, ErrorCode> {
        self.let_views_in();
        self.enforce_quota = asker.enforce_quota;
        let authority = Authority::Identities(asker.identities);
        match operation {
            WriteOp::Create {
                path,
                data,
                acl,
                mode,
                ttl_ms,
            } => {
                let owner = asker.owner(*mode, *ttl_ms)?;
                let acl = Stated::List(acl);
                let sequential = mode.is_sequential();
                self.create(path, data.as_ref(), acl, sequential, owner, authority)
            }
            WriteOp::Delete { path, version } => self.delete(path, *version, authority),
            WriteOp::SetData {
                path,
                data,
                version,
            } => self.set_data(path, data.as_ref(), *version, authority),
            WriteOp::SetAcl { path, acl, version } => self.set_acl(path, acl, *version, authority),
            WriteOp::Check { path, version } => self.check(path, *version, authority),
            WriteOp::DeleteContainer { path } => self.delete_container(path, authority),
            WriteOp::Refused { error, .. } => Err(*error),
        }
    }

    /// Lets waiting views take the lock, so that a long command does not delay them. They do not
    /// see its changes.
    pub(super) fn let_views_in(&mut self) {
        self.operations += 1;
        if self.operations.is_multiple_of(RUN) {
            RwLockWriteGuard::bump(&mut self.nodes);
        }
    }

    pub(super) fn create(
        &mut self,
        path: &str,
        data: Option<&Bytes>,
        stated: Stated<'_>,
        sequential: bool,
        owner: Owner,
        authority: Authority<'_>,
    ) -> Result<OpReply, ErrorCode> {
        let parent_path = parent_or_refuse(path)?;
        let listed = match stated {
            Stated::List(list) => Some(authority.fixup(list)?),
            Stated::Parents => None,
        };
        let parent = self.find_parent(parent_path)?;
        let parent_body = self.nodes.body(parent).expect("found as existing");
        authority.check(&parent_body.acl, Perms::CREATE)?;
        let numbered;
        let path = if sequential {
            numbered = format!("{path}{:010}", parent_body.creates);
            numbered.as_str()
        } else {
            path
        };
        path::validate(path)?;
        if self.nodes.find(path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if let Owner::Session(_) = parent_body.owner() {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let parent_acl = parent_body.acl.clone();
        let bytes = data.map_or(0, Bytes::len);
        self.check_quota(path, 1, bytes as i64)?;
        let list = match listed {
            Some(list) => self.nodes.acls.intern(&guarded(path, list)),
            None => parent_acl.clone(),
        };
        if is_own_root(path) && !authority.is_super() {
            return Err(ErrorCode::NoAuth);
        }
        self.edit_binding(path, data)?;

        let zxid = self.zxid.0;
        let above = self.nodes.touch(parent, zxid);
        above.creates = above.creates.wrapping_add(1);
        above.num_children += 1;
        above.pzxid = zxid;
        let body = Body {
            data: Data::new(data),
            acl: list.clone(),
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: self.time_ms,
            mtime: self.time_ms,
            owner: owner.number(),
            version: 0,
            aversion: 0,
            creates: 0,
            num_children: 0,
        };
        let stat = body.stat();
        self.nodes.create(zxid, path, parent, body);
        self.mix(b'c', path, data.map(|data| &data[..]));
        self.hash.number(owner.number() as u64);
        self.mix_acl(&list);
        self.quota_created(path, bytes);
        let path: Arc<str> = path.into();
        self.event(EventType::NodeCreated, path.clone(), list);
        self.children_changed(parent_path, parent_acl);
        Ok(OpReply::Created { path, stat })
    }

    pub(super) fn delete(
        &mut self,
        path: &str,
        version: i32,
        authority: Authority<'_>,
    ) -> Result<OpReply, ErrorCode> {
        let parent_path = parent_or_refuse(path)?;
        if path::is_special(path) {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.find_parent(parent_path)?;
        let parent_body = self.nodes.body(parent).expect("found as existing");
        authority.check(&parent_body.acl, Perms::DELETE)?;
        let slot = self.nodes.find(path).ok_or(ErrorCode::NoNode)?;
        let body = self.nodes.body(slot).expect("found as existing");
        check_version(body.version, version)?;
        if body.num_children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        if is_own_root(path) && !authority.is_super() {
            return Err(ErrorCode::NoAuth);
        }
        self.take_out(path.into(), slot);
        Ok(OpReply::Deleted)
    }

    /// deleteContainer, which a client may send, too. It deletes any znode without children, except
    /// an ephemeral.
    fn delete_container(
        &mut self,
        path: &str,
        authority: Authority<'_>,
    ) -> Result<OpReply, ErrorCode> {
        let parent_path = parent_or_refuse(path)?;
        if path::is_special(path) {
            return Err(ErrorCode::BadArguments);
        }
        let slot = self.nodes.find(path).ok_or(ErrorCode::NoNode)?;
        let body = self.nodes.body(slot).expect("found as existing");
        let parent = self.find_parent(parent_path)?;
        let parent_body = self.nodes.body(parent).expect("found as existing");
        if body.num_children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        if let Owner::Session(_) = body.owner() {
            return Err(ErrorCode::BadVersion);
        }
        // deleteContainer: ZooKeeper checks no ACL for it, so that every client can delete every
        // znode without children, except ephemerals. Here the ACL decides. (script
        // `state/containers`)
        authority.check(&parent_body.acl, Perms::DELETE)?;
        if is_own_root(path) && !authority.is_super() {
            return Err(ErrorCode::NoAuth);
        }
        self.take_out(path.into(), slot);
        Ok(OpReply::Deleted)
    }

    /// Deletes a znode that no client deletes: an ephemeral of an ended session, or an unused
    /// container. Nothing is checked.
    pub(super) fn delete_unasked(&mut self, path: String, slot: u32) {
        self.let_views_in();
        self.take_out(path.into(), slot);
    }

    /// Deletes a znode and notes the events for it and its parent.
    fn take_out(&mut self, path: Arc<str>, slot: u32) {
        let parent = self.nodes.parent(slot);
        let Some((body, above)) = self.nodes.body(slot).zip(self.nodes.body(parent)) else {
            return;
        };
        let (acl, parent_acl) = (body.acl.clone(), above.acl.clone());
        self.remove(path.clone(), slot, parent, acl);
        self.children_changed(path::parent(&path), parent_acl);
    }

    fn remove(&mut self, path: Arc<str>, slot: u32, parent: u32, acl: AclRef) {
        let zxid = self.zxid.0;
        let bytes = self.nodes.body(slot).map_or(0, |body| body.data.len());
        let above = self.nodes.touch(parent, zxid);
        above.num_children -= 1;
        above.pzxid = zxid;
        self.nodes.delete(zxid, slot, path.clone());
        self.mix(b'd', &path, None);
        self.quota_deleted(&path, bytes);
        if let Some(name) = binding::name_of(&path) {
            self.bindings.push(BindingEdit::Gone(name.into()));
        }
        self.event(EventType::NodeDeleted, path, acl);
    }

    pub(super) fn set_data(
        &mut self,
        path: &str,
        data: Option<&Bytes>,
        version: i32,
        authority: Authority<'_>,
    ) -> Result<OpReply, ErrorCode> {
        path::validate(path)?;
        let slot = self.nodes.find(path).ok_or(ErrorCode::NoNode)?;
        let body = self.nodes.body(slot).expect("found as existing");
        authority.check(&body.acl, Perms::WRITE)?;
        let (acl, version_now) = (body.acl.clone(), body.version);
        let more_bytes = data.map_or(0, Bytes::len) as i64 - body.data.len() as i64;
        self.check_quota(path, 0, more_bytes)?;
        check_version(version_now, version)?;
        self.edit_binding(path, data)?;
        let body = self.nodes.touch(slot, self.zxid.0);
        body.data = Data::new(data);
        body.mzxid = self.zxid.0;
        body.mtime = self.time_ms;
        body.version = body.version.wrapping_add(1);
        let stat = body.stat();
        self.mix(b's', path, data.map(|data| &data[..]));
        self.hash.number(u64::from(stat.version as u32));
        self.quota_set(path, more_bytes);
        self.event(EventType::NodeDataChanged, path.into(), acl);
        Ok(OpReply::Set(stat))
    }

    /// Sets the data of the znode that shows ZooKeeper's configuration. Only apply does, so nothing is
    /// checked. As in ZooKeeper, its version is always -1.
    pub(super) fn show_configuration(&mut self, text: &Bytes) {
        let Some(slot) = self.nodes.find(path::CONFIG) else {
            return;
        };
        let body = self.nodes.touch(slot, self.zxid.0);
        let more_bytes = text.len() as i64 - body.data.len() as i64;
        body.data = Data::new(Some(text));
        body.mzxid = self.zxid.0;
        body.mtime = self.time_ms;
        body.version = -1;
        let acl = body.acl.clone();
        self.mix(b's', path::CONFIG, Some(&text[..]));
        self.quota_set(path::CONFIG, more_bytes);
        self.event(EventType::NodeDataChanged, path::CONFIG.into(), acl);
    }

    fn set_acl(
        &mut self,
        path: &str,
        list: &[Acl],
        version: i32,
        authority: Authority<'_>,
    ) -> Result<OpReply, ErrorCode> {
        path::validate(path)?;
        let list = authority.fixup(list)?;
        let slot = self.nodes.find(path).ok_or(ErrorCode::NoNode)?;
        let body = self.nodes.body(slot).expect("found as existing");
        authority.check(&body.acl, Perms::ADMIN)?;
        check_version(body.aversion, version)?;
        let list = self.nodes.acls.intern(&list);
        self.mix(b'a', path, None);
        self.mix_acl(&list);
        let body = self.nodes.touch(slot, self.zxid.0);
        body.acl = list;
        body.aversion = body.aversion.wrapping_add(1);
        let stat = body.stat();
        self.acls_set.push(path.into());
        Ok(OpReply::Set(stat))
    }

    fn check(
        &mut self,
        path: &str,
        version: i32,
        authority: Authority<'_>,
    ) -> Result<OpReply, ErrorCode> {
        path::validate(path)?;
        let slot = self.nodes.find(path).ok_or(ErrorCode::NoNode)?;
        let body = self.nodes.body(slot).expect("found as existing");
        authority.check(&body.acl, Perms::READ)?;
        check_version(body.version, version)?;
        Ok(OpReply::Checked)
    }

    /// Notes the change of a binding's document. A document that is wrong, or that names a module
    /// that is not registered, is refused here for every writer.
    fn edit_binding(&mut self, path: &str, data: Option<&Bytes>) -> Result<(), ErrorCode> {
        let Some(name) = binding::name_of(path) else {
            return Ok(());
        };
        let document = data.map_or(&[][..], |data| &data[..]);
        let definition = binding::parse_and_check(name, document, self.modules)
            .map_err(|_| ErrorCode::BadArguments)?;
        self.bindings
            .push(BindingEdit::Wish(name.into(), Arc::new(definition)));
        Ok(())
    }

    fn find_parent(&self, path: &str) -> Result<u32, ErrorCode> {
        // In ZooKeeper the empty path is another name of the root.
        let path = if path.is_empty() { path::ROOT } else { path };
        self.nodes.find(path).ok_or(ErrorCode::NoNode)
    }

    fn children_changed(&mut self, parent_path: &str, acl: AclRef) {
        let path = if parent_path.is_empty() {
            path::ROOT
        } else {
            parent_path
        };
        self.event(EventType::NodeChildrenChanged, path.into(), acl);
    }

    fn event(&mut self, kind: EventType, path: Arc<str>, acl: AclRef) {
        self.events.push(Event { kind, path, acl });
    }

    pub(super) fn mix(&mut self, kind: u8, path: &str, data: Option<&[u8]>) {
        self.hash.number(u64::from(kind));
        self.hash.bytes(path.as_bytes());
        self.hash.optional(data);
    }

    fn mix_acl(&mut self, list: &AclRef) {
        for entry in list.iter() {
            self.hash.number(u64::from(entry.perms.0 as u32));
            self.hash.bytes(entry.scheme.as_bytes());
            self.hash.bytes(entry.id.as_bytes());
        }
    }
}

/// The ACL of a new znode.
#[derive(Clone, Copy)]
pub(super) enum Stated<'a> {
    /// This list.
    List(&'a [Acl]),
    /// The parent's list.
    Parents,
}

/// The part of the path before its last slash; empty for a child of the root, as in ZooKeeper.
fn parent_or_refuse(path: &str) -> Result<&str, ErrorCode> {
    match path.rfind('/') {
        Some(slash) if !path.contains('\0') => Ok(&path[..slash]),
        _ => Err(ErrorCode::BadArguments),
    }
}

fn check_version(actual: i32, expected: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual {
        Ok(())
    } else {
        Err(ErrorCode::BadVersion)
    }
}

/// Is this `/innkeeper` or `/innkeeper/bindings`? Only the super user may create or delete them.
fn is_own_root(path: &str) -> bool {
    matches!(path, path::INNKEEPER | path::BINDINGS)
}

/// Below `/innkeeper` the open list means that the user has stated no list, because client
/// libraries send it then. Such a znode may be read by everyone and written by the super user only.
/// setACL can open it.
fn guarded(path: &str, list: Vec<Acl>) -> Vec<Acl> {
    if path::is_at_or_below(path, path::INNKEEPER) && list == acl::open() {
        acl::read_only()
    } else {
        list
    }
}

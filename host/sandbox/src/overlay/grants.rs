//! What a guest may do in its transaction: the paths that its binding grants, and the data, ACLs
//! and sessions that it may name.

use bytes::Bytes;
use innkeeper_proto::Acl;
use innkeeper_tree::{SessionId, World, acl, path as paths};

use super::{OpError, Overlay};
use crate::refused::{Refused, Wanted};

/// Fuel for a segment of a pattern that is compared with one of a path.
const PATTERN_SEGMENT: u64 = 6;

impl Overlay {
    /// The fuel that it takes to see whether a path is one and is granted: each byte of it is
    /// looked at, and each pattern of the binding, up to as many segments as both have.
    pub(crate) fn judging(&self, path: &str) -> u64 {
        let bytes = path.len() as u64;
        let patterns = self.grants.min(self.patterns * (1 + depth(path)));
        bytes + PATTERN_SEGMENT * patterns
    }

    /// `operation` is the guest's word for what it does.
    pub(super) fn may_read(&mut self, operation: &'static str, path: &str) -> Result<(), OpError> {
        paths::validate(path).map_err(|_| OpError::BadArguments)?;
        let granted = match self.definition.world {
            World::Authorizer => self.definition.may_load(path),
            World::Recipe | World::Assignor => self.definition.may_read(path),
        };
        if granted {
            Ok(())
        } else {
            Err(self.refuse(operation, path, Wanted::Read))
        }
    }

    /// Remembers what was refused, for the operator; the guest learns no more than the code.
    pub(super) fn refuse(
        &mut self,
        operation: &'static str,
        path: &str,
        wanted: Wanted,
    ) -> OpError {
        let policy = self.definition.world == World::Authorizer;
        self.refused = Some(Refused::new(operation, path, wanted, policy));
        OpError::NoAuth
    }

    pub(super) fn grants_subtree(&self, root: &str) -> bool {
        match self.definition.world {
            World::Authorizer => self.definition.may_load_all(root),
            World::Recipe | World::Assignor => self.definition.may_scan(root),
        }
    }

    pub(super) fn may_write(&mut self, operation: &'static str, path: &str) -> Result<(), OpError> {
        paths::validate(path).map_err(|_| OpError::BadArguments)?;
        if self.definition.may_write(path) {
            Ok(())
        } else {
            Err(self.refuse(operation, path, Wanted::Write))
        }
    }

    /// A znode that a guest wrote must be one that a client could have written.
    pub(super) fn check_data(&self, data: &Bytes) -> Result<(), OpError> {
        if data.len() > self.settings.data_bytes_max {
            return Err(OpError::BadArguments);
        }
        Ok(())
    }

    /// May a guest state this ACL? Whatever a client's must satisfy holds here, too. Nobody is
    /// authenticated, so `auth` names nobody.
    pub(super) fn is_valid(&self, list: &[Acl]) -> bool {
        let served = &self.settings.acl_schemes;
        let is_served = |entry: &Acl| {
            &*entry.scheme == "world" || served.iter().any(|scheme| **scheme == *entry.scheme)
        };
        acl::list_bytes(list) <= acl::MAX_LIST_BYTES
            && list.iter().all(is_served)
            && acl::fixup(list, &[]).is_ok()
    }

    pub(super) fn session(&self, handle: u64) -> Result<SessionId, OpError> {
        handle
            .checked_sub(1)
            .and_then(|index| self.handles.get(usize::try_from(index).ok()?))
            .copied()
            .ok_or(OpError::SessionExpired)
    }
}

/// A path's or a pattern's slashes: how many segments it has.
pub(super) fn depth(path: &str) -> u64 {
    path.bytes().filter(|byte| *byte == b'/').count() as u64
}

//! What an authorizer may read, as a trait: the host's, or one in memory.

use crate::bindings::innkeeper::guest::policy;
use crate::{Error, Result, Znode};

/// What an authorizer may read, in `load` only.
pub trait Policy {
    /// The znode at `path`, or none.
    ///
    /// # Errors
    /// If the path is none, or not in the binding's `policy`.
    fn get(&self, path: &str) -> Result<Option<Znode>>;

    /// The names of the children of `path`, in byte order.
    ///
    /// # Errors
    /// As `get`, and if there is no such znode.
    fn children(&self, path: &str) -> Result<Vec<String>>;

    /// The znode at `prefix` and everything below it, parents first.
    ///
    /// # Errors
    /// As `get`.
    fn scan(&self, prefix: &str) -> Result<Vec<Znode>>;
}

/// The host's policy.
#[doc(hidden)]
pub struct HostPolicy;

impl Policy for HostPolicy {
    fn get(&self, path: &str) -> Result<Option<Znode>> {
        policy::get(path).map_err(Error::operation("get", path))
    }

    fn children(&self, path: &str) -> Result<Vec<String>> {
        policy::children(path).map_err(Error::operation("list the children of", path))
    }

    fn scan(&self, prefix: &str) -> Result<Vec<Znode>> {
        policy::scan(prefix).map_err(Error::operation("scan", prefix))
    }
}

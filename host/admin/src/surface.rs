//! What everything that operators look at is rendered from.

use std::sync::Arc;

use innkeeper_dispatch::Guests;
use innkeeper_runtime::Runtime;
use innkeeper_server::service::Service;

use super::metrics::disk_usage::DiskUsage;

/// What the operators' surface asks: the service, what makes guests act, and the files' last known
/// sizes. All three are shared, so that a clone costs three counts.
///
/// Invariant: nothing here is asked on the way of a client's request. (test:
/// `one_look_serves_all_who_ask`)
pub struct Surface<R: Runtime> {
    /// ZooKeeper's service of this node.
    pub(crate) service: Arc<Service<R>>,
    /// Modules, bindings and what becomes of them.
    pub(crate) guests: Guests<R>,
    /// The sizes of the node's files, as they were last looked at.
    pub(crate) disk_usage: Arc<DiskUsage>,
}

impl<R: Runtime> Surface<R> {
    /// The surface of one node.
    pub fn new(service: Arc<Service<R>>, guests: Guests<R>) -> Self {
        Self {
            service,
            guests,
            disk_usage: Arc::default(),
        }
    }
}

impl<R: Runtime> Clone for Surface<R> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            guests: self.guests.clone(),
            disk_usage: self.disk_usage.clone(),
        }
    }
}

impl<R: Runtime> std::fmt::Debug for Surface<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surface").finish_non_exhaustive()
    }
}

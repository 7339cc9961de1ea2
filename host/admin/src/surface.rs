//! What the operators' surface reads: the source of all that is rendered.

use std::sync::Arc;

use innkeeper_dispatch::Guests;
use innkeeper_runtime::Runtime;
use innkeeper_server::service::Service;

use super::metrics::disk_usage::DiskUsage;

/// The parts of a node that the operators' surface reads: the service, the guests, and the sizes of
/// the files. All three are shared, so a clone is cheap.
///
/// Invariant: no request of a client waits for any of these. (test:
/// `one_look_serves_all_who_ask`)
pub struct Surface<R: Runtime> {
    /// ZooKeeper's service of this node.
    pub(crate) service: Arc<Service<R>>,
    /// Modules and bindings.
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

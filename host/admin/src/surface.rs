//! What the operators' surface reads: the source of all that is rendered.

use std::sync::Arc;

use innkeeper_dispatch::Guests;
use innkeeper_runtime::Runtime;
use innkeeper_server::service::Service;

use super::metrics::disk_usage::DiskUsage;
use super::settings::{AdminAddresses, AdminSettings};

/// The parts of a node that the operators' surface reads: the service, the guests, its own
/// settings, and the sizes of the files. All are shared, so a clone is cheap.
///
/// Invariant: no request of a client waits for an operator's request that reads these parts.
/// (test: `one_measurement_serves_all_who_ask`)
pub struct Surface<R: Runtime> {
    /// ZooKeeper's service of this node.
    pub(crate) service: Arc<Service<R>>,
    /// Modules and bindings.
    pub(crate) guests: Guests<R>,
    /// What this surface was told at the node's start.
    pub(crate) settings: Arc<AdminSettings>,
    /// Where it is reached, with the ports that were picked.
    pub(crate) addresses: AdminAddresses,
    /// The sizes of the node's files, as they were last looked at.
    pub(crate) disk_usage: Arc<DiskUsage>,
}

/// What a surface is made of, besides what it makes itself.
pub struct SurfaceParts<R: Runtime> {
    /// ZooKeeper's service of this node.
    pub service: Arc<Service<R>>,
    /// Modules and bindings.
    pub guests: Guests<R>,
    /// What this surface is told at the node's start.
    pub settings: AdminSettings,
    /// Where it is reached, with the ports that were picked.
    pub addresses: AdminAddresses,
}

impl<R: Runtime> std::fmt::Debug for SurfaceParts<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SurfaceParts").finish_non_exhaustive()
    }
}

impl<R: Runtime> Surface<R> {
    /// The surface of one node.
    pub fn new(parts: SurfaceParts<R>) -> Self {
        let SurfaceParts {
            service,
            guests,
            settings,
            addresses,
        } = parts;
        Self {
            service,
            guests,
            settings: Arc::new(settings),
            addresses,
            disk_usage: Arc::default(),
        }
    }
}

impl<R: Runtime> Clone for Surface<R> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            guests: self.guests.clone(),
            settings: self.settings.clone(),
            addresses: self.addresses,
            disk_usage: self.disk_usage.clone(),
        }
    }
}

impl<R: Runtime> std::fmt::Debug for Surface<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surface").finish_non_exhaustive()
    }
}
